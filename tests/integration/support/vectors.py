# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signed artifacts of tests/vectors, in a layout as they are, or published to a registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.client import RegistryClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository

ROOT = Path(__file__).resolve().parents[2] / "vectors"
REF_NAME = "org.opencontainers.image.ref.name"
ON_PURPOSE = {
    # a valid signature by the trusted key beside a bundle by somebody else: here it counts
    "chart-legacy-b-bundle-a/key-b": "pass",
    "chart-attest-b-legacy-a/key-a": "pass",
    # a trusted root without a CT log, with which cosign needs --insecure-ignore-sct: gh takes it as it is
    "chart-keyless-legacy-good/no-ct": "pass",
    "chart-keyless-bundle-good/no-ct": "pass",
}


def rows() -> list[dict[str, Any]]:
    found = json.loads((ROOT / "MANIFEST.json").read_text(encoding="utf-8"))["vectors"]
    for row in found:
        row["expected"] = ON_PURPOSE.get(row["name"], row["expected"])
    return list(found)


def options(row: dict[str, Any]) -> dict[str, Any]:
    """The policy of a row, as options of oci_artifact_verify."""
    result: dict[str, Any] = dict(row["options"])
    if row["keys"]:
        result["public_keys"] = [str(ROOT / key) for key in row["keys"]]
    elif "keyless" in row:
        result["trusted_root"] = str(ROOT / row["keyless"]["trusted_root"])
        result["identities"] = row["keyless"]["identities"]
    elif "notation" in row:
        result["signature_provider"] = "notation"
        result["trust_policy"] = str(ROOT / row["notation"]["trust_policy"])
        result["trust_store"] = [str(ROOT / certificate) for certificate in row["notation"]["certs"]]
    return result


def outcome(result: dict[str, Any]) -> str:
    """A module's result in the words of the rows."""
    if getattr(result, "failed", result.get("failed")):
        return "fail" if result.get("reason") == "VerificationError" else str(result.get("msg"))
    return "pass" if result["verification"]["verified"] else "ignored"


def publish(row: dict[str, Any], host: str) -> str:
    """Copy a layout to a repository of its own, referrers and fallback tags included; returns its name."""
    name = f"vectors/{Path(row['path']).name}"
    source = LayoutRepository(Reference(layout=str(ROOT / row["path"])))
    reference = Reference(registry=host, repository=name)
    target = RegistryRepository(reference, RegistryClient(host, ConnectionOptions(insecure=True), None), push=True)
    entries = json.loads((ROOT / row["path"] / "index.json").read_text(encoding="utf-8"))["manifests"]
    for entry in entries:
        _copy(source, target, source.fetch_manifest(entry["digest"]), entry.get("annotations", {}).get(REF_NAME, ""))
    target.close()
    return name


def _copy(source: LayoutRepository, target: RegistryRepository, manifest: Manifest, tag: str) -> None:
    for child in manifest.manifests:
        _copy(source, target, source.fetch_manifest(child.digest), "")
    blobs = [*manifest.layers, *([manifest.config] if manifest.config else [])]
    for blob in {each.digest: each for each in blobs}.values():
        target.push_blob(BlobSource(blob, lambda blob=blob: source.store.open(blob)))  # type: ignore[misc]
    target.push_manifest(manifest, tag)

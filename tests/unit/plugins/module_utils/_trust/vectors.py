# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts signed by the real tools, with the verdict that they give; see tests/vectors/README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference

ROOT = Path(__file__).resolve().parents[4] / "vectors"
ON_PURPOSE = {
    # a valid signature by the trusted key beside a bundle by somebody else: here it counts
    "chart-legacy-b-bundle-a/key-b": "pass",
    "chart-attest-b-legacy-a/key-a": "pass",
    # a trusted root without a CT log, with which cosign needs --insecure-ignore-sct: gh takes it as it is
    "chart-keyless-legacy-good/no-ct": "pass",
    "chart-keyless-bundle-good/no-ct": "pass",
}


def rows(kind: str = "") -> list[dict[str, Any]]:
    """The rows of one kind (all without one), ``expected`` as this collection judges."""
    found = json.loads((ROOT / "MANIFEST.json").read_text(encoding="utf-8"))["vectors"]
    for row in found:
        row["expected"] = ON_PURPOSE.get(row["name"], row["expected"])
    return [row for row in found if not kind or row["kind"] == kind]


def repository(row: dict[str, Any]) -> LayoutRepository:
    return LayoutRepository(Reference(layout=str(ROOT / row["path"])))


def policy_options(row: dict[str, Any]) -> dict[str, Any]:
    """The options of oci_artifact_verify that a row stands for."""
    options: dict[str, Any] = dict(row["options"])
    if row["keys"]:
        options["public_keys"] = [str(ROOT / key) for key in row["keys"]]
    elif "keyless" in row:
        keyless = row["keyless"]
        options["trusted_root"] = str(ROOT / keyless["trusted_root"])
        options["identities"] = keyless["identities"]
    else:
        options["signature_provider"] = "notation"
        options["trust_policy"] = str(ROOT / row["notation"]["trust_policy"])
        options["trust_store"] = [str(ROOT / certificate) for certificate in row["notation"]["certs"]]
    return options

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of any making, put beside artifacts in a registry."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.client import RegistryClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository

from .servers import RegistryServer

NOTATION_SIGNATURE = "application/vnd.cncf.notary.signature"
SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_UNIT_TESTS = Path(__file__).resolve().parents[2] / "unit/plugins/module_utils/_trust"


def unit_helper(name: str) -> Any:
    """A helper module of the unit tests of _trust: ``notation_lab`` or ``mini_sigstore``."""
    spec = importlib.util.spec_from_file_location(f"cloudnative_artifacts_{name}", _UNIT_TESTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


def open_repository(server: RegistryServer, name: str) -> RegistryRepository:
    client = RegistryClient(server.host, ConnectionOptions(insecure=True), None)
    return RegistryRepository(Reference(registry=server.host, repository=name), client, push=True)


def put(repository: RegistryRepository, data: bytes, media_type: str) -> Descriptor:
    found = Descriptor(media_type, digest_of(data), len(data))
    repository.push_blob(BlobSource(found, lambda: io.BytesIO(data)))
    return found


def push(repository: RegistryRepository, tag: str = "", **fields: Any) -> Manifest:
    raw = canonical_json({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, **fields})
    manifest = parse_manifest(raw, "", "the manifest")
    repository.push_manifest(manifest, tag)
    return manifest


def attach_notation(repository: RegistryRepository, artifact: Descriptor, envelope: bytes, media_type: str) -> None:
    """Attach an envelope as notation does."""
    config, layer = put(repository, b"{}", NOTATION_SIGNATURE), put(repository, envelope, media_type)
    push(repository, config=config.as_json(), layers=[layer.as_json()], subject=artifact.as_json())


def attach_bundle(repository: RegistryRepository, artifact: Descriptor, bundle: bytes) -> None:
    """Attach a Sigstore bundle as cosign does."""
    config, layer = put(repository, b"{}", media.OCI_EMPTY), put(repository, bundle, SIGSTORE_BUNDLE)
    parts = {"config": config.as_json(), "layers": [layer.as_json()], "subject": artifact.as_json()}
    push(repository, artifactType=SIGSTORE_BUNDLE, **parts)

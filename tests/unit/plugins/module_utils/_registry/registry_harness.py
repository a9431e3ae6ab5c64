# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the registry transport share: a repository on a fault server, blobs, manifests."""

from __future__ import annotations

import io
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.client import RegistryClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import FaultServer

REPOSITORY = "org/app"


class Harness:
    """A client of a fault server that does not sleep but notes how long it would have."""

    def __init__(
        self,
        server: FaultServer,
        credential: Credential | None = None,
        *,
        push: bool = False,
        host: str = "",
        repository: str = REPOSITORY,
        **options: Any,
    ) -> None:
        self.server = server
        self.sleeps: list[float] = []
        options = {"insecure": True, "timeout": 60.0, **options}
        reference = parse_reference(f"{host or server.host}/{repository}")
        self.client = RegistryClient(
            reference.registry,
            ConnectionOptions(**options),
            credential,
            sleep=self.sleeps.append,
            clock=lambda: sum(self.sleeps),
        )
        self.repository = RegistryRepository(reference, self.client, push=push)


def source_of(data: bytes) -> BlobSource:
    return BlobSource(Descriptor(media.OCTET_STREAM, digest_of(data), len(data)), lambda: io.BytesIO(data))


def manifest_of(**fields: Any) -> Manifest:
    config = {"mediaType": media.OCI_EMPTY, "digest": digest_of(b"{}"), "size": 2}
    document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": [], **fields}
    return parse_manifest(canonical_json(document), media.OCI_MANIFEST, "The manifest")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A layer of 1 GiB over a link that keeps breaking: it arrives, hardly a byte is fetched twice, memory stays small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fault_proxy import Fault, FaultProxy
from support.ansible_runner import AnsibleRunner
from support.artifacts import CONFIG, MANIFEST, Blob, Publisher
from support.servers import RegistryServer

PULL = "cloudnative.artifacts.oci_artifact_pull"
MIB = 1024 * 1024
SIZE = 1024 * MIB
# of so many zero bytes
DIGEST = "sha256:49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"
BREAKS_EVERY = 64 * MIB
# KiB of address space for the module: Python with its libraries takes about 100 MiB, the layer would take 1 GiB
MEMORY = 512 * 1024


def put_zeros(registry: RegistryServer, repository: str) -> Path:
    """Lay the blob into the registry's storage, as a file that is one hole: to upload it would cost seconds."""
    storage = registry.access_log.parent / "storage/docker/registry/v2"
    algorithm, encoded = DIGEST.split(":")
    data = storage / "blobs" / algorithm / encoded[:2] / encoded / "data"
    link = storage / "repositories" / repository / "_layers" / algorithm / encoded / "link"
    for path in (data, link):
        path.parent.mkdir(parents=True)
    link.write_text(DIGEST)
    with open(data, "wb") as stream:
        stream.truncate(SIZE)
    return data


@pytest.mark.once
def test_a_gibibyte_over_a_link_that_breaks_every_64_mib(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    place = Publisher(registry.host, "large")
    zeros = put_zeros(registry, "large")
    place.publish("config", [])
    layer = {"mediaType": "application/octet-stream", "digest": DIGEST, "size": SIZE}
    config = Blob(b"{}", CONFIG).descriptor
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
    place.put_manifest("1", json.dumps(document).encode())
    limited = tmp_path / "limited-python"
    limited.write_text(f'#!/bin/sh\nulimit -v {MEMORY}\nexec "{ansible.target_python}" "$@"\n')
    limited.chmod(0o755)
    dest = tmp_path / "zeros"
    with FaultProxy(registry.host) as proxy:
        proxy.always("GET", f"/blobs/{DIGEST}", Fault(reset_at=BREAKS_EVERY))
        result = ansible.tasks(
            [
                {
                    PULL: {
                        "ref": f"{proxy.host}/large:1",
                        "dest": str(dest),
                        "layer_selector": {"operation": "copy"},
                        "insecure": True,
                    },
                    "vars": {"ansible_python_interpreter": str(limited)},
                }
            ]
        )[0]
        attempts = len(proxy.requests("GET", f"/blobs/{DIGEST}"))
        fetched = proxy.sent
    try:
        # the module compared the digest; what is on disk is its own affair
        assert result.changed and result["artifact"]["layer"]["digest"] == DIGEST, result
        assert dest.stat().st_size == SIZE
        assert attempts == SIZE // BREAKS_EVERY
        assert SIZE <= fetched <= 1.1 * SIZE
    finally:
        dest.unlink(missing_ok=True)
        zeros.unlink()

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull that has nothing to do loads, in the file that Ansible copies to a host: names and lines, no times.

Ansible's modules arrive without compiled code, so every line that is imported is compiled again for each task. The
limits have about a tenth of room above what is loaded; what exceeds them belongs behind an import of its own, inside of
the function that needs it.
"""

from __future__ import annotations

import re

import pytest
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.counts import OWN, Payload, payloads_of
from support.servers import RegistryServer

PULL = "cloudnative.artifacts.oci_artifact_pull"
HTTP = {"_socket", "_ssl", "email", "http", "requests", "ssl", "urllib3"}
ARCHIVES = {"bz2", "lzma", "tarfile", "isal", "zlib_ng"}
HEAVY = {"attr", "cryptography", "jsonschema", "kubernetes", "nacl", "oras", "semver", "sigstore", "yaml"}
# of this collection: archives, trust, clouds, publishing, blobs
OWN_OF_A_CHANGE = re.compile(
    r"_trust\.|_cloud\.|_helm\.|_kube\.|_layout\.|_cache\.|_archive\.(?!left_out$)"
    r"|_dest\.(?:diff|plan|apply)$|_registry\.(?:blobs|pages)$|_oci\.(?:repository|selection|semver_range)$"
    r"|_ops\.(?:layers|sign|verify|push\..*|pull\.(?:change|keep|repair|last_good))$"
)
# lines of this collection that are loaded, and of all that is carried for what a plain pull may need
MAX_LINES_PINNED = 2_750
MAX_LINES_BY_TAG = 5_600
MAX_LINES_CARRIED = 12_800
MAX_BYTES_CARRIED = 110_000


@pytest.fixture(scope="module")
def payloads(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Payload]:
    """A task that does nothing, and pulls by digest and by tag whose artifacts are in place."""
    publisher, tmp_path = Publisher(registry.host, "start-up"), tmp_path_factory.mktemp("start-up")
    digest = publisher.publish("1.0", {"a.yaml": b"a: 1\n", "b/c.yaml": b"c: 1\n"})
    pinned = {"ref": f"{publisher.name}@{digest}", "dest": str(tmp_path / "pinned"), "insecure": True}
    tagged = {"ref": f"{publisher.name}:1.0", "dest": str(tmp_path / "tagged"), "insecure": True}
    tasks = {"nothing": ("ansible.builtin.ping", {}), "pinned": (PULL, pinned), "tagged": (PULL, tagged)}
    return payloads_of(ansible, tmp_path, tasks)


def test_an_unchanged_pull_loads_nothing_that_it_does_not_need(
    payloads: dict[str, Payload], registry: RegistryServer
) -> None:
    _nothing, always = payloads["nothing"].run()

    mark = registry.mark()
    result, loaded = payloads["pinned"].run()
    assert (result["changed"], result["reason"]) == (False, "ArtifactUpToDate")
    assert registry.requests(since=mark) == []
    own, others = _parts(loaded - always)
    assert others & (HTTP | ARCHIVES | HEAVY | {"subprocess", "tempfile", "calendar", "shutil"}) == set()
    assert [name for name in own if OWN_OF_A_CHANGE.match(name) or "registry" in name or "http" in name] == []
    assert payloads["pinned"].lines(loaded) < MAX_LINES_PINNED

    mark = registry.mark()
    result, loaded = payloads["tagged"].run()
    assert (result["changed"], result["reason"]) == (False, "ArtifactUpToDate")
    assert [request.method for request in registry.requests(since=mark)] == ["HEAD"]
    own, others = _parts(loaded - always)
    assert "requests" in others  # what is counted here is not just missing
    assert others & (ARCHIVES | HEAVY) == set()
    assert [name for name in own if OWN_OF_A_CHANGE.match(name)] == []
    assert payloads["tagged"].lines(loaded) < MAX_LINES_BY_TAG


def test_what_each_pull_carries_to_its_host_stays_small(payloads: dict[str, Payload]) -> None:
    own = payloads["tagged"].own
    # none of what publishes, works with charts and clusters, or was not asked for: signatures, clouds, layouts, mirrors
    foreign = re.compile(
        r"_helm\.|_kube\.|_trust\.|_cloud\.|_layout\.repository$|_mirrors\.|_archive\.(?:pack|writer)$|_ops\.(?:push\..*|sign)$"
    )
    assert [name for name in own if foreign.match(name[len(OWN) :])] == []
    assert payloads["tagged"].lines(set(own)) < MAX_LINES_CARRIED
    assert 0 < payloads["tagged"].compressed < MAX_BYTES_CARRIED


def _parts(names: set[str]) -> tuple[list[str], set[str]]:
    """Modules of this collection without what their names have in common, and the top names of all others."""
    own = sorted(name[len(OWN) :] for name in names if name.startswith(OWN))
    return own, {name.partition(".")[0] for name in names if not name.startswith("ansible_collections")}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A removal in a registry that is cut short before any of its requests: what tags name is whole, the next run ends it.

The registry removes a manifest with the tags that name it, as Distribution does.
"""

from __future__ import annotations

import json

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import fallback_tag
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Manifest
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.prune.test_prune import (
    index_of,
    prune_registry,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    manifest_of,
)


def publish(server: FaultServer, manifest: Manifest, *tags: str) -> Manifest:
    for tag in tags or ("",):
        server.add_manifest(manifest.raw, tag, manifest.descriptor.media_type)
    return manifest


def signature_tag(manifest: Manifest) -> str:
    return f"{manifest.descriptor.digest.replace(':', '-')}.sig"


def fill(server: FaultServer) -> None:
    """Indexes with a signed platform in common and one that has a tag of its own, a tagged referrer, a tagged
    signature; the names are such that the order of tags is none that works."""
    server.add_blob(b"{}")

    def artifact(name: str, **fields: object) -> Manifest:
        return manifest_of(annotations={"name": name}, **fields)

    shared = publish(server, artifact("shared"))
    publish(server, artifact("signature of shared"), signature_tag(shared))
    tagged = publish(server, artifact("tagged"), "1.0.0-amd64", "a-platform")
    first = publish(server, index_of(shared, tagged, annotations={"name": "first"}), "1.0.0")
    publish(server, index_of(first, shared, tagged, annotations={"name": "of indexes"}), "z-all")
    publish(server, index_of(shared, annotations={"name": "second"}), "2.0.0")
    publish(server, artifact("signature of first"), signature_tag(first), "0-signature")
    referrer = publish(server, artifact("referrer", subject=first.descriptor.as_json()), "referrer")
    publish(server, index_of(referrer), fallback_tag(first.descriptor.digest))


def is_whole(server: FaultServer) -> bool:
    """All that the tags of releases lead to is there."""
    pending = [digest for tag, digest in server.tags.items() if not tag.startswith("sha256-")]
    while pending:
        digest = pending.pop()
        if digest not in server.manifests:
            return False
        media_type, raw = server.manifests[digest]
        if media_type == media.OCI_INDEX:
            pending += [each["digest"] for each in json.loads(raw)["manifests"]]
    return True


def test_a_removal_cut_short_before_any_of_its_requests_is_completed_by_the_next() -> None:
    cut, is_complete = 0, False
    while not is_complete:
        with FaultServer() as server:
            fill(server)
            server.script("DELETE", "", *[lambda seen: None] * cut, *[Answer(is_silent=True)] * 2)
            try:
                prune_registry(server, 0)
                is_complete = True
            except OciError:
                assert is_whole(server), cut
                server.script("DELETE", "", *[lambda seen: None] * 100)
                prune_registry(server, 0)
            assert server.tags == {}, cut
        cut += 1
    # each manifest is asked for once
    removed = [seen.path.rpartition("/")[2] for seen in server.requests("DELETE")]
    assert len(removed) == len(set(removed)) == cut - 1 and server.manifests == {}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry can do: what each answer means, and that nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.artifact_cache import ArtifactCache
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    AuthOptions,
    CacheOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops import capabilities as known
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.connect import open_repository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.info import InfoOptions, info
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.capabilities import (
    NAMES,
    Capabilities,
    CapabilityProbe,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.small_artifacts import publish
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    manifest_of,
)

JSON = {"Content-Type": "application/json"}
NO_DIGEST = "sha256:" + "0" * 64
BLOB = b"0123456789"
UPLOADS = "/v2/org/app/blobs/uploads/"
REFERRERS, BLOBS = "/v2/org/app/referrers/", "/v2/org/app/blobs/sha256:"
MANIFEST_AT, TAGS, CATALOG = "/v2/org/app/manifests/", "/v2/org/app/tags/list", "/v2/_catalog"


def error(status: int, code: str) -> Answer:
    return Answer(status, JSON, json.dumps({"errors": [{"code": code}]}).encode())


def document(status: int = 200, link: str = "", **fields: Any) -> Answer:
    headers = {**JSON, "Link": f'<{link}>; rel="next"'} if link else JSON
    return Answer(status, headers, json.dumps(fields).encode())


UNKNOWN_MANIFEST = error(404, "MANIFEST_UNKNOWN")
HTML = Answer(200, {"Content-Type": "text/html"}, b"<html>")
DENIED = error(403, "DENIED")
# what can be asked, and the answer of a registry that can do all of it
ABLE = (
    ("GET", REFERRERS, Answer(200, {"Content-Type": media.OCI_INDEX}, b'{"schemaVersion": 2, "manifests": []}')),
    ("GET", TAGS, document(tags=["1"], link="/v2/org/app/tags/list?n=1&last=1")),
    ("GET", TAGS + r"\?n=1&last=1", document(tags=["2"])),
    ("GET", BLOBS, Answer(206, {"Content-Range": "bytes 1-1/10"}, b"1")),
    ("POST", UPLOADS + r"\?mount=", Answer(201, {"Location": "/v2/org/app/blobs/x"})),
    ("POST", UPLOADS + "$", Answer(202, {"Location": UPLOADS + "session"})),
    ("PATCH", UPLOADS + "session", Answer(202, {"Location": UPLOADS + "session?state=1"})),
    ("DELETE", UPLOADS, Answer(204)),
    ("DELETE", MANIFEST_AT, UNKNOWN_MANIFEST),
    ("GET", CATALOG, document(repositories=["org/app"])),
)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        for method, target, answer in ABLE:
            running.always(method, target, answer)
        yield running


def asked(server: FaultServer, blob: bytes | None = BLOB) -> Capabilities:
    found = None if blob is None else Descriptor(media.OCTET_STREAM, digest_of(blob), len(blob))
    client = Harness(server, retries=0).client
    return CapabilityProbe(client, "org/app", found).ask()


def test_a_registry_that_can_do_everything(server: FaultServer) -> None:
    found = asked(server)
    assert found.supported == dict.fromkeys(NAMES, True)
    assert found.as_result() == {**dict.fromkeys(NAMES, True), "unknown": {}}
    lines = [f"{seen.method} {seen.target}" for seen in server.seen]
    assert len(lines) == 11
    # what is opened is cancelled, and what is deleted is not there
    deleted = [line for line in lines if line.startswith("DELETE")]
    assert deleted[0] == f"DELETE {UPLOADS}session?state=1"
    assert deleted[1] == f"DELETE {MANIFEST_AT}{NO_DIGEST}"
    assert deleted[2].startswith(f"DELETE {MANIFEST_AT}never-there-") and len(deleted) == 3
    assert not any(line.startswith("PUT") for line in lines)


@pytest.mark.parametrize(
    ("name", "method", "target", "answer", "wanted"),
    [
        ("referrers", "GET", REFERRERS, error(404, "UNSUPPORTED"), False),
        ("referrers", "GET", REFERRERS, Answer(404, {}, b"404 page not found"), False),
        ("referrers", "GET", REFERRERS, Answer(405), False),
        ("referrers", "GET", REFERRERS, HTML, False),
        ("referrers", "GET", REFERRERS, document(), False),
        ("referrers", "GET", REFERRERS, error(404, "NAME_UNKNOWN"), None),
        ("referrers", "GET", REFERRERS, DENIED, None),
        ("tag_paging", "GET", TAGS, document(tags=["1", "2"]), False),
        ("tag_paging", "GET", TAGS, document(tags=["1"]), None),
        ("tag_paging", "GET", TAGS, document(tags=None), None),
        ("tag_paging", "GET", TAGS, error(404, "NAME_UNKNOWN"), None),
        ("range", "GET", BLOBS, Answer(200, {}, BLOB), False),
        ("range", "GET", BLOBS, Answer(416), False),
        ("range", "GET", BLOBS, error(404, "BLOB_UNKNOWN"), None),
        ("mount", "POST", UPLOADS + r"\?mount=", Answer(202, {"Location": UPLOADS + "second"}), False),
        ("mount", "POST", UPLOADS + r"\?mount=", DENIED, None),
        ("chunked_upload", "PATCH", UPLOADS, Answer(405), False),
        ("chunked_upload", "PATCH", UPLOADS, error(400, "UNSUPPORTED"), False),
        ("chunked_upload", "POST", UPLOADS + "$", DENIED, None),
        ("chunked_upload", "POST", UPLOADS + "$", Answer(202), None),
        ("chunked_upload", "POST", UPLOADS + "$", Answer(202, {"Location": "http://127.0.0.2/elsewhere"}), None),
        ("delete", "DELETE", MANIFEST_AT + "sha256:", error(405, "UNSUPPORTED"), False),
        ("delete", "DELETE", MANIFEST_AT + "sha256:", Answer(202), True),
        ("delete", "DELETE", MANIFEST_AT + "sha256:", error(404, "NAME_UNKNOWN"), None),
        ("delete", "DELETE", MANIFEST_AT + "sha256:", Answer(404, {}, b"404 page not found"), None),
        ("delete", "DELETE", MANIFEST_AT + "sha256:", DENIED, None),
        ("delete_tag", "DELETE", MANIFEST_AT + "never", error(400, "DIGEST_INVALID"), False),
        ("delete_tag", "DELETE", MANIFEST_AT + "never", error(401, "UNAUTHORIZED"), None),
        ("catalog", "GET", CATALOG, error(404, "NOT_FOUND"), False),
        ("catalog", "GET", CATALOG, HTML, False),
        ("catalog", "GET", CATALOG, DENIED, None),
    ],
)
def test_what_an_answer_means(
    server: FaultServer, name: str, method: str, target: str, answer: Answer, wanted: bool | None
) -> None:
    server.always("GET", "/v2/$", Answer(200, JSON, b"{}"))
    server.always(method, target, answer)
    found = asked(server)
    assert found.as_result()[name] is wanted
    assert (name in found.unknown) == (wanted is None)
    assert all(found.unknown.values())
    others = {each: value for each, value in found.as_result().items() if each not in (name, "unknown")}
    assert all(value is not False for value in others.values()), "one answer says nothing about the other questions"
    is_opened = name == "mount" and answer.status == 202
    assert len(server.requests("DELETE", UPLOADS + "second")) == is_opened, "it is cancelled"


def test_without_a_blob_some_questions_stay_open(server: FaultServer) -> None:
    found = asked(server, None)
    assert set(found.unknown) == {"range", "mount"}


def test_a_registry_in_trouble_is_an_error(server: FaultServer) -> None:
    server.always("GET", REFERRERS, Answer(503))
    with pytest.raises(OciError, match="503"):
        asked(server)


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(str(tmp_path / "cache"))


def gathered(server: FaultServer, cache: ArtifactCache, ref: str = "", **auth: str) -> dict[str, Any]:
    options = InfoOptions(
        ReferenceOptions(ref=ref or f"{server.host}/org/app"),
        gather=["capabilities"],
        auth=AuthOptions(**auth),
        connection=ConnectionOptions(insecure=True, retries=0),
        cache=CacheOptions(root=cache.root),
    )
    found: dict[str, Any] = info(options)["capabilities"]
    return found


def test_other_tasks_know_what_was_asked(
    server: FaultServer, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = manifest_of()
    server.add_blob(b"{}")
    server.add_manifest(config.raw, "1", media.OCI_MANIFEST)
    server.always("GET", REFERRERS, error(404, "UNSUPPORTED"))
    first = gathered(server, cache)
    assert (first["referrers"], first["mount"], first["delete"]) == (False, True, True)
    count = len(server.seen)
    assert gathered(server, cache) == first
    assert len(server.seen) == count, "the second task asks nothing"
    connection = ConnectionOptions(insecure=True, retries=0)
    reference = parse_reference(f"{server.host}/org/app")
    repository = open_repository(reference, AuthOptions(), connection, cache=cache)
    assert repository.list_referrers(config.descriptor.digest) == []
    assert [seen.method for seen in server.seen[count:]] == ["GET"], "for the fallback tag alone"
    assert "manifests/sha256-" in server.seen[-1].target
    # another account may have other rights, and a registry may change
    gathered(server, cache, username="else", password="x")
    count = len(server.seen)
    monkeypatch.setattr(known, "MAX_AGE", 0.0)
    gathered(server, cache)
    assert len(server.seen) > count


def test_a_layout_needs_no_question(cache: ArtifactCache, server: FaultServer, tmp_path: Path) -> None:
    for kind in ("oci-layout", "oci-archive"):
        with pytest.raises(OciError):
            gathered(server, cache, f"{kind}:{tmp_path}/none:1")
    publish(tmp_path / "layout", "1", {"a.yaml": "a: 1"})
    found = gathered(server, cache, f"oci-layout:{tmp_path}/layout")
    assert {name for name in NAMES if found[name]} == {"referrers", "range"}
    assert not server.seen

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that are asked only to save work: whatever the answer is, the request that matters decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    OciError,
    PushFailed,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor, canonical_json
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.preliminary import find_tag
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import EXISTED, UPLOADED
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    manifest_of,
    source_of,
)

MANIFEST = manifest_of(annotations={"is": "there"})
TYPED = {"Content-Type": media.OCI_MANIFEST, "Docker-Content-Digest": MANIFEST.descriptor.digest}
OTHER = digest_of(b"other")
ODD = {
    **{str(status): Answer(status) for status in (400, 401, 402, 403, 404, 405, 406, 409, 410, 415, 418, 451, 501)},
    "204": Answer(204, TYPED),
    "302 to nowhere": Answer(302),
    "302 to a page that is not there": Answer(302, {"Location": "/elsewhere"}),
    "302 in circles": Answer(302, {"Location": "/v2/org/app/manifests/1"}),
    "a web page": Answer(200, {"Content-Type": "text/html"}, b"<html>"),
    "no headers": Answer(200),
    "no bytes": Answer(200, {**TYPED, "Content-Length": "0"}),
    "no digest": Answer(200, {"Content-Type": media.OCI_MANIFEST, "Content-Length": "7"}),
    "another kind": Answer(200, {**TYPED, "Content-Type": "application/json", "Content-Length": "7"}),
}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.add_manifest(MANIFEST.raw, "1")
        yield running


def always_when(server: FaultServer, method: str, pattern: str, answer: Answer) -> None:
    server.always(method, pattern, lambda _seen: answer)


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
@pytest.mark.parametrize("identifier", ["1", MANIFEST.descriptor.digest])
def test_a_manifest_is_asked_for_with_get_where_head_settles_nothing(
    server: FaultServer, answer: Answer, identifier: str
) -> None:
    always_when(server, "HEAD", "", answer)
    found = Harness(server).repository.resolve(identifier)
    assert (found.digest, found.size) == (MANIFEST.descriptor.digest, len(MANIFEST.raw))


def test_a_digest_that_head_answers_with_another_one_is_asked_for_with_get(server: FaultServer) -> None:
    wrong = {**TYPED, "Docker-Content-Digest": OTHER, "Content-Length": "7"}
    always_when(server, "HEAD", "", Answer(200, wrong))
    digest = MANIFEST.descriptor.digest
    assert Harness(server).repository.resolve(digest).digest == digest


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_the_refusal_of_get_is_final(server: FaultServer, status: int) -> None:
    always_when(server, "", "/manifests/", Answer(status))
    with pytest.raises(OciError, match=f"{status}|no .* in the registry|asks for authentication"):
        Harness(server).repository.resolve("1")
    assert [seen.method for seen in server.seen] == ["HEAD", "GET"]


@pytest.mark.parametrize("challenge", ["", 'Basic realm="x"'])
def test_a_refused_password_is_sent_again_only_where_it_was_not_what_was_refused(
    server: FaultServer, challenge: str
) -> None:
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    always_when(server, "HEAD", "", Answer(401, headers))
    repository = Harness(server, Credential("user", "password-of-user")).repository
    if challenge:
        with pytest.raises(AuthenticationFailed, match="refused the credentials"):
            repository.resolve("1")
        assert len(server.seen) == 1
    else:
        assert repository.resolve("1").digest == MANIFEST.descriptor.digest


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_a_server_in_trouble_with_head_is_asked_for_what_is_wanted(server: FaultServer, status: int) -> None:
    always_when(server, "HEAD", "", Answer(status, {"Retry-After": "30"}))
    harness = Harness(server)
    assert harness.repository.resolve("1").digest == MANIFEST.descriptor.digest
    assert [seen.method for seen in server.seen] == ["HEAD", "GET"]
    assert harness.sleeps == []
    assert Harness(server, push=True).repository.push_blob(source_of(b"z" * 100)) == UPLOADED


def test_whoever_asks_for_time_gets_it(server: FaultServer) -> None:
    server.script("HEAD", "", Answer(429, {"Retry-After": "5"}))
    harness = Harness(server)
    harness.repository.resolve("1")
    assert [seen.method for seen in server.seen] == ["HEAD", "HEAD"]
    assert 5 <= harness.sleeps[0] <= 7


def test_a_registry_in_trouble_is_asked_as_often_as_retries_says(server: FaultServer) -> None:
    always_when(server, "", "", Answer(503))
    with pytest.raises(RegistryError, match="503"):
        Harness(server, retries=2).repository.resolve("1")
    assert [seen.method for seen in server.seen] == ["HEAD", "GET", "GET", "GET"]


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_doubtful_manifest_is_looked_for_with_get_where_head_is_refused(server: FaultServer, status: int) -> None:
    always_when(server, "HEAD", "/manifests/", Answer(status))
    # taken, and answered by something else
    server.script("PUT", "/manifests/", Answer(200))
    Harness(server, push=True).repository.push_manifest(MANIFEST, "1")


@pytest.mark.parametrize("status", [400, 401, 403, 405, 409, 410, 501])
def test_a_blob_is_uploaded_where_it_is_not_known_to_be_there(server: FaultServer, status: int) -> None:
    server.add_blob(b"x" * 100)
    always_when(server, "HEAD", "/blobs/", Answer(status))
    harness = Harness(server, push=True)
    assert harness.repository.push_blob(source_of(b"x" * 100)) == UPLOADED
    server.always("HEAD", "/blobs/", lambda _seen: None)
    assert Harness(server, push=True).repository.push_blob(source_of(b"x" * 100)) in (EXISTED, UPLOADED)


def test_a_doubtful_upload_is_looked_for_with_get_where_head_is_refused(server: FaultServer) -> None:
    always_when(server, "HEAD", "/blobs/", Answer(403))
    server.script("PUT", "/blobs/uploads/", Answer(200))
    with pytest.raises(PushFailed, match="is not there now"):
        Harness(server, push=True).repository.push_blob(source_of(b"y" * 100))
    server.add_blob(b"y" * 100)
    server.script("PUT", "/blobs/uploads/", Answer(200))
    assert Harness(server, push=True).repository.push_blob(source_of(b"y" * 100)) == UPLOADED


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status) for status in (400, 401, 403, 404, 405, 406, 501)),
        Answer(200, {"Content-Type": "application/json"}, b"{}"),
        Answer(200, {"Content-Type": media.OCI_INDEX}, b""),
        Answer(200, {"Content-Type": "text/html"}, b"<html>"),
        Answer(204),
    ],
    ids=lambda answer: f"{answer.status}-{answer.body[:6].decode()}",
)
@pytest.mark.parametrize("tag", ["nothing", "the subject", "a refusal", "no manifest"])
def test_no_answer_of_the_referrers_api_and_of_the_fallback_tag_is_an_error(
    server: FaultServer, answer: Answer, tag: str
) -> None:
    digest = MANIFEST.descriptor.digest
    always_when(server, "GET", "/referrers/", answer)
    fallback = digest.replace(":", "-")
    if tag == "the subject":
        server.tags[fallback] = digest
    elif tag != "nothing":
        always_when(server, "GET", f"/manifests/{fallback}", Answer(403 if tag == "a refusal" else 200, body=b"x"))
    assert Harness(server).repository.list_referrers(digest) == []


def test_an_index_that_is_the_subject_lists_no_referrers(server: FaultServer) -> None:
    child = {"mediaType": media.OCI_MANIFEST, "digest": MANIFEST.descriptor.digest, "size": len(MANIFEST.raw)}
    index = canonical_json({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [child]})
    digest = digest_of(index)
    always_when(server, "GET", "/referrers/", Answer(404))
    server.add_manifest(index, digest.replace(":", "-"), media.OCI_INDEX)
    assert Harness(server).repository.list_referrers(digest) == []


# what some registries answer for each tag that is not there
UNKNOWN = [400, 401, 403, 405, 410, 451, 501]


class TestTagsThatMayNotBeSeen:
    @pytest.mark.parametrize("status", UNKNOWN)
    def test_a_tag_that_the_list_lacks_is_not_there(self, server: FaultServer, status: int) -> None:
        always_when(server, "", "/manifests/2", Answer(status))
        assert find_tag(Harness(server).repository, "2") is None

    @pytest.mark.parametrize("status", UNKNOWN)
    def test_a_tag_that_the_list_has_is_refused(self, server: FaultServer, status: int) -> None:
        always_when(server, "", "/manifests/1", Answer(status))
        with pytest.raises(OciError, match=f"{status}|asks for authentication"):
            find_tag(Harness(server).repository, "1")

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_an_outage_is_no_answer(self, server: FaultServer, status: int) -> None:
        always_when(server, "", "/manifests/2", Answer(status))
        with pytest.raises(RegistryError, match=str(status)):
            find_tag(Harness(server, retries=0).repository, "2")
        assert server.requests("", "/tags/") == []

    def test_without_a_list_the_refusal_stands(self, server: FaultServer) -> None:
        always_when(server, "", "/manifests/2|/tags/", Answer(403))
        with pytest.raises(AuthenticationFailed, match="403"):
            find_tag(Harness(server).repository, "2")

    def test_an_ordinary_answer_needs_no_list(self, server: FaultServer) -> None:
        assert find_tag(Harness(server).repository, "2") is None
        found = find_tag(Harness(server).repository, "1")
        assert isinstance(found, Descriptor) and found.digest == MANIFEST.descriptor.digest
        assert server.requests("", "/tags/") == []

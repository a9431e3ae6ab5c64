# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests, tags and referrers of a registry that may lie, break off or know only half of the specification."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    DigestMismatch,
    InvalidContent,
    InvalidReference,
    NotFound,
    OciError,
    PushFailed,
    ReferrersUnsupported,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    MAX_MANIFEST_SIZE,
    Descriptor,
    canonical_json,
    load_json_object,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import (
    pages as registry_pages,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import referrers
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import (
    repository as registry,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
    Seen,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    manifest_of,
)

MANIFESTS = "/manifests/"
TYPED = {"Content-Type": media.OCI_MANIFEST}
SUBJECT = manifest_of(annotations={"is": "the subject"})
HTML = Answer(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>Log in</title>")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


# Resolving


def test_a_tag_is_resolved_by_one_head(server: FaultServer) -> None:
    manifest = manifest_of()
    server.add_manifest(manifest.raw, "1")
    assert Harness(server).repository.resolve("1") == manifest.descriptor
    assert server.lines() == ["HEAD /v2/org/app/manifests/1"]
    assert media.OCI_INDEX in server.seen[0].headers["Accept"]


HEADS = {
    "no digest": Answer(200, TYPED),
    "a digest that is none": Answer(200, {**TYPED, "Docker-Content-Digest": "sha256:abc"}),
    "no type": Answer(200, {"Docker-Content-Digest": digest_of(b"")}),
    "another type": Answer(200, {"Docker-Content-Digest": digest_of(b""), "Content-Type": "application/json"}),
    "no length": Answer(200, {**TYPED, "Docker-Content-Digest": digest_of(b"")}, has_length=False),
    "a length that is none": Answer(
        200, {**TYPED, "Docker-Content-Digest": digest_of(b""), "Content-Length": "\u00b2"}
    ),
    "no HEAD": Answer(405),
    "a bad request": Answer(400),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_says_too_little_is_followed_by_a_get(server: FaultServer, case: str) -> None:
    manifest = manifest_of()
    server.add_manifest(manifest.raw, "1")
    server.script("HEAD", MANIFESTS, HEADS[case])
    assert Harness(server).repository.resolve("1") == manifest.descriptor
    assert [seen.method for seen in server.seen] == ["HEAD", "GET"]


def test_a_digest_must_be_answered_with_itself(server: FaultServer) -> None:
    other = digest_of(b"other")
    server.script("HEAD", MANIFESTS, Answer(200, {**TYPED, "Docker-Content-Digest": other}, b"other"))
    with pytest.raises(NotFound):
        Harness(server).repository.resolve(digest_of(b"wanted"))
    server.script("HEAD", MANIFESTS, Answer(200, {**TYPED, "Docker-Content-Digest": other}, b"other"))
    server.script("GET", MANIFESTS, Answer(200, {**TYPED, "Docker-Content-Digest": other}, b"other"))
    with pytest.raises(InvalidContent, match=other):
        Harness(server).repository.resolve(digest_of(b"wanted"))


@pytest.mark.parametrize("method", ["resolve", "fetch_manifest"])
def test_a_tag_that_is_not_there(server: FaultServer, method: str) -> None:
    with pytest.raises(NotFound, match="There is no .*/org/app:nope in the registry"):
        getattr(Harness(server).repository, method)("nope")
    # HEAD alone does not settle it
    assert len(server.seen) == (2 if method == "resolve" else 1)


@pytest.mark.parametrize("identifier", ["../x", "a/b", "", "sha256:abc", "x?y", "a b", "a\n"])
@pytest.mark.parametrize("method", ["resolve", "fetch_manifest"])
def test_only_tags_and_digests_get_into_a_url(server: FaultServer, method: str, identifier: str) -> None:
    with pytest.raises(InvalidReference):
        getattr(Harness(server).repository, method)(identifier)
    assert server.seen == []


# Fetching


def test_a_manifest_is_fetched(server: FaultServer) -> None:
    manifest = manifest_of(annotations={"a": "b"})
    digest = server.add_manifest(manifest.raw, "1")
    repository = Harness(server).repository
    assert repository.fetch_manifest("1") == repository.fetch_manifest(digest) == manifest
    assert server.connections == 1


def test_a_sha512_keeps_its_name(server: FaultServer) -> None:
    raw = manifest_of().raw
    digest = "sha512:" + hashlib.sha512(raw).hexdigest()
    server.manifests[digest] = (media.OCI_MANIFEST, raw)
    assert Harness(server).repository.fetch_manifest(digest).descriptor.digest == digest


@pytest.mark.parametrize("identifier", ["1", SUBJECT.descriptor.digest])
def test_a_lying_digest_is_refused(server: FaultServer, identifier: str) -> None:
    headers = {**TYPED, "Docker-Content-Digest": SUBJECT.descriptor.digest}
    server.script("GET", MANIFESTS, Answer(200, headers, manifest_of().raw))
    with pytest.raises(DigestMismatch):
        Harness(server).repository.fetch_manifest(identifier)


BAD_MANIFESTS = {
    "html": (HTML, "found HTML"),
    "truncated": (Answer(200, TYPED, b'{"schemaVersion": 2, "config'), "is not JSON"),
    "empty": (Answer(200, TYPED), "is not JSON"),
    "a list": (Answer(200, TYPED, b"[]"), "not a JSON object"),
    "huge": (Answer(200, TYPED, b" " * (MAX_MANIFEST_SIZE + 1)), "more than 4194304 bytes"),
    "huge, chunked": (Answer(200, TYPED, b" " * (MAX_MANIFEST_SIZE + 1), is_chunked=True), "more than 4194304 bytes"),
    "a bomb": (
        Answer(200, {**TYPED, "Content-Encoding": "gzip"}, gzip.compress(bytes(200_000_000), 1)),
        "more than 4194304 bytes",
    ),
    "schema 1": (Answer(200, {"Content-Type": media.DOCKER_SCHEMA1_SIGNED + "; x=y"}, b"{}"), "schema 1"),
}


@pytest.mark.parametrize("case", BAD_MANIFESTS)
def test_what_is_no_manifest_is_refused(server: FaultServer, case: str) -> None:
    answer, words = BAD_MANIFESTS[case]
    server.always("GET", MANIFESTS, answer)
    with pytest.raises(InvalidContent, match=words):
        Harness(server).repository.fetch_manifest("1")


def test_a_manifest_that_breaks_off_is_fetched_again(server: FaultServer) -> None:
    manifest = manifest_of()
    broken = Answer(200, TYPED, manifest.raw, cut=50)
    server.script("GET", MANIFESTS, broken, Answer(503), Answer(200, TYPED, manifest.raw, cut=50, is_chunked=True))
    server.add_manifest(manifest.raw, "1")
    harness = Harness(server)
    assert harness.repository.fetch_manifest("1") == manifest
    assert len(harness.sleeps) == 3


def test_a_manifest_that_keeps_breaking_off_is_given_up(server: FaultServer) -> None:
    server.always("GET", MANIFESTS, Answer(200, TYPED, manifest_of().raw, cut=50))
    with pytest.raises(ConnectionFailed, match="broke off"):
        Harness(server).repository.fetch_manifest("1")
    assert len(server.seen) == 4


def test_a_compressed_manifest_is_unpacked(server: FaultServer) -> None:
    manifest = manifest_of()
    packed = Answer(200, {**TYPED, "Content-Encoding": "gzip"}, gzip.compress(manifest.raw))
    server.script("GET", MANIFESTS, packed)
    assert Harness(server).repository.fetch_manifest(manifest.descriptor.digest) == manifest


# Pushing


def test_a_manifest_is_pushed_as_it_is(server: FaultServer) -> None:
    manifest = manifest_of()
    Harness(server, push=True).repository.push_manifest(manifest, "1")
    assert server.manifests == {manifest.descriptor.digest: (media.OCI_MANIFEST, manifest.raw)}
    assert server.tags == {"1": manifest.descriptor.digest}


def test_an_index_is_pushed(server: FaultServer) -> None:
    raw = canonical_json({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []})
    Harness(server, push=True).repository.push_manifest(parse_manifest(raw, "", "The index"))
    assert server.manifests == {digest_of(raw): (media.OCI_INDEX, raw)}


def test_a_registry_that_alters_a_manifest_is_found_out(server: FaultServer) -> None:
    server.script("PUT", MANIFESTS, Answer(201, {"Docker-Content-Digest": digest_of(b"altered")}))
    with pytest.raises(PushFailed, match="stored .*/org/app:1 as sha256"):
        Harness(server, push=True).repository.push_manifest(manifest_of(), "1")


def lose(server: FaultServer, answer: Answer) -> None:
    """Take manifests, and never say so."""

    def take(seen: Seen) -> Answer:
        server._registry(seen)
        return answer

    server.always("PUT", "", take)


@pytest.mark.parametrize(
    "answer", [Answer(is_silent=True), Answer(504), Answer(200), Answer(202)], ids=["silent", "504", "200", "202"]
)
def test_a_manifest_whose_answer_is_lost_is_asked_for(server: FaultServer, answer: Answer) -> None:
    lose(server, answer)
    Harness(server, push=True, retries=1).repository.push_manifest(manifest_of(), "1")
    assert server.lines()[-1] == "HEAD /v2/org/app/manifests/1"
    assert server.tags == {"1": manifest_of().descriptor.digest}


def test_a_referrer_whose_answer_is_lost_is_listed(server: FaultServer) -> None:
    lose(server, Answer(is_silent=True))
    manifest = attached()
    harness = Harness(server, push=True, retries=0)
    server.referrers = {manifest.subject.digest: [manifest.descriptor.as_json()]}  # type: ignore[attr-defined]
    harness.repository.push_manifest(manifest)  # type: ignore[arg-type]
    assert server.tags == {}, "the registry lists it: no fallback tag"


@pytest.mark.parametrize("status", [200, 204])
def test_a_page_in_place_of_a_manifest_is_found_out(server: FaultServer, status: int) -> None:
    server.always("PUT", "", Answer(status, {"Content-Type": "text/html"}, b""))
    with pytest.raises(PushFailed, match=f"status {status}, but it is not there"):
        Harness(server, push=True).repository.push_manifest(manifest_of(), "1")
    assert server.tags == {}


def test_a_manifest_that_nobody_heard_of_again_is_an_error(server: FaultServer) -> None:
    server.always("", "", Answer(is_silent=True))
    with pytest.raises(ConnectionFailed, match="is not known: run the task again"):
        Harness(server, push=True, retries=1).repository.push_manifest(manifest_of(), "1")
    assert [seen.method for seen in server.seen] == ["PUT", "PUT", "HEAD"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_plain_no_is_not_doubted(server: FaultServer, status: int) -> None:
    server.always("PUT", "", Answer(status))
    with pytest.raises(OciError):
        Harness(server, push=True).repository.push_manifest(manifest_of(), "1")
    assert [seen.method for seen in server.seen] == ["PUT"]


def test_trouble_of_the_token_server_is_not_taken_for_a_bad_manifest(server: FaultServer) -> None:
    realm = f'Bearer realm="{server.url}/token",service="s"'
    server.always("", "^/v2/", Answer(401, {"WWW-Authenticate": realm}))
    server.always("GET", "^/token", Answer(503))
    with pytest.raises(RegistryError, match="token server 127.0.0.1 .* status 503") as failure:
        Harness(server).repository.fetch_manifest("1")
    assert failure.value.status == 503


def test_a_refused_manifest_says_why(server: FaultServer) -> None:
    body = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob\x1b unknown"}]}).encode()
    server.script("PUT", MANIFESTS, Answer(404, body=body))
    with pytest.raises(PushFailed, match=r"status 404 \(MANIFEST_BLOB_UNKNOWN blob  unknown\)"):
        Harness(server, push=True).repository.push_manifest(manifest_of(), "1")


# Tags


def page(names: object, link: str = "") -> Answer:
    headers = {"Content-Type": "application/json", **({"Link": f'<{link}>; rel="next"'} if link else {})}
    return Answer(200, headers, json.dumps({"name": "org/app", "tags": names}).encode())


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("/v2/org/app/tags/list?last=b&n=2", "/v2/org/app/tags/list?last=b&n=2"),
        ("list?last=b", "/v2/org/app/tags/list?last=b"),
        ("?last=b", "/v2/org/app/tags/list?last=b"),
        ("{url}/v2/x", "/v2/x"),
    ],
)
def test_tags_come_in_pages(server: FaultServer, link: str, target: str) -> None:
    server.script("GET", "", page(["a", "b"], link.format(url=server.url)), page(["b", "c"]))
    assert Harness(server).repository.list_tags() == ["a", "b", "c"]
    assert [seen.target for seen in server.seen] == ["/v2/org/app/tags/list?n=1000", target]


def test_the_next_page_of_tags_is_asked_for_while_one_is_read(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, found_asked = threading.Event(), []
    second = page(["b"])

    def answer(seen: Seen) -> Answer | None:
        if "last" not in seen.target:
            return page(["a"], "?last=a")
        asked.set()
        return second

    def read(raw: bytes, what: str) -> dict[str, Any]:
        found_asked.append(asked.wait(120))
        return load_json_object(raw, what)

    monkeypatch.setattr(registry_pages, "load_json_object", read)
    server.script("GET", "/tags/", answer, answer)
    assert Harness(server).repository.list_tags() == ["a", "b"]
    assert found_asked == [True, True]


def test_a_page_of_tags_that_fails_while_another_is_read(server: FaultServer) -> None:
    before = set(threading.enumerate())
    server.script("GET", "", page(["a"], "?x"), page(["b"], "?y"), Answer(404))
    with pytest.raises(NotFound, match="Listing the tags"):
        Harness(server).repository.list_tags()
    server.script("GET", "", page({"a": 1}, "?x"), page(["b"], "?y"), page(["c"]))
    with pytest.raises(InvalidContent, match="'tags' is not a list"):
        Harness(server).repository.list_tags()
    assert len(server.seen) <= 5, "nothing is asked for once it is known to be in vain"
    assert not [thread for thread in set(threading.enumerate()) - before if "ThreadPool" in thread.name]


def test_tags_that_are_none_are_left_out(server: FaultServer) -> None:
    server.script("GET", "", page(["a", "", 1, None, ["x"], "../b", "a\nb", "c"], "?next"), page(None))
    assert Harness(server).repository.list_tags() == ["a", "c"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([page(["a"], "?n=1000")], "repeats a page"),
        ([page(["a"], "?x"), page(["b"], "?y"), page(["b"], "?x")], "repeats a page"),
        ([page(["a"], "http://elsewhere.example/v2/")], "leads on to another host, 'elsewhere.example'"),
        ([page(["a"], "http://[::1")], "not an http or https URL"),
        ([page({"a": 1})], "'tags' is not a list"),
        ([HTML], "in place of JSON"),
        ([Answer(body=b'{"tags": ["a"')], "is not JSON"),
        ([Answer(400)], "status 400"),
    ],
)
def test_tag_lists_that_lead_nowhere(server: FaultServer, answers: list[Answer], words: str) -> None:
    server.script("GET", "", *answers)
    with pytest.raises(OciError, match=words):
        Harness(server).repository.list_tags()


def test_tag_lists_end(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_TAGS", 5)
    monkeypatch.setattr(registry_pages, "MAX_PAGES", 7)
    server.script("GET", "", page([f"t{number}" for number in range(6)]))
    with pytest.raises(InvalidContent, match="more than 5 tags"):
        Harness(server).repository.list_tags()
    server.script("GET", "", *(page(["a"], f"?{number}") for number in range(20)))
    with pytest.raises(RegistryError, match="more than 7 pages"):
        Harness(server).repository.list_tags()


def test_a_repository_that_is_not_there(server: FaultServer) -> None:
    server.script("GET", "", Answer(404))
    with pytest.raises(NotFound, match="Listing the tags of .*/org/app"):
        Harness(server).repository.list_tags()


# Referrers


def referrer(kind: str, size: int = 10) -> dict[str, object]:
    return {"mediaType": media.OCI_MANIFEST, "digest": digest_of(kind.encode()), "size": size, "artifactType": kind}


def index_of(*entries: object) -> bytes:
    return canonical_json({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": list(entries)})


FALLBACK_TAG = SUBJECT.descriptor.digest.replace(":", "-")


def test_referrers_by_the_api(server: FaultServer) -> None:
    server.referrers = {SUBJECT.descriptor.digest: [referrer("x/sig"), referrer("x/sbom")]}
    repository = Harness(server).repository
    assert [entry.artifact_type for entry in repository.list_referrers(SUBJECT.descriptor.digest)] == [
        "x/sig",
        "x/sbom",
    ]
    assert len(repository.list_referrers(SUBJECT.descriptor.digest, "x/sbom")) == 1
    assert repository.list_referrers(digest_of(b"lonely")) == []
    assert all("/referrers/" in line for line in server.lines())


@pytest.mark.parametrize("annotations", [{str(number): "" for number in range(1001)}, {"a": 1}, {"\ud800": "x"}, []])
def test_what_one_referrer_says_does_not_hide_the_others(server: FaultServer, annotations: object) -> None:
    """Registries repeat the annotations of whoever pushed a referrer."""
    bad = {**referrer("x/junk"), "annotations": annotations}
    raw = json.dumps({"schemaVersion": 2, "manifests": [bad, referrer("x/sig")]}).encode("ascii")
    server.always("GET", "/referrers/", Answer(200, {"Content-Type": media.OCI_INDEX}, raw))
    found = Harness(server).repository.list_referrers(SUBJECT.descriptor.digest)
    assert [(entry.artifact_type, entry.annotations) for entry in found] == [("x/junk", {}), ("x/sig", {})]


def test_referrers_come_in_pages(server: FaultServer) -> None:
    first = Answer(200, {"Content-Type": media.OCI_INDEX, "Link": '<?p=2>; rel="next"'}, index_of(referrer("a")))
    server.script("GET", "/referrers/", first, Answer(200, {"Content-Type": media.OCI_INDEX}, index_of(referrer("b"))))
    found = Harness(server).repository.list_referrers(SUBJECT.descriptor.digest)
    assert [entry.artifact_type for entry in found] == ["a", "b"]


NO_API = {
    "404": Answer(404, {"Content-Type": "text/html"}, b"<html>"),
    "405": Answer(405),
    "400": Answer(400),
    "501": Answer(501),
    "html": HTML,
    "json of another kind": Answer(200, {"Content-Type": "application/json"}, b'{"errors": []}'),
    "another media type": Answer(200, {"Content-Type": "application/json"}, manifest_of().raw),
}


@pytest.mark.parametrize("case", NO_API)
def test_referrers_by_the_fallback_tag(server: FaultServer, case: str) -> None:
    server.always("GET", "/referrers/", NO_API[case])
    server.add_manifest(index_of(referrer("x/sig")), FALLBACK_TAG, media.OCI_INDEX)
    found = Harness(server).repository.list_referrers(SUBJECT.descriptor.digest)
    assert [entry.artifact_type for entry in found] == ["x/sig"]


def test_no_referrers_at_all(server: FaultServer) -> None:
    assert Harness(server).repository.list_referrers(SUBJECT.descriptor.digest) == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(503),
        Answer(200, {"Content-Type": media.OCI_INDEX}, b'{"manifests": [{"digest": "x"}]}'),
        Answer(200, {"Content-Type": media.OCI_INDEX}, b'{"manifests": 7}'),
        Answer(200, {"Content-Type": media.OCI_INDEX}, b'{"manifests'),
    ],
)
def test_trouble_is_not_taken_for_an_empty_list(server: FaultServer, answer: Answer) -> None:
    server.always("GET", "/referrers/", answer)
    with pytest.raises(OciError):
        Harness(server, retries=0).repository.list_referrers(SUBJECT.descriptor.digest)


def test_too_many_referrers(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referrers, "MAX_REFERRERS", 3)
    server.referrers = {SUBJECT.descriptor.digest: [referrer(str(number)) for number in range(4)]}
    with pytest.raises(InvalidContent, match="more than 3 referrers"):
        Harness(server).repository.list_referrers(SUBJECT.descriptor.digest)


def attached(kind: str = "x/sig") -> object:
    return manifest_of(artifactType=kind, subject=SUBJECT.descriptor.as_json(), annotations={"k": "v"})


def test_a_registry_that_knows_subjects_gets_no_tag(server: FaultServer) -> None:
    server.script("PUT", MANIFESTS, Answer(201, {"OCI-Subject": SUBJECT.descriptor.digest}))
    Harness(server, push=True).repository.push_manifest(attached())  # type: ignore[arg-type]
    assert len(server.seen) == 1


def test_other_registries_get_the_fallback_tag(server: FaultServer) -> None:
    repository = Harness(server, push=True).repository
    first, second = attached("x/a"), attached("x/b")
    for manifest in (first, second, first):
        repository.push_manifest(manifest)  # type: ignore[arg-type]
    found = repository.list_referrers(SUBJECT.descriptor.digest)
    assert [entry.digest for entry in found] == [first.descriptor.digest, second.descriptor.digest]  # type: ignore[attr-defined]
    assert found[0].annotations == {"k": "v"}
    assert len(server.requests("PUT", FALLBACK_TAG)) == 2


def test_a_faster_client_does_not_lose_its_referrer(server: FaultServer) -> None:
    def overwritten(seen: object) -> Answer:
        server.add_manifest(index_of(referrer("x/faster")), FALLBACK_TAG, media.OCI_INDEX)
        return Answer(201)

    server.script("PUT", FALLBACK_TAG, overwritten)
    repository = Harness(server, push=True).repository
    repository.push_manifest(attached())  # type: ignore[arg-type]
    assert [entry.artifact_type for entry in repository.list_referrers(SUBJECT.descriptor.digest)] == [
        "x/faster",
        "x/sig",
    ]


def test_a_fallback_tag_that_does_not_stick_is_an_error(server: FaultServer) -> None:
    server.always("PUT", FALLBACK_TAG, Answer(201))
    with pytest.raises(ReferrersUnsupported, match="is not there after it was written"):
        Harness(server, push=True).repository.push_manifest(attached())  # type: ignore[arg-type]
    assert len(server.requests("PUT", FALLBACK_TAG)) == referrers.MAX_FALLBACK_WRITES
    theirs = canonical_json(
        {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [manifest_of().descriptor.as_json()]}
    )
    server.add_manifest(theirs, FALLBACK_TAG, media.OCI_INDEX)
    with pytest.raises(PushFailed, match="other clients kept replacing it"):
        Harness(server, push=True).repository.push_manifest(attached())  # type: ignore[arg-type]


def test_a_fallback_tag_of_another_kind_is_not_overwritten(server: FaultServer) -> None:
    server.add_manifest(manifest_of().raw, FALLBACK_TAG)
    before = dict(server.tags)
    with pytest.raises(ReferrersUnsupported, match="no referrers API, and the tag .* is something else"):
        Harness(server, push=True).repository.push_manifest(attached())  # type: ignore[arg-type]
    assert server.tags == before


def test_the_fallback_tag_of_a_sha512_is_cut(server: FaultServer) -> None:
    digest = "sha512:" + "ab" * 64
    Harness(server).repository.list_referrers(digest)
    assert server.lines()[1] == "GET /v2/org/app/manifests/sha512-" + "ab" * 32


def test_a_short_repository_name(server: FaultServer) -> None:
    with pytest.raises(NotFound):
        Harness(server, repository="app").repository.resolve("1")
    assert server.lines() == ["HEAD /v2/app/manifests/1", "GET /v2/app/manifests/1"]


def test_descriptors_stand_for_themselves(server: FaultServer) -> None:
    assert Harness(server).repository.blob_exists(Descriptor("", digest_of(b"x"), 1)) is False

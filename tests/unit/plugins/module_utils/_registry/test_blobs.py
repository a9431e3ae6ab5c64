# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs of a registry over a bad link: every byte arrives or a clear error does."""

from __future__ import annotations

import gzip
import os
import threading
import time
import zlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import urllib3

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DigestMismatch,
    NotFound,
    OciError,
    PushFailed,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import body as http_body
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import pace as http_pace
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import pauses
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import (
    EXISTED,
    MOUNTED,
    UPLOADED,
    BlobSource,
    read_blob,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import blobs as registry_blobs
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    source_of,
)

BLOB = os.urandom(1_000_000)
BLOBS = "/blobs/"
HAS_READ1 = hasattr(urllib3.HTTPResponse, "read1")
UPLOADS = "/blobs/uploads/"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def held(server: FaultServer, data: bytes = BLOB, algorithm: str = "sha256") -> Descriptor:
    return Descriptor("application/octet-stream", server.add_blob(data, algorithm), len(data))


def whole(harness: Harness, descriptor: Descriptor) -> bytes:
    return b"".join(read_blob(harness.repository, descriptor))


def ranges(server: FaultServer) -> list[str]:
    return [str(seen.headers.get("Range", "")) for seen in server.requests("GET", BLOBS)]


# Downloads


@pytest.mark.parametrize("size", [0, 1, http_body.CHUNK_SIZE, http_body.CHUNK_SIZE + 1])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_arrives(server: FaultServer, size: int, algorithm: str) -> None:
    data = BLOB[:size]
    assert whole(Harness(server), held(server, data, algorithm)) == data
    assert len(server.requests()) == 1


def test_an_offset_is_asked_for_by_a_closed_range(server: FaultServer) -> None:
    harness, descriptor = Harness(server), held(server)
    assert b"".join(harness.repository.stream_blob(descriptor, 999_000)) == BLOB[999_000:]
    assert ranges(server) == ["bytes=999000-999999"]


def test_an_offset_at_the_end_needs_no_request(server: FaultServer) -> None:
    assert list(Harness(server).repository.stream_blob(held(server), len(BLOB))) == []
    assert server.seen == []


@pytest.mark.parametrize("fault", ["close", "reset", "chunked", "no length"])
def test_a_broken_download_goes_on_where_it_stopped(server: FaultServer, fault: str) -> None:
    descriptor = held(server)
    server.script(
        "GET",
        BLOBS,
        Answer(
            body=BLOB,
            cut=400_000,
            is_reset=fault == "reset",
            is_chunked=fault == "chunked",
            has_length=fault not in ("chunked", "no length"),
        ),
    )
    harness = Harness(server)
    assert whole(harness, descriptor) == BLOB
    first, second = ranges(server)
    assert first == ""
    start = int(second.partition("=")[2].partition("-")[0])
    assert second == f"bytes={start}-999999"
    # a reset may take what the client had not read yet, and without read1 a broken piece is lost as a whole
    assert start == 400_000 or ((fault == "reset" or not HAS_READ1) and 0 < start < 400_000)
    assert len(harness.sleeps) == 1


class Breaking:
    """The body of an answer in urllib3 before 2.1, which has no read1: what a read had when the link broke is lost."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, amount: int, decode_content: bool) -> bytes:
        if amount > self.left:
            raise ConnectionResetError
        self.left -= amount
        return bytes(amount)


def test_little_is_lost_where_a_broken_read_is_lost() -> None:
    answer = SimpleNamespace(raw=Breaking(5_000_000), headers={"Content-Length": str(1 << 30)})
    came = 0
    with pytest.raises(http_body.BodyBroken):
        for chunk in http_body.raw_chunks(answer, 60):
            came += len(chunk)
    assert 5_000_000 - http_body.MIN_ROOM < came <= 5_000_000


def test_progress_is_no_failure(server: FaultServer) -> None:
    data = os.urandom(8 * http_body.CHUNK_SIZE)
    descriptor = held(server, data)

    def reset_soon(seen: object) -> Answer:
        answer = server._registry(server.seen[-1])
        answer.cut = http_body.CHUNK_SIZE
        return answer

    server.always("GET", BLOBS, reset_soon)
    assert whole(Harness(server, retries=1), descriptor) == data
    assert len(server.requests()) == 8


def test_the_bound_on_pauses_does_not_end_a_download_that_gets_on(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "MAX_TOTAL", 1.0)
    data = os.urandom(12 * http_body.CHUNK_SIZE)
    descriptor = held(server, data)

    def reset_soon(seen: object) -> Answer:
        answer = server._registry(server.seen[-1])
        answer.cut = http_body.CHUNK_SIZE
        return answer

    server.always("GET", BLOBS, reset_soon)
    harness = Harness(server)
    assert whole(harness, descriptor) == data
    assert sum(harness.sleeps) > 2


def test_the_bound_on_pauses_ends_a_download_that_does_not(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "MAX_TOTAL", 20.0)
    descriptor = held(server)
    server.always("GET", BLOBS, Answer(body=BLOB, cut=1000))
    harness = Harness(server, retries=100)
    with pytest.raises(ConnectionFailed, match="times without progress"):
        whole(harness, descriptor)
    assert 10 < sum(harness.sleeps) <= 20 + 1e-6


PAGE = {"Content-Type": "text/html; charset=utf-8"}


def test_a_page_in_place_of_a_blob_is_not_taken_for_its_start(server: FaultServer) -> None:
    descriptor = held(server)
    server.script("GET", BLOBS, Answer(200, PAGE, b"<html>"))
    assert whole(Harness(server), descriptor) == BLOB
    assert ranges(server) == ["", ""]
    server.always("GET", BLOBS, Answer(200, PAGE, b"<html>"))
    with pytest.raises(ConnectionFailed, match="a web page came in its place"):
        whole(Harness(server), descriptor)


def test_a_blob_that_is_a_page_is_one(server: FaultServer) -> None:
    page = b"<html>a file of a web site</html>"
    server.always("GET", BLOBS, Answer(200, PAGE, page))
    assert whole(Harness(server), held(server, page)) == page


def test_a_trickle_of_progress_is_a_failure(server: FaultServer) -> None:
    descriptor = held(server)

    def one_byte(seen: object) -> Answer:
        answer = server._registry(server.seen[-1])
        answer.cut = 1
        return answer

    server.always("GET", BLOBS, one_byte)
    with pytest.raises(ConnectionFailed, match="3 times without progress"):
        whole(Harness(server, retries=2), descriptor)
    assert len(server.requests()) == 3


def test_retries_0_means_one_request(server: FaultServer) -> None:
    descriptor = held(server)
    server.always("GET", BLOBS, Answer(body=BLOB, cut=500_000))
    with pytest.raises(ConnectionFailed, match="raise 'retries'"):
        whole(Harness(server, retries=0), descriptor)
    assert len(server.requests()) == 1


@pytest.mark.parametrize("status", [200, 416])
def test_a_server_without_ranges_sends_it_all_again(server: FaultServer, status: int) -> None:
    descriptor = held(server)
    server.script("GET", BLOBS, Answer(body=BLOB, cut=400_000), Answer(status, body=BLOB if status == 200 else b""))
    assert whole(Harness(server), descriptor) == BLOB
    assert len(server.requests()) == (2 if status == 200 else 3)


def test_a_part_that_starts_earlier_is_cut(server: FaultServer) -> None:
    descriptor = held(server)
    early = Answer(206, {"Content-Range": "bytes 100000-999999/1000000"}, BLOB[100_000:])
    server.script("GET", BLOBS, Answer(body=BLOB, cut=400_000), early)
    assert whole(Harness(server), descriptor) == BLOB


@pytest.mark.parametrize(
    "content_range", ["bytes 500000-999999/1000000", "", "bytes x-y/z", "bytes ²-3/4", "items 1-2/3"]
)
def test_a_part_that_starts_elsewhere_is_asked_for_again(server: FaultServer, content_range: str) -> None:
    descriptor = held(server)
    wrong = Answer(206, {"Content-Range": content_range.encode().decode("latin-1")}, BLOB[500_000:])
    server.script("GET", BLOBS, Answer(body=BLOB, cut=400_000), wrong)
    assert whole(Harness(server), descriptor) == BLOB
    assert ranges(server)[1:] == ["bytes=400000-999999"] * 2


def test_chunked_and_unsized_bodies_arrive(server: FaultServer) -> None:
    descriptor = held(server)
    server.script("GET", BLOBS, Answer(body=BLOB, is_chunked=True), Answer(body=BLOB, has_length=False))
    harness = Harness(server)
    assert whole(harness, descriptor) == BLOB
    assert whole(harness, descriptor) == BLOB


@pytest.mark.parametrize("body", [BLOB[:-1] + bytes([BLOB[-1] ^ 1]), BLOB + b"!"], ids=["other", "long"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_other_bytes_are_refused(server: FaultServer, body: bytes, is_chunked: bool) -> None:
    descriptor = held(server)
    server.script("GET", BLOBS, Answer(body=body, is_chunked=is_chunked))
    with pytest.raises(DigestMismatch):
        whole(Harness(server), descriptor)
    assert len(server.requests()) == 1


def test_a_short_blob_with_a_matching_length_is_refused(server: FaultServer) -> None:
    descriptor = held(server)
    server.always("GET", BLOBS, Answer(body=BLOB[:1000]))
    with pytest.raises(ConnectionFailed, match="ended after 1000 of 1000000 bytes"):
        whole(Harness(server), descriptor)


def test_what_follows_the_promised_length_is_not_read(server: FaultServer) -> None:
    descriptor = held(server)
    server.script("GET", BLOBS, Answer(body=BLOB, extra=b"HTTP/1.1 200 OK\r\n\r\n" * 1000))
    assert whole(Harness(server), descriptor) == BLOB


def test_endless_bodies_are_cut_off(server: FaultServer) -> None:
    descriptor = held(server, b"small")
    server.script("GET", BLOBS, Answer(body=b"x" * 50_000_000, has_length=False))
    with pytest.raises(DigestMismatch, match="longer"):
        whole(Harness(server), descriptor)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("name", ["gzip", "GZIP", "deflate"])
def test_a_compressed_answer_is_unpacked(server: FaultServer, name: str, compress: object) -> None:
    text = b"compressible " * 100_000
    descriptor = held(server, text)
    packed = compress(text)  # type: ignore[operator]
    server.script("GET", BLOBS, Answer(headers={"Content-Encoding": name}, body=packed))
    assert whole(Harness(server), descriptor) == text
    assert server.seen[0].headers["Accept-Encoding"] == "identity"


def test_a_compressed_blob_with_a_content_encoding_is_kept(server: FaultServer) -> None:
    packed = gzip.compress(b"a layer" * 1000)
    descriptor = held(server, packed)
    server.script("GET", BLOBS, Answer(headers={"Content-Encoding": "gzip"}, body=packed))
    assert whole(Harness(server), descriptor) == packed


def test_a_broken_compressed_answer_starts_over(server: FaultServer) -> None:
    text = os.urandom(500_000) * 2
    descriptor = held(server, text)
    packed = gzip.compress(text)
    encoded = {"Content-Encoding": "gzip"}
    server.script(
        "GET",
        BLOBS,
        Answer(headers=encoded, body=packed, cut=len(packed) // 2),
        Answer(206, {**encoded, "Content-Range": "bytes 400000-999999/1000000"}, packed[:-1]),
        Answer(headers=encoded, body=packed),
    )
    assert whole(Harness(server), descriptor) == text
    assert ranges(server)[2] == ""


@pytest.mark.parametrize("coding", ["aws-chunked", "binary", "none", "utf-8", "br", "aws-chunked, binary", ""])
def test_the_digest_decides_whatever_the_coding_is_called(server: FaultServer, coding: str) -> None:
    descriptor = held(server)
    bodies = (BLOB, b"?" * len(BLOB))
    server.script("GET", BLOBS, *(Answer(headers={"Content-Encoding": coding}, body=body) for body in bodies))
    assert whole(Harness(server), descriptor) == BLOB
    with pytest.raises(DigestMismatch):
        whole(Harness(server), descriptor)


@pytest.mark.parametrize("coding", ["aws-chunked, gzip", "GZIP", "x-gzip ,binary"])
def test_a_list_of_codings_with_a_compression_is_unpacked(server: FaultServer, coding: str) -> None:
    descriptor = held(server)
    server.script("GET", BLOBS, Answer(headers={"Content-Encoding": coding}, body=gzip.compress(BLOB)))
    assert whole(Harness(server), descriptor) == BLOB


def test_a_bomb_is_not_unpacked(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = held(server)
    bomb = gzip.compress(bytes(50_000_000), 1)
    server.script("GET", BLOBS, Answer(headers={"Content-Encoding": "gzip"}, body=bomb))
    sizes: list[int] = []
    real = registry_blobs.unpacked

    def counted(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for piece in real(chunks):
            sizes.append(len(piece))
            yield piece

    monkeypatch.setattr(registry_blobs, "unpacked", counted)
    with pytest.raises(DigestMismatch, match="longer"):
        whole(Harness(server), descriptor)
    assert 0 < sum(sizes) <= len(BLOB) + http_body.CHUNK_SIZE


def test_what_is_unpacked_comes_in_small_pieces() -> None:
    packed = gzip.compress(bytes(20_000_000))
    sizes = [len(piece) for piece in http_body.unpacked(iter([packed]))]
    assert (sum(sizes), max(sizes)) == (20_000_000, http_body.CHUNK_SIZE)


def test_a_stalled_body_times_out(server: FaultServer) -> None:
    descriptor = held(server)
    server.script("GET", BLOBS, Answer(body=BLOB, cut=300_000, stall=600))
    # the rest is asked for again, and has the same time
    start = time.monotonic()
    assert whole(Harness(server, timeout=1.0, retries=20), descriptor) == BLOB
    assert time.monotonic() - start < 300


def test_a_dripping_body_is_given_up(server: FaultServer) -> None:
    descriptor = held(server)
    server.always("GET", BLOBS, Answer(body=BLOB, drip=(5, 0.05)))
    with pytest.raises(ConnectionFailed, match="bytes in"):
        whole(Harness(server, timeout=0.3, retries=1), descriptor)


def test_time_the_caller_takes_is_not_the_registrys(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (http_body, http_pace):
        monkeypatch.setattr(module, "MIN_RATE", 100_000_000)
    descriptor = held(server)
    # what passes by this clock passes while the caller has the bytes
    position, now = 0, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for chunk in Harness(server, timeout=100.0).repository.stream_blob(descriptor):
        position += len(chunk)
        if position < 600_000:
            now += 250
    assert (position, len(server.requests())) == (len(BLOB), 1)


def test_a_blob_that_is_not_there(server: FaultServer) -> None:
    with pytest.raises(NotFound, match=r"BLOB_UNKNOWN blob unknown"):
        whole(Harness(server), Descriptor("", digest_of(b"no"), 2))


def test_an_abandoned_download_is_no_error(server: FaultServer) -> None:
    harness, descriptor = Harness(server), held(server, os.urandom(3_000_000))
    chunks = harness.repository.stream_blob(descriptor)
    next(chunks)
    del chunks
    assert whole(harness, descriptor)


def test_downloads_in_threads_share_connections(server: FaultServer) -> None:
    descriptors = [held(server, os.urandom(100_000)) for _blob in range(40)]
    harness = Harness(server)
    failures: list[BaseException] = []

    def fetch(own: list[Descriptor]) -> None:
        try:
            for descriptor in own:
                whole(harness, descriptor)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=fetch, args=(descriptors[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert server.connections <= 4


# Uploads


def test_a_blob_that_is_there_is_not_sent(server: FaultServer) -> None:
    server.add_blob(BLOB)
    assert Harness(server, push=True).repository.push_blob(source_of(BLOB)) == EXISTED
    assert [seen.method for seen in server.seen] == ["HEAD"]


@pytest.mark.parametrize("data", [BLOB, b""], ids=["some", "empty"])
def test_a_blob_is_uploaded_in_one_request(server: FaultServer, data: bytes) -> None:
    assert Harness(server, push=True).repository.push_blob(source_of(data)) == UPLOADED
    assert server.blobs == {digest_of(data): data}
    put = server.requests("PUT")[0]
    assert put.headers["Content-Length"] == str(len(data))
    # the registry's own state comes back as it was, and once
    assert put.target == f"/v2/org/app{UPLOADS}1?state=a%2Bb&state=2&digest=sha256%3A{digest_of(data)[7:]}"
    assert server.connections == 1


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/org/app/blobs/uploads/7", "/v2/org/app/blobs/uploads/7?digest="),
        ("7?x=1", "/v2/org/app/blobs/uploads/7?x=1&digest="),
        ("?x=1", "/v2/org/app/blobs/uploads/?x=1&digest="),
        ("7#fragment", "/v2/org/app/blobs/uploads/7?digest="),
    ],
)
def test_locations_may_be_relative(server: FaultServer, location: str, target: str) -> None:
    server.script("POST", UPLOADS, Answer(202, {"Location": location}))
    Harness(server, push=True).repository.push_blob(source_of(BLOB))
    assert server.requests("PUT")[0].target.startswith(target)


@pytest.mark.parametrize("location", ["", "http://[::1", "http://h:99999/", "ftp://127.0.0.1/x", "//:80/"])
def test_a_useless_location_is_an_error(server: FaultServer, location: str) -> None:
    server.script("POST", UPLOADS, Answer(202, {"Location": location}))
    with pytest.raises((PushFailed, RegistryError)):
        Harness(server, push=True).repository.push_blob(source_of(BLOB))


def test_an_upload_elsewhere_gets_no_credential(server: FaultServer) -> None:
    with FaultServer() as other:
        server.script("POST", UPLOADS, Answer(202, {"Location": other.url + "/v2/x/blobs/uploads/1?sig=s3cret"}))
        credential = Credential("user", "passw0rd")
        harness = Harness(server, credential, push=True)
        assert harness.repository.push_blob(source_of(BLOB)) == UPLOADED
        assert [seen.authorization for seen in server.seen] == ["Basic " + credential.basic] * 2
        assert [seen.authorization for seen in other.seen] == [""]
        # a challenge from there is no reason to give it one
        server.script("POST", UPLOADS, Answer(202, {"Location": other.url + "/v2/x/blobs/uploads/1?sig=s3cret"}))
        other.script("PUT", "", Answer(401, {"WWW-Authenticate": f'Basic realm="{other.url}"'}))
        with pytest.raises(AuthenticationFailed) as failure:
            harness.repository.push_blob(source_of(b"another"))
        assert [seen.authorization for seen in other.seen] == ["", ""]
        assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("fault", ["503", "reset", "lost"])
def test_a_broken_upload_is_opened_anew(server: FaultServer, fault: str) -> None:
    def lose(seen: object) -> Answer:
        server.add_blob(BLOB)
        return Answer(502)

    answers = {"503": Answer(503, {"Retry-After": "7"}), "reset": Answer(is_silent=True), "lost": lose}
    server.script("PUT", UPLOADS, answers[fault])
    harness = Harness(server, push=True)
    assert harness.repository.push_blob(source_of(BLOB)) == UPLOADED
    assert server.blobs == {digest_of(BLOB): BLOB}
    puts = [seen.path.rpartition("/")[2] for seen in server.requests("PUT")]
    # never again to an upload whose state is unknown, and not at all when the blob arrived
    assert puts == (["1"] if fault == "lost" else ["1", "2"])
    assert len(harness.sleeps) == 1
    assert 7 <= harness.sleeps[0] <= 9 or fault != "503"


def test_an_upload_that_keeps_failing_is_given_up(server: FaultServer) -> None:
    server.always("PUT", UPLOADS, Answer(503))
    with pytest.raises(PushFailed, match="status 503"):
        Harness(server, push=True, retries=2).repository.push_blob(source_of(BLOB))
    assert len(server.requests("PUT")) == 3


@pytest.mark.parametrize("bound", ["503", "reset"])
def test_the_bound_on_pauses_ends_an_upload(server: FaultServer, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(pauses, "MAX_TOTAL", 20.0)
    fault = Answer(503, {"Retry-After": "3"}) if bound == "503" else Answer(is_silent=True)
    server.always("PUT", UPLOADS, fault)
    harness = Harness(server, push=True, retries=100)
    with pytest.raises(OciError):
        harness.repository.push_blob(source_of(BLOB))
    assert 10 < sum(harness.sleeps) <= 20 + 1e-6


def test_a_page_in_place_of_an_upload_is_found_out(server: FaultServer) -> None:
    server.always("PUT", UPLOADS, Answer(200, {"Content-Type": "text/html"}, b"<html>Welcome</html>"))
    with pytest.raises(PushFailed, match="status 200, but the blob is not there"):
        Harness(server, push=True).repository.push_blob(source_of(BLOB))
    assert len(server.requests("PUT")) == 1


def test_an_upload_that_is_taken_with_another_word_is_asked_for(server: FaultServer) -> None:
    def take(seen: object) -> Answer:
        server.add_blob(BLOB)
        return Answer(200)

    server.script("PUT", UPLOADS, take)
    assert Harness(server, push=True).repository.push_blob(source_of(BLOB)) == UPLOADED


def test_a_refused_upload_is_not_repeated(server: FaultServer) -> None:
    good = source_of(BLOB)
    changed = BlobSource(good.descriptor, source_of(BLOB[:-1] + bytes([BLOB[-1] ^ 1])).open)
    with pytest.raises(PushFailed, match="DIGEST_INVALID"):
        Harness(server, push=True).repository.push_blob(changed)
    assert len(server.requests("PUT")) == 1


def test_opening_an_upload_is_repeated(server: FaultServer) -> None:
    server.script("POST", UPLOADS, Answer(502), Answer(429, {"Retry-After": "2"}))
    harness = Harness(server, push=True)
    assert harness.repository.push_blob(source_of(BLOB)) == UPLOADED
    assert len(harness.sleeps) == 2 and 2 <= harness.sleeps[1] <= 3


# Mounts


def test_a_blob_is_mounted(server: FaultServer) -> None:
    data, harness = source_of(BLOB), Harness(server, push=True)
    server.add_blob(BLOB)
    server.script("HEAD", BLOBS, Answer(404))
    assert harness.repository.push_blob(data, ["org/app", "other/base"]) == MOUNTED
    assert server.lines()[1:] == [
        f"POST /v2/org/app/blobs/uploads/?mount=sha256%3A{data.descriptor.digest[7:]}&from=other%2Fbase"
    ]


def test_a_refused_mount_becomes_the_upload(server: FaultServer) -> None:
    assert Harness(server, push=True).repository.push_blob(source_of(BLOB), ["other/base"]) == UPLOADED
    assert [seen.method for seen in server.seen] == ["HEAD", "POST", "PUT"]


def test_the_upload_of_a_refused_mount_is_not_used_twice(server: FaultServer) -> None:
    server.script("PUT", UPLOADS, Answer(503))
    assert Harness(server, push=True).repository.push_blob(source_of(BLOB), ["other/base"]) == UPLOADED
    assert [seen.path.rpartition("/")[2] for seen in server.requests("PUT")] == ["1", "2"]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 500])
def test_a_failed_mount_is_no_error(server: FaultServer, status: int) -> None:
    server.always("POST", "mount=", Answer(status))
    harness = Harness(server, push=True, retries=0)
    assert harness.repository.push_blob(source_of(BLOB), ["other/base"]) == UPLOADED


def test_a_mount_without_the_right_is_no_error(server: FaultServer) -> None:
    realm = server.url + "/token"
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="s",scope="repository:org/app:pull,push"'}
    server.always("", "^/v2/", lambda seen: None if seen.authorization else Answer(401, challenge))
    server.always(
        "GET", "^/token", lambda seen: Answer(403) if "other%2Fbase" in seen.target else Answer(body=b'{"token": "t"}')
    )
    harness = Harness(server, Credential("user", "secret-word"), push=True)
    # Basic is sent at once here; this registry only takes tokens
    server.script("HEAD", "^/v2/", Answer(401, challenge))
    assert harness.repository.push_blob(source_of(BLOB), ["other/base"]) == UPLOADED


@pytest.mark.parametrize("status", [418, 301, 304])
def test_an_odd_status_is_an_error(server: FaultServer, status: int) -> None:
    server.always("", "", Answer(status))
    for call in (
        lambda harness: whole(harness, held(server)),
        lambda harness: harness.repository.push_blob(source_of(BLOB)),
    ):
        with pytest.raises(OciError, match=f"status {status}"):
            call(Harness(server, push=True))

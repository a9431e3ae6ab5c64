# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs without requests: the same bytes, errors and requests as with it, for less work."""

from __future__ import annotations

import gzip
import io
import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ConnectionFailed, OciError, TlsFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import direct
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import progress
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.pipeline import START_SIZE
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource, read_blob
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    MANIFEST_TYPE,
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.tls_harness import (
    MANIFEST,
    Certificate,
    create_certificate,
    serve,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
)

MIB = 1024 * 1024
BLOB = os.urandom(MIB)
TEXT = b"compressible " * 50_000
BLOBS = "/blobs/"
# a whole answer, sent behind one that was asked for
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> list[Certificate]:
    """Of a server, of a client, and of a host of another name."""
    folder = tmp_path_factory.mktemp("direct")
    return [create_certificate(folder, "server"), create_certificate(folder, "client"),
            create_certificate(folder, "other", "registry.example")]  # fmt: skip


def held(server: FaultServer, data: bytes = BLOB) -> Descriptor:
    return Descriptor("application/octet-stream", server.add_blob(data), len(data))


def without_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whatever is sent or read by requests, and the answers of urllib3, fail."""
    import requests
    import urllib3

    def fail(*_arguments: object, **_options: object) -> Any:
        raise AssertionError("requests was used")

    monkeypatch.setattr(requests.Session, "send", fail)
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", fail)
    monkeypatch.setattr(urllib3.HTTPResponse, "__init__", fail)


# The same as with requests

Script = Callable[[FaultServer], None]


def _answers(*answers: Answer) -> Script:
    return lambda server: server.script("GET", BLOBS, *answers)


def _always(answer: Answer) -> Script:
    return lambda server: server.always("GET", BLOBS, answer)


def _redirects(location: str, *, is_loop: bool = False) -> Script:
    def install(server: FaultServer) -> None:
        server.add_manifest(MANIFEST.raw, "1")
        answer = Answer(307, {"Location": location.replace("HERE", server.url)})
        (server.always if is_loop else server.script)("GET", BLOBS, answer)
        server.always("GET", "/elsewhere", Answer(body=BLOB))

    return install


# what a server may do, and what has to come of it either way
SCRIPTS: dict[str, Script] = {
    "nothing odd": _answers(),
    "closed without an answer, once": _answers(Answer(is_silent=True)),
    "closed without an answer, always": _always(Answer(is_silent=True)),
    "reset in the body, once": _answers(Answer(body=BLOB, cut=400_000, is_reset=True)),
    "closed in the body, once": _answers(Answer(body=BLOB, cut=400_000)),
    "closed in the body, always": _always(Answer(body=BLOB, cut=1000)),
    "closed in a chunk": _answers(Answer(body=BLOB, cut=400_000, is_chunked=True)),
    "stalled in the body": _answers(Answer(body=BLOB, cut=400_000, stall=600)),
    "chunked": _answers(Answer(body=BLOB, is_chunked=True)),
    "unsized": _answers(Answer(body=BLOB, has_length=False)),
    "unsized and cut": _answers(Answer(body=BLOB[:9], has_length=False)),
    "length says less": _answers(Answer(headers={"Content-Length": "1000"}, body=BLOB)),
    "length says more": _answers(Answer(headers={"Content-Length": str(MIB + 1)}, body=BLOB, cut=MIB)),
    "length is no number": _answers(Answer(headers={"Content-Length": "many"}, body=BLOB, cut=MIB)),
    "two lengths": _answers(Answer(headers={"Content-Length": str(MIB), "content-length": "5"}, body=BLOB, cut=MIB)),
    "one length twice": _answers(Answer(headers={"Content-Length": str(MIB), "content-length": str(MIB)}, body=BLOB)),
    "more than the length": _answers(Answer(body=BLOB, extra=b"HTTP/1.1 200 OK\r\n\r\n" * 1000)),
    "other bytes": _answers(Answer(body=bytes(MIB))),
    "more bytes": _answers(Answer(body=BLOB + b"!")),
    "no bytes": _always(Answer(body=b"")),
    "a page": _answers(Answer(200, {"Content-Type": "text/html"}, b"<html>")),
    "gzip on the way": _answers(Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(BLOB))),
    "garbled gzip on the way": _answers(Answer(headers={"Content-Encoding": "gzip"}, body=b"no gzip")),
    "a coding that says nothing": _answers(Answer(headers={"Content-Encoding": "aws-chunked"}, body=BLOB)),
    "an early part": _answers(
        Answer(body=BLOB, cut=400_000),
        Answer(206, {"Content-Range": f"bytes 1000-{MIB - 1}/{MIB}"}, BLOB[1000:]),
    ),
    "no ranges": _answers(Answer(body=BLOB, cut=400_000), Answer(416)),
    "status 404": _always(Answer(404)),
    "status 503, once": _answers(Answer(503, {"Retry-After": "1"})),
    "status 503, always": _always(Answer(503, body=b'{"errors": [{"code": "X", "message": "in trouble"}]}')),
    "status 429 for long": _always(Answer(429, {"Retry-After": "3600"})),
    "status 401 without a challenge": _always(Answer(401)),
    "status 204": _always(Answer(204)),
    "a redirect": _redirects("HERE/elsewhere?signature=a%2Fb~c"),
    "a redirect that requests would rewrite": _redirects("HERE/a/../elsewhere?key=%7e {}"),
    "a redirect to a relative place": _redirects("/elsewhere"),
    "a redirect with a user": _redirects("http://user:secret@localhost:1/elsewhere"),
    "a redirect to nowhere": _redirects("ftp://localhost/elsewhere"),
    "a redirect to a closed port": _redirects("http://127.0.0.1:1/elsewhere"),
    "a redirect to half a name": _redirects("http://a..b/elsewhere"),
    "a redirect loop": _redirects("HERE/v2/org/app/blobs/again", is_loop=True),
    "a head without end": _always(Answer(headers={f"X-{number}": "x" for number in range(200)}, body=BLOB)),
    "a long line in the head": _always(Answer(headers={"X": "x" * 70_000}, body=BLOB)),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_as_with_requests(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    used: list[bool] = []
    real = direct.get
    for transport in (lambda *_arguments: None, lambda *arguments: used.append(True) or real(*arguments)):
        monkeypatch.setattr(direct, "get", transport)
        with serve() as server:
            descriptor = held(server)
            SCRIPTS[name](server)
            found.append(_outcome(server, descriptor, 2.0 if "stalled" in name else 60.0))
    with_requests, without = found
    assert without == with_requests and used


def _outcome(server: FaultServer, descriptor: Descriptor, timeout: float) -> object:
    """What reading a blob ends with, what is said of it, what was asked for, and how long was paused."""
    harness = Harness(server, timeout=timeout, retries=2)
    try:
        result: object = b"".join(read_blob(harness.repository, descriptor)) == BLOB
    except OciError as exc:
        # what broke off is named by the class of an exception, which is that of the library that read
        result = (type(exc), exc.reason, str(exc).replace(server.host, "HOST").partition(" (")[0], exc.hint)
    asked = [(seen.method, seen.target, bool(seen.headers.get("Range"))) for seen in server.requests()]
    sent = [sorted((key.lower(), value) for key, value in seen.headers.items() if key not in ("Host", "Range"))
            for seen in server.requests()]  # fmt: skip
    return result, asked, sent, len(harness.sleeps)


def test_a_proxy_is_left_to_requests(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Harness(server, proxy="http://127.0.0.1:1", no_proxy=("10.0.0.0/8",)).client.session
    assert direct.get(options, "http://127.0.0.2/v2/x/blobs/y", {}, 1.0) is None
    # and what is exempt from it is not
    descriptor = held(server)
    without_requests(monkeypatch)
    harness = Harness(server, proxy="http://127.0.0.1:1", no_proxy=("127.0.0.0/8",))
    assert b"".join(harness.repository.stream_blob(descriptor)) == BLOB


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://host/v2/a/blobs/sha256:0", "/v2/a/blobs/sha256:0"),
        ("https://[::1]:5000/x?X-Sig=a%2Fb&c=~", "/x?X-Sig=a%2Fb&c=~"),
        ("http://user@host/x", ""),
        ("http://host", ""),
        ("http://host/a/../b", ""),
        ("http://host/a%7Eb", ""),
        ("http://host/a%2fb", ""),
        ("http://host/a%zzb", ""),
        ("http://host/a b", ""),
        ("http://höst/a", ""),
        ("http://host/a#b", ""),
        ("http://host/a\r\nX: y", ""),
        ("http://host/a\n", ""),
    ],
)
def test_what_requests_would_alter_is_left_to_it(url: str, target: str) -> None:
    import requests

    assert direct._target(url) == target
    if target:
        prepared = requests.Request("GET", url).prepare()
        assert (prepared.url, prepared.path_url) == (url, target)


# Connections


def test_blobs_and_manifests_share_a_connection(server: FaultServer) -> None:
    harness = Harness(server)
    harness.repository.fetch_manifest("1")
    for number in range(20):
        data = BLOB[number:]
        assert b"".join(harness.repository.stream_blob(held(server, data))) == data
    harness.repository.resolve("1")
    assert server.connections == 1


def test_an_answer_that_is_not_read_ends_its_connection(server: FaultServer) -> None:
    harness, descriptor = Harness(server), held(server, BLOB * 3)
    chunks: Any = harness.repository.stream_blob(descriptor)
    assert next(chunks)
    chunks.close()
    assert b"".join(harness.repository.stream_blob(descriptor)) == BLOB * 3
    assert server.connections == 2


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [10, 100_000])
def test_what_nobody_asked_for_is_no_answer_to_the_next_request(
    server: FaultServer, size: int, is_chunked: bool
) -> None:
    harness = Harness(server)
    wanted, other = BLOB[:size], BLOB[1 : size + 1]
    server.script("GET", BLOBS, Answer(body=wanted, extra=FORGED, is_chunked=is_chunked))
    assert b"".join(harness.repository.stream_blob(held(server, wanted))) == wanted
    assert b"".join(harness.repository.stream_blob(held(server, other))) == other
    assert server.connections == 2
    assert len(server.requests("GET", BLOBS)) == 2


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_nor_to_one_that_requests_sends(server: FaultServer, method: str) -> None:
    harness = Harness(server)
    digest = server.add_manifest(MANIFEST.raw, "1")
    headers = {"Content-Type": MANIFEST_TYPE, "Docker-Content-Digest": digest}
    server.script("GET", "/manifests/", Answer(headers=headers, body=MANIFEST.raw, extra=FORGED))
    # a body behind the answer to HEAD, as odd servers send it
    size = {"Content-Length": str(len(MANIFEST.raw))}
    server.script("HEAD", "/manifests/", Answer(headers={**headers, **size}, extra=FORGED))
    ask = harness.repository.resolve if method == "HEAD" else harness.repository.fetch_manifest
    ask("1")
    ask("1")
    assert server.connections == 2
    assert len(server.requests(method, "/manifests/")) == 2


def test_tls_is_as_for_other_requests(certificates: list[Certificate], monkeypatch: pytest.MonkeyPatch) -> None:
    own, client, other = certificates

    def read(server: FaultServer, **options: Any) -> bytes:
        harness = Harness(server, **{"insecure": False, "retries": 0, "ca_cert": str(own.cert), **options})
        return b"".join(harness.repository.stream_blob(held(server)))

    identity = {"client_cert": str(client.cert), "client_key": str(client.key)}
    without_requests(monkeypatch)
    with serve(own) as server:
        assert read(server) == BLOB
        assert read(server, ca_cert="", validate_certs=False) == BLOB
        with pytest.raises(TlsFailed, match="is not trusted"):
            read(server, ca_cert="")
    with serve(other) as server, pytest.raises(TlsFailed, match="is for another host"):
        read(server, ca_cert=str(other.cert))
    with serve(own, client) as server:
        assert read(server, **identity) == BLOB
        assert [seen.client for seen in server.requests()] == ["client"]
        with pytest.raises((TlsFailed, ConnectionFailed), match="client certificate"):
            read(server)
    # another place than the registry sees neither certificate nor credential, whether or not it asks for one
    with serve(own, client) as server, serve(own, client, wanted=ssl.CERT_OPTIONAL) as store:
        store.always("GET", "/store", Answer(body=BLOB))
        server.script("GET", BLOBS, Answer(307, {"Location": f"{store.url}/store"}))
        assert read(server, **identity) == BLOB
        assert [(seen.client, seen.authorization) for seen in store.requests()] == [("", "")]


def test_a_plain_registry_may_send_a_blob_over_tls(certificates: list[Certificate], server: FaultServer) -> None:
    with serve(certificates[0]) as store:
        store.always("GET", "/store", Answer(body=BLOB))
        server.script("GET", BLOBS, Answer(307, {"Location": f"{store.url}/store"}))
        harness = Harness(server, ca_cert=str(certificates[0].cert))
        assert b"".join(harness.repository.stream_blob(held(server))) == BLOB


# The work


def test_no_class_of_requests_has_a_part_in_blobs(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = held(server)
    server.script("GET", BLOBS, Answer(307, {"Location": "/v2/other/blobs/" + descriptor.digest}))
    without_requests(monkeypatch)
    assert b"".join(Harness(server).repository.stream_blob(descriptor)) == BLOB
    assert len(server.requests()) == 2


def calls(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, are called in this thread."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_the_work_for_a_layer(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of functions: a layer of 1 MiB takes at most half of what it takes with requests."""
    harness, descriptor = Harness(server), held(server)

    def read() -> None:
        assert sum(len(chunk) for chunk in harness.repository.blob_views(descriptor)) == MIB

    read()
    mine = min(calls(read) for _attempt in range(3))
    monkeypatch.setattr(direct, "get", lambda *_arguments: None)
    read()
    theirs = min(calls(read) for _attempt in range(3))
    assert mine < 1100 and mine < theirs / 2, (mine, theirs)


def test_small_records_are_gathered(certificates: list[Certificate]) -> None:
    """TLS hands on at most 16 KiB at a time; what follows costs as often as a piece is handed on."""
    with serve(certificates[0]) as server:
        descriptor = held(server)
        harness = Harness(server, insecure=False, ca_cert=str(certificates[0].cert))
        # a busy machine may take its time: a piece is handed on unfilled after a quarter of a second
        sizes = min(([len(chunk) for chunk in harness.repository.blob_views(descriptor)] for _try in range(5)), key=len)
    assert sum(sizes) == MIB and len(sizes) <= 8


def test_one_buffer_is_used_again(server: FaultServer) -> None:
    harness = Harness(server)
    owners = set()
    for number in range(5):
        data = os.urandom(MIB + number)
        came = b""
        for chunk in harness.repository.blob_views(held(server, data)):
            assert isinstance(chunk, memoryview)
            owners.add(id(chunk.obj))
            came += chunk
        assert came == data
    assert len(owners) == 1
    # two that are read in turn do not share it
    one, other = (harness.repository.blob_views(held(server, data)) for data in (BLOB, bytes(MIB)))
    first, second = next(one), next(other)
    assert first == BLOB[: len(first)] and not any(second)
    # what is kept while the next piece comes is not in it
    large = os.urandom(START_SIZE)
    assert b"".join(harness.repository.blob_views(held(server, large))) == large
    assert all(isinstance(chunk, bytes) for chunk in harness.repository.stream_blob(held(server)))


def test_what_came_before_a_failure_is_not_lost(server: FaultServer) -> None:
    harness = Harness(server)
    descriptor = held(server)
    server.script("GET", BLOBS, Answer(body=BLOB, cut=400_000))
    assert b"".join(map(bytes, harness.repository.blob_views(descriptor))) == BLOB
    assert [seen.headers.get("Range") for seen in server.requests()] == [None, f"bytes=400000-{MIB - 1}"]


@pytest.mark.parametrize("is_direct", [True, False])
def test_bytes_are_told_as_they_arrive(is_direct: bool, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_direct:
        monkeypatch.setattr(direct, "get", lambda *_arguments: None)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    harness = Harness(server)
    reports: list[progress.Report] = []
    monkeypatch.setattr(progress.transfers, "listeners", [reports.append])
    descriptor, size = held(server), 0
    for chunk in harness.repository.stream_blob(descriptor):
        size += len(chunk)
        assert (reports[-1].done, reports[-1].total) == (size, MIB)
    assert size == MIB


def test_a_time_out_of_a_socket_is_set_once(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is a system call."""
    settings: list[float | None] = []
    real = socket.socket.settimeout

    class Counting(socket.socket):
        def settimeout(self, seconds: float | None) -> None:
            settings.append(seconds)
            real(self, seconds)

    monkeypatch.setattr(socket, "socket", Counting)
    harness = Harness(server)
    data = os.urandom(8 * MIB)
    descriptor = held(server, data)
    assert b"".join(harness.repository.stream_blob(descriptor)) == data
    settings.clear()
    assert b"".join(harness.repository.stream_blob(descriptor)) == data
    assert len(settings) < 20, len(settings)
    settings.clear()
    del server.blobs[descriptor.digest]
    harness.repository.push_blob(BlobSource(descriptor, lambda: io.BytesIO(data)))
    assert server.blobs[descriptor.digest] == data
    assert len(settings) < 40, len(settings)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers that send a byte now and then, wherever an exchange has bytes: every operation ends, with a clear error.

No test waits for less than a tenth of what it allows, and what is tested would take a minute or more without a limit.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud.endpoint import CloudClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    OciError,
    is_outage,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.threads import run_within
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import answer as http_answer
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import pace as http_pace
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http.pace import Meter, PacedConnection, TooSlow
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube import api as kube_api
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeApi, KubeOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.rest import KubeRest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.tests.support.forward_proxy import ForwardProxy
from ansible_collections.cloudnative.artifacts.tests.support.socks_proxy import SocksProxy
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.slow_server import (
    BODIES,
    HEADS,
    Pieces,
    SlowLink,
    SlowServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.tls_harness import (
    MANIFEST,
    Certificate,
    create_certificate,
    serve,
    server_context,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    source_of,
)

# Seconds. An attempt may take a few time-outs, and there are two or three; MOST is far from that, for machines that do
# much else, and far from what it would take without a bound.
TIMEOUT, RETRIES, MOST = 0.5, 1, 120.0
DATA = b"some data"
# several records of TLS
LARGE = bytes(100_000)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("certificates"), "server")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serve() as server:
        yield server


Operation = Callable[[SlowServer, FaultServer], object]


def _harness(server: Any, **options: Any) -> Harness:
    return Harness(server, **{"timeout": TIMEOUT, "retries": RETRIES, **options})


def _upload(slow: SlowServer, registry: FaultServer) -> object:
    registry.always("POST", "/blobs/uploads/", Answer(202, {"Location": f"{slow.url}/upload"}))
    return _harness(registry, push=True).repository.push_blob(source_of(DATA))


def _token(slow: SlowServer, registry: FaultServer) -> object:
    registry.always("", "", Answer(401, {"WWW-Authenticate": f'Bearer realm="{slow.url}/token"'}))
    return _harness(registry).repository.resolve("1")


def _redirect(slow: SlowServer, registry: FaultServer) -> object:
    registry.always("", "", Answer(307, {"Location": f"{slow.url}/elsewhere"}))
    return _harness(registry).repository.fetch_manifest("1")


def _kube(slow: SlowServer, _registry: FaultServer) -> KubeOptions:
    return KubeOptions(host=slow.url, api_key="t0ken", timeout=TIMEOUT)


def _cloud(slow: SlowServer, method: str) -> object:
    options = ConnectionOptions(insecure=True, timeout=TIMEOUT, retries=RETRIES)
    with CloudClient(slow.host, options, lambda _seconds: None) as client:
        if method == "registry":
            return client.post_to_registry("/oauth2/exchange", {"service": slow.host})
        return getattr(client, method)(f"{slow.url}/token", {})


OPERATIONS: dict[str, Operation] = {
    "resolve": lambda slow, _: _harness(slow).repository.resolve("1"),
    "manifest": lambda slow, _: _harness(slow).repository.fetch_manifest("1"),
    "blob": lambda slow, _: b"".join(_harness(slow).repository.stream_blob(source_of(DATA * 20000).descriptor)),
    "tags": lambda slow, _: _harness(slow).repository.list_tags(),
    "referrers": lambda slow, _: _harness(slow).repository.list_referrers(MANIFEST.descriptor.digest),
    "exists": lambda slow, _: _harness(slow).repository.blob_exists(source_of(DATA).descriptor),
    "push of a manifest": lambda slow, _: _harness(slow, push=True).repository.push_manifest(MANIFEST, "1"),
    "push of a blob": _upload,
    "token": _token,
    "redirect": _redirect,
    "login": lambda slow, _: _harness(slow).client.check_login(),
    "cloud": lambda slow, _: _cloud(slow, "get"),
    "cloud's exchange": lambda slow, _: _cloud(slow, "registry"),
    "metadata": lambda slow, _: _cloud(slow, "metadata"),
    "kubernetes": lambda slow, _: KubeRest(_kube(slow, _)).get("/api/v1/namespaces/x"),
    "kubernetes patch": lambda slow, _: KubeRest(_kube(slow, _)).merge("/api/v1/namespaces/x", {"a": "b"}),
    "secret": lambda slow, _: KubeApi(_kube(slow, _)).secret("x", "y"),
}
# whose answer has no body, or whose body matters to nobody
HEADS_ALONE = ("resolve", "exists", "push of a manifest", "push of a blob", "login")


def _outcome(operation: Operation, pieces: Pieces) -> tuple[Exception | None, float, int]:
    """What an operation ends with, after how long, and how many connections it made.

    One that did not come to the slow server in time, as on a machine that stands still for a moment, proves nothing.
    """
    for _try in range(5):
        start = time.monotonic()
        with SlowServer(pieces) as slow, serve() as registry:
            failure: Exception | None = None
            try:
                run_within(2 * MOST, lambda: operation(slow, registry))
            except Exception as exc:  # also Unavailable, which is no error of a module
                failure = exc
        if failure is None or slow.connections:
            break
    return failure, time.monotonic() - start, slow.connections


@pytest.mark.parametrize("stage", [*HEADS, *BODIES])
def test_an_answer_that_never_ends(stage: str) -> None:
    pieces = {**HEADS, **BODIES}[stage]
    names = [name for name in OPERATIONS if stage in HEADS or name not in HEADS_ALONE]
    with ThreadPoolExecutor(len(names)) as pool:
        begun = {name: pool.submit(_outcome, OPERATIONS[name], pieces) for name in names}
        outcomes = {name: each.result() for name, each in begun.items()}
    wrong = {
        name: outcome
        for name, outcome in outcomes.items()
        if type(outcome[0]).__name__ not in ("ConnectionFailed", "Unavailable") or outcome[1] > MOST or not outcome[2]
    }
    assert wrong == {}
    words = {name: str(outcome[0]) for name, outcome in outcomes.items()}
    assert [name for name, text in words.items() if not re.search(r"127\.0\.0\.1|Secret x/y|org/app", text)] == []


def test_how_much_of_an_answer_came_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the server sets ahead, once its client has the first piece."""
    came, ahead, real, count = threading.Event(), 0.0, time.monotonic, Meter.count
    monkeypatch.setattr(time, "monotonic", lambda: real() + ahead)

    def counted(meter: Meter, seconds: float, size: int, limit: float) -> None:
        count(meter, seconds, size, limit)
        if size == len(b"HTTP/1.1 200 "):
            came.set()

    def pieces() -> Iterator[bytes]:
        nonlocal ahead
        yield b"HTTP/1.1 200 "
        assert came.wait(MOST)
        ahead += 100
        yield b"x"

    monkeypatch.setattr(Meter, "count", counted)
    words = r"got no complete answer within 60 s \((only 13 bytes came|14 bytes in 1\d\d s)\)"
    with SlowServer(pieces) as slow, pytest.raises(ConnectionFailed, match=words):
        _harness(slow, retries=0, timeout=60.0).repository.fetch_manifest("1")


def test_an_outage_for_last_good() -> None:
    with SlowServer(HEADS["header"]) as slow:
        harness = _harness(slow)
        with pytest.raises(ConnectionFailed) as failure:
            run_within(2 * MOST, lambda: harness.repository.fetch_manifest("1"))
    assert is_outage(failure.value) and len(harness.sleeps) == RETRIES


def test_interim_answers_are_passed_over(server: FaultServer) -> None:
    body = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    answer = body + head % (MANIFEST.descriptor.media_type.encode(), len(MANIFEST.raw)) + MANIFEST.raw
    with SlowServer(lambda: iter([answer])) as slow:
        assert _harness(slow, timeout=60).repository.fetch_manifest("1").raw == MANIFEST.raw


def test_what_is_slow_but_moves_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the server sets ahead before each piece, nearly as far as its client may wait in all."""
    data, ahead, received, real = DATA * 100_000, 0.0, 0, time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + ahead)

    def pieces() -> Iterator[bytes]:
        nonlocal ahead
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        start = 0
        while start < len(data):
            # the head has a time of its own: until the client is at the body, little is sent
            size = 100_000 if received else 1000
            ahead += 50 if received else 0
            part = data[start : start + size]
            start += size
            yield b"%x\r\n%s\r\n" % (len(part), part)
        yield b"0\r\n\r\n"

    with SlowServer(pieces) as slow:
        harness, whole = _harness(slow, retries=0, timeout=60.0), b""
        for chunk in harness.repository.stream_blob(source_of(data).descriptor):
            whole += bytes(chunk)
            received += len(chunk)
        assert whole == data and slow.connections == 1 and ahead > 5 * 60


# Before the request: each stage of a connection


def _fails(words: str, operation: Callable[[Any], object] = lambda it: it.resolve("1"), **options: Any) -> None:
    start = time.monotonic()
    with pytest.raises(ConnectionFailed, match=words) as failure:
        run_within(2 * MOST, lambda: operation(_harness(**options).repository))
    assert time.monotonic() - start < MOST
    assert is_outage(failure.value)


def _fails_connected(
    words: str, operation: Callable[[Any], object] = lambda it: it.resolve("1"), **options: Any
) -> None:
    """As above, behind a connection: a machine that was not connected in time gets more of it."""
    seconds, failure = TIMEOUT / 2, None
    while failure is None or ("got no connection" in str(failure) and seconds < MOST / 4):
        seconds *= 2
        with pytest.raises(ConnectionFailed) as caught:
            run_within(2 * MOST, lambda seconds=seconds: operation(_harness(timeout=seconds, **options).repository))
        failure = caught.value
    assert re.search(words, str(failure)) and is_outage(failure)


def test_a_slow_handshake(certificate: Certificate) -> None:
    with serve(certificate) as server, SlowLink(server.port) as link:
        _fails("got no connection within 0.5 s", server=link, insecure=False, ca_cert=str(certificate.cert))


def _read_large(repository: Any) -> object:
    return b"".join(repository.stream_blob(source_of(LARGE).descriptor))


def test_slow_records(certificate: Certificate) -> None:
    """TLS is set up at once; then, in the middle of a record, bytes come one at a time."""
    with serve(certificate) as server, SlowLink(server.port, 8000) as link:
        server.add_blob(LARGE)
        _fails_connected("broke off after", _read_large, server=link, insecure=False, ca_cert=str(certificate.cert))


@pytest.mark.parametrize("stage", ["status line", "headers", "many continues"])
def test_a_proxy_that_never_answers_connect(stage: str, certificate: Certificate, server: FaultServer) -> None:
    with SlowServer(HEADS[stage]) as proxy:
        _fails(
            "(got no connection within 0.5 s|at the proxy)",
            server=server,
            insecure=False,
            ca_cert=str(certificate.cert),
            proxy=proxy.url,
        )


def test_a_proxy_over_tls_with_a_slow_handshake(certificate: Certificate, tmp_path: Path) -> None:
    own = create_certificate(tmp_path, "proxy", "localhost")
    both = own.cert.read_text() + certificate.cert.read_text()
    options = {"insecure": False, "ca_cert": both, "retries": 0}
    with serve(certificate) as server, ForwardProxy(tls=server_context(own)) as proxy:
        with SlowLink(proxy.port) as link:
            _fails("0.5 s|proxy", server=server, proxy=f"https://localhost:{link.port}", **options)
        # TLS in TLS: the slow link is behind the proxy
        server.add_blob(LARGE)
        for after, words, fails in ((0, "0.5 s|proxy", _fails), (8000, "broke off after", _fails_connected)):
            with SlowLink(server.port, after) as link:
                fails(words, _read_large, server=link, proxy=f"https://localhost:{proxy.port}", **options)


@pytest.mark.parametrize("scheme", ["socks5h", "socks4a"])
def test_a_slow_socks_proxy(scheme: str, server: FaultServer) -> None:
    answers = {"socks5h": [b"\x05", b"\x00", b"\x05\x00\x00\x03\xff"], "socks4a": [b"\x00", b"\x5a"]}[scheme]

    def pieces() -> Iterator[bytes]:
        yield from answers
        while True:
            yield b"x"

    with SlowServer(pieces, reads=False) as proxy:
        _fails("within 0.5 s", server=server, insecure=True, proxy=f"{scheme}://{proxy.host}")


def test_a_slow_link_through_socks(server: FaultServer) -> None:
    with SlowLink(server.port) as link, SocksProxy() as proxy:
        _fails_connected("no (complete )?answer within", server=link, proxy=f"socks5h://{proxy.host}")


def test_a_name_server_that_does_not_answer(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_args: object, **_options: object) -> Any:
        server.wait(5 * MOST)
        raise socket.gaierror("at last")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    _fails("got no connection within 0.5 s", server=server, host="registry.test:5000")


def test_the_next_address_gets_its_share(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address of a name swallows all packets: there is time left for the second."""
    dialled: list[str] = []
    real, now = PacedConnection._dial, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def dial(self: Any, address: str, timeout: float) -> Any:
        nonlocal now
        dialled.append(address)
        if address == "192.0.2.1":
            now += timeout
            raise socket.timeout("timed out")
        return real(self, address, timeout)

    monkeypatch.setattr(PacedConnection, "_dial", dial)
    monkeypatch.setattr(http_pace, "_addresses", lambda _host, _port: ["192.0.2.1", "127.0.0.1"])
    assert _harness(server, retries=0, timeout=120).repository.resolve("1") == MANIFEST.descriptor
    assert dialled == ["192.0.2.1", "127.0.0.1"]
    monkeypatch.setattr(http_pace, "_addresses", lambda _host, _port: ["192.0.2.1"] * 3)
    _fails("got no connection within 0.5 s", server=server)


# Uploads


def test_a_registry_that_does_not_read(server: FaultServer) -> None:
    data = bytes(40 * 1024 * 1024)
    with SlowServer(lambda: iter([])) as never, socket.create_server(("127.0.0.1", 0)) as listener:
        del never
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        place = f"http://127.0.0.1:{listener.getsockname()[1]}/upload"
        server.always("POST", "/blobs/uploads/", Answer(202, {"Location": place}))
        harness = _harness(server, push=True)
        start = time.monotonic()
        with pytest.raises(ConnectionFailed, match=r"the peer took fewer than 1024 bytes/s of the request"):
            run_within(2 * MOST, lambda: harness.repository.push_blob(source_of(data)))
        assert time.monotonic() - start < MOST


def test_a_peer_that_takes_a_byte_at_a_time() -> None:
    class Taker:
        taken = 0

        def settimeout(self, _seconds: float) -> None: ...

        def send(self, data: memoryview) -> int:
            time.sleep(0.05)
            self.taken += 1
            return 1

    connection = PacedConnection()
    connection.sock, connection.timeout = Taker(), 0.2
    start = time.monotonic()
    with pytest.raises(TooSlow, match="fewer than 1024 bytes/s"):
        connection.send(bytes(3000))
    assert time.monotonic() - start < MOST
    assert connection.sock.taken < 100


def test_the_least_rate() -> None:
    meter = Meter()
    for _second in range(9):
        meter.count(1.0, 1100, 3.0)
    with pytest.raises(TooSlow, match="4 s"):
        for _second in range(4):
            meter.count(1.0, 900, 3.0)


# Redirects and what is thrown away


def test_redirects_share_their_time(server: FaultServer) -> None:
    """Each takes nearly as long as one answer may."""

    def away(seen: Any) -> Answer:
        server.wait(0.4)
        return Answer(307, {"Location": f"/v2/org/app/manifests/{len(server.seen)}"})

    server.always("", "", away)
    with pytest.raises(ConnectionFailed, match=r"answer within 0.5 s"):
        _harness(server, retries=0).repository.resolve("1")
    assert len(server.seen) <= 4


def test_the_body_of_a_refusal_is_not_waited_for(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_answer, "ERROR_ANSWER_TIMEOUT", 1.0)
    server.always("GET", "/manifests/", Answer(503, body=b"x" * 6000, drip=(1, 0.1)))
    start = time.monotonic()
    with pytest.raises(OciError, match="503"):
        run_within(2 * MOST, lambda: _harness(server, timeout=20, retries=0).repository.fetch_manifest("1"))
    assert time.monotonic() - start < MOST


# Credentials of a kubeconfig


def test_a_credential_plugin_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_api, "MAX_LOGIN", 0.5)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["600"]}
    kubeconfig = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "x", "user": {"exec": {**plugin, "interactiveMode": "Never"}}}],
    }
    start = time.monotonic()
    with pytest.raises(AuthenticationFailed, match=r"took more than 0\.5 s.*'exec'"):
        KubeRest(KubeOptions(kubeconfig=kubeconfig)).get("/api/v1/namespaces/x")
    assert time.monotonic() - start < MOST

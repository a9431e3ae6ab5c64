# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy of the tests does to connections what its script says: seen by a client that helps itself to nothing."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fault_proxy import HTML, Answer, Fault, FaultProxy
from support.artifacts import Blob, Publisher, digest_of
from support.servers import RegistryServer

pytestmark = pytest.mark.once

DATA = bytes(range(1, 251)) * 1000
BLOB = f"/v2/faults/proxy/blobs/{digest_of(DATA)}"


@pytest.fixture(scope="module")
def published(registry: RegistryServer) -> RegistryServer:
    Publisher(registry.host, "faults/proxy").publish("1", [Blob(DATA)])
    return registry


@pytest.fixture
def proxy(published: RegistryServer) -> Iterator[FaultProxy]:
    with FaultProxy(published.host) as proxy:
        yield proxy


def ask(
    proxy: FaultProxy, path: str = BLOB, method: str = "GET", timeout: float = 120, **more: Any
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(proxy.host, timeout=timeout)
    try:
        connection.request(method, path, **more)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_without_a_script_everything_passes(proxy: FaultProxy) -> None:
    status, headers, body = ask(proxy)
    assert (status, body, headers["content-length"]) == (200, DATA, str(len(DATA)))
    assert ask(proxy, headers={"Range": "bytes=10-19"})[::2] == (206, DATA[10:20])
    assert ask(proxy, method="HEAD")[::2] == (200, b"")
    status, headers, _body = ask(proxy, "/v2/faults/proxy/blobs/uploads/", "POST")
    assert status == 202 and headers["location"].startswith(proxy.url), "the registry names the proxy"
    place = headers["location"].partition(proxy.host)[2]
    assert ask(proxy, f"{place}&digest={digest_of(b'new')}", "PUT", body=b"new")[0] == 201
    assert [seen.method for seen in proxy.seen] == ["GET", "GET", "HEAD", "POST", "PUT"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_connections_that_end(proxy: FaultProxy, method: str) -> None:
    """In the body; where there is none, in the head, of which the start is what http.client makes of it."""
    proxy.script("", "", *(Fault(reset_at=1000), Fault(close_at=1000), Fault(stall_at=1000), Fault(is_silent=True)))
    broken: list[Any] = [ConnectionResetError, http.client.IncompleteRead, TimeoutError, http.client.RemoteDisconnected]
    for number, error in enumerate(broken):
        if method == "HEAD" and number == 1:
            assert "content-length" not in ask(proxy, method=method)[1]
            continue
        with pytest.raises(error):
            ask(proxy, method=method, timeout=1 if error is TimeoutError else 120)
    assert proxy.stalls == 1
    assert proxy.sent == (3000 if method == "GET" else 0), "all that was sent before the break arrived"


@pytest.mark.parametrize("fault", [Fault(reset_at=1000), Fault(close_at=1000)], ids=["reset", "close"])
def test_uploads_that_end(proxy: FaultProxy, published: RegistryServer, fault: Fault) -> None:
    proxy.always("PUT", "", fault)
    place = ask(proxy, "/v2/faults/proxy/blobs/uploads/", "POST")[1]["location"].partition(proxy.host)[2]
    mark = published.mark()
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(proxy, f"{place}&digest={digest_of(DATA)}", "PUT", body=DATA)
    assert published.requests(since=mark) == [], "the registry did not hear of it"


def test_bodies_that_are_not_as_they_were(proxy: FaultProxy) -> None:
    faults = (
        Fault(garble_at=5000),
        Fault(is_chunked=True),
        Fault(claim=-10),
        Fault(claim=10),
        Fault(digest="sha256:x"),
    )
    proxy.script("GET", "", *faults)
    body = ask(proxy)[2]
    assert [place for place in range(len(DATA)) if body[place] != DATA[place]] == list(range(5000, 5016))
    _status, headers, body = ask(proxy)
    assert headers["transfer-encoding"] == "chunked" and "content-length" not in headers and body == DATA
    assert ask(proxy)[2] == DATA[:-10]
    with pytest.raises(http.client.IncompleteRead) as failure:
        ask(proxy)
    assert (failure.value.partial, failure.value.expected) == (DATA, 10)
    assert ask(proxy)[1]["docker-content-digest"] == "sha256:x"


def test_ranges(proxy: FaultProxy) -> None:
    wanted = {"headers": {"Range": "bytes=10-19"}}
    proxy.script("GET", "", Fault(ignores_range=True), Fault(answer=lambda seen: Answer(416) if seen.range else None))
    assert ask(proxy, **wanted)[::2] == (200, DATA)
    assert ask(proxy, **wanted)[0] == 416
    assert ask(proxy, **wanted)[0] == 206, "the script is over"


def test_a_drip(proxy: FaultProxy) -> None:
    proxy.script("GET", "", Fault(drip=(50_000, 0.1)))
    start = time.monotonic()
    assert ask(proxy)[2] == DATA
    assert time.monotonic() - start >= 0.4


def test_answers_in_the_registrys_place(proxy: FaultProxy, published: RegistryServer) -> None:
    mark = published.mark()
    proxy.script("GET", "", Fault(answer=Answer(503, {"Retry-After": "7"}, HTML)))
    status, headers, body = ask(proxy)
    assert (status, headers["retry-after"], body) == (503, "7", HTML)
    assert published.requests(since=mark) == []


def test_connections_that_are_refused(proxy: FaultProxy) -> None:
    idle = socket.create_connection(("127.0.0.1", proxy.port), timeout=120)
    while not proxy.connections:
        time.sleep(0.005)
    proxy.refuse()
    assert idle.recv(1) == b"", "those that there were are ended"
    for _attempt in range(2):
        with pytest.raises(ConnectionRefusedError):
            ask(proxy)
    proxy.accept()
    assert ask(proxy)[0] == 200
    idle.close()


def test_tokens(proxy: FaultProxy) -> None:
    proxy.require_tokens()
    status, headers, _body = ask(proxy)
    assert status == 401 and f'realm="{proxy.url}/token"' in headers["www-authenticate"]
    assert ask(proxy, headers={"Authorization": "Bearer made-up"})[0] == 401
    assert ask(proxy, "/token")[0] == 200
    known = {"headers": {"Authorization": f"Bearer {proxy.issued[0]}"}}
    assert ask(proxy, **known)[0] == 200
    proxy.script("GET", "/blobs/", Fault(refuses_token=True))
    assert [ask(proxy, **known)[0] for _time in range(2)] == [401, 200]

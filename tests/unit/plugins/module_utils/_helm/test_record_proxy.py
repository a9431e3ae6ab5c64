# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy that has Helm keep the record of one release in another namespace, and nothing else."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm import record_proxy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.record_proxy import (
    MAX_BODY,
    RecordRoute,
    record_session,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.rest import KubeRest

FROM, TO = "/api/v1/namespaces/objects/secrets", "/api/v1/namespaces/records/secrets"
RECORD = "sh.helm.release.v1.one.v12"
TOKEN = "the-token-of-the-module"


def created(name: str, kind: str = "helm.sh/release.v1") -> bytes:
    return json.dumps({"type": kind, "metadata": {"name": name}}).encode()


def selected(selector: str) -> str:
    return f"{FROM}?labelSelector={quote(selector, safe='')}"


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", f"{FROM}/{RECORD}", None),
        ("PUT", f"{FROM}/{RECORD}", b"{}"),
        ("DELETE", f"{FROM}/{RECORD}?gracePeriodSeconds=0", None),
        ("POST", FROM, created(RECORD)),
        ("POST", f"{FROM}?fieldManager=helm", created(RECORD)),
        ("GET", selected("name=one,owner=helm"), None),
        ("GET", selected("status=deployed,owner=helm,name=one"), None),
    ],
)
def test_requests_for_the_record(method: str, target: str, body: bytes | None) -> None:
    assert RecordRoute("one", "objects", "records").of(method, target, body) == target.replace(FROM, TO)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        # Secrets of the chart, and of other releases
        ("GET", f"{FROM}/password", None),
        ("GET", f"{FROM}/sh.helm.release.v1.one.v", None),
        ("GET", f"{FROM}/sh.helm.release.v1.one.v1x", None),
        ("GET", f"{FROM}/sh.helm.release.v1.one.v\u0661", None),
        ("GET", f"{FROM}/sh.helm.release.v1.other.v1", None),
        ("GET", f"{FROM}/sh.helm.release.v1.one.v1.v2", None),
        ("GET", f"{FROM}/{RECORD}/status", None),
        ("POST", FROM, created("password", "Opaque")),
        ("POST", FROM, created(RECORD, "Opaque")),
        ("POST", FROM, created("sh.helm.release.v1.other.v1")),
        ("GET", FROM, None),
        ("GET", selected("owner=helm"), None),
        ("GET", selected("name=one"), None),
        ("GET", selected("owner=helm,name=other"), None),
        ("DELETE", FROM, None),
        # what is not in the namespace of the objects
        ("GET", f"/api/v1/namespaces/others/secrets/{RECORD}", None),
        ("GET", f"/api/v1/namespaces/objects/configmaps/{RECORD}", None),
        ("GET", f"{FROM}x/{RECORD}", None),
        ("GET", "/version", None),
    ],
)
def test_requests_for_anything_else(method: str, target: str, body: bytes | None) -> None:
    assert RecordRoute("one", "objects", "records").of(method, target, body) == target


@dataclass
class Upstream:
    """An API server that answers with what it was asked, and how."""

    url: str = ""
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    # lets a watch go on
    event: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    state = Upstream()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_words: Any) -> None:
            pass

        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            state.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(size)))
            if "watch" in self.path:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"5\r\nfirst\r\n")
                state.event.wait(60)
                self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")
                return
            body = self.path.encode()
            self.send_response(404 if "missing" in self.path else 200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Kubernetes", "yes")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        yield state
        state.event.set()
        server.shutdown()


@dataclass
class Proxied:
    address: tuple[str, int]
    base: str
    kubeconfig: Path

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        connection.request(method, f"{self.base}{path}", body, {key.replace("_", "-"): headers[key] for key in headers})
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer


def opened(environment: Any) -> Proxied:
    path = Path(environment["KUBECONFIG"])
    url = urlsplit(json.loads(path.read_text())["clusters"][0]["cluster"]["server"])
    assert url.hostname == "127.0.0.1" and url.port
    return Proxied((url.hostname, url.port), url.path, path)


def api_of(url: str) -> KubeRest:
    return KubeRest(KubeOptions(host=url, api_key=TOKEN, timeout=60))


@pytest.fixture
def proxied(upstream: Upstream, tmp_path: Path) -> Iterator[Proxied]:
    api = api_of(upstream.url).acting_as("system:serviceaccount:objects:deployer")
    with record_session(api, RecordRoute("one", "objects", "records"), str(tmp_path)) as environment:
        yield opened(environment)


def test_requests_are_sent_on_as_the_module(proxied: Proxied, upstream: Upstream) -> None:
    own = {"Authorization": "Bearer other", "Impersonate_User": "root", "Impersonate_Group": "system:masters"}
    assert proxied.ask("GET", f"{FROM}/{RECORD}?x=1", **own, User_Agent="Helm/3") == (
        200,
        f"{TO}/{RECORD}?x=1".encode(),
    )
    assert proxied.ask("POST", FROM, created(RECORD)) == (200, TO.encode())
    assert proxied.ask("PATCH", f"{FROM}/password", b"{}") == (200, f"{FROM}/password".encode())
    assert proxied.ask("GET", "/missing") == (404, b"/missing")
    assert proxied.ask("HEAD", "/version") == (200, b"")
    assert [(method, body) for method, _path, _headers, body in upstream.seen] == [
        ("GET", b""),
        ("POST", created(RECORD)),
        ("PATCH", b"{}"),
        ("GET", b""),
        ("HEAD", b""),
    ]
    for _method, _path, headers, _body in upstream.seen:
        lower = {name.lower(): value for name, value in headers.items()}
        assert lower["authorization"] == f"Bearer {TOKEN}"
        assert lower["impersonate-user"] == "system:serviceaccount:objects:deployer"
        assert "impersonate-group" not in lower
    assert upstream.seen[0][2]["User-Agent"] == "Helm/3"


def test_only_who_was_told_the_secret(proxied: Proxied, upstream: Upstream) -> None:
    mode = stat.S_IMODE(proxied.kubeconfig.stat().st_mode)
    assert stat.S_IMODE(proxied.kubeconfig.parent.stat().st_mode) == 0o700
    assert mode == 0o600 and TOKEN not in proxied.kubeconfig.read_text()
    assert len(proxied.base) > 40
    for path in ("/", "/api", f"/{'x' * 43}/api", proxied.base[:-1] + "/api", "/%ff/api", "//api"):
        stranger = Proxied(proxied.address, "", proxied.kubeconfig)
        status, answer = stranger.ask("GET", path)
        assert status == 404 and json.loads(answer)["kind"] == "Status"
    assert upstream.seen == []


def test_requests_that_cannot_be_sent_on(proxied: Proxied, upstream: Upstream) -> None:
    assert proxied.ask("POST", FROM, b"k8s\x00protobuf")[0] == 415
    status, answer = proxied.ask("POST", FROM, None, Content_Length=str(MAX_BODY + 1))
    assert status == 413 and str(MAX_BODY) in json.loads(answer)["message"]
    assert proxied.ask("POST", FROM, None, Content_Length="-1")[0] == 411
    assert proxied.ask("POST", FROM, None, Transfer_Encoding="chunked")[0] == 411
    assert upstream.seen == []


def test_an_api_server_that_is_out_of_reach(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        api = api_of(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with record_session(api, RecordRoute("one", "objects", "records"), str(tmp_path)) as environment:
            status, answer = opened(environment).ask("GET", "/version")
    # where it is, and not where the proxy is
    assert status == 502 and api.server in answer.decode()


def test_a_watch_goes_on_while_it_is_read(proxied: Proxied, upstream: Upstream) -> None:
    connection = http.client.HTTPConnection(*proxied.address, timeout=30)
    connection.request("GET", f"{proxied.base}/watch")
    response = connection.getresponse()
    assert response.read1(100) == b"first"
    upstream.event.set()
    assert response.read() == b"second"


def test_nothing_is_left_when_helm_has_ended(upstream: Upstream, tmp_path: Path) -> None:
    """Also of a watch in which nothing happens, and of a connection that says nothing."""
    before = set(threading.enumerate())
    with record_session(api_of(upstream.url), RecordRoute("one", "objects", "records"), str(tmp_path)) as environment:
        proxied = opened(environment)
        silent = socket.create_connection(proxied.address)
        connection = http.client.HTTPConnection(*proxied.address, timeout=30)
        connection.request("GET", f"{proxied.base}/watch")
        response = connection.getresponse()
        assert response.read1(100) == b"first"
    assert os.listdir(tmp_path) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(proxied.address)
    assert silent.recv(1) == b""
    silent.close()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    connection.close()
    upstream.event.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), thread


def test_connections_are_bounded(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_proxy, "MAX_CLIENTS", 1)
    with record_session(api_of(upstream.url), RecordRoute("one", "objects", "records"), str(tmp_path)) as environment:
        proxied = opened(environment)
        connection = http.client.HTTPConnection(*proxied.address, timeout=30)
        connection.request("GET", f"{proxied.base}/version")
        assert connection.getresponse().read() == b"/version"
        with socket.create_connection(proxied.address) as other:
            assert other.recv(1) == b""
        connection.close()


def test_strangers_do_not_keep_helm_out(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody on this host can connect, and say nothing."""
    monkeypatch.setattr(record_proxy, "MAX_CLIENTS", 2)
    with record_session(api_of(upstream.url), RecordRoute("one", "objects", "records"), str(tmp_path)) as environment:
        proxied = opened(environment)
        strangers = [socket.create_connection(proxied.address) for _number in range(2)]
        assert proxied.ask("GET", "/version") == (200, b"/version")
        assert strangers[0].recv(1) == b""
        for stranger in strangers:
            stranger.close()


class ShortAnswer:
    """An answer of urllib3 before 2 whose connection was lost: it ends early, and raises nothing."""

    status, headers, connection = 200, {"Content-Length": "10"}, None

    def stream(self, _size: int, decode_content: bool) -> Iterator[bytes]:
        assert not decode_content
        yield b"half"

    def release_conn(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_an_answer_that_is_cut_off(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Helm has to see that it is, and would wait for the rest for ever."""
    monkeypatch.setattr(KubeRest, "forward", lambda *_request: ShortAnswer())
    with pytest.raises(http.client.IncompleteRead):
        proxied.ask("GET", "/version")

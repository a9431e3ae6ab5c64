# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A forward proxy for HTTP on a real socket of the loopback address: CONNECT, absolute-form, Basic, and a log."""

from __future__ import annotations

import base64
import contextlib
import http.client
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 30.0
_HOP_BY_HOP = ("proxy-authorization", "proxy-connection", "connection", "keep-alive", "host", "transfer-encoding")


@dataclass
class Relayed:
    """A request as it came to the proxy, and the status that the proxy gave or passed on."""

    method: str
    target: str
    headers: Mapping[str, str]
    status: int


class ForwardProxy:
    """Use as a context manager. ``hosts`` are names that only the proxy knows: name → where it leads to.

    With ``credentials`` (user name, password) every request has to bring them. ``log`` has every request in order.
    """

    scheme = "http"

    def __init__(
        self,
        credentials: tuple[str, str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        hosts: Mapping[str, tuple[str, int]] | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.log: list[Relayed] = []
        self.credentials = credentials
        self.hosts = dict(hosts or {})
        self._server = _Server((address, 0), type("Handler", (_Handler,), {"proxy": self}), tls)
        self.port = int(self._server.server_address[1])
        self.host = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"

    def __enter__(self) -> ForwardProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to where a client wants to get."""
        return socket.create_connection(self.hosts.get(host, (host, port)), timeout=TIMEOUT)

    def lines(self) -> list[str]:
        return [f"{entry.method} {entry.target} {entry.status}" for entry in self.log]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], handler: Any, tls: ssl.SSLContext | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    proxy: ForwardProxy
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def log_message(self, *args: object) -> None:
        pass

    def _is_allowed(self) -> bool:
        if self.proxy.credentials is None:
            return True
        wanted = base64.b64encode(":".join(self.proxy.credentials).encode()).decode()
        return self.headers.get("Proxy-Authorization") == f"Basic {wanted}"

    def _note(self, status: int) -> None:
        self.proxy.log.append(Relayed(self.command, self.path, dict(self.headers.items()), status))

    def _refuse(self, status: int) -> None:
        self._note(status)
        self.send_response(status)
        if status == 407:
            self.send_header("Proxy-Authenticate", 'Basic realm="tests"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_CONNECT(self) -> None:
        self.close_connection = True
        if not self._is_allowed():
            self._refuse(407)
            return
        host, _colon, port = self.path.rpartition(":")
        try:
            upstream = self.proxy.connect(host.strip("[]"), int(port))
        except (OSError, ValueError):
            self._refuse(502)
            return
        self._note(200)
        self.send_response_only(200, "Connection established")
        self.end_headers()
        with upstream:
            relay(self.connection, upstream)

    def _forward(self) -> None:
        parts = urlsplit(self.path)
        if not self._is_allowed() or parts.scheme != "http" or not parts.hostname:
            self.close_connection = True
            self._refuse(407 if not self._is_allowed() else 400)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        upstream = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
        try:
            upstream.sock = self.proxy.connect(parts.hostname, parts.port or 80)
            upstream.request(
                self.command, parts.path + (f"?{parts.query}" if parts.query else ""), body or None, headers
            )
            answer = upstream.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._refuse(502)
            return
        finally:
            upstream.close()
        self._note(answer.status)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in (*_HOP_BY_HOP, "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _forward


def relay(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side is done."""
    peers = {one: other, other: one}
    with contextlib.suppress(OSError):
        while True:
            # what TLS has read ahead is not seen by select
            ready = [each for each in peers if isinstance(each, ssl.SSLSocket) and each.pending()]
            ready = ready or select.select(list(peers), [], [], TIMEOUT)[0]
            if not ready:
                return
            for each in ready:
                data = each.recv(65536)
                if not data:
                    return
                peers[each].sendall(data)

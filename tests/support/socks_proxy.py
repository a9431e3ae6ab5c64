# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SOCKS5 proxy on a real socket of the loopback address (RFC 1928), with user name and password (RFC 1929)."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Mapping

from ansible_collections.cloudnative.artifacts.tests.support.forward_proxy import TIMEOUT, relay

_ANONYMOUS, _PASSWORD, _NO_METHOD = 0, 2, 0xFF
_IPV4, _NAME, _IPV6 = 1, 3, 4
_SUCCEEDED, _UNREACHABLE = 0, 4


class SocksProxy:
    """Use as a context manager. ``hosts`` are names that only the proxy knows: name → where it leads to.

    ``log`` has, in order, where clients wanted to get, as ``host:port``; ``refused`` counts failed logins.
    """

    def __init__(
        self,
        credentials: tuple[str, str] | None = None,
        hosts: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        self.log: list[str] = []
        self.refused = 0
        self.credentials = credentials
        self.hosts = dict(hosts or {})
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.port = int(self._server.server_address[1])
        self.host = f"127.0.0.1:{self.port}"

    def __enter__(self) -> SocksProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Handler(socketserver.StreamRequestHandler):
    proxy: SocksProxy
    timeout = TIMEOUT

    def handle(self) -> None:
        if self._greet():
            self._connect()

    def _greet(self) -> bool:
        _version, count = self._take("!BB")
        offered = self.rfile.read(count)
        wanted = _ANONYMOUS if self.proxy.credentials is None else _PASSWORD
        if wanted not in offered:
            self.wfile.write(bytes([5, _NO_METHOD]))
            return False
        self.wfile.write(bytes([5, wanted]))
        if wanted == _ANONYMOUS:
            return True
        self._take("!B")
        given = tuple(self.rfile.read(self._take("!B")[0]).decode() for _field in range(2))
        is_right = given == self.proxy.credentials
        self.proxy.refused += not is_right
        self.wfile.write(bytes([1, 0 if is_right else 1]))
        return is_right

    def _connect(self) -> None:
        _version, _command, _reserved, kind = self._take("!BBBB")
        if kind == _NAME:
            host = self.rfile.read(self._take("!B")[0]).decode()
        else:
            family, size = (socket.AF_INET, 4) if kind == _IPV4 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, self.rfile.read(size))
        port = int(self._take("!H")[0])
        self.proxy.log.append(f"{host}:{port}")
        try:
            upstream = socket.create_connection(self.proxy.hosts.get(host, (host, port)), timeout=TIMEOUT)
        except OSError:
            self._answer(_UNREACHABLE)
            return
        with upstream, contextlib.suppress(OSError):
            self._answer(_SUCCEEDED)
            relay(self.connection, upstream)

    def _answer(self, code: int) -> None:
        self.wfile.write(bytes([5, code, 0, _IPV4, 0, 0, 0, 0, 0, 0]))

    def _take(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.rfile.read(struct.calcsize(form)))

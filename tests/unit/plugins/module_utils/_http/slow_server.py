# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers that never fall silent and never come to an end, on real sockets of the loopback address."""

from __future__ import annotations

import abc
import contextlib
import itertools
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

# seconds between two pieces: well below every time limit of the tests
INTERVAL = 0.1
# seconds after which a peer ends, far beyond what any test allows: what ends before was ended by the client
LONGEST = 600.0

# what is sent: pieces, each followed by INTERVAL
Pieces = Callable[[], Iterator[bytes]]

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def _then(start: bytes, rest: bytes) -> Pieces:
    """``start`` at once, then ``rest`` again and again."""
    return lambda: itertools.chain([start] if start else [], itertools.repeat(rest))


# where the head of an answer never ends
HEADS: dict[str, Pieces] = {
    "status line": _then(b"HTTP/1.1 200 ", b"x"),
    "header": _then(_OK + b"X-Odd: ", b"x"),
    "headers": _then(_OK, b"A: b\r\n"),
    "continue": _then(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    # above the least rate, so that only a deadline ends it
    "many continues": _then(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
    "early hints": _then(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 40),
}
# where its body never does
BODIES: dict[str, Pieces] = {
    "body": _then(_OK + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{", b" "),
    "body without length": _then(_OK + b"Content-Type: application/json\r\nConnection: close\r\n\r\n{", b" "),
    "small chunks": _then(_CHUNKED + b"1\r\n{\r\n", b"1\r\n \r\n"),
    "chunk size": _then(_CHUNKED, b"0"),
    "chunk extension": _then(_CHUNKED + b"1;odd=", b"x"),
    "trailer": _then(_CHUNKED + b"2\r\n{}\r\n0\r\n", b"A: b\r\n"),
    "long trailer": _then(_CHUNKED + b"2\r\n{}\r\n0\r\n", b"A: b\r\n" * 400),
}


class _Listener:
    """Handles each connection in a thread of its own; a context manager. ``host`` goes in front of a path."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.port = int(self._listener.getsockname()[1])
        self.host = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Any:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    @abc.abstractmethod
    def _handle(self, connection: socket.socket) -> None:
        """Have a conversation, and close the connection."""


class SlowServer(_Listener):
    """Reads a request and sends what a stage says. Use as a context manager.

    ``reads`` says whether a request is waited for before anything is sent.
    """

    def __init__(self, pieces: Pieces, *, reads: bool = True) -> None:
        self._pieces = pieces
        self._reads = reads
        super().__init__()
        self.url = f"http://{self.host}"

    def _handle(self, connection: socket.socket) -> None:
        deadline = time.monotonic() + LONGEST
        with contextlib.suppress(OSError), connection:
            if self._reads:
                _read_request(connection)
            for piece in self._pieces():
                connection.sendall(piece)
                if self._stop.wait(INTERVAL) or time.monotonic() > deadline:
                    return


class SlowLink(_Listener):
    """Passes bytes on to a server; those that come back one at a time after the first ``after`` of a connection."""

    def __init__(self, port: int, after: int = 0) -> None:
        self._upstream = ("127.0.0.1", port)
        self._after = after
        super().__init__()

    def _handle(self, connection: socket.socket) -> None:
        passed, deadline = 0, time.monotonic() + LONGEST
        with contextlib.suppress(OSError), connection, socket.create_connection(self._upstream, 10) as upstream:
            while not self._stop.is_set() and time.monotonic() < deadline:
                ready, _write, _error = select.select([connection, upstream], [], [], 0.05)
                if connection in ready:
                    data = connection.recv(65536)
                    if not data:
                        return
                    upstream.sendall(data)
                if upstream in ready:
                    data = upstream.recv(max(1, self._after - passed))
                    if not data:
                        return
                    connection.sendall(data)
                    passed += len(data)
                    if passed > self._after:
                        self._stop.wait(INTERVAL)


def _read_request(connection: socket.socket) -> None:
    """Read the head of a request, and its body where a length says how much there is."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(65536)
        if not data:
            return
        head += data
    head, _end, body = head.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    left = (int(length[1]) if length else 0) - len(body)
    while left > 0:
        data = connection.recv(min(left, 65536))
        if not data:
            return
        left -= len(data)

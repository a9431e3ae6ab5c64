# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy on the loopback address that stands before a real registry and, by script, spoils what passes through.

Without a script it passes everything on as it is: the Host header too, so that the registry's own URLs lead back here.
With :meth:`FaultProxy.require_tokens` it is also the registry's token server.
"""

from __future__ import annotations

import contextlib
import email.utils
import fcntl
import http.client
import json
import re
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from secret_search import SEARCH, new_secret

PIECE = 1024 * 1024
# seconds after which a stalled connection ends, should its peer not have given up before
LONGEST_STALL = 60.0
HTML = b"<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>Accept our terms to go on.</body></html>\n"
# Linux: bytes that were sent and that the peer's kernel has not acknowledged yet
SIOCOUTQ = termios.TIOCOUTQ

_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    target: str
    authorization: str
    range: str

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


@dataclass(frozen=True)
class Answer:
    """What is said in the registry's place, which does not hear of the request."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    ``at`` counts bytes of the body on its way, which is the request's when it has one, else the answer's; where neither
    has, the fault strikes in the head of the answer. ``claim`` is by how much Content-Length is wrong.
    """

    answer: Answer | Callable[[Seen], Answer | None] | None = None
    # no answer at all, although the registry gave one
    is_silent: bool = False
    reset_at: int | None = None
    close_at: int | None = None
    stall_at: int | None = None
    garble_at: int | None = None
    # bytes at a time, and the seconds between them, for the body of the answer
    drip: tuple[int, float] | None = None
    # the same for its head
    drip_head: tuple[int, float] | None = None
    # sent without end: in place of the answer, or as the trailer of its chunks
    interim: bytes = b""
    trailer: bytes = b""
    claim: int = 0
    is_chunked: bool = False
    digest: str = ""
    ignores_range: bool = False
    # the token that the request carries is refused, as one that expired
    refuses_token: bool = False

    @property
    def breaks_at(self) -> int | None:
        return next((at for at in (self.reset_at, self.close_at, self.stall_at) if at is not None), None)


NO_FAULT = Fault()


class FaultProxy:
    """Use as a context manager; ``host`` goes in front of a repository."""

    def __init__(self, upstream: str) -> None:
        """``upstream`` is ``host:port`` of a registry that speaks plain HTTP."""
        self.upstream = upstream
        self.seen: list[Seen] = []
        self.sent = 0
        self.stalls = 0
        self._tokens: set[str] | None = None
        self.issued: list[str] = []
        self._scripts: list[tuple[str, re.Pattern[str], list[Fault], Fault | None]] = []
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._stop = threading.Event()
        self._listener = self._bind(0)
        self.port: int = self._listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> FaultProxy:
        self.accept()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._close_listener()
        self._drop_connections()
        # what an access log would hold
        SEARCH.capture("a fault proxy's log", "\n".join(f"{seen.method} {seen.target}" for seen in self.seen))

    # The script

    def script(self, method: str, pattern: str, *faults: Fault) -> None:
        """Spoil the next requests whose method and target match, one fault each."""
        self._scripts.append((method, re.compile(pattern), list(faults), None))

    def always(self, method: str, pattern: str, fault: Fault) -> None:
        """Spoil every request that matches, and that no script spoils."""
        self._scripts.append((method, re.compile(pattern), [], fault))

    def refuse(self) -> None:
        """Refuse connections, and break those that there are, until :meth:`accept`. The port stays taken."""
        self._close_listener()
        self._drop_connections()
        self._listener = self._bind(self.port)

    def accept(self) -> None:
        self._listener.listen(64)
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def require_tokens(self) -> None:
        """Demand bearer tokens, and give them to everybody at ``/token``."""
        self._tokens = set()

    # What came

    def requests(self, method: str = "", pattern: str = "") -> list[Seen]:
        with self._lock:
            return [seen for seen in self.seen if method in ("", seen.method) and re.search(pattern, seen.target)]

    # For connections

    @property
    def connections(self) -> int:
        """How many there are now."""
        with self._lock:
            return len(self._connections)

    def take(self, seen: Seen) -> Fault:
        with self._lock:
            self.seen.append(seen)
            fits = [
                script for script in self._scripts if script[0] in ("", seen.method) and script[1].search(seen.target)
            ]
            for _method, _pattern, faults, _lasting in fits:
                if faults:
                    return faults.pop(0)
            return next((lasting for *_rest, lasting in fits if lasting is not None), NO_FAULT)

    def token_answer(self, seen: Seen, fault: Fault) -> Answer | None:
        """What the token server says; None when the request is not its matter, or carries a token that is valid."""
        with self._lock:
            if self._tokens is None:
                return None
            if seen.path == "/token":
                token = new_secret("token")
                self._tokens.add(token)
                self.issued.append(token)
                return Answer(200, {"Content-Type": "application/json"}, json.dumps({"token": token}).encode())
            if seen.authorization.partition("Bearer ")[2] in self._tokens and not fault.refuses_token:
                return None
        challenge = f'Bearer realm="{self.url}/token",service="tests"'
        return Answer(401, {"WWW-Authenticate": challenge, "Content-Type": "application/json"}, b'{"errors":[]}')

    def count(self, size: int) -> None:
        with self._lock:
            self.sent += size

    def count_stall(self) -> None:
        with self._lock:
            self.stalls += 1

    def stall(self, connection: socket.socket) -> None:
        """Say nothing until the peer gives up."""
        self.count_stall()
        deadline = time.monotonic() + LONGEST_STALL
        connection.settimeout(0.05)
        while time.monotonic() < deadline and not self._stop.is_set():
            try:
                if not connection.recv(PIECE):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def wait(self, seconds: float) -> bool:
        """Sleep, unless all is over."""
        return self._stop.wait(seconds)

    @staticmethod
    def _bind(port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        return listener

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._handle, args=(connection, address), daemon=True).start()

    def _handle(self, connection: socket.socket, address: Any) -> None:
        try:
            with contextlib.suppress(OSError, http.client.HTTPException):
                _Handler(connection, address, self)  # type: ignore[arg-type]
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def _close_listener(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would not end the accept that waits
        self._listener.close()

    def _drop_connections(self) -> None:
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120
    server: Any

    def setup(self) -> None:
        super().setup()
        self._proxy: FaultProxy = self.server
        self._upstream = http.client.HTTPConnection(self._proxy.upstream, timeout=120)

    def finish(self) -> None:
        self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *args: object) -> None:
        pass

    def _do(self) -> None:
        headers = self.headers
        seen = Seen(self.command, self.path, headers.get("Authorization", ""), headers.get("Range", ""))
        fault = self._proxy.take(seen)
        answer = fault.answer(seen) if callable(fault.answer) else fault.answer
        answer = answer or self._proxy.token_answer(seen, fault)
        size = int(headers.get("Content-Length") or 0)
        at = fault.breaks_at
        if at is not None and size > at:
            self._discard(at)
            self._break(fault)
        elif answer is not None:
            self._discard(size)
            self._answer(answer, fault)
        else:
            self._pass_on(fault, size)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _do

    def _discard(self, size: int) -> None:
        for piece in _pieces(self.rfile, size):
            del piece

    def _answer(self, answer: Answer, fault: Fault) -> None:
        headers = [*answer.headers.items()]
        if not any(name.lower() == "date" for name, _value in headers):
            headers.append(("Date", email.utils.formatdate(usegmt=True)))
        body = b"" if self.command == "HEAD" else answer.body
        self._send(answer.status, headers, len(answer.body), iter([body] if body else []), fault)

    def _pass_on(self, fault: Fault, size: int) -> None:
        upstream = self._upstream
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if not (fault.ignores_range and name.lower() == "range"):
                upstream.putheader(name, value)
        upstream.endheaders()
        garble_at = fault.garble_at if size else None
        for piece in _garbled(_pieces(self.rfile, size), garble_at):
            upstream.send(piece)
        response = upstream.getresponse()
        if fault.is_silent:
            response.read()
            self.close_connection = True
            return
        length = response.length if self.command != "HEAD" else _number(response.headers.get("Content-Length"))
        headers = [item for item in response.getheaders() if item[0].lower() not in _HOP_BY_HOP]
        headers.append(("Date", response.headers.get("Date", "")))
        if fault.digest:
            headers = [
                (name, fault.digest if name.lower() == "docker-content-digest" else value) for name, value in headers
            ]
        body: Iterator[memoryview | bytes] = _read_in_pieces(response)
        if not size:
            body = _garbled(body, fault.garble_at)
        self._send(response.status, headers, length, body, fault)
        if not response.isclosed():
            # what was not passed on cannot be told from the next answer
            upstream.close()

    def _send(
        self,
        status: int,
        headers: list[tuple[str, str]],
        length: int | None,
        body: Iterator[memoryview | bytes],
        fault: Fault,
    ) -> None:
        if fault.interim:
            self._repeat(fault.interim)
        has_body = self.command != "HEAD" and bool(length is None or length) and status not in (204, 304)
        is_chunked = has_body and (fault.is_chunked or length is None)
        if is_chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif length is not None:
            headers.append(("Content-Length", str(max(0, length + (fault.claim if has_body else 0)))))
        if fault.claim and has_body:
            # what is left over would else be taken for the start of the next answer, or not, as chance has it
            headers.append(("Connection", "close"))
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '')}"]
        head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")
        at = fault.breaks_at
        if at is not None and not has_body:
            self._write(head[:20])
            self._break(fault)
            return
        if fault.drip_head:
            self._proxy.count_stall()
        for part in _dripped(head, fault.drip_head):
            self._write(part)
            if fault.drip_head and self._proxy.wait(fault.drip_head[1]):
                return
        if has_body:
            self._send_body(body, fault, is_chunked)
        if fault.claim and has_body:
            self._break(Fault(close_at=0))

    def _send_body(self, body: Iterator[memoryview | bytes], fault: Fault, is_chunked: bool) -> None:
        left = fault.breaks_at
        if fault.drip:
            self._proxy.count_stall()
        for piece in body:
            whole = len(piece)
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
            for part in _dripped(piece, fault.drip):
                self._proxy.count(len(part))
                self._write(b"%x\r\n%s\r\n" % (len(part), bytes(part)) if is_chunked else part)
                if fault.drip and self._proxy.wait(fault.drip[1]):
                    return
            if len(piece) < whole:
                self._break(fault)
                return
        if is_chunked:
            self._write(b"0\r\n")
            if fault.trailer:
                self._repeat(fault.trailer)
            self._write(b"\r\n")

    def _repeat(self, data: bytes) -> None:
        """Write until the peer goes, or all is over."""
        self._proxy.count_stall()
        while not self._proxy.wait(0.05):
            self._write(data)

    def _write(self, data: memoryview | bytes) -> None:
        self.connection.sendall(data)

    def _break(self, fault: Fault) -> None:
        """End the connection: by a reset, an orderly close, or the peer's patience."""
        self.close_connection = True
        if fault.stall_at is not None:
            self._proxy.stall(self.connection)
            return
        self._drain()
        if fault.reset_at is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_WR)

    def _drain(self) -> None:
        """Wait until what was sent has arrived: a reset would take it back, and nobody could say how much came."""
        deadline = time.monotonic() + LONGEST_STALL
        while time.monotonic() < deadline:
            unsent = struct.unpack("i", fcntl.ioctl(self.connection, SIOCOUTQ, struct.pack("i", 0)))[0]
            if not unsent:
                return
            time.sleep(0.001)


def _pieces(source: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0:
        piece = source.read(min(size, 64 * 1024))
        if not piece:
            raise ConnectionError("the request ended early")
        size -= len(piece)
        yield piece


def _read_in_pieces(response: http.client.HTTPResponse) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(PIECE))
    while True:
        count = response.readinto(buffer)
        if not count:
            return
        yield buffer[:count]


def _garbled(pieces: Iterator[Any], at: int | None) -> Iterator[Any]:
    """The same bytes, but for 16 of them, which are zero."""
    position = 0
    for piece in pieces:
        start = None if at is None else max(at - position, 0)
        if start is not None and start < len(piece) and at is not None and at + 16 > position:
            spoiled = bytearray(piece)
            end = min(at + 16 - position, len(piece))
            spoiled[start:end] = bytes(end - start)
            position += len(piece)
            yield bytes(spoiled)
        else:
            position += len(piece)
            yield piece


def _dripped(piece: Any, drip: tuple[int, float] | None) -> Iterator[Any]:
    if drip is None:
        if len(piece):
            yield piece
        return
    for start in range(0, len(piece), drip[0]):
        yield piece[start : start + drip[0]]


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time limits for every byte of an HTTP exchange, whichever library built on urllib3 asks for it.

A time-out of a socket bounds the wait for one byte: a peer that sends a byte just in time, again and again, is waited
for without end. :func:`pace` gives a pool manager of urllib3 (1.26 or 2) connections that keep these limits, where
"timeout" is the one that was set for them:

- to connect takes at most one timeout: name lookup, all addresses, the answers of proxies, TLS handshakes;
- the head of an answer is there within one timeout after the request was sent, interim answers (1xx) included;
- one read of a body, with the sizes and the trailer of its chunks, ends within one timeout and what its bytes take at
  ``MIN_RATE``;
- bytes of requests and of bodies move at ``MIN_RATE`` or faster, measured over at least one timeout.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import math
import socket
import sys
import time
from typing import Any

from .._files.threads import OutOfTime, run_within

# bytes per second, measured over at least one time limit: a peer that is slower is taken for a broken link
MIN_RATE = 1024
# bytes that are handed to the socket at once. TLS has to take them within one time limit; a plain socket takes what it
# has room for, and each call costs
SEND_PIECE, PLAIN_SEND_PIECE = 64 * 1024, 1024 * 1024
# seconds; the least that an address is tried for while there are others, unless less is left (as Go's net.Dialer)
MIN_DIAL = 2.0


class TooSlow(socket.timeout):
    """Raised when too few bytes came in time; the text says how many."""


class Meter:
    """Counts bytes and the seconds spent on waiting for them."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.waited, self.moved = 0.0, 0

    def count(self, seconds: float, size: int, limit: float) -> None:
        """:raises TooSlow: when over more than ``limit`` seconds of waiting the bytes were fewer than MIN_RATE asks."""
        self.waited += seconds
        self.moved += size
        if self.waited > limit:
            if self.moved < MIN_RATE * self.waited:
                raise TooSlow(f"{self.moved} bytes in {self.waited:.0f} s")
            self.restart()


class PacedReader(io.RawIOBase):
    """The raw stream of an answer. ``limit`` is the time-out (seconds) that the socket has when this is made."""

    def __init__(self, raw: Any, sock: Any) -> None:
        super().__init__()
        self.limit: float | None = sock.gettimeout()
        self._raw = raw
        self._sock = sock
        # what the time-out of the socket was set to, which costs a system call; None to set it for each read, as for
        # TLS in TLS, where each setting begins a new measurement
        self._set = self.limit if isinstance(sock, socket.socket) else None
        self._meter = Meter()
        # points of the monotonic clock: for what is read now, and for the whole answer
        self._until = self._end = math.inf
        self._is_stopped = False
        if self.limit is not None:
            self.wait_for(self.limit)

    def wait_for(self, seconds: float) -> None:
        """Bound all reads from now to the next call of this by so many seconds together."""
        self._until = time.monotonic() + seconds

    def start_body(self) -> None:
        """Start a new measurement with the next byte."""
        self._meter.restart()
        self._until = math.inf

    def end_after(self, seconds: float) -> None:
        """Bound all that is still to come, whatever :meth:`wait_for` allows."""
        self._end = time.monotonic() + seconds

    def stop(self) -> None:
        """Read nothing more from the socket: from now on there is nothing to read."""
        self._is_stopped = True

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there, or wait for it.

        :raises socket.timeout: when the time is over.
        """
        if self._is_stopped:
            return None
        if self.limit is None:
            return self._raw.readinto(buffer)  # type: ignore[no-any-return]
        start = time.monotonic()
        left = min(self.limit, self._until - start, self._end - start)
        try:
            if left <= 0:
                raise socket.timeout("timed out")
            if left != self._set:
                self._sock.settimeout(left)
                self._set = left if self._set is not None else None
            count: int | None = self._raw.readinto(buffer)
        except socket.timeout:
            if self._meter.moved:
                raise TooSlow(f"only {self._meter.moved} bytes came") from None
            raise
        if count:
            self._meter.count(time.monotonic() - start, count, self.limit)
        return count

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()  # type: ignore[no-any-return]

    def close(self) -> None:
        self._raw.close()
        super().close()


class PacedResponse(http.client.HTTPResponse):
    """An answer whose head is read within one time-out, and whose body at ``MIN_RATE`` or faster.

    A connection over which more came than this answer is shut down with its end: what no request asked for is no
    answer to the next one (RFC 9112, section 9.2).
    """

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock = sock
        self._reader = PacedReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """Read the head; interim answers but 101, of which http.client knows only 100, are passed over."""
        super().begin()
        while 101 < self.status < 200:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        self._reader.start_body()

    def _close_conn(self) -> None:
        """End the answer, and its connection if bytes are left that were read from it together with this answer.

        Those that are still in the socket are noticed by urllib3 before it uses the connection again.
        """
        self._reader.stop()
        # the answer to a CONNECT has no status here: what comes after it belongs to the tunnel
        if isinstance(self.status, int) and not self.fp.closed and self.fp.peek(1):
            with contextlib.suppress(OSError):
                # of TLS in TLS, the outer one
                getattr(self._sock, "socket", self._sock).shutdown(socket.SHUT_RDWR)
        super()._close_conn()  # type: ignore[misc]

    def end_after(self, seconds: float) -> None:
        """Bound the rest of the body: reading it raises ``socket.timeout`` when it takes more seconds than these."""
        self._reader.end_after(seconds)

    def read(self, amt: int | None = None) -> bytes:
        if self.chunked and self.fp is not None and self._method != "HEAD":  # type: ignore[attr-defined]
            return self._read_chunks(sys.maxsize if amt is None else amt)
        self._bound(self.length if amt is None else amt)
        return super().read(amt)

    def _read_chunks(self, amt: int) -> bytes:
        """As http.client would, but each chunk with what frames it has a time of its own."""
        pieces, left = [], amt
        while left > 0:
            piece = self.read1(left)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def readinto(self, b: Any) -> int:
        self._bound(len(b))
        return super().readinto(b)

    def read1(self, n: int = -1) -> bytes:
        self._bound(0)
        return super().read1(n)

    def _bound(self, size: int | None) -> None:
        """Bound one read of so many bytes with all that frames them: sizes and extensions of chunks, the trailer.

        None is for all that comes until the connection ends, which the least rate alone bounds.
        """
        limit = self._reader.limit
        if limit is not None:
            self._reader.wait_for(math.inf if size is None else limit + size / MIN_RATE)


class PacedConnection:
    """The methods that :func:`pace` adds in front of a connection class of urllib3.

    Its ``timeout``, when it is a number, is the one for connecting and sending; that for the answer is the socket's
    when the answer is asked for (urllib3 sets both).
    """

    response_class = PacedResponse
    host: str
    port: int
    sock: Any
    timeout: Any
    _meter: Meter | None = None
    _is_given_up = False

    def connect(self) -> None:
        """Connect, in a thread, since neither name lookup nor the handshake of PySocks can be told to stop.

        :raises urllib3.exceptions.ConnectTimeoutError: when that takes more than ``timeout`` seconds.
        """
        if not isinstance(self.timeout, (int, float)):
            self._open()
            return
        try:
            run_within(self.timeout, self._open, self._drop)
        except (socket.timeout, OutOfTime):
            self._is_given_up = True
            if self.sock is not None:
                # wakes the thread; it closes the socket itself, whose number may else belong to another one by then
                with contextlib.suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RDWR)
            raise _exceptions().ConnectTimeoutError(
                self, f"Connection to {self.host} timed out. (connect timeout={self.timeout:g})"
            ) from None

    def _open(self) -> None:
        from urllib3.util.ssltransport import SSLTransport

        super().connect()  # type: ignore[misc]
        if isinstance(self.sock, SSLTransport):
            # TLS in TLS reads from the outer one as often as it takes
            outer: Any = _Together(self.sock.socket)
            self.sock.socket = outer

    def _drop(self) -> None:
        self._is_given_up = False
        self.close()

    def close(self) -> None:
        if not self._is_given_up:
            super().close()  # type: ignore[misc]

    def _new_conn(self) -> Any:
        """The socket, connected to the first address that answers; each has its share of the time."""
        if not isinstance(self.timeout, (int, float)) or hasattr(self, "_socks_options"):
            return super()._new_conn()  # type: ignore[misc]
        end = time.monotonic() + self.timeout
        failure: Exception = OSError("its name has no address")
        try:
            addresses = _addresses(self._dns_host, self.port)  # type: ignore[attr-defined]
            while addresses:
                left = end - time.monotonic()
                share = min(left, max(MIN_DIAL, left / len(addresses)))
                try:
                    return self._dial(addresses.pop(0), max(share, 0.001))
                except OSError as exc:
                    failure = exc
        except OSError as exc:
            failure = exc
        if isinstance(failure, socket.timeout):
            raise failure
        kind = _exceptions().NewConnectionError
        raise kind(self, f"Failed to establish a new connection: {failure}") from failure

    def _dial(self, address: str, timeout: float) -> Any:
        from urllib3.util.connection import create_connection

        source, options = self.source_address, self.socket_options  # type: ignore[attr-defined]
        return create_connection((address, self.port), timeout, source_address=source, socket_options=options)

    def send(self, data: Any) -> None:
        """Send bytes.

        :raises TooSlow: when the peer takes none of them for ``timeout`` seconds, or fewer than MIN_RATE asks.
        """
        if self.sock is None and self.auto_open:  # type: ignore[attr-defined]
            self.connect()
        is_bytes = isinstance(data, (bytes, bytearray, memoryview))
        if not is_bytes or self.sock is None or not isinstance(self.timeout, (int, float)):
            super().send(data)  # type: ignore[misc]
            return
        sys.audit("http.client.send", self, data)
        if self._meter is None:
            self._meter = Meter()
        rest = memoryview(data).cast("B")
        # not one of TLS, which is a subclass
        is_plain = self.sock.__class__ is socket.socket
        most = PLAIN_SEND_PIECE if is_plain else SEND_PIECE
        try:
            while rest:
                start = time.monotonic()
                if not is_plain or self.sock.gettimeout() != self.timeout:
                    self.sock.settimeout(self.timeout)
                count = self.sock.send(rest[:most])
                self._meter.count(time.monotonic() - start, count, self.timeout)
                rest = rest[count:]
        except socket.timeout:
            raise TooSlow(
                f"the peer took fewer than {MIN_RATE} bytes/s of the request, or none for {self.timeout:g} s"
            ) from None


class _Together:
    """A socket whose time-out is for all that is read and sent until it is set again."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._until = math.inf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    @property
    def _io_refs(self) -> int:
        return self._sock._io_refs  # type: ignore[no-any-return]

    @_io_refs.setter
    def _io_refs(self, count: int) -> None:
        # by which a socket knows how many files were made of it
        self._sock._io_refs = count

    def settimeout(self, seconds: float | None) -> None:
        self._until = math.inf if seconds is None else time.monotonic() + seconds
        self._sock.settimeout(seconds)

    def recv(self, *args: Any) -> Any:
        self._shorten()
        return self._sock.recv(*args)

    def sendall(self, *args: Any) -> None:
        self._shorten()
        self._sock.sendall(*args)

    def _shorten(self) -> None:
        if self._until < math.inf:
            left = self._until - time.monotonic()
            if left <= 0:
                raise socket.timeout("timed out")
            self._sock.settimeout(left)


def pace(manager: Any) -> None:
    """Make a pool manager of urllib3 open paced connections from now on."""
    manager.pool_classes_by_scheme = {
        scheme: paced_pool(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }


@functools.cache
def paced_pool(pool: Any) -> Any:
    """A pool class of urllib3 with paced connections in place of its own; the same one when it has them."""
    own = pool.ConnectionCls
    if issubclass(own, PacedConnection):
        return pool
    # messages of urllib3 have the names in them
    return type(pool.__name__, (pool,), {"ConnectionCls": type(own.__name__, (PacedConnection, own), {})})


def _addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a name, in the order of the system, each once."""
    from urllib3.util.connection import allowed_gai_family

    found = socket.getaddrinfo(host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _exceptions() -> Any:
    import urllib3.exceptions

    return urllib3.exceptions

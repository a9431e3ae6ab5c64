# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GET requests for blobs, sent without requests: a session's own connections, and http.client's answers.

For a blob of 1 MiB, requests and the response class of urllib3 cost more than its transfer, its digest and its file
together. A connection is one of the session's pools, so that trust, client certificates, time limits and reuse are the
same as for other requests; so are the errors. What is left to requests: proxies, and URLs that it would alter.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from .body import MAX_ROOM, MIN_ROOM, BodyBroken, content_length
from .pace import PacedResponse, TooSlow
from .proxy import proxy_for
from .session import RegistryAdapter, RegistrySession

try:
    import requests
    import urllib3
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
except ImportError:
    # said by new_session, before anything of them is used
    pass

# seconds; what has come is handed on after that, though a piece is not full
GATHER_TIME = 0.25

# URLs that are sent as they are by requests, too: no user, no characters or segments that it would rewrite
_PLAIN_URL = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})*"
    r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*)?)\Z"
)
# of the unreserved characters (RFC 3986, section 2.3), which requests decodes
_NEEDLESS_ESCAPE = re.compile(r"%(?:2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])")


def get(session: RegistrySession, url: str, headers: dict[str, str], timeout: float) -> DirectAnswer | None:
    """The answer to one GET request, its body still to be read; None when requests has to send it.

    ``timeout`` is in seconds, for connecting and for the head of the answer.

    :raises requests.exceptions.RequestException: as requests would.
    """
    target = _target(url)
    if not target or proxy_for(url, session.options):
        return None
    adapter = session.get_adapter(url)
    pool = adapter.direct_pool(url) if isinstance(adapter, RegistryAdapter) else None
    if pool is None:
        return None
    connection = pool._get_conn()
    try:
        raw = _exchange(connection, target, {**session.headers, **headers}, timeout)
    except BaseException as exc:
        connection.close()
        failure = _as_requests_says(exc, url)
        if failure is None:
            raise
        raise failure from exc
    answer = DirectAnswer(url, raw, pool, connection)
    if not raw.chunked and _is_ambiguous(answer.headers.get("Content-Length", "")):
        answer.close()
        raise requests.exceptions.InvalidHeader("Content-Length", request=SimpleNamespace(url=url))
    return answer


class DirectAnswer:
    """An answer with the attributes of ``requests.Response`` that this package uses.

    Once its body is read, the connection goes back to its pool; when it is closed before, the connection is closed.
    """

    request = SimpleNamespace(method="GET")

    def __init__(self, url: str, raw: PacedResponse, pool: Any, connection: Any) -> None:
        self.url = url
        self.status_code = raw.status
        self.headers = _Headers(raw.headers)
        self.raw = raw
        self._pool = pool
        self._connection: Any = connection
        self._failure: Exception | None = None
        self._finish_if_read()

    def __enter__(self) -> DirectAnswer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self.raw.close()
            connection.close()

    def end_after(self, seconds: float) -> None:
        """Bound the time for the rest of the body, see :meth:`.PacedResponse.end_after`."""
        self.raw.end_after(seconds)

    def pieces(self, buffer: memoryview | None = None) -> Iterator[Any]:
        """The bytes of the body as they come over the wire, in pieces of at most 1 MiB.

        They are ``bytes``; with a ``buffer`` they are views of it, good until the next piece is asked for.

        :raises BodyBroken: when they end early, or come too slowly.
        """
        promised, total = content_length(self), 0
        room = buffer or memoryview(bytearray(MIN_ROOM if promised is None else min(MAX_ROOM, promised)))
        while promised is None or total < promised:
            wanted = len(room) if promised is None else min(len(room), promised - total)
            try:
                count = self._fill(room[:wanted])
            except Exception as exc:  # those of sockets, of TLS and of http.client have no common root below Exception
                raise BodyBroken(str(exc) if isinstance(exc, TooSlow) else type(exc).__name__) from None
            if not count:
                break
            total += count
            yield bytes(room[:count]) if buffer is None else room[:count]
        if promised is not None and total < promised:
            raise BodyBroken(f"{total} of {promised} bytes")

    def _fill(self, view: memoryview) -> int:
        """Read until the view is full, the body ends, or a quarter of a second is over; return the count of bytes.

        What came before a failure is returned, and the failure raised by the next call.
        """
        if self._failure is not None:
            raise self._failure
        count, start = 0, time.monotonic()
        while count < len(view):
            try:
                got = _read_into(self.raw, view[count:])
            except Exception as exc:
                if not count:
                    raise
                self._failure = exc
                break
            if not got:
                break
            count += got
            if time.monotonic() - start > GATHER_TIME:
                break
        self._finish_if_read()
        return count

    def _finish_if_read(self) -> None:
        if self.raw.length == 0:
            # http.client notices the end with the read behind it
            self.raw.close()
        if self._connection is not None and self.raw.isclosed():
            connection, self._connection = self._connection, None
            self._pool._put_conn(connection)


class _Headers:
    """The fields of an answer; those with one name are joined, as requests does (RFC 9110, section 5.3)."""

    def __init__(self, message: Any) -> None:
        self._values: dict[str, str] = {}
        for name, value in message.items():
            name = name.lower()
            self._values[name] = f"{self._values[name]}, {value}" if name in self._values else value

    def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values


def _target(url: str) -> str:
    """What the request line names for a URL; empty for one that requests would alter before it is sent."""
    found = _PLAIN_URL.match(url)
    if found is None or "/." in url or _NEEDLESS_ESCAPE.search(url):
        return ""
    return found[1]


def _is_ambiguous(lengths: str) -> bool:
    """Return whether there are several lengths of a body that differ: where it ends is not known (RFC 9112, 6.3)."""
    values = [text.strip() for text in lengths.split(",")]
    return all(text.isascii() and text.isdigit() for text in values) and len({text.lstrip("0") for text in values}) > 1


def _exchange(connection: Any, target: str, headers: dict[str, str], timeout: float) -> PacedResponse:
    connection.timeout = timeout
    if connection.sock is None:
        connection.connect()
    connection.putrequest("GET", target, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.sock.settimeout(timeout)
    # not that of urllib3, which makes an answer of its own
    answer: PacedResponse = http.client.HTTPConnection.getresponse(connection)  # type: ignore[assignment]
    return answer


def _read_into(raw: PacedResponse, view: memoryview) -> int:
    """Read what is there, or wait for it, into a view; return the count of bytes, 0 at the end of the body."""
    if raw.fp is None:
        return 0
    if raw.chunked:
        piece = raw.read1(len(view))
        view[: len(piece)] = piece
        return len(piece)
    if raw.length is not None:
        view = view[: raw.length]
    # one read of the socket, where readinto would wait for a full view
    count: int = raw.fp.readinto1(view) or 0
    if raw.length is not None:
        raw.length -= count
    if not count or raw.length == 0:
        raw.close()
    return count


def _as_requests_says(error: BaseException, url: str) -> Exception | None:
    """The exception of requests for a failure before the head of an answer was there; None to leave it as it is."""
    kinds = requests.exceptions
    about: Any = {"request": SimpleNamespace(url=url)}
    if isinstance(error, NewConnectionError):
        return kinds.ConnectionError(error, **about)
    if isinstance(error, ConnectTimeoutError):
        return kinds.ConnectTimeout(error, **about)
    # urllib3 1.26 has one of its own for another host's certificate, which is a ValueError
    if isinstance(error, ssl.SSLError) or type(error).__name__ == "CertificateError":
        return kinds.SSLError(error, **about)
    if isinstance(error, socket.timeout):
        return kinds.ReadTimeout(error, **about)
    if isinstance(error, urllib3.exceptions.HTTPError):
        return None
    if isinstance(error, (OSError, http.client.HTTPException)):
        return kinds.ConnectionError(error, **about)
    return None

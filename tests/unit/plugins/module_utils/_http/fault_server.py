# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry in memory, on a real socket of the loopback address, that fails as a script tells it to.

Without a script it is a small, well-behaved registry. :meth:`FaultServer.script` puts answers in front of that, each
used once, for the requests that match.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable
from urllib.parse import parse_qs, urlsplit

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Answer:
    """What to send. The faults apply to the body; ``cut`` says after how many of its bytes."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    # close, reset or stall the connection there, while the headers promise the whole body
    cut: int | None = None
    is_reset: bool = False
    stall: float = 0.0
    # close the connection without any answer
    is_silent: bool = False
    # bytes at a time, and the seconds between them
    drip: tuple[int, float] | None = None
    is_chunked: bool = False
    has_length: bool = True
    # sent behind the end, together with the last bytes before it
    extra: bytes = b""


@dataclass
class Seen:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: Any
    body: bytes
    connection: int
    # the common name of the client's certificate
    client: str = ""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def authorization(self) -> str:
        return str(self.headers.get("Authorization", ""))


Script = Callable[[Seen], "Answer | None"]


class FaultServer:
    """Use as a context manager; ``host`` goes in front of a repository."""

    def __init__(self, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.tls = tls
        self.seen: list[Seen] = []
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        self.referrers: dict[str, list[dict[str, Any]]] | None = None
        self._scripts: list[tuple[str, re.Pattern[str], list[Script]]] = []
        self._lock = threading.Lock()
        self._connections = 0
        self._uploads = 0
        # what came by PATCH, by the path of the upload
        self.uploads: dict[str, bytes] = {}
        self._stop = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Server((address, 0), handler)
        # a server that tests break on purpose prints no tracebacks
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.host = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"

    def __enter__(self) -> FaultServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def script(self, method: str, pattern: str, *answers: Answer | Script) -> None:
        """Answer the next requests whose method and target match, one each; then earlier scripts and the registry
        answer again.
        """
        self._scripts.insert(0, (method, re.compile(pattern), [_as_script(answer) for answer in answers]))

    def always(self, method: str, pattern: str, answer: Answer | Script) -> None:
        """Answer every request that matches."""
        self.script(method, pattern, *[answer] * 1000)

    def add_blob(self, data: bytes, algorithm: str = "sha256") -> str:
        digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        self.blobs[digest] = data
        return digest

    def add_manifest(self, raw: bytes, tag: str = "", media_type: str = MANIFEST_TYPE) -> str:
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        self.manifests[digest] = (media_type, raw)
        if tag:
            self.tags[tag] = digest
        return digest

    def requests(self, method: str = "", pattern: str = "") -> list[Seen]:
        with self._lock:
            return [seen for seen in self.seen if method in ("", seen.method) and re.search(pattern, seen.target)]

    def lines(self) -> list[str]:
        return [f"{seen.method} {seen.target}" for seen in self.requests()]

    @property
    def connections(self) -> int:
        return len({seen.connection for seen in self.requests()})

    def next_connection(self) -> int:
        with self._lock:
            self._connections += 1
            return self._connections

    def answer(self, seen: Seen) -> Answer:
        with self._lock:
            self.seen.append(seen)
            waiting = [
                answers
                for method, pattern, answers in self._scripts
                if answers and method in ("", seen.method) and pattern.search(seen.target)
            ]
            script = waiting[0].pop(0) if waiting else self._registry
        return script(seen) or self._registry(seen)

    def wait(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _registry(self, seen: Seen) -> Answer:
        match = re.match(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.+)\Z", seen.path)
        if not match:
            return _error(404, "NAME_UNKNOWN")
        kind, rest = match["kind"], match["rest"]
        query = parse_qs(urlsplit(seen.target).query)
        if kind == "blobs":
            return self._blob(seen, rest.rstrip("/"), query)
        if kind == "manifests":
            return self._manifest(seen, rest)
        if kind == "tags":
            names = sorted(self.tags)
            return _json({"name": match["name"], "tags": names})
        if self.referrers is None:
            return Answer(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": self.referrers.get(rest, []),
            }
        )

    def _blob(self, seen: Seen, rest: str, query: dict[str, list[str]]) -> Answer:
        if seen.method == "POST":
            if query.get("mount", [""])[0] in self.blobs:
                return Answer(201, {"Location": seen.path})
            with self._lock:
                self._uploads += 1
                return Answer(202, {"Location": f"{seen.path}{self._uploads}?state=a%2Bb&state=2"})
        if seen.method == "PATCH":
            if len(seen.body) < int(seen.headers.get("Content-Length") or 0):
                # the client went away: this thread may get to it after the upload was given up
                return _error(400, "BLOB_UPLOAD_INVALID")
            data = self.uploads[seen.path] = self.uploads.get(seen.path, b"") + seen.body
            return Answer(202, {"Location": f"{seen.path}?state=patched", "Range": f"0-{len(data) - 1}"})
        if seen.method == "DELETE":
            return Answer(204 if self.uploads.pop(seen.path, None) is not None else 404)
        if seen.method == "PUT":
            digest = query["digest"][0]
            data = self.uploads.pop(seen.path, b"") + seen.body
            if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
                return _error(400, "DIGEST_INVALID")
            self.blobs[digest] = data
            return Answer(201, {"Location": seen.path})
        if rest not in self.blobs:
            return _error(404, "BLOB_UNKNOWN")
        data = self.blobs[rest]
        wanted = re.match(r"bytes=(\d+)-(\d*)\Z", seen.headers.get("Range", ""))
        if not wanted:
            return Answer(200, {"Content-Type": "application/octet-stream"}, data)
        start = int(wanted[1])
        end = min(int(wanted[2] or len(data) - 1), len(data) - 1)
        return Answer(206, {"Content-Range": f"bytes {start}-{end}/{len(data)}"}, data[start : end + 1])

    def _manifest(self, seen: Seen, rest: str) -> Answer:
        if seen.method == "PUT":
            digest = self.add_manifest(seen.body, "" if ":" in rest else rest, seen.headers["Content-Type"])
            return Answer(201, {"Docker-Content-Digest": digest})
        if seen.method == "DELETE":
            return self._delete(rest)
        digest = self.tags.get(rest, rest)
        if digest not in self.manifests:
            return _error(404, "MANIFEST_UNKNOWN")
        media_type, raw = self.manifests[digest]
        return Answer(200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, raw)

    def _delete(self, rest: str) -> Answer:
        """Remove a tag, or a manifest and as Distribution does the tags that name it."""
        if rest not in self.tags and rest not in self.manifests:
            return _error(404, "MANIFEST_UNKNOWN")
        self.manifests.pop(rest, None)
        for tag in [tag for tag, digest in self.tags.items() if rest in (tag, digest)]:
            del self.tags[tag]
        return Answer(202)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def shutdown_request(self, request: Any) -> None:
        request.close()  # without the orderly end that would come before a reset


class _Handler(BaseHTTPRequestHandler):
    owner: FaultServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self._client = ""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
            subject: Any = (self.request.getpeercert() or {}).get("subject", ())
            self._client = "".join(value for names in subject for name, value in names if name == "commonName")
        self._number = self.owner.next_connection()
        super().setup()

    def handle_one_request(self) -> None:
        with contextlib.suppress(OSError):
            super().handle_one_request()
            return
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass

    def _read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _read_chunks(self) -> bytes:
        pieces = []
        while True:
            size = int(self.rfile.readline().partition(b";")[0], 16)
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
            if not size:
                return b"".join(pieces)

    def _do(self) -> None:
        body = self._read_chunks() if "chunked" in self.headers.get("Transfer-Encoding", "") else self._read_body()
        answer = self.owner.answer(Seen(self.command, self.path, self.headers, body, self._number, self._client))
        if answer.is_silent:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        names = {name.lower() for name in answer.headers}
        if answer.is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.has_length and "content-length" not in names:
            self.send_header("Content-Length", str(len(answer.body)))
        elif not answer.has_length:
            self.send_header("Connection", "close")
            self.close_connection = True
        if self.command == "HEAD":
            self._headers_buffer.append(b"\r\n" + answer.extra)
            self.flush_headers()
            return
        self.end_headers()
        self._send_body(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_CONNECT = _do

    def _send_body(self, answer: Answer) -> None:
        data = answer.body if answer.cut is None else answer.body[: answer.cut]
        data += b"" if answer.is_chunked else answer.extra
        for piece in _pieces(data, answer.drip):
            framed = b"%x\r\n%s\r\n" % (len(piece), piece) if answer.is_chunked else piece
            self.wfile.write(framed)
            if answer.drip:
                self.wfile.flush()
                self.owner.wait(answer.drip[1])
        self.wfile.flush()
        if answer.stall:
            self.owner.wait(answer.stall)
        if answer.is_reset:
            time.sleep(0.02)  # what was sent before has to arrive: a reset throws away what is still unread
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if answer.cut is not None or answer.is_reset:
            self.close_connection = True
        elif answer.is_chunked:
            self.wfile.write(b"0\r\n\r\n" + answer.extra)


def _pieces(data: bytes, drip: tuple[int, float] | None) -> Iterator[bytes]:
    size = drip[0] if drip else 64 * 1024
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _as_script(answer: Answer | Script) -> Script:
    return (lambda seen: answer) if isinstance(answer, Answer) else answer


def _json(document: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, {"Content-Type": "application/json", **headers}, json.dumps(document).encode())


def _error(status: int, code: str) -> Answer:
    return _json({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}, status)

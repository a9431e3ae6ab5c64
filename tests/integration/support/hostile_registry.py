# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server on the loopback address that answers as it is told, true or not, over real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.artifacts import CONFIG, MANIFEST, Blob, digest_of, manifest_of

PIECE = 64 * 1024


@dataclass
class Answer:
    """What is sent for a path. ``repeat`` sends the body so many times; ``breaks`` are the counts of bytes after which
    the connection is cut, one for each request, until there are none left. Ranges are honoured. ``sent`` counts the
    bytes of repeated bodies."""

    body: bytes
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    repeat: int = 1
    breaks: list[int] = field(default_factory=list)
    delay: threading.Event | None = None
    sent: int = 0


class HostileRegistry:
    """Repositories made of answers. ``requests`` holds method, path and Range of what came, in order."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.host = ""

    def manifest(self, repository: str, raw: bytes, content_type: str = MANIFEST, tag: str = "1", **more: Any) -> str:
        """Serve bytes as a manifest, by tag and by their digest; returns the digest."""
        digest = digest_of(raw)
        headers = {"Docker-Content-Digest": digest, **more.pop("headers", {})}
        answer = Answer(raw, content_type, headers=headers, **more)
        for identifier in (tag, digest):
            self.answers[f"/v2/{repository}/manifests/{identifier}"] = answer
        return digest

    def artifact(self, repository: str, layers: Iterable[Blob], tag: str = "1", **fields: Any) -> str:
        """Serve an artifact; layers whose descriptors lie are served under the digest that is claimed."""
        layers = list(layers)
        config = Blob(b"{}", CONFIG)
        for blob in [config, *layers]:
            self.blob(repository, blob.descriptor["digest"], Answer(blob.data))
        return self.manifest(repository, manifest_of(layers, config, **fields), tag=tag)

    def blob(self, repository: str, digest: str, answer: Answer) -> None:
        self.answers[f"/v2/{repository}/blobs/{digest}"] = answer

    def tags(self, repository: str, names: Iterable[str]) -> None:
        body = json.dumps({"name": repository, "tags": list(names)}).encode()
        self.answers[f"/v2/{repository}/tags/list"] = Answer(body, "application/json")

    def count(self, repository: str, kind: str = "blobs") -> int:
        """How many requests for blobs (or manifests) of a repository came."""
        return sum(f"/v2/{repository}/{kind}/" in path for _method, path, _range in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: HostileRegistry

    def log_message(self, *_arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.registry.requests.append((self.command, self.path, wanted))
        answer = self.registry.answers.get(self.path.partition("?")[0])
        if answer is None:
            answer = Answer(b'{"errors":[{"code":"NAME_UNKNOWN"}]}', "application/json", 404)
        if answer.delay is not None:
            answer.delay.wait(600)
        start = int(wanted.partition("=")[2].partition("-")[0]) if wanted else 0
        total = len(answer.body) * answer.repeat
        self.send_response(206 if start else answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(total - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self._send(answer, start)

    def _send(self, answer: Answer, start: int) -> None:
        allowed = answer.breaks.pop(0) if answer.breaks else None
        try:
            if answer.repeat > 1:
                for _time in range(answer.repeat):
                    self.wfile.write(answer.body)
                    answer.sent += len(answer.body)
                return
            body = answer.body[start:] if allowed is None else answer.body[start : start + allowed]
            for position in range(0, len(body), PIECE):
                self.wfile.write(body[position : position + PIECE])
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        if allowed is not None:
            self.close_connection = True


@contextmanager
def hostile_registry() -> Iterator[HostileRegistry]:
    registry = HostileRegistry()
    handler = type("Handler", (_Handler,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

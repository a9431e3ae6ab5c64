# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has Helm keep the record of a release in another namespace than its objects.

Helm's library can do so, and Flux does; the program has one flag for both. So the program is given the address of a
proxy of the API server, on the loopback address and for as long as it runs. Requests for the record of the one release
(pkg/storage/driver/secrets.go: Secrets by their name, or by the labels ``owner`` and ``name``) are made in the
namespace of the record, and all others as they are. The path of the proxy begins with a secret that only Helm is told,
in a kubeconfig that only this user can read; the credentials for the API server stay in this process.
"""

from __future__ import annotations

import contextlib
import hmac
import http.server
import json
import os
import secrets
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from .._errors import OciError
from .._files.bounded import expanded
from .._files.threads import new_thread
from .._kube.rest import JSON, KubeRest
from .._secrets.known import note
from .secret_body import secret_type_and_name

# bytes of a request, of which etcd takes 1.5 MiB, and of one read of an answer
MAX_BODY = 8 * 1024 * 1024
READ_SIZE = 64 * 1024
# seconds in which a client has to say the secret
PATIENCE = 30.0
MAX_CLIENTS = 256

_RECORD_TYPE = "helm.sh/release.v1"
# RFC 9110, 7.6.1, and what is this proxy's own to say
_OF_ONE_HOP = {
    "connection", "content-length", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "authorization",
}  # fmt: skip


class RecordRoute:
    """Says which requests are for the record of one release, and where they are made instead."""

    def __init__(self, name: str, objects: str, record: str) -> None:
        """Prepare a route.

        :param name: name of the release.
        :param objects: namespace of its objects, in which Helm looks for the record.
        :param record: namespace of its record.
        """
        self._name = name
        self._prefix = f"sh.helm.release.v1.{name}.v"
        self._from = f"/api/v1/namespaces/{objects}/secrets"
        self._to = f"/api/v1/namespaces/{record}/secrets"

    def of(self, method: str, target: str, body: bytes | None) -> str:
        """Return the path and query of a request that came for ``target``.

        :raises ValueError: when it creates a Secret in a form that cannot be read.
        """
        path, mark, query = target.partition("?")
        if path.startswith(f"{self._from}/"):
            is_record = self._is_record(path[len(self._from) + 1 :])
        elif path != self._from:
            is_record = False
        elif method == "POST":
            is_record = self._creates_record(body or b"")
        else:
            is_record = self._selects_record(query)
        return f"{self._to}{path[len(self._from) :]}{mark}{query}" if is_record else target

    def _is_record(self, name: str) -> bool:
        number = name[len(self._prefix) :]
        return name.startswith(self._prefix) and number.isascii() and number.isdigit()

    def _selects_record(self, query: str) -> bool:
        terms = {term for value in parse_qs(query).get("labelSelector", ()) for term in value.split(",")}
        return {"owner=helm", f"name={self._name}"} <= terms

    def _creates_record(self, body: bytes) -> bool:
        kind, name = secret_type_and_name(body)
        return kind == _RECORD_TYPE and self._is_record(name)


@contextlib.contextmanager
def record_session(api: KubeRest, route: RecordRoute, scratch: str) -> Iterator[Mapping[str, str]]:
    """Yield environment variables with which Helm connects to a proxy, which ends with the context.

    :param api: the client that sends Helm's requests on.
    :param scratch: a private directory of the caller.
    """
    server = _Proxy(api, route)
    thread = new_thread(server.serve_forever, 0.05)
    thread.start()
    try:
        with tempfile.TemporaryDirectory(prefix="proxied-", dir=scratch) as folder:
            path = os.path.join(folder, "kubeconfig")
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                json.dump(_config(server.url), stream)  # JSON is YAML
            yield {"KUBECONFIG": path, "KUBECACHEDIR": os.path.join(folder, "cache")}
    finally:
        server.end()
        thread.join()
        # before client-go 0.28, Helm knows no other place for what it discovers; the address will not come again
        port = server.server_address[1]
        shutil.rmtree(expanded(f"~/.kube/cache/discovery/127.0.0.1_{port}"), ignore_errors=True)


def _config(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxied", "cluster": {"server": url}}],
        "contexts": [{"name": "proxied", "context": {"cluster": "proxied", "user": ""}}],
        "current-context": "proxied",
    }


class _Proxy(socketserver.TCPServer):
    """The server. ``url`` has the secret in it."""

    request_queue_size = 64

    def __init__(self, api: KubeRest, route: RecordRoute) -> None:
        self.api = api
        self.route = route
        self.secret = secrets.token_urlsafe(32)
        note(self.secret, opaque=True)
        self._guard = threading.Lock()
        self._sockets: set[socket.socket] = set()
        # those that have not said the secret, the oldest first
        self._strangers: dict[socket.socket, None] = {}
        self._has_ended = False
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/{self.secret}"

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            is_full = len(self._sockets.union(self._strangers)) >= MAX_CLIENTS
            stranger = next(iter(self._strangers), None) if is_full else None
            is_taken = not is_full or stranger is not None
            if is_taken:
                self._strangers[request] = None
            if stranger is not None:
                # whoever else is on this host must not keep Helm out, which says the secret at once
                self._strangers.pop(stranger)
                _shut(stranger)
        if not is_taken:
            self.shutdown_request(request)
            return
        try:
            new_thread(self._serve, request, client_address).start()
        except BaseException:
            self.trust(request)
            raise

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            # whatever ends one connection is an error for Helm, which says so
            with self.open_until_end(request), contextlib.suppress(Exception):
                self.finish_request(request, client_address)
        finally:
            self.trust(request)
            self.shutdown_request(request)

    def trust(self, sock: socket.socket) -> None:
        """Take a client for Helm, which has said the secret."""
        with self._guard:
            self._strangers.pop(sock, None)

    @contextlib.contextmanager
    def open_until_end(self, sock: socket.socket | None) -> Iterator[None]:
        """Have a socket that may be waited for shut down when the proxy ends."""
        if sock is None:
            yield
            return
        with self._guard:
            self._sockets.add(sock)
            if self._has_ended:
                _shut(sock)
        try:
            yield
        finally:
            with self._guard:
                self._sockets.discard(sock)

    def end(self) -> None:
        """Stop listening, and end all connections."""
        self.shutdown()
        self.server_close()
        with self._guard:
            self._has_ended = True
            for sock in self._sockets:
                _shut(sock)


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection of Helm."""

    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server: _Proxy

    def log_message(self, *_words: Any) -> None:
        """Log nothing: the path has the secret in it."""

    def do_GET(self) -> None:
        """Send a request on, and its answer back."""
        secret, slash, rest = self.path[1:].partition("/")
        if not slash or not hmac.compare_digest(secret.encode("utf-8", "replace"), self.server.secret.encode()):
            self._refuse(404, "there is nothing here")
            return
        self.server.trust(self.connection)
        # a connection is kept for as long as Helm wants
        self.connection.settimeout(None)
        size = self.headers.get("Content-Length") or "0"
        if "Transfer-Encoding" in self.headers or not (size.isascii() and size.isdigit()):
            self._refuse(411, "a request without a length cannot be sent on")
            return
        if int(size) > MAX_BODY:
            self._refuse(413, f"a request of more than {MAX_BODY} bytes cannot be sent on")
            return
        body = self.rfile.read(int(size)) if int(size) else None
        try:
            target = self.server.route.of(self.command, f"/{rest}", body)
        except ValueError as exc:
            self._refuse(415, f"whether a new Secret is the record of a release cannot be said: {exc}")
            return
        self._send_on(target, body)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def _send_on(self, target: str, body: bytes | None) -> None:
        headers = {name: value for name, value in self.headers.items() if _is_passed_on(name)}
        try:
            answer = self.server.api.forward(self.command, target, headers, body)
        except OciError as exc:
            self._refuse(502, str(exc))
            return
        connection = getattr(answer, "connection", None)
        try:
            with self.server.open_until_end(getattr(connection, "sock", None)):
                is_whole = self._send_back(answer)
            if is_whole:
                # only now that the end of this proxy does not shut it: others use it next
                answer.release_conn()
        finally:
            # one that was not read to its end cannot be used again
            answer.close()

    def _send_back(self, answer: Any) -> bool:
        """Send an answer to Helm; return True when its body was read to its end."""
        import urllib3.exceptions

        length = answer.headers.get("Content-Length")
        has_body = self.command != "HEAD" and answer.status not in (204, 304)
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if _is_passed_on(name) and name.lower() != "cache-control":
                self.send_header(name, value)
        # Helm caches answers by their address, which will not come again
        self.send_header("Cache-Control", "no-store")
        if length is not None:
            self.send_header("Content-Length", length)
        elif has_body:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not has_body:
            return False
        size = 0
        try:
            for piece in answer.stream(READ_SIZE, decode_content=False):
                size += len(piece)
                if piece:
                    self.wfile.write(piece if length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            if length is None:
                self.wfile.write(b"0\r\n\r\n")
            # urllib3 before 2 takes an answer that is cut off for a whole one
            if length is None or size == int(length):
                return True
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            pass
        # cut off for Helm, too
        self.close_connection = True
        return False

    def _refuse(self, status: int, words: str) -> None:
        """Answer as an API server that refuses does, and close the connection."""
        document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": words, "code": status}
        body = json.dumps(document).encode("utf-8")
        self.close_connection = True
        self.send_response_only(status)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _is_passed_on(name: str) -> bool:
    return name.lower() not in _OF_ONE_HOP and not name.lower().startswith("impersonate-")

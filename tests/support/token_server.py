# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token server for registries, on the loopback address: distribution, docs/content/spec/auth/token.md and oauth.md.

Its tokens are JSON Web Tokens that a registry can check (Distribution, ``auth: token``): signed with RS256 or ES256,
and with the certificate of the key in their header. It knows every flow of the two documents: GET without credentials
and with Basic, POST with a refresh token and with a password.
"""

from __future__ import annotations

import base64
import datetime
import fnmatch
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

SERVICE = "registry of the tests"
ISSUER = "token server of the tests"
# Distribution takes a token for so many seconds (registry/auth/token, Leeway) after it has expired
LEEWAY = 60
EVERYTHING = {"*": "pull,push,delete"}


@dataclass(frozen=True)
class TokenRequest:
    """A request as it was answered. ``grant`` is ``anonymous``, ``basic``, ``password`` or ``refresh_token``."""

    grant: str
    user: str
    scopes: tuple[str, ...]
    granted: tuple[str, ...]
    status: int
    fields: Mapping[str, str] = field(default_factory=dict)


class TokenServer:
    """Use as a context manager.

    ``users`` (name to password), ``refresh_tokens`` (token to name) and ``rights`` (name to patterns of repositories
    to actions; the empty name is everybody's) may be changed at any time. ``lifetime`` is for how many seconds (up to
    one less) Distribution takes a token; ``claimed_lifetime`` is what the answers say instead. ``rotates`` replaces a
    refresh token each time that it is used. Answers in ``script`` are given first, one each: a status and a body.
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        *,
        algorithm: str = "RS256",
        certificate: tuple[Path, Path] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.users = dict(users or {})
        self.refresh_tokens: dict[str, str] = {}
        self.rights: dict[str, dict[str, str]] = {"": {}}
        self.lifetime = 300.0
        self.claimed_lifetime: float | None = None
        self.rotates = False
        self.script: list[tuple[int, bytes]] = []
        self._answered: list[TokenRequest] = []
        self._lock = threading.Lock()
        self._key: Any = rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else _new_ec_key(algorithm)
        self._algorithm = algorithm
        self._certificate = _self_signed(self._key)
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.realm = f"{'https' if certificate else 'http'}://{host}:{self.port}/token"

    def __enter__(self) -> TokenServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # For the registry

    def registry_auth(self, folder: Path) -> dict[str, Any]:
        """The ``auth`` part of a configuration of Distribution that trusts this server; ``folder`` gets a file."""
        bundle = folder / "token-authority.pem"
        bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        settings = {"realm": self.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(bundle)}
        return {"token": settings}

    # For the tests

    def mark(self) -> int:
        with self._lock:
            return len(self._answered)

    def requests(self, since: int = 0) -> list[TokenRequest]:
        """What was asked, in order, from a mark on."""
        with self._lock:
            return self._answered[since:]

    def add_refresh_token(self, user: str) -> str:
        token = "refresh-" + secrets.token_urlsafe(24)
        with self._lock:
            self.refresh_tokens[token] = user
        return token

    def issue(self, user: str, scopes: Iterable[str]) -> str:
        """A token for what ``user`` may do of ``scopes``, as the server would give it."""
        return self._sign(user, self._granted(user, scopes))

    # Answers

    def answer(self, method: str, target: str, authorization: str, body: bytes) -> tuple[int, bytes]:
        text = urlsplit(target).query if method == "GET" else body.decode("utf-8", "replace")
        fields = parse_qs(text, keep_blank_values=True)
        scopes = tuple(scope for entry in fields.get("scope", []) for scope in entry.split())
        first = {name: values[0] for name, values in fields.items()}
        grant, user = self._identify(method, authorization, first)
        granted: tuple[str, ...] = ()
        status, document = 200, {}
        scripted = None
        with self._lock:
            if self.script:
                scripted = self.script.pop(0)
        if scripted:
            status = scripted[0]
        elif urlsplit(target).path != "/token":
            status = 404
        elif user is None:
            status = 400 if grant == "refresh_token" else 401
            document = {"error": "invalid_grant"} if status == 400 else {"details": "incorrect username or password"}
        elif first.get("service") != SERVICE:
            status, document = 400, {"error": "invalid_request"}
        else:
            granted = tuple(self._granted(user, scopes))
            document = self._success(method, user, granted, first)
        with self._lock:
            self._answered.append(TokenRequest(grant, user or "", scopes, granted, status, first))
        return status, scripted[1] if scripted else json.dumps(document).encode()

    def _identify(self, method: str, authorization: str, fields: Mapping[str, str]) -> tuple[str, str | None]:
        """The way in which somebody says who they are, and who that is: None when it is not true."""
        if method == "POST":
            grant = fields.get("grant_type", "")
            if grant == "refresh_token":
                with self._lock:
                    return grant, self.refresh_tokens.get(fields.get("refresh_token", ""))
            user, password = fields.get("username", ""), fields.get("password", "")
            return grant, user if grant == "password" and self._knows(user, password) else None
        if not authorization:
            return "anonymous", ""
        scheme, _space, encoded = authorization.partition(" ")
        user, _colon, password = base64.b64decode(encoded).decode().partition(":")
        return "basic", user if scheme.lower() == "basic" and self._knows(user, password) else None

    def _knows(self, user: str, password: str) -> bool:
        return bool(user) and secrets.compare_digest(self.users.get(user, "\0").encode(), password.encode())

    def _granted(self, user: str, scopes: Iterable[str]) -> Iterable[str]:
        """As token.md has it: the part of what was asked that the user has a right to, which may be nothing."""
        for scope in scopes:
            kind, _colon, rest = scope.partition(":")
            name, _colon, wanted = rest.rpartition(":")
            if kind != "repository":
                continue
            held = set()
            for pattern, actions in self.rights.get(user, EVERYTHING).items():
                if fnmatch.fnmatchcase(name, pattern):
                    held.update(actions.split(","))
            actions = [action for action in wanted.split(",") if action in held]
            if actions:
                yield f"repository:{name}:{','.join(actions)}"

    def _success(self, method: str, user: str, granted: Iterable[str], fields: Mapping[str, str]) -> dict[str, Any]:
        token = self._sign(user, granted)
        seconds = self.lifetime if self.claimed_lifetime is None else self.claimed_lifetime
        document: dict[str, Any] = {"access_token": token, "expires_in": int(seconds)}
        if method == "GET":
            issued = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            document.update(token=token, issued_at=issued)
            if fields.get("offline_token") == "true" and user:
                document["refresh_token"] = self.add_refresh_token(user)
            return document
        document["scope"] = " ".join(granted)
        if fields.get("grant_type") == "refresh_token":
            document["refresh_token"] = fields["refresh_token"]
            if self.rotates:
                document["refresh_token"] = self.add_refresh_token(user)
                with self._lock:
                    del self.refresh_tokens[fields["refresh_token"]]
        elif fields.get("access_type") == "offline":
            document["refresh_token"] = self.add_refresh_token(user)
        return document

    # JSON Web Tokens (RFC 7515, RFC 7518)

    def _sign(self, user: str, granted: Iterable[str]) -> str:
        now = time.time()
        access = []
        for scope in granted:
            kind, _colon, rest = scope.partition(":")
            name, _colon, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "exp": int(now + self.lifetime - LEEWAY),
            "nbf": int(now - LEEWAY),
            "iat": int(now),
            "jti": secrets.token_hex(16),
            "access": access,
        }
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": self._algorithm, "x5c": [base64.b64encode(der).decode()]}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        return b".".join((signed, _base64url(self._signature(signed)))).decode()

    def _signature(self, data: bytes) -> bytes:
        if self._algorithm == "RS256":
            signature: bytes = self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            return signature
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class _Handler(BaseHTTPRequestHandler):
    owner: TokenServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def log_message(self, *args: object) -> None:
        pass

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.owner.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _do


def _new_ec_key(algorithm: str) -> ec.EllipticCurvePrivateKey:
    assert algorithm == "ES256", algorithm
    return ec.generate_private_key(ec.SECP256R1())


def _self_signed(key: Any) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")

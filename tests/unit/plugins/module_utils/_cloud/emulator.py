# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the emulators of the clouds share. They look at what they are sent as the real services do, and refuse what
those would refuse; :meth:`Emulator.script` puts a fault in front.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import secrets
import ssl
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
    Seen,
)

FORM = "application/x-www-form-urlencoded"
CLOCK_SKEW = 300


class Refused(Exception):
    """What an endpoint answers to a request that it does not accept."""

    def __init__(self, status: int, **document: Any) -> None:
        super().__init__(status, document)
        self.status, self.document = status, document


class Emulator(FaultServer, ABC):
    """A server with endpoints."""

    @abstractmethod
    def route(self, seen: Seen) -> Answer | None:
        """The answer to a request; :class:`Refused` where it is not accepted."""

    def _registry(self, seen: Seen) -> Answer:
        try:
            return self.route(seen) or reply({"error": "not_found"}, 404)
        except Refused as refused:
            return reply(refused.document, refused.status)

    def count(self, pattern: str) -> int:
        return len(self.requests("", pattern))


def reply(document: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, {"Content-Type": "application/json", **headers}, json.dumps(document).encode())


def form_of(seen: Seen) -> dict[str, str]:
    """The fields of a form that is sent as one, each once."""
    if seen.method != "POST" or seen.headers.get("Content-Type") != FORM:
        raise Refused(415, error="invalid_request", error_description="not a form")
    return _unique(seen.body.decode("ascii"))


def query_of(seen: Seen) -> dict[str, str]:
    return _unique(urlsplit(seen.target).query)


def _unique(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    if len(dict(pairs)) != len(pairs):
        raise Refused(400, error="invalid_request", error_description="a parameter is repeated")
    return dict(pairs)


def basic_of(seen: Seen) -> tuple[str, str]:
    scheme, _space, value = seen.authorization.partition(" ")
    if scheme != "Basic":
        return "", ""
    user, _colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    return user, password


# Keys and tokens


@dataclass(frozen=True)
class Key:
    """An RSA key with a certificate of its own, and what both are in files."""

    private: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        kind = serialization.PrivateFormat.PKCS8
        return self.private.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        parts = [_encode({"alg": "RS256", "typ": "JWT", **header}), _encode(claims)]
        signature = self.private.sign(".".join(parts).encode(), padding.PKCS1v15(), hashes.SHA256())
        return ".".join([*parts, base64url(signature)])

    def verify(self, token: str, algorithm: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims of a token that this key signed and that is valid now."""
        try:
            head, body, signature = token.split(".")
            header, claims = json.loads(_decode(head)), json.loads(_decode(body))
            scheme: Any = padding.PKCS1v15()
            if algorithm == "PS256":
                scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
            self.private.public_key().verify(_decode(signature), f"{head}.{body}".encode(), scheme, hashes.SHA256())
        except (ValueError, InvalidSignature) as exc:
            raise Refused(401, error="invalid_client", error_description=f"bad assertion: {token}") from exc
        now = time.time()
        if header.get("alg") != algorithm or not now < claims["exp"] <= now + 3600 + CLOCK_SKEW:
            raise Refused(401, error="invalid_client", error_description=f"bad times or algorithm: {token}")
        if claims.get("nbf", claims.get("iat", 0)) > now + CLOCK_SKEW:
            raise Refused(401, error="invalid_client", error_description="not valid yet")
        return header, claims


@cache
def key(name: str) -> Key:
    """A key that stays the same for the run, since making one takes a while."""
    private = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    return Key(private, certificate)


@contextmanager
def behind_tls(emulator: Emulator, folder: Path) -> Iterator[FaultServer]:
    """The same endpoints over TLS, with a certificate for which only ``key("authority")`` vouches."""
    own = key("authority")
    path = folder / "server.pem"
    path.write_text(own.pem + own.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with FaultServer(tls=context) as server:
        server.always("", "", emulator.answer)
        yield server


def workload_token(**changes: Any) -> str:
    """What a cluster gives a workload to prove who it is."""
    now = int(time.time())
    claims = {"iss": "https://cluster.example.com", "sub": "system:serviceaccount:apps:deployer"}
    return key("cluster").sign({**claims, "iat": now, "exp": now + 600, **changes})


def _encode(part: dict[str, Any]) -> str:
    return base64url(json.dumps(part).encode())


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# The registry behind


@dataclass
class RegistryTokens:
    """Tokens that Distribution accepts (its ``auth.token``), for pulling and pushing anything asked for."""

    service: str
    issuer: str = "emulator"
    granted: list[str] = field(default_factory=list)

    def configuration(self, realm: str, folder: Path) -> dict[str, Any]:
        """The part ``auth`` of Distribution's configuration."""
        bundle = folder / "issuer.pem"
        bundle.write_text(key("registry").certificate_pem)
        return {
            "token": {
                "realm": realm,
                "service": self.service,
                "issuer": self.issuer,
                "rootcertbundle": str(bundle),
            }
        }

    def issue(self, service: str, scopes: str, seconds: int = 300) -> str:
        if service != self.service:
            raise Refused(400, errors=[{"code": "UNAUTHORIZED", "message": f"unknown service {service}"}])
        access = []
        for scope in scopes.split():
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "emulated", "aud": service, "jti": secrets.token_hex(8), "access": access}
        der = key("registry").certificate.public_bytes(serialization.Encoding.DER)
        token = key("registry").sign(
            {**claims, "nbf": now - 10, "iat": now, "exp": now + seconds}, x5c=[base64.b64encode(der).decode()]
        )
        self.granted.append(scopes)
        return token


def forward(seen: Seen, backend: str, host: str) -> Answer:
    """Pass a request on, as a reverse proxy does."""
    headers = {name: value for name, value in seen.headers.items() if name.lower() not in ("host", "connection")}
    request = urllib.request.Request(
        backend + seen.target, seen.body or None, {**headers, "Host": host}, method=seen.method
    )
    try:
        with _OPENER.open(request, timeout=60) as response:
            return Answer(response.status, _passed(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _passed(error.headers), error.read())


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


_OWN = ("connection", "date", "server", "transfer-encoding")
_OPENER = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def _passed(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OWN}

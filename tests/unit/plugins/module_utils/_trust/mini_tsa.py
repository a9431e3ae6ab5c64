# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A time stamping authority for tests (RFC 3161), of which everything can be made wrong."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEAR = datetime.timedelta(days=365)
UTC = datetime.timezone.utc
HASHES = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
_ECDSA = {"sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
_SIGNED_DATA, _TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
_ALGORITHMS: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*parts: bytes) -> bytes:
    return der(0x30, *parts)


def integer(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(text: str) -> bytes:
    first, second, *rest = (int(each) for each in text.split("."))
    content = b""
    for number in (40 * first + second, *rest):
        octets = [number & 0x7F]
        while number > 0x7F:
            number >>= 7
            octets.append(number & 0x7F | 0x80)
        content += bytes(reversed(octets))
    return der(0x06, content)


def attribute(kind: str, *values: bytes) -> bytes:
    return sequence(oid(kind), der(0x31, *values))


class MiniTsa:
    """An authority: its root, and the certificate that it signs with."""

    def __init__(
        self,
        now: datetime.datetime,
        *,
        usages: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.TIME_STAMPING,),
        critical: bool = True,
        begins: datetime.datetime | None = None,
        ends: datetime.datetime | None = None,
        root_ends: datetime.datetime | None = None,
        key: Any = None,
        name: str = "tsa",
        serial: int | None = None,
    ) -> None:
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        root_usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        self.root = self._certificate(
            f"{name} root",
            f"{name} root",
            self.root_key,
            (now - YEAR, root_ends or now + YEAR),
            [(x509.BasicConstraints(True, None), True), (root_usage, True)],
        )
        extensions: list[tuple[x509.ExtensionType, bool]] = [(usage, True)]
        if usages is not None:
            extensions.append((x509.ExtendedKeyUsage(usages), critical))
        lifetime = (begins or now - YEAR, ends or now + YEAR)
        self.certificate = self._certificate(name, f"{name} root", self.key, lifetime, extensions, serial)

    def _certificate(
        self,
        name: str,
        issuer: str,
        key: Any,
        lifetime: tuple[datetime.datetime, datetime.datetime],
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
        serial: int | None = None,
    ) -> x509.Certificate:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (issuer, name)]
        number = serial or x509.random_serial_number()
        builder = x509.CertificateBuilder(names[0], names[1], key.public_key(), number, *lifetime)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.root_key, hashes.SHA256())

    def authority(self, **window: str) -> dict[str, Any]:
        """The entry of a trusted root."""
        chain = [self.certificate, self.root]
        return {
            "subject": {"organization": "tests", "commonName": "tsa"},
            "uri": "https://tsa.example.com",
            "certChain": {"certificates": [{"rawBytes": base64_der(each)} for each in chain]},
            "validFor": {"start": "2020-01-01T00:00:00Z", **window},
        }

    def token(
        self,
        message: bytes,
        time: datetime.datetime,
        *,
        imprint: bytes | None = None,
        hash_name: str = "sha256",
        signed_hash: str = "sha256",
        certificates: Sequence[x509.Certificate] | None = None,
        signer: x509.Certificate | None = None,
        named: x509.Certificate | None = None,
        names_signer: bool = True,
        content_type: str = _TST_INFO,
        policy: str = "1.3.6.1.4.1.57264.2",
        accuracy: bytes = b"",
        nonce: bytes = b"",
        version: int = 1,
        tampered: bool = False,
        attributes: Sequence[bytes] = (),
        outer: str = _SIGNED_DATA,
        inner: str = _TST_INFO,
        scheme: str = "plain",
        written: str = "",
        signer_version: int = 1,
        attributes_tag: int = 0xA0,
    ) -> bytes:
        """A TimeStampToken over a message, or over a hash of it."""
        digest = hashlib.new(hash_name, message).digest() if imprint is None else imprint
        info = sequence(
            integer(version),
            oid(policy),
            sequence(sequence(oid(HASHES[hash_name]), der(0x05)), der(0x04, digest)),
            integer(4711),
            der(0x18, (written or time.astimezone(UTC).strftime("%Y%m%d%H%M%SZ")).encode("ascii")),
            accuracy,
            nonce,
        )
        own = signer or self.certificate
        ess = sequence(der(0x04, hashlib.sha256((named or own).public_bytes(Encoding.DER)).digest()))
        signed_attributes = [
            attribute("1.2.840.113549.1.9.3", oid(content_type)),
            attribute("1.2.840.113549.1.9.4", der(0x04, hashlib.new(signed_hash, info).digest())),
            *([attribute("1.2.840.113549.1.9.16.2.47", sequence(sequence(ess)))] if names_signer else []),
            *attributes,
        ]
        listed = b"".join(sorted(signed_attributes))
        signature, algorithm = self._sign(der(0x31, listed), signed_hash, scheme)
        if tampered:
            info = info.replace(b"\x02\x02\x12\x67", b"\x02\x02\x12\x68")
        own_issuer = sequence(own.issuer.public_bytes(), integer(own.serial_number))
        signer_info = sequence(
            integer(signer_version),
            own_issuer,
            sequence(oid(HASHES[signed_hash])),
            der(attributes_tag, listed),
            sequence(oid(algorithm)),
            der(0x04, signature),
        )
        embedded = [own] if certificates is None else certificates
        encoded = b"".join(each.public_bytes(Encoding.DER) for each in embedded)
        signed_data = sequence(
            integer(3),
            der(0x31, sequence(oid(HASHES[signed_hash]))),
            sequence(oid(inner), der(0xA0, der(0x04, info))),
            *([der(0xA0, encoded)] if encoded else []),
            der(0x31, signer_info),
        )
        return sequence(oid(outer), der(0xA0, signed_data))

    def _sign(self, message: bytes, name: str, scheme: str) -> tuple[bytes, str]:
        """The signature, and the algorithm that the token names: with RSA any of three."""
        chosen = _ALGORITHMS[name]
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(message), "1.3.101.112"
        if not isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, ec.ECDSA(chosen)), _ECDSA[name]
        if scheme == "pss":
            pss = padding.PSS(padding.MGF1(chosen), chosen.digest_size)
            return self.key.sign(message, pss, chosen), "1.2.840.113549.1.1.10"
        number = {"plain": "1", "sha256": "11", "sha384": "12", "sha512": "13"}[name if scheme == "named" else scheme]
        return self.key.sign(message, padding.PKCS1v15(), chosen), f"1.2.840.113549.1.1.{number}"

    def response(self, message: bytes, time: datetime.datetime, **changes: Any) -> bytes:
        """A TimeStampResp, as it lies in a Sigstore bundle."""
        return sequence(sequence(integer(0)), self.token(message, time, **changes))

    def stamp(self, message: bytes, time: datetime.datetime, **changes: Any) -> dict[str, str]:
        """A timestamp of a Sigstore bundle."""
        return {"signedTimestamp": base64.b64encode(self.response(message, time, **changes)).decode("ascii")}

    @contextmanager
    def served(self, time: datetime.datetime) -> Iterator[str]:
        """Answer requests (RFC 3161, section 3.4) with a fixed time; the value is the address."""
        tsa = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = self.rfile.read(int(self.headers["Content-Length"]))
                content = tsa.answer(request, time)
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, request: bytes, time: datetime.datetime) -> bytes:
        """The answer to a TimeStampReq: its hash and its nonce are repeated."""
        fields = _values(_values(request)[0][1])
        algorithm, digest = (content for _tag, content, _encoded in _values(fields[1][1]))
        name = next(name for name, dotted in HASHES.items() if _values(algorithm)[0][2] == oid(dotted))
        # an integer behind the imprint is the nonce; an object identifier would be a policy
        nonce = next((encoded for tag, _content, encoded in fields[2:] if tag == 0x02), b"")
        return self.response(b"", time, imprint=digest, hash_name=name, nonce=nonce)


def base64_der(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def _values(content: bytes) -> list[tuple[int, bytes, bytes]]:
    """The values in DER, each with tag, content and encoding."""
    found = []
    while content:
        length, start = content[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(content[2:start], "big")
        found.append((content[0], content[start : start + length], content[: start + length]))
        content = content[start + length :]
    return found

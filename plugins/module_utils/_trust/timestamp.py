# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies timestamps of time stamping authorities (TSA), which tell when a signature existed.

Sources: RFC 3161 for the token and what is in it; RFC 5652, section 5, for the signature on it (CMS); RFC 5035 and
RFC 5816 for the attribute that names the authority's certificate. The rules are those of sigstore/timestamp-authority,
pkg/verification, and of notaryproject/tspclient-go. Stricter on purpose: one signature, in DER, with SHA-2.

A token is what its bytes are until :meth:`Token.check` has been told by which certificate it has to be signed. Whether
that certificate is trusted is for the caller to say: by the trusted root of Sigstore, or the trust store of Notation.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import der
from .certificates import ANY_PURPOSE, TIME_STAMPING, der_of, find_path, has_unknown_demand, validity
from .trusted_root import parse_errors
from .verdict import Rejected

#: Bytes of one token; those of public authorities have up to 10 KiB, with their certificates.
MAX_TOKEN = 64 * 1024
MAX_EMBEDDED = 20

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_HASHES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
# the hash is that of the signature algorithm, or of the digest algorithm where the former names none
_RSA, _RSA_PSS, _ED25519 = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.3.101.112"
_WITH_HASH = {
    "1.2.840.113549.1.1.11": ("RSA", "sha256"),
    "1.2.840.113549.1.1.12": ("RSA", "sha384"),
    "1.2.840.113549.1.1.13": ("RSA", "sha512"),
    "1.2.840.10045.4.3.2": ("EC", "sha256"),
    "1.2.840.10045.4.3.3": ("EC", "sha384"),
    "1.2.840.10045.4.3.4": ("EC", "sha512"),
}
# ETSI EN 319 421, of which notation assumes an accuracy of one second where a token names none
_BASELINE_POLICY = "0.4.0.2023.1.1"
# granted, and granted with modifications
_GRANTED = (0, 1)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,9}))?Z\Z", re.ASCII)


@dataclass(frozen=True)
class Token:
    """A timestamp token that was parsed, and is not yet trusted.

    ``time`` is when the authority says it was asked, give or take ``accuracy``. ``imprint`` is the hash of what it was
    asked about. ``certificates`` came with it.
    """

    time: datetime.datetime
    accuracy: datetime.timedelta
    certificates: Sequence[Any] = field(repr=False)
    imprint: tuple[str, bytes] = field(repr=False)
    _content: bytes = field(repr=False)
    _signer: _SignerInfo = field(repr=False)

    def is_about(self, message: bytes) -> bool:
        """Return True when the timestamp is about this message."""
        name, digest = self.imprint
        return hashlib.new(name, message).digest() == digest

    def signer_among(self, certificates: Iterable[Any]) -> Any:
        """Return the first certificate that the token says it is signed by; None when there is none."""
        for certificate in certificates:
            if certificate.serial_number == self._signer.serial and _issuer_of(certificate) == self._signer.issuer:
                return certificate
        return None

    def check(self, certificate: Any, must_name_it: bool) -> None:
        """Check that the token was signed by this certificate, which is for time stamping and nothing else.

        :param must_name_it: demand the attribute that names the certificate by its hash (RFC 5816); where it is there,
            it is always compared.
        :raises Rejected: ``timestamp``.
        """
        signer = self._signer
        attributes = _attributes(signer.attributes)
        if attributes[_CONTENT_TYPE].oid() != _TST_INFO:
            raise Rejected("timestamp", "The timestamp's signature is over another type of content")
        digest = hashlib.new(signer.hash_name, self._content).digest()
        if attributes[_MESSAGE_DIGEST].octets() != digest:
            raise Rejected("timestamp", "The timestamp was changed after it was signed")
        named = attributes.get(_SIGNING_CERTIFICATE_V2)
        if named is None and must_name_it:
            raise Rejected("timestamp", "The timestamp does not name the certificate that it is signed by")
        if named is not None and not _is_named(named, certificate):
            raise Rejected("timestamp", "The timestamp names another certificate than the one that it is signed by")
        # RFC 5652, section 5.4: the attributes are signed as a SET, whatever tag they have in the message
        signed = bytes([der.SET]) + signer.attributes.encoded[1:]
        if not _is_signed(certificate.public_key(), signer, signed):
            raise Rejected("timestamp", "The timestamp's signature is not by the authority's certificate")
        _check_for_time_stamping(certificate)


@dataclass(frozen=True)
class _SignerInfo:
    """The signature of a token (RFC 5652, section 5.3): ``attributes`` are what is signed."""

    issuer: bytes
    serial: int
    hash_name: str
    algorithm: str
    attributes: der.Value
    signature: bytes


def read_response(encoded: bytes) -> Token:
    """Parse what a time stamping authority answers (TimeStampResp), as it lies in a Sigstore bundle.

    :raises Rejected: ``timestamp``, ``malformed`` or ``too-large``.
    """
    _check_size(encoded)
    with _reading():
        status, *rest = der.read(encoded, "A timestamp").expect(der.SEQUENCE, "a timestamp").children()
        if status.children()[0].integer() not in _GRANTED:
            raise Rejected("timestamp", "The timestamp authority refused to give a timestamp")
        (token,) = rest
    return read_token(token.encoded)


def read_token(encoded: bytes) -> Token:
    """Parse a token (TimeStampToken), as it lies in an envelope of the Notary Project.

    :raises Rejected: ``timestamp``, ``malformed`` or ``too-large``.
    """
    _check_size(encoded)
    with _reading():
        return _read_token(encoded)


def check_authority(
    token: Token, pool: Sequence[Any], anchors: Sequence[Any], *, must_name_it: bool = False
) -> list[Any]:
    """Check that a token is signed by a certificate that leads to one of the anchors, valid at the token's time.

    The chain's certificates may come from the token; only the anchors are trusted.

    :param pool: certificates of the authority, looked at before those of the token.
    :return: the chain, from the certificate that signed to the anchor; it is one and the same where they are.
    :raises Rejected: ``timestamp``.
    """
    every = [*pool, *anchors, *token.certificates]
    with _reading():
        certificate = token.signer_among(every)
        if certificate is None:
            raise Rejected("timestamp", "The certificate that the timestamp is signed by is not there")
        token.check(certificate, must_name_it)
        begins, ends = validity(certificate)
        if not begins <= token.time <= ends:
            at = f"{token.time:%Y-%m-%d %H:%M:%S} UTC"
            raise Rejected("timestamp", f"The certificate of the timestamp authority was not valid at {at}")
        if any(anchor == certificate for anchor in anchors):
            return [certificate]
        path = find_path(certificate, [*pool, *token.certificates], anchors, token.time, (TIME_STAMPING, ANY_PURPOSE))
        if path:
            return [certificate, *path]
    raise Rejected("timestamp", "The timestamp is not by a trusted timestamp authority")


@contextmanager
def _reading() -> Iterator[None]:
    """Convert the errors that parsers raise on malformed input to ``Rejected``."""
    try:
        yield
    except parse_errors() as exc:
        raise Rejected("malformed", f"A timestamp cannot be read: {' '.join(str(exc).split())[:100]}") from None


def _check_size(encoded: bytes) -> None:
    if len(encoded) > MAX_TOKEN:
        raise Rejected("too-large", f"A timestamp has more than {MAX_TOKEN} bytes")


def _read_token(encoded: bytes) -> Token:
    kind, outer = der.read(encoded, "A timestamp").expect(der.SEQUENCE, "a timestamp token").children()
    if kind.oid() != _SIGNED_DATA:
        raise Rejected("malformed", "A timestamp is not signed data")
    (signed,) = outer.expect(der.context(0), "signed data").children()
    _version, _algorithms, inner, *optional = signed.expect(der.SEQUENCE, "signed data").children()
    content_type, wrapped = inner.children()
    if content_type.oid() != _TST_INFO:
        raise Rejected("malformed", "A timestamp holds something else")
    (octets,) = wrapped.expect(der.context(0), "a timestamp's content").children()
    embedded = [each for value in optional if value.tag == der.context(0) for each in value.children()]
    (infos,) = (value for value in optional if value.tag == der.SET)
    (info,) = infos.children()
    content = octets.octets()
    imprint, time, accuracy = _read_info(der.read(content, "A timestamp's content"))
    return Token(time, accuracy, _load(embedded), imprint, content, _read_signer(info))


def _load(embedded: Sequence[der.Value]) -> list[Any]:
    from cryptography.x509 import load_der_x509_certificate

    if len(embedded) > MAX_EMBEDDED:
        raise Rejected("too-large", f"A timestamp has more than {MAX_EMBEDDED} certificates")
    return [load_der_x509_certificate(each.encoded) for each in embedded]


def _read_info(info: der.Value) -> tuple[tuple[str, bytes], datetime.datetime, datetime.timedelta]:
    """Return what the authority states (RFC 3161, section 2.4.2, TSTInfo): the imprint, the time and its accuracy."""
    version, policy, imprint, _serial, time, *optional = info.expect(der.SEQUENCE, "a timestamp's content").children()
    if version.integer() != 1:
        raise Rejected("malformed", "A timestamp is not of version 1")
    algorithm, digest = imprint.children()
    name = _hash_name(algorithm)
    accuracy = _read_accuracy(optional[0]) if optional and optional[0].tag == der.SEQUENCE else datetime.timedelta()
    if not accuracy and policy.oid() == _BASELINE_POLICY:
        accuracy = datetime.timedelta(seconds=1)
    return (name, digest.octets()), _read_time(time), accuracy


def _read_accuracy(value: der.Value) -> datetime.timedelta:
    parts = {der.INTEGER: 0, der.context(0, False): 0, der.context(1, False): 0}
    for each in value.children():
        if each.tag not in parts or not 0 < len(each.content) <= 4:
            raise Rejected("malformed", "A timestamp's accuracy cannot be read")
        parts[each.tag] = int.from_bytes(each.content, "big", signed=True)
    seconds, millis, micros = parts.values()
    if min(parts.values()) < 0:
        raise Rejected("malformed", "A timestamp's accuracy is negative")
    return datetime.timedelta(seconds=seconds, milliseconds=millis, microseconds=micros)


def _read_time(value: der.Value) -> datetime.datetime:
    match = _TIME.match(value.expect(der.GENERALIZED_TIME, "a time").content.decode("ascii"))
    if match is None:
        raise Rejected("malformed", "A timestamp's time is not in UTC, or cannot be read")
    year, month, day, hour, minute, second = (int(match[number]) for number in range(1, 7))
    micro = int((match[7] or "0")[:6].ljust(6, "0"))
    return datetime.datetime(year, month, day, hour, minute, second, micro, datetime.timezone.utc)


def _read_signer(info: der.Value) -> _SignerInfo:
    version, sid, digest_algorithm, attributes, algorithm, signature, *_unsigned = info.children()
    # version 3 names the certificate by a key identifier, which tspclient-go does not know either
    if version.integer() != 1:
        raise Rejected("malformed", "A timestamp does not name its certificate by issuer and number")
    attributes.expect(der.context(0), "a list of signed attributes")
    issuer, serial = sid.expect(der.SEQUENCE, "a signer").children()
    return _SignerInfo(
        issuer.encoded,
        serial.integer(),
        _hash_name(digest_algorithm),
        algorithm.children()[0].oid(),
        attributes,
        signature.octets(),
    )


def _hash_name(algorithm: der.Value) -> str:
    oid = algorithm.children()[0].oid()
    if oid not in _HASHES:
        raise Rejected("timestamp", f"The timestamp hashes with the algorithm {oid}, not with SHA-2")
    return _HASHES[oid]


def _attributes(values: der.Value) -> dict[str, der.Value]:
    """Return the one value of each signed attribute by its type; none may come twice (RFC 5652, section 5.3)."""
    found: dict[str, der.Value] = {}
    for attribute in values.children():
        kind, several = attribute.children()
        (value,) = several.expect(der.SET, "a set of values").children()
        if kind.oid() in found:
            raise Rejected("malformed", "A timestamp has a signed attribute twice")
        found[kind.oid()] = value
    return found


def _is_named(attribute: der.Value, certificate: Any) -> bool:
    """Return True when the first of the named certificates (RFC 5035, section 3) has the hash of this one."""
    first = attribute.children()[0].children()[0].children()
    name = "sha256"
    if first[0].tag == der.SEQUENCE:
        name = _hash_name(first.pop(0))
    return bool(hashlib.new(name, der_of(certificate)).digest() == first[0].octets())


def _is_signed(key: Any, signer: _SignerInfo, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    by_name = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
    kind, name = _WITH_HASH.get(signer.algorithm, ("", signer.hash_name))
    chosen = by_name[name]
    try:
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
            if kind == "RSA" or signer.algorithm == _RSA:
                key.verify(signer.signature, signed, padding.PKCS1v15(), chosen)
                return True
            if signer.algorithm == _RSA_PSS:
                key.verify(signer.signature, signed, padding.PSS(padding.MGF1(chosen), chosen.digest_size), chosen)
                return True
        elif isinstance(key, ec.EllipticCurvePublicKey) and kind == "EC":
            key.verify(signer.signature, signed, ec.ECDSA(chosen))
            return True
        elif isinstance(key, ed25519.Ed25519PublicKey) and signer.algorithm == _ED25519:
            key.verify(signer.signature, signed)
            return True
    except (InvalidSignature, UnsupportedAlgorithm):
        pass
    return False


def _check_for_time_stamping(certificate: Any) -> None:
    """RFC 3161, section 2.3: time stamping is the one extended key usage, and it is critical."""
    from cryptography import x509

    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        usages = None
    if usages is None or not usages.critical or [each.dotted_string for each in usages.value] != [TIME_STAMPING]:
        raise Rejected("timestamp", "The timestamp's certificate is not just for time stamping (extended key usage)")
    if has_unknown_demand(certificate):
        raise Rejected("timestamp", "The timestamp's certificate has a critical extension that is not known")


def _issuer_of(certificate: Any) -> bytes:
    """Return the issuer's name as it stands in the certificate."""
    fields = der.read(certificate.tbs_certificate_bytes, "A certificate").children()
    # an explicit version may come before serial number, algorithm and issuer
    return fields[3 if fields[0].tag == der.context(0) else 2].encoded

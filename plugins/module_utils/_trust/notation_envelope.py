# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses and verifies untrusted signature envelopes of the Notary Project, JWS and COSE.

Sources: Notary Project, signature-specification.md, signature-envelope-jws.md, signature-envelope-cose.md; RFC 7515,
section 7.2.2 (flattened JSON); RFC 9052, sections 3, 4.2 and 4.4. The signer's key decides the algorithm; the
envelope has to name the same one. Of the unsigned parts (certificate chain, agent, timestamp) the chain and the
timestamp are used, which are verified by themselves.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import cbor
from .formats import decode_base64, strict_json
from .notation_chain import check_chain, name_of, read_chain, reading
from .verdict import COSE, JWS, Rejected

MAX_ENVELOPE = 1024 * 1024

JWS_TYPE, COSE_TYPE = "application/jose+json", "application/cose"
PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json"
SCHEME = "io.cncf.notary.signingScheme"
SIGNING_TIME = "io.cncf.notary.signingTime"
EXPIRY = "io.cncf.notary.expiry"
AUTHENTIC_TIME = "io.cncf.notary.authenticSigningTime"
PLUGIN = "io.cncf.notary.verificationPlugin"
PLUGIN_VERSION = "io.cncf.notary.verificationPluginMinVersion"
TIMESTAMP_SIGNATURE = "io.cncf.notary.timestampSignature"

X509, SIGNING_AUTHORITY = "notary.x509", "notary.x509.signingAuthority"
# signature-specification.md, "Algorithm Selection": (kind of key, bits) to name, bits of the hash
_ALGORITHMS = {
    ("EC", 256): ("ES256", 256),
    ("EC", 384): ("ES384", 384),
    ("EC", 521): ("ES512", 512),
    ("RSA", 2048): ("PS256", 256),
    ("RSA", 3072): ("PS384", 384),
    ("RSA", 4096): ("PS512", 512),
}
_CURVES = {"secp256r1": 256, "secp384r1": 384, "secp521r1": 521}
# signature-envelope-cose.md, "Supported alg header values"
_COSE_ALGORITHMS = {-7: "ES256", -35: "ES384", -36: "ES512", -37: "PS256", -38: "PS384", -39: "PS512"}
_COSE_ALG, _COSE_CRIT, _COSE_TYPE, _COSE_CHAIN, _COSE_SIGN1 = 1, 2, 3, 33, 18
# RFC 3339 as Go's encoding/json takes it
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):([0-5]\d))\Z",
    re.ASCII,
)


@dataclass(frozen=True)
class SignedEnvelope:
    """An envelope whose signature was made by the first certificate of its chain, which is well-formed.

    The trust policy decides later if the chain is trusted and valid, and the signature not expired. ``authentic_time``
    is the time of signing that a signing authority vouches for; None in the scheme ``notary.x509``, whose signers may
    write any. ``timestamp`` is an untrusted timestamp of the ``signature``; empty when there is none.
    """

    format: str
    payload: bytes = field(repr=False)
    chain: list[Any] = field(repr=False)
    expiry: datetime.datetime | None
    authentic_time: datetime.datetime | None
    signature: bytes = field(repr=False)
    timestamp: Any = field(repr=False)


@dataclass(frozen=True)
class _Parsed:
    """The fields of an envelope that both formats have, before any check."""

    format: str
    algorithm: Any
    headers: Mapping[Any, Any]
    critical: Any
    content_type: Any
    read_time: Callable[[Any, str], datetime.datetime]
    certificates: list[bytes]
    payload: bytes
    signature: bytes
    signed: bytes
    timestamp: Any


def format_of(media_type: str) -> str:
    """Return the name of the format in results."""
    return {JWS_TYPE: JWS, COSE_TYPE: COSE}.get(media_type, "notation")


def open_envelope(media_type: str, raw: bytes) -> SignedEnvelope:
    """Parse an envelope; check its signature and the form of its certificate chain.

    :raises Rejected: ``too-large``, ``malformed``, ``critical-header``, ``plugin``, ``signing-scheme``,
        ``payload-type``, ``algorithm``, ``bad-signature`` or ``chain``.
    """
    if len(raw) > MAX_ENVELOPE:
        raise Rejected("too-large", f"The envelope has more than {MAX_ENVELOPE} bytes")
    if media_type == JWS_TYPE:
        parsed = _parse_jws(raw)
    elif media_type == COSE_TYPE:
        parsed = _parse_cose(raw)
    else:
        raise Rejected("malformed", f"The envelope is of type {media_type[:100]!r}, not {JWS_TYPE!r} or {COSE_TYPE!r}")
    chain = read_chain(parsed.certificates)
    _check_signature(chain[0], parsed)
    expiry, authentic_time = _check_headers(parsed)
    check_chain(chain)
    return SignedEnvelope(
        parsed.format, parsed.payload, chain, expiry, authentic_time, parsed.signature, parsed.timestamp
    )


def check_payload(payload: bytes, media_type: str, digest: str, size: int) -> dict[str, str]:
    """Return the annotations of a payload whose target artifact is this descriptor.

    :raises Rejected: ``malformed`` or ``digest-mismatch``.
    """
    document = strict_json(_utf8(payload, "The payload"), "The payload")
    target = document.get("targetArtifact") if isinstance(document, dict) else None
    if not isinstance(target, dict):
        raise Rejected("malformed", "The payload has no target artifact")
    for key, wanted in (("digest", digest), ("mediaType", media_type), ("size", size)):
        found = target.get(key)
        # in Python 509.0 equals 509 and True equals 1, but they are not valid sizes
        if type(found) is not type(wanted) or found != wanted:
            message = f"The signature is for an artifact with {key} {repr(found)[:200]}, not for this one ({wanted!r})"
            raise Rejected("digest-mismatch", message)
    annotations = target.get("annotations")
    if annotations is None:
        return {}
    if not isinstance(annotations, dict) or not all(_is_text(each) for pair in annotations.items() for each in pair):
        raise Rejected("malformed", "The payload's annotations are not an object of strings")
    return annotations


def _parse_jws(raw: bytes) -> _Parsed:
    document = strict_json(_utf8(raw, "The envelope"), "The envelope")
    if not isinstance(document, dict) or "signatures" in document:
        raise Rejected("malformed", "The envelope is not a JWS in flattened JSON")
    protected, payload = document.get("protected"), document.get("payload")
    header = _base64url(protected, "protected header")
    headers = strict_json(_utf8(header, "The protected header"), "The protected header")
    if not isinstance(headers, dict):
        raise Rejected("malformed", "The protected header is not an object")
    unprotected = document.get("header")
    chain = unprotected.get("x5c") if isinstance(unprotected, dict) else None
    if not isinstance(chain, list):
        raise Rejected("malformed", "The envelope has no certificate chain (x5c)")
    if "b64" in headers:
        # RFC 7797: the payload would not be in base64
        raise Rejected("malformed", "The envelope's payload is not in base64 (b64)")
    return _Parsed(
        format=JWS,
        algorithm=headers.get("alg"),
        headers=headers,
        critical=headers.get("crit"),
        content_type=headers.get("cty"),
        read_time=_jws_time,
        certificates=[decode_base64(each, "A certificate of the envelope") for each in chain],
        payload=_base64url(payload, "payload"),
        signature=_base64url(document.get("signature"), "signature"),
        signed=f"{protected}.{payload}".encode("ascii"),
        timestamp=_jws_timestamp(unprotected.get(TIMESTAMP_SIGNATURE)) if isinstance(unprotected, dict) else b"",
    )


def _parse_cose(raw: bytes) -> _Parsed:
    message = cbor.decode(raw, "The envelope")
    parts = message.value if isinstance(message, cbor.Tag) and message.number == _COSE_SIGN1 else None
    if not isinstance(parts, list) or [type(part) for part in parts] != [bytes, dict, bytes, bytes]:
        raise Rejected("malformed", "The envelope is not a tagged COSE_Sign1 with a payload")
    protected, unprotected, payload, signature = parts
    headers = cbor.decode(protected, "The protected header")
    if not isinstance(headers, dict):
        raise Rejected("malformed", "The protected header is not a map")
    if set(headers) & set(unprotected):
        raise Rejected("malformed", "A header is both protected and unprotected")
    chain = unprotected.get(_COSE_CHAIN)
    if not isinstance(chain, list) or not all(isinstance(each, bytes) for each in chain):
        raise Rejected("malformed", "The envelope has no certificate chain (x5chain)")
    number: Any = headers.get(_COSE_ALG)
    return _Parsed(
        format=COSE,
        algorithm=_COSE_ALGORITHMS.get(number, number) if cbor.is_integer(number) else None,
        headers=headers,
        critical=headers.get(_COSE_CRIT),
        content_type=headers.get(_COSE_TYPE),
        read_time=_cose_time,
        certificates=chain,
        payload=payload,
        signature=signature,
        # RFC 9052, section 4.4: ["Signature1", protected, no external data, payload]
        signed=b"\x84\x6aSignature1" + cbor.encode_bytes(protected) + b"\x40" + cbor.encode_bytes(payload),
        timestamp=unprotected.get(TIMESTAMP_SIGNATURE, b""),
    )


def _check_signature(leaf: Any, parsed: _Parsed) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    with reading("The key of the signer's certificate"):
        key = leaf.public_key()
    kind, bits = "", 0
    if isinstance(key, rsa.RSAPublicKey):
        kind, bits = "RSA", key.key_size
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind, bits = "EC", _CURVES.get(key.curve.name, 0)
    name, hash_bits = _ALGORITHMS.get((kind, bits), ("", 0))
    if not name:
        wanted = "RSA of 2048, 3072 or 4096 bits, or EC on P-256, P-384 or P-521"
        raise Rejected("algorithm", f"The key of {name_of(leaf)} is not one of those for signatures: {wanted}")
    if parsed.algorithm != name:
        message = f"The envelope names the algorithm {repr(parsed.algorithm)[:50]}, its key is for {name!r}"
        raise Rejected("algorithm", message)
    chosen = {256: hashes.SHA256(), 384: hashes.SHA384(), 512: hashes.SHA512()}[hash_bits]
    signature = parsed.signature
    try:
        if kind == "RSA":
            key.verify(signature, parsed.signed, padding.PSS(padding.MGF1(chosen), chosen.digest_size), chosen)
            return
        half = (bits + 7) // 8
        if len(signature) != 2 * half:
            raise Rejected("bad-signature", f"The signature has {len(signature)} bytes, not the {2 * half} of {name}")
        numbers = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
        key.verify(encode_dss_signature(*numbers), parsed.signed, ec.ECDSA(chosen))
    except InvalidSignature:
        message = f"The signature was not made with the key of {name_of(leaf)}, or the envelope was changed"
        raise Rejected("bad-signature", message) from None


def _check_headers(parsed: _Parsed) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    """Check that all critical signed attributes are known, present and well-formed.

    :return: the time of expiry, and the authentic time of signing where a signing authority vouches for it.
    """
    headers = parsed.headers
    for plugin in (PLUGIN, PLUGIN_VERSION):
        if plugin in headers:
            message = f"The signature demands notation's plugin {repr(headers.get(PLUGIN))[:100]}"
            raise Rejected("plugin", f"{message}, and plugins are not run")
    scheme = headers.get(SCHEME)
    if scheme not in (X509, SIGNING_AUTHORITY):
        raise Rejected("signing-scheme", f"The signing scheme is {repr(scheme)[:100]}, not {X509!r}")
    time_name, other_time = SIGNING_TIME, AUTHENTIC_TIME
    demanded = [SCHEME, EXPIRY]
    if scheme == SIGNING_AUTHORITY:
        time_name, other_time = AUTHENTIC_TIME, SIGNING_TIME
        demanded.append(AUTHENTIC_TIME)
    _check_critical(parsed, demanded)
    if parsed.content_type != PAYLOAD_TYPE:
        message = f"The payload is of type {repr(parsed.content_type)[:100]}, not {PAYLOAD_TYPE!r}"
        raise Rejected("payload-type", message)
    if other_time in headers:
        raise Rejected("malformed", f"The header {other_time!r} does not belong to the scheme {scheme!r}")
    signing_time = parsed.read_time(headers.get(time_name), "signing time")
    authentic_time = signing_time if scheme == SIGNING_AUTHORITY else None
    if EXPIRY not in headers:
        return None, authentic_time
    expiry = parsed.read_time(headers[EXPIRY], "expiry")
    if expiry <= signing_time:
        raise Rejected("malformed", "The signature expires before it was made")
    return expiry, authentic_time


def _check_critical(parsed: _Parsed, demanded: Sequence[str]) -> None:
    """Check that exactly those of the demanded headers that are there are marked as critical, and no others."""
    headers, critical = parsed.headers, parsed.critical
    if not isinstance(critical, list) or not all(type(each) in (str, int) for each in critical):
        raise Rejected("critical-header", "The envelope has no list of critical headers")
    if len(set(critical)) != len(critical):
        raise Rejected("critical-header", "A critical header is named twice")
    unknown = [each for each in critical if each not in demanded]
    if unknown:
        raise Rejected("critical-header", f"The critical header {repr(unknown[0])[:100]} is not known")
    for required in demanded:
        if (required in headers) != (required in critical):
            what = "is not marked as critical" if required in headers else "is critical and absent"
            raise Rejected("critical-header", f"The header {required!r} {what}")


def _jws_time(value: Any, what: str) -> datetime.datetime:
    match = _TIME.match(value) if isinstance(value, str) else None
    if match is None:
        raise Rejected("malformed", f"The {what} {repr(value)[:100]} is not a time")
    try:
        zone = datetime.timezone.utc
        if match[8]:
            offset = datetime.timedelta(hours=int(match[9]), minutes=int(match[10]))
            zone = datetime.timezone(offset if match[8] == "+" else -offset)
        micro = int((match[7] or "0")[:6].ljust(6, "0"))
        year, month, day, hour, minute, second = (int(match[number]) for number in range(1, 7))
        time = datetime.datetime(year, month, day, hour, minute, second, micro, zone)
        return time.astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError):
        raise Rejected("malformed", f"The {what} {value!r} is not a time") from None


def _jws_timestamp(value: Any) -> Any:
    """Return the bytes of a timestamp in base64; anything else as it is: it is refused where it is wanted."""
    return value if not isinstance(value, str) else decode_base64(value, "The timestamp")


def _cose_time(value: Any, what: str) -> datetime.datetime:
    """Return a time in seconds since 1970 (RFC 8949, section 3.4.2); fractions of seconds are refused."""
    if not isinstance(value, cbor.Tag) or value.number != 1 or not cbor.is_integer(value.value):
        raise Rejected("malformed", f"The {what} {repr(value)[:100]} is not a time in whole seconds")
    try:
        return datetime.datetime.fromtimestamp(value.value, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise Rejected("malformed", f"The {what} is out of range") from None


def _base64url(value: Any, what: str) -> bytes:
    """Decode base64url without padding (RFC 7515, section 2); only the canonical encoding is accepted."""
    if not isinstance(value, str):
        raise Rejected("malformed", f"The {what} is not a string")
    try:
        data = base64.urlsafe_b64decode(value.encode("ascii") + b"=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        data = b""
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != value:
        raise Rejected("malformed", f"The {what} is not in base64url")
    return data


def _utf8(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected("malformed", f"{what} is not UTF-8") from None


def _is_text(value: Any) -> bool:
    """Return True for a string that can be encoded: JSON may escape half a surrogate pair."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)

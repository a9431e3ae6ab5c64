# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes certificates and signature envelopes of the Notary Project, right and wrong ones."""

from __future__ import annotations

import base64
import datetime
import functools
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cbor import Tag
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation import NotationVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy

UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=UTC)
YEAR = datetime.timedelta(days=365)
#: When certificates are valid that are not told otherwise.
BEGINS, ENDS = datetime.datetime(2020, 1, 1, tzinfo=UTC), datetime.datetime(2120, 1, 1, tzinfo=UTC)
ARTIFACT = Descriptor("application/vnd.oci.image.manifest.v1+json", "sha256:" + "ab" * 32, 509)
SCOPE = "registry.example.com/charts/hello"

SCHEME = "io.cncf.notary.signingScheme"
SIGNING_TIME = "io.cncf.notary.signingTime"
EXPIRY = "io.cncf.notary.expiry"
AUTHENTIC_TIME = "io.cncf.notary.authenticSigningTime"
TIMESTAMP_SIGNATURE = "io.cncf.notary.timestampSignature"
SIGNING_AUTHORITY = "notary.x509.signingAuthority"
PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json"
MEDIA_TYPES = {"jws": "application/jose+json", "cose": "application/cose"}
SUBJECT = {"C": "US", "ST": "WA", "O": "example", "CN": "signer"}
#: As the value of a header: leave it out.
ABSENT = object()

OIDS = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
    "E": NameOID.EMAIL_ADDRESS,
    "DC": NameOID.DOMAIN_COMPONENT,
}
COSE_NUMBERS = {"ES256": -7, "ES384": -35, "ES512": -36, "PS256": -37, "PS384": -38, "PS512": -39}
ALL_USAGES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
    "encipher_only decipher_only"
).split()


@functools.cache
def key_of(kind: str, owner: str = "") -> Any:
    """A private key, the same one for the same words: P-256, P-384, P-521, RSA-2048, …"""
    family, _dash, size = kind.partition("-")
    if family == "RSA":
        return rsa.generate_private_key(65537, int(size))
    curves = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "521": ec.SECP521R1(), "256K": ec.SECP256K1()}
    return ec.generate_private_key(curves[size])


def algorithm_of(key: Any) -> str:
    size = key.key_size
    return f"PS{size // 8}" if isinstance(key, rsa.RSAPrivateKey) else f"ES{ {521: 512}.get(size, size) }"


@dataclass(frozen=True)
class Identity:
    """A key with the chain of its certificate."""

    key: Any
    chain: tuple[x509.Certificate, ...]

    @property
    def root_pem(self) -> str:
        return pem(self.chain[-1])


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def name(parts: Mapping[str, str] | Sequence[tuple[str, str]]) -> x509.Name:
    pairs = parts.items() if isinstance(parts, Mapping) else parts
    return x509.Name([x509.NameAttribute(OIDS[kind], value) for kind, value in pairs])


def make_certificate(
    subject: Any,
    key: Any,
    issuer: Identity | None = None,
    *,
    ca: bool | None = False,
    path_length: int | None = None,
    usages: Sequence[str] | None = ("digital_signature",),
    usage_critical: bool = True,
    purposes: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.CODE_SIGNING,),
    begins: datetime.datetime = BEGINS,
    ends: datetime.datetime = ENDS,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    signed_by: Any = None,
    issuer_name: x509.Name | None = None,
    digest: Any = None,
) -> x509.Certificate:
    """A certificate; without an issuer it signs itself."""
    subject = subject if isinstance(subject, x509.Name) else name(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name or (issuer.chain[0].subject if issuer else subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins.replace(tzinfo=None))
        .not_valid_after(ends.replace(tzinfo=None))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if usages is not None:
        flags = {usage: usage in usages for usage in ALL_USAGES}
        builder = builder.add_extension(x509.KeyUsage(**flags), critical=usage_critical)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signing_key = signed_by or (issuer.key if issuer else key)
    if isinstance(signing_key, ed25519.Ed25519PrivateKey):
        return builder.sign(signing_key, None)
    return builder.sign(signing_key, digest or hashes.SHA256())


def make_authority(title: str = "root", above: Identity | None = None, **options: Any) -> Identity:
    key = options.pop("key", None) or key_of("P-256", title)
    options = {"ca": True, "usages": ("key_cert_sign", "crl_sign"), "purposes": None, **options}
    certificate = make_certificate({"C": "US", "ST": "WA", "O": "example", "CN": title}, key, above, **options)
    return Identity(key, (certificate, *(above.chain if above else ())))


def make_identity(
    authority: Identity | None = None, *, key: Any = None, subject: Any = None, **options: Any
) -> Identity:
    """A signer whose certificate the authority issued."""
    authority, key = authority or root(), key or key_of("P-256")
    certificate = make_certificate(subject or SUBJECT, key, authority, **options)
    return Identity(key, (certificate, *authority.chain))


@functools.cache
def root() -> Identity:
    return make_authority()


@functools.cache
def signer() -> Identity:
    """A good one, of root()."""
    return make_identity()


def payload_for(artifact: Descriptor = ARTIFACT, **target: Any) -> bytes:
    document = {"mediaType": artifact.media_type, "digest": artifact.digest, "size": artifact.size, **target}
    return json.dumps(
        {"targetArtifact": {key: value for key, value in document.items() if value is not ABSENT}}
    ).encode()


def make_envelope(
    form: str,
    who: Identity | None = None,
    *,
    payload: bytes | None = None,
    headers: Mapping[Any, Any] | None = None,
    critical: Any = None,
    expiry: datetime.datetime | None = None,
    chain: Sequence[bytes] | None = None,
    algorithm: Any = None,
    sign_with: Any = None,
    signature: bytes | None = None,
    unprotected: Mapping[Any, Any] | None = None,
    outer: Mapping[str, Any] | None = None,
    authentic: datetime.datetime | None = None,
    stamp: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """An envelope in one of the two formats; without options a good one for ARTIFACT.

    ``headers`` are set over the right protected ones, and ``outer`` over the members of the JWS; ABSENT leaves one out.
    ``authentic`` is the time of a signing authority, whose scheme it is then; ``stamp`` makes a timestamp of
    the signature.
    """
    who = who or signer()
    payload = payload_for() if payload is None else payload
    algorithm = algorithm or algorithm_of(who.key)
    chain = [der(each) for each in who.chain] if chain is None else chain
    if critical is None:
        critical = [SCHEME, *([EXPIRY] if expiry else []), *([AUTHENTIC_TIME] if authentic else [])]
    if form == "jws":
        protected: dict[Any, Any] = {"alg": algorithm, "crit": critical, "cty": PAYLOAD_TYPE, SCHEME: "notary.x509"}
        protected[SIGNING_TIME] = "2026-05-01T00:00:00Z"
        if authentic:
            del protected[SIGNING_TIME]
            protected.update({SCHEME: SIGNING_AUTHORITY, AUTHENTIC_TIME: authentic.isoformat()})
        if expiry:
            protected[EXPIRY] = expiry.isoformat()
        protected = merged(protected, headers)
        parts = [b64u(json.dumps(protected).encode()), b64u(payload)]
        made = sign(sign_with or who.key, ".".join(parts).encode()) if signature is None else signature
        document: dict[str, Any] = {"protected": parts[0], "payload": parts[1], "signature": b64u(made)}
        document["header"] = {"x5c": [base64.b64encode(each).decode() for each in chain], **(unprotected or {})}
        if stamp:
            document["header"][TIMESTAMP_SIGNATURE] = base64.b64encode(stamp(made)).decode()
        return json.dumps(merged(document, outer)).encode()
    number = COSE_NUMBERS.get(algorithm, algorithm)
    protected = {1: number, 2: critical, 3: PAYLOAD_TYPE, SCHEME: "notary.x509", SIGNING_TIME: Tag(1, 1777593600)}
    if authentic:
        del protected[SIGNING_TIME]
        protected.update({SCHEME: SIGNING_AUTHORITY, AUTHENTIC_TIME: Tag(1, int(authentic.timestamp()))})
    if expiry:
        protected[EXPIRY] = Tag(1, int(expiry.timestamp()))
    names = {"alg": 1, "crit": 2, "cty": 3}
    encoded = cbor_encode(merged(protected, {names.get(key, key): value for key, value in (headers or {}).items()}))
    signed = cbor_encode(["Signature1", encoded, b"", payload])
    made = sign(sign_with or who.key, signed) if signature is None else signature
    outside = {33: list(chain), **(unprotected or {}), **({TIMESTAMP_SIGNATURE: stamp(made)} if stamp else {})}
    return cbor_encode(Tag(18, [encoded, outside, payload, made]))


def sign(key: Any, message: bytes) -> bytes:
    """As RFC 7518 and RFC 9053 have signatures; the hash follows from the key."""
    bits = {521: 512, 2048: 256, 3072: 384, 4096: 512}.get(key.key_size, key.key_size)
    chosen = {384: hashes.SHA384(), 512: hashes.SHA512()}.get(bits, hashes.SHA256())
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PSS(padding.MGF1(chosen), chosen.digest_size), chosen)
    size = (key.key_size + 7) // 8
    return b"".join(part.to_bytes(size, "big") for part in decode_dss_signature(key.sign(message, ec.ECDSA(chosen))))


def merged(base: Mapping[Any, Any], over: Mapping[Any, Any] | None) -> dict[Any, Any]:
    return {key: value for key, value in {**base, **(over or {})}.items() if value is not ABSENT}


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def cbor_encode(value: Any) -> bytes:
    """RFC 8949, in the shortest form."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, Mapping):
        return _head(5, len(value)) + b"".join(cbor_encode(each) for pair in value.items() for each in pair)
    if isinstance(value, Tag):
        return _head(6, value.number) + cbor_encode(value.value)
    return _head(4, len(value)) + b"".join(cbor_encode(each) for each in value)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if argument < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | info]) + struct.pack(form, argument)
    raise ValueError(argument)


def statement(**changes: Any) -> dict[str, Any]:
    """A statement of a trust policy; ``level``, ``override`` and ``verifyTimestamp`` go where they belong."""
    verification = {key: changes.pop(key) for key in ("level", "override", "verifyTimestamp") if key in changes}
    document = {
        "name": "p",
        "registryScopes": ["*"],
        "signatureVerification": {"level": "strict", **verification},
        "trustStores": ["ca:good"],
        "trustedIdentities": ["*"],
    }
    return merged(document, changes)


def verifier(
    *statements: Mapping[str, Any],
    trust_store: Any = None,
    min_signers: int = 1,
    max_signatures: int = 0,
    now: datetime.datetime = NOW,
    annotations: Mapping[str, str] | None = None,
    **changes: Any,
) -> NotationVerifier:
    """One for a policy of these statements, or of ``statement(**changes)``; trusts root() unless told otherwise."""
    policy = VerifyPolicy(
        provider="notation",
        min_signers=min_signers,
        max_signatures=max_signatures,
        annotations=annotations or {},
        trust_policy={"version": "1.0", "trustPolicies": list(statements) or [statement(**changes)]},
        trust_store={"*": [root().root_pem]} if trust_store is None else trust_store,
    )
    return NotationVerifier(policy, now=lambda: now)


def found(*envelopes: bytes) -> list[tuple[str, str, bytes]]:
    """As they come from a registry; the format is seen by the first byte."""
    kinds = ["cose" if raw[:1] == b"\xd2" else "jws" for raw in envelopes]
    return [
        (f"sha256:{number:064x}", MEDIA_TYPES[kind], raw) for number, (kind, raw) in enumerate(zip(kinds, envelopes))
    ]

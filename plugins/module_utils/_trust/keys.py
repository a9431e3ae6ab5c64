# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads public keys, and verifies signatures with them.

Source: cosign and Flux verify with SHA-256 whatever the curve (sigstore, pkg/signature, LoadVerifier(pub, SHA256)), RSA
with PKCS#1 v1.5, Ed25519 pure. The key decides the algorithm, never what comes with the signature.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidPolicy
from .._files.bounded import MAX_KEY_FILE, FileRefused, is_pem, read_file
from .._oci.digest import digest_of
from .._packages import require_cryptography
from .key_uris import is_uri, read_public_key

MAX_KEYS = 100
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 16384
CURVES = ("secp256r1", "secp384r1", "secp521r1")

_PEM_LABEL = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_PUBLIC_LABELS = ("PUBLIC KEY", "RSA PUBLIC KEY")


class SignedBytes:
    """What a signature is over, in parts that are not joined, and hashed once for all keys that are tried."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self._digests: dict[str, bytes] = {}

    def digest(self, algorithm: str) -> bytes:
        """Return the digest by an algorithm of ``hashlib``, such as ``sha256``."""
        if algorithm not in self._digests:
            hashing = hashlib.new(algorithm)
            for part in self._parts:
                hashing.update(part)
            self._digests[algorithm] = hashing.digest()
        return self._digests[algorithm]

    def joined(self) -> bytes:
        """Return all of it, a copy; Ed25519 needs that."""
        return b"".join(self._parts)


@dataclass(frozen=True)
class PublicKey:
    """A public key for verification.

    ``source`` is its path, or ``key N`` of the option; ``fingerprint`` is ``sha256:<hex>`` of its SubjectPublicKeyInfo.
    """

    key: Any = field(repr=False)
    source: str
    fingerprint: str

    def is_named(self, key_id: str) -> bool:
        """Return True when a DSSE ``keyid`` is empty, or this key's SSH fingerprint, as in go-securesystemslib."""
        if not key_id:
            return True
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        wire = base64.b64decode(self.key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
        fingerprint = base64.b64encode(hashlib.sha256(wire).digest()).decode("ascii").rstrip("=")
        return key_id == f"SHA256:{fingerprint}"

    def verifies(self, signature: bytes, message: bytes | SignedBytes, curve_hash: bool = False) -> bool:
        """Return True when the signature over the message is valid.

        With ``curve_hash``, ECDSA signatures made with the curve's own hash (SHA-384 for P-384, SHA-512 for P-521)
        count too.
        """
        return signature_is_good(self.key, signature, message, curve_hash)


def load_public_keys(sources: list[str]) -> list[PublicKey]:
    """Read PEM public keys given as text, as paths or as ``env://NAME``, in the order given; a text may hold several.

    :raises InvalidPolicy: for anything that is not a public key of an accepted kind, such as a private key or a
        certificate.
    """
    keys: list[PublicKey] = []
    for number, source in enumerate(sources, 1):
        name, text = _read_public_key(source, number)
        blocks = [match[0] for match in _PEM_BLOCK.finditer(text)]
        if not blocks:
            raise _refuse(name, text)
        for block in blocks:
            keys.append(_load_public_key(block, name))
        if len(keys) > MAX_KEYS:
            raise InvalidPolicy(f"There are more than {MAX_KEYS} public keys.")
    return keys


def fingerprint_of(key: Any) -> str:
    """Return ``sha256:<hex>`` of the SubjectPublicKeyInfo of a public key of ``cryptography``."""
    return digest_of(spki_of(key))


def spki_of(key: Any) -> bytes:
    """Return the SubjectPublicKeyInfo of a public key as DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    result: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return result


def check_kind(key: Any, name: str) -> None:
    """Check that a key is of an accepted kind: ECDSA on P-256, P-384 or P-521, RSA from 2048 bits, Ed25519.

    :raises InvalidPolicy: for any other key.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise InvalidPolicy(
                f"{name} is an RSA key of {key.key_size} bits: wanted {MIN_RSA_BITS} to {MAX_RSA_BITS}."
            )
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise InvalidPolicy(f"{name} is on the curve {key.curve.name}: wanted one of {', '.join(CURVES)}.")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise InvalidPolicy(f"{name} is a key of the kind {type(key).__name__}: wanted ECDSA, RSA or Ed25519.")


def signature_is_good(key: Any, signature: bytes, message: bytes | SignedBytes, curve_hash: bool = False) -> bool:
    """Check a signature with SHA-256 (Ed25519: pure), and with the curve's own hash where that is allowed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

    signed = SignedBytes(message) if isinstance(message, bytes) else message
    try:
        if isinstance(key, rsa.RSAPublicKey):
            hashed = utils.Prehashed(hashes.SHA256())
            key.verify(signature, signed.digest("sha256"), padding.PKCS1v15(), hashed)
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed.joined())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            _verify_ecdsa(key, _as_der(key, signature), signed, curve_hash)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _as_der(key: Any, signature: bytes) -> bytes:
    """Return an ECDSA signature as DER; the ``r || s`` of IEEE P1363 is accepted too, as in sigstore."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    size = (key.curve.key_size + 7) // 8
    is_der = len(signature) > 2 and signature[0] == 0x30 and len(signature) == signature[1] + 2
    if is_der or len(signature) != 2 * size:
        return signature
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))


def _verify_ecdsa(key: Any, signature: bytes, signed: SignedBytes, curve_hash: bool) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    try:
        key.verify(signature, signed.digest("sha256"), ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except InvalidSignature:
        own = {"secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}.get(key.curve.name)
        if own is None or not curve_hash:
            raise
        key.verify(signature, signed.digest(own.name), ec.ECDSA(utils.Prehashed(own)))


def _read_public_key(source: str, number: int) -> tuple[str, str]:
    if is_pem(source):
        return f"key {number}", source
    if is_uri(source):
        return source, read_public_key(source)
    try:
        return source, read_file(source, MAX_KEY_FILE).decode("utf-8", "replace")
    except FileRefused as exc:
        raise InvalidPolicy(
            f"The public key {source[:200]!r} {exc}.",
            "Give the path of a PEM file on the host that runs the module, or the PEM text itself.",
        ) from None


def _load_public_key(block: str, name: str) -> PublicKey:
    label = _PEM_BLOCK.match(block)
    if label is None or label[1] not in _PUBLIC_LABELS:
        raise _refuse(name, block)
    require_cryptography("Verifying signatures")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(block.encode("utf-8"))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidPolicy(f"{name} is damaged: its PEM block holds no public key that can be read.") from None
    check_kind(key, name)
    return PublicKey(key, name, fingerprint_of(key))


def _refuse(name: str, text: str) -> InvalidPolicy:
    match = _PEM_LABEL.search(text)
    if match is None:
        return InvalidPolicy(
            f"{name} is not a public key: it has no PEM block.", "Give what cosign writes to cosign.pub."
        )
    if "PRIVATE" in match[1]:
        return InvalidPolicy(
            f"{name} is a private key ({match[1]}), which verification must not be given.",
            "Give its public half, as in: cosign public-key --key cosign.key, or openssl pkey -pubout.",
        )
    if "CERTIFICATE" in match[1]:
        return InvalidPolicy(
            f"{name} is a certificate, not a public key.",
            "Give its key (openssl x509 -pubkey -noout), or 'identities' for keyless signatures.",
        )
    return InvalidPolicy(f"{name} is not a public key: its PEM block is {match[1]!r}.", "Wanted PUBLIC KEY.")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies that one certificate was issued by another, also where ``cryptography`` is too old to do it by itself.

Source: RFC 5280 sections 4.1.1.2 and 6.1.3; ``Certificate.verify_directly_issued_by`` of cryptography 40.
"""

from __future__ import annotations

from typing import Any

# object identifiers of signatures (RFC 8017, RFC 5758, RFC 8410), with the key and the hash of each; none with SHA-1
_RSA, _ECDSA, _ED25519 = "RSAPublicKey", "EllipticCurvePublicKey", "Ed25519PublicKey"
_ALGORITHMS = {
    "1.2.840.113549.1.1.11": (_RSA, "SHA256"),
    "1.2.840.113549.1.1.12": (_RSA, "SHA384"),
    "1.2.840.113549.1.1.13": (_RSA, "SHA512"),
    "1.2.840.10045.4.3.2": (_ECDSA, "SHA256"),
    "1.2.840.10045.4.3.3": (_ECDSA, "SHA384"),
    "1.2.840.10045.4.3.4": (_ECDSA, "SHA512"),
    "1.3.101.112": (_ED25519, ""),
}
_VERSION_TAG = 0xA0


def verify_issued_by(certificate: Any, issuer: Any) -> None:
    """Verify the name and the signature of a certificate with those of its issuer; neither is checked otherwise.

    :raises InvalidSignature: of ``cryptography``, when the signature is not by the issuer's key.
    :raises UnsupportedAlgorithm: of ``cryptography``, when the signature is of a kind that is not accepted or known.
    :raises ValueError: when the issuer has another name, or the certificate names two kinds of signatures.
    :raises TypeError: when the issuer's key is of another kind than the signature.
    """
    if hasattr(certificate, "verify_directly_issued_by"):
        certificate.verify_directly_issued_by(issuer)
    else:
        verify_by_hand(certificate, issuer)


def verify_by_hand(certificate: Any, issuer: Any) -> None:
    """Do what :func:`verify_issued_by` does with what cryptography 38 has; RSASSA-PSS is not known."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    if certificate.issuer != issuer.subject:
        raise ValueError("The issuer has another name")
    oid = certificate.signature_algorithm_oid.dotted_string
    if oid not in _ALGORITHMS:
        raise UnsupportedAlgorithm(f"The kind of signature {oid} is not accepted, or needs cryptography 41 or newer")
    if not _names_one_algorithm(certificate):
        raise ValueError("The certificate names two kinds of signatures")
    kind, hash_name = _ALGORITHMS[oid]
    key, signature, signed = issuer.public_key(), certificate.signature, certificate.tbs_certificate_bytes
    if kind == _RSA and isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, padding.PKCS1v15(), getattr(hashes, hash_name)())
    elif kind == _ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(getattr(hashes, hash_name)()))
    elif kind == _ED25519 and isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, signed)
    else:
        raise TypeError(f"The issuer's key is not an {kind}")


def _names_one_algorithm(certificate: Any) -> bool:
    """Return True when the signed part names the same algorithm as the part around it, byte for byte."""
    from cryptography.hazmat.primitives.serialization import Encoding

    whole: bytes = certificate.public_bytes(Encoding.DER)
    signed: bytes = certificate.tbs_certificate_bytes
    outer = _content(whole, 0)[0] + len(signed)
    inner = _content(signed, 0)[0]
    if signed[inner] == _VERSION_TAG:
        inner = _content(signed, inner)[1]
    inner = _content(signed, inner)[1]  # behind the serial number
    return whole[outer : _content(whole, outer)[1]] == signed[inner : _content(signed, inner)[1]]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Return where the content of an element of DER begins and ends, which ``cryptography`` has parsed before."""
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, begin = int.from_bytes(der[begin : begin + size], "big"), begin + size
    return begin, begin + length

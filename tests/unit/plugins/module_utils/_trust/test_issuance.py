# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who issued a certificate: by hand as by cryptography's own method, which old versions do not have."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.issuance import (
    verify_by_hand,
    verify_issued_by,
)

BEGINS = datetime.datetime(2026, 1, 1)
SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
RSA = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, Any] = {
    "rsa": RSA,
    "rsa2": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def certificate(subject: str, issuer: str, by: str, digest: Any = SHA256, key: str = "p256", **more: Any) -> Any:
    """The certificate of a subject with a key, by the issuer of this name with another key."""
    builder = x509.CertificateBuilder(name(issuer), name(subject), KEYS[key].public_key(), more.pop("serial", 7))
    builder = builder.not_valid_before(BEGINS).not_valid_after(BEGINS + datetime.timedelta(days=9))
    # long enough that its parts have lengths of two bytes
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{subject * 99}.example")]), False)
    return builder.sign(KEYS[by], None if by == "ed25519" else digest, **more)


def authority(key: str) -> Any:
    return certificate("ca", "ca", key, key=key)


def refusal(check: Any, child: Any, issuer: Any) -> type[Exception] | None:
    try:
        check(child, issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as exc:
        return type(exc)
    return None


def by_cryptography(child: Any, issuer: Any) -> None:
    child.verify_directly_issued_by(issuer)


@pytest.mark.parametrize("digest", [SHA256, SHA384, SHA512], ids=lambda each: str(each.name))
@pytest.mark.parametrize("key", KEYS)
def test_what_an_authority_issued(key: str, digest: Any) -> None:
    issued = certificate("a", "ca", key, digest)
    for check in (verify_by_hand, by_cryptography, verify_issued_by):
        check(issued, authority(key))
        check(authority(key), authority(key))


@pytest.mark.parametrize(
    ("issued_by", "claimed", "wanted"),
    [
        ("rsa2", "rsa", InvalidSignature),
        ("p256", "rsa", TypeError),
        ("rsa", "p256", TypeError),
        ("ed25519", "p384", TypeError),
        ("p384", "ed25519", TypeError),
        ("p256", "p384", InvalidSignature),
    ],
)
def test_what_another_key_issued(issued_by: str, claimed: str, wanted: type[Exception]) -> None:
    issued = certificate("a", "ca", issued_by)
    assert refusal(verify_by_hand, issued, authority(claimed)) is wanted
    assert refusal(by_cryptography, issued, authority(claimed)) is not None


def test_an_issuer_of_another_name() -> None:
    for check in (verify_by_hand, by_cryptography):
        assert refusal(check, certificate("a", "other", "rsa"), authority("rsa")) is ValueError


@pytest.mark.parametrize(
    "options", [{"digest": hashes.SHA224()}, {"rsa_padding": padding.PSS(padding.MGF1(SHA256), 32)}]
)
def test_kinds_of_signatures_that_are_not_accepted(options: dict[str, Any]) -> None:
    issued = certificate("a", "ca", "rsa", **options)
    assert refusal(verify_by_hand, issued, authority("rsa")) is UnsupportedAlgorithm


@pytest.mark.parametrize("serial", [1, 127, 128, 2**64, 2**150])
def test_two_kinds_of_signatures_in_one_certificate(serial: int) -> None:
    """The signature is good and by the right key, but the certificate says something else inside."""
    issued = certificate("a", "ca", "rsa", serial=serial)
    signed = issued.tbs_certificate_bytes
    assert signed.count(bytes.fromhex("2a864886f70d01010b")) == 1
    altered = signed.replace(bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d01010c"))
    found = reassembled(issued, altered, RSA.sign(altered, padding.PKCS1v15(), SHA256))
    for check in (verify_by_hand, by_cryptography):
        assert refusal(check, found, authority("rsa")) is ValueError
    check_content(issued, signed)


def check_content(issued: Any, signed: bytes) -> None:
    """What was put together again unchanged is accepted."""
    verify_by_hand(reassembled(issued, signed, issued.signature), authority("rsa"))


def test_a_certificate_of_version_1() -> None:
    """It does not name its version, so that its serial number comes first."""
    issued = x509.CertificateBuilder(name("ca"), name("a"), KEYS["p256"].public_key(), 7)
    third = issued.not_valid_before(BEGINS).not_valid_after(BEGINS + datetime.timedelta(days=9)).sign(RSA, SHA256)
    content = third.tbs_certificate_bytes.partition(bytes.fromhex("a003020102"))[2]
    first = element(0x30, content)
    found = reassembled(third, first, RSA.sign(first, padding.PKCS1v15(), SHA256))
    assert found.version is x509.Version.v1
    verify_by_hand(found, authority("rsa"))


def test_every_byte_of_the_signed_part_counts() -> None:
    issued = certificate("a", "ca", "rsa")
    signed = issued.tbs_certificate_bytes
    for at in range(0, len(signed), 7):
        altered = bytearray(signed)
        altered[at] ^= 1
        part = SimpleNamespace(
            issuer=issued.issuer,
            signature_algorithm_oid=issued.signature_algorithm_oid,
            signature=issued.signature,
            tbs_certificate_bytes=signed,
            public_bytes=issued.public_bytes,
        )
        verify_by_hand(part, authority("rsa"))
        part.tbs_certificate_bytes = bytes(altered)
        with pytest.raises((InvalidSignature, ValueError, IndexError)):
            verify_by_hand(part, authority("rsa"))


def reassembled(original: Any, signed: bytes, signature: bytes) -> Any:
    """A certificate with another signed part and signature, and the kind of signature of the original."""
    whole = original.public_bytes(Encoding.DER)
    rest = whole[whole.index(original.tbs_certificate_bytes) + len(original.tbs_certificate_bytes) :]
    algorithm = rest[: 2 + rest[1]]
    return x509.load_der_x509_certificate(element(0x30, signed + algorithm + element(0x03, b"\0" + signature)))


def element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content

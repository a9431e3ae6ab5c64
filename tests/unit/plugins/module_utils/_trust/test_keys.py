# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys: which are accepted, and which signatures are good."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import keys
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keys import (
    MAX_KEY_FILE,
    MAX_KEYS,
    PublicKey,
    check_kind,
    fingerprint_of,
    load_public_keys,
    signature_is_good,
    spki_of,
)

MESSAGE = b"what was signed"
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]
OWN_HASH = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
by_curve = pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii"))


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


# Signatures


@by_curve
def test_ecdsa_with_sha256(curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)
    signature = private.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    (public,) = load_public_keys([pem(private)])
    assert public.verifies(signature, MESSAGE) and public.verifies(signature, MESSAGE, curve_hash=True)
    assert not public.verifies(signature, MESSAGE + b"!") and not public.verifies(signature, MESSAGE + b"!", True)
    assert not signature_is_good(ec.generate_private_key(curve).public_key(), signature, MESSAGE)


@by_curve
def test_ecdsa_with_the_hash_of_its_curve(curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)
    signature = private.sign(MESSAGE, ec.ECDSA(OWN_HASH[curve.name]))
    is_default = curve.name == "secp256r1"
    assert signature_is_good(private.public_key(), signature, MESSAGE) is is_default
    assert signature_is_good(private.public_key(), signature, MESSAGE, curve_hash=True)
    assert not signature_is_good(private.public_key(), signature, b"", curve_hash=True)
    (public,) = load_public_keys([pem(private)])
    assert public.verifies(signature, MESSAGE) is is_default and public.verifies(signature, MESSAGE, True)


@by_curve
def test_ecdsa_as_two_numbers_of_the_curves_size(curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)
    size = (curve.key_size + 7) // 8
    numbers = decode_dss_signature(private.sign(MESSAGE, ec.ECDSA(hashes.SHA256())))
    plain = b"".join(number.to_bytes(size, "big") for number in numbers)
    swapped = plain[size:] + plain[:size]
    public = private.public_key()
    assert signature_is_good(public, plain, MESSAGE)
    for wrong in (swapped, plain[:-1], plain + b"\0", b"\0" + plain, b"", b"0", plain[:2]):
        assert not signature_is_good(public, wrong, MESSAGE)


def test_a_der_signature_is_none_of_two_numbers_whatever_its_length() -> None:
    """For P-256, a DER signature of two short numbers may have 64 bytes, as two plain numbers have."""
    private = ec.generate_private_key(ec.SECP256R1())
    for _attempt in range(20000):
        signature = private.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
        if len(signature) < 70:
            break
    assert signature_is_good(private.public_key(), signature, MESSAGE)


def der_of(*numbers: bytes) -> bytes:
    body = b"".join(b"\x02" + bytes([len(number)]) + number for number in numbers)
    return b"\x30" + bytes([len(body)]) + body


@pytest.mark.parametrize(
    ("signature", "is_plain"),
    [
        (der_of(b"\x01" * 29, b"\x01" * 29), False),
        (b"\x31" + der_of(b"\x01" * 29, b"\x01" * 29)[1:], True),
        (b"\x30\x3d" + b"\x01" * 62, True),
        (b"\x30\x3f" + b"\x01" * 62, True),
        (b"\x01" * 64, True),
        (b"\x01" * 63, False),
        (b"\x01" * 65, False),
        (b"\x30\x00", False),
        (b"\x30", False),
        (b"", False),
    ],
)
def test_what_counts_as_two_plain_numbers(key: ec.EllipticCurvePrivateKey, signature: bytes, is_plain: bool) -> None:
    assert (keys._as_der(key.public_key(), signature) != signature) is is_plain


def test_rsa_and_ed25519() -> None:
    large = rsa.generate_private_key(65537, 2048)
    signature = large.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    assert signature_is_good(large.public_key(), signature, MESSAGE)
    assert not signature_is_good(large.public_key(), signature, b"other")
    stronger = large.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA512())
    assert not signature_is_good(large.public_key(), stronger, MESSAGE, curve_hash=True)
    edwards = ed25519.Ed25519PrivateKey.generate()
    assert signature_is_good(edwards.public_key(), edwards.sign(MESSAGE), MESSAGE)
    assert not signature_is_good(edwards.public_key(), edwards.sign(MESSAGE), b"other")


def test_a_key_of_another_kind_verifies_nothing() -> None:
    private = dsa.generate_private_key(1024)
    assert not signature_is_good(private.public_key(), private.sign(MESSAGE, hashes.SHA256()), MESSAGE)


# Which keys are accepted


@pytest.mark.parametrize(("bits", "is_accepted"), [(2047, False), (2048, True), (16384, True), (16385, False)])
def test_sizes_of_rsa_keys(bits: int, is_accepted: bool) -> None:
    numbers = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) + 1)
    public = numbers.public_key()
    assert public.key_size == bits
    if is_accepted:
        check_kind(public, "key 1")
    else:
        with pytest.raises(InvalidPolicy, match=f"key 1 is an RSA key of {bits} bits: wanted 2048 to 16384"):
            check_kind(public, "key 1")


def test_kinds_that_are_accepted() -> None:
    for curve in CURVES:
        check_kind(ec.generate_private_key(curve).public_key(), "key 1")
    check_kind(ed25519.Ed25519PrivateKey.generate().public_key(), "key 1")
    with pytest.raises(InvalidPolicy, match="curve secp256k1"):
        check_kind(ec.generate_private_key(ec.SECP256K1()).public_key(), "key 1")
    with pytest.raises(InvalidPolicy, match="DSA"):
        check_kind(dsa.generate_private_key(1024).public_key(), "key 1")


def test_a_weak_key_is_refused_when_it_is_read() -> None:
    with pytest.raises(InvalidPolicy, match="1024 bits"):
        load_public_keys([pem(rsa.generate_private_key(65537, 1024))])


# How they are read


def test_keys_of_texts_and_files_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    privates = [ec.generate_private_key(ec.SECP256R1()) for _number in range(4)]
    path = tmp_path / "two.pub"
    path.write_text(pem(privates[1]) + "between\n" + pem(privates[2]))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = load_public_keys([pem(privates[0]), "~/two.pub", pem(privates[3])])
    assert [each.fingerprint for each in found] == [fingerprint_of(each.public_key()) for each in privates]
    assert [each.source for each in found] == ["key 1", "~/two.pub", "~/two.pub", "key 3"]


def test_a_fingerprint_is_of_the_public_key_info(key: ec.EllipticCurvePrivateKey) -> None:
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki_of(key.public_key()) == info
    assert fingerprint_of(key.public_key()) == "sha256:" + hashlib.sha256(info).hexdigest()


def test_how_many_keys(key: ec.EllipticCurvePrivateKey) -> None:
    assert len(load_public_keys([pem(key) * MAX_KEYS])) == MAX_KEYS
    with pytest.raises(InvalidPolicy, match="more than 100 public keys"):
        load_public_keys([pem(key) * MAX_KEYS, pem(key)])


def test_how_large_a_file(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path = tmp_path / "key.pub"
    path.write_text(pem(key).ljust(MAX_KEY_FILE))
    assert load_public_keys([str(path)])
    path.write_text(pem(key).ljust(MAX_KEY_FILE + 1))
    with pytest.raises(InvalidPolicy, match="more than 65536 bytes"):
        load_public_keys([str(path)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match=r"none\.pub' cannot be read: No such file or directory\. "):
        load_public_keys([str(tmp_path / "none.pub")])
    with pytest.raises(InvalidPolicy, match="cannot be read: embedded null"):
        load_public_keys(["key\0.pub"])


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("EC PRIVATE KEY", "is a private key"),
        ("ENCRYPTED SIGSTORE PRIVATE KEY", "is a private key"),
        ("CERTIFICATE", "is a certificate"),
        ("PGP PUBLIC KEY BLOCK", "its PEM block is 'PGP PUBLIC KEY BLOCK'"),
        ("PUBLIC KEY", "is damaged"),
        ("RSA PUBLIC KEY", "is damaged"),
    ],
)
def test_what_is_no_public_key(label: str, said: str, key: ec.EllipticCurvePrivateKey) -> None:
    block = f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"
    with pytest.raises(InvalidPolicy, match=said):
        load_public_keys([block])
    with pytest.raises(InvalidPolicy, match=said):
        load_public_keys([pem(key) + block])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n", "PEM block is 'PUBLIC KEY'"),
        ("-----BEGIN\nPUBLIC KEY-----", "it has no PEM block"),
    ],
)
def test_half_a_block(text: str, said: str) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        load_public_keys([text])


def test_a_public_key_in_the_block_of_rsa() -> None:
    private = rsa.generate_private_key(65537, 2048)
    text = private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode("ascii")
    (public,) = load_public_keys([text])
    assert public.fingerprint == fingerprint_of(private.public_key())


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, key: ec.EllipticCurvePrivateKey) -> None:
    text = pem(key)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDependency, match="Verifying signatures needs the Python package cryptography"):
        load_public_keys([text])


# How an envelope names them


def test_the_key_that_an_envelope_names(key: ec.EllipticCurvePrivateKey) -> None:
    public = PublicKey(key.public_key(), "key 1", "")
    wire = base64.b64decode(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
    name = base64.b64encode(hashlib.sha256(wire).digest()).decode("ascii").rstrip("=")
    assert public.is_named("") and public.is_named(f"SHA256:{name}")
    assert not public.is_named(name) and not public.is_named("SHA256:") and not public.is_named("other")

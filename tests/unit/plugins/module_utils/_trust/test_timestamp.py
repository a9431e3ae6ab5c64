# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timestamps of RFC 3161: which count, what is refused, and that the package rfc3161-client says the same."""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import der, formats, timestamp
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.timestamp import (
    check_authority,
    read_response,
    read_token,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.trusted_root import load_trusted_roots
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from . import vectors
from .mini_tsa import HASHES, UTC, YEAR, MiniTsa, attribute, integer, oid, sequence
from .mini_tsa import der as encode

NOW = datetime.datetime(2025, 6, 1, 12, 0, 30, tzinfo=UTC)
SECOND = datetime.timedelta(seconds=1)
MESSAGE = b"a signature"
RSA = rsa.generate_private_key(65537, 2048)
REAL = json.loads((vectors.ROOT / "conformance/rekor2-dsse-happy-path/bundle.sigstore.json").read_bytes())


@pytest.fixture(name="tsa", scope="module")
def _tsa() -> MiniTsa:
    return MiniTsa(NOW)


def judge(tsa: MiniTsa, encoded: bytes, message: bytes = MESSAGE, **options: Any) -> str:
    """Why a response does not count as one of the authority about the message; empty when it does."""
    try:
        token = read_response(encoded)
        check_authority(token, [tsa.certificate], [tsa.root], **options)
    except Rejected as exc:
        assert exc.message and not exc.message.endswith(".")
        return exc.message
    return "" if token.is_about(message) else "another message"


def oracle(tsa: MiniTsa, encoded: bytes, message: bytes = MESSAGE) -> bool:
    """The verdict of rfc3161-client."""
    client = pytest.importorskip("rfc3161_client")
    builder = client.VerifierBuilder(tsa_certificate=tsa.certificate, roots=[tsa.root])
    try:
        return bool(builder.build().verify_message(client.decode_timestamp_response(encoded), message))
    except (client.VerificationError, ValueError):
        return False


def test_what_a_timestamp_says(tsa: MiniTsa) -> None:
    token = read_response(tsa.response(MESSAGE, NOW))

    assert (token.time, token.accuracy) == (NOW, datetime.timedelta())
    assert token.certificates == [tsa.certificate]
    assert token.is_about(MESSAGE) and not token.is_about(b"another")
    assert check_authority(token, [], [tsa.root]) == [tsa.certificate, tsa.root]


def test_a_timestamp_of_a_real_authority() -> None:
    """Of Sigstore's, with a certificate on P-384."""
    root = json.loads((vectors.ROOT / "conformance/rekor2-dsse-happy-path/trusted_root.json").read_bytes())
    (authority, *_more) = load_trusted_roots(json.dumps(root))[0].timestamp_authorities
    material, envelope = REAL["verificationMaterial"], REAL["dsseEnvelope"]
    stamp = material["timestampVerificationData"]["rfc3161Timestamps"][0]["signedTimestamp"]
    token = read_response(formats.decode_base64(stamp, "it"))

    assert token.is_about(formats.decode_base64(envelope["signatures"][0]["sig"], "it"))
    assert token.time == datetime.datetime(2026, 5, 13, 19, 23, 33, tzinfo=UTC)
    assert check_authority(token, authority.chain[:-1], authority.chain[-1:])[-1] == authority.chain[-1]


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA"])
def test_a_good_timestamp_counts(kind: str, name: str) -> None:
    key: Any = RSA if kind == "RSA" else None
    key = key or ec.generate_private_key(ec.SECP256R1() if kind == "P-256" else ec.SECP384R1())
    tsa = MiniTsa(NOW, key=key)
    encoded = tsa.response(MESSAGE, NOW, hash_name=name, signed_hash=name)

    assert judge(tsa, encoded, must_name_it=True) == ""
    assert oracle(tsa, encoded)


@pytest.mark.parametrize("scheme", ["plain", "named", "pss"])
@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_algorithms_of_rsa(scheme: str, name: str) -> None:
    tsa = MiniTsa(NOW, key=RSA)

    assert judge(tsa, tsa.response(MESSAGE, NOW, signed_hash=name, scheme=scheme)) == ""
    # the signature of another scheme by the same name
    swapped = {"plain": "pss", "named": "pss", "pss": "plain"}[scheme]
    other = copy.copy(tsa)
    other._sign = lambda *given: (tsa._sign(*given[:2], swapped)[0], tsa._sign(*given)[1])  # type: ignore[method-assign]
    assert "not by the authority's certificate" in judge(
        tsa, other.response(MESSAGE, NOW, signed_hash=name, scheme=scheme)
    )


def test_an_ed25519_key() -> None:
    tsa = MiniTsa(NOW, key=ed25519.Ed25519PrivateKey.generate())

    assert judge(tsa, tsa.response(MESSAGE, NOW, signed_hash="sha512")) == ""


def test_an_rsa_key_that_is_too_short() -> None:
    tsa = MiniTsa(NOW, key=rsa.generate_private_key(65537, 1024))

    assert "not by the authority's certificate" in judge(tsa, tsa.response(MESSAGE, NOW))


def test_its_certificate_may_come_from_the_trusted_root_only(tsa: MiniTsa) -> None:
    encoded = tsa.response(MESSAGE, NOW, certificates=[])

    assert judge(tsa, encoded) == ""
    assert oracle(tsa, encoded)
    with pytest.raises(Rejected, match="is not there"):
        check_authority(read_response(encoded), [], [tsa.root])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"imprint": b"x" * 32}, "another message"),
        ({"tampered": True}, "was changed after"),
        ({"content_type": "1.2.840.113549.1.7.1"}, "another type of content"),
        ({"version": 2}, "not of version 1"),
        ({"signer_version": 3}, "by issuer and number"),
        ({"attributes_tag": 0xA1}, "signed attributes"),
        ({"outer": "1.2.840.113549.1.7.3"}, "not signed data"),
        ({"inner": "1.2.840.113549.1.7.1"}, "holds something else"),
        ({"hash_name": "sha1"}, "not with SHA-2"),
    ],
    ids=str,
)
def test_what_does_not_count(tsa: MiniTsa, changes: dict[str, Any], reason: str) -> None:
    encoded = tsa.response(MESSAGE, NOW, **changes)

    assert reason in judge(tsa, encoded)
    if changes.keys() & {"imprint", "tampered", "hash_name"}:
        assert not oracle(tsa, encoded)


def test_the_attribute_that_names_the_certificate(tsa: MiniTsa) -> None:
    """RFC 5816: notation demands it, Sigstore has the certificate in its trusted root."""
    unnamed, wrong = tsa.response(MESSAGE, NOW, names_signer=False), tsa.response(MESSAGE, NOW, named=tsa.root)

    assert judge(tsa, unnamed) == ""
    assert "does not name the certificate" in judge(tsa, unnamed, must_name_it=True)
    assert "names another certificate" in judge(tsa, wrong)


def test_it_may_name_it_by_a_longer_hash(tsa: MiniTsa) -> None:
    digest = hashlib.sha512(tsa.certificate.public_bytes(Encoding.DER)).digest()
    ess = sequence(sequence(oid(HASHES["sha512"])), encode(0x04, digest))
    named = attribute("1.2.840.113549.1.9.16.2.47", sequence(sequence(ess)))
    weak = attribute(
        "1.2.840.113549.1.9.16.2.47", sequence(sequence(sequence(sequence(oid(HASHES["sha1"])), encode(0x04, digest))))
    )

    def made(value: bytes) -> bytes:
        return tsa.response(MESSAGE, NOW, names_signer=False, attributes=[value])

    assert judge(tsa, made(named), must_name_it=True) == ""
    assert "not with SHA-2" in judge(tsa, made(weak))


def test_a_timestamp_of_another_authority(tsa: MiniTsa) -> None:
    """Its certificate comes with it, and leads to a root of its own."""
    other = MiniTsa(NOW)

    assert "not by a trusted timestamp authority" in judge(tsa, other.response(MESSAGE, NOW))
    # the same names and another key
    impostor = other.response(MESSAGE, NOW, signer=tsa.certificate)
    assert "not by the authority's certificate" in judge(tsa, impostor)
    assert not oracle(tsa, impostor)


@pytest.mark.parametrize(
    ("usages", "critical", "is_good"),
    [
        ([ExtendedKeyUsageOID.TIME_STAMPING], True, True),
        ([ExtendedKeyUsageOID.TIME_STAMPING], False, False),
        ([ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING], True, False),
        ([ExtendedKeyUsageOID.CODE_SIGNING], True, False),
        (None, True, False),
    ],
)
def test_the_certificate_is_for_time_stamping_only(usages: Any, critical: bool, is_good: bool) -> None:
    tsa = MiniTsa(NOW, usages=usages, critical=critical)

    assert (judge(tsa, tsa.response(MESSAGE, NOW)) == "") is is_good


def test_a_certificate_that_demands_what_is_not_known(tsa: MiniTsa) -> None:
    other = copy.copy(tsa)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    lifetime = (NOW - YEAR, NOW + YEAR)
    for critical, reason in ((False, ""), (True, "critical extension that is not known")):
        extensions: list[Any] = [(purpose, True), (unknown, critical)]
        other.certificate = tsa._certificate("tsa", "tsa root", tsa.key, lifetime, extensions)
        assert reason in judge(other, other.response(MESSAGE, NOW))
        assert reason or not judge(other, other.response(MESSAGE, NOW))


def test_certificates_are_valid_at_the_time_of_the_timestamp() -> None:
    ends = NOW + 60 * SECOND
    for tsa in (MiniTsa(NOW, ends=ends), MiniTsa(NOW, root_ends=ends)):
        encoded = [tsa.response(MESSAGE, time) for time in (ends, ends + SECOND)]
        assert [judge(tsa, each) == "" for each in encoded] == [True, False]
    early = MiniTsa(NOW, begins=NOW)
    assert judge(early, early.response(MESSAGE, NOW)) == ""
    assert "was not valid at" in judge(early, early.response(MESSAGE, NOW - SECOND))


def test_a_certificate_may_be_its_own_root(tsa: MiniTsa) -> None:
    token = read_response(tsa.response(MESSAGE, NOW))

    assert check_authority(token, [], [tsa.certificate]) == [tsa.certificate]


@pytest.mark.parametrize(
    ("accuracy", "policy", "expected"),
    [
        (sequence(integer(2)), "1.2.3", 2.0),
        (sequence(integer(1), encode(0x80, b"\x01\xf4"), encode(0x81, b"\x0a")), "1.2.3", 1.50001),
        (sequence(encode(0x80, b"\x01")), "1.2.3", 0.001),
        (sequence(encode(0x81, b"\x01")), "1.2.3", 0.000001),
        (sequence(encode(0x02, b"\x01\x00\x00\x00")), "1.2.3", 16777216.0),
        (b"", "1.2.3", 0.0),
        (b"", "0.4.0.2023.1.1", 1.0),
        (sequence(integer(5)), "0.4.0.2023.1.1", 5.0),
    ],
)
def test_how_accurate_it_is(tsa: MiniTsa, accuracy: bytes, policy: str, expected: float) -> None:
    for nonce in (b"", integer(4711)):
        token = read_response(tsa.response(MESSAGE, NOW, accuracy=accuracy, policy=policy, nonce=nonce))
        assert token.accuracy == datetime.timedelta(seconds=expected)


@pytest.mark.parametrize(
    "value",
    [
        encode(0x02, b"\xff"),
        encode(0x80, b"\xff"),
        encode(0x02, b""),
        encode(0x85, b"\x01"),
        encode(0x02, b"\0\0\0\0\1"),
    ],
)
def test_an_accuracy_that_makes_no_sense(tsa: MiniTsa, value: bytes) -> None:
    assert "accuracy" in judge(tsa, tsa.response(MESSAGE, NOW, accuracy=sequence(value)))


@pytest.mark.parametrize(
    ("written", "microseconds"),
    [
        ("20250601120030Z", 0),
        ("20250601120030.5Z", 500000),
        ("20250601120030.000001Z", 1),
        ("20250601120030.1234567Z", 123456),
    ],
)
def test_times(tsa: MiniTsa, written: str, microseconds: int) -> None:
    token = read_response(tsa.response(MESSAGE, NOW, written=written))

    assert token.time == NOW + datetime.timedelta(microseconds=microseconds)


@pytest.mark.parametrize(
    "written",
    [
        "20250601120030",
        "20250601120030+0000",
        "202506011200Z",
        "20250601120030,5Z",
        "20250631120030Z",
        "20250601120030Zx",
    ],
)
def test_what_is_no_time(tsa: MiniTsa, written: str) -> None:
    reason = "day is out of range" if "0631" in written else "not in UTC"
    with pytest.raises(Rejected, match=reason) as caught:
        read_response(tsa.response(MESSAGE, NOW, written=written))
    assert caught.value.code == "malformed"


def test_a_refusal_of_the_authority(tsa: MiniTsa) -> None:
    token = tsa.token(MESSAGE, NOW)

    assert judge(tsa, sequence(sequence(integer(1)), token)) == ""
    assert "refused" in judge(tsa, sequence(sequence(integer(2)), token))
    assert judge(tsa, sequence(sequence(integer(0))))
    # RFC 3161, section 2.4.2: text may come behind the status
    assert judge(tsa, sequence(sequence(integer(0), sequence(encode(0x0C, b"granted"))), token)) == ""


def test_a_certificate_is_named_by_issuer_and_number(tsa: MiniTsa) -> None:
    other = MiniTsa(NOW, name="other", serial=tsa.certificate.serial_number)
    token = read_response(tsa.response(MESSAGE, NOW))

    assert token.signer_among([other.certificate, tsa.root]) is None
    assert token.signer_among([other.certificate, tsa.certificate]) == tsa.certificate


def test_a_signed_attribute_twice(tsa: MiniTsa) -> None:
    again = attribute("1.2.840.113549.1.9.4", encode(0x04, b"x" * 32))

    assert "twice" in judge(tsa, tsa.response(MESSAGE, NOW, attributes=[again]))


def test_an_ed25519_key_counts_for_itself_only() -> None:
    """Its algorithm is not that of the token."""
    tsa = MiniTsa(NOW)
    tsa.certificate = tsa._certificate(
        "tsa", "tsa root", ed25519.Ed25519PrivateKey.generate(), (NOW - YEAR, NOW + YEAR), []
    )

    assert "not by the authority's certificate" in judge(tsa, tsa.response(MESSAGE, NOW))


def test_how_large_it_may_be(tsa: MiniTsa, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = tsa.response(MESSAGE, NOW)
    monkeypatch.setattr(timestamp, "MAX_TOKEN", len(encoded) - 1)
    with pytest.raises(Rejected) as caught:
        read_response(encoded)
    assert caught.value.code == "too-large"
    token = tsa.token(MESSAGE, NOW)
    monkeypatch.setattr(timestamp, "MAX_TOKEN", len(token) - 1)
    with pytest.raises(Rejected, match="has more than"):
        read_token(token)
    monkeypatch.setattr(timestamp, "MAX_TOKEN", len(encoded))
    assert read_response(encoded).time == NOW
    monkeypatch.setattr(timestamp, "MAX_TOKEN", 64 * 1024)
    monkeypatch.setattr(timestamp, "MAX_EMBEDDED", 1)
    assert read_response(encoded).time == NOW
    with pytest.raises(Rejected, match="more than 1 certificates"):
        read_response(tsa.response(MESSAGE, NOW, certificates=[tsa.certificate] * 2))


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_whatever_is_changed_is_refused(tsa: MiniTsa) -> None:
    """One octet anywhere: only the parts that nobody signs may differ, and then the timestamp says the same."""
    good = tsa.response(MESSAGE, NOW)
    chance = random.Random(20250601)
    for position in range(len(good)):
        changed = bytearray(good)
        changed[position] ^= 1 << chance.randrange(8)
        reason = judge(tsa, bytes(changed))
        if not reason:
            assert read_response(bytes(changed)).time == NOW, position
            assert read_response(bytes(changed)).imprint == read_response(good).imprint
    for length in range(len(good)):
        assert judge(tsa, good[:length])


# -- DER


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x30",
        b"\x30\x01",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x01\x00",
        b"\x30\x82\x00\x80" + b"\0" * 128,
        b"\x30\x85\x01\x00\x00\x00\x00",
        b"\x30\x82\x01",
        b"\x1f\x01\x00",
        b"\x30\x00\x00",
    ],
)
def test_what_is_not_der(encoded: bytes) -> None:
    with pytest.raises(ValueError, match="DER|It has something behind"):
        der.read(encoded, "It")


def test_what_der_holds() -> None:
    value = der.read(
        sequence(integer(-1 & 0x7F), oid("1.2.840.113549.1.7.2"), oid("2.999.3"), encode(0x04, b"a")), "It"
    )
    number, first, second, octets = value.children()

    assert (number.integer(), first.oid(), second.oid(), octets.octets()) == (
        127,
        "1.2.840.113549.1.7.2",
        "2.999.3",
        b"a",
    )
    assert der.read(b"\x02\x01\xff", "It").integer() == -1
    assert der.read(b"\x30\x81\x80" + b"\x05\x00" * 64, "It").children()[63].tag == 5
    for wrong in (number.oid, first.integer, number.octets, der.read(b"\x06\x01\x80", "It").oid):
        with pytest.raises(ValueError, match="is not"):
            wrong()


def test_how_many_values_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(der, "MAX_VALUES", 2)
    assert len(der.read(sequence(integer(1), integer(2)), "It").children()) == 2
    with pytest.raises(ValueError, match="more than 2"):
        der.read(sequence(integer(1), integer(2), integer(3)), "It").children()


def test_a_token_is_not_a_response(tsa: MiniTsa) -> None:
    assert read_token(tsa.token(MESSAGE, NOW)).time == NOW
    with pytest.raises(Rejected):
        read_token(tsa.response(MESSAGE, NOW))
    with pytest.raises(Rejected):
        read_response(tsa.token(MESSAGE, NOW))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of signers: what a leaf, a chain and a CT log's timestamp have to be."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import certificates
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.trusted_root import (
    TrustedRoot,
    load_trusted_roots,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from .mini_sigstore import MINUTE, NOW, YEAR, Authority, Leaf, MiniSigstore, compact, key_usage, new_key, spki

UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
NAMES = x509.NameConstraints([x509.RFC822Name("example.com")], None)

# "openssl x509 -req -sha1": cryptography does not sign with SHA-1
SHA1_LEAF = """-----BEGIN CERTIFICATE-----
MIIBEzCBuwIUVeW14ROzRwc5W3FeOCBbKxFP2ZQwCQYHKoZIzj0EATANMQswCQYD
VQQDDAJjYTAgFw0yNjExMjEwNDMzMjRaGA8yMTI2MTAyODA0MzMyNFowDDEKMAgG
A1UEAwwBbDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAWVbDQ3NsTxWblotMd7
8jJcKvCnlJSJdaW86zqAKRVkVDcwzCu56LQua8lY69MGf5hhUMjqLM2oc/3bjLDE
tlowCQYHKoZIzj0EAQNIADBFAiEArNxXv9DAJa3WobjGemcR77VYod1LZ/YLW4bg
xWVsuZoCIAsoqW6OJFY6kax9diRgDuIcpHPT8AZwohuxqPzynxVQ
-----END CERTIFICATE-----
"""
SHA1_AUTHORITY = """-----BEGIN CERTIFICATE-----
MIIBcTCCARegAwIBAgIUWImwTON9Jq0zdpGx4/QsLUb4ebkwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMDQzMzIzWhgPMjEyNjEwMjgwNDMzMjNa
MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE3hvZnRKS
yRDaLhok1IcdnNwJzP8PHbsWUVniXnx894+pRt+0k3Xx9nlIr5Z7IXG3hd/b7DGH
2GVZFAZa5Nj09KNTMFEwHQYDVR0OBBYEFKIwXVLxvINLyzII9IzWmSoRJBIAMB8G
A1UdIwQYMBaAFKIwXVLxvINLyzII9IzWmSoRJBIAMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSAAwRQIgS9xJufHg1EKciOxCYJ1T5BaCcntmOf4ovo3Bxh5c
9RsCIQCA8BmNX3dgldMLgZgm3ta/goXCOSs4RomxkxtwXNrNRw==
-----END CERTIFICATE-----
"""


@pytest.fixture(name="mini", scope="module")
def _mini() -> MiniSigstore:
    return MiniSigstore()


def root_of(mini: MiniSigstore, *chain: Authority, **changes: Any) -> TrustedRoot:
    certificates_of_chain = [each.certificate for each in chain] or None
    if certificates_of_chain:
        changes["chain"] = certificates_of_chain
    return load_trusted_roots(compact(mini.trusted_root(**changes)).decode("ascii"))[0]


def code(root: TrustedRoot, leaf: x509.Certificate, time: datetime.datetime = NOW) -> str:
    try:
        certificates.check_signing_certificate(root, leaf, time)
    except Rejected as exc:
        return exc.code
    return ""


# -- reading


def test_pem_and_der_are_read_alike(mini: MiniSigstore) -> None:
    leaf = mini.issue(Leaf())
    der, pem = leaf.public_bytes(Encoding.DER), leaf.public_bytes(Encoding.PEM)

    assert certificates.read_certificate(pem) == certificates.read_certificate(der) == leaf
    assert certificates.read_certificate(pem + mini.root.certificate.public_bytes(Encoding.PEM)) == leaf
    assert certificates.is_same_certificate(pem, leaf)
    assert certificates.is_same_certificate(der, leaf)
    assert not certificates.is_same_certificate(mini.issue(Leaf()).public_bytes(Encoding.PEM), leaf)
    assert not certificates.is_same_certificate(b"nothing", leaf)


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"", "malformed"),
        (b"nothing", "malformed"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "malformed"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "malformed"),
        (b"\x30" * (certificates.MAX_CERTIFICATE + 1), "too-large"),
    ],
    ids=["empty", "text", "damaged", "key", "large"],
)
def test_what_is_no_certificate_is_refused(encoded: bytes, expected: str) -> None:
    with pytest.raises(Rejected) as caught:
        certificates.read_certificate(encoded)
    assert caught.value.code == expected


# -- the leaf


@pytest.mark.parametrize(
    "leaf",
    [
        Leaf(usages=None),
        Leaf(usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
        Leaf(usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
        Leaf(usage=None),
        Leaf(usage=key_usage()),
        Leaf(extra=[(x509.BasicConstraints(True, None), True)]),
        Leaf(extra=[(UNKNOWN, True)]),
        Leaf(extra=[(NAMES, False)]),
    ],
    ids=["no-eku", "server-auth", "any-eku", "no-key-usage", "no-digital-signature", "ca", "critical", "constraints"],
)
def test_a_leaf_that_may_not_sign_is_refused(mini: MiniSigstore, leaf: Leaf) -> None:
    assert code(root_of(mini), mini.issue(leaf)) == "untrusted-certificate"


@pytest.mark.parametrize(
    "leaf",
    [
        Leaf(),
        Leaf(extra=[(UNKNOWN, False)]),
        Leaf(extra=[(x509.BasicConstraints(False, None), True)]),
        Leaf(usages=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]),
        Leaf(algorithm=hashes.SHA512()),
    ],
    ids=["usual", "unknown", "no-ca", "two-usages", "sha512"],
)
def test_a_leaf_that_may_sign_passes(mini: MiniSigstore, leaf: Leaf) -> None:
    assert code(root_of(mini), mini.issue(leaf)) == ""


def test_a_leaf_is_valid_for_its_minutes_only(mini: MiniSigstore) -> None:
    leaf, root = mini.issue(Leaf(begins=NOW, ends=NOW + MINUTE)), root_of(mini)
    second = datetime.timedelta(seconds=1)

    assert code(root, leaf, NOW - second) == code(root, leaf, NOW + MINUTE + second) == "expired-certificate"
    assert code(root, leaf, NOW) == code(root, leaf, NOW + MINUTE) == ""


def test_a_signature_over_a_weak_hash_is_refused() -> None:
    leaf, authority = (x509.load_pem_x509_certificate(each.encode("ascii")) for each in (SHA1_LEAF, SHA1_AUTHORITY))

    assert leaf.signature_hash_algorithm is not None and leaf.signature_hash_algorithm.name == "sha1"
    assert certificates.is_issued_by(authority, authority)
    assert not certificates.is_issued_by(leaf, authority)


# -- the chain


def issued(mini: MiniSigstore, *chain: Authority) -> str:
    """The code for a leaf by the first of the chain, with a trusted root of that chain."""
    return code(root_of(mini, *chain), mini.issue(Leaf(), issuer=chain[0]))


def test_chains_that_lead_to_the_root_pass(mini: MiniSigstore) -> None:
    alone = mini.authority("alone")
    top = mini.authority("top", path_length=2)
    middle = mini.authority("middle", top, path_length=1, usages=[ExtendedKeyUsageOID.CODE_SIGNING])
    low = mini.authority("low", middle, path_length=0, usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    no_usage = mini.authority("no usage", top, usage=None)
    leaf = mini.issue(Leaf(), issuer=low)

    assert issued(mini, alone) == ""
    assert issued(mini, low, middle, top) == ""
    assert issued(mini, no_usage, top) == ""
    assert code(root_of(mini, middle, low, top), leaf) == ""
    assert code(root_of(mini, alone, mini.intermediate, low, middle, top), leaf) == ""


def test_chains_that_do_not_lead_to_the_root_are_refused(mini: MiniSigstore) -> None:
    top = mini.authority("top")
    middle = mini.authority("middle", top)
    namesake = mini.authority("top")
    leaf = mini.issue(Leaf(), issuer=middle)

    assert code(root_of(mini, middle, top), leaf) == ""
    assert code(root_of(mini, top), leaf) == "untrusted-certificate"
    assert code(root_of(mini, middle, namesake), leaf) == "untrusted-certificate"
    assert code(root_of(mini, middle, mini.root), leaf) == "untrusted-certificate"
    impostor = mini.authority("middle")
    assert code(root_of(mini, middle, top), mini.issue(Leaf(), issuer=impostor)) == "untrusted-certificate"


def test_an_issuer_of_another_name_is_refused(mini: MiniSigstore) -> None:
    """The key is right, the name that the leaf gives is not."""
    renamed = Authority(mini.authority("renamed", key=mini.intermediate.key).certificate, mini.intermediate.key)

    assert code(root_of(mini), mini.issue(Leaf(), issuer=renamed)) == "untrusted-certificate"


BAD_AUTHORITIES: Sequence[dict[str, Any]] = [
    {"begins": NOW + MINUTE},
    {"ends": NOW - MINUTE},
    {"ca": False},
    {"ca": False, "path_length": None, "usage": key_usage(key_cert_sign=True)},
    {"usage": key_usage(digital_signature=True)},
    {"usages": [ExtendedKeyUsageOID.SERVER_AUTH]},
    {"extra": [(UNKNOWN, True)]},
    {"extra": [(NAMES, True)]},
    {"extra": [(NAMES, False)]},
]


@pytest.mark.parametrize("changes", BAD_AUTHORITIES, ids="-".join)
def test_an_authority_that_may_not_issue_is_refused(mini: MiniSigstore, changes: dict[str, Any]) -> None:
    top = mini.authority("top")
    middle = mini.authority("middle", top, **changes)
    bad_root = mini.authority("bad", **changes)

    assert issued(mini, middle, top) == "untrusted-certificate"
    assert issued(mini, bad_root) == "untrusted-certificate"


def test_basic_constraints_that_deny_authority_are_refused(mini: MiniSigstore) -> None:
    top = mini.authority("top")
    denied = mini.authority("denied", top, ca=False, extra=[(x509.BasicConstraints(False, None), True)])

    assert issued(mini, denied, top) == "untrusted-certificate"


def test_a_path_that_is_too_long_is_refused(mini: MiniSigstore) -> None:
    top = mini.authority("top", path_length=0)
    middle = mini.authority("middle", top)

    assert issued(mini, top) == ""
    assert issued(mini, middle, top) == "untrusted-certificate"


def test_each_authority_is_tried(mini: MiniSigstore) -> None:
    other = MiniSigstore()
    document = mini.trusted_root()
    document["certificateAuthorities"] = [
        *other.trusted_root()["certificateAuthorities"],
        *document["certificateAuthorities"],
    ]

    assert code(load_trusted_roots(compact(document).decode("ascii"))[0], mini.issue(Leaf())) == ""


def test_chains_of_different_authorities_are_not_mixed(mini: MiniSigstore) -> None:
    """The intermediate of one entry does not lead to the root of another."""
    first = mini.trusted_root(chain=[mini.intermediate.certificate, mini.authority("other").certificate])
    second = mini.trusted_root(chain=[mini.root.certificate])
    first["certificateAuthorities"].extend(second["certificateAuthorities"])

    root = load_trusted_roots(compact(first).decode("ascii"))[0]

    assert code(root, mini.issue(Leaf())) == "untrusted-certificate"


def test_the_window_of_an_authority_is_named(mini: MiniSigstore) -> None:
    root = root_of(mini, windows={"ca": {"end": "2025-05-01T00:00:00Z"}})

    with pytest.raises(Rejected, match="trusted from 2024-01-01 until 2025-05-01") as caught:
        certificates.check_signing_certificate(root, mini.issue(Leaf()), NOW)
    assert caught.value.code == "untrusted-certificate"


# -- signed certificate timestamps


def test_timestamps_that_count(mini: MiniSigstore) -> None:
    root = root_of(mini)
    unknown = {"key": new_key()}
    for scts in ([{}], [unknown, {}], [{}, unknown], [{"extensions": b"abc"}], [{"time": NOW - YEAR}]):
        assert code(root, mini.issue(Leaf(scts=scts))) == ""


@pytest.mark.parametrize(
    "scts",
    [
        [],
        [{"key": new_key()}],
        [{"time": NOW - 3 * YEAR}],
        [{"signed_time": NOW - MINUTE}],
        [{"issuer_spki": spki(new_key())}],
        [{"hash_code": 5}],
        [{"precertificate": b"another certificate"}],
        [{}] * (certificates.MAX_SCTS + 1),
    ],
    ids=["none", "unknown", "window", "time", "issuer", "hash", "content", "many"],
)
def test_timestamps_that_do_not_count(mini: MiniSigstore, scts: Sequence[dict[str, Any]]) -> None:
    expected = "too-large" if len(scts) > 2 else "sct"

    assert code(root_of(mini), mini.issue(Leaf(scts=scts))) == expected


def test_key_and_id_of_a_ct_log_belong_together(mini: MiniSigstore) -> None:
    log_id = hashlib.sha256(spki(mini.ct_key)).digest()
    other_key = {"key": new_key(), "log_id": log_id}

    assert code(root_of(mini), mini.issue(Leaf(scts=[other_key]))) == "sct"
    assert code(root_of(mini), mini.issue(Leaf(scts=[{"log_id": b"x" * 32}]))) == "sct"
    assert code(root_of(mini), mini.issue(Leaf(scts=[other_key, {}]))) == ""


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (rsa.generate_private_key(65537, 2048), ""),
        (ec.generate_private_key(ec.SECP384R1()), ""),
        (ed25519.Ed25519PrivateKey.generate(), "sct"),
    ],
    ids=["rsa", "p384", "ed25519"],
)
def test_kinds_of_ct_logs(mini: MiniSigstore, key: Any, expected: str) -> None:
    root = root_of(mini, ctlogs=[mini.log(key, {})])

    assert code(root, mini.issue(Leaf(scts=[{"key": key}]))) == expected


# -- bounds


def test_how_large_a_certificate_may_be(mini: MiniSigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = mini.issue(Leaf()).public_bytes(Encoding.DER)
    monkeypatch.setattr(certificates, "MAX_CERTIFICATE", len(encoded))
    assert certificates.read_certificate(encoded)
    monkeypatch.setattr(certificates, "MAX_CERTIFICATE", len(encoded) - 1)
    with pytest.raises(Rejected) as caught:
        certificates.read_certificate(encoded)
    assert caught.value.code == "too-large"


def test_how_many_timestamps_there_may_be(mini: MiniSigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "MAX_SCTS", 2)
    assert code(root_of(mini), mini.issue(Leaf(scts=[{}, {}]))) == ""
    assert code(root_of(mini), mini.issue(Leaf(scts=[{}, {}, {}]))) == "too-large"


def test_an_authority_is_valid_at_both_of_its_ends(mini: MiniSigstore) -> None:
    top = mini.authority("top")
    assert issued(mini, mini.authority("begins", top, begins=NOW), top) == ""
    assert issued(mini, mini.authority("ends", top, ends=NOW), top) == ""


def test_an_authority_that_was_not_the_issuer_is_not_blamed(mini: MiniSigstore) -> None:
    other = mini.authority("other")
    root = root_of(mini, other, windows={"ca": {"end": "2025-05-01T00:00:00Z"}})
    with pytest.raises(Rejected, match="No certificate authority of the trusted root issued"):
        certificates.check_signing_certificate(root, mini.issue(Leaf()), NOW)


def test_the_window_of_a_ct_log_is_named(mini: MiniSigstore) -> None:
    root = root_of(mini, windows={"ct": {"end": "2025-05-01T00:00:00Z"}})
    with pytest.raises(Rejected, match="was recorded in a CT log that is trusted from 2024-01-01 until 2025-05-01"):
        certificates.check_signing_certificate(root, mini.issue(Leaf()), NOW)


def test_a_path_goes_through_each_certificate_once(mini: MiniSigstore) -> None:
    """An authority that has issued itself would be its own issuer for ever."""
    own = mini.authority("own")
    anchor = mini.authority("anchor")
    assert issued(mini, own, anchor) == "untrusted-certificate"

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of one's own PKI: which lead to ``ca_roots``, when they are valid, and whose they are."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import canonical_json
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats, own_pki
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import CosignVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keyless import (
    ANNOTATION_CHAIN,
    KeylessVerifier,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import (
    Identity,
    VerifyPolicy,
    parse_policy,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected, Signer

from .mini_sigstore import (
    DIGEST,
    ISSUER,
    MINUTE,
    NOW,
    YEAR,
    Authority,
    Leaf,
    MiniSigstore,
    general_name,
    key_usage,
    new_key,
    statement,
)
from .mini_tsa import MiniTsa
from .test_cosign_keyed import add_blob, add_manifest

PLAIN = Leaf(issuer=None, issuer_v2=None, scts=(), begins=NOW - YEAR / 2, ends=NOW + YEAR / 2)
ME = Identity("", "^release@example\\.com$")


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode("ascii") for each in certificates)


class Pki:
    """A root, an intermediate, and signatures in both layouts without any log entry."""

    def __init__(self) -> None:
        self.mini = MiniSigstore()
        self.root = self.mini.root.certificate
        self.intermediate = self.mini.intermediate.certificate

    def bundle(self, leaf: Leaf = PLAIN, *, issuer: Authority | None = None, log: bool = False) -> dict[str, Any]:
        made = self.mini.bundle(self.mini.issue(leaf, issuer=issuer))
        if not log:
            del made["verificationMaterial"]["tlogEntries"]
        return made

    def legacy(self, leaf: Leaf = PLAIN, chain: Sequence[x509.Certificate] = (), log: bool = False) -> Any:
        layer, payload = self.mini.legacy(self.mini.issue(leaf))
        annotations = {**layer.annotations, ANNOTATION_CHAIN: pem(*chain)}
        if not log:
            del annotations[formats.ANNOTATION_BUNDLE]
        return replace(layer, annotations=annotations), payload


@pytest.fixture(name="pki", scope="module")
def _pki() -> Pki:
    return Pki()


def verified(
    signed: Any, roots: Sequence[str], now: Any = NOW, identity: Identity = ME, trusted_root: Any = None
) -> Signer:
    text = json.dumps(trusted_root) if trusted_root else ""
    policy = VerifyPolicy(identities=(identity,), ca_roots=tuple(roots), trusted_root=text)
    checks = KeylessVerifier(policy, now)
    if isinstance(signed, tuple):
        return checks.verify_legacy(*signed, DIGEST)
    return checks.verify_bundle(formats.parse_bundle(json.dumps(signed).encode("utf-8")), DIGEST)[0]


def judge(signed: Any, roots: Sequence[str], **options: Any) -> str:
    """The code of the refusal; empty when it counts."""
    try:
        verified(signed, roots, **options)
    except Rejected as exc:
        assert exc.message and not exc.message.endswith(".")
        return exc.code
    return ""


def test_a_certificate_that_leads_to_a_root(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text(pem(pki.root, pki.intermediate), encoding="utf-8")
    for made in (pki.bundle(), pki.legacy()):
        for roots in ([pem(pki.root), pem(pki.intermediate)], [str(tmp_path / "root.pem")]):
            signer = verified(made, roots)
            assert (signer.issuer, signer.subject, signer.signed_at) == ("", "release@example.com", "")
            # what was verified once is not verified for longer than the certificate is valid
            assert signer.valid_until == (NOW + YEAR / 2).timestamp()


def test_intermediates_may_come_with_the_signature(pki: Pki) -> None:
    """They are not trusted: only what the policy has is."""
    roots = [pem(pki.root)]
    other = MiniSigstore()

    with pytest.raises(Rejected, match="does not lead to any of 'ca_roots'"):
        verified(pki.legacy(), roots)
    for chain in ([pki.intermediate], [pki.intermediate, pki.root], [other.root.certificate, pki.intermediate]):
        assert judge(pki.legacy(chain=chain), roots) == ""
    assert judge(pki.legacy(chain=[pki.intermediate, pki.root]), [pem(other.root.certificate)]) == (
        "untrusted-certificate"
    )
    assert judge(pki.legacy(chain=[pki.intermediate] * 11), roots) == "too-large"


def test_a_hostile_chain_costs_little(pki: Pki) -> None:
    """Ten authorities of one name and key, each issued by each other, and none by the root."""
    mini = MiniSigstore()
    ring = [mini.authority("ring", Authority(mini.root.certificate, mini.key), key=mini.key) for _each in range(10)]
    looped = [mini.authority("root", Authority(each.certificate, mini.key), key=mini.key) for each in ring]
    layer, payload = mini.legacy(mini.issue(PLAIN, issuer=ring[0]))
    annotations = {**layer.annotations, ANNOTATION_CHAIN: pem(*(each.certificate for each in [*ring[:5], *looped[:5]]))}

    assert judge((replace(layer, annotations=annotations), payload), [pem(pki.root)]) == "untrusted-certificate"


def test_a_certificate_is_valid_now_unless_something_tells_the_time(pki: Pki) -> None:
    roots = [pem(pki.root, pki.intermediate)]
    tsa = MiniTsa(NOW)
    later = NOW + 9 * YEAR / 10
    root = pki.mini.trusted_root(tlogs=[], ctlogs=[], certificateAuthorities=[], timestampAuthorities=[tsa.authority()])
    made = pki.bundle()
    signature = formats.decode_base64(made["dsseEnvelope"]["signatures"][0]["sig"], "It")

    assert [judge(made, roots, now=NOW + days * YEAR / 2) for days in (-1, 1)] == ["", ""]
    with pytest.raises(Rejected, match="and no log or timestamp authority tells when it was used"):
        verified(made, roots, now=later)
    made["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": [tsa.stamp(signature, NOW)]}
    # nobody whom the policy trusts has signed the time
    assert judge(made, roots, now=later) == "expired-certificate"
    signer = verified(made, roots, now=later, trusted_root=root)
    assert (signer.signed_at, signer.valid_until) == ("2025-06-01T12:00:30Z", math.inf)


def test_the_logs_of_a_trusted_root_are_demanded(pki: Pki) -> None:
    """But not those of certificates: only Fulcio's are recorded there."""
    roots = [pem(pki.root, pki.intermediate)]
    root = pki.mini.trusted_root(certificateAuthorities=[])

    for made in (pki.bundle(log=True), pki.legacy(log=True)):
        assert judge(made, roots, trusted_root=root, now=NOW + 100 * YEAR) == ""
    for made in (pki.bundle(), pki.legacy()):
        assert judge(made, roots, trusted_root=root) == "tlog"


def test_the_authorities_of_a_trusted_root_are_not_trusted_as_well(pki: Pki) -> None:
    other = MiniSigstore()

    assert judge(pki.bundle(log=True), [pem(other.root.certificate)], trusted_root=pki.mini.trusted_root()) == (
        "untrusted-certificate"
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"usages": None}, ""),
        ({"usages": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}, ""),
        ({"usages": (ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION)}, ""),
        ({"usages": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "untrusted-certificate"),
        ({"usage": None}, ""),
        ({"usage": key_usage()}, "untrusted-certificate"),
        ({"extra": [(x509.BasicConstraints(True, None), True)]}, "untrusted-certificate"),
        ({"names": ()}, "identity"),
        ({"names": (general_name("other@example.com"),)}, "identity"),
    ],
    ids=str,
)
def test_what_a_certificate_is_for(pki: Pki, changes: dict[str, Any], code: str) -> None:
    """What one's own PKI does not restrict is not restricted, as for cosign."""
    roots = [pem(pki.root, pki.intermediate)]

    assert judge(pki.bundle(replace(PLAIN, **changes)), roots) == code
    assert judge(pki.legacy(replace(PLAIN, **changes)), roots) == code


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        (x509.DNSName("build.example.com"), "^build\\.example\\.com$"),
        (x509.IPAddress(ipaddress.ip_address("192.0.2.1")), "^192\\.0\\.2\\.1$"),
        (x509.UniformResourceIdentifier("spiffe://example.com/ci"), "^spiffe://example\\.com/"),
    ],
)
def test_any_name_of_a_certificate_counts(pki: Pki, name: x509.GeneralName, subject: str) -> None:
    """In bundles too, where Fulcio's certificates have one."""
    leaf = replace(PLAIN, names=(general_name("other@example.com"), name))
    roots = [pem(pki.root, pki.intermediate)]

    for made in (pki.bundle(leaf), pki.legacy(leaf)):
        assert judge(made, roots, identity=Identity("", subject)) == ""
        assert judge(made, roots, identity=Identity("", f"{subject[:-1]}nobody")) == "identity"


def test_an_issuer_is_compared_where_the_policy_names_it(pki: Pki) -> None:
    """As with a Fulcio of one's own."""
    roots = [pem(pki.root, pki.intermediate)]
    named = pki.bundle(replace(PLAIN, issuer=ISSUER.encode("ascii")))
    wanted = Identity(f"^{ISSUER}$", ".*")

    assert judge(named, roots, identity=wanted) == judge(named, roots) == ""
    assert judge(pki.bundle(), roots, identity=wanted) == "identity"


def test_only_with_ca_roots_is_the_issuer_left_out(pki: Pki) -> None:
    with pytest.raises(InvalidPolicy, match="'issuer' of identity 1 is empty") as caught:
        KeylessVerifier(VerifyPolicy(identities=(ME,), trusted_root=json.dumps(pki.mini.trusted_root())))
    assert "'ca_roots'" in caught.value.hint


def test_a_certificate_of_fulcios_kind_is_still_wanted_without_ca_roots(pki: Pki) -> None:
    policy = VerifyPolicy(any_identity=True, trusted_root=json.dumps(pki.mini.trusted_root(ctlogs=[])))
    made = formats.parse_bundle(json.dumps(pki.bundle(replace(PLAIN, usages=None), log=True)).encode("utf-8"))

    with pytest.raises(Rejected, match="not for code signing"):
        KeylessVerifier(policy, NOW).verify_bundle(made, DIGEST)


def refused(sources: Sequence[str]) -> str:
    with pytest.raises(InvalidPolicy) as caught:
        own_pki.own_pki_roots(sources, [])
    assert caught.value.hint or "at most" in caught.value.message
    return caught.value.message


def test_what_ca_roots_may_not_be(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    mini = pki.mini
    key = mini.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    leaf = mini.issue(PLAIN)
    damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

    assert "no self-signed certificate" in refused([pem(pki.intermediate)])
    named = "Certificate 2 of 'ca_roots', of '', is not an authority's"
    assert named in refused([pem(pki.root), pem(leaf)])
    assert "of the kind PRIVATE KEY" in refused([key])
    assert "no PEM block" in refused(["-----BEGIN CERTIFICATE-----"])
    assert "cannot be used" in refused([damaged])
    # basic constraints that pass for a second key usage
    content = pki.root.public_bytes(Encoding.DER).replace(b"\x06\x03\x55\x1d\x13", b"\x06\x03\x55\x1d\x0f")
    encoded = base64.encodebytes(content).decode("ascii")
    twice = f"-----BEGIN CERTIFICATE-----\n{encoded}-----END CERTIFICATE-----\n"
    assert "cannot be read" in refused([twice])
    assert "cannot be read" in refused(["/nowhere/root.pem"])
    monkeypatch.setattr(own_pki, "MAX_CA_ROOTS", 2)
    assert len(own_pki.own_pki_roots([pem(pki.root, pki.intermediate)], [])[0].authorities) == 1
    assert "has 3 certificates: at most 2" in refused([pem(pki.root, pki.intermediate), pem(pki.root)])


def test_each_root_is_tried(pki: Pki) -> None:
    other = MiniSigstore()
    text = pem(other.root.certificate, pki.root, pki.intermediate)

    assert judge(pki.bundle(), [text]) == ""
    assert judge(pki.bundle(replace(PLAIN, ends=NOW - MINUTE)), [text]) == "expired-certificate"


def test_a_verdict_holds_no_longer_than_the_certificates_that_it_rests_on(tmp_path: Path) -> None:
    """Of two signers, that whose certificate expires first; what a log has recorded does not expire."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    lifetime: dict[str, Any] = {"begins": now - YEAR, "ends": now + YEAR}
    mini = MiniSigstore()
    mini.root = mini.authority("root", path_length=1, **lifetime)
    mini.intermediate = mini.authority("intermediate", mini.root, path_length=0, **lifetime)
    repository = LayoutRepository(Reference(layout=str(tmp_path)))
    digest = add_manifest(repository, "1", [add_blob(repository, b"content")])
    for name, hours in (("a@example.com", 2), ("b@example.com", 1)):
        ends = now + hours * 60 * MINUTE
        mini.key = new_key()
        leaf = replace(PLAIN, names=(general_name(name),), begins=now - MINUTE, ends=ends)
        made = mini.bundle(mini.issue(leaf), statement(digest), time=now)
        layer = add_blob(repository, canonical_json(made), formats.BUNDLE_V03)
        subject = repository.resolve(digest).as_json()
        add_manifest(repository, "", [layer], subject=subject, artifactType=formats.BUNDLE_V03)

    def valid_until(**options: Any) -> float:
        identities = [{"subject": f"^{name}@example.com$"} for name in "ab"]
        policy = {"identities": identities, "min_signers": 2, "ca_roots": [pem(mini.root.certificate)], **options}
        policy["ca_roots"].append(pem(mini.intermediate.certificate))
        return CosignVerifier(parse_policy(policy)).verify(repository, digest).valid_until

    assert valid_until() == (now + 60 * MINUTE).timestamp()
    assert valid_until(trusted_root=json.dumps(mini.trusted_root())) == math.inf

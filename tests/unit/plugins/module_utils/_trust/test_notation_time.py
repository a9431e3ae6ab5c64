# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When Notary Project signatures were made: signing authorities, timestamps, and certificates that have expired."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import VerificationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation import NotationVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Verdict

from .mini_tsa import MiniTsa, integer, sequence
from .notation_lab import (
    ARTIFACT,
    NOW,
    SCOPE,
    TIMESTAMP_SIGNATURE,
    YEAR,
    Identity,
    found,
    make_authority,
    make_envelope,
    make_identity,
    pem,
    root,
    signer,
    verifier,
)

DAY = datetime.timedelta(days=1)
SECOND = datetime.timedelta(seconds=1)
FORMS = pytest.mark.parametrize("form", ["jws", "cose"])
BOTH = ["ca:good", "tsa:time"]


@pytest.fixture(name="tsa", scope="module")
def _tsa() -> MiniTsa:
    return MiniTsa(NOW - YEAR / 2)


def expired() -> Identity:
    """A signer whose certificate was valid from half a year ago until yesterday."""
    return make_identity(begins=NOW - YEAR / 2, ends=NOW - DAY)


def timed(
    tsa: MiniTsa | None, form: str = "jws", who: Identity | None = None, *, time: Any = None, **changes: Any
) -> bytes:
    """An envelope with a timestamp, of a week ago unless told otherwise."""
    if tsa is None:
        return make_envelope(form, who)
    at = time or NOW - 7 * DAY
    return make_envelope(form, who, stamp=lambda signature: tsa.token(signature, at, **changes))


def with_tsa(tsa: MiniTsa, **changes: Any) -> NotationVerifier:
    store = {"ca:good": [root().root_pem], "tsa:time": [pem(tsa.root)]}
    return verifier(trustStores=BOTH, trust_store=store, **changes)


def judge(verify: NotationVerifier, envelope: bytes) -> str:
    """The code of the refusal; empty when it is verified."""
    try:
        assert verified(verify, envelope).verified
    except VerificationFailed as exc:
        (refused,) = exc.details["verification"]["refused"]
        assert exc.hint
        return str(refused["code"])
    return ""


def verified(verify: NotationVerifier, envelope: bytes) -> Verdict:
    return verify.verify(found(envelope), ARTIFACT, SCOPE)


# -- timestamps


@FORMS
def test_a_timestamp_proves_that_an_expired_certificate_was_valid(form: str, tsa: MiniTsa) -> None:
    envelope = timed(tsa, form, expired())

    for when in ("always", "afterCertExpiry"):
        verdict = verified(with_tsa(tsa, verifyTimestamp=when), envelope)
        assert verdict.signers[0].signed_at == "2026-05-25T12:00:00Z"
        assert verdict.valid_until == math.inf
    assert judge(verifier(), envelope) == "expired-certificate"
    assert judge(with_tsa(tsa), timed(None, form, expired())) == "timestamp"


def test_when_a_timestamp_is_demanded(tsa: MiniTsa) -> None:
    always, after = (with_tsa(tsa, verifyTimestamp=when) for when in ("always", "afterCertExpiry"))

    assert judge(always, timed(None)) == "timestamp"
    verdict = verified(after, timed(None))
    assert (verdict.signers[0].signed_at, verdict.valid_until) == ("", signer_end())
    # what is not asked for is not looked at
    assert judge(after, make_envelope("jws", unprotected={TIMESTAMP_SIGNATURE: 1})) == ""
    assert judge(after, timed(None, who=expired())) == "timestamp"
    assert judge(after, timed(None, who=make_identity(begins=NOW + DAY))) == "expired-certificate"


def signer_end() -> float:
    return min(each.not_valid_after_utc.timestamp() for each in signer().chain)


@pytest.mark.parametrize("when", ["always", "afterCertExpiry"])
def test_until_when_a_certificate_has_not_expired(tsa: MiniTsa, when: str) -> None:
    who = make_identity(begins=NOW - YEAR / 2, ends=NOW)
    for now, code in ((NOW, {"always": "timestamp", "afterCertExpiry": ""}[when]), (NOW + SECOND, "timestamp")):
        assert judge(with_tsa(tsa, verifyTimestamp=when, now=now), timed(None, who=who)) == code


def test_a_level_that_only_logs(tsa: MiniTsa) -> None:
    verdict = verified(with_tsa(tsa, level="permissive"), timed(None))
    assert verdict.verified and "demands a timestamp" in verdict.warnings[0]
    damaged = make_envelope("jws", unprotected={TIMESTAMP_SIGNATURE: "MIIB"})
    verdict = verified(with_tsa(tsa, level="permissive"), damaged)
    assert verdict.verified and "timestamp" in verdict.warnings[0]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"hash_name": "sha512", "signed_hash": "sha512"}, ""),
        ({"imprint": b"x" * 32}, "timestamp"),
        ({"tampered": True}, "timestamp"),
        ({"names_signer": False}, "timestamp"),
        ({"certificates": []}, "timestamp"),
        ({"hash_name": "sha1"}, "timestamp"),
        ({"version": 2}, "malformed"),
        ({"time": NOW - YEAR}, "expired-certificate"),
        ({"time": NOW - YEAR / 2}, ""),
        ({"time": NOW - YEAR / 2 - SECOND}, "expired-certificate"),
        ({"time": NOW - DAY}, ""),
        ({"time": NOW - DAY + SECOND}, "expired-certificate"),
        # it may have been later, or earlier, than it says
        ({"time": NOW - DAY - SECOND, "accuracy": sequence(integer(1))}, ""),
        ({"time": NOW - DAY - SECOND, "accuracy": sequence(integer(2))}, "expired-certificate"),
        ({"time": NOW - YEAR / 2 + SECOND, "accuracy": sequence(integer(2))}, "expired-certificate"),
        ({"time": NOW - DAY, "policy": "0.4.0.2023.1.1"}, "expired-certificate"),
    ],
    ids=str,
)
def test_which_timestamps_count(tsa: MiniTsa, changes: dict[str, Any], code: str) -> None:
    assert judge(with_tsa(tsa), timed(tsa, who=expired(), **changes)) == code


@FORMS
@pytest.mark.parametrize("value", [1, b"x", "MIIB", b""])
def test_what_is_no_timestamp(tsa: MiniTsa, form: str, value: Any) -> None:
    if form == "jws" and isinstance(value, bytes):
        value = "" if not value else "eA=="
    envelope = make_envelope(form, unprotected={TIMESTAMP_SIGNATURE: value})

    assert judge(with_tsa(tsa), envelope) in ("timestamp", "malformed")


def test_a_timestamp_of_somebody_else(tsa: MiniTsa) -> None:
    assert judge(with_tsa(tsa), timed(MiniTsa(NOW), who=expired())) == "timestamp"


def test_a_policy_whose_authority_has_no_certificate(tsa: MiniTsa) -> None:
    verify = verifier(trustStores=BOTH, trust_store={"ca:good": [root().root_pem]})
    with pytest.raises(VerificationFailed, match="no certificate of a timestamp authority"):
        verified(verify, timed(tsa))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, ""),
        ({"usages": [ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING]}, "timestamp"),
        ({"critical": False}, "timestamp"),
        ({"ends": NOW - 8 * DAY}, "timestamp"),
        ({"ends": NOW - 7 * DAY}, ""),
        ({"root_ends": NOW - 8 * DAY}, "timestamp"),
    ],
    ids=str,
)
def test_the_certificates_of_a_timestamp_authority(options: dict[str, Any], code: str) -> None:
    tsa = MiniTsa(NOW, **options)

    assert judge(with_tsa(tsa), timed(tsa)) == code


def test_an_authority_that_signs_with_what_issues_is_refused(tsa: MiniTsa) -> None:
    """As notation wants it: the root is self-signed, and the certificate that signs is not an authority's."""
    issuing = MiniTsa(NOW)
    extensions: list[Any] = [
        (x509.BasicConstraints(True, None), True),
        (x509.KeyUsage(True, False, False, False, False, True, False, False, False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True),
    ]
    issuing.certificate = issuing._certificate("tsa", "tsa root", issuing.key, (NOW - YEAR, NOW + YEAR), extensions)

    assert judge(with_tsa(issuing), timed(issuing)) == "timestamp"


def test_whether_an_authority_was_revoked_is_not_asked() -> None:
    """As for signers: a policy that enforces revocation cannot be satisfied, one that logs it warns."""
    tsa = MiniTsa(NOW)
    place = x509.UniformResourceIdentifier("http://ocsp.example.com")
    extensions: list[Any] = [
        (x509.KeyUsage(True, False, False, False, False, False, False, False, False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True),
        (x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)]), False),
    ]
    tsa.certificate = tsa._certificate("tsa", "tsa root", tsa.key, (NOW - YEAR, NOW + YEAR), extensions)

    assert judge(with_tsa(tsa), timed(tsa)) == "revocation"
    assert judge(with_tsa(tsa, override={"revocation": "skip"}), timed(tsa)) == ""
    verdict = verified(with_tsa(tsa, override={"revocation": "log"}), timed(tsa))
    assert "was revoked was not asked" in verdict.warnings[0]


# -- signing authorities


@FORMS
def test_a_signing_authority_vouches_for_the_time(form: str) -> None:
    verify = verifier(trustStores=["signingAuthority:good"])
    envelope = make_envelope(form, expired(), authentic=NOW - 7 * DAY, expiry=NOW + DAY)
    verdict = verified(verify, envelope)

    assert verdict.signers[0].signed_at == "2026-05-25T12:00:00Z"
    assert verdict.valid_until == (NOW + DAY).timestamp()
    assert judge(verify, make_envelope(form, expired(), authentic=NOW)) == "expired-certificate"
    assert judge(verify, make_envelope(form, expired(), authentic=NOW - YEAR)) == "expired-certificate"
    assert judge(verify, make_envelope(form, authentic=NOW - 7 * DAY, expiry=NOW)) == "expired-signature"


@FORMS
def test_each_scheme_has_its_own_trust_stores(form: str) -> None:
    """Otherwise anybody with a certificate could choose the time."""
    authority = make_authority("authority")
    stores = {"ca:good": [root().root_pem], "signingAuthority:good": [authority.root_pem]}
    verify = verifier(trustStores=["ca:good", "signingAuthority:good"], trust_store=stores)
    by_authority = make_identity(authority)

    assert judge(verify, make_envelope(form)) == ""
    assert judge(verify, make_envelope(form, by_authority, authentic=NOW)) == ""
    assert judge(verify, make_envelope(form, authentic=NOW)) == "untrusted-certificate"
    assert judge(verify, make_envelope(form, by_authority)) == "untrusted-certificate"
    assert judge(verifier(), make_envelope(form, authentic=NOW)) == "untrusted-certificate"


def test_a_signing_authority_needs_no_timestamp(tsa: MiniTsa) -> None:
    store = {"signingAuthority:good": [root().root_pem], "tsa:time": [pem(tsa.root)]}
    verify = verifier(trustStores=["signingAuthority:good", "tsa:time"], trust_store=store)

    assert judge(verify, make_envelope("jws", authentic=NOW - DAY)) == ""


def test_the_certificates_of_authorities_are_asked_for_first() -> None:
    """Registries list signatures by the thumbprint of a certificate."""
    authority = make_authority("authority")
    stores = {"ca:good": [root().root_pem], "signingAuthority:good": [authority.root_pem]}
    verify = verifier(trustStores=["ca:good", "signingAuthority:good"], trust_store=stores)

    assert len(verify.thumbprints(SCOPE)) == 2

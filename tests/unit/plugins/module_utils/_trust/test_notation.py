# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notary Project signatures: verdicts of the real tools, levels, trust, times, counting."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidPolicy,
    MissingDependency,
    OciError,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.budget import (
    MAX_NOTATION_SIGNATURES as MAX_SIGNATURES,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.certificates import validity
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation import NotationVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy, parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.provider_notation import verify_notation
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import IGNORED, VERIFIED

from . import vectors
from .notation_lab import (
    ABSENT,
    ARTIFACT,
    NOW,
    SCOPE,
    SUBJECT,
    YEAR,
    Identity,
    found,
    key_of,
    make_authority,
    make_certificate,
    make_envelope,
    make_identity,
    payload_for,
    pem,
    root,
    signer,
    statement,
    verifier,
)

DAY = datetime.timedelta(days=1)
OTHER = make_identity(make_authority("other"), subject={**SUBJECT, "CN": "stranger"})
FORMS = pytest.mark.parametrize("form", ["jws", "cose"])


def refused(verify: NotationVerifier, *envelopes: bytes, artifact: Any = ARTIFACT) -> VerificationFailed:
    with pytest.raises(VerificationFailed) as caught:
        verify.verify(found(*envelopes), artifact, SCOPE)
    return caught.value


def codes(error: VerificationFailed) -> list[str]:
    return [each["code"] for each in error.details["verification"]["refused"]]


@pytest.mark.parametrize("row", vectors.rows("notation"), ids=lambda row: row["name"])
def test_the_real_tools_verdicts(row: dict[str, Any]) -> None:
    options = vectors.policy_options(row)
    verify = NotationVerifier(parse_policy({**options, "provider": options.pop("signature_provider")}))
    repository = vectors.repository(row)
    try:
        verdict = verify_notation(verify, repository, repository.resolve(row["digest"]))
        outcome = {VERIFIED: "pass", IGNORED: "ignored"}[verdict.outcome]
    except OciError as exc:
        assert isinstance(exc, VerificationFailed), exc
        outcome = "fail"
    assert outcome == row["expected"], row["reason"]


def test_there_are_as_many_vectors_as_there_were() -> None:
    assert len(vectors.rows("notation")) == 22


@FORMS
def test_who_signed(form: str) -> None:
    annotations = {"env": "prod"}
    verdict = verifier().verify(
        found(make_envelope(form, payload=payload_for(annotations=annotations))), ARTIFACT, SCOPE
    )
    assert verdict.outcome == VERIFIED
    (who,) = verdict.signers
    assert (who.provider, who.format, who.found_in) == ("notation", form, f"sha256:{0:064x}")
    assert (who.subject, who.issuer) == ("CN=signer,O=example,ST=WA,C=US", "CN=root,O=example,ST=WA,C=US")
    assert who.key.startswith("sha256:") and len(who.key) == 71
    assert who.source == "certificate 1"
    assert who.annotations == annotations
    assert who.signed_at == ""


@FORMS
def test_until_when_it_holds(form: str) -> None:
    """To whoever remembers a verdict: until the first of signature and certificates expires."""
    who = make_identity()
    ends = min(validity(certificate)[1] for certificate in who.chain)
    soon = NOW + DAY
    assert soon < ends
    for expiry, wanted in ((None, ends), (soon, soon), (ends + DAY, ends)):
        verdict = verifier().verify(found(make_envelope(form, who, expiry=expiry)), ARTIFACT, SCOPE)
        assert verdict.verified and verdict.valid_until == wanted.timestamp()


@FORMS
@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA-2048", "RSA-3072", "RSA-4096"])
def test_kinds_of_keys(form: str, kind: str) -> None:
    envelope = make_envelope(form, make_identity(key=key_of(kind)))
    assert verifier().verify(found(envelope), ARTIFACT, SCOPE).verified


@FORMS
def test_any_certificate_of_the_chain_may_be_the_trusted_one(form: str) -> None:
    middle = make_authority("middle", root())
    who = make_identity(middle)
    for trusted in who.chain[1:]:
        verify = verifier(trust_store={"good": [pem(trusted)]})
        assert verify.verify(found(make_envelope(form, who)), ARTIFACT, SCOPE).verified
    assert codes(refused(verifier(trust_store={"good": [OTHER.root_pem]}), make_envelope(form, who))) == [
        "untrusted-certificate"
    ]


@pytest.mark.parametrize("level", ["strict", "audit"])
def test_user_metadata_that_is_demanded(level: str) -> None:
    """As with notation verify --user-metadata, whatever the level: it is part of what is signed."""
    envelope = make_envelope("jws", payload=payload_for(annotations={"env": "prod", "build": "7"}))
    for wanted, said in (
        ({"env": "prod"}, ""),
        ({"env": "prod", "build": "7"}, ""),
        ({"env": "dev"}, "It is signed with 'prod' as the annotation 'env', wanted 'dev'"),
        ({"env": "prod", "more": "x"}, "It is signed without the annotation 'more'"),
    ):
        checks = verifier(level=level, annotations=wanted)
        if not said:
            assert checks.verify(found(envelope), ARTIFACT, SCOPE).verified
            continue
        with pytest.raises(VerificationFailed) as caught:
            checks.verify(found(envelope), ARTIFACT, SCOPE)
        assert f"(annotations: {said})" in caught.value.message


def test_an_authority_of_the_same_name_and_key_is_not_the_trusted_one() -> None:
    twin = make_authority("root", ends=NOW + 2 * YEAR)
    assert twin.chain[0].subject == root().chain[0].subject
    assert codes(refused(verifier(), make_envelope("jws", make_identity(twin)))) == ["untrusted-certificate"]


def test_a_certificate_that_signed_itself() -> None:
    own = Identity(key_of("P-256", "own"), (make_certificate(SUBJECT, key_of("P-256", "own")),))
    verify = verifier(trust_store=[own.root_pem])
    assert verify.verify(found(make_envelope("jws", own)), ARTIFACT, SCOPE).verified
    assert codes(refused(verifier(), make_envelope("jws", own))) == ["untrusted-certificate"]


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("C=US, ST=WA, O=example", True),
        ("C=US, S=WA, O=example", True),
        ("CN=signer, C=US, ST=WA, O=example", True),
        ("C=US, ST=WA, O=example, CN=signe", False),
        ("C=US, ST=WA, O=example, OU=signer", False),
        ("C=US, ST=wa, O=example", False),
        ("C=DE, ST=WA, O=example", False),
    ],
)
def test_identities(identity: str, expected: bool) -> None:
    verify = verifier(trustedIdentities=[f"x509.subject:{identity}", "x509.subject:C=FR, ST=x, O=y"])
    if expected:
        assert verify.verify(found(make_envelope("jws")), ARTIFACT, SCOPE).verified
    else:
        assert codes(refused(verify, make_envelope("jws"))) == ["identity"]


def test_a_value_with_a_comma_is_no_further_attribute() -> None:
    who = make_identity(subject={"C": "US", "ST": "WA", "O": "evil,CN=signer"})
    verify = verifier(trustedIdentities=["x509.subject:C=US, ST=WA, O=evil, CN=signer"])
    assert codes(refused(verify, make_envelope("jws", who))) == ["identity"]
    verify = verifier(trustedIdentities=[r"x509.subject:C=US, ST=WA, O=evil\,CN\=signer"])
    assert verify.verify(found(make_envelope("jws", who)), ARTIFACT, SCOPE).verified


@pytest.mark.parametrize(
    "subject",
    [
        {"CN": "signer"},
        [*SUBJECT.items(), ("OU", "a"), ("OU", "b")],
        [*SUBJECT.items(), ("E", "me@example.com")],
    ],
)
def test_a_subject_that_cannot_be_compared(subject: Any) -> None:
    envelope = make_envelope("jws", make_identity(subject=subject))
    assert verifier().verify(found(envelope), ARTIFACT, SCOPE).verified
    error = refused(verifier(trustedIdentities=["x509.subject:C=US, ST=WA, O=example"]), envelope)
    assert codes(error) == ["identity"]
    assert "cannot be compared" in error.message


def test_an_identity_of_an_authority_is_not_the_signers() -> None:
    verify = verifier(trustedIdentities=["x509.subject:C=US, ST=WA, O=example, CN=root"])
    assert codes(refused(verify, make_envelope("jws"))) == ["identity"]


@FORMS
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"digest": "sha256:" + "cd" * 32}, "digest"),
        ({"size": 510}, "size 510, not for this one (509)"),
        ({"size": 509.0}, "size"),
        ({"size": "509"}, "size"),
        ({"size": ABSENT}, "size None"),
        ({"mediaType": "application/vnd.oci.image.index.v1+json"}, "mediaType"),
        ({"mediaType": ABSENT}, "mediaType"),
        ({"digest": ABSENT}, "digest"),
        ({"digest": ["sha256:" + "ab" * 32]}, "digest"),
    ],
)
def test_another_artifact(form: str, change: dict[str, Any], cause: str) -> None:
    envelope = make_envelope(form, payload=payload_for(**change))
    for level in ("strict", "permissive", "audit"):
        error = refused(verifier(level=level), envelope)
        assert codes(error) == ["digest-mismatch"]
        assert cause in error.message


LEVELS = ("strict", "permissive", "audit")


@FORMS
@pytest.mark.parametrize("level", LEVELS)
def test_expiry(form: str, level: str) -> None:
    envelope = make_envelope(form, expiry=NOW)
    before = verifier(level=level, now=NOW - datetime.timedelta(seconds=1))
    verdict = before.verify(found(envelope), ARTIFACT, SCOPE)
    assert verdict.verified and verdict.warnings == ()
    verify = verifier(level=level)
    if level == "strict":
        error = refused(verify, envelope)
        assert codes(error) == ["expired-signature"]
        assert "2026-06-01 12:00:00 UTC" in error.message
    else:
        verdict = verify.verify(found(envelope), ARTIFACT, SCOPE)
        assert verdict.verified and "expired at 2026-06-01 12:00:00 UTC" in verdict.warnings[0]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("which", ["leaf", "root"])
@pytest.mark.parametrize(
    ("begins", "ends", "cause"),
    [(NOW - YEAR, NOW - DAY, "expired at 2026-05-31"), (NOW + DAY, NOW + YEAR, "is valid from 2026-06-02")],
)
def test_certificates_have_to_be_valid_now(
    level: str, which: str, begins: datetime.datetime, ends: datetime.datetime, cause: str
) -> None:
    window = {"begins": begins, "ends": ends}
    authority = make_authority("dated", **(window if which == "root" else {}))
    who = make_identity(authority, **(window if which == "leaf" else {}))
    verify = verifier(level=level, trust_store=[authority.root_pem])
    if level == "strict":
        error = refused(verify, make_envelope("jws", who))
        assert codes(error) == ["expired-certificate"]
        assert cause in error.message
    else:
        verdict = verify.verify(found(make_envelope("jws", who)), ARTIFACT, SCOPE)
        assert verdict.verified and cause in verdict.warnings[0]


def test_certificates_are_valid_to_the_last_second() -> None:
    who = make_identity(begins=NOW - DAY, ends=NOW)
    assert verifier().verify(found(make_envelope("jws", who)), ARTIFACT, SCOPE).verified
    late = verifier(now=NOW + datetime.timedelta(seconds=1))
    assert codes(refused(late, make_envelope("jws", who))) == ["expired-certificate"]


def test_certificates_are_valid_from_the_first_second_on() -> None:
    who = make_identity(begins=NOW, ends=NOW + DAY)
    assert verifier().verify(found(make_envelope("jws", who)), ARTIFACT, SCOPE).verified
    early = verifier(now=NOW - datetime.timedelta(seconds=1))
    assert codes(refused(early, make_envelope("jws", who))) == ["expired-certificate"]


def ocsp() -> x509.ExtensionType:
    place = x509.UniformResourceIdentifier("http://ocsp.example.com")
    return x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)])


def issuers() -> x509.ExtensionType:
    place = x509.UniformResourceIdentifier("http://ca.example.com/ca.crt")
    return x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)])


def lists() -> x509.ExtensionType:
    place = x509.UniformResourceIdentifier("http://crl.example.com/list.crl")
    return x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)])


@pytest.mark.parametrize("extension", [ocsp(), lists()], ids=["ocsp", "crl"])
@pytest.mark.parametrize("which", ["leaf", "middle"])
def test_revocation_that_cannot_be_known(extension: x509.ExtensionType, which: str) -> None:
    extra = {"extensions": [(extension, False)]}
    middle = make_authority("middle", root(), **(extra if which == "middle" else {}))
    envelope = make_envelope("jws", make_identity(middle, **(extra if which == "leaf" else {})))
    error = refused(verifier(), envelope)
    assert codes(error) == ["revocation"]
    assert "override 'revocation'" in error.hint
    for changes, warned in (
        ({"level": "permissive"}, True),
        ({"level": "audit"}, True),
        ({"override": {"revocation": "log"}}, True),
        ({"override": {"revocation": "skip"}}, False),
    ):
        verify = verifier(**changes)
        verdict = verify.verify(found(envelope), ARTIFACT, SCOPE)
        assert verdict.verified and ["was revoked" in each for each in verdict.warnings] == [True] * warned


def test_certificates_that_cannot_be_revoked() -> None:
    authority = make_authority("listed", extensions=[(lists(), False), (ocsp(), False)])
    who = make_identity(authority, extensions=[(issuers(), False)])
    verify = verifier(trust_store=[authority.root_pem])
    verdict = verify.verify(found(make_envelope("jws", who)), ARTIFACT, SCOPE)
    assert verdict.verified and verdict.warnings == ()


def test_ignored_is_not_verified() -> None:
    for changes, envelope in (
        ({}, make_envelope("jws", OTHER)),
        ({"trustedIdentities": ["x509.subject:C=US, ST=WA, O=else"]}, make_envelope("jws")),
    ):
        verify = verifier(level="audit", **changes)
        verdict = verify.verify(found(envelope), ARTIFACT, SCOPE)
        assert (verdict.outcome, verdict.verified, verdict.signers) == (IGNORED, False, ())
        assert verdict.refusals[0].code in ("untrusted-certificate", "identity")
        assert "only logs" in verdict.warnings[0]


def test_audit_still_demands_a_signature_of_this_artifact() -> None:
    assert codes(refused(verifier(level="audit"))) == []
    other = make_envelope("jws", payload=payload_for(size=1))
    assert codes(refused(verifier(level="audit"), other)) == ["digest-mismatch"]


def test_audit_prefers_a_signature_that_is_authentic() -> None:
    verify = verifier(level="audit")
    verdict = verify.verify(found(make_envelope("jws", OTHER), make_envelope("cose")), ARTIFACT, SCOPE)
    assert verdict.verified
    assert [each.format for each in verdict.signers] == ["cose"]
    assert verdict.warnings == ()


def test_authenticity_that_is_enforced_over_audit() -> None:
    verify = verifier(level="audit", override={"authenticity": "enforce"})
    assert codes(refused(verify, make_envelope("jws", OTHER))) == ["untrusted-certificate"]


def test_what_is_enforced_beside_a_logged_authenticity() -> None:
    verify = verifier(level="strict", override={"authenticity": "log"})
    assert verify.verify(found(make_envelope("jws", OTHER)), ARTIFACT, SCOPE).outcome == IGNORED
    assert codes(refused(verify, make_envelope("jws", OTHER, expiry=NOW - DAY))) == ["expired-signature"]


def never() -> Iterator[tuple[str, str, bytes]]:
    def asked(_number: int) -> tuple[str, str, bytes]:
        raise AssertionError("a signature was asked for")

    return map(asked, range(1))


def test_skip_asks_for_nothing() -> None:
    verify = verifier(
        statement(level="skip", trustStores=ABSENT, trustedIdentities=ABSENT), trust_store=[], min_signers=2
    )
    assert verify.skips(SCOPE)
    assert verify.verify(never(), ARTIFACT, SCOPE).outcome == IGNORED


def test_the_statement_is_chosen_by_the_scope() -> None:
    verify = verifier(
        statement(registryScopes=[SCOPE]),
        statement(name="open", registryScopes=["*"], level="skip", trustStores=ABSENT, trustedIdentities=ABSENT),
    )
    assert verify.scope_statement(SCOPE).name == "p"
    assert not verify.skips(SCOPE)
    assert verify.skips(SCOPE + "/more")
    assert codes(refused(verify, make_envelope("jws", OTHER))) == ["untrusted-certificate"]


def test_no_statement() -> None:
    verify = verifier(registryScopes=["a.example/b"])
    for attempt in (verify.scope_statement, verify.skips, lambda scope: verify.verify(never(), ARTIFACT, scope)):
        with pytest.raises(VerificationFailed, match=f"no statement for {SCOPE}") as caught:
            attempt(SCOPE)
        assert caught.value.details["verification"]["verified"] is False


def test_no_signature() -> None:
    error = refused(verifier())
    assert error.message == f"{SCOPE}@{ARTIFACT.digest} has no Notary Project signature."
    assert "notation sign" in error.hint
    assert error.details["verification"]["reason"] == "Unverified"


def test_a_failure_says_what_was_tried() -> None:
    error = refused(verifier(), make_envelope("jws", OTHER), b"{", make_envelope("cose", expiry=NOW - DAY))
    assert codes(error) == ["untrusted-certificate", "malformed", "expired-signature"]
    assert error.message.startswith(f"No signature of {SCOPE}@{ARTIFACT.digest} satisfies the statement 'p'")
    for part in (
        SCOPE,
        ARTIFACT.digest,
        "'p'",
        "level strict",
        "jws sha256:",
        "cose sha256:",
        "CN=stranger",
        "2026-05-31",
    ):
        assert part in error.message
    assert "trust_store" in error.hint
    forms = [each["format"] for each in error.details["verification"]["refused"]]
    assert forms == ["jws", "jws", "cose"]


def test_long_failures_are_cut() -> None:
    error = refused(verifier(), *[make_envelope("jws", OTHER)] * 7)
    assert error.message.count("untrusted-certificate") == 5
    assert "; and 2 more." in error.message
    assert len(codes(error)) == 7
    assert " more" not in refused(verifier(), *[make_envelope("jws", OTHER)] * 5).message


@pytest.mark.parametrize("bad", [b"", b"{", b"\xd2\x84", b"\xd2" * 100, b"x" * 2**20 * 2])
def test_a_bad_signature_beside_a_good_one_changes_nothing(bad: bytes) -> None:
    good = make_envelope("cose")
    for envelopes in ((bad, good), (good, bad)):
        assert verifier().verify(found(*envelopes), ARTIFACT, SCOPE).verified


SECOND = {**SUBJECT, "CN": "second"}
SHORT = "has signatures by 1 of the 2 signers wanted that satisfy the statement"


def identity_of(**attributes: str) -> str:
    return "x509.subject:" + ", ".join(f"{key}={value}" for key, value in {**SUBJECT, **attributes}.items())


def test_whoever_is_trusted_counts_once() -> None:
    """Without listed identities, signers are told apart by their keys and by their names."""
    same_key = make_identity(subject={**SUBJECT, "CN": "another name"})
    same_name = make_identity(key=key_of("P-384"))
    reordered = make_identity(key=key_of("P-521"), subject=dict(reversed(SUBJECT.items())))
    verify = verifier(min_signers=2)
    envelopes = [make_envelope("jws"), make_envelope("cose")]
    error = refused(verify, *envelopes, *(make_envelope("jws", who) for who in (same_key, same_name, reordered)))
    assert error.message.startswith(f"{SCOPE}@{ARTIFACT.digest} {SHORT}")
    second = make_identity(key=key_of("P-384"), subject=SECOND)
    verdict = verify.verify(found(make_envelope("jws"), make_envelope("cose", second)), ARTIFACT, SCOPE)
    assert [each.format for each in verdict.signers] == ["jws", "cose"]


def test_a_trusted_identity_counts_once() -> None:
    """Any number of certificates of one identity (a workflow, its branches) is one of several that are demanded."""
    broad, narrow = "x509.subject:C=US, ST=WA, O=example, OU=builds", identity_of(CN="second")
    verify = verifier(min_signers=2, trustedIdentities=[broad, narrow])
    builds = [
        make_identity(key=key_of("P-256", name), subject={**SUBJECT, "OU": "builds", "CN": name}) for name in "abc"
    ]
    error = refused(verify, *(make_envelope("jws", who) for who in builds))
    assert SHORT in error.message and "A trusted identity, a name and a key count once each." in error.message
    second = make_identity(key=key_of("P-384"), subject=SECOND)
    envelopes = [make_envelope("jws", who) for who in (*builds, second)]
    assert verify.verify(found(*envelopes), ARTIFACT, SCOPE).verified


def test_who_has_two_trusted_identities_counts_once() -> None:
    both = {**SUBJECT, "OU": "builds", "CN": "second"}
    identities = ["x509.subject:C=US, ST=WA, O=example, OU=builds", "x509.subject:C=US, ST=WA, O=example, CN=second"]
    verify = verifier(min_signers=2, trustedIdentities=identities)
    whoever = [make_identity(key=key_of(kind), subject=both) for kind in ("P-256", "P-384")]
    assert SHORT in refused(verify, *(make_envelope("jws", who) for who in whoever)).message
    # the first takes one identity, and gives it up for the second, who has no other
    other = make_identity(key=key_of("P-521"), subject={**SUBJECT, "OU": "builds", "CN": "third"})
    envelopes = [make_envelope("jws", who) for who in (whoever[0], other)]
    assert verify.verify(found(*envelopes), ARTIFACT, SCOPE).verified


def test_audit_does_not_ignore_that_signers_are_missing() -> None:
    audit = verifier(min_signers=2, level="audit", trustedIdentities=[identity_of(), identity_of(CN="second")])
    again = make_identity(key=key_of("P-384"))
    assert SHORT in refused(audit, make_envelope("jws"), make_envelope("jws", again)).message


def test_more_signers_than_trusted_identities() -> None:
    with pytest.raises(InvalidPolicy, match="'min_signers' is 2, but the statement 'p' .* only 1 trusted identity"):
        verifier(min_signers=2, trustedIdentities=[identity_of()])
    # another statement may apply; which one does is known with the scope
    wide = statement(name="wide", trustedIdentities=[identity_of(), identity_of(CN="second")], registryScopes=["a.b/c"])
    verify = verifier(wide, statement(trustedIdentities=[identity_of()]), min_signers=2)
    with pytest.raises(InvalidPolicy, match="the statement 'p'"):
        verify.verify(iter(found(make_envelope("jws"))), ARTIFACT, SCOPE)


def test_nobody_who_is_not_authentic_makes_up_the_number() -> None:
    assert codes(refused(verifier(min_signers=2), make_envelope("jws"), make_envelope("jws", OTHER))) == [
        "untrusted-certificate"
    ]
    audit = verifier(min_signers=2, level="audit")
    stranger = make_identity(make_authority("other"), key=key_of("P-384"))
    assert audit.verify(found(make_envelope("jws"), make_envelope("jws", stranger)), ARTIFACT, SCOPE).outcome == IGNORED
    assert codes(refused(audit, make_envelope("jws"))) == []


def test_no_more_signatures_are_fetched_than_needed() -> None:
    rest = iter(found(*[make_envelope("jws")] * 3))
    assert verifier().verify(rest, ARTIFACT, SCOPE).verified
    assert len(list(rest)) == 2


@pytest.mark.parametrize("given", [0, 12])
def test_attempts_are_bounded(given: int) -> None:
    bad, good, limit = make_envelope("jws", OTHER), make_envelope("jws"), given or MAX_SIGNATURES
    verify = verifier(max_signatures=given)
    assert verify.verify(found(*[bad] * (limit - 1), good), ARTIFACT, SCOPE).verified
    rest = iter(found(*[bad] * limit, good, good, good))
    with pytest.raises(VerificationFailed, match=f"more signatures than the {limit} that are tried") as caught:
        verify.verify(rest, ARTIFACT, SCOPE)
    assert len(codes(caught.value)) == limit
    assert "max_signatures" in caught.value.hint
    assert len(list(rest)) == 2
    assert "more signatures" not in refused(verify, *[bad] * limit).message


@pytest.mark.parametrize("number", [0, -1, MAX_SIGNATURES + 1])
def test_numbers_of_signers_that_cannot_be(number: int) -> None:
    with pytest.raises(InvalidPolicy, match="min_signers"):
        verifier(min_signers=number)


def test_as_many_signers_as_signatures_are_tried() -> None:
    names = [str(number) for number in range(12)]
    identities = [make_identity(key=key_of("P-256", name), subject={**SUBJECT, "CN": name}) for name in names]
    envelopes = [make_envelope("jws", who) for who in identities]
    verify = verifier(min_signers=12, max_signatures=12)
    assert len(verify.verify(found(*envelopes), ARTIFACT, SCOPE).signers) == 12


def test_skip_needs_no_trust_store() -> None:
    whole = {"version": "1.0", "trustPolicies": [statement(level="skip", trustStores=ABSENT, trustedIdentities=ABSENT)]}
    assert NotationVerifier(VerifyPolicy(provider="notation", trust_policy=whole)).skips(SCOPE)


def test_a_policy_is_needed() -> None:
    with pytest.raises(InvalidPolicy, match="version"):
        NotationVerifier(VerifyPolicy(provider="notation"))


def test_the_present_time_is_the_default() -> None:
    policy = VerifyPolicy(
        provider="notation",
        trust_policy={"version": "1.0", "trustPolicies": [statement()]},
        trust_store={"*": [root().root_pem]},
    )
    past = make_identity(begins=NOW - 9 * YEAR, ends=NOW - 8 * YEAR)
    error = refused(NotationVerifier(policy), make_envelope("jws", past))
    assert codes(error) == ["expired-certificate"]
    assert signer().chain[0].subject != past.chain[-1].subject


def test_each_verdict_has_its_own_warnings() -> None:
    """One verifier serves all artifacts of a task: what is said of one is neither said of another nor left out."""
    verify = verifier(level="permissive")
    expired = make_envelope("jws", expiry=NOW - DAY)
    for _time in range(2):
        assert len(verify.verify(found(expired), ARTIFACT, SCOPE).warnings) == 1
        assert verify.verify(found(make_envelope("jws")), ARTIFACT, SCOPE).warnings == ()


@pytest.mark.parametrize(("count", "end"), [(5, "."), (6, "; and 1 more."), (8, "; and 3 more.")])
def test_how_many_refusals_are_shown(count: int, end: str) -> None:
    error = refused(verifier(), *[b"no envelope"] * count)
    assert len(codes(error)) == count and error.message.endswith(end)
    assert error.message.count("malformed: ") == min(count, 5)


def test_one_signer_of_two_that_are_wanted() -> None:
    error = refused(verifier(min_signers=2), make_envelope("jws"))
    assert "by 1 of the 2 signers wanted" in error.message and error.message.endswith(" of the trust policy.")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDependency, match="Verifying Notary Project signatures needs"):
        verifier()

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Cosign policy as a whole: keys beside identities, signatures beside attestations, what a refusal says."""

from __future__ import annotations

import base64
import datetime
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidPolicy,
    MissingDependency,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import (
    DSSE_ENVELOPE,
    CosignVerifier,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected, Verdict

from . import vectors
from .test_cosign_keyed import (
    add_blob,
    add_legacy,
    add_manifest,
    attach,
    public_pem,
    signed_layer,
    simple_payload,
    verify,
)

KEY_A, KEY_B = (str(vectors.ROOT / f"keys/key-{name}.pub") for name in "ab")
ROOT = str(vectors.ROOT / "trusted_root.json")
RELEASE = {"issuer": "^https://issuer\\.example\\.com$", "subject": "^release@example\\.com$"}
SPDX, VULN = "https://spdx.dev/Document", "https://cosign.sigstore.dev/attestation/vuln/v1"
KEYED_LEGACY, KEYED_BUNDLE = "chart-legacy-a", "chart-bundle-a"
KEYLESS_LEGACY, KEYLESS_BUNDLE = "chart-keyless-legacy-cosign31-email", "chart-keyless-bundle-cosign31-email"


def check(layout: str, **policy: Any) -> Verdict:
    row = next(each for each in vectors.rows() if each["path"] == f"layouts/{layout}")
    verdict: Verdict = verify(vectors.repository(row), row["digest"], **policy)
    return verdict


def refused(layout: str, **policy: Any) -> list[str]:
    """The codes of the refusals."""
    with pytest.raises(VerificationFailed) as caught:
        check(layout, **policy)
    return [each["code"] for each in caught.value.details["verification"]["refused"]]


@pytest.fixture
def key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def repository(tmp_path: Path) -> LayoutRepository:
    return LayoutRepository(Reference(layout=str(tmp_path / "layout")))


@pytest.fixture
def digest(repository: LayoutRepository) -> str:
    return add_manifest(repository, "1", [add_blob(repository, b"content")])


# Keys and identities


@pytest.mark.parametrize("row", vectors.rows("keyless"), ids=lambda row: row["name"])
def test_the_real_tools_verdict_on_keyless_signatures(row: dict[str, Any]) -> None:
    policy = parse_policy(vectors.policy_options(row))
    if not policy.identities:
        with pytest.raises(InvalidPolicy, match="names no signer"):
            CosignVerifier(policy)
    elif row["expected"] == "pass":
        verdict = CosignVerifier(policy).verify(vectors.repository(row), row["digest"])
        assert verdict.verified and verdict.signers[0].issuer
    else:
        # a root without logs vouches for nobody
        with pytest.raises((VerificationFailed, InvalidPolicy)):
            CosignVerifier(policy).verify(vectors.repository(row), row["digest"])


@pytest.mark.parametrize("layout", [KEYED_LEGACY, KEYED_BUNDLE, KEYLESS_LEGACY, KEYLESS_BUNDLE])
def test_either_a_key_or_an_identity_will_do(layout: str) -> None:
    is_keyed = layout in (KEYED_LEGACY, KEYED_BUNDLE)
    (signer,) = check(layout, public_keys=[KEY_A], identities=[RELEASE], trusted_root=ROOT).signers
    assert bool(signer.issuer) is not is_keyed
    other = {**RELEASE, "subject": "^nobody$"}
    code = refused(layout, public_keys=[KEY_B], identities=[other], trusted_root=ROOT)
    assert code == (["bad-signature"] if is_keyed else ["identity"])


def test_what_lacks_the_evidence_that_the_policy_asks_for() -> None:
    assert refused(KEYED_BUNDLE, identities=[RELEASE], trusted_root=ROOT) == ["no-certificate"]
    assert refused(KEYED_LEGACY, identities=[RELEASE], trusted_root=ROOT) == ["no-certificate"]
    assert refused(KEYLESS_BUNDLE, public_keys=[KEY_A]) == ["not-keyed"]
    assert refused(KEYLESS_LEGACY, public_keys=[KEY_A]) == ["bad-signature"]


def test_anybody_whom_the_trusted_root_vouches_for() -> None:
    for layout in (KEYLESS_LEGACY, KEYLESS_BUNDLE):
        assert check(layout, any_identity=True, trusted_root=ROOT).signers[0].subject == "release@example.com"
    rogue = str(vectors.ROOT / "trusted_root_rogue.json")
    assert refused(KEYLESS_BUNDLE, any_identity=True, trusted_root=rogue)
    # more signers than keys are possible then
    policy = {"public_keys": [KEY_A], "any_identity": True, "trusted_root": ROOT, "min_signers": 2}
    assert refused(KEYED_LEGACY, **policy) == []


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({}, "names no signer"),
        ({"public_keys": [KEY_A], "min_signers": 0}, "'min_signers' is 0: wanted 1 or more"),
        ({"public_keys": [KEY_A], "min_signers": 2}, "only 1 distinct"),
        ({"identities": [RELEASE], "any_identity": True}, "contradict each other"),
    ],
)
def test_policies_that_cannot_be_meant(policy: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        CosignVerifier(parse_policy({"trusted_root": ROOT, **policy}))


def test_warnings_are_of_identities() -> None:
    loose = {**RELEASE, "subject": "example"}
    (warning,) = CosignVerifier(parse_policy({"identities": [loose], "trusted_root": ROOT})).warnings
    assert "is not anchored" in warning
    assert CosignVerifier(parse_policy({"public_keys": [KEY_A]})).warnings == []


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDependency):
        CosignVerifier(parse_policy({"identities": [RELEASE], "trusted_root": ROOT}))


# A certificate beside a signature with a key


def certificate(key: Any, days: int) -> str:
    """PEM of a certificate that was made ten days ago, for so many days."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    begins = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - datetime.timedelta(days=10)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins)
    made = builder.not_valid_after(begins + datetime.timedelta(days=days)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


@pytest.mark.parametrize(
    ("days", "identities", "counts"), [(20, False, True), (5, False, False), (5, True, True), (0, False, True)]
)
def test_a_certificate_beside_a_key(
    repository: LayoutRepository, digest: str, key: Any, days: int, identities: bool, counts: bool
) -> None:
    """One that has expired spoils the signature, as for cosign, unless certificates have a meaning of their own."""
    layer = signed_layer(repository, simple_payload(digest), key)
    text = certificate(key, days) if days else "no certificate"
    layer["annotations"][formats.ANNOTATION_CERTIFICATE] = text
    add_legacy(repository, digest, [layer])
    policy: dict[str, Any] = {"public_keys": [public_pem(key)]}
    if identities:
        policy.update(identities=[RELEASE], trusted_root=ROOT)
    if counts:
        assert verify(repository, digest, **policy).verified
    else:
        with pytest.raises(VerificationFailed, match="expired-certificate"):
            verify(repository, digest, **policy)


# Attestations


def envelope(digest: str, key: Any, predicate_type: str) -> bytes:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.partition(":")[2]}}],
        "predicateType": predicate_type,
        "predicate": {},
    }
    payload = json.dumps(statement).encode("utf-8")
    signature = key.sign(formats.pre_authentication_encoding(formats.IN_TOTO, payload), ec.ECDSA(hashes.SHA256()))
    document = {
        "payload": base64.b64encode(payload).decode("ascii"),
        "payloadType": formats.IN_TOTO,
        "signatures": [{"sig": base64.b64encode(signature).decode("ascii")}],
    }
    return json.dumps(document).encode("utf-8")


def add_attestations(repository: LayoutRepository, digest: str, *layers: dict[str, Any]) -> None:
    add_manifest(repository, digest.replace(":", "-") + ".att", list(layers))


def test_attestations_under_cosigns_tag(repository: LayoutRepository, digest: str, key: Any) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    add_legacy(repository, digest, [signed_layer(repository, simple_payload(digest), key)])
    policy = {"public_keys": [public_pem(key)], "attestations": [{"type": "spdx"}]}
    wrong = [
        add_blob(repository, envelope(digest, key, SPDX), "application/json"),
        add_blob(repository, envelope(digest, other, SPDX), DSSE_ENVELOPE),
        add_blob(repository, envelope(digest, key, VULN), DSSE_ENVELOPE),
        add_blob(repository, envelope("sha256:" + "1" * 64, key, SPDX), DSSE_ENVELOPE),
        add_blob(repository, b"{}", DSSE_ENVELOPE),
    ]
    add_attestations(repository, digest, *wrong)
    with pytest.raises(VerificationFailed, match="lacks valid attestations of type spdx") as caught:
        verify(repository, digest, **policy)
    codes = [each["code"] for each in caught.value.details["verification"]["refused"]]
    # small ones are tried first
    assert sorted(codes) == ["bad-signature", "digest-mismatch", "malformed", "malformed", "predicate-type"]
    assert all(f"({code}: " in caught.value.message for code in codes)
    good = add_blob(repository, envelope(digest, key, SPDX), DSSE_ENVELOPE)
    add_attestations(repository, digest, good)
    verdict = verify(repository, digest, **policy)
    assert [each.predicate_type for each in verdict.signers] == [formats.COSIGN_SIGN, SPDX]
    assert verdict.refusals == []


def test_when_an_attestation_under_the_tag_is_a_signature(repository: LayoutRepository, digest: str, key: Any) -> None:
    """Where the policy names its type, and only there: cosign verify does not count it."""
    add_attestations(repository, digest, add_blob(repository, envelope(digest, key, SPDX), DSSE_ENVELOPE))
    keys = {"public_keys": [public_pem(key)]}
    for named in (
        {"attestations": [{"type": "spdx"}]},
        {"predicate_types": [SPDX]},
        {"predicate_types": ["spdx"]},
        {"attestations": [{"type": "spdx"}], "predicate_types": [VULN, SPDX]},
    ):
        (signer,) = verify(repository, digest, **keys, **named).signers
        assert (signer.format, signer.predicate_type) == ("legacy", SPDX)
    tag = f"{digest[:19].replace(':', '-')}….att"
    for policy, why in (
        ({}, "under this tag only a type that the policy names counts"),
        ({"attestations": [{"type": "vuln"}]}, "the policy asks for 'vuln'"),
        ({"predicate_types": [VULN]}, f"the policy asks for {VULN!r}"),
    ):
        error = failure(repository, digest, **keys, **policy)
        said = f"It is of type {SPDX!r}, by the right signer (key 1), but {why}"
        assert (
            f"has no valid signatures of the 1 wanted: under the tag {tag} 1 attestation (predicate-type: {said})."
            in (error.message)
        )
        assert f"predicate_types: [{SPDX}]" in error.hint
    # the policy says what a signature is, and what else it wants
    policy = {"attestations": [{"type": "spdx"}], "predicate_types": [formats.COSIGN_SIGN]}
    assert "has no valid signatures of the 1 wanted." in failure(repository, digest, **keys, **policy).message


def test_all_places_are_looked_at_before_a_failure(repository: LayoutRepository, digest: str, key: Any) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert failure(repository, digest, public_keys=[KEY_A]).message.endswith(
        f"has no signature: there is nothing under Cosign's tags {digest[:19].replace(':', '-')}….sig and "
        f"{digest[:19].replace(':', '-')}….att, and no Sigstore bundle among its referrers."
    )
    add_legacy(repository, digest, [signed_layer(repository, simple_payload(digest), other)])
    attach(repository, digest, other, VULN)
    add_attestations(repository, digest, add_blob(repository, envelope(digest, other, SPDX), DSSE_ENVELOPE))
    message = failure(repository, digest, public_keys=[public_pem(key)]).message
    for place, noun in (("under the tag", "signature"), ("among the referrers", "bundle"), ("….att", "attestation")):
        assert place in message and f"1 {noun} (bad-signature: The signature is not by the key)" in message


@pytest.mark.parametrize("row", vectors.rows("attestation"), ids=lambda row: row["name"])
def test_the_real_tools_verdict_on_attestations(row: dict[str, Any]) -> None:
    verifier = CosignVerifier(parse_policy(vectors.policy_options(row)))
    if row["expected"] == "pass":
        (signer,) = verifier.verify(vectors.repository(row), row["digest"]).signers
        assert signer.predicate_type == "https://slsa.dev/provenance/v0.2"
        assert bool(signer.issuer) == bool(signer.signed_at) == ("keyless" in row)
    else:
        with pytest.raises(VerificationFailed, match=row["reason"]):
            verifier.verify(vectors.repository(row), row["digest"])


def test_which_tags_are_asked_for(repository: LayoutRepository, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    fetch = LayoutRepository.fetch_manifest

    def fetch_manifest(self: LayoutRepository, reference: str) -> Any:
        asked.append(reference.rpartition(".")[2] if "." in reference else "")
        return fetch(self, reference)

    monkeypatch.setattr(LayoutRepository, "fetch_manifest", fetch_manifest)

    def tags(**policy: Any) -> list[str]:
        asked.clear()
        with pytest.raises(VerificationFailed):
            verify(repository, digest, **policy)
        return [each for each in asked if each]

    keyless: dict[str, Any] = {"identities": [RELEASE], "trusted_root": ROOT}
    rule = {"attestations": [{"type": "spdx"}]}
    for signers in ({"public_keys": [KEY_A]}, keyless):
        assert tags(**signers) == tags(**signers, **rule) == ["sig", "att"]
        assert tags(**signers, predicate_types=[formats.COSIGN_SIGN]) == ["sig", "att"]
        # what cannot count is looked at in the end, to say that it is there
        assert tags(**signers, predicate_types=[SPDX]) == ["att", "sig"]


def test_a_legacy_signature_is_none_of_another_type(repository: LayoutRepository, digest: str, key: Any) -> None:
    add_legacy(repository, digest, [signed_layer(repository, simple_payload(digest), key)])
    policy = {"public_keys": [public_pem(key)], "predicate_types": [VULN]}
    error = failure(repository, digest, **policy)
    assert [each["code"] for each in error.details["verification"]["refused"]] == ["predicate-type"]
    assert f"under the tag {digest[:19].replace(':', '-')}….sig 1 signature" in error.message
    assert (
        f"It is of type {formats.COSIGN_SIGN!r}, by the right signer (key 1), but the policy asks for" in error.message
    )
    attach(repository, digest, key, VULN)
    assert verify(repository, digest, **policy).signers[0].predicate_type == VULN


def test_a_bundle_may_be_an_attestation_and_a_signature(repository: LayoutRepository, digest: str, key: Any) -> None:
    attach(repository, digest, key, SPDX)
    verdict = verify(repository, digest, public_keys=[public_pem(key)], attestations=[{"type": "spdx"}])
    assert len(verdict.signers) == 1 and verdict.refusals == []
    policy = {"public_keys": [public_pem(key)], "attestations": [{"type": "spdx"}], "predicate_types": [VULN]}
    with pytest.raises(VerificationFailed) as caught:
        verify(repository, digest, **policy)
    assert caught.value.details["verification"]["refused"] == [], "it is asked for, if not as a signature"


# What a refusal says


def failure(repository: LayoutRepository, digest: str, **policy: Any) -> VerificationFailed:
    with pytest.raises(VerificationFailed) as caught:
        verify(repository, digest, **policy)
    return caught.value


def test_how_many_keys_a_signature_is_not_by(repository: LayoutRepository, digest: str, key: Any) -> None:
    add_legacy(repository, digest, [signed_layer(repository, simple_payload(digest), key)])
    message = failure(repository, digest, public_keys=[KEY_A]).message
    assert "(bad-signature: The signature is not by the key)" in message
    message = failure(repository, digest, public_keys=[KEY_A, KEY_B]).message
    assert "(bad-signature: The signature is by none of the 2 keys)" in message


@pytest.mark.parametrize(("count", "end"), [(5, ")."), (6, "); and 1 more."), (8, "); and 3 more.")])
def test_how_many_refusals_are_shown(repository: LayoutRepository, digest: str, key: Any, count: int, end: str) -> None:
    others = [simple_payload(f"sha256:{number:064}") for number in range(count)]
    add_legacy(repository, digest, [signed_layer(repository, each, key) for each in others])
    message = failure(repository, digest, public_keys=[public_pem(key)]).message
    assert message.count("digest-mismatch: ") == 5 and message.endswith(end)


def test_what_is_refused_for_one_reason_is_said_once(repository: LayoutRepository, digest: str, key: Any) -> None:
    layer = signed_layer(repository, simple_payload(digest), key)
    add_legacy(repository, digest, [{**layer, "annotations": {}}] * 7)
    message = failure(repository, digest, public_keys=[KEY_A]).message
    tag = f"{digest[:19].replace(':', '-')}….sig"
    assert message.endswith(f"under the tag {tag} 7 signatures (malformed: The layer has no signature annotation).")


def test_one_signature_of_two_that_are_wanted(repository: LayoutRepository, digest: str, key: Any) -> None:
    add_legacy(repository, digest, [signed_layer(repository, simple_payload(digest), key)])
    policy: dict[str, Any] = {"public_keys": [public_pem(key), KEY_A], "min_signers": 2}
    assert failure(repository, digest, **policy).message.endswith("has 1 valid signature of the 2 wanted.")


def test_a_missing_attestation_without_a_refusal(repository: LayoutRepository, digest: str, key: Any) -> None:
    add_legacy(repository, digest, [signed_layer(repository, simple_payload(digest), key)])
    policy: dict[str, Any] = {"public_keys": [public_pem(key)], "attestations": [{"type": "spdx"}]}
    assert failure(repository, digest, **policy).message.endswith("lacks valid attestations of type spdx.")


def test_a_payload_that_is_too_large_or_not_there(repository: LayoutRepository, digest: str, key: Any) -> None:
    layer = signed_layer(repository, simple_payload(digest), key)
    blob = Path(repository.root) / "blobs/sha256" / layer["digest"][7:]
    for size, code in ((formats.MAX_PAYLOAD + 1, "too-large"), (formats.MAX_PAYLOAD, "malformed"), (9, "malformed")):
        with blob.open("wb") as stream:
            stream.truncate(size)
        add_legacy(repository, digest, [{**layer, "size": size}])
        blob.unlink()
        refusals = failure(repository, digest, public_keys=[KEY_A]).details["verification"]["refused"]
        assert [each["code"] for each in refusals] == [code]


def test_a_bundle_that_cannot_be_used_is_a_refusal(repository: LayoutRepository, digest: str) -> None:
    layer = add_blob(repository, b"{}", formats.BUNDLE_V03)
    subject = repository.resolve(digest).as_json()
    add_manifest(repository, "", [layer], subject=subject, artifactType=formats.BUNDLE_V03)
    refusals = failure(repository, digest, public_keys=[KEY_A]).details["verification"]["refused"]
    assert [each["code"] for each in refusals] == ["bundle-version"]


def test_a_rejection_has_a_code_and_a_text() -> None:
    rejected = Rejected("sct", "It was not recorded")
    assert (rejected.code, rejected.message, str(rejected)) == ("sct", "It was not recorded", "It was not recorded")

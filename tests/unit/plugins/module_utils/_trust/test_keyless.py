# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyless signatures: the real tools' verdicts, and each check against a signature that fails only there."""

from __future__ import annotations

import base64
import copy
import datetime
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats, keyless
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keyless import KeylessVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import Identity, VerifyPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected, Signer

from . import vectors
from .mini_sigstore import (
    DIGEST,
    ISSUER,
    MINUTE,
    NOW,
    SUBJECT,
    Leaf,
    MiniSigstore,
    b64,
    claim,
    dsse,
    hashedrekord,
    hashedrekord_v2,
    intoto,
    new_key,
    sign,
    statement,
)

CONFORMANCE = vectors.ROOT / "conformance"
BEACON = Identity(
    r"^https://token\.actions\.githubusercontent\.com$",
    r"^https://github\.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.*@refs/heads/main$",
)
A_TXT = f"sha256:{hashlib.sha256((CONFORMANCE / 'a.txt').read_bytes()).hexdigest()}"
WANTED = Identity(r"^https://issuer\.example\.com$", r"^release@example\.com$")

ROWS = vectors.rows("keyless")
# The code that a row's refusal has; "policy" where the policy itself is refused, empty where the signature counts.
CODES = {
    "wrong-subject": "identity",
    "wrong-issuer": "identity",
    "case": "identity",
    "mixed-identities": "identity",
    "rogue-root": "tlog",
    "rogue": "tlog",
    "no-identities": "policy",
    "no-tlog": "expired-certificate",
    "ca-ended": "untrusted-certificate",
    "rekor-ended": "tlog",
    "ct-ended": "sct",
    "leaf-p384-sha384": "bad-signature",
    "san-uri-and-email": "identity",
    "san-dns": "identity",
    "entry-genuine-attacker": "tlog",
    "entry-genuine-other": "tlog",
    "wrong-identity": "identity",
    "sct-unknown-log": "sct",
    "wrong-eku": "untrusted-certificate",
    "set-bad": "tlog",
    "unknown-log": "tlog",
    "set-other-body": "tlog",
    "checkpoint-bad-sig": "tlog",
    "no-promise": "tlog",
    "issuer-v2-only": "identity",
    "entry-other-sig": "tlog",
    "entry-other-cert": "tlog",
    "entry-other-payload": "tlog",
    "tampered-payload": "bad-signature",
    "replay": "digest-mismatch",
}


def verifier(root: Mapping[str, Any], *identities: Identity, **options: Any) -> KeylessVerifier:
    policy = VerifyPolicy(identities=identities or (WANTED,), trusted_root=json.dumps(root))
    return KeylessVerifier(policy, **options)


def parsed(bundle: Mapping[str, Any]) -> formats.Bundle:
    return formats.parse_bundle(json.dumps(bundle).encode("utf-8"))


def code_of(check: Callable[[], Any]) -> str:
    """The code of the refusal; empty when it is accepted."""
    try:
        check()
    except Rejected as exc:
        assert exc.message and not exc.message.endswith(".")
        return exc.code
    return ""


@pytest.fixture(name="mini", scope="module")
def _mini() -> MiniSigstore:
    return MiniSigstore()


class Case:
    """One certificate, and both layouts signed with it."""

    def __init__(self, mini: MiniSigstore, leaf: Leaf | None = None, **issue: Any) -> None:
        self.mini = mini
        self.certificate = mini.issue(leaf or Leaf(), **issue)

    def legacy(self, root: Mapping[str, Any] | None = None, *identities: Identity, **changes: Any) -> Signer:
        layer, payload = self.mini.legacy(self.certificate, **changes)
        return verifier(root or self.mini.trusted_root(), *identities).verify_legacy(layer, payload, DIGEST)

    def bundle(self, root: Mapping[str, Any] | None = None, *identities: Identity, **changes: Any) -> Signer:
        made = parsed(self.mini.bundle(self.certificate, **changes))
        return verifier(root or self.mini.trusted_root(), *identities).verify_bundle(made, DIGEST)[0]

    def codes(self, root: Mapping[str, Any] | None = None, *identities: Identity) -> tuple[str, str]:
        return code_of(lambda: self.legacy(root, *identities)), code_of(lambda: self.bundle(root, *identities))


# -- the real tools


def signatures(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """All that a layout has for the row's digest: legacy layers with their payload, and bundles."""
    folder = vectors.ROOT / row["path"]

    def blob(digest: str) -> bytes:
        return (folder / "blobs" / "sha256" / digest.partition(":")[2]).read_bytes()

    found: list[tuple[str, Any]] = []
    for listed in json.loads((folder / "index.json").read_bytes())["manifests"]:
        manifest = json.loads(blob(listed["digest"]))
        layers = manifest["layers"]
        name = (listed.get("annotations") or {}).get("org.opencontainers.image.ref.name", "")
        if name == f"{row['digest'].replace(':', '-')}.sig":
            for layer in layers:
                annotations = layer.get("annotations") or {}
                descriptor = Descriptor(layer["mediaType"], layer["digest"], layer["size"], annotations=annotations)
                found.append(("legacy", (descriptor, blob(layer["digest"]))))
        elif (manifest.get("subject") or {}).get("digest") == row["digest"]:
            found.append(("bundle", blob(layers[0]["digest"])))
    return found


def judge(row: Mapping[str, Any]) -> list[str]:
    """The codes for all signatures of a row."""
    keyless_row = row["keyless"]
    identities = [Identity(each["issuer"], each["subject"]) for each in keyless_row["identities"]]
    root = str(vectors.ROOT / keyless_row["trusted_root"])
    try:
        checks = KeylessVerifier(VerifyPolicy(identities=identities, trusted_root=root))
    except InvalidPolicy:
        return ["policy"]
    codes = []
    for kind, content in signatures(row):
        if kind == "legacy":
            codes.append(code_of(lambda c=content: checks.verify_legacy(c[0], c[1], row["digest"])))  # type: ignore[misc]
        else:
            codes.append(code_of(lambda c=content: checks.verify_bundle(formats.parse_bundle(c), row["digest"])))  # type: ignore[misc]
    return codes


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["name"]))
def test_a_vector_gets_the_real_tools_verdict(row: dict[str, Any]) -> None:
    codes = judge(row)

    assert len(codes) == 1
    if row["expected"] == "pass":
        assert codes == [""]
        return
    artifact, _slash, case = row["name"].partition("/")
    name = artifact.partition("-keyless-")[2].partition("-")[2] if case == "id" else case
    if name == "no-tlog" and case == "id":
        assert codes == ["tlog"]
    else:
        assert codes == [CODES[name]], name


def test_all_vectors_are_there() -> None:
    assert len(ROWS) == 90


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("happy-path-intoto-in-dsse-v3", ""),
        ("dsse-invalid-sig_fail", "bad-signature"),
        ("dsse-mismatch-envelope_fail", "tlog"),
        ("dsse-mismatch-sig_fail", "tlog"),
    ],
)
def test_a_bundle_of_sigstore_conformance(name: str, code: str) -> None:
    root = str(CONFORMANCE / "trusted_root_public_good.json")
    checks = KeylessVerifier(VerifyPolicy(identities=[BEACON], trusted_root=root))
    bundle = formats.parse_bundle((CONFORMANCE / name / "bundle.sigstore.json").read_bytes())

    assert code_of(lambda: checks.verify_bundle(bundle, A_TXT)) == code


# -- what comes back


def test_a_good_legacy_signature_says_who_and_when(mini: MiniSigstore) -> None:
    case = Case(mini)
    signer = case.legacy()

    spki = case.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert signer == Signer(
        "cosign",
        "legacy",
        key=f"sha256:{hashlib.sha256(spki).hexdigest()}",
        issuer=ISSUER,
        subject=SUBJECT,
        signed_at="2025-06-01T12:00:30Z",
        predicate_type=formats.COSIGN_SIGN,
        found_in=f"sha256:{hashlib.sha256(claim()).hexdigest()}",
        annotations={"team": "a"},
    )


def test_a_good_bundle_says_who_when_and_what(mini: MiniSigstore) -> None:
    case = Case(mini)
    made = parsed(
        mini.bundle(case.certificate, statement(predicateType="https://slsa.dev/provenance/v1", predicate=[1]))
    )

    signer, what = verifier(mini.trusted_root()).verify_bundle(made, DIGEST)

    assert (signer.format, signer.issuer, signer.subject) == ("bundle", ISSUER, SUBJECT)
    assert (signer.signed_at, signer.found_in) == ("2025-06-01T12:00:30Z", "")
    assert signer.predicate_type == what.predicate_type == "https://slsa.dev/provenance/v1"
    assert signer.annotations == {"team": "a"}


def test_a_bundle_of_another_predicate_type_is_refused(mini: MiniSigstore) -> None:
    made = parsed(mini.bundle(Case(mini).certificate))
    checks = verifier(mini.trusted_root())

    assert code_of(lambda: checks.verify_bundle(made, DIGEST, [formats.COSIGN_SIGN])) == ""
    assert code_of(lambda: checks.verify_bundle(made, DIGEST, ["https://spdx.dev/Document"])) == "predicate-type"


def test_the_same_verifier_judges_again_and_again(mini: MiniSigstore) -> None:
    checks = verifier(mini.trusted_root())
    layer, payload = mini.legacy(Case(mini).certificate)
    bad = replace(layer, annotations={**layer.annotations, formats.ANNOTATION_CERTIFICATE: "nothing"})

    for _round in range(3):
        assert code_of(lambda: checks.verify_legacy(bad, payload, DIGEST)) == "malformed"
        assert code_of(lambda: checks.verify_legacy(layer, payload, DIGEST)) == ""


# -- signature, payload, digest


def test_a_signature_by_another_key_is_refused(mini: MiniSigstore) -> None:
    case, other = Case(mini), new_key()
    pae = formats.pre_authentication_encoding(formats.IN_TOTO, statement())

    assert code_of(lambda: case.legacy(signature=sign(other, claim()))) == "bad-signature"
    assert code_of(lambda: case.bundle(signature=sign(other, pae))) == "bad-signature"


def test_a_signature_for_another_digest_is_refused(mini: MiniSigstore) -> None:
    case, other = Case(mini), "sha256:" + "cd" * 32

    assert code_of(lambda: case.legacy(payload=claim(other))) == "digest-mismatch"
    assert code_of(lambda: case.bundle(payload=statement(other))) == "digest-mismatch"


def test_a_payload_of_another_type_is_refused(mini: MiniSigstore) -> None:
    case = Case(mini)

    assert code_of(lambda: case.legacy(payload=claim(type="something else"))) == "payload-type"
    assert code_of(lambda: case.bundle(payload_type="text/plain")) == "payload-type"


def test_the_curves_own_hash_counts_in_bundles_only(mini: MiniSigstore) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    case = Case(mini, key=key)
    pae = formats.pre_authentication_encoding(formats.IN_TOTO, statement())

    assert code_of(lambda: case.bundle(signature=sign(key, pae, hashes.SHA384()))) == ""
    assert code_of(lambda: case.legacy(signature=sign(key, claim(), hashes.SHA384()))) == "bad-signature"


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_certificate_may_have_another_kind_of_key(mini: MiniSigstore, kind: str) -> None:
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    case = Case(mini, key=key)
    pae = formats.pre_authentication_encoding(formats.IN_TOTO, statement())

    assert code_of(lambda: case.legacy(signature=sign(key, claim()))) == ""
    assert code_of(lambda: case.bundle(signature=sign(key, pae))) == ""


@pytest.mark.parametrize("kind", ["rsa", "p224"])
def test_a_certificate_with_a_weak_key_is_refused(mini: MiniSigstore, kind: str) -> None:
    key: Any = rsa.generate_private_key(65537, 1024) if kind == "rsa" else ec.generate_private_key(ec.SECP224R1())
    case = Case(mini, key=key)
    pae = formats.pre_authentication_encoding(formats.IN_TOTO, statement())

    assert code_of(lambda: case.legacy(signature=sign(key, claim()))) == "untrusted-certificate"
    assert code_of(lambda: case.bundle(signature=sign(key, pae))) == "untrusted-certificate"


def test_a_key_id_has_to_be_that_of_the_certificates_key(mini: MiniSigstore) -> None:
    case = Case(mini)
    made = mini.bundle(case.certificate)
    wire = case.certificate.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
    own = b64(hashlib.sha256(base64.b64decode(wire)).digest()).rstrip("=")
    checks = verifier(mini.trusted_root())

    for key_id, code in (("", ""), (f"SHA256:{own}", ""), ("another", "bad-signature")):
        made["dsseEnvelope"]["signatures"][0]["keyid"] = key_id
        assert code_of(lambda: checks.verify_bundle(parsed(made), DIGEST)) == code


# -- material that is missing, too large or of the wrong kind


def test_legacy_material_that_is_missing(mini: MiniSigstore) -> None:
    layer, payload = mini.legacy(Case(mini).certificate)
    checks = verifier(mini.trusted_root())

    def without(name: str, value: str | None = None) -> str:
        annotations = {key: text for key, text in layer.annotations.items() if key != name}
        if value is not None:
            annotations[name] = value
        return code_of(lambda: checks.verify_legacy(replace(layer, annotations=annotations), payload, DIGEST))

    for value in (None, ""):
        assert without(formats.ANNOTATION_SIGNATURE, value) == "malformed"
        assert without(formats.ANNOTATION_CERTIFICATE, value) == "no-certificate"
        assert without(formats.ANNOTATION_BUNDLE, value) == "tlog"
    huge = "A" * (keyless.MAX_ANNOTATION + 1)
    for name in (formats.ANNOTATION_SIGNATURE, formats.ANNOTATION_CERTIFICATE, formats.ANNOTATION_BUNDLE):
        assert without(name, huge) == "too-large"
    assert code_of(lambda: checks.verify_legacy(layer, payload + b" " * formats.MAX_PAYLOAD, DIGEST)) == "too-large"


def test_the_chain_annotation_is_no_anchor(mini: MiniSigstore) -> None:
    stranger = MiniSigstore()
    case = Case(mini, issuer=stranger.intermediate)
    layer, payload = mini.legacy(case.certificate)
    chain = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in (stranger.intermediate, stranger.root))
    annotations = {**layer.annotations, "dev.sigstore.cosign/chain": chain.decode("ascii")}
    checks = verifier(mini.trusted_root())

    code = code_of(lambda: checks.verify_legacy(replace(layer, annotations=annotations), payload, DIGEST))

    assert code == "untrusted-certificate"


def test_a_bundle_without_certificate_or_envelope_is_refused(mini: MiniSigstore) -> None:
    checks = verifier(mini.trusted_root())
    keyed = mini.bundle(Case(mini).certificate)
    keyed["verificationMaterial"] = {"publicKey": {"hint": "a"}}
    message = mini.bundle(Case(mini).certificate)
    del message["dsseEnvelope"]
    message["messageSignature"] = {"messageDigest": {"algorithm": "SHA2_256", "digest": ""}, "signature": ""}

    assert code_of(lambda: checks.verify_bundle(parsed(keyed), DIGEST)) == "no-certificate"
    with pytest.raises(Rejected, match="message signature") as caught:
        checks.verify_bundle(parsed(message), DIGEST)
    assert caught.value.code == "malformed"


# -- the log entry is about this signature


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def test_a_legacy_entry_of_anything_else_is_refused(mini: MiniSigstore) -> None:
    case = Case(mini)
    signature, encoded = sign(mini.key, claim()), pem(case.certificate)
    other = pem(mini.issue(Leaf()))
    bodies = [
        hashedrekord(sign(mini.key, claim()), claim(), encoded),
        hashedrekord(signature, claim(), other),
        hashedrekord(signature, b"another payload", encoded),
        hashedrekord(signature, claim(), encoded, data={"hash": {"algorithm": "sha512", "value": "00" * 64}}),
        dsse(signature, claim(), encoded),
    ]

    assert code_of(lambda: case.legacy(signature=signature, body=hashedrekord(signature, claim(), encoded))) == ""
    for body in bodies:
        assert code_of(lambda b=body: case.legacy(signature=signature, body=b)) == "tlog"  # type: ignore[misc]


@pytest.mark.parametrize("kind", [dsse, intoto])
def test_a_bundles_entry_of_anything_else_is_refused(mini: MiniSigstore, kind: Callable[..., bytes]) -> None:
    case = Case(mini)
    pae = formats.pre_authentication_encoding(formats.IN_TOTO, statement())
    signature, encoded = sign(mini.key, pae), pem(case.certificate)
    bodies = [
        kind(sign(mini.key, pae), statement(), encoded),
        kind(signature, statement(), pem(mini.issue(Leaf()))),
        kind(signature, b"another payload", encoded),
        kind(signature, statement(), encoded, payloadHash={"algorithm": "sha512", "value": "00" * 64}),
        hashedrekord(signature, statement(), encoded),
    ]

    assert code_of(lambda: case.bundle(signature=signature, body=kind(signature, statement(), encoded))) == ""
    for body in bodies:
        assert code_of(lambda b=body: case.bundle(signature=signature, body=b)) == "tlog"  # type: ignore[misc]


def test_a_rekor_2_entry_of_anything_else_is_refused(mini: MiniSigstore) -> None:
    case = Case(mini)
    pae = formats.pre_authentication_encoding(formats.IN_TOTO, statement())
    signature, encoded = sign(mini.key, pae), case.certificate.public_bytes(Encoding.DER)
    bodies = [
        hashedrekord_v2(sign(mini.key, pae), pae, encoded),
        hashedrekord_v2(signature, pae, mini.issue(Leaf()).public_bytes(Encoding.DER)),
        hashedrekord_v2(signature, statement(), encoded),
        hashedrekord_v2(signature, pae, encoded, data={"algorithm": "SHA2_512", "digest": b64(b"x" * 64)}),
    ]

    assert code_of(lambda: case.bundle(signature=signature, body=hashedrekord_v2(signature, pae, encoded))) == ""
    for body in bodies:
        assert code_of(lambda b=body: case.bundle(signature=signature, body=b)) == "tlog"  # type: ignore[misc]


def test_an_entry_with_several_signatures_is_refused(mini: MiniSigstore) -> None:
    case = Case(mini)
    pae = formats.pre_authentication_encoding(formats.IN_TOTO, statement())
    signature, encoded = sign(mini.key, pae), pem(case.certificate)
    one = {"signature": b64(signature), "verifier": b64(encoded)}

    other = {"sig": b64(b64(signature).encode("ascii")), "publicKey": b64(encoded)}
    envelope = {"payloadType": formats.IN_TOTO, "signatures": [other, other]}

    for body in (
        dsse(signature, statement(), encoded, signatures=[one, one]),
        intoto(signature, statement(), encoded, envelope=envelope),
    ):
        assert code_of(lambda b=body: case.bundle(signature=signature, body=b)) == "malformed"  # type: ignore[misc]


# -- one entry of several


def two_entries(mini: MiniSigstore, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    made = mini.bundle(mini.issue(Leaf()))
    entries = made["verificationMaterial"]["tlogEntries"]
    second = copy.deepcopy(entries[0])
    change(second)
    entries.insert(0, second)
    return made


def test_one_good_entry_is_enough(mini: MiniSigstore) -> None:
    def foreign_log(entry: dict[str, Any]) -> None:
        entry["logId"]["keyId"] = b64(b"x" * 32)

    def bad_promise(entry: dict[str, Any]) -> None:
        entry["logIndex"] = "1001"

    checks = verifier(mini.trusted_root())
    for change in (foreign_log, bad_promise):
        made = two_entries(mini, change)
        assert code_of(lambda m=made: checks.verify_bundle(parsed(m), DIGEST)) == ""  # type: ignore[misc]


def test_the_same_entry_twice_is_refused(mini: MiniSigstore) -> None:
    made = two_entries(mini, lambda _entry: None)

    assert code_of(lambda: verifier(mini.trusted_root()).verify_bundle(parsed(made), DIGEST)) == "tlog"


def test_no_entry_or_none_with_a_time_is_refused(mini: MiniSigstore) -> None:
    checks = verifier(mini.trusted_root())
    made = mini.bundle(mini.issue(Leaf()))
    del made["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]

    assert code_of(lambda: checks.verify_bundle(parsed(made), DIGEST)) == "tlog"
    made["verificationMaterial"]["tlogEntries"] = []
    with pytest.raises(Rejected, match="has no log entry") as caught:
        checks.verify_bundle(parsed(made), DIGEST)
    assert caught.value.code == "tlog"


def test_timestamps_beside_a_promise_are_not_looked_at(mini: MiniSigstore) -> None:
    """As for cosign; so the package sigstore is not needed for such a bundle."""
    made = mini.bundle(mini.issue(Leaf()))
    made["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": "AAAA"}]}

    assert code_of(lambda: verifier(mini.trusted_root()).verify_bundle(parsed(made), DIGEST)) == ""


# -- the time is the log's, not now


def test_the_certificate_has_to_be_valid_when_the_log_took_it_in(mini: MiniSigstore) -> None:
    case = Case(mini)
    for time, code in (
        (NOW - MINUTE, "expired-certificate"),
        (NOW - MINUTE / 2, ""),
        (NOW + 9 * MINUTE, ""),
        (NOW + 9 * MINUTE + datetime.timedelta(seconds=1), "expired-certificate"),
    ):
        assert code_of(lambda t=time: case.legacy(time=t)) == code  # type: ignore[misc]
        assert code_of(lambda t=time: case.bundle(time=t)) == code  # type: ignore[misc]


def test_a_window_includes_both_of_its_ends(mini: MiniSigstore) -> None:
    case = Case(mini)
    at, after, before = "2025-06-01T12:00:30Z", "2025-06-01T12:00:31Z", "2025-06-01T12:00:29.999999999Z"
    for name, code in (("ca", "untrusted-certificate"), ("rekor", "tlog"), ("ct", "sct")):
        for window, expected in (
            ({"start": at}, ""),
            ({"end": at}, ""),
            ({"start": at, "end": at}, ""),
            ({"start": after}, code),
            ({"end": before}, code),
        ):
            root = mini.trusted_root(windows={name: window})
            assert case.codes(root) == (expected, expected), (name, window)


def test_an_expired_root_is_named_where_it_is_the_cause(mini: MiniSigstore) -> None:
    case = Case(mini)
    ended = {"end": "2025-05-01T00:00:00Z"}
    layer, payload = mini.legacy(case.certificate)
    for name, kind in (
        ("ca", "the last certificate authority in it was in use until 2025-05-01"),
        ("rekor", "the last transparency log in it was in use until 2025-05-01"),
        ("ct", "the last certificate transparency log in it was in use until 2025-05-01"),
    ):
        checks = verifier(mini.trusted_root(windows={name: ended}), now=NOW)
        with pytest.raises(Rejected, match=f"The trusted root has expired: {kind}"):
            checks.verify_legacy(layer, payload, DIGEST)


def test_an_expired_root_still_verifies_what_was_signed_before(mini: MiniSigstore) -> None:
    ended = {"end": "2025-06-02T00:00:00Z"}
    root = mini.trusted_root(windows={"ca": ended, "rekor": ended, "ct": ended})
    layer, payload = mini.legacy(Case(mini).certificate)
    checks = verifier(root, now=NOW + datetime.timedelta(days=1000))

    assert code_of(lambda: checks.verify_legacy(layer, payload, DIGEST)) == ""
    with pytest.raises(Rejected) as caught:
        checks.verify_legacy(layer, payload + b" ", DIGEST)
    assert "expired" not in caught.value.message


def test_a_root_that_has_not_expired_is_not_blamed(mini: MiniSigstore) -> None:
    old = MiniSigstore().log(new_key(), {"end": "2025-01-01T00:00:00Z"})
    root = mini.trusted_root()
    root["tlogs"].append(old)
    layer, payload = mini.legacy(Case(mini).certificate, log={"logID": "ab" * 32})

    with pytest.raises(Rejected) as caught:
        verifier(root, now=NOW).verify_legacy(layer, payload, DIGEST)
    assert (caught.value.code, "expired" in caught.value.message) == ("tlog", False)


def test_a_log_may_have_several_keys_with_windows_of_their_own(mini: MiniSigstore) -> None:
    """One log id twice: the entry in use at the time counts, in whatever order they come."""
    ended = mini.log(mini.rekor_key, {"end": "2025-01-01T00:00:00Z"})
    other = mini.log(new_key(), {})
    other["logId"] = ended["logId"]
    for extra in (ended, other):
        for first in (True, False):
            root = mini.trusted_root()
            root["tlogs"].insert(0 if first else 1, extra)
            assert Case(mini).codes(root) == ("", "")


# -- the policy


def test_a_policy_is_refused_before_anything_is_verified(mini: MiniSigstore) -> None:
    good = json.dumps(mini.trusted_root())
    for policy in (
        VerifyPolicy(trusted_root=good),
        VerifyPolicy(identities=[WANTED], any_identity=True, trusted_root=good),
        VerifyPolicy(identities=[Identity("(", ".*")], trusted_root=good),
        VerifyPolicy(identities=[WANTED], trusted_root="{}"),
        VerifyPolicy(identities=[WANTED], trusted_root="/nowhere/trusted_root.json"),
    ):
        with pytest.raises(InvalidPolicy):
            KeylessVerifier(policy)


def test_any_identity_accepts_whoever_the_root_vouches_for(mini: MiniSigstore, tmp_path: Path) -> None:
    path = tmp_path / "trusted_root.json"
    path.write_text(json.dumps(mini.trusted_root()), encoding="utf-8")
    checks = KeylessVerifier(VerifyPolicy(any_identity=True, trusted_root=str(path)))
    anybody = Leaf(names=[x509.RFC822Name("anybody@example.org")])
    layer, payload = mini.legacy(mini.issue(anybody))

    assert checks.verify_legacy(layer, payload, DIGEST).subject == "anybody@example.org"
    stranger = MiniSigstore()
    layer, payload = stranger.legacy(stranger.issue(anybody))
    assert code_of(lambda: checks.verify_legacy(layer, payload, DIGEST)) == "tlog"


def test_warnings_name_identities_that_accept_more(mini: MiniSigstore) -> None:
    checks = verifier(mini.trusted_root(), WANTED, Identity("issuer", "^a$"))

    (warning,) = checks.warnings
    assert "'issuer' of identity 2" in warning


# -- bounds, and what a refusal says


def test_without_the_library(mini: MiniSigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDependency, match="Keyless verification needs"):
        verifier(mini.trusted_root())


def test_lengths_that_are_just_allowed(mini: MiniSigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, payload = mini.legacy(Case(mini).certificate)
    checks = verifier(mini.trusted_root())
    longest = max(len(value) for value in layer.annotations.values())
    for module, name, size in ((formats, "MAX_PAYLOAD", len(payload)), (keyless, "MAX_ANNOTATION", longest)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, size)
            assert code_of(lambda: checks.verify_legacy(layer, payload, DIGEST)) == ""
            patch.setattr(module, name, size - 1)
            assert code_of(lambda: checks.verify_legacy(layer, payload, DIGEST)) == "too-large"


def test_whether_a_root_has_expired_is_asked_of_the_time_that_is_given(mini: MiniSigstore) -> None:
    root = mini.trusted_root(windows={"rekor": {"end": "2025-05-01T00:00:00Z"}})
    layer, payload = mini.legacy(Case(mini).certificate)
    for days, expired in ((-365, False), (0, True)):
        checks = verifier(root, now=NOW + datetime.timedelta(days=days))
        with pytest.raises(Rejected) as caught:
            checks.verify_legacy(layer, payload, DIGEST)
        assert ("expired" in caught.value.message) is expired
        assert not caught.value.message.rstrip().endswith(".")


def test_a_certificate_of_a_bundle_may_have_either_alphabet(mini: MiniSigstore) -> None:
    for _attempt in range(1000):
        made = mini.bundle(Case(mini).certificate)
        encoded = made["verificationMaterial"]["certificate"]["rawBytes"]
        if set("+/") & set(encoded):
            break
    made["verificationMaterial"]["certificate"]["rawBytes"] = encoded.replace("+", "-").replace("/", "_")
    assert code_of(lambda: verifier(mini.trusted_root()).verify_bundle(parsed(made), DIGEST)) == ""


def test_the_first_entry_that_is_refused_gives_the_code_and_three_are_named(mini: MiniSigstore) -> None:
    made = mini.bundle(Case(mini).certificate)
    material = made["verificationMaterial"]
    good = material["tlogEntries"][0]
    entries = []
    for number in range(4):
        entry = copy.deepcopy(good)
        entry["logIndex"] = str(number)
        entry["logId"] = {"keyId": b64(bytes([number]) * 32)}
        entries.append(entry)
    material["tlogEntries"] = entries
    with pytest.raises(Rejected) as caught:
        verifier(mini.trusted_root()).verify_bundle(parsed(made), DIGEST)
    assert caught.value.code == "tlog"
    assert [f"{number:02x}" * 32 in caught.value.message for number in range(4)] == [True, True, True, False]


def test_of_two_refused_entries_the_first_gives_the_code(mini: MiniSigstore) -> None:
    made = mini.bundle(Case(mini).certificate)
    material = made["verificationMaterial"]
    (good,) = material["tlogEntries"]
    body = base64.b64decode(good["canonicalizedBody"])
    late = mini.entry(body, NOW + datetime.timedelta(hours=1), index=77)
    unknown = {**copy.deepcopy(good), "logId": {"keyId": b64(b"x" * 32)}}
    for entries, code in (([late, unknown], "expired-certificate"), ([unknown, late], "tlog")):
        material["tlogEntries"] = entries
        assert code_of(lambda: verifier(mini.trusted_root()).verify_bundle(parsed(made), DIGEST)) == code

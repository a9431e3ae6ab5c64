# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyless attestations under cosign's tag: each check against an attestation that fails only there."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import VerificationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.attestations import expand_predicate_type
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import DSSE_ENVELOPE, CosignVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.formats import Document
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keyless import MAX_ANNOTATION
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.signing_time import ANNOTATION_TIMESTAMP
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected, as_result

from .mini_sigstore import DIGEST, ISSUER, MINUTE, NOW, SUBJECT, Leaf, MiniSigstore, b64, new_key, sign, statement
from .mini_tsa import MiniTsa
from .test_budget import Place, public_pem
from .test_keyless import verifier

SLSA = "https://slsa.dev/provenance/v0.2"
KINDS = ["dsse", "intoto", "intoto 0.0.1"]
OTHER = {"algorithm": "sha256", "value": "00" * 32}


@pytest.fixture(scope="module")
def mini() -> MiniSigstore:
    return MiniSigstore()


@pytest.fixture(scope="module")
def certificate(mini: MiniSigstore) -> Any:
    return mini.issue(Leaf())


def verify(mini: MiniSigstore, layer: Descriptor, raw: bytes, digest: str = DIGEST) -> Any:
    checks = verifier(mini.trusted_root())
    document = Document(raw, hashlib.sha256(raw).hexdigest())
    return checks.verify_attestation(layer, document, formats.parse_envelopes(document), digest)


def problem(mini: MiniSigstore, layer: Descriptor, raw: bytes, digest: str = DIGEST) -> str:
    with pytest.raises(Rejected) as caught:
        verify(mini, layer, raw, digest)
    return f"{caught.value.code}: {caught.value.message}"


@pytest.mark.parametrize("kind", KINDS)
def test_who_made_it(mini: MiniSigstore, certificate: Any, kind: str) -> None:
    signer, found = verify(mini, *mini.attestation(certificate, kind=kind))
    assert (signer.issuer, signer.subject, signer.format) == (ISSUER, SUBJECT, "legacy")
    assert signer.signed_at == "2025-06-01T12:00:30Z"
    assert signer.predicate_type == found.predicate_type == SLSA


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_entry_about_something_else(mini: MiniSigstore, certificate: Any, kind: str) -> None:
    """Anyone can put an entry into the log, and lay one of others beside an attestation."""
    name = "envelopeHash" if kind == "dsse" else "hash"
    for field in (name, "payloadHash"):
        wrong = mini.attestation(certificate, kind=kind, changes={field: OTHER})
        assert problem(mini, *wrong) == "tlog: The log entry is for another content"
        sha1 = mini.attestation(certificate, kind=kind, changes={field: {**OTHER, "algorithm": "sha1"}})
        assert problem(mini, *sha1).startswith("tlog: ")
    layer, raw = mini.attestation(certificate, kind=kind)
    # the log entry of another envelope by the same signer, and of another signer's
    other_content = mini.attestation(certificate, statement(predicateType="x"), kind=kind)[0]
    stranger = mini.attestation(mini.issue(Leaf(), new_key()), kind=kind)[0]
    for entry_of in (other_content, stranger):
        annotations = {**layer.annotations, formats.ANNOTATION_BUNDLE: entry_of.annotations[formats.ANNOTATION_BUNDLE]}
        assert problem(mini, replace(layer, annotations=annotations), raw).startswith(
            "tlog: The log entry is for another"
        )


def test_the_signature_in_the_entry(mini: MiniSigstore, certificate: Any) -> None:
    """The log has checked nothing else of an entry of intoto 0.0.2: its hash of the envelope is the client's."""
    payload = statement(predicateType=SLSA)
    signed = formats.pre_authentication_encoding(formats.IN_TOTO, payload)
    first, second = sign(mini.key, signed), sign(mini.key, signed)
    pem = b64(mini.attestation(certificate)[0].annotations[formats.ANNOTATION_CERTIFICATE].encode("ascii"))
    for kind, changes in (
        ("dsse", {"signatures": [{"signature": b64(second), "verifier": pem}]}),
        ("intoto", {"envelope": {"signatures": [{"sig": b64(b64(second).encode("ascii")), "publicKey": pem}]}}),
    ):
        wrong = mini.attestation(certificate, payload, kind=kind, signature=first, changes=changes)
        assert problem(mini, *wrong) == "tlog: The log entry is for another signature"


def test_entries_of_other_kinds(mini: MiniSigstore, certificate: Any) -> None:
    assert "the kind 'hashedrekord 0.0.1', which is not supported for attestations" in problem(
        mini, *mini.attestation(certificate, kind="hashedrekord")
    )
    # old ones of intoto 0.0.1 have no hash of the payload
    assert verify(mini, *mini.attestation(certificate, kind="intoto 0.0.1", changes={"payloadHash": None}))


def test_what_is_missing_or_too_long(mini: MiniSigstore, certificate: Any) -> None:
    layer, raw = mini.attestation(certificate)

    def without(name: str, value: str = "") -> str:
        return problem(mini, replace(layer, annotations={**layer.annotations, name: value}), raw)

    assert without(formats.ANNOTATION_CERTIFICATE).startswith("no-certificate: ")
    assert without(formats.ANNOTATION_BUNDLE) == "tlog: The signature has no log entry; none is looked up online"
    for name in (formats.ANNOTATION_CERTIFICATE, formats.ANNOTATION_BUNDLE):
        assert without(name, " " * (MAX_ANNOTATION + 1)).startswith("too-large: ")
    assert without(formats.ANNOTATION_BUNDLE, " " * MAX_ANNOTATION).startswith("malformed: ")
    for wrong in ("no json", "[]", "{}", '{"Payload": {}}', '{"Payload": null, "SignedEntryTimestamp": ""}'):
        assert without(formats.ANNOTATION_BUNDLE, wrong).startswith("malformed: ")


def test_signature_time_chain_and_identity(mini: MiniSigstore, certificate: Any) -> None:
    assert problem(mini, *mini.attestation(certificate, signature=b"x" * 70)).startswith("bad-signature: ")
    late = mini.attestation(certificate, time=NOW + 20 * MINUTE)
    assert problem(mini, *late).startswith("expired-certificate: ")
    rogue = MiniSigstore()
    other_authority = mini.issue(Leaf(), issuer=rogue.intermediate)
    assert problem(mini, *mini.attestation(other_authority)).startswith("untrusted-certificate: ")
    assert problem(mini, *mini.attestation(mini.issue(Leaf(scts=())))).startswith("sct: ")
    other_log, raw = rogue.attestation(rogue.issue(Leaf()))
    assert problem(mini, other_log, raw).startswith("tlog: The trusted root does not have the transparency log")
    stranger = Leaf(issuer=b"https://other.example.com", issuer_v2=None)
    assert problem(mini, *mini.attestation(mini.issue(stranger))).startswith("identity: ")


def test_what_was_signed(mini: MiniSigstore, certificate: Any) -> None:
    layer, raw = mini.attestation(certificate)
    assert problem(mini, layer, raw, "sha256:" + "1" * 64).startswith("digest-mismatch: ")
    other_type = mini.attestation(certificate, payload_type="text/plain")
    assert problem(mini, *other_type).startswith("payload-type: ")
    # with several subjects, as of a build that publishes several images
    subjects = [{"name": str(number), "digest": {"sha256": f"{number:064x}"}} for number in range(3)]
    several = statement(predicateType=SLSA, subject=[*subjects, {"name": "it", "digest": {"sha256": DIGEST[7:]}}])
    assert verify(mini, *mini.attestation(certificate, several))[1].predicate_type == SLSA


# As part of a verification


def place_with(mini: MiniSigstore, certificate: Any, **changes: Any) -> Any:
    place = Place()
    payload = statement(place.digest, predicateType=SLSA, predicate={"builder": {"id": "x"}})
    layer, raw = mini.attestation(certificate, payload, **changes)
    place.tag(".att", [{**place.blob(raw, DSSE_ENVELOPE), "annotations": dict(layer.annotations)}])
    return place


def check(mini: MiniSigstore, place: Any, **policy: Any) -> Any:
    identities = [{"issuer": f"^{ISSUER}$", "subject": f"^{SUBJECT}$"}]
    options = {"identities": identities, "trusted_root": json.dumps(mini.trusted_root()), **policy}
    return CosignVerifier(parse_policy(options)).verify(place, place.digest)


def test_provenance_alone_satisfies_a_policy_that_asks_for_it(mini: MiniSigstore, certificate: Any) -> None:
    place = place_with(mini, certificate, kind="intoto 0.0.1")
    rule = {"type": "slsaprovenance", "match": {"builder.id": "x"}, "predicate": True}
    verdict = check(mini, place, attestations=[rule])
    (signer,) = as_result(verdict)["signers"]
    assert signer["subject"] == SUBJECT and signer["predicate"] == {"builder": {"id": "x"}}
    assert signer["found_in"] == place.manifests[place.digest.replace(":", "-") + ".att"].layers[0].digest
    # four requests: what is not there, the list of referrers, the tag and its layer
    assert place.fetched[-2:] == [place.digest.replace(":", "-") + suffix for suffix in (".sig", ".att")]
    assert check(mini, place, predicate_types=["slsaprovenance"]).verified
    assert expand_predicate_type("slsaprovenance") == (SLSA,)


def test_keys_and_certificates_under_one_tag(mini: MiniSigstore, certificate: Any) -> None:
    place = place_with(mini, certificate)
    rule = {"attestations": [{"type": "slsaprovenance"}]}

    def codes(**policy: Any) -> list[str]:
        with pytest.raises(VerificationFailed) as caught:
            check(mini, place, **rule, **policy)
        return [each["code"] for each in caught.value.details["verification"]["refused"]]

    pem = public_pem(new_key())
    assert codes(public_keys=[pem], identities=[]) == ["not-keyed"]
    assert check(mini, place, **rule, public_keys=[pem]).verified
    # the key of the certificate, as a key: then the certificate proves nothing, and need not
    own = public_pem(mini.key)
    (signer,) = check(mini, place, **rule, public_keys=[own], identities=[]).signers
    assert (signer.source, signer.issuer) == ("key 1", "")
    layer = place.manifests[place.digest.replace(":", "-") + ".att"].layers[0]
    place.tag(".att", [{**layer.as_json(), "annotations": {}}])
    assert codes() == ["no-certificate"]
    assert codes(public_keys=[pem]) == ["bad-signature"]


def test_an_envelope_with_several_signatures(mini: MiniSigstore, certificate: Any) -> None:
    """cosign accepts one of them."""
    place = Place()
    payload = statement(place.digest, predicateType=SLSA)
    signed = formats.pre_authentication_encoding(formats.IN_TOTO, payload)
    keys = [new_key() for _key in range(3)]
    document: dict[str, Any] = {
        "payloadType": formats.IN_TOTO,
        "payload": b64(payload),
        "signatures": [{"keyid": "", "sig": b64(sign(key, signed))} for key in keys],
        "another": "field",
    }
    rule = {"attestations": [{"type": "slsaprovenance"}], "identities": []}
    for count, accepted in ((3, True), (32, True), (33, False), (0, False)):
        document["signatures"] = (document["signatures"] * 11)[:count]
        place.tag(".att", [place.blob(json.dumps(document).encode("ascii"), DSSE_ENVELOPE)])
        document["signatures"] = [{"keyid": "", "sig": b64(sign(key, signed))} for key in keys]
        for key in keys:
            policy = {**rule, "public_keys": [public_pem(key)]}
            if accepted:
                assert check(mini, place, **policy).verified
                continue
            with pytest.raises(VerificationFailed, match="does not have 1 to 32 signatures"):
                check(mini, place, **policy)


def test_base64_with_line_breaks(mini: MiniSigstore, certificate: Any) -> None:
    """Go's decoder ignores them, also where a JSON value holds bytes."""
    layer, raw = mini.attestation(certificate)
    entry = json.loads(layer.annotations[formats.ANNOTATION_BUNDLE])

    def broken(text: str) -> str:
        return base64.encodebytes(base64.b64decode(text)).decode("ascii").replace("\n", "\r\n")

    entry["SignedEntryTimestamp"] = broken(entry["SignedEntryTimestamp"])
    annotations = {**layer.annotations, formats.ANNOTATION_BUNDLE: json.dumps(entry)}
    assert verify(mini, replace(layer, annotations=annotations), raw)
    document = json.loads(raw)
    document["payload"] = broken(document["payload"])
    document["signatures"][0]["sig"] = broken(document["signatures"][0]["sig"])
    (envelope,) = formats.parse_envelopes(Document(json.dumps(document).encode("ascii")))
    (wanted,) = formats.parse_envelopes(Document(raw))
    assert envelope == wanted
    for text in ("QQ=\n=", "\nQ\r\nQ==\n", "QQ=="):
        assert formats.decode_base64(text, "It") == b"A"
        assert formats.decode_base64(text.rstrip("=\n"), "It", any_alphabet=True) == b"A"
    for text in ("Q Q==", "QQ==\t", "Q\x0bQ==", "Q", "QQ==QQ=="):
        with pytest.raises(Rejected, match="It is not base64"):
            formats.decode_base64(text, "It")


# With roots that have a timestamp authority, and with one's own authorities


def test_a_timestamp_is_about_the_whole_envelope(mini: MiniSigstore, certificate: Any) -> None:
    """cosign, VerifyRFC3161Timestamp: not about the signature, as for everything else."""
    tsa = MiniTsa(NOW)
    root = {**mini.trusted_root(), "tlogs": [], "timestampAuthorities": [tsa.authority()]}
    layer, raw = mini.attestation(certificate)
    document = Document(raw, hashlib.sha256(raw).hexdigest())
    (envelope,) = formats.parse_envelopes(document)

    def verified(stamped: bytes | None) -> Any:
        annotations = {**layer.annotations, formats.ANNOTATION_BUNDLE: ""}
        if stamped is not None:
            stamp = {"SignedRFC3161Timestamp": tsa.stamp(stamped, NOW)["signedTimestamp"]}
            annotations[ANNOTATION_TIMESTAMP] = json.dumps(stamp)
        checks = verifier(root)
        return checks.verify_attestation(replace(layer, annotations=annotations), document, [envelope], DIGEST)

    assert verified(raw)[0].signed_at == "2025-06-01T12:00:30Z"
    for stamped in (envelope.signature, raw + b" ", None):
        with pytest.raises(Rejected) as caught:
            verified(stamped)
        assert caught.value.code == "timestamp"

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trusted roots that lack something, several roots in one file, and timestamps in place of a log."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats, trusted_root
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keyless import KeylessVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import Identity, VerifyPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.signing_time import ANNOTATION_TIMESTAMP
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected, Signer

from .mini_sigstore import DIGEST, MINUTE, NOW, Leaf, MiniSigstore, b64, hashedrekord_v2, sign, statement
from .mini_tsa import MiniTsa

WANTED = Identity(r"^https://issuer\.example\.com$", r"^release@example\.com$")


@pytest.fixture(name="mini", scope="module")
def _mini() -> MiniSigstore:
    return MiniSigstore()


@pytest.fixture(name="tsa", scope="module")
def _tsa() -> MiniTsa:
    return MiniTsa(NOW)


class Signed:
    """A bundle and a legacy signature, with or without a log entry and a timestamp."""

    def __init__(self, mini: MiniSigstore, leaf: Leaf | None = None) -> None:
        self.mini = mini
        self.certificate = mini.issue(leaf or Leaf())
        self.made = mini.bundle(self.certificate)
        self.signature = base64_decode(self.made["dsseEnvelope"]["signatures"][0]["sig"])

    def bundle(self, *stamps: Mapping[str, str], log: bool = True) -> dict[str, Any]:
        made = copy.deepcopy(self.made)
        material = made["verificationMaterial"]
        if not log:
            del material["tlogEntries"]
        if stamps:
            material["timestampVerificationData"] = {"rfc3161Timestamps": list(stamps)}
        return made

    def legacy(self, stamp: Callable[[bytes], Mapping[str, str]] | None, log: bool = True) -> tuple[Descriptor, bytes]:
        layer, payload = self.mini.legacy(self.certificate)
        annotations = dict(layer.annotations)
        if not log:
            del annotations[formats.ANNOTATION_BUNDLE]
        if stamp is not None:
            signature = base64_decode(annotations[formats.ANNOTATION_SIGNATURE])
            given = {"SignedRFC3161Timestamp": stamp(signature)["signedTimestamp"]}
            annotations[ANNOTATION_TIMESTAMP] = json.dumps(given)
        return replace(layer, annotations=annotations), payload


def base64_decode(text: str) -> bytes:
    return formats.decode_base64(text, "It")


def verifier(*roots: Mapping[str, Any]) -> KeylessVerifier:
    text = "\n".join(json.dumps(root) for root in roots)
    return KeylessVerifier(VerifyPolicy(identities=(WANTED,), trusted_root=text), NOW + 1000 * MINUTE)


def judge(checks: KeylessVerifier, signed: Any) -> str:
    """The code of the refusal of a bundle or of a legacy signature; empty when it counts."""
    try:
        verified(checks, signed)
    except Rejected as exc:
        assert exc.message and not exc.message.endswith(".")
        return exc.code
    return ""


def verified(checks: KeylessVerifier, signed: Any) -> Signer:
    if isinstance(signed, tuple):
        return checks.verify_legacy(*signed, DIGEST)
    return checks.verify_bundle(formats.parse_bundle(json.dumps(signed).encode("utf-8")), DIGEST)[0]


def test_a_root_without_a_ct_log_demands_no_record_in_one(mini: MiniSigstore) -> None:
    unrecorded = Signed(mini, Leaf(scts=()))
    for made in (unrecorded.bundle(), unrecorded.legacy(None)):
        assert judge(verifier(mini.trusted_root(ctlogs=[])), made) == ""
        assert judge(verifier(mini.trusted_root()), made) == "sct"


def test_a_root_without_a_log_demands_a_timestamp(mini: MiniSigstore, tsa: MiniTsa) -> None:
    """As GitHub's, for the attestations of private repositories."""
    github = mini.trusted_root(tlogs=[], ctlogs=[], timestampAuthorities=[tsa.authority()])
    signed = Signed(mini, Leaf(scts=()))
    stamp = tsa.stamp(signed.signature, NOW + MINUTE)
    checks = verifier(github)

    for made in (
        signed.bundle(stamp, log=False),
        # an entry of a log that the root does not have says nothing
        signed.bundle(stamp),
        signed.legacy(lambda signature: tsa.stamp(signature, NOW + MINUTE), log=False),
    ):
        assert verified(checks, made).signed_at == "2025-06-01T12:01:30Z"
    for made in (signed.bundle(log=False), signed.bundle(), signed.legacy(None), signed.legacy(None, log=False)):
        assert judge(checks, made) == "timestamp"


def test_a_root_with_a_log_demands_its_entry(mini: MiniSigstore, tsa: MiniTsa) -> None:
    """Whatever the registry leaves out: the root decides, not what is sent."""
    checks = verifier(mini.trusted_root(timestampAuthorities=[tsa.authority()]))
    signed = Signed(mini)

    assert judge(checks, signed.bundle(tsa.stamp(signed.signature, NOW), log=False)) == "tlog"
    assert judge(checks, signed.legacy(lambda each: tsa.stamp(each, NOW), log=False)) == "tlog"
    assert judge(checks, signed.bundle(tsa.stamp(signed.signature, NOW))) == ""


def test_with_a_root_of_authorities_alone_certificates_are_valid_now(mini: MiniSigstore, tsa: MiniTsa) -> None:
    """As ``cosign trusted-root create --certificate-chain`` makes it: nobody else tells the time."""
    root = mini.trusted_root(tlogs=[], ctlogs=[])
    signed = Signed(mini, Leaf(scts=()))
    stamped = signed.bundle(tsa.stamp(signed.signature, NOW))

    for minutes, code in ((0, ""), (9, ""), (10, "expired-certificate"), (-1, "expired-certificate")):
        policy = VerifyPolicy(identities=(WANTED,), trusted_root=json.dumps(root))
        checks = KeylessVerifier(policy, NOW + minutes * MINUTE)
        for made in (stamped, signed.bundle(log=False), signed.legacy(None), signed.legacy(None, log=False)):
            assert judge(checks, made) == code
            if not code:
                signer = verified(checks, made)
                assert (signer.signed_at, signer.valid_until) == ("", (NOW + 9 * MINUTE).timestamp())


@pytest.mark.parametrize("minutes", [-1, 10])
def test_a_certificate_is_valid_at_every_proven_time(mini: MiniSigstore, tsa: MiniTsa, minutes: int) -> None:
    outside = NOW + minutes * MINUTE
    signed = Signed(mini)
    good, bad = tsa.stamp(signed.signature, NOW), tsa.stamp(signed.signature, outside)
    with_log = verifier(mini.trusted_root(timestampAuthorities=[tsa.authority()]))
    without = verifier(mini.trusted_root(tlogs=[], timestampAuthorities=[tsa.authority()]))

    assert judge(with_log, signed.bundle(good)) == judge(without, signed.bundle(good)) == ""
    for stamps in ([bad], [good, bad], [bad, good]):
        assert judge(with_log, signed.bundle(*stamps)) == "expired-certificate"
        assert judge(without, signed.bundle(*stamps)) == "expired-certificate"
    assert judge(with_log, signed.legacy(lambda each: tsa.stamp(each, outside))) == "expired-certificate"


def test_timestamps_that_prove_nothing_are_ignored(mini: MiniSigstore, tsa: MiniTsa) -> None:
    """As for cosign; they neither help nor harm."""
    signed, stranger = Signed(mini), MiniTsa(NOW, name="stranger")
    useless = [
        stranger.stamp(signed.signature, NOW + 100 * MINUTE),
        tsa.stamp(b"another signature", NOW + 100 * MINUTE),
        {"signedTimestamp": "AAAA"},
    ]
    # the authority's certificate, and a key of somebody else
    useless.append(stranger.stamp(signed.signature, NOW, signer=tsa.certificate))
    good = tsa.stamp(signed.signature, NOW)
    with_log = verifier(mini.trusted_root(timestampAuthorities=[tsa.authority()]))
    without = verifier(mini.trusted_root(tlogs=[], timestampAuthorities=[tsa.authority()]))

    assert judge(with_log, signed.bundle(*useless)) == ""
    assert judge(without, signed.bundle(*useless)) == "timestamp"
    assert judge(without, signed.bundle(*useless, good)) == ""
    # where no authority could count they are not even read
    assert judge(verifier(mini.trusted_root()), signed.bundle(*useless, {})) == ""
    layer, payload = signed.legacy(None)
    damaged = replace(layer, annotations={**layer.annotations, ANNOTATION_TIMESTAMP: "{"}), payload
    assert judge(verifier(mini.trusted_root()), damaged) == ""
    assert judge(with_log, damaged) == "malformed"


def test_the_window_of_the_authority_that_has_signed(mini: MiniSigstore, tsa: MiniTsa) -> None:
    signed = Signed(mini)
    made = signed.bundle(tsa.stamp(signed.signature, NOW), log=False)
    windows = {"end": "2025-06-01T12:00:30Z"}, {"end": "2025-06-01T12:00:29Z"}, {"start": "2025-06-01T12:00:31Z"}
    unrelated = MiniTsa(NOW, name="unrelated").authority()

    codes = []
    for window in windows:
        root = mini.trusted_root(tlogs=[], timestampAuthorities=[tsa.authority(**window), unrelated])
        codes.append(judge(verifier(root), made))
    assert codes == ["", "timestamp", "timestamp"]


def test_an_authority_may_have_its_own_certificate_in_the_timestamp(mini: MiniSigstore, tsa: MiniTsa) -> None:
    """Then the root has only what issued it; where the root has it, no other will do."""
    signed = Signed(mini)
    made = signed.bundle(tsa.stamp(signed.signature, NOW), log=False)
    authority = tsa.authority()
    issuer_only = {**authority, "certChain": {"certificates": authority["certChain"]["certificates"][1:]}}
    sibling = MiniTsa(NOW)
    sibling.root_key, sibling.root = tsa.root_key, tsa.root
    sibling.certificate = sibling._certificate("sibling", "tsa root", sibling.key, (NOW - MINUTE, NOW + MINUTE), [])
    pinned = {**authority, "certChain": sibling.authority()["certChain"]}

    assert judge(verifier(mini.trusted_root(tlogs=[], timestampAuthorities=[issuer_only])), made) == ""
    assert judge(verifier(mini.trusted_root(tlogs=[], timestampAuthorities=[pinned])), made) == "timestamp"


# -- Rekor 2, whose entries have no time of their own


def rekor_2(mini: MiniSigstore, signed: Signed) -> dict[str, Any]:
    pae = formats.pre_authentication_encoding(formats.IN_TOTO, statement())
    body = hashedrekord_v2(signed.signature, pae, signed.certificate.public_bytes(Encoding.DER))
    made = mini.bundle(signed.certificate, signature=signed.signature, body=body)
    for entry in made["verificationMaterial"]["tlogEntries"]:
        del entry["inclusionPromise"], entry["integratedTime"]
    return made


def test_an_entry_of_rekor_2_needs_a_timestamp(mini: MiniSigstore, tsa: MiniTsa) -> None:
    signed = Signed(mini)
    made = rekor_2(mini, signed)
    root = mini.trusted_root(timestampAuthorities=[tsa.authority()])
    assert judge(verifier(root), made) == "tlog"
    stamp = tsa.stamp(signed.signature, NOW + MINUTE)
    made["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": [stamp]}

    assert verified(verifier(root), made).signed_at == "2025-06-01T12:01:30Z"
    assert judge(verifier(mini.trusted_root()), made) == "timestamp"
    ended = mini.trusted_root(
        timestampAuthorities=[tsa.authority()], windows={"rekor": {"end": "2025-06-01T12:01:29Z"}}
    )
    assert judge(verifier(ended), made) == "tlog"


def test_a_key_on_a_larger_curve_is_recorded_with_its_own_hash(mini: MiniSigstore, tsa: MiniTsa) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = mini.issue(Leaf(), key=key)
    pae = formats.pre_authentication_encoding(formats.IN_TOTO, statement())
    signature = sign(key, pae, hashes.SHA384())
    codes = []
    for algorithm, digest in (
        ("SHA2_384", hashlib.sha384(pae).digest()),
        ("SHA2_384", b"x" * 48),
        ("SHA3_384", hashlib.sha384(pae).digest()),
    ):
        data = {"algorithm": algorithm, "digest": b64(digest)}
        body = hashedrekord_v2(signature, pae, certificate.public_bytes(Encoding.DER), data=data)
        made = mini.bundle(certificate, signature=signature, body=body)
        made["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": [tsa.stamp(signature, NOW)]}
        codes.append(judge(verifier(mini.trusted_root(timestampAuthorities=[tsa.authority()])), made))
    assert codes == ["", "tlog", "tlog"]


# -- several roots, a line each


def test_one_root_has_to_be_satisfied_as_a_whole(mini: MiniSigstore, tsa: MiniTsa) -> None:
    """As ``gh attestation trusted-root`` writes them: nothing of one makes up for what another lacks."""
    other = MiniSigstore()
    first = other.trusted_root()
    second = mini.trusted_root(tlogs=[], ctlogs=[], timestampAuthorities=[tsa.authority()])
    both = verifier(first, second)
    stamped = Signed(mini, Leaf(scts=()))
    private = stamped.bundle(tsa.stamp(stamped.signature, NOW), log=False)
    public = Signed(other).bundle()

    assert judge(both, private) == judge(both, public) == ""
    assert judge(verifier(second, first), public) == ""
    # the other's authority with a timestamp of this one's
    mixed = Signed(other)
    assert judge(both, mixed.bundle(tsa.stamp(mixed.signature, NOW), log=False)) == "tlog"
    # and this one's authority with an entry of the other's log
    assert judge(both, Signed(mini).bundle()) == "timestamp"


def test_the_refusal_is_that_of_the_root_that_may_have_issued(mini: MiniSigstore, tsa: MiniTsa) -> None:
    other = MiniSigstore()
    root = mini.trusted_root(tlogs=[], timestampAuthorities=[tsa.authority()])
    made = Signed(mini).bundle(log=False)

    for roots in ((root, other.trusted_root()), (other.trusted_root(), root)):
        assert judge(verifier(*roots), made) == "timestamp"
    assert judge(verifier(other.trusted_root(), root), Signed(MiniSigstore()).bundle(log=False)) == "tlog"


def test_how_roots_are_read(mini: MiniSigstore, tsa: MiniTsa, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root = mini.trusted_root()
    for text, count in (
        (json.dumps(root), 1),
        (json.dumps(root, indent=2), 1),
        (f"{json.dumps(root)}\n", 1),
        (f"\n{json.dumps(root)}\n\n {json.dumps(root)}\n", 2),
    ):
        assert len(trusted_root.load_trusted_roots(text)) == count
        (tmp_path / "roots.jsonl").write_text(text, encoding="utf-8")
        assert len(trusted_root.load_trusted_roots(str(tmp_path / "roots.jsonl"))) == count
    for text in (f"{json.dumps(root)}\n{{}}", f'{json.dumps(root)}\n{{"a"', f"{json.dumps(root)} {json.dumps(root)}"):
        with pytest.raises(InvalidPolicy):
            trusted_root.load_trusted_roots(text)
    with pytest.raises(InvalidPolicy, match="root 2, cannot be used: it is of the type"):
        trusted_root.load_trusted_roots(f"{json.dumps(root)}\n{{}}")
    monkeypatch.setattr(trusted_root, "MAX_ROOTS", 2)
    with pytest.raises(InvalidPolicy, match="has 3 roots: at most 2"):
        trusted_root.load_trusted_roots("\n".join([json.dumps(root)] * 3))


def test_a_root_whose_timestamp_authorities_have_ended(mini: MiniSigstore, tsa: MiniTsa) -> None:
    ended = mini.trusted_root(tlogs=[], timestampAuthorities=[tsa.authority(end="2025-05-01T00:00:00Z")])
    signed = Signed(mini)
    made = signed.bundle(tsa.stamp(signed.signature, NOW), log=False)

    with pytest.raises(Rejected, match="the last timestamp authority in it was in use until 2025-05-01"):
        verified(verifier(ended), made)

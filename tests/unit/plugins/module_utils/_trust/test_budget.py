# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verification costs when others attach junk to an artifact, and that junk hides no good signature."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidContent,
    InvalidPolicy,
    NotFound,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.single_place import SinglePlace
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import budget, discovery, formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import DSSE_ENVELOPE, CosignVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation import NotationVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.provider_notation import verify_notation

from . import notation_lab as lab
from .test_cosign_keyed import OCI_MANIFEST, public_pem, simple_payload

MIB = 1024 * 1024
SPDX = "https://spdx.dev/Document"


class Place(SinglePlace):
    """A repository in memory, of which no more is needed; large blobs are made when they are read.

    ``read`` has the digests of the blobs that were read, ``fetched`` what manifests were asked for.
    """

    reference = Reference(layout="/place")

    def __init__(self) -> None:
        self.read: list[str] = []
        self.fetched: list[str] = []
        self.contents: dict[str, Callable[[], bytes]] = {}
        self.manifests: dict[str, Manifest] = {}
        self.referrers: list[Descriptor] = []
        self.config = self.blob(b"{}", "application/vnd.oci.empty.v1+json")
        self.digest = self.manifest("1", [self.blob(b"content")])

    def blob(self, content: bytes | Callable[[], bytes], media_type: str = "text/plain") -> dict[str, Any]:
        make = content if callable(content) else lambda: content
        made = make()
        self.contents[digest_of(made)] = make
        return Descriptor(media_type, digest_of(made), len(made)).as_json()

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        self.read.append(descriptor.digest)
        content = self.contents[descriptor.digest]()
        for start in range(offset, len(content), MIB):
            yield content[start : start + MIB]

    def fetch_manifest(self, identifier: str) -> Manifest:
        self.fetched.append(identifier)
        if identifier not in self.manifests:
            raise NotFound("There is none.")
        return self.manifests[identifier]

    def resolve(self, identifier: str) -> Descriptor:
        return self.manifests[identifier].descriptor

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        return self.referrers

    def manifest(self, tag: str, layers: list[dict[str, Any]], **fields: Any) -> str:
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": self.config, "layers": layers, **fields}
        manifest = parse_manifest(canonical_json(document), OCI_MANIFEST, "a manifest")
        self.manifests[manifest.descriptor.digest] = self.manifests[tag] = manifest
        return manifest.descriptor.digest

    def attach(self, layer: dict[str, Any], artifact_type: str = formats.BUNDLE_V03, **fields: Any) -> None:
        subject = self.resolve(self.digest).as_json()
        annotations = fields.get("annotations", {})
        digest = self.manifest("", [layer], subject=subject, artifactType=artifact_type, **fields)
        size = self.resolve(digest).size
        self.referrers.append(Descriptor(OCI_MANIFEST, digest, size, artifact_type, annotations))

    def tag(self, suffix: str, layers: list[dict[str, Any]]) -> None:
        self.manifest(self.digest.replace(":", "-") + suffix, layers)


@pytest.fixture
def place() -> Any:
    return Place()


@pytest.fixture(scope="module")
def key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


def envelope(key: Any, digest: str, **predicate: Any) -> dict[str, Any]:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.partition(":")[2]}}],
        "predicateType": SPDX,
        "predicate": predicate,
    }
    payload = json.dumps(statement).encode("utf-8")
    signature = key.sign(formats.pre_authentication_encoding(formats.IN_TOTO, payload), ec.ECDSA(hashes.SHA256()))
    return {
        "payload": base64.b64encode(payload).decode("ascii"),
        "payloadType": formats.IN_TOTO,
        "signatures": [{"sig": base64.b64encode(signature).decode("ascii")}],
    }


def bundle(key: Any, digest: str, **predicate: Any) -> bytes:
    material = {"publicKey": {"hint": ""}}
    document = {"mediaType": formats.BUNDLE_V03, "verificationMaterial": material}
    return canonical_json({**document, "dsseEnvelope": envelope(key, digest, **predicate)})


def junk_envelope(number: int, size: int) -> bytes:
    """An envelope of the right shape by nobody who is known, which costs as much as one can."""
    signature = base64.b64encode(b"%08d" % number)
    start = b'{"payloadType":"%s","signatures":[{"sig":"%s"}],"payload":"' % (formats.IN_TOTO.encode(), signature)
    return start + b"QUJD" * ((size - len(start)) // 4) + b'"}'


def check(place: Any, key: Any, **policy: Any) -> Any:
    return CosignVerifier(parse_policy({"public_keys": [public_pem(key)], **policy})).verify(place, place.digest)


def refusal(place: Any, key: Any, **policy: Any) -> VerificationFailed:
    with pytest.raises(VerificationFailed) as caught:
        check(place, key, **policy)
    return caught.value


def layer_by(place: Any, key: Any) -> dict[str, Any]:
    payload = simple_payload(place.digest)
    signature = base64.b64encode(key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode("ascii")
    return {**place.blob(payload, formats.SIMPLE_SIGNING), "annotations": {formats.ANNOTATION_SIGNATURE: signature}}


def peak(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_a_budget_grants_and_says(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(budget, "monotonic", lambda: now[0])
    monkeypatch.setattr(budget, "MAX_BYTES", 2 * MIB)
    limits = budget.Budget()
    assert limits.take(MIB) and limits.take(MIB) and limits.exceeded() == []
    assert not limits.take(1)
    (said,) = limits.exceeded()
    assert said.startswith("One more object is attached to it and not read")
    assert not limits.take(1)
    limits.note("Something else was left out.")
    limits.note("Something else was left out.")
    first, second = limits.exceeded()
    assert first == "Something else was left out." and second.startswith("2 more objects are attached")
    limits = budget.Budget()
    now[0] = budget.MAX_SECONDS - 1
    assert not limits.is_spent and limits.take(1)
    now[0] = budget.MAX_SECONDS
    assert limits.is_spent and not limits.take(0) and not limits.take(1)
    (said,) = limits.exceeded()
    assert said.startswith("Not all was tried")


@pytest.mark.once
def test_forty_junk_layers_of_fifteen_mebibytes(place: Any, key: Any) -> None:
    place.tag(".sig", [layer_by(place, key)])
    junk = [place.blob(lambda n=number: junk_envelope(n, 15 * MIB), DSSE_ENVELOPE) for number in range(40)]
    place.tag(".att", junk)
    place.read.clear()
    errors = []
    policy = {"attestations": [{"type": "spdxjson"}], "max_attestation_size": "16MiB"}
    assert peak(lambda: errors.append(refusal(place, key, **policy))) < 64 * MIB
    assert len(place.read) <= 1 + 144 // 15
    assert "31 more objects are attached to it and not read, since one verification reads at most 144 MiB." in str(
        errors[0]
    )
    assert errors[0].reason == "VerificationError"
    codes = {each["code"] for each in errors[0].details["verification"]["refused"]}
    assert codes == {"bad-signature", "not-tried"}


@pytest.mark.parametrize("where", [".att", ".sig", "bundle"])
def test_large_junk_hides_no_good_signature(place: Any, key: Any, where: str) -> None:
    """Together they are beyond what one verification reads; they come first, and the good one last."""
    if where == ".att":
        place.tag(".sig", [layer_by(place, key)])
        good = place.blob(canonical_json(envelope(key, place.digest)), DSSE_ENVELOPE)
        junk = [place.blob(lambda n=number: junk_envelope(n, 15 * MIB), DSSE_ENVELOPE) for number in range(10)]
        place.tag(".att", [*junk, good])
        policy: dict[str, Any] = {"attestations": [{"type": "spdxjson"}]}
    elif where == ".sig":
        policy = {}
        signed = {formats.ANNOTATION_SIGNATURE: base64.b64encode(b"x" * 64).decode("ascii")}
        junk = [place.blob(lambda n=number: b"%09d" % n + b" " * (MIB - 9)) for number in range(140)]
        place.tag(".sig", [*({**each, "annotations": signed} for each in junk), layer_by(place, key)])
    else:
        policy = {}
        for number in range(10):
            place.attach(place.blob(lambda n=number: b'{"mediaType":"%09d' % n + b" " * (15 * MIB), formats.BUNDLE_V03))
        place.attach(place.blob(bundle(key, place.digest), formats.BUNDLE_V03))
    place.read.clear()
    assert check(place, key, **policy).verified
    assert len(place.read) <= 2, "nothing large is read before"


def test_what_was_not_read_is_not_said_to_be_missing(place: Any, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "has no signature: there is nothing under Cosign's tags" in refusal(place, key).message
    place.attach(place.blob(bundle(key, place.digest), formats.BUNDLE_V03))
    monkeypatch.setattr(budget, "MAX_BYTES", 0)
    message = refusal(place, key, max_attestation_size="1").message
    assert "has no valid signatures of the 1 wanted" in message and "One more object is attached to it" in message


def test_a_large_bundle_is_still_read(place: Any, key: Any) -> None:
    place.attach(place.blob(bundle(key, place.digest, text="x" * (2 * MIB)), formats.BUNDLE_V03))
    assert check(place, key, attestations=[{"type": "spdxjson"}]).verified


def test_json_that_grows_in_memory_is_not_read(place: Any, key: Any) -> None:
    """Five million empty lists are 15 MiB as text, and 300 MiB as objects."""
    nested = b'{"mediaType":"x","y":[' + b"[]," * (5 * MIB) + b"[]]}"
    place.attach(place.blob(nested, formats.BUNDLE_V03))
    errors = []
    assert peak(lambda: errors.append(refusal(place, key))) < 64 * MIB
    assert "too-large: The bundle has more than 4194304 bytes beside its payload" in errors[0].message
    nested = b'{"mediaType":"x","y":[' + b"[]," * MIB + b"[]]}"
    place.referrers.clear()
    place.attach(place.blob(nested, formats.BUNDLE_V03))
    assert peak(lambda: errors.append(refusal(place, key))) < 32 * MIB
    assert "too-large: The bundle may have more than 100000 values" in errors[1].message


def test_signatures_over_one_payload_are_fetched_once(place: Any, key: Any) -> None:
    others = [ec.generate_private_key(ec.SECP256R1()) for _other in range(5)]
    place.tag(".sig", [layer_by(place, other) for other in (*others, key)])
    place.read.clear()
    assert check(place, key).verified
    assert len(place.read) == 1


@pytest.mark.parametrize("size", [1, 10**6, 10**12])
def test_a_layer_that_lies_about_its_payload_spoils_no_other(place: Any, key: Any, size: int) -> None:
    good = layer_by(place, key)
    attestation = place.blob(canonical_json(envelope(key, place.digest)), DSSE_ENVELOPE)
    place.tag(".sig", [{**good, "size": size}, good, {**good, "size": size}])
    lying = [{**attestation, "size": size}, {**attestation, "mediaType": "text/plain"}]
    place.tag(".att", [*lying, attestation, *lying])
    assert check(place, key, attestations=[{"type": "spdxjson"}]).verified


class Clock:
    """Time that passes with each blob."""

    def __init__(self, place: Any, seconds: float) -> None:
        self._place, self._seconds = place, seconds

    def __call__(self) -> float:
        return len(self._place.read) * self._seconds


@pytest.mark.parametrize("where", ["tag", "referrers"])
def test_the_time_is_bounded(place: Any, key: Any, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    if where == "tag":
        digests = ["sha256:" + f"{number:064x}" for number in range(200)]
        layers = []
        for digest in digests:
            payload = place.blob(simple_payload(digest), formats.SIMPLE_SIGNING)
            layers.append({**payload, "annotations": layer_by(place, other)["annotations"]})
        place.tag(".sig", layers)
    else:
        for number in range(200):
            place.attach(place.blob(bundle(other, place.digest, number=number), formats.BUNDLE_V03))
    place.read.clear()
    place.fetched.clear()
    monkeypatch.setattr(budget, "monotonic", Clock(place, 10.0))
    list_referrers = place.list_referrers
    monkeypatch.setattr(place, "list_referrers", lambda digest: place.fetched.append("list") or list_referrers(digest))
    error = refusal(place, key, attestations=[{"type": "spdxjson"}])
    assert "Not all was tried, since one verification takes at most 300 seconds." in error.message
    assert len(place.read) == 30 and len(place.fetched) <= 33
    # nothing further is asked for
    assert not [each for each in place.fetched if each.endswith(".att")]
    assert place.fetched.count("list") == (where == "referrers")


def test_a_blob_that_never_comes_to_its_end_is_given_up(place: Any, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place.attach(place.blob(lambda: junk_envelope(0, 10 * MIB), formats.BUNDLE_V03))
    chunks = []

    def stream(_descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        while len(chunks) < 10:
            chunks.append(b"x" * MIB)
            yield chunks[-1]

    monkeypatch.setattr(place, "stream_blob", stream)
    monkeypatch.setattr(budget, "monotonic", lambda: 100.0 * len(chunks))
    assert "was not read to its end: the time for it is up" in refusal(place, key).message
    assert len(chunks) == 3


@pytest.mark.parametrize("where", ["tag", "referrers"])
def test_the_number_of_signatures_is_an_option(place: Any, key: Any, where: str) -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _other in range(5)]
    if where == "tag":
        place.tag(".sig", [layer_by(place, each) for each in (*keys, key)])
    else:
        for each in (*keys, key):
            place.attach(place.blob(bundle(each, place.digest), formats.BUNDLE_V03))
    error = refusal(place, key, max_signatures=5)
    assert "5 are tried ('max_signatures')" in error.message or "the 5 that are tried ('max_sign" in error.message
    assert error.hint.endswith("Remove from the repository what others attached to this digest.")
    assert check(place, key, max_signatures=6).verified
    assert check(place, key).verified


@pytest.mark.parametrize("number", [0, -1, 1001])
def test_numbers_of_signatures_that_cannot_be(number: int) -> None:
    with pytest.raises(InvalidPolicy, match="'max_signatures' is .*: wanted 1 to 1000"):
        parse_policy({"max_signatures": number})


@pytest.mark.parametrize("number", [1, 1000])
def test_numbers_of_signatures_that_can_be(number: int) -> None:
    assert parse_policy({"max_signatures": number}).max_signatures == number


def test_referrers_that_are_no_bundles_hide_none(place: Any, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_REFERRERS", 5)
    for number in range(6):
        place.attach(place.blob(b"%d" % number), artifact_type="application/sbom")
    place.attach(place.blob(bundle(key, place.digest), formats.BUNDLE_V03))
    place.fetched.clear()
    assert check(place, key).verified
    # the tag of signatures, and the bundle
    assert len(place.fetched) == 2
    place.referrers.pop()
    assert "The registry lists 6 referrers; only 5 are looked at" in refusal(place, key).message


def test_a_list_of_referrers_that_cannot_be_used_is_said(place: Any, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    place.tag(".sig", [{**layer_by(place, other), "size": size} for size in range(1, 9)])

    def fail(_digest: str, _artifact_type: str = "") -> list[Descriptor]:
        raise InvalidContent("It has more than 10000 referrers.")

    monkeypatch.setattr(place, "list_referrers", fail)
    error = refusal(place, key)
    assert "; and 4 more" in error.message and error.message.endswith("It has more than 10000 referrers.")
    # once, where it is among the refusals that are shown
    place.tag(".sig", [])
    assert refusal(place, key).message.count("It has more than 10000 referrers") == 1
    artifact = place.resolve(place.digest)
    with pytest.raises(VerificationFailed) as caught:
        verify_notation(notation(), place, artifact)
    assert caught.value.message.count("It has more than 10000 referrers") == 1


# Notation


def notation_place(place: Any, envelopes: list[bytes], thumbprints: list[list[str]] | None = None) -> Descriptor:
    for number, content in enumerate(envelopes):
        annotations = {discovery.THUMBPRINTS: json.dumps(thumbprints[number])} if thumbprints else {}
        layer = place.blob(content, "application/jose+json")
        place.attach(layer, discovery.NOTATION_SIGNATURE, annotations={"number": str(number), **annotations})
    return place.resolve(place.digest)


def notation(**policy: Any) -> NotationVerifier:
    return lab.verifier(now=lab.NOW, **policy)


def test_other_signatures_of_notation_hide_none(place: Any) -> None:
    artifact = place.resolve(place.digest)
    payload = lab.payload_for(artifact)
    stranger = lab.make_identity(lab.make_authority("other"))
    bad, good = lab.make_envelope("jws", stranger, payload=payload), lab.make_envelope("jws", payload=payload)
    notation_place(place, [*[bad] * 99, good])
    assert verify_notation(notation(), place, artifact).verified
    with pytest.raises(VerificationFailed, match="more signatures than the 99 that are tried") as caught:
        verify_notation(notation(max_signatures=99), place, artifact)
    assert "max_signatures" in caught.value.hint
    # where all were tried, nothing is to be raised
    place.referrers.pop()
    with pytest.raises(VerificationFailed) as caught:
        verify_notation(notation(max_signatures=99), place, artifact)
    assert "max_signatures" not in caught.value.hint


def test_what_is_said_to_be_by_a_trusted_certificate_is_tried_first(place: Any) -> None:
    import hashlib

    artifact = place.resolve(place.digest)
    payload = lab.payload_for(artifact)
    stranger = lab.make_identity(lab.make_authority("other"))
    bad, good = lab.make_envelope("jws", stranger, payload=payload), lab.make_envelope("jws", payload=payload)
    chains = [[hashlib.sha256(lab.der(each)).hexdigest() for each in who.chain] for who in (stranger, lab.signer())]
    notation_place(place, [*[bad] * 12, good], [*[chains[0]] * 12, chains[1]])
    place.read.clear()
    assert verify_notation(notation(max_signatures=1), place, artifact).verified
    assert len(place.read) == 1
    # what the annotation says is no evidence
    place.referrers = place.referrers[:1]
    lying = Descriptor(**{**vars(place.referrers[0]), "annotations": {discovery.THUMBPRINTS: json.dumps(chains[1])}})
    place.referrers = [lying]
    with pytest.raises(VerificationFailed, match="untrusted-certificate"):
        verify_notation(notation(), place, artifact)


def test_the_bytes_of_notation_are_bounded(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_BYTES", 2 * MIB)
    artifact = place.resolve(place.digest)
    notation_place(place, [b"%09d" % number + b" " * (900 * 1024) for number in range(5)])
    with pytest.raises(VerificationFailed, match="3 more objects are attached to it and not read, .* at most 2 MiB"):
        verify_notation(notation(), place, artifact)

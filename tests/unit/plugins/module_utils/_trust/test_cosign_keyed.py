# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cosign signatures that were made with a key."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AccessDenied,
    AuthenticationFailed,
    InvalidPolicy,
    OciError,
    RegistryError,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import CosignVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from . import vectors

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
KEYS = vectors.ROOT / "keys"


def public_pem(key: Any) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form).decode("ascii")


@pytest.fixture
def key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def repository(tmp_path: Path) -> LayoutRepository:
    return LayoutRepository(Reference(layout=str(tmp_path / "layout")))


def add_blob(repository: LayoutRepository, data: bytes, media_type: str = "application/octet-stream") -> dict[str, Any]:
    import io

    descriptor = Descriptor(media_type, digest_of(data), len(data))
    repository.push_blob(BlobSource(descriptor, lambda: io.BytesIO(data)))
    return descriptor.as_json()


def add_manifest(repository: LayoutRepository, tag: str, layers: list[dict[str, Any]], **fields: Any) -> str:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": add_blob(repository, b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": layers,
        **fields,
    }
    manifest = parse_manifest(canonical_json(document), OCI_MANIFEST, "a manifest")
    repository.push_manifest(manifest, tag)
    return manifest.descriptor.digest


def simple_payload(digest: str, **critical: Any) -> bytes:
    claims = {
        "identity": {"docker-reference": "example.com/x"},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": {**claims, **critical}, "optional": None}).encode("utf-8")


def signed_layer(repository: LayoutRepository, payload: bytes, key: Any) -> dict[str, Any]:
    signature = base64.b64encode(key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode("ascii")
    layer = add_blob(repository, payload, formats.SIMPLE_SIGNING)
    return {**layer, "annotations": {formats.ANNOTATION_SIGNATURE: signature}}


def add_legacy(repository: LayoutRepository, digest: str, layers: list[dict[str, Any]]) -> None:
    add_manifest(repository, digest.replace(":", "-") + ".sig", layers)


def verify(repository: LayoutRepository, digest: str, **policy: Any) -> Any:
    return CosignVerifier(parse_policy(policy)).verify(repository, digest)


@pytest.mark.parametrize("row", vectors.rows("keyed"), ids=lambda row: row["name"])
def test_the_real_tools_verdict(row: dict[str, Any]) -> None:
    verifier = CosignVerifier(parse_policy(vectors.policy_options(row)))
    if row["expected"] == "pass":
        verdict = verifier.verify(vectors.repository(row), row["digest"])
        assert verdict.verified and verdict.signers[0].key.startswith("sha256:")
    else:
        with pytest.raises(VerificationFailed) as caught:
            verifier.verify(vectors.repository(row), row["digest"])
        assert row["digest"] in caught.value.message
        assert caught.value.details["verification"]["verified"] is False


def test_an_old_key_and_a_signature_without_a_log_count(repository: LayoutRepository, key: Any) -> None:
    digest = add_manifest(repository, "1", [add_blob(repository, b"content")])
    add_legacy(repository, digest, [signed_layer(repository, simple_payload(digest), key)])
    signer = verify(repository, digest, public_keys=[public_pem(key)]).signers[0]
    assert (signer.format, signer.source) == ("legacy", "key 1")


def test_a_bad_signature_beside_a_good_one_changes_nothing(repository: LayoutRepository, key: Any) -> None:
    digest = add_manifest(repository, "1", [add_blob(repository, b"content")])
    good = signed_layer(repository, simple_payload(digest), key)
    bad = [
        {**good, "annotations": {formats.ANNOTATION_SIGNATURE: "no base64!"}},
        {**good, "annotations": {}},
        {**add_blob(repository, b"<html>"), "annotations": good["annotations"]},
        signed_layer(repository, simple_payload("sha256:" + "1" * 64), key),
        signed_layer(repository, simple_payload(digest, type="another"), key),
    ]
    random.Random(1).shuffle(bad)
    add_legacy(repository, digest, [*bad, good])
    verdict = verify(repository, digest, public_keys=[public_pem(key)])
    assert verdict.verified and len(verdict.refusals) >= 4
    assert {refusal.code for refusal in verdict.refusals} >= {"malformed", "digest-mismatch", "payload-type"}


class Guarded(LayoutRepository):
    """A layout that does not give out some blobs."""

    refused: Mapping[str, OciError] = {}

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        if descriptor.digest in self.refused:
            raise self.refused[descriptor.digest]
        return super().stream_blob(descriptor, offset)


class TestSignaturesThatAreNotGivenOut:
    @pytest.fixture
    def guarded(self, tmp_path: Path) -> Guarded:
        return Guarded(Reference(layout=str(tmp_path / "layout")))

    @pytest.mark.parametrize("failure", [AccessDenied("x"), RegistryError("x", "", 410)], ids=["forbidden", "gone"])
    @pytest.mark.parametrize("form", ["legacy", "bundle", "attestation"])
    def test_they_hide_no_other(self, guarded: Guarded, key: Any, form: str, failure: OciError) -> None:
        digest = add_manifest(guarded, "1", [add_blob(guarded, b"content")])
        bad = add_blob(guarded, b"not given out", formats.SIMPLE_SIGNING)
        if form == "legacy":
            add_legacy(guarded, digest, [{**bad, "annotations": {formats.ANNOTATION_SIGNATURE: "AAAA"}}])
        elif form == "attestation":
            envelope = add_blob(guarded, b"not given out", "application/vnd.dsse.envelope.v1+json")
            add_manifest(guarded, digest.replace(":", "-") + ".att", [envelope])
        else:
            layer = {**bad, "mediaType": formats.BUNDLE_V03}
            add_manifest(guarded, "", [layer], subject=guarded.resolve(digest).as_json())
        guarded.refused = {bad["digest"]: failure}
        with pytest.raises(VerificationFailed, match="malformed: x"):
            verify(guarded, digest, public_keys=[public_pem(key)])
        attach(guarded, digest, key, formats.COSIGN_SIGN)
        assert verify(guarded, digest, public_keys=[public_pem(key)]).verified

    @pytest.mark.parametrize(
        "failure", [AuthenticationFailed("x"), RegistryError("x", "", 503)], ids=["login", "outage"]
    )
    def test_what_is_about_all_requests_is_said(self, guarded: Guarded, key: Any, failure: OciError) -> None:
        digest = add_manifest(guarded, "1", [add_blob(guarded, b"content")])
        layer = signed_layer(guarded, simple_payload(digest), key)
        add_legacy(guarded, digest, [layer])
        guarded.refused = {layer["digest"]: failure}
        with pytest.raises(type(failure)):
            verify(guarded, digest, public_keys=[public_pem(key)])


def test_a_payload_of_a_gigabyte_is_not_fetched(repository: LayoutRepository, key: Any) -> None:
    digest = add_manifest(repository, "1", [add_blob(repository, b"content")])
    layer = signed_layer(repository, simple_payload(digest), key)
    path = Path(repository.root) / "blobs" / "sha256" / layer["digest"].partition(":")[2]
    with path.open("r+b") as stream:
        stream.truncate(1 << 30)
    add_legacy(repository, digest, [{**layer, "size": 1 << 30}])
    with pytest.raises(VerificationFailed, match="more than the 1048576 that are read"):
        verify(repository, digest, public_keys=[public_pem(key)])


@pytest.mark.parametrize(("count", "code"), [(0, "no signature"), (1001, "more than the 1000"), (10_000, "1000")])
def test_a_signature_tag_of_any_length(repository: LayoutRepository, key: Any, count: int, code: str) -> None:
    digest = add_manifest(repository, "1", [add_blob(repository, b"content")])
    add_legacy(repository, digest, [signed_layer(repository, simple_payload(digest), key)] * count)
    with pytest.raises(VerificationFailed, match=code):
        verify(repository, digest, public_keys=[public_pem(key)])


def test_a_signature_tag_that_is_an_index(repository: LayoutRepository, key: Any) -> None:
    digest = add_manifest(repository, "1", [add_blob(repository, b"content")])
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    manifest = parse_manifest(canonical_json(index), "", "an index")
    repository.push_manifest(manifest, digest.replace(":", "-") + ".sig")
    with pytest.raises(VerificationFailed, match="is an index"):
        verify(repository, digest, public_keys=[public_pem(key)])


def test_min_signers_counts_distinct_keys(repository: LayoutRepository) -> None:
    one, two = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    digest = add_manifest(repository, "1", [add_blob(repository, b"content")])
    payload = simple_payload(digest)
    add_legacy(repository, digest, [signed_layer(repository, payload, one), signed_layer(repository, payload, one)])
    keys = [public_pem(one), public_pem(two)]
    with pytest.raises(VerificationFailed, match="1 valid signature of the 2 wanted"):
        verify(repository, digest, public_keys=keys, min_signers=2)
    add_legacy(repository, digest, [signed_layer(repository, payload, one), signed_layer(repository, payload, two)])
    assert len(verify(repository, digest, public_keys=keys, min_signers=2).signers) == 2
    with pytest.raises(InvalidPolicy, match="only 1 distinct"):
        verify(repository, digest, public_keys=[keys[0], keys[0]], min_signers=2)


def attach(repository: LayoutRepository, digest: str, key: Any, predicate_type: str, subject: str = "") -> None:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": (subject or digest).partition(":")[2]}}],
        "predicateType": predicate_type,
        "predicate": {},
    }
    payload = json.dumps(statement).encode("utf-8")
    signature = key.sign(formats.pre_authentication_encoding(formats.IN_TOTO, payload), ec.ECDSA(hashes.SHA256()))
    bundle = {
        "mediaType": formats.BUNDLE_V03,
        "verificationMaterial": {"publicKey": {"hint": ""}},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode("ascii"),
            "payloadType": formats.IN_TOTO,
            "signatures": [{"sig": base64.b64encode(signature).decode("ascii")}],
        },
    }
    layer = add_blob(repository, canonical_json(bundle), formats.BUNDLE_V03)
    described = repository.resolve(digest).as_json()
    add_manifest(repository, "", [layer], subject=described, artifactType=formats.BUNDLE_V03)


def test_attestations_are_demanded_by_their_signed_type(repository: LayoutRepository, key: Any) -> None:
    digest = add_manifest(repository, "1", [add_blob(repository, b"content")])
    add_legacy(repository, digest, [signed_layer(repository, simple_payload(digest), key)])
    policy = {"public_keys": [public_pem(key)], "attestations": [{"type": "spdxjson"}]}
    with pytest.raises(VerificationFailed, match="lacks valid attestations of type spdxjson"):
        verify(repository, digest, **policy)
    attach(repository, digest, key, "https://slsa.dev/provenance/v1")
    attach(repository, digest, ec.generate_private_key(ec.SECP256R1()), "https://spdx.dev/Document")
    attach(repository, digest, key, "https://spdx.dev/Document", subject="sha256:" + "2" * 64)
    with pytest.raises(VerificationFailed, match="lacks valid attestations"):
        verify(repository, digest, **policy)
    attach(repository, digest, key, "https://spdx.dev/Document")
    types = {signer.predicate_type for signer in verify(repository, digest, **policy).signers}
    assert "https://spdx.dev/Document" in types


def test_predicate_types_keep_an_attestation_from_being_a_signature(repository: LayoutRepository, key: Any) -> None:
    digest = add_manifest(repository, "1", [add_blob(repository, b"content")])
    attach(repository, digest, key, "https://cosign.sigstore.dev/attestation/vuln/v1")
    assert verify(repository, digest, public_keys=[public_pem(key)]).verified
    with pytest.raises(VerificationFailed, match="predicate-type"):
        verify(repository, digest, public_keys=[public_pem(key)], predicate_types=[formats.COSIGN_SIGN])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (str(KEYS / "key-a.key"), "is a private key"),
        (str(KEYS / "p384.raw.pem"), "is a private key"),
        (str(KEYS / "notation" / "ca-good.crt"), "is a certificate, not a public key"),
        ("/nowhere/key.pub", "cannot be read"),
        (str(vectors.ROOT / "README.md"), "has no PEM block"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "is damaged"),
    ],
    ids=["encrypted", "private", "certificate", "absent", "text", "damaged"],
)
def test_what_is_no_public_key_is_named(source: str, said: str) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        CosignVerifier(parse_policy({"public_keys": [source]}))


@pytest.mark.parametrize(
    "policy", [{}, {"public_keys": []}, {"identities": []}, {"min_signers": 0, "public_keys": ["x"]}]
)
def test_a_policy_without_a_signer_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(InvalidPolicy):
        CosignVerifier(parse_policy(policy))


def test_short_and_weak_keys_are_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import ed448, rsa

    weak = [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
    ]
    for private in weak:
        with pytest.raises(InvalidPolicy, match="wanted"):
            CosignVerifier(parse_policy({"public_keys": [public_pem(private)]}))


def test_mutated_bundles_and_payloads_only_ever_fail_as_such() -> None:
    """Every change of one byte, of a spread of bytes, is refused in the one way, or is outside of what is signed."""
    rng = random.Random(7)
    row = next(row for row in vectors.rows("keyed") if row["name"] == "chart-bundle-a/key-a")
    layout = vectors.ROOT / row["path"]
    raw = next(
        blob.read_bytes() for blob in (layout / "blobs" / "sha256").iterdir() if b"dsseEnvelope" in blob.read_bytes()
    )
    for _round in range(3000):
        data = bytearray(raw)
        action, position = rng.randrange(4), rng.randrange(len(data))
        if action == 0:
            data[position] ^= 1 << rng.randrange(8)
        elif action == 1:
            del data[position : position + rng.randrange(1, 40)]
        elif action == 2:
            data[position:position] = data[: rng.randrange(60)]
        else:
            data = data[:position]
        try:
            bundle = formats.parse_bundle(bytes(data))
            if bundle.envelope is not None:
                formats.check_statement(bundle.envelope, row["digest"])
        except (Rejected, OciError):
            continue

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is signed verifies; what is signed is left alone; what others signed is kept."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meeting import Meeting

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidOption,
    InvalidPolicy,
    PushFailed,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.sign import (
    FORMATS,
    KeySigner,
    SigningOptions,
    SignOptions,
    sign,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import sign as sign_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import CosignVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keys import PublicKey, fingerprint_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.private_keys import (
    PrivateKey,
    load_private_key,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.sign import CosignSigner, Signed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.signed_content import (
    simple_payload,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import BUNDLE, LEGACY
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Signer as By

from . import vectors

KEYS = vectors.ROOT / "keys"
EPOCH = "1970-01-01T00:00:00Z"
BOTH = FORMATS["both"]
PLAIN = ("ed25519", "p384", "p521", "rsa2048", "rsa4096")


@cache
def key_of(name: str) -> PrivateKey:
    """A key of the vectors; ``p256-N`` are made for the run, N of them may be needed."""
    if name.startswith("p256"):
        key = ec.generate_private_key(ec.SECP256R1())
        return PrivateKey(key, PublicKey(key.public_key(), name, fingerprint_of(key.public_key())))
    return load_private_key(str(KEYS / f"{name}.raw.pem"))


def public_pem(key: PrivateKey) -> str:
    text: bytes = key.public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


class NoPause:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> NoPause:
    clock = NoPause()
    monkeypatch.setattr(sign_module, "time", clock)
    return clock


class Place:
    """A layout with one artifact."""

    def __init__(self, root: Path, kind: type[LayoutRepository] = LayoutRepository) -> None:
        self.root = root
        self.repository = kind(Reference(layout=str(root)))
        self.artifact = self.publish("1.0.0", "content")

    def publish(self, tag: str, content: str) -> Descriptor:
        data = content.encode()
        descriptors = []
        for blob, kind in ((media.EMPTY_JSON, media.OCI_EMPTY), (data, "text/plain")):
            found = Descriptor(kind, digest_of(blob), len(blob))
            self.repository.push_blob(BlobSource(found, lambda blob=blob: io.BytesIO(blob)))  # type: ignore[misc]
            descriptors.append(found.as_json())
        document = {
            "schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": descriptors[0], "layers": descriptors[1:],
        }  # fmt: skip
        return self.store(document, tag).descriptor

    def store(self, document: Mapping[str, Any], tag: str) -> Manifest:
        manifest = parse_manifest(canonical_json(document), media.OCI_MANIFEST, "a manifest")
        self.repository.push_manifest(manifest, tag)
        return manifest

    @property
    def signature_tag(self) -> str:
        return self.artifact.digest.replace(":", "-") + ".sig"

    def sign(
        self,
        key: PrivateKey,
        wanted: Sequence[str] = BOTH,
        annotations: Mapping[str, str] | None = None,
        check_mode: bool = False,
    ) -> Signed:
        signer = CosignSigner(key, wanted, annotations or {}, EPOCH)
        return signer.sign(self.repository, self.artifact, check_mode=check_mode)

    def verified(self, *keys: PrivateKey, wanted: str = "", count: int = 1) -> list[By]:
        policy = VerifyPolicy(public_keys=[public_pem(key) for key in keys], min_signers=count)
        verifier = CosignVerifier(policy)
        signers = list(verifier.verify(self.repository, self.artifact.digest).signers)
        assert not wanted or {signer.format for signer in signers} == {wanted}
        return signers

    def state(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "layout")


def statuses(signed: Signed) -> dict[str, str]:
    return {each.format: each.status for each in signed.signatures}


# What is written


def test_manifests_are_those_of_cosign(tmp_path: Path, clock: NoPause) -> None:
    """The same fields in the same order."""
    for name, form in (("chart-legacy-a", LEGACY), ("chart-bundle-a", BUNDLE)):
        theirs = LayoutRepository(Reference(layout=str(vectors.ROOT / "layouts" / name)))
        entries = json.loads((Path(theirs.root) / "index.json").read_text())["manifests"]
        by_cosign = theirs.fetch_manifest(entries[1]["digest"])
        place = Place(tmp_path / name)
        signed = place.sign(key_of("p256-0"), (form,))
        digest = signed.signatures[0].digest if form == BUNDLE else place.signature_tag
        ours = place.repository.fetch_manifest(digest)
        assert text_of(ours.raw) == text_of(by_cosign.raw)
        configs = [
            text_of((Path(layout.root) / "blobs" / found.config.digest.replace(":", "/")).read_bytes())
            for layout, found in ((place.repository, ours), (theirs, by_cosign))
            if found.config
        ]
        assert len(configs) == 2 and configs[0] == configs[1]


def text_of(raw: bytes) -> str:
    """The document without what differs from artifact to artifact, and with nothing between its parts."""
    document = json.loads(raw)
    assert raw.decode() == json.dumps(document, separators=(",", ":"))
    return json.dumps(shape(document))


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, int):
        return 2 if value == 2 else 0
    known = ("application/", "https://", "dsse", "0001-", "layers")
    return value if isinstance(value, str) and value.startswith(known) else ""


# Sign, then verify


@pytest.mark.parametrize("name", [*PLAIN, "p256-0"])
@pytest.mark.parametrize("form", BOTH)
def test_what_is_signed_verifies(place: Place, clock: NoPause, name: str, form: str) -> None:
    key = key_of(name)
    signed = place.sign(key, (form,))
    assert signed.changed and statuses(signed) == {form: "created"}
    assert signed.signatures[0].key == key.public.fingerprint
    assert signed.signatures[0].artifact == place.artifact.digest
    (signer,) = place.verified(key, wanted=form)
    assert (signer.key, signer.found_in) == (key.public.fingerprint, signed.signatures[0].digest)
    with pytest.raises(VerificationFailed):
        place.verified(key_of("p256-9"))

    before = place.state()
    again = place.sign(key, (form,))
    assert not again.changed and statuses(again) == {form: "unchanged"}
    assert again.signatures[0].digest == signed.signatures[0].digest
    assert place.state() == before


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    annotations=st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=12), max_size=4),
    name=st.sampled_from(("ed25519", "p256-0", "p521", "rsa2048")),
    form=st.sampled_from(BOTH),
)
def test_annotations_are_signed(
    tmp_path_factory: pytest.TempPathFactory, annotations: dict[str, str], name: str, form: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sign_module, "time", NoPause())
        place = Place(tmp_path_factory.mktemp("annotations") / "layout")
        assert place.sign(key_of(name), (form,), annotations).changed
        (signer,) = place.verified(key_of(name), wanted=form)
        assert dict(signer.annotations) == annotations
        assert not place.sign(key_of(name), (form,), annotations).changed


def test_other_annotations_are_another_signature(place: Place, clock: NoPause) -> None:
    key = key_of("ed25519")
    assert statuses(place.sign(key, annotations={"stage": "test", "by": "ci"})) == dict.fromkeys(BOTH, "created")
    assert not place.sign(key, annotations={"stage": "test"}).changed, "a signature that says more is enough"
    assert not place.sign(key).changed
    assert statuses(place.sign(key, annotations={"stage": "production"})) == dict.fromkeys(BOTH, "created")
    assert len(place.repository.fetch_manifest(place.signature_tag).layers) == 2
    assert len(place.repository.list_referrers(place.artifact.digest)) == 2
    assert not place.sign(key, annotations={"stage": "test", "by": "ci"}).changed


def test_only_the_missing_format_is_added(place: Place, clock: NoPause) -> None:
    key = key_of("p256-0")
    place.sign(key, (LEGACY,))
    assert statuses(place.sign(key)) == {LEGACY: "unchanged", BUNDLE: "created"}
    assert not place.sign(key).changed


def test_signatures_by_others_are_kept(place: Place, clock: NoPause) -> None:
    names = ("ed25519", "p384", "rsa2048", "p256-0", "p256-1")
    for name in names:
        assert place.sign(key_of(name)).changed
    assert len(place.verified(*map(key_of, names), count=len(names))) == len(names)
    manifest = place.repository.fetch_manifest(place.signature_tag)
    assert len(manifest.layers) == len(names) == len(place.repository.list_referrers(place.artifact.digest))
    config = json.loads((place.root / "blobs" / manifest.config.digest.replace(":", "/")).read_text())  # type: ignore[union-attr]
    assert config["rootfs"]["diff_ids"] == [layer.digest for layer in manifest.layers]
    assert len(config["history"]) == len(names)


def test_what_others_wrote_around_it_is_kept(place: Place, clock: NoPause) -> None:
    key = key_of("ed25519")
    place.sign(key_of("p256-0"), (LEGACY,))
    document = json.loads(place.repository.fetch_manifest(place.signature_tag).raw)
    document["annotations"] = {"kept": "<as it is> ö"}
    document["layers"][0]["annotations"]["also"] = "kept"
    place.store(document, place.signature_tag)
    place.sign(key, (LEGACY,))
    after = json.loads(place.repository.fetch_manifest(place.signature_tag).raw)
    assert after["annotations"] == document["annotations"] and after["layers"][0] == document["layers"][0]
    place.verified(key, key_of("p256-0"), count=2)


def test_signatures_do_not_depend_on_the_time(tmp_path: Path, clock: NoPause) -> None:
    """Two signers with the same key make the same bytes."""
    key = key_of("rsa2048")
    places = [Place(tmp_path / "a"), Place(tmp_path / "b")]
    digests = [[each.digest for each in place.sign(key).signatures] for place in places]
    assert digests[0] == digests[1]
    assert places[0].state() == places[1].state()


# What is there does not count, or is in the way


@pytest.mark.parametrize(
    "damage",
    ["no signature", "not base64", "empty", "other artifact", "payload gone", "with a certificate", "no annotations"],
)
def test_damaged_legacy_signatures_do_not_count(place: Place, clock: NoPause, damage: str) -> None:
    key = key_of("ed25519")
    place.sign(key, (LEGACY,))
    document = json.loads(place.repository.fetch_manifest(place.signature_tag).raw)
    (layer,) = document["layers"]
    annotations = layer["annotations"]
    if damage == "no annotations":
        del layer["annotations"]
    elif damage == "no signature":
        annotations["x"] = annotations.pop(formats.ANNOTATION_SIGNATURE)
    elif damage == "with a certificate":
        annotations[formats.ANNOTATION_CERTIFICATE] = "-----BEGIN CERTIFICATE-----"
    elif damage in ("other artifact", "payload gone"):
        digest = place.artifact.digest if damage == "payload gone" else digest_of(b"another")
        payload = simple_payload("elsewhere.example/app", digest, {})
        source = BlobSource(Descriptor("", digest_of(payload), len(payload)), lambda: io.BytesIO(payload))
        place.repository.push_blob(source)
        layer.update(digest=digest_of(payload), size=len(payload))
        annotations[formats.ANNOTATION_SIGNATURE] = base64.b64encode(key.sign(payload)).decode()
    else:
        annotations[formats.ANNOTATION_SIGNATURE] = "" if damage == "empty" else "!!!"
    place.store(document, place.signature_tag)
    if damage == "payload gone":
        (place.root / "blobs" / layer["digest"].replace(":", "/")).write_bytes(b"x" * layer["size"])
    assert statuses(place.sign(key, (LEGACY,))) == {LEGACY: "created"}
    assert len(place.repository.fetch_manifest(place.signature_tag).layers) == 2
    place.verified(key, wanted=LEGACY)
    assert not place.sign(key, (LEGACY,)).changed


def test_an_attestation_is_no_signature(place: Place, clock: NoPause, monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_of("ed25519")
    with monkeypatch.context() as patch:
        patch.setattr(formats, "COSIGN_SIGN", "https://slsa.dev/provenance/v1")
        place.sign(key, (BUNDLE,))
    assert place.sign(key, (BUNDLE,)).changed


def test_a_tag_that_holds_something_else_is_not_touched(place: Place, clock: NoPause) -> None:
    index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [place.artifact.as_json()]}
    foreign = parse_manifest(canonical_json(index), media.OCI_INDEX, "an index")
    place.repository.push_manifest(foreign, place.signature_tag)
    before = place.state()
    for check_mode in (True, False):
        with pytest.raises(PushFailed, match=r"\.sig is an index") as caught:
            place.sign(key_of("ed25519"), check_mode=check_mode)
        assert "format: bundle" in caught.value.hint
    assert place.state() == before
    assert place.sign(key_of("ed25519"), (BUNDLE,)).changed


@pytest.mark.parametrize("count", [formats.MAX_LEGACY_LAYERS - 1, formats.MAX_LEGACY_LAYERS])
def test_a_full_tag(place: Place, clock: NoPause, count: int) -> None:
    key = key_of("ed25519")
    place.sign(key_of("p256-0"), (LEGACY,))
    document = json.loads(place.repository.fetch_manifest(place.signature_tag).raw)
    document["layers"] *= count
    place.store(document, place.signature_tag)
    if count < formats.MAX_LEGACY_LAYERS:
        assert place.sign(key, (LEGACY,)).changed
        place.verified(key, wanted=LEGACY)
    else:
        with pytest.raises(PushFailed, match="1000 legacy signatures already"):
            place.sign(key, (LEGACY,))


def test_signers_who_are_hidden_are_named(tmp_path: Path, clock: NoPause) -> None:
    mine, theirs = key_of("ed25519"), key_of("p256-0")
    old = Place(tmp_path / "old")
    assert not old.sign(theirs, (LEGACY,)).warnings
    (warning,) = old.sign(mine).warnings
    assert "has 1 legacy signature" in warning and "bundle" in warning
    assert not old.sign(mine).warnings, "nothing is made any more"

    new = Place(tmp_path / "new")
    assert not new.sign(theirs).warnings
    (warning,) = new.sign(mine, (LEGACY,)).warnings
    assert "format: both" in warning
    assert not new.sign(mine).warnings


# Check mode


def test_check_mode_predicts(place: Place, clock: NoPause) -> None:
    before = place.state()
    foreseen = place.sign(key_of("rsa2048"), annotations={"a": "b"}, check_mode=True)
    assert foreseen.changed and place.state() == before and clock.pauses == []
    assert place.sign(key_of("rsa2048"), annotations={"a": "b"}).signatures == foreseen.signatures
    assert not place.sign(key_of("rsa2048"), check_mode=True).changed


def test_check_mode_says_nothing_of_random_digests(
    place: Place, clock: NoPause, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PrivateKey, "is_deterministic", False)
    foreseen = place.sign(key_of("p256-0"), check_mode=True)
    assert [bool(each.digest) for each in foreseen.signatures] == [True, False]


# Writers at the same time


class Contended(LayoutRepository):
    """Another client writes the tag of signatures right after each of the first ``losses`` writes."""

    losses = 0
    writes = 0

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        before = None
        if tag.endswith(".sig"):
            self.writes += 1
            before = self._tags().get(tag)
        super().push_manifest(manifest, tag)
        if tag.endswith(".sig") and self.writes <= self.losses:
            super().push_manifest(self._read_manifest(before) if before else self._foreign(), tag)

    def _tags(self) -> dict[str, Descriptor]:
        return {tag: found[0] for tag, found in self._index().tags.items()}

    def _foreign(self) -> Manifest:
        source = Descriptor(media.OCI_EMPTY, digest_of(media.EMPTY_JSON), len(media.EMPTY_JSON)).as_json()
        document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": source, "layers": [source]}
        return parse_manifest(canonical_json(document), media.OCI_MANIFEST, "foreign")


def test_a_write_that_was_lost_is_repeated(tmp_path: Path, clock: NoPause) -> None:
    place = Place(tmp_path / "layout", Contended)
    repository = place.repository
    assert isinstance(repository, Contended)
    repository.losses = 3
    assert place.sign(key_of("ed25519")).changed
    assert repository.writes == 4
    place.verified(key_of("ed25519"), wanted=LEGACY)
    layers = repository.fetch_manifest(place.signature_tag).layers
    assert [layer.media_type for layer in layers] == [media.OCI_EMPTY, formats.SIMPLE_SIGNING]
    assert len(repository.list_referrers(place.artifact.digest)) == 1
    assert len(clock.pauses) == 4 + 3


def test_a_write_that_is_always_lost_fails(tmp_path: Path, clock: NoPause) -> None:
    place = Place(tmp_path / "layout", Contended)
    assert isinstance(place.repository, Contended)
    place.repository.losses = 1000
    with pytest.raises(PushFailed, match="legacy signature of .* was written 8 times") as caught:
        place.sign(key_of("ed25519"))
    assert "bundle" not in caught.value.message
    place.verified(key_of("ed25519"), wanted=BUNDLE)


def test_a_registry_that_shows_late_what_it_was_sent(
    place: Place, clock: NoPause, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = sign_module._OneArtifact._find_legacy
    monkeypatch.setattr(
        sign_module._OneArtifact,
        "_find_legacy",
        lambda one: original(one) if len(clock.pauses) > 3 else sign_module._Found(),
    )
    assert place.sign(key_of("p256-0"), (LEGACY,)).changed
    assert len(place.repository.fetch_manifest(place.signature_tag).layers) == 1


def test_the_wait_follows_the_time_that_writing_takes(place: Place, clock: NoPause) -> None:
    original = place.repository.push_blob

    def slow(source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        clock.now += 0.5
        return original(source, mount_from)

    place.repository.push_blob = slow  # type: ignore[method-assign]
    place.sign(key_of("ed25519"), (LEGACY,))
    assert clock.pauses == [pytest.approx(4.0)]
    clock.pauses.clear()
    place.publish("2", "other")
    place.artifact = place.publish("2", "other")
    clock.pauses.clear()
    place.sign(key_of("ed25519"), (BUNDLE,))
    assert clock.pauses == [pytest.approx(4.0)]


def test_many_signers_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"p256-{number}" for number in range(6)]
    place = Place(tmp_path / "layout")

    def one(name: str) -> Signed:
        own = LayoutRepository(Reference(layout=str(place.root)))
        return CosignSigner(key_of(name), BOTH, {}, EPOCH).sign(own, place.artifact)

    list(map(key_of, names))
    # each looks again when the others have written: on a busy machine that takes longer than it would pause
    meeting = Meeting(len(names))
    with monkeypatch.context() as patched, ThreadPoolExecutor(len(names)) as pool:
        patched.setattr(sign_module, "time", meeting)
        assert all(signed.changed for signed in pool.map(meeting.attend, [one] * len(names), names))
    assert len(place.verified(*map(key_of, names), count=len(names))) == len(names)
    assert len(place.repository.fetch_manifest(place.signature_tag).layers) == len(names)
    assert len(place.repository.list_referrers(place.artifact.digest)) == len(names)


# Options


def test_annotations_that_cannot_be_signed() -> None:
    for given_ones, words in (
        ({"": "x"}, "no name"),
        ({"a": "\udcff"}, "not valid Unicode"),
        ({str(number): "x" for number in range(101)}, "101 annotations"),
    ):
        with pytest.raises(InvalidOption, match=words):
            CosignSigner(key_of("ed25519"), BOTH, given_ones, EPOCH)


def test_a_sha512_digest_has_no_legacy_tag(place: Place, clock: NoPause) -> None:
    artifact = Descriptor(place.artifact.media_type, "sha512:" + "0" * 128, place.artifact.size)
    with pytest.raises(InvalidOption, match="longer than tags") as caught:
        CosignSigner(key_of("ed25519"), BOTH, {}, EPOCH).sign(place.repository, artifact)
    assert "format: bundle" in caught.value.hint


def options(place: Place, reference: str = ":1.0.0", **signing: Any) -> SignOptions:
    chosen = SigningOptions(**{"key": str(KEYS / "ed25519.raw.pem"), **signing})
    return SignOptions(ReferenceOptions(ref=f"oci-layout:{place.root}{reference}"), chosen)


def test_the_operation(place: Place, clock: NoPause) -> None:
    foreseen = sign(options(place), check_mode=True, want_diff=True)
    result = sign(options(place), want_diff=True)
    assert result == foreseen
    assert (result["changed"], result["reason"], result["warnings"]) == (True, "ArtifactSigned", [])
    assert result["artifact"] == {
        "url": f"oci-layout:{place.root}",
        "revision": f"1.0.0@{place.artifact.digest}",
        "tag": "1.0.0",
        "digest": place.artifact.digest,
    }
    assert [each["format"] for each in result["signatures"]] == list(BOTH)
    assert result["diff"][0]["before"] == "" and result["diff"][0]["after"].count("\n") == 2
    again = sign(options(place, f"@{place.artifact.digest}"), want_diff=True)
    assert (again["changed"], again["reason"], "diff" in again) == (False, "ArtifactUpToDate", False)
    assert again["artifact"]["revision"] == place.artifact.digest


def test_the_time_of_a_bundle(place: Place, clock: NoPause, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    bundle = sign(options(place, format="bundle"))["signatures"][0]["digest"]
    created = place.repository.fetch_manifest(bundle).annotations[media.ANNOTATION_CREATED]
    assert created == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InvalidOption, match="SOURCE_DATE_EPOCH"):
        sign(options(place, format="bundle"))


def test_the_key_is_read_before_anything_else(tmp_path: Path) -> None:
    nowhere = ReferenceOptions(ref=f"oci-layout:{tmp_path}/nothing:1")
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        sign(SignOptions(nowhere, SigningOptions(key=str(tmp_path / "none.key"))))
    with pytest.raises(InvalidOption, match="is not a signature format"):
        KeySigner(SigningOptions(key=str(KEYS / "ed25519.raw.pem"), format="pgp"))


def test_options_hide_the_key() -> None:
    text = repr(SignOptions(ReferenceOptions(ref="a.example/b"), SigningOptions("the-key", "the-word")))
    assert "the-key" not in text and "the-word" not in text

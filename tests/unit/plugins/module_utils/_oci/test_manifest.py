# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests, descriptors and manifests, from bytes that mean harm."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    DigestMismatch,
    InvalidContent,
    InvalidOption,
    InvalidReference,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import (
    Verifier,
    digest_of,
    is_digest,
    parse_digest,
    verify_bytes,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    MAX_DESCRIPTORS,
    MAX_MANIFEST_SIZE,
    canonical_json,
    load_json_object,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    parse_duration,
    parse_size,
)

CONFIG: dict[str, Any] = {"mediaType": media.OCI_EMPTY, "digest": digest_of(b"{}"), "size": 2}
MANIFEST: dict[str, Any] = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": CONFIG, "layers": [CONFIG]}
INDEX: dict[str, Any] = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [CONFIG]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "annotations", "artifactType"]
)


def parse(document: Any, content_type: str = "") -> Any:
    return parse_manifest(json.dumps(document).encode(), content_type, "The manifest")


# Manifests


def test_a_manifest() -> None:
    found = parse({**MANIFEST, "artifactType": "x/y", "annotations": {"a": "b"}, "subject": CONFIG})
    assert found.descriptor.digest == digest_of(found.raw)
    assert (found.config.digest, len(found.layers), found.manifests) == (CONFIG["digest"], 1, ())
    assert (found.effective_artifact_type, found.annotations, found.subject.size) == ("x/y", {"a": "b"}, 2)
    assert parse(MANIFEST).effective_artifact_type == media.OCI_EMPTY


def test_an_index() -> None:
    found = parse(
        {**INDEX, "manifests": [{**CONFIG, "platform": {"os": "linux", "os.features": ["x"], "variant": None}}]}
    )
    assert found.is_index
    assert found.manifests[0].platform["os"] == "linux"


@pytest.mark.parametrize("document", [MANIFEST, INDEX])
def test_the_type_may_come_from_the_header_or_the_shape(document: dict[str, Any]) -> None:
    untyped = {key: value for key, value in document.items() if key != "mediaType"}
    assert parse(untyped).descriptor.media_type == document["mediaType"]
    docker = media.DOCKER_INDEX if "manifests" in document else media.DOCKER_MANIFEST
    assert parse(untyped, docker + "; charset=utf-8").descriptor.media_type == docker


BAD = {
    "both": {**MANIFEST, "manifests": []},
    "both, as an index": {**INDEX, "layers": []},
    "both, untyped": {"config": CONFIG, "layers": [], "manifests": []},
    "neither": {"schemaVersion": 2},
    "schema 1": {"schemaVersion": 1, "fsLayers": []},
    "schema 1 by type": {"mediaType": media.DOCKER_SCHEMA1_SIGNED},
    "another type": {"mediaType": "text/html", "layers": []},
    "type of a number": {**MANIFEST, "mediaType": 7},
    "no config": {"mediaType": media.OCI_MANIFEST, "layers": []},
    "config is a list": {**MANIFEST, "config": []},
    "layers is text": {**MANIFEST, "layers": "x"},
    "layer is text": {**MANIFEST, "layers": ["x"]},
    "too many layers": {**MANIFEST, "layers": [1] * (MAX_DESCRIPTORS + 1)},
    "no digest": {**MANIFEST, "layers": [{"size": 1}]},
    "a path as digest": {**MANIFEST, "layers": [{**CONFIG, "digest": "sha256:/etc/passwd"}]},
    "upper case digest": {**MANIFEST, "layers": [{**CONFIG, "digest": CONFIG["digest"].upper()}]},
    "digest and newline": {**MANIFEST, "layers": [{**CONFIG, "digest": CONFIG["digest"] + "\n"}]},
    "negative size": {**MANIFEST, "layers": [{**CONFIG, "size": -1}]},
    "float size": {**MANIFEST, "layers": [{**CONFIG, "size": 1.0}]},
    "boolean size": {**MANIFEST, "layers": [{**CONFIG, "size": True}]},
    "size beyond int64": {**MANIFEST, "layers": [{**CONFIG, "size": 2**63}]},
    "annotations is a list": {**MANIFEST, "annotations": []},
    "annotation is a number": {**MANIFEST, "annotations": {"a": 1}},
    "annotation is half a character": {**MANIFEST, "annotations": {"a": "\ud800"}},
    "annotation's key is half a character": {**MANIFEST, "annotations": {"\udc00": "a"}},
    "too many annotations": {**MANIFEST, "annotations": {str(number): "" for number in range(1001)}},
    "subject is text": {**MANIFEST, "subject": "x"},
    "artifact type is a list": {**MANIFEST, "artifactType": []},
    "platform is text": {**INDEX, "manifests": [{**CONFIG, "platform": "linux"}]},
    "platform is deep": {**INDEX, "manifests": [{**CONFIG, "platform": {"os": {"a": {}}}}]},
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_manifests(case: str) -> None:
    with pytest.raises(InvalidContent, match="The manifest") as failure:
        parse(BAD[case])
    assert len(str(failure.value)) < 1000


RAW = {
    "empty": b"",
    "html": b"<html>",
    "not utf-8": b'{"a": "\xff"}',
    "deep list": b"[" * 1_000_000,
    "deep object": b'{"a":' * 1_000_000,
    "more levels than a result may have": b'{"a":' * 101 + b"1" + b"}" * 101,
    "truncated": b'{"a": ',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "huge number": b'{"a": ' + b"9" * 100_000 + b"}",
    "key twice": b'{"config": 1, "config": 2}',
    "key twice, deep": b'{"a": [{"b": {"c": 1, "c": 1}}]}',
    "list": b"[]",
    "text": b'"x"',
    "byte order mark": b"\xef\xbb\xbf{}",
    "two documents": b"{}{}",
}


@pytest.mark.parametrize("case", RAW)
def test_bytes_that_are_no_object(case: str) -> None:
    start = time.process_time()
    with pytest.raises(InvalidContent, match="The answer"):
        load_json_object(RAW[case], "The answer")
    assert time.process_time() - start < 3


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_refused(raw: bytes) -> None:
    with pytest.raises(InvalidContent):
        parse_manifest(raw, "", "The manifest")


@given(st.sampled_from([MANIFEST, INDEX]), KEYS, JSON, st.sampled_from(["", media.OCI_MANIFEST, "x"]))
def test_any_value_is_read_or_refused(document: dict[str, Any], key: str, value: Any, content_type: str) -> None:
    try:
        found = parse({**document, key: value}, content_type)
    except InvalidContent:
        return
    # what was taken can be written again
    canonical_json(found.descriptor.as_json())
    for entry in (*found.layers, *found.manifests):
        canonical_json(entry.as_json())
        canonical_json(entry.as_result())


@given(st.sampled_from(["mediaType", "digest", "size", "annotations", "platform", "artifactType"]), JSON)
def test_any_descriptor_is_read_or_refused(key: str, value: Any) -> None:
    try:
        found = parse({**INDEX, "manifests": [{**CONFIG, key: value}]})
    except InvalidContent:
        return
    canonical_json(found.manifests[0].as_json())


def test_a_full_manifest_is_read_in_time() -> None:
    layers = [CONFIG] * (MAX_MANIFEST_SIZE // 200)
    start = time.process_time()
    parse({**MANIFEST, "layers": layers[:MAX_DESCRIPTORS]})
    assert time.process_time() - start < 2


@given(
    st.dictionaries(st.text(max_size=5), JSON.filter(lambda value: "NaN" not in repr(value)), max_size=5), st.randoms()
)
def test_canonical_json_depends_on_the_content_alone(document: dict[str, Any], random: Any) -> None:
    items = list(document.items())
    random.shuffle(items)
    try:
        raw = canonical_json(document)
    except ValueError:
        return  # infinite or not a number
    assert canonical_json(dict(items)) == raw
    assert json.loads(raw) == document


def test_canonical_json_is_stable() -> None:
    assert canonical_json({"b": [1, {"d": "\u00e4", "c": None}], "a": "\u2028"}) == (
        b'{"a":"\xe2\x80\xa8","b":[1,{"c":null,"d":"\xc3\xa4"}]}'
    )
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


# Digests


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_digests(algorithm: str) -> None:
    digest = digest_of(b"data", algorithm)
    assert is_digest(digest)
    assert parse_digest(digest)[0] == algorithm
    verify_bytes(b"data", digest, 4, "It")
    for data, size in ((b"dat", 4), (b"data!", 4), (b"date", 4), (b"date", None)):
        with pytest.raises(DigestMismatch, match="It "):
            verify_bytes(data, digest, size, "It")


def test_a_stream_is_cut_at_the_first_byte_too_many() -> None:
    verifier = Verifier(digest_of(b"data"), 4, "It")
    verifier.update(b"data")
    with pytest.raises(DigestMismatch, match="longer"):
        verifier.update(memoryview(b"!"))


@given(st.text(max_size=80))
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    assert not is_digest(text)
    with pytest.raises(InvalidReference):
        parse_digest(text)


@pytest.mark.parametrize(
    "value", [None, 7, b"", "sha256:" + "A" * 64, "sha256:" + "0" * 63, "sha256:" + "0" * 64 + "\n", "md5:" + "0" * 32]
)
def test_what_is_no_digest(value: Any) -> None:
    assert not is_digest(value)


# Options


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60), ("1.5", 1.5), ("90s", 90), ("1m30s", 90), ("500ms", 0.5), ("1h0.5m", 3630), (" 7 ", 7), (7, 7)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "1d", "s", "1m 30s", "nan", "inf", "1e3", "9" * 400, "\u0663", "1s" * 1000 + "x"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidOption, match="is not a duration") as failure:
        parse_duration(text, "interval")
    assert str(failure.value).startswith("'interval': ") and len(str(failure.value)) < 300


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("10GiB", 10 << 30), ("500M", 500 << 20), ("1.5k", 1536), (" 2 tb ", 2 << 40), (7, 7),
     ("9007199254740993", 9007199254740993)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.text(max_size=30))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidOption):
        assert parse_size(text) >= 0


@pytest.mark.parametrize("text", ["", "x", "-1", "1x", "1e3", "9" * 400, "\u0663"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidOption, match="is not a size"):
        parse_size(text)

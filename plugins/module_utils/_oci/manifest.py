# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptors, manifests and indexes: parsed from untrusted bytes, and built as canonical bytes.

Source: image-spec, descriptor.md, manifest.md and image-index.md. Docker's schema 2 documents have the same shape
and are read too; schema 1 is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from .._errors import InvalidContent
from . import media
from .digest import digest_of, is_digest

# distribution-spec, "Pushing Manifests": registries should accept manifests of at least 4 MiB.
MAX_MANIFEST_SIZE = 4 * 1024 * 1024
# image-spec, descriptor.md: an int64
MAX_SIZE = 2**63 - 1
MAX_DESCRIPTORS = 10_000
MAX_ANNOTATIONS = 1_000


@dataclass(frozen=True)
class Descriptor:
    """A content descriptor. ``size`` is in bytes."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The descriptor in the field names of the specification, empty fields left out."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.platform:
            document["platform"] = dict(self.platform)
        return document

    def as_result(self) -> dict[str, Any]:
        """The descriptor in snake case, as the modules return it."""
        result: dict[str, Any] = {"media_type": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            result["artifact_type"] = self.artifact_type
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        if self.platform:
            result["platform"] = dict(self.platform)
        return result


@dataclass(frozen=True)
class Manifest:
    """An image manifest or an image index whose bytes were checked against ``descriptor``."""

    descriptor: Descriptor
    raw: bytes
    config: Descriptor | None
    layers: Sequence[Descriptor]
    manifests: Sequence[Descriptor]
    artifact_type: str
    annotations: Mapping[str, str]
    subject: Descriptor | None

    @property
    def is_index(self) -> bool:
        return self.descriptor.media_type in media.INDEX_TYPES

    @property
    def digests(self) -> list[str]:
        """The digests of the manifest, its layers, and its config."""
        parts = [*self.layers, *([self.config] if self.config else ())]
        return [self.descriptor.digest, *(each.digest for each in parts)]

    @property
    def effective_artifact_type(self) -> str:
        """``artifactType``, or the config's media type where it is absent (image-spec, manifest.md, "artifactType")."""
        return self.artifact_type or (self.config.media_type if self.config else "")

    def as_referrer(self) -> Descriptor:
        """The descriptor as a list of referrers has it (distribution-spec, "Listing Referrers")."""
        found, artifact_type = self.descriptor, self.effective_artifact_type
        return Descriptor(found.media_type, found.digest, found.size, artifact_type, self.annotations)


def parse_manifest(raw: bytes, content_type: str, what: str) -> Manifest:
    """Read a manifest or an index.

    ``content_type`` is the media type that came with the bytes; ``what`` names the manifest in messages.

    :raises InvalidContent: when the bytes are not a manifest of a known type, or exceed a limit.
    """
    document = load_json_object(raw, what)
    media_type = _media_type(document, content_type, what)
    descriptor = Descriptor(media_type=media_type, digest=digest_of(raw), size=len(raw))
    config = _descriptor(document["config"], what + ", config") if document.get("config") is not None else None
    if media_type in media.MANIFEST_TYPES and config is None:
        raise InvalidContent(f"{what} is not an image manifest: it has no config descriptor.")
    subject = _descriptor(document["subject"], what + ", subject") if document.get("subject") is not None else None
    return Manifest(
        descriptor=descriptor,
        raw=raw,
        config=config,
        layers=_descriptors(document, "layers", what) if media_type in media.MANIFEST_TYPES else (),
        manifests=_descriptors(document, "manifests", what) if media_type in media.INDEX_TYPES else (),
        artifact_type=_text(document.get("artifactType", ""), "artifactType", what),
        annotations=_annotations(document.get("annotations"), what),
        subject=subject,
    )


def load_json_object(raw: bytes, what: str) -> dict[str, Any]:
    """Decode a JSON object.

    :raises InvalidContent: when the bytes are something else (HTML, truncated JSON, a list), or nested too deep.
    """
    from .nesting import MAX_LEVELS, is_nested_too_deep

    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        start = raw[:60].decode("utf-8", "replace").strip()
        is_ours = isinstance(exc, ValueError) and not isinstance(exc, (json.JSONDecodeError, UnicodeDecodeError))
        reason = str(exc)[:100] if is_ours else type(exc).__name__
        found = "HTML" if start[:1] == "<" else f"bytes that begin with {start!r}"
        raise InvalidContent(
            f"{what} is not JSON ({reason}): found {found}.",
            "Check that the host is a registry and that no proxy or login page answers in its place.",
        ) from None
    if not isinstance(document, dict):
        raise InvalidContent(f"{what} is not a JSON object but a {type(document).__name__}.")
    if is_nested_too_deep(document):
        raise InvalidContent(f"{what} is nested too deep: it has more than {MAX_LEVELS} levels.")
    return document


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """Canonical JSON bytes: sorted keys, no white space, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def descriptor_from_json(value: Any, what: str) -> Descriptor:
    """Read one descriptor.

    :raises InvalidContent: when it is malformed.
    """
    return _descriptor(value, what)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        # readers differ in which one they use, and the document that is verified must be the one that is used
        raise ValueError("a key occurs twice")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _media_type(document: Mapping[str, Any], content_type: str, what: str) -> str:
    media_type = _text(document.get("mediaType", ""), "mediaType", what) or content_type.partition(";")[0].strip()
    if document.get("schemaVersion") == 1 or media_type in (media.DOCKER_SCHEMA1, media.DOCKER_SCHEMA1_SIGNED):
        raise InvalidContent(
            f"{what} is a Docker schema 1 manifest, which has no config and no verifiable layers.",
            "Push the artifact again with a current tool.",
        )
    known = media.MANIFEST_TYPES + media.INDEX_TYPES
    if media_type not in known:
        if "manifests" in document:
            media_type = media.OCI_INDEX
        elif "layers" in document and "config" in document:
            media_type = media.OCI_MANIFEST
        else:
            raise InvalidContent(f"{what} is not a manifest: its media type is {media_type[:100]!r}.")
    if ("layers" in document or "config" in document) and media_type in media.INDEX_TYPES:
        # image-spec, manifest.md: a document that could be read as both must be refused
        raise InvalidContent(f"{what} is both a manifest and an index.")
    if "manifests" in document and media_type in media.MANIFEST_TYPES:
        raise InvalidContent(f"{what} is both a manifest and an index.")
    return media_type


def _descriptors(document: Mapping[str, Any], key: str, what: str) -> tuple[Descriptor, ...]:
    value = document.get(key)
    if value is None:
        value = []
    if not isinstance(value, list):
        raise InvalidContent(f"{what} is malformed: {key!r} is not a list.")
    if len(value) > MAX_DESCRIPTORS:
        raise InvalidContent(f"{what} has {len(value)} {key}, more than the {MAX_DESCRIPTORS} allowed.")
    return tuple(_descriptor(item, f"{what}, {key}[{number}]") for number, item in enumerate(value))


def _descriptor(value: Any, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise InvalidContent(f"{what} is not a descriptor.")
    digest, size = value.get("digest"), value.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        raise InvalidContent(f"{what} has no valid digest: {str(digest)[:100]!r}.")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_SIZE:
        raise InvalidContent(f"{what} has no valid size: {str(size)[:30]!r}.")
    return Descriptor(
        media_type=_text(value.get("mediaType", ""), "mediaType", what),
        digest=digest,
        size=size,
        artifact_type=_text(value.get("artifactType", ""), "artifactType", what),
        annotations=_annotations(value.get("annotations"), what),
        platform=_platform(value.get("platform"), what),
    )


def _platform(value: Any, what: str) -> dict[str, Any]:
    """The platform of a descriptor: strings, and lists of strings for the features (image-spec, image-index.md)."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(
        entry is None or _is_text(entry) or (isinstance(entry, list) and all(_is_text(word) for word in entry))
        for entry in value.values()
    ):
        raise InvalidContent(f"{what} has a platform that is not an object of strings and lists of strings.")
    return value


def _annotations(value: Any, what: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(_is_text(text) for pair in value.items() for text in pair):
        raise InvalidContent(f"{what} has annotations that are not an object of strings.")
    if len(value) > MAX_ANNOTATIONS:
        raise InvalidContent(f"{what} has more than {MAX_ANNOTATIONS} annotations.")
    return value


def _text(value: Any, key: str, what: str) -> str:
    if value is None:
        return ""
    if not _is_text(value):
        raise InvalidContent(f"{what} is malformed: {key!r} is not a string.")
    return cast(str, value)


def _is_text(value: Any) -> bool:
    """True for a string that UTF-8 can encode: JSON may escape half a surrogate pair, which UTF-8 cannot."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file ``index.json`` of an OCI image layout: the manifests of its tags, and the insertion of an entry.

Source: image-spec, image-layout.md, "index.json file", and annotations.md. A tag is an entry with the annotation
``org.opencontainers.image.ref.name``. The annotation may hold a whole reference (``docker.io/library/x:1.0``): then its
tag is used, unless another entry has that tag.

Cosign and Hauler add the annotation ``kind``. An entry with signatures, attestations, SBOMs or a referrer is not an
artifact of its own: in Hauler's stores it may have the name of the artifact that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidContent
from .._oci import media
from .._oci.manifest import Descriptor, Manifest, descriptor_from_json
from .._oci.reference import is_tag

LAYOUT_VERSION = "1.0.0"

# Written by containerd and docker beside the standard annotation, with the same meaning.
_ANNOTATION_IMAGE_NAME = "io.containerd.image.name"

# cosign, pkg/oci/layout/index.go; hauler, pkg/consts/consts.go, in its older and newer releases
_ANNOTATION_KIND = "kind"
_KINDS = ("dev.cosignproject.cosign/", "dev.hauler/")
SIGNATURES, ATTESTATIONS = "sigs", "atts"
_ATTACHED = (SIGNATURES, ATTESTATIONS, "sboms", "referrers")
# tags of what is attached to an artifact: cosign's, and those of referrers (distribution-spec, "Referrers Tag Schema")
_ATTACHED_TAG = re.compile(r"sha256-[0-9a-f]{64}(\.(sig|att|sbom))?\Z")


@dataclass(frozen=True)
class LayoutIndex:
    """``index.json``: the document itself, its entries, and the entries of each tag."""

    document: dict[str, Any]
    entries: Sequence[Descriptor]
    tags: Mapping[str, Sequence[Descriptor]]

    @property
    def artifacts(self) -> list[Descriptor]:
        """Return the entries whose kind or tag does not say that they are attached to another one."""
        return [
            entry
            for entry in self.entries
            if kind_of(entry) not in _ATTACHED and not _ATTACHED_TAG.match(ref_name(entry))
        ]

    @property
    def is_saved(self) -> bool:
        """Return True for an index that ``cosign save`` or Hauler wrote, or that keeps entries of theirs."""
        return any(map(kind_of, self.entries))


def check_version(document: Mapping[str, Any], place: str) -> None:
    """Check the content of the file ``oci-layout``.

    :raises InvalidContent: when it names another version than this collection reads.
    """
    version = document.get("imageLayoutVersion")
    if version != LAYOUT_VERSION:
        raise InvalidContent(
            f"{place} has version {str(version)[:40]!r}, not {LAYOUT_VERSION!r}.", "Write it again with a current tool."
        )


def parse_index(document: dict[str, Any], what: str) -> LayoutIndex:
    manifests = document.get("manifests")
    # Go writes an empty list as null
    if document.get("schemaVersion") != 2 or not isinstance(manifests, (list, type(None))):
        raise InvalidContent(
            f"{what} is not an image index: it has no schemaVersion 2 or no list of manifests.",
            "Check that the directory is an OCI image layout.",
        )
    entries = [
        descriptor_from_json(item, f"{what}, manifests[{number}]") for number, item in enumerate(manifests or ())
    ]
    exact: dict[str, dict[str, Descriptor]] = {}
    parts: dict[str, dict[str, Descriptor]] = {}
    for entry in entries:
        name = ref_name(entry)
        if not name or kind_of(entry) in _ATTACHED:
            continue
        if is_tag(name):
            exact.setdefault(name, {})[entry.digest] = entry
        elif "@" not in name:
            _place, colon, tag = name.rpartition(":")
            if colon and is_tag(tag):
                parts.setdefault(tag, {})[entry.digest] = entry
    tags = {tag: list(found.values()) for tag, found in {**parts, **exact}.items()}
    return LayoutIndex(document=document, entries=entries, tags=tags)


def list_manifest(document: dict[str, Any], manifest: Manifest, tag: str) -> bool:
    """Add a manifest to the list of ``index.json``; False when nothing changes."""
    entries: list[dict[str, Any]] = list(document.get("manifests") or ())
    digest = manifest.descriptor.digest
    named = [entry for entry in entries if _raw_name(entry) == tag] if tag else []
    listed = [entry for entry in entries if entry["digest"] == digest]
    if (listed and not tag) or (len(named) == 1 and named[0]["digest"] == digest):
        return False
    for entry in named:
        entries.remove(entry)
        if not any(other["digest"] == entry["digest"] for other in entries):
            entries.append(without_name(entry))
    # an entry without a name only lists the manifest, and can get the name
    unnamed = next((entry for entry in entries if entry["digest"] == digest and not _raw_name(entry)), None)
    new = dict(unnamed or _entry_of(manifest))
    if unnamed:
        entries.remove(unnamed)
    if tag:
        new["annotations"] = {**(new.get("annotations") or {}), media.ANNOTATION_REF_NAME: tag}
    entries.append(new)
    # sorted by name, whatever the order of pushes; entries without a name keep their order, which decides on platforms
    document["manifests"] = sorted(entries, key=lambda entry: (not _raw_name(entry), _raw_name(entry)))
    return True


def _entry_of(manifest: Manifest) -> dict[str, Any]:
    found = manifest.descriptor
    return Descriptor(found.media_type, found.digest, found.size, artifact_type=manifest.artifact_type).as_json()


def _raw_name(entry: Mapping[str, Any]) -> str:
    return str((entry.get("annotations") or {}).get(media.ANNOTATION_REF_NAME, ""))


def without_name(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without the annotations that give it a tag."""
    names = (media.ANNOTATION_REF_NAME, _ANNOTATION_IMAGE_NAME)
    annotations = {key: value for key, value in entry["annotations"].items() if key not in names}
    rest = {key: value for key, value in entry.items() if key != "annotations"}
    return {**rest, "annotations": annotations} if annotations else rest


def kind_of(entry: Descriptor) -> str:
    """Return what an entry is, such as ``image`` or ``sigs``; empty where no tool has said it."""
    kind = entry.annotations.get(_ANNOTATION_KIND)
    if not kind:
        return ""
    own = next((kind[len(prefix) :] for prefix in _KINDS if kind.startswith(prefix)), "")
    # Hauler may append the digest of the manifest
    return own.partition("/")[0]


def ref_name(entry: Descriptor) -> str:
    return entry.annotations.get(media.ANNOTATION_REF_NAME, "")

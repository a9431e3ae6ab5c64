# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of a docker archive as an image layout: ``podman save``, ``docker save`` before Docker 25, ``crane pull``.

Source: moby, image/spec/spec.md, "Combined Image JSON + Filesystem Changeset Format"; containers/image,
docker/internal/tarfile; go-containerregistry, pkg/v1/tarball. ``manifest.json`` lists the images: the file of the
config, those of the layers, and the names. The config lists digests of the layers, uncompressed.

There is no manifest in it, so one is made, the same one for the same files. Content is not read for that, except where
layers are compressed: then their digests are not in the config.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable
from dataclasses import replace
from typing import Any, BinaryIO

from .._archive.decompress import sniff
from .._errors import InvalidContent
from .._files.bounded import READ_SIZE, pieces
from .._oci import media
from .._oci.digest import digest_of, is_digest
from .._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, canonical_json, load_json_object
from .._oci.nesting import is_nested_too_deep
from .blobs import blob_name
from .index import LAYOUT_VERSION
from .reader import INDEX_FILE, LAYOUT_FILE, read_bounded
from .tar_members import DOCKER_FILE, Section, TarMembers

# Limits of one archive: images, their layers and names, and bytes of their configs.
MAX_IMAGES = 1_000
MAX_LAYERS = 20_000
MAX_NAMES = 20_000
MAX_CONFIGS = 64 * 1024 * 1024
# Links that lead to one file: docker makes one for a layer that it has written already.
_MAX_LINKS = 8

_AGAIN = "Save the images again."
_COMPRESSIONS = ("gzip", "zstd")


def with_layout(members: TarMembers, open_section: Callable[[Section], BinaryIO], what: str) -> TarMembers:
    """Return the files of a docker archive as those of an image layout.

    :param open_section: opens a part of the archive for reading.
    :param what: names the archive at the beginning of messages.
    :raises InvalidContent: when it is malformed, lacks a file that it names, or has more than the limits allow.
    :raises OSError: when it cannot be read.
    """
    return _Images(members, open_section, what).read()


class _Images:
    def __init__(self, members: TarMembers, open_section: Callable[[Section], BinaryIO], what: str) -> None:
        self._members = members
        self._open = open_section
        self._what = what
        self._sections = dict(members.sections)
        self._documents: dict[str, bytes] = {}
        self._layers: dict[Section, Descriptor] = {}
        self._layers_left, self._config_bytes_left = MAX_LAYERS, MAX_CONFIGS

    def read(self) -> TarMembers:
        entries: dict[tuple[str, str], Descriptor] = {}
        for number, item in enumerate(self._items()):
            manifest = self._manifest(item, number)
            names = self._texts(item.get("RepoTags"), f"RepoTags of image {number}")
            for name in names or [""]:
                annotations = {media.ANNOTATION_REF_NAME: name} if name else {}
                entries[manifest.digest, name] = replace(manifest, annotations=annotations)
            if len(entries) > MAX_NAMES:
                raise self._refuse(f"it has more than {MAX_NAMES} names of images")
        index = {
            "schemaVersion": 2,
            "mediaType": media.OCI_INDEX,
            "manifests": [entry.as_json() for entry in entries.values()],
        }
        self._add(LAYOUT_FILE, canonical_json({"imageLayoutVersion": LAYOUT_VERSION}))
        self._add(INDEX_FILE, canonical_json(index))
        return replace(self._members, sections=self._sections, documents=self._documents)

    def _items(self) -> list[dict[str, Any]]:
        """Return the images that ``manifest.json`` lists."""
        raw = self._content(DOCKER_FILE, MAX_MANIFEST_SIZE)
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            found = None
        is_list = isinstance(found, list) and all(isinstance(item, dict) for item in found)
        if not is_list or is_nested_too_deep(found):
            raise self._refuse(f"it has no image layout, and its {DOCKER_FILE} is not docker's list of images")
        if len(found) > MAX_IMAGES:
            raise self._refuse(f"it has more than {MAX_IMAGES} images")
        return list(found)

    def _manifest(self, item: dict[str, Any], number: int) -> Descriptor:
        """Make the manifest of an image, and note where its config and layers are."""
        (config_name,) = self._texts([item.get("Config")], f"Config of image {number}")
        raw = self._content(config_name, min(MAX_MANIFEST_SIZE, self._config_bytes_left))
        self._config_bytes_left -= len(raw)
        config = Descriptor(media.OCI_CONFIG, digest_of(raw), len(raw))
        self._add(blob_name(config.digest), raw)
        document = load_json_object(raw, f"The file {config_name} in {self._what[0].lower()}{self._what[1:]}")
        rootfs = document.get("rootfs")
        digests = self._texts(
            rootfs.get("diff_ids") if isinstance(rootfs, dict) else None, f"diff_ids of {config_name}"
        )
        names = self._texts(item.get("Layers"), f"Layers of image {number}")
        if len(names) != len(digests) or not all(map(is_digest, digests)):
            raise self._refuse(
                f"image {number} has {len(names)} layers, and digests of {len(digests)} in {config_name}"
            )
        self._layers_left -= len(names)
        if self._layers_left < 0:
            raise self._refuse(f"its images have more than {MAX_LAYERS} layers")
        layers = [self._layer(name, digest) for name, digest in zip(names, digests)]
        made = canonical_json(
            {
                "schemaVersion": 2,
                "mediaType": media.OCI_MANIFEST,
                "config": config.as_json(),
                "layers": [layer.as_json() for layer in layers],
            }
        )
        manifest = Descriptor(media.OCI_MANIFEST, digest_of(made), len(made))
        self._add(blob_name(manifest.digest), made)
        return manifest

    def _layer(self, name: str, digest: str) -> Descriptor:
        """Return the descriptor of a layer. ``digest`` is that of its content before it was compressed."""
        section = self._section(name)
        found = self._layers.get(section)
        if found is None or (found.media_type == media.OCI_LAYER and found.digest != digest):
            with self._open(section) as handle:
                kind = sniff(handle.read(512))
            if kind in _COMPRESSIONS:
                found = Descriptor(f"{media.OCI_LAYER}+{kind}", self._hash(section), section.size)
            else:
                found = Descriptor(media.OCI_LAYER, digest, section.size)
            self._layers[section] = found
        self._sections[blob_name(found.digest)] = section
        return found

    def _hash(self, section: Section) -> str:
        hashed = hashlib.sha256()
        with self._open(section) as handle:
            for chunk in pieces(handle, READ_SIZE):
                hashed.update(chunk)
        return f"sha256:{hashed.hexdigest()}"

    def _content(self, name: str, limit: int) -> bytes:
        with self._open(self._section(name)) as handle:
            return read_bounded(handle, limit, f"{name} in {self._what[0].lower()}{self._what[1:]}")

    def _section(self, name: str) -> Section:
        """Return the place of a file, also by a link within the archive."""
        wanted = name
        for _link in range(_MAX_LINKS):
            wanted = posixpath.normpath(wanted)
            if wanted in self._members.ambiguous:
                raise self._refuse(f"it has {wanted[:200]!r} twice, and which one counts depends on the reader")
            target = self._members.links.get(wanted)
            if target is None:
                found = self._members.others.get(wanted) or self._members.sections.get(wanted)
                if found is None:
                    break
                return found
            wanted = posixpath.join(posixpath.dirname(wanted), target)
        raise self._refuse(f"it names the file {name[:200]!r}, which is not in it")

    def _add(self, name: str, content: bytes) -> None:
        self._documents[name] = content
        self._sections[name] = Section(0, len(content))

    def _texts(self, value: Any, name: str) -> list[str]:
        """Return a list of texts, an empty one for null."""
        found = [] if value is None else value
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self._refuse(f"{name} is not as docker writes it")
        return found

    def _refuse(self, problem: str) -> InvalidContent:
        return InvalidContent(f"{self._what} cannot be read: {problem}.", _AGAIN)

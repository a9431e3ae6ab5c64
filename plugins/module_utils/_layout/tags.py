# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves and removes the tags of an OCI image layout, and removes manifests with what only they need.

All of it takes place under the lock for writing, with ``index.json`` replaced as a whole: no other task of this
collection can come between the look at a tag and its move.

Blobs are removed after the manifests that led to them have left ``index.json``, so that no tag is ever without its
content. What is to be removed is listed in the file ``.removal`` until it is: a run that was cut short leaves that
file, and the next one goes on from it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .._errors import InvalidContent, NotFound, OciError
from .._oci import media
from .._oci.digest import is_digest
from .._oci.manifest import Descriptor, Manifest
from .._oci.tag_store import moved_meanwhile
from .blobs import blob_name
from .index import LayoutIndex, list_manifest, without_name
from .reader import MAX_INDEX_SIZE, MAX_SCANNED
from .repository import LayoutRepository

REMOVAL_FILE = ".removal"


class LayoutTags(LayoutRepository):
    """Implements :class:`~._oci.tag_store.TagStore` for a layout, which has to be there."""

    def move(self, manifest: Manifest, tag: str, before: str) -> None:
        with self._locked():
            index = self._at(tag, before)
            if list_manifest(index.document, manifest, tag):
                self._write_index(index.document)

    def remove_tag(self, tag: str, before: str) -> None:
        with self._locked():
            index = self._at(tag, before)
            if before:
                _remove_name(index.document, tag)
                self._write_index(index.document)

    def named_otherwise(self) -> set[str]:
        tags = self._index().tags.values()
        return {entry.digest for found in tags if len(found) > 1 for entry in found}

    def remove_manifests(self, digests: Collection[str]) -> None:
        """Remove manifests, and the blobs that only they lead to. Blobs that nothing of this led to are left alone.

        :raises InvalidContent: in a layout of ``cosign save``, whose content is not all listed, and when a manifest
            that stays cannot be read, so that what it needs is not known.
        """
        gone = frozenset(digests)
        self._index()  # there has to be a layout
        with self._locked():
            index = self._load_index()
            if index.is_saved:
                raise InvalidContent(
                    f"The layout {self.root} was written by cosign save, which does not list all that belongs to it: "
                    "what can be removed is not known.",
                    "Copy what you want to keep into a new layout.",
                )
            entries = list(index.document.get("manifests") or ())
            kept = [entry for entry in entries if entry["digest"] not in gone]
            needed = self._reached(each for each in index.entries if each.digest not in gone)
            superfluous = self._reached([self._entry(digest) for digest in digests], lenient=True) | gone
            index.document["manifests"] = kept
            listed = [*self._listed_for_removal(), *sorted(superfluous - needed)]
            self.store.replace_file(REMOVAL_FILE, json.dumps(listed).encode("ascii"))
            self._write_index(index.document)
            self._remove_blobs(listed, needed)

    def finish_removal(self) -> None:
        if self.store.directory.size(REMOVAL_FILE) is None:
            return
        with self._locked():
            index = self._load_index()
            if not index.is_saved:
                self._remove_blobs(self._listed_for_removal(), self._reached(index.entries))

    def _listed_for_removal(self) -> list[str]:
        """Return the digests that a run which was cut short has left to be removed."""
        try:
            with self.store.directory.open_file(REMOVAL_FILE) as stream:
                found = json.loads(stream.read(MAX_INDEX_SIZE))
        except (FileNotFoundError, ValueError, RecursionError):
            return []
        # the file may be anybody's who may write to the layout
        return [each for each in found if isinstance(each, str) and is_digest(each)] if isinstance(found, list) else []

    def _remove_blobs(self, digests: Iterable[str], needed: Collection[str]) -> None:
        for digest in digests:
            if digest not in needed:
                self.store.directory.remove(blob_name(digest))
        self.store.directory.remove(REMOVAL_FILE)

    def _at(self, tag: str, before: str) -> LayoutIndex:
        """Return what is listed now, when the tag is still where it was found."""
        index = self._load_index()
        found = sorted({entry.digest for entry in index.tags.get(tag, ())})
        if found != ([before] if before else []):
            raise moved_meanwhile(str(self.reference.at(tag=tag)), ", ".join(found), before)
        return index

    def _entry(self, digest: str) -> Descriptor:
        return Descriptor(media_type="", digest=digest, size=self.store.size(digest) or 0)

    def _reached(self, entries: Iterable[Descriptor], *, lenient: bool = False) -> set[str]:
        """Return the digests of manifests and of all that they lead to. ``lenient`` passes over what cannot be read."""
        pending, reached = deque(entries), set()
        while pending:
            entry = pending.popleft()
            if entry.digest in reached:
                continue
            reached.add(entry.digest)
            if entry.media_type not in ("", *media.MANIFEST_TYPES, *media.INDEX_TYPES):
                continue
            if len(reached) > MAX_SCANNED * 10:
                raise InvalidContent(f"The layout {self.root} has too many manifests to find out what they need.")
            try:
                manifest = self._read_manifest(entry)
            except NotFound:
                continue  # a layout may hold some platforms of an index only
            except OciError:
                if lenient:
                    continue
                raise
            reached.update(part.digest for part in manifest.layers)
            reached.update([manifest.config.digest] if manifest.config else ())
            pending.extend(manifest.manifests)
        return reached


def _remove_name(document: dict[str, Any], tag: str) -> None:
    """Take a tag from the entries of ``index.json``; they stay listed without it, for what they are."""
    entries: list[dict[str, Any]] = list(document.get("manifests") or ())
    rest = [entry for entry in entries if not _is_named(entry, tag)]
    for entry in entries:
        if _is_named(entry, tag) and not any(other["digest"] == entry["digest"] for other in rest):
            rest.append(without_name(entry))
    document["manifests"] = rest


def _is_named(entry: Mapping[str, Any], tag: str) -> bool:
    """True when an entry has the tag as its name, or at the end of a whole reference."""
    name = str((entry.get("annotations") or {}).get(media.ANNOTATION_REF_NAME, ""))
    return name == tag or ("@" not in name and name.endswith(f":{tag}"))

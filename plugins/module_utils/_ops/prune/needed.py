# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What manifests lead to in one repository: the parts of an index, and what is attached to each of them.

Attached are referrers, by the API or the fallback tag, and what cosign puts under ``.sig``, ``.att`` and ``.sbom``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..._errors import InvalidContent, NotFound
from ..._oci import media
from ..._oci.digest import fallback_tag
from ..._oci.reference import is_tag

if TYPE_CHECKING:
    from ..._oci.manifest import Descriptor, Manifest
    from ..._oci.repository import Repository

_SUFFIXES = (".sig", ".att", ".sbom")
# The most manifests that one artifact may lead to.
MAX_REACHED = 10_000


@dataclass
class Tree:
    """What goes with one artifact: manifests in the order in which they are removed, and tags of what is attached, each
    with its digest. ``own`` is the artifact, followed by the parts of its index."""

    attached: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


class Needs:
    """Reads the manifests of one repository, each once."""

    def __init__(self, repository: Repository, attached_tags: Collection[str]) -> None:
        """``attached_tags`` are the tags of the repository that are no releases."""
        self._repository = repository
        self._attached_tags = frozenset(attached_tags)
        self._read: dict[str, Manifest | None] = {}
        self._attached: dict[str, tuple[list[str], dict[str, str]]] = {}

    def manifest(self, digest: str) -> Manifest | None:
        """A manifest without its bytes, of which many would fill the memory; None when it is not there.

        :raises InvalidContent: when it cannot be read: what it needs is not known then.
        """
        if digest not in self._read:
            try:
                self._read[digest] = replace(self._repository.fetch_manifest(digest), raw=b"")
            except NotFound:
                self._read[digest] = None
        return self._read[digest]

    def protected(self, roots: Iterable[Descriptor | str]) -> set[str]:
        """Manifests that stay: the roots, and the parts of those that are an index, at any depth.

        :param roots: descriptors, which say whether they are an index, or digests.
        """
        pending, found = deque(roots), set()
        while pending:
            root = pending.popleft()
            digest = root if isinstance(root, str) else root.digest
            if digest in found:
                continue
            found.add(digest)
            if isinstance(root, str) or root.media_type in ("", *media.INDEX_TYPES):
                manifest = self.manifest(digest)
                pending.extend(manifest.manifests if manifest is not None else ())
        return found

    def tree(self, digest: str, protected: Collection[str]) -> Tree:
        """What would go with an artifact: all that it leads to and that is not protected.

        :raises InvalidContent: when it leads to more than MAX_REACHED manifests.
        """
        found = Tree()
        seen = set(protected)
        pending: deque[tuple[str, bool]] = deque([(digest, True)])
        while pending:
            each, is_own = pending.popleft()
            if each in seen:
                continue
            seen.add(each)
            if len(found.own) + len(found.attached) > MAX_REACHED:
                raise InvalidContent(f"The artifact {digest} leads to more than {MAX_REACHED} manifests.")
            # what is attached to something attached goes before it
            found.own.append(each) if is_own else found.attached.insert(0, each)
            manifest = self.manifest(each)
            if manifest is not None and is_own:
                pending.extend((part.digest, True) for part in manifest.manifests)
            others, tags = self._attached_to(each)
            found.tags.update(tags)
            pending.extend((other, False) for other in others)
        return found

    def attached_tags(self, digest: str, protected: Collection[str]) -> list[str]:
        """The tags of what is attached to an artifact and to the parts of its index that go."""
        tree = self.tree(digest, protected)
        return [*tree.tags, *(tag for each in tree.own for tag in tags_attached_to(each))]

    def is_subject(self, digest: str, protected: Collection[str]) -> bool:
        """Whether something protected is attached to an artifact that would go, or to what would go with it."""
        tree = self.tree(digest, protected)
        return any(other in protected for each in (*tree.own, *tree.attached) for other in self._attached_to(each)[0])

    def _refers(self, digest: str, subject: str) -> bool:
        manifest = self.manifest(digest)
        return manifest is not None and manifest.subject is not None and manifest.subject.digest == subject

    def _attached_to(self, digest: str) -> tuple[list[str], dict[str, str]]:
        """The digests of what is attached to a manifest, and the tags that lead to it."""
        if digest not in self._attached:
            self._attached[digest] = self._find_attached(digest)
        return self._attached[digest]

    def _find_attached(self, digest: str) -> tuple[list[str], dict[str, str]]:
        found, tags = [], {}
        for entry in self._repository.list_referrers(digest):
            # a list under a fallback tag is what anybody wrote
            if self._refers(entry.digest, digest):
                found.append(entry.digest)
        for tag in tags_attached_to(digest):
            if tag in self._attached_tags:
                try:
                    held = self._repository.resolve(tag).digest
                except NotFound:
                    continue
                tags[tag] = held
                found.append(held)
        return found, tags


def tags_attached_to(digest: str) -> list[str]:
    """The tags that belong to a digest: the fallback tag of its referrers, and cosign's."""
    name = digest.replace(":", "-")
    return [fallback_tag(digest), *(name + suffix for suffix in _SUFFIXES if is_tag(name + suffix))]

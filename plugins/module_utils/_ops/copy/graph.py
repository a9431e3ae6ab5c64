# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to an artifact: the manifests of its platforms, what refers to it, and what cosign keeps under tags.

Source: distribution-spec v1.1, "Listing Referrers"; cosign, specs/SIGNATURE_SPEC.md, "Storage" (``.sig``, ``.att``,
``.sbom``). Each manifest that is found is looked at in the same way: signatures of a platform, and of an SBOM, count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._errors import InvalidContent, NotFound
from ..._oci import media
from ..._oci.manifest import Descriptor, Manifest
from ..._oci.reference import is_tag
from ..._oci.repository import Repository
from .platforms import ChosenPlatforms, missing_at_source
from .tags import Tags

TAG_SUFFIXES = (".sig", ".att", ".sbom")

# Limits of what belongs to one artifact: manifests, their bytes together, and how deep they are nested.
MAX_MANIFESTS = 10_000
MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 32


@dataclass(frozen=True)
class Part:
    """A manifest that belongs to an artifact. ``tag`` is that of cosign under which it is kept, or empty;
    ``is_content`` is True for the artifact itself and the manifests of its platforms."""

    manifest: Manifest
    tag: str = ""
    is_content: bool = False

    @property
    def digest(self) -> str:
        return self.manifest.descriptor.digest

    @property
    def blobs(self) -> list[Descriptor]:
        """Config, layers, and what an index lists beside manifests, as build caches do."""
        found = self.manifest
        listed = [each for each in found.manifests if not is_manifest(each)]
        return [*([found.config] if found.config else []), *found.layers, *listed]


def is_manifest(descriptor: Descriptor) -> bool:
    return descriptor.media_type in (*media.MANIFEST_TYPES, *media.INDEX_TYPES)


class Graph:
    """Finds the parts of artifacts in one repository. Its ``tags`` are listed once, for all its artifacts.

    :param platforms: of the manifests that the artifact lists for platforms, those for others are left out.
    :param is_whole: False where what an index lists may have been left out before, so that its absence is no error.
    """

    def __init__(
        self,
        source: Repository,
        platforms: ChosenPlatforms | None = None,
        tags: Tags | None = None,
        *,
        is_whole: bool = True,
    ) -> None:
        self.warnings: list[str] = []
        self.is_whole = is_whole
        self.platforms = platforms or ChosenPlatforms(())
        self._source = source
        self._tags = tags or Tags(source)

    def parts(self, root: Manifest) -> list[Part]:
        """Return an artifact and all that belongs to it, in the order in which they can be pushed: what a manifest
        names, and the subject of a referrer, come before it.

        A referrer that is listed and not there is left out; ``warnings`` says so.

        :raises NotFound: when the manifest of a platform is not there.
        :raises InvalidContent: when there is more than the limits allow, or none of the chosen platforms.
        """
        search = _Search(self, self._source)
        search.visit(Part(root, is_content=True), 0)
        return search.found

    def tags_of(self, digest: str) -> list[str]:
        """Return the tags of cosign that exist for a digest."""
        wanted = [digest.replace(":", "-") + suffix for suffix in TAG_SUFFIXES]
        # a layout of "cosign save" has no such tags, and knows what belongs there when it is asked for one
        known = wanted if self._source.reference.is_layout else self._tags.known()
        return [tag for tag in wanted if is_tag(tag) and (known is None or tag in known)]


class _Search:
    def __init__(self, graph: Graph, source: Repository) -> None:
        self.found: list[Part] = []
        self._graph = graph
        self._source = source
        self._seen: set[tuple[str, str]] = set()
        self._digests: set[str] = set()
        self._size = 0

    def visit(self, part: Part, depth: int) -> None:
        is_known = part.digest in self._digests
        self._note(part, depth)
        if is_known:
            self.found.append(part)
            return
        for child in self._children(part):
            try:
                self._go_on(child.digest, depth, is_content=part.is_content)
            except NotFound as exc:
                if self._graph.is_whole:
                    raise missing_at_source(exc, self._source.reference.name) from None
        self.found.append(part)
        for referrer in self._source.list_referrers(part.digest):
            try:
                self._go_on(referrer.digest, depth)
            except NotFound as exc:
                self._graph.warnings.append(f"What refers to {part.digest} was not copied. {exc.message}")
        for tag in self._graph.tags_of(part.digest):
            try:
                manifest = self._source.fetch_manifest(tag)
            except NotFound:
                continue
            if (manifest.descriptor.digest, tag) not in self._seen:
                self.visit(Part(manifest, tag), depth + 1)

    def _children(self, part: Part) -> Sequence[Descriptor]:
        children = [each for each in part.manifest.manifests if is_manifest(each)]
        if not part.is_content:
            return children
        return self._graph.platforms.of(children, str(self._source.reference.at(digest=part.digest)))

    def _go_on(self, digest: str, depth: int, *, is_content: bool = False) -> None:
        if (digest, "") not in self._seen:
            self.visit(Part(self._source.fetch_manifest(digest), is_content=is_content), depth + 1)

    def _note(self, part: Part, depth: int) -> None:
        self._seen.add((part.digest, part.tag))
        self._digests.add(part.digest)
        self._size += len(part.manifest.raw)
        if len(self._seen) > MAX_MANIFESTS or self._size > MAX_BYTES or depth > MAX_DEPTH:
            raise InvalidContent(
                f"To {self._source.reference.name} belongs more than is copied with one artifact: over {MAX_MANIFESTS} "
                f"manifests, {MAX_BYTES} bytes of them, or {MAX_DEPTH} of them that refer to each other.",
                "Find out who attached so much to it.",
            )

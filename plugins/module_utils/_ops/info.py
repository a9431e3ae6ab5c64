# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look: resolve a reference, rank tags, show what a manifest holds and what refers to it. Nothing is ever changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._oci.errors import InvalidContent, InvalidOption, NoMatch, NotFound
from .._oci.options import AuthOptions, ConnectionOptions
from .._oci.transport import MAX_SMALL_BLOB, Repository, read_small_blob
from .resolve import ReferenceOptions, Target, open_repository, parse_target, resolve

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor, Manifest

GATHERED = ("manifest", "config", "layers", "tags", "platforms", "referrers")
SORTS = ("policy", "semver", "alphabetical", "registry")


@dataclass(frozen=True)
class InfoOptions:
    """Everything that a look is told. ``limit`` bounds the list of tags (0: all)."""

    reference: ReferenceOptions
    gather: Sequence[str] = ("manifest",)
    limit: int = 0
    sort: str = "policy"
    platform: str = ""
    artifact_type: str = ""
    missing_ok: bool = False
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)


def info(options: InfoOptions) -> dict[str, Any]:
    """What the module returns: ``exists``, ``artifact``, ``served_by``, and each gathered part under its name.

    A listing of tags without a tag, digest or selection of its own resolves nothing: a repository has tags without
    having ``latest``.

    Requests: one HEAD for a tag or digest, a GET in its place when a part of the manifest is gathered; the pages of the
    tag list for ``tags`` and for a selection; one GET for the config, and one or two for the referrers.

    :raises NotFound: when the repository, the tag or the digest is not there; with ``missing_ok`` only when something
        is missing of an artifact that is there.
    :raises NoMatch: when no tag satisfies the selection (not with ``missing_ok``).
    :raises OciError: for everything else that cannot be found out.
    """
    if options.limit < 0:
        raise InvalidOption(f"'limit' is {options.limit}: wanted 0 or more.")
    target = parse_target(options.reference, lists_tags="tags" in gathered(options.gather))
    repository = open_repository(target.reference, options.auth, options.connection)
    try:
        result = _Look(options, target, repository).run()
    finally:
        repository.close()
    result["served_by"] = repository.served_by
    result["warnings"] += repository.warnings
    return result


def gathered(names: Sequence[str]) -> tuple[str, ...]:
    """The parts to gather, ``all`` and ``none`` spelled out.

    :raises InvalidOption: when a name is unknown.
    """
    unknown = [name for name in names if name not in (*GATHERED, "all", "none")]
    if unknown:
        raise InvalidOption(f"'gather' names {unknown[0]!r}: wanted any of {', '.join(GATHERED)}, or all.")
    return GATHERED if "all" in names else tuple(name for name in GATHERED if name in names)


class _Look:
    def __init__(self, options: InfoOptions, target: Target, repository: Repository) -> None:
        self._options = options
        self._target = target
        self._repository = repository
        self._gather = gathered(options.gather)
        self._only_tags = self._gather == ("tags",) and not target.is_explicit

    def run(self) -> dict[str, Any]:
        result: dict[str, Any] = {"changed": False, "exists": True, "warnings": list(self._target.warnings)}
        if "tags" in self._gather:
            result["tags"] = []
        try:
            found = self._find(result)
        except (NotFound, NoMatch) as exc:
            if not self._options.missing_ok:
                raise
            result.update(exists=False, artifact={}, missing=exc.message)
            return result
        if found is not None:
            self._show_artifact(*found, result)
        return result

    def _find(self, result: dict[str, Any]) -> tuple[str, Descriptor, Manifest | None] | None:
        """The tag, the descriptor and, where a part of it is gathered, the manifest; None when only tags are wanted."""
        target, repository = self._target, self._repository
        names = repository.list_tags() if "tags" in self._gather or target.selector else []
        if "tags" in self._gather:
            result["tags"] = self._ranked(names)
        if self._only_tags:
            return None
        tag = target.selector.select(names) if target.selector else target.reference.tag
        if target.is_any_of_layout:
            found = resolve(repository, target)
            tag, identifier = found.tag, found.digest
        else:
            identifier = tag or target.reference.digest
        if set(self._gather) <= {"tags", "referrers"}:
            return tag, repository.resolve(identifier), None
        manifest = repository.fetch_manifest(identifier)
        return tag, manifest.descriptor, manifest

    def _show_artifact(
        self, tag: str, descriptor: Descriptor, manifest: Manifest | None, result: dict[str, Any]
    ) -> None:
        result["artifact"] = self._describe(descriptor, tag, manifest)
        if manifest is not None:
            self._show_manifest(manifest, result)
        if "referrers" in self._gather:
            referrers = self._repository.list_referrers(descriptor.digest, self._options.artifact_type)
            result["referrers"] = [entry.as_result() for entry in referrers]

    def _show_manifest(self, manifest: Manifest, result: dict[str, Any]) -> None:
        if "manifest" in self._gather:
            result["manifest"] = json.loads(manifest.raw)
        if "platforms" in self._gather:
            result["platforms"] = [self._platform(entry) for entry in manifest.manifests]
        if not {"config", "layers"} & set(self._gather):
            return
        image = self._image(manifest)
        if image is None:
            return
        if "layers" in self._gather:
            result["layers"] = [layer.as_result() for layer in image.layers]
        if "config" in self._gather:
            result["config"] = self._config(image)

    def _image(self, manifest: Manifest) -> Manifest | None:
        """The manifest with config and layers; None when ``all`` is gathered of an index without one for this host."""
        if not manifest.is_index:
            return manifest
        from .._oci import platforms
        from .layers import choose_image

        if "all" in self._options.gather and not self._options.platform:
            try:
                platforms.select(manifest.manifests, platforms.host(), "")
            except InvalidContent:
                return None
        return choose_image(self._repository, manifest, self._options.platform)

    def _config(self, image: Manifest) -> Any:
        if image.config is None:
            return None
        if image.config.size > MAX_SMALL_BLOB:
            raise InvalidContent(
                f"The config of {self._repository.reference.at(digest=image.descriptor.digest)} has "
                f"{image.config.size} bytes, more than the {MAX_SMALL_BLOB} that are shown."
            )
        try:
            return json.loads(read_small_blob(self._repository, image.config))
        except (ValueError, RecursionError):
            return None  # an artifact's config may be anything; its descriptor is in the manifest

    def _describe(self, descriptor: Descriptor, tag: str, manifest: Manifest | None) -> dict[str, Any]:
        artifact: dict[str, Any] = {
            "url": self._repository.reference.url,
            "revision": f"{tag}@{descriptor.digest}" if tag else descriptor.digest,
            "tag": tag,
            "digest": descriptor.digest,
            "media_type": descriptor.media_type,
        }
        if manifest is not None:
            artifact["artifact_type"] = manifest.effective_artifact_type
            artifact["metadata"] = dict(manifest.annotations)
            artifact["size"] = sum(layer.size for layer in manifest.layers)
            if manifest.layers:
                first = manifest.layers[0]
                artifact["layer"] = {"digest": first.digest, "media_type": first.media_type, "size": first.size}
        return artifact

    def _platform(self, entry: Descriptor) -> dict[str, Any]:
        from .._oci.platforms import describe

        return {**entry.as_result(), "platform": describe(entry.platform)}

    def _ranked(self, names: list[str]) -> list[str]:
        from .._oci.selection import Selection, TagSelector, rank_all

        limit = self._options.limit or None
        ranking = self._target.ranking or TagSelector(Selection())
        if self._options.sort == "policy":
            return ranking.rank(names, limit)
        if self._options.sort == "registry" and self._target.ranking is None:
            return names[:limit]
        chosen = ranking.rank(names)
        if self._options.sort == "semver":
            return rank_all(chosen, limit=limit)
        if self._options.sort == "alphabetical":
            return sorted(chosen, reverse=True)[:limit]
        allowed = set(chosen)
        return [name for name in names if name in allowed][:limit]

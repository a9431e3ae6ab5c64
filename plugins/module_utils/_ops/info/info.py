# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Info: resolve a reference, rank tags, show the content and the referrers of a manifest. Nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._errors import InvalidContent, InvalidOption, NoMatch, NotFound
from ..._oci import media
from ..._oci.nesting import is_nested_too_deep
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..._oci.repository import MAX_SMALL_BLOB, Repository, read_small_blob
from ..artifact_result import artifact_identity, artifact_result
from ..connect import cache_warnings, open_cache, open_repository
from ..moved_tag import warnings_of_moved_tag
from ..resolve import ReferenceOptions, Resolved, Target, compile_selection, parse_target, resolve

if TYPE_CHECKING:
    from ..._cache.artifact_cache import ArtifactCache
    from ..._oci.manifest import Descriptor, Manifest
    from ..._oci.selection import TagSelector
    from ..clients import Clients

GATHERED = ("manifest", "config", "layers", "tags", "platforms", "referrers")
CHARTS, CAPABILITIES = "charts", "capabilities"
# what "all" does not stand for: it takes many requests, or looks at the registry and not at the artifact
_APART = (CHARTS, CAPABILITIES)
# what needs no artifact
_WITHOUT_ARTIFACT = {"tags", CHARTS, CAPABILITIES}
# each chart takes two requests
DEFAULT_CHARTS = 20


@dataclass(frozen=True)
class InfoOptions:
    """The options of the module.

    ``gather`` None means the manifest, or nothing in a search. ``limit`` bounds the tags that are listed, and those
    whose charts are read: 0 is all, None is all tags and ``DEFAULT_CHARTS`` charts. ``registry`` or ``from_cache``
    without a reference is a search. With ``dest``, what a pull placed there is looked at, and nothing else.
    """

    reference: ReferenceOptions
    gather: Sequence[str] | None = None
    limit: int | None = None
    sort: str = "policy"
    platform: str = ""
    artifact_type: str = ""
    missing_ok: bool = False
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    registry: str = ""
    name_filter: str = ""
    max_repositories: int = 100
    from_cache: bool = False
    dest: str = ""

    @property
    def is_search(self) -> bool:
        """True when repositories are searched for, and none is inspected."""
        return bool(self.registry or (self.from_cache and not (self.reference.ref or self.reference.url)))


def info(options: InfoOptions, clients: Clients | None = None) -> dict[str, Any]:
    """Return the module's result: ``exists``, ``artifact``, ``served_by``, and each gathered part under its name.

    A listing of tags without a tag, digest or selection does not resolve a tag, since a repository may have tags but
    not ``latest``.

    Requests: one HEAD for a tag or digest, a GET in its place when a part of the manifest is gathered; the pages of the
    tag list for ``tags`` and for a selection; one GET for the config, and one or two for the referrers.

    :param clients: the connections and credentials of a task that asks more than this, for an artifact.
    :raises NotFound: when the repository, the tag or the digest does not exist; with ``missing_ok`` only when a part
        of an existing artifact is missing.
    :raises NoMatch: when no tag satisfies the selection (not with ``missing_ok``).
    :raises OciError: for every other failure.
    """
    for name in ("limit", "max_repositories"):
        value = getattr(options, name)
        if value is not None and value < 0:
            raise InvalidOption(f"'{name}' is {value}: wanted 0 or more.")
    if options.dest:
        from .placed import placed

        return placed(options.dest)
    if options.is_search:
        return _search(options)
    gather = gathered(("manifest",) if options.gather is None else options.gather)
    # as for Flux, only in the tags of charts does an underscore stand for a plus
    layer = media.HELM_LAYER if CHARTS in gather else ""
    target = parse_target(options.reference, layer, lists_tags=bool({"tags", CHARTS} & set(gather)))
    cache = _open_cache(options)
    repository = _open(options, target, cache, clients)
    try:
        inspection = _Inspection(options, gather, target, repository)
        result = inspection.run()
        if CAPABILITIES in gather:
            from .capabilities import find_capabilities

            result["capabilities"] = find_capabilities(
                target.reference, options.auth, options.connection, cache, inspection.manifest
            )
    finally:
        repository.close()
    result["served_by"] = repository.served_by
    result["warnings"] += repository.warnings
    return result


def gathered(names: Sequence[str]) -> tuple[str, ...]:
    """The parts to gather, with ``all`` and ``none`` expanded.

    :raises InvalidOption: when a name is unknown.
    """
    known = (*GATHERED, *_APART)
    unknown = [name for name in names if name not in (*known, "all", "none")]
    if unknown:
        raise InvalidOption(f"'gather' names {unknown[0]!r}: wanted any of {', '.join(known)}, or all.")
    return tuple(name for name in known if name in names or ("all" in names and name not in _APART))


def _search(options: InfoOptions) -> dict[str, Any]:
    gather = gathered(options.gather or ())
    given = options.reference
    misplaced = [name for name in ("ref", "url", "tag", "digest") if getattr(given, name)]
    misplaced += [f"gather: {name}" for name in gather if name != CHARTS]
    if misplaced:
        raise InvalidOption(
            f"'{misplaced[0]}' has no meaning in a search for repositories.",
            "Name one repository in 'ref' or 'url' to look into it, and leave out 'registry'.",
        )
    from .search import DEFAULT_CHARTS, SearchOptions, search

    selector = compile_selection(given, media.HELM_LAYER)
    cache = _open_cache(options)
    result = search(
        SearchOptions(
            registry=options.registry,
            name_filter=options.name_filter,
            max_repositories=options.max_repositories,
            charts=CHARTS in gather,
            limit=DEFAULT_CHARTS if options.limit is None else options.limit,
            missing_ok=options.missing_ok,
            auth=options.auth,
            connection=options.connection,
        ),
        lambda names, limit: rank_tags(selector, options.sort, names, limit, chart_tags=True),
        cache,
        from_cache=options.from_cache,
    )
    result["warnings"] = [*result.get("warnings", ()), *cache_warnings(cache)]
    return result


def _open_cache(options: InfoOptions) -> ArtifactCache | None:
    if options.from_cache and not options.cache.root:
        raise InvalidOption(
            "'from_cache' is given, and no cache.",
            "Give its directory in 'cache_dir', or in the environment as OCI_ARTIFACT_CACHE_DIR.",
        )
    return open_cache(options.cache)


def _open(options: InfoOptions, target: Target, cache: ArtifactCache | None, clients: Clients | None) -> Repository:
    if not options.from_cache or cache is None:
        return open_repository(target.reference, options.auth, options.connection, cache=cache, clients=clients)
    if target.reference.is_layout:
        raise InvalidOption(f"{target.reference} is an image layout, and nothing of it is in a cache.")
    if CAPABILITIES in (options.gather or ()):
        raise InvalidOption("'gather: capabilities' asks the registry, and with 'from_cache' it is not asked.")
    from ..._cache.layout import CachedPlace

    return CachedPlace(cache.root, target.reference)


class _Inspection:
    def __init__(self, options: InfoOptions, gather: tuple[str, ...], target: Target, repository: Repository) -> None:
        self._options = options
        self._target = target
        self._repository = repository
        self._gather = gather
        self._only_tags = bool(gather) and set(gather) <= _WITHOUT_ARTIFACT and not target.is_explicit
        # of the artifact, when it was fetched
        self.manifest: Manifest | None = None

    def run(self) -> dict[str, Any]:
        result: dict[str, Any] = {"changed": False, "exists": True, "warnings": list(self._target.warnings)}
        if "tags" in self._gather:
            result["tags"] = []
        if CHARTS in self._gather:
            result.update(charts=[], truncated=False)
        try:
            found = self._find(result)
        except (NotFound, NoMatch) as exc:
            if not self._options.missing_ok:
                raise
            result.update(exists=False, artifact={}, missing=exc.message, reason=exc.reason)
            # what Ansible says when an "until" was not met
            result["msg"] = exc.message
            return result
        if found is not None:
            result["warnings"] += warnings_of_moved_tag(self._repository, self._target)
            self._show_artifact(*found, result)
        return result

    def _find(self, result: dict[str, Any]) -> tuple[str, Descriptor, Manifest | None] | None:
        """The tag, the descriptor and, if a part of it is gathered, the manifest; None when only tags are gathered."""
        target, repository = self._target, self._repository
        lists = bool({"tags", CHARTS} & set(self._gather))
        names = repository.list_tags() if lists or target.selector else []
        if "tags" in self._gather:
            result["tags"] = self._ranked(names, self._options.limit or None)
        if CHARTS in self._gather:
            self._show_charts(names, result)
        if self._only_tags:
            return None
        tag = target.selector.select(names) if target.selector else target.reference.tag
        if target.is_any_of_layout:
            found = resolve(repository, target)
            tag, identifier = found.tag, found.digest
        else:
            identifier = target.reference.digest or tag
        if set(self._gather) <= {"tags", CHARTS, "referrers"}:
            return tag, repository.resolve(identifier), None
        self.manifest = repository.fetch_manifest(identifier)
        return tag, self.manifest.descriptor, self.manifest

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
        """The manifest with config and layers; None for ``all`` of an index without a manifest for this host."""
        if not manifest.is_index:
            return manifest
        from ..._oci import platforms
        from ..layers import choose_image

        if "all" in (self._options.gather or ()) and not self._options.platform:
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
            config = json.loads(read_small_blob(self._repository, image.config))
        except (ValueError, RecursionError):
            return None  # an artifact's config may be anything; its descriptor is in the manifest
        return None if is_nested_too_deep(config) else config

    def _describe(self, descriptor: Descriptor, tag: str, manifest: Manifest | None) -> dict[str, Any]:
        reference, resolved = self._repository.reference, Resolved(descriptor.digest, tag, descriptor)
        if manifest is None:
            return {**artifact_identity(reference, resolved), "media_type": descriptor.media_type}
        return artifact_result(reference, resolved, manifest, manifest, manifest.layers)

    def _platform(self, entry: Descriptor) -> dict[str, Any]:
        from ..._oci.platforms import platform_text

        return {**entry.as_result(), "platform": platform_text(entry.platform)}

    def _show_charts(self, names: list[str], result: dict[str, Any]) -> None:
        from ..charts.look import list_charts

        limit = DEFAULT_CHARTS if self._options.limit is None else self._options.limit
        ranked = self._ranked(names, limit + 1 if limit else None)
        tags = ranked[:limit] if limit else ranked
        result["charts"], warnings = list_charts(self._repository, tags)
        result["truncated"] = len(tags) < len(ranked)
        result["warnings"] += warnings

    def _ranked(self, names: list[str], limit: int | None) -> list[str]:
        is_chart = CHARTS in self._gather
        return rank_tags(self._target.ranking, self._options.sort, names, limit, chart_tags=is_chart)


def rank_tags(
    selector: TagSelector | None, sort: str, names: list[str], limit: int | None, *, chart_tags: bool = False
) -> list[str]:
    """The tags that match the selection, in the order of ``sort``, the best first.

    :raises InvalidSelection: when an expression does not finish.
    """
    from ..._oci.selection import Selection, TagSelector, rank_all

    ranking = selector or TagSelector(Selection(), chart_tags=chart_tags)
    if sort == "policy":
        return ranking.rank(names, limit)
    if sort == "registry" and selector is None:
        return names[:limit]
    chosen = ranking.rank(names)
    if sort == "semver":
        return rank_all(chosen, chart_tags, limit)
    if sort == "alphabetical":
        return sorted(chosen, reverse=True)[:limit]
    allowed = set(chosen)
    return [name for name in names if name in allowed][:limit]

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search for the repositories of a registry, or of the cache, and the charts in them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._errors import AuthenticationFailed, CatalogRefused, CatalogUnsupported, NotFound
from ..._files.threads import thread_pool
from ..._oci.options import AuthOptions, ConnectionOptions
from ..._oci.reference import Reference, parse_reference, parse_registry
from ..._oci.repository import Repository
from ..charts.look import PARALLEL_LOOKS, look_at_chart
from ..connect import open_client, open_repository

if TYPE_CHECKING:
    from ..._cache.artifact_cache import ArtifactCache
    from ..._oci.bounded_regex import BoundedRegex

# Repositories that are open at the same time, each with its own connections.
BATCH = 32
DEFAULT_CHARTS = 1

# Chooses the tags whose charts are read, best first, from those of a repository.
Ranking = Callable[[list[str], "int | None"], "list[str]"]


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search.

    ``registry`` is a host, or a host with a path that the names are below; empty means all that are in the cache.
    ``max_repositories`` and ``limit`` (tags per repository whose charts are read) are 0 for no limit.
    """

    registry: str = ""
    name_filter: str = ""
    max_repositories: int = 0
    charts: bool = False
    limit: int = DEFAULT_CHARTS
    missing_ok: bool = False
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)


def search(
    options: SearchOptions, rank: Ranking, cache: ArtifactCache | None = None, *, from_cache: bool = False
) -> dict[str, Any]:
    """Find repositories, and their newest charts if these are gathered; return the module's result.

    Takes one request for each 1,000 repositories of the registry; for charts, one for the tags of each match, and
    those of :func:`~._ops.charts.look.list_charts`.

    :raises CatalogRefused: when the registry does not list its repositories for this account (not with ``missing_ok``).
    :raises InvalidSelection: when ``name_filter`` does not parse, or does not finish.
    :raises OciError: when the registry does not answer.
    """
    within = parse_registry(options.registry) if options.registry else Reference()
    result: dict[str, Any] = {"changed": False, "exists": True, "repositories": [], "denied": [], "truncated": False}
    if options.charts:
        result["charts"] = []
    warnings: list[str] = []
    run = _Search(options, rank, cache, from_cache)
    try:
        found, result["truncated"] = run.find(within)
    except CatalogRefused as exc:
        if not options.missing_ok:
            raise
        return {**result, "exists": False, "missing": exc.message, "msg": exc.message, "reason": exc.reason}
    result["repositories"] = [reference.name for reference in found]
    for start in range(0, len(found) if options.charts else 0, BATCH):
        charts, denied, words = run.charts(found[start : start + BATCH])
        result["charts"] += charts
        result["denied"] += denied
        warnings += words
    return {**result, "warnings": warnings}


class _Search:
    def __init__(self, options: SearchOptions, rank: Ranking, cache: ArtifactCache | None, from_cache: bool) -> None:
        self._options = options
        self._rank = rank
        self._cache = cache
        self._from_cache = from_cache
        self._filter: BoundedRegex | None = None
        if options.name_filter:
            from ..._oci.bounded_regex import BoundedRegex

            self._filter = BoundedRegex(options.name_filter, "name_filter")

    def find(self, within: Reference) -> tuple[list[Reference], bool]:
        """The repositories whose names match, up to the limit, and True when there are more."""
        pages = self._held(within.registry) if self._from_cache else self._listed(within.registry)
        start = f"{within.repository}/" if within.repository else ""
        found: list[Reference] = []
        limit = self._options.max_repositories
        with closing(pages):
            for page in pages:
                matching = {each.repository for each in page if each.repository.startswith(start)}
                if self._filter is not None:
                    matching = {text for text, _groups in self._filter.search_all(sorted(matching))}
                found += [reference for reference in page if reference.repository in matching]
                if limit and len(found) > limit:
                    return found[:limit], True
        return found, False

    def charts(self, references: list[Reference]) -> tuple[list[dict[str, Any]], list[str], list[str]]:
        """The newest charts of repositories; the names of repositories without read access; warnings."""
        repositories = [self._open(reference) for reference in references]
        denied: set[str] = set()

        def tags_of(repository: Repository) -> list[str]:
            try:
                return repository.list_tags()
            except AuthenticationFailed:
                denied.add(repository.reference.name)
            except NotFound:
                pass  # a catalog may still list a removed repository
            return []

        def look(pair: tuple[Repository, str]) -> dict[str, Any] | str | None:
            repository, tag = pair
            try:
                return look_at_chart(repository, tag)
            except AuthenticationFailed:
                denied.add(repository.reference.name)
            return None

        try:
            with thread_pool(PARALLEL_LOOKS) as pool:
                listed = list(pool.map(tags_of, repositories))
                # here, since only the main thread can limit the time of an expression
                limit = self._options.limit or None
                pairs = [
                    (repository, tag)
                    for repository, tags in zip(repositories, listed)
                    for tag in self._rank(tags, limit)
                ]
                found = list(pool.map(look, pairs))
        finally:
            for repository in repositories:
                repository.close()
        charts = [each for each in found if isinstance(each, dict)]
        return charts, sorted(denied), [each for each in found if isinstance(each, str)]

    def _listed(self, registry: str) -> Generator[list[Reference], None, None]:
        from ..._registry.catalog import list_repositories

        options = self._options
        rules = [rule for rule in options.connection.mirrors if rule.registry == registry]
        if any(mirror.replaces for rule in rules for mirror in rule.mirrors):
            raise CatalogUnsupported(
                f"Mirrors replace the registry {registry} for this task, and their names are not its.",
                "Search a mirror itself: give its host in 'registry'.",
            )
        client = open_client(registry, "", options.auth, options.connection)
        try:
            for names in list_repositories(client):
                yield [Reference(registry=registry, repository=name) for name in names]
        finally:
            client.session.close()

    def _held(self, registry: str) -> Generator[list[Reference], None, None]:
        places = {entry.place for entry in self._cache.entries()} if self._cache is not None else set()
        references: Iterable[Reference] = map(parse_reference, sorted(places))
        yield [reference for reference in references if registry in ("", reference.registry)]

    def _open(self, reference: Reference) -> Repository:
        if self._from_cache and self._cache is not None:
            from ..._cache.layout import CachedPlace

            return CachedPlace(self._cache.root, reference)
        return open_repository(reference, self._options.auth, self._options.connection, cache=self._cache)

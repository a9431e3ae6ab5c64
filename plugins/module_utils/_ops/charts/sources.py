# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts for releases: resolve → verify → fetch → check, into a cache by digest.

An unchanged chart takes one request; one that is pinned by digest, or was asked for within its interval, takes none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ..._cache.artifact_cache import ArtifactCache, CachedRepository
from ..._errors import BuildError, ChartError, InvalidOption, LayerError, OciError, StorageError
from ..._files.bounded import MAX_CHART
from ..._files.regular_file import storage_error
from ..._files.threads import thread_pool
from ..._oci import media
from ..._oci.manifest import Descriptor, Manifest
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..artifact_result import artifact_identity, layer_record
from ..connect import cache_warnings
from ..interval import Answers, terms_of, time_text
from ..layer_selector import FIRST, LayerSelector, Limits
from ..layers import check_sizes, choose_manifest
from ..moved_tag import warnings_of_moved_tag
from ..placement import placement_of
from ..resolve import ReferenceOptions, Resolved, parse_target
from ..task import Task
from ..verdicts import naming_rule, policy_fingerprint

if TYPE_CHECKING:
    from ..._policy.rules import Policy
    from ..._trust.policy import VerifyPolicy
    from ..guard import Guard

PARALLEL = 4

Result = TypeVar("Result")

_CHART_KEYS = {"name", "version", "app_version"}
_VERSION_TAG = re.compile(r"v?\d+(\.\d+)*([-_+].*)?\Z", re.ASCII)


@dataclass(frozen=True)
class SourceOptions:
    """The options of one chart. Within ``interval`` seconds of its last answer the registry is not asked."""

    name: str
    reference: ReferenceOptions
    verify: VerifyPolicy | None = None
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    policy: Policy | None = None
    interval: float = 0.0


def fetch_charts(
    sources: Sequence[SourceOptions],
    cache_dir: str,
    fetch: type[SourceFetch] | None = None,
    fetches: Mapping[str, type[SourceFetch]] | None = None,
) -> dict[str, Any]:
    """Fetch all charts into the cache; return the module's result.

    :param fetch: the work on one source, where the artifacts are not charts.
    :param fetches: the same for the sources of these names.
    :raises OciError: for the first source that failed; the others are named in its details.
    """
    if len({source.name for source in sources}) < len(sources):
        raise InvalidOption("Two sources have the same name.", "Give each source a name of its own.")
    with Task(CacheOptions(cache_dir)) as task:
        cache = task.cache
        if cache is None:
            raise InvalidOption("Charts need a cache to lie in.", "Name a directory.")
        types = {source.name: (fetches or {}).get(source.name, fetch or SourceFetch) for source in sources}
        return _fetch_sources(sources, cache, task, types)


def _fetch_sources(
    sources: Sequence[SourceOptions], cache: ArtifactCache, task: Task, types: Mapping[str, type[SourceFetch]]
) -> dict[str, Any]:
    # all options are checked before the first request
    fetches = [_named_source(each.name, partial(types[each.name], each, cache, task)) for each in sources]
    failures: dict[str, OciError] = {}
    found: dict[str, Any] = {}

    def work(fetch: SourceFetch) -> None:
        name = fetch.source.name
        try:
            found[name] = _named_source(name, fetch.run)
        except Exception as exc:  # any error: the message has to name all sources that failed
            from ..._unexpected import as_error

            failures[name] = as_error(exc, f"The work on the source {name!r}")

    if len(fetches) == 1:
        work(fetches[0])
    elif fetches:
        with thread_pool(PARALLEL) as pool:
            list(pool.map(work, fetches))
    if failures:
        first = next(failures[source.name] for source in sources if source.name in failures)
        first.retryable = all(error.retryable for error in failures.values())
        first.details["failed_sources"] = {name: str(error) for name, error in failures.items()}
        first.details["changed"] = any(fetch.changed for fetch in fetches)
        raise first
    warnings = dict.fromkeys(warning for fetch in fetches for warning in fetch.warnings)
    return {
        "changed": any(fetch.changed for fetch in fetches),
        "charts": {source.name: found[source.name] for source in sources},
        "warnings": [*warnings, *cache_warnings(cache)],
    }


class SourceFetch:
    """The work on one source: a chart, unless a derived class says what else its content is."""

    media_type = media.HELM_LAYER

    def __init__(self, source: SourceOptions, cache: ArtifactCache, task: Task) -> None:
        self.source = source
        self.changed = False
        self._guard: Guard | None = None
        # what signatures have to satisfy, by fingerprint
        self._policies: Mapping[str, VerifyPolicy] = {}
        if source.policy is None:
            self._target = parse_target(source.reference, self.media_type)
        else:
            from ..guard import guarded_target

            self._target, self._guard = guarded_target(source.reference, source.policy, source.verify, self.media_type)
        if self._guard is not None:
            self._policies = self._guard.policies
        elif source.verify is not None:
            self._policies = {policy_fingerprint(source.verify): source.verify}
        self.warnings = list(self._target.warnings)
        for policy in self._policies.values():
            from ..._trust.verifier import check_number_of_signers

            with naming_rule(policy):
                check_number_of_signers(policy)
        self._task = task
        self._cache = cache
        repository = task.open(self._target, source.auth, source.connection)
        # a chart of a layout is copied into the cache, too: Helm reads the file there
        self._repository = task.cached(repository) or CachedRepository(repository.reference, cache, lambda: repository)

    def run(self) -> dict[str, Any]:
        try:
            return self._run()
        finally:
            self._repository.close()

    def _run(self) -> dict[str, Any]:
        source = self.source
        asks = self._target.known is None or self._target.asks_for_tag
        answers = self._answers() if source.interval and asks else None
        found = None if answers is None else answers.recent(source.interval)
        moment = time.time()
        resolved, confirmed_at = found or (self._asked(), time_text(moment))
        if self._guard is not None:
            self._guard.check_resolved(resolved)
        moved = [] if found else warnings_of_moved_tag(self._repository, self._target)
        self.warnings += moved
        verdict = self._verify(resolved)
        manifest = self._manifest(resolved.digest)
        what = str(self._target.reference.at(tag=resolved.tag, digest=resolved.digest))
        content = self._content(resolved, manifest, verdict, what)
        self._list(resolved, manifest)
        self.warnings += self._repository.own_warnings
        # a tag that has moved is to be seen by the next run, too
        if answers is not None and found is None and not moved:
            answers.note(resolved, moment)
        return {
            **artifact_identity(self._target.reference, resolved),
            **content,
            **({"verification": verdict} if verdict else {}),
            **({"confirmed_at": confirmed_at} if answers is not None else {}),
        }

    def _content(self, resolved: Resolved, manifest: Manifest, verdict: Mapping[str, Any], what: str) -> dict[str, Any]:
        """Fetch the content into the cache; return the part of the result that describes it.

        :raises OciError: when it is not what was asked for, or the policy refuses it.
        """
        layer = self._layer(manifest, what)
        if self._guard is not None:
            self._guard.check_chart(resolved, manifest, verdict)
        path = self._fetch(layer)
        chart = self._chart(resolved, layer, path, what)
        self._compare_version(resolved.tag, chart, what)
        return {"path": path, "layer": layer_record(layer), **chart}

    def _asked(self) -> Resolved:
        return self._task.resolve(self._repository, self._target, self.source.auth, self.source.connection)

    def _answers(self) -> Answers:
        """The note of what the registry answered, in the cache."""
        policy = "" if self.source.policy is None else self.source.policy.fingerprint
        terms = terms_of(*self._policies, policy, self._target.tag_moved)
        return Answers(self._cache.notes(), self._target, terms)

    def _verify(self, resolved: Resolved) -> Mapping[str, Any]:
        """Verify the signatures, unless the digest satisfied this policy before.

        :raises VerificationFailed: when they do not satisfy the policy.
        """
        if not self._policies:
            return {}
        if self._guard is not None:
            found = self._guard.verify(self._task, self._repository, resolved)
        else:
            fingerprint, policy = next(iter(self._policies.items()))
            found = self._task.verify(self._repository, resolved, policy, fingerprint)
        self.warnings += found.warnings_of_use(self._repository, resolved)
        return found.verification

    def _chart(self, resolved: Resolved, layer: Descriptor, path: str, what: str) -> Mapping[str, str]:
        """The metadata of the chart, read from the archive once.

        :raises ChartError: when it is not a chart.
        """
        notes = self._cache.notes()
        chart = _noted_chart(notes.load(resolved.digest))
        if not chart:
            chart = _read_chart(path, layer.digest, what)
            with notes.alone(resolved.digest):
                notes.update(resolved.digest, "chart", chart)
        return chart

    def _manifest(self, digest: str) -> Manifest:
        """The manifest of this digest; of an index the chart in it, or else the one for this platform."""
        return choose_manifest(self._repository, self._repository.fetch_manifest(digest), "", self.media_type)

    def _layer(self, manifest: Manifest, what: str) -> Descriptor:
        try:
            layers = placement_of(manifest, LayerSelector(media.HELM_LAYER, "copy", FIRST), what).layers
            check_sizes(layers, Limits(MAX_CHART, 1), what)
        except LayerError as exc:
            raise ChartError(f"{what} is not a Helm chart: {exc.message}", "Name the chart's repository.") from None
        return layers[0]

    def _fetch(self, layer: Descriptor) -> str:
        """Store the chart in the cache; return its path there.

        :raises StorageError: when it cannot be stored.
        """
        held = self._cache.store.hold(layer)
        if held is None:
            self.changed = True
            held = self._repository.hold_blob(layer)
        if held is None:
            raise self._cache.refusal or StorageError(f"The cache {self._cache.root} cannot be written to.")
        held.close()
        return self._cache.store.path(layer.digest)

    def _list(self, resolved: Resolved, manifest: Manifest) -> None:
        """List the chart in the cache's index; a chart of a layout on disk is listed there only."""
        if not self._target.reference.is_layout:
            is_whole = resolved.digest == manifest.descriptor.digest
            self._repository.enter(self._target.confirmed_tag(resolved) if is_whole else "", manifest)

    def _compare_version(self, tag: str, chart: Mapping[str, str], what: str) -> None:
        version = chart["version"].replace("+", "_")
        if tag and _VERSION_TAG.match(tag) and tag.lstrip("v") != version.lstrip("v"):
            self.warnings.append(f"{what} is the chart {chart['name']} {chart['version']}: its tag says {tag}.")


def _named_source(name: str, call: Callable[[], Result]) -> Result:
    """Return the result of ``call``; its errors name the source."""
    try:
        return call()
    except OciError as exc:
        exc.message = f"The source {name!r}: {exc.message}"
        raise


def _read_chart(path: str, digest: str, what: str) -> dict[str, str]:
    from ..._helm.chart import read_packaged_chart
    from ..._helm.checked_file import open_checked

    try:
        with open_checked(path, digest) as stream:
            chart = read_packaged_chart(stream, path)
    except OSError as exc:
        raise storage_error("read", path, exc) from None
    except BuildError as exc:
        raise ChartError(f"{what} is not a Helm chart. {exc.message}", "See what was published there.") from None
    return {"name": chart.name, "version": chart.version, "app_version": chart.app_version}


def _noted_chart(note: Mapping[str, Any]) -> dict[str, str]:
    chart = note.get("chart")
    if isinstance(chart, Mapping) and set(chart) >= _CHART_KEYS:
        return {key: str(chart[key]) for key in _CHART_KEYS}
    return {}

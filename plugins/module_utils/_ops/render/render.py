# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts rendered to files, with the values of releases and without deploying them.

What was rendered of the same chart with the same values and options is left alone, and starts no process of Helm.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ..._errors import HelmFailed, OciError
from ..._files.names import shown
from ..._files.threads import thread_pool
from ..._helm.helm_binary import MAX_WORDS, Helm, HelmAccess
from ..._helm.manifest_text import secrets_of_release
from ..._helm.template_files import template_files
from ..._helm.values import values_digest
from ..._kube.api import KubeOptions
from ..._kube.rest import KubeRest
from ..._unexpected import as_error
from ..releases.artifacts import ArtifactFiles
from ..releases.chart_copy import copy_chart
from ..releases.spec import FetchedChart
from ..releases.values import ValuesGatherer
from .files import Placed, is_in_place, place_files
from .spec import Rendering, RenderOptions, parse_renderings

PARALLEL = 4

RENDERED = "Rendered"
UP_TO_DATE = "RenderingUpToDate"
DRIFT_CORRECTED = "DriftCorrected"
REMOVED = "RenderingRemoved"


@dataclass
class _Work:
    """One rendering, and what became of it."""

    rendering: Rendering
    values: bytes = field(default=b"", repr=False)
    values_digest: str = ""
    placed: Placed | None = None
    reason: str = ""
    failure: OciError | None = None

    @property
    def changed(self) -> bool:
        return self.reason not in ("", UP_TO_DATE) and self.failure is None

    def as_result(self) -> dict[str, Any]:
        """Return the entry of the module's ``releases``."""
        spec, chart = self.rendering.spec, self.rendering.chart
        failure = self.failure
        result: dict[str, Any] = {
            "name": spec.key.name,
            "namespace": spec.namespace,
            "dest": shown(self.rendering.place),
            "changed": self.changed,
            "failed": failure is not None,
            "reason": failure.reason if failure is not None else self.reason,
            "values_digest": self.values_digest,
        }
        if chart is not None:
            names = ("name", "version", "app_version", "digest", "revision", "url")
            result["chart"] = {name: getattr(chart, name) for name in names}
        if self.placed is not None:
            result["changes"] = self.placed.as_result()
        if failure is not None:
            result.update(msg=str(failure), retryable=failure.retryable)
        return result


class _LateApi:
    """A client of the Kubernetes API that is made when something is read from the cluster."""

    def __init__(self, options: KubeOptions) -> None:
        self._options = options
        self._api: KubeRest | None = None

    def __getattr__(self, name: str) -> Any:
        if self._api is None:
            self._api = KubeRest(self._options)
        return getattr(self._api, name)


def render_charts(options: RenderOptions, *, check_mode: bool = False, want_diff: bool = False) -> dict[str, Any]:
    """Render the charts; return the module's result. One that fails does not keep others from being rendered.

    :raises OciError: for what affects all of them: options, the Helm program.
    """
    with tempfile.TemporaryDirectory(prefix="helm-render-") as scratch:
        return _Run(options, scratch, check_mode, want_diff).run()


class _Run:
    def __init__(self, options: RenderOptions, scratch: str, check_mode: bool, want_diff: bool) -> None:
        self._options = options
        self._scratch = scratch
        self._check_mode = check_mode
        self._want_diff = want_diff
        api = cast(KubeRest, _LateApi(options.kube))
        self._gatherer = ValuesGatherer(api, options.documents, ArtifactFiles(options.artifacts))
        self._guard = threading.Lock()
        self._helm: Helm | None = None
        self._copies: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        works = [_Work(each) for each in parse_renderings(self._options, self._scratch)]
        for work in works:
            self._try(work, self._gather)
        left = [work for work in works if work.failure is None]
        if len(left) == 1:
            self._try(left[0], self._render)
        elif left:
            with thread_pool(PARALLEL) as pool:
                list(pool.map(lambda work: self._try(work, self._render), left))
        return self._result(works)

    def _try(self, work: _Work, step: Any) -> None:
        try:
            step(work)
        except Exception as exc:  # any error: the results of the others must not be lost
            work.failure = as_error(exc, f"The rendering of the release {work.rendering.spec.key}")

    def _gather(self, work: _Work) -> None:
        rendering = work.rendering
        if rendering.chart is None:
            return
        if self._options.policy is not None:
            from .guard import check_chart

            check_chart(self._options.policy, rendering.chart)
        work.values = self._gatherer.gather(rendering.spec, rendering.chart)
        work.values_digest = values_digest(work.values)

    def _render(self, work: _Work) -> None:
        rendering = work.rendering
        destination = rendering.destination(self._options.permissions)
        key = rendering.key(work.values_digest)
        state = destination.load_state()
        if is_in_place(destination, state, key):
            work.reason = UP_TO_DATE
            return
        if rendering.chart is None and not (state.files or state.pending):
            work.reason = UP_TO_DATE
            return
        files = self._files(work) if rendering.chart is not None else {}
        is_same = dict(state.key) == key
        work.placed = place_files(
            destination,
            files,
            key,
            _record(rendering),
            self._gatherer.mask,
            force=self._options.force,
            check_mode=self._check_mode,
            want_diff=self._want_diff,
        )
        work.reason = REMOVED if rendering.chart is None else DRIFT_CORRECTED if is_same else RENDERED
        if work.placed.plan.is_empty:
            # other inputs may give the same files
            work.reason = UP_TO_DATE

    def _files(self, work: _Work) -> Mapping[str, str]:
        rendering = work.rendering
        spec, chart = rendering.spec, rendering.chart
        if chart is None:
            return {}
        helm = self._program()
        outcome = helm.render(
            spec.key.name,
            spec.target,
            self._chart_file(chart),
            work.values,
            spec.flags,
            rendering.flags.words,
        )
        if not outcome.ok:
            words = self._gatherer.mask.text(outcome.words)[:MAX_WORDS].rstrip(".")
            error = HelmFailed(
                f"The chart {chart.origin} cannot be rendered for the release {spec.key}: {words}.",
                "Nothing was changed.",
            )
            error.reason = "RenderFailed"
            raise error
        text = outcome.output.decode("utf-8", "surrogateescape")
        for secret in secrets_of_release({"manifest": text}):
            self._gatherer.mask.add(secret)
        return {rendering.file_name: text} if rendering.file_name else template_files(text, chart.name)

    def _program(self) -> Helm:
        with self._guard:
            if self._helm is None:
                self._helm = Helm(self._options.helm, HelmAccess(), self._scratch)
            return self._helm

    def _chart_file(self, chart: FetchedChart) -> str:
        """A copy of the chart that nobody else can alter or remove, checked while it is made.

        :raises DigestMismatch: when the file does not match the chart's digest.
        """
        with self._guard:
            if chart.layer not in self._copies:
                path = os.path.join(self._scratch, f"chart-{len(self._copies)}.tgz")
                copy_chart(chart, path)
                self._copies[chart.layer] = path
            return self._copies[chart.layer]

    def _result(self, works: Sequence[_Work]) -> dict[str, Any]:
        failed = [work for work in works if work.failure is not None]
        result: dict[str, Any] = {
            "changed": any(work.changed for work in works),
            "releases": [work.as_result() for work in works],
            "statistics": {"helm_processes": self._helm.runs if self._helm else 0},
        }
        diff = [part for work in works if work.placed is not None for part in work.placed.diff]
        if diff:
            result["diff"] = diff
        if failed:
            first = failed[0]
            words = f"The release {first.rendering.spec.key} was not rendered: {first.failure}"
            if len(failed) > 1:
                others = ", ".join(str(work.rendering.spec.key) for work in failed[1:20])
                words += f" {len(failed) - 1} more failed: {others}."
            retryable = all(work.failure.retryable for work in failed if work.failure)
            reason = first.failure.reason if first.failure else ""
            result.update(failed=True, msg=words, reason=reason, retryable=retryable)
        return result


def _record(rendering: Rendering) -> dict[str, Any]:
    """Return what the record of the destination says about the chart."""
    chart = rendering.chart
    if chart is None:
        return {}
    tag = chart.revision.partition("@")[0] if "@" in chart.revision else ""
    names = ("url", "revision", "digest")
    return {**{name: getattr(chart, name) for name in names}, "tag": tag, "path": shown(rendering.place)}

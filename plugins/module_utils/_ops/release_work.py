# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done about one release that is not as it should be."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING

from .._helm import decision as decisions
from .._helm.access import helm_environment
from .._helm.helm_binary import Helm, HelmAccess, Outcome
from .._helm.release import (
    ALL_REVISIONS,
    Fingerprint,
    Revision,
    last_revisions,
    parse_revision,
    revisions_path,
)
from .._kube.api import KubeOptions
from .._kube.rest import KubeRest
from .._oci.errors import HelmFailed
from .release_spec import Chart, ReleaseKey

if TYPE_CHECKING:
    from .releases import Plan


class Workshop:
    """Carries out plans; threads share it."""

    def __init__(
        self,
        api: KubeRest,
        helm: str,
        kube: KubeOptions,
        scratch: str,
        *,
        lock_timeout: float,
        check_mode: bool,
        want_diff: bool,
        secrets: Collection[str],
    ) -> None:
        self._api = api
        self._scratch = scratch
        self._helm = Helm(helm, HelmAccess(helm_environment(kube, scratch)), scratch)
        self._check_mode = check_mode
        self._want_diff = want_diff
        self._secrets = secrets
        self._charts: dict[str, str] = {}
        self._charts_lock = threading.Lock()

    @property
    def helm_runs(self) -> int:
        return self._helm.runs

    def carry_out(self, plan: Plan) -> None:
        action = plan.decision.action
        if self._check_mode:
            plan.changed = True
            return
        if action in (decisions.INSTALL, decisions.UPGRADE):
            self._deploy(plan, action)
        elif action == decisions.UNINSTALL:
            outcome = self._helm.uninstall(plan.key.name, plan.key.namespace, timeout=plan.spec.flags.timeout)
            plan.changed = outcome.ok

    def _deploy(self, plan: Plan, action: str) -> None:
        spec, chart = plan.spec, plan.chart
        assert chart is not None
        fingerprint = Fingerprint(chart.digest, plan.values_digest, spec.rendering_digest)
        number = (plan.last.number if plan.last else 0) + 1
        labels = fingerprint.as_labels(number)
        call = self._helm.install if action == decisions.INSTALL else self._helm.upgrade
        outcome: Outcome = call(
            spec.key.name,
            spec.key.namespace,
            self._chart_file(chart),
            plan.values,
            spec.flags,
            description=f"{action.capitalize()} complete: {chart.revision}, values {plan.values_digest}",
            labels=labels,
        )
        plan.attempts += 1
        before = plan.last
        plan.last = self._last(spec.key)
        plan.changed = plan.last != before
        if not outcome.ok:
            raise HelmFailed(f"helm {action} of {spec.key} failed: {outcome.words}")

    def _last(self, key: ReleaseKey) -> Revision | None:
        found = self._api.list_metadata(revisions_path(key.namespace), f"{ALL_REVISIONS},name={key.name}")
        revisions = [revision for revision in map(parse_revision, found) if revision is not None]
        return last_revisions(revisions).get((key.namespace, key.name))

    def _chart_file(self, chart: Chart) -> str:
        """A copy of the chart that nobody else can alter or remove, checked while it was made."""
        from .._oci.digest import Verifier

        with self._charts_lock:
            if chart.layer not in self._charts:
                path = os.path.join(self._scratch, f"chart-{len(self._charts)}.tgz")
                verifier = Verifier(chart.layer, os.stat(chart.path).st_size, f"The chart {chart.path}")
                with open(chart.path, "rb") as source, open(path, "xb") as copy:
                    while True:
                        chunk = source.read(1 << 20)
                        if not chunk:
                            break
                        verifier.update(chunk)
                        copy.write(chunk)
                verifier.finish()
                self._charts[chart.layer] = path
            return self._charts[chart.layer]

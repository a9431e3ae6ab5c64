# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: read their state, gather values, decide, act. An unchanged release starts no process of Helm."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._errors import ClusterError, Forbidden, InvalidOption, OciError
from ..._helm.decision import INSTALL, UPGRADE, decide
from ..._helm.release import LAST_REVISIONS, Revision, last_revisions, parse_revision, revisions_path
from ..._kube.api import KubeOptions
from ..._kube.rest import KubeRest
from .artifacts import ArtifactFiles, FetchedFiles
from .parse import parse_releases
from .plan import ReleasePlan
from .references import ARTIFACT
from .refusals import not_ready
from .spec import FetchedChart, ReleaseKey, ReleaseSpec
from .values import ValuesGatherer, ambiguous_values

if TYPE_CHECKING:
    from ..._policy.rules import Policy
    from .foresight import Foresight

# The number of namespaces from which on the Secrets of all namespaces are listed in one request.
CLUSTER_WIDE_FROM = 4
MAX_PARALLEL = 64


@dataclass(frozen=True)
class ReleasesOptions:
    """The options of the module.

    ``artifacts`` are all sources, from whose files values may be taken; ``sources`` are the charts among them.
    ``releases`` is the module's option. ``documents`` has the text of the controller's values files by path.
    ``lock_timeout`` is in seconds, the time to wait for another run on the same release. ``policy`` has the rules for
    the repositories of the charts. ``show`` says what of each release is part of the result, see :mod:`.show`.
    ``planned_objects`` are for check mode: objects that an earlier task applies.
    """

    releases: Sequence[Mapping[str, Any]]
    sources: Mapping[str, FetchedChart]
    artifacts: Mapping[str, FetchedFiles] = field(default_factory=dict)
    documents: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    kube: KubeOptions = field(default_factory=KubeOptions)
    helm: str = "helm"
    parallel: int = 4
    lock_timeout: float = 300.0
    policy: Policy | None = None
    show: Sequence[str] = ()
    planned_objects: Sequence[Mapping[str, Any]] = field(default=(), repr=False)


def deploy_releases(options: ReleasesOptions, *, check_mode: bool = False, want_diff: bool = False) -> dict[str, Any]:
    """Deploy the releases; return the module's result.

    When a release fails, those that do not depend on it are still deployed; ``failed`` and ``msg`` of the result report
    it.

    :raises OciError: for failures that affect all releases: options, the cluster, the Helm program.
    """
    if not 1 <= options.parallel <= MAX_PARALLEL:
        raise InvalidOption(f"'parallel' is {options.parallel}: wanted 1 to {MAX_PARALLEL}.")
    specs = parse_releases(options.releases, options.sources, options.artifacts)
    if not specs:
        return {"changed": False, "releases": [], "statistics": {"helm_processes": 0, "api_requests": 0}}
    return _Run(options, specs, check_mode, want_diff).run()


class _Run:
    def __init__(
        self, options: ReleasesOptions, specs: Sequence[ReleaseSpec], check_mode: bool, want_diff: bool
    ) -> None:
        self._options = options
        self._check_mode = check_mode
        self._want_diff = want_diff
        self._specs = specs
        self._api = KubeRest(options.kube)
        self._foresight = _foresight(options) if check_mode else None
        files = ArtifactFiles(options.artifacts)
        self._gatherer = ValuesGatherer(self._api, options.documents, files, self._foresight)
        self._helm_runs = 0
        self._warnings: list[str] = []
        # why the records in a namespace could not be read as a user
        self._refused: dict[tuple[str, str], ClusterError] = {}

    def run(self) -> dict[str, Any]:
        last = self._observe()
        plans = {spec.key: self._plan(spec, last.get((spec.key.namespace, spec.key.name))) for spec in self._specs}
        self._check_needs(plans, last)
        is_needed = bool(self._options.show) or any(plan.has_work or plan.may_have_drifted for plan in plans.values())
        if is_needed and any(plan.failure is None for plan in plans.values()):
            self._carry_out(plans)
        return self._result(list(plans.values()))

    def _observe(self) -> dict[tuple[str, str], Revision]:
        """The latest revision of each release in the relevant namespaces, in one request if that is permitted.

        A namespace of a release with a service account is looked at as that. What it may not see fails its releases.
        """
        active = [spec for spec in self._specs if not spec.suspend]
        wanted = {(spec.user, spec.key.namespace) for spec in active}
        known = {spec.key for spec in active}
        outside = {key.namespace for spec in active for key in spec.depends_on if key not in known}
        wanted |= {("", namespace) for namespace in outside - {namespace for _user, namespace in wanted}}
        namespaces = sorted(namespace for user, namespace in wanted if not user)
        revisions: list[Revision] = []
        if len(namespaces) >= CLUSTER_WIDE_FROM:
            try:
                revisions += self._revisions("")
                namespaces = []
            except Forbidden:
                pass
        for namespace in namespaces:
            revisions += self._revisions(namespace)
        for user, namespace in sorted(wanted):
            if user:
                try:
                    revisions += self._revisions(namespace, user)
                except ClusterError as exc:
                    self._refused[user, namespace] = exc
        return last_revisions(revisions)

    def _revisions(self, namespace: str, user: str = "") -> Iterable[Revision]:
        found = self._api.acting_as(user).list_metadata(revisions_path(namespace), LAST_REVISIONS)
        return [revision for revision in map(parse_revision, found) if revision is not None]

    def _plan(self, spec: ReleaseSpec, last: Revision | None) -> ReleasePlan:
        plan = ReleasePlan(spec, last=last)
        chart = self._options.sources.get(spec.source) if spec.present else None
        try:
            if (spec.user, spec.key.namespace) in self._refused:
                raise self._refused[spec.user, spec.key.namespace]
            if chart is not None and not spec.suspend and not spec.rollback_to:
                self._set_values(plan, chart)
            else:
                self._gatherer.note_public(spec)
            plan.chart = chart
            plan.decision = decide(spec.desired_state(chart.digest if chart else "", plan.values_digest), last)
            plan.cause = plan.decision.reason
            plan.check_window()
            if plan.decision.action in (INSTALL, UPGRADE):
                plan.warnings += ambiguous_values(spec)
            if self._options.policy is not None:
                from .guard import check_release

                check_release(self._options.policy, self._api.acting_as(spec.user), plan)
        except Exception as exc:  # as in _carry_out
            from ..._unexpected import as_error

            self._end(plan, as_error(exc, f"The work on the release {spec.key}"))
        return plan

    def _end(self, plan: ReleasePlan, error: OciError) -> None:
        """Record what ended the work on a release; in check mode, rights that are still to be given are no failure."""
        user = plan.spec.user
        is_refused = isinstance(error, Forbidden) and " cannot impersonate " not in error.message
        if self._foresight is None or not is_refused or not self._foresight.may_grant(user):
            plan.end_with(error)
            return
        plan.is_unseen = True
        if not plan.has_work:
            plan.chart = self._options.sources.get(plan.spec.source) if plan.spec.present else None
            # what it is when nothing of it is there, as on a new cluster
            plan.decision = decide(plan.spec.desired_state(plan.chart.digest if plan.chart else "", ""), None)
            plan.cause = plan.decision.reason
        plan.changed = plan.has_work
        plan.warnings.append(
            f"What becomes of the release {plan.key} cannot be checked before {user} has the rights that an earlier "
            f"task gives. {error.message}"
        )

    def _set_values(self, plan: ReleasePlan, chart: FetchedChart) -> None:
        values = self._gatherer.gather(plan.spec, chart)
        plan.artifacts = self._artifacts_of(plan.spec)
        if plan.spec.preserve_values:
            from .preserved import preserve_values

            preserve_values(self._api.acting_as(plan.spec.user), plan, values)
        else:
            plan.set_values(values)

    def _artifacts_of(self, spec: ReleaseSpec) -> dict[str, FetchedFiles]:
        names = [reference.name for reference in spec.values_from if reference.kind == ARTIFACT]
        return {name: self._options.artifacts[name] for name in names}

    def _check_needs(self, plans: Mapping[ReleaseKey, ReleasePlan], last: Mapping[tuple[str, str], Revision]) -> None:
        """Fail releases whose dependencies this run does not deploy, and that are not deployed in the cluster either.

        It does not deploy those that are not in the task, and those that are suspended or to be absent.
        """
        for plan in plans.values():
            if plan.spec.suspend or not plan.spec.present or plan.failure or plan.pending:
                continue
            for need in plan.spec.depends_on:
                other = plans[need].spec if need in plans else None
                if other is not None and other.present and not other.suspend:
                    continue
                found = last.get((need.namespace, need.name))
                # an expression says itself which status it accepts
                accepted = found is not None and (found.status == "deployed" or need in plan.spec.ready_when)
                if other is not None and not other.present and not other.suspend:
                    plan.fail(not_ready(plan.key, f"{need}, whose 'state' is absent"))
                elif not accepted:
                    state = "suspended and " if other is not None else ""
                    status = found.status if found else "not there"
                    plan.fail(not_ready(plan.key, f"{need}, which is {state}{status}"))

    def _carry_out(self, plans: Mapping[ReleaseKey, ReleasePlan]) -> None:
        # imported here: an unchanged run needs none of it
        from ..._helm.schedule import run_in_order
        from ..._unexpected import as_error
        from .context import ReleaseContext
        from .drift import look_for_drift
        from .preview import predict, settle_all
        from .work import ReleaseWork

        with tempfile.TemporaryDirectory(prefix="helm-releases-") as scratch:
            context = ReleaseContext(
                self._api,
                self._options.helm,
                self._options.kube,
                scratch,
                lock_timeout=self._options.lock_timeout,
                check_mode=self._check_mode,
                want_diff=self._want_diff,
                mask=self._gatherer.mask,
                origins=self._gatherer.origins,
                users=self._users(),
                want_show=bool(self._options.show),
            )

            if any(plan.spec.ready_when for plan in plans.values()):
                from .readiness import check_ready_when

                check_ready_when(plans.values())

            def work(key: ReleaseKey) -> None:
                plan = plans[key]
                if plan.failure is not None or plan.is_unseen or not (plan.has_work or plan.may_have_drifted):
                    return
                broken = [need for need in self._needs(plan.spec) if need in plans and plans[need].failure]
                if broken:
                    plan.fail(not_ready(key, f"{broken[0]}, which failed"))
                    return
                waiting = [need for need in needs[key] if need in plans and plans[need].pending]
                if waiting and plan.has_work:
                    plan.wait(f"The release {key} comes after {waiting[0]}, which is pending.")
                    return
                try:
                    # what it depends on may have taken until its window has closed
                    plan.check_window()
                    if plan.has_work and plan.spec.ready_when:
                        from .readiness import check_ready

                        check_ready(context, plans, plan)
                    if not plan.has_work:
                        look_for_drift(context, context.places, plan)
                    elif self._foresight is not None:
                        predict(context, self._foresight, plan)
                    else:
                        ReleaseWork(context, plan).carry_out()
                except Exception as exc:  # any error: the results of the others must not be lost
                    error = as_error(exc, f"The work on the release {key}")
                    if isinstance(error, ClusterError):
                        # the message may be the API's
                        error.message = context.masked(error.message)
                    self._end(plan, error)

            def work_and_look(key: ReleaseKey) -> None:
                work(key)
                if self._options.show:
                    from .show import look

                    look(context, plans[key], self._options.show)

            try:
                needs = {key: self._needs(plan.spec) for key, plan in plans.items()}
                removals = [key for key, plan in plans.items() if not plan.spec.present]
                for key in removals:
                    # a release is removed before those that it depends on
                    needs[key] = [other for other in removals if key in plans[other].spec.depends_on]
                run_in_order(list(plans), needs, work_and_look, self._options.parallel)
                if self._foresight is not None:
                    settle_all(context, self._foresight, plans)
                if self._options.show:
                    from .show import show

                    for plan in plans.values():
                        show(context, plan, self._options.show)
            finally:
                self._helm_runs = context.helm_runs
                self._warnings += context.warnings

    def _users(self) -> dict[ReleaseKey, str]:
        """The users that records are read as, of releases of the task and of those that these depend on."""
        users: dict[ReleaseKey, str] = {}
        for spec in self._specs:
            if spec.user:
                # as in _observe
                users.update({need: spec.user for need in spec.depends_on if need.namespace == spec.key.namespace})
        users.update({spec.key: spec.user for spec in self._specs})
        return users

    def _needs(self, spec: ReleaseSpec) -> Sequence[ReleaseKey]:
        return spec.depends_on if spec.present else ()

    def _result(self, plans: Sequence[ReleasePlan]) -> dict[str, Any]:
        failed = [plan for plan in plans if plan.failure is not None]
        result: dict[str, Any] = {
            "changed": any(plan.changed for plan in plans),
            "releases": [plan.as_result() for plan in plans],
            "warnings": [*self._warnings, *(warning for plan in plans for warning in plan.warnings)],
            "statistics": {"helm_processes": self._helm_runs, "api_requests": self._api.requests},
        }
        diff = [part for plan in plans for part in plan.diff]
        if diff:
            result["diff"] = diff
        if failed:
            first = failed[0]
            words = f"The release {first.key} failed: {first.failure}"
            if len(failed) > 1:
                others = ", ".join(str(plan.key) for plan in failed[1:20])
                words += f" {len(failed) - 1} more failed: {others}."
            retryable = all(plan.failure.retryable for plan in plans if plan.failure)
            result.update(failed=True, msg=words, reason=first.reason, retryable=retryable)
        return result


def _foresight(options: ReleasesOptions) -> Foresight:
    # only check mode needs it
    from .foresight import Foresight

    return Foresight(options.planned_objects)

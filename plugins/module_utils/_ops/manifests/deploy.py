# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb: makes a cluster have the manifests of artifacts, set by set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._errors import DependencyNotReady, InvalidOption
from ..._kube.api import KubeOptions
from ..._kube.rest import KubeRest
from ..._manifests.applyset import parse_found, parse_parent
from .spec import SUSPENDED, FetchedArtifact, Outcome, SetKey, parse_spec

if TYPE_CHECKING:
    from ..._manifests.sops import SopsCall
    from ..._policy.rules import Policy


@dataclass(frozen=True)
class ManifestsOptions:
    """The options of a task. ``lock_timeout`` is in seconds; ``sops`` decrypts."""

    manifests: Sequence[Mapping[str, Any]]
    artifacts: Mapping[str, FetchedArtifact]
    kube: KubeOptions
    has_sources: bool = False
    parallel: int = 4
    lock_timeout: float = 300.0
    policy: Policy | None = None
    sops: SopsCall | None = None
    check_mode: bool = False
    want_diff: bool = False


def deploy_manifests(options: ManifestsOptions) -> dict[str, Any]:
    """Apply and remove all sets, each after those that it depends on; return the module's result.

    A set that fails does not keep others from being applied, but those that depend on it.

    :raises InvalidOption: when options cannot be used; nothing was changed then.
    """
    from ..._helm.schedule import check_order, run_in_order

    if not 1 <= options.parallel <= 64:
        raise InvalidOption(f"'parallel' is {options.parallel}: wanted 1 to 64.")
    if not options.has_sources and any(each["rollback_to"] for each in options.manifests):
        raise InvalidOption("'rollback_to' is given without 'sources'.", "Say where the artifact comes from.")
    specs = [parse_spec(each, options.artifacts) for each in options.manifests]
    keys = [spec.key for spec in specs]
    if len(set(keys)) < len(keys):
        raise InvalidOption("Two entries of 'manifests' have the same name and namespace.")
    if len({spec.parent for spec in specs}) < len(keys):
        raise InvalidOption("Two entries of 'manifests' have the same 'applyset'.")
    outcomes = {spec.key: Outcome(spec) for spec in specs}
    needs = {spec.key: list(spec.depends_on) if spec.is_present else [] for spec in specs}
    for spec in specs:
        if not spec.is_present:
            # removed before those that it depends on
            needs[spec.key] = [each.key for each in specs if not each.is_present and spec.key in each.depends_on]
    check_order(keys, needs)
    known = {key: [need for need in needs[key] if need in outcomes] for key in keys}
    api = KubeRest(options.kube)
    if keys:
        run_in_order(keys, needs, lambda key: _work(api, outcomes, key, known[key], options), options.parallel)
    return _result(list(outcomes.values()), api)


def _work(
    api: KubeRest,
    outcomes: Mapping[SetKey, Outcome],
    key: SetKey,
    needs: Sequence[SetKey],
    options: ManifestsOptions,
) -> None:
    from ..._unexpected import as_error
    from .work import ManifestsWork

    outcome = outcomes[key]
    if outcome.spec.options["suspend"]:
        outcome.reason = SUSPENDED
        return
    try:
        work = ManifestsWork(
            api,
            outcome,
            lock_timeout=options.lock_timeout,
            check_mode=options.check_mode,
            want_diff=options.want_diff,
            policy=options.policy,
            sops=options.sops,
        )
        if not work.observe():
            waiting = [each for each in needs if outcomes[each].pending] if options.policy else ()
            if waiting:
                outcome.wait(f"It comes after the manifests {waiting[0]}, which are pending.")
                return
            if outcome.spec.is_present:
                _check_needs(api, outcomes, outcome, options.check_mode)
            work.carry_out()
    except Exception as exc:  # any error: the results of the others must not be lost
        outcome.fail(as_error(exc, f"The work on the manifests {key}"))


def _check_needs(api: KubeRest, outcomes: Mapping[SetKey, Outcome], outcome: Outcome, check_mode: bool) -> None:
    """Check that the sets that one depends on are ready: those of the task by their outcome, others in the cluster.

    :raises DependencyNotReady: when one is not.
    """
    for need in outcome.spec.depends_on:
        other = outcomes.get(need)
        if other is not None:
            if other.failure is not None:
                raise _not_ready(outcome, need, "failed")
            if not other.spec.options["suspend"]:
                continue
        ref = other.spec.parent if other is not None else parse_parent(need.name, need.namespace)
        parent = parse_found(ref, api.find(ref.path))
        if not parent.exists or parent.record.get("ready") is not True:
            raise _not_ready(outcome, need, "are not ready" if parent.exists else "are not in the cluster")


def _not_ready(outcome: Outcome, need: SetKey, what: str) -> DependencyNotReady:
    return DependencyNotReady(
        f"The manifests {outcome.spec.key} depend on the manifests {need}, which {what}.", "They were left as they are."
    )


def _result(outcomes: Sequence[Outcome], api: KubeRest) -> dict[str, Any]:
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    result: dict[str, Any] = {
        "changed": any(outcome.changed for outcome in outcomes),
        "manifests": [outcome.as_result() for outcome in outcomes],
        "warnings": [warning for outcome in outcomes for warning in outcome.warnings],
        "statistics": {"api_requests": api.requests},
    }
    diff = [part for outcome in outcomes for part in outcome.diff]
    if diff:
        result["diff"] = diff
    if failed:
        first = failed[0]
        words = f"The manifests {first.spec.key} failed: {first.failure}"
        if len(failed) > 1:
            words += f" {len(failed) - 1} more failed: {', '.join(str(each.spec.key) for each in failed[1:20])}."
        retryable = all(each.failure.retryable for each in failed if each.failure)
        result.update(failed=True, msg=words, reason=first.reason, retryable=retryable)
    return result

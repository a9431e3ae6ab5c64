# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an object in the cluster is as its manifest wants it to be.

The rules are those of kstatus (sigs.k8s.io/cli-utils, ``pkg/kstatus/status``), which Flux and kpt use: rules for each
kind of workload, and for all others the observed generation and the conditions Ready, Reconciling and Stalled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

CURRENT, IN_PROGRESS, FAILED, TERMINATING = "Current", "InProgress", "Failed", "Terminating"


class Status(NamedTuple):
    """The status of an object, and why it is not current."""

    status: str
    message: str = ""


def status_of(document: Mapping[str, Any]) -> Status:
    """Return the status of an object as the API returned it."""
    metadata, status = _part(document, "metadata"), _part(document, "status")
    if metadata.get("deletionTimestamp"):
        return Status(TERMINATING, "it is being deleted")
    generation, observed = metadata.get("generation"), status.get("observedGeneration")
    if isinstance(observed, int) and isinstance(generation, int) and observed != generation:
        return Status(IN_PROGRESS, f"generation {generation} was not observed yet, the last one was {observed}")
    general = _by_conditions(status)
    if general is not None:
        return general
    group = str(document.get("apiVersion") or "").rpartition("/")[0]
    rule = _RULES.get((group, str(document.get("kind"))))
    if rule is not None:
        return rule(document, _part(document, "spec"), status)
    ready = _condition(status, "Ready")
    if ready is not None and ready.get("status") != "True":
        return Status(IN_PROGRESS, _message(ready, "the condition Ready is not true"))
    return Status(CURRENT)


def _by_conditions(status: Mapping[str, Any]) -> Status | None:
    stalled = _condition(status, "Stalled")
    if stalled is not None and stalled.get("status") == "True":
        return Status(FAILED, _message(stalled, "it is stalled"))
    reconciling = _condition(status, "Reconciling")
    if reconciling is not None and reconciling.get("status") == "True":
        return Status(IN_PROGRESS, _message(reconciling, "it is reconciling"))
    return None


def _deployment(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    progressing = _condition(status, "Progressing")
    if progressing is not None and progressing.get("reason") == "ProgressDeadlineExceeded":
        return Status(FAILED, _message(progressing, "its progress deadline is exceeded"))
    wanted = _number(spec, "replicas", 1)
    replicas, updated = _number(status, "replicas"), _number(status, "updatedReplicas")
    ready, available = _number(status, "readyReplicas"), _number(status, "availableReplicas")
    if "observedGeneration" not in status:
        return Status(IN_PROGRESS, "its controller has not seen it yet")
    if replicas < wanted or updated < wanted:
        return Status(IN_PROGRESS, f"{min(replicas, updated)} of {wanted} replicas are updated")
    if replicas > updated:
        return Status(IN_PROGRESS, f"{replicas - updated} old replicas are to be ended")
    if ready < wanted or available < updated:
        return Status(IN_PROGRESS, f"{min(ready, available)} of {wanted} replicas are available")
    condition = _condition(status, "Available")
    if wanted and (condition is None or condition.get("status") != "True"):
        return Status(IN_PROGRESS, _message(condition or {}, "the condition Available is not true"))
    return Status(CURRENT)


def _replica_set(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    failure = _condition(status, "ReplicaFailure")
    if failure is not None and failure.get("status") == "True":
        return Status(IN_PROGRESS, _message(failure, "replicas fail"))
    wanted = _number(spec, "replicas", 1)
    for name in ("fullyLabeledReplicas", "availableReplicas", "readyReplicas"):
        if _number(status, name) < wanted:
            return Status(IN_PROGRESS, f"{_number(status, name)} of {wanted} replicas are ready")
    if _number(status, "replicas") > wanted:
        return Status(IN_PROGRESS, "replicas are to be ended")
    return Status(CURRENT)


def _stateful_set(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    strategy = _part(spec, "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return Status(CURRENT)
    wanted = _number(spec, "replicas", 1)
    if "observedGeneration" not in status or _number(status, "replicas") < wanted:
        return Status(IN_PROGRESS, f"{_number(status, 'replicas')} of {wanted} replicas are there")
    if _number(status, "readyReplicas") < wanted:
        return Status(IN_PROGRESS, f"{_number(status, 'readyReplicas')} of {wanted} replicas are ready")
    if _number(status, "replicas") > wanted:
        return Status(IN_PROGRESS, "replicas are to be ended")
    partition = _number(_part(strategy, "rollingUpdate"), "partition")
    if partition:
        updated = _number(status, "updatedReplicas")
        enough = updated >= wanted - partition
        return Status(CURRENT) if enough else Status(IN_PROGRESS, f"{updated} replicas are updated")
    if _number(status, "currentReplicas") < wanted:
        return Status(IN_PROGRESS, f"{_number(status, 'currentReplicas')} of {wanted} replicas are current")
    if status.get("currentRevision") != status.get("updateRevision"):
        return Status(IN_PROGRESS, "its revision is not current yet")
    return Status(CURRENT)


def _daemon_set(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    if "observedGeneration" not in status or "desiredNumberScheduled" not in status:
        return Status(IN_PROGRESS, "its controller has not seen it yet")
    wanted = _number(status, "desiredNumberScheduled")
    for name in ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady"):
        if _number(status, name) < wanted:
            return Status(IN_PROGRESS, f"{name} is {_number(status, name)} of {wanted}")
    return Status(CURRENT)


def _job(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    failed = _condition(status, "Failed")
    if failed is not None and failed.get("status") == "True":
        return Status(FAILED, _message(failed, "it failed"))
    complete = _condition(status, "Complete")
    if complete is not None and complete.get("status") == "True":
        return Status(CURRENT)
    # as kstatus: a job that has started is as it should be
    return Status(CURRENT) if status.get("startTime") else Status(IN_PROGRESS, "it has not started")


def _pod(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    phase = status.get("phase")
    if phase == "Succeeded":
        return Status(CURRENT)
    if phase == "Failed":
        return Status(FAILED, str(status.get("message") or "it failed"))
    ready = _condition(status, "Ready")
    if phase == "Running" and ready is not None and ready.get("status") == "True":
        return Status(CURRENT)
    scheduled = _condition(status, "PodScheduled")
    return Status(IN_PROGRESS, _message(ready or scheduled or {}, f"it is {phase or 'not running'}"))


def _claim(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    phase = status.get("phase")
    return Status(CURRENT) if phase == "Bound" else Status(IN_PROGRESS, f"it is {phase or 'not bound'}")


def _service(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    if spec.get("type") == "LoadBalancer" and not spec.get("clusterIP"):
        return Status(IN_PROGRESS, "it has no cluster IP yet")
    return Status(CURRENT)


def _budget(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    return Status(CURRENT) if "observedGeneration" in status else Status(IN_PROGRESS, "it has not been observed")


def _definition(document: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Status:
    names, established = _condition(status, "NamesAccepted"), _condition(status, "Established")
    if names is not None and names.get("status") == "False":
        return Status(FAILED, _message(names, "its names are not accepted"))
    if established is not None and established.get("status") == "True":
        return Status(CURRENT)
    return Status(IN_PROGRESS, _message(established or {}, "it is not established"))


_RULES: dict[tuple[str, str], Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], Status]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("policy", "PodDisruptionBudget"): _budget,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}


def _part(node: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = node.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(node: Mapping[str, Any], name: str, default: int = 0) -> int:
    found = node.get(name)
    return found if isinstance(found, int) else default


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    conditions = status.get("conditions")
    for each in conditions if isinstance(conditions, list) else []:
        if isinstance(each, Mapping) and each.get("type") == kind:
            return each
    return None


def _message(condition: Mapping[str, Any], otherwise: str) -> str:
    return str(condition.get("message") or condition.get("reason") or otherwise)[:300]

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which objects are applied: what others need first, what catches requests to others last.

Source: fluxcd/pkg, ``ssa/manager_apply.go`` (ApplyAllStaged) and ``ssa/utils/sort.go``.
"""

from __future__ import annotations

from collections.abc import Sequence

from .objects import ManifestObject

DEFINITIONS, CLASSES, REST = range(3)

_ORDER = [
    "CustomResourceDefinition", "Namespace", "ResourceQuota", "LimitRange", "StorageClass", "PriorityClass",
    "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ConfigMap", "Secret", "Service",
    "PodDisruptionBudget", "PersistentVolume", "PersistentVolumeClaim", "Deployment", "StatefulSet", "DaemonSet",
    "Job", "CronJob", "Ingress", "NetworkPolicy", "APIService",
]  # fmt: skip
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_RANK = {kind: rank for rank, kind in enumerate(_ORDER)}
_AMONG_OTHERS = len(_ORDER)


def stage_of(item: ManifestObject) -> int:
    """Return the stage of an object: definitions of kinds and namespaces, classes, all the rest."""
    if item.kind in ("CustomResourceDefinition", "Namespace"):
        return DEFINITIONS
    return CLASSES if item.kind.endswith("Class") else REST


def staged(items: Sequence[ManifestObject]) -> list[list[ManifestObject]]:
    """Return the objects in their order, stage by stage; empty stages are left out."""
    ordered = sorted(items, key=_key)
    stages = [[item for item in ordered if stage_of(item) == stage] for stage in (DEFINITIONS, CLASSES, REST)]
    return [stage for stage in stages if stage]


def removal_order(kind: str) -> int:
    """Return a number by which objects to be removed are sorted: the reverse of the order of applying."""
    return -_rank(kind)


def _key(item: ManifestObject) -> tuple[int, str, str, str]:
    return _rank(item.kind), item.kind, item.namespace, item.name


def _rank(kind: str) -> int:
    return _AMONG_OTHERS + 1 if kind in _LAST else _RANK.get(kind, _AMONG_OTHERS)

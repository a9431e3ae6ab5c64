# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors about releases that are the same whether the work was tried or is predicted."""

from __future__ import annotations

from collections.abc import Sequence

from ..._errors import DependencyNotReady, NamespaceTerminating, ObjectNotFound, ReleaseLocked
from ..._helm.release import Revision
from .spec import ReleaseKey


def no_namespace(key: ReleaseKey) -> ObjectNotFound:
    """The error for a release whose namespace, that of its record or of its objects, does not exist."""
    return ObjectNotFound(
        f"The namespace {key.namespace}, of the release {key.name}, does not exist.",
        "Create it, or set 'create_namespace', which creates the namespace of the objects.",
    )


def namespace_terminating(key: ReleaseKey) -> NamespaceTerminating:
    """The error for a release whose namespace is being deleted."""
    return NamespaceTerminating(
        f"The namespace {key.namespace}, of the release {key.name}, is being deleted: nothing can be created in it.",
        f"Run the task again once it is gone; 'kubectl get namespace {key.namespace} -o yaml' shows what holds it up.",
    )


def left_pending(key: ReleaseKey, last: Revision) -> ReleaseLocked:
    """The error for a release whose last action is not finished, when ``pending`` is ``fail``."""
    return ReleaseLocked(
        f"The release {key} is {last.status} (revision {last.number}).",
        "Let its deployment finish, or choose another 'pending' than fail.",
    )


def no_revision_of(key: ReleaseKey, digest: str, revisions: Sequence[Revision]) -> ObjectNotFound:
    """The error for a rollback to a chart that no revision was made of."""
    kept = ", ".join(str(each.number) for each in revisions[:20])
    return ObjectNotFound(
        f"No revision of the release {key} that is kept ({kept}) was made of the chart {digest}.",
        "See 'helm history' for the digests; 'history_max' says how many are kept.",
    )


def not_ready(key: ReleaseKey, what: str) -> DependencyNotReady:
    """The error for a release that depends on something that is not there."""
    return DependencyNotReady(f"The release {key} depends on {what}.", "It was left as it is.")

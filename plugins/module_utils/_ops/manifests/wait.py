# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until objects that were applied are ready."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..._errors import HealthCheckFailed
from ..._files.threads import thread_pool
from ..._kube.rest import KubeRest
from ..._manifests.kstatus import CURRENT, FAILED, IN_PROGRESS, Status, status_of
from .apply import SKIPPED, Member, counted
from .spec import ManifestsSpec

PARALLEL = 8
MAX_NAMED = 10
# Seconds between two looks at an object.
POLL_INTERVAL = 1.0


def await_ready(api: KubeRest, spec: ManifestsSpec, members: Sequence[Member]) -> None:
    """Wait until all objects are ready, for as long as ``timeout`` of the set says.

    :raises HealthCheckFailed: when one has failed, is gone, or is not ready in time; the message says why.
    """
    deadline = time.monotonic() + spec.timeout
    waiting = [member for member in members if member.action != SKIPPED]
    with thread_pool(PARALLEL) as pool:
        while waiting:
            found = list(zip(waiting, pool.map(lambda member: _status(api, member), waiting)))
            failed = [(member, status) for member, status in found if status.status == FAILED]
            if failed:
                raise _failure(spec, "failed", failed)
            late = [(member, status) for member, status in found if status.status != CURRENT]
            if late and time.monotonic() >= deadline:
                raise _failure(spec, f"not ready after {spec.timeout:g} s", late)
            waiting = [member for member, _found in late]
            if waiting:
                time.sleep(min(POLL_INTERVAL, max(deadline - time.monotonic(), 0.05)))


def _status(api: KubeRest, member: Member) -> Status:
    live = api.find(member.place.path)
    return status_of(live) if live is not None else Status(IN_PROGRESS, "it is gone")


def _failure(spec: ManifestsSpec, what: str, found: Sequence[tuple[Member, Status]]) -> HealthCheckFailed:
    words = "; ".join(f"{member.place}: {status.message}" for member, status in found[:MAX_NAMED])
    more = f"; {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return HealthCheckFailed(
        f"{counted(len(found))} of the manifests {spec.key} {what}: {words}{more}.",
        "They are applied; nothing was pruned. The next run checks them again.",
    )

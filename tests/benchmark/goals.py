# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each workload is to cost at most: the report says of each goal whether it is met. Names are those of peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MIB = 1024 * 1024

# a module's process on a host, without that of a task that does nothing
PING = "a task that does nothing"
OURS = "oci_artifact_pull"
FIRST = f"{OURS}, first host of the task"
OURS_PUSH = "oci_artifact_push"
OURS_INFO = "oci_artifact_info"
OURS_COPY = "oci_artifact_copy"

# whole runs of ansible-playbook
PINGS = "ansible.builtin.ping"
THREE = "three times "
FLEET = 60  # hosts, so that what a run does once is little of it
VIA = f"{OURS}, via: controller"
BY_MODULE = ", run_in_worker: never"
BY_ORAS = "command: oras pull"
BY_ORAS_AND_TAR = "command: oras pull, then unarchive"
BY_URL = "get_url, then unarchive"
BY_HELM = "command: helm pull"
BY_ORAS_PUSH = "command: oras push"
ROLE_ONE, ROLE_TWO = "role helm_release, one release", "role helm_release, two releases"
CORE_ONE, CORE_TWO = "kubernetes.core.helm, one release", "kubernetes.core.helm, two releases"


@dataclass(frozen=True)
class Goal:
    """What a peer is to cost at most: ``limit`` times what ``base`` costs; seconds or bytes without a base.

    What depends on the machine alone is compared with a task that does nothing, and not given in seconds.
    """

    peer: str
    what: str
    limit: float
    base: str = ""


MEMORY = 64 * MIB

GOALS: Mapping[str, Sequence[Goal]] = {
    "play-unchanged-tag": [Goal(f"{THREE}{OURS}", "cpu", 0.7, f"{THREE}{PINGS}")],
    "play-unchanged-digest": [Goal(OURS, "cpu", 0.95, PINGS)],
    "play-files": [Goal(OURS, "cpu", 0.85, BY_ORAS), Goal(OURS, "cpu", 1.0, BY_URL)],
    "play-files-plain": [Goal(OURS, "cpu", 1.0, BY_ORAS)],
    "play-chart": [Goal(OURS, "cpu", 1.0, BY_HELM)],
    "play-layer": [Goal(OURS, "wall", 0.8, BY_ORAS_AND_TAR), Goal(OURS, "wall", 1.0, BY_URL)],
    "play-push": [Goal(OURS_PUSH, "wall", 1.0, BY_ORAS_PUSH)],
    "play-remote": [Goal(OURS, "cpu", 1.25, PINGS)],
    "play-fleet": [Goal(f"{VIA}, unchanged", "cpu", 1.25, PINGS), Goal(f"{VIA}, new", "cpu", 1.0 * FLEET)],
    "play-release": [Goal(ROLE_ONE, "cpu", 1.0, CORE_ONE), Goal(ROLE_TWO, "cpu", 0.95, CORE_TWO)],
    "payload": [Goal(f"{OURS}, unchanged", "size", 1.5, PINGS), Goal(f"{OURS}, unchanged", "files", 1.5, PINGS)],
    "unchanged-digest": [Goal(OURS, "cpu", 0.25, PING)],
    "unchanged-tag": [Goal(OURS, "cpu", 1.25, PING)],
    "layer": [
        Goal(OURS, "wall", 0.8, "oras pull + tar"),
        Goal(OURS, "cpu", 0.8, "oras pull + tar"),
        Goal(OURS, "memory", MEMORY),
    ],
    "files": [Goal(OURS, "wall", 0.7, "oras pull"), Goal(OURS, "cpu", 0.7, "oras pull")],
    "gzip": [
        Goal(OURS, "wall", 0.6, "oras pull"),
        Goal(OURS, "cpu", 0.6, "oras pull"),
        Goal(OURS, "memory", MEMORY),
        *(
            Goal(f"{OURS} with {package}", what, 0.4, "oras pull")
            for package in ("isal", "zlib-ng")
            for what in ("wall", "cpu")
        ),
    ],
    "layers": [Goal(OURS, "wall", 1.0, "oras pull")],
    "layers-far": [Goal(OURS, "wall", 0.5, "oras pull")],
    "charts": [
        # the loop runs in the worker, too
        Goal(OURS, "wall", 0.5, "a task for each, in a loop"),
        Goal(OURS, "wall", 2.0, "a shell loop of oras pull"),
    ],
    "push": [Goal(OURS_PUSH, "wall", 0.8, "oras push"), Goal(OURS_PUSH, "memory", MEMORY)],
    "copy": [
        Goal(OURS_COPY, "wall", 1.1, "crane copy"),
        # the packages that a module imports take a quarter of what crane takes for all of it
        Goal(OURS_COPY, "cpu", 1.3, "crane copy"),
        Goal(OURS_COPY, "memory", MEMORY),
    ],
    "tags": [Goal(OURS_INFO, "cpu", 5.0, PING)],
    "releases": [
        Goal("role, unchanged", "cpu", 0.25, "kubernetes.core.helm, unchanged"),
        Goal("role, unchanged", "registry", 1),
    ],
}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of the host that have no number in the user namespace of this process."""

from __future__ import annotations


def is_outside(uid: int) -> bool:
    """Return whether a user has no number in this user namespace, as the host's root in a rootless container: whoever
    set that up is above everybody in it (user_namespaces(7))."""
    return uid == _overflow_uid() and _is_mapped_in_part()


def _overflow_uid() -> int | None:
    """Return what the kernel shows for users that have no number in this user namespace (user_namespaces(7))."""
    try:
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return None


def _is_mapped_in_part() -> bool:
    """Return whether this is a user namespace, as of a rootless container, where files of the host's root have no
    owner."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as stream:
            return stream.read().split() != ["0", "0", "4294967295"]
    except OSError:
        return False

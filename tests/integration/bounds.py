# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The most that things may cost, in what can be counted. A change that costs less lowers a bound with it.

To raise one takes a reason in the commit and the word of a reviewer: a call for each file, or a module that every task
imports, is a time that no test would see, since times depend on the machine.

Shares are of what ``ansible.builtin.ping`` has, which goes up and down with ansible-core and Python.
"""

from __future__ import annotations

from collections.abc import Mapping

BOUNDS: dict[str, float] = {
    # what a host gets and does for a pull that finds nothing new
    "unchanged by digest: requests": 0,
    "unchanged by digest: files carried, of ping's": 1.25,
    "unchanged by digest: bytes carried, of ping's": 1.4,
    "unchanged by digest: own modules imported": 27,
    "unchanged by digest: modules imported more than by ping": 50,
    "unchanged by digest: instructions, of ping's": 1.6,
    "unchanged by tag: requests": 1,
    "unchanged by tag: files carried, of ping's": 1.25,
    "unchanged by tag: bytes carried, of ping's": 1.65,
    "unchanged by tag: own modules imported": 51,
    "unchanged by tag: modules imported more than by ping": 210,
    # one more task of a playbook on the controller itself
    "local task (auto): programs started": 0,
    "pull of three layers: requests": 5,
    "pull again: requests": 1,
    "push of one file: requests": 9,
    "push again: requests": 1,
    # for each file or layer more; the sockets that are closed make the tenths of a layer
    "a file into an empty dest: system calls": 5.2,
    "a file that is in place: system calls": 1,
    "a layer of 64 KiB, kept as a file: system calls": 18,
}


def exceeded(found: Mapping[str, float], bounds: Mapping[str, float]) -> list[str]:
    """What costs more than it may, as sentences.

    :raises KeyError: when something has no bound, so that nothing is counted in vain.
    """
    return [
        f"{name}: {cost:g}, at most {bounds[name]:g} (tests/integration/bounds.py)"
        for name, cost in found.items()
        if cost > bounds[name]
    ]

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

BOUNDS: dict[str, float] = __import__("collections").defaultdict(float)


def exceeded(found: Mapping[str, float], bounds: Mapping[str, float] = BOUNDS) -> list[str]:
    """What costs more than it may, as sentences.

    :raises KeyError: when something has no bound, so that nothing is counted in vain.
    """
    return [
        f"{name}: {cost:g}, at most {bounds[name]:g} (tests/integration/bounds.py)"
        for name, cost in found.items()
        if cost > bounds[name]
    ]

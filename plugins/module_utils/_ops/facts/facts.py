# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts: what pulls have placed on this host, where, by whose word, and whether it is as it was placed. No registry is
asked."""

from __future__ import annotations

import os
from typing import Any

from ..._dest.indexed import MAX_ENTRIES
from .own import FactsOptions, own_facts

FACT = "oci_artifacts"


def facts(options: FactsOptions, *, check_mode: bool = False) -> dict[str, Any]:
    """Return the module's result. What vanished is left out of the index from now on, except in check mode.

    :raises OciError: when the index is not safe to use.
    """
    found = own_facts(options, check_mode=check_mode)
    warnings: list[str] = []
    if options.all_users and os.geteuid() == 0:
        from .users import facts_of_others

        others, warnings = facts_of_others(options, check_mode=check_mode)
        found += others
    if len(found) >= MAX_ENTRIES:
        warnings.append(f"This host has {MAX_ENTRIES:,} destinations or more; those after that are left out.")
    found.sort(key=lambda each: (str(each.get("path")), str(each.get("user"))))
    return {
        "changed": False,
        "ansible_facts": {FACT: found[:MAX_ENTRIES]},
        "warnings": warnings,
    }

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cache: list the content of a cache, and prune it by age and size."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._cache.prune import Holding, Inventory, PruneResult, PruneRules, prune, take_stock
from .._errors import InvalidOption

MAX_LISTED = 1000

SHOWN, PRUNED, UP_TO_DATE = "CacheShown", "CachePruned", "CacheUpToDate"

_AGE = re.compile(r"([0-9]+)([smhdw]?)\Z", re.ASCII)
_AGE_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class CacheManagement:
    """The options of a listing or pruning of a cache."""

    root: str
    rules: PruneRules


def manage_cache(options: CacheManagement, *, check_mode: bool = False, want_diff: bool = False) -> dict[str, Any]:
    """Prune the cache if there are rules; return the module's result.

    :raises InvalidOption: when no directory is given, or it is not a cache.
    :raises StorageError: when a file operation fails, or the lock is not acquired in time.
    """
    if not options.root:
        raise InvalidOption(
            "No cache is given.", "Give its directory in 'cache_dir', or in the environment as OCI_ARTIFACT_CACHE_DIR."
        )
    root = os.path.abspath(options.root)
    if options.rules.is_empty:
        stock = take_stock(root)
        return {"changed": False, **_described(root, PruneResult(stock, stock)), "reason": SHOWN}
    found = prune(root, options.rules, check_mode=check_mode)
    result = {
        "changed": found.changed,
        **_described(root, found),
        "reason": PRUNED if found.changed else UP_TO_DATE,
        "warnings": _warnings(root, found),
    }
    if want_diff and found.changed:
        before, after = _lines(found.before), _lines(found.after)
        result["diff"] = [{"before_header": root, "after_header": root, "before": before, "after": after}]
    return result


def _described(root: str, found: PruneResult) -> dict[str, Any]:
    after = found.after
    return {
        "cache": {
            "path": root,
            "size": after.size,
            "blobs": len(after.sizes),
            "artifacts": len(after.artifacts),
        },
        "artifacts": _results(after.artifacts),
        "removed": {
            "artifacts": _results([holding for holding in found.removed if holding.names]),
            "blobs": found.removed_blobs,
            "size": found.removed_size,
            "damaged": found.damaged[:MAX_LISTED],
            "leftovers": found.leftovers,
        },
        "in_use": found.in_use,
    }


def _results(holdings: Sequence[Holding]) -> list[dict[str, Any]]:
    """The holdings as results, the most recently used first."""
    ordered = sorted(holdings, key=lambda each: (-each.last_used, each.digest))
    return [
        {
            "names": list(holding.names),
            "digest": holding.digest,
            "artifact_type": holding.artifact_type,
            "size": holding.size,
            "last_used": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(holding.last_used)),
        }
        for holding in ordered[:MAX_LISTED]
    ]


def _lines(inventory: Inventory) -> str:
    lines = sorted(
        f"{name or holding.digest} {holding.digest} {holding.size} bytes"
        for holding in inventory.holdings.values()
        for name in (holding.names or ("",))
    )
    if len(lines) > MAX_LISTED:
        lines[MAX_LISTED:] = [f"and {len(lines) - MAX_LISTED} more"]
    return "".join(f"{line}\n" for line in [*lines, f"{len(inventory.sizes)} blobs, {inventory.size} bytes"])


def _warnings(root: str, found: PruneResult) -> list[str]:
    if not found.in_use:
        return []
    return [f"In the cache {root}, {found.in_use} artifacts or blobs were to be removed but stay: they are being used."]


def parse_age(text: str) -> int:
    """Seconds from a whole number with an optional unit (s, m, h, d, w), as ``ansible.builtin.find`` takes an age.

    :raises InvalidOption: when the text is not such an age.
    """
    text = str(text).strip()
    match = _AGE.match(text) if len(text) < 20 else None
    if not match:
        raise InvalidOption(
            f"{text[:100]!r} is not an age: wanted a whole number of seconds, or with a unit as in 12h, 30d or 4w."
        )
    return int(match[1]) * _AGE_SECONDS[match[2]]

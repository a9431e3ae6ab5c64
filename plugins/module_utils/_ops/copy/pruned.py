# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags of the target that the selection does not have any more: reported, or removed as a retention removes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..._oci.selection import TagSelector
from ..prune.prune import ABSENT, PruneOptions, Pruning
from ..prune.prune import REPORT as REPORT_ONLY
from ..prune.rules import PART, REFERRER, SHARED, SUBJECT, Rule
from ..resolve import ReferenceOptions
from .options import PRUNE

if TYPE_CHECKING:
    from .copy import Entry


class _Rest:
    """The tags that a selection covers, without those that are wanted."""

    def __init__(self, selector: TagSelector, wanted: Collection[str]) -> None:
        self._selector = selector
        self._wanted = wanted

    def rank(self, tags: Iterable[str]) -> list[str]:
        return [tag for tag in self._selector.rank(tags) if tag not in self._wanted]


def prune_target(entry: Entry, selector: TagSelector, wanted: Collection[str], *, check_mode: bool) -> dict[str, Any]:
    """Find, and with ``prune: true`` remove, the tags of the target that a selection covers and does not have.

    What is needed by what stays is not removed, see :mod:`~._ops.prune.prune`.

    :param wanted: the tags that the task wants there.
    :returns: ``changed``, ``pruned``, ``diff`` and ``warnings`` of the module's result.
    :raises DeletionRefused: when the registry removes no manifests.
    :raises OutsideWindow: when the policy does not permit it now.
    """
    removes = entry.options.prune == PRUNE
    if removes and entry.rules.guards_place and _prune(entry, selector, wanted, REPORT_ONLY, check_mode)["changed"]:
        entry.rules.check_removal()
    found = _prune(entry, selector, wanted, ABSENT if removes else REPORT_ONLY, check_mode)
    return {**found, "changed": found["changed"] and removes}


def _prune(
    entry: Entry, selector: TagSelector, wanted: Collection[str], state: str, check_mode: bool
) -> dict[str, Any]:
    options = PruneOptions(
        reference=ReferenceOptions(ref=entry.place.name),
        rules=[Rule(_Rest(selector, wanted), 0)],
        state=state,
        auth=entry.auth,
        connection=entry.connection,
    )
    found = Pruning(options, entry.task).run(check_mode=check_mode, want_diff=True)
    pruned = _records(found, removed=state == ABSENT)
    return {
        "changed": bool(found["remove"] or found["untag"]),
        "pruned": pruned,
        "diff": found.get("diff", []) if state == ABSENT else [],
        "warnings": found["warnings"],
    }


def _records(found: Mapping[str, Any], *, removed: bool) -> list[dict[str, Any]]:
    records = [
        {"tag": tag, "digest": each["digest"], "removed": removed, "why": ""}
        for each in found["remove"]
        for tag in each["tags"]
    ]
    records += [
        {"tag": each["tag"], "digest": each["digest"], "removed": removed, "why": ""} for each in found["untag"]
    ]
    records += [
        {**each, "removed": False} for each in found["keep"] if each["why"] in (PART, REFERRER, SHARED, SUBJECT)
    ]
    return sorted(records, key=lambda record: str(record["tag"]))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task does for one entry, and what becomes of it: artifacts that are copied, tags that are pruned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._errors import OciError
from ..._unexpected import as_error
from ..many import ItemsFailed
from ..resolve import Resolved
from .report import COPIED, REFUSED, UP_TO_DATE, as_refused, one_diff, total

if TYPE_CHECKING:
    from .copy import Entry
    from .sides import Destination, Source


@dataclass
class Unit:
    """One artifact of an entry. ``tag`` is one of those that the selection picks; empty for what the options name."""

    work: Work
    tag: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    error: OciError | None = None

    @property
    def report(self) -> Mapping[str, Any]:
        """The result; of a failure what it says about what was refused."""
        if self.error is None:
            return self.result
        reference = self.work.entry.target.reference
        refused = [as_refused(reference, Resolved("", self.tag, None), self.error)]
        return {"refused": refused, **self.error.details}


@dataclass
class Work:
    """One entry with its repositories, which are opened when they are needed. ``error`` is what kept the entry as a
    whole from being worked on, or from being pruned."""

    entry: Entry
    source: Source | None = None
    place: Destination | None = None
    units: list[Unit] = field(default_factory=list)
    pruned: dict[str, Any] = field(default_factory=dict)
    error: OciError | None = None

    @property
    def has_failed(self) -> bool:
        return self.error is not None or any(unit.error is not None for unit in self.units)

    def outcome(self) -> dict[str, Any]:
        """Return the module's result for the entry.

        :raises OciError: when it failed, or some of its tags; the report is among the details.
        """
        warnings = [*self.entry.target.warnings, *self.pruned.get("warnings", ())]
        served_by: list[str] = []
        if self.source is not None:
            warnings += self.source.repository.warnings
            served_by = self.source.repository.served_by
        if self.entry.options.limit is not None and self.units:
            return self._selection(warnings, served_by)
        error = self.error or self.units[0].error
        if error is not None:
            reference = self.entry.target.reference
            refused = [as_refused(reference, Resolved(reference.digest, reference.tag, None), error)]
            error.details = {"refused": refused, **error.details, "warnings": warnings}
            raise error
        result = self.units[0].result
        return {**result, "warnings": [*result["warnings"], *warnings], "served_by": served_by}

    def _selection(self, warnings: list[str], served_by: list[str]) -> dict[str, Any]:
        """Return the result for all tags of the selection together. Raises as :meth:`outcome`."""
        failed = [(unit.tag, unit.error) for unit in self.units if unit.error is not None]
        reports = [unit.report for unit in self.units]
        result = total(reports)
        result["changed"] = result["changed"] or self.pruned.get("changed", False)
        result["tags"].update((tag, REFUSED) for tag, _error in failed)
        place = self.entry.place.name
        result.update(
            diff=[*one_diff(result["diff"], place), *self.pruned.get("diff", ())],
            pruned=self.pruned.get("pruned", []),
            artifacts=[unit.result["artifact"] for unit in self.units if unit.error is None],
            to=place,
            warnings=list(dict.fromkeys([*(each for one in reports for each in one.get("warnings", ())), *warnings])),
        )
        if failed:
            tag, first = failed[0]
            is_retryable = all(error.retryable for _tag, error in failed)
            source, count = self.entry.target.reference, len(self.units)
            which = f"{len(failed)} of {count} tags of {source.name} failed, the first is {tag}"
            message = f"{which if count > 1 else f'The tag {source.at(tag=tag)} failed'}: {first.message}"
            if "refused_by" in first.details:
                result["refused_by"] = first.details["refused_by"]
            raise ItemsFailed(message, first, result, retryable=is_retryable)
        if self.error is not None:
            self.error.details.update(result)
            raise self.error
        return {**result, "served_by": served_by, "reason": COPIED if result["changed"] else UP_TO_DATE}


@contextmanager
def noting_failure(of: Work | Unit) -> Iterator[None]:
    """Keep an error with what it is about, so that the rest goes on."""
    try:
        yield
    except Exception as exc:  # any error: the results of the others must not be lost
        of.error = as_error(exc, "The copy")

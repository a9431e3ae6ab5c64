# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy several artifacts in one task: those of a list, and the tags that a selection picks.

First the tags are picked, then all artifacts are copied, a number of them at the same time, and in the end the tags are
removed that the target is not to have any more. What fails keeps nothing else from being copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Callable, TypeVar

from ..._errors import InvalidContent, NoMatch, StorageError
from ..._files.threads import thread_pool
from ..._oci.options import CacheOptions
from ..._oci.selection import Selection, TagSelector
from ..._unexpected import as_error
from ..many import Item, ItemsFailed, numbered, run_items
from ..task import Task
from .conflicts import check_entry, check_names, check_prune, place_key, selector_of
from .copy import Entry
from .options import NO_PRUNE, CopyOptions
from .report import COPIED, UP_TO_DATE, total
from .sides import Destination, Source
from .work import Unit, Work, noting_failure

# The most tags of one entry: a registry may list a million.
MAX_TAGS = 10_000
# for the task as a whole; tags of several repositories may have the same names
_TOTALS = ("copied", "present", "drifted", "refused", "blobs")
_Side = TypeVar("_Side", Source, Destination)
_Thing = TypeVar("_Thing")


def copy_many(
    items: Sequence[tuple[CopyOptions, Mapping[str, Any]]],
    cache: CacheOptions,
    parallel: int,
    *,
    check_mode: bool = False,
) -> dict[str, Any]:
    """Copy several artifacts and selections, each with its label in the result; return the module's result.

    :raises OciError: when the options of one cannot be used, or two would get the same name, before any request.
    :raises ItemsFailed: when some failed, after all were tried.
    """
    with Task(cache) as task:
        entries = []
        for number, (options, _label) in enumerate(items, 1):
            entries.append(numbered(number, partial(_entry, options, task, check_mode)))
        check_prune(entries)
        check_names(entries)
        works = _copied(entries, task, parallel, check_mode)
        outcomes = [Item(label, work.outcome) for work, (_options, label) in zip(works, items)]
        try:
            answer = run_items(outcomes, 1, (COPIED, UP_TO_DATE))
        except ItemsFailed as exc:
            exc.details.update(_totals(exc.details["results"]))
            raise
        return {**answer, **_totals(answer["results"])}


def copy_selection(options: CopyOptions, parallel: int, *, check_mode: bool = False) -> dict[str, Any]:
    """Copy the tags that a selection picks, ``options.limit`` of them; return the module's result.

    :raises OciError: when it cannot be done, or some tags failed, after all were tried.
    """
    with Task(options.cache) as task:
        entry = _entry(options, task, check_mode)
        check_prune([entry])
        (work,) = _copied([entry], task, parallel, check_mode)
        return work.outcome()


def _entry(options: CopyOptions, task: Task, check_mode: bool) -> Entry:
    entry = Entry(options, task, check_mode=check_mode)
    check_entry(entry)
    return entry


def _totals(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = total(results)
    pruned = [record for result in results for record in result.get("pruned", ())]
    return {**{name: found[name] for name in _TOTALS}, "pruned": pruned}


def _copied(entries: Sequence[Entry], task: Task, parallel: int, check_mode: bool) -> list[Work]:
    """Do all that the entries ask for; return what became of each."""
    with ExitStack() as stack:
        copying = _Copying(entries, task, parallel, check_mode, stack)
        copying.run()
        return copying.works


class _Copying:
    """The work of one task. Repositories are opened once, and closed at the end of ``stack``."""

    def __init__(self, entries: Sequence[Entry], task: Task, parallel: int, check_mode: bool, stack: ExitStack) -> None:
        self.works = [Work(entry) for entry in entries]
        self._task = task
        self._parallel = parallel
        self._check_mode = check_mode
        self._stack = stack

    def run(self) -> None:
        """Do all of it; errors are kept with what they are about."""
        self._share_notes()
        self._open_sources()
        self._at_once(self._pick, [work for work in self.works if work.source is not None])
        units = [unit for work in self.works for unit in work.units]
        self._open_places(is_single=len(units) == 1)
        self._at_once(lambda job: job(), self._jobs([unit for unit in units if unit.work.place is not None]))
        for work in self.works:
            self._prune(work)
        if not self._check_mode:
            for known in {work.entry.known.key: work.entry.known for work in self.works}.values():
                known.save()

    def _at_once(self, call: Callable[[_Thing], object], things: Sequence[_Thing]) -> None:
        with thread_pool(min(self._parallel, len(things))) as pool:
            for _done in pool.map(call, things):
                pass

    # -- what entries share

    def _share_notes(self) -> None:
        notes: dict[str, Any] = {}
        for work in self.works:
            work.entry.known = notes.setdefault(work.entry.known.key, work.entry.known)

    def _open_sources(self) -> None:
        opened: list[tuple[object, Source]] = []
        for work in self.works:
            entry = work.entry
            with noting_failure(work):
                access = (place_key(entry.target.reference), entry.options.auth, entry.options.connection)
                work.source = self._opened(opened, access, partial(_open_source, entry))

    def _open_places(self, *, is_single: bool) -> None:
        opened: list[tuple[object, Destination]] = []
        transfers = self._task.transfers

        def open_one(entry: Entry) -> Destination:
            return Destination(entry.open_target(), transfers, is_single=is_single)

        for work in self.works:
            if work.units:
                with noting_failure(work):
                    access = (place_key(work.entry.place), work.entry.auth, work.entry.connection)
                    work.place = self._opened(opened, access, partial(open_one, work.entry))

    def _opened(self, opened: list[tuple[object, _Side]], access: object, open_one: Callable[[], _Side]) -> _Side:
        """Return the repository that was opened in the same way before, or open it."""
        for other, side in reversed(opened):
            if other == access:
                return side
        side = open_one()
        self._stack.callback(side.repository.close)
        opened.append((access, side))
        return side

    # -- the steps

    def _pick(self, work: Work) -> None:
        """Pick the tags of an entry."""
        limit, source = work.entry.options.limit, work.source
        if limit is None or source is None:
            work.units = [Unit(work)]
            return
        with noting_failure(work):
            listed = source.tags.all()
            selector = selector_of(work.entry) or TagSelector(Selection())
            picked = selector.rank(listed, limit or None)
            if not picked and selector.selection.has_policy:
                selector.select(listed)  # says what was passed over, and why
            if not picked:
                raise NoMatch(
                    f"No tag of {work.entry.target.reference.name} is to be copied: none of the {len(listed)} that it "
                    "lists is a release, or matches.",
                    "Check the name of the repository, and that something was pushed to it.",
                )
            if len(picked) > MAX_TAGS:
                raise InvalidContent(
                    f"Of {work.entry.target.reference.name} {len(picked)} tags are to be copied, more than the "
                    f"{MAX_TAGS} of one entry.",
                    "Narrow the selection, or give 'limit'.",
                )
            work.units = [Unit(work, tag) for tag in picked]

    def _jobs(self, units: Iterable[Unit]) -> list[Callable[[], None]]:
        """What can be done at the same time: an archive, which is written as a whole, is one piece of work, and so is a
        layout that is to do without some blobs, which is a state of it."""
        jobs: list[Callable[[], None]] = []
        wholes: dict[int, list[Unit]] = {}
        for unit in units:
            entry = unit.work.entry
            lacks_some = entry.place.is_layout and (entry.options.platforms or entry.options.differential)
            if (entry.place.is_archive or lacks_some) and not self._check_mode:
                wholes.setdefault(id(unit.work.place), []).append(unit)
            else:
                jobs.append(partial(_copy_unit, unit))
        return [*(partial(_copy_as_whole, each) for each in wholes.values()), *jobs]

    def _prune(self, work: Work) -> None:
        """Prune the target of an entry, unless something failed there: what is wanted there may not have arrived."""
        entry, selector = work.entry, selector_of(work.entry)
        if entry.options.prune == NO_PRUNE or entry.options.limit is None or selector is None:
            return
        key = place_key(entry.place)
        together = [each for each in self.works if place_key(each.entry.place) == key]
        if any(each.has_failed for each in together):
            work.pruned = {"warnings": [f"No tag of {entry.place.name} is removed, as not all was copied there."]}
            return
        wanted = {tag for each in together for unit in each.units for tag in unit.result["tags"]}
        with noting_failure(work):
            from .pruned import prune_target

            work.pruned = prune_target(entry, selector, wanted, check_mode=self._check_mode)


def _open_source(entry: Entry) -> Source:
    return Source(entry.open_source())


def _copy_unit(unit: Unit) -> None:
    work = unit.work
    if work.source is not None and work.place is not None:
        with noting_failure(unit):
            unit.result = work.entry.run(work.source, work.place, unit.tag)


def _copy_as_whole(units: Sequence[Unit]) -> None:
    """Copy all that goes into one archive, and write it once. Where one of them spoils the whole, each is copied by
    itself, and so they are where the archive may get something else in between."""
    place = units[0].work.place
    if place is None:
        return
    if any(unit.work.entry.options.include for unit in units):
        for unit in units:
            _copy_unit(unit)
        return
    try:
        with place.repository.batch():
            for unit in units:
                _copy_unit(unit)
        return
    except Exception as exc:
        error = as_error(exc, "The copy")
    pending = [unit for unit in units if unit.error is None]
    for unit in pending:
        unit.work.entry.known.discard()
    place.forget()
    for unit in pending:
        if len(pending) == 1 or isinstance(error, StorageError):
            unit.error = error
        else:
            _copy_unit(unit)

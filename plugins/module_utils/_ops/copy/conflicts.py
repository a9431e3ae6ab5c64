# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be copied in one task: two things that would get the same name, and removals that have no bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..._errors import InvalidOption
from ..._oci.selection import Selection, TagSelector
from ..._policy.match import name_parts
from .options import NO_PRUNE

if TYPE_CHECKING:
    from ..._oci.reference import Reference
    from .copy import Entry


def place_key(reference: Reference) -> tuple[str, ...]:
    """The name of a repository, layout or archive, equal for two spellings of the same."""
    return tuple(name_parts(reference))


def selector_of(entry: Entry) -> TagSelector | None:
    """What picks the tags of an entry, or its one tag; None for an entry that names what is copied."""
    if entry.options.limit is None:
        return entry.target.selector
    return entry.target.ranking or TagSelector(Selection())


def check_entry(entry: Entry) -> None:
    """Check ``limit`` and ``prune`` of one entry.

    :raises InvalidOption: when they have no meaning with the other options.
    """
    options = entry.options
    if options.limit is None:
        return
    if options.limit < 0:
        raise InvalidOption(f"'limit' is {options.limit}: wanted 0, for all tags, or more.")
    if entry.target.known is not None or entry.target.is_explicit and not entry.target.selector:
        raise InvalidOption(
            f"'limit' is given for {entry.target.reference}, which is one artifact.", "Leave out the tag or the digest."
        )
    if entry.place.tag and options.limit != 1:
        raise InvalidOption(
            f"All tags of {entry.target.reference.name} that 'limit' permits would get the one tag of 'to', "
            f"{entry.place}.",
            "Leave the tag out: each keeps its own.",
        )
    if options.prune == NO_PRUNE:
        return
    if entry.place.is_archive:
        raise InvalidOption(
            f"'prune' cannot remove tags of {entry.place.name}: an archive is written as a whole.",
            "Write a new archive.",
        )
    if place_key(entry.place) == place_key(entry.target.reference):
        raise InvalidOption(
            f"'prune' would remove tags of the source: {entry.place.name} is copied to itself.",
            "Use the module oci_artifact_prune for retention.",
        )


def check_prune(entries: Sequence[Entry]) -> None:
    """:raises InvalidOption: when ``prune`` is given and nothing says which tags the target may have."""
    if any(entry.options.prune != NO_PRUNE for entry in entries) and all(
        entry.options.limit is None for entry in entries
    ):
        raise InvalidOption(
            "'prune' is given without 'limit', so that one artifact is copied, and not a selection of tags.",
            "Give 'limit', with 0 for all tags of the selection.",
        )


def check_names(entries: Sequence[Entry]) -> None:
    """Check that no two entries can give the same tag of the same repository to different artifacts.

    Selections of one source may overlap, as a tag of it is the same artifact in both.

    :raises InvalidOption: when two can; it names them by their numbers, from 1 on.
    """
    groups: dict[tuple[str, ...], dict[int, Entry]] = {}
    for number, entry in enumerate(entries, 1):
        groups.setdefault(place_key(entry.place), {})[number] = entry
    for group in groups.values():
        if len(group) > 1:
            _check_group(group)


def _check_group(group: Mapping[int, Entry]) -> None:
    """Check the entries that are copied to one place."""
    names: dict[str, int] = {}
    selections: list[tuple[int, TagSelector]] = []
    for number, entry in group.items():
        selector = selector_of(entry)
        if entry.place.tag or selector is None:
            tag = entry.place.tag or entry.target.reference.tag
            other = names.setdefault(tag, number) if tag else number
            if other != number:
                raise _conflict(other, number, str(entry.place.at(tag=tag)))
        else:
            selections.append((number, selector))
    for position, (number, selector) in enumerate(selections):
        source = place_key(group[number].target.reference)
        for other, _selector in selections[:position]:
            if place_key(group[other].target.reference) != source:
                raise _conflict(other, number, group[number].place.name)
        foreign = {tag: other for tag, other in names.items() if _renames(group[other], source)}
        for tag in selector.rank(foreign) if foreign else ():
            raise _conflict(min(foreign[tag], number), max(foreign[tag], number), str(group[number].place.at(tag=tag)))


def _renames(entry: Entry, source: tuple[str, ...]) -> bool:
    """True when the tag of an entry may name something else in the repository ``source``."""
    return bool(entry.place.tag) or place_key(entry.target.reference) != source


def _conflict(first: int, second: int, name: str) -> InvalidOption:
    return InvalidOption(
        f"Items {first} and {second} of 'artifacts' would both be copied to {name}.",
        "Give each a place of its own: {repository} in 'to' stands for the whole name of the source.",
    )

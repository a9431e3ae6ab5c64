# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destinations of several artifacts of one task: their conflicts, and the order of writes to shared directories."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..._errors import InvalidOption
from ..._files.names import shown
from ..layer_selector import COPY
from .context import PullContext


@dataclass(frozen=True)
class Place:
    """A destination: a directory for unpacked content (``is_tree``), a file (``name``) in the directory ``root``, or a
    directory that several tasks copy files into. ``control`` is the directory with the record."""

    root: str
    name: str
    control: str
    is_tree: bool

    @property
    def path(self) -> str:
        return os.path.realpath(os.path.join(self.root, self.name))

    @property
    def is_folder(self) -> bool:
        return not self.is_tree and not self.name


def place_of(pull: PullContext) -> Place:
    """Return the destination of an artifact."""
    is_tree = pull.options.selector.operation != COPY
    return Place(pull.destination.root, pull.name, pull.destination.control, is_tree)


def check_places(places: Sequence[Place]) -> None:
    """Check that the destinations of artifacts do not conflict.

    A directory for unpacked content must have no other destination in it. Copies may share a directory: files with
    different names, and several copies into one directory when their requests, and so their records, differ.

    :raises InvalidOption: when two conflict; it names them by their numbers, from 1 on.
    """
    taken: dict[str, int] = {}
    controls: dict[str, int] = {}
    for number, place in enumerate(places, 1):
        other = taken.setdefault(place.path, number)
        if other != number and not (place.is_folder and places[other - 1].is_folder):
            raise InvalidOption(
                f"Items {other} and {number} of 'artifacts' have the same 'dest' {shown(place.path)}.",
                "Give each item a place of its own.",
            )
        other = controls.setdefault(os.path.realpath(place.control), number)
        if other != number:
            raise InvalidOption(
                f"Items {other} and {number} of 'artifacts' copy the same artifact into {shown(place.path)}.",
                "Remove one of them.",
            )
    for number, place in enumerate(places, 1):
        for parent in _parent_directories(place.path):
            other = taken.get(parent, 0)
            # files of a copy may be beside other copies, and in their directories
            if other and not places[other - 1].is_folder:
                raise InvalidOption(
                    f"The 'dest' of item {number} of 'artifacts', {shown(place.path)}, lies in that of item {other}, "
                    f"{shown(parent)}.",
                    "Choose places that do not contain each other, or pull them with two tasks.",
                )
            if other and place.is_tree:
                raise InvalidOption(
                    f"Item {number} of 'artifacts' is unpacked into {shown(place.path)}, within the directory "
                    f"{shown(parent)} that item {other} copies files into.",
                    "Choose places that do not contain each other, or pull them with two tasks.",
                )


class Turns:
    """Orders writes to shared directories by the list of artifacts, so that the result of a conflict between two files
    of one name is deterministic."""

    def __init__(self, places: Sequence[Place]) -> None:
        folders = {place.path for place in places if place.is_folder}
        self._condition = threading.Condition()
        self._before: Mapping[int, Sequence[int]] = {}
        self._done: set[int] = set()
        groups: dict[str, list[int]] = {}
        before = {}
        for number, place in enumerate(places, 1):
            shared = [each for each in (place.path, *_parent_directories(place.path)) if each in folders]
            if shared:
                group = groups.setdefault(shared[-1], [])
                before[number] = tuple(group)
                group.append(number)
        self._before = before

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Wait until all earlier artifacts that share a directory with this one are done."""
        wanted = set(self._before.get(number, ()))
        with self._condition:
            self._condition.wait_for(lambda: wanted <= self._done)
        yield

    def done(self, number: int) -> None:
        """Mark an artifact as done, placed or failed. Must be called for each artifact."""
        with self._condition:
            self._done.add(number)
            self._condition.notify_all()


def _parent_directories(path: str) -> Iterator[str]:
    parent = os.path.dirname(path)
    while parent != path:
        yield parent
        path, parent = parent, os.path.dirname(parent)

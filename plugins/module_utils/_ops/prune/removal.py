# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifacts that go, and the order in which a registry is asked to remove them, one manifest at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Removal:
    """One artifact that goes: its tags, what goes with it, the manifests in the order in which they are removed."""

    digest: str
    tags: list[str]
    attached: list[str]
    own: list[str]
    attached_tags: dict[str, str]

    def as_result(self) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "tags": self.tags,
            "attached": len(self.attached),
            "manifests": [*self.attached, *self.own],
        }


def in_order(removals: Sequence[Removal]) -> list[Removal]:
    """The same removals for a registry, with each manifest and each tag of what is attached in one of them only.

    A manifest goes before those that it refers to: an index before a part that has tags of its own, a referrer before
    its subject. What several artifacts have in common goes with the last of them. So a run that is cut short leaves no
    tag whose artifact lacks a part.
    """
    ordered = _sorted(removals)
    steps: dict[str, int] = {}
    for step, each in enumerate(ordered):
        steps.update(dict.fromkeys((*each.attached, *each.own), step))
    # an artifact with tags goes with these, whatever it is attached to or part of
    steps.update({each.digest: step for step, each in enumerate(ordered)})
    found = [
        Removal(
            each.digest,
            each.tags,
            [digest for digest in each.attached if steps[digest] == step],
            [digest for digest in each.own if steps[digest] == step],
            {},
        )
        for step, each in enumerate(ordered)
    ]
    attached = {
        tag: (steps.get(held, step), held)
        for step, each in enumerate(ordered)
        for tag, held in each.attached_tags.items()
    }
    for tag, (step, held) in attached.items():
        found[step].attached_tags[tag] = held
    return found


def _sorted(removals: Sequence[Removal]) -> list[Removal]:
    """The removals, each before those that its artifact refers to."""
    from graphlib import CycleError, TopologicalSorter

    known = {each.digest: each for each in removals}
    before: dict[str, list[str]] = {digest: [] for digest in known}
    for each in removals:
        for digest in each.own:
            if digest in known and digest != each.digest:
                before[digest].append(each.digest)
        before[each.digest] += [digest for digest in each.attached if digest in known]
    try:
        return [known[digest] for digest in TopologicalSorter(before).static_order()]
    except CycleError:  # by tags such as .sig, which may name anything
        return list(removals)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the entries of a policy that are satisfied, each by another signer, for ``min_signers``."""

from __future__ import annotations

from collections.abc import Iterable


class SignerCount:
    """The signers found so far, and the entries of the policy (keys, identities) that each of them satisfies.

    Signatures that share a name (a key of the policy, or a name in their certificates) are by the same signer. A signer
    counts for one entry at most, and an entry counts once, however many signers satisfy it.
    """

    def __init__(self) -> None:
        # names and entries of each signer; signers have no names in common
        self._signers: list[tuple[set[str], set[str]]] = []
        self._number: int | None = 0

    def add(self, names: Iterable[str], entries: Iterable[str]) -> None:
        """Add a valid signature whose signer has these names and satisfies these entries."""
        own_names, own_entries = set(names), set(entries)
        others = []
        for signer in self._signers:
            if own_names.isdisjoint(signer[0]):
                others.append(signer)
            else:
                own_names |= signer[0]
                own_entries |= signer[1]
        self._signers = [*others, (own_names, own_entries)]
        self._number = None

    @property
    def number(self) -> int:
        """Return the largest number of entries that can each have another signer (a maximum bipartite matching)."""
        if self._number is None:
            self._number = self._matching()
        return self._number

    def _matching(self) -> int:
        """Return the size of the matching by Kuhn's algorithm."""
        holders: dict[str, int] = {}

        def settle(signer: int, tried: set[str]) -> bool:
            for entry in self._signers[signer][1]:
                if entry in tried:
                    continue
                tried.add(entry)
                if entry not in holders or settle(holders[entry], tried):
                    holders[entry] = signer
                    return True
            return False

        return sum(settle(signer, set()) for signer in range(len(self._signers)))

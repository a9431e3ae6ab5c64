# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many entries of a policy are satisfied, each by a signer of its own: what ``min_signers`` counts."""

from __future__ import annotations

from collections.abc import Iterable


class SignerCount:
    """The signers that were found, and the entries of the policy (keys, identities) that each of them satisfies.

    Signatures that share a name (a key of the policy, or a name in their certificates) are by one signer. One signer
    stands for one entry at most, and one entry counts once, however many signers satisfy it.
    """

    def __init__(self) -> None:
        # names and entries of each signer; no two signers have a name in common
        self._signers: list[tuple[set[str], set[str]]] = []
        self._number: int | None = 0

    def add(self, names: Iterable[str], entries: Iterable[str]) -> None:
        """Count a valid signature of somebody who has these names and satisfies these entries."""
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
        """The largest number of entries that can be given a signer of their own (a maximum bipartite matching)."""
        if self._number is None:
            self._number = self._matching()
        return self._number

    def _matching(self) -> int:
        """Kuhn's algorithm: each signer takes a free entry, or one whose signer can take another."""
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

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits for the verification of one artifact: bytes, seconds and signatures, whatever a registry serves."""

from __future__ import annotations

from time import monotonic

MIB = 1024 * 1024

#: Bytes of everything that is attached to one artifact and read for one verification (manifests, payloads, bundles),
#: beside the largest attestation that the policy allows for.
MAX_BYTES = 128 * MIB
#: Seconds after which nothing further is read for one verification.
MAX_SECONDS = 300.0
#: Signatures that are tried for each place, for Cosign: its own limit (cosign, pkg/oci/remote, maxLayers).
MAX_COSIGN_SIGNATURES = 1000
#: Signatures that are tried, for Notation: the default of ``notation verify --max-signatures``.
MAX_NOTATION_SIGNATURES = 100
#: The largest value of ``max_signatures``: no more referrers are read.
MOST_SIGNATURES = 1000


class Budget:
    """Bytes, seconds and signatures of one verification. Not safe for threads: each verification has its own.

    Objects that do not fit are skipped and counted, so that an error can say that something was left out; see
    :meth:`exceeded`.

    :param signatures: the most that are tried for each place.
    :param largest: bytes of the largest object that the caller allows for, beside ``MAX_BYTES``.
    """

    def __init__(self, signatures: int = MAX_COSIGN_SIGNATURES, largest: int = 0) -> None:
        self.signatures = signatures
        self._bytes = self._bytes_left = MAX_BYTES + largest
        self._ends = monotonic() + MAX_SECONDS
        self._too_large = 0
        self._is_late = False
        self._notes: dict[str, None] = {}

    @property
    def is_spent(self) -> bool:
        """Return True when the time is up: no further requests should be made."""
        self._is_late = self._is_late or monotonic() >= self._ends
        return self._is_late

    def take(self, size: int) -> bool:
        """Reserve ``size`` bytes for an object to read; return False, reserving nothing, when they do not fit."""
        if self.is_spent:
            return False
        if size > self._bytes_left:
            self._too_large += 1
            return False
        self._bytes_left -= size
        return True

    def note(self, sentence: str) -> None:
        """Record a sentence for the error, about something that was left out because of a limit."""
        self._notes[sentence] = None

    def exceeded(self) -> list[str]:
        """Return a sentence for each limit because of which something was not tried; empty when all was tried."""
        sentences = list(self._notes)
        if self._too_large:
            what = "One more object is" if self._too_large == 1 else f"{self._too_large} more objects are"
            sentences.append(
                f"{what} attached to it and not read, since one verification reads at most {self._bytes // MIB} MiB."
            )
        if self._is_late:
            sentences.append(f"Not all was tried, since one verification takes at most {MAX_SECONDS:g} seconds.")
        return sentences

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier tasks copied from one repository to another, as a cache remembers it.

With such a note a tag that did not change costs one request, and one that never changes costs none: that it is at the
target is seen in the list of tags there. A note counts for a week: then an artifact is looked at in full once more, for
what was attached to it meanwhile where no tag shows that, and for what somebody else did at the target.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._oci.digest import digest_of, is_digest
from .sides import SHORT

if TYPE_CHECKING:
    from ..._cache.artifact_cache import ArtifactCache
    from ..._oci.reference import Reference
    from .sides import Destination, Source

# Seconds for which a note counts.
MAX_AGE = 7 * 86400.0
# The latest ones are kept.
MAX_NOTES = 10_000
# Digests of an artifact with more parts take too much room.
MAX_PARTS = 64
_PART = "copies"


class Known(NamedTuple):
    """An artifact that was copied in full: its digest, the digests of its parts, itself among them, by their first
    digits, how many tags of signatures and referrers these have at the source, and when it was looked at (seconds since
    1970)."""

    digest: str
    parts: Sequence[str]
    attached: int
    since: float

    def is_current(self, source: Source, place: Destination, tag: str) -> bool:
        """Return whether nothing suggests that source or target have changed; asks the target for its tags, or for the
        one tag if it is all that is copied there."""
        if source.attached_tags(self.parts) != self.attached or not place.has(tag, self.digest):
            return False
        if not place.is_single:
            return True
        listed = source.repository.list_referrers(self.digest)
        return {_short(each.digest) for each in listed} <= set(self.parts)


class KnownCopies:
    """The notes about one source and one target; without a cache there are none. Thread-safe.

    ``key`` is equal for notes about the same.

    :param scope: what the artifacts were copied for, as text: other policies, or other parts, have other notes.
    """

    def __init__(self, cache: ArtifactCache | None, source: Reference, place: Reference, scope: str) -> None:
        self._cache = cache
        self.key = digest_of(f"{_PART}\n{source.name}\n{place.name}\n{scope}".encode("utf-8", "surrogateescape"))
        self._lock = threading.Lock()
        self._loaded: dict[str, Known] | None = None
        self._new: dict[str, Known] = {}

    def find(self, name: str, tag: str) -> Known | None:
        """Return the note about what ``name``, a tag or a digest of the source, was at the last run.

        :param tag: the one at the target, empty for none.
        """
        with self._lock:
            if self._loaded is None:
                document = {} if self._cache is None else self._cache.notes().load(self.key)
                self._loaded = _entries(document, time.time())
            return self._loaded.get(_name(name, tag))

    def note(self, name: str, tag: str, digest: str, digests: Collection[str], source: Source) -> None:
        """Note an artifact that is at the target in full; stored by :meth:`save`."""
        if self._cache is None or len(digests) > MAX_PARTS:
            return
        parts = sorted({_short(each) for each in digests})
        known = Known(digest, parts, source.attached_tags(parts), float(int(time.time())))
        with self._lock:
            self._new[_name(name, tag)] = known

    def discard(self) -> None:
        """Drop the notes that are not stored yet."""
        with self._lock:
            self._new.clear()

    def save(self) -> None:
        """Store the new notes, unless the cache is read-only or cannot be written to."""
        if self._cache is None or not self._new:
            return
        notes = self._cache.notes()
        with notes.alone(self.key):
            others = _entries(notes.load(self.key), time.time())
            together = {**{name: each for name, each in others.items() if name not in self._new}, **self._new}
            latest = list(together.items())[-MAX_NOTES:]
            notes.update(self.key, _PART, {"latest": [[name, *each] for name, each in latest]})


def _name(name: str, tag: str) -> str:
    return name if name == tag else f"{name} {tag}"


def _short(digest: str) -> str:
    return digest.rpartition(":")[2][:SHORT]


def _entries(document: Mapping[str, Any], now: float) -> dict[str, Known]:
    """The notes that count, the oldest first. One from the future was made by a wrong clock."""
    part = document.get(_PART)
    entries = part.get("latest") if isinstance(part, dict) else None
    found = {}
    for entry in entries if isinstance(entries, list) else ():
        if not (isinstance(entry, list) and len(entry) == 5):
            continue
        name, digest, parts, attached, since = entry
        is_sound = isinstance(name, str) and is_digest(digest) and isinstance(attached, int)
        if is_sound and isinstance(parts, list) and isinstance(since, (int, float)) and 0 <= now - since < MAX_AGE:
            found[name] = Known(str(digest), [str(each) for each in parts], attached, float(since))
    return found

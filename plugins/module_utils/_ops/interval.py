# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``interval``: a registry that answered less than that ago is not asked again, as Flux has it.

A pull notes the answer beside its record. Where there is no record, it is noted in the cache, by the user's own notes:
see :class:`Answers`.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING

from .._errors import OciError
from .._oci.digest import parse_digest
from .resolve import Resolved

if TYPE_CHECKING:
    from .._cache.notes import CacheNotes
    from .resolve import Target

_PART = "answer"


def is_recent(since: float, interval: float) -> bool:
    """True for a time (seconds since 1970) that is less than ``interval`` seconds ago, and not in the future."""
    return 0 <= time.time() - since < interval


def time_text(moment: float) -> str:
    """The time (seconds since 1970) as results have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def terms_of(*texts: str) -> str:
    """A digest of the rules under which a registry is asked: with others it is asked again."""
    return hashlib.sha256(json.dumps(texts).encode("utf-8", "surrogateescape")).hexdigest()


class Answers:
    """What a registry answered to one request of this user, noted in a cache.

    :param notes: the user's notes there, which nobody else can write.
    :param terms: see :func:`terms_of`.
    """

    def __init__(self, notes: CacheNotes, target: Target, terms: str) -> None:
        self._notes = notes
        self._name = f"sha256:{terms_of(target.wanted, terms)}"

    def recent(self, interval: float) -> tuple[Resolved, str] | None:
        """Return the revision that the registry answered less than ``interval`` seconds ago, and when (as
        :func:`time_text` has it); None when it is to be asked."""
        found = self._notes.load(self._name).get(_PART)
        if not isinstance(found, dict) or not isinstance(found.get("at"), (int, float)):
            return None
        tag, _at, digest = str(found.get("revision")).rpartition("@")
        try:
            parse_digest(digest)
        except OciError:
            return None
        return (Resolved(digest, tag, None), time_text(found["at"])) if is_recent(found["at"], interval) else None

    def note(self, resolved: Resolved, moment: float) -> None:
        """Note what the registry answered, and when (seconds since 1970); what cannot be written is asked again."""
        with self._notes.alone(self._name):
            self._notes.update(self._name, _PART, {"revision": resolved.revision, "at": moment})

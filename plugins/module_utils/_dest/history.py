# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the record of a ``dest`` says beside its content: earlier revisions that are kept, and the word of operators.

It is one mapping, ``State.standing``, which most records lack. Its keys, each of which may be missing:

``history``       the kept revisions (:class:`Kept`) by number, the oldest first
``last``          the number of the last revision that was kept
``current``       the number of the revision in ``dest``; missing when that one is not kept
``going``         the number of the revision that an unfinished rollback leads to
``held``          the digests that pulls pass over (:class:`Hold`)
``suspended``     who suspended pulls, why and since when
``requested_at``  the last token that a pull has handled, and when
``removed``       the names of releases that are to be removed, see :mod:`.releases`

Functions return new mappings and change none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
# revisions that may be kept, digests that may be held, characters of a reason, a name or a token
MAX_KEPT = 100
MAX_HELD = 100
MAX_TEXT = 1000

Standing = Mapping[str, Any]


class Kept(NamedTuple):
    """A revision whose manifests and layers are kept.

    ``key``, ``verification`` and ``request`` are those of :class:`.state.State`. ``settings`` has the modes, owners and
    limits that it was placed with. ``blobs`` are the digests of all that is kept for it. ``source`` is the revision of
    its source, as its publisher says. ``since`` is when a pull placed it (UTC), ``by`` which user; ``after`` is the
    number of the revision that it replaced, 0 for none that is kept. ``failures`` counts the pulls since then that
    failed at a command of the task, and ``failure`` says how the last one did. ``release`` is the name of its
    directory, where each revision has one (:mod:`.releases`); nothing but that is kept of it then.
    """

    number: int
    key: Mapping[str, Any]
    tag: str
    digest: str
    request: str
    verification: Mapping[str, Any]
    settings: Mapping[str, Any]
    blobs: Sequence[str]
    source: str
    since: str
    by: str
    after: int = 0
    failures: int = 0
    failure: str = ""
    release: str = ""

    @property
    def revision(self) -> str:
        return str(self.key["revision"])

    def as_result(self, *, is_current: bool, is_held: bool) -> dict[str, Any]:
        """Return the entry as modules return it."""
        return {
            "number": self.number,
            "url": self.key["url"],
            "revision": self.revision,
            "tag": self.tag,
            "digest": self.digest,
            "source_revision": self.source,
            "signers": list((self.verification.get("verdict") or {}).get("signers") or ()),
            "placed_at": self.since,
            "placed_by": self.by,
            "current": is_current,
            "held": is_held,
            "failures": self.failures,
            "last_failure": self.failure,
            **({"release": self.release} if self.release else {}),
        }


class Hold(NamedTuple):
    """A digest that pulls pass over. ``request`` is what was asked for when it was placed, see ``State.request``."""

    digest: str
    revision: str
    url: str
    request: str
    reason: str
    who: str
    since: str


def checked_standing(document: Any) -> Standing:
    """Return the mapping as it was read from a record.

    :raises ValueError: when something in it is not what it should be; TypeError, LookupError and AttributeError, too.
    """
    standing = dict(document)
    for kept in kept_revisions(standing):
        texts = (kept.tag, kept.digest, kept.request, kept.source, kept.since, kept.by, kept.failure, kept.release)
        numbers = (kept.number, kept.after, kept.failures)
        if not all(isinstance(each, str) for each in (*texts, *kept.blobs, kept.revision, kept.key["url"])):
            raise ValueError("history")
        if not all(isinstance(each, int) for each in numbers) or "/" in kept.release or kept.release.startswith("."):
            raise ValueError("history")
        dict(kept.verification), dict(kept.settings)
    if not all(isinstance(text, str) for hold in holds(standing) for text in hold):
        raise ValueError("held")
    if not all(isinstance(standing.get(name, 0), int) for name in ("last", "current", "going")):
        raise ValueError("number")
    if not isinstance(standing.get("removed", []), list):
        raise ValueError("removed")
    for name in ("suspended", "requested_at"):
        if not all(isinstance(text, str) for text in dict(standing.get(name) or {}).values()):
            raise ValueError(name)
    return standing


def kept_revisions(standing: Standing) -> list[Kept]:
    """The kept revisions, the oldest first."""
    return [Kept(**item) for item in standing.get("history") or ()]


def current_revision(standing: Standing) -> Kept | None:
    """The kept revision that is in ``dest``; None when that one is not kept."""
    return next((kept for kept in kept_revisions(standing) if kept.number == standing.get("current")), None)


def holds(standing: Standing) -> list[Hold]:
    """The digests that are held back, the oldest hold first."""
    return [Hold(**item) for item in standing.get("held") or ()]


def hold_on(standing: Standing, digest: str) -> Hold | None:
    """The hold on a digest, None without one."""
    return next((hold for hold in holds(standing) if hold.digest == digest), None)


def with_hold(standing: Standing, hold: Hold) -> Standing:
    """Hold back one digest more; of more than 100 the oldest are forgotten."""
    others = [each for each in holds(standing) if each.digest != hold.digest]
    return {**standing, "held": [each._asdict() for each in [*others, hold][-MAX_HELD:]]}


def without_holds(standing: Standing, digests: Sequence[str]) -> Standing:
    """Hold back these digests no longer."""
    left = [each._asdict() for each in holds(standing) if each.digest not in digests]
    return _without_empty({**standing, "held": left})


def with_placed(standing: Standing, placed: Kept | None, keep: int | None) -> Standing:
    """Return what is remembered once a pull has placed a revision.

    :param placed: the revision, numbered 0; None when it is not kept.
    :param keep: the most revisions to keep, this one included; None to drop none.
    """
    result = {name: value for name, value in standing.items() if name not in ("current", "going")}
    kept = kept_revisions(standing)
    if placed is not None:
        number = int(standing.get("last") or 0) + 1
        old = current_revision(standing)
        # the same revision again, with drift corrected or after an option changed, keeps its number
        if old is not None and old.key == placed.key:
            number, placed = old.number, placed._replace(after=old.after, since=old.since, by=old.by)
        elif old is not None:
            placed = placed._replace(after=old.number)
        kept = [each for each in kept if each.key != placed.key and each.number != number]
        kept.append(placed._replace(number=number))
        kept.sort(key=lambda each: each.number)
        result.update(current=number, last=max(number, int(standing.get("last") or 0)))
    if keep is not None:
        held, current = {hold.digest for hold in holds(standing)}, result.get("current")
        # dropped first are those that are held, then the oldest
        kept.sort(key=lambda each: (each.number == current, each.digest not in held, each.number))
        kept = sorted(kept[max(0, len(kept) - keep) :], key=lambda each: each.number)
    result["history"] = [each._asdict() for each in kept]
    return _without_empty(result)


def with_failure(standing: Standing, message: str) -> Standing:
    """Count a failed pull against the kept revision that is in ``dest``, if there is one."""
    kept = [
        each._replace(failures=each.failures + 1, failure=message[:MAX_TEXT])
        if each.number == standing.get("current")
        else each
        for each in kept_revisions(standing)
    ]
    return _without_empty({**standing, "history": [each._asdict() for each in kept]})


def with_verification(standing: Standing, verification: Mapping[str, Any]) -> Standing:
    """Remember a verification of the revision that is in ``dest``, if that one is kept."""
    kept = [
        each._replace(verification=verification) if each.number == standing.get("current") else each
        for each in kept_revisions(standing)
    ]
    return _without_empty({**standing, "history": [each._asdict() for each in kept]})


def kept_blobs(standing: Standing) -> set[str]:
    """The digests of all that is kept."""
    return {digest for kept in kept_revisions(standing) for digest in kept.blobs}


def listed(standing: Standing) -> dict[str, Any]:
    """Return the values ``history`` (the newest first), ``held``, ``suspended`` and ``requested_at`` of results, and
    ``release`` where there is one in place."""
    held = {hold.digest for hold in holds(standing)}
    current = standing.get("current")
    in_place = current_revision(standing)
    return {
        **({"release": in_place.release} if in_place is not None and in_place.release else {}),
        "history": [
            kept.as_result(is_current=kept.number == current, is_held=kept.digest in held)
            for kept in reversed(kept_revisions(standing))
        ],
        "held": [
            {name: value for name, value in hold._asdict().items() if name != "request"} for hold in holds(standing)
        ],
        "suspended": dict(standing.get("suspended") or {}),
        "requested_at": dict(standing.get("requested_at") or {}),
    }


def now() -> str:
    """The time as results have it."""
    return time.strftime(TIME_FORMAT, time.gmtime())


def _without_empty(standing: Mapping[str, Any]) -> Standing:
    return {name: value for name, value in standing.items() if value}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conditions under which a tag is moved, each by itself: what it is to hold, its age, where it was tried, its
version."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._errors import InvalidContent, InvalidOption, NotFound, OciError, TagMoved
from ..._oci import media
from ..._oci.digest import parse_digest
from ..._oci.reference import check_tag
from ..._oci.tag_ranking import parse_tag, rank_versions, release_tags
from ..._policy.refusals import AgeUnknown, DowngradeDenied, TooYoung
from ..ages import DEFAULT_SOURCES, SOURCES, time_text

if TYPE_CHECKING:
    from ..._oci.manifest import Manifest
    from ..._oci.repository import Repository
    from ..._oci.semver_range import Precedence
    from ..._trust.policy import VerifyPolicy

# The most tags that are resolved to find out which version a digest is.
MAX_VERSIONS = 200


class NotSoaked(OciError):
    """An artifact that is not, or not long enough, where it has to be tried first; ``retryable`` when it only has to
    stay there."""

    reason = "NotSoaked"

    def __init__(self, message: str, hint: str = "", *, retryable: bool = False) -> None:
        super().__init__(message, hint)
        self.retryable = retryable


@dataclass(frozen=True)
class Requirements:
    """What an artifact has to satisfy before a tag is moved to it. ``min_age`` is in seconds, ``age_from`` are the
    sources that may tell the age (see :mod:`.ages`); the first that knows it counts. ``soaked_in`` is a tag."""

    verify: VerifyPolicy | None = None
    min_age: float | None = None
    age_from: Sequence[str] = DEFAULT_SOURCES
    soaked_in: str = ""
    never_downgrade: bool = False

    def check(self) -> None:
        """Check the options themselves.

        :raises InvalidOption: when one cannot be used.
        """
        if self.soaked_in:
            check_tag(self.soaked_in)
        if not self.age_from:
            raise InvalidOption(
                "'age_from' is empty: nothing could tell an age.", f"Give some of {', '.join(SOURCES)}."
            )


def expected_digests(expect: Mapping[str, str | None]) -> dict[str, str]:
    """Read the option ``expect``: for each tag a digest, or empty where there is to be no such tag.

    A value is a revision (``tag@digest``), a digest, or empty.

    :raises InvalidReference: when one is neither.
    :raises InvalidOption: when one is no text.
    """
    found = {}
    for tag, text in expect.items():
        if not isinstance(text, (str, type(None))):
            raise InvalidOption(
                f"The value of {str(tag)[:200]!r} in 'expect' is not text: wanted a revision or nothing."
            )
        digest = (text or "").strip().rpartition("@")[2]
        if digest:
            parse_digest(digest)
        found[check_tag(str(tag))] = digest
    return found


def check_expected(name: str, held: str, wanted: str) -> None:
    """Pass when a tag holds what it is expected to.

    :param name: the reference with the tag.
    :param held: the digest that it names, empty for none; ``wanted`` likewise.
    :raises TagMoved: when it does not.
    """
    if held == wanted:
        return
    found = f"names {held}" if held else "is not there"
    expected = f"it is expected to name {wanted}" if wanted else "it is expected not to be there"
    raise TagMoved(
        f"The tag {name} {found}, and {expected}: nothing was moved.",
        "Find out who moved it and why. Then give in 'expect' what you have seen.",
    )


def check_age(name: str, since: float | None, min_age: float, age_from: Sequence[str]) -> None:
    """Pass when an artifact is known since long enough.

    :param since: the time since which it is known (seconds since 1970), None when nothing tells it.
    :param min_age: seconds.
    :raises TooYoung: when it is not; AgeUnknown where nothing tells it.
    """
    if since is None:
        raise AgeUnknown(
            f"The age of {name} is not known, and it has to be {duration_text(min_age)}: {', '.join(age_from)} "
            "say nothing about it.",
            "Give 'cache_dir', where the first look is noted, or verify signatures that have a confirmed time.",
        )
    age = max(0.0, time.time() - since)
    if age < min_age:
        raise TooYoung(
            f"{name} is known since {time_text(since)}, for {duration_text(age)}: wanted {duration_text(min_age)}.",
            f"It is old enough at {time_text(since + min_age)}.",
        )


def check_soaked(name: str, tag: str, held: str, digest: str) -> None:
    """Pass when the tag that an artifact has to be tried under names it.

    :param held: the digest that the tag names, empty for none.
    :raises NotSoaked: when it does not.
    """
    if held != digest:
        found = f"names {held}" if held else "is not there"
        raise NotSoaked(
            f"{name} has to be under the tag {tag} before it is moved on, and that tag {found}.",
            f"Move {tag} to it first.",
        )


def check_soak_time(name: str, tag: str, since: float, min_age: float) -> None:
    """Pass when an artifact has been under a tag for long enough.

    :param since: seconds since 1970.
    :param min_age: seconds.
    :raises NotSoaked: when it has not.
    """
    age = max(0.0, time.time() - since)
    if age < min_age:
        raise NotSoaked(
            f"{name} is under the tag {tag} since {time_text(since)}, for {duration_text(age)}: "
            f"wanted {duration_text(min_age)}.",
            f"It has been there long enough at {time_text(since + min_age)}.",
            retryable=True,
        )


def check_downgrade(name: str, before: str, after: str) -> None:
    """Pass when a version is not older than the one that a tag holds.

    :param name: the reference with the tag.
    :param before: the version that it holds, ``after`` the one that it would move to; empty when not known.
    :raises DowngradeDenied: when it is older, or only one of both is known.
    """
    old, new = _precedence(before), _precedence(after)
    if old is None and new is None:
        return
    if old is None or new is None:
        what = "that it would move to" if new is None else "that it holds"
        raise DowngradeDenied(
            f"The tag {name} must never move to an older version, and the version {what} is not known.",
            f"Publish artifacts under a version as their tag, or with the annotation {media.ANNOTATION_VERSION}.",
        )
    if new < old:
        raise DowngradeDenied(
            f"The tag {name} holds version {before} and would move to {after}, which is older.",
            "To go back on purpose, leave out never_downgrade for this task.",
        )


def version_of(repository: Repository, digest: str, tag: str, tags: Sequence[str]) -> str:
    """The version of an artifact: a tag that is one and that it was found under, the annotation
    ``org.opencontainers.image.version``, or the newest tag that is one and names it; empty when nothing tells it.

    :param tag: that it was resolved by, empty for none.
    :param tags: of the repository; at most MAX_VERSIONS of them are resolved, a request for each.
    """
    if _precedence(tag) is not None:
        return tag
    found = _annotated_version(repository, digest)
    if found:
        return found
    rows = [(each, each) for each in release_tags(tags)]
    for each in rank_versions(rows, None, True, MAX_VERSIONS):
        try:
            if repository.resolve(each).digest == digest:
                return each
        except (NotFound, InvalidContent):
            continue
    return ""


def _annotated_version(repository: Repository, digest: str) -> str:
    try:
        manifest: Manifest = repository.fetch_manifest(digest)
    except (NotFound, InvalidContent):
        return ""
    text = manifest.annotations.get(media.ANNOTATION_VERSION, "")
    return text if _precedence(text) is not None else ""


def _precedence(text: str) -> Precedence | None:
    """The order of a version, None for other text; ``_`` stands for ``+`` as in the tags of charts."""
    parsed = parse_tag(text, True)
    return parsed[0] if parsed else None


def duration_text(seconds: float) -> str:
    """A duration for readers, as in ``1d 2h``; the two largest units of it."""
    rest, words = int(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words[:2]) or "0s"

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a retention: which tags each covers, and which of them it keeps.

A tag that no rule covers is kept, and so is one that any rule keeps. What is left may go.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ..._errors import InvalidOption
from ..._files.bounded import FileRefused, expanded, read_file
from ..._files.names import CONTROL_NAME
from ..._oci.digest import parse_digest
from ..._oci.selection import FilterTags, Selection, TagSelector
from ..._oci.times import age_seconds
from ..many import about, numbered

MAX_RULES = 100
# Bytes of a file that names digests in use; the record of a large directory has some tens of MiB.
MAX_KEEP_FILE = 128 * 1024 * 1024
_STATE = "state"
# what the record of a pull says of files
_OF_FILES = ("files", "pending")
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}(?![0-9a-f])|sha512:[0-9a-f]{128}(?![0-9a-f])")

COUNT, AGE, ALWAYS, NOT_COVERED, AGE_UNKNOWN = "count", "age", "always", "not_covered", "age_unknown"
# why a tag that no rule keeps stays all the same
IMMUTABLE, IN_USE, SHARED, PART, REFERRER = "immutable", "in_use", "shared", "part", "referrer"
SUBJECT, DEPLOYED = "subject", "deployed"


class Ranking(Protocol):
    """What selects and orders tags."""

    def rank(self, tags: Iterable[str]) -> list[str]:
        """The tags that are covered, the best first."""


@dataclass(frozen=True)
class Rule:
    """A selection of tags, of which the best ``count`` are kept, and those younger than ``age`` seconds; None for both
    keeps all that it covers."""

    selector: Ranking
    count: int | None = None
    age: float | None = None


@dataclass
class Verdicts:
    """What the rules say before any digest is known: why a tag is kept; and those that may go, each with the ages in
    seconds that it must have reached for that, one for each rule with an age."""

    kept: dict[str, str]
    candidates: dict[str, list[float]]


def parse_rule(number: int, option: Mapping[str, Any]) -> Rule:
    """One entry of the option ``rules``: ``semver``, ``pattern``, ``filter_tags``, ``count``, ``age``.

    :param number: of the entry, for messages.
    :raises OciError: when it cannot be used.
    """
    return numbered(number, partial(_rule, option), "rules")


def _rule(option: Mapping[str, Any]) -> Rule:
    count, filter_tags, age = option.get("count"), option.get("filter_tags"), option.get("age")
    if count is not None and count < 0:
        raise InvalidOption(f"'count' is {count}: wanted 0 or more.")
    selection = Selection(
        semver=option.get("semver") or "",
        semver_filter=option.get("pattern") or "",
        filter_tags=FilterTags.from_options(filter_tags) if filter_tags else None,
    )
    # a chart's version is tagged with _ for +
    selector = TagSelector(selection, chart_tags=True, filter_name="pattern")
    return Rule(selector, count, None if age is None else about("'age'", partial(age_seconds, age)))


def judge(rules: Sequence[Rule], tags: Iterable[str]) -> Verdicts:
    """Apply the rules to tags that are no signatures and no referrers.

    :raises InvalidSelection: when an expression needs too much CPU time.
    """
    listed = list(tags)
    kept: dict[str, str] = {}
    candidates: dict[str, list[float]] = {}
    for rule in rules:
        for position, tag in enumerate(rule.selector.rank(listed)):
            ages = candidates.setdefault(tag, [])
            if rule.count is None and rule.age is None:
                kept.setdefault(tag, ALWAYS)
            elif rule.count is not None and position < rule.count:
                kept.setdefault(tag, COUNT)
            elif rule.age is not None:
                ages.append(rule.age)
    for tag in listed:
        if tag not in candidates:
            kept[tag] = NOT_COVERED
    return Verdicts(kept, {tag: ages for tag, ages in candidates.items() if tag not in kept})


def digests_in_use(given: Sequence[str], paths: Sequence[str]) -> set[str]:
    """The digests that are named as in use: by themselves, in a revision or reference (``…@digest``), or anywhere in
    the text of files: lock files, records of deployments. What a pull has placed stands for the record of the pull.

    :raises InvalidReference: when one given is no digest.
    :raises InvalidOption: when a file cannot be read, or names no digest at all.
    """
    found = set()
    for text in given:
        digest = text.strip().rpartition("@")[2]
        about("'keep_digests'", partial(parse_digest, digest))
        found.add(digest)
    for path in paths:
        names = {each.decode("ascii") for each in _DIGEST.findall(_content(path))}
        if not names:
            raise InvalidOption(
                f"The file {path} in 'keep_files' names no digest: what is in use is not known.",
                "Check the path: nothing is removed on the word of an empty or a wrong file.",
            )
        found |= names
    return found


def _content(path: str) -> bytes:
    """The text of a file; of a directory or a file that pulls have placed, their records."""
    place = os.path.abspath(expanded(path))
    records = _records(place)
    if not records and not os.path.isdir(place):
        return _read(place)
    if not records:
        raise InvalidOption(
            f"The directory {place} in 'keep_files' has no record of a pull: what is in use is not known.",
            "Check the path, or name what is in use in 'keep_digests'.",
        )
    return b"\n".join(map(_record, records))


def _records(place: str) -> list[str]:
    """The paths of the records of pulls: of a directory its own, and one for each copy into it; of a file the one
    beside it."""
    if os.path.isdir(place):
        folder = place
        try:
            names = sorted(os.listdir(place))
        except OSError as exc:
            raise InvalidOption(f"The directory {place} in 'keep_files' cannot be read: {exc.strerror}.") from None
        controls = [name for name in names if name == CONTROL_NAME or name.startswith(f"{CONTROL_NAME}.")]
    else:
        folder, name = os.path.split(place)
        controls = [f".{name}{CONTROL_NAME}"]
    paths = [os.path.join(folder, control, _STATE) for control in controls]
    return [path for path in paths if os.path.lexists(path)]


def _record(path: str) -> bytes:
    """A record without the digests of the placed files, which are none of manifests."""
    try:
        record = json.loads(_read(path))
        if not isinstance(record["artifact"], dict):
            raise TypeError
        return json.dumps({key: value for key, value in record.items() if key not in _OF_FILES}).encode("ascii")
    except (ValueError, LookupError, TypeError, RecursionError):
        raise InvalidOption(
            f"The file {path} is no record of a pull.", "Run the pull again, or name what is in use in 'keep_digests'."
        ) from None


def _read(path: str) -> bytes:
    try:
        return read_file(path, MAX_KEEP_FILE)
    except FileRefused as exc:
        raise InvalidOption(f"The file {path} in 'keep_files' {exc}.", "Check the path.") from None

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of tags: by version, by number, by name.

Every function takes rows of (tag, value), where the value is the sort key, and returns tags, best first.
The order is total and does not depend on the registry's: equal values are ordered by build metadata (identifiers as in
a pre-release, none lowest) and then by the tag's bytes, the greatest first.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from typing import Any, TypeVar

from .reference import is_tag
from .semver_range import Identifiers, Precedence, SemVerRange, identifiers_key, parse_version

Rows = Iterable[tuple[str, str]]
_Row = TypeVar("_Row", bound=tuple[Any, ...])
_VersionRow = tuple[int, int, int, int, Identifiers, Identifiers, str]

# cosign's tags and the referrers fallback tag of the distribution specification: they hold signatures, not releases
_ATTACHED = re.compile(r"sha(?:256|512)-[0-9a-f]{64,128}(?:\.(?:sig|att|sbom))?\Z")
_DIGITS = "[0-9](?:_?[0-9])*"
_NUMBER = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?\Z", re.ASCII)
_MAX_NUMBER_LENGTH = 310  # the longest that a float64 of Go can hold, and short enough for int() to be fast
_INFINITY = float("inf")


def release_tags(tags: Iterable[str]) -> list[str]:
    """The valid tags without duplicates, without signature and referrers tags."""
    return [tag for tag in set(tags) if is_tag(tag) and not (tag[:3] == "sha" and _ATTACHED.match(tag))]


def parse_tag(text: str, chart_tags: bool = False) -> tuple[Precedence, str] | None:
    """Read a tag as a version the way Flux does, or None: three parts between dots, then as ``parse_version``.

    With ``chart_tags`` a ``_`` stands for ``+``, which is not allowed in a tag.
    Source: fluxcd/pkg version.go, ParseVersion; source-controller ocirepository_controller.go.
    """
    if text.count(".") < 2:
        return None
    return parse_version(text.replace("_", "+") if chart_tags else text)


def parse_number(text: str) -> int | float | None:
    """Parse a decimal number, integers exactly; None for other text, and for numbers that a 64-bit float cannot hold.

    As in Go, ``_`` may stand between digits. Hexadecimal numbers, ``Inf`` and ``NaN`` are refused.
    Flux (image-reflector-controller numerical.go) reads floats: there, different integers above 2**53 can compare as
    equal, and one tag that is not a number fails the policy.
    """
    if len(text) >= _MAX_NUMBER_LENGTH or not _NUMBER.match(text):
        return None
    number = float(text)
    if abs(number) == _INFINITY:
        return None
    return int(text) if text.isdecimal() else number


def rank_versions(
    rows: Rows, wanted: SemVerRange | None = None, chart_tags: bool = False, limit: int | None = None
) -> list[str]:
    """The tags whose values are versions (in the range), the newest first."""
    ranked: list[_VersionRow] = []
    for tag, value in rows:
        parsed = parse_tag(value, chart_tags)
        if parsed is not None and (wanted is None or wanted.matches_parsed(parsed[0])):
            precedence, build = parsed
            ranked.append((*precedence, identifiers_key(build) if build else (), tag))
    return [row[-1] for row in _best(ranked, limit)]


def rank_numbers(rows: Rows, descending: bool = False, limit: int | None = None) -> list[str]:
    """The tags whose values are numbers, the greatest first, or the smallest first when the order is descending."""
    ranked = [(number, tag) for tag, value in rows if (number := parse_number(value)) is not None]
    if descending:
        ranked = [(-number, tag) for number, tag in ranked]
    return [tag for _number, tag in _best(ranked, limit)]


def rank_names(rows: Rows, descending: bool = False, limit: int | None = None) -> list[str]:
    """The tags in reverse order of their values' bytes, or in that order when it is descending; no empty values."""
    ranked = sorted(((tag, value) for tag, value in rows if value), reverse=True)
    ranked.sort(key=lambda row: row[1], reverse=not descending)  # stable: equal values keep the order of their tags
    return [tag for tag, _value in ranked[:limit]]


def rank_all(tags: Iterable[str], chart_tags: bool = False, limit: int | None = None) -> list[str]:
    """Every tag of a listing without a policy: versions first, the newest first, then other names, the last one first.

    Pre-releases are versions here. Signature and referrers tags, and names outside the tag grammar, are left out.
    """
    candidates = release_tags(tags)
    versions = rank_versions(((tag, tag) for tag in candidates), None, chart_tags, limit)
    if limit is not None and len(versions) >= limit:
        return versions
    named = (tag for tag in candidates if parse_tag(tag, chart_tags) is None)
    return (versions + sorted(named, reverse=True))[:limit]


def _best(rows: list[_Row], limit: int | None) -> list[_Row]:
    if limit is None or limit * 10 > len(rows):
        return sorted(rows, reverse=True)[:limit]
    return heapq.nlargest(limit, rows)

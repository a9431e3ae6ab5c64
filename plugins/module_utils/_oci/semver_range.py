# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Version ranges with the same meaning as in Flux and Helm.

Source: Masterminds/semver v3.5.0 (MIT), constraints.go and version.go, whose rules are restated here: coerced
versions, the pre-release rule per AND group, "dirty" (left out or wildcard) parts, hyphen ranges, limits. One
addition: the empty text means ``*``, as in ``parseConstraint``, although ``NewConstraint`` refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .._errors import InvalidSelection

MAX_RANGE_LENGTH = 512
MAX_GROUPS = 32
MAX_VERSION_LENGTH = 256
MAX_UINT64 = 2**64 - 1

Identifiers = tuple[tuple[int, str], ...]
#: Sort key of a version: major, minor, patch, 1 for a release and 0 for a pre-release, its identifiers.
Precedence = tuple[int, int, int, int, Identifiers]
_Check = Callable[[Precedence], bool]

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(
    rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?\Z", re.ASCII
)
# the class really holds "|": part of the grammar that decides where a hyphen range ends (constraints.go, cvRegex)
_PART = r"[0-9xX*|]+"
_LOOSE = rf"v?({_PART})(?:\.({_PART}))?(?:\.({_PART}))?(-{_IDENTIFIERS})?(\+{_IDENTIFIERS})?"
_SPACE = r"[\t\n\f\r ]"  # Go's \s; Python's has \v too
_COMPARISON = re.compile(rf"(=>|=<|>=|<=|!=|~>|[=<>~^])?{_SPACE}*({_LOOSE})(?={_SPACE}|,|\Z)", re.ASCII)
_SEPARATOR = re.compile(rf"{_SPACE}*(,?){_SPACE}*", re.ASCII)
_END = rf"(v?{_PART}(?:\.{_PART})?(?:\.{_PART})?(?:-{_IDENTIFIERS})?(?:\+{_IDENTIFIERS})?)"
_HYPHEN = re.compile(rf"{_SPACE}*{_END}{_SPACE}+-{_SPACE}+{_END}{_SPACE}*", re.ASCII)
_WILDCARDS = ("x", "X", "*")
_ZERO = (0, 0, 0)


def identifiers_key(text: str) -> Identifiers:
    """Sort key of dot-separated identifiers: numbers before words, words as bytes, a prefix before the longer one.

    Numbers beyond 64 bits count as words (version.go, comparePrePart).
    """
    return tuple(
        (int(part), "") if part.isdecimal() and int(part) <= MAX_UINT64 else (MAX_UINT64 + 1, part)
        for part in text.split(".")
    )


def has_leading_zero(prerelease: str) -> bool:
    """True when a numeric identifier starts with 0, which makes the version invalid (validatePrerelease)."""
    return "0" in prerelease and any(
        len(part) > 1 and part[0] == "0" and part.isdecimal() for part in prerelease.split(".")
    )


def parse_version(text: str) -> tuple[Precedence, str] | None:
    """Read a version the way ``semver.NewVersion`` does: ``1``, ``1.2``, ``v1.2.3`` and ``01.02.03`` are versions too.

    Return its precedence and its build metadata (empty without), or None when the text is not a version: malformed,
    longer than 256 characters, a part beyond 64 bits, a numeric pre-release identifier with a leading zero.
    """
    match = _VERSION.match(text)
    if match is None or len(text) > MAX_VERSION_LENGTH:
        return None
    major_text, minor_text, patch_text, prerelease, build = match.groups()
    major, minor, patch = int(major_text), int(minor_text or 0), int(patch_text or 0)
    if major > MAX_UINT64 or minor > MAX_UINT64 or patch > MAX_UINT64:
        return None
    if prerelease is None:
        return (major, minor, patch, 1, ()), build or ""
    if has_leading_zero(prerelease):
        return None
    return (major, minor, patch, 0, identifiers_key(prerelease)), build or ""


class SemVerRange:
    """A version range: ``>=1.2 <2``, ``^1.2.3``, ``~1.2``, ``1.x``, ``1.2 - 1.4``, ``!=1.3``, ``1.2 || >=2.1``.

    Pre-releases match only where the AND group (the part between ``||``) names one, as in ``>=1.0.0-0``.
    Limits: 512 bytes, 32 groups.

    :raises InvalidSelection: when the text is not a version range.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._groups = [_parse_group(group, text) for group in _split_groups(text)]
        #: False when no pre-release can match, so that callers need not look at their identifiers.
        self.takes_prereleases = any(takes for takes, _checks in self._groups)
        self._single = self._groups[0][1][0] if len(self._groups) == 1 and len(self._groups[0][1]) == 1 else None

    def __repr__(self) -> str:
        return f"SemVerRange({self.text!r})"

    def matches(self, version: str) -> bool:
        """True when the version is in the range; False too for text that is not a version (see parse_version)."""
        parsed = parse_version(version)
        return parsed is not None and self.matches_parsed(parsed[0])

    def matches_parsed(self, precedence: Precedence) -> bool:
        """True when a version that was already parsed is in the range."""
        release = precedence[3]
        if not release and not self.takes_prereleases:
            return False
        if self._single is not None:
            return self._single(precedence)
        # loops without a generator: this runs for each of up to a million tags
        for takes_prereleases, checks in self._groups:
            if release or takes_prereleases:
                for check in checks:
                    if not check(precedence):
                        break
                else:
                    return True
        return False


def _invalid(text: object, problem: str) -> InvalidSelection:
    return InvalidSelection(
        f"{str(text)[:200]!r} is not a version range: {problem}.",
        "Write comparisons such as '>=1.2.0 <2.0.0', '~1.2', '^1.2.3', '1.x' or '1.2 - 1.4', joined by '||' for or.",
    )


def _split_groups(text: str) -> list[str]:
    if not isinstance(text, str):
        raise _invalid(text, f"it is a {type(text).__name__}, wanted text")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_RANGE_LENGTH:
        raise _invalid(text, f"it is longer than {MAX_RANGE_LENGTH} bytes")
    if not text:
        return ["*"]
    # constraints.go, rewriteRange: all places are found first and then replaced one by one, wherever they stand by then
    rewritten = text
    for match in _HYPHEN.finditer(text):
        rewritten = rewritten.replace(match[0], f">= {match[1]}, <= {match[2]} ", 1)
    groups = rewritten.split("||")
    if len(groups) > MAX_GROUPS:
        raise _invalid(text, f"it has more than {MAX_GROUPS} groups joined by '||'")
    return groups


def _parse_group(group: str, text: str) -> tuple[bool, list[_Check]]:
    """Parse one AND group; return whether it allows pre-releases, and its comparisons.

    Read from left to right without backtracking. The library's validConstraintRegex takes the same texts, but with
    Python's ``re`` it would need exponential time on a long run of spaces.
    """
    takes_prereleases = False
    checks: list[_Check] = []
    position = _skip_spaces(group)
    while True:
        match = _COMPARISON.match(group, position)
        if match is None:
            rest = group[position : position + 40].strip()
            raise _invalid(text, f"wanted a comparison where {rest!r} stands" if rest else "a comparison is missing")
        precedence, minor_dirty, patch_dirty, dirty = _parse_bound(match, text)
        takes_prereleases = takes_prereleases or not precedence[3]
        checks.append(_check_for(match[1] or "", precedence, dirty, minor_dirty, patch_dirty))
        separator = _SEPARATOR.match(group, match.end())
        position = separator.end() if separator else match.end()
        if position == len(group) and not (separator and separator[1]):
            return takes_prereleases, checks


def _skip_spaces(group: str) -> int:
    return len(group) - len(group.lstrip("\t\n\f\r "))


def _parse_bound(match: re.Match[str], text: str) -> tuple[Precedence, bool, bool, bool]:
    """Parse a bound (constraints.go, parseConstraint); parts after the first wildcard or missing part are ignored."""
    version, major, minor, patch, prerelease = match.group(2, 3, 4, 5, 6)
    minor_dirty = patch_dirty = False
    dirty = True
    if major in _WILDCARDS:
        version = "0.0.0" + (prerelease or "")
    elif minor is None or minor in _WILDCARDS:
        minor_dirty = True
        version = f"{major}.0.0{prerelease or ''}"
    elif patch is None or patch in _WILDCARDS:
        patch_dirty = True
        version = f"{major}.{minor}.0{prerelease or ''}"
    else:
        dirty = False
    parsed = parse_version(version)
    if parsed is None:
        raise _invalid(text, f"{match[2][:60]!r} is not a version")
    return parsed[0], minor_dirty, patch_dirty, dirty


def _check_for(operator: str, bound: Precedence, dirty: bool, minor_dirty: bool, patch_dirty: bool) -> _Check:
    """The function of one comparison (constraints.go, constraintOps).

    The group has decided already whether pre-releases are allowed, so the function does not check that.
    """
    if operator in ("", "="):
        return _tilde(bound, minor_dirty, patch_dirty) if dirty else lambda version: version == bound
    if operator in ("~", "~>"):
        return _tilde(bound, minor_dirty, patch_dirty)
    if operator == "^":
        return _caret(bound, minor_dirty, patch_dirty)
    if operator == "!=":
        return _not_equal(bound, minor_dirty, patch_dirty)
    if operator == ">":
        return _greater(bound, minor_dirty, patch_dirty)
    if operator in ("<=", "=<"):
        return _at_most(bound, dirty, minor_dirty)
    if operator == "<":
        return lambda version: version < bound
    return lambda version: version >= bound


def _tilde(bound: Precedence, minor_dirty: bool, patch_dirty: bool) -> _Check:
    # "0.0.0" and "*" accept every version from the bound on, even for ~
    if bound[:3] == _ZERO and not minor_dirty and not patch_dirty:
        return lambda version: version >= bound
    if minor_dirty:
        return lambda version: version >= bound and version[0] == bound[0]
    head = bound[:2]
    return lambda version: version >= bound and version[:2] == head


def _caret(bound: Precedence, minor_dirty: bool, patch_dirty: bool) -> _Check:
    if bound[0] > 0 or minor_dirty:
        return lambda version: version >= bound and version[0] == bound[0]
    width = 2 if bound[1] > 0 or patch_dirty else 3
    head = bound[:width]
    return lambda version: version >= bound and version[:width] == head


def _not_equal(bound: Precedence, minor_dirty: bool, patch_dirty: bool) -> _Check:
    if minor_dirty:
        return lambda version: version[0] != bound[0]
    if patch_dirty:
        # with a pre-release on either side only the identifiers are compared, not the patch
        return lambda version: version[:2] != bound[:2] or version[3:] != bound[3:]
    return lambda version: version != bound


def _greater(bound: Precedence, minor_dirty: bool, patch_dirty: bool) -> _Check:
    if minor_dirty:
        return lambda version: version[0] > bound[0]
    if patch_dirty:
        return lambda version: version[:2] > bound[:2]
    return lambda version: version > bound


def _at_most(bound: Precedence, dirty: bool, minor_dirty: bool) -> _Check:
    if not dirty:
        return lambda version: version <= bound
    # the pre-release of a dirty bound opens the group and is not compared
    if minor_dirty:
        return lambda version: version[0] <= bound[0]
    return lambda version: version[:2] <= bound[:2]

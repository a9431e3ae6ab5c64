# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selection of a tag by version ranges, regular expressions and tag policies, from the tags that a registry lists.

``semver`` and ``semver_filter`` are fields of Flux's OCIRepository, ``filter_tags`` follows its ImagePolicy. They
combine: the expressions (``semver_filter`` on the raw tag, then ``filter_tags.pattern``) choose the candidates,
``filter_tags.extract`` the part of each tag to compare, and one policy ranks them: ``semver`` or
``filter_tags.policy``. All of it is compiled before any request is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .._errors import InvalidSelection, NoMatch
from .bounded_regex import BoundedRegex
from .semver_range import SemVerRange
from .tag_ranking import (
    parse_number,
    parse_tag,
    rank_all,
    rank_names,
    rank_numbers,
    rank_versions,
    release_tags,
)

__all__ = ["FilterTags", "SemVerRange", "Selection", "TagSelector", "rank_all"]

POLICIES = ("semver", "numerical", "alphabetical")
ORDERS = ("asc", "desc")
MAX_TEMPLATE_LENGTH = 1000
_SHOWN = 5
_NO_VERSION = "no version of three parts"
_PRERELEASE = "a pre-release"


@dataclass(frozen=True)
class FilterTags:
    """Flux's ImagePolicy: an expression that tags must match, the value taken from each, and the policy that ranks it.

    ``order`` is ImagePolicy's: ``asc`` selects the greatest number or the last name, ``desc`` the smallest or first.
    ``policy`` is empty when ``semver`` beside it ranks the values.
    """

    pattern: str = ""
    extract: str = ""
    policy: str = ""
    range: str = ""
    order: str = "asc"

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> FilterTags:
        """Read ``{pattern, extract, policy: {semver: {range} | numerical: {order} | alphabetical: {order}}}``.

        None stands for an option that was not given, as argument specs have it.

        :raises InvalidSelection: for unknown names, values of another type, or more than one policy; none is allowed,
            since ``semver`` may rank the tags.
        """
        options = _check_names(options, ("pattern", "extract", "policy"), "filter_tags")
        pattern = _text(options, "pattern", "filter_tags")
        extract = _text(options, "extract", "filter_tags")
        if options.get("policy") is None:
            return cls(pattern=pattern, extract=extract)
        policies = _check_names(options["policy"], POLICIES, "filter_tags.policy")
        given = {name: settings for name, settings in policies.items() if settings is not None}
        if len(given) != 1:
            raise InvalidSelection(
                f"filter_tags.policy names {len(given)} policies, wanted one.", f"Give one of {', '.join(POLICIES)}."
            )
        ((name, settings),) = given.items()
        where = f"filter_tags.policy.{name}"
        if name == "semver":
            wanted = _check_names(settings, ("range",), where).get("range")
            if not isinstance(wanted, str):
                raise InvalidSelection(f"{where} has no range, wanted text.", "Write it as in range: '>=1.0.0 <2.0.0'.")
            return cls(pattern=pattern, extract=extract, policy=name, range=wanted)
        order = _text(_check_names(settings, ("order",), where), "order", where) or "asc"
        if order not in ORDERS:
            raise _unknown_order(order)
        return cls(pattern=pattern, extract=extract, policy=name, order=order)


@dataclass(frozen=True)
class Selection:
    """The user's criteria to choose among tags; all empty when there are none.

    ``semver`` is a version range, ``semver_filter`` an unanchored regular expression on the raw tag.
    """

    semver: str = ""
    semver_filter: str = ""
    filter_tags: FilterTags | None = None

    @property
    def has_policy(self) -> bool:
        """True when a range or a tag policy is given, so that one tag can be chosen."""
        return bool(self.semver or self.filter_tags)

    def __str__(self) -> str:
        parts = []
        if self.semver:
            parts.append(f"semver {self.semver!r}")
        if self.semver_filter:
            parts.append(f"semver_filter {self.semver_filter!r}")
        if self.filter_tags is not None:
            parts.append(_describe(self.filter_tags))
        return " with ".join(parts) or "no selection"


class TagSelector:
    """A compiled selection, for the tags of any repository.

    ``chart_tags``: read ``_`` as ``+``, for Helm charts only, as Flux does. ``filter_name`` is what messages call
    ``semver_filter``.

    :raises InvalidSelection: when a range, an expression or a policy cannot be used.
    """

    def __init__(self, selection: Selection, *, chart_tags: bool = False, filter_name: str = "semver_filter") -> None:
        self.selection = selection
        self._chart_tags = chart_tags
        self._filter = selection.filter_tags or FilterTags()
        self._policy = self._check_policy()
        where = "semver" if selection.semver else "filter_tags.policy.semver.range"
        wanted = selection.semver or self._filter.range
        self._range = _compile_range(wanted, where) if self._policy == "semver" else None
        self._expression = BoundedRegex(selection.semver_filter, filter_name) if selection.semver_filter else None
        pattern, extract = self._filter.pattern, self._filter.extract
        self._pattern = BoundedRegex(pattern, "filter_tags.pattern") if pattern or extract else None
        if len(extract) > MAX_TEMPLATE_LENGTH:
            raise InvalidSelection(f"filter_tags.extract is longer than {MAX_TEMPLATE_LENGTH} characters.")

    def rank(self, tags: Iterable[str], limit: int | None = None) -> list[str]:
        """The tags that match, the best by the policy first; without a policy in the order of :func:`rank_all`.

        The result does not depend on the order of the tags, and has no duplicates. ``limit`` is its length (None: all).

        :raises InvalidSelection: when an expression needs too much CPU time for these tags.
        """
        rows = self._rows(release_tags(tags))
        descending = self._filter.order == "desc"
        if self._policy == "semver":
            return rank_versions(rows, self._range, self._chart_tags, limit)
        if self._policy == "numerical":
            return rank_numbers(rows, descending, limit)
        if self._policy == "alphabetical":
            return rank_names(rows, descending, limit)
        return rank_all((tag for tag, _value in rows), self._chart_tags, limit)

    def select(self, tags: Iterable[str]) -> str:
        """The best tag.

        :raises NoMatch: when no tag matches; the message names the newest tags and why each was not chosen.
        :raises InvalidSelection: as :meth:`rank`, and when the selection has no policy.
        """
        if not self.selection.has_policy:
            raise InvalidSelection(
                "A tag cannot be chosen without a policy.", "Give semver, or filter_tags with one policy."
            )
        listed = list(tags)
        best = self.rank(listed, 1)
        if not best:
            raise self._no_match(listed)
        return best[0]

    def _check_policy(self) -> str:
        policy, order = self._filter.policy, self._filter.order
        if policy and policy not in POLICIES:
            raise InvalidSelection(f"{policy!r} is not a tag policy.", f"Give one of {', '.join(POLICIES)}.")
        if order not in ORDERS:
            raise _unknown_order(order)
        if self.selection.semver and policy:
            raise InvalidSelection(
                f"Both semver and filter_tags.policy.{policy} are given, but only one can rank the tags.",
                "Remove one of them; filter_tags.pattern and extract work together with semver.",
            )
        if self.selection.filter_tags is not None and not policy and not self.selection.semver:
            raise InvalidSelection("filter_tags has no policy.", f"Give one of {', '.join(POLICIES)}.")
        return "semver" if self.selection.semver else policy

    def _rows(self, tags: list[str]) -> list[tuple[str, str]]:
        if self._expression is not None:
            tags = [tag for tag, _groups in self._expression.search_all(tags)]
        if self._pattern is not None:
            return self._pattern.extract_all(tags, self._filter.extract)
        return [(tag, tag) for tag in tags]

    def _no_match(self, tags: list[str]) -> NoMatch:
        passed_over = rank_all(tags, self._chart_tags, _SHOWN)
        if not passed_over:
            return NoMatch(
                f"No tag matches {self.selection}: the repository lists {len(tags)} tags and none names a release.",
                "Check the name of the repository, and that something was pushed to it.",
            )
        reasons = {tag: self._why_not(tag) for tag in passed_over}
        shown = ", ".join(f"{tag} ({why})" for tag, why in reasons.items())
        hint = "Check the selection against the tags that the repository lists."
        if reasons[passed_over[0]] == _PRERELEASE:
            hint = "Pre-releases are only taken when the range names one, as in >=1.0.0-0."
        elif not self._chart_tags and any(parse_tag(tag, True) for tag, why in reasons.items() if why == _NO_VERSION):
            hint = "A '_' is read as '+' only for Helm charts."
        return NoMatch(
            f"No tag matches {self.selection}, of {len(tags)} that the repository lists. Passed over: {shown}.", hint
        )

    def _why_not(self, tag: str) -> str:
        rows = self._rows([tag])
        if not rows:
            outside = self._expression is not None and not self._expression.search_all([tag])
            return f"not matched by {'semver_filter' if outside else 'filter_tags.pattern'}"
        value = rows[0][1]
        if self._range is None:
            return "no number" if self._policy == "numerical" and parse_number(value) is None else "no value"
        parsed = parse_tag(value, self._chart_tags)
        if parsed is None:
            return _NO_VERSION
        if not parsed[0][3] and not self._range.takes_prereleases:
            return _PRERELEASE
        return "outside the range"


def _unknown_order(order: str) -> InvalidSelection:
    return InvalidSelection(
        f"{order!r} is not an order of tags.", "Give 'asc' for the greatest value or 'desc' for the smallest."
    )


def _compile_range(text: str, where: str) -> SemVerRange:
    try:
        return SemVerRange(text)
    except InvalidSelection as exc:
        raise InvalidSelection(f"The range in {where} cannot be used: {exc.message}", exc.hint) from None


def _describe(options: FilterTags) -> str:
    parts = [
        f"{name} {value!r}" for name, value in (("pattern", options.pattern), ("extract", options.extract)) if value
    ]
    if options.policy == "semver":
        parts.append(f"semver range {options.range!r}")
    elif options.policy:
        parts.append(f"{options.policy} order {options.order!r}")
    return f"filter_tags ({', '.join(parts)})"


def _check_names(options: object, names: tuple[str, ...], where: str) -> Mapping[str, object]:
    if not isinstance(options, Mapping):
        raise InvalidSelection(
            f"{where} is a {type(options).__name__}, wanted a dictionary.", f"It takes {', '.join(names)}."
        )
    unknown = sorted(str(name) for name in options if name not in names)
    if unknown:
        raise InvalidSelection(f"{where} has no option {unknown[0]!r}.", f"It takes {', '.join(names)}.")
    return options


def _text(options: Mapping[str, object], name: str, where: str) -> str:
    value = options.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidSelection(f"{where}.{name} is a {type(value).__name__}, wanted text.", "Put it in quotes.")
    return value

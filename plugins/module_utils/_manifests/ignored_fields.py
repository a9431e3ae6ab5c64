# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``drift_ignore`` of releases and of sets of manifests: fields that keep the value in the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidOption
from .._kube.objects import ObjectLocation
from .._kube.patches import parse_pointer


@dataclass(frozen=True)
class DriftRule:
    """Ignored fields: JSON pointers, for objects of this kind and name that ``target`` selects; an empty one means any.

    The empty pointer stands for the whole object.
    """

    paths: tuple[str, ...]
    kind: str = ""
    name: str = ""
    target: Mapping[str, str] = field(default_factory=dict)


def parse_drift_rule(entry: Mapping[str, Any], whose: str) -> DriftRule:
    """Return an entry of the option, checked.

    :param whose: what has the option, for messages.
    :raises InvalidOption: when a pointer, or a part of the target, cannot be used.
    """
    for path in entry["paths"]:
        try:
            parse_pointer(path)
        except InvalidOption as exc:
            exc.message = f"'drift_ignore' of {whose}: {exc.message}"
            raise
    given, target = entry.get("target") or {}, {}
    if given:
        # imported here, and below: few rules have one
        from .targets import check_target

        target = check_target(given, f"'target' in 'drift_ignore' of {whose}")
    return DriftRule(tuple(entry["paths"]), entry.get("kind") or "", entry.get("name") or "", target)


def ignored_fields(
    rules: Iterable[DriftRule], place: ObjectLocation, document: Mapping[str, Any], *, is_secret: bool
) -> Iterator[tuple[str, ...]]:
    """Yield the pointers to the ignored fields of an object, split into their parts.

    :param document: its manifest.
    """
    for rule in rules:
        if _concerns(rule, place, document):
            for pointer in map(parse_pointer, rule.paths):
                yield ("data", *pointer[1:]) if is_secret and pointer[:1] == ("stringData",) else pointer


def _concerns(rule: DriftRule, place: ObjectLocation, document: Mapping[str, Any]) -> bool:
    if rule.kind not in ("", place.kind) or rule.name not in ("", place.name):
        return False
    if not rule.target:
        return True
    from .targets import identity_of, is_target

    return is_target(rule.target, identity_of(document, place.namespace))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads manifests as kustomize does, which differs from Helm and kubectl: ``yes`` and ``on`` are texts.

Source: go.yaml.in/yaml/v3, ``resolve.go`` and ``decode.go``, by way of sigs.k8s.io/kustomize/kyaml.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._errors import BuildError, ManifestsInvalid
from .._helm.go_yaml import Builder, Frame, Plain, pyyaml, resolve, without_quotes

MAX_NODES = 1_000_000
_BOOLEANS = frozenset(["true", "True", "TRUE", "false", "False", "FALSE"])
_TIMES = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:([Tt])(\d{1,2}):(\d{1,2}):(\d{1,2})([.,]\d{1,9})?(Z|[-+]\d\d:\d\d)"
    r"| (\d{1,2}):(\d{1,2}):(\d{1,2})([.,]\d{1,9})?)?\Z",
    re.ASCII,
)


@dataclass(frozen=True)
class Moment:
    """A date or a time: as JSON has it, and as it is written in the document."""

    value: str
    text: str


class EmptyNull:
    """A null that is not written out, as behind ``key:``; a strategic merge takes it away."""

    def __repr__(self) -> str:
        return "EMPTY"

    def __deepcopy__(self, memo: object) -> EmptyNull:
        return self


EMPTY = EmptyNull()


class _Reader(Builder):
    """Builds documents with the scalars of YAML 1.2, as far as Go's yaml.v3 knows it."""

    def scalar(self, event: Any) -> Any:
        if event.implicit[0] and not event.tag:
            value = _resolved(event.value)
            return value.text if isinstance(value, Moment) and self._expects_key() else value
        return super().scalar(event)

    def merge(self, event: Any, frame: Frame, mappings: list[dict[str, Any]]) -> None:
        """Merge what is behind ``<<``: unlike in Helm, keys of the mapping itself win."""
        for mapping in mappings:
            for key, value in mapping.items():
                if key not in frame.seen:
                    frame.value.setdefault(key, value)


def _resolved(text: str) -> Any:
    if text == "":
        return EMPTY
    found = timestamp(text)
    if found is not None:
        return Moment(found, text)
    value = resolve(text)
    if isinstance(value, Plain) and isinstance(value.value, bool) and text not in _BOOLEANS:
        return text
    return value


def timestamp(text: str) -> str | None:
    """Return a date or a time as JSON has it; None for any other text."""
    match = _TIMES.match(text)
    if match is None:
        return None
    year, month, day = (int(part) for part in match.groups()[:3])
    is_utc = match[4] is None
    hour, minute, second = (int(part or 0) for part in (match.groups()[9:12] if is_utc else match.groups()[4:7]))
    fraction = ((match[13] if is_utc else match[8]) or "").replace(",", ".").rstrip("0").rstrip(".")
    try:
        datetime.datetime(year or 1, month, day, hour, minute, second)
    except ValueError:
        return None
    zone = "Z" if is_utc or match[9][1:] == "00:00" else match[9]
    if zone != "Z" and (int(zone[1:3]) > 24 or int(zone[4:]) > 60):
        return None
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{fraction}{zone}"


def read_all(text: str, what: str) -> list[Any]:
    """Return the documents in YAML text that are not empty: numbers and booleans are :class:`.Plain`, times
    :class:`Moment`.

    :raises ManifestsInvalid: when it is not YAML. The message does not repeat its content.
    """
    return list(_documents(text, what))


def _documents(text: str, what: str) -> Iterator[Any]:
    yaml = pyyaml()
    builder, is_empty = _Reader(what, False, False), True
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.DocumentStartEvent):
                # Helm 4 makes documents of the items of a list, and leaves their anchors as they are
                anchors = builder.anchors
                builder, is_empty = _Reader(what, False, False), True
                builder.anchors = anchors
            elif isinstance(event, yaml.DocumentEndEvent):
                if not is_empty and not _is_null(builder.result):
                    yield builder.result
            else:
                is_empty = is_empty and not isinstance(event, yaml.NodeEvent)
                builder.take(yaml, event)
    except yaml.YAMLError as exc:
        raise ManifestsInvalid(
            f"{what} is not YAML: {without_quotes(str(getattr(exc, 'problem', '') or 'it cannot be parsed'))}."
        ) from None
    except BuildError as exc:
        raise ManifestsInvalid(exc.message) from None
    except (UnicodeError, RecursionError) as exc:
        raise ManifestsInvalid(f"{what} is not YAML: {type(exc).__name__}.") from None


def _is_null(value: Any) -> bool:
    return value is None or value is EMPTY


class Copier:
    """Copies documents, so that each part of one is there once; aliases are expanded, up to ``MAX_NODES``."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._left = MAX_NODES

    def copy(self, node: Any) -> Any:
        """Return a copy of a node, with numbers and booleans as they were."""
        self._left -= 1
        if self._left < 0:
            raise ManifestsInvalid(f"{self._what} unfolds to more than {MAX_NODES} values.", "Use fewer aliases.")
        if isinstance(node, dict):
            return {key: self.copy(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.copy(value) for value in node]
        return node


def as_json(node: Any) -> Any:
    """Return a node with plain values, as it is in JSON."""
    if isinstance(node, dict):
        return {key: as_json(value) for key, value in node.items()}
    if isinstance(node, list):
        return [as_json(value) for value in node]
    if isinstance(node, (Plain, Moment)):
        return node.value
    return None if node is EMPTY else node


def text_of(node: Any) -> str:
    """Return a scalar as it was written."""
    if isinstance(node, (Plain, Moment)):
        return node.text
    if isinstance(node, bool):
        return "true" if node else "false"
    if node is EMPTY:
        return ""
    return "null" if node is None else str(node)

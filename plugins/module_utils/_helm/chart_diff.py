# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The differences of two charts: the fields of ``Chart.yaml``, the default values, and the rendered objects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .._errors import ChartError
from .._secrets.masking import Mask
from .manifest_text import NAME_OF_SECRET, documents, mark, object_text

# of each list in the result
MAX_LISTED = 1000
# characters of one value
MAX_VALUE = 1000
MAX_OBJECTS = 2000
# aliases in all rendered manifests: some dozens may stand for a million values
MAX_ALIASES = 1000

_ALIAS = re.compile(r"\*\w")


class ObjectDiff(NamedTuple):
    """An object that differs: both its texts, empty where it is not."""

    kind: str
    namespace: str
    name: str
    before: str
    after: str

    @property
    def title(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"


def compare_values(before: Any, after: Any, mask: Mask, *, named: bool) -> list[dict[str, Any]]:
    """Return what differs in two documents: ``path``, and ``from`` and ``to`` where it is there; at most 1,000.

    Values that hold a secret are replaced by marks; with ``named`` those are as well whose key is the name of a
    secret, such as ``password``.
    """
    old, new = dict(_leaves(before)), dict(_leaves(after))
    found = []
    for path in sorted({*old, *new}):
        if path in old and path in new and _same(old[path].value, new[path].value):
            continue
        entry: dict[str, Any] = {"path": path}
        for side, leaf in (("from", old.get(path)), ("to", new.get(path))):
            if leaf is not None:
                entry[side] = _shown(leaf, mask, named)
        found.append(entry)
        if len(found) == MAX_LISTED:
            break
    return found


def compare_objects(before: str, after: str, mask: Mask) -> list[ObjectDiff]:
    """Return the objects that differ in two texts of rendered manifests, by kind, namespace and name.

    :raises ValuesError: when a manifest is not YAML.
    :raises ChartError: when there are too many.
    """
    old, new = _objects(before), _objects(after)
    found = []
    for key in sorted({*old, *new}):
        # as text: for Python True is 1
        if key in old and key in new and repr(old[key]) == repr(new[key]):
            continue
        old_text = object_text(old[key], mask) if key in old else ""
        new_text = object_text(new[key], mask) if key in new else ""
        found.append(ObjectDiff(key[0], key[1], key[2], old_text, new_text))
        if len(found) == MAX_LISTED:
            break
    return found


class _Leaf(NamedTuple):
    value: Any
    is_named: bool


def _leaves(document: Any) -> Iterator[tuple[str, _Leaf]]:
    """Yield the scalars of a document, and its empty lists and mappings, with their paths."""
    stack: list[tuple[str, Any, bool]] = [("", document, False)]
    while stack:
        path, node, is_named = stack.pop()
        if isinstance(node, Mapping) and node:
            for key, value in node.items():
                name = str(key).replace(".", "\\.")
                stack.append((f"{path}.{name}" if path else name, value, bool(NAME_OF_SECRET.search(str(key)))))
        elif isinstance(node, list) and node:
            stack += [(f"{path}[{number}]", value, is_named) for number, value in enumerate(node)]
        elif path:
            yield path, _Leaf(node, is_named)


def _same(old: Any, new: Any) -> bool:
    # for Python True is 1, and 1 is 1.0
    return type(old) is type(new) and old == new


def _shown(leaf: _Leaf, mask: Mask, named: bool) -> Any:
    value = leaf.value
    if named and leaf.is_named and isinstance(value, str) and value:
        return mark(value)
    if isinstance(value, (str, int, float)) and mask and mask.is_in_value(value):
        return mark(value)
    return value[:MAX_VALUE] if isinstance(value, str) else value


def _objects(manifests: str) -> dict[tuple[str, str, str, int], dict[str, Any]]:
    if len(_ALIAS.findall(manifests)) > MAX_ALIASES:
        raise ChartError(f"It renders more than {MAX_ALIASES} aliases of YAML.")
    found: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    numbers: Counter[tuple[str, str, str]] = Counter()
    for document in documents(manifests, "the chart"):
        if len(found) >= MAX_OBJECTS:
            raise ChartError(f"It renders more than {MAX_OBJECTS} objects.")
        metadata = document.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        key = _name(document.get("kind")), _name(metadata.get("namespace")), _name(metadata.get("name"))
        found[key[0], key[1], key[2], numbers[key]] = document
        numbers[key] += 1
    return found


def _name(value: Any) -> str:
    return str(value) if isinstance(value, (str, int)) else ""

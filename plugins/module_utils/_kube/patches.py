# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of objects: differences between two states, fields to leave as they are, and field ownership.

Sources: RFC 6901 and RFC 6902 for pointers and patches; sigs.k8s.io/structured-merge-diff, ``fieldpath/serialize.go``,
for ``managedFields``.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .._errors import InvalidOption

_ESCAPE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
# Placeholder for a list item that is left out, so that the items after it keep their positions.
_LEFT_OUT = object()
# The merge key that the API server fills in (ports of a container and of a Service).
_KEY_DEFAULTS = {"protocol": "TCP"}


def parse_pointer(text: str) -> tuple[str, ...]:
    """Return the parts of a JSON pointer; an empty tuple for the empty pointer, which is the whole document.

    :raises InvalidOption: when it is not a JSON pointer.
    """
    if (text and not text.startswith("/")) or _ESCAPE.search(text):
        raise InvalidOption(
            f"{text[:200]!r} is not a JSON pointer (RFC 6901).",
            "Write it like /spec/replicas; '~1' stands for a slash in a name, '~0' for a tilde.",
        )
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def json_patch(before: Any, after: Any, pointer: str = "") -> Iterator[dict[str, Any]]:
    """Yield the operations of the JSON patch that turns ``before`` into ``after``.

    A list whose length differs is replaced as a whole.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in after:
                yield {"op": "remove", "path": below}
            elif key not in before:
                yield {"op": "add", "path": below, "value": after[key]}
            else:
                yield from json_patch(before[key], after[key], below)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after)):
            yield from json_patch(one, other, f"{pointer}/{number}")
    # in Python, True equals 1
    elif before != after or isinstance(before, bool) is not isinstance(after, bool):
        yield {"op": "replace", "path": pointer, "value": after}


def without_nulls(value: Any) -> Any:
    """Return a copy of a manifest without null values, for which server-side apply would set defaults.

    Empty items of a list of mappings are left out. In a list of plain values null stays, because the API server
    converts it to an empty value, which counts as an item.
    """
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if not _says_nothing(item)}
    if isinstance(value, list):
        has_mappings = any(isinstance(item, Mapping) for item in value)
        return [without_nulls(item) for item in value if item is not None or not has_mappings]
    return value


def _says_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, list) and bool(value) and all(item is None for item in value))


def with_plain_secret(document: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of a Secret with ``stringData`` in ``data``, as the API server keeps it."""
    texts = document.get("stringData")
    if not isinstance(texts, Mapping):
        return document
    data = document.get("data")
    result = {key: value for key, value in document.items() if key != "stringData"}
    encoded = {key: base64.b64encode(str(text).encode("utf-8", "surrogateescape")) for key, text in texts.items()}
    given = data if isinstance(data, Mapping) else {}
    result["data"] = {**given, **{key: text.decode("ascii") for key, text in encoded.items()}}
    return result


def keep_live(wanted: Mapping[str, Any], live: Mapping[str, Any], pointers: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Return a copy of a manifest in which the fields at the pointers have the values of the live object.

    Fields that the live object does not have are left out. A position in a list refers to the manifest. Where the API
    server identifies list items by keys (such as the name of a container), the value comes from the live item with the
    same keys, at any position. An item that the live object does not have stays as in the manifest.
    """
    result = copy.deepcopy(dict(wanted))
    metadata = live.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    owned = [each.get("fieldsV1") for each in entries or () if isinstance(each, Mapping)]
    for parts in pointers:
        if parts:
            _keep(result, live, parts, [each for each in owned if isinstance(each, Mapping)])
    cleaned: dict[str, Any] = _cleaned(result)
    return cleaned


def _keep(node: Any, live: Any, parts: Sequence[str], owned: Sequence[Mapping[str, Any]]) -> None:
    if isinstance(node, dict):
        _keep_member(node, live if isinstance(live, Mapping) else {}, parts, owned)
    elif isinstance(node, list) and _INDEX.fullmatch(parts[0]):
        _keep_item(node, live if isinstance(live, list) else [], parts, owned)


def _keep_member(
    node: dict[str, Any], live: Mapping[str, Any], parts: Sequence[str], owned: Sequence[Mapping[str, Any]]
) -> None:
    name, rest = parts[0], parts[1:]
    if not rest:
        if name in live:
            node[name] = copy.deepcopy(live[name])
        else:
            node.pop(name, None)
        return
    if name in node:
        _keep(node[name], live.get(name), rest, _below(owned, f"f:{name}"))
        return
    # the manifest does not have the field, but may replace an atomic map that contains it
    value: Any = live
    for part in parts:
        if not isinstance(value, Mapping) or part not in value:
            return
        value = value[part]
    value = copy.deepcopy(value)
    for part in reversed(rest):
        value = {part: value}
    node[name] = value


def _keep_item(node: list[Any], live: list[Any], parts: Sequence[str], owned: Sequence[Mapping[str, Any]]) -> None:
    index, rest = int(parts[0]), parts[1:]
    keyed = [key for fields in owned for key in fields if key.startswith("k:")]
    if index >= len(node):
        if not keyed and not rest and index == len(node) and index < len(live):
            node.append(copy.deepcopy(live[index]))
        return
    item, key = node[index], ""
    if keyed:
        key, found = _same_item(item, live, keyed)
    else:
        found = live[index] if index < len(live) else _LEFT_OUT
    if not rest:
        node[index] = copy.deepcopy(found) if found is not _LEFT_OUT else _LEFT_OUT
    elif found is not _LEFT_OUT:
        _keep(item, found, rest, _below(owned, key))


def _same_item(item: Any, live: Sequence[Any], keyed: Iterable[str]) -> tuple[str, Any]:
    """Return the entry of ``managedFields`` for an item of a list, and the live item with the same keys."""
    for entry in keyed:
        keys = _keys(entry)
        if keys and _has(item, keys):
            return entry, next((each for each in live if _has(each, keys)), _LEFT_OUT)
    return "", _LEFT_OUT


def _keys(entry: str) -> dict[str, Any]:
    try:
        keys = json.loads(entry[2:])
    except ValueError:
        return {}
    return keys if isinstance(keys, dict) else {}


def _has(item: Any, keys: Mapping[str, Any]) -> bool:
    if not isinstance(item, Mapping):
        return False
    return all(item.get(name, _KEY_DEFAULTS.get(name)) == value for name, value in keys.items())


def _below(owned: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [each[name] for each in owned if isinstance(each.get(name), Mapping)]


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value if item is not _LEFT_OUT]
    return value


def hand_over(entries: Any, giver: str, taker: str) -> list[dict[str, Any]] | None:
    """Return ``managedFields`` in which ``taker`` owns, by apply, the fields that ``giver`` owned by update.

    None when the giver owns nothing, or the taker applies nothing in the same API version. Values of fields do not
    change. The API server accepts this like any other change. Source: client-go, util/csaupgrade.
    """
    own = [dict(each) for each in entries or () if isinstance(each, Mapping)]
    given = next((each for each in own if _is_of(each, giver, "Update")), None)
    taken = next((each for each in own if _is_of(each, taker, "Apply")), None)
    if given is None or taken is None or given.get("apiVersion") != taken.get("apiVersion"):
        return None
    taken["fieldsV1"] = united_fields(taken.get("fieldsV1"), given.get("fieldsV1"))
    return [each for each in own if each is not given]


def _is_of(entry: Mapping[str, Any], manager: str, operation: str) -> bool:
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "") == (manager, operation, "")


def united_fields(one: Any, other: Any) -> dict[str, Any]:
    """Return the fields of two entries of ``managedFields``."""
    result = dict(one) if isinstance(one, Mapping) else {}
    for key, below in (other if isinstance(other, Mapping) else {}).items():
        result[key] = united_fields(result.get(key), below)
    return result

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategic merge patches, step by step as kustomize applies them, so that every list comes out in its order.

A merge walks through the whole object, also where the patch says nothing: a null that is not written out goes away, and
of list items with one key the last one stays. Objects of kinds that kustomize does not know have no merged lists.

Source: sigs.k8s.io/kustomize/kyaml, ``yaml/walk``, ``yaml/merge2`` and ``yaml/fns.go``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._errors import ManifestsInvalid
from .kustomize_yaml import EMPTY, text_of
from .merge_keys import field_of, type_of

_DIRECTIVE = "$patch"


class _Sign:
    """A value that is none."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


# There is no such field; the field is to go away; a null that was written out stays.
_MISSING, _KEPT = _Sign("MISSING"), _Sign("KEPT")


def strategic_merge(document: dict[str, Any], patch: dict[str, Any], what: str) -> dict[str, Any] | None:
    """Return a document with a patch applied; None when the patch deletes it. Both are changed: hand over copies.

    :param what: name of patch and document in messages.
    :raises ManifestsInvalid: when the patch does not fit, for example with a text where a list is.
    """
    if text_of(patch.get(_DIRECTIVE, "")) == "replace":
        # of a whole object, kustomize takes no notice of it
        return document
    kind = type_of(text_of(document.get("apiVersion")), text_of(document.get("kind")))
    found = _Merge(what).walk(document, patch, kind, None)
    return found if isinstance(found, dict) else None


def _is_null(node: Any) -> bool:
    return node is None or node is EMPTY or node is _MISSING or node is _KEPT


def _is_mapping(node: Any) -> bool:
    return isinstance(node, dict)


class _Merge:
    def __init__(self, what: str) -> None:
        self._what = what

    def walk(self, base: Any, patch: Any, kind: str, keys: tuple[str, ...] | None) -> Any:
        """Return what comes of a node of the object and of the patch; ``_MISSING`` for a field that goes away.

        :param kind: the type of the node, or of the items of a list.
        :param keys: those of the items of a list that is merged.
        """
        first = patch if _is_null(base) else base
        if _is_null(first):
            return self._mapping(base, patch, kind)
        wanted = dict if _is_mapping(first) else list if isinstance(first, list) else None
        for node in (base, patch):
            found = dict if _is_mapping(node) else list if isinstance(node, list) else None
            if not _is_null(node) and found is not wanted:
                raise ManifestsInvalid(
                    f"{self._what} has a {_kind_name(patch)} where the object has a {_kind_name(base)}.",
                    "Correct the patch: see where it differs from the object.",
                )
        if wanted is dict:
            return self._mapping(base, patch, kind)
        if wanted is list:
            return self._list(base, patch, kind, keys)
        return base if patch is _MISSING else patch

    # -- mappings

    def _mapping(self, base: Any, patch: Any, kind: str) -> Any:
        result = self._visit_mapping(base, patch)
        if not _is_mapping(result):
            return result
        sources = [source for source in (result, patch) if _is_mapping(source)]
        for name in sorted({name for source in sources for name in source}):
            one, other = result.get(name, _MISSING), patch.get(name, _MISSING) if _is_mapping(patch) else _MISSING
            value = self.walk(one, other, *field_of(kind, name))
            if value is _KEPT:
                result[name] = None
            elif _is_null(value):
                result.pop(name, None)
            else:
                result[name] = value
        return result

    def _visit_mapping(self, base: Any, patch: Any) -> Any:
        if _is_null(base):
            if _is_mapping(patch) and self._directive_of_mapping(patch, strict=False) == "delete":
                return _MISSING
            return _KEPT if patch is _MISSING and base is None else patch
        if patch is None or patch is EMPTY:
            return _MISSING
        directive = self._directive_of_mapping(patch) if _is_mapping(patch) else "merge"
        return {"delete": _MISSING, "replace": patch}.get(directive, base)

    def _directive_of_mapping(self, patch: dict[str, Any], *, strict: bool = True) -> str:
        """Return the directive of a mapping, and take it out."""
        if _DIRECTIVE not in patch:
            return "merge"
        directive = text_of(patch[_DIRECTIVE])
        if self._is_directive(directive, strict=strict):
            del patch[_DIRECTIVE]
        return directive

    def _is_directive(self, directive: str, *, strict: bool = True) -> bool:
        is_known = directive in ("delete", "replace", "merge")
        if not is_known and strict:
            raise ManifestsInvalid(
                f"{self._what} has the directive {_DIRECTIVE}: {directive[:50]!r}.", "Wanted delete, replace or merge."
            )
        return is_known

    # -- lists

    def _list(self, base: Any, patch: Any, kind: str, keys: tuple[str, ...] | None) -> Any:
        if keys is None:
            return base if patch is _MISSING else patch
        result = self._visit_list(base, patch)
        if _is_null(result):
            return result
        values = _values(patch, result, keys)
        return self._merged(result, patch, values, keys, kind)

    def _visit_list(self, base: Any, patch: Any) -> Any:
        if _is_null(base):
            return patch
        if patch is None or patch is EMPTY:
            return _MISSING
        directive = self._directive_of_list(patch) if isinstance(patch, list) else "merge"
        return {"delete": _MISSING, "replace": patch}.get(directive, base)

    def _directive_of_list(self, patch: list[Any]) -> str:
        node = next((each for each in patch if _is_mapping(each) and _DIRECTIVE in each), None)
        if node is None or len(node) > 1:
            return "merge"
        directive = text_of(node[_DIRECTIVE])
        self._is_directive(directive)
        _set_item(patch, (_DIRECTIVE,), (directive,), None)
        return directive

    def _merged(
        self, base: list[Any], patch: Any, values: list[tuple[str, ...]], keys: tuple[str, ...], kind: str
    ) -> Any:
        """Return the items of the patch, then those of the object that are not among them."""
        added: list[Any] = []
        valid: tuple[str, ...] = ()
        if len(keys) > 1:
            _complete(values)
        for each in values:
            valid, wanted = _valid(values, each, keys)
            own = _item(base, *_valid([wanted], wanted, valid))
            other = _item(patch, *_valid([wanted], wanted, valid)) if isinstance(patch, list) else _MISSING
            item = self.walk(own, other, kind, None)
            if _is_null(item) or item == {}:
                _set_item(base, valid, wanted, None)
                continue
            for key, text in zip(valid, wanted):
                if key and text and _is_mapping(item) and key not in item:
                    item[key] = text
            _set_item(added, valid, wanted, item)
        if values:
            _append_all(added, base, valid)
            return added
        return base


def _kind_name(node: Any) -> str:
    return "mapping" if _is_mapping(node) else "list" if isinstance(node, list) else "text or number"


def _values(patch: Any, base: list[Any], keys: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the values of the keys of all items, each once, those of the patch first."""
    found: dict[tuple[str, ...], None] = {}
    for item in [*(patch if isinstance(patch, list) else ()), *base]:
        if keys == ("",):
            found[(text_of(item),)] = None
        else:
            found[tuple(_field(item, key) for key in keys)] = None
    return list(found)


def _field(item: Any, key: str) -> str:
    value = item.get(key, _MISSING) if _is_mapping(item) else _MISSING
    return "" if _is_null(value) or value in ({}, []) else text_of(value)


def _complete(values: list[tuple[str, ...]]) -> None:
    """Give values that lack a part those of another item that has it, where the rest is the same."""
    for first in range(len(values)):
        one = values[first]
        for second in range(len(values)):
            other = values[second]
            pairs = list(zip(one, other))
            if any(a == b for a, b in pairs) and all(a == b or not a or not b for a, b in pairs):
                values[first] = values[second] = tuple(a or b for a, b in pairs)


def _valid(
    all_values: Sequence[tuple[str, ...]], values: tuple[str, ...], keys: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the keys that any item has, and the values for them."""
    present = {key for each in all_values for key, value in zip(keys, each) if value}
    if not present:
        return keys, values
    return (
        tuple(key for key in keys if key in present),
        tuple(value for key, value in zip(keys, values) if value or key in present),
    )


def _item(items: list[Any], keys: tuple[str, ...], values: tuple[str, ...]) -> Any:
    for item in items:
        if keys == ("",):
            if not _is_mapping(item) and not isinstance(item, list) and text_of(item) == values[0]:
                return item
        elif _is_mapping(item) and all(
            not _is_null(item.get(key, _MISSING)) and _scalar_text(item[key]) == value
            for key, value in zip(keys, values)
        ):
            return item
    return _MISSING


def _scalar_text(node: Any) -> str:
    return "" if isinstance(node, (dict, list)) else text_of(node)


def _has(item: Any, key: str, value: str) -> bool:
    """Return True when an item has a value for a key; without a value, when it has the key."""
    if key == "":
        return not isinstance(item, (dict, list)) and text_of(item) == value
    if not _is_mapping(item) or key not in item:
        return False
    return not value or _scalar_text(item[key]) == value


def _set_item(items: list[Any], keys: tuple[str, ...], values: tuple[str, ...], element: Any) -> None:
    """Put an element in the place of the items that have these keys, or at the end; None removes them."""
    is_for_mappings = bool(keys and keys[0] and values and values[0])
    kept: list[Any] = []
    is_found = False
    for item in items:
        if _is_null(item) or item == {}:
            continue
        if is_for_mappings and not _is_mapping(item):
            kept.append(item)
            continue
        matches, last = True, False
        for number, key in enumerate(keys):
            last = _has(item, key, values[number]) if number < len(values) else last
            if not last:
                matches = False
                break
        if not matches:
            if values:
                kept.append(item)
        else:
            is_found = True
            if element is not None:
                kept.append(element)
    if element is not None and not is_found:
        kept.append(element)
    items[:] = kept


def _append_all(added: list[Any], base: list[Any], keys: tuple[str, ...]) -> None:
    for item in list(base):
        if keys and keys[0] == "":
            _set_item(added, keys, (text_of(item),), item)
            continue
        values: list[str] = []
        for key in keys:
            if not _is_mapping(item) or key not in item:
                added.append(item)
                continue
            values.append(_scalar_text(item[key]))
        if len(keys) > 1:
            _set_item(added, keys, tuple(values), None)
        _set_item(added, keys, tuple(values), item)

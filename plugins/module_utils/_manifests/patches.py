# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of manifests: strategic merge patches and JSON patches, for the objects that a target selects.

Sources: kustomize, ``api/types/selector.go`` and ``api/filters/patchstrategicmerge``; RFC 6902. The keys of list items
are those of Kubernetes' own types (``patchMergeKey`` in k8s.io/api).
"""

from __future__ import annotations

import copy
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import InvalidOption, InvalidSelection, ManifestsInvalid, OciError
from .._helm.values import read_values
from .._kube.patches import parse_pointer
from .._oci.bounded_regex import BoundedRegex
from .objects import ManifestObject

# The name of a list -> the keys by which its items are told apart, the first that both items have.
_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",), "initContainers": ("name",), "ephemeralContainers": ("name",), "volumes": ("name",),
    "volumeMounts": ("mountPath",), "volumeDevices": ("devicePath",), "env": ("name",),
    "ports": ("containerPort", "port"), "imagePullSecrets": ("name",), "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",), "secrets": ("name",), "conditions": ("type",),
    "resourceClaims": ("name",), "ownerReferences": ("uid",),
}  # fmt: skip
_DIRECTIVE = "$patch"


def patch_objects(items: Sequence[ManifestObject], patches: Sequence[Mapping[str, Any]]) -> list[ManifestObject]:
    """Return the objects with all patches applied, in their order; a patch may remove an object.

    :raises InvalidOption: when a patch or its target cannot be used.
    :raises ManifestsInvalid: when a patch selects no object, or does not fit one.
    """
    result = list(items)
    for number, patch in enumerate(patches):
        what = f"patches[{number}]"
        content, target = _content(patch["patch"], what), patch.get("target")
        if isinstance(content, list) and not target:
            raise InvalidOption(f"{what} is a JSON patch without a 'target'.", "Say which objects it is for.")
        chosen = _selected(result, target, what) if target else _named(result, content, what)
        for item in chosen:
            if isinstance(content, list):
                item.document = json_patched(item.document, content, f"{what}, for the {item},")
            elif content.get(_DIRECTIVE) == "delete":
                result = [each for each in result if each is not item]
            else:
                item.document = merged(item.document, _without_identity(content) if target else content)
    return result


def _content(value: Any, what: str) -> Any:
    if isinstance(value, str):
        text = textwrap.dedent(value)
        try:
            document: Any = read_values(f"patch:\n{_indented(text)}".encode(), what)["patch"]
        except OciError as exc:
            raise InvalidOption(f"{what}: {exc.message}") from None
        value = document
    if isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    raise InvalidOption(f"{what} is neither a mapping nor a list of operations.")


def _indented(text: str) -> str:
    # a list or mapping of its own, as the value of one key
    return "\n".join(f"  {line}" for line in text.splitlines() if line.strip() != "---")


def _without_identity(patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch without what names an object: its target has said which ones it is for."""
    result = {key: value for key, value in patch.items() if key not in ("apiVersion", "kind")}
    metadata = result.get("metadata")
    if isinstance(metadata, Mapping):
        result["metadata"] = {key: value for key, value in metadata.items() if key not in ("name", "namespace")}
    return result


def _named(items: Sequence[ManifestObject], patch: Mapping[str, Any], what: str) -> list[ManifestObject]:
    metadata = patch.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    wanted = (patch.get("apiVersion"), patch.get("kind"), metadata.get("name"))
    namespace = metadata.get("namespace")
    found = [
        item
        for item in items
        if (item.version, item.kind, item.name) == wanted and (not namespace or item.namespace in ("", namespace))
    ]
    if not found:
        raise ManifestsInvalid(
            f"{what} is for the {wanted[1]} {wanted[2]} of {wanted[0]}, which is not among the manifests.",
            "Correct its apiVersion, kind and metadata.name, or give it a 'target'.",
        )
    return found


def _selected(items: Sequence[ManifestObject], target: Mapping[str, Any], what: str) -> list[ManifestObject]:
    names = ("group", "version", "kind", "name", "namespace")
    values = [dict(zip(names, _identity(item))) for item in items]
    found = list(range(len(items)))
    for name in names:
        expression = str(target.get(name) or "")
        if expression:
            fitting = _fitting(expression, sorted({each[name] for each in values}), f"the {name} of {what}")
            found = [number for number in found if values[number][name] in fitting]
    selectors = [(str(target.get(f"{part}_selector") or ""), f"{part}s") for part in ("label", "annotation")]
    return [
        items[number]
        for number in found
        if all(selects(selector, items[number].metadata.get(part) or {}) for selector, part in selectors)
    ]


def _identity(item: ManifestObject) -> tuple[str, str, str, str, str]:
    group, _slash, version = item.version.rpartition("/")
    return group, version, item.kind, item.name, item.namespace


def _fitting(expression: str, texts: Sequence[str], what: str) -> set[str]:
    """Return the texts that an expression matches as a whole."""
    if re.fullmatch(r"[A-Za-z0-9_/-]+", expression):
        return {text for text in texts if text == expression}
    try:
        return {text for text, _groups in BoundedRegex(f"^(?:{expression})$", what).search_all(texts)}
    except InvalidSelection as exc:
        raise InvalidOption(exc.message, exc.hint) from None


def selects(selector: str, values: Mapping[str, Any]) -> bool:
    """Return True when labels satisfy a selector of Kubernetes.

    :raises InvalidOption: when it cannot be read.
    """
    return all(_satisfies(part.strip(), values) for part in _requirements(selector) if part.strip())


def _requirements(selector: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, char in enumerate(selector):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and not depth:
            parts.append(selector[start:at])
            start = at + 1
    return [*parts, selector[start:]]


def _satisfies(part: str, values: Mapping[str, Any]) -> bool:
    for word in (" notin ", " in "):
        if word in part:
            key, _word, rest = part.partition(word)
            wanted = [each.strip() for each in rest.strip().strip("()").split(",")]
            key = key.strip()
            return (key in values and str(values[key]) in wanted) is (word == " in ")
    for sign in ("!=", "==", "="):
        if sign in part:
            key, _sign, value = (each.strip() for each in part.partition(sign))
            return (key in values and str(values[key]) == value) is (sign != "!=")
    if " " in part:
        raise InvalidOption(f"The selector {part[:100]!r} cannot be read.")
    return part[1:].strip() not in values if part.startswith("!") else part in values


# -- strategic merge


def merged(base: Any, patch: Any, name: str = "") -> Any:
    """Return a value with a strategic merge patch applied; null removes a field.

    :param name: the name of the field, which says how items of a list are told apart.
    """
    if isinstance(patch, Mapping):
        directive = patch.get(_DIRECTIVE)
        rest = {key: value for key, value in patch.items() if key != _DIRECTIVE}
        if directive == "replace" or not isinstance(base, Mapping):
            return {key: merged(None, value, key) for key, value in rest.items() if value is not None}
        result = dict(base)
        for key, value in rest.items():
            if value is None or (isinstance(value, Mapping) and value.get(_DIRECTIVE) == "delete"):
                result.pop(key, None)
            else:
                result[key] = merged(base.get(key), value, key)
        return result
    if isinstance(patch, list) and isinstance(base, list) and _keys_of(base, patch, name):
        return _merged_lists(base, patch, _keys_of(base, patch, name))
    if isinstance(patch, list):
        return [each for each in copy.deepcopy(patch) if not (isinstance(each, dict) and _DIRECTIVE in each)]
    return copy.deepcopy(patch)


def _keys_of(base: list[Any], patch: list[Any], name: str) -> str:
    for key in _KEYS.get(name, ()):
        plain = [each for each in patch if not (isinstance(each, Mapping) and set(each) == {_DIRECTIVE})]
        if all(isinstance(each, Mapping) and key in each for each in [*base, *plain]):
            return key
    return ""


def _merged_lists(base: list[Any], patch: list[Any], key: str) -> list[Any]:
    if any(set(each) == {_DIRECTIVE} and each[_DIRECTIVE] == "replace" for each in patch):
        return [copy.deepcopy(each) for each in patch if set(each) != {_DIRECTIVE}]
    result, added = list(base), []
    for each in patch:
        at = next((number for number, item in enumerate(result) if item[key] == each.get(key)), None)
        if each.get(_DIRECTIVE) == "delete":
            result = [item for item in result if item[key] != each.get(key)]
        elif at is None:
            added.append(merged(None, each))
        else:
            result[at] = merged(result[at], each)
    # kustomize puts new items first
    return [*added, *result]


# -- RFC 6902


def json_patched(document: Any, operations: Sequence[Mapping[str, Any]], what: str) -> Any:
    """Return a copy of a document with the operations applied.

    :raises ManifestsInvalid: when an operation cannot be applied, or a test fails.
    """
    result = copy.deepcopy(document)
    for operation in operations:
        op = str(operation.get("op"))
        try:
            parts = list(parse_pointer(str(operation["path"])))
            if op in ("add", "replace"):
                result = _put(result, parts, copy.deepcopy(operation["value"]), op)
            elif op == "remove":
                _take(result, parts)
            elif op in ("move", "copy"):
                source = list(parse_pointer(str(operation["from"])))
                value = copy.deepcopy(_get(result, source)) if op == "copy" else _take(result, source)
                result = _put(result, parts, value, "add")
            elif op == "test":
                if json.dumps(_get(result, parts), sort_keys=True) != json.dumps(operation["value"], sort_keys=True):
                    raise ManifestsInvalid(f"{what} tests {operation['path']!r}, which has another value.")
            else:
                raise ManifestsInvalid(f"{what} has the operation {op[:50]!r}, which does not exist.")
        except (KeyError, IndexError, TypeError, ValueError):
            raise ManifestsInvalid(
                f"{what}: the operation {op[:50]!r} of {str(operation.get('path'))[:200]!r} cannot be applied.",
                "See whether the path is there in the manifest.",
            ) from None
    return result


def _get(node: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node


def _put(document: Any, parts: Sequence[str], value: Any, op: str) -> Any:
    if not parts:
        return value
    node, last = _get(document, parts[:-1]), parts[-1]
    if isinstance(node, list):
        at = len(node) if last == "-" and op == "add" else int(last)
        if not 0 <= at <= len(node) - (op == "replace"):
            raise IndexError(last)
        node[at : at + (op == "replace")] = [value]
    elif isinstance(node, dict):
        if op == "replace" and last not in node:
            raise KeyError(last)
        node[last] = value
    else:
        raise TypeError(last)
    return document


def _take(document: Any, parts: Sequence[str]) -> Any:
    node, last = _get(document, parts[:-1]), parts[-1]
    return node.pop(int(last)) if isinstance(node, list) else node.pop(last)

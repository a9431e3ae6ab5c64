# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of manifests: strategic merge patches and JSON patches, for the objects that a target selects.

Sources: kustomize, ``api/types/selector.go``, ``api/internal/builtins/PatchTransformer.go`` and ``api/filters``; RFC
6902 as evanphx/json-patch has it.
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
from .kustomize_yaml import Copier, as_json, read_all, text_of
from .merge_keys import CLUSTER_KINDS, KINDS
from .objects import ManifestObject
from .strategic_merge import strategic_merge

DEFAULT_NAMESPACE = "default"
_IDENTITY = ("name", "namespace")
_EXACT = 1 << 53
# kustomize's namespace of an object that has none
_NO_NAMESPACE = "_non_namespaceable_"


def patch_objects(items: Sequence[ManifestObject], patches: Sequence[Mapping[str, Any]]) -> list[ManifestObject]:
    """Return the objects with all patches applied, in their order; a patch may remove an object.

    :raises InvalidOption: when a patch or its target cannot be used.
    :raises ManifestsInvalid: when a patch selects no object, or does not fit one.
    """
    result = list(items)
    for number, patch in enumerate(patches):
        what = f"patches[{number}]"
        contents, target = _contents(patch["patch"], what), patch.get("target")
        if isinstance(contents[0], list) and not target:
            raise InvalidOption(f"{what} is a JSON patch without a 'target'.", "Say which objects it is for.")
        if target and len(contents) > 1:
            raise InvalidOption(
                f"{what} holds {len(contents)} patches for one 'target'.", "Give each an entry of its own."
            )
        for content in contents:
            chosen = _selected(result, target, what) if target else _named(result, content, what)
            for item in chosen:
                if not _apply(item, _of_texts(content) if target else content, what):
                    result = [each for each in result if each is not item]
    return result


def _apply(item: ManifestObject, content: Any, what: str) -> bool:
    """Apply a patch to an object, in place; return False when the patch deletes it."""
    what = f"{what}, for the {item},"
    if isinstance(content, list):
        item.document = json_patched(item.document, content, what)
        return True
    own = item.metadata
    found = strategic_merge(copy.deepcopy(item.document), _without_identity(copy.deepcopy(content)), what)
    if not found:
        return False
    metadata = found["metadata"] if isinstance(found.get("metadata"), dict) else {}
    identity = {name: own[name] for name in _IDENTITY if own.get(name)}
    found["metadata"] = {**{key: value for key, value in metadata.items() if key not in _IDENTITY}, **identity}
    item.document = {"apiVersion": item.document.get("apiVersion"), **found, "kind": item.document.get("kind")}
    return True


def _contents(option: Any, what: str) -> list[Any]:
    """Return the patches in an option: one list of operations, or one or more mappings."""
    documents = _parsed(textwrap.dedent(option), what) if isinstance(option, str) else [option]
    if len(documents) == 1 and isinstance(documents[0], list):
        if documents[0] and all(isinstance(each, Mapping) for each in documents[0]):
            return documents
    elif documents and all(isinstance(each, Mapping) and each for each in documents):
        return [dict(each) for each in documents]
    raise InvalidOption(f"{what} is neither a mapping nor a list of operations.")


def _parsed(text: str, what: str) -> list[Any]:
    try:
        documents = [Copier(what).copy(each) for each in read_all(text, what)]
        if len(documents) == 1 and isinstance(documents[0], list):
            # values of a JSON patch are read as Helm and kubectl read them
            return [read_values(f"patch:\n{_indented(text)}".encode(), what)["patch"]]
        return documents
    except OciError as exc:
        raise InvalidOption(f"{what}: {exc.message}") from None


def _indented(text: str) -> str:
    # a list of its own, as the value of one key
    return "\n".join(f"  {line}" for line in text.splitlines() if line.strip() != "---")


def _without_identity(patch: dict[str, Any]) -> dict[str, Any]:
    """Return a patch without what names an object, which it cannot change."""
    result = {key: value for key, value in patch.items() if key not in ("apiVersion", "kind")}
    metadata = result.get("metadata")
    if isinstance(metadata, Mapping):
        result["metadata"] = {key: value for key, value in metadata.items() if key not in _IDENTITY}
        if not result["metadata"]:
            del result["metadata"]
    return result


def _of_texts(patch: Any) -> Any:
    """Return a patch for a target as kustomize prepares it: labels and annotations are texts, or there are none."""
    metadata = patch.get("metadata") if isinstance(patch, Mapping) else None
    if not isinstance(metadata, Mapping):
        return patch
    own = {key: value for key, value in metadata.items() if key not in ("labels", "annotations")}
    for part in ("labels", "annotations"):
        values = _texts(metadata.get(part))
        if values:
            own[part] = values
    return {**patch, "metadata": own}


def _named(items: Sequence[ManifestObject], patch: Mapping[str, Any], what: str) -> list[ManifestObject]:
    metadata = patch.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    wanted = (patch.get("apiVersion"), patch.get("kind"), metadata.get("name"))
    namespace = metadata.get("namespace")
    named = [item for item in items if (item.version, item.kind, item.name) == wanted]
    # kustomize takes an object without a namespace for one of "default"; others are found by their name alone here
    exact = [item for item in named if effective_namespace(item) == (namespace or DEFAULT_NAMESPACE)]
    found = exact or [item for item in named if not namespace or item.namespace in ("", namespace)]
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
        if all(selects(selector, _texts(items[number].metadata.get(part))) for selector, part in selectors)
    ]


def _texts(values: Any) -> dict[str, str]:
    return {key: text_of(value) for key, value in values.items()} if isinstance(values, Mapping) else {}


def _identity(item: ManifestObject) -> tuple[str, str, str, str, str]:
    group, _slash, version = item.version.rpartition("/")
    return group, version, item.kind, item.name, effective_namespace(item)


def effective_namespace(item: ManifestObject) -> str:
    """Return the namespace by which kustomize finds an object."""
    if item.kind in CLUSTER_KINDS and item.kind in KINDS.get(item.version, ()):
        return _NO_NAMESPACE
    return item.namespace or DEFAULT_NAMESPACE


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
    for sign in "><":
        if sign in part:
            key, _sign, value = (each.strip() for each in part.partition(sign))
            try:
                found = int(str(values[key])) - int(value)
            except (KeyError, ValueError):
                return False
            return found > 0 if sign == ">" else found < 0
    if " " in part.lstrip("! "):
        raise InvalidOption(f"The selector {part[:100]!r} cannot be read.")
    return part[1:].strip() not in values if part.startswith("!") else part in values


# -- RFC 6902


def json_patched(document: Any, operations: Sequence[Mapping[str, Any]], what: str) -> Any:
    """Return a copy of a document with the operations applied.

    :raises ManifestsInvalid: when an operation cannot be applied, or a test fails.
    """
    result = as_json(document)
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
                if not _is_equal(_found(result, parts), operation.get("value")):
                    raise ManifestsInvalid(f"{what} tests {operation['path']!r}, which has another value.")
            else:
                raise ManifestsInvalid(f"{what} has the operation {op[:50]!r}, which does not exist.")
        except (KeyError, IndexError, TypeError, ValueError):
            raise ManifestsInvalid(
                f"{what}: the operation {op[:50]!r} of {str(operation.get('path'))[:200]!r} cannot be applied.",
                "See whether the path is there in the manifest.",
            ) from None
    return _rounded(result)


def _is_equal(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _found(node: Any, parts: Sequence[str]) -> Any:
    """Return what a test looks at: None for what is not there."""
    try:
        return _get(node, parts)
    except (KeyError, IndexError):
        return None


def _rounded(node: Any) -> Any:
    """Return a document with numbers as they come out of JSON in Go, where each has 64 bits of floating point."""
    if isinstance(node, dict):
        return {key: _rounded(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_rounded(value) for value in node]
    if isinstance(node, int) and not isinstance(node, bool) and abs(node) > _EXACT:
        return int(float(node))
    return node


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
        if at < 0:
            # counted from the end, as in Go's library
            at += len(node) + (op == "add")
        if not 0 <= at <= len(node) - (op == "replace"):
            raise IndexError(last)
        node[at : at + (op == "replace")] = [value]
    elif isinstance(node, dict):
        # Go's library replaces what is not there, too
        node[last] = value
    else:
        raise TypeError(last)
    return document


def _take(document: Any, parts: Sequence[str]) -> Any:
    node, last = _get(document, parts[:-1]), parts[-1]
    return node.pop(int(last)) if isinstance(node, list) else node.pop(last)

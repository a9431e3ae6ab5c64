# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of objects that ``kubectl`` owns, taken over by another field manager.

With server-side apply a field goes when the manager that owns it no longer applies it. What kubectl has set would stay
for ever, whoever applies the object now. Flux takes these fields over before it applies, and so does this. Sources:
fluxcd/pkg, ``ssa/patch.go``; sigs.k8s.io/structured-merge-diff, ``fieldpath/serialize.go``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._errors import Conflict
from .patches import united_fields

if TYPE_CHECKING:
    from .rest import KubeRest

KUBECTL = "kubectl"
# The API server's name for whoever wrote an object before it was applied on the server for the first time.
BEFORE = "before-first-apply"
APPLY, UPDATE = "Apply", "Update"
MAX_ATTEMPTS = 5
# Annotations and labels of these are for who applies an object, such as those that protect it; whoever set them.
MARKS = ("f:cloudnative.artifacts/", "f:kustomize.toolkit.fluxcd.io/")


def taken_over(live: Mapping[str, Any], version: str, taker: str) -> list[dict[str, Any]] | None:
    """Return the ``managedFields`` of an object, in which ``taker`` owns by apply what kubectl owns in live ones.

    None when kubectl owns nothing there in this API version, or the taker applied the object in another one.
    """
    entries = [dict(each) for each in _entries(live)]
    given = [each for each in entries if _is_kubectl(each) and each.get("apiVersion") == version and _divided(each)[0]]
    own = next((each for each in entries if (each.get("manager"), each.get("operation")) == (taker, APPLY)), None)
    if not given or (own is not None and own.get("apiVersion") != version):
        return None
    left = [each for each in entries if each not in given]
    if own is None:
        own = {**given[0], "manager": taker, "operation": APPLY, "fieldsV1": {}}
        left.append(own)
    for each in given:
        taken, kept = _divided(each)
        own["fieldsV1"] = united_fields(own.get("fieldsV1"), taken)
        if kept:
            left.append({**each, "fieldsV1": kept})
    return left


def take_over(api: KubeRest, path: str, live: Mapping[str, Any], version: str, taker: str) -> None:
    """Make the fields of an object in the cluster that kubectl owns those of ``taker``. No value changes.

    :raises Conflict: when others change the object all the time.
    """
    for attempt in range(MAX_ATTEMPTS):
        entries = taken_over(live, version, taker)
        if entries is None:
            return
        operation = {"op": "replace", "path": "/metadata/managedFields", "value": entries}
        try:
            api.patch(path, [operation], str(live["metadata"].get("resourceVersion") or ""), taker)
            return
        except Conflict:
            if attempt + 1 == MAX_ATTEMPTS:
                raise
            live = api.get(path)


def without_taken_over(document: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Return what the API server said would become of an object, without the fields that kubectl alone owns."""
    entries = _entries(document)
    given: dict[str, Any] = {}
    kept = []
    for each in entries:
        if _is_kubectl(each) and each.get("apiVersion") == version:
            taken, stays = _divided(each)
            given = united_fields(given, taken)
            kept.append(stays)
        elif isinstance(each.get("fieldsV1"), Mapping):
            kept.append(each["fieldsV1"])
    result: dict[str, Any] = copy.deepcopy(dict(document))
    _take_away(result, given, kept)
    return result


def _entries(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = (document.get("metadata") or {}).get("managedFields")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _is_kubectl(entry: Mapping[str, Any]) -> bool:
    manager, operation = str(entry.get("manager") or ""), entry.get("operation")
    if entry.get("subresource"):
        # such as the number of replicas that kubectl scale has set
        return False
    return (manager.startswith(KUBECTL) and operation in (APPLY, UPDATE)) or (manager, operation) == (BEFORE, UPDATE)


def _divided(entry: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of an entry that are taken over, and those that kubectl keeps: marks for the appliers.

    Without an owner a mark would go with the rest of its mapping.
    """
    found = entry.get("fieldsV1")
    fields = dict(found) if isinstance(found, Mapping) else {}
    metadata = fields.get("f:metadata")
    taken, kept = dict(metadata) if isinstance(metadata, Mapping) else {}, {}
    for part in ("f:annotations", "f:labels"):
        texts = taken.get(part)
        marks: dict[str, Any] = {name: {} for name in texts or () if name.startswith(MARKS)}
        if isinstance(texts, Mapping) and marks:
            kept[part] = marks
            taken[part] = {name: {} for name in texts if name != "." and name not in marks}
            if not taken[part]:
                del taken[part]
    fields.pop("f:metadata", None)
    return {**fields, **({"f:metadata": taken} if taken else {})}, {"f:metadata": kept} if kept else {}


def _take_away(node: Any, given: Mapping[str, Any], kept: Sequence[Mapping[str, Any]]) -> None:
    """Remove the fields in ``given`` that are in none of ``kept`` from a part of an object, in place."""
    for key, below in given.items():
        if key == ".":
            continue
        others = [each[key] for each in kept if isinstance(each.get(key), Mapping)]
        child = _child(node, key)
        if child is None:
            continue
        place, value = child
        if not others and isinstance(below, Mapping) and (not below or "." in below):
            del node[place]
        elif isinstance(below, Mapping):
            _take_away(value, below, others)
            if value in ({}, []) and not others:
                del node[place]


def _child(node: Any, key: str) -> tuple[Any, Any] | None:
    """Return where the field of an entry of ``managedFields`` is in a mapping or list, and its value."""
    sign, _colon, text = key.partition(":")
    if sign == "f":
        return (text, node[text]) if isinstance(node, dict) and text in node else None
    try:
        wanted = json.loads(text)
    except ValueError:
        return None
    for place, item in enumerate(node if isinstance(node, list) else ()):
        if sign == "v" and item == wanted:
            return place, item
        if sign == "k" and isinstance(item, Mapping) and isinstance(wanted, dict) and wanted.items() <= item.items():
            return place, item
    return None

# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of any kind: where the API has them, and how two states of one differ."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._oci.errors import ClusterError, InvalidContent, NotFound
from .rest import KubeRest

# What the API server keeps by itself, whatever anybody wants.
_OWN_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)


@dataclass(frozen=True)
class Place:
    """Where an object is, and what messages call it."""

    path: str
    collection: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Places:
    """Finds the places of objects; what the API server says about its resources is asked for once per version."""

    def __init__(self, api: KubeRest) -> None:
        self._api = api
        self._guard = threading.Lock()
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    def find(self, document: Mapping[str, Any], namespace: str) -> Place:
        """The place of an object; ``namespace`` is the one of objects that name none.

        :raises InvalidContent: when the document is no object.
        :raises ClusterError: when the API server does not know its kind.
        """
        version, kind = str(document.get("apiVersion") or ""), str(document.get("kind") or "")
        metadata = document.get("metadata")
        name = str(metadata.get("name") or "") if isinstance(metadata, Mapping) else ""
        if not (version and kind and name) or not isinstance(metadata, Mapping):
            raise InvalidContent(f"A rendered manifest is no Kubernetes object: kind {kind!r}, name {name[:100]!r}.")
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        with self._guard:
            if version not in self._resources:
                self._resources[version] = self._discover(base)
            found = self._resources[version].get(kind)
        if found is None:
            raise ClusterError(f"The Kubernetes API knows no {kind} of {version}.")
        plural, is_namespaced = found
        own = str(metadata.get("namespace") or namespace) if is_namespaced else ""
        collection = f"{base}/namespaces/{own}/{plural}" if own else f"{base}/{plural}"
        return Place(f"{collection}/{name}", collection, kind, own, name)

    def _discover(self, base: str) -> dict[str, tuple[str, bool]]:
        try:
            resources = self._api.get(base).get("resources") or []
        except NotFound:
            return {}
        return {
            str(each.get("kind")): (str(each.get("name")), bool(each.get("namespaced")))
            for each in resources
            if "/" not in str(each.get("name"))
        }


def comparable(live: Mapping[str, Any]) -> dict[str, Any]:
    """An object without its status and without what the API server keeps by itself."""
    document = copy.deepcopy({key: value for key, value in live.items() if key != "status"})
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        for name in _OWN_METADATA:
            metadata.pop(name, None)
    return document


def differences(before: Any, after: Any, pointer: str = "") -> Iterator[str]:
    """JSON pointers (RFC 6901) of what differs; a list differs as a whole when its length does."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}, key=str):
            below = f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
            if key not in before or key not in after:
                yield below
            else:
                yield from differences(before[key], after[key], below)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after)):
            yield from differences(one, other, f"{pointer}/{number}")
    elif before != after:
        yield pointer


def without(document: Mapping[str, Any], pointers: Iterable[str]) -> dict[str, Any]:
    """A copy of a document without what JSON pointers name."""
    result = copy.deepcopy(dict(document))
    for pointer in pointers:
        parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
        node: Any = result
        for part in parts[:-1]:
            node = _step(node, part)
        if parts and isinstance(node, dict):
            node.pop(parts[-1], None)
        elif parts and isinstance(node, list) and parts[-1].isdigit() and int(parts[-1]) < len(node):
            del node[int(parts[-1])]
    return result


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7386) that makes ``after`` of ``before``."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            below = merge_patch(old, value)
            if below:
                patch[key] = below
        elif key not in before or old != value:
            patch[key] = value
    return patch


def _step(node: Any, part: str) -> Any:
    if isinstance(node, dict):
        return node.get(part)
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    return None

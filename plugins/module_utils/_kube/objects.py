# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of any kind: their paths in the API, and the part of them that can be compared."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import ClusterError, InvalidContent, NotFound
from .rest import KubeRest

_SHOWN_METADATA = ("name", "namespace", "labels", "annotations")


def is_path_segment(text: str) -> bool:
    """True for a text that can be one part of a path in the API, as each name of an object has to be.

    Source: apimachinery, ``pkg/api/validation/path``.
    """
    return text not in ("", ".", "..") and not any(sign in text for sign in "/%?#\0")


@dataclass(frozen=True)
class ObjectLocation:
    """The API path of an object, and its name for messages."""

    path: str
    collection: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class UnknownKind(ClusterError):
    """The API server does not know a kind: its CustomResourceDefinition is missing, or the version is not served."""


class ObjectLocator:
    """Finds the places of objects; requests the API server's list of resources once for each API version."""

    def __init__(self, api: KubeRest) -> None:
        self._api = api
        self._guard = threading.Lock()
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    def find(self, document: Mapping[str, Any], namespace: str) -> ObjectLocation:
        """Return the place of an object.

        :param namespace: namespace of objects that do not name one.
        :raises InvalidContent: when the document is not an object with a name.
        :raises UnknownKind: when the API server does not know its kind; this answer is not cached.
        """
        version, kind = str(document.get("apiVersion") or ""), str(document.get("kind") or "")
        metadata = document.get("metadata")
        name = str(metadata.get("name") or "") if isinstance(metadata, Mapping) else ""
        if not (version and kind and name) or not isinstance(metadata, Mapping):
            raise InvalidContent(
                f"A rendered manifest is not a Kubernetes object: kind {kind[:100]!r}, name {name[:100]!r}."
            )
        own = str(metadata.get("namespace") or namespace)
        group, _slash, plain = version.rpartition("/")
        for part in (name, plain, *filter(None, (group, own))):
            if not is_path_segment(part):
                # a path with it would lead to another object
                raise InvalidContent(f"{part[:100]!r} in the {kind[:100]} {name[:100]!r} cannot be a part of a name.")
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        with self._guard:
            if kind not in self._resources.get(version, {}):
                self._resources[version] = self._discover(base)
            found = self._resources[version].get(kind)
        if found is None:
            raise UnknownKind(
                f"The Kubernetes API does not know the kind {kind[:100]} of {version[:100]}.",
                "Install its CustomResourceDefinition, or deploy a chart that uses a version the cluster serves.",
            )
        plural, is_namespaced = found
        own = own if is_namespaced else ""
        collection = f"{base}/namespaces/{own}/{plural}" if own else f"{base}/{plural}"
        return ObjectLocation(f"{collection}/{name}", collection, kind, own, name)

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
    """Return an object without its status, and with only names, labels and annotations of its metadata.

    All other metadata is set by the API server or by controllers.
    """
    document = {key: value for key, value in live.items() if key not in ("status", "metadata")}
    metadata = live.get("metadata")
    if isinstance(metadata, Mapping):
        document["metadata"] = {name: metadata[name] for name in _SHOWN_METADATA if metadata.get(name)}
    return document

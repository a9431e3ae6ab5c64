# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places of objects in the API, also of kinds whose definitions are among the objects themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._errors import ManifestsInvalid, NotFound
from .._kube.objects import ObjectLocation, ObjectLocator, UnknownKind, is_path_segment
from .._kube.rest import KubeRest
from .objects import ManifestObject


class Kinds:
    """Finds the places of objects; knows the API server's kinds and those that a set of manifests defines."""

    def __init__(self, api: KubeRest, items: Iterable[ManifestObject] = ()) -> None:
        self._api = api
        self._locator = ObjectLocator(api)
        self._defined = dict(_definitions(items))
        self._versions: dict[str, list[str]] = {}

    def find(self, item: ManifestObject, namespace: str) -> ObjectLocation:
        """Return the place of an object; ``namespace`` is for objects that have one and do not name it.

        :raises ManifestsInvalid: when neither the API server nor the manifests define its kind.
        """
        found = self._defined.get((item.version, item.kind))
        if found is None:
            try:
                return self._locator.find(item.document, namespace)
            except UnknownKind:
                raise ManifestsInvalid(
                    f"{item}: the Kubernetes API does not know the kind {item.kind[:100]} of {item.version[:100]}, and "
                    f"no CustomResourceDefinition among the manifests defines it.",
                    "Install its CustomResourceDefinition first, with depends_on where manifests do that.",
                ) from None
        plural, is_namespaced = found
        own = (item.namespace or namespace) if is_namespaced else ""
        base = f"/apis/{item.version}"
        collection = f"{base}/namespaces/{own}/{plural}" if own else f"{base}/{plural}"
        return ObjectLocation(f"{collection}/{item.name}", collection, item.kind, own, item.name)

    def collections(self, kind: str, namespaces: Iterable[str]) -> list[tuple[str, str]]:
        """Return the paths of the collections of a kind (``Kind.group``), each with its namespace.

        Empty for a kind that the API server does not know any more.
        """
        name, _dot, group = kind.partition(".")
        for version in self._group_versions(group):
            probe = {"apiVersion": version, "kind": name, "metadata": {"name": "x"}}
            try:
                first = self._locator.find(probe, "x")
            except UnknownKind:
                continue
            if not first.namespace:
                return [(first.collection, "")]
            places = [(self._locator.find(probe, each), each) for each in sorted(namespaces)]
            return [(place.collection, each) for place, each in places]
        return []

    def _group_versions(self, group: str) -> list[str]:
        if not group:
            return ["v1"]
        if group not in self._versions:
            try:
                found = self._api.get(f"/apis/{group}")
            except NotFound:
                found = {}
            preferred = found.get("preferredVersion")
            versions = [preferred, *(found.get("versions") or ())]
            names = [str(each.get("groupVersion")) for each in versions if isinstance(each, Mapping)]
            self._versions[group] = list(dict.fromkeys(names))
        return self._versions[group]


def _definitions(items: Iterable[ManifestObject]) -> Iterator[tuple[tuple[str, str], tuple[str, bool]]]:
    """Yield (version, kind) and (plural, whether it has namespaces) for what CustomResourceDefinitions define."""
    for item in items:
        spec = item.document.get("spec")
        if item.kind != "CustomResourceDefinition" or not isinstance(spec, Mapping):
            continue
        names: Any = spec.get("names")
        names = names if isinstance(names, Mapping) else {}
        versions = spec.get("versions")
        for each in versions if isinstance(versions, list) else []:
            if isinstance(each, Mapping) and each.get("served"):
                parts = [str(part) for part in (spec.get("group"), each.get("name"), names.get("plural"))]
                if all(map(is_path_segment, parts)):
                    is_namespaced = spec.get("scope") == "Namespaced"
                    yield ("/".join(parts[:2]), str(names.get("kind"))), (parts[2], is_namespaced)

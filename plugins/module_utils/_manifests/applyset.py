# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ApplySets: the labels and annotations by which the objects that were applied together are found again.

``kubectl apply --prune --applyset`` uses the same ones, so that it and this collection may take turns. Source:
KEP-3659, "Design Details: ApplySet Specification"; kubectl, ``pkg/cmd/apply/applyset.go``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidOption, ManifestsConflict

ID = "applyset.kubernetes.io/id"
PART_OF = "applyset.kubernetes.io/part-of"
TOOLING = "applyset.kubernetes.io/tooling"
KINDS = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
# What was applied, as this collection noted it on the parent.
RECORD = "cloudnative.artifacts/manifests"

# kubectl refuses a parent whose tooling has another name than its own. The version tells ours from kubectl's.
TOOL = "kubectl"
OUR_TOOLING = f"{TOOL}/v1.27+cloudnative.artifacts"
# The field manager of these labels and annotations is kubectl's, too: otherwise each would have to take them over.
MANAGER = "kubectl-applyset"

_PARENTS = {"secret": "Secret", "secrets": "Secret", "configmap": "ConfigMap", "configmaps": "ConfigMap"}
_PLURALS = {"Secret": "secrets", "ConfigMap": "configmaps"}
# Bytes of the record; the API server accepts 256 KiB of annotations.
MAX_RECORD = 64 << 10


@dataclass(frozen=True)
class ParentRef:
    """The parent object of an ApplySet: a Secret or a ConfigMap."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def id(self) -> str:
        """The value of the labels of the parent and of its members."""
        text = f"{self.name}.{self.namespace}.{self.kind}."
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
        return f"applyset-{digest.rstrip('=')}-v1"

    @property
    def path(self) -> str:
        """The path of the object in the API."""
        return f"/api/v1/namespaces/{self.namespace}/{_PLURALS[self.kind]}/{self.name}"

    def document(self, contents: Contents) -> dict[str, Any]:
        """Return the part of the object that says what the set contains."""
        annotations = {
            TOOLING: OUR_TOOLING,
            KINDS: ",".join(sorted(contents.kinds)),
            NAMESPACES: ",".join(sorted(contents.namespaces - {self.namespace})),
        }
        metadata = {"name": self.name, "namespace": self.namespace, "labels": {ID: self.id}, "annotations": annotations}
        return {"apiVersion": "v1", "kind": self.kind, "metadata": metadata}


def parse_parent(text: str, namespace: str) -> ParentRef:
    """Return the parent that ``kubectl apply --applyset`` means by this text: ``NAME`` or ``configmaps/NAME``.

    :raises InvalidOption: when it is of another kind than Secret and ConfigMap.
    """
    resource, separator, name = text.partition("/")
    kind = _PARENTS.get(resource.lower()) if separator else "Secret"
    name = name if separator else text
    if kind is None or not name or "/" in name:
        raise InvalidOption(
            f"'applyset' is {text[:200]!r}: wanted NAME, secrets/NAME or configmaps/NAME.",
            "A custom resource as the parent of an ApplySet is not supported.",
        )
    return ParentRef(kind, namespace, name)


@dataclass(frozen=True)
class Contents:
    """The kinds (``Kind.group``, or ``Kind`` of the core group) and namespaces in which a set has members."""

    kinds: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()

    def __or__(self, other: Contents) -> Contents:
        return Contents(self.kinds | other.kinds, self.namespaces | other.namespaces)


def contents_of(places: Iterable[tuple[str, str, str]]) -> Contents:
    """Return the contents of a set of objects, each given by API version, kind and namespace (empty without one)."""
    kinds, namespaces = set(), set()
    for version, kind, namespace in places:
        group = version.rpartition("/")[0]
        kinds.add(f"{kind}.{group}" if group else kind)
        if namespace:
            namespaces.add(namespace)
    return Contents(frozenset(kinds), frozenset(namespaces))


@dataclass(frozen=True)
class Parent:
    """The parent of an ApplySet as it is in the cluster.

    ``record`` is what this collection noted on it, empty when it did not, or when kubectl has applied since.
    ``history`` is kept in any case.
    """

    exists: bool = False
    contents: Contents = field(default_factory=Contents)
    record: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()


def parse_found(ref: ParentRef, found: Mapping[str, Any] | None) -> Parent:
    """Return the parent that the API answered with.

    :raises ManifestsConflict: when the object is not the parent of this set, or another tool manages it.
    """
    if found is None:
        return Parent()
    metadata = found.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    labels, annotations = (_texts(metadata.get(name)) for name in ("labels", "annotations"))
    if ID not in labels and TOOLING not in annotations:
        raise ManifestsConflict(
            f"The {ref} is there already, and is not the parent of an ApplySet.",
            "Name another one in 'applyset', such as configmaps/NAME.",
        )
    tool = annotations.get(TOOLING, "").rpartition("/")[0]
    if labels.get(ID) != ref.id or tool != TOOL:
        raise ManifestsConflict(
            f"The {ref} is the parent of an ApplySet that {tool[:100] or 'an unknown tool'} manages, with the id "
            f"{labels.get(ID, '')[:100]!r}.",
            "Let that tool give it up, or name another one in 'applyset'.",
        )
    record = _record(annotations.get(RECORD, ""))
    history = record.get("history")
    entries = tuple(each for each in history if isinstance(each, Mapping)) if isinstance(history, list) else ()
    contents = Contents(_names(annotations, KINDS), _names(annotations, NAMESPACES) | {ref.namespace})
    if annotations.get(TOOLING) != OUR_TOOLING:
        record = {}
    return Parent(True, contents, record, entries)


def _record(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text) if text and len(text) <= MAX_RECORD else {}
    except (ValueError, RecursionError):
        record = {}
    return record if isinstance(record, dict) else {}


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, Mapping) else {}


def _names(annotations: Mapping[str, str], key: str) -> frozenset[str]:
    return frozenset(name.strip() for name in annotations.get(key, "").split(",") if name.strip())

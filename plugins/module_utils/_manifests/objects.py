# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects in manifests: read, checked, and given what the options say."""

from __future__ import annotations

import base64
import copy
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import ManifestsInvalid, OciError
from .._helm.manifest_text import documents
from .._kube.objects import is_path_segment

MAX_OBJECTS = 10_000
SUFFIXES = (".yaml", ".yml", ".json")
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")
_OWN_METADATA = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")


@dataclass
class ManifestObject:
    """One object that is to be in the cluster. ``namespace`` is empty where the manifest names none."""

    document: dict[str, Any] = field(repr=False)
    origin: str = ""

    @property
    def version(self) -> str:
        """The ``apiVersion``."""
        return str(self.document.get("apiVersion") or "")

    @property
    def kind(self) -> str:
        """The kind."""
        return str(self.document.get("kind") or "")

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata, which :func:`check_objects` made sure are a mapping."""
        found = self.document.get("metadata")
        return found if isinstance(found, dict) else {}

    @property
    def name(self) -> str:
        """The name."""
        return str(self.metadata.get("name") or "")

    @property
    def namespace(self) -> str:
        """The namespace in the manifest."""
        return str(self.metadata.get("namespace") or "")

    @property
    def is_secret(self) -> bool:
        """True for a Secret of the core group."""
        return self.kind == "Secret" and self.version == "v1"

    def mark(self, name: str) -> str:
        """Return the value of an annotation or label; annotations count first."""
        for part in ("annotations", "labels"):
            values = self.metadata.get(part)
            if isinstance(values, Mapping) and name in values:
                return str(values[name])
        return ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def below(files: Mapping[str, bytes], path: str, what: str) -> dict[str, bytes]:
    """Return the files under a directory of the artifact, by their paths relative to it.

    :raises ManifestsInvalid: when the path leads out of the artifact, or there is nothing under it.
    """
    clean = posixpath.normpath(path.lstrip("/") or ".")
    if clean.split("/")[0] == "..":
        raise ManifestsInvalid(f"'path' is {path[:200]!r}, which leads out of {what}.")
    if clean == ".":
        return dict(files)
    if clean in files:
        return {posixpath.basename(clean): files[clean]}
    found = {name[len(clean) + 1 :]: data for name, data in files.items() if name.startswith(f"{clean}/")}
    if not found:
        tops = sorted({name.split("/")[0] for name in files})[:20]
        raise ManifestsInvalid(
            f"{what} has no directory {path[:200]!r}: at its top are {', '.join(tops) or 'no files'}.",
            "Correct 'path'.",
        )
    return found


def read_objects(files: Mapping[str, bytes], what: str) -> list[ManifestObject]:
    """Return the objects in all YAML and JSON files, in the order of their paths; hidden files are passed over.

    :raises ManifestsInvalid: when there is no such file, one is not YAML, or there are too many objects.
    """
    found: list[ManifestObject] = []
    names = sorted(filter(is_manifest, files))
    if not names:
        # a wrong path or artifact would prune the whole set
        raise ManifestsInvalid(
            f"{what} has no manifests: no file below 'path' ends with {', '.join(SUFFIXES)}.",
            "Correct 'path' or the artifact; a set is removed with 'state: absent'.",
        )
    for name in names:
        found += parse_documents(files[name], f"{name} of {what}")
        _check_count(len(found), what)
    return found


def is_manifest(name: str) -> bool:
    """True for a file that is read for objects, by its name."""
    base = posixpath.basename(name)
    return base.endswith(SUFFIXES) and not base.startswith(".") and base not in KUSTOMIZATIONS


def parse_documents(data: bytes, origin: str) -> list[ManifestObject]:
    """Return the objects in YAML text.

    :raises ManifestsInvalid: when it is not YAML. The message does not repeat its content.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ManifestsInvalid(f"{origin} is not UTF-8 text.") from None
    try:
        return [ManifestObject(document, origin) for document in documents(text, origin)]
    except OciError as exc:
        raise ManifestsInvalid(f"{origin} cannot be read: {exc.message}", "Correct and publish it again.") from None


def check_objects(items: Iterable[ManifestObject], what: str) -> list[ManifestObject]:
    """Return the objects, after a check that each has what the API needs.

    Metadata that only the API server sets, and the status, are taken out.

    :raises ManifestsInvalid: when one has no kind or name, or only ``generateName``, or is encrypted.
    """
    checked = []
    for item in items:
        document = item.document
        metadata = document.get("metadata")
        named = isinstance(metadata, dict) and isinstance(metadata.get("name"), str) and metadata["name"]
        if not (item.version and item.kind and named) or not isinstance(metadata, dict):
            words = f"kind {item.kind[:100]!r}, apiVersion {item.version[:100]!r}"
            raise ManifestsInvalid(
                f"{item.origin or what} holds a document that is not an object with a name: {words}.",
                "Wanted apiVersion, kind and metadata.name; generateName makes another object each time.",
            )
        if isinstance(document.get("sops"), Mapping):
            raise ManifestsInvalid(
                f"The {item.kind} {metadata['name'][:300]} of {item.origin or what} is encrypted with SOPS.",
                "Say with 'decryption' how it is decrypted.",
            )
        plain = {key: value for key, value in document.items() if key != "status"}
        plain["metadata"] = {
            key: dict(value) if isinstance(value, Mapping) else value
            for key, value in metadata.items()
            if key not in _OWN_METADATA and value is not None
        }
        checked.append(ManifestObject(plain, item.origin))
        if checked[-1].is_secret:
            _check_secret(checked[-1])
    _check_count(len(checked), what)
    return checked


def check_places(items: Iterable[ManifestObject], what: str) -> None:
    """Check that the path of each object in the API leads to no other one.

    :raises ManifestsInvalid: when a part of a name, namespace or version could.
    """
    for item in items:
        group, _slash, version = item.version.rpartition("/")
        for part in (item.name, version, *filter(None, (group, item.namespace))):
            if not is_path_segment(part):
                raise ManifestsInvalid(
                    f"{item.origin or what} holds an object with {part[:100]!r} in its name, which would lead to "
                    f"another one.",
                    "Names and namespaces have no slash and no percent sign.",
                )


def _check_secret(item: ManifestObject) -> None:
    """Check that the values of a Secret are what the API takes, whose own message would repeat them.

    :raises ManifestsInvalid: when one is not base64. The message does not repeat it.
    """
    data = item.document.get("data")
    for key, value in data.items() if isinstance(data, Mapping) else ():
        try:
            if value is not None:
                base64.b64decode("".join(value.split()), validate=True)
        except (AttributeError, TypeError, ValueError):
            raise ManifestsInvalid(
                f"The {item} of {item.origin} has a value in data that is not base64: {str(key)[:100]}.",
                "Plain text belongs into stringData.",
            ) from None


def _check_count(count: int, what: str) -> None:
    if count > MAX_OBJECTS:
        raise ManifestsInvalid(f"{what} holds more than {MAX_OBJECTS} objects.", "Split it into several artifacts.")


def with_common_metadata(
    items: Iterable[ManifestObject], labels: Mapping[str, str], annotations: Mapping[str, str]
) -> None:
    """Add labels and annotations to each object, in place; those replace what the manifests say (as in Flux)."""
    for item in items:
        for part, values in (("labels", labels), ("annotations", annotations)):
            if values:
                own = item.metadata.get(part)
                item.metadata[part] = {**(own if isinstance(own, Mapping) else {}), **values}


def with_namespace(items: Sequence[ManifestObject], namespace: str) -> None:
    """Give all objects another namespace, in place, by the rules of kustomize: that of namespaces themselves is their
    name, and subjects of bindings follow where they are service accounts of the set or named ``default``.
    """
    if not namespace:
        return
    accounts = {(item.namespace, item.name) for item in items if item.kind == "ServiceAccount"}
    for item in items:
        subjects = item.document.get("subjects")
        for subject in subjects if isinstance(subjects, list) and item.kind in _BINDINGS else ():
            if isinstance(subject, dict) and subject.get("kind") == "ServiceAccount":
                own = (str(subject.get("namespace") or ""), str(subject.get("name")))
                if own in accounts or own[1] == "default" or not own[0] or ("", own[1]) in accounts:
                    subject["namespace"] = namespace
        item.metadata.pop("namespace", None)
        if item.kind == "Namespace" and item.version == "v1":
            item.metadata["name"] = namespace


def copied(items: Iterable[ManifestObject]) -> list[ManifestObject]:
    """Return deep copies."""
    return [ManifestObject(copy.deepcopy(item.document), item.origin) for item in items]

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes what Helm has rendered: patches, then images, then common metadata, with the bytes that Flux gets.

Source: helm-controller, ``internal/postrender``: a build of kustomize, then its transformers of labels and annotations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import ManifestsInvalid
from .._oci.digest import digest_of
from .go_yaml_text import dump_go
from .images import with_images
from .kustomize_yaml import Copier, as_json, read_all, text_of
from .objects import MAX_OBJECTS, ManifestObject, with_common_metadata
from .patches import patch_objects

MAX_TEXT = 64 << 20
NO_HOOKS = "nohooks"
_LOCAL = "config.kubernetes.io/local-config"
_HOOK = "helm.sh/hook"
_SEPARATOR = re.compile(r"^---[ \t]*\n", re.MULTILINE)


@dataclass(frozen=True)
class PostRendering:
    """What is done with rendered manifests, and ``strategy``: whether hooks are left out of it."""

    patches: Sequence[Mapping[str, Any]] = ()
    images: Sequence[Mapping[str, str]] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    strategy: str = ""

    def __bool__(self) -> bool:
        return bool(self.patches or self.images or self.labels or self.annotations)

    def digest(self) -> str:
        """Return a digest of what the result depends on besides the manifests; empty when nothing is done."""
        if not self:
            return ""
        parts = [self.patches, self.images, self.labels, self.annotations, self.strategy]
        return digest_of(json.dumps(parts, sort_keys=True, default=str).encode("utf-8", "surrogateescape"))

    def render(self, manifests: bytes) -> bytes:
        """Return manifests as they are to be deployed.

        :raises InvalidOption: when a patch or an image cannot be used.
        :raises ManifestsInvalid: when manifests are not YAML, or a patch does not fit.
        """
        what = "what the chart renders"
        if len(manifests) > MAX_TEXT:
            raise ManifestsInvalid(f"{what} has more than {MAX_TEXT} bytes.")
        try:
            text = manifests.decode("utf-8")
        except UnicodeDecodeError:
            raise ManifestsInvalid(f"{what} is not UTF-8 text.") from None
        untouched: list[str] = []
        if self.strategy == NO_HOOKS and _HOOK in text:
            text, untouched = _without_hooks(text, what)
        parts = [dump_go(item.document) for item in self._changed(text, what)]
        return "---\n".join([*parts, *untouched]).encode("utf-8", "surrogatepass")

    def _changed(self, text: str, what: str) -> list[ManifestObject]:
        items = _objects(text, what)
        if self.patches or self.images:
            items = patch_objects([item for item in items if not _is_local(item)], self.patches)
            with_images(items, self.images)
            for item in items:
                _set_annotations(item)
        with_common_metadata(items, self.labels, self.annotations)
        return items


def _without_hooks(text: str, what: str) -> tuple[str, list[str]]:
    """Return the documents that are not hooks, and those that are, as Helm 4 wrote them."""
    parts = [part for part in _SEPARATOR.split(text) if part.strip()]
    hooks = [part for part in parts if _HOOK in part and any(_is_hook(each) for each in read_all(part, what))]
    return "---\n".join(part for part in parts if part not in hooks), hooks


def _is_hook(document: Any) -> bool:
    return _HOOK in _annotations(document)


def _annotations(document: Any) -> Mapping[str, Any]:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def _objects(text: str, what: str) -> list[ManifestObject]:
    """Return the objects in YAML text; the items of lists come behind everything else, as in kustomize."""
    copier = Copier(what)
    waiting = [copier.copy(each) for each in read_all(text, what)]
    items: list[ManifestObject] = []
    while waiting:
        document, waiting = waiting[0], waiting[1:]
        if not isinstance(document, dict):
            raise ManifestsInvalid(f"{what} holds a document that is not a mapping.")
        if not document:
            continue
        if text_of(document.get("kind")).endswith("List") and "items" in document:
            found = as_json(document["items"])
            waiting += [each for each in found if each] if isinstance(found, list) else []
            continue
        if not isinstance(document.get("metadata"), dict):
            document["metadata"] = {}
        items.append(ManifestObject(document))
        if len(items) > MAX_OBJECTS:
            raise ManifestsInvalid(f"{what} holds more than {MAX_OBJECTS} objects.")
    return items


def _is_local(item: ManifestObject) -> bool:
    return text_of(_annotations(item.document).get(_LOCAL, "false")) != "false"


def _set_annotations(item: ManifestObject) -> None:
    """Write annotations as texts, as kustomize does when it takes out those of its own."""
    found = item.metadata.pop("annotations", None)
    if isinstance(found, dict) and found:
        item.metadata["annotations"] = {key: text_of(value) for key, value in found.items()}

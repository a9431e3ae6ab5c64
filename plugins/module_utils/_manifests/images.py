# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of containers, replaced by the rules of kustomize's ``images``.

Source: kustomize, ``api/filters/imagetag``, ``api/internal/image`` and ``api/internal/konfig/builtinpluginconsts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._errors import InvalidOption, InvalidSelection
from .._oci.bounded_regex import BoundedRegex
from .objects import ManifestObject

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_./:-]+\Z")
_BEHIND_NAME = r"(:[a-zA-Z0-9_.{}-]*)?(@sha256:[a-zA-Z0-9_.{}-]*)?"


def with_images(items: Iterable[ManifestObject], images: Iterable[Mapping[str, str]]) -> None:
    """Replace images, in place: of containers at any depth, and of the volumes of Pods.

    :param images: each with ``name``, a regular expression, and of ``new_name``, ``new_tag`` and ``digest`` those that
        are given. Rules are applied one after another.
    :raises InvalidOption: when a name is not a regular expression.
    """
    found = [item.document for item in items if item.kind != "CustomResourceDefinition"]
    for rule in images:
        matches = _matcher(str(rule["name"]))
        for document in found:
            for holder, key in _places(document):
                image = holder.get(key)
                if isinstance(image, str) and matches(image):
                    holder[key] = _replaced(image, rule)


def _matcher(name: str) -> Any:
    if _PLAIN_NAME.match(name):
        # as everywhere in kustomize, a dot is any character
        return re.compile(f"{name}{_BEHIND_NAME}\\Z").match
    try:
        expression = BoundedRegex(f"^{name}{_BEHIND_NAME}$", "the name of an image")
    except InvalidSelection as exc:
        raise InvalidOption(exc.message, exc.hint) from None
    return lambda image: next(iter(expression.search_all([image])), None) is not None


def _places(document: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    yield from ((container, "image") for container in _containers(document))
    spec = document.get("spec")
    template = spec.get("template") if isinstance(spec, Mapping) else None
    inner = template.get("spec") if isinstance(template, Mapping) else None
    for each in (spec, inner):
        volumes = each.get("volumes") if isinstance(each, Mapping) else None
        for volume in volumes if isinstance(volumes, list) else ():
            image = volume.get("image") if isinstance(volume, Mapping) else None
            if isinstance(image, dict):
                yield image, "reference"


def _containers(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the containers at any depth: in Pods, in templates, and in custom resources with a Pod's fields."""
    if isinstance(node, list):
        for each in node:
            yield from _containers(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _containers(value)
            if key in ("containers", "initContainers") and isinstance(value, list):
                yield from (each for each in value if isinstance(each, dict))


def _replaced(image: str, rule: Mapping[str, str]) -> str:
    name, tag, digest = _split(image)
    name = rule.get("new_name") or name
    if rule.get("new_tag") or rule.get("digest"):
        tag, digest = rule.get("new_tag") or "", rule.get("digest") or ""
    return name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


def _split(image: str) -> tuple[str, str, str]:
    """Return name, tag and digest of an image; a colon before the first slash belongs to the name."""
    head, slash, rest = image.partition("/")
    if not slash or not head:
        head, slash, rest = "", "", image
    before, _at, digest = rest.partition("@")
    name, _colon, tag = before.partition(":")
    return f"{head}{slash}{name}", tag, digest

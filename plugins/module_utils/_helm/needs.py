# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a chart needs beside itself: other charts, by its Chart.yaml and Chart.lock, and container images.

Images are those of rendered manifests, and those that an annotation of the chart lists.
Source: Helm, "Charts", "Chart dependencies"; Artifact Hub, "Helm charts annotations" (``artifacthub.io/images``);
Kubernetes API, PodSpec and ImageVolumeSource.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from .._errors import BuildError
from .archive_files import UnpackBudget, read_archive
from .go_yaml import load
from .loader import is_needed, load_chart
from .manifest_text import documents
from .metadata import Metadata, read_lock

IMAGE_ANNOTATIONS = ("artifacthub.io/images", "images")

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True)
class Dependency:
    """A chart that another one needs. ``version`` is that of the lock file where there is one, else a range."""

    name: str
    repository: str
    version: str


@dataclass(frozen=True)
class Needs:
    """What a chart says of itself. ``images`` are those that an annotation lists; library charts render nothing."""

    is_library: bool
    dependencies: tuple[Dependency, ...]
    images: tuple[str, ...]


def read_needs(stream: BinaryIO, what: str) -> Needs:
    """Read a packaged chart.

    :param what: name of the chart in messages.
    :raises BuildError: when it is not a packaged chart, or is one that Helm refuses to load.
    :raises MissingDependency: without PyYAML.
    """
    files = read_archive(stream, what, is_needed, UnpackBudget())
    metadata = load_chart(files, f"{what}: ", packing=False)
    return Needs(
        is_library=metadata.text("type") == "library",
        dependencies=tuple(_dependencies(metadata, files, what)),
        images=tuple(dict.fromkeys(_annotated(metadata, what))),
    )


def rendered_images(manifests: str, what: str) -> list[str]:
    """Return the images in rendered manifests, each once, in their order.

    These are the images of containers and of image volumes, and in other objects, such as custom resources, each value
    that is called ``image`` and has a ``/``.

    :param what: name of the chart in messages.
    :raises ValuesError: when a manifest is not YAML.
    """
    return list(dict.fromkeys(_images(documents(manifests, what))))


def _dependencies(metadata: Metadata, files: Mapping[str, bytes | None], what: str) -> Iterator[Dependency]:
    locked = _locked(files, what)
    for number, item in enumerate(metadata.dependency_items):
        name, repository = item.get("name", ""), item.get("repository", "")
        version = item.get("version", "")
        # the lock file has the same order; one that is out of date may have others
        entry = locked[number] if number < len(locked) else {}
        if (entry.get("name"), entry.get("repository")) == (name, repository):
            version = entry.get("version") or version
        yield Dependency(name, repository, version)


def _locked(files: Mapping[str, bytes | None], what: str) -> list[dict[str, Any]]:
    # of two, Helm uses the one that it reads last
    for name in ("requirements.lock", "Chart.lock"):
        data = files.get(name)
        if data is not None:
            found = read_lock(data, f"{what}: {name}")
            entries = json.loads(found[1]) if found else None
            return [each or {} for each in entries or []]
    return []


def _annotated(metadata: Metadata, what: str) -> Iterator[str]:
    annotations = metadata.values.get("annotations") or {}
    for name in IMAGE_ANNOTATIONS:
        text = annotations.get(name)
        if not text:
            continue
        try:
            listed = load(text.encode("utf-8", "surrogateescape"), f"The annotation {name} of {what}")
        except BuildError as exc:
            raise BuildError(exc.message, "It is a list in YAML, with an 'image' in each item.") from None
        for item in listed if isinstance(listed, list) else []:
            image = item.get("image") if isinstance(item, dict) else None
            if isinstance(image, str) and image:
                yield image


def _images(objects: Iterable[Any]) -> Iterator[str]:
    # the last one is looked at first, so that images come in the order of the manifests
    pending = list(objects)[::-1]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += node[::-1]
        elif isinstance(node, dict):
            image = node.get("image")
            if isinstance(image, str) and "/" in image:
                yield image
            elif isinstance(image, dict) and isinstance(image.get("reference"), str):
                yield image["reference"]
            for name in _CONTAINERS:
                yield from _of_containers(node.get(name))
            pending += [value for value in node.values() if isinstance(value, (dict, list))][::-1]


def _of_containers(containers: Any) -> Iterator[str]:
    for container in containers if isinstance(containers, list) else []:
        image = container.get("image") if isinstance(container, dict) else None
        if isinstance(image, str) and image:
            yield image

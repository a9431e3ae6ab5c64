# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Describes Helm charts as ``helm push`` stores them, and packages them like ``helm package``, but reproducibly.

Source: helm 3.22, pkg/registry (client.go, util.go) and pkg/chartutil/save.go. Helm is not needed.

Intended differences from ``helm package``:

- Files keep their bytes, ``Chart.yaml`` and ``Chart.lock`` included; Helm writes these two anew, without comments and
  without the fields that it does not know. Only a byte order mark is removed, as Helm does.
- Packaged charts in ``charts/`` stay as they are, so that their digests and provenance files remain valid; Helm
  unpacks them. ``requirements.yaml`` and ``requirements.lock`` of a v2 chart stay; Helm moves them into ``Chart.yaml``
  and ``Chart.lock``. ``Chart.lock`` and ``dependencies`` of a v1 chart stay too; Helm drops them.
- A symbolic link that leads out of the chart is an error; Helm packs whatever it points to.
- A key that ``Chart.yaml`` has twice is an error (Helm takes the last one), and so are an ``apiVersion`` other than v1
  and v2 and a ``kubeVersion`` that is not a range, which Helm reports only later.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from .._archive.left_out import LeftOut
from .._archive.pack import PackResult, pack_members
from .._errors import BuildError
from .._oci import media
from .archive_files import BOM, MAX_FILE, UnpackBudget, read_archive, without_bom
from .checked_file import open_checked
from .directory_files import ChartFile, list_files
from .loader import is_dropped, is_needed, load_chart
from .metadata import Metadata

_MODE = 0o644
# The order of helm's save.go: these, templates, other files, charts.
_FIRST = ("Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json")
# image-spec, annotations.md
_DESCRIPTION = "org.opencontainers.image.description"
_URL = "org.opencontainers.image.url"
_AUTHORS = "org.opencontainers.image.authors"
# Keys that a chart's own annotations do not replace (helm's immutableOciAnnotations).
_IMMUTABLE = (media.ANNOTATION_VERSION, media.ANNOTATION_TITLE)


@dataclass(frozen=True)
class Chart:
    """A description of a chart.

    ``config`` is the config blob of ``helm push``. ``annotations`` are the manifest's, but for
    ``org.opencontainers.image.created``, which is only there when the chart's own annotations set it: that one wins
    over any other. ``warnings`` name fields that YAML reads differently than they look (``appVersion: 1.10``).
    """

    name: str
    version: str
    app_version: str
    config: bytes
    annotations: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """Return the tag of ``helm push``, with ``_`` for ``+``, which tags must not have."""
        return self.version.replace("+", "_")


def read_chart(path: str) -> Chart:
    """Return the description of a chart directory or a packaged chart (``.tgz``), which is the same for both.

    :raises BuildError: when ``path`` is not a chart, or is one that Helm refuses to load.
    :raises MissingDependency: without PyYAML.
    """
    if os.path.isdir(path):
        metadata = _load_directory(path, list_files(path), packing=False)
    else:
        if os.path.exists(path) and not os.path.isfile(path):
            raise BuildError(f"The chart {path} is neither a file nor a directory.")
        try:
            with open(path, "rb") as stream:
                return read_packaged_chart(stream, path)
        except OSError as exc:
            raise BuildError(f"The chart {path} cannot be read: {exc.strerror or exc}.") from None
    return _described(metadata)


def read_packaged_chart(stream: BinaryIO, what: str) -> Chart:
    """Return the description of a packaged chart.

    :param what: name of the chart in messages.
    :raises BuildError: when it is not a packaged chart, or is one that Helm refuses to load.
    :raises MissingDependency: without PyYAML.
    """
    return _described(load_chart(read_archive(stream, what, is_needed, UnpackBudget()), f"{what}: ", packing=False))


def _described(metadata: Metadata) -> Chart:
    return Chart(
        name=metadata.text("name"),
        version=metadata.text("version"),
        app_version=metadata.text("appVersion"),
        config=metadata.as_json(),
        annotations=_annotations(metadata.values),
        warnings=tuple(metadata.warnings),
    )


def read_chart_files(path: str, digest: str) -> dict[str, bytes | None]:
    """Return the content of the files of a packaged chart, by their names in the chart; None for files of subcharts.

    :param digest: that the file must have.
    :raises BuildError: when it is not a packaged chart, or is larger than Helm accepts.
    :raises DigestMismatch: when the file has another digest.
    """
    try:
        with open_checked(path, digest) as stream:
            return read_archive(stream, path, lambda name: not name.startswith("charts/"), UnpackBudget())
    except OSError as exc:
        raise BuildError(f"The chart {path} cannot be read: {exc.strerror or exc}.") from None


def pack_chart(directory: str, output: BinaryIO, left_out: LeftOut | None = None) -> PackResult:
    """Package a chart directory. The digest depends on names and contents only, not on modes, times and owners.

    :param left_out: records what is not packaged, by names relative to the chart.
    :raises BuildError: for what ``helm package`` refuses, and for a link that leads out of the chart.
    :raises StorageError: when the output cannot be written.
    :raises MissingDependency: without PyYAML.
    """
    files = list_files(directory, left_out)
    metadata = _load_directory(directory, files, packing=True)
    if left_out is not None:
        for file in files:
            if is_dropped(file.name):
                left_out.add(file.name, by_default=True)
    name = metadata.text("name")
    members = [
        (f"{name}/{file.name}", _content(file), _MODE)
        for file in sorted(files, key=_position)
        if not is_dropped(file.name)
    ]
    return pack_members(members, output)


def _load_directory(directory: str, files: list[ChartFile], packing: bool) -> Metadata:
    contents = {file.name: without_bom(_read_chart_file(file.path)) if is_needed(file.name) else None for file in files}
    return load_chart(contents, os.path.join(directory, ""), packing=packing)


def _position(file: ChartFile) -> tuple[int, list[bytes]]:
    name = file.name
    if name in _FIRST:
        group = _FIRST.index(name)
    elif name.startswith("templates/"):
        group = len(_FIRST)
    else:
        group = len(_FIRST) + (2 if name.startswith("charts/") else 1)
    return group, name.encode("utf-8", "surrogateescape").split(b"/")


def _content(file: ChartFile) -> bytes | str:
    """Return the path of a file, or its content when a byte order mark has to be removed."""
    if _read_chart_file(file.path, len(BOM)) != BOM:
        return file.path
    return without_bom(_read_chart_file(file.path))


def _read_chart_file(path: str, size: int = MAX_FILE) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(size)
    except OSError as exc:
        raise BuildError(
            f"{path} cannot be read: {exc.strerror or exc}.", "Make it readable for the user that runs the task."
        ) from None


def _annotations(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the manifest's annotations (``generateOCIAnnotations``), sorted by key."""
    sources = values.get("sources") or [""]
    found = {
        _DESCRIPTION: values.get("description") or "",
        media.ANNOTATION_TITLE: values.get("name") or "",
        media.ANNOTATION_VERSION: values.get("version") or "",
        _URL: values.get("home") or "",
        media.ANNOTATION_SOURCE: sources[0],
        _AUTHORS: ", ".join(map(_author, values.get("maintainers") or [])),
    }
    found = {key: text for key, text in found.items() if text.strip()}
    own = values.get("annotations") or {}
    found.update((key, text) for key, text in own.items() if key not in _IMMUTABLE)
    return dict(sorted(found.items()))


def _author(maintainer: Mapping[str, str]) -> str:
    email = maintainer.get("email")
    return (maintainer.get("name") or "") + (f" ({email})" if email else "")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff of a push: its tags, and the content file by file when it is a tree."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from ..._dest.diff import diff_of
from ..._dest.permissions import Permissions
from ..._dest.plan import make_plan
from ..._dest.state import PlacedEntry, State
from ..._errors import InvalidContent, NotFound, OciError
from ..._files.bounded import pieces
from ..._files.directory_handles import DirectoryHandles
from ..._files.tree import TreeEntry
from ..._oci import media
from ..._oci.manifest import Descriptor, Manifest
from ..._oci.repository import Repository, read_blob
from .build import Built

MAX_COMPARED_SIZE = 256 * 1024 * 1024
MAX_COMPARED_FILES = 50_000


def push_diff(
    repository: Repository,
    built: Built,
    manifest: Manifest,
    before: Descriptor | None,
    held: dict[str, str],
    will_hold: dict[str, str],
) -> list[dict[str, str]]:
    """Entries for ``--diff``: the tags before and after, the manifests, and the files of a packed directory or of a
    chart.

    ``manifest`` is to be published, ``before`` is the current one of the first tag that moves. ``held`` and
    ``will_hold`` are the digests of tags before and after, empty for a tag that does not exist.
    """
    remote = _fetch(repository, before.digest) if before is not None else None
    name = repository.reference.name
    result = [
        {
            "before_header": name,
            "after_header": name,
            "before": _text(held, remote),
            "after": _text(will_hold, manifest),
        }
    ]
    if built.chart:
        return result + _chart_diff(repository, built, remote)
    layer = built.layers[0]
    if layer.tree is not None and layer.directory:
        result += _content_diff(repository, layer.tree, layer.directory, remote)
    return result


def _fetch(repository: Repository, digest: str) -> Manifest | None:
    """Fetch a manifest; None when it is damaged or not a manifest: its digest is shown, and it will be replaced."""
    try:
        return repository.fetch_manifest(digest)
    except (NotFound, InvalidContent):
        return None


def _text(tags: dict[str, str], manifest: Manifest | None) -> str:
    document: dict[str, object] = {"tags": {tag: digest for tag, digest in tags.items() if digest}}
    if manifest is not None:
        document["annotations"] = dict(manifest.annotations)
        document["layers"] = [layer.as_result() for layer in manifest.layers]
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _content_diff(
    repository: Repository, tree: Mapping[str, TreeEntry], directory: str, remote: Manifest | None
) -> list[dict[str, str]]:
    """The diff of a packed directory and the first layer of the published artifact."""
    with tempfile.TemporaryDirectory(prefix="oci-artifact-") as root:
        published = _published(repository, remote.layers[:1] if remote is not None else (), root)
        return [] if published is None else _diff_of_trees(root, published, directory, tree)


def _chart_diff(repository: Repository, built: Built, remote: Manifest | None) -> list[dict[str, str]]:
    """The diff of a packaged chart and the published chart, whatever the order of their layers."""
    layers = [layer for layer in remote.layers if layer.media_type == media.HELM_LAYER] if remote is not None else []
    chart = next(layer.source for layer in built.layers if layer.source.descriptor.media_type == media.HELM_LAYER)
    with tempfile.TemporaryDirectory(prefix="oci-artifact-") as root:
        roots = [os.path.join(root, name) for name in ("before", "after")]
        for each in roots:
            os.mkdir(each)
        published = _published(repository, layers[:1], roots[0])
        with chart.open() as archive:
            tree = _unpacked_layer(pieces(archive), roots[1])
        if published is None or tree is None:
            return []
        return _diff_of_trees(roots[0], published, roots[1], tree)


def _published(repository: Repository, layers: Sequence[Descriptor], root: str) -> dict[str, TreeEntry] | None:
    """The tree of a published layer, below ``root``; None when it cannot be unpacked, and only digests are shown."""
    if not layers or layers[0].size > MAX_COMPARED_SIZE:
        return {}
    return _unpacked_layer(read_blob(repository, layers[0]), root)


def _unpacked_layer(chunks: Iterator[bytes], root: str) -> dict[str, TreeEntry] | None:
    from ..._archive.unpack import Unpacker, UnpackLimits

    unpacker = Unpacker(root, UnpackLimits(MAX_COMPARED_SIZE, MAX_COMPARED_FILES))
    try:
        writer = unpacker.layer("The layer", whiteouts=False)
        for chunk in chunks:
            writer.write(chunk)
        writer.close()
        return dict(unpacker.tree())
    except OciError:
        return None
    finally:
        unpacker.abort()


def _diff_of_trees(
    root: str, published: Mapping[str, TreeEntry], directory: str, tree: Mapping[str, TreeEntry]
) -> list[dict[str, str]]:
    state = State(files={path: PlacedEntry(entry) for path, entry in published.items()})
    before, after = DirectoryHandles.of(root), DirectoryHandles.of(directory)
    try:
        plan = make_plan(before, root, tree, state, Permissions(), force=False)
        plan.metadata = []
        entries = diff_of(plan, root, before, after)
    finally:
        before.close()
        after.close()
    for entry in entries:
        for header in ("before_header", "after_header"):
            if header in entry and entry[header].startswith(root + os.sep):
                entry[header] = entry[header][len(root) + 1 :]
    return entries

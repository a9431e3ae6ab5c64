# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacking and copying of layers into a staged tree, which is then placed in the destination."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..._archive.left_out import LeftOut
from ..._dest.drift import file_digest
from ..._errors import LayerError
from ..._files.directory_handles import DirectoryHandles
from ..._files.names import CONTROL_NAME, escaped, is_reserved
from ..._files.tree import DIRECTORY, FILE, TreeEntry
from ..._oci import media
from ..._oci.digest import digest_of_hash
from ..._oci.manifest import Descriptor, Manifest
from ..layer_selector import Limits
from ..layers import check_directory_title, file_name
from ..placement import ARCHIVE, BY_DEFAULT, BY_PATTERNS, FLUX, NOTHING, Placement, title_of

if TYPE_CHECKING:
    from ..._archive.unpack import LayerWriter
    from .layer_reader import LayerReader

# bytes of layers up to which all files are hashed, since that takes little time
MAX_ALWAYS_HASHED = 32 * 1024 * 1024
SOURCE_IGNORE = ".sourceignore"
MAX_SOURCE_IGNORE = 1024 * 1024
# bytes of a layer up to which it is read to its end although it cannot be unpacked
MAX_DRAINED = 256 * 1024 * 1024
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Staged(NamedTuple):
    """An unpacked artifact: its tree, warnings, how many entries the ignore rules exclude, these entries, which rules
    they were (``exclusions`` of :mod:`..placement`), and the modification times (ns) of files as far as they are
    known."""

    tree: dict[str, TreeEntry]
    warnings: Sequence[str]
    ignored: int
    left_out: LeftOut
    exclusions: str
    times: Mapping[str, int] = {}


def stage_extracted(
    placement: Placement,
    manifest: Manifest,
    read: LayerReader,
    root: int,
    limits: Limits,
    *,
    name: str,
    ignore: str,
    digests: bool = True,
) -> Staged:
    """Unpack layers in order into ``root``, the descriptor of an empty private directory (``name`` in messages).

    Where layers are combined, as `oras pull` and container runtimes do, whiteouts are applied, and a layer that has a
    title and is not marked for unpacking is a file of that name; one that is marked holds no whiteouts. Without
    ``digests`` unpacked files have no digest in the tree, see :func:`needs_digests`.

    :raises LayerError: when a layer is not an archive, or has entries that must not be unpacked.
    """
    from ..._archive.unpack import Unpacker, UnpackLimits, remove_paths

    unpacker = Unpacker(root, UnpackLimits(limits.max_size, limits.max_files), digests=digests, name=name)
    titled: list[tuple[str, Descriptor]] = []
    try:
        for layer in placement.layers:
            if placement.is_one_tree and is_plain_file(layer):
                titled.append((file_name(layer, manifest, ""), layer))
                continue
            if placement.is_one_tree:
                check_directory_title(layer)
            whiteouts = placement.is_one_tree and not title_of(layer)
            writer = unpacker.layer(f"The layer {layer.digest}", whiteouts=whiteouts)
            _unpack(read(layer), writer, layer)
        tree = unpacker.tree()
    finally:
        unpacker.abort()
    if titled:
        tree.update(_stage_files(titled, read, root, tree))
    warnings = []
    # most trees hold no such name anywhere, and need no look at each part of each path
    reserved = {path for path in tree if CONTROL_NAME in path and is_reserved(path)}
    if reserved:
        warnings.append(f"The artifact holds {min(reserved)!r}, which is a reserved name: it was not unpacked.")
    left_out = LeftOut()
    excluded, exclusions = excluded_entries(tree, root, ignore, left_out, placement.content)
    if excluded or reserved:
        tree = dict(remove_paths(root, tree, excluded | reserved, name))
    return Staged(tree, warnings, len(excluded), left_out, exclusions, unpacker.times())


def needs_digests(layers: Sequence[Descriptor], root: DirectoryHandles, is_strict: bool) -> bool:
    """Return True when the files are to be hashed, in addition to the layers.

    The digests show which files an update does not change, and whether a file with another time has other content.
    For a large artifact they take as long as checking its layers, and are not needed when the directory is empty: a
    file without a digest is downloaded again, once, when its time changes or contents are to be compared.
    """
    if is_strict or sum(layer.size for layer in layers) <= MAX_ALWAYS_HASHED:
        return True
    try:
        return any(not is_reserved(os.fsdecode(name)) for name in root.names(""))
    except FileNotFoundError:
        return False


def _unpack(chunks: Iterator[bytes], writer: LayerWriter, layer: Descriptor) -> None:
    try:
        for chunk in chunks:
            writer.write(chunk)
        writer.close()
    except LayerError as exc:
        # a digest mismatch is the better error: the layer is read to its end to check it
        if layer.size <= MAX_DRAINED:
            for _chunk in chunks:
                pass
        _correct_hint(exc, layer)
        raise


def _correct_hint(error: LayerError, layer: Descriptor) -> None:
    """Name the option that places a file which was taken for an archive."""
    from ..._archive.tar_reader import NotAnArchive

    if isinstance(error, NotAnArchive) and is_plain_file(layer):
        error.hint = (
            f"Its title makes it the file {title_of(layer)[:200]!r}, as which layers: all places it. "
            "Use layer_selector.operation=copy to keep the bytes under another name."
        )


def stage_copied(named: Sequence[tuple[str, Descriptor]], read: LayerReader, root: int) -> Staged:
    """Write the unaltered bytes of layers to files with the given names in an open private directory.

    :raises LayerError: when two layers have the same name.
    """
    return Staged(_stage_files(named, read, root, {}), (), 0, LeftOut(), NOTHING)


def _stage_files(
    named: Sequence[tuple[str, Descriptor]], read: LayerReader, root: int, tree: Mapping[str, TreeEntry]
) -> dict[str, TreeEntry]:
    handles = DirectoryHandles.of(root)
    try:
        return _write_files(named, read, handles, tree)
    finally:
        handles.close()


def _write_files(
    named: Sequence[tuple[str, Descriptor]], read: LayerReader, root: DirectoryHandles, tree: Mapping[str, TreeEntry]
) -> dict[str, TreeEntry]:
    placed: dict[str, TreeEntry] = {}
    for name, layer in named:
        parts = name.split("/")
        parents = ["/".join(parts[:count]) for count in range(1, len(parts))]
        found = {path: placed.get(path) or tree.get(path) for path in [*parents, name]}
        if _is_same_file(found[name], layer, root, name):
            continue
        if any(entry is not None and (path == name or entry.kind != DIRECTORY) for path, entry in found.items()):
            raise LayerError(
                f"The layer {layer.digest} is the file {name!r}, where the artifact has another entry.",
                "Choose one with 'layer_selector'.",
            )
        for path in parents:
            if found[path] is None:
                parent, base = root.locate(path)
                os.mkdir(base, 0o755, dir_fd=parent)
                placed[path] = TreeEntry(DIRECTORY, 0o755)
        parent, base = root.locate(name)
        # the bytes were checked against the layer's digest, which is the file's
        known = layer.digest if layer.digest.startswith("sha256:") else ""
        if not (known and read.move(layer, parent, base)):
            content = _write_file(parent, base, read(layer), not known)
            known = known or content
        placed[name] = TreeEntry(FILE, 0o644, layer.size, known)
    return placed


def _is_same_file(entry: TreeEntry | None, layer: Descriptor, root: DirectoryHandles, path: str) -> bool:
    """Return True when an entry is a file with the bytes of the layer: a file that was pushed twice."""
    if entry is None or entry.kind != FILE or entry.size != layer.size or not layer.digest.startswith("sha256:"):
        return False
    return layer.digest == (entry.digest or file_digest(root.open_file(path)))


def _write_file(parent: int, name: bytes, chunks: Iterator[bytes], is_hashed: bool) -> str:
    """Write a new file; return its digest if ``is_hashed``, otherwise an empty text."""
    content = hashlib.sha256()
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=parent)
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        for chunk in chunks:
            if is_hashed:
                content.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[stream.write(view) :]
    return digest_of_hash(content) if is_hashed else ""


def is_plain_file(layer: Descriptor) -> bool:
    """Return True for a layer that is a file under its title, and is not unpacked where layers make one tree."""
    return bool(title_of(layer)) and layer.annotations.get(media.ANNOTATION_ORAS_UNPACK) != "true"


def excluded_entries(
    tree: dict[str, TreeEntry], root: int, ignore: str, left_out: LeftOut, content: str
) -> tuple[set[str], str]:
    """The paths that are left out, and by which rules. Only what was made for Flux has default exclusions; a file
    ``.sourceignore`` counts there and in plain archives, which Flux takes as well."""
    rules: dict[str, str] = {}
    is_flux = content == FLUX
    if content in (FLUX, ARCHIVE):
        handles = DirectoryHandles.of(root)
        try:
            rules = _source_ignore_rules(tree, handles)
        finally:
            handles.close()
    if not (is_flux or ignore or rules):
        return set(), NOTHING
    from ..._archive.ignore import PULL_DEFAULTS, VCS_PATTERNS, excluded_paths, has_patterns

    by_user = any(map(has_patterns, (ignore, *rules.values())))
    if not (is_flux or by_user):
        return set(), NOTHING
    paths = {path: entry.kind == DIRECTORY for path, entry in tree.items()}
    defaults, always = (PULL_DEFAULTS, VCS_PATTERNS) if is_flux else ((), ())
    found = excluded_paths(paths, ignore, rules, defaults, left_out, always)
    return found, BY_PATTERNS if by_user else BY_DEFAULT


def _source_ignore_rules(tree: Mapping[str, TreeEntry], root: DirectoryHandles) -> dict[str, str]:
    """The texts of the files ``.sourceignore`` by their directories."""
    rules: dict[str, str] = {}
    for path, entry in tree.items():
        directory, _slash, name = path.rpartition("/")
        if name == SOURCE_IGNORE and entry.kind == FILE:
            if entry.size > MAX_SOURCE_IGNORE:
                raise LayerError(f"{escaped(path)} in the artifact has {entry.size} bytes, too many for ignore rules.")
            with os.fdopen(root.open_file(path), encoding="utf-8", errors="surrogateescape") as stream:
                rules[directory] = stream.read()
    return rules

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree that layers are unpacked into: what it holds so far, in memory, and its files and directories on disk.

Nobody else writes to that directory, so that the memory is the truth: nothing has to be looked up on disk. Symbolic
links are created when all is written; until then there is none on disk that could be followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from typing import NamedTuple, Union

from .._errors import LayerError
from .._files.directory_handles import AnyDirectory, DirectoryHandles
from .._files.names import encoded
from .._files.tree import DIRECTORY, FILE, Tree, TreeEntry
from .tree_fs import disk_error, escaping_link

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK_HINT = "Have its publisher pack links that stay inside the artifact, or the files themselves."


class Leaf(NamedTuple):
    """A file or a symbolic link, the number of the layer that it came with, and a file's modification time (ns)."""

    entry: TreeEntry
    layer: int
    mtime: int = 0


class Directory:
    """A directory. No entry below it comes from a layer under number ``clean``."""

    __slots__ = ("children", "clean", "layer", "mode", "path")

    def __init__(self, path: str, mode: int, layer: int) -> None:
        self.children: dict[str, Node] = {}
        self.clean = layer
        self.layer = layer
        self.mode = mode
        self.path = path

    def below(self, name: str) -> str:
        """The path of an entry of this directory."""
        return f"{self.path}/{name}" if self.path else name


Node = Union[Leaf, Directory]


class StagedTree:
    """See above. Any method may raise OSError; paths are checked by the caller (:func:`~._files.names.split_path`)."""

    def __init__(self, root: AnyDirectory) -> None:
        self.top = Directory("", 0o755, 0)
        self._handles = DirectoryHandles.of(root)

    def close(self) -> None:
        """Release all descriptors. May be called twice."""
        self._handles.close()

    def find(self, parts: list[str]) -> Node | None:
        """Return the entry at a path; None if there is none, or if a file or link is in the way."""
        node: Node = self.top
        for part in parts:
            found = node.children.get(part) if isinstance(node, Directory) else None
            if found is None:
                return None
            node = found
        return node

    def make_directory(self, parent: Directory, name: str, mode: int, layer: int) -> Directory:
        """Create a directory where nothing is."""
        os.mkdir(encoded(name), 0o700, dir_fd=self._handles.get(parent.path))
        node = parent.children[name] = Directory(parent.below(name), mode, layer)
        self.set_mode(node, mode)
        return node

    def set_mode(self, directory: Directory, mode: int) -> None:
        """Set permission bits, whatever the umask is."""
        os.fchmod(self._handles.get(directory.path), mode)
        directory.mode = mode

    def create_file(self, parent: Directory, name: str, mode: int) -> int:
        """Create a file, replacing any entry of that name, and open it; its entry is set when it is complete.

        It may lack some bits of the mode until then, see :func:`completed`.
        """
        if name in parent.children:
            self.clear(parent, name)
        return os.open(encoded(name), _CREATE, mode, dir_fd=self._handles.get(parent.path))

    def open_file(self, parts: list[str]) -> int:
        """Open a file for reading."""
        return os.open(encoded(parts[-1]), _READ, dir_fd=self._handles.get("/".join(parts[:-1])))

    def clear(self, parent: Directory, name: str) -> None:
        """Remove the entry of that name, if there is one."""
        node = parent.children.pop(name, None)
        if isinstance(node, Directory):
            for child in list(node.children):
                self.clear(node, child)
            self._handles.forget(node.path)
            os.rmdir(encoded(name), dir_fd=self._handles.get(parent.path))
        elif node is not None and node.entry.kind == FILE:
            os.unlink(encoded(name), dir_fd=self._handles.get(parent.path))

    def hide(self, parent: Directory, name: str, layer: int) -> None:
        """Remove what layers under ``layer`` have at a name. What the layer itself has there stays."""
        node = parent.children.get(name)
        if isinstance(node, Directory):
            self.hide_below(node, layer)
            # An older directory stays where the layer has put something into it.
            if node.children:
                return
        if node is not None and node.layer < layer:
            self.clear(parent, name)

    def hide_below(self, directory: Directory, layer: int) -> None:
        """Remove what layers under ``layer`` have below a directory."""
        # Once is enough, since what comes later is the layer's own; and a hostile layer may ask a million times.
        if directory.clean < layer:
            directory.clean = layer
            for name in list(directory.children):
                self.hide(directory, name, layer)

    def entries(self) -> Iterator[tuple[str, TreeEntry, int]]:
        """All paths with their entries and, of files, their modification times (ns); in no particular order."""
        pending = [self.top]
        while pending:
            directory = pending.pop()
            start = directory.below("")
            for name, node in directory.children.items():
                if isinstance(node, Directory):
                    yield node.path, TreeEntry(DIRECTORY, node.mode), 0
                    pending.append(node)
                else:
                    yield start + name, node.entry, node.mtime

    def create_link(self, path: str, target: str) -> None:
        """Create a symbolic link on disk. Nothing may be written any more after the first one."""
        above, _slash, name = path.rpartition("/")
        os.symlink(encoded(target), encoded(name), dir_fd=self._handles.get(above))


def completed(descriptor: int, mode: int) -> int:
    """Give an open file, to which nothing more is written, its mode; return its modification time (ns).

    The mode that it was created with is what umask and the access control list of its directory left of it.
    """
    status = os.fstat(descriptor)
    if stat.S_IMODE(status.st_mode) != mode:
        os.fchmod(descriptor, mode)
    return status.st_mtime_ns


def link_error(what: str, path: str, target: str) -> LayerError:
    """The error for a symbolic link that leads out of the tree."""
    return LayerError(
        f"{what} cannot be unpacked: its symbolic link {path[:200]!r} leads to {target[:200]!r}, outside the artifact.",
        _LINK_HINT,
    )


def remove_paths(root: AnyDirectory, tree: Tree, excluded: Collection[str], name: str = "") -> dict[str, TreeEntry]:
    """Delete entries of an unpacked tree, directories with all below them; what remains.

    ``tree`` is what was unpacked into ``root``, and nobody else writes there. Names that it does not hold are ignored.
    Directories stay although all their entries went. ``name`` is what messages call the root.

    :raises LayerError: when a symbolic link would lead out of what remains.
    :raises StorageError: when the file system refuses.
    """
    doomed: set[str] = set()
    for path in sorted(tree):
        if path in excluded or path.rpartition("/")[0] in doomed:
            doomed.add(path)
    if not doomed:
        return dict(tree)
    remaining = {path: entry for path, entry in tree.items() if path not in doomed}
    link = escaping_link(remaining)
    if link is not None:
        raise link_error("The artifact without what the ignore rules exclude", link, tree[link].target)
    path = ""
    try:
        handles = DirectoryHandles.of(root)
        try:
            for path in sorted(doomed, reverse=True):
                above, _slash, name = path.rpartition("/")
                if tree[path].kind == DIRECTORY:
                    handles.forget(path)
                    os.rmdir(encoded(name), dir_fd=handles.get(above))
                else:
                    os.unlink(encoded(name), dir_fd=handles.get(above))
        finally:
            handles.close()
    except OSError as exc:
        raise disk_error(f"remove the ignored {path!r} from {name or root}", exc) from None
    return remaining

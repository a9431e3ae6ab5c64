# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers unpacked into a staging directory, in one pass and without trusting a byte of them.

Three things keep every write inside the root: names are split and checked before use; directories are opened from
their parents by descriptor, never through a link; and symbolic links come to exist after the last file was written.

Source of the whiteout rules: image-spec, layer.md, "Whiteouts" and "Opaque Whiteout".
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from .._errors import LayerError, StorageError
from .._files.directory_handles import AnyDirectory
from .._files.names import MAX_NAME, MAX_PATH, encoded, is_top, split_path
from .._files.tree import DIRECTORY, FILE, SYMLINK, TreeEntry
from .._oci.digest import digest_of_hash
from .._oci.pipeline import BackgroundWorker
from .decompress import Decompressor
from .staged_tree import Directory, Leaf, StagedTree, completed, link_error, remove_paths
from .tar_reader import HARDLINK, TarReader
from .tree_fs import disk_error, escaping_link, leaves_lexically

__all__ = ["LayerWriter", "UnpackLimits", "Unpacker", "remove_paths"]

_WHITEOUT = ".wh."
_WHITEOUT_META = ".wh..wh."
_OPAQUE = ".wh..wh..opq"

_IMPLICIT_MODE = 0o755
_COPY_SIZE = 1 << 20
# Bytes of pax headers, and of padding behind the archive, that any archive may have. They are nobody's content, but
# may not be endless either.
_OVERHEAD = 1 << 20

_TRUST_HINT = "Do not use this artifact unless you know why its publisher packed it like that."
_LIMIT_HINT = "Raise the limit if that is to be expected."


@dataclass(frozen=True)
class UnpackLimits:
    """The limits for the content of one artifact, over all its layers.

    ``max_size``: bytes of content, copies made for hard links and content that later entries replace included.
    ``max_files``: entries of any kind, pax headers and skipped entries included.
    """

    max_size: int
    max_files: int


class _Account:
    """The amounts unpacked so far. Every amount is taken before its bytes are written."""

    def __init__(self, limits: UnpackLimits) -> None:
        self._limits = limits
        self._files = self._size = self._overhead = 0

    def take(self, what: str, files: int = 0, size: int = 0, overhead: int = 0) -> None:
        """:raises LayerError: when it is more than allowed."""
        self._files += files
        self._size += size
        self._overhead += overhead
        limits = self._limits
        if self._files > limits.max_files:
            raise LayerError(f"{what} holds more than {limits.max_files} entries (max_files).", _LIMIT_HINT)
        if self._size > limits.max_size or self._overhead > limits.max_size + _OVERHEAD:
            raise LayerError(f"{what} unpacks to more than {limits.max_size} bytes (max_size).", _LIMIT_HINT)


class Unpacker:
    """Unpacks layers, in order, into ``root``: an existing empty directory where nobody else writes.

    Without ``digests`` no file is hashed and each entry's digest is "". Owners and times are not applied. Permission
    bits are, without setuid, setgid and sticky: files with 0o600 added, directories with 0o700.

    After an error, and when the result is not wanted any longer, :meth:`abort` releases the descriptors; what was
    written is the caller's to remove.
    """

    def __init__(
        self,
        root: AnyDirectory,
        limits: UnpackLimits,
        digests: bool = True,
        name: str = "",
    ) -> None:
        """``name`` is what messages call the root.

        :raises StorageError: when the root cannot be opened.
        """
        self._root = name or str(root)
        self._account = _Account(limits)
        self._digests = digests
        self._layers: list[str] = []
        self._entries: _Entries | None = None
        self._writer: LayerWriter | None = None
        self._complete: dict[str, TreeEntry] | None = None
        self._times: dict[str, int] = {}
        try:
            self._tree = StagedTree(root)
        except OSError as exc:
            raise disk_error(f"open {self._root} to unpack into it", exc) from None

    def layer(self, what: str, whiteouts: bool) -> LayerWriter:
        """A writer for the next layer; the one before has to be closed. ``what`` names the layer in errors.

        With ``whiteouts``, ``.wh.`` files remove what lower layers put there; without, they are files like any other.
        """
        self._check_closed()
        self._layers.append(what)
        self._entries = _Entries(self._tree, self._account, what, len(self._layers), whiteouts, self._digests)
        self._writer = LayerWriter(self._entries, what, self._root)
        return self._writer

    def tree(self) -> dict[str, TreeEntry]:
        """Create the symbolic links, and return all entries of the directory, in no particular order.

        :raises LayerError: when a symbolic link leads out of the root.
        :raises StorageError: when a link cannot be created.
        """
        self._check_closed()
        if self._complete is None:
            tree: dict[str, TreeEntry] = {}
            for path, entry, mtime in self._tree.entries():
                tree[path] = entry
                if mtime:
                    self._times[path] = mtime
            escaping = escaping_link(tree)
            if escaping is not None:
                leaf = self._tree.find(escaping.split("/"))
                layer = self._layers[leaf.layer - 1] if leaf is not None else self._layers[-1]
                raise link_error(layer, escaping, tree[escaping].target)
            for path, entry in tree.items():
                if entry.kind == SYMLINK:
                    try:
                        self._tree.create_link(path, entry.target)
                    except OSError as exc:
                        raise disk_error(f"create the symbolic link {path!r} in {self._root}", exc) from None
            self.abort()
            self._complete = tree
        return dict(self._complete)

    def times(self) -> dict[str, int]:
        """The modification times (ns) of the files that :meth:`tree` returned."""
        return self._times

    def _check_closed(self) -> None:
        if self._entries is not None and not self._entries.closed:
            raise RuntimeError("the layer before failed, or was not closed")

    def abort(self) -> None:
        """Release all descriptors. May be called at any time, and more than once."""
        if self._writer is not None:
            self._writer.stop()
        if self._entries is not None:
            self._entries.release()
        self._tree.close()


class LayerWriter:
    """Takes the bytes of one layer, compressed or not, in order and in pieces of any length."""

    def __init__(self, entries: _Entries, what: str, root: str) -> None:
        self._entries = entries
        self._reader = TarReader(entries, what, entries.file)
        # what is decompressed is written while the next piece is
        self._writing = BackgroundWorker(self._reader.feed)
        self._decompressor = Decompressor(self._writing.put, what)
        self._what = what
        self._root = root

    def write(self, chunk: bytes | memoryview) -> None:
        """Unpack the next bytes, which must not change afterwards: some may be written later, by another thread.

        :raises LayerError: when the archive is damaged, hostile, larger than allowed or of an unsupported kind.
        :raises StorageError: when the file system refuses.
        :raises MissingDependency: when the layer is zstd and nothing on this host reads it.
        """
        try:
            self._decompressor.write(chunk)
        except OSError as exc:
            raise self._failed(exc) from None

    def close(self) -> None:
        """Declare the end of the layer.

        :raises LayerError: when it is truncated, and as :meth:`write` does.
        :raises StorageError: when the file system refuses.
        :raises MissingDependency: as :meth:`write` does.
        """
        try:
            self._decompressor.close()
            self._writing.close()
            self._reader.close()
        except OSError as exc:
            raise self._failed(exc) from None
        self._entries.closed = True

    def stop(self) -> None:
        """Drop what was taken and is not written yet. May be called at any time, and more than once."""
        self._writing.stop()

    def _failed(self, error: OSError) -> StorageError:
        return disk_error(f"unpack the entry {self._entries.name[:200]!r} of {self._what} into {self._root}", error)


class _Entries:
    """Applies the entries of one layer to the tree as they come. ``name`` is the name of the current entry."""

    def __init__(
        self,
        tree: StagedTree,
        account: _Account,
        what: str,
        number: int,
        whiteouts: bool,
        digests: bool,
    ) -> None:
        self.name = ""
        self.closed = False
        self._tree = tree
        self._account = account
        self._what = what
        self._number = number
        self._whiteouts = whiteouts
        # Entries come directory by directory: the last one's parent, under its name in the archive.
        self._head: str | None = None
        self._parent = tree.top
        self._file = -1
        self._base = ""
        self._mode = self._size = 0
        # A copy of a fresh hash is made faster than another one, which counts for small files.
        self._fresh = hashlib.sha256() if digests else None
        self._hash = self._fresh

    def release(self) -> None:
        """Close the file that is being written, if one is."""
        if self._file >= 0:
            descriptor, self._file = self._file, -1
            os.close(descriptor)

    def record(self, size: int) -> None:
        self._account.take(self._what, files=1, overhead=size)

    def trailing(self, count: int) -> None:
        self._account.take(self._what, overhead=count)

    def entry(self, kind: str, name: str, size: int, mode: int, target: str) -> None:
        self.name = name
        if size:
            self._account.take(self._what, size=size)
        head, _slash, base = name.rpartition("/")
        # A short name in the same directory as the last one needs no further checks. A character has up to four bytes.
        if head != self._head or base in ("", ".", "..") or len(base) > MAX_NAME // 4 or len(name) > MAX_PATH // 4:
            # the top is there already, and its mode is not the archive's to say
            if kind == DIRECTORY and is_top(name):
                return
            parts = self._split(name)
            if not parts:
                raise self._refuse("has no name")
            if self._whiteouts and parts[-1].startswith(_WHITEOUT):
                self._whiteout(parts)
                return
            # Not for the top: "/a", which is refused, has the same head as "a".
            self._head = head if base == parts[-1] and len(parts) > 1 else None
            base = parts.pop()
            self._enter(parts)
        elif self._whiteouts and base.startswith(_WHITEOUT):
            self._whiteout(self._split(name))
            return
        if kind == FILE:
            self._create(base, (mode & 0o777) | 0o600, size)
        elif kind == DIRECTORY:
            self._directory(base, (mode & 0o777) | 0o700)
        elif kind == HARDLINK:
            self._hard_link(base, target)
        else:
            self._symbolic_link(base, target)

    def file(self, name: str, size: int, mode: int, content: memoryview) -> None:
        """Take a whole file: what :meth:`record`, :meth:`entry`, :meth:`data` and :meth:`finish` do, in fewer steps.

        ``name`` comes from a field that is shorter than any limit of names.
        """
        head, _slash, base = name.rpartition("/")
        parent = self._parent
        if (
            head != self._head
            or base in parent.children
            or base in (".", "..")
            or (self._whiteouts and base.startswith(_WHITEOUT))
        ):
            self.record(0)
            self.entry(FILE, name, size, mode, "")
            if size:
                self.data(content)
            self.finish()
            return
        self.name = name
        self._account.take(self._what, files=1, size=size)
        digest = ""
        if self._fresh is not None:
            hashed = self._fresh.copy()
            hashed.update(content)
            digest = f"sha256:{hashed.hexdigest()}"
        mode = (mode & 0o777) | 0o600
        descriptor = self._tree.create_file(parent, base, mode)
        try:
            if size:
                _write_all(descriptor, content)
            mtime = completed(descriptor, mode)
        finally:
            os.close(descriptor)
        parent.children[base] = Leaf(TreeEntry(FILE, mode, size, digest), self._number, mtime)

    def data(self, view: memoryview) -> None:
        # Whiteouts have no file.
        if self._file < 0:
            return
        _write_all(self._file, view)
        if self._hash is not None:
            self._hash.update(view)

    def finish(self) -> None:
        if self._file < 0:
            return
        try:
            mtime = completed(self._file, self._mode)
        finally:
            self.release()
        digest = digest_of_hash(self._hash) if self._hash is not None else ""
        self._parent.children[self._base] = Leaf(TreeEntry(FILE, self._mode, self._size, digest), self._number, mtime)

    def _refuse(self, problem: str) -> LayerError:
        return LayerError(f"{self._what} cannot be unpacked: its entry {self.name[:200]!r} {problem}.", _TRUST_HINT)

    def _split(self, name: str, relation: str = "has a name that") -> list[str]:
        try:
            return split_path(name)
        except ValueError as exc:
            raise self._refuse(f"{relation} {exc}") from None

    def _enter(self, parts: list[str]) -> None:
        """Make a directory the parent of the entries that follow; create it where it is missing."""
        node = self._tree.top
        for part in parts:
            child = node.children.get(part)
            if child is None:
                child = self._tree.make_directory(node, part, _IMPLICIT_MODE, self._number)
            elif isinstance(child, Leaf):
                raise self._through(node.below(part), child)
            node = child
        self._parent = node

    def _through(self, path: str, leaf: Leaf) -> LayerError:
        kind = "a symbolic link" if leaf.entry.kind == SYMLINK else "a file"
        return self._refuse(f"goes through {path[:200]!r}, which is {kind}")

    def _create(self, base: str, mode: int, size: int) -> None:
        self._file = self._tree.create_file(self._parent, base, mode)
        self._base, self._mode, self._size = base, mode, size
        if self._fresh is not None:
            self._hash = self._fresh.copy()

    def _directory(self, base: str, mode: int) -> None:
        node = self._parent.children.get(base)
        if isinstance(node, Directory):
            self._tree.set_mode(node, mode)
            node.layer = self._number
        else:
            self._tree.clear(self._parent, base)
            self._tree.make_directory(self._parent, base, mode, self._number)

    def _symbolic_link(self, base: str, target: str) -> None:
        path = self._parent.below(base)
        if not target or len(encoded(target)) >= MAX_PATH:
            raise self._refuse(f"is a symbolic link to {target[:200]!r}, which no system could follow")
        if leaves_lexically(path, target):
            raise link_error(self._what, path, target)
        self._tree.clear(self._parent, base)
        self._parent.children[base] = Leaf(TreeEntry(SYMLINK, 0o777, target=target), self._number)

    def _hard_link(self, base: str, target: str) -> None:
        parts = self._split(target, "is a hard link to a name that")
        leaf = self._tree.find(parts)
        if not isinstance(leaf, Leaf) or leaf.entry.kind != FILE:
            raise self._refuse(f"is a hard link to {target[:200]!r}, which is not a file that was unpacked before it")
        size = leaf.entry.size
        self._account.take(self._what, size=size)
        if self._parent.children.get(base) is leaf:
            return
        source = self._tree.open_file(parts)
        try:
            self._create(base, leaf.entry.mode, size)
            piece = os.read(source, _COPY_SIZE)
            while piece:
                self.data(memoryview(piece))
                piece = os.read(source, _COPY_SIZE)
        finally:
            os.close(source)
        self.finish()

    def _whiteout(self, parts: list[str]) -> None:
        base = parts.pop()
        node = self._tree.top
        for part in parts:
            child = node.children.get(part)
            if child is None:
                return
            if isinstance(child, Leaf):
                raise self._through(node.below(part), child)
            node = child
        # Hiding may remove the directory that the last entry went to.
        self._head = None
        if base == _OPAQUE:
            self._tree.hide_below(node, self._number)
        elif not base.startswith(_WHITEOUT_META):
            name = base[len(_WHITEOUT) :]
            if name in ("", ".", ".."):
                raise self._refuse("is a whiteout of no name")
            self._tree.hide(node, name, self._number)


def _write_all(descriptor: int, view: memoryview) -> None:
    written = os.write(descriptor, view)
    while written < len(view):
        written += os.write(descriptor, view[written:])

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories and files packed into reproducible archives.

The same content gives the same uncompressed bytes on any host, whatever the checkout, the umask, the clock or the
Python version, and the same compressed bytes with any zlib that deflates alike.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Callable, Union

from .._errors import BuildError
from .._files.directory_handles import DirectoryHandles
from .._files.names import MAX_PATH, encoded, escaped, split_path
from .._files.tree import DIRECTORY, FILE, SYMLINK, TreeEntry
from .tree_fs import escaping_link
from .writer import ArchiveWriter, PackResult

__all__ = ["PackResult", "pack_file", "pack_members", "pack_tree"]

_SPECIAL = "special"
_MODE = 0o644
_EXECUTABLE_MODE = 0o755
# Without blocking: a fifo may have taken the place of a file.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_READ_SIZE = 256 << 10

# Name, content or the path of the file that has it, permission bits.
Member = tuple[str, Union[bytes, str], int]


def pack_tree(
    source: str,
    output: BinaryIO,
    *,
    excluded: Callable[[dict[str, bool]], set[str]] | None,
    prefix: str = "",
) -> PackResult:
    """Pack a directory as tar+gzip, in one pass and with bounded memory.

    Entries are sorted by the bytes of their paths, which need not be UTF-8. Files have mode 0644, or 0755 when their
    owner may execute them, directories 0755. Hard links are packed as files of their own, symbolic links as links.

    ``excluded`` is called once with all paths of the tree (True for directories) and returns those to leave out;
    a directory stands for all below it. ``prefix`` is a directory of the archive to put everything in.

    :raises BuildError: when something is unreadable, changes its size while it is read, is no file, directory or
        link, has a name that cannot be unpacked, or is a link that leads out of ``source``.
    :raises StorageError: when the output cannot be written.
    """
    top = "/".join(_checked(prefix)) if prefix else ""
    try:
        handles = DirectoryHandles.of(source)
    except OSError as exc:
        raise _unreadable(source, exc) from None
    try:
        tree = _Source(source, handles)
        tree.exclude(excluded)
        tree.check(top)
        writer = ArchiveWriter(output)
        for path in tree.paths():
            name = f"{top}/{path}" if top else path
            kind = tree.kinds[path]
            if kind == SYMLINK:
                writer.symlink(name, tree.links[path])
            elif kind == FILE:
                above, _slash, base = path.rpartition("/")
                try:
                    descriptor = os.open(encoded(base), _READ | os.O_NOFOLLOW, dir_fd=handles.get(above))
                except OSError as exc:
                    raise _unreadable(os.path.join(source, path), exc) from None
                _pack_open_file(writer, name, descriptor, os.path.join(source, path))
            else:
                writer.directory(name)
        return writer.close()
    finally:
        handles.close()


def pack_file(path: str, output: BinaryIO, name: str) -> PackResult:
    """Pack one file as tar+gzip under a name of its own. A symbolic link is followed.

    :raises BuildError: as :func:`pack_tree` does.
    :raises StorageError: when the output cannot be written.
    """
    checked = "/".join(_checked(name))
    writer = ArchiveWriter(output)
    _pack_open_file(writer, checked, _open(path), path)
    return writer.close()


def pack_members(members: Sequence[Member], output: BinaryIO) -> PackResult:
    """Pack files in the order given, each (name, content or path of the file to read, permission bits).

    :raises BuildError: as :func:`pack_tree` does, and when a name comes twice.
    :raises StorageError: when the output cannot be written.
    """
    writer = ArchiveWriter(output)
    for name, content, mode in members:
        checked = "/".join(_checked(name))
        if isinstance(content, bytes):
            writer.file(checked, mode & 0o777, len(content), (content,))
        else:
            _pack_open_file(writer, checked, _open(content), content, mode & 0o777)
    return writer.close()


class _Source:
    """The entries of a directory, and those of them that are to be packed."""

    def __init__(self, root: str, handles: DirectoryHandles) -> None:
        self.kinds: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self._root = root
        self._handles = handles
        self._failures: dict[str, OSError] = {}
        pending = [""]
        while pending:
            directory = pending.pop()
            for name, kind in self._scan(directory):
                path = f"{directory}/{name}" if directory else name
                self.kinds[path] = kind
                if kind == DIRECTORY:
                    pending.append(path)

    def _scan(self, directory: str) -> list[tuple[str, str]]:
        try:
            with os.scandir(self._handles.get(directory)) as entries:
                return [(_utf8(entry.name), _kind(entry)) for entry in entries]
        except OSError as exc:
            # It may be excluded, and then does not matter.
            self._failures[directory] = exc
            return []

    def exclude(self, excluded: Callable[[dict[str, bool]], set[str]] | None) -> None:
        """Drop the entries that are excluded."""
        if excluded is None:
            return
        found = excluded({path: kind == DIRECTORY for path, kind in self.kinds.items()})
        doomed: set[str] = set()
        # Parents come first: the walk found them first.
        for path in self.kinds:
            if path in found or path.rpartition("/")[0] in doomed:
                doomed.add(path)
        for path in doomed:
            del self.kinds[path]
            self._failures.pop(path, None)

    def check(self, prefix: str) -> None:
        """Read the links.

        :raises BuildError: for the first path that cannot be packed.
        """
        for path, failure in self._failures.items():
            raise _unreadable(os.path.join(self._root, path), failure)
        for path, kind in self.kinds.items():
            _split(f"{prefix}/{path}" if prefix else path)
            if kind == _SPECIAL:
                raise BuildError(
                    f"{self._full(path)} is a device, fifo or socket: only files, directories and links are packed.",
                    "Exclude it with ignore.",
                )
            if kind == SYMLINK:
                self.links[path] = self._target(path)
        if not self.links:
            return
        tree = {path: TreeEntry(kind, 0, target=self.links.get(path, "")) for path, kind in self.kinds.items()}
        escaping = escaping_link(tree)
        if escaping is not None:
            raise BuildError(
                f"{self._full(escaping)} is a symbolic link to {self.links[escaping]!r}, outside of {self._root}.",
                "Use a relative link that stays inside, or exclude it with ignore.",
            )

    def _target(self, path: str) -> str:
        above, _slash, name = path.rpartition("/")
        try:
            target = _utf8(os.readlink(encoded(name), dir_fd=self._handles.get(above)))
        except OSError as exc:
            raise _unreadable(self._full(path), exc) from None
        if len(encoded(target)) >= MAX_PATH:
            raise BuildError(f"{self._full(path)} is a symbolic link to {target[:200]!r}, which cannot be packed.")
        return target

    def _full(self, path: str) -> str:
        """The path for messages."""
        return escaped(os.path.join(self._root, path))

    def paths(self) -> list[str]:
        """Return the entries that are left, in the order of the archive."""
        return sorted(self.kinds, key=encoded)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return SYMLINK
    if entry.is_dir(follow_symlinks=False):
        return DIRECTORY
    return FILE if entry.is_file(follow_symlinks=False) else _SPECIAL


def _utf8(name: str | bytes) -> str:
    """A name from the system as UTF-8, whatever the locale."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _is_utf8(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def _split(name: str) -> list[str]:
    """The components of a name in the archive.

    :raises BuildError: when it could not be unpacked again.
    """
    try:
        return split_path(name)
    except ValueError as exc:
        raise BuildError(f"{name[:200]!r} cannot be packed: the name {exc}.") from None


def _checked(name: str) -> list[str]:
    """The components of a name that is text, as those of charts and of layers are.

    :raises BuildError: when it could not be unpacked again.
    """
    parts = _split(name)
    if not parts or not _is_utf8(name):
        raise BuildError(f"{name[:200]!r} cannot be packed: the name is {'not UTF-8' if parts else 'empty'}.")
    return parts


def _unreadable(path: str, error: OSError) -> BuildError:
    return BuildError(
        f"{escaped(path)} cannot be read: {error.strerror or error}.",
        "Make it readable for the user that runs the task.",
    )


def _open(path: str) -> int:
    try:
        return os.open(path, _READ)
    except OSError as exc:
        raise _unreadable(path, exc) from None


def _pack_open_file(writer: ArchiveWriter, name: str, descriptor: int, path: str, mode: int | None = None) -> None:
    """Pack a file and close it. The mode is told from the execute bit unless it is given."""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BuildError(f"{path} is not a file.")
        if mode is None:
            mode = _EXECUTABLE_MODE if status.st_mode & stat.S_IXUSR else _MODE
        writer.file(name, mode, status.st_size, _pieces(descriptor, path))
    finally:
        os.close(descriptor)


def _pieces(descriptor: int, path: str) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(descriptor, _READ_SIZE)
        except OSError as exc:
            raise _unreadable(path, exc) from None
        if not piece:
            return
        yield piece

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of one side of a comparison: those of the layers that were fetched, or those of a directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from ..._archive.left_out import LeftOut
from ..._dest.drift import file_digest
from ..._errors import BuildError, StorageError
from ..._files.bounded import expanded
from ..._files.directory_handles import DirectoryHandles
from ..._files.names import MAX_DEPTH, decoded, escaped, is_reserved, shown
from ..._files.regular_file import storage_error
from ..._files.tree import DIRECTORY, FILE, SYMLINK, TreeEntry
from ..._files.trusted_path import open_trusted
from ..layer_selector import Limits
from ..placement import CHART
from ..pull.staging import excluded_entries

# neither file, directory nor symbolic link
SPECIAL = "special"
CHART_FILE = "Chart.yaml"
HELMIGNORE = ".helmignore"
# bytes of a .helmignore
MAX_HELMIGNORE = 1024 * 1024


class Content:
    """A tree and the files of it, which are read through ``handles`` and never through a symbolic link.

    ``top`` is the directory of the chart in it when paths are relative to that, else empty. ``name`` is the side in
    messages and headers.
    """

    def __init__(self, tree: Mapping[str, TreeEntry], handles: DirectoryHandles, name: str) -> None:
        self.tree = dict(tree)
        self.name = name
        self.top = ""
        self._handles = handles

    def below(self, top: str) -> None:
        """Make paths relative to a directory of the tree, which holds all of it."""
        start = f"{top}/"
        self.tree = {path[len(start) :]: entry for path, entry in self.tree.items() if path.startswith(start)}
        self.top = top

    def place(self, path: str) -> str:
        """The path below ``handles``."""
        return f"{self.top}/{path}" if self.top else path

    def read(self, path: str, limit: int) -> bytes:
        """The first ``limit`` bytes of a file.

        :raises StorageError: when it cannot be read.
        """
        try:
            with os.fdopen(self._handles.open_file(self.place(path)), "rb") as stream:
                return stream.read(limit)
        except OSError as exc:
            raise storage_error("read", f"{escaped(path)} of {self.name}", exc) from None

    def has_bytes(self, path: str) -> bool:
        """Return False for a file of which only size and digest are known, since its layer was not fetched."""
        try:
            self._handles.lstat(self.place(path))
        except OSError:
            return False
        return True

    def digest(self, path: str) -> str:
        """The digest of a file, computed when it is not known.

        :raises StorageError: when it cannot be read.
        """
        entry = self.tree[path]
        if not entry.digest:
            try:
                entry = entry._replace(digest=file_digest(self._handles.open_file(self.place(path))))
            except OSError as exc:
                raise storage_error("read", f"{escaped(path)} of {self.name}", exc) from None
            self.tree[path] = entry
        return entry.digest

    @property
    def chart_directory(self) -> str | None:
        """The directory of the chart that the tree is: empty for the tree itself; None when it is no chart."""
        if CHART_FILE in self.tree:
            return ""
        tops = {path.partition("/")[0] for path in self.tree}
        top = tops.pop() if len(tops) == 1 else ""
        return top if top and f"{top}/{CHART_FILE}" in self.tree else None


def open_directory(path: str, limits: Limits, ignore: str, content: str) -> tuple[DirectoryHandles, Content]:
    """The content of a directory, without the records of pulls and without what a pull of the other side, an artifact
    of the kind ``content``, would leave out; of a chart that is what its ``.helmignore`` leaves out.

    :return: the open directory, which the caller closes, and its content.
    :raises StorageError: when it cannot be read, others could replace it, or it holds more than ``limits`` allow.
    """
    full = os.path.abspath(expanded(path))
    try:
        handles = DirectoryHandles(open_trusted(full, may_be_others=True))
    except OSError as exc:
        raise storage_error("read the directory", shown(full), exc) from None
    try:
        tree = _walk(handles, limits, shown(full))
        doomed, _exclusions = excluded_entries(tree, handles.get(""), ignore, LeftOut(), content)
        if content == CHART:
            doomed |= _helm_ignores(tree, handles, shown(full))
        for gone in sorted(doomed):
            tree.pop(gone, None)
        kept = {name: entry for name, entry in tree.items() if not _is_below(name, doomed)}
        return handles, Content(kept, handles, shown(full))
    except BaseException:
        handles.close()
        raise


def _walk(handles: DirectoryHandles, limits: Limits, name: str) -> dict[str, TreeEntry]:
    tree: dict[str, TreeEntry] = {}
    size, pending = 0, [""]
    while pending:
        directory = pending.pop()
        try:
            for raw in handles.names(directory):
                path = f"{directory}/{decoded(raw)}" if directory else decoded(raw)
                if is_reserved(path):
                    continue
                entry = tree[path] = _entry(handles, path)
                size += entry.size
                if entry.kind == DIRECTORY:
                    pending.append(path)
                if len(tree) > limits.max_files:
                    raise _too_much(name, f"{limits.max_files} entries", "max_files")
                if size > limits.max_size:
                    raise _too_much(name, f"{limits.max_size} bytes of files", "max_size")
                if path.count("/") >= MAX_DEPTH:
                    raise StorageError(f"{name} is more than {MAX_DEPTH} directories deep, which no artifact can be.")
        except OSError as exc:
            raise storage_error("read", os.path.join(name, escaped(directory)), exc) from None
    return tree


def _entry(handles: DirectoryHandles, path: str) -> TreeEntry:
    status = handles.lstat(path)
    mode = stat.S_IMODE(status.st_mode) & 0o777
    if stat.S_ISREG(status.st_mode):
        return TreeEntry(FILE, mode, status.st_size)
    if stat.S_ISLNK(status.st_mode):
        return TreeEntry(SYMLINK, mode, target=decoded(handles.readlink(path)))
    return TreeEntry(DIRECTORY if stat.S_ISDIR(status.st_mode) else SPECIAL, mode)


def _too_much(name: str, most: str, option: str) -> StorageError:
    return StorageError(f"{name} holds more than {most} ({option}).", "Name a smaller directory, or raise the limit.")


def _helm_ignores(tree: Mapping[str, TreeEntry], handles: DirectoryHandles, name: str) -> set[str]:
    """The paths that ``helm package`` would leave out of a chart's directory."""
    from ..._helm.helmignore import HelmIgnore

    if CHART_FILE not in tree:
        return set()  # what was unpacked from a chart: nothing is left out of it any more
    data = b""
    entry = tree.get(HELMIGNORE)
    if entry is not None and entry.kind == FILE:
        data = Content(tree, handles, name).read(HELMIGNORE, MAX_HELMIGNORE)
    try:
        rules = HelmIgnore(data, f"{name}/{HELMIGNORE}")
    except BuildError as exc:
        raise StorageError(exc.message, exc.hint) from None
    return {path for path, each in tree.items() if rules.ignores(path, each.kind == DIRECTORY)}


def _is_below(path: str, directories: set[str]) -> bool:
    above = path.rpartition("/")[0]
    while above:
        if above in directories:
            return True
        above = above.rpartition("/")[0]
    return False

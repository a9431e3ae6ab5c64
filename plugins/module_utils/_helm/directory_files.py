# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the files of a chart directory that ``helm package`` would include.

Source: helm, pkg/chart/loader/directory.go and internal/sympath/walk.go.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from .._archive.left_out import LeftOut
from .._errors import BuildError
from .._files.bounded import MAX_CHART
from .archive_files import MAX_FILE
from .helmignore import BY_DEFAULT, HELMIGNORE, HelmIgnore

MAX_ENTRIES = 100_000

_LINK_HINT = "Move its target into the chart, or name the link in .helmignore."
_READ_HINT = "Make it readable for the user that runs the task."


@dataclass(frozen=True)
class ChartFile:
    """A file: its name in the chart, and the path to read it from."""

    name: str
    path: str
    size: int


def list_files(directory: str, left_out: LeftOut | None = None) -> list[ChartFile]:
    """Return the files of a chart directory, in no order, except those that ``.helmignore`` and Helm's default exclude.

    Symbolic links are followed, as in Helm; their targets have to be in the chart, which Helm does not require.

    :param left_out: records the excluded files.
    :raises BuildError: for a link that leads out of the chart or is part of a loop, a device, fifo or socket, a name
        that Helm could not read back, and more or larger files than Helm accepts.
    """
    return _Walk(directory, left_out).files()


class _Walk:
    def __init__(self, directory: str, left_out: LeftOut | None) -> None:
        self._directory = directory
        self._left_out = left_out
        self._root = os.path.realpath(os.fsencode(directory))
        self._rules = _rules(directory)
        self._count = self._size = 0

    def files(self) -> list[ChartFile]:
        found: list[ChartFile] = []
        # name in the chart, real path, real paths of the directories that lead here
        pending: list[tuple[str, bytes, frozenset[bytes]]] = [("", self._root, frozenset([self._root]))]
        while pending:
            above, path, chain = pending.pop()
            for base, is_link in self._entries(above, path):
                name = f"{above}/{_text(base)}" if above else _text(base)
                self._count += 1
                if self._count > MAX_ENTRIES:
                    raise BuildError(f"The chart {self._directory} has more than {MAX_ENTRIES} files and directories.")
                below = os.path.join(path, base)
                status = self._status(name, below, is_link)
                is_directory = status is not None and stat.S_ISDIR(status.st_mode)
                rule = self._rules.ignores(name, is_directory)
                if rule:
                    if self._left_out is not None:
                        self._left_out.add(name, by_default=rule == BY_DEFAULT)
                    continue
                if is_link:
                    below = self._resolved(name, below)
                if status is None:
                    continue
                if is_directory:
                    if below in chain:
                        raise self._wrong(name, "is a symbolic link to a directory that it lies in", _LINK_HINT)
                    pending.append((name, below, chain | {below}))
                else:
                    found.append(self._file(name, below, status))
        return found

    def _entries(self, name: str, path: bytes) -> list[tuple[bytes, bool]]:
        try:
            with os.scandir(path) as entries:
                return [(entry.name, entry.is_symlink()) for entry in entries]
        except OSError as exc:
            raise self._wrong(name, f"cannot be read: {exc.strerror}", _READ_HINT) from None

    def _status(self, name: str, path: bytes, is_link: bool) -> os.stat_result | None:
        """Return the status of a link's target; None for a dangling link, which a rule may ignore by its name."""
        try:
            return os.stat(path)
        except OSError as exc:
            if is_link:
                return None
            raise self._wrong(name, f"cannot be read: {exc.strerror}", _READ_HINT) from None

    def _resolved(self, name: str, path: bytes) -> bytes:
        resolved = os.path.realpath(path)
        if resolved != self._root and not resolved.startswith(os.path.join(self._root, b"")):
            problem = f"is a symbolic link to {_text(resolved)[:200]!r}, outside of the chart"
            raise self._wrong(name, problem, _LINK_HINT)
        if not os.path.exists(resolved):
            raise self._wrong(name, "is a symbolic link to nowhere", _LINK_HINT)
        return resolved

    def _file(self, name: str, path: bytes, status: os.stat_result) -> ChartFile:
        if not stat.S_ISREG(status.st_mode):
            raise self._wrong(name, "is a device, fifo or socket", "Remove it, or name it in .helmignore.")
        if "\\" in name:
            raise self._wrong(name, "has a backslash in its name, which Helm reads as '/'", "Rename it.")
        if status.st_size > MAX_FILE:
            problem = f"has {status.st_size} bytes, Helm accepts {MAX_FILE}"
            raise self._wrong(name, problem, "Remove it, or name it in .helmignore.")
        self._size += status.st_size
        if self._size > MAX_CHART:
            raise BuildError(
                f"The chart {self._directory} has more than the {MAX_CHART} bytes that Helm accepts.",
                "Name what does not belong to it in .helmignore.",
            )
        return ChartFile(name, os.fsdecode(path), status.st_size)

    def _wrong(self, name: str, problem: str, hint: str) -> BuildError:
        path = os.path.join(self._directory, name) if name else self._directory
        return BuildError(f"{path} {problem}.", hint)


def _rules(directory: str) -> HelmIgnore:
    path = os.path.join(directory, HELMIGNORE)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        data = b""
    except OSError as exc:
        raise BuildError(f"{path} cannot be read: {exc.strerror}.", _READ_HINT) from None
    if len(data) > MAX_FILE:
        raise BuildError(f"{path} has more than {MAX_FILE} bytes.")
    return HelmIgnore(data, path)


def _text(name: bytes) -> str:
    """Return a file name, decoded as UTF-8 whatever the locale."""
    return name.decode("utf-8", "surrogateescape")

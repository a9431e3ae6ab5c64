# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a packaged chart, read in bounded memory and without writing any.

Source: helm, pkg/chart/loader/archive.go, for what it takes for a chart and how long that may be.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import BinaryIO

from .._archive.decompress import Decompressor
from .._archive.tar_reader import TarReader
from .._errors import BuildError, LayerError
from .._files.bounded import MAX_CHART
from .._files.tree import DIRECTORY, FILE

MAX_FILE = 5 << 20
# Bytes of all archives that lie in one another.
MAX_NESTED = 4 * MAX_CHART
BOM = b"\xef\xbb\xbf"

_GZIP = b"\x1f\x8b"
_READ_SIZE = 64 << 10
_MAX_NAME = 4096
_DRIVE = re.compile(r"[a-zA-Z]:/")
_HINT = "Give a chart that 'helm package' made, or a chart directory."


class Budget:
    """Bytes that may still come out of archives."""

    def __init__(self, size: int = MAX_NESTED) -> None:
        self.left = size


def read_archive(stream: BinaryIO, what: str, wanted: Callable[[str], bool], budget: Budget) -> dict[str, bytes | None]:
    """The names of the files, relative to the chart, with the content of those that are wanted.

    :raises BuildError: when it is no archive of a chart, or larger than Helm accepts.
    """
    entries = _Entries(what, wanted, budget)
    reader = TarReader(entries, what)
    decompressor = Decompressor(reader.feed, what)
    try:
        chunk = stream.read(_READ_SIZE)
        if not chunk.startswith(_GZIP):
            found = f"it begins with {chunk[:8]!r}" if chunk else "it is empty"
            raise BuildError(f"{what} is no packaged chart: {found}, wanted is a gzip compressed archive.", _HINT)
        while chunk:
            decompressor.write(chunk)
            chunk = stream.read(_READ_SIZE)
        decompressor.close()
        reader.close()
    except LayerError as exc:
        raise BuildError(exc.message, _HINT) from None
    except OSError as exc:
        raise BuildError(f"{what} cannot be read: {exc.strerror or exc}.") from None
    if not entries.files:
        raise BuildError(f"{what} is no packaged chart: it holds no files.", _HINT)
    return entries.files


class _Entries:
    """Takes the entries from the archive (see :class:`.tar_reader.Handler`)."""

    def __init__(self, what: str, wanted: Callable[[str], bool], budget: Budget) -> None:
        self.files: dict[str, bytes | None] = {}
        self._what = what
        self._wanted = wanted
        self._budget = budget
        self._size = 0
        self._overhead = 0
        self._name = ""
        self._content: bytearray | None = None

    def record(self, size: int) -> None:
        self._take_overhead(512 + size)

    def trailing(self, count: int) -> None:
        self._take_overhead(count)

    def _take_overhead(self, size: int) -> None:
        self._overhead += size
        self._budget.left -= size
        if self._overhead > MAX_CHART or self._budget.left < 0:
            raise BuildError(f"{self._what} is too large: it has more than {MAX_CHART} bytes beside its files.")

    def entry(self, kind: str, name: str, size: int, mode: int, target: str) -> None:
        if kind == DIRECTORY:
            return
        self._name = self._relative(name)
        if size > MAX_FILE:
            raise BuildError(f"{self._what}: the file {name[:200]!r} has {size} bytes, Helm accepts {MAX_FILE}.")
        self._size += size
        self._budget.left -= size
        if self._size > MAX_CHART or self._budget.left < 0:
            raise BuildError(f"{self._what} is too large: Helm accepts {MAX_CHART} bytes of files.")
        if self._name in ("Chart.yaml", "requirements.yaml") and self._name in self.files:
            raise BuildError(f"{self._what} holds two files {self._name!r}.", _HINT)
        if kind != FILE:
            # Helm reads an empty file there.
            self.files[self._name] = b"" if self._wanted(self._name) else None
            return
        self._content = bytearray() if self._wanted(self._name) else None

    def data(self, view: memoryview) -> None:
        if self._content is not None:
            self._content += view

    def finish(self) -> None:
        content = self._content
        self.files[self._name] = None if content is None else without_bom(bytes(content))

    def _relative(self, name: str) -> str:
        """A name without the directory that holds the chart, whatever that is called."""
        if len(name) > _MAX_NAME:
            raise BuildError(f"{self._what}: the name {name[:200]!r}... has more than {_MAX_NAME} characters.", _HINT)
        separator = "\\" if "\\" in name else "/"
        top, _separator, rest = name.partition(separator)
        rest = rest.replace(separator, "/")
        clean = posixpath.normpath(rest) if rest else "."
        if top == "Chart.yaml":
            raise BuildError(
                f"{self._what} is no packaged chart: 'Chart.yaml' is not in a directory of the chart's name.", _HINT
            )
        if rest.startswith("/") or clean == "." or clean.startswith("..") or _DRIVE.match(clean):
            raise BuildError(
                f"{self._what} is no packaged chart: its entry {name[:200]!r} is not in the chart's directory.", _HINT
            )
        return clean


def without_bom(data: bytes) -> bytes:
    """Content as Helm reads and packs it: without the byte order mark of UTF-8."""
    return data[len(BOM) :] if data.startswith(BOM) else data

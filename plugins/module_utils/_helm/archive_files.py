# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the files of a packaged chart, in bounded memory and without unpacking to disk.

Source of the format and its limits: helm, pkg/chart/loader/archive.go.
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
# Bytes of all nested archives together.
MAX_NESTED = 4 * MAX_CHART
BOM = b"\xef\xbb\xbf"

_GZIP = b"\x1f\x8b"
_READ_SIZE = 64 << 10
_MAX_NAME = 4096
_DRIVE = re.compile(r"[a-zA-Z]:/")
_HINT = "Give a chart that 'helm package' made, or a chart directory."


class UnpackBudget:
    """The bytes that may still be unpacked from a chart and the charts nested in it."""

    def __init__(self, size: int = MAX_NESTED) -> None:
        self.left = size


def read_archive(
    stream: BinaryIO, what: str, wanted: Callable[[str], bool], budget: UnpackBudget
) -> dict[str, bytes | None]:
    """Return the files by their names relative to the chart: the content, or None for those that are not ``wanted``.

    :raises BuildError: when the stream is not a packaged chart, or is larger than Helm accepts.
    """
    entries = _Entries(what, wanted, budget)
    reader = TarReader(entries, what)
    decompressor = Decompressor(reader.feed, what)
    try:
        chunk = stream.read(_READ_SIZE)
        if not chunk.startswith(_GZIP):
            found = f"it begins with {chunk[:8]!r}" if chunk else "it is empty"
            raise BuildError(f"{what} is not a packaged chart: {found}, wanted is a gzip compressed archive.", _HINT)
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
        raise BuildError(f"{what} is not a packaged chart: it holds no files.", _HINT)
    return entries.files


class _Entries:
    """Handles the entries of the archive (see :class:`.tar_reader.Handler`)."""

    def __init__(self, what: str, wanted: Callable[[str], bool], budget: UnpackBudget) -> None:
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
        """Return a name without its first directory, which holds the chart."""
        if len(name) > _MAX_NAME:
            raise BuildError(f"{self._what}: the name {name[:200]!r}... has more than {_MAX_NAME} characters.", _HINT)
        separator = "\\" if "\\" in name else "/"
        top, _separator, rest = name.partition(separator)
        rest = rest.replace(separator, "/")
        clean = posixpath.normpath(rest) if rest else "."
        if top == "Chart.yaml":
            raise BuildError(
                f"{self._what} is not a packaged chart: 'Chart.yaml' is not in a directory of the chart's name.", _HINT
            )
        if rest.startswith("/") or clean == "." or clean.startswith("..") or _DRIVE.match(clean):
            raise BuildError(
                f"{self._what} is not a packaged chart: its entry {name[:200]!r} is not in the chart's directory.",
                _HINT,
            )
        return clean


def without_bom(data: bytes) -> bytes:
    """Return content without the byte order mark of UTF-8, as Helm reads and packs it."""
    return data[len(BOM) :] if data.startswith(BOM) else data

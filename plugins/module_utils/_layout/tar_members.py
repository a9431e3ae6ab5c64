# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an image layout in a tar file, found by its headers alone: content is passed over, not read.

Names are only compared with those that a layout has. Other entries, such as docker's ``manifest.json``, are counted and
passed over. Where two readers could take different content for the same name, the archive is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from .._archive.tar_reader import BLOCK, TarReader
from .._errors import InvalidContent, LayerError
from .._files.tree import DIRECTORY, FILE

# Limits of one archive: headers, of which a layout has one for each blob, and bytes of extended headers.
MAX_HEADERS = 200_000
MAX_EXTENDED = 16 * 1024 * 1024

_NAME = re.compile(r"(?:oci-layout|index\.json|blobs/[a-z0-9+._-]{1,32}/[a-zA-Z0-9=_-]{1,200})\Z")
_LAYOUT_BELOW = re.compile(r"(?:\./)?(.{1,200})/oci-layout\Z", re.DOTALL)
_AGAIN = "Copy it here again, or have the tool that wrote it write it anew."


class Section(NamedTuple):
    """The place of a file's content in the archive, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class TarMembers:
    """The files of the layout by name.

    ``foreign`` is the name of a file that is not part of a layout, empty when there is none. ``below`` is the folder of
    a layout that was packed with its folder, empty when none was.
    """

    sections: Mapping[str, Section]
    foreign: str
    below: str
    is_docker: bool


def read_members(handle: BinaryIO, size: int, what: str) -> TarMembers:
    """Return the files of the layout in an open tar file, which is read from its start.

    :param size: the bytes of the file.
    :param what: names the archive at the beginning of messages.
    :raises InvalidContent: when it is damaged, truncated or ambiguous, or larger than the limits.
    :raises OSError: when it cannot be read.
    """
    found = _Members(what, size)
    reader = TarReader(found, what, done="read")
    try:
        while not reader.has_ended:
            block = handle.read(BLOCK)
            if not block:
                raise InvalidContent(f"{what} is truncated: it lacks the mark of its end.", _AGAIN)
            found.position += len(block)
            reader.feed(block)
            skipped = reader.skip()
            if skipped:
                found.position += skipped
                handle.seek(found.position)
    except LayerError as exc:
        raise InvalidContent(exc.message, _AGAIN) from None
    return TarMembers(found.sections, found.foreign, found.below, found.is_docker)


class _Members:
    """The handler of a :class:`~._archive.tar_reader.TarReader`; ``position`` is that behind the last header."""

    def __init__(self, what: str, size: int) -> None:
        self.position = 0
        self.sections: dict[str, Section] = {}
        self.foreign = self.below = ""
        self.is_docker = False
        self._what = what
        self._size = size
        self._headers = self._extended = 0

    def record(self, size: int) -> None:
        self._headers += 1
        self._extended += size
        if self._headers > MAX_HEADERS:
            raise InvalidContent(
                f"{self._what} has more than {MAX_HEADERS} entries.", "Spread it over several archives."
            )
        if self._extended > MAX_EXTENDED:
            raise InvalidContent(f"{self._what} has more than {MAX_EXTENDED} bytes of extended headers.", _AGAIN)

    def entry(self, kind: str, name: str, size: int, mode: int, target: str) -> None:
        name = name[2:] if name.startswith("./") else name
        if not _NAME.match(name):
            self._note_foreign(kind, name)
            return
        if kind != FILE:
            raise InvalidContent(f"{self._what} cannot be read: its entry {name} is a {kind}, not a file.", _AGAIN)
        if name in self.sections:
            raise InvalidContent(
                f"{self._what} cannot be read: it has {name} twice, and which one counts depends on the reader.", _AGAIN
            )
        if self.position + size > self._size:
            raise InvalidContent(
                f"{self._what} is truncated: its entry {name} has {size} bytes, and it ends before them.", _AGAIN
            )
        self.sections[name] = Section(self.position, size)

    def data(self, view: memoryview) -> None:
        """Do nothing: content is passed over."""

    def finish(self) -> None:
        """Do nothing, as above."""

    def trailing(self, count: int) -> None:
        """Do nothing: reading ends with the archive."""

    def _note_foreign(self, kind: str, name: str) -> None:
        if kind == DIRECTORY:
            return
        self.foreign = self.foreign or name[:200]
        self.is_docker = self.is_docker or name == "manifest.json"
        if not self.below:
            match = _LAYOUT_BELOW.match(name)
            self.below = match[1] if match else ""

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an image layout in a tar file, found by its headers alone: content is passed over, not read.

Names are only compared with those that a layout has, or that an archive of docker has, which is read in place of one.
Other entries are counted and passed over. Where two readers could take different content for the same name, the archive
is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from .._archive.tar_reader import BLOCK, TarReader
from .._errors import InvalidContent, LayerError
from .._files.tree import DIRECTORY, FILE, SYMLINK

# The list of images in an archive of docker.
DOCKER_FILE = "manifest.json"

# Limits of one archive: headers, of which a layout has one for each blob, and bytes of extended headers.
MAX_HEADERS = 200_000
MAX_EXTENDED = 16 * 1024 * 1024
# The most other files whose places are kept, in case that docker wrote the archive.
MAX_OTHERS = 30_000

_NAME = re.compile(r"(?:oci-layout|index\.json|blobs/[a-z0-9+._-]{1,32}/[a-zA-Z0-9=_-]{1,200})\Z")
# what may be a file of docker: in the root or one folder below it
_OTHER = re.compile(r"(?:[^/]{1,100}/)?[^/]{1,100}\Z", re.DOTALL)
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
    a layout that was packed with its folder, empty when none was. ``others``, ``links`` (with their targets) and
    ``ambiguous`` (what occurs twice) are what may be of docker. ``documents`` are files of the layout that are not in
    the archive, but were made of what is in it.
    """

    sections: Mapping[str, Section]
    foreign: str = ""
    below: str = ""
    others: Mapping[str, Section] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    ambiguous: Collection[str] = ()
    documents: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def is_docker(self) -> bool:
        """Return True for an archive of docker that has no image layout."""
        return DOCKER_FILE in self.others and not {"oci-layout", "index.json"} & self.sections.keys()


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
    return TarMembers(found.sections, found.foreign, found.below, found.others, found.links, found.ambiguous)


class _Members:
    """The handler of a :class:`~._archive.tar_reader.TarReader`; ``position`` is that behind the last header."""

    def __init__(self, what: str, size: int) -> None:
        self.position = 0
        self.sections: dict[str, Section] = {}
        self.foreign = self.below = ""
        self.others: dict[str, Section] = {}
        self.links: dict[str, str] = {}
        self.ambiguous: set[str] = set()
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
            self._note_foreign(kind, name, size, target)
            return
        if kind != FILE:
            raise InvalidContent(f"{self._what} cannot be read: its entry {name} is a {kind}, not a file.", _AGAIN)
        if name in self.sections:
            raise InvalidContent(
                f"{self._what} cannot be read: it has {name} twice, and which one counts depends on the reader.", _AGAIN
            )
        self._check_end(name, size)
        self.sections[name] = Section(self.position, size)

    def data(self, view: memoryview) -> None:
        """Do nothing: content is passed over."""

    def finish(self) -> None:
        """Do nothing, as above."""

    def trailing(self, count: int) -> None:
        """Do nothing: reading ends with the archive."""

    def _check_end(self, name: str, size: int) -> None:
        if self.position + size > self._size:
            raise InvalidContent(
                f"{self._what} is truncated: its entry {name} has {size} bytes, and it ends before them.", _AGAIN
            )

    def _note_foreign(self, kind: str, name: str, size: int, target: str) -> None:
        if kind == DIRECTORY:
            return
        self.foreign = self.foreign or name[:200]
        if not self.below:
            match = _LAYOUT_BELOW.match(name)
            self.below = match[1] if match else ""
        if not _OTHER.match(name) or len(self.others) + len(self.links) >= MAX_OTHERS:
            return
        if name in self.others or name in self.links:
            self.ambiguous.add(name)
        elif kind == FILE:
            self._check_end(name, size)
            self.others[name] = Section(self.position, size)
        else:
            # what leads nowhere is found missing when it is needed
            self.links[name] = target if kind == SYMLINK and len(target) <= 200 else ""

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tags hold that a push is to write."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable

from ..._errors import AccessDenied, OciError
from ..._oci import media
from ..._oci.preliminary import find_tag
from ..immutable_tags import is_immutable

if TYPE_CHECKING:
    from ..._oci.manifest import Descriptor
    from ..._oci.repository import WritableRepository


class HeldTags:
    """The tags to write, each looked up once; may be shared by threads.

    The repository is opened by the first question to it, and closed by :meth:`close`.
    """

    def __init__(
        self,
        open_repository: Callable[[], WritableRepository],
        tags: Sequence[str],
        immutable: str | None,
        *,
        force: bool,
    ) -> None:
        """``immutable`` is the expression for tags that are never moved, see :mod:`~._ops.immutable_tags`."""
        self._open = open_repository
        self._opened: WritableRepository | None = None
        self._tags = tags
        self._immutable = immutable
        self._force = force
        self._found: dict[str, Descriptor | None] = {}
        self._sizes: set[int] | None = None
        self._is_examined = False
        self._lock = threading.RLock()

    @property
    def repository(self) -> WritableRepository:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def is_protected(self, tag: str) -> bool:
        """True when a tag must not be moved to other content."""
        return not self._force and is_immutable(tag, self._immutable)

    def of(self, tag: str) -> Descriptor | None:
        """Return what a tag holds. One that this account may not see, and may move, counts as absent: whether
        it may be written is for the registry to say."""
        with self._lock:
            if tag not in self._found:
                self._found[tag] = self._look(tag)
            return self._found[tag]

    def _look(self, tag: str) -> Descriptor | None:
        try:
            return find_tag(self.repository, tag)
        except AccessDenied:
            if self.is_protected(tag):
                raise
            return None

    def repository_for(self, size: int | None) -> WritableRepository | None:
        """See :class:`~._ops.push.one_pass.Prospect`. A layer of unknown size is new where all tags are."""
        with self._lock:
            if not self._is_examined:
                self._is_examined = True
                self._sizes = self._held_sizes()
            if self._sizes is None:
                return None
            is_new = size not in self._sizes if size is not None else not any(self._found.values())
            return self.repository if is_new else None

    def _held_sizes(self) -> set[int] | None:
        """The sizes of all layers that the tags lead to; None when that is not known, when a tag is protected, and when
        no tag is new, so that nothing may be left to do: that is found out by one request for each tag."""
        sizes: set[int] = set()
        found = {tag: self.of(tag) for tag in self._tags}
        if None not in found.values() or any(held and self.is_protected(tag) for tag, held in found.items()):
            return None
        for held in found.values():
            if held is None or held.media_type != media.OCI_MANIFEST:
                continue
            try:
                sizes.update(layer.size for layer in self.repository.fetch_manifest(held.digest).layers)
            except OciError:
                return None
        return sizes

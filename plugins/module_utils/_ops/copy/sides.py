# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two repositories of a copy, as one task knows them: what all that is copied between them has in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

from ..._oci.preliminary import answer_or_none, find_tag
from .graph import TAG_SUFFIXES
from .sent import Sent
from .tags import Tags

if TYPE_CHECKING:
    from ..._oci.repository import Repository, WritableRepository

# Hexadecimal digits of a digest that notes have: two digests that share them cost a second look, and no more.
SHORT = 12


class Source:
    """The repository that is copied from; shared by the entries that copy from it."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.tags = Tags(repository)

    def attached_tags(self, digests: Collection[str]) -> int:
        """Return the number of tags of signatures and referrers that belong to digests.

        :param digests: by their first :data:`SHORT` digits.
        """
        return sum(self._attached[each] for each in set(digests))

    @cached_property
    def _attached(self) -> Counter[str]:
        found = (_attached_to(tag) for tag in self.tags.known() or ())
        return Counter(digits[:SHORT] for digits in found if digits)


class Destination:
    """The repository that is written to; shared by the entries that copy into it.

    :param transfers: bounds the blobs that are sent at the same time.
    :param is_single: one artifact is copied there: it is asked for by its tag, many by the list of tags.
    """

    def __init__(
        self, repository: WritableRepository, transfers: AbstractContextManager[object] | None, *, is_single: bool
    ) -> None:
        self.repository = repository
        self.is_single = is_single
        self.sent = Sent(transfers)
        self._transfers = transfers
        self._tags = Tags(repository)

    def forget(self) -> None:
        """Forget what was sent: it was not stored after all."""
        self.sent = Sent(self._transfers)

    def has(self, tag: str, digest: str) -> bool:
        """Return whether a tag is there; of a single one, also whether it names the digest. Without a tag, whether the
        digest is there."""
        if self.is_single or not tag:
            held = answer_or_none(lambda: find_tag(self.repository, tag or digest))
            return held is not None and held.digest == digest
        return tag in (self._tags.known() or ())


def _attached_to(tag: str) -> str:
    """The digits of the digest that a tag of a signature or of referrers belongs to; empty for any other tag."""
    name, dot, suffix = tag.partition(".")
    is_attached = name[:7] in ("sha256-", "sha512-") and len(name) >= 71 and f"{dot}{suffix}" in ("", *TAG_SUFFIXES)
    return name[7:] if is_attached else ""

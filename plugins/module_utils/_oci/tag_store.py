# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What moves and removes tags, and removes manifests: the part of a repository that only such tasks need."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from .._errors import OciError, TagMoved
from .manifest import Manifest


class DeletionRefused(OciError):
    """A registry that does not remove a tag or a manifest: it has no such request, or not for this account."""

    reason = "DeletionRefused"


class TagStore(Protocol):
    """The tags of one repository. ``before`` is the digest that a tag was found at, empty for none: a tag that is
    elsewhere by now is left alone."""

    def move(self, manifest: Manifest, tag: str, before: str) -> None:
        """Point a tag at a manifest that the repository holds.

        :raises TagMoved: when the tag is not at ``before`` any more, or was moved by somebody else right after.
        :raises PushFailed: when the registry refuses it.
        """

    def remove_tag(self, tag: str, before: str) -> None:
        """Remove a tag and nothing else.

        :raises TagMoved: as :meth:`move`.
        :raises DeletionRefused: when the repository cannot do that.
        """

    def named_otherwise(self) -> set[str]:
        """Return the digests that tags name which no list has, since each names several manifests."""

    def remove_manifests(self, digests: Collection[str]) -> None:
        """Remove manifests with the tags that name them, in the order given; those that are not there are passed over.

        :raises DeletionRefused: when the repository cannot do that.
        """

    def finish_removal(self) -> None:
        """Remove what an earlier :meth:`remove_manifests` that was cut short has left behind, and nothing else."""


def moved_meanwhile(name: str, found: str, before: str) -> TagMoved:
    """Return the error for a tag that somebody else has moved.

    :param name: the reference with the tag.
    :param found: the digest that it names now, empty for none.
    """
    now = f"names {found} now" if found else "is not there now"
    then = f"it was found at {before}" if before else "it was not there before"
    return TagMoved(
        f"The tag {name} {now}, and {then}: somebody else has moved it in the meantime.",
        "It is left as it is. Look at what is there, and run the task again.",
    )

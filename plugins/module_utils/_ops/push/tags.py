# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tags a push writes, and which are protected from being moved."""

from __future__ import annotations

from collections.abc import Sequence

from ..._oci.reference import DEFAULT_TAG, check_tag
from ..resolve import Target


def tags_to_write(target: Target, given: Sequence[str], own: str, *, has_subject: bool) -> list[str]:
    """The tags to write: as given (first the reference's), else what is built has of its ``own`` (a chart's version),
    else ``latest``.

    A referrer without a tag of its own gets none.

    :raises InvalidReference: when one is no tag.
    """
    tags = [target.reference.tag] if target.is_explicit else []
    tags += [check_tag(tag) for tag in given]
    if not tags and own:
        tags = [check_tag(own)]
    if not tags and not has_subject:
        tags = [DEFAULT_TAG]
    return list(dict.fromkeys(tags))


def is_immutable(tag: str, pattern: str | None) -> bool:
    """Whether a tag is protected: by the expression (anywhere in the tag), or, without one, because it is a version.

    A version is what a range can choose: three parts, with or without ``v``, with ``_`` for ``+`` as Helm writes it.

    :raises InvalidSelection: when the expression does not parse, or does not finish.
    """
    if pattern is None:
        from ..._oci.tag_ranking import parse_tag

        return parse_tag(tag, True) is not None
    if not pattern:
        return False
    from ..._oci.bounded_regex import BoundedRegex

    return bool(BoundedRegex(pattern, "immutable_tags").search_all([tag]))

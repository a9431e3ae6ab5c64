# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tags that a push writes."""

from __future__ import annotations

from collections.abc import Sequence

from ..._oci.reference import DEFAULT_TAG, check_tag
from ..resolve import Target


def tags_to_write(target: Target, given: Sequence[str], own: str, *, has_subject: bool) -> list[str]:
    """The tags to write: the given ones (first the reference's), otherwise ``own`` (a chart's version), otherwise
    ``latest``.

    A referrer without a given tag gets none.

    :raises InvalidReference: when one is not a valid tag.
    """
    tags = [target.reference.tag] if target.is_explicit else []
    tags += [check_tag(tag) for tag in given]
    if not tags and own:
        tags = [check_tag(own)]
    if not tags and not has_subject:
        tags = [DEFAULT_TAG]
    return list(dict.fromkeys(tags))

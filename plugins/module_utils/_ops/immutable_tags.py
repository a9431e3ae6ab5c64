# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protection of tags against being moved."""

from __future__ import annotations


def is_immutable(tag: str, pattern: str | None) -> bool:
    """True when a tag is protected: it matches the expression (anywhere in the tag), or, without one, is a version.

    A version is a tag that a range can match: three parts, with or without ``v``, with ``_`` for ``+`` as in Helm.

    :raises InvalidSelection: when the expression does not parse, or does not finish.
    """
    if pattern is None:
        from .._oci.tag_ranking import parse_tag

        return parse_tag(tag, True) is not None
    if not pattern:
        return False
    from .._oci.bounded_regex import BoundedRegex

    return bool(BoundedRegex(pattern, "immutable_tags").search_all([tag]))

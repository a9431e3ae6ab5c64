# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tag beside the digest that pins it: what happens when the tag names another digest now (``tag_moved``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import NotFound, OciError, TagMoved
from .resolve import FAIL, Target

if TYPE_CHECKING:
    from .._oci.repository import Repository


def warnings_of_moved_tag(repository: Repository, target: Target) -> list[str]:
    """Ask which digest the tag of a pinned reference names, when the task wants to know; return warnings. One request.

    With ``warn`` no answer is a warning as well: what is pinned does not depend on it.

    :raises TagMoved: with ``fail``, when the tag names another digest, or is not there any more.
    :raises OciError: with ``fail``, when the registry cannot be asked.
    """
    if not target.asks_for_tag:
        return []
    reference, fails = target.reference, target.tag_moved == FAIL
    what = f"The tag {reference.tag} of {reference.name}"
    try:
        found = repository.resolve(reference.tag).digest
    except NotFound as exc:
        problem = f"{what} is not there any more: {exc.message} The reference pins {reference.digest}."
    except OciError as exc:
        if fails:
            raise
        return [f"Whether the tag {reference.tag} of {reference.name} has moved is not known. {exc}"]
    else:
        if found == reference.digest:
            return []
        problem = f"{what} names {found} now, and the reference pins {reference.digest}."
    if fails:
        hint = "Find out why, then give the reference the digest that you want"
        if target.tag_moved_rule is not None:
            from .._policy.refusals import by_rule

            raise by_rule(TagMoved(problem, f"{hint}."), target.tag_moved_rule)
        raise TagMoved(problem, f"{hint}, or say tag_moved: warn or ignore.")
    return [f"{problem} The pinned digest is used."]

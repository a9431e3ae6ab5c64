# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals of a policy, and the error for a policy that cannot be used.

They are apart from the tree of errors in :mod:`.._errors` so that a task without a policy does not load them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from .._errors import InvalidOption, OciError

GIVEN = "the option 'policy'"

Error = TypeVar("Error", bound=OciError)


class PolicyInvalid(InvalidOption):
    """A policy that cannot be used: unreadable, writable by others, unknown keys, rules that contradict each other."""

    reason = "PolicyInvalid"


def by_rule(error: Error, rule: Mapping[str, str]) -> Error:
    """Return the error, which says now which rule refuses.

    :param rule: the details ``refused_by``: the path of the ``policy``, empty where the task has its content, the text
        of ``match``, and the ``check``.
    """
    where = f"rule {rule['match']!r} of the policy in {rule['policy'] or GIVEN}, '{rule['check']}'"
    error.message = f"{error.message.rstrip('.')} ({where})."
    error.details["refused_by"] = dict(rule)
    return error


class TagDenied(OciError):
    """A tag that a rule denies."""

    reason = "TagDenied"


class DigestDenied(OciError):
    """A manifest, config or layer whose digest a rule denies."""

    reason = "DigestDenied"


class DowngradeDenied(OciError):
    """A version that is older than the one in place, or cannot be compared with it."""

    reason = "DowngradeDenied"


class TooYoung(OciError):
    """An artifact that has not the age yet that a rule demands."""

    reason = "TooYoung"
    retryable = True


class AgeUnknown(OciError):
    """An artifact whose age none of the sources of a rule tells."""

    reason = "AgeUnknown"


class OutsideWindow(OciError):
    """A change at a time at which a rule permits none."""

    reason = "OutsideWindow"
    retryable = True


class ChangePending(OutsideWindow):
    """A new revision that waits for the time of its rule; what was asked for is reported, and is no failure."""

    reason = "NewRevisionPending"

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that are asked only to save work: HEAD before GET, or whether a blob is there before it is uploaded.

Registries, and the gateways and stores before them, answer such questions in many ways. An answer that does not settle
the question means that nothing is known: the request that the question was to save is made, and only its refusal is
final. An outage (no connection, a broken one, a list that a server in trouble does not give after all retries) ends it
at once: the next request would meet it too. A status of 500 or more for HEAD is no outage yet: that is repeated with
the request that matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, TypeVar

from .._errors import AccessDenied, AuthenticationFailed, InvalidContent, NotFound, OciError, RegistryError, is_outage

if TYPE_CHECKING:
    from .manifest import Descriptor
    from .repository import Repository

_Answer = TypeVar("_Answer")


def answer_or_none(question: Callable[[], _Answer | None]) -> _Answer | None:
    """Return what a preliminary question brought; None when its answer, whatever it was, does not settle it.

    :raises OciError: when the registry is out of reach or in trouble.
    """
    try:
        return question()
    except OciError as exc:
        if is_unsettled(exc):
            return None
        raise


def is_unsettled(error: OciError) -> bool:
    """Return True when an error is an answer that does not settle a preliminary question. An outage is no answer."""
    if isinstance(error, RegistryError):
        # 501: there is no such question here
        return not is_outage(error) or error.status == 501
    return isinstance(error, (AuthenticationFailed, InvalidContent, NotFound))


def is_about_one(error: OciError) -> bool:
    """Return True when an error is an answer about the one manifest or blob that was asked for, so that others may be
    had all the same. A login that is missing or refused is about all of them, and so is an answer outside the protocol,
    such as redirects without an end."""
    if isinstance(error, RegistryError):
        return is_unsettled(error) and error.status > 0
    return is_unsettled(error) and (isinstance(error, AccessDenied) or not isinstance(error, AuthenticationFailed))


def find_tag(repository: Repository, tag: str) -> Descriptor | None:
    """Return what a tag holds that is about to be written; None when there is no such tag.

    Where the registry does not say what is under the tag, its list of tags says whether there is one: some registries
    answer every tag that is not there with 403, others with 400, 401 or 410.

    :raises AccessDenied: when there is one that must not be seen, or no list to look at.
    :raises AuthenticationFailed: when the login is missing or refused.
    :raises OciError: when it cannot be known otherwise.
    """
    try:
        return repository.resolve(tag)
    except NotFound:
        return None
    except OciError as exc:
        if not is_unsettled(exc):
            raise
        tags = answer_or_none(repository.list_tags)
        if tags is None or tag in tags:
            raise
        return None

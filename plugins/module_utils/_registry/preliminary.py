# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that are asked only to save work, such as HEAD before GET, or whether a blob is there before it is uploaded.

Registries, and the gateways and stores before them, answer such questions in many ways. An answer that does not settle
the question means that nothing is known: the request that the question was to save is made, and only its refusal is
final. An outage (no connection, a broken one, a server in trouble after all retries) ends it at once: the next request
would meet it too.
"""

from __future__ import annotations

from typing import Callable, TypeVar

from .._errors import AuthenticationFailed, InvalidContent, NotFound, OciError, RegistryError, is_outage

_Answer = TypeVar("_Answer")


def answer_or_none(question: Callable[[], _Answer | None]) -> _Answer | None:
    """Return what a preliminary question brought; None when its answer, whatever it was, does not settle it.

    :raises OciError: when the registry is out of reach or in trouble.
    """
    try:
        return question()
    except (AuthenticationFailed, InvalidContent, NotFound):
        return None
    except RegistryError as exc:
        if is_unsettled(exc):
            return None
        raise


def is_unsettled(error: OciError) -> bool:
    """Whether an error status says nothing about the question: neither an outage, nor one that all requests meet."""
    return isinstance(error, RegistryError) and (not is_outage(error) or error.status == 501)

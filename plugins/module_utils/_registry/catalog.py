# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repositories of a registry.

Source: distribution, docs/content/spec/api.md, "Listing Repositories". The distribution specification reserves the path
and says nothing of it: some registries have no catalog, and most let only some accounts see it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import chain
from typing import Any

from .._errors import (
    AuthenticationFailed,
    CatalogRefused,
    CatalogUnsupported,
    InvalidContent,
    InvalidReference,
    NotFound,
    RegistryError,
)
from .._oci.reference import parse_reference
from .client import RegistryClient
from .pages import NotJson, fetch_pages

NAMES_PER_PAGE = 1000
MAX_NAMES = 200_000
# what a registry answers for a path that it does not know, beside 404
_UNKNOWN_PATH = (400, 405, 406, 501)
_SCOPE = "registry:catalog:*"
_HINT = "Name repositories with 'ref' or 'url': what they hold can be listed without the catalog."


def list_repositories(client: RegistryClient) -> Generator[list[str], None, None]:
    """The names of the repositories that this account sees, a page at a time, as the registry orders them.

    What is no name of a repository is passed over, and so is what comes twice.

    :raises CatalogRefused: when the account may not list them, or nobody may.
    :raises AuthenticationFailed: when its credentials are not good for anything on this registry.
    :raises InvalidContent: when the list is malformed, or has more than ``MAX_NAMES`` names.
    """
    base = client.api
    seen: set[str] = set()
    action = f"Listing the repositories of {client.registry}"
    pages = fetch_pages(client, f"{base}_catalog?n={NAMES_PER_PAGE}", _SCOPE, action, {})
    for document in chain([_first(client, pages, base)], pages):
        names = document.get("repositories") or []
        if not isinstance(names, list):
            raise InvalidContent(f"{action} gave a malformed list: 'repositories' is not a list.")
        fresh = [name for name in names if isinstance(name, str) and name not in seen]
        seen.update(fresh)
        if len(seen) > MAX_NAMES:
            raise InvalidContent(f"{client.registry} has more than {MAX_NAMES} repositories.")
        yield [name for name in fresh if _is_repository(client.registry, name)]


def _first(client: RegistryClient, pages: Iterator[dict[str, Any]], base: str) -> dict[str, Any]:
    """The first page, or what the registry means by not giving it."""
    try:
        return next(pages)
    except AuthenticationFailed as exc:
        # who is not even let in has another problem than a missing right
        client.request("GET", base, scope="").close()
        raise CatalogRefused(
            f"The registry {client.registry} does not permit this account to list its repositories. {exc.message}",
            _HINT,
        ) from None
    except (NotFound, InvalidContent, RegistryError) as exc:
        if isinstance(exc, RegistryError) and not isinstance(exc, NotJson) and exc.status not in _UNKNOWN_PATH:
            raise
        raise CatalogUnsupported(
            f"The registry {client.registry} has no list of repositories. {exc.message}", _HINT
        ) from None


def _is_repository(registry: str, name: str) -> bool:
    try:
        return not parse_reference(f"{registry}/{name}").identifier
    except InvalidReference:
        return False

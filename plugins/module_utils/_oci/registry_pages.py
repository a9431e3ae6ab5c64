# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that a registry gives page by page: tags, referrers, the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from .errors import RegistryError
from .http_url import join, origin
from .manifest import load_json_object
from .registry_answer import check_status
from .registry_client import RegistryClient

MAX_PAGE_SIZE = 16 * 1024 * 1024
MAX_PAGES = 20_000


class NotJson(RegistryError):
    """A page that is no JSON at all, as web servers give for paths they do not know."""


def fetch_pages(
    client: RegistryClient, url: str, scope: str, action: str, headers: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Documents of a paged list, as long as the Link header leads on, within this registry.

    :raises NotFound: for status 404.
    :raises AuthenticationFailed: for status 401 and 403.
    :raises RegistryError: for any other status, and for a list that leads to another host, in circles, or nowhere.
    """
    seen: set[str] = set()
    for _page in range(MAX_PAGES):
        seen.add(url)
        response, raw = client.fetch(url, scope=scope, headers=headers, limit=MAX_PAGE_SIZE)
        check_status(response, action)
        link = response.links.get("next", {}).get("url", "")
        content_type = response.headers.get("Content-Type", "")
        if "json" not in content_type and raw[:1] != b"{":
            raise NotJson(f"{action} was answered with {content_type[:100]!r} in place of JSON.")
        yield load_json_object(raw, f"The answer to {action[0].lower()}{action[1:]}")
        if not link:
            return
        following = join(url, link)
        if origin(following) != origin(url):
            host = urlsplit(following).hostname
            raise RegistryError(f"{action} leads on to another host, {host!r}: not followed.")
        if following in seen:
            raise RegistryError(f"{action} never ends: the registry repeats a page.")
        url = following
    raise RegistryError(f"{action} takes more than {MAX_PAGES} pages.")

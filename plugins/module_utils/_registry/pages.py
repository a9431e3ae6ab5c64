# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that a registry gives page by page: tags, referrers, the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .._errors import RegistryError
from .._http.answer import check_status
from .._http.url import join, origin
from .._oci.manifest import load_json_object
from .client import RegistryClient

MAX_PAGE_SIZE = 16 * 1024 * 1024
MAX_PAGES = 20_000


class NotJson(RegistryError):
    """A page that is no JSON at all, as web servers give for paths they do not know."""


class _Page(NamedTuple):
    """An answer with what it leads on to, the URL of the next page or nothing; its body is still bytes."""

    raw: bytes
    content_type: str
    following: str


def fetch_pages(
    client: RegistryClient, url: str, scope: str, action: str, headers: dict[str, str], *, ahead: bool = False
) -> Iterator[dict[str, Any]]:
    """Documents of a paged list, as long as the Link header leads on, within this registry.

    With ``ahead`` the next page is under way while one is decoded and used, so that a list takes as long as its
    transfer; it is for who is going to use all. Without, nothing is asked for before it is wanted.

    :raises NotFound: for status 404.
    :raises AuthenticationFailed: for status 401 and 403.
    :raises RegistryError: for any other status, and for a list that leads to another host, in circles, or nowhere.
    """
    seen = {url}

    def fetch(url: str) -> _Page:
        response, raw = client.fetch(url, scope=scope, headers=headers, limit=MAX_PAGE_SIZE)
        check_status(response, action)
        link = response.links.get("next", {}).get("url", "")
        return _Page(raw, response.headers.get("Content-Type", ""), _following(url, link, action) if link else "")

    def document_of(page: _Page) -> dict[str, Any]:
        if not page.raw.strip() or ("json" not in page.content_type and page.raw[:1] != b"{"):
            raise NotJson(f"{action} was answered with {page.content_type[:100]!r} in place of JSON.")
        return load_json_object(page.raw, f"The answer to {action[0].lower()}{action[1:]}")

    def check(following: str) -> str:
        if following in seen:
            raise RegistryError(f"{action} never ends: the registry repeats a page.")
        if len(seen) >= MAX_PAGES:
            raise RegistryError(f"{action} takes more than {MAX_PAGES} pages.")
        seen.add(following)
        return following

    page = fetch(url)
    if ahead and page.following:
        from .._files.threads import thread_pool

        with thread_pool(1) as pool:
            while page.following:
                coming = pool.submit(fetch, check(page.following))
                yield document_of(page)
                page = coming.result()
    while page.following:
        yield document_of(page)
        page = fetch(check(page.following))
    yield document_of(page)


def _following(url: str, link: str, action: str) -> str:
    following = join(url, link)
    if origin(following) != origin(url):
        host = urlsplit(following).hostname
        raise RegistryError(f"{action} leads on to another host, {host!r}: not followed.")
    return following

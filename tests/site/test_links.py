# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links inside the site lead to pages and places that are there, and every page is reached from the landing page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Reader(HTMLParser):
    """Collects what a page links to, and the places in it that can be linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


@dataclass(frozen=True)
class Page:
    links: list[str]
    places: set[str]
    leads_to: set[Path] = field(default_factory=set)


def read(path: Path) -> Page:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return Page(reader.links, reader.places)


def dead_links(known: dict[Path, Page]) -> list[str]:
    """The links inside a site that lead nowhere; notes in each page which pages it leads to."""
    dead = []
    for path, page in known.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if target in known:
                page.leads_to.add(target)
                if place and place not in known[target].places:
                    dead.append(f"{path.name}: {link}")
            elif not target.is_file():
                dead.append(f"{path.name}: {link}")
    return dead


def test_no_link_is_dead_and_no_page_is_lost(site: Path, pages: list[Path]) -> None:
    known = {path.resolve(): read(path) for path in pages}

    assert dead_links(known) == []

    found, waiting = set(), [(site / "index.html").resolve()]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += known[path].leads_to
    assert set(known) - found == set()


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text(
        '<p id="here"><a href="#here"></a><a href="#gone"></a><a href="gone.html"></a><a href="a.html#x"></a>'
    )

    assert dead_links({page: read(page)}) == ["a.html: #gone", "a.html: gone.html", "a.html: a.html#x"]


def test_nothing_is_loaded_from_elsewhere(pages: list[Path]) -> None:
    """A page is whole without a network, and tells nobody who reads it."""
    loaded = ('src="http', "src='http", 'rel="stylesheet" href="http', 'rel="stylesheet" type="text/css" href="http')
    foreign = [path.name for path in pages if any(start in path.read_text(encoding="utf-8") for start in loaded)]

    assert foreign == []

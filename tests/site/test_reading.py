# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody who opens the site in a browser finds, and can read on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

PATIENCE = 300_000  # milliseconds
WIDE: ViewportSize = {"width": 1280, "height": 800}
NARROW: ViewportSize = {"width": 375, "height": 667}
PICTURE = Path(__file__).resolve().parents[2] / "docs/speed.svg"
GROUPS = ["Get started", "Use", "Operate", "Reference"]


def open_page(browser: Browser, size: ViewportSize) -> Page:
    """A window of a size, whose steps may take as long as the machine needs."""
    page = browser.new_page(viewport=size)
    page.set_default_timeout(PATIENCE)
    return page


@pytest.fixture
def landing(browser: Browser, site: Path) -> Iterator[Page]:
    """The landing page in a window of usual size."""
    page = open_page(browser, WIDE)
    page.goto((site / "index.html").as_uri())
    yield page
    page.close()


def test_the_landing_page_has_the_groups(landing: Page) -> None:
    headings = landing.get_by_role("main").get_by_role("heading", level=2)

    assert [text.rstrip("\uf0c1 ") for text in headings.all_inner_texts()][:4] == GROUPS


def test_getting_started_is_one_click_away(landing: Page) -> None:
    landing.get_by_role("main").get_by_role("link", name="Get started", exact=True).first.click()

    expect(landing.get_by_role("heading", level=1)).to_contain_text("Get started")
    expect(landing.get_by_text("ansible-galaxy collection install git+https://").first).to_be_visible()


def test_pull_and_its_examples_are_two_clicks_away(landing: Page) -> None:
    landing.get_by_role("main").get_by_role("link", name="oci_artifact_pull", exact=True).first.click()
    expect(landing.get_by_role("heading", level=1)).to_contain_text("cloudnative.artifacts.oci_artifact_pull module")

    landing.get_by_role("main").get_by_role("link", name="Examples", exact=True).first.click()
    expect(landing.get_by_role("heading", name="Examples")).to_be_in_viewport()
    expect(landing.locator("#examples .highlight")).to_contain_text("cloudnative.artifacts.oci_artifact_pull:")


def test_the_search_finds_an_option(landing: Page) -> None:
    search = landing.get_by_role("textbox", name="Search docs")
    search.fill("immutable_tags")
    search.press("Enter")

    expect(landing.locator("#search-results")).to_contain_text("oci_artifact_push")


def test_no_page_is_wider_than_a_narrow_screen(browser: Browser, pages: list[Path]) -> None:
    """Code and tables scroll by themselves; text does not have to be moved sideways to be read."""
    page = open_page(browser, NARROW)
    wide = {}
    for path in pages:
        page.goto(path.as_uri())
        width = page.evaluate("document.scrollingElement.scrollWidth")
        if width > NARROW["width"]:
            wide[path.name] = width
    page.close()

    assert wide == {}


def test_the_navigation_opens_on_a_narrow_screen(browser: Browser, site: Path) -> None:
    page = open_page(browser, NARROW)
    page.goto((site / "index.html").as_uri())
    link = page.get_by_role("navigation").get_by_role("link", name="Pull artifacts").first
    expect(link).not_to_be_in_viewport()

    page.locator("[data-toggle=wy-nav-top]").first.click()
    expect(link).to_be_in_viewport()
    page.close()


def test_the_picture_of_speed_is_readable(browser: Browser) -> None:
    """No text runs into a bar, into another text, or out of the picture, with the fonts of this browser."""
    page = open_page(browser, WIDE)
    page.goto(PICTURE.as_uri())
    boxes = page.evaluate(
        """() => [...document.querySelectorAll("text, rect")].slice(1).map((each) => {
            const box = each.getBoundingClientRect();
            return [each.textContent || "a bar", box.left, box.top, box.right, box.bottom];
        })"""
    )
    right = page.evaluate("document.documentElement.width.baseVal.value")
    page.close()

    assert len(boxes) > 20
    assert [name for name, _left, _top, end, _bottom in boxes if end > right] == []
    overlaps = [
        (one[0], other[0])
        for number, one in enumerate(boxes)
        for other in boxes[number + 1 :]
        if one[1] < other[3] and other[1] < one[3] and one[2] + 2 < other[4] and other[2] + 2 < one[4]
    ]
    assert overlaps == []

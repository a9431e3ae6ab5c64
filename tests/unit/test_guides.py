# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all pages of the documentation have in common."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

SITE = Path(__file__).resolve().parents[2] / "docs/docsite"
PAGES = sorted((SITE / "rst").glob("*.rst"), key=lambda path: path.stem)
BEGINNING = re.compile(
    r"^\.\. _ansible_collections\.cloudnative\.artifacts\.docsite\.(?P<label>\w+):\n\n"
    r"[^\n]+\n=+\n\n"
    r"\| \*\*Write:\*\* [^\n]+\n\| \*\*Does:\*\* [^\n]+\n\| \*\*Next:\*\* [^\n]+\n\n[^|]",
    re.MULTILINE,
)

pytestmark = pytest.mark.once


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_begins_with_what_to_write_what_it_does_and_where_to_look_next(page: Path) -> None:
    beginning = BEGINNING.search(page.read_text())

    assert beginning and beginning["label"] == page.stem


def test_every_page_is_in_the_table_of_contents() -> None:
    sections = yaml.safe_load((SITE / "extra-docs.yml").read_text())["sections"]

    assert sorted(name for section in sections for name in section["toctree"]) == [page.stem for page in PAGES]


def test_landing_page_and_readme_list_the_pages_in_the_same_groups() -> None:
    sections = yaml.safe_load((SITE / "extra-docs.yml").read_text())["sections"]
    groups = {section["title"]: section["toctree"] for section in sections}
    assert list(groups) == ["Get started", "Use", "Operate", "Reference"]

    landing = (SITE.parent / "site/index.rst").read_text()
    readme = (SITE.parents[1] / "README.md").read_text().partition("\n## Documentation\n")[2]
    for title, pages in groups.items():
        section = landing.partition(f"\n{title}\n{'-' * len(title)}\n\n")[2].partition("\n\n")[0]
        listed = re.findall(
            r"^- :ref:`ansible_collections\.cloudnative\.artifacts\.docsite\.(\w+)`: ", section, re.MULTILINE
        )
        assert listed == pages
        navigation = landing.partition(f"\n   :caption: {title}\n\n")[2].partition("\n\n")[0]
        assert re.findall(r"docsite/(\w+)", navigation) == pages
        named = readme.partition(f"\n**{title}**\n\n")[2].partition("\n\n")[0]
        assert re.findall(r"^- \[[^]]+]\(docs/docsite/rst/(\w+)\.rst\): ", named, re.MULTILINE) == pages

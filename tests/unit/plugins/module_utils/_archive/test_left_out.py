# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was left out, as results, differences and warnings name it."""

from __future__ import annotations

import tracemalloc

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.ignore import PULL_DEFAULTS, excluded_paths
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.left_out import MAX_LISTED_NAMES, LeftOut


def left_out(paths: dict[str, bool], ignore: str = "", sources: dict[str, str] | None = None) -> LeftOut:
    found = LeftOut()
    excluded_paths(paths, ignore, sources or {}, PULL_DEFAULTS, found)
    return found


def test_names_are_sorted_and_a_directory_stands_for_what_is_below() -> None:
    paths = {"z.png": False, ".github": True, ".github/a": True, ".github/a/b": False, "keep": False, "d": True}
    found = left_out({**paths, "d/x.zip": False})
    assert found.as_result() == {"ignored": [".github", "d/x.zip", "z.png"], "ignored_count": 3}
    assert found.default_exclusions() == (3, "'.github', 'd/x.zip', 'z.png'", ".github")


def test_whose_rule_it_was() -> None:
    paths = {"a.png": False, "b.png": False, ".gitignore": False, "own": False, ".git": True, ".git/c": False}
    assert left_out(paths).default_exclusions()[:2] == (3, "'.gitignore', 'a.png', 'b.png'")
    # defaults are replaced, but for those of version control
    assert left_out(paths, "own").default_exclusions()[:2] == (1, "'.gitignore'")
    assert left_out(paths, "own").names() == [".git", ".gitignore", "own"]
    assert left_out(paths, "own\n.gitignore\n.git\n").default_exclusions()[0] == 0
    assert left_out(paths, "", {"": "a.png\n"}).default_exclusions()[:2] == (1, "'.gitignore'")
    assert left_out(paths, "!.gitignore").names() == [".git"]


def test_names_that_no_terminal_and_no_json_may_have() -> None:
    found = LeftOut()
    for name in ("a\x1b[31m\n", "\udcff", "ä", "x" * 300):
        found.add(name, by_default=True)
    assert found.names() == ["a\x1b[31m\n", "x" * 300, "ä", "\\xff"]
    assert found.default_exclusions()[1] == f"'a\\x1b[31m\\n', '{'x' * 100}…', 'ä' and 1 more"
    (entry,) = found.as_diff()
    assert entry["after"].splitlines()[0] == r"'a\x1b[31m\n'"
    assert "\x1b" not in entry["after"]
    assert (entry["before"], entry["before_header"], entry["after_header"]) == ("", "left out", "left out")


@pytest.mark.once
def test_many_names_are_cut_and_counted() -> None:
    paths = {f"d{number % 100}/picture{number:06}.png": False for number in range(100_000)}
    paths.update({f"d{number}": True for number in range(100)})
    tracemalloc.start()
    try:
        before, _peak = tracemalloc.get_traced_memory()
        found = LeftOut()
        excluded = excluded_paths(paths, "", {}, PULL_DEFAULTS, found)
        names, diff = found.names(), found.as_diff()
        plain_set = set(excluded)
        after, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.count == len(plain_set) == 100_000
    assert names == sorted(plain_set)[:MAX_LISTED_NAMES]
    assert len(diff[0]["after"].splitlines()) == MAX_LISTED_NAMES + 1
    assert diff[0]["after"].endswith("and 99000 more\n")
    # the names themselves are the tree's
    assert after - before < 24 * 1024 * 1024


def test_several_directories() -> None:
    first, second, both = LeftOut(), LeftOut(), LeftOut()
    first.add("z.png", by_default=True)
    second.add("a.png")
    both.extend(first, "b")
    both.extend(second, "")
    assert both.as_result() == {"ignored": ["a.png", "b/z.png"], "ignored_count": 2}
    assert both.default_exclusions() == (1, "'b/z.png'", "b/z.png")
    assert LeftOut().as_diff() == []

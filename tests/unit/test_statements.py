# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of statements that the collection was made from: none is missing, and tests that there are show them."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

TESTS = Path(__file__).resolve().parents[1]
# of each document
COUNTS = {"specification": 43, "issue": 7, "gist": 10, "thread": 15}
# of the statements, one in a line: a table from which one was dropped or reworded is another
DIGEST = "88ea4ae5cdcf0cc650d015a5f4b06e01c18385f49a1d80ff97b6d01bd6d9494a"

pytestmark = pytest.mark.once


def read_table() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((TESTS / "statements.yml").read_text())["statements"]
    return found


def names_of_tests(path: Path) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_all_statements_are_there() -> None:
    table = read_table()
    assert Counter(each["document"] for each in table) == COUNTS and sum(COUNTS.values()) == 75
    text = "".join(f"{each['document']}: {each['statement']}\n" for each in table)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_each_works_and_is_shown_or_is_not_applicable_for_a_reason() -> None:
    known: dict[str, set[str]] = {}
    for each in read_table():
        assert set(each) <= {"document", "statement", "works", "not_applicable", "note"}
        assert ("works" in each) != ("not_applicable" in each), each
        assert len(each.get("not_applicable", "a reason that is one")) > 15
        assert each.get("works", True)
        for test in each.get("works", ()):
            file, _colons, name = test.partition("::")
            if file not in known:
                known[file] = names_of_tests(TESTS / file)
            assert name in known[file], test

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docstrings and comments refer to (``:func:`~.resolve.resolve```) exists under that name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
ROLE = re.compile(r":(?:mod|class|func|meth|attr|exc|data):`~?([^`]+)`")
FILES = sorted(path for path in PLUGINS.rglob("*.py") if path.parent.name not in ("modules", "doc_fragments", "lookup"))


def names_of(tree: ast.Module) -> set[str]:
    """What a module defines: names of its own, and of its classes with the class before them."""
    return set(_defined(tree.body, "")) - {""}


def _defined(body: list[ast.stmt], above: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield above + node.name
        if isinstance(node, ast.ClassDef):
            yield from _defined(node.body, f"{node.name}.")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (above + each.id for each in ast.walk(target) if isinstance(each, ast.Name))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield alias.asname or alias.name
        elif isinstance(node, ast.If):  # TYPE_CHECKING
            yield from _defined(node.body, above)


NAMES = {path: names_of(ast.parse(path.read_text(encoding="utf-8"))) for path in FILES}
PLACES = {".".join(path.relative_to(PLUGINS).with_suffix("").parts): names for path, names in NAMES.items()}


def exists(reference: str, path: Path) -> bool:
    """Whether it names something: of the file itself, or with dots, of any module whose path ends like that."""
    if "." not in reference:
        return any(name == reference or name.endswith(f".{reference}") for name in NAMES[path])
    wanted = f".{reference.lstrip('.')}"
    own = (f".{name}" for name in NAMES[path])
    others = (f".{place}.{name}" for place, names in PLACES.items() for name in ("", *names))
    return any(name.rstrip(".").endswith(wanted) for name in (*own, *others))


def test_each_reference_leads_somewhere() -> None:
    found = {path: ROLE.findall(path.read_text(encoding="utf-8")) for path in FILES}
    stale = {
        str(path.relative_to(PLUGINS)): [name for name in names if not exists(name, path)]
        for path, names in found.items()
    }
    assert {path: names for path, names in stale.items() if names} == {}
    assert sum(map(len, found.values())) > 50


def test_a_reference_that_leads_nowhere_is_found() -> None:
    here = PLUGINS / "module_utils/_ops/resolve.py"
    assert exists("resolve", here) and exists(".resolve.Resolved.revision", here) and exists(".resolve.resolve", here)
    assert not exists(".pull_change", here) and not exists("load", here) and not exists(".resolve.gone", here)

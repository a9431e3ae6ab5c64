# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws docs/docsite/rst/architecture.svg: the packages in their layers, and the steps of a pull, a push and a release.

``python3 tests/support/architecture.py`` writes the drawing, and a copy of it into architecture.rst. The layers are
read from the contract in pyproject.toml; what each package is for, and the steps, stand below.
tests/unit/test_architecture.py compares the drawing with the packages, the contract and the imports.
"""

from __future__ import annotations

import ast
import base64
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape

CHECKOUT = Path(__file__).resolve().parents[2]
DRAWING = CHECKOUT / "docs/docsite/rst/architecture.svg"
PAGE = CHECKOUT / "docs/docsite/rst/architecture.rst"
ALT = "The packages in layers, and the steps of a pull, a push and a release through them"
NAME = "ansible_collections.cloudnative.artifacts.plugins."

# above the layers of the contract: the plugins that Ansible loads
ON_TOP = (("action", "lookup"), ("plugin_utils",), ("modules",))

# the drawing has no place for a text where a layer has several packages; the page has one for each
NOUNS = {
    "plugin_utils": "shared by controller plugins",
    "modules": "options, results and examples",
    "_ansible": "argument specs, AnsibleModule",
    "_ops": "what is done: pull, push, releases…",
    "_manifests": "objects, ApplySets, readiness",
    "_helm": "charts, values, the helm program",
    "_cache": "downloads, kept by digest",
    "_policy": "what may be used, and when",
    "_archive": "tar, compression, ignore rules",
    "_http": "sessions, TLS, retries, limits",
    "_oci": "references, versions, manifests",
    "_files": "safe access to files, locks",
    "_secrets": "values that nobody may see",
    "_errors": "all errors, with their reasons",
}


class Step(NamedTuple):
    """A package at work; ``caller`` imports it, and is empty for what Ansible itself starts."""

    caller: str
    package: str
    text: str


WAYS: dict[str, tuple[str, Sequence[Step]]] = {
    "A pull": (
        "#1f5fbf",
        (
            Step("", "action", "the task starts"),
            Step("action", "plugin_utils", "find credentials"),
            Step("", "modules", "oci_artifact_pull"),
            Step("modules", "_ansible", "check the options"),
            Step("modules", "_ops", "pull/: decide what to do"),
            Step("_ops", "_oci", "parse the reference"),
            Step("_ops", "_dest", "compare files and record"),
            Step("_ops", "_login", "find credentials"),
            Step("_ops", "_registry", "resolve tag to digest"),
            Step("_registry", "_http", "send each request"),
            Step("_ops", "_trust", "verify the signatures"),
            Step("_ops", "_cache", "read, keep the bytes"),
            Step("_ops", "_archive", "unpack, check digest"),
            Step("_ops", "_dest", "put files in place"),
            Step("_dest", "_files", "write, follow no link"),
        ),
    ),
    "A push": (
        "#1a7f4b",
        (
            Step("", "action", "the task starts"),
            Step("action", "plugin_utils", "find credentials"),
            Step("", "modules", "oci_artifact_push"),
            Step("modules", "_ansible", "check the options"),
            Step("modules", "_ops", "push/: build, compare, send"),
            Step("_ops", "_oci", "parse the reference"),
            Step("_ops", "_helm", "package a chart"),
            Step("_ops", "_archive", "pack the files"),
            Step("_archive", "_files", "read, follow no link"),
            Step("_ops", "_oci", "write the manifest"),
            Step("_ops", "_login", "find credentials"),
            Step("_ops", "_registry", "send blobs, manifest"),
            Step("_registry", "_http", "send each request"),
            Step("_ops", "_trust", "sign the digest"),
            Step("_ops", "_registry", "write the tags"),
        ),
    ),
    "A release": (
        "#b4530a",
        (
            Step("", "action", "read values files"),
            Step("action", "plugin_utils", "credentials, secrets"),
            Step("", "modules", "sources, then releases"),
            Step("modules", "_ansible", "check the options"),
            Step("modules", "_ops", "charts/, then releases/"),
            Step("_ops", "_registry", "resolve tag to digest"),
            Step("_ops", "_trust", "verify the signatures"),
            Step("_ops", "_cache", "keep the chart"),
            Step("_ops", "_kube", "read records, take a lock"),
            Step("_kube", "_http", "send each request"),
            Step("_ops", "_helm", "decide, run helm"),
            Step("_ops", "_secrets", "mask values in results"),
        ),
    ),
}

WIDTH, LEFT, BOXES, GAP = 1130, 10, 300, 6
COLUMN, FIRST_COLUMN = 270, 325
LINE, PADDING, TOP = 24, 8, 44
INDENT = 16
_DATA_LINE = 140
_STYLE = "text{font:11px sans-serif}.b{font-weight:bold}.m{text-anchor:middle}"


def contract_layers(pyproject: str) -> list[tuple[str, ...]]:
    """The layers of the contract on packages, from the top; each with its packages."""
    contract = pyproject[pyproject.index('name = "Rooms:') :]
    match = re.search(r"^layers = (\[.*?^\])", contract, re.MULTILINE | re.DOTALL)
    assert match
    layers: list[str] = ast.literal_eval(match[1])
    return [tuple(re.split(r"\s*[|:]\s*", layer)) for layer in layers]


def packages_of(plugins: Path) -> set[str]:
    """The packages and modules directly in ``module_utils``, and the kinds of plugins."""
    found = {path.stem for path in (plugins / "module_utils").iterdir() if path.suffix == ".py" or _holds_code(path)}
    found |= {path.name for path in plugins.iterdir() if _holds_code(path)}
    return found - {"module_utils", "doc_fragments", "__init__"}


def imports_of(plugins: Path) -> set[tuple[str, str]]:
    """Which package imports which; what is imported for type checkers alone does not count."""
    found: set[tuple[str, str]] = set()
    for path in plugins.rglob("*.py"):
        own = path.relative_to(plugins).with_suffix("").parts
        found |= _arrows(path.read_text(), own)
    return {(source, target) for source, target in found if source != target}


@functools.cache
def _arrows(text: str, own: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    """The same for one file, which is parsed once however often it is looked at."""
    return frozenset((_package(own), _package(target)) for target in _targets(ast.parse(text), own))


def _holds_code(path: Path) -> bool:
    return path.is_dir() and any(path.glob("**/*.py"))


def _package(parts: Sequence[str]) -> str:
    return parts[1] if parts[0] == "module_utils" and len(parts) > 1 else parts[0]


def _targets(node: ast.AST, own: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The modules of this collection that are imported in a file, as parts below ``plugins``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom):
            module = child.module or ""
            if child.level:
                base = (*own[: -child.level], *module.split(".")) if module else tuple(own[: -child.level])
            elif module.startswith(NAME):
                base = tuple(module[len(NAME) :].split("."))
            else:
                continue
            yield from ((*base, alias.name) for alias in child.names)
        yield from _targets(child, own)


def draw(layers: Sequence[Sequence[str]]) -> str:
    """The drawing as SVG. Boxes carry ``data-package`` and ``data-layer``, arrows ``data-from`` and ``data-to``."""
    rows = [*ON_TOP, *layers]
    tops, heights = _measure(rows)
    total = tops[-1] + heights[-1] + 34
    parts = [_text(LEFT, 26, "The packages", "b")]
    for number, row in enumerate(rows):
        parts += _row(number, row, tops[number], heights[number])
    for column, (title, (colour, steps)) in enumerate(WAYS.items()):
        parts += _way(title, colour, steps, FIRST_COLUMN + column * COLUMN, _lines(rows, tops, steps))
    parts.append(_text(LEFT, total - 12, "Imports point down only. Numbers give the order of the steps."))
    size = f'width="{WIDTH}" height="{total}" viewBox="0 0 {WIDTH} {total}"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{ALT}" {size}>\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect width="{WIDTH}" height="{total}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _measure(rows: Sequence[Sequence[str]]) -> tuple[list[int], list[int]]:
    """Where each row begins, and how high it is: as high as the way with the most steps there needs."""
    tops, heights, top = [], [], TOP
    for row in rows:
        lines = max(sum(step.package in row for step in steps) for _colour, steps in WAYS.values())
        tops.append(top)
        heights.append(max(1, lines) * LINE + PADDING)
        top += heights[-1] + GAP
    return tops, heights


def _row(number: int, row: Sequence[str], top: int, height: int) -> Iterator[str]:
    yield f'<rect x="0" y="{top - GAP // 2}" width="{WIDTH}" height="{height + GAP}" fill="{_shade(number)}"/>'
    width = (BOXES - GAP * (len(row) - 1)) / len(row)
    for place, name in enumerate(row):
        x, middle = LEFT + place * (width + GAP), top + height / 2 + 4
        box = f'x="{x:g}" y="{top}" width="{width:g}" height="{height}" rx="4"'
        yield f'<rect data-package="{name}" data-layer="{number}" {box} fill="#ffffff" stroke="#666666"/>'
        if len(row) > 1:
            yield _text(x + width / 2, middle, name, "b m")
        else:
            yield _text(x + 8, middle, name, "b")
            yield _text(x + 100, middle, NOUNS.get(name, ""))


def _shade(number: int) -> str:
    return "#f4f6f9" if number % 2 else "#e9edf3"


def _lines(rows: Sequence[Sequence[str]], tops: Sequence[int], steps: Sequence[Step]) -> list[float]:
    """The height of each step's middle."""
    used = [0] * len(rows)
    middles = []
    for step in steps:
        number = next(number for number, row in enumerate(rows) if step.package in row)
        middles.append(tops[number] + PADDING / 2 + used[number] * LINE + LINE / 2)
        used[number] += 1
    return middles


def _way(title: str, colour: str, steps: Sequence[Step], left: int, middles: Sequence[float]) -> Iterator[str]:
    yield _text(left, 26, title, "b", colour)
    depths: dict[str, int] = {}
    for step in steps:
        depths.setdefault(step.package, depths[step.caller] + 1 if step.caller else 0)
    right = left + COLUMN - 30
    lanes = list(dict.fromkeys(step.caller for step in steps if depths.get(step.caller, 0) > 1))
    at: dict[str, float] = {}
    for step, middle in zip(steps, middles):
        if step.caller:
            lane = right + 16 - 6 * lanes.index(step.caller) if step.caller in lanes else 0
            x = left + INDENT * depths[step.caller]
            end = left + INDENT * depths[step.package]
            yield _arrow(title, colour, step, at[step.caller], middle, (x + 7, end) if not lane else (lane, right))
        at[step.package] = middle
    for number, (step, middle) in enumerate(zip(steps, middles), 1):
        x = left + INDENT * min(depths[step.package], 2)
        box = f'x="{x}" y="{middle - 10:g}" width="{right - x}" height="20" rx="10"'
        yield f'<rect {box} fill="#ffffff" stroke="{colour}"/>'
        yield _text(x + 8, middle + 4, str(number), "b", colour)
        yield _text(x + 25, middle + 4, f"{step.package}: {step.text}")


def _arrow(way: str, colour: str, step: Step, start: float, end: float, xs: tuple[float, float]) -> str:
    """From the left side of the caller down and to the right; from the right side for a caller deeper down."""
    lane, tip = xs
    data = f'data-way="{way}" data-from="{step.caller}" data-to="{step.package}"'
    if lane < tip:
        line, head = f"M{lane:g} {start + 10:g}V{end:g}H{tip - 2:g}", f"M{tip - 1:g} {end:g}l-6 -3v6z"
    else:
        line = f"M{tip:g} {start:g}H{lane:g}V{end:g}H{tip + 2:g}"
        head = f"M{tip + 1:g} {end:g}l6 -3v6z"
    return f'<path {data} d="{line}" fill="none" stroke="{colour}"/><path d="{head}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, kind: str = "", colour: str = "") -> str:
    kinds = f' class="{kind}"' if kind else ""
    fill = f' fill="{colour}"' if colour else ""
    return f'<text x="{x:g}" y="{y:g}"{kinds}{fill}>{escape(text)}</text>'


def embedded(drawing: str) -> str:
    """The lines of the page that show the drawing.

    The documentation site takes no files but pages, so the page carries a copy; a code host drops the element that
    does, and shows the file. The copy is in short lines, which URLs may have: docutils refuses lines of 10,000
    characters.
    """
    data = base64.b64encode(drawing.encode("utf-8")).decode("ascii")
    lines = "".join(f"\n   {data[start : start + _DATA_LINE]}" for start in range(0, len(data), _DATA_LINE))
    return (
        f'   <object type="image/svg+xml" style="max-width: 100%" data="data:image/svg+xml;base64,{lines}">\n'
        f'   <img src="architecture.svg" alt="{ALT}">\n   </object>\n'
    )


def with_drawing(page: str, drawing: str) -> str:
    """The page with the drawing in place of the one that it shows."""
    before, rest = page.split("   <object ", 1)
    return before + embedded(drawing) + rest.split("</object>\n", 1)[1]


def faults(drawing: str, layers: Sequence[Sequence[str]], plugins: Path) -> list[str]:
    """What in the drawing is not so: packages, their layers, and arrows without an import."""
    boxes: dict[str, int] = {}
    arrows = []
    for element in ElementTree.fromstring(drawing).iter():
        if "data-package" in element.attrib:
            boxes[element.attrib["data-package"]] = int(element.attrib["data-layer"])
        if "data-from" in element.attrib:
            arrows.append((element.attrib["data-from"], element.attrib["data-to"]))
    actual = packages_of(plugins)
    wanted = {name: number for number, row in enumerate([*ON_TOP, *layers]) for name in row}
    found = [f"{name} is not drawn" for name in sorted(actual - set(boxes))]
    found += [f"{name} is drawn, and is not there" for name in sorted(set(boxes) - actual)]
    found += [f"{name} is in another layer" for name in sorted(boxes) if wanted.get(name) != boxes[name]]
    imports = imports_of(plugins)
    found += [f"{source} does not import {target}" for source, target in arrows if (source, target) not in imports]
    found += [f"{source} is not above {target}" for source, target in arrows if boxes[source] >= boxes[target]]
    return found


if __name__ == "__main__":
    drawn = draw(contract_layers((CHECKOUT / "pyproject.toml").read_text()))
    DRAWING.write_text(drawn)
    PAGE.write_text(with_drawing(PAGE.read_text(), drawn))

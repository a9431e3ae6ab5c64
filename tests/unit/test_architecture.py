# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drawing of the architecture shows the packages that there are, in the layers of the contract, and imports."""

from __future__ import annotations

import shutil
from pathlib import Path

import architecture
import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
LAYERS = architecture.contract_layers((ROOT / "pyproject.toml").read_text())
DRAWING = (ROOT / "docs/docsite/rst/architecture.svg").read_text()
PAGE = (ROOT / "docs/docsite/rst/architecture.rst").read_text()


def test_the_drawing_agrees_with_packages_contract_and_imports() -> None:
    assert architecture.faults(DRAWING, LAYERS, PLUGINS) == []


def test_the_drawing_and_its_copy_in_the_page_are_what_the_script_draws() -> None:
    again = "run python3 tests/support/architecture.py"
    assert architecture.draw(LAYERS) == DRAWING, again
    assert architecture.embedded(DRAWING) in PAGE, again
    assert architecture.with_drawing(PAGE, DRAWING) == PAGE


def test_each_way_begins_where_ansible_does_and_reaches_the_verbs() -> None:
    for _colour, steps in architecture.WAYS.values():
        reached = {"", *(step.package for step in steps if not step.caller)}
        assert reached <= {"", "action", "modules"}
        for step in steps:
            assert step.caller in reached
            reached.add(step.package)
        assert "_ops" in reached


@pytest.mark.parametrize("package", sorted(architecture.packages_of(PLUGINS) - {"modules", "action", "lookup"}))
def test_the_page_says_what_each_package_is_for(package: str) -> None:
    assert f"``{package}``" in PAGE


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """The plugins, to be changed."""
    return Path(shutil.copytree(PLUGINS, tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__")))


def test_a_new_package_has_to_be_drawn(plugins: Path) -> None:
    (plugins / "module_utils/_copy").mkdir()
    (plugins / "module_utils/_copy/copy.py").write_text("")

    assert architecture.faults(DRAWING, LAYERS, plugins) == ["_copy is not drawn"]


def test_a_package_that_is_gone_may_not_be_drawn(plugins: Path) -> None:
    shutil.rmtree(plugins / "module_utils/_layout")

    assert architecture.faults(DRAWING, LAYERS, plugins) == ["_layout is drawn, and is not there"]


def test_a_package_is_drawn_in_the_layer_of_the_contract() -> None:
    layers = [tuple(name for name in row if name != "_kube") for row in LAYERS]
    layers[-1] += ("_kube",)

    assert "_kube is in another layer" in architecture.faults(DRAWING, layers, PLUGINS)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ('data-from="_dest" data-to="_http"', "_dest does not import _http"),
        ('data-from="_files" data-to="_dest"', "_files is not above _dest"),
        ('data-from="_oci" data-to="_oci"', "_oci is not above _oci"),
    ],
)
def test_an_arrow_is_an_import_and_points_down(written: str, fault: str) -> None:
    drawing = DRAWING.replace('data-from="_dest" data-to="_files"', written)

    assert drawing != DRAWING
    assert fault in architecture.faults(drawing, LAYERS, PLUGINS)


def test_imports_for_type_checkers_alone_are_no_arrows(tmp_path: Path) -> None:
    package = tmp_path / "module_utils/_ops/pull"
    package.mkdir(parents=True)
    (package / "decide.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "from ..._dest import state\n"
        "from ..task import Task\n"
        "if TYPE_CHECKING:\n    from ..._kube.api import Api\n"
        "def late():\n"
        "    from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import Policy\n"
        "    from ..._errors import OciError\n"
    )

    assert architecture.imports_of(tmp_path) == {("_ops", "_dest"), ("_ops", "_trust"), ("_ops", "_errors")}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which charts a host of a run takes from another one, and which revisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.agreed_charts import agreed_charts

REVISION = "1.0.0@sha256:" + "a" * 64
CHART = {"path": "/cache/blob", "revision": REVISION}
OPTIONS: dict[str, Any] = {"sources": {"demo": {"ref": "registry.example.com/demo:1.0.0", "password": "hush"}}}


def ask(
    folder: Path, options: dict[str, Any] | None = None, place: str = "localhost me"
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """What is known; what is not is found by this host."""
    options = options or OPTIONS
    with agreed_charts(str(folder), place, options) as agreed:
        known = agreed.charts, agreed.pins
        if agreed.charts is None:
            agreed.keep(dict.fromkeys(options["sources"], CHART))
    return known


def test_a_host_that_asks_for_the_same(tmp_path: Path) -> None:
    assert ask(tmp_path) == (None, {})
    assert ask(tmp_path) == ({"demo": CHART}, {"demo": REVISION})
    # by another name, and with another login
    again = {"sources": {"same": {"ref": "registry.example.com/demo:1.0.0", "username": "u"}}}
    assert ask(tmp_path, again) == ({"same": CHART}, {"same": REVISION})
    assert "hush" not in "".join(path.read_text() for path in tmp_path.iterdir())
    # a pin of the task's own wins over what others have resolved
    assert ask(tmp_path, {**OPTIONS, "pins": {"demo": "other"}})[1] == {"demo": "other"}


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("localhost root", OPTIONS),
        ("elsewhere me", OPTIONS),
        ("localhost me", {**OPTIONS, "cache_dir": "/other"}),
    ],
)
def test_another_place_fetches_the_same_revision(tmp_path: Path, place: str, options: dict[str, Any]) -> None:
    ask(tmp_path)
    assert ask(tmp_path, options, place) == (None, {"demo": REVISION})
    assert ask(tmp_path, options, place) == ({"demo": CHART}, {"demo": REVISION})


@pytest.mark.parametrize(
    "options",
    [
        {"sources": {"demo": {"ref": "registry.example.com/demo:2.0.0"}}},
        {**OPTIONS, "verify": {"public_keys": ["/key"]}},
        {"sources": {"demo": {**OPTIONS["sources"]["demo"], "tag_moved": "fail"}}},
    ],
)
def test_another_question(tmp_path: Path, options: dict[str, Any]) -> None:
    ask(tmp_path)
    assert ask(tmp_path, options) == (None, {})


def test_one_source_of_two_and_none(tmp_path: Path) -> None:
    ask(tmp_path)
    other = {"ref": "registry.example.com/other:1"}
    assert ask(tmp_path, {"sources": {**OPTIONS["sources"], "other": other}}) == (None, {"demo": REVISION})
    assert ask(tmp_path, {"sources": {}}) == (None, {})


def test_what_fails_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), agreed_charts(str(tmp_path), "localhost me", OPTIONS) as agreed:
        agreed.keep({"demo": CHART})
        raise RuntimeError
    assert ask(tmp_path) == (None, {})

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hosts of a run agree upon, and what each of them finds out by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.agreement import pinned

REVISION = "1@sha256:" + "a" * 64
FOUND = {"artifact": {"revision": REVISION}, "reason": "NewRevision"}
DOWN = {"failed": True, "reason": "ConnectionFailed", "msg": "no answer"}
TASK = {"ref": "registry.example.com/a:1", "dest": "/srv", "resolve_once": True, "password": "hush"}


class Run:
    """The hosts of a run, one after the other; ``asked`` are the options that a module resolves with."""

    def __init__(self, folder: Path, *answers: Mapping[str, Any]) -> None:
        self.folder, self.answers, self.asked = folder, list(answers), list[Mapping[str, Any]]()

    def host(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        return pinned(options, str(self.folder), self._resolve)

    def _resolve(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(options)
        return self.answers.pop(0)


def test_the_first_host_resolves(tmp_path: Path) -> None:
    run = Run(tmp_path, FOUND)
    for _host in range(3):
        assert run.host(TASK) == ({**TASK, "pin": REVISION}, None)
    assert run.asked == [TASK]
    # by another task, with other options of no matter
    assert run.host({"ref": TASK["ref"], "dest": "/opt", "username": "u"})[0]["pin"] == REVISION
    assert "hush" not in "".join(path.read_text() for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "other",
    [
        {"ref": "registry.example.com/a:2"},
        {"url": "oci://registry.example.com/a", "tag": "1"},
        {**TASK, "semver": "1.x"},
        {**TASK, "layer_selector": {"media_type": "application/vnd.cncf.helm.chart.content.v1.tar+gzip"}},
    ],
)
def test_another_question(tmp_path: Path, other: dict[str, Any]) -> None:
    run = Run(tmp_path, FOUND, FOUND)
    run.host(TASK)
    run.host(other)
    assert len(run.asked) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"ref": "registry.example.com/a@sha256:" + "b" * 64},
        {"url": "oci://registry.example.com/a", "digest": "sha256:" + "b" * 64},
        {"ref": "oci-layout:/srv/bundle:1"},
        {"ref": "oci-archive:/srv/bundle.tar:1"},
        {**TASK, "pin": REVISION},
        {"dest": "/srv"},
        {"artifacts": "not a list"},
        {"artifacts": ["no mapping", None]},
        {"artifacts": []},
    ],
)
def test_nothing_to_agree_upon(tmp_path: Path, options: dict[str, Any]) -> None:
    assert Run(tmp_path).host(options) == (options, None)


def test_a_registry_that_is_down(tmp_path: Path) -> None:
    run = Run(tmp_path, DOWN)
    assert run.host(TASK) == (TASK, DOWN)
    # the others find out for themselves, side by side
    assert run.host(TASK) == (TASK, None)
    assert len(run.asked) == 1


@pytest.mark.parametrize("answer", [{"failed": True, "reason": "StorageOperationFailed"}, {"failed": True, "msg": "?"}])
def test_a_failure_of_one_host(tmp_path: Path, answer: dict[str, Any]) -> None:
    run = Run(tmp_path, answer, FOUND)
    assert run.host(TASK) == (TASK, answer)
    assert run.host(TASK) == ({**TASK, "pin": REVISION}, None)


@pytest.mark.parametrize("reason", ["Suspended", "LastGoodKept"])
def test_what_is_no_answer_of_the_registry(tmp_path: Path, reason: str) -> None:
    run = Run(tmp_path, {**FOUND, "reason": reason})
    for _host in range(2):
        assert run.host(TASK) == (TASK, None)


def test_the_items_of_a_list(tmp_path: Path) -> None:
    one, two, three = ({"ref": f"registry.example.com/{name}:1"} for name in "abc")
    task = {"artifacts": [one, two, three], "resolve_once": True}
    run = Run(tmp_path, FOUND, {"failed": True, "results": [FOUND, {"failed": True, "reason": "InvalidOption"}, DOWN]})
    run.host({"ref": two["ref"]})
    pins = [{**one, "pin": REVISION}, {**two, "pin": REVISION}, three]
    assert run.host(task) == ({**task, "artifacts": pins}, None)
    assert run.asked[1]["artifacts"] == [one, {**two, "pin": REVISION}, three]
    assert run.host(task) == ({**task, "artifacts": pins}, None)
    assert len(run.asked) == 2

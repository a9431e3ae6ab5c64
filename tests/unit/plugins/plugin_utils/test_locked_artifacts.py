# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules are told of a lock file, and what is taken from their results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.file import read_lock
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.refusals import LockMissing, LockOutdated
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.locked_artifacts import run_locked
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.locked_charts import LockedCharts, locked_charts
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.task_lock import TaskLock, signers, take_lock

COLLECTION = Path(__file__).resolve().parents[4]
A, B = (f"sha256:{letter * 64}" for letter in "ab")
URL, NAME = "oci://registry.example.com/a", "registry.example.com/a"
PULL, INFO, COPY, TAG = (f"oci_artifact_{verb}" for verb in ("pull", "info", "copy", "tag"))


def answer(revision: str, **more: Any) -> dict[str, Any]:
    return {"changed": True, "reason": "NewRevision", "artifact": {"revision": revision}, **more}


class Run:
    """A task under a lock file; ``asked`` are the options that its module is run with, in check mode or not."""

    def __init__(self, folder: Path, **answers: dict[str, Any]) -> None:
        self.file = folder / "infra/oci.lock.yml"
        self.file.parent.mkdir(mode=0o755, exist_ok=True)
        self._folder = folder
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self._answers = answers

    def __call__(self, mode: str, module: str, options: dict[str, Any], *, is_check: bool = False) -> dict[str, Any]:
        lock = TaskLock(str(self.file), mode, is_check=is_check, wants_diff=True)

        def call(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
            self.asked.append((kind, given))
            return dict(self._answers.get(kind) or self._answers["run"])

        return run_locked(
            lock, module, options, str(self._folder),
            run=lambda given: call("run", given), look=lambda given: call("look", given),
        )  # fmt: skip

    def entries(self) -> dict[str, tuple[str, str]]:
        found = read_lock(str(self.file))
        return {} if found is None else {str(key): (each.revision, each.signer) for key, each in found.entries.items()}


def test_an_update_and_what_follows(tmp_path: Path) -> None:
    verification = {"verified": True, "signers": [{"key": "12", "subject": ""}]}
    run = Run(tmp_path, run=answer(f"1.4.0@{A}", verification=verification, diff={"before": "x", "after": "y"}))
    task = {"url": URL, "semver": "1.x", "dest": "/srv"}
    with pytest.raises(LockMissing):
        run("use", PULL, task)
    with pytest.raises(LockMissing):
        run("check", PULL, task)
    assert run.asked == []
    checked = run("update", PULL, task, is_check=True)
    assert checked["changed"] and len(checked["diff"]) == 2 and not run.file.exists()
    found = run("update", PULL, task)
    assert run.asked[-1] == ("run", {**task, "pin": f"1.4.0@{A}"})
    assert found["diff"][1]["after"] == run.file.read_text() and found["diff"][0] == {"before": "x", "after": "y"}
    assert run.entries() == {f"{URL} (semver: 1.x)": (f"1.4.0@{A}", "key 12")}
    assert "diff" in run("update", PULL, task) and run("update", PULL, task)["diff"] == {"before": "x", "after": "y"}
    run.asked.clear()
    assert run("use", PULL, task)["artifact"]["revision"] == f"1.4.0@{A}"
    assert run("check", PULL, task)["reason"] == "LockCurrent"
    assert run.asked == [("run", {**task, "pin": f"1.4.0@{A}"}), ("look", task)]
    moved = Run(tmp_path, run=answer(f"1.5.0@{B}"))
    with pytest.raises(LockOutdated) as caught:
        moved("check", PULL, task)
    assert caught.value.details["outdated"][0]["found"] == f"1.5.0@{B}" and caught.value.details["changed"] is False


@pytest.mark.parametrize("mode", ["update", "check"])
def test_what_the_registry_has_now_is_asked_whatever_the_interval_is(tmp_path: Path, mode: str) -> None:
    run = Run(tmp_path, run=answer(f"1.4.0@{A}"), look=answer(f"1.4.0@{A}"))
    entry = {"url": URL, "semver": "1.x", "dest": "/srv"}
    for task in (entry, {"artifacts": [entry]}):
        if "artifacts" in task:
            run = Run(tmp_path, run={"results": [answer(f"1.4.0@{A}")]})
        run("update", PULL, task)
        run.asked.clear()
        often = {"artifacts": [{**entry, "interval": "10m"}]} if "artifacts" in task else entry
        run(mode, PULL, {**often, "interval": "10m"})
        assert run.asked and all("interval" not in str(given) for _kind, given in run.asked)
        run.asked.clear()
        run("use", PULL, {**often, "interval": "10m"})
        assert [given["interval"] for _kind, given in run.asked] == ["10m"]


@pytest.mark.parametrize(
    ("module", "task", "given"),
    [
        (INFO, {"ref": f"{NAME}:1"}, {"ref": f"{NAME}:1@{A}"}),
        (INFO, {"url": URL, "tag": "1", "gather": ["config"]}, {"ref": f"{NAME}:1@{A}", "gather": ["config"]}),
        (
            INFO,
            {"url": URL, "semver": "1", "gather": "tags, manifest"},
            {"ref": f"{NAME}:1@{A}", "semver": "1", "gather": "tags, manifest"},
        ),
        (COPY, {"url": URL, "semver": "1", "to": "oci-layout:/x"}, {"ref": f"{NAME}:1@{A}", "to": "oci-layout:/x"}),
        (TAG, {"ref": f"{NAME}:1", "tags": ["x"]}, {"ref": f"{NAME}:1", "tags": ["x"], "pin": f"1@{A}"}),
        (
            PULL,
            {"url": URL, "filter_tags": '{"policy": {"semver": {"range": "1"}}}'},
            {"url": URL, "filter_tags": '{"policy": {"semver": {"range": "1"}}}', "pin": f"1@{A}"},
        ),
    ],
)
def test_how_a_module_is_told(tmp_path: Path, module: str, task: dict[str, Any], given: dict[str, Any]) -> None:
    run = Run(tmp_path, run=answer(f"1@{A}"))
    run("update", module, task)
    assert len(run.entries()) == 1
    run.asked.clear()
    run("use", module, task)
    assert run.asked == [("run", given)]
    # in a list, too
    if module != INFO:
        several = Run(tmp_path, run={"changed": True, "results": [answer(f"1@{A}")]})
        several("use", module, {"artifacts": [task]})
        assert several.asked == [("run", {"artifacts": [given]})]


@pytest.mark.parametrize(
    ("module", "task"),
    [
        (PULL, {"ref": f"{NAME}:1@{A}"}),
        (PULL, {"url": URL, "pin": f"1@{A}"}),
        (PULL, {"url": URL, "suspend": "yes"}),
        (PULL, {"artifacts": [{"url": URL, "suspend": True}, "no mapping", None]}),
        (PULL, {"artifacts": "no list"}),
        (TAG, {"ref": f"{NAME}:1", "tags": ["x"], "state": "absent"}),
        (INFO, {"ref": NAME, "gather": ["tags"]}),
        (INFO, {"registry": "registry.example.com"}),
        (INFO, {"dest": "/srv"}),
    ],
)
@pytest.mark.parametrize("mode", ["use", "update", "check"])
def test_nothing_to_look_up(tmp_path: Path, module: str, task: dict[str, Any], mode: str) -> None:
    run = Run(tmp_path, run=answer(f"1@{A}"))
    assert run(mode, module, task) == answer(f"1@{A}")
    assert run.asked == [("run", task)] and not run.file.exists()


def test_a_list(tmp_path: Path) -> None:
    items = [{"ref": f"{NAME}:{tag}"} for tag in "1234"]
    results = [
        answer(f"1@{A}"),
        {"failed": True, "reason": "OCIArtifactPullFailed"},
        answer(f"3@{A}", reason="LastGoodKept"),
        answer(f"4@{A}"),
    ]
    run = Run(tmp_path, run={"failed": True, "changed": True, "results": results})
    assert run("update", PULL, {"artifacts": items})["failed"]
    assert set(run.entries()) == {f"{URL}:1", f"{URL}:4"}
    with pytest.raises(LockMissing, match=r"a:2 is not in .*, nor are 1 other references") as caught:
        run("use", PULL, {"artifacts": items})
    assert caught.value.details["missing"] == [f"{URL}:2", f"{URL}:3"]
    with pytest.raises(OciError, match=r"^Item 2 of 'artifacts': "):
        run("use", PULL, {"artifacts": [items[0], {"ref": "no reference"}]})
    # a registry that is down is not an outdated file
    assert run("check", PULL, {"artifacts": [items[0]]})["changed"] is False


def test_what_has_several_tags(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="'limit' chooses several tags"):
        Run(tmp_path)("use", COPY, {"url": URL, "semver": "1.x", "limit": 5})


def test_the_options(tmp_path: Path) -> None:
    def take(options: dict[str, Any], **task: Any) -> TaskLock | None:
        defaults = {"check_mode": False, "diff": False, "async_val": 0}
        loader = SimpleNamespace(get_basedir=lambda: str(tmp_path))
        action: Any = SimpleNamespace(_task=SimpleNamespace(**{**defaults, **task}), _loader=loader)
        return take_lock(action, options, {})

    options = {"lock_file": "oci.lock.yml", "lock": "update", "ref": NAME}
    lock = take(options)
    assert lock is not None and (lock.path, lock.mode) == (str(tmp_path / "oci.lock.yml"), "update")
    assert options == {"ref": NAME}
    assert take({"lock_file": "", "lock": "check"}) is None and take({"lock": "use"}) is None
    used = take({"lock_file": "/srv/../x.yml"}, async_val=10)
    assert used is not None and (used.path, used.mode) == ("/x.yml", "use")
    for wrong, task in (({"lock_file": "x", "lock": "maybe"}, {}), ({"lock_file": ["x"]}, {}), ({"lock_file": 1}, {})):
        with pytest.raises(InvalidOption):
            take(wrong, **task)
    with pytest.raises(InvalidOption, match="async"):
        take({"lock_file": "x", "lock": "update"}, async_val=10)


def test_signers() -> None:
    keyed, named = {"key": "12"}, {"key": "13", "subject": "release@example.com", "issuer": "https://issuer"}
    text = "key 12, release@example.com (https://issuer)"
    for found in ([keyed, named], [named, keyed, keyed]):
        assert signers({"verified": True, "signers": found}) == text
    assert signers({"verified": False, "signers": [keyed]}) == signers({}) == ""


def test_charts(tmp_path: Path) -> None:
    file = tmp_path / "infra/oci.lock.yml"
    file.parent.mkdir(mode=0o755)
    action: Any = SimpleNamespace(
        _task=SimpleNamespace(check_mode=False, diff=False, async_val=0),
        _loader=SimpleNamespace(get_basedir=lambda: str(tmp_path)),
    )
    sources = {
        "demo": {"url": URL, "semver": "1.x", "interval": "10m"},
        "pinned": {"url": URL},
        "digest": {"ref": f"{NAME}@{A}"},
    }
    charts = {"demo": {"revision": f"1.4.0@{A}"}, "pinned": {"revision": f"latest@{B}"}}

    def locked(mode: str) -> tuple[LockedCharts, dict[str, Any]]:
        options: dict[str, Any] = {
            "sources": sources, "pins": {"pinned": f"latest@{B}"}, "lock_file": str(file), "lock": mode,
            "interval": "1h",
        }  # fmt: skip
        found = locked_charts(action, options, {})
        assert found is not None and not {"lock", "lock_file"} & set(options)
        assert ("interval" in str(options)) == (mode == "use")
        return found, options["pins"]

    with pytest.raises(LockMissing):
        locked("use")
    updating, pins = locked("update")
    assert pins == {"pinned": f"latest@{B}"} and not updating.only_compares
    assert updating.enter(charts, {"failed": True}) == {"failed": True} and not file.exists()
    assert updating.enter(charts, {"changed": False}) == {"changed": True}
    using, pins = locked("use")
    assert pins == {"demo": f"1.4.0@{A}", "pinned": f"latest@{B}"} and using.enter(charts, {}) == {}
    comparing, pins = locked("check")
    assert comparing.only_compares and pins == {"pinned": f"latest@{B}"}
    assert comparing.compare({"changed": True, "charts": charts})["reason"] == "LockCurrent"
    with pytest.raises(LockOutdated):
        comparing.compare({"charts": {"demo": {"revision": f"1.5.0@{B}"}}})
    with pytest.raises(OciError, match=r"^The source 'bad': "):
        LockedCharts(TaskLock(str(file), "use", is_check=False, wants_diff=False), {"sources": {"bad": {"ref": "no"}}})


def test_every_module_of_the_action_group_has_the_options_of_policies_and_lock_files() -> None:
    """A play sets them once, as ``module_defaults`` of the group, which a module that lacks one would refuse."""
    runtime = yaml.safe_load((COLLECTION / "meta/runtime.yml").read_text())
    lacking = []
    for name in runtime["action_groups"]["oci"]:
        text = (COLLECTION / "plugins/modules" / f"{name}.py").read_text()
        (documented,) = re.findall(r"^DOCUMENTATION = r\"\"\"\n(.*?)\"\"\"$", text, re.DOTALL | re.MULTILINE)
        fragments = set(yaml.safe_load(documented)["extends_documentation_fragment"])
        if not {f"cloudnative.artifacts.{each}" for each in ("policy", "lock")} <= fragments:
            lacking.append(name)
    assert not lacking

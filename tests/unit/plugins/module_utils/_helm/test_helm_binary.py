# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags that each version of Helm is called with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hanging import Hanging

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import run_program
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm import helm_binary
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.flags import DeployFlags, UninstallFlags
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.helm_binary import Helm, HelmAccess

WAITS = ("--wait", "--wait=watcher", "--wait=legacy", "--wait=hookOnly", "--wait-for-jobs")


def helm(folder: Path, version: str) -> Helm:
    """A program that says a version, and writes down what it is called with."""
    program = folder / "helm"
    program.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\necho v{version}.0\n')
    program.chmod(0o755)
    return Helm(str(program), HelmAccess(), str(folder))


def called(folder: Path) -> list[str]:
    return (folder / "called").read_text().split()


@pytest.mark.parametrize(
    ("version", "strategy", "wanted"),
    [
        ("3.10", "", ["--wait", "--wait-for-jobs"]),
        ("3.22", "legacy", ["--wait", "--wait-for-jobs"]),
        ("3.22", "hookOnly", []),
        ("4.0", "", ["--wait", "--wait-for-jobs"]),
        ("4.0", "watcher", ["--wait=watcher", "--wait-for-jobs"]),
        ("4.0", "legacy", ["--wait=legacy", "--wait-for-jobs"]),
        ("4.0", "hookOnly", ["--wait=hookOnly"]),
    ],
)
def test_how_helm_waits(tmp_path: Path, version: str, strategy: str, wanted: list[str]) -> None:
    program = helm(tmp_path, version)
    program.upgrade("one", "ns", "chart.tgz", b"{}", DeployFlags(wait_strategy=strategy))
    assert [word for word in called(tmp_path) if word in WAITS] == wanted
    program.rollback("one", "ns", 1, DeployFlags(wait_strategy=strategy))
    assert [word for word in called(tmp_path) if word in WAITS] == wanted
    program.uninstall("one", "ns", UninstallFlags(wait_strategy=strategy))
    assert [word for word in called(tmp_path) if word in WAITS] == wanted[:1]
    program.upgrade("one", "ns", "chart.tgz", b"{}", DeployFlags(wait=False, wait_strategy=strategy))
    assert not [word for word in called(tmp_path) if word in WAITS]


def test_what_a_version_of_helm_does_not_have(tmp_path: Path) -> None:
    old = helm(tmp_path, "3.22")
    for call in (
        lambda: old.install("one", "ns", "chart.tgz", b"{}", DeployFlags(wait_strategy="watcher")),
        lambda: old.uninstall("one", "ns", UninstallFlags(wait_strategy="watcher")),
    ):
        with pytest.raises(MissingDependency, match="Helm 3.22, which has no --wait=watcher"):
            call()
    old.rollback("one", "ns", 1, DeployFlags(recreate=True))
    assert "--recreate-pods" in called(tmp_path)
    with pytest.raises(MissingDependency, match="no --recreate-pods any more"):
        helm(tmp_path, "4.3").rollback("one", "ns", 1, DeployFlags(recreate=True))


def test_what_remedies_need_is_checked_before(tmp_path: Path) -> None:
    old, new = helm(tmp_path, "3.22"), helm(tmp_path, "4.3")
    old.check_remedies(DeployFlags(recreate=True), UninstallFlags())
    new.check_remedies(DeployFlags(wait_strategy="watcher"), UninstallFlags(wait_strategy="watcher"))
    for rollback, uninstall in (
        (DeployFlags(wait_strategy="watcher"), UninstallFlags()),
        (DeployFlags(), UninstallFlags(wait_strategy="watcher")),
    ):
        with pytest.raises(MissingDependency, match="Helm 3.22, which has no --wait=watcher"):
            old.check_remedies(rollback, uninstall)
    with pytest.raises(MissingDependency, match="no --recreate-pods any more"):
        new.check_remedies(DeployFlags(recreate=True), UninstallFlags())


def test_settings_of_a_removal(tmp_path: Path) -> None:
    flags = UninstallFlags(90, wait=False, keep_history=True, disable_hooks=True, propagation="orphan")
    helm(tmp_path, "4.0").uninstall("one", "ns", flags)
    assert called(tmp_path) == [
        "uninstall", "one", "--namespace", "ns", "--timeout=90000ms", "--keep-history", "--no-hooks",
        "--cascade=orphan",
    ]  # fmt: skip


@pytest.mark.parametrize("verb", ["upgrade", "render"])
def test_helm_is_ended_with_its_post_renderer_and_all_that_this_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    # Helm waits for a program that it has started, as for a post-renderer
    hanging = Hanging(tmp_path, version="echo v4.0.0")
    program = Helm(str(hanging.program), HelmAccess(), str(tmp_path))
    hanging.set_clock(monkeypatch, run_program)
    outcome = getattr(program, verb)("one", "ns", "chart.tgz", b"{}", DeployFlags(timeout=5))
    assert not outcome.ok
    limit = 120 if verb == "upgrade" else 180
    assert outcome.words == f"it did not end within {limit} s, and was ended with all that it had started"
    assert hanging.has_left_nothing()


def test_what_helm_prints_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_binary, "MAX_PRINTED", 1000)
    program = helm(tmp_path, "3.22")
    Path(program.path).write_text("#!/bin/sh\necho Error: refused >&2\nhead -c 1001 /dev/zero >&2\nexit 1\n")
    assert program.upgrade("one", "ns", "chart.tgz", b"{}", DeployFlags()).words.startswith("refused \0")
    Path(program.path).write_text("#!/bin/sh\nexec yes\n")
    outcome = program.upgrade("one", "ns", "chart.tgz", b"{}", DeployFlags(), dry_run="server")
    assert (outcome.ok, outcome.words) == (False, "it printed more than 1000 bytes, and was ended")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The post-renderer that hands manifests to this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ManifestsInvalid
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm import render_stage
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.post_renderer import PostRenderer
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.render_stage import RenderStage


def run(renderer: PostRenderer, manifests: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [renderer.command, *renderer.arguments]
    return subprocess.run(command, input=manifests, capture_output=True, check=False, timeout=60)


def test_manifests_come_back_changed(tmp_path: Path) -> None:
    with RenderStage(str(tmp_path), bytes.upper) as stage:
        for manifests in (b"a: b\n", b"x" * 1_000_000):
            done = run(stage.behind(None), manifests)
            assert (done.returncode, done.stdout) == (0, manifests.upper())
    assert stage.failure is None


def test_a_program_comes_first(tmp_path: Path) -> None:
    with RenderStage(str(tmp_path), bytes.upper) as stage:
        assert run(stage.behind(PostRenderer("sed", ["s/a/b/"])), b"a\n").stdout == b"B\n"
        failed = run(stage.behind(PostRenderer("false")), b"a\n")
    assert failed.returncode and b"exit code 1" in failed.stderr


def test_nothing_is_more_than_nothing_at_all(tmp_path: Path) -> None:
    with RenderStage(str(tmp_path), lambda _manifests: b"") as stage:
        assert run(stage.behind(None), b"").stdout.startswith(b"# nothing")


def test_an_error_is_what_it_was(tmp_path: Path) -> None:
    def refuse(_manifests: bytes) -> bytes:
        raise ManifestsInvalid("No patch fits.")

    with RenderStage(str(tmp_path), refuse) as stage:
        done = run(stage.behind(None), b"a")
    assert done.returncode and not done.stdout
    assert isinstance(stage.failure, ManifestsInvalid)


def test_directories_with_long_names(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    with RenderStage(str(folder), bytes.upper) as stage:
        assert run(stage.behind(None), b"a").stdout == b"A"


def test_it_ends_though_nobody_came(tmp_path: Path) -> None:
    with RenderStage(str(tmp_path), bytes.upper) as stage:
        assert stage.behind(None).command == sys.executable
    assert not stage._thread.is_alive()


def test_manifests_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_stage, "MAX_MANIFESTS", 1000)
    with RenderStage(str(tmp_path), bytes.upper) as stage:
        assert run(stage.behind(None), b"x" * 1000).stdout == b"X" * 1000
        done = run(stage.behind(None), b"x" * 1_000_000)
    assert done.returncode and not done.stdout
    assert stage.failure is not None and "more than 1000 bytes" in str(stage.failure)


def test_what_a_program_makes_of_them_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_stage, "MAX_MANIFESTS", 1000)
    with RenderStage(str(tmp_path), bytes.upper) as stage:
        assert run(stage.behind(PostRenderer("cat")), b"x" * 1000).stdout == b"X" * 1000
        done = run(stage.behind(PostRenderer("yes")), b"")
    assert done.returncode and not done.stdout
    assert b"yes printed more than 1000 bytes" in done.stderr

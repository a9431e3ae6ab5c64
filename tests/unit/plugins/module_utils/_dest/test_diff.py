# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diff shows of a plan."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import diff as content_diff
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.diff import diff_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.plan import Plan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import DIRECTORY, FILE, TreeEntry


def plan(**paths: list[str]) -> Plan:
    known = [path for group in paths.values() for path in group]
    return Plan(dict.fromkeys(known, TreeEntry(FILE, 0o644)), **paths)


def diff(work: Plan, root: Path, stage: Path) -> list[dict[str, str]]:
    with contextlib.ExitStack() as stack:
        before = DirectoryHandles.of(str(root)) if root.exists() else DirectoryHandles(-1)
        stack.callback(before.close)
        after = stack.enter_context(contextlib.closing(DirectoryHandles.of(str(stage))))
        return diff_of(work, str(root), before, after)


def test_each_kind_of_content_and_change(tmp_path: Path) -> None:
    root, stage = tmp_path / "root", tmp_path / "stage"
    (root / "was").mkdir(parents=True)
    (stage / "new").mkdir(parents=True)
    contents = {
        "text": b"new\n",
        "binary": b"\0",
        "latin": b"\xe9",
        "escape": b"\x1b[31m",
        "large": b"x" * 65537,
        "was": b"f",
    }
    for name, data in contents.items():
        (stage / name).write_bytes(data)
    (stage / "new/file").write_text("n")
    (stage / "link").symlink_to("text")
    (root / "text").write_text("old\n")
    (root / "gone").write_text("gone\n")
    work = plan(
        added=["binary", "escape", "large", "latin", "link", "new", "new/file"],
        changed=["text", "was"],
        removed=["gone"],
        metadata=["kept"],
    )
    work.tree = {**work.tree, "new": TreeEntry(DIRECTORY, 0o755)}
    shown = {}
    *entries, last = diff(work, root, stage)
    for entry in entries:
        header = entry["after_header"] if entry["before_header"] == "(absent)" else entry["before_header"]
        shown[header.replace(f"{root}/", "")] = (entry["before"], entry["after"])
    assert list(shown) == ["binary", "escape", "gone", "large", "latin", "link", "new/file", "text", "was"]
    assert shown["text"] == ("old\n", "new\n")
    assert shown["gone"] == ("gone\n", "")
    assert shown["link"] == ("", "symbolic link to text\n")
    assert shown["was"] == ("directory\n", "f")
    for name in ("binary", "escape", "large", "latin"):
        size = len(contents[name])
        assert shown[name][1].startswith(f"file of {size} bytes, sha256:"), name
    assert last == {"prepared": f"mode or owner of {root}/kept is set right\n"}


def test_a_diff_is_bounded(tmp_path: Path) -> None:
    names = [f"f{number:04d}" for number in range(1500)]
    for name in names:
        (tmp_path / name).write_text("x" * 2000)
    entries = diff(plan(added=names), tmp_path / "root", tmp_path)
    assert len(entries) == content_diff.MAX_FILES + 1
    assert entries[-1] == {"prepared": "and 500 files more\n"}
    total = sum(len(entry.get("after", "")) for entry in entries)
    assert content_diff.MAX_TOTAL // 2 < total < content_diff.MAX_TOTAL + 1000 * 100


def test_what_vanished_meanwhile_is_said(tmp_path: Path) -> None:
    (entry,) = diff(plan(changed=["a"]), tmp_path, tmp_path)
    assert entry["before"] == entry["after"] == "unreadable: No such file or directory\n"

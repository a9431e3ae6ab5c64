# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes of a plan, file by file, in the form of Ansible's ``--diff``."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence

from .._files.directory_handles import DirectoryHandles
from .._files.names import on_disk, shown
from .drift import file_digest
from .plan import Plan

# bytes; larger files, and files beyond the total, are shown as digests
MAX_TEXT = 64 * 1024
MAX_TOTAL = 1024 * 1024
MAX_FILES = 1000
# control characters other than white space: the terminal would interpret an escape sequence in a diff
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
# those beyond ASCII, which UTF-8 has in two bytes: the first begins an escape sequence for many a terminal
_CONTROL = re.compile("[\x80-\x84\x86-\x9f]")


def diff_of(plan: Plan, name: str, root: DirectoryHandles, stage: DirectoryHandles) -> list[dict[str, str]]:
    """One entry for each file that is added, changed or removed; contents for small text, digests for the rest.

    ``name`` is the path of ``root`` in headers.
    """
    budget = MAX_TOTAL
    result: list[dict[str, str]] = []
    added, changed, removed = set(plan.added), set(plan.changed), set(plan.removed)
    listed = []
    for path in sorted(added | changed | removed):
        # directories change with their content: only one that replaces an entry of another kind is shown
        if path in changed or not _is_directory(stage if path in added else root, path):
            listed.append(path)
    for path in listed[:MAX_FILES]:
        before = root if path not in added else None
        after = stage if path not in removed else None
        before_text, after_text = _shown_file(before, path, budget), _shown_file(after, path, budget)
        budget -= len(before_text) + len(after_text)
        result.append(
            {
                "before_header": shown(on_disk(name, path)) if before else "(absent)",
                "after_header": shown(on_disk(name, path)) if after else "(removed)",
                "before": before_text,
                "after": after_text,
            }
        )
    if len(listed) > MAX_FILES:
        result.append({"prepared": f"and {len(listed) - MAX_FILES} files more\n"})
    return result + permissions_diff(name, plan.metadata)


def permissions_diff(name: str, paths: Sequence[str]) -> list[dict[str, str]]:
    """One line for each entry of the directory ``name`` of which only mode or owner changes."""
    listed = [shown(on_disk(name, path)) for path in sorted(paths)[:MAX_FILES]]
    result = [{"prepared": f"mode or owner of {full} is set right\n"} for full in listed]
    if len(paths) > MAX_FILES:
        result.append({"prepared": f"and of {len(paths) - MAX_FILES} entries more\n"})
    return result


def _is_directory(root: DirectoryHandles, path: str) -> bool:
    try:
        return stat.S_ISDIR(root.lstat(path).st_mode)
    except OSError:
        return False


def _shown_file(root: DirectoryHandles | None, path: str, budget: int) -> str:
    if root is None:
        return ""
    try:
        status = root.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return f"symbolic link to {shown(os.fsdecode(root.readlink(path)))}\n"
        if not stat.S_ISREG(status.st_mode):
            return "directory\n" if stat.S_ISDIR(status.st_mode) else "special file\n"
        descriptor = root.open_file(path)
        size = os.fstat(descriptor).st_size
        if size <= min(MAX_TEXT, budget):
            with os.fdopen(os.dup(descriptor), "rb") as stream:
                text = plain_text(stream.read(size))
            if text is not None:
                os.close(descriptor)
                return text
            os.lseek(descriptor, 0, os.SEEK_SET)
        return f"file of {size} bytes, {_short(file_digest(descriptor))}\n"
    except OSError as exc:
        return f"unreadable: {exc.strerror}\n"


def plain_text(raw: bytes) -> str | None:
    """The content of a file, None when it is not text that is safe for a terminal."""
    if _NOT_TEXT.search(raw):
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _short(digest: str) -> str:
    """The first 12 hex digits after the algorithm, for messages meant for people."""
    algorithm, _colon, encoded = digest.partition(":")
    return f"{algorithm}:{encoded[:12]}"

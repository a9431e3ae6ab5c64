# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference that a placement makes, file by file, in the form of Ansible's ``--diff``."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence

from .digest import short_digest
from .drift import Plan, file_digest
from .names import on_disk, shown

# bytes; larger files, and files beyond the total, are named with their digests
MAX_TEXT = 64 * 1024
MAX_TOTAL = 1024 * 1024
MAX_FILES = 1000
# control characters other than white space: an escape sequence in a diff would be the terminal's
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def diff_of(plan: Plan, root: str, stage: str) -> list[dict[str, str]]:
    """One entry for each file that is added, changed or removed; contents for small text, digests for the rest."""
    budget = MAX_TOTAL
    result: list[dict[str, str]] = []
    added, changed, removed = set(plan.added), set(plan.changed), set(plan.removed)
    listed = []
    for path in sorted(added | changed | removed):
        # directories come and go with what is in them: only one that takes the place of something else is shown
        if path in changed or not _is_directory(on_disk(stage if path in added else root, path)):
            listed.append(path)
    for path in listed[:MAX_FILES]:
        before = on_disk(root, path) if path not in added else None
        after = on_disk(stage, path) if path not in removed else None
        before_text, after_text = _shown(before, budget), _shown(after, budget)
        budget -= len(before_text) + len(after_text)
        result.append(
            {
                "before_header": shown(on_disk(root, path)) if before else "(absent)",
                "after_header": shown(on_disk(root, path)) if after else "(removed)",
                "before": before_text,
                "after": after_text,
            }
        )
    if len(listed) > MAX_FILES:
        result.append({"prepared": f"and {len(listed) - MAX_FILES} files more\n"})
    return result + permissions_diff(root, plan.metadata)


def permissions_diff(root: str, paths: Sequence[str]) -> list[dict[str, str]]:
    """One line for each entry of which only mode or owner changes."""
    listed = [shown(on_disk(root, path)) for path in sorted(paths)[:MAX_FILES]]
    result = [{"prepared": f"mode or owner of {full} is set right\n"} for full in listed]
    if len(paths) > MAX_FILES:
        result.append({"prepared": f"and of {len(paths) - MAX_FILES} entries more\n"})
    return result


def _is_directory(full: str) -> bool:
    return os.path.isdir(full) and not os.path.islink(full)


def _shown(path: str | None, budget: int) -> str:
    if path is None:
        return ""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return f"symbolic link to {shown(os.readlink(path))}\n"
        if not stat.S_ISREG(status.st_mode):
            return "directory\n" if stat.S_ISDIR(status.st_mode) else "special file\n"
        text = _text(path, status.st_size) if status.st_size <= min(MAX_TEXT, budget) else None
        return f"file of {status.st_size} bytes, {short_digest(file_digest(path))}\n" if text is None else text
    except OSError as exc:
        return f"unreadable: {exc.strerror}\n"


def _text(path: str, size: int) -> str | None:
    """The content, None when it is not text that a terminal may be given."""
    with open(path, "rb") as stream:
        raw = stream.read(size)
    if _NOT_TEXT.search(raw):
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None

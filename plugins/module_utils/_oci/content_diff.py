# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference that a placement makes, file by file, in the form of Ansible's ``--diff``."""

from __future__ import annotations

import os
import stat

from .digest import short_digest
from .placement import Plan, file_digest
from .tree import DIRECTORY, FILE

# bytes; larger files, and files beyond the total, are named with their digests
MAX_TEXT = 64 * 1024
MAX_TOTAL = 1024 * 1024


def diff_of(plan: Plan, root: str, stage: str) -> list[dict[str, str]]:
    """One entry for each file that is added, changed or removed; contents for small text, digests for the rest."""
    budget = MAX_TOTAL
    result: list[dict[str, str]] = []
    for path in sorted({*plan.added, *plan.changed, *plan.removed}):
        after = None if path in plan.removed else os.path.join(stage, path)
        if after is not None and plan.tree[path].kind == DIRECTORY and path not in plan.changed:
            continue
        before = os.path.join(root, path) if path not in plan.added else None
        if after is None and before is not None and os.path.isdir(before) and not os.path.islink(before):
            continue
        before_text, after_text = _shown(before, budget), _shown(after, budget)
        budget -= len(before_text) + len(after_text)
        result.append(
            {
                "before_header": os.path.join(root, path) if before else "(absent)",
                "after_header": os.path.join(root, path) if after else "(removed)",
                "before": before_text,
                "after": after_text,
            }
        )
    for path in sorted(plan.metadata):
        result.append({"prepared": f"mode or owner of {os.path.join(root, path)} is set right\n"})
    return result


def _shown(path: str | None, budget: int) -> str:
    if path is None:
        return ""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return f"symbolic link to {os.readlink(path)}\n"
        if not stat.S_ISREG(status.st_mode):
            return "directory\n"
        if status.st_size <= min(MAX_TEXT, budget):
            with open(path, "rb") as stream:
                raw = stream.read(MAX_TEXT)
            if b"\0" not in raw:
                return raw.decode("utf-8")
        return f"{FILE} of {status.st_size} bytes, {short_digest(file_digest(path))}\n"
    except UnicodeDecodeError:
        return f"binary file of {status.st_size} bytes, {short_digest(file_digest(path))}\n"
    except OSError as exc:
        return f"unreadable: {exc.strerror}\n"

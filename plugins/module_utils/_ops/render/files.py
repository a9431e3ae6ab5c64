# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered manifests as the files of a destination: all of them, or none, and nothing that is not ours is touched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._dest.destination import Destination
from ..._dest.plan import Plan, make_plan
from ..._dest.state import State
from ..._dest.workplace import Workplace, locked
from ..._files.directory_handles import DirectoryHandles
from ..._files.names import encoded, on_disk, shown
from ..._files.tree import DIRECTORY, FILE, TreeEntry
from ..._helm.manifest_text import masked_manifests, secrets_of_release
from ..._helm.process_limits import MAX_RENDERED
from ..._oci.digest import digest_of
from ..._secrets.masking import Mask

# of each list in the result, and of the files in a diff
MAX_LISTED = 1000
# Secrets may be among them
FILE_MODE, DIRECTORY_MODE = 0o600, 0o700

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class Placed:
    """The changes of a destination, by the paths of its files."""

    plan: Plan
    diff: list[dict[str, str]] = field(default_factory=list, repr=False)

    def as_result(self) -> dict[str, list[str]]:
        """Return the value ``changes`` of the result."""
        plan = self.plan
        lists = {"added": plan.added, "changed": plan.changed, "removed": plan.removed, "permissions": plan.metadata}
        is_directory = {path for path, entry in plan.tree.items() if entry.kind == DIRECTORY}
        return {
            name: [shown(os.fsdecode(encoded(path))) for path in paths if path not in is_directory][:MAX_LISTED]
            for name, paths in lists.items()
        }


def is_in_place(destination: Destination, state: State, key: Mapping[str, Any]) -> bool:
    """Return True when the record says that the files are of this ``key``, and they are as they were placed."""
    if dict(state.key) != dict(key) or state.pending:
        return False
    return destination.find_drift(state, check_content=True).is_empty


def place_files(
    destination: Destination,
    files: Mapping[str, str],
    key: Mapping[str, Any],
    artifact: Mapping[str, Any],
    mask: Mask,
    *,
    force: bool,
    check_mode: bool,
    want_diff: bool,
) -> Placed:
    """Make the destination hold these files, and no others of earlier runs; in check mode, only tell what would change.

    :param artifact: what the record says about the chart.
    :param mask: hides secrets in the diff; those of the files that are there are added to it.
    :raises StorageError: when a file is in the way that no earlier run placed, or the file system refuses.
    """
    content = {path: text.encode("utf-8", "surrogateescape") for path, text in files.items()}
    tree = {path: TreeEntry(FILE, FILE_MODE, len(data), digest_of(data)) for path, data in content.items()}
    for path in files:
        above = path.rpartition("/")[0]
        while above and above not in tree:
            tree[above] = TreeEntry(DIRECTORY, DIRECTORY_MODE)
            above = above.rpartition("/")[0]
    if check_mode:
        return _placed(destination, None, content, tree, destination.load_state(), mask, force, want_diff)
    with locked(destination) as work:
        state = destination.load_state()
        placed = _placed(destination, work, content, tree, state, mask, force, want_diff)
        staged = _stage(work.stage, content, tree)
        try:
            work.apply(placed.plan, staged, state, key, artifact)
        finally:
            staged.close()
    return placed


def _placed(
    destination: Destination,
    work: Workplace | None,
    content: Mapping[str, bytes],
    tree: Mapping[str, TreeEntry],
    state: State,
    mask: Mask,
    force: bool,
    want_diff: bool,
) -> Placed:
    del work  # the destination is locked
    with destination.opened() as held:
        plan = make_plan(held.root, destination.place, tree, state, destination.permissions, force=force)
        diff = _diff(destination.place, held.root, plan, content, mask) if want_diff else []
    return Placed(plan, diff)


def _stage(stage: int, content: Mapping[str, bytes], tree: Mapping[str, TreeEntry]) -> DirectoryHandles:
    """Write the files below a new directory of the stage, and return it."""
    os.mkdir("content", 0o700, dir_fd=stage)
    handles = DirectoryHandles(os.open("content", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=stage))
    try:
        for path in sorted(tree):
            parent, name = handles.locate(path)
            if tree[path].kind == DIRECTORY:
                os.mkdir(name, 0o700, dir_fd=parent)
                continue
            with os.fdopen(os.open(name, _CREATE, FILE_MODE, dir_fd=parent), "wb") as stream:
                stream.write(content[path])
    except BaseException:
        handles.close()
        raise
    return handles


def _diff(
    place: str, root: DirectoryHandles, plan: Plan, content: Mapping[str, bytes], mask: Mask
) -> list[dict[str, str]]:
    """Return the files before and after, with secrets hidden."""
    added, removed = set(plan.added), set(plan.removed)
    paths = [path for path in sorted({*added, *plan.changed, *removed}) if path in content or path in removed]
    sides = []
    for path in paths[:MAX_LISTED]:
        old = "" if path in added else _read(root, path)
        if old is None:
            continue
        new = content[path].decode("utf-8", "replace") if path not in removed else ""
        for text in (old, new):
            for secret in secrets_of_release({"manifest": text}):
                mask.add(secret)
        sides.append((path, old, new))
    result = []
    for path, old, new in sides:
        header = shown(on_disk(place, path))
        result.append(
            {
                "before_header": header if path not in added else "(absent)",
                "after_header": header if path not in removed else "(removed)",
                "before": masked_manifests(old, mask) if old else "",
                "after": masked_manifests(new, mask) if new else "",
            }
        )
    return result


def _read(root: DirectoryHandles, path: str) -> str | None:
    """Return the text of a file of the destination, None for what is not a file."""
    try:
        with os.fdopen(root.open_file(path), "rb") as stream:
            raw = stream.read(MAX_RENDERED + 1)
    except OSError:
        return None
    return raw.decode("utf-8", "replace") if len(raw) <= MAX_RENDERED else f"# file of more than {MAX_RENDERED} bytes\n"

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy the checkout into a collection tree, the only place where Ansible's tools accept a collection."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMESPACE, NAME = "cloudnative", "artifacts"


def _source_files(checkout: Path) -> list[str]:
    """Tracked and new files, but nothing that git ignores."""
    listing = subprocess.run(
        ["git", "-C", str(checkout), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted({name for name in listing.split("\0") if name})


def make_tree(checkout: Path, tree: Path) -> Path:
    """Make tree/ansible_collections/cloudnative/artifacts afresh and return it."""
    collection = tree / "ansible_collections" / NAMESPACE / NAME
    shutil.rmtree(collection, ignore_errors=True)
    for name in _source_files(checkout):
        source, target = checkout / name, collection / name
        if not os.path.lexists(source):
            continue  # removed, but not yet committed
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    # ansible-test asks git for the files. In a tree inside the checkout it would ask the checkout, which ignores
    # the tree: it would find no files, and pass.
    subprocess.run(["git", "-C", str(collection), "init", "--quiet"], check=True)
    return collection


if __name__ == "__main__":
    print(make_tree(Path(__file__).resolve().parents[2], Path(sys.argv[1]).resolve()))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets plain ``pytest tests/unit/…`` work in a clone: the collection is importable under its name only in a tree."""

from __future__ import annotations

import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent
_NAME = ("ansible_collections", "cloudnative", "artifacts")


def _make_tree_of_links() -> None:
    tree = _CHECKOUT / ".work" / "tree"
    link = tree.joinpath(*_NAME)
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(_CHECKOUT, target_is_directory=True)
    sys.path.insert(0, str(tree))


if _CHECKOUT.parts[-3:] != _NAME:
    _make_tree_of_links()

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the registry last confirmed what is in a destination."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.confirmation import confirm, last_confirmed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.destination import Destination
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions


@pytest.mark.parametrize("content", [b"", b"x", b"a" * 64, b"%s %020d" % (b"a" * 64, 5), b"b" * 64 + b" x\n"])
def test_notes_that_say_nothing(tmp_path: Path, content: bytes) -> None:
    destination = Destination(str(tmp_path), Permissions())
    control = Path(destination.control)
    control.mkdir(mode=0o700)
    (control / "confirmed").write_bytes(content)
    assert last_confirmed(destination, "a" * 64) is None
    opened = len(os.listdir("/proc/self/fd"))
    confirm(destination, "a" * 64, 5.9)
    assert len(os.listdir("/proc/self/fd")) <= opened, "nothing stays open"
    assert last_confirmed(destination, "a" * 64) == (5.0 if len(content) <= 86 else None)
    assert last_confirmed(destination, "b" * 64) is None


def test_without_a_record_there_is_nothing_to_confirm(tmp_path: Path) -> None:
    destination = Destination(str(tmp_path), Permissions())
    assert last_confirmed(destination, "a" * 64) is None
    with pytest.raises(FileNotFoundError):
        confirm(destination, "a" * 64, 5.9)
    assert list(tmp_path.iterdir()) == []

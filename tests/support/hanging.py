# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that starts another one and waits for it for ever, and a clock for whoever runs it.

However busy the machine is: the time is up as soon as both are there, and not before.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

SCRIPT = """#!/bin/sh
case "$*" in *version*) {version}; exit;; esac
sleep 3600 &
echo $! > {note}.new
mv {note}.new {note}
wait
"""


class Hanging:
    """``program`` hangs, unless it is asked for its version."""

    def __init__(self, folder: Path, version: str = "true") -> None:
        """:param version: the command of a shell that says it."""
        self.program = folder / "hangs"
        self._note = folder / "hangs.child"
        self.program.write_text(SCRIPT.format(version=version, note=shlex.quote(str(self._note))))
        self.program.chmod(0o755)

    def set_clock(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        """Have modules see no time pass until the program hangs, and then more than anything may take."""
        clock = SimpleNamespace(monotonic=lambda: 1e9 if self._note.exists() else 0.0, sleep=time.sleep)
        for module in modules:
            monkeypatch.setattr(module, "time", clock)

    def has_left_nothing(self) -> bool:
        """Whether the program that it started ends; one that has is not necessarily looked at by its new parent."""
        status = Path("/proc", self._note.read_text().strip(), "stat")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if status.read_text().rpartition(")")[2].split()[0] in ("Z", "X"):
                    return True
            except (FileNotFoundError, ProcessLookupError):
                return True
            time.sleep(0.01)
        return False

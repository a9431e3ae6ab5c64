# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the real ansible-rulebook, which can be killed and started again, and reads back what its rules said."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.servers import end_with_parent

# Seconds for what takes a few on an idle machine. It only ends a test that has failed.
PATIENCE = 900.0
_EVENT = re.compile(r"EVENT (\{.*?\}) END", re.DOTALL)
#: the action of a rule whose events are read back
SHOW = {"debug": {"msg": "EVENT {{ event | tojson }} END"}}


class Rulebook:
    """One rulebook, run by the ansible-rulebook of this Python.

    ``log`` is all that its processes wrote.
    """

    def __init__(self, arguments: Sequence[str | Path], collections: Path, home: Path, java: str) -> None:
        """:param java: the program, whose home the rule engine is told."""
        programs = Path(sys.executable).parent
        self._command = [programs / "ansible-rulebook", "--shutdown-delay", "1", *arguments]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "EDA_"))}
        self.environment = {
            **kept,
            "HOME": str(home),
            "PATH": f"{programs}:{kept['PATH']}",
            "JAVA_HOME": str(Path(java).resolve().parents[1]),
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "PYTHONUNBUFFERED": "1",
        }
        self.log = home / "rulebook.log"
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                env={**self.environment, **environment},
                preexec_fn=end_with_parent,
            )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(PATIENCE)
            finally:
                self._process.kill()
                self._process = None

    def events(self) -> list[dict[str, Any]]:
        """What the rules with the action SHOW have said, in all runs."""
        return [json.loads(text) for text in _EVENT.findall(self.log.read_text(errors="replace"))]

    def wait_for_text(self, text: str) -> None:
        """Wait until one of the processes has written this text."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.log.read_text(errors="replace"):
            assert time.monotonic() < deadline, self.log.read_text(errors="replace")[-6000:]
            time.sleep(0.3)

    def wait_for(self, **wanted: Any) -> Mapping[str, Any]:
        """Wait for an event with these values; return the last one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = [each for each in self.events() if all(each.get(name) == wish for name, wish in wanted.items())]
            if found:
                return found[-1]
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.3)
        raise AssertionError(f"no event with {wanted}:\n{self.log.read_text(errors='replace')[-6000:]}")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The external tools, or a skip with the reason; where REQUIRE_TOOLS or CI is set, a failure instead."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

_FETCH = Path(__file__).resolve().parents[2] / "tools" / "fetch.py"


def _load_fetch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cloudnative_artifacts_fetch", _FETCH)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their own module up
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Tools:
    """tools["oras"] is the absolute path of oras."""

    def __init__(self, home: Path, before: Sequence[str] = ()) -> None:
        """:param before: the words that each command begins with."""
        self._fetch = _load_fetch()
        self._found: dict[str, str] = {}
        self._home = home
        self._before = before

    def __getitem__(self, name: str) -> str:
        if name not in self._found:
            path = self._fetch.locate(name)
            if path is None:
                self._give_up(f"{name} is neither on PATH nor built: run python3 tests/tools/fetch.py {name}")
            self._found[name] = str(path)
        return self._found[name]

    def behind(self, before: Sequence[str]) -> Tools:
        """The same tools, run by another command."""
        return Tools(self._home, before)

    @staticmethod
    def _give_up(reason: str) -> None:
        if os.environ.get("REQUIRE_TOOLS") or os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    def run(
        self,
        name: str,
        *arguments: str | Path,
        check: bool = True,
        cwd: Path | None = None,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a tool to its end, with a home of its own; a failure carries the tool's words."""
        command = [*self._before, self[name], *(str(part) for part in arguments)]
        environment = {key: value for key, value in os.environ.items() if key not in _LOGIN_VARIABLES}
        done = subprocess.run(
            command,
            check=False,
            cwd=cwd or self._home,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=900,
            env={**environment, "HOME": str(self._home), **(env or {})},
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def shown(self, page: Path) -> str:
        """A page as a browser makes it, whose profile is in the home of the tools: two cannot have the same one."""
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--dump-dom")
        return self.run("chromium", *flags, page.as_uri()).stdout


# variables that would lead a tool to the credentials of whoever runs the tests
_LOGIN_VARIABLES = frozenset(
    {"DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"}
)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Pythons of this machine, and the ansible-core releases they allow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# ansible-core release: oldest and newest Python 3 of the controller
CORES = {"2.17": (10, 12), "2.18": (11, 13), "2.19": (11, 13), "2.20": (12, 14), "2.21": (12, 14)}
# oldest Python the modules run on
TARGET_MINOR = 9

_ASK = """
import json, sys
try:
    import ensurepip, venv
except ImportError:
    ensurepip = None
base = getattr(sys, "_base_executable", None) or sys.executable
print(json.dumps([sys.version_info[0], sys.version_info[1], base, ensurepip is not None]))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter that can make virtual environments."""

    minor: int
    path: Path

    def __str__(self) -> str:
        return f"Python 3.{self.minor} ({self.path})"


@dataclass(frozen=True)
class Core:
    """An ansible-core release and the Python it will run on."""

    release: str
    python: Python

    def __str__(self) -> str:
        return f"ansible-core {self.release} on {self.python}"


def _candidates() -> Iterator[str]:
    yield sys.executable
    minors = range(TARGET_MINOR, max(newest for _oldest, newest in CORES.values()) + 1)
    names = ["python3", *(f"python3.{minor}" for minor in minors)]
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep) + ["/usr/bin", "/usr/local/bin"]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    # pyenv's launchers on PATH are slow and mostly say that their version is not active
    folders = [folder for folder in folders if folder != str(pyenv / "shims")]
    if (pyenv / "versions").is_dir():
        folders += [str(version / "bin") for version in sorted((pyenv / "versions").iterdir())]
    for folder in folders:
        for name in names:
            path = shutil.which(name, path=folder) if folder else None
            if path:
                yield path


def _ask(path: str) -> Python | None:
    """The interpreter itself has to answer: a name on PATH may be a launcher, or lack Debian's venv package."""
    try:
        done = subprocess.run([path, "-c", _ASK], check=False, capture_output=True, text=True, timeout=30)
        major, minor, base, makes_venvs = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Python(minor, Path(base)) if major == 3 and minor >= TARGET_MINOR and makes_venvs else None


def discover() -> dict[int, Python]:
    """One interpreter for each minor version, the first found."""
    found: dict[int, Python] = {}
    seen: set[str] = set()
    for candidate in _candidates():
        if os.path.realpath(candidate) in seen:
            continue
        seen.add(os.path.realpath(candidate))
        python = _ask(candidate)
        if python:
            found.setdefault(python.minor, python)
    return dict(sorted(found.items()))


def _release_key(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release))


def allowed_cores(pythons: dict[int, Python]) -> list[Core]:
    """Oldest first. The oldest release gets its oldest Python, the newest its newest."""
    cores = []
    for release in sorted(CORES, key=_release_key):
        oldest, newest = CORES[release]
        minors = [minor for minor in pythons if oldest <= minor <= newest]
        if minors:
            cores.append(Core(release, pythons[minors[-1] if cores else minors[0]]))
    return cores


def gates_core(pythons: dict[int, Python], cores: list[Core]) -> Core:
    """The linters are pinned to releases proven together with ansible-core 2.19 on Python 3.11."""
    return Core("2.19", pythons[11]) if 11 in pythons else cores[-1]

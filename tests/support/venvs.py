# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments in .work/, built once and rebuilt when what they hold should change."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pythons import Python

UV = "uv>=0.9,<1"


def child_environment(**changes: str) -> dict[str, str]:
    """The environment of everything that is started here."""
    # Python's bytecode is worth its files: without it each ansible command starts a second later
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **changes}


def make_venv(folder: Path, python: Python, requirements: Sequence[str], files: Sequence[Path]) -> Path:
    """An environment with these requirements and requirement files; returns its bin folder."""
    wish = hashlib.sha256("\n".join([str(python), *requirements]).encode())
    for file in files:
        wish.update(file.read_bytes())
    stamp = folder / "made-of"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f".{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made_of = stamp.read_text() if stamp.exists() else None
        if made_of != wish.hexdigest() or not (folder / "bin/python").exists():
            print(f"building {folder.name} with {python}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            environment = child_environment()
            subprocess.run([str(python.path), "-m", "venv", str(folder)], check=True, env=environment)
            words = list(requirements)
            for file in files:
                words += ["-r", str(file)]
            _install(folder / "bin/python", words, environment)
            stamp.write_text(wish.hexdigest())
    return folder / "bin"


def make_debian_venv(folder: Path, pythons: Mapping[int, Python]) -> Path:
    """An environment with the packages of a plain Debian 12 alone, on its Python or the next older one that is here.

    Python 3.12 cannot import its urllib3.
    """
    python = next(pythons[minor] for minor in (11, 10, 9) if minor in pythons)
    return make_venv(folder, python, [], [Path(__file__).with_name("requirements-debian12.txt")])


def _install(python: Path, words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Install with uv, which is ten times as fast as pip; with pip where uv does not get what pip is configured for."""
    tool = python.parent / "uv"
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    try:
        subprocess.run([*pip, UV], check=True, env=environment)
        command = [str(tool), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *words]
        subprocess.run(command, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError) as exc:
        print(f"installing with pip instead: {exc}", flush=True)
        subprocess.run([*pip, *words], check=True, env=environment)

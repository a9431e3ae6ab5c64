# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody has who tries the collection for the first time: a new home, ansible-core, an address to clone from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.few_packages import make_python

# the address that README.md, galaxy.yml and the guides name
ADDRESS = "https://example.org/cloudnative.artifacts.git"
COMMANDS = ("ansible", "ansible-doc", "ansible-galaxy", "ansible-playbook")
# nothing listens there
NO_GALAXY = "http://127.0.0.1:9"
_BLOCK = re.compile(
    r"^\.\. code-block:: (?P<language>\w+)\n(?:   :caption: (?P<name>\S+)\n)?\n(?P<text>(?:(?:   .*)?\n)+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of a page: what it is written in, the file that it is to be saved as, and its text."""

    language: str
    name: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """The code blocks of a guide, in order; a caption is the name of a file."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(match["language"], match["name"] or "", textwrap.dedent(match["text"]).strip("\n") + "\n")
        for match in _BLOCK.finditer(text)
    ]
    assert len(found) == text.count(".. code-block:: ")
    return found


def make_repository(collection: Path, folder: Path) -> str:
    """The URL of a git repository with the files of the collection, on the branch main."""
    place = folder / "cloudnative.artifacts.git"
    # of the tests one file: a clone of all would be more copies of their keys
    shutil.copytree(collection, place, ignore=shutil.ignore_patterns(".git", "__pycache__", "tests"))
    (place / "tests").mkdir()
    shutil.copy(collection / "tests/run.sh", place / "tests")
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.com", "-c", "init.defaultBranch=main"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "The collection"]):
        subprocess.run([*git, *command], check=True, cwd=place, timeout=900)
    return place.as_uri()


class Newcomer:
    """Runs shell commands with a new home, and Ansible's commands from a Python that has ansible-core alone."""

    def __init__(self, folder: Path, python: str, repository: str, *distributions: str) -> None:
        """Distributions are what else that Python has of those that ``python`` has."""
        self.home = folder / "home"
        self.repository = repository
        commands = folder / "commands"
        for path in (self.home, commands):
            path.mkdir(parents=True)
        self.python = Path(make_python(folder / "python", python, "ansible-core", *distributions))
        for name in COMMANDS:
            command = commands / name
            subcommand = name.partition("-")[2] or "adhoc"
            command.write_text(f'#!/bin/sh\nexec "{self.python}" -m ansible {subcommand} "$@"\n')
            command.chmod(0o755)
        self._path = f"{commands}:{self.python.parent}:/usr/local/bin:/usr/bin:/bin"

    @property
    def packages(self) -> Path:
        """Where its Python keeps packages."""
        (folder,) = self.python.parents[1].glob("lib/python*/site-packages")
        return folder

    def placed(self, text: str) -> str:
        """The text with the address of the repository that is to be cloned."""
        return text.replace(ADDRESS, self.repository)

    def run(
        self, script: str, folder: Path, environment: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of bash that ends with its first command that fails."""
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        own = {"HOME": str(self.home), "PATH": self._path, "ANSIBLE_GALAXY_SERVER": NO_GALAXY, "NO_COLOR": "1"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.placed(script)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=1800,
            env={**kept, **own, **(environment or {})},
        )
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python of its own that has some of the packages of another one, and no others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

# prints what the distributions named on the command line, and what they require, have in site-packages
_FILES = """
import importlib.metadata, json, re, sys
waiting, seen, found = sys.argv[1:], set(), set()
while waiting:
    name = re.split(r"[^A-Za-z0-9._-]", waiting.pop(), maxsplit=1)[0]
    try:
        files = importlib.metadata.files(name)
    except importlib.metadata.PackageNotFoundError:
        continue
    if name in seen:
        continue
    seen.add(name)
    waiting += [line for line in importlib.metadata.requires(name) or [] if "extra ==" not in line]
    for file in files or []:
        if file.parts[0] not in ("..", "__pycache__"):
            found.add(str(file.locate().parents[len(file.parts) - 1] / file.parts[0]))
print(json.dumps(sorted(found)))
"""


def make_python(folder: Path, python: str, *distributions: str) -> str:
    """An interpreter like ``python``, with these of its distributions and what they require."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=900)
    listed = subprocess.run(
        [python, "-c", _FILES, *distributions], check=True, capture_output=True, text=True, timeout=60
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    for path in map(Path, json.loads(listed.stdout)):
        (packages / path.name).symlink_to(path)
    return str(folder / "bin" / "python")


def importable(python: str, *modules: str) -> list[str]:
    """Those of the modules that an interpreter finds."""
    code = "import importlib.util, sys\nprint(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    done = subprocess.run([python, "-c", code, *modules], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.split()

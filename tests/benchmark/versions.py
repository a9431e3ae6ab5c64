# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of what is measured: a number without them says little."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

PROBES = {
    "oras": ["version"],
    "crane": ["version"],
    "skopeo": ["--version"],
    "helm": ["version", "--short"],
    "helm3": ["version", "--short"],
    "curl": ["--version"],
}
_NUMBER = re.compile(r"\d+(?:\.\d+)+")


def versions(tools: Mapping[str, str], tree: Path) -> dict[str, str]:
    """Names and versions of the tools that are there, of ansible-core, Python and kubernetes.core (in ``tree``)."""
    found = {"ansible-core": importlib.metadata.version("ansible-core"), "Python": platform.python_version()}
    for name, probe in PROBES.items():
        if name in tools:
            found[name] = _of_tool(tools[name], probe)
    manifest = tree / "ansible_collections/kubernetes/core/MANIFEST.json"
    if manifest.exists():
        found["kubernetes.core"] = str(json.loads(manifest.read_text())["collection_info"]["version"])
    return found


def _of_tool(path: str, probe: list[str]) -> str:
    """What the folder says that tests/tools/fetch.py keeps it in, and else what it says of itself."""
    kept = re.fullmatch(rf"[a-z]+\d?-({_NUMBER.pattern})", Path(path).parent.name)
    if kept:
        return kept[1]
    said = subprocess.run([path, *probe], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    match = _NUMBER.search(said.stdout + said.stderr)
    return match[0] if match else "of unknown version"


def named(names: Iterable[str], known: Mapping[str, str]) -> str:
    """A sentence with the versions of those that these names mention, and of ansible-core."""
    words = " ".join(names)
    if "kubernetes.core" in words:
        words += " helm3"
    used = [name for name in known if re.search(rf"(?<![\w.-]){re.escape(name)}\b", words)]
    used += [name for name in ("ansible-core", "Python") if name in known]
    return f"With {', '.join(f'{name} {known[name]}' for name in used)}."

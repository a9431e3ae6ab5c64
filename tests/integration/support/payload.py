# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that Ansible copies to hosts, as they are left there with ``ANSIBLE_KEEP_REMOTE_FILES``."""

from __future__ import annotations

import ast
import base64
import io
import re
import zipfile
from pathlib import Path

PLUGINS = "ansible_collections.cloudnative.artifacts.plugins."


class Payload:
    """One of the files. ``own`` are the sources of this collection in it, by the names of modules."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        self.path = path
        self.bytes = len(content)
        # the one long literal in it is the archive, whatever it is called in this ansible-core
        encoded = max(re.findall(rb"[A-Za-z0-9+/=\n]{4096,}", content), key=len)
        archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(encoded)))
        self.files = len(archive.infolist())
        self.own: dict[str, str] = {}
        self.compressed = 0
        for entry in archive.infolist():
            if re.search(r"/plugins/modules/\w+/\w+\.py$", entry.filename):
                self.compressed = entry.compress_size
                self.own = _sources(archive.read(entry).decode("utf-8"))

    def lines(self, names: set[str]) -> int:
        """Lines that Python compiles when it imports these modules."""
        texts = [self.own[name] for name in names & set(self.own)]
        return sum(1 for text in texts for line in text.splitlines() if line.strip())


def _sources(text: str) -> dict[str, str]:
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SOURCES":
            return {PLUGINS + name: source for name, source in ast.literal_eval(node.value).items()}
    return {}

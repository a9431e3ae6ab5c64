# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a real ansible command that does not parse two files of ansible-core itself again.

Each command reads its table of settings and that of moved plugins, 450 KiB of YAML that are the same in every run: a
third of the time that a playbook of one task takes. Here they come out of a file in which :func:`save_parsed` has put
what PyYAML makes of them. What has other content, or is read in another way, is parsed as ever.

As a program: ``quick_start.py PARSED SCRIPT ARGUMENTS…`` is ``SCRIPT ARGUMENTS…``.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

_FILES = ("base.yml", "ansible_builtin_runtime.yml")
# older cores read the second one with the first of these, newer ones with the second
_LOADERS = ("CSafeLoader", "CBaseLoader")


def save_parsed(path: Path) -> None:
    """Write what the files of the ansible-core of this Python hold, as each of the loaders reads them."""
    import ansible
    import yaml

    folder = Path(ansible.__file__).parent / "config"
    parsed = {
        (loader, hashlib.sha256(raw).hexdigest()): yaml.load(raw, Loader=getattr(yaml, loader))
        for raw in [(folder / name).read_bytes() for name in _FILES]
        for loader in _LOADERS
    }
    sizes = [(folder / name).stat().st_size for name in _FILES]
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as made:
        made.write(pickle.dumps((sizes, parsed)))
    # whoever is to become another user reads it as well
    os.chmod(made.name, 0o644)
    os.replace(made.name, path)


def _use_parsed(path: str) -> None:
    """Give what was parsed before to whoever calls ``yaml.load`` with these files' content."""
    import yaml

    with open(path, "rb") as stream:
        sizes, parsed = pickle.load(stream)
    real = yaml.load

    def load(stream: Any, Loader: Any) -> Any:
        if Loader.__name__ in _LOADERS and isinstance(content := _content(stream), (str, bytes)):
            stream = content
            raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
            if len(raw) in sizes:
                key = (Loader.__name__, hashlib.sha256(raw).hexdigest())
                if key in parsed:
                    return parsed[key]
        return real(stream, Loader)

    yaml.load = load


def _content(stream: Any) -> Any:
    return stream.read() if hasattr(stream, "read") else stream


def main() -> None:
    _own, parsed, script, *arguments = sys.argv
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(script)
    _use_parsed(parsed)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a real ansible command that does not parse and compile again what is the same in every run.

Each command reads two files of ansible-core, its table of settings and that of moved plugins: 450 KiB of YAML. Here
they come out of a file in which :func:`save_parsed` has put what PyYAML makes of them. Ansible keeps no byte code of
collections either: each command, and each task that runs in a worker, compiles what it imports of them. Here it is
kept. Together that is nearly half of what a playbook of one task takes. What has other content, or is read in another
way, is parsed and compiled as ever.

As a program: ``quick_start.py FOLDER SCRIPT ARGUMENTS…`` is ``SCRIPT ARGUMENTS…``.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
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


def save_parsed(folder: Path) -> None:
    """Make the folder, with what the files of this ansible-core hold, as each of the loaders reads them."""
    import ansible
    import yaml

    own = Path(ansible.__file__).parent / "config"
    parsed = {
        (loader, hashlib.sha256(raw).hexdigest()): yaml.load(raw, Loader=getattr(yaml, loader))
        for raw in [(own / name).read_bytes() for name in _FILES]
        for loader in _LOADERS
    }
    sizes = [(own / name).stat().st_size for name in _FILES]
    (folder / "code").mkdir(parents=True, exist_ok=True)
    _write(f"{folder}/parsed", pickle.dumps((sizes, parsed)))


def _write(path: str, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), delete=False) as made:
        made.write(content)
    # whoever became another user reads it as well
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


def _keep_compiled(folder: str) -> None:
    """Let the loader of collections find what it compiled before, whichever process did."""
    from ansible.utils.collection_loader import _collection_finder

    def compile_once(*, source: bytes | str, filename: str, **how: Any) -> Any:
        raw = source.encode() if isinstance(source, str) else source
        name = hashlib.sha256(f"{filename}\n{sorted(how.items())}\n".encode() + raw).hexdigest()
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError), open(f"{folder}/{name}", "rb") as stream:
            return marshal.loads(stream.read())
        code = compile(source=source, filename=filename, **how)
        with contextlib.suppress(OSError):
            _write(f"{folder}/{name}", marshal.dumps(code))
        return code

    _collection_finder.compile = compile_once


def _content(stream: Any) -> Any:
    return stream.read() if hasattr(stream, "read") else stream


def main() -> None:
    _own, folder, script, *arguments = sys.argv
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(script)
    _use_parsed(f"{folder}/parsed")
    _keep_compiled(f"{folder}/code")
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()

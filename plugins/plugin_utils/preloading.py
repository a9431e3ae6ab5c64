# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports what a module needed before the next process is forked that may need it as well.

A process that is forked has what its parent imported. To import everything in the first one would cost a run that needs
little of it: a pull by digest asks no registry. So each child that ran a module says what it imported beyond what was
there, and this is imported in the worker before the next item of a loop, and in the process of ansible-playbook before
the next task. The latter has one place to do it: strategies read ``BYPASS_HOST_LOOP`` of an action's class there.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

_PLUGINS = "ansible_collections.cloudnative.artifacts.plugins."
# left out of the names of most modules, which begin with an underscore then
OWN = f"{_PLUGINS}module_utils."
# A line up to this long is written to a pipe as a whole or not at all (POSIX).
_LONGEST_LINE = 4096
_FEW_BYTES = 65536


def needed(before: frozenset[str]) -> list[str]:
    """The names of this collection's modules, shortened, that were imported since ``before``."""
    found = (name for name in set(sys.modules) - before if name.startswith((OWN, f"{_PLUGINS}plugin_utils.")))
    return sorted(name[len(OWN if name.startswith(OWN) else _PLUGINS) :] for name in found)


def _full(name: str) -> str:
    return f"{OWN if name.startswith('_') else _PLUGINS}{name}"


class _Note:
    """A pipe from all processes of a run to the one that loaded this module, which is that of ansible-playbook."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self.owner = os.getpid()

    def write(self, names: list[str]) -> None:
        line = " ".join([*names, ""]).encode("ascii", "replace")
        if len(line) <= _LONGEST_LINE:
            # a pipe that is full says enough
            with contextlib.suppress(OSError):
                os.write(self._writer, line)

    def read(self) -> list[str]:
        try:
            return os.read(self._reader, _FEW_BYTES).decode("ascii", "replace").split()
        except OSError:
            return []


class BeforeFork:
    """An attribute that is always False; reading it from the class imports what earlier tasks needed."""

    _note = _Note()
    _wanted: set[str] = set()

    def __get__(self, instance: Any, owner: Any = None) -> bool:
        if instance is None and os.getpid() == self._note.owner:
            self._wanted.update(self._note.read())
            self.prepare()
        return False

    @classmethod
    def prepare(cls) -> None:
        """Import what children of this process said they needed; what cannot be imported is left to the next one."""
        if not cls._wanted:
            return
        is_enabled = gc.isenabled()
        # nothing that is imported can be freed, and Ansible's own objects are many
        gc.disable()
        try:
            for name in sorted(cls._wanted):
                with contextlib.suppress(Exception):
                    importlib.import_module(_full(name))
        finally:
            cls._wanted.clear()
            if is_enabled:
                gc.enable()

    @classmethod
    def heard(cls, message: Mapping[str, Any]) -> None:
        """Take note of what a child says: ``imported`` has the names of modules."""
        names = [str(name) for name in message.get("imported") or []]
        if names:
            cls._wanted.update(names)
            cls._note.write(names)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: runs a module whose sources were carried there as texts in one file, see plugin_utils/carries_less.py.

The file begins with this source. It is standalone: what it needs of the collection it finds among the texts.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

PLUGINS = "ansible_collections.cloudnative.artifacts.plugins."
ERRORS = "module_utils._errors"
# keys of the answer when more is needed than was carried: the part, and the revision that was found meanwhile
WANTED, REVISION = "oci_artifact_wants_part", "oci_artifact_found_revision"


class CarriedSources:
    """An import hook for the plugins of this collection.

    ``sources`` are texts by name without :data:`PLUGINS` (``module_utils._ops.task``). Comments are blank in them, and
    the numbers of lines are those of the originals. Tracebacks show the lines (:meth:`get_source`).
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._packages = {name[:end] for name in sources for end, letter in enumerate(name) if letter == "."}

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """:raises PartMissing: for a module of this collection that was not carried."""
        if not name.startswith(PLUGINS):
            return None
        short = name[len(PLUGINS) :]
        is_package = short in self._packages
        if not is_package and short not in self._sources:
            raise importlib.import_module(PLUGINS + ERRORS).PartMissing(short)
        return importlib.machinery.ModuleSpec(name, self, is_package=is_package)  # type: ignore[arg-type]  # a loader by its methods

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        source = self.get_source(module.__name__)
        code = compile(source, f"{module.__name__.replace('.', '/')}.py", "exec", dont_inherit=True)
        exec(code, vars(module))

    def get_source(self, name: str) -> str:
        return self._sources.get(name[len(PLUGINS) :], "")


def run_carried(sources: Mapping[str, str], module: str) -> None:
    """Run a module; print what it lacks if it needs something that was not carried."""
    finder: Any = CarriedSources(sources)
    sys.meta_path.insert(0, finder)
    missing = importlib.import_module(PLUGINS + ERRORS).PartMissing
    try:
        importlib.import_module(f"{PLUGINS}modules.{module}").main()
    except missing as exc:
        sys.stdout.write(json.dumps({WANTED: exc.part, REVISION: exc.revision}) + "\n")
        # a module that returns, and does not exit, has failed for Ansible
        raise SystemExit(0) from None

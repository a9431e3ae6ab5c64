# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and checks a chart, from the names and contents of its files.

Source: helm, pkg/chart/loader/load.go; for what is only checked when a chart is packaged, pkg/action/package.go and
pkg/chartutil/save.go.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

from .._errors import BuildError
from .archive_files import UnpackBudget, read_archive
from .dependencies import lock_warning, version_warnings
from .go_yaml import load
from .metadata import Metadata

MAX_DEPTH = 10

_READ = frozenset(["Chart.yaml", "Chart.lock", "requirements.yaml", "requirements.lock"])
_CHECKED = frozenset(["values.yaml", "values.schema.json"])
_CHARTS = "charts/"


def is_needed(name: str) -> bool:
    """Return True when :func:`load_chart` needs the content of a file."""
    if not name.startswith(_CHARTS):
        return name in _READ or name in _CHECKED
    base = name.rpartition("/")[2]
    return base in _READ or base in _CHECKED or base.endswith(".tgz")


def is_dropped(name: str) -> bool:
    """Return True for a file that ``helm package`` silently leaves out: ``_*`` and ``.*`` directly in ``charts/``."""
    parts = name.split("/")
    while len(parts) > 1 and parts[0] == "charts" and not name.endswith(".prov"):
        if parts[1].startswith(("_", ".")):
            return True
        parts = parts[2:]
    return False


def load_chart(
    files: Mapping[str, bytes | None], prefix: str, *, packing: bool, budget: UnpackBudget | None = None, depth: int = 0
) -> Metadata:
    """Read and check a chart and the charts in it.

    :param files: the content of each file for which :func:`is_needed` is true, None for the others.
    :param prefix: text before file names in errors.
    :param packing: also run the checks of ``helm package``: the values, their schema, and missing dependencies.
    :raises BuildError: for the first problem for which Helm refuses the chart.
    """
    if depth > MAX_DEPTH:
        raise BuildError(f"{prefix}: charts are nested more than {MAX_DEPTH} deep.")
    budget = budget or UnpackBudget()
    data = files.get("Chart.yaml")
    if data is None:
        raise BuildError(f"{prefix}Chart.yaml is missing: this is not a Helm chart.")
    metadata = Metadata(f"{prefix}Chart.yaml")
    metadata.read(data, metadata.what)
    requirements = files.get("requirements.yaml")
    if requirements is not None:
        metadata.read(requirements, f"{prefix}requirements.yaml")
    metadata.check()
    if packing:
        _check_content(files, prefix)
    charts = []
    for directory, members in sorted(subcharts(files).items()):
        below = _load_subchart(directory, members, prefix, packing, budget, depth + 1)
        charts.append((below.text("name"), below.text("version")))
        metadata.warnings += below.warnings
    missing = [name for name in metadata.dependencies if name not in dict(charts)]
    if packing and missing:
        raise BuildError(
            f"{metadata.what}: the dependencies {', '.join(missing)[:300]} are not in the directory charts/.",
            "Run 'helm dependency build' for the chart first.",
        )
    if depth == 0:
        metadata.warnings += _dependency_warnings(metadata, files, prefix, charts)
    return metadata


def _dependency_warnings(
    metadata: Metadata, files: Mapping[str, bytes | None], prefix: str, charts: list[tuple[str, str]]
) -> list[str]:
    """Return warnings about the dependencies of the chart itself; those of subcharts are up to their authors."""
    warnings = version_warnings(metadata, charts)
    # Helm uses the lock file that it reads last, which is the one with the old name
    name = "requirements.lock" if files.get("requirements.lock") is not None else "Chart.lock"
    lock = files.get(name)
    out_of_sync = lock_warning(metadata, lock, prefix + name) if lock is not None else ""
    return [*warnings, out_of_sync] if out_of_sync else warnings


def _check_content(files: Mapping[str, bytes | None], prefix: str) -> None:
    for name in ("values.yaml", "Chart.lock", "requirements.lock"):
        data = files.get(name)
        if data is not None and not isinstance(load(data, prefix + name, unique=False), (dict, type(None))):
            raise BuildError(f"{prefix}{name} is not a mapping, wanted are lines like 'key: value'.")
    schema = files.get("values.schema.json")
    if schema is not None:
        try:
            json.loads(schema)
        except (ValueError, RecursionError) as exc:
            raise BuildError(f"{prefix}values.schema.json is not JSON: {exc}.") from None


def subcharts(files: Mapping[str, bytes | None]) -> dict[str, dict[str, bytes | None]]:
    """Return the files below each name in ``charts/``, by their paths relative to it; "" for a file itself."""
    found: dict[str, dict[str, bytes | None]] = {}
    for name, data in files.items():
        if name.startswith(_CHARTS) and not name.endswith(".prov"):
            directory, _slash, rest = name[len(_CHARTS) :].partition("/")
            if not directory.startswith(("_", ".")):
                found.setdefault(directory, {})[rest] = data
    return found


def _load_subchart(
    directory: str, members: Mapping[str, bytes | None], prefix: str, packing: bool, budget: UnpackBudget, depth: int
) -> Metadata:
    where = f"{prefix}{_CHARTS}{directory}"
    if directory.endswith(".tgz"):
        data = members.get("")
        if data is None:
            raise BuildError(f"{where} is a directory, wanted is a packaged chart.", "Rename it.")
        members = read_archive(io.BytesIO(data), where, is_needed, budget)
        return load_chart(members, f"{where}: ", packing=packing, budget=budget, depth=depth)
    if "" in members:
        raise BuildError(
            f"{where} is not a chart: Helm accepts only charts in the directory charts/.",
            "Remove it, name it in .helmignore, or let its name begin with '_' or '.'.",
        )
    return load_chart(members, f"{where}/", packing=packing, budget=budget, depth=depth)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CustomResourceDefinitions in ``crds/`` of a chart and its enabled subcharts.

Source: helm, pkg/chart/chart.go (``CRDObjects``); pkg/chartutil/dependencies.go and coalesce.go, for which subcharts
are enabled; helm-controller, internal/action/crds.go, for which objects are left out.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import BuildError, ChartError, OciError
from .archive_files import UnpackBudget, read_archive
from .loader import MAX_DEPTH, subcharts
from .values import read_values

CRD = "CustomResourceDefinition"
_EXTENSIONS = (".yaml", ".yml", ".json")
_DOCUMENTS = re.compile(rb"^---(?=\s|$)[^\n]*$", re.MULTILINE)


@dataclass
class _Chart:
    """The CRD files of a chart, and the settings that enable or disable its subcharts."""

    name: str
    version: str
    dependencies: list[dict[str, Any]]
    values: dict[str, Any]
    crds: dict[str, bytes]
    charts: list[_Chart] = field(default_factory=list)


class ChartCrds:
    """The CRDs of a packaged chart, read once for any number of releases. ``warnings`` name objects left out."""

    def __init__(self, path: str, what: str) -> None:
        """Read the chart.

        :param what: name of the chart in messages.
        :raises ChartError: when a file of the chart cannot be read.
        """
        self.warnings: list[str] = []
        self._what = what
        self._parsed: dict[str, list[dict[str, Any]]] = {}
        try:
            budget = UnpackBudget()
            with open(path, "rb") as stream:
                files = read_archive(stream, what, _is_needed, budget)
            self._chart = _read_chart(files, what, budget, 0)
        except (BuildError, OSError) as exc:
            raise ChartError(f"The CRDs of {what} cannot be read: {exc}") from None

    def of(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the CRDs for these values, without those of subcharts that the values disable.

        :raises ChartError: when a file in ``crds/`` is not YAML.
        """
        if self._chart is None or not _all_crds(self._chart, ""):
            return []
        chart = copy.deepcopy(self._chart)
        _enable(chart, dict(values), "")
        return [document for name, data in _all_crds(chart, "") for document in self._read(name, data)]

    def _read(self, name: str, data: bytes) -> list[dict[str, Any]]:
        if name not in self._parsed:
            try:
                found = _documents(data, f"{name} of {self._what}")
            except OciError as exc:
                raise ChartError(exc.message) from None
            is_crd = [each.get("kind") == CRD and bool((each.get("metadata") or {}).get("name")) for each in found]
            self._parsed[name] = [each for each, wanted in zip(found, is_crd) if wanted]
            if not all(is_crd):
                self.warnings.append(
                    f"{name} of {self._what} holds objects that are not a {CRD}: they were not applied."
                )
        return self._parsed[name]


def _is_needed(name: str) -> bool:
    base = name.rpartition("/")[2]
    return (
        base in ("Chart.yaml", "values.yaml", "requirements.yaml")
        or base.endswith(".tgz")
        or ("/crds/" in f"/{name}" and base.lower().endswith(_EXTENSIONS))
    )


def _read_chart(files: Mapping[str, bytes | None], what: str, budget: UnpackBudget, depth: int) -> _Chart | None:
    """Return the chart that consists of these files; None when they are not a chart."""
    if depth > MAX_DEPTH or files.get("Chart.yaml") is None:
        return None
    metadata = _mapping(files, "Chart.yaml", what)
    dependencies = metadata.get("dependencies") or _mapping(files, "requirements.yaml", what).get("dependencies")
    chart = _Chart(
        name=str(metadata.get("name")),
        version=str(metadata.get("version")),
        dependencies=[dict(each) for each in dependencies or () if isinstance(each, Mapping)],
        values=_mapping(files, "values.yaml", what),
        crds={
            name: data
            for name, data in files.items()
            if data is not None and name.startswith("crds/") and name.lower().endswith(_EXTENSIONS)
        },
    )
    for name, members in sorted(subcharts(files).items()):
        packed = members.get("")
        if name.endswith(".tgz") and packed is not None:
            members = dict(read_archive(io.BytesIO(packed), f"{what}, charts/{name}", _is_needed, budget))
        below = _read_chart(members, f"{what}, charts/{name}", budget, depth + 1)
        if below is not None:
            chart.charts.append(below)
    return chart


def _mapping(files: Mapping[str, bytes | None], name: str, what: str) -> dict[str, Any]:
    data = files.get(name)
    try:
        return read_values(data, f"{name} of {what}") if data else {}
    except OciError as exc:
        raise BuildError(exc.message) from None


def _enable(chart: _Chart, values: dict[str, Any], path: str) -> None:
    """Remove the subcharts that ``tags`` and ``condition`` disable (``processDependencyEnabled``)."""
    if not chart.dependencies:
        return
    kept = [each for each in chart.charts if not any(_meets(each, need) for need in chart.dependencies)]
    for need in chart.dependencies:
        match = next((each for each in chart.charts if _meets(each, need)), None)
        if match is not None:
            match = copy.copy(match)
            match.name = str(need.get("alias") or match.name)
            kept.append(match)
    chart.charts = kept
    values = _coalesced(chart, values)
    disabled = {
        str(need.get("alias") or need.get("name")) for need in chart.dependencies if not _is_enabled(need, values, path)
    }
    chart.charts = [each for each in kept if each.name not in disabled]
    for each in chart.charts:
        _enable(each, values, f"{path}{each.name}.")


def _meets(chart: _Chart, need: Mapping[str, Any]) -> bool:
    from .._oci.semver_range import SemVerRange

    if chart.name != need.get("name"):
        return False
    wanted = str(need.get("version") or "")
    try:
        return not wanted or SemVerRange(wanted).matches(chart.version)
    except OciError:
        return False


def _is_enabled(need: Mapping[str, Any], values: Mapping[str, Any], path: str) -> bool:
    tags = values.get("tags")
    named = [tags.get(tag) for tag in need.get("tags") or ()] if isinstance(tags, Mapping) else []
    enabled = True in [each for each in named if isinstance(each, bool)] or False not in [
        each for each in named if isinstance(each, bool)
    ]
    for condition in str(need.get("condition") or "").strip().split(","):
        if condition:
            found = _at(values, path + condition)
            if isinstance(found, bool):
                return found
    return enabled


def _at(values: Mapping[str, Any], path: str) -> Any:
    node: Any = values
    for name in path.split("."):
        if not isinstance(node, Mapping):
            return None
        node = node.get(name)
    return node


def _coalesced(chart: _Chart, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values, completed with the defaults of the chart and, below their names, of its subcharts."""
    result = copy.deepcopy(dict(values))
    for key, default in chart.values.items():
        if key not in result:
            result[key] = copy.deepcopy(default)
        elif result[key] is None:
            del result[key]
        elif isinstance(result[key], dict) and isinstance(default, Mapping):
            result[key] = _filled(result[key], default)
    for below in chart.charts:
        own = result.setdefault(below.name, {})
        if isinstance(own, dict):
            shared = result.get("global")
            if isinstance(shared, Mapping):
                present = own.get("global")
                own["global"] = _filled(dict(shared), present if isinstance(present, Mapping) else {})
            result[below.name] = _coalesced(below, own)
    return result


def _filled(values: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    for key, default in defaults.items():
        if key not in values:
            values[key] = copy.deepcopy(default)
        elif values[key] is None:
            del values[key]
        elif isinstance(values[key], dict) and isinstance(default, Mapping):
            _filled(values[key], default)
    return values


def _all_crds(chart: _Chart, path: str) -> list[tuple[str, bytes]]:
    found = [(path + name, data) for name, data in sorted(chart.crds.items())]
    for below in chart.charts:
        found += _all_crds(below, f"{path}charts/{below.name}/")
    return found


def _documents(data: bytes, what: str) -> list[dict[str, Any]]:
    found = (read_values(part, what) for part in _DOCUMENTS.split(data) if part.strip())
    return [document for document in found if document]

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that have charts as ``sources``, which they fetch first, beside those of ``charts``."""

from __future__ import annotations

from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .._errors import OciError


def with_charts(module: AnsibleModule, work: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of ``work``, which is given all charts; with ``charts``, what ``sources`` were found to be.

    :raises OciError: when a source is not to be had, and what ``work`` raises, with ``charts`` in its details.
    """
    if module.params["sources"] is None:
        return work(module.params["charts"])
    found = _fetch(module)
    charts = found["charts"]
    try:
        result = work({**module.params["charts"], **charts})
    except OciError as exc:
        # they are in the cache, whatever became of the work
        exc.details["charts"] = charts
        exc.details["warnings"] = [*found["warnings"], *exc.details.get("warnings", [])]
        raise
    return {**result, "charts": charts, "warnings": [*found["warnings"], *result.get("warnings", [])]}


def _fetch(module: AnsibleModule) -> dict[str, Any]:
    # imported here: with charts that are at hand, nothing of it is needed
    from .._ops.charts.files import ChartOrFilesFetch
    from .._ops.charts.sources import fetch_charts
    from .charts import chart_cache, chart_sources, source_defaults

    try:
        # whether a source shall be a chart is known once the releases are, which may be those of other hosts
        return fetch_charts(chart_sources(module, source_defaults(module)), chart_cache(module), ChartOrFilesFetch)
    except OciError as exc:
        # a chart that is in the cache is no change of what is made of it
        exc.details.pop("changed", None)
        raise

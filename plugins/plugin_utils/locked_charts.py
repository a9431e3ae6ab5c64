# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts that go by a lock file: the option ``sources`` of helm_chart_sources and helm_releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.entry import Request, request_of
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.task_lock import (
    CHECK,
    UPDATE,
    USE,
    Found,
    TaskLock,
    take_lock,
)


class LockedCharts:
    """The sources of a task under a lock file.

    Sources that a task has a pin for, and those of a digest, have no entry.

    :raises InvalidReference: when a reference is outside the grammar.
    """

    def __init__(self, lock: TaskLock, options: Mapping[str, Any]) -> None:
        self._lock = lock
        pins = options.get("pins") or {}
        self._requests: dict[str, Request] = {}
        for name, source in options["sources"].items():
            request = _request(str(name), source) if isinstance(source, Mapping) and not pins.get(name) else None
            if request is not None:
                self._requests[name] = request

    @property
    def only_compares(self) -> bool:
        return self._lock.mode == CHECK

    def pins(self) -> dict[str, str]:
        """The revisions that the file has for the sources; none where it is to be updated, or compared.

        :raises LockMissing: when one has no entry, and the file is not to be updated.
        """
        if self._lock.mode == UPDATE:
            return {}
        found = dict(zip(self._requests, self._lock.pins(list(self._requests.values()))))
        return found if self._lock.mode == USE else {}

    def enter(self, charts: Mapping[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        """Enter charts, as helm_chart_sources returns them, where the file is to be updated; return the task's result.

        :raises OciError: when the file cannot be written.
        """
        if self._lock.mode != UPDATE or answer.get("failed"):
            return answer
        return self._lock.enter(self._found(charts), answer)

    def compare(self, answer: Mapping[str, Any], found: str = "charts") -> dict[str, Any]:
        """Compare the charts in a result with the file; return the task's result.

        :param found: the value of the result that has them.

        :raises OciError: when one stands for another revision.
        """
        if answer.get("failed"):
            return {**answer, "changed": False}
        return self._lock.compare(self._found(answer.get(found) or {}), answer)

    def _found(self, charts: Mapping[str, Any]) -> list[Found]:
        return [
            Found(request, charts[name], charts[name].get("verification") or {})
            for name, request in self._requests.items()
            if name in charts
        ]


def _request(name: str, source: Mapping[str, Any]) -> Request | None:
    try:
        return request_of(source)
    except OciError as exc:
        exc.message = f"The source {name!r}: {exc.message}"
        raise


def locked_charts(action: ActionBase, options: dict[str, Any], task_vars: Mapping[str, Any]) -> LockedCharts | None:
    """Take the options of the lock file out of a task's, and put what it says beside the task's own ``pins``; None
    without a lock file.

    :param options: those of helm_chart_sources.
    :raises OciError: when the file cannot be used, or does not have a source.
    """
    lock = take_lock(action, options, task_vars)
    if lock is None:
        return None
    charts = LockedCharts(lock, options)
    if lock.mode != USE:
        # what the registry has now is the question
        options["sources"] = {
            name: {key: value for key, value in source.items() if key != "interval"}
            if isinstance(source, Mapping)
            else source
            for name, source in options["sources"].items()
        }
        options.pop("interval", None)
    options["pins"] = {**charts.pins(), **(options.get("pins") or {})}
    return charts

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The charts that all hosts of one run of ansible-playbook use: each source is resolved once, however many ask for it.

Neither ``run_once`` nor facts do that: the one runs again for each batch of ``serial`` and is not known to the strategy
``free``, the others come too late for hosts that work side by side. What a run has agreed upon is kept in its temporary
directory on the controller, which Ansible removes in the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.shared_file import locked_file

# Seconds that a host waits for another one that fetches the same charts.
PATIENCE = 3600.0
FILE_NAME = "cloudnative.artifacts.sources"

# What tells two sources apart; credentials and the way there are not part of it.
_IDENTITY = ("ref", "url", "tag", "digest", "semver", "semver_filter", "filter_tags", "tag_moved", "verify")


class AgreedCharts:
    """What the run knows of the sources of one task, from :func:`agreed_charts`.

    ``charts`` has them as helm_chart_sources returns them; it is None while one of them is not known at this place.
    ``pins`` are revisions by the name of the source: what another host has resolved is taken as it is.
    """

    def __init__(self, known: dict[str, Any], place: str, options: Mapping[str, Any]) -> None:
        self._known = known
        sources: Mapping[str, Any] = options["sources"]
        where = f"{place} {options.get('cache_dir') or ''}"
        given = options.get("pins") or {}
        self._revisions = {name: _key(source, options, given.get(name)) for name, source in sources.items()}
        self._charts = {name: f"{where} {key}" for name, key in self._revisions.items()}
        charts = {name: known.get(key) for name, key in self._charts.items()}
        self.charts: dict[str, Any] | None = charts if charts and all(charts.values()) else None
        pins = {name: known[key] for name, key in self._revisions.items() if key in known}
        self.pins: dict[str, Any] = {**pins, **given}

    def keep(self, charts: Mapping[str, Any]) -> None:
        """Note what was found."""
        for name, chart in charts.items():
            self._known[self._revisions[name]] = chart["revision"]
            self._known[self._charts[name]] = chart


@contextlib.contextmanager
def agreed_charts(folder: str, place: str, options: Mapping[str, Any]) -> Iterator[AgreedCharts]:
    """What the run knows of these sources; other hosts wait until the block ends, and see what it has kept.

    :param folder: the run's temporary directory.
    :param place: the host and user that fetch the charts.
    :param options: those of helm_chart_sources, ``sources`` as a mapping.
    :raises StorageError: when the other host does not end.
    """
    with locked_file(os.path.join(folder, FILE_NAME), PATIENCE) as record:
        before = record.read()
        known: dict[str, Any] = json.loads(before or b"{}")
        yield AgreedCharts(known, place, options)
        after = json.dumps(known).encode("utf-8")
        if after != before:
            record.seek(0)
            record.truncate(0)
            record.write(after)


def place_of(action: ActionBase, task_vars: Mapping[str, Any]) -> str:
    """The host that runs the module of an action, and the user that it runs as."""
    host = action._task.delegate_to or task_vars.get("inventory_hostname") or ""
    context = action._play_context
    user = context.become_user if context.become else context.remote_user
    return f"{host} {user or ''}"


def _key(source: Any, options: Mapping[str, Any], pin: Any) -> str:
    """Return a digest of what a source asks for: the same for two sources that ask for the same, with the same pin."""
    source = source if isinstance(source, Mapping) else {}
    wanted = {name: source.get(name) for name in _IDENTITY}
    wanted["verify"] = wanted["verify"] or options.get("verify")
    wanted["policy"] = options.get("policy")
    if pin:
        wanted["pin"] = pin
    return hashlib.sha256(json.dumps(wanted, sort_keys=True, default=str).encode("utf-8")).hexdigest()

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of helm_chart_render: as that of helm_releases, for a list of releases that may be the same."""

from __future__ import annotations

from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.action import helm_releases
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.releases import RELEASE_SPEC
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.render import RENDERED_RELEASE_SPEC
from ansible_collections.cloudnative.artifacts.plugins.modules import helm_chart_render

_OF_DEPLOYMENTS = frozenset(RELEASE_SPEC) - frozenset(RENDERED_RELEASE_SPEC)


class ActionModule(helm_releases.ActionModule):
    """Leave out what says how a release is deployed: it does not change what its chart renders to."""

    MODULE = helm_chart_render

    def _with_values(self, arguments: dict[str, Any]) -> dict[str, Any]:
        arguments = super()._with_values(arguments)
        releases = arguments.get("releases")
        if isinstance(releases, list):
            arguments["releases"] = [
                {name: value for name, value in each.items() if name not in _OF_DEPLOYMENTS}
                if isinstance(each, dict)
                else each
                for each in releases
            ]
        return arguments

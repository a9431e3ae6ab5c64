#!/usr/bin/python
# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_chart_sources
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible_helm import SOURCES_SPEC, chart_sources
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.chart_sources import fetch_charts

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    return fetch_charts(chart_sources(module), module.params["cache_dir"])


def main() -> None:
    run_module(SOURCES_SPEC, run, mutually_exclusive=[("auth_file", "auth_config")])


if __name__ == "__main__":
    main()

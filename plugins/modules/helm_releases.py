#!/usr/bin/python
# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_releases
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible_helm import (
    RELEASES_SPEC,
    charts_of,
    kube_options,
    release_items,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import parse_duration
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases import (
    ReleasesOptions,
    deploy_releases,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    options = ReleasesOptions(
        releases=release_items(params),
        sources=charts_of(params),
        documents=params["values_documents"] or {},
        kube=kube_options(params),
        helm=params["helm"],
        parallel=params["parallel"],
        lock_timeout=parse_duration(params["lock_timeout"]),
    )
    return deploy_releases(options, check_mode=module.check_mode, want_diff=bool(module._diff))


def main() -> None:
    run_module(RELEASES_SPEC, run)


if __name__ == "__main__":
    main()

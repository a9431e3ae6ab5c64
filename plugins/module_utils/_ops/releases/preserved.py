# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the deployed revision below those of the playbook, as ``helm upgrade --reset-then-reuse-values`` has them.

It is done here, so that it works with each version of Helm, and the digest is that of all values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..._helm.release import (
    ALL_REVISIONS,
    DEPLOYED,
    UNINSTALLED,
    UNINSTALLING,
    Revision,
    decode_release,
    parse_revision,
    revisions_path,
)
from ..._helm.values import canonical, merge

if TYPE_CHECKING:
    from ..._kube.rest import KubeRest
    from .plan import ReleasePlan


def preserve_values(api: KubeRest, plan: ReleasePlan, given: bytes) -> None:
    """Set the values of a plan to those that were given, merged over those of the deployed revision.

    Unlike with Helm, a null stays: the default of the chart is removed at once, and the next run finds no change.

    :raises OciError: when the revision cannot be read.
    """
    values = merge(_deployed_values(api, plan.last), json.loads(given))
    plan.given, plan.preserved = given, plan.last
    plan.set_values(canonical(values, f"the release {plan.key}"))


def _deployed_values(api: KubeRest, last: Revision | None) -> Mapping[str, Any]:
    """The values that a user has given to the revision that Helm takes them from: the deployed one, or else the last.

    Source: helm, pkg/action/upgrade.go (``prepareUpgrade``).
    """
    if last is None or last.status in (UNINSTALLED, UNINSTALLING):
        return {}
    current = last
    if last.status != DEPLOYED:
        found = api.list_metadata(revisions_path(last.namespace), f"{ALL_REVISIONS},name={last.name},status={DEPLOYED}")
        deployed = [revision for revision in map(parse_revision, found) if revision is not None]
        current = max(deployed, key=lambda revision: revision.number, default=last)
    what = f"revision {current.number} of the release {current.namespace}/{current.name}"
    release = decode_release(api.get(f"{revisions_path(current.namespace)}/{current.secret}"), what)
    return release.get("config") or {}

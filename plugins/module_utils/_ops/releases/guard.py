# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a policy for a release: which chart it may be made of, when, and that it is no older one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._helm import decision as decisions
from ..._helm.release import UNINSTALLED, decode_release, revisions_path
from ..._oci.reference import parse_url
from ..._policy.rules import Artifact, Policy, rules_for

if TYPE_CHECKING:
    from ..._helm.release import Revision
    from ..._kube.rest import KubeRest
    from .plan import ReleasePlan

_DEPLOYS = (decisions.INSTALL, decisions.UPGRADE, decisions.ROLLBACK)


def check_release(policy: Policy, api: KubeRest, plan: ReleasePlan) -> None:
    """Check a release that is about to be installed, upgraded or rolled back; any other is left alone.

    Under ``never_downgrade`` the record of the last revision is read, which is one request.

    :raises OciError: when the policy refuses it.
    """
    chart, action = plan.chart, plan.decision.action
    if chart is None or action not in _DEPLOYS:
        return
    rules = rules_for(policy, parse_url(chart.url))
    if rules is None:
        return
    tag = chart.revision.partition("@")[0] if "@" in chart.revision else ""
    rules.check_identity(tag, [chart.digest, chart.layer])
    rules.check_window(f"The release {plan.key} is not changed", may_wait=True)
    last = plan.last
    is_there = last is not None and last.status != UNINSTALLED
    if rules.never_downgrade and is_there and last is not None and not last.has_chart(chart.digest):
        new = Artifact(chart.digest, tag, version=chart.version)
        rules.check_order(new, Artifact("", version=_deployed_version(api, last)))


def _deployed_version(api: KubeRest, last: Revision) -> str:
    """The version of the chart of a revision; empty when its record does not say it."""
    path = f"{revisions_path(last.namespace)}/{last.secret}"
    release = decode_release(api.get(path), f"the release {last.namespace}/{last.name}")
    metadata = (release.get("chart") or {}).get("metadata") or {}
    return str(metadata.get("version") or "")

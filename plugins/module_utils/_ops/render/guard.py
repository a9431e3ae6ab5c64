# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a policy for a chart that is rendered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..._oci.reference import parse_url
from ..._policy.rules import Policy, rules_for

if TYPE_CHECKING:
    from ..releases.spec import FetchedChart


def check_chart(policy: Policy, chart: FetchedChart) -> None:
    """Check a chart of a repository; its signatures were checked when it was fetched.

    :raises OciError: when the policy refuses it.
    """
    if os.path.isabs(chart.url):
        # of this host
        return
    rules = rules_for(policy, parse_url(chart.url))
    if rules is not None:
        tag = chart.revision.partition("@")[0] if "@" in chart.revision else ""
        rules.check_identity(tag, [chart.digest, chart.layer])

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task shows of each release beside how it ended: manifest, notes, values, and the commands of Helm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..._errors import OciError
from ..._helm.decision import INSTALL, UPGRADE
from ..._unexpected import as_error
from .context import ReleaseContext
from .plan import ReleasePlan
from .preview import current
from .work import ReleaseWork

MANIFEST, NOTES, VALUES, COMMAND = CHOICES = ("manifest", "notes", "values", "command")


def look(context: ReleaseContext, plan: ReleasePlan, wanted: Sequence[str]) -> None:
    """Read what is to be shown of a release that was worked on, or would be: it is kept in the plan.

    In check mode that is what Helm rendered in its dry run. A failure is a warning: the work itself is done.
    """
    if plan.spec.suspend:
        return
    try:
        # what cannot be rendered yet is not what is there
        is_predicted = context.check_mode and plan.decision.action in (INSTALL, UPGRADE)
        if set(wanted) - {COMMAND} and plan.spec.present and not (plan.rendered or is_predicted):
            plan.rendered = current(context, plan.last)
        is_expected = plan.has_work and plan.failure is None and not plan.pending
        if context.check_mode and COMMAND in wanted and is_expected:
            ReleaseWork(context, plan, rehearse=True).rehearse()
    except Exception as exc:
        error = as_error(exc, f"Reading the release {plan.key}")
        plan.warnings.append(f"The release {plan.key} cannot be shown: {context.masked(error.message)}")


def show(context: ReleaseContext, plan: ReleasePlan, wanted: Sequence[str]) -> None:
    """Put what was read into the result, with secrets hidden: when those of all releases are known."""
    release = plan.rendered
    found: dict[str, Any] = {}
    if release and MANIFEST in wanted:
        found[MANIFEST] = context.shown(release)
    if release and NOTES in wanted:
        found[NOTES] = context.masked(_notes(release))
    if release and VALUES in wanted:
        found[VALUES] = context.shown_values(release, plan.key)
    if COMMAND in wanted and not plan.spec.suspend:
        found[COMMAND] = context.masked("\n".join(_with_chart(context, plan, command) for command in plan.commands))
    plan.shown = found


def _notes(release: Mapping[str, Any]) -> str:
    info = release.get("info")
    return str(info.get("notes") or "") if isinstance(info, Mapping) else ""


def _with_chart(context: ReleaseContext, plan: ReleasePlan, command: str) -> str:
    """Return a command with the chart where it lies for good, in place of the copy that Helm is given."""
    if plan.chart is None:
        return command
    try:
        return command.replace(context.chart_file(plan.chart), plan.chart.path)
    except OciError:
        return command

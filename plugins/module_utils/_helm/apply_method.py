# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Helm 4 applies a release, and which of the flags that depend on it it accepts.

Helm 4 records with each revision whether it was applied by the server or by the client, and does the same for the next
one. Helm 3 records nothing, and always applied by the client. An upgrade follows the last revision, a rollback the
revision that it goes back to; an install is applied by the server.

Source: helm 4, pkg/action/upgrade.go (``getUpgradeServerSideValue``), pkg/action/rollback.go, pkg/kube/client.go.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from .flags import DeployFlags

# helm 4, pkg/release/v1/release.go
SERVER_SIDE = "ssa"
# The field manager of all versions of Helm.
HELM_MANAGER = "helm"

_CONFLICT = re.compile(r"[Aa]pply failed with \d+ conflicts?:")
_MANAGER = re.compile(r'conflicts? with "([^"]*)"')


def is_server_side(release: Mapping[str, Any]) -> bool:
    """Return whether a revision was applied by the server, according to its record."""
    return release.get("apply_method") == SERVER_SIDE


def depends_on_record(flags: DeployFlags) -> bool:
    """Return whether the record of a revision decides which of the flags Helm 4 accepts."""
    return flags.force_conflicts and not flags.force and flags.server_side in ("", "auto")


def accepted_flags(flags: DeployFlags, *, recorded: bool) -> DeployFlags:
    """Return the flags without ``force_conflicts`` where Helm 4 refuses it.

    Objects that the client applies, or replaces, have no conflicts: their fields are taken over from any manager.

    :param recorded: whether the revision that Helm takes the method from was applied by the server.
    """
    by_server = {"true": True, "false": False}.get(flags.server_side, recorded) and not flags.force
    return flags if by_server else dataclasses.replace(flags, force_conflicts=False)


def conflict_hint(words: str, flags: DeployFlags) -> str:
    """Return what to do about an error message of Helm; empty when fields of other managers are not its cause."""
    if not _CONFLICT.search(words) or flags.force_conflicts:
        return ""
    if HELM_MANAGER not in _MANAGER.findall(words):
        return "Take these fields over with 'force_conflicts', or leave them out of what the chart deploys."
    other = ", or leave 'server_side' out" if flags.server_side == "true" else ""
    return (
        f'The manager "{HELM_MANAGER}" of these fields is Helm itself, which applied them by the client until now: '
        f"take them over with 'force_conflicts'{other}."
    )

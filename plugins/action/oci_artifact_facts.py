# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of oci_artifact_facts."""

from __future__ import annotations

from ansible.plugins.action.normal import ActionModule as NormalAction

from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_facts
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.in_worker import InWorker


class ActionModule(InWorker, NormalAction):
    """Runs the module in the worker where it can."""

    MODULE = oci_artifact_facts

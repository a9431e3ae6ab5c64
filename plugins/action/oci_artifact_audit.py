# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of oci_artifact_audit."""

from __future__ import annotations

from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_audit
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.registry_action import RegistryAction


class ActionModule(RegistryAction):
    """Brings what the controller's environment says, and runs the module in the worker where it can."""

    MODULE = oci_artifact_audit

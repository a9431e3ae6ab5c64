# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff of a task that changes nothing is shown once: by the plugin, or by a callback that shows it itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants, context
from ansible.utils.context_objects import CLIArgs

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.unchanged_diff import show_diff

RESULT = {"diff": [{"before_header": "a", "after_header": "b", "before": "old\n", "after": "new\n"}]}
PLAYBOOK: dict[str, Any] = {"args": ["site.yml"]}
AD_HOC: dict[str, Any] = {"module_name": "cloudnative.artifacts.oci_artifact_diff", "one_line": False}


@pytest.mark.parametrize(
    ("arguments", "callback", "options", "is_shown"),
    [
        (PLAYBOOK, "default", {}, True),
        (PLAYBOOK, "ansible.builtin.default", {}, True),
        (PLAYBOOK, "ansible.builtin.minimal", {}, False),
        (PLAYBOOK, "ansible.posix.json", {}, False),
        (AD_HOC, "default", {}, False),
        (PLAYBOOK, "default", {"diff": False}, False),
        (PLAYBOOK, "default", {"no_log": True}, False),
        (PLAYBOOK, "default", {"changed_when": ["true"]}, False),
        (PLAYBOOK, "default", {"changed_when": [False]}, True),
    ],
)
def test_a_diff_is_shown_once(
    arguments: dict[str, Any],
    callback: str,
    options: dict[str, Any],
    is_shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(context, "CLIARGS", CLIArgs(arguments))
    monkeypatch.setattr(constants, "DEFAULT_STDOUT_CALLBACK", callback)
    show_diff(SimpleNamespace(**{"diff": True, "no_log": False, "changed_when": [], **options}), RESULT)
    assert ("+new" in capsys.readouterr().out) == is_shown

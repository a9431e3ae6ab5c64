# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sides of a comparison as users may write them: what is neither a reference, a path nor a mapping is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_diff

NAMES_NOTHING = "'from': One of 'ref', 'url' and 'path' is wanted, none is given."


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ("", NAMES_NOTHING),
        (None, NAMES_NOTHING),
        ({}, NAMES_NOTHING),
        (1.1, "'from.ref' is the number 1.1, and text is wanted."),
        (True, "'from.ref' is the truth value true, and text is wanted."),
        ([1], NAMES_NOTHING),
        (["registry.example.com/a", "x"], NAMES_NOTHING),
        ({"ref": "registry.example.com/a", "reff": "x"}, "Unsupported parameters for "),
    ],
    ids=["empty", "null", "no-option", "number", "truth", "numbers", "texts", "unknown"],
)
def test_a_side_that_cannot_be_used(
    side: Any, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"ANSIBLE_MODULE_ARGS": {"from": side, "to": "/"}}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda *_words, **_more: None)
    with pytest.raises(SystemExit):
        oci_artifact_diff.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"] and result["msg"].startswith(message), result["msg"]
    assert result["reason"] == "InvalidOption"

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that a module finds while it runs do not leave it; those in its options are in test_option_secrets.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.run import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets import known

TOKEN = "Zq7hush3Kw9xVb-found-by-the-task-itself"


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_noted", {})
    monkeypatch.setattr(known, "_mask", None)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: Any) -> dict[str, Any]:
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": {}}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda *_words, **_more: None)
    with pytest.raises(SystemExit):
        run_module({}, call)
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result, dict)
    return result


def test_a_result_does_not_show_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(_module: Any) -> dict[str, Any]:
        known.note(TOKEN, opaque=True)
        return {"annotations": {"repeated": f"Bearer {TOKEN}"}, "list": [TOKEN], "tag": "1.2"}

    result = run(monkeypatch, capsys, call)
    assert TOKEN not in json.dumps(result)
    assert result["tag"] == "1.2"


def test_a_failure_does_not_show_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(_module: Any) -> dict[str, Any]:
        known.note(TOKEN, opaque=True)
        raise OciError(f"The registry said {TOKEN}.")

    result = run(monkeypatch, capsys, call)
    assert result["failed"] and TOKEN not in json.dumps(result)


def test_where_nothing_was_found_nothing_is_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, capsys, lambda _module: {"token": TOKEN})["token"] == TOKEN

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


SPEC = {"password": {"type": "str", "no_log": True}, "ref": {"type": "str"}, "dest": {"type": "path"}}
DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: Any, **options: Any
) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if name in SPEC}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda *_words, **_more: None)
    with pytest.raises(SystemExit):
        run_module(SPEC, call)
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


RESULT = {
    "changed": True,
    "artifact": {
        "digest": DIGEST,
        "revision": f"1.2.0@{DIGEST}",
        "tag": "1.2.0",
        "url": "oci://registry.example.com:5000/platform/config",
        "path": "/srv/abc/platform",
        "size": 123456,
        "metadata": {},
    },
    "changes": {"added": ["abc/a.txt", "platform"], "removed": []},
    "reason": "NewRevision",
}
SAID = {"ref": "registry.example.com:5000/platform/config:1.2.0", "dest": "/srv/abc/platform"}


@pytest.mark.parametrize(
    "password",
    [
        "a",
        "0",
        "1",
        "1.2.0",
        "abc",
        "def0",
        "sha256",
        "5000",
        "oci",
        "platform",
        "config",
        "abcdef",
        "123456",
        "123456789ab",
    ],
)
def test_what_playbooks_compare_stays_usable(
    password: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ansible alone puts stars in place of these passwords wherever their characters are."""
    result = run(monkeypatch, capsys, lambda _module: json.loads(json.dumps(RESULT)), password=password, **SAID)
    assert {name: result[name] for name in RESULT} == RESULT


@pytest.mark.parametrize("password", ["abc", "x1", "sha256", "platform", "long-enough-to-be-one-of-its-own"])
def test_a_short_password_is_not_shown_where_it_is_one(
    password: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(module: Any) -> dict[str, Any]:
        module.warn(f"It repeats {password}, of {DIGEST}.")
        raise OciError(f"{DIGEST}: the registry said '{password}'.", "", {"metadata": {"echo": f"pass {password}"}})

    result = run(monkeypatch, capsys, call, password=password, ref="registry.example.com/x:1")
    assert result["msg"] == f"{DIGEST}: the registry said '(hidden)'."
    assert "(hidden)" in str(result["warnings"]) and DIGEST in str(result["warnings"])
    assert password not in json.dumps(result).replace(DIGEST, "")


def test_a_password_that_the_task_says_itself_is_hidden_in_messages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(_module: Any) -> dict[str, Any]:
        raise OciError("The password platform is wrong.", "", {"artifact": {"url": "oci://registry/platform"}})

    result = run(monkeypatch, capsys, call, password="platform", ref="registry/platform:1")
    assert result["msg"] == "The password (hidden) is wrong."
    assert result["artifact"]["url"] == "oci://registry/platform"


def test_a_long_secret_is_hidden_in_what_looks_like_a_digest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No digest holds so many characters of a password by chance: somebody put them there."""
    secret = "fedcba98" * 4
    result = run(monkeypatch, capsys, lambda _module: {"digest": f"sha256:{secret}{secret}"}, password=secret)
    assert secret not in json.dumps(result)

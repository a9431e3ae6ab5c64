# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interpreter, user and environment are those of this process, and which are not for sure."""

from __future__ import annotations

import os
import pwd
import site
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible.plugins.connection.local import Connection

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils import same_process
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.same_process import (
    can_be_set_now,
    can_fork,
    interpreter,
    is_local,
    is_this_interpreter,
    is_this_user,
)

ME = pwd.getpwuid(os.geteuid()).pw_name
SHELL = "/bin/sh"
TEMPLAR = SimpleNamespace(template=lambda value: value.replace("{{ ours }}", sys.executable))


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], True),
        (
            ["HOME", "PATH", "TMPDIR", "TZ", "OCI_ARTIFACT_CACHE_DIR", "https_proxy", "AWS_PROFILE", "SSL_CERT_FILE"],
            True,
        ),
        (["HOME", "PYTHONPATH"], False),
        (["PYTHONWARNINGS"], False),
        (["LD_PRELOAD"], False),
        (["LC_ALL"], False),
        (["LANG"], False),
        (["LANGUAGE"], False),
        (["OPENSSL_CONF"], False),
        (["RES_OPTIONS"], False),
        (["MALLOC_ARENA_MAX"], False),
        (["a-b"], False),  # a shell would take it for a command
        (["1A"], False),
        (["A\n"], False),
        ([""], False),
    ],
)
def test_variables(names: list[str], wanted: bool) -> None:
    assert can_be_set_now(names) is wanted


def test_interpreters(tmp_path: Path) -> None:
    own = Path(sys.executable)
    assert is_this_interpreter(str(own))
    (tmp_path / "venv").mkdir()
    same, other = tmp_path / "bin", tmp_path / "venv/bin"
    same.symlink_to(own.parent)
    assert is_this_interpreter(str(same / own.name))
    # the same program, but another environment
    other.mkdir()
    (other / "python").symlink_to(own.resolve())
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {own} "$@"\n')
    for path in (
        other / "python",
        script,
        f"{own} -E",
        f"/usr/bin/env {own.name}",
        own.name,
        "",
        "auto",
        tmp_path / "no",
    ):
        assert not is_this_interpreter(str(path)), path


@pytest.mark.parametrize(
    ("flags", "variables", "wanted"),
    [
        ({}, {}, True),
        ({"no_site": 1}, {}, False),
        ({"optimize": 1}, {}, False),
        ({"ignore_environment": 1}, {}, True),
        ({"ignore_environment": 1}, {"PYTHONPATH": "/srv"}, False),
        ({"safe_path": True, "no_user_site": 1}, {"user site": ""}, True),
        ({"safe_path": True, "no_user_site": 1}, {"user site": "there"}, False),
    ],
)
def test_an_interpreter_with_options(
    flags: dict[str, Any], variables: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Distributions start Ansible with -s or -P; what a new interpreter would find beyond it must be the same."""
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        monkeypatch.delenv(name)
    where = tmp_path if variables.pop("user site", None) == "there" else tmp_path / "none"
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(where))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    usual = {"no_site": 0, "dev_mode": False, "optimize": 0, "ignore_environment": 0, "no_user_site": 0}
    monkeypatch.setattr(
        same_process, "sys", SimpleNamespace(executable=sys.executable, flags=SimpleNamespace(**{**usual, **flags}))
    )
    assert is_this_interpreter(sys.executable) is wanted


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"ansible_python_interpreter": "/opt/python"}, "/opt/python"),
        ({"ansible_python_interpreter": "{{ ours }}"}, sys.executable),
        ({}, ""),
        ({"ansible_python_interpreter": "auto_silent"}, ""),
        ({"ansible_facts": {"discovered_interpreter_python": "/usr/bin/python3"}}, "/usr/bin/python3"),
        (
            {
                "ansible_python_interpreter": "/opt/python",
                "ansible_facts": {"discovered_interpreter_python": "/usr/bin/python3"},
            },
            "/opt/python",
        ),
    ],
)
def test_which_interpreter_ansible_would_take(variables: dict[str, Any], wanted: str) -> None:
    assert interpreter(variables, TEMPLAR) == wanted


@pytest.mark.parametrize(("platform", "wanted"), [("linux", True), ("freebsd14", True), ("darwin", False)])
def test_systems(platform: str, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert can_fork() is wanted


def test_become(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible itself leaves become out for the user that is there, unless it is configured to use it all the same."""
    monkeypatch.setattr(constants, "BECOME_ALLOW_SAME_USER", False, raising=False)
    assert is_this_user(ME, ME)
    for become_user, remote_user in (
        (f"{ME}x", ME),
        (f"{ME}x", f"{ME}x"),
        (ME, f"{ME}x"),
        (None, ME),
        ("", ""),
        (ME, None),
    ):
        assert not is_this_user(become_user, remote_user), (become_user, remote_user)
    monkeypatch.setattr(constants, "BECOME_ALLOW_SAME_USER", True, raising=False)
    assert not is_this_user(ME, ME)


def test_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    local = object.__new__(Connection)
    assert is_local(local, SHELL)
    own = type("Connection", (), {"__module__": "ansible.plugins.connection.ssh"})()
    below = type("Connection", (Connection,), {"__module__": "ansible_collections.community.general.chroot"})
    assert not is_local(own, SHELL) and not is_local(object.__new__(below), SHELL)
    for shell in ("/bin/bash", "/opt/sh", "/bin/sh -x", "", None):
        monkeypatch.setattr(constants, "DEFAULT_EXECUTABLE", shell, raising=False)
        assert not is_local(local, SHELL), shell
    monkeypatch.setattr(constants, "DEFAULT_EXECUTABLE", SHELL, raising=False)
    for shell in ("/bin/bash", "/opt/wrapper", "", None):
        assert not is_local(local, shell), shell
    # a plugin of the same name, in a folder that ansible.cfg names
    monkeypatch.setattr(sys.modules["ansible.plugins.connection.local"], "__file__", "/srv/connection_plugins/local.py")
    assert not is_local(local, SHELL)

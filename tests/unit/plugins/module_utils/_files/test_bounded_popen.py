# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that libraries start for credentials: how long they may run, how much they may write, what they leave."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hanging import Hanging

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import run_program
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.bounded_popen import (
    ProgramEnded,
    limit_library,
    limited_programs,
    popen,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeOptions, make_client

VERSION = "client.authentication.k8s.io/v1"


def kubeconfig(program: Path) -> dict[str, Any]:
    plugin = {"apiVersion": VERSION, "command": str(program), "args": ["s3cret"], "interactiveMode": "Never"}
    return {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "x", "user": {"exec": plugin}}],
    }


def test_a_credential_plugin_is_asked(tmp_path: Path) -> None:
    answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": {"token": "t0ken"}}
    program = tmp_path / "plugin"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    client = make_client(KubeOptions(kubeconfig=kubeconfig(program)))
    assert "Bearer t0ken" in client.configuration.api_key.values()


def test_a_credential_plugin_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = Hanging(tmp_path)
    hanging.set_clock(monkeypatch, run_program)
    with pytest.raises(
        AuthenticationFailed, match=r"program hangs took more than 60 s, and was ended.*'exec'"
    ) as failed:
        make_client(KubeOptions(kubeconfig=kubeconfig(hanging.program)))
    assert "s3cret" not in str(failed.value)
    assert hanging.has_left_nothing()


def test_a_credential_plugin_that_never_stops_writing(tmp_path: Path) -> None:
    program = tmp_path / "plugin"
    program.write_text("#!/bin/sh\nexec yes\n")
    program.chmod(0o755)
    with pytest.raises(AuthenticationFailed, match="program plugin wrote more than 1048576 bytes, and was ended"):
        make_client(KubeOptions(kubeconfig=kubeconfig(program)))


def test_what_others_start_is_left_alone() -> None:
    library = SimpleNamespace(subprocess=subprocess)
    limit_library(library)
    limited = library.subprocess
    limit_library(library)
    assert library.subprocess is limited and limited.PIPE is subprocess.PIPE
    with popen(["true"]) as process:
        assert isinstance(process, subprocess.Popen)
    with limited_programs(300):
        started = limited.Popen(["sh", "-c", "echo a; exit 3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert (started.communicate(), started.wait()) == ((b"a\n", b""), 3)
        # no exception that a library would handle
        assert not issubclass(ProgramEnded, Exception)

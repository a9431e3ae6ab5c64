# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of credential helpers, with real programs: what they are asked, and how they are ended."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login import helper as credential_helper
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.docker_config import DOCKER_HUB_KEY
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.find import find_credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.helper import CredentialHelper
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions

FILE_AUTH = {"auth": "ZmlsZTpw"}  # file:p


def find(config: Any, registry: str = "r.example", repository: str = "org/app") -> Credential | None:
    return find_credential(AuthOptions(auth_config=config), registry, repository)


def user_of(config: Any, registry: str = "r.example", repository: str = "org/app") -> str | None:
    found = find(config, registry, repository)
    return found.username if found else None


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, name: str = "test") -> None:
    """A real credential helper on PATH; what it was asked is in the file ``asked``."""
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\necho \"$1\" > '{folder}/asked'\ncat >> '{folder}/asked'\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


HELPED = {"auths": {"r.example": FILE_AUTH}, "credHelpers": {"r.example": "test"}}


def test_a_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, """echo '{"ServerURL": "x", "Username": "h", "Secret": "s"}'""")
    assert find(HELPED) == Credential("h", "s")
    assert (tmp_path / "asked").read_text() == "get\nr.example"
    assert find({"credHelpers": {"docker.io": "test"}}, "docker.io") == Credential("h", "s")
    assert (tmp_path / "asked").read_text() == f"get\n{DOCKER_HUB_KEY}"


def test_a_helpers_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, """echo '{"Username": "<token>", "Secret": "s"}'""")
    assert find(HELPED) == Credential(identity_token="s")


def test_the_store_is_asked_where_the_file_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, """echo '{"Username": "store", "Secret": "s"}'""")
    assert user_of({"auths": {"r.example": {}}, "credsStore": "test"}) == "store"
    assert user_of({"credsStore": "test"}) == "store"
    assert user_of({"auths": {"r.example": FILE_AUTH}, "credsStore": "test"}) == "file"


@pytest.mark.parametrize(
    "script", ["echo credentials not found in native keychain; exit 1", """echo '{"Username": "", "Secret": ""}'"""]
)
def test_a_helper_without_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    helper(tmp_path, monkeypatch, script)
    assert find(HELPED) is None


@pytest.mark.parametrize(
    "script",
    [
        "echo s3cret >&2; exit 3",
        "echo s3cret",
        "echo '[]'",
        "echo '{}'",
        """echo '{"Username": "u", "Secret": 7}'""",
        """echo '{"Username": "u", "Secret": ""}'""",
        """echo '{"Username": "", "Secret": "s3cret"}'""",
        "kill -9 $$",
    ],
)
def test_a_helper_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    helper(tmp_path, monkeypatch, script)
    with pytest.raises(AuthenticationFailed, match="docker-credential-test") as failure:
        find(HELPED)
    assert "s3cret" not in str(failure.value)


def test_a_helper_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, "exec sleep 600")
    monkeypatch.setattr(credential_helper, "HELPER_TIMEOUT", 0.3)
    with pytest.raises(AuthenticationFailed, match="did not answer within 0.3 s"):
        find(HELPED)


@pytest.mark.parametrize("name", ["../../bin/sh", "a/b", "", " ", "x;y", "-x", {"a": 1}])
def test_a_helper_is_a_plain_name(name: Any) -> None:
    config = {"credHelpers": {"r.example": name}}
    if not name:
        assert find(config) is None
        return
    with pytest.raises(AuthenticationFailed, match="invalid credential helper"):
        find(config)


def test_a_helper_that_is_not_installed() -> None:
    with pytest.raises(AuthenticationFailed, match="not in PATH"):
        find({"credHelpers": {"r.example": "no-such-helper"}})


def test_a_store_is_asked_before_another_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, """echo '{"Username": "store", "Secret": "s"}'""")
    auths = {"https://r.example": FILE_AUTH, "r.example": {}}
    assert user_of({"auths": auths, "credsStore": "test"}) == "store"
    helper(tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1")
    assert user_of({"auths": auths, "credsStore": "test"}) == "file"


def test_an_empty_helper_turns_the_store_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, """echo '{"Username": "store", "Secret": "s"}'""")
    assert find({"credHelpers": {"r.example": ""}, "credsStore": "test"}) is None
    assert user_of({"credHelpers": {"r.example": ""}, "credsStore": "test"}, "s.example") == "store"


# Storing and erasing


@pytest.mark.parametrize(
    ("credential", "stored"),
    [
        (Credential("u", 'p"\u00e4\\\n'), {"ServerURL": "r.example", "Username": "u", "Secret": 'p"\u00e4\\\n'}),
        (
            Credential("u", identity_token="i"),
            {"ServerURL": "r.example", "Username": "<token>", "Secret": "i"},
        ),
    ],
)
def test_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credential: Credential, stored: dict[str, str]) -> None:
    helper(tmp_path, monkeypatch, "")
    CredentialHelper("test", "config.json").store("r.example", credential)
    verb, _newline, text = (tmp_path / "asked").read_text().partition("\n")
    assert (verb, json.loads(text)) == ("store", stored)


def test_erase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, "")
    CredentialHelper("test", "config.json").erase("r.example")
    assert (tmp_path / "asked").read_text() == "erase\nr.example"
    helper(tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1")
    CredentialHelper("test", "config.json").erase("r.example")


def test_storing_and_erasing_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, "cat; echo s3cret >&2; exit 2")
    test = CredentialHelper("test", "config.json")
    with pytest.raises(AuthenticationFailed, match="to store the credential for r.example with exit code 2") as failure:
        test.store("r.example", Credential("u", "s3cret"))
    assert "s3cret" not in str(failure.value)
    with pytest.raises(AuthenticationFailed, match="to erase the credential for r.example with exit code 2"):
        test.erase("r.example")


# What a helper leaves behind

ANSWER = """echo '{"Username": "u", "Secret": "s"}'"""


def is_running(pid_file: Path) -> bool:
    """Whether a process is there that has not ended; it may wait for its new parent to look at it."""
    try:
        fields = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return False
    return fields[0] not in ("Z", "X")


def ends_soon(pid_file: Path) -> bool:
    deadline = time.monotonic() + 120
    while is_running(pid_file) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid_file)


def test_nothing_of_a_helper_that_hangs_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    helper(tmp_path, monkeypatch, f"sleep 600 & echo $! > '{pid}'; wait")
    monkeypatch.setattr(credential_helper, "HELPER_TIMEOUT", 0.5)
    started = time.monotonic()
    with pytest.raises(AuthenticationFailed, match="did not answer within 0.5 s"):
        find(HELPED)
    assert time.monotonic() - started < 300
    assert ends_soon(pid)


def test_a_helper_is_not_waited_for_longer_than_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    # the child holds the output open
    helper(tmp_path, monkeypatch, f"sleep 600 & echo $! > '{pid}'; {ANSWER}")
    started = time.monotonic()
    assert find(HELPED) == Credential("u", "s")
    assert time.monotonic() - started < 300
    assert ends_soon(pid)


def test_a_helper_that_closes_its_output_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, f"{ANSWER}; exec >&- 2>&-; sleep 0.3; echo done > '{tmp_path}/done'")
    assert find(HELPED) == Credential("u", "s")
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_helper_that_never_stops_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    pid = tmp_path / "pid"
    helper(tmp_path, monkeypatch, f"echo $$ > '{pid}'; exec yes {stream}")
    with pytest.raises(AuthenticationFailed, match="wrote more than 1048576 bytes"):
        find(HELPED)
    assert ends_soon(pid)


def test_a_helper_need_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-deaf"
    program.write_text("#!/bin/sh\nexec <&-\necho '{}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    CredentialHelper("deaf", "config.json").store("r.example", Credential("u", "p" * 1_000_000))
    monkeypatch.setattr(credential_helper, "HELPER_TIMEOUT", 0.5)
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    with pytest.raises(AuthenticationFailed, match="did not answer"):
        CredentialHelper("deaf", "config.json").store("r.example", Credential("u", "p" * 1_000_000))


def test_a_long_answer_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s" * 500_000
    (tmp_path / "answer").write_text(json.dumps({"Username": "u", "Secret": secret}))
    helper(tmp_path, monkeypatch, f"cat '{tmp_path}/answer'")
    assert find(HELPED) == Credential("u", secret)


def test_no_descriptor_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, ANSWER)
    find(HELPED)
    before = len(os.listdir("/proc/self/fd"))
    find(HELPED)
    assert len(os.listdir("/proc/self/fd")) <= before

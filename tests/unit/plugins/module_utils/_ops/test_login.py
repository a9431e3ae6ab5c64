# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that are kept present or absent: where they go, what stays, when nothing changes."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidOption,
    InvalidReference,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.docker_config import DOCKER_HUB_KEY
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.find import find_credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.login import LoginOptions, login
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)

PASSWORD, TOKEN = "s3cret-passw0rd", "s3cret-t0ken"

# keeps <server>=<json> in files; fails as the protocol says
HELPER = """#!/bin/sh
cd '{folder}' || exit 9
echo "$1" >> calls
server=$(cat)
case $1 in
  store) printf %s "$server" > stored; name=$(printf %s "$server" | sed 's/.*"ServerURL": *"\\([^"]*\\)".*/\\1/') ;;
  *) name=$server ;;
esac
file=$(printf %s "$name" | tr /: __)
case $1 in
  store) mv stored "$file" ;;
  get) cat "$file" 2>/dev/null || {{ echo credentials not found in native keychain; exit 1; }} ;;
  erase) rm "$file" 2>/dev/null || {{ echo credentials not found in native keychain; exit 1; }} ;;
esac
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    return tmp_path / ".docker/config.json"


class Keychain:
    """A helper program on PATH that keeps what it is given."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.folder = folder / f"keychain-{name}"
        self.folder.mkdir()
        program = folder / f"docker-credential-{name}"
        program.write_text(HELPER.format(folder=self.folder))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    @property
    def calls(self) -> list[str]:
        calls = self.folder / "calls"
        return calls.read_text().split() if calls.exists() else []

    def held(self, server: str) -> Any:
        file = self.folder / server.replace("/", "_").replace(":", "_")
        return json.loads(file.read_text()) if file.exists() else None


@pytest.fixture
def keychain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keychain:
    return Keychain(tmp_path, monkeypatch, "test")


def encoded(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def run(registry: str = "r.example", **options: Any) -> dict[str, Any]:
    """Twice, the second time without a change; the modes of the module agree with each other."""
    check_mode, twice = options.pop("check_mode", False), options.pop("twice", True)
    if options.get("present", True) and not {"credential_helper", "identity_token", "username"} & set(options):
        options = {"username": "u", "password": PASSWORD, **options}
    full = LoginOptions(registry, **{"validate": False, **options})
    foreseen = login(full, check_mode=True, want_diff=True)
    if check_mode:
        return foreseen
    result = login(full, want_diff=True)
    assert result == foreseen
    shown = json.dumps(result) + repr(full)
    for secret in (PASSWORD, TOKEN, encoded("u", PASSWORD)):
        assert secret not in shown
    if twice:
        again = login(full, want_diff=True)
        assert (again["changed"], again["reason"], "diff" in again) == (False, "LoginUpToDate", False)
    return result


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def put(path: Path, document: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    path.chmod(0o600)


# In the file


def test_a_first_login(path: Path) -> None:
    result = run(check_mode=True)
    assert result["changed"]
    assert not path.exists()
    result = run()
    assert load(path) == {"auths": {"r.example": {"auth": encoded("u", PASSWORD)}}}
    assert result == {
        "changed": True,
        "registry": "r.example",
        "key": "r.example",
        "config_file": str(path),
        "store": "file",
        "validated": False,
        "reason": "LoginStored",
        "warnings": [],
        "diff": [
            {
                "before_header": str(path),
                "after_header": str(path),
                "before": '{\n  "auths": {}\n}\n',
                "after": '{\n  "auths": {\n    "r.example": {\n      "password": "(hidden)",\n      "username": "u"\n'
                "    }\n  }\n}\n",
            }
        ],
    }
    assert find_credential(AuthOptions(auth_file=str(path)), "r.example", "a") == Credential("u", PASSWORD)


def test_nothing_is_written_when_nothing_changes(path: Path) -> None:
    put(path, {"auths": {"r.example": {"username": "u", "password": PASSWORD}}})
    before = path.stat()
    assert run()["changed"] is False
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_everything_else_is_kept_in_its_order(path: Path) -> None:
    document = {
        "z": [1, {"y": 2, "x": 3}],
        "auths": {"b.example": {"auth": "?", "note": 1}, "r.example": {"auth": "eDp5", "email": "e"}, "a.example": 7},
        "HttpHeaders": {"X": "y"},
        "credHelpers": {"other.example": "other"},
    }
    put(path, document)
    run()
    document["auths"]["r.example"] = {"email": "e", "auth": encoded("u", PASSWORD)}  # type: ignore[call-overload,index]
    assert json.dumps(load(path)) == json.dumps(document)
    run(present=False)
    del document["auths"]["r.example"]  # type: ignore[attr-defined]
    assert json.dumps(load(path)) == json.dumps(document)


def test_a_new_password(path: Path) -> None:
    put(path, {"auths": {"r.example": {"auth": encoded("u", "0ld-passw0rd")}}})
    result = run()
    (diff,) = result["diff"]
    assert '"password": "(hidden)"' in diff["before"]
    assert '"password": "(hidden, another)"' in diff["after"]
    assert "0ld" not in json.dumps(result)


def test_an_entry_that_is_broken_is_put_right(path: Path) -> None:
    for broken in (7, {"auth": "?"}, {"username": "u"}, None):
        put(path, {"auths": {"r.example": broken}})
        assert run()["changed"]
        assert load(path) == {"auths": {"r.example": {"auth": encoded("u", PASSWORD)}}}


def test_members_that_are_null(path: Path) -> None:
    put(path, {"auths": None, "credHelpers": None, "credsStore": None})
    run()
    assert load(path)["auths"] == {"r.example": {"auth": encoded("u", PASSWORD)}}
    put(path, {"auths": None, "credHelpers": None})
    assert run(present=False)["changed"] is False
    assert run(present=False, credential_helper="x")["changed"] is False


@pytest.mark.parametrize(
    ("options", "entry"),
    [
        ({"identity_token": TOKEN}, {"identitytoken": TOKEN}),
        ({"identity_token": TOKEN, "username": "u"}, {"auth": encoded("u", ""), "identitytoken": TOKEN}),
    ],
)
def test_an_identity_token(path: Path, options: dict[str, str], entry: dict[str, str]) -> None:
    run(**options)
    assert load(path) == {"auths": {"r.example": entry}}
    # the user name is for show
    put(path, {"auths": {"r.example": {"auth": encoded("0000", ""), "identitytoken": TOKEN}}})
    assert run(identity_token=TOKEN)["changed"] is False


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("docker.io", DOCKER_HUB_KEY),
        ("index.docker.io", DOCKER_HUB_KEY),
        ("registry-1.docker.io", DOCKER_HUB_KEY),
        ("https://index.docker.io/v1/", DOCKER_HUB_KEY),
        ("docker.io/org", "docker.io/org"),
        ("index.docker.io/org/app", "docker.io/org/app"),
        ("R.Example:5000", "r.example:5000"),
        ("https://r.example/", "r.example"),
        ("https://r.example/v2/", "r.example"),
        ("r.example/org/app/", "r.example/org/app"),
        ("[::1]:5000", "[::1]:5000"),
        ("localhost", "localhost"),
        (" r.example ", "r.example"),
    ],
)
def test_keys(path: Path, registry: str, key: str) -> None:
    assert run(registry)["key"] == key
    assert list(load(path)["auths"]) == [key]
    assert run(registry, present=False)["changed"]
    assert load(path)["auths"] == {}


@pytest.mark.parametrize(
    "registry",
    ["", "r", "r.example/Org", "r.example/org:1", "r.example:99999", "a b.example", "ftp:", "r.example/a//b"],
)
def test_what_is_no_registry(path: Path, registry: str) -> None:
    with pytest.raises(InvalidReference):
        run(registry)
    assert not path.exists()


def test_a_password_before_the_host_is_not_repeated(path: Path) -> None:
    with pytest.raises(InvalidReference) as failure:
        run(f"https://u:{PASSWORD}@r.example")
    assert PASSWORD not in str(failure.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"username": "u"},
        {"password": PASSWORD},
        {"username": "a:b", "password": PASSWORD},
        {"username": "a:b", "identity_token": TOKEN},
        {"username": "u", "password": "\udcff"},
        {"password": PASSWORD, "identity_token": TOKEN},
        {"registry": "r.example/org", "credential_helper": "test"},
    ],
)
def test_options_that_do_not_go_together(path: Path, options: dict[str, str]) -> None:
    with pytest.raises((InvalidOption, AuthenticationFailed)) as failure:
        login(LoginOptions(**{"registry": "r.example", "validate": False, **options}))
    assert "s3cret" not in str(failure.value)
    assert not path.exists()


def test_the_file_that_is_named(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "variable"))
    assert run()["config_file"] == f"{tmp_path}/variable/config.json"
    assert run(config_file=f"{tmp_path}/named/auth.json")["config_file"] == f"{tmp_path}/named/auth.json"
    assert not path.exists()


def test_a_file_that_others_can_read(path: Path) -> None:
    put(path, {"auths": {"r.example": {"auth": encoded("u", PASSWORD)}}})
    path.chmod(0o644)
    result = run()
    assert result["changed"] is False
    assert "open to other users (mode 0644)" in result["warnings"][0]
    run(username="other", password=PASSWORD)
    assert path.stat().st_mode & 0o777 == 0o600


# Absent


def test_logging_out_removes_every_spelling_and_nothing_else(path: Path) -> None:
    others = {"r.example/org": {}, "r.example:5000": {}, "*.example": {}, "x.r.example": {}}
    spellings = {"r.example": {}, "http://r.example": {"auth": "?"}, "https://r.example/v2/": {}}
    put(path, {"auths": {**others, **spellings, "https://R.example": 7}})
    assert run(present=False)["reason"] == "LoginRemoved"
    assert load(path) == {"auths": others}
    hub = {"docker.io": {}, "index.docker.io": {}, DOCKER_HUB_KEY: {}, "registry-1.docker.io": {}}
    put(path, {"auths": {**hub, "docker.io/org": {}}})
    run("docker.io", present=False)
    assert load(path) == {"auths": {"docker.io/org": {}}}
    run("docker.io/org", present=False)
    assert load(path) == {"auths": {}}


@pytest.mark.parametrize("options", [{}, {"credential_helper": "x"}, {"username": "u", "password": PASSWORD}])
def test_where_there_is_nothing_nothing_is_made(path: Path, options: dict[str, Any]) -> None:
    assert run(present=False, **options)["changed"] is False
    assert not path.parent.exists()


# Helpers


@pytest.mark.parametrize("config", [{"credsStore": "test"}, {"credHelpers": {"r.example": "test"}}])
def test_a_helper_of_the_file_gets_the_secret(path: Path, keychain: Keychain, config: dict[str, Any]) -> None:
    put(path, {**config, "auths": {"r.example": {"auth": encoded("u", "0ld"), "email": "e"}}})
    run(check_mode=True)
    assert keychain.calls == ["get"]
    result = run(twice=False)
    assert result["store"] == "docker-credential-test"
    assert keychain.calls == ["get"] * 3 + ["get", "store"]
    assert keychain.held("r.example") == {"ServerURL": "r.example", "Username": "u", "Secret": PASSWORD}
    # as docker leaves it
    assert load(path) == {**config, "auths": {"r.example": {"email": "e"}}}
    found = find_credential(AuthOptions(auth_file=str(path)), "r.example", "a")
    assert found == Credential("u", PASSWORD)
    assert run()["changed"] is False
    assert keychain.calls.count("store") == 1
    run(present=False)
    assert keychain.held("r.example") is None
    assert load(path) == {**config, "auths": {}}
    assert keychain.calls.count("erase") == 1


def test_the_diff_of_a_helper(path: Path, keychain: Keychain) -> None:
    put(path, {"credsStore": "test", "auths": {"r.example": {}}})
    (diff,) = run()["diff"]
    before, after = json.loads(diff["before"]), json.loads(diff["after"])
    hidden = {"r.example": {"password": "(hidden)", "username": "u"}}
    assert (before["docker-credential-test"], after["docker-credential-test"]) == ({}, hidden)
    (diff,) = run(username="u", password="an0ther-passw0rd")["diff"]
    assert '"password": "(hidden, another)"' in diff["after"]
    (diff,) = run(present=False)["diff"]
    before, after = json.loads(diff["before"]), json.loads(diff["after"])
    assert (before["docker-credential-test"], after["docker-credential-test"]) == (hidden, {})


def test_docker_hub_and_a_token_in_a_helper(path: Path, keychain: Keychain) -> None:
    put(path, {"credsStore": "test"})
    run("docker.io", identity_token=TOKEN, username="u")
    assert keychain.held(DOCKER_HUB_KEY) == {"ServerURL": DOCKER_HUB_KEY, "Username": "<token>", "Secret": TOKEN}
    assert load(path) == {"credsStore": "test", "auths": {DOCKER_HUB_KEY: {}}}
    found = find_credential(AuthOptions(), "docker.io", "library/alpine")
    assert found == Credential(identity_token=TOKEN)


def test_a_login_with_a_path_stays_in_the_file(path: Path, keychain: Keychain) -> None:
    put(path, {"credsStore": "test"})
    assert run("r.example/org")["store"] == "file"
    assert load(path)["auths"] == {"r.example/org": {"auth": encoded("u", PASSWORD)}}
    run("r.example/org", present=False)
    assert load(path)["auths"] == {}
    assert keychain.calls == []


def test_a_login_with_a_path_that_would_never_be_used(path: Path) -> None:
    put(path, {"credHelpers": {"r.example": "test"}, "auths": {"r.example/org": {}}})
    with pytest.raises(InvalidOption, match="would never be used"):
        run("r.example/org")
    # but it can be removed
    assert run("r.example/org", present=False)["changed"]


def test_an_empty_helper_keeps_the_login_in_the_file(path: Path) -> None:
    put(path, {"credHelpers": {"r.example": ""}, "credsStore": "test"})
    assert run()["store"] == "file"


def test_a_helper_is_entered(path: Path, keychain: Keychain) -> None:
    put(path, {"auths": {"r.example": {"auth": encoded("u", "0ld")}}})
    assert run(credential_helper="test")["store"] == "docker-credential-test"
    document = {"auths": {"r.example": {"auth": encoded("u", "0ld")}}, "credHelpers": {"r.example": "test"}}
    assert load(path) == document
    assert "store" not in keychain.calls
    # and gets credentials that are given with it
    run(credential_helper="test", username="u", password=PASSWORD)
    assert keychain.held("r.example")["Secret"] == PASSWORD
    assert load(path)["auths"] == {"r.example": {}}
    # logging out leaves the helper where it is, and what it keeps goes
    run(present=False)
    assert load(path) == {"auths": {}, "credHelpers": {"r.example": "test"}}
    assert keychain.held("r.example") is None


def test_a_helper_is_removed(path: Path, keychain: Keychain) -> None:
    put(path, {"credHelpers": {"r.example": "test", "docker.io": "test", DOCKER_HUB_KEY: "test"}})
    assert run(present=False, credential_helper="other")["changed"] is False
    run(present=False, credential_helper="test")
    assert load(path) == {"credHelpers": {"docker.io": "test", DOCKER_HUB_KEY: "test"}}
    run("docker.io", present=False, credential_helper="test")
    assert load(path) == {"credHelpers": {}}
    assert keychain.calls == []


def test_a_helper_need_not_be_there_to_be_entered(path: Path) -> None:
    assert run(credential_helper="no-such-helper")["store"] == "docker-credential-no-such-helper"
    with pytest.raises(AuthenticationFailed, match="not in PATH"):
        login(LoginOptions("r.example", credential_helper="no-such-helper"))


@pytest.mark.parametrize("present", [True, False])
def test_a_helper_that_is_not_there(path: Path, present: bool) -> None:
    put(path, {"credsStore": "no-such-helper", "auths": {"r.example": {"auth": "eDp5"}}})
    before = path.read_bytes()
    with pytest.raises(AuthenticationFailed, match="docker-credential-no-such-helper, which is not in PATH"):
        run(present=present)
    assert path.read_bytes() == before


def test_a_helper_that_does_not_store(path: Path, tmp_path: Path, keychain: Keychain) -> None:
    put(path, {"credsStore": "test"})
    program = tmp_path / "docker-credential-test"
    program.write_text("#!/bin/sh\n[ $1 = get ] && echo credentials not found && exit 1\nexit 3\n")
    with pytest.raises(AuthenticationFailed, match="failed to store the credential for r.example with exit code 3"):
        login(LoginOptions("r.example", username="u", password=PASSWORD, validate=False))
    assert load(path) == {"credsStore": "test"}


# Checked with the registry


def guarded(server: FaultServer) -> ConnectionOptions:
    expected = "Basic " + encoded("u", PASSWORD)
    refused = Answer(401, {"WWW-Authenticate": 'Basic realm="x"'})
    server.always("GET", "^/v2/$", lambda seen: Answer(200) if seen.authorization == expected else refused)
    return ConnectionOptions(insecure=True, timeout=60.0, retries=0)


@pytest.mark.parametrize("suffix", ["", "/org"])
def test_credentials_are_checked_first(path: Path, suffix: str) -> None:
    with FaultServer() as server:
        connection = guarded(server)
        result = run(server.host + suffix, validate=True, connection=connection)
        assert (result["validated"], result["warnings"]) == (True, [])
        before = path.read_bytes()
        with pytest.raises(AuthenticationFailed, match="refused the credentials"):
            run(server.host + suffix, validate=True, connection=connection, username="u", password="wr0ng")
        assert path.read_bytes() == before
        count = len(server.seen)
        assert run(server.host + suffix, present=False, validate=True, connection=connection)["validated"] is False
        assert len(server.seen) == count


def test_nothing_is_written_before_the_check(path: Path, keychain: Keychain) -> None:
    with FaultServer() as server:
        connection = guarded(server)
        for options in ({"username": "u", "password": "wr0ng"}, {"credential_helper": "test"}):
            with pytest.raises(AuthenticationFailed):
                login(LoginOptions(server.host, connection=connection, **options))
        assert not path.exists()
    with pytest.raises(ConnectionFailed):
        login(LoginOptions(server.host, connection=connection, username="u", password=PASSWORD))
    assert not path.parent.exists()
    assert keychain.calls == ["get"]


def test_what_a_helper_has_is_checked(path: Path, keychain: Keychain) -> None:
    with FaultServer() as server:
        connection = guarded(server)
        put(path, {"credsStore": "test"})
        run(server.host, validate=True, connection=connection)
        result = run(server.host, credential_helper="test", validate=True, connection=connection)
        assert result["validated"]
        assert load(path)["credHelpers"] == {server.host: "test"}


def test_a_registry_that_does_not_ask(path: Path) -> None:
    with FaultServer() as server:
        server.always("GET", "^/v2/$", Answer(200))
        connection = ConnectionOptions(insecure=True, timeout=60.0, retries=0)
        result = run(server.host, validate=True, connection=connection)
        assert result["validated"] is False
        assert result["warnings"] == [
            f"The registry {server.host} asks for no credentials, so they could not be checked."
        ]

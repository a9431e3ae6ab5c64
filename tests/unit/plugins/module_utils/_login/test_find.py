# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where credentials come from, which source wins, and what is an error in place of an anonymous login."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import bounded
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login import find as credentials
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.find import find_credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions

VARIABLES = ("REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")


def encoded(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def found_user() -> str | None:
    found = find_credential(AuthOptions(), "r.example", "a")
    return found.username if found else None


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(credentials, "_PODMAN_RUN", str(tmp_path / "run/containers"))
    return tmp_path


# Options


def test_user_name_and_password_win() -> None:
    options = AuthOptions("me", "pw", auth_config={"auths": {"r.example": encoded("other", "x")}})
    found = find_credential(options, "r.example", "a")
    assert (found.username, found.password, found.basic) == ("me", "pw", "bWU6cHc=")  # type: ignore[union-attr]


@pytest.mark.parametrize("options", [AuthOptions("me"), AuthOptions(password="pw"), AuthOptions("a:b", "pw")])
def test_half_a_login_is_an_error(options: AuthOptions) -> None:
    with pytest.raises(AuthenticationFailed) as failure:
        find_credential(options, "r.example", "a")
    assert "pw" not in str(failure.value)


def test_no_credential_at_all() -> None:
    assert find_credential(AuthOptions(), "r.example", "a") is None


def test_what_the_options_give_wins_over_the_hosts_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"auths": {"r.example": encoded("environment", "x")}}
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps(document))
    (home / "given.json").write_text(json.dumps({"auths": {"r.example": encoded("file", "x")}}))
    file = str(home / "given.json")
    given = {"auths": {"r.example": encoded("document", "x")}}
    for options, user in (
        (AuthOptions(), "environment"),
        (AuthOptions(auth_file=file), "file"),
        (AuthOptions(auth_config=given), "document"),
        (AuthOptions(auth_config=given, auth_file=file), "document"),
    ):
        found = find_credential(options, "r.example", "a")
        assert found is not None and found.username == user
    # nor are they asked when it knows nothing of the registry
    assert find_credential(AuthOptions(auth_config={"auths": {}}), "r.example", "a") is None
    assert find_credential(AuthOptions(auth_file=file), "other.example", "a") is None


def test_what_is_given_for_credentials_has_a_place_for_them(home: Path) -> None:
    (home / "empty.json").write_text("{}")
    for options in (AuthOptions(auth_config={"auth": {}}), AuthOptions(auth_file=str(home / "empty.json"))):
        with pytest.raises(AuthenticationFailed, match="has none of 'auths', 'credHelpers' and 'credsStore'"):
            find_credential(options, "r.example", "a")
    for key, value in (("auths", {}), ("credHelpers", {}), ("credsStore", "")):
        assert find_credential(AuthOptions(auth_config={key: value}), "r.example", "a") is None


@pytest.mark.parametrize("options", [AuthOptions("me", "\udcff"), AuthOptions("\udcff", "pw")])
def test_a_login_that_is_no_text(options: AuthOptions) -> None:
    with pytest.raises(AuthenticationFailed, match="is not UTF-8 text"):
        find_credential(options, "r.example", "a")


# Files


def test_a_missing_file_is_named(home: Path) -> None:
    with pytest.raises(AuthenticationFailed) as failure:
        find_credential(AuthOptions(auth_file=str(home / "none.json")), "r.example", "a")
    assert failure.value.message.endswith("/none.json cannot be read: No such file or directory.")


def test_without_a_password_there_is_nothing_to_send() -> None:
    assert Credential("me").basic == Credential(identity_token="i").basic == ""


def test_a_path_that_cannot_be_one() -> None:
    with pytest.raises(AuthenticationFailed, match="cannot be read: embedded null"):
        find_credential(AuthOptions(auth_file="auth\0.json"), "r.example", "a")


def test_how_large_a_file_may_be(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home / "auth.json"
    path.write_text(json.dumps({"auths": {"r.example": encoded("me", "pw")}}))
    monkeypatch.setattr(bounded, "MAX_LOGIN_FILE", path.stat().st_size)
    assert find_credential(AuthOptions(auth_file=str(path)), "r.example", "a")
    monkeypatch.setattr(bounded, "MAX_LOGIN_FILE", path.stat().st_size - 1)
    with pytest.raises(AuthenticationFailed, match="has more than"):
        find_credential(AuthOptions(auth_file=str(path)), "r.example", "a")


def test_files_in_their_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "oldest": home / ".dockercfg",
        "config": home / ".config/containers/auth.json",
        "no session": home / f"run/containers/{os.getuid()}/auth.json",
        "session": home / "session/containers/auth.json",
        "home": home / ".docker/config.json",
        "docker": home / "docker/config.json",
        "variable": None,
        "named": home / "named.json",
    }
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "docker"))
    for name, path in places.items():
        auths = {"r.example": encoded(name, "p")}
        text = json.dumps(auths if name == "oldest" else {"auths": auths})
        if name == "session":
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "session"))
        if name == "named":
            monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
        if path is None:
            monkeypatch.setenv("DOCKER_AUTH_CONFIG", text)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert found_user() == name
    # a file that does not know the registry leaves it to the next
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", '{"auths": {"other": {}}}')
    for name, text in (("named", '{"auths": {"other": {}}}'), ("docker", '{"currentContext": "x"}'), ("home", "")):
        path = places[name]
        assert path
        path.write_text(text)
    assert found_user() == "session"
    # with a session, no other place of podman for running users is looked at
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "empty"))
    assert found_user() == "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "empty"))
    assert found_user() == "oldest"


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": 7}', "s3cret"])
def test_what_the_environment_gives_must_be_usable(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", content)
    with pytest.raises(AuthenticationFailed, match="^DOCKER_AUTH_CONFIG in the environment") as failure:
        find_credential(AuthOptions(), "r.example", "a")
    assert "s3cret" not in str(failure.value)


def test_the_oldest_file_must_be_usable(home: Path) -> None:
    (home / ".dockercfg").write_text('{"r.example": {"auth": "?"}}')
    with pytest.raises(AuthenticationFailed, match="dockercfg"):
        find_credential(AuthOptions(), "r.example", "a")


@pytest.mark.parametrize("name", ["fifo", "folder", "/dev/null"])
def test_what_is_no_regular_file(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    os.mkfifo(home / "fifo")
    (home / "folder").mkdir()
    monkeypatch.setenv("REGISTRY_AUTH_FILE", os.path.join(home, name))
    if name == "folder":
        with pytest.raises(AuthenticationFailed, match="Is a directory"):
            found_user()
    else:
        assert found_user() is None


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"auths": 7}', b" " * (bounded.MAX_LOGIN_FILE + 1)])
def test_a_file_that_is_there_must_be_readable(home: Path, content: bytes) -> None:
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_bytes(content)
    with pytest.raises(AuthenticationFailed, match="config.json"):
        find_credential(AuthOptions(), "r.example", "a")


def test_a_file_that_was_named_must_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AuthenticationFailed, match="No such file"):
        find_credential(AuthOptions(auth_file=str(home / "no.json")), "r.example", "a")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "no.json"))
    with pytest.raises(AuthenticationFailed, match="No such file"):
        find_credential(AuthOptions(), "r.example", "a")


def test_secrets_are_not_in_the_representation() -> None:
    secret = Credential("u", "s3cret", "s3cret", "s3cret")
    options = AuthOptions("u", "s3cret", auth_config={"auths": {"x": "s3cret"}})
    assert "s3cret" not in repr(secret) + repr(options)

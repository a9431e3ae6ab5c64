# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which credential is found for a repository, and what is an error in place of an anonymous login."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import credentials
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.credentials import (
    DOCKER_HUB_KEY,
    Credential,
    find_credential,
    load_auth_config,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.errors import AuthenticationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions

VARIABLES = ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")


def encoded(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def find(config: Any, registry: str = "r.example", repository: str = "org/app") -> Credential | None:
    return find_credential(AuthOptions(auth_config=config), registry, repository)


def user_of(config: Any, registry: str = "r.example", repository: str = "org/app") -> str | None:
    found = find(config, registry, repository)
    return found.username if found else None


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, name: str = "test") -> None:
    """A real credential helper on PATH; what it was asked is in the file ``asked``."""
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\necho \"$1\" > '{folder}/asked'\ncat >> '{folder}/asked'\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


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


# Entries


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (encoded("u", "p:w"), Credential("u", "p:w")),
        ({"username": "u", "password": "p"}, Credential("u", "p")),
        ({**encoded("u", "p"), "username": "x", "password": "y"}, Credential("u", "p")),
        ({**encoded("0000", ""), "identitytoken": "i"}, Credential("0000", "", "i")),
        ({"registrytoken": "r"}, Credential(registry_token="r")),
        ({"auth": base64.b64encode(b"u:p\0").decode()}, Credential("u", "p")),
        ({}, None),
        ({"email": "x@y"}, None),
    ],
)
def test_entries(entry: dict[str, str], found: Credential | None) -> None:
    assert find({"auths": {"r.example": entry}}) == found


@pytest.mark.parametrize(
    "entry",
    [
        "text",
        [],
        7,
        None,
        {"auth": 7},
        {"auth": "not base64!"},
        {"auth": "\u00e4"},
        {"auth": base64.b64encode(b"no colon").decode()},
        {"auth": base64.b64encode(b"\xff:\xff").decode()},
        {"username": "s3cret"},
        {"password": "s3cret"},
        {"registrytoken": "s3cret\nX: y"},
        {"registrytoken": "s3cret\u00e4"},
        {"identitytoken": ["s3cret"]},
    ],
)
def test_entries_of_the_wrong_shape(entry: Any) -> None:
    with pytest.raises(AuthenticationFailed, match="r.example") as failure:
        find({"auths": {"r.example": entry}})
    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize(
    "document",
    [
        [],
        "x",
        {},
        {"auth": {}},
        {"data": {".dockerconfigjson": "e30="}},
        {"r.example": {"auth": "eDp5"}},
        {"auths": []},
        {"auths": "x"},
        {"auths": {}, "credHelpers": []},
        {"auths": {}, "credsStore": 7},
    ],
)
def test_documents_of_the_wrong_shape(document: Any, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed):
        find(document)
    path = tmp_path / "given.json"
    path.write_text(json.dumps(document))
    with pytest.raises(AuthenticationFailed, match="given.json"):
        find_credential(AuthOptions(auth_file=str(path)), "r.example", "a")


@pytest.mark.parametrize("document", [{"auths": None}, {"auths": {}}, {"credsStore": ""}, {"auths": {"other": {}}}])
def test_documents_without_an_entry(document: Any) -> None:
    assert find(document) is None


@pytest.mark.parametrize("text", ["", "s3cret", "[" * 100_000, '{"auths": s3cret', "\0"])
def test_text_that_is_no_json(text: str) -> None:
    with pytest.raises(AuthenticationFailed, match="auth_config is not JSON") as failure:
        load_auth_config(text, "auth_config")
    assert "s3cret" not in str(failure.value)


# Keys


KEYS = {
    "r.example": "host",
    "r.example/org": "organisation",
    "r.example/org/app": "repository",
    "https://legacy.example/v1/": "v1",
    "https://legacy2.example/v2/": "v2",
    "r.example:5000": "port",
    "*.glob.example": "glob",
    "exact.glob.example": "exact",
    "*.glob.example:5000": "glob with port",
    "a?.glob.example/deep": "deep glob",
    "host.glob2.example": "host of a deeper glob",
    "*.glob2.example/deep": "deeper glob",
    DOCKER_HUB_KEY: "hub",
    "UPPER.example": "upper",
    "[::1]:5000": "six",
}


@pytest.mark.parametrize(
    ("registry", "repository", "user"),
    [
        ("r.example", "org/app", "repository"),
        ("r.example", "org/app/deeper", "repository"),
        ("r.example", "org/application", "organisation"),
        ("r.example", "organ", "host"),
        ("r.example:5000", "org/app", "port"),
        ("r.example:5001", "org/app", None),
        ("legacy.example", "x", "v1"),
        ("legacy2.example", "x", "v2"),
        ("x.glob.example", "x", "glob"),
        ("exact.glob.example", "x", "exact"),
        ("x.glob.example:5000", "x", "glob with port"),
        ("x.glob.example:5001", "x", None),
        ("x.y.glob.example", "x", None),
        ("ab.glob.example", "deep/x", "deep glob"),
        ("exact.glob.example", "deep/x", "exact"),
        ("ax.glob.example", "deep/x", "deep glob"),
        ("host.glob2.example", "deep/x", "deeper glob"),
        ("glob.example", "x", None),
        ("docker.io", "library/alpine", "hub"),
        ("upper.example", "x", "upper"),
        ("[::1]:5000", "x", "six"),
        ("example", "x", None),
        ("r.example.evil.example", "org/app", None),
    ],
)
def test_the_longest_key_wins(registry: str, repository: str, user: str | None) -> None:
    config = {"auths": {key: encoded(name, "p") for key, name in KEYS.items()}}
    assert user_of(config, registry, repository) == user
    config = {"auths": dict(reversed(list(config["auths"].items())))}
    assert user_of(config, registry, repository) == user


@pytest.mark.parametrize(
    "key", ["docker.io", "index.docker.io", "registry-1.docker.io", DOCKER_HUB_KEY, "docker.io/library"]
)
def test_docker_hub_has_many_names(key: str) -> None:
    assert user_of({"auths": {key: encoded("u", "p")}}, "docker.io", "library/alpine") == "u"


@given(st.dictionaries(st.text(max_size=30), st.just({"auth": "dTpw"}), max_size=5))
def test_any_key_is_read(auths: dict[str, Any]) -> None:
    assert user_of({"auths": auths}, "r.example", "org/app") in ("u", None)


# Files


def test_files_in_their_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "config": home / ".config/containers/auth.json",
        "runtime": home / "run/containers/auth.json",
        "home": home / ".docker/config.json",
        "docker": home / "docker/config.json",
        "named": home / "named.json",
    }
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "docker"))
    for name, path in places.items():
        if name == "named":
            monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"auths": {"r.example": encoded(name, "p")}}))
        found = find_credential(AuthOptions(), "r.example", "a")
        assert found and found.username == name
    # a file that does not know the registry leaves it to the next
    places["named"].write_text('{"auths": {"other": {}}}')
    places["docker"].write_text('{"currentContext": "x"}')
    places["home"].write_text("")
    found = find_credential(AuthOptions(), "r.example", "a")
    assert found and found.username == "runtime"


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"auths": 7}', b" " * (credentials.MAX_FILE_SIZE + 1)])
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


# Helpers

HELPED = {"auths": {"r.example": encoded("file", "p")}, "credHelpers": {"r.example": "test"}}


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
    assert user_of({"auths": {"r.example": encoded("file", "p")}, "credsStore": "test"}) == "file"


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
    helper(tmp_path, monkeypatch, "exec sleep 30")
    monkeypatch.setattr(credentials, "HELPER_TIMEOUT", 0.3)
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


def test_secrets_are_not_in_the_representation() -> None:
    secret = Credential("u", "s3cret", "s3cret", "s3cret")
    options = AuthOptions("u", "s3cret", auth_config={"auths": {"x": "s3cret"}})
    assert "s3cret" not in repr(secret) + repr(options)

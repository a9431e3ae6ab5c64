# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller's environment adds to a task, and what it does not."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed, TlsFailed
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_environment import (
    AUTH_FILE,
    CA_CERT,
    PASSWORD,
    USERNAME,
    carried_options,
)
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.registry_action import CARRIED

COLLECTION = Path(__file__).resolve().parents[4]
LOGIN = {USERNAME: "robot", PASSWORD: "hush-hush"}
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
TASK = {"ref": "registry.example.com/a/b:1", "dest": "/srv"}


def entry(name: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:hush-{name}".encode()).decode()}


def carried(environ: dict[str, str], task: dict[str, Any] | None = None, **task_environment: str) -> dict[str, Any]:
    return carried_options(TASK if task is None else task, environ, task_environment)


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    path = tmp_path / "auth.json"
    path.write_text(
        json.dumps(
            {
                "auths": {
                    "registry.example.com": entry("host"),
                    "https://registry.example.com/a/": entry("path"),
                    "*.example.com": entry("pattern"),
                    "other.example.org": entry("other"),
                    "https://index.docker.io/v1/": entry("hub"),
                    "empty.example.org": {},
                },
                "HttpHeaders": {"X-Secret": "hush-header"},
            }
        )
    )
    return path


def helper(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\nread server\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_nothing_is_added_without_variables() -> None:
    assert carried({}) == {}
    assert carried({USERNAME: "", PASSWORD: "", AUTH_FILE: "", CA_CERT: ""}) == {}


def test_a_login_is_added(auth_file: Path) -> None:
    wanted = {"username": "robot", "password": "hush-hush"}
    assert carried(LOGIN) == wanted
    assert carried({**LOGIN, AUTH_FILE: str(auth_file)}) == wanted
    assert carried(LOGIN, {"ref": "no reference at all"}) == wanted
    # the module says that half of it is missing
    assert carried({USERNAME: "robot"}) == {"username": "robot"}


def test_all_registries_of_charts_count(auth_file: Path) -> None:
    sources = {"one": TASK, "two": {"url": "oci://other.example.org/charts/demo"}, "odd": "text"}
    found = carried({AUTH_FILE: str(auth_file)}, {"sources": sources})["auth_config"]["auths"]
    assert {"registry.example.com", "other.example.org"} <= set(found)
    assert carried({AUTH_FILE: str(auth_file)}, {"sources": {}}) == carried({}, {"sources": "text"}) == {}


@pytest.mark.parametrize(
    "options",
    [{"username": "me"}, {"password": "mine"}, {"auth_file": "/etc/auth.json"}, {"auth_config": {"auths": {}}}]
    + [{"auth_config": {}}],
)
def test_credentials_of_the_task_win_as_a_whole(options: dict[str, Any], auth_file: Path) -> None:
    assert carried({**LOGIN, AUTH_FILE: str(auth_file)}, {**TASK, **options}) == {}


@pytest.mark.parametrize("name", [USERNAME, PASSWORD, AUTH_FILE])
def test_variables_that_the_playbook_sets_win_as_a_whole(name: str, auth_file: Path) -> None:
    assert carried({**LOGIN, AUTH_FILE: str(auth_file)}, **{name: "x"}) == {}
    assert carried(LOGIN, OTHER="x") != {}


@pytest.mark.parametrize("side", ["other.example.org/x:1", {"url": "oci://other.example.org/x"}])
def test_both_sides_of_a_comparison_count(side: Any, auth_file: Path) -> None:
    task = {"from": "registry.example.com/a/b:1", "to": side}
    config = carried({AUTH_FILE: str(auth_file)}, task)["auth_config"]
    assert {"other.example.org", "registry.example.com"} <= set(config["auths"])
    assert carried({AUTH_FILE: str(auth_file)}, {"from": "/srv/a", "to": "oci-layout:/srv/b:1"}) == {}


def test_only_what_concerns_the_registry_travels(auth_file: Path) -> None:
    environ = {AUTH_FILE: str(auth_file)}
    assert carried(environ) == {
        "auth_config": {
            "auths": {
                "registry.example.com": entry("host"),
                "https://registry.example.com/a/": entry("path"),
                "*.example.com": entry("pattern"),
            }
        }
    }
    hub = {"auths": {"https://index.docker.io/v1/": entry("hub")}}
    assert carried(environ, {"url": "oci://docker.io/library/alpine"}) == {"auth_config": hub}
    mirrored = {
        "ref": "docker.io/library/alpine:3",
        "mirrors": {"docker.io": [{"url": "https://other.example.org/hub", "mode": "fallback"}]},
    }
    assert carried(environ, mirrored) == {
        "auth_config": {"auths": {**hub["auths"], "other.example.org": entry("other")}}
    }


OTHER = "https://other.example.org/hub"


@pytest.mark.parametrize(
    "mirrors",
    [
        {"docker.io": OTHER},
        {"docker.io": "other.example.org"},
        {"docker.io": {"url": OTHER}},
        {"docker.io": [OTHER]},
        {"docker.io": ["https://down.example.org", OTHER]},
        {"docker.io": [{"url": "oci://other.example.org/v2/hub", "mode": "replace"}]},
        {"docker.io/library": ["https://down.example.org", {"url": OTHER, "validate_certs": False}]},
        json.dumps({"docker.io": OTHER}),
        f"docker.io={OTHER}",
    ],
    ids=str,
)
def test_logins_for_mirrors_travel_in_each_form_of_the_option(mirrors: Any, auth_file: Path) -> None:
    environ = {AUTH_FILE: str(auth_file)}
    wanted = {"auths": {"https://index.docker.io/v1/": entry("hub"), "other.example.org": entry("other")}}
    task = {"ref": "docker.io/library/alpine:3", "mirrors": mirrors}
    for options in (task, {"artifacts": [task]}, {"sources": {"alpine": task}}, {"artifacts": [json.dumps(task)]}):
        assert carried(environ, options) == {"auth_config": wanted}, options
    shared = {"artifacts": [{"ref": "docker.io/library/alpine:3"}], "mirrors": mirrors}
    assert carried(environ, shared) == {"auth_config": wanted}


def test_the_port_of_a_mirror_counts_as_it_does_on_the_host(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {"mirror:80": entry("short"), "mirror.example.org:5000": entry("port")}}))
    mirrors = {"docker.io": ["http://mirror", "https://mirror.example.org:5000/v2/"]}
    found = carried({AUTH_FILE: str(path)}, {"ref": "docker.io/library/alpine:3", "mirrors": mirrors})
    assert set(found["auth_config"]["auths"]) == {"mirror:80", "mirror.example.org:5000"}


@pytest.mark.parametrize(
    "task",
    [
        {"ref": "unknown.example.org:5000/a/b:1"},
        {"ref": "empty.example.org/a/b:1"},
        {"ref": "oci-layout:/srv/layout:1"},
        {"ref": "::"},
        {"ref": None, "url": "", "mirrors": "x"},
        {"mirrors": {"docker.io": [{"url": 5}, "x"], "x": "y"}},
        {"mirrors": {"docker.io": 5}},
        {"mirrors": "{"},
        {"mirrors": ["other.example.org"]},
        {"artifacts": ["{"]},
        {},
    ],
)
def test_nothing_is_added_for_a_registry_that_the_file_does_not_know(task: dict[str, Any], auth_file: Path) -> None:
    """So the environment and the files of the target are asked."""
    assert carried({AUTH_FILE: str(auth_file)}, task) == {}


def test_helpers_are_asked_on_the_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "mine", 'echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"s\\"}"', monkeypatch)
    helper(tmp_path, "token", 'echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"t\\"}"', monkeypatch)
    helper(tmp_path, "none", 'echo "credentials not found in native keychain"; exit 1', monkeypatch)
    path = tmp_path / "auth.json"

    def with_document(document: dict[str, Any]) -> dict[str, Any]:
        path.write_text(json.dumps(document))
        return carried({AUTH_FILE: str(path)})

    name = "registry.example.com"
    own = base64.b64encode(f"{name}:s".encode()).decode()
    helpers, store = {"credHelpers": {name: "mine"}}, {"credsStore": "mine"}
    answered = {"auth_config": {"auths": {name: {"auth": own}}}}
    assert with_document({**helpers, "auths": {name: entry("x")}}) == answered
    assert with_document({**store, "auths": {name: {}}}) == answered
    assert with_document(store) == answered
    # as docker and podman would choose: an entry with a secret, then the store; a path of its own before both
    assert with_document({**store, "auths": {name: entry("x")}}) == {"auth_config": {"auths": {name: entry("x")}}}
    both = {f"{name}/a": entry("x"), name: {"auth": own}}
    assert with_document({**store, "auths": {f"{name}/a": entry("x")}}) == {"auth_config": {"auths": both}}
    assert with_document({**store, "credHelpers": {name: ""}}) == {}
    assert with_document({"credsStore": "none"}) == {}
    token = with_document({"credsStore": "token"})["auth_config"]["auths"][name]
    assert token["identitytoken"] == "t"


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    with pytest.raises(AuthenticationFailed, match=f"{path} cannot be read: .* It is {AUTH_FILE} of the Ansible contr"):
        carried({AUTH_FILE: str(path)})
    path.write_text("{hush-hush")
    with pytest.raises(AuthenticationFailed, match=f"{path} is not JSON. It is {AUTH_FILE}") as caught:
        carried({AUTH_FILE: str(path)})
    assert "hush" not in str(caught.value)
    path.write_text(json.dumps({"auths": {"registry.example.com": {"auth": "hush-hush"}}}))
    with pytest.raises(AuthenticationFailed, match=f"'registry.example.com' of {path} .{AUTH_FILE} of") as caught:
        carried({AUTH_FILE: str(path)})
    assert "hush" not in str(caught.value)
    assert carried({AUTH_FILE: str(path)}, {**TASK, "username": "me"}) == {}, "it is not read when it is not needed"


def test_authorities_are_added_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "ca.pem"
    path.write_text(PEM)
    assert carried({CA_CERT: "~/ca.pem"}) == carried({CA_CERT: "$HOME/ca.pem"}) == {"ca_cert": PEM}
    assert carried({**LOGIN, CA_CERT: str(path)}, {**TASK, "username": "me"}) == {"ca_cert": PEM}
    assert carried({CA_CERT: str(path)}, {**TASK, "ca_cert": "/etc/ca.pem"}) == {}
    assert carried({CA_CERT: str(path)}, **{CA_CERT: "/etc/ca.pem"}) == {}
    for content in (b"", b"no PEM", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(TlsFailed, match=f"{path} .{CA_CERT} of the controller. holds no PEM"):
            carried({CA_CERT: str(path)})
    path.write_bytes(PEM.encode() + b"x" * (4 * 1024 * 1024))
    with pytest.raises(TlsFailed, match=f"{path} .{CA_CERT} of the controller. has more than 4194304 bytes"):
        carried({CA_CERT: str(path)})
    path.unlink()
    with pytest.raises(TlsFailed, match=f"{path} .* cannot be read"):
        carried({CA_CERT: str(path)})


def test_every_module_that_logs_in_has_the_action() -> None:
    """Each module has an action of its own, as only a class of its own can import the module before Ansible forks."""
    runtime = yaml.safe_load((COLLECTION / "meta/runtime.yml").read_text())
    modules = {path.stem: path.read_text() for path in (COLLECTION / "plugins/modules").glob("*.py")}
    actions = {path.stem: path.read_text() for path in (COLLECTION / "plugins/action").glob("*.py")}
    assert set(modules) == set(actions)
    assert {name for name, text in actions.items() if f"MODULE = {name}\n" not in text} == set()
    with_login = {name for name, text in modules.items() if name.startswith("oci_artifact_") and "AUTH_SPEC" in text}
    assert {name for name, text in actions.items() if "(RegistryAction)" in text} == with_login
    assert with_login <= set(runtime["action_groups"]["oci"])


def test_what_reads_the_environment_is_loaded_for_each_of_its_variables() -> None:
    assert set(CARRIED) == {USERNAME, PASSWORD, AUTH_FILE, CA_CERT}


def test_the_registries_of_a_list(auth_file: Path) -> None:
    items = [
        {"ref": "registry.example.com/a/b:1"},
        {"url": "oci://other.example.org/c", "mirrors": {"quay.io": [{"url": "https://docker.io/mirror"}]}},
        {"ref": "not a reference"},
        "no mapping",
    ]
    auths = carried({AUTH_FILE: str(auth_file)}, {"artifacts": items})["auth_config"]["auths"]
    assert {"registry.example.com", "other.example.org", "https://index.docker.io/v1/"} <= set(auths)
    assert carried({AUTH_FILE: str(auth_file)}, {"artifacts": "registry.example.com"}) == {}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From module parameters to the core's options, and from the core's errors to a module's failure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible import run as _run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    AUTH_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    run_registry_module,
    string_values,
    text_lines,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    InvalidOption,
    TagImmutable,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions

CONNECTION: dict[str, Any] = {
    "insecure": False, "validate_certs": True, "ca_cert": None, "client_cert": None, "client_key": None,
    "client_key_password": None, "proxy": None, "no_proxy": None, "timeout": "60s", "retries": 3, "mirrors": None,
}  # fmt: skip
ENVIRONMENT = ("OCI_ARTIFACT_USERNAME", "OCI_ARTIFACT_PASSWORD", "OCI_ARTIFACT_AUTH_FILE")
CACHE = "OCI_ARTIFACT_CACHE_DIR"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENVIRONMENT, CACHE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/u")


def module(**params: Any) -> Any:
    defaults = {name: option.get("default") for name, option in AUTH_SPEC.items()}
    return SimpleNamespace(params={**defaults, **params}, no_log_values=set())


class Exit(Exception):
    """What the module told Ansible."""


class FakeModule:
    """AnsibleModule as far as run_module uses it."""

    given: Mapping[str, Any] = {}

    def __init__(self, argument_spec: Mapping[str, Any], supports_check_mode: bool, **rules: Any) -> None:
        assert supports_check_mode
        self.argument_spec, self.rules = argument_spec, rules
        self.warned: list[str] = []
        self.params: dict[str, Any] = dict(self.given)
        self.given_params = self.params
        self.no_log_values: set[str] = set()

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def exit_json(self, **result: Any) -> NoReturn:
        raise Exit("ok", result, self.warned)

    def fail_json(self, **result: Any) -> NoReturn:
        assert sys.exc_info() == (None, None, None)  # else Ansible attaches a traceback
        raise Exit("failed", result, *([self.warned] if self.warned else []))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run_module, "TaskModule", FakeModule)


@pytest.mark.usefixtures("fake")
def test_result_and_warnings() -> None:
    with pytest.raises(Exit) as done:
        run_registry_module({}, lambda _module: {"changed": True, "warnings": ["a", "b"]})
    assert done.value.args == ("ok", {"changed": True}, ["a", "b"])


@pytest.mark.usefixtures("fake")
def test_error_becomes_a_failure_with_its_reason_and_no_traceback() -> None:
    def call(_module: Any) -> dict[str, Any]:
        raise TagImmutable("It moved.", "Do not.")

    with pytest.raises(Exit) as done:
        run_registry_module({}, call)
    assert done.value.args == (
        "failed",
        {"failed": True, "msg": "It moved. Do not.", "reason": "TagImmutable", "retryable": False},
    )


@pytest.mark.usefixtures("fake")
def test_a_failure_has_its_values_and_warnings() -> None:
    def call(_module: Any) -> dict[str, Any]:
        raise TagImmutable("It moved.", "", {"changed": True, "warnings": ["a"]})

    with pytest.raises(Exit) as done:
        run_registry_module({}, call)
    wanted = {"failed": True, "msg": "It moved.", "reason": "TagImmutable", "retryable": False, "changed": True}
    assert done.value.args == ("failed", wanted, ["a"])


@pytest.mark.usefixtures("fake")
def test_anything_else_is_a_bug_and_shows() -> None:
    def call(_module: Any) -> dict[str, Any]:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run_registry_module({}, call)


def test_task_wins_over_the_environment_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "~/environment")
    given = auth_options(module(username="u"))
    assert (given.username, given.password, given.auth_file, given.auth_config) == ("u", "", "", None)
    assert auth_options(module(auth_file="/f")).password == ""
    assert auth_options(module(auth_config={})).auth_config == {}
    from_environment = module()
    found = auth_options(from_environment)
    assert (found.username, found.password, found.auth_file) == (
        "~/environment",
        "~/environment",
        "/home/u/environment",
    )
    assert from_environment.no_log_values == {"~/environment"}


def test_the_provider_goes_with_any_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert auth_options(module()).provider == "generic"
    chosen = {"provider": "azure", "provider_registry": "contoso.azurecr.io"}
    assert auth_options(module(**chosen)) == AuthOptions(**chosen)
    assert auth_options(module(auth_file="/x", **chosen)) == AuthOptions(auth_file="/x", **chosen)
    monkeypatch.setenv("OCI_ARTIFACT_USERNAME", "env-user")
    assert auth_options(module(**chosen)) == AuthOptions(username="env-user", **chosen)


def test_auth_config_as_text_and_as_mapping() -> None:
    assert auth_options(module(auth_config='{"auths": {}}')).auth_config == {"auths": {}}
    assert auth_options(module(auth_config=b'{"auths": {}}')).auth_config == {"auths": {}}
    for wrong in ("", "text", "[]", [], 1):
        with pytest.raises(AuthenticationFailed, match="auth_config"):
            auth_options(module(auth_config=wrong))


def test_secrets_are_not_in_reprs() -> None:
    given = auth_options(module(username="u", password="s3cret", auth_config={"auths": "s3cret"}))
    secret = {"client_key": "s3cret", "client_key_password": "s3cret"}
    mirrors = {"docker.io": [{"url": "https://mirror.test", **secret}]}
    connection = connection_options({**CONNECTION, **secret, "proxy": "http://u:s3cret@proxy", "mirrors": mirrors})
    assert connection.mirrors[0].mirrors[0].client_key_password == "s3cret"
    assert "s3cret" not in repr(given) + repr(connection)


def test_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/etc")
    pem = "-----BEGIN CERTIFICATE-----\n$PLACE~"
    found = connection_options({**CONNECTION, "ca_cert": "$PLACE/ca.pem", "client_cert": pem, "timeout": "1m30s"})
    assert (found.ca_cert, found.client_cert, found.timeout) == ("/etc/ca.pem", pem, 90.0)
    assert connection_options({**CONNECTION, "ca_cert": "~/ca.pem"}).ca_cert == "/home/u/ca.pem"
    assert found.no_proxy is None
    assert found.mirrors == ()
    assert connection_options({**CONNECTION, "no_proxy": ["a", "b"]}).no_proxy == ("a", "b")
    mirrors = {"docker.io": [{"url": "https://mirror.test", "ca_cert": "~/ca.pem", "client_key": "$PLACE/key"}]}
    mirror = connection_options({**CONNECTION, "mirrors": mirrors}).mirrors[0].mirrors[0]
    assert (mirror.ca_cert, mirror.client_key) == ("/home/u/ca.pem", "/etc/key")


@pytest.mark.usefixtures("fake")
def test_secrets_in_mirrors_are_blanked() -> None:
    seen = []

    def call(module: Any) -> dict[str, Any]:
        seen.extend(module.no_log_values)
        return {}

    entries = [{"url": "https://user:s3cret@m.test", "client_key": "/path/key"}, {"client_key_password": "phrase"}]
    FakeModule.given = {"mirrors": {"docker.io": entries, "ghcr.io": "https://other:pass@m.test"}}
    with pytest.raises(Exit):
        run_registry_module({}, call)
    FakeModule.given = {}
    assert set(seen) == {"user:s3cret", "s3cret", "phrase", "other:pass", "pass"}


@pytest.mark.parametrize(("retries", "works"), [(0, True), (100, True), (-1, False), (101, False)])
def test_retries(retries: int, works: bool) -> None:
    if works:
        assert connection_options({**CONNECTION, "retries": retries}).retries == retries
    else:
        with pytest.raises(InvalidOption, match="retries"):
            connection_options({**CONNECTION, "retries": retries})


def test_reference_options_without_what_was_not_given() -> None:
    policy = {"semver": None, "numerical": {"order": "desc"}, "alphabetical": None}
    found = reference_options({"url": "oci://x", "tag": None, "filter_tags": {"pattern": None, "policy": policy}})
    assert (found.url, found.ref, found.tag, found.digest) == ("oci://x", "", "", "")
    assert found.filter_tags == {"policy": {"numerical": {"order": "desc"}}}
    assert reference_options({}).filter_tags is None


@pytest.mark.parametrize("check_mode", [False, True])
def test_one_rule_for_the_cache(monkeypatch: pytest.MonkeyPatch, check_mode: bool) -> None:
    """The option, else the environment, else none; an empty option is none."""

    def root(given: str | None) -> str:
        options = cache_options(SimpleNamespace(params={"cache_dir": given}, check_mode=check_mode))  # type: ignore[arg-type]
        assert options.read_only is check_mode
        return options.root

    assert [root(given) for given in (None, "", "/option")] == ["", "", "/option"]
    monkeypatch.setenv(CACHE, "~/environment")
    assert [root(given) for given in (None, "", "/option")] == ["/home/u/environment", "", "/option"]
    monkeypatch.setenv(CACHE, "")
    assert root(None) == ""


def test_text_lines() -> None:
    assert text_lines(None, "ignore") is None
    assert text_lines("", "ignore") == ""
    assert text_lines("*.md\n!x", "ignore") == "*.md\n!x"
    assert text_lines(["*.md", "!x"], "ignore") == "*.md\n!x"
    assert text_lines([], "ignore") == ""
    for wrong in (1, {"a": "b"}, ["a", 1]):
        with pytest.raises(InvalidOption, match="'ignore'"):
            text_lines(wrong, "ignore")


def test_string_values() -> None:
    assert string_values({"a": 1, 2: "b", "c": True, "d": 1.5, "e": "x=y", "f": ""}, "annotations") == {
        "a": "1", "2": "b", "c": "true", "d": "1.5", "e": "x=y", "f": "",
    }  # fmt: skip
    for wrong in (None, [], {}):
        with pytest.raises(InvalidOption, match="'annotations'"):
            string_values({"a": wrong}, "annotations")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets a provider's credential, how often it is fetched, and how it is renewed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud import gcp, providers
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud.endpoint import CloudClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud.flow import redacted, words_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud.providers import provider_credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed, InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    PROVIDERS,
    AuthOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.connect import open_repository
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.emulator import basic_of
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.google_emulator import Google
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import Answer, Seen
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    manifest_of,
)

CONNECTION = ConnectionOptions(insecure=True, timeout=60.0, retries=0)
STANDS_FOR = {
    "aws": "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
    "azure": "contoso.azurecr.io",
    "gcp": "europe-docker.pkg.dev",
}
OWN = sorted(STANDS_FOR.items())


def gcp_for(registry: str, **options: Any) -> Credential:
    return provider_credential(AuthOptions(provider="gcp", **options), registry, CONNECTION)


# Which hosts


@pytest.mark.parametrize("provider", sorted(STANDS_FOR))
@pytest.mark.parametrize("host", ["ghcr.io", "docker.io", "127.0.0.1:5000", "localhost:443", "registry.example.com"])
def test_another_host_gets_nothing(provider: str, host: str) -> None:
    with pytest.raises(AuthenticationFailed) as failure:
        provider_credential(AuthOptions(provider=provider), host, CONNECTION)
    text = str(failure.value)
    assert host.partition(":443")[0] in text and f"provider: {provider} logs in to" in text
    assert "set 'provider_registry' to that" in text


@pytest.mark.parametrize(("provider", "host"), [(p, h) for p, _own in OWN for q, h in OWN if p != q])
def test_the_host_of_another_provider_gets_nothing(provider: str, host: str) -> None:
    for auth in (AuthOptions(provider=provider), AuthOptions(provider=provider, provider_registry=host)):
        with pytest.raises(AuthenticationFailed, match="is not a registry of"):
            provider_credential(auth, host, CONNECTION)


@pytest.mark.parametrize(
    "name", ["contoso.azurecr.io:443", "https://contoso.azurecr.io", "contoso.azurecr.io/x", "a b", "."]
)
def test_a_registry_that_is_no_host(name: str) -> None:
    with pytest.raises(InvalidOption, match="provider_registry"):
        provider_credential(AuthOptions(provider="azure", provider_registry=name), "ghcr.io", CONNECTION)


@pytest.mark.parametrize(("provider", "host"), OWN)
@pytest.mark.parametrize("form", ["{}", "{}:443"])
def test_its_own_hosts(provider: str, host: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for an identity begins, and finds none."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    for auth, registry in (
        (AuthOptions(provider=provider), form.format(host)),
        (AuthOptions(provider=provider), form.format(host.upper())),
        (AuthOptions(provider=provider, provider_registry=host), "registry.example.com"),
    ):
        with pytest.raises(AuthenticationFailed, match="No identity of .* was found"):
            provider_credential(auth, registry, CONNECTION)


# How often


class Logins:
    """Counts the logins of a provider, each with a password of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 3600.0) -> None:
        self.seconds = seconds
        self.made: list[str] = []
        self.delay = 0.0
        monkeypatch.setattr(gcp, "log_in", self)

    def __call__(self, client: CloudClient) -> tuple[Credential, float]:
        time.sleep(self.delay)
        self.made.append(client.registry)
        return Credential("oauth2accesstoken", f"token-{len(self.made)}"), self.seconds


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> Logins:
    return Logins(monkeypatch)


def test_once_for_each_registry(logins: Logins) -> None:
    first, again = gcp_for("eu.gcr.io"), gcp_for("eu.gcr.io")
    assert first is again and logins.made == ["eu.gcr.io"]
    assert gcp_for("us.gcr.io") != first
    assert gcp_for("eu.gcr.io", provider_registry="eu.gcr.io") is first
    assert logins.made == ["eu.gcr.io", "us.gcr.io"]


def test_threads_wait_for_one_login(logins: Logins) -> None:
    logins.delay = 0.1
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(gcp_for, ["gcr.io"] * 8))
    assert len(logins.made) == 1 and all(credential is found[0] for credential in found)


def test_a_failed_login_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AuthenticationFailed):
        gcp_for("gcr.io")
    assert Logins(monkeypatch).made == []
    assert gcp_for("gcr.io").password == "token-1"


@pytest.mark.parametrize(("seconds", "used"), [(3600, 3480), (600, 540), (100, 90), (0, 30), (-500, 30)])
def test_when_it_is_renewed(monkeypatch: pytest.MonkeyPatch, seconds: float, used: float) -> None:
    logins = Logins(monkeypatch, seconds)
    now = 1000.0
    monkeypatch.setattr(providers.time, "monotonic", lambda: now)
    first = gcp_for("gcr.io")
    now += used - 1
    assert gcp_for("gcr.io") is first
    now += 1
    second = gcp_for("gcr.io")
    assert second.password == "token-2" and len(logins.made) == 2
    assert first.renew is not None and first.renew() is second


def test_it_is_not_shown(logins: Logins) -> None:
    assert "token-1" not in repr(gcp_for("gcr.io"))


# In the registry's client


@pytest.fixture
def google() -> Iterator[Google]:
    with Google() as server:
        yield server


class Registry:
    """Artifact Registry as its client sees it: a token server, and manifests for who has its tokens."""

    def __init__(self, google: Google) -> None:
        self.google = google
        self.token_seconds = 300
        self.valid: set[str] = set()
        google.add_manifest(manifest_of().raw, "1")
        google.always("", "^/v2/org/", self._guard)
        google.always("GET", "^/v2/token", self._token)

    def _token(self, seen: Seen) -> Answer:
        user, password = basic_of(seen)
        if user != "oauth2accesstoken" or self.google.issued.get(password, 0) < time.monotonic():
            return Answer(401, {}, b'{"errors": [{"code": "UNAUTHORIZED"}]}')
        token = f"registry-token-{len(self.valid)}"
        self.valid.add(token)
        return Answer(200, {}, b'{"token": "%s", "expires_in": %d}' % (token.encode(), self.token_seconds))

    def _guard(self, seen: Seen) -> Answer:
        if seen.authorization.partition("Bearer ")[2] in self.valid:
            return self.google._manifest(seen, "1")
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{self.google.realm}",service="gar"'})


def test_a_pull_outlives_the_token_of_the_machine(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata server may give a token that ends in a minute; the registry's ends with it."""
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    registry = Registry(google)
    auth = AuthOptions(provider="gcp", provider_registry="gcr.io")
    repository = open_repository(parse_reference(f"{google.host}/org/app:1"), auth, CONNECTION)
    repository.resolve("1")
    repository.resolve("1")
    assert google.count("computeMetadata") == 1 and len(registry.valid) == 1
    # an hour later
    moment = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: moment() + 3600)
    repository.resolve("1")
    assert google.count("computeMetadata") == 2 and len(registry.valid) == 2
    repository.close()


def test_a_registry_that_does_not_know_the_identity(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    auth = AuthOptions(provider="gcp", provider_registry="gcr.io")
    for header in ('Basic realm="x"', f'Bearer realm="{google.realm}",service="gar"'):
        google.always("", "^/v2/", Answer(401, {"WWW-Authenticate": header}))
        repository = open_repository(parse_reference(f"{google.host}/org/app:1"), auth, CONNECTION)
        with pytest.raises(AuthenticationFailed, match="The identity that 'provider' found may lack a role"):
            repository.resolve("1")


@pytest.mark.parametrize(
    "options",
    [
        {"username": "user", "password": "of-the-task"},
        {"auth_config": {"auths": {"{host}": {"username": "user", "password": "of-the-task"}}}},
    ],
)
def test_what_is_given_wins_over_the_provider(
    google: Google, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    auths = options.get("auth_config", {}).get("auths", {})
    given = {**options, "auth_config": {"auths": {google.host: auths["{host}"]}}} if auths else options
    auth = AuthOptions(provider="gcp", provider_registry="gcr.io", **given)
    google.add_manifest(manifest_of().raw, "1")
    google.always("", "^/v2/org/", lambda seen: google._manifest(seen, "1"))
    open_repository(parse_reference(f"{google.host}/org/app:1"), auth, CONNECTION).resolve("1")
    assert [basic_of(seen) for seen in google.seen] == [("user", "of-the-task")]


def test_a_file_without_the_registry_leaves_it_to_the_provider(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    auth = AuthOptions(provider="gcp", provider_registry="gcr.io", auth_config={"auths": {"ghcr.io": {"auth": "dTpw"}}})
    google.always("", "^/v2/org/", lambda seen: google._manifest(seen, "1"))
    google.add_manifest(manifest_of().raw, "1")
    open_repository(parse_reference(f"{google.host}/org/app:1"), auth, CONNECTION).resolve("1")
    assert basic_of(google.seen[-1])[1] in google.issued


def test_each_provider_of_the_option_has_its_module() -> None:
    modules = {name: load() for name, load in providers._IMPORTS.items()}
    assert [AuthOptions().provider, *modules] == list(PROVIDERS)
    assert {name: module.is_host(STANDS_FOR[name]) for name, module in modules.items()} == dict.fromkeys(modules, True)


def test_generic_is_anonymous(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    assert PROVIDERS[0] == AuthOptions().provider == "generic"
    google.always("", "^/v2/org/", lambda seen: google._manifest(seen, "1"))
    google.add_manifest(manifest_of().raw, "1")
    auth = AuthOptions(provider_registry="gcr.io")
    open_repository(parse_reference(f"{google.host}/org/app:1"), auth, CONNECTION).resolve("1")
    assert [seen.authorization for seen in google.seen] == [""]


# Foreign words


def test_words_of_errors() -> None:
    assert words_of({}) == words_of({"error": None}) == words_of({"error": []}) == ""
    assert words_of({"error": "invalid_grant", "error_description": "Bad"}) == " (invalid_grant: Bad)"
    assert words_of({"error": {"status": "DENIED", "message": "no"}}) == " (DENIED: no)"
    assert words_of({"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}) == " (UNAUTHORIZED: no)"
    assert words_of({"errors": ["no"]}) == words_of({"errors": {}}) == ""
    assert words_of({"statusCode": 400, "message": "No User Assigned Identity"}) == " (No User Assigned Identity)"
    assert words_of({"error": 5, "error_description": {"a": 1}}) == ""


def test_what_is_not_repeated() -> None:
    assert redacted("key odd-secret here", ["odd-secret"]) == "key … here"
    assert redacted("a" * 47) == "a" * 47
    assert redacted(f"token {'aB3-_' * 12} end") == "token … end"
    assert redacted("first line\nsecond line") == "first line"
    assert redacted("\x1b[31mred\x00") == "[31mred"
    assert len(redacted("word " * 1000)) <= 300
    assert redacted("") == redacted("  \n ") == ""


def test_threads_that_renew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential that ended is renewed once, however many requests meet its end."""
    logins = Logins(monkeypatch, 30.0)
    first = gcp_for("gcr.io")
    later = time.monotonic() + 100
    monkeypatch.setattr(providers.time, "monotonic", lambda: later)
    barrier = threading.Barrier(8)

    def renew(_number: int) -> Credential:
        barrier.wait()
        assert first.renew is not None
        return first.renew()

    with ThreadPoolExecutor(8) as pool:
        assert {credential.password for credential in pool.map(renew, range(8))} == {"token-2"}
    assert len(logins.made) == 2

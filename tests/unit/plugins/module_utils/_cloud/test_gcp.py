# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google: which identity is used, what is sent for it, and what is said when there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud import gcp
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud.endpoint import CloudClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.emulator import (
    key,
    workload_token,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.google_emulator import (
    POOL,
    WORKFORCE_POOL,
    Google,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import Answer


@pytest.fixture
def google() -> Iterator[Google]:
    with Google() as server:
        yield server


class Host:
    """A host with a file of credentials, or without."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.path = folder / "credentials.json"

    def has(self, document: dict[str, Any] | str) -> None:
        self.path.write_text(document if isinstance(document, str) else json.dumps(document))
        self.monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(self.path))

    def subject_file(self, content: str) -> dict[str, Any]:
        path = self.folder / "subject-token"
        path.write_text(content)
        return {"file": str(path)}

    def log_in(self, **options: Any) -> Credential:
        return self.log_in_for(**options)[0]

    def log_in_for(self, **options: Any) -> tuple[Credential, float]:
        settings = {"insecure": True, "timeout": 60.0, "retries": 0, **options}
        with CloudClient("127.0.0.1:5000", ConnectionOptions(**settings), lambda seconds: None) as client:
            return gcp.log_in(client)

    def refusal(self, **options: Any) -> str:
        with pytest.raises(AuthenticationFailed) as failure:
            self.log_in(**options)
        return str(failure.value)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def is_good(credential: Credential, google: Google) -> bool:
    return credential.username == "oauth2accesstoken" and credential.password in google.issued


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("europe-west1-docker.pkg.dev", True),
        ("us-docker.pkg.dev", True),
        ("gcr.io", True),
        ("eu.gcr.io", True),
        ("marketplace.gcr.io", True),
        ("docker.s3nsregistry.fr", True),
        ("docker.pkg.dev", False),
        ("-docker.pkg.dev", False),
        ("europe-west1-docker.pkg.dev.evil.example", False),
        ("evil.example/eu-docker.pkg.dev", False),
        ("evilgcr.io", False),
        ("gcr.io.evil.example", False),
        ("eu.gcr.io\n", False),
        ("europe-west1-npm.pkg.dev", False),
        ("ghcr.io", False),
    ],
)
def test_hosts(name: str, is_one: bool) -> None:
    assert gcp.is_host(name) is is_one


# The ways to an identity


def test_the_metadata_server(host: Host, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    credential, seconds = host.log_in_for()
    assert is_good(credential, google) and seconds == google.seconds
    assert len(google.seen) == 1


def test_a_machine_without_a_service_account(host: Host, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    google.has_service_account = False
    assert "metadata server: this machine has no service account" in host.refusal()


def test_something_else_at_the_metadata_address(host: Host, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    google.always("GET", "", Answer(200, {"Content-Type": "application/json"}, b'{"access_token": "of-somebody"}'))
    assert "was not answered by a metadata server of Google" in host.refusal()


@pytest.mark.parametrize("value", ["evil.example/x?", "user@host", "a b", "http://x", "host:port"])
def test_a_metadata_host_that_is_none(host: Host, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", value)
    assert "GCE_METADATA_HOST" in host.refusal()


def test_a_proxy_is_not_asked_for_the_identity_of_the_machine(
    host: Host, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Google() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("GCE_METADATA_HOST", google.host)
        assert is_good(host.log_in(proxy=proxy.url), google)
        assert not proxy.seen


def test_the_key_of_a_service_account(host: Host, google: Google) -> None:
    host.has(google.service_account())
    assert is_good(host.log_in(), google)


def test_a_key_that_was_deleted(host: Host, google: Google) -> None:
    host.has(google.service_account(private_key=key("another service account").pem))
    text = host.refusal()
    assert "status 401" in text and str(host.path) in text
    assert "eyJ" not in text and "PRIVATE KEY" not in text


@pytest.mark.parametrize(
    "changes",
    [
        {"private_key": "-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n"},
        {"private_key": "odd-secret-that-is-no-key"},
        {"private_key": 5},
        {"private_key": None},
        {"client_email": None},
        {"client_email": ["x"]},
        {"private_key_id": {"x": 1}},
        {"token_uri": "http://tokens.example.com/token"},
        {"token_uri": "file:///etc/passwd"},
        {"token_uri": ""},
        {"type": None},
        {"type": ["service_account"]},
        {"type": "external_account_authorized_user"},
        {"type": "gdch_service_account"},
    ],
)
def test_a_service_account_that_cannot_be_used(host: Host, google: Google, changes: dict[str, Any]) -> None:
    host.has(google.service_account(**changes))
    text = host.refusal()
    assert str(host.path) in text and "odd-secret" not in text and "bm8=" not in text
    assert not google.seen


@pytest.mark.parametrize("content", ["", "[]", "null", "not JSON", "[" * 100_000, "{" + " " * 300_000 + "}"])
def test_a_file_that_cannot_be_used(host: Host, content: str) -> None:
    host.has(content)
    text = host.refusal()
    assert str(host.path) in text and len(text) < 500


def test_a_file_that_is_not_there_is_no_reason_to_look_further(
    host: Host, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(host.path))
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    assert f"{host.path} cannot be read: No such file or directory" in host.refusal()
    assert not google.seen


def test_a_user_who_logged_in_with_gcloud(host: Host, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(host.folder))
    path = host.folder / "application_default_credentials.json"
    path.write_text(json.dumps(google.authorized_user()))
    assert is_good(host.log_in(), google)
    path.write_text(json.dumps(google.authorized_user(refresh_token="revoked-refresh-token")))
    text = host.refusal()
    assert "gcloud auth application-default login" in text and "revoked-refresh-token" not in text


def test_the_place_of_gclouds_file(host: Host, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(host.folder))
    folder = host.folder / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text(json.dumps(google.authorized_user()))
    assert is_good(host.log_in(), google)


# Workload identity federation


def test_a_subject_in_a_file(host: Host, google: Google) -> None:
    host.has(google.external_account(host.subject_file(google.subject_token + "\n")))
    assert is_good(host.log_in(), google)
    assert google.count("generateAccessToken") == 0


def test_a_subject_in_a_json_file(host: Host, google: Google) -> None:
    source = host.subject_file(json.dumps({"id_token": google.subject_token}))
    source["format"] = {"type": "json", "subject_token_field_name": "id_token"}
    host.has(google.external_account(source))
    assert is_good(host.log_in(), google)
    source["format"]["subject_token_field_name"] = "access_token"
    host.has(google.external_account(source))
    assert "has no field 'access_token'" in host.refusal()


def test_a_subject_from_a_local_server(host: Host, google: Google) -> None:
    host.has(google.external_account(google.subject_source))
    assert is_good(host.log_in(), google)
    host.has(google.external_account({**google.subject_source, "headers": {}}))
    assert "/subject answered with status 403" in host.refusal()


def test_a_local_server_that_is_not_there_is_no_reason_to_look_further(
    host: Host, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    host.has(google.external_account({"url": "http://127.0.0.1:1/subject"}))
    assert "Connection refused" in host.refusal()
    assert not google.seen


def test_impersonation(host: Host, google: Google) -> None:
    options = {"service_account_impersonation": {"token_lifetime_seconds": 600}}
    host.has(google.external_account(host.subject_file(google.subject_token), impersonate=True, **options))
    credential, seconds = host.log_in_for()
    assert is_good(credential, google) and credential.password not in google.federated
    assert seconds == 600
    assert json.loads(google.requests("POST", "generateAccessToken")[0].body)["lifetime"] == "600s"


def test_an_account_that_may_not_be_impersonated(host: Host, google: Google) -> None:
    refused = {"error": {"code": 403, "message": "Permission 'x' denied", "status": "PERMISSION_DENIED"}}
    google.always("POST", "generateAccessToken", Answer(403, body=json.dumps(refused).encode()))
    host.has(google.external_account(host.subject_file(google.subject_token), impersonate=True))
    text = host.refusal()
    assert "PERMISSION_DENIED: Permission 'x' denied" in text and "workloadIdentityUser" in text


@pytest.mark.parametrize("source", ["service_account", "authorized_user", "external_account"])
def test_a_file_that_impersonates(host: Host, google: Google, source: str) -> None:
    documents = {
        "service_account": google.service_account(),
        "authorized_user": google.authorized_user(),
        "external_account": google.external_account(google.subject_source),
    }
    document = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": google.impersonation_url,
        "delegates": ["projects/-/serviceAccounts/between@example.com"],
        "source_credentials": documents[source],
    }
    host.has(document)
    assert is_good(host.log_in(), google)
    assert json.loads(google.requests("POST", "generateAccessToken")[0].body)["delegates"] == document["delegates"]
    host.has({**document, "source_credentials": document})
    assert "impersonated_service_account" in host.refusal()
    host.has({**document, "delegates": "one"})
    assert "delegates" in host.refusal()


def test_a_workforce_pool(host: Host, google: Google) -> None:
    source = host.subject_file(workload_token(aud=WORKFORCE_POOL))
    document = google.external_account(source, audience=WORKFORCE_POOL)
    host.has(document)
    assert "no user project" in host.refusal()
    host.has({**document, "workforce_pool_user_project": "billed"})
    assert is_good(host.log_in(), google)


def test_a_pool_with_a_client(host: Host, google: Google) -> None:
    source = host.subject_file(google.subject_token)
    host.has(google.external_account(source, client_id="client", client_secret="odd-secret"))
    assert is_good(host.log_in(), google)
    assert google.requests("POST", "^/v1/token")[0].authorization == "Basic Y2xpZW50Om9kZC1zZWNyZXQ="


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (lambda: workload_token(aud="somebody else"), "does not match the expected audience"),
        (lambda: workload_token(aud=POOL, exp=1), "bad times or algorithm: …"),
        (lambda: key("another cluster").sign({"aud": POOL, "exp": 1}), "bad assertion: …"),
    ],
)
def test_a_subject_that_the_pool_refuses(host: Host, google: Google, token: Any, words: str) -> None:
    text = token()
    host.has(google.external_account(host.subject_file(text)))
    refusal = host.refusal()
    assert words in refusal and text not in refusal and "eyJ" not in refusal


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"environment_id": "aws1", "region_url": "http://169.254.169.254/x"},
        {"executable": {"command": "touch {folder}/executed"}},
        {"certificate": {"use_default_certificate_config": True}},
        {"file": ""},
        {"file": ["x"]},
        {"file": "/nonexistent/subject"},
        {"url": "http://tokens.example.com/subject"},
        {"url": "ftp://127.0.0.1/subject"},
        {"url": "http://127.0.0.1:1/", "headers": {"X": "a\r\nHost: b"}},
        {"url": "http://127.0.0.1:1/", "headers": {"X Y": "a"}},
        {"url": "http://127.0.0.1:1/", "headers": ["X"]},
        {"url": "http://127.0.0.1:1/", "headers": {f"X-{number}": "a" for number in range(30)}},
    ],
)
def test_sources_that_cannot_be_used(host: Host, google: Google, source: dict[str, Any]) -> None:
    text = json.dumps(google.external_account(source)).replace("{folder}", str(host.folder))
    host.has(text)
    assert host.refusal()
    assert not (host.folder / "executed").exists()
    assert not google.seen


@pytest.mark.parametrize(
    "changes",
    [
        {"credential_source": None},
        {"credential_source": "text"},
        {"audience": None},
        {"subject_token_type": 1},
        {"token_url": "http://sts.example.com/v1/token"},
        {"token_url": None},
        {"service_account_impersonation_url": "http://iam.example.com/"},
        {"service_account_impersonation": "text", "service_account_impersonation_url": "https://iam.example.com/"},
    ],
)
def test_pools_that_cannot_be_used(host: Host, google: Google, changes: dict[str, Any]) -> None:
    document = google.external_account(host.subject_file(google.subject_token), **changes)
    host.has(document)
    assert str(host.path) in host.refusal()


# Which one, and what is said


def test_the_order(host: Host, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(host.folder))
    (host.folder / "application_default_credentials.json").write_text(json.dumps(google.authorized_user()))
    host.log_in()
    host.has(google.service_account())
    host.log_in()
    assert [seen.path for seen in google.seen] == ["/token", "/token"]
    assert [b"assertion=" in seen.body for seen in google.seen] == [False, True]


def test_without_any_identity(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(host.folder))
    text = host.refusal()
    for part in (
        "No identity of Google Cloud was found for 127.0.0.1:5000",
        "GOOGLE_APPLICATION_CREDENTIALS: it is not set",
        f"gcloud: there is no {host.folder}/application_default_credentials.json",
        "metadata server: ",
        "Connection refused",
        "Run on a machine with a service account",
    ):
        assert part in text

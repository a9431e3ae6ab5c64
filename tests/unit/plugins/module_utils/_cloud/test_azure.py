# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure: which identity is used, what is sent for it, and what is said when there is none."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud import azure, azure_identity
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud.endpoint import CloudClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    RegistryError,
    TlsFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.azure_emulator import (
    CLIENT,
    CLIENT_SECRET,
    IDENTITY_HEADER,
    TENANT,
    Acr,
    Entra,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.emulator import (
    behind_tls,
    key,
    workload_token,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import Answer, Seen

NAME = "contoso.azurecr.io"


@pytest.fixture
def entra() -> Iterator[Entra]:
    with Entra() as server:
        yield server


@pytest.fixture
def acr(entra: Entra) -> Iterator[Acr]:
    with Acr(entra) as server:
        yield server


@pytest.fixture
def environ(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An application whose proof a test adds."""
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", entra.url + "/")
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    return monkeypatch


def log_in(acr: Acr, name: str = NAME, sleeps: list[float] | None = None, **options: object) -> Credential:
    settings = {"insecure": True, "timeout": 60.0, "retries": 0, **options}
    slept = sleeps if sleeps is not None else []
    with CloudClient(acr.host, ConnectionOptions(**settings), slept.append) as client:  # type: ignore[arg-type]
        return azure.log_in(name, client)[0]


def refusal(acr: Acr, **options: object) -> str:
    with pytest.raises(AuthenticationFailed) as failure:
        log_in(acr, **options)  # type: ignore[arg-type]
    return str(failure.value)


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("contoso.azurecr.io", True),
        ("contoso-abc123.azurecr.io", True),
        ("contoso.westeurope.geo.azurecr.io", True),
        ("contoso.azurecr.us", True),
        ("contoso.azurecr.cn", True),
        ("azurecr.io", False),
        (".azurecr.io", False),
        ("contoso.azurecr.io.evil.example", False),
        ("contoso.azurecr.io\n", False),
        ("evil.example/contoso.azurecr.io", False),
        ("contosoazurecr.io", False),
        ("contoso.azurecr.com", False),
        ("contoso.azurecr.io:8443", False),
        ("mcr.microsoft.com", False),
        ("ghcr.io", False),
    ],
)
def test_hosts(host: str, is_one: bool) -> None:
    assert azure.is_host(host) is is_one


@pytest.mark.parametrize(
    ("name", "authority"),
    [
        ("contoso.azurecr.io", "https://login.microsoftonline.com"),
        ("contoso.azurecr.us", "https://login.microsoftonline.us"),
        ("contoso.azurecr.cn", "https://login.chinacloudapi.cn"),
    ],
)
def test_each_cloud_has_its_authority(acr: Acr, monkeypatch: pytest.MonkeyPatch, name: str, authority: str) -> None:
    asked = []

    def token(_client: CloudClient, authority: str) -> None:
        asked.append(authority)
        raise AuthenticationFailed("enough")

    monkeypatch.setattr(azure, "entra_token", token)
    with pytest.raises(AuthenticationFailed, match="enough"):
        log_in(acr, name)
    assert asked == [authority]


# The ways to an identity


def test_a_client_secret(acr: Acr, entra: Entra, environ: pytest.MonkeyPatch) -> None:
    environ.setenv("AZURE_CLIENT_SECRET", CLIENT_SECRET)
    credential = log_in(acr)
    assert credential.identity_token in acr.refresh_tokens
    assert not credential.username and not credential.password
    assert [len(entra.seen), len(acr.seen)] == [1, 1]


def pem(tmp_path: Path, *parts: str) -> Path:
    path = tmp_path / "application.pem"
    path.write_text("".join(parts))
    return path


@pytest.mark.parametrize("key_first", [True, False])
def test_a_client_certificate(acr: Acr, environ: pytest.MonkeyPatch, tmp_path: Path, key_first: bool) -> None:
    parts = [key("application").pem, key("application").certificate_pem]
    environ.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(pem(tmp_path, *(parts if key_first else parts[::-1]))))
    assert log_in(acr).identity_token in acr.refresh_tokens
    assert log_in(acr).identity_token in acr.refresh_tokens, "each assertion has an identifier of its own"


@pytest.mark.parametrize("kind", ["pem", "pkcs12"])
def test_a_client_certificate_with_a_password(acr: Acr, environ: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    own = key("application")
    encryption = serialization.BestAvailableEncryption(b"odd+password")
    if kind == "pem":
        private = own.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        ).decode()
        path = pem(tmp_path, own.certificate_pem, private)
    else:
        path = tmp_path / "application.pfx"
        path.write_bytes(pkcs12.serialize_key_and_certificates(b"app", own.private, own.certificate, None, encryption))
    environ.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(path))
    environ.setenv("AZURE_CLIENT_CERTIFICATE_PASSWORD", "odd+password")
    assert log_in(acr).identity_token in acr.refresh_tokens
    environ.setenv("AZURE_CLIENT_CERTIFICATE_PASSWORD", "wrong+password")
    text = refusal(acr)
    assert str(path) in text and "password" in text.lower() and "wrong+password" not in text


def test_a_certificate_that_the_application_does_not_know(
    acr: Acr, entra: Entra, environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = key("another application")
    environ.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(pem(tmp_path, other.pem, other.certificate_pem)))
    text = refusal(acr)
    assert "status 401 (invalid_client: bad assertion: …)" in text
    assertion = entra.seen[-1].body.decode().partition("client_assertion=")[2].partition("&")[0]
    assert assertion.count(".") == 2 and assertion not in text and "eyJ" not in text


@pytest.mark.parametrize("kind", ["curve", "only the key", "only the certificate", "noise", "empty", "missing"])
def test_certificates_that_cannot_be_used(acr: Acr, environ: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    own = key("application")
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    parts = {
        "curve": [curve.decode(), own.certificate_pem],
        "only the key": [own.pem],
        "only the certificate": [own.certificate_pem],
        "noise": ["\x00\x01\x02noise"],
        "empty": [""],
        "missing": [""],
    }[kind]
    path = pem(tmp_path, *parts)
    if kind == "missing":
        path.unlink()
    environ.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(path))
    assert str(path) in refusal(acr)


def test_workload_identity(acr: Acr, environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "azure-identity-token"
    path.write_text(workload_token(aud="api://AzureADTokenExchange") + "\n")
    environ.setenv("AZURE_FEDERATED_TOKEN_FILE", str(path))
    assert log_in(acr).identity_token in acr.refresh_tokens
    path.write_text(workload_token(aud="somebody else"))
    text = refusal(acr)
    assert "AADSTS70021" in text and "eyJ" not in text


@pytest.mark.parametrize("content", ["", "two words", "\x00", "ümlaut", "x" * 70_000])
def test_a_federated_token_that_is_none(
    acr: Acr, entra: Entra, environ: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "azure-identity-token"
    path.write_text(content)
    environ.setenv("AZURE_FEDERATED_TOKEN_FILE", str(path))
    text = refusal(acr)
    assert str(path) in text and "AZURE_FEDERATED_TOKEN_FILE" in text and (not content or content not in text)
    assert not entra.seen


@pytest.mark.parametrize("client_id", ["", CLIENT])
def test_the_identity_of_a_machine(acr: Acr, entra: Entra, monkeypatch: pytest.MonkeyPatch, client_id: str) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.url)
    monkeypatch.setenv("AZURE_CLIENT_ID", client_id)
    assert log_in(acr).identity_token in acr.refresh_tokens
    assert ("client_id" in entra.seen[0].target) is bool(client_id)


def test_an_identity_that_the_machine_does_not_have(acr: Acr, entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.url)
    entra.identities.clear()
    text = refusal(acr)
    assert "Identity not found" in text and "AZURE_CLIENT_ID names one of several" in text


def test_a_metadata_service_that_is_updated_is_asked_again(
    acr: Acr, entra: Entra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.url)
    entra.script("GET", "^/metadata/", Answer(404), Answer(410), Answer(429, {"Retry-After": "1"}), Answer(500))
    sleeps: list[float] = []
    assert log_in(acr, sleeps=sleeps, retries=3).identity_token in acr.refresh_tokens
    assert entra.count("^/metadata/") == 5 and len(sleeps) == 4
    entra.always("GET", "^/metadata/", Answer(404))
    assert "status 404" in refusal(acr, retries=1)


def test_app_service(acr: Acr, entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{entra.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    assert log_in(acr).identity_token in acr.refresh_tokens
    monkeypatch.setenv("IDENTITY_HEADER", "another-header")
    text = refusal(acr)
    assert "Unauthorized" in text and "another-header" not in text


def test_an_arc_enabled_server(acr: Acr, entra: Entra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(azure_identity, "ARC_KEY_FOLDER", str(tmp_path))
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{entra.url}/arc/token")
    monkeypatch.setenv("IMDS_ENDPOINT", entra.url)
    # there is only the system's identity, and the agent refuses to be asked for another one
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    path = tmp_path / "challenge.key"
    path.write_text("odd-key-of-the-agent")
    path.chmod(stat.S_IRUSR)
    entra.arc_key_file, entra.arc_key = str(path), "odd-key-of-the-agent"
    assert log_in(acr).identity_token in acr.refresh_tokens
    assert "client_id" not in entra.seen[0].target


@pytest.mark.parametrize(
    "named", ["/etc/shadow", "{folder}/../x.key", "{folder}/sub/x.key", "{folder}/secret.txt", "", "{folder}/large.key"]
)
def test_the_arc_agent_may_not_name_any_file(
    acr: Acr, entra: Entra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    folder = tmp_path / "tokens"
    (folder / "sub").mkdir(parents=True)
    for name in ("x.key", "tokens/secret.txt", "tokens/sub/x.key"):
        (tmp_path / name).write_text("odd-secret-of-somebody")
    (folder / "large.key").write_text("k" * 5000)
    monkeypatch.setattr(azure_identity, "ARC_KEY_FOLDER", str(folder))
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{entra.url}/arc/token")
    monkeypatch.setenv("IMDS_ENDPOINT", entra.url)
    entra.arc_key_file = named.format(folder=folder)
    refusal(acr)
    assert [seen.authorization for seen in entra.seen] == [""]


def test_service_fabric_gets_no_request(acr: Acr, entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{entra.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", "AB" * 20)
    assert "Service Fabric is not supported" in refusal(acr)
    assert not entra.seen


# Which one, and what is said


def test_the_order(acr: Acr, entra: Entra, environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "azure-identity-token"
    path.write_text(workload_token(aud="api://AzureADTokenExchange"))
    environ.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.url)
    environ.setenv("AZURE_FEDERATED_TOKEN_FILE", str(path))
    log_in(acr)
    environ.setenv("AZURE_CLIENT_SECRET", CLIENT_SECRET)
    log_in(acr)
    assert ["client_assertion=" in seen.body.decode() for seen in entra.seen] == [True, False]
    assert ["client_secret=" in seen.body.decode() for seen in entra.seen] == [False, True]


def test_a_refused_secret_is_not_followed_by_another_identity(
    acr: Acr, entra: Entra, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.url)
    environ.setenv("AZURE_CLIENT_SECRET", "wrong~secret.of-the_application")
    text = refusal(acr)
    assert "status 401 (invalid_client: AADSTS7000215: Invalid client secret provided: …)" in text
    assert "wrong~secret" not in text
    assert len(entra.seen) == 1 and not acr.seen


def test_without_any_identity(acr: Acr) -> None:
    text = refusal(acr)
    for part in (
        f"No identity of Azure was found for {acr.host}",
        "service principal with a secret: AZURE_CLIENT_SECRET is not set",
        "service principal with a certificate: AZURE_CLIENT_CERTIFICATE_PATH is not set",
        "workload identity: AZURE_FEDERATED_TOKEN_FILE is not set",
        "managed identity: ",
        "127.0.0.1:1/metadata/identity/oauth2/token failed: Connection refused",
        "Give the host a managed identity",
    ):
        assert part in text
    assert not acr.seen


@pytest.mark.parametrize("missing", ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"])
def test_half_an_application_is_an_error(acr: Acr, entra: Entra, environ: pytest.MonkeyPatch, missing: str) -> None:
    environ.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.url)
    environ.setenv("AZURE_CLIENT_SECRET", CLIENT_SECRET)
    environ.delenv(missing)
    assert f"AZURE_CLIENT_SECRET is set, but {missing}, which it needs, is not" in refusal(acr)
    assert not entra.seen


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AZURE_AUTHORITY_HOST", "http://login.example.com"),
        ("AZURE_AUTHORITY_HOST", "ftp://login.example.com"),
        ("AZURE_TENANT_ID", "../other"),
        ("AZURE_TENANT_ID", "a?b=c"),
    ],
)
def test_places_that_get_no_secret(acr: Acr, environ: pytest.MonkeyPatch, name: str, value: str) -> None:
    environ.setenv("AZURE_CLIENT_SECRET", CLIENT_SECRET)
    environ.setenv(name, value)
    assert name in refusal(acr)


@pytest.mark.parametrize("value", ["http://metadata.example.com", "http://10.1.2.3", "http://169.255.0.1"])
def test_a_metadata_service_elsewhere_is_not_asked(acr: Acr, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", value)
    assert "AZURE_POD_IDENTITY_AUTHORITY_HOST" in refusal(acr)


def test_an_authority_without_a_scheme_is_spoken_to_over_tls(
    acr: Acr, entra: Entra, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("AZURE_CLIENT_SECRET", CLIENT_SECRET)
    environ.setenv("AZURE_AUTHORITY_HOST", entra.host)
    with pytest.raises(ConnectionFailed, match="The login to .* failed: POST https://"):
        log_in(acr)
    assert not entra.seen


# The exchange


def secret_in(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("AZURE_CLIENT_SECRET", CLIENT_SECRET)


def test_the_registry_refuses_the_identity(acr: Acr, entra: Entra, environ: pytest.MonkeyPatch) -> None:
    secret_in(environ)
    acr.script("POST", "^/oauth2/exchange", lambda seen: entra.issued.clear())  # type: ignore[func-returns-value]
    text = refusal(acr)
    assert "status 401 (UNAUTHORIZED: authentication required" in text and "AcrPull" in text


def test_a_host_that_has_no_exchange(acr: Acr, environ: pytest.MonkeyPatch) -> None:
    secret_in(environ)
    acr.always("POST", "", Answer(404, body=b"<html>404</html>"))
    assert "does not answer like a registry of Azure" in refusal(acr)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"refresh_token": 5}', b'{"refresh_token": "a b"}', b"{" * 9999])
def test_an_exchange_without_a_token(acr: Acr, environ: pytest.MonkeyPatch, body: bytes) -> None:
    secret_in(environ)
    acr.always("POST", "", Answer(200, body=body))
    assert "holds no usable token" in refusal(acr)


def test_an_exchange_with_too_much(acr: Acr, environ: pytest.MonkeyPatch) -> None:
    secret_in(environ)
    acr.always("POST", "", Answer(200, body=b" " * 1_100_000))
    with pytest.raises(RegistryError, match="more than 1048576 bytes"):
        log_in(acr)


def test_passing_failures_are_repeated(acr: Acr, entra: Entra, environ: pytest.MonkeyPatch) -> None:
    secret_in(environ)
    entra.script("POST", "", Answer(503), Answer(is_silent=True))
    acr.script("POST", "", Answer(429, {"Retry-After": "2"}))
    sleeps: list[float] = []
    assert log_in(acr, sleeps=sleeps, retries=2).identity_token in acr.refresh_tokens
    assert 2.0 <= sleeps[-1] <= 3.0 and len(sleeps) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_lasting_trouble(acr: Acr, entra: Entra, environ: pytest.MonkeyPatch, status: int) -> None:
    secret_in(environ)
    entra.always("POST", "", Answer(status))
    with pytest.raises(RegistryError, match=f"status {status}.*Try later"):
        log_in(acr)


def test_redirects_are_not_followed(acr: Acr, entra: Entra, environ: pytest.MonkeyPatch) -> None:
    secret_in(environ)
    entra.always("POST", "", Answer(307, {"Location": f"{acr.url}/steal"}))
    assert "status 307" in refusal(acr)
    assert not acr.seen


def test_a_proxy_is_not_asked_for_the_identity_of_the_machine(
    acr: Acr, entra: Entra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.url)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, acr.url)
    monkeypatch.setenv("no_proxy", "")
    acr.always("GET", "", Answer(200, body=b'{"access_token": "of-the-proxy"}'))
    log_in(acr, proxy=acr.url)
    assert entra.count("^/metadata/") == 1 and not acr.requests("GET")


def test_what_a_task_says_of_its_registry_holds_for_the_registry_alone() -> None:
    options = ConnectionOptions(
        validate_certs=False, ca_cert="ca", client_cert="cert", client_key="key", timeout=500, proxy="http://proxy:1"
    )
    client = CloudClient("contoso.azurecr.io", options)
    assert client._options("registry") == options
    public, metadata = client._options("public"), client._options("metadata")
    for of_cloud in (public, metadata):
        assert of_cloud.validate_certs and not of_cloud.client_cert and not of_cloud.client_key
    assert (public.ca_cert, public.proxy, public.timeout) == ("ca", "http://proxy:1", 30.0)
    assert (metadata.proxy, metadata.timeout) == ("", 5.0)


def test_the_authority_has_to_be_vouched_for(
    acr: Acr, entra: Entra, environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret_in(environ)
    with behind_tls(entra, tmp_path) as server:
        environ.setenv("AZURE_AUTHORITY_HOST", server.url)
        for options in ({}, {"validate_certs": False}):
            with pytest.raises(TlsFailed, match="not trusted"):
                log_in(acr, **options)  # type: ignore[arg-type]
        assert not server.seen
        assert log_in(acr, ca_cert=key("authority").certificate_pem).identity_token in acr.refresh_tokens


def test_how_long_a_refresh_token_is_valid(acr: Acr, environ: pytest.MonkeyPatch) -> None:
    secret_in(environ)
    acr.refresh_seconds = 1234
    with CloudClient(acr.host, ConnectionOptions(insecure=True)) as client:
        _credential, seconds = azure.log_in(NAME, client)
        assert 1230 <= seconds <= 1235
        acr.always("POST", "exchange", Answer(200, body=b'{"refresh_token": "opaque"}'))
        assert azure.log_in(NAME, client)[1] == azure.DEFAULT_REFRESH_SECONDS


def echo(seen: Seen) -> Answer:
    """An endpoint that repeats what it was sent, in every field that is shown."""
    text = " ".join([unquote(seen.body.decode()), *seen.headers.values()])
    return Answer(400, body=json.dumps({"error": text, "error_description": text, "message": text}).encode())


@pytest.mark.parametrize("way", ["secret", "workload", "app service", "exchange"])
def test_nothing_secret_is_in_a_message(
    acr: Acr, entra: Entra, environ: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    token = workload_token(aud="api://AzureADTokenExchange")
    if way in ("secret", "exchange"):
        secret_in(environ)
    elif way == "workload":
        (tmp_path / "token").write_text(token)
        environ.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    else:
        environ.setenv("IDENTITY_ENDPOINT", f"{entra.url}/msi/token")
        environ.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    (acr if way == "exchange" else entra).always("", "", echo)
    text = refusal(acr)
    assert "status 400 (" in text
    assert [secret for secret in (CLIENT_SECRET, token, IDENTITY_HEADER, *entra.issued) if secret in text] == []

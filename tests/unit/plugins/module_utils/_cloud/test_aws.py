# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS: which endpoint is asked, by whose identity, and what is said when there is none. moto checks the signatures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud import aws
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud.aws import Ecr, parse_host
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidOption,
    MissingDependency,
    OciError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud import aws_emulator
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.aws_emulator import (
    CONTAINER_TOKEN,
    PASSWORD,
    REGISTRY,
    Aws,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.emulator import (
    behind_tls,
    key,
    workload_token,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.slow_server import (
    BODIES,
    HEADS,
    SlowServer,
)

HOST = "127.0.0.1:5000"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Aws]:
    with aws_emulator.aws() as server:
        yield server


# seconds: far from what these tests take, for machines that do much else, and from what there would be to wait for
MOST = 120.0


@pytest.fixture
def cloud(emulator: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """The endpoints are in the environment, an identity is not."""
    emulator.seen.clear()
    emulator._scripts.clear()
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    return emulator


@pytest.fixture
def user(cloud: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name, value in cloud.user().items():
        monkeypatch.setenv(name, value)
    return cloud


def log_in(name: str = REGISTRY, **options: Any) -> Credential:
    return log_in_for(name, **options)[0]


def log_in_for(name: str, **options: Any) -> tuple[Credential, float]:
    ecr = parse_host(name)
    assert ecr
    return aws.log_in(ecr, HOST, ConnectionOptions(**{"timeout": 60.0, "retries": 0, **options}))


def refusal(name: str = REGISTRY, **options: Any) -> str:
    with pytest.raises(AuthenticationFailed) as failure:
        log_in(name, **options)
    return str(failure.value)


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Ecr("ecr", "eu-west-1")),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Ecr("ecr", "us-gov-west-1", True)),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Ecr("ecr", "cn-north-1")),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", Ecr("ecr", "eusc-de-east-1")),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", Ecr("ecr", "eu-west-1", False, True)),
        ("123456789012.dkr-ecr-fips.us-east-1.on.aws", Ecr("ecr", "us-east-1", True, True)),
        ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", Ecr("ecr", "cn-north-1", False, True)),
        ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", Ecr("ecr", "us-iso-east-1")),
        ("public.ecr.aws", Ecr("ecr-public", "us-east-1")),
        ("ecr-public.aws.com", Ecr("ecr-public", "us-east-1")),
        ("12345678901.dkr.ecr.eu-west-1.amazonaws.com", None),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com\n", None),
        ("123456789012.dkr.ecr.eu-west-1.evil.com", None),
        ("123456789012.dkr.ecr..amazonaws.com", None),
        ("123456789012.dkr.ecr.eu.west.amazonaws.com", None),
        ("x123456789012.dkr.ecr.eu-west-1.amazonaws.com", None),
        ("123456789012xdkrxecrxeu-west-1.amazonaws.com", None),
        ("evil.public.ecr.aws", None),
        ("ghcr.io", None),
    ],
)
def test_hosts(host: str, wanted: Ecr | None) -> None:
    assert parse_host(host) == wanted


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", r"api\.ecr\.eu-west-1\.amazonaws\.com"),
        ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", r"(api\.)?ecr-fips\.us-east-1\.amazonaws\.com"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", r"api\.ecr\.cn-north-1\.amazonaws\.com\.cn"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", r"(api\.)?ecr\.eu-west-1\.api\.aws"),
        ("public.ecr.aws", r"api\.ecr-public\.us-east-1\.amazonaws\.com"),
    ],
)
def test_endpoints(host: str, endpoint: str, user: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked without an endpoint in the environment, as a proxy sees it."""
    for name in ("AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_ECR_PUBLIC"):
        monkeypatch.delenv(name)
    with FaultServer() as proxy:
        proxy.always("CONNECT", "", Answer(403))
        with pytest.raises(ConnectionFailed) as failure:
            log_in(host, proxy=f"http://user:odd-password@{proxy.host}")
        assert re.fullmatch(endpoint + ":443", proxy.seen[0].target)
    assert "odd-password" not in str(failure.value)


# The ways to an identity


def test_keys_in_the_environment(user: Aws) -> None:
    assert log_in() == Credential("AWS", PASSWORD)
    assert not user.seen, "nothing but ECR is asked"


def test_the_public_registry(user: Aws) -> None:
    assert log_in("public.ecr.aws") == Credential("AWS", PASSWORD)
    assert [seen.headers["X-Amz-Target"] for seen in user.seen] == ["SpencerFrontendService.GetAuthorizationToken"]


@pytest.mark.parametrize("where", ["credentials", "config"])
def test_a_profile(cloud: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    section = "deploy" if where == "credentials" else "profile deploy"
    path.write_text(f"[{section}]\naws_access_key_id = {cloud.key_id}\naws_secret_access_key = {cloud.secret_key}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE" if where == "credentials" else "AWS_CONFIG_FILE", str(path))
    assert "the profile 'default' has no credentials" in refusal()
    monkeypatch.setenv("AWS_PROFILE", "deploy")
    assert log_in() == Credential("AWS", PASSWORD)
    monkeypatch.setenv("AWS_PROFILE", "absent")
    assert "The config profile (absent) could not be found" in refusal()


def test_a_web_identity(cloud: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(workload_token(aud="sts.amazonaws.com"))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(path))
    monkeypatch.setenv("AWS_ROLE_ARN", cloud.role_arn)
    assert log_in() == Credential("AWS", PASSWORD)
    assert [seen.method for seen in cloud.seen] == ["POST"]
    path.write_text(workload_token(aud="somebody else"))
    text = refusal()
    assert "AssumeRoleWithWebIdentity was refused (InvalidIdentityToken: Incorrect token audience)" in text
    path.unlink()
    assert f"the file {path}: No such file or directory" in refusal()


def test_a_container(cloud: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    path = tmp_path / "token"
    path.write_text(CONTAINER_TOKEN)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{cloud.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(path))
    assert log_in() == Credential("AWS", PASSWORD)
    path.write_text("another-token.of~the+container")
    assert "another-token" not in refusal()


def test_the_role_of_an_instance(cloud: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    assert log_in() == Credential("AWS", PASSWORD)
    assert [seen.method for seen in cloud.seen] == ["PUT", "GET", "GET"]


def test_a_proxy_is_not_asked_for_the_identity_of_the_instance(cloud: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    # by another name than ECR, which is on this host too and for which the proxy has to be asked
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://localhost:{cloud.port}")
    with FaultServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "example.com")
        with pytest.raises(OciError):
            log_in()
        assert [seen.headers["Host"] for seen in proxy.seen] == [cloud.moto.partition("//")[2]]
        assert cloud.count("^/latest/") == 3
        assert os.environ["no_proxy"] == "example.com" and "NO_PROXY" not in os.environ


def test_a_program_that_gives_credentials(cloud: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "give"
    keys = {"Version": 1, "AccessKeyId": cloud.key_id, "SecretAccessKey": cloud.secret_key}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(keys)}'\n")
    program.chmod(0o755)
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert log_in() == Credential("AWS", PASSWORD)
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(aws, "MAX_LOGIN", 0.5)
    start = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"took more than 0.5 s.*credential_process"):
        log_in()
    assert time.monotonic() - start < MOST


@pytest.mark.parametrize("stage", ["status line", "many continues", "body", "chunk size", "trailer"])
def test_an_answer_that_never_ends(user: Aws, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """The time limits hold for botocore's own connections; without them, MAX_LOGIN alone would end this."""
    with SlowServer({**HEADS, **BODIES}[stage]) as slow:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", slow.url)
        start = time.monotonic()
        with pytest.raises(ConnectionFailed, match=f"{slow.url}/ was not reached"):
            log_in(timeout=0.5, retries=1)
        assert time.monotonic() - start < MOST
        assert slow.connections == 2


def test_a_metadata_service_whose_answer_never_ends(cloud: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with SlowServer(HEADS["header"]) as slow:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", slow.url)
        start = time.monotonic()
        assert "No identity of AWS was found" in refusal(timeout=0.5)
        assert time.monotonic() - start < MOST
        assert slow.connections


# What is said


def test_without_any_identity(cloud: Aws) -> None:
    text = refusal()
    for part in (
        f"No identity of AWS was found for {HOST}",
        "environment: AWS_ACCESS_KEY_ID is not set",
        "web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set",
        "shared files: the profile 'default' has no credentials",
        "container: neither",
        "instance metadata: AWS_EC2_METADATA_DISABLED is set",
        "ecr:GetAuthorizationToken",
    ):
        assert part in text
    assert "ecr-public:GetAuthorizationToken" in refusal("public.ecr.aws")


def test_half_a_key(cloud: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", cloud.key_id)
    assert "AWS_SECRET_ACCESS_KEY" in refusal()


@pytest.mark.parametrize("who", ["unknown", "wrong", "poor"])
def test_a_refusal(user: Aws, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    pair = {
        "unknown": ("AKIAIOSFODNN7EXAMPLE", "odd/secret+key"),
        "wrong": (user.key_id, "odd/secret+key"),
        "poor": (user.poor_key_id, user.poor_secret_key),
    }[who]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", pair[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", pair[1])
    text = refusal()
    assert "GetAuthorizationToken was refused (403" in text and "ecr:GetAuthorizationToken" in text
    assert pair[1] not in text


def test_a_refusal_that_repeats_the_request(user: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "odd/secret+key")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "IQoJb3JpZ2luX2VjE" * 20)
    text = refusal("public.ecr.aws")
    assert "InvalidSignatureException" in text
    assert "IQoJb3JpZ2luX2VjE" not in text and "x-amz" not in text


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"authorizationData": []},
        {"authorizationData": {}},
        {"authorizationData": {"authorizationToken": "bm90aGluZw=="}},
        {"authorizationData": {"authorizationToken": "***"}},
        {"authorizationData": {"authorizationToken": "OnBhc3N3b3Jk"}},
    ],
)
def test_an_answer_that_is_none(user: Aws, document: dict[str, Any]) -> None:
    user.script("POST", "", Answer(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()))
    refusal("public.ecr.aws")


def test_an_endpoint_that_is_not_there(user: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:1")
    with pytest.raises(ConnectionFailed, match=r"http://127\.0\.0\.1:1.* was not reached"):
        log_in()


def test_an_endpoint_that_does_not_answer(user: Aws) -> None:
    user.always("POST", "", Answer(200, body=b"x" * 10, cut=0, stall=600))
    start = time.monotonic()
    with pytest.raises(ConnectionFailed):
        log_in("public.ecr.aws", timeout=0.5)
    assert time.monotonic() - start < MOST


def test_passing_failures_are_repeated(user: Aws) -> None:
    user.script("POST", "", Answer(503))
    assert log_in("public.ecr.aws", retries=1) == Credential("AWS", PASSWORD)
    assert len(user.seen) == 2


def test_a_socks_proxy(user: Aws) -> None:
    with pytest.raises(InvalidOption, match="SOCKS") as failure:
        log_in(proxy="socks5h://user:odd-password@127.0.0.1:1")
    assert "odd-password" not in str(failure.value)


@pytest.mark.parametrize("form", ["file", "text", "folder"])
def test_an_authority_is_added(user: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str) -> None:
    """The bundle is there while botocore works, holds its own authorities too, and is gone afterwards."""
    own = tmp_path / "own.pem"
    own.write_text(key("own authority").certificate_pem)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(own))
    added = key("added authority").certificate_pem
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "0.pem").write_text(added)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    seen = []

    def ask(session: Any, *args: Any, **kwargs: Any) -> Any:
        path = session.get_config_variable("ca_bundle")
        seen.append((Path(path).read_text(), oct(os.stat(path).st_mode & 0o777)))
        return original(session, *args, **kwargs)

    import botocore.session

    original = botocore.session.Session.create_client
    monkeypatch.setattr(botocore.session.Session, "create_client", ask)
    given = {"file": str(folder / "0.pem"), "text": added, "folder": str(folder)}[form]
    assert log_in(ca_cert=given) == Credential("AWS", PASSWORD)
    text, mode = seen[0]
    assert text.count("BEGIN CERTIFICATE") == 2 and added.strip() in text and own.read_text().strip() in text
    assert mode == "0o600"
    assert not list((tmp_path / "temporary").iterdir())


def test_an_endpoint_has_to_be_vouched_for(user: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with behind_tls(user, tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR_PUBLIC", server.url)
        for options in ({}, {"validate_certs": False}):
            with pytest.raises(ConnectionFailed, match=r"was not reached \(SSLError\).*ca_cert"):
                log_in("public.ecr.aws", **options)
        assert log_in("public.ecr.aws", ca_cert=key("authority").certificate_pem) == Credential("AWS", PASSWORD)


def test_without_botocore(tmp_path: Path) -> None:
    """In a Python of its own, which does not have it."""
    (tmp_path / "botocore.py").write_text("raise ImportError\n")
    code = (
        "from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud import aws\n"
        "from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions\n"
        f"try:\n    aws.log_in(aws.parse_host({REGISTRY!r}), 'host', ConnectionOptions())\n"
        "except Exception as exc:\n    print(type(exc).__name__, exc)\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{MissingDependency.__name__} provider: aws needs the Python package botocore")
    assert "pip install 'botocore>=1.31'" in done.stdout


def test_how_long_a_password_is_valid(user: Aws) -> None:
    assert log_in_for("public.ecr.aws")[1] == aws.PASSWORD_SECONDS
    # moto's passwords ended years ago
    assert log_in_for(REGISTRY)[1] == aws.MINIMUM_SECONDS

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins to cloud registries through ansible-playbook: emulators of the clouds give the identities, and Distribution,
which wants a password or a token for everything, is the registry.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import servers, vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud import aws_emulator
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.aws_emulator import (
    CONTAINER_TOKEN,
    HTPASSWD,
    PASSWORD,
    Aws,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.azure_emulator import (
    CLIENT,
    CLIENT_SECRET,
    IDENTITY_HEADER,
    TENANT,
    Acr,
    Entra,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.emulator import (
    key,
    workload_token,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.google_emulator import (
    USER,
    Google,
)

pytestmark = pytest.mark.once

CHECKOUT = Path(__file__).resolve().parents[2]
GUIDE = CHECKOUT / "docs/docsite/rst/guide_login_cloud.rst"
PUSH, PULL, INFO, SIGN, VERIFY = (
    f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("push", "pull", "info", "sign", "verify")
)
KEYS = vectors.ROOT / "keys"
ECR, ACR, GAR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "contoso.azurecr.io", "europe-docker.pkg.dev"
NOBODY = "127.0.0.1:1"


@dataclass
class Cloud:
    """A registry and the emulator that gives the identities for it."""

    provider: str
    name: str
    host: str
    registry: RegistryServer
    emulator: Any
    # where the metadata services and token services are; nothing that is an identity by itself
    environment: Mapping[str, str]
    files: Path
    secrets: list[str] = field(default_factory=list)

    def options(self, repository: str, **more: Any) -> dict[str, Any]:
        wanted = {"provider": self.provider, "provider_registry": self.name, "insecure": True, "retries": 0}
        return {"ref": f"{self.host}/{repository}", **wanted, **more}

    def task(self, module: str, repository: str, environment: Mapping[str, str], **more: Any) -> dict[str, Any]:
        """A failure is a result too."""
        return {
            "name": module,
            module: self.options(repository, **more),
            "environment": dict(environment),
            "ignore_errors": True,
        }

    def file(self, name: str, content: str) -> str:
        path = self.files / name
        path.write_text(content)
        path.chmod(0o600)
        return str(path)


@pytest.fixture(scope="module")
def aws(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("ecr")
    (folder / "htpasswd").write_text(HTPASSWD + "\n")
    auth = {"htpasswd": {"realm": "https://ecr.example.com/", "path": str(folder / "htpasswd")}}
    with aws_emulator.aws() as emulator, servers.distribution(Path(tools["registry"]), folder, auth=auth) as registry:
        cloud = Cloud("aws", ECR, registry.host, registry, emulator, emulator.environment(), folder)
        cloud.secrets += [PASSWORD, emulator.secret_key, CONTAINER_TOKEN, *_role_secrets(emulator)]
        yield cloud


def _role_secrets(emulator: Aws) -> list[str]:
    return [emulator.role_keys["SecretAccessKey"], emulator.role_keys["SessionToken"]]


@pytest.fixture(scope="module")
def azure(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("acr")
    with Entra() as entra, Acr(entra) as acr:
        auth = acr.tokens.configuration(acr.realm, folder)
        with servers.distribution(Path(tools["registry"]), folder, auth=auth) as registry:
            acr.backend = registry.url
            environment = {
                "AZURE_AUTHORITY_HOST": entra.url,
                "AZURE_POD_IDENTITY_AUTHORITY_HOST": f"http://{NOBODY}",
            }
            yield Cloud("azure", ACR, acr.host, registry, acr, environment, folder, [CLIENT_SECRET, IDENTITY_HEADER])


@pytest.fixture(scope="module")
def gcp(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("gar")
    with Google() as google:
        auth = google.tokens.configuration(google.realm, folder)
        with servers.distribution(Path(tools["registry"]), folder, auth=auth) as registry:
            environment = {"GCE_METADATA_HOST": NOBODY}
            secrets = [USER["client_secret"], USER["refresh_token"], google.subject_token]
            yield Cloud("gcp", GAR, registry.host, registry, google, environment, folder, secrets)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "a.yaml").write_text("a: 1\n")
    return folder


def run(ansible: AnsibleRunner, cloud: Cloud, *tasks: dict[str, Any]) -> list[TaskResult]:
    results = ansible.tasks(tasks, environment=dict(cloud.environment))
    assert len(results) == len(tasks)
    shown = results[0].stdout + results[0].stderr + json.dumps(results)
    assert "Traceback" not in shown
    hidden = [*cloud.secrets, "PRIVATE KEY", "eyJ", "ya29."]
    assert [secret for secret in hidden if secret in shown] == []
    return results


def test_every_module_logs_in(ansible: AnsibleRunner, azure: Cloud, content: Path, tmp_path: Path) -> None:
    identity = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.emulator.entra.url}
    ref = "every/module:1.0.0"
    exchanges = azure.emulator.count("/oauth2/exchange")
    public_keys = [str(KEYS / "ed25519.pub")]
    results = run(
        ansible,
        azure,
        azure.task(PUSH, ref, identity, path=str(content)),
        azure.task(SIGN, ref, identity, key=str(KEYS / "ed25519.raw.pem")),
        azure.task(VERIFY, ref, identity, public_keys=public_keys),
        azure.task(INFO, ref, identity, gather=["all"]),
        azure.task(PULL, ref, identity, dest=str(tmp_path / "dest"), verify={"public_keys": public_keys}),
        azure.task(PULL, ref, {}, dest=str(tmp_path / "other")),
    )
    assert [result.failed for result in results] == [False] * 5 + [True]
    assert (tmp_path / "dest" / "a.yaml").read_text() == "a: 1\n"
    assert results[-1]["reason"] == "AuthenticationFailed"
    assert "managed identity: GET http://127.0.0.1:1/metadata/identity/oauth2/token failed" in results[-1]["msg"]
    assert azure.emulator.count("/oauth2/exchange") == exchanges + 5, "one login a task"
    assert "repository:every/module:pull,push" in azure.emulator.tokens.granted


def test_aws(ansible: AnsibleRunner, aws: Cloud, content: Path, tmp_path: Path) -> None:
    emulator: Aws = aws.emulator
    shared = aws.file(
        "credentials",
        f"[publisher]\naws_access_key_id={emulator.key_id}\naws_secret_access_key={emulator.secret_key}\n"
        f"[stranger]\naws_access_key_id={emulator.poor_key_id}\naws_secret_access_key={emulator.poor_secret_key}\n",
    )
    profile = {"AWS_SHARED_CREDENTIALS_FILE": shared, "AWS_PROFILE": "publisher"}
    web = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": aws.file("web-identity", workload_token(aud="sts.amazonaws.com")),
        "AWS_ROLE_ARN": emulator.role_arn,
    }
    container = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{emulator.url}/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": aws.file("container", CONTAINER_TOKEN),
    }
    dest = str(tmp_path / "dest")
    public = {**aws.task(INFO, "aws/app:1", profile, gather=[])}
    public[INFO]["provider_registry"] = "public.ecr.aws"
    pushed, *pulled, nobody, stranger = run(
        ansible,
        aws,
        aws.task(PUSH, "aws/app:1", profile, path=str(content)),
        aws.task(PULL, "aws/app:1", {"AWS_EC2_METADATA_DISABLED": "false"}, dest=dest),
        aws.task(PULL, "aws/app:1", web, dest=dest + "2"),
        aws.task(INFO, "aws/app:1", container, gather=[]),
        public,
        aws.task(INFO, "aws/app:1", {}, gather=[]),
        aws.task(INFO, "aws/app:1", {**profile, "AWS_PROFILE": "stranger"}, gather=[]),
    )
    assert pushed.changed and not any(result.failed for result in pulled)
    assert Path(dest, "a.yaml").exists() and Path(dest + "2", "a.yaml").exists()
    assert {result["artifact"]["digest"] for result in pulled} == {pushed["artifact"]["digest"]}
    assert nobody["reason"] == stranger["reason"] == "AuthenticationFailed"
    assert f"No identity of AWS was found for {aws.host}" in nobody["msg"]
    assert "GetAuthorizationToken was refused" in stranger["msg"]


def test_azure(ansible: AnsibleRunner, azure: Cloud, content: Path, tmp_path: Path) -> None:
    entra: Entra = azure.emulator.entra
    application = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}
    own = key("application")
    certificate = azure.file("application.pem", own.pem + own.certificate_pem)
    federated = azure.file("federated", workload_token(aud="api://AzureADTokenExchange"))
    secret = {**application, "AZURE_CLIENT_SECRET": CLIENT_SECRET}
    app_service = {"IDENTITY_ENDPOINT": f"{entra.url}/msi/token", "IDENTITY_HEADER": IDENTITY_HEADER}
    dest = str(tmp_path / "dest")
    pushed, *pulled, unknown = run(
        ansible,
        azure,
        azure.task(PUSH, "azure/app:1", secret, path=str(content)),
        azure.task(PULL, "azure/app:1", {**application, "AZURE_CLIENT_CERTIFICATE_PATH": certificate}, dest=dest),
        azure.task(PULL, "azure/app:1", {**application, "AZURE_FEDERATED_TOKEN_FILE": federated}, dest=dest + "2"),
        azure.task(INFO, "azure/app:1", app_service, gather=[]),
        azure.task(INFO, "azure/app:1", {**secret, "AZURE_CLIENT_ID": "another"}, gather=[]),
    )
    assert pushed.changed and not any(result.failed for result in pulled)
    assert Path(dest, "a.yaml").exists() and Path(dest + "2", "a.yaml").exists()
    assert unknown["reason"] == "AuthenticationFailed" and "AADSTS700016" in unknown["msg"]


def test_gcp(ansible: AnsibleRunner, gcp: Cloud, content: Path, tmp_path: Path) -> None:
    google: Google = gcp.emulator

    def named(name: str, document: dict[str, Any]) -> dict[str, str]:
        return {"GOOGLE_APPLICATION_CREDENTIALS": gcp.file(name, json.dumps(document))}

    subject = {"file": gcp.file("subject", google.subject_token)}
    gcloud = tmp_path / "gcloud"
    gcloud.mkdir()
    (gcloud / "application_default_credentials.json").write_text(json.dumps(google.authorized_user()))
    dest = str(tmp_path / "dest")
    metadata = {"GCE_METADATA_HOST": google.host}
    pushed, *pulled, deleted = run(
        ansible,
        gcp,
        gcp.task(PUSH, "gcp/app:1", named("key.json", google.service_account()), path=str(content)),
        gcp.task(PULL, "gcp/app:1", metadata, dest=dest),
        gcp.task(
            PULL,
            "gcp/app:1",
            named("federation.json", google.external_account(subject, impersonate=True)),
            dest=dest + "2",
        ),
        gcp.task(INFO, "gcp/app:1", named("url.json", google.external_account(google.subject_source)), gather=[]),
        gcp.task(INFO, "gcp/app:1", {"CLOUDSDK_CONFIG": str(gcloud)}, gather=[]),
        gcp.task(
            INFO,
            "gcp/app:1",
            named("deleted.json", google.service_account(private_key=key("another service account").pem)),
            gather=[],
        ),
    )
    assert pushed.changed and not any(result.failed for result in pulled)
    assert Path(dest, "a.yaml").exists() and Path(dest + "2", "a.yaml").exists()
    assert deleted["reason"] == "AuthenticationFailed" and "deleted.json" in deleted["msg"]


def test_who_wins_and_who_gets_nothing(
    ansible: AnsibleRunner, azure: Cloud, htpasswd_registry: RegistryServer, content: Path
) -> None:
    """A password of the task wins over the provider; another host gets nothing from it."""
    identity = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.emulator.entra.url}
    host = htpasswd_registry.host
    given = {"username": htpasswd_registry.username, "password": htpasswd_registry.password}
    push = {**azure.options("x"), "ref": f"{host}/who/wins:1", "path": str(content), **given}
    exchanges, mark = azure.emulator.count("/oauth2/exchange"), htpasswd_registry.mark()
    other = {"ref": f"{host}/who/wins:1", "provider": "azure", "insecure": True, "gather": []}
    pushed, foreign, wrong = run(
        ansible,
        azure,
        {"name": "password", PUSH: push, "environment": identity},
        {"name": "other host", INFO: other, "environment": identity, "ignore_errors": True},
        {"name": "choice", INFO: {**other, "provider": "openstack"}, "ignore_errors": True},
    )
    assert pushed.changed
    assert foreign["reason"] == "AuthenticationFailed" and "set 'provider_registry' to that" in foreign["msg"]
    assert "value of provider must be one of: generic, aws, azure, gcp" in wrong["msg"]
    assert azure.emulator.count("/oauth2/exchange") == exchanges
    assert "info" not in {request.method for request in htpasswd_registry.requests(since=mark)}


# The guide


def examples() -> Iterator[dict[str, Any]]:
    """The tasks of the guide as they are written, those of plays in a block with the play's defaults."""
    blocks = re.findall(r"^\.\. code-block:: yaml\n\n((?:(?:   .*)?\n)+)", GUIDE.read_text(), re.MULTILINE)
    assert len(blocks) == GUIDE.read_text().count("code-block:: yaml") > 0
    for block in blocks:
        for item in yaml.safe_load(textwrap.dedent(block)):
            if "hosts" in item:
                yield {"module_defaults": item["module_defaults"], "block": item["tasks"]}
            else:
                yield item


def place(item: dict[str, Any], hosts: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """The task with the names of places of this test, and what its registry is called by the provider."""
    if "block" in item:
        return {**item, "block": [place(task, hosts, folder) for task in item["block"]]}
    module = next(name for name in item if name.startswith("cloudnative.artifacts."))
    wanted = json.dumps(item).replace("{{ playbook_dir }}", str(folder / "play"))
    wanted = re.sub(r'"/(etc|srv|opt|var)/', rf'"{folder}/\1/', wanted)
    task: dict[str, Any] = json.loads(wanted)
    which = "ref" if "ref" in task[module] else "url"
    name = next(name for name in hosts if name in task[module][which])
    task[module][which] = task[module][which].replace(name, hosts[name])
    if name in (ECR, ACR, GAR):
        task[module]["provider_registry"] = name
    return {**task, "ignore_errors": True}


def test_the_guide(ansible: AnsibleRunner, aws: Cloud, azure: Cloud, gcp: Cloud, tmp_path: Path) -> None:
    """Every example runs, each with the identity that it speaks of."""
    emulator: Aws = aws.emulator
    for name in ("play/deploy/app.yaml", "etc/platform/google-federation.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("a: 1\n")
    federation = gcp.emulator.external_account({"file": gcp.file("subject", gcp.emulator.subject_token)})
    (tmp_path / "etc/platform/google-federation.json").write_text(json.dumps(federation))
    profile = f"[publisher]\naws_access_key_id={emulator.key_id}\naws_secret_access_key={emulator.secret_key}\n"
    environment = {
        **aws.environment,
        **azure.environment,
        **gcp.environment,
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_SHARED_CREDENTIALS_FILE": aws.file("credentials", profile),
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.emulator.entra.url,
    }
    release = {"path": str(tmp_path / "play/deploy"), "tag": "1.4.2"}
    published = [
        {
            "name": f"publish for {cloud.provider}",
            PUSH: {**cloud.options("platform/config"), **release},
            "environment": {"GCE_METADATA_HOST": gcp.emulator.host},
        }
        for cloud in (aws, azure, gcp)
    ]
    hosts = {ECR: aws.host, ACR: azure.host, GAR: gcp.host, "registry.example.com": azure.host}
    found = [place(item, hosts, tmp_path) for item in examples()]
    names = [task["name"] for item in found for task in item.get("block", [item])]
    results = ansible.tasks(
        [*published, *found],
        environment=environment,
        module_defaults={name: {"insecure": True} for name in (PUSH, PULL, INFO)},
    )
    assert [result.task for result in results] == [*(task["name"] for task in published), *names]
    assert {result.task: result.get("msg") for result in results if result.failed} == {}
    assert {result["artifact"]["tag"] for result in results if "gather" not in result} == {"1.4.2", "2.0.0"}

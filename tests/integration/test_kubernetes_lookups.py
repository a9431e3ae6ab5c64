# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials and certificates in a real Kubernetes API open a real registry, through ansible-playbook."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forward_proxy import ForwardProxy
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.kube_api import KubeCluster
from support.servers import RegistryServer
from support.tools import Tools

PUSH, PULL, INFO, VERIFY = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("push", "pull", "info", "verify"))
PULL_SECRET, TLS_SECRET, VERIFY_SECRET, PROXY_SECRET = (
    f"cloudnative.artifacts.kubernetes_{kind}_secret" for kind in ("pull", "tls", "verify", "proxy")
)
VECTORS = vectors.ROOT
READ = {"apiGroups": [""], "resources": ["secrets", "serviceaccounts"], "verbs": ["get"]}
WRONG_PASSWORD = "N0t/the~right-0ne%at+all"


def secret(name: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": texts}


def pull_secret(name: str, auths: dict[str, Any], **further: Any) -> dict[str, Any]:
    return secret(name, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": {"auths": auths, **further}})


def service_account(name: str, *secrets: str) -> dict[str, Any]:
    references = [{"name": secret} for secret in secrets]
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name},
        "imagePullSecrets": references,
    }


def basic(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def lookup(plugin: str, part: str = "", **options: str) -> str:
    arguments = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return f"{{{{ lookup({plugin!r}, {arguments}){part} }}}}"


@pytest.fixture(scope="module")
def namespace(cluster: KubeCluster) -> Iterator[str]:
    with cluster.namespace("lookups") as name:
        yield name


@pytest.fixture(scope="module")
def reader(cluster: KubeCluster, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> KubeCluster:
    """May read Secrets and ServiceAccounts of the namespace, and nothing else."""
    return cluster.as_user(tmp_path_factory.mktemp("reader"), namespace, "reader", [READ])


def test_pull_secrets(
    ansible: AnsibleRunner,
    cluster: KubeCluster,
    reader: KubeCluster,
    namespace: str,
    htpasswd_registry: RegistryServer,
    tmp_path: Path,
) -> None:
    registry, username, password = htpasswd_registry.host, htpasswd_registry.username, htpasswd_registry.password
    assert username and password
    good, stale = {registry: basic(username, password)}, {registry: basic(username, WRONG_PASSWORD)}
    cluster.apply(
        pull_secret("good", good),
        secret("older", "kubernetes.io/dockercfg", {".dockercfg": {f"http://{registry}/v1/": good[registry]}}),
        pull_secret("stale", stale),
        pull_secret("elsewhere", {"registry.example.com": basic("someone", WRONG_PASSWORD)}),
        pull_secret("store", {registry: {}}, credsStore="desktop"),
        secret("opaque", "Opaque", {".dockerconfigjson": {"auths": good}}),
        service_account("puller", "elsewhere", "good", "stale"),
        service_account("stale-first", "stale", "good"),
        service_account("broken", "good", "gone"),
        service_account("without"),
        namespace=namespace,
    )
    stranger = cluster.as_user(tmp_path, namespace, "stranger")
    file = tmp_path / "hello.txt"
    file.write_text("hello\n")
    reference = {"ref": f"{registry}/kubernetes/hello:1", "insecure": True}

    def scope(**options: str) -> dict[str, str]:
        return {"namespace": namespace, "kubeconfig": str(reader.kubeconfig), **options}

    def pull(name: str, **options: str) -> dict[str, Any]:
        module = {**reference, "dest": str(tmp_path / name), "auth_config": lookup(PULL_SECRET, **scope(**options))}
        return {"name": name, PULL: module, "ignore_errors": True}

    token = cluster.token(namespace, "reader")
    authority = tmp_path / "ca.pem"
    authority.write_text(cluster.ca_pem)
    explicit = {"kubeconfig": "", "host": cluster.server, "api_key": token, "ca_cert": str(authority)}
    where = f"{namespace}/"
    refused = [
        (scope(secret="good", namespace="kube-system"), "does not allow reading the Secret kube-system/good"),
        (scope(secret="good", kubeconfig=str(stranger.kubeconfig)), f"does not allow reading the Secret {where}good"),
        (scope(secret="gone"), f"The Secret {where}gone does not exist"),
        (scope(service_account="broken"), f"The Secret {where}gone does not exist"),
        (scope(service_account="without"), f"ServiceAccount {where}without has no imagePullSecrets"),
        (scope(service_account="nobody"), f"The ServiceAccount {where}nobody does not exist"),
        (scope(secret="opaque"), f"Secret {where}opaque is of type Opaque, wanted kubernetes.io/dockerconfigjson"),
        (scope(secret="store"), f"no credential in the pull secret {where}store"),
        (scope(secret="good", api_key="x" + token[1:]), "did not accept the credentials"),
        (scope(secret="good", host="https://127.0.0.1:1"), "cannot be reached"),
        (scope(secret="good", ca_cert="/etc/ssl/certs/ca-certificates.crt"), "No TLS connection to the Kubernetes API"),
        (scope(secret="good", kubeconfig=str(tmp_path / "none")), "The file that 'kubeconfig' names does not exist"),
        (scope(secret="good", context="none"), "The kubeconfig cannot be used: "),
        (scope(secret="../good"), "'../good' cannot be the name of a Secret"),
        (scope(), "Neither 'secret' nor 'service_account' is given"),
    ]
    results = ansible.tasks(
        [
            {"name": "push", PUSH: {**reference, "path": str(file), "username": username, "password": password}},
            pull("secret", secret="good"),
            pull("older secret", secret="older"),
            pull("service account", service_account="puller"),
            pull("named first", secret="good", service_account="stale-first"),
            pull("without a kubeconfig", secret="good", **explicit),
            pull("first is stale", service_account="stale-first"),
            *(
                {
                    "name": f"refused {number}",
                    "ansible.builtin.debug": {"msg": lookup(PULL_SECRET, **options)},
                    "ignore_errors": True,
                }
                for number, (options, _words) in enumerate(refused)
            ),
        ],
        flags=["-vvv"],
        # what a task was told is shown by newer releases only on request
        controller_environment={"ANSIBLE_INJECT_INVOCATION": "1"},
    )
    by_name = {result.task: result for result in results}
    for name in ("secret", "older secret", "service account", "named first", "without a kubeconfig"):
        assert not by_name[name].failed, by_name[name]
        assert (tmp_path / name / "hello.txt").read_text() == "hello\n"
    assert by_name["first is stale"]["reason"] == "AuthenticationFailed"
    for number, (_options, words) in enumerate(refused):
        assert by_name[f"refused {number}"].failed
        assert words in by_name[f"refused {number}"]["msg"]
    _assert_no_secret(results[0], password, WRONG_PASSWORD, good[registry]["auth"], stale[registry]["auth"])


def _assert_no_secret(run: TaskResult, *secrets: str) -> None:
    """Not in the whole output of the run, with -vvv."""
    output = run.stdout + run.stderr
    assert '"auth_config": {' in output, "the invocations are not shown"
    assert [hidden for hidden in secrets if hidden in output] == []


def test_tls_secrets(
    ansible: AnsibleRunner,
    cluster: KubeCluster,
    reader: KubeCluster,
    namespace: str,
    tls_registry: RegistryServer,
    tmp_path: Path,
) -> None:
    assert tls_registry.ca_cert
    authority = tls_registry.ca_cert.read_text()
    key = tls_registry.ca_cert.with_name("server.key").read_text()
    certificate = tls_registry.ca_cert.with_name("server.pem").read_text()
    cluster.apply(
        secret("authority", "Opaque", {"ca.crt": authority}),
        secret("older-tls", "Opaque", {"caFile": authority, "certFile": certificate, "keyFile": key}),
        secret("pair", "kubernetes.io/tls", {"tls.crt": certificate, "tls.key": key}),
        secret("half", "Opaque", {"ca.crt": authority, "tls.crt": certificate}),
        namespace=namespace,
    )
    reference = {"ref": f"{tls_registry.host}/kubernetes/tls:1"}
    file = tmp_path / "hello.txt"
    file.write_text("hello\n")

    def options(name: str) -> str:
        return lookup(TLS_SECRET, namespace=namespace, kubeconfig=str(reader.kubeconfig), secret=name)

    def pull(name: str) -> dict[str, Any]:
        chosen = {option: f"{{{{ tls.{option} }}}}" for option in ("ca_cert", "client_cert", "client_key")}
        module = {**reference, "dest": str(tmp_path / name), "retries": 0, **chosen}
        return {"name": name, PULL: module, "vars": {"tls": options(name)}, "ignore_errors": True}

    results = ansible.tasks(
        [
            {"name": "push", PUSH: {**reference, "path": str(file), "ca_cert": str(tls_registry.ca_cert)}},
            pull("authority"),
            pull("older-tls"),
            pull("pair"),
            pull("half"),
            # all three at once, as defaults of a block
            {
                "module_defaults": {"group/cloudnative.artifacts.oci": options("older-tls")},
                "block": [{"name": "defaults", INFO: {**reference, "gather": []}}],
            },
        ],
        flags=["-vvv"],
        # what a task was told is shown by newer releases only on request
        controller_environment={"ANSIBLE_INJECT_INVOCATION": "1"},
    )
    by_name = {result.task: result for result in results}
    assert (tmp_path / "authority/hello.txt").read_text() == "hello\n"
    assert (tmp_path / "older-tls/hello.txt").read_text() == "hello\n"
    assert by_name["pair"]["reason"] == "TLSFailed", "nobody vouches for the registry"
    assert "has a tls.crt or certFile but no tls.key or keyFile" in by_name["half"]["msg"]
    assert not by_name["defaults"].failed, by_name["defaults"]
    output = results[0].stdout + results[0].stderr
    assert key.splitlines()[1] not in output


def layout(name: str) -> str:
    return f"oci-layout:{VECTORS / 'layouts' / name}:1.0.0"


def test_verification_secrets(
    ansible: AnsibleRunner, cluster: KubeCluster, reader: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    """What Flux keeps in verify.secretRef and verify.trustedRootSecretRef is a policy of the modules."""
    key_a, key_b = ((VECTORS / f"keys/key-{name}.pub").read_text() for name in "ab")
    private = (VECTORS / "keys/key-a.key").read_text()
    policy = (VECTORS / "notation/strict.json").read_text()
    authority = (VECTORS / "keys/notation/ca-good.crt").read_text()
    root = (VECTORS / "trusted_root.json").read_text()
    cluster.apply(
        secret("keys", "Opaque", {"old.pub": key_b, "new.pub": key_a, "note": "rotated"}),
        secret("other-key", "Opaque", {"cosign.pub": key_b}),
        secret("private", "Opaque", {"cosign.pub": private}),
        secret("nothing", "Opaque", {"cosign.key": private}),
        secret("notary", "Opaque", {"trustpolicy.json": policy, "ca.crt": authority}),
        secret("notary-without", "Opaque", {"trustpolicy.json": policy}),
        secret("root", "Opaque", {"trusted_root.json": root}),
        namespace=namespace,
    )
    (keyless,) = [row for row in vectors.rows() if row["name"].startswith("chart-keyless-bundle-good")][:1]

    def read(name: str, part: str = "", **options: str) -> str:
        scope = {"namespace": namespace, "kubeconfig": str(reader.kubeconfig), "secret": name, **options}
        return lookup(VERIFY_SECRET, part, **scope)

    def pull(name: str, layout_name: str, policy: str) -> dict[str, Any]:
        module = {"ref": layout(layout_name), "dest": str(tmp_path / name), "verify": policy}
        return {"name": name, PULL: module, "ignore_errors": True}

    refused = {
        "private": "The key cosign.pub of Secret",
        "nothing": "holds neither a public key nor a trusted root: its keys are cosign.key",
        "notary-without": "holds no certificate",
        "gone": "does not exist",
    }
    results = ansible.tasks(
        [
            pull("keys", "chart-legacy-a", read("keys")),
            pull("other key", "chart-legacy-a", read("other-key")),
            pull("notary", "chart-notation-jws", read("notary")),
            {
                "name": "root",
                VERIFY: {
                    "ref": layout("chart-keyless-bundle-good"),
                    "trusted_root": read("root", ".trusted_root"),
                    "identities": keyless["keyless"]["identities"],
                },
            },
            {
                "name": "only keys",
                VERIFY: {"ref": layout("chart-legacy-a"), "public_keys": read("keys", ".public_keys")},
            },
            *({"name": name, "ansible.builtin.debug": {"msg": read(name)}, "ignore_errors": True} for name in refused),
            {
                "name": "provider",
                "ansible.builtin.debug": {"msg": read("keys", provider="notation")},
                "ignore_errors": True,
            },
        ],
        flags=["-vvv"],
    )
    by_name = {result.task: result for result in results}
    for name in ("keys", "notary", "root", "only keys"):
        assert not by_name[name].failed, by_name[name]
        assert by_name[name]["verification"]["verified"] is True
    assert by_name["other key"]["reason"] == "VerificationError"
    assert "The signature is not by the key" in by_name["other key"]["msg"]
    for name, words in refused.items():
        assert by_name[name].failed and words in by_name[name]["msg"]
    assert "has no key trustpolicy.json" in by_name["provider"]["msg"]
    output = results[0].stdout + results[0].stderr
    assert private.splitlines()[1] not in output


def test_keys_that_cosign_keeps_in_kubernetes(
    ansible: AnsibleRunner,
    cluster: KubeCluster,
    reader: KubeCluster,
    namespace: str,
    registry: RegistryServer,
    tools: Tools,
    tmp_path: Path,
) -> None:
    """The real cosign makes a key k8s://namespace/name and signs with it; the lookup gives its public half."""
    uri, name = f"k8s://{namespace}/cosign", f"{registry.host}/kubernetes/signed:1"
    environment = {"KUBECONFIG": str(cluster.kubeconfig), "COSIGN_PASSWORD": WRONG_PASSWORD}
    tools.run("cosign", "generate-key-pair", uri, env=environment)
    (tmp_path / "hello.txt").write_text("hello")
    tools.run("oras", "push", "--plain-http", name, "hello.txt", cwd=tmp_path)
    tools.run(
        "cosign", "sign", "--key", uri, "--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry",
        "--yes", name, env=environment,
    )  # fmt: skip
    public = lookup(
        VERIFY_SECRET, ".public_keys", namespace=namespace, kubeconfig=str(reader.kubeconfig), secret="cosign"
    )
    module = {"ref": name, "insecure": True}
    results = ansible.tasks(
        [
            {"name": "uri", VERIFY: {**module, "public_keys": [uri]}, "ignore_errors": True},
            {"name": "lookup", VERIFY: {**module, "public_keys": public}},
        ],
        flags=["-vvv"],
    )
    refused, verified = results
    assert refused["reason"] == "VerificationError"
    assert f"lookup('{VERIFY_SECRET}', namespace='{namespace}', secret='cosign').public_keys" in refused["msg"]
    assert not verified.failed, verified
    assert WRONG_PASSWORD not in results[0].stdout + results[0].stderr


def test_proxy_secrets(
    ansible: AnsibleRunner, cluster: KubeCluster, reader: KubeCluster, namespace: str, registry: RegistryServer
) -> None:
    password = "p@ss/word:of%20the#proxy"
    with ForwardProxy(("deploy", password)) as proxy:
        cluster.apply(
            secret("proxy", "Opaque", {"address": proxy.url, "username": "deploy", "password": password}),
            secret("stranger", "Opaque", {"address": proxy.url}),
            secret("no-proxy", "Opaque", {"address": f"ftp://deploy:{WRONG_PASSWORD}@{proxy.host}"}),
            namespace=namespace,
        )

        def look(name: str) -> dict[str, Any]:
            url = lookup(PROXY_SECRET, namespace=namespace, kubeconfig=str(reader.kubeconfig), secret=name)
            module = {"ref": f"{registry.host}/kubernetes/none:1", "insecure": True, "proxy": url, "retries": 0}
            return {"name": name, INFO: {**module, "missing_ok": True}, "ignore_errors": True}

        results = ansible.tasks(
            [look("proxy"), look("stranger"), look("no-proxy")],
            flags=["-vvv"],
            # what a task was told is shown by newer releases only on request
            controller_environment={"ANSIBLE_INJECT_INVOCATION": "1"},
        )
        used, refused, no_proxy = results
        assert used["exists"] is False, used
        assert [request.status for request in proxy.log] == [404, 407]
    assert refused.failed and "407" in refused["msg"]
    assert "The key address of Secret" in no_proxy["msg"]
    output = results[0].stdout + results[0].stderr
    assert '"proxy": ' in output, "the invocations are not shown"
    assert [hidden for hidden in (password, "p%40ss", WRONG_PASSWORD) if hidden in output] == []


def test_a_missing_client_is_named(ansible: AnsibleRunner, reader: KubeCluster, namespace: str, tmp_path: Path) -> None:
    # what Python finds in place of the package where it is not installed: nothing that can be imported
    (tmp_path / "kubernetes.py").write_text("raise ImportError('not installed')\n")
    task = {
        "name": "without",
        "ansible.builtin.debug": {"msg": lookup(PULL_SECRET, namespace=namespace, kubeconfig="", secret="good")},
    }
    (result,) = ansible.tasks([task], controller_environment={"PYTHONPATH": str(tmp_path)})
    assert "Using the Kubernetes API needs the Python package kubernetes" in result["msg"]


def test_the_environment_leads_to_the_cluster(
    ansible: AnsibleRunner, cluster: KubeCluster, reader: KubeCluster, namespace: str
) -> None:
    cluster.apply(pull_secret("environment", {"ghcr.io": basic("me", "it")}), namespace=namespace)
    task = {
        "name": "read",
        "ansible.builtin.set_fact": {"names": f"{lookup(PULL_SECRET, namespace=namespace, secret='environment')}"},
    }
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG"):
        (result,) = ansible.tasks([task], controller_environment={name: str(reader.kubeconfig)})
        assert result["ansible_facts"]["names"] == {"auths": {"ghcr.io": basic("me", "it")}}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Kubernetes API: the cluster that KUBECONFIG names, else etcd, kube-apiserver and kube-controller-manager.

The three run on the loopback address with data, certificates and keys of their own, and RBAC as in production. There is
no node: what needs one (a Pod that runs, a Deployment that becomes available) does not happen.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from secret_search import belongs
from support.certificates import create_server_certificate
from support.servers import end_with_parent
from support.tools import Tools

START_TIMEOUT = 120.0
# a port that is free now may be taken by another process before the API server binds it
START_ATTEMPTS = 3
TOKEN_LIFETIME = "4h"

Manifest = Mapping[str, Any]


class ForbiddenByCluster(AssertionError):
    """kubectl says that RBAC does not allow it."""


@dataclass(frozen=True)
class KubeCluster:
    """A cluster, through the kubeconfig of its administrator (or of anyone else, see `as_user`)."""

    kubeconfig: Path
    kubectl_path: Path

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return str(self._cluster_entry()["server"])

    @property
    def ca_pem(self) -> str:
        """The authority behind the API server's certificate; empty where it is one of the system's."""
        return base64.b64decode(self._cluster_entry().get("certificate-authority-data", "")).decode()

    def _cluster_entry(self) -> dict[str, Any]:
        view = json.loads(self.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        entry: dict[str, Any] = view["clusters"][0]["cluster"]
        return entry

    def kubectl(self, *arguments: str | Path, stdin: str = "", timeout: float = 900.0) -> str:
        """What kubectl prints; its words are the message of the AssertionError when it fails."""
        command = [str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), *(str(part) for part in arguments)]
        environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
        done = subprocess.run(
            command,
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            # without it kubectl keeps what it discovered in ~/.kube/cache
            env={**environment, "KUBECACHEDIR": str(self.kubeconfig.parent / "kubectl-cache")},
        )
        if done.returncode:
            words = f"kubectl {' '.join(command[3:])} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
            raise (ForbiddenByCluster if "(Forbidden)" in done.stderr else AssertionError)(words)
        return done.stdout

    def apply(self, *manifests: Manifest, namespace: str = "") -> None:
        """Create or change objects (server-side, in one call)."""
        scope = ["--namespace", namespace] if namespace else []
        document = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        command = ["apply", "--server-side", "--force-conflicts", "--field-manager=tests", "-f", "-", *scope]
        self.kubectl(*command, stdin=json.dumps(document))

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """One object; None when it is not there."""
        scope = ["--namespace", namespace] if namespace else []
        text = self.kubectl("get", kind, name, *scope, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text.strip() else None

    def list(self, kind: str, namespace: str = "", selector: str = "") -> list[dict[str, Any]]:
        """Objects of a kind, of every namespace when none is given."""
        command = ["get", kind, "-o", "json", *(["--namespace", namespace] if namespace else ["--all-namespaces"])]
        items: list[dict[str, Any]] = json.loads(
            self.kubectl(*command, *(["--selector", selector] if selector else []))
        )["items"]
        return items

    @contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """A new namespace with its default ServiceAccount; it is deleted at the end, in the background."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        try:
            self.await_object("serviceaccount", "default", name)
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def await_object(self, kind: str, name: str, namespace: str = "", timeout: float = 300.0) -> dict[str, Any]:
        """One object, as soon as it is there."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.get(kind, name, namespace)
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{kind} {namespace}/{name} did not appear within {timeout:g} s")
            time.sleep(0.1)

    def as_user(
        self, folder: Path, namespace: str, name: str, rules: Sequence[Manifest] = (), *, cluster_wide: bool = False
    ) -> KubeCluster:
        """The cluster as a ServiceAccount of `namespace` sees it, which may do what `rules` (of a Role) allow, no more.

        `cluster_wide` makes the rules hold in every namespace. The kubeconfig is written into `folder`.
        """
        scope = "" if cluster_wide else namespace
        full_name = f"{namespace}-{name}" if cluster_wide else name
        kind = "ClusterRole" if cluster_wide else "Role"
        metadata = {"name": full_name, **({"namespace": scope} if scope else {})}
        api = "rbac.authorization.k8s.io"
        self.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
            {"apiVersion": f"{api}/v1", "kind": kind, "metadata": metadata, "rules": list(rules)},
            {
                "apiVersion": f"{api}/v1",
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": {"apiGroup": api, "kind": kind, "name": full_name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
            },
        )
        path = folder / f"{namespace}-{name}.kubeconfig"
        token = self.token(namespace, name)
        _write_kubeconfig(path, self._cluster_entry(), token, namespace=namespace, user=name)
        user = KubeCluster(path, self.kubectl_path)
        if rules:
            user._await_right(rules[0], namespace)
        return user

    def _await_right(self, rule: Manifest, namespace: str, timeout: float = 300.0) -> None:
        """Wait until what decides about requests has heard of a new rule, which is some time after it was written."""
        (verb, *_verbs), (resource, *_resources), (group, *_groups) = (
            rule[name] for name in ("verbs", "resources", "apiGroups")
        )
        what = "configmaps" if resource == "*" else f"{resource}.{group}" if group else resource
        names = rule.get("resourceNames", [])
        words = ["auth", "can-i", verb, "/".join([what, *names[:1]]), "--namespace", namespace]
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(AssertionError):
                self.kubectl(*words)
                return
            assert time.monotonic() < deadline, f"{' '.join(words)}: no"
            time.sleep(0.1)

    def token(self, namespace: str, service_account: str) -> str:
        """A token of a ServiceAccount that is there."""
        command = ["create", "token", service_account, "--namespace", namespace, f"--duration={TOKEN_LIFETIME}"]
        return self.kubectl(*command).strip()


@contextmanager
def kube_cluster(tools: Tools, folder: Path) -> Iterator[KubeCluster]:
    """The cluster that KUBECONFIG names, or one that is started here and ends here."""
    kubectl = Path(tools["kubectl"])
    with ExitStack() as stack:
        kubeconfig = _copy_given(kubectl, folder) if os.environ.get("KUBECONFIG") else _start(tools, folder, stack)
        yield KubeCluster(kubeconfig, kubectl)


def _copy_given(kubectl: Path, folder: Path) -> Path:
    """A copy: KUBECONFIG may be a list of files, and what kubectl caches goes beside it."""
    path = folder / "given.kubeconfig"
    path.touch(mode=0o600)
    view = [str(kubectl), "config", "view", "--raw", "--minify", "--flatten"]
    path.write_bytes(subprocess.run(view, check=True, capture_output=True).stdout)
    return path


def _start(tools: Tools, folder: Path, stack: ExitStack) -> Path:
    folder.chmod(0o700)
    # sockets in the working directory, which etcd and the API server share; etcd wants them named like host:port
    etcd_url, peer_url = "unix://etcd-clients:0", "unix://etcd-peers:0"
    # what tests put into the cluster on purpose
    belongs(folder / "etcd")
    etcd = stack.enter_context(
        _process(
            folder,
            [
                tools["etcd"],
                "--name=tests",
                "--data-dir=etcd",
                f"--listen-client-urls={etcd_url}",
                f"--advertise-client-urls={etcd_url}",
                f"--listen-peer-urls={peer_url}",
                f"--initial-advertise-peer-urls={peer_url}",
                f"--initial-cluster=tests={peer_url}",
                # nobody reads this data after a crash
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        )
    )
    certificate = create_server_certificate(folder)
    public, private = _service_account_keys(folder)
    tokens = {name: secrets.token_urlsafe(32) for name in ("admin", "controller-manager")}
    token_file = folder / "tokens.csv"
    token_file.touch(mode=0o600)
    token_file.write_text("".join(f'{token},{name},{name},"system:masters"\n' for name, token in tokens.items()))
    _await_etcd(etcd, folder)
    server = _start_api_server(
        stack,
        folder,
        [
            tools["kube-apiserver"],
            f"--etcd-servers={etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--tls-cert-file={certificate.cert}",
            f"--tls-private-key-file={certificate.key}",
            f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={private}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--token-auth-file={token_file}",
            "--endpoint-reconciler-type=none",
            "--allow-privileged=true",
        ],
        certificate.ca_cert,
        tokens["admin"],
    )
    ca_data = base64.b64encode(certificate.ca_cert.read_bytes()).decode("ascii")
    entry = {"server": server, "certificate-authority-data": ca_data}
    paths = {name: folder / f"{name}.kubeconfig" for name in tokens}
    for name, token in tokens.items():
        _write_kubeconfig(paths[name], entry, token, user=name)
    stack.enter_context(
        _process(
            folder,
            [
                tools["kube-controller-manager"],
                f"--kubeconfig={paths['controller-manager']}",
                f"--service-account-private-key-file={private}",
                f"--root-ca-file={certificate.ca_cert}",
                "--leader-elect=false",
                "--secure-port=0",
            ],
        )
    )
    return paths["admin"]


def _await_etcd(etcd: subprocess.Popen[bytes], folder: Path) -> None:
    """An API server that comes first would lose a second to its back-off."""
    deadline = time.monotonic() + START_TIMEOUT
    while not (folder / "etcd-clients:0").exists():
        if etcd.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"etcd did not start:\n{(folder / 'etcd.log').read_text(errors='replace')[-4000:]}")
        time.sleep(0.02)


def _start_api_server(stack: ExitStack, folder: Path, command: Sequence[str], ca_cert: Path, admin_token: str) -> str:
    """Its URL, as soon as it is ready."""
    for attempt in range(START_ATTEMPTS):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"https://127.0.0.1:{port}"
        with ExitStack() as trial:
            process = trial.enter_context(_process(folder, [*command, f"--secure-port={port}"]))
            if _becomes_ready(process, url, ca_cert, admin_token):
                stack.enter_context(trial.pop_all())
                return url
        log = (folder / "kube-apiserver.log").read_text(errors="replace")
        if "address already in use" not in log or attempt + 1 == START_ATTEMPTS:
            break
    raise RuntimeError(f"kube-apiserver did not start (exit code {process.returncode}):\n{log[-4000:]}")


def _becomes_ready(process: subprocess.Popen[bytes], url: str, ca_cert: Path, token: str) -> bool:
    context = ssl.create_default_context(cafile=str(ca_cert))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with opener.open(request, timeout=5):
                return True
        except OSError:
            time.sleep(0.1)
    return False


@contextmanager
def _process(folder: Path, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with this block; its output goes to NAME.log in `folder`."""
    with open(folder / f"{Path(command[0]).name}.log", "wb") as log:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            preexec_fn=end_with_parent,
        )
    try:
        yield process
    finally:
        # at once: the data is thrown away, and an API server waits a minute for clients that watch
        process.kill()
        process.wait()


def _service_account_keys(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    public, private = folder / "service-accounts.pub", folder / "service-accounts.key"
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return public, private


def _write_kubeconfig(path: Path, cluster: Manifest, token: str, *, user: str, namespace: str = "default") -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": dict(cluster)}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": user, "context": {"cluster": "tests", "user": user, "namespace": namespace}}],
        "current-context": user,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=2))  # JSON is YAML

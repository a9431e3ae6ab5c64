# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server behind a proxy, whose name only the proxy knows: the module, Helm and kubernetes.core go through it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from forward_proxy import ForwardProxy
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, edition, publish_chart
from support.tools import Tools

pytestmark = pytest.mark.once

NAME = "kube.test"
LOGIN = ("keeper", "of:the/proxy@27%keys")
USERINFO = "keeper:of%3Athe%2Fproxy%4027%25keys@"
# nothing listens there
WRONG = "http://127.0.0.1:9"


@pytest.mark.parametrize("helm", ["helm310", "helm", "helm4"])
@pytest.mark.parametrize("place", ["variable", "kubeconfig", "environment"])
def test_an_api_server_behind_a_proxy(
    role: RoleRunner,
    namespace: str,
    publisher: Publisher,
    tools: Tools,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    helm: str,
    place: str,
) -> None:
    publish_chart(publisher, "1.0.0", chart())
    role = dataclasses.replace(role, helm=tools[helm])
    server = urlsplit(role.cluster.server)
    assert server.hostname and server.port
    config = json.loads(role.cluster.kubeconfig.read_text())
    entry = config["clusters"][0]["cluster"]
    entry.update({"server": f"https://{NAME}:{server.port}", "tls-server-name": server.hostname})
    (tmp_path / "authority").mkdir()
    (tmp_path / "authority/ca.pem").write_text(role.cluster.ca_pem)
    # a path beside the kubeconfig means the same in a copy of the entry
    del entry["certificate-authority-data"]
    entry["certificate-authority"] = "authority/ca.pem"
    variables: dict[str, Any] = {"helm_release_kubeconfig": str(tmp_path / "kubeconfig")}
    with ForwardProxy(LOGIN, hosts={NAME: (server.hostname, server.port)}) as proxy:
        url = f"http://{USERINFO}{proxy.host}"
        # what comes later in the order leads nowhere
        monkeypatch.setenv("HTTPS_PROXY", url if place == "environment" else WRONG)
        monkeypatch.setenv("NO_PROXY", "other.test" if place == "environment" else "*")
        if place != "environment":
            entry["proxy-url"] = url if place == "kubeconfig" else WRONG
        if place == "variable":
            variables["helm_release_proxy"] = url
            variables["helm_release_objects"] = [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "first", "namespace": namespace}}
            ]
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        demo = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}
        releases = [{"name": "one", "namespace": namespace, "source": "demo", "timeout": "20s"}]
        run = role(demo, releases, **variables)
        assert not run.failed and run.releases["one"]["reason"] == "InstallSucceeded", run.message
        assert edition(role.cluster, namespace, "one") == "first"
        assert {request.target for request in proxy.log} == {f"{NAME}:{server.port}"}
        # each program opens a connection of its own
        assert len([request for request in proxy.log if request.status == 200]) > 1
    if place == "variable":
        assert role.cluster.get("configmap", "first", namespace) is not None
    assert LOGIN[1] not in run.output and USERINFO not in run.output

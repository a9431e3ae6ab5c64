# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of Helm, where a proxy is among the options."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.access import helm_environment
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeOptions

PROXY = "http://keeper:secret@proxy.test:3128"


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "scratch").mkdir()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [
            {"name": "one", "cluster": {"server": "https://one.test", "certificate-authority": "ca.pem"}},
            {"name": "two", "cluster": {"server": "https://two.test"}},
        ],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "one", "user": "me", "namespace": "n"}},
            {"name": "there", "context": {"cluster": "two", "user": "me"}},
        ],
    }


def read(path: str) -> dict[str, Any]:
    assert os.stat(path).st_mode & 0o077 == 0
    document: dict[str, Any] = json.loads(Path(path).read_text())
    return document


def in_use(document: dict[str, Any], environment: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The cluster and the context that Helm takes."""
    name = environment.get("HELM_KUBECONTEXT") or document["current-context"]
    (context,) = (each["context"] for each in document["contexts"] if each["name"] == name)
    (cluster,) = (each["cluster"] for each in document["clusters"] if each["name"] == context["cluster"])
    return cluster, context


@pytest.mark.parametrize("context", ["", "there"])
@pytest.mark.parametrize("place", ["option", "environment", "home", "mapping"])
def test_a_kubeconfig(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, context: str
) -> None:
    path = tmp_path / ("home/.kube/config" if place == "home" else "kubeconfig")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config))
    given: Any = {"option": str(path), "mapping": config}.get(place, "")
    if place == "environment":
        monkeypatch.setenv("KUBECONFIG", f"/none{os.pathsep}{path}")
    environment = helm_environment(
        KubeOptions(kubeconfig=given, context=context, proxy=PROXY), str(tmp_path / "scratch")
    )
    first, *others = environment["KUBECONFIG"].split(os.pathsep)
    cluster, used = in_use(read(first), environment)
    assert cluster["proxy-url"] == PROXY and cluster["server"] == (
        "https://two.test" if context else "https://one.test"
    )
    # users stay where they are
    assert used["user"] == "me" and (place == "mapping" or str(path) == others[-1])
    if place != "mapping" and not context:
        assert cluster["certificate-authority"] == str(path.parent / "ca.pem") and used["namespace"] == "n"
    assert set(environment) == {"KUBECONFIG", "HELM_KUBECONTEXT"}


def test_without_a_kubeconfig(config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del config
    scratch = str(tmp_path / "scratch")
    environment = helm_environment(KubeOptions(host="https://api.test", api_key="k", proxy=PROXY), scratch)
    cluster, _context = in_use(read(environment["KUBECONFIG"]), environment)
    assert cluster == {"server": "https://api.test", "proxy-url": PROXY}
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    environment = helm_environment(KubeOptions(proxy=PROXY), scratch)
    document = read(environment["KUBECONFIG"])
    cluster, _context = in_use(document, environment)
    assert (cluster["server"], cluster["proxy-url"]) == ("https://[fd00::1]:6443", PROXY)
    assert document["users"][0]["user"]["tokenFile"].endswith("/token")


@pytest.mark.parametrize(
    ("proxy", "of_helm"), [("socks5h://p:1", "socks5://p:1"), ("socks5://p:1", "socks5://p:1"), ("p:1", "http://p:1")]
)
def test_kinds_of_proxies(config: dict[str, Any], tmp_path: Path, proxy: str, of_helm: str) -> None:
    environment = helm_environment(KubeOptions(kubeconfig=config, proxy=proxy), str(tmp_path / "scratch"))
    assert in_use(read(environment["KUBECONFIG"]), environment)[0]["proxy-url"] == of_helm


def test_one_that_helm_does_not_know(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="a SOCKS proxy of version 4, which Helm cannot use"):
        helm_environment(KubeOptions(kubeconfig=config, proxy="socks4://p:1"), str(tmp_path / "scratch"))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that are made as another user, and what a refusal of them says."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import Forbidden, InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube import kubeconfig as kubeconfig_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.kubeconfig import (
    cluster_entry,
    impersonated_user,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.rest import KubeRest

USER = "system:serviceaccount:apps:deployer"
REFUSED = 'serviceaccounts "deployer" is forbidden: User "me" cannot impersonate resource "serviceaccounts"'


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An API server that lets nobody act as somebody else; its URL, and the headers of its requests."""
    seen: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_words: Any) -> None:
            pass

        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            is_refused = "impersonate-user" in seen[-1]
            body = json.dumps({"message": REFUSED} if is_refused else {"kind": "Secret"}).encode()
            self.send_response(403 if is_refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", seen
        running.shutdown()


def test_requests_as_another_user(server: tuple[str, list[dict[str, str]]]) -> None:
    url, seen = server
    api = KubeRest(KubeOptions(host=url, api_key="the-token-of-the-module"))
    assert api.acting_as("") is api
    other = api.acting_as(USER)
    with pytest.raises(Forbidden) as caught:
        other.get("/api/v1/namespaces/apps/secrets/x")
    assert "as another user" in str(caught.value) and REFUSED.rstrip(".") in str(caught.value)
    assert "'impersonate'" in str(caught.value) and "'service_account'" in str(caught.value)
    assert api.get("/api/v1/namespaces/apps/secrets/x") == {"kind": "Secret"}
    assert [each.get("impersonate-user") for each in seen] == [USER, None]
    assert {each["authorization"] for each in seen} == {"Bearer the-token-of-the-module"}
    # those of one run, whoever made them
    assert (api.requests, other.requests) == (2, 2)


def kubeconfig(url: str, **user: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": {"server": url}}],
        "users": [
            {"name": "other", "user": {"token": "another-token", "as": "nobody"}},
            {"name": "me", "user": {"token": "the-token-of-the-module", **user}},
        ],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "me"}}],
        "current-context": "one",
    }


def test_a_kubeconfig_that_acts_as_another_user(server: tuple[str, list[dict[str, str]]], tmp_path: Path) -> None:
    """Helm does so, and the client alone would not: what is done would be done with more rights than meant."""
    url, seen = server
    path = tmp_path / "config"
    path.write_text(json.dumps(kubeconfig(url, **{"as": "dev"})))
    for given in (kubeconfig(url, **{"as": "dev"}), str(path), f"{tmp_path}/none:{path}"):
        api = KubeRest(KubeOptions(kubeconfig=given))
        with pytest.raises(Forbidden):
            api.get("/anything")
        with pytest.raises(Forbidden):
            api.acting_as(USER).get("/anything")
    assert [each["impersonate-user"] for each in seen] == ["dev", USER] * 3
    assert KubeRest(KubeOptions(kubeconfig=kubeconfig(url))).get("/anything") == {"kind": "Secret"}
    for name, value in (("as-groups", ["admins"]), ("as-uid", "1"), ("as-user-extra", {"a": ["b"]})):
        with pytest.raises(InvalidOption, match=name):
            KubeRest(KubeOptions(kubeconfig=kubeconfig(url, **{"as": "dev", name: value})))


@pytest.mark.parametrize("kind", ["clusters", "contexts", "users"])
@pytest.mark.parametrize("entry", [{"name": "old"}, {"name": "old", "user": None}, {}, "old", None])
def test_an_entry_that_is_malformed_hides_no_other(kind: str, entry: Any) -> None:
    """The client does not mind it, and would act with all the rights of the account."""
    given = kubeconfig("https://api", **{"as": "dev"})
    given[kind].insert(0, entry)
    assert impersonated_user(given, "") == "dev"
    found = cluster_entry(given, "")
    assert found is not None and found.entry == {"server": "https://api"}


def test_a_kubeconfig_that_cannot_be_read_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    path.write_text(json.dumps(kubeconfig("https://api", **{"as": "dev"})))
    monkeypatch.setattr(kubeconfig_module, "MAX_KUBECONFIG", 100)
    with pytest.raises(InvalidOption, match="acts as another user cannot be said"):
        impersonated_user(str(path), "")
    assert cluster_entry(str(path), "") is None

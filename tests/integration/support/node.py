# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a node: it decides how Pods end, in a cluster that has no node."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.kube_api import KubeCluster

# Pods with this label get its value as their phase; those without it stay pending.
PHASE_LABEL = "tests/phase"
_PAUSE = 0.1


@contextmanager
def node(cluster: KubeCluster, namespace: str) -> Iterator[None]:
    """Ends the Pods of a namespace as their label says, while the block runs."""
    done = threading.Event()
    thread = threading.Thread(target=_run, args=(_Api(cluster, namespace), done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def pod(name: str, phase: str, hook: str = "", policy: str = "before-hook-creation") -> str:
    """The template of a Pod that ends in a phase, or never when it is empty; as a hook when one is named."""
    hooks = f'  annotations: {{"helm.sh/hook": "{hook}", "helm.sh/hook-delete-policy": "{policy}"}}\n' if hook else ""
    label = f'  labels: {{"{PHASE_LABEL}": "{phase}"}}\n' if phase else ""
    head = f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: '{{{{ .Release.Name }}}}-{name}'\n"
    tail = "spec:\n  restartPolicy: Never\n  containers: [{name: one, image: 'example.invalid/none:1'}]\n"
    return head + hooks + label + tail


class _Api:
    def __init__(self, cluster: KubeCluster, namespace: str) -> None:
        context = ssl.create_default_context(cadata=cluster.ca_pem)
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)
        self._token = _admin_token(cluster)
        self._pods = f"{cluster.server}/api/v1/namespaces/{namespace}/pods"

    def pods(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._call("GET", f"{self._pods}?labelSelector={PHASE_LABEL}")["items"]
        return items

    def end(self, name: str, phase: str) -> None:
        self._call("PATCH", f"{self._pods}/{name}/status", {"status": {"phase": phase}})

    def _call(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/merge-patch+json"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        with self._opener.open(request, timeout=10) as response:
            document: dict[str, Any] = json.loads(response.read())
        return document


def _admin_token(cluster: KubeCluster) -> str:
    view = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    return str(view["users"][0]["user"].get("token", ""))


def _run(api: _Api, done: threading.Event) -> None:
    while not done.wait(_PAUSE):
        try:
            for each in api.pods():
                wanted = each["metadata"]["labels"][PHASE_LABEL]
                if each["status"].get("phase") != wanted:
                    api.end(each["metadata"]["name"], wanted)
        except OSError:
            continue

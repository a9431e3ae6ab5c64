# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts to deploy, and the role helm_release on a registry and a cluster."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import HELM_LAYER, Blob, Publisher, digest_of, tgz, write_layout_of
from support.kube_api import KubeCluster
from support.servers import RegistryServer

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
ROLE = "cloudnative.artifacts.helm_release"
STEP = "one run of the role"

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  edition: EDITION
  values: {{ .Values | toJson | quote }}
"""


def chart(
    name: str = "demo", version: str = "1.0.0", edition: str = "first", values: str = "color: blue\n", **more: str
) -> bytes:
    """A packaged chart of one ConfigMap that shows its values; further files by name, with `__` for a slash."""
    files = {
        f"{name}/Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: '9.9'\n",
        f"{name}/values.yaml": values,
        f"{name}/templates/shown.yaml": CONFIG_MAP.replace("EDITION", edition),
    }
    files.update({f"{name}/{path.replace('__', '/')}": content for path, content in more.items()})
    return tgz(files)


def publish_chart(publisher: Publisher, tag: str, archive: bytes, media_type: str = HELM_LAYER) -> str:
    """Push a packaged chart as `helm push` does, under any tag; returns the digest of the manifest."""
    return publisher.publish(tag, [Blob(archive, media_type)], config=Blob(b"{}", HELM_CONFIG))


def downloads(registry: RegistryServer, start: int, archive: bytes) -> int:
    """How often a packaged chart was fetched since `start`."""
    path = f"/blobs/{digest_of(archive)}"
    return len([each for each in registry.requests(start) if each.method == "GET" and each.path.endswith(path)])


def write_chart_layout(folder: Path, tag: str, archive: bytes) -> str:
    """An OCI image layout with one chart; returns the digest of its manifest."""
    return write_layout_of(folder, tag, Blob(archive, HELM_LAYER), Blob(b"{}", HELM_CONFIG))


@dataclass
class RoleResult:
    """What a run of the role came to."""

    results: Sequence[TaskResult]

    @property
    def last(self) -> TaskResult:
        return self.results[-1]

    @property
    def failed(self) -> bool:
        return self.last.failed

    @property
    def changed(self) -> bool:
        return self.last.changed

    @property
    def message(self) -> str:
        return str(self.last.get("msg", ""))

    @property
    def reason(self) -> str:
        return str(self.last.get("reason", ""))

    @property
    def charts(self) -> dict[str, Any]:
        charts: dict[str, Any] = next(each["charts"] for each in self.results if "charts" in each)
        return charts

    @property
    def releases(self) -> dict[str, dict[str, Any]]:
        """By name, or by namespace/name where several have one name."""
        found: list[dict[str, Any]] = self.last["releases"]
        names = [each["name"] for each in found]
        return {
            each["name"] if names.count(each["name"]) == 1 else f"{each['namespace']}/{each['name']}": each
            for each in found
        }

    @property
    def actions(self) -> dict[str, str]:
        return {name: each["action"] for name, each in self.releases.items()}

    @property
    def statistics(self) -> dict[str, int]:
        statistics: dict[str, int] = self.last["statistics"]
        return statistics

    @property
    def output(self) -> str:
        return self.last.stdout + self.last.stderr


@dataclass
class Step:
    """One run of the role in a batch."""

    releases: Sequence[Mapping[str, Any]]
    check: bool = False
    diff: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class RoleRunner:
    """Runs the role on localhost."""

    ansible: AnsibleRunner
    cluster: KubeCluster
    helm: str
    cache: Path

    def __call__(
        self,
        sources: Mapping[str, Any],
        releases: Sequence[Mapping[str, Any]],
        *,
        check: bool = False,
        diff: bool = False,
        flags: Sequence[str] = (),
        **variables: Any,
    ) -> RoleResult:
        return RoleResult(
            self.ansible.tasks(
                [{"name": "the role", "ansible.builtin.include_role": {"name": ROLE}}],
                check=check,
                diff=diff,
                flags=flags,
                # with -vvv, what modules were given is shown, as older cores do it without asking
                controller_environment={"ANSIBLE_INJECT_INVOCATION": "1"},
                vars={**self.variables(sources, releases), **variables},
            )
        )

    def batch(self, sources: Mapping[str, Any], *steps: Step) -> list[RoleResult]:
        """Run the role several times in one run of Ansible, in which each source is resolved once."""
        tasks = []
        for step in steps:
            include = {"name": STEP, "ansible.builtin.include_role": {"name": ROLE}}
            variables = {**self.variables(sources, step.releases), **step.variables}
            modes = {"check_mode": step.check, "diff": step.diff}
            # a step that fails does not end the run
            rescue = [{"name": "Go on", "ansible.builtin.meta": "noop"}]
            tasks.append({"block": [include], "rescue": rescue, "vars": variables, **modes})
        results = self.ansible.tasks(tasks)
        starts = [number for number, result in enumerate(results) if result.task == STEP]
        assert len(starts) == len(steps), results[-1].get("msg")
        return [RoleResult(results[start:end]) for start, end in zip(starts, [*starts[1:], None])]

    def playbook(
        self, folder: Path, sources: Mapping[str, Any], releases: Sequence[Mapping[str, Any]], **more: Any
    ) -> Path:
        """A playbook that runs the role on localhost."""
        path = folder / f"role-{secrets.token_hex(4)}.yml"
        play = {"hosts": "localhost", "gather_facts": False, "vars": {**self.variables(sources, releases), **more}}
        path.write_text(json.dumps([{**play, "roles": [ROLE]}]))  # JSON is YAML
        return path

    def variables(self, sources: Mapping[str, Any], releases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "helm_release_sources": dict(sources),
            "helm_release_releases": list(releases),
            "helm_release_kubeconfig": str(self.cluster.kubeconfig),
            "helm_release_helm": self.helm,
            "helm_release_cache_dir": str(self.cache),
        }


def shown_values(cluster: KubeCluster, namespace: str, release: str) -> dict[str, Any]:
    """The values that a release of `chart` was rendered with."""
    found = cluster.get("configmap", release, namespace)
    assert found is not None, f"{namespace}/{release} has deployed nothing"
    values: dict[str, Any] = json.loads(found["data"]["values"])
    return values


def edition(cluster: KubeCluster, namespace: str, release: str) -> str:
    """Which `edition` of `chart` a release has deployed; empty when nothing is there."""
    found = cluster.get("configmap", release, namespace)
    return "" if found is None else str(found["data"]["edition"])


def history(cluster: KubeCluster, namespace: str, release: str) -> list[tuple[int, str]]:
    """Number and status of each revision that Helm keeps, the oldest first."""
    found = cluster.list("secret", namespace, f"owner=helm,name={release}")
    labels = [each["metadata"]["labels"] for each in found]
    return sorted((int(each["version"]), each["status"]) for each in labels)


def stored_release(cluster: KubeCluster, namespace: str, release: str, revision: int) -> dict[str, Any]:
    """What Helm has stored about a revision."""
    secret = cluster.get("secret", f"sh.helm.release.v1.{release}.v{revision}", namespace)
    assert secret is not None
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    document: dict[str, Any] = json.loads(gzip.decompress(packed))
    return document

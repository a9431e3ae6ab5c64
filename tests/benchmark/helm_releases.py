# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What many releases of one chart cost: the role helm_release beside plain kubernetes.core.helm, on one cluster.

    python tests/benchmark/helm_releases.py [--releases 200] [--others 40] [--helm helm|helm4|helm310]

Needs what the integration tests need (tests/support/requirements-tests.txt, ansible-core, tests/tools/fetch.py), in the
environment that runs it. Prints a table in reStructuredText; CPU seconds are those of all processes on this side of the
registry and the API server, as the kernel counts them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / folder) for folder in ("benchmark", "integration", "support")]

from collection_tree import make_tree
from goals import GOALS
from kubernetes_core import place_kubernetes_core
from report import Outcome
from results import list_table
from support import servers
from support.artifacts import Publisher
from support.helm import ROLE, chart, publish_chart
from support.kube_api import KubeCluster, kube_cluster
from support.servers import RegistryServer
from support.tools import Tools

COUNTED = re.compile(r"^apiserver_request_total\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass
class Cost:
    """What one run of ansible-playbook took."""

    what: str
    releases: int
    wall: float
    cpu: float
    helm: int
    api: int
    registry: int
    blobs: int
    changed: str

    def row(self) -> list[str]:
        each = self.releases
        return [
            self.what,
            str(each),
            f"{self.wall:.1f}",
            f"{self.cpu / each:.3f}",
            f"{self.helm / each:.2f}",
            f"{self.api / each:.2f}",
            str(self.registry),
            str(self.blobs),
        ]


class Bench:
    def __init__(self, folder: Path, cluster: KubeCluster, registry: RegistryServer, helm: str) -> None:
        self.folder = folder
        self.cluster = cluster
        self.registry = registry
        self.tree = folder / "tree"
        self.command = str(Path(sys.executable).parent / "ansible-playbook")
        make_tree(CHECKOUT, self.tree)
        place_kubernetes_core(self.tree)
        self.count = folder / "helm.count"
        self.helm = folder / "helm"
        # counts, and becomes Helm
        self.helm.write_text(f'#!/bin/sh\necho >> "{self.count}"\nexec "{helm}" "$@"\n')
        self.helm.chmod(0o755)
        view = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        self._token = view["users"][0]["user"]["token"]
        self._context = ssl.create_default_context(cadata=cluster.ca_pem)

    def api_requests(self) -> int:
        headers = {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(f"{self.cluster.server}/metrics", headers=headers)
        with urllib.request.urlopen(request, context=self._context, timeout=30) as response:
            return int(sum(float(value) for value in COUNTED.findall(response.read().decode())))

    def idle_rate(self, seconds: float = 5.0) -> float:
        """Requests per second that the cluster's own controllers make."""
        before = self.api_requests()
        time.sleep(seconds)
        return (self.api_requests() - before - 1) / seconds

    def measure(self, what: str, releases: int, play: Mapping[str, Any]) -> Cost:
        path = self.folder / "play.yml"
        path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, **play}]))  # JSON is YAML
        self.count.write_text("")
        rate, mark, api = self.idle_rate(), self.registry.mark(), self.api_requests()
        usage, started = _usage(), time.monotonic()
        done = subprocess.run(
            [self.command, str(path)],
            check=False, capture_output=True, text=True, cwd=self.folder, env=self.environment(),
        )  # fmt: skip
        wall, cpu = time.monotonic() - started, _usage() - usage
        api = self.api_requests() - api - 1 - int(rate * wall)
        if done.returncode:
            raise SystemExit(f"{what} failed\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")
        requests = self.registry.requests(mark)
        blobs = [each for each in requests if each.method == "GET" and "/blobs/" in each.path]
        recap = re.search(r"changed=(\d+)", done.stdout)
        cost = Cost(
            what, releases, wall, cpu, self.count.read_text().count("\n"), max(api, 0), len(requests), len(blobs),
            recap[1] if recap else "?",
        )  # fmt: skip
        print(f"  {what}: {cost.wall:.1f} s, {cost.cpu:.1f} CPU s, {cost.helm} helm, {cost.api} API, "
              f"{cost.registry} registry requests, {cost.blobs} blobs, changed={cost.changed}", flush=True)  # fmt: skip
        return cost

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "K8S_AUTH_"))}
        return {
            **kept,
            "HOME": str(self.folder),
            "ANSIBLE_REMOTE_TMP": str(self.folder / ".ansible/tmp"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.tree),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "LC_ALL": "C.UTF-8",
        }


def _usage() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def role_play(bench: Bench, ref: str, releases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    variables = {
        "helm_release_sources": {"demo": {"ref": ref, "insecure": True}},
        "helm_release_releases": list(releases),
        "helm_release_defaults": {"namespace": "ours", "source": "demo", "create_namespace": True},
        "helm_release_kubeconfig": str(bench.cluster.kubeconfig),
        "helm_release_helm": str(bench.helm),
        "helm_release_cache_dir": str(bench.folder / "cache"),
    }
    return {"vars": variables, "roles": [ROLE]}


def core_play(bench: Bench, names: Sequence[str], **more: Any) -> dict[str, Any]:
    options = {
        "name": "{{ item }}",
        "release_namespace": "theirs",
        "create_namespace": True,
        "values": {"owner": "{{ item }}"},
        "kubeconfig": str(bench.cluster.kubeconfig),
        "binary_path": str(bench.helm),
        "wait": True,
        **more,
    }
    return {"tasks": [{"name": "Deploy", "kubernetes.core.helm": options, "loop": list(names)}]}


def run(bench: Bench, count: int, others: int) -> list[Cost]:
    publisher = Publisher(bench.registry.host, "charts/demo")
    archive = chart()
    publish_chart(publisher, "1.0.0", archive)
    local = bench.folder / "demo-1.0.0.tgz"
    local.write_bytes(archive)
    names = [f"tenant-{number:03}" for number in range(count)]
    releases: list[dict[str, Any]] = [{"name": name, "values": {"owner": name}} for name in names]
    ref = f"{publisher.name}:1.0.0"
    costs = [
        bench.measure("role, first run", count, role_play(bench, ref, releases)),
        bench.measure("role, unchanged", count, role_play(bench, ref, releases)),
        bench.measure("role, one release, unchanged", 1, role_play(bench, ref, releases[:1])),
    ]
    remote = {"chart_ref": publisher.url, "chart_version": "1.0.0", "plain_http": True}
    costs += [
        bench.measure("kubernetes.core.helm, first run", others, core_play(bench, names[:others], **remote)),
        bench.measure("kubernetes.core.helm, unchanged", others, core_play(bench, names[:others], **remote)),
        bench.measure(
            "kubernetes.core.helm with a local chart, unchanged",
            others,
            core_play(bench, names[:others], chart_ref=str(local)),
        ),
        bench.measure("kubernetes.core.helm, one release, unchanged", 1, core_play(bench, names[:1], **remote)),
    ]
    changed = [{**releases[0], "values": {"owner": "somebody else"}}, *releases[1:]]
    costs.append(bench.measure("role, values of one release changed", count, role_play(bench, ref, changed)))
    publish_chart(publisher, "1.0.0", chart(edition="second"))
    costs.append(bench.measure("role, new digest under the same tag", count, role_play(bench, ref, changed)))
    return costs


def rows(costs: Sequence[Cost]) -> list[list[str]]:
    head = ["What", "Releases", "Seconds", "CPU s each", "helm runs each", "API requests each", "Registry", "Downloads"]
    return [head, *(cost.row() for cost in costs)]


def outcomes(costs: Sequence[Cost]) -> list[Outcome]:
    """The goals for a run that finds nothing new, with what was found: CPU of a release, requests of the whole run."""
    found = {cost.what: cost for cost in costs}
    values = {"cpu": lambda cost: cost.cpu / cost.releases, "registry": lambda cost: float(cost.registry)}
    outcomes = []
    for goal in GOALS["releases"]:
        value = values[goal.what]
        mine = value(found[goal.peer])
        outcomes.append(Outcome(goal, mine / value(found[goal.base]) if goal.base else mine))
    return outcomes


def goal_rows(costs: Sequence[Cost]) -> list[list[str]]:
    return [["Goal", "At most", "Found", ""], *(outcome.cells() for outcome in outcomes(costs))]


def main() -> None:
    parser = argparse.ArgumentParser(description="What many releases of one chart cost.")
    parser.add_argument("--releases", type=int, default=200, help="releases of the role")
    parser.add_argument("--others", type=int, default=40, help="releases of kubernetes.core.helm")
    parser.add_argument("--helm", default="helm", choices=["helm", "helm4", "helm310"])
    arguments = parser.parse_args()
    os.environ.pop("KUBECONFIG", None)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
    costs = measured(arguments.releases, arguments.others, arguments.helm)
    print("\n".join([*list_table(rows(costs)), "", *list_table(goal_rows(costs))]))


def measured(releases: int, others: int, helm: str = "helm") -> list[Cost]:
    """Measure so many releases of the role, and so many of kubernetes.core.helm, on a cluster of their own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="helm-releases-bench-")))
        for name in ("kube", "registry"):
            (folder / name).mkdir()
        tools = Tools(home=folder)
        cluster = stack.enter_context(kube_cluster(tools, folder / "kube"))
        registry = stack.enter_context(servers.distribution(Path(tools["registry"]), folder / "registry"))
        return run(Bench(folder, cluster, registry, tools[helm]), releases, others)


if __name__ == "__main__":
    main()

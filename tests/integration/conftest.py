# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests that run the real ansible-playbook against real registries on the loopback address."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from collection_tree import make_tree
from kubernetes_core import place_kubernetes_core
from pythons import discover
from secret_search import SEARCH
from skips import refuse_skips
from support import servers
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.certificates import ServerCertificate, create_server_certificate
from support.helm import RoleRunner
from support.kube_api import KubeCluster, kube_cluster
from support.servers import RegistryServer
from support.ssh_host import SshHost, ssh_host
from support.tools import Tools
from token_server import TokenServer
from venvs import make_debian_venv

CHECKOUT = Path(__file__).resolve().parents[2]


# they take a minute and more: begun last, one of them would keep one processor busy and the other one waiting
LONGEST = (
    "test_lock_file.py::test_the_story_of_a_lock_file",
    "test_examples.py::test_examples",
    "test_helm_release.py::test_two_hundred_releases",
    "test_operators_day.py::test_a_day_of_an_operator",
    "test_fleet_relay.py::test_runs_that_are_killed",
    "test_both_ways.py::test_results_output_and_files_are_the_same[pulls]",
    "test_kubernetes_lookups.py::test_pull_secrets",
    "test_fleet.py::test_two_hundred_hosts_read_everything_once",
    "test_carried.py::test_an_unchanged_pull_is_carried_nearly_as_small_as_a_task_that_does_nothing",
)


def pytest_configure(config: pytest.Config) -> None:
    refuse_skips(config)


@pytest.hookimpl(trylast=True)  # when those that were not asked for are gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: each worker of xdist is first given one row of items, all of about one length."""
    longest = [item for item in items if item.nodeid.endswith(LONGEST)]
    others = [item for item in items if item not in longest]
    longest.sort(key=lambda item: [item.nodeid.endswith(each) for each in LONGEST], reverse=True)
    workers, left, rows = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), len(items), []
    for worker in range(workers):
        own = longest[worker::workers]
        size = left // (workers - worker) - len(own)
        rows += own + others[: max(0, size)]
        del others[: max(0, size)]
        left -= left // (workers - worker)
    items[:] = rows + others


@pytest.fixture(scope="session", autouse=True)
def _no_secret_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The last thing of a run, in each of its processes: none of its secrets is where it should not be.

    It is set up before all other fixtures, so that servers have ended and logs are complete when it searches.
    """
    SEARCH.register("vector-password", "the password of the vectors' keys")
    for pattern in ("*.key", "*.raw.pem"):
        for key in (CHECKOUT / "tests/vectors/keys").glob(pattern):
            SEARCH.register_key(key)
    with SEARCH.over(tmp_path_factory.getbasetemp()):
        yield
    findings = SEARCH.findings()
    SEARCH.forget()
    if findings:
        pytest.fail("\n".join(["secrets were found where they should not be:", *findings]), pytrace=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, text in report.sections:
        SEARCH.capture(f"{report.nodeid} ({name})", text)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """External programs by name; one that is missing skips the test, or fails it in CI."""
    return Tools(home=tmp_path_factory.mktemp("tools-home"))


@pytest.fixture(scope="session")
def server_certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    """The certificate of tls_registry, of a private authority."""
    return create_server_certificate(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def registry(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """Distribution over plain HTTP."""
    with servers.distribution(Path(tools["registry"]), tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="session")
def htpasswd_registry(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """Distribution over plain HTTP that asks for .username and .password."""
    folder = tmp_path_factory.mktemp("htpasswd-registry")
    with servers.distribution(Path(tools["registry"]), folder, htpasswd=True) as server:
        yield server


@pytest.fixture(scope="session")
def token_server() -> Iterator[TokenServer]:
    """What gives the tokens for token_registry; a user of its own for each test that counts them."""
    with TokenServer() as server:
        yield server


@pytest.fixture(scope="session")
def token_registry(
    tools: Tools, token_server: TokenServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    """Distribution over plain HTTP that takes the tokens of token_server."""
    folder = tmp_path_factory.mktemp("token-registry")
    with servers.distribution(Path(tools["registry"]), folder, tokens=token_server) as server:
        yield server


@pytest.fixture(scope="session")
def tls_registry(
    tools: Tools, server_certificate: ServerCertificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    """Distribution over TLS; only .ca_cert vouches for it."""
    folder = tmp_path_factory.mktemp("tls-registry")
    with servers.distribution(Path(tools["registry"]), folder, certificate=server_certificate) as server:
        yield server


@pytest.fixture(scope="session")
def oci11_registry(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry over plain HTTP with the referrers API of OCI 1.1."""
    with servers.oci11(Path(tools["oci11-registry"]), tmp_path_factory.mktemp("oci11-registry")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeCluster]:
    """A Kubernetes API with RBAC and controllers but no node: of KUBECONFIG, else started for this run."""
    with kube_cluster(tools, tmp_path_factory.mktemp("kube")) as running:
        yield running


@pytest.fixture(scope="session")
def collections_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds ansible_collections/cloudnative/artifacts; COLLECTIONS_TREE names a ready one."""
    ready = os.environ.get("COLLECTIONS_TREE")
    if ready:
        return Path(ready)
    tree = tmp_path_factory.mktemp("collections")
    make_tree(CHECKOUT, tree)
    place_kubernetes_core(tree)
    return tree


@pytest.fixture(scope="session")
def ansible(collections_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> AnsibleRunner:
    """Runs modules and playbooks; TARGET_PYTHON names the interpreter the modules get (default: this one)."""
    target_python = os.environ.get("TARGET_PYTHON") or sys.executable
    return AnsibleRunner(collections_tree, tmp_path_factory.mktemp("ansible-home"), target_python)


@pytest.fixture(scope="session")
def debian_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with what a plain Debian 12 has; DEBIAN_PYTHON names a ready one."""
    ready = os.environ.get("DEBIAN_PYTHON")
    return ready or str(make_debian_venv(tmp_path_factory.mktemp("debian") / "12", discover()) / "python")


@pytest.fixture(scope="session")
def second_host(ansible: AnsibleRunner, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    """A host behind a real SSH connection, with a home and an environment of its own."""
    with ssh_host(tools, tmp_path_factory.mktemp("second-host"), ansible.target_python) as host:
        yield host


@pytest.fixture
def role(ansible: AnsibleRunner, cluster: KubeCluster, tools: Tools, tmp_path: Path) -> RoleRunner:
    """The role helm_release with Helm 3, on localhost, with a cache of the test's own."""
    return RoleRunner(ansible, cluster, tools["helm"], tmp_path / "cache")


@pytest.fixture
def namespace(cluster: KubeCluster) -> Iterator[str]:
    """A namespace of the test's own."""
    with cluster.namespace("role") as name:
        yield name


@pytest.fixture
def publisher(registry: RegistryServer, request: pytest.FixtureRequest) -> Publisher:
    """Publishes into a repository of the test's own."""
    return Publisher(registry.host, f"charts/{request.node.name.partition('[')[0].replace('_', '-')}")

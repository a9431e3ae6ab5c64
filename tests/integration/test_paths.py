# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths with ``$VAR`` and ``~``: one rule for all options, wherever they stand, on the host that runs the module."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner
from support.artifacts import contents
from support.servers import RegistryServer

pytestmark = pytest.mark.once

PUSH, PULL, SIGN, VERIFY, INFO, CACHE = (
    f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("push", "pull", "sign", "verify", "info", "cache")
)
CHARTS, LOGIN = "cloudnative.artifacts.helm_chart_sources", "cloudnative.artifacts.oci_registry_login"
LAYOUT = "oci-layout:$PLACE/layout:1"
KEYS = {"public_keys": ["~/keys/p384.pub"]}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """What the tasks find in $PLACE, which is the home of their user as well."""
    folder = tmp_path / "place"
    (folder / "content").mkdir(parents=True)
    (folder / "content/app.yaml").write_text("a: 1\n")
    shutil.copytree(vectors.ROOT / "keys", folder / "keys")
    (folder / "odd").write_text("neither JSON nor PEM")
    (folder / "chart").mkdir()
    (folder / "chart/Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 1.0.0\n")
    return folder


def works(place: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Tasks that end well when each path is found."""
    return {
        "push": (PUSH, {"ref": LAYOUT, "path": "$PLACE/content"}),
        "push files": (
            PUSH,
            {"ref": "oci-layout:~/files:1", "type": "files", "path": [{"path": "~/content/app.yaml"}, "${PLACE}/odd"]},
        ),
        "push a chart": (
            PUSH,
            {
                "url": "oci-layout:$PLACE/charts",
                "type": "helm",
                "path": "$PLACE/chart",
                "sign": {"key": "$PLACE/keys/p384.raw.pem"},
            },
        ),
        "sign": (SIGN, {"ref": LAYOUT, "key": "~/keys/p384.raw.pem"}),
        "verify": (VERIFY, {"ref": LAYOUT, **KEYS}),
        "pull": (PULL, {"ref": LAYOUT, "dest": "$PLACE/one", "verify": {"public_keys": ["$PLACE/keys/p384.pub"]}}),
        "pull a list": (PULL, {"artifacts": [{"ref": LAYOUT, "dest": "~/two", "verify": KEYS}]}),
        "info": (INFO, {"ref": "oci-layout:~/layout:1"}),
        "charts": (
            CHARTS,
            {"sources": {"demo": {"ref": "oci-layout:$PLACE/charts:1.0.0", "verify": KEYS}}, "cache_dir": "~/charts.d"},
        ),
        "cache": (CACHE, {"cache_dir": "$PLACE/charts.d"}),
    }


def refused(host: str) -> dict[str, tuple[str, dict[str, Any], str]]:
    """Tasks that say what is wrong with the content of a file, which they can only know when they have found it."""
    there = {"ref": f"{host}/a:1", "dest": "$PLACE/none", "retries": 0}
    odd = "$PLACE/odd"
    statement = {
        "name": "any",
        "registryScopes": ["*"],
        "signatureVerification": {"level": "strict"},
        "trustStores": ["ca:x"],
        "trustedIdentities": ["*"],
    }
    notation = {"provider": "notation", "trust_policy": {"version": "1.0", "trustPolicies": [statement]}}
    stores = {"trust_policy": odd, "trust_store": ["~/odd"]}
    return {
        "ca_cert": (PULL, {**there, "ca_cert": odd}, "no certificate or crl found"),
        "client_cert": (PULL, {**there, "client_cert": odd, "client_key": "~/odd"}, "'client_cert' is not PEM text"),
        "mirrors": (PULL, {**there, "mirrors": {host: {"url": host, "ca_cert": "~/odd"}}}, "no certificate or crl"),
        "auth_file": (PULL, {**there, "auth_file": odd}, "/odd is not JSON"),
        "trusted_root": (VERIFY, {"ref": LAYOUT, "any_identity": True, "trusted_root": odd}, "/odd' is not JSON"),
        "trust_policy": (VERIFY, {"ref": LAYOUT, "signature_provider": "notation", **stores}, "is not a JSON object"),
        "trust_store": (
            PULL,
            {**there, "ref": LAYOUT, "verify": {**notation, "trust_store": {"ca:x": [odd]}}},
            "/odd is not a usable certificate",
        ),
        "config_file": (LOGIN, {"registry": host, "state": "absent", "config_file": "~/odd"}, "/odd is not JSON"),
    }


def test_paths(ansible: AnsibleRunner, tls_registry: RegistryServer, place: Path) -> None:
    good, bad = works(place), refused(tls_registry.host)
    results = ansible.tasks(
        [
            *({"name": name, module: options, "ignore_errors": True} for name, (module, options) in good.items()),
            *(
                {"name": name, module: options, "ignore_errors": True}
                for name, (module, options, _words) in bad.items()
            ),
        ],
        environment={"PLACE": str(place), "HOME": str(place)},
    )
    found = {result.task: result for result in results}
    assert {name: found[name].get("msg") for name in good if found[name].failed} == {}
    assert contents(place / "one") == contents(place / "two") == {"app.yaml": "a: 1\n"}
    assert (place / "charts.d").is_dir() and (place / "files/index.json").exists()
    for name, (_module, _options, words) in bad.items():
        assert found[name].failed and words in found[name]["msg"], (name, found[name]["msg"])
    # nothing is named after the variable
    assert [path for path in place.parent.rglob("*") if "$" in path.name or "~" in path.name] == []


def test_variables_of_the_environment_are_paths_too(ansible: AnsibleRunner, place: Path) -> None:
    environment = {"PLACE": str(place), "HOME": str(place), "OCI_ARTIFACT_CACHE_DIR": "$PLACE/kept"}
    pull = {PULL: {"ref": LAYOUT, "dest": "~/one"}, "environment": environment}
    push = {PUSH: {"ref": LAYOUT, "path": "~/content"}, "environment": environment}
    show = {CACHE: {}, "environment": environment}
    *others, cache = ansible.tasks([push, pull, show])
    assert not any(result.failed for result in others), others
    assert cache["cache"]["path"] == str(place / "kept"), cache

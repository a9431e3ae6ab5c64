# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible and ansible-playbook print with -vvv about options in which a secret is where it should not be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import secret_search
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.helm import chart, publish_chart
from support.servers import RegistryServer

SHOW = {"ANSIBLE_INJECT_INVOCATION": "1"}
ROLE = "cloudnative.artifacts.helm_release"


def key(secret: str) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{secret}{'a' * 40}\n{'b' * 20}{secret}\n-----END PRIVATE KEY-----\n"


def test_misplaced_secrets_are_not_printed(ansible: AnsibleRunner, tmp_path: Path) -> None:
    secret = secret_search.new_secret()
    kubeconfig = f"apiVersion: v1\nkind: Config\nusers: [{{name: u, user: {{token: '{secret}$HOME'}}}}]\n"
    push = {"ref": "127.0.0.1:9/org/app:1", "path": str(tmp_path), "retries": 0}
    pull = {"ref": "127.0.0.1:9/org/app:1", "dest": str(tmp_path / "dest"), "retries": 0}
    release = {"name": "a", "state": "absent"}
    one = {"kubeconfig": "/none", "releases": [release]}
    variables = {
        "helm_release_sources": {},
        "helm_release_releases": [release],
        "helm_release_kubeconfig": "/none",
        "helm_release_cache_dir": str(tmp_path / "cache"),
    }
    cases: list[tuple[str, dict[str, Any]]] = [
        ("oci_artifact_push", {**push, "sign": {"pasword": secret, "key": "/none"}}),
        ("oci_artifact_push", {**push, "sign": f"password={secret}"}),
        ("oci_artifact_push", {**push, "source": f"https://ci:{secret}@git.test/x"}),
        ("oci_artifact_pull", {**pull, "client_cert": key(secret)}),
        ("oci_artifact_pull", {**pull, "ca_cert": key(secret)}),
        ("oci_artifact_pull", {**pull, "verify": {"public_keys": [key(secret)]}}),
        ("oci_artifact_pull", {**pull, "ref": f"https://ci:{secret}@127.0.0.1:9/org/app"}),
        ("oci_artifact_pull", {**pull, "ref": f"ci:{secret}/x@127.0.0.1:9/org/app"}),
        ("oci_artifact_pull", {"url": f"oci://ci:{secret}@127.0.0.1:9/org/app", "dest": str(tmp_path / "dest")}),
        ("oci_artifact_pull", {**pull, "pasword": secret}),
        ("oci_artifact_pull", {"artifacts": [{**pull, "password": [secret], "pasword": {"a": secret}}]}),
        ("oci_artifact_pull", {**pull, "mirrors": {"docker.io": [{"url": f"https://u:{secret}@m", "pw": secret}]}}),
        ("oci_artifact_info", {"ref": pull["ref"], "proxy": f"htp://u:{secret}@proxy:1", "retries": 0}),
        ("helm_chart_sources", {"sources": {"a": {"ref": pull["ref"], "pasword": secret}}}),
        ("helm_chart_sources", {"sources": {"a": {"ref": pull["ref"], "client_cert": key(secret)}}}),
        ("helm_chart_sources", {"sources": f"a: {secret}"}),
        ("helm_releases", {**one, "kubeconfig": kubeconfig}),
        ("helm_releases", {**one, "kubeconfig": kubeconfig.replace("\n", " ")}),
        ("helm_releases", {**one, "kubeconfig": f"{secret}-$HOME"}),
        ("helm_releases", {**one, "client_cert": key(secret)}),
        ("helm_releases", {**one, "client_key": key(secret)}),
        ("helm_releases", {**one, "host": f"https://u:{secret}@cluster.test"}),
        ("helm_releases", {**one, "releases": [{**release, "valuess": {"password": secret}}]}),
        ("helm_releases", {**one, "releases": [{**release, "values": f"password: {secret}"}]}),
        ("helm_releases", {**one, "releases": f"password={secret}"}),
        ("helm_releases", {**one, "defaults": f"password={secret}", "releases": [{"nam": "x"}]}),
        ("helm_releases", {**one, "defaults": {"valuess": {"password": secret}}}),
        ("oci_registry_login", {"registry": "127.0.0.1:9", "username": "u", "pasword": secret}),
        ("oci_registry_login", {"registry": f"https://u:{secret}@127.0.0.1:9", "username": "u", "password": secret}),
        ("include_role", {**variables, "helm_release_kubeconfig": kubeconfig}),
        ("include_role", {**variables, "helm_release_releases": [{**release, "valuess": {"password": secret}}]}),
        ("include_role", {**variables, "helm_release_sources": {"a": {"ref": pull["ref"], "pasword": secret}}}),
    ]
    tasks: list[dict[str, Any]] = []
    for number, (module, options) in enumerate(cases):
        if module == "include_role":
            block = [{"ansible.builtin.include_role": {"name": ROLE}}]
            tasks.append({"block": block, "rescue": [{"ansible.builtin.meta": "noop"}], "vars": options})
        else:
            own = {f"cloudnative.artifacts.{module}": options, "ignore_errors": True, "register": f"result_{number}"}
            tasks += [own, {"ansible.builtin.debug": {"var": f"result_{number}"}}]
    results = ansible.tasks(tasks, diff=True, flags=["-vvv"], controller_environment=SHOW)
    run = results[0]
    assert secret not in run.stdout + run.stderr
    failed = [result for result in results if result.failed]
    assert len(failed) == len(cases) and "module_args" in run.stdout, [result.get("msg") for result in results]
    assert not any("Traceback" in str(result) or "MODULE FAILURE" in str(result) for result in failed)


@pytest.mark.once
@pytest.mark.parametrize("password", ["a", "sha256", "chart"])
def test_a_password_that_other_values_hold_by_chance_damages_none_of_them(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path, password: str
) -> None:
    publisher = Publisher(registry.host, f"charts/short-{password}")
    digest = publish_chart(publisher, "1.0.0", chart())
    login = {"insecure": True, "username": "chart", "password": password}
    source = {"ref": f"{publisher.name}:1.0.0", **login}
    pull = {"url": f"oci://{publisher.name}", "semver": "*", "dest": str(tmp_path / "chart"), **login}
    cached = {"sources": {"one": source}, "cache_dir": str(tmp_path / "cache")}
    first, again, charts = ansible.tasks(
        [
            {"cloudnative.artifacts.oci_artifact_pull": {**pull, "resolve_once": True}},
            {"cloudnative.artifacts.oci_artifact_pull": {"artifacts": [pull], "resolve_once": True}},
            {"cloudnative.artifacts.helm_chart_sources": cached},
        ]
    )
    assert not first.failed and not again.failed and not charts.failed, (first, again, charts)
    found = first["artifact"], again["results"][0]["artifact"], charts["charts"]["one"]
    for artifact in found:
        assert (artifact["digest"], artifact["tag"]) == (digest, "1.0.0")
        assert artifact["revision"] == f"1.0.0@{digest}" and artifact["url"] == f"oci://{publisher.name}"
        assert artifact["layer"]["digest"] == artifact["layer"]["digest"].replace("*", "")
    assert found[0]["path"] == found[1]["path"] == str(tmp_path / "chart") and Path(found[2]["path"]).exists()
    assert again["results"][0]["reason"] == "ArtifactUpToDate", "the pin was not the revision"


def test_ad_hoc_tasks_and_lookups(ansible: AnsibleRunner, tmp_path: Path) -> None:
    secret = secret_search.new_secret()
    (tmp_path / "kubeconfig").write_text(f"apiVersion: v1\nusers: [{{name: u, user: {{token: '{secret}$HOME'}}}}]\n")
    (tmp_path / "key.pem").write_text(key(secret))
    text = f"{{{{ lookup('ansible.builtin.file', '{tmp_path / 'kubeconfig'}') }}}}"
    pem = f"{{{{ lookup('ansible.builtin.file', '{tmp_path / 'key.pem'}') }}}}"
    for module, options in (
        ("helm_releases", {"releases": [{"name": "a", "state": "absent"}], "kubeconfig": text}),
        ("oci_artifact_info", {"ref": "127.0.0.1:9/org/app:1", "retries": 0, "client_cert": pem}),
        ("oci_artifact_sign", {"ref": "127.0.0.1:9/org/app:1", "retries": 0, "key": pem, "pasword": pem}),
    ):
        done = ansible.adhoc(module, json.dumps(options), "-vvv", environment=SHOW)
        assert done.returncode != 0 and secret not in done.stdout + done.stderr
    cases: list[tuple[str, str]] = []
    for lookup in (f"kubernetes_{kind}_secret" for kind in ("pull", "tls", "proxy", "verify")):
        call = f"lookup('cloudnative.artifacts.{lookup}', namespace='a', secret='b', "
        cases.append((call + "kubeconfig=text)", "'kubeconfig' is neither"))
        for option in ("client_cert", "client_key", "ca_cert"):
            own = f"host='https://127.0.0.1:9', api_key='x', {option}=pem)"
            cases.append((call + own, "Wanted the path of a file"))
    results = ansible.tasks(
        [{"ansible.builtin.debug": {"msg": f"{{{{ {call} }}}}"}, "ignore_errors": True} for call, _words in cases],
        flags=["-vvv"],
        vars={"text": text, "pem": pem},
    )
    assert len(results) == len(cases)
    for result, (call, words) in zip(results, cases):
        assert result.failed and words in str(result["msg"]), call
    assert secret not in results[0].stdout + results[0].stderr

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts through ansible-playbook, beside helm 3 and helm 4: the same bytes, both ways, and the same judgement."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import MANIFEST, Publisher, digest_of
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

PUSH = "cloudnative.artifacts.oci_artifact_push"
PULL = "cloudnative.artifacts.oci_artifact_pull"
KEYS = vectors.ROOT / "keys/helm"
HELMS = ("helm", "helm4")
CREATED = "org.opencontainers.image.created"
HELM_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"
VERSION = "1.2.3+build.5"
NAME = f"demo-{VERSION}.tgz"
FILES = {
    "Chart.yaml": f"""\
apiVersion: v2
name: demo # a comment
version: {VERSION}
description: Demo <of> charts
appVersion: 1.10
home: https://example.org/demo
sources: [https://example.org/source]
keywords: [a, b]
maintainers: [{{name: Zoë, email: zoe@example.org}}]
annotations: {{example.org/key: value}}
dependencies:
  - {{name: lib, version: ^0.2, repository: "file://../lib"}}
""",
    "values.yaml": "greeting: hello # stays\n",
    "templates/map.yaml": (
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: demo}\ndata: {greeting: "{{ .Values.greeting }}"}\n'
    ),
    "charts/lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 0.2.1\ntype: library\n",
    "charts/lib/templates/_lib.tpl": "{{/* a library */}}\n",
    "files/data.txt": "one\ntwo\n",
    ".helmignore": "*.tmp\n/secret/\n",
    "left.tmp": "out",
    "secret/password": "out",
}


def push(path: Path, ref: str, **options: Any) -> dict[str, Any]:
    return {PUSH: {"path": str(path), "ref": ref, "type": "helm", "insecure": True, **options}, "ignore_errors": True}


def ok(results: list[TaskResult]) -> list[TaskResult]:
    assert [result["msg"] for result in results if result.failed] == []
    return results


def make_chart(folder: Path, files: dict[str, str] | None = None) -> Path:
    for name, text in (FILES if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def get(registry: RegistryServer, repository: str, identifier: str) -> dict[str, Any]:
    url = f"{registry.url}/v2/{repository}/manifests/{identifier}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": MANIFEST}), timeout=30) as response:
        return dict(json.loads(response.read()))


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    return make_chart(tmp_path / "demo")


@pytest.fixture
def signed(tools: Tools, chart: Path) -> Path:
    """The chart as helm packages and signs it."""
    folder = chart.parent / "signed"
    keyring = ("--keyring", KEYS / "secring.gpg", "--key", "Chart Tester")
    tools.run("helm", "package", chart, "--sign", *keyring, "-d", folder)
    return folder / NAME


def test_both_helms_take_what_we_push(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, chart: Path, signed: Path
) -> None:
    """A directory, the same from another checkout, and a signed archive, whose signature both verify."""
    place = f"{registry.host}/charts/ours"
    checkout = chart.parent / "checkout"
    shutil.copytree(chart, checkout)
    for number, path in enumerate(checkout.rglob("*")):
        path.chmod(0o700)
        os.utime(path, (number, number))
    (checkout / "left.tmp").write_text("what is ignored may differ")
    first, again, packed, explicit, without = ok(
        ansible.tasks(
            [
                push(chart, f"{place}/dir/demo"),
                push(checkout, f"{place}/dir/demo", created="1970-01-01T00:00:00Z"),
                push(signed, f"{place}/tgz/demo"),
                push(signed, f"{place}/explicit/demo", provenance=f"{signed}.prov"),
                push(signed, f"{place}/without/demo", provenance=""),
            ]
        )
    )
    assert [first.changed, again.changed] == [True, False]
    assert first["artifact"]["digest"] == again["artifact"]["digest"]
    assert first["chart"] == {"name": "demo", "version": VERSION, "app_version": "1.1"}
    assert ["appVersion" in text for text in first["warnings"]] == [True]
    assert {result["artifact"]["tag"] for result in (first, packed)} == {"1.2.3_build.5"}
    assert packed["artifact"]["digest"] == explicit["artifact"]["digest"] != without["artifact"]["digest"]
    for helm in HELMS:
        target = chart.parent / f"pulled-by-{helm}"
        target.mkdir()
        flags = ("--plain-http", "--version", VERSION, "-d", target)
        verify = ("--verify", "--keyring", KEYS / "pubring.gpg")
        words = tools.run(helm, "pull", f"oci://{place}/tgz/demo", *flags, *verify)
        assert "Chart Tester" in words.stdout + words.stderr
        assert (target / NAME).read_bytes() == signed.read_bytes()
        assert (target / f"{NAME}.prov").read_bytes() == Path(f"{signed}.prov").read_bytes()
        assert tools.run(helm, "pull", f"oci://{place}/without/demo", *flags, *verify, check=False).returncode
        tools.run(helm, "pull", f"oci://{place}/dir/demo", *flags)
        assert digest_of((target / NAME).read_bytes()) == first["artifact"]["layer"]["digest"]
        by_digest = f"oci://{place}/dir/demo@{first['artifact']['digest']}"
        rendered = tools.run(helm, "template", "--plain-http", "x", by_digest).stdout
        assert rendered == tools.run(helm, "template", "x", signed).stdout and 'greeting: "hello"' in rendered


def test_what_we_push_is_what_helm_pushes(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, signed: Path
) -> None:
    """The manifest field by field, but for the time; layers and config to the byte; and we take theirs as ours."""
    place = f"{registry.host}/charts/pushed"
    for helm in HELMS:
        tools.run(helm, "push", "--plain-http", signed, f"oci://{place}/{helm}")
    copy = {"media_type": HELM_LAYER, "operation": "copy"}
    tasks = [push(signed, f"{place}/ours/demo")]
    tasks += [push(signed, f"{place}/{helm}/demo") for helm in HELMS]
    for helm in HELMS:
        dest = f"{signed.parent}/pulled-{helm}/"
        tasks.append({PULL: {"url": f"oci://{place}/{helm}/demo", "semver": ">=1.2", "dest": dest, "insecure": True}})
        tasks[-1][PULL]["layer_selector"] = copy
    ours, *others = ok(ansible.tasks(tasks))
    # the same chart, though of another time: what helm published stays
    assert [result.changed for result in others] == [False, False, True, True]
    mine = get(registry, "charts/pushed/ours/demo", ours["artifact"]["tag"])
    assert mine["annotations"].pop(CREATED) == "1970-01-01T00:00:00Z"
    # helm leaves it to the registry's Content-Type
    assert mine.pop("mediaType") == MANIFEST
    for helm in HELMS:
        theirs = get(registry, f"charts/pushed/{helm}/demo", ours["artifact"]["tag"])
        assert theirs["annotations"].pop(CREATED)
        assert mine == theirs, helm
        assert {layer["mediaType"] for layer in theirs["layers"]} == {HELM_LAYER, PROVENANCE}
        assert (signed.parent / f"pulled-{helm}" / NAME).read_bytes() == signed.read_bytes()


def test_the_diff_is_file_by_file(ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, signed: Path) -> None:
    """Of a directory and of an archive, beside what helm published with a provenance layer before the chart's."""
    place = f"{registry.host}/charts/diff"
    tools.run("helm", "push", "--plain-http", signed, f"oci://{place}")
    changed = {
        **FILES,
        "templates/map.yaml": FILES["templates/map.yaml"].replace("{name: demo}", "{name: other}"),
        "templates/new.yaml": "# new\n",
    }
    del changed["files/data.txt"]
    source = make_chart(signed.parent / "changed", changed)
    tools.run("helm", "package", source, "-d", signed.parent / "packed")
    packed = signed.parent / "packed" / NAME
    ref = f"{place}/demo"
    results = ok(ansible.tasks([push(path, ref, force=True) for path in (source, packed)], check=True, diff=True))
    for result in results:
        assert result.changed
        _tags, *files = result["diff"]
        names = {entry["before_header"].partition("demo/")[2].split(" ")[0]: entry for entry in files}
        names.update({entry["after_header"].partition("demo/")[2].split(" ")[0]: entry for entry in files})
        assert {"templates/map.yaml", "templates/new.yaml", "files/data.txt"} <= set(names), names.keys()
        before, after = names["templates/map.yaml"]["before"], names["templates/map.yaml"]["after"]
        assert (before, after) == (FILES["templates/map.yaml"], changed["templates/map.yaml"])
        assert names["files/data.txt"]["before"] == "one\ntwo\n" and not names["files/data.txt"]["after"]
    # helm writes Chart.yaml anew when it packages: from our package to helm's, that is a difference
    assert any("Chart.yaml" in str(entry) for entry in results[0]["diff"][1:])
    assert not any("values.yaml" in str(entry.get("after_header")) for entry in results[0]["diff"][1:])


def test_what_is_no_good_chart(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, chart: Path, signed: Path
) -> None:
    """One sentence that names the file and the field; nothing reaches the registry."""
    folder = chart.parent
    place = f"{registry.host}/charts/refused/demo"
    head = "apiVersion: v2\nname: demo\n"
    bad = {
        "no-version": ({"Chart.yaml": head}, "Chart.yaml: the field 'version' is missing"),
        "no-yaml": ({"Chart.yaml": head + "\tversion: 1\n"}, "is not YAML"),
        "missing-dependency": ({"Chart.yaml": FILES["Chart.yaml"]}, "the dependencies lib are not in"),
        "bad-lock": ({"Chart.yaml": head + "version: 1.0.0\n", "Chart.lock": "digest: [1]\n"}, "Chart.lock: the field"),
    }
    cases: list[tuple[dict[str, Any], str]] = []
    for name, (files, message) in bad.items():
        cases.append((push(make_chart(folder / name, files), place), message))
        done = tools.run("helm", "package", folder / name, "-d", folder / "x", check=False)
        assert done.returncode, f"helm packages {name}"
    other = folder / "other.prov"
    other.write_text(Path(f"{signed}.prov").read_text().replace(digest_of(signed.read_bytes()), "sha256:" + "0" * 64))
    text = folder / "text.prov"
    text.write_text("signed\n")
    stale = folder / "stale" / NAME
    stale.parent.mkdir()
    tools.run("helm", "package", chart, "-d", stale.parent)
    shutil.copy(f"{signed}.prov", f"{stale}.prov")
    stale.write_bytes(stale.read_bytes() + b"")
    archive = folder / "notes.tgz"
    archive.write_text("no archive")
    cases += [
        (push(signed, place, provenance=str(other)), "is the provenance of another archive"),
        (push(signed, place, provenance=str(text)), "is not a provenance file"),
        (push(signed, place, provenance=str(folder / "absent.prov")), "cannot be read"),
        # what helm signed is its own package, not ours
        (push(chart, place, provenance=f"{signed}.prov"), "is the provenance of another archive"),
        (push(archive, place), "is not a packaged chart"),
    ]
    flux = push(signed, place, type="flux", provenance=f"{signed}.prov")
    start = registry.mark()
    *refused, misplaced = ansible.tasks([*(task for task, _message in cases), flux])
    for (_task, message), result in zip(cases, refused):
        assert result.failed and result["reason"] == "OCIArtifactBuildFailed", result
        assert message in result["msg"] and "\n" not in result["msg"], result["msg"]
    assert misplaced.failed and misplaced["reason"] == "InvalidOption"
    assert registry.requests(start) == []


def test_what_is_doubtful_is_said(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    """What helm package passes over and other commands of helm do not: a lock that is behind, versions not wanted."""
    make_chart(tmp_path / "lib", {"Chart.yaml": "apiVersion: v2\nname: lib\nversion: 0.2.1\n"})
    text = "apiVersion: v2\nname: demo\nversion: 1.0.0\ndependencies:\n"
    wanted = '  - {name: lib, version: ^0.2, repository: "file://../lib", condition: lib.enabled, tags: [a]}\n'
    chart = make_chart(tmp_path / "demo", {"Chart.yaml": text + wanted})
    tools.run("helm", "dependency", "update", chart)
    for name, item in {"in-sync": wanted, "behind": wanted.replace("^0.2", "^0.3")}.items():
        shutil.copytree(chart, tmp_path / name)
        (tmp_path / name / "Chart.yaml").write_text(text + item)
    place = f"{registry.host}/charts/doubtful"
    quiet, behind = ok(ansible.tasks([push(tmp_path / name, f"{place}/{name}") for name in ("in-sync", "behind")]))
    tools.run("helm", "dependency", "build", tmp_path / "in-sync")
    refused = tools.run("helm", "dependency", "build", tmp_path / "behind", check=False)
    assert refused.returncode and "out of sync" in refused.stderr
    assert "wrong version" in tools.run("helm", "dependency", "list", tmp_path / "behind").stdout
    assert quiet["warnings"] == []
    wrong, lock = behind["warnings"]
    assert "wanted in version '^0.3'" in wrong and "0.2.1" in wrong
    assert "Chart.lock is out of sync" in lock and "helm dependency update" in lock


def test_any_repository_and_any_tag_will_do(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, signed: Path
) -> None:
    """A chart beside its images: the repository is not called as the chart, the tag is not its version."""
    place = Publisher(registry.host, "charts/campaign1/chart")
    pushed, pulled = ok(
        ansible.tasks(
            [
                push(signed, f"{place.name}:1.1", tags=["stable"]),
                {PULL: {"ref": f"{place.name}:1.1", "dest": f"{signed.parent}/by-tag/", "insecure": True,
                        "layer_selector": {"media_type": HELM_LAYER, "operation": "copy"}}},
            ]
        )
    )  # fmt: skip
    assert pushed["tags"] == {"1.1": "created", "stable": "created"}
    assert pushed["chart"]["version"] == VERSION
    # the file has the chart's own name; the result says what tag led to it
    assert Path(pulled["artifact"]["path"]).name == NAME and pulled["artifact"]["tag"] == "1.1"
    assert tools.run("helm", "show", "chart", pulled["artifact"]["path"]).stdout.startswith("annotations")
    for helm in HELMS:
        for reference in (f"oci://{place.name}:1.1", f"oci://{place.name}@{pushed['artifact']['digest']}"):
            assert "name: demo" in tools.run(helm, "show", "chart", "--plain-http", reference).stdout

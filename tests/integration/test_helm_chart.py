# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts as we read and package them, beside what the real helm makes of the same directories."""

from __future__ import annotations

import io
import json
import os
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import BuildError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.chart import (
    Chart,
    pack_chart,
    read_chart,
)

pytestmark = pytest.mark.once

CREATED = "org.opencontainers.image.created"
CONFIG_MAP = (
    'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: "{{ .Chart.Name }}"\ndata:\n  greeting: "{{ .Values.a }}"\n'
)
BASE = {
    "values.yaml": "a: 1 # a comment\n",
    "templates/map.yaml": CONFIG_MAP,
    "templates/_helpers.tpl": "{{/* nothing */}}\n",
}
HEAD = "apiVersion: v2\nname: demo\n"
LIBRARY = "apiVersion: v2\nname: lib\nversion: 0.2.0\ntype: library\n"

# The text of Chart.yaml, and the other files where they are not the usual ones.
CHARTS: dict[str, dict[str, str]] = {
    "minimal": {"Chart.yaml": HEAD + "version: 0.1.0\n"},
    "everything": {
        "Chart.yaml": HEAD
        + """\
version: 1.2.3-rc.1+build.5   # a comment that helm drops
kubeVersion: '>= 1.20.0-0 < 99'
description: |
  Two lines,
  <script>alert("&")</script>
type: application
keywords: [one, 2, 3.50, yes, ~, "<&>"]
home: https://example.org/?a=1&b=2
sources:
  - https://example.org/source
  - https://example.org/other
maintainers:
  - {name: Zoë Ångström, email: zoe@example.org, url: https://example.org/zoe}
  - name: No Mail
  - email: only@example.org
icon: https://example.org/icon.png
condition: a.b
tags: x,y
appVersion: 2024-01-01
deprecated: yes
annotations:
  example.org/b: |
    several
    lines
  example.org/a: "true"
  numeric: 1.10
  org.opencontainers.image.title: not replaced
  org.opencontainers.image.version: not replaced
  org.opencontainers.image.url: https://replaced.example.org
  org.opencontainers.image.description: ""
  org.opencontainers.image.vendor: Vendor
unknown: {dropped: [1, 2]}
"""
    },
    "dependencies": {
        "Chart.yaml": HEAD
        + """\
version: 0.1.0
dependencies:
  - name: lib
    version: ^0.2
    repository: ""
    condition: lib.enabled
    tags: [front, 1.5]
    import-values: [data, {child: a.b, parent: c, n: 1e21, f: 0.0000001, l: [null, true, 12345678901234567890]}]
  - {name: lib, alias: other_1, version: 0.x, repository: "file://../lib", enabled: true}
""",
        "charts/lib/Chart.yaml": LIBRARY,
        "charts/lib/templates/_x.tpl": "{{/* x */}}\n",
        "charts/lib/README.md": "A library.\n",
        "charts/.gitkeep": "",
        "charts/_ignored/readme": "",
        "Chart.lock": (
            'dependencies:\n- name: lib\n  repository: ""\n  version: 0.2.0\ndigest: sha256:00\n'
            'generated: "2024-01-01T00:00:00Z"\n'
        ),
    },
    "v1 with requirements": {
        "Chart.yaml": "name: demo\nversion: v1.0\ndescription: no apiVersion\n",
        "requirements.yaml": "dependencies:\n- name: lib\n  version: 0.2.0\n  repository: https://example.org\n",
        "requirements.lock": (
            "dependencies:\n- name: lib\n  repository: https://example.org\n  version: 0.2.0\ndigest: sha256:00\n"
            'generated: "2024-01-01T00:00:00Z"\n'
        ),
        "charts/lib/Chart.yaml": "apiVersion: v1\nname: lib\nversion: 0.2.0\n",
    },
    "library": {"Chart.yaml": HEAD + "version: 0.1.0\ntype: library\n", "templates/map.yaml": ""},
    "deprecated": {"Chart.yaml": HEAD + "version: 0.1.0\ndeprecated: true\ndescription: ''\n"},
    "numbers": {
        "Chart.yaml": HEAD + "version: 1.10\nappVersion: 1234567.5\ndescription: 017\nhome: 0x1F\nicon: 1_000\n"
    },
    "unicode": {
        "Chart.yaml": HEAD
        + 'version: 0.1.0\ndescription: "\\u00e9\\u200d\\u00a0\\t\\x07日本 \\U0001F600\\u2028"\n'
        + 'annotations: {"k\\u2028": "v\\u2029\\t\\n", "é": "日本"}\n'
    },
    "byte order mark": {"Chart.yaml": "\ufeff" + HEAD + "version: 0.1.0\n", "files/bom.txt": "\ufefftext\n"},
    "merge keys and capitals": {
        "Chart.yaml": "x: &x {description: merged, Home: there}\napiversion: v2\nNAME: demo\nversion: 0.1.0\n"
        "description: replaced\n<<: *x\n"
    },
    "own creation time": {"Chart.yaml": HEAD + f"version: 0.1.0\nannotations:\n  {CREATED}: 2001-01-01T00:00:00Z\n"},
    "blank texts": {
        "Chart.yaml": HEAD + "version: 0.1.0\ndescription: '  '\nsources: ['']\nmaintainers: [{url: x}, {name: ''}]\n"
    },
    "ignored files": {
        "Chart.yaml": HEAD + "version: 0.1.0\n",
        ".helmignore": "# comment\n *.bak \n/root.txt\nsub/only?.txt\ndir/\n.hidden*\ntemplates/[a-c]x.yaml\n",
        "a.bak": "",
        "keep/b.bak": "",
        "root.txt": "",
        "keep/root.txt": "",
        "sub/only1.txt": "",
        "sub/only12.txt": "",
        "keep/dir/x": "",
        "dir": "a file",
        ".hidden": "",
        ".other": "",
        "templates/.swp": "",
        "templates/.git/x": "",
        "templates/ax.yaml": "",
        "templates/dx.yaml": "",
        "templates/NOTES.txt": "Done.\n",
        "crds/crd.yaml": "",
        "values.schema.json": '{"type": "object"}',
        "ci/values.yaml": "not: {looked: at",
        "é/ü.txt": "ö\n",
    },
    "negated rule": {
        "Chart.yaml": HEAD + "version: 0.1.0\n",
        ".helmignore": "!*[a-z]*\n",
        "README": "not here",
        "A/b": "neither",
        "files/NOTICE": "nor this",
        "files/Notice": "but this",
    },
}

# What both refuse, and a word of our message.
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no Chart.yaml": ({"templates/x.yaml": ""}, "Chart.yaml is missing"),
    "not YAML": ({"Chart.yaml": "name: [demo\n"}, "not YAML"),
    "tab": ({"Chart.yaml": HEAD + "\tversion: 1\n"}, "not YAML"),
    "a list": ({"Chart.yaml": "- name: demo\n"}, "wanted is a mapping"),
    "a text": ({"Chart.yaml": "demo\n"}, "wanted is a mapping"),
    "empty": ({"Chart.yaml": ""}, "'name' is missing"),
    "no name": ({"Chart.yaml": "apiVersion: v2\nversion: 1.0.0\n"}, "'name' is missing"),
    "a path for a name": ({"Chart.yaml": "apiVersion: v2\nname: a/b\nversion: 1.0.0\n"}, "'name' is 'a/b'"),
    "no version": ({"Chart.yaml": HEAD}, "'version' is missing"),
    "no semantic version": ({"Chart.yaml": HEAD + "version: latest\n"}, "'version' is 'latest'"),
    "a number with a leading zero": ({"Chart.yaml": HEAD + "version: 1.0.0-01\n"}, "'version' is '1.0.0-01'"),
    "wrong type": ({"Chart.yaml": HEAD + "version: 1.0.0\ntype: plugin\n"}, "'type' is 'plugin'"),
    "a mapping for a text": ({"Chart.yaml": HEAD + "version: {a: 1}\n"}, "'version' is a mapping"),
    "a text for a list": ({"Chart.yaml": HEAD + "version: 1.0.0\nsources: x\n"}, "'sources' is the text 'x'"),
    "a text for a flag": ({"Chart.yaml": HEAD + "version: 1.0.0\ndeprecated: 'true'\n"}, "'deprecated' is"),
    "empty maintainer": ({"Chart.yaml": HEAD + "version: 1.0.0\nmaintainers: [~]\n"}, "'maintainers'"),
    "bad alias": ({"Chart.yaml": HEAD + "version: 1.0.0\ndependencies: [{name: a, alias: a.b}]\n"}, "'a.b'"),
    "missing dependency": ({"Chart.yaml": HEAD + "version: 1.0.0\ndependencies: [{name: nope}]\n"}, "nope"),
    "dependency twice": ({"Chart.yaml": HEAD + "version: 1.0.0\ndependencies: [{name: a}, {name: a}]\n"}, "two items"),
    "a file in charts": ({"Chart.yaml": HEAD + "version: 1.0.0\n", "charts/README.md": ""}, "charts/README.md"),
    "a broken subchart": (
        {"Chart.yaml": HEAD + "version: 1.0.0\n", "charts/a/Chart.yaml": "name: a\n"},
        "charts/a/Chart.yaml: the field 'version'",
    ),
    "a subchart that is no archive": ({"Chart.yaml": HEAD + "version: 1.0.0\n", "charts/a.tgz": "x"}, "charts/a.tgz"),
    "broken values": ({"Chart.yaml": HEAD + "version: 1.0.0\n", "values.yaml": "a: {b\n"}, "values.yaml is not YAML"),
    "values that are a list": ({"Chart.yaml": HEAD + "version: 1.0.0\n", "values.yaml": "[1]\n"}, "values.yaml is no"),
    "a broken schema": ({"Chart.yaml": HEAD + "version: 1.0.0\n", "values.schema.json": "{"}, "not JSON"),
    "two stars": ({"Chart.yaml": HEAD + "version: 1.0.0\n", ".helmignore": "a/**\n"}, "line 1"),
    "a malformed rule": ({"Chart.yaml": HEAD + "version: 1.0.0\n", ".helmignore": "#\n[a\n"}, "line 2"),
    "Chart.yaml ignored": ({"Chart.yaml": HEAD + "version: 1.0.0\n", ".helmignore": "*.yaml\n"}, "missing"),
    "a large file": ({"Chart.yaml": HEAD + "version: 1.0.0\n", "big": "x" * (5 * 1024 * 1024 + 1)}, "5242880"),
}


def make_chart(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def chart_files(name: str) -> dict[str, str]:
    return {**BASE, **CHARTS[name]}


def pack(folder: Path, archive: Path) -> str:
    with archive.open("wb") as output:
        return pack_chart(str(folder), output).digest


def helm_package(tools: Tools, folder: Path, target: Path) -> Path:
    target.mkdir()
    tools.run("helm", "package", folder, "--destination", target)
    (archive,) = target.iterdir()
    return archive


def contents(archive: Path) -> dict[str, bytes]:
    """The files of an archive; there is nothing but files in it."""
    with tarfile.open(archive, "r:gz") as tar:
        members = tar.getmembers()
        assert all(member.isreg() for member in members)
        found = {member.name: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    assert len(found) == len(members)
    return found


def get(registry: RegistryServer, path: str) -> bytes:
    request = urllib.request.Request(
        f"{registry.url}/v2/{path}", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return bytes(response.read())


def pushed(tools: Tools, registry: RegistryServer, archive: Path, repository: str, chart: Chart) -> dict[str, Any]:
    """The manifest that helm pushes, with its config as bytes."""
    tools.run("helm", "push", "--plain-http", archive, f"oci://{registry.host}/{repository}")
    manifest = json.loads(get(registry, f"{repository}/{chart.name}/manifests/{chart.tag}"))
    manifest["config"] = get(registry, f"{repository}/{chart.name}/blobs/{manifest['config']['digest']}")
    return dict(manifest)


def slug(name: str) -> str:
    return name.replace(" ", "-").lower()


@pytest.mark.parametrize("name", CHARTS)
def test_config_and_annotations_are_those_of_helm_push(
    name: str, tools: Tools, registry: RegistryServer, tmp_path: Path
) -> None:
    folder = make_chart(tmp_path / "source", chart_files(name))
    ours = tmp_path / "ours.tgz"
    pack(folder, ours)
    helms = helm_package(tools, folder, tmp_path / "helm")
    assert read_chart(str(folder)).config == read_chart(str(ours)).config
    for origin, archive in (("ours", ours), ("helm", helms)):
        chart = read_chart(str(archive))
        manifest = pushed(tools, registry, archive, f"charts/{origin}/{slug(name)}", chart)
        assert manifest["config"] == chart.config
        annotations = manifest["annotations"]
        if CREATED not in chart.annotations:
            assert annotations.pop(CREATED)
        assert annotations == chart.annotations


@pytest.mark.parametrize("name", CHARTS)
def test_package_holds_what_helm_packages(name: str, tools: Tools, tmp_path: Path) -> None:
    folder = make_chart(tmp_path / "source", chart_files(name))
    ours = tmp_path / "ours.tgz"
    pack(folder, ours)
    found, wanted = contents(ours), contents(helm_package(tools, folder, tmp_path / "helm"))
    assert set(found) == set(wanted)
    assert next(iter(found)) == "demo/Chart.yaml"
    for path in found:
        # Helm writes these anew.
        if path.rpartition("/")[2] not in ("Chart.yaml", "Chart.lock"):
            assert found[path] == wanted[path], path


@pytest.mark.parametrize("name", CHARTS)
def test_helm_takes_our_package(name: str, tools: Tools, tmp_path: Path) -> None:
    folder = make_chart(tmp_path / "source", chart_files(name))
    ours, helms = tmp_path / "ours.tgz", helm_package(tools, folder, tmp_path / "helm")
    pack(folder, ours)
    if name != "library":
        rendered = tools.run("helm", "template", "release", ours).stdout
        assert rendered == tools.run("helm", "template", "release", helms).stdout
        assert "greeting" in rendered
    for what in ("chart", "values"):
        shown = tools.run("helm", "show", what, ours).stdout
        if what == "values" or name != "v1 with requirements":
            assert shown == tools.run("helm", "show", what, helms).stdout
    if read_chart(str(ours)).version != "v1.0":
        lint = tools.run("helm", "lint", ours, check=False)
        assert lint.returncode == tools.run("helm", "lint", helms, check=False).returncode, lint.stdout


@pytest.mark.parametrize("name", REFUSED)
def test_what_helm_refuses_is_refused(name: str, tools: Tools, tmp_path: Path) -> None:
    files, message = REFUSED[name]
    folder = make_chart(tmp_path / "source", files)
    assert tools.run("helm", "package", folder, "--destination", tmp_path, check=False).returncode
    with pytest.raises(BuildError) as caught:
        pack_chart(str(folder), io.BytesIO())
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)


def test_packaged_subchart_stays_packaged(tools: Tools, tmp_path: Path) -> None:
    library = helm_package(tools, make_chart(tmp_path / "lib", {"Chart.yaml": LIBRARY}), tmp_path / "built")
    text = HEAD + "version: 0.1.0\ndependencies: [{name: lib, version: 0.2.0, repository: ''}]\n"
    folder = make_chart(tmp_path / "source", {**BASE, "Chart.yaml": text})
    (folder / "charts").mkdir()
    (folder / "charts" / library.name).write_bytes(library.read_bytes())
    (folder / "charts" / f"{library.name}.prov").write_text("signed\n")
    ours = tmp_path / "ours.tgz"
    pack(folder, ours)
    found = contents(ours)
    assert found[f"demo/charts/{library.name}"] == library.read_bytes()
    assert f"demo/charts/{library.name}.prov" in found
    assert "demo/charts/lib/Chart.yaml" in contents(helm_package(tools, folder, tmp_path / "helm"))
    tools.run("helm", "template", "release", ours)
    assert "ok" in tools.run("helm", "dependency", "list", folder).stdout


def test_links_inside_the_chart_are_followed(tools: Tools, tmp_path: Path) -> None:
    folder = make_chart(tmp_path / "source", {**chart_files("minimal"), "shared/a.txt": "a", "shared/deep/b.txt": "b"})
    (folder / "copy").symlink_to("shared")
    (folder / "templates" / "linked.yaml").symlink_to("map.yaml")
    (folder / "a.txt").symlink_to(folder / "copy" / "a.txt")
    ours = tmp_path / "ours.tgz"
    pack(folder, ours)
    found, wanted = contents(ours), contents(helm_package(tools, folder, tmp_path / "helm"))
    assert set(found) == set(wanted)
    assert found["demo/copy/deep/b.txt"] == b"b"


def test_digest_does_not_depend_on_the_checkout(tmp_path: Path) -> None:
    files = chart_files("ignored files")
    one = make_chart(tmp_path / "one", files)
    two = make_chart(tmp_path / "two", dict(reversed(list(files.items()))))
    for number, path in enumerate(two.rglob("*")):
        path.chmod(0o700 if path.is_dir() or number % 2 else 0o600)
        os.utime(path, (number, number * 1000))
    assert pack(one, tmp_path / "one.tgz") == pack(two, tmp_path / "two.tgz")
    assert (tmp_path / "one.tgz").read_bytes() == (tmp_path / "two.tgz").read_bytes()

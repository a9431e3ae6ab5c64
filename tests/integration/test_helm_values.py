# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm as the judge of what this collection says about values and CRDs; no Ansible is involved."""

from __future__ import annotations

import copy
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from set_cases import BASE, BROKEN, CASES, FILES, TYPED, TYPED_BROKEN
from support.helm import chart
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ValuesError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.crds import ChartCrds
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.set_values import set_value
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.values import (
    SetValue,
    canonical,
    read_values,
    set_all,
)

pytestmark = pytest.mark.once

SHOW = "shown: {{ .Values | toJson | quote }}\n"
YAML = """\
yes_: yes
octal: 0777
float: 1.10
exponent: 1e3
underscore: 1_000
date: 2026-01-01
tilde: ~
merged: {<<: &base {a: 1, b: 2}, b: 3}
again: *base
sexagesimal: 1:30
hex: 0x1F
quoted: "007"
? complex
: value
block: |
  two
  lines
"""


def rendered(
    tools: Tools,
    folder: Path,
    *arguments: str,
    program: str = "helm",
    cwd: Path | None = None,
    handed: bytes = b"",
) -> dict[str, Any] | None:
    """The values that Helm renders a chart with; None when it refuses. ``handed`` is its standard input."""
    words = [tools[program], "template", "x", str(folder), *arguments]
    done = subprocess.run(words, check=False, capture_output=True, input=handed, cwd=cwd)
    if done.returncode:
        return None
    shown = read_values(done.stdout, "what helm template printed")["shown"]
    values: dict[str, Any] = json.loads(shown)
    return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chart")
    (root / "templates").mkdir()
    (root / "Chart.yaml").write_text("apiVersion: v2\nname: x\nversion: 1.0.0\n")
    (root / "templates/shown.yaml").write_text(SHOW)
    (root / "base.json").write_text(json.dumps(BASE))
    (root / "values.yml").write_text(YAML)
    return root


def test_set(tools: Tools, folder: Path) -> None:
    cases = [(path, text) for path, text, _wanted in CASES] + BROKEN

    def judged(case: tuple[str, str]) -> Any:
        return rendered(tools, folder, "--values", str(folder / "base.json"), "--set", "=".join(case))

    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(judged, cases))
    for (path, text), verdict in zip(cases, verdicts):
        values: dict[str, Any] | None = copy.deepcopy(BASE)
        try:
            set_value(values or {}, path, text)
        except ValuesError:
            values = None
        # a null in the end is a key that Helm removes
        assert _without_null(values) == _without_null(verdict), (path, text)


OPTIONS = {"raw": "--set", "string": "--set-string", "json": "--set-json", "file": "--set-file"}


@pytest.mark.parametrize("program", ["helm", "helm4"])
def test_assignments_of_each_type(tools: Tools, folder: Path, tmp_path: Path, program: str) -> None:
    """Helm is given the same in its arguments, and what this collection makes of it on standard input."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    base = ("--values", str(folder / "base.json"))
    cases = [assignments for assignments, _wanted in TYPED] + [[case] for case in TYPED_BROKEN]
    # Helm 3 knows no object as the whole of --set-json
    cases = [each for each in cases if program == "helm4" or not each[0][1].strip().startswith("{")]

    def judged(case: list[tuple[str, str]]) -> Any:
        words = [word for kind, text in case for word in (OPTIONS.get(kind, "--set-literal"), text)]
        return rendered(tools, folder, *base, *words, program=program, cwd=tmp_path)

    def ours(case: list[tuple[str, str]]) -> Any:
        def read(path: str) -> str:
            if path not in FILES:
                raise ValuesError("there is no such file")
            return FILES[path]

        try:
            values = set_all(BASE, [SetValue(text, kind) for kind, text in case], read, "the test")
        except ValuesError:
            return None
        return rendered(tools, folder, "--values", "-", program=program, handed=canonical(values, "the test"))

    with ThreadPoolExecutor(2) as pool:
        verdicts, found = list(pool.map(judged, cases)), list(pool.map(ours, cases))
    for case, verdict, values in zip(cases, verdicts, found):
        assert values == verdict, case


def test_yaml_means_the_same_when_handed_over_as_json(tools: Tools, folder: Path, tmp_path: Path) -> None:
    found = read_values(YAML.encode(), "the file")
    handed = tmp_path / "handed.json"
    handed.write_bytes(canonical(found, "the test"))
    assert rendered(tools, folder, "--values", str(handed)) == rendered(
        tools, folder, "--values", str(folder / "values.yml")
    )


DEPENDENCIES = """\
apiVersion: v2
name: demo
version: 1.0.0
dependencies:
  - {name: one, version: 1.x, condition: "one.enabled,global.one"}
  - {name: two, version: ">=1.0.0", tags: [front, back]}
  - {name: three, version: 1.2.3, alias: third, condition: third.enabled}
  - {name: three, version: 1.2.3, alias: fourth}
  - {name: four, version: 2.x}
"""
NESTED = """\
apiVersion: v2
name: one
version: 1.2.3
dependencies:
  - {name: below, version: 1.2.3, condition: "below.enabled"}
"""


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"one": {"enabled": False}},
        {"global": {"one": False}},
        {"one": {"enabled": True}, "global": {"one": False}},
        {"one": {"below": {"enabled": False}}},
        {"tags": {"front": False}},
        {"tags": {"front": False, "back": True}},
        {"third": {"enabled": False}},
        {"one": {"enabled": "no boolean"}},
    ],
)
def test_crds_of_enabled_subcharts(tools: Tools, tmp_path: Path, values: dict[str, Any]) -> None:
    def definition(name: str) -> str:
        return f"kind: CustomResourceDefinition\nmetadata: {{name: {name}}}\n"

    files = {"Chart.yaml": DEPENDENCIES, "crds__own.yaml": f"{definition('own-1')}---\n{definition('own-2')}"}
    files["crds__nested__more.yml"] = definition("more")
    files["crds__notes.txt"] = "no manifest\n"
    for name in ("two", "three", "four", "unlisted"):
        files[f"charts__{name}__Chart.yaml"] = f"apiVersion: v2\nname: {name}\nversion: 1.2.3\n"
        files[f"charts__{name}__crds__{name}.yaml"] = definition(name)
    files["charts__one__Chart.yaml"] = NESTED
    files["charts__one__values.yaml"] = "below: {enabled: true}\n"
    files["charts__one__crds__one.yaml"] = definition("one")
    files["charts__one__charts__below__Chart.yaml"] = "apiVersion: v2\nname: below\nversion: 1.2.3\n"
    files["charts__one__charts__below__crds__below.yaml"] = definition("below")
    archive = tmp_path / "chart.tgz"
    archive.write_bytes(chart(values="a: b\n", **files))
    handed = tmp_path / "values.json"
    handed.write_text(json.dumps(values))
    done = tools.run("helm", "template", "x", archive, "--include-crds", "--values", handed)
    lines = [line for line in done.stdout.splitlines() if "metadata: {name: " in line]
    wanted = [line.partition("name: ")[2].rstrip("}") for line in lines]
    found = ChartCrds(str(archive), "the chart").of(values)
    assert sorted(each["metadata"]["name"] for each in found) == sorted(wanted)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return value

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock file in an infra repository: two hosts at once, a registry that moves on, slices, and what Renovate edits."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import quickjs
import yaml
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import HELM_LAYER, Blob, Publisher, contents, tgz
from support.servers import RegistryServer

pytestmark = pytest.mark.once

GROUP = "group/cloudnative.artifacts.oci"
KEYS = vectors.ROOT / "keys"
GUIDE = Path(__file__).resolve().parents[2] / "docs/docsite/rst/guide_lock.rst"
VERIFY = {"public_keys": [str(KEYS / "ed25519.pub")]}


def module(verb: str) -> str:
    return f"cloudnative.artifacts.oci_artifact_{verb}"


CHARTS, RELEASES = "cloudnative.artifacts.helm_chart_sources", "cloudnative.artifacts.helm_releases"


class Ground:
    """A registry with a range, a channel, a fixed tag and a chart, and a play for two hosts, whose modules run in the
    worker; where a run says so, they are carried to the second one."""

    def __init__(self, ansible: AnsibleRunner, registry: RegistryServer, folder: Path) -> None:
        self._ansible = ansible
        self.registry = registry
        self.folder = folder
        self.file = folder / "infra/oci.lock.yml"
        self.file.parent.mkdir(mode=0o755)
        python = f"ansible_connection=local ansible_python_interpreter={ansible.target_python}"
        self._inventory = folder / "hosts.ini"
        self._inventory.write_text(f"[fleet]\none {python}\ntwo {python}\n")
        self.app, self.charts = (Publisher(registry.host, f"lock/{name}") for name in ("app", "demo"))

    def publish(self, version: str, *tags: str) -> str:
        """Publish the app, signed, and the chart; return the digest of the former."""
        layer = Blob(tgz({"version.txt": f"{version}\n"}))
        digest = [self.app.publish(tag, [layer]) for tag in (version, *tags)][0]
        chart = f"apiVersion: v2\nname: demo\nversion: {version}\n"
        self.charts.publish(version, [Blob(tgz({"demo/Chart.yaml": chart}), HELM_LAYER)])
        sign = {"ref": f"{self.app.name}@{digest}", "key": str(KEYS / "ed25519.raw.pem"), "insecure": True}
        signed = self._ansible.task(module("sign"), **sign)
        assert not signed.failed, signed["msg"]
        return digest

    def run(
        self, mode: str, *tasks: dict[str, Any], limit: str = "fleet", carried: bool = False, **run: Any
    ) -> list[TaskResult]:
        """Run tasks with the file and the mode as defaults of the group."""
        carried_to = "{{ 'never' if inventory_hostname == 'two' else 'auto' }}"
        variables = {"vars": {"oci_artifact_run_in_worker": carried_to}} if carried else {}
        defaults = {"lock_file": str(self.file), "lock": mode, "insecure": True}
        return self._ansible.tasks(
            [{"ignore_errors": True, **task} for task in tasks],
            hosts="fleet",
            module_defaults={GROUP: defaults},
            flags=["-i", str(self._inventory), "--forks", "2", "--limit", limit],
            **variables,
            **run,
        )

    def pull(self, name: str, **options: Any) -> dict[str, Any]:
        dest = f"{self.folder}/{{{{ inventory_hostname }}}}/{name}"
        return {module("pull"): {"url": self.app.url, "semver": "1.x", "dest": dest, "verify": VERIFY, **options}}

    def several(self, name: str) -> dict[str, Any]:
        dest = f"{self.folder}/{{{{ inventory_hostname }}}}/{name}"
        items = [{"ref": f"{self.app.name}:{tag}", "dest": f"{dest}-{tag}"} for tag in ("stable", "1.4.0")]
        return {module("pull"): {"artifacts": items}}

    def sources(self) -> dict[str, Any]:
        sources = {"demo": {"url": self.charts.url, "semver": "1.x"}}
        cache = f"{self.folder}/{{{{ inventory_hostname }}}}/cache"
        return {CHARTS: {"sources": sources, "cache_dir": cache}}

    def info(self) -> dict[str, Any]:
        return {module("info"): {"ref": f"{self.app.name}:stable"}}

    def all(self, name: str) -> list[dict[str, Any]]:
        return [self.pull(name), self.several(name), self.sources(), self.info()]

    def entries(self) -> dict[tuple[str, str], dict[str, str]]:
        """The entries by the end of the url and by range or tag."""
        found = yaml.safe_load(self.file.read_text())["artifacts"]
        return {(each["url"].rpartition("/")[2], each.get("semver") or each["version"]): each for each in found}

    def asked(self, since: int) -> set[str]:
        """The tags and lists that were asked for since then, but for those of signatures."""
        paths = [request.path for request in self.registry.requests(since=since)]
        return {path for path in paths if "/tags/list" in path or re.search(r"/manifests/(?!sha256[:-])", path)}

    def placed(self, name: str) -> set[str]:
        return {contents(self.folder / host / name)["version.txt"].strip() for host in ("one", "two")}


def _as_javascript_has_it(expression: str, text: str) -> list[str]:
    """What an engine of JavaScript finds, whose expressions Renovate's are."""
    engine = quickjs.Context()
    engine.set("expression", expression)
    engine.set("text", text)
    found = "JSON.stringify([...text.matchAll(new RegExp(expression, 'g'))].map((found) => found[0]))"
    matches: list[str] = json.loads(engine.eval(found))
    return matches


def reasons(results: list[TaskResult]) -> list[str]:
    return [result["reason"] if result.failed else "ok" for result in results]


def test_the_story_of_a_lock_file(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    ground = Ground(ansible, registry, tmp_path)
    old = ground.publish("1.4.0", "stable")

    # nothing is locked yet, and nothing is asked for
    mark = registry.mark()
    found = ground.run("use", *ground.all("first"))
    assert reasons(found) == ["LockMissing"] * 8
    assert "Run the task once with lock: update" in found[0]["msg"] and len(found[2]["missing"]) == 2
    assert ground.run("check", ground.pull("first"), limit="one")[0]["reason"] == "LockMissing"
    assert registry.requests(since=mark) == [] and not list(ground.file.parent.iterdir())

    # check mode says what would be written; a task that is never in check mode writes nothing either
    found = ground.run("update", *ground.all("first"), {**ground.sources(), "check_mode": False}, check=True, diff=True)
    assert reasons(found) == ["ok"] * 10 and not list(ground.file.parent.iterdir())
    (diff,) = [each for each in found[0]["diff"] if each.get("after_header") == str(ground.file)]
    assert diff["before"] == "" and old in diff["after"]

    # one entry for each reference, whatever the hosts and forks
    found = ground.run("update", *ground.all("first"), carried=True)
    assert reasons(found) == ["ok"] * 8, [result.get("msg") for result in found]
    entries = ground.entries()
    assert sorted(entries) == [("app", "1.4.0"), ("app", "1.x"), ("app", "stable"), ("demo", "1.x")]
    assert {entry["digest"] for key, entry in entries.items() if key[0] == "app"} == {old}
    assert entries["app", "1.x"]["signer"].startswith("key ") and "signer" not in entries["app", "stable"]
    assert entries["demo", "1.x"]["version"] == "1.4.0" and entries["demo", "1.x"]["locked_at"].endswith("Z")
    assert ground.placed("first") == ground.placed("first-stable") == {"1.4.0"}
    before = ground.file.read_bytes(), ground.file.stat()
    again = ground.run("update", *ground.all("first"))
    assert [result.changed for result in again] == [False] * 8
    assert (ground.file.read_bytes(), ground.file.stat()) == before
    assert [path.name for path in ground.file.parent.iterdir()] == [ground.file.name]

    # the registry moves on: it is reported, and nothing else happens
    new = ground.publish("1.5.0", "stable")
    found = ground.run("check", *ground.all("first"), ground.pull("fresh"), carried=True)
    assert reasons(found) == ["LockOutdated"] * 10 and not any(result.changed for result in found)
    assert found[0]["outdated"] == [
        {"reference": f"{ground.app.url} (semver: 1.x)", "locked": f"1.4.0@{old}", "found": f"1.5.0@{new}"}
    ]
    assert [each["reference"] for each in found[2]["outdated"]] == [f"{ground.app.url}:stable"]
    assert not (tmp_path / "one/fresh").exists() and ground.placed("first") == {"1.4.0"}

    # slices and retries, which are runs of their own: what is locked, and no tag is asked for
    mark = registry.mark()
    slices = [ground.run("use", *ground.all("sliced"), limit=host, carried=True) for host in ("one", "two")]
    assert [reasons(results) for results in slices] == [["ok"] * 4] * 2, slices
    assert ground.asked(mark) == set()
    assert ground.placed("sliced") == ground.placed("sliced-stable") == {"1.4.0"}
    for _pulled, _several, charts, info in slices:
        assert charts["charts"]["demo"]["version"] == "1.4.0" and info["artifact"]["revision"] == f"stable@{old}"
    mark = registry.mark()
    retried = ground.run("use", ground.pull("sliced"), ground.several("sliced"))
    assert [result.changed for result in retried] == [False] * 4 and registry.requests(since=mark) == []
    assert (ground.file.read_bytes(), ground.file.stat().st_mtime_ns) == (before[0], before[1].st_mtime_ns)

    _the_group(ground, old)
    _renovate(ground, new)

    # an update enters the rest, and leaves comments and other entries alone
    text = ground.file.read_text().replace("  - url:", "  # ours\n  - url:", 1)
    other = textwrap.indent(f'- url: "oci://elsewhere.example/x"\n  version: "1"\n  digest: "{old}"\n', "  ")
    ground.file.write_text(text.replace("artifacts:\n", f"artifacts:\n{other}"))
    found = ground.run("update", *ground.all("first"), diff=True)
    assert reasons(found) == ["ok"] * 8 and "# ours" in ground.file.read_text()
    entries = ground.entries()
    assert entries["app", "stable"]["digest"] == new and entries["x", "1"]["digest"] == old
    assert ground.placed("first-stable") == {"1.5.0"} and ground.placed("first-1.4.0") == {"1.4.0"}
    found = ground.run("check", *ground.all("first"))
    assert reasons(found) == ["ok"] * 8 and {result["reason"] for result in found} == {"LockCurrent"}

    # a file that others decide about, and one that is not a lock file
    ground.file.parent.chmod(0o777)
    assert "may be written to by everybody" in ground.run("use", ground.pull("first"), limit="one")[0]["msg"]
    ground.file.parent.chmod(0o755)
    ground.file.write_text("lock_version: 2\n")
    for mode in ("use", "update", "check"):
        (refused,) = ground.run(mode, ground.pull("first"), limit="one")
        assert refused["reason"] == "LockInvalid" and "has the format '2'" in refused["msg"]
    assert ground.file.read_text() == "lock_version: 2\n"


def _the_group(ground: Ground, old: str) -> None:
    """Each module of the group takes the options, and those that read a reference go by the file."""
    stable, layout = f"{ground.app.name}:stable", f"oci-layout:{ground.folder}/layout:copied"
    (ground.folder / "files").mkdir()
    (ground.folder / "files/a.txt").write_text("a\n")
    release = {"sources": ground.sources()[CHARTS]["sources"], "releases": [], "source_defaults": {"insecure": True}}
    found = ground.run(
        "use",
        {module("verify"): {"ref": stable, **VERIFY}},
        {module("copy"): {"ref": stable, "to": layout}},
        {module("tag"): {"ref": stable, "tags": ["production"]}},
        {module("push"): {"ref": f"{ground.app.name}:pushed", "path": f"{ground.folder}/files"}},
        {module("diff"): {"from": layout, "to": f"{ground.app.name}:production"}},
        {module("prune"): {"ref": ground.app.name, "rules": [{"count": 1}], "keep_files": [str(ground.file)]}},
        {module("info"): {"ref": ground.app.name, "gather": ["tags"]}},
        {RELEASES: {**release, "cache_dir": f"{ground.folder}/one/cache"}},
        {module("pull"): {"ref": f"{ground.app.name}:1.5.0", "dest": f"{ground.folder}/free", "lock_file": ""}},
        {module("pull"): {"ref": f"{ground.app.name}:1.5.0", "dest": f"{ground.folder}/locked"}},
        limit="one",
    )
    assert reasons(found) == ["ok"] * 9 + ["LockMissing"], [result.get("msg") for result in found]
    assert [found[number]["artifact"]["digest"] for number in range(3)] == [old] * 3
    assert found[4]["differs"] is False and "1.5.0" in found[6]["tags"]
    assert found[7]["charts"]["demo"]["version"] == "1.4.0"
    assert old not in [each["digest"] for each in found[5]["remove"]]


def _renovate(ground: Ground, new: str) -> None:
    """What the guide's configuration finds in the file, and puts in its place, is used."""
    block = GUIDE.read_text().partition(".. code-block:: json\n\n")[2].partition("\n\nBefore its version")[0]
    (manager,) = json.loads(textwrap.dedent(block))["customManagers"]
    (expression,), template = manager["matchStrings"], manager["autoReplaceStringTemplate"]
    assert re.search(manager["managerFilePatterns"][0].strip("/"), "infra/oci.lock.yml")
    expression = re.compile(expression.replace("(?<", "(?P<"))
    text = ground.file.read_text()
    matches = list(expression.finditer(text))
    assert [(match["depName"], match["currentValue"], match["currentDigest"]) for match in matches] == [
        (each["url"][len("oci://") :], each["version"], each["digest"]) for each in ground.entries().values()
    ]
    assert _as_javascript_has_it(manager["matchStrings"][0], text) == [match[0] for match in matches]
    ranged = next(match for match in matches if '"1.x"' in text[match.end() :].partition("- url")[0])
    wanted = template.replace("{{#if newValue}}", "").replace("{{else}}{{{currentValue}}}{{/if}}", "")
    for name, value in (("depName", ranged["depName"]), ("newValue", "1.5.0"), ("newDigest", new)):
        wanted = wanted.replace("{{{" + name + "}}}", value)
    ground.file.write_text(text[: ranged.start()] + wanted + text[ranged.end() :])
    found = ground.run("use", ground.pull("proposed"), ground.pull("first"))
    assert reasons(found) == ["ok"] * 4 and ground.placed("proposed") == ground.placed("first") == {"1.5.0"}
    # a version outside of the range, and one that nobody signed
    outside = ground.file.read_text().replace(wanted, wanted.replace("1.5.0", "2.0.0"))
    ground.file.write_text(outside)
    refused = ground.run("use", ground.pull("first"), limit="one")[0]
    assert refused["reason"] == "InvalidOption" and "run with lock: update" in refused["msg"]
    unsigned = ground.app.publish("unsigned", {"version.txt": "unsigned\n"})
    ground.file.write_text(text[: ranged.start()] + wanted.replace(new, unsigned) + text[ranged.end() :])
    assert ground.run("use", ground.pull("first"), limit="one")[0]["reason"] == "VerificationError"
    ground.file.write_text(text[: ranged.start()] + wanted + text[ranged.end() :])

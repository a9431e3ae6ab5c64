# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_pull and the files in dest: alterations, foreign files, ignore rules, copies, permissions, records."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import HELM_LAYER, LAYER, TITLE, Blob, Publisher, contents, digest_of, snapshot, special, tgz
from support.servers import RegistryServer

PULL = "cloudnative.artifacts.oci_artifact_pull"
NOTHING: dict[str, Any] = {"added": [], "changed": [], "removed": [], "permissions": [], "ignored": 0}
LINK = special(tarfile.SYMTYPE, "a.txt")
TREE = {"a.txt": "alpha\n", "b.txt": "beta\n", "sub/": "", "sub/c.txt": "gamma\n", "link": LINK}
PLACED = {"a.txt": "alpha\n", "b.txt": "beta\n", "sub/c.txt": "gamma\n", "link": "-> a.txt"}


def pull(**options: Any) -> dict[str, Any]:
    return {PULL: {"insecure": True, **options}, "ignore_errors": True}


def shell(command: str) -> dict[str, Any]:
    return {"ansible.builtin.raw": command}


def pulls(ansible: AnsibleRunner, steps: list[dict[str, Any]], **options: Any) -> list[TaskResult]:
    """Run tasks in one play; the results of those that pull."""
    results = ansible.tasks(steps, **options)
    assert len(results) == len(steps), results[-1]
    return [result for result in results if result.task == PULL]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(scope="module")
def tree(registry: RegistryServer) -> Publisher:
    place = Publisher(registry.host, "files/tree")
    place.publish("1", TREE)
    place.publish("2", {"a.txt": "alpha 2\n", "sub": "now a file\n"})
    return place


ALTERATIONS: list[tuple[str, dict[str, Any]]] = [
    ("echo altered >> a.txt", {"changed": ["a.txt"]}),
    ("printf ALPHA > a.txt && rm b.txt", {"added": ["b.txt"], "changed": ["a.txt"]}),
    ("rm -r sub", {"added": ["sub", "sub/c.txt"]}),
    ("rm a.txt && ln -s /etc/hostname a.txt", {"changed": ["a.txt"]}),
    ("rm a.txt && mkdir a.txt", {"changed": ["a.txt"]}),
    ("mv sub ../elsewhere && ln -s ../elsewhere sub", {"added": ["sub/c.txt"], "changed": ["sub"]}),
    ("ln -sfn b.txt link", {"changed": ["link"]}),
    ("chmod 600 b.txt sub", {"permissions": ["b.txt", "sub"]}),
    ("chmod 600 b.txt; rm link", {"added": ["link"], "permissions": ["b.txt"]}),
]


@pytest.mark.once
def test_alterations_are_healed(
    ansible: AnsibleRunner, registry: RegistryServer, tree: Publisher, tmp_path: Path
) -> None:
    dest = tmp_path / "dest"
    task = pull(ref=f"{tree.name}:1", dest=str(dest))
    steps = [task]
    for command, _changes in ALTERATIONS:
        steps += [shell(f"cd {dest} && {command}"), task]
    results = pulls(ansible, steps)
    for result, (command, changes) in zip(results[1:], ALTERATIONS):
        assert result["changes"] == {**NOTHING, **changes}, command
        assert (result.changed, result["reason"]) == (True, "DriftCorrected"), command
    assert contents(dest) == PLACED
    assert (mode(dest / "b.txt"), mode(dest / "sub")) == (0o644, 0o755)
    assert (tmp_path / "elsewhere/c.txt").read_text() == "gamma\n"


@pytest.mark.once
def test_modes_are_healed_and_touched_files_accepted_without_a_download(
    ansible: AnsibleRunner, registry: RegistryServer, tree: Publisher, tmp_path: Path
) -> None:
    dest = tmp_path / "dest"
    task = pull(ref=f"{tree.name}:1", dest=str(dest))
    ansible.tasks([task])
    (dest / "a.txt").touch()
    (dest / "b.txt").chmod(0o600)
    mark = registry.mark()
    healed, unchanged = ansible.tasks([task, task], diff=True)
    assert [request.method for request in registry.requests(since=mark)] == ["HEAD", "HEAD"]
    assert healed["changes"] == {**NOTHING, "permissions": ["b.txt"]}
    assert healed["diff"] == [{"prepared": f"mode or owner of {dest}/b.txt is set right\n"}]
    assert not unchanged.changed


@pytest.mark.once
def test_check_content_finds_what_size_and_time_do_not_tell(
    ansible: AnsibleRunner, tree: Publisher, tmp_path: Path
) -> None:
    dest = tmp_path / "dest"
    ref = f"{tree.name}:1"
    ansible.tasks([pull(ref=ref, dest=str(dest))])
    status = (dest / "a.txt").stat()
    (dest / "a.txt").write_text("ALPHA\n")
    os.utime(dest / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    blind, found, again, forced = ansible.tasks(
        [
            pull(ref=ref, dest=str(dest)),
            pull(ref=ref, dest=str(dest), check_content=True),
            pull(ref=ref, dest=str(dest), check_content=True),
            pull(ref=ref, dest=str(dest), force=True),
        ]
    )
    assert not blind.changed
    assert found["changes"] == {**NOTHING, "changed": ["a.txt"]}
    assert not again.changed
    assert (forced.changed, forced["reason"]) == (False, "ArtifactUpToDate")
    assert contents(dest) == PLACED


def test_an_upgrade_removes_what_it_lacks_and_keeps_what_is_foreign(
    ansible: AnsibleRunner, tree: Publisher, tmp_path: Path
) -> None:
    dest = tmp_path / "dest"
    (dest / "sub").mkdir(parents=True)
    (dest / "mine").write_text("mine")
    one, two = pull(ref=f"{tree.name}:1", dest=str(dest)), pull(ref=f"{tree.name}:2", dest=str(dest))
    steps = [one, two, shell(f"rm -r {dest}/sub"), two, shell(f"cp -a {dest} {dest}.2"), one]
    first, refused, second, back = pulls(ansible, steps)
    assert first["changes"]["added"] == ["a.txt", "b.txt", "link", "sub/c.txt"], "sub was there before"
    assert refused.failed and refused["reason"] == "StorageOperationFailed"
    assert "no earlier pull put there, where the artifact has an entry: sub." in refused["msg"]
    assert second["changes"] == {**NOTHING, "added": ["sub"], "changed": ["a.txt"], "removed": ["link", "b.txt"]}
    assert contents(tmp_path / "dest.2") == {"a.txt": "alpha 2\n", "sub": "now a file\n", "mine": "mine"}
    assert not back.failed
    assert contents(dest) == {**PLACED, "mine": "mine"}


@pytest.mark.once
def test_a_foreign_file_in_the_way(ansible: AnsibleRunner, tree: Publisher, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "a.txt").write_text("mine")
    (dest / "b.txt").write_text("beta\n")
    before = snapshot(tmp_path)
    ref = f"{tree.name}:1"
    assert pulls(ansible, [pull(ref=ref, dest=str(dest))], check=True, diff=True)[0].failed
    refused = pulls(ansible, [pull(ref=ref, dest=str(dest))])[0]
    assert refused.failed and "where the artifact has an entry: a.txt." in refused["msg"] and "force" in refused["msg"]
    after = snapshot(tmp_path)
    assert after.keys() == before.keys() and after[str(dest / "a.txt")] == before[str(dest / "a.txt")]
    (tmp_path / "there").mkdir()
    steps = [
        pull(ref=ref, dest=str(dest), force=True),
        shell(f"mkdir {tmp_path}/dest2 && ln -s {tmp_path}/there {tmp_path}/dest2/sub"),
        pull(ref=ref, dest=str(tmp_path / "dest2"), force=True),
    ]
    forced, linked = pulls(ansible, steps)
    assert forced["changes"]["changed"] == ["a.txt"] and contents(dest) == PLACED
    # the same content as the artifact's is no conflict
    assert "b.txt" not in forced["changes"]["added"]
    assert linked.failed and "entry: sub." in linked["msg"]
    assert contents(tmp_path / "there") == {} and contents(tmp_path / "dest2") == {"sub": f"-> {tmp_path}/there"}


IGNORED = {
    "app.yaml": "kept\n",
    "logo.png": "image",
    ".gitignore": "x",
    ".github/": "",
    ".github/ci.yml": "x",
    "docs/": "",
    "docs/a.md": "docs",
    "docs/keep.md": "docs",
}


@pytest.mark.once
def test_ignore_rules(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    plain, ruled = Publisher(registry.host, "files/plain"), Publisher(registry.host, "files/ruled")
    plain.publish("1", IGNORED)
    ruled.publish("1", {**IGNORED, ".sourceignore": "/docs/*\n!/docs/keep.md\n"})
    dest = tmp_path / "dest"
    cases: list[tuple[Publisher, Any, list[str]]] = [
        (plain, None, ["app.yaml", "docs/a.md", "docs/keep.md"]),
        (plain, "# nothing\n", ["app.yaml", "docs/a.md", "docs/keep.md"]),
        (plain, "*.md\n", [".github/ci.yml", "app.yaml", "logo.png"]),
        (plain, ["*.md", "!keep.md"], [".github/ci.yml", "app.yaml", "docs/keep.md", "logo.png"]),
        (ruled, None, [".github/ci.yml", ".sourceignore", "app.yaml", "docs/keep.md", "logo.png"]),
        (ruled, "keep.md\n!/docs/a.md", [".github/ci.yml", ".sourceignore", "app.yaml", "docs/a.md", "logo.png"]),
    ]
    steps = []
    for number, (place, ignore, _files) in enumerate(cases):
        steps += [pull(ref=f"{place.name}:1", dest=str(dest), ignore=ignore), shell(f"cp -a {dest} {dest}.{number}")]
    results = pulls(ansible, steps)
    for number, (_place, ignore, files) in enumerate(cases):
        assert list(contents(tmp_path / f"dest.{number}")) == files, ignore
        assert results[number]["changes"]["ignored"] > 0


def test_copies_keep_the_bytes(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    copies = {"media_type": HELM_LAYER, "operation": "copy"}
    chart = tgz({"demo/Chart.yaml": "name: demo\n"})
    charts = (("demo", "1.0.0+b", chart), ("demo", "2.0.0", chart + b"2"), ("more", "1.0.0", b"more"))
    for name, version, data in charts:
        names = {TITLE: name, "org.opencontainers.image.version": version}
        layers = [Blob(b"provenance", "application/vnd.cncf.helm.chart.provenance.v1.prov"), Blob(data, HELM_LAYER)]
        place = Publisher(registry.host, f"files/charts/{name}")
        place.publish(version.replace("+", "_"), layers, annotations=names)
    url = f"oci://{registry.host}/files/charts"
    target, folder = tmp_path / "new/chart.tgz", tmp_path / "charts"

    def copy(chart: str, **options: Any) -> dict[str, Any]:
        return pull(url=f"{url}/{chart}", layer_selector=copies, **options)

    steps = [
        copy("demo", semver="<2", dest=str(target)),
        copy("demo", semver="<2", dest=str(target)),
        shell(f"cp {target} {target}.1 && rm {target}"),
        copy("demo", semver="<2", dest=str(target)),
        copy("demo", semver="*", dest=str(target)),
        copy("demo", tag="1.0.0_b", dest=f"{folder}/"),
        copy("demo", tag="2.0.0", dest=str(folder)),
        copy("more", tag="1.0.0", dest=str(folder)),
        copy("demo", tag="1.0.0_b", dest=str(folder)),
        copy("demo", tag="2.0.0", dest=str(folder)),
        copy("more", tag="1.0.0", dest=str(tmp_path / "all"), layers="all"),
    ]
    results = pulls(ansible, steps)
    assert [result.get("msg") for result in results if result.failed] == []
    assert [result.changed for result in results] == [True, False, True, True, True, True, True, False, False, True]
    assert digest_of(Path(f"{target}.1").read_bytes()) == results[0]["artifact"]["layer"]["digest"] == digest_of(chart)
    assert target.read_bytes() == chart + b"2" and results[0]["artifact"]["path"] == str(target)
    assert sorted(os.listdir(target.parent)) == [".chart.tgz.oci-artifact", "chart.tgz", "chart.tgz.1"]
    assert {path.name: path.read_bytes() for path in folder.glob("[!.]*")} == {
        "demo-1.0.0+b.tgz": chart,
        "demo-2.0.0.tgz": chart + b"2",
        "more-1.0.0.tgz": b"more",
    }
    assert results[4]["artifact"]["path"] == f"{folder}/demo-1.0.0+b.tgz"
    assert (tmp_path / "all/more-1.0.0.tgz").read_bytes() == b"more"


@pytest.mark.skipif(os.geteuid() != 0, reason="run it as root: only root may give files away")
def test_owner_group_and_mode(ansible: AnsibleRunner, tree: Publisher, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    ref = f"{tree.name}:1"
    steps = [
        pull(ref=ref, dest=str(dest), owner="nobody", group="65533", mode="u=rwX,g=rX,o="),
        shell(f"cp -a {dest} {dest}.1; chown root {dest}/a.txt"),
        pull(ref=ref, dest=str(dest), owner="nobody", group="65533", mode="u=rwX,g=rX,o="),
        pull(ref=ref, dest=str(dest), owner="nobody", group="65533", mode="u=rwX,g=rX,o="),
        pull(ref=ref, dest=str(dest), owner="root", group="0", mode="0600"),
        pull(ref=ref, dest=str(dest), mode=0o640),
        pull(ref=ref, dest=str(dest)),
        pull(ref=ref, dest=str(dest), owner="no-such-user"),
        pull(ref=ref, dest=str(dest), mode="4755"),
        pull(ref=ref, dest=str(dest), mode=640),
    ]
    given, healed, same, octal, number, default, nobody, setuid, decimal = pulls(ansible, steps)
    first = tmp_path / "dest.1"
    for name, bits in (("a.txt", 0o640), ("sub", 0o750), ("sub/c.txt", 0o640), ("link", 0o777)):
        status = (first / name).lstat()
        assert (status.st_uid, status.st_gid, mode(first / name)) == (65534, 65533, bits), name
    assert given.changed and not same.changed
    assert healed["changes"]["permissions"] == ["a.txt"]
    assert octal["changes"]["permissions"] == ["a.txt", "b.txt", "link", "sub", "sub/c.txt"]
    own_mode = ["a.txt", "b.txt", "sub", "sub/c.txt"]
    assert number["changes"]["permissions"] == default["changes"]["permissions"] == own_mode
    assert (mode(dest / "a.txt"), mode(dest / "sub")) == (0o644, 0o755)
    for failed in (nobody, setuid, decimal):
        assert failed.failed and failed["reason"] == "InvalidOption"
    assert "octal 1200" in decimal["msg"]


@pytest.mark.once
def test_a_damaged_record_is_said_and_not_trusted(ansible: AnsibleRunner, tree: Publisher, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    task = pull(ref=f"{tree.name}:1", dest=str(dest))
    (tmp_path / "victim").write_text("victim")
    record = '{"format":1,"key":{},"artifact":{},"files":{"../victim":["file",420,6,"","",0]},"pending":{}}'
    steps = [task, shell(f"echo garbage > {dest}/.oci-artifact/state"), task, task]
    steps += [shell(f"echo '{record}' > {dest}/.oci-artifact/state"), task]
    _first, damaged, healed, planted = pulls(ansible, steps)
    assert (damaged.changed, damaged["changes"]) == (True, NOTHING)
    assert [("cannot be understood" in warning) for warning in damaged["warnings"]] == [True]
    assert not healed.changed and not healed["warnings"]
    assert "cannot be understood" in planted["warnings"][0]
    assert (tmp_path / "victim").read_text() == "victim" and contents(dest) == PLACED


@pytest.mark.once
def test_an_artifact_brings_no_record_of_its_own(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    place = Publisher(registry.host, "files/planted")
    hostile = {".oci-artifact/state": "{}", "sub/.oci-artifact/state": "{}", ".oci-artifact.0123/state": "{}", "a": "a"}
    place.publish("1", hostile)
    titled = [Blob(b"x", LAYER, {TITLE: ".oci-artifact/state"}), Blob(b"y", LAYER, {TITLE: "y"})]
    place.publish("2", titled)
    dest = tmp_path / "dest"
    left_out, refused = pulls(
        ansible,
        [pull(ref=f"{place.name}:1", dest=str(dest)), pull(ref=f"{place.name}:2", dest=str(dest), layers="all")],
    )
    assert [str(path.relative_to(dest)) for path in sorted(dest.rglob("*")) if path.is_file()] == [
        ".oci-artifact/lock",
        ".oci-artifact/state",
        "a",
    ]
    assert "reserved" in left_out["warnings"][0]
    assert refused.failed and refused["reason"] == "OCIArtifactLayerOperationFailed"

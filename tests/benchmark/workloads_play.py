# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of ansible-playbook: tasks of this collection beside the tasks that one would write instead.

``community.docker`` is not among them: its tasks talk to a Docker daemon, and none puts the files of an artifact into a
directory.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import data
from data import MIB, TITLE
from goals import (
    BY_HELM,
    BY_MODULE,
    BY_ORAS,
    BY_ORAS_AND_TAR,
    BY_ORAS_PUSH,
    BY_URL,
    FLEET,
    OURS,
    OURS_PUSH,
    PINGS,
    THREE,
    VIA,
)
from measure import FLOOR, Peer
from measure import OURS as KIND
from plan import Plan, holds, source_file, with_tools
from stage import PULL, PUSH, Stage
from workloads_pull import PLAIN, layer_digest, manifests, seed_layer
from workloads_release import release

Task = Mapping[str, Any]
FLEET_SIZE = MIB
WISH = "OCI_ARTIFACT_RUN_IN_WORKER"


def play(stage: Stage, name: str, tasks: Sequence[Task], made: Path | None = None, **more: Any) -> Peer:
    """A playbook as a peer; ``made`` is what it makes, and is removed before each run.

    ``more`` may have ``connection``, the number of ``hosts``, further ``variables`` of the environment, and fields of
    the peer.
    """
    argv = stage.ansible.playbook("play", tasks, more.pop("connection", "local"), more.pop("hosts", 1))
    environment = {**stage.ansible.environment, **more.pop("variables", {})}
    if made:
        more.setdefault("prepare", partial(shutil.rmtree, made, True))
    return Peer(name, argv, environment, result=str(made or ""), **more)


def ping(stage: Stage, times: int = 1, **more: Any) -> Peer:
    prefix = THREE if times == 3 else ""
    return play(stage, f"{prefix}{PINGS}", [{"ansible.builtin.ping": {}}] * times, kind=FLOOR, **more)


def ours(stage: Stage, name: str, tasks: Sequence[Task], made: Path | None = None, **more: Any) -> list[Peer]:
    """Tasks of this collection, as users run them (in the worker), and through the module."""
    return [
        play(stage, name, tasks, made, variables={WISH: "auto"}, kind=KIND, **more),
        play(stage, f"{name}{BY_MODULE}", tasks, made, variables={WISH: "never"}, kind=KIND, **more),
    ]


def pull(ref: str, dest: Path | str, **more: Any) -> Task:
    return {PULL: {"ref": ref, "dest": str(dest), "insecure": True, **more}}


def oras_pull(stage: Stage, ref: str, dest: Path | str) -> Task:
    argv = [stage.tools.get("oras", ""), "pull", "--plain-http", "--no-tty", "-o", str(dest), ref]
    return {"ansible.builtin.command": {"argv": argv}}


def fetched(name: str, digest: str, folder: Path, archive: str) -> list[Task]:
    """The tasks that get a layer by its URL, check its digest, and unpack it when it is new."""
    host, _slash, repository = name.partition("/")
    url = f"http://{host}/v2/{repository}/blobs/{digest}"
    return [
        {"ansible.builtin.file": {"path": str(folder / "x"), "state": "directory", "mode": "0755"}},
        {"ansible.builtin.get_url": {"url": url, "dest": str(folder / archive), "checksum": digest, "mode": "0644"},
         "register": "layer"},
        {"ansible.builtin.unarchive": {"src": str(folder / archive), "dest": str(folder / "x"), "remote_src": True},
         "when": "layer is changed"},
    ]  # fmt: skip


def unchanged_tag(stage: Stage) -> Plan:
    """Three tasks, so that the start of ansible-playbook is not most of it."""
    name, folder = small(stage), stage.folder("dest")
    pings = ping(stage, 3)
    peers = [
        pings,
        *ours(stage, f"{THREE}{OURS}", [pull(f"{name}:v1", folder / str(number)) for number in range(3)]),
        play(
            stage, f"{THREE}{BY_ORAS}", [oras_pull(stage, f"{name}:v1", folder / f"o{number}") for number in range(3)]
        ),
    ]
    plan = Plan("A playbook of three tasks, nothing new under their tag", peers, pings.name)
    return with_tools(stage, plan, {f"{THREE}{BY_ORAS}": ["oras"]})


def unchanged_digest(stage: Stage) -> Plan:
    name, folder = small(stage), stage.folder("dest")
    ref = f"{name}@{_manifest_digest(stage, name)}"
    peers = [
        ping(stage),
        *ours(stage, OURS, [pull(ref, folder / "x")]),
        play(stage, BY_ORAS, [oras_pull(stage, ref, folder / "oras")]),
        play(stage, BY_URL, fetched(name, layer_digest(stage, name), stage.folder("url"), "layer.tgz")),
    ]
    plan = Plan("A playbook with a pinned artifact that is in place", peers, PINGS)
    return with_tools(stage, plan, {BY_ORAS: ["oras"], BY_URL: ["tar"]})


def remote(stage: Stage) -> Plan:
    """What a task costs the controller and a host together, over a connection that is not local."""
    name, folder = small(stage), stage.folder("dest")
    ref = f"{name}@{_manifest_digest(stage, name)}"
    more = {"connection": "other_host"}
    peers = [
        ping(stage, **more),
        play(stage, OURS, [pull(ref, folder / "x")], kind=KIND, **more),
        play(stage, BY_ORAS, [oras_pull(stage, ref, folder / "oras")], **more),
    ]
    title = "A playbook for a remote host, pinned and in place"
    return with_tools(stage, Plan(title, peers, PINGS), {BY_ORAS: ["oras"]})


def fleet(stage: Stage) -> Plan:
    """What all hosts and their controller take together, for content that is larger than what arguments carry."""
    name, folder = stage.seeded("fleet", _seed_fleet), stage.folder("dest")
    more = {"connection": "other_host", "hosts": FLEET}
    new, known = folder / "new", folder / "known"

    def place(parent: Path) -> str:
        return f"{parent}/{{{{ inventory_hostname }}}}"

    peers = [
        ping(stage, **more),
        play(stage, f"{VIA}, unchanged", [pull(f"{name}:v1", place(known), via="controller")], kind=KIND, **more),
        play(stage, f"{VIA}, new", [pull(f"{name}:v1", place(new), via="controller")], new, kind=KIND, **more),
        play(stage, f"{OURS}, new", [pull(f"{name}:v1", place(new))], new, kind=KIND, **more),
        play(stage, BY_ORAS, [oras_pull(stage, f"{name}:v1", place(new))], new, **more),
    ]
    title = f"A playbook for {FLEET} remote hosts, with {FLEET_SIZE // MIB} MiB for each"
    return with_tools(stage, Plan(title, peers, PINGS), {BY_ORAS: ["oras"]})


def files(stage: Stage) -> Plan:
    return _files(stage, "v1", f"A playbook that unpacks {stage.scale.files} small files")


def files_plain(stage: Stage) -> Plan:
    title = f"A playbook that unpacks {stage.scale.files} small files, without the digest of the content"
    return _files(stage, PLAIN, title)


def _files(stage: Stage, tag: str, title: str) -> Plan:
    count, name, folder = stage.scale.files, manifests(stage), stage.folder("dest")
    url = stage.folder("url")
    peers = [
        ping(stage),
        *ours(stage, OURS, [pull(f"{name}:{tag}", folder / "x")], folder / "x"),
        play(stage, BY_ORAS, [oras_pull(stage, f"{name}:{tag}", folder / "oras")], folder / "oras"),
    ]
    if tag != PLAIN:
        # the same with and without the annotation
        tasks = fetched(name, layer_digest(stage, name), url, "layer.tgz")
        peers.append(play(stage, BY_URL, tasks, url / "x", prepare=partial(_emptied, url)))
    check = holds(count, sum(len(data.manifest_text(number)) for number in range(count)))
    return with_tools(stage, Plan(title, peers, BY_ORAS, check), {BY_ORAS: ["oras"], BY_URL: ["tar"]})


def layer(stage: Stage) -> Plan:
    size, folder = stage.scale.layer, stage.folder("dest")
    name = stage.seeded("model", lambda seeder, place: seed_layer(seeder, place, size))
    archive = {"src": str(folder / "o/layer.tar"), "dest": f"{folder}/o/", "remote_src": True}
    oras = [oras_pull(stage, f"{name}:v1", folder / "o"), {"ansible.builtin.unarchive": archive}]
    tasks = fetched(name, layer_digest(stage, name), folder, "layer.tar")
    # what the others left would fill the memory
    clean = partial(_emptied, folder)
    # it has a title: without the option, it would be a file for us as it is for oras
    task = pull(f"{name}:v1", folder / "x", layers="first")
    peers = [
        ping(stage),
        *ours(stage, OURS, [task], folder / "x", prepare=clean),
        play(stage, BY_ORAS_AND_TAR, oras, folder / "o/model", prepare=clean),
        play(stage, BY_URL, tasks, folder / "x", prepare=clean),
    ]
    title = f"A playbook that unpacks one layer of {size // MIB} MiB"
    plan = Plan(title, peers, BY_ORAS_AND_TAR, holds(16, size))
    return with_tools(stage, plan, {BY_ORAS_AND_TAR: ["oras", "tar"], BY_URL: ["tar"]})


def chart(stage: Stage) -> Plan:
    name = stage.seeded("helm/chart-000", _seed_chart)
    folder = stage.folder("dest")
    helm = [stage.tools.get("helm", ""), "pull", f"oci://{name}", "--version", "1.0.0", "--plain-http", "--untar",
            "--untardir", str(folder / "helm")]  # fmt: skip
    peers = [
        ping(stage),
        *ours(stage, OURS, [pull(f"{name}:1.0.0", folder / "x")], folder / "x"),
        play(stage, BY_HELM, [{"ansible.builtin.command": {"argv": helm}}], folder / "helm"),
    ]
    plan = Plan("A playbook that unpacks one chart", peers, BY_HELM, holds(14, _size_of_chart()))
    return with_tools(stage, plan, {BY_HELM: ["helm"]})


def push(stage: Stage) -> Plan:
    source, registry = source_file(stage), stage.registry("push")
    kind = "application/vnd.example.model.v1"
    forget = partial(shutil.rmtree, stage.storage("push") / "docker", True)
    options = {"path": str(source), "ref": f"{registry.host}/ours:v1", "type": "files", "artifact_type": kind,
               "insecure": True}  # fmt: skip
    argv = [stage.tools.get("oras", ""), "push", "--plain-http", "--no-tty", "--artifact-type", kind,
            f"{registry.host}/oras:v1", source.name]  # fmt: skip
    oras = {"ansible.builtin.command": {"argv": argv, "chdir": str(source.parent)}}
    peers = [
        ping(stage),
        *ours(stage, OURS_PUSH, [{PUSH: options}], prepare=forget),
        play(stage, BY_ORAS_PUSH, [oras], prepare=forget),
    ]
    plan = Plan(f"A playbook that pushes {stage.scale.push // MIB} MiB, new", peers, BY_ORAS_PUSH)
    return with_tools(stage, plan, {BY_ORAS_PUSH: ["oras"]})


def small(stage: Stage) -> str:
    """The repository with one small layer."""
    return stage.seeded("small", _seed_small)


def _seed_small(seeder: data.Seeder, _folder: Path) -> None:
    seeder.manifest("v1", [seeder.blob(data.chart(0), data.TAR_GZIP, {TITLE: "chart.tgz"})])


def _seed_fleet(seeder: data.Seeder, _folder: Path) -> None:
    content = data.Noise(20, FLEET_SIZE).read()
    seeder.manifest("v1", [seeder.blob(content, "application/octet-stream", {TITLE: "model.bin"})])


def _seed_chart(seeder: data.Seeder, _folder: Path) -> None:
    config = seeder.blob(
        b'{"apiVersion":"v2","name":"chart-000","version":"1.0.0"}', "application/vnd.cncf.helm.config.v1+json"
    )
    kind = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    seeder.manifest("1.0.0", [seeder.blob(data.chart(0), kind)], config)


def _size_of_chart() -> int:
    return sum(size for _name, size in data.files_of(data.chart(0)))


def _manifest_digest(stage: Stage, name: str) -> str:
    host, _slash, repository = name.partition("/")
    return f"sha256:{hashlib.sha256(data.manifest_of(host, repository, 'v1')).hexdigest()}"


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, True)
    folder.mkdir()


PLAYS: dict[str, Callable[[Stage], Plan]] = {
    "play-unchanged-tag": unchanged_tag,
    "play-unchanged-digest": unchanged_digest,
    "play-remote": remote,
    "play-fleet": fleet,
    "play-files": files,
    "play-files-plain": files_plain,
    "play-chart": chart,
    "play-layer": layer,
    "play-push": push,
    "play-release": release,
}

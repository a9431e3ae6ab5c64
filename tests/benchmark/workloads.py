# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: each function sets one workload up and names who is compared, and by which goals."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import data
from data import MIB, TAR, TAR_GZIP, TITLE
from measure import Peer
from report import Goal
from stage import INFO, PING, PULL, PUSH, Stage

UNPACK = "io.deis.oras.content.unpack"
CONTENT_DIGEST = "io.deis.oras.content.digest"
OURS = "oci_artifact_pull"
OURS_PUSH = "oci_artifact_push"


@dataclass
class Plan:
    """A workload that is ready to run. ``check`` says what is wrong with what a peer made, if anything is.

    ``requests`` names the peers whose requests to the registry of that name are listed.
    """

    title: str
    peers: list[Peer]
    base: str
    goals: list[Goal] = field(default_factory=list)
    check: Callable[[Peer, Path], str] | None = None
    requests: Mapping[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)


def shell(script: str) -> list[str]:
    return ["/bin/bash", "-c", f"set -euo pipefail; {script}"]


def with_tools(stage: Stage, plan: Plan, needed: Mapping[str, Sequence[str]]) -> Plan:
    """The plan without the peers whose tools are not there."""
    for name, tools in needed.items():
        missing = [tool for tool in tools if tool not in stage.tools]
        if missing:
            plan.absent.append(f"{name} ({', '.join(missing)})")
            plan.peers = [peer for peer in plan.peers if peer.name != name]
    return plan


def module(stage: Stage, name: str, kind: str, options: Mapping[str, Any], result: Path, **more: Any) -> Peer:
    """A module beside the other peers; what it makes is removed before each run."""
    argv = stage.ansible.payload(kind, options)
    return Peer(name, argv, minus=PING, result=str(result), prepare=lambda: shutil.rmtree(result, True), **more)


def holds(files: int, size: int) -> Callable[[Peer, Path], str]:
    """A check that a peer unpacked so many files, with so many bytes altogether."""

    def check(peer: Peer, out: Path) -> str:
        if peer.name == PING:
            return ""
        root = Path(peer.result.replace("{out}", str(out)))
        found = [path for path in root.rglob("*") if path.is_file() and ".oci-artifact" not in str(path)]
        total = sum(path.stat().st_size for path in found)
        if (len(found), total) != (files, size):
            return f"{len(found)} files with {total} bytes instead of {files} with {size}"
        return ""

    return check


def unchanged(stage: Stage, is_pinned: bool) -> Plan:
    name = stage.seeded("unchanged", lambda seeder, _folder: _seed_unchanged(seeder))
    tools = stage.tools
    host, _slash, repository = name.partition("/")
    dest = stage.folder("dest") / "x"
    digest = data.Seeder(host, repository).manifest("v1", [_unchanged_layer(host, repository)])
    ref = f"{name}@{digest}" if is_pinned else f"{name}:v1"
    payload = stage.ansible.payload(PULL, {"ref": ref, "dest": str(dest), "insecure": True})
    ours = Peer(OURS, payload, minus=PING, result=str(dest))
    peers = [stage.ping(), ours, Peer("oras resolve", [tools.get("oras", ""), "resolve", "--plain-http", f"{name}:v1"])]
    peers.append(Peer("crane digest", [tools.get("crane", ""), "digest", "--insecure", f"{name}:v1"]))
    limit = 0.05 if is_pinned else 0.25
    title = f"Nothing has changed, {'pinned by digest' if is_pinned else 'followed by tag'}"
    plan = Plan(title, peers, "oras resolve", [Goal(OURS, "cpu", limit)], requests={OURS: "read"})
    return with_tools(stage, plan, {"oras resolve": ["oras"], "crane digest": ["crane"]})


def _unchanged_layer(host: str, repository: str) -> Any:
    seeder = data.Seeder(host, repository)
    try:
        return seeder.blob(data.chart(0), TAR_GZIP, {TITLE: "chart.tgz"})
    finally:
        seeder.close()


def _seed_unchanged(seeder: data.Seeder) -> None:
    seeder.manifest("v1", [seeder.blob(data.chart(0), TAR_GZIP, {TITLE: "chart.tgz"})])


def unchanged_digest(stage: Stage) -> Plan:
    return unchanged(stage, True)


def unchanged_tag(stage: Stage) -> Plan:
    return unchanged(stage, False)


def _pipes(stage: Stage, name: str, packed: bool, layer: str) -> tuple[list[Peer], dict[str, list[str]]]:
    """The pipes that fetch one layer and unpack it."""
    tools, host = stage.tools, name.partition("/")[0]
    repository = name.partition("/")[2]
    flag = "z" if packed else ""
    blob = f"http://{host}/v2/{repository}/blobs/{layer}"
    skopeo = (
        f"{tools.get('skopeo')} copy -q --src-tls-verify=false --tmpdir {{out}} docker://{name}:v1 oci:{{out}}/oci:x; "
        f"mkdir {{out}}/x; tar x{flag}f {{out}}/oci/blobs/sha256/{layer[7:]} -C {{out}}/x"
    )
    crane = f"mkdir {{out}}/x; {tools.get('crane')} blob --insecure {name}@{layer}"
    curl = f"mkdir {{out}}/x; curl -sf {blob}"
    checked = "tee >(sha256sum > {out}/sum)"
    peers = [
        Peer("crane blob | sha256sum | tar", shell(f"{crane} | {checked} | tar x{flag} -C {{out}}/x")),
        Peer("skopeo copy + tar", shell(skopeo)),
        Peer("curl | sha256sum | tar", shell(f"{curl} | {checked} | tar x{flag} -C {{out}}/x")),
    ]
    needed = {
        "crane blob | sha256sum | tar": ["crane", "tar", "sha256sum"],
        "skopeo copy + tar": ["skopeo", "tar"],
        "curl | sha256sum | tar": ["curl", "tar", "sha256sum"],
    }
    return peers, needed


def layer(stage: Stage) -> Plan:
    size = stage.scale.layer
    name = stage.seeded("model", lambda seeder, folder: _seed_layer(seeder, folder, size))
    digest = _layer_digest(stage, name)
    dest = stage.folder("dest") / "x"
    base = "oras pull + tar"
    oras = f"{stage.tools.get('oras')} pull --plain-http --no-tty -o {{out}} {name}:v1"
    peers, needed = _pipes(stage, name, False, digest)
    peers = [
        stage.ping(),
        module(stage, OURS, PULL, {"ref": f"{name}:v1", "dest": str(dest), "insecure": True}, dest),
        Peer(base, shell(f"{oras}; mkdir {{out}}/x; tar xf {{out}}/layer.tar -C {{out}}/x")),
        *peers,
    ]
    goals = [Goal(OURS, "wall", 0.8, base), Goal(OURS, "cpu", 0.8, base), Goal(OURS, "memory", 64 * MIB)]
    title = f"One layer of {size // MIB} MiB, verified and unpacked"
    plan = Plan(title, peers, base, goals, holds(16, size))
    return with_tools(stage, plan, {base: ["oras", "tar"], **needed})


def _seed_layer(seeder: data.Seeder, folder: Path, size: int) -> None:
    path = folder / "layer.tar"
    data.write_layer(path, size)
    seeder.manifest("v1", [seeder.blob(path, TAR, {TITLE: "layer.tar"})])


def _layer_digest(stage: Stage, name: str, number: int = 0) -> str:
    host, _slash, repository = name.partition("/")
    request = urllib.request.Request(f"http://{host}/v2/{repository}/manifests/v1", headers={"Accept": data.MANIFEST})
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.load(response)["layers"][number]["digest"])


def small_files(stage: Stage) -> Plan:
    count = stage.scale.files
    name = stage.seeded("manifests", lambda seeder, folder: _seed_unpacked(seeder, folder, "manifests", count))
    plan = _unpacked(stage, name, f"{count} small files in one layer")
    plan.goals = [Goal(OURS, "wall", 0.7, plan.base), Goal(OURS, "cpu", 0.7, plan.base)]
    total = sum(len(data.manifest_text(number)) for number in range(count))
    plan.check = holds(count, total)
    return plan


def compressed(stage: Stage) -> Plan:
    size = stage.scale.text // 24 * 24
    name = stage.seeded("logs", lambda seeder, folder: _seed_unpacked(seeder, folder, "logs", size))
    plan = _unpacked(stage, name, f"A gzip layer that unpacks to {size // MIB} MiB of text")
    plan.check = holds(24, size)
    plan.goals = [Goal(OURS, "wall", 0.6, plan.base), Goal(OURS, "cpu", 0.6, plan.base)]
    plan.goals.append(Goal(OURS, "memory", 64 * MIB))
    ours = next(peer for peer in plan.peers if peer.name == OURS)
    for package in ("isal", "zlib-ng"):
        folder = stage.accelerator(package)
        if folder is None:
            plan.absent.append(package)
            continue
        variant = f"{OURS} with {package}"
        environment = {"PYTHONPATH": folder}
        more = Peer(variant, ours.argv, environment, PING, prepare=ours.prepare, result=ours.result)
        plan.peers.insert(2, more)
        plan.goals += [Goal(variant, "wall", 0.4, plan.base), Goal(variant, "cpu", 0.4, plan.base)]
    return plan


def _seed_unpacked(seeder: data.Seeder, folder: Path, name: str, amount: int) -> None:
    path, packed = folder / "layer.tar", folder / "layer.tar.gz"
    if name == "manifests":
        data.write_many(path, amount)
    else:
        data.write_text(path, amount)
    data.compress(path, packed)
    marks = {TITLE: name, UNPACK: "true", CONTENT_DIGEST: data.digest_of_file(path)}
    seeder.manifest("v1", [seeder.blob(packed, TAR_GZIP, marks)])


def _unpacked(stage: Stage, name: str, title: str) -> Plan:
    """A layer that `oras pull` unpacks by itself."""
    digest = _layer_digest(stage, name)
    dest = stage.folder("dest") / "x"
    base = "oras pull"
    peers, needed = _pipes(stage, name, True, digest)
    oras = [stage.tools.get("oras", ""), "pull", "--plain-http", "--no-tty", "-o", "{out}/x", f"{name}:v1"]
    peers = [
        stage.ping(),
        module(stage, OURS, PULL, {"ref": f"{name}:v1", "dest": str(dest), "insecure": True}, dest),
        Peer(base, oras),
        *peers,
    ]
    return with_tools(stage, Plan(title, peers, base), {base: ["oras"], **needed})


def layers(stage: Stage) -> Plan:
    return _layers(stage, 0.0)


def layers_far(stage: Stage) -> Plan:
    return _layers(stage, 0.03)


def _layers(stage: Stage, delay: float) -> Plan:
    count = stage.scale.layers
    name = stage.seeded("layers", lambda seeder, _folder: _seed_layers(seeder, count))
    if delay:
        port = name.partition("/")[0].rpartition(":")[2]
        name = f"{stage.server('slow_link.py', port, delay)}/layers"
    tools = stage.tools
    dest = stage.folder("dest") / "x"
    options = {
        "ref": f"{name}:v1", "dest": f"{dest}/", "insecure": True,
        "layers": "all", "layer_selector": {"operation": "copy"},
    }  # fmt: skip
    base = "oras pull"
    oras = [tools.get("oras", ""), "pull", "--plain-http", "--no-tty", "-o", "{out}/x"]
    skopeo = f"{tools.get('skopeo')} copy -q --tmpdir {{out}} --src-tls-verify=false docker://{name}:v1 oci:{{out}}/x:v"
    crane = f"{tools.get('crane')} pull --insecure --format=oci {name}:v1 {{out}}/x"
    peers = [
        stage.ping(),
        module(stage, OURS, PULL, options, dest),
        Peer(base, [*oras, f"{name}:v1"]),
        Peer("oras pull --concurrency 10", [*oras, "--concurrency", "10", f"{name}:v1"]),
        Peer("crane pull", shell(crane)),
        Peer("skopeo copy", shell(skopeo)),
    ]
    expected = holds(count, count * MIB)

    def check(peer: Peer, out: Path) -> str:
        # crane and skopeo make layouts
        return "" if peer.name in ("crane pull", "skopeo copy") else expected(peer, out)

    limit = 0.5 if delay else 1.0
    where = "at 30 ms a request" if delay else "on the loopback address"
    goals = [Goal(OURS, "wall", limit, base)]
    plan = Plan(f"{count} layers of 1 MiB, {where}", peers, base, goals, check)
    needed = {base: ["oras"], "oras pull --concurrency 10": ["oras"]}
    needed.update({"crane pull": ["crane"], "skopeo copy": ["skopeo"]})
    return with_tools(stage, plan, needed)


def _seed_layers(seeder: data.Seeder, count: int) -> None:
    found = []
    for number in range(count):
        content = data.Noise(1000 + number, MIB).read()
        found.append(seeder.blob(content, data.OCTETS, {TITLE: f"layer-{number:03}.bin"}))
    seeder.manifest("v1", found)


def charts(stage: Stage) -> Plan:
    """One task with many artifacts beside a task for each, and a shell loop."""
    count = stage.scale.charts
    names = [stage.seeded(f"charts/chart-{number:03}", partial(_seed_chart, number)) for number in range(count)]
    dest = stage.folder("dest")
    tools = stage.tools
    copy = {"insecure": True, "layer_selector": {"operation": "copy"}}
    base = "a shell loop of oras pull"
    looped = "a task for each, in a loop"
    loop = [{"name": "Pull", PULL: {"ref": "{{ item }}:v1", "dest": f"{dest}/loop/{{{{ item | basename }}}}/", **copy},
             "loop": names}]  # fmt: skip
    script = "; ".join(f"{tools.get('oras')} pull --plain-http --no-tty -o {{out}}/x/{number} {name}:v1"
                       for number, name in enumerate(names))  # fmt: skip
    nothing = "a playbook that does nothing"
    peers = [
        stage.ping(),
        Peer(nothing, stage.ansible.playbook("nothing", [{"ansible.builtin.ping": {}}]), stage.ansible.environment),
        Peer(looped, stage.ansible.playbook("loop", loop), stage.ansible.environment, nothing,
             prepare=lambda: shutil.rmtree(dest / "loop", True)),
        Peer(base, shell(script)),
    ]  # fmt: skip
    plan = Plan(f"{count} charts", peers, base)
    artifacts = [{"ref": f"{name}:v1", "dest": f"{dest}/many/{number}/"} for number, name in enumerate(names)]
    try:
        many = module(stage, OURS, PULL, {"artifacts": artifacts, **copy}, dest / "many")
    except RuntimeError:
        plan.absent.append("oci_artifact_pull with a list of artifacts (this version has no such option)")
    else:
        plan.peers.insert(2, many)
        plan.goals = [Goal(OURS, "wall", 0.1, looped), Goal(OURS, "wall", 2.0, base)]
    return with_tools(stage, plan, {base: ["oras"]})


def _seed_chart(number: int, seeder: data.Seeder, _folder: Path) -> None:
    title = f"chart-{number:03}-1.0.0.tgz"
    kind = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    about = b'{"name":"chart-%03d","version":"1.0.0"}' % number
    config = seeder.blob(about, "application/vnd.cncf.helm.config.v1+json")
    seeder.manifest("v1", [seeder.blob(data.chart(number), kind, {TITLE: title})], config)


def push_new(stage: Stage) -> Plan:
    return _push(stage, is_new=True)


def push_unchanged(stage: Stage) -> Plan:
    return _push(stage, is_new=False)


def _push(stage: Stage, is_new: bool) -> Plan:
    size = stage.scale.push
    folder = stage.folder("source")
    with open(folder / "model.bin", "wb") as target:
        source = data.Noise(77, size)
        piece = source.read(MIB)
        while piece:
            target.write(piece)
            piece = source.read(MIB)
    registry = stage.registry("push")

    def forget() -> None:
        if is_new:
            shutil.rmtree(stage.storage("push") / "docker", True)

    options = {
        "path": str(folder / "model.bin"), "ref": f"{registry.host}/ours:v1", "type": "files", "insecure": True,
        "artifact_type": "application/vnd.example.model.v1",
    }  # fmt: skip
    base = "oras push"
    tools = stage.tools
    oras = [
        tools.get("oras", ""), "push", "--plain-http", "--no-tty",
        "--artifact-type", "application/vnd.example.model.v1", f"{registry.host}/oras:v1", "model.bin",
    ]  # fmt: skip
    forget()
    # crane packs a file as an image, curl sends it as it is: the least that a push can be
    digest = data.digest_of_file(folder / "model.bin")
    curl = (
        f"d=sha256:$(sha256sum {folder}/model.bin | cut -d' ' -f1); "
        f"l=$(curl -sf -D - -o /dev/null -X POST http://{registry.host}/v2/curl/blobs/uploads/ | tr -d '\\r' "
        f"| sed -n 's/^[Ll]ocation: //p'); curl -sf -o /dev/null -T {folder}/model.bin "
        f"-H 'Content-Type: application/octet-stream' \"$l&digest=$d\"; test $d = {digest}"
    )
    payload = stage.ansible.payload(PUSH, options)
    peers = [
        stage.ping(),
        Peer(OURS_PUSH, payload, minus=PING, prepare=forget),
        Peer(base, shell(f"cd {folder}; {' '.join(oras)}"), prepare=forget),
    ]
    if is_new:
        peers.append(Peer("sha256sum + curl (the blob alone)", shell(curl), prepare=forget))
    goals = [Goal(OURS_PUSH, "wall", 0.95, base), Goal(OURS_PUSH, "memory", 64 * MIB)] if is_new else []
    title = f"Push of {size // MIB} MiB, {'new' if is_new else 'nothing new'}"
    plan = Plan(title, peers, base, goals, requests={} if is_new else {OURS_PUSH: "push", base: "push"})
    return with_tools(stage, plan, {base: ["oras"], "sha256sum + curl (the blob alone)": ["curl", "sha256sum"]})


def tags(stage: Stage) -> Plan:
    count = stage.scale.tags
    host = stage.server("tag_server.py", count)
    name = f"{host}/many/tags"
    tools = stage.tools
    options = {"url": f"oci://{name}", "gather": ["tags"], "semver": ">=6.2.0 <7", "limit": 1, "insecure": True}
    try:
        payload = stage.ansible.payload(INFO, {**options, "missing_ok": True})
    except RuntimeError as exc:
        raise RuntimeError(f"The tags cannot be ranked: {exc}") from None
    ours = "oci_artifact_info"
    base = "crane ls"
    peers = [
        stage.ping(),
        Peer(ours, payload, minus=PING),
        Peer(base, [tools.get("crane", ""), "ls", "--insecure", name]),
        Peer("oras repo tags", [tools.get("oras", ""), "repo", "tags", "--plain-http", name]),
        Peer("skopeo list-tags", [tools.get("skopeo", ""), "list-tags", "--tls-verify=false", f"docker://{name}"]),
    ]
    plan = Plan(f"{count} tags, the newest of a range", peers, base, [Goal(ours, "cpu", 1.0)])
    needed = {base: ["crane"], "oras repo tags": ["oras"], "skopeo list-tags": ["skopeo"]}
    return with_tools(stage, plan, needed)


WORKLOADS: dict[str, Callable[[Stage], Plan]] = {
    "unchanged-digest": unchanged_digest,
    "unchanged-tag": unchanged_tag,
    "layer": layer,
    "files": small_files,
    "gzip": compressed,
    "layers": layers,
    "layers-far": layers_far,
    "charts": charts,
    "push": push_new,
    "push-unchanged": push_unchanged,
    "tags": tags,
}

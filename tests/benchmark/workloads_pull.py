# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls of one artifact."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import data
from data import MIB, TAR, TAR_GZIP, TITLE
from goals import FIRST, OURS, PING
from measure import OURS as KIND
from measure import Peer
from payload import carried
from plan import Plan, holds, module, shell, with_tools
from stage import PULL, Stage

UNPACK = "io.deis.oras.content.unpack"
CONTENT_DIGEST = "io.deis.oras.content.digest"
PLAIN = "plain"


def unchanged(stage: Stage, is_pinned: bool) -> Plan:
    name = stage.seeded("unchanged", lambda seeder, _folder: _seed_unchanged(seeder))
    tools = stage.tools
    host, _slash, repository = name.partition("/")
    dest = stage.folder("dest") / "x"
    digest = f"sha256:{hashlib.sha256(data.manifest_of(host, repository, 'v1')).hexdigest()}"
    ref = f"{name}@{digest}" if is_pinned else f"{name}:v1"
    payload = stage.ansible.payload(PULL, {"ref": ref, "dest": str(dest), "insecure": True}, unchanged=True)
    ours = Peer(OURS, payload, minus=PING, result=str(dest), kind=KIND)
    peers = [stage.ping(), ours, Peer("oras resolve", [tools.get("oras", ""), "resolve", "--plain-http", f"{name}:v1"])]
    peers.append(Peer("crane digest", [tools.get("crane", ""), "digest", "--insecure", f"{name}:v1"]))
    title = f"Nothing has changed, {'pinned by digest' if is_pinned else 'followed by tag'}"
    ratios = carried(payload).times(carried(stage.ansible.ping()))
    print(f"{title}: to a host go {ratios} of a task that does nothing", flush=True)
    plan = Plan(title, peers, "oras resolve", requests={OURS: "read"})
    return with_tools(stage, plan, {"oras resolve": ["oras"], "crane digest": ["crane"]})


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
    name = stage.seeded("model", lambda seeder, folder: seed_layer(seeder, folder, size))
    digest = layer_digest(stage, name)
    dest = stage.folder("dest") / "x"
    base = "oras pull + tar"
    oras = f"{stage.tools.get('oras')} pull --plain-http --no-tty -o {{out}} {name}:v1"
    peers, needed = _pipes(stage, name, False, digest)
    peers = [
        stage.ping(),
        # it has a title: without this, it would be a file for us as it is for oras
        module(stage, OURS, PULL, {"ref": f"{name}:v1", "dest": str(dest), "insecure": True, "layers": "first"}, dest),
        Peer(base, shell(f"{oras}; mkdir {{out}}/x; tar xf {{out}}/layer.tar -C {{out}}/x")),
        *peers,
    ]
    title = f"One layer of {size // MIB} MiB, verified and unpacked"
    plan = Plan(title, peers, base, holds(16, size))
    return with_tools(stage, plan, {base: ["oras", "tar"], **needed})


def seed_layer(seeder: data.Seeder, folder: Path, size: int) -> None:
    path = folder / "layer.tar"
    data.write_layer(path, size)
    seeder.manifest("v1", [seeder.blob(path, TAR, {TITLE: "layer.tar"})])


def layer_digest(stage: Stage, name: str, number: int = 0) -> str:
    """The digest of a layer of a repository's v1."""
    host, _slash, repository = name.partition("/")
    return str(json.loads(data.manifest_of(host, repository, "v1"))["layers"][number]["digest"])


def small_files(stage: Stage) -> Plan:
    return _small_files(stage, "v1")


def small_files_plain(stage: Stage) -> Plan:
    return _without_digest(_small_files(stage, PLAIN))


def _small_files(stage: Stage, tag: str) -> Plan:
    count = stage.scale.files
    plan = _unpacked(stage, manifests(stage), f"{count} small files in one layer", tag)
    plan.check = holds(count, sum(len(data.manifest_text(number)) for number in range(count)))
    return plan


def manifests(stage: Stage) -> str:
    """The repository with small files: with the digest of their archive as v1, and without it."""
    return stage.seeded(
        "manifests", lambda seeder, folder: _seed_unpacked(seeder, folder, "manifests", stage.scale.files)
    )


def compressed(stage: Stage) -> Plan:
    plan = _compressed(stage, "v1")
    ours = next(peer for peer in plan.peers if peer.name == OURS)
    for package in ("isal", "zlib-ng"):
        folder, variant = stage.accelerator(package), f"{OURS} with {package}"
        if folder is None:
            plan.absent[variant] = "the package cannot be had"
            continue
        environment = {"PYTHONPATH": folder}
        more = Peer(variant, ours.argv, environment, PING, prepare=ours.prepare, result=ours.result, kind=KIND)
        plan.peers.insert(2, more)
    return plan


def compressed_plain(stage: Stage) -> Plan:
    return _without_digest(_compressed(stage, PLAIN))


def _compressed(stage: Stage, tag: str) -> Plan:
    size = stage.scale.text // 24 * 24
    name = stage.seeded("logs", lambda seeder, folder: _seed_unpacked(seeder, folder, "logs", size))
    plan = _unpacked(stage, name, f"A gzip layer that unpacks to {size // MIB} MiB of text", tag)
    plan.check = holds(24, size)
    return plan


def _seed_unpacked(seeder: data.Seeder, folder: Path, name: str, amount: int) -> None:
    path, packed = folder / "layer.tar", folder / "layer.tar.gz"
    if name == "manifests":
        data.write_many(path, amount)
    else:
        data.write_text(path, amount)
    data.compress(path, packed)
    marks = {TITLE: name, UNPACK: "true"}
    blob = seeder.blob(packed, TAR_GZIP)
    seeder.manifest(PLAIN, [{**blob, "annotations": marks}])
    # as `oras push` writes it
    seeder.manifest("v1", [{**blob, "annotations": {**marks, CONTENT_DIGEST: data.digest_of_file(path)}}])


def _without_digest(plan: Plan) -> Plan:
    """The plan for the same layer without the digest of what it unpacks to, which `oras pull` compares as well.

    The pipes are left out: they do the same for both.
    """
    plan.peers = [peer for peer in plan.peers if peer.name in (PING, OURS, FIRST, plan.base)]
    plan.title += ", without the digest of the content"
    return plan


def _unpacked(stage: Stage, name: str, title: str, tag: str = "v1") -> Plan:
    """A layer that `oras pull` unpacks by itself."""
    digest = layer_digest(stage, name)
    dest = stage.folder("dest") / "x"
    base = "oras pull"
    peers, needed = _pipes(stage, name, True, digest)
    oras = [stage.tools.get("oras", ""), "pull", "--plain-http", "--no-tty", "-o", "{out}/x", f"{name}:{tag}"]
    options = {"ref": f"{name}:{tag}", "dest": str(dest), "insecure": True}
    plain = {"PYTHONPATH": str(stage.without("isal", "zlib_ng"))}
    peers = [
        stage.ping(),
        module(stage, OURS, PULL, options, dest, environment=plain),
        module(stage, FIRST, PULL, options, dest, environment=plain, first=True),
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
        module(stage, FIRST, PULL, options, dest, first=True),
        Peer(base, [*oras, f"{name}:v1"]),
        Peer("oras pull --concurrency 10", [*oras, "--concurrency", "10", f"{name}:v1"]),
        Peer("crane pull", shell(crane)),
        Peer("skopeo copy", shell(skopeo)),
    ]
    expected = holds(count, count * MIB)

    def check(peer: Peer, out: Path) -> str:
        # crane and skopeo make layouts
        return "" if peer.name in ("crane pull", "skopeo copy") else expected(peer, out)

    where = "at 30 ms a request" if delay else "on the loopback address"
    plan = Plan(f"{count} layers of 1 MiB, {where}", peers, base, check)
    needed = {base: ["oras"], "oras pull --concurrency 10": ["oras"]}
    needed.update({"crane pull": ["crane"], "skopeo copy": ["skopeo"]})
    return with_tools(stage, plan, needed)


def _seed_layers(seeder: data.Seeder, count: int) -> None:
    found = []
    for number in range(count):
        content = data.Noise(1000 + number, MIB).read()
        found.append(seeder.blob(content, data.OCTETS, {TITLE: f"layer-{number:03}.bin"}))
    seeder.manifest("v1", found)

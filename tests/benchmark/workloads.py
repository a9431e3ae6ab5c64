# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: each function sets one workload up and names who is compared, and by which goals."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import data
from data import MIB, TITLE
from goals import OURS, OURS_INFO, OURS_PUSH, PING
from measure import FLOOR, Peer
from measure import OURS as KIND
from plan import Plan, module, shell, source_file, with_tools
from stage import INFO, PULL, PUSH, Stage
from workloads_copy import copy
from workloads_play import PLAYS
from workloads_pull import (
    compressed,
    compressed_plain,
    layer,
    layers,
    layers_far,
    small_files,
    small_files_plain,
    unchanged_digest,
    unchanged_tag,
)


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
        Peer(nothing, stage.ansible.playbook("nothing", [{"ansible.builtin.ping": {}}]), stage.ansible.environment,
             kind=FLOOR),
        Peer(looped, stage.ansible.playbook("loop", loop), stage.ansible.environment, nothing,
             prepare=lambda: shutil.rmtree(dest / "loop", True), kind=KIND),
        Peer(base, shell(script)),
    ]  # fmt: skip
    plan = Plan(f"{count} charts", peers, base)
    artifacts = [{"ref": f"{name}:v1", "dest": f"{dest}/many/{number}/"} for number, name in enumerate(names)]
    try:
        many = module(stage, OURS, PULL, {"artifacts": artifacts, **copy}, dest / "many")
    except RuntimeError:
        plan.absent[OURS] = "this version takes no list of artifacts"
    else:
        plan.peers.insert(2, many)
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
    folder = source_file(stage).parent
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
        Peer(OURS_PUSH, payload, minus=PING, prepare=forget, kind=KIND),
        Peer(base, shell(f"cd {folder}; {' '.join(oras)}"), prepare=forget),
    ]
    if is_new:
        peers.append(Peer("sha256sum + curl (the blob alone)", shell(curl), prepare=forget))
    title = f"Push of {size // MIB} MiB, {'new' if is_new else 'nothing new'}"
    plan = Plan(title, peers, base, requests={} if is_new else {OURS_PUSH: "push", base: "push"})
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
    base = "crane ls"
    peers = [
        stage.ping(),
        Peer(OURS_INFO, payload, minus=PING, kind=KIND),
        Peer(base, [tools.get("crane", ""), "ls", "--insecure", name]),
        Peer("oras repo tags", [tools.get("oras", ""), "repo", "tags", "--plain-http", name]),
        Peer("skopeo list-tags", [tools.get("skopeo", ""), "list-tags", "--tls-verify=false", f"docker://{name}"]),
    ]
    plan = Plan(f"{count} tags, the newest of a range", peers, base)
    needed = {base: ["crane"], "oras repo tags": ["oras"], "skopeo list-tags": ["skopeo"]}
    return with_tools(stage, plan, needed)


WORKLOADS: dict[str, Callable[[Stage], Plan]] = {
    **PLAYS,
    "unchanged-digest": unchanged_digest,
    "unchanged-tag": unchanged_tag,
    "layer": layer,
    "files": small_files,
    "files-plain": small_files_plain,
    "gzip": compressed,
    "gzip-plain": compressed_plain,
    "layers": layers,
    "layers-far": layers_far,
    "charts": charts,
    "push": push_new,
    "push-unchanged": push_unchanged,
    "copy": copy,
    "tags": tags,
}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of one artifact between registries."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import data
from data import MIB
from goals import OURS_COPY, PING
from measure import FLOOR, Peer
from measure import OURS as KIND
from plan import Plan, shell, with_tools
from stage import COPY, Stage

LAYERS = 20


def copy(stage: Stage) -> Plan:
    """An artifact of many layers, to a registry that has nothing of it."""
    size = stage.scale.copy // LAYERS
    name = stage.seeded("copied", lambda seeder, _folder: _seed(seeder, size))
    mirror = stage.registry("mirror")
    tools = stage.tools

    def forget() -> None:
        shutil.rmtree(stage.storage("mirror") / "docker", True)

    def check(peer: Peer, _out: Path) -> str:
        if peer.kind == FLOOR:
            return ""
        source, _slash, repository = name.partition("/")
        found = data.manifest_of(mirror.host, peer.result, "v1")
        if found != data.manifest_of(source, repository, "v1"):
            return "another manifest"
        blobs = stage.storage("mirror") / "docker/registry/v2/blobs/sha256"
        wanted = {each["digest"][7:]: each["size"] for each in json.loads(found)["layers"]}
        held = {digest: (blobs / digest[:2] / digest / "data").stat().st_size for digest in wanted}
        return "" if held == wanted else f"{held} instead of {wanted}"

    options = {"ref": f"{name}:v1", "to": f"{mirror.host}/ours", "insecure": True}
    oras = f"{tools.get('oras')} cp --from-plain-http --to-plain-http --no-tty {name}:v1 {mirror.host}/oras:v1"
    skopeo = (
        f"{tools.get('skopeo')} copy -q --tmpdir {{out}} --src-tls-verify=false --dest-tls-verify=false "
        f"docker://{name}:v1 docker://{mirror.host}/skopeo:v1"
    )
    base = "crane copy"
    peers = [
        stage.ping(),
        Peer(OURS_COPY, stage.ansible.payload(COPY, options), minus=PING, prepare=forget, result="ours", kind=KIND),
        Peer(base, shell(f"{tools.get('crane')} copy --insecure {name}:v1 {mirror.host}/crane:v1"), prepare=forget,
             result="crane"),
        Peer("oras cp", shell(oras), prepare=forget, result="oras"),
        Peer("skopeo copy", shell(skopeo), prepare=forget, result="skopeo"),
    ]  # fmt: skip
    title = f"Copy of {stage.scale.copy // MIB} MiB in {LAYERS} layers to another registry"
    needed = {base: ["crane"], "oras cp": ["oras"], "skopeo copy": ["skopeo"]}
    return with_tools(stage, Plan(title, peers, base, check), needed)


def _seed(seeder: data.Seeder, size: int) -> None:
    found = []
    for number in range(LAYERS):
        content = data.Noise(2000 + number, size).read()
        found.append(seeder.blob(content, data.OCTETS, {data.TITLE: f"layer-{number:02}.bin"}))
    seeder.manifest("v1", found)

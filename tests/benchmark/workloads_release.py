# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Helm release, and two, that are as they should be: the role beside the module of kubernetes.core."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goals import CORE_ONE, CORE_TWO, ROLE_ONE, ROLE_TWO
from helm_releases import Bench, core_play, role_play
from measure import OURS, THEIRS, Peer
from plan import Plan
from stage import Stage
from support.artifacts import Publisher
from support.helm import chart, publish_chart
from support.kube_api import kube_cluster
from support.tools import Tools

NAMES = ("tenant-000", "tenant-001")


def release(stage: Stage) -> Plan:
    """Each play has releases of its own, which the round that does not count installs."""
    folder = stage.folder("releases")
    (folder / "kube").mkdir()
    tools = Tools(home=folder)
    cluster = stage.stack.enter_context(kube_cluster(tools, folder / "kube"))
    registry = stage.registry("releases")
    publisher = Publisher(registry.host, "charts/demo")
    publish_chart(publisher, "1.0.0", chart())
    bench = Bench(folder, cluster, registry, tools["helm"])
    # nothing is counted here
    bench.helm = Path(tools["helm"])
    ref = f"{publisher.name}:1.0.0"
    remote = {"chart_ref": publisher.url, "chart_version": "1.0.0", "plain_http": True}
    releases = [{"name": name, "values": {"owner": name}} for name in NAMES]
    peers = [
        _peer(bench, ROLE_ONE, role_play(bench, ref, releases[:1]), OURS),
        _peer(bench, CORE_ONE, core_play(bench, NAMES[:1], **remote), THEIRS),
        _peer(bench, ROLE_TWO, role_play(bench, ref, releases), OURS),
        _peer(bench, CORE_TWO, core_play(bench, NAMES, **remote), THEIRS),
    ]
    return Plan("A playbook with one release, or two, unchanged", peers, CORE_ONE)


def _peer(bench: Bench, name: str, play: Mapping[str, Any], kind: str) -> Peer:
    path = bench.folder / f"{name.replace(' ', '-')}.yml"
    path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, **play}]))  # JSON is YAML
    return Peer(name, [bench.command, str(path)], bench.environment(), result="", kind=kind)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tag that is pinned by the digest beside it, in every module that takes one; and names without a scheme."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner
from support.artifacts import HELM_LAYER, Blob, Publisher, contents, tgz
from support.servers import RegistryServer

pytestmark = pytest.mark.once

PULL, INFO, VERIFY, SIGN = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "info", "verify", "sign"))
CHARTS = "cloudnative.artifacts.helm_chart_sources"
KEYS = vectors.ROOT / "keys"


def task(module: str, **options: Any) -> dict[str, Any]:
    return {module: {"insecure": True, **options}, "ignore_errors": True}


def test_pinned_tags_and_names_without_a_scheme(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    place = Publisher(registry.host, "moved/app")

    def publish(text: str) -> str:
        chart = {"demo/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\n", "demo/values.yaml": text}
        return place.publish("1.0.0", [Blob(tgz(chart), HELM_LAYER)])

    pinned = publish("a: 1\n")
    moved = publish("a: 2\n")
    ref, revision = f"{place.name}:1.0.0@{pinned}", f"1.0.0@{pinned}"
    charts = {"sources": {"demo": {"ref": ref, "tag_moved": "warn"}}, "cache_dir": str(tmp_path / "cache")}
    every = {
        "pull": (PULL, {"dest": str(tmp_path / "dest")}),
        "info": (INFO, {}),
        "verify": (VERIFY, {"public_keys": [str(KEYS / "ed25519.pub")]}),
        "sign": (SIGN, {"key": str(KEYS / "ed25519.raw.pem")}),
    }
    mark = registry.mark()
    ignored, again = ansible.tasks([task(PULL, ref=ref, dest=str(tmp_path / "dest"))] * 2)
    assert ignored["artifact"]["revision"] == revision and not again.changed
    assert not any(request.path.endswith("/1.0.0") for request in registry.requests(since=mark))
    warned = ansible.tasks([task(module, ref=ref, tag_moved="warn", **options) for module, options in every.values()])
    failed = ansible.tasks(
        [task(module, ref=ref, tag_moved="fail", **options) for module, options in every.values()]
        + [task(PULL, artifacts=[{"ref": ref, "dest": str(tmp_path / "many")}], tag_moved="fail")]
    )
    for result in failed:
        assert result.failed and result["reason"] == "TagMoved" and moved in result["msg"], result
    assert not (tmp_path / "many").exists()
    names = [name for name in every if name != "verify"]
    for name, result in zip(every, warned):
        if name in names:
            assert not result.failed and result["artifact"]["revision"] == revision, result
            assert any(f"names {moved} now" in warning for warning in result["warnings"]), result
    found, by_url, tagged = ansible.tasks(
        [
            task(CHARTS, **charts),
            task(PULL, url=place.name, tag="1.0.0", dest=str(tmp_path / "by-url")),
            task(INFO, url=f"{place.name}:1.0.0"),
        ]
    )
    assert found["charts"]["demo"]["revision"] == revision
    assert any(f"names {moved} now" in warning for warning in found["warnings"])
    assert by_url["artifact"]["url"] == place.url and by_url["artifact"]["digest"] == moved
    assert contents(tmp_path / "by-url")["demo/values.yaml"] == "a: 2\n"
    assert tagged.failed and "carries a tag or a digest" in tagged["msg"]

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image layouts in one tar file: every module on one, and what skopeo, oras and docker write."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner
from support.artifacts import contents
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

PULL, PUSH, INFO, SIGN, VERIFY = (
    f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "push", "info", "sign", "verify")
)
CHARTS = "cloudnative.artifacts.helm_chart_sources"
KEYS = vectors.ROOT / "keys"
KEY, PUBLIC = {"key": str(KEYS / "ed25519.raw.pem")}, [str(KEYS / "ed25519.pub")]


def task(module: str, **arguments: Any) -> dict[str, Any]:
    found = [name for name in ("check_mode", "diff") if name in arguments]
    keywords = {name: arguments.pop(name) for name in found}
    return {"name": module, module: arguments, "ignore_errors": True, **keywords}


@pytest.fixture
def content(tmp_path: Path) -> Path:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/a.yaml").write_text("a: 1\n")
    return tmp_path / "content"


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart/Chart.yaml").write_text("apiVersion: v2\nname: podinfo\nversion: 6.7.1\n")
    return tmp_path / "chart"


def test_every_module_takes_an_archive(ansible: AnsibleRunner, tmp_path: Path, content: Path, chart: Path) -> None:
    path = tmp_path / "transfer/bundle.tar"
    archive = f"oci-archive:{path}"
    pull = {"url": archive, "semver": ">=2", "dest": str(tmp_path / "dest"), "verify": {"public_keys": PUBLIC}}
    push = {"path": str(content), "ref": f"{archive}:2.3.0", "sign": KEY}
    missing, checked, pushed, again = ansible.tasks(
        [
            task(INFO, ref=f"{archive}:2.3.0", gather=[], missing_ok=True),
            task(PUSH, **push, check_mode=True),
            task(PUSH, **push, tags=["2.3", "latest"]),
            task(PUSH, **push, tags=["2.3", "latest"]),
        ]
    )
    packed, signed, unchanged = ansible.tasks(
        [
            task(PUSH, path=str(chart), ref=f"{archive}:6.7.1", type="helm"),
            task(SIGN, ref=f"{archive}:6.7.1", **KEY),
            task(SIGN, ref=f"{archive}:6.7.1", **KEY),
        ]
    )
    verified, listed, shown = ansible.tasks(
        [
            task(VERIFY, ref=archive, public_keys=PUBLIC),
            task(INFO, url=archive, gather=["tags", "charts"]),
            task(INFO, ref=archive, gather=["manifest", "layers", "referrers"]),
        ]
    )
    pulled, kept, fetched, none = ansible.tasks(
        [
            task(PULL, **{**pull, "semver": "2.x"}),
            task(PULL, **{**pull, "semver": "2.x"}),
            task(CHARTS, sources={"podinfo": {"ref": f"{archive}:6.7.1"}}, cache_dir=str(tmp_path / "cache")),
            task(PULL, ref=f"{archive}:none", dest=str(tmp_path / "none")),
        ]
    )
    writing = (missing, checked, pushed, again, packed, signed, unchanged)
    reading = (verified, listed, shown, pulled, kept, fetched)
    assert not any(result.failed for result in (*writing, *reading)), (writing, reading)
    assert (missing["exists"], checked.changed, checked["tags"]) == (False, True, {"2.3.0": "created"})
    assert pushed["tags"] == {"2.3.0": "created", "2.3": "created", "latest": "created"}
    assert {each["status"] for each in pushed["signatures"]} == {"created"}
    assert pushed["artifact"]["url"] == archive
    assert [result.changed for result in (pushed, again, packed, signed, unchanged)] == [True, False, True, True, False]
    assert verified["verification"]["verified"] and verified["served_by"] == []
    assert listed["tags"] == ["6.7.1", "2.3.0", "latest", "2.3"]
    assert [each["name"] for each in listed["charts"]] == ["podinfo"]
    assert len(shown["referrers"]) == 1 and shown["manifest"]["layers"]
    assert pulled.changed and pulled["artifact"]["tag"] == "2.3.0" and not kept.changed
    assert contents(tmp_path / "dest")["a.yaml"] == "a: 1\n"
    assert Path(fetched["charts"]["podinfo"]["path"]).is_file()
    assert none["reason"] == "OCIArtifactPullFailed" and "The archive" in none["msg"] and "It has " in none["msg"]
    assert [each.name for each in path.parent.iterdir()] == ["bundle.tar"]


def test_archives_of_skopeo_and_oras_and_docker_are_read(
    ansible: AnsibleRunner, tools: Tools, registry: RegistryServer, tmp_path: Path, content: Path
) -> None:
    """With signatures and a second tag as oras backs them up; docker's file is made here as docker 25 saves."""
    remote = f"{registry.host}/archives/theirs"
    for tag in ("1.0.0", "2.0.0"):
        (content / "a.yaml").write_text(f"a: {tag}\n")
        options = {"path": str(content), "ref": f"{remote}:{tag}", "insecure": True}
        assert not ansible.task(PUSH, **options, sign={**KEY, "format": "bundle"}).failed
    backup, skopeo, docker = tmp_path / "backup.tar", tmp_path / "skopeo.tar", tmp_path / "docker.tar"
    tools.run("oras", "backup", "--plain-http", "--include-referrers", "--output", backup, f"{remote}:1.0.0,2.0.0")
    source = f"docker://{remote}:2.0.0"
    tools.run("skopeo", "copy", "--src-tls-verify=false", source, f"oci-archive:{skopeo}:2.0.0")
    with tarfile.open(skopeo) as layout, tarfile.open(docker, "w") as saved:
        for member in layout:
            saved.addfile(member, layout.extractfile(member) if member.isfile() else None)
        described = json.dumps([{"Config": "blobs/sha256/x", "RepoTags": ["theirs:2.0.0"], "Layers": []}]).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(described)
        saved.addfile(info, io.BytesIO(described))
    packed = tmp_path / "docker.tar.gz"
    packed.write_bytes(gzip.compress(docker.read_bytes()))
    signed = {"verify": {"public_keys": PUBLIC}}
    results = ansible.tasks(
        [
            task(INFO, url=f"oci-archive:{backup}", gather=["tags"]),
            *(
                task(PULL, ref=f"oci-archive:{path}:2.0.0", dest=str(tmp_path / path.name.replace(".", "-")), **options)
                for path, options in ((backup, signed), (skopeo, {}), (docker, {}), (packed, {}))
            ),
            task(PUSH, path=str(content), ref=f"oci-archive:{docker}:3.0.0"),
            task(PUSH, path=str(content), ref=f"oci-archive:{packed}:3.0.0"),
        ]
    )
    listed, *pulled, lost, compressed = results
    assert listed["tags"] == ["2.0.0", "1.0.0"]
    assert not any(result.failed for result in pulled), pulled
    assert len({result["artifact"]["digest"] for result in pulled}) == 1
    for path in (backup, skopeo, docker, packed):
        assert contents(tmp_path / path.name.replace(".", "-"))["a.yaml"] == "a: 2.0.0\n"
    assert (lost["reason"], compressed["reason"]) == ("StorageOperationFailed", "StorageOperationFailed")
    assert "manifest.json" in lost["msg"] and "compressed" in compressed["msg"]

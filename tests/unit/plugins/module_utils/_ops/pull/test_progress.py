# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a pull and a push are, seen while they run: by a listener, by a look at dest, and as lines of the worker."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.progress_file import write_progress
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media, progress
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.progress import Report, transfers
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.info import InfoOptions, info
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import (
    Limits,
    parse_layer_selector,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import BuildOptions, Input
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.push import PushOptions, push
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    manifest_of,
)

SIZE = 6_000_000


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as found:
        yield found


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """What was said, with no interval: of each piece that is moved."""
    found: list[Report] = []
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    monkeypatch.setattr(transfers, "listeners", [found.append])
    return found


def publish(server: FaultServer) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        member = tarfile.TarInfo("data.bin")
        member.size = SIZE
        tar.addfile(member, io.BytesIO(os.urandom(SIZE)))
    data = target.getvalue()
    layer = {"mediaType": media.FLUX_LAYER, "digest": server.add_blob(data), "size": len(data)}
    server.add_manifest(manifest_of(layers=[layer]).raw, "1")


def pull_to(server: FaultServer, dest: Path, *, copy: bool = False, cache: str = "", check: bool = False) -> None:
    options = PullOptions(
        ReferenceOptions(ref=f"{server.host}/org/app:1"),
        str(dest),
        parse_layer_selector({"operation": "copy" if copy else "extract", "media_type": ""}, "first"),
        Limits(1 << 30, 1000),
        permissions=Permissions(),
        connection=ConnectionOptions(insecure=True, retries=0),
        cache=CacheOptions(root=cache),
    )
    pull(options, check_mode=check)


def look(dest: Path) -> dict[str, Any]:
    return info(InfoOptions(ReferenceOptions(), dest=str(dest)))


@pytest.mark.parametrize("copy", [False, True], ids=["directory", "file"])
@pytest.mark.parametrize("is_cached", [False, True])
def test_a_pull_that_runs(server: FaultServer, tmp_path: Path, said: list[Report], copy: bool, is_cached: bool) -> None:
    publish(server)
    dest, seen = tmp_path / "dest", []
    transfers.listeners.append(lambda report: seen.append(look(dest)))
    assert look(dest) == {
        "changed": False,
        "exists": False,
        "artifact": {},
        "progress": {},
        "observed": {},
        "history": [],
        "held": [],
        "suspended": {},
        "requested_at": {},
        "conditions": [],
        "events": [],
        "records": [],
        "served_by": [],
    }
    pull_to(server, dest, copy=copy, cache=str(tmp_path / "cache") if is_cached else "")
    assert len(said) > 3 and {report.reference for report in said} == {f"{server.host}/org/app:1"}
    assert said[-1].done == said[-1].total > SIZE
    # what was said one before, since the file is the last to hear of it
    found = seen[-1]
    assert (found["exists"], found["artifact"]) == (False, {})
    assert found["progress"].pop("updated") > 1e9 and found["progress"] == said[-2].as_result()
    done = look(dest)
    assert done["exists"] and done["progress"] == {}
    assert done["artifact"]["revision"].startswith("1@sha256:")
    control = tmp_path / ".dest.oci-artifact" if copy else dest / ".oci-artifact"
    assert sorted(path.name for path in control.iterdir()) == ["lock", "state"]


def test_a_short_pull_writes_nothing(
    server: FaultServer, tmp_path: Path, said: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 3600.0)
    publish(server)
    pull_to(server, tmp_path / "dest")
    assert said == []


def test_a_pull_that_fails_leaves_no_file(server: FaultServer, tmp_path: Path, said: list[Report]) -> None:
    publish(server)
    server.always("GET", "/blobs/", lambda seen: Answer(body=next(iter(server.blobs.values())), cut=SIZE // 2))
    with pytest.raises(OciError):
        pull_to(server, tmp_path / "dest")
    assert said and not (tmp_path / "dest").exists()


def test_check_mode_writes_nothing(server: FaultServer, tmp_path: Path, said: list[Report]) -> None:
    publish(server)
    pull_to(server, tmp_path / "dest", check=True)
    assert not (tmp_path / "dest").exists()


def test_what_a_killed_run_left_goes_with_the_next(server: FaultServer, tmp_path: Path, said: list[Report]) -> None:
    publish(server)
    control = tmp_path / "dest/.oci-artifact"
    control.mkdir(parents=True, mode=0o700)
    descriptor = os.open(control, os.O_RDONLY)
    write_progress(descriptor, {"reference": "old"})
    os.close(descriptor)
    document = json.loads((control / "progress").read_text())
    document["writer"]["boot"] = "an earlier one"
    (control / "progress").write_text(json.dumps(document))
    assert look(tmp_path / "dest")["progress"] == {}
    pull_to(server, tmp_path / "dest")
    assert not (control / "progress").exists()


def test_a_record_that_cannot_be_trusted(tmp_path: Path) -> None:
    control = tmp_path / "dest/.oci-artifact"
    control.mkdir(parents=True, mode=0o700)
    (control / "state").write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        look(tmp_path / "dest")
    control.chmod(0o777)
    with pytest.raises(StorageError):
        look(tmp_path / "dest")


def test_several_copies_into_one_directory(server: FaultServer, tmp_path: Path) -> None:
    publish(server)
    dest = tmp_path / "dest"
    dest.mkdir()
    pull_to(server, dest, copy=True)
    found = look(dest)
    assert found["exists"] and len(found["records"]) == 1 and found["artifact"] == found["records"][0]["artifact"]


@pytest.mark.parametrize("type_", ["files", "flux"])
def test_a_push(server: FaultServer, tmp_path: Path, said: list[Report], type_: str) -> None:
    (tmp_path / "data.bin").write_bytes(os.urandom(SIZE))
    build = BuildOptions([Input(str(tmp_path / "data.bin"))], type=type_)
    reference = ReferenceOptions(ref=f"{server.host}/org/app:1")
    push(PushOptions(reference, build, connection=ConnectionOptions(insecure=True)))
    assert {report.reference for report in said} == {f"{server.host}/org/app:1"}
    # an archive has a size that nobody knows before
    assert said[-1].done > SIZE and {report.total for report in said} == {SIZE if type_ == "files" else 0}

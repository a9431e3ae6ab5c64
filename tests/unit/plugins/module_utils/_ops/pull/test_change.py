# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull does when there is something to do: what it fetches, places, repairs and says of it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import workplace
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.destination import Held
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LayerError, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import canonical_json
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    AuthOptions,
    CacheOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull import change as pull_change
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull import staging
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.layer_reader import LayerReader
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import FaultServer
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_decisions import Lab
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_degraded import archive
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_digests import (
    digest_of,
    publish,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    manifest_of,
)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def while_waiting(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    """Do something, once, just before a pull gets the lock of its destination."""
    enter_lock, done = workplace._enter_lock, []

    def later(*arguments: Any) -> Held:
        if not done:
            done.append(True)
            action()
        return enter_lock(*arguments)

    monkeypatch.setattr(workplace, "_enter_lock", later)


# What is fetched


def test_layers_that_are_too_large_are_not_fetched(lab: Lab) -> None:
    lab.forget_layers()
    with pytest.raises(LayerError, match="'max_size'"):
        pull(lab.options(operation="copy", dest=f"{lab.dest}/")._replace(limits=Limits(100, 10)))


def test_another_run_placed_it_meanwhile(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_run() -> None:
        lab.pull()
        lab.forget_layers()

    while_waiting(monkeypatch, other_run)
    result = lab.pull()
    assert (result.changed, result.reason) == (False, "ArtifactUpToDate")
    assert result.artifact["tag"] == "1"


def test_another_run_placed_another_revision_meanwhile(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    while_waiting(monkeypatch, lambda: lab.pull("2"))
    result = lab.pull()
    assert result.changed and result.changes["changed"] == ["dir/b"]
    assert (lab.dest / "dir/b").read_text() == "two"


def test_a_revision_with_the_same_content_is_new(lab: Lab) -> None:
    lab.pull()
    index = json.loads((lab.layout / "index.json").read_text())
    entry = {**index["manifests"][0], "annotations": {"org.opencontainers.image.ref.name": "9"}}
    index["manifests"].append(entry)
    (lab.layout / "index.json").write_text(json.dumps(index))
    result = lab.pull("9")
    assert result.changed and result.reason == "NewRevision" and result.artifact["tag"] == "9"
    assert not (result.changes["added"] or result.changes["changed"] or result.changes["removed"])


# What is said of it


def test_the_first_pull(lab: Lab) -> None:
    result = lab.pull()
    assert (result.changed, result.reason) == (True, "NewRevision")
    artifact = result.artifact
    assert artifact["revision"] == f"1@{lab.digest()}" and artifact["digest"] == lab.digest()
    assert artifact["path"] == str(lab.dest)
    assert artifact["size"] == artifact["layer"]["size"] > 0
    assert sorted(result.changes["added"]) == ["a", "dir", "dir/b"]
    assert result.diff == [] and result.warnings == []


def test_the_path_of_a_copy(lab: Lab) -> None:
    one = lab.pull(operation="copy", dest=f"{lab.dest}/")
    (name,) = one.changes["added"]
    assert one.artifact["path"] == str(lab.dest / name) and one.changes["ignored"] == 0
    named = lab.pull(operation="copy", dest=str(lab.dest / "named"))
    assert named.artifact["path"] == str(lab.dest / "named") and named.changes["added"] == ["named"]


def test_what_was_left_out_is_named_on_every_run(lab: Lab) -> None:
    publish(lab.layout, "4", {"a": "one", "dir/b": "two", ".sourceignore": "/dir\n"})
    for changed in (True, False):
        result = lab.pull("4", ignore="/a")
        answer = result.as_result()
        assert (result.changed, answer["ignored"], answer["ignored_count"]) == (changed, ["a", "dir"], 2)
        assert "left_out" not in answer["artifact"]


def test_nothing_is_left_open(lab: Lab) -> None:
    """Of a long task with many items, too."""

    def count() -> int:
        lab.pull(force=True)
        lab.pull("2", check_mode=True, want_diff=True)
        with pytest.raises(StorageError):
            lab.pull("4", dest=str(lab.layout), check_mode=True, want_diff=True)
        with pytest.raises(StorageError):
            lab.pull("4", dest=str(lab.layout))
        return len(os.listdir("/proc/self/fd"))

    publish(lab.layout, "4", {"index.json": "in the way"})
    before = count()
    # fewer when the garbage of another test was collected meanwhile
    assert count() <= before


def test_ignored_entries_are_counted(lab: Lab) -> None:
    result = lab.pull(ignore="/a")
    assert result.changes["ignored"] == 1 and sorted(result.changes["added"]) == ["dir", "dir/b"]
    assert not (lab.dest / "a").exists()
    # without rules of the user those of the artifact count still
    assert lab.pull(ignore="").changes["ignored"] == 0


def several_layers(lab: Lab, *titles: str) -> None:
    """Publish the layers of 1 and 2 as one artifact with the tag 3, under these titles."""
    blobs = lab.layout / "blobs/sha256"
    documents = [json.loads((blobs / lab.digest(tag)[7:]).read_text()) for tag in ("1", "2")]
    layers = [each["layers"][0] for each in documents]
    for layer, title in zip(layers, titles):
        layer["annotations"] = {media.ANNOTATION_TITLE: title}
    raw = json.dumps({**documents[0], "layers": layers}).encode()
    digest = digest_of(raw)
    (blobs / digest[7:]).write_bytes(raw)
    index = json.loads((lab.layout / "index.json").read_text())
    annotations = {"org.opencontainers.image.ref.name": "3"}
    entry = {"mediaType": media.OCI_MANIFEST, "digest": digest, "size": len(raw), "annotations": annotations}
    (lab.layout / "index.json").write_text(json.dumps({**index, "manifests": [*index["manifests"], entry]}))


def test_all_layers_or_the_first(lab: Lab) -> None:
    several_layers(lab, "first.tar", "second.tar")
    result = lab.pull("3", layers="first")
    assert sorted(result.changes["added"]) == ["a", "dir", "dir/b"]
    first = result.artifact["layer"]
    every = lab.pull("3", layers="all")
    assert sorted(every.changes["added"]) == ["first.tar", "second.tar"], "files by their titles"
    assert every.artifact["layer"] == first and every.artifact["size"] > first["size"]
    copied = lab.pull("3", layers="all", operation="copy", dest=f"{lab.dest}-copied")
    assert sorted(copied.changes["added"]) == ["first.tar", "second.tar"]
    assert copied.artifact["path"] == f"{lab.dest}-copied"


def test_later_layers_are_unpacked_over_earlier_ones(lab: Lab) -> None:
    several_layers(lab)
    assert sorted(lab.pull("3", layers="all").changes["added"]) == ["a", "dir", "dir/b"]
    assert (lab.dest / "dir/b").read_text() == "owt"


def test_reserved_names_are_said(lab: Lab) -> None:
    publish(lab.layout, "4", {".oci-artifact/state": "forged", "a": "one"})
    result = lab.pull("4")
    (warning,) = result.warnings
    assert "is a reserved name" in warning and result.changes["added"] == ["a"]


@pytest.mark.parametrize("option", ["force", "check_content"])
def test_contents_that_are_compared_have_digests_on_record(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(staging, "MAX_ALWAYS_HASHED", 0)
    options: dict[str, Any] = {option: True}
    lab.pull(**options)
    files = json.loads(lab.record.read_text())["files"]
    assert files["a"][3] == digest_of(b"one")


def test_force_replaces_what_is_in_the_way(lab: Lab) -> None:
    lab.dest.mkdir()
    (lab.dest / "a").write_text("mine")
    with pytest.raises(StorageError):
        lab.pull()
    assert (lab.dest / "a").read_text() == "mine"
    result = lab.pull(force=True)
    assert result.changed and result.changes["changed"] == ["a"] and (lab.dest / "a").read_text() == "one"


def test_force_looks_at_contents_of_unchanged_files(lab: Lab) -> None:
    lab.pull()
    file = lab.dest / "a"
    status = file.stat()
    file.write_text("eno")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = lab.pull(force=True)
    assert (result.changed, result.reason, result.changes["changed"]) == (True, "DriftCorrected", ["a"])
    result = lab.pull(force=True)
    assert (result.changed, result.reason) == (False, "ArtifactUpToDate")


def test_the_difference_of_an_update(lab: Lab) -> None:
    lab.pull()
    result = lab.pull("2", want_diff=True)
    (shown,) = (each for each in result.diff if each.get("before") == "two")
    assert shown["after"] == "owt"
    # files differ: then the revisions are not shown beside
    assert len(result.diff) == 1
    assert lab.pull("2", want_diff=True, force=True).diff == []


# Modes


def test_a_mode_is_set_right_without_fetching(lab: Lab) -> None:
    lab.pull()
    lab.forget_layers()
    (lab.dest / "a").chmod(0o600)
    expected = Permissions().mode_for(0o644, False)
    foreseen = lab.pull(check_mode=True, want_diff=True)
    assert (foreseen.changed, foreseen.reason) == (True, "DriftCorrected")
    assert foreseen.changes["permissions"] == ["a"] and foreseen.changes["ignored"] == 0 and len(foreseen.diff) == 1
    assert (lab.dest / "a").stat().st_mode & 0o777 == 0o600
    result = lab.pull(want_diff=True)
    assert (result.changed, result.reason, result.changes["permissions"]) == (True, "DriftCorrected", ["a"])
    assert len(result.diff) == 1 and result.artifact["tag"] == "1"
    assert (lab.dest / "a").stat().st_mode & 0o777 == expected
    (lab.dest / "a").chmod(0o600)
    assert lab.pull().diff == []


def test_a_mode_that_another_run_set_right_meanwhile(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.pull()
    mode = (lab.dest / "a").stat().st_mode & 0o777
    (lab.dest / "a").chmod(0o600)
    lab.forget_layers()
    while_waiting(monkeypatch, lambda: (lab.dest / "a").chmod(mode))
    result = lab.pull()
    assert (result.changed, result.reason) == (False, "ArtifactUpToDate")


def test_content_that_was_altered_while_a_mode_was_to_be_set(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.pull()
    (lab.dest / "a").chmod(0o600)
    while_waiting(monkeypatch, lambda: (lab.dest / "a").write_text("altered"))
    result = lab.pull()
    assert result.changed and result.changes["changed"] == ["a"]
    assert (lab.dest / "a").read_text() == "one"


def test_a_record_that_another_run_replaced_while_a_mode_was_to_be_set(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.pull()
    (lab.dest / "a").chmod(0o600)
    while_waiting(monkeypatch, lambda: lab.pull("2"))
    result = lab.pull()
    assert result.changed and (lab.dest / "dir/b").read_text() == "two"


# Check mode


def test_a_correction_is_foreseen_with_modes(lab: Lab) -> None:
    lab.pull()
    (lab.dest / "a").write_text("altered")
    (lab.dest / "dir/b").chmod(0o600)
    lab.forget_layers()
    result = lab.pull(check_mode=True)
    assert (result.changes["changed"], result.changes["permissions"]) == (["a"], ["dir/b"])
    assert result.changes["ignored"] == 0
    assert lab.pull("2", check_mode=True).changes["ignored"] == 0


def test_force_in_check_mode_compares(lab: Lab) -> None:
    """With force nothing that is in place tells whether something changes: the content is fetched and compared."""
    lab.pull()
    before = lab.content()
    result = lab.pull(check_mode=True, force=True)
    assert (result.changed, result.reason) == (False, "ArtifactUpToDate")
    assert lab.content() == before


def test_without_room_for_temporary_files(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(lab.dest / "nowhere"))
    with pytest.raises(StorageError):
        lab.pull(check_mode=True, want_diff=True)


def test_contents_are_looked_at_when_that_is_asked_for(lab: Lab) -> None:
    lab.pull()
    file = lab.dest / "a"
    status = file.stat()
    file.write_text("eno")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not lab.pull().changed
    result = lab.pull(check_content=True)
    assert (result.changed, result.changes["changed"]) == (True, ["a"]) and file.read_text() == "one"


def test_what_is_found_unchanged_keeps_its_time(lab: Lab) -> None:
    artifact = {**lab.pull().artifact, "last_update_time": "2020-01-01T00:00:00Z"}
    lab.edit(artifact=artifact)
    assert lab.pull(force=True).artifact == artifact
    assert lab.pull().artifact == artifact


# Memory and the cache


def test_large_layers_are_not_held_in_memory(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(LayerReader, "take_in", lambda _reader, layers: taken.append(len(layers)))
    size = lab.pull().artifact["size"]
    monkeypatch.setattr(pull_change, "MAX_IN_MEMORY", size)
    lab.pull(force=True)
    monkeypatch.setattr(pull_change, "MAX_IN_MEMORY", size - 1)
    lab.pull(force=True)
    assert taken == [1, 1]


@pytest.mark.parametrize("is_index", [False, True], ids=["manifest", "index"])
def test_a_cache_lists_what_was_pulled(tmp_path: Path, is_index: bool) -> None:
    """Of an index it holds one platform's manifest, which is not what the tag stands for."""
    layer = archive("one")
    with FaultServer() as server:
        entry = {"mediaType": media.FLUX_LAYER, "digest": server.add_blob(layer), "size": len(layer)}
        server.add_blob(b"{}")
        raw = manifest_of(layers=[entry]).raw
        digest = server.add_manifest(raw, "" if is_index else "1")
        if is_index:
            platform = {"os": "linux", "architecture": "arm64"}
            child = {"mediaType": media.OCI_MANIFEST, "digest": digest, "size": len(raw), "platform": platform}
            document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [child]}
            server.add_manifest(canonical_json(document), "1", media.OCI_INDEX)
        options = PullOptions(
            ReferenceOptions(ref=f"{server.host}/org/app:1"),
            str(tmp_path / "dest"),
            LayerSelector(),
            Limits(1 << 20, 100),
            platform="linux/arm64" if is_index else "",
            cache=CacheOptions(str(tmp_path / "cache")),
            auth=AuthOptions(auth_config={"auths": {}}),
            connection=ConnectionOptions(insecure=True, timeout=60, retries=0),
        )
        assert pull(options).changed
    (listed,) = json.loads((tmp_path / "cache/index.json").read_text())["manifests"]
    assert listed["digest"] == digest
    tags = [value for value in listed.get("annotations", {}).values() if value.endswith("org/app:1")]
    assert bool(tags) is not is_index

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull decides before and after it fetches: what is up to date, what is asked, where it goes, what is said."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import NotFound, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.context import make_context
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull, run
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.places import place_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_digests import publish


class Lab:
    """A layout with artifacts under the tags 1 and 2, and a directory to pull them into."""

    def __init__(self, folder: Path) -> None:
        self.layout, self.dest = folder / "layout", folder / "dest"
        publish(self.layout, "1", {"a": "one", "dir/b": "two"})
        publish(self.layout, "2", {"a": "one", "dir/b": "owt"})

    def options(self, tag: str = "1", **options: Any) -> PullOptions:
        selector = LayerSelector(**{name: options.pop(name) for name in LayerSelector._fields if name in options})
        reference = {"ref": f"oci-layout:{self.layout}:{tag}", **options.pop("reference", {})}
        dest = options.pop("dest", str(self.dest))
        return PullOptions(ReferenceOptions(**reference), dest, selector, Limits(1 << 20, 100), **options)

    def pull(self, tag: str = "1", check_mode: bool = False, want_diff: bool = False, **options: Any) -> PullResult:
        return pull(self.options(tag, **options), check_mode=check_mode, want_diff=want_diff)

    def digest(self, tag: str = "1") -> str:
        manifests = json.loads((self.layout / "index.json").read_text())["manifests"]
        (digest,) = (each["digest"] for each in manifests if tag in each["annotations"].values())
        return str(digest)

    def forget_layers(self) -> None:
        """Keep the manifests alone, so that whatever fetches a layer fails."""
        for blob in (self.layout / "blobs/sha256").iterdir():
            if b"schemaVersion" not in blob.read_bytes():
                blob.unlink()

    def content(self) -> Mapping[str, str]:
        return {str(path): path.read_text() for path in self.dest.rglob("*") if path.is_file()}

    @property
    def record(self) -> Path:
        return self.dest / ".oci-artifact/state"

    def edit(self, **changes: Any) -> None:
        self.record.write_text(json.dumps({**json.loads(self.record.read_text()), **changes}))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


class Watched(LayoutRepository):
    """A repository that remembers whether it was closed, and has something to say."""

    opened: list[Watched] = []

    def close(self) -> None:
        self.opened.append(self)
        super().close()

    @property
    def served_by(self) -> list[str]:  # type: ignore[override]
        return ["mirror.example"]

    @property
    def warnings(self) -> list[str]:  # type: ignore[override]
        return ["of the repository"]


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Watched]:
    """The repositories that were closed."""
    monkeypatch.setattr(Watched, "opened", [])
    monkeypatch.setattr(Task, "open", lambda _task, target, *_options: Watched(target.reference))
    return Watched.opened


# What is asked


@pytest.mark.parametrize("reference", ["digest", "pin"])
def test_a_known_digest_that_is_in_place_opens_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    known = {"ref": f"oci-layout:{lab.layout}@{lab.digest()}"} if reference == "digest" else {"pin": lab.digest()}
    assert lab.pull(reference=known).changed

    def refuse(*_arguments: Any) -> Any:
        raise AssertionError("the repository was opened")

    monkeypatch.setattr(Task, "open", refuse)
    result = lab.pull(reference=known)
    assert (result.changed, result.reason, result.served_by) == (False, "ArtifactUpToDate", [])
    (lab.dest / "a").unlink()
    with pytest.raises(AssertionError):
        lab.pull(reference=known)


def test_a_pin_that_is_another_revision_is_fetched(lab: Lab) -> None:
    lab.pull(reference={"pin": f"1@{lab.digest()}"})
    result = lab.pull(reference={"ref": f"oci-layout:{lab.layout}@{lab.digest('2')}"})
    assert result.changed and (lab.dest / "dir/b").read_text() == "owt"


def test_a_suspended_pull_does_nothing(lab: Lab) -> None:
    lab.pull()
    (lab.dest / "a").write_text("altered")
    before = lab.content()
    shutil.rmtree(lab.layout)
    result = lab.pull("2", suspend=True)
    assert (result.changed, result.reason) == (False, "Suspended")
    assert result.artifact["tag"] == "1"
    assert lab.content() == before


@pytest.mark.parametrize("missing", [":3", f"@sha256:{'0' * 64}"])
def test_a_missing_tag_or_digest_has_the_reason_of_flux(lab: Lab, missing: str) -> None:
    with pytest.raises(NotFound) as failure:
        lab.pull(reference={"ref": f"oci-layout:{lab.layout}{missing}"})
    assert failure.value.reason == "OCIArtifactPullFailed"


def test_the_repository_is_closed_and_speaks(lab: Lab, closed: list[Watched]) -> None:
    result = lab.pull()
    assert result.served_by == ["mirror.example"] and result.warnings == ["of the repository"]
    assert len(closed) == 1
    with pytest.raises(NotFound):
        lab.pull("3")
    assert len(closed) == 2


# What is up to date


@pytest.mark.parametrize(
    "options",
    [
        {"media_type": "application/vnd.oci.image.layer.v1.tar"},
        {"layers": "all"},
        {"ignore": "/a"},
        {"ignore": ""},
        {"platform": "linux/arm64"},
    ],
    ids=str,
)
def test_other_options_are_another_artifact(lab: Lab, options: dict[str, Any]) -> None:
    lab.pull()
    lab.forget_layers()
    assert not lab.pull().changed
    with pytest.raises(NotFound):
        lab.pull(**options)


def test_the_same_content_of_another_place_is_another_artifact(lab: Lab, tmp_path: Path) -> None:
    lab.pull()
    shutil.copytree(lab.layout, tmp_path / "copy")
    result = lab.pull(reference={"ref": f"oci-layout:{tmp_path / 'copy'}:1"})
    assert result.changed and result.reason == "NewRevision" and str(tmp_path / "copy") in result.artifact["url"]


def test_force_places_again_what_is_there(lab: Lab) -> None:
    lab.pull()
    lab.forget_layers()
    with pytest.raises(NotFound):
        lab.pull(force=True)


def test_a_run_that_was_killed_is_ended(lab: Lab) -> None:
    lab.pull()
    (lab.dest / "left").write_text("x")
    lab.edit(pending={"left": ["file", 0o644, 1, "", ""]})
    lab.pull()
    assert json.loads(lab.record.read_text())["pending"] == {}
    assert not (lab.dest / "left").exists()


def test_an_unchanged_result(lab: Lab) -> None:
    first = lab.pull()
    result = lab.pull()
    assert (result.changed, result.reason, result.artifact) == (False, "ArtifactUpToDate", first.artifact)
    assert result.changes == {"added": [], "changed": [], "removed": [], "permissions": [], "ignored": 0}
    assert result.diff == []


def test_a_damaged_record_is_said_once_beside_other_warnings(lab: Lab) -> None:
    lab.pull()
    lab.record.write_text("{")
    result = lab.pull(reference={"semver_filter": "x"}, force=True)
    about_the_record = [each for each in result.warnings if "cannot be understood" in each]
    assert len(about_the_record) == 1 and len(result.warnings) == 2
    assert "'semver_filter' has no effect" in result.warnings[0]
    assert not lab.pull().warnings


@pytest.mark.parametrize("force", [False, True])
def test_what_a_later_version_has_recorded_is_not_lost(lab: Lab, force: bool) -> None:
    lab.pull(keep=2)
    record = json.dumps({**json.loads(lab.record.read_text()), "format": 2, "standing": {"stopped": "by the operator"}})
    lab.record.write_text(record)
    kept = sorted((lab.record.parent / "kept").iterdir())
    with pytest.raises(StorageError, match="written by a later version"):
        lab.pull("2", keep=2, force=force)
    assert lab.record.read_text() == record and sorted((lab.record.parent / "kept").iterdir()) == kept
    assert (lab.dest / "dir/b").read_text() == "two"


def test_a_sound_record_is_no_warning(lab: Lab) -> None:
    assert not lab.pull().warnings and not lab.pull().warnings and not lab.pull("2").warnings


# Check mode and differences


def test_check_mode_and_differences_have_to_be_asked_for(lab: Lab) -> None:
    with Task(CacheOptions()) as task:
        result = run(make_context(lab.options(), task))
    assert result.diff == [] and lab.dest.is_dir()
    result = pull(lab.options("2"))
    assert result.diff == [] and (lab.dest / "dir/b").read_text() == "owt"


def test_check_mode_foresees_a_revision(lab: Lab) -> None:
    result = lab.pull(check_mode=True)
    assert (result.changed, result.reason) == (True, "NewRevision")
    assert result.changes["added"] == [] and result.artifact["tag"] == "1"
    assert not lab.dest.exists()
    lab.pull()
    before = lab.content()
    result = lab.pull("2", check_mode=True)
    assert (result.changed, result.reason) == (True, "NewRevision") and result.artifact["tag"] == "2"
    assert lab.content() == before


def test_check_mode_foresees_a_correction(lab: Lab) -> None:
    lab.pull()
    (lab.dest / "a").write_text("altered")
    before = lab.content()
    result = lab.pull(check_mode=True)
    assert (result.changed, result.reason) == (True, "DriftCorrected")
    assert result.changes["changed"] == ["a"]
    assert lab.content() == before


def test_check_mode_fetches_layers_for_differences_alone(lab: Lab) -> None:
    lab.pull()
    before = lab.content()
    result = lab.pull("2", check_mode=True, want_diff=True)
    assert result.changed and result.changes["changed"] == ["dir/b"]
    assert any("owt" in each.get("after", "") for each in result.diff)
    assert lab.content() == before


def test_differences_of_the_record_alone(lab: Lab, tmp_path: Path) -> None:
    publish(tmp_path / "other", "1", {"a": "one", "dir/b": "two"})
    publish(tmp_path / "other", "9", {"a": "one", "dir/b": "two"})
    lab.pull()
    result = lab.pull(reference={"ref": f"oci-layout:{tmp_path / 'other'}:9"}, want_diff=True)
    (shown,) = result.diff
    assert (shown["before"], shown["after"]) == (f"1@{lab.digest()}\n", f"9@{lab.digest()}\n")
    assert shown["before_header"] == shown["after_header"]
    assert str(lab.dest) in shown["before_header"]


# Where it goes


def test_a_destination_is_wanted(lab: Lab) -> None:
    with pytest.raises(StorageError, match="'dest' is empty"):
        lab.pull(dest="")


def test_a_copy_is_a_file_where_there_is_no_directory(lab: Lab) -> None:
    result = lab.pull(operation="copy", dest=str(lab.dest / "artifact.tar"))
    assert (lab.dest / "artifact.tar").is_file() and result.artifact["path"] == str(lab.dest / "artifact.tar")
    assert result.changes["added"] == ["artifact.tar"]


@pytest.mark.parametrize("how", ["slash", "exists", "all"])
def test_a_copy_is_a_file_in_a_directory(lab: Lab, how: str) -> None:
    if how == "exists":
        lab.dest.mkdir()
    dest = f"{lab.dest}/" if how == "slash" else str(lab.dest)
    options: dict[str, Any] = {"operation": "copy", "dest": dest, "layers": "all" if how == "all" else "first"}
    result = lab.pull(**options)
    (name,) = result.changes["added"]
    assert name.startswith("sha256-") and (lab.dest / name).is_file()
    # another artifact beside it has a record of its own
    assert lab.pull("2", **options).changed
    assert not lab.pull(**options).changed and not lab.pull("2", **options).changed
    assert len([each for each in lab.dest.iterdir() if each.is_file()]) == 2


def test_an_unpacked_artifact_has_its_directory_to_itself(lab: Lab) -> None:
    with Task(CacheOptions()) as task:
        unpacked = place_of(make_context(lab.options(), task))
        copied = place_of(make_context(lab.options(operation="copy", dest=str(lab.dest / "file")), task))
    assert unpacked.is_tree and unpacked.path == str(lab.dest)
    assert not copied.is_tree and copied.path == str(lab.dest / "file")


# In which order


def test_files_are_placed_within_the_turn(lab: Lab) -> None:
    seen: list[bool] = []

    @contextmanager
    def turn() -> Iterator[None]:
        seen.append(os.path.exists(lab.dest / "a"))
        yield
        seen.append(os.path.exists(lab.dest / "a"))

    with Task(CacheOptions()) as task:
        run(make_context(lab.options(), task), turn())
    assert seen == [False, True]

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host does with what it is handed: it asks for what it lacks, checks every byte, and continues a transfer."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import DigestMismatch, InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull import delivered_blobs, delivery
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.checks import HealthCheckFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.context import make_context
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import run
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.delivered import (
    DeliveryFailed,
    pull_delivered,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.delivery import (
    WANTS,
    Archive,
    Delivery,
    Parcel,
    parse_parcel,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.host_options import Health
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PART = 1000
FILES = {"one": b"1" * 1700, "two": b"2" * 900, "three": b"3" * 1}


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(data: bytes, title: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"mediaType": "text/plain", "digest": digest_of(data), "size": len(data)}
    return {**found, "annotations": {"org.opencontainers.image.title": title}} if title else found


def delivery_of(files: dict[str, bytes], **fields: Any) -> Delivery:
    layers = [descriptor(data, name) for name, data in files.items()]
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(b"{}"), "layers": layers}
    raw = json.dumps(document).encode()
    entry = {"mediaType": MANIFEST, "digest": digest_of(raw), "size": len(raw)}
    return Delivery(
        revision=f"1@{digest_of(raw)}",
        blobs={digest_of(data): len(data) for data in files.values()},
        inline={digest_of(raw): raw},
        listing={"schemaVersion": 2, "manifests": [entry]},
        is_fetched=True,
    )._replace(**fields)


class Host:
    """A host with its ``dest``, and the machine that sends it files."""

    def __init__(self, folder: Path, files: dict[str, bytes] | None = None) -> None:
        self.dest = folder / "dest"
        self._stream = {digest_of(data): data for data in (files or FILES).values()}

    def pull(self, item: Delivery, **more: Any) -> dict[str, Any]:
        modes = {name: more.pop(name, False) for name in ("check_mode", "want_diff")}
        of_host = {name: more.pop(name) for name in ("keep", "health") if name in more}
        parcel = parse_parcel(Parcel("controller", [item], **more).as_text())
        reference = ReferenceOptions(ref="registry.example.com/a/b:1", pin=item.revision)
        options = PullOptions(reference, str(self.dest), LayerSelector(), Limits(10**6, 100), **of_host)
        return pull_delivered(
            parcel,
            [options],
            lambda task, diff: run(
                make_context(options, task, check_mode=modes["check_mode"], want_diff=diff)
            ).as_result(),
            **modes,
        )

    def part(self, wants: dict[str, Any], name: str) -> bytes:
        archive = Archive(wants["missing"])
        offset, size = archive.parts[name]
        return b"".join(self._stream[digest] for digest, _size in archive.order)[offset : offset + size]

    def send(self, wants: dict[str, Any], names: list[str]) -> None:
        for name in names:
            (Path(wants["folder"]) / name).write_bytes(self.part(wants, name))

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.dest.iterdir() if path.is_file()}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PART_SIZE", PART)
    monkeypatch.setattr(delivered_blobs, "PART_SIZE", PART)


def test_a_transfer_that_broke_off_is_continued(tmp_path: Path) -> None:
    host, item = Host(tmp_path), delivery_of(FILES)
    # before the content was fetched, the host says what it lacks as well
    wants = host.pull(item._replace(is_fetched=False))[WANTS]
    names = list(Archive(wants["missing"]).parts)
    assert (len(names), wants["have"]) == (3, [])
    assert os.stat(wants["folder"]).st_mode & 0o777 == 0o700
    host.send(wants, names[:1])
    # the second was cut off
    (Path(wants["folder"]) / names[1]).write_bytes(host.part(wants, names[1])[:10])
    # the next run: only what is there as a whole counts
    wants = host.pull(item)[WANTS]
    assert wants["have"] == [0] and not host.files()
    host.send(wants, names[1:])
    result = host.pull(item, is_sent=True)
    assert (result["changed"], result["via"]["place"]) == (True, "controller")
    assert host.files() == FILES
    assert not Path(wants["folder"]).exists()
    result = host.pull(item)
    assert (result["changed"], result["reason"]) == (False, "ArtifactUpToDate")


def test_parts_of_another_version_and_damaged_ones_are_removed(tmp_path: Path) -> None:
    host, item = Host(tmp_path), delivery_of(FILES)
    wants = host.pull(delivery_of({"other": b"x" * 5000}))[WANTS]
    (Path(wants["folder"]) / "left").write_bytes(b"over")
    wants = host.pull(item)[WANTS]
    assert os.listdir(wants["folder"]) == []
    names = list(Archive(wants["missing"]).parts)
    host.send(wants, names)
    damaged = Path(wants["folder"]) / names[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    with pytest.raises(DigestMismatch, match="sent anew"):
        host.pull(item, is_sent=True)
    assert host.files() == {} and host.pull(item)[WANTS]["have"] == []


def test_a_part_in_another_directory_is_taken_over(tmp_path: Path) -> None:
    host, item = Host(tmp_path), delivery_of(FILES)
    wants = host.pull(item)[WANTS]
    answer: dict[str, Any] = {}
    for name, (offset, _size) in Archive(wants["missing"]).parts.items():
        arrived = tmp_path / "arrived"
        arrived.write_bytes(host.part(wants, name))
        answer = host.pull(item, is_sent=True, arrived=str(arrived), offset=offset)
        assert not arrived.exists()
    assert answer["changed"] and host.files() == FILES


def test_what_is_in_the_parcel_or_a_store_is_not_asked_for(tmp_path: Path) -> None:
    item = delivery_of(FILES)
    host = Host(tmp_path / "a")
    layers = {digest_of(data): data for data in FILES.values()}
    assert host.pull(item._replace(inline={**item.inline, **layers}))["changed"] and host.files() == FILES
    blobs = tmp_path / "store/blobs/sha256"
    blobs.mkdir(parents=True)
    for digest, data in layers.items():
        (blobs / digest.partition(":")[2]).write_bytes(data)
    other = Host(tmp_path / "b")
    assert other.pull(item, store=str(tmp_path / "store"))["changed"] and other.files() == FILES
    # every byte is checked again
    (blobs / digest_of(FILES["one"]).partition(":")[2]).write_bytes(b"0" * 1700)
    shutil.rmtree(other.dest)
    with pytest.raises(DigestMismatch):
        other.pull(item, store=str(tmp_path / "store"))


def test_check_mode_needs_no_content_and_leaves_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path)
    result = host.pull(delivery_of(FILES), check_mode=True)
    assert (result["changed"], result["reason"]) == (True, "NewRevision")
    # a diff is made where the content is
    asked = host.pull(delivery_of(FILES), check_mode=True, want_diff=True)[WANTS]
    assert (asked["compare"]["root"], asked["compare"]["record"]) == (str(host.dest), "")
    assert not host.dest.exists()


def test_a_failure_elsewhere_concerns_only_who_needs_something(tmp_path: Path) -> None:
    host, item = Host(tmp_path), delivery_of(FILES)
    failed = {"failed": True, "msg": "Not signed.", "reason": "VerificationError", "retryable": False}
    with pytest.raises(DeliveryFailed, match="Not signed") as caught:
        host.pull(item._replace(failure=failed))
    assert caught.value.reason == "VerificationError" and not host.dest.exists()
    layers = {digest_of(data): data for data in FILES.values()}
    host.pull(item._replace(inline={**item.inline, **layers}))
    assert host.pull(item._replace(failure=failed))["reason"] == "ArtifactUpToDate"


def test_what_a_host_keeps_is_not_sent_again_nor_what_it_holds_back(tmp_path: Path) -> None:
    new = {"one": FILES["one"], "new": b"n" * 50}
    host, first, second = Host(tmp_path, {**FILES, **new}), delivery_of(FILES), delivery_of(new)
    for item, sent in ((first, FILES), (second, {"new": new["new"]})):
        wants = host.pull(item, keep=2)[WANTS]
        assert sorted(digest for digest, _size in wants["missing"]) == sorted(map(digest_of, sent.values()))
        host.send(wants, list(Archive(wants["missing"]).parts))
        assert host.pull(item, keep=2, is_sent=True)["reason"] == "NewRevision"
    # all of the first one is there; of a damaged blob that does not count
    kept = host.dest / ".oci-artifact/kept" / digest_of(FILES["two"]).replace(":", "-")
    kept.write_bytes(b"damaged")
    wants = host.pull(first, keep=2)[WANTS]
    assert [digest for digest, _size in wants["missing"]] == [digest_of(FILES["two"])]
    host.send(wants, list(Archive(wants["missing"]).parts))
    assert host.pull(first, keep=2, is_sent=True)["reason"] == "NewRevision"
    assert host.pull(second, keep=2)["reason"] == "NewRevision" and host.files() == new

    layers = {digest_of(data): data for data in FILES.values()}
    bad = Health(("false",), 60.0, "rollback")
    with pytest.raises(HealthCheckFailed):
        host.pull(first._replace(inline={**first.inline, **layers}), keep=2, health=bad)
    result = host.pull(first, keep=2, health=bad)
    assert (result["changed"], result["reason"]) == (False, "HeldBack") and host.files() == new


@pytest.mark.parametrize("text", ["controller", "{}", '{"items": [{"blobs": {"x": 1}}], "place": "p"}', None])
def test_what_is_no_parcel_is_refused(text: str | None) -> None:
    with pytest.raises(InvalidOption):
        parse_parcel(text)

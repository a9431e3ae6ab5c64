# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory that is new as a whole is renamed as a whole: tree, record and result are those of single steps."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import apply as apply_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.new_directory import is_alike
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.small_artifacts import publish_layer

pytestmark = pytest.mark.once

NOBODY = 65534
DEFAULT_ACL = "system.posix_acl_default"

Entry = tuple[str, str, int, str]  # name, kind, mode, content or target
FIRST: list[Entry] = [
    ("top", "file", 0o644, "flat"),
    ("app", "dir", 0o755, ""),
    ("app/run", "file", 0o755, "#!/bin/sh\n"),
    ("app/secret", "file", 0o400, "hush"),
    ("app/open", "file", 0o666, "x" * 3000),
    ("app/empty", "file", 0o644, ""),
    ("app/link", "link", 0o777, "../top"),
    ("app/twin", "hard", 0o755, "app/run"),
    ("app/conf.d", "dir", 0o700, ""),
    ("app/conf.d/a.yaml", "file", 0o640, "a: 1\n"),
    ("app/bare", "dir", 0o777, ""),
    ("app-2/x", "file", 0o644, "not below app"),
    ("deep/er/est/x", "file", 0o600, "no entries for what is above"),
    ("void", "dir", 0o755, ""),
    ("skipped/a.bak", "file", 0o644, "ignored"),
    ("skipped/b", "file", 0o644, "kept"),
    (f"{'long' * 20}/{'name' * 20}", "file", 0o644, "a prefix or an extended header"),
    ("ünï/cöde", "file", 0o644, "not ASCII"),
]
WHOLE = {"app", "app-2", "deep", "skipped", "long" * 20, "ünï"}
SECOND: list[Entry] = [
    ("top/of", "file", 0o644, "a directory in place of a file"),
    ("app", "dir", 0o750, ""),
    ("app/run", "file", 0o755, "#!/bin/sh\nexit 1\n"),
    ("app/conf.d", "file", 0o644, "a file in place of a directory"),
    ("app/new/a", "file", 0o644, "new below what is there"),
    ("app/new/b/c", "file", 0o644, "and deeper"),
]


def archive(entries: list[Entry], form: int) -> bytes:
    target = io.BytesIO()
    kinds = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}
    with tarfile.open(fileobj=target, mode="w", format=form) as packed:
        for name, kind, mode, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = kinds[kind], mode
            if kind == "file":
                entry.size = len(content)
                packed.addfile(entry, io.BytesIO(content.encode()))
            else:
                entry.linkname = content
                packed.addfile(entry)
    return target.getvalue()


class Case(NamedTuple):
    """What is prepared in ``dest``, the options, and the directories that are to come whole in the first pull and in
    the second one."""

    prepare: Callable[[Path], object] = lambda dest: None
    permissions: Permissions = Permissions()
    umask: int = 0o022
    options: Mapping[str, Any] = {}
    whole: set[str] = WHOLE
    whole_later: set[str] = {"top", "app/new"}


def acl(*others: tuple[int, int]) -> bytes:
    """A list that gives these users these rights; ``rwx`` at most to anybody."""
    unknown = 0xFFFFFFFF
    entries = [(0x01, 7, unknown), *((0x02, rights, user) for user, rights in others)]
    entries += [(0x04, 5, unknown), (0x10, 7, unknown), (0x20, 0, unknown)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def default_list(path: Path) -> None:
    os.setxattr(path, DEFAULT_ACL, acl((NOBODY, 7), (12345, 5)))


def shared(path: Path) -> None:
    os.chown(path, -1, NOBODY)
    path.chmod(0o2775)


def listed_below(dest: Path) -> None:
    """Two directories are there before any pull, one of them with a default list of its own."""
    (dest / "app").mkdir()
    (dest / "deep").mkdir()
    default_list(dest / "app")


CASES = {
    "plain": Case(),
    "no umask": Case(umask=0),
    "a strict umask": Case(umask=0o077),
    "dest of somebody else": Case(lambda dest: os.chown(dest, NOBODY, NOBODY)),
    "a mode": Case(permissions=Permissions("0640")),
    "a symbolic mode": Case(permissions=Permissions("u=rwX,g=rX,o="), umask=0o077),
    # single steps: what was moved could not be taken back
    "a mode that closes directories": Case(
        permissions=Permissions("u=r,go="),
        whole=WHOLE - {"app", "deep"} | {"app/conf.d", "deep/er/est"},
        whole_later={"top", "app/new/b"},
    ),
    "an owner": Case(permissions=Permissions(uid=NOBODY)),
    "owner, group and mode": Case(permissions=Permissions("0750", uid=NOBODY, gid=NOBODY)),
    # single steps: new directories get the group of the one above
    "a shared directory": Case(shared, whole=set(), whole_later={"app/new"}),
    "a default access control list": Case(default_list),
    "a default access control list, and a strict umask": Case(default_list, umask=0o077),
    # below "app", new directories get what the staged ones did not
    "a list of a directory below": Case(listed_below, whole=WHOLE - {"app", "deep"} | {"deep/er"}, whole_later={"top"}),
    "ignored entries": Case(options={"ignore": "*.bak\nconf.d\n"}),
    "what is there is replaced": Case(lambda dest: (dest / "top").write_text("foreign"), options={"force": True}),
}


class Found(NamedTuple):
    """What one way leaves."""

    result: dict[str, Any]
    entries: dict[str, tuple[Any, ...]]
    record: dict[str, Any]


class Way:
    """A ``dest`` for one of the two ways."""

    def __init__(self, folder: Path, layout: Path, case: Case) -> None:
        self.dest = folder / "dest"
        self.dest.mkdir(parents=True)
        self._layout = layout
        self._case = case
        case.prepare(self.dest)

    def pull(self, tag: str, **more: Any) -> PullResult:
        reference = ReferenceOptions(ref=f"oci-layout:{self._layout}:{tag}")
        options = PullOptions(
            reference,
            str(self.dest),
            selector=LayerSelector(),
            limits=Limits(1 << 20, 100),
            permissions=self._case.permissions,
            **self._case.options,
        )
        return pull(options, **more)

    def run(self, tag: str) -> Found:
        predicted = self.pull(tag, check_mode=True, want_diff=True)
        result = self.pull(tag, want_diff=True)
        assert (predicted.changes, predicted.diff) == (result.changes, result.diff)
        record = json.loads((self.dest / ".oci-artifact/state").read_text())
        for name, (*fields, time) in record["files"].items():
            status = os.lstat(os.fsencode(self.dest) + b"/" + name.encode("utf-8", "surrogateescape"))
            assert fields[0] != "file" or status.st_mtime_ns == time, name
        record["files"] = {name: fields for name, (*fields, _time) in record["files"].items()}
        for artifact in (record["artifact"], result.artifact):
            del artifact["last_update_time"]
        # nothing has drifted, whatever is compared
        again = self.pull(tag)
        assert not again.changed or self._case.options.get("force"), again
        return Found(self._placeless(result._asdict() if hasattr(result, "_asdict") else vars(result)),
                     snapshot(self.dest), self._placeless(record))  # fmt: skip

    def _placeless(self, value: dict[str, Any]) -> dict[str, Any]:
        return dict(json.loads(json.dumps(value, default=str).replace(str(self.dest), "DEST")))


def snapshot(root: Path) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for path in [root, *root.rglob("*")]:
        if path.name in ("lock", "state") and path.parent.name == ".oci-artifact":
            continue
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        names = os.listxattr(path, follow_symlinks=False)
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
        links = status.st_nlink if path.is_file() else 1
        mode = stat.S_IMODE(status.st_mode)
        found[str(path.relative_to(root))] = (kind, mode, status.st_uid, status.st_gid, links, attributes, content)
    return found


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories that came as a whole."""
    whole: list[str] = []
    place_whole = apply_module.Placement._place_whole

    def watching(work: Any, path: str, below: list[str]) -> bool:
        is_done = place_whole(work, path, below)
        if is_done:
            whole.append(path)
        return is_done

    monkeypatch.setattr(apply_module.Placement, "_place_whole", watching)
    return whole


@pytest.fixture(autouse=True)
def _umask_and_descriptors() -> Iterator[None]:
    before, descriptors = os.umask(0o022), len(os.listdir("/proc/self/fd"))
    yield
    os.umask(before)
    assert len(os.listdir("/proc/self/fd")) <= descriptors, "nothing stays open"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", CASES)
def test_both_ways_leave_the_same(
    tmp_path: Path, watched: list[str], monkeypatch: pytest.MonkeyPatch, name: str, form: int
) -> None:
    case = CASES[name]
    publish_layer(tmp_path / "layout", "1", archive(FIRST, form))
    publish_layer(tmp_path / "layout", "2", archive(SECOND, form))
    quick, single = (Way(tmp_path / folder, tmp_path / "layout", case) for folder in ("quick", "single"))
    for tag, whole in (("1", case.whole), ("2", case.whole_later)):
        os.umask(case.umask)
        watched.clear()
        by_quick = quick.run(tag)
        assert set(watched) == whole
        with monkeypatch.context() as patch:
            patch.setattr(apply_module, "is_alike", lambda _one, _other: False)
            by_single = single.run(tag)
        assert by_quick == by_single


def test_what_makes_directories_alike(tmp_path: Path) -> None:
    def alike(change: Callable[[Path], object]) -> bool:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "one").mkdir(parents=True)
        (folder / "other").mkdir()
        change(folder / "other")
        one, other = (os.open(folder / name, os.O_RDONLY) for name in ("one", "other"))
        try:
            return is_alike(one, other)
        finally:
            os.close(one)
            os.close(other)

    assert alike(lambda path: None)
    assert not alike(lambda path: path.chmod(0o711))
    assert not alike(lambda path: path.chmod(0o2755))
    assert not alike(lambda path: os.chown(path, NOBODY, -1))
    assert not alike(lambda path: os.chown(path, -1, NOBODY))
    assert not alike(default_list)
    # as a label of SELinux would be
    assert not alike(lambda path: os.setxattr(path, "trusted.label", b"httpd_sys_content_t"))


def test_what_cannot_be_compared_is_not_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_directory: int, number: int) -> list[str]:
        raise OSError(number, os.strerror(number))

    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        for number, expected in ((95, True), (5, False)):
            monkeypatch.setattr(os, "listxattr", lambda directory, number=number: refuse(directory, number))
            assert is_alike(descriptor, descriptor) is expected
        monkeypatch.delattr(os, "listxattr")
        assert not is_alike(descriptor, descriptor)
    finally:
        os.close(descriptor)


def test_somebody_puts_a_file_where_a_directory_is_to_go(
    tmp_path: Path, watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays, as with single steps."""
    publish_layer(tmp_path / "layout", "1", archive(FIRST, tarfile.USTAR_FORMAT))
    way = Way(tmp_path / "place", tmp_path / "layout", Case())

    def meanwhile(one: int, other: int) -> bool:
        os.close(os.open("foreign", os.O_CREAT | os.O_WRONLY, dir_fd=one))
        return is_alike(one, other)

    monkeypatch.setattr(apply_module, "is_alike", meanwhile)
    assert way.pull("1").changed and watched == []
    assert (way.dest / "app/foreign").read_text() == "" and (way.dest / "app/conf.d/a.yaml").read_text() == "a: 1\n"
    monkeypatch.undo()
    assert not way.pull("1").changed

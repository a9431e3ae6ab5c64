# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A docker config.json that is changed in place: what is kept, who may lead where, and two writers at once."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_users import KINDS, NOBODY, Racer, Victim, give, make_directories, prepare, public_place, remove

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login import config_file
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.config_file import ConfigFile, default_path

TREE = Path(config_file.__file__).parents[6]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


def put(file: ConfigFile, document: Any) -> None:
    with file.locked():
        file.replace(document)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    assert default_path() == f"{tmp_path}/.docker/config.json"
    monkeypatch.setenv("DOCKER_CONFIG", "/elsewhere")
    assert default_path() == "/elsewhere/config.json"


def test_a_new_file(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        put(ConfigFile(str(tmp_path / ".docker/config.json")), {"auths": {"a": {}}})
    finally:
        os.umask(old)
    assert (tmp_path / ".docker/config.json").read_text() == '{\n\t"auths": {\n\t\t"a": {}\n\t}\n}\n'
    assert mode_of(tmp_path / ".docker/config.json") == 0o600
    assert mode_of(tmp_path / ".docker") == 0o700
    assert os.listdir(tmp_path / ".docker") == ["config.json"]


def test_an_existing_file_is_written_in_its_own_manner(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    document = {"z": [1.5, None, "\u00e4"], "auths": {}, "a": {"y": 1, "b": 2}}
    before = json.dumps(document, indent=4, ensure_ascii=False)
    path.write_text(before)
    path.chmod(0o644)
    file = ConfigFile(str(path))
    put(file, file.read())
    assert path.read_text() == before
    assert mode_of(path) == 0o600


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_any_value_is_kept(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "config.json"
    path.write_text(json.dumps({"x": value}))
    file = ConfigFile(str(path))
    document = file.read()
    put(file, document)
    assert json.dumps(file.read()) == json.dumps(document)


def test_half_a_surrogate_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"x": "\\ud800"}\n')
    file = ConfigFile(str(path))
    put(file, file.read())
    assert path.read_text() == '{\n\t"x": "\\ud800"\n}\n'


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"auths": []}'])
def test_what_is_no_config_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(AuthenticationFailed, match="config.json"):
        ConfigFile(str(path)).read()
    assert path.read_bytes() == content


@pytest.mark.parametrize("levels", [101, 900])
def test_a_document_that_is_too_deep(tmp_path: Path, levels: int) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"x": ' + "[" * (levels - 1) + "1" + "]" * (levels - 1) + "}")
    with pytest.raises(StorageError, match="more than 100 deep"):
        ConfigFile(str(path)).read()


def test_a_document_that_is_deep_enough(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"x": ' + "[" * 99 + "]" * 99 + ', "y": [{"z": []}, 1, {}]}')
    file = ConfigFile(str(path))
    document = file.read()
    put(file, document)
    assert file.read() == document


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(StorageError, match="more than"):
        ConfigFile(str(path)).read()


# Failures


@pytest.mark.parametrize("is_there", [False, True])
def test_a_write_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    path = tmp_path / "config.json"
    if is_there:
        path.write_text('{"auths": {}}')

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StorageError, match="Cannot write .*: No space left"):
        put(ConfigFile(str(path)), {"auths": {"a": {}}})
    assert os.listdir(tmp_path) == (["config.json"] if is_there else [])
    assert not is_there or path.read_text() == '{"auths": {}}'


@pytest.mark.parametrize("name", ["folder", "fifo", "file/config.json"])
def test_what_cannot_be_a_config(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        put(ConfigFile(str(tmp_path / name)), {})


# Links


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "home/.docker").mkdir(parents=True)
    target, link = tmp_path / "dotfiles/docker.json", tmp_path / "home/.docker/config.json"
    target.write_text('{"auths": {"kept": {}}}')
    link.symlink_to("../../dotfiles/docker.json")
    file = ConfigFile(str(link))
    put(file, {**file.read(), "x": 1})
    assert link.is_symlink()
    assert json.loads(target.read_text()) == {"auths": {"kept": {}}, "x": 1}
    assert mode_of(target) == 0o600
    assert os.listdir(link.parent) == ["config.json"]
    assert os.listdir(target.parent) == ["docker.json"]


def test_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "data/docker").mkdir(parents=True)
    (tmp_path / "data/real.json").write_text("{}")
    (tmp_path / "home").symlink_to("data/docker")
    (tmp_path / "data/docker/config.json").symlink_to("../real.json")
    put(ConfigFile(str(tmp_path / "home/config.json")), {"x": 1})
    assert json.loads((tmp_path / "data/real.json").read_text()) == {"x": 1}


def test_a_link_to_nothing_makes_the_file(tmp_path: Path) -> None:
    link = tmp_path / "config.json"
    link.symlink_to("later/docker.json")
    assert ConfigFile(str(link)).read() == {}
    put(ConfigFile(str(link)), {"x": 1})
    assert link.is_symlink()
    assert json.loads((tmp_path / "later/docker.json").read_text()) == {"x": 1}


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StorageError, match="too many levels or a loop"):
        ConfigFile(str(tmp_path / "a")).read()


@needs_root
def test_the_link_of_another_user(tmp_path: Path) -> None:
    link, target = tmp_path / "config.json", tmp_path / "target.json"
    target.write_text("{}")
    link.symlink_to(target)
    os.lchown(link, NOBODY, NOBODY)
    file = ConfigFile(str(link))
    with pytest.raises(StorageError, match="a link of another user"):
        file.read()
    with pytest.raises(StorageError, match="a link of another user"):
        put(file, {"x": 1})
    assert target.read_text() == "{}"
    target.unlink()
    with pytest.raises(StorageError, match="a link of another user"):
        put(file, {"x": 1})
    assert not target.exists()
    # whose file it is, may say where it is
    target.write_text("{}")
    os.chown(target, NOBODY, NOBODY)
    put(file, {"x": 1})
    assert json.loads(target.read_text()) == {"x": 1}


@needs_root
def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    os.chown(path, NOBODY, NOBODY)
    put(ConfigFile(str(path)), {"x": 1})
    assert (path.stat().st_uid, path.stat().st_gid, mode_of(path)) == (NOBODY, NOBODY, 0o600)


# Two users


@pytest.fixture
def place() -> Iterator[Path]:
    with public_place() as path:
        yield path


@pytest.mark.parametrize("first", ["auth.json", "docker/auth.json"])
def test_who_was_first_in_a_directory_of_all_gets_no_password(place: Path, first: str) -> None:
    place.chmod(0o1777)
    make_directories((place / first).parent, NOBODY)
    (place / first).write_text("{}")
    give(place / first)
    with pytest.raises(StorageError, match="belongs to nobody") as caught:
        put(ConfigFile(str(place / first)), {"auths": {"a": {}}})
    assert "become_user" in str(caught.value)
    assert (place / first).read_text() == "{}"


def test_root_logs_in_for_another_user(place: Path) -> None:
    home = place / "home"
    make_directories(home / ".docker", NOBODY)
    path = home / ".docker/config.json"
    path.write_text("{}")
    give(path)
    put(ConfigFile(str(path)), {"x": 1})
    assert json.loads(path.read_text()) == {"x": 1}
    assert (path.stat().st_uid, mode_of(path)) == (NOBODY, 0o600)
    # but not where that user leads it
    victim = Victim(place / "victim")
    victim.add("config.json", b'{"auths": {"of root": {}}}')
    remove(home / ".docker")
    prepare(home / ".docker", "link-to-directory", victim)
    for use in (lambda: ConfigFile(str(path)).read(), lambda: put(ConfigFile(str(path)), {"x": 1})):
        with pytest.raises(StorageError, match="a symbolic link of nobody"):
            use()
    assert victim.changes() == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_another_user_prepared_leads_nowhere(place: Path, kind: str) -> None:
    victim, path = Victim(place / "victim"), place / "home/config.json"
    prepare(path, kind, victim)
    with contextlib.suppress(StorageError, AuthenticationFailed):
        put(ConfigFile(str(path)), {"x": 1})
    assert victim.changes() == []


@pytest.mark.parametrize("name", [".docker", ".docker/config.json"])
def test_what_another_user_swaps_leads_nowhere(place: Path, name: str) -> None:
    victim, path = Victim(place / "victim"), place / "home/.docker/config.json"
    victim.add("config.json", b'{"auths": {"of root": {}}}')
    make_directories(path.parent, NOBODY)
    path.write_text("{}")
    give(place / "home")
    target = victim.path if name == ".docker" else victim.path / "config.json"
    done: list[int] = []
    with Racer(place / "home" / name, target, place / "home") as racer:
        for number in racer.rounds(100, lambda: bool(done)):
            with contextlib.suppress(StorageError):
                put(ConfigFile(str(path)), {"number": number})
                done.append(number)
    assert victim.changes() == [] and racer.swaps and done
    assert "of root" not in path.read_text()


# Two writers

WRITER = """
import sys, time
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.config_file import ConfigFile
file = ConfigFile(sys.argv[1])
for number in range(20):
    with file.locked():
        document = file.read()
        time.sleep(0.002)
        document.setdefault("auths", {})[f"{sys.argv[2]}-{number}"] = {}
        file.replace(document)
"""


def test_no_change_of_a_neighbour_is_lost(tmp_path: Path) -> None:
    path = tmp_path / ".docker/config.json"
    command = [sys.executable, "-c", WRITER, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(TREE)}
    writers = [subprocess.Popen([*command, name], env=environment) for name in "abc"]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            # what a reader without a lock finds is whole, and never less than before
            count = len(ConfigFile(str(path)).read().get("auths", {}))
            assert count >= seen
            seen = count
        time.sleep(0.001)
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(json.loads(path.read_text())["auths"]) == 60
    assert os.listdir(path.parent) == ["config.json"]


def test_a_writer_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_file, "LOCK_TIMEOUT", 0.2)
    file = ConfigFile(str(tmp_path / "config.json"))
    with file.locked(), pytest.raises(StorageError, match="Waited"):
        put(ConfigFile(str(tmp_path / "config.json")), {"x": 1})
    assert file.read() == {}

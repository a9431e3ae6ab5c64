# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of destinations: what enters it and leaves it, whom it is believed, and what it costs; and the facts."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from two_users import KINDS, LINKS, NOBODY, Victim, prepare, public_place

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import index
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.facts import users
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.facts.facts import facts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.facts.own import FactsOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.rollback import (
    RollbackOptions,
    rollback,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_decisions import Lab
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_digests import publish


class Host(Lab):
    """A host with an index of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self.index = folder / "state/index"
        monkeypatch.setenv("OCI_ARTIFACT_INDEX", str(self.index))

    def names(self) -> list[str]:
        return sorted(os.listdir(self.index)) if self.index.exists() else []

    def facts(self, *, check_mode: bool = False, **options: Any) -> list[dict[str, Any]]:
        result = facts(FactsOptions(**{"all_users": False, **options}), check_mode=check_mode)
        assert result["changed"] is False
        found: list[dict[str, Any]] = result["ansible_facts"]["oci_artifacts"]
        return found


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_what_a_pull_places_is_a_fact_until_it_vanishes(host: Host, tmp_path: Path) -> None:
    assert host.facts() == []
    host.pull("1", check_mode=True)
    assert host.names() == []  # nothing was placed
    publish(host.layout, "1.0.0", {"a": "one"})
    host.pull("1", keep=2, reference={"ref": f"oci-layout:{host.layout}", "semver": "1.x"})
    file = tmp_path / "files/one"
    file.parent.mkdir()
    host.pull("2", dest=str(file), operation="copy", media_type="")
    placed, copied = host.facts()
    assert (placed["path"], placed["state"], placed["tag"]) == (str(host.dest), "placed", "1.0.0")
    assert placed["asked"] == {"ref": f"oci-layout:{host.layout}", "semver": "1.x"}
    assert placed["digest"] == host.digest("1.0.0") and placed["placed_at"].endswith("Z")
    assert placed["drift"] == {"content": [], "permissions": [], "count": 0}
    assert placed["history"][0]["current"] and (placed["held"], placed["suspended"], placed["signers"]) == ([], {}, [])
    assert (copied["path"], copied["digest"]) == (str(file), host.digest("2"))

    shutil.rmtree(host.dest)
    file.unlink()
    (tmp_path / "files/.one.oci-artifact/state").unlink()
    gone = [(str(host.dest), "vanished"), (str(file), "vanished")]
    # check mode forgets nothing
    assert [(each["path"], each["state"]) for each in host.facts(check_mode=True)] == gone
    assert [(each["path"], each["state"]) for each in host.facts()] == gone
    assert (host.facts(), host.names()) == ([], [])


def test_drift_and_the_word_of_operators_are_facts(host: Host) -> None:
    host.pull("1", keep=2)
    (host.dest / "dir/b").write_text("owt")
    (host.dest / "a").chmod(0o600)
    host.pull("2", dest=str(host.dest) + "2")
    (Path(str(host.dest) + "2") / "a").chmod(0o600)
    rollback(RollbackOptions(str(host.dest), state="suspended", reason="an incident", who="ops"))
    kept, other = host.facts()
    assert kept["drift"] == {"content": ["dir/b"], "permissions": ["a"], "count": 2}
    assert (kept["suspended"]["who"], kept["suspended"]["reason"]) == ("ops", "an incident")
    # which mode its pull asked for is not known
    assert other["drift"]["count"] == 0
    # of the same size and time it takes a look at the bytes
    status = (host.dest.parent / "dest2/a").stat()
    (host.dest.parent / "dest2/a").write_text("eno")
    os.utime(host.dest.parent / "dest2/a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert host.facts()[1]["drift"]["count"] == 0
    assert host.facts(check_content=True)[1]["drift"]["content"] == ["a"]


def test_what_was_moved_or_placed_before_there_was_an_index_can_be_entered(host: Host, tmp_path: Path) -> None:
    host.pull("1")
    moved = tmp_path / "moved"
    host.dest.rename(moved)
    assert [each["state"] for each in host.facts()] == ["vanished"]
    assert host.facts(check_mode=True, dests=[str(moved)])[0]["state"] == "placed"
    assert host.names() == []
    assert host.facts(dests=[str(moved), str(tmp_path)])[0]["asked"] == {"ref": f"oci-layout:{host.layout}:1"}
    assert [each["path"] for each in host.facts()] == [str(host.dest)]


def test_an_unchanged_pull_does_not_look_at_the_index(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.pull("1")
    shutil.rmtree(host.index)
    monkeypatch.setattr(index, "open_trusted", lambda *_given, **_options: pytest.fail("the index was opened"))
    assert host.pull("1").changed is False


def test_the_same_content_writes_the_same_entry_once(host: Host) -> None:
    host.pull("1")
    (name,) = host.names()
    before = (host.index / name).stat()
    (host.dest / "a").write_text("drift")
    assert host.pull("1").changed is True
    assert (host.index / name).stat().st_ino == before.st_ino
    assert json.loads((host.index / name).read_text())["root"] == str(host.dest)


def test_a_destination_is_one_fact_whatever_link_leads_to_it(host: Host, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(host.dest.parent)
    through = tmp_path / "link" / host.dest.name
    host.pull("1")
    host.pull("2", dest=str(through))
    (found,) = host.facts(dests=[str(through), str(host.dest)])
    assert (found["path"], found["digest"]) == (str(through), host.digest("2"))
    assert found["asked"] == {"ref": f"oci-layout:{host.layout}:2"}
    # the link alone is not the destination
    (tmp_path / "link").unlink()
    assert [each["state"] for each in host.facts()] == ["placed"]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "nul", '{"root": "relative", "control": "a", "is_parent": false, "asked": {}}',
     '{"root": "/", "control": "../a", "is_parent": false, "asked": {}}',
     '{"root": "/", "control": "a", "is_parent": false, "asked": []}', "[" * 70000],
    ids=["empty", "no-keys", "list", "cut", "relative", "up", "asked", "nested"],
)  # fmt: skip
def test_entries_that_are_none_are_left_out(host: Host, text: str) -> None:
    host.pull("1")
    (host.index / "bad.json").write_text(text)
    os.mkfifo(host.index / "fifo.json")
    assert [each["path"] for each in host.facts()] == [str(host.dest)]


def test_a_pull_does_not_depend_on_its_index(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.index.parent).write_text("no directory")
    assert host.pull("1").changed is True
    assert host.facts() == []
    monkeypatch.setenv("OCI_ARTIFACT_INDEX", "")
    assert host.pull("2").changed is True


def test_an_index_that_others_may_write_to_is_neither_read_nor_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_place() as place:
        host = Host(place, monkeypatch)
        host.pull("1")
        host.index.chmod(0o777)
        host.pull("2", dest=str(place / "other"))
        assert len(host.names()) == 1
        with pytest.raises(StorageError, match="may be written to by|write"):
            host.facts()
        host.index.chmod(0o700)
        os.chown(host.index, NOBODY, NOBODY)
        with pytest.raises(StorageError):
            host.facts()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_through_what_another_user_has_prepared(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with public_place() as place:
        host, victim = Host(place, monkeypatch), Victim(place / "victim")
        parent = place / "state"
        parent.mkdir()
        os.chown(parent, NOBODY, NOBODY)
        prepare(host.index, kind, victim)
        host.pull("1")
        assert victim.changes() == []
        if kind in LINKS:
            assert host.index.is_symlink()


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of another user, with a pull in it."""
    with public_place() as place:
        home = place / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        someone = pwd.struct_passwd(("someone", "x", NOBODY, NOBODY, "", str(home), "/bin/sh"))
        monkeypatch.setattr(users.pwd, "getpwall", lambda: [pwd.getpwuid(0), someone])
        monkeypatch.setattr(index.pwd, "getpwuid", lambda _user: someone)
        monkeypatch.delenv("OCI_ARTIFACT_INDEX")
        monkeypatch.setattr(index, "OF_ROOT", str(place / "root"))
        lab = Lab(place)
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                lab.dest = home / "dest"
                lab.pull("1")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        yield home


def test_root_sees_what_other_users_have_pulled_by_their_own_power(other: Path) -> None:
    (found,) = facts(FactsOptions())["ansible_facts"]["oci_artifacts"]
    assert (found["path"], found["user"], found["tag"]) == (str(other / "dest"), "someone", "1")
    assert facts(FactsOptions(all_users=False))["ansible_facts"]["oci_artifacts"] == []
    # an entry that leads to what that user may not read tells nothing
    secret = other.parent / "secret"
    secret.mkdir(mode=0o700)
    (entry,) = (other / index.OF_USER).iterdir()
    entry.write_text(entry.read_text().replace(str(other / "dest"), str(secret / "dest")))
    (found,) = facts(FactsOptions(), check_mode=True)["ansible_facts"]["oci_artifacts"]
    assert found["state"] == "unreadable" and "digest" not in found


def test_a_user_who_says_nonsense_or_too_much_costs_a_warning(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MAX_ANSWER", 10)
    result = facts(FactsOptions())
    assert result["ansible_facts"]["oci_artifacts"] == []
    assert result["warnings"] == ["What someone has pulled on this host could not be read."]

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play that runs as root pulls to where another user has a say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.servers import RegistryServer
from two_users import KINDS, NOBODY, Racer, Victim, make_directories, prepare, public_place

pytestmark = pytest.mark.once

PULL = "cloudnative.artifacts.oci_artifact_pull"


@pytest.fixture
def place() -> Iterator[Path]:
    with public_place() as path:
        yield path


@pytest.fixture(scope="module")
def tree(registry: RegistryServer) -> Publisher:
    publisher = Publisher(registry.host, "two-users")
    publisher.publish("1", {"a": "one\n", "sub/b": "two\n"})
    publisher.publish("2", {"a": "eno\n", "sub/b": "owt\n", "sub/c": "three\n"})
    return publisher


def pull(tree: Publisher, tag: str, dest: Path, **options: Any) -> dict[str, Any]:
    task = {PULL: {"ref": f"{tree.name}:{tag}", "dest": str(dest), "insecure": True, **options}}
    return {**task, "ignore_errors": True}


def test_what_another_user_prepared(ansible: AnsibleRunner, tree: Publisher, place: Path) -> None:
    victim = Victim(place / "victim")
    refused, copied = [], []
    for kind in KINDS:
        prepare(place / kind / "dest/.oci-artifact", kind, victim)
        refused.append(place / kind / "dest")
        prepare(place / kind / "named/.oci-artifact/state.new", kind, victim)
        refused.append(place / kind / "named")
        os.chown(place / kind, 0, 0)
    sticky = place / "sticky"
    make_directories(sticky, 0, 0o1777)
    prepare(sticky / ".first.oci-artifact", "directory", victim)
    make_directories(sticky / "first-tree", NOBODY)
    refused.append(sticky / "first-tree")
    make_directories(place / "home", NOBODY)
    refused.append(place / "home/below/dest")
    copied.append(sticky / "first")
    file = {"layer_selector": {"operation": "copy"}}
    results = ansible.tasks(
        [pull(tree, "1", dest) for dest in refused]
        + [pull(tree, "1", dest, **file) for dest in copied]
        + [pull(tree, "1", sticky / "mine"), pull(tree, "1", sticky / "mine.tgz", **file)]
    )
    assert victim.changes() == []
    *failures, tree_result, file_result = results
    for result in failures:
        assert (result.failed, result["reason"]) == (True, "StorageOperationFailed")
        # of a hard link, the owner is the victim's
        assert "nobody" in result["msg"] or "hard-link" in result["msg"], result["msg"]
        assert "become_user" in result["msg"] or "remove" in result["msg"], result["msg"]
    assert tree_result.changed and file_result.changed
    assert not (place / "home/below").exists()


def test_races_with_whoever_got_the_files(ansible: AnsibleRunner, tree: Publisher, place: Path) -> None:
    """``owner`` as the guide shows it: the directory is root's, what is in it belongs to somebody else."""
    victim, dest = Victim(place / "victim"), place / "dest"
    make_directories(place / "spare", NOBODY)
    (first,) = ansible.tasks([pull(tree, "1", dest, owner="nobody")])
    assert first.changed and (dest / "sub").stat().st_uid == NOBODY
    modes = ["0644", "u=rw,go=", "0666"]
    steps = [
        pull(tree, "12"[number % 2], dest, owner="nobody", mode=modes[number % 3], force=number % 5 == 4)
        for number in range(15)
    ]
    with Racer(dest / "sub/b", victim.path / "secret", place / "spare") as racer:
        results = ansible.tasks(steps)
    assert len(results) == len(steps) and racer.swaps > len(steps)
    assert victim.changes() == []
    (healed,) = ansible.tasks([pull(tree, "2", dest, owner="nobody", force=True)])
    assert not healed.failed, healed
    assert (dest / "sub/b").read_text() == "owt\n"

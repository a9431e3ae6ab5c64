# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play that runs as root uses caches, layouts and login files where another user has a say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.servers import RegistryServer
from two_users import KINDS, NOBODY, Racer, Victim, give, make_directories, prepare, public_place, remove

pytestmark = pytest.mark.once

PULL, PUSH = "cloudnative.artifacts.oci_artifact_pull", "cloudnative.artifacts.oci_artifact_push"
INFO, CACHE = "cloudnative.artifacts.oci_artifact_info", "cloudnative.artifacts.oci_artifact_cache"
LOGIN = "cloudnative.artifacts.oci_registry_login"
# of a cache, see the unit tests for all of them
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# cloudnative.artifacts\n"
NAMES = ("oci-layout", "blobs/sha256", ".ingest", "index.json")


@pytest.fixture
def place() -> Iterator[Path]:
    with public_place() as path:
        yield path


@pytest.fixture(scope="module")
def tree(registry: RegistryServer) -> Publisher:
    publisher = Publisher(registry.host, "two-users-store")
    publisher.publish("1", {"a": "one\n", "sub/b": "two\n"})
    return publisher


def pull(tree: Publisher, dest: Path, cache: Path) -> dict[str, Any]:
    options = {"ref": f"{tree.name}:1", "dest": str(dest), "insecure": True, "cache_dir": str(cache)}
    return {PULL: options, "ignore_errors": True}


def test_what_another_user_prepared_in_a_cache(ansible: AnsibleRunner, tree: Publisher, place: Path) -> None:
    victim = Victim(place / "victim")
    tasks, dests = [], []
    for number, (name, kind) in enumerate((name, kind) for name in NAMES for kind in KINDS):
        cache = place / f"cache-{number}"
        make_directories(cache, 0, 0o777)
        # what stands in a directory that is no cache yet would be refused for that
        (cache / "CACHEDIR.TAG").write_text(TAG)
        prepare(cache / name, kind, victim)
        dests.append(place / f"dest-{number}")
        tasks += [
            pull(tree, dests[-1], cache),
            {CACHE: {"cache_dir": str(cache), "state": "absent"}, "ignore_errors": True},
        ]
    ansible.tasks(tasks)
    assert victim.changes() == []
    assert all((dest / "a").read_text() == "one\n" for dest in dests)


def test_what_another_user_swaps_in_a_cache(ansible: AnsibleRunner, tree: Publisher, place: Path) -> None:
    victim = Victim(place / "victim")
    cache, theirs = place / "cache", place / "theirs"
    make_directories(theirs, NOBODY)
    make_directories(cache, NOBODY, 0o777)
    assert not ansible.tasks([pull(tree, place / "first", cache)])[0].failed
    give(cache)
    with Racer(cache / "blobs", victim.path, theirs) as racer:
        ansible.tasks([pull(tree, place / f"dest-{number}", cache) for number in range(12)])
    assert racer.swaps and victim.changes() == []


def test_where_a_cache_may_lie(ansible: AnsibleRunner, tree: Publisher, place: Path) -> None:
    make_directories(place / "home", NOBODY)
    make_directories(place / "tmp", 0, 0o1777)
    make_directories(place / "tmp/first", NOBODY)
    unsafe, sticky, shown, mine = ansible.tasks(
        [
            pull(tree, place / "a", place / "home/cache"),
            pull(tree, place / "b", place / "tmp/first"),
            {CACHE: {"cache_dir": str(place / "home/cache")}, "ignore_errors": True},
            pull(tree, place / "c", place / "tmp/mine"),
        ]
    )
    for result in (unsafe, sticky):
        assert result.changed and "belongs to nobody" in result["warnings"][0], result
        assert "become_user" in result["warnings"][0]
    assert shown.failed and "belongs to nobody" in shown["msg"]
    assert mine.changed and not mine.get("warnings")
    assert os.listdir(place / "home") == os.listdir(place / "tmp/first") == []


def test_a_layout_in_the_home_of_another_user(ansible: AnsibleRunner, place: Path) -> None:
    victim = Victim(place / "victim")
    source = place / "source"
    make_directories(source, 0)
    (source / "a").write_text("a")
    make_directories(place / "home", NOBODY)

    def push(where: Path) -> dict[str, Any]:
        return {PUSH: {"path": str(source), "ref": f"oci-layout:{where}:1"}, "ignore_errors": True}

    def read(where: Path) -> dict[str, Any]:
        options = {"ref": f"oci-layout:{where}:1", "dest": str(place / f"from-{where.name}")}
        return {PULL: options, "ignore_errors": True}

    made, refused = ansible.tasks([push(place / "layout"), push(place / "home/layout")])
    assert made.changed
    assert refused.failed and refused["reason"] == "StorageOperationFailed", refused
    assert "belongs to nobody" in refused["msg"] and "become_user" in refused["msg"]
    (place / "layout").rename(place / "home/layout")
    give(place / "home/layout")
    prepare(place / "home/link", "link-to-directory", victim)
    theirs, linked = ansible.tasks([read(place / "home/layout"), read(place / "home/link")])
    assert theirs.changed and (place / "from-layout/a").read_text() == "a"
    assert linked.failed and "is a symbolic link of nobody" in linked["msg"]
    assert victim.changes() == []


def test_logins_for_another_user(ansible: AnsibleRunner, place: Path) -> None:
    victim = Victim(place / "victim")
    victim.add("config.json", b'{"auths": {}}')
    make_directories(place / "home/.docker", NOBODY)
    make_directories(place / "tmp", 0, 0o1777)
    (place / "tmp/auth.json").write_text("{}")
    give(place / "tmp/auth.json")

    def login(path: Path) -> dict[str, Any]:
        options = {"registry": "registry.example.com", "username": "u", "password": "p", "validate": False}
        return {LOGIN: {**options, "config_file": str(path)}, "ignore_errors": True}

    config = place / "home/.docker/config.json"
    config.write_text("{}")
    give(config)
    kept, refused = ansible.tasks([login(config), login(place / "tmp/auth.json")])
    assert kept.changed and "registry.example.com" in config.read_text() and os.stat(config).st_uid == NOBODY
    assert refused.failed and "belongs to nobody" in refused["msg"] and (place / "tmp/auth.json").read_text() == "{}"
    remove(place / "home/.docker")
    prepare(place / "home/.docker", "link-to-directory", victim)
    assert ansible.tasks([login(config)])[0].failed
    assert victim.changes() == []

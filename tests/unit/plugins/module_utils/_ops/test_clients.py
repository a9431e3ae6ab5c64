# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which artifacts of a task share a client."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ConnectionFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    AuthOptions,
    CacheOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.clients import Clients
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions, parse_target
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task

HOST = "registry.example.com"
PLAIN = ConnectionOptions(insecure=True)


def user(name: str) -> AuthOptions:
    return AuthOptions(username=name, password="p")


def test_one_client_for_each_registry_way_and_account() -> None:
    clients = Clients()
    first = clients.client(HOST, "a", user("u"), PLAIN)
    assert clients.client(HOST, "b", user("u"), PLAIN) is first
    others = [
        clients.client("other.example.com", "a", user("u"), PLAIN),
        clients.client(HOST, "a", user("v"), PLAIN),
        clients.client(HOST, "a", AuthOptions(auth_config={"auths": {}}), PLAIN),
        clients.client(HOST, "a", user("u"), ConnectionOptions(insecure=True, timeout=5)),
    ]
    assert len({id(client) for client in [first, *others]}) == 5
    clients.close()
    assert clients.client(HOST, "a", user("u"), PLAIN) is not first


def test_a_registry_that_never_answered_is_waited_for_once() -> None:
    seconds, messages = 0.15, ["got no connection"]
    # a machine that does not even connect in time proves nothing
    while "got no connection" in messages[0] and seconds < 100:
        seconds *= 2
        slow = ConnectionOptions(insecure=True, timeout=seconds, retries=0)
        listener, clients = socket.create_server(("127.0.0.1", 0)), Clients()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        made = [clients.client(host, name, AuthOptions(auth_config={"auths": {}}), slow) for name in "abc"]
        messages = []
        with listener:
            for client, name in zip(made, "abc"):
                with pytest.raises(ConnectionFailed) as caught:
                    client.request("HEAD", f"http://{host}/v2/{name}/manifests/1", scope="")
                messages.append(str(caught.value))
            listener.settimeout(60)
            listener.accept()
            listener.settimeout(0.1)
            with pytest.raises(OSError):
                listener.accept()
    assert f"got no answer within {seconds:g} s" in messages[0]
    assert all("was not tried, since the registry did not answer before: HEAD" in each for each in messages[1:])
    assert "/v2/c/manifests/1" in messages[2] and "/v2/a/manifests/1" in messages[2]


def test_an_account_for_a_part_of_a_registry() -> None:
    entries = {HOST: {"auth": "YTpw"}, f"{HOST}/team": {"auth": "Yjpw"}}
    auth, clients = AuthOptions(auth_config={"auths": entries}), Clients()
    assert clients.client(HOST, "x", auth, PLAIN) is clients.client(HOST, "y", auth, PLAIN)
    assert clients.client(HOST, "team/x", auth, PLAIN) is not clients.client(HOST, "x", auth, PLAIN)


def test_a_helper_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, asked = tmp_path / "docker-credential-count", tmp_path / "asked"
    answer = '{"Username": "u", "Secret": "s"}'
    program.write_text(f"#!/bin/sh\ncat >> {asked}\necho >> {asked}\necho '{answer}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    auth, clients = AuthOptions(auth_config={"credsStore": "count"}), Clients()
    made = [clients.client(host, name, auth, PLAIN) for host in (HOST, "other.example.com") for name in "abc"]
    assert len({id(client) for client in made}) == 2
    assert asked.read_text().split() == [HOST, "other.example.com"]


@pytest.mark.parametrize(
    ("second", "shared"),
    [
        ({}, True),
        ({"ref": f"{HOST}/a:2"}, False),
        ({"auth": user("v")}, False),
        ({"connection": ConnectionOptions(insecure=True, retries=0)}, False),
    ],
)
def test_what_is_asked_for_alike_is_fetched_once(second: dict[str, Any], shared: bool) -> None:
    asks: list[dict[str, Any]] = [{}, second]
    with Task(CacheOptions()) as task:
        wanted = []
        for each in asks:
            target = parse_target(ReferenceOptions(ref=each.get("ref", f"{HOST}/a:1")))
            wanted.append((target, each.get("auth", user("u")), each.get("connection", PLAIN)))
            task.expect(*wanted[-1])
        opened = [task.open(*each) for each in wanted]
        caches = [task.cached(repository) for repository in opened]
        assert [cache is not None for cache in caches] == [shared, shared]
        roots = [cache.cache.root for cache in caches if cache is not None]
        assert all(map(os.path.isdir, roots))
    assert not any(map(os.path.isdir, roots))

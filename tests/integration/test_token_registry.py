# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real registry with tokens: what a run asks for, how often, and from whom; what happens when a token runs out."""

from __future__ import annotations

import io
import os
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from support import servers, vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.certificates import ServerCertificate
from support.servers import RegistryServer
from support.tools import Tools
from token_server import TokenServer

from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import UPLOADED, BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.client import RegistryClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository

pytestmark = pytest.mark.once

PULL, PUSH, INFO, VERIFY = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "push", "info", "verify"))
KEYS = vectors.ROOT / "keys"
# seconds; the longer ones are for machines where what comes before a token runs out takes longer than the first
LIFETIMES = (3.0, 20.0, 120.0)


def login(server: TokenServer, user: str) -> dict[str, str]:
    password = f"s3cret-of-{user}"
    server.users[user] = password
    return {"username": user, "password": password}


def run(ansible: AnsibleRunner, *tasks: dict[str, Any], **defaults: Any) -> list[TaskResult]:
    modules = {name: {"insecure": True, **defaults} for name in (PULL, PUSH, INFO, VERIFY)}
    results = ansible.tasks([{"name": "task", **task} for task in tasks], module_defaults=modules)
    assert [result.get("msg") for result in results if result.failed] == []
    assert len(results) == len(tasks)
    return results


def connect(
    server: TokenServer, host: str, name: str, user: str, *, push: bool = True, sleep: Any = time.sleep, **options: Any
) -> RegistryRepository:
    reference = parse_reference(f"{host}/{name}")
    connection = ConnectionOptions(**{"insecure": True, "timeout": 120.0, **options})
    client = RegistryClient(reference.registry, connection, Credential(**login(server, user)), sleep=sleep)
    return RegistryRepository(reference, client, push=push)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "a.txt").write_text("a\n")
    return folder


def test_each_task_asks_for_one_token(
    ansible: AnsibleRunner, token_server: TokenServer, token_registry: RegistryServer, content: Path, tmp_path: Path
) -> None:
    ref = f"{token_registry.host}/flows/app:1"
    signed = {"key": str(KEYS / "ed25519.raw.pem")}
    policy = {"public_keys": [str(KEYS / "ed25519.pub")]}
    users = {name: login(token_server, name) for name in "publisher again looker verifier puller".split()}
    before, since = token_server.mark(), token_registry.mark()
    results = run(
        ansible,
        {PUSH: {"path": str(content), "ref": ref, "sign": signed, **users["publisher"]}},
        {PUSH: {"path": str(content), "ref": ref, "sign": signed, **users["again"]}},
        {INFO: {"ref": ref, "gather": ["all"], **users["looker"]}},
        {VERIFY: {"ref": ref, **policy, **users["verifier"]}},
        {PULL: {"ref": ref, "dest": str(tmp_path / "dest"), "verify": policy, **users["puller"]}},
    )
    assert [result.changed for result in results] == [True, False, False, False, True]
    assert (tmp_path / "dest/a.txt").read_text() == "a\n"
    both, reading = "repository:flows/app:pull,push", "repository:flows/app:pull"
    asked = [(request.user, request.scopes) for request in token_server.requests(since=before)]
    assert asked == [
        ("publisher", (both,)),
        ("again", (both,)),
        ("looker", (reading,)),
        ("verifier", (reading,)),
        ("puller", (reading,)),
    ]
    # and is told so once
    assert len([request for request in token_registry.requests(since=since) if request.status == 401]) == 5


def test_a_mount_asks_for_both_repositories(
    ansible: AnsibleRunner, token_server: TokenServer, token_registry: RegistryServer, content: Path
) -> None:
    host = token_registry.host
    (content / "large.bin").write_bytes(os.urandom(200_000))
    users = {name: login(token_server, name) for name in ("owner", "mounter", "stranger")}
    token_server.rights["stranger"] = {"mounts/stranger": "pull,push"}
    run(ansible, {PUSH: {"path": str(content), "ref": f"{host}/mounts/base:1", **users["owner"]}})
    mounts = {"mount_from": ["mounts/base"], "path": str(content)}
    before, since = token_server.mark(), token_registry.mark()
    run(ansible, {PUSH: {**mounts, "ref": f"{host}/mounts/derived:1", **users["mounter"]}})
    scopes = [request.scopes for request in token_server.requests(since=before)]
    own = "repository:mounts/derived:pull,push"
    assert scopes == [(own,), (own, "repository:mounts/base:pull")]
    mounted = [request for request in token_registry.requests(since=since) if "?mount=" in request.path]
    assert {request.status for request in mounted} == {401, 201}
    assert not any("/uploads/" in r.path and r.method == "PUT" for r in token_registry.requests(since=since))
    # who may not read the other repository uploads
    since = token_registry.mark()
    run(ansible, {PUSH: {**mounts, "ref": f"{host}/mounts/stranger:1", **users["stranger"]}})
    assert any("/uploads/" in r.path and r.method == "PUT" for r in token_registry.requests(since=since))


# A token that runs out


class Brief:
    """The time of the first token from now on; those after it last."""

    def __init__(self, server: TokenServer, lifetime: float) -> None:
        self._server, self._lifetime, self._begun = server, lifetime, time.monotonic()
        server.lifetime = lifetime
        self.was_good = False
        self.waits = 0

    def run_out(self, _pause: float = 0.0) -> None:
        """Wait until the first token has certainly run out; note whether it had not before."""
        # tokens name whole seconds
        self.was_good = time.monotonic() - self._begun < self._lifetime - 1
        time.sleep(self._lifetime + 0.1)
        self._server.lifetime = 300.0
        self.waits += 1


@pytest.fixture
def brief(token_server: TokenServer) -> Iterator[TokenServer]:
    """Its tokens are good for as long as a test says, whatever it tells its clients."""
    token_server.claimed_lifetime = 300.0
    yield token_server
    token_server.lifetime, token_server.claimed_lifetime = 300.0, None


@pytest.mark.parametrize("size", [1000, 30_000_000])
def test_a_token_that_runs_out_within_an_upload(brief: TokenServer, token_registry: RegistryServer, size: int) -> None:
    for lifetime in LIFETIMES:
        data, token = os.urandom(size), Brief(brief, lifetime)

        def opened(data: bytes = data, token: Brief = token) -> BinaryIO:
            token.run_out()  # the upload is open, and its body is about to be sent
            return io.BytesIO(data)

        # no repetition: a token is no failure
        user = f"uploader-{size}-{lifetime:g}"
        repository = connect(brief, token_registry.host, "brief/upload", user, retries=0)
        before, since = brief.mark(), token_registry.mark()
        uploaded = repository.push_blob(BlobSource(Descriptor(media.OCTET_STREAM, digest_of(data), size), opened))
        if token.was_good:
            break
    assert token.was_good and uploaded == UPLOADED
    assert len(brief.requests(since=before)) == 2
    requests = [(request.method, request.status) for request in token_registry.requests(since=since)]
    assert requests == [("HEAD", 401), ("HEAD", 404), ("POST", 202), ("PUT", 401), ("PUT", 201)]
    assert b"".join(repository.stream_blob(Descriptor("", digest_of(data), size))) == data


@contextmanager
def cutting_proxy(port: int, limit: int) -> Iterator[str]:
    """An address that leads to a port, and breaks off the first answer that is longer than so many bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    is_cut, threads = threading.Event(), []

    def forward(near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            passed = 0
            while True:
                readable, _writable, _broken = select.select([near, far], [], [], 300)
                for source in readable:
                    piece = source.recv(64 * 1024)
                    passed = passed + len(piece) if source is far else 0
                    if not piece:
                        return
                    if passed > limit and not is_cut.is_set():
                        is_cut.set()
                        return
                    (near if source is far else far).sendall(piece)
                if not readable:
                    return

    def accept() -> None:
        while True:
            try:
                near, _address = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=forward, args=(near,), daemon=True))
            threads[-1].start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_token_that_runs_out_before_a_download_goes_on(brief: TokenServer, token_registry: RegistryServer) -> None:
    data = os.urandom(5_000_000)
    descriptor = Descriptor(media.OCTET_STREAM, digest_of(data), len(data))
    writer = connect(brief, token_registry.host, "brief/download", "writer")
    writer.push_blob(BlobSource(descriptor, lambda: io.BytesIO(data)))
    for lifetime in LIFETIMES:
        token = Brief(brief, lifetime)
        with cutting_proxy(token_registry.port, 2_000_000) as host:
            user = f"reader-of-parts-{lifetime:g}"
            reader = connect(brief, host, "brief/download", user, push=False, sleep=token.run_out)
            before, since = brief.mark(), token_registry.mark()
            assert b"".join(reader.stream_blob(descriptor)) == data
        if token.was_good:
            break
    assert token.was_good and token.waits == 1
    assert len(brief.requests(since=before)) == 2
    # the answer that broke off, and the rest with a new token
    assert [request.status for request in token_registry.requests(since=since)] == [401, 200, 401, 206]


# Where the token server is


@contextmanager
def tls_registry_with(
    tools: Tools, certificate: ServerCertificate, folder: Path, tokens: TokenServer
) -> Iterator[RegistryServer]:
    folder.mkdir()
    with servers.distribution(Path(tools["registry"]), folder, certificate=certificate, tokens=tokens) as server:
        yield server


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_server_on_another_host(
    ansible: AnsibleRunner,
    tools: Tools,
    server_certificate: ServerCertificate,
    content: Path,
    tmp_path: Path,
    algorithm: str,
) -> None:
    keys = (server_certificate.cert, server_certificate.key)
    with TokenServer(algorithm=algorithm, certificate=keys, host="localhost") as tokens:
        user = login(tokens, "u")
        with tls_registry_with(tools, server_certificate, tmp_path / "registry", tokens) as server:
            (result,) = run(
                ansible,
                {PUSH: {"path": str(content), "ref": f"{server.host}/far/app:1", **user}},
                insecure=False,
                ca_cert=str(server_certificate.ca_cert),
            )
            assert result.changed
            assert [(request.grant, request.user, request.status) for request in tokens.requests()] == [
                ("basic", "u", 200)
            ]


def test_a_token_server_without_encryption(
    ansible: AnsibleRunner,
    tools: Tools,
    server_certificate: ServerCertificate,
    tmp_path: Path,
) -> None:
    """Of a registry over TLS: a password would go over the wire in the clear."""
    with TokenServer() as tokens:
        user = login(tokens, "u")
        with tls_registry_with(tools, server_certificate, tmp_path / "registry", tokens) as server:
            ca_cert = str(server_certificate.ca_cert)
            result = ansible.task(INFO, ref=f"{server.host}/far/app:1", ca_cert=ca_cert, **user)
            assert result.failed
            assert result["reason"] == "AuthenticationFailed"
            assert re.search("names the token server 'http://127.0.0.1:.*', which may not see cred", result["msg"])
        assert tokens.requests() == []

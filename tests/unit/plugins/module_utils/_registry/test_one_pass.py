# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs that are named when they were sent: what goes over the wire, and what becomes of it when that is refused."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Callable

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    BuildError,
    PushFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import UPLOADED
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    source_of,
)

DATA = os.urandom(300_000)
UPLOADS = "/blobs/uploads/"


@dataclass
class Blob:
    """What a build hands over: bytes, and what it says of them."""

    data: bytes = DATA
    size: int | None = len(DATA)
    named: bytes = DATA
    failure: Callable[[], None] = lambda: None

    def open(self) -> BinaryIO:
        self.failure()
        return io.BytesIO(self.data)

    def finish(self) -> Descriptor:
        return Descriptor("", digest_of(self.named), len(self.named))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as found:
        yield found


def methods(server: FaultServer) -> list[str]:
    return [seen.method for seen in server.requests()]


@pytest.mark.parametrize("size", [len(DATA), None], ids=["size known", "size unknown"])
def test_the_requests(server: FaultServer, size: int | None) -> None:
    assert Harness(server, push=True).repository.push_unhashed(Blob(size=size))
    assert server.blobs == {digest_of(DATA): DATA}
    assert methods(server) == ["POST", "PATCH", "PUT"]
    patch, put = server.requests("PATCH")[0], server.requests("PUT")[0]
    assert patch.target == f"/v2/org/app{UPLOADS}1?state=a%2Bb&state=2"
    assert patch.headers["Content-Length"] == (None if size is None else str(size))
    assert patch.headers["Transfer-Encoding"] == ("chunked" if size is None else None)
    # as Docker sends it: with a range, some registries expect more pieces to come
    assert patch.headers["Content-Range"] is None
    # the state that the registry gave last, and the digest
    assert put.target == f"/v2/org/app{UPLOADS}1?state=patched&digest=sha256%3A{digest_of(DATA)[7:]}"
    assert put.body == b"" and put.headers["Content-Length"] == "0"
    assert server.connections == 1


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 411, 413, 416, 501, 302])
def test_a_registry_that_refuses_it(server: FaultServer, status: int) -> None:
    server.always("PATCH", UPLOADS, Answer(status))
    harness = Harness(server, push=True)
    assert not harness.repository.push_unhashed(Blob())
    assert methods(server) == ["POST", "PATCH", "DELETE"]
    assert server.requests("DELETE")[0].path == server.requests("PATCH")[0].path
    # once is enough
    assert not harness.repository.push_unhashed(Blob())
    assert len(server.seen) == 3 and harness.sleeps == []
    assert harness.repository.push_blob(source_of(DATA)) == UPLOADED


@pytest.mark.parametrize("fault", [Answer(503, {"Retry-After": "7"}), Answer(429), Answer(is_silent=True)])
def test_passing_trouble(server: FaultServer, fault: Answer) -> None:
    server.script("PATCH", UPLOADS, fault)
    harness = Harness(server, push=True)
    assert not harness.repository.push_unhashed(Blob())
    assert methods(server) == ["POST", "PATCH", "DELETE"]
    assert len(harness.sleeps) == 1 and (fault.status != 503 or harness.sleeps[0] >= 7)
    # says nothing about the next one
    assert harness.repository.push_unhashed(Blob())
    assert server.blobs == {digest_of(DATA): DATA}


@pytest.mark.parametrize(
    ("location", "place"),
    [("", "1"), ("2", "2"), ("/v2/org/app/blobs/uploads/3?x=1#part", "3"), ("{url}/elsewhere/4", "4")],
    ids=["none", "relative", "path", "absolute"],
)
def test_where_the_upload_goes_on(server: FaultServer, location: str, place: str) -> None:
    def move(seen: object) -> Answer:
        server.always("PUT", "", Answer(201))
        return Answer(202, {"Location": location.format(url=server.url)} if location else {}, b"")

    server.script("PATCH", UPLOADS, move)
    assert Harness(server, push=True).repository.push_unhashed(Blob())
    assert server.requests("PUT")[0].path.rpartition("/")[2] == place


@pytest.mark.parametrize("range_", ["", "0-0", "bytes=0-299999", "0-299999", "nonsense"])
def test_the_range_of_the_answer_does_not_matter(server: FaultServer, range_: str) -> None:
    def take(seen: object) -> Answer:
        server.uploads["/v2/org/app/blobs/uploads/1"] = DATA
        return Answer(202, {"Range": range_} if range_ else {})

    server.script("PATCH", UPLOADS, take)
    assert Harness(server, push=True).repository.push_unhashed(Blob())


def test_a_part_that_was_lost_is_found_out(server: FaultServer) -> None:
    def lose(seen: object) -> Answer:
        server.uploads["/v2/org/app/blobs/uploads/1"] = DATA[:-1]
        return Answer(202, {"Range": "0-299998"})

    server.script("PATCH", UPLOADS, lose)
    assert not Harness(server, push=True).repository.push_unhashed(Blob())
    assert methods(server) == ["POST", "PATCH", "PUT", "DELETE"]
    assert server.blobs == {}


def test_an_upload_elsewhere_gets_no_credential(server: FaultServer) -> None:
    credential = Credential("user", "passw0rd")
    with FaultServer() as other:
        server.script("POST", UPLOADS, Answer(202, {"Location": other.url + "/v2/x/blobs/uploads/1?sig=s3cret"}))
        assert Harness(server, credential, push=True).repository.push_unhashed(Blob())
        assert other.blobs == {digest_of(DATA): DATA}
        assert [seen.authorization for seen in other.seen] == ["", ""]


def test_no_upload_leaves_https(server: FaultServer) -> None:
    harness = Harness(server, push=True)
    object.__setattr__(harness.client.connection, "insecure", False)
    with pytest.raises(PushFailed, match="plain HTTP"):
        harness.repository.push_unhashed(Blob())
    assert "PATCH" not in methods(server)


@pytest.mark.parametrize(("least", "is_sent"), [("300000", True), ("300001", False), ("x", True), ("9" * 30, True)])
def test_the_fewest_bytes_of_a_patch(server: FaultServer, least: str, is_sent: bool) -> None:
    place = {"Location": f"/v2/org/app{UPLOADS}1", "OCI-Chunk-Min-Length": least}
    server.script("POST", UPLOADS, Answer(202, place))
    assert Harness(server, push=True).repository.push_unhashed(Blob()) == is_sent
    assert methods(server) == ["POST", *(["PATCH", "PUT"] if is_sent else ["DELETE"])]


@pytest.mark.parametrize("has_arrived", [True, False])
@pytest.mark.parametrize("fault", [Answer(502), Answer(200), Answer(is_silent=True)], ids=["502", "200", "lost"])
def test_the_answer_to_the_digest_is_lost(server: FaultServer, fault: Answer, has_arrived: bool) -> None:
    def lose(seen: object) -> Answer:
        if has_arrived:
            server.add_blob(DATA)
        return fault

    server.script("PUT", UPLOADS, lose)
    assert Harness(server, push=True).repository.push_unhashed(Blob()) == has_arrived
    assert ("DELETE" in methods(server)) == (not has_arrived)


def test_a_token_that_runs_out_meanwhile(server: FaultServer) -> None:
    """The upload is sent again from its start, with a new token."""
    challenge = {"WWW-Authenticate": f'Bearer realm="{server.url}/token",service="s"'}
    given = iter(["old", "new"])
    server.always("GET", "^/token", lambda seen: Answer(body=b'{"token": "%s"}' % next(given).encode()))
    server.script("POST", UPLOADS, Answer(401, challenge))
    server.always("PATCH", UPLOADS, lambda seen: Answer(401, challenge) if seen.authorization.endswith("old") else None)
    assert Harness(server, Credential("user", "passw0rd"), push=True).repository.push_unhashed(Blob(size=None))
    assert server.blobs == {digest_of(DATA): DATA}


def test_refused_credentials_are_an_error(server: FaultServer) -> None:
    server.always("", "", Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}))
    with pytest.raises(AuthenticationFailed):
        Harness(server, Credential("user", "passw0rd"), push=True).repository.push_unhashed(Blob())
    assert "PATCH" not in methods(server)


def test_what_cannot_be_read_is_cancelled(server: FaultServer) -> None:
    def fail() -> None:
        raise BuildError("no longer there")

    with pytest.raises(BuildError, match="no longer there"):
        Harness(server, push=True).repository.push_unhashed(Blob(failure=fail))
    assert methods(server) == ["POST", "DELETE"]


def test_what_ends_early_is_cancelled(server: FaultServer) -> None:
    with pytest.raises(BuildError, match="ended after 299999"):
        Harness(server, push=True).repository.push_unhashed(Blob(DATA[:-1]))
    # the end of the broken request may be seen after the next one
    assert "DELETE" in methods(server) and server.blobs == {}


def test_what_grows_is_sent_as_announced(server: FaultServer) -> None:
    assert Harness(server, push=True).repository.push_unhashed(Blob(DATA + b"more"))
    assert server.blobs == {digest_of(DATA): DATA}


@pytest.mark.parametrize("answer", [Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}), Answer(is_silent=True)])
def test_a_refused_cancellation_changes_nothing(server: FaultServer, answer: Answer) -> None:
    """Deleting takes a right of its own in some registries: the credentials are used as before."""
    server.always("DELETE", UPLOADS, answer)
    server.always("PATCH", UPLOADS, Answer(405))
    harness = Harness(server, Credential("user", "passw0rd"), push=True)
    assert not harness.repository.push_unhashed(Blob())
    assert len(server.requests("DELETE")) == 1
    assert harness.repository.push_blob(source_of(DATA)) == UPLOADED

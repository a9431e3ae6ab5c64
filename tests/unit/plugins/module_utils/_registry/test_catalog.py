# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of repositories: what a registry may answer in its place, and who may see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    CatalogRefused,
    InvalidContent,
    OciError,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import (
    catalog as registry_catalog,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import (
    pages as registry_pages,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.catalog import list_repositories
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import Harness

JSON = {"Content-Type": "application/json"}
HTML = Answer(200, {"Content-Type": "text/html"}, b"<html>")
CATALOG, PING = "/v2/_catalog", "/v2/$"


def page(names: Any, link: str = "") -> Answer:
    headers = {**JSON, "Link": f'<{link}>; rel="next"'} if link else JSON
    return Answer(200, headers, json.dumps({"repositories": names}).encode())


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.always("GET", PING, Answer(200, JSON, b"{}"))
        yield running


def listed(server: FaultServer, credential: Credential | None = None) -> list[list[str]]:
    return list(list_repositories(Harness(server, credential, retries=0).client))


def test_pages(server: FaultServer) -> None:
    server.script("GET", CATALOG, page(["a", "b/c"], "/v2/_catalog?last=b"), page(["b/c", "d"]), page(None))
    assert listed(server) == [["a", "b/c"], ["d"]]
    assert [seen.target for seen in server.seen] == ["/v2/_catalog?n=1000", "/v2/_catalog?last=b"]
    assert listed(server) == [[]]


def test_a_page_at_a_time(server: FaultServer) -> None:
    server.script("GET", CATALOG, page(["a"], "?x"), page(["b"], "?y"))
    pages = list_repositories(Harness(server).client)
    assert next(pages) == ["a"]
    pages.close()
    assert len(server.seen) == 1


def test_what_is_no_repository_is_passed_over(server: FaultServer) -> None:
    names = ["a", "", 1, None, ["x"], "../b", "A", "a:1", "a@" + "0" * 64, "x\ny", "b" * 500, "b"]
    server.script("GET", CATALOG, page(names))
    assert listed(server) == [["a", "b"]]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(403, JSON, b'{"errors": [{"code": "DENIED"}]}'), "CatalogNotPermitted"),
        (Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}), "CatalogNotPermitted"),
        (Answer(404), "CatalogNotSupported"),
        (Answer(405), "CatalogNotSupported"),
        (Answer(400), "CatalogNotSupported"),
        (Answer(501), "CatalogNotSupported"),
        (HTML, "CatalogNotSupported"),
        (Answer(200, JSON, b'{"repositories": ['), "CatalogNotSupported"),
    ],
)
@pytest.mark.parametrize("credential", [None, Credential("user", "secret-password")])
def test_who_may_not_see_it_is_told(
    server: FaultServer, answer: Answer, reason: str, credential: Credential | None
) -> None:
    server.always("GET", CATALOG, answer)
    with pytest.raises(CatalogRefused) as caught:
        listed(server, credential)
    assert caught.value.reason == reason
    assert server.host in caught.value.message and "'ref'" in caught.value.hint
    assert "secret-password" not in str(caught.value)


def test_a_token_without_the_right(server: FaultServer) -> None:
    """What Docker Hub does: a token is given, for less than was asked."""
    challenge = {"WWW-Authenticate": f'Bearer realm="{server.url}/token",service="x",scope="registry:catalog:*"'}
    server.always("GET", CATALOG, Answer(401, challenge))
    server.always("GET", "/token", Answer(200, JSON, b'{"token": "t"}'))
    with pytest.raises(CatalogRefused, match="does not permit this account"):
        listed(server, Credential("user", "password"))
    assert "scope=registry%3Acatalog%3A%2A" in server.requests("GET", "/token")[0].target


def test_wrong_credentials_are_another_matter(server: FaultServer) -> None:
    refused = Answer(401, {"WWW-Authenticate": 'Basic realm="x"'})
    server.always("GET", CATALOG, refused)
    server.always("GET", PING, refused)
    for credential in (None, Credential("user", "wrong")):
        with pytest.raises(AuthenticationFailed) as caught:
            listed(server, credential)
        assert not isinstance(caught.value, CatalogRefused)


@pytest.mark.parametrize(("status", "count"), [(500, 1), (429, 1), (418, 1)])
def test_trouble_is_no_refusal(server: FaultServer, status: int, count: int) -> None:
    server.always("GET", CATALOG, Answer(status))
    with pytest.raises(RegistryError, match=f"status {status}"):
        listed(server)
    assert len(server.requests("GET", CATALOG)) == count


def test_a_refusal_in_the_midst_is_trouble(server: FaultServer) -> None:
    server.script("GET", CATALOG, page(["a"], "?x"), HTML)
    with pytest.raises(RegistryError, match="in place of JSON"):
        listed(server)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([page({"a": 1})], "'repositories' is not a list"),
        ([page(["a"], "http://elsewhere.example/v2/")], "another host"),
        ([page(["a"], "?n=1000")], "repeats a page"),
    ],
)
def test_lists_that_lead_nowhere(server: FaultServer, answers: list[Answer], words: str) -> None:
    server.script("GET", CATALOG, *answers)
    with pytest.raises(OciError, match=words):
        listed(server)


def test_lists_end(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_catalog, "MAX_NAMES", 3)
    monkeypatch.setattr(registry_pages, "MAX_PAGES", 5)
    server.script("GET", CATALOG, page(["a", "b", "c", "d"]))
    with pytest.raises(InvalidContent, match="more than 3 repositories"):
        listed(server)
    server.script("GET", CATALOG, *(page(["a"], f"?{number}") for number in range(10)))
    with pytest.raises(OciError, match="more than 5 pages"):
        listed(server)

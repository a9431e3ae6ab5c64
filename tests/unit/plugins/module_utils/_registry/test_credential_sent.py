# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which credential is sent for which scope, to whom and until when, decided without a server."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.auth import EXPIRY_MARGIN, RegistryAuth

USER = Credential("user", "pass")
BASIC = {"Authorization": "Basic " + USER.basic}
BEARER = 'Bearer realm="https://auth.example/token",service="s"'
PULL, PUSH = "repository:a:pull", "repository:a:pull,push"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


class Server:
    """A token server: what it was asked, and what it answers beside the token."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        self.status = 200
        self.asked: list[tuple[str, str, dict[str, str], dict[str, str]]] = []

    def fetch(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        text = (body or b"").decode() if method == "POST" else urlsplit(url).query
        query = dict(parse_qsl(text, keep_blank_values=True))
        self.asked.append((method, url, headers, query))
        return self.status, json.dumps({"token": f"token-{len(self.asked)}", **self.fields}).encode()

    def auth(self, credential: Credential | None = USER, is_encrypted: bool = True) -> RegistryAuth:
        return RegistryAuth("r.example", credential, self.fetch, is_encrypted=is_encrypted)


def bearer(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer token-{number}"}


# What is sent before and after a challenge


def test_a_registry_token_is_all_there_is() -> None:
    server = Server()
    auth = server.auth(Credential(registry_token="given"))
    assert auth.header_for(PULL) == {"Authorization": "Bearer given"}
    with pytest.raises(AuthenticationFailed, match="refused the credentials"):
        auth.answer(BEARER, PULL, "Bearer given")
    assert server.asked == []


def test_a_password_goes_to_the_token_server_alone_once_there_is_one() -> None:
    server = Server()
    auth = server.auth()
    assert auth.header_for(PULL) == BASIC
    assert auth.answer(BEARER, PULL, BASIC["Authorization"]) is True
    assert auth.header_for(PULL) == bearer(1)
    assert auth.header_for(PUSH) == {}, "nothing to send yet, and no password"
    assert server.asked[0][2]["Authorization"] == BASIC["Authorization"]


def test_a_registry_may_want_the_password_after_all() -> None:
    auth = Server().auth()
    auth.answer(BEARER, PULL, BASIC["Authorization"])
    assert auth.answer('Basic realm="x"', PUSH, "") is False
    assert auth.header_for(PUSH) == BASIC
    with pytest.raises(AuthenticationFailed):
        auth.answer('Basic realm="x"', PUSH, BASIC["Authorization"])
    with pytest.raises(AuthenticationFailed):
        auth.header_for(PUSH)


def test_a_challenge_of_an_unknown_kind_gets_no_password() -> None:
    auth = Server().auth()
    auth.answer(BEARER, PULL, BASIC["Authorization"])
    with pytest.raises(AuthenticationFailed, match=r"no credentials were found|asks for authentication"):
        auth.answer("Negotiate", PUSH, "")


def test_a_token_that_another_thread_has_fetched_is_used() -> None:
    server = Server()
    auth = server.auth()
    assert auth.answer(BEARER, PULL, "") is True
    assert auth.answer(BEARER, PULL, "Bearer another") is False
    assert len(server.asked) == 1
    assert auth.answer(BEARER, PULL, "Bearer token-1") is True
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("credential", "header", "said"),
    [
        (None, "", "asks for authentication (none that it names) and no credentials were found"),
        (None, 'Basic realm="x"', "asks for authentication (basic) and no credentials were found"),
        (Credential(identity_token="i"), "Basic", "has no token server that the identity token could be given to"),
        (Credential(identity_token="i"), "", "asks for authentication (none that it names)"),
    ],
)
def test_what_is_said_where_nothing_can_be_sent(credential: Credential | None, header: str, said: str) -> None:
    with pytest.raises(AuthenticationFailed) as failure:
        Server().auth(credential).answer(header, PULL, "")
    assert said in failure.value.message


# For how long


def test_a_token_is_sent_until_shortly_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, server = Clock(monkeypatch), Server(expires_in=600)
    auth = server.auth()
    auth.answer(BEARER, PULL, "")
    clock.now += 600 - EXPIRY_MARGIN - 0.5
    assert auth.header_for(PULL) == bearer(1)
    clock.now += 0.5
    assert auth.header_for(PULL) == bearer(2)


def test_a_token_with_a_short_life_is_used_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, server = Clock(monkeypatch), Server(expires_in=1)
    auth = server.auth()
    auth.answer(BEARER, PULL, "")
    clock.now += 0.5
    assert auth.header_for(PULL) == bearer(1)
    clock.now += 0.5
    assert auth.header_for(PULL) == bearer(2)


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_a_token_whose_time_is_over_is_nothing_better(monkeypatch: pytest.MonkeyPatch, late: float) -> None:
    clock, server = Clock(monkeypatch), Server(expires_in=1)
    auth = server.auth()
    auth.answer(BEARER, PULL, "")
    clock.now += 1 + late
    assert auth.answer(BEARER, PULL, "Bearer another") is True
    assert len(server.asked) == 2


def test_a_token_is_renewed_once_by_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, server = Clock(monkeypatch), Server(expires_in=1)
    auth = server.auth()
    auth.answer(BEARER, PULL, "")
    clock.now += 5
    asking = auth._asking

    @contextmanager
    def waiting(scope: str) -> Any:
        # another thread comes first
        monkeypatch.setattr(auth, "_asking", asking)
        auth.header_for(scope)
        with asking(scope):
            yield

    def come_second(scope: str) -> AbstractContextManager[Any]:
        return waiting(scope)

    monkeypatch.setattr(auth, "_asking", come_second)
    assert auth.header_for(PULL) == bearer(2)
    assert len(server.asked) == 2


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_a_credential_is_renewed_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch, late: float) -> None:
    clock = Clock(monkeypatch)
    renewed: list[Credential] = []

    def renew() -> Credential:
        renewed.append(Credential("user", "second", valid_until=clock.now + 100, renew=renew))
        return renewed[-1]

    auth = Server().auth(Credential("user", "first", valid_until=clock.now + 10, renew=renew))
    first = auth.header_for(PULL)
    clock.now += 9
    assert auth.header_for(PULL) == first and not renewed
    clock.now += 1 + late
    assert auth.header_for(PULL) == {"Authorization": "Basic " + Credential("user", "second").basic}
    auth.header_for(PULL)
    assert len(renewed) == 1


def test_a_renewed_identity_token_is_the_one_that_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, server = Clock(monkeypatch), Server()
    second = Credential(identity_token="second")
    auth = server.auth(Credential(identity_token="first", valid_until=clock.now + 10, renew=lambda: second))
    auth.answer(BEARER, PULL, "")
    clock.now += 10
    auth.answer(BEARER, PUSH, "")
    assert [asked[3]["refresh_token"] for asked in server.asked] == ["first", "second"]


# What a token server is asked


def test_an_identity_token_is_posted() -> None:
    server = Server()
    auth = server.auth(Credential(identity_token="i"))
    auth.answer(BEARER, PULL, "")
    auth.answer(BEARER, "", "")
    for number, scope in enumerate(({"scope": PULL}, {})):
        method, url, headers, form = server.asked[number]
        assert (method, url) == ("POST", "https://auth.example/token")
        assert headers["Content-Type"] == "application/x-www-form-urlencoded" and "Authorization" not in headers
        wanted = {"grant_type": "refresh_token", "refresh_token": "i", "service": "s", "client_id": form["client_id"]}
        assert form == {**wanted, **scope}


@pytest.mark.parametrize(("realm", "separator"), [("https://a.example/t", "?"), ("https://a.example/t?x=1", "&")])
def test_a_realm_may_have_a_query(realm: str, separator: str) -> None:
    server = Server()
    server.auth(None).answer(f'Bearer realm="{realm}"', PULL, "")
    assert server.asked[0][1] == f"{realm}{separator}scope=repository%3Aa%3Apull"
    assert "Authorization" not in server.asked[0][2]


@pytest.mark.parametrize("answer", [5, "", None, ["x"]])
def test_an_identity_token_is_replaced_by_another_alone(answer: Any) -> None:
    server = Server(refresh_token=answer)
    auth = server.auth(Credential(identity_token="i"))
    auth.answer(BEARER, PULL, "")
    server.fields = {"refresh_token": "j"}
    auth.answer(BEARER, PUSH, "")
    auth.answer(BEARER, "", "")
    assert [asked[3]["refresh_token"] for asked in server.asked] == ["i", "i", "j"]


def test_who_gave_a_password_is_not_made_the_holder_of_an_identity_token() -> None:
    server = Server(refresh_token="from the server")
    auth = server.auth()
    auth.answer(BEARER, PULL, "")
    auth.answer(BEARER, PUSH, "")
    assert [(asked[0], asked[2]["Authorization"]) for asked in server.asked] == [("GET", BASIC["Authorization"])] * 2


@pytest.mark.parametrize("realm", ["ftp://r.example/token", "r.example/token", "//r.example/token", "http:///token"])
def test_a_realm_is_an_url_of_http(realm: str) -> None:
    server = Server()
    auth = server.auth(is_encrypted=False)
    with pytest.raises(AuthenticationFailed, match="may not see credentials"):
        auth.answer(f'Bearer realm="{realm}"', PULL, "")
    assert server.asked == []
    auth = server.auth(is_encrypted=False)
    assert auth.answer('Bearer realm="http://r.example/token"', PULL, "")


# How a refusal by the token server is explained


@pytest.mark.parametrize(
    ("credential", "status", "hint"),
    [
        (None, 401, "No credentials were found"),
        (USER, 401, "Check user name and password"),
        (USER, 404, "Check user name and password"),
        *((Credential(identity_token="i"), status, "It takes no identity tokens") for status in (404, 405, 501)),
        *((Credential(identity_token="i"), status, "Log in again.") for status in (400, 401, 403, 406)),
        (Credential(identity_token="i", renew=lambda: USER), 401, "may lack a role at this registry"),
        (Credential("u", "p", renew=lambda: USER), 401, "may lack a role at this registry"),
    ],
)
def test_hints(credential: Credential | None, status: int, hint: str) -> None:
    server = Server()
    server.status = status
    with pytest.raises(AuthenticationFailed) as failure:
        server.auth(credential).answer(BEARER, PULL, "")
    assert hint in failure.value.hint


# Threads


@pytest.mark.parametrize(("credential", "at_once"), [(USER, True), (Credential(identity_token="i"), False)])
def test_who_may_ask_at_once(credential: Credential, at_once: bool) -> None:
    """The answer may replace an identity token: with one the requests for all scopes take turns."""
    met = threading.Barrier(2)
    outcomes: list[bool] = []

    def fetch(*_request: Any) -> tuple[int, bytes]:
        try:
            met.wait(30 if at_once else 0.5)
            outcomes.append(True)
        except threading.BrokenBarrierError:
            outcomes.append(False)
        return 200, b'{"token": "t"}'

    auth = RegistryAuth("r.example", credential, fetch, is_encrypted=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda scope: auth.answer(BEARER, scope, ""), (PULL, PUSH)))
    assert outcomes == [at_once] * 2


# What is remembered of a refusal


BASIC_HEADER = 'Basic realm="x"'


@pytest.mark.parametrize(
    ("challenge", "credential", "modes", "is_remembered"),
    [
        (BASIC_HEADER, USER, {}, True),
        (BASIC_HEADER, USER, {"is_preliminary": True}, True),
        (BASIC_HEADER, None, {}, True),
        (BASIC_HEADER, None, {"is_preliminary": False}, True),
        # the real request follows, and is asked again
        (BASIC_HEADER, None, {"is_preliminary": True}, False),
        # without a challenge it is not about credentials
        ("", USER, {}, False),
        ("", None, {}, False),
        ("", None, {"is_preliminary": True}, False),
    ],
)
def test_which_refusals_are_remembered(
    challenge: str, credential: Credential | None, modes: dict[str, bool], is_remembered: bool
) -> None:
    auth, given = Server().auth(credential), BASIC if credential else {}
    with pytest.raises(AuthenticationFailed):
        auth.answer(challenge, PULL, given.get("Authorization", ""), **modes)
    if is_remembered:
        with pytest.raises(AuthenticationFailed):
            auth.header_for(PULL)
    else:
        assert auth.header_for(PULL) == given
    assert auth.header_for(PUSH) == given


def test_what_was_accepted_before_is_not_what_is_refused() -> None:
    auth = Server().auth()
    auth.note_accepted(PULL)
    for scope in (PULL, PUSH):
        with pytest.raises(AuthenticationFailed):
            auth.answer(BASIC_HEADER, scope, BASIC["Authorization"])
    assert auth.header_for(PULL) == BASIC
    with pytest.raises(AuthenticationFailed):
        auth.header_for(PUSH)

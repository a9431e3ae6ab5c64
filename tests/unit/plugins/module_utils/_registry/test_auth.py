# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets a credential, how often, and what happens when it is refused."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    OciError,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.auth import (
    RegistryAuth,
    parse_challenges,
    wanted_scopes,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets.known import noted
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
    Seen,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    manifest_of,
    source_of,
)

USER = Credential("user", "passw0rd-of-user")
MANIFEST = manifest_of()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.add_manifest(MANIFEST.raw, "1")
        yield server


class Tokens:
    """A token server on the same host, and a registry that takes its tokens only."""

    def __init__(self, server: FaultServer, realm: str = "", lifetime: int = 300, uses: int = 1_000_000) -> None:
        self.server = server
        self.lifetime, self.uses = lifetime, uses
        self.granted: dict[str, int] = {}
        self.answer: Answer | None = None
        self.challenge = f'Bearer realm="{realm or server.url + "/token"}",service="the registry"'
        server.always("", "^/token", self._token)
        server.always("", "^/v2/", self._guard)

    def _token(self, seen: Seen) -> Answer:
        if self.answer:
            return self.answer
        query = parse_qs(urlsplit(seen.target).query) if seen.method == "GET" else parse_qs(seen.body.decode())
        token = f"token-{len(self.granted)}-{'|'.join(query.get('scope', []))}".replace(" ", "|")
        self.granted[token] = self.uses
        return Answer(body=json.dumps({"token": token, "expires_in": self.lifetime}).encode())

    def _guard(self, seen: Seen) -> Answer | None:
        scheme, _space, token = seen.authorization.partition(" ")
        repository, kind = seen.path[len("/v2/") :].rsplit("/", 2)[0], seen.method
        action = "pull" if kind in ("GET", "HEAD") else "push"
        repository = repository.replace("/blobs", "").replace("/uploads", "")
        allowed = scheme == "Bearer" and self.granted.get(token, 0) > 0
        allowed = allowed and any(f"repository:{repository}:" in part and action in part for part in token.split("|"))
        if not allowed:
            scope = f"repository:{repository}:{action}"
            return Answer(401, {"WWW-Authenticate": f'{self.challenge},scope="{scope}"'}, b'{"errors": []}')
        self.granted[token] -= 1
        return None

    @property
    def asked(self) -> list[Seen]:
        return self.server.requests("", "^/token")


# Basic


def basic_only(server: FaultServer, password: str = USER.password) -> None:
    expected = "Basic " + Credential("user", password).basic
    refused = Answer(401, {"WWW-Authenticate": 'Basic realm="x"'})
    server.always("", "", lambda seen: None if seen.authorization == expected else refused)


def test_a_password_is_sent_at_once(server: FaultServer) -> None:
    basic_only(server)
    Harness(server, USER).repository.resolve("1")
    assert len(server.seen) == 1


def test_a_wrong_password_is_sent_once(server: FaultServer) -> None:
    basic_only(server, "another")
    harness = Harness(server, USER)
    for _call in range(3):
        with pytest.raises(AuthenticationFailed, match="refused the credentials") as failure:
            harness.repository.fetch_manifest("1")
        assert USER.password not in repr(failure.value) + str(failure.value)
    assert len(server.seen) == 1
    assert harness.sleeps == []


def test_no_password_is_an_error_that_says_so(server: FaultServer) -> None:
    basic_only(server)
    with pytest.raises(AuthenticationFailed, match=r"asks for authentication \(basic\).*'auth_file'"):
        Harness(server).repository.resolve("1")


def test_an_upload_with_basic(server: FaultServer) -> None:
    basic_only(server)
    Harness(server, USER, push=True).repository.push_blob(source_of(b"x" * 1000))
    assert len(server.seen) == 3


# Tokens


def test_an_anonymous_token(server: FaultServer) -> None:
    tokens = Tokens(server)
    repository = Harness(server).repository
    repository.resolve("1")
    repository.fetch_manifest("1")
    assert len(tokens.asked) == 1
    assert parse_qsl(urlsplit(tokens.asked[0].target).query) == [
        ("service", "the registry"),
        ("scope", "repository:org/app:pull"),
    ]
    assert tokens.asked[0].authorization == ""
    assert server.connections == 1


def test_a_password_becomes_a_token(server: FaultServer) -> None:
    tokens = Tokens(server)
    Harness(server, USER).repository.resolve("1")
    assert [seen.authorization for seen in tokens.asked] == ["Basic " + USER.basic]


def test_a_push_needs_one_token(server: FaultServer) -> None:
    tokens = Tokens(server)
    repository = Harness(server, USER, push=True).repository
    repository.push_blob(source_of(b"x" * 1000))
    repository.push_manifest(MANIFEST, "2")
    assert len(tokens.asked) == 1


def test_a_mount_asks_for_both_repositories(server: FaultServer) -> None:
    tokens = Tokens(server)
    Harness(server, USER, push=True).repository.push_blob(source_of(b"x" * 1000), ["other/base"])
    scopes = parse_qs(urlsplit(tokens.asked[1].target).query)["scope"]
    assert scopes == ["repository:org/app:pull,push", "repository:other/base:pull"]


def test_an_identity_token_is_posted(server: FaultServer) -> None:
    tokens = Tokens(server)
    Harness(server, Credential("user", identity_token="the-refresh-token")).repository.resolve("1")
    assert (tokens.asked[0].method, tokens.asked[0].authorization) == ("POST", "")
    assert dict(parse_qsl(tokens.asked[0].body.decode())) == {
        "grant_type": "refresh_token",
        "refresh_token": "the-refresh-token",
        "service": "the registry",
        "scope": "repository:org/app:pull",
        "client_id": "cloudnative.artifacts",
    }


def test_a_registry_token_is_used_as_it_is(server: FaultServer) -> None:
    server.always("", "", lambda seen: None if seen.authorization == "Bearer ready" else Answer(401))
    Harness(server, Credential(registry_token="ready")).repository.resolve("1")
    with pytest.raises(AuthenticationFailed, match="refused the credentials"):
        Harness(server, Credential(registry_token="stale")).repository.resolve("1")


def test_a_refused_password_is_submitted_once(server: FaultServer) -> None:
    tokens = Tokens(server)
    tokens.answer = Answer(401, body=b"passw0rd-of-user is wrong")
    harness = Harness(server, USER)
    failures: list[str] = []

    def call() -> None:
        with pytest.raises(AuthenticationFailed, match="refused with status 401") as failure:
            harness.repository.fetch_manifest("1")
        failures.append(str(failure.value))

    threads = [threading.Thread(target=call) for _thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    call()
    assert (len(failures), len(tokens.asked)) == (7, 1)
    assert "passw0rd" not in "".join(failures)


def test_a_used_up_token_is_renewed(server: FaultServer) -> None:
    tokens = Tokens(server, uses=3)
    repository = Harness(server, USER).repository
    for _call in range(7):
        repository.resolve("1")
    assert len(tokens.asked) == 3


def test_an_expired_token_is_renewed_in_the_middle_of_an_upload(server: FaultServer) -> None:
    tokens = Tokens(server, uses=2)
    data = b"body" * 100_000
    Harness(server, USER, push=True).repository.push_blob(source_of(data))
    assert data in server.blobs.values()
    assert len(tokens.asked) == 2


def test_a_token_is_not_used_when_its_time_is_over(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(server, lifetime=60)
    repository = Harness(server, USER).repository
    repository.resolve("1")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 58)
    repository.resolve("1")
    assert len(tokens.asked) == 2
    # nobody sent the old one
    assert sum(1 for seen in server.requests("HEAD") if seen.authorization.startswith("Bearer")) == 2


def test_a_token_whose_time_is_over_is_renewed_before_a_body_is_sent(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(server, lifetime=60)
    opened = threading.Event()
    server.script("POST", "/uploads/", lambda seen: opened.set() if seen.authorization else None)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 58 if opened.is_set() else now)
    Harness(server, USER, push=True).repository.push_blob(source_of(b"body" * 1000))
    assert len(tokens.asked) == 2
    assert len(server.requests("PUT")) == 1


def test_a_download_goes_on_with_a_new_token(server: FaultServer) -> None:
    data = bytes(range(256)) * 4000
    server.add_blob(data)
    tokens = Tokens(server, uses=1)
    cuts = [300_000, 400_000]

    def breaking_off(seen: Seen) -> Answer:
        refused = tokens._guard(seen)
        return refused or replace(server._registry(seen), cut=cuts.pop(0) if cuts else None)

    server.always("GET", "/blobs/", breaking_off)
    assert b"".join(Harness(server, USER).repository.stream_blob(source_of(data).descriptor)) == data
    fetched = [seen.headers.get("Range") for seen in server.requests("GET", "/blobs/")]
    assert fetched == [None, None, *["bytes=300000-1023999"] * 2, *["bytes=700000-1023999"] * 2]
    assert len(tokens.asked) == 3


@pytest.mark.parametrize("rotates", [False, True])
def test_an_identity_token_that_is_replaced(server: FaultServer, rotates: bool) -> None:
    tokens = Tokens(server, uses=1)
    number = iter(range(100))
    new: list[str] = []

    def answer(seen: Seen) -> Answer:
        given = json.loads(tokens._token(seen).body)
        if rotates:
            given["refresh_token"] = f"refresh-{next(number)}"
            new.append(given["refresh_token"])
        new.append(given["token"])
        return Answer(body=json.dumps(given).encode())

    server.always("POST", "^/token", answer)
    repository = Harness(server, Credential(identity_token="first")).repository
    for _call in range(3):
        repository.resolve("1")
    sent = [dict(parse_qsl(seen.body.decode()))["refresh_token"] for seen in tokens.asked]
    assert sent == (["first", "refresh-0", "refresh-1"] if rotates else ["first"] * 3)
    assert [noted()[each] for each in new] == [True] * (6 if rotates else 3), "they are hidden, and each half of them"


@pytest.mark.parametrize(("status", "hint"), [(404, "takes no identity tokens"), (400, "Log in again")])
def test_an_identity_token_that_is_refused(server: FaultServer, status: int, hint: str) -> None:
    Tokens(server).answer = Answer(status, body=b'{"error": "invalid_grant"}')
    with pytest.raises(AuthenticationFailed, match=f"refused with status {status}.*{hint}"):
        Harness(server, Credential(identity_token="1dentity")).repository.resolve("1")


def test_an_identity_token_where_there_is_no_token_server(server: FaultServer) -> None:
    basic_only(server)
    with pytest.raises(AuthenticationFailed, match="no token server that the identity token could be given to"):
        Harness(server, Credential(identity_token="1dentity")).repository.resolve("1")


def test_who_gave_no_credentials_is_told_so(server: FaultServer) -> None:
    Tokens(server, uses=0)
    with pytest.raises(AuthenticationFailed, match="No credentials were found"):
        Harness(server).repository.resolve("1")


def test_a_token_that_gives_no_right_is_not_fetched_for_ever(server: FaultServer) -> None:
    tokens = Tokens(server, uses=0)
    with pytest.raises(AuthenticationFailed, match="refused the token"):
        Harness(server, USER).repository.resolve("1")
    # one for HEAD, whose refusal settles nothing, and one for GET
    assert len(tokens.asked) == 2


def test_the_challenges_own_scope_counts_too(server: FaultServer) -> None:
    tokens = Tokens(server)
    tokens.challenge = tokens.challenge.replace("service=", 'scope="repository:prefix/org/app:pull",service=')
    server.script("HEAD", "", Answer(401, {"WWW-Authenticate": tokens.challenge}))
    Harness(server, USER).repository.resolve("1")
    scopes = parse_qs(urlsplit(tokens.asked[0].target).query)["scope"]
    assert scopes == ["repository:org/app:pull", "repository:prefix/org/app:pull"]


@pytest.mark.parametrize(
    ("own", "challenged", "wanted"),
    [
        ("repository:a:pull,push", "repository:a:pull", ["repository:a:pull,push"]),
        ("repository:a:pull", "repository:a:push,pull", ["repository:a:pull", "repository:a:push,pull"]),
        ("repository:a:pull", "", ["repository:a:pull"]),
        ("", "registry:catalog:*", ["registry:catalog:*"]),
        ("repository:a:pull repository:b:pull", "repository:b:pull", ["repository:a:pull", "repository:b:pull"]),
    ],
)
def test_wanted_scopes(own: str, challenged: str, wanted: list[str]) -> None:
    assert wanted_scopes(own, challenged) == wanted


def test_threads_share_tokens(server: FaultServer) -> None:
    tokens = Tokens(server)
    harnesses = [Harness(server, USER, repository=f"org/app{number % 4}") for number in range(4)]
    client = harnesses[0].client
    for harness in harnesses:
        harness.repository._client = client
    errors: list[BaseException] = []

    def call(number: int) -> None:
        try:
            for _call in range(5):
                harnesses[number % 4].repository.resolve("1")
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(tokens.asked) == 4


BAD_TOKENS = {
    "no json": b"<html>",
    "a list": b"[]",
    "no token": b"{}",
    "a number": b'{"token": 1}',
    "a header": b'{"token": "a\\r\\nX: y"}',
    "not ascii": '{"token": "\u00e4"}'.encode(),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_what_is_no_token_is_refused(server: FaultServer, case: str) -> None:
    Tokens(server).answer = Answer(body=BAD_TOKENS[case])
    with pytest.raises(AuthenticationFailed, match="without a token"):
        Harness(server, USER).repository.resolve("1")


@pytest.mark.parametrize("expires", ["Infinity", "NaN", "-5", "1e999", '"60"', "null", "0", '"soon"'])
def test_odd_lifetimes_do_no_harm(server: FaultServer, expires: str) -> None:
    tokens = Tokens(server)
    tokens.granted["t|repository:org/app:pull"] = 1
    tokens.answer = Answer(body=b'{"access_token": "t|repository:org/app:pull", "expires_in": %s}' % expires.encode())
    try:
        Harness(server, USER).repository.resolve("1")
    except AuthenticationFailed as exc:
        assert expires == '"soon"', exc


def test_a_huge_token_answer_is_refused(server: FaultServer) -> None:
    Tokens(server).answer = Answer(body=b" " * 2_000_000)
    with pytest.raises(AuthenticationFailed, match="token server of .* more than 1048576 bytes"):
        Harness(server, USER).repository.resolve("1")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_token_server_is_asked_again(server: FaultServer, status: int) -> None:
    tokens = Tokens(server)
    server.script("GET", "^/token", *[Answer(status, {"Retry-After": "3"})] * 2)
    harness = Harness(server, USER)
    harness.repository.resolve("1")
    assert [3 <= slept <= 4 for slept in harness.sleeps] == [True, True]
    assert len(tokens.asked) == 3


def test_a_token_server_in_trouble_is_no_wrong_password(server: FaultServer) -> None:
    Tokens(server).answer = Answer(503, {"Retry-After": "100000"})
    harness = Harness(server, USER)
    with pytest.raises(RegistryError, match="token server .* status 503"):
        harness.repository.resolve("1")
    assert harness.sleeps == []


# Realms


@pytest.mark.parametrize(
    "realm",
    [
        "http://elsewhere.example/token",
        "",
        "ftp://x/",
        "http://[::1",
        "//x/token",
        "token",
        "http://127.0.0.1.example/",
    ],
)
def test_a_realm_that_may_not_see_credentials(server: FaultServer, realm: str) -> None:
    server.always("", "", Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}))
    with pytest.raises(AuthenticationFailed, match="may not see credentials|asks for authentication|refused"):
        Harness(server, USER).repository.resolve("1")
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_server_may_redirect_within_its_origin(server: FaultServer, status: int) -> None:
    tokens = Tokens(server)
    server.script("GET", "^/token", lambda seen: Answer(status, {"Location": seen.target.replace("?", "/?", 1)}))
    Harness(server, USER).repository.resolve("1")
    assert [seen.authorization for seen in tokens.asked] == ["Basic " + USER.basic] * 2
    assert tokens.asked[1].target == tokens.asked[0].target.replace("?", "/?", 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("credential", [USER, Credential(identity_token="identity")])
def test_credentials_do_not_follow_a_redirect_to_another_origin(
    server: FaultServer, status: int, credential: Credential
) -> None:
    with FaultServer() as other:
        Tokens(server).answer = Answer(status, {"Location": other.url + "/token"})
        with pytest.raises(AuthenticationFailed, match="redirects from .* may not see credentials"):
            Harness(server, credential).repository.resolve("1")
        assert other.seen == []


def test_a_token_server_that_redirects_for_ever(server: FaultServer) -> None:
    Tokens(server).answer = Answer(307, {"Location": "/token?again"})
    with pytest.raises(AuthenticationFailed, match="redirects more than 5 times"):
        Harness(server, USER).repository.resolve("1")


@pytest.mark.parametrize(
    ("prefix", "registry", "realm", "allowed"),
    [
        ("https", "ghcr.io", "https://auth.elsewhere.example/token", True),
        ("https", "ghcr.io", "http://ghcr.io/token", False),
        ("http", "registry.lan:5000", "http://registry.lan:5001/token", True),
        ("http", "registry.lan:5000", "http://auth.lan/token", False),
        ("http", "registry.lan:5000", "https://auth.lan/token", True),
        ("http", "localhost:5000", "http://127.0.0.1:5001/token", True),
        ("http", "[::1]:5000", "http://localhost/token", True),
        ("http", "registry.lan", "http://localhost/token", False),
        ("https", "localhost:5000", "http://localhost/token", False),
    ],
)
def test_realm_rules(prefix: str, registry: str, realm: str, allowed: bool) -> None:
    asked: list[str] = []

    def fetch(method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        asked.append(url)
        return 200, b'{"token": "t"}'

    auth = RegistryAuth(registry, USER, fetch, is_encrypted=prefix == "https")
    if allowed:
        assert auth.answer(f'Bearer realm="{realm}"', "s", "") is True
    else:
        with pytest.raises(AuthenticationFailed):
            auth.answer(f'Bearer realm="{realm}"', "s", "")
    assert len(asked) == int(allowed)


# Redirects


def test_authorization_stays_on_its_origin(server: FaultServer) -> None:
    with FaultServer() as other:
        digest = other.add_blob(b"data")
        other.always("", "", lambda seen: Answer(401) if seen.authorization else None)
        server.script("GET", "/blobs/", Answer(307, {"Location": f"{other.url}/v2/x/blobs/{digest}?sig=secret"}))
        harness = Harness(server, USER)
        source = source_of(b"data")
        assert b"".join(harness.repository.stream_blob(source.descriptor)) == b"data"
        assert server.seen[0].authorization == "Basic " + USER.basic
        assert [seen.authorization for seen in other.seen] == [""]


def test_a_challenge_of_a_redirect_target_is_not_answered(server: FaultServer) -> None:
    with FaultServer() as other:
        other.always("", "", Answer(401, {"WWW-Authenticate": f'Bearer realm="{other.url}/token"'}))
        server.script("GET", "/blobs/", Answer(307, {"Location": other.url + "/v2/x?sig=secret"}))
        with pytest.raises(AuthenticationFailed, match="status 401") as failure:
            list(Harness(server, USER).repository.stream_blob(source_of(b"data").descriptor))
        assert len(other.seen) == 1
        assert "secret" not in str(failure.value)


def test_authorization_does_not_come_back(server: FaultServer) -> None:
    with FaultServer() as other:
        other.always("", "", Answer(307, {"Location": server.url + "/end"}))
        server.script("GET", "/blobs/", Answer(307, {"Location": other.url + "/v2/x"}))
        server.script("GET", "/end", Answer(body=b"data"))
        assert b"".join(Harness(server, USER).repository.stream_blob(source_of(b"data").descriptor)) == b"data"
        assert server.seen[-1].authorization == ""


def test_one_registrys_credential_is_not_anothers(server: FaultServer) -> None:
    with FaultServer() as other:
        server.script("GET", "/tags/", Answer(200, {"Link": f'<{other.url}/v2/org/app/tags/list>; rel="next"'}, b"{}"))
        with pytest.raises(RegistryError, match="another host"):
            Harness(server, USER).repository.list_tags()
        assert other.seen == []


def test_netrc_and_cookies_are_ignored(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("machine 127.0.0.1 login netrc password netrc\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    for method in ("HEAD", "GET"):
        server.script(method, "", Answer(404, {"Set-Cookie": "session=1; Path=/"}))
    repository = Harness(server).repository
    with pytest.raises(OciError):
        repository.resolve("1")
    repository.resolve("1")
    assert [(seen.authorization, seen.headers.get("Cookie")) for seen in server.seen] == [("", None)] * 3


def test_nothing_secret_is_logged(server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = Tokens(server)
    harness = Harness(server, USER, push=True)
    harness.repository.push_blob(source_of(b"x" * 1000))
    tokens.answer = Answer(401, body=USER.password.encode())
    with pytest.raises(AuthenticationFailed):
        Harness(server, USER).repository.resolve("1")
    logged = caplog.text + repr(harness.client) + repr(harness.client.auth) + repr(USER)
    assert "urllib3" in caplog.text
    for secret in (USER.password, USER.basic, *tokens.granted):
        assert secret not in logged


# Challenges


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
         {"bearer": {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"}}),
        ("Bearer realm=https://a/t,service=s", {"bearer": {"realm": "https://a/t", "service": "s"}}),
        ('BASIC Realm="x", Bearer realm="y"', {"basic": {"realm": "x"}, "bearer": {"realm": "y"}}),
        ("Basic", {"basic": {}}),
        ('Bearer realm = "y" , service = "z"', {"bearer": {"realm": "y", "service": "z"}}),
        ("", {}),
        ("Negotiate", {}),
    ],
)  # fmt: skip
def test_challenges(header: str, found: dict[str, dict[str, str]]) -> None:
    assert parse_challenges(header) == found


@given(st.text(alphabet=' ,="aA-\t', max_size=300))
def test_any_challenge_is_read_in_time(header: str) -> None:
    start = time.process_time()
    parse_challenges(header)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("header", [" " * 8192, "a " * 4096, "a a=a," * 2000, 'a a="' * 2000, "a a=a ," * 2000 + "!"])
def test_hostile_challenges_are_read_in_time(header: str) -> None:
    start = time.process_time()
    parse_challenges(header)
    assert time.process_time() - start < 1


def test_an_unreachable_token_server(server: FaultServer) -> None:
    Tokens(server, realm="http://127.0.0.1:9/token")
    with pytest.raises(ConnectionFailed, match="127.0.0.1:9/token"):
        Harness(server, USER, retries=0).repository.resolve("1")


# Logging in


@pytest.mark.parametrize("credential", [USER, Credential(identity_token="1dentity")])
def test_a_login_with_a_token_server(server: FaultServer, credential: Credential) -> None:
    tokens = Tokens(server)
    server.always("GET", "^/v2/$", lambda seen: Answer(200 if seen.authorization.startswith("Bearer") else 401, {
        "WWW-Authenticate": tokens.challenge
    }))  # fmt: skip
    assert Harness(server, credential).client.check_login() is True
    assert len(tokens.asked) == 1
    # nothing is asked for but to know who it is
    asked = tokens.asked[0]
    query = parse_qs(asked.body.decode() or urlsplit(asked.target).query)
    assert "scope" not in query
    assert query["service"] == ["the registry"]
    tokens.answer = Answer(401)
    with pytest.raises(AuthenticationFailed, match="refused with status 401"):
        Harness(server, credential).client.check_login()


def test_a_login_with_a_password(server: FaultServer) -> None:
    expected = "Basic " + USER.basic
    refused = Answer(401, {"WWW-Authenticate": 'Basic realm="x"'})
    server.always("GET", "^/v2/$", lambda seen: Answer(200) if seen.authorization == expected else refused)
    assert Harness(server, USER).client.check_login() is True
    assert [seen.authorization for seen in server.seen] == ["", expected]
    with pytest.raises(AuthenticationFailed, match="refused the credentials"):
        Harness(server, Credential("user", "another")).client.check_login()


def test_a_login_where_nobody_asks(server: FaultServer) -> None:
    server.script("GET", "^/v2/$", Answer(200))
    assert Harness(server, USER).client.check_login() is False
    assert [seen.authorization for seen in server.seen] == [""]


@pytest.mark.parametrize(("status", "message"), [(404, "seems to be no registry"), (403, "status 403"), (500, "500")])
def test_a_login_where_there_is_no_registry(server: FaultServer, status: int, message: str) -> None:
    server.always("GET", "^/v2/$", Answer(status))
    with pytest.raises(OciError, match=message):
        Harness(server, USER).client.check_login()

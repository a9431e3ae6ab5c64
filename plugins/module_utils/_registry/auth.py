# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorization for one registry: Basic, and bearer tokens kept for each scope.

Source: distribution, docs/content/spec/auth/token.md and oauth.md; RFC 9110, section 11.6.1 for challenges.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from typing import Callable, NamedTuple
from urllib.parse import urlencode, urlsplit

from .._errors import AuthenticationFailed, OciError, RegistryError
from .._http.answer import RETRY_STATUS
from .._http.url import origin, redacted_url
from .._login.credential import Credential
from .._secrets.known import note

MAX_SCOPES = 10
# token.md: a token without "expires_in" is valid for 60 seconds
DEFAULT_TOKEN_SECONDS = 60
# renewed this much (seconds) before it expires, so that a request that is under way does not lose it
EXPIRY_MARGIN = 5
NO_CREDENTIALS = "No credentials were found for it: give them, if the repository is not public."

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CHALLENGE = re.compile(
    r"(?:^|,)\s*([A-Za-z][A-Za-z0-9_-]{0,30})\s+"
    r"((?:[A-Za-z_]+\s*=\s*(?:\"[^\"]*\"|[^\s,\"]+)\s*(?:,\s*(?=[A-Za-z_]+\s*=)|$|(?=,)))+)"
)
_PARAMETER = re.compile(r"([A-Za-z_]+)\s*=\s*(?:\"([^\"]*)\"|([^\s,\"]+))")


def parse_challenges(header: str) -> dict[str, dict[str, str]]:
    """The schemes of a ``WWW-Authenticate`` header in lower case, each with its parameters."""
    challenges: dict[str, dict[str, str]] = {}
    for match in _CHALLENGE.finditer(header[:8192]):
        parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(match[2])}
        challenges.setdefault(match[1].lower(), parameters)
    if not challenges and re.match(r"\s*basic\b", header, re.IGNORECASE):
        challenges["basic"] = {}
    return challenges


class _Token(NamedTuple):
    """A bearer token, until when it is sent (by the monotonic clock), and the challenge that it was fetched for."""

    value: str
    expires: float
    challenge: Mapping[str, str]


class RegistryAuth:
    """Answers a registry's challenges with one credential; safe for use by several threads.

    ``fetch(method, url, headers, body)`` sends one request without following redirects and returns status and body.
    ``is_encrypted`` says that the registry is spoken to over https.
    """

    def __init__(
        self,
        registry: str,
        credential: Credential | None,
        fetch: Callable[[str, str, dict[str, str], bytes | None], tuple[int, bytes]],
        *,
        is_encrypted: bool,
    ) -> None:
        self._registry = registry
        self._is_encrypted = is_encrypted
        self._held = credential or Credential()
        self._fetch = fetch
        self._lock = threading.Lock()
        self._scope_locks: dict[str, threading.Lock] = {}
        self._identity_token = self._held.identity_token
        self._tokens: dict[str, _Token] = {}
        # the scopes that were refused: asking again could lock the account
        self._refusals: dict[str, tuple[str, str]] = {}
        self._accepted: set[str] = set()
        self._scheme = "bearer" if self._held.registry_token else ""

    @property
    def _credential(self) -> Credential:
        """The credential, fetched anew when its time is over: a cloud's may end before a transfer does."""
        held = self._held
        if held.renew is not None and time.monotonic() >= held.valid_until:
            self._held = held = held.renew()
            self._identity_token = held.identity_token
        return held

    @property
    def is_anonymous(self) -> bool:
        return self._credential == Credential()

    def header_for(self, scope: str) -> dict[str, str]:
        """The Authorization header to send for a scope such as ``repository:org/app:pull``; empty when none is known.

        A password is sent at once, before any challenge: a registry with Basic authentication then needs no second
        request. A token whose time is over is renewed first, so that no body is sent in vain.

        :raises AuthenticationFailed: when the credential was refused for this scope before: it is not sent again.
        :raises ConnectionFailed: when the token server cannot be reached.
        """
        if scope in self._refusals:
            raise AuthenticationFailed(*self._refusals[scope])
        if self._is_over(scope):
            with self._asking(scope):
                if self._is_over(scope):  # no other thread was quicker
                    self._fetch_token_for(scope, self._tokens[scope].challenge)
        return self._header(scope)

    def _is_over(self, scope: str) -> bool:
        token = self._tokens.get(scope)
        return token is not None and token.expires <= time.monotonic()

    def _header(self, scope: str) -> dict[str, str]:
        if self._credential.registry_token:
            return {"Authorization": "Bearer " + self._credential.registry_token}
        token = self._tokens.get(scope)
        if token and token.expires > time.monotonic():
            return {"Authorization": "Bearer " + token.value}
        if self._scheme != "bearer" and self._credential.basic:
            return {"Authorization": "Basic " + self._credential.basic}
        return {}

    def answer(self, header: str, scope: str, sent: str, *, is_preliminary: bool = False) -> bool:
        """Take a 401's challenge, so that :meth:`header_for` gives something better than ``sent``.

        Returns whether a token was fetched for it. Credentials that are refused are not sent again, whatever is asked
        for; a refusal without a challenge, or of a preliminary question without credentials, is about the one request.

        :raises AuthenticationFailed: when there is nothing better, or the token server refuses.
        :raises ConnectionFailed: when the token server cannot be reached.
        """
        challenges = parse_challenges(header)
        with self._asking(scope):
            if scope in self._refusals:
                raise AuthenticationFailed(*self._refusals[scope])
            current = self._header(scope).get("Authorization", "")
            if "bearer" in challenges and not self._credential.registry_token:
                if current.startswith("Bearer ") and current != sent:
                    return False  # another thread was quicker
                self._scheme = "bearer"
                self._fetch_token_for(scope, challenges["bearer"])
                return True
            if "basic" in challenges and self._credential.basic and not sent.startswith("Basic "):
                self._scheme = "basic"
                return False
            refused = self._refused(challenges, sent)
            # what was taken before is not what is refused
            if challenges and (sent or not is_preliminary) and scope not in self._accepted:
                self._refusals[scope] = (refused.message, refused.hint)
            raise refused

    def note_accepted(self, scope: str) -> None:
        """Note that the registry took the credentials for a scope: a later refusal is about what was asked for."""
        self._accepted.add(scope)

    def _asking(self, scope: str) -> threading.Lock:
        """The lock under which a token for a scope is asked for: once by all threads. An identity token may be replaced
        by the answer, so that with one the requests for all scopes take turns."""
        if self._identity_token:
            return self._lock
        with self._lock:
            return self._scope_locks.setdefault(scope, threading.Lock())

    def _fetch_token_for(self, scope: str, challenge: Mapping[str, str]) -> None:
        try:
            self._tokens[scope] = self._request_token(challenge, scope)
        except AuthenticationFailed as exc:
            self._refusals[scope] = (exc.message, exc.hint)
            raise

    def _refused(self, challenges: dict[str, dict[str, str]], sent: str) -> AuthenticationFailed:
        if sent:
            return AuthenticationFailed(f"The registry {self._registry} refused the credentials.", self._advice())
        if self._identity_token and challenges:
            return AuthenticationFailed(
                f"The registry {self._registry} has no token server that the identity token could be given to.",
                "Give 'username' and 'password', or log in again.",
            )
        wanted = ", ".join(sorted(challenges)) or "none that it names"
        return AuthenticationFailed(
            f"The registry {self._registry} asks for authentication ({wanted}) and no credentials were found for it.",
            "Give 'username' and 'password', 'auth_file' or 'auth_config', or log in with docker or podman.",
        )

    def _advice(self) -> str:
        if self._held.renew is not None:
            return "The identity that 'provider' found may lack a role at this registry."
        return "Check user name and password, or log in again."

    def _request_token(self, challenge: Mapping[str, str], scope: str) -> _Token:
        realm = challenge.get("realm", "").partition("#")[0]
        self._check_realm(realm)
        service = [("service", challenge["service"])] if challenge.get("service") else []
        scopes = wanted_scopes(scope, challenge.get("scope", ""))
        headers = {"Accept": "application/json"}
        credential = self._credential  # first of all: it may bring another identity token
        if self._identity_token:
            form = [("grant_type", "refresh_token"), ("refresh_token", self._identity_token), *service]
            form += [("scope", " ".join(scopes))] if scopes else []
            form += [("client_id", "cloudnative.artifacts")]
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            status, body = self._fetch("POST", realm, headers, urlencode(form).encode("ascii"))
        else:
            if credential.basic:
                headers["Authorization"] = "Basic " + credential.basic
            query = urlencode([*service, *(("scope", entry) for entry in scopes)])
            status, body = self._fetch("GET", realm + ("&" if urlsplit(realm).query else "?") + query, headers, None)
        if status != 200:
            raise self._token_refused(realm, status)
        return self._read_token(body, realm, challenge)

    def _token_refused(self, realm: str, status: int) -> OciError:
        server = f"The token server {urlsplit(realm).hostname} of the registry {self._registry}"
        if status in RETRY_STATUS:
            return RegistryError(f"{server} answered with status {status}.", "Try later.", status)
        hint = self._advice()
        if self.is_anonymous:
            hint = NO_CREDENTIALS
        elif self._identity_token and self._held.renew is None:
            is_unknown = status in (404, 405, 501)  # oauth.md: "Not all token servers implement oauth2"
            hint = "It takes no identity tokens: log in with a password." if is_unknown else "Log in again."
        return AuthenticationFailed(f"{server} refused with status {status}.", hint)

    def _read_token(self, body: bytes, realm: str, challenge: Mapping[str, str]) -> _Token:
        try:
            document = json.loads(body)
            token = document.get("token") or document.get("access_token")
            seconds = float(document.get("expires_in") or DEFAULT_TOKEN_SECONDS)
            renewed = document.get("refresh_token")
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            token, seconds, renewed = "", 0.0, ""
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            host = urlsplit(realm).hostname
            raise AuthenticationFailed(
                f"The token server {host} of the registry {self._registry} answered without a token."
            )
        if self._identity_token and isinstance(renewed, str) and renewed:
            # RFC 6749, section 6: the new one takes the place of the old one, which may be good for nothing any more
            self._identity_token = renewed
            note(renewed, opaque=True)
        note(token, opaque=True)
        return _Token(token, time.monotonic() + max(1, seconds - EXPIRY_MARGIN), challenge)

    def _check_realm(self, realm: str) -> None:
        """Only https, or the registry's own host when that is spoken to over plain HTTP, may see a credential."""
        try:
            scheme, host, _port = origin(realm)
        except RegistryError:
            scheme, host = "", ""
        own_host = urlsplit("//" + self._registry).hostname
        same_place = host == own_host or (host in _LOOPBACK and own_host in _LOOPBACK)
        if scheme == "https" or (scheme == "http" and not self._is_encrypted and same_place):
            return
        raise AuthenticationFailed(
            f"The registry {self._registry} names the token server {redacted_url(realm)!r}, which may not see "
            "credentials.",
            "Wanted an https URL, or, for a registry with insecure: true, a plain one on the same host.",
        )


def wanted_scopes(own: str, challenged: str) -> list[str]:
    """The scopes to ask a token for: those of the run, and what the challenge names beyond them.

    A registry behind a path prefix, or one that wants a right more, says so in its challenge.
    """
    wanted = own.split()
    for entry in challenged.split()[:MAX_SCOPES]:
        resource, _colon, actions = entry.rpartition(":")
        held = {action for scope in wanted if scope.rpartition(":")[0] == resource for action in _actions(scope)}
        if not set(actions.split(",")) <= held:
            wanted.append(entry)
    return wanted


def _actions(scope: str) -> list[str]:
    return scope.rpartition(":")[2].split(",")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access tokens from Google's credential files.

Source: google-auth (``service_account``, ``credentials``, ``external_account``, ``identity_pool``,
``impersonated_credentials``); RFC 7523 for service accounts; RFC 8693 and AIP-4117 for workload identity federation.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from typing import Any, Callable

from .._errors import AuthenticationFailed
from .endpoint import CloudClient, check_metadata_url, check_service_url
from .flow import Token, Unavailable, check_token, read_identity_file
from .jwt import rsa_key, signed_jwt

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI = "https://oauth2.googleapis.com/token"
ASSERTION_SECONDS = 3600
# seconds; the longest life that impersonated tokens may have without a policy of the organisation
MAX_IMPERSONATION = 43200
MAX_HEADERS = 20

_WORKFORCE_POOL = re.compile(r"//iam\.[^/]+/locations/[^/]+/workforcePools/")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}\Z")


class CredentialFile:
    """The content of a credential file; a field is checked when it is read."""

    def __init__(self, path: str, document: Mapping[str, Any]) -> None:
        self.path = path
        self.document = document

    def text(self, *names: str, default: str | None = None) -> str:
        """Return a field, or with several ``names`` a nested field, that is non-empty text.

        :raises AuthenticationFailed: when it is missing and there is no ``default``, or is not such text.
        """
        value: Any = self.document
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value:
            raise self.wrong(f"has no text in {'.'.join(names)!r}")
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return a field that is a mapping; an empty mapping when it is missing.

        :raises AuthenticationFailed: when it is not a mapping.
        """
        value = self.document.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise self.wrong(f"has a {name!r} that is not a mapping")
        return value or {}

    def service(self, *names: str, default: str | None = None) -> str:
        """Return a field with the URL of a token service.

        :raises AuthenticationFailed: when secrets may not be sent there.
        """
        return check_service_url(self.text(*names, default=default), f"{names[-1]!r} in {self.path}")

    def wrong(self, found: str) -> AuthenticationFailed:
        return AuthenticationFailed(f"The credentials of Google in {self.path} cannot be used: the file {found}.")


def token_of_file(client: CloudClient, path: str) -> Token:
    """Return an access token for the credentials in a file.

    :raises AuthenticationFailed: when the file cannot be used, or its credentials are refused.
    """
    content = read_identity_file(path, "The credentials of Google")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise AuthenticationFailed(f"The credentials of Google in {path} are not a JSON object.")
    return _token(client, CredentialFile(path, document))


def _token(client: CloudClient, file: CredentialFile, *, is_source: bool = False) -> Token:
    kind = file.document.get("type")
    flow = _FLOWS.get(kind) if isinstance(kind, str) else None
    if flow is None or (is_source and flow is _impersonated):
        raise file.wrong(f"has the type {str(kind)[:60]!r}: wanted {', '.join(sorted(_FLOWS))}")
    return flow(client, file)


def _service_account(client: CloudClient, file: CredentialFile) -> Token:
    uri = file.service("token_uri", default=TOKEN_URI)
    header = {"alg": "RS256", "typ": "JWT"}
    if file.document.get("private_key_id"):
        header["kid"] = file.text("private_key_id")
    now = int(time.time())
    claims = {
        "iss": file.text("client_email"),
        "scope": SCOPE,
        "aud": uri,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    }
    key = rsa_key(file.text("private_key").encode("utf-8"), file.path)
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed_jwt(header, claims, key)}
    answer = client.post(uri, form)
    answer.check(f"Check that the key in {file.path} was not deleted or disabled, and the clock of this host.")
    return answer.token("access_token")


def _authorized_user(client: CloudClient, file: CredentialFile) -> Token:
    form = {
        "grant_type": "refresh_token",
        "client_id": file.text("client_id"),
        "client_secret": file.text("client_secret"),
        "refresh_token": file.text("refresh_token"),
    }
    answer = client.post(file.service("token_uri", default=TOKEN_URI), form)
    answer.check("Log in again: gcloud auth application-default login.")
    return answer.token("access_token")


def _external_account(client: CloudClient, file: CredentialFile) -> Token:
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": file.text("audience"),
        "scope": SCOPE,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": file.text("subject_token_type"),
        "subject_token": _subject_token(client, file),
    }
    headers = {}
    if file.document.get("client_id"):
        pair = f"{file.text('client_id')}:{file.text('client_secret', default='')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")
    project = file.document.get("workforce_pool_user_project")
    if project and not headers and _WORKFORCE_POOL.match(form["audience"]):
        form["options"] = json.dumps({"userProject": str(project)})
    answer = client.post(file.service("token_url"), form, headers)
    answer.check("Check the pool's provider: issuer, audience and attribute condition have to fit the subject's token.")
    token = answer.token("access_token")
    if file.document.get("service_account_impersonation_url"):
        seconds = file.mapping("service_account_impersonation").get("token_lifetime_seconds")
        return _impersonate(client, file, token, seconds=seconds)
    return token


def _impersonated(client: CloudClient, file: CredentialFile) -> Token:
    source = CredentialFile(file.path, file.mapping("source_credentials"))
    delegates = file.document.get("delegates") or []
    if not (isinstance(delegates, list) and all(isinstance(name, str) for name in delegates)):
        raise file.wrong("has 'delegates' that are not a list of names")
    return _impersonate(client, file, _token(client, source, is_source=True), delegates=delegates)


def _impersonate(
    client: CloudClient, file: CredentialFile, token: Token, seconds: Any = None, delegates: list[str] | None = None
) -> Token:
    """Exchange a token for one of the service account to impersonate, valid for ``seconds``.

    Source: IAM Service Account Credentials API, ``projects.serviceAccounts.generateAccessToken``.
    """
    url = file.service("service_account_impersonation_url")
    seconds = seconds if isinstance(seconds, int) and 0 < seconds <= MAX_IMPERSONATION else ASSERTION_SECONDS
    document: dict[str, Any] = {"scope": [SCOPE], "lifetime": f"{seconds}s"}
    if delegates:
        document["delegates"] = delegates
    answer = client.post_json(url, document, {"Authorization": f"Bearer {token.value}"})
    answer.check("Give the identity the role roles/iam.workloadIdentityUser or serviceAccountTokenCreator there.")
    return Token(check_token(answer.document.get("accessToken"), f"The answer of {answer.place}"), float(seconds))


def _subject_token(client: CloudClient, file: CredentialFile) -> str:
    """Return the external identity's token, from a file or a URL (AIP-4117, "Determining the subject token")."""
    source = file.mapping("credential_source")
    if "file" in source:
        path = file.text("credential_source", "file")
        content, origin = read_identity_file(path, "The subject's token"), path
    elif "url" in source:
        url = check_metadata_url(file.text("credential_source", "url"), f"'credential_source.url' in {file.path}")
        # only this host and metadata servers may give tokens over plain HTTP
        ask = client.get if url.lower().startswith("https:") else client.metadata
        try:
            answer = ask(url, _headers(file, source))
        except Unavailable as exc:
            raise AuthenticationFailed(f"The subject's token for {file.path} is not available: {exc}.") from None
        answer.check()
        content, origin = answer.text, f"The answer of {answer.place}"
    else:
        found = ", ".join(sorted(str(name)[:40] for name in source)) or "nothing"
        raise file.wrong(f"takes the subject's token from {found}: wanted 'file' or 'url' in 'credential_source'")
    return check_token(_field(file, content, origin), origin)


def _field(file: CredentialFile, content: bytes, origin: str) -> Any:
    kind = file.text("credential_source", "format", "type", default="text")
    if kind == "text":
        return content
    name = file.text("credential_source", "format", "subject_token_field_name")
    try:
        return json.loads(content)[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise AuthenticationFailed(f"{origin} has no field {name[:60]!r}.") from None


def _headers(file: CredentialFile, source: Mapping[str, Any]) -> dict[str, str]:
    headers = source.get("headers") or {}
    if not isinstance(headers, Mapping) or len(headers) > MAX_HEADERS:
        raise file.wrong("has 'credential_source.headers' that are not a mapping")
    for name, value in headers.items():
        if not (_HEADER.match(str(name)) and isinstance(value, str) and value.isascii() and value.isprintable()):
            raise file.wrong("has a header in 'credential_source.headers' that cannot be sent")
    return {str(name): value for name, value in headers.items()}


_FLOWS: Mapping[str, Callable[[CloudClient, CredentialFile], Token]] = {
    "authorized_user": _authorized_user,
    "external_account": _external_account,
    "impersonated_service_account": _impersonated,
    "service_account": _service_account,
}

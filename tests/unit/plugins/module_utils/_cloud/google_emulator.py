# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's metadata server, token service, Security Token Service, IAM credentials, and Artifact Registry's tokens."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.emulator import (
    Emulator,
    Refused,
    RegistryTokens,
    basic_of,
    form_of,
    key,
    query_of,
    reply,
    workload_token,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import Answer, Seen

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ACCOUNT = "deployer@project.iam.gserviceaccount.com"
IMPERSONATED = "puller@project.iam.gserviceaccount.com"
KEY_ID = "0123456789abcdef0123456789abcdef01234567"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster"
WORKFORCE_POOL = "//iam.googleapis.com/locations/global/workforcePools/staff/providers/directory"
USER = {
    "client_id": "764086051850.apps.example",
    "client_secret": "odd-secret-Of~the.user",
    "refresh_token": "1//odd~r",
}
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


class Google(Emulator):
    """All endpoints on one address."""

    def __init__(self) -> None:
        super().__init__()
        # access token -> when it ends; and those that are good for impersonation only
        self.issued: dict[str, float] = {}
        self.federated: set[str] = set()
        self.seconds = 3599
        self.has_service_account = True
        self.tokens = RegistryTokens(service="europe-docker.pkg.dev")
        self.subject_token = workload_token(aud=POOL)

    @property
    def realm(self) -> str:
        return f"{self.url}/v2/token"

    def route(self, seen: Seen) -> Answer | None:
        if seen.path == "/computeMetadata/v1/instance/service-accounts/default/token":
            return self._metadata(seen)
        if seen.path == "/token":
            return self._oauth(form_of(seen))
        if seen.path == "/v1/token":
            return self._sts(seen)
        if seen.path == f"/v1/projects/-/serviceAccounts/{IMPERSONATED}:generateAccessToken":
            return self._generate(seen)
        if seen.path == "/subject":
            return self._subject(seen)
        if seen.path == "/v2/token":
            return self._registry_token(seen)
        return None

    def access_token(self) -> str:
        token = "ya29." + secrets.token_urlsafe(120)
        self.issued[token] = time.monotonic() + self.seconds
        return token

    def _granted(self) -> Answer:
        return reply({"access_token": self.access_token(), "expires_in": self.seconds, "token_type": "Bearer"})

    def _metadata(self, seen: Seen) -> Answer:
        flavor = {"Metadata-Flavor": "Google"}
        if seen.headers.get("Metadata-Flavor") != "Google" or "X-Forwarded-For" in seen.headers:
            return Answer(403, flavor, b"<html>Missing Metadata-Flavor:Google header.</html>")
        if not self.has_service_account:
            return Answer(404, flavor, b"<html>not found</html>")
        granted = self._granted()
        return Answer(200, {**granted.headers, **flavor}, granted.body)

    def _oauth(self, form: dict[str, str]) -> Answer:
        if form.get("grant_type") == "refresh_token":
            if {name: form.get(name) for name in USER} != USER:
                raise Refused(400, error="invalid_grant", error_description="Bad Request")
            return self._granted()
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            raise Refused(400, error="unsupported_grant_type", error_description="Invalid grant_type")
        header, claims = key("service account").verify(form["assertion"], "RS256")
        wanted = {"iss": ACCOUNT, "aud": f"{self.url}/token", "scope": SCOPE}
        if header.get("kid") != KEY_ID or {name: claims.get(name) for name in wanted} != wanted:
            raise Refused(400, error="invalid_grant", error_description=f"Invalid JWT: {form['assertion']}")
        if claims["exp"] - claims["iat"] > 3600:
            raise Refused(400, error="invalid_grant", error_description="Invalid JWT: too long a life")
        return self._granted()

    def _sts(self, seen: Seen) -> Answer:
        form = form_of(seen)
        wanted = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type": JWT_TYPE,
            "scope": SCOPE,
        }
        if {name: form.get(name) for name in wanted} != wanted:
            raise Refused(400, error="invalid_request", error_description="Invalid value for a parameter")
        if form.get("audience") == WORKFORCE_POOL:
            if json.loads(form.get("options", "{}")).get("userProject") != "billed":
                raise Refused(400, error="invalid_request", error_description="no user project")
        elif form.get("audience") != POOL:
            raise Refused(400, error="invalid_target", error_description="Unknown audience")
        _header, claims = key("cluster").verify(form["subject_token"], "RS256")
        if claims.get("aud") != form["audience"]:
            text = f"The audience in ID Token [{claims.get('aud')}] does not match the expected audience."
            raise Refused(400, error="invalid_grant", error_description=text)
        granted = json.loads(self._granted().body)
        self.federated.add(granted["access_token"])
        return reply({**granted, "issued_token_type": wanted["requested_token_type"]})

    def _generate(self, seen: Seen) -> Answer:
        scheme, _space, token = seen.authorization.partition(" ")
        if scheme != "Bearer" or token not in self.issued:
            raise Refused(401, error={"code": 401, "message": "Invalid credentials", "status": "UNAUTHENTICATED"})
        document = json.loads(seen.body)
        if document.get("scope") != [SCOPE] or not str(document.get("lifetime")).endswith("s"):
            raise Refused(400, error={"code": 400, "message": "Invalid scope", "status": "INVALID_ARGUMENT"})
        return reply({"accessToken": self.access_token(), "expireTime": "2099-01-01T00:00:00Z"})

    def _subject(self, seen: Seen) -> Answer:
        if seen.headers.get("X-Ask") != "nicely":
            raise Refused(403)
        return reply({"value": self.subject_token})

    def _registry_token(self, seen: Seen) -> Answer:
        user, password = basic_of(seen)
        if user != "oauth2accesstoken" or self.issued.get(password, 0) < time.monotonic():
            raise Refused(401, errors=[{"code": "UNAUTHORIZED", "message": "authentication failed"}])
        query = query_of(seen)
        return reply({"token": self.tokens.issue(query.get("service", ""), query.get("scope", ""))})

    # What users have in files

    def service_account(self, **changes: Any) -> dict[str, Any]:
        return {
            "type": "service_account",
            "client_email": ACCOUNT,
            "private_key_id": KEY_ID,
            "private_key": key("service account").pem,
            "token_uri": f"{self.url}/token",
            **changes,
        }

    def authorized_user(self, **changes: Any) -> dict[str, Any]:
        return {"type": "authorized_user", **USER, "token_uri": f"{self.url}/token", **changes}

    def external_account(self, source: dict[str, Any], *, impersonate: bool = False, **changes: Any) -> dict[str, Any]:
        document = {
            "type": "external_account",
            "audience": POOL,
            "subject_token_type": JWT_TYPE,
            "token_url": f"{self.url}/v1/token",
            "credential_source": source,
        }
        if impersonate:
            document["service_account_impersonation_url"] = self.impersonation_url
        return {**document, **changes}

    @property
    def impersonation_url(self) -> str:
        return f"{self.url}/v1/projects/-/serviceAccounts/{IMPERSONATED}:generateAccessToken"

    @property
    def subject_source(self) -> dict[str, Any]:
        return {
            "url": f"{self.url}/subject",
            "headers": {"X-Ask": "nicely"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        }

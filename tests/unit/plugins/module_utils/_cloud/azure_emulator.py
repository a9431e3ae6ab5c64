# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft Entra ID, the metadata services of Azure, and Azure Container Registry."""

from __future__ import annotations

import base64
import secrets
import time

from cryptography.hazmat.primitives import hashes

from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.emulator import (
    Emulator,
    Refused,
    RegistryTokens,
    base64url,
    form_of,
    forward,
    key,
    query_of,
    reply,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import Answer, Seen

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
CLIENT = "11111111-2222-3333-4444-555555555555"
CLIENT_SECRET = "odd~secret.of-the_application8Q~3"
RESOURCE = "https://containerregistry.azure.net"
IDENTITY_HEADER = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"
FEDERATION_AUDIENCE = "api://AzureADTokenExchange"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Entra(Emulator):
    """The authority, and the identity endpoints of virtual machines, App Service and Arc."""

    def __init__(self) -> None:
        super().__init__()
        self.issued: set[str] = set()
        self.used: set[str] = set()
        # the identities of the machine; the empty one is the system's
        self.identities = {"", CLIENT}
        self.arc_key_file = ""
        self.arc_key = ""

    def route(self, seen: Seen) -> Answer | None:
        if seen.path == f"/{TENANT}/oauth2/v2.0/token":
            return self._token(form_of(seen))
        if seen.path == "/metadata/identity/oauth2/token":
            return self._imds(seen)
        if seen.path == "/msi/token":
            return self._app_service(seen)
        if seen.path == "/arc/token":
            return self._arc(seen)
        return None

    def access_token(self) -> str:
        """A token that registries of this cloud accept."""
        token = secrets.token_urlsafe(400)
        self.issued.add(token)
        return token

    def _granted(self) -> Answer:
        return reply({"token_type": "Bearer", "expires_in": 3599, "access_token": self.access_token()})

    def _token(self, form: dict[str, str]) -> Answer:
        if form.get("grant_type") != "client_credentials":
            raise Refused(400, error="unsupported_grant_type", error_description="AADSTS70003: no such grant")
        if form.get("scope") != f"{RESOURCE}/.default":
            raise Refused(400, error="invalid_scope", error_description="AADSTS70011: The scope is not valid.")
        if form.get("client_id") != CLIENT:
            raise Refused(400, error="unauthorized_client", error_description="AADSTS700016: no such application")
        if "client_secret" in form:
            if form["client_secret"] != CLIENT_SECRET:
                # a real service does not; the message must not show it then either
                text = f"AADSTS7000215: Invalid client secret provided: {form['client_secret']}\r\nTrace ID: 1"
                raise Refused(401, error="invalid_client", error_description=text)
        else:
            self._check_assertion(form)
        return self._granted()

    def _check_assertion(self, form: dict[str, str]) -> None:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise Refused(400, error="invalid_request", error_description="AADSTS50027: no assertion")
        assertion = form["client_assertion"]
        if '"x5t#S256"' in _header_text(assertion):
            self._check_certificate(assertion)
            return
        _header, claims = key("cluster").verify(assertion, "RS256")
        if claims.get("aud") != FEDERATION_AUDIENCE or claims["sub"] != "system:serviceaccount:apps:deployer":
            raise Refused(401, error="invalid_client", error_description="AADSTS70021: no matching federated identity")

    def _check_certificate(self, assertion: str) -> None:
        header, claims = key("application").verify(assertion, "PS256")
        fingerprint = key("application").certificate.fingerprint(hashes.SHA256())
        wanted = {"aud": f"{self.url}/{TENANT}/oauth2/v2.0/token", "iss": CLIENT, "sub": CLIENT}
        if header["x5t#S256"] != base64url(fingerprint) or {name: claims.get(name) for name in wanted} != wanted:
            raise Refused(401, error="invalid_client", error_description="AADSTS700027: the assertion is not valid")
        if claims["jti"] in self.used or claims["exp"] > time.time() + 900:
            raise Refused(401, error="invalid_client", error_description="AADSTS700025: used before, or too long")
        self.used.add(claims["jti"])

    def _imds(self, seen: Seen) -> Answer:
        query = self._metadata_query(seen, "2018-02-01")
        if seen.headers.get("Metadata") != "true" or "X-Forwarded-For" in seen.headers:
            raise Refused(400, error="invalid_request", error_description="Required metadata header not specified")
        if query.get("client_id", "") not in self.identities:
            raise Refused(400, error="invalid_request", error_description="Identity not found")
        return self._granted()

    def _app_service(self, seen: Seen) -> Answer:
        self._metadata_query(seen, "2019-08-01")
        if seen.headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER:
            raise Refused(401, statusCode=401, message="Unauthorized")
        return self._granted()

    def _arc(self, seen: Seen) -> Answer:
        self._metadata_query(seen, "2020-06-01")
        if seen.headers.get("Metadata") != "true":
            raise Refused(400, error="invalid_request")
        if seen.authorization == f"Basic {self.arc_key}":
            return self._granted()
        challenge = {"WWW-Authenticate": f"Basic realm={self.arc_key_file}"}
        return Answer(401, challenge, b"")

    @staticmethod
    def _metadata_query(seen: Seen, version: str) -> dict[str, str]:
        query = query_of(seen)
        if seen.method != "GET" or query.get("api-version") != version or query.get("resource") != RESOURCE:
            raise Refused(400, error="invalid_resource", error_description=f"AADSTS500011: {query.get('resource')}")
        return query


class Acr(Emulator):
    """A registry: the two token endpoints are its own, everything else is ``backend``'s (a Distribution)."""

    def __init__(self, entra: Entra, name: str = "contoso.azurecr.io") -> None:
        super().__init__()
        self.entra = entra
        self.name = name
        self.backend = ""
        self.tokens = RegistryTokens(service=name)
        self.refresh_tokens: set[str] = set()
        self.refresh_seconds = 10800

    @property
    def realm(self) -> str:
        return f"{self.url}/oauth2/token"

    def route(self, seen: Seen) -> Answer | None:
        if seen.path == "/oauth2/exchange":
            return self._exchange(form_of(seen))
        if seen.path == "/oauth2/token":
            return self._token(form_of(seen))
        if seen.path.startswith("/v2/") and self.backend:
            return forward(seen, self.backend, self.host)
        return None

    def _exchange(self, form: dict[str, str]) -> Answer:
        if form.get("grant_type") != "access_token" or form.get("service") != self.name:
            raise _unauthorized(400, "the grant type or service is not valid")
        if form.get("access_token") not in self.entra.issued:
            raise _unauthorized(401, "authentication required, visit https://aka.ms/acr/authorization")
        now = int(time.time())
        claims = {"sub": "emulated", "jti": secrets.token_hex(8), "exp": now + self.refresh_seconds, "aud": self.name}
        token = key("registry").sign({**claims, "iat": now})
        self.refresh_tokens.add(token)
        return reply({"refresh_token": token})

    def _token(self, form: dict[str, str]) -> Answer:
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") not in self.refresh_tokens:
            raise _unauthorized(401, "authentication required")
        return reply({"access_token": self.tokens.issue(form.get("service", ""), form.get("scope", ""))})


def _unauthorized(status: int, message: str) -> Refused:
    return Refused(status, errors=[{"code": "UNAUTHORIZED", "message": message}])


def _header_text(token: str) -> str:
    head = token.partition(".")[0]
    return base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)).decode("utf-8", "replace")

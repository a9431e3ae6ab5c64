# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access tokens of Microsoft Entra ID for Azure Container Registry, from the environment variables of Azure's SDKs.

The sources are those of azure-identity's DefaultAzureCredential that work without a user, in its order: a service
principal with a secret or a certificate, workload identity, managed identity. Source: "OAuth 2.0 client credentials
flow on the Microsoft identity platform"; "How to use managed identities on a virtual machine to acquire an access
token"; "App Service: REST endpoint reference"; "Authenticate against Azure resources with Azure Arc-enabled servers".
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from .._errors import AuthenticationFailed
from .._packages import require_cryptography
from .endpoint import Answer, CloudClient, check_metadata_url, check_service_url
from .flow import Token, Unavailable, check_token, environment, first_available, read_identity_file
from .jwt import base64url, check_rsa, rsa_key, signed_jwt

# the same in every Azure cloud (azcontainerregistry, cloud_config.go)
RESOURCE = "https://containerregistry.azure.net"
IMDS = "http://169.254.169.254"
ASSERTION_SECONDS = 600
MAX_ARC_KEY = 4096
ARC_KEY_FOLDER = "/var/opt/azcmagent/tokens"

_TENANT = re.compile(r"[A-Za-z0-9.-]{1,253}\Z")
_PEM_KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# statuses of the metadata service while it is updated ("Retry guidance")
_UPDATING = (404, 410)
_HINT = (
    "Give the host a managed identity or workload identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and one of "
    "AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH and AZURE_FEDERATED_TOKEN_FILE."
)


def entra_token(client: CloudClient, authority: str) -> Token:
    """Return an access token for registries.

    :param authority: URL of the Entra ID authority, unless ``AZURE_AUTHORITY_HOST`` names another.
    :raises AuthenticationFailed: when no identity is set up, or the identity is refused.
    """
    authority = _authority(environment("AZURE_AUTHORITY_HOST") or authority)
    flows = [
        ("service principal with a secret", partial(_with_secret, client, authority)),
        ("service principal with a certificate", partial(_with_certificate, client, authority)),
        ("workload identity", partial(_workload_identity, client, authority)),
        ("managed identity", partial(_managed_identity, client)),
    ]
    return first_available(flows, f"No identity of Azure was found for {client.registry}", _HINT)


def _with_secret(client: CloudClient, authority: str) -> Token:
    secret = environment("AZURE_CLIENT_SECRET")
    if not secret:
        raise Unavailable("AZURE_CLIENT_SECRET is not set")
    url, client_id = _application(authority, "AZURE_CLIENT_SECRET")
    return _redeem(client, url, client_id, {"client_secret": secret})


def _with_certificate(client: CloudClient, authority: str) -> Token:
    path = environment("AZURE_CLIENT_CERTIFICATE_PATH")
    if not path:
        raise Unavailable("AZURE_CLIENT_CERTIFICATE_PATH is not set")
    url, client_id = _application(authority, "AZURE_CLIENT_CERTIFICATE_PATH")
    assertion = certificate_assertion(path, url, client_id)
    return _redeem(client, url, client_id, {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion})


def _workload_identity(client: CloudClient, authority: str) -> Token:
    path = environment("AZURE_FEDERATED_TOKEN_FILE")
    if not path:
        raise Unavailable("AZURE_FEDERATED_TOKEN_FILE is not set")
    url, client_id = _application(authority, "AZURE_FEDERATED_TOKEN_FILE")
    holds = "The token that AZURE_FEDERATED_TOKEN_FILE names"
    assertion = check_token(read_identity_file(path, holds), f"{path}, which AZURE_FEDERATED_TOKEN_FILE names,")
    return _redeem(client, url, client_id, {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion})


def _managed_identity(client: CloudClient) -> Token:
    endpoint, header = environment("IDENTITY_ENDPOINT"), environment("IDENTITY_HEADER")
    if endpoint and environment("IDENTITY_SERVER_THUMBPRINT"):
        raise Unavailable("the managed identity of Service Fabric is not supported")
    if endpoint and header:
        # App Service, Functions and Container Apps name an endpoint, which may have any address
        headers = {"X-IDENTITY-HEADER": check_token(header, "IDENTITY_HEADER")}
        return client.metadata(_query(endpoint, "2019-08-01", _client_id()), headers).token("access_token")
    if endpoint and environment("IMDS_ENDPOINT"):
        return _arc(client, check_metadata_url(endpoint, "IDENTITY_ENDPOINT"))
    host = environment("AZURE_POD_IDENTITY_AUTHORITY_HOST")
    base = check_metadata_url(host, "AZURE_POD_IDENTITY_AUTHORITY_HOST") if host else IMDS
    url = _query(base.rstrip("/") + "/metadata/identity/oauth2/token", "2018-02-01", _client_id())
    attempts = 0
    answer = client.metadata(url, {"Metadata": "true"})
    while answer.status in _UPDATING and attempts < client.retries:
        client.pause(attempts)
        attempts += 1
        answer = client.metadata(url, {"Metadata": "true"})
    if answer.status in _UPDATING:
        raise Unavailable(f"{answer.place} answered with status {answer.status}")
    answer.check("Assign an identity to this machine; AZURE_CLIENT_ID names one of several.")
    return answer.token("access_token")


def _arc(client: CloudClient, endpoint: str) -> Token:
    """Return a token of the Azure Arc agent.

    As proof of its rights the client sends the content of a file that the agent names, and that only administrators and
    the agent's group may read.
    """
    url = _query(endpoint, "2020-06-01")
    challenge = client.metadata(url, {"Metadata": "true"})
    if challenge.status != 401:
        challenge.check()
        raise AuthenticationFailed(f"The login failed: {challenge.place} did not send the challenge of Azure Arc.")
    key = check_token(_arc_key(challenge), "The key of the Azure Arc agent")
    return client.metadata(url, {"Metadata": "true", "Authorization": f"Basic {key}"}).token("access_token")


def _arc_key(challenge: Answer) -> bytes:
    path = challenge.headers.get("WWW-Authenticate", "").partition("realm=")[2].strip('" ')
    if os.path.dirname(path) != ARC_KEY_FOLDER or not path.endswith(".key"):
        raise AuthenticationFailed(f"The login failed: {challenge.place} names no file in {ARC_KEY_FOLDER}.")
    key = read_identity_file(path, "The key of the Azure Arc agent")
    if len(key) > MAX_ARC_KEY:
        raise AuthenticationFailed(f"The key of the Azure Arc agent in {path} has more than {MAX_ARC_KEY} bytes.")
    return key


def certificate_assertion(path: str, audience: str, client_id: str) -> str:
    """Return a client assertion, signed with the private key of an application's certificate.

    :param path: a PEM file with key and certificate, or a PKCS #12 archive.
    :raises AuthenticationFailed: when key or certificate cannot be used.
    :raises MissingDependency: without ``cryptography``.

    Source: "Microsoft identity platform application authentication certificate credentials".
    """
    key, certificate = _key_and_certificate(path)
    from cryptography.hazmat.primitives import hashes

    header = {"alg": "PS256", "typ": "JWT", "x5t#S256": base64url(certificate.fingerprint(hashes.SHA256()))}
    now = int(time.time())
    claims = {
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": str(uuid.uuid4()),
        "nbf": now,
        "exp": now + ASSERTION_SECONDS,
    }
    return signed_jwt(header, claims, key)


def _key_and_certificate(path: str) -> tuple[Any, Any]:
    require_cryptography("Logging in with a certificate")
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import pkcs12

    content = read_identity_file(path, "The certificate that AZURE_CLIENT_CERTIFICATE_PATH names")
    password = environment("AZURE_CLIENT_CERTIFICATE_PASSWORD").encode("utf-8") or None
    try:
        if b"-----BEGIN" in content:
            return _pem_key(content, path, password), x509.load_pem_x509_certificate(content)
        key, certificate, _others = pkcs12.load_key_and_certificates(content, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key, certificate = None, None
    if certificate is None:
        raise AuthenticationFailed(
            f"{path}, which AZURE_CLIENT_CERTIFICATE_PATH names, cannot be read.",
            "Wanted a PEM file or PKCS #12 archive with a certificate and its RSA key; "
            "AZURE_CLIENT_CERTIFICATE_PASSWORD unlocks it.",
        )
    return check_rsa(key, path), certificate


def _pem_key(content: bytes, path: str, password: bytes | None) -> Any:
    # the key block alone: not every release of cryptography finds a key that follows a certificate
    block = _PEM_KEY.search(content)
    return rsa_key(block[0] if block else content, path, password)


def _application(authority: str, chosen_by: str) -> tuple[str, str]:
    """Return the token endpoint of the tenant and the client's identifier."""
    tenant, client_id = environment("AZURE_TENANT_ID"), environment("AZURE_CLIENT_ID")
    for name, value in (("AZURE_TENANT_ID", tenant), ("AZURE_CLIENT_ID", client_id)):
        if not value:
            raise AuthenticationFailed(f"{chosen_by} is set, but {name}, which it needs, is not.", f"Set {name}.")
    if not _TENANT.match(tenant):
        raise AuthenticationFailed(f"AZURE_TENANT_ID is {tenant[:100]!r}, which is not a tenant.")
    return f"{authority}/{quote(tenant)}/oauth2/v2.0/token", client_id


def _authority(host: str) -> str:
    url = host if "://" in host else f"https://{host}"
    return check_service_url(url, "AZURE_AUTHORITY_HOST").rstrip("/")


def _redeem(client: CloudClient, url: str, client_id: str, proof: dict[str, str]) -> Token:
    form = {"grant_type": "client_credentials", "client_id": client_id, "scope": f"{RESOURCE}/.default", **proof}
    answer = client.post(url, form)
    answer.check("Check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret, certificate or token that belongs to them.")
    return answer.token("access_token")


def _client_id() -> dict[str, str]:
    """Return the query parameter that selects one of several identities of a machine, if AZURE_CLIENT_ID is set."""
    client_id = environment("AZURE_CLIENT_ID")
    return {"client_id": client_id} if client_id else {}


def _query(endpoint: str, version: str, more: Mapping[str, str] | None = None) -> str:
    query = urlencode({"api-version": version, "resource": RESOURCE, **(more or {})})
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

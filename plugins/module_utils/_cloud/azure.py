# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Login to Azure Container Registry: a Microsoft Entra ID token is exchanged for a refresh token of the registry.

Source: Azure/acr, docs/AAD-OAuth.md ("Calling POST /oauth2/exchange to get an ACR refresh token"). The exchange
of the refresh token for an access token of each repository is the ordinary token flow of registries.
"""

from __future__ import annotations

import re

from .._errors import AuthenticationFailed
from .._login.credential import Credential
from .._oci.options import ConnectionOptions
from .azure_identity import entra_token
from .endpoint import CloudClient
from .flow import check_token
from .jwt import seconds_left

TITLE = "Azure"
HOSTS = "<registry>.azurecr.io, .azurecr.us or .azurecr.cn"
# seconds; the documented life of a refresh token is 3 hours
DEFAULT_REFRESH_SECONDS = 3600.0

# the Entra ID authority of each cloud
_AUTHORITIES = {
    "io": "https://login.microsoftonline.com",
    "us": "https://login.microsoftonline.us",
    "cn": "https://login.chinacloudapi.cn",
}
_HOST = re.compile(r"[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*\.azurecr\.(io|us|cn)\Z")


def is_host(name: str) -> bool:
    """Return True when a host is a registry of Azure."""
    return bool(_HOST.match(name))


def login(name: str, registry: str, connection: ConnectionOptions) -> tuple[Credential, float]:
    """Log in with a new client for ``registry``, the host of the reference; see :func:`log_in`."""
    with CloudClient(registry, connection) as client:
        return log_in(name, client)


def log_in(name: str, client: CloudClient) -> tuple[Credential, float]:
    """Return the credential for a registry, and the seconds for which it is valid.

    The exchange takes place at the host of the reference. It differs from ``name`` when the registry is reached by
    another name.

    :param name: the registry's own host name, for which :func:`is_host` is true.
    :raises AuthenticationFailed: when there is no identity, or it is refused.
    """
    token = entra_token(client, _AUTHORITIES[name.rpartition(".")[2]])
    answer = client.post_to_registry(
        "/oauth2/exchange", {"grant_type": "access_token", "service": name, "access_token": token.value}
    )
    if answer.status == 404:
        raise AuthenticationFailed(
            f"The login failed: {answer.place} was not found.",
            f"{client.registry} does not answer like a registry of Azure; a proxy in front of one has to forward "
            "/oauth2/.",
        )
    answer.check("Give the identity a role at the registry, such as AcrPull.")
    refresh_token = check_token(answer.document.get("refresh_token"), f"The answer of {answer.place}")
    return Credential(identity_token=refresh_token), seconds_left(refresh_token, DEFAULT_REFRESH_SECONDS)

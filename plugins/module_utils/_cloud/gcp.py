# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Login to Google Artifact Registry and Container Registry: an OAuth access token is the password.

An identity is looked for in the order of Application Default Credentials: ``GOOGLE_APPLICATION_CREDENTIALS``, gcloud's
own file, the metadata server. Source: "Configure authentication to Artifact Registry for Docker: Access token";
google-auth.
"""

from __future__ import annotations

import os
import re
from functools import partial

from .._errors import AuthenticationFailed
from .._login.credential import Credential
from .._oci.options import ConnectionOptions
from .endpoint import CloudClient
from .flow import Token, Unavailable, environment, first_available
from .gcp_credentials import token_of_file

TITLE = "Google Cloud"
HOSTS = "<location>-docker.pkg.dev, gcr.io or <location>.gcr.io"
USERNAME = "oauth2accesstoken"
# the address of the metadata server, not its name: a name depends on DNS
METADATA_HOST = "169.254.169.254"

_HOST = re.compile(r"(?:(?:[a-z0-9-]+\.)*gcr\.io|[a-z0-9-]+-docker\.pkg\.dev|docker\.s3nsregistry\.fr)\Z")
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_FLAVOR = {"Metadata-Flavor": "Google"}
_HINT = (
    "Run on a machine with a service account, or name a file of credentials in GOOGLE_APPLICATION_CREDENTIALS, such as "
    "the configuration of workload identity federation or a service account's key."
)


def is_host(name: str) -> bool:
    """Return True when a host is a registry of Google."""
    return bool(_HOST.match(name))


def login(name: str, registry: str, connection: ConnectionOptions) -> tuple[Credential, float]:
    """Log in with a new client; the credential is the same for every registry of Google. See :func:`log_in`."""
    del name
    with CloudClient(registry, connection) as client:
        return log_in(client)


def log_in(client: CloudClient) -> tuple[Credential, float]:
    """Return the credential for registries of Google, and the seconds for which it is valid.

    :raises AuthenticationFailed: when there is no identity, or it is refused.
    """
    flows = [
        ("GOOGLE_APPLICATION_CREDENTIALS", partial(_named_file, client)),
        ("gcloud", partial(_well_known_file, client)),
        ("metadata server", partial(_metadata_server, client)),
    ]
    token = first_available(flows, f"No identity of Google Cloud was found for {client.registry}", _HINT)
    return Credential(username=USERNAME, password=token.value), token.seconds


def _named_file(client: CloudClient) -> Token:
    path = environment("GOOGLE_APPLICATION_CREDENTIALS")
    if not path:
        raise Unavailable("it is not set")
    return token_of_file(client, path)


def _well_known_file(client: CloudClient) -> Token:
    folder = environment("CLOUDSDK_CONFIG") or os.path.join(os.path.expanduser("~"), ".config", "gcloud")
    path = os.path.join(folder, "application_default_credentials.json")
    if not os.path.exists(path):
        raise Unavailable(f"there is no {path}")
    return token_of_file(client, path)


def _metadata_server(client: CloudClient) -> Token:
    """Return a token of the machine's service account; ``GCE_METADATA_HOST`` replaces the server, as in google-auth.

    Source: "About VM metadata", "Access VM metadata".
    """
    host = environment("GCE_METADATA_HOST") or METADATA_HOST
    if not _HOST_AND_PORT.match(host):
        raise AuthenticationFailed(f"GCE_METADATA_HOST is {host[:100]!r}: wanted a host, with or without a port.")
    answer = client.metadata(f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token", _FLAVOR)
    if answer.headers.get("Metadata-Flavor") != "Google":
        raise Unavailable(f"{answer.place} was not answered by a metadata server of Google")
    if answer.status == 404:
        raise Unavailable("this machine has no service account")
    return answer.token("access_token")

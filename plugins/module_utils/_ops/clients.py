# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry clients of one task, shared by the artifacts of one registry."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from .._oci.options import GENERIC, AuthOptions, ConnectionOptions

if TYPE_CHECKING:
    from .._login.credential import Credential
    from .._registry.client import RegistryClient


class Clients:
    """One client, with its connections and tokens, per registry, connection settings and credential; thread-safe.

    Modules are imported and credentials looked up when the first client is requested. Credential helpers of the docker
    config and cloud providers are called once per registry.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: list[tuple[AuthOptions, str, str, Credential | None]] = []
        self._answers: dict[tuple[str, str], Credential | None] = {}
        self._clients: dict[tuple[str, ConnectionOptions, Credential | None], RegistryClient] = {}

    def client(
        self, registry: str, repository: str, auth: AuthOptions, connection: ConnectionOptions
    ) -> RegistryClient:
        """The client of a registry with the credentials for a repository in it.

        :raises AuthenticationFailed: when the given credentials cannot be used, or the provider returns none.
        """
        from .._registry.client import RegistryClient

        connection = replace(connection, mirrors=())
        with self._lock:
            credential = self._credential(registry, repository, auth, connection)
            key = (registry, connection, credential)
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = RegistryClient(registry, connection, credential)
            else:
                client.http.serves_many = True
            return client

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.session.close()
            self._clients.clear()

    def _credential(
        self, registry: str, repository: str, auth: AuthOptions, connection: ConnectionOptions
    ) -> Credential | None:
        for known_auth, known_registry, known_repository, credential in self._credentials:
            if (known_registry, known_repository) == (registry, repository) and known_auth == auth:
                return credential
        from .._login.find import find_credential

        credential = find_credential(auth, registry, repository, self._answers)
        if credential is None and auth.provider != GENERIC:
            from .._cloud.providers import provider_credential

            credential = provider_credential(auth, registry, connection)
        self._credentials.append((auth, registry, repository, credential))
        return credential

# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The login to a registry by the identity that a cloud gives to the host, without the cloud's command line tool.

What is fetched is kept in memory for the run, and nowhere else.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from .._errors import AuthenticationFailed, InvalidOption
from .._login.credential import Credential
from .._oci.options import AWS, AZURE, AuthOptions, ConnectionOptions

# seconds, and the part of its life, by which a credential is renewed before it ends
MAX_MARGIN, MARGIN = 120.0, 0.1
# seconds that even a credential with a senseless life is used, so that no loop asks again and again
MINIMUM_SECONDS = 30.0

_NAMES = {"aws": "AWS", "azure": "Azure", "gcp": "Google Cloud"}
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?\Z")

_lock = threading.Lock()
_held: dict[tuple[str, str, str], Credential] = {}

Login = Callable[[], "tuple[Credential, float]"]


def provider_credential(auth: AuthOptions, registry: str, connection: ConnectionOptions) -> Credential:
    """The credential that ``auth.provider`` gives for ``registry`` (``host[:port]``); it renews itself.

    A host that is none of the provider's gets nothing, unless ``auth.provider_registry`` says which one it stands for.

    :raises InvalidOption: when ``provider_registry`` is no host.
    :raises AuthenticationFailed: when the host is none of the provider's, no identity is found, or it is refused.
    :raises MissingDependency: when a package is missing that the provider needs.
    :raises ConnectionFailed: when an endpoint was not reached.
    """
    name = _name(auth, registry)
    return _current((auth.provider, name, registry), _login(auth, name, registry, connection))


def _name(auth: AuthOptions, registry: str) -> str:
    """What the provider calls the registry."""
    name = (auth.provider_registry or registry).lower()
    if auth.provider_registry and not _HOST.match(name):
        raise InvalidOption(
            f"'provider_registry' is {auth.provider_registry[:100]!r}: wanted the name of a registry, without a port."
        )
    return name[: -len(":443")] if name.endswith(":443") else name


def _login(auth: AuthOptions, name: str, registry: str, connection: ConnectionOptions) -> Login:
    if auth.provider == AWS:
        from . import aws

        ecr = aws.parse_host(name)
        if ecr is None:
            raise _foreign(name, auth, aws.HOSTS)
        return partial(aws.log_in, ecr, registry, connection)
    from . import azure, gcp
    from .endpoint import CloudClient

    is_host, hosts = (azure.is_host, azure.HOSTS) if auth.provider == AZURE else (gcp.is_host, gcp.HOSTS)
    if not is_host(name):
        raise _foreign(name, auth, hosts)

    def log_in() -> tuple[Credential, float]:
        with CloudClient(registry, connection) as client:
            return azure.log_in(name, client) if auth.provider == AZURE else gcp.log_in(client)

    return log_in


def _foreign(name: str, auth: AuthOptions, hosts: str) -> AuthenticationFailed:
    what = "'provider_registry' is" if auth.provider_registry else "The host of the reference is"
    return AuthenticationFailed(
        f"{what} {name}, which is no registry of {_NAMES[auth.provider]}: "
        f"provider: {auth.provider} logs in to {hosts}.",
        "" if auth.provider_registry else "If it stands for one of these, name that in 'provider_registry'.",
    )


def _current(key: tuple[str, str, str], login: Login) -> Credential:
    # one thread asks, the others wait for what it gets
    with _lock:
        held = _held.get(key)
        if held is None or time.monotonic() >= held.valid_until:
            credential, seconds = login()
            usable = max(MINIMUM_SECONDS, seconds - min(MAX_MARGIN, seconds * MARGIN))
            held = replace(credential, valid_until=time.monotonic() + usable, renew=lambda: _current(key, login))
            _held[key] = held
        return held

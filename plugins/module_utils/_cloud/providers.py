# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Login to a registry by the identity that a cloud gives to the host, without the cloud's command line tool.

Credentials are kept in memory for the run, and nowhere else.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from .._errors import AuthenticationFailed, InvalidOption
from .._login.credential import Credential
from .._oci.options import AuthOptions, ConnectionOptions

# seconds, and fraction of its life, by which a credential is renewed before it expires
MAX_MARGIN, MARGIN = 120.0, 0.1
# seconds that a credential is used at least, even if its stated life is shorter: bounds how often a new one is fetched
MINIMUM_SECONDS = 30.0

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?\Z")

_lock = threading.Lock()
_held: dict[tuple[str, str, str], Credential] = {}

Login = Callable[[], "tuple[Credential, float]"]


class Provider(Protocol):
    """Interface of a provider's module. For messages, ``TITLE`` is its name and ``HOSTS`` describes its registries."""

    TITLE: str
    HOSTS: str

    def is_host(self, name: str) -> bool:
        """Return True when a host, without a port, is a registry of the provider."""

    def login(self, name: str, registry: str, connection: ConnectionOptions) -> tuple[Credential, float]:
        """Return the credential and the seconds for which it is valid.

        :param name: a host for which :meth:`is_host` is true.
        :param registry: ``host[:port]`` of the reference, which may be another name of the same registry.
        :raises AuthenticationFailed: when no identity is found, or it is refused.
        """


def _aws() -> Provider:
    from . import aws

    return aws


def _azure() -> Provider:
    from . import azure

    return azure


def _gcp() -> Provider:
    from . import gcp

    return gcp


# The values of the option ``provider``. A new one is a file beside this one that implements Provider, and its import
# here. The imports are written out because Ansible copies to hosts what import statements name.
_IMPORTS: dict[str, Callable[[], Provider]] = {"aws": _aws, "azure": _azure, "gcp": _gcp}


def provider_credential(auth: AuthOptions, registry: str, connection: ConnectionOptions) -> Credential:
    """Return the credential of ``auth.provider`` for ``registry`` (``host[:port]``); it renews itself.

    A host that is not a registry of the provider is sent no credential, unless ``auth.provider_registry`` names the
    registry behind it.

    :raises InvalidOption: when ``provider_registry`` is not a host.
    :raises AuthenticationFailed: when the host is not a registry of the provider, no identity is found, or the
        identity is refused.
    :raises MissingDependency: when a package is missing that the provider needs.
    :raises ConnectionFailed: when an endpoint was not reached.
    """
    name = _name(auth, registry)
    return _current((auth.provider, name, registry), _login(auth, name, registry, connection))


def _name(auth: AuthOptions, registry: str) -> str:
    """Return the host name by which the provider knows the registry."""
    name = (auth.provider_registry or registry).lower()
    if auth.provider_registry and not _HOST.match(name):
        raise InvalidOption(
            f"'provider_registry' is {auth.provider_registry[:100]!r}: wanted the name of a registry, without a port."
        )
    return name[: -len(":443")] if name.endswith(":443") else name


def _login(auth: AuthOptions, name: str, registry: str, connection: ConnectionOptions) -> Login:
    provider = _IMPORTS[auth.provider]()
    if not provider.is_host(name):
        what = "'provider_registry' is" if auth.provider_registry else "The host of the reference is"
        raise AuthenticationFailed(
            f"{what} {name}, which is not a registry of {provider.TITLE}: "
            f"provider: {auth.provider} logs in to {provider.HOSTS}.",
            "" if auth.provider_registry else "If it is another name of one of these, set 'provider_registry' to that.",
        )
    return partial(provider.login, name, registry, connection)


def _current(key: tuple[str, str, str], login: Login) -> Credential:
    # one thread logs in, the others wait for its credential
    with _lock:
        held = _held.get(key)
        if held is None or time.monotonic() >= held.valid_until:
            credential, seconds = login()
            usable = max(MINIMUM_SECONDS, seconds - min(MAX_MARGIN, seconds * MARGIN))
            held = replace(credential, valid_until=time.monotonic() + usable, renew=lambda: _current(key, login))
            _held[key] = held
        return held

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
from typing import Protocol

from .._errors import AuthenticationFailed, InvalidOption
from .._login.credential import Credential
from .._oci.options import AuthOptions, ConnectionOptions

# seconds, and the part of its life, by which a credential is renewed before it ends
MAX_MARGIN, MARGIN = 120.0, 0.1
# seconds that even a credential with a senseless life is used, so that no loop asks again and again
MINIMUM_SECONDS = 30.0

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?\Z")

_lock = threading.Lock()
_held: dict[tuple[str, str, str], Credential] = {}

Login = Callable[[], "tuple[Credential, float]"]


class Provider(Protocol):
    """What the module of a provider has: how messages call it, and which hosts are its registries, as text."""

    TITLE: str
    HOSTS: str

    def is_host(self, name: str) -> bool:
        """Whether a host, without a port, is a registry of the provider."""

    def login(self, name: str, registry: str, connection: ConnectionOptions) -> tuple[Credential, float]:
        """Return the credential and the seconds for which it is valid.

        :param name: a host that is the provider's, see :meth:`is_host`.
        :param registry: ``host[:port]`` of the reference, which may stand for ``name``; messages name it.
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


# The values of the option ``provider``: a new one is a file beside this one, which has what Provider says, and its
# import here. The imports are written out because Ansible copies to hosts what import statements name.
_IMPORTS: dict[str, Callable[[], Provider]] = {"aws": _aws, "azure": _azure, "gcp": _gcp}


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
    provider = _IMPORTS[auth.provider]()
    if not provider.is_host(name):
        what = "'provider_registry' is" if auth.provider_registry else "The host of the reference is"
        raise AuthenticationFailed(
            f"{what} {name}, which is no registry of {provider.TITLE}: "
            f"provider: {auth.provider} logs in to {provider.HOSTS}.",
            "" if auth.provider_registry else "If it stands for one of these, name that in 'provider_registry'.",
        )
    return partial(provider.login, name, registry, connection)


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

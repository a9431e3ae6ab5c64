# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options for the connection to a registry and its credentials, independent of Ansible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .._errors import InvalidOption

# Seconds of the longest duration, exclusive: some thirty years.
MAX_DURATION = 1e9
DEFAULT_TIMEOUT = 60.0
DEFAULT_RETRIES = 3

# AuthOptions.provider
GENERIC = "generic"
PROVIDERS = (GENERIC, "aws", "azure", "gcp")

# patterns as text: a task that gives none of these options compiles none
_DURATION_PART = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)"
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?b?)\s*\Z"
_SIZE_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True)
class AuthOptions:
    """Sources of credentials. ``auth_config`` is the content of a docker ``config.json``.

    ``provider`` is the cloud to log in to when no other source has credentials for the registry;
    ``provider_registry`` is the registry's name in that cloud when it is reached under another name.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    auth_file: str = ""
    auth_config: Mapping[str, Any] | None = field(default=None, repr=False)
    provider: str = GENERIC
    provider_registry: str = ""


@dataclass(frozen=True)
class Mirror:
    """A mirror of a registry: ``host[:port]`` and the path that is put before the repository's name there.

    With ``replaces`` the registry itself is never used. None, and an empty ``ca_cert``, mean: as for the registry
    itself; the client certificate for the registry is never used for a mirror.
    """

    host: str
    path: str = ""
    replaces: bool = False
    insecure: bool | None = None
    validate_certs: bool | None = None
    ca_cert: str = ""
    client_cert: str = ""
    client_key: str = field(default="", repr=False)
    client_key_password: str = field(default="", repr=False)


@dataclass(frozen=True)
class MirrorRule:
    """The mirrors, in the order in which they are asked, of a registry or of the repositories below a path of it."""

    registry: str
    path: str
    mirrors: tuple[Mirror, ...]


@dataclass(frozen=True)
class ConnectionOptions:
    """Settings for connections to a registry.

    ``ca_cert``, ``client_cert`` and ``client_key`` are paths or PEM text. ``no_proxy`` None means that of the
    environment. ``timeout`` is in seconds and bounds each wait (to connect, for the headers of a response, for more of
    its body; see ``_http.pace``), ``retries`` is how often a request is repeated after a transient failure.
    """

    insecure: bool = False
    validate_certs: bool = True
    ca_cert: str = ""
    client_cert: str = ""
    client_key: str = field(default="", repr=False)
    client_key_password: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)
    no_proxy: tuple[str, ...] | None = None
    timeout: float = DEFAULT_TIMEOUT
    retries: int = DEFAULT_RETRIES
    mirrors: tuple[MirrorRule, ...] = ()


class CacheOptions(NamedTuple):
    """The directory of the cache; empty for no cache. With ``read_only`` nothing is written to it."""

    root: str = ""
    read_only: bool = False


def parse_duration(text: str, option: str = "") -> float:
    """Seconds from a number of seconds or a Go duration such as ``1m30s`` (Go, time.ParseDuration; no signs).

    :param option: the name of the option that has the text, for messages.
    :raises InvalidOption: when the text is neither, or not positive.
    """
    text = str(text).strip()
    is_number = text.isascii() and all(part.isdigit() for part in text.split(".", 1))
    try:
        seconds = float(text) if is_number else _go_duration(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < MAX_DURATION:
        named = f"'{option}': " if option else ""
        wanted = "wanted a positive number of seconds or a text such as 90s or 1m30s."
        raise InvalidOption(f"{named}{text[:100]!r} is not a duration: {wanted}")
    return seconds


def parse_size(text: str) -> int:
    """Bytes from a number with an optional unit: ``10GiB``, ``500M``, ``4096``. Units are powers of 1024, as in
    Ansible's ``human_to_bytes``.

    :raises InvalidOption: when the text is not such a size.
    """
    text = str(text)
    match = re.match(_SIZE, text, re.IGNORECASE | re.ASCII) if len(text) < 40 else None
    if not match:
        raise InvalidOption(f"{text[:100]!r} is not a size: wanted a number of bytes or a text such as 500M or 10GiB.")
    unit = 1024 ** _SIZE_POWER[match[2].lower()]
    return int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit


def _go_duration(text: str) -> float:
    seconds, end = 0.0, 0
    for part in re.finditer(_DURATION_PART, text):
        if part.start() != end:
            raise ValueError(text)
        seconds += float(part[1]) * _UNIT_SECONDS[part[2]]
        end = part.end()
    if end != len(text):
        raise ValueError(text)
    return seconds

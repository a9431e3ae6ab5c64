# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``reconcile`` has written for one host: where the project comes from, and how it is run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidOption
from .._files.trusted_file import open_trusted_file
from .._oci.options import parse_duration

DIRECTORY = "/etc/cloudnative.artifacts/reconcile"
MAX_SIZE = 4 * 1024 * 1024
PROJECT = "project"

# durations that mean that there is none
_NONE = ("", "0", "0s")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


@dataclass(frozen=True)
class Configuration:
    """The configuration of one reconciliation.

    ``source`` has the options of the pull. ``playbook`` and ``inventory`` are relative to the project. ``interval``,
    ``retry_interval``, ``jitter`` and ``timeout`` are seconds; a ``retry_interval`` of 0 is the interval.
    ``ansible_playbook`` is a path, ``python`` the interpreter of the pull. ``unit`` is the service, empty where cron
    starts the runs.
    """

    name: str
    state: str
    source: Mapping[str, Any]
    playbook: str
    ansible_playbook: str
    python: str
    inventory: str = ""
    limit: str = ""
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    interval: float = 600.0
    retry_interval: float = 0.0
    jitter: float = 0.0
    timeout: float = 3600.0
    suspend: bool = False
    only_if_changed: bool = False
    unit: str = ""

    @property
    def dest(self) -> str:
        """Where the project is pulled to."""
        return os.path.join(self.state, PROJECT)


def configured_names(directory: str = DIRECTORY) -> list[str]:
    """The names of all that is configured on this host, sorted.

    :raises InvalidOption: when this user may not know them.
    """
    try:
        found = os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise _unreadable(directory, exc) from None
    return sorted(name[:-5] for name in found if name.endswith(".json") and _NAME.match(name[:-5]))


def load_configuration(name: str, directory: str = DIRECTORY) -> Configuration:
    """Read the configuration of this name.

    :raises InvalidOption: when there is none, or it cannot be used.
    """
    if not _NAME.match(name):
        raise InvalidOption(f"{name[:100]!r} is no name of a reconciliation: wanted letters, digits, '-', '_' and '.'.")
    path = os.path.join(directory, f"{name}.json")
    try:
        # it says what root runs
        with os.fdopen(open_trusted_file(os.path.abspath(path), "what is run on this host"), "rb") as stream:
            document = json.loads(stream.read(MAX_SIZE))
        durations = {each: parse_duration(str(document[each]), each) for each in ("interval", "timeout")}
        for each in ("jitter", "retry_interval"):
            text = str(document.get(each, "")).strip()
            durations[each] = 0.0 if text in _NONE else parse_duration(text, each)
        arguments = tuple(str(each) for each in document.get("arguments") or ())
        environment = {str(key): str(value) for key, value in dict(document.get("environment") or {}).items()}
        fields = {**document, **durations, "arguments": arguments, "environment": environment, "name": name}
        found = Configuration(**fields)
        _check(found)
    except OSError as exc:
        raise _unreadable(path, exc) from None
    except (ValueError, TypeError, LookupError, AttributeError) as exc:
        raise InvalidOption(f"{path} cannot be used: {exc}.", "Run the role 'reconcile' again.") from None
    return found


def _unreadable(path: str, exc: OSError) -> InvalidOption:
    cure = "Run it as root." if isinstance(exc, PermissionError) else "Run the role 'reconcile' on this host."
    return InvalidOption(f"Cannot read {path}: {exc.strerror}.", cure)


def _check(found: Configuration) -> None:
    """:raises ValueError: when a field is not what it should be."""
    for option in ("playbook", "inventory"):
        parts = getattr(found, option).split("/")
        if getattr(found, option).startswith("/") or ".." in parts:
            raise ValueError(f"'{option}' is to be a path inside the project")
    if not found.playbook:
        raise ValueError("'playbook' is empty")
    for option in ("state", "ansible_playbook"):
        if not os.path.isabs(getattr(found, option)):
            raise ValueError(f"'{option}' is to be an absolute path")
    if found.source.get("layout") == "releases":
        raise ValueError("'source' has layout: releases, where the project is to be placed as it is")
    if found.interval <= 0:
        raise ValueError("'interval' is to be more than 0")

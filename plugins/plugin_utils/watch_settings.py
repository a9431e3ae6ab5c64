# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the event source ``oci_artifact`` watches: its arguments, checked before anything is asked."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    REFERENCE_SPEC,
    SELECTION_SPEC,
    TAG_MOVED_SPEC,
    VERIFY_SPEC,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.bounded import expanded
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import parse_duration
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference, parse_url
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.seen import state_directory

DEFAULT_INTERVAL = "5m"
# Seconds. Who wants to know sooner lets the registry tell.
MIN_INTERVAL = 1.0
MAX_ARTIFACTS = 1000
LOG, EVENT = "log", "event"
# of one artifact, or of all of them where the source itself has them
SHARED = frozenset({*AUTH_SPEC, *CONNECTION_SPEC, *CACHE_SPEC, *TAG_MOVED_SPEC, *VERIFY_SPEC, "policy"})
IDENTITY = frozenset({*REFERENCE_SPEC, *SELECTION_SPEC})
_OF_THE_SOURCE = frozenset({"artifacts", "state_file", "failures", "interval"})
_OF_ONE = frozenset({"name", "interval"})


@dataclass(frozen=True)
class Watched:
    """An artifact that is watched. ``key`` is the same as long as reference and selection are; ``options`` are those of
    oci_artifact_pull, without ``dest``; ``interval`` is in seconds."""

    key: str
    name: str
    options: Mapping[str, Any]
    interval: float


@dataclass(frozen=True)
class WatchSettings:
    """The arguments of the source. ``tells_failures`` says that failures are events, and not only in the log."""

    artifacts: tuple[Watched, ...]
    state_file: str
    tells_failures: bool


def parse_settings(arguments: Mapping[str, Any]) -> WatchSettings:
    """Read the arguments of the source, as a rulebook gives them.

    :raises OciError: when one of them cannot be used. No message repeats a value that may be a secret.
    """
    _refuse_unknown(arguments, _OF_THE_SOURCE | SHARED, "The event source oci_artifact")
    given = arguments.get("artifacts")
    if not isinstance(given, (list, tuple)) or not given:
        raise InvalidOption(
            "'artifacts' of the event source oci_artifact is no list with at least one artifact.",
            "Write artifacts: [{ref: registry.example.com/platform/config, semver: 1.x}].",
        )
    if len(given) > MAX_ARTIFACTS:
        raise InvalidOption(f"'artifacts' has {len(given)} entries, more than the {MAX_ARTIFACTS} of one source.")
    failures = arguments.get("failures", LOG)
    if failures not in (LOG, EVENT):
        raise InvalidOption(f"'failures' is {str(failures)[:50]!r}: wanted {LOG} or {EVENT}.")
    shared = {name: value for name, value in arguments.items() if name in SHARED and value is not None}
    interval = _interval(arguments.get("interval", DEFAULT_INTERVAL))
    artifacts = tuple(_watched(entry, number, shared, interval) for number, entry in enumerate(given, 1))
    for names, what in (([each.key for each in artifacts], "artifact"), ([each.name for each in artifacts], "name")):
        for number, name in enumerate(names):
            if name in names[:number]:
                raise InvalidOption(
                    f"'artifacts' has the same {what} twice: {artifacts[number].name}.",
                    "Give each artifact once, and each another 'name'.",
                )
    path = str(arguments.get("state_file") or os.path.join(state_directory(), "events.json"))
    return WatchSettings(artifacts, os.path.abspath(expanded(path)), failures == EVENT)


def _watched(entry: Any, number: int, shared: Mapping[str, Any], interval: float) -> Watched:
    given = {"ref": entry} if isinstance(entry, str) else entry
    where = f"Entry {number} of 'artifacts'"
    if not isinstance(given, Mapping):
        raise InvalidOption(f"{where} is neither a reference nor a mapping.")
    _refuse_unknown(given, _OF_ONE | IDENTITY | SHARED, where)
    identity = {name: given[name] for name in sorted(IDENTITY) if given.get(name) is not None}
    own = {name: value for name, value in given.items() if name in SHARED and value is not None}
    if any(name in own for name in AUTH_SPEC):
        # who logs in is never merged from two places
        shared = {name: value for name, value in shared.items() if name not in AUTH_SPEC}
    text = json.dumps(identity, sort_keys=True, default=str)
    return Watched(
        key=hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40],
        name=str(given.get("name") or _shown(identity, where))[:500],
        options={**shared, **own, **identity},
        interval=_interval(given["interval"]) if given.get("interval") is not None else interval,
    )


def _shown(identity: Mapping[str, Any], where: str) -> str:
    """The reference, and the selection where there is one."""
    if not isinstance(identity.get("ref") or identity.get("url"), str):
        raise InvalidOption(f"{where} names no artifact.", "Give its reference in 'ref'.")
    reference = parse_reference(identity["ref"]) if identity.get("ref") else parse_url(identity["url"])
    chosen = [f"{name}={identity[name]}" for name in ("tag", "digest", "semver", "semver_filter") if name in identity]
    if "filter_tags" in identity:
        chosen.append("filter_tags")
    return f"{reference} ({', '.join(chosen)})" if chosen else str(reference)


def _interval(value: Any) -> float:
    seconds = parse_duration(str(value))
    if seconds < MIN_INTERVAL:
        raise InvalidOption(f"'interval' is {str(value)[:50]!r}: wanted {MIN_INTERVAL:g} seconds or more.")
    return seconds


def _refuse_unknown(given: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    unknown = sorted(str(name) for name in given if name not in known)
    if unknown:
        raise InvalidOption(f"{where} has no option {unknown[0][:100]!r}.", f"It has {', '.join(sorted(known))}.")

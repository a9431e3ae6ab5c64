# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pulls of the user of this process have placed on this host: what the records say, and what differs from them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..._dest.destination import Destination
from ..._dest.drift import has_permissions, is_intact
from ..._dest.history import current_revision, listed
from ..._dest.index import enter
from ..._dest.indexed import Entry, entries, forget
from ..._dest.permissions import Permissions
from ..._dest.places import as_recorded, destinations_at
from ..._dest.state import State, observed
from ..._errors import OciError
from ..._files.bounded import expanded
from ..._files.directory_writers import user_name
from ..._files.names import CONTROL_NAME, escaped, native, shown

# paths that differ, and signers, which are named of one destination
MAX_NAMED = 20


@dataclass(frozen=True)
class FactsOptions:
    """The options of the module. ``dests`` are looked at beside those in the index, and entered there."""

    dests: Sequence[str] = ()
    check_content: bool = False
    all_users: bool = True


def own_facts(options: FactsOptions, *, check_mode: bool) -> list[dict[str, Any]]:
    """Return the facts of the destinations of the user of this process. What vanished is left out of the index from now
    on, except in check mode.

    :raises OciError: when the index is not safe to use.
    """
    found, vanished, seen = [], [], set()
    for entry in entries():
        destination = Destination(native(entry.root), Permissions(), entry.control_name, is_parent=entry.is_parent)
        seen.add(os.path.realpath(destination.control))
        one = _look(destination, entry.asked, options.check_content)
        if one is None:
            vanished.append(entry.file)
            one = _vanished(entry)
        found.append(one)
    for path in options.dests:
        for destination in destinations_at(os.path.abspath(native(expanded(path)))):
            if os.path.realpath(destination.control) in seen:
                continue
            one = _look(destination, {}, options.check_content)
            if one is not None:
                found.append(one)
                if not check_mode and one["state"] != "unreadable":
                    enter(destination, {})
    if vanished and not check_mode:
        forget(vanished)
    return found


def _look(destination: Destination, asked: Mapping[str, Any], check_content: bool) -> dict[str, Any] | None:
    """The facts of a destination; None when there is no record any more."""
    base = {"path": shown(destination.root), "user": user_name(os.geteuid()), "asked": dict(asked)}
    try:
        state = destination.load_state()
        if state.is_damaged:
            return {**base, "state": "unreadable", "message": "The record is damaged, or is another user's."}
        if not (state.key or state.standing or state.pending):
            return None
        destination = as_recorded(destination, state)
        drift = _drift(destination, state, check_content)
    except OciError as exc:
        return {**base, "state": "unreadable", "message": str(exc)}
    artifact = state.artifact
    verdict = state.verification.get("verdict") or {}
    return {
        **base,
        # of releases, the path of the artifact is the link to one
        "path": base["path"] if destination.layout else str(artifact.get("path") or base["path"]),
        "state": "interrupted" if state.pending else "placed" if state.key else "empty",
        "asked": dict(asked) or _asked(state),
        "placed_at": str(artifact.get("last_update_time") or ""),
        **{name: str(artifact.get(name) or "") for name in ("url", "revision", "tag", "digest")},
        "metadata": dict(artifact.get("metadata") or {}),
        "verified": bool(verdict.get("verified")),
        "signers": list(verdict.get("signers") or ())[:MAX_NAMED],
        "observed": observed(state.key, state.verification),
        **drift,
        **listed(state.standing),
    }


def _vanished(entry: Entry) -> dict[str, Any]:
    path = entry.root
    if entry.is_parent:
        # the directory of a file, whose control directory has the name of the file in its own
        path = os.path.join(path, entry.control_name[1 : -len(CONTROL_NAME)])
    return {"path": escaped(path), "user": user_name(os.geteuid()), "asked": dict(entry.asked), "state": "vanished"}


def _asked(state: State) -> dict[str, Any]:
    """The reference that the record has, without the selection, which it only has for comparison."""
    reference = state.request.partition("\n")[0]
    return {"ref": reference} if reference else {}


def _drift(destination: Destination, state: State, check_content: bool) -> dict[str, Any]:
    """What differs from the record: content of every destination, modes and owners where the record has the options
    that they were set by."""
    kept = current_revision(state.standing)
    permissions = None
    if kept is not None:
        permissions = Permissions(kept.settings.get("mode") or "", kept.settings.get("uid"), kept.settings.get("gid"))
    content, metadata = [], []
    with destination.opened() as held:
        for path, placed in sorted(state.files.items()):
            try:
                status = held.root.lstat(path)
                if not is_intact(held.root, path, status, placed, check_content):
                    content.append(path)
                elif permissions is not None and not has_permissions(status, placed.entry, permissions):
                    metadata.append(path)
            except OSError:
                content.append(path)
    content.extend(destination.moved())
    return {
        "drift": {
            "content": [*map(escaped, content[:MAX_NAMED])],
            "permissions": [*map(escaped, metadata[:MAX_NAMED])],
            "count": len(content) + len(metadata),
        }
    }

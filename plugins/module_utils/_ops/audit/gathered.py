# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts have said of themselves, as an audit believes it: text of bounded length, digests that are digests.

Any of the hosts may be in the hands of an attacker, and says what it likes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._dest.indexed import MAX_ENTRIES
from ..._errors import InvalidReference
from ..._oci.digest import is_digest
from ..._oci.reference import is_tag, parse_url

# characters of a text, destinations of a host, entries of a list
MAX_TEXT = 1000
MAX_DESTINATIONS = MAX_ENTRIES
MAX_LISTED = 20
FACT = "oci_artifacts"
OK, UNREACHABLE, FAILED, MISSING = "ok", "unreachable", "failed", "missing"
PLACED, INTERRUPTED, EMPTY, UNREADABLE, VANISHED = "placed", "interrupted", "empty", "unreadable", "vanished"
_STATES = (PLACED, INTERRUPTED, EMPTY, UNREADABLE, VANISHED)
_ASKED = ("ref", "url", "tag", "digest", "semver", "semver_filter")


@dataclass(frozen=True)
class Said:
    """What a host says of one destination; see the facts of oci_artifact_facts. ``signers`` are names. ``asked`` has
    the options that named the artifact, ``drift`` the first paths that differ, ``changed`` how many do."""

    path: str
    user: str
    state: str
    message: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""
    tag: str = ""
    digest: str = ""
    placed_at: str = ""
    verified: bool = False
    signers: Sequence[str] = ()
    drift: Sequence[str] = ()
    changed: int = 0
    held: Sequence[Mapping[str, str]] = ()
    suspended: Mapping[str, str] = field(default_factory=dict)

    @property
    def selects(self) -> bool:
        """True when a range or a tag policy was asked for."""
        return bool(self.asked.get("semver") or self.asked.get("filter_tags"))


@dataclass(frozen=True)
class Host:
    """One host of the inventory: whether it answered (``state``), and what it said. ``message`` says why it did not, or
    what is left out."""

    name: str
    state: str
    message: str = ""
    destinations: Sequence[Said] = ()


def read_host(name: str, answer: Any) -> Host:
    """Return what a host has said.

    :param answer: the result of oci_artifact_facts there; anything else counts as no answer.
    """
    if not isinstance(answer, Mapping) or not answer:
        return Host(name, MISSING, "Its facts were not gathered.")
    if answer.get("unreachable"):
        return Host(name, UNREACHABLE, _text(answer.get("msg")) or "It was not reached.")
    given = answer.get("ansible_facts")
    found = given.get(FACT) if isinstance(given, Mapping) else None
    if answer.get("failed") or not isinstance(found, list):
        return Host(name, FAILED, _text(answer.get("msg")) or "Its facts could not be gathered.")
    read = [_said(each) for each in found[:MAX_DESTINATIONS] if isinstance(each, Mapping)]
    # oci_artifact_facts returns no more than so many itself
    is_full = len(found) >= MAX_DESTINATIONS
    message = f"It has {MAX_DESTINATIONS:,} destinations or more; those after that are not in the report."
    return Host(name, OK, message if is_full else "", read)


def _said(each: Mapping[str, Any]) -> Said:
    state = each.get("state")
    drift = _mapping(each.get("drift"))
    said = Said(
        path=_text(each.get("path")),
        user=_text(each.get("user")),
        state=state if state in _STATES else UNREADABLE,
        message=_text(each.get("message")),
        asked=_asked(_mapping(each.get("asked"))),
    )
    if said.state not in (PLACED, INTERRUPTED, EMPTY):
        return said
    url, digest, tag = _text(each.get("url")), _text(each.get("digest")), _text(each.get("tag"))
    if said.state == PLACED and not (is_digest(digest) and _is_url(url) and (not tag or is_tag(tag))):
        return Said(said.path, said.user, UNREADABLE, "What it says of the artifact is none.", said.asked)
    count = drift.get("count")
    return Said(
        path=said.path,
        user=said.user,
        state=said.state,
        asked=said.asked,
        url=url,
        tag=tag,
        digest=digest if is_digest(digest) else "",
        placed_at=_text(each.get("placed_at")),
        verified=each.get("verified") is True,
        signers=signer_names(each.get("signers")),
        drift=[_text(path) for kind in ("content", "permissions") for path in _list(drift.get(kind))][:MAX_LISTED],
        changed=count if isinstance(count, int) else 0,
        held=[_texts(hold) for hold in _list(each.get("held"))],
        suspended=_texts(each.get("suspended")),
    )


def signer_names(signers: Any) -> list[str]:
    """Return who signed, in a word each: the identity of a certificate, or the key."""
    names = []
    for each in _list(signers):
        one = _mapping(each)
        names.append(_text(one.get("subject")) or _text(one.get("source")) or _text(one.get("key")))
    return [name for name in dict.fromkeys(names) if name]


def _is_url(url: str) -> bool:
    try:
        parse_url(url)
    except InvalidReference:
        return url.startswith(("oci-layout:", "oci-archive:"))
    return True


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: _text(given[name]) for name in _ASKED if isinstance(given.get(name), str)}
    tags = given.get("filter_tags")
    if isinstance(tags, Mapping) and len(json.dumps(tags, default=str)) <= MAX_TEXT:
        found["filter_tags"] = dict(tags)
    return found


def _text(value: Any) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value[:MAX_LISTED] if isinstance(value, list) else []


def _texts(value: Any) -> dict[str, str]:
    return {str(key)[:100]: _text(text) for key, text in list(_mapping(value).items())[:MAX_LISTED]}

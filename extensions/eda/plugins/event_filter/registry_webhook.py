# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An event filter of Event-Driven Ansible: one shape out of what registries send when something is pushed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import runpy
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOCUMENTATION = r"""
module: registry_webhook
short_description: Make one shape of event out of the webhooks of registries
version_added: 0.1.0
description:
  - Takes the notifications of CNCF Distribution, GitLab, Harbor (its own format and CloudEvents), Quay, GitHub
    packages (GHCR), Azure Container Registry (webhooks and Event Grid), Amazon ECR (through EventBridge), Docker Hub,
    Google Artifact Registry (Pub/Sub) and zot, and makes an event of each tag that was pushed or deleted.
  - An event has C(type) (V(push) or V(delete)), C(provider), C(registry), C(repository), C(tag), C(digest), C(ref),
    C(revision), C(actor), C(time) and C(id). What a registry does not say is an empty text.
  - A notification is a hint and no proof. Whoever can send to the webhook can make it say anything; so set C(token)
    or C(hmac_secret) of the webhook source, and let the task that pulls verify what it pulls.
  - Only texts that are hosts, repositories, tags and digests by the rules of OCI pass, and only in bounded number and
    length. All else of a notification is dropped, credentials in headers and callback addresses included.
  - Pulls, blobs, and what is no notification of a registry, lead to no event.
author:
  - the cloudnative.artifacts authors (@cloudnative)
options:
  registry:
    description:
      - The host of the registry, in place of the one that the notification names. Registries behind a proxy may name
        another one than clients use, and some name none.
    type: str
  actions:
    description:
      - What becomes an event, of V(push) and V(delete).
    type: list
    elements: str
    default: [push]
  untagged:
    description:
      - Whether pushes without a tag become events, such as those of the platforms of an index, of signatures and of
        other referrers.
    type: bool
    default: false
  signatures:
    description:
      - Whether tags become events that hold the signatures or referrers of another artifact (C(sha256-….sig)).
    type: bool
    default: false
  state_file:
    description:
      - A file with the digest that each tag had last. A push that moves no tag, and a notification that a registry
        repeats, are then no events, also after a restart. Each filter needs its own.
      - Without it each notification of a push is an event.
    type: path
"""

EXAMPLES = r"""
- name: Deploy what is pushed
  hosts: all
  sources:
    - name: registry
      ansible.eda.webhook:
        host: 0.0.0.0
        port: 5000
        token: "{{ webhook_token }}"
      filters:
        - cloudnative.artifacts.registry_webhook:
            state_file: /var/lib/eda/webhook.json
  rules:
    - name: Deploy
      condition: event.type == "push" and event.repository == "platform/config" and event.tag == "stable"
      action:
        run_playbook:
          name: deploy.yml
          extra_vars:
            config_ref: "{{ event.ref }}"
"""

LOGGER = logging.getLogger("cloudnative.artifacts.registry_webhook")
PUSH, DELETE = "push", "delete"
# Tags that the state file knows; the oldest are forgotten, and their next push is an event.
MAX_TAGS, MAX_STATE = 20_000, 16 << 20

_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:]{2,45}\])(?::[0-9]{1,5})?\Z", re.ASCII
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z", re.ASCII)
_DIGEST = re.compile(r"sha(?:256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})\Z", re.ASCII)
_REFERRER_TAG = re.compile(r"sha(?:256|384|512)-[0-9a-f]{64,128}(?:\.[A-Za-z0-9]+)?\Z", re.ASCII)

# ansible-rulebook runs this file by its path, and need not be able to import the collection
_SHAPES = runpy.run_path(str(Path(__file__).resolve().parents[4] / "plugins/plugin_utils/webhook_shapes.py"))
_parsed, _read, _text = _SHAPES["parsed"], _SHAPES["read_notification"], _SHAPES["bounded_text"]
MAX_EVENTS = _SHAPES["MAX_EVENTS"]


def main(
    event: Any,
    registry: str = "",
    actions: Any = (PUSH,),
    untagged: bool = False,
    signatures: bool = False,
    state_file: str = "",
) -> list[dict[str, Any]]:
    """Return an event for each tag that a notification names; an empty list when it names none.

    :raises ValueError: when an argument cannot be used.
    :raises OSError: when the state file cannot be used. The notification is then not answered with success, and
        registries that repeat theirs do so.
    """
    wanted = list(actions) if isinstance(actions, (list, tuple)) else [actions]
    if not wanted or any(each not in (PUSH, DELETE) for each in wanted):
        raise ValueError(f"registry_webhook: 'actions' is {wanted!r}: wanted a list of {PUSH} and {DELETE}.")
    if registry and not (isinstance(registry, str) and _HOST.match(registry)):
        raise ValueError("registry_webhook: 'registry' is no host: wanted one as in registry.example.com:5000.")
    payload, meta = _payload(event)
    events: list[dict[str, Any]] = []
    invalid = 0
    for provider, found in _read(payload):
        if len(events) == MAX_EVENTS:
            LOGGER.warning("registry_webhook: a notification names more than %d tags; the rest is dropped", MAX_EVENTS)
            break
        made = _event(provider, {**found, **({"registry": registry} if registry else {})}, meta)
        invalid += made is None
        if made is None or made["type"] not in wanted:
            continue
        if not made["tag"] and not untagged:
            continue
        if _REFERRER_TAG.match(made["tag"]) and not signatures:
            continue
        events.append(made)
    if invalid:
        LOGGER.warning("registry_webhook: %d parts of a notification name no valid repository, tag or digest", invalid)
    return _only_news(events, os.path.expanduser(str(state_file))) if state_file and events else events


# What arrives


def _payload(event: Any) -> tuple[Any, dict[str, Any]]:
    """The notification in an event of a webhook, a queue or a topic, and of its ``meta`` what is no header."""
    if not isinstance(event, Mapping):
        return None, {}
    meta = event.get("meta")
    # the endpoint is a part of the URL that the sender has chosen
    kept = (
        {name: _text(meta, name) for name in ("endpoint", "source") if name in meta}
        if isinstance(meta, Mapping)
        else {}
    )
    for name in ("payload", "body"):
        if name in event:
            return _parsed(event[name]), kept
    return event, kept


def _event(provider: str, found: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """The event, or None when a part of it is not what OCI allows there."""
    registry, repository = _text(found, "registry"), _text(found, "repository")
    tag, digest = _text(found, "tag"), _text(found, "digest")
    is_valid = (
        (not registry or _HOST.match(registry))
        and _REPOSITORY.match(repository)
        and (not tag or _TAG.match(tag))
        and (not digest or _DIGEST.match(digest))
        and (tag or digest)
    )
    if not is_valid:
        return None
    place = f"{registry}/{repository}" if registry else repository
    return {
        "type": found["type"],
        "provider": provider,
        "registry": registry,
        "repository": repository,
        "tag": tag,
        "digest": digest,
        "ref": place + (f":{tag}" if tag else "") + (f"@{digest}" if digest else ""),
        "revision": "@".join(part for part in (tag, digest) if part),
        "actor": _text(found, "actor"),
        "time": _text(found, "time"),
        "id": _text(found, "id"),
        "meta": dict(meta),
    }


# What was announced


def _only_news(events: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """The events that change what a tag stands for, as the file knows it; the file knows them from now on."""
    with _locked(f"{path}.lock"):
        known = _load(path)
        news = []
        for each in events:
            place = f"{each['registry']}/{each['repository']}:{each['tag']}"
            if not each["tag"]:
                place = f"{each['registry']}/{each['repository']}@{each['digest']}"
            # of a registry that names no digest, only what is the same notification is a repetition
            mark = each["digest"] if each["type"] == PUSH else ""
            mark = mark or hashlib.sha256(f"{each['type']} {each['time']} {each['id']}".encode()).hexdigest()
            is_told_apart = bool(each["digest"] or each["time"] or each["id"])
            if is_told_apart and known.get(place) == mark:
                continue
            known.pop(place, None)
            known[place] = mark
            news.append(each)
        if news:
            _save(path, known)
    return news


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _load(path: str) -> dict[str, str]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise PermissionError(f"registry_webhook: the state file {path} can be changed by other users.")
        try:
            found = json.loads(stream.read(MAX_STATE))["tags"]
            return {str(place): str(mark) for place, mark in found.items()}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ValueError(f"registry_webhook: the state file {path} cannot be understood: remove it.") from None


def _save(path: str, known: dict[str, str]) -> None:
    unfinished = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):  # of a process that was killed
        os.unlink(unfinished)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        json.dump({"tags": dict(list(known.items())[-MAX_TAGS:])}, stream, separators=(",", ":"))
        stream.flush()
        os.fsync(handle)
    os.replace(unfinished, path)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An event filter of Event-Driven Ansible: one shape out of what registries send when something is pushed."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

DOCUMENTATION = r"""
module: registry_webhook
short_description: Make one shape of event out of the webhooks of registries
version_added: 0.1.0
description:
  - Takes the notifications of CNCF Distribution, GitLab, Harbor (its own format and CloudEvents), Quay, GitHub packages
    (GHCR), Azure Container Registry (webhooks and Event Grid), Amazon ECR (through EventBridge), Docker Hub, Google
    Artifact Registry (Pub/Sub) and zot, and makes an event of each tag that was pushed or deleted.
  - An event has C(type) (V(push) or V(delete)), C(provider), C(registry), C(repository), C(tag), C(digest), C(ref),
    C(revision), C(actor), C(time) and C(id). What a registry does not say is an empty text.
  - A notification is a hint and no proof. Whoever can send to the webhook can make it say anything; so set C(token) or
    C(hmac_secret) of the webhook source, and let the task that pulls verify what it pulls.
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
      - Whether pushes without a tag become events, such as those of the platforms of an index, of signatures and of other
        referrers.
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
# Of one notification, and of its texts.
MAX_EVENTS, MAX_TEXT = 200, 255
MAX_MESSAGE = 1 << 20
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
_MANIFESTS = re.compile(r"application/vnd\.(?:oci\.image\.(?:manifest|index)\.|docker\.distribution\.manifest)")

Found = dict[str, Any]


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
    wanted = [actions] if isinstance(actions, str) else list(actions)
    if not wanted or any(each not in (PUSH, DELETE) for each in wanted):
        raise ValueError(f"registry_webhook: 'actions' is {wanted!r}: wanted a list of {PUSH} and {DELETE}.")
    if registry and not _HOST.match(registry):
        raise ValueError("registry_webhook: 'registry' is no host: wanted one as in registry.example.com:5000.")
    payload, meta = _payload(event)
    events: list[dict[str, Any]] = []
    for provider, found in _read(payload):
        if len(events) == MAX_EVENTS:
            LOGGER.warning("registry_webhook: a notification names more than %d tags; the rest is dropped", MAX_EVENTS)
            break
        made = _event(provider, {**found, **({"registry": registry} if registry else {})}, meta)
        if made is None or made["type"] not in wanted:
            continue
        if not made["tag"] and not untagged:
            continue
        if _REFERRER_TAG.match(made["tag"]) and not signatures:
            continue
        events.append(made)
    return _only_news(events, os.path.expanduser(str(state_file))) if state_file and events else events


# What arrives


def _payload(event: Any) -> tuple[Any, dict[str, Any]]:
    """The notification in an event of a webhook, a queue or a topic, and of its ``meta`` what is no header."""
    if not isinstance(event, Mapping):
        return None, {}
    meta = event.get("meta")
    kept = {name: meta[name] for name in ("endpoint", "source") if name in meta} if isinstance(meta, Mapping) else {}
    for name in ("payload", "body"):
        if name in event:
            return _parsed(event[name]), kept
    return event, kept


def _parsed(value: Any) -> Any:
    if isinstance(value, (str, bytes)):
        if len(value) > MAX_MESSAGE:
            return None
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value


def _read(payload: Any) -> Iterator[tuple[str, Found]]:
    """The provider and what was found, of each tag that a notification of any known shape names."""
    # Event Grid sends lists
    for each in payload[:MAX_EVENTS] if isinstance(payload, list) else [payload]:
        if not isinstance(each, Mapping):
            continue
        for provider, recognised, read in _SHAPES:
            if recognised(each):
                for found in read(each):
                    yield provider, found
                break
        else:
            LOGGER.debug("registry_webhook: an event is no notification of a registry that is known")


def _event(provider: str, found: Found, meta: Mapping[str, Any]) -> Optional[dict[str, Any]]:
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
        LOGGER.warning("registry_webhook: a notification of %s names no valid repository, tag or digest", provider)
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


def _text(found: Mapping[str, Any], name: str) -> str:
    """A text of printable characters, and of bounded length; empty for everything else."""
    value = found.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if -(1 << 63) <= value < 1 << 63 else ""
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        return ""
    return value


def _part(value: Any, *names: str) -> Any:
    """What is in nested mappings under these names; an empty mapping where it is missing."""
    for name in names:
        value = value.get(name, {}) if isinstance(value, Mapping) else {}
    return value


def _list(value: Any) -> list[Any]:
    return value[:MAX_EVENTS] if isinstance(value, list) else []


def _host_of(url: Any) -> str:
    """The host and port of a URL, without a login that is in it."""
    found = re.match(r"[a-z]+://(?:[^/@]*@)?([^/?#]+)", url) if isinstance(url, str) and len(url) < 4096 else None
    return found[1] if found else ""


def _split(reference: Any) -> Found:
    """The parts of a reference that has a host."""
    if not isinstance(reference, str) or len(reference) > 1000:
        return {}
    rest, _at, digest = reference.partition("@")
    registry, _slash, rest = rest.partition("/")
    repository, _colon, tag = rest.partition(":")
    return {"registry": registry, "repository": repository, "tag": tag, "digest": digest}


# The shapes, each with the documentation that it is from


def _distribution(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://distribution.github.io/distribution/about/notifications/, and GitLab's registry, which is a fork of it
    for each in _list(payload.get("events")):
        target, action = _part(each, "target"), _part(each, "action")
        if action == PUSH and not _MANIFESTS.match(str(_part(target, "mediaType"))[:MAX_TEXT]):
            continue  # a blob
        if action in (PUSH, DELETE):
            host = _part(each, "request", "host") or _host_of(_part(target, "url"))
            yield {
                **{name: _part(target, name) for name in ("repository", "tag", "digest")},
                "type": action,
                "registry": host,
                "actor": _part(each, "actor", "name"),
                "time": _part(each, "timestamp"),
                "id": _part(each, "id"),
            }


def _acr(payload: Mapping[str, Any]) -> Iterator[Found]:
    # learn.microsoft.com, container-registry-webhook-reference and event-schema-container-registry
    body = payload.get("data") if isinstance(payload.get("data"), Mapping) else payload
    action = {"push": PUSH, "chart_push": PUSH, "delete": DELETE, "chart_delete": DELETE}.get(
        str(_part(body, "action"))
    )
    if action:
        yield {
            **{name: _part(body, "target", name) for name in ("repository", "tag", "digest")},
            "type": action,
            "registry": _part(body, "request", "host") or _part(body, "connectedregistry", "name"),
            "actor": _part(body, "actor", "name"),
            "time": _part(body, "timestamp"),
            "id": _part(body, "id"),
        }


_HARBOR_TYPES = {
    "PUSH_ARTIFACT": PUSH,
    "DELETE_ARTIFACT": DELETE,
    "REPLICATION": "",
    "harbor.artifact.pushed": PUSH,
    "harbor.artifact.deleted": DELETE,
}


def _harbor(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://goharbor.io/docs/ "Configure Webhook Notifications", in both of its formats
    action = _HARBOR_TYPES.get(str(payload.get("type")), "")
    data = payload.get("event_data", payload.get("data"))
    for each in _list(_part(data, "resources")) if action else []:
        place = _split(_part(each, "resource_url"))
        tag, digest = _part(each, "tag"), _part(each, "digest")
        yield {
            "type": action,
            "registry": place.get("registry"),
            "repository": _part(data, "repository", "repo_full_name") or place.get("repository"),
            # of an artifact without a tag Harbor repeats the digest
            "tag": "" if isinstance(tag, str) and ":" in tag else tag,
            "digest": digest,
            "actor": payload.get("operator"),
            "time": payload.get("time", payload.get("occur_at")),
            "id": payload.get("id"),
        }


def _quay(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://docs.quay.io/guides/notifications.html "Repository Push"; of older versions the tags are a mapping
    tags = payload.get("updated_tags")
    for tag in list(tags)[:MAX_EVENTS] if isinstance(tags, (list, Mapping)) else []:
        yield {**_split(payload.get("docker_url")), "type": PUSH, "tag": tag}


def _github(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://docs.github.com/webhooks "package" and "registry_package"
    package = payload.get("registry_package", payload.get("package"))
    version = _part(package, "package_version")
    if payload.get("action") not in ("published", "updated") or str(_part(package, "package_type")).lower() not in (
        "container",
        "docker",
    ):
        return
    named = _part(version, "container_metadata", "tag")
    owner, name = _part(package, "namespace") or _part(package, "owner", "login"), _part(package, "name")
    digest = _part(named, "digest") or _part(version, "version")
    yield {
        "type": PUSH,
        "registry": _host_of(_part(package, "registry", "url")) if _part(package, "registry", "url") else "ghcr.io",
        "repository": f"{owner}/{name}".lower() if isinstance(owner, str) and isinstance(name, str) else "",
        "tag": _part(named, "name"),
        "digest": digest if isinstance(digest, str) and digest.startswith("sha") else "",
        "actor": _part(payload, "sender", "login"),
        "time": _part(package, "updated_at"),
        "id": _part(version, "id"),
    }


def _ecr(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html
    detail = payload.get("detail")
    action = {"PUSH": PUSH, "DELETE": DELETE}.get(str(_part(detail, "action-type")))
    if action and _part(detail, "result") == "SUCCESS" and payload.get("detail-type") == "ECR Image Action":
        account, region = _text(payload, "account"), _text(payload, "region")
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        yield {
            "type": action,
            "registry": f"{account}.dkr.ecr.{region}.{suffix}" if account and region else "",
            "repository": _part(detail, "repository-name"),
            "tag": _part(detail, "image-tag"),
            "digest": _part(detail, "image-digest"),
            "time": payload.get("time"),
            "id": payload.get("id"),
        }


def _docker_hub(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://docs.docker.com/docker-hub/repos/manage/webhooks/
    pushed = payload.get("push_data")
    yield {
        "type": PUSH,
        "registry": "docker.io",
        "repository": _part(payload, "repository", "repo_name"),
        "tag": _part(pushed, "tag"),
        "actor": _part(pushed, "pusher"),
        "time": _part(pushed, "pushed_at"),
    }


def _google(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://cloud.google.com/artifact-registry/docs/configure-notifications
    message, data = payload.get("message"), payload
    if isinstance(message, Mapping):
        encoded = message.get("data")
        data = {}
        if isinstance(encoded, str) and len(encoded) <= MAX_MESSAGE:
            with contextlib.suppress(ValueError):
                data = _parsed(base64.b64decode(encoded, validate=True))
    action = {"INSERT": PUSH, "DELETE": DELETE}.get(str(_part(data, "action")))
    if action:
        tagged, exact = _split(_part(data, "tag")), _split(_part(data, "digest"))
        times = {"id": _part(message, "messageId"), "time": _part(message, "publishTime")}
        yield {**(tagged or exact), "type": action, "digest": exact.get("digest"), **times}


def _zot(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://zotregistry.dev "Event notifications", CloudEvents
    action = {"zotregistry.image.updated": PUSH, "zotregistry.image.deleted": DELETE}.get(str(payload.get("type")))
    data = _parsed(payload.get("data"))
    if action:
        reference = _part(data, "reference")
        yield {
            "type": action,
            "repository": _part(data, "name"),
            "tag": "" if isinstance(reference, str) and ":" in reference else reference,
            "digest": _part(data, "digest"),
            "time": payload.get("time"),
            "id": payload.get("id"),
        }


def _is_distribution(payload: Mapping[str, Any]) -> bool:
    return isinstance(payload.get("events"), list)


def _is_harbor(payload: Mapping[str, Any]) -> bool:
    return isinstance(payload.get("event_data"), Mapping) or str(payload.get("type")).startswith("harbor.")


def _is_acr(payload: Mapping[str, Any]) -> bool:
    kind = str(payload.get("eventType", payload.get("type")))
    return kind.startswith("Microsoft.ContainerRegistry.") or ("target" in payload and "action" in payload)


def _is_github(payload: Mapping[str, Any]) -> bool:
    return isinstance(payload.get("registry_package", payload.get("package")), Mapping)


def _is_google(payload: Mapping[str, Any]) -> bool:
    is_message = isinstance(payload.get("message"), Mapping) and "data" in payload["message"]
    return is_message or payload.get("action") in ("INSERT", "DELETE")


_SHAPES: tuple[tuple[str, Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Iterator[Found]]], ...] = (
    ("distribution", _is_distribution, _distribution),
    ("harbor", _is_harbor, _harbor),
    ("zot", lambda payload: str(payload.get("type")).startswith("zotregistry."), _zot),
    ("ecr", lambda payload: payload.get("source") == "aws.ecr", _ecr),
    ("github", _is_github, _github),
    ("docker_hub", lambda payload: isinstance(payload.get("push_data"), Mapping), _docker_hub),
    ("quay", lambda payload: "docker_url" in payload, _quay),
    ("acr", _is_acr, _acr),
    ("google", _is_google, _google),
)


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

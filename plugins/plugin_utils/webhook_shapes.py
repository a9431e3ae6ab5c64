# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What registries send when something was pushed or deleted: each shape, and where in it the names are.

The event filter ``registry_webhook`` runs this file by its path, so it imports nothing of this collection or Ansible.
Nothing in a notification is trusted: what is not where it should be, or is no text of bounded length, counts as
missing, and whether names are valid is for the filter to say.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, Callable

LOGGER = logging.getLogger("cloudnative.artifacts.registry_webhook")
PUSH, DELETE = "push", "delete"
# Of one notification, and of its texts.
MAX_EVENTS, MAX_TEXT = 200, 255
MAX_MESSAGE = 1 << 20
_TEMPLATES = ("{{", "{%", "{#")
_MANIFESTS = re.compile(r"application/vnd\.(?:oci\.image\.(?:manifest|index)\.|docker\.distribution\.manifest)")

# ``type``, and any of ``registry``, ``repository``, ``tag``, ``digest``, ``actor``, ``time`` and ``id``
Found = dict[str, Any]


def parsed(value: Any) -> Any:
    """The value itself, or what it is the JSON text of; None for any other text, and one longer than MAX_MESSAGE."""
    if isinstance(value, (str, bytes)):
        if len(value) > MAX_MESSAGE:
            return None
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value


def read_notification(payload: Any) -> Iterator[tuple[str, Found]]:
    """Yield the provider and what was found, of each tag that a notification of any known shape names."""
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


def bounded_text(found: Mapping[str, Any], name: str) -> str:
    """A text of printable characters, and of bounded length; empty for everything else.

    What Jinja would take for a template counts as everything else: a play gets the event in extra variables, which
    Ansible templates.
    """
    value = found.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if -(1 << 63) <= value < 1 << 63 else ""
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        return ""
    return "" if any(sign in value for sign in _TEMPLATES) else value


def _part(value: Any, *names: str) -> Any:
    """What is in nested mappings under these names; an empty mapping where it is missing."""
    for name in names:
        value = value.get(name, {}) if isinstance(value, Mapping) else {}
    return value


def _word(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= MAX_TEXT else ""


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
        if action == PUSH and not _MANIFESTS.match(_word(_part(target, "mediaType"))):
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
        _word(_part(body, "action"))
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
    "harbor.artifact.pushed": PUSH,
    "harbor.artifact.deleted": DELETE,
}


def _harbor(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://goharbor.io/docs/ "Configure Webhook Notifications", in both of its formats
    action = _HARBOR_TYPES.get(_word(payload.get("type")), "")
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
    if payload.get("action") not in ("published", "updated") or _word(_part(package, "package_type")).lower() not in (
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
    action = {"PUSH": PUSH, "DELETE": DELETE}.get(_word(_part(detail, "action-type")))
    if action and _part(detail, "result") == "SUCCESS" and payload.get("detail-type") == "ECR Image Action":
        account, region = bounded_text(payload, "account"), bounded_text(payload, "region")
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
                data = parsed(base64.b64decode(encoded, validate=True))
    action = {"INSERT": PUSH, "DELETE": DELETE}.get(_word(_part(data, "action")))
    if action:
        tagged, exact = _split(_part(data, "tag")), _split(_part(data, "digest"))
        times = {"id": _part(message, "messageId"), "time": _part(message, "publishTime")}
        yield {**(tagged or exact), "type": action, "digest": exact.get("digest"), **times}


def _zot(payload: Mapping[str, Any]) -> Iterator[Found]:
    # https://zotregistry.dev "Event notifications", CloudEvents
    action = {"zotregistry.image.updated": PUSH, "zotregistry.image.deleted": DELETE}.get(_word(payload.get("type")))
    data = parsed(payload.get("data"))
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
    return isinstance(payload.get("event_data"), Mapping) or _word(payload.get("type")).startswith("harbor.")


def _is_acr(payload: Mapping[str, Any]) -> bool:
    kind = _word(payload.get("eventType", payload.get("type")))
    return kind.startswith("Microsoft.ContainerRegistry.") or ("target" in payload and "action" in payload)


def _is_github(payload: Mapping[str, Any]) -> bool:
    return isinstance(payload.get("registry_package", payload.get("package")), Mapping)


def _is_google(payload: Mapping[str, Any]) -> bool:
    is_message = isinstance(payload.get("message"), Mapping) and "data" in payload["message"]
    return is_message or payload.get("action") in ("INSERT", "DELETE")


_SHAPES: tuple[tuple[str, Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Iterator[Found]]], ...] = (
    ("distribution", _is_distribution, _distribution),
    ("harbor", _is_harbor, _harbor),
    ("zot", lambda payload: _word(payload.get("type")).startswith("zotregistry."), _zot),
    ("ecr", lambda payload: payload.get("source") == "aws.ecr", _ecr),
    ("github", _is_github, _github),
    ("docker_hub", lambda payload: isinstance(payload.get("push_data"), Mapping), _docker_hub),
    ("quay", lambda payload: "docker_url" in payload, _quay),
    ("acr", _is_acr, _acr),
    ("google", _is_google, _google),
)

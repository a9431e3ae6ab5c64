# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter for webhooks of registries, with notifications in the shapes of the registries' documentation."""

from __future__ import annotations

import base64
import json
import os
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILTER = runpy.run_path(str(ROOT / "extensions/eda/plugins/event_filter/registry_webhook.py"))
DIGEST, OTHER = "sha256:" + "a1" * 32, "sha256:" + "b2" * 32
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def filtered(payload: Any, **arguments: Any) -> list[dict[str, Any]]:
    event = {"payload": payload, "meta": {"endpoint": "hook", "headers": {"Authorization": "Bearer hidden"}}}
    found: list[dict[str, Any]] = FILTER["main"](event, **arguments)
    return found


def distribution(**changes: Any) -> dict[str, Any]:
    target = {"mediaType": MANIFEST, "digest": DIGEST, "repository": "team/app", "tag": "1.4.2", **changes}
    event = {"id": "e1", "timestamp": "2026-11-29T10:00:00Z", "action": "push", "target": target}
    return {"events": [{**event, "request": {"host": "registry.example.com:5000"}, "actor": {"name": "ci"}}]}


def harbor(kind: str = "PUSH_ARTIFACT") -> dict[str, Any]:
    resource = {"digest": DIGEST, "tag": "1.4.2", "resource_url": "harbor.example.com/team/app:1.4.2"}
    data = {"resources": [resource], "repository": {"namespace": "team", "repo_full_name": "team/app", "name": "app"}}
    return {"type": kind, "occur_at": 1764410400, "operator": "ci", "event_data": data}


def github(name: str = "registry_package") -> dict[str, Any]:
    version = {
        "id": 7,
        "version": DIGEST,
        "container_metadata": {"tag": {"name": "1.4.2", "digest": DIGEST}, "manifest": {}},
        "package_url": "ghcr.io/team/app:1.4.2",
    }
    package = {"name": "app", "namespace": "Team", "package_type": "CONTAINER", "package_version": version}
    package["registry"] = {"url": "https://ghcr.io/Team", "vendor": "GitHub Inc"}
    return {"action": "published", name: package, "sender": {"login": "ci"}}


def acr() -> dict[str, Any]:
    target = {"mediaType": MANIFEST, "size": 524, "digest": DIGEST, "repository": "team/app", "tag": "1.4.2"}
    request = {"id": "r", "host": "team.azurecr.io", "method": "PUT", "useragent": "docker/18"}
    return {"id": "i", "timestamp": "2026-11-29T10:00:00Z", "action": "push", "target": target, "request": request}


def ecr(**detail: Any) -> dict[str, Any]:
    found = {"result": "SUCCESS", "repository-name": "team/app", "image-digest": DIGEST, "action-type": "PUSH"}
    envelope = {"detail-type": "ECR Image Action", "source": "aws.ecr", "account": "123456789012", "id": "x"}
    return {**envelope, "region": "us-west-2", "detail": {**found, "image-tag": "1.4.2", **detail}}


def google() -> dict[str, Any]:
    place = "us-east1-docker.pkg.dev/team/app"
    said = {"action": "INSERT", "digest": f"{place}/web@{DIGEST}", "tag": f"{place}/web:1.4.2"}
    return {"message": {"data": base64.b64encode(json.dumps(said).encode()).decode(), "messageId": "1"}}


_CLOUD_EVENT = {"specversion": "1.0", "source": "/projects/1/webhook/policies/1", "id": "c1", "operator": "ci"}
_DOCKER_HUB = {
    "callback_url": "https://registry.hub.docker.com/u/team/app/hook/hidden/",
    "push_data": {"pushed_at": 1764410400, "pusher": "ci", "tag": "1.4.2"},
    "repository": {"name": "app", "namespace": "team", "repo_name": "team/app"},
}
_QUAY = {"name": "app", "repository": "team/app", "namespace": "team", "docker_url": "quay.io/team/app"}
_ZOT = {"name": "team/app", "reference": "1.4.2", "digest": DIGEST, "mediatype": MANIFEST}
_GRID = {"id": "g", "eventType": "Microsoft.ContainerRegistry.ImagePushed", "data": acr()}
SHAPES: dict[str, tuple[Any, str, str]] = {
    "distribution": (distribution(), "registry.example.com:5000/team/app", DIGEST),
    "harbor": (harbor(), "harbor.example.com/team/app", DIGEST),
    "harbor-cloudevents": (
        {**_CLOUD_EVENT, "type": "harbor.artifact.pushed", "data": harbor()["event_data"]},
        "harbor.example.com/team/app",
        DIGEST,
    ),
    "quay": ({**_QUAY, "updated_tags": ["1.4.2"]}, "quay.io/team/app", ""),
    "quay-older": ({**_QUAY, "updated_tags": {"1.4.2": "b750fe79"}}, "quay.io/team/app", ""),
    "github": (github(), "ghcr.io/team/app", DIGEST),
    "github-package": (github("package"), "ghcr.io/team/app", DIGEST),
    "acr": (acr(), "team.azurecr.io/team/app", DIGEST),
    "acr-event-grid": ([_GRID], "team.azurecr.io/team/app", DIGEST),
    "ecr": (ecr(), "123456789012.dkr.ecr.us-west-2.amazonaws.com/team/app", DIGEST),
    "docker_hub": (_DOCKER_HUB, "docker.io/team/app", ""),
    "google": (google(), "us-east1-docker.pkg.dev/team/app/web", DIGEST),
    "zot": ({**_CLOUD_EVENT, "type": "zotregistry.image.updated", "data": _ZOT}, "team/app", DIGEST),
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_each_registry_gives_the_same_shape(shape: str) -> None:
    payload, place, digest = SHAPES[shape]
    (event,) = filtered(payload)
    assert event["provider"] == shape.partition("-")[0] and event["type"] == "push"
    assert event["tag"] == "1.4.2" and event["digest"] == digest
    assert event["ref"] == f"{place}:1.4.2" + (f"@{digest}" if digest else "")
    assert event["revision"] == "1.4.2" + (f"@{digest}" if digest else "")
    assert event["meta"] == {"endpoint": "hook"} and "hidden" not in json.dumps(event)
    # as a queue hands it over, in a text
    assert FILTER["main"]({"body": json.dumps(payload)})[0]["ref"] == event["ref"]


def test_what_is_no_push_of_a_tag_is_no_event() -> None:
    assert filtered(distribution(mediaType="application/octet-stream", tag="")) == []
    assert filtered(distribution(tag="")) == [] and len(filtered(distribution(tag=""), untagged=True)) == 1
    signature = distribution(tag=f"sha256-{'a1' * 32}.sig")
    assert filtered(signature) == [] and len(filtered(signature, signatures=True)) == 1
    pulled = distribution()
    pulled["events"][0]["action"] = "pull"
    assert filtered(pulled) == [] and filtered(harbor("SCANNING_COMPLETED")) == []
    assert filtered(ecr(result="FAILURE")) == []
    assert filtered(harbor("DELETE_ARTIFACT")) == []
    assert [each["type"] for each in filtered(harbor("DELETE_ARTIFACT"), actions=["push", "delete"])] == ["delete"]
    assert filtered(distribution(), registry="proxy.example.com")[0]["registry"] == "proxy.example.com"


_DEEP: Any = []
for _level in range(900):
    _DEEP = [_DEEP]
_LONG = "a" * 100_000


@pytest.mark.parametrize(
    "payload",
    [
        None, 7, "{", [], {}, [[]], {"events": {"a": 1}}, {"events": [None, 1, {}]}, {"events": _DEEP}, {"type": _DEEP},
        {"action": _DEEP, "target": _DEEP}, {"action": ["push"], "target": {}}, {"push_data": {"tag": _DEEP}},
        {"docker_url": _DEEP, "updated_tags": [_DEEP]}, {"package": {"package_type": _DEEP}},
        {"message": {"data": "%"}},
        {"source": "aws.ecr", "detail": _DEEP}, {"event_data": {"resources": [_DEEP]}, "type": "PUSH_ARTIFACT"},
        distribution(tag="../../etc"), distribution(tag="{{ lookup('pipe', 'id') }}"), distribution(tag=_LONG),
        distribution(repository="a;b"), distribution(repository=_LONG), distribution(digest="sha256:x"),
        distribution(tag="1.0\n"), distribution(repository="a/../b"), "[" * 100_000,
    ],
    ids=[f"{number}" for number in range(27)],
)  # fmt: skip
def test_what_is_hostile_leads_to_no_event(payload: Any) -> None:
    assert filtered(payload) == [] and FILTER["main"](payload) == []


_ODD: tuple[Any, ...] = (
    None, True, -1, 10**400, float("nan"), "", _LONG, "\ud800", "a\0b", "{{ lookup('pipe', 'id') }}", "{% a %}", [], {},
    [{}], [None], {"a": 1}, _DEEP, b"x", ["x"] * 1000, {"x": {"x": "x"}}, "https://u:p@" + "a" * 5000, "@", "//",
)  # fmt: skip


def changed(node: Any, value: Any) -> Iterator[Any]:
    """Yield a payload with each of its parts, and itself, in turn replaced by a value."""
    yield value
    if isinstance(node, dict):
        for key in node:
            yield from ({**node, key: each} for each in changed(node[key], value))
    elif isinstance(node, list):
        for at, part in enumerate(node):
            yield from ([*node[:at], each, *node[at + 1 :]] for each in changed(part, value))


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_any_part_may_be_anything(shape: str) -> None:
    valid = {"provider", "type", "registry", "repository", "tag", "digest", "ref", "revision", "actor", "time", "id"}
    count = 0
    for odd in _ODD:
        for payload in changed(SHAPES[shape][0], odd):
            for event in filtered(payload, actions=["push", "delete"], untagged=True, signatures=True):
                count += 1
                texts = {name: event[name] for name in valid}
                assert all(isinstance(text, str) and len(text) < 1000 and text.isprintable() for text in texts.values())
                assert "{{" not in str(event) and "{%" not in str(event)
    assert count


def test_what_the_sender_says_of_itself_is_no_template() -> None:
    event = {"payload": distribution(), "meta": {"endpoint": "{{ lookup('pipe', 'id') }}", "source": {"a": "{{ b }}"}}}
    event["payload"]["events"][0]["actor"] = {"name": "{{ lookup('pipe', 'id') }}"}
    (made,) = FILTER["main"](event)
    assert made["actor"] == "" and made["meta"] == {"endpoint": "", "source": ""}


def test_numbers_and_lengths_are_bounded() -> None:
    many = {"events": [distribution(tag=f"t{number}")["events"][0] for number in range(5000)]}
    assert len(filtered(many)) == len(filtered([many, many])) == FILTER["MAX_EVENTS"]
    said = distribution()
    said["events"][0].update(id=_LONG, timestamp="a\x1b[0m", actor={"name": {"a": 1}})
    (event,) = filtered(said)
    assert event["id"] == event["time"] == event["actor"] == ""


def test_a_state_file_drops_what_moves_no_tag(tmp_path: Path) -> None:
    state = str(tmp_path / "state.json")
    assert len(filtered(distribution(), state_file=state)) == 1
    # repeated, and pushed again
    assert filtered(distribution(), state_file=state) == []
    assert len(filtered(distribution(digest=OTHER), state_file=state)) == 1
    assert len(filtered(distribution(), state_file=state)) == 1
    assert len(filtered(distribution(tag="other"), state_file=state)) == 1
    # of a registry that names no digest a repetition has the same time
    assert len(filtered(_DOCKER_HUB, state_file=state)) == 1 and filtered(_DOCKER_HUB, state_file=state) == []
    later = {**_DOCKER_HUB, "push_data": {**_DOCKER_HUB["push_data"], "pushed_at": 1764410401}}  # type: ignore[dict-item]
    assert len(filtered(later, state_file=state)) == 1
    assert sorted(os.listdir(tmp_path)) == ["state.json", "state.json.lock"]
    os.chmod(state, 0o666)
    with pytest.raises(PermissionError, match="changed by other users"):
        filtered(distribution(), state_file=state)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="'actions'"):
        filtered({}, actions=["pull"])
    with pytest.raises(ValueError, match="'registry'"):
        filtered({}, registry="https://registry.example.com/")
    for wrong in ({"actions": 5}, {"actions": None}, {"registry": 5}):
        with pytest.raises(ValueError, match="wanted"):
            filtered({}, **wrong)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several artifacts in one task: what is asked for, how often, and what becomes of the others when some fail."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Blob, Publisher, contents, manifest_of, tgz
from support.servers import RegistryServer
from token_server import TokenServer

from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor, parse_manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.client import RegistryClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository

PULL, VERIFY = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "verify"))
COUNT = 6
COPY = {"operation": "copy"}


def many(module: str, name: str, artifacts: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    return {"name": name, module: {"insecure": True, "artifacts": artifacts, **options}, "ignore_errors": True}


def outcomes(result: TaskResult) -> list[Any]:
    return [each.get("reason") if each.get("failed") else each["changed"] for each in result["results"]]


def publish_privately(server: RegistryServer, name: str, user: dict[str, str]) -> str:
    """One file, in a repository that asks for tokens; returns the digest of the manifest."""
    reference = parse_reference(f"{server.host}/{name}")
    client = RegistryClient(reference.registry, ConnectionOptions(insecure=True), Credential(**user))
    repository = RegistryRepository(reference, client, push=True)
    layer, config = Blob(tgz({"a.txt": f"{name}\n"})), Blob(b"{}")
    for blob in (layer, config):
        descriptor = Descriptor(media.OCTET_STREAM, digest_of(blob.data), len(blob.data))
        repository.push_blob(BlobSource(descriptor, lambda data=blob.data: io.BytesIO(data)))  # type: ignore[misc]
    manifest = parse_manifest(manifest_of([layer], config), media.OCI_MANIFEST, name)
    repository.push_manifest(manifest, "1")
    repository.close()
    return manifest.descriptor.digest


@pytest.mark.once
def test_one_token_for_each_repository_and_nothing_twice(
    ansible: AnsibleRunner, token_server: TokenServer, token_registry: RegistryServer, tmp_path: Path
) -> None:
    users = {name: f"s3cret-of-{name}" for name in ("many-writer", "many-reader", "many-other", "many-again")}
    token_server.users.update(users)
    login = {name: {"username": name, "password": password} for name, password in users.items()}
    names = [f"many/app-{number}" for number in range(COUNT)]
    for name in names:
        publish_privately(token_registry, name, login["many-writer"])
    refs = [f"{token_registry.host}/{name}:1" for name in names]
    items = [{"ref": ref, "dest": str(tmp_path / f"d{number}")} for number, ref in enumerate(refs)]
    # the first once more; and the second by somebody else
    items += [{"ref": refs[0], "dest": str(tmp_path / "twin")}]
    items += [{"ref": refs[1], "dest": str(tmp_path / "other"), **login["many-other"]}]
    before, since = token_server.mark(), token_registry.mark()
    (first,) = ansible.tasks([many(PULL, "first", items, **login["many-reader"])], flags=["-vvv"])
    assert not first.failed, first["msg"]
    assert outcomes(first) == [True] * len(items) and first["reason"] == "NewRevision"
    assert [each["item"]["dest"] for each in first["results"]] == [item["dest"] for item in items]
    assert all(contents(tmp_path / f"d{number}") == {"a.txt": f"{name}\n"} for number, name in enumerate(names))
    assert contents(tmp_path / "twin") == contents(tmp_path / "d0")
    assert contents(tmp_path / "other") == contents(tmp_path / "d1")
    asked = Counter((request.user, *request.scopes) for request in token_server.requests(since=before))
    scopes = [f"repository:{name}:pull" for name in names]
    assert asked == Counter({**{("many-reader", scope): 1 for scope in scopes}, ("many-other", scopes[1]): 1})
    requests = token_registry.requests(since=since)
    answered = Counter((request.method, request.path) for request in requests if request.status == 200)
    # a tag, a manifest and a layer each; the second repository's by two accounts
    assert set(answered.values()) == {1, 2} and sum(answered.values()) == 3 * (COUNT + 1)
    assert {path.split("/")[3] for (_method, path), count in answered.items() if count == 2} == {"app-1"}
    assert sum(request.status == 401 for request in requests) == COUNT + 1
    # of nothing that is secret there is a trace
    assert not any(password in first.stdout + first.stderr for password in users.values())

    since = token_registry.mark()
    (again,) = ansible.tasks([many(PULL, "again", items[: COUNT + 1], **login["many-again"])])
    assert not again.failed and not again.changed and again["reason"] == "ArtifactUpToDate"
    methods = Counter(request.method for request in token_registry.requests(since=since) if request.status == 200)
    assert methods == Counter({"HEAD": COUNT})


def on_hosts(ansible: AnsibleRunner, folder: Path, tasks: list[dict[str, Any]], count: int = 4) -> list[TaskResult]:
    """Run tasks on several hosts at the same time, all of which are this machine."""
    python = f"ansible_connection=local ansible_python_interpreter={ansible.target_python}"
    inventory = folder / "hosts.ini"
    inventory.write_text("[fleet]\n" + "".join(f"host{number} {python}\n" for number in range(1, count + 1)))
    return ansible.tasks(tasks, hosts="fleet", flags=["-i", str(inventory), "--forks", str(count)])


def test_forks_fetch_verify_and_resolve_once(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    row = next(row for row in vectors.rows() if row["name"] == "flux-legacy-a/key-a")
    ref = f"{registry.host}/{vectors.publish(row, registry.host)}:{row['ref']}"
    shared = {"ref": ref, "insecure": True, "cache_dir": str(tmp_path / "cache")}
    policy = {"public_keys": [str(vectors.ROOT / "keys/key-a.pub")]}

    def pull(name: str, **options: Any) -> dict[str, Any]:
        dest = f"{tmp_path}/{{{{ inventory_hostname }}}}/{name}"
        return {"name": name, PULL: {**shared, "verify": policy, "dest": dest, **options}}

    since = registry.mark()
    results = on_hosts(ansible, tmp_path, [pull("first")])
    assert [result.changed for result in results] == [True] * 4, [result.get("msg") for result in results]
    requests = Counter((request.method, request.path) for request in registry.requests(since=since))
    (head,) = {key for key in requests if key[0] == "HEAD" and key[1].endswith(f"/{row['ref']}")}
    assert requests.pop(head) == 4, "each host asks what the tag stands for"
    assert len(requests) >= 5 and set(requests.values()) == {1}, requests

    # what one host has found out is known to the others, to other tasks and modules
    since = registry.mark()
    checked = {"name": "verify", VERIFY: {**shared, **policy}}
    results = on_hosts(ansible, tmp_path, [pull("once", resolve_once=True), checked])
    assert not any(result.failed for result in results), [result.get("msg") for result in results]
    assert [result["verification"]["remembered"] for result in results if result.task == "verify"] == [True] * 4
    revisions = {result["artifact"]["revision"] for result in results}
    assert len(revisions) == 1 and revisions.pop().startswith(f"{row['ref']}@sha256:")
    found = [(request.method, request.path) for request in registry.requests(since=since)]
    assert found == [head] * 5, "one for all pulls, and one for each verification"


@pytest.mark.once
def test_a_tag_that_moves_between_the_batches_of_a_run(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    """With ``resolve_once`` all hosts get what the first got; as items of a list, too, and of another task."""
    place, other = Publisher(registry.host, "many/moving"), Publisher(registry.host, "many/still")
    place.publish("stable", {"a.txt": "old\n"})
    place.publish("next", {"a.txt": "new\n"})
    other.publish("1.0.0", {"b.txt": "b\n"})
    dest = f"{tmp_path}/{{{{ inventory_hostname }}}}"
    items = [
        {"ref": f"{place.name}:stable", "dest": f"{dest}/a"},
        {"url": other.url, "semver": "1.x", "dest": f"{dest}/b"},
    ]
    single = {"ref": f"{place.name}:stable", "dest": f"{dest}/c"}
    absent = {"ref": f"{place.name}:absent", "dest": f"{dest}/d"}
    tagged = f"{registry.url}/v2/many/moving/manifests"
    kind = "application/vnd.oci.image.manifest.v1+json"
    moved = (
        f"curl -sf -H 'Accept: {kind}' {tagged}/next -o {tmp_path}/m && "
        f"curl -sf -X PUT -H 'Content-Type: {kind}' --data-binary @{tmp_path}/m {tagged}/stable"
    )
    tasks = [
        many(PULL, "list", items, resolve_once=True),
        {"name": "move", "ansible.builtin.raw": moved},
        {"name": "single", PULL: {"insecure": True, "resolve_once": True, **single}},
        {"name": "absent", PULL: {"insecure": True, "resolve_once": True, **absent}, "ignore_errors": True},
        {"name": "own", PULL: {"insecure": True, **single, "dest": f"{dest}/e"}},
    ]
    inventory = tmp_path / "hosts.ini"
    python = f"ansible_connection=local ansible_python_interpreter={ansible.target_python}"
    since = registry.mark()
    inventory.write_text(f"[fleet]\nhost1 {python}\nhost2 {python}\n")
    results = ansible.tasks(tasks, hosts="fleet", flags=["-i", str(inventory)], serial=1)
    assert [result.task for result in results] == 2 * ["list", "move", "single", "absent", "own"]
    assert {result["reason"] for result in results if result.failed} == {"OCIArtifactPullFailed"}
    for host in ("host1", "host2"):
        found = {path.name: contents(path) for path in sorted((tmp_path / host).iterdir())}
        assert found["a"] == found["c"] == {"a.txt": "old\n"} and found["b"] == {"b.txt": "b\n"}
        assert found["e"] == {"a.txt": "new\n"} and "d" not in found
    asked = [request.path for request in registry.requests(since=since) if "/many/still/" in request.path]
    assert sum("/tags/list" in path for path in asked) == 1 and sum("manifests/1.0.0" in path for path in asked) == 1


@pytest.fixture(scope="module")
def places(registry: RegistryServer) -> dict[str, Publisher]:
    found = {name: Publisher(registry.host, f"many/{name}") for name in ("one", "two", "three")}
    for name, place in found.items():
        title = {"org.opencontainers.image.title": f"{name if name != 'three' else 'two'}.tgz"}
        place.publish("1", [Blob(tgz({"a.txt": f"{name}\n"}), annotations=title)])
        place.publish("2", [Blob(tgz({"a.txt": f"{name} 2\n"}), annotations=title)])
    return found


def test_items_that_fail_and_those_that_do_not(
    ansible: AnsibleRunner, places: dict[str, Publisher], registry: RegistryServer, tmp_path: Path
) -> None:
    one, two, three = (places[name].name for name in ("one", "two", "three"))
    folder, dest = str(tmp_path / "folder") + "/", str(tmp_path / "dest")
    items = [
        {"ref": f"{one}:1", "dest": dest},
        {"ref": f"{one}:absent", "dest": str(tmp_path / "absent")},
        {"ref": f"{one}:1", "dest": folder, "layer_selector": COPY},
        # both are named two.tgz: the first in the list gets the name
        {"ref": f"{two}:1", "dest": folder, "layer_selector": COPY},
        {"ref": f"{three}:1", "dest": folder, "layer_selector": COPY},
        {"ref": "127.0.0.1:1/nobody/here:1", "dest": str(tmp_path / "nobody")},
    ]
    newer = [{**item, "ref": str(item["ref"]).replace(":1", ":2")} for item in (items[0], items[3])]
    newer[1]["dest"] = str(tmp_path / "folder/two.tgz")
    results = {
        result.task: result
        for result in ansible.tasks(
            [
                many(PULL, "some fail", items, retries=0, parallel=6),
                many(PULL, "unchanged", items[:1]),
                many(PULL, "checked", newer[:1], check_content=True),
            ],
        )
    }
    some = results["some fail"]
    assert some.failed and some.changed
    assert some["msg"].startswith("3 of 6 artifacts failed, the first is item 2: There is no ")
    assert some["reason"] == "OCIArtifactPullFailed"
    wanted = [True, "OCIArtifactPullFailed", True, True, "StorageOperationFailed", "ConnectionFailed"]
    assert outcomes(some) == wanted
    assert "two.tgz" in some["results"][4]["msg"]
    assert contents(tmp_path / "folder").keys() == {"one.tgz", "two.tgz"}
    assert some["served_by"] == [registry.host]
    assert not results["unchanged"].changed
    assert results["checked"].changed and contents(tmp_path / "dest") == {"a.txt": "one 2\n"}

    both = [{"ref": f"{one}:1", "dest": dest}, {"ref": f"{two}:1", "dest": str(tmp_path / "new")}]
    (predicted,) = ansible.tasks([many(PULL, "check", both)], check=True, diff=True)
    assert outcomes(predicted) == [True, True] and predicted.changed
    assert contents(tmp_path / "dest") == {"a.txt": "one 2\n"} and not (tmp_path / "new").exists()
    assert [(each["before"], each["after"]) for each in predicted["diff"]] == [("one 2\n", "one\n"), ("", "two\n")]


@pytest.mark.once
def test_what_is_refused_before_anything_is_asked(
    ansible: AnsibleRunner, places: dict[str, Publisher], registry: RegistryServer, tmp_path: Path
) -> None:
    ref, dest = f"{places['one'].name}:1", str(tmp_path / "d")
    good = {"ref": ref, "dest": dest}
    secret = "Not-a-real-one~but+secret"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"artifacts": [good, {"ref": ref}]}, "Item 2 of 'artifacts': 'dest' is empty"),
        ({"artifacts": [good, {"ref": "?", "dest": "/x"}]}, "Item 2 of 'artifacts': "),
        (
            {"artifacts": [good, {"ref": ref, "dest": "/x", "forse": True}]},
            "Item 2 of 'artifacts': unsupported parameters: forse",
        ),
        ({"artifacts": [{**good, "force": "perhaps"}]}, "Item 1 of 'artifacts': argument 'force' is of type "),
        (
            {"artifacts": [{**good, "verify": {"keys": []}}]},
            "Item 1 of 'artifacts': unsupported parameters: verify",
        ),
        ({"artifacts": [good, good]}, "Items 1 and 2 of 'artifacts' have the same 'dest'"),
        ({"artifacts": [good], "dest": dest}, "parameters are mutually exclusive: artifacts|dest"),
        ({"ref": ref}, "one of the following is required: dest, artifacts"),
        ({"artifacts": [{**good, "password": secret, "auth_file": 1, "auth_config": {}}]}, "Item 1 of 'artifacts': "),
    ]
    since = registry.mark()
    tasks = [{PULL: {"insecure": True, **options}, "ignore_errors": True} for options, _words in cases]
    results = ansible.tasks(tasks, flags=["-vvv"])
    assert len(results) == len(cases)
    for result, (_options, words) in zip(results, cases):
        assert result.failed and result["msg"].startswith(words), (words, result["msg"])
        assert result["reason"]
    assert registry.requests(since=since) == [] and list(tmp_path.iterdir()) == []
    assert secret not in results[0].stdout + results[0].stderr

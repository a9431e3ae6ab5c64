# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup oci_artifact: what it returns, that content is verified, and that a run asks the registry once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import TITLE, Blob, Publisher
from support.servers import RegistryServer

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.run_artifacts import FILE_NAME

NAME = "cloudnative.artifacts.oci_artifact"
PULL = "cloudnative.artifacts.oci_artifact_pull"
KEYS = vectors.ROOT / "keys"
HOSTS = 6
CONTENT = {"app.conf.j2": "host = {{ inventory_hostname }}\n", "sub/site.yaml": "a: 1\n"}


def looked_up(ref: str, **options: Any) -> str:
    arguments = ", ".join([repr(NAME), repr(ref), *(f"{name}={value!r}" for name, value in options.items())])
    return f"lookup({arguments})"


def on_hosts(ansible: AnsibleRunner, folder: Path, tasks: list[dict[str, Any]], **more: Any) -> list[TaskResult]:
    inventory = folder / "fleet.ini"
    python = ansible.target_python
    inventory.write_text(
        "".join(f"host{n} ansible_connection=local ansible_python_interpreter={python}\n" for n in range(HOSTS))
    )
    return ansible.tasks(tasks, hosts="host*", flags=["-i", str(inventory), "--forks", "3"], **more)


def test_templates_and_copies_of_a_fleet_ask_once(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path
) -> None:
    digest = publisher.publish("1.2.0", CONTENT, annotations={"org.opencontainers.image.revision": "main@sha1:6f1b3c2"})
    publisher.publish("2.0.0", {"other": "x"})
    ref, way = publisher.name, {"semver": "1.x", "insecure": True}
    source = looked_up(ref, want="path", file="app.conf.j2", **way)
    tasks = [
        {
            "name": "template",
            "ansible.builtin.template": {
                "src": f"{{{{ {source} }}}}",
                "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}.conf",
            },
        },
        {
            "name": "copy",
            "ansible.builtin.copy": {
                "src": f"{{{{ {looked_up(ref, want='path', **way)} }}}}/",
                "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}/",
            },
        },
        {
            "name": "facts",
            "ansible.builtin.debug": {
                "msg": {
                    "digest": f"{{{{ {looked_up(ref, **way)} }}}}",
                    "revision": f"{{{{ {looked_up(ref, want='revision', **way)} }}}}",
                    "metadata": f"{{{{ {looked_up(ref, want='metadata', **way)} }}}}",
                }
            },
        },
        # of the same run, so that it is the same digest, and the registry is not asked for it again
        {
            "name": "pull",
            PULL: {
                "ref": ref,
                **way,
                "resolve_once": True,
                "dest": f"{tmp_path}/pulled-{{{{ inventory_hostname }}}}",
            },
        },
    ]
    mark = registry.mark()
    results = on_hosts(ansible, tmp_path, tasks, serial=4)
    assert [result.failed for result in results] == [False] * (4 * HOSTS), results[-1]
    for number in range(HOSTS):
        assert (tmp_path / f"host{number}.conf").read_text() == f"host = host{number}\n"
        # and nothing of the directory in which pulls keep their records
        assert sorted(path.name for path in (tmp_path / f"host{number}").iterdir()) == ["app.conf.j2", "sub"]
    for result in results:
        if result.task == "facts":
            assert result["msg"] == {
                "digest": digest,
                "revision": f"1.2.0@{digest}",
                "metadata": {"org.opencontainers.image.revision": "main@sha1:6f1b3c2"},
            }
    kinds = Counter((each.method, "tags" if "/tags/" in each.path else "other") for each in registry.requests(mark))
    assert kinds["HEAD", "other"] == 1 and kinds["GET", "tags"] == 1


@pytest.mark.once
def test_what_is_not_signed_is_not_returned(ansible: AnsibleRunner, publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish("unsigned", CONTENT)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.txt").write_text("signed\n")
    sign = {"key": str(KEYS / "ed25519.raw.pem")}
    push = {"path": str(tmp_path / "files"), "ref": f"{publisher.name}:signed", "insecure": True, "sign": sign}
    assert not ansible.task("cloudnative.artifacts.oci_artifact_push", **push).failed
    way = {"insecure": True, "verify": {"public_keys": [str(KEYS / "ed25519.pub")]}}
    tasks = []
    for tag in ("signed", "unsigned"):
        for want in ("digest", "metadata", "path"):
            shown = {"msg": f"{{{{ {looked_up(f'{publisher.name}:{tag}', want=want, **way)} }}}}"}
            tasks.append({"ansible.builtin.debug": shown, "ignore_errors": True})
    results = ansible.tasks(tasks)
    assert [result.failed for result in results] == [False] * 3 + [True] * 3
    assert all("VerificationError" in result["msg"] for result in results[3:])


@pytest.mark.once
def test_content_that_others_altered_in_the_cache_is_fetched_again(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path
) -> None:
    layers = [Blob(b"one\n", "text/plain", {TITLE: "one.txt"}), Blob(b"two\n", "text/plain", {TITLE: "two.txt"})]
    publisher.publish("1", layers)
    way = {"insecure": True, "cache_dir": str(tmp_path / "cache")}
    file = looked_up(f"{publisher.name}:1", want="path", file="two.txt", **way)
    single = looked_up(f"{publisher.name}:1", want="path", layers="first", layer_selector={"operation": "copy"}, **way)

    def contents() -> list[str]:
        shown = {
            "ansible.builtin.debug": {"msg": f"{{{{ lookup('file', {file}) }}}} {{{{ lookup('file', {single}) }}}}"}
        }
        return [result["msg"] for result in ansible.tasks([shown])]

    assert contents() == ["two one"]
    for blob in (tmp_path / "cache/blobs/sha256").iterdir():
        blob.chmod(0o600)
        blob.write_bytes(blob.read_bytes().replace(b"two", b"bad").replace(b"one", b"bad"))
    mark = registry.mark()
    assert contents() == ["two one"]
    assert len([each for each in registry.requests(mark) if "/blobs/" in each.path]) >= 2
    mark = registry.mark()
    assert contents() == ["two one"]
    assert [each.method for each in registry.requests(mark)] == ["HEAD"]
    assert not list(Path(tmp_path).rglob(f"{FILE_NAME}*"))


@pytest.mark.once
@pytest.mark.parametrize(
    "options, words",
    [
        ({"want": "path", "file": "missing.txt"}, ["no file 'missing.txt'", "app.conf.j2, sub"]),
        ({"want": "path", "file": "../../x"}, ["leads out of the artifact's content"]),
        ({"file": "app.conf.j2"}, ["'file' has no meaning with want='digest'", "InvalidOption"]),
        ({"user": "x"}, ["no option 'user'", "username"]),
        ({"terms": ""}, ["was given no reference", "InvalidOption"]),
        ({"want": "path", "file": ""}, ["'file' is empty", "InvalidOption"]),
        ({"terms": ["a.test/b:1", "a.test/b:2"]}, ["has to be a text", "*references", "InvalidOption"]),
        ({"tag": "absent"}, ["absent", "OCIArtifactPullFailed"]),
        ({"policy": [{"match": "*", "deny_tags": ["1"]}]}, ["TagDenied"]),
    ],
)
def test_what_is_refused(
    ansible: AnsibleRunner, publisher: Publisher, options: dict[str, Any], words: list[str]
) -> None:
    publisher.publish("1", CONTENT)
    given = {"insecure": True, "tag": "1", **options}
    terms = given.pop("terms", publisher.name)
    [result] = ansible.tasks([{"ansible.builtin.debug": {"msg": f"{{{{ {looked_up(terms, **given)} }}}}"}}])
    assert result.failed
    for word in words:
        assert word in result["msg"], result["msg"]

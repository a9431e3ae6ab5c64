# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_tag and oci_artifact_prune against real registries: promotion, retention, and what is kept."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.servers import RegistryServer
from support.tools import Tools

PUSH, SIGN, TAG, PRUNE, VERIFY = (
    f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("push", "sign", "tag", "prune", "verify")
)
KEY, PUBLIC = str(vectors.ROOT / "keys/ed25519.raw.pem"), [str(vectors.ROOT / "keys/ed25519.pub")]
STRANGER = [str(vectors.ROOT / "keys/p384.pub")]


def task(module: str, **arguments: Any) -> dict[str, Any]:
    """A task; a failure is a result too."""
    keywords = {name: arguments.pop(name) for name in ("check_mode", "diff", "vars") if name in arguments}
    return {"name": module, module: {"insecure": True, **arguments}, "ignore_errors": True, **keywords}


def digests(tools: Tools, repository: str) -> dict[str, str]:
    """What the tags of releases name, as crane says."""
    crane = tools["crane"]

    def ask(*words: str) -> str:
        return subprocess.run([crane, *words, "--insecure"], check=True, capture_output=True, text=True).stdout.strip()

    names = [name for name in ask("ls", repository).split() if not name.startswith("sha256-")]
    return {name: ask("digest", f"{repository}:{name}") for name in names}


def succeeded(results: list[TaskResult]) -> list[bool]:
    return [not result.failed for result in results]


@pytest.mark.once
@pytest.mark.parametrize("kind", ["registry", "oci11_registry"])
def test_promote_and_prune(
    ansible: AnsibleRunner, kind: str, tools: Tools, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Publish, sign, move to stage with a record, promote under conditions, go back, and prune what nobody uses."""
    server: RegistryServer = request.getfixturevalue(kind)
    repository = f"{server.host}/promote/config"
    content = tmp_path / "content"
    content.mkdir()
    (content / "a.yaml").write_text("a: 1\n")
    made = {"path": str(content), "type": "files"}
    results = ansible.tasks(
        [
            *(
                task(PUSH, ref=f"{repository}:{version}", revision=version, annotations={"n": version}, **made)
                for version in ("1.0.0", "1.1.0", "1.2.0")
            ),
            *(task(SIGN, ref=f"{repository}:{version}", key=KEY) for version in ("1.1.0", "1.2.0")),
            task(TAG, ref=f"{repository}:1.0.0", tags=["prod", "old"]),
            task(TAG, ref=f"{repository}:1.1.0", tags=["stage"], record=True, who="alice", run="job 7"),
        ]
    )
    assert succeeded(results) == [True] * len(results), results
    at = digests(tools, repository)
    one, two = at["1.0.0"], at["1.1.0"]
    assert (at["prod"], at["old"], at["stage"]) == (one, one, two)
    assert results[-1]["before"] == {"stage": ""} and len(results[-1]["records"]) == 1

    promote = {"ref": f"{repository}:stage", "tags": ["prod"], "expect": {"prod": f"prod@{one}"}}
    signed = {"verify": {"public_keys": PUBLIC}, "soaked_in": "stage", "never_downgrade": True}
    results = ansible.tasks(
        [
            task(TAG, **{**promote, "expect": {"prod": two}}),
            task(TAG, **promote, require={"verify": {"public_keys": STRANGER}}),
            task(TAG, **promote, require={**signed, "min_age": "1h"}),
            task(TAG, **{**promote, "tags": ["1.0.0", "prod"]}),
            task(TAG, **promote, require=signed, check_mode=True),
            task(TAG, **promote, require=signed, record=True, diff=True),
            task(TAG, **promote, require=signed, record=True),
        ]
    )
    assert [result.get("reason") for result in results] == [
        "TagMoved",
        "VerificationError",
        "NotSoaked",
        "TagImmutable",
        "TagsMoved",
        "TagsMoved",
        "TagsUpToDate",
    ]
    assert succeeded(results) == [False] * 4 + [True] * 3
    done = results[5]
    assert done["before"] == {"prod": one} and f"prod {one}" in done["diff"][0]["before"]
    assert done["verification"]["verified"] and not results[6].changed
    assert digests(tools, repository) == {**at, "prod": two}
    record = json.loads(
        subprocess.run(
            [tools["crane"], "manifest", "--insecure", f"{repository}@{done['records'][0]}"],
            check=True,
            capture_output=True,
        ).stdout
    )
    facts = {key.rpartition("/")[2]: value for key, value in record["annotations"].items()}
    assert (facts["tag"], facts["from"], facts["to"]) == ("prod", one, two)
    assert record["subject"]["digest"] == two

    rules = [{"semver": ">=1.0.0", "count": 0}]
    in_use = {"keep_digests": [at["1.2.0"]]}
    results = ansible.tasks(
        [
            task(PRUNE, ref=repository, rules=rules, **in_use),
            task(TAG, ref=repository, tags=["old", "prod"], state="absent"),
            task(PRUNE, ref=repository, rules=rules, state="absent", **in_use),
            task(PRUNE, ref=repository, rules=rules, state="absent", **in_use),
            task(VERIFY, ref=f"{repository}:1.2.0", public_keys=PUBLIC),
            task(VERIFY, ref=f"{repository}:stage", public_keys=PUBLIC),
        ]
    )
    assert succeeded(results) == [True] * 6, results
    report, removed, pruned, again = results[:4]
    assert (report["remove"], [each["tag"] for each in report["untag"]]) == ([], ["1.0.0", "1.1.0"])
    assert removed["tags"] == {"old": "removed", "prod": "removed"} and removed["before"]["prod"] == two
    assert [each["digest"] for each in pruned["remove"]] == [one] and pruned["reason"] == "Pruned"
    assert not again.changed and again["reason"] == "PruneUpToDate"
    # a channel and what is in use stay, each with what it needs
    assert digests(tools, repository) == {"stage": two, "1.2.0": at["1.2.0"]}
    gone = subprocess.run(
        [tools["crane"], "manifest", "--insecure", f"{repository}@{one}"], capture_output=True, check=False
    )
    assert gone.returncode

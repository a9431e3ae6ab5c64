# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy that is a default of the action group: every module takes it, and each refuses what a rule refuses."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner
from support.artifacts import HELM_LAYER, Blob, Publisher, tgz
from support.servers import RegistryServer

pytestmark = pytest.mark.once

NAMES = ("pull", "push", "info", "verify", "sign", "tag", "prune", "diff")
PULL, PUSH, INFO, VERIFY, SIGN, TAG, PRUNE, DIFF = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in NAMES)
CHARTS = "cloudnative.artifacts.helm_chart_sources"
KEYS = vectors.ROOT / "keys"
GROUP = "group/cloudnative.artifacts.oci"


class Plays:
    """Runs tasks with a policy for all modules of the group."""

    def __init__(self, ansible: AnsibleRunner, folder: Path) -> None:
        self._ansible = ansible
        self.file = folder / "policy.yml"
        self.state = folder / "state"

    def run(self, policy: Any, *tasks: tuple[str, dict[str, Any]], **play: Any) -> list[Any]:
        self.file.write_text(json.dumps(policy))
        return self._ansible.tasks(
            [{module: options, "ignore_errors": True} for module, options in tasks],
            module_defaults={GROUP: {"policy": str(self.file), "insecure": True}},
            environment={"OCI_ARTIFACT_STATE_DIR": str(self.state)},
            **play,
        )


def reasons(results: list[Any]) -> list[str]:
    return [result["reason"] if result.failed else "ok" for result in results]


def test_one_policy_for_all_modules(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    place, plays = Publisher(registry.host, "policy/app"), Plays(ansible, tmp_path)
    chart = Blob(tgz({"demo/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\n"}), HELM_LAYER)
    digest = place.publish("1.0.0", [chart])
    place.publish("bad", [chart])
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.yaml").write_text("a: 1\n")
    ref, dest = f"{place.name}:1.0.0", str(tmp_path / "dest")

    def every(tag: str) -> list[tuple[str, dict[str, Any]]]:
        ref = f"{place.name}:{tag}"
        return [
            (PULL, {"ref": ref, "dest": dest}),
            (PUSH, {"ref": ref, "path": str(tmp_path / "files"), "source": "s", "revision": "r"}),
            (VERIFY, {"ref": ref, "public_keys": [str(KEYS / "ed25519.pub")]}),
            (SIGN, {"ref": ref, "key": str(KEYS / "ed25519.raw.pem")}),
            (CHARTS, {"sources": {"demo": {"ref": ref}}, "cache_dir": str(tmp_path / "cache")}),
            (PULL, {"artifacts": [{"ref": ref, "dest": str(tmp_path / "many")}]}),
            (TAG, {"ref": ref, "tags": ["prod"]}),
            (TAG, {"artifacts": [{"ref": ref, "tags": ["prod"]}]}),
            (DIFF, {"from": ref, "to": str(tmp_path / "files")}),
        ]

    mark = registry.mark()
    found = plays.run({registry.host: {"deny_tags": ["bad"]}}, *every("bad"))
    assert reasons(found) == ["TagDenied"] * 9
    assert registry.requests(since=mark) == []
    assert found[0]["refused_by"] == {"policy": str(plays.file), "match": registry.host, "check": "deny_tags"}
    found = plays.run({registry.host: {"deny_digests": [digest]}}, *every("1.0.0"), (INFO, {"ref": ref}))
    assert [reasons(found)[number] for number in (0, *range(2, 10))] == ["DigestDenied"] * 8 + ["ok"]
    assert not Path(dest).exists() and not (tmp_path / "many").exists()

    # signatures: the rule's and the task's, each of them
    key, other = ({"public_keys": [str(KEYS / name)]} for name in ("ed25519.pub", "p384.pub"))
    rule = {f"{registry.host}/policy": {"verify": key}, "*": {"verify": other}}
    pull, verify = (PULL, {"ref": ref, "dest": dest}), (VERIFY, {"ref": ref})
    assert reasons(plays.run(rule, pull, verify)) == ["VerificationError"] * 2
    found = plays.run(
        rule,
        (SIGN, {"ref": ref, "key": str(KEYS / "ed25519.raw.pem")}),
        (PULL, {"ref": ref, "dest": dest, "verify": other}),
        pull,
        pull,
        verify,
        (CHARTS, {"sources": {"demo": {"ref": ref}}, "cache_dir": str(tmp_path / "cache")}),
    )
    assert reasons(found) == ["ok", "VerificationError", "ok", "ok", "ok", "ok"]
    assert [found[number]["changed"] for number in (2, 3)] == [True, False]
    for verification in (found[2]["verification"], found[4]["verification"]):
        assert verification["verified"] and len({signer["key"] for signer in verification["signers"]}) == 1

    # tags: each is checked before one moves, a removal as well; retention keeps what is protected, in its window
    kept = {registry.host: {"immutable_tags": True, "deny_tags": ["bad"], "verify": key}}
    prune = (PRUNE, {"ref": place.name, "state": "absent", "rules": [{"count": 0}]})
    found = plays.run(
        kept,
        (TAG, {"ref": ref, "tags": ["prod", "bad"]}),
        (TAG, {"ref": ref, "tags": ["prod"]}),
        (TAG, {"ref": ref, "state": "absent", "force": True}),
        (TAG, {"ref": f"{place.name}:bad", "state": "absent"}),
    )
    assert reasons(found) == ["TagDenied", "ok", "TagImmutable", "ok"]
    assert found[1]["verification"]["verified"] and found[1]["before"] == {"prod": ""}
    # neither open now nor soon
    hour = (datetime.datetime.now(datetime.timezone.utc).hour + 12) % 24
    closed = {registry.host: {"window": f"{hour:02}:00-{hour:02}:01"}}
    found = plays.run(closed, (TAG, {"ref": ref, "tags": ["other"]}), prune, (DIFF, {"from": ref, "to": ref}))
    assert reasons(found) == ["OutsideWindow", "OutsideWindow", "ok"]
    (pruned,) = plays.run(kept, prune)
    assert [(each["tag"], each["why"]) for each in pruned["keep"]] == [("1.0.0", "immutable")]
    assert [each["tag"] for each in pruned["untag"]] == ["prod"]

    # a digest that is denied is refused even where it is in place; a file that others can write is not read
    assert reasons(plays.run({registry.host: {"deny_digests": [digest]}}, pull)) == ["DigestDenied"]
    plays.file.chmod(0o666)
    (refused,) = plays.run({registry.host: None}, pull)
    assert refused["reason"] == "PolicyInvalid" and "everybody" in refused["msg"]
    plays.file.chmod(0o600)


def test_what_is_new_waits_for_its_time(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    place, plays = Publisher(registry.host, "policy/waits"), Plays(ansible, tmp_path)
    first = place.publish("stable", [Blob(tgz({"a.yaml": "a: 1\n"}))])
    ref, dest, relayed = f"{place.name}:stable", tmp_path / "dest", tmp_path / "relayed"
    never = {registry.host: {"window": {"deny": ["00:00-24:00 Europe/Berlin"]}}}
    pull = (PULL, {"ref": ref, "dest": str(dest)})
    via = (PULL, {"ref": ref, "dest": str(relayed), "via": "controller"})
    listed = (PULL, {"artifacts": [{"ref": ref, "dest": str(dest)}, {"ref": ref, "dest": str(tmp_path / "more")}]})

    # what was never placed
    found = plays.run(never, pull, via, listed)
    assert [(each.failed, each.changed, each["reason"]) for each in found] == [(False, False, "NewRevisionPending")] * 3
    assert found[0]["pending"]["digest"] == found[1]["pending"]["digest"] == first
    assert [each["reason"] for each in found[2]["results"]] == ["NewRevisionPending"] * 2
    assert not any(path.exists() for path in (dest, relayed, tmp_path / "more"))

    assert reasons(plays.run({registry.host: None}, pull, via)) == ["ok"] * 2
    second = place.publish("stable", [Blob(tgz({"a.yaml": "a: 2\n"}))])
    check = {"check_mode": True}
    found = plays.run(never, pull, via, pull, (TAG, {"ref": ref, "tags": ["other"]}), **check)
    found += plays.run(never, pull, via, (TAG, {"ref": ref, "tags": ["other"]}))
    assert reasons(found) == ["ok"] * 3 + ["OutsideWindow"] + ["ok"] * 2 + ["OutsideWindow"]
    for each in (found[number] for number in (0, 1, 2, 4, 5)):
        assert (each.changed, each["reason"], each["pending"]["digest"]) == (False, "NewRevisionPending", second)
        assert each["artifact"]["digest"] == first
        assert f"'{registry.host}'" in each["pending"]["why"] and "no changes are made" in each["pending"]["why"]
    assert [(path / "a.yaml").read_text() for path in (dest, relayed)] == ["a: 1\n"] * 2

    # what is in place is set right at any time, and the window is for what is new alone
    (dest / "a.yaml").unlink()
    always = {registry.host: {"window": {"allow": ["00:00-24:00"]}}}
    pinned = (PULL, {"ref": f"{place.name}@{first}", "dest": str(dest)})
    (repaired,) = plays.run(never, pinned)
    assert not repaired.failed and (dest / "a.yaml").read_text() == "a: 1\n"
    assert [each["reason"] for each in plays.run(always, pull, via)] == ["NewRevision"] * 2
    fails = {registry.host: {"window": {"deny": ["00:00-24:00"], "outside": "fail"}}}
    place.publish("stable", [Blob(tgz({"a.yaml": "a: 3\n"}))])
    assert reasons(plays.run(fails, pull, via)) == ["OutsideWindow"] * 2

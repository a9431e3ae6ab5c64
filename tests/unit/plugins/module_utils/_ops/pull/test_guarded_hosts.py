# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a policy on a host with a history: what may be placed there, whatever was pulled and rolled back."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.via import (
    _of_delivery as delivered_options,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ConnectionFailed, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull import change
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.context import make_context
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull, run
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.delivered import pull_delivered
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.delivery import (
    Delivery,
    Parcel,
    parse_delivery,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.last_good import LastGood
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.provide import Request, provide
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.rollback import (
    RollbackOptions,
    rollback,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.small_artifacts import (
    digest_of,
    packed,
)

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
VERSIONS = ["1.0.0", "1.1.0", "1.2.0", "2.0.0", "2.1.0", "10.0.0"]
ORDER = {version: number for number, version in enumerate(VERSIONS)}
HISTORIES, STEPS = 1000 // int(os.environ.get("FEWER_EXAMPLES", "1")), 4


class Registry:
    """A layout with each version under a tag of its own, and the tag ``stable``, which moves."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "layout"
        self.digests: dict[str, str] = {}
        self._entries: list[dict[str, Any]] = []
        (self.root / "blobs/sha256").mkdir(parents=True)
        (self.root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        for version in VERSIONS:
            layer = self._add(packed({"version": version}), "application/vnd.oci.image.layer.v1.tar")
            document = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self._add(b"{}", "application/vnd.oci.empty.v1+json"),
                "layers": [layer],
                "annotations": {"org.opencontainers.image.version": version},
            }
            entry = self._add(json.dumps(document).encode(), MANIFEST)
            self.digests[version] = entry["digest"]
            self._entries.append({**entry, "annotations": {"org.opencontainers.image.ref.name": version}})
        self.move("1.0.0")

    @property
    def name(self) -> str:
        return f"oci-layout:{self.root}"

    def move(self, version: str) -> None:
        """Let ``stable`` name this version."""
        entry = next(each for each in self._entries if each["digest"] == self.digests[version])
        stable = {**entry, "annotations": {"org.opencontainers.image.ref.name": "stable"}}
        index = {"schemaVersion": 2, "manifests": [*self._entries, stable]}
        (self.root / "index.json").write_text(json.dumps(index))

    def _add(self, data: bytes, media_type: str) -> dict[str, Any]:
        (self.root / "blobs/sha256" / digest_of(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


@lru_cache(maxsize=100)
def read(rules: str) -> Any:
    return rules_of(json.loads(rules))


class Host:
    """A host that pulls into ``dest`` under a policy."""

    def __init__(self, registry: Registry, dest: Path, **rule: Any) -> None:
        self.registry, self.dest = registry, dest
        self.rule: dict[str, Any] = {"match": registry.name, "never_downgrade": True, **rule}

    def options(self, ref: str = "", **more: Any) -> PullOptions:
        separator = "@" if ref.startswith("sha256:") else ":"
        names = ("semver", "tag_moved", "pin")
        reference = ReferenceOptions(
            f"{self.registry.name}{separator}{ref}" if ref else self.registry.name,
            **{name: more.pop(name) for name in names if name in more},
        )
        policy = read(json.dumps([{**self.rule, **more.pop("rule", {})}]))
        return PullOptions(reference, str(self.dest), LayerSelector(), Limits(1 << 20, 100), policy=policy, **more)

    def pull(self, ref: str = "", **more: Any) -> PullResult:
        return pull(self.options(ref, **more))

    @property
    def version(self) -> str:
        """The version in place, empty for none."""
        with suppress(FileNotFoundError):
            return (self.dest / "version").read_text()
        return ""

    @property
    def held(self) -> set[str]:
        with suppress(FileNotFoundError):
            standing = json.loads((self.dest / ".oci-artifact/state").read_text()).get("standing") or {}
            return {each["digest"] for each in standing.get("held") or ()}
        return set()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


@pytest.fixture
def host(registry: Registry, tmp_path: Path) -> Host:
    return Host(registry, tmp_path / "dest")


def closed() -> dict[str, str]:
    """A window that is not open for days."""
    day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][(time.gmtime().tm_wday + 3) % 7]
    return {"window": f"{day} 00:00-24:00"}


def refused(host: Host, *arguments: Any, **options: Any) -> str:
    with pytest.raises(OciError) as caught:
        host.pull(*arguments, **options)
    return caught.value.reason


def test_no_history_leads_past_a_guard(registry: Registry, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    past = Host(registry, tmp_path / "past")
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        past.pull(version, keep=3)
    rollback(RollbackOptions(str(past.dest)))
    for number in range(HISTORIES):
        chance = random.Random(number)
        host = Host(registry, tmp_path / "dest")
        denied = registry.digests[chance.choice(VERSIONS)] if chance.random() < 0.3 else ""
        if denied:
            host.rule["deny_digests"] = [denied]
        if number % 2:
            # one that went back from 2.0.0 to 1.1.0
            shutil.copytree(past.dest, host.dest)
        for _step in range(STEPS):
            seen.update([_step_of(host, chance, denied)])
        shutil.rmtree(host.dest, ignore_errors=True)
    # what is to be refused was tried
    assert {"DowngradeDenied", "DigestDenied", "OutsideWindow", "HeldBack", "RolledBack", "NewRevision"} <= set(seen)
    assert seen["DowngradeDenied"] > HISTORIES // 10 < seen["NewRevision"]


def _step_of(host: Host, chance: random.Random, denied: str) -> str:
    """Do one thing; return its outcome, after checking what it may have led to."""
    before, held, what = host.version, host.held, chance.random()
    try:
        if before and what < 0.2:
            return str(rollback(RollbackOptions(str(host.dest), hold=chance.random() < 0.6))["reason"])
        if held and what < 0.25:
            return str(rollback(RollbackOptions(str(host.dest), state="released"))["reason"])
    except OciError as exc:
        return exc.reason
    is_closed = chance.random() < 0.1
    options: dict[str, Any] = {"keep": 3, "rule": closed() if is_closed else {}, "force": chance.random() < 0.1}
    # now and then what is held back
    tempting = [version for version in VERSIONS if host.registry.digests[version] in held]
    version = chance.choice(tempting if tempting and chance.random() < 0.5 else VERSIONS)
    if what < 0.5:
        ref = version
    elif what < 0.6:
        ref = host.registry.digests[version]
    elif what < 0.8:
        ref = "stable"
        host.registry.move(version)
    else:
        ref, options["semver"] = "", chance.choice(["<2", "1.x", "*", ">=1.1 <2.1"])
    try:
        reason = host.pull(ref, **options).reason
    except OciError as exc:
        assert host.version == before
        return exc.reason
    after = host.version
    if after != before:
        digest = host.registry.digests[after]
        assert not before or ORDER[after] > ORDER[before]
        assert digest != denied and digest not in held and not is_closed
    return reason


def test_what_another_run_placed_meanwhile_counts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.pull("1.0.0")
    locked = change.locked

    @contextmanager
    def after_another(*arguments: Any) -> Iterator[Any]:
        monkeypatch.setattr(change, "locked", locked)
        assert host.pull("2.0.0", keep=2).changed
        with locked(*arguments) as work:
            yield work

    monkeypatch.setattr(change, "locked", after_another)
    assert (refused(host, "1.1.0"), host.version) == ("DowngradeDenied", "2.0.0")


@pytest.mark.parametrize("said", ["held", "suspended"])
def test_what_an_operator_said_meanwhile_counts(host: Host, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    host.pull("1.0.0", keep=3)
    locked = change.locked

    @contextmanager
    def after_an_operator(*arguments: Any) -> Iterator[Any]:
        monkeypatch.setattr(change, "locked", locked)
        if said == "held":
            host.pull("2.0.0", keep=3)
            rollback(RollbackOptions(str(host.dest), reason="it fails"))
        else:
            rollback(RollbackOptions(str(host.dest), state="suspended", reason="a fair"))
        with locked(*arguments) as work:
            yield work

    monkeypatch.setattr(change, "locked", after_an_operator)
    result = host.pull("2.0.0", keep=3)
    assert (result.changed, host.version) == (False, "1.0.0")
    assert result.reason == {"held": "HeldBack", "suspended": "Suspended"}[said] and result.warnings


def test_what_is_kept_in_place_of_a_held_digest_may_be_denied_by_now(host: Host, registry: Registry) -> None:
    host.pull("1.0.0", keep=3)
    host.pull("2.0.0", keep=3)
    rollback(RollbackOptions(str(host.dest)))
    assert host.pull("2.0.0").reason == "HeldBack"
    assert refused(host, "2.0.0", rule={"deny_digests": [registry.digests["1.0.0"]]}) == "DigestDenied"


def test_an_operator_may_go_back_and_pulls_go_on_from_there(host: Host) -> None:
    host.pull("1.1.0", keep=3)
    host.pull("2.0.0", keep=3)
    assert refused(host, "1.2.0") == "DowngradeDenied"
    rollback(RollbackOptions(str(host.dest), hold=True))
    assert host.version == "1.1.0"
    assert refused(host, "1.0.0") == "DowngradeDenied"
    # the newest of the range is held back; a higher one is placed
    assert host.pull(semver="<2.1").reason == "HeldBack"
    assert (host.pull("2.1.0", keep=3).reason, host.version) == ("NewRevision", "2.1.0")


def test_a_pinned_tag_that_moved_is_refused_whatever_is_kept(host: Host, registry: Registry) -> None:
    pinned = f"{registry.name}:stable@{registry.digests['1.0.0']}"
    options = host.options("1.0.0", rule={"tag_moved": "fail"}, keep=2)
    options = options._replace(reference=ReferenceOptions(pinned))
    assert pull(options).changed
    registry.move("1.1.0")
    with pytest.raises(OciError) as caught:
        pull(options)
    assert (caught.value.reason, host.version) == ("TagMoved", "1.0.0")


def test_a_young_artifact_waits_while_the_old_one_is_set_right(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "seen"))
    monkeypatch.setenv("HOME", str(tmp_path))
    host.pull("1.0.0", keep=2)
    young = {"min_age": "1h", "age_from": ["first_seen"]}
    assert refused(host, "1.1.0", rule=young, keep=2) == "TooYoung"
    (host.dest / "version").unlink()
    assert (host.pull("1.0.0", rule=young, keep=2).reason, host.version) == ("DriftCorrected", "1.0.0")
    assert host.pull("1.0.0", rule=closed()).reason == "ArtifactUpToDate"
    assert refused(host, "1.1.0", rule=closed()) == "OutsideWindow"


@pytest.mark.parametrize("check", [{"never_downgrade": True}, {"window": ""}], ids=["downgrade", "window"])
def test_what_the_controller_provides_is_judged_by_what_the_host_has(
    host: Host, tmp_path: Path, check: dict[str, Any]
) -> None:
    host.pull("2.0.0", keep=2)
    if "window" in check:
        host.rule.update(closed())
    for ref, reason in (("2.0.0", "ArtifactUpToDate"), ("1.0.0", ""), ("2.0.0", "ArtifactUpToDate")):
        options = host.options(ref, keep=2)
        delivery = _delivery(options, tmp_path)
        rules = rules_of(list(delivery.rules)) if delivery.rules else None
        here = options._replace(reference=options.reference._replace(pin=delivery.revision), policy=rules)
        parcel = Parcel("controller", [delivery])

        def go_on(task: Any, _diff: bool, here: PullOptions = here) -> dict[str, Any]:
            return run(make_context(here, task)).as_result()

        if reason:
            assert pull_delivered(parcel, [here], go_on)["reason"] == reason
            continue
        with pytest.raises(OciError) as caught:
            pull_delivered(parcel, [here], go_on)
        assert caught.value.reason == ("OutsideWindow" if "window" in check else "DowngradeDenied")
        assert host.version == "2.0.0"


@pytest.mark.parametrize("part", ["config", "layer"])
@pytest.mark.parametrize("layout", ["", "releases"])
def test_a_part_of_what_is_in_place_may_be_denied_by_now(host: Host, tmp_path: Path, part: str, layout: str) -> None:
    host.rule = {"match": "*"}
    host.pull("1.0.0", layout=layout, keep=2)
    manifest = json.loads((host.registry.root / "blobs/sha256" / host.registry.digests["1.0.0"][7:]).read_text())
    denied = manifest["config"]["digest"] if part == "config" else manifest["layers"][0]["digest"]
    rule = {"deny_digests": [denied]}
    pinned = host.registry.digests["1.0.0"]
    before = (host.dest / ".oci-artifact/state").read_text()
    for ref, more in (("1.0.0", {}), (pinned, {}), ("1.0.0", {"force": True})):
        if ref == pinned:
            host.pull(pinned, layout=layout, keep=2)
            before = (host.dest / ".oci-artifact/state").read_text()
        assert refused(host, ref, rule=rule, layout=layout, keep=2, **more) == "DigestDenied"
    options = host.options(pinned, rule=rule, layout=layout, keep=2)
    delivered = _delivery(host.options(pinned, layout=layout), tmp_path)._replace(rules=[{"match": "*", **rule}])
    with pytest.raises(OciError) as caught:
        _placed(options, delivered)
    assert caught.value.reason == "DigestDenied"
    assert (host.dest / ".oci-artifact/state").read_text() == before
    # another one is placed all the same, where that does not have the part
    if part == "layer":
        assert host.pull("1.1.0", rule=rule, layout=layout, keep=2).reason == "NewRevision"


def test_a_record_without_the_digests_of_parts_still_has_the_layer(host: Host) -> None:
    host.rule = {"match": "*"}
    layer = host.pull("1.0.0").artifact["layer"]["digest"]
    record = host.dest / ".oci-artifact/state"
    document = json.loads(record.read_text())
    assert layer in document.pop("parts")
    record.write_text(json.dumps(document))
    assert host.pull("1.0.0").reason == "ArtifactUpToDate"
    assert refused(host, "1.0.0", rule={"deny_digests": [layer]}) == "DigestDenied"


@pytest.mark.parametrize("check", ["deny_digests", "deny_tags"])
def test_what_is_denied_is_not_kept_for_want_of_the_registry(host: Host, tmp_path: Path, check: str) -> None:
    host.pull(semver="<2.1.0")
    denied = [host.registry.digests["2.0.0"]] if check == "deny_digests" else ["1.1.0", r"^2\.0"]
    host.rule = {"match": "*", check: denied}
    options = host.options(semver="<2.1.0", last_good=LastGood())
    made = _delivery(options, tmp_path)
    assert made.rules == [{"match": host.registry.name, check: denied}]
    off = made._replace(revision="", failure=ConnectionFailed("It is off.").as_failure(), is_outage=True)
    with pytest.raises(OciError) as caught:
        _placed(options, off)
    assert caught.value.reason == ("DigestDenied" if check == "deny_digests" else "TagDenied")
    assert _placed(options, off._replace(rules=()))["reason"] == "LastGoodKept"


def test_a_refusal_on_the_host_names_the_rule_as_the_policy_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: Any) -> None:
        raise ConnectionFailed("It is off.")

    monkeypatch.setattr(Task, "open", refuse)
    rule = {"match": "r.example/**", "never_downgrade": True}
    policy = replace(read(json.dumps([rule])), source="/etc/policy.yml")
    options = PullOptions(ReferenceOptions("r.example/app:1"), "x", LayerSelector(), Limits(1, 1), policy=policy)
    made = _delivery(options, tmp_path)
    assert (made.policy, made.rules, made.is_outage) == ("/etc/policy.yml", [rule], True)
    here = delivered_options(options, made).policy
    assert here is not None and (here.source, here.rules[0].match.text) == ("/etc/policy.yml", "r.example/**")


def test_a_new_revision_waits_for_its_time(host: Host, tmp_path: Path) -> None:
    never = {"window": {"deny": ["00:00-24:00"]}}
    first = host.pull("1.0.0", rule=never)
    assert (first.reason, first.changed, host.dest.exists()) == ("NewRevisionPending", False, False)
    assert first.artifact == {} and first.pending["revision"].startswith("1.0.0@sha256:")

    placed = host.pull("1.0.0")
    (host.dest / "version").unlink()
    assert host.pull("1.0.0", rule=never).reason == "DriftCorrected"
    for check_mode in (False, True):
        with Task(CacheOptions()) as task:
            found = run(make_context(host.options("1.1.0", rule=never), task, check_mode=check_mode)).as_result()
        assert (found["reason"], found["changed"], host.version) == ("NewRevisionPending", False, "1.0.0")
        assert found["artifact"]["revision"] == placed.artifact["revision"]
        assert found["pending"]["digest"] != placed.artifact["digest"]
        assert "no changes are made 00:00-24:00" in found["pending"]["why"]
    assert refused(host, "1.1.0", rule={"window": {**never["window"], "outside": "fail"}}) == "OutsideWindow"
    assert host.pull("1.1.0", rule={"window": {"allow": ["00:00-24:00"]}}).reason == "NewRevision"
    assert "pending" not in host.pull("1.1.0", rule=never).as_result()

    # where another machine asks the registry, its answer is the same
    host.rule.update(never)
    options = host.options("1.0.0")
    delivery = _delivery(options, tmp_path)
    here = options._replace(reference=options.reference._replace(pin=delivery.revision), policy=None)

    def go_on(task: Any, _diff: bool) -> dict[str, Any]:
        return run(make_context(here, task)).as_result()

    found = pull_delivered(Parcel("controller", [delivery]), [here], go_on)
    assert (found["reason"], found["changed"], host.version) == ("NewRevisionPending", False, "1.1.0")
    assert found["pending"]["revision"] == delivery.revision


def _placed(options: PullOptions, delivery: Delivery) -> dict[str, Any]:
    """What the module returns on the host for a delivery."""
    here = delivered_options(options, delivery)
    return pull_delivered(
        Parcel("controller", [delivery]), [here], lambda task, _diff: run(make_context(here, task)).as_result()
    )


def _delivery(options: PullOptions, folder: Path) -> Delivery:
    file = folder / "made"
    provide([options._replace(cache=CacheOptions())], Request("fetch", str(file), str(folder / "store")))
    (item,) = json.loads(file.read_text())["items"]
    return parse_delivery(item)

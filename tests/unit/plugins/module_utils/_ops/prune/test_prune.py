# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tags and manifests retention takes, and what it never does; in layouts, and by requests to a registry."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidContent,
    InvalidOption,
    InvalidReference,
    InvalidSelection,
    NotFound,
    OciError,
    TagMoved,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.tags import LayoutTags
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    AuthOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.tag_store import DeletionRefused
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.times import time_text
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.prune.needed import Needs
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.prune.prune import PruneOptions, prune
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.prune.rules import parse_rule
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.refusals import OutsideWindow
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    manifest_of,
    source_of,
)

DAY = 86400.0
ALL = {"count": 0}


def index_of(*manifests: Manifest, **fields: Any) -> Manifest:
    entries = [each.descriptor.as_json() for each in manifests]
    document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries, **fields}
    return parse_manifest(canonical_json(document), media.OCI_INDEX, "The index")


class Layout:
    """A layout to prune."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repository = LayoutTags(parse_reference(f"oci-layout:{path}"))
        self.repository.push_blob(source_of(b"{}"))

    def push(self, manifest: Manifest, *tags: str) -> Manifest:
        for each in tags or ("",):
            self.repository.push_manifest(manifest, each)
        return manifest

    def publish(self, text: str, *tags: str, subject: Manifest | None = None, **annotations: str) -> Manifest:
        """An artifact with a layer of its own."""
        source = source_of(text.encode())
        self.repository.push_blob(source)
        fields = {"subject": subject.descriptor.as_json()} if subject else {}
        made = manifest_of(layers=[source.descriptor.as_json()], annotations={"text": text, **annotations}, **fields)
        return self.push(made, *tags)

    def holds(self, manifest: Manifest) -> bool:
        try:
            self.repository.resolve(manifest.descriptor.digest)
        except NotFound:
            return False
        return all(self.repository.blob_exists(layer) for layer in manifest.layers)

    def tags(self) -> list[str]:
        return LayoutTags(self.repository.reference).list_tags()

    def blobs(self) -> set[str]:
        return {f"sha256:{each.name}" for each in (self.path / "blobs/sha256").iterdir()}

    def prune(self, *rules: dict[str, Any], check_mode: bool = False, **options: Any) -> dict[str, Any]:
        given = PruneOptions(
            ReferenceOptions(ref=f"oci-layout:{self.path}"),
            rules=[parse_rule(number, each) for number, each in enumerate(rules, 1)],
            **{"state": "absent", **options},
        )
        return prune(given, check_mode=check_mode, want_diff=True)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("OCI_ARTIFACT_STATE_DIR", str(folder))
    return folder


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def kept(result: dict[str, Any]) -> dict[str, str]:
    return {each["tag"]: each["why"] for each in result["keep"]}


def gone(result: dict[str, Any]) -> list[str]:
    return sorted(tag for each in result["remove"] for tag in each["tags"])


def aged(days: float) -> dict[str, str]:
    return {media.ANNOTATION_CREATED: time_text(time.time() - days * DAY)}


def test_rules(layout: Layout, state: Path) -> None:
    """By count in the order of versions, by age, by pattern; what is not covered and whose age is not known stays."""
    state.mkdir()
    state.chmod(0o777)  # nothing is believed, or recorded, where anybody may write
    for version in ("1.9.0", "1.10.0", "2.0.0", "2.1.0-rc.1"):
        layout.publish(version, version)
    for name, days in (("main-a", 1), ("main-b", 40), ("main-c", 50)):
        layout.publish(name, name, **aged(days))
    layout.publish("main-d", "main-d", **{media.ANNOTATION_CREATED: "1970-01-01T00:00:00Z"})
    layout.publish("prod", "prod")
    rules: list[dict[str, Any]] = [
        {"semver": ">=0.0.0-0", "count": 2},
        {"pattern": "^main-", "age": "30d"},
        {"pattern": "^main-b$"},
    ]
    report = layout.prune(*rules, state="report")
    assert not report["changed"] and report["reason"] == "PruneReported"
    assert gone(report) == ["1.10.0", "1.9.0", "main-c"]
    assert kept(report) == {
        "2.1.0-rc.1": "count",
        "2.0.0": "count",
        "main-a": "age",
        "main-b": "always",
        "main-d": "age_unknown",
        "prod": "not_covered",
    }
    assert "may be written to by everybody" in report["warnings"][0]
    foreseen = layout.prune(*rules, check_mode=True)
    assert foreseen["changed"] and len(layout.tags()) == 9
    done = layout.prune(*rules)
    assert done == foreseen and done["reason"] == "Pruned" and "main-c sha" in done["diff"][0]["before"]
    assert layout.tags() == sorted(kept(report))
    again = layout.prune(*rules)
    assert (again["changed"], again["reason"], again["remove"]) == (False, "PruneUpToDate", [])


def test_what_says_no_age_is_as_old_as_its_first_look(layout: Layout, state: Path) -> None:
    for name, text in (("a", "1970-01-01T00:00:01Z"), ("b", "1980-01-01T00:00:01Z"), ("c", "yesterday")):
        layout.publish(name, name, **{media.ANNOTATION_CREATED: text})
    assert kept(layout.prune({"age": "1d"}, check_mode=True)) == dict.fromkeys("abc", "age")
    assert not state.exists()
    assert kept(layout.prune({"age": "1d"}, state="report")) == dict.fromkeys("abc", "age")
    (file,) = state.glob("*.json")
    document = json.loads(file.read_text())
    document["digests"] = {digest: moment - DAY for digest, moment in document["digests"].items()}
    file.write_text(json.dumps(document))
    layout.publish("d", "d")
    assert gone(layout.prune({"age": "1d"})) == ["a", "b", "c"] and layout.tags() == ["d"]


def test_a_policy_keeps_protected_tags_and_its_window(layout: Layout) -> None:
    for name in ("1.0.0", "main"):
        layout.publish(name, name)
    place = f"oci-layout:{layout.path}"
    closed = rules_of([{"match": place, "window": "Mon 01:00-01:01"}])
    assert layout.prune(ALL, policy=closed, state="report")["remove"]
    for check_mode in (True, False):
        with pytest.raises(OutsideWindow) as refused:
            layout.prune(ALL, policy=closed, check_mode=check_mode)
        assert refused.value.details["refused_by"]["check"] == "window"
    assert layout.tags() == ["1.0.0", "main"]
    # nothing to remove needs no leave, and what is denied may go
    assert not layout.prune({"count": 2}, policy=closed)["changed"]
    rule = {"match": place, "immutable_tags": True, "deny_tags": ["main"], "min_age": "1h"}
    assert kept(layout.prune(ALL, policy=rules_of([rule]))) == {"1.0.0": "immutable"}
    assert layout.tags() == ["1.0.0"]


def test_what_goes_takes_all_that_is_its_own_and_nothing_else(layout: Layout) -> None:
    """Platforms, signatures by tag and by subject, at any depth; blobs that others need stay, as do those of others."""
    arm, amd = layout.publish("arm"), layout.publish("amd")
    old, new = layout.push(index_of(arm, amd), "1.0.0"), layout.push(index_of(amd), "2.0.0")
    of_arm = layout.publish("signature of arm", subject=arm)
    of_amd = layout.publish("signature of amd", subject=amd)
    of_old = layout.publish("sbom of old", subject=old)
    of_sbom = layout.publish("signature of the sbom", subject=of_old)
    legacy = layout.publish("legacy", old.descriptor.digest.replace(":", "-") + ".sig")
    # one SBOM of two artifacts is one manifest
    names = [each.descriptor.digest.replace(":", "-") + ".sbom" for each in (old, new)]
    common = layout.publish("common", *names)
    unlisted = layout.repository.store.path(digest_of(b"somebody's"))
    Path(unlisted).write_bytes(b"somebody's")
    result = layout.prune({"count": 1})
    assert gone(result) == ["1.0.0"] and result["remove"][0]["attached"] == 4
    assert not any(map(layout.holds, (old, arm, of_arm, of_old, of_sbom, legacy)))
    assert all(map(layout.holds, (new, amd, of_amd, common)))
    assert layout.tags() == sorted(["2.0.0", names[1]])
    assert digest_of(b"somebody's") in layout.blobs() and digest_of(b"legacy") not in layout.blobs()


def test_what_is_in_use_or_needed_stays(layout: Layout, tmp_path: Path) -> None:
    child, running, locked = (layout.publish(each) for each in ("child", "running", "locked"))
    layout.push(child, "child")
    layout.push(running, "1.0.0")
    layout.push(locked, "1.1.0")
    layout.push(index_of(child), "prod")
    signature = layout.publish("sig", "signature", subject=running)
    layout.publish("other", "other")
    both = layout.publish("both", "1.2.0", "stable")
    lock = tmp_path / "oci.lock.yml"
    lock.write_text(f"config:\n  digest: {locked.descriptor.digest}\n")
    result = layout.prune(
        {"pattern": "^([0-9]|child|signature|other)", "count": 0},
        keep_digests=[f"1.0.0@{running.descriptor.digest}", "r.example.com/x@sha256:" + "0" * 64],
        keep_files=[str(lock)],
    )
    assert gone(result) == ["other"]
    assert [each["tag"] for each in result["untag"]] == ["1.2.0"]
    reasons = kept(result)
    assert reasons == {
        "1.0.0": "in_use",
        "1.1.0": "in_use",
        "child": "part",
        "signature": "referrer",
        "prod": "not_covered",
        "stable": "not_covered",
    }
    assert all(map(layout.holds, (child, running, locked, signature, both))) and "1.2.0" not in layout.tags()


def test_what_a_referrer_that_stays_refers_to_stays(layout: Layout) -> None:
    """By its tag or as what is in use; through what has no tag, and for a platform with its index."""
    signed, described, arm, other = (layout.publish(each) for each in ("signed", "described", "arm", "other"))
    for name, each in (("1.0.0", signed), ("1.1.0", described), ("1.3.0", other)):
        layout.push(each, name)
    index = layout.push(index_of(arm), "1.2.0")
    of_signed = layout.publish("sbom of signed", subject=signed)
    layout.publish("signature of the sbom", "signature", subject=of_signed)
    in_use = layout.publish("sbom of described", subject=described)
    layout.publish("sbom of arm", "sbom", subject=arm)
    of_other = layout.publish("sbom of other", subject=other)
    result = layout.prune({"pattern": "^1", "count": 0}, keep_digests=[in_use.descriptor.digest])
    assert gone(result) == ["1.3.0"]
    assert kept(result) == {
        "1.0.0": "subject",
        "1.1.0": "subject",
        "1.2.0": "subject",
        "sbom": "not_covered",
        "signature": "not_covered",
    }
    assert all(map(layout.holds, (signed, described, index, arm, of_signed, in_use)))
    assert not layout.holds(other) and not layout.holds(of_other)


def test_a_signature_under_a_tag_of_cosign_that_is_in_use_stays_with_what_it_signs(layout: Layout) -> None:
    signed, other = layout.publish("signed", "1.0.0"), layout.publish("other", "1.1.0")
    name = signed.descriptor.digest.replace(":", "-") + ".sig"
    signature = layout.publish("signature", name)
    result = layout.prune(ALL, keep_digests=[signature.descriptor.digest])
    assert gone(result) == ["1.1.0"] and kept(result) == {"1.0.0": "subject"}
    assert layout.holds(signature) and layout.holds(signed) and not layout.holds(other)
    assert layout.tags() == sorted(["1.0.0", name])


def test_an_index_stays_with_a_platform_that_is_in_use(layout: Layout) -> None:
    """By its digest, and by that of an index in it; with the signature, which is that of the index."""
    arm, amd = layout.publish("arm"), layout.publish("amd")
    layout.push(index_of(layout.push(index_of(arm))), "nested")
    index = layout.push(index_of(arm, amd), "1.0.0")
    signature = layout.publish("signature", subject=index)
    layout.push(index_of(amd), "2.0.0")
    result = layout.prune(ALL, keep_digests=[arm.descriptor.digest])
    assert kept(result) == {"nested": "in_use", "1.0.0": "in_use"} and gone(result) == ["2.0.0"]
    assert all(map(layout.holds, (arm, amd, index, signature)))


def test_a_tag_of_several_manifests_keeps_each(layout: Layout) -> None:
    """No list has such a tag, which other tools may write. Of an index it keeps the platforms, too."""
    part = layout.publish("part")
    first = layout.push(index_of(part), "1.0.0", "twice")
    second = layout.publish("second")
    path = layout.path / "index.json"
    document = json.loads(path.read_text())
    entry = next(each for each in document["manifests"] if each["digest"] == second.descriptor.digest)
    document["manifests"].append({**entry, "annotations": {media.ANNOTATION_REF_NAME: "twice"}})
    path.write_text(json.dumps(document))
    layout.push(part, "part")
    assert layout.tags() == ["1.0.0", "part"]
    assert kept(layout.prune(ALL)) == {"1.0.0": "part", "part": "part"}
    assert all(map(layout.holds, (first, second, part)))


def test_what_does_not_say_its_type_may_be_an_index(layout: Layout) -> None:
    part = layout.publish("part")
    index = layout.push(index_of(part)).descriptor
    needs = Needs(layout.repository, ())
    assert needs.protected([Descriptor("", index.digest, index.size)]) == {index.digest, part.descriptor.digest}


def test_a_destination_names_what_is_in_use(layout: Layout, tmp_path: Path) -> None:
    artifact = layout.publish("x", "1.0.0")
    state = tmp_path / "dest/.oci-artifact/state"
    state.parent.mkdir(parents=True)
    # what pulls have written, into a directory and as a file, with the digest of a layer in it; and a saved result
    (tmp_path / "folder").mkdir()
    for name in ("folder", "file"):
        reference = ReferenceOptions(ref=f"oci-layout:{layout.path}:1.0.0")
        selector = LayerSelector(operation="copy")
        pulled = pull(PullOptions(reference, str(tmp_path / name), selector, Limits(1 << 20, 100)))
        assert kept(layout.prune(ALL, keep_files=[str(tmp_path / name)])) == {"1.0.0": "in_use"}
    assert (tmp_path / "file").is_file()
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps(pulled.as_result()))
    assert kept(layout.prune(ALL, keep_files=[str(saved)])) == {"1.0.0": "in_use"}
    state.write_text(f'{{"artifact": {{}}, "before": ["1.0.0@{artifact.descriptor.digest}"]}}')
    result = layout.prune(ALL, keep_files=[str(tmp_path / "dest")])
    assert kept(result) == {"1.0.0": "in_use"} and not result["changed"]
    files = f'"files": "{artifact.descriptor.digest}"'
    for damaged in ("[]", '{"artifact"', f"{{{files}}}", f'{{"artifact": {{}}, {files}}}'):
        state.write_text(damaged)
        with pytest.raises(InvalidOption):
            layout.prune(ALL, keep_files=[str(tmp_path / "dest")])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rules": [{"count": -1}]}, InvalidOption, "Item 1 of 'rules': 'count' is -1"),
        ({"rules": [ALL, {"age": "soon"}]}, InvalidOption, "Item 2 of 'rules': 'age': 'soon' is not a duration"),
        ({"rules": [{"semver": ">>"}]}, InvalidSelection, "Item 1 of 'rules': The range in semver"),
        (
            {"rules": [{"pattern": "("}]},
            InvalidSelection,
            r"Item 1 of 'rules': The regular expression '\(' in pattern",
        ),
        ({"rules": []}, InvalidOption, "'rules' has 0 entries"),
        ({"keep_digests": ["1.0.0"]}, InvalidReference, "'keep_digests': '1.0.0' is not a digest"),
        ({"keep_files": ["/nowhere/oci.lock.yml"]}, InvalidOption, "'keep_files' cannot be read"),
        ({"keep_files": ["/dev/null"]}, InvalidOption, "'keep_files' names no digest"),
    ],
)
def test_options_that_cannot_be_used_remove_nothing(
    layout: Layout, options: dict[str, Any], error: type[OciError], words: str
) -> None:
    layout.publish("x", "1.0.0")
    with pytest.raises(error, match=words):
        layout.prune(*options.pop("rules", [ALL]), **options)
    assert layout.tags() == ["1.0.0"]
    with pytest.raises(InvalidOption):
        prune(PruneOptions(ReferenceOptions(ref=f"oci-layout:{layout.path}:1.0.0"), [parse_rule(1, ALL)]))


def test_a_manifest_that_cannot_be_read_stops_everything(layout: Layout) -> None:
    """What a damaged index needs is not known: nothing is removed."""
    part = layout.publish("part", "1.0.0")
    index = layout.push(index_of(part), "prod")
    path = Path(layout.repository.store.path(index.descriptor.digest))
    path.chmod(0o644)
    path.write_bytes(b"x" * index.descriptor.size)
    with pytest.raises(InvalidContent):
        layout.prune({"pattern": "^1", "count": 0})
    assert layout.holds(part)


# a registry


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.add_blob(b"{}")
        for number in range(3):
            running.add_manifest(manifest_of(annotations={"n": str(number)}).raw, f"1.{number}.0")
        yield running


def prune_registry(server: FaultServer, count: int) -> dict[str, Any]:
    options = PruneOptions(
        ReferenceOptions(url=f"oci://{server.host}/org/app"),
        rules=[parse_rule(1, {"count": count})],
        state="absent",
        connection=ConnectionOptions(insecure=True, timeout=60, retries=0),
        auth=AuthOptions(auth_config={"auths": {}}),
    )
    return prune(options)


def test_nothing_to_do_takes_the_list_of_tags(server: FaultServer) -> None:
    assert not prune_registry(server, 3)["changed"]
    assert [seen.path for seen in server.requests()] == ["/v2/org/app/tags/list"]


def test_a_registry_that_removes_nothing(server: FaultServer) -> None:
    server.always("DELETE", "", Answer(405))
    with pytest.raises(DeletionRefused, match="405"):
        prune_registry(server, 2)
    assert sorted(server.tags) == ["1.0.0", "1.1.0", "1.2.0"]


def test_tags_that_move_meanwhile(server: FaultServer) -> None:
    """A tag that has come to, or gone from, what is to be removed stops everything."""

    def moving(seen: Any) -> Answer | None:
        server.tags["rescued"] = server.tags["1.0.0"]
        return None

    server.script("GET", "/tags/list", lambda seen: None, moving)
    with pytest.raises(TagMoved, match="rescued"):
        prune_registry(server, 2)
    assert not server.requests("DELETE")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of several artifacts: what is picked, what may not land on one name, what is reported, and what is pruned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidContent,
    InvalidOption,
    NoMatch,
    OciError,
    TagImmutable,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy import known, many
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.copy import CopyOptions, copy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.many import copy_many, copy_selection
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.many import ItemsFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.document import Document
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.parse import parse_rules
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.copy.test_copy import (
    KEYS,
    at,
    place,
    push,
    push_document,
    tag_of,
)

INSECURE = ConnectionOptions(insecure=True, retries=0)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def options(to: str, url: str = "", cache: Path | None = None, **given: Any) -> CopyOptions:
    names = ("ref", "tag", "digest", "semver", "semver_filter", "filter_tags")
    reference = ReferenceOptions(url=url, **{name: given.pop(name) for name in names if name in given})
    roots = CacheOptions(str(cache)) if cache else CacheOptions()
    given = {"connection": INSECURE, "to_connection": INSECURE, "cache": roots, **given}
    return CopyOptions(reference, to, **given)


def run(*entries: CopyOptions, check_mode: bool = False, parallel: int = 4) -> dict[str, Any]:
    items = [(entry, {"url": entry.reference.url or entry.reference.ref}) for entry in entries]
    return copy_many(items, entries[0].cache, parallel, check_mode=check_mode)


def publish(path: Path, *tags: str) -> dict[str, Manifest]:
    repository = at(path)
    with repository.batch():
        return {tag: push(repository, f"content of {tag}", tag) for tag in tags}


def tags_at(path: Path) -> list[str]:
    return sorted(at(path).list_tags())


# -- which


@pytest.mark.parametrize("target", ["target", "target.tar"])
@pytest.mark.parametrize(
    ("selection", "picked"),
    [
        ({"semver": "1.x", "limit": 2}, ["1.10.0", "1.2.0"]),
        ({"semver": "1.x"}, ["1.10.0"]),
        ({"semver": "*", "semver_filter": "^1", "limit": 0}, ["1.10.0", "1.2.0", "1.0.0"]),
        ({"semver_filter": "2", "limit": 0}, ["2.0.0", "1.2.0"]),
        ({"limit": 3}, ["2.0.0", "1.10.0", "1.2.0"]),
        ({"limit": 0}, ["2.0.0", "1.10.0", "1.2.0", "1.0.0", "stable", "build-7"]),
        (
            {"filter_tags": {"pattern": "^build-(?P<n>[0-9]+)$", "extract": "$n", "policy": {"numerical": {}}}},
            ["build-7"],
        ),
    ],
)
def test_what_the_selection_picks_is_copied_under_its_tags(
    tmp_path: Path, target: str, selection: dict[str, Any], picked: list[str]
) -> None:
    source = tmp_path / "source"
    released = publish(source, "1.0.0", "1.2.0", "1.10.0", "2.0.0", "stable", "build-7")
    signed = push(at(source), "signature", tag_of(released["2.0.0"], ".sig"))
    entry = options(place(tmp_path / target), place(source), **selection)
    foreseen = run(entry, check_mode=True)
    assert not (tmp_path / target).exists()
    done = run(entry)
    for answer in (foreseen, done):
        answer["results"][0]["blobs"] = answer["blobs"] = None
    assert foreseen == done
    (result,) = done["results"]
    assert (done["changed"], done["reason"], done["refused"]) == (True, "ArtifactCopied", [])
    assert result["tags"] == dict.fromkeys(picked, "created") and list(result["tags"]) == picked
    if "limit" in selection:
        assert [each["tag"] for each in result["artifacts"]] == picked
    attached = [tag_of(released["2.0.0"], ".sig")] if "2.0.0" in picked else []
    assert tags_at(tmp_path / target) == sorted([*picked, *attached])
    assert all(at(tmp_path / target).fetch_manifest(tag) == released[tag] for tag in picked)
    assert done["diff"][0]["before"] == "" and all(f"{tag} -> " in done["diff"][0]["after"] for tag in picked)
    again = run(entry)
    assert (again["changed"], again["reason"], again["copied"]) == (False, "ArtifactUpToDate", [])
    assert again["present"] == len(picked) + len(attached) and "diff" not in again
    assert signed


def test_one_selection_without_a_list(tmp_path: Path) -> None:
    publish(tmp_path / "source", "1.0.0", "1.1.0")
    entry = options(place(tmp_path / "target"), place(tmp_path / "source"), limit=0)
    done = copy_selection(entry, 4)
    assert (done["changed"], done["to"]) == (True, place(tmp_path / "target"))
    assert done["tags"] == {"1.1.0": "created", "1.0.0": "created"} and len(done["copied"]) == 2
    assert not copy_selection(entry, 4)["changed"]


def test_nothing_to_pick(tmp_path: Path) -> None:
    publish(tmp_path / "source", "stable")
    with pytest.raises(NoMatch, match="No tag matches semver"):
        copy_selection(options(place(tmp_path / "target"), place(tmp_path / "source"), semver="1.x", limit=0), 4)
    push(at(tmp_path / "untagged"), "it")
    with pytest.raises(NoMatch, match="No tag of .* is to be copied"):
        copy_selection(options(place(tmp_path / "target"), place(tmp_path / "untagged"), limit=0), 4)


def test_a_source_with_too_many_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "source", "1.0.0", "1.1.0")
    monkeypatch.setattr(many, "MAX_TAGS", 1)
    entry = options(place(tmp_path / "target"), place(tmp_path / "source"), limit=0)
    with pytest.raises(InvalidContent, match="2 tags are to be copied, more than the 1"):
        copy_selection(entry, 1)
    assert not (tmp_path / "target").exists()


A, B = "registry.example.com/a/app", "registry.example.com/b/app"
MIRROR = "mirror.example.com/{name}"


@pytest.mark.parametrize(
    "entries",
    [
        [{"ref": f"{A}:1"}, {"ref": f"{B}:1"}],
        [{"ref": f"{A}:1"}, {"ref": f"{A}:1"}],
        [{"ref": f"{A}:1"}, {"ref": f"{B}:1", "to": "mirror.example.com:443/app"}],
        [{"ref": f"{A}:1", "to": f"{MIRROR}:stable"}, {"ref": f"{A}:2", "to": f"{MIRROR}:stable"}],
        [{"url": A, "semver": "1.x", "to": f"{MIRROR}:stable"}, {"ref": f"{A}:stable"}],
        [{"url": A, "semver": "1.x", "limit": 0}, {"url": B, "semver": "2.x", "limit": 0}],
        [{"url": A, "semver": "1.x", "limit": 0}, {"ref": f"{B}:1.2.3"}],
        [{"url": A, "semver": "1.x", "limit": 0}, {"ref": f"{A}:2.0.0", "to": f"{MIRROR}:1.2.3"}],
        [{"url": A, "limit": 3}, {"url": B}],
    ],
)
def test_what_would_land_on_one_name_is_refused(entries: list[dict[str, Any]]) -> None:
    given = [options(**{"to": MIRROR, **entry}) for entry in entries]
    with pytest.raises(InvalidOption, match="Items 1 and 2 of 'artifacts' would both be copied to mirror.example.com"):
        run(*given)


@pytest.mark.parametrize(
    "entries",
    [
        [{"ref": f"{A}:1"}, {"ref": f"{B}:2"}],
        [{"ref": f"{A}:1"}, {"ref": f"{B}:1", "to": "mirror.example.com/{repository}"}],
        [{"url": A, "semver": "1.x", "limit": 0}, {"url": A, "semver": "2.x", "limit": 1}],
        [{"url": A, "semver": "1.x", "limit": 0}, {"ref": f"{A}:1.2.3"}],
        [{"url": A, "semver": "1.x", "limit": 0}, {"ref": f"{B}:2.0.0"}],
        [{"ref": f"{A}@sha256:{'0' * 64}"}, {"ref": f"{B}@sha256:{'1' * 64}"}],
    ],
)
def test_names_that_do_not_conflict(entries: list[dict[str, Any]]) -> None:
    refused = Answer(404)
    with FaultServer() as server:
        server.always("", "", refused)
        places = {"registry.example.com": server.host, "mirror.example.com": f"{server.host}/mirror"}
        given = []
        for entry in entries:
            texts = {"to": MIRROR, **entry}
            for name, host in places.items():
                texts = {k: v.replace(name, host) if isinstance(v, str) else v for k, v in texts.items()}
            given.append(options(**texts))
        with pytest.raises(ItemsFailed):
            run(*given)
        assert server.requests()


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"url": A, "limit": -1}, "'limit' is -1"),
        ({"ref": f"{A}:1", "limit": 2}, "which is one artifact"),
        ({"ref": f"{A}@sha256:{'0' * 64}", "limit": 2}, "which is one artifact"),
        ({"url": A, "limit": 2, "to": f"{MIRROR}:stable"}, "would get the one tag of 'to'"),
        ({"url": A, "semver": "1.x", "prune": "report"}, "without 'limit'"),
        ({"ref": f"{A}:1", "prune": "true"}, "without 'limit'"),
        ({"url": A, "limit": 0, "prune": "true", "to": "oci-archive:/srv/a.tar"}, "an archive is written as a whole"),
        ({"url": A, "limit": 5, "prune": "true", "to": "registry.example.com/{repository}"}, "copied to itself"),
    ],
)
def test_options_without_a_meaning(entry: dict[str, Any], problem: str) -> None:
    given = options(**{"to": MIRROR, **entry})
    with pytest.raises(InvalidOption, match=problem):
        run(given)
    with pytest.raises(InvalidOption, match=problem):
        copy_selection(given, 1)


# -- what is reported


def test_one_that_fails_keeps_no_other_from_being_copied(tmp_path: Path) -> None:
    source, other, target = tmp_path / "source", tmp_path / "other", tmp_path / "target"
    released = publish(source, "1.0.0", "1.1.0", "1.2.0", "edge")
    publish(other, "1.0.0")
    old = push(at(target), "something else", "1.1.0")
    push(at(target), "old edge", "edge")
    entries = [
        options(place(target), place(source), limit=0),
        options(place(tmp_path / "none"), place(tmp_path / "missing"), tag="1"),
        options(place(tmp_path / "copied"), place(other), tag="1.0.0"),
    ]
    with pytest.raises(ItemsFailed, match=r"2 of 3 artifacts failed, the first is item 1: 1 of 4 tags of") as caught:
        run(*entries)
    found = caught.value.details
    assert caught.value.reason == "TagImmutable" and found["changed"] and not caught.value.retryable
    mirror, missing, copied = found["results"]
    assert mirror["tags"] == {"1.2.0": "created", "1.1.0": "refused", "1.0.0": "created", "edge": "moved"}
    assert (mirror["failed"], mirror["changed"], missing["failed"], copied["changed"]) == (True, True, True, True)
    digests = {"source": released["1.1.0"].descriptor.digest, "target": old.descriptor.digest}
    assert mirror["drifted"] == [{"to": f"{place(target)}:1.1.0", "tag": "1.1.0", **digests}] == found["drifted"]
    assert [(each["tag"], each["reason"]) for each in found["refused"]] == [
        ("1.1.0", "TagImmutable"),
        ("1", "OCIArtifactPullFailed"),
    ]
    assert found["refused"][0]["digest"] == digests["source"] and "would move to" in found["refused"][0]["msg"]
    assert len(found["copied"]) == 4 and at(target).fetch_manifest("1.1.0") == old
    forced = run(options(place(target), place(source), limit=0, force=True))
    assert forced["results"][0]["tags"]["1.1.0"] == "moved" and at(target).fetch_manifest("1.1.0") == released["1.1.0"]


def test_a_version_that_drifted_is_reported_for_one_artifact(tmp_path: Path) -> None:
    publish(tmp_path / "source", "1.0.0")
    push(at(tmp_path / "target"), "something else", "1.0.0")
    with pytest.raises(TagImmutable) as caught:
        copy(options(place(tmp_path / "target"), place(tmp_path / "source"), tag="1.0.0"))
    assert [each["tag"] for each in caught.value.details["drifted"]] == ["1.0.0"]
    assert [each["reason"] for each in caught.value.details["refused"]] == ["TagImmutable"]


@pytest.mark.parametrize("damage", ["layer", "manifest"])
def test_an_archive_gets_all_but_what_is_damaged(tmp_path: Path, damage: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target.tar"
    released = publish(source, "1.0.0", "1.1.0", "1.2.0")
    broken = released["1.1.0"]
    digest = broken.layers[0].digest if damage == "layer" else broken.descriptor.digest
    blob = source / "blobs" / digest.replace(":", "/")
    content = blob.read_bytes()
    blob.unlink()
    entry = options(place(target), place(source), limit=0)
    with pytest.raises(ItemsFailed, match="1 of 3 tags of .* failed, the first is 1.1.0"):
        run(entry)
    assert tags_at(target) == ["1.0.0", "1.2.0"]
    with pytest.raises(ItemsFailed, match="The tag .*/source:1.1.0 failed: "):
        run(options(place(target), place(source), limit=1, semver="1.1.0"))
    blob.write_bytes(content)
    done = run(entry)
    assert [each["digest"] for each in done["copied"]] == [broken.descriptor.digest]
    assert tags_at(target) == ["1.0.0", "1.1.0", "1.2.0"]


def test_tags_of_one_artifact_are_written_without_looking_at_it_again(tmp_path: Path, server: FaultServer) -> None:
    source = tmp_path / "source"
    with at(source).batch():
        for tag in ("1.0.0", "1.0", "1", "latest"):
            manifest = push(at(source), "it", tag)
    done = run(options(f"{server.host}/org/app", place(source), limit=0))
    assert set(server.tags.values()) == {manifest.descriptor.digest} and len(server.tags) == 4
    assert len(done["copied"]) == 1 and done["blobs"]["uploaded"] == 2
    assert len(server.requests("PUT", "/blobs/uploads/")) == 2
    assert len(server.requests("", f"/manifests/{manifest.descriptor.digest}")) == 3, "looked for twice, and sent"


@pytest.mark.parametrize("target", ["target", "target.tar"])
def test_a_selection_without_what_the_other_side_has(tmp_path: Path, target: str) -> None:
    """Two artifacts that the other side has none and all of, one of them under two tags."""
    source, last = tmp_path / "source", tmp_path / "last.tar"
    released = publish(source, "1.0.0", "1.1.0")
    push(at(source), "content of 1.0.0", "oldest")
    run(options(place(last), place(source), tag="1.0.0"))
    entry = options(place(tmp_path / target), place(source), limit=0, differential=[place(last)])
    done = run(entry)
    assert tags_at(tmp_path / target) == ["1.0.0", "1.1.0", "oldest"]
    (old, new) = (released[tag].layers[0] for tag in ("1.0.0", "1.1.0"))
    assert [at(tmp_path / target).blob_exists(each) for each in (old, new)] == [False, True]
    assert done["blobs"]["left_out"] and not run(entry)["changed"]
    site = tmp_path / "site"
    run(options(place(site), place(last), limit=0))
    assert run(options(place(site), place(tmp_path / target), limit=0))["changed"]
    assert tags_at(site) == ["1.0.0", "1.1.0", "oldest"] and at(site).blob_exists(new)


def test_entries_for_other_platforms_of_one_artifact(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    children = [push(at(source), name) for name in ("amd64", "arm64")]
    listed = [
        {**child.descriptor.as_json(), "platform": {"os": "linux", "architecture": name}}
        for child, name in zip(children, ("amd64", "arm64"))
    ]
    for tag in ("1.0.0", "stable"):
        push_document(at(source), media.OCI_INDEX, tag, manifests=listed)
    given = {"to": place(target), "ref": f"{place(source)}:1.0.0", "platforms": ["linux/amd64"]}
    first = run(options(**given), parallel=1)
    assert first["present"] == 0 and len(first["copied"]) == 2
    both = [{**given, "platforms": [], "to": f"{place(target)}:all"}, {**given, "to": f"{place(target)}:some"}]
    done = run(*(options(**each) for each in both), parallel=1)
    assert [each["digest"] for each in done["copied"]] == [children[1].descriptor.digest]


@pytest.mark.parametrize("target", ["target", "target.tar"])
def test_one_index_without_some_platforms_under_several_tags(tmp_path: Path, target: str) -> None:
    """Another index, of which other manifests are left out, comes between the tags of the first one."""
    source = tmp_path / "source"
    for name, tags in (("first", ("1.0.0", "3.0.0")), ("second", ("2.0.0",))):
        listed = [
            {
                **push(at(source), f"{name} {architecture}").descriptor.as_json(),
                "platform": {"os": "linux", "architecture": architecture},
            }
            for architecture in ("amd64", "arm64")
        ]
        for tag in tags:
            push_document(at(source), media.OCI_INDEX, tag, manifests=listed)
    entry = options(place(tmp_path / target), place(source), limit=0, platforms=["linux/amd64"])
    assert run(entry, parallel=1)["changed"] and not run(entry)["changed"]
    assert tags_at(tmp_path / target) == ["1.0.0", "2.0.0", "3.0.0"]


# -- targets that refuse


@pytest.mark.parametrize(
    ("status", "reason"),
    [(413, "OCIArtifactPushFailed"), (507, "OCIArtifactPushFailed"), (403, "AuthenticationFailed")],
)
def test_a_target_that_refuses_half_way(tmp_path: Path, server: FaultServer, status: int, reason: str) -> None:
    """The tag is not written, what arrived is not sent again, and other tags are copied."""
    released = publish(tmp_path / "source", "1.0.0", "1.1.0")
    layer = released["1.1.0"].layers[0].digest
    words = b'{"errors": [{"code": "DENIED", "message": "quota exceeded"}]}'
    server.script("PUT", f"digest={layer.replace(':', '%3A')}", Answer(status, {}, words))
    entry = options(f"{server.host}/org/app", place(tmp_path / "source"), limit=0)
    with pytest.raises(ItemsFailed, match="quota exceeded") as caught:
        run(entry, parallel=1)
    assert not caught.value.retryable, "nothing of it passes by itself"
    assert (caught.value.reason, server.tags) == (reason, {"1.0.0": released["1.0.0"].descriptor.digest})
    assert [each["tag"] for each in caught.value.details["refused"]] == ["1.1.0"]
    (refused,) = server.requests("PUT", f"digest={layer.replace(':', '%3A')}")
    assert [seen.path for seen in server.requests("DELETE", "/blobs/uploads/")] == [refused.path], "it takes no room"
    count = len(server.requests("PUT", "/blobs/uploads/"))
    done = run(entry)
    assert server.tags["1.1.0"] == released["1.1.0"].descriptor.digest and done["blobs"]["uploaded"] == 1
    assert len(server.requests("PUT", "/blobs/uploads/")) == count + 1


# -- what is known from an earlier task


def test_notes_of_an_earlier_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request for versions, one for others; and what the lists of tags show is looked at."""
    with FaultServer() as source, FaultServer() as target:
        versions = [f"1.{number}.0" for number in range(8)]
        publish(tmp_path / "made", *versions, "edge", "stable")
        run(options(f"{source.host}/org/app", place(tmp_path / "made"), limit=0))
        cache = tmp_path / "cache"
        entry = options(f"{target.host}/org/app", f"{source.host}/org/app", cache, limit=0)

        def second(given: CopyOptions = entry) -> tuple[dict[str, Any], list[str], list[str]]:
            counts = len(source.lines()), len(target.lines())
            done = run(given)
            return done, source.lines()[counts[0] :], target.lines()[counts[1] :]

        assert run(entry, check_mode=True)["changed"]
        assert second()[0]["changed"], "a check mode remembers nothing"
        done, asked, told = second()
        assert not done["changed"] and done["present"] == 10
        assert set(done["results"][0]["tags"].values()) == {"unchanged"}
        lists = ["GET /v2/org/app/tags/list?n=1000"]
        heads = [f"HEAD /v2/org/app/manifests/{tag}" for tag in ("edge", "stable")]
        assert (sorted(asked), told) == ([*lists, *heads], lists)

        # a channel that moved, a tag that the target lost, a signature that came later
        push(at(tmp_path / "made"), "new", "edge")
        run(options(f"{source.host}/org/app", place(tmp_path / "made"), tag="edge"))
        del target.tags["1.3.0"]
        signed = source.manifests[source.tags["1.5.0"]]
        sig = source.tags["1.5.0"].replace(":", "-") + ".sig"
        source.add_manifest(signed[1].replace(b"text/plain", b"text/other"), sig, signed[0])
        done, asked, told = second()
        tags = done["results"][0]["tags"]
        assert {tag for tag, became in tags.items() if became != "unchanged"} == {"1.3.0", "edge"}
        assert target.tags[sig] == source.tags[sig] and target.tags["edge"] == source.tags["edge"]
        assert not any("1.4.0" in line for line in [*asked, *told])
        assert not second()[0]["changed"]

        # without the cache, with force, and after a week the source is asked for versions as well
        fresh = options(entry.to, entry.reference.url, limit=0)
        forced = options(entry.to, entry.reference.url, cache, limit=0, force=True)
        for given in (fresh, forced):
            assert "HEAD /v2/org/app/manifests/1.4.0" in second(given)[1]
        monkeypatch.setattr(known, "MAX_AGE", -1.0)
        assert "HEAD /v2/org/app/manifests/1.4.0" in second()[1]


def test_one_artifact_that_is_known_is_asked_for_at_the_target(tmp_path: Path) -> None:
    with FaultServer() as source, FaultServer() as target:
        source.referrers = {}
        publish(tmp_path / "made", "1.0.0")
        run(options(f"{source.host}/org/app", place(tmp_path / "made"), tag="1.0.0"))
        entry = options(f"{target.host}/org/app", f"{source.host}/org/app", tmp_path / "cache", tag="1.0.0")
        assert copy(entry)["changed"]
        counts = len(source.lines()), len(target.lines())
        assert not copy(entry)["changed"]
        assert target.lines()[counts[1] :] == ["HEAD /v2/org/app/manifests/1.0.0"]
        digest = source.tags["1.0.0"]
        assert [line.partition("?")[0] for line in source.lines()[counts[0] :]] == [
            "GET /v2/org/app/tags/list",
            f"GET /v2/org/app/referrers/{digest}",
        ]
        target.tags["1.0.0"] = target.add_manifest(b'{"schemaVersion": 2, "layers": []}')
        with pytest.raises(TagImmutable):
            copy(entry)
        assert copy(options(entry.to, entry.reference.url, tmp_path / "cache", tag="1.0.0", force=True))["changed"]
        # a referrer that came later
        media_type, raw = source.manifests[digest]
        subject = b'{"subject": {"mediaType": "%s", "digest": "%s", "size": %d}, ' % (
            media_type.encode(),
            digest.encode(),
            len(raw),
        )
        attached = source.add_manifest(subject + raw[1:])
        size = len(source.manifests[attached][1])
        source.referrers[digest] = [{"mediaType": media_type, "digest": attached, "size": size}]
        assert [each["digest"] for each in copy(entry)["copied"]] == [attached]


# -- pruning


def test_prune(tmp_path: Path) -> None:
    """What the selection does not have any more goes, unless something else needs it."""
    source, target = tmp_path / "source", tmp_path / "target"
    publish(source, "1.0.0", "1.1.0", "2.0.0")
    own = publish(target, "0.9.0", "1.5.0", "1.6.0", "site")
    push(at(target), "content of 1.6.0", "keep")
    push(at(target), "signature", tag_of(own["1.5.0"], ".sig"))

    def mirror(prune: str, **given: Any) -> CopyOptions:
        return options(place(target), place(source), **{"semver": "1.x", "limit": 1, "prune": prune, **given})

    def gone(done: dict[str, Any]) -> dict[str, bool]:
        return {each["tag"]: each["removed"] for each in done["pruned"]}

    assert run(mirror("false"))["pruned"] == []
    reported = run(mirror("report"))
    assert not reported["changed"] and gone(reported) == {"1.5.0": False, "1.6.0": False}
    foreseen = run(mirror("true"), check_mode=True)
    assert foreseen["changed"] and gone(foreseen) == {"1.5.0": True, "1.6.0": True}
    # what another entry of the task wants there stays, as does everything where something failed
    older = options(place(target), place(source), semver="1.0.x", limit=1)
    run(older)
    assert gone(run(older, mirror("true"), check_mode=True)) == {"1.5.0": True, "1.6.0": True}
    assert gone(run(mirror("true"), check_mode=True)) == dict.fromkeys(("1.0.0", "1.5.0", "1.6.0"), True)
    with pytest.raises(ItemsFailed) as caught:
        run(options(place(target), place(source), tag="3.0.0"), mirror("true"))
    assert caught.value.details["pruned"] == [] and "as not all was copied" in caught.value.details["warnings"][0]
    with pytest.raises(NoMatch):
        copy_selection(mirror("true", semver="4.x"), 1)
    assert len(tags_at(target)) == 8

    done = run(mirror("true"))
    assert done["changed"] and gone(done) == dict.fromkeys(("1.0.0", "1.5.0", "1.6.0"), True)
    assert tags_at(target) == ["0.9.0", "1.1.0", "keep", "site"]
    assert at(target).fetch_manifest("keep") == own["1.6.0"]
    assert "1.5.0 " in done["diff"][0]["before"] and "1.5.0 " not in done["diff"][0]["after"]
    again = run(mirror("true"))
    assert not again["changed"] and again["pruned"] == []


def test_a_registry_that_refuses_to_delete(tmp_path: Path, server: FaultServer) -> None:
    publish(tmp_path / "old", "1.0.0")
    publish(tmp_path / "source", "1.1.0")
    to = f"{server.host}/org/app"
    run(options(to, place(tmp_path / "old"), limit=0))
    server.always("DELETE", "/manifests/", Answer(405, {}, b'{"errors": [{"code": "UNSUPPORTED"}]}'))
    with pytest.raises(ItemsFailed, match="storage.delete.enabled") as caught:
        run(options(to, place(tmp_path / "source"), limit=0, prune="true"))
    assert caught.value.reason == "DeletionRefused"
    assert caught.value.details["results"][0]["tags"] == {"1.1.0": "created"}, "it is copied all the same"
    assert set(server.tags) == {"1.0.0", "1.1.0"}


# -- the policy


def guarded(*rules: dict[str, Any]) -> Any:
    def no_verify(_given: Any) -> Any:
        raise AssertionError("no rule here asks for signatures")

    return parse_rules(Document("a test", list(rules)), no_verify)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"deny_tags": ["1.1.0"]}, "TagDenied"),
        ({"deny_digests": [digest_of(b"content of 1.1.0")]}, "DigestDenied"),
        ({"min_age": "7d"}, "AgeUnknown"),
        ({"window": "Mon 00:00-00:01", "immutable_tags": True}, "OutsideWindow"),
    ],
)
def test_rules_for_both_sides_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str, rule: dict[str, Any], reason: str
) -> None:
    monkeypatch.setenv("OCI_ARTIFACT_STATE_DIR", str(tmp_path / "state"))
    publish(tmp_path / "source", "1.0.0", "1.1.0")
    if "min_age" in rule:
        rule = {**rule, "age_from": ["created"]}
    policy = guarded({"match": place(tmp_path / side), **rule}, {"match": "*"})
    entry = options(place(tmp_path / "target"), place(tmp_path / "source"), limit=0, rules=policy)
    with pytest.raises(OciError) as caught:
        copy_selection(entry, 1)
    assert caught.value.reason == reason and caught.value.details["refused_by"]["match"] == place(tmp_path / side)
    is_for_one = reason in ("TagDenied", "DigestDenied")
    assert {each["tag"] for each in caught.value.details["refused"]} == (
        {"1.1.0"} if is_for_one else {"1.0.0", "1.1.0"}
    )
    if is_for_one:
        assert tags_at(tmp_path / "target") == ["1.0.0"]
    else:
        assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("side", ["source", "target"])
def test_what_is_denied_is_refused_where_it_is_in_place(tmp_path: Path, side: str) -> None:
    digest = publish(tmp_path / "source", "1.0.0")["1.0.0"].descriptor.digest
    to, url = place(tmp_path / "target"), place(tmp_path / "source")
    assert copy(options(to, url, tag="1.0.0"))["changed"]
    policy = guarded({"match": place(tmp_path / side), "deny_digests": [digest]}, {"match": "*"})
    with pytest.raises(OciError) as caught:
        copy(options(to, url, tag="1.0.0", rules=policy))
    assert caught.value.reason == "DigestDenied" and caught.value.details["refused_by"]["match"] == place(
        tmp_path / side
    )


@pytest.mark.parametrize("side", ["source", "target"])
def test_signatures_that_a_rule_asks_for(tmp_path: Path, side: str) -> None:
    """For either side, and beside what the task asks for."""
    publish(tmp_path / "source", "1.0.0")
    keys = [str(KEYS / name) for name in ("ed25519.pub", "p384.pub")]
    policy = parse_rules(
        Document("a test", [{"match": place(tmp_path / side), "verify": {"public_keys": keys[:1]}}]), parse_policy
    )
    to, url = place(tmp_path / "target"), place(tmp_path / "source")
    for own in (None, parse_policy({"public_keys": keys[1:]})):
        with pytest.raises(VerificationFailed):
            copy(options(to, url, tag="1.0.0", rules=policy, policy=own))
    assert not (tmp_path / "target").exists()


def test_a_channel_does_not_go_back(tmp_path: Path) -> None:
    publish(tmp_path / "source", "1.0.0", "1.1.0")
    to = f"{place(tmp_path / 'target')}:stable"
    policy = guarded({"match": place(tmp_path / "target"), "never_downgrade": True})
    assert copy(options(to, place(tmp_path / "source"), tag="1.1.0", rules=policy))["changed"]
    with pytest.raises(OciError) as caught:
        copy(options(to, place(tmp_path / "source"), tag="1.0.0", rules=policy, force=True))
    assert caught.value.reason == "DowngradeDenied"

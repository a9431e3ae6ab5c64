# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reference with a tag and a digest: the tag is kept in results, and asked for when the task wants to know of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    OciError,
    RegistryError,
    TagMoved,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    AuthOptions,
    CacheOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.info import InfoOptions, info
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.last_good import LastGood
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_degraded import archive
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    manifest_of,
)

QUICK = ConnectionOptions(insecure=True, timeout=60, retries=0)
NOBODY = AuthOptions(auth_config={"auths": {}})


class Place:
    """A registry with the tag 1.0, the digest that it named at first, and a directory to pull into."""

    def __init__(self, server: FaultServer, dest: Path) -> None:
        self.server, self.dest = server, dest
        self._seen = 0
        server.add_blob(b"{}")
        self.digest = self.publish("one")

    def publish(self, text: str) -> str:
        layer = archive(text)
        digest = self.server.add_blob(layer)
        descriptor = {"mediaType": "application/x.tar", "digest": digest, "size": len(layer)}
        return self.server.add_manifest(manifest_of(layers=[descriptor]).raw, "1.0")

    def reference(self, tag_moved: str, **given: str) -> ReferenceOptions:
        given = given or {"ref": f"{self.server.host}/org/app:1.0@{self.digest}"}
        return ReferenceOptions(tag_moved=tag_moved, **given)

    def pull(self, tag_moved: str = "ignore", given: dict[str, str] | None = None, **options: Any) -> PullResult:
        check_mode = options.pop("check_mode", False)
        wanted = PullOptions(
            self.reference(tag_moved, **(given or {})),
            str(self.dest),
            LayerSelector(),
            Limits(1 << 20, 100),
            auth=NOBODY,
            connection=QUICK,
            **options,
        )
        return pull(wanted, check_mode=check_mode)

    def info(self, tag_moved: str) -> dict[str, Any]:
        return info(InfoOptions(self.reference(tag_moved), auth=NOBODY, connection=QUICK))

    def asked(self) -> list[tuple[str, str]]:
        """The requests since the last call: method, and tag or digest."""
        found = [(seen.method, seen.target.rpartition("/")[2]) for seen in self.server.requests()]
        before, self._seen = self._seen, len(found)
        return found[before:]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FaultServer() as server:
        yield Place(server, tmp_path / "dest")


def test_the_tag_is_kept_and_not_asked_for(place: Place) -> None:
    revision = f"1.0@{place.digest}"
    assert place.pull().artifact["revision"] == revision
    place.publish("two")
    place.asked()
    again = place.pull()
    assert not again.changed and (again.artifact["tag"], again.artifact["revision"]) == ("1.0", revision)
    assert place.asked() == [] and again.warnings == []
    artifact = place.info("ignore")["artifact"]
    assert (artifact["tag"], artifact["digest"], artifact["revision"]) == ("1.0", place.digest, revision)
    assert all("1.0" not in path for _method, path in place.asked())


@pytest.mark.parametrize("tag_moved", ["warn", "fail"])
def test_a_tag_that_has_not_moved(place: Place, tag_moved: str) -> None:
    assert place.pull(tag_moved).changed
    place.asked()
    result = place.pull(tag_moved)
    assert (result.changed, result.warnings) == (False, [])
    assert place.asked() == [("HEAD", "1.0")]
    assert place.info(tag_moved)["warnings"] == []


def test_a_tag_that_has_moved(place: Place) -> None:
    place.pull()
    moved = place.publish("two")
    for _again in range(2):
        result = place.pull("warn")
        (warning,) = result.warnings
        assert f"The tag 1.0 of {place.server.host}/org/app names {moved} now" in warning and place.digest in warning
        assert not result.changed and result.artifact["digest"] == place.digest
    (warning,) = place.info("warn")["warnings"]
    assert moved in warning
    with pytest.raises(TagMoved, match=moved) as failure:
        place.info("fail")
    assert failure.value.reason == "TagMoved"
    (place.dest / "app").unlink()
    for check_mode in (True, False):
        with pytest.raises(TagMoved):
            place.pull("fail", check_mode=check_mode)
    assert not (place.dest / "app").exists(), "nothing is done before the tag is known"
    assert place.pull("warn").changed and (place.dest / "app").read_text() == "one"


def test_options_in_place_of_one_reference(place: Place) -> None:
    place.publish("two")
    given = {"url": f"{place.server.host}/org/app", "tag": "1.0", "digest": place.digest}
    with pytest.raises(TagMoved):
        place.pull("fail", given)
    assert place.pull("warn", given).artifact["revision"] == f"1.0@{place.digest}"


def test_a_tag_that_is_gone(place: Place) -> None:
    place.pull()
    place.server.always("HEAD", "/manifests/1.0", Answer(404))
    place.server.always("GET", "/manifests/1.0", Answer(404))
    with pytest.raises(TagMoved, match="is not there any more"):
        place.pull("fail")
    (warning,) = place.pull("warn").warnings
    assert "is not there any more" in warning


@pytest.mark.parametrize("status", [503, 401])
def test_no_answer_about_the_tag(place: Place, status: int) -> None:
    place.pull()
    for method in ("HEAD", "GET"):
        place.server.always(method, "/manifests/1.0", Answer(status))
    (warning,) = place.pull("warn").warnings
    assert "Whether the tag 1.0" in warning and "is not known" in warning
    with pytest.raises(OciError) as failure:
        place.pull("fail")
    assert not isinstance(failure.value, TagMoved)
    if status == 503:
        assert isinstance(failure.value, (ConnectionFailed, RegistryError))
        kept = place.pull("fail", last_good=LastGood())
        assert kept.as_result()["degraded"] is True


def test_a_cache_does_not_believe_the_reference(place: Place, tmp_path: Path) -> None:
    """The tag beside a digest is what the user wrote: a lookup of it in the cache must not find that digest."""
    place.pull(cache=CacheOptions(str(tmp_path / "cache")))
    index = json.loads((tmp_path / "cache/index.json").read_text())
    assert [entry["digest"] for entry in index["manifests"]] == [place.digest]
    assert "1.0" not in json.dumps(index)

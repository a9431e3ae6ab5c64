# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies that are killed at any moment, and copies at the same time, into each kind of place."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import time
import traceback
from pathlib import Path
from typing import Any, Callable

import pytest
from support.artifacts import Blob, Publisher
from support.servers import RegistryServer
from support.signed_release import Belongings, get, in_files, in_registry, sound_files

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.copy import CopyOptions, copy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions

pytestmark = pytest.mark.once

KILLS = 17  # of each kind of target
SIZE = 400_000
INSECURE = ConnectionOptions(insecure=True)


def run(source: str, to: str) -> dict[str, Any]:
    return copy(CopyOptions(ReferenceOptions(ref=source), to, connection=INSECURE, to_connection=INSECURE))


def start(action: Callable[[], object]) -> int:
    """Run it in a process of its own, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        action()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def publish(publisher: Publisher, tag: str, seed: int) -> None:
    """An index of two platforms, a tag of cosign and what refers to it, with blobs that take some time."""
    numbers = random.Random(seed)

    def push(name: str, **fields: Any) -> str:
        return publisher.publish(name, [Blob(numbers.randbytes(SIZE), "text/plain") for _number in range(2)], **fields)

    digests = [push(f"{tag}-{platform}") for platform in ("amd64", "arm64")]
    index = publisher.publish_index(tag, dict(zip(("linux/amd64", "linux/arm64"), digests)))
    for digest in (index, digests[0]):
        push(digest.replace(":", "-") + ".sig")
    size = len(get(f"http://{publisher.name.replace('/', '/v2/', 1)}/manifests/{digests[1]}") or b"")
    subject = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digests[1], "size": size}
    referrer = push(f"{tag}-sbom", subject=subject)
    publisher.publish_index(digests[1].replace(":", "-"), {"unknown/unknown": referrer})


class Target:
    """A place to copy to, and what is there."""

    def __init__(self, kind: str, folder: Path, registry: RegistryServer) -> None:
        self.kind = kind
        self._folder = folder
        self._registry = registry
        self._rounds = 0
        self.renew()

    def renew(self) -> None:
        """Begin with nothing."""
        self._rounds += 1
        self._name = f"interrupted/{self.kind}-{self._rounds}"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._path = self._folder / ("it.tar" if self.kind == "archive" else "it")
        self.place = (
            f"oci-{self.kind}:{self._path}" if self.kind != "registry" else f"{self._registry.host}/{self._name}"
        )

    def found(self, tag: str) -> Belongings | None:
        """What stands under the tag, which is complete; None when there is no such tag, and nothing half-way."""
        if self.kind == "registry":
            api = f"http://{self._registry.host}/v2/{self._name}"
            if get(f"{api}/manifests/{tag}") is None:
                return None
            found = in_registry(self._registry.host, self._name, tag)
            for digest in found.blobs:
                assert f"sha256:{hashlib.sha256(get(f'{api}/blobs/{digest}') or b'').hexdigest()}" == digest
            return found
        if not self._path.exists():
            return None
        return in_files(self._path, tag) if tag in sound_files(self._path)[1] else None

    def check_tidy(self) -> None:
        """There is nothing but the archive, or what belongs to a layout."""
        assert [each.name for each in self._folder.iterdir()] in ([self._path.name], [])
        if self.kind == "layout":
            assert sorted(each.name for each in self._path.iterdir()) == ["blobs", "index.json", "oci-layout"]


@pytest.fixture(params=["layout", "archive", "registry"])
def target(request: pytest.FixtureRequest, tmp_path: Path, registry: RegistryServer) -> Target:
    return Target(request.param, tmp_path / "target", registry)


@pytest.fixture(scope="module")
def origin(registry: RegistryServer) -> Publisher:
    """Four releases."""
    publisher = Publisher(registry.host, "interrupted/origin")
    for number in range(4):
        publish(publisher, f"{number}.0.0", number)
    return publisher


def test_a_copy_killed_at_any_moment_leaves_nothing_half_way(
    target: Target, origin: Publisher, registry: RegistryServer
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"the seed of the moments is {seed}")
    moments, tag = random.Random(seed), "1.0.0"
    wanted = in_registry(registry.host, "interrupted/origin", tag)
    began = time.monotonic()
    assert os.waitpid(start(lambda: run(f"{origin.name}:{tag}", target.place)), 0)[1] == 0
    duration, kills = time.monotonic() - began, 0
    assert target.found(tag) == wanted
    target.renew()
    for _attempt in range(20 * KILLS):
        child = start(lambda: run(f"{origin.name}:{tag}", target.place))
        time.sleep(moments.uniform(0, duration))
        os.kill(child, signal.SIGKILL)
        code = os.waitpid(child, 0)[1]
        assert code in (0, signal.SIGKILL)
        kills += code == signal.SIGKILL
        assert target.found(tag) in (wanted, *([] if code == 0 else [None]))
        # what was left half-way is gone on with, now and then more than once
        if code == 0 or kills == KILLS or moments.random() < 0.5:
            began = time.monotonic()
            run(f"{origin.name}:{tag}", target.place)
            assert target.found(tag) == wanted
            target.check_tidy()
            assert not run(f"{origin.name}:{tag}", target.place)["changed"]
            if kills == KILLS:
                return
            target.renew()
    pytest.fail(f"only {kills} of the copies were killed")


def test_copies_at_the_same_time_lose_nothing(target: Target, origin: Publisher, registry: RegistryServer) -> None:
    """Four processes, two of which copy the same."""
    tags = ("0.0.0", "1.0.0", "2.0.0", "2.0.0")
    ready, go = os.pipe()

    def copy_one(tag: str) -> None:
        os.close(go)
        os.read(ready, 1)
        run(f"{origin.name}:{tag}", target.place)

    children = [start(lambda tag=tag: copy_one(tag)) for tag in tags]  # type: ignore[misc]
    os.close(go)
    os.close(ready)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(tags)
    for tag in set(tags):
        wanted = in_registry(registry.host, "interrupted/origin", tag)
        found = target.found(tag)
        assert found is not None
        assert found.manifests.items() >= wanted.manifests.items() and found.tags.items() >= wanted.tags.items()
        assert not run(f"{origin.name}:{tag}", target.place)["changed"]
    target.check_tidy()

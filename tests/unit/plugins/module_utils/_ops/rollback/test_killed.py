# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls that keep revisions, and rollbacks, that are killed at any of their system calls: the next run completes them.

A child of the test's process does the work, and kills itself at a chosen one of the calls that change something or open
a file. So what is hit does not depend on how fast the machine is.
"""

from __future__ import annotations

import json
import os
import random
import signal
import traceback
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.host_options import parse_health
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.rollback import (
    RollbackOptions,
    rollback,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_decisions import Lab
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_digests import (
    digest_of,
    publish,
)

pytestmark = pytest.mark.once

KILLS = 60
CALLS = ("open", "mkdir", "rename", "replace", "unlink", "rmdir", "link", "chmod", "fchmod", "write", "symlink")
REVISIONS = {
    "1": {**{f"old{n}": f"{n}" for n in range(6)}, **{f"both{n}": "one" for n in range(6)}, "gone/deep/a": "a"},
    "2": {**{f"both{n}": "two" for n in range(6)}, "old0/in": "x", "whole/a": "a", "whole/b/c": "c"},
    "3": {**{f"both{n}": "three" for n in range(6)}, "old1": "new", "gone": "a file now"},
}
FOREIGN = {"foreign": "foreign", "whole-foreign/f": "f"}


def killed_at(number: int, work: Callable[[], Any]) -> int:
    """Do something in a child that is killed at its ``number``-th call, 0 for never.

    Return how many calls it made, 0 when it was killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        count = 0
        code = 70

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*arguments: Any, **more: Any) -> Any:
                nonlocal count
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **more)

            return wrapper

        try:
            report = os.write
            for name in CALLS:
                original = getattr(os, name)
                setattr(os, name, counted(original))
                for abilities in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
                    if original in abilities:
                        abilities.add(getattr(os, name))
            work()
            report(writing, str(count).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as stream:
        calls = stream.read()
    _pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return int(calls or 0)


class Host(Lab):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.layout / "index.json").unlink()
        for tag, files in REVISIONS.items():
            publish(self.layout, tag, files)
        for name, text in FOREIGN.items():
            (self.dest / name).parent.mkdir(parents=True, exist_ok=True)
            (self.dest / name).write_text(text)
        for tag in REVISIONS:
            self.pull(tag, keep=3)

    def check(self, tag: str) -> None:
        """``dest`` holds a revision and what is foreign; what is kept is whole, and nothing else is left."""
        found = {
            str(path.relative_to(self.dest)): path.read_text()
            for path in self.dest.rglob("*")
            if path.is_file() and ".oci-artifact" not in path.parts
        }
        assert found == {**REVISIONS[tag], **FOREIGN}
        control = self.dest / ".oci-artifact"
        assert sorted(os.listdir(control)) == ["kept", "lock", "state"]
        record = json.loads((control / "state").read_text())
        assert record["pending"] == {} and record["artifact"]["tag"] == tag
        standing = record["standing"]
        (current,) = (each for each in standing["history"] if each["number"] == standing["current"])
        assert current["tag"] == tag and len(standing["history"]) <= 3 and "going" not in standing
        wanted = {blob for each in standing["history"] for blob in each["blobs"]}
        kept = {path.name.replace("-", ":"): path.read_bytes() for path in (control / "kept").iterdir()}
        assert set(kept) == wanted and all(digest_of(content) == digest for digest, content in kept.items())


def test_a_kill_at_any_call_is_healed_by_the_next_run(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.check("3")
    generator = random.Random(20261129)
    healthy = parse_health({"command": "true", "timeout": "60s", "remediation": "rollback"})
    at, during_placement, kills = "3", 0, 0
    while kills < KILLS:
        tag = generator.choice([each for each in REVISIONS if each != at])
        is_pull = bool(generator.getrandbits(1))

        def work(tag: str = tag, is_pull: bool = is_pull) -> None:
            if is_pull:
                host.pull(tag, keep=3, health=healthy if generator.getrandbits(1) else None)
            else:
                rollback(RollbackOptions(str(host.dest), to=f"{tag}@{host.digest(tag)}", hold=False))

        # the calls of such a change, about which the child may not tell when it is killed
        if killed_at(generator.randrange(1, 260), work) == 0:
            kills += 1
            during_placement += bool(json.loads(host.record.read_text())["pending"])
            # nothing that is foreign was touched, and what is there is of one revision or the other
            for name, text in FOREIGN.items():
                assert (host.dest / name).read_text() == text
            work()
        host.check(tag)
        at = tag
        if generator.random() < 0.2:
            # the task of the other kind, too, changes nothing then
            work()
            host.check(tag)
    assert during_placement > KILLS // 10, "hardly a kill came while files were being placed"

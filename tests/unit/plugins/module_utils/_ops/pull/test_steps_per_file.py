# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many system calls, and steps of the interpreter, a pull takes for each file of a new tree: counts, no times.

Counted are two pulls, one with twice the files of the other. What they differ in is what the files cost; all else is
the same. Whoever raises a bound says in review what for.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import pipeline
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.small_artifacts import publish_layer

pytestmark = pytest.mark.once

FILES = 300
# Open, write, fstat and close, and a fraction for what lies between two pieces of the archive; and calls of functions,
# of Python and of C, system calls included.
BELOW = (4.1, 72)
# a file at the top of dest is renamed alone
AT_TOP = (5.1, 85)


def archive(count: int, folder: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as packed:
        if folder:
            entry = tarfile.TarInfo(folder.rstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            packed.addfile(entry)
        for number in range(count):
            entry = tarfile.TarInfo(f"{folder}file-{number:05}.yaml")
            content = f"name: {number}\n".encode() * 20
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return gzip.compress(target.getvalue(), mtime=0)


def counted(place: Path, count: int, folder: str) -> tuple[Counter[str], int]:
    """System calls by name, and all calls, of a pull of so many files into an empty directory."""
    media_type = "application/vnd.oci.image.layer.v1.tar+gzip"
    publish_layer(place / "layout", str(count), archive(count, folder), media_type)
    reference = ReferenceOptions(ref=f"oci-layout:{place / 'layout'}:{count}")
    options = PullOptions(
        reference, str(place / f"dest-{count}"), selector=LayerSelector(), limits=Limits(1 << 24, 10_000)
    )
    system_calls: Counter[str] = Counter()
    calls = 0

    def count_call(_frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if event == "c_call" and getattr(argument, "__module__", "") == "posix":
                system_calls[argument.__name__] += 1

    threading.setprofile(count_call)
    sys.setprofile(count_call)
    try:
        result = pull(options)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert result.changed and len(list((place / f"dest-{count}" / folder).glob("*.yaml"))) == count
    return system_calls, calls


def cost(place: Path, folder: str) -> tuple[dict[str, float], float]:
    """System calls by name, and all calls, for each file."""
    counted(place, 1, folder)  # what is imported once
    few, few_calls = counted(place, FILES, folder)
    many, many_calls = counted(place, 2 * FILES, folder)
    each = {name: (many[name] - few[name]) / FILES for name in many if many[name] != few[name]}
    return each, (many_calls - few_calls) / FILES


@pytest.mark.parametrize(("folder", "bounds"), [("app/", BELOW), ("", AT_TOP)], ids=["below", "at the top"])
def test_a_file_takes_few_steps(tmp_path: Path, folder: str, bounds: tuple[float, float]) -> None:
    assert 2 * FILES * 1024 < pipeline.START_SIZE, "no thread takes turns with this one"
    each, calls = cost(tmp_path, folder)
    assert {"open", "write", "close"} <= set(each), "what is counted is what is used"
    assert sum(each.values()) <= bounds[0], each
    assert calls <= bounds[1], calls

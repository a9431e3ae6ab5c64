# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory that stands in for a destination of another machine, and what a description of one cannot do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.stand_in import as_of_host, make_stand_in
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.state import FORMAT

DIGEST = "sha256:" + "ab" * 32


def described(files: dict[str, list[Any]], **more: Any) -> dict[str, Any]:
    record = {"format": FORMAT, "key": {"url": "u"}, "artifact": {}, "files": files, "pending": {}}
    base = {"root": "/srv/app", "control": ".oci-artifact", "name": "", "record": json.dumps(record)}
    return {**base, "texts": {}, "altered": [], "missing": [], **more}


def test_sizes_times_texts_and_links(tmp_path: Path) -> None:
    files = {
        "a.txt": ["file", 0o640, 3, DIGEST, "", 10**9],
        "big": ["file", 0o644, 10**9, DIGEST, "", 2 * 10**9],
        "changed": ["file", 0o644, 5, DIGEST, "", 3 * 10**9],
        "gone": ["file", 0o644, 5, DIGEST, "", 10**9],
        "sub": ["directory", 0o755, 0, "", "", 0],
        "sub/link": ["symlink", 0o777, 0, "", "../a.txt", 0],
    }
    more = {"texts": {"a.txt": "abc"}, "altered": ["changed"], "missing": ["gone"]}
    folder = tmp_path / "dest"
    assert make_stand_in(str(folder), described(files, **more)) == f"{folder}/"
    assert (folder / "a.txt").read_text() == "abc" and (folder / "sub/link").read_text() == "abc"
    assert (folder / "sub").stat().st_mode & 0o777 == 0o755
    status = (folder / "big").stat()
    assert (status.st_size, status.st_mtime_ns, status.st_blocks < 100) == (10**9, 2 * 10**9, True)
    assert (folder / "changed").stat().st_mtime_ns != 3 * 10**9 and not (folder / "gone").exists()
    diff = [{"before_header": f"{folder}/big", "before": "file of 1000000000 bytes, sha256:000000000000\n"}]
    found = as_of_host({"diff": diff, "artifact": {"path": str(folder)}}, str(folder), described(files))
    expected = {"before_header": "/srv/app/big", "before": "file of 1000000000 bytes, sha256:abababababab\n"}
    assert found == {"diff": [expected], "artifact": {"path": "/srv/app"}}


def test_nothing_outside_is_written_to(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link, file = ["symlink", 0o777, 0, "", str(outside), 0], ["file", 0o777, 3, DIGEST, "", 10**9]
    hostile = [{"a": link, "a/b": file}, {"../outside/b": file}, {str(outside / "b"): file}]
    for number, files in enumerate(hostile):
        make_stand_in(str(tmp_path / f"dest{number}"), described(files))
        assert not list(outside.iterdir())
    for control in ("../x", "..", "", "a/b"):
        with pytest.raises(ValueError, match="control directory"):
            make_stand_in(str(tmp_path / "dest"), described({}, control=control))

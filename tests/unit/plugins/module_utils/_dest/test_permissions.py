# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modes as chmod(1) understands them, and what is no mode, owner or group."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import (
    Permissions,
    parse_permissions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption

ACTIONS = st.tuples(st.sampled_from("+-="), st.sets(st.sampled_from("rwxX"))).map(
    lambda pair: pair[0] + "".join(pair[1])
)
AUDIENCES = st.sets(st.sampled_from("ugoa"), min_size=1).map("".join)
CLAUSES = st.tuples(AUDIENCES, st.lists(ACTIONS, min_size=1, max_size=2).map("".join)).map("".join)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(CLAUSES, min_size=1, max_size=3).map(",".join),
    st.integers(min_value=0, max_value=0o777),
    st.booleans(),
)
def test_symbolic_modes_mean_what_chmod_does(tmp_path: Path, mode: str, before: int, is_directory: bool) -> None:
    target = tmp_path / ("directory" if is_directory else "file")
    target.mkdir(exist_ok=True) if is_directory else target.touch()
    os.chmod(target, before)
    subprocess.run(["chmod", "--", mode, str(target)], check=True)
    found = parse_permissions(mode, "", "").mode_for(before, is_directory)
    assert oct(found) == oct(stat.S_IMODE(target.stat().st_mode))


@pytest.mark.parametrize(
    ("mode", "file_mode", "directory_mode"),
    [
        (None, 0o600, 0o700),
        ("", 0o600, 0o700),
        ("0640", 0o640, 0o750),
        ("640", 0o640, 0o750),
        ("0o604", 0o604, 0o705),
        (0o640, 0o640, 0o750),
        ("0", 0, 0),
        ("0777", 0o777, 0o777),
        ("u=rwX,g=rX,o=", 0o640, 0o750),
    ],
)
def test_modes(mode: object, file_mode: int, directory_mode: int) -> None:
    permissions = parse_permissions(mode, "", "")
    assert permissions.mode_for(0o600, is_directory=False) == file_mode
    assert permissions.mode_for(0o700, is_directory=True) == directory_mode


@pytest.mark.parametrize(
    "mode", ["4755", "1777", "1000", "99", "0o888", "rwx", "u=s", "u+t", "x=r", "u", "٧٧", "-1", -1, 1000, "=;"]
)
def test_what_is_no_mode(mode: object) -> None:
    with pytest.raises(InvalidOption):
        parse_permissions(mode, "", "")


def test_owners() -> None:
    assert parse_permissions(None, "root", "0") == Permissions(uid=0, gid=0)
    assert parse_permissions(None, "4000000000", "") == Permissions(uid=4_000_000_000)
    for name in ("no such user", "-1", "4294967295", "99999999999999999999", "²"):
        with pytest.raises(InvalidOption):
            parse_permissions(None, name, "")
        with pytest.raises(InvalidOption):
            parse_permissions(None, "", name)

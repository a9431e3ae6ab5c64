# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.home import in_home
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.config_file import default_path
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.find import find_credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.seen import state_directory

OF_TOOLS = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME")


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a user without an entry and without HOME, as a container may have."""

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    for name in ("HOME", "OCI_ARTIFACT_STATE_DIR", *OF_TOOLS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_home_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert in_home(".cache/x", "'cache_dir'") == f"{tmp_path}/.cache/x"


def test_without_a_home_nothing_has_a_place_in_it(homeless: Path) -> None:
    for instead, place in (("'config_file'", default_path), ("OCI_ARTIFACT_STATE_DIR", state_directory)):
        with pytest.raises(StorageError) as failed:
            place()
        text = str(failed.value)
        assert f"the user {os.geteuid()} has no entry with a home directory" in text and instead in text
    assert list(homeless.iterdir()) == []


@pytest.mark.parametrize("home", [None, "relative"])
def test_a_directory_named_as_a_home_is_none(home: str | None, homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the working directory, where a project is, is not a login of the user."""
    if home:
        monkeypatch.setenv("HOME", home)
    for folder in ("~", "relative"):
        (homeless / folder / ".docker").mkdir(parents=True)
        for name in (".docker/config.json", ".dockercfg"):
            (homeless / folder / name).write_text("{not json")
    assert find_credential(AuthOptions(), "registry.example.com", "x") is None

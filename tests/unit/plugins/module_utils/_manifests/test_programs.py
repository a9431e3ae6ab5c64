# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kustomize and SOPS, where they do not end."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hanging import Hanging

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.sops import run_sops
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    BuildTimedOut,
    ManifestsInvalid,
    MissingDependency,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import run_program
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.kustomize import kustomize_build
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.sops import decrypted_below
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.manifests import decryption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.manifests.decryption import Decryption

ENCRYPTED = b'{"data": "ENC[AES256_GCM,data:AA==]", "sops": {"mac": "x"}}'
NAME = "ansible_collections.community.sops.plugins.module_utils.sops"


class SopsError(Exception):
    pass


class Sops:
    """As that of community.sops: an AnsibleModule, where it gets one, runs the program."""

    @staticmethod
    def decrypt(_file: None, *, content: bytes, get_option_value: Any, module: Any, **_more: Any) -> bytes:
        words = [get_option_value("sops_binary"), "decrypt", "/dev/stdin"]
        status, output, errors = module.run_command(
            words, environ_update={"KEY": "k"}, cwd=None, encoding=None, data=content, binary_data=True
        )
        if status:
            raise SopsError(errors.decode())
        found: bytes = output
        return found


@pytest.fixture(autouse=True)
def sops(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType(NAME)
    module.Sops, module.SopsError = Sops, SopsError
    monkeypatch.setitem(sys.modules, NAME, module)


def script(folder: Path, text: str) -> dict[str, str]:
    program = folder / "sops"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {"sops_binary": str(program)}


def test_sops_decrypts(tmp_path: Path) -> None:
    assert run_sops(b"abc", "yaml", "a.yaml of it", script(tmp_path, "cat; echo $KEY")) == b"abck\n"
    with pytest.raises(ManifestsInvalid, match=r"cannot decrypt a.yaml of it: no key"):
        run_sops(b"", "yaml", "a.yaml of it", script(tmp_path, "echo no key >&2; exit 1"))
    with pytest.raises(ManifestsInvalid, match=r"SOPS makes more than 67108864 bytes of a.yaml of it"):
        run_sops(b"", "yaml", "a.yaml of it", script(tmp_path, "exec yes"))
    with pytest.raises(MissingDependency, match="cannot be run: No such file"):
        run_sops(b"", "yaml", "a.yaml of it", {"sops_binary": "/none/sops"})


def test_sops_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = Hanging(tmp_path)
    hanging.set_clock(monkeypatch, run_program)
    options = {"sops_binary": str(hanging.program)}

    def decrypt(data: bytes, kind: str, what: str) -> bytes:
        return run_sops(data, kind, what, options)

    # what lies beside the path may be for another cluster, which is not known here
    with pytest.raises(BuildTimedOut, match=r"SOPS has not decrypted other/a.json of it after 60 s, and was ended"):
        decrypted_below({"mine/a.yaml": b"a", "other/a.json": ENCRYPTED}, "mine", "it", decrypt, is_built=True)
    assert hanging.has_left_nothing()


def test_all_files_of_a_set_have_one_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    now, lefts = [0.0], []
    monkeypatch.setattr(decryption, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    def slow(data: bytes, _kind: str, _what: str, _options: Any, left: float) -> bytes:
        lefts.append(left)
        now[0] += 400
        return data

    decrypt: Any = Decryption(None, "ns", {}, slow)  # type: ignore[arg-type]
    for number in range(3):
        decrypt(b"{}", "json", f"{number}.json of it")
    assert lefts == [900, 500, 100]
    with pytest.raises(BuildTimedOut, match="The files of it have not been decrypted after 900 s"):
        decrypt(b"{}", "json", "3.json of it")


def test_kustomize_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = Hanging(tmp_path)
    hanging.set_clock(monkeypatch, run_program)
    with pytest.raises(BuildTimedOut, match=r"hangs has not built it after 120 s, and was ended") as failed:
        kustomize_build({"kustomization.yaml": b"resources: []"}, "", {"kustomize": str(hanging.program)}, "it")
    assert failed.value.reason == "BuildFailed" and failed.value.retryable
    assert hanging.has_left_nothing()


def test_what_kustomize_prints_is_bounded(tmp_path: Path) -> None:
    options = {"kustomize": script(tmp_path, "exec yes")["sops_binary"]}
    with pytest.raises(ManifestsInvalid, match="kustomize makes more than 67108864 bytes of it"):
        kustomize_build({"kustomization.yaml": b"resources: []"}, "", options, "it")

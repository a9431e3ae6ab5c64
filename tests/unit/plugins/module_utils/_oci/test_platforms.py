# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which manifest of an index is taken."""

from __future__ import annotations

import platform

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidContent, InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import platforms
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor


def index(*names: str) -> list[Descriptor]:
    entries = []
    for number, name in enumerate(names):
        parts = dict(zip(("os", "architecture", "variant"), name.split("/"))) if name else {}
        entries.append(Descriptor("", f"sha256:{number:064d}", 1, platform=parts))
    return entries


@pytest.mark.parametrize(
    ("offered", "wanted", "chosen"),
    [
        (("linux/amd64", "linux/arm64"), "linux/arm64", 1),
        (("linux/arm64/v8",), "linux/arm64", 0),
        (("linux/arm64",), "linux/arm64/v8", 0),
        (("linux/arm/v6", "linux/arm"), "linux/arm/v7", 1),
        (("unknown/unknown", "linux/amd64"), "linux/amd64", 1),
        (("linux/amd64", "linux/amd64"), "linux/amd64", 0),
        (("",), "plan9/mips", 0),
        (("", "linux/amd64"), "linux/amd64", 1),
    ],
)
def test_choice(offered: tuple[str, ...], wanted: str, chosen: int) -> None:
    entries = index(*offered)
    assert platforms.select(entries, wanted, "x") is entries[chosen]


@pytest.mark.parametrize("offered", [(), ("linux/arm64",), ("", ""), ("", "linux/arm64"), ("linux/amd64/v2",)])
def test_no_choice(offered: tuple[str, ...]) -> None:
    with pytest.raises(InvalidContent, match="index without a manifest for linux/amd64"):
        platforms.select(index(*offered), "linux/amd64", "x")


@pytest.mark.parametrize(
    ("machine", "found"),
    [("x86_64", "linux/amd64"), ("aarch64", "linux/arm64"), ("armv7l", "linux/arm/v7"), ("riscv64", "linux/riscv64")],
)
def test_host(monkeypatch: pytest.MonkeyPatch, machine: str, found: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    assert platforms.host() == found


def test_check() -> None:
    assert platforms.check("linux/arm/v7") == "linux/arm/v7"
    for text in ("linux", "linux/", "/amd64", "Linux/amd64", "linux/amd64/v1/x", "linux/amd64\n"):
        with pytest.raises(InvalidOption):
            platforms.check(text)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes from a relay host is checked, and what it breaks is said with its name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    DigestMismatch,
    InvalidOption,
    OciError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.relay import Relay

DIGEST = digest_of(b"layer")


class Host:
    """The relay as its connection has it: what it sends for the deliveries, and for every layer."""

    def __init__(self, made: bytes, layer: bytes = b"") -> None:
        self.made, self.layer = made, layer
        self.fetched: list[str] = []
        self.is_closed = False
        self._connection = SimpleNamespace(
            _shell=SimpleNamespace(join_path=lambda *parts: "/".join(parts)), fetch_file=self._send, close=self._close
        )

    def _make_tmp_path(self) -> str:
        return "/there"

    def _remove_tmp_path(self, path: str, force: bool = False) -> None:
        assert (path, force) == ("/there", True)

    def _execute_module(self, **_given: Any) -> dict[str, Any]:
        return {"store": "/there/store"}

    def _send(self, source: str, target: str) -> None:
        self.fetched.append(source)
        Path(target).write_bytes(self.made if source == "/there/made" else self.layer)

    def _close(self) -> None:
        self.is_closed = True


def provided(host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    relay = Relay(SimpleNamespace(), "edge", {"hostvars": {"edge": {}}})
    monkeypatch.setattr(relay, "_opened", lambda: (host, {}))
    return relay.provide({}, "fetch", "", str(folder / "made"), str(folder / "store"))


def fetched(digest: str, size: int) -> bytes:
    return json.dumps({"items": [{"is_fetched": True, "blobs": {digest: size}}]}).encode()


def test_a_layer_is_kept_with_the_bytes_of_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(fetched(DIGEST, 5), b"layer")
    assert provided(host, tmp_path, monkeypatch)["store"] == str(tmp_path / "store")
    assert (tmp_path / "store/blobs/sha256" / DIGEST[7:]).read_bytes() == b"layer"
    assert host.is_closed


@pytest.mark.parametrize("layer", [b"", b"laye", b"layers", b"LAYER"])
def test_other_bytes_than_it_has_verified_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: bytes
) -> None:
    with pytest.raises(DigestMismatch, match="the relay host edge sent"):
        provided(Host(fetched(DIGEST, 5), layer), tmp_path, monkeypatch)
    assert os.listdir(tmp_path / "store/blobs/sha256") == []


@pytest.mark.parametrize("digest", ["../../../../outside", "sha256:../../outside", "sha256:" + "A" * 64])
def test_what_is_not_a_digest_names_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    host = Host(fetched(digest, 5), b"layer")
    with pytest.raises(OciError, match="is not a digest"):
        provided(host, tmp_path, monkeypatch)
    assert host.fetched == ["/there/made"] and host.is_closed
    assert os.listdir(tmp_path) == ["made"]


@pytest.mark.parametrize(
    "made",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        b'{"items": 5}',
        b'{"items": ["a"]}',
        b'{"items": [{"is_fetched": true, "blobs": 5}]}',
        b'{"items": [{"failure": "words"}]}',
        b"[" * 200_000,
    ],
    ids=["empty", "cut", "bytes", "list", "mapping", "number", "text", "blobs", "failure", "nested"],
)
def test_what_cannot_be_understood_is_said_with_the_name_of_the_relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: bytes
) -> None:
    host = Host(made)
    with pytest.raises(InvalidOption, match="relay host edge has made cannot be understood"):
        provided(host, tmp_path, monkeypatch)
    assert host.is_closed


def test_a_relay_out_of_reach_is_said_in_whole_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(b"")

    def refuse(*_given: Any) -> None:
        raise AnsibleConnectionFailure("Connection refused")

    monkeypatch.setattr(host, "_make_tmp_path", refuse)
    with pytest.raises(ConnectionFailed, match=r"edge, which 'via' names, cannot be reached: Connection refused\. L"):
        provided(host, tmp_path, monkeypatch)

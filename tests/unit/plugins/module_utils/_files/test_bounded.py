# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of all kinds, of the limit's size and larger, and PEM text in their place."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.bounded import (
    FileRefused,
    pieces,
    read_file,
    read_pem,
)

PEM = "-----BEGIN X-----\n"


def refusal(path: str, limit: int = 10) -> str:
    with pytest.raises(FileRefused) as failure:
        read_file(path, limit)
    return str(failure.value)


def test_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert read_file(str(path), 10) == b"x" * 10
    assert refusal(str(path), 9) == "has more than 9 bytes"
    assert refusal("/dev/zero") == "has more than 10 bytes"


def test_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_file("~/file", 1) == read_pem("~/file", 1) == b"x"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(str(tmp_path / "none")) == "cannot be read: No such file or directory"
    assert refusal(str(tmp_path)) == "cannot be read: Is a directory"
    assert refusal("a\0b") == "cannot be read: embedded null byte"
    assert refusal("secret\ud800") == "cannot be read: it is not a path"


def test_a_pipe_that_nobody_writes_to_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_file(str(tmp_path / "pipe"), 10, wait=False) == b""
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        # somebody has it open, and has written nothing yet
        assert read_file(str(tmp_path / "pipe"), 10, wait=False) == b""
    finally:
        os.close(writer)


def test_pem_text_has_the_limit_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(PEM)
    assert read_pem(PEM, len(PEM)) == read_pem(str(tmp_path / "file"), len(PEM)) == PEM.encode()
    for source in (PEM, str(tmp_path / "file")):
        with pytest.raises(FileRefused, match=f"^has more than {len(PEM) - 1} bytes$"):
            read_pem(source, len(PEM) - 1)


def test_pieces() -> None:
    assert list(pieces(io.BytesIO(b"12345"), 2)) == [b"12", b"34", b"5"]
    stream = io.BytesIO(b"12345")
    stream.seek(3)
    assert list(pieces(stream)) == [b"45"]
    assert list(pieces(stream)) == []

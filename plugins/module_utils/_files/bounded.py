# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are read whole, up to a limit, and streams that are read in pieces.

The limits are far above what such files have: they keep a wrong path from filling the memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

# Bytes of each kind of file that users name.
MAX_KEY_FILE = 64 * 1024
MAX_CLOUD_FILE = 256 * 1024  # a key, a certificate or a token for a cloud
MAX_PEM = 1024 * 1024  # the certificate and the key of a connection
MAX_POLICY_FILE = 1024 * 1024  # a trusted root or a trust policy
MAX_CERTIFICATES = 4 * 1024 * 1024  # authorities of a connection or a trust store
MAX_LOGIN_FILE = 4 * 1024 * 1024  # a docker config.json

# helm, pkg/chart/loader/archive.go: what it accepts unpacked; packed, it is never more
MAX_CHART = 100 * 1024 * 1024

READ_SIZE = 1024 * 1024


class FileRefused(Exception):
    """Why a file is not used. The text continues the file's name in a message: "cannot be read: …", "has more …"."""


def read_file(path: str, limit: int, *, wait: bool = True) -> bytes:
    """Return the content of a file of at most ``limit`` bytes; its path is :func:`expanded`, links are followed.

    :param wait: for somebody to write to a pipe; without it, a pipe that nobody writes to is empty.
    :raises FileRefused: when it cannot be read, or is larger.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags if wait else flags | os.O_NONBLOCK)

    try:
        with open(expanded(path), "rb", opener=opener) as stream:
            content = stream.read(limit + 1) or b""
    except OSError as exc:
        raise FileRefused(f"cannot be read: {exc.strerror or type(exc).__name__}") from None
    except UnicodeEncodeError:
        raise FileRefused("cannot be read: it is not a path") from None
    except ValueError as exc:  # a NUL in the path
        raise FileRefused(f"cannot be read: {exc}") from None
    if len(content) > limit:
        raise FileRefused(f"has more than {limit} bytes")
    return content


def expanded(path: str) -> str:
    """Return a path that a user named, with variables of the environment and ``~`` replaced.

    It is what Ansible does with options of the type ``path``. A variable that is not set stays as it is written.
    """
    return os.path.expanduser(os.path.expandvars(path))


def is_pem(text: str) -> bool:
    """True for an option that is PEM text, and not the path of a file with it."""
    return "-----BEGIN" in text


def read_pem(path_or_text: str, limit: int) -> bytes:
    """Return PEM text that is given as such, or the content of the file that has it.

    :raises FileRefused: as :func:`read_file`, and for a text of more than ``limit`` bytes.
    """
    if not is_pem(path_or_text):
        return read_file(path_or_text, limit)
    text = path_or_text.encode("utf-8", "replace")
    if len(text) > limit:
        raise FileRefused(f"has more than {limit} bytes")
    return text


def pieces(stream: BinaryIO, size: int = READ_SIZE) -> Iterator[bytes]:
    """Yield what a stream still holds, in pieces of at most ``size`` bytes; may raise OSError at any of them."""
    return iter(partial(stream.read, size), b"")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of entries: which may be used, and how the system, archives and people have them."""

from __future__ import annotations

import os

# Bytes: NAME_MAX and PATH_MAX of Linux. The depth keeps every walk over a tree short and every recursion shallow.
MAX_NAME = 255
MAX_PATH = 4096
MAX_DEPTH = 128
# of the directories with the records of what was pulled
CONTROL_NAME = ".oci-artifact"
# in a dest with a directory for each revision: where these are, and the link to the one in place
RELEASES = "releases"
CURRENT = "current"


def split_path(name: str) -> list[str]:
    """The components of a relative POSIX path; empty ones and "." are dropped, so the root gives none.

    :raises ValueError: when the name could lead out of the root or cannot be created; its text continues "the name".
    """
    if name.startswith("/"):
        raise ValueError("is absolute")
    if "\0" in name:
        raise ValueError("holds a NUL byte")
    parts = [part for part in name.split("/") if part and part != "."]
    if ".." in parts:
        raise ValueError('holds ".."')
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"is more than {MAX_DEPTH} directories deep")
    # Most names are far shorter than any limit: their bytes need not be counted.
    if len(name) * 4 > MAX_NAME:
        if len("/".join(parts).encode("utf-8", "surrogateescape")) > MAX_PATH:
            raise ValueError(f"is longer than {MAX_PATH} bytes")
        if any(len(part.encode("utf-8", "surrogateescape")) > MAX_NAME for part in parts):
            raise ValueError(f"has a component of more than {MAX_NAME} bytes")
    return parts


def is_top(name: str) -> bool:
    """Return whether a name in an archive is one of the spellings of its top directory: ``/``, ``./``, ``.//.``."""
    return all(part in ("", ".") for part in name.split("/"))


def is_reserved(path: str) -> bool:
    """Return whether an entry would be in a control directory, of its destination or of one below it.

    An artifact must not bring one: the next pull would take its record for its own.
    """
    return any(
        part.startswith(CONTROL_NAME) or (part[:1] == "." and part.endswith(CONTROL_NAME)) for part in path.split("/")
    )


def encoded(name: str) -> bytes:
    """The bytes of a name for system calls: UTF-8 in any locale."""
    return name.encode("utf-8", "surrogateescape")


def native(name: str) -> str:
    """A name for Python's file functions that are given text: entries have UTF-8 names whatever the locale is."""
    return os.fsdecode(encoded(name))


def decoded(name: bytes) -> str:
    """The name of an entry as archives and records have it."""
    return name.decode("utf-8", "surrogateescape")


def escaped(name: str) -> str:
    """The name of an entry as people and results may have it: a byte that is not UTF-8 is written as ``\\xe9``."""
    return name if name.isascii() else encoded(name).decode("utf-8", "backslashreplace")


def shown(path: str) -> str:
    """A path, as Python's file functions have it, in the form of :func:`escaped`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def on_disk(root: str, path: str) -> str:
    """Return the full path of the entry ``path`` below ``root``."""
    return os.path.join(root, native(path))

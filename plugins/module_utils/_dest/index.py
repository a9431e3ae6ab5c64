# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of all destinations of a user on this host: where the records are, and what was asked for.

One small file for each destination, named by a hash of its control directory, so that runs need no lock. What lies in a
destination is never in it: that is read from the record. Only a pull that places something writes to it.

The index of root is in ``/var/lib``, that of any other user below the home directory. It is used only where nobody but
root and that user may write to it, and to the directories above it. What it has is read in :mod:`.indexed`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
from collections.abc import Mapping
from typing import Any

from .._errors import StorageError
from .._files.directory_handles import open_file_at
from .._files.names import decoded
from .._files.trusted_path import open_trusted
from .._files.users import is_trusted
from .destination import Destination

# names another directory; empty for no index
ENVIRONMENT = "OCI_ARTIFACT_INDEX"
OF_ROOT = "/var/lib/cloudnative.artifacts/index"
OF_USER = ".local/state/cloudnative.artifacts/index"
# bytes of what the index has of one destination
MAX_SIZE = 64 * 1024

SUFFIX = ".json"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def index_directory() -> str:
    """Return the directory of the index of the user of this process; empty for none."""
    given = os.environ.get(ENVIRONMENT)
    if given is not None:
        return os.path.abspath(given) if given else ""
    user = os.geteuid()
    if user == 0:
        return OF_ROOT
    try:
        home = pwd.getpwuid(user).pw_dir
    except KeyError:
        return ""
    return os.path.join(home, OF_USER) if os.path.isdir(home) else ""


def enter(destination: Destination, asked: Mapping[str, Any]) -> None:
    """Enter a destination. Where the index cannot be written, nothing happens: a pull does not depend on it.

    :param asked: the options that name the artifact.
    """
    # one entry whatever link leads to it
    root = os.path.realpath(destination.root)
    document = {
        "root": decoded(os.fsencode(root)),
        "control": decoded(destination.control_name),
        "is_parent": destination.is_parent,
        "asked": dict(asked),
    }
    directory = index_directory()
    raw = json.dumps(document, separators=(",", ":"), sort_keys=True, default=str).encode("ascii")
    if not directory or len(raw) > MAX_SIZE:
        return
    name = hashlib.sha256(os.path.join(os.fsencode(root), destination.control_name)).hexdigest()[:32] + SUFFIX
    with contextlib.suppress(OSError, StorageError):
        folder = open_trusted(directory, make=[], mode=0o700)
        try:
            with contextlib.suppress(OSError):
                if read_entry(folder, name) == raw:
                    return
            _replace(folder, name, raw)
        finally:
            os.close(folder)


def read_entry(folder: int, name: str) -> bytes:
    """Return what the index, an open directory, has under a name, cut after ``MAX_SIZE`` bytes.

    :raises OSError: when it is not there, or is another user's.
    """
    with os.fdopen(open_file_at(os.fsencode(name), folder), "rb") as stream:
        if not is_trusted(os.fstat(stream.fileno()).st_uid):
            raise PermissionError(name)
        return stream.read(MAX_SIZE + 1)


def _replace(folder: int, name: str, raw: bytes) -> None:
    temporary = f".{name}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    with os.fdopen(os.open(temporary, _CREATE, 0o600, dir_fd=folder), "wb") as stream:
        stream.write(raw)
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The home directory of the user of this process, which a container may not have."""

from __future__ import annotations

import os

from .._errors import StorageError


def in_home(path: str, instead: str) -> str:
    """Return the absolute path of ``path`` in the home directory.

    Where neither ``HOME`` nor an entry of the user names a home, as in a container that runs under any number, Python
    leaves the ``~`` as it is: a file would then be made in a directory of that name, wherever the task runs.

    :param instead: what else names the place, for the message.
    :raises StorageError: when there is no home directory.
    """
    full = os.path.join(os.path.expanduser("~"), path)
    if os.path.isabs(full):
        return full
    raise StorageError(
        f"There is no place for ~/{path}: HOME is not an absolute path, and the user {os.geteuid()} has no entry with "
        "a home directory on this host.",
        f"Set HOME in the environment of the task, or name another place in {instead}.",
    )

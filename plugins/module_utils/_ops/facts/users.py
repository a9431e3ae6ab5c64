# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of all other users of a host, for root.

What a user's index and records say, and the directories that they lead to, are that user's. So they are read by a child
process that has become that user for good: nothing is opened by the power of root.
"""

from __future__ import annotations

import json
import os
import pwd
import select
import signal
import time
from dataclasses import replace
from typing import Any, Callable

from ..._dest.index import ENVIRONMENT, OF_USER
from .own import FactsOptions, own_facts

# users that are looked at, bytes that one may say, and seconds that one may take
MAX_USERS = 1000
MAX_ANSWER = 16 * 1024 * 1024
TIMEOUT = 60.0
_PIECE = 65536


def facts_of_others(options: FactsOptions, *, check_mode: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the facts of all users with an index in their home directory but root, and warnings."""
    if os.environ.get(ENVIRONMENT) is not None:
        # one index was named, which is root's own
        return [], []
    mine = replace(options, dests=())
    found: list[dict[str, Any]] = []
    warnings: list[str] = []
    for user in _users():
        answer = _as_user(user, lambda: own_facts(mine, check_mode=check_mode))
        if answer is None:
            warnings.append(f"What {user.pw_name} has pulled on this host could not be read.")
            continue
        # whose they are is not for that user to say
        found += [{**each, "user": user.pw_name} for each in answer]
    return found, warnings


def _users() -> list[pwd.struct_passwd]:
    found: dict[int, pwd.struct_passwd] = {}
    for user in pwd.getpwall():
        if user.pw_uid == 0 or user.pw_uid in found or not os.path.isabs(user.pw_dir):
            continue
        # whether there is one is all that is looked at as root
        if os.path.lexists(os.path.join(user.pw_dir, OF_USER)):
            found[user.pw_uid] = user
    return list(found.values())[:MAX_USERS]


def _as_user(user: pwd.struct_passwd, call: Callable[[], Any]) -> list[dict[str, Any]] | None:
    """Return what a child says that has become a user; None when it fails, says too much or takes too long."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            with os.fdopen(writing, "wb") as stream:
                stream.write(json.dumps(call()).encode("ascii"))
            status = 0
        finally:
            # nothing of the parent's ends with the child
            os._exit(status)
    os.close(writing)
    raw = _read(reading)
    if raw is None:
        os.kill(child, signal.SIGKILL)
    _pid, ended = os.waitpid(child, 0)
    if raw is None or ended:
        return None
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, list) or not all(isinstance(each, dict) for each in answer):
        return None
    return answer


def _read(descriptor: int) -> bytes | None:
    found, deadline = bytearray(), time.monotonic() + TIMEOUT
    try:
        while len(found) <= MAX_ANSWER:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return None
            piece = os.read(descriptor, _PIECE)
            if not piece:
                return bytes(found)
            found += piece
        return None
    finally:
        os.close(descriptor)

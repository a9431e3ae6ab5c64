# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may write to a directory, beside its owner: members of its group, everybody, those of an access control list."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterator

from .directory_handles import O_PATH
from .trusted_path import is_trusted, user_name

_ACL = "system.posix_acl_access"
# tags of entries in an access control list (acl_ea.h of Linux)
_ACL_USER, _ACL_GROUP_OBJ, _ACL_GROUP, _ACL_MASK = 0x02, 0x04, 0x08, 0x10
_ACL_WRITE = 0x02
_ACL_HEADER = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")
_ROOT_GROUP = 0


def other_writers(directory: int, status: os.stat_result) -> str:
    """Who, of those that are not trusted, may write to an open directory, for a message; empty when nobody may.

    The group root counts as root. A group of which no untrusted user is a member, such as the one that many systems
    make for each user, counts as nobody.
    """
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    entries = list(_acl_entries(directory))
    # with a list, the group's bits of the mode are the mask that limits its entries
    mask = next((permissions for tag, permissions, _number in entries if tag == _ACL_MASK), _ACL_WRITE)
    for tag, permissions, number in entries:
        if not permissions & mask & _ACL_WRITE:
            continue
        if tag == _ACL_USER and not is_trusted(number):
            return user_name(number)
        if tag == _ACL_GROUP and _has_others(number):
            return f"the group {_group_name(number)}"
    owners_group = [permissions for tag, permissions, _number in entries if tag == _ACL_GROUP_OBJ]
    group_writes = owners_group[0] & mask & _ACL_WRITE if owners_group else status.st_mode & stat.S_IWGRP
    if group_writes and _has_others(status.st_gid):
        return f"the group {_group_name(status.st_gid)}"
    return ""


def _acl_entries(directory: int) -> Iterator[tuple[int, int, int]]:
    """(tag, permissions, user or group) of the POSIX access control list; nothing where there is none."""
    if not hasattr(os, "getxattr"):
        return
    try:
        # a descriptor of O_PATH has no extended attributes of its own
        raw = os.getxattr(f"/proc/self/fd/{directory}" if os.O_RDONLY != O_PATH else directory, _ACL)
    except OSError:
        return
    for offset in range(_ACL_HEADER.size, len(raw) - _ACL_ENTRY.size + 1, _ACL_ENTRY.size):
        yield _ACL_ENTRY.unpack_from(raw, offset)


def _has_others(group: int) -> bool:
    if group == _ROOT_GROUP:
        return False
    if any(user.pw_gid == group and not is_trusted(user.pw_uid) for user in pwd.getpwall()):
        return True
    try:
        members = grp.getgrgid(group).gr_mem
    except KeyError:
        return False
    return any(_is_other(name) for name in members)


def _is_other(name: str) -> bool:
    try:
        return not is_trusted(pwd.getpwnam(name).pw_uid)
    except KeyError:
        return False


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)

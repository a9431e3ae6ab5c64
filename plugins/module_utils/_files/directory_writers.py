# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The users who may write to a directory beside its owner, and the errors for directories that they could change.

Writers are the members of its group, everybody, and those of an access control list.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterator

from .._errors import StorageError
from .names import shown
from .users import is_trusted

_ACL = "system.posix_acl_access"
# tags of entries in an access control list (acl_ea.h of Linux)
_ACL_USER, _ACL_GROUP_OBJ, _ACL_GROUP, _ACL_MASK = 0x02, 0x04, 0x08, 0x10
_ACL_WRITE = 0x02
_ACL_HEADER = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")
_ROOT_GROUP = 0


def other_writers(directory: int, status: os.stat_result) -> str:
    """Return the untrusted users who may write to an open directory, as text for a message; empty if there are none.

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
    owners_group = next((permissions for tag, permissions, _number in entries if tag == _ACL_GROUP_OBJ), None)
    of_group = status.st_mode & stat.S_IWGRP if owners_group is None else owners_group & mask & _ACL_WRITE
    if of_group and _has_others(status.st_gid):
        return f"the group {_group_name(status.st_gid)}"
    return ""


def _acl_entries(directory: int) -> Iterator[tuple[int, int, int]]:
    """(tag, permissions, user or group) of the POSIX access control list; nothing where there is none."""
    if not hasattr(os, "getxattr"):
        return
    try:
        # a descriptor of O_PATH has no extended attributes of its own
        raw = os.getxattr(f"/proc/self/fd/{directory}", _ACL)
    except OSError:
        return
    yield from _ACL_ENTRY.iter_unpack(raw[_ACL_HEADER.size :])


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


def directory_error(wanted: str, passed: str, status: os.stat_result, writers: str) -> StorageError:
    """The error for a directory on the way to ``wanted`` that belongs to somebody else, or that ``writers`` may write
    to."""
    me, owner = user_name(os.geteuid()), user_name(status.st_uid)
    finding = f"may be written to by {writers}" if writers else f"belongs to {owner}"
    other = "Choose" if writers else f"Run the task as {owner} (become_user), or choose"
    return StorageError(
        f"Cannot use {shown(wanted)} as {me}: the directory {shown(passed)} {finding}, who could have its names stand "
        "for other files while the task runs.",
        f"{other} a place where only {_trusted_users()} may write to the directories above it, or give {shown(passed)} "
        f"to {me} (chown) and take the write permission from others (chmod go-w).",
    )


def entry_error(wanted: str, full: str, status: os.stat_result) -> StorageError:
    """The error for an entry of somebody else in a directory where everybody may make entries."""
    owner, me = user_name(status.st_uid), user_name(os.geteuid())
    return StorageError(
        f"Cannot use {shown(wanted)} as {me}: {shown(full)} belongs to {owner}, who made it in a directory where "
        "everybody may make files, and could replace it while the task runs.",
        f"Remove {shown(full)}, run the task as {owner} (become_user), or choose a place where only "
        f"{_trusted_users()} may write to the directories above it.",
    )


def record_error(control: str, status: os.stat_result) -> StorageError:
    """The error for what stands in the place of the directory with our record, and is not ours alone."""
    where, me, owner = shown(control), user_name(os.geteuid()), user_name(status.st_uid)
    if not stat.S_ISDIR(status.st_mode):
        finding = f"is not a directory, and belongs to {owner}"
    elif status.st_uid != os.geteuid():
        finding = f"belongs to {owner}"
    else:
        finding = f"may be written to by others (mode {stat.S_IMODE(status.st_mode):04o})"
    other = f"Pull as {owner} (become_user)" if status.st_uid != os.geteuid() else "Look at what it holds"
    return StorageError(
        f"Cannot use {where} for the record of this pull: it {finding}. What {me} did not write is not believed.",
        f"{other}, or remove {where}: what it describes counts as not pulled then, and 'force' replaces it.",
    )


def _trusted_users() -> str:
    return "root" if os.geteuid() == 0 else f"root and {user_name(os.geteuid())}"


def user_name(uid: int) -> str:
    """Return a user's name for messages, or the number where the host has no name for it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"

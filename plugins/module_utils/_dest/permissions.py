# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Permission bits and owners from the options, applied to the entries of an artifact.

``mode`` is octal or symbolic, as chmod(1) and ``ansible.builtin.file`` take it. An octal mode gives directories the
execute bit wherever it grants the read bit, as ``X`` does in a symbolic one, so that one mode serves files and
directories.
"""

from __future__ import annotations

import grp
import pwd
import re
from typing import NamedTuple

from .._errors import InvalidOption

# patterns as text: compiled only for a symbolic mode
_CLAUSE = r"([ugoa]*)((?:[-+=][rwxX]*)+)\Z"
_ACTION = r"([-+=])([rwxX]*)"
_SHIFT = {"u": 6, "g": 3, "o": 0}


class Permissions(NamedTuple):
    """The requested permissions: an empty ``mode`` is the artifact's, an id of None that of the process."""

    mode: str = ""
    uid: int | None = None
    gid: int | None = None

    def mode_for(self, archived: int, is_directory: bool) -> int:
        """The permission bits for an entry that has ``archived`` in the artifact (no setuid, setgid or sticky)."""
        if not self.mode:
            return archived
        if not self.mode.isdigit():
            return _symbolic(self.mode, archived, is_directory)
        bits = int(self.mode, 8)
        return bits | ((bits & 0o444) >> 2) if is_directory else bits


def parse_permissions(mode: object, owner: str, group: str) -> Permissions:
    """Parse the options.

    :raises InvalidOption: when a mode is malformed, or an owner or group is not known on this host.
    """
    text = "" if mode is None else f"{mode:04o}" if isinstance(mode, int) else str(mode).strip()
    if text.startswith("0o"):
        text = text[2:]
    if text.isdigit():
        if not re.fullmatch(r"[0-7]{1,4}", text) or int(text, 8) > 0o777:
            shown = f"The number {mode}, octal {text}," if isinstance(mode, int) else repr(text)
            raise InvalidOption(
                f"{shown} is not a mode for the files of an artifact: wanted '0000' to '0777', in quotes.",
                "Set the setuid, setgid and sticky bits with ansible.builtin.file where you mean them.",
            )
    elif text and not all(re.match(_CLAUSE, clause) for clause in text.split(",")):
        raise InvalidOption(f"{text!r} is not a mode: wanted octal digits or clauses such as u=rwX,g=rX,o=.")
    return Permissions(mode=text, uid=_user_id(owner), gid=_group_id(group))


def _symbolic(text: str, bits: int, is_directory: bool) -> int:
    for clause in text.split(","):
        match = re.match(_CLAUSE, clause)
        audience = (match[1] if match else "").replace("a", "ugo") or "ugo"
        for operator, letters in re.findall(_ACTION, match[2] if match else ""):
            granted = 0
            for letter in letters:
                if letter == "X" and not (is_directory or bits & 0o111):
                    continue
                granted |= {"r": 4, "w": 2, "x": 1, "X": 1}[letter]
            for who in set(audience):
                shift = _SHIFT[who]
                if operator == "+":
                    bits |= granted << shift
                elif operator == "-":
                    bits &= ~(granted << shift)
                else:
                    bits = (bits & ~(7 << shift)) | (granted << shift)
    return bits


def _is_id(text: str) -> bool:
    # the greatest 32-bit number means "unchanged" in chown(2)
    return text.isascii() and text.isdigit() and int(text[:11]) < 0xFFFFFFFF


def _user_id(owner: str) -> int | None:
    if not owner:
        return None
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        if _is_id(owner):
            return int(owner)
        raise InvalidOption(f"The owner {owner!r} is not a user of this host.") from None


def _group_id(group: str) -> int | None:
    if not group:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        if _is_id(group):
            return int(group)
        raise InvalidOption(f"The group {group!r} is not a group of this host.") from None

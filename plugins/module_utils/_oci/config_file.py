# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A docker ``config.json`` that is changed in place, next to other programs that read and change it.

Readers see the old document or the new one. Writers of this collection take turns; docker and podman take no lock, but
replace the file as a whole, too. What the document holds beside the change, and the order of it, is kept.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from .credentials import MAX_FILE_SIZE, parse_config_file
from .errors import StorageError
from .regular_file import open_regular, storage_error
from .shared_file import locked_file, write_all

# seconds; the owner of the lock may wait for a credential helper
LOCK_TIMEOUT = 150.0
MAX_LINKS = 40
# of lists and objects in each other, far below what Python's recursion allows
MAX_DEPTH = 100

_NEW = b"{}\n"
# docker's own (encoding/json, MarshalIndent)
_INDENT = "\t"


def default_path() -> str:
    """Where docker and its friends look for the file of this user."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    return os.path.join(folder, "config.json")


class ConfigFile:
    """The file at ``path``, which need not be there."""

    def __init__(self, path: str) -> None:
        # not normalised: what '..' means behind a link is the file system's to say
        self.path = os.path.join(os.getcwd(), path)

    def read(self) -> dict[str, Any]:
        """The document; an empty one where there is no file.

        :raises AuthenticationFailed: when it is no docker ``config.json``.
        :raises StorageError: when it cannot be read.
        """
        document = parse_config_file(_read(self._place()), self.path)
        if _depth(document) > MAX_DEPTH:
            raise StorageError(f"Cannot use {self.path}: its values are nested more than {MAX_DEPTH} deep.")
        return document

    def mode(self) -> int | None:
        """The permission bits, None where there is no file."""
        try:
            return stat.S_IMODE(os.stat(self.path).st_mode)
        except OSError:
            return None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the other writers out. A file that is missing is there, and holds an empty document, when this begins;
        when it fails, the file is gone again.

        :raises StorageError: when the file cannot be made or locked.
        """
        place = self._place()
        is_new = _create(place)
        with locked_file(place, LOCK_TIMEOUT, may_be_foreign=True):
            try:
                yield
            except BaseException:
                if is_new:
                    with contextlib.suppress(OSError, StorageError):
                        if _read(place) == _NEW:
                            os.unlink(place)
                raise

    def replace(self, document: Mapping[str, Any]) -> None:
        """Put another document in place of the one that is there, with mode 0600; to be called while :meth:`locked`.

        :raises StorageError: when that is not possible; the old document is then still there.
        """
        place = self._place()
        data = _encode(document, _read(place))
        temporary = ""
        try:
            owner = _owner(place)
            descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(place)}.", dir=os.path.dirname(place))
            with os.fdopen(descriptor, "wb", buffering=0) as stream:
                if owner != (os.geteuid(), os.fstat(descriptor).st_gid):
                    _give_to(descriptor, owner)
                write_all(stream, data, place)
                os.fsync(descriptor)
            os.replace(temporary, place)
        except BaseException as exc:
            if temporary:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            if isinstance(exc, OSError):
                raise storage_error("write", self.path, exc) from None
            raise

    def _place(self) -> str:
        """The file itself, behind the links that lead to it.

        A link is followed when it belongs to this user, to root, or to whom the file belongs that it leads to: others
        could direct the password to a place of their choice.

        :raises StorageError: when it is not to be followed, or leads to something else than a file.
        """
        place, owners = self.path, []
        for _link in range(MAX_LINKS):
            try:
                status = os.lstat(place)
            except FileNotFoundError:
                status = None
            except OSError as exc:
                raise storage_error("read", self.path, exc) from None
            if status is None or not stat.S_ISLNK(status.st_mode):
                break
            owners.append(status.st_uid)
            place = os.path.join(os.path.dirname(place), os.readlink(place))
        else:
            raise StorageError(f"Cannot read {self.path}: it is a link that leads to no end.")
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise StorageError(f"Cannot use {self.path}: it is no file.", "Name the file, as in ~/.docker/config.json.")
        trusted = {0, os.geteuid(), *([status.st_uid] if status is not None else [])}
        if not trusted.issuperset(owners):
            raise StorageError(
                f"Cannot use {self.path}: it is a link of another user, who could lead the credentials anywhere.",
                "Name the file that is meant, or run as its owner (become_user).",
            )
        # tempfile would take '..' behind a linked folder for the folder above the link
        return os.path.join(os.path.realpath(os.path.dirname(place)), os.path.basename(place))


def _create(place: str) -> bool:
    """Make the file with an empty document; False when it is there already."""
    try:
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as exc:
        raise storage_error("create", place, exc) from None
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        write_all(stream, _NEW, place)
    return True


def _read(place: str) -> bytes:
    try:
        with open_regular(place) as stream:
            raw = stream.read(MAX_FILE_SIZE + 1)
    except FileNotFoundError:
        return b""
    except OSError as exc:
        raise storage_error("read", place, exc) from None
    if len(raw) > MAX_FILE_SIZE:
        raise StorageError(f"Cannot use {place}: it has more than {MAX_FILE_SIZE} bytes.")
    return raw


def _owner(place: str) -> tuple[int, int]:
    status = os.stat(place)
    return status.st_uid, status.st_gid


def _give_to(descriptor: int, owner: tuple[int, int]) -> None:
    """Keep the owner, and the group where that is allowed: with mode 0600 it decides nothing."""
    try:
        os.fchown(descriptor, *owner)
    except PermissionError:
        if owner[0] != os.geteuid():
            raise PermissionError(errno.EPERM, "it belongs to another user") from None


def _depth(value: Any) -> int:
    """How many lists and objects lie in each other; one more than ``MAX_DEPTH`` stands for any greater number."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [item for held in containers for item in (held.values() if isinstance(held, dict) else held)]
        depth += bool(containers)
    return depth


def _encode(document: Mapping[str, Any], before: bytes) -> bytes:
    """JSON in the manner of what was there: indentation and the line end behind it."""
    found = re.match(rb"\s*\{\r?\n([ \t]+)\"", before)
    indent = found[1].decode("ascii") if found else _INDENT
    try:
        data = json.dumps(document, indent=indent, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which JSON allows as an escape
        data = json.dumps(document, indent=indent).encode("ascii")
    return data + b"\n" if before.endswith(b"\n") else data

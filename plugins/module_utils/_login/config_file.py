# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to a docker ``config.json`` that other programs read and change at the same time.

Readers see the old document or the new one. Writers of this collection lock the file; docker and podman do not, but
they also replace the file as a whole. All other content of the document and its order are kept.

Because root may write a file in another user's home, the directory of the file is opened once for each change, without
following links that a less trusted user could replace. The file is read, written and replaced relative to it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .._errors import StorageError
from .._files.bounded import MAX_LOGIN_FILE
from .._files.directory_handles import DirectoryHandles, open_file_at
from .._files.directory_writers import user_name
from .._files.foreign_path import open_home
from .._files.home import in_home
from .._files.lockable import is_at, open_to_lock
from .._files.regular_file import storage_error
from .._files.shared_file import wait_for_lock, write_all
from .._files.users import is_trusted
from .find import parse_config_file

# seconds to wait for the lock; its owner may be waiting for a credential helper
LOCK_TIMEOUT = 150.0
MAX_LINKS = 40
# nesting of lists and objects, far below Python's recursion limit
MAX_DEPTH = 100

_NEW = b"{}\n"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
# docker's own (encoding/json, MarshalIndent)
_INDENT = "\t"


def default_path() -> str:
    """Return the path where docker and compatible tools look for this user's file.

    :raises StorageError: when the user has no home directory.
    """
    folder = os.environ.get("DOCKER_CONFIG") or in_home(".docker", "'config_file'")
    return os.path.join(folder, "config.json")


class _Place(NamedTuple):
    """An open directory and the name of a file in it."""

    handles: DirectoryHandles
    name: str


class ConfigFile:
    """The file at ``path``, which may be absent."""

    def __init__(self, path: str) -> None:
        # not normalised: behind a symbolic link, only the file system can resolve '..'
        self.path = os.path.join(os.getcwd(), path)

    def read(self) -> dict[str, Any]:
        """Return the document; an empty one when there is no file.

        :raises AuthenticationFailed: when it is not a docker ``config.json``.
        :raises StorageError: when it cannot be read.
        """
        with self._place() as place:
            raw = b"" if place is None else _read_config(place.handles, place.name, self.path)[0]
        document = parse_config_file(raw, self.path)
        if _depth(document) > MAX_DEPTH:
            raise StorageError(f"Cannot use {self.path}: its values are nested more than {MAX_DEPTH} deep.")
        return document

    def mode(self) -> int | None:
        """Return the permission bits, None when there is no file."""
        with contextlib.suppress(OSError, StorageError), self._place() as place:
            if place is not None:
                return stat.S_IMODE(place.handles.lstat(place.name).st_mode)
        return None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock on the file, so that other writers of this collection wait.

        A missing file is created with an empty document, and removed again when the body of the ``with`` fails.

        :raises StorageError: when the file cannot be created or locked.
        """
        while True:
            with self._place(make=True) as place:
                if place is None:
                    raise self._absent("create")
                handles, name = place.handles, place.name
                is_new = _create(handles, name, self.path)
                with _locked(handles, name, self.path) as is_held:
                    if not is_held:
                        continue
                    try:
                        yield
                    except BaseException:
                        if is_new:
                            with contextlib.suppress(OSError, StorageError):
                                if _read_config(handles, name, self.path)[0] == _NEW:
                                    os.unlink(name, dir_fd=handles.get(""))
                        raise
                    return

    def replace(self, document: Mapping[str, Any]) -> None:
        """Replace the document, with mode 0600; to be called while :meth:`locked`.

        :raises StorageError: when that is not possible; the old document is then unchanged.
        """
        with self._place() as place:
            if place is None:
                raise self._absent("write")
            handles, name = place.handles, place.name
            before, owner = _read_config(handles, name, self.path)
            directory = handles.get("")
            temporary = f".{name}.{secrets.token_hex(8)}"
            try:
                descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=directory)
                try:
                    with os.fdopen(descriptor, "wb", buffering=0) as stream:
                        if owner != (os.geteuid(), os.fstat(descriptor).st_gid):
                            _give_to(descriptor, owner)
                        write_all(stream, _encode(document, before), self.path)
                        os.fsync(descriptor)
                    os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
                except BaseException:
                    with contextlib.suppress(OSError):
                        os.unlink(temporary, dir_fd=directory)
                    raise
            except OSError as exc:
                raise storage_error("write", self.path, exc) from None

    def _absent(self, action: str) -> StorageError:
        return storage_error(action, self.path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))

    @contextlib.contextmanager
    def _place(self, *, make: bool = False) -> Iterator[_Place | None]:
        """Yield the open directory of the file, after following links to it, and the file's name in it.

        Yields None when there is no directory and ``make`` is false. A link is followed when it belongs to this user,
        to root, or to the owner of its target: anyone else could redirect the password to a file of their choice.

        :raises StorageError: when a link must not be followed, or its target is not a regular file.
        """
        path, owners = self.path, []
        with contextlib.ExitStack() as stack:
            for _link in range(MAX_LINKS):
                folder, name = os.path.split(path)
                try:
                    handles = DirectoryHandles(open_home(folder, make=[] if make else None))
                    stack.callback(handles.close)
                    status = _look(handles, name)
                    if status is None or not stat.S_ISLNK(status.st_mode):
                        break
                    owners.append(status.st_uid)
                    path = os.path.join(folder, os.readlink(name, dir_fd=handles.get("")))
                except FileNotFoundError:
                    yield None
                    return
                except OSError as exc:
                    raise storage_error("create" if make else "read", self.path, exc) from None
            else:
                raise StorageError(f"Cannot read {self.path}: it is a link with too many levels or a loop.")
            self._check(handles, status, owners)
            yield _Place(handles, name)

    def _check(self, handles: DirectoryHandles, status: os.stat_result | None, owners: list[int]) -> None:
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise StorageError(
                f"Cannot use {self.path}: it is not a file.", "Name the file, as in ~/.docker/config.json."
            )
        trusted = {0, os.geteuid(), *([status.st_uid] if status is not None else [])}
        if not trusted.issuperset(owners):
            raise StorageError(
                f"Cannot use {self.path}: it is a link of another user, who could redirect the credentials.",
                "Name the file that is meant, or run as its owner (become_user).",
            )
        folder = os.fstat(handles.get(""))
        if status is None or is_trusted(status.st_uid) or status.st_uid == folder.st_uid:
            return
        # in a directory that only root can write to, root has given the file to its owner
        if not is_trusted(folder.st_uid) or folder.st_mode & _OTHERS_WRITE:
            owner = user_name(status.st_uid)
            raise StorageError(
                f"Cannot use {self.path}: it belongs to {owner}, who made it in a directory that is not {owner}'s own, "
                "and would get the credentials.",
                f"Remove it, or run as {owner} (become_user).",
            )


def _look(handles: DirectoryHandles, name: str) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=handles.get(""))
    except FileNotFoundError:
        return None


def _create(handles: DirectoryHandles, name: str, path: str) -> bool:
    """Create the file with an empty document; return False when it exists already."""
    try:
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=handles.get(""))
    except FileExistsError:
        return False
    except OSError as exc:
        raise storage_error("create", path, exc) from None
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        write_all(stream, _NEW, path)
    return True


@contextlib.contextmanager
def _locked(handles: DirectoryHandles, name: str, path: str) -> Iterator[bool]:
    """Hold the lock on the file; yield False when another file has taken its name in the meantime."""
    try:
        handle, _is_new = open_to_lock(handles, name, may_be_foreign=True, mode=0o600)
    except OSError as exc:
        raise storage_error("lock", path, exc) from None
    try:
        wait_for_lock(handle, path, LOCK_TIMEOUT)
        yield is_at(handle, handles, name)
    finally:
        # unlock before closing: a forked child may share the open file, and would keep the lock
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        handle.close()


def _read_config(handles: DirectoryHandles, name: str, path: str) -> tuple[bytes, tuple[int, int]]:
    """Return the content of the file, and its owner and group; when there is no file, empty bytes and this user's."""
    try:
        with os.fdopen(open_file_at(os.fsencode(name), handles.get("")), "rb") as stream:
            status = os.fstat(stream.fileno())
            raw = stream.read(MAX_LOGIN_FILE + 1)
    except FileNotFoundError:
        return b"", (os.geteuid(), os.getegid())
    except OSError as exc:
        raise storage_error("read", path, exc) from None
    if len(raw) > MAX_LOGIN_FILE:
        raise StorageError(f"Cannot use {path}: it has more than {MAX_LOGIN_FILE} bytes.")
    return raw, (status.st_uid, status.st_gid)


def _give_to(descriptor: int, owner: tuple[int, int]) -> None:
    """Set the owner, and the group where that is allowed; with mode 0600 the group has no effect."""
    try:
        os.fchown(descriptor, *owner)
    except PermissionError:
        if owner[0] != os.geteuid():
            raise PermissionError(errno.EPERM, "it belongs to another user") from None


def _depth(value: Any) -> int:
    """Return the nesting depth of lists and objects, at most ``MAX_DEPTH`` + 1."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [item for held in containers for item in (held.values() if isinstance(held, dict) else held)]
        depth += bool(containers)
    return depth


def _encode(document: Mapping[str, Any], before: bytes) -> bytes:
    """Return the document as JSON, with the indentation and final newline of the previous content."""
    found = re.match(rb"\s*\{\r?\n([ \t]+)\"", before)
    indent = found[1].decode("ascii") if found else _INDENT
    try:
        data = json.dumps(document, indent=indent, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which JSON allows as an escape
        data = json.dumps(document, indent=indent).encode("ascii")
    return data + b"\n" if before.endswith(b"\n") else data

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blobs of a cache: those of a layout, with locks and times of use, and shared by users when the directory is.

A blob in use is open with a shared ``flock`` lock. Pruning takes the exclusive lock first, and keeps locked blobs. The
kernel releases the locks of a process when it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO, Callable

from .._errors import StorageError
from .._files.bounded import pieces
from .._files.directory_handles import DirectoryHandles
from .._files.regular_file import storage_error
from .._layout.blob_store import CHUNK_SIZE, BlobStore, is_sound
from .._layout.blobs import blob_name
from .._layout.files import INGEST
from .._layout.leftovers import PARTIAL
from .._oci.digest import Verifier, parse_digest
from .._oci.manifest import Descriptor
from .._oci.pipeline import verified

# Seconds to wait for the lock on a blob. Pruning holds it for less than that; a process that holds it longer is faulty
# or hostile, and the open file can be read without the lock.
LOCK_TIMEOUT = 1.0

# Downloads of a blob that is removed again each time before it can be locked.
MAX_ATTEMPTS = 5

# Seconds to wait for another process that downloads the same manifest.
TURN_TIMEOUT = 30.0

_GROUP_OR_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CacheStore(BlobStore):
    """The blobs of the cache in the directory ``root``; with ``read_only`` nothing in it is changed.

    A missing ``root`` is created with mode 0700. Modes of new files and folders follow the umask, unless group or
    others may write to ``root``: then the cache is shared, and everything in it gets the permissions of ``root``.
    """

    root_mode = 0o700

    def __init__(self, root: str, *, read_only: bool = False) -> None:
        super().__init__(root)
        self._read_only = read_only

    def hold(self, descriptor: Descriptor) -> BinaryIO | None:
        """Open a blob, hashed by this call and locked against removal; None when it does not exist.

        A blob of another size or content is removed. The file's modification time is set to now, where permitted.

        :raises StorageError: when a file operation fails.
        """
        handle = self._open_held(descriptor.digest)
        if handle is None:
            return None
        try:
            if is_sound(handle, descriptor, self.path(descriptor.digest)):
                handle.seek(0)
                self._note_use(handle)
                return handle
            if not self._read_only:
                self.remove_damaged(handle, descriptor.digest)
        except BaseException:
            handle.close()
            raise
        handle.close()
        return None

    def fetch_held(self, descriptor: Descriptor, stream: Callable[[int], Iterator[bytes]], what: str) -> BinaryIO:
        """Open a blob as :meth:`hold` does, after downloading it when it is missing, see :meth:`.BlobStore.fetch`.

        :raises DigestMismatch: when the bytes of one uninterrupted download do not match the descriptor.
        :raises StorageError: when a file operation fails, or the download of another process stalls.
        """
        for _attempt in range(MAX_ATTEMPTS):
            handle = self.hold(descriptor)
            if handle is not None:
                return handle
            self.fetch(descriptor, stream, what)
            # it was just hashed, and is hashed again when it is read
            handle = self._open_held(descriptor.digest)
            if handle is not None:
                return handle
        raise StorageError(
            f"The blob {descriptor.digest} was removed from {self.root} as often as it was fetched.",
            "Wait until the prune of the cache has finished, or use another cache.",
        )

    def read(self, digest: str, limit: int) -> bytes | None:
        """The bytes of a small blob, checked; None when it is missing, damaged, or has more than ``limit`` bytes."""
        size = self.size(digest)
        if size is None or size > limit:
            return None
        handle = self.hold(Descriptor("", digest, size))
        if handle is None:
            return None
        with handle:
            return b"".join(checked(handle, Descriptor("", digest, size)))

    @contextlib.contextmanager
    def turn(self, digest: str) -> Iterator[None]:
        """Make others that want the same manifest wait, as :meth:`fetch_held` does for blobs, whose size is known."""
        algorithm, encoded = parse_digest(digest)
        name = f"{INGEST}/{algorithm}-{encoded}.turn{PARTIAL}"
        self.sweep(keep=name)
        try:
            with self.taking_turns(name, TURN_TIMEOUT):
                yield
        finally:
            self.tidy()

    def _open_held(self, digest: str) -> BinaryIO | None:
        name = blob_name(digest)
        for _attempt in range(MAX_ATTEMPTS):
            try:
                handle = self.directory.open_file(name)
            except FileNotFoundError:
                return None
            _share(handle)
            if self.directory.is_at(handle, name):
                return handle
            handle.close()
        return None

    def _note_use(self, handle: BinaryIO) -> None:
        # the time of a file with other hard links is not changed
        if not self._read_only and os.fstat(handle.fileno()).st_nlink <= 1:
            with contextlib.suppress(OSError):
                os.utime(handle.fileno())

    # -- permissions

    def made_folder(self, handles: DirectoryHandles, name: str) -> None:
        mode = _shared_mode(handles)
        if mode:
            folder = handles.get(name)
            # mkdir applies the umask; a folder that another user put in the place of the new one is not changed
            if os.fstat(folder).st_uid == os.geteuid() and not handles.names(name):
                os.fchmod(folder, mode)

    def set_mode(self, handle: BinaryIO, handles: DirectoryHandles) -> None:
        mode = _shared_mode(handles)
        if mode:
            # only the owner may do this: a download that another user began has its permissions already
            with contextlib.suppress(PermissionError):
                os.fchmod(handle.fileno(), mode & 0o666)

    def tidy(self) -> None:
        # created again by a process with another umask, the folder would not be accessible to other users
        with contextlib.suppress(OSError, StorageError), self.directory.opened() as handles:
            if not _shared_mode(handles):
                super().tidy()


def _shared_mode(handles: DirectoryHandles) -> int:
    """The mode of the open directory of a cache when it is shared, otherwise 0."""
    mode = stat.S_IMODE(os.fstat(handles.get("")).st_mode)
    return mode if mode & _GROUP_OR_OTHERS_WRITE else 0


def checked(handle: BinaryIO, descriptor: Descriptor) -> Iterator[bytes]:
    """The bytes of a locked blob, from the start; they are verified only once the iterator is exhausted.

    :raises DigestMismatch: when they changed after they were hashed.
    """
    what = f"The blob {descriptor.digest} in the cache"
    return verified(_chunks(handle, what), Verifier(descriptor.digest, descriptor.size, what))


def _chunks(handle: BinaryIO, what: str) -> Iterator[bytes]:
    try:
        handle.seek(0)
        yield from pieces(handle, CHUNK_SIZE)
    except OSError as exc:
        raise storage_error("read", what, exc) from exc


def _share(handle: BinaryIO) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return
        except OSError:
            # a file system without locks
            return
        time.sleep(0.01)

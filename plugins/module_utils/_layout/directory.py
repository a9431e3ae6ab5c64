# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of an image layout or a cache, in which users who do not trust each other may write.

A user who may write there can replace any entry by a symbolic link, a named pipe or a hard link to another file, at any
moment. Therefore every entry is opened relative to its directory's descriptor, without following links, and only new
files and files without another hard link are written to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from .._errors import StorageError
from .._files.directory_handles import DirectoryHandles, open_file_at
from .._files.directory_writers import user_name
from .._files.foreign_path import open_to_read
from .._files.lockable import is_at
from .._files.names import shown
from .._files.regular_file import storage_error
from .._files.trusted_path import open_trusted


class StoreDirectory:
    """The directory ``root``, an absolute path. Names in it are relative to it, with slashes.

    The directories above ``root`` must not be writable for less trusted users. A symbolic link in it counts as absent
    where a file is expected, and is an error where a directory is expected.

    Reading an image layout (``is_layout``) is an exception: it may be anywhere, as its content is checked by digest,
    and links in it, such as build tools make for blobs, are followed when only root and the user of the task can have
    made them.
    """

    def __init__(self, root: str, *, is_layout: bool = False) -> None:
        self.root = root
        self._is_layout = is_layout

    def path(self, name: str) -> str:
        """The path of an entry, for messages and for other programs."""
        return os.path.join(self.root, name)

    @contextlib.contextmanager
    def opened(self) -> Iterator[DirectoryHandles]:
        """Open the directory for reading.

        :raises StorageError: when another user could replace it.
        :raises OSError: when it is missing (ENOENT), is not a directory (ENOTDIR), or cannot be opened.
        """
        root = open_to_read(self.root) if self._is_layout else open_trusted(self.root, may_be_others=True)
        handles = DirectoryHandles(root)
        try:
            yield handles
        finally:
            handles.close()

    @contextlib.contextmanager
    def changing(self, *, make: bool = False, mode: int = 0o777) -> Iterator[DirectoryHandles]:
        """Open the directory for changes of its entries.

        :param make: create it, with its parents, when it is missing.
        :param mode: mode of a created directory, before the umask.
        :raises StorageError: when another user could replace it.
        :raises OSError: as :meth:`opened`, and when it cannot be created.
        """
        root = open_trusted(self.root, make=[] if make else None, mode=mode, may_be_others=True)
        handles = DirectoryHandles(root)
        try:
            yield handles
        finally:
            handles.close()

    def open_file(self, name: str) -> BinaryIO:
        """Open a regular file for reading; anything else counts as absent.

        :raises FileNotFoundError: when there is no such file.
        :raises StorageError: when a link is in the way, or the file cannot be opened.
        """
        try:
            with self.opened() as handles:
                parent, base = handles.locate(name)
                return os.fdopen(open_file_at(base, parent), "rb")
        except (FileNotFoundError, IsADirectoryError):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path(name)) from None
        except OSError as exc:
            link = self._link_on(name)
            is_file_in_the_way = link is None and isinstance(exc, NotADirectoryError)
            if is_file_in_the_way or (link is not None and link[0] == name and not self._is_layout):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path(name)) from None
            if link is None or not self._is_layout:
                raise self.refusal("read", name, exc) from exc
        return self._follow(name)

    def _follow(self, name: str) -> BinaryIO:
        from .._files.trusted_file import open_placed_file

        try:
            return os.fdopen(open_placed_file(self.path(name)), "rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path(name)) from None
        except OSError as exc:
            raise storage_error("read", self.path(name), exc) from exc
        except StorageError as exc:
            raise StorageError(
                f"Cannot read {self.path(name)} through a symbolic link. {exc.message}",
                "Put the file itself there, as with cp -rL, or " + (exc.hint[:1].lower() + exc.hint[1:]),
            ) from None

    def size(self, name: str) -> int | None:
        """The size of a regular file in bytes; None when there is no such file.

        :raises StorageError: as :meth:`open_file`.
        """
        try:
            with self.opened() as handles:
                status = handles.lstat(name)
            if stat.S_ISREG(status.st_mode):
                return status.st_size
            if not stat.S_ISLNK(status.st_mode) or not self._is_layout:
                return None
        except FileNotFoundError:
            return None
        except OSError as exc:
            if not isinstance(exc, NotADirectoryError) and exc.errno != errno.ELOOP:
                raise self.refusal("look at", name, exc) from exc
        try:
            with self.open_file(name) as handle:
                return os.fstat(handle.fileno()).st_size
        except FileNotFoundError:
            return None

    def names(self, name: str) -> list[str]:
        """The names in a directory; empty when it is missing or not a directory.

        :raises StorageError: when it cannot be read.
        """
        try:
            with self.opened() as handles:
                return [os.fsdecode(each) for each in handles.names(name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise self.refusal("read", name, exc) from exc

    def is_at(self, handle: BinaryIO, name: str) -> bool:
        """True when an open file still has this name."""
        try:
            with self.opened() as handles:
                return is_at(handle, handles, name)
        except (OSError, StorageError):
            return False

    def remove(self, name: str) -> None:
        """Remove a file, if it exists.

        :raises StorageError: when it cannot be removed.
        """
        try:
            with self.changing() as handles:
                parent, base = handles.locate(name)
                os.unlink(base, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise self.refusal("remove", name, exc) from exc

    def refusal(self, action: str, name: str, exc: OSError) -> StorageError:
        """The error for a failed file operation; it names the symbolic link that caused it, if there is one."""
        link = self._link_on(name) if exc.errno in (errno.ELOOP, errno.ENOTDIR) else None
        if link is None:
            return storage_error(action, self.path(name) if name else self.root, exc)
        place, owner = link
        return StorageError(
            f"Cannot {action} {self.path(name)}: {shown(self.path(place))} is a symbolic link of {user_name(owner)}, "
            f"and links in {self.root} are not followed.",
            f"Remove {shown(self.path(place))}, or give a directory in which nobody else can put links.",
        )

    def _link_on(self, name: str) -> tuple[str, int] | None:
        """The first symbolic link on the path of an entry, the entry included, and the link's owner."""
        with contextlib.suppress(OSError, StorageError), self.opened() as handles:
            parts = name.split("/")
            for count in range(1, len(parts) + 1):
                place = "/".join(parts[:count])
                status = handles.lstat(place)
                if stat.S_ISLNK(status.st_mode):
                    return place, status.st_uid
        return None

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by unpacking and packing: errors of the file system, and the check that no link leads out of a tree."""

from __future__ import annotations

import errno

from .._errors import StorageError
from .._files.tree import DIRECTORY, SYMLINK, Tree

_HINTS = {
    errno.ENOSPC: "Free space there, or unpack to a larger file system.",
    errno.EDQUOT: "Raise the quota of the user that runs the task, or free space there.",
    errno.EACCES: "Run the task as a user that may write there.",
    errno.EPERM: "Run the task as a user that may write there.",
    errno.EROFS: "The file system is mounted read-only.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENAMETOOLONG: "The file system takes shorter names only.",
    errno.EEXIST: "Another process writes there, or the file system cannot tell upper and lower case apart.",
    errno.ELOOP: "Another process writes there.",
    errno.ENOTDIR: "Another process writes there.",
    errno.ENOENT: "Another process removed it.",
}


def disk_error(action: str, error: OSError) -> StorageError:
    """The error for a failed system call; ``action`` continues "Cannot"."""
    reason = error.strerror or str(error)
    return StorageError(f"Cannot {action}: {reason}.", _HINTS.get(error.errno or 0, ""))


def leaves_lexically(path: str, target: str) -> bool:
    """Return whether a link at ``path`` leads out of the root when ``target`` is read without looking at any file."""
    if target.startswith("/"):
        return True
    depth = path.count("/")
    for part in target.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return True
        elif part and part != ".":
            depth += 1
    return False


class _Place:
    """A directory or a symbolic link. A link ends ``beyond`` levels below ``end``, among names that are not there."""

    __slots__ = ("beyond", "children", "end", "parent", "path", "state", "target")

    def __init__(self, parent: _Place | None, path: str = "", target: str = "") -> None:
        self.parent = parent
        self.path = path
        self.target = target
        self.children: dict[str, _Place] = {}
        self.state = _NEW
        self.end = parent
        self.beyond = 0


_NEW, _ACTIVE, _ENDLESS, _DONE = range(4)


def escaping_link(tree: Tree) -> str | None:
    """The path of a symbolic link that leads out of the tree, or None.

    Links are followed as the kernel does, through the other links of the tree, and read lexically as well: a link
    has to stay inside both ways. Names that are not in the tree count as directories. A chain that never ends never
    leaves. Each link is resolved once, so the time grows with the bytes of the targets, not with the ways through them.
    """
    links = {path: entry.target for path, entry in tree.items() if entry.kind == SYMLINK}
    if not links:
        return None
    for path, target in links.items():
        if leaves_lexically(path, target):
            return path
    directories = {"": _Place(None)}
    for path, entry in tree.items():
        if entry.kind == DIRECTORY:
            _directory(directories, path)
    places = []
    for path, target in links.items():
        above, _slash, name = path.rpartition("/")
        parent = _directory(directories, above)
        place = parent.children[name] = _Place(parent, path, target)
        places.append(place)
    for place in places:
        if place.state == _NEW:
            culprit = _resolve(place)
            if culprit is not None:
                return culprit.path
    return None


def _directory(known: dict[str, _Place], path: str) -> _Place:
    """The place of a directory, made with those above it where they have no entry of their own."""
    missing = []
    while path not in known:
        missing.append(path)
        path = path.rpartition("/")[0]
    place = known[path]
    for path in reversed(missing):
        below = _Place(place, path)
        place.children[path.rpartition("/")[2]] = known[path] = below
        place = below
    return place


def _resolve(link: _Place) -> _Place | None:
    """Find where a link ends, and with it every link on the way; the link that leaves the root, or None.

    Not recursive, and reading targets piece by piece: a hostile tree may chain as many links as it has entries.
    """
    link.state = _ACTIVE
    stack = [(link, 0)]
    place, beyond = link.parent, 0
    while stack:
        current, position = stack.pop()
        target = current.target
        while position < len(target):
            stop = target.find("/", position)
            stop = len(target) if stop < 0 else stop
            part = target[position:stop]
            position = stop + 1
            if not part or part == ".":
                continue
            if place is None:
                raise RuntimeError("a link was followed from above the root")
            if beyond:
                beyond += -1 if part == ".." else 1
                continue
            if part == "..":
                place = place.parent
                if place is None:
                    return current
                continue
            child = place.children.get(part)
            if child is None:
                beyond = 1
            elif not child.target:
                place = child
            elif child.state == _DONE:
                place, beyond = child.end, child.beyond
            elif child.state == _NEW:
                stack.append((current, position))
                child.state = _ACTIVE
                current, position, target, place = child, 0, child.target, child.parent
            else:
                # Whatever waits for this link waits for ever.
                current.state = _ENDLESS
                for waiting, _position in stack:
                    waiting.state = _ENDLESS
                return None
        current.end, current.beyond, current.state = place, beyond, _DONE
    return None

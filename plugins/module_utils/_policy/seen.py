# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user of this host has seen of a repository, and since when: the first time of each digest, and the digest of
each protected tag.

A file for each repository, in a directory that only this user may write to: ``OCI_ARTIFACT_STATE_DIR``, or
``cloudnative.artifacts`` in ``$XDG_STATE_HOME`` (``~/.local/state``). It is neither in ``dest``, which is not touched
before an artifact is accepted, nor in a cache, which may be emptied.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from .._errors import StorageError
from .._files.directory_handles import open_file_at
from .._files.home import in_home
from .._files.names import shown
from .._files.regular_file import storage_error
from .._files.replaced_file import replace_file
from .._files.shared_file import locked_at
from .._files.trusted_path import open_trusted

ENVIRONMENT = "OCI_ARTIFACT_STATE_DIR"
FORMAT = 1
#: Entries of each kind for a repository; the oldest are dropped, and count as new when they come back.
MAX_ENTRIES = 10_000
MAX_FILE = 4 << 20
LOCK_TIMEOUT = 60.0


def state_directory() -> str:
    """The directory of what was seen, absolute; it need not exist.

    :raises StorageError: when the user has no home directory to keep it in.
    """
    given = os.environ.get(ENVIRONMENT, "")
    if given:
        return os.path.abspath(os.path.expanduser(given))
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        base = in_home(".local/state", ENVIRONMENT)
    return os.path.abspath(os.path.join(base, "cloudnative.artifacts"))


class Seen:
    """What was seen of the repository ``name``. In check mode (``read_only``) nothing is stored.

    Methods raise StorageError when the directory cannot be used: a rule that depends on it is then not satisfied.
    """

    def __init__(self, name: str, *, read_only: bool = False) -> None:
        self._name = name
        self._read_only = read_only
        self._folder = state_directory()
        self._file = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest() + ".json"

    def first_seen(self, digest: str, now: float) -> float:
        """The time (seconds since 1970) at which the digest was seen first; ``now``, which is stored, if it is new."""
        return self.all_first_seen([digest], now)[digest]

    def all_first_seen(self, digests: Iterable[str], now: float) -> dict[str, float]:
        """The time of each of several digests, as :meth:`first_seen` tells it."""
        found = {}
        with self._document() as document:
            times = document["digests"]
            for digest in digests:
                # what comes from the future was noted by a wrong clock
                if times.get(digest, now + 1) > now:
                    times[digest] = int(now)
                found[digest] = float(times[digest])
        return found

    def digest_of(self, tag: str, digest: str) -> str:
        """The digest that the tag named when it was seen first; ``digest``, which is stored, if the tag is new."""
        with self._document() as document:
            return str(document["tags"].setdefault(tag, digest))

    @contextlib.contextmanager
    def _document(self) -> Iterator[dict[str, Any]]:
        """Yield the content of the file under its lock, and store it when it was changed."""
        where = os.path.join(self._folder, self._file)
        try:
            folder = open_trusted(self._folder, make=None if self._read_only else [], mode=0o700)
        except OSError as exc:
            if self._read_only and isinstance(exc, FileNotFoundError):
                yield _empty()
                return
            raise storage_error("open", shown(self._folder), exc) from None
        try:
            if self._read_only:
                yield self._load(folder, where)
                return
            with locked_at(folder, f"{self._file}.lock", f"{where}.lock", LOCK_TIMEOUT):
                document = self._load(folder, where)
                before = json.dumps(document)
                yield document
                if json.dumps(document) != before:
                    self._save(folder, document, where)
        except FileNotFoundError as exc:  # the directory was removed meanwhile
            raise storage_error("lock", shown(where), exc) from None
        finally:
            os.close(folder)

    def _load(self, folder: int, where: str) -> dict[str, Any]:
        try:
            with os.fdopen(open_file_at(os.fsencode(self._file), folder), "rb") as stream:
                raw = stream.read(MAX_FILE)
        except FileNotFoundError:
            return _empty()
        except OSError as exc:
            raise storage_error("read", shown(where), exc) from None
        try:
            found = json.loads(raw)
            if found["format"] != FORMAT or found["name"] != self._name:
                raise ValueError
            digests = {str(digest): int(moment) for digest, moment in found["digests"].items()}
            return {"digests": digests, "tags": {str(tag): str(digest) for tag, digest in found["tags"].items()}}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise StorageError(
                f"What was seen of {self._name} is recorded in {shown(where)}, which cannot be understood.",
                "Remove it: everything then counts as seen for the first time.",
            ) from None

    def _save(self, folder: int, document: dict[str, Any], where: str) -> None:
        kept = {kind: dict(list(entries.items())[-MAX_ENTRIES:]) for kind, entries in document.items()}
        text = json.dumps({"format": FORMAT, "name": self._name, **kept}, separators=(",", ":"))
        try:
            replace_file(folder, self._file, text.encode("ascii"))
        except OSError as exc:
            raise storage_error("write", shown(where), exc) from None


def _empty() -> dict[str, Any]:
    return {"digests": {}, "tags": {}}

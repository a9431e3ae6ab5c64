# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the event source ``oci_artifact`` has announced, kept so that a restart neither loses nor repeats an event.

An event is written here before it is handed over, and marked as taken after. A process that ends in between hands the
same event over again, with the ``id`` that it had. The file is replaced as a whole, after its content is on the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LockTimeout, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import open_file_at
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.names import shown
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.regular_file import storage_error
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.replaced_file import replace_file
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.shared_file import locked_at
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.trusted_path import open_trusted

FORMAT = 1
MAX_FILE = 16 << 20
# Artifacts that are watched no longer are remembered for a while; the oldest are dropped.
MAX_ENTRIES = 5000
# Seconds that a source waits for the one that it follows on, which has been told to end.
LOCK_TIMEOUT = 30.0


class Announced:
    """What was announced of one artifact: the ``revision``, the ``failure`` (a reason) that was reported last and is
    not over, and the ``event`` that was not yet taken (empty without one)."""

    def __init__(self, revision: str = "", failure: str = "", event: dict[str, Any] | None = None) -> None:
        self.revision = revision
        self.failure = failure
        self.event = dict(event or {})


class WatchState:
    """The file, which this process alone uses; see :func:`opened_state`."""

    def __init__(self, folder: int, name: str, path: str) -> None:
        self._folder = folder
        self._name = name
        self._path = path
        self._entries = self._load()

    def of(self, key: str) -> Announced:
        """The record of an artifact; a new one is empty."""
        return self._entries.setdefault(key, Announced())

    def save(self, key: str) -> None:
        """Write the file, after the record of ``key`` was changed.

        :raises StorageError: when it cannot be written. The old content is then kept.
        """
        # the artifacts that change are the last to be dropped
        self._entries[key] = self._entries.pop(key)
        kept = list(self._entries.items())[-MAX_ENTRIES:]
        artifacts = {each: {k: v for k, v in vars(entry).items() if v} for each, entry in kept}
        text = json.dumps({"format": FORMAT, "artifacts": artifacts}, separators=(",", ":"))
        try:
            replace_file(self._folder, self._name, text.encode("ascii"))
        except OSError as exc:
            raise storage_error("write", shown(self._path), exc) from None

    def _load(self) -> dict[str, Announced]:
        try:
            with os.fdopen(open_file_at(os.fsencode(self._name), self._folder), "rb") as stream:
                raw = stream.read(MAX_FILE)
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise storage_error("read", shown(self._path), exc) from None
        try:
            document = json.loads(raw)
            if document["format"] != FORMAT:
                raise ValueError
            return {str(key): _announced(entry) for key, entry in document["artifacts"].items()}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise StorageError(
                f"The state file {shown(self._path)} of the event source cannot be understood.",
                "Remove it: every artifact is then announced once more.",
            ) from None


def _announced(entry: dict[str, Any]) -> Announced:
    revision, failure, event = entry.get("revision", ""), entry.get("failure", ""), entry.get("event", {})
    if not (isinstance(revision, str) and isinstance(failure, str) and isinstance(event, dict)):
        raise ValueError
    return Announced(revision, failure, event)


@contextlib.contextmanager
def opened_state(path: str) -> Iterator[WatchState]:
    """Yield the state in the file at ``path`` (absolute), which is this process's alone meanwhile.

    A directory that is missing is made, for this user only.

    :raises StorageError: when another source uses the file, it cannot be used, or somebody else could change it.
    """
    above, name = os.path.split(path)
    try:
        folder = open_trusted(above, make=[], mode=0o700)
    except OSError as exc:
        raise storage_error("open", shown(above), exc) from None
    try:
        with locked_at(folder, f"{name}.lock", f"{path}.lock", LOCK_TIMEOUT):
            yield WatchState(folder, name, path)
    except LockTimeout:
        raise StorageError(
            f"The state file {shown(path)} is in use by another event source.",
            "End the other one, or give each source a 'state_file' of its own.",
        ) from None
    except FileNotFoundError as exc:  # the directory was removed meanwhile
        raise storage_error("lock", shown(path), exc) from None
    finally:
        os.close(folder)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was resolved, verified and fetched for the hosts of a run: once, whatever their number.

The controller does it, or a relay host (:mod:`.relay`). It is kept in the run's temporary directory on the controller,
which all forks share. The first host that needs something has it done,
while the others wait. A failure is shared with those that waited, and the next one tries again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible import constants

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.shared_file import locked_file
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.blobs import blob_name
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.delivery import (
    Archive,
    Delivery,
    parse_delivery,
)
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.agreement import pinned
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_module import run_on_controller
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.preloading import BeforeFork
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.relay import Relay
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.run_artifacts import PATIENCE, WAY

CONTROLLER = "controller"
FILE_NAME = "cloudnative.artifacts.via"
# Options that are about the host alone: two hosts that differ in them want the same artifact.
_OF_HOST = frozenset(
    "dest owner group mode force check_content unsafe_writes suspend on_registry_error ignore via keep layout validate "
    "health requested_at hold reason state remediation".split()
)
_COPIED = 1024 * 1024


class ProvideFailed(OciError):
    """Nothing at all could be provided, as when options cannot be used, or a relay host cannot be reached."""


class Provided:
    """The artifacts of one task.

    :param action: the action plugin of the task.
    :param via: who provides them: ``controller``, or the name of a host of the inventory.
    :param arguments: the options of the task.
    :raises InvalidOption: when there is no such host.
    """

    def __init__(self, action: Any, via: str, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> None:
        self._action = action
        self._via = via
        self._arguments = arguments
        self._relay = None if via == CONTROLLER else Relay(action, via, task_vars)
        self.folder = str(constants.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]  # set at run time
        self._check_mode = bool(action._task.check_mode)
        # large layers are not sent for the sake of a diff
        self._in_check_mode = ("diff" if action._task.diff else "check") if self._check_mode else ""
        self.store = ""

    def look(self) -> list[Delivery]:
        """What the references stand for; layers are fetched where they are small.

        :raises OciError: when nothing can be said.
        """
        return self._made(self._in_check_mode or "look", "")

    def fetch(self, platform: str, *, to_compare: bool = False) -> list[Delivery]:
        """The same with all layers fetched; in check mode only to compare with what is in ``dest``.

        :param platform: that of the host, empty where it does not matter.
        :raises OciError: when nothing can be said.
        """
        if to_compare and self._in_check_mode:
            self._in_check_mode = "compare"
            return self._made("fetch", platform)
        return self._made(self._in_check_mode or "fetch", platform)

    def files(self, archive: Archive, parts: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, str]]:
        """The names and paths of files with parts of an archive. Each is made once in a run.

        :param parts: offset and size by name, of those that are wanted.
        """
        for name, (offset, size) in parts.items():
            if len(archive.order) == 1 and size == archive.size:
                # the whole of one blob, which is a file already
                yield name, os.path.join(self.store, blob_name(archive.order[0][0]))
                continue
            path = os.path.join(self.folder, f"{FILE_NAME}.{name}")
            with locked_file(path, PATIENCE) as part:
                if os.fstat(part.fileno()).st_size != size:
                    part.truncate(0)
                    for piece in self._bytes(archive, offset, size):
                        part.write(piece)
            yield name, path

    def _bytes(self, archive: Archive, offset: int, size: int) -> Iterator[bytes]:
        start = 0
        for digest, length in archive.order:
            begin, end = max(offset, start), min(offset + size, start + length)
            if begin < end:
                with open(os.path.join(self.store, blob_name(digest)), "rb") as blob:
                    blob.seek(begin - start)
                    left = end - begin
                    while left:
                        piece = blob.read(min(left, _COPIED))
                        if not piece:
                            raise ProvideFailed(f"The blob {digest} in {self.store} became shorter.", "Run it again.")
                        left -= len(piece)
                        yield piece
            start += length

    def _made(self, degree: str, platform: str) -> list[Delivery]:
        since = time.time()
        key = self._key(platform)
        path = os.path.join(self.folder, f"{FILE_NAME}.{key}")
        with locked_file(path, PATIENCE) as record:
            known: dict[str, Any] = json.loads(record.read() or b"{}")
            if not self._is_enough(known, degree, since):
                known = self._ask(degree, platform, f"{path}.made")
                record.seek(0)
                record.truncate(0)
                record.write(json.dumps(known).encode("utf-8"))
        if known.get("refused"):
            failure = known["refused"]
            failed = ProvideFailed(str(failure.get("msg", "")))
            failed.reason = str(failure.get("reason", OciError.reason))
            failed.retryable = bool(failure.get("retryable"))
            if "refused_by" in failure:
                failed.details["refused_by"] = failure["refused_by"]
            raise failed
        self.store = known["store"]
        return [parse_delivery(each) for each in known["items"]]

    @staticmethod
    def _is_enough(known: Mapping[str, Any], degree: str, since: float) -> bool:
        if not known:
            return False
        failed = known.get("refused") or any(item.get("failure") for item in known["items"])
        if failed:
            # this host waited for it; one that comes later has it tried again
            return bool(known["at"] >= since)
        # of check mode there is one degree for each key
        return degree != "fetch" or all(item.get("is_fetched") or item.get("wants_platform") for item in known["items"])

    def _ask(self, degree: str, platform: str, file: str) -> dict[str, Any]:
        """Have the artifacts provided, at the revisions that the run has agreed upon."""
        answers: list[Mapping[str, Any]] = []

        def ask(options: Mapping[str, Any]) -> Mapping[str, Any]:
            answers.append(self._run(options, degree, platform, file))
            return answers[-1]

        agreed, _failure = pinned(self._arguments, self.folder, ask)
        answer = answers[-1] if answers else ask(agreed)
        at = time.time()
        if answer.get("failed") and "store" not in answer:
            return {"at": at, "refused": answer, "items": []}
        with open(file, encoding="ascii") as stream:
            items = json.load(stream)["items"]
        if answers and _differs(agreed, items):
            # another process was faster, and has found a tag that moved meanwhile
            answer = ask(agreed)
            with open(file, encoding="ascii") as stream:
                items = json.load(stream)["items"]
        return {"at": at, "items": items, "store": answer["store"]}

    def _run(self, options: Mapping[str, Any], degree: str, platform: str, file: str) -> dict[str, Any]:
        # that of the host is not the one which is asked for
        options = {name: value for name, value in options.items() if name not in ("via", "suspend", "resolve_once")}
        store = os.path.join(self.folder, f"{FILE_NAME}.store")
        if self._relay is not None:
            try:
                return self._relay.provide(options, degree, platform, file, store)
            except OciError as exc:
                # for the hosts that wait for it as well
                return exc.as_failure()
        request = {"degree": degree, "file": file, "store": store, "platform": platform}
        text = json.dumps({"request": request})
        BeforeFork.prepare()
        return run_on_controller(
            self._action.MODULE,
            {**options, "via": text},
            self._action._loader.get_basedir(),
            check_mode=self._check_mode,
            hear=self._action._hear,
        )

    def _key(self, platform: str) -> str:
        """A key for what is provided: the same for all hosts and tasks that want the same."""
        arguments = plain(self._arguments)
        items = arguments.get("artifacts")
        ignored = WAY | _OF_HOST
        wanted = [{name: value for name, value in arguments.items() if name not in (*ignored, "artifacts")}]
        for item in items if isinstance(items, list) else []:
            wanted.append({name: value for name, value in item.items() if name not in ignored})
        modes = [self._via, platform, self._in_check_mode]
        text = json.dumps([modes, wanted], sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _differs(agreed: Mapping[str, Any], items: list[Mapping[str, Any]]) -> bool:
    """True when a pin that the run agreed upon is not the revision that was provided."""
    entries = agreed["artifacts"] if isinstance(agreed.get("artifacts"), list) else [agreed]
    pins = [entry.get("pin") if isinstance(entry, Mapping) else None for entry in entries]
    return any(pin and item.get("revision") and item["revision"] != pin for pin, item in zip(pins, items))

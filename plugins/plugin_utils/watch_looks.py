# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at watched artifacts, several at the same time, each in a process that cannot take the others with it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError

#: Looks that run at the same time: a registry that does not answer keeps the artifacts of others waiting only when as
#: many of its own are looked at.
PARALLEL = 8
#: Seconds for one look. The timeouts of the connection end it earlier, whatever a registry does.
MAX_SECONDS = 900.0
MAX_ANSWER = 1 << 20
#: Signers that an event names.
MAX_SIGNERS = 50
# what has to be satisfied, beside the selection
_CONDITIONS = ("verify", "policy")


def look(options: Mapping[str, Any], announced: str, folder: str) -> dict[str, Any]:
    """Return what a reference stands for now: ``revision``, ``artifact``, ``verified`` and ``signers``; or a module's
    failure, with ``failed``, ``msg``, ``reason`` and ``retryable``.

    One HEAD request, and with a selection the list of tags. Signatures and policy are checked for a revision other than
    ``announced`` alone: its manifest and what its verification takes are then fetched, and no content.

    :param options: those of oci_artifact_pull, without ``dest``.
    :param folder: what relative paths in options start from.
    :raises OciError: when a module ends without a result.
    """
    from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_info
    from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_environment import carried_options
    from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_module import run_on_controller

    options = {**options, **carried_options(options, os.environ, {})}
    free = {name: value for name, value in options.items() if name not in _CONDITIONS}
    result = run_on_controller(oci_artifact_info, {**free, "gather": []}, folder)
    if result.get("failed"):
        return result
    revision = result["artifact"]["revision"]
    if revision == announced or not any(options.get(name) for name in _CONDITIONS):
        return _finding(result)
    from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_pull

    with tempfile.TemporaryDirectory(prefix="oci-artifact-") as empty:
        asked = {**options, "pin": revision, "dest": os.path.join(empty, "dest/")}
        result = run_on_controller(oci_artifact_pull, asked, folder, check_mode=True)
    return result if result.get("failed") else _finding(result)


def _finding(result: Mapping[str, Any]) -> dict[str, Any]:
    verification = result.get("verification") or {}
    signers = list(verification.get("signers") or (verification.get("verdict") or {}).get("signers") or ())
    return {
        "revision": result["artifact"]["revision"],
        "artifact": result["artifact"],
        "verified": bool(verification.get("verified")),
        "signers": signers[:MAX_SIGNERS],
    }


def run_looks(looks: Iterable[tuple[str, Callable[[], dict[str, Any]]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run each function in a child of this process, ``PARALLEL`` at a time; yield its key and its result as it ends.

    A child that ends without a result, says too much or takes longer than ``MAX_SECONDS`` is a failure like others.
    """
    waiting = list(looks)
    running: dict[int, _Child] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < PARALLEL:
                    child = _Child(*waiting.pop(0))
                    running[child.reader] = child
                    selector.register(child.reader, selectors.EVENT_READ)
                selector.select(1.0)
                for reader, child in list(running.items()):
                    if child.has_ended():
                        selector.unregister(reader)
                        del running[reader]
                        yield child.key, child.result()
        finally:
            for child in running.values():
                child.end()


class _Child:
    def __init__(self, key: str, function: Callable[[], dict[str, Any]]) -> None:
        self.key = key
        self._answer = bytearray()
        self._deadline = time.monotonic() + MAX_SECONDS
        self.reader, writer = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            _answer_and_exit(function, self.reader, writer)
        os.close(writer)
        os.set_blocking(self.reader, False)

    def has_ended(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.reader, 65536)
            self._answer += data
            if not data:
                return True
        return len(self._answer) > MAX_ANSWER or time.monotonic() > self._deadline

    def result(self) -> dict[str, Any]:
        self.end()
        try:
            found = json.loads(self._answer)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        return OciError(f"A look at the artifact ended without an answer, in {MAX_SECONDS:g} seconds.").as_failure()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            # with the module that it may have started
            os.killpg(self._process, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(self._process, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.waitpid(self._process, 0)
            os.close(self.reader)


def _answer_and_exit(function: Callable[[], dict[str, Any]], reader: int, writer: int) -> None:
    """In the child: nothing may return from here, or two processes would go on with the same work."""
    try:
        os.close(reader)
        os.setpgid(0, 0)
        try:
            found = function()
        except OciError as exc:
            found = exc.as_failure()
        except Exception as exc:
            # no words of it, which may repeat an option
            found = OciError(f"A look at the artifact ended with {type(exc).__name__}.").as_failure()
        data = memoryview(json.dumps(found, default=str).encode("ascii"))
        while data:
            data = data[os.write(writer, data) :]
    finally:
        os._exit(0)

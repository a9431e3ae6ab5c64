# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock in the cluster: a Lease that its holder renews while it runs, and removes when it is done.

Clocks of hosts are not compared: a Lease counts as abandoned when the waiting process has seen no renewal for the
duration in it. A holder that was a process of this host, and has ended, is recognised at once. Source of the protocol:
client-go, tools/leaderelection.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import platform
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

from .._errors import Conflict, NotFound, OciError, ReleaseLocked
from .._files.threads import new_thread
from .rest import KubeRest

# Seconds without a renewal after which a Lease counts as abandoned, and between renewals.
DURATION = 15
RENEWAL = 4.0
PAUSE = 1.0


def my_identity() -> str:
    """Return an identity of this process: host, digest of boot and PID namespace, PID, start time, random part."""
    return "/".join([platform.node()[:100], _place(), str(os.getpid()), _start_of(os.getpid()), secrets.token_hex(4)])


def is_gone(identity: str) -> bool:
    """Return True when the holder was a process on this host that has ended: no process has its PID and start time."""
    parts = identity.split("/")
    if len(parts) != 5 or not parts[1] or parts[1] != _place() or not parts[2].isdigit():
        return False
    return _start_of(int(parts[2])) != parts[3]


class LeaseLock:
    """One lock, to be held by one thread at a time."""

    def __init__(self, api: KubeRest, namespace: str, name: str, what: str) -> None:
        """Prepare a lock.

        :param name: name of the Lease.
        :param what: name of what the lock guards, for messages.
        """
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{name}"
        self._name = name
        self._what = what
        self._identity = my_identity()
        self._document: dict[str, Any] = {}
        self._done = threading.Event()
        self._heart: threading.Thread | None = None

    def acquire(self, timeout: float) -> bool:
        """Wait for the lock, at most ``timeout`` seconds; return True when its last holder ended without releasing it.

        :raises ReleaseLocked: when another holder keeps it for ``timeout`` seconds.
        :raises NotFound: when the namespace does not exist.
        :raises Forbidden: when the use of Leases is not allowed.
        """
        deadline = time.monotonic() + timeout
        seen, since = "", time.monotonic()
        while True:
            abandoned = False
            found = self._api.find(self._path)
            spec: Mapping[str, Any] = (found or {}).get("spec") or {}
            holder = str(spec.get("holderIdentity") or "")
            now = time.monotonic()
            if found is not None and holder:
                version = str((found.get("metadata") or {}).get("resourceVersion"))
                if version != seen:
                    seen, since = version, now
                abandoned = is_gone(holder) or now - since >= float(spec.get("leaseDurationSeconds") or DURATION)
            if not holder or abandoned:
                with contextlib.suppress(Conflict):
                    self._take(found)
                    self._heart = new_thread(self._beat)
                    self._heart.start()
                    return abandoned
                continue
            if now >= deadline:
                raise ReleaseLocked(
                    f"Another run works on {self._what}: {holder.partition('/')[0][:100]}, since "
                    f"{str(spec.get('acquireTime') or 'some time')[:19]}.",
                    "Let it finish, or raise 'lock_timeout'.",
                )
            time.sleep(min(PAUSE, max(deadline - now, 0.01)))

    def release(self) -> None:
        """Release the lock. Errors are ignored: the Lease expires."""
        self._done.set()
        if self._heart is not None:
            self._heart.join()
        with contextlib.suppress(OciError):
            self._api.delete(self._path, str(self._document["metadata"]["resourceVersion"]))

    def _take(self, found: Mapping[str, Any] | None) -> None:
        now = _now()
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION,
            "acquireTime": now,
            "renewTime": now,
        }
        document: dict[str, Any] = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
        if found is None:
            document["metadata"] = {"name": self._name}
            self._document = self._api.create(self._collection, document)
            return
        version = found["metadata"]["resourceVersion"]
        document["metadata"] = {"name": self._name, "resourceVersion": version}
        try:
            self._document = self._api.replace(self._path, document)
        except NotFound:
            # its holder has released it in the meantime
            raise Conflict("The Lease was removed.") from None

    def _beat(self) -> None:
        while not self._done.wait(RENEWAL):
            spec = {**self._document["spec"], "renewTime": _now()}
            with contextlib.suppress(OciError):
                self._document = self._api.replace(self._path, {**self._document, "spec": spec})


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _place() -> str:
    """Return a digest of this host's boot and PID namespace, in which PIDs are valid; empty when it is not known."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            boot = stream.read().strip()
        return hashlib.sha256(f"{boot} {os.readlink('/proc/self/ns/pid')}".encode()).hexdigest()[:16]
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """Return the start time of a process, in ticks since the boot; empty when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]

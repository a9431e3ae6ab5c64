# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artifacts of one task share: clients of registries, the cache, resolutions, verdicts."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from .resolve import Resolved, Target, resolve

if TYPE_CHECKING:
    from .._cache.artifact_cache import ArtifactCache, CachedRepository
    from .._oci.repository import Repository
    from .._trust.policy import VerifyPolicy
    from .clients import Clients
    from .verdicts import Finding, Verdicts


# Layers that are fetched at the same time, beside those that are unpacked while they arrive.
MAX_TRANSFERS = 16


@dataclass(eq=False, repr=False)
class _Request:
    """What was asked for, by whom and on which way; ``count`` artifacts of the task ask for it."""

    auth: AuthOptions
    connection: ConnectionOptions
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    resolved: Resolved | None = None


class Task:
    """Use as a context manager. Safe for threads; what is not asked for is neither opened nor imported.

    What several artifacts of the task ask for (see :meth:`expect`) is resolved once and means one thing to all of them.
    Without a cache it is kept in a temporary one until the task is done, and so fetched once. ``transfers`` bounds what
    all of them fetch at the same time.
    """

    def __init__(self, cache: CacheOptions) -> None:
        self._options = cache
        self._clients: Clients | None = None
        self._verdicts: Verdicts | None = None
        self._lock = threading.Lock()
        self._small_work = threading.Lock()
        self.transfers = threading.BoundedSemaphore(MAX_TRANSFERS)
        self._requests: dict[str, list[_Request]] = {}
        self._cache: ArtifactCache | None = None
        self._temporary: ArtifactCache | None = None
        self._at_end = contextlib.ExitStack()

    def __enter__(self) -> Task:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._clients is not None:
            self._clients.close()
        self._at_end.close()

    @property
    def cache(self) -> ArtifactCache | None:
        """The cache of the task's options, None when there shall be none.

        :raises InvalidOption: when the directory holds something else.
        """
        if not self._options.root:
            return None
        from .connect import open_cache

        with self._lock:
            if self._cache is None:
                self._cache = open_cache(self._options)
            return self._cache

    @property
    def clients(self) -> Clients:
        """The clients of registries."""
        from .clients import Clients

        with self._lock:
            if self._clients is None:
                self._clients = Clients()
            return self._clients

    @property
    def verdicts(self) -> Verdicts:
        """What was verified."""
        from .verdicts import Verdicts

        with self._lock:
            if self._verdicts is None:
                self._verdicts = Verdicts()
            return self._verdicts

    def expect(self, target: Target, auth: AuthOptions, connection: ConnectionOptions) -> None:
        """Say that an artifact of the task is going to be asked for."""
        self._request(target, auth, connection).count += 1

    def open(self, target: Target, auth: AuthOptions, connection: ConnectionOptions) -> Repository:
        """The repository of an artifact; raises as :func:`~.connect.open_repository`."""
        from .connect import open_repository

        cache = self.cache
        if cache is None and not target.reference.is_layout and self._request(target, auth, connection).count > 1:
            cache = self._temporary_cache()
        return open_repository(target.reference, auth, connection, cache=cache, clients=self.clients)

    def cached(self, repository: Repository) -> CachedRepository | None:
        """The repository as one with a cache, None when it has none."""
        if self._cache is None and self._temporary is None:
            return None
        from .._cache.artifact_cache import CachedRepository

        return repository if isinstance(repository, CachedRepository) else None

    def resolve(
        self, repository: Repository, target: Target, auth: AuthOptions, connection: ConnectionOptions
    ) -> Resolved:
        """As :func:`~.resolve.resolve`."""
        request = self._request(target, auth, connection)
        with request.lock if request.count > 1 else contextlib.nullcontext():
            resolved = request.resolved or resolve(repository, target)
            request.resolved = resolved
            return resolved

    def verify(
        self, repository: Repository, resolved: Resolved, policy: VerifyPolicy, fingerprint: str, *, anew: bool = False
    ) -> Finding:
        """As :meth:`~.verdicts.Verdicts.find`, with what the cache remembers of what is read through it."""
        cache = None if self.cached(repository) is None else self.cache
        return self.verdicts.find(repository, resolved, policy, fingerprint, cache, anew=anew)

    def small_work(self, is_small: bool) -> AbstractContextManager[object]:
        """What many files and few bytes are worked on within: by one thread at a time, since Python lets no two of them
        run, and they would only take it from each other with each system call."""
        return self._small_work if is_small else contextlib.nullcontext()

    def _request(self, target: Target, auth: AuthOptions, connection: ConnectionOptions) -> _Request:
        with self._lock:
            known = self._requests.setdefault(target.wanted, [])
            for request in known:
                if (request.auth, request.connection) == (auth, connection):
                    return request
            known.append(_Request(auth, connection))
            return known[-1]

    def _temporary_cache(self) -> ArtifactCache:
        from .._cache.artifact_cache import TemporaryCache

        with self._lock:
            if self._temporary is None:
                root = self._at_end.enter_context(tempfile.TemporaryDirectory(prefix="oci-artifact-"))
                self._temporary = TemporaryCache(root)
            return self._temporary

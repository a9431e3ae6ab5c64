# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State that the artifacts of one task share: registry clients, the cache, resolved tags, verification results."""

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
    """A target with its credentials and connection settings; ``count`` artifacts of the task request it."""

    auth: AuthOptions
    connection: ConnectionOptions
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    resolved: Resolved | None = None


class Task:
    """A context manager with the shared state of a task. Thread-safe; everything is opened and imported on first use.

    A reference that several artifacts of the task use (see :meth:`expect`) is resolved once, to the same digest for
    all. Without a cache its content is kept in a temporary one until the task is done, and so fetched once.
    ``transfers`` bounds the concurrent downloads of all artifacts.
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

    def of(self, number: int) -> Task:
        """The task for its artifact of this number (from 0): where artifacts are handed over, each has its own."""
        return self

    @property
    def cache(self) -> ArtifactCache | None:
        """The cache of the task's options, None without a cache directory.

        :raises InvalidOption: when the directory is not a cache.
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
        """The registry clients."""
        from .clients import Clients

        with self._lock:
            if self._clients is None:
                self._clients = Clients()
            return self._clients

    @property
    def verdicts(self) -> Verdicts:
        """The verification results."""
        from .verdicts import Verdicts

        with self._lock:
            if self._verdicts is None:
                self._verdicts = Verdicts()
            return self._verdicts

    def expect(self, target: Target, auth: AuthOptions, connection: ConnectionOptions) -> None:
        """Announce that an artifact of the task will be requested."""
        self._request(target, auth, connection).count += 1

    def open(self, target: Target, auth: AuthOptions, connection: ConnectionOptions) -> Repository:
        """Open the repository of an artifact; raises as :func:`~.connect.open_repository`."""
        from .connect import open_repository

        cache = self.cache
        if cache is None and not target.reference.is_layout and self._request(target, auth, connection).count > 1:
            cache = self._temporary_cache()
        return open_repository(target.reference, auth, connection, cache=cache, clients=self.clients)

    def cached(self, repository: Repository) -> CachedRepository | None:
        """The repository, if it has a cache; otherwise None."""
        if self._cache is None and self._temporary is None:
            return None
        from .._cache.artifact_cache import CachedRepository

        return repository if isinstance(repository, CachedRepository) else None

    def resolve(
        self, repository: Repository, target: Target, auth: AuthOptions, connection: ConnectionOptions
    ) -> Resolved:
        """Resolve a target as :func:`~.resolve.resolve` does, once for equal requests of the task."""
        request = self._request(target, auth, connection)
        with request.lock if request.count > 1 else contextlib.nullcontext():
            resolved = request.resolved or resolve(repository, target)
            request.resolved = resolved
            return resolved

    def verify(
        self, repository: Repository, resolved: Resolved, policy: VerifyPolicy, fingerprint: str, *, anew: bool = False
    ) -> Finding:
        """Verify as :meth:`~.verdicts.Verdicts.find` does, with the results stored in the repository's cache."""
        cache = None if self.cached(repository) is None else self.cache
        return self.verdicts.find(repository, resolved, policy, fingerprint, cache, anew=anew)

    def small_work(self, is_small: bool) -> AbstractContextManager[object]:
        """A lock for work on many small files: one thread at a time is faster, since the threads would contend for the
        interpreter lock at each system call."""
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

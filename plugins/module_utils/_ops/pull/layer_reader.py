# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading of the checked bytes of layers, with parallel downloads."""

from __future__ import annotations

import contextlib
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ..._oci.manifest import Descriptor
from ..._oci.repository import Repository, from_each_place, read_blob
from ..task import MAX_TRANSFERS

if TYPE_CHECKING:
    from .staged_layers import StagedLayers

# A few parallel transfers of large layers use the full bandwidth; small layers are limited by latency, and need more.
# The number of transfers, within these limits, is such that this many bytes of layers of average size are in transit.
MIN_TRANSFERS = 4
BYTES_IN_TRANSIT = 32 * 1024 * 1024
SPARE_OPEN_FILES = 256


class Holder(Protocol):
    """A cache of layers, or the kept layers of a destination."""

    def hold_blob(self, descriptor: Descriptor, /) -> BinaryIO | None:
        """Open a layer, which is fetched when it is missing; None where it cannot be stored."""


@contextlib.contextmanager
def opened_layers(
    repository: Repository,
    cached: Holder | None,
    layers: Sequence[Descriptor],
    stage: int,
    transfers: threading.Semaphore,
) -> Iterator[LayerReader]:
    """Yield a reader of the layers: from a cache (``cached``), from files in the open directory ``stage``, into which
    they are downloaded in parallel within ``transfers``, or from the repository itself.

    A single layer without a cache streams from the repository in one pass, without a copy on disk, unless there is
    another source to use after a digest mismatch. Cached layers are not removed from the cache within the block.
    """
    distinct = {layer.digest: layer for layer in layers}
    with contextlib.ExitStack() as stack:
        held: dict[str, BinaryIO] = {}
        if cached is not None:
            held = hold_all(cached, list(distinct.values()), stack, transfers)
        rest = [layer for digest, layer in distinct.items() if digest not in held]
        store = _fetch_to_stage(repository, rest, len(distinct), stage, transfers)
        yield LayerReader(repository, held, store, Counter(layer.digest for layer in layers))


class LayerReader:
    """Returns the checked bytes of a layer; after an error, the bytes before it must not be used."""

    def __init__(
        self, repository: Repository, held: Mapping[str, BinaryIO], store: StagedLayers | None, uses: Mapping[str, int]
    ) -> None:
        self._repository = repository
        self._held = dict(held)
        self._store = store
        self._uses = uses

    def __call__(self, layer: Descriptor) -> Iterator[bytes]:
        handle = self._held.get(layer.digest)
        if handle is not None:
            from ..._cache.store import checked

            return checked(handle, layer)
        return self._store.stream(layer) if self._store else read_blob(self._repository, layer)

    def take_in(self, layers: Iterable[Descriptor]) -> None:
        """Read small layers into memory."""
        self._held.update({layer.digest: io.BytesIO(b"".join(self(layer))) for layer in layers})

    def move(self, layer: Descriptor, parent: int, name: bytes) -> bool:
        """Move the layer's staged file, if nothing else needs it, to the entry ``name`` of another directory of the
        stage; return True when it was moved.

        Its bytes cannot be read afterwards.
        """
        if self._store is None or layer.digest in self._held or self._uses[layer.digest] != 1:
            return False
        self._store.move(layer, parent, name)
        return True


def hold_all(
    cached: Holder,
    layers: Sequence[Descriptor],
    stack: contextlib.ExitStack,
    transfers: threading.Semaphore,
) -> dict[str, BinaryIO]:
    _allow_open_files(len(layers))
    held: dict[str, BinaryIO] = {}

    def hold(layer: Descriptor) -> None:
        found = cached.hold_blob(layer)
        if found is not None:
            held[layer.digest] = stack.enter_context(found)

    _fetch_layers(hold, layers, transfers)
    return held


def _fetch_to_stage(
    repository: Repository, layers: Sequence[Descriptor], count: int, stage: int, transfers: threading.Semaphore
) -> StagedLayers | None:
    """Download layers to files of the stage; None when they are to be streamed from the repository."""
    if not layers or repository.reference.is_layout or (count == 1 and not repository.has_alternatives):
        return None
    from .staged_layers import StagedLayers

    store = StagedLayers(stage)

    def fetch(layer: Descriptor) -> None:
        what = f"The blob {layer.digest} of {repository.reference.name}"
        from_each_place(
            repository,
            layer,
            lambda: store.fetch(layer, lambda offset: repository.blob_views(layer, offset), what),
        )

    _fetch_layers(fetch, layers, transfers)
    return store


def _allow_open_files(count: int) -> None:
    """Raise the limit of open files by ``count``, as far as the system allows it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _transfers(layers: Sequence[Descriptor]) -> int:
    """The number of layers to download at the same time."""
    average = sum(layer.size for layer in layers) // len(layers)
    return max(MIN_TRANSFERS, min(BYTES_IN_TRANSIT // max(1, average), MAX_TRANSFERS))


def _fetch_layers(
    fetch: Callable[[Descriptor], None], layers: Sequence[Descriptor], transfers: threading.Semaphore
) -> None:
    def fetch_in_turn(layer: Descriptor) -> None:
        with transfers:
            fetch(layer)

    if len(layers) < 2:
        for layer in layers:
            fetch_in_turn(layer)
        return
    from concurrent.futures import FIRST_EXCEPTION, wait

    from ..._files.threads import thread_pool

    with thread_pool(min(_transfers(layers), len(layers))) as pool:
        started = [pool.submit(fetch_in_turn, layer) for layer in layers]
        wait(started, return_when=FIRST_EXCEPTION)
        # the first failure is raised: downloads that have not started are cancelled
        pool.shutdown(wait=True, cancel_futures=True)
    for done in started:
        if not done.cancelled():
            done.result()

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A read-only repository with several sources: mirrors, and the registry that they mirror.

Each request goes to the sources in their order, until one has the content. A mirror is trusted only to resolve tags:
bytes are checked against their digest, whichever source sent them.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from typing import Callable, TypeVar

from .._errors import (
    ConnectionFailed,
    DigestMismatch,
    InvalidOption,
    InvalidReference,
    MissingDependency,
    NotAtMirrors,
    NotFound,
    OciError,
)
from .._oci.manifest import Descriptor, Manifest
from .._oci.reference import Reference
from .._oci.repository import MAX_SMALL_BLOB, Repository, read_blob
from .rules import PullSource

# errors that another source cannot solve
_FATAL = (InvalidOption, InvalidReference, MissingDependency)

T = TypeVar("T")


class _Source:
    """A mirror or the registry itself, opened on first use.

    ``failure`` is the error after which it is no longer used; ``is_named`` is True once a warning names it.
    """

    def __init__(self, place: PullSource, open_place: Callable[[PullSource], Repository]) -> None:
        self.name = place.reference.registry
        self.is_origin = place.is_origin
        self.failure: OciError | None = None
        self.is_named = False
        self._place = place
        self._open = open_place
        self._lock = threading.Lock()
        self._repository: Repository | None = None

    def repository(self) -> Repository:
        with self._lock:
            if self._repository is None:
                self._repository = self._open(self._place)
            return self._repository

    def close(self) -> None:
        if self._repository is not None:
            self._repository.close()


class MirroredRepository:
    """Implements :class:`~._oci.repository.Repository` over several sources; thread-safe.

    ``reference`` is that of the repository itself, not of a mirror.
    """

    def __init__(
        self, reference: Reference, places: Sequence[PullSource], open_place: Callable[[PullSource], Repository]
    ) -> None:
        self.reference = reference.at()
        self.warnings: list[str] = []
        self._sources = [_Source(place, open_place) for place in places]
        self._served: dict[str, None] = {}
        # the sources of the bytes of each large blob, by its digest
        self._blob_sources: dict[str, list[_Source]] = {}

    @property
    def served_by(self) -> list[str]:
        return list(self._served)

    @property
    def has_alternatives(self) -> bool:
        return sum(source.failure is None for source in self._sources) > 1

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def resolve(self, identifier: str) -> Descriptor:
        return self._ask(lambda repository: repository.resolve(identifier))

    def fetch_manifest(self, identifier: str) -> Manifest:
        return self._ask(lambda repository: repository.fetch_manifest(identifier))

    def list_tags(self) -> list[str]:
        return self._ask(lambda repository: repository.list_tags(), bool)

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        return self._ask(lambda repository: repository.list_referrers(digest, artifact_type), bool)

    def blob_views(self, descriptor: Descriptor, offset: int = 0, buffer: memoryview | None = None) -> Iterator[bytes]:
        return self._stream(descriptor, offset, buffer)

    def blob_exists(self, descriptor: Descriptor) -> bool:
        return self._ask(lambda repository: repository.blob_exists(descriptor), bool)

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob. One of at most 4 MiB is checked before it is returned; an interrupted larger one is
        resumed at the next source. On a digest mismatch the caller calls :meth:`distrust` and starts again.
        """
        return self._stream(descriptor, offset, None)

    def _stream(self, descriptor: Descriptor, offset: int, buffer: memoryview | None) -> Iterator[bytes]:
        if descriptor.size <= MAX_SMALL_BLOB:
            yield self._ask(lambda repository: b"".join(read_blob(repository, descriptor)))[offset:]
            return
        position = offset
        failures: list[tuple[_Source, OciError]] = []
        for source in self._usable(failures):
            try:
                for chunk in _chunks(source.repository(), descriptor, position, buffer):
                    self._note_chunk(source, descriptor)
                    position += len(chunk)
                    yield chunk
                return
            except OciError as exc:
                self._pass_over(source, exc, failures)
        raise _combined(failures)

    def distrust(self, descriptor: Descriptor) -> bool:
        sources = self._blob_sources.pop(descriptor.digest, [])
        for source in sources[:1]:
            text = f"The blob {descriptor.digest} that {source.name} served does not match its digest."
            self._pass_over(source, DigestMismatch(text), [])
            return source.failure is not None
        return False

    def _ask(self, request: Callable[[Repository], T], is_enough: Callable[[T], bool] = lambda answer: True) -> T:
        """The first response that ``is_enough`` accepts; otherwise the first response of any source."""
        failures: list[tuple[_Source, OciError]] = []
        poor: list[T] = []
        for source in self._usable(failures):
            try:
                answer = request(source.repository())
            except OciError as exc:
                self._pass_over(source, exc, failures)
                continue
            if is_enough(answer):
                self._served.setdefault(source.name)
                return answer
            poor.append(answer)
        if poor:
            return poor[0]
        raise _combined(failures)

    def _usable(self, failures: list[tuple[_Source, OciError]]) -> Iterator[_Source]:
        for source in self._sources:
            if source.failure is None:
                yield source
            else:
                failures.append((source, source.failure))

    def _note_chunk(self, source: _Source, descriptor: Descriptor) -> None:
        self._served.setdefault(source.name)
        sources = self._blob_sources.setdefault(descriptor.digest, [])
        if source not in sources:
            sources.append(source)

    def _pass_over(self, source: _Source, error: OciError, failures: list[tuple[_Source, OciError]]) -> None:
        if isinstance(error, _FATAL):
            raise error
        failures.append((source, error))
        if isinstance(error, NotFound):
            return
        if not source.is_origin and not source.is_named:
            source.is_named = True
            self.warnings.append(f"The mirror {source.name} was passed over: {error.message}")
        # a source that is unreachable or sends wrong bytes is not used again while there is another one
        others = [each for each in self._sources if each is not source and each.failure is None]
        if others and isinstance(error, (ConnectionFailed, DigestMismatch)):
            source.failure = error


def _chunks(
    repository: Repository, descriptor: Descriptor, position: int, buffer: memoryview | None
) -> Iterator[bytes]:
    if buffer is None:
        return repository.stream_blob(descriptor, position)
    return repository.blob_views(descriptor, position, buffer)


def _combined(failures: Sequence[tuple[_Source, OciError]]) -> OciError:
    """Combine the errors of all sources: NotFound when no source, or not the registry itself, has the content;
    otherwise the error of a source that could not answer.
    """
    source, error = failures[-1]
    is_absent = any(isinstance(each, NotFound) for _source, each in failures)
    if not (source.is_origin and isinstance(error, NotFound)):
        source, error = next((each for each in reversed(failures) if not isinstance(each[1], NotFound)), failures[-1])
    others = "; ".join(_source_error(*each) for each in failures if each[0] is not source)
    if is_absent and isinstance(error, ConnectionFailed):
        result: OciError = NotAtMirrors(error.message, error.hint, is_lasting=error.is_lasting)
    else:
        result = copy.copy(error)
    if others:
        result.message = f"{result.message} Elsewhere: {others}."
        result.args = (result.message,)
    return result


def _source_error(source: _Source, error: OciError) -> str:
    found = "it is not there" if isinstance(error, NotFound) else error.message.rstrip(".")
    return f"{source.name}: {found}"

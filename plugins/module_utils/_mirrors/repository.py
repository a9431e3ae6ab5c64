# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository that may be asked for at several places: mirrors, and the registry that they mirror.

Only reads go to mirrors. Each request asks the places in their order until one has what is wanted. A mirror is trusted
to say what a tag stands for, and with nothing else: bytes are checked against the digest, whoever sent them.
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
from .._oci.repository import MAX_SMALL_BLOB, BlobSource, Repository, read_blob
from .rules import Place

# what no other place can put right
_FATAL = (InvalidOption, InvalidReference, MissingDependency)

T = TypeVar("T")


class _Source:
    """A place, opened when it is first asked.

    ``failure`` is why it is not asked any more; ``is_named`` whether a warning names it.
    """

    def __init__(self, place: Place, open_place: Callable[[Place], Repository]) -> None:
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
    """Implements :class:`~._oci.repository.Repository`, for reading, over the places of a repository; safe for threads.

    ``reference`` is the repository's own, whoever serves it.
    """

    def __init__(
        self, reference: Reference, places: Sequence[Place], open_place: Callable[[Place], Repository]
    ) -> None:
        self.reference = reference.at()
        self.warnings: list[str] = []
        self._sources = [_Source(place, open_place) for place in places]
        self._served: dict[str, None] = {}
        # whose bytes each large blob is made of, by its digest
        self._brought: dict[str, list[_Source]] = {}

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

    def blob_exists(self, descriptor: Descriptor) -> bool:
        return self._ask(lambda repository: repository.blob_exists(descriptor), bool)

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """A blob of at most 4 MiB is checked before any of it is given out. A larger one that breaks off is continued
        at the next place; whoever finds it wrong in the end calls :meth:`distrust` and begins again.
        """
        if descriptor.size <= MAX_SMALL_BLOB:
            yield self._ask(lambda repository: b"".join(read_blob(repository, descriptor)))[offset:]
            return
        position = offset
        failures: list[tuple[_Source, OciError]] = []
        for source in self._usable(failures):
            try:
                for chunk in source.repository().stream_blob(descriptor, position):
                    self._note_chunk(source, descriptor)
                    position += len(chunk)
                    yield chunk
                return
            except OciError as exc:
                self._pass_over(source, exc, failures)
        raise _combined(failures)

    def distrust(self, descriptor: Descriptor) -> bool:
        brought = self._brought.pop(descriptor.digest, [])
        for source in brought[:1]:
            text = f"The blob {descriptor.digest} that {source.name} served has another content than its digest says."
            self._pass_over(source, DigestMismatch(text), [])
            return source.failure is not None
        return False

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        raise NotImplementedError("Mirrors are only read: open the repository for writing.")

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        raise NotImplementedError("Mirrors are only read: open the repository for writing.")

    def check_attachable(self, subject: str) -> None:
        raise NotImplementedError("Mirrors are only read: open the repository for writing.")

    def _ask(self, request: Callable[[Repository], T], is_enough: Callable[[T], bool] = lambda answer: True) -> T:
        """The first answer that is enough; one that is not only where no place has a better one."""
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
        brought = self._brought.setdefault(descriptor.digest, [])
        if source not in brought:
            brought.append(source)

    def _pass_over(self, source: _Source, error: OciError, failures: list[tuple[_Source, OciError]]) -> None:
        if isinstance(error, _FATAL):
            raise error
        failures.append((source, error))
        if isinstance(error, NotFound):
            return
        if not source.is_origin and not source.is_named:
            source.is_named = True
            self.warnings.append(f"The mirror {source.name} was passed over: {error.message}")
        # what cannot be reached, or lies, is not asked again, as long as there is another place
        others = [each for each in self._sources if each is not source and each.failure is None]
        if others and isinstance(error, (ConnectionFailed, DigestMismatch)):
            source.failure = error


def _combined(failures: Sequence[tuple[_Source, OciError]]) -> OciError:
    """One error for all places. What nobody has is not found; where one could not say, that is the error, unless it was
    the registry itself that said no.
    """
    source, error = failures[-1]
    is_absent = any(isinstance(each, NotFound) for _source, each in failures)
    if not (source.is_origin and isinstance(error, NotFound)):
        source, error = next((each for each in reversed(failures) if not isinstance(each[1], NotFound)), failures[-1])
    others = "; ".join(_words(*each) for each in failures if each[0] is not source)
    if is_absent and isinstance(error, ConnectionFailed):
        result: OciError = NotAtMirrors(error.message, error.hint, is_lasting=error.is_lasting)
    else:
        result = copy.copy(error)
    if others:
        result.message = f"{result.message} Elsewhere: {others}."
        result.args = (result.message,)
    return result


def _words(source: _Source, error: OciError) -> str:
    found = "it is not there" if isinstance(error, NotFound) else error.message.rstrip(".")
    return f"{source.name}: {found}"

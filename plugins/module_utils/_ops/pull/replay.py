# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Placing of a kept revision again, without any request: the steps of a pull over what the host has kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..._dest.destination import Destination
from ..._dest.history import Hold, Kept, with_hold
from ..._dest.kept_blobs import KeptBlobs
from ..._dest.permissions import Permissions
from ..._dest.state import State
from ..._errors import StorageError
from ..._files.bounded import pieces
from ..._files.regular_file import storage_error
from ..._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, Manifest, parse_manifest
from ..._oci.reference import Reference, parse_reference, parse_url
from ..layer_selector import LayerSelector, Limits
from ..resolve import ReferenceOptions, Resolved, Target
from ..task import Task
from .change import Change
from .context import PullContext
from .options import PullOptions, PullResult

if TYPE_CHECKING:
    from ..._oci.repository import Repository


class KeptRepository:
    """A kept revision as a repository that can be read. Every byte of it is hashed before it is used."""

    has_alternatives = False

    def __init__(self, destination: Destination, target: Target) -> None:
        self.reference = target.reference.at()
        self.served_by: list[str] = []
        self.warnings: list[str] = []
        self._destination = destination

    def distrust(self, descriptor: Descriptor) -> bool:
        """There is no other source."""
        return False

    def fetch_manifest(self, identifier: str) -> Manifest:
        """Return a manifest by its digest.

        :raises NotFound: when it is not kept.
        :raises DigestMismatch: when the file was damaged.
        """
        raw = b"".join(self._chunks(identifier, MAX_MANIFEST_SIZE))
        manifest = parse_manifest(raw, "", f"The manifest {self.reference.at(digest=identifier)}")
        return replace(manifest, descriptor=replace(manifest.descriptor, digest=identifier))

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a layer from an offset on; raises as :meth:`fetch_manifest`."""
        return self._chunks(descriptor.digest, None, offset)

    blob_views = stream_blob

    def _chunks(self, digest: str, limit: int | None, offset: int = 0) -> Iterator[bytes]:
        what = f"The kept blob {digest} of {self.reference.name}"
        try:
            with self._destination.opened() as held:
                handle = KeptBlobs(held.control).open(digest, what)
            with handle:
                if limit is not None and handle.seek(0, 2) > limit:
                    raise StorageError(f"{what} has more than {limit} bytes.")
                handle.seek(offset)
                yield from pieces(handle)
        except OSError as exc:
            raise storage_error("read", what, exc) from None


class KeptTarget(NamedTuple):
    """What a kept revision was pulled for, in the place of a :class:`..resolve.Target`; ``wanted`` is its request."""

    reference: Reference
    wanted: str


class Replay(Change):
    """Places a kept revision, and notes that it is the one in ``dest`` and which digest is held back from now on."""

    def __init__(
        self, pull: PullContext, repository: Repository, resolved: Resolved, kept: Kept, hold: Hold | None
    ) -> None:
        super().__init__(pull, repository, resolved, kept.verification, nullcontext())
        self._revision = kept
        self._hold = hold
        self._going = kept.number

    def _standing_after(self, state: State, _placed: Kept | None) -> Mapping[str, Any]:
        return standing_after(state.standing, self._revision, self._hold)

    def _enter_index(self) -> None:
        """The pull that placed it has entered the destination, with the selection that is not known here."""


def standing_after(standing: Mapping[str, Any], kept: Kept, hold: Hold | None) -> Mapping[str, Any]:
    """Return what is remembered once a kept revision is in place again."""
    result = {name: value for name, value in standing.items() if name != "going"}
    result["current"] = kept.number
    return with_hold(result, hold) if hold is not None else result


def replay_context(
    destination: Destination, name: str, kept: Kept, task: Task, *, check_mode: bool = False, want_diff: bool = False
) -> PullContext:
    """Return the pull of a kept revision, with the options that it was pulled with.

    :param name: of the file in ``destination``, for a copy to a file.
    """
    key, settings = kept.key, kept.settings
    url = str(key["url"])
    reference = (parse_url(url) if url.startswith("oci://") else parse_reference(url)).at(tag=kept.tag)
    permissions = Permissions(settings.get("mode") or "", settings.get("uid"), settings.get("gid"))
    options = PullOptions(
        reference=ReferenceOptions(ref=str(reference)),
        dest=destination.root,
        selector=LayerSelector(str(key["media_type"]), str(key["operation"]), str(key["layers"])),
        limits=Limits(int(settings["max_size"]), int(settings["max_files"])),
        platform=str(key["platform"]),
        ignore=key["ignore"],
        permissions=permissions,
        unsafe_writes=bool(settings.get("unsafe_writes")),
    )
    destination.permissions, destination.unsafe_writes = permissions, options.unsafe_writes
    target = KeptTarget(reference.at(tag=kept.tag, digest=kept.digest), kept.request)
    return PullContext(cast(Target, target), options, task, destination, name, {}, check_mode, want_diff)


def replay(
    destination: Destination,
    name: str,
    kept: Kept,
    task: Task,
    hold: Hold | None = None,
    *,
    check_mode: bool = False,
    want_diff: bool = False,
) -> PullResult:
    """Make ``dest`` hold a kept revision again, without any request.

    :param hold: what is held back from now on; None for nothing more.
    :raises OciError: when something of it is missing or was damaged, or cannot be placed; ``dest`` is then unchanged.
    """
    pull = replay_context(destination, name, kept, task, check_mode=check_mode, want_diff=want_diff)
    resolved = Resolved(kept.digest, kept.tag, None)
    repository = cast("Repository", KeptRepository(destination, pull.target))
    state = pull.load_state()
    return Replay(pull, repository, resolved, kept, hold).carry_out(state, pull.drift(state, resolved))

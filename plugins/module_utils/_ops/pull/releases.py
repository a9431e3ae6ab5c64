# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is different about a pull that places each revision in a directory of its own (``layout: releases``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..._dest.history import Kept, current_revision, with_placed
from ..._dest.plan import Plan
from ..._dest.releases import ReleaseDestination, ReleaseHandles, check_tree, compare, with_name
from ..._dest.state import State
from ..._files.directory_handles import DirectoryHandles
from ..._oci.manifest import Descriptor, Manifest
from ..placement import Placement
from .change import Change
from .keeping import kept_revision
from .layer_reader import LayerReader
from .staging import Staged

if TYPE_CHECKING:
    from ..._cache.artifact_cache import CachedRepository
    from .keeping import Keeper


class ReleaseChange(Change):
    """Places a revision in a release of its own; what drifted in the release in place is corrected there.

    What is kept are the releases, so that no layers are.
    """

    def _plan(self, root: DirectoryHandles, staged: Staged, state: State, is_strict: bool) -> Plan:
        if dict(state.key) == self._pull.key(self._resolved):
            return super()._plan(root, staged, state, is_strict)
        return compare(staged.tree, state)

    def _is_in_place(self, root: DirectoryHandles, state: State) -> bool:
        is_there = isinstance(root, ReleaseHandles) and root.is_there
        return is_there and dict(state.key) == self._pull.key(self._resolved)

    def _stage(
        self, manifest: Manifest, placement: Placement, read: LayerReader, content: int, is_strict: bool
    ) -> Staged:
        staged = super()._stage(manifest, placement, read, content, is_strict)
        reference = self._pull.target.reference
        check_tree(staged.tree, str(reference.at(tag=self._resolved.tag, digest=self._resolved.digest)))
        return staged

    def _needs_digests(self, layers: list[Descriptor], is_strict: bool) -> bool:
        """Always: they are what a release is compared with before it is placed again."""
        return True

    def _keeper(self, stage: int, cached: CachedRepository | None, state: State) -> Keeper | None:
        return None

    def _kept(
        self, keeper: Keeper | None, key: Mapping[str, Any], layers: Sequence[Descriptor], wanted: str
    ) -> Kept | None:
        options = self._pull.options
        kept = kept_revision(options, key, self._resolved, self._seen, layers, self._verification, wanted)
        return kept._replace(blobs=())

    def _standing_after(self, state: State, placed: Kept | None) -> Mapping[str, Any]:
        standing, keep = dict(state.standing), self._pull.options.keep
        destination = cast(ReleaseDestination, self._pull.destination)
        before = current_revision(standing)
        with destination.opened() as held:
            in_place = self._is_in_place(held.root, state)
        if in_place and before is not None and placed is not None:
            placed = placed._replace(release=before.release)
        else:
            standing["last"] = destination.next_number(standing) - 1
            if before is not None and placed is not None and before.key == placed.key:
                # somebody has removed it: what is placed is another one
                standing["history"] = [each for each in standing["history"] if each["number"] != before.number]
        return with_name(with_placed(standing, placed, keep))

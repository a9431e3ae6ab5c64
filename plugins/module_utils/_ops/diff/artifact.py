# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One artifact of a comparison: resolved and verified, its layers chosen, and those of them fetched that are wanted."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..._files.directory_handles import DirectoryHandles
from ..._files.tree import FILE, TreeEntry
from ..._oci.manifest import Descriptor, Manifest
from ..._oci.progress import transfers
from ..._secrets.known import without_secrets_in
from ..artifact_result import artifact_identity, artifact_result
from ..layer_selector import COPY
from ..layers import check_sizes, choose_manifest, file_name
from ..placement import Placement, placement_of
from ..pull.layer_reader import LayerReader, opened_layers
from ..pull.staging import Staged, is_plain_file, stage_copied, stage_extracted
from ..resolve import Resolved, parse_target
from ..task import Task
from .content import Content
from .options import Side

if TYPE_CHECKING:
    from ..._oci.repository import Repository
    from ..._policy.rules import Policy
    from ..._trust.policy import VerifyPolicy
    from ..guard import Guard
    from ..verdicts import Finding


class Artifact:
    """An artifact that the task compares; its options are checked without a request.

    :raises OciError: when the options cannot be used.
    """

    def __init__(self, side: Side, task: Task, policy: Policy | None = None) -> None:
        self._side = side
        self._task = task
        self._guard: Guard | None = None
        self._policies: Mapping[str, VerifyPolicy] = {}
        if policy is None:
            self._target = parse_target(side.reference, side.selector.media_type)
        else:
            from ..guard import guarded_target

            self._target, self._guard = guarded_target(side.reference, policy, side.verify, side.selector.media_type)
        if self._guard is not None:
            self._policies = self._guard.policies
        elif side.verify is not None:
            from ..verdicts import policy_fingerprint

            self._policies = {policy_fingerprint(side.verify): side.verify}
        for fingerprint, each in self._policies.items():
            task.verdicts.check(each, fingerprint)
        task.expect(self._target, side.auth, side.connection)

    def resolve(self) -> ResolvedArtifact:
        """Resolve the reference to a digest, and verify that when a policy is given. The caller closes the result.

        :raises VerificationFailed: when the signatures do not satisfy the policy.
        :raises OciError: for every other failure.
        """
        side, task = self._side, self._task
        repository = task.open(self._target, side.auth, side.connection)
        try:
            resolved = task.resolve(repository, self._target, side.auth, side.connection)
            if self._guard is not None:
                self._guard.check_resolved(resolved)
            found = ResolvedArtifact(side, task, repository, resolved, self._guard)
            found.warnings += self._target.warnings
            if self._target.asks_for_tag:
                from ..moved_tag import warnings_of_moved_tag

                found.warnings += warnings_of_moved_tag(repository, self._target)
            if self._policies:
                finding = self._verify(repository, resolved)
                found.warnings += finding.warnings_of_use(repository, resolved)
                found.verification = finding.verification
            return found
        except BaseException:
            repository.close()
            raise

    def _verify(self, repository: Repository, resolved: Resolved) -> Finding:
        if self._guard is not None:
            return self._guard.verify(self._task, repository, resolved)
        fingerprint, policy = next(iter(self._policies.items()))
        return self._task.verify(repository, resolved, policy, fingerprint)


class ResolvedArtifact:
    """An artifact with its digest. ``name`` is the artifact in headers; ``warnings`` are for the user."""

    def __init__(
        self, side: Side, task: Task, repository: Repository, resolved: Resolved, guard: Guard | None = None
    ) -> None:
        self.side = side
        self._guard = guard
        self.task = task
        self.repository = repository
        self.resolved = resolved
        self.warnings: list[str] = []
        self.verification: Mapping[str, Any] = {}
        digest = "" if resolved.tag else resolved.digest
        self.name = str(repository.reference.at(tag=resolved.tag, digest=digest))

    def choose(self) -> ChosenLayers:
        """Fetch the manifest, and choose the layers.

        :raises OciError: for every failure.
        """
        repository, side = self.repository, self.side
        what = str(repository.reference.at(tag=self.resolved.tag, digest=self.resolved.digest))
        top = repository.fetch_manifest(self.resolved.digest)
        manifest = choose_manifest(repository, top, side.platform, side.selector.media_type)
        if self._guard is not None:
            self._guard.check_parts(self.resolved, [top, manifest])
        placement = placement_of(manifest, side.selector, what)
        self.warnings += placement.warnings
        return ChosenLayers(self, top, manifest, placement)

    def as_result(self) -> dict[str, Any]:
        """The value ``from`` or ``to`` of the result, as far as it is known without the manifest."""
        result = artifact_identity(self.repository.reference, self.resolved)
        return {**result, "verification": dict(self.verification)} if self.verification else result

    def close(self) -> None:
        self.repository.close()


class ChosenLayers:
    """The layers of an artifact that are compared. ``manifest`` has them, ``top`` is what the digest stands for."""

    def __init__(self, artifact: ResolvedArtifact, top: Manifest, manifest: Manifest, placement: Placement) -> None:
        self.artifact = artifact
        self.top = top
        self.manifest = manifest
        self.placement = placement

    def is_placed_as(self, other: ChosenLayers) -> bool:
        """Return True when equal layers of both are placed alike."""
        ours, theirs = self.placement, other.placement
        our_side, their_side = self.artifact.side, other.artifact.side
        same_rules = (ours.content, ours.rule) == (theirs.content, theirs.rule)
        return same_rules and (our_side.selector, our_side.ignore) == (their_side.selector, their_side.ignore)

    @contextmanager
    def fetched(self, folder: str, shared: Collection[str]) -> Iterator[Content]:
        """Yield the content of the layers, but for that of layers with a digest in ``shared``.

        Of a shared layer that is a file under its title there is an entry, since its digest is the file's.

        :param folder: an empty private directory, for the files.
        :raises OciError: for every failure.
        """
        side, artifact = self.artifact.side, self.artifact
        wanted = [layer for layer in self.placement.layers if layer.digest not in shared]
        check_sizes(wanted, side.limits, artifact.name)
        os.mkdir(os.path.join(folder, "content"), 0o700)
        handles = DirectoryHandles.of(os.path.join(folder, "content"))
        stage = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            tree = self._known_files(shared)
            if wanted:
                repository, task = artifact.repository, artifact.task
                size = sum(layer.size for layer in wanted)
                counted = transfers.of(repository.reference.name, artifact.name, size)
                reader = opened_layers(repository, task.cached(repository), wanted, stage, task.transfers)
                with counted, reader as read:
                    staged = self._stage(wanted, read, handles.get(""))
                artifact.warnings += staged.warnings
                tree.update(staged.tree)
            yield Content(tree, handles, artifact.name)
        finally:
            os.close(stage)
            handles.close()

    def _stage(self, wanted: list[Descriptor], read: LayerReader, root: int) -> Staged:
        side = self.artifact.side
        if side.selector.operation == COPY:
            return stage_copied([(self._file_name(layer), layer) for layer in wanted], read, root)
        return stage_extracted(
            self.placement._replace(layers=wanted),
            self.manifest,
            read,
            root,
            side.limits,
            name=f"the temporary directory for {self.artifact.name}",
            ignore=side.ignore,
        )

    def _known_files(self, shared: Collection[str]) -> dict[str, TreeEntry]:
        is_copy = self.artifact.side.selector.operation == COPY
        return {
            self._file_name(layer): TreeEntry(FILE, 0o644, layer.size, layer.digest)
            for layer in self.placement.layers
            if layer.digest in shared and (is_copy or (self.placement.is_one_tree and is_plain_file(layer)))
        }

    def _file_name(self, layer: Descriptor) -> str:
        return file_name(layer, self.manifest, layer.digest.replace(":", "-"))

    def as_result(self) -> dict[str, Any]:
        """The value ``from`` or ``to`` of the result."""
        artifact = self.artifact
        described = artifact_result(
            artifact.repository.reference, artifact.resolved, self.top, self.manifest, self.placement.layers
        )
        described["metadata"] = without_secrets_in(self.manifest.annotations)
        return {**described, **artifact.as_result(), "content": self.placement.content}

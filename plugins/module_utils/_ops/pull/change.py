# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a pull that changes something: verify, fetch, place."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ..._dest.drift import Drift
from ..._dest.index import enter
from ..._dest.plan import Plan, make_plan
from ..._dest.state import State, observed
from ..._dest.workplace import Workplace, locked
from ..._files.directory_handles import DirectoryHandles
from ..._files.names import shown
from ..._oci.manifest import Descriptor, Manifest
from ..._secrets.known import without_secrets_in
from ..artifact_result import artifact_result
from ..layer_selector import COPY
from ..layers import check_sizes, choose_manifest, file_name
from ..placement import Placement, placement_of
from ..resolve import Resolved, asked_for
from .context import PullContext, verdict_of
from .layer_reader import LayerReader, opened_layers
from .options import DRIFT_CORRECTED, LEFT_OUT, NEW_REVISION, PLACEMENT, UP_TO_DATE, PullResult, listed_changes
from .staging import Staged, needs_digests, stage_copied, stage_extracted

if TYPE_CHECKING:
    from ..._cache.artifact_cache import CachedRepository
    from ..._dest.history import Kept
    from ..._oci.repository import Repository
    from ..verdicts import Finding
    from .keeping import Keeper

# Bytes of layers that are read into memory before the first of them is unpacked.
MAX_IN_MEMORY = 1024 * 1024


class Change:
    """Updates a ``dest`` to a revision that was resolved and, if a policy is given, verified.

    Contents are compared and replaced within the context manager ``turn``.
    """

    def __init__(
        self,
        pull: PullContext,
        repository: Repository,
        resolved: Resolved,
        verification: Mapping[str, Any],
        turn: AbstractContextManager[object],
    ) -> None:
        self._pull = pull
        self._repository = repository
        self._resolved = resolved
        self._verification = verification
        self._turn = turn
        # the manifests that lead to the content, where they are to be kept
        self._seen: Mapping[str, Manifest] = {}
        # the number of the kept revision that this leads back to, 0 for another one
        self._going = 0
        self._parts: Sequence[str] = ()

    def carry_out(self, state: State, drift: Drift | None) -> PullResult:
        """Correct drift, or fetch and place all content; ``drift`` is None for another revision.

        :raises OciError: for every failure; ``dest`` is then unchanged.
        """
        pull, repository, resolved = self._pull, self._repository, self._resolved
        if drift is not None and not drift.content:
            from .repair import repair_metadata

            result = repair_metadata(pull, state, drift, resolved, self._verification)
            if result is not None:
                return result
        what = str(repository.reference.at(tag=resolved.tag, digest=resolved.digest))
        if pull.options.keep:
            from .keeping import SeenManifests

            looked_at = SeenManifests(repository)
            repository, self._seen = looked_at.as_repository(), looked_at.seen
        top = repository.fetch_manifest(resolved.digest)
        manifest = choose_manifest(repository, top, pull.options.platform, pull.options.selector.media_type)
        placement = placement_of(manifest, pull.options.selector, what, is_to_file=bool(pull.name))
        check_sizes(placement.layers, pull.options.limits, what)
        pull.warnings.extend(placement.warnings)
        self._check_change([top, manifest], state)
        self._parts = list(dict.fromkeys([*top.digests, *manifest.digests]))
        artifact = self._describe(top, manifest, placement)
        is_other = drift is not None or dict(state.key) != pull.key(resolved)
        if pull.check_mode and not pull.want_diff and is_other:
            return self._predict(drift, artifact)
        with self._workplace() as (stage, work):
            # while this run waited for the lock, another may have placed this artifact or another one, and an operator
            # may have held it back
            before, state = state, pull.load_state()
            if state != before:
                self._check_change([top, manifest], state)
                if state.standing != before.standing:
                    from .said import said_meanwhile

                    said = said_meanwhile(pull, state, resolved)
                    if said is not None:
                        return said
            drift = pull.drift(state, resolved)
            if drift is not None and drift.is_empty and not pull.must_keep(state):
                return pull.unchanged(state, UP_TO_DATE, self._verification)
            return self._place(manifest, placement, stage, work, state, artifact)

    def _check_change(self, manifests: Sequence[Manifest], state: State) -> None:
        guard, verdict = self._pull.guard, verdict_of(self._verification)
        if guard is not None:
            guard.check_change(self._resolved, manifests, verdict, state.artifact, check_mode=self._pull.check_mode)

    def _place(
        self,
        manifest: Manifest,
        placement: Placement,
        stage: int,
        work: Workplace | None,
        state: State,
        artifact: dict[str, Any],
    ) -> PullResult:
        content = _make_content(stage)
        try:
            return self._place_content(manifest, placement, stage, content, work, state, artifact)
        except BaseException:
            if work is not None:
                self._forget_others(state.standing)
            raise
        finally:
            content.close()

    def _place_content(
        self,
        manifest: Manifest,
        placement: Placement,
        stage: int,
        content: DirectoryHandles,
        work: Workplace | None,
        state: State,
        artifact: dict[str, Any],
    ) -> PullResult:
        key, layers = self._pull.key(self._resolved), placement.layers
        cached = self._pull.task.cached(self._repository)
        keeper = self._keeper(stage, cached, state) if work is not None else None
        is_small = sum(layer.size for layer in layers) <= MAX_IN_MEMORY
        is_strict = self._pull.options.force or self._pull.compares_content(state)
        transfers = self._pull.task.transfers
        shown_while = self._showing_progress(layers, work)
        with shown_while, opened_layers(self._repository, keeper or cached, layers, stage, transfers) as read:
            if is_small:
                read.take_in(layers)
            with self._pull.task.small_work(is_small):
                staged = self._stage(manifest, placement, read, content.get(""), is_strict)
            if cached is not None:
                # of an index, the cache has one platform's manifest, which is not the tag's
                is_whole = artifact["digest"] == manifest.descriptor.digest
                cached.enter(self._pull.target.confirmed_tag(self._resolved) if is_whole else "", manifest)
        options = self._pull.options
        diff: list[dict[str, str]] = []
        with self._turn, self._pull.task.small_work(is_small):
            with self._pull.destination.opened() as held:
                plan = self._plan(held.root, staged, state, is_strict)
                if self._pull.want_diff:
                    from ..._dest.diff import diff_of

                    diff = diff_of(plan, self._pull.destination.place, held.root, content)
            healed = dict(state.key) == key
            changed = not (healed and plan.is_empty)
            if not changed:
                artifact = dict(state.artifact)
            # recorded, so that an unchanged run reports them, too
            artifact[LEFT_OUT] = staged.left_out.as_result()
            artifact[PLACEMENT] = placement.as_result(staged.exclusions)
            if self._pull.want_diff:
                diff = diff or self._revision_diff(state, artifact)
            standing = state.standing
            if work is not None:
                wanted = self._pull.target.wanted
                placed = self._kept(keeper, key, layers, wanted)
                standing = self._standing_after(state, placed)
                place = partial(
                    work.apply,
                    plan,
                    content,
                    state,
                    key,
                    artifact,
                    self._verification,
                    wanted,
                    staged.times,
                    standing=standing,
                    going=self._going,
                    parts=self._parts,
                )
                if (options.validate or options.health) and (changed or state.pending):
                    from .checks import place_checked

                    standing = place_checked(self._pull, work, content, plan, state, artifact, place, standing)
                else:
                    place()
                self._forget_others(standing)
                self._enter_index()
        return PullResult(
            changed=changed,
            reason=UP_TO_DATE if not changed else DRIFT_CORRECTED if healed else NEW_REVISION,
            artifact=artifact,
            changes=listed_changes(
                added=plan.added,
                changed=plan.changed,
                removed=plan.removed,
                permissions=plan.metadata,
                ignored=staged.ignored,
            ),
            verification=verdict_of(self._verification),
            diff=diff,
            warnings=self._pull.warnings,
            observed=observed(key, self._verification),
            standing=standing,
        )

    def _plan(self, root: DirectoryHandles, staged: Staged, state: State, is_strict: bool) -> Plan:
        options, place = self._pull.options, self._pull.destination.place
        permissions, force = options.permissions, options.force
        return make_plan(root, place, staged.tree, state, permissions, force=force, trust_times=not is_strict)

    def _standing_after(self, state: State, placed: Kept | None) -> Mapping[str, Any]:
        """Return what the record remembers once the content is in place; ``placed`` is the revision if it is kept."""
        keep = self._pull.options.keep
        if keep is None and not state.standing:
            return state.standing
        from ..._dest.history import with_placed

        return with_placed(state.standing, placed, keep)

    def _enter_index(self) -> None:
        """Enter the destination into the index of this host, with what was asked for."""
        enter(self._pull.destination, asked_for(self._pull.options.reference))

    def _keeper(self, stage: int, cached: CachedRepository | None, state: State) -> Keeper | None:
        """Return what keeps the layers; None where they are not to be kept."""
        if not self._pull.options.keep:
            return None
        from .keeping import Keeper

        with self._pull.destination.opened() as held, self._explained():
            return Keeper(held.control, stage, self._repository, cached, state.standing)

    def _kept(
        self, keeper: Keeper | None, key: Mapping[str, Any], layers: Sequence[Descriptor], wanted: str
    ) -> Kept | None:
        """Keep the manifests, too; return what is to be remembered of the revision."""
        if keeper is None:
            return None
        from .keeping import kept_revision

        with self._explained():
            keeper.keep_manifests(self._seen)
        options = self._pull.options
        return kept_revision(options, key, self._resolved, self._seen, layers, self._verification, wanted)

    def _forget_others(self, standing: Mapping[str, Any]) -> None:
        """Remove blobs that no kept revision needs. A failure does not matter: the next run tries again."""
        if self._pull.options.keep is None:
            return
        from ..._dest.history import kept_blobs
        from ..._dest.kept_blobs import KeptBlobs

        with suppress(OSError), self._pull.destination.opened() as held:
            KeptBlobs(held.control).remove_others(kept_blobs(standing))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise self._pull.destination.refused(exc) from None

    @contextmanager
    def _showing_progress(self, layers: list[Descriptor], work: Workplace | None) -> Iterator[None]:
        """Within the block, say how far the layers are once they take long, also in a file beside the record."""
        from ..._dest.progress_file import remove_progress, write_progress
        from ..._oci.progress import Report, transfers

        reference, resolved = self._repository.reference, self._resolved
        what = str(reference.at(tag=resolved.tag, digest="" if resolved.tag else resolved.digest))
        with self._pull.destination.opened() as held:
            control = held.control if work is not None else -1

            def note(report: Report) -> None:
                write_progress(control, report.as_result())

            listener = note if control >= 0 else None
            try:
                with transfers.of(reference.name, what, sum(layer.size for layer in layers), listener):
                    yield
            finally:
                if control >= 0:
                    remove_progress(control)

    def _stage(
        self, manifest: Manifest, placement: Placement, read: LayerReader, content: int, is_strict: bool
    ) -> Staged:
        layers = placement.layers
        if self._pull.options.selector.operation == COPY:
            names = self._copy_names(manifest, layers)
            return stage_copied(list(zip(names, layers)), read, content)
        staged = stage_extracted(
            placement,
            manifest,
            read,
            content,
            self._pull.options.limits,
            name=shown(self._pull.destination.place),
            ignore=self._pull.options.ignore or "",
            digests=self._needs_digests(layers, is_strict),
        )
        self._pull.warnings.extend(staged.warnings)
        return staged

    def _needs_digests(self, layers: list[Descriptor], is_strict: bool) -> bool:
        with self._pull.destination.opened() as held:
            return needs_digests(layers, held.root, is_strict)

    def _copy_names(self, manifest: Manifest, layers: list[Descriptor]) -> list[str]:
        if self._pull.name:
            return [self._pull.name]
        return [file_name(layer, manifest, layer.digest.replace(":", "-")) for layer in layers]

    def _predict(self, drift: Drift | None, artifact: dict[str, Any]) -> PullResult:
        reason, changes = NEW_REVISION, listed_changes()
        if drift is not None:
            changed = [*drift.content, *drift.moved]
            reason, changes = DRIFT_CORRECTED, listed_changes(changed=changed, permissions=drift.metadata)
        verdict = verdict_of(self._verification)
        rules = observed(self._pull.key(self._resolved), self._verification)
        return PullResult(True, reason, artifact, changes, verdict, warnings=self._pull.warnings, observed=rules)

    def _revision_diff(self, state: State, artifact: Mapping[str, Any]) -> list[dict[str, str]]:
        """The diff of the revisions, when no file differs."""
        before, after = str(state.artifact.get("revision", "")), str(artifact["revision"])
        if before == after:
            return []
        header = os.path.join(shown(self._pull.destination.place), self._pull.name)
        return [{"before_header": header, "after_header": header, "before": f"{before}\n", "after": f"{after}\n"}]

    def _describe(self, top: Manifest, manifest: Manifest, placement: Placement) -> dict[str, Any]:
        root = shown(self._pull.destination.place)
        name, layers = self._pull.name, placement.layers
        if not name and self._pull.options.selector.operation == COPY and len(layers) == 1:
            name = self._copy_names(manifest, layers)[0]
        return {
            **artifact_result(self._repository.reference, self._resolved, top, manifest, layers),
            "metadata": without_secrets_in(manifest.annotations),
            "path": os.path.join(root, name) if name else root,
            "last_update_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            PLACEMENT: placement.as_result(),
        }

    @contextmanager
    def _workplace(self) -> Iterator[tuple[int, Workplace | None]]:
        """Yield the descriptor of a staging directory, and the workplace of ``dest``.

        The directory is in ``dest``, under its lock; in check mode it is a temporary one, and the workplace is None.
        """
        if not self._pull.check_mode:
            with locked(self._pull.destination) as work:
                yield work.stage, work
            return
        import tempfile

        try:
            with tempfile.TemporaryDirectory(prefix="oci-artifact-") as path:
                stage = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    yield stage, None
                finally:
                    os.close(stage)
        except OSError as exc:
            raise self._pull.destination.refused(exc) from None


def _make_content(stage: int) -> DirectoryHandles:
    """Create a directory for the content of the layers in the staging directory, and open it."""
    os.mkdir("content", 0o700, dir_fd=stage)
    return DirectoryHandles(os.open("content", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=stage))


def verify_resolved(
    pull: PullContext, repository: Repository, resolved: Resolved, *, is_intact: bool
) -> Mapping[str, Any]:
    """Verify the signatures before content is fetched; return the verification for the record.

    :param is_intact: the content is in place already; the record is written at once, so that the next run can use it.
    :raises VerificationFailed: when they do not satisfy the policy.
    """
    found = _verify(pull, repository, resolved)
    warnings = found.warnings_of_use(repository, resolved)
    pull.warnings.extend(warnings)
    verification = {"policy": pull.policy, "verdict": found.verification, "warnings": warnings}
    if is_intact and not pull.check_mode:
        with locked(pull.destination) as work:
            state = pull.load_state()
            if dict(state.key) == pull.key(resolved) and not state.pending:
                work.record_verification(state, verification)
    return verification


def _verify(pull: PullContext, repository: Repository, resolved: Resolved) -> Finding:
    if pull.guard is not None:
        return pull.guard.verify(pull.task, repository, resolved, anew=pull.options.force)
    fingerprint, policy = next(iter(pull.policies.items()))
    return pull.task.verify(repository, resolved, policy, fingerprint, anew=pull.options.force)

# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pull: resolve → verify → fetch → check → place.

Source of the semantics: Flux's OCIRepository (what is fetched, and when again), without its controller.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from .._oci.destination import CONTROL_NAME, Destination
from .._oci.drift import Drift, Plan, find_drift
from .._oci.errors import NotFound, OciError, StorageError, is_outage
from .._oci.names import native, shown
from .._oci.state import State
from .layer_selector import ALL, COPY
from .pull_options import PullOptions, PullResult, listed_changes
from .resolve import Resolved, parse_target
from .task import Task

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor, Manifest
    from .._oci.reference import Reference
    from .._oci.transport import Repository
    from .._trust.policy import VerifyPolicy
    from .last_good import LastGood
    from .layers import LayerReader
    from .places import Place

# Bytes of layers that are held in memory before the first of them is unpacked.
SMALL = 1024 * 1024

NEW_REVISION = "NewRevision"
DRIFT_CORRECTED = "DriftCorrected"
UP_TO_DATE = "ArtifactUpToDate"
SUSPENDED = "Suspended"
LAST_GOOD_KEPT = "LastGoodKept"


def pull(options: PullOptions, *, check_mode: bool = False, want_diff: bool = False) -> PullResult:
    """Make ``dest`` hold the artifact; return what changed.

    With ``check_mode`` nothing is written: without ``want_diff`` the layers are not fetched either, and the answer is
    the revision's; with it they are unpacked into a temporary directory and compared file by file.

    :raises OciError: for everything that cannot be done; ``dest`` is then as it was.
    """
    with Task(options.cache) as task:
        return Pull(options, task, check_mode=check_mode, want_diff=want_diff).run()


class Pull:
    """One artifact that a task pulls, checked as far as that takes no request; ``target`` is what is meant.

    :raises OciError: when the options cannot be used.
    """

    def __init__(
        self, options: PullOptions, task: Task, *, check_mode: bool = False, want_diff: bool = False
    ) -> None:
        self.target = parse_target(options.reference, options.selector.media_type)
        self._options = options
        self._task = task
        self._check_mode = check_mode
        self._want_diff = want_diff
        self._warnings = list(self.target.warnings)
        self._name = ""
        self._verification: Mapping[str, Any] = {}
        self._policy = ""
        self._resolved: Resolved | None = None
        self._turn: AbstractContextManager[object] = nullcontext()
        if options.verify is not None:
            from .verdicts import policy_fingerprint

            self._policy = policy_fingerprint(options.verify)
        self._destination = self._open_destination()

    @property
    def place(self) -> Place:
        """Where the artifact goes, for a comparison with other artifacts' places."""
        from .places import Place

        destination, operation = self._destination, self._options.selector.operation
        return Place(destination.root, self._name, destination.control, is_tree=operation != COPY)

    def run(self, turn: AbstractContextManager[object] | None = None) -> PullResult:
        """Make ``dest`` hold the artifact; what is in it is compared and replaced within ``turn``.

        :raises OciError: for everything that cannot be done; ``dest`` is then as it was.
        """
        if turn is not None:
            self._turn = turn
        state = self._load_state()
        if self._options.suspend:
            return self._unchanged(state, SUSPENDED)
        if not self._check_mode:
            self._destination.remove_leftovers()
        known = self.target.known
        if known is not None:
            # nothing to ask the registry: what the digest names cannot have changed
            drift = self._drift(state, known)
            if drift is not None and drift.is_empty and self._is_verified(state):
                self._verification = state.verification
                return self._confirmed(self._unchanged(state, UP_TO_DATE), self.target.pin)
        options, last_good = self._options, self._options.last_good
        try:
            repository = self._task.open(self.target, options.auth, options.connection)
            try:
                result = self._run_with(repository, state)
            finally:
                repository.close()
            result.served_by = repository.served_by
            result.warnings = [*result.warnings, *repository.warnings]
        except OciError as exc:
            if last_good is None or not is_outage(exc):
                raise
            return self._keep(last_good, exc)
        return self._confirmed(result, self._resolved)

    def _confirmed(self, result: PullResult, resolved: Resolved | None) -> PullResult:
        """The result, after it was noted that the registry said so; None where it was not asked."""
        if self._options.last_good is not None and resolved is not None and not self._check_mode:
            from .last_good import confirm

            result.warnings += confirm(self._destination.control, self.target, self._key(resolved))
        return result

    def _run_with(self, repository: Repository, state: State) -> PullResult:
        resolved = self._resolve(repository)
        drift = self._drift(state, resolved)
        is_intact = drift is not None and not drift.content
        if is_intact and self._is_verified(state):
            self._verification = state.verification
        elif self._options.verify is not None:
            self._verify(repository, resolved, self._options.verify)
            if is_intact:
                self._remember_verification(resolved)
        if drift is not None and drift.is_empty:
            return self._unchanged(state, UP_TO_DATE)
        if drift is not None and not drift.content:
            result = self._repair_metadata(state, drift, resolved)
            if result is not None:
                return result
        from .layers import check_sizes, choose_image, select_layers

        what = str(repository.reference.at(tag=resolved.tag, digest=resolved.digest))
        top = repository.fetch_manifest(resolved.digest)
        manifest = choose_image(repository, top, self._options.platform)
        layers = select_layers(manifest, self._options.selector, what)
        check_sizes(layers, self._options.limits, what)
        artifact = self._describe(repository.reference, resolved, top, manifest, layers)
        if self._check_mode and not self._want_diff and (drift is not None or dict(state.key) != self._key(resolved)):
            return self._predict(drift, artifact)
        with self._workplace() as stage:
            # another run may have placed the same artifact while this one waited for the lock
            state = self._load_state()
            drift = self._drift(state, resolved)
            if drift is not None and drift.is_empty:
                return self._unchanged(state, UP_TO_DATE)
            return self._place(repository, manifest, layers, stage, state, self._key(resolved), artifact)

    def _place(
        self,
        repository: Repository,
        manifest: Manifest,
        layers: list[Descriptor],
        stage: str,
        state: State,
        key: dict[str, Any],
        artifact: dict[str, Any],
    ) -> PullResult:
        content = os.path.join(stage, "content")
        os.mkdir(content, 0o700)
        from .._oci.placement import make_plan
        from .layers import opened_layers

        cached = self._task.cached(repository)
        is_small = sum(layer.size for layer in layers) <= SMALL
        with opened_layers(repository, cached, layers, stage) as read:
            if is_small:
                read.take_in(layers)
            with self._task.small_work(is_small):
                tree, ignored = self._stage(manifest, layers, read, content)
            if cached is not None:
                # of an index, the cache holds one platform, which the tag does not stand for
                cached.enter(artifact["tag"] if artifact["digest"] == manifest.descriptor.digest else "", manifest)
        options, root = self._options, self._destination.root
        diff: list[dict[str, str]] = []
        with self._turn, self._task.small_work(is_small):
            trust_times = not (options.force or options.check_content)
            plan = make_plan(root, tree, state, options.permissions, force=options.force, trust_times=trust_times)
            healed = dict(state.key) == key
            changed = not (healed and plan.is_empty)
            if not changed:
                artifact = dict(state.artifact)
            if self._want_diff:
                from .._oci.content_diff import diff_of

                diff = diff_of(plan, root, content) or self._revision_diff(state, artifact)
            if not self._check_mode:
                wanted = self.target.wanted
                self._destination.apply(plan, content, state, key, artifact, self._verification, wanted)
        return PullResult(
            changed=changed,
            reason=UP_TO_DATE if not changed else DRIFT_CORRECTED if healed else NEW_REVISION,
            artifact=artifact,
            changes=listed_changes(plan, ignored),
            verification=self._verdict(),
            diff=diff,
            warnings=self._warnings,
        )

    def _is_verified(self, state: State) -> bool:
        """Whether nothing is demanded, or the record says that the demand was met: a digest's signatures do not
        change."""
        return self._options.verify is None or state.verification.get("policy") == self._policy

    def _verify(self, repository: Repository, resolved: Resolved, policy: VerifyPolicy) -> None:
        """Check the signatures before anything is fetched.

        :raises VerificationFailed: when they do not satisfy the policy.
        """
        found = self._task.verify(repository, resolved, policy, self._policy, anew=self._options.force)
        self._warnings += found.warnings
        if not found.verification["verified"]:
            self._warnings.append(
                f"{repository.reference.at(tag=resolved.tag, digest=resolved.digest)} is used without a verified "
                "signature, because the trust policy ignores the result."
            )
        self._verification = {"policy": self._policy, "verdict": found.verification}

    def _remember_verification(self, resolved: Resolved) -> None:
        """Record what was found for content that is in place already, so that the next run need not ask again."""
        if self._check_mode:
            return
        with self._destination.locked():
            state = self._load_state()
            if dict(state.key) == self._key(resolved) and not state.pending:
                self._destination.record_verification(state, self._verification)

    def _verdict(self) -> Mapping[str, Any]:
        verdict: Mapping[str, Any] = self._verification.get("verdict", {})
        return verdict

    def _stage(
        self, manifest: Manifest, layers: list[Descriptor], read: LayerReader, content: str
    ) -> tuple[Mapping[str, Any], int]:
        from . import layers as layer_operations

        if self._options.selector.operation == COPY:
            names = self._copy_names(manifest, layers)
            return layer_operations.stage_copied(list(zip(names, layers)), read, content), 0
        tree, warnings, ignored = layer_operations.stage_extracted(
            layers,
            manifest,
            read,
            content,
            self._options.limits,
            flatten=self._options.selector.layers == ALL,
            ignore=self._options.ignore or "",
            digests=layer_operations.needs_digests(
                layers, self._destination.root, self._options.check_content or self._options.force
            ),
        )
        self._warnings += warnings
        return tree, ignored

    def _copy_names(self, manifest: Manifest, layers: list[Descriptor]) -> list[str]:
        from .layers import file_name

        if self._name:
            return [self._name]
        return [file_name(layer, manifest, layer.digest.replace(":", "-")) for layer in layers]

    def _open_destination(self) -> Destination:
        """``dest`` as the directory that is written to; for a copy to a file, its parent and the file's name."""
        options, dest = self._options, self._options.dest
        if not dest:
            raise StorageError("'dest' is empty.", "Give the directory or file that the artifact is pulled to.")
        if options.selector.operation != COPY:
            return Destination(dest, options.permissions)
        if options.selector.layers == ALL or dest.endswith("/") or os.path.isdir(native(dest)):
            return Destination(dest, options.permissions, f"{CONTROL_NAME}.{self._purpose()}")
        parent, self._name = os.path.split(os.path.abspath(dest))
        return Destination(parent, options.permissions, f".{self._name}{CONTROL_NAME}")

    def _purpose(self) -> str:
        """Tells apart what several tasks copy into one directory: each has a record of its own."""
        selector = self._options.selector
        wanted = [self.target.wanted, selector.media_type, selector.layers, self._options.platform]
        return hashlib.sha256("\n".join(wanted).encode("utf-8", "surrogateescape")).hexdigest()[:12]

    def _load_state(self) -> State:
        state = self._destination.load_state()
        if state.is_damaged:
            warning = (
                f"The record of the last pull in {shown(self._destination.control)} cannot be understood: "
                "what it described counts as not pulled."
            )
            self._warnings = [*(known for known in self._warnings if known != warning), warning]
        return state

    def _resolve(self, repository: Repository) -> Resolved:
        try:
            options = self._options
            self._resolved = self._task.resolve(repository, self.target, options.auth, options.connection)
        except NotFound as exc:
            # Flux's word for a tag whose digest cannot be determined
            exc.reason = "OCIArtifactPullFailed"
            raise
        return self._resolved

    def _keep(self, allowed: LastGood, error: OciError) -> PullResult:
        """Answer with what is in place, when the registry confirmed it before, and say so; else ``error`` is raised."""
        from . import last_good

        state = self._load_state()
        held = last_good.held_revision(state)
        drift = self._drift(state, held)
        found = last_good.judge(
            allowed,
            self._destination.control,
            state,
            drift,
            self.target,
            is_forced=self._options.force,
            is_verified=self._is_verified(state),
            error=error,
        )
        self._verification = state.verification
        result = self._repair_metadata(state, drift, held) if drift is not None and drift.metadata else None
        result = result or self._unchanged(state, LAST_GOOD_KEPT)
        result.degradation = found
        result.warnings.append(last_good.warning(found, self.target, held, self._resolved))
        return result

    def _key(self, resolved: Resolved) -> dict[str, Any]:
        selector = self._options.selector
        return {
            "url": self.target.reference.url,
            "revision": resolved.revision,
            "media_type": selector.media_type,
            "operation": selector.operation,
            "layers": selector.layers,
            "platform": self._options.platform,
            "ignore": self._options.ignore,
        }

    def _drift(self, state: State, resolved: Resolved) -> Drift | None:
        """How the files differ from what the record says; None when the record is of something else."""
        if dict(state.key) != self._key(resolved) or state.pending or self._options.force:
            return None
        return find_drift(self._destination.root, state, self._options.permissions, self._options.check_content)

    def _unchanged(self, state: State, reason: str) -> PullResult:
        return PullResult(
            False, reason, dict(state.artifact), listed_changes(Plan({}), 0), self._verdict(), warnings=self._warnings
        )

    def _repair_metadata(self, state: State, drift: Drift, resolved: Resolved) -> PullResult | None:
        """Set modes and owners right, which takes no request; None when by now the content is another one."""
        if not self._check_mode:
            with self._destination.locked():
                state = self._load_state()
                found = self._drift(state, resolved)
                if found is None or found.content:
                    return None
                if found.is_empty:
                    return self._unchanged(state, UP_TO_DATE)
                drift = found
                self._destination.set_permissions(drift.metadata, state)
        diff: list[dict[str, str]] = []
        if self._want_diff:
            from .._oci.content_diff import permissions_diff

            diff = permissions_diff(self._destination.root, drift.metadata)
        changes = listed_changes(Plan({}, metadata=drift.metadata), 0)
        artifact = dict(state.artifact)
        return PullResult(True, DRIFT_CORRECTED, artifact, changes, self._verdict(), diff, warnings=self._warnings)

    def _predict(self, drift: Drift | None, artifact: dict[str, Any]) -> PullResult:
        if drift is None:
            changes = listed_changes(Plan({}), 0)
            return PullResult(True, NEW_REVISION, artifact, changes, self._verdict(), warnings=self._warnings)
        changes = listed_changes(Plan({}, changed=drift.content, metadata=drift.metadata), 0)
        return PullResult(True, DRIFT_CORRECTED, artifact, changes, self._verdict(), warnings=self._warnings)

    def _revision_diff(self, state: State, artifact: Mapping[str, Any]) -> list[dict[str, str]]:
        """Shown when no file differs, and only what the record says does."""
        before, after = str(state.artifact.get("revision", "")), str(artifact["revision"])
        if not self._want_diff or before == after:
            return []
        header = os.path.join(shown(self._destination.root), self._name)
        return [{"before_header": header, "after_header": header, "before": f"{before}\n", "after": f"{after}\n"}]

    def _describe(
        self, reference: Reference, resolved: Resolved, top: Manifest, manifest: Manifest, layers: list[Descriptor]
    ) -> dict[str, Any]:
        first = layers[0]
        root = shown(self._destination.root)
        name = self._name
        if not name and self._options.selector.operation == COPY and len(layers) == 1:
            name = self._copy_names(manifest, layers)[0]
        return {
            "url": reference.url,
            "revision": resolved.revision,
            "tag": resolved.tag,
            "digest": resolved.digest,
            "media_type": top.descriptor.media_type,
            "artifact_type": manifest.effective_artifact_type,
            "metadata": dict(manifest.annotations),
            "layer": {"digest": first.digest, "media_type": first.media_type, "size": first.size},
            "size": sum(layer.size for layer in layers),
            "path": os.path.join(root, name) if name else root,
            "last_update_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    @contextmanager
    def _workplace(self) -> Iterator[str]:
        """A staging directory: in ``dest``, under its lock; in check mode a temporary one, so that ``dest`` stays."""
        if not self._check_mode:
            with self._destination.locked() as stage:
                yield stage
            return
        try:
            with tempfile.TemporaryDirectory(prefix="oci-artifact-") as stage:
                yield stage
        except OSError as exc:
            raise self._destination.refused(exc) from None

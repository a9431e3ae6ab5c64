# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy: resolve → verify → find what belongs to it → blobs → manifests → signatures and referrers → tag.

A copy is a pull and a push over the same places: the repository that is read from, with its mirrors and cache, and the
one that is written to. It goes by digest, so that what was verified is what is copied, whatever becomes of the tag
meanwhile, and bytes are never changed. The tag is written last: whoever follows it finds the signatures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from ..._errors import InvalidContent, NotFound, OciError, PushFailed, TagImmutable
from ..._files.threads import thread_pool
from ..._oci.manifest import Descriptor, Manifest
from ..._oci.preliminary import answer_or_none, find_tag
from ..._oci.repository import EXISTED, MOUNTED, UPLOADED, Repository, WritableRepository, from_each_place
from ..artifact_result import artifact_identity
from ..connect_to_write import check_writable, open_to_write
from ..immutable_tags import is_immutable
from ..moved_tag import warnings_of_moved_tag
from ..resolve import ReferenceOptions, Resolved, parse_target, resolve
from ..task import Task
from .blob_stream import BlobStreams, SourceFailed
from .graph import Graph, Part
from .known import KnownCopies
from .options import NO_PRUNE, Access, CopyOptions, access_to
from .place import target_of
from .platforms import ChosenPlatforms, refused_index
from .report import (
    COPIED,
    CREATED,
    MOVED,
    UNCHANGED,
    UP_TO_DATE,
    as_drifted,
    as_refused,
    copy_diff,
    no_change,
    part_record,
)
from .rules import CopyRules
from .sides import Destination, Source

__all__ = ["CopyOptions", "Entry", "access_to", "copy"]

PARALLEL_TRANSFERS = 4
# beside the outcomes of pushing a blob: the other side has it
LEFT_OUT = "left_out"


def copy(options: CopyOptions, *, check_mode: bool = False) -> dict[str, Any]:
    """Copy an artifact with all that belongs to it; return the module's result. ``check_mode`` writes nothing.

    :raises VerificationFailed: when the signatures do not satisfy the policy. Nothing is copied then.
    :raises TagImmutable: when the tag at the target is a version that has other content.
    :raises OciError: for every other failure. The tag is unchanged then, and what arrived is not sent again.
    """
    with Task(options.cache) as task:
        entry = Entry(options, task, check_mode=check_mode)
        source = Source(entry.open_source())
        try:
            destination = Destination(entry.open_target(), task.transfers, is_single=True)
            try:
                result = entry.run(source, destination)
            finally:
                destination.repository.close()
        finally:
            source.repository.close()
        entry.known.save()
    result["served_by"] = source.repository.served_by
    result["warnings"] = [*entry.target.warnings, *result["warnings"], *source.repository.warnings]
    return result


class Entry:
    """What is copied and where to, for one artifact or one selection. It is checked without a request.

    ``place`` is the repository that is written to, with a tag when the option ``to`` has one. ``known`` are the notes
    of earlier tasks, to be saved in the end.

    :raises OciError: when the options cannot be used.
    """

    def __init__(self, options: CopyOptions, task: Task, *, check_mode: bool) -> None:
        self.options = options
        self.task = task
        self.check_mode = check_mode
        reference = parse_target(options.reference, lists_tags=True).reference
        self.place = target_of(options.to, reference, "")
        self.auth, self.connection = access_to(self.place, reference, options)
        lists_tags = options.limit is not None
        self.rules = CopyRules(options.reference, self.place, options.policy, options.rules, lists_tags=lists_tags)
        self.target = self.rules.target
        for fingerprint, policy in self.rules.policies.items():
            task.verdicts.check(policy, fingerprint)
        # said before anything is asked
        ChosenPlatforms(options.platforms)
        # what is to be copied of an artifact, and under which conditions
        self.scope = "\n".join([*sorted(self.rules.policies), *sorted(set(options.platforms))])
        self.known = KnownCopies(task.cache, reference, self.place, self.scope)

    def open_source(self) -> Repository:
        return self.task.open(self.target, self.options.auth, self.options.connection)

    def open_target(self) -> WritableRepository:
        clients = None if self.place.is_layout else self.task.clients
        return open_to_write(self.place, self.auth, self.connection, check_mode=self.check_mode, clients=clients)

    def run(self, source: Source, destination: Destination, tag: str = "") -> dict[str, Any]:
        """Copy one artifact between two open repositories; return the module's result. Raises as :func:`copy`; what
        was refused is among the details of the error.

        :param tag: one of those that the selection picks; empty for what the options name by themselves.
        """
        resolved = Resolved("", tag, None)
        try:
            resolved = self._wanted(source, tag)
            place_tag = self.place.tag or resolved.tag
            moved = warnings_of_moved_tag(source.repository, self.target)
            known = self.known.find(resolved.tag or resolved.digest, place_tag)
            if self.options.include or self.options.differential:
                known = None  # which depends on more than the artifact
            if known is not None and not known.is_current(source, destination, place_tag):
                known = None
            if not resolved.digest:
                # with force, a version that was published anew is to be found
                lasts = not self.options.force and self.rules.is_immutable(resolved.tag, place_tag)
                known_digest = known.digest if known is not None and lasts else ""
                resolved = resolved._replace(digest=known_digest) if known_digest else self._resolve(source, resolved)
            self.rules.check_resolved(resolved, place_tag)
            if known is not None and known.digest == resolved.digest:
                result = no_change(len(known.parts), place_tag)
                # nothing is copied: of many, only what is copied is verified
                if destination.is_single:
                    self._verify(source, resolved, result)
            else:
                with destination.sent.turn(f"artifact {resolved.digest}"):
                    result = self._copy(source, destination, resolved, place_tag)
        except OciError as exc:
            exc.details.setdefault("refused", [as_refused(source.repository.reference, resolved, exc)])
            raise
        result["artifact"] = artifact_identity(source.repository.reference, resolved)
        result["to"] = str(self.place.at(tag=place_tag))
        result["warnings"] = [*moved, *result["warnings"]]
        return result

    def _wanted(self, source: Source, tag: str) -> Resolved:
        """Return the tag or the digest that is to be copied; the digest is empty where the source has to be asked."""
        if tag or self.target.known is None:
            if not tag and self.target.selector is not None:
                tag = self.target.selector.select(source.tags.all())
            elif not tag and not self.target.is_any_of_layout:
                tag = self.target.reference.tag
            return Resolved("", tag, None)
        return self.target.known

    def _resolve(self, source: Source, wanted: Resolved) -> Resolved:
        if not wanted.tag:
            return resolve(source.repository, self.target)
        descriptor = source.repository.resolve(wanted.tag)
        return Resolved(descriptor.digest, wanted.tag, descriptor)

    def _copy(self, source: Source, destination: Destination, resolved: Resolved, tag: str) -> dict[str, Any]:
        """Look at an artifact in full, verify it, and copy what is missing."""
        verdict: dict[str, Any] = {}
        self._verify(source, resolved, verdict)
        # the artifact comes after what it needs: whoever finds it finds that, too
        included = self._include(source, resolved)
        one = _Copy(self, source, destination, resolved, tag, verdict.get("verification", {}))
        result = one.run(ChosenPlatforms(self.options.platforms), self.options.differential)
        if not result["warnings"] and not self.check_mode:
            self.known.note(resolved.tag or resolved.digest, tag, resolved.digest, one.digests, source)
        for part in (verdict, included):
            result["warnings"] += part.pop("warnings", [])
        if any(each["changed"] for each in included.get("included", ())):
            result.update(changed=True, reason=COPIED)
        return {**result, **verdict, **included}

    def _include(self, source: Source, resolved: Resolved) -> dict[str, Any]:
        """Copy what ``include`` names of a chart; return what is known of it, as parts of the result."""
        if not self.options.include:
            return {}
        from .include import Included

        options = self.options
        # each is one artifact; the signatures of what others publish are for the rules of a policy
        alone = replace(options, policy=None, include=(), limit=None, prune=NO_PRUNE)
        # what `to_registry` has is for the registry that the artifact itself is copied to
        unnamed = replace(options, to_auth=None)

        def copy_one(reference: ReferenceOptions, access: Access) -> dict[str, Any]:
            place = target_of(options.to, parse_target(reference).reference, "")
            to_access = self.auth, self.connection
            if place.registry != self.place.registry:
                to_access = access_to(place, source.repository.reference, unnamed)
            one = replace(alone, reference=reference, auth=access[0], connection=access[1], to_access=to_access)
            return copy(one, check_mode=self.check_mode)

        own_access = (options.auth, options.connection)
        return Included(source.repository, options.include, options.to, own_access, copy_one).run(resolved)

    def _verify(self, source: Source, resolved: Resolved, result: dict[str, Any]) -> None:
        """Verify an artifact where that is asked for, and add what was found to a result."""
        finding = self.rules.verify(self.task, source.repository, resolved)
        if finding is not None:
            result["verification"] = {**finding.verification, "remembered": finding.is_remembered}
            result["warnings"] = [
                *result.get("warnings", ()),
                *finding.warnings_of_use(source.repository, resolved),
            ]


class _Copy:
    """The copy of one artifact from ``source`` to ``target``, where it gets a tag unless that is empty."""

    def __init__(
        self,
        entry: Entry,
        source: Source,
        destination: Destination,
        resolved: Resolved,
        tag: str,
        verdict: Mapping[str, Any],
    ) -> None:
        """``verdict`` is the value ``verification``."""
        self.digests: list[str] = []
        self._rules = entry.rules
        self._scope = entry.scope
        self._force = entry.options.force
        self._check_mode = entry.check_mode
        self._source_tags = source.tags
        self._source = source.repository
        self._target = destination.repository
        self._sent = destination.sent
        self._resolved = resolved
        self._digest = resolved.digest
        self._tag = tag
        self._verdict = verdict
        self._streams = BlobStreams(self._source, for_uploads=not self._target.reference.is_layout)
        self._left_out: set[str] = set()
        self._blobs = {EXISTED: 0, MOUNTED: 0, UPLOADED: 0}
        self._listed: dict[str, set[str]] = {}
        self._drifted: list[dict[str, Any]] = []
        origin = self._source.reference
        same = not origin.is_layout and origin.registry == self._target.reference.registry
        self._mount_from = (origin.repository,) if same else ()
        # only tags change then: nothing is missing, and what was left out stays so
        self._is_within = origin.name == self._target.reference.name

    def run(self, platforms: ChosenPlatforms, differential: Sequence[str]) -> dict[str, Any]:
        graph = Graph(self._source, platforms, self._source_tags, is_whole=not self._is_within)
        # another tag of it, of which the task has just copied all
        known = () if differential else self._sent.parts_of(f"{self._digest} {self._scope}")
        parts = known or graph.parts(self._source.fetch_manifest(self._digest))
        root = next(part.manifest for part in parts if part.digest == self._digest and not part.tag)
        self.digests = [part.digest for part in parts]
        self._leave_out(parts, platforms, differential)
        together: AbstractContextManager[object] = nullcontext() if self._check_mode else self._target.batch()
        with together:
            held = find_tag(self._target, self._tag) if self._tag else None
            moves = bool(self._tag) and (held is None or held.digest != self._digest)
            if moves:
                self._check_movable(held)
            is_there = known or self._is_within
            missing = [] if is_there else self._missing(parts, is_tagged=bool(self._tag) and not moves)
            if self._source.reference.is_layout:
                from .differential import check_complete

                check_complete(self._source, self._target, missing, self._left_out)
            if missing or moves:
                self._check_rules(root, parts, held)
                if self._check_mode:
                    check_writable(self._target)
            if not self._check_mode:
                self._send_blobs(missing)
                for part in missing:
                    self._push(part, len(platforms.left_out))
                if moves:
                    self._check_movable(find_tag(self._target, self._tag))
                    self._target.push_manifest(root, self._tag)
                self._sent.note(f"{self._digest} {self._scope}", parts)
        changed = bool(missing) or moves
        left, place = [each["to"] for each in self._drifted], self._target.reference
        return {
            "changed": changed,
            "copied": [part_record(part) for part in missing],
            "present": len(parts) - len(missing),
            "drifted": self._drifted,
            "refused": [],
            "blobs": self._blobs,
            "tags": {self._tag: (MOVED if held else CREATED) if moves else UNCHANGED} if self._tag else {},
            "reason": COPIED if changed else UP_TO_DATE,
            "warnings": [
                *graph.warnings,
                *platforms.warnings,
                *(f"{tag} has signatures that the source lacks, and was left as it is." for tag in left),
            ],
            "diff": copy_diff(place, parts, missing, self._tag, held, self._digest) if changed else [],
        }

    def _check_movable(self, held: Descriptor | None) -> None:
        """Check what the tag holds, before anything is sent and once more before the tag is written.

        :raises TagImmutable: when it is a version that has other content.
        """
        if held is None or held.digest == self._digest or self._force or not is_immutable(self._tag, None):
            return
        raise TagImmutable(
            f"The tag {self._target.reference.at(tag=self._tag)} holds {held.digest} and would move to {self._digest}, "
            "but tags that are versions are never moved.",
            "Find out why the two differ, or move the tag with force: true.",
            {"drifted": [as_drifted(self._target.reference, self._tag, self._digest, held.digest)]},
        )

    def _check_rules(self, root: Manifest, parts: Sequence[Part], held: Descriptor | None) -> None:
        """:raises OciError: when the policy refuses the artifact, before anything is sent."""
        manifests = [root, *(part.manifest for part in parts if part.manifest is not root)]
        self._rules.check_change(
            manifests, self._resolved, self._tag, held, self._target, self._verdict, check_mode=self._check_mode
        )

    # -- what the target lacks

    def _leave_out(self, parts: Sequence[Part], platforms: ChosenPlatforms, differential: Sequence[str]) -> None:
        """Note the blobs that the other side has, and let a layout or an archive do without them, without the manifests
        of other platforms, and without what it did without so far."""
        if differential:
            from .differential import OtherSide, check_target

            check_target(self._target)
            with OtherSide(differential, self._source) as other:
                self._left_out = other.blobs_of(parts)
            self._blobs[LEFT_OUT] = len(self._left_out)
        absent = self._left_out | platforms.left_out
        if self._is_within:
            absent |= {each.digest for part in parts for each in (*part.blobs, *part.manifest.manifests)}
        if absent:
            from .differential import may_lack

            may_lack(self._target, absent)

    def _missing(self, parts: Sequence[Part], *, is_tagged: bool) -> list[Part]:
        """Return the parts that the target lacks.

        :param is_tagged: the tag, which is written last, stands for the artifact there already. Its platforms are
            looked for all the same: an earlier copy may have been of some of them.
        """
        known = self._digest if is_tagged and not self._target.reference.is_layout else ""
        return [part for part in parts if not (part.digest == known or self._has(part))]

    def _has(self, part: Part) -> bool:
        if part.tag:
            return self._has_tagged(part)
        subject = part.manifest.subject
        if subject is not None and not part.is_content:
            return part.digest in self._referrers_of(subject.digest) and self._has_blobs(part)
        return answer_or_none(lambda: self._target.resolve(part.digest)) is not None and self._has_blobs(part)

    def _has_tagged(self, part: Part) -> bool:
        """Return whether a tag of cosign has what the source has, or more that would be lost; note the latter."""
        held = find_tag(self._target, part.tag)
        if held is None:
            return False
        if held.digest == part.digest:
            return self._has_blobs(part)
        there = self._target.fetch_manifest(held.digest)
        if {layer.digest for layer in there.layers} <= {layer.digest for layer in part.manifest.layers}:
            return False
        self._drifted.append(as_drifted(self._target.reference, part.tag, part.digest, held.digest))
        return True

    def _referrers_of(self, subject: str) -> set[str]:
        """Return the digests that the target lists for a subject; what is there and not listed is missing."""
        if subject not in self._listed:
            found = answer_or_none(lambda: self._target.list_referrers(subject)) or []
            self._listed[subject] = {each.digest for each in found}
        return self._listed[subject]

    def _has_blobs(self, part: Part) -> bool:
        """Return whether a layout or an archive that has a manifest has its blobs, too; of a registry it is known.

        They are missing where it was written with ``differential``, or a file was lost.
        """
        if not self._target.reference.is_layout:
            return True
        return all(blob.digest in self._left_out or self._target.blob_exists(blob) for blob in part.blobs)

    # -- sending

    def _send_blobs(self, parts: Sequence[Part]) -> None:
        found = {each.digest: each for part in parts for each in part.blobs if each.digest not in self._left_out}
        # the largest first: at the end, none is left that the others wait for
        blobs = sorted(found.values(), key=lambda each: -each.size)
        with thread_pool(min(PARALLEL_TRANSFERS, len(blobs))) as pool:
            pending = [pool.submit(self._send_blob, each) for each in blobs]
            try:
                for outcome in filter(None, (each.result() for each in pending)):
                    self._blobs[outcome] += 1
            except BaseException:
                # what waits for its turn is in vain
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _push(self, part: Part, without: int) -> None:
        try:
            self._target.push_manifest(part.manifest, part.tag)
        except PushFailed as exc:
            if without and part.is_content and part.manifest.is_index:
                raise refused_index(exc, without) from None
            raise

    def _send_blob(self, blob: Descriptor) -> str:
        return self._sent.blob(blob.digest, lambda: self._transfer(blob))

    def _transfer(self, blob: Descriptor) -> str:
        source = self._streams.source(blob)
        try:
            return from_each_place(self._source, blob, lambda: self._target.push_blob(source, self._mount_from))
        except SourceFailed as exc:
            raise exc.error from None
        except NotFound as exc:
            raise InvalidContent(
                f"{self._source.reference.name} lacks a blob of what is copied. {exc.message}",
                "The source is incomplete: publish the artifact there again.",
            ) from None

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy: resolve → verify → find what belongs to it → blobs → manifests → signatures and referrers → tag.

A copy is a pull and a push over the same places: the repository that is read from, with its mirrors and cache, and the
one that is written to. It goes by digest, so that what was verified is what is copied, whatever becomes of the tag
meanwhile, and bytes are never changed. The tag is written last: whoever follows it finds the signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from ..._errors import InvalidContent, NotFound, TagImmutable
from ..._files.threads import thread_pool
from ..._oci.manifest import Descriptor
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..._oci.preliminary import answer_or_none, find_tag
from ..._oci.reference import Reference
from ..._oci.repository import EXISTED, MOUNTED, UPLOADED, Repository, from_each_place
from ..._trust.policy import VerifyPolicy
from ..artifact_result import artifact_identity
from ..connect_to_write import open_to_write
from ..immutable_tags import is_immutable
from ..moved_tag import warnings_of_moved_tag
from ..resolve import ReferenceOptions, Resolved, parse_target
from ..task import Task
from ..verdicts import policy_fingerprint
from .blob_stream import blob_of
from .graph import Graph, Part
from .place import target_of

PARALLEL_TRANSFERS = 4
COPIED, UP_TO_DATE = "ArtifactCopied", "ArtifactUpToDate"


@dataclass(frozen=True)
class CopyOptions:
    """The options of a copy. ``to_auth`` and ``to_connection`` are for the registry that is written to, see
    :func:`access_to`; ``policy`` None means that nothing is verified. A tag that is a version is moved only with
    ``force``."""

    reference: ReferenceOptions
    to: str
    policy: VerifyPolicy | None = None
    force: bool = False
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    to_auth: AuthOptions | None = None
    to_connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)


def copy(options: CopyOptions, *, check_mode: bool = False) -> dict[str, Any]:
    """Copy an artifact with all that belongs to it; return the module's result. ``check_mode`` writes nothing.

    :raises VerificationFailed: when the signatures do not satisfy the policy. Nothing is copied then.
    :raises TagImmutable: when the tag at the target is a version that has other content.
    :raises OciError: for every other failure. The tag is unchanged then, and what arrived is not sent again.
    """
    target = parse_target(options.reference)
    # what is wrong with it is said before anything is asked
    target_of(options.to, target.reference, "")
    with Task(options.cache) as task:
        fingerprint = ""
        if options.policy is not None:
            fingerprint = policy_fingerprint(options.policy)
            task.verdicts.check(options.policy, fingerprint)
        source = task.open(target, options.auth, options.connection)
        try:
            resolved = task.resolve(source, target, options.auth, options.connection)
            warnings = [*target.warnings, *warnings_of_moved_tag(source, target)]
            verification: dict[str, Any] = {}
            if options.policy is not None:
                finding = task.verify(source, resolved, options.policy, fingerprint)
                verification = {"verification": {**finding.verification, "remembered": finding.is_remembered}}
                warnings += finding.warnings
            place = target_of(options.to, target.reference, resolved.tag)
            auth, connection = access_to(place, target.reference, options)
            destination = open_to_write(place, auth, connection, check_mode=check_mode)
            try:
                found = _Copy(source, destination, resolved, place.tag, options.force, check_mode).run()
            finally:
                destination.close()
            warnings += source.warnings
        finally:
            source.close()
    found["warnings"] = [*warnings, *found["warnings"]]
    return {**found, **verification, "artifact": artifact_identity(source.reference, resolved), "to": str(place)}


def access_to(place: Reference, source: Reference, options: CopyOptions) -> tuple[AuthOptions, ConnectionOptions]:
    """Return the credentials and the connection for the registry that is written to.

    A user name, a password and a client certificate are for one registry: another one never gets those of the source.
    Files and cloud providers know by themselves which registry each of their credentials is for.
    """
    if not place.is_layout and place.registry == source.registry:
        return options.to_auth or options.auth, options.to_connection
    auth = options.to_auth or replace(options.auth, username="", password="", provider_registry="")
    return auth, replace(options.to_connection, client_cert="", client_key="", client_key_password="")


class _Copy:
    """The copy of one artifact from ``source`` to ``target``, where it gets a tag unless that is empty."""

    def __init__(
        self, source: Repository, target: Repository, resolved: Resolved, tag: str, force: bool, check_mode: bool
    ) -> None:
        self._source = source
        self._target = target
        self._digest = resolved.digest
        self._tag = tag
        self._force = force
        self._check_mode = check_mode
        self._sent: set[str] = set()
        self._blobs = {EXISTED: 0, MOUNTED: 0, UPLOADED: 0}
        self._listed: dict[str, set[str]] = {}
        self._drifted: list[dict[str, str]] = []
        same = not source.reference.is_layout and source.reference.registry == target.reference.registry
        self._mount_from = (source.reference.repository,) if same else ()

    def run(self) -> dict[str, Any]:
        root = self._source.fetch_manifest(self._digest)
        graph = Graph(self._source)
        parts = graph.parts(root)
        together: AbstractContextManager[object] = nullcontext() if self._check_mode else self._target.batch()
        with together:
            held = find_tag(self._target, self._tag) if self._tag else None
            moves = bool(self._tag) and (held is None or held.digest != self._digest)
            if moves:
                self._check_movable(held)
            missing = self._missing(parts, is_complete=bool(self._tag) and not moves)
            if not self._check_mode:
                for part in missing:
                    self._send(part)
                if moves:
                    self._check_movable(find_tag(self._target, self._tag))
                    self._target.push_manifest(root, self._tag)
        changed = bool(missing) or moves
        left = [self._target.reference.at(tag=each["tag"]) for each in self._drifted]
        return {
            "changed": changed,
            "copied": [_record(part) for part in missing],
            "skipped": len(parts) - len(missing),
            "drifted": self._drifted,
            "blobs": self._blobs,
            "reason": COPIED if changed else UP_TO_DATE,
            "warnings": [
                *graph.warnings,
                *(f"{tag} has signatures that the source lacks, and was left as it is." for tag in left),
            ],
            "diff": _diff(parts, missing, self._tag, held, self._digest) if changed else [],
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
        )

    # -- what the target lacks

    def _missing(self, parts: Sequence[Part], *, is_complete: bool) -> list[Part]:
        """Return the parts that the target lacks.

        :param is_complete: the tag, which is written last, stands for the artifact there already.
        """
        return [part for part in parts if not ((part.is_content and is_complete) or self._has(part))]

    def _has(self, part: Part) -> bool:
        if part.tag:
            return self._has_tagged(part)
        subject = part.manifest.subject
        if subject is not None and not part.is_content:
            return part.digest in self._referrers_of(subject.digest)
        return answer_or_none(lambda: self._target.resolve(part.digest)) is not None

    def _has_tagged(self, part: Part) -> bool:
        """Return whether a tag of cosign has what the source has, or more that would be lost; note the latter."""
        held = find_tag(self._target, part.tag)
        if held is None:
            return False
        if held.digest == part.digest:
            return True
        there = self._target.fetch_manifest(held.digest)
        if {layer.digest for layer in there.layers} <= {layer.digest for layer in part.manifest.layers}:
            return False
        self._drifted.append({"tag": part.tag, "source": part.digest, "target": held.digest})
        return True

    def _referrers_of(self, subject: str) -> set[str]:
        """Return the digests that the target lists for a subject; what is there and not listed is missing."""
        if subject not in self._listed:
            found = answer_or_none(lambda: self._target.list_referrers(subject)) or []
            self._listed[subject] = {each.digest for each in found}
        return self._listed[subject]

    # -- sending

    def _send(self, part: Part) -> None:
        blobs = {each.digest: each for each in part.blobs if each.digest not in self._sent}
        if len(blobs) > 1:
            with thread_pool(min(PARALLEL_TRANSFERS, len(blobs))) as pool:
                outcomes = list(pool.map(self._send_blob, blobs.values()))
        else:
            outcomes = [self._send_blob(each) for each in blobs.values()]
        for outcome in outcomes:
            self._blobs[outcome] += 1
        self._sent.update(blobs)
        self._target.push_manifest(part.manifest, part.tag)

    def _send_blob(self, blob: Descriptor) -> str:
        source = blob_of(self._source, blob)
        try:
            return from_each_place(self._source, blob, lambda: self._target.push_blob(source, self._mount_from))
        except NotFound as exc:
            raise InvalidContent(
                f"{self._source.reference.name} lacks a blob of what is copied. {exc.message}",
                "The source is incomplete: publish the artifact there again.",
            ) from None


def _record(part: Part) -> dict[str, Any]:
    found = part.manifest
    return {
        "digest": part.digest,
        "tag": part.tag,
        "media_type": found.descriptor.media_type,
        "artifact_type": found.effective_artifact_type,
        "size": len(found.raw) + sum(blob.size for blob in part.blobs),
    }


def _diff(
    parts: Sequence[Part], missing: Sequence[Part], tag: str, held: Descriptor | None, digest: str
) -> list[dict[str, str]]:
    """The tag and the manifests at the target before and after, one per line, for the diff of a task."""
    before = [f"{tag} -> {held.digest}"] if held else []
    after = [f"{tag} -> {digest}"] if tag else []
    absent = {(part.digest, part.tag) for part in missing}
    for part in parts:
        line = f"{part.digest} {part.tag or part.manifest.effective_artifact_type}".rstrip()
        after.append(line)
        if (part.digest, part.tag) not in absent:
            before.append(line)
    texts = ["".join(f"{line}\n" for line in lines) for lines in (before, after)]
    return [{"before_header": "target", "after_header": "target", "before": texts[0], "after": texts[1]}]

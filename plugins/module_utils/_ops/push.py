# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Push: build → compare → blobs → manifest → tags.

A tag that already holds the content is left alone, also where the compressed bytes differ because another zlib made
them. Tags are written last, so that a push that breaks off is not seen.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._oci import media
from .._oci.digest import parse_digest
from .._oci.errors import InvalidOption, NotFound, TagImmutable
from .._oci.options import AuthOptions, ConnectionOptions
from .._oci.reference import DEFAULT_TAG, Reference, check_tag
from .._oci.transport import EXISTED, MOUNTED, UPLOADED, BlobSource, Repository, read_blob
from .build import BuildOptions, Built, build, with_subject
from .resolve import ReferenceOptions, open_repository, parse_target

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor, Manifest

PARALLEL_TRANSFERS = 4
CREATED, MOVED, UNCHANGED = "created", "moved", "unchanged"


@dataclass(frozen=True)
class PushOptions:
    """Everything that a push is told. ``immutable_tags`` None means: tags that are SemVer versions."""

    reference: ReferenceOptions
    build: BuildOptions
    tags: Sequence[str] = ()
    subject: str = ""
    immutable_tags: str | None = None
    mount_from: Sequence[str] = ()
    force: bool = False
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)


@dataclass
class PushResult:
    """What the module returns. ``tags`` says what became of each tag, ``blobs`` how many were handled in which way."""

    changed: bool
    reason: str
    artifact: dict[str, Any]
    tags: dict[str, str]
    blobs: dict[str, int]
    diff: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Standing:
    """What a tag holds now: nothing, or a manifest, and whether that is what is to be published."""

    tag: str
    descriptor: Descriptor | None
    same: bool


def push(options: PushOptions, *, check_mode: bool = False, want_diff: bool = False) -> PushResult:
    """Publish the artifact; with ``check_mode`` everything is read and compared, and nothing is sent.

    :raises TagImmutable: when a protected tag holds something else.
    :raises OciError: for everything else that cannot be done; tags are then as they were.
    """
    target = parse_target(options.reference)
    reference = target.reference
    if reference.digest:
        raise InvalidOption(f"{reference} names a digest, which follows from the content.", "Give a tag, or none.")
    with tempfile.TemporaryDirectory(prefix="oci-artifact-") as workspace:
        built = build(options.build, workspace)
        tags = _tags(options, built, reference, target.is_explicit)
        repository = open_repository(reference, options.auth, options.connection, push=not check_mode)
        try:
            return _Push(options, repository, built, tags, check_mode, want_diff).run()
        finally:
            repository.close()


class _Push:
    def __init__(
        self,
        options: PushOptions,
        repository: Repository,
        built: Built,
        tags: list[str],
        check_mode: bool,
        want_diff: bool,
    ) -> None:
        self._options = options
        self._repository = repository
        self._built = built
        self._tags = tags
        self._check_mode = check_mode
        self._want_diff = want_diff
        self._published: Manifest | None = None

    def run(self) -> PushResult:
        if self._options.subject:
            self._built = with_subject(self._built, self._find_subject(self._options.subject))
        standings = [self._standing(tag) for tag in self._tags]
        manifest = self._published or self._built.manifest
        outcome = {each.tag: UNCHANGED if each.same else MOVED if each.descriptor else CREATED for each in standings}
        for each in standings:
            if each.descriptor is not None and not each.same:
                self._check_movable(each.tag, each.descriptor.digest)
        pending = [tag for tag in self._tags if outcome[tag] != UNCHANGED]
        changed = bool(pending) or (not self._tags and not self._is_published(manifest))
        diff = self._diff(standings, manifest) if self._want_diff and changed else []
        blobs = {EXISTED: 0, MOUNTED: 0, UPLOADED: 0}
        if changed and not self._check_mode:
            self._send(manifest, pending, blobs)
        reason = "ArtifactUpToDate" if not changed else "ArtifactPushed"
        return PushResult(changed, reason, self._describe(manifest), outcome, blobs, diff, list(self._built.warnings))

    def _standing(self, tag: str) -> _Standing:
        try:
            descriptor = self._repository.resolve(tag)
        except NotFound:
            return _Standing(tag, None, False)
        if descriptor.digest == (self._published or self._built.manifest).descriptor.digest:
            return _Standing(tag, descriptor, True)
        if self._published is None and descriptor.media_type == media.OCI_MANIFEST:
            remote = self._repository.fetch_manifest(descriptor.digest)
            if self._same_content(remote):
                # the content was published before with other compressed bytes: keep that artifact
                self._published = remote
                return _Standing(tag, descriptor, True)
        return _Standing(tag, descriptor, False)

    def _same_content(self, remote: Manifest) -> bool:
        """Whether a manifest differs only in how the layers were compressed.

        Everything else has to be equal to the letter, so that a layer is fetched only when it is the one difference.
        """
        local = self._built.manifest
        alike = (
            remote.artifact_type == local.artifact_type
            and dict(remote.annotations) == dict(local.annotations)
            and (remote.subject is None) == (local.subject is None)
            and (remote.subject is None or local.subject is None or remote.subject.digest == local.subject.digest)
            and remote.config is not None
            and local.config is not None
            and (remote.config.media_type, remote.config.digest) == (local.config.media_type, local.config.digest)
            and len(remote.layers) == len(local.layers)
        )
        if not alike:
            return False
        for theirs, ours in zip(remote.layers, self._built.layers):
            mine = ours.source.descriptor
            if theirs.media_type != mine.media_type or dict(theirs.annotations) != dict(mine.annotations):
                return False
            if theirs.digest != mine.digest and not (ours.diff_id and self._diff_id(theirs) == ours.diff_id):
                return False
        return True

    def _diff_id(self, layer: Descriptor) -> str:
        from .._oci.decompress import Decompressor

        content = hashlib.sha256()
        decompressor = Decompressor(content.update, f"The layer {layer.digest}")
        for chunk in read_blob(self._repository, layer):
            decompressor.write(chunk)
        decompressor.close()
        return f"sha256:{content.hexdigest()}"

    def _is_published(self, manifest: Manifest) -> bool:
        try:
            self._repository.resolve(manifest.descriptor.digest)
        except NotFound:
            return False
        return True

    def _check_movable(self, tag: str, holds: str) -> None:
        if self._options.force or not is_immutable(tag, self._options.immutable_tags):
            return
        raise TagImmutable(
            f"The tag {self._repository.reference.at(tag=tag)} holds {holds} and would move to "
            f"{self._built.manifest.descriptor.digest}, but tags of its kind are never moved.",
            "Publish the new content under a new version, or move the tag with force: true.",
        )

    def _send(self, manifest: Manifest, tags: list[str], blobs: dict[str, int]) -> None:
        if self._published is None:
            for outcome in self._send_blobs(self._built.blobs):
                blobs[outcome] += 1
        if not tags:
            self._repository.push_manifest(manifest)
        for tag in tags:
            self._repository.push_manifest(manifest, tag)

    def _send_blobs(self, sources: list[BlobSource]) -> list[str]:
        distinct = list({source.descriptor.digest: source for source in sources}.values())
        mount_from = tuple(self._options.mount_from)
        if len(distinct) == 1:
            return [self._repository.push_blob(distinct[0], mount_from)]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(PARALLEL_TRANSFERS, len(distinct))) as pool:
            pending = [pool.submit(self._repository.push_blob, source, mount_from) for source in distinct]
            return [each.result() for each in pending]

    def _find_subject(self, text: str) -> Descriptor:
        if text.startswith(("sha256:", "sha512:")):
            parse_digest(text)
        else:
            check_tag(text)
        return self._repository.resolve(text)

    def _describe(self, manifest: Manifest) -> dict[str, Any]:
        tag = self._tags[0] if self._tags else ""
        first = manifest.layers[0]
        return {
            "url": self._repository.reference.url,
            "revision": f"{tag}@{manifest.descriptor.digest}" if tag else manifest.descriptor.digest,
            "tag": tag,
            "digest": manifest.descriptor.digest,
            "media_type": manifest.descriptor.media_type,
            "artifact_type": manifest.effective_artifact_type,
            "metadata": dict(manifest.annotations),
            "layer": {"digest": first.digest, "media_type": first.media_type, "size": first.size},
            "size": sum(layer.size for layer in manifest.layers),
        }

    def _diff(self, standings: list[_Standing], manifest: Manifest) -> list[dict[str, str]]:
        from .push_diff import push_diff

        before = next((each.descriptor for each in standings if each.descriptor is not None and not each.same), None)
        names = {each.tag: each.descriptor.digest if each.descriptor else "" for each in standings}
        return push_diff(self._repository, self._built, before, names, manifest.descriptor.digest)


def is_immutable(tag: str, pattern: str | None) -> bool:
    """Whether a tag is protected: by the expression (anywhere in the tag), or, without one, because it is a version.

    A version is SemVer 2.0.0 with all three parts, with or without ``v``, ``_`` for ``+`` as Helm writes it.

    :raises InvalidSelection: when the expression does not parse, or does not finish.
    """
    if pattern is None:
        import semver

        return bool(semver.Version.is_valid((tag[1:] if tag.startswith("v") else tag).replace("_", "+", 1)))
    if not pattern:
        return False
    from .._oci.bounded_regex import BoundedRegex

    return bool(BoundedRegex(pattern, "immutable_tags").search_all([tag]))


def _tags(options: PushOptions, built: Built, reference: Reference, is_explicit: bool) -> list[str]:
    """The tags to write, the first one first: as given, else the chart's version, else ``latest``; none for a referrer."""
    tags = [reference.tag] if is_explicit and reference.tag else []
    tags += [check_tag(tag) for tag in options.tags]
    if not tags and built.tag:
        tags = [check_tag(built.tag)]
    if not tags and not options.subject:
        tags = [DEFAULT_TAG]
    return list(dict.fromkeys(tags))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Push: build → compare → blobs → manifest → signatures → tags.

A tag that already has the content is not changed, even if the compressed bytes differ because of another zlib, or the
time because of another tool. All tags are compared before anything is sent, and are written last, so that a push that
is refused or interrupted before that is not visible, and no tag ever points to an unsigned artifact. Large layers for
tags that are new are sent while they are built.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._errors import (
    InvalidOption,
    InvalidReference,
    LayerError,
    NotFound,
    OciError,
    TagImmutable,
)
from ..._files.threads import new_thread, thread_pool
from ..._oci import media
from ..._oci.digest import digest_of_hash, parse_digest
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..._oci.preliminary import is_about_one
from ..._oci.progress import transfers
from ..._oci.reference import DEFAULT_TAG, check_tag, parse_reference
from ..._oci.repository import EXISTED, MOUNTED, UPLOADED, BlobSource, WritableRepository, read_blob
from ..artifact_result import artifact_result
from ..connect import cache_warnings, open_cache
from ..connect_to_write import check_writable, open_to_write
from ..immutable_tags import is_immutable
from ..resolve import ReferenceOptions, Resolved, parse_target
from .build import FLUX, HELM, BuildOptions, Built, Layer, build, with_subject
from .held_tags import HeldTags
from .known_files import KnownFiles
from .one_pass import MIN_FILE, OnePass
from .tags import tags_to_write

if TYPE_CHECKING:
    from ..._cache.artifact_cache import ArtifactCache
    from ..._oci.manifest import Descriptor, Manifest
    from ..._policy.rules import Policy
    from ..._trust.sign import Signature
    from ..guard import Guard
    from ..sign import KeySigner, SigningOptions

PARALLEL_TRANSFERS = 4
# The maximal compression ratio of deflate (zlib, "Technical Details").
MAX_DEFLATE_RATIO = 1032
# bytes
MIN_PARALLEL_IMPORT_SIZE = 32 * 1024 * 1024
CREATED, MOVED, UNCHANGED = "created", "moved", "unchanged"


@dataclass(frozen=True)
class PushOptions:
    """The options of a push.

    ``immutable_tags`` None means tags that are SemVer versions; ``sign`` None means no signature. The rules of
    ``policy`` apply whatever ``force`` says.
    """

    reference: ReferenceOptions
    build: BuildOptions
    tags: Sequence[str] = ()
    subject: str = ""
    immutable_tags: str | None = None
    mount_from: Sequence[str] = ()
    force: bool = False
    sign: SigningOptions | None = None
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    policy: Policy | None = None


@dataclass
class PushResult:
    """The module's result. ``tags`` has the outcome of each tag, ``blobs`` the number of blobs by outcome,
    ``signatures`` those by the signing key, ``ignored`` some of the ``ignored_count`` excluded paths."""

    changed: bool
    reason: str
    artifact: dict[str, Any]
    tags: dict[str, str]
    blobs: dict[str, int]
    ignored: list[str]
    ignored_count: int
    signatures: list[dict[str, str]] = field(default_factory=list)
    chart: dict[str, str] = field(default_factory=dict)
    diff: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def push(options: PushOptions, *, check_mode: bool = False, want_diff: bool = False) -> PushResult:
    """Publish the artifact; with ``check_mode`` content is read and compared, and nothing is sent.

    :raises InvalidOption: when options contradict each other, or the key cannot be used.
    :raises BuildError: when the content cannot be packed.
    :raises TagImmutable: when a protected tag has other content.
    :raises OciError: for every other failure. Tags are unchanged then, unless writing a tag failed: those before it in
        ``tags`` are written.
    """
    guard: Guard | None = None
    if options.policy is None:
        target = parse_target(options.reference)
    else:
        from ..guard import guarded_target

        target, guard = guarded_target(options.reference, options.policy)
    reference = target.reference
    if reference.digest:
        raise InvalidOption(f"{reference} names a digest, which follows from the content.", "Give a tag, or none.")
    _check_mounts(options.mount_from, reference.registry)
    signer = _signer(options.sign) if options.sign is not None else None
    if options.immutable_tags:
        # so that an invalid expression is found before anything is sent
        is_immutable(DEFAULT_TAG, options.immutable_tags)
    cache = open_cache(options.cache)
    own_tags = tags_to_write(target, options.tags, "", has_subject=bool(options.subject))
    if guard is not None:
        for tag in options.tags:
            guard.check_resolved(Resolved("", tag, None))

    def connect() -> WritableRepository:
        return open_to_write(reference, options.auth, options.connection, check_mode=check_mode, cache=cache)

    held = HeldTags(connect, own_tags, options.immutable_tags, force=options.force)
    shown = str(reference.at(tag=own_tags[0]) if own_tags else reference.at())
    try:
        with (
            transfers.of(reference.name, shown, _total(options.build)),
            tempfile.TemporaryDirectory(prefix="oci-artifact-") as workspace,
        ):
            if not reference.is_layout and _is_large(options.build):
                new_thread(_import_registry).start()
            one_pass = None if check_mode or reference.is_layout else _one_pass(options, held, cache)
            built = build(options.build, workspace, one_pass)
            tags = tags_to_write(target, options.tags, built.tag, has_subject=bool(options.subject))
            sent = set() if one_pass is None else one_pass.sent
            with held.repository.batch():
                result = _Push(options, held, built, tags, signer, check_mode, want_diff, sent, guard).run()
    finally:
        held.close()
    result.warnings += cache_warnings(cache)
    return result


def _one_pass(options: PushOptions, held: HeldTags, cache: ArtifactCache | None) -> OnePass | None:
    """What sends large layers while they are hashed or packed; None where there are none, or where their digests may
    save the transfer: the registry is asked for them in other repositories, or under a tag that the content names."""
    paths = [each.path for each in options.build.inputs]
    large = [path for path in paths if not os.path.isdir(path) and _size(path) >= MIN_FILE]
    archives = paths if options.build.type == FLUX else [path for path in paths if os.path.isdir(path)]
    if options.build.type == HELM or options.mount_from or options.subject or not (large or archives):
        return None
    return OnePass(held, KnownFiles(cache), min(PARALLEL_TRANSFERS, len(large)))


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _signer(options: SigningOptions) -> KeySigner:
    from ..sign import KeySigner

    return KeySigner(options)


def _is_large(options: BuildOptions) -> bool:
    """True when hashing the files takes as long as the imports that can run in parallel."""
    return sum(_size(each.path) for each in options.inputs if os.path.isfile(each.path)) >= MIN_PARALLEL_IMPORT_SIZE


def _total(options: BuildOptions) -> int:
    """The bytes to send; 0 when that is not known, since something is packed."""
    paths = [each.path for each in options.inputs]
    return 0 if options.type == FLUX or any(map(os.path.isdir, paths)) else sum(map(_size, paths))


def _import_registry() -> None:
    with contextlib.suppress(Exception):  # an error is raised when the module is used
        from ..._registry import repository as registry

        del registry


class _Push:
    def __init__(
        self,
        options: PushOptions,
        held: HeldTags,
        built: Built,
        tags: list[str],
        signer: KeySigner | None,
        check_mode: bool,
        want_diff: bool,
        sent: set[str],
        guard: Guard | None = None,
    ) -> None:
        """``sent`` has the digests of the blobs that the build has sent already."""
        self._options = options
        self._held = held
        self._repository = held.repository
        self._sent = sent
        self._guard = guard
        self._built = built
        self._tags = tags
        self._signer = signer
        self._check_mode = check_mode
        self._want_diff = want_diff
        # the manifest to publish: the built one, or the one of a tag with the same content
        self._manifest = built.manifest
        # True when the repository has it with all its blobs
        self._is_there = False
        self._signatures: list[Signature] = []
        self._warnings = list(built.warnings)

    def run(self) -> PushResult:
        subject = self._find_subject() if self._options.subject else ""
        held = {tag: self._held.of(tag) for tag in self._tags}
        outcome = self._compare(held)
        pending = [tag for tag, became in outcome.items() if became != UNCHANGED]
        for tag in pending:
            self._check_movable(tag, held[tag])
            if self._guard is not None:
                version = self._built.chart.get("version", "")
                self._guard.check_push(self._repository, tag, self._manifest, version, held[tag])
        changed = bool(pending) or bool(subject and not self._is_listed(subject))
        if self._guard is not None and changed and not pending:
            self._guard.check_push(self._repository, "", self._manifest, "", None)
        diff = self._diff(held, pending) if self._want_diff and changed else []
        blobs = {EXISTED: 0, MOUNTED: 0, UPLOADED: 0}
        is_sent = changed and not self._check_mode
        if is_sent:
            self._send(pending, blobs)
        elif changed:
            check_writable(self._repository)
        if self._signer:
            self._sign(self._signer, held, outcome)
        for tag in pending if is_sent else ():
            self._repository.push_manifest(self._manifest, tag)
        is_signed = any(signature.status == CREATED for signature in self._signatures)
        signatures: list[dict[str, Any]] = []
        if self._signatures:
            from ..sign import as_results, signatures_diff

            signatures = as_results(self._signatures)
            diff += signatures_diff(self._signatures) if self._want_diff and is_signed else []
        reason = "ArtifactPushed" if changed else "ArtifactSigned" if is_signed else "ArtifactUpToDate"
        return PushResult(
            changed=changed or is_signed,
            reason=reason,
            artifact=self._describe(),
            tags=outcome,
            blobs=blobs,
            **self._built.left_out.as_result(),
            signatures=signatures,
            chart=dict(self._built.chart),
            diff=diff,
            warnings=self._warnings,
        )

    def _compare(self, held: dict[str, Descriptor | None]) -> dict[str, str]:
        """The outcome for each tag. Of several manifests with this content, the first is published."""
        known: dict[str, Manifest | None] = {self._manifest.descriptor.digest: self._manifest}
        outcome = {}
        for tag, descriptor in held.items():
            if descriptor is None:
                outcome[tag] = CREATED
                continue
            if descriptor.digest not in known:
                known[descriptor.digest] = self._same_content(descriptor)
            same = known[descriptor.digest]
            outcome[tag] = UNCHANGED if same else MOVED
            if same and not self._is_there:
                self._manifest, self._is_there = same, True
        return outcome

    def _same_content(self, held: Descriptor) -> Manifest | None:
        """The manifest of a tag, when it differs only in the compression of layers, or in a default time.

        All other fields have to be equal, so that a layer is fetched only when it is the only difference. A damaged
        manifest counts as different, and is replaced.
        """
        if held.media_type != media.OCI_MANIFEST:
            return None
        try:
            remote = self._repository.fetch_manifest(held.digest)
            return remote if self._is_alike(remote) and self._has_same_layers(remote) else None
        except OciError as exc:
            if not (isinstance(exc, LayerError) or is_about_one(exc)):
                raise
            return None

    def _is_alike(self, remote: Manifest) -> bool:
        local = self._built.manifest
        annotations = [dict(manifest.annotations) for manifest in (remote, local)]
        if not self._built.has_own_time:
            for each in annotations:
                each.pop(media.ANNOTATION_CREATED, None)
        return (
            remote.artifact_type == local.artifact_type
            and annotations[0] == annotations[1]
            and (remote.subject and remote.subject.digest) == (local.subject and local.subject.digest)
            and remote.config is not None
            and local.config is not None
            and (remote.config.media_type, remote.config.digest) == (local.config.media_type, local.config.digest)
        )

    def _has_same_layers(self, remote: Manifest) -> bool:
        if len(remote.layers) != len(self._built.layers):
            return False
        differing = []
        for theirs, ours in zip(remote.layers, self._built.layers):
            mine = ours.source.descriptor
            if theirs.media_type != mine.media_type or dict(theirs.annotations) != dict(mine.annotations):
                return False
            if theirs.digest != mine.digest:
                differing.append((theirs, ours))
        return all(ours.diff_id and self._diff_id(theirs, ours) == ours.diff_id for theirs, ours in differing)

    def _diff_id(self, layer: Descriptor, ours: Layer) -> str:
        """The digest of a layer's uncompressed content, which must not be larger than that of ``ours``.

        :raises LayerError: when the layer is damaged, or its content is larger.
        """
        from ..._archive.decompress import Decompressor

        content = hashlib.sha256()
        room = MAX_DEFLATE_RATIO * (ours.source.descriptor.size + 1)

        def take(data: bytes | memoryview) -> None:
            nonlocal room
            room -= len(data)
            if room < 0:
                raise LayerError(f"The layer {layer.digest} unpacks to more than what is to be published.")
            content.update(data)

        if layer.size > room:
            return ""
        decompressor = Decompressor(take, f"The layer {layer.digest}")
        for chunk in read_blob(self._repository, layer):
            decompressor.write(chunk)
        decompressor.close()
        return digest_of_hash(content)

    def _is_listed(self, subject: str) -> bool:
        """True when the subject's referrers list the artifact; after an interrupted push it may exist without that."""
        digest = self._manifest.descriptor.digest
        return any(entry.digest == digest for entry in self._repository.list_referrers(subject))

    def _check_movable(self, tag: str, held: Descriptor | None) -> None:
        if held is None or not self._held.is_protected(tag):
            return
        raise TagImmutable(
            f"The tag {self._repository.reference.at(tag=tag)} holds {held.digest} and would move to "
            f"{self._manifest.descriptor.digest}, but tags of its kind are never moved.",
            "Publish the new content under a new version, or move the tag with force: true.",
        )

    def _send(self, pending: list[str], blobs: dict[str, int]) -> None:
        """Send the blobs, and the manifest unless it is sent with its tags: it has to exist before it is signed."""
        if not self._is_there:
            distinct = {source.descriptor.digest: source for source in self._built.blobs}
            blobs[UPLOADED] += len(self._sent & set(distinct))
            for outcome in self._send_blobs([distinct[digest] for digest in distinct if digest not in self._sent]):
                blobs[outcome] += 1
        if not pending or (self._signer and not self._is_there):
            self._repository.push_manifest(self._manifest)

    def _send_blobs(self, sources: list[BlobSource]) -> list[str]:
        mount_from = tuple(self._options.mount_from)
        if len(sources) == 1:
            return [self._repository.push_blob(sources[0], mount_from)]
        with thread_pool(min(PARALLEL_TRANSFERS, len(sources))) as pool:
            pending = [pool.submit(self._repository.push_blob, source, mount_from) for source in sources]
            return [each.result() for each in pending]

    def _sign(self, signer: KeySigner, held: dict[str, Descriptor | None], outcome: dict[str, str]) -> None:
        """Sign the artifact, and the manifests with the same content that tags have already."""
        pending = [tag for tag, became in outcome.items() if became != UNCHANGED]
        found = [held[tag] for tag in outcome if tag not in pending]
        if pending or not outcome:
            found.insert(0, self._manifest.descriptor)
        for artifact in {each.digest: each for each in found if each}.values():
            try:
                signed = signer.sign(self._repository, artifact, check_mode=self._check_mode)
            except OciError as exc:
                if pending:
                    exc.hint = f"{exc.hint} No tag was written: that is done once the artifact is signed.".strip()
                raise
            self._signatures += signed.signatures
            self._warnings += signed.warnings

    def _find_subject(self) -> str:
        """Make the built artifact a referrer; return the digest of its subject."""
        text = self._options.subject
        if text.startswith(("sha256:", "sha512:")):
            parse_digest(text)
        elif check_tag(text) in self._tags:
            raise InvalidOption(
                f"The tag {text!r} is both the subject and a tag to write, which would take it from the subject.",
                "Leave the tag out of 'ref', 'tag' and 'tags': what has a subject needs no tag.",
            )
        try:
            subject = self._repository.resolve(text)
        except NotFound as exc:
            raise NotFound(f"The subject is missing. {exc.message}", "Publish it before what refers to it.") from None
        self._built = with_subject(self._built, subject)
        self._manifest = self._built.manifest
        return subject.digest

    def _describe(self) -> dict[str, Any]:
        manifest = self._manifest
        tag = self._tags[0] if self._tags else ""
        resolved = Resolved(manifest.descriptor.digest, tag, manifest.descriptor)
        return artifact_result(self._repository.reference, resolved, manifest, manifest, manifest.layers)

    def _diff(self, held: dict[str, Descriptor | None], pending: list[str]) -> list[dict[str, str]]:
        from .diff import push_diff

        before = next((descriptor for tag, descriptor in held.items() if tag in pending and descriptor), None)
        names = {tag: descriptor.digest if descriptor else "" for tag, descriptor in held.items()}
        after = {tag: self._manifest.descriptor.digest if tag in pending else names[tag] for tag in names}
        diff = push_diff(self._repository, self._built, self._manifest, before, names, after)
        return diff + self._built.left_out.as_diff()


def _check_mounts(names: Sequence[str], registry: str) -> None:
    for name in names:
        try:
            reference = parse_reference(f"{registry or 'localhost'}/{name}")
        except InvalidReference:
            reference = None
        if reference is None or reference.identifier:
            raise InvalidOption(
                f"{name[:200]!r} in 'mount_from' is not a repository.",
                "Give names of repositories of the same registry, without host, tag and digest.",
            )

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes deliveries: what a pull does before anything is placed, on the machine that does it for others (``via``).

Everything is kept in a cache by digest, from which the layers are sent. What fails is part of the delivery: a host that
has the digest in place already needs nothing, and one that may keep its content decides so itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._archive.decompress import sniff
from ..._cache.store import checked
from ..._errors import OciError, StorageError, is_outage
from ..._oci import media
from ..._oci.digest import is_digest
from ..._oci.manifest import Descriptor, Manifest
from ..._secrets.known import without_secrets
from ..interval import Answers, terms_of, time_text
from ..layer_selector import EXTRACT
from ..layers import MAX_CHART_LOOKS, check_sizes, choose_manifest, find_chart
from ..placement import Placement, placement_of
from ..resolve import Resolved, parse_target
from ..task import Task
from .delivery import MAX_INLINE, Delivery
from .layer_reader import hold_all
from .options import PullOptions

if TYPE_CHECKING:
    from ..._cache.artifact_cache import CachedRepository
    from ..._oci.repository import Repository
    from ..._trust.policy import VerifyPolicy
    from ..guard import Guard
    from ..verdicts import Finding

# What is made of large layers and of small ones: LOOK fetches and verifies the latter alone, CHECK verifies both and
# fetches none, DIFF verifies both and fetches small ones, FETCH does all.
LOOK, CHECK, DIFF, FETCH = "look", "check", "diff", "fetch"

# bytes of a layer that tell how it is compressed
_SNIFFED = 512
_OF_CHARTS = (media.HELM_LAYER, media.HELM_PROVENANCE)


class Request(NamedTuple):
    """What a machine is asked for: the ``degree``, the file for the deliveries, the cache directory for an artifact
    whose options name none, and the platform of the host that it is for, empty where that is not known."""

    degree: str
    file: str
    store: str
    platform: str = ""


def parse_request(text: str) -> Request | None:
    """Read a request from its JSON text; None for anything else."""
    try:
        document = json.loads(text)
        return Request(**document["request"])
    except (TypeError, ValueError, LookupError):
        return None


def provide(items: Sequence[PullOptions], request: Request, *, check_mode: bool = False) -> dict[str, Any]:
    """Make a delivery for each artifact, and write them to the file; return the module's result.

    The result has ``store``, the directory with the blobs, and what tells other tasks of the run which revisions the
    references stand for, as a pull in check mode would.

    :raises OciError: when options cannot be used.
    """
    cache = items[0].cache._replace(root=items[0].cache.root or request.store, read_only=False)
    if check_mode:
        # the cache of the task is only read, and this is no cache of a user's
        cache = cache._replace(root=request.store)
    with Task(cache) as task:
        found = [_Provider(options, task, request, check_mode=check_mode).delivery() for options in items]
    descriptor = os.open(request.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(json.dumps({"items": [each.as_document() for each in found]}))
    results = [_as_result(each) for each in found]
    single = results[0] if len(results) == 1 else {"results": results}
    return {"changed": False, "store": os.path.abspath(cache.root), **single}


def _as_result(delivery: Delivery) -> dict[str, Any]:
    if not delivery.revision:
        return dict(delivery.failure)
    return {"artifact": {"revision": delivery.revision}, "reason": "Provided"}


class _Provider:
    """One artifact that is provided."""

    def __init__(self, options: PullOptions, task: Task, request: Request, *, check_mode: bool) -> None:
        self._options = options
        self._task = task
        self._request = request
        self._check_mode = check_mode
        self._warnings: list[str] = []
        self._guard: Guard | None = None
        if options.policy is None:
            self._target = parse_target(options.reference, options.selector.media_type)
        else:
            from ..guard import guarded_target

            self._target, self._guard = guarded_target(
                options.reference, options.policy, options.verify, options.selector.media_type
            )
        self._policies: Mapping[str, VerifyPolicy] = {}
        if self._guard is not None:
            self._policies = self._guard.policies
        elif options.verify is not None:
            from ..verdicts import policy_fingerprint

            self._policies = {policy_fingerprint(options.verify): options.verify}
        for fingerprint, policy in self._policies.items():
            task.verdicts.check(policy, fingerprint)

    def delivery(self) -> Delivery:
        """The delivery, which has the failure where there is one."""
        self._warnings += self._target.warnings
        made = Delivery(verified=" ".join(self._policies), rules=self._rules(), policy=self._policy_file())
        try:
            repository = self._task.open(self._target, self._options.auth, self._options.connection)
            try:
                resolved, confirmed_at = self._resolve(repository)
                made = made._replace(revision=resolved.revision, confirmed_at=confirmed_at)
                made = self._look(made, repository, resolved)
            finally:
                warnings = [without_secrets(each) for each in (*self._warnings, *repository.warnings)]
                made = made._replace(served_by=repository.served_by, warnings=warnings)
                repository.close()
        except OciError as exc:
            failure = exc.as_failure()
            failure["msg"] = without_secrets(str(failure["msg"]))
            return made._replace(failure=failure, is_outage=is_outage(exc))
        return made

    def _resolve(self, repository: Repository) -> tuple[Resolved, str]:
        """What the reference stands for, and when the registry said so, with an ``interval``."""
        answers, options = self._answers(), self._options
        found = None if answers is None or options.force else answers.recent(options.interval)
        moment = time.time()
        resolved, confirmed_at = found or (self._asked(repository), "")
        moved: list[str] = []
        if self._guard is not None:
            self._guard.check_resolved(resolved)
        if found is None and self._target.asks_for_tag:
            from ..moved_tag import warnings_of_moved_tag

            # noted below only without: it is to be seen by the next run, too
            moved = warnings_of_moved_tag(repository, self._target)
            self._warnings += moved
        if found is None and answers is not None:
            confirmed_at = time_text(moment)
            if not moved and not self._check_mode:
                answers.note(resolved, moment)
        return resolved, confirmed_at

    def _asked(self, repository: Repository) -> Resolved:
        return self._task.resolve(repository, self._target, self._options.auth, self._options.connection)

    def _answers(self) -> Answers | None:
        """The note of the registry's answer in the user's cache; None where it is asked in each run."""
        options, target = self._options, self._target
        if not options.interval or not options.cache.root or (target.known and not target.asks_for_tag):
            return None
        cache = self._task.cache
        if cache is None:
            return None
        policy = "" if options.policy is None else options.policy.fingerprint
        terms = terms_of(*self._policies, policy, target.tag_moved, options.requested_at)
        return Answers(cache.notes(), target, terms)

    def _rules(self) -> Sequence[Mapping[str, Any]]:
        """The part of the policy that is about what the host has: what is older, and whether that itself is denied."""
        if self._guard is None:
            return ()
        from ..._policy.match import is_path

        rule = self._guard.rules.rule
        checks = {
            "never_downgrade": rule.never_downgrade,
            "deny_digests": sorted(rule.deny_digests),
            "deny_tags": rule.deny_tags.texts,
        }
        found = {name: value for name, value in checks.items() if value}
        name = self._target.reference.name
        # a path is another one where the host has other directories
        match = name if is_path(name) else rule.match.text
        return ({"match": match, **found},) if found else ()

    def _policy_file(self) -> str:
        return "" if self._guard is None else self._guard.rules.named("")["policy"]

    def _look(self, made: Delivery, repository: Repository, resolved: Resolved) -> Delivery:
        options = self._options
        platform = options.platform or self._request.platform
        top = repository.fetch_manifest(resolved.digest)
        inline = {top.descriptor.digest: top.raw}
        if top.is_index and not platform and not self._is_chart(repository, top):
            return made._replace(wants_platform=True, inline=inline, listing=_index([top], {}))
        manifest = choose_manifest(repository, top, platform, options.selector.media_type)
        what = str(repository.reference.at(tag=resolved.tag, digest=resolved.digest))
        placement = placement_of(manifest, options.selector, what)
        check_sizes(placement.layers, options.limits, what)
        path = _path_to(repository, top, manifest)
        made = made._replace(
            blobs={layer.digest: layer.size for layer in placement.layers},
            inline={each.descriptor.digest: each.raw for each in path},
            listing=_index(path, {}),
            needs=_needs(options, placement),
        )
        is_small = made.size <= MAX_INLINE
        if self._request.degree == LOOK and not is_small:
            return made
        made = self._verify(made, repository, resolved, path)
        if self._request.degree == CHECK or (self._request.degree == DIFF and not is_small):
            return made
        return self._fetch(made, repository, resolved, manifest, placement, is_small)

    def _is_chart(self, repository: Repository, top: Manifest) -> bool:
        return self._options.selector.media_type in _OF_CHARTS and find_chart(repository, top) is not None

    def _verify(self, made: Delivery, repository: Repository, resolved: Resolved, path: Sequence[Manifest]) -> Delivery:
        """Verify the signatures, and the rules of the policy that do not depend on the host."""
        verdict: Mapping[str, Any] = {}
        if self._policies:
            recorder: Any = Recorder(repository)
            found = self._found(recorder, resolved)
            verdict = found.verification
            made = made._replace(
                verdict=found.verification,
                verdict_warnings=found.warnings,
                verify=self._portable_policies(),
            )
            if recorder.size <= MAX_INLINE:
                manifests = {each.descriptor.digest: each for each in [*path, *recorder.manifests.values()]}
                raw = {digest: each.raw for digest, each in manifests.items()}
                made = made._replace(
                    inline={**made.inline, **raw, **recorder.blobs},
                    listing=_index(list(manifests.values()), recorder.tags),
                )
            else:
                # too much to be sent along: what was found here has to do
                made = made._replace(verify=())
        if self._guard is not None:
            self._guard.check_change(resolved, path, verdict, {}, check_mode=self._check_mode)
        return made

    def _found(self, recorder: Repository, resolved: Resolved) -> Finding:
        # the recorder has no cache of verdicts: what is sent along has to be read
        if self._guard is not None:
            return self._guard.verify(self._task, recorder, resolved)
        fingerprint, policy = next(iter(self._policies.items()))
        return self._task.verify(recorder, resolved, policy, fingerprint)

    def _portable_policies(self) -> list[Mapping[str, Any]]:
        """The policies with the content of the files that they name; none where that cannot be sent along."""
        from .portable_policy import portable

        found = [portable(policy) for policy in self._policies.values()]
        return [each for each in found if each is not None] if all(found) else []

    def _fetch(
        self,
        made: Delivery,
        repository: Repository,
        resolved: Resolved,
        manifest: Manifest,
        placement: Placement,
        is_small: bool,
    ) -> Delivery:
        cached = self._task.cached(repository) or self._by_way_of_cache(repository)
        layers = list({layer.digest: layer for layer in placement.layers}.values())
        inline, needs = dict(made.inline), list(made.needs)
        with contextlib.ExitStack() as stack:
            held = hold_all(cached, layers, stack, self._task.transfers)
            for layer in layers:
                handle = held.get(layer.digest)
                if handle is None:
                    raise cached.cache.refusal or StorageError(f"The layer {layer.digest} could not be kept.")
                if self._options.selector.operation == EXTRACT and sniff(handle.read(_SNIFFED)) == "zstd":
                    needs = ["zstd"]
                if is_small:
                    inline[layer.digest] = b"".join(checked(handle, layer))
            # a cache of the user's lists what it holds
            if self._options.cache.root and not self._check_mode and not self._target.reference.is_layout:
                is_whole = resolved.digest == manifest.descriptor.digest
                cached.enter(self._target.confirmed_tag(resolved) if is_whole else "", manifest)
        return made._replace(inline=inline, needs=needs, is_fetched=True)

    def _by_way_of_cache(self, repository: Repository) -> CachedRepository:
        """A layout, whose layers are sent from the cache as those of a registry are."""
        from ..._cache.artifact_cache import CachedRepository

        cache = self._task.cache
        if cache is None:
            raise StorageError("There is no directory to keep layers in.")
        return CachedRepository(self._target.reference, cache, lambda: repository)


def _needs(options: PullOptions, placement: Placement) -> list[str]:
    """What the layers say they are compressed with; what they really are is seen when they were fetched."""
    is_zstd = any(layer.media_type.endswith("+zstd") for layer in placement.layers)
    return ["zstd"] if is_zstd and options.selector.operation == EXTRACT else []


def _path_to(repository: Repository, top: Manifest, manifest: Manifest) -> list[Manifest]:
    """The manifests from the one that the digest stands for to the one with the layers."""
    wanted = manifest.descriptor.digest
    if top.descriptor.digest == wanted:
        return [top]
    found = [top]
    if all(entry.digest != wanted for entry in top.manifests):
        # an index in the index: those that may lead to it
        nested = [each for each in top.manifests if each.media_type in media.INDEX_TYPES]
        found += [repository.fetch_manifest(each.digest) for each in nested[:MAX_CHART_LOOKS]]
    return [*found, manifest]


def _index(manifests: Sequence[Manifest], tags: Mapping[str, str]) -> dict[str, Any]:
    """An ``index.json`` that lists manifests, with the tags of signatures."""
    entries = []
    for manifest in manifests:
        entry = Descriptor(manifest.descriptor.media_type, manifest.descriptor.digest, len(manifest.raw)).as_json()
        names = [tag for tag, digest in tags.items() if digest == manifest.descriptor.digest]
        entries += [{**entry, "annotations": {media.ANNOTATION_REF_NAME: name}} for name in names] or [entry]
    return {"schemaVersion": 2, "manifests": entries}


class Recorder:
    """A repository whose manifests and blobs are noted as they are read: what a verification needs.

    ``tags`` are the digests of the tags that were asked for.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.manifests: dict[str, Manifest] = {}
        self.blobs: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._repository, name)

    def fetch_manifest(self, identifier: str) -> Manifest:
        manifest = self._repository.fetch_manifest(identifier)
        digest = manifest.descriptor.digest
        if digest not in self.manifests:
            self.manifests[digest] = manifest
            self.size += len(manifest.raw)
        if not is_digest(identifier):
            self.tags[identifier] = digest
        return manifest

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        pieces = []
        self.size += descriptor.size
        for piece in self._repository.stream_blob(descriptor, offset):
            if self.size <= MAX_INLINE:
                pieces.append(bytes(piece))
            yield piece
        self.blobs[descriptor.digest] = b"".join(pieces)

    def blob_views(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        return self.stream_blob(descriptor, offset)

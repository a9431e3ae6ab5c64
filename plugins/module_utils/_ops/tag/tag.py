# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tag: point tags at a digest under conditions, or remove them.

Everything is checked before the first tag is moved: what the tags hold, whether they may move, and what the artifact
has to satisfy. Each tag is then moved only if it still holds what was found. The conditions are those of a move, so
that a task whose tags are all in place asks for nothing but them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..._errors import InvalidOption, OciError, TagImmutable
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..._oci.preliminary import find_tag
from ..._oci.reference import DEFAULT_TAG, check_tag
from ..ages import CREATED, FIRST_SEEN, SIGNATURE, created_at, first_seen, signed_at
from ..artifact_result import artifact_identity
from ..immutable_tags import is_immutable
from ..moved_tag import warnings_of_moved_tag
from ..resolve import ReferenceOptions, Resolved, parse_target, resolve
from ..tag_place import TagPlace, open_tag_place
from ..task import Task
from .conditions import (
    Requirements,
    check_age,
    check_downgrade,
    check_expected,
    check_soak_time,
    check_soaked,
    expected_digests,
    version_of,
)

if TYPE_CHECKING:
    from ..._oci.manifest import Descriptor
    from ..verdicts import Finding
    from .record import RecordOptions

PRESENT, ABSENT = "present", "absent"
CREATED_TAG, MOVED, UNCHANGED, REMOVED = "created", "moved", "unchanged", "removed"
TAGS_MOVED, TAGS_REMOVED, UP_TO_DATE = "TagsMoved", "TagsRemoved", "TagsUpToDate"
MAX_TAGS = 1000


@dataclass(frozen=True)
class TagOptions:
    """The options of the module. ``expect`` has a revision, a digest or nothing for each tag; ``immutable_tags`` None
    means tags that are SemVer versions; ``record`` None means no record."""

    reference: ReferenceOptions
    tags: Sequence[str] = ()
    state: str = PRESENT
    expect: Mapping[str, str | None] = field(default_factory=dict)
    require: Requirements = field(default_factory=Requirements)
    immutable_tags: str | None = None
    force: bool = False
    record: RecordOptions | None = None
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)


def tag(options: TagOptions, *, check_mode: bool = False, want_diff: bool = False) -> dict[str, Any]:
    """Move or remove the tags; return the module's result.

    :raises TagMoved: when a tag does not hold what it is expected to, or what it held when it was looked at.
    :raises TagImmutable: when a version would move, without ``force``.
    :raises OciError: for every other condition that does not hold, and every other failure. Nothing is moved then,
        unless writing a tag failed: the details of the error say which tags were written before.
    """
    with Task(options.cache) as task:
        return Tagging(options, task).run(check_mode=check_mode, want_diff=want_diff)


def tag_many(
    items: Sequence[tuple[TagOptions, Mapping[str, Any]]],
    cache: CacheOptions,
    parallel: int,
    *,
    check_mode: bool = False,
    want_diff: bool = False,
) -> dict[str, Any]:
    """Move or remove the tags of several artifacts, each with its label in the result; return the module's result.

    :raises OciError: when the options of one cannot be used, before any request.
    :raises ItemsFailed: when some failed, after all were tried.
    """
    from ..many import Item, numbered, run_items

    with Task(cache) as task:
        work = []
        for number, (options, label) in enumerate(items, 1):
            one = numbered(number, partial(Tagging, options, task))
            work.append(Item(label, partial(one.run, check_mode=check_mode, want_diff=want_diff)))
        return run_items(work, parallel, (TAGS_MOVED, TAGS_REMOVED, UP_TO_DATE))


class Tagging:
    """The tags of one artifact; the options are checked without a request.

    :raises OciError: when they cannot be used.
    """

    def __init__(self, options: TagOptions, task: Task) -> None:
        self.options = options
        self.task = task
        self.target = parse_target(options.reference)
        self.tags = self._tags_of(options)
        self._expected = expected_digests(options.expect)
        options.require.check()
        self.record = options.record.checked() if options.record is not None else None
        if options.immutable_tags:
            # so that an invalid expression is found before any request
            is_immutable(DEFAULT_TAG, options.immutable_tags)
        self.fingerprint = ""
        if options.require.verify is not None:
            from ..verdicts import policy_fingerprint

            self.fingerprint = policy_fingerprint(options.require.verify)
            task.verdicts.check(options.require.verify, self.fingerprint)
        self.warnings = list(self.target.warnings)

    def run(self, *, check_mode: bool, want_diff: bool) -> dict[str, Any]:
        """Move or remove the tags; return the module's result. Raises as :func:`tag`."""
        options = self.options
        place = open_tag_place(
            self.target.reference, options.auth, options.connection, self.task.clients, check_mode=check_mode
        )
        try:
            if options.state == ABSENT:
                result = _Removal(self, place).run(check_mode=check_mode)
            else:
                result = _Move(self, place).run(check_mode=check_mode)
        finally:
            place.repository.close()
        if want_diff and result["changed"]:
            result["diff"] = [tags_diff(place.repository.reference.name, result["before"], result["after"])]
        result["warnings"] = [*self.warnings, *place.repository.warnings, *self._cache_warnings()]
        return result

    def _cache_warnings(self) -> list[str]:
        cache = self.task.cache
        return [] if cache is None else list(cache.warnings)

    def _tags_of(self, options: TagOptions) -> list[str]:
        tags = list(dict.fromkeys(check_tag(each) for each in options.tags))
        reference = self.target.reference
        if options.state == ABSENT:
            names_one = self.target.is_explicit and bool(reference.tag)
            if reference.digest or self.target.selector or (names_one and tags):
                raise InvalidOption(
                    f"{reference} and 'tags' do not say together which tags are to be removed.",
                    "Name the repository in 'ref' and the tags in 'tags'; say in 'expect' what they have to hold.",
                )
            tags = tags or ([reference.tag] if names_one else [])
        if not tags:
            raise InvalidOption("'tags' is empty: no tag is named.", "Give the tags to write or to remove.")
        if len(tags) > MAX_TAGS:
            raise InvalidOption(f"'tags' has {len(tags)} tags: wanted at most {MAX_TAGS}.")
        return tags

    # what both kinds of work share

    def held(self, place: TagPlace) -> dict[str, Descriptor | None]:
        """Look up the tags of the task, and those that are expected to hold something."""
        return {each: find_tag(place.repository, each) for each in dict.fromkeys([*self.tags, *self._expected])}

    def check_expected(self, place: TagPlace, held: Mapping[str, Descriptor | None], wanted: str) -> None:
        """Check ``expect``; a tag of the task that is where it is to be satisfies it, so that a task can be repeated.

        :param wanted: the digest that the tags of the task are to hold, empty for none.
        """
        for name, digest in self._expected.items():
            found = _digest(held[name])
            if not (name in self.tags and found == wanted):
                check_expected(str(place.repository.reference.at(tag=name)), found, digest)

    def check_movable(self, place: TagPlace, name: str, held: str, after: str) -> None:
        """:raises TagImmutable: when a tag holds something and must not be moved."""
        if not held or self.options.force or not is_immutable(name, self.options.immutable_tags):
            return
        what = f"would move to {after}" if after else "would be removed"
        raise TagImmutable(
            f"The tag {place.repository.reference.at(tag=name)} holds {held} and {what}, but tags of its kind are "
            "never moved.",
            "Use another tag, or say force: true.",
        )

    def attach_record(self, place: TagPlace, artifact: Descriptor, name: str, before: str, after: str) -> list[str]:
        if self.record is None:
            return []
        from .record import attach_record

        return [attach_record(place.repository, artifact, name, before, after, self.record)]


class _Move:
    """Points the tags at one digest."""

    def __init__(self, tagging: Tagging, place: TagPlace) -> None:
        self._tagging = tagging
        self._options = tagging.options
        self._place = place
        self._repository = place.repository

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        tagging, repository = self._tagging, self._repository
        resolved = resolve(repository, tagging.target)
        tagging.warnings += warnings_of_moved_tag(repository, tagging.target)
        held = tagging.held(self._place)
        tagging.check_expected(self._place, held, resolved.digest)
        before = {name: _digest(held[name]) for name in tagging.tags}
        outcome = {name: _outcome(found, resolved.digest) for name, found in before.items()}
        pending = [name for name, became in outcome.items() if became != UNCHANGED]
        result: dict[str, Any] = {
            "changed": bool(pending),
            "artifact": artifact_identity(repository.reference, resolved),
            "tags": outcome,
            "before": before,
            "after": dict.fromkeys(before, resolved.digest),
            "records": [],
            "reason": TAGS_MOVED if pending else UP_TO_DATE,
        }
        if pending:
            if resolved.descriptor is None:
                repository.resolve(resolved.digest)  # a digest that was given has to be there, in check mode too
            for name in pending:
                tagging.check_movable(self._place, name, before[name], resolved.digest)
            finding = self._check_requirements(resolved, {name: before[name] for name in pending})
            if finding is not None:
                result["verification"] = {**finding.verification, "remembered": finding.is_remembered}
            if not check_mode:
                result["records"] = self._write(resolved, pending, before)
        return result

    def _write(self, resolved: Resolved, pending: Sequence[str], before: Mapping[str, str]) -> list[str]:
        manifest = self._repository.fetch_manifest(resolved.digest)
        if self._tagging.record is not None:
            self._repository.check_attachable(resolved.digest)
        records: list[str] = []
        written: dict[str, str] = {}
        for name in pending:
            try:
                records += self._tagging.attach_record(
                    self._place, manifest.descriptor, name, before[name], resolved.digest
                )
                self._place.tags.move(manifest, name, before[name])
            except OciError as exc:
                if written:
                    exc.hint = f"{exc.hint} Written before: {', '.join(written)}.".strip()
                    exc.details = {**exc.details, "changed": True, "tags": written, "before": dict(before)}
                raise
            written[name] = _outcome(before[name], resolved.digest)
        return records

    def _check_requirements(self, resolved: Resolved, before: Mapping[str, str]) -> Finding | None:
        """Check what the artifact has to satisfy; return what its signatures say, where that is asked.

        :param before: the digests that the tags to be moved hold.
        """
        require, repository = self._options.require, self._repository
        finding = None
        if require.verify is not None:
            cache = self._tagging.task.cache
            fingerprint = self._tagging.fingerprint
            finding = self._tagging.task.verdicts.find(repository, resolved, require.verify, fingerprint, cache)
            self._tagging.warnings += finding.warnings_of_use(repository, resolved)
        soaked_since = self._check_soaked(resolved) if require.soaked_in else None
        if require.min_age is not None and soaked_since is None:
            since = self._known_since(resolved, finding)
            check_age(self._name(resolved), since, require.min_age, require.age_from)
        if require.never_downgrade:
            self._check_versions(resolved, before)
        return finding

    def _check_soaked(self, resolved: Resolved) -> float | None:
        """Check the tag under which the artifact is tried; return since when it is there, where a record says it."""
        from .record import recorded_since

        require, name = self._options.require, self._name(resolved)
        held = find_tag(self._repository, require.soaked_in)
        check_soaked(name, require.soaked_in, _digest(held), resolved.digest)
        if require.min_age is None:
            return None
        since = recorded_since(self._repository, resolved.digest, require.soaked_in)
        if since is None:
            self._tagging.warnings.append(
                f"Since when {require.soaked_in} names {name} is not known, as no record says it: min_age was compared "
                "with the age of the artifact. Move that tag with record: true."
            )
            return None
        check_soak_time(name, require.soaked_in, since, require.min_age)
        return since

    def _known_since(self, resolved: Resolved, finding: Finding | None) -> float | None:
        """The time since which the artifact is known, by the first source that knows one."""
        repository = self._repository
        for source in self._options.require.age_from:
            since = None
            if source == SIGNATURE and finding is not None:
                since = signed_at(finding.verification)
            elif source == CREATED:
                since = created_at(repository, repository.fetch_manifest(resolved.digest))
            elif source == FIRST_SEEN:
                since = first_seen(self._tagging.task.cache, resolved.digest, repository.reference.name)
            if since is not None:
                return since
        return None

    def _check_versions(self, resolved: Resolved, before: Mapping[str, str]) -> None:
        repository = self._repository
        tags = repository.list_tags()
        after = version_of(repository, resolved.digest, resolved.tag, tags)
        for name, digest in before.items():
            if digest:
                known = version_of(repository, digest, "", tags)
                check_downgrade(str(repository.reference.at(tag=name)), known, after)

    def _name(self, resolved: Resolved) -> str:
        return str(self._repository.reference.at(tag=resolved.tag, digest=resolved.digest))


class _Removal:
    """Removes the tags, and nothing of what they name."""

    def __init__(self, tagging: Tagging, place: TagPlace) -> None:
        self._tagging = tagging
        self._place = place

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        tagging, repository = self._tagging, self._place.repository
        held = tagging.held(self._place)
        tagging.check_expected(self._place, held, "")
        before = {name: _digest(held[name]) for name in tagging.tags}
        pending = [name for name, found in before.items() if found]
        for name in pending:
            tagging.check_movable(self._place, name, before[name], "")
        records: list[str] = []
        removed: dict[str, str] = {}
        for name in () if check_mode else pending:
            artifact = held[name]
            try:
                if artifact is not None:
                    records += tagging.attach_record(self._place, artifact, name, before[name], "")
                self._place.tags.remove_tag(name, before[name])
            except OciError as exc:
                if removed:
                    exc.hint = f"{exc.hint} Removed before: {', '.join(removed)}.".strip()
                    exc.details = {**exc.details, "changed": True, "tags": removed, "before": dict(before)}
                raise
            removed[name] = REMOVED
        return {
            "changed": bool(pending),
            "artifact": artifact_identity(repository.reference, Resolved("", "", None)),
            "tags": {name: REMOVED if found else UNCHANGED for name, found in before.items()},
            "before": before,
            "after": dict.fromkeys(before, ""),
            "records": records,
            "reason": TAGS_REMOVED if pending else UP_TO_DATE,
        }


def _digest(held: Descriptor | None) -> str:
    return held.digest if held is not None else ""


def _outcome(before: str, after: str) -> str:
    if before == after:
        return UNCHANGED
    return MOVED if before else CREATED_TAG


def tags_diff(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The tags before and after, one per line, for the diff of a task; an empty digest is a tag that is not there."""

    def text(tags: Mapping[str, str]) -> str:
        return "".join(f"{tag} {digest}\n" for tag, digest in sorted(tags.items()) if digest)

    header = f"tags of {name}"
    return {"before_header": header, "after_header": header, "before": text(before), "after": text(after)}

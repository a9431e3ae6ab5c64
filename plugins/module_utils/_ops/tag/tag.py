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
from typing import TYPE_CHECKING, Any

from ..._errors import InvalidOption, OciError, TagImmutable, TagMoved
from ..._oci.options import CacheOptions
from ..._oci.preliminary import find_tag
from ..._oci.reference import check_tag
from ..artifact_result import artifact_identity
from ..immutable_tags import is_immutable
from ..moved_tag import warnings_of_moved_tag
from ..resolve import Resolved, Target, parse_target, resolve
from ..tag_place import TagPlace, open_tag_place
from ..task import Task
from .options import ABSENT, Requirements, TagOptions, expected_digests

if TYPE_CHECKING:
    from ..._oci.manifest import Descriptor
    from ..._policy.rules import Rules
    from ..._trust.policy import VerifyPolicy
    from ..guard import Guard
    from ..verdicts import Finding

CREATED_TAG, MOVED, UNCHANGED, REMOVED = "created", "moved", "unchanged", "removed"
TAGS_MOVED, TAGS_REMOVED, UP_TO_DATE = "TagsMoved", "TagsRemoved", "TagsUpToDate"
MAX_TAGS = 1000


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
    from ..many import run_each

    with Task(cache) as task:
        return run_each(
            items,
            lambda options: Tagging(options, task),
            lambda one: one.run(check_mode=check_mode, want_diff=want_diff),
            parallel,
            (TAGS_MOVED, TAGS_REMOVED, UP_TO_DATE),
        )


class Tagging:
    """The tags of one artifact; the options are checked without a request.

    :raises OciError: when they cannot be used.
    """

    def __init__(self, options: TagOptions, task: Task) -> None:
        self.options = options
        self.task = task
        self.guard: Guard | None = None
        # the rule for tags that are removed
        self.rules: Rules | None = None
        self.policies: Mapping[str, VerifyPolicy] = {}
        self.target = self._parse_target(options)
        self.tags = self._tags_of(options)
        self._expected = expected_digests(options.expect)
        options.require.check()
        self.record = options.record.checked() if options.record is not None else None
        for fingerprint, policy in self.policies.items():
            task.verdicts.check(policy, fingerprint)
        if self.guard is not None:
            for name in self.tags:
                self.guard.rules.check_identity(name)
        self.warnings = list(self.target.warnings)

    def _parse_target(self, options: TagOptions) -> Target:
        """Parse the reference, and find the rule of the policy that is for it."""
        verify, policy = options.require.verify, options.policy
        if options.state == ABSENT:
            if options.require != Requirements():
                raise InvalidOption(
                    "'require' is about the artifact that tags are moved to: it has no meaning for a removal.",
                    "Say in 'expect' what the tags have to hold.",
                )
            # what a rule denies may be removed
            target = parse_target(options.reference)
            if policy is not None:
                from ..._policy.rules import rules_for

                self.rules = rules_for(policy, target.reference)
            return target
        if policy is not None:
            from ..guard import guarded_target

            target, self.guard = guarded_target(options.reference, policy, verify)
        else:
            target = parse_target(options.reference)
        if self.guard is not None:
            self.policies = self.guard.policies
        elif verify is not None:
            from ..verdicts import policy_fingerprint

            self.policies = {policy_fingerprint(verify): verify}
        return target

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
        :raises TagMoved: when a tag holds something else.
        """
        for name, digest in self._expected.items():
            found = _digest(held[name])
            if found == digest or (name in self.tags and found == wanted):
                continue
            there = f"names {found}" if found else "is not there"
            expected = f"it is expected to name {digest}" if digest else "it is expected not to be there"
            raise TagMoved(
                f"The tag {place.repository.reference.at(tag=name)} {there}, and {expected}: nothing was moved.",
                "Find out who moved it and why. Then give in 'expect' what you have seen.",
            )

    def check_movable(self, place: TagPlace, name: str, held: str, after: str) -> None:
        """:raises TagImmutable: when a tag holds something and must not be moved."""
        if not held or self.options.force or not is_immutable(name, None):
            return
        what = f"would move to {after}" if after else "would be removed"
        hint = "Use another tag, or say force: true." if after else "Say force: true if nobody goes by it any more."
        raise TagImmutable(
            f"The tag {place.repository.reference.at(tag=name)} holds {held} and {what}, but tags that are versions "
            "are never moved or removed.",
            hint,
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
        if tagging.guard is not None:
            tagging.guard.check_resolved(resolved)
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
            finding = self._verify(resolved)
            if finding is not None:
                result["verification"] = {**finding.verification, "remembered": finding.is_remembered}
            self._check_conditions(resolved, {name: before[name] for name in pending}, finding, check_mode=check_mode)
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

    def _verify(self, resolved: Resolved) -> Finding | None:
        """Verify what the policy and the task ask of signatures, each of it; None when they ask nothing."""
        tagging = self._tagging
        if not tagging.policies:
            return None
        found = [
            tagging.task.verdicts.find(self._repository, resolved, policy, fingerprint, tagging.task.cache)
            for fingerprint, policy in tagging.policies.items()
        ]
        finding = found[0]
        if len(found) > 1:
            from ..guard import joined

            finding = joined(found)
        tagging.warnings += finding.warnings_of_use(self._repository, resolved)
        return finding

    def _check_conditions(
        self, resolved: Resolved, before: Mapping[str, str], finding: Finding | None, *, check_mode: bool
    ) -> None:
        """Check what the task and its policy demand of a move.

        :param before: the tags to be moved, each with the digest that it holds.
        """
        tagging, require = self._tagging, self._options.require
        if tagging.guard is None and require == Requirements(verify=require.verify, age_from=require.age_from):
            return
        from ..guard import signing_times
        from .conditions import MoveConditions

        signed_at = signing_times(finding.verification) if finding is not None else []
        conditions = MoveConditions(
            self._repository, resolved, require, tagging.guard, signed_at, check_mode=check_mode
        )
        conditions.check(before)
        tagging.warnings += conditions.warnings


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
            if tagging.rules is not None:
                tagging.rules.check_removal(name, before[name])
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

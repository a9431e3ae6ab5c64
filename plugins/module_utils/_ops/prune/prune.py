# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prune: find out which tags and manifests of a repository no rule keeps, and remove them.

A plan is made in full before anything is removed, so that the report and the removal are of one piece. It begins with
the tags: without one that may go, nothing but their list is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._errors import (
    DigestMismatch,
    InvalidContent,
    InvalidOption,
    NotFound,
    OciError,
    StorageError,
    TagMoved,
)
from ..._oci.digest import is_digest
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..._oci.tag_ranking import release_tags
from ..._oci.tag_store import DeletionRefused
from ..ages import created_at
from ..resolve import ReferenceOptions, parse_target
from ..tag_place import TagPlace, open_tag_place
from ..task import Task
from .needed import Needs
from .removal import Removal, in_order
from .rules import (
    AGE,
    AGE_UNKNOWN,
    DEPLOYED,
    IMMUTABLE,
    IN_USE,
    MAX_RULES,
    PART,
    REFERRER,
    SHARED,
    SUBJECT,
    Rule,
    digests_in_use,
    judge,
)

if TYPE_CHECKING:
    from ..._oci.manifest import Descriptor
    from ..._policy.rules import Policy, Rules

REPORT, ABSENT = "report", "absent"
REPORTED, PRUNED, UP_TO_DATE = "PruneReported", "Pruned", "PruneUpToDate"
# Requests at the same time, for tags and manifests.
PARALLEL = 8


@dataclass(frozen=True)
class PruneOptions:
    """The options of the module. ``keep_digests`` and ``keep_files`` as :func:`~.rules.digests_in_use` takes them;
    ``keep_deployed`` keeps what a fleet has recorded as running less than so many seconds ago. Of the rule of
    ``policy`` the protected tags and the window count."""

    reference: ReferenceOptions
    rules: Sequence[Rule] = ()
    keep_digests: Sequence[str] = ()
    keep_files: Sequence[str] = ()
    keep_deployed: float | None = None
    state: str = REPORT
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    policy: Policy | None = None


@dataclass
class Plan:
    """What is to be done: artifacts that go, tags that go while what they name stays (with the reason), and why the
    other tags stay."""

    removals: list[Removal] = field(default_factory=list)
    untagged: dict[str, tuple[str, str]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


def prune(options: PruneOptions, *, check_mode: bool = False, want_diff: bool = False) -> dict[str, Any]:
    """Report or remove what no rule keeps; return the module's result.

    :raises DeletionRefused: when the registry removes no manifests.
    :raises OciError: for every other failure. Before the first removal nothing is changed; after it, what is removed
        stays removed, and the next run goes on.
    """
    with Task(CacheOptions()) as task:
        return Pruning(options, task).run(check_mode=check_mode, want_diff=want_diff)


def prune_many(
    items: Sequence[tuple[PruneOptions, Mapping[str, Any]]],
    parallel: int,
    *,
    check_mode: bool = False,
    want_diff: bool = False,
) -> dict[str, Any]:
    """Report or remove in several repositories; return the module's result.

    :raises OciError: when the options of one cannot be used, before any request.
    :raises ItemsFailed: when some failed, after all were tried.
    """
    from ..many import run_each

    with Task(CacheOptions()) as task:
        return run_each(
            items,
            lambda options: Pruning(options, task),
            lambda one: one.run(check_mode=check_mode, want_diff=want_diff),
            parallel,
            (PRUNED, REPORTED, UP_TO_DATE),
        )


class Pruning:
    """One repository; the options are checked, and files read, without a request.

    :raises OciError: when they cannot be used.
    """

    def __init__(self, options: PruneOptions, task: Task) -> None:
        self._options = options
        self._task = task
        target = parse_target(options.reference)
        if target.is_explicit or target.reference.digest:
            raise InvalidOption(
                f"{target.reference} names one artifact, and retention is for a repository.",
                "Name the repository alone; say in 'rules' which tags are meant.",
            )
        if not 1 <= len(options.rules) <= MAX_RULES:
            raise InvalidOption(
                f"'rules' has {len(options.rules)} entries: wanted 1 to {MAX_RULES}.",
                "A tag that no rule covers is kept: say which tags may go.",
            )
        self._reference = target.reference.at()
        self._policy: Rules | None = None
        if options.policy is not None:
            from ..._policy.rules import rules_for

            self._policy = rules_for(options.policy, self._reference)
        self._in_use = digests_in_use(options.keep_digests, options.keep_files)
        self._warnings: list[str] = []

    def run(self, *, check_mode: bool, want_diff: bool) -> dict[str, Any]:
        """Report or remove; return the module's result. Raises as :func:`prune`."""
        options = self._options
        removes = options.state == ABSENT
        is_dry = check_mode or not removes
        self._warnings = []
        place = open_tag_place(self._reference, options.auth, options.connection, self._task.clients, check_mode=is_dry)
        try:
            tags = place.repository.list_tags()
            plan = self._plan(place, tags, check_mode=check_mode)
            has_work = bool(plan.removals or plan.untagged)
            if has_work and removes and self._policy is not None:
                self._policy.check_window(f"Nothing of {self._reference.name} is removed")
            if not is_dry:
                # of a run that was cut short
                place.tags.finish_removal()
            if has_work and not is_dry:
                self._carry_out(place, plan, tags)
                has_work = bool(plan.removals or plan.untagged)
        finally:
            place.repository.close()
        result: dict[str, Any] = {
            "changed": has_work and removes,
            "url": self._reference.url,
            "remove": [each.as_result() for each in plan.removals],
            "untag": [
                {"tag": tag, "digest": digest, "why": why} for tag, (digest, why) in sorted(plan.untagged.items())
            ],
            "keep": [
                {"tag": tag, "digest": plan.digests.get(tag, ""), "why": why} for tag, why in sorted(plan.kept.items())
            ],
            "reason": (PRUNED if removes else REPORTED) if has_work else UP_TO_DATE,
        }
        if want_diff and has_work:
            result["diff"] = [self._diff(plan)]
        result["warnings"] = [*self._warnings, *place.repository.warnings]
        return result

    # the plan

    def _plan(self, place: TagPlace, tags: Sequence[str], *, check_mode: bool) -> Plan:
        releases = release_tags(tags)
        verdicts = judge(self._options.rules, releases)
        if self._policy is not None:
            for tag in [each for each in verdicts.candidates if self._policy.is_immutable(each)]:
                del verdicts.candidates[tag]
                verdicts.kept[tag] = IMMUTABLE
        plan = Plan(kept=verdicts.kept)
        if not verdicts.candidates:
            return plan
        held = self._resolve(place, tags)
        plan.digests = {tag: descriptor.digest for tag, descriptor in held.items()}
        needs = Needs(place.repository, set(tags).difference(releases))
        going = self._old_enough(place, needs, verdicts.candidates, held, plan.kept, check_mode=check_mode)
        going = self._without_parts_of(self._in_use, IN_USE, needs, going, held, plan.kept)
        going = self._without_parts_of(
            self._deployed(place, needs, going, held), DEPLOYED, needs, going, held, plan.kept
        )
        roots: list[Descriptor | str] = [held[tag] for tag in plan.kept if tag in held]
        # the tags of releases that are in use are kept by now
        others = self._in_use.difference(held[tag].digest for tag in plan.kept if tag in held)
        roots += self._resolve(place, sorted(others)).values()
        roots += sorted(place.tags.named_otherwise())
        protected = needs.protected(roots)
        named = {held[tag].digest for tag in plan.kept if tag in held}
        removed: dict[str, list[str]] = {}
        for tag in going:
            digest = held[tag].digest
            if digest in protected:
                self._keep_or_untag(plan, tag, digest, named)
            else:
                removed.setdefault(digest, []).append(tag)
        self._keep_related(plan, needs, removed, protected)
        # what is attached to what stays, as far as it has tags
        attached = {tag for digest in removed for tag in needs.attached_tags(digest, protected)}
        protected |= {
            descriptor.digest for tag, descriptor in held.items() if tag not in releases and tag not in attached
        }
        for digest, names in removed.items():
            tree = needs.tree(digest, protected)
            plan.removals.append(Removal(digest, sorted(names), tree.attached, tree.own, tree.tags))
        plan.removals.sort(key=lambda each: each.tags)
        return plan

    def _without_parts_of(
        self,
        digests: set[str],
        why: str,
        needs: Needs,
        going: Sequence[str],
        held: Mapping[str, Descriptor],
        kept: dict[str, str],
    ) -> list[str]:
        """The tags without those that name one of some digests, or an index with one; these are added to ``kept``, with
        the reason.

        An index stays with the platform that is in use: its signatures are those of the platform.
        """
        if not digests:
            return list(going)
        found = []
        for tag in going:
            if digests.isdisjoint(needs.protected([held[tag]])):
                found.append(tag)
            else:
                kept[tag] = why
        return found

    def _deployed(
        self, place: TagPlace, needs: Needs, going: Sequence[str], held: Mapping[str, Descriptor]
    ) -> set[str]:
        """The digests that a fleet has recorded as running of late, of those that would go and their parts."""
        wanted = self._options.keep_deployed
        if wanted is None:
            return set()
        from ..deployments import last_deployed

        found, now = set(), time.time()
        for digest in needs.protected(held[tag] for tag in going):
            last = last_deployed(place.repository, digest)
            if last is not None and now - last < wanted:
                found.add(digest)
        return found

    def _keep_or_untag(self, plan: Plan, tag: str, digest: str, named: set[str]) -> None:
        """Sort in a tag whose artifact stays: the tag alone goes where another tag keeps the artifact; where it is part
        of an index, the tag is what is left to find it by."""
        if digest in named:
            plan.untagged[tag] = (digest, SHARED)
        else:
            plan.kept[tag] = PART

    def _keep_related(self, plan: Plan, needs: Needs, removed: dict[str, list[str]], protected: set[str]) -> None:
        """Keep what refers to an artifact that stays, and what something that stays refers to, at any depth."""
        is_settled = False
        while not is_settled:
            is_settled = True
            for digest in list(removed):
                manifest = needs.manifest(digest)
                if manifest is not None and manifest.subject is not None and manifest.subject.digest in protected:
                    why = REFERRER
                elif needs.is_subject(digest, protected):
                    why = SUBJECT
                else:
                    continue
                for tag in removed.pop(digest):
                    plan.kept[tag] = why
                protected |= needs.protected([digest])
                is_settled = False
            for digest in set(removed) & protected:
                for tag in removed.pop(digest):
                    plan.kept[tag] = PART
                is_settled = False

    def _old_enough(
        self,
        place: TagPlace,
        needs: Needs,
        candidates: Mapping[str, Sequence[float]],
        held: Mapping[str, Descriptor],
        kept: dict[str, str],
        *,
        check_mode: bool,
    ) -> list[str]:
        """The candidates that have reached their ages; the others are added to ``kept``. An age that is not known is
        none that was reached."""
        # what is gone by now needs no verdict
        there = {tag: ages for tag, ages in candidates.items() if tag in held}
        aged = list(dict.fromkeys(held[tag].digest for tag, ages in there.items() if ages))
        since = self._since(place, needs, aged, check_mode=check_mode)
        going, now = [], time.time()
        for tag, ages in there.items():
            if ages:
                known = since.get(held[tag].digest)
                if known is None or now - known < max(ages):
                    kept[tag] = AGE_UNKNOWN if known is None else AGE
                    continue
            going.append(tag)
        return going

    def _since(self, place: TagPlace, needs: Needs, digests: Sequence[str], *, check_mode: bool) -> dict[str, float]:
        """When artifacts were made; where nothing says it, when this user first saw them here, which is recorded."""
        found, unknown = {}, []
        for digest in digests:
            manifest = needs.manifest(digest)
            since = created_at(place.repository, manifest) if manifest is not None else None
            if since is None:
                unknown.append(digest)
            else:
                found[digest] = since
        if unknown:
            from ..._policy.seen import Seen

            try:
                seen = Seen(self._reference.name, read_only=check_mode)
                found.update(seen.all_first_seen(unknown, time.time()))
            except StorageError as exc:
                self._warnings.append(f"What has no time of creation stays, as nothing tells its age. {exc.message}")
        return found

    def _resolve(self, place: TagPlace, names: Iterable[str]) -> dict[str, Descriptor]:
        """The manifests that tags and digests name; those that are gone by now are left out, and digests of blobs that
        are none, as records of pulls name layers as well."""

        def look(name: str) -> tuple[str, Descriptor | None]:
            try:
                return name, place.repository.resolve(name)
            except NotFound:
                return name, None
            except DigestMismatch:
                raise
            except InvalidContent:
                if not is_digest(name):
                    raise
                return name, None

        if self._reference.is_layout:
            found = [look(name) for name in names]
        else:
            from ..._files.threads import thread_pool

            with thread_pool(PARALLEL) as pool:
                found = list(pool.map(look, names))
        return {name: descriptor for name, descriptor in found if descriptor is not None}

    # the removal

    def _carry_out(self, place: TagPlace, plan: Plan, tags: Sequence[str]) -> None:
        """Remove what the plan says, unless tags were moved since it was made. A tag that the registry does not remove
        by itself gives a warning.

        :raises TagMoved: when tags were moved.
        """
        self._check_unmoved(place, plan, tags)
        for tag, (digest, _why) in list(plan.untagged.items()):
            if not self._untag(place, tag, digest):
                del plan.untagged[tag]
                plan.kept[tag] = SHARED
        if self._reference.is_layout:
            digests = [digest for each in plan.removals for digest in (*each.attached, *each.own)]
            shared = {tag: held for each in plan.removals for tag, held in each.attached_tags.items()}
            self._remove_tags(place, {tag: held for tag, held in shared.items() if held not in digests})
            place.tags.remove_manifests(digests)
            return
        for removal in in_order(plan.removals):
            # first what is attached, so that a run that is cut short finds the rest by the tags
            self._remove_tags(place, removal.attached_tags)
            place.tags.remove_manifests(removal.attached)
            self._remove_tags(place, dict.fromkeys(removal.tags, removal.digest))
            place.tags.remove_manifests(removal.own)

    def _check_unmoved(self, place: TagPlace, plan: Plan, tags: Sequence[str]) -> None:
        """:raises TagMoved: when a tag has come to, or gone from, what is to be removed."""
        going = {tag: each.digest for each in plan.removals for tag in each.tags}
        fresh = set(place.repository.list_tags()).difference(tags)
        now = self._resolve(place, [*going, *fresh])
        touched = {digest for each in plan.removals for digest in (*each.attached, *each.own)}
        moved = [tag for tag, digest in going.items() if tag in now and now[tag].digest != digest]
        moved += [tag for tag in fresh if tag in now and now[tag].digest in touched]
        if moved:
            raise TagMoved(
                f"Somebody has moved tags of {self._reference.name} in the meantime ({', '.join(sorted(moved)[:5])}): "
                "nothing was removed.",
                "Run the task again.",
            )

    def _untag(self, place: TagPlace, tag: str, digest: str) -> bool:
        try:
            place.tags.remove_tag(tag, digest)
        except (DeletionRefused, TagMoved) as exc:
            self._warnings.append(f"The tag {self._reference.at(tag=tag)} stays. {exc.message}")
            return False
        return True

    def _remove_tags(self, place: TagPlace, tags: Mapping[str, str]) -> None:
        """Remove tags before their manifests; where the registry removes no single tag, they go with these."""
        for tag, digest in tags.items():
            try:
                place.tags.remove_tag(tag, digest)
            except DeletionRefused:
                return
            except OciError as exc:
                exc.hint = f"{exc.hint} What was removed before stays removed.".strip()
                raise

    def _diff(self, plan: Plan) -> dict[str, str]:
        going = {tag: each.digest for each in plan.removals for tag in each.tags}
        going.update({tag: digest for tag, (digest, _why) in plan.untagged.items()})
        staying = {tag: plan.digests.get(tag, "") for tag in plan.kept}

        def text(tags: Mapping[str, str]) -> str:
            return "".join(f"{tag} {digest}\n" for tag, digest in sorted(tags.items()))

        header = f"tags of {self._reference.name}"
        return {
            "before_header": header,
            "after_header": header,
            "before": text({**staying, **going}),
            "after": text(staying),
        }

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a policy: what they are, which of them apply to a repository, and what they refuse.

A verb asks :func:`rules_for` for the rules of a repository, and calls them at up to four points:

1. before any request :meth:`Rules.check_identity`, with the tag and the digest that the reference has;
2. after the resolve :meth:`Rules.check_identity` again, and it verifies :attr:`Rules.verify` beside what the task asks;
3. before something is placed :meth:`Rules.check_change`;
4. before a tag is written :meth:`Rules.check_write`, and before it is removed :meth:`Rules.check_removal`.

Each refusal is an error with a reason of its own; ``refused_by`` among its details names the policy, the rule and the
check. Nothing that a task says makes a rule weaker: ``force`` has no effect on them. What a task demands beyond them is
a rule as well, see :func:`own_rules`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .._errors import OciError, TagImmutable
from .._oci import media
from .._oci.reference import Reference
from .._oci.times import (
    CREATED,
    DEFAULT_AGE_SOURCES,
    FIRST_SEEN,
    SIGNATURE,
    duration_text,
    parse_time,
    time_text,
)
from .match import EVERYTHING, Match
from .refusals import (
    GIVEN,
    AgeUnknown,
    ChangePending,
    DigestDenied,
    DowngradeDenied,
    OutsideWindow,
    PolicyInvalid,
    TagDenied,
    TooYoung,
    by_rule,
)

if TYPE_CHECKING:
    from .._oci.bounded_regex import BoundedRegex
    from .._trust.policy import VerifyPolicy
    from .window import Schedule

#: Values of ``tag_moved``, from weak to strict.
TAG_MOVED = ("ignore", "warn", "fail")


class TagRule(NamedTuple):
    """Tags by name, by regular expressions (found anywhere in a tag), or all SemVer versions."""

    names: frozenset[str] = frozenset()
    expressions: tuple[BoundedRegex, ...] = ()
    versions: bool = False

    @property
    def texts(self) -> list[str]:
        """The names and expressions, as a policy has them."""
        return [*sorted(self.names), *(each.pattern for each in self.expressions)]

    def covers(self, tag: str) -> bool:
        """True for a tag of the rule; raises InvalidSelection when an expression does not finish."""
        if not tag:
            return False
        if tag in self.names or (self.versions and _version(tag) is not None):
            return True
        return bool(self.expressions) and _is_found(self.expressions, tag)


class Artifact(NamedTuple):
    """An artifact that is to be used, or is in use: ``digest`` of what the reference resolved to, ``tag``, the
    ``annotations`` of its manifest, its ``version`` where it says one itself (a chart's), and the time at which it was
    ``created`` (seconds since 1970) where more than annotations tells it."""

    digest: str
    tag: str = ""
    annotations: Mapping[str, Any] = {}
    version: str = ""
    created: float | None = None


@dataclass(frozen=True)
class Rule:
    """One rule of a policy; see the documentation fragment ``policy``. ``min_age`` is in seconds, 0 without one."""

    match: Match
    verify: VerifyPolicy | None = None
    never_downgrade: bool = False
    min_age: float = 0.0
    age_from: tuple[str, ...] = DEFAULT_AGE_SOURCES
    deny_digests: frozenset[str] = frozenset()
    deny_tags: TagRule = TagRule()
    immutable_tags: TagRule = TagRule()
    tag_moved: str = "ignore"
    window: Schedule | None = None


@dataclass(frozen=True)
class Policy:
    """Checked rules; ``source`` is the path of their file, or says that the task has them. ``fingerprint`` is a digest
    of what they were read from."""

    source: str
    rules: tuple[Rule, ...]
    fingerprint: str = ""


@dataclass(frozen=True)
class Rules:
    """The rule that applies to one repository, as checks; see the docstring of the module."""

    source: str
    rule: Rule
    reference: Reference
    now: Callable[[], float] = field(default=time.time, repr=False, compare=False)
    #: The option of the task that is the rule; empty for one of a policy.
    option: str = ""

    @property
    def verify(self) -> VerifyPolicy | None:
        """What signatures have to satisfy, in addition to what the task asks for."""
        policy = self.rule.verify
        return None if policy is None else replace(policy, rule=self.named("verify"))

    @property
    def never_downgrade(self) -> bool:
        """True when :meth:`check_order` compares versions; what it needs is to be found out then."""
        return self.rule.never_downgrade

    @property
    def asks_for_creation(self) -> bool:
        """True when the time of creation may tell the age; what it needs is to be found out then."""
        return bool(self.rule.min_age) and CREATED in self.rule.age_from

    def named(self, check: str) -> Mapping[str, str]:
        """The rule as ``refused_by`` names it, with the key in it that refuses."""
        policy = "" if self.source == GIVEN else self.source
        return {"policy": policy, "match": self.rule.match.text, "check": check}

    def tag_moved(self, wanted: str) -> str:
        """The stricter of the rule's and the task's ``tag_moved``."""
        return max(self.rule.tag_moved, wanted, key=TAG_MOVED.index)

    def check_identity(self, tag: str, digests: Iterable[str] = ()) -> None:
        """Check a tag and digests against ``deny_tags`` and ``deny_digests``; empty ones are passed over.

        :raises TagDenied: for a denied tag.
        :raises DigestDenied: for a denied digest.
        """
        if self.rule.deny_tags.covers(tag):
            raise self._refusal(
                TagDenied, "deny_tags", f"The tag {tag} of {self.reference.name} is denied", "Choose another tag."
            )
        denied = next((digest for digest in digests if digest in self.rule.deny_digests), None)
        if denied is not None:
            what = self.reference.at(tag=tag)
            raise self._refusal(
                DigestDenied, "deny_digests", f"{what} is, or has in it, {denied}, which is denied", "Choose another."
            )

    def check_change(
        self,
        new: Artifact,
        old: Artifact | None = None,
        *,
        signed_at: Collection[str] = (),
        check_mode: bool = False,
        may_wait: bool = False,
    ) -> None:
        """Check an artifact that is to be placed where ``old`` is; None where nothing of this repository is.

        :param signed_at: the trusted times (RFC 3339) of the signatures that count.
        :param check_mode: nothing is stored.
        :param may_wait: as for :meth:`check_window`.
        :raises OciError: with the reason of the check that refuses it.
        """
        if old is not None and old.digest != new.digest:
            self.check_order(new, old)
        # before the window: what arrives outside of it is seen, and ages
        self.check_arrival(new, old, signed_at=signed_at, check_mode=check_mode)
        self.check_window(f"{self.reference.at(tag=new.tag, digest=new.digest)} is not put in place", may_wait=may_wait)

    def check_arrival(
        self,
        new: Artifact,
        old: Artifact | None = None,
        *,
        signed_at: Collection[str] = (),
        check_mode: bool = False,
    ) -> None:
        """The checks of :meth:`check_change` that do not depend on what is replaced, and when: protected tags and age.

        :raises TagImmutable: when a protected tag names another digest than before.
        :raises TooYoung: when the artifact has not the age that is demanded.
        :raises AgeUnknown: when its age is not known.
        """
        self._check_immutable(new, old, check_mode)
        self._check_age(new, signed_at, check_mode)

    def check_write(
        self, tag: str, digest: str, held: str = "", *, new: Artifact | None = None, old: Artifact | None = None
    ) -> None:
        """Check a tag that is to name ``digest``; ``held`` is the digest that it names now, empty for a new tag.

        :param tag: empty for a manifest that is written without one.
        :param new: what is known of the digest, and ``old`` of the held one, to compare their versions.
        :raises OciError: with the reason of the check that refuses it.
        """
        self.check_identity(tag, [digest])
        if held == digest:
            return
        what = str(self.reference.at(tag=tag))
        if held and self.is_immutable(tag):
            raise self._refusal(
                TagImmutable,
                "immutable_tags",
                f"The tag {what} holds {held} and would move to {digest}, but is never moved",
                "Publish the new content under a new tag.",
            )
        self.check_window(f"The tag {what} is not written" if tag else f"Nothing is written to {what}")
        if held and new is not None and old is not None:
            self.check_order(new, old)

    def check_removal(self, tag: str, held: str) -> None:
        """Check a tag that is to be removed; ``held`` is the digest that it names.

        :raises TagImmutable: for a protected tag: it could be written anew with another digest.
        :raises OutsideWindow: when changes are not permitted now.
        """
        what = str(self.reference.at(tag=tag))
        if self.is_immutable(tag):
            raise self._refusal(
                TagImmutable,
                "immutable_tags",
                f"The tag {what} holds {held} and would be removed, but tags of its kind stay",
                "Leave it, or take the rule out for this change.",
            )
        self.check_window(f"The tag {what} is not removed")

    def is_immutable(self, tag: str) -> bool:
        """True for a tag that ``immutable_tags`` covers."""
        return self.rule.immutable_tags.covers(tag)

    def check_window(self, what: str, *, may_wait: bool = False) -> None:
        """Check that changes are permitted now; ``what`` begins the message.

        :param may_wait: the caller reports a change that waits for its time.
        :raises ChangePending: when they are not, and the rule has them wait.
        :raises OutsideWindow: when they are not.
        """
        window = self.rule.window
        closed = "" if window is None else window.closed(self.now())
        if window is None or not closed:
            return
        waits = may_wait and window.waits
        raise self._refusal(
            ChangePending if waits else OutsideWindow, "window", f"{what}: {closed}", "Run the task in that time."
        )

    def check_order(self, new: Artifact, old: Artifact) -> None:
        """Check under ``never_downgrade`` that ``new`` is not older than ``old``.

        Versions are compared (the chart's own, the tag, the annotations of version and revision), or else times of
        creation.

        :raises DowngradeDenied: when it is older, or the two cannot be compared.
        """
        if not self.rule.never_downgrade:
            return
        versions = [_version_of(each) for each in (new, old)]
        times = [self._creation_of(each) for each in (new, old)]
        found, there = versions if any(versions) else times
        if found is None and there is None:
            problem = f"neither says its version (a tag, or the annotation {media.ANNOTATION_VERSION})"
        elif found is None or there is None:
            problem = f"{_name(new if found is None else old)} does not say its version"
        elif found[0] < there[0]:
            problem = f"{found[1]} is older than {there[1]}"
        else:
            return
        raise self._refusal(
            DowngradeDenied,
            "never_downgrade",
            f"{self.reference.name} is not changed from {_name(old)} to {_name(new)}: {problem}",
            "Publish what is wanted under a higher version, or leave 'never_downgrade' out for this change.",
        )

    def _check_immutable(self, new: Artifact, old: Artifact | None, check_mode: bool) -> None:
        if not self.is_immutable(new.tag):
            return
        known = old.digest if old is not None and old.tag == new.tag else ""
        if not known or known == new.digest:
            from .seen import Seen

            known = Seen(self.reference.name, read_only=check_mode).digest_of(new.tag, new.digest)
        if known != new.digest:
            raise self._refusal(
                TagImmutable,
                "immutable_tags",
                f"The tag {self.reference.at(tag=new.tag)} names {new.digest} and named {known} before, but tags of "
                "its kind are never moved",
                "Find out who moved it and why. The guide on policies says how to accept it.",
            )

    def _check_age(self, new: Artifact, signed_at: Collection[str], check_mode: bool) -> None:
        if not self.rule.min_age:
            return
        what = str(self.reference.at(tag=new.tag, digest=new.digest))
        for source in self.rule.age_from:
            since = self._since(source, new, signed_at, check_mode)
            if since is None:
                continue
            age = self.now() - since
            if age >= self.rule.min_age:
                return
            raise self._refusal(
                TooYoung,
                "min_age",
                f"{what} is {duration_text(max(0.0, age))} old by {_SOURCE_TEXTS[source]}, and has to be "
                f"{duration_text(self.rule.min_age)}",
                f"Run the task again after {time_text(since + self.rule.min_age + 1)}.",
            )
        raise self._refusal(
            AgeUnknown,
            "min_age",
            f"{what} has to be {duration_text(self.rule.min_age)} old, and its age is not known from "
            f"{', '.join(self.rule.age_from)}",
            "A signature tells a time when it is verified, and a log or time authority has confirmed it. Otherwise add "
            "first_seen to 'age_from'.",
        )

    def _since(self, source: str, new: Artifact, signed_at: Collection[str], check_mode: bool) -> float | None:
        if source == FIRST_SEEN:
            from .seen import Seen

            return Seen(self.reference.name, read_only=check_mode).first_seen(new.digest, self.now())
        if source == CREATED:
            created = self._creation_of(new)
            return None if created is None else created[0]
        # the earliest: a signature proves that the digest was there
        moments = [parse_time(text, self.now()) for text in signed_at]
        return min((moment for moment in moments if moment is not None), default=None)

    def _creation_of(self, artifact: Artifact) -> tuple[float, str] | None:
        """The time of creation that the publisher says, in seconds and as text; None where that is none."""
        text = artifact.annotations.get(media.ANNOTATION_CREATED)
        moment = parse_time(text, self.now()) if isinstance(text, str) else None
        if moment is not None:
            return moment, str(text)
        return None if artifact.created is None else (artifact.created, time_text(artifact.created))

    def _refusal(self, kind: type[OciError], check: str, problem: str, hint: str) -> OciError:
        if self.option:
            return kind(f"{problem} ('{check}' in '{self.option}' of the task).", hint)
        return by_rule(kind(problem, hint), self.named(check))


def rules_for(policy: Policy | None, reference: Reference) -> Rules | None:
    """The rules for a repository, layout or archive: those of the most specific match, and of no other.

    :returns: None when there is no policy, or no rule is for it.
    :raises PolicyInvalid: when two rules are for it, and none is more specific.
    """
    if policy is None:
        return None
    fitting = sorted(
        (rule for rule in policy.rules if rule.match.covers(reference)), key=lambda rule: rule.match.rank, reverse=True
    )
    if not fitting:
        return None
    if len(fitting) > 1 and fitting[0].match.rank == fitting[1].match.rank:
        both = " and ".join(repr(rule.match.text) for rule in fitting[:2])
        raise PolicyInvalid(
            f"The policy in {policy.source} has two rules for {reference.name}, {both}, and neither is more specific.",
            "Write a rule for what both cover.",
        )
    return Rules(policy.source, fitting[0], reference.at())


def own_rules(reference: Reference, option: str, **checks: Any) -> Rules:
    """What a task itself demands of a repository, as a rule beside that of a policy.

    :param option: the option that says it, for messages.
    :param checks: fields of :class:`Rule`.
    """
    return Rules(GIVEN, Rule(Match(EVERYTHING[0]), **checks), reference.at(), option=option)


def says_version(artifact: Artifact) -> bool:
    """True when an artifact says its version, by which :meth:`Rules.check_order` compares it."""
    return _version_of(artifact) is not None


@lru_cache(maxsize=4096)
def _is_found(expressions: tuple[BoundedRegex, ...], tag: str) -> bool:
    """True when one of the expressions is found in the tag; each tag is looked at once in a task, as threads need a
    process for it."""
    return any(expression.search_all([tag]) for expression in expressions)


_SOURCE_TEXTS = {
    SIGNATURE: "the time of its signature",
    FIRST_SEEN: "the time at which this host saw it first",
    CREATED: "the time of creation that its publisher says",
}


def _version(text: str) -> Any:
    from .._oci.tag_ranking import parse_tag

    found = parse_tag(text, True)
    return None if found is None else found[0]


def _version_of(artifact: Artifact) -> tuple[Any, str] | None:
    """What a version is compared by, and the version; None without one."""
    annotated = artifact.annotations.get(media.ANNOTATION_VERSION)
    # Flux writes TAG@ALGORITHM:COMMIT
    revision = str(artifact.annotations.get(media.ANNOTATION_REVISION) or "").partition("@")[0]
    for text in (artifact.version, artifact.tag, annotated, revision):
        found = _version(text) if isinstance(text, str) and text else None
        if found is not None:
            return found, str(text)
    return None


def _name(artifact: Artifact) -> str:
    return artifact.version or artifact.tag or artifact.digest

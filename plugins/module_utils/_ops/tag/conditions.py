# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conditions under which tags are moved to an artifact.

The rules are those of :mod:`..._policy.rules`: what the task itself requires is one of them, beside that of its policy,
so that both are checked alike and each can only add to the other. Here is what a move needs to be checked by them (the
versions, the age, the digests that an artifact is made of), and where an artifact has to be tried first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..._errors import InvalidContent, NotFound, OciError
from ..._oci.preliminary import find_tag
from ..._oci.tag_ranking import rank_versions, release_tags
from ..._oci.times import duration_text, time_text
from ..._policy.rules import Artifact, own_rules, says_version
from ..resolve import Resolved

if TYPE_CHECKING:
    from ..._oci.manifest import Manifest
    from ..._oci.repository import Repository
    from ..._policy.rules import Rules
    from ..guard import Guard
    from .options import Requirements

# The most tags that are resolved to find out which version a digest is.
MAX_VERSIONS = 200
# The most parts of an index that are looked at for digests that a rule denies.
MAX_PARTS = 1000


class NotSoaked(OciError):
    """An artifact that is not, or not long enough, where it has to be tried first; ``retryable`` when it only has to
    stay there."""

    reason = "NotSoaked"

    def __init__(self, message: str, hint: str = "", *, retryable: bool = False) -> None:
        super().__init__(message, hint)
        self.retryable = retryable


class MoveConditions:
    """What an artifact has to satisfy before tags are moved to it.

    :param guard: the rule of a policy, None without one.
    :param signed_at: the trusted times of the signatures that count.
    """

    def __init__(
        self,
        repository: Repository,
        resolved: Resolved,
        require: Requirements,
        guard: Guard | None,
        signed_at: Sequence[str],
        *,
        check_mode: bool,
    ) -> None:
        self._repository = repository
        self._resolved = resolved
        self._require = require
        self._guard = guard
        self._signed_at = signed_at
        self._check_mode = check_mode
        # the digests of the tags that were looked at for versions
        self._versions: dict[str, str] = {}
        self.warnings: list[str] = []

    def check(self, before: Mapping[str, str]) -> None:
        """Check everything; nothing is changed but the record of what was seen.

        :param before: the tags that are to be moved, each with the digest that it holds, empty for none.
        :raises OciError: for the first condition that does not hold.
        """
        require, resolved = self._require, self._resolved
        since = self._check_soaked() if require.soaked_in else None
        own = self._own_rules(has_age=since is None)
        rules = [*([self._guard.rules] if self._guard is not None else ()), *([own] if own is not None else ())]
        if not rules:
            return
        manifest = self._repository.fetch_manifest(resolved.digest)
        if self._guard is not None:
            self._check_parts(self._guard, manifest)
        new = Artifact(resolved.digest, resolved.tag, manifest.annotations, created=self._created(rules, manifest))
        for each in rules:
            each.check_arrival(new, signed_at=self._signed_at, check_mode=self._check_mode)
        self._check_writes(rules, new, before)

    def _own_rules(self, *, has_age: bool) -> Rules | None:
        require = self._require
        age = require.min_age if has_age and require.min_age is not None else 0.0
        if not (age or require.never_downgrade):
            return None
        reference = self._repository.reference
        checks: dict[str, Any] = {"never_downgrade": require.never_downgrade, "min_age": age}
        return own_rules(reference, "require", **checks, age_from=tuple(require.age_from))

    def _check_parts(self, guard: Guard, top: Manifest) -> None:
        """Check the digests of what the artifact is made of; of an index also those of its parts."""
        guard.check_parts(self._resolved, [top])
        if not (guard.rules.rule.deny_digests and top.manifests):
            return
        guard.rules.check_identity(self._resolved.tag, [part.digest for part in top.manifests])
        if len(top.manifests) > MAX_PARTS:
            raise InvalidContent(
                f"{self._name} has {len(top.manifests)} parts: the digests in more than {MAX_PARTS} are not looked at."
            )
        for part in top.manifests:
            try:
                guard.check_parts(self._resolved, [self._repository.fetch_manifest(part.digest)])
            except NotFound:
                continue  # a repository may hold some platforms of an index only

    def _created(self, rules: Sequence[Rules], manifest: Manifest) -> float | None:
        if not any(each.asks_for_creation for each in rules):
            return None
        from ..ages import created_at

        return created_at(self._repository, manifest)

    def _check_writes(self, rules: Sequence[Rules], new: Artifact, before: Mapping[str, str]) -> None:
        compares = any(each.never_downgrade for each in rules)
        held: dict[str, Artifact | None] = {}
        if compares and any(before.values()):
            tags = self._repository.list_tags()
            new = self._with_version(new, tags)
            held = {digest: self._held(digest, tags) for digest in set(before.values()) if digest}
        for tag, digest in before.items():
            for each in rules:
                each.check_write(tag, new.digest, digest, new=new, old=held.get(digest))

    def _held(self, digest: str, tags: Sequence[str]) -> Artifact:
        try:
            annotations = self._repository.fetch_manifest(digest).annotations
        except (NotFound, InvalidContent):
            annotations = {}
        return self._with_version(Artifact(digest, "", annotations), tags)

    def _with_version(self, artifact: Artifact, tags: Sequence[str]) -> Artifact:
        """The artifact with the newest tag of the repository that is a version and names it, where nothing else tells
        its version; at most MAX_VERSIONS tags are resolved, a request for each."""
        if says_version(artifact):
            return artifact
        for each in rank_versions([(tag, tag) for tag in release_tags(tags)], None, True, MAX_VERSIONS):
            if self._digest_of(each) == artifact.digest:
                return artifact._replace(version=each)
        return artifact

    def _digest_of(self, version: str) -> str:
        if version not in self._versions:
            try:
                self._versions[version] = self._repository.resolve(version).digest
            except (NotFound, InvalidContent):
                self._versions[version] = ""
        return self._versions[version]

    def _check_soaked(self) -> float | None:
        """Check the tag under which the artifact is tried; return since when it is there, where a record says it.

        :raises NotSoaked: when it is not there, or not for long enough.
        """
        from .record import recorded_since

        require, resolved = self._require, self._resolved
        held = find_tag(self._repository, require.soaked_in)
        if held is None or held.digest != resolved.digest:
            found = f"names {held.digest}" if held is not None else "is not there"
            raise NotSoaked(
                f"{self._name} has to be under the tag {require.soaked_in} before it is moved on, and that tag "
                f"{found}.",
                f"Move {require.soaked_in} to it first.",
            )
        if require.min_age is None:
            return None
        since = recorded_since(self._repository, resolved.digest, require.soaked_in)
        if since is None:
            self.warnings.append(
                f"Since when {require.soaked_in} names {self._name} is not known, as no record says it: min_age was "
                "compared with the age of the artifact. Move that tag with record: true."
            )
            return None
        age = max(0.0, time.time() - since)
        if age < require.min_age:
            raise NotSoaked(
                f"{self._name} is under the tag {require.soaked_in} since {time_text(since)}, for "
                f"{duration_text(age)}: wanted {duration_text(require.min_age)}.",
                f"It has been there long enough at {time_text(since + require.min_age)}.",
                retryable=True,
            )
        return since

    @property
    def _name(self) -> str:
        return str(self._repository.reference.at(tag=self._resolved.tag, digest=self._resolved.digest))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reuse of verification results: between the items of one task, and with a cache between all tasks of a user.

A result is stored for a digest, its repository and the policy, including the content of files that the policy names. It
is valid for a day at most, so that inputs outside the policy (the root of the public Sigstore, the clock) are checked
again, and no longer than the certificates and signatures that it depends on. Only successes are stored, with their
warnings, which are repeated at each use.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._errors import InvalidPolicy, NotFound, OciError, VerificationFailed

if TYPE_CHECKING:
    from .._cache.artifact_cache import ArtifactCache
    from .._cache.notes import CacheNotes
    from .._oci.repository import Repository
    from .._trust.policy import VerifyPolicy
    from .._trust.verifier import PolicyVerifier
    from .resolve import Resolved

REMEMBERED_SECONDS = 24 * 3600.0
# To be incremented when the verification changes: results of earlier versions are then not reused.
RULES = 3
_PART = "verdicts"


@dataclass(frozen=True)
class Finding:
    """The modules' value ``verification``, the warnings that are repeated at each use, and whether the result is from
    the cache."""

    verification: Mapping[str, Any]
    warnings: list[str] = field(default_factory=list)
    is_remembered: bool = False

    def warnings_of_use(self, repository: Repository, resolved: Resolved) -> list[str]:
        """The warnings when the artifact is used."""
        if self.verification["verified"]:
            return self.warnings
        name = repository.reference.at(tag=resolved.tag, digest=resolved.digest)
        ignored = f"{name} is used without a verified signature, because the trust policy ignores the result."
        return [*self.warnings, ignored]


def policy_fingerprint(policy: VerifyPolicy) -> str:
    """A digest of the inputs of a verification: the policy, the content of what it names, and ``RULES``."""
    from .._oci.digest import digest_of

    files = [*policy.public_keys, policy.trusted_root, *policy.ca_roots]
    for certificates in (policy.trust_store or {}).values():
        files += certificates
    contents = [_content_of(each) for each in files]
    return digest_of(json.dumps([RULES, repr(policy), contents], sort_keys=True).encode("utf-8", "surrogateescape"))


@contextmanager
def naming_rule(policy: VerifyPolicy) -> Iterator[None]:
    """Have what the block refuses for a policy name the rule that demands it; of the task's own nothing is added.

    :raises PolicyInvalid: in place of InvalidPolicy, for the policy of a rule.
    """
    try:
        yield
    except (InvalidPolicy, VerificationFailed) as exc:
        if policy.rule is None:
            raise
        from .._policy.refusals import PolicyInvalid, by_rule

        error = PolicyInvalid(exc.message, exc.hint) if isinstance(exc, InvalidPolicy) else exc
        raise by_rule(error, policy.rule) from None


def _content_of(path_or_text: str) -> str:
    from .._files.bounded import MAX_CERTIFICATES, FileRefused, is_pem, read_file
    from .._trust.key_uris import content_of_uri

    if not path_or_text or is_pem(path_or_text) or path_or_text.lstrip().startswith("{"):
        return ""
    content = content_of_uri(path_or_text)
    if content is not None:
        return content
    try:
        # the limit of the largest files that a policy names
        return read_file(path_or_text, MAX_CERTIFICATES).decode("utf-8", "surrogateescape")
    except FileRefused:
        # the error is raised where the file is used
        return ""


class Verdicts:
    """The verification results of one task, and its verifiers; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[tuple[str, str], threading.Lock] = {}
        self._verifiers: dict[str, PolicyVerifier] = {}
        self._found: dict[tuple[str, str], Finding] = {}

    def check(self, policy: VerifyPolicy, fingerprint: str) -> None:
        """Load the keys and files of the policy, before any request.

        :raises InvalidPolicy: when the policy cannot be used.
        :raises PolicyInvalid: when it is one of a rule.
        """
        with naming_rule(policy):
            self._verifier(policy, fingerprint)

    def find(
        self,
        repository: Repository,
        resolved: Resolved,
        policy: VerifyPolicy,
        fingerprint: str,
        cache: ArtifactCache | None = None,
        *,
        anew: bool = False,
    ) -> Finding:
        """Verify the signatures of a resolved digest, unless a stored result is valid.

        :param fingerprint: of the policy, see :func:`policy_fingerprint`.
        :param anew: verify even if the cache has a result.
        :raises InvalidPolicy: when the policy cannot be used.
        :raises PolicyInvalid: when it is one of a rule.
        :raises VerificationFailed: when they do not satisfy the policy.
        :raises NotFound: when the digest does not exist.
        """
        key = _verdict_key(fingerprint, repository.reference.name)
        with self._turn(key, resolved.digest):
            known = self._found.get((key, resolved.digest))
            if known is not None:
                return known
            notes = None if cache is None else cache.notes()
            with nullcontext() if notes is None else notes.alone(resolved.digest):
                known = None if notes is None or anew else _remembered(notes, resolved.digest, key)
                if known is not None:
                    return known
                with naming_rule(policy):
                    found = self._verify(repository, resolved, policy, fingerprint, key, notes)
        return found

    def _verify(
        self,
        repository: Repository,
        resolved: Resolved,
        policy: VerifyPolicy,
        fingerprint: str,
        key: str,
        notes: CacheNotes | None,
    ) -> Finding:
        from .._trust.verdict import as_result

        verifier = self._verifier(policy, fingerprint)
        try:
            verdict = verifier.verify(repository, resolved.digest, resolved.descriptor)
        except VerificationFailed:
            _check_presence(repository, resolved)
            raise
        found = Finding(as_result(verdict), [*verifier.warnings, *verdict.warnings])
        if not verdict.verified:
            return found
        self._found[key, resolved.digest] = found
        # not if keys were replaced after the fingerprint was computed
        if notes is not None and policy_fingerprint(policy) == fingerprint:
            now = time.time()
            until = min(now + REMEMBERED_SECONDS, verdict.valid_until)
            others = {name: each for name, each in _part(notes, resolved.digest).items() if _holds(each, now)}
            own = {"verdict": found.verification, "warnings": found.warnings, "since": now, "until": until}
            notes.update(resolved.digest, _PART, {**others, key: own})
        return found

    def _verifier(self, policy: VerifyPolicy, fingerprint: str) -> PolicyVerifier:
        with self._lock:
            if fingerprint not in self._verifiers:
                from .._trust.verifier import PolicyVerifier

                self._verifiers[fingerprint] = PolicyVerifier(policy)
            return self._verifiers[fingerprint]

    def _turn(self, key: str, digest: str) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault((key, digest), threading.Lock())


def _check_presence(repository: Repository, resolved: Resolved) -> None:
    """Check that a digest that no request has resolved exists: without it, that it has no signature is no finding.

    :raises NotFound: when the registry does not have it. Any other failure is passed over.
    """
    if resolved.descriptor is not None:
        return
    try:
        repository.resolve(resolved.digest)
    except NotFound:
        raise
    except OciError:
        pass


def _verdict_key(fingerprint: str, name: str) -> str:
    """The key of a result, besides the digest. A trust policy may have different statements for repositories."""
    return f"{fingerprint} {name}"


def _remembered(notes: CacheNotes, digest: str, key: str) -> Finding | None:
    entry = _part(notes, digest).get(key)
    if entry is None or not _holds(entry, time.time()):
        return None
    return Finding(entry["verdict"], warnings_of(entry), is_remembered=True)


def warnings_of(record: Mapping[str, Any]) -> list[str]:
    """The warnings in a record of a verification."""
    found = record.get("warnings")
    return [str(each) for each in found] if isinstance(found, list) else []


def _part(notes: CacheNotes, digest: str) -> Mapping[str, Any]:
    part = notes.load(digest).get(_PART)
    return part if isinstance(part, Mapping) else {}


def _holds(entry: Any, now: float) -> bool:
    """True when an entry is valid now. An entry from the future was made by a wrong clock, and is not."""
    try:
        return bool(
            entry["since"] <= now < min(entry["until"], entry["since"] + REMEMBERED_SECONDS)
            and entry["verdict"]["verified"] is True
        )
    except (TypeError, KeyError):
        return False

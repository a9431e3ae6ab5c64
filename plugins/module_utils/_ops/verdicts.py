# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That nothing is verified twice: by the items of one task, and where there is a cache by all tasks of a user.

A verdict is remembered for a digest, under the name of its repository and the policy with all that it names. It holds
for a day at most, so that what cannot be seen in the policy (the root of the public Sigstore, the clock) is looked at
again, and no longer than the certificates and signatures that it rests on. Only success is remembered, with what the
user was warned of, which is said again each time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._cache.artifact_cache import ArtifactCache
    from .._cache.notes import CacheNotes
    from .._oci.repository import Repository
    from .._trust.policy import VerifyPolicy
    from .._trust.verifier import PolicyVerifier
    from .resolve import Resolved

REMEMBERED_SECONDS = 24 * 3600.0
# To be raised when verification itself changes: what an earlier version found is then found again.
RULES = 2
_PART = "verdicts"


@dataclass(frozen=True)
class Finding:
    """What modules return as ``verification``, what the user is to be told each time that it is relied on, and whether
    the cache remembered it."""

    verification: Mapping[str, Any]
    warnings: list[str] = field(default_factory=list)
    is_remembered: bool = False

    def warnings_of_use(self, repository: Repository, resolved: Resolved) -> list[str]:
        """What the user is to be told when the artifact is used."""
        if self.verification["verified"]:
            return self.warnings
        name = repository.reference.at(tag=resolved.tag, digest=resolved.digest)
        ignored = f"{name} is used without a verified signature, because the trust policy ignores the result."
        return [*self.warnings, ignored]


def policy_fingerprint(policy: VerifyPolicy) -> str:
    """A digest of what decides the outcome: the policy, the content of the files that it names, and ``RULES``."""
    from .._oci.digest import digest_of

    files = [*policy.public_keys, policy.trusted_root]
    for certificates in (policy.trust_store or {}).values():
        files += certificates
    contents = [_content_of(each) for each in files]
    return digest_of(json.dumps([RULES, repr(policy), contents], sort_keys=True).encode("utf-8", "surrogateescape"))


def _content_of(path_or_text: str) -> str:
    from .._files.bounded import MAX_CERTIFICATES, FileRefused, is_pem, read_file

    if not path_or_text or is_pem(path_or_text) or path_or_text.lstrip().startswith("{"):
        return ""
    try:
        # the largest of what a policy names
        return read_file(path_or_text, MAX_CERTIFICATES).decode("utf-8", "surrogateescape")
    except FileRefused:
        # whoever uses the file says what is wrong with it
        return ""


class Verdicts:
    """The verdicts of one task, and the verifiers that they come from; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[tuple[str, str], threading.Lock] = {}
        self._verifiers: dict[str, PolicyVerifier] = {}
        self._found: dict[tuple[str, str], Finding] = {}

    def check(self, policy: VerifyPolicy, fingerprint: str) -> None:
        """Read what the policy names, before anything is asked.

        :raises InvalidPolicy: when the policy cannot be used.
        """
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
        """Check the signatures of what was resolved, unless that was done before.

        :param fingerprint: of the policy, see :func:`policy_fingerprint`.
        :param anew: check them whatever the cache remembers.
        :raises InvalidPolicy: when the policy cannot be used.
        :raises VerificationFailed: when they do not satisfy it.
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
        verdict = verifier.verify(repository, resolved.digest, resolved.descriptor)
        found = Finding(as_result(verdict), [*verifier.warnings, *verdict.warnings])
        if not verdict.verified:
            return found
        self._found[key, resolved.digest] = found
        # not of keys that were replaced since the fingerprint was taken
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


def _verdict_key(fingerprint: str, name: str) -> str:
    """What a verdict is of, beside the digest. A trust policy may have another statement for each repository."""
    return f"{fingerprint} {name}"


def _remembered(notes: CacheNotes, digest: str, key: str) -> Finding | None:
    entry = _part(notes, digest).get(key)
    if entry is None or not _holds(entry, time.time()):
        return None
    return Finding(entry["verdict"], warnings_of(entry), is_remembered=True)


def warnings_of(record: Mapping[str, Any]) -> list[str]:
    """What the user was warned of, from a record of a verification."""
    found = record.get("warnings")
    return [str(each) for each in found] if isinstance(found, list) else []


def _part(notes: CacheNotes, digest: str) -> Mapping[str, Any]:
    part = notes.load(digest).get(_PART)
    return part if isinstance(part, Mapping) else {}


def _holds(entry: Any, now: float) -> bool:
    """Whether an entry counts at this time. One from the future was made by a clock that was wrong."""
    try:
        return bool(
            entry["since"] <= now < min(entry["until"], entry["since"] + REMEMBERED_SECONDS)
            and entry["verdict"]["verified"] is True
        )
    except (TypeError, KeyError):
        return False

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the signers of verified signatures and statements for a Cosign policy.

What counts as a signature: a legacy signature; a statement in a bundle, of any type, as for cosign; a statement under
the tag of attestations where the policy names its type, in ``predicate_types`` or ``attestations``. Where the policy
has ``predicate_types``, only those count. Each has to carry the annotations of the policy.

What counts for an entry of ``attestations``: a statement of its type whose predicate meets its conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import formats
from .counting import SignerCount
from .formats import Statement
from .policy import AttestationRule, VerifyPolicy
from .predicate import MAX_RETURNED, Conditions, read_predicate
from .verdict import ATTESTATION, MAX_DESCRIBED, Rejected, Signer, check_annotation

# cosign, pkg/cosign/attestation and cmd/cosign/cli/options/predicate.go
PREDICATE_TYPES = {
    "custom": ("https://cosign.sigstore.dev/attestation/v1",),
    "slsaprovenance": ("https://slsa.dev/provenance/v0.2",),
    "slsaprovenance02": ("https://slsa.dev/provenance/v0.2",),
    "slsaprovenance1": ("https://slsa.dev/provenance/v1",),
    "spdx": ("https://spdx.dev/Document",),
    "spdxjson": ("https://spdx.dev/Document",),
    "cyclonedx": ("https://cyclonedx.org/bom",),
    "link": ("https://in-toto.io/Link/v1",),
    "vuln": ("https://cosign.sigstore.dev/attestation/vuln/v1",),
    "openvex": ("https://openvex.dev/ns",),
}


def expand_predicate_type(name: str) -> tuple[str, ...]:
    """Return the predicate types of one of cosign's short names; for any other text, the text itself.

    Some tools append the version of CycloneDX to its type; only the type without version is meant.
    """
    return PREDICATE_TYPES.get(name, (name,))


class Signers:
    """The signers of valid signatures, or of attestations of one type. ``found`` has one for each name."""

    def __init__(self) -> None:
        self.found: dict[str, Signer] = {}
        self._count = SignerCount()

    @property
    def number(self) -> int:
        """Return the number of entries of the policy that they satisfy, see :class:`~.counting.SignerCount`."""
        return self._count.number

    def add(self, signer: Signer) -> None:
        self.found.setdefault(signer.who, signer)
        self._count.add(signer.names, signer.entries)

    def described(self) -> str:
        """Return the names of the first of them, for messages."""
        names = [repr((each.subject or each.key)[:100]) for each in self.found.values()]
        return ", ".join(names[:MAX_DESCRIBED]) + (" and others" if len(names) > MAX_DESCRIBED else "")


@dataclass(frozen=True)
class CompiledRule:
    """An entry of ``attestations``: its predicate types, and its conditions, compiled."""

    rule: AttestationRule
    types: Sequence[str]
    conditions: Conditions

    @classmethod
    def of(cls, rule: AttestationRule) -> CompiledRule:
        """:raises InvalidPolicy: when an expression of a condition does not parse."""
        return cls(rule, expand_predicate_type(rule.type), Conditions(rule))


class Counted:
    """What was verified for one artifact, and what is still missing."""

    def __init__(self, policy: VerifyPolicy, rules: Sequence[CompiledRule]) -> None:
        self._policy = policy
        self._rules = rules
        self._types = {each for name in policy.predicate_types for each in expand_predicate_type(name)}
        self._room = MAX_RETURNED
        self.signers = Signers()
        self.attesters = [Signers() for _rule in rules]
        self.warnings: list[str] = []
        #: Types of statements by signers of the policy that the policy could have asked for.
        self.types_not_asked_for: dict[str, None] = {}

    @property
    def wants_signatures(self) -> bool:
        """True when a signature of ``cosign sign`` counts."""
        return not self._types or formats.COSIGN_SIGN in self._types

    @property
    def is_enough(self) -> bool:
        return self.signers.number >= self._policy.min_signers and not self.missing()

    def missing(self) -> list[AttestationRule]:
        """Return the entries of ``attestations`` that too few signers have satisfied."""
        pairs = zip(self._rules, self.attesters)
        return [each.rule for each, attesters in pairs if attesters.number < each.rule.min_signers]

    def all_signers(self) -> list[Signer]:
        """Return those who made signatures and attestations, each statement once, with its predicate if wanted."""
        found: dict[tuple[str, str, str], Signer] = {}
        for signers in (self.signers, *self.attesters):
            for each in signers.found.values():
                place = (each.found_in, each.who, each.predicate_type)
                if place not in found or each.has_predicate:
                    found[place] = each
        return list(found.values())

    def add_signature(self, signer: Signer) -> None:
        """Count a legacy signature.

        :raises Rejected: ``predicate-type`` or ``annotations``.
        """
        if not self.wants_signatures:
            raise self._not_asked_for(signer, formats.COSIGN_SIGN)
        self._check_annotations(signer.annotations)
        self.signers.add(signer)

    def add_statement(self, signer: Signer, statement: Statement, form: str) -> None:
        """Count a statement for all that it is good for.

        :param form: ``verdict.ATTESTATION`` under the tag of attestations, ``verdict.BUNDLE`` in a bundle.
        :raises Rejected: with the code of what is wrong, also where it is good for something else.
        """
        kind = statement.predicate_type
        # no exceptions, whose tracebacks would keep the statement in memory
        problems: list[tuple[str, str]] = []
        is_attestation = False
        for rule, attesters in zip(self._rules, self.attesters):
            if kind in rule.types:
                try:
                    rule.conditions.check(statement)
                except Rejected as exc:
                    problems.append((exc.code, exc.message))
                else:
                    is_attestation = True
                    attesters.add(self._with_predicate(signer, statement) if rule.rule.predicate else signer)
        is_signature = kind in self._types if self._types else form != ATTESTATION or is_attestation
        if is_signature:
            try:
                self._check_annotations(signer.annotations)
                self.signers.add(signer)
            except Rejected as exc:
                problems.append((exc.code, exc.message))
        elif not is_attestation and not problems:
            raise self._not_asked_for(signer, kind)
        if problems:
            raise Rejected(problems[0][0], "; ".join(dict.fromkeys(message for _code, message in problems[:3])))

    def _with_predicate(self, signer: Signer, statement: Statement) -> Signer:
        try:
            predicate = read_predicate(statement, self._room)
        except Rejected as exc:
            self.warnings.append(f"The attestation in {signer.found_in[:19]} is returned without its predicate. {exc}.")
            return signer
        if statement.predicate is not None:
            self._room -= statement.predicate[1] - statement.predicate[0]
        return replace(signer, predicate=predicate, has_predicate=True)

    def _check_annotations(self, found: Mapping[str, Any]) -> None:
        for name, wanted in self._policy.annotations.items():
            check_annotation(found, name, wanted)

    def _not_asked_for(self, signer: Signer, kind: str) -> Rejected:
        self.types_not_asked_for[kind] = None
        names = dict.fromkeys([*self._policy.predicate_types, *(each.rule.type for each in self._rules)])
        wanted = ", ".join(repr(name[:100]) for name in list(names)[:MAX_DESCRIBED])
        who = signer.subject or signer.source or signer.key
        why = f"the policy asks for {wanted}" if wanted else "under this tag only a type that the policy names counts"
        return Rejected("predicate-type", f"It is of type {kind[:200]!r}, by the right signer ({who[:100]}), but {why}")

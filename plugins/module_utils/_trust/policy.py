# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checked options of a verification policy; see the documentation fragment ``verify``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidOption, InvalidPolicy
from .._files.bounded import MAX_POLICY_FILE, FileRefused, read_file

COSIGN, NOTATION = "cosign", "notation"

MAX_CONDITIONS = 100
MAX_REQUIRED_ANNOTATIONS = 100
#: Bytes; the decoded payload of one attestation is held in memory.
MOST_ATTESTATION_SIZE = 4 * 1024**3


@dataclass(frozen=True)
class Identity:
    """Regular expressions (Go's syntax, unanchored) for issuer and subject, as in Flux's matchOIDCIdentity."""

    issuer: str
    subject: str


@dataclass(frozen=True)
class Condition:
    """What has to be at a path of a predicate: ``value`` itself, or text in which the expression ``value`` matches."""

    path: str
    value: Any
    is_pattern: bool = False


@dataclass(frozen=True)
class AttestationRule:
    """An in-toto attestation of predicate type ``type`` that the same signers must have made.

    ``type`` is a full predicate type, or one of cosign's short names (slsaprovenance, slsaprovenance1, spdxjson, spdx,
    cyclonedx, vuln, openvex, link, custom). ``min_signers`` as in the policy. Its predicate meets all of ``match``;
    ``predicate`` asks for it in the result.
    """

    type: str
    min_signers: int = 1
    match: Sequence[Condition] = ()
    predicate: bool = False


@dataclass(frozen=True)
class VerifyPolicy:
    """A checked policy. ``public_keys`` and ``trust_store`` hold PEM text or paths as the user wrote them.

    ``min_signers`` is a number of entries (keys, identities), each satisfied by a signer of its own.
    ``max_signatures`` bounds how many signatures are tried; 0 stands for the default of the provider's own tool.
    ``max_attestation_size`` is in bytes; 0 stands for the default. ``annotations`` are those that each signature has.
    ``rule`` names the rule of a policy for registries that demands it, None where the task does; two that ask for the
    same are equal.
    """

    provider: str = COSIGN
    public_keys: Sequence[str] = ()
    identities: Sequence[Identity] = ()
    any_identity: bool = False
    trusted_root: str = ""
    min_signers: int = 1
    max_signatures: int = 0
    max_attestation_size: int = 0
    annotations: Mapping[str, str] = field(default_factory=dict)
    predicate_types: Sequence[str] = ()
    curve_hash: bool = False
    attestations: Sequence[AttestationRule] = ()
    trust_policy: Mapping[str, Any] | None = None
    trust_store: Mapping[str, Sequence[str]] | None = None
    ca_roots: Sequence[str] = ()
    rule: Mapping[str, str] | None = field(default=None, repr=False, compare=False)

    @property
    def most_signers(self) -> int:
        """Return the largest number of signers that the policy or one of its attestations demands."""
        return max([self.min_signers, *(rule.min_signers for rule in self.attestations)])


def parse_policy(option: Mapping[str, Any]) -> VerifyPolicy:
    """Return the policy that the options of the documentation fragment ``verify``, given as one mapping, describe.

    :raises InvalidPolicy: when they do not fit together, or a file of the policy cannot be read.
    """
    provider = option.get("provider") or COSIGN
    for_cosign = (
        "public_keys",
        "identities",
        "any_identity",
        "trusted_root",
        "predicate_types",
        "curve_hash",
        "ca_roots",
    )
    for_notation = ("trust_policy", "trust_store")
    misplaced = for_notation if provider == COSIGN else (*for_cosign, "attestations", "max_attestation_size")
    wrong = next((name for name in misplaced if option.get(name)), None)
    if wrong is not None:
        raise InvalidPolicy(
            f"'{wrong}' has no meaning for the provider {provider}.", "Remove it, or change 'provider'."
        )
    if option.get("ca_roots") and not (option.get("identities") or option.get("any_identity")):
        raise InvalidPolicy(
            "'ca_roots' says who issues certificates, and the policy not whose are accepted.",
            "Give 'identities' with a 'subject', or write 'any_identity: true' if every certificate is wanted.",
        )
    return VerifyPolicy(
        provider=provider,
        public_keys=tuple(option.get("public_keys") or ()),
        identities=tuple(_identity(each) for each in option.get("identities") or ()),
        any_identity=bool(option.get("any_identity")),
        trusted_root=option.get("trusted_root") or "",
        min_signers=1 if option.get("min_signers") is None else option["min_signers"],
        max_signatures=_max_signatures(option.get("max_signatures")),
        max_attestation_size=_max_attestation_size(option.get("max_attestation_size")),
        annotations=_annotations(option.get("annotations") or {}),
        predicate_types=tuple(option.get("predicate_types") or ()),
        curve_hash=bool(option.get("curve_hash")),
        attestations=tuple(_attestation(each) for each in option.get("attestations") or ()),
        trust_policy=_trust_policy(option.get("trust_policy")) if provider == NOTATION else None,
        trust_store=_trust_store(option.get("trust_store")) if provider == NOTATION else None,
        ca_roots=tuple(option.get("ca_roots") or ()),
    )


def _max_signatures(value: int | None) -> int:
    if value is None:
        return 0
    from .budget import MOST_SIGNATURES

    if not 1 <= value <= MOST_SIGNATURES:
        raise InvalidPolicy(f"'max_signatures' is {value}: wanted 1 to {MOST_SIGNATURES}.")
    return value


def _identity(value: Mapping[str, Any]) -> Identity:
    return Identity(str(value.get("issuer") or ""), str(value.get("subject") or ""))


def _attestation(value: Mapping[str, Any]) -> AttestationRule:
    count = value.get("min_signers")
    if not value.get("type") or (count is not None and count < 1):
        raise InvalidPolicy("An entry of 'attestations' needs a 'type', and 1 or more 'min_signers'.")
    rule = str(value["type"])
    conditions = _conditions(value.get("match") or {}, rule)
    return AttestationRule(rule, 1 if count is None else count, conditions, bool(value.get("predicate")))


def _conditions(match: Any, rule: str) -> tuple[Condition, ...]:
    if not match:
        return ()
    from .predicate_path import parse_path

    where = f"'match' of the attestation {rule[:100]!r}"
    if not isinstance(match, Mapping) or len(match) > MAX_CONDITIONS:
        raise InvalidPolicy(f"The {where} is not a mapping of at most {MAX_CONDITIONS} paths to values.")
    conditions = []
    for path, wanted in match.items():
        parse_path(str(path))
        is_pattern = isinstance(wanted, Mapping) and set(wanted) == {"pattern"} and isinstance(wanted["pattern"], str)
        if not is_pattern and not (wanted is None or isinstance(wanted, (str, bool, int, float))):
            raise InvalidPolicy(
                f"The {where} has neither a value nor a pattern at {str(path)[:200]!r}.",
                "Wanted text, a number, true, false or null; or {pattern: a regular expression}.",
            )
        conditions.append(Condition(str(path), wanted["pattern"] if is_pattern else wanted, is_pattern))
    return tuple(conditions)


def _annotations(value: Any) -> Mapping[str, str]:
    """Return annotations as text; numbers and booleans, which YAML makes of unquoted values, become their text."""
    if not isinstance(value, Mapping) or len(value) > MAX_REQUIRED_ANNOTATIONS:
        raise InvalidPolicy(f"'annotations' is not a mapping of at most {MAX_REQUIRED_ANNOTATIONS} names to text.")
    annotations = {}
    for name, text in sorted(value.items(), key=lambda pair: str(pair[0])):
        text = str(text).lower() if isinstance(text, bool) else text
        if not name or not isinstance(text, (str, int, float)):
            raise InvalidPolicy(f"The value of {str(name)[:200]!r} in 'annotations' is not text.")
        annotations[str(name)] = str(text)
    return annotations


def _max_attestation_size(value: Any) -> int:
    if value is None:
        return 0
    from .._oci.options import parse_size

    try:
        size = parse_size(value)
    except InvalidOption as exc:
        raise InvalidPolicy(f"'max_attestation_size': {exc.message}") from None
    if not 1 <= size <= MOST_ATTESTATION_SIZE:
        raise InvalidPolicy(f"'max_attestation_size' is {value}: wanted at least 1 byte and at most 4GiB.")
    return size


def _trust_policy(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if not value:
        raise InvalidPolicy("The provider notation needs a 'trust_policy'.", "Give a trustpolicy.json, or its content.")
    text = str(value)
    if not text.lstrip().startswith("{"):
        try:
            text = read_file(text, MAX_POLICY_FILE).decode("utf-8", "replace")
        except FileRefused as exc:
            raise InvalidPolicy(f"The trust policy {value!r} {exc}.") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidPolicy(
            "The trust policy is not a JSON object.", "Wanted the format of notation's trustpolicy.json."
        )
    return document


def _trust_store(value: Any) -> Mapping[str, Sequence[str]]:
    """Return certificates by the name of their store; a list stands for every store that the policy names (``*``)."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return {"*": tuple(value)}
    if isinstance(value, Mapping):
        stores = {str(name): (each,) if isinstance(each, str) else tuple(each or ()) for name, each in value.items()}
        if all(isinstance(certificate, str) for each in stores.values() for certificate in each):
            return stores
    if not value:
        return {}
    raise InvalidPolicy("'trust_store' is neither a list of certificates nor a mapping of store names to such lists.")

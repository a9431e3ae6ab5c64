# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checked options of a verification policy; see the documentation fragment ``verify``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidPolicy
from .._files.bounded import MAX_POLICY_FILE, FileRefused, read_file

COSIGN, NOTATION = "cosign", "notation"


@dataclass(frozen=True)
class Identity:
    """Regular expressions (Go's syntax, unanchored) for issuer and subject, as in Flux's matchOIDCIdentity."""

    issuer: str
    subject: str


@dataclass(frozen=True)
class AttestationRule:
    """An in-toto attestation of predicate type ``type`` that the same signers must have made.

    ``type`` is a full predicate type, or one of cosign's short names (slsaprovenance, slsaprovenance1, spdxjson, spdx,
    cyclonedx, vuln, openvex, link, custom). ``min_signers`` as in the policy.
    """

    type: str
    min_signers: int = 1


@dataclass(frozen=True)
class VerifyPolicy:
    """A checked policy. ``public_keys`` and ``trust_store`` hold PEM text or paths as the user wrote them.

    ``min_signers`` is a number of entries (keys, identities), each satisfied by a signer of its own.
    ``max_signatures`` bounds how many signatures are tried; 0 stands for the default of the provider's own tool.
    """

    provider: str = COSIGN
    public_keys: Sequence[str] = ()
    identities: Sequence[Identity] = ()
    any_identity: bool = False
    trusted_root: str = ""
    min_signers: int = 1
    max_signatures: int = 0
    predicate_types: Sequence[str] = ()
    curve_hash: bool = False
    attestations: Sequence[AttestationRule] = ()
    trust_policy: Mapping[str, Any] | None = None
    trust_store: Mapping[str, Sequence[str]] | None = None
    ca_roots: Sequence[str] = ()

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
    misplaced = for_notation if provider == COSIGN else (*for_cosign, "attestations")
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
    return AttestationRule(str(value["type"]), 1 if count is None else count)


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

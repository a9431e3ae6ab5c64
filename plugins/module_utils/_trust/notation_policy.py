# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust policies of the Notary Project, version 1.0, with the certificates of their trust stores.

Source: Notary Project, trust-store-trust-policy.md, as notation-go applies it (verifier/trustpolicy). Stricter on
purpose: keys that the specification does not have are refused (a misspelled ``override`` must not pass for none), and
so are identities that could never match here, since no plugins are run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidPolicy
from .distinguished_name import is_subset, parse_distinguished_name
from .notation_chain import TrustedCertificate, read_trust_store

AUTHENTICITY, TIMESTAMP, EXPIRY, REVOCATION = "authenticity", "authenticTimestamp", "expiry", "revocation"
ENFORCE, LOG, SKIP = "enforce", "log", "skip"
#: The name that stands for every trust store in a mapping of certificates.
ANY_STORE = "*"

_ACTIONS = (ENFORCE, LOG, SKIP)
_TYPES = (AUTHENTICITY, TIMESTAMP, EXPIRY, REVOCATION)
# trust-store-trust-policy.md, "Signature Verification Levels"; integrity is always enforced
_LEVELS = {
    "strict": dict.fromkeys(_TYPES, ENFORCE),
    "permissive": {**dict.fromkeys(_TYPES, LOG), AUTHENTICITY: ENFORCE},
    "audit": dict.fromkeys(_TYPES, LOG),
    "skip": dict.fromkeys(_TYPES, SKIP),
}
_DOCUMENT_KEYS = ("version", "trustPolicies")
_STATEMENT_KEYS = ("name", "registryScopes", "signatureVerification", "trustStores", "trustedIdentities")
_VERIFICATION_KEYS = ("level", "override", "verifyTimestamp")
_CA, _SIGNING_AUTHORITY, TIME_STAMPER = "ca", "signingAuthority", "tsa"
_STORE_TYPES = (_CA, _SIGNING_AUTHORITY, TIME_STAMPER)
NEVER, ALWAYS, AFTER_EXPIRY = "never", "always", "afterCertExpiry"
_STORE_NAME = re.compile(r"[a-zA-Z0-9_.-]+\Z")
_SUBJECT = "x509.subject"
# as notation-go has them, from the distribution project's reference grammar
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_SCOPE = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?/{_WORD}(?:/{_WORD})*\Z")


@dataclass(frozen=True)
class PolicyStatement:
    """One statement of a trust policy. ``actions`` says for each check whether it is enforced, logged or skipped.

    ``identities`` is None where any is trusted (``*``). ``trusted`` are the certificates of the stores of the type
    ``ca``, ``signing_authorities`` and ``time_stampers`` those of the types ``signingAuthority`` and ``tsa``.
    ``timestamps`` says when a timestamp is demanded: always, after a certificate of the chain has expired, or never.
    """

    name: str
    scopes: Sequence[str]
    level: str
    actions: Mapping[str, str]
    timestamps: str
    identities: Sequence[Mapping[str, str]] | None
    trusted: Sequence[TrustedCertificate]
    signing_authorities: Sequence[TrustedCertificate] = ()
    time_stampers: Sequence[TrustedCertificate] = ()

    @property
    def skips(self) -> bool:
        return self.level == "skip"

    def trusted_identities(self, name: Mapping[str, str]) -> frozenset[str]:
        """Return labels of the trusted identities whose attributes are all in the name."""
        numbered = enumerate(self.identities or (), 1)
        return frozenset(f"identity {number}" for number, identity in numbered if is_subset(identity, name))


@dataclass(frozen=True)
class NotationPolicy:
    """A checked trust policy with the certificates of its stores."""

    statements: Sequence[PolicyStatement]

    def statement_for(self, scope: str) -> PolicyStatement | None:
        """Return the statement for a ``host/repository``: the one that names it, otherwise the one for all (``*``)."""
        for wanted in (scope, "*"):
            for statement in self.statements:
                if wanted in statement.scopes:
                    return statement
        return None


def parse_trust_policy(
    document: Mapping[str, Any], trust_store: Mapping[str, Sequence[str]] | Sequence[str]
) -> NotationPolicy:
    """Check a whole trust policy, and read the certificates that it trusts.

    :param trust_store: certificates as paths or PEM text. A list is used for every store that the policy names, as in
        Flux; a mapping has them by the store's name, as ``ca:name``, ``signingAuthority:name`` or ``tsa:name``, as
        ``name`` for all types, or under ``*`` for every store.

    :raises InvalidPolicy: for the first rule that is broken.
    """
    _check_keys(document, _DOCUMENT_KEYS, "The trust policy")
    version = document.get("version")
    if version != "1.0":
        raise InvalidPolicy(f"The trust policy is of version {_show(version)}: wanted the text '1.0'.")
    statements = document.get("trustPolicies")
    if not isinstance(statements, (list, tuple)) or not statements:
        raise InvalidPolicy("The trust policy has no statements ('trustPolicies').")
    stores = _Stores(trust_store)
    parsed = [_statement(each, number, stores) for number, each in enumerate(statements, 1)]
    _check_unique([each.name for each in parsed], "two statements with the name")
    _check_unique([scope for each in parsed for scope in each.scopes], "two statements (or one, twice) for the scope")
    return NotationPolicy(tuple(parsed))


class _Stores:
    """The trust stores; each file is read once."""

    def __init__(self, given: Mapping[str, Sequence[str]] | Sequence[str]) -> None:
        sources = given if isinstance(given, Mapping) else {ANY_STORE: [given] if isinstance(given, str) else given}
        for name in sources:
            kind, colon, rest = name.partition(":")
            known = not colon or kind in _STORE_TYPES
            if name != ANY_STORE and not (known and _STORE_NAME.match(rest if colon else name)):
                raise InvalidPolicy(f"'trust_store' has an invalid name of a store: {_show(name)}.", "As in ca:acme.")
        self._stores = {name: read_trust_store(sources[name]) for name in sources}

    def certificates(self, kind: str, name: str, statement: str) -> list[TrustedCertificate]:
        """Return the certificates of a store, as in ``ca:name``."""
        found = [each for key in (f"{kind}:{name}", name, ANY_STORE) for each in self._stores.get(key, ())]
        # timestamps may never be asked for, see :func:`.notation_time.check_time`
        if not found and kind != TIME_STAMPER:
            raise InvalidPolicy(
                f"{statement} trusts the store '{kind}:{name}', and 'trust_store' has no certificate for it.",
                f"Give them as a list, which answers for every store, or under the name '{kind}:{name}'.",
            )
        return found


def _statement(value: Any, number: int, stores: _Stores) -> PolicyStatement:
    name = value.get("name") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(name, str) or not name:
        raise InvalidPolicy(f"Statement {number} of the trust policy is not an object with a name.")
    what = f"The statement {name[:100]!r} of the trust policy"
    _check_keys(value, _STATEMENT_KEYS, what)
    scopes = _scopes(_strings(value, "registryScopes", what), what)
    verification = value.get("signatureVerification")
    if not isinstance(verification, Mapping):
        raise InvalidPolicy(f"{what} has no 'signatureVerification'.")
    _check_keys(verification, _VERIFICATION_KEYS, what)
    level, actions = _level(verification, what)
    timestamps = verification.get("verifyTimestamp") or ALWAYS
    if timestamps not in (ALWAYS, AFTER_EXPIRY):
        wanted = f"{ALWAYS!r} or {AFTER_EXPIRY!r}"
        raise InvalidPolicy(f"{what} has 'verifyTimestamp' {_show(timestamps)}: wanted {wanted}.")
    store_names = _strings(value, "trustStores", what)
    identities = _strings(value, "trustedIdentities", what)
    if level == "skip":
        if store_names or identities:
            raise InvalidPolicy(
                f"{what} skips verification, but has trust stores or trusted identities.",
                "Remove them, or choose another level.",
            )
        return PolicyStatement(name, scopes, level, actions, NEVER, (), ())
    if not store_names or not identities:
        missing = "'trustStores'" if not store_names else "'trustedIdentities'"
        raise InvalidPolicy(f"{what} has no {missing}: both trust stores and trusted identities are needed.")
    named = dict.fromkeys(_store(each, what) for each in store_names)
    by_type: dict[str, list[TrustedCertificate]] = {kind: [] for kind in _STORE_TYPES}
    for kind, store in named:
        by_type[kind] += stores.certificates(kind, store, what)
    if all(kind != TIME_STAMPER for kind, _name in named):
        timestamps = NEVER
    parsed = _identities(identities, what)
    return PolicyStatement(name, scopes, level, actions, timestamps, parsed, *map(tuple, by_type.values()))


def _level(verification: Mapping[str, Any], what: str) -> tuple[str, dict[str, str]]:
    level = verification.get("level")
    if not isinstance(level, str) or level not in _LEVELS:
        raise InvalidPolicy(f"{what} has the level {_show(level)}: wanted one of {', '.join(_LEVELS)}.")
    override = verification.get("override") or {}
    if not isinstance(override, Mapping):
        raise InvalidPolicy(f"{what} has an 'override' that is not an object.")
    if level == "skip" and override:
        raise InvalidPolicy(f"{what} skips verification, which cannot be overridden.")
    for kind, action in override.items():
        if kind == "integrity":
            raise InvalidPolicy(f"{what} overrides 'integrity', which is always enforced.")
        if kind not in _TYPES:
            raise InvalidPolicy(f"{what} overrides {_show(kind)}: wanted one of {', '.join(_TYPES)}.")
        if action not in _ACTIONS:
            raise InvalidPolicy(f"{what} overrides {kind!r} with {_show(action)}: wanted one of {', '.join(_ACTIONS)}.")
        if action == SKIP and kind != REVOCATION:
            raise InvalidPolicy(f"{what} skips {kind!r}: only {REVOCATION!r} can be skipped.")
    return level, {**_LEVELS[level], **override}


def _scopes(scopes: list[str], what: str) -> tuple[str, ...]:
    if not scopes:
        raise InvalidPolicy(f"{what} has no 'registryScopes'.", "Name repositories, as in ghcr.io/org/app, or '*'.")
    if "*" in scopes and len(scopes) > 1:
        raise InvalidPolicy(f"{what} has the scope '*' beside others.")
    for scope in scopes:
        if scope != "*" and not _SCOPE.match(scope):
            hint = "Wildcards within a scope are not allowed." if "*" in scope else ""
            wanted = "host/repository, without tag or scheme"
            raise InvalidPolicy(f"{what} has the scope {_show(scope)}: wanted {wanted}.", hint)
    return tuple(scopes)


def _store(text: str, what: str) -> tuple[str, str]:
    kind, colon, name = text.partition(":")
    if not colon or kind not in _STORE_TYPES:
        wanted = f"wanted type:name, with one of the types {', '.join(_STORE_TYPES)}"
        raise InvalidPolicy(f"{what} has the trust store {_show(text)}: {wanted}.")
    if not _STORE_NAME.match(name):
        wanted = "its name may have letters, digits, '_', '.' and '-'"
        raise InvalidPolicy(f"{what} has the trust store {_show(text)}: {wanted}.")
    return kind, name


def _identities(texts: list[str], what: str) -> tuple[Mapping[str, str], ...] | None:
    if "*" in texts:
        if len(texts) > 1:
            raise InvalidPolicy(f"{what} trusts the identity '*' beside others.")
        return None
    names: list[dict[str, str]] = []
    for text in texts:
        prefix, _colon, value = text.partition(":")
        if prefix != _SUBJECT:
            raise InvalidPolicy(
                f"{what} has the trusted identity {_show(text)}: wanted '*', or x509.subject: and a name.",
                "Identities that only plugins of notation know are not supported.",
            )
        try:
            names.append(parse_distinguished_name(value))
        except ValueError as exc:
            raise InvalidPolicy(
                f"{what} has a trusted identity {_show(text)} that is not a valid name: {exc}."
            ) from None
    for number, first in enumerate(names):
        for other, second in enumerate(names):
            if number != other and is_subset(first, second):
                raise InvalidPolicy(f"{what} has the trusted identity {_show(texts[number])}, which includes another.")
    return tuple(names)


def _strings(value: Mapping[str, Any], key: str, what: str) -> list[str]:
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, (list, tuple)) or not all(isinstance(each, str) for each in found):
        raise InvalidPolicy(f"{what} has {key!r} that is not a list of strings.")
    return list(found)


def _check_keys(value: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    unknown = next((key for key in value if key not in known), None)
    if unknown is not None:
        raise InvalidPolicy(f"{what} has an unknown key {_show(unknown)}: wanted {', '.join(known)}.")


def _check_unique(values: list[str], what: str) -> None:
    twice = next((each for each in values if values.count(each) > 1), None)
    if twice is not None:
        raise InvalidPolicy(f"The trust policy has {what} {_show(twice)}.")


def _show(value: Any) -> str:
    return repr(value)[:200]

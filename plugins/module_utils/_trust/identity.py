# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the identity in a certificate, and compares it with the identities of the policy.

Sources: cosign, pkg/cosign/verify.go (legacy signatures); sigstore-go, pkg/fulcio/certificate (bundles). For their
differences see ``claimed_identity``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidPolicy, InvalidSelection
from .._oci.bounded_regex import BoundedRegex
from .policy import Identity
from .verdict import Rejected

MAX_IDENTITIES = 100
#: Characters of an issuer or a subject; Fulcio's are far shorter, and expressions are matched against them.
MAX_NAME = 2048
MAX_NAMES = 64
#: Seconds of CPU time for one expression on one certificate, and how many timeouts there may be before it is disabled.
SECONDS_PER_MATCH = 1.0
MAX_TIMEOUTS = 3

#: The entry of a policy that accepts every identity.
ANY_IDENTITY = "any_identity"

ISSUER_V1 = "1.3.6.1.4.1.57264.1.1"
ISSUER_V2 = "1.3.6.1.4.1.57264.1.8"
OTHER_NAME = "1.3.6.1.4.1.57264.1.7"

_HINT = (
    "Issuer and subject are regular expressions in Go's spelling, in which ( [ * + ? . stand for themselves only "
    "behind a backslash; several entries can say what one does not."
)
_UTF8_STRING = b"\x0c"
_ANYTHING = "^.*$"


@dataclass(frozen=True)
class Claim:
    """The identity in a certificate: the OIDC issuer, and names of which any may match.

    ``aliases`` are all names of the holder, also those that are not compared: certificates that share one have the same
    holder.
    """

    issuer: str
    subjects: Sequence[str]
    aliases: Sequence[str] = ()


class CompiledIdentities:
    """The identities of a policy, compiled once.

    ``warnings`` names the expressions that are not anchored at both ends: they also match longer names.

    :param needs_issuer: False where an entry may leave out the issuer, which accepts any and none: certificates of
        one's own PKI name no OIDC issuer.
    :raises InvalidPolicy: for no identity at all without ``any_identity``, for both, for an expression that is empty or
        does not parse, and for more than 100 identities.
    """

    def __init__(self, identities: Sequence[Identity], any_identity: bool = False, needs_issuer: bool = True) -> None:
        if identities and any_identity:
            raise InvalidPolicy(
                "The policy has identities and 'any_identity: true', which contradict each other.",
                "Leave out 'any_identity' to accept the listed identities only.",
            )
        if not identities and not any_identity:
            raise InvalidPolicy(
                "Keyless verification needs at least one identity: without one, anybody's signature would do.",
                "Give 'identities' with 'issuer' and 'subject', or write 'any_identity: true' if every signer that the "
                "trusted root vouches for is wanted.",
            )
        if len(identities) > MAX_IDENTITIES:
            raise InvalidPolicy(f"There are {len(identities)} identities: at most {MAX_IDENTITIES} are compared.")
        self.warnings: list[str] = []
        self._pairs: dict[Identity, tuple[_Expression, _Expression]] = {}
        for number, identity in enumerate(identities, 1):
            # the same entry twice is one entry
            if identity not in self._pairs:
                pattern = identity.issuer if identity.issuer or needs_issuer else _ANYTHING
                issuer = self._compile(pattern, number, "issuer")
                self._pairs[identity] = (issuer, self._compile(identity.subject, number, "subject"))

    def matching_subject(self, claim: Claim) -> str:
        """Return the first name of the claim for which one identity matches issuer and name.

        :raises Rejected: ``identity``.
        """
        if len(claim.subjects) > MAX_NAMES:
            raise Rejected("identity", f"The certificate has more than {MAX_NAMES} names")
        if any(len(name) > MAX_NAME for name in (claim.issuer, *claim.subjects)):
            raise Rejected("identity", f"The certificate has a name of more than {MAX_NAME} characters")
        if not all(name.isprintable() for name in (claim.issuer, *claim.subjects)):
            # Python's $ also matches before a line feed at the end, Go's does not
            raise Rejected("identity", "The certificate has a name with control characters")
        if not claim.subjects:
            raise Rejected("identity", "The certificate names nobody: it has no subject alternative name that counts")
        if not self._pairs:
            return claim.subjects[0]
        for issuer, subject in self._pairs.values():
            # both have to match in the same entry
            if issuer.first_match([claim.issuer]) is not None:
                found = subject.first_match(claim.subjects)
                if found is not None:
                    return found
        names = ", ".join(repr(name[:200]) for name in claim.subjects[:3])
        issuer_name = f" of issuer {claim.issuer[:200]!r}" if claim.issuer else " (no issuer named)"
        message = f"It was signed by {names}{issuer_name}, which none of the identities matches"
        expressions = [expression for pair in self._pairs.values() for expression in pair]
        unfinished = [expression.pattern for expression in expressions if expression.unfinished]
        if unfinished:
            message += f" (the regular expression {unfinished[0][:200]!r} takes too long and was not finished)"
        raise Rejected("identity", message)

    def matching_entries(self, claim: Claim) -> frozenset[str]:
        """Return labels of the entries whose issuer and subject both match; ``any_identity`` is one entry."""
        if not self._pairs:
            return frozenset([ANY_IDENTITY])
        return frozenset(
            f"identity {number}"
            for number, (issuer, subject) in enumerate(self._pairs.values(), 1)
            if issuer.first_match([claim.issuer]) is not None and subject.first_match(claim.subjects) is not None
        )

    def _compile(self, pattern: str, number: int, name: str) -> _Expression:
        where = f"'{name}' of identity {number}"
        if not pattern:
            raise InvalidPolicy(
                f"The {where} is empty.",
                "Write an expression; '.*' accepts everything, where that is really wanted. Only with 'ca_roots' may "
                "the issuer be left out.",
            )
        try:
            regex = BoundedRegex(pattern, where, SECONDS_PER_MATCH)
        except InvalidSelection as exc:
            raise InvalidPolicy(exc.message, _HINT) from None
        if not is_anchored(pattern):
            self.warnings.append(
                f"The regular expression {pattern[:200]!r} in {where} is not anchored: it also accepts longer names "
                "that contain a match. Begin it with ^ and end it with $."
            )
        return _Expression(pattern, regex)


class _Expression:
    def __init__(self, pattern: str, regex: BoundedRegex) -> None:
        self.pattern = pattern
        self.unfinished = 0
        self._regex = regex

    def first_match(self, texts: Sequence[str]) -> str | None:
        """Return the first text that matches. A timeout counts as no match, since any signer can choose the names."""
        if self.unfinished >= MAX_TIMEOUTS:
            return None
        try:
            found = self._regex.search_all(texts)
        except InvalidSelection:
            self.unfinished += 1
            return None
        return found[0][0] if found else None


def claimed_identity(certificate: Any, legacy: bool, any_name: bool = False) -> Claim:
    """Return issuer and names of a certificate.

    Legacy signatures: the issuer is extension 57264.1.1, and any name counts. Bundles: the issuer may also be in
    57264.1.8, and only one name counts: the first URI, else the first e-mail address, else Fulcio's own kind of name.
    Stricter than both: two issuers in one certificate that differ are refused.

    :param any_name: any name counts in bundles too, as for certificates of one's own PKI.
    :raises Rejected: ``identity`` or ``malformed``.
    """
    raw, wrapped = _extension(certificate, ISSUER_V1), _extension(certificate, ISSUER_V2)
    issuers = [issuer for issuer in (_decode(raw), _decode_utf8_string(wrapped)) if issuer is not None]
    if len(set(issuers)) > 1:
        raise Rejected("identity", "The certificate names two issuers that differ")
    # the aliases do not depend on the layout
    holders = issuers[:1] or [""]
    if legacy and raw is None:
        issuers = []
    names = _names(certificate)
    ordered = [name for kind in ("uri", "email", "other") for name in names[kind]]
    subjects = [*ordered, *names["plain"]] if legacy or any_name else ordered[:1]
    aliases = [f"{holder}\n{name}" for holder in holders for kind in names.values() for name in kind]
    return Claim(issuers[0] if issuers else "", subjects, aliases)


def is_anchored(pattern: str) -> bool:
    """Return True if every alternative of an expression begins with ``^`` or ``\\A`` and ends in ``$`` or ``\\z``."""
    flags = ""
    while pattern.startswith("(?") and ")" in pattern and pattern[2 : pattern.index(")")].isalpha():
        flags += pattern[2 : pattern.index(")")]
        pattern = pattern[pattern.index(")") + 1 :]
    if "m" in flags:
        return False
    return all(branch.startswith(("^", r"\A")) and branch.endswith(("$", "\0")) for branch in _branches(pattern))


def _branches(pattern: str) -> list[str]:
    """Return the alternatives outside all groups; an escaped character becomes a letter, ``\\z`` the NUL character."""
    branches, depth, position, in_class = [""], 0, 0, False
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            escaped = pattern[position + 1 : position + 2]
            anchor = not in_class and depth == 0 and escaped in ("z", "A")
            branches[-1] += ("\0" if escaped == "z" else r"\A") if anchor else "x"
            position += 2
            continue
        if in_class:
            # a bracket in the first position is a member
            in_class = character != "]" or pattern[:position].endswith(("[", "[^"))
            character = "x"
        elif character == "[":
            in_class = True
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and depth == 0:
            branches.append("")
            position += 1
            continue
        branches[-1] += character if depth == 0 or character == "(" else "x"
        position += 1
    return branches


def _extension(certificate: Any, oid: str) -> bytes | None:
    from cryptography import x509

    try:
        value: bytes = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value.value
    except x509.ExtensionNotFound:
        return None
    return value


def _decode(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8")


def _decode_utf8_string(value: bytes | None) -> str | None:
    """Return the text of a DER UTF8String."""
    if value is None:
        return None
    length, start = (value[1], 2) if len(value) > 1 else (0x80, 2)
    if length > 0x80:
        start += length & 0x7F
        length = int.from_bytes(value[2:start], "big")
    if value[:1] != _UTF8_STRING or len(value) != start + length:
        raise Rejected("malformed", "An extension of the certificate is not a UTF8String")
    return value[start:].decode("utf-8")


def _names(certificate: Any) -> dict[str, list[str]]:
    from cryptography import x509

    names: dict[str, list[str]] = {"uri": [], "email": [], "other": [], "plain": []}
    try:
        general_names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    for name in general_names:
        if isinstance(name, x509.UniformResourceIdentifier):
            names["uri"].append(name.value)
        elif isinstance(name, x509.RFC822Name):
            names["email"].append(name.value)
        elif isinstance(name, x509.OtherName) and name.type_id.dotted_string == OTHER_NAME:
            names["other"].append(_decode_utf8_string(name.value) or "")
        elif isinstance(name, (x509.DNSName, x509.IPAddress)):
            names["plain"].append(str(name.value))
    return names

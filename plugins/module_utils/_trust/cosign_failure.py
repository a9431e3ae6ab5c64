# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says why an artifact does not satisfy a Cosign policy: what was found in each place, and why it did not count."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import VerificationFailed
from .attestations import Counted
from .discovery import ATTESTATION_SUFFIX, SIGNATURE_SUFFIX
from .policy import COSIGN, VerifyPolicy
from .verdict import ATTESTATION, BUNDLE, LEGACY, MAX_DESCRIBED, Refusal, failure_details

# what is counted in a place, by the format of a refusal; the rest is about the list of referrers
_NOUNS = {LEGACY: "signature", ATTESTATION: "attestation", BUNDLE: "bundle"}
# hexadecimal digits of the digest that name a tag in a message
_DIGITS = 12


def describe_failure(
    name: str,
    digest: str,
    policy: VerifyPolicy,
    counted: Counted,
    refusals: Sequence[Refusal],
    exceeded: Sequence[str],
) -> VerificationFailed:
    """Return the error for an artifact that does not satisfy the policy.

    :param name: the artifact, as a reference with its digest.
    :param exceeded: a sentence for each limit because of which something was not tried.
    """
    wanted, found = policy.min_signers, counted.signers.number
    said = _describe(digest, refusals)
    is_signed = bool(counted.signers.found or any(each.found for each in counted.attesters))
    if not is_signed and not refusals and not exceeded:
        signatures, attestations = (_tag(digest, suffix) for suffix in (SIGNATURE_SUFFIX, ATTESTATION_SUFFIX))
        message = (
            f"{name} has no signature: there is nothing under Cosign's tags {signatures} and {attestations}, and no "
            "Sigstore bundle among its referrers."
        )
        hint = "Sign it (cosign sign --key …), or check that its signatures were copied with it."
    elif found < wanted:
        message = f"{name} has {found or 'no'} valid signature{'s' if found != 1 else ''} of the {wanted} wanted"
        if len(counted.signers.found) > found:
            message += f", each by another key or identity of the policy ({counted.signers.described()} count once)"
        message += f": {said}." if said else "."
        hint = "Check the keys or identities of the policy, and who signed this digest."
    else:
        missing = ", ".join(rule.type for rule in counted.missing())
        message = f"{name} is signed, but lacks valid attestations of type {missing}"
        message += f": {said}." if said else "."
        hint = "Attest it (cosign attest --type …) with the same signer."
    if counted.types_not_asked_for:
        kinds = list(counted.types_not_asked_for)[:MAX_DESCRIBED]
        hint = (
            "If a signer's attestation is enough, name its type in the policy: "
            f"predicate_types: [{kinds[0][:200]}], or as a 'type' of 'attestations'."
        )
    if exceeded:
        message = " ".join([message, *(each for each in exceeded if each.rstrip(".") not in message)])
        hint += " Remove from the repository what others attached to this digest."
    return VerificationFailed(message, hint, {"verification": failure_details(COSIGN, refusals)})


def _describe(digest: str, refusals: Sequence[Refusal]) -> str:
    """Return what was found in each place, those of a place that were refused for one reason together."""
    groups: dict[str, dict[tuple[str, str, str], int]] = {}
    for each in refusals:
        group = groups.setdefault(_place(digest, each.format), {})
        reason = (each.format, each.code, each.message.rstrip("."))
        group[reason] = group.get(reason, 0) + 1
    room = MAX_DESCRIBED
    places, left_out = [], 0
    for place, reasons in groups.items():
        shown = list(reasons.items())[:room]
        room -= len(shown)
        left_out += sum(list(reasons.values())[len(shown) :])
        if shown:
            places.append(f"{place} {', '.join(_group(*reason, count) for reason, count in shown)}")
    return "; ".join([*places, *([f"and {left_out} more"] if left_out else [])])


def _group(form: str, code: str, message: str, count: int) -> str:
    noun = _NOUNS.get(form)
    counted = f"{count} {noun}{'s' if count > 1 else ''} " if noun else ""
    return f"{counted}({code}: {message})"


def _place(digest: str, form: str) -> str:
    if form == LEGACY:
        return f"under the tag {_tag(digest, SIGNATURE_SUFFIX)}"
    if form == ATTESTATION:
        return f"under the tag {_tag(digest, ATTESTATION_SUFFIX)}"
    return "among the referrers"


def _tag(digest: str, suffix: str) -> str:
    algorithm, _colon, encoded = digest.partition(":")
    return f"{algorithm}-{encoded[:_DIGITS]}….{suffix.lstrip('.')}"

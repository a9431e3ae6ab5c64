# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy for signatures as options that mean the same on another machine: with the content of the files it names."""

from __future__ import annotations

from typing import Any

from ..._files.bounded import MAX_CERTIFICATES, MAX_POLICY_FILE, FileRefused, is_pem, read_file
from ..._trust.key_uris import content_of_uri, is_uri
from ..._trust.policy import AttestationRule, VerifyPolicy


def portable(policy: VerifyPolicy) -> dict[str, Any] | None:
    """Return the options of a policy, as ``verify`` takes them; None where another machine could not use them.

    That is a policy of keyless signatures without a trusted root, which would have to be fetched there, and one that
    names what cannot be read.
    """
    if (policy.identities or policy.any_identity) and not policy.trusted_root and not policy.ca_roots:
        return None
    try:
        options: dict[str, Any] = {
            "provider": policy.provider,
            "public_keys": [_content(each, MAX_CERTIFICATES) for each in policy.public_keys],
            "identities": [each.__dict__ for each in policy.identities],
            "any_identity": policy.any_identity,
            "trusted_root": _content(policy.trusted_root, MAX_POLICY_FILE) if policy.trusted_root else "",
            "ca_roots": [_content(each, MAX_CERTIFICATES) for each in policy.ca_roots],
            "min_signers": policy.min_signers,
            "max_signatures": policy.max_signatures or None,
            "max_attestation_size": str(policy.max_attestation_size) if policy.max_attestation_size else None,
            "annotations": dict(policy.annotations) or None,
            "predicate_types": list(policy.predicate_types) or None,
            "curve_hash": policy.curve_hash,
            "attestations": [_attestation(each) for each in policy.attestations],
            "trust_policy": policy.trust_policy,
            "trust_store": {
                name: [_content(each, MAX_CERTIFICATES) for each in found]
                for name, found in (policy.trust_store or {}).items()
            },
        }
    except FileRefused:
        return None
    return {name: value for name, value in options.items() if value}


def _attestation(rule: AttestationRule) -> dict[str, Any]:
    match = {each.path: {"pattern": each.value} if each.is_pattern else each.value for each in rule.match}
    return {"type": rule.type, "min_signers": rule.min_signers, "match": match, "predicate": rule.predicate}


def _content(path_or_text: str, limit: int) -> str:
    if is_pem(path_or_text) or path_or_text.lstrip().startswith("{"):
        return path_or_text
    if is_uri(path_or_text):
        content = content_of_uri(path_or_text)
        if not content:
            raise FileRefused("is not at hand")
        return content
    return read_file(path_or_text, limit).decode("utf-8", "surrogateescape")

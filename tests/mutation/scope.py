# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which code is mutated, and which unit tests answer for it.

The code is what decides: what a pull accepts, whom it trusts, which credential goes to whom, what is written where.
The tests that are likely to notice come first; each run ends with the first failure.
"""

from __future__ import annotations

_PULL = (
    "_ops/pull/test_decisions.py",
    "_ops/pull/test_change.py",
    "_ops/pull/test_acceptance.py",
    "_ops/pull/test_verified.py",
    "_ops/pull/test_layers.py",
    "_ops/pull/test_placement.py",
    "_ops/pull/test_digests.py",
    "_ops/pull/test_many.py",
    "_ops/pull/test_degraded.py",
    "_ops/pull/test_two_users.py",
)
_KEYLESS = (
    "_trust/test_keyless.py",
    "_trust/test_keyless_sigstore.py",
    "_trust/test_signing_time.py",
    "_trust/test_own_pki.py",
    "_trust/test_conformance.py",
)
_BOUNDS = ("_trust/test_signer_count.py", "_trust/test_budget.py")
_ATTESTATIONS = ("_trust/test_attestations.py", "_trust/test_keyless_attestations.py")
_COSIGN = ("_trust/test_cosign_keyed.py", "_trust/test_cosign_policy.py", *_ATTESTATIONS, *_BOUNDS, *_KEYLESS)
_NOTATION = ("_trust/test_notation.py", "_trust/test_notation_envelope.py", "_trust/test_notation_time.py")
_PLACED = (
    "_dest/test_state.py",
    "_dest/test_permissions.py",
    "_dest/test_destination.py",
    "_dest/test_workplace.py",
    "_dest/test_drift.py",
    "_dest/test_plan.py",
    "_dest/test_apply.py",
    "_ops/pull/test_change.py",
    "_ops/pull/test_decisions.py",
    "_ops/pull/test_digests.py",
    "_ops/pull/test_two_users.py",
    "_dest/test_plan_properties.py",
)

SCOPE: dict[str, tuple[str, ...]] = {
    # what a pull accepts
    "_ops/pull/decide.py": _PULL,
    "_ops/pull/context.py": _PULL,
    "_ops/pull/change.py": _PULL,
    "_ops/pull/repair.py": _PULL,
    "_ops/pull/keep.py": ("_ops/pull/test_degraded.py",),
    "_ops/pull/last_good.py": ("_ops/pull/test_degraded.py",),
    "_ops/verdicts.py": ("_ops/test_verdicts.py", "_ops/pull/test_verified.py", "_trust/test_key_uris.py"),
    "_ops/verify.py": ("_ops/test_verify.py", "_ops/pull/test_many.py"),
    "_ops/pull/places.py": ("_ops/pull/test_places.py", "_ops/pull/test_many.py"),
    "_ops/placement.py": ("_ops/pull/test_placement.py",),
    "_ops/moved_tag.py": ("_ops/test_moved_tag.py",),
    "_ops/layer_selector.py": ("_ops/pull/test_layers.py", "_ops/pull/test_decisions.py"),
    "_cache/notes.py": ("_cache/test_notes.py", "_ops/test_verdicts.py", "_layout/test_two_users.py"),
    # whom it trusts
    "_trust/policy.py": ("_trust/test_policy.py", *_ATTESTATIONS[:1], *_BOUNDS),
    "_trust/verifier.py": (
        "_ops/test_verify.py",
        "_ops/test_verdicts.py",
        "_ops/pull/test_verified.py",
        *_BOUNDS,
        *_NOTATION[:1],
    ),
    "_trust/cosign.py": _COSIGN,
    "_trust/attestations.py": (*_ATTESTATIONS, *_COSIGN[:2], *_BOUNDS[:1]),
    "_trust/predicate.py": _ATTESTATIONS[:1],
    "_trust/predicate_path.py": _ATTESTATIONS[:1],
    "_trust/provider_notation.py": (
        *_NOTATION,
        *_BOUNDS[1:],
        "_ops/test_verify.py",
        "_ops/pull/test_verified.py",
        "_ops/pull/test_many.py",
    ),
    "_trust/discovery.py": ("_trust/test_discovery.py", *_COSIGN, *_NOTATION[:1]),
    "_trust/identity.py": ("_trust/test_identity.py", "_trust/test_keyless.py", *_BOUNDS[:1]),
    "_trust/key_uris.py": ("_trust/test_key_uris.py",),
    "_trust/keys.py": ("_trust/test_keys.py", "_trust/test_key_uris.py", *_COSIGN[:1]),
    "_trust/keyless.py": (*_KEYLESS, *_ATTESTATIONS[1:], *_BOUNDS[:1]),
    "_trust/notation_time.py": _NOTATION[::-1],
    "_trust/notation.py": (*_NOTATION, *_BOUNDS[1:], "_ops/test_verify.py"),
    "_trust/notation_policy.py": ("_trust/test_notation_policy.py", *_NOTATION[:1]),
    "_trust/notation_chain.py": ("_trust/test_notation_policy.py", *_NOTATION),
    "_trust/issuance.py": ("_trust/test_issuance.py", "_trust/test_certificates.py"),
    "_trust/certificates.py": ("_trust/test_certificates.py", *_KEYLESS),
    "_trust/transparency_log.py": ("_trust/test_transparency_log.py", *_ATTESTATIONS[1:], *_KEYLESS),
    "_trust/sigstore_extra.py": ("_trust/test_keyless_sigstore.py",),
    "_trust/signing_time.py": ("_trust/test_signing_time.py", *_KEYLESS[:2], "_trust/test_own_pki.py"),
    "_trust/own_pki.py": ("_trust/test_own_pki.py",),
    "_trust/timestamp.py": ("_trust/test_timestamp.py", "_trust/test_signing_time.py", *_NOTATION[2:]),
    "_trust/der.py": ("_trust/test_timestamp.py",),
    "_trust/trusted_root.py": ("_trust/test_trusted_root.py", *_KEYLESS),
    "_kube/verification_secrets.py": ("_kube/test_verification_secrets.py",),
    "_layout/unlisted.py": ("_layout/test_unlisted.py",),
    "_trust/counting.py": _BOUNDS[:1],
    "_trust/budget.py": _BOUNDS[1:],
    "_trust/verdict.py": (*_ATTESTATIONS[:1], *_BOUNDS[:1], *_COSIGN[:2], "_ops/test_verdicts.py"),
    # which credential goes to whom
    "_login/find.py": ("_login/test_find.py", "_login/test_docker_config.py"),
    "_login/credential.py": ("_login/test_credential.py", "_login/test_find.py", "_login/test_docker_config.py"),
    "_login/docker_config.py": (
        "_login/test_docker_config.py",
        "_login/test_find.py",
        "_login/test_helper.py",
    ),
    "_registry/auth.py": ("_registry/test_credential_sent.py", "_registry/test_auth.py"),
    # what is written where
    "_dest/plan.py": _PLACED,
    "_dest/apply.py": ("_dest/test_in_place.py", *_PLACED),
    "_dest/in_place.py": ("_dest/test_in_place.py",),
    "_dest/drift.py": _PLACED,
    "_dest/permissions.py": ("_dest/test_permissions.py", *_PLACED),
    "_dest/state.py": _PLACED,
    "_dest/confirmation.py": ("_dest/test_confirmation.py", "_ops/pull/test_degraded.py"),
    "_dest/destination.py": _PLACED,
    "_dest/workplace.py": _PLACED,
    "_files/trusted_path.py": ("_files/test_trusted_path.py",),
    "_files/users.py": ("_files/test_trusted_path.py",),
    "_files/user_namespace.py": ("_files/test_trusted_path.py",),
    "_files/directory_writers.py": ("_files/test_trusted_path.py",),
    "_files/foreign_path.py": ("_files/test_trusted_path.py", "_login/test_config_file.py"),
}

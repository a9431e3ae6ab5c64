# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of sigstore-conformance, made anew for what registries hold."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keyless import KeylessVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keys import load_public_keys
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import Identity, VerifyPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from .conformance_cases import LEFT_OUT, Case, Conformance
from .mini_sigstore import DIGEST

CASES = Conformance().cases()
WANTED = Identity("^https://issuer\\.example\\.com$", "^release@example\\.com$")


def judge(case: Case) -> str:
    """Why a bundle is refused; empty when it is accepted."""
    raw = case.bundle if isinstance(case.bundle, bytes) else json.dumps(case.bundle).encode("utf-8")
    try:
        bundle = formats.parse_bundle(raw)
        if case.key is None:
            KeylessVerifier(VerifyPolicy(identities=(WANTED,), trusted_root=json.dumps(case.root))).verify_bundle(
                bundle, DIGEST
            )
        else:
            pem = case.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
            (key,) = load_public_keys([pem])
            assert bundle.envelope is not None
            if not key.verifies(bundle.envelope.signature, bundle.envelope.signed):
                return "bad-signature"
            formats.check_statement(bundle.envelope, DIGEST)
    except (Rejected, InvalidPolicy) as exc:
        return exc.message
    return ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_of_sigstore_conformance(case: Case) -> None:
    reason = judge(case)

    assert (reason == "") is case.is_good, reason


def test_each_case_is_there_once() -> None:
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names) >= 70
    assert not set(names) & set(LEFT_OUT)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that are known to the process."""

from __future__ import annotations

import uuid

from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets.known import note, noted, without_secrets


def test_a_secret_that_turns_out_to_be_opaque() -> None:
    """A password that comes again as a token: from then on its parts are hidden, too, and stay so."""
    secret = uuid.uuid4().hex[:20]
    note(secret)
    assert secret[:10] in without_secrets(f"got {secret[:10]}")
    note(secret, opaque=True)
    assert secret[:10] not in without_secrets(f"got {secret[:10]}")
    note(secret)
    assert noted()[secret] is True

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a credential holds is hidden from the moment on in which there is one."""

from __future__ import annotations

import uuid

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets.known import (
    MACHINE_MADE,
    noted,
    without_secrets,
)


def secret(length: int) -> str:
    """One that no other test has."""
    return (uuid.uuid4().hex * 2)[:length]


@pytest.mark.parametrize(
    ("name", "length", "is_opaque"),
    [
        ("password", MACHINE_MADE - 1, False),
        ("password", MACHINE_MADE, True),
        ("identity_token", 20, True),
        ("registry_token", 20, True),
    ],
)
def test_its_secrets_are_hidden(name: str, length: int, is_opaque: bool) -> None:
    """``is_opaque`` says that a program made it: then a half of it is hidden, too."""
    text = secret(length)
    credential = Credential("user", **{name: text})
    assert noted()[text] is is_opaque and text not in without_secrets(f"got {text}, refused")
    assert (text[: length // 2] in without_secrets(f"got {text[: length // 2]}")) is not is_opaque
    if name == "password":
        assert noted()[credential.basic] is True
        assert credential.basic not in without_secrets(f"Authorization: Basic {credential.basic}")

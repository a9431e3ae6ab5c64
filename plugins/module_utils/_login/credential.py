# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials for a registry or its token server."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import Callable

from .._secrets.known import MACHINE_MADE, note


@dataclass(frozen=True)
class Credential:
    """A user name with a password, an identity (refresh) token, or a registry (bearer) token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    # from this time (time.monotonic) on, ``renew`` returns the credential to use instead
    valid_until: float = field(default=math.inf, compare=False)
    renew: Callable[[], Credential] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Register the secrets, and the header that carries them, to be hidden in everything that is shown."""
        note(self.password, opaque=len(self.password) >= MACHINE_MADE)
        for token in (self.identity_token, self.registry_token, self.basic):
            note(token, opaque=True)

    @property
    def basic(self) -> str:
        """Return the value after ``Basic `` in an Authorization header, empty when there is no password."""
        if not self.password:
            return ""
        text = f"{self.username}:{self.password}"
        return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")

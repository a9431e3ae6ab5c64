# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets that this process has come to know: credentials that it found, tokens that it was given.

What a registry answers is shown in messages and results, and a registry may repeat what it was sent. Whoever makes a
credential or reads a token notes it here; what shows foreign words hides what was noted. One process runs one task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .masking import Mask

# characters; a shorter secret may be a word, and is hidden in messages only
MIN_LENGTH = 8
# nobody types a password of so many characters: it is a token of a cloud or a forge
MACHINE_MADE = 32

# secret -> whether it is opaque: made by a program, so that no part of it can be a word of a sentence
_noted: dict[str, bool] = {}
# the mask for so many secrets, of which so many are opaque
_mask: tuple[int, int, Mask] | None = None


def note(secret: str, *, opaque: bool = False) -> None:
    """Hide a secret from now on."""
    if secret:
        _noted[secret] = opaque or _noted.get(secret, False)


def noted() -> dict[str, bool]:
    """All of them, each with whether it is opaque."""
    return dict(_noted)


def shortened(text: str, limit: int) -> str:
    """A foreign text of at most ``limit`` characters.

    What is cut off may leave a part of a secret, which nobody would know for one: secrets are hidden before.
    """
    return text if len(text) <= limit else without_secrets(text)[:limit]


def without_secrets(text: str) -> str:
    """A foreign text with a mark in place of each secret; for those of fewer than eight characters, see
    :class:`~._ansible.concealing.ConcealingModule`.
    """
    global _mask
    known = {secret: opaque for secret, opaque in _noted.items() if len(secret) >= MIN_LENGTH}
    if not known or not text:
        return text
    opaque_ones = sum(known.values())
    if _mask is None or _mask[:2] != (len(known), opaque_ones):
        from .masking import Mask

        mask = Mask()
        for secret, opaque in known.items():
            mask.add(secret, opaque=opaque)
        _mask = (len(known), opaque_ones, mask)
    return _mask[2].text(text)


def without_secrets_in(texts: Mapping[str, str]) -> dict[str, str]:
    """Foreign texts under foreign names, such as annotations, before they are kept."""
    return {without_secrets(name): without_secrets(text) for name, text in texts.items()}

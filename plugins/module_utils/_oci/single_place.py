# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Base class of repositories that have a single source, without mirrors."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .manifest import Descriptor
    from .repository import UnhashedBlob


class SinglePlace:
    """Implements the parts of :class:`~._oci.repository.WritableRepository` that a repository without mirrors, or one
    that is no registry, has no use for."""

    has_alternatives = False

    @property
    def served_by(self) -> list[str]:
        return []

    @property
    def warnings(self) -> list[str]:
        return []

    def distrust(self, descriptor: Descriptor) -> bool:
        return False

    def push_unhashed(self, blob: UnhashedBlob) -> bool:
        return False

    def batch(self) -> AbstractContextManager[object]:
        return nullcontext()

    def check_attachable(self, subject: str) -> None:
        """Referrers are found in a layout; a registry says whether they are there."""

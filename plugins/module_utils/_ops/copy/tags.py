# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of tags of a repository, which all artifacts that are copied from there or to there share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..._oci.preliminary import answer_or_none

if TYPE_CHECKING:
    from ..._oci.repository import Repository


class Tags:
    """The tags of a repository, listed once. Thread-safe."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lock = threading.Lock()
        self._found: frozenset[str] | None = None
        self._is_refused = False

    def all(self) -> frozenset[str]:
        """:raises OciError: when they cannot be listed."""
        with self._lock:
            return self._list()

    def known(self) -> frozenset[str] | None:
        """All tags; None where the account may not list them, or there is no such repository."""
        with self._lock:
            if self._is_refused:
                return None
            found = answer_or_none(self._list)
            self._is_refused = found is None
            return found

    def _list(self) -> frozenset[str]:
        if self._found is None:
            self._found = frozenset(self._repository.list_tags())
        return self._found

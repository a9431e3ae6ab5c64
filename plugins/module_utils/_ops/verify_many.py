# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify several artifacts in one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from .._oci.options import CacheOptions
from .many import Item, check_parallel, numbered, run_items
from .task import Task
from .verify import VERIFICATION_IGNORED, VERIFIED, Verification, VerifyOptions

__all__ = ["check_parallel", "verify_many"]


def verify_many(
    items: Sequence[tuple[VerifyOptions, Mapping[str, Any]]], cache: CacheOptions, parallel: int
) -> dict[str, Any]:
    """Verify several artifacts, each with what names it in the result; return what the module returns.

    :raises OciError: when the options of one cannot be used, before anything is asked.
    :raises ItemsFailed: when some failed, after all were tried.
    """
    with Task(cache) as task:
        work = []
        for number, (options, label) in enumerate(items, 1):
            one = numbered(number, partial(Verification, options, task))
            task.expect(one.target, options.auth, options.connection)
            work.append(Item(label, one.run))
        return run_items(work, parallel, (VERIFICATION_IGNORED, VERIFIED))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process of Helm may take."""

from __future__ import annotations

import resource

from .._files.parent_death import die_with_parent

# bytes that a chart may render to, bytes of memory and seconds of the processor that this may take
MAX_RENDERED = 8 * 1024 * 1024
RENDER_MEMORY = 4 * 1024 * 1024 * 1024
RENDER_SECONDS = 120


def be_limited() -> None:
    """Bound what Helm may take to render a chart, which may be made to take everything."""
    die_with_parent()
    for kind, most in (
        (resource.RLIMIT_FSIZE, MAX_RENDERED + 1),
        (resource.RLIMIT_DATA, RENDER_MEMORY),
        (resource.RLIMIT_CPU, RENDER_SECONDS),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))

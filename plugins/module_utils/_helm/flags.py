# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release says on how Helm deploys and removes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .post_renderer import PostRenderer


@dataclass(frozen=True)
class DeployFlags:
    """Options for installing, upgrading and rolling back. ``timeout`` (seconds) bounds each of Helm's waits.

    ``wait_strategy`` is how Helm 4 waits, empty for its own choice; ``recreate`` is for rollbacks.
    """

    wait: bool = True
    wait_for_jobs: bool = True
    wait_strategy: str = ""
    timeout: float = 300.0
    history_max: int = 10
    disable_hooks: bool = False
    disable_openapi_validation: bool = False
    skip_schema_validation: bool = False
    take_ownership: bool = False
    force: bool = False
    force_conflicts: bool = False
    server_side: str = ""
    cleanup_on_fail: bool = False
    recreate: bool = False
    post_renderer: PostRenderer | None = None
    # what changes the rendered manifests behind the post-renderer, and whether hooks have to be among them
    render: Callable[[bytes], bytes] | None = field(default=None, repr=False)
    render_hooks: bool = False


@dataclass(frozen=True)
class UninstallFlags:
    """Options for uninstalling; ``propagation`` is how objects are deleted, empty for Helm's own choice."""

    timeout: float = 300.0
    wait: bool = True
    wait_strategy: str = ""
    keep_history: bool = False
    disable_hooks: bool = False
    propagation: str = ""

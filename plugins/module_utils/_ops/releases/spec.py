# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wanted releases and their charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._helm.decision import DesiredState
from ..._helm.flags import DeployFlags, UninstallFlags
from ..._helm.release import TEST_FAILED, TEST_PASSED, Fingerprint
from ..._oci.digest import digest_of
from .references import (
    FileName,
    ValuesReference,
)

if TYPE_CHECKING:
    from ..._helm.values import SetValue
    from ..._manifests.ignored_fields import DriftRule
    from ..._manifests.post_rendering import PostRendering
    from ..._policy.window import Schedule


@dataclass(frozen=True, order=True)
class ReleaseKey:
    """The namespace and name of a release."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class FetchedChart:
    """A fetched chart: its file, the digest of its bytes, and its origin.

    ``digest`` is the manifest's and ``layer`` the archive's; ``revision`` is ``tag@digest``, or the digest alone.
    """

    path: str
    layer: str
    digest: str
    revision: str
    url: str
    name: str = ""
    version: str = ""
    app_version: str = ""

    @property
    def origin(self) -> str:
        return f"{self.url} {self.revision}"


@dataclass(frozen=True)
class Remedy:
    """The remedy of a failed attempt, and the number of further attempts."""

    action: str
    retries: int = 0


@dataclass(frozen=True)
class ReleaseTests:
    """The options of the chart's tests."""

    enable: bool = False
    timeout: float = 300.0
    ignore_failures: bool = False
    filters: Sequence[str] = ()

    @property
    def accepted(self) -> tuple[str, ...]:
        """The test outcomes that are accepted; empty when tests are not required."""
        if not self.enable:
            return ()
        return (TEST_PASSED, TEST_FAILED) if self.ignore_failures else (TEST_PASSED,)


@dataclass(frozen=True)
class ReleaseSpec:
    """One wanted release. Values are not shown in messages, and not part of its ``repr``.

    ``key`` has the namespace of its record, and ``target`` is the namespace of its objects. ``namespace`` is the one
    that other releases name it by, with its service account and the objects that it refers to. The last two are by
    default that of the record. All requests for it are made as ``user``; empty for the account of the connection.
    """

    key: ReleaseKey
    namespace: str = ""
    target: str = ""
    user: str = ""
    present: bool = True
    suspend: bool = False
    source: str = ""
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    values_files: Sequence[FileName] = ()
    chart_values_files: Sequence[FileName] = ()
    values_from: Sequence[ValuesReference] = ()
    set_values: Sequence[SetValue] = field(default=(), repr=False)
    preserve_values: bool = False
    depends_on: Sequence[ReleaseKey] = ()
    ready_when: Mapping[ReleaseKey, str] = field(default_factory=dict)
    labels: Mapping[str, str | None] = field(default_factory=dict)
    create_namespace: bool = False
    crds: str = "Create"
    rendering: PostRendering | None = None
    flags: DeployFlags = field(default_factory=DeployFlags)
    install_remedy: Remedy = field(default_factory=lambda: Remedy("none"))
    upgrade_remedy: Remedy = field(default_factory=lambda: Remedy("rollback"))
    remediate_last_failure: bool = True
    test: ReleaseTests = field(default_factory=ReleaseTests)
    pending: str = "unlock"
    drift: str = "ignore"
    drift_ignore: Sequence[DriftRule] = ()
    rollback_to: str = ""
    rollback_flags: DeployFlags = field(default_factory=DeployFlags)
    uninstall_flags: UninstallFlags = field(default_factory=UninstallFlags)
    window: Schedule | None = None

    def __post_init__(self) -> None:
        for name in ("namespace", "target"):
            object.__setattr__(self, name, getattr(self, name) or self.key.namespace)

    @property
    def rendering_digest(self) -> str:
        """A digest of what changes the rendered manifests: the post-renderer with its arguments, patches, images and
        common metadata; empty without any."""
        renderer = self.flags.post_renderer
        words = [renderer.command, *renderer.arguments] if renderer is not None else []
        if self.rendering is not None:
            words += ["", self.rendering.digest()]
        return digest_of("\0".join(words).encode("utf-8", "surrogateescape")) if words else ""

    def fingerprint(self, chart_digest: str, values_digest: str) -> Fingerprint:
        """Return what a revision is made of for a chart and values with these digests."""
        target = self.target if self.target != self.key.namespace else ""
        return Fingerprint(chart_digest, values_digest, self.rendering_digest, target)

    def desired_state(self, chart_digest: str, values_digest: str) -> DesiredState:
        """Return the desired state of the release for a chart and values with these digests."""
        return DesiredState(
            present=self.present,
            fingerprint=self.fingerprint(chart_digest, values_digest),
            labels=self.labels,
            tests=self.test.accepted,
            suspended=self.suspend,
            rollback_to=self.rollback_to,
            keep_history=self.uninstall_flags.keep_history,
        )

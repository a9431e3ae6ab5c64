# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of one release, which the steps of a deployment fill in one after another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._errors import InvalidOption, OciError
from ..._helm import decision as decisions
from ..._helm.decision import Decision
from ..._helm.release import Revision
from ..._helm.values import values_digest
from .artifacts import FetchedFiles
from .spec import FetchedChart, ReleaseKey, ReleaseSpec

# A kind with its apiVersion, or a namespace without one.
Thing = tuple[str, str]


@dataclass(frozen=True)
class Unmet:
    """Something that a release needs and the cluster lacks; ``error`` is how the release fails without it."""

    thing: Thing
    error: OciError

    def __str__(self) -> str:
        version, name = self.thing
        return f"the kind {name} of {version}" if version else f"the namespace {name}"


# CustomResourceDefinitions that are named in a message.
MAX_NAMED = 10


@dataclass
class ReleasePlan:
    """The wanted and the current state of a release, the ``decision`` about it, and the outcome.

    ``crds`` has the names of those that were created or replaced, ``left_behind`` objects of failed revisions.
    ``last`` is its latest revision in the cluster, ``values`` are those that Helm gets, as JSON; with
    ``preserve_values`` they are from ``given`` and from the revision ``preserved``. ``cause`` is the reason of
    the decision, ``reason`` that of the outcome. ``pending`` says what waits for the time at which changes are made.
    ``unmet`` is what the cluster lacks for it, in check mode; with ``is_unseen``, nothing of it can be seen yet.
    """

    spec: ReleaseSpec
    chart: FetchedChart | None = None
    last: Revision | None = None
    values: bytes = field(default=b"", repr=False)
    given: bytes = field(default=b"", repr=False)
    values_digest: str = ""
    preserved: Revision | None = None
    artifacts: Mapping[str, FetchedFiles] = field(default_factory=dict)
    decision: Decision = field(default_factory=lambda: Decision(decisions.NONE, ""))
    failure: OciError | None = None
    changed: bool = False
    reason: str = ""
    cause: str = ""
    remediation: str = ""
    attempts: int = 0
    test: str = ""
    drift: list[dict[str, Any]] = field(default_factory=list)
    crds: dict[str, str] = field(default_factory=dict)
    left_behind: list[dict[str, Any]] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pending: dict[str, str] = field(default_factory=dict)
    unmet: list[Unmet] = field(default_factory=list)
    is_unseen: bool = False
    # what check mode has rendered, the commands of Helm, and what of all is shown
    rendered: Mapping[str, Any] = field(default_factory=dict, repr=False)
    commands: list[str] = field(default_factory=list, repr=False)
    shown: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> ReleaseKey:
        return self.spec.key

    @property
    def wanted_chart(self) -> FetchedChart:
        """The chart of a release that is to be deployed.

        :raises InvalidOption: when the release has none.
        """
        if self.chart is None:
            raise InvalidOption(f"The release {self.key} has no chart.")
        return self.chart

    @property
    def has_work(self) -> bool:
        """Return True when there is work besides drift detection."""
        return self.decision.action != decisions.NONE

    @property
    def may_have_drifted(self) -> bool:
        """Return True when the release is up to date, and its objects are to be compared with its manifest."""
        return self.decision.reason == decisions.UP_TO_DATE and self.spec.drift != "ignore"

    def set_values(self, values: bytes) -> None:
        """Set the values, and their digest with that of the artifacts they are from."""
        self.values = values
        self.values_digest = values_digest(values, [each.digest for each in self.artifacts.values()])

    def wait(self, why: str) -> None:
        """Leave the release as it is, whatever it needs: that is not to be done now."""
        self.pending = {"action": self.decision.action, "why": why}
        self.decision = Decision(decisions.NONE, decisions.NEW_REVISION_PENDING)

    def check_window(self) -> None:
        """Check that the release may be changed now, when it has work.

        :raises OutsideWindow: when its window is closed; what waits for it is no failure, see :meth:`end_with`.
        """
        if self.spec.window is not None and self.has_work:
            self.spec.window.check(time.time(), f"The release {self.key} is not changed")

    def end_with(self, error: OciError) -> None:
        """Record what ended the work on the release: a failure, or that it is not the time for changes."""
        if error.reason == decisions.NEW_REVISION_PENDING:
            self.wait(error.message)
        else:
            self.fail(error)

    def fail(self, error: OciError) -> None:
        """Record that the work on the release failed."""
        self.failure, self.reason = error, error.reason

    def changed_before(self) -> str:
        """Return what was changed before Helm failed without a change of its own."""
        crds = self.crds
        if crds:
            names = ", ".join(f"{name} ({change})" for name, change in list(crds.items())[:MAX_NAMED])
            more = f" and {len(crds) - MAX_NAMED} more" if len(crds) > MAX_NAMED else ""
            return f"Of its chart, only CustomResourceDefinitions were changed: {names}{more}."
        return "" if self.changed else "Nothing was changed."

    def as_result(self) -> dict[str, Any]:
        """Return the entry of the module's ``releases``."""
        chart = self.chart
        result: dict[str, Any] = {
            "name": self.key.name,
            "namespace": self.spec.namespace,
            "action": self.decision.action,
            "changed": self.changed,
            "failed": self.failure is not None,
            "reason": self.reason or self.decision.reason,
            "cause": self.cause,
            "status": self.last.status if self.last else "",
            "revision": self.last.number if self.last else 0,
            "values_digest": self.values_digest,
            "attempts": self.attempts,
        }
        if chart is not None:
            result["chart"] = {
                "name": chart.name,
                "version": chart.version,
                "app_version": chart.app_version,
                "digest": chart.digest,
                "revision": chart.revision,
                "url": chart.url,
            }
        if self.artifacts:
            result["values_artifacts"] = {
                name: {"url": each.url, "revision": each.revision, "digest": each.digest}
                for name, each in self.artifacts.items()
            }
        if not self.spec.key.namespace == self.spec.target == self.spec.namespace:
            result.update(storage_namespace=self.spec.key.namespace, target_namespace=self.spec.target)
        for name in ("test", "remediation", "drift", "left_behind", "pending"):
            if getattr(self, name):
                result[name] = getattr(self, name)
        if self.crds:
            result["crds"] = [{"name": name, "change": change} for name, change in self.crds.items()]
        result.update(self.shown)
        if self.failure is not None:
            result.update(msg=str(self.failure), retryable=self.failure.retryable)
        return result

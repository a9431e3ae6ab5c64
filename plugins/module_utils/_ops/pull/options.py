# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull is told, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._dest.permissions import Permissions
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..layer_selector import LayerSelector, Limits
from ..resolve import ReferenceOptions

if TYPE_CHECKING:
    from ..._trust.policy import VerifyPolicy
    from .last_good import Degradation, LastGood

# Why a pull ended as it did: the module's "reason".
NEW_REVISION = "NewRevision"
DRIFT_CORRECTED = "DriftCorrected"
UP_TO_DATE = "ArtifactUpToDate"
SUSPENDED = "Suspended"
LAST_GOOD_KEPT = "LastGoodKept"

MAX_LISTED_PATHS = 1000
# Where the record of an artifact has what was left out of it.
LEFT_OUT = "left_out"


class PullOptions(NamedTuple):
    """Everything that a pull is told. None means that no rules (``ignore``), or no policy (``verify``), were given;
    for ``last_good``, that nothing is kept when the registry fails."""

    reference: ReferenceOptions
    dest: str
    selector: LayerSelector
    limits: Limits
    platform: str = ""
    ignore: str | None = None
    suspend: bool = False
    force: bool = False
    check_content: bool = False
    cache: CacheOptions = CacheOptions()
    verify: VerifyPolicy | None = None
    last_good: LastGood | None = None
    permissions: Permissions = Permissions()
    auth: AuthOptions = AuthOptions()
    connection: ConnectionOptions = ConnectionOptions()


@dataclass(eq=False)
class PullResult:
    """What the module returns. ``changes`` lists paths by what happened to them, at most 1,000 of each. ``degradation``
    says since when and why the registry's answer is missing, when what was there was kept without it. ``served_by``
    lists the hosts that answered."""

    changed: bool
    reason: str
    artifact: Mapping[str, Any]
    changes: dict[str, Any]
    verification: Mapping[str, Any] = field(default_factory=dict)
    diff: list[dict[str, str]] = field(default_factory=list)
    degradation: Degradation | None = None
    warnings: list[str] = field(default_factory=list)
    served_by: list[str] = field(default_factory=list)

    def as_result(self) -> dict[str, Any]:
        """The values that the module returns."""
        result = dict(vars(self))
        result["artifact"] = {name: value for name, value in self.artifact.items() if name != LEFT_OUT}
        left_out = self.artifact.get(LEFT_OUT)
        if isinstance(left_out, Mapping):
            result.update({name: left_out[name] for name in ("ignored", "ignored_count") if name in left_out})
        if not self.verification:
            del result["verification"]
        del result["degradation"]
        result["degraded"] = self.degradation is not None
        if self.degradation is not None:
            result.update(self.degradation.as_result())
        return result


def listed_changes(
    *,
    added: Sequence[str] = (),
    changed: Sequence[str] = (),
    removed: Sequence[str] = (),
    permissions: Sequence[str] = (),
    ignored: int = 0,
) -> dict[str, Any]:
    """Return ``changes`` of a result: the paths, at most 1,000 of each kind, and how many the rules left out."""
    kinds = {"added": added, "changed": changed, "removed": removed, "permissions": permissions}
    return {**{kind: list(paths[:MAX_LISTED_PATHS]) for kind, paths in kinds.items()}, "ignored": ignored}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options and the result of a pull."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._dest.permissions import Permissions
from ..._files.names import escaped
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..layer_selector import LayerSelector, Limits
from ..resolve import ReferenceOptions

if TYPE_CHECKING:
    from ..._policy.rules import Policy
    from ..._trust.policy import VerifyPolicy
    from .host_options import Health
    from .last_good import Degradation, LastGood

# Values of the module's "reason".
NEW_REVISION = "NewRevision"
DRIFT_CORRECTED = "DriftCorrected"
UP_TO_DATE = "ArtifactUpToDate"
SUSPENDED = "Suspended"
LAST_GOOD_KEPT = "LastGoodKept"
HELD_BACK = "HeldBack"
NEW_REVISION_PENDING = "NewRevisionPending"

MAX_LISTED_PATHS = 1000
# The key of excluded entries in the record of an artifact.
LEFT_OUT = "left_out"
# Values of the result that are left out when they are empty.
_OPTIONAL = ("verification", "confirmed_at", "pending")
# The key of the rule by which layers were placed, there and in the result.
PLACEMENT = "placement"


class PullOptions(NamedTuple):
    """The options of a pull. None means no rules (``ignore``, ``policy``), no signatures (``verify``), no content that
    is kept when the registry fails (``last_good``), and no change to how many revisions are kept (``keep``). With
    ``unsafe_writes`` files that are mount points are written in place. ``validate`` has the words of a command, none
    for no command. ``layout`` is empty for a ``dest`` that is the content. Within ``interval`` seconds of its last
    answer the registry is not asked. ``vouched`` is the fingerprint of policies that another machine found
    satisfied."""

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
    unsafe_writes: bool = False
    auth: AuthOptions = AuthOptions()
    connection: ConnectionOptions = ConnectionOptions()
    policy: Policy | None = None
    keep: int | None = None
    validate: Sequence[str] = ()
    health: Health | None = None
    requested_at: str = ""
    interval: float = 0.0
    layout: str = ""
    vouched: str = ""


@dataclass(eq=False)
class PullResult:
    """The module's result. ``changes`` lists paths by kind of change, at most 1,000 of each. ``degradation`` describes
    why and since when content is kept without the registry's confirmation. ``served_by`` lists the hosts that
    answered. ``observed`` has the rules that the content was placed by, ``standing`` what else the record remembers.
    ``confirmed_at`` is when the registry answered, with an ``interval``. ``pending`` is the revision that waits for the
    time at which a policy permits changes."""

    changed: bool
    reason: str
    artifact: Mapping[str, Any]
    changes: dict[str, Any]
    verification: Mapping[str, Any] = field(default_factory=dict)
    diff: list[dict[str, str]] = field(default_factory=list)
    degradation: Degradation | None = None
    warnings: list[str] = field(default_factory=list)
    served_by: list[str] = field(default_factory=list)
    observed: Mapping[str, Any] = field(default_factory=dict)
    standing: Mapping[str, Any] = field(default_factory=dict)
    confirmed_at: str = ""
    pending: Mapping[str, str] = field(default_factory=dict)

    def as_result(self) -> dict[str, Any]:
        """The result as the module returns it."""
        result = {name: value for name, value in vars(self).items() if value or name not in _OPTIONAL}
        result["artifact"] = {name: value for name, value in self.artifact.items() if name not in (LEFT_OUT, PLACEMENT)}
        if PLACEMENT in self.artifact:
            result[PLACEMENT] = self.artifact[PLACEMENT]
        left_out = self.artifact.get(LEFT_OUT)
        if isinstance(left_out, Mapping):
            result.update({name: left_out[name] for name in ("ignored", "ignored_count") if name in left_out})
        del result["degradation"], result["standing"]
        if self.standing:
            from ..._dest.history import listed

            result.update(listed(self.standing))
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
    """Return ``changes`` of a result: the paths, at most 1,000 of each kind, and the number of excluded ones."""
    kinds = {"added": added, "changed": changed, "removed": removed, "permissions": permissions}
    return {**{kind: [*map(escaped, paths[:MAX_LISTED_PATHS])] for kind, paths in kinds.items()}, "ignored": ignored}

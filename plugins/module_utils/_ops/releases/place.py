# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The namespace of a release's objects, which need not be that of its record."""

from __future__ import annotations

from ..._errors import InvalidOption
from ..._helm import decision as decisions
from ..._helm.release import UNINSTALLED
from .context import MISSING, ReleaseContext
from .plan import ReleasePlan
from .refusals import no_namespace
from .spec import ReleaseKey


def objects_namespace(context: ReleaseContext, plan: ReleasePlan) -> str:
    """Return the namespace that Helm has to be run in: where the objects are, or, before an install, will be.

    A record says where its objects are, whatever the options say: they are removed and rolled back there.

    :raises InvalidOption: when another program deployed the release to another namespace than the wanted one. It is
        not moved, since that would remove objects which the option may have been forgotten for.
    """
    spec, last = plan.spec, plan.last
    if last is None or last.status == UNINSTALLED:
        return spec.target
    found = context.target_of(last)
    if spec.present and found != spec.target and not last.is_recorded and plan.decision.action != decisions.INSTALL:
        raise InvalidOption(
            f"The release {plan.key} was deployed to the namespace {found} by another program, and is to be in "
            f"{spec.target}. Nothing was changed.",
            f"Set 'target_namespace' to {found}, or uninstall the release first.",
        )
    return found


def creates_namespace(context: ReleaseContext, plan: ReleasePlan) -> bool:
    """Return True when Helm has to create the namespace of the objects, which is not that of the record.

    :raises ObjectNotFound: when it is missing and is not to be created: Helm would find out after it has begun.
    """
    spec = plan.spec
    if spec.target == plan.key.namespace or context.look_at_namespace(plan.key, spec.target) != MISSING:
        return False
    if not spec.create_namespace:
        raise no_namespace(ReleaseKey(spec.target, plan.key.name))
    return True

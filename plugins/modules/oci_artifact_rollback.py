#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_rollback
short_description: Go back to a revision that a host has kept, and hold, release, suspend or resume its pulls
version_added: 0.1.0
description:
  - Places a revision of a directory or file again that M(cloudnative.artifacts.oci_artifact_pull) has kept on the host,
    all of it or nothing, with the modes, owners and rules that it was pulled with. Every byte is checked against its
    digest.
  - After pulls with C(layout=releases), the release is compared with its record byte for byte, and C(current) is
    switched to it.
  - No registry is asked, so it works without any network.
  - The revision that is left is held back, so that the next pull does not place it again, until another digest appears
    or it is released.
  - Suspends and resumes all pulls into a directory or file of the host, whoever runs them.
  - Run it as the user that pulls.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - With C(--diff) the kept layers are unpacked into a temporary directory and compared file by file.
  diff_mode:
    support: full
    details:
      - Text files of up to 64 KiB are shown with their content, others with size and digest.
  idempotent:
    support: full
options:
  dest:
    description:
      - The directory or file that was pulled to, as given to M(cloudnative.artifacts.oci_artifact_pull).
    type: path
    required: true
  state:
    description:
      - V(rolled_back) makes O(dest) hold the revision that O(to) names.
      - V(released) lets pulls place again what is held back, which is everything that is held back for O(dest), or what
        O(to) names. It places nothing itself.
      - V(suspended) makes every pull into O(dest) do nothing, with the reason V(Suspended), until V(resumed). A
        rollback is still done.
    type: str
    choices: [rolled_back, released, suspended, resumed]
    default: rolled_back
  to:
    description:
      - The kept revision, by its tag, digest, revision or number; RV(history) has them.
      - V(previous), the default of O(state=rolled_back), is the revision that was in place before the newest one that a
        pull has placed. It stays the same when O(dest) was rolled back already, so that a second run changes nothing.
        Revisions that are held back are passed over.
      - Write what looks like a number with a point in quotes.
      - Only with V(rolled_back) and, but for V(previous), V(released).
    type: str
  hold:
    description:
      - Hold back the revision that is left. Without it, the next pull places it again, if its reference still names it.
      - When O(dest) holds the revision already, the newest kept one is held back, if it is newer.
    type: bool
    default: true
  reason:
    description:
      - Why it is held back or suspended, for those who see it in results. At most 1,000 characters, in
        one line; a line break becomes a space.
    type: str
  who:
    description:
      - Who says so. The default is the user of the host, with the one that became it by sudo.
    type: str
seealso:
  - module: cloudnative.artifacts.oci_artifact_pull
  - module: cloudnative.artifacts.oci_artifact_info
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_rollback
    description: Revisions that a host keeps, commands that judge a revision, holding back and suspending.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
"""

EXAMPLES = r"""
- name: Pull a release, and keep three of them
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.4.2
    dest: /etc/kept
    keep: 3

- name: Try a release candidate
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.5.0-rc.1
    dest: /etc/kept
    keep: 3

- name: Go back to the release before it, without the registry, and hold the candidate back
  cloudnative.artifacts.oci_artifact_rollback:
    dest: /etc/kept
    to: previous
    reason: requests fail

- name: Let nobody pull while we look
  cloudnative.artifacts.oci_artifact_rollback:
    dest: /etc/kept
    state: suspended
    reason: the candidate is being looked at

- name: Let pulls run again
  cloudnative.artifacts.oci_artifact_rollback:
    dest: /etc/kept
    state: resumed

- name: Let pulls place again what is held back
  cloudnative.artifacts.oci_artifact_rollback:
    dest: /etc/kept
    state: released
"""

RETURN = r"""
artifact:
  description: The artifact that O(dest) holds (in check mode, would hold), as
    RV(cloudnative.artifacts.oci_artifact_pull#module:artifact).
  returned: success
  type: dict
changes:
  description: What was done to which path, as RV(cloudnative.artifacts.oci_artifact_pull#module:changes).
  returned: success, with O(state=rolled_back)
  type: dict
placement:
  description: As RV(cloudnative.artifacts.oci_artifact_pull#module:placement).
  returned: success, with O(state=rolled_back), when it is known
  type: dict
ignored:
  description: As RV(cloudnative.artifacts.oci_artifact_pull#module:ignored).
  returned: success, with O(state=rolled_back), when it is known
  type: list
  elements: str
ignored_count:
  description: How many names RV(ignored) would have without its limit.
  returned: when RV(ignored) is
  type: int
observed:
  description: As RV(cloudnative.artifacts.oci_artifact_pull#module:observed).
  returned: success, with O(state=rolled_back)
  type: dict
verification:
  description: What the signatures said when the revision was pulled.
  returned: success, with O(state=rolled_back), when it was verified
  type: dict
release:
  description: As RV(cloudnative.artifacts.oci_artifact_pull#module:release).
  returned: success, after pulls with C(layout=releases)
  type: str
history:
  description: The revisions that the host keeps, as RV(cloudnative.artifacts.oci_artifact_pull#module:history).
  returned: success
  type: list
  elements: dict
held:
  description: The digests that pulls pass over, as RV(cloudnative.artifacts.oci_artifact_pull#module:held).
  returned: success
  type: list
  elements: dict
suspended:
  description: Who has suspended pulls (C(who)), why (C(reason)) and since when (C(since)); empty when nobody has.
  returned: success
  type: dict
requested_at:
  description: As RV(cloudnative.artifacts.oci_artifact_pull#module:requested_at).
  returned: success
  type: dict
reason:
  description:
    - A stable code for what happened. On success V(RolledBack), V(Released), V(Suspended), V(Resumed), or
      V(ArtifactUpToDate) when nothing was to be done.
    - On failure among others V(RevisionNotKept), V(HeldBack) when O(to) names what is held back, and
      V(StorageOperationFailed) when nothing was pulled to O(dest).
  returned: always
  type: str
  sample: RolledBack
retryable:
  description: Whether the same task may succeed later although nobody changes anything; something was locked.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any, cast

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.run import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.options import (
    RELEASED,
    RESUMED,
    ROLLED_BACK,
    STATES,
    SUSPENDED,
    RollbackOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.rollback import rollback

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.run import TaskModule


def run(module: AnsibleModule) -> dict[str, Any]:
    params, given = module.params, cast("TaskModule", module).given_params.get("to")
    if isinstance(given, (bool, float)):
        raise InvalidOption(
            f"'to' is {str(given).lower()}, which is no text. Its digits may be others than were written: 1.10 is 1.1.",
            "Write it in quotes with all its characters.",
        )
    if params["to"] and params["state"] in (SUSPENDED, RESUMED):
        raise InvalidOption(
            f"'to' is {params['to']!r} with state: {params['state']}, which is about all pulls into 'dest'.",
            f"Leave it out, or say state: {ROLLED_BACK} or {RELEASED}.",
        )
    options = RollbackOptions(
        dest=params["dest"],
        state=params["state"],
        to=params["to"] or "",
        hold=params["hold"],
        reason=params["reason"] or "",
        who=params["who"] or "",
    )
    return rollback(options, check_mode=module.check_mode, want_diff=module._diff)


def main() -> None:
    spec = {
        "dest": {"type": "path", "required": True},
        "state": {"type": "str", "choices": list(STATES), "default": ROLLED_BACK},
        "to": {"type": "str"},
        "hold": {"type": "bool", "default": True},
        "reason": {"type": "str"},
        "who": {"type": "str"},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()

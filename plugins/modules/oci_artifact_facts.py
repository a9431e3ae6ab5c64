#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_facts
short_description: Gather what pulls have placed on a host
version_added: 0.1.0
description:
  - Returns all directories and files of a host that M(cloudnative.artifacts.oci_artifact_pull) has placed something in,
    with digest, signers, drift, what is held back, and who has suspended pulls.
  - Every pull that places something enters its destination into an index on the host, which this module reads. The
    index of root is C(/var/lib/cloudnative.artifacts/index), that of another user
    C(.local/state/cloudnative.artifacts/index) in the home directory. The environment variable E(OCI_ARTIFACT_INDEX)
    of the tasks names another directory, or none when it is empty.
  - What lies in a destination is read from its record. A destination whose record is gone is returned once more, as
    V(vanished), and leaves the index.
  - No registry is asked.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode the index stays as it is.
  diff_mode:
    support: N/A
    details:
      - Nothing but the index is changed, which is no part of the result.
  facts:
    description: Whether the module returns facts.
    support: full
  idempotent:
    support: full
options:
  dests:
    description:
      - Directories and files to look at beside those in the index. Those with a record are entered there, as is useful
        for what was moved, or mounted elsewhere.
    type: list
    elements: path
  check_content:
    description:
      - Compare files by their digests; without it, by kind, size and modification time.
    type: bool
    default: false
  all_users:
    description:
      - When root runs the module, return what all other users have pulled as well. Each index is read by a process that
        has become its user.
    type: bool
    default: true
seealso:
  - module: cloudnative.artifacts.oci_artifact_audit
  - module: cloudnative.artifacts.oci_artifact_info
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_audit
    description: What runs where, who signed it, and what is wrong with it.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
"""

EXAMPLES = r"""
- name: Gather what lies on this host
  cloudnative.artifacts.oci_artifact_facts:

- name: Say what differs from what was placed
  ansible.builtin.debug:
    msg: "{{ placed | selectattr('drift.count') | map(attribute='path') }}"
  vars:
    placed: "{{ ansible_facts.oci_artifacts | selectattr('drift', 'defined') }}"

- name: Compare every byte, also of a directory that was moved
  cloudnative.artifacts.oci_artifact_facts:
    dests: [/srv/moved]
    check_content: true
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: success
  type: dict
  contains:
    oci_artifacts:
      description: The destinations on this host, sorted by path. Those with the state V(placed) and V(interrupted) have
        all values.
      type: list
      elements: dict
      contains:
        path:
          description: The directory or file.
          type: str
          sample: /etc/app
        user:
          description: The user whose pulls have placed it.
          type: str
        state:
          description: V(placed); V(interrupted) when a run was killed, and the next one completes it; V(empty) when
            nothing is placed, but something is held back or suspended; V(unreadable); V(vanished).
          type: str
        message:
          description: Why it cannot be read.
          type: str
        asked:
          description: The options of the pull that name the artifact.
          type: dict
          sample: {"url": "oci://registry.example.com/platform/config", "semver": "1.x"}
        url:
          description: The repository or layout.
          type: str
        revision:
          description: V(tag@digest), or the digest.
          type: str
        tag:
          description: The tag, if it was pulled by one.
          type: str
        digest:
          description: The digest of the manifest or index.
          type: str
        metadata:
          description: The annotations of the manifest.
          type: dict
        placed_at:
          description: When it was placed (UTC).
          type: str
        verified:
          description: Whether its signatures satisfied a policy then.
          type: bool
        signers:
          description: Who signed it, as in RV(cloudnative.artifacts.oci_artifact_verify#module:verification); at most
            20.
          type: list
          elements: dict
        observed:
          description: As RV(cloudnative.artifacts.oci_artifact_pull#module:observed).
          type: dict
        drift:
          description: The paths whose content (C(content)), or mode or owner (C(permissions)) is not that of the
            record, at most 20 of each, and how many there are (C(count)). Modes and owners are compared where the pull
            had C(keep), which remembers them.
          type: dict
        release:
          description: As RV(cloudnative.artifacts.oci_artifact_pull#module:release).
          returned: after pulls with C(layout=releases), of which C(path) is the root
          type: str
        history:
          description: As RV(cloudnative.artifacts.oci_artifact_pull#module:history).
          type: list
          elements: dict
        held:
          description: As RV(cloudnative.artifacts.oci_artifact_pull#module:held).
          type: list
          elements: dict
        suspended:
          description: As RV(cloudnative.artifacts.oci_artifact_pull#module:suspended).
          type: dict
        requested_at:
          description: As RV(cloudnative.artifacts.oci_artifact_pull#module:requested_at).
          type: dict
reason:
  description: A stable code for the failure; V(StorageOperationFailed) when somebody else may write to the index.
  returned: failure
  type: str
  sample: StorageOperationFailed
retryable:
  description: Whether the same task may succeed later although nobody changes anything.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.run import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.facts.facts import facts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.facts.own import FactsOptions

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    options = FactsOptions(params["dests"] or (), params["check_content"], params["all_users"])
    return facts(options, check_mode=module.check_mode)


def main() -> None:
    spec = {
        "dests": {"type": "list", "elements": "path"},
        "check_content": {"type": "bool", "default": False},
        "all_users": {"type": "bool", "default": True},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()

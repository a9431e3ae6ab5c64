#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_cache
short_description: Look at the cache of OCI artifacts, and prune it by age and size
version_added: 0.1.0
description:
  - Shows what the cache holds in which other modules of this collection keep what comes from registries, and removes
    from it what is old, what is too much, or what is damaged.
  - Nothing is removed that a running task uses, and a task that starts meanwhile fetches again what it lacks. No
    registry is asked.
  - To find charts in the cache, use M(cloudnative.artifacts.oci_artifact_info) with
    O(cloudnative.artifacts.oci_artifact_info#module:from_cache).
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows a line for each artifact and each blob that belongs to none, before and after.
  idempotent:
    support: full
options:
  cache_dir:
    description:
      - The directory of the cache, on the host that runs the module. The default is the environment variable
        E(OCI_ARTIFACT_CACHE_DIR) of the module.
      - A directory that is not empty and was not made by this collection is never touched.
    type: path
  state:
    description:
      - V(present) removes what O(max_age), O(max_size) and O(check_content) say, and nothing without them.
      - V(absent) removes all that is not in use, and then the directory.
    type: str
    choices: [present, absent]
    default: present
  max_age:
    description:
      - Remove what was not used for this long, as a number of seconds or with a unit, as in V(12h), V(30d) or V(4w).
        Used means read from the cache or put into it; a pull that finds its destination unchanged needs no cache.
    type: str
  max_size:
    description:
      - Then remove what was used longest ago, until the blobs that stay have at most this many bytes, as in V(5GiB).
        V(0) removes all that is not in use.
    type: str
  check_content:
    description:
      - Compare every blob with its digest, and remove those that differ. Damaged blobs are never used in any case; this
        finds them before other tools do.
    type: bool
    default: false
seealso:
  - module: cloudnative.artifacts.oci_artifact_pull
  - module: cloudnative.artifacts.oci_artifact_info
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_cache
    description: What the cache keeps, who may share it, and how other tools read it.
"""

EXAMPLES = r"""
- name: See what the cache holds
  cloudnative.artifacts.oci_artifact_cache:
    cache_dir: /var/cache/oci-artifacts
  register: held

- name: Keep what was used in the last month, and at most 5 GiB of it
  cloudnative.artifacts.oci_artifact_cache:
    cache_dir: /var/cache/oci-artifacts
    max_age: 30d
    max_size: 5GiB

- name: Find and remove what a failing disk has damaged
  cloudnative.artifacts.oci_artifact_cache:
    cache_dir: /var/cache/oci-artifacts
    check_content: true

- name: Remove the cache
  cloudnative.artifacts.oci_artifact_cache:
    cache_dir: /var/cache/oci-artifacts
    state: absent
"""

RETURN = r"""
cache:
  description: The cache after the task (in check mode, as it would be).
  returned: success
  type: dict
  contains:
    path:
      description: The directory.
      type: str
      sample: /var/cache/oci-artifacts
    size:
      description: Bytes of all blobs.
      type: int
      sample: 73400320
    blobs:
      description: How many blobs there are.
      type: int
      sample: 214
    artifacts:
      description: How many artifacts are there as a whole.
      type: int
      sample: 61
artifacts:
  description: The artifacts that are there as a whole, the most recently used first; at most 1,000.
  returned: success
  type: list
  elements: dict
  contains:
    names:
      description: The references that led to it, with tag, or with digest where no tag did or the tag has moved on.
      type: list
      elements: str
      sample: ["contoso.azurecr.io/marketing/campaign1/chart:1.1"]
    digest:
      description: The digest of the manifest.
      type: str
    artifact_type:
      description: The artifact type of the manifest, or the media type of its config.
      type: str
      sample: application/vnd.cncf.helm.config.v1+json
    size:
      description: Bytes of the manifest and all blobs that it names; blobs may belong to several artifacts.
      type: int
    last_used:
      description: When it was last used (UTC).
      type: str
      sample: "2026-11-21T02:00:00Z"
removed:
  description: What was removed (in check mode, would be).
  returned: success
  type: dict
  contains:
    artifacts:
      description: Artifacts, as in RV(artifacts).
      type: list
      elements: dict
    blobs:
      description: How many blobs.
      type: int
    size:
      description: Their bytes.
      type: int
    damaged:
      description: The digests of blobs that had another content.
      type: list
      elements: str
    leftovers:
      description: How many files of downloads that broke off or were killed.
      type: int
in_use:
  description: How many artifacts and blobs stay although they were to be removed, because a task uses them.
  returned: success
  type: int
reason:
  description: A stable code, V(CacheShown), V(CachePruned) or V(CacheUpToDate) on success.
  returned: always
  type: str
  sample: CachePruned
retryable:
  description:
    - Whether the same task may succeed later although nobody changes anything; the registry was out of reach or in
      trouble, or something was locked, after all retries. The guide on errors says it for each reason.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    CACHE_SPEC,
    cache_options,
    run_registry_module,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.prune import PruneRules
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import parse_size
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.cache import (
    CacheManagement,
    manage_cache,
    parse_age,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    rules = PruneRules(
        max_age=None if params["max_age"] is None else parse_age(params["max_age"]),
        max_size=None if params["max_size"] is None else parse_size(params["max_size"]),
        everything=params["state"] == "absent",
        check_content=params["check_content"],
    )
    options = CacheManagement(root=cache_options(module).root, rules=rules)
    return manage_cache(options, check_mode=module.check_mode, want_diff=module._diff)


def main() -> None:
    spec = {
        **CACHE_SPEC,
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "max_age": {"type": "str"},
        "max_size": {"type": "str"},
        "check_content": {"type": "bool", "default": False},
    }
    run_registry_module(spec, run)


if __name__ == "__main__":
    main()

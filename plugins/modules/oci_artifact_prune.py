#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_prune
short_description: Find out which OCI artifacts of a repository may go, and remove them
version_added: 0.1.0
description:
  - Applies rules of retention (by range of versions, pattern, count and age) to the tags of a repository of a registry,
    or of an OCI image layout.
  - Reports by default. With O(state=absent) it removes the tags and manifests that no rule keeps.
  - What is in use (O(keep_digests), O(keep_files)), what another tag names, and what these need is never removed, as
    the platforms of an index and what is signed.
  - What goes takes its signatures, attestations, SBOMs and other referrers with it, for each platform.
  - Of the rule of O(policy) for the repository C(immutable_tags) and C(window) count. Tags that never move are kept,
    and nothing is removed outside of the window; what a rule denies may go.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - Says what would be removed, as O(state=report) does, and whether that would be a change.
  diff_mode:
    support: full
    details:
      - Shows the tags with their digests before and after.
  idempotent:
    support: full
options:
  ref:
    description:
      - The repository in its short form, as in V(registry.example.com/platform/config), or V(oci-layout:PATH).
      - One of O(ref), O(url) and O(artifacts) is required.
    type: str
  url:
    description:
      - The repository as Flux writes it, as in V(oci://registry.example.com/platform/config).
    type: str
  rules:
    description:
      - Which tags are under retention, and which of them stay. A tag that no rule covers stays, and so does one that
        any rule keeps.
      - A rule covers the tags that its O(rules[].semver), O(rules[].pattern) and O(rules[].filter_tags) select; without
        any of them all tags. Tags of signatures and referrers are never covered, they go with what they belong to.
      - A rule with neither O(rules[].count) nor O(rules[].age) keeps all that it covers.
    type: list
    elements: dict
    suboptions:
      semver:
        description:
          - A range of versions, as in V(<2.0.0) or V(1.x). Pre-releases are covered when it names one, as in
            V(<2.0.0-0). C(_) in a tag is read as C(+).
        type: str
      pattern:
        description:
          - A regular expression that a tag has to match, anywhere in it unless it is anchored.
        type: str
      filter_tags:
        description:
          - An expression with a policy, as of Flux's ImagePolicy, where the order of tags follows from a part of them;
            see the option of the same name of M(cloudnative.artifacts.oci_artifact_pull).
        type: dict
        suboptions:
          pattern:
            description:
              - A regular expression that a tag has to match.
            type: str
          extract:
            description:
              - The part of the tag to be ordered, as in V($ts), a group of O(rules[].filter_tags.pattern).
            type: str
          policy:
            description:
              - How the tags are ordered, by one of the following.
            type: dict
            suboptions:
              semver:
                description: By version.
                type: dict
                suboptions:
                  range:
                    description: The range that they have to be in.
                    type: str
                    required: true
              numerical:
                description: As numbers.
                type: dict
                suboptions:
                  order:
                    description: V(asc) if the greatest is the best, V(desc) if the smallest is.
                    type: str
                    choices: [asc, desc]
                    default: asc
              alphabetical:
                description: As text.
                type: dict
                suboptions:
                  order:
                    description: V(asc) if the last is the best, V(desc) if the first is.
                    type: str
                    choices: [asc, desc]
                    default: asc
      count:
        description:
          - Keep this many, the best first. They are ordered by version, those that are none behind by name, the last
            first; or as O(rules[].filter_tags) says.
        type: int
      age:
        description:
          - Keep those that are younger, as a number of seconds or with units, as in V(36h), V(30d) or V(12w). With
            O(rules[].count) a tag stays that either keeps.
          - The age is that of the time in the annotation C(org.opencontainers.image.created) or in the config of an
            image. Where neither says it, or says a time before 1990 as reproducible builds do, it is the time since
            this user of this host first met the digest (with this module, M(cloudnative.artifacts.oci_artifact_tag)
            or O(policy)), as recorded in E(OCI_ARTIFACT_STATE_DIR). A tag whose age is not known stays.
        type: str
  keep_digests:
    description:
      - Digests in use, as digests, revisions (C(tag@digest)) or references with a digest. Neither they nor what they
        need is removed, and their tags stay.
    type: list
    elements: str
  keep_files:
    description:
      - Files on the host that runs the module that name digests in use, anywhere in their text; as lock files, the
        output of C(helm history -o json) for releases of M(cloudnative.artifacts.helm_releases), or results that a
        playbook has saved.
      - What M(cloudnative.artifacts.oci_artifact_pull) has placed, a directory or a file, stands for the record of that
        pull.
      - A file that cannot be read, or that names no digest, is an error, before anything is asked.
    type: list
    elements: str
  keep_deployed:
    description:
      - Keep what a fleet has recorded as running less than this long ago, as in V(30d), V(4w) or V(12h), with
        O(cloudnative.artifacts.oci_artifact_audit#module:record). Fleets record it anew after a week.
      - Every record counts, whoever signed it. It takes one request for each artifact that would go.
    type: str
  state:
    description:
      - V(report) only says what would go.
      - V(absent) removes it, where the registry lets this account. Distribution has to be configured for it. Registries
        free the space when they collect garbage; in a layout, blobs that nothing else needs are removed.
    type: str
    choices: [report, absent]
    default: report
  artifacts:
    description:
      - Several repositories in this one task, in place of O(ref) or O(url).
      - Each entry is a mapping with the options of this module, without O(artifacts), O(cache_dir), O(policy),
        O(lock_file), O(lock) and O(parallel), which are for the task as a whole. It says which repository is meant;
        any other option that it leaves out is as the task says.
      - As soon as an entry has one of the options that say who logs in (O(username), O(password), O(auth_file),
        O(auth_config), O(provider), O(provider_registry)), all of them are its own.
      - All entries are checked before anything is asked. Then one that fails keeps no other from being worked on; the
        task fails in the end, and RV(results) says what became of each.
    type: list
    elements: dict
  parallel:
    description:
      - How many of O(artifacts) are worked on at the same time, from 1 to 32.
    type: int
    default: 4
seealso:
  - module: cloudnative.artifacts.oci_artifact_tag
  - module: cloudnative.artifacts.oci_artifact_cache
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_promote
    description: Retention that knows what is in use, beside the promotion of channels.
notes:
  - The plan is made from what the tags name when the task begins. They are looked at once more before the first
    removal; when one has moved, nothing is removed. What somebody tags during the removal itself is not seen, as
    registries have no lock.
  - A run that is cut short leaves artifacts in a registry without some of their signatures, or manifests without a tag.
    The former are removed by the next run, the latter by a garbage collection of the registry that takes untagged
    manifests. A layout has all or nothing removed then, and the next run frees the space.
  - Registries do not list manifests without a tag. They are not looked for.
  - O(cache_dir) is there because it is an option of the whole action group, and has no effect. What is removed is
    looked at in the repository itself.
  - Where no tag may go, the list of tags is all that is asked for; otherwise there is one request for each tag, and a
    few for each artifact that goes.
"""

EXAMPLES = r"""
- name: Publish something to keep
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/deploy"
    ref: registry.example.com/platform/config:1.4.2
  register: deployed

- name: See what would go
  cloudnative.artifacts.oci_artifact_prune:
    ref: registry.example.com/platform/config
    rules:
      - semver: ">=0.0.0-0"
        count: 10
      - pattern: ^main-
        age: 30d
  register: retention

- name: Remove it, but for what runs
  cloudnative.artifacts.oci_artifact_prune:
    ref: registry.example.com/platform/config
    state: absent
    rules:
      - semver: ">=0.0.0-0"
        count: 10
      - pattern: ^main-
        age: 30d
    keep_digests:
      - "{{ deployed.artifact.revision }}"
    keep_files:
      - "{{ playbook_dir }}/in-use.txt"

- name: Keep the last twenty builds in the order of the time in their tags
  cloudnative.artifacts.oci_artifact_prune:
    url: oci://registry.example.com/platform/config
    rules:
      - filter_tags:
          pattern: ^main-[a-f0-9]+-(?P<ts>[0-9]+)$
          extract: $ts
          policy:
            numerical:
              order: asc
        count: 20
"""

RETURN = r"""
results:
  description:
    - What became of each of O(artifacts), in their order. Each has the values that a task with one repository returns,
      and C(item), the options that name the entry.
  returned: when O(artifacts) is given and its entries can be used, also on failure
  type: list
  elements: dict
url:
  description: The repository or layout.
  returned: success, without O(artifacts)
  type: str
  sample: oci://registry.example.com/platform/config
remove:
  description: The artifacts that are removed; in check mode and with O(state=report), would be.
  returned: success, without O(artifacts)
  type: list
  elements: dict
  contains:
    digest:
      description: The artifact.
      type: str
    tags:
      description: Its tags.
      type: list
      elements: str
    attached:
      description: How many signatures, attestations and other referrers go with it.
      type: int
    manifests:
      description: All manifests that go, with those of platforms and of what is attached.
      type: list
      elements: str
untag:
  description: Tags that are removed from artifacts that another tag keeps. Each with C(tag), C(digest) and C(why).
  returned: success, without O(artifacts)
  type: list
  elements: dict
keep:
  description:
    - The tags that stay, each with C(tag), C(digest), which is empty where it was not asked for, and C(why).
    - C(why) is V(not_covered) by any rule, V(count), V(age), V(always) for a rule that keeps all, V(age_unknown),
      V(immutable) by O(policy), V(in_use), V(deployed), V(part) of an index that stays, V(referrer) of what stays,
      V(subject) of a referrer that stays, or V(shared) for a tag that the registry does not remove by itself.
  returned: success, without O(artifacts)
  type: list
  elements: dict
served_by:
  description: Always empty; mirrors are not asked.
  returned: with O(artifacts)
  type: list
  elements: str
reason:
  description:
    - A stable code, V(PruneReported), V(Pruned), or V(PruneUpToDate) when there is nothing to remove;
      V(DeletionRefused) when the registry removes no manifests, V(OutsideWindow) at a time at which O(policy) permits
      no change.
  returned: always
  type: str
  sample: PruneReported
refused_by:
  description:
    - The rule of O(policy) that refused it. C(policy) is the path of its file, empty where the task has its content;
      C(match) is that of the rule, and C(check) the key in it.
  returned: failure, when a rule is the cause
  type: dict
  sample: {"policy": "/etc/oci-policy.yml", "match": "ghcr.io/org", "check": "window"}
retryable:
  description:
    - Whether the same task may succeed later although nobody changes anything; the registry was out of reach or in
      trouble, or something was locked, after all retries. The guide on errors says it for each reason.
    - Of several repositories it is true when it is for each that failed.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.items import (
    ARTIFACTS_SPEC,
    AUTH_UNIT,
    EXCLUSIVE_RULES,
    ItemsModule,
    each_item,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    REFERENCE_SPEC,
    RULES_SPEC,
    SELECTION_SPEC,
    auth_options,
    connection_options,
    reference_options,
    rules_of,
    run_registry_module,
    without_none,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.times import age_seconds
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.prune.prune import (
    PruneOptions,
    prune,
    prune_many,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.prune.rules import parse_rule

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.rules import Policy

PLACE_SPEC: dict[str, Any] = {name: REFERENCE_SPEC[name] for name in ("ref", "url")}
# options of one repository
OWN_SPEC: dict[str, Any] = {
    **PLACE_SPEC,
    "rules": {
        "type": "list",
        "elements": "dict",
        "options": {
            "semver": SELECTION_SPEC["semver"],
            "pattern": {"type": "str"},
            "filter_tags": SELECTION_SPEC["filter_tags"],
            "count": {"type": "int"},
            "age": {"type": "str"},
        },
    },
    "keep_digests": {"type": "list", "elements": "str"},
    "keep_files": {"type": "list", "elements": "str"},
    "keep_deployed": {"type": "str"},
    "state": {"type": "str", "choices": ["report", "absent"], "default": "report"},
    **AUTH_SPEC,
    **CONNECTION_SPEC,
}


def prune_options(task: AnsibleModule, policy: Policy | None) -> PruneOptions:
    params = task.params
    return PruneOptions(
        reference=reference_options(params),
        rules=[parse_rule(number, without_none(rule)) for number, rule in enumerate(params["rules"] or (), 1)],
        keep_digests=params["keep_digests"] or (),
        keep_files=params["keep_files"] or (),
        keep_deployed=age_seconds(params["keep_deployed"]) if params["keep_deployed"] else None,
        state=params["state"],
        auth=auth_options(task),
        connection=connection_options(params),
        policy=policy,
    )


def run(module: AnsibleModule) -> dict[str, Any]:
    modes = {"check_mode": module.check_mode, "want_diff": module._diff}
    policy = rules_of(module.params["policy"])
    if module.params["artifacts"] is None:
        return prune(prune_options(module, policy), **modes)
    items = each_item(module, OWN_SPEC, [AUTH_UNIT], lambda task: prune_options(task, policy))
    return prune_many(items, module.params["parallel"], **modes)


def main() -> None:
    several = {name: ARTIFACTS_SPEC[name] for name in ("artifacts", "parallel")}
    spec = {**OWN_SPEC, **CACHE_SPEC, **RULES_SPEC, **several}
    exclusive = [*EXCLUSIVE_RULES, *(("artifacts", name) for name in PLACE_SPEC)]
    run_registry_module(spec, run, kind=ItemsModule, mutually_exclusive=exclusive)


if __name__ == "__main__":
    main()

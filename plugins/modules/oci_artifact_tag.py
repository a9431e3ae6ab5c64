#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_tag
short_description: Move tags of OCI artifacts under conditions, or remove them
version_added: 0.1.0
description:
  - Resolves a reference to one digest, and points tags of the same repository at it. So a channel moves, as in C(prod)
    to what C(stage) names; no content is sent.
  - All conditions are checked before the first tag is moved, see O(expect) and O(require). The result says what the
    tags held before.
  - A tag that is a version is never moved or removed without O(force).
  - The rule of O(policy) for the repository has to be satisfied as well, and O(force) does not change that. Its
    C(verify), C(min_age) and C(deny_digests) are for what tags are moved to, C(never_downgrade),
    C(immutable_tags), C(deny_tags) and C(window) for the tags. For a removal C(immutable_tags) and C(window) count.
  - With O(state=absent) tags are removed, and nothing else of what they name.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.reference
  - cloudnative.artifacts.selection
  - cloudnative.artifacts.artifacts
  - cloudnative.artifacts.verify.require
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
requirements:
  - cryptography >= 36 on the host that runs the module, for O(require.verify); 38 or newer for keyless signatures
attributes:
  check_mode:
    support: full
    details:
      - All conditions are checked. Neither tags nor records are written.
  diff_mode:
    support: full
    details:
      - Shows the tags with their digests before and after.
  idempotent:
    support: full
options:
  tags:
    description:
      - The tags to write, or with O(state=absent) to remove. They are written in this order.
    type: list
    elements: str
  state:
    description:
      - V(present) points O(tags) at the artifact.
      - V(absent) removes O(tags), or the tag in O(ref) or O(tag) when there are none. What they name stays, with its
        other tags. A registry that cannot remove a single tag is left as it is, and the task fails with the reason
        V(DeletionRefused).
    type: str
    choices: [present, absent]
    default: present
  expect:
    description:
      - What tags have to hold before anything is moved, each with a revision (C(tag@digest)) or a digest, or nothing
        for a tag that is not to be there. Otherwise the task fails with the reason V(TagMoved).
      - Tags that are not in O(tags) can be named as well. One of O(tags) that is already where it is to be satisfies
        it, so that a task can be repeated.
    type: dict
  force:
    description:
      - Move or remove a tag that is a version. It overrides no other condition.
    type: bool
    default: false
  record:
    description:
      - Attach a record to the artifact before a tag is moved, which says which tag it is, from where and to where it
        moves, when, by O(who), and in which O(run). It is a referrer with the artifact type
        C(application/vnd.cloudnative.artifacts.tag-record.v1+json), which M(cloudnative.artifacts.oci_artifact_info)
        lists with O(cloudnative.artifacts.oci_artifact_info#module:gather=referrers). The record of a removal is
        attached to what the tag held.
      - A move that fails after its record was attached is seen by the tag that it did not move.
      - Whoever may push to the repository may attach records. They are for colleagues, and no proof.
    type: bool
    default: false
  who:
    description:
      - Who moves the tag, for O(record). The default is the account and the name of the host that runs the module.
    type: str
  run:
    description:
      - The run that moves the tag, for O(record), as the URL of a job. The default is what the environment of the
        module has of C(CI_JOB_URL), C(BUILD_URL), C(BUILD_BUILDURI) or C(JOB_ID), and of the variables of GitHub
        Actions.
    type: str
  artifacts:
    description:
      - Several artifacts in this one task, in place of O(ref) or O(url).
      - Each entry is a mapping with the options of this module, without O(artifacts), O(cache_dir), O(policy),
        O(lock_file), O(lock), O(parallel) and O(resolve_once), which are for the task as a whole. It says which
        artifact is meant; any other option that it leaves out is as the task says.
      - As soon as an entry has one of the options that say who logs in (O(username), O(password), O(auth_file),
        O(auth_config), O(provider), O(provider_registry)), all of them are its own.
      - All entries are checked before anything is asked. Then one that fails keeps no other from being worked on; the
        task fails in the end, and RV(results) says what became of each.
    type: list
    elements: dict
seealso:
  - module: cloudnative.artifacts.oci_artifact_push
  - module: cloudnative.artifacts.oci_artifact_prune
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_promote
    description: Channels from stage to production, with conditions, records and a way back.
notes:
  - A tag is looked at when the task begins, right before it is written, and after it. Where the registry gives an
    C(ETag) with it, the write is conditional (C(If-Match)), and cannot replace what somebody else wrote in between; in
    an OCI image layout a lock has the same effect between tasks of this collection. A registry without conditional
    requests leaves the moment between the last look and the write open.
  - Several tags are written one after the other. When one cannot be written, those before it are, and the message says
    which.
"""

EXAMPLES = r"""
- name: Publish a release, signed
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/deploy"
    ref: registry.example.com/platform/config:1.4.2
    created: "2026-01-05T09:00:00Z"
    sign:
      key: /etc/keys/release.key
      key_password: "{{ lookup('ansible.builtin.env', 'SIGNING_PASSWORD') }}"

- name: Put it on stage
  cloudnative.artifacts.oci_artifact_tag:
    ref: registry.example.com/platform/config:1.4.2
    tags: [stage]

- name: Look at production
  cloudnative.artifacts.oci_artifact_info:
    ref: registry.example.com/platform/config:prod
    gather: []
    missing_ok: true
  register: production

- name: Promote what stage names, if it is signed and production is still what we looked at
  cloudnative.artifacts.oci_artifact_tag:
    ref: registry.example.com/platform/config:stage
    tags: [prod]
    expect:
      prod: "{{ production.artifact.revision if production.exists else '' }}"
    require:
      verify:
        public_keys: [/etc/keys/release.pub]
      min_age: 24h
      age_from: [signature, created]
      soaked_in: stage
    record: true
  register: promotion

- name: Go back to what production was before, if it was anything
  cloudnative.artifacts.oci_artifact_tag:
    ref: "registry.example.com/platform/config@{{ promotion.before.prod or promotion.after.prod }}"
    tags: [prod]
    record: true

- name: Let two channels follow the newest release of a line
  cloudnative.artifacts.oci_artifact_tag:
    url: oci://registry.example.com/platform/config
    semver: 1.x
    tags: [stable, "1"]
    require:
      never_downgrade: true

- name: Remove a channel that nobody uses any more
  cloudnative.artifacts.oci_artifact_tag:
    ref: registry.example.com/platform/config:canary
    state: absent
"""

RETURN = r"""
results:
  description:
    - What became of each of O(artifacts), in their order. Each has the values that a task with one artifact returns,
      and C(item), the options that name the entry.
  returned: when O(artifacts) is given and its entries can be used, also on failure
  type: list
  elements: dict
artifact:
  description: The artifact that the tags name (in check mode, would name). Its digest is empty with O(state=absent).
  returned: success, without O(artifacts)
  type: dict
  contains:
    url:
      description: The repository or layout.
      type: str
    revision:
      description: V(tag@digest) for a tag or a range, and for a tag with a digest beside it; else the digest.
      type: str
    tag:
      description: The tag that was asked for or chosen; empty for a digest alone.
      type: str
    digest:
      description: The digest.
      type: str
tags:
  description:
    - What became of each tag, V(created), V(moved), V(removed) or V(unchanged). When a tag could not be written after
      others were, those that were.
  returned: success, without O(artifacts)
  type: dict
  sample: {"prod": "moved"}
before:
  description: The digest that each tag held before; empty where there was no such tag.
  returned: success, without O(artifacts)
  type: dict
  sample: {"prod": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
after:
  description: The digest that each tag holds now (in check mode, would hold); empty where it is removed.
  returned: success, without O(artifacts)
  type: dict
  sample: {"prod": "sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"}
records:
  description: The digests of the records that were attached, in the order in which the tags were moved.
  returned: success, without O(artifacts)
  type: list
  elements: str
verification:
  description: What the signatures say, as in RV(cloudnative.artifacts.oci_artifact_verify#module:verification).
  returned: when O(require.verify) is given, or O(policy) asks for signatures, and a tag is to be moved
  type: dict
served_by:
  description: Always empty; the tags of several artifacts are those of their own registries, not of mirrors.
  returned: with O(artifacts)
  type: list
  elements: str
reason:
  description:
    - A stable code for what happened. On success V(TagsMoved), V(TagsRemoved) or V(TagsUpToDate).
    - On failure among others V(TagMoved) when a tag does not hold what it is expected to, V(TagImmutable) for a
      version, V(TooYoung), V(AgeUnknown), V(NotSoaked), V(DowngradeDenied), V(VerificationError),
      V(TagDenied), V(DigestDenied), V(OutsideWindow) and V(DeletionRefused).
  returned: always
  type: str
  sample: TagsMoved
refused_by:
  description:
    - The rule of O(policy) that refused it. C(policy) is the path of its file, empty where the task has its content;
      C(match) is that of the rule, and C(check) the key in it.
  returned: failure, when a rule is the cause
  type: dict
  sample: {"policy": "/etc/oci-policy.yml", "match": "ghcr.io/org", "check": "min_age"}
retryable:
  description:
    - Whether the same task may succeed later although nobody changes anything; the registry was out of reach or in
      trouble, something was locked, after all retries, or the artifact is too young. The guide on errors says it for
      each reason.
    - Of several artifacts it is true when it is for each that failed.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.items import (
    ARTIFACTS_SPEC,
    AUTH_UNIT,
    IDENTITY_SPEC,
    ItemsModule,
    each_item,
    exclusive_rules,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    RULES_SPEC,
    TAG_MOVED_SPEC,
    VERIFY_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    rules_of,
    run_registry_module,
    verify_policy,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.times import (
    AGE_SOURCES,
    DEFAULT_AGE_SOURCES,
    age_seconds,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.options import Requirements, TagOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.record import RecordOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.tag import tag, tag_many

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.rules import Policy

REQUIRE_SPEC: dict[str, Any] = {
    "type": "dict",
    "options": {
        **VERIFY_SPEC,
        "min_age": {"type": "str"},
        "age_from": {
            "type": "list",
            "elements": "str",
            "choices": list(AGE_SOURCES),
            "default": list(DEFAULT_AGE_SOURCES),
        },
        "soaked_in": {"type": "str"},
        "never_downgrade": {"type": "bool", "default": False},
    },
}
# options of one artifact
OWN_SPEC: dict[str, Any] = {
    **IDENTITY_SPEC,
    **TAG_MOVED_SPEC,
    "tags": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "expect": {"type": "dict"},
    "require": REQUIRE_SPEC,
    "force": {"type": "bool", "default": False},
    "record": {"type": "bool", "default": False},
    "who": {"type": "str"},
    "run": {"type": "str"},
    **AUTH_SPEC,
    **CONNECTION_SPEC,
}


def requirements(value: dict[str, Any] | None) -> Requirements:
    if value is None:
        return Requirements()
    return Requirements(
        verify=verify_policy(value["verify"]),
        min_age=None if value["min_age"] is None else age_seconds(value["min_age"]),
        age_from=tuple(value["age_from"]),
        soaked_in=value["soaked_in"] or "",
        never_downgrade=value["never_downgrade"],
    )


def tag_options(task: AnsibleModule, policy: Policy | None) -> TagOptions:
    params = task.params
    return TagOptions(
        reference=reference_options(params),
        tags=params["tags"] or (),
        state=params["state"],
        expect=params["expect"] or {},
        require=requirements(params["require"]),
        force=params["force"],
        record=RecordOptions(params["who"] or "", params["run"] or "") if params["record"] else None,
        auth=auth_options(task),
        connection=connection_options(params),
        cache=cache_options(task),
        policy=policy,
    )


def run(module: AnsibleModule) -> dict[str, Any]:
    modes = {"check_mode": module.check_mode, "want_diff": module._diff}
    policy = rules_of(module.params["policy"])
    if module.params["artifacts"] is None:
        return tag(tag_options(module, policy), **modes)
    items = each_item(module, OWN_SPEC, [AUTH_UNIT], lambda task: tag_options(task, policy), ("tags",))
    return tag_many(items, cache_options(module), module.params["parallel"], **modes)


def main() -> None:
    spec = {**OWN_SPEC, **CACHE_SPEC, **RULES_SPEC, **ARTIFACTS_SPEC}
    run_registry_module(spec, run, kind=ItemsModule, mutually_exclusive=exclusive_rules())


if __name__ == "__main__":
    main()

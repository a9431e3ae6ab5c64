#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_audit
short_description: Report what runs on many hosts, who signed it, and what is wrong with it
version_added: 0.1.0
description:
  - Takes what M(cloudnative.artifacts.oci_artifact_facts) has gathered from hosts, asks the registries about it, and
    writes one report, as JSON and as an HTML page that needs nothing else. The playbook
    C(cloudnative.artifacts.audit) does both over an inventory.
  - It says for each host which destination holds which digest of which reference, by whose signature, and what is wrong
    with it, and sums that up for each group.
  - Each question to a registry is asked once for all hosts. Nothing on hosts is changed.
  - What hosts say is not trusted. No path of theirs is opened, and of registries only those of O(registries) are asked.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.verify.option
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode registries are asked, no file is written, and nothing is recorded.
  diff_mode:
    support: N/A
    details:
      - The report has a time, and is another one each time.
  idempotent:
    support: none
    details:
      - The report is written anew each time.
options:
  hosts:
    description:
      - For each host the registered result of M(cloudnative.artifacts.oci_artifact_facts) there, also one that failed,
        or of a host that was not reached.
    type: dict
    required: true
  groups:
    description:
      - For each group its hosts, as in the variable C(groups). The group C(all) and hosts that are not in O(hosts) are
        left out.
    type: dict
    default: {}
  json_file:
    description:
      - The file that the report is written to as JSON. Its directory has to be there, and nobody else may write to it.
    type: path
  html_file:
    description:
      - The file that the report is written to as an HTML page, as O(json_file).
    type: path
  title:
    description:
      - The title of the report.
    type: str
    default: Artifacts
  fail_on:
    description:
      - The findings that count as failures in RV(failing) and in the page. The module itself succeeds.
      - The findings are V(unreachable), V(not_gathered), V(unreadable), V(vanished), V(interrupted), V(drift),
        V(denied) by O(policy), V(invalid_signature), V(expired_signature), V(missing_signature), V(gone) from the
        registry, V(moved_tag), V(newer_version), V(held), V(suspended), V(unverified) when there was no policy for
        signatures then and there is none now, and V(unknown) when a registry did not answer.
      - The default is all up to V(gone).
    type: list
    elements: str
  ask_registries:
    description:
      - Without it, no request is made, and the report says what hosts say.
    type: bool
    default: true
  registries:
    description:
      - The registries that may be asked, each as V(registry.example.com) or with a path, as in
        V(registry.example.com/platform); wildcards match as in a shell.
      - The default is all that hosts name, each with the login that the docker configuration has for it. Where a login
        for all is given, with O(username), O(provider) or in the environment, this option is needed.
    type: list
    elements: str
  record:
    description:
      - Attach a signed record to each digest that a host runs, which says which fleet runs it, and since when. It is an
        in-toto statement with the predicate of a SLSA verification summary
        (C(https://slsa.dev/verification_summary/v1)), and says C(PASSED) where the signatures satisfy the policy of
        the task.
      - A record is made anew after a week, or when its result changes.
        O(cloudnative.artifacts.oci_artifact_prune#module:keep_deployed) keeps what has one.
      - The account needs the right to push to the repositories.
    type: dict
    suboptions:
      fleet:
        description:
          - The name of the fleet, at most 200 characters.
        type: str
        required: true
      key:
        description:
          - The private key to sign with, as for M(cloudnative.artifacts.oci_artifact_sign).
        type: str
        required: true
      key_password:
        description:
          - The password that the key is encrypted with. The default is the environment variable E(COSIGN_PASSWORD),
            else the empty password.
        type: str
seealso:
  - module: cloudnative.artifacts.oci_artifact_facts
  - module: cloudnative.artifacts.oci_artifact_verify
  - module: cloudnative.artifacts.oci_artifact_prune
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_audit
    description: What runs where, who signed it, and what is wrong with it.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
"""

EXAMPLES = r"""
- name: Gather what lies on each host
  cloudnative.artifacts.oci_artifact_facts:
  check_mode: true
  register: audit_facts
  ignore_errors: true
  ignore_unreachable: true

- name: Make one report of all hosts on the controller
  cloudnative.artifacts.oci_artifact_audit:
    hosts: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'audit_facts'))) }}"
    groups: "{{ groups }}"
    html_file: "{{ playbook_dir }}/artifacts.html"
    registries: [registry.example.com]
    verify:
      public_keys: [/etc/keys/release.pub]
  run_once: true
  delegate_to: localhost
  register: audit

- name: Say what is wrong
  ansible.builtin.debug:
    msg: "{{ audit.failing }}"
  run_once: true
"""

RETURN = r"""
report:
  description: The report, as it is written to O(json_file).
  returned: success
  type: dict
  contains:
    format:
      description: The version of this structure, 1.
      type: int
    created:
      description: When the report was made (UTC).
      type: str
    title:
      description: As O(title).
      type: str
    fail_on:
      description: As O(fail_on).
      type: list
      elements: str
    summary:
      description: The numbers of C(hosts), of C(failing_hosts), of C(destinations) and of C(digests), and under
        C(findings) how many there are of each kind.
      type: dict
    groups:
      description: The same for each group, with its C(name).
      type: list
      elements: dict
    hosts:
      description:
        - Each host with C(name), C(groups), C(state) (V(ok), V(unreachable), V(failed), V(missing)), C(findings), and
          C(destinations).
        - A destination has C(path), C(user), C(state), C(asked), C(url), C(tag), C(digest), C(placed_at), the names of
          the C(signers), whether it is C(verified) by the policy of the task, else was when it was placed, and
          C(findings), each with C(kind) and C(message).
      type: list
      elements: dict
    records:
      description: What was recorded with O(record); C(fleet), C(url), C(artifact), C(since), C(result), C(status),
        which is V(created) or V(unchanged), and C(digest) of the record.
      type: list
      elements: dict
failing:
  description: How many findings there are of each kind in O(fail_on); empty when all is well.
  returned: success
  type: dict
  sample: {"drift": 2}
reason:
  description: A stable code; V(AuditClean), or V(AuditFindings) when RV(failing) is not empty.
  returned: always
  type: str
  sample: AuditClean
retryable:
  description: Whether the same task may succeed later although nobody changes anything.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    RULES_SPEC,
    VERIFY_SPEC,
    auth_options,
    cache_options,
    connection_options,
    rules_of,
    run_registry_module,
    verify_policy,
    without_none,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.audit.audit import AuditOptions, audit
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.audit.judge import FAILURES
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.audit.questions import QuestionOptions

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.deployments import Recorder


def recorder_of(params: dict[str, Any]) -> Recorder | None:
    given = params["record"]
    if given is None:
        return None
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.deployments import recorder

    policy = {"verify": without_none(params["verify"]), "policy": params["policy"]}
    return recorder(given["fleet"], given["key"], given["key_password"], policy)


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    options = AuditOptions(
        hosts=params["hosts"],
        groups=params["groups"],
        json_file=params["json_file"] or "",
        html_file=params["html_file"] or "",
        title=params["title"],
        fail_on=FAILURES if params["fail_on"] is None else params["fail_on"],
        questions=QuestionOptions(
            registries=params["registries"] or (),
            policy=rules_of(params["policy"]),
            verify=verify_policy(params["verify"]),
            auth=auth_options(module),
            connection=connection_options(params),
            cache=cache_options(module),
            ask=params["ask_registries"],
        ),
        recorder=recorder_of(params),
    )
    return audit(options, check_mode=module.check_mode)


def main() -> None:
    spec = {
        "hosts": {"type": "dict", "required": True},
        "groups": {"type": "dict", "default": {}},
        "json_file": {"type": "path"},
        "html_file": {"type": "path"},
        "title": {"type": "str", "default": "Artifacts"},
        "fail_on": {"type": "list", "elements": "str"},
        "ask_registries": {"type": "bool", "default": True},
        "registries": {"type": "list", "elements": "str"},
        "record": {
            "type": "dict",
            "options": {
                "fleet": {"type": "str", "required": True},
                "key": {"type": "str", "required": True, "no_log": True},
                "key_password": {"type": "str", "no_log": True},
            },
        },
        **AUTH_SPEC,
        **CONNECTION_SPEC,
        **CACHE_SPEC,
        **VERIFY_SPEC,
        **RULES_SPEC,
    }
    run_registry_module(spec, run, mutually_exclusive=[("auth_file", "auth_config")])


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_verify
short_description: Check who signed an OCI artifact
version_added: 0.1.0
description:
  - Resolves a reference to one digest and checks the signatures of that digest against a policy. The module fails
    when they do not satisfy it, and says what was found and why each signature did not count.
  - Cosign signatures are found under the tag C(sha256-….sig) and as Sigstore bundles among the referrers, by the
    referrers API and the fallback tag; attestations there, and under the tag C(sha256-….att). All of them are looked at
    before a verification fails. Notation signatures are found among the referrers.
  - The signed payload always has to name the digest. The tag under which a signature was made, and the repository,
    are not compared, so that mirrored artifacts keep their signatures.
  - With a cache (O(cache_dir)), a digest that satisfied the very policy in the last 24 hours, in the same repository,
    is not verified again. RV(verification.remembered) says so.
  - To pull only what is signed, give the same policy in O(cloudnative.artifacts.oci_artifact_pull#module:verify) of
    M(cloudnative.artifacts.oci_artifact_pull).
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.reference
  - cloudnative.artifacts.selection
  - cloudnative.artifacts.artifacts
  - cloudnative.artifacts.verify
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
requirements:
  - cryptography >= 36 on the host that runs the module; 38 or newer for keyless signatures
  - sigstore >= 4, < 5 on the host that runs the module, for keyless signatures without O(trusted_root) and O(ca_roots)
attributes:
  check_mode:
    support: full
    details:
      - This module never changes anything.
  diff_mode:
    support: N/A
    details:
      - This module never changes anything.
  idempotent:
    support: full
    details:
      - This module never changes anything.
options:
  artifacts:
    description:
      - Several artifacts to verify in this one task, in place of O(ref) or O(url).
      - Each entry is a mapping with the options of this module, without O(artifacts), O(cache_dir), O(policy),
        O(lock_file), O(lock), O(parallel) and O(resolve_once), which are for the task as a whole. It says which
        artifact is meant; any other option that it leaves out is as the task says.
      - As soon as an entry has one of the options that say who logs in (O(username), O(password), O(auth_file),
        O(auth_config), O(provider), O(provider_registry)), all of them are its own; and as soon as it has one of those
        that make the policy (from O(signature_provider) to O(trust_store)), the whole policy is.
      - All entries are checked before anything is asked. Then one that fails keeps no other from being verified; the
        task fails in the end, and RV(results) says what became of each.
    type: list
    elements: dict
seealso:
  - module: cloudnative.artifacts.oci_artifact_pull
  - module: cloudnative.artifacts.oci_artifact_sign
"""

EXAMPLES = r"""
- name: Check that an artifact is signed with one of two keys
  cloudnative.artifacts.oci_artifact_verify:
    ref: registry.example.com/platform/config:1.4.2
    public_keys:
      - /etc/keys/release-2026.pub
      - /etc/keys/release-2025.pub

- name: Check that a chart was signed by the release workflow of its project, without a network but the registry's
  cloudnative.artifacts.oci_artifact_verify:
    ref: registry.example.com/charts/podinfo:6.7.1
    trusted_root: /etc/sigstore/trusted_root.json
    identities:
      - issuer: ^https://token\.actions\.githubusercontent\.com$
        subject: ^https://github\.com/stefanprodan/podinfo/\.github/workflows/release\.yml@refs/tags/.*$

- name: Demand two signers and an SBOM
  cloudnative.artifacts.oci_artifact_verify:
    ref: registry.example.com/platform/config:1.4.2
    public_keys: [/etc/keys/build.pub, /etc/keys/release.pub]
    min_signers: 2
    attestations:
      - type: spdxjson

- name: Demand provenance of the project's own build, and show it
  cloudnative.artifacts.oci_artifact_verify:
    ref: registry.example.com/platform/app:1.4.2
    trusted_root: /etc/sigstore/trusted_root.json
    identities:
      - issuer: ^https://token\.actions\.githubusercontent\.com$
        subject: ^https://github\.com/slsa-framework/slsa-github-generator/\.github/workflows/generator_container_slsa3\.yml@refs/tags/v.*$
    attestations:
      - type: slsaprovenance
        match:
          invocation.configSource.uri:
            pattern: ^git\+https://github\.com/example/app@refs/tags/v.*$
        predicate: true

- name: Accept only what was signed for production
  cloudnative.artifacts.oci_artifact_verify:
    ref: registry.example.com/platform/config:1.4.2
    public_keys: [/etc/keys/release.pub]
    annotations:
      env: prod

- name: Check a Notation signature
  cloudnative.artifacts.oci_artifact_verify:
    ref: registry.example.com/platform/config:1.4.2
    signature_provider: notation
    trust_policy: /etc/notation/trustpolicy.json
    trust_store: [/etc/notation/ca.crt]

- name: Check what a site is made of, with one policy for all and another one for the chart
  cloudnative.artifacts.oci_artifact_verify:
    public_keys: [/etc/keys/release.pub]
    artifacts:
      - ref: registry.example.com/platform/config:1.4.2
      - ref: registry.example.com/charts/podinfo:6.7.1
        trusted_root: /etc/sigstore/trusted_root.json
        identities:
          - issuer: ^https://token\.actions\.githubusercontent\.com$
            subject: ^https://github\.com/stefanprodan/podinfo/
"""

RETURN = r"""
results:
  description:
    - What became of each of O(artifacts), in their order. Each has the values that a task with one artifact returns,
      and C(item).
    - For the task as a whole RV(reason) and RV(served_by) are returned; the former is that of the first failure, else
      V(VerificationIgnored) when it is for any.
  returned: when O(artifacts) is given and its entries can be used, also on failure
  type: list
  elements: dict
  contains:
    item:
      description: What names the entry, which are the options of its reference and selection.
      type: dict
      sample: {"ref": "registry.example.com/platform/config:1.4.2"}
    changed:
      description: Always V(false).
      type: bool
    failed:
      description: Whether it was refused, or could not be verified.
      returned: when it is true
      type: bool
    msg:
      description: Why it was refused, or could not be verified.
      returned: when RV(results[].failed) is true
      type: str
    reason:
      description: As RV(reason), of this artifact.
      type: str
    retryable:
      description: As RV(retryable), of this artifact.
      returned: when RV(results[].failed) is true
      type: bool
    artifact:
      description: As RV(artifact).
      returned: when it did not fail
      type: dict
    verification:
      description: As RV(verification).
      returned: when signatures were looked at
      type: dict
    served_by:
      description: As RV(served_by).
      returned: when it did not fail
      type: list
      elements: str
artifact:
  description: The digest that was verified, and where it is.
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
verification:
  description: What the signatures say.
  returned: when a policy was applied, without O(artifacts)
  type: dict
  contains:
    remembered:
      description:
        - Whether this was found by an earlier task, and kept in the cache.
      returned: success
      type: bool
    verified:
      description:
        - Whether the policy is satisfied. It is false, without a failure, only when a Notation trust policy says to
          skip or only to log authenticity.
      type: bool
    provider:
      description: V(cosign) or V(notation).
      type: str
    reason:
      description: V(Verified), V(Ignored) or V(Unverified).
      type: str
    signers:
      description: The signatures that count.
      type: list
      elements: dict
      contains:
        provider:
          description: V(cosign) or V(notation).
          type: str
        format:
          description: V(legacy) for cosign's tags, V(bundle), V(jws) or V(cose).
          type: str
        key:
          description: The SHA-256 of the signer's public key (SubjectPublicKeyInfo).
          type: str
        source:
          description: The path or the number of the configured key that matched.
          type: str
        issuer:
          description: Who vouches for the subject; empty for keys, and for certificates that name nobody.
          type: str
        subject:
          description: Who signed; empty for keys.
          type: str
        signed_at:
          description: When it was signed, if something trusted vouches for it.
          type: str
        predicate_type:
          description: The type of the signed statement.
          type: str
        found_in:
          description: The digest of the manifest or layer that carried the signature.
          type: str
        annotations:
          description: Annotations under the signature.
          type: dict
        predicate:
          description: The predicate of the signed statement, whatever its type says.
          returned: when O(attestations[].predicate) asks for it
          type: raw
    refused:
      description: The signatures that do not count.
      type: list
      elements: dict
      contains:
        found_in:
          description: The digest of the manifest or layer that carried the signature.
          type: str
        format:
          description: As for the signatures that count, or V(attestation).
          type: str
        code:
          description: A stable code for the cause; the guide on verification lists them.
          type: str
        message:
          description: What is wrong with it, or why the policy does not count it.
          type: str
served_by:
  description:
    - The hosts that answered, in the order of their first answer, which are mirrors or the registry itself. Empty when
      nothing was asked, and for an OCI image layout.
  returned: success
  type: list
  elements: str
  sample: ["mirror.example.com"]
reason:
  description:
    - A stable code, V(Verified) or V(VerificationIgnored) on success, V(VerificationError) when the policy is not
      satisfied.
  returned: always
  type: str
  sample: Verified
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
      trouble, or something was locked, after all retries. The guide on errors says it for each reason.
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
    POLICY_SPEC,
    RULES_SPEC,
    SIGNATURE_PROVIDER,
    TAG_MOVED_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    rules_of,
    run_registry_module,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import (
    VerifyOptions,
    verify,
    verify_many,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.rules import Policy

WHOLE_POLICY_SPEC: dict[str, Any] = {"signature_provider": SIGNATURE_PROVIDER, **POLICY_SPEC}
# options of one artifact
OWN_SPEC: dict[str, Any] = {**IDENTITY_SPEC, **TAG_MOVED_SPEC, **WHOLE_POLICY_SPEC, **AUTH_SPEC, **CONNECTION_SPEC}


def verify_options(task: AnsibleModule, rules: Policy | None) -> VerifyOptions:
    params = task.params
    return VerifyOptions(
        reference=reference_options(params),
        policy=parse_policy({**params, "provider": params["signature_provider"]}),
        auth=auth_options(task),
        connection=connection_options(params),
        cache=cache_options(task),
        rules=rules,
    )


def run(module: AnsibleModule) -> dict[str, Any]:
    rules = rules_of(module.params["policy"])
    if module.params["artifacts"] is None:
        return verify(verify_options(module, rules))
    # two policies are never merged: the result could accept what neither accepts
    units = [AUTH_UNIT, tuple(WHOLE_POLICY_SPEC)]
    items = each_item(module, OWN_SPEC, units, lambda task: verify_options(task, rules))
    return verify_many(items, cache_options(module), module.params["parallel"])


def main() -> None:
    spec = {**OWN_SPEC, **CACHE_SPEC, **RULES_SPEC, **ARTIFACTS_SPEC}
    run_registry_module(spec, run, kind=ItemsModule, mutually_exclusive=exclusive_rules())


if __name__ == "__main__":
    main()

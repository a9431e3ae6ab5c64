#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_sign
short_description: Sign an OCI artifact with a key
version_added: 0.1.0
description:
  - Resolves a reference to one digest, and makes sure that this digest has a Cosign signature by a key, which
    C(cosign verify --key), Flux and M(cloudnative.artifacts.oci_artifact_verify) accept.
  - An artifact that has a valid signature by the key, in the wanted format and with the wanted annotations, is left
    alone. Signatures by others are kept.
  - No transparency log and no timestamp authority is asked, so that C(cosign verify) needs C(--insecure-ignore-tlog).
    Flux and this collection ask for none with keys.
  - A key pair is made by C(cosign generate-key-pair), which writes C(cosign.key) and C(cosign.pub), or by OpenSSL, as
    in C(openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sign.key) and
    C(openssl pkey -in sign.key -pubout -out sign.pub). Verifiers get the public half.
  - ECDSA signatures are made with SHA-256 for every curve, and Ed25519 ones without prehashing, because that is what
    cosign and Flux verify.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.reference
  - cloudnative.artifacts.selection
  - cloudnative.artifacts.sign
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
requirements:
  - cryptography >= 36 on the host that runs the module
  - PyNaCl >= 1.4 on the host that runs the module, for an O(key) that cosign encrypted
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Lists the signatures by the key before and after.
  idempotent:
    support: full
    details:
      - RSA and Ed25519 signatures are the same whenever they are made, ECDSA ones with cryptography 43 and OpenSSL 3.2
        or later. The time in a bundle's manifest is the environment variable E(SOURCE_DATE_EPOCH), else
        1970-01-01T00:00:00Z, so that the same key and artifact give the same bundle.
seealso:
  - module: cloudnative.artifacts.oci_artifact_verify
  - module: cloudnative.artifacts.oci_artifact_push
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
notes:
  - Registries have no lock for the tags that list signatures. What was written is looked for again, and written again
    when another client replaced it meanwhile.
"""

EXAMPLES = r"""
- name: Sign a release
  cloudnative.artifacts.oci_artifact_sign:
    ref: registry.example.com/platform/config:1.4.2
    key: /etc/keys/release.key
    key_password: "{{ lookup('ansible.builtin.env', 'SIGNING_PASSWORD') }}"

- name: Sign exactly what was tested, with annotations, for verifiers that know bundles
  cloudnative.artifacts.oci_artifact_sign:
    ref: registry.example.com/platform/config@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    key: /etc/keys/release.key
    key_password: "{{ lookup('ansible.builtin.env', 'SIGNING_PASSWORD') }}"
    format: bundle
    annotations:
      stage: tested

- name: Sign with a key from the controller, in an OCI image layout
  cloudnative.artifacts.oci_artifact_sign:
    ref: oci-layout:/srv/bundle:2.3.0
    key: "{{ lookup('ansible.builtin.file', '/etc/keys/release.key') }}"
"""

RETURN = r"""
artifact:
  description: The artifact that is signed (in check mode, would be).
  returned: success
  type: dict
  contains:
    url:
      description: The repository or layout.
      type: str
      sample: oci://registry.example.com/platform/config
    revision:
      description: V(tag@digest) for a tag or a range, and for a tag with a digest beside it; else the digest.
      type: str
      sample: 1.4.2@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    tag:
      description: The tag that was asked for or chosen; empty for a digest alone.
      type: str
    digest:
      description: The digest that is signed.
      type: str
signatures:
  description: The signatures by the key, one for each wanted format.
  returned: success
  type: list
  elements: dict
  contains:
    format:
      description: V(legacy) or V(bundle).
      type: str
    digest:
      description: The digest of the layer (V(legacy)) or manifest (V(bundle)) that carries the signature. In check mode
        it is empty for a bundle that would be made with a key whose signatures are random.
      type: str
    key:
      description: The SHA-256 of the public key (SubjectPublicKeyInfo).
      type: str
      sample: sha256:95c95fd0d8f85d5a256e5192887f0958f545fdbf26bca2224aeb9fdfa9be66e2
    status:
      description: V(created) or V(unchanged).
      type: str
    artifact:
      description: The digest that is signed.
      type: str
reason:
  description: A stable code for what happened. On success V(ArtifactSigned) or V(ArtifactUpToDate);
    V(VerificationError) when the key cannot be used.
  returned: always
  type: str
  sample: ArtifactSigned
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
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    REFERENCE_SPEC,
    RULES_SPEC,
    SELECTION_SPEC,
    TAG_MOVED_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    rules_of,
    run_registry_module,
    string_values,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.sign import SignOptions, parse_signing, sign

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    options = SignOptions(
        reference=reference_options(params),
        signing=parse_signing(params, string_values(params["annotations"], "annotations")),
        auth=auth_options(module),
        connection=connection_options(params),
        cache=cache_options(module),
        policy=rules_of(params["policy"]),
    )
    return sign(options, check_mode=module.check_mode, want_diff=module._diff)


def main() -> None:
    spec = {
        **REFERENCE_SPEC,
        **SELECTION_SPEC,
        **TAG_MOVED_SPEC,
        **AUTH_SPEC,
        **CONNECTION_SPEC,
        **CACHE_SPEC,
        **RULES_SPEC,
        "key": {"type": "str", "required": True, "no_log": True},
        "key_password": {"type": "str", "no_log": True},
        "format": {"type": "str", "choices": ["both", "bundle", "legacy"], "default": "both"},
        "annotations": {"type": "dict", "default": {}},
    }
    run_registry_module(spec, run, mutually_exclusive=[("auth_file", "auth_config")])


if __name__ == "__main__":
    main()

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kubernetes_verify_secret
short_description: Read public keys, a trusted root or a trust policy from a Kubernetes secret
version_added: 0.1.0
description:
  - Returns what a secret says about verification, under the names of the suboptions of
    O(cloudnative.artifacts.oci_artifact_pull#module:verify). It is C(verify.secretRef) and
    C(verify.trustedRootSecretRef) of Flux's OCIRepository, and a key V(k8s://namespace/name) of Cosign.
  - For Cosign all keys of the secret that end with C(.pub) are public keys, and C(trusted_root.json) is a trusted root.
    Private keys in the secret are not read.
  - For Notation C(trustpolicy.json) is the trust policy, and the keys that end with C(.crt) or C(.pem) are the trusted
    certificates, one under each key, as for Flux. Both have to be there.
  - A value that cannot be used is an error, and is never left out. The type of the secret does not matter.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.kubernetes
  - cloudnative.artifacts.kubernetes.secret
options:
  provider:
    description:
      - What made the signatures. The default is V(notation) for a secret with a C(trustpolicy.json), and V(cosign) for
        any other.
    type: str
    choices: [cosign, notation]
seealso:
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_verify
    description: Policies, keys and roots.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_login_kubernetes
    description: Which cluster is asked, and the rights that are needed.
"""

EXAMPLES = r"""
- name: Use only what one of the keys in Flux's secret signed
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.4.2
    dest: /etc/platform
    verify: "{{ lookup('cloudnative.artifacts.kubernetes_verify_secret', namespace='flux-system',
      secret='cosign-keys') }}"

- name: Check keyless signatures with the trusted root of a Sigstore of the site
  cloudnative.artifacts.oci_artifact_verify:
    ref: registry.example.com/charts/podinfo:6.7.1
    trusted_root: "{{ lookup('cloudnative.artifacts.kubernetes_verify_secret', namespace='flux-system',
      secret='sigstore-root').trusted_root }}"
    identities:
      - issuer: ^https://token\.actions\.githubusercontent\.com$
        subject: ^https://github\.com/stefanprodan/podinfo/.*$
"""

RETURN = r"""
_raw:
  description:
    - One mapping. What the secret does not hold is empty, which the modules take as not given.
  type: list
  elements: dict
  contains:
    provider:
      description:
        - V(cosign) or V(notation). It is O(cloudnative.artifacts.oci_artifact_verify#module:signature_provider) of the
          module that only verifies.
      type: str
    public_keys:
      description: Public keys (PEM), in the order of their names in the secret.
      type: list
      elements: str
    trusted_root:
      description: The text of the C(trusted_root.json).
      type: str
    trust_policy:
      description: The content of the C(trustpolicy.json).
      type: dict
    trust_store:
      description: Certificates (PEM), in the order of their names in the secret.
      type: list
      elements: str
"""

from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeApi
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.verification_secrets import read_verification
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.kubernetes import SecretLookup


class LookupModule(SecretLookup):
    def read(self, api: KubeApi, namespace: str, secret: str) -> dict[str, Any]:
        return read_verification(api, namespace, secret, self.get_option("provider") or "")

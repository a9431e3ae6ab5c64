# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kubernetes_tls_secret
short_description: Read a client certificate and authorities for a registry from a Kubernetes secret
version_added: 0.1.0
description:
  - Returns the content of a TLS secret under the names of the connection options of the modules, as C(certSecretRef)
    of Flux's OCIRepository takes it.
  - The keys are C(tls.crt), C(tls.key) and C(ca.crt). The older C(certFile), C(keyFile) and C(caFile) are used where
    the newer ones are absent. The type of the secret does not matter.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.kubernetes
  - cloudnative.artifacts.kubernetes.secret
seealso:
  - plugin: cloudnative.artifacts.kubernetes_pull_secret
    plugin_type: lookup
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_login_kubernetes
    description: Credentials and certificates from Kubernetes, and the rights that are needed.
"""

EXAMPLES = r"""
- name: Pull over mutual TLS with a certificate from Kubernetes
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.4.2
    dest: /etc/platform
    ca_cert: "{{ tls.ca_cert }}"
    client_cert: "{{ tls.client_cert }}"
    client_key: "{{ tls.client_key }}"
  vars:
    tls: "{{ lookup('cloudnative.artifacts.kubernetes_tls_secret', namespace='flux-system', secret='registry-tls') }}"
"""

RETURN = r"""
_raw:
  description:
    - One mapping. The text of what the secret does not hold is empty, which the modules take as not given.
  type: list
  elements: dict
  contains:
    client_cert:
      description: The client certificate and its chain (PEM).
      type: str
    client_key:
      description: The key that belongs to it (PEM). It is a secret.
      type: str
    ca_cert:
      description: The authorities that vouch for the registry (PEM).
      type: str
"""

from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeApi
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.secrets import read_tls_options
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.kubernetes import SecretLookup


class LookupModule(SecretLookup):
    def read(self, api: KubeApi, namespace: str, secret: str) -> dict[str, str]:
        return read_tls_options(api, namespace, secret)

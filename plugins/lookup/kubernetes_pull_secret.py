# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kubernetes_pull_secret
short_description: Read registry credentials from Kubernetes pull secrets
version_added: 0.1.0
description:
  - Returns the credentials of a pull secret, or of all pull secrets of a service account, in the shape that the option
    O(cloudnative.artifacts.oci_artifact_pull#module:auth_config) of the modules takes. It is C(secretRef) and
    C(serviceAccountName) of Flux's OCIRepository.
  - Secrets of the types C(kubernetes.io/dockerconfigjson) and C(kubernetes.io/dockercfg) are understood. Any other
    type, a secret that is missing and one without a single credential are errors, never an anonymous request.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.kubernetes
options:
  secret:
    description:
      - The name of a pull secret.
      - At least one of O(secret) and O(service_account) is needed. With both, the secret comes first.
    type: str
  service_account:
    description:
      - The name of a service account, all C(imagePullSecrets) of which are read in its order. Of two credentials for
        the same registry and path the first one is used.
    type: str
seealso:
  - plugin: cloudnative.artifacts.kubernetes_tls_secret
    plugin_type: lookup
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_login_kubernetes
    description: Credentials and certificates from Kubernetes, and the rights that are needed.
"""

EXAMPLES = r"""
- name: Pull with the credentials of a pull secret
  cloudnative.artifacts.oci_artifact_pull:
    url: oci://registry.example.com/platform/config
    semver: 1.x
    dest: /etc/platform
    auth_config: "{{ lookup('cloudnative.artifacts.kubernetes_pull_secret', namespace='flux-system',
      secret='regcred') }}"

- name: Use what the Pods of a service account pull with
  cloudnative.artifacts.oci_artifact_info:
    ref: registry.example.com/platform/config:stable
    auth_config: "{{ lookup('cloudnative.artifacts.kubernetes_pull_secret', namespace='apps', service_account='default',
      kubeconfig='/etc/kubernetes/reader.conf') }}"
"""

RETURN = r"""
_raw:
  description:
    - One docker C(config.json) with the credentials under C(auths). It holds secrets.
  type: list
  elements: dict
  sample:
    - auths: {registry.example.com: {auth: dXNlcjpwYXNzd29yZA==}}
"""

from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeApi
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.secrets import read_auth_config
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.kubernetes import SecretLookup


class LookupModule(SecretLookup):
    def check(self) -> None:
        if not (self.get_option("secret") or self.get_option("service_account")):
            raise InvalidOption("Neither 'secret' nor 'service_account' is given.", "Name the pull secret.")

    def read(self, api: KubeApi, namespace: str, secret: str) -> dict[str, Any]:
        return read_auth_config(api, namespace, secret, self.get_option("service_account") or "")

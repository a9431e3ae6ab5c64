# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kubernetes_proxy_secret
short_description: Read the address and the credentials of a proxy from a Kubernetes secret
version_added: 0.1.0
description:
  - Returns the URL of a proxy, with its credentials, as the option
    O(cloudnative.artifacts.oci_artifact_pull#module:proxy) of the modules takes it. It is C(proxySecretRef) of Flux's
    OCIRepository.
  - The keys are C(address), which has to be there, C(username) and C(password). The type of the secret does not matter.
    A user name replaces credentials in the address; a password without a user name has no effect.
  - V(socks5://) becomes V(socks5h://), with which the proxy looks names up, as it does for Flux.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.kubernetes
  - cloudnative.artifacts.kubernetes.secret
seealso:
  - plugin: cloudnative.artifacts.kubernetes_pull_secret
    plugin_type: lookup
  - plugin: cloudnative.artifacts.kubernetes_tls_secret
    plugin_type: lookup
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_login_kubernetes
    description: Credentials and certificates from Kubernetes, and the rights that are needed.
"""

EXAMPLES = r"""
- name: Pull through the proxy that Flux uses
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.4.2
    dest: /etc/platform
    proxy: "{{ lookup('cloudnative.artifacts.kubernetes_proxy_secret', namespace='flux-system', secret='proxy') }}"
"""

RETURN = r"""
_raw:
  description:
    - The URL. With credentials it is a secret.
  type: list
  elements: str
  sample: ["http://deploy:p%40ss@proxy.example.com:3128"]
"""

from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeApi
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.secrets import read_proxy_url
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.kubernetes import SecretLookup


class LookupModule(SecretLookup):
    def read(self, api: KubeApi, namespace: str, secret: str) -> str:
        return read_proxy_url(api, namespace, secret)

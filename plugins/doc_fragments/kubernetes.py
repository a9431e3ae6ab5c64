# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  _terms:
    description: This lookup takes no terms.
    required: false
  namespace:
    description:
      - The namespace to read from.
    type: str
    required: true
  kubeconfig:
    description:
      - The path of a kubeconfig, or its content as a mapping. Text is refused,
        and not repeated; P(ansible.builtin.from_yaml#filter) makes a mapping of it.
      - Without it and without O(host), the cluster is found as C(kubectl) finds it, through E(KUBECONFIG),
        C(~/.kube/config), and inside a Pod through its service account.
    type: raw
    env:
      - name: K8S_AUTH_KUBECONFIG
  context:
    description:
      - The context of the kubeconfig to use instead of its current one.
    type: str
    env:
      - name: K8S_AUTH_CONTEXT
  host:
    description:
      - The URL of the API server. With O(api_key) or O(client_cert) no kubeconfig is read; without them it replaces
        the address in the kubeconfig.
    type: str
    env:
      - name: K8S_AUTH_HOST
  api_key:
    description:
      - A bearer token for the API server, such as one of a service account.
    type: str
    env:
      - name: K8S_AUTH_API_KEY
  client_cert:
    description:
      - The path of a client certificate for the API server.
    type: str
    aliases: [cert_file]
    env:
      - name: K8S_AUTH_CERT_FILE
  client_key:
    description:
      - The path of the key that belongs to O(client_cert).
    type: str
    aliases: [key_file]
    env:
      - name: K8S_AUTH_KEY_FILE
  ca_cert:
    description:
      - The path of the authorities that vouch for the API server, instead of those in the kubeconfig.
    type: str
    aliases: [ssl_ca_cert]
    env:
      - name: K8S_AUTH_SSL_CA_CERT
  validate_certs:
    description:
      - Whether the certificate of the API server is checked. The default is what the kubeconfig says, else V(true).
    type: bool
    aliases: [verify_ssl]
    env:
      - name: K8S_AUTH_VERIFY_SSL
  proxy:
    description:
      - The URL of a proxy on the way to the API server, V(http://user:password@host:port), V(https://…) or
        V(socks5://…). Without it, the proxy is found as C(kubectl) finds it, in C(proxy-url) of the kubeconfig,
        otherwise in E(HTTPS_PROXY) and E(NO_PROXY).
    type: str
    env:
      - name: K8S_AUTH_PROXY
  timeout:
    description:
      - How long to wait for a connection and for the head of each answer, in seconds or as a Go duration such as
        V(1m30s). A request that gets none is tried three times. Bodies have to move at 1024 bytes per second, measured
        over at least this time.
    type: str
    default: 30s
requirements:
  - The Python package kubernetes >= 28 on the Ansible controller
notes:
  - Names and environment variables of the options are those of the collection P(kubernetes.core.k8s#lookup), so what
    is set up for it (also by the Kubernetes credential of AWX) works here.
"""

    SECRET = r"""
options:
  secret:
    description:
      - The name of the secret.
    type: str
    required: true
"""

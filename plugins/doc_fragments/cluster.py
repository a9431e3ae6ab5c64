# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # of modules; the fragment "kubernetes" is of lookups, which have settings in environment and inventory
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - The path of a kubeconfig on the host that runs the module, or its content as a mapping. Text is refused,
        and not repeated; P(ansible.builtin.from_yaml#filter) makes a mapping of it.
      - Without it and without O(host), the cluster is found as C(kubectl) finds it, through E(KUBECONFIG),
        C(~/.kube/config), and inside a Pod through its service account.
      - The default comes from E(K8S_AUTH_KUBECONFIG). The other options of the connection have defaults from the
        environment, too, by the names that the collection kubernetes.core gives them.
    type: raw
  context:
    description:
      - The context of the kubeconfig to use instead of its current one (E(K8S_AUTH_CONTEXT)).
    type: str
  host:
    description:
      - The URL of the API server (E(K8S_AUTH_HOST)). With O(api_key) or O(client_cert) no kubeconfig is read; without
        them it replaces the address in the kubeconfig.
    type: str
  api_key:
    description:
      - A bearer token for the API server, such as one of a service account (E(K8S_AUTH_API_KEY)).
    type: str
  client_cert:
    description:
      - The path of a client certificate for the API server (E(K8S_AUTH_CERT_FILE)). It needs O(host).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - The path of the key that belongs to O(client_cert) (E(K8S_AUTH_KEY_FILE)).
    type: path
    aliases: [key_file]
  ca_cert:
    description:
      - The path of the authorities that vouch for the API server, instead of those in the kubeconfig
        (E(K8S_AUTH_SSL_CA_CERT)).
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description:
      - Whether the certificate of the API server is checked (E(K8S_AUTH_VERIFY_SSL)). The default is what the
        kubeconfig says, else V(true).
    type: bool
    aliases: [verify_ssl]
  proxy:
    description:
      - The URL of a proxy on the way to the API server, V(http://user:password@host:port), V(https://…) or
        V(socks5://…) (E(K8S_AUTH_PROXY)).
      - Without it, the proxy is found as C(kubectl) and C(helm) find it - C(proxy-url) of the cluster in the
        kubeconfig, otherwise E(HTTPS_PROXY), unless E(NO_PROXY) names the API server or it is on this host. It is the
        same for the requests of the module and for Helm.
    type: str
  api_timeout:
    description:
      - How long to wait for a connection to the API server and for the head of each of its answers, in seconds or as a
        Go duration such as V(1m30s). A request that gets none is tried three times. Bodies have to move at 1024 bytes
        per second, measured over at least this time.
    type: str
    default: 30s
"""

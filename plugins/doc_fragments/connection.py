# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  insecure:
    description:
      - Speak plain HTTP to the registry. It is never implied, not even for private addresses.
    type: bool
    default: false
  validate_certs:
    description:
      - Check the certificate of the registry.
    type: bool
    default: true
  ca_cert:
    description:
      - A certificate authority to trust beside those of the system, as a path or as PEM text.
      - The default is the content of the file that E(OCI_ARTIFACT_CA_CERT) names on the Ansible controller.
    type: str
  client_cert:
    description:
      - The certificate to present to the registry, as a path or as PEM text. It is presented to the registry and to its
        token server, and to no host that these redirect to.
    type: str
  client_key:
    description:
      - The key that belongs to O(client_cert), as a path or as PEM text, which is never written to a file.
    type: str
  client_key_password:
    description:
      - The passphrase of O(client_key), if that is encrypted.
    type: str
  proxy:
    description:
      - The URL of a proxy to use in place of those in the environment, with its user name and password if it wants
        them, as in V(http://user:password@proxy.example.com:3128). Characters with a meaning in URLs are written as
        V(%XX).
      - The schemes are V(http), V(https), V(socks5h) (the proxy looks names up) and V(socks5) (this host does). SOCKS
        needs the Python package C(PySocks).
      - Without it, E(HTTPS_PROXY), E(HTTP_PROXY) and E(ALL_PROXY) of the host that runs the module are used, each in
        lower case first.
    type: str
  no_proxy:
    description:
      - What is reached without a proxy, in place of E(NO_PROXY), which counts only when neither O(proxy) nor this is
        given. V(*) stands for everything, an empty list for nothing.
      - Entries are host names (which stand for the hosts below them, too), IP addresses, and networks as in
        V(10.0.0.0/8); a name or an address may have a port, as in V(registry.example.com:5000) or V([::1]:5000).
    type: list
    elements: str
  mirrors:
    description:
      - Places that are asked in place of a registry, by its name, as in V(docker.io) or V(registry.example.com:5000),
        or by the start of a repository's name, as in V(ghcr.io/fluxcd). Of several that fit, the longest counts, alone.
      - 'Each has a list of mirrors, which are asked in this order. A mirror is a mapping: C(url) says where it is, with
        the path that takes the place of the name that was given (V(https://mirror.example.com/dockerhub) for
        V(docker.io) means that V(docker.io/library/nginx) is V(dockerhub/library/nginx) there); V(http://) stands for
        plain HTTP. C(mode) is V(fallback) (the registry itself is asked last, for what no mirror has or could be asked
        for; the default) or V(replace) (the registry itself is never asked).'
      - A mirror may have C(ca_cert), C(client_cert), C(client_key), C(client_key_password) and C(validate_certs) of its
        own. Its credentials are those that C(auth_file), C(auth_config) or a docker config have for its host;
        O(username), O(password) and O(client_cert) are for the registry and never sent to a mirror.
      - Only what is read goes to mirrors. Modules that write (push, sign) take the option and always use the registry.
      - A mirror is trusted to say what a tag stands for. All bytes are checked against that digest.
    type: dict
  timeout:
    description:
      - The longest wait for a connection (with name lookup, proxies and TLS), for the whole head of an answer and for
        the next bytes of its body, each, as a number of seconds or a text such as V(90s) or V(1m30s).
      - Transfers have to move at 1024 bytes per second, measured over at least this time.
    type: str
    default: 60s
  retries:
    description:
      - How often a request is repeated after a passing failure (no connection, a broken one, status 408, 425, 429,
        500, 502, 503 or 504), after a growing pause, or the one that the registry or its token server asks for in
        C(Retry-After), up to a minute. A request that asks for more than a minute is not repeated.
      - For a download that breaks off, how often it is continued without getting any further.
      - Part of each pause is random, so that the hosts of a fleet do not come back at one moment. All pauses of a task
        together take at most five minutes, whatever the number here.
    type: int
    default: 3
seealso:
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_network
    description: TLS, proxies, mirrors, and all time limits and bounds.
requirements:
  - requests >= 2.25.1 on the host that runs the module, for registries (OCI image layouts and archives need no package)
  - PySocks >= 1.7 on the host that runs the module, for SOCKS proxies
"""

# Copyright: (c) 2026, the cloudnative.artifacts authors
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
      - The certificate to present to the registry, as a path or as PEM text.
    type: str
  client_key:
    description:
      - The unencrypted key that belongs to O(client_cert), as a path or as PEM text.
    type: str
  proxy:
    description:
      - The URL of a proxy to use in place of those in the environment.
    type: str
  timeout:
    description:
      - The longest wait for a connection, for an answer and for the next bytes of one, each, as a number of seconds
        or a text such as V(90s) or V(1m30s).
    type: str
    default: 60s
  retries:
    description:
      - How often a request is repeated after a passing failure (no connection, a broken one, status 408, 425, 429,
        500, 502, 503 or 504), after a growing pause or the one that the registry asks for, up to a minute.
      - For a download that breaks off, how often it is continued without getting any further.
    type: int
    default: 3
requirements:
  - oras >= 0.2.43, < 0.3 on the host that runs the module, for registries (an OCI image layout needs no package)
"""

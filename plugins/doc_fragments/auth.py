# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  username:
    description:
      - The user name for the registry. What the task says wins over the environment.
      - Without credentials in the task, the environment variables E(OCI_ARTIFACT_USERNAME) with
        E(OCI_ARTIFACT_PASSWORD), and E(OCI_ARTIFACT_AUTH_FILE), are used; then the file E(REGISTRY_AUTH_FILE), the
        document in E(DOCKER_AUTH_CONFIG), and the files of docker and podman (C($DOCKER_CONFIG/config.json),
        C(~/.docker/config.json), C($XDG_RUNTIME_DIR/containers/auth.json) or C(/run/containers/$UID/auth.json),
        C(~/.config/containers/auth.json), C(~/.dockercfg)), all of the host that runs the module. The first that knows
        the registry is used; without one the request is anonymous.
    type: str
  password:
    description:
      - The password or access token that belongs to O(username).
    type: str
  auth_file:
    description:
      - The path of a docker C(config.json) or podman C(auth.json). Entries for a host or for a repository, credential
        helpers and stores, and identity tokens are understood; of several entries the longest path that fits is used.
    type: path
  auth_config:
    description:
      - The content of such a file, as a mapping or as JSON text; the C(.dockerconfigjson) of a Kubernetes pull secret
        is one.
    type: raw
"""

# Copyright (c) 2026, the cloudnative.artifacts authors
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
        E(OCI_ARTIFACT_PASSWORD), and E(OCI_ARTIFACT_AUTH_FILE), of the Ansible controller are used, wherever the module
        runs; then the same of the host that runs the module; then its file E(REGISTRY_AUTH_FILE), the
        document in E(DOCKER_AUTH_CONFIG), and the files of docker and podman (C($DOCKER_CONFIG/config.json),
        C(~/.docker/config.json), C($XDG_RUNTIME_DIR/containers/auth.json) or C(/run/containers/$UID/auth.json),
        C(~/.config/containers/auth.json), C(~/.dockercfg)). The first that knows the registry is used; without one the
        request is anonymous.
    type: str
  password:
    description:
      - The password or access token that belongs to O(username).
      - Do not set E(OCI_ARTIFACT_PASSWORD) with the keyword C(environment) of a task or play. Ansible puts what stands
        there on the command line of a shell, where every user of the host can read it.
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
  provider:
    description:
      - The cloud whose registry is logged in to with the identity that it gives to the host that runs the module. No
        command line tool of the cloud is needed. What the other options, the environment and the files have for the
        registry wins over it.
      - V(aws) is for Amazon ECR, private and public; V(azure) for Azure Container Registry; V(gcp) for Google Artifact
        Registry and Container Registry. Other hosts are refused, see O(provider_registry).
      - V(generic) does nothing of the kind.
      - Where each looks for an identity is in the guide on cloud logins.
    type: str
    choices: [generic, aws, azure, gcp]
    default: generic
  provider_registry:
    description:
      - The name that the registry has at O(provider), such as V(contoso.azurecr.io), when the reference reaches it
        under another one (a private DNS name, a reverse proxy, a pull-through cache). The host of the reference gets
        what would be given to the registry of this name.
    type: str
requirements:
  - botocore >= 1.31 on the host that runs the module, for O(provider=aws)
  - cryptography >= 36 there, for O(provider=azure) with a certificate and O(provider=gcp) with a service account's key
"""

#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_registry_login
short_description: Keep a login to a registry in docker's configuration
version_added: 0.1.0
description:
  - Keeps the credentials for a registry in a docker C(config.json), or in the credential helper that it names, where
    C(docker), C(podman), C(skopeo), C(oras), C(crane), C(helm) and the modules of this collection find them; or removes
    them from there.
  - The other modules of this collection do not need it. They take credentials as options, which leaves nothing behind
    on the host.
  - The credentials are checked with the registry before anything is written.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - The registry and the credential helper are asked as in a real run; nothing is stored.
  diff_mode:
    support: full
    details:
      - Shows the entries of this registry. Secrets are replaced by C((hidden)).
  idempotent:
    support: full
options:
  registry:
    description:
      - The registry, as C(host[:port]), or a namespace or repository of it, as in C(ghcr.io/org).
      - Docker Hub is V(docker.io). Its login is kept under the key that docker uses, C(https://index.docker.io/v1/).
      - C(docker) itself does not look for logins with a path; C(podman), C(skopeo) and this collection do.
    type: str
    required: true
  state:
    description:
      - V(present) keeps the login, V(absent) removes it, in all spellings that docker accepts for O(registry).
    type: str
    choices: [present, absent]
    default: present
  username:
    description:
      - The user name. Beside O(identity_token) it is kept for information.
    type: str
  password:
    description:
      - The password or access token that belongs to O(username).
    type: str
  identity_token:
    description:
      - An identity token (an OAuth2 refresh token), as C(docker login) and C(az acr login) receive one, in place of
        O(password).
    type: str
  credential_helper:
    description:
      - The name of a credential helper for this host, without C(docker-credential-), as in V(ecr-login). It is entered
        in C(credHelpers).
      - With credentials given, these are stored with the helper. Without, the helper is expected to have or to make
        them.
      - With O(state=absent), the entry is removed when it names this helper. What the helper keeps is left alone.
    type: str
  config_file:
    description:
      - The file. Podman's C(auth.json) has the same form. The default is C($DOCKER_CONFIG/config.json), or else
        C(~/.docker/config.json), of the user that runs the module.
      - The file is written as a whole, with mode C(0600), and keeps its owner. What else it holds stays, in its order.
        Tasks of this collection that write to it at the same time take turns.
      - A link is followed, and stays, when it belongs to the user that runs the module, to root, or to the owner of the
        file that it leads to. In the home directory of another user none is followed.
      - A file of another user in a directory that is not that user's own is refused, since it would be given the
        credentials. So is a directory in which others than root, the user that runs the module and the owner of the
        file may replace it.
    type: path
  validate:
    description:
      - Check the credentials with the registry first, also when they are there already. This is one request, and those
        for a token where the registry wants one, and needs the Python package C(requests).
      - Without credentials given, those of the credential helper are checked. With V(false) it need not be installed.
    type: bool
    default: true
notes:
  - When the file names a credential helper for the host (C(credHelpers)) or for all hosts (C(credsStore)), the login is
    kept there, as C(docker login) does, and the file has an empty entry for it. Logins with a path are kept in the file
    whatever C(credsStore) says, since helpers know hosts only.
  - What is given is what is kept. A password is not exchanged for an identity token, as C(docker login) does where a
    token server offers one, since nobody could tell later which password it stood for.
  - The module is not in the action group C(cloudnative.artifacts.oci). Defaults of the group such as C(auth_file)
    have no meaning here, and a default C(password) that is meant for single requests should not end up on a disk.
seealso:
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_login
    description: Where credentials are looked for, and which of them is used.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
"""

EXAMPLES = r"""
- name: Log in to a registry
  cloudnative.artifacts.oci_registry_login:
    registry: registry.example.com
    username: deploy
    password: "{{ registry_password }}"

- name: Log in to one namespace, for podman
  cloudnative.artifacts.oci_registry_login:
    registry: registry.example.com/platform
    username: platform
    password: "{{ registry_password }}"
    config_file: /etc/containers/auth.json

- name: Let a helper make the credentials
  cloudnative.artifacts.oci_registry_login:
    registry: 123456789012.dkr.ecr.eu-west-1.amazonaws.com
    credential_helper: ecr-login
    validate: false

- name: Log out
  cloudnative.artifacts.oci_registry_login:
    registry: registry.example.com
    state: absent
"""

RETURN = r"""
registry:
  description: The registry, and the path in it if there is one.
  returned: success
  type: str
  sample: docker.io
key:
  description: What the login is kept under, in C(auths), C(credHelpers) and with a helper.
  returned: success
  type: str
  sample: https://index.docker.io/v1/
config_file:
  description: The file.
  returned: success
  type: str
  sample: /home/deploy/.docker/config.json
store:
  description: Where the secret is kept, V(file) or the name of a credential helper's program.
  returned: success
  type: str
  sample: docker-credential-pass
validated:
  description: Whether the registry asked for the credentials and took them. Also false when the registry asks for none,
    which is a warning, too.
  returned: success
  type: bool
reason:
  description: A stable code for what happened. On success V(LoginStored), V(LoginRemoved) or V(LoginUpToDate);
    V(AuthenticationFailed) when the registry refuses the credentials.
  returned: always
  type: str
  sample: LoginStored
retryable:
  description:
    - Whether the same task may succeed later although nobody changes anything; the registry was out of reach or in
      trouble, or something was locked, after all retries. The guide on errors says it for each reason.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    CONNECTION_SPEC,
    connection_options,
    run_registry_module,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.login import LoginOptions, login

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    options = LoginOptions(
        registry=params["registry"],
        present=params["state"] == "present",
        username=params["username"] or "",
        password=params["password"] or "",
        identity_token=params["identity_token"] or "",
        credential_helper=params["credential_helper"] or "",
        config_file=params["config_file"] or "",
        validate=params["validate"],
        connection=connection_options(params),
    )
    return login(options, check_mode=module.check_mode, want_diff=module._diff)


def main() -> None:
    spec = {
        **CONNECTION_SPEC,
        "registry": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "identity_token": {"type": "str", "no_log": True},
        "credential_helper": {"type": "str"},
        "config_file": {"type": "path"},
        "validate": {"type": "bool", "default": True},
    }
    run_registry_module(spec, run, mutually_exclusive=[("password", "identity_token")])


if __name__ == "__main__":
    main()

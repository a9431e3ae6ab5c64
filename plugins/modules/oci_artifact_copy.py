#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_copy
short_description: Copy an OCI artifact with its signatures
version_added: 0.1.0
description:
  - Copies an artifact to another registry, to an OCI image layout or to an OCI archive, or from one of these, with all
    that belongs to it. That is the manifests of all platforms, what refers to the artifact (Sigstore bundles, Notation
    signatures, SBOMs), and what Cosign keeps under the tags C(sha256-….sig), C(.att) and C(.sbom). The same is looked
    for at each platform, and at each of these in turn.
  - Bytes are never changed, so that digests and signatures stay valid. Where a registry has no referrers API, the tag
    that stands in for it is kept.
  - The copy goes by digest, and the tag is written last. Whoever follows it finds the signatures.
  - Only what is missing is sent; what both repositories of one registry can share is mounted. A copy that was
    interrupted goes on where it stopped.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.reference
  - cloudnative.artifacts.selection
  - cloudnative.artifacts.verify.option
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - Both sides are read and compared, and nothing is sent.
  diff_mode:
    support: full
    details:
      - Shows the tag, and the manifests that the target has and will have.
  idempotent:
    support: full
options:
  to:
    description:
      - Where the artifact is copied to, as in V(oci://mirror.example.com/platform/config),
        V(oci-layout:/media/transfer/config) or V(oci-archive:/media/transfer/config.tar). Without a tag, it gets the
        tag that it was found by; a digest alone gives it none.
      - C({registry}), C({repository}) and C({name}), which is the last part of the repository, stand for those of the
        source, as in V(mirror.example.com/{repository}).
    type: str
    required: true
  to_registry:
    description:
      - What the registry in O(to) needs. O(username), O(password) and O(client_cert) are for the registry of the
        source, and are used for that of O(to) only if it is the same. What O(auth_file), O(auth_config), the login of
        docker or podman, or O(provider) has for it is used, unless credentials are given here. The rest is as the task
        says.
    type: dict
    suboptions:
      username:
        description: As O(username).
        type: str
      password:
        description: As O(password).
        type: str
      auth_file:
        description: As O(auth_file).
        type: path
      insecure:
        description: As O(insecure).
        type: bool
      validate_certs:
        description: As O(validate_certs).
        type: bool
      ca_cert:
        description: As O(ca_cert).
        type: str
  force:
    description:
      - Move a tag at the target that is a version, and has other content there. Other tags are moved without it.
    type: bool
    default: false
seealso:
  - module: cloudnative.artifacts.oci_artifact_pull
  - module: cloudnative.artifacts.oci_artifact_push
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_air_gap
    description: Image layouts and archives.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
"""

EXAMPLES = r"""
- name: Put a release and its signatures into one file
  cloudnative.artifacts.oci_artifact_copy:
    ref: registry.example.com/platform/config:1.4.2
    to: oci-archive:/media/transfer/config.tar
    verify:
      public_keys: [/etc/keys/release.pub]

- name: Mirror the newest release under the same name
  cloudnative.artifacts.oci_artifact_copy:
    url: oci://registry.example.com/platform/config
    semver: 1.x
    to: registry.example.com/mirror/{repository}
"""

RETURN = r"""
artifact:
  description: The artifact at the source.
  returned: success
  type: dict
  contains:
    url:
      description: The repository, layout or archive.
      type: str
    revision:
      description: V(tag@digest), or the digest.
      type: str
    tag:
      description: The tag that it was found by; empty for a digest alone.
      type: str
    digest:
      description: The digest of the manifest or index.
      type: str
to:
  description: The place that it was copied to, with the tag there.
  returned: success
  type: str
  sample: mirror.example.com/platform/config:1.4.2
copied:
  description: Digest, media type, artifact type, size (bytes, with its blobs) and tag of each manifest that the target
    did not have, the artifact itself among them.
  returned: success
  type: list
  elements: dict
skipped:
  description: The number of manifests that the target had.
  returned: success
  type: int
drifted:
  description: Tags of Cosign at the target that have signatures which the source lacks, with the digest at the source
    and at the target. They are left as they are, with a warning.
  returned: success
  type: list
  elements: dict
blobs:
  description: The number of blobs that were there already, that were mounted, and that were uploaded.
  returned: success
  type: dict
  sample: {"existed": 1, "mounted": 0, "uploaded": 3}
verification:
  description: What RV(cloudnative.artifacts.oci_artifact_verify#module:verification) has.
  returned: with O(verify)
  type: dict
reason:
  description: V(ArtifactCopied) or V(ArtifactUpToDate); on failure a stable code for it.
  returned: always
  type: str
  sample: ArtifactCopied
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
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    LOCK_SPEC,
    REFERENCE_SPEC,
    SELECTION_SPEC,
    TAG_MOVED_SPEC,
    VERIFY_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    run_registry_module,
    verify_policy,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    AuthOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.copy import CopyOptions, copy

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_CREDENTIALS = ("username", "password", "auth_file")
_CONNECTION = ("insecure", "validate_certs", "ca_cert")
TO_REGISTRY_SPEC: dict[str, Any] = {
    **{name: AUTH_SPEC[name] for name in _CREDENTIALS},
    **{name: {"type": CONNECTION_SPEC[name]["type"]} for name in _CONNECTION},
}


def target_auth(given: dict[str, Any]) -> AuthOptions | None:
    """The credentials that are given for the target; None when there are none."""
    if not any(given.get(name) for name in _CREDENTIALS):
        return None
    return AuthOptions(**{name: given.get(name) or "" for name in _CREDENTIALS})


def target_connection(params: dict[str, Any], given: dict[str, Any]) -> ConnectionOptions:
    own = {name: given[name] for name in _CONNECTION if given.get(name) is not None}
    return connection_options({**params, **own})


def run(module: AnsibleModule) -> dict[str, Any]:
    params, given = module.params, module.params["to_registry"] or {}
    options = CopyOptions(
        reference=reference_options(params),
        to=params["to"],
        policy=verify_policy(params["verify"]),
        force=params["force"],
        auth=auth_options(module),
        connection=connection_options(params),
        to_auth=target_auth(given),
        to_connection=target_connection(params, given),
        cache=cache_options(module),
    )
    result = copy(options, check_mode=module.check_mode)
    return result if module._diff else {name: value for name, value in result.items() if name != "diff"}


def main() -> None:
    spec = {
        **REFERENCE_SPEC,
        **SELECTION_SPEC,
        **TAG_MOVED_SPEC,
        **VERIFY_SPEC,
        **AUTH_SPEC,
        **CONNECTION_SPEC,
        **CACHE_SPEC,
        **LOCK_SPEC,
        "to": {"type": "str", "required": True},
        "to_registry": {"type": "dict", "options": TO_REGISTRY_SPEC},
        "force": {"type": "bool", "default": False},
    }
    run_registry_module(spec, run, mutually_exclusive=[("auth_file", "auth_config")])


if __name__ == "__main__":
    main()

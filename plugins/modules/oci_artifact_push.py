#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_push
short_description: Build an OCI artifact from files and publish it
version_added: 0.1.0
description:
  - Packs a directory, files or a Helm chart reproducibly, and publishes them to a registry, an OCI image layout or an
    OCI archive.
  - The same content gives the same digest, whatever the checkout, umask, clock or Python. A tag that already holds it
    is left alone, and nothing is sent.
  - Tags are written last, and a tag that is a version is never moved to other content unless told so.
  - It can be signed in the same task, before any tag leads to it; see O(sign).
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.reference
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.sign.option
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows tags, annotations and layers before and after, the files of a packed directory or a chart, and what was
        left out of it.
  idempotent:
    support: full
options:
  path:
    description:
      - What to publish, on the host that runs the module. A directory or a file with O(type=flux), a chart directory
        or a packaged chart (C(.tgz)) with O(type=helm), a directory with O(type=ansible), and any files and directories
        with O(type=files).
      - A path, or with O(type=files) a list of paths, or of mappings with C(path), C(media_type) and C(name) (the
        title of the layer).
    type: raw
    required: true
  type:
    description:
      - V(flux) makes what C(flux push artifact) makes, one archive of a directory or file.
      - V(helm) makes what C(helm push) makes. A directory is packaged as C(helm package) does; the bytes of a
        packaged chart are kept, and its provenance file is published with it, see O(provenance). The tag is the
        chart's version, with C(+) written as C(_), unless tags are given. Unlike C(helm push), the name of the chart
        is not added to the repository.
      - V(files) makes what C(oras push) makes, one layer for each path, titled with its name.
      - V(ansible) makes one archive of a directory with playbooks, roles and inventories, for hosts that run it
        themselves; see P(cloudnative.artifacts.reconcile#role) and O(vendor_collections).
    type: str
    choices: [flux, helm, files, ansible]
    default: flux
  vendor_collections:
    description:
      - Put the collections that C(requirements.yml) or C(collections/requirements.yml) of the project names into its
        directory C(collections), with O(type=ansible), so that hosts need no Galaxy server.
      - It runs C(ansible-galaxy collection install) on the host that runs the module, on a copy of the project, with
        the servers that its configuration names. In check mode, too, since the digest depends on it.
      - Name exact versions there, so that the same project gives the same digest.
    type: bool
    default: false
  provenance:
    description:
      - The provenance file of the chart, with O(type=helm), which C(helm pull --verify) checks. It has to name the
        digest of the archive that is published; its signature is not checked.
      - The default is the file C(<chart>.tgz.prov) beside a packaged chart, when there is one; an empty text means
        none. A chart directory has none, unless one is given that was made for the very archive it is packaged to.
    type: path
  tags:
    description:
      - Tags to publish under, beside the one in the reference. Without any the tag is V(latest), with O(type=helm)
        the version of the chart, and with O(subject) there is none.
      - Tags that look like numbers have to be in quotes, as in V(['1.10']); see O(tag).
    type: list
    elements: str
    default: []
  artifact_type:
    description:
      - The artifact type of the manifest. Not with O(type=helm).
    type: str
  config_media_type:
    description:
      - The media type of the config in place of the one that O(type) implies. Not with O(type=helm).
    type: str
  layer_media_type:
    description:
      - The media type of the layers in place of the one that O(type) implies. Not with O(type=helm).
    type: str
  annotations:
    description:
      - Annotations of the manifest; they win over those that the module makes.
    type: dict
    default: {}
  source:
    description:
      - Where the content comes from, as in the URL of a repository, for the annotation
        C(org.opencontainers.image.source).
    type: str
  revision:
    description:
      - Which state of it this is, as in V(main@sha1:6f1b3c2), for the annotation C(org.opencontainers.image.revision).
    type: str
  created:
    description:
      - The time for the annotation C(org.opencontainers.image.created), in RFC 3339. The default is the environment
        variable E(SOURCE_DATE_EPOCH), else 1970-01-01T00:00:00Z, so that the digest depends on the content alone;
        with O(type=files) the annotation is left out then.
      - Without this option and the variable, a tag that holds the same chart or files with another time, as C(helm
        push) and C(oras push) note it, is left alone.
    type: str
  ignore:
    description:
      - Patterns in the format of C(.gitignore), as text or as a list of lines, for entries of a directory that are
        left out.
      - Any pattern here replaces the default exclusions, except those for version control files. The defaults leave
        out version control files, C(*.jpg), C(*.jpeg), C(*.gif), C(*.png), C(*.wmv), C(*.flv), C(*.tar.gz) and
        C(*.zip); with O(type=files) version control files alone; with O(type=ansible) these, what runs of Ansible and
        Python leave behind, virtual environments (C(.venv/)) and files for passwords of Ansible Vault
        (C(.vault_pass*), C(.vault-pass*), C(vault_password*)).
      - C(.sourceignore) files are published, and take effect when the artifact is pulled. A chart directory follows
        its C(.helmignore) in place of this option.
    type: raw
  subject:
    description:
      - The tag or digest, in the same repository, of a manifest that this artifact refers to, as an SBOM does. It is
        found by the referrers API, and under the fallback tag of a registry without one. It has to be there, and must
        not be one of the tags to write.
    type: str
  immutable_tags:
    description:
      - A regular expression for tags that are never moved from one digest to another unless O(force=true); it may
        match anywhere in the tag. An empty text protects none.
      - The default protects tags that are SemVer versions of three parts, with or without C(v).
    type: str
  mount_from:
    description:
      - Repositories of the same registry that may hold the layers already, which the registry is then asked to take
        from there.
    type: list
    elements: str
    default: []
  force:
    description:
      - Move tags even if O(immutable_tags) protects them.
    type: bool
    default: false
requirements:
  - PyYAML >= 5.4 on the host that runs the module, for O(type=helm)
  - cryptography >= 36 on the host that runs the module, for O(sign)
  - PyNaCl >= 1.4 on the host that runs the module, for a signing key that cosign encrypted
seealso:
  - module: cloudnative.artifacts.oci_artifact_pull
  - module: cloudnative.artifacts.oci_artifact_info
  - module: cloudnative.artifacts.oci_artifact_sign
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_publish
    description: What each type publishes, and why the same content gives the same digest.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
"""

EXAMPLES = r"""
- name: Publish a directory of manifests as an artifact for Flux
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/deploy"
    ref: registry.example.com/platform/config:1.4.2
    source: https://git.example.com/platform/config
    revision: main@sha1:6f1b3c2

- name: Publish it under a channel as well
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/deploy"
    url: oci://registry.example.com/platform/config
    tags: [1.4.2, stable]
    source: https://git.example.com/platform/config
    revision: main@sha1:6f1b3c2

- name: Publish a release and sign it
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/deploy"
    ref: registry.example.com/platform/signed:1.4.2
    sign:
      key: /etc/keys/release.key
      key_password: "{{ lookup('ansible.builtin.env', 'SIGNING_PASSWORD') }}"

- name: Publish a Helm chart, tagged with its version
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/charts/podinfo"
    url: oci://contoso.azurecr.io/marketing/campaign1/chart
    type: helm

- name: Publish two files of their own types
  cloudnative.artifacts.oci_artifact_push:
    path:
      - path: "{{ playbook_dir }}/build/model.onnx"
        media_type: application/onnx
      - path: "{{ playbook_dir }}/build/README.md"
        media_type: text/markdown
    ref: registry.example.com/models/ranker:7
    type: files
    artifact_type: application/vnd.example.model.v1

- name: Attach an SBOM to a published artifact
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/build/sbom.spdx.json"
    url: oci://registry.example.com/platform/config
    type: files
    artifact_type: application/spdx+json
    layer_media_type: application/spdx+json
    subject: 1.4.2

- name: Publish a playbook project that hosts run themselves
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/project"
    ref: registry.example.com/platform/hosts:1.4.2
    type: ansible
    sign:
      key: /etc/keys/release.key

- name: Fill an OCI image layout for an air-gapped site
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/deploy"
    ref: oci-layout:/media/transfer/bundle:2.3.0

- name: Put a release and its signature into one file
  cloudnative.artifacts.oci_artifact_push:
    path: "{{ playbook_dir }}/deploy"
    ref: oci-archive:/media/transfer/bundle.tar:2.3.0
    sign:
      key: /etc/keys/release.key
"""

RETURN = r"""
artifact:
  description: The artifact that is published (in check mode, would be).
  returned: success
  type: dict
  contains:
    url:
      description: The repository or layout.
      type: str
      sample: oci://registry.example.com/platform/config
    revision:
      description: V(tag@digest), the digest alone when no tag is written.
      type: str
      sample: 1.4.2@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    tag:
      description: The first tag.
      type: str
    digest:
      description: The digest of the manifest.
      type: str
    media_type:
      description: The media type of the manifest.
      type: str
    artifact_type:
      description: The artifact type of the manifest, or the media type of its config.
      type: str
    metadata:
      description: The annotations of the manifest.
      type: dict
    layer:
      description: Digest, media type and size (bytes) of the first layer.
      type: dict
    size:
      description: Bytes of all layers.
      type: int
tags:
  description: What became of each tag, V(created), V(moved) or V(unchanged).
  returned: success
  type: dict
  sample: {"1.4.2": "unchanged", "stable": "moved"}
blobs:
  description: How many blobs the registry had already (V(existed)), took from another repository (V(mounted)) or were
    V(uploaded).
  returned: success
  type: dict
  sample: {"existed": 1, "mounted": 0, "uploaded": 1}
ignored:
  description:
    - What was left out of the directories that are published, by the default exclusions, O(ignore), the C(.helmignore)
      of a chart and Helm's own rules, as are the records of pulls. Names are relative and sorted, at most 1,000; a
      directory stands for all that is below it.
    - There is a warning when a default exclusion, and not a rule of your own, left out something other than C(.git).
  returned: success
  type: list
  elements: str
  sample: ["logo.png", "old.zip"]
ignored_count:
  description: How many names RV(ignored) would have without its limit.
  returned: success
  type: int
  sample: 2
signatures:
  description: The signatures by the key of O(sign) on what the tags hold; empty without that option. See
    M(cloudnative.artifacts.oci_artifact_sign).
  returned: success
  type: list
  elements: dict
  contains:
    format:
      description: V(legacy) or V(bundle).
      type: str
    digest:
      description: The digest of the layer or manifest that carries the signature.
      type: str
    key:
      description: The SHA-256 of the public key (SubjectPublicKeyInfo).
      type: str
    status:
      description: V(created) or V(unchanged).
      type: str
    artifact:
      description: The digest that is signed.
      type: str
chart:
  description: What the chart says about itself.
  returned: with O(type=helm)
  type: dict
  contains:
    name:
      description: Its name, which the repository need not have.
      type: str
      sample: podinfo
    version:
      description: Its version, which is not necessarily the tag.
      type: str
      sample: 6.7.1+build.2
    app_version:
      description: The version of the application in it, or empty.
      type: str
reason:
  description: A stable code for what happened. On success V(ArtifactPushed), V(ArtifactSigned) when nothing but a
    signature was missing, or V(ArtifactUpToDate).
  returned: always
  type: str
  sample: ArtifactPushed
refused_by:
  description:
    - The rule of O(policy) that refused it. C(policy) is the path of its file, empty where the task has its content;
      C(match) is that of the rule, and C(check) the key in it.
  returned: failure, when a rule is the cause
  type: dict
  sample: {"policy": "/etc/oci-policy.yml", "match": "ghcr.io/org", "check": "min_age"}
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
    REFERENCE_SPEC,
    RULES_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    rules_of,
    run_registry_module,
    string_values,
    text_lines,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import BuildOptions, parse_inputs
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.push import PushOptions, push

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.sign import SigningOptions


def signing_options(signing: dict[str, Any]) -> SigningOptions:
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.sign import parse_signing

    return parse_signing(signing, string_values(signing["annotations"], "sign.annotations"))


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    options = PushOptions(
        reference=reference_options(params),
        build=BuildOptions(
            inputs=parse_inputs(params["path"], params["type"]),
            type=params["type"],
            artifact_type=params["artifact_type"] or "",
            config_media_type=params["config_media_type"] or "",
            layer_media_type=params["layer_media_type"] or "",
            annotations=string_values(params["annotations"], "annotations"),
            source=params["source"] or "",
            revision=params["revision"] or "",
            created=params["created"] or "",
            ignore=text_lines(params["ignore"], "ignore"),
            provenance=params["provenance"],
            vendor_collections=params["vendor_collections"],
        ),
        tags=params["tags"],
        subject=params["subject"] or "",
        immutable_tags=params["immutable_tags"],
        mount_from=params["mount_from"],
        force=params["force"],
        sign=signing_options(params["sign"]) if params["sign"] else None,
        auth=auth_options(module),
        connection=connection_options(params),
        cache=cache_options(module),
        policy=rules_of(params["policy"]),
    )
    result = vars(push(options, check_mode=module.check_mode, want_diff=module._diff))
    if not result["chart"]:
        del result["chart"]
    return result


def main() -> None:
    spec = {
        **REFERENCE_SPEC,
        **AUTH_SPEC,
        **CONNECTION_SPEC,
        **CACHE_SPEC,
        **RULES_SPEC,
        "path": {"type": "raw", "required": True},
        "type": {"type": "str", "choices": ["flux", "helm", "files", "ansible"], "default": "flux"},
        "provenance": {"type": "path"},
        "vendor_collections": {"type": "bool", "default": False},
        "tags": {"type": "list", "elements": "str", "default": []},
        "artifact_type": {"type": "str"},
        "config_media_type": {"type": "str"},
        "layer_media_type": {"type": "str"},
        "annotations": {"type": "dict", "default": {}},
        "source": {"type": "str"},
        "revision": {"type": "str"},
        "created": {"type": "str"},
        "ignore": {"type": "raw"},
        "subject": {"type": "str"},
        "immutable_tags": {"type": "str"},
        "mount_from": {"type": "list", "elements": "str", "default": []},
        "force": {"type": "bool", "default": False},
        "sign": {
            "type": "dict",
            "options": {
                "key": {"type": "str", "required": True, "no_log": True},
                "key_password": {"type": "str", "no_log": True},
                "format": {"type": "str", "choices": ["both", "bundle", "legacy"], "default": "both"},
                "annotations": {"type": "dict", "default": {}},
            },
        },
    }
    run_registry_module(spec, run, mutually_exclusive=[("auth_file", "auth_config")])


if __name__ == "__main__":
    main()

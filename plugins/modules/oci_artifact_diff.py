#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_diff
short_description: Show what differs between two OCI artifacts, or an artifact and a directory
version_added: 0.1.0
description:
  - Compares two artifacts, in registries or OCI image layouts, or an artifact and a directory. Returns the files that
    were added, removed and changed, with a unified diff of text files, permissions, targets of links, and annotations.
  - Helm charts are also compared by C(Chart.yaml), by their default values, and by the manifests that C(helm template)
    renders from these.
  - Two references to one digest are equal, and nothing is fetched for them. Of others the manifests are fetched, and
    the layers that only one side has.
  - A policy in O(verify) has to be satisfied by each artifact before anything of it is fetched. Of the rule of
    O(policy) for its repository, C(verify), C(deny_tags), C(deny_digests) and C(tag_moved) count as well; the others
    are about changes, and this module makes none.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.verify.option
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - This module never changes anything. Without check mode, what it fetches is kept in O(cache_dir), if that is
        given.
  diff_mode:
    support: full
    details:
      - Shows manifests, files of up to 64 KiB and rendered manifests before and after, although the task is not
        changed. At most 1 MiB of text is shown of files, and of rendered manifests; the rest as size and digest.
      - Callbacks such as C(ansible.posix.json), whose output is read by programs, have it as C(diff) of the result.
        So have tasks with a C(changed_when) of their own; where that is true, the callback shows it.
  idempotent:
    support: full
    details:
      - This module never changes anything.
options:
  from:
    description:
      - One side of the comparison, the older one. What only O(to) has counts as added.
      - As text, a reference in its short form, as in V(registry.example.com/platform/config:1.4.2) or
        V(oci-layout:/srv/bundle:2.3.0); or the path of a directory on the host that runs the module, which begins with
        C(/), C(./), C(../), C(~) or C($). One side has to be an artifact.
      - As a mapping, one of C(ref), C(url) and C(path) (the directory), with C(tag), C(digest), C(semver),
        C(semver_filter), C(filter_tags) and C(tag_moved), which mean what they do for
        M(cloudnative.artifacts.oci_artifact_pull). Any other option of this module but O(helm), O(policy) and
        O(cache_dir) may be there as well, and counts for this side in place of the task's.
      - As soon as a mapping has one of the options that say who logs in (O(username), O(password), O(auth_file),
        O(auth_config), O(provider), O(provider_registry)), all of them are its own.
      - A directory is compared as a pull would place the artifact. The records of pulls are not part of it. What
        O(ignore) and Flux's default exclusions leave out of the artifact is left out of the directory, too, and of the
        directory of a chart what its C(.helmignore) names.
      - Only root and the user that runs the module may be able to replace the directory, as for C(dest) of a pull.
        Symbolic links in it are not followed.
    type: raw
    required: true
  to:
    description:
      - The other side of the comparison, the newer one, as O(from).
    type: raw
    required: true
  layer_selector:
    description:
      - Which layers are compared, and how, as C(layerSelector) of Flux's OCIRepository.
    type: dict
    suboptions:
      media_type:
        description:
          - Compare only layers with exactly this media type.
        type: str
      operation:
        description:
          - V(extract) compares the files in layers, V(copy) their bytes as they are, under the names that a pull gives
            them.
        type: str
        choices: [extract, copy]
        default: extract
  layers:
    description:
      - Which layers are compared. The values mean what they do for M(cloudnative.artifacts.oci_artifact_pull).
    type: str
    choices: [auto, first, all]
    default: auto
  platform:
    description:
      - The platform to take from an image index, as in V(linux/arm64) or V(linux/arm/v7).
      - The default is the platform of the host that runs the module.
    type: str
  ignore:
    description:
      - Patterns in the format of C(.gitignore), as text or as a list of lines, for entries that are not compared. They
        are used, and Flux's default exclusions are, as by M(cloudnative.artifacts.oci_artifact_pull).
    type: raw
  max_size:
    description:
      - The most that each side may unpack to or hold, in bytes or with a unit (powers of 1024), as in V(500MiB).
    type: str
    default: 8GiB
  max_files:
    description:
      - The most entries (files, directories, links) that each side may have.
    type: int
    default: 200000
  helm:
    description:
      - The program Helm on the host that runs the module, a path or a name in PATH. It renders charts, without a
        cluster. Where it is missing, RV(chart.notes) says so, and the rest is compared.
    type: str
    default: helm
requirements:
  - zstandard >= 0.21 on the host that runs the module, for layers compressed with zstd (Python 3.14 needs none)
  - PyYAML >= 5.4 and Helm 3.10 or newer on the host that runs the module, for what is compared of charts beside their
    files
seealso:
  - module: cloudnative.artifacts.oci_artifact_pull
  - module: cloudnative.artifacts.oci_artifact_info
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_diff
    description: What is compared, with an example for each case.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
notes:
  - The values of Secrets are never shown, nor are they where they appear elsewhere. In their place stands a mark, and
    within one run another value has another mark. In values of a chart, that is also so for keys such as
    C(password). A template that may be of a Secret is hidden as a whole.
  - Templates that make random values or use the time render differently each time.
"""

EXAMPLES = r"""
- name: Show what an update would bring
  cloudnative.artifacts.oci_artifact_diff:
    from: registry.example.com/platform/config:1.2.0
    to:
      url: oci://registry.example.com/platform/config
      semver: 1.x
  register: update

- name: Compare a directory with what is published, and report a change where they differ
  cloudnative.artifacts.oci_artifact_diff:
    from: "{{ playbook_dir }}/deploy"
    to: registry.example.com/platform/config:1.4.2
  register: found
  changed_when: found.differs

- name: Compare two versions of a chart by their rendered manifests
  cloudnative.artifacts.oci_artifact_diff:
    from: contoso.azurecr.io/marketing/campaign1/chart:1.1
    to: registry.example.com/charts/podinfo:6.7.1
"""

RETURN = r"""
differs:
  description: Whether anything that is compared differs.
  returned: success
  type: bool
  sample: true
from:
  description: The side O(from).
  returned: success
  type: dict
  contains: &side
    path:
      description: The directory.
      returned: for a directory, without the others
      type: str
    url:
      description: The repository or layout.
      type: str
      sample: oci://registry.example.com/platform/config
    revision:
      description: V(tag@digest) for a tag or a range, and for a tag with a digest beside it; else the digest.
      type: str
      sample: 1.4.2@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    tag:
      description: The tag that was asked for or chosen; empty for a digest alone.
      type: str
    digest:
      description: The digest of the manifest, or of the index when the tag names one.
      type: str
    media_type:
      description: The media type of the manifest or index.
      returned: when the manifest was fetched
      type: str
    artifact_type:
      description: The type of the artifact, or else that of its config.
      returned: when the manifest was fetched
      type: str
    metadata:
      description: The annotations of the manifest.
      returned: when the manifest was fetched
      type: dict
    size:
      description: The bytes of the layers that are compared.
      returned: when the manifest was fetched
      type: int
    content:
      description: The kind of the artifact, as C(placement.content) of M(cloudnative.artifacts.oci_artifact_pull).
      returned: when the manifest was fetched
      type: str
      sample: chart
    verification:
      description: The verification, as M(cloudnative.artifacts.oci_artifact_verify) returns it.
      returned: when O(verify) is given, or O(policy) asks for signatures
      type: dict
to:
  description: The side O(to).
  returned: success
  type: dict
  contains: *side
changes:
  description: The paths that differ, at most 1,000 of each kind. A chart's are relative to its directory.
  returned: success
  type: dict
  contains:
    added:
      description: What only O(to) has. A directory is listed when it is empty.
      type: list
      elements: str
    removed:
      description: What only O(from) has.
      type: list
      elements: str
    changed:
      description: Files with another content, links with another target, and entries of another kind.
      type: list
      elements: str
    modes:
      description: Entries with other permissions. Those of a chart are not compared with those of a directory.
      type: list
      elements: str
counts:
  description: How many paths RV(changes) would have without its limit, by kind.
  returned: success
  type: dict
  sample: {"added": 1, "removed": 0, "changed": 2, "modes": 0}
files:
  description: What differs, path by path, at most 1,000.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path. Bytes that are not UTF-8 are written as C(\xe9).
      type: str
    change:
      description: V(added), V(removed), V(changed), or V(mode) when only the permissions differ.
      type: str
    from:
      description: The entry of O(from), with C(kind) (V(file), V(directory), V(symlink) or V(special)), C(mode)
        (octal), C(size), C(digest) when it is known, and C(target) of a link.
      returned: when it has one
      type: dict
    to:
      description: The entry of O(to), likewise.
      returned: when it has one
      type: dict
    text:
      description: The unified diff, empty when there is none.
      returned: unless only the permissions differ
      type: str
    note:
      description: Why there is no text. The file is binary, is larger than 64 KiB, or there is too much to show.
      returned: when there is no text
      type: str
annotations:
  description: The annotations of the manifest that differ.
  returned: success
  type: dict
  contains:
    added:
      description: Those that only O(to) has.
      type: dict
    removed:
      description: Those that only O(from) has.
      type: dict
    changed:
      description: Those with another value, with C(from) and C(to) for each.
      type: dict
layers:
  description: The descriptors of layers that differ, at most 1,000 of each kind, in RV(layers.added) and
    RV(layers.removed).
  returned: success
  type: dict
  contains:
    added:
      description: Those that only O(to) has.
      type: list
      elements: dict
    removed:
      description: Those that only O(from) has.
      type: list
      elements: dict
chart:
  description: What differs between two charts.
  returned: when both sides are charts, and their files differ
  type: dict
  contains:
    metadata:
      description: The fields of C(Chart.yaml) that differ, with C(path), C(from) and C(to), at most 1,000.
      type: list
      elements: dict
      sample: [{"path": "version", "from": "1.1.0", "to": "1.2.0"}]
    values:
      description: The default values that differ, likewise.
      type: list
      elements: dict
    rendered:
      description: Whether the rendered manifests were compared.
      type: bool
    manifests:
      description: The objects that differ, with C(kind), C(namespace), C(name), C(change) (V(added), V(removed) or
        V(changed)) and C(text), the unified diff; or C(note), why there is no text.
      type: list
      elements: dict
    notes:
      description: What could not be compared, and why. They are warnings as well.
      type: list
      elements: str
served_by:
  description: The hosts that answered, which may be mirrors.
  returned: success
  type: list
  elements: str
reason:
  description: A stable code, V(Different) or V(Identical) on success.
  returned: always
  type: str
  sample: Different
refused_by:
  description:
    - The rule of O(policy) that refused it. C(policy) is the path of its file, empty where the task has its content;
      C(match) is that of the rule, and C(check) the key in it.
  returned: failure, when a rule is the cause
  type: dict
  sample: {"policy": "/etc/oci-policy.yml", "match": "ghcr.io/org", "check": "deny_tags"}
retryable:
  description:
    - Whether the same task may succeed later although nobody changes anything; the registry was out of reach or in
      trouble, or something was locked, after all retries. The guide on errors says it for each reason.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.sides import (
    SIDES_SPEC,
    SidesModule,
    side_task,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    RULES_SPEC,
    VERIFY_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    rules_of,
    run_registry_module,
    text_lines,
    verify_policy,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import parse_size
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.diff.diff import diff, named
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.diff.options import DiffOptions, Side
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import (
    Limits,
    parse_layer_selector,
    parse_platform,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

LAYER_SELECTOR_SPEC = {
    "media_type": {"type": "str"},
    "operation": {"type": "str", "choices": ["extract", "copy"], "default": "extract"},
}
SPEC: dict[str, Any] = {
    **SIDES_SPEC,
    **AUTH_SPEC,
    **CONNECTION_SPEC,
    **CACHE_SPEC,
    **RULES_SPEC,
    **VERIFY_SPEC,
    "layer_selector": {"type": "dict", "options": LAYER_SELECTOR_SPEC},
    "layers": {"type": "str", "choices": ["auto", "first", "all"], "default": "auto"},
    "platform": {"type": "str"},
    "ignore": {"type": "raw"},
    "max_size": {"type": "str", "default": "8GiB"},
    "max_files": {"type": "int", "default": 200000},
    "helm": {"type": "str", "default": "helm"},
}


def side_options(task: AnsibleModule) -> Side:
    params = task.params
    return Side(
        reference=reference_options(params),
        selector=parse_layer_selector(params["layer_selector"], params["layers"]),
        limits=Limits(parse_size(params["max_size"]), params["max_files"]),
        path=params["path"] or "",
        platform=parse_platform(params["platform"]),
        ignore=text_lines(params["ignore"], "ignore") or "",
        verify=verify_policy(params["verify"]),
        auth=auth_options(task),
        connection=connection_options(params),
    )


def run(module: AnsibleModule) -> dict[str, Any]:
    before, after = (side_task(module, name, SPEC) for name in ("from", "to"))
    options = DiffOptions(
        before=named("from", lambda: side_options(before)),
        after=named("to", lambda: side_options(after)),
        helm=module.params["helm"],
        cache=cache_options(module),
        policy=rules_of(module.params["policy"]),
    )
    return diff(options, want_diff=module._diff)


def main() -> None:
    run_registry_module(SPEC, run, kind=SidesModule, mutually_exclusive=[("auth_file", "auth_config")])


if __name__ == "__main__":
    main()

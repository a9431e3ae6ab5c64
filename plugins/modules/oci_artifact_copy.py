#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_copy
short_description: Copy OCI artifacts with their signatures
version_added: 0.1.0
description:
  - Copies an artifact, several of them, or the tags that a selection picks, to another registry, to an OCI image layout
    or to an OCI archive, or from one of these, with all that belongs to them. That is the manifests of all platforms,
    what refers to the artifact (Sigstore bundles, Notation signatures, SBOMs), and what Cosign keeps under the tags
    C(sha256-….sig), C(.att) and C(.sbom). The same is looked for at each platform, and at each of these in turn.
  - Bytes are never changed, so that digests and signatures stay valid. Where a registry has no referrers API, the tag
    that stands in for it is kept.
  - The copy goes by digest, and the tag is written last. Whoever follows it finds the signatures.
  - Only what is missing is sent; what both repositories of one registry can share is mounted. A copy that was
    interrupted goes on where it stopped.
  - With O(cache_dir), what was copied by an earlier task is remembered for a week. An unchanged tag then takes one
    request, and one that never changes none, besides the lists of tags. Tags that never change are those that are
    versions, and those of C(immutable_tags) in O(policy).
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
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - Both sides are read and compared, and nothing is sent.
  diff_mode:
    support: full
    details:
      - Shows the tags, and the manifests that the target has and will have.
  idempotent:
    support: full
options:
  to:
    description:
      - Where the artifact is copied to, as in V(oci://mirror.example.com/platform/config),
        V(oci-layout:/media/transfer/config) or V(oci-archive:/media/transfer/config.tar). Without a tag, it gets the
        tag that it was found by; a digest alone gives it none.
      - Required for the task, or for each of O(artifacts).
      - C({registry}), C({repository}) and C({name}), which is the last part of the repository, stand for those of the
        source, as in V(mirror.example.com/{repository}).
    type: str
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
  platforms:
    description:
      - Copy only these manifests of an index, as in V(linux/amd64), with what refers to them. The index itself is not
        changed, since its digest and signatures would be others; it still lists all of its manifests. What it lists for
        no platform is copied, too, and so is an artifact that is no index.
      - Layouts and archives take such an index. A registry may refuse an index of which manifests are missing.
    type: list
    elements: str
    default: []
  differential:
    description:
      - Write a layout or an archive without the blobs that the other side has. All manifests are in it.
      - What the other side has are all blobs of a layout or an archive, as in V(oci-archive:/media/last.tar), and
        digests, each of a blob or of an artifact of the source.
      - A copy from there succeeds where the target has the rest. Nothing is sent if it has not.
    type: list
    elements: str
    default: []
  include:
    description:
      - What is copied beside a Helm chart. Each is copied by its digest to the place that O(to) names for it, before
        the chart.
      - V(dependencies) are the charts in C(dependencies) of C(Chart.yaml) whose repository is C(oci://), in the version
        of C(Chart.lock) if there is one, and theirs in turn. Others are listed in RV(not_included).
      - V(images) are those of the manifests that the chart renders with its own values, and those in its annotations
        C(artifacthub.io/images) and C(images). It takes the program C(helm) in PATH.
      - O(verify) is for the chart alone. It has no effect on what is no chart.
    type: list
    elements: str
    choices: [dependencies, images]
    default: []
  force:
    description:
      - Move a tag at the target that is a version, and has other content there. Other tags are moved without it.
      - The source is then asked for tags that are versions, too, whatever is remembered of them. It does not
        change what O(policy) refuses.
    type: bool
    default: false
  limit:
    description:
      - Copy this many of the tags that the selection picks, the best first, and V(0) for all of them. Each keeps its
        name.
      - The selection is O(semver), O(semver_filter) and O(filter_tags). Without any, versions come first, the newest
        first, then other names. Tags of signatures and referrers are no part of it, they travel with what they belong
        to.
      - Without it, the one artifact is copied that a pull would take.
    type: int
  prune:
    description:
      - What to do with tags at the target that the selection covers there, and does not have at the source; with
        O(limit) alone.
      - V(report) lists them in RV(pruned), V(true) removes them as well, with their signatures. With a O(limit) these
        are also older tags which are not among the best any more. Tags that the selection does not cover stay.
      - What another tag needs stays, as what it names, the platforms of an index, and the subject of what is attached.
        Nothing is removed where something could not be copied, or where the source has no tag that matches.
      - An archive, and the source itself, cannot be pruned.
    type: str
    choices: ["false", report, "true"]
    default: "false"
  artifacts:
    description:
      - Several artifacts or selections to copy in this one task, in place of O(ref) or O(url).
      - Each entry is a mapping with the options of this module, without O(artifacts), O(cache_dir), O(policy),
        O(lock_file), O(lock) and O(parallel), which are for the task as a whole. It says what is copied; any other
        option that it leaves out is as the task says.
      - As soon as an entry has one of the options that say who logs in (O(username), O(password), O(auth_file),
        O(auth_config), O(provider), O(provider_registry)), all of them are its own.
      - All entries are checked before anything is asked. Two that could give one tag of the target to different
        artifacts are refused then. After that, one that fails keeps no other from being copied; the task fails in the
        end, and RV(results) says what became of each.
    type: list
    elements: dict
  parallel:
    description:
      - How many artifacts are copied at the same time, from 1 to 32. What goes into one archive is copied one after the
        other.
    type: int
    default: 4
requirements:
  - PyYAML >= 5.4 on the host that runs the module, for O(include), and Helm 3.10 or newer for V(images) in it
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

- name: Take along what changed since the last time
  cloudnative.artifacts.oci_artifact_copy:
    ref: registry.example.com/platform/config:1.4.2
    to: oci-archive:/media/transfer/update.tar
    differential: [oci-archive:/media/transfer/config.tar]

- name: Keep a mirror of what the site uses, and remove there what is not among the newest any more
  cloudnative.artifacts.oci_artifact_copy:
    to: registry.example.com/site/{repository}
    cache_dir: /var/cache/oci-artifacts
    artifacts:
      - url: oci://registry.example.com/platform/config
        semver: 1.x
        limit: 5
        prune: true
        verify:
          public_keys: [/etc/keys/release.pub]
      - url: oci://registry.example.com/charts/podinfo
        limit: 0
      - ref: registry.example.com/platform/config:stable
  register: mirror

- name: Say what was not copied, and why
  ansible.builtin.debug:
    msg: "{{ mirror.refused }}"
"""

RETURN = r"""
results:
  description:
    - What became of each of O(artifacts), in their order. Each has the values that a task without O(artifacts) returns,
      and C(item), the options that name the entry.
    - For the task as a whole RV(copied), RV(present), RV(drifted), RV(refused), RV(pruned), RV(blobs), RV(served_by)
      and RV(reason) are returned; the last is that of the first failure, else V(ArtifactCopied) when it is for any.
  returned: when O(artifacts) is given and its entries can be used, also on failure
  type: list
  elements: dict
artifact:
  description: The artifact at the source.
  returned: success, without O(artifacts) and O(limit)
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
artifacts:
  description: The same of each artifact that is at the target, in the order of the selection.
  returned: with O(limit), also on failure
  type: list
  elements: dict
to:
  description: The place that it was copied to, with the tag there; with O(limit) without a tag.
  returned: without O(artifacts)
  type: str
  sample: mirror.example.com/platform/config:1.4.2
tags:
  description:
    - What became of each tag at the target, V(created), V(moved), V(unchanged), or V(refused) for those in RV(refused).
  returned: without O(artifacts)
  type: dict
  sample: {"1.4.2": "created", "1.4.1": "unchanged"}
copied:
  description: Digest, media type, artifact type, size (bytes, with its blobs) and tag of each manifest that the target
    did not have, the artifacts themselves among them.
  returned: success, and with O(artifacts) or O(limit) also on failure
  type: list
  elements: dict
present:
  description: The number of manifests that were skipped, as the target had them. (Ansible counts a task with a value
    named C(skipped) as one that was not run.)
  returned: success, and with O(artifacts) or O(limit) also on failure
  type: int
drifted:
  description:
    - The tags at the target that name something else than at the source, and are left as they are. These are versions,
      which are moved only with O(force), and tags of Cosign that have signatures which the source lacks, for which
      there is a warning.
  returned: when something was compared
  type: list
  elements: dict
  contains:
    to:
      description: The reference of the tag at the target.
      type: str
    tag:
      description: The tag.
      type: str
    source:
      description: The digest at the source.
      type: str
    target:
      description: The digest at the target.
      type: str
refused:
  description: What was not copied, and why.
  returned: always, unless the options cannot be used
  type: list
  elements: dict
  contains:
    url:
      description: The repository at the source.
      type: str
    tag:
      description: The tag; empty for a digest alone, and where none was found.
      type: str
    digest:
      description: The digest, empty where it is not known.
      type: str
    reason:
      description: As RV(reason), of this artifact.
      type: str
    msg:
      description: Why it was not copied, and what to do.
      type: str
pruned:
  description: The tags at the target that the selection covers and does not have at the source.
  returned: with O(artifacts) or O(limit)
  type: list
  elements: dict
  contains:
    tag:
      description: The tag.
      type: str
    digest:
      description: The digest that it names.
      type: str
    removed:
      description: Whether it is removed; in check mode, would be.
      type: bool
    why:
      description: Why it stays with O(prune=true), V(part) of an index that stays, V(referrer) of what stays,
        V(subject) of a referrer that stays, V(shared) for a tag that the registry does not remove by itself; else
        empty.
      type: str
blobs:
  description: The number of blobs that were there already, that were mounted, and that were uploaded. With
    O(differential) also C(left_out), the number of those that the other side has.
  returned: success, and with O(artifacts) or O(limit) also on failure
  type: dict
  sample: {"existed": 1, "mounted": 0, "uploaded": 3}
included:
  description: The artifacts that were copied beside the chart, in their order.
  returned: with O(include)
  type: list
  elements: dict
  contains:
    kind:
      description: V(dependency) or V(image).
      type: str
    url:
      description: The repository that it comes from.
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
      type: str
    changed:
      description: Whether anything was copied.
      type: bool
    copied:
      description: The number of manifests that the target did not have.
      type: int
    present:
      description: The number of manifests that the target had.
      type: int
not_included:
  description: Kind, name and repository of what the chart names and was not copied, and C(why).
  returned: with O(include)
  type: list
  elements: dict
verification:
  description: What RV(cloudnative.artifacts.oci_artifact_verify#module:verification) has.
  returned: with O(verify) or such a rule of O(policy), without O(artifacts) and O(limit)
  type: dict
served_by:
  description:
    - The hosts that answered for the source, in the order of their first answer, which are mirrors or the registry
      itself. Empty for an OCI image layout.
  returned: success
  type: list
  elements: str
  sample: ["mirror.example.com"]
reason:
  description: V(ArtifactCopied) or V(ArtifactUpToDate); on failure a stable code for it.
  returned: always
  type: str
  sample: ArtifactCopied
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
    - Of several artifacts it is true when it is for each that failed.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.items import (
    ARTIFACTS_SPEC,
    AUTH_UNIT,
    EXCLUSIVE_RULES,
    ItemsModule,
    each_item,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    REFERENCE_SPEC,
    RULES_SPEC,
    SELECTION_SPEC,
    TAG_MOVED_SPEC,
    VERIFY_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    rules_of,
    run_registry_module,
    verify_policy,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    AuthOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.copy import copy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.options import (
    NO_PRUNE,
    PRUNE,
    REPORT,
    CopyOptions,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.rules import Policy

_CREDENTIALS = ("username", "password", "auth_file")
_CONNECTION = ("insecure", "validate_certs", "ca_cert")
TO_REGISTRY_SPEC: dict[str, Any] = {
    **{name: AUTH_SPEC[name] for name in _CREDENTIALS},
    **{name: {"type": CONNECTION_SPEC[name]["type"]} for name in _CONNECTION},
}

# options of one artifact or selection
OWN_SPEC: dict[str, Any] = {
    **REFERENCE_SPEC,
    **SELECTION_SPEC,
    **TAG_MOVED_SPEC,
    **VERIFY_SPEC,
    **AUTH_SPEC,
    **CONNECTION_SPEC,
    "to": {"type": "str"},
    "to_registry": {"type": "dict", "options": TO_REGISTRY_SPEC},
    "platforms": {"type": "list", "elements": "str", "default": []},
    "differential": {"type": "list", "elements": "str", "default": []},
    "include": {"type": "list", "elements": "str", "choices": ["dependencies", "images"], "default": []},
    "force": {"type": "bool", "default": False},
    "limit": {"type": "int"},
    "prune": {"type": "str", "choices": [NO_PRUNE, REPORT, PRUNE], "default": NO_PRUNE},
}
# what names an artifact or a selection, and cannot stand beside a list of them
_IDENTITY = (*REFERENCE_SPEC, *SELECTION_SPEC, "limit")


def target_auth(given: dict[str, Any]) -> AuthOptions | None:
    """The credentials that are given for the target; None when there are none."""
    if not any(given.get(name) for name in _CREDENTIALS):
        return None
    known: dict[str, Any] = {name: given.get(name) or "" for name in _CREDENTIALS}
    return AuthOptions(**known)


def target_connection(params: dict[str, Any], given: dict[str, Any]) -> ConnectionOptions:
    own = {name: given[name] for name in _CONNECTION if given.get(name) is not None}
    return connection_options({**params, **own})


def copy_options(task: AnsibleModule, rules: Policy | None) -> CopyOptions:
    params, given = task.params, task.params["to_registry"] or {}
    if not params["to"]:
        raise InvalidOption("'to' is not given.", "Say where to copy to, for the task or for each of 'artifacts'.")
    return CopyOptions(
        reference=reference_options(params),
        to=params["to"],
        policy=verify_policy(params["verify"]),
        force=params["force"],
        platforms=params["platforms"],
        differential=params["differential"],
        include=params["include"],
        auth=auth_options(task),
        connection=connection_options(params),
        to_auth=target_auth(given),
        to_connection=target_connection(params, given),
        cache=cache_options(task),
        limit=params["limit"],
        prune=params["prune"],
        rules=rules,
    )


def run(module: AnsibleModule) -> dict[str, Any]:
    rules = rules_of(module.params["policy"])
    try:
        result = _copied(module, rules)
    except OciError as exc:
        if not module._diff:
            exc.details.pop("diff", None)
        raise
    return result if module._diff else {name: value for name, value in result.items() if name != "diff"}


def _copied(module: AnsibleModule, rules: Policy | None) -> dict[str, Any]:
    if module.params["artifacts"] is None:
        options = copy_options(module, rules)
        if options.limit is None and options.prune == NO_PRUNE:
            return copy(options, check_mode=module.check_mode)
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.many import (
        copy_many,
        copy_selection,
    )
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.many import check_parallel

    parallel = check_parallel(module.params["parallel"])
    if module.params["artifacts"] is None:
        return copy_selection(options, parallel, check_mode=module.check_mode)
    items = each_item(module, OWN_SPEC, [AUTH_UNIT], lambda task: copy_options(task, rules), labels=("limit", "to"))
    return copy_many(items, cache_options(module), parallel, check_mode=module.check_mode)


def main() -> None:
    several = {name: ARTIFACTS_SPEC[name] for name in ("artifacts", "parallel")}
    spec = {**OWN_SPEC, **CACHE_SPEC, **RULES_SPEC, **several}
    exclusive = [*EXCLUSIVE_RULES, *(("artifacts", name) for name in _IDENTITY)]
    run_registry_module(spec, run, kind=ItemsModule, mutually_exclusive=exclusive)


if __name__ == "__main__":
    main()

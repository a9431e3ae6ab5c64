#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_manifests
short_description: Apply and prune the Kubernetes manifests of OCI artifacts
version_added: 0.1.0
description:
  - Makes a cluster have the objects whose manifests are in artifacts, as Flux's Kustomization does - what is new is
    applied, what changed is updated, and what the last revision had and this one lacks is pruned.
  - An artifact is resolved, verified and fetched once per run, as charts are. Its layers may be archives, such as those
    of C(flux push artifact) and M(cloudnative.artifacts.oci_artifact_push), or YAML files, such as those of
    C(oras push).
  - Objects are applied on the server with one field manager, C(cloudnative.artifacts), which takes over what C(kubectl)
    has set in them, so that fields go that the manifests do not have. That is done in stages - definitions of kinds
    and namespaces, classes, all the rest. Before a stage is written, the server is asked about each of its objects, and
    before the first stage all objects are looked up. When anything fails, nothing is pruned; the next run completes.
  - The objects of an entry are an ApplySet (KEP-3659), so that C(kubectl apply --prune --applyset) and this module find
    and prune each other's objects. Objects of another ApplySet are refused.
  - An artifact that was applied with the same options is left alone after one request to the registry and one to the
    Kubernetes API; see O(manifests[].drift) for what others changed in the cluster.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.cluster
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - The server is asked with a dry run what would become of each object. The cache is filled in check mode, too.
  diff_mode:
    support: full
    details:
      - Shows the objects that change, as they are and as they would be. What Secrets hold is hidden; that it changed is
        not.
  idempotent:
    support: full
options:
  manifests:
    description:
      - The sets of manifests. Options have the names that Flux's Kustomization gives them, in snake case.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name of the set.
        type: str
        required: true
      namespace:
        description:
          - The namespace of the ApplySet's parent, which must exist. Objects that name no namespace go there, too,
            unless O(manifests[].target_namespace) says otherwise.
        type: str
        default: default
      state:
        description:
          - V(absent) removes all objects of the set and the parent of the ApplySet. With O(manifests[].prune=false) it
            removes the parent, and takes the label of the set from the objects, so that another set may have them.
        type: str
        choices: [present, absent]
        default: present
      source:
        description:
          - The name of the artifact in O(sources) or O(fetched). The default is the name of the set.
        type: str
      path:
        description:
          - The directory in the artifact, or the file, with the manifests. All files below it whose names end with
            C(.yaml), C(.yml) or C(.json) are read, hidden ones excepted.
            Without one it is an error, and nothing is pruned.
          - Where the directory has a C(kustomization.yaml), it is built by O(kustomize). Where it has none and
            directories below it do, those are built, and files elsewhere are read.
        type: str
        default: ./
      prune:
        description:
          - Remove what was applied before and is not among the manifests any more.
          - An object with the annotation or label C(cloudnative.artifacts/prune) or
            C(kustomize.toolkit.fluxcd.io/prune) of the value V(disabled) stays. So does one with a controller, which
            makes and removes it. What a removed object owns, such as the Pods of a Job, is removed after it.
        type: bool
        default: true
      target_namespace:
        description:
          - The namespace of all objects that have one, whatever their manifests say. Subjects of role bindings that are
            service accounts of the set follow.
        type: str
      common_metadata:
        description:
          - Labels and annotations of all objects. They replace those of the manifests.
          - Variables of O(manifests[].substitute) are not put into them.
        type: dict
        suboptions:
          labels:
            description:
              - The labels.
            type: dict
          annotations:
            description:
              - The annotations.
            type: dict
      images:
        description:
          - Images of containers that are replaced, by the rules of kustomize.
        type: list
        elements: dict
        suboptions:
          name:
            description:
              - The image in the manifests, without tag and digest.
            type: str
            required: true
          new_name:
            description:
              - What replaces the name.
            type: str
          new_tag:
            description:
              - What replaces the tag and takes a digest away.
            type: str
          digest:
            description:
              - What replaces the digest, and the tag where O(manifests[].images[].new_tag) is not given.
            type: str
      patches:
        description:
          - Patches, in their order.
        type: list
        elements: dict
        suboptions:
          patch:
            description:
              - A strategic merge patch (a mapping) or a JSON patch of RFC 6902 (a list of operations), as YAML text or
                as a value. A strategic merge patch without O(manifests[].patches[].target) is for the object that it
                names.
              - In a strategic merge patch the items of lists of containers, volumes, ports and the like are found by
                the keys that Kubernetes gives them; other lists are replaced. C($patch) of the value V(delete) or
                V(replace) is supported.
            type: raw
            required: true
          target:
            description:
              - The objects that are patched. What is not given stands for any. Group, version, kind, name and namespace
                are regular expressions that have to match as a whole.
            type: dict
            suboptions:
              group:
                description:
                  - The API group.
                type: str
              version:
                description:
                  - The API version, without the group.
                type: str
              kind:
                description:
                  - The kind.
                type: str
              name:
                description:
                  - The name.
                type: str
              namespace:
                description:
                  - The namespace in the manifest.
                type: str
              label_selector:
                description:
                  - A selector of labels, with C(=), C(!=), C(in), C(notin), and keys that have to be there or not.
                type: str
              annotation_selector:
                description:
                  - A selector of annotations, in the same syntax.
                type: str
      substitute:
        description:
          - Variables that are put into the manifests (Flux's C(postBuild.substitute)), such as V(${name}),
            V(${name:=default}), V(${name:-default}) and V(${name/old/new}). V($${name}) stays as V(${name}).
          - A variable without a value and without a default is replaced by nothing. When the option is not given,
            nothing is substituted; an empty mapping substitutes defaults.
          - An object with the annotation or label C(kustomize.toolkit.fluxcd.io/substitute) of the value V(disabled) is
            left as it is.
        type: raw
      substitute_from:
        description:
          - ConfigMaps and Secrets of the cluster whose data are variables, as Flux's C(postBuild.substituteFrom).
          - A later one wins over an earlier one, and O(manifests[].substitute) over all. Line breaks in values are left
            out. Each is read with one request, in every run - the set is applied again when one was changed.
          - What a Secret holds is hidden in diffs and messages.
        type: list
        elements: dict
        suboptions:
          kind:
            description:
              - Whether it is a ConfigMap or a Secret.
            type: str
            choices: [ConfigMap, Secret]
            required: true
          name:
            description:
              - Its name.
            type: str
            required: true
          namespace:
            description:
              - Its namespace. The default is O(manifests[].namespace).
            type: str
          optional:
            description:
              - Whether it may be missing.
            type: bool
            default: false
      decryption:
        description:
          - How files are decrypted that are encrypted with SOPS, as Flux's C(decryption). Without it they are refused.
          - It needs the collection C(community.sops) on the controller, and the program C(sops) on the host that runs
            the module. A mapping without a key takes the keys that SOPS finds by itself, by the environment of the
            task. A file whose key is in HashiCorp Vault has to name the server of E(VAULT_ADDR).
          - Files are decrypted as a whole and before anything is built of them, so that generators and patches of
            kustomize may use them. Nothing decrypted is kept on the host.
        type: dict
        suboptions:
          provider:
            description:
              - What decrypts.
            type: str
            choices: [sops]
            default: sops
          secret_ref:
            description:
              - The name of a Secret in O(manifests[].namespace). The values of its keys that end with C(.agekey) are
                private keys of age.
            type: str
          age_keyfile:
            description:
              - A file with private keys of age, on the host that runs the module.
            type: path
          sops_binary:
            description:
              - The program C(sops). The default is the one in PATH.
            type: path
      force:
        description:
          - Delete and create anew an object of which an immutable field differs, such as the C(roleRef) of a
            RoleBinding. The annotation C(kustomize.toolkit.fluxcd.io/force) of the value V(enabled) does that for
            one object.
          - An object that the API server would not create either is not deleted.
        type: bool
        default: false
      wait:
        description:
          - Wait until all objects are ready, by the rules of kstatus. Nothing is pruned before.
        type: bool
        default: false
      timeout:
        description:
          - How long to wait.
        type: str
        default: 5m
      depends_on:
        description:
          - Sets that have to be ready before, each as C(name), C(namespace/name), or a mapping with C(name) and
            C(namespace). The default namespace is that of the set. One that is not in O(manifests) has to be in the
            cluster, with a last run that ended well, and have no O(manifests[].applyset) of its own.
        type: list
        elements: raw
      suspend:
        description:
          - Leave the set as it is.
        type: bool
        default: false
      drift:
        description:
          - What to do where objects in the cluster differ from an artifact that was applied before. With V(ignore) they
            are not looked at, V(warn) names them in a warning, V(correct) applies them again.
        type: str
        choices: [ignore, warn, correct]
        default: ignore
      drift_ignore:
        description:
          - Fields that keep the values that they have in the cluster, in every run.
        type: list
        elements: dict
        suboptions:
          paths:
            description:
              - JSON pointers (RFC 6901), such as V(/spec/replicas).
            type: list
            elements: str
            required: true
          kind:
            description:
              - The kind of objects that this is for; any without it.
            type: str
          name:
            description:
              - The name of objects that this is for; any without it.
            type: str
          target:
            description:
              - Which objects it is for, as in C(driftIgnoreRules) of Flux. Parts that are not given select everything.
                All but selectors are regular expressions, which have to match as a whole.
            type: dict
            suboptions:
              group:
                description: The API group, such as V(apps).
                type: str
              version:
                description: The API version, without the group.
                type: str
              kind:
                description: The kind.
                type: str
              name:
                description: The name.
                type: str
              namespace:
                description: The namespace that the object is in.
                type: str
              label_selector:
                description:
                  - A selector of labels in the manifest that is applied, with C(=), C(!=), C(in), C(notin), and keys
                    that have to be there or not.
                type: str
              annotation_selector:
                description: A selector of annotations, in the same syntax.
                type: str
      rollback_to:
        description:
          - Apply an earlier artifact of this set instead of what its source stands for - a digest or revision of
            RV(manifests[].history), or V(previous) for the last one that is not what the source stands for now.
          - It is taken from the cache where it is there, without a request to the registry, and verified as ever. It
            stays until the option is removed. It needs O(sources), and the repository has to be the same.
        type: str
      history_max:
        description:
          - How many revisions are noted on the parent of the ApplySet, at least 1.
        type: int
        default: 10
      applyset:
        description:
          - The parent of the ApplySet, as C(kubectl apply --applyset) takes it - C(NAME) or C(secrets/NAME) for a
            Secret, C(configmaps/NAME) for a ConfigMap. The default is a Secret with the name of the set. It has no
            data, and what was applied is noted in an annotation.
        type: str
  defaults:
    description:
      - Options for all O(manifests), which those of an entry are merged over.
    type: dict
    default: {}
  fetched:
    description:
      - The artifacts, as this module returned them. Each layer is compared with its digest before it is used.
    type: dict
    default: {}
  sources:
    description:
      - Artifacts that are fetched first, by this task itself, with the options that each source of
        O(cloudnative.artifacts.helm_chart_sources#module:sources) has, C(verify) among them. In one run of
        C(ansible-playbook) each is resolved, verified and fetched once per host that the task is delegated to. When
        one is not to be had, no set is worked on.
      - An artifact that is fetched does not count as changed.
    type: raw
  source_defaults:
    description:
      - Options for all O(sources), which each may have as well, as
        O(cloudnative.artifacts.helm_releases#module:source_defaults).
    type: raw
  pins:
    description:
      - Revisions of O(sources) that were agreed upon elsewhere, as
        O(cloudnative.artifacts.helm_chart_sources#module:pins).
    type: dict
    default: {}
  cache_dir:
    description:
      - The cache that O(sources) are fetched into, as O(cloudnative.artifacts.helm_chart_sources#module:cache_dir).
    type: path
  kustomize:
    description:
      - The program that builds directories with a C(kustomization.yaml), C(kustomize) or C(kubectl). The default is the
        first of these in PATH. It gets no network plugins, and no file outside of the artifact.
    type: str
  parallel:
    description:
      - How many sets are worked on at once.
    type: int
    default: 4
  lock_timeout:
    description:
      - How long to wait for another run that works on the same set. The lock is a Lease in its namespace.
    type: str
    default: 5m
requirements:
  - PyYAML >= 5.4 on the host that runs the module
  - urllib3, or kubernetes >= 28 where the kubeconfig has credential plugins, on the host that runs the module
  - requests >= 2.25.1, for registries, on the host that runs the module
  - cryptography >= 36, for C(verify)
  - the collection C(community.sops) on the controller and C(sops) on the host that runs the module, for
    O(manifests[].decryption)
seealso:
  - module: cloudnative.artifacts.helm_releases
  - module: cloudnative.artifacts.oci_artifact_push
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_manifests
    description: Manifests from OCI artifacts.
"""

EXAMPLES = r"""
- name: Apply what an artifact holds, and prune what it does not hold any more
  cloudnative.artifacts.oci_manifests:
    sources:
      podinfo:
        url: oci://registry.example.com/manifests/podinfo
        semver: ">=6.0.0 <7.0.0"
        verify:
          public_keys: [/etc/keys/release.pub]
    manifests:
      - name: podinfo
        namespace: podinfo
        path: ./kustomize
        target_namespace: podinfo
        wait: true

- name: Two sets, one after the other
  cloudnative.artifacts.oci_manifests:
    sources:
      platform:
        ref: registry.example.com/manifests/platform:stable
    defaults:
      source: platform
      namespace: platform
    manifests:
      - name: apps
        path: ./apps
        depends_on: [crds]
        substitute:
          cluster: east-1
      - name: crds
        path: ./crds
        prune: false
"""

RETURN = r"""
manifests:
  description:
    - What was done, for each entry of O(manifests).
  returned: always, unless options cannot be used or a source is not to be had
  type: list
  elements: dict
  contains:
    name:
      description: The name of the set.
      type: str
    namespace:
      description: The namespace of the ApplySet's parent.
      type: str
    applyset:
      description: The id of the ApplySet, which its objects have in the label C(applyset.kubernetes.io/part-of).
      type: str
    changed:
      description: Whether an object was, or in check mode would be, created, changed or removed.
      type: bool
    reason:
      description:
        - V(ReconciliationSucceeded), V(Unchanged), V(Suspended), V(Removed), V(DriftDetected), V(NewRevisionPending)
          when a rule of the policy has it wait, as C(why) of C(pending) says, or the reason of the failure.
      type: str
    revision:
      description: The revision of the artifact.
      type: str
    objects:
      description:
        - The objects that changed, at most 1000, each with C(kind), C(namespace), C(name) and C(action) - V(created),
          V(configured), V(recreated), V(pruned), or V(kept) for one that is protected from pruning.
      type: list
      elements: dict
    count:
      description: The number of objects in the set.
      type: int
    history:
      description:
        - The artifacts that were applied, the latest first, each with C(revision), C(digest), C(url) and C(applied).
      type: list
      elements: dict
    error:
      description: Why the set failed.
      returned: when it did
      type: str
fetched:
  description:
    - The artifacts that were fetched, by the name of the source; to be handed to O(fetched).
  returned: when O(sources) is given
  type: dict
statistics:
  description:
    - The number of requests to the Kubernetes API, C(api_requests).
  returned: always
  type: dict
failed_sources:
  description:
    - The sources that are not to be had, with the reason of each.
  returned: failure of a source
  type: dict
reason:
  description:
    - A stable code for the cause of a failure; that of the first set where several failed. V(BuildFailed),
      V(ReconciliationFailed), V(HealthCheckFailed), V(DependencyNotReady), V(Conflict) and V(Forbidden) are of
      manifests.
  returned: failure
  type: str
refused_by:
  description:
    - The rule of O(policy) that refused it. C(policy) is the path of its file, empty where the task has its content;
      C(match) is that of the rule, and C(check) the key in it.
  returned: failure, when a rule is the cause
  type: dict
  sample: {"policy": "/etc/oci-policy.yml", "match": "ghcr.io/org", "check": "min_age"}
retryable:
  description:
    - Whether the same task may succeed later although nobody changes anything. The guide on errors says it for each
      reason. Of several sets it is true when it is for each that failed.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.manifests import (
    MANIFESTS_SPEC,
    fetched_artifacts,
    manifests_items,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.releases import kube_options
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.run import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import parse_duration
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.manifests.deploy import (
    ManifestsOptions,
    deploy_manifests,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    items, kube = manifests_items(module.params), kube_options(module.params)
    if module.params["sources"] is None:
        return _deploy(module, items, kube, module.params["fetched"])
    found = _fetch(module)
    artifacts = found["charts"]
    try:
        earlier = _roll_back(module, items, kube, artifacts) if any(each["rollback_to"] for each in items) else {}
        result = _deploy(module, items, kube, {**module.params["fetched"], **artifacts, **earlier})
    except OciError as exc:
        # they are in the cache, whatever became of the manifests
        exc.details["fetched"] = artifacts
        exc.details["warnings"] = [*found["warnings"], *exc.details.get("warnings", [])]
        raise
    return {**result, "fetched": artifacts, "warnings": [*found["warnings"], *result.get("warnings", [])]}


def _fetch(module: AnsibleModule) -> dict[str, Any]:
    # imported here: with artifacts that are at hand, nothing of it is needed
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.charts import (
        chart_cache,
        chart_sources,
        source_defaults,
    )
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.charts.sources import fetch_charts
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.manifests.source import ManifestsFetch

    try:
        return fetch_charts(chart_sources(module, source_defaults(module)), chart_cache(module), ManifestsFetch)
    except OciError as exc:
        # an artifact that is in the cache is no change of a cluster
        exc.details.pop("changed", None)
        raise


def _roll_back(module: AnsibleModule, items: Any, kube: Any, artifacts: Any) -> dict[str, Any]:
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.charts import (
        chart_cache,
        chart_sources,
        source_defaults,
    )
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.manifests.rollback import fetch_earlier

    sources = {source.name: source for source in chart_sources(module, source_defaults(module))}
    return fetch_earlier(items, sources, artifacts, kube, chart_cache(module))


def _deploy(module: AnsibleModule, items: Any, kube: Any, artifacts: Any) -> dict[str, Any]:
    options = ManifestsOptions(
        manifests=items,
        artifacts=fetched_artifacts(artifacts),
        has_sources=module.params["sources"] is not None,
        kube=kube,
        parallel=module.params["parallel"],
        lock_timeout=parse_duration(module.params["lock_timeout"]),
        policy=rules_of(module.params["policy"]),
        sops=_sops() if any(each["decryption"] for each in items) else None,
        check_mode=module.check_mode,
        want_diff=bool(module._diff),
    )
    return deploy_manifests(options)


def _sops() -> Any:
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.sops import run_sops

    return run_sops


def main() -> None:
    run_module(MANIFESTS_SPEC, run)


if __name__ == "__main__":
    main()

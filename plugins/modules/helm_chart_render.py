#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_chart_render
short_description: Render Helm charts to files, without deploying them
version_added: 0.1.0
description:
  - Renders charts with the values of releases, as C(helm template) does, into a directory with a file for each
    template, or into a single file. Charts are fetched and verified first (O(sources)), were fetched before
    (O(charts)), or lie on the host (O(releases[].chart)).
  - O(releases) may be the list that M(cloudnative.artifacts.helm_releases) deploys. What only says how a release is
    deployed, such as C(wait), is left out, and so is C(preserve_values), since no earlier revision is looked at.
  - A chart that is in the cache and pinned by its digest is rendered without a request to the registry, and so is one
    that was asked for within C(interval) of its source.
  - All files of a release are placed, or none. They belong to this module, which removes those that a chart renders no
    more; other files in the directory are left alone. What was rendered of the same chart with the same values and
    options, and is as it was placed, is left alone, and starts no process of Helm.
  - No cluster is needed, except for O(releases[].values_from). Templates look nothing up in it, and see the Kubernetes
    that O(kube_version) and O(api_versions) say.
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
  diff_mode:
    support: full
    details:
      - Shows the files before and after. What Secrets hold is hidden, and so is every value that holds something that
        came from a Secret; that it changed is not.
  idempotent:
    support: full
options:
  releases:
    description:
      - The releases to render.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name of the release.
        type: str
        required: true
      namespace:
        description:
          - The namespace of the release. Helm writes that of the objects, which is O(releases[].target_namespace) where
            it is set, only where a template asks for it.
        type: str
        default: default
      state:
        description:
          - V(absent) removes the files that were rendered for the release; a directory of this module may stay, empty.
        type: str
        choices: [present, absent]
        default: present
      source:
        description:
          - The name of the chart in O(sources) or O(charts).
        type: str
      chart:
        description:
          - The path of a packaged chart, or of the directory of a chart with its dependencies, on the host that runs
            the module; in place of O(releases[].source).
        type: path
      dest:
        description:
          - Where the files go, an absolute path on the host that runs the module. It is a directory, or with
            O(single_file) a file. The default is V(NAMESPACE/NAME), or V(NAMESPACE/NAME.yaml), in O(dest).
        type: path
      storage_namespace:
        description:
          - As O(cloudnative.artifacts.helm_releases#module:releases[].storage_namespace). It does not change what is
            rendered, nor where to. Releases that differ in it alone each need an O(releases[].dest) of their own.
        type: str
      service_account:
        description:
          - As O(cloudnative.artifacts.helm_releases#module:releases[].service_account). It reads the ConfigMaps and
            Secrets of O(releases[].values_from).
        type: str
      values:
        description:
          - As O(cloudnative.artifacts.helm_releases#module:releases[].values).
        type: raw
      values_files:
        description:
          - As O(cloudnative.artifacts.helm_releases#module:releases[].values_files).
        type: list
        elements: raw
      chart_values_files:
        description:
          - As O(cloudnative.artifacts.helm_releases#module:releases[].chart_values_files).
        type: list
        elements: raw
      values_from:
        description:
          - As O(cloudnative.artifacts.helm_releases#module:releases[].values_from). ConfigMaps and Secrets are all that
            needs a cluster.
        type: list
        elements: dict
        suboptions:
          kind:
            description: Whether it is a ConfigMap, a Secret, or an artifact of O(sources).
            type: str
            choices: [ConfigMap, Secret, OCIArtifact]
            required: true
          name:
            description: The name of the ConfigMap or Secret, which need one.
            type: str
          source:
            description: The name in O(sources) of the artifact, which needs one.
            type: str
          path:
            description: The path of a file in the artifact. The default is V(values.yaml).
            type: str
          namespace:
            description: Its namespace; the default is the namespace of the release.
            type: str
          values_key:
            description: The key in its data.
            type: str
            default: values.yaml
          target_path:
            description: Take the value as one text and set it at this path of the values.
            type: str
          optional:
            description: Whether the object, or the key or file in it, may be missing.
            type: bool
            default: false
          literal:
            description: Take the text for O(releases[].values_from[].target_path) as it is, without a type or lists.
            type: bool
            default: false
      set_values:
        description:
          - As O(cloudnative.artifacts.helm_releases#module:releases[].set_values).
        type: raw
      post_renderer:
        description:
          - As O(cloudnative.artifacts.helm_releases#module:releases[].post_renderer). Where it removes the comments
            that say which template an object is from, all objects are in the file C(manifest.yaml); so they are with
            O(releases[].patches), O(releases[].images) and O(releases[].common_metadata).
        type: dict
        suboptions:
          command:
            description: Its path, or a name in PATH.
            type: str
            required: true
          args:
            description: Its arguments.
            type: list
            elements: str
      target_namespace:
        description:
          - As O(cloudnative.artifacts.helm_releases#module:releases[].target_namespace).
        type: str
      patches:
        description:
          - Patches of the rendered manifests, as C(spec.postRenderers[].kustomize.patches) of Flux's HelmRelease. No
            program is needed; the result is that of kustomize, byte by byte.
          - What changes rendered manifests is applied in this order - O(releases[].post_renderer), patches,
            O(releases[].images), O(releases[].common_metadata). A change of any of them upgrades the release. Drift,
            diffs and check mode see what came of it.
          - Helm 4 hands the hooks of a chart over with the other manifests, Helm 3 does not; see
            O(releases[].post_render_strategy).
        type: list
        elements: dict
        suboptions:
          patch:
            description:
              - A strategic merge patch (a mapping) or a JSON patch of RFC 6902 (a list of operations), as YAML text or
                as a value. A strategic merge patch without O(releases[].patches[].target) is for the object that it
                names; as text, it may be several of them.
              - In a strategic merge patch the items of lists of containers, volumes, ports and the like are found by
                the keys that Kubernetes gives them; other lists, and those of custom resources, are replaced. A value
                of null, and C($patch) with the value V(delete), take away; V(replace) is supported, too.
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
                  - The namespace in the manifest; an object without one is in V(default) here.
                type: str
              label_selector:
                description:
                  - A selector of labels, with C(=), C(!=), C(in), C(notin), and keys that have to be there or not.
                type: str
              annotation_selector:
                description:
                  - The same for annotations.
                type: str
      images:
        description:
          - Images of containers that are replaced, by the rules of kustomize, as
            C(spec.postRenderers[].kustomize.images).
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
              - What replaces the digest, and the tag where O(releases[].images[].new_tag) is not given.
            type: str
      common_metadata:
        description:
          - Labels and annotations of all objects, as C(spec.commonMetadata). They replace those of the manifests;
            templates of Pods and selectors are left as they are.
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
      post_render_strategy:
        description:
          - Whether O(releases[].patches), O(releases[].images) and O(releases[].common_metadata) are for the hooks of
            the chart, too, as C(spec.postRenderStrategy). V(nohooks) leaves hooks as they are, V(combined) and
            V(separate) do not; the two differ for O(releases[].patches) of objects that are there twice in kustomize,
            and in nothing here. Both need Helm 4.
          - The default is what Helm does, V(combined) with Helm 4 and V(nohooks) with Helm 3.
        type: str
        choices: [nohooks, combined, separate]
      disable_hooks:
        description:
          - Leave out the hooks of the chart.
        type: bool
        default: false
      skip_schema_validation:
        description:
          - Do not check values against the schema of the chart. Needs Helm 3.16.
        type: bool
        default: false
  defaults:
    description:
      - Put below each release - what a release says itself wins, and mappings (values, too) are merged.
    type: dict
    default: {}
  dest:
    description:
      - The directory for releases that have no O(releases[].dest).
    type: path
  single_file:
    description:
      - Render each release into one file, as C(helm template) prints it. Without it there is a file for each template,
        named as C(helm template --output-dir) names it, such as V(podinfo/templates/service.yaml).
    type: bool
    default: false
  mode:
    description:
      - The permissions of files, octal (V('0640'), quoted) or symbolic (V(u=rwX,g=rX,o=)). With an octal mode,
        directories get the execute bit wherever it grants the read bit.
      - The default is V('0600'), since charts render Secrets, too. The directory itself follows the umask.
    type: raw
  force:
    description:
      - Replace files that are in the way and were not rendered by this module.
    type: bool
    default: false
  kube_version:
    description:
      - The version of Kubernetes that templates see, such as V(1.31). The default is the one that Helm was built for.
    type: str
  api_versions:
    description:
      - API versions that templates see beside those of Kubernetes itself, such as V(monitoring.coreos.com/v1).
    type: list
    elements: str
    default: []
  include_crds:
    description:
      - Render the CustomResourceDefinitions in the directory C(crds) of the chart, too.
    type: bool
    default: false
  skip_tests:
    description:
      - Leave out the tests of the chart.
    type: bool
    default: false
  show_only:
    description:
      - Render these templates alone, such as V(templates/service.yaml). It is an error when the chart has none of that
        name, or one that renders nothing.
    type: list
    elements: str
    default: []
  charts:
    description:
      - The charts, as M(cloudnative.artifacts.helm_chart_sources) returns them. Each is compared with its digest before
        it is used.
    type: dict
    default: {}
  sources:
    description:
      - Charts that are fetched first, by this task itself, as O(cloudnative.artifacts.helm_releases#module:sources).
    type: raw
  source_defaults:
    description:
      - Options for all O(sources), as O(cloudnative.artifacts.helm_releases#module:source_defaults).
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
  values_documents:
    description:
      - The text of O(releases[].values_files) by path. It is filled in by the action plugin of this module.
    type: dict
  helm:
    description:
      - The program Helm on the host that runs the module, a path or a name in PATH.
    type: str
    default: helm
requirements:
  - Helm 3.10 or newer on the host that runs the module, for what is not rendered yet
  - PyYAML >= 5.4 on that host
  - kubernetes >= 28 (the Python package) on that host, for O(releases[].values_from) with a kubeconfig that has more
    than a token or a client certificate
  - requests >= 2.25.1, for O(sources) in registries, and cryptography >= 36 where they are verified, on that host
notes:
  - A chart may render at most 8 MiB, and Helm may take 120 seconds of its processor and 4 GiB of memory for it.
  - Two versions of Helm may render one chart differently. Files that are there are not rendered again for that alone.
seealso:
  - module: cloudnative.artifacts.helm_releases
  - module: cloudnative.artifacts.helm_chart_sources
  - module: kubernetes.core.helm_template
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_helm_release
    description: Helm releases from OCI charts.
"""

EXAMPLES = r"""
- name: Render a chart into a directory, for review
  cloudnative.artifacts.helm_chart_render:
    sources:
      podinfo:
        ref: registry.example.com/charts/podinfo:6.7.1
    releases:
      - name: podinfo
        namespace: podinfo
        source: podinfo
        dest: /srv/gitops/podinfo
        values:
          ingress: {enabled: true}
    kube_version: "1.31"
    include_crds: true

- name: Render a packaged chart into one file
  cloudnative.artifacts.helm_chart_render:
    releases:
      - name: podinfo
        chart: /srv/charts/podinfo-6.7.1.tgz
        dest: /srv/gitops/podinfo.yaml
    single_file: true
    mode: "0644"
"""

RETURN = r"""
releases:
  description:
    - What became of each release, in the order of the option.
  returned: unless options are wrong
  type: list
  elements: dict
  contains:
    name:
      description: The name of the release.
      type: str
    namespace:
      description: Its namespace.
      type: str
    dest:
      description: The directory or file.
      type: str
    changed:
      description: Whether files were changed.
      type: bool
    failed:
      description: Whether it was not rendered.
      type: bool
    reason:
      description:
        - V(Rendered), V(DriftCorrected) (somebody had changed the files), V(RenderingUpToDate), V(RenderingRemoved), or
          the code of a failure, such as V(RenderFailed) and V(ValuesError).
      type: str
    retryable:
      description: As RV(retryable), of this release.
      returned: when it failed
      type: bool
    msg:
      description: What went wrong.
      returned: when it failed
      type: str
    changes:
      description:
        - The files that were C(added), C(changed) and C(removed), and those of which only C(permissions) changed, at
          most 1,000 of each. Paths are relative to the directory.
      returned: when Helm was run for it, or files were removed
      type: dict
    chart:
      description: Name, version, app_version, digest, revision and url of the chart.
      returned: unless the release is to be absent
      type: dict
    values_digest:
      description: The digest of the values.
      type: str
charts:
  description:
    - What O(sources) were resolved to, as RV(cloudnative.artifacts.helm_chart_sources#module:charts).
  returned: with sources, once all of them are at hand
  type: dict
failed_sources:
  description:
    - The O(sources) that are not to be had, with the reason of each.
  returned: when there are some
  type: dict
statistics:
  description: How many processes of Helm were started.
  returned: with releases
  type: dict
  sample: {helm_processes: 0}
reason:
  description: The reason of the first release that failed, or of what kept all of them from being rendered.
  returned: failure
  type: str
retryable:
  description:
    - Whether the same task may succeed later although nobody changes anything; the registry was out of reach or in
      trouble, or something was locked, after all retries.
    - Of several releases it is true when it is for each that failed.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.render import RENDER_SPEC, render_options
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.run import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.with_charts import with_charts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.render.render import render_charts

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    def render(charts: dict[str, Any]) -> dict[str, Any]:
        options = render_options(module.params, charts)
        return render_charts(options, check_mode=module.check_mode, want_diff=bool(module._diff))

    return with_charts(module, render)


def main() -> None:
    run_module(RENDER_SPEC, run)


if __name__ == "__main__":
    main()

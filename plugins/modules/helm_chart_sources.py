#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_chart_sources
short_description: Have Helm charts at hand, resolved, verified and fetched once per run
version_added: 0.1.0
description:
  - Resolves each source to one digest, verifies its signatures when a policy is given, fetches the chart into a cache
    that is keyed by digest, and checks that it is a chart.
  - In one run of C(ansible-playbook) this happens once per host that the task is delegated to, whatever the number of
    hosts in the play, their order, C(serial) and the strategy. All of them get the same digest, also when the tag moves
    in the meantime.
  - A source that has not changed costs one request, one that is pinned by digest none.
  - The charts are made into releases by M(cloudnative.artifacts.helm_releases). The role helm_release does both.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.verify.option
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - The cache is filled in check mode, too. Nothing else is ever changed.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  sources:
    description:
      - The charts, a mapping from names of your choice to options.
      - Each source has the options that say which artifact is meant, those of
        M(cloudnative.artifacts.oci_artifact_pull) - C(ref), or C(url) with C(tag), C(digest), C(semver),
        C(semver_filter), C(filter_tags) and C(tag_moved). In tags, C(_) is read as C(+), as Helm does.
      - It may have any option of the registry, O(verify) and O(interval) of its own, which then replace those of the
        task. As soon as it has one of O(username), O(password), O(auth_file) and O(auth_config), all of them are its
        own.
      - A reference C(oci-layout:PATH) or C(oci-archive:PATH) is an OCI image layout, or one in a tar file, on the host
        that runs the module.
    type: raw
    required: true
  pins:
    description:
      - Revisions that were agreed upon elsewhere, from the name of a source to V(tag@digest) or a digest. Such a source
        is not resolved, but verified and fetched as any other. A revision that the source cannot stand for (another tag
        or digest, or a tag outside of its range) is refused.
      - With it, jobs that run side by side deploy the same charts.
    type: dict
    default: {}
  values_sources:
    description:
      - The names of O(sources) that need not be charts - artifacts with files of values, for C(values_from) of
        M(cloudnative.artifacts.helm_releases).
    type: list
    elements: str
    default: []
  interval:
    description:
      - How long an answer of the registry counts, as a number of seconds or a Go duration such as V(10m), as
        C(interval) of Flux's HelmRepository and OCIRepository. A source that the last run asked for less than that ago
        is not asked for again; C(confirmed_at) in RV(charts) says when that was.
      - It is asked for all the same when its reference, selection, C(tag_moved), O(verify) or O(policy) are others than
        then, and with O(lock=update) and O(lock=check). A chart that is not in the cache any more is fetched.
      - The time is noted in the cache, by each user for itself. A failure is no answer, and neither is a moved tag that
        C(tag_moved) warns about.
    type: str
  cache_dir:
    description:
      - The cache that charts are fetched into, and that releases take them from. See the option of that name of
        M(cloudnative.artifacts.oci_artifact_pull), with which it may be shared.
      - The default is the environment variable E(OCI_ARTIFACT_CACHE_DIR) of the module; without that, it is
        V(~/.cache/cloudnative.artifacts). It cannot be empty.
      - Beside the charts is noted for a day which digests were verified by which policy, so that an unchanged source
        that is verified makes one request.
    type: path
requirements:
  - requests >= 2.25.1, for registries, on the host that runs the module
  - PyYAML >= 5.4 on the host that runs the module
  - cryptography >= 36, for O(verify)
seealso:
  - module: cloudnative.artifacts.helm_releases
  - module: cloudnative.artifacts.oci_artifact_pull
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_helm_release
    description: Helm releases from OCI charts.
"""

EXAMPLES = r"""
- name: Have two charts at hand
  cloudnative.artifacts.helm_chart_sources:
    sources:
      podinfo:
        url: oci://registry.example.com/charts/podinfo
        semver: 6.x
        verify:
          public_keys: [/etc/keys/release.pub]
      campaign:
        ref: contoso.azurecr.io/marketing/campaign1/chart:1.1
  register: found

- name: Deploy often, and ask the registry every ten minutes
  cloudnative.artifacts.helm_chart_sources:
    sources:
      podinfo:
        url: oci://registry.example.com/charts/podinfo
        semver: 6.x
    interval: 10m

- name: Show what they are
  ansible.builtin.debug:
    msg: "{{ found.charts.podinfo.name }} {{ found.charts.podinfo.version }} is {{ found.charts.podinfo.revision }}"
"""

RETURN = r"""
charts:
  description:
    - What was found, by the name of the source.
  returned: success
  type: dict
  contains:
    path:
      description: The packaged chart in the cache; its SHA-256 is the digest of the layer.
      returned: for a chart
      type: str
    layers:
      description:
        - The layers in the cache, each with digest, media type, size in bytes, path and title.
      returned: for an artifact of O(values_sources) that is not a chart
      type: list
      elements: dict
    url:
      description: Where it comes from.
      type: str
    revision:
      description: The resolved revision, V(tag@digest), or the digest alone when that was asked for without a tag.
      type: str
      sample: 6.7.1@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    tag:
      description: The tag, empty when a digest was asked for without one.
      type: str
    digest:
      description: The digest of the manifest.
      type: str
    layer:
      description: Digest, media type and size in bytes of the packaged chart.
      returned: for a chart
      type: dict
    name:
      description: The name that the chart gives itself.
      returned: for a chart
      type: str
    version:
      description:
        - The version that the chart gives itself. When the tag is a version and says another one, there is a warning.
      returned: for a chart
      type: str
    app_version:
      description: The version of what it deploys.
      returned: for a chart
      type: str
    confirmed_at:
      description: When the registry last said what the source stands for (UTC).
      returned: when O(interval) is given and the source has to be asked for
      type: str
      sample: "2026-11-21T02:00:00Z"
    verification:
      description: What the verification found, as M(cloudnative.artifacts.oci_artifact_verify) returns it.
      returned: when a policy is given
      type: dict
failed_sources:
  description:
    - The sources that are not to be had, with the reason of each. Charts of the others are in the cache, and C(changed)
      says whether one was fetched.
  returned: failure
  type: dict
reason:
  description: A stable code for the cause of a failure, as of M(cloudnative.artifacts.oci_artifact_pull).
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
    - Whether the same task may succeed later although nobody changes anything; the registry was out of reach or in
      trouble, or something was locked, after all retries. The guide on errors says it for each reason.
    - Of several sources it is true when it is for each that failed.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.charts import (
    SOURCES_SPEC,
    chart_cache,
    chart_sources,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import run_registry_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.charts.sources import fetch_charts

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    names = module.params["values_sources"]
    if not names:
        return fetch_charts(chart_sources(module), chart_cache(module))
    # imported here: most tasks have charts alone
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.charts.files import ChartOrFilesFetch

    others = dict.fromkeys(names, ChartOrFilesFetch)
    return fetch_charts(chart_sources(module), chart_cache(module), fetches=others)


def main() -> None:
    run_registry_module(SOURCES_SPEC, run, mutually_exclusive=[("auth_file", "auth_config")])


if __name__ == "__main__":
    main()

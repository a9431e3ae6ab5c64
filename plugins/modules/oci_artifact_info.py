#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_info
short_description: Look at an OCI artifact, its tags and what refers to it, and find charts
version_added: 0.1.0
description:
  - Resolves a tag, a SemVer range or a digest, lists and ranks tags, and shows manifest, config, layers, annotations,
    platforms and referrers of an artifact in a registry, an OCI image layout or an OCI archive.
  - Lists the versions of a Helm chart with application version, deprecation and digest, and searches a registry or the
    local cache for charts.
  - Nothing is downloaded but what is asked for. With O(gather=[]) the module makes one HEAD request.
  - Looking is never refused. O(policy) is there because it is an option of the whole action group, and has no effect.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.reference
  - cloudnative.artifacts.selection
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.policy
  - cloudnative.artifacts.lock
  - cloudnative.artifacts.attributes
attributes:
  check_mode:
    support: full
    details:
      - This module never changes anything.
  diff_mode:
    support: N/A
    details:
      - This module never changes anything.
  idempotent:
    support: full
    details:
      - This module never changes anything.
options:
  gather:
    description:
      - Which parts to return. V(all) stands for every part but V(charts) and V(capabilities). V(none), or an empty
        list, only resolves the reference. The default is V([manifest]).
      - V(charts) looks at tags, in the order of O(sort), for what the Helm charts among them say about themselves. That
        takes two requests for each tag, or one with O(cache_dir) and a tag that was looked at before.
      - V(capabilities) asks the registry itself, not its mirrors, what it can do with the repository. It leaves nothing
        behind, but some of the requests look like writing in the log of the registry. A blob is mounted from the
        repository that has it, an upload of one byte is opened and cancelled, and what does not exist is asked to be
        deleted. With O(cache_dir), other tasks know the answers for an hour, and save requests by them.
      - With only V(tags), V(charts) and V(capabilities), and neither a tag, a digest nor a policy, nothing is resolved,
        and RV(artifact) is not returned.
      - With O(registry), and with O(from_cache) alone, V(charts) is the only part there is, and the default is none.
    type: list
    elements: str
    choices: [manifest, config, layers, tags, charts, platforms, referrers, capabilities, all, none]
  registry:
    description:
      - A registry to search for repositories, as in V(registry.example.com), or a path in it that their names are
        below, as in V(registry.example.com/charts), in place of O(ref) and O(url). With O(gather=charts) the newest
        chart of each is returned as well.
      - Many registries let nobody, or only some accounts, list repositories. That is a failure with the reason
        V(CatalogNotPermitted) or V(CatalogNotSupported), or a result with O(missing_ok); never an empty list.
    type: str
  name_filter:
    description:
      - A regular expression for the names of repositories (without the registry) to look for; it may match anywhere in
        the name. Only with O(registry), or O(from_cache) alone.
    type: str
  max_repositories:
    description:
      - The most repositories to return, V(0) for all of them; RV(truncated) says whether there are more.
    type: int
    default: 100
  from_cache:
    description:
      - Look into the cache in O(cache_dir) in place of the registry, without any request. It holds what other tasks
        pulled as a whole, under the tags that led to it then.
      - Without O(ref), O(url) and O(registry), everything in it is searched.
    type: bool
    default: false
  dest:
    description:
      - A directory or file on the host that runs the module, as given to M(cloudnative.artifacts.oci_artifact_pull), in
        place of O(ref), O(url) and O(registry). Returns what was pulled to it last as RV(artifact), without any
        request, with RV(conditions) and RV(events), with what the host keeps, as RV(history), and while a pull is
        running that takes longer than 10 seconds, how far it is, as RV(progress).
      - Run it as the user that pulls; RV(exists) is false where nothing was pulled yet. Files are not compared with
        the record; check mode of the pull does that.
    type: path
  limit:
    description:
      - The most tags to return, and to look at for charts; V(0) for all of them. The default is all tags, and for
        charts 20 of one repository, and 1 of each in a search.
    type: int
  sort:
    description:
      - The order of RV(tags) and RV(charts). V(policy) puts the newest first by the policy in force (O(semver) or
        O(filter_tags)); without one, versions come first, the newest first, then other names in reverse alphabetical
        order.
      - V(semver) is that order whatever the policy, V(alphabetical) is reverse alphabetical, V(registry) is as the
        registry lists them.
      - Tags that only carry signatures or lists of referrers are left out, except with V(registry) and no selection.
    type: str
    choices: [policy, semver, alphabetical, registry]
    default: policy
  platform:
    description:
      - The platform of which config and layers are shown when the reference names an index. The default is that of
        the host that runs the module. With V(all) in O(gather) and without this option, config and layers are left
        out when the index has none for that.
    type: str
  artifact_type:
    description:
      - Return only referrers of this artifact type.
    type: str
  missing_ok:
    description:
      - Return RV(exists=false) in place of failing when the repository, the tag or the digest is not there, no tag
        matches, or the registry does not list its repositories.
    type: bool
    default: false
seealso:
  - module: cloudnative.artifacts.oci_artifact_pull
  - module: cloudnative.artifacts.oci_artifact_push
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_selection
    description: Version ranges, tag policies and the order of tags.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_charts
    description: Publishing, finding and pulling charts.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
"""

EXAMPLES = r"""
- name: Resolve a tag to its digest
  cloudnative.artifacts.oci_artifact_info:
    ref: registry.example.com/platform/config:stable
    gather: []
  register: config

- name: List the five newest 1.x releases
  cloudnative.artifacts.oci_artifact_info:
    url: oci://registry.example.com/platform/config
    semver: 1.x
    gather: [tags]
    limit: 5

- name: Show everything there is to know about a chart
  cloudnative.artifacts.oci_artifact_info:
    ref: contoso.azurecr.io/marketing/campaign1/chart:1.1
    gather: [all]

- name: List the five newest versions of a chart, with application version, deprecation and digest
  cloudnative.artifacts.oci_artifact_info:
    url: oci://registry.example.com/charts/podinfo
    semver: ">=6"
    gather: [charts]
    limit: 5
  register: podinfo

- name: Search a registry for charts
  cloudnative.artifacts.oci_artifact_info:
    registry: registry.example.com/charts
    name_filter: podinfo
    gather: [charts]

- name: Search the local cache, without any request
  cloudnative.artifacts.oci_artifact_info:
    from_cache: true
    cache_dir: /var/cache/oci-artifacts
    gather: [charts]

- name: See how far a pull is that runs with "async"
  cloudnative.artifacts.oci_artifact_info:
    dest: /srv/models/ranker
  register: pull

- name: Ask a host that reconciles itself how it is
  cloudnative.artifacts.oci_artifact_info:
    dest: /var/lib/cloudnative.artifacts/reconcile/host/project
  register: host

- name: Find out what a registry can do
  cloudnative.artifacts.oci_artifact_info:
    url: oci://registry.example.com/platform/config
    gather: [capabilities]
  register: registry

- name: See whether a release was published already
  cloudnative.artifacts.oci_artifact_info:
    ref: oci-layout:/srv/bundle:2.3.0
    gather: []
    missing_ok: true
  register: release
"""

RETURN = r"""
exists:
  description: Whether the artifact, or the list of repositories, is there; only ever false with O(missing_ok), and
    with O(dest), when nothing was pulled there.
  returned: success
  type: bool
missing:
  description: What was not found. C(msg) repeats it, which Ansible shows when an C(until) is not met in the end.
  returned: when RV(exists) is false
  type: str
artifact:
  description:
    - The artifact. RV(artifact.artifact_type), RV(artifact.metadata), RV(artifact.size) and RV(artifact.layer) are
      there when a part was gathered that needs the manifest.
  returned: unless only tags and charts were asked for
  type: dict
  contains:
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
      description: The digest of the manifest or index.
      type: str
    media_type:
      description: The media type of the manifest or index.
      type: str
    artifact_type:
      description: The artifact type of the manifest, or the media type of its config.
      type: str
    metadata:
      description: The annotations of the manifest or index.
      type: dict
    layer:
      description: Digest, media type and size (bytes) of the first layer.
      type: dict
    size:
      description: Bytes of all layers.
      type: int
manifest:
  description: The manifest or index, as it is in the registry.
  returned: when gathered
  type: dict
config:
  description: The config, when it is JSON; of an index, that of the manifest for the platform.
  returned: when gathered
  type: raw
layers:
  description: Media type, digest, size (bytes) and annotations of each layer; of an index, those of the manifest for
    the platform.
  returned: when gathered
  type: list
  elements: dict
progress:
  description:
    - How far the pull is that is running for O(dest); empty when there is none, or it has not run for 10 seconds yet.
      It is renewed every 10 seconds.
  returned: with O(dest)
  type: dict
  contains:
    reference:
      description: What is pulled.
      type: str
      sample: registry.example.com/models/ranker:7
    bytes:
      description: How many bytes of its layers were received.
      type: int
    total_bytes:
      description: How many there are.
      type: int
    bytes_per_second:
      description: At which rate they came of late.
      type: int
    seconds_left:
      description: How long the rest takes at that rate; V(null) when nothing came of late.
      type: int
    updated:
      description: When this was written, in seconds since 1970.
      type: float
observed:
  description: The rules that the content of O(dest) was placed by, as
    RV(cloudnative.artifacts.oci_artifact_pull#module:observed).
  returned: with O(dest)
  type: dict
release:
  description: As RV(cloudnative.artifacts.oci_artifact_pull#module:release).
  returned: with O(dest), after pulls with C(layout=releases)
  type: str
conditions:
  description:
    - What C(kubectl describe ocirepository) shows of C(.status.conditions). With O(dest) alone that is V(Ready),
      V(ArtifactInStorage), V(SourceVerified) (when signatures were checked) and V(Reconciling) (while a pull is
      running that takes longer than 10 seconds).
    - Where the host reconciles itself with what is in O(dest), they are those of its status. V(Ready) is always there
      once it has run, the others only while they hold. V(Reconciling) is a run that is going on, V(Stalled) one that
      failed and will again unless somebody does something, V(FetchFailed) a registry that is away or an artifact that
      is refused.
  returned: with O(dest)
  type: list
  elements: dict
  sample: [{"type": "Ready", "status": "True", "reason": "Succeeded", "last_transition_time": "2026-01-05T09:00:00Z",
    "message": "Stored artifact for revision 1.4.2@sha256:9f86d081…"}]
events:
  description:
    - The last events, the oldest first. With O(dest) alone they are the kept revisions that were placed, and their last
      failures at a command; where the host reconciles itself, the last 20 events of its runs.
  returned: with O(dest)
  type: list
  elements: dict
  contains:
    type:
      description: V(Normal) or V(Warning).
      type: str
    reason:
      description: What happened, in a word.
      type: str
      sample: NewArtifact
    message:
      description: What happened.
      type: str
    revision:
      description: The revision in place.
      type: str
    time:
      description: When it was (last), in UTC; empty where that was not noted.
      type: str
    count:
      description: How often in a row.
      type: int
status:
  description:
    - The status of a host that the role P(cloudnative.artifacts.reconcile#role) has set up, and whose project is in
      O(dest).
    - A run that was killed is not said to be going on. V(Ready) is then V(False), with the reason V(Interrupted).
  returned: with O(dest), where there is one
  type: dict
  contains:
    name:
      description: The name of the reconciliation.
      type: str
    artifact:
      description: The project that was pulled last, as RV(artifact).
      type: dict
    last_attempted_revision:
      description: The revision whose playbook was run last.
      type: str
    last_applied_revision:
      description: The revision whose playbook has succeeded last.
      type: str
    last_handled_reconcile_at:
      description: The last token that was requested and handled.
      type: str
    suspended:
      description: Whether runs are suspended.
      type: bool
    failures:
      description: How many runs have failed since the last one that succeeded.
      type: int
    last_run_at:
      description: When the last run began.
      type: str
    last_success_at:
      description: When one succeeded last.
      type: str
history:
  description: The revisions that this host keeps for O(dest), the newest first, as
    RV(cloudnative.artifacts.oci_artifact_pull#module:history).
  returned: with O(dest)
  type: list
  elements: dict
held:
  description: The digests that pulls into O(dest) pass over, as
    RV(cloudnative.artifacts.oci_artifact_pull#module:held).
  returned: with O(dest)
  type: list
  elements: dict
suspended:
  description: Who has suspended pulls into O(dest) (C(who)), why (C(reason)) and since when (C(since)); else empty.
  returned: with O(dest)
  type: dict
requested_at:
  description: As RV(cloudnative.artifacts.oci_artifact_pull#module:requested_at).
  returned: with O(dest)
  type: dict
records:
  description: RV(artifact), RV(progress), RV(observed), and where there is any, RV(history) and the values after it, of
    each pull to O(dest); there are several where tasks copy layers into one directory.
  returned: with O(dest)
  type: list
  elements: dict
tags:
  description: The names of the tags that match the selection.
  returned: when gathered
  type: list
  elements: str
  sample: ["1.4.2", "1.4.1", "1.3.0"]
charts:
  description:
    - The Helm charts among the tags that match the selection, best first; in a search, those of each repository in
      turn. Tags that are no charts are left out.
  returned: when gathered
  type: list
  elements: dict
  contains:
    url:
      description: The repository or layout.
      type: str
      sample: oci://contoso.azurecr.io/marketing/campaign1/chart
    tag:
      description: The tag; it need not be the version of the chart.
      type: str
      sample: "1.1"
    digest:
      description: The digest of the manifest. With C(url@digest) as a reference, this very chart is pulled.
      type: str
    revision:
      description: V(tag@digest).
      type: str
    name:
      description: The name of the chart, which the repository need not have.
      type: str
      sample: campaign1
    version:
      description: The version of the chart.
      type: str
      sample: 1.1.0
    app_version:
      description: The version of the application in it, or empty.
      type: str
      sample: "2026.4"
    kube_version:
      description: The range of Kubernetes versions that it wants, or empty.
      type: str
    type:
      description: V(application) or V(library).
      type: str
    description:
      description: What the chart says that it is, at most 1,000 characters.
      type: str
    deprecated:
      description: Whether the chart says that it is deprecated.
      type: bool
    created:
      description: The annotation C(org.opencontainers.image.created), or empty.
      type: str
truncated:
  description: Whether there are more tags to look at for charts, or more repositories, than the limit allows.
  returned: when charts are gathered, and in a search
  type: bool
repositories:
  description: The repositories that were found, each as it can be given in O(ref).
  returned: in a search
  type: list
  elements: str
  sample: ["registry.example.com/charts/podinfo"]
denied:
  description: Repositories among them that the account may not read.
  returned: in a search
  type: list
  elements: str
platforms:
  description: Platform, media type, digest and size (bytes) of each manifest of an index; empty for a manifest.
  returned: when gathered
  type: list
  elements: dict
referrers:
  description: Media type, digest, size (bytes), artifact type and annotations of each manifest that refers to the
    artifact.
  returned: when gathered
  type: list
  elements: dict
capabilities:
  description:
    - What the registry can do with the repository. Each value is V(null) where the answers of the registry do not
      settle it, or the account lacks a right; RV(capabilities.unknown) says why.
    - An image layout or archive has referrers and is read in parts.
  returned: when gathered
  type: dict
  contains:
    referrers:
      description: Whether it lists what refers to a digest. Without that, a tag for each digest stands in for it.
      type: bool
    mount:
      description: Whether a blob of another repository is taken over without an upload.
      type: bool
    chunked_upload:
      description: Whether a blob can be uploaded in parts.
      type: bool
    range:
      description: Whether a part of a blob can be read, so that a broken download goes on where it stopped.
      type: bool
    delete:
      description: Whether manifests are deleted by their digest.
      type: bool
    delete_tag:
      description: Whether a tag is deleted by its name, without what it stands for.
      type: bool
    catalog:
      description: Whether it lists its repositories.
      type: bool
    tag_paging:
      description: Whether a list of tags comes in pages of the size that was asked for.
      type: bool
    unknown:
      description: The reason for each value that is V(null).
      type: dict
  sample: {"referrers": true, "mount": true, "chunked_upload": true, "range": true, "delete": false,
    "delete_tag": false, "catalog": null, "tag_paging": true, "unknown": {"catalog": "The registry does not permit …"}}
served_by:
  description:
    - The hosts that answered, in the order of their first answer, which are mirrors or the registry itself. Empty when
      nothing was asked, and for an OCI image layout.
  returned: success
  type: list
  elements: str
  sample: ["mirror.example.com"]
reason:
  description: A stable code for the failure, or for what is missing.
  returned: on failure, and when RV(exists) is false
  type: str
  sample: OCIArtifactPullFailed
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
    SELECTION_SPEC,
    TAG_MOVED_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    run_registry_module,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.info import InfoOptions, info
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import parse_platform

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    options = InfoOptions(
        reference=reference_options(params),
        gather=params["gather"],
        limit=params["limit"],
        sort=params["sort"],
        platform=parse_platform(params["platform"]),
        artifact_type=params["artifact_type"] or "",
        missing_ok=params["missing_ok"],
        auth=auth_options(module),
        connection=connection_options(params),
        cache=cache_options(module),
        registry=params["registry"] or "",
        name_filter=params["name_filter"] or "",
        max_repositories=params["max_repositories"],
        from_cache=params["from_cache"],
        dest=params["dest"] or "",
    )
    return info(options)


def main() -> None:
    spec = {
        **REFERENCE_SPEC,
        **SELECTION_SPEC,
        **TAG_MOVED_SPEC,
        **AUTH_SPEC,
        **CONNECTION_SPEC,
        **CACHE_SPEC,
        **RULES_SPEC,
        "gather": {
            "type": "list",
            "elements": "str",
            "choices": [
                "manifest",
                "config",
                "layers",
                "tags",
                "charts",
                "platforms",
                "referrers",
                "capabilities",
                "all",
                "none",
            ],
        },
        "limit": {"type": "int"},
        "registry": {"type": "str"},
        "name_filter": {"type": "str"},
        "max_repositories": {"type": "int", "default": 100},
        "from_cache": {"type": "bool", "default": False},
        "dest": {"type": "path"},
        "sort": {"type": "str", "choices": ["policy", "semver", "alphabetical", "registry"], "default": "policy"},
        "platform": {"type": "str"},
        "artifact_type": {"type": "str"},
        "missing_ok": {"type": "bool", "default": False},
    }
    run_registry_module(
        spec,
        run,
        mutually_exclusive=[
            ("auth_file", "auth_config"),
            *(("dest", other) for other in ("ref", "url", "registry", "gather")),
        ],
    )


if __name__ == "__main__":
    main()

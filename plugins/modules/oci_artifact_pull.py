#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_artifact_pull
short_description: Pull an OCI artifact into a directory or a file
version_added: 0.1.0
description:
  - Resolves a tag, a SemVer range or a digest to one digest, fetches only what is missing, checks every byte against
    its digest, and puts the content in place, all of it or nothing.
  - Works for what Flux, Helm, ORAS and container tools publish, from registries, and from OCI image layouts and
    archives on disk.
  - A run that finds the artifact unchanged makes one request, or none when it is pinned by digest.
  - With O(artifacts) it does so for many artifacts at once, in a small part of the time that as many tasks take.
  - Most tasks need few options. O(ref), or O(url) with O(semver), O(tag) or O(digest), says which artifact is meant;
    O(dest) says where it goes; O(verify) who has to have signed it; O(username) with O(password), or O(auth_file), who
    logs in.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.reference
  - cloudnative.artifacts.selection
  - cloudnative.artifacts.artifacts
  - cloudnative.artifacts.verify.option
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
      - Without C(--diff) the layers are not fetched, and the module says whether the revision or the files differ.
        With C(--diff) they are unpacked into a temporary directory and compared file by file.
  diff_mode:
    support: full
    details:
      - Text files of up to 64 KiB are shown with their content, others with size and digest.
  idempotent:
    support: full
options:
  artifacts:
    description:
      - Several artifacts to pull in this one task, in place of O(ref) or O(url) and O(dest).
      - Each entry is a mapping with the options of this module, without O(artifacts), O(cache_dir), O(policy),
        O(lock_file), O(lock), O(parallel) and O(resolve_once), which are for the task as a whole, as is O(via). It says
        which artifact is meant and its O(dest); any other option that it leaves out is as the task says.
      - As soon as an entry has one of the options that say who logs in (O(username), O(password), O(auth_file),
        O(auth_config), O(provider), O(provider_registry)), all of them are its own.
      - All entries are checked before anything is asked. Then one that fails keeps no other from being pulled; the task
        fails in the end, and RV(results) says what became of each.
    type: list
    elements: dict
  dest:
    description:
      - The directory to unpack into; it is made when it is missing.
      - With O(layer_selector.operation=copy) the file to write, or an existing directory (or a path that ends in
        C(/)), in which the file gets the name that its layer's title or the chart's name and version give it.
      - Only what the artifact put there is managed. A control directory C(.oci-artifact) in it (mode 0700) records
        each file's digest, size and mode; files of an earlier revision that the new one lacks are removed, and any
        other file is left alone. For a file that is copied, the control directory lies beside it.
      - With O(layout=releases) the root of the deployment.
      - Required, unless O(artifacts) are given, which have one each.
    type: path
  layer_selector:
    description:
      - Which layer is taken and what is done with it, as C(layerSelector) of Flux's OCIRepository.
    type: dict
    suboptions:
      media_type:
        description:
          - Take only layers with exactly this media type; O(layers) says which of them.
        type: str
      operation:
        description:
          - V(extract) unpacks a layer that is a tar archive (plain, gzip or zstd).
          - V(copy) keeps its bytes as they are, so that the SHA-256 of the file is the digest of the layer.
        type: str
        choices: [extract, copy]
        default: extract
  layers:
    description:
      - V(auto) goes by what the artifact is. Files that were pushed with a title, as C(oras push) does it, are placed
        as C(oras pull) does; directories that were pushed become directories again, and layers without a title are
        passed over, with a warning. Of a Helm chart the chart, of a Flux artifact and of any other artifact without
        titles the first layer is unpacked, and of a container image all layers, as with V(all). RV(placement) says
        which it was.
      - V(first) takes one layer, as Flux does, whether it has a title or not.
      - V(all) takes every layer, in order. With V(extract) they become one tree, and whiteouts are honoured; a layer
        with a title that is not marked for unpacking becomes a file of that name. With V(copy) each becomes a file in
        the directory O(dest). Only with V(all) an artifact without any content is no failure, and nothing of it is
        placed.
      - Where O(layer_selector.media_type) is given, only layers of that type are looked at.
      - With O(layer_selector.operation=copy), V(auto) takes every layer with a title where O(dest) is a directory, and
        one layer otherwise.
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
      - Patterns in the format of C(.gitignore), as text or as a list of lines, for entries that are left out.
      - Without patterns nothing is left out, unless the artifact was made for Flux (its layer or its config has Flux's
        media type). Then the default exclusions leave out version control files, C(*.jpg), C(*.jpeg), C(*.gif),
        C(*.png), C(*.wmv), C(*.flv), C(*.tar.gz), C(*.zip), the configuration of continuous integration services,
        C(.goreleaser.yml), C(.sops.yaml) and C(.flux.yaml). As in Flux, any pattern here or in a C(.sourceignore) file
        of the artifact replaces them, except those for version control files.
      - The patterns here outrank those of C(.sourceignore) files, which count in what was made for Flux and in other
        archives, but not in titled files, charts and images.
      - It has no effect with O(layer_selector.operation=copy).
    type: raw
  suspend:
    description:
      - Do nothing, and return what the last pull put in place. It is for this task;
        M(cloudnative.artifacts.oci_artifact_rollback) suspends pulls on a host whoever runs them.
    type: bool
    default: false
  force:
    description:
      - Fetch and compare again even if the record says that nothing changed, and replace files in O(dest) that no
        pull put there. Directories and links to directories are never replaced.
    type: bool
    default: false
  check_content:
    description:
      - Compare the files on disk by their digests. Without it a file counts as intact when its size and modification
        time are those that it was placed with.
    type: bool
    default: false
  owner:
    description:
      - The name (or number) of the user who shall own what is put in place.
    type: str
  group:
    description:
      - The name (or number) of the group that shall own what is put in place.
    type: str
  mode:
    description:
      - The permissions of what is put in place, octal (V('0640'), quoted) or symbolic (V(u=rwX,g=rX,o=)). The default
        is what the artifact says; setuid, setgid and sticky bits are never kept.
      - With an octal mode, directories get the execute bit wherever it grants the read bit.
    type: raw
  layout:
    description:
      - V(in_place) makes O(dest) itself hold the content.
      - V(releases) is for deployments with a directory for each release, under the names that
        C(community.general.deploy_helper) has by default, which works on the same directories. O(dest) is then the root
        (its C(path)). Each revision is unpacked into C(releases/000012-1.4.2-9f86d081), named by number, tag and
        digest, and the relative link C(current) leads to the one in place, switched by one rename. C(shared) is made
        when it is missing, and then left alone.
      - O(keep) is then how many releases stay, the one in place included (C(keep_releases) does not count that one);
        5 by default, at least 1. A release goes with all that is in it. What C(current) leads to is never removed, and
        neither is what no pull has made in C(releases).
      - What drifted is corrected within the release in place. When C(current) leads elsewhere, it is put back.
      - Links into C(shared) that were made in the release in place are made in the next one, before C(current) leads
        to it, where the artifact has nothing of that name.
      - O(validate) looks at the content before there is a release; with O(health), C(%s) is C(current).
      - A directory stays in the layout that it was pulled with. Not with O(layer_selector.operation=copy).
    type: str
    choices: [in_place, releases]
    default: in_place
  keep:
    description:
      - How many revisions to keep in the control directory beside the record, with all their bytes, the one that is in
        O(dest) included; at most 100. M(cloudnative.artifacts.oci_artifact_rollback) places one of them again without
        the registry.
      - A revision that is in place but was pulled without this option is fetched once more, to be kept. The oldest go
        when another one is placed, those that are held back first. V(0) keeps none from the next placement on.
      - Without it nothing more is kept, and what is kept already stays.
      - With O(layout=releases) the directories of the releases are what is kept; see there.
    type: int
  validate:
    description:
      - A command that looks at the new content before it is placed, as in V(nginx -t -c %s/nginx.conf), with the path
        of the directory (of the file, for a copy to a file) that holds it in the place of C(%s). There is no shell.
      - When it fails, does not end within 10 minutes or alters what it looks at, the task fails with the reason
        V(ValidationFailed), O(dest) is as it was, and the message shows what would have changed.
      - The directory holds the whole artifact and nothing else, so files of other origin in O(dest) are not in it. In
        check mode, and when nothing is to be placed, the command is not run.
    type: str
  health:
    description:
      - A command that is run once something was placed, and says by its exit status whether the revision works.
      - When it fails, the task fails with the reason V(HealthCheckFailed). In check mode, and when nothing was placed,
        it is not run.
    type: dict
    suboptions:
      command:
        description:
          - The command, without a shell, as in V(/usr/local/bin/reload-and-check %s). C(%s) stands for O(dest).
        type: str
        required: true
      timeout:
        description:
          - How long it may take, as a number of seconds or a Go duration. Then it is killed, and has failed.
        type: str
        default: 60s
      remediation:
        description:
          - With V(rollback), a failure puts everything in O(dest) back as it was before, without any request, and holds
            the digest back on this host, so that no run places it again; see RV(held). The command is then run once
            more, so that what it reloads is loaded again.
          - With V(none) the revision stays in place, and the next run asks again.
        type: str
        choices: [rollback, none]
        default: rollback
  requested_at:
    description:
      - A token, such as a time, that asks for one thorough run, as the annotation
        C(reconcile.fluxcd.io/requestedAt) does for Flux. The first run with a token that is not the last one handled
        compares files by their digests, as with O(check_content). It is recorded when the run succeeds.
      - It does not resume what is suspended, and does not release what is held back.
    type: str
  interval:
    description:
      - How long an answer of the registry counts, as a number of seconds or a Go duration such as V(10m), as
        C(interval) of Flux's OCIRepository. What the last run asked less than that ago is not asked again, so that a
        schedule may run more often than the registry should be asked; RV(confirmed_at) says when that was.
      - Files are compared as ever. The registry is asked all the same where it is needed or something else is wanted -
        to correct drift, with O(force) or a new O(requested_at), and when reference, selection, layers, platform,
        ignore rules, O(tag_moved), O(verify) or O(policy) are others than then. What O(policy) denies is denied at
        once.
      - The time is noted beside the record in C(.oci-artifact). Check mode goes by it and notes nothing. A failure is
        no answer, and neither is a moved tag that O(tag_moved) warns about.
      - With O(via) it is noted on the controller, in O(cache_dir); where that is none, the controller asks once in each
        run. What O(lock_file) or O(pin) has for a reference is not asked anyway, O(lock=update) and O(lock=check)
        always ask, and with O(resolve_once) one host asks in each run.
    type: str
  unsafe_writes:
    description:
      - Write a file in place when it cannot be replaced because it is a mount point, as a single file that is mounted
        into a container is. This is not atomic. Who reads the file meanwhile, or after a run that was killed, may see a
        part of it; the next run puts it right.
      - All other files are still replaced by one rename. A mount point that the artifact no longer has cannot be
        removed, and fails the task.
    type: bool
    default: false
  max_size:
    description:
      - The most that the artifact may unpack to, in bytes or with a unit (powers of 1024), as in V(500MiB).
    type: str
    default: 8GiB
  max_files:
    description:
      - The most entries (files, directories, links) that the artifact may have.
    type: int
    default: 200000
  on_registry_error:
    description:
      - What to do when the registry, or its token server, is out of reach or in trouble. That is no connection, one
        that breaks, no answer in time, too many requests, or a status of 500 or more, each after all O(retries).
      - A refused login, an artifact that is not there, bytes of another digest, a signature that does not satisfy
        O(verify), and a TLS certificate that is not trusted are failures whatever this option says.
    type: dict
    suboptions:
      use:
        description:
          - V(last_good) keeps what is in O(dest), and the task succeeds with RV(degraded=true) and a warning, if the
            last pull was asked for the same reference, selection, layers, platform and ignore rules, satisfied the same
            O(verify) policy (if one is given), and is intact on disk. Modes and owners are set right; altered files
            cannot be, and the task fails. It does with O(force=true), too.
          - V(fail) is as without the option.
        type: str
        choices: [last_good, fail]
        required: true
      max_age:
        description:
          - The longest time since the registry last confirmed what is in O(dest), as a number of seconds or a Go
            duration such as V(24h) or V(1h30m). A task that finds it older fails.
          - Tasks with O(on_registry_error.use=last_good) note the time of each confirmation beside the record in
            C(.oci-artifact); where there is no note, the time when the content was put in place counts.
          - Without it, any age will do.
        type: str
  via:
    description:
      - Who asks the registry for the hosts of the task. V(controller) is the Ansible controller; anything else is the
        name of a host of the inventory, a relay. Once in a run of C(ansible-playbook) it resolves the reference,
        verifies the signatures and fetches the layers, whatever the number of hosts, forks, batches and the strategy.
        Hosts are sent what they lack over the connection of the task, check every byte again, and need neither a way to
        the registry nor any Python package.
      - The controller fetches from a relay what it has verified, checks it, and sends it on. It needs no way to the
        registry then. On the relay this module runs as the user of its connection, without C(become), and needs what
        any host needs that asks a registry. Its connection is as the inventory and extra variables say. When it cannot
        be reached, the task fails, whatever O(on_registry_error) says.
      - Everything that is about the registry is then about the controller or the relay, and hosts see nothing of it,
        credentials included. That are the options for login, connection, O(verify), O(policy) and O(cache_dir) with
        their paths. The rule C(never_downgrade) of O(policy) is checked on each host, against what it has.
        O(lock_file) is always on the controller.
      - A host with C(cryptography) verifies the signatures itself as well. They travel along, with the policy and the
        keys that it names, where both are below 256 KiB and can be used without the network.
      - Where nothing is to be done, the module runs once on the host, and nothing is sent. Neither is what O(keep) has
        kept there. Layers of up to 256 KiB in
        all are arguments of that one run. Larger ones are sent as one file between two runs, above 32 MiB as several.
        They are kept beside the record in C(.oci-artifact) until they are placed, so that a transfer that broke off is
        continued by the next run.
      - In check mode nothing is sent but small layers for C(--diff). To show it for larger ones, the host returns its
        record and small texts, and the controller compares, without what no pull put there, owners and groups. Of
        several O(artifacts) with larger layers, the result says which revisions it would be.
      - It cannot be used with C(async), and not with connections to hosts that run no modules of this collection, as
        C(winrm) and C(network_cli); the lookup P(cloudnative.artifacts.oci_artifact#lookup) is for those.
    type: raw
requirements:
  - zstandard >= 0.21 on the host that runs the module, for layers compressed with zstd (Python 3.14 needs none)
seealso:
  - module: cloudnative.artifacts.oci_artifact_push
  - module: cloudnative.artifacts.oci_artifact_info
  - module: cloudnative.artifacts.oci_artifact_rollback
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_rollback
    description: Revisions that a host keeps, commands that judge a revision, holding back and suspending.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_pull
    description: How an artifact is selected, unpacked and kept in place, with an example for each case.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_selection
    description: Ranges, tag policies and pre-releases.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_verify
    description: What a policy in O(verify) may demand.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_fleets
    description: Many hosts, and hosts that reach no registry.
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_errors
    description: All reason codes, and what to do about each.
"""

EXAMPLES = r"""
- name: Unpack the newest 1.x release of a configuration bundle
  cloudnative.artifacts.oci_artifact_pull:
    url: oci://registry.example.com/platform/config
    semver: 1.x
    dest: /etc/platform

- name: Use only what the release key signed, and check it before anything is fetched
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.4.2
    dest: /etc/platform
    verify:
      public_keys: [/etc/keys/release.pub]

- name: Pull files that were pushed with oras, as oras pull does
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/models/ranker:7
    dest: /srv/ranker

- name: Pull what the lock file has for the range, and enter there what it stands for when the play is told to
  cloudnative.artifacts.oci_artifact_pull:
    url: oci://registry.example.com/platform/config
    semver: 1.x
    dest: /etc/platform
    lock_file: oci.lock.yml
    lock: "{{ oci_lock | default('use') }}"

- name: Bring a release to hosts that reach no registry, which is asked once for all of them
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.4.2
    dest: /etc/fleet/platform
    via: controller
    verify:
      public_keys: [/etc/keys/release.pub]

- name: Bring it to the hosts of a site by way of the one that reaches the registry
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.4.2
    dest: /etc/site/platform
    via: relay.example.com

- name: Pull many artifacts at once, with one login
  cloudnative.artifacts.oci_artifact_pull:
    artifacts:
      - ref: registry.example.com/platform/config:1.4.2
        dest: /etc/many/platform
      - ref: contoso.azurecr.io/marketing/campaign1/chart:1.1
        dest: /srv/many/charts/
        layer_selector:
          operation: copy  # a Helm chart stays the archive that it is
    username: deploy
    password: "{{ registry_password }}"

- name: Keep three revisions, look at each before it is placed, and go back when it does not work
  cloudnative.artifacts.oci_artifact_pull:
    url: oci://registry.example.com/platform/config
    semver: 1.x
    dest: /etc/judged
    keep: 3
    validate: test -s %s/base/app.yaml
    health:
      command: test -r /etc/judged/base/app.yaml
      timeout: 30s

- name: Deploy into a directory for each release, and switch the link to it
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.4.2
    dest: /srv/app
    layout: releases
    keep: 3

- name: Look every minute whether files are as they should be, and ask the registry every ten
  cloudnative.artifacts.oci_artifact_pull:
    ref: registry.example.com/platform/config:1.4.2
    dest: /etc/often
    interval: 10m
"""

RETURN = r"""
results:
  description:
    - What became of each of O(artifacts), in their order. Each has the values that a task with one artifact returns,
      and C(item).
    - Those that are returned for the task as a whole are RV(reason) (of the first failure; else V(NewRevision) when any
      artifact has it, then V(DriftCorrected), V(NewRevisionPending), V(HeldBack), V(LastGoodKept), V(Suspended) and
      V(ArtifactUpToDate)), RV(served_by) and RV(degraded), which is true when it is for any.
  returned: when O(artifacts) is given and its entries can be used, also on failure
  type: list
  elements: dict
  contains:
    item:
      description: What names the entry, which are the options of its reference and selection, and O(dest).
      type: dict
      sample: {"ref": "registry.example.com/platform/config:1.4.2", "dest": "/etc/platform"}
    changed:
      description: Whether something was changed for it.
      type: bool
    failed:
      description: Whether it failed.
      returned: when it is true
      type: bool
    msg:
      description: Why it failed.
      returned: when RV(results[].failed) is true
      type: str
    reason:
      description: As RV(reason), of this artifact.
      type: str
    retryable:
      description: As RV(retryable), of this artifact.
      returned: when RV(results[].failed) is true
      type: bool
    artifact:
      description: As RV(artifact).
      returned: when it did not fail
      type: dict
    changes:
      description: As RV(changes).
      returned: when it did not fail
      type: dict
    verification:
      description: As RV(verification).
      returned: when O(verify) is given for it
      type: dict
    served_by:
      description: As RV(served_by).
      returned: when it did not fail
      type: list
      elements: str
    placement:
      description: As RV(placement).
      returned: when it did not fail and it is known
      type: dict
    ignored:
      description: As RV(ignored), with RV(ignored_count).
      returned: when it did not fail and they are known
      type: list
      elements: str
    degraded:
      description: As RV(degraded), with what belongs to it.
      returned: when it did not fail
      type: bool
    confirmed_at:
      description: As RV(confirmed_at).
      returned: when it did not fail and O(interval) is given for it
      type: str
    observed:
      description: As RV(observed).
      returned: when it did not fail
      type: dict
    release:
      description: As RV(release).
      returned: as RV(release)
      type: str
    history:
      description: As RV(history), with RV(held), RV(suspended) and RV(requested_at).
      returned: when there is anything of it
      type: list
      elements: dict
artifact:
  description:
    - The artifact that O(dest) holds (in check mode, would hold), in the shape of C(.status.artifact) of Flux's
      OCIRepository.
  returned: success, without O(artifacts)
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
      sample: 1.4.2
    digest:
      description: The digest of the manifest, or of the index when the tag names one.
      type: str
      sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    media_type:
      description: The media type of the manifest or index.
      type: str
      sample: application/vnd.oci.image.manifest.v1+json
    artifact_type:
      description: The artifact type of the manifest, or the media type of its config.
      type: str
      sample: application/vnd.cncf.flux.config.v1+json
    metadata:
      description: The annotations of the manifest.
      type: dict
      sample: {"org.opencontainers.image.revision": "main@sha1:6f1b3c2"}
    layer:
      description: Digest, media type and size (bytes) of the first selected layer.
      type: dict
      sample: {"digest": "sha256:…", "media_type": "application/vnd.cncf.flux.content.v1.tar+gzip", "size": 2310}
    size:
      description: Bytes of all selected layers.
      type: int
      sample: 2310
    path:
      description: The directory or file that holds the content; with O(layout=releases) the link C(current).
      type: str
      sample: /etc/platform
    last_update_time:
      description: When the content was last put in place (UTC).
      type: str
      sample: "2026-11-21T02:00:00Z"
verification:
  description: What the signatures say, as M(cloudnative.artifacts.oci_artifact_verify) returns it.
  returned: when O(verify) is given, without O(artifacts)
  type: dict
  sample:
    verified: true
    provider: cosign
    reason: Verified
    signers: [{"format": "bundle", "key": "sha256:…", "source": "/etc/keys/release.pub"}]
    refused: []
reason:
  description:
    - A stable code for what happened. On success V(NewRevision), V(DriftCorrected), V(ArtifactUpToDate),
      V(NewRevisionPending), V(HeldBack), V(LastGoodKept) or V(Suspended). On failure one of the codes in the guide on
      errors.
  returned: always
  type: str
  sample: NewRevision
pending:
  description:
    - The revision that is not placed yet, since a rule of O(policy) has it wait for its C(window) - C(digest),
      C(revision), C(url), and in C(why) the time and the window. O(dest) is as it was, and RV(artifact) is what it
      has.
  returned: when RV(reason) is V(NewRevisionPending)
  type: dict
  sample:
    digest: sha256:…
    revision: 1.4.2@sha256:…
    url: oci://registry.example.com/platform/config
    why: "… is not put in place: it is Sat 11:59 (UTC), and no changes are made Sat,Sun (…)."
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
served_by:
  description:
    - The hosts that answered, in the order of their first answer, which are mirrors or the registry itself. Empty when
      nothing was asked, and for an OCI image layout.
  returned: success
  type: list
  elements: str
  sample: ["mirror.example.com"]
confirmed_at:
  description:
    - When the registry last said what the reference stands for (UTC). With an O(interval) that may have been in an
      earlier run, and RV(served_by) is empty then.
  returned: success, without O(artifacts), when O(interval) is given and the reference has to be asked for
  type: str
  sample: "2026-11-21T02:00:00Z"
degraded:
  description:
    - Whether O(dest) was kept without an answer of the registry, as O(on_registry_error) allows.
  returned: success
  type: bool
  sample: false
degraded_since:
  description: When the registry last confirmed what O(dest) holds (UTC).
  returned: when RV(degraded) is true
  type: str
  sample: "2026-11-21T02:00:00Z"
degraded_seconds:
  description: How long ago that was.
  returned: when RV(degraded) is true
  type: int
  sample: 7200
degraded_reason:
  description: The reason code that the task would have failed with.
  returned: when RV(degraded) is true
  type: str
  sample: ConnectionFailed
degraded_message:
  description: The message that the task would have failed with.
  returned: when RV(degraded) is true
  type: str
  sample: "HEAD https://registry.example.com/v2/platform/config/manifests/stable failed: Connection refused."
observed:
  description:
    - The rules that the content of O(dest) was placed by (in check mode, would be). With the reason V(Suspended) or
      V(HeldBack) they are those of the record; empty when there is none.
  returned: success, without O(artifacts)
  type: dict
  contains:
    layer_selector:
      description: C(media_type) and C(operation) of O(layer_selector).
      type: dict
    layers:
      description: The value of O(layers).
      type: str
    platform:
      description: The value of O(platform), empty for the host's own.
      type: str
    ignore:
      description: The patterns in O(ignore), null without any.
      type: str
    policy:
      description: A fingerprint of what signatures had to satisfy, empty when nothing was asked for.
      type: str
release:
  description: The name of the directory in C(releases) that C(current) leads to, with O(layout=releases).
  returned: success, without O(artifacts), with O(layout=releases) once there is one
  type: str
  sample: 000012-1.4.2-9f86d081
history:
  description: The revisions that this host keeps, the newest first.
  returned: success, without O(artifacts), when anything is kept, held back, suspended or requested
  type: list
  elements: dict
  contains:
    number:
      description: The number by which M(cloudnative.artifacts.oci_artifact_rollback) knows it.
      type: int
    url:
      description: The repository.
      type: str
    revision:
      description: As RV(artifact.revision).
      type: str
    tag:
      description: As RV(artifact.tag).
      type: str
    digest:
      description: As RV(artifact.digest).
      type: str
    source_revision:
      description: The revision of its source, from the annotation C(org.opencontainers.image.revision).
      type: str
    signers:
      description: Who signed it, as far as it was verified.
      type: list
      elements: dict
    placed_at:
      description: When a pull placed it (UTC).
      type: str
    placed_by:
      description: The user of the host whose pull placed it, and who became that user by sudo.
      type: str
    current:
      description: Whether it is what O(dest) holds.
      type: bool
    held:
      description: Whether its digest is held back.
      type: bool
    failures:
      description: How many pulls have failed at O(validate) or O(health) since it is in place.
      type: int
    last_failure:
      description: What the last of them said.
      type: str
    release:
      description: The name of its directory in C(releases).
      returned: with O(layout=releases)
      type: str
  sample: [{"number": 2, "revision": "1.4.2@sha256:…", "current": true, "held": false, "failures": 0}]
held:
  description:
    - The digests that pulls on this host pass over, with RV(reason=HeldBack), until there is another one. C(digest),
      C(revision), C(url), C(reason), C(who) and C(since) of each.
  returned: as RV(history), also when O(health) failed
  type: list
  elements: dict
suspended:
  description: Who has suspended pulls into O(dest) (C(who)), why (C(reason)) and since when (C(since)); else empty.
  returned: as RV(history)
  type: dict
requested_at:
  description: The last C(token) of O(requested_at), and when it was C(handled); empty without any.
  returned: as RV(history)
  type: dict
rolled_back:
  description: Whether O(dest) is again as it was before.
  returned: failure, with the reason V(HealthCheckFailed)
  type: bool
via:
  description: Who asked the registry, and what this host did itself.
  returned: success, when O(via) is given
  type: dict
  contains:
    place:
      description: O(via) of the task.
      type: str
      sample: controller
    verified_here:
      description: Whether the host checked the signatures itself, after the controller did.
      type: bool
    files_sent:
      description: How many files with layers were sent to the host.
      type: int
      sample: 1
changes:
  description:
    - What was done to which path in O(dest), at most 1,000 paths of each kind; in check mode without C(--diff) only
      drift is known.
  returned: success, without O(artifacts)
  type: dict
  contains:
    added:
      description: Entries that were not there.
      type: list
      elements: str
    changed:
      description: Entries with another content.
      type: list
      elements: str
    removed:
      description: Entries of an earlier revision that the artifact no longer has.
      type: list
      elements: str
    permissions:
      description: Entries of which only mode or owner was set right.
      type: list
      elements: str
    ignored:
      description: How many entries of the artifact the ignore rules left out, those below a directory included; 0 when
        nothing was unpacked. RV(ignored) names them.
      type: int
placement:
  description:
    - By which rules the layers of the artifact in O(dest) were (in check mode, would be) chosen and left out.
  returned: success, without O(artifacts), when it is known
  type: dict
  contains:
    content:
      description:
        - What the artifact is. V(files) have titles, as C(oras push) gives them; V(flux) and V(chart) have the media
          types of Flux and Helm, V(image) has the config of a container image, V(archive) is anything else that has
          layers, and V(none) has no content.
      type: str
      sample: files
    layers:
      description:
        - V(titled) when each layer with a title became the file or directory of that name, V(all) when all layers
          became one tree, V(first) when one layer was taken.
      type: str
      sample: titled
    exclusions:
      description:
        - V(default) when the default exclusions of Flux decided what is left out, V(patterns) when O(ignore) or a
          C(.sourceignore) did, V(none) when nothing is left out.
      returned: when the content was looked at
      type: str
      sample: none
  sample: {"content": "files", "layers": "titled", "exclusions": "none"}
ignored:
  description:
    - What the default exclusions, O(ignore) and C(.sourceignore) files left out of the artifact that O(dest) holds (in
      check mode, would hold). Names are relative and sorted, at most 1,000; a directory stands for all below it.
    - When nothing changed, it is what the record of the last pull says.
  returned: success, without O(artifacts), when it is known; in check mode without C(--diff) another revision is not
    unpacked
  type: list
  elements: str
  sample: [".github", "docs/logo.png"]
ignored_count:
  description: How many names RV(ignored) would have without its limit.
  returned: when RV(ignored) is
  type: int
  sample: 2
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.items import (
    ARTIFACTS_SPEC,
    AUTH_UNIT,
    IDENTITY_SPEC,
    ItemsModule,
    each_item,
    exclusive_rules,
    run_handed_over,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    RULES_SPEC,
    TAG_MOVED_SPEC,
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
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import parse_permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import parse_size
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import (
    Limits,
    parse_layer_selector,
    parse_platform,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.rules import Policy

LAYER_SELECTOR_SPEC = {
    "media_type": {"type": "str"},
    "operation": {"type": "str", "choices": ["extract", "copy"], "default": "extract"},
}
HEALTH_SPEC = {
    "command": {"type": "str", "required": True},
    "timeout": {"type": "str", "default": "60s"},
    "remediation": {"type": "str", "choices": ["rollback", "none"], "default": "rollback"},
}
ON_REGISTRY_ERROR_SPEC = {
    "use": {"type": "str", "choices": ["last_good", "fail"], "required": True},
    "max_age": {"type": "str"},
}
# options of one artifact
OWN_SPEC: dict[str, Any] = {
    **IDENTITY_SPEC,
    **TAG_MOVED_SPEC,
    **AUTH_SPEC,
    **CONNECTION_SPEC,
    **VERIFY_SPEC,
    "dest": {"type": "path"},
    "layer_selector": {"type": "dict", "options": LAYER_SELECTOR_SPEC},
    "layers": {"type": "str", "choices": ["auto", "first", "all"], "default": "auto"},
    "platform": {"type": "str"},
    "ignore": {"type": "raw"},
    "suspend": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "check_content": {"type": "bool", "default": False},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "raw"},
    "unsafe_writes": {"type": "bool", "default": False},
    "max_size": {"type": "str", "default": "8GiB"},
    "max_files": {"type": "int", "default": 200000},
    "on_registry_error": {"type": "dict", "options": ON_REGISTRY_ERROR_SPEC},
    "layout": {"type": "str", "choices": ["in_place", "releases"], "default": "in_place"},
    "keep": {"type": "int"},
    "validate": {"type": "str"},
    "health": {"type": "dict", "options": HEALTH_SPEC},
    "requested_at": {"type": "str"},
    "interval": {"type": "str"},
}


def pull_options(task: AnsibleModule, policy: Policy | None) -> PullOptions:
    params = task.params
    last_good = None
    if params["on_registry_error"] is not None:
        from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.last_good import parse_last_good

        last_good = parse_last_good(params["on_registry_error"])
    options = PullOptions(
        reference=reference_options(params),
        dest=params["dest"] or "",
        selector=parse_layer_selector(params["layer_selector"], params["layers"]),
        limits=Limits(parse_size(params["max_size"]), params["max_files"]),
        platform=parse_platform(params["platform"]),
        ignore=text_lines(params["ignore"], "ignore"),
        suspend=params["suspend"],
        force=params["force"],
        check_content=params["check_content"],
        cache=cache_options(task),
        verify=verify_policy(params["verify"]),
        last_good=last_good,
        permissions=parse_permissions(params["mode"], params["owner"] or "", params["group"] or ""),
        unsafe_writes=params["unsafe_writes"],
        auth=auth_options(task),
        connection=connection_options(params),
        policy=policy,
    )
    names = ("keep", "validate", "health", "requested_at", "interval")
    if params["layout"] != "in_place" or any(params[name] is not None for name in names):
        from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.host_options import host_options

        options = options._replace(**host_options(params))
    return options


def run(module: AnsibleModule) -> dict[str, Any]:
    modes: dict[str, Any] = {"check_mode": module.check_mode, "want_diff": module._diff}
    result = run_handed_over(module, OWN_SPEC, pull_options)
    if result is not None:
        return result
    policy = rules_of(module.params["policy"])
    if module.params["artifacts"] is None:
        return pull(pull_options(module, policy), **modes).as_result()
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.many import pull_many

    items = each_item(module, OWN_SPEC, [AUTH_UNIT], lambda task: pull_options(task, policy), ["dest"])
    return pull_many(items, cache_options(module), module.params["parallel"], **modes)


def main() -> None:
    spec = {**OWN_SPEC, **CACHE_SPEC, **RULES_SPEC, **ARTIFACTS_SPEC, "via": {"type": "raw"}}
    run_registry_module(
        spec,
        run,
        kind=ItemsModule,
        mutually_exclusive=exclusive_rules("dest"),
        required_one_of=[("dest", "artifacts")],
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_releases
short_description: Install, upgrade and remove many Helm releases
version_added: 0.1.0
description:
  - Makes a cluster have the releases of a list, with charts that it fetches first (O(sources)) or that are at hand as
    files (O(charts)). It decides as Flux's HelmRelease does - a release is upgraded when the digest of its chart or its
    values changed, and left alone otherwise, whatever the tag or the chart's version say.
  - What a release was made of is recorded with it, in labels of its Secret and in its description. To find out that
    nothing has changed takes one request to the Kubernetes API for all releases, and no run of C(helm).
  - Releases that need something done are worked on side by side, in the order that O(releases[].depends_on) demands.
    One that fails does not keep others from being deployed; the task fails in the end.
  - Works with Helm 3.10 and newer, and Helm 4. Helm never speaks to a registry, and gets values on its standard input.
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
      - Helm renders what would be deployed and checks it with a dry run, so that a chart that cannot be rendered fails.
        So does a release whose namespace is missing or being deleted, or whose kinds the cluster does not know, unless
        something else in the run makes them. What cannot be checked before that is a warning.
  diff_mode:
    support: full
    details:
      - Shows the rendered manifests before and after. What Secrets hold is hidden, and so is every value that holds
        something that came from a Secret; that it changed is not.
  idempotent:
    support: full
options:
  releases:
    description:
      - The releases.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name of the release, at most 53 characters.
        type: str
        required: true
      namespace:
        description:
          - The namespace of the release.
          - Its objects and its record are there, unless O(releases[].target_namespace) or
            O(releases[].storage_namespace) say otherwise, and so are its service account and the objects of
            O(releases[].values_from). Other releases name it by this namespace.
        type: str
        default: default
      target_namespace:
        description:
          - The namespace of what the release deploys, C(.Release.Namespace) in templates. The default is
            O(releases[].namespace). As in Flux, and unlike C(helm), the record need not be there.
          - When it changes, the release is uninstalled from where it was, and installed anew. One that another program
            deployed is refused instead. With O(releases[].state=absent) it is not needed - the record says it.
        type: str
      storage_namespace:
        description:
          - The namespace of the Secrets in which Helm keeps the record of the release. The default is
            O(releases[].namespace). It has to exist. C(helm list) and other commands of C(helm) find the release there.
          - A release is locked there, too. Changing it leaves the record behind, so that the release counts as not
            installed.
        type: str
      service_account:
        description:
          - The name of a service account in O(releases[].namespace). All that is done for the release is done as this
            account, by Helm and by the module - its record and lock, its objects, their drift, CRDs, and
            O(releases[].values_from).
          - The account of the connection needs the verb C(impersonate) on it, and no other right for this release. It
            looks for releases of O(releases[].depends_on) in namespaces of which the list has no release.
          - The service account needs all verbs on Secrets in the namespace of the record, so may read the values of
            all releases whose records are there.
        type: str
      state:
        description:
          - V(absent) uninstalls the release. Releases that depend on it and are absent, too, go first.
        type: str
        choices: [present, absent]
        default: present
      source:
        description:
          - The name of the chart in O(sources) or O(charts). Needed unless the release is absent.
        type: str
      values:
        description:
          - Inline values, a mapping. They win over all others.
          - Values are merged in this order, later ones win - the chart's own C(values.yaml),
            O(releases[].chart_values_files), O(releases[].values_from), O(releases[].values_files), these,
            O(releases[].set_values). Mappings are merged, everything else is replaced.
        type: raw
      values_files:
        description:
          - Values files on the Ansible controller, which are looked for as O(ansible.builtin.copy#module:src) is, and
            may be encrypted with Ansible Vault. An entry is a path, or a mapping of C(path) and C(ignore_missing).
        type: list
        elements: raw
      chart_values_files:
        description:
          - Files inside the chart, such as V(values-production.yaml) or V(./env/production.yaml). An entry is a path in
            the chart, or a mapping of C(path) and C(ignore_missing).
        type: list
        elements: raw
      values_from:
        description:
          - ConfigMaps and Secrets of the cluster that hold values, as C(valuesFrom) of Flux's HelmRelease, and files in
            artifacts of O(sources).
        type: list
        elements: dict
        suboptions:
          kind:
            description:
              - Whether it is a ConfigMap, a Secret, or an artifact. An artifact is one of O(sources), verified and
                fetched once per run as a chart is; a new digest of it upgrades the release.
            type: str
            choices: [ConfigMap, Secret, OCIArtifact]
            required: true
          name:
            description: The name of the ConfigMap or Secret, which need one.
            type: str
          source:
            description: The name in O(sources) of the artifact, which needs one. Its content need not be a chart.
            type: str
          path:
            description:
              - The path of a file in the artifact. The default is V(values.yaml). All layers together have at most 64
                MiB, and unpack to at most 128 MiB.
            type: str
          namespace:
            description: Its namespace; the default is O(releases[].namespace).
            type: str
          values_key:
            description: The key in its data.
            type: str
            default: values.yaml
          target_path:
            description:
              - Take the value as one text and set it at this path of the values, such as V(database.password). Path
                and text are what C(helm --set) takes; a text in quotes stays a text.
              - As in Flux, it wins over an inline value below a top-level key, and yields to one that is a top-level
                key itself. Do not set one value in both places.
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
          - Assignments on top of all other values, in the language of C(helm --set). A list of mappings of C(value),
            such as V(a.b[0]=1), and C(value_type).
          - C(value_type) is V(raw) (C(--set), the default), V(string) (C(--set-string)), V(json) (C(--set-json), or one
            JSON object as Helm 4 takes it), V(file) (C(--set-file), with a path on the Ansible controller that is
            looked for as those of O(releases[].values_files) are) or V(literal) (C(--set-literal)).
          - As with C(helm), those of V(json) come first, then V(raw), V(string), V(file) and V(literal). Helm gets the
            result as it gets all values, on its standard input.
        type: raw
      preserve_values:
        description:
          - Keep the values of the deployed revision that nothing sets now, as C(helm upgrade --reset-then-reuse-values)
            does; with every version of Helm. What O(releases[].values) and the other options set wins, and V(null)
            removes a default of the chart.
          - A value that was set by other means, or by an earlier run, stays. Whether there is something to do depends
            on all values together, for which the record of the release is read, one request for each release.
        type: bool
        default: false
      depends_on:
        description:
          - Releases that have to be there first, by name, by V(namespace/name), or as a mapping of C(name),
            C(namespace) and C(ready_when). One that is not in the list, or is suspended, has to be deployed in the
            cluster already. The namespace of one that is not in the list is that of its record.
          - When one of them fails, this release is left as it is. A circle is an error before anything starts.
          - C(ready_when) is an expression in CEL, as C(readyExpr) of Flux, such as V(dep.chart.version ==
            self.chart.version). It says in place of Helm's status when the other release is ready, and is looked at
            when this one has something to be done. C(dep) is the other release as its record in the cluster says,
            C(self) this one as it is wanted; the guide lists their fields. Where it is not true, this release is left
            as it is and fails with V(DependencyNotReady). It needs the Python package cel-python.
        type: list
        elements: raw
      suspend:
        description:
          - Leave the release alone.
        type: bool
        default: false
      labels:
        description:
          - Labels of the release itself (of the Secret that Helm keeps it in), for C(helm list --selector) and
            C(kubectl). A value of null removes one. When nothing else changed, there is no new revision.
        type: dict
      create_namespace:
        description:
          - Create the namespace of the objects if it is missing. It is created once the chart is rendered. That of the
            record, where it is another one, has to be there.
        type: bool
        default: false
      crds:
        description:
          - What becomes of CustomResourceDefinitions in the directory C(crds) of the chart and of its enabled
            subcharts, when the release is installed or upgraded. V(Create) adds those that are missing,
            V(CreateReplace) also gives those that are there the labels, the annotations and the spec of the chart,
            V(Skip) leaves all of them alone. None is ever removed.
        type: str
        choices: [Skip, Create, CreateReplace]
        default: Create
      post_renderer:
        description:
          - A program on the host that runs the module, which is given the rendered manifests and prints what shall be
            deployed. With Helm 4, too, it is any program. A change of its path or arguments upgrades the release.
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
      wait:
        description:
          - Wait until what was deployed is ready; as in Flux, and unlike C(helm), this is the default.
        type: bool
        default: true
      wait_for_jobs:
        description:
          - With O(releases[].wait), wait for Jobs, too.
        type: bool
        default: true
      wait_strategy:
        description:
          - How Helm 4 waits, with O(releases[].wait). V(watcher), its own default, watches objects until their status
            says that they are ready; V(legacy) asks for them as Helm 3 does; V(hookOnly) waits for hooks alone.
          - With Helm 3, V(legacy) is what it does anyway, V(hookOnly) is as if O(releases[].wait) were false, and
            V(watcher) is an error.
        type: str
        choices: [watcher, legacy, hookOnly]
      timeout:
        description:
          - How long Helm waits for each thing that it waits for, in seconds or as a Go duration.
        type: str
        default: 5m
      history_max:
        description:
          - How many revisions are kept, 0 for all.
        type: int
        default: 10
      install:
        description:
          - What is done when an install fails. A failure that changed nothing in the cluster, such as one of a
            template, is neither retried nor remedied.
        type: dict
        suboptions:
          remediation:
            description: V(uninstall) removes the failed release, V(none) leaves it for you to look at.
            type: str
            choices: [none, uninstall]
            default: none
          retries:
            description: How often it is tried again, in this run.
            type: int
            default: 0
      upgrade:
        description:
          - What is done when an upgrade fails.
        type: dict
        suboptions:
          remediation:
            description:
              - V(rollback) goes back to the last revision that was deployed and whose tests did not fail,
                V(uninstall) removes the release, V(none) leaves it for you to look at. It is the same without
                O(releases[].upgrade).
            type: str
            choices: [rollback, uninstall, none]
            default: rollback
          retries:
            description: How often it is tried again, in this run.
            type: int
            default: 0
      rollback:
        description:
          - Settings of rollbacks - those after a failed upgrade, those of O(releases[].rollback_to), and those of
            O(releases[].pending). What is not said here is as for the release itself.
        type: dict
        suboptions:
          timeout:
            description: As O(releases[].timeout).
            type: str
          wait:
            description: As O(releases[].wait).
            type: bool
          wait_for_jobs:
            description: As O(releases[].wait_for_jobs).
            type: bool
          wait_strategy:
            description: As O(releases[].wait_strategy).
            type: str
            choices: [watcher, legacy, hookOnly]
          disable_hooks:
            description: As O(releases[].disable_hooks).
            type: bool
          force:
            description: As O(releases[].force).
            type: bool
          cleanup_on_fail:
            description: Remove objects that a failed rollback has added.
            type: bool
          recreate:
            description: Restart the Pods of what is rolled back. Helm 4 cannot do that any more, which is an error.
            type: bool
      uninstall:
        description:
          - Settings of removals - those of O(releases[].state=absent), those after a failed install or upgrade, and
            those of O(releases[].pending). What is not said here is as for the release itself.
        type: dict
        suboptions:
          timeout:
            description: As O(releases[].timeout).
            type: str
          wait:
            description: As O(releases[].wait), until everything is gone.
            type: bool
          wait_strategy:
            description: As O(releases[].wait_strategy).
            type: str
            choices: [watcher, legacy, hookOnly]
          disable_hooks:
            description: As O(releases[].disable_hooks).
            type: bool
          keep_history:
            description: As O(releases[].keep_history).
            type: bool
          deletion_propagation:
            description: As O(releases[].deletion_propagation), and for all removals.
            type: str
            choices: [background, foreground, orphan]
      remediate_last_failure:
        description:
          - Whether the last of the failed attempts is remedied, too.
        type: bool
        default: true
      test:
        description:
          - Run the tests of the chart after an install and an upgrade, and when they were not run for the revision that
            is there. Tests that fail are a failed install or upgrade.
        type: dict
        suboptions:
          enable:
            description: Whether they are run.
            type: bool
            default: true
          timeout:
            description: As O(releases[].timeout), which is the default.
            type: str
          ignore_failures:
            description: Whether tests that fail are only warned about.
            type: bool
            default: false
          filters:
            description: Which tests are run, the default is all.
            type: list
            elements: dict
            suboptions:
              name:
                description: The name of a test.
                type: str
                required: true
              exclude:
                description: Leave this one out, instead of running only those that are named.
                type: bool
                default: false
      pending:
        description:
          - What is done about a release whose last action was never finished, since C(helm) was killed for example.
            V(unlock) marks it as failed and goes on, as Flux does; V(rollback) and V(uninstall) do this first; V(fail)
            refuses.
          - That an action is unfinished for good is known at once when another run of this module began it. For other
            programs its age has to do - until O(releases[].timeout) has passed, it is waited for.
        type: str
        choices: [unlock, rollback, uninstall, fail]
        default: unlock
      drift:
        description:
          - What is done about objects of an otherwise unchanged release that somebody changed or removed. V(ignore)
            does not look for them. V(warn) and V(correct) compare each object with a dry run of server-side apply;
            V(correct) patches the fields that differ and makes what is missing again, without a new revision.
          - Objects that have the label or annotation C(helm.toolkit.fluxcd.io/driftDetection) with the value
            V(disabled) are left out.
        type: str
        choices: [ignore, warn, correct]
        default: ignore
      drift_ignore:
        description:
          - Fields that may differ, such as V(/spec/replicas) of a Deployment that is scaled by others. A correction
            leaves them as they are.
        type: list
        elements: dict
        suboptions:
          paths:
            description:
              - JSON pointers (RFC 6901). A position in a list counts as in the chart's manifest. The empty pointer
                stands for the whole object.
            type: list
            elements: str
            required: true
          kind:
            description: The kind of the objects, the default is any.
            type: str
          name:
            description: Their name, the default is any.
            type: str
          target:
            description:
              - Which objects it is for, as in C(driftDetection.ignore) of Flux. Parts that are not given select
                everything. All but selectors are regular expressions, which have to match as a whole.
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
                  - A selector of labels in the chart's manifest, with C(=), C(!=), C(in), C(notin), and keys that have
                    to be there or not.
                type: str
              annotation_selector:
                description: A selector of annotations, in the same syntax.
                type: str
      window:
        description:
          - When the release may be changed. At any other time nothing is changed - what would have been done is
            reported with the reason V(NewRevisionPending), and the task does not fail. Releases that depend on it wait,
            too.
          - Each window has days, times and a time zone, such as V(Mon-Thu 09:00-16:00 Europe/Berlin). Without days it
            is every day, without times the whole day, without a zone UTC. A range past midnight belongs to the day on
            which it begins.
          - Drift of a release that is up to date is put right at any time.
          - One of O(releases[].window.allow) and O(releases[].window.deny) has to have an entry, so that a wrong
            variable does not open the window.
        type: dict
        suboptions:
          allow:
            description:
              - The windows in which changes are made, a list of texts, one of which has to be open. The default is any
                time. An empty list is refused, also beside O(releases[].window.deny).
            type: raw
          deny:
            description:
              - The windows in which no changes are made, a list of texts. They win over O(releases[].window.allow).
                It may be an empty list beside O(releases[].window.allow).
            type: raw
          outside:
            description:
              - V(pending), as if nothing is said, reports what is to be done; V(fail) fails with the reason
                V(OutsideWindow).
            type: str
            choices: [pending, fail]
      rollback_to:
        description:
          - A digest of a chart. The release is taken back to the last revision that was made of it, its values
            included, and held there as long as this option is set. The revision has to be among those that are kept.
        type: str
      keep_history:
        description:
          - With O(releases[].state=absent), keep the record of the release. A later run without it removes the record.
        type: bool
        default: false
      deletion_propagation:
        description:
          - How objects are deleted with O(releases[].state=absent). The default is Helm's. It has no effect before
            Helm 3.12.
        type: str
        choices: [background, foreground, orphan]
      disable_hooks:
        description:
          - Do not run the hooks of the chart.
        type: bool
        default: false
      disable_openapi_validation:
        description:
          - Do not check rendered manifests against the schemas of the API server.
        type: bool
        default: false
      skip_schema_validation:
        description:
          - Do not check values against the schema of the chart. Needs Helm 3.16.
        type: bool
        default: false
      take_ownership:
        description:
          - Take over objects that are there already and belong to no release. Needs Helm 3.17.
        type: bool
        default: false
      force:
        description:
          - Replace objects instead of updating them. It excludes O(releases[].force_conflicts), and
            O(releases[].server_side=true), since only the client replaces.
        type: bool
        default: false
      force_conflicts:
        description:
          - Take over fields that other managers own. Needs Helm 4. It counts where objects are updated by server-side
            apply, which the record of the release says, for rollbacks, too; otherwise there are no conflicts.
        type: bool
        default: false
      server_side:
        description:
          - Whether objects are updated by server-side apply. Needs Helm 4, whose default it is for new releases. Others
            are updated as their last revision was, which is what V(auto) stands for, and what Helm 3 made by the
            client.
        type: str
        choices: ['true', 'false', auto]
      cleanup_on_fail:
        description:
          - Remove objects that a failed upgrade has added.
        type: bool
        default: false
  defaults:
    description:
      - Put below each release - what a release says itself wins, and mappings (values, too) are merged.
    type: dict
    default: {}
  charts:
    description:
      - The charts, as M(cloudnative.artifacts.helm_chart_sources) returns them. Each is compared with its digest before
        it is used.
    type: dict
    default: {}
  sources:
    description:
      - Charts that are fetched first, by this task itself - the option
        O(cloudnative.artifacts.helm_chart_sources#module:sources), with what that module promises. In one run of
        C(ansible-playbook) each is resolved, verified and fetched once per host that the task is delegated to. When
        one is not to be had, no release is worked on.
      - They are beside those of O(charts), which they replace where a name is the same.
      - A chart that is fetched does not count as changed.
    type: raw
  source_defaults:
    description:
      - Options for all O(sources), which each may have as well, such as C(username), C(ca_cert),
        O(cloudnative.artifacts.helm_chart_sources#module:verify) and
        O(cloudnative.artifacts.helm_chart_sources#module:interval). They have this place of their own, since options of
        the same names are those of the connection to the Kubernetes API.
      - C(module_defaults) for M(cloudnative.artifacts.helm_chart_sources), or for the group
        C(cloudnative.artifacts.oci), and the variables of the controller such as E(OCI_ARTIFACT_AUTH_FILE) count, too,
        for what is not said here.
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
  planned_objects:
    description:
      - Kubernetes objects that an earlier task of the play applies, a list of mappings. In check mode that task does
        not make them; ConfigMaps and Secrets for O(releases[].values_from), Namespaces and CustomResourceDefinitions
        among them count as if it did. Otherwise it has no effect.
      - A ConfigMap or Secret that is there already counts as it is after C(kubectl apply).
    type: raw
  helm:
    description:
      - The program Helm on the host that runs the module, a path or a name in PATH.
    type: str
    default: helm
  helm_driver:
    description:
      - In what Helm keeps the records of releases; V(secret) and V(secrets), which are Helm's default, are all that is
        supported. The default comes from E(HELM_DRIVER). Where that says something else (V(configmap), V(sql),
        V(memory)), the task fails, since releases that are kept there would count as not installed.
    type: str
  parallel:
    description:
      - How many releases are worked on at once, at most 64.
    type: int
    default: 4
  lock_timeout:
    description:
      - How long another run that works on the same release is waited for. After that, the release fails with
        V(ReleaseLocked).
    type: str
    default: 5m
  show:
    description:
      - What the result says of each release beside how it ended, that of releases which are up to date included. In
        check mode it is what would be deployed.
      - What Secrets hold is hidden, and so is every value that holds something that came from a Secret, as in a diff.
        Among values, texts whose key is the name of a secret, such as C(password), are hidden, too.
    type: list
    elements: str
    choices: [manifest, notes, values, command]
    default: []
requirements:
  - Helm 3.10 or newer on the host that runs the module, for releases that need something done
  - kubernetes >= 28 (the Python package) and PyYAML >= 5.4 on the host that runs the module. A kubeconfig with a token
    or a client certificate is read without the package kubernetes.
  - cel-python >= 0.5 and Python 3.10 or newer, for C(ready_when) in O(releases[].depends_on), on that host
  - requests >= 2.25.1, for O(sources) in registries, and cryptography >= 36 where they are verified, on that host
notes:
  - A release is locked by a Lease C(cloudnative.artifacts.NAME) in the namespace of its record while it is worked on.
    Where Leases may not be used there is a warning, and Helm's own check has to do.
  - Retries count within one run. A release that failed is tried again by the next run.
seealso:
  - module: cloudnative.artifacts.helm_chart_sources
  - module: kubernetes.core.helm_info
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_helm_release
    description: Helm releases from OCI charts.
"""

EXAMPLES = r"""
- name: Deploy two releases of one chart
  cloudnative.artifacts.helm_releases:
    sources:
      podinfo:
        ref: registry.example.com/charts/podinfo:6.7.1
    kubeconfig: /etc/kubernetes/admin.conf
    defaults:
      namespace: podinfo
      source: podinfo
      create_namespace: true
    releases:
      - name: internal
        values:
          ingress: {enabled: false}
      - name: external
        depends_on: [internal]
        values:
          ingress: {enabled: true}
  register: deployed

- name: Remove one of them
  cloudnative.artifacts.helm_releases:
    kubeconfig: /etc/kubernetes/admin.conf
    releases:
      - name: external
        namespace: podinfo
        state: absent
"""

RETURN = r"""
releases:
  description:
    - What became of each release, in the order of the option.
  returned: unless options are wrong, or the cluster cannot be reached
  type: list
  elements: dict
  contains:
    name:
      description: The name of the release.
      type: str
    namespace:
      description: Its O(releases[].namespace).
      type: str
    storage_namespace:
      description: The namespace of its record.
      returned: when record, objects and release are not all in one namespace
      type: str
    target_namespace:
      description: The namespace of its objects.
      returned: as RV(releases[].storage_namespace)
      type: str
    action:
      description:
        - What was done, or was to be done - V(none), V(install), V(upgrade), V(uninstall), V(rollback), V(test) or
          V(label).
      type: str
    cause:
      description:
        - Why - V(NotInstalled), V(ChartChanged), V(ValuesChanged), V(PostRendererChanged), V(LabelsChanged),
          V(TargetNamespaceChanged), V(Unmanaged) (the revision that is there was made by other means),
          V(LastActionFailed), V(Pending), V(Untested), V(Unwanted), V(RollbackWanted); V(ReleaseUpToDate) and
          V(Suspended) when nothing was to be done.
      type: str
    reason:
      description:
        - How it ended, in Flux's words - V(InstallSucceeded), V(InstallFailed), V(UpgradeSucceeded), V(UpgradeFailed),
          V(TestSucceeded), V(TestFailed), V(RollbackSucceeded), V(RollbackFailed), V(UninstallSucceeded),
          V(UninstallFailed), V(DriftDetected), V(ValuesError), V(DependencyNotReady). V(DriftCorrected),
          V(LabelsUpdated), V(ReleaseLocked), V(Forbidden) and the codes of other failures are this collection's. When
          nothing was done, it is the cause, or V(NewRevisionPending) when that is not to be done now.
      type: str
    retryable:
      description: As RV(retryable), of this release.
      returned: when it failed
      type: bool
    changed:
      description: Whether something in the cluster was changed for it.
      type: bool
    failed:
      description: Whether it is not what it should be.
      type: bool
    msg:
      description: What went wrong.
      returned: when it failed
      type: str
    remediation:
      description:
        - What was done after the last failed attempt - V(RollbackSucceeded), V(UninstallSucceeded),
          V(MissingRollbackTarget), or the reason why it could not be done.
      returned: when something was
      type: str
    attempts:
      description: How many attempts to install or upgrade changed something in the cluster.
      type: int
    test:
      description: How the tests ended, V(passed) or V(failed).
      returned: when they were run
      type: str
    status:
      description: Helm's status of the release, empty when it is not there.
      type: str
    revision:
      description: The number of its last revision, 0 when it is not there.
      type: int
    chart:
      description: Name, version, app_version, digest, revision and url of the chart that is wanted.
      returned: unless the release is to be absent
      type: dict
    values_digest:
      description: The digest of the values that are wanted, and of the artifacts in O(releases[].values_from).
      type: str
    values_artifacts:
      description:
        - The artifacts that values are from, by the name of the source, each with url, revision and digest.
      returned: with artifacts in O(releases[].values_from)
      type: dict
      sample:
        env-prod:
          url: oci://registry.example.com/env/prod
          revision: 1.4.0@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
          digest: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    pending:
      description:
        - What waits until changes are made. C(action) is what would have been done, of those of
          RV(releases[].action), and C(why) names the time and the window.
      returned: when the reason is V(NewRevisionPending)
      type: dict
      sample: {action: upgrade, why: "The release apps/demo is not changed: it is Sat 11:59 (UTC), and …"}
    drift:
      description:
        - The objects that differ, each with kind, namespace, name, change (missing or changed) and paths. Where they
          were to be corrected, C(corrected) says whether that was done.
      returned: when drift was found
      type: list
      elements: dict
    crds:
      description:
        - The CustomResourceDefinitions that were changed for it, each with name and change (created or replaced). One
          that several releases have is with the release that came first.
      returned: when there are some
      type: list
      elements: dict
    left_behind:
      description:
        - Objects of earlier revisions that Helm has not removed from the cluster, since one of them failed, each with
          kind, namespace and name. They are looked for when something is done after a failure, and there is a warning.
      returned: when there are some
      type: list
      elements: dict
    manifest:
      description: The rendered manifests, hooks included, as one text in YAML.
      returned: with O(show), for a release that is there or would be
      type: str
    notes:
      description: The notes of the chart, as Helm rendered them.
      returned: with O(show), for a release that is there or would be
      type: str
    values:
      description: The values that it was, or would be, deployed with, without the defaults of the chart.
      returned: with O(show), for a release that is there or would be
      type: dict
    command:
      description:
        - The commands of Helm that were run, one in each line; in check mode the one that would be run first. Helm is
          given the values on its standard input, and the connection to the cluster in its environment.
        - It is empty when nothing was to be done.
      returned: with O(show), unless the release is suspended
      type: str
charts:
  description:
    - What O(sources) were resolved to, as RV(cloudnative.artifacts.helm_chart_sources#module:charts), also when a
      release has failed.
  returned: with sources, once all of them are at hand
  type: dict
failed_sources:
  description:
    - The O(sources) that are not to be had, with the reason of each.
  returned: when there are some
  type: dict
statistics:
  description: How many processes of Helm were started, and how many requests the module itself made to the API.
  returned: with releases
  type: dict
  sample: {helm_processes: 0, api_requests: 1}
reason:
  description: The reason of the first release that failed, or of what kept all of them from being deployed.
  returned: failure
  type: str
retryable:
  description:
    - Whether the same task may succeed later although nobody changes anything; the registry was out of reach or in
      trouble, or something was locked, after all retries. The guide on errors says it for each reason.
    - Of several releases it is true when it is for each that failed.
  returned: failure
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.releases import (
    RELEASES_SPEC,
    fetched_charts,
    fetched_files,
    kube_options,
    planned_objects,
    release_items,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.run import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.with_charts import with_charts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.release import check_driver
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import parse_duration
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.deploy import (
    ReleasesOptions,
    deploy_releases,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run(module: AnsibleModule) -> dict[str, Any]:
    check_driver(module.params["helm_driver"] or "")
    releases, kube = release_items(module.params), kube_options(module.params)
    return with_charts(module, lambda charts: _deploy(module, releases, kube, charts))


def _deploy(module: AnsibleModule, releases: Any, kube: Any, charts: Any) -> dict[str, Any]:
    params = module.params
    options = ReleasesOptions(
        releases=releases,
        sources=fetched_charts(charts),
        artifacts=fetched_files(charts),
        documents=params["values_documents"] or {},
        kube=kube,
        helm=params["helm"],
        parallel=params["parallel"],
        lock_timeout=parse_duration(params["lock_timeout"], "lock_timeout"),
        policy=rules_of(params["policy"]),
        planned_objects=planned_objects(params),
        show=params["show"],
    )
    return deploy_releases(options, check_mode=module.check_mode, want_diff=bool(module._diff))


def main() -> None:
    run_module(RELEASES_SPEC, run)


if __name__ == "__main__":
    main()

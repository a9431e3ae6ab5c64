# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State that the work on all releases shares: Helm, the release records in the cluster, chart files, locks."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ..._errors import ClusterError, Forbidden, NamespaceTerminating, NotFound, OciError
from ..._helm.access import as_user, helm_environment
from ..._helm.apply_method import accepted_flags, depends_on_record, is_server_side
from ..._helm.crds import ChartCrds
from ..._helm.flags import DeployFlags
from ..._helm.helm_binary import MAX_WORDS, Helm, HelmAccess, Outcome
from ..._helm.manifest_text import object_text, secrets_of_release, shown_release
from ..._helm.release import (
    ALL_REVISIONS,
    DEPLOYED,
    SUPERSEDED,
    Revision,
    decode_release,
    last_revisions,
    mark_failed,
    parse_description,
    parse_revision,
    revisions_path,
)
from ..._kube.api import KubeOptions
from ..._kube.crds import apply_crds, missing_crds
from ..._kube.lease import LeaseLock
from ..._kube.objects import ObjectLocator
from ..._kube.rest import KubeRest
from ..._oci.digest import digest_of
from ..._secrets.masking import Mask, is_trivial, leaves
from .chart_copy import copy_chart
from .refusals import namespace_terminating, no_namespace
from .spec import FetchedChart, ReleaseKey
from .values import Origins, masked_values, values_at

LEASE_PREFIX = "cloudnative.artifacts."
# States of a namespace.
PRESENT, MISSING, TERMINATING = "present", "missing", "terminating"
# Revisions that are searched for secrets to mask in an error message of Helm: the failed one and the one before.
REVISIONS_OF_FAILURE = 2


class ReleaseContext:
    """State that the work on all releases of a task shares; thread-safe.

    ``mask`` hides values of Secrets in diffs and in messages of Helm and the API; the Secrets of a release are added to
    it when the release is read. ``origins`` has the paths of each release's values that are secret.
    ``users`` has the users that releases are worked on as, for those with a service account. ``lock_timeout`` is in
    seconds.
    """

    def __init__(
        self,
        api: KubeRest,
        helm: str,
        kube: KubeOptions,
        scratch: str,
        *,
        lock_timeout: float,
        check_mode: bool,
        want_diff: bool,
        mask: Mask,
        origins: Mapping[ReleaseKey, Origins],
        users: Mapping[ReleaseKey, str] | None = None,
        want_show: bool = False,
    ) -> None:
        self._api = api
        self._users = users or {}
        self.places = ObjectLocator(api)
        self._helm: Helm | None = None
        self._access = HelmAccess()
        self._helm_path = helm
        self._kube = kube
        self.lock_timeout = lock_timeout
        self.check_mode = check_mode
        self.want_diff = want_diff
        self.want_show = want_show
        self.warnings: list[str] = []
        self._namespaces: dict[tuple[str, str], str] = {}
        self._scratch = scratch
        self._mask = mask
        self._origins = origins
        self._charts: dict[str, str] = {}
        self._guard = threading.Lock()
        self._crds: dict[str, ChartCrds] = {}
        self._crds_guard = threading.Lock()
        # users and digests of the CRDs that were applied in this run, each with whether an existing one was replaced
        self._applied: set[tuple[str, str, bool]] = set()
        self._lockless = False

    @property
    def helm(self) -> Helm:
        """The Helm program.

        :raises MissingDependency: when it is missing or too old.
        """
        with self._guard:
            if self._helm is None:
                self._access = HelmAccess(helm_environment(self._kube, self._scratch))
                self._helm = Helm(self._helm_path, self._access, self._scratch)
            return self._helm

    def helm_for(self, key: ReleaseKey, target: str) -> Helm:
        """The Helm program for one release, whose objects are in the namespace ``target``."""
        helm, user = self.helm, self._users.get(key, "")
        if target != key.namespace:
            from ..._helm.record_proxy import RecordRoute, record_session

            route = RecordRoute(key.name, target, key.namespace)
            return helm.through(HelmAccess(session=partial(record_session, self.api_of(key), route, self._scratch)))
        return helm.through(as_user(self._access, user)) if user else helm

    @property
    def helm_runs(self) -> int:
        """The number of Helm processes that were started."""
        return self._helm.runs if self._helm else 0

    # -- the cluster

    def api_of(self, key: ReleaseKey) -> KubeRest:
        """The client whose requests are made as the user that a release is worked on as."""
        return self._api.acting_as(self._users.get(key, ""))

    def revisions(self, key: ReleaseKey) -> list[Revision]:
        """All revisions of a release, the latest first."""
        found = self.api_of(key).list_metadata(revisions_path(key.namespace), f"{ALL_REVISIONS},name={key.name}")
        parsed = [revision for revision in map(parse_revision, found) if revision is not None]
        return sorted(parsed, key=lambda revision: revision.number, reverse=True)

    def last(self, key: ReleaseKey) -> Revision | None:
        """The latest revision of a release."""
        return last_revisions(self.revisions(key)).get((key.namespace, key.name))

    def made_of(self, key: ReleaseKey, digest: str) -> Revision | None:
        """The latest deployed revision of a release with this chart, according to its labels."""
        for revision in self.revisions(key):
            if revision.status not in (DEPLOYED, SUPERSEDED):
                continue
            if not revision.is_recorded:
                description = (self.release(revision).get("info") or {}).get("description")
                fingerprint = parse_description(str(description))
                if fingerprint is not None:
                    labels = {**revision.labels, **fingerprint.as_labels(revision.number)}
                    revision = dataclasses.replace(revision, labels=labels)
            if revision.has_chart(digest):
                return revision
        return None

    def namespace_state(self, key: ReleaseKey, name: str) -> str:
        """``PRESENT``, ``MISSING`` or ``TERMINATING``, as a release sees it when it is first asked.

        Without the right to read it, a dry run shows which it is.
        """
        place = (self._users.get(key, ""), name)
        with self._guard:
            if place not in self._namespaces:
                self._namespaces[place] = self.look_at_namespace(key, name)
            return self._namespaces[place]

    def look_at_namespace(self, key: ReleaseKey, name: str) -> str:
        """As :meth:`namespace_state`, and as it is now."""
        api = self.api_of(key)
        try:
            found = api.find(f"/api/v1/namespaces/{name}")
            if found is None:
                return MISSING
            return TERMINATING if (found.get("metadata") or {}).get("deletionTimestamp") else PRESENT
        except Forbidden:
            pass
        # what any release creates
        probe = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{LEASE_PREFIX}probe"}}
        try:
            api.create(revisions_path(name), probe, dry_run=True)
        except NamespaceTerminating:
            return TERMINATING
        except NotFound:
            return MISSING
        except ClusterError:
            # the work itself shows why
            pass
        return PRESENT

    def release(self, revision: Revision) -> dict[str, Any]:
        """The release document that Helm stored for a revision."""
        release = decode_release(self._api_for(revision).get(self._secret_path(revision)), self._name(revision))
        self.learn(release, ReleaseKey(revision.namespace, revision.name))
        return release

    def target_of(self, revision: Revision) -> str:
        """The namespace of the objects of a revision, as its record says."""
        if revision.is_recorded:
            return revision.target
        return str(self.release(revision).get("namespace") or revision.namespace)

    def accepted_flags(self, flags: DeployFlags, base: Revision | None) -> DeployFlags:
        """Return the flags that Helm accepts; the record of ``base`` is read when they depend on it.

        :param base: the last revision for an upgrade, the one to go back to for a rollback, None for an install.
        """
        if not self.helm.has(4, 0) or not flags.force_conflicts:
            return flags
        recorded = base is None or not depends_on_record(flags) or is_server_side(self.release(base))
        return accepted_flags(flags, recorded=recorded)

    def label(self, revision: Revision, labels: Mapping[str, str | None]) -> None:
        """Set labels of a revision; None removes one."""
        self._api_for(revision).merge(self._secret_path(revision), {"metadata": {"labels": dict(labels)}})

    def mark_failed(self, revision: Revision, description: str) -> None:
        """Set the status of a pending revision to failed.

        :raises Conflict: when it was changed in the meantime.
        """
        api, path = self._api_for(revision), self._secret_path(revision)
        api.replace(path, mark_failed(api.get(path), description, self._name(revision)))

    def _api_for(self, revision: Revision) -> KubeRest:
        return self.api_of(ReleaseKey(revision.namespace, revision.name))

    @staticmethod
    def _secret_path(revision: Revision) -> str:
        return f"{revisions_path(revision.namespace)}/{revision.secret}"

    @staticmethod
    def _name(revision: Revision) -> str:
        return f"revision {revision.number} of the release {revision.namespace}/{revision.name}"

    # -- locks

    @contextlib.contextmanager
    def locked(self, key: ReleaseKey) -> Iterator[tuple[bool, bool]]:
        """Hold the lock of a release; yield whether it is held, and whether its last holder died without releasing it.

        Without permission for Leases there is no lock: Helm itself refuses a second concurrent action.

        :raises ObjectNotFound: when there is no such namespace.
        :raises NamespaceTerminating: when the namespace is being deleted, so that no Lease can be created.
        :raises ReleaseLocked: when another run does not release it in time.
        """
        lock = LeaseLock(self.api_of(key), key.namespace, LEASE_PREFIX + key.name, f"the release {key}")
        try:
            abandoned = lock.acquire(self.lock_timeout)
        except NotFound:
            raise no_namespace(key) from None
        except NamespaceTerminating:
            raise namespace_terminating(key) from None
        except Forbidden as exc:
            self._warn_lockless(
                "Releases are deployed without a lock, since the API does not allow it: two runs at once may get in "
                f"each other's way. {exc.message}"
            )
            yield False, False
            return
        try:
            yield True, abandoned
        finally:
            lock.release()

    def _warn_lockless(self, warning: str) -> None:
        with self._guard:
            if not self._lockless:
                self._lockless = True
                self.warnings.append(warning)

    # -- charts

    def apply_crds(
        self, key: ReleaseKey, chart: FetchedChart, values: bytes, *, replace: bool, changed: dict[str, str]
    ) -> None:
        """Apply the chart's CRDs, each once per run and user; add the names of those that changed to ``changed``.

        :param changed: as for :func:`apply_crds` of the cluster.
        :raises ChartError: when they cannot be read.
        :raises ClusterError: when the API refuses one.
        """
        path, user = self.chart_file(chart), self._users.get(key, "")
        with self._crds_guard:
            documents = self._crds_of(chart, path, values)
            new = {_digest(each): each for each in documents if not self._is_applied(user, _digest(each), replace)}
            if new:
                apply_crds(self.api_of(key), list(new.values()), replace=replace, changed=changed)
                self._applied.update((user, digest, replace) for digest in new)

    def _is_applied(self, user: str, digest: str, replace: bool) -> bool:
        """Return whether nothing is left to do for a CRD: one that was only to be created may have to be replaced."""
        return (user, digest, True) in self._applied or (not replace and (user, digest, False) in self._applied)

    def crds_to_come(
        self, key: ReleaseKey, chart: FetchedChart, values: bytes, *, replace: bool
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """For check mode: the chart's CRDs that will be as the chart has them, and the names of those that are missing.

        :param replace: whether those that are there are replaced.
        """
        path = self.chart_file(chart)
        with self._crds_guard:
            documents = self._crds_of(chart, path, values)
            missing = missing_crds(self.api_of(key), documents)
        return [each for each in documents if replace or str(each["metadata"]["name"]) in missing], missing

    def _crds_of(self, chart: FetchedChart, path: str, values: bytes) -> list[dict[str, Any]]:
        if chart.layer not in self._crds:
            self._crds[chart.layer] = ChartCrds(path, chart.origin)
        crds = self._crds[chart.layer]
        documents = crds.of(json.loads(values))
        self.warnings += [warning for warning in crds.warnings if warning not in self.warnings]
        return documents

    def chart_file(self, chart: FetchedChart) -> str:
        """A copy of the chart that nobody else can alter or remove, checked while it is made.

        :raises DigestMismatch: when the file does not match the chart's digest.
        """
        with self._guard:
            if chart.layer not in self._charts:
                path = os.path.join(self._scratch, f"chart-{len(self._charts)}.tgz")
                copy_chart(chart, path)
                self._charts[chart.layer] = path
            return self._charts[chart.layer]

    # -- secrets

    def learn(self, release: Mapping[str, Any], key: ReleaseKey) -> None:
        """Add the content of a release's Secrets, and its values that may be from Secrets, to the mask.

        An earlier revision had other values at the paths that Secrets set now, such as an old password. The source of a
        value at a path that nothing sets now is unknown: it is masked, too.
        """
        for secret in secrets_of_release(release):
            self._mask.add(secret)
        origins = self._origins.get(key, Origins())
        for place, value in values_at(release.get("config") or {}):
            if place in origins.secret:
                self._mask.add_value(value)
            elif place not in origins.public:
                self._mask.add_value([leaf for leaf in leaves(value) if not is_trivial(leaf)])

    def shown(self, release: Mapping[str, Any]) -> str:
        """The objects of a release as text for a diff, with secrets masked."""
        return shown_release(release, self._mask)

    def shown_object(self, document: Mapping[str, Any]) -> str:
        """One object as text for a diff, with secrets masked."""
        return object_text(document, self._mask)

    def shown_values(self, release: Mapping[str, Any], key: ReleaseKey) -> Any:
        """The values of a release, with a mark for each that may not be shown."""
        return masked_values(release.get("config") or {}, self._mask, self._origins.get(key, Origins()).secret)

    def masked(self, words: str) -> str:
        """A message of Helm or the API, with secrets masked."""
        return self._mask.text(words)

    def said(self, outcome: Outcome, key: ReleaseKey) -> str:
        """Helm's error message with secrets masked, at most 2,000 characters.

        Helm repeats parts of the objects that it deploys, so the Secrets of the latest revisions are masked, too.
        """
        with contextlib.suppress(OciError):
            for revision in self.revisions(key)[:REVISIONS_OF_FAILURE]:
                self.release(revision)
        return self.masked(outcome.words)[:MAX_WORDS]


def _digest(document: Mapping[str, Any]) -> str:
    return digest_of(json.dumps(document, sort_keys=True).encode("utf-8", "surrogateescape"))

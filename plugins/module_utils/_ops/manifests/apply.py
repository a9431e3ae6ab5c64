# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies objects on the server: looks at all of them before the first write, then goes stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..._errors import (
    AuthenticationFailed,
    ClusterError,
    ConnectionFailed,
    Forbidden,
    ManifestsConflict,
    ManifestsInvalid,
    NotFound,
    OciError,
    ReconciliationFailed,
)
from ..._files.threads import thread_pool
from ..._helm.manifest_text import object_text
from ..._kube.crds import await_established
from ..._kube.field_owners import take_over, taken_over, without_taken_over
from ..._kube.objects import ObjectLocation, comparable
from ..._kube.patches import json_patch, keep_live, with_plain_secret, without_nulls
from ..._kube.rest import MANAGER, KubeRest
from ..._manifests.applyset import PART_OF
from ..._manifests.ignored_fields import ignored_fields
from ..._manifests.kinds import Kinds
from ..._manifests.objects import ManifestObject, with_namespace
from ..._manifests.stages import DEFINITIONS, stage_of, staged
from ..._secrets.masking import Mask
from ..._unexpected import as_error
from .spec import ManifestsSpec

PARALLEL = 8
MAX_NAMED = 10
# The status of an object that the server does not accept.
INVALID = 422
# Seconds to wait until an object is gone that is to be created anew.
REMOVAL_TIMEOUT = 60.0
# Seconds until an API server serves a kind that was defined just now.
SERVED_TIMEOUT = 15.0
_PAUSE = 0.3

CREATED, CONFIGURED, RECREATED, UNCHANGED, SKIPPED = "created", "configured", "recreated", "unchanged", "skipped"

# Annotations of Flux's kustomize-controller, and ours. Their values are Flux's.
SSA = ("kustomize.toolkit.fluxcd.io/ssa", "cloudnative.artifacts/ssa")
RECONCILE = ("kustomize.toolkit.fluxcd.io/reconcile", "cloudnative.artifacts/reconcile")
FORCE = ("kustomize.toolkit.fluxcd.io/force", "cloudnative.artifacts/force")
ENABLED, DISABLED, IGNORED, MERGE = "enabled", "disabled", "ignore", "merge"

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass
class Member:
    """One object of a set: where it is, what is there now, and what becomes of it."""

    item: ManifestObject = field(repr=False)
    place: ObjectLocation
    live: Mapping[str, Any] | None = field(default=None, repr=False)
    wanted: dict[str, Any] = field(default_factory=dict, repr=False)
    would_be: Mapping[str, Any] = field(default_factory=dict, repr=False)
    action: str = ""
    is_written: bool = False

    @property
    def is_changed(self) -> bool:
        """True when it has to be, or was, written."""
        return self.action in (CREATED, CONFIGURED, RECREATED)

    @property
    def uid(self) -> str:
        """The UID of the object in the cluster; empty when it is not there."""
        for document in (self.would_be, self.live or {}):
            metadata = document.get("metadata")
            if isinstance(metadata, Mapping) and metadata.get("uid"):
                return str(metadata["uid"])
        return ""

    def as_result(self) -> dict[str, str]:
        """Return the entry of the module's value ``objects``."""
        return entry(self.place, self.action)


def entry(place: ObjectLocation, action: str) -> dict[str, str]:
    """Return an entry of the module's value ``objects``."""
    return {"kind": place.kind, "namespace": place.namespace, "name": place.name, "action": action}


class Applier:
    """Applies the objects of one set. ``members`` has them after :meth:`look`, in the order of applying."""

    def __init__(self, api: KubeRest, kinds: Kinds, spec: ManifestsSpec, mask: Mask, *, check_mode: bool) -> None:
        """:param mask: what no diff and no message shows."""
        self._api = api
        self._mask = mask
        self._kinds = kinds
        self._spec = spec
        self._check_mode = check_mode
        self.members: list[Member] = []

    def look(self, items: Sequence[ManifestObject]) -> None:
        """Find all objects in the cluster, without a write.

        :raises ManifestsInvalid: when a kind is not known, or two objects have one name.
        :raises ManifestsConflict: when another set owns one, or one is the parent of the set.
        :raises ReconciliationFailed: when one is being deleted.
        """
        target = self._spec.options["target_namespace"] or ""
        with_namespace(items, target)
        namespace = str(target or self._spec.key.namespace)
        places: dict[tuple[str, str, str, str], ManifestObject] = {}
        for stage in staged(items):
            for item in stage:
                place = self._kinds.find(item, namespace)
                group = item.version.rpartition("/")[0]
                other = places.setdefault((group, item.kind, place.namespace, item.name), item)
                if other is not item:
                    raise ManifestsInvalid(
                        f"Two manifests are of the {place}: {other.origin} and {item.origin}.", "Remove one of them."
                    )
                if place.path == self._spec.parent.path:
                    raise ManifestsConflict(
                        f"The {place} of {item.origin} is the parent of the ApplySet itself.",
                        "Name another parent in 'applyset', such as configmaps/NAME.",
                    )
                self.members.append(Member(item, place))
        self._each("look at", self.members, self._look_at)
        self._check_live()

    def apply(self) -> None:
        """Apply all objects, or in check mode ask the server what would become of them.

        Before a stage is written, the server is asked about all of its objects.

        :raises ReconciliationFailed: when the server refuses one.
        """
        for number in sorted({stage_of(member.item) for member in self.members}):
            stage = [member for member in self.members if stage_of(member.item) == number]
            self._each("apply", stage, self._ask)
            if self._check_mode:
                continue
            changed = [member for member in stage if member.is_changed]
            self._each("apply", changed, self._write)
            if number == DEFINITIONS:
                for member in changed:
                    if member.item.kind == "CustomResourceDefinition":
                        await_established(self._api, member.place.path, member.place.name)

    def changed(self) -> list[Member]:
        """Return the members that were written, or in check mode would be."""
        return [member for member in self.members if member.is_written or (self._check_mode and member.is_changed)]

    def diff(self) -> tuple[str, str]:
        """Return the texts before and after of what changed; values of Secrets are replaced by marks."""
        changed = self.changed()
        for member in changed if self._mask else ():
            self._hide_former(comparable(member.live or {}), comparable(member.would_be))
        lives = [member.live for member in changed if member.live is not None]
        before = "".join(object_text(comparable(live), self._mask) for live in lives)
        return before, "".join(object_text(comparable(member.would_be), self._mask) for member in changed)

    def _hide_former(self, before: Any, after: Any) -> None:
        """Hide what stands in the cluster where a hidden value comes: it may be an earlier value of the same Secret."""
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            for key in before.keys() & after.keys():
                self._hide_former(before[key], after[key])
        elif isinstance(before, list) and isinstance(after, list):
            for former, new in zip(before, after):
                self._hide_former(former, new)
        elif before != after and not isinstance(after, (Mapping, list)) and self._mask.is_in_value(after):
            self._mask.add_value(before)

    # -- before the first write

    def _look_at(self, member: Member) -> None:
        member.live = self._api.find(member.place.path)

    def _check_live(self) -> None:
        foreign, ending = [], []
        for member in self.members:
            metadata = (member.live or {}).get("metadata") or {}
            owner = (metadata.get("labels") or {}).get(PART_OF)
            if owner and owner != self._spec.parent.id:
                foreign.append(f"{member.place} ({str(owner)[:70]})")
            if metadata.get("deletionTimestamp"):
                ending.append(str(member.place))
        if foreign:
            raise ManifestsConflict(
                f"Other ApplySets own objects of the manifests {self._spec.key}: {_listed(foreign)}.",
                "Nothing was changed. Remove them there or here; the other set gives its objects up by 'state: absent' "
                "with 'prune: false'.",
            )
        if ending:
            raise ReconciliationFailed(
                f"Objects of the manifests {self._spec.key} are being deleted: {_listed(ending)}.",
                "Nothing was changed. Run the task again when they are gone.",
                retryable=True,
            )

    # -- one object

    def _ask(self, member: Member) -> None:
        """Ask the server what would become of an object."""
        if _is_left_alone(member):
            member.action = SKIPPED
            return
        member.wanted = self._wanted(member)
        try:
            member.would_be = self._predict(member)
        except ClusterError as exc:
            if member.live is None or not self._may_recreate(member, exc):
                raise
            member.would_be, member.action = member.wanted, RECREATED
            return
        if member.live is None:
            member.action = CREATED
        else:
            if self._takes_over(member):
                member.would_be = self._after_take_over(member, member.live)
            is_same = not any(True for _each in json_patch(comparable(member.live), comparable(member.would_be)))
            member.action = UNCHANGED if is_same and _is_applied(member.live) else CONFIGURED

    def _predict(self, member: Member) -> Mapping[str, Any]:
        """Return the object that would result.

        :raises NotFound: when there is no such kind or namespace, also after what defines it was applied.
        """
        deadline = time.monotonic() + SERVED_TIMEOUT
        while True:
            try:
                return self._api.apply(member.place.path, member.wanted, MANAGER, force=True, dry_run=True)
            except NotFound:
                if not self._comes_with(member):
                    raise
                if self._check_mode:
                    return member.wanted
                # an API server may need a moment to serve a kind that is established
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE)

    def _wanted(self, member: Member) -> dict[str, Any]:
        item, place = member.item, member.place
        document: dict[str, Any] = without_nulls(item.document)
        labels = document["metadata"].get("labels")
        document["metadata"]["labels"] = {**(labels or {}), PART_OF: self._spec.parent.id}
        if place.namespace:
            document["metadata"]["namespace"] = place.namespace
        else:
            document["metadata"].pop("namespace", None)
        if item.is_secret:
            document = with_plain_secret(document)
        pointers = list(ignored_fields(self._spec.ignore, place, item.document, is_secret=item.is_secret))
        return keep_live(document, member.live, pointers) if member.live is not None and pointers else document

    def _may_recreate(self, member: Member, exc: ClusterError) -> bool:
        """True when a field differs that cannot be changed, and the object may be created anew for it."""
        if not self._is_immutable(member, exc):
            return False
        if self._spec.options["force"] or _mark(member.item, FORCE).lower() == ENABLED:
            return True
        exc.hint = "A field that differs is immutable. With 'force' the object is deleted and created anew."
        return False

    def _is_immutable(self, member: Member, exc: ClusterError) -> bool:
        """True when the server refuses the change, and not the object itself.

        Its words differ: a StatefulSet has "updates ... are forbidden", a RoleBinding "cannot change roleRef", a rule
        in CEL any text at all. So it is asked whether it would create the same object under another name.
        """
        if exc.status != INVALID:
            return False
        if "immutable" in exc.message:
            return True
        document = dict(member.wanted)
        metadata = {name: value for name, value in document["metadata"].items() if name != "name"}
        document["metadata"] = {**metadata, "generateName": f"{member.place.name[:50]}-"}
        try:
            self._api.create(member.place.collection, document, dry_run=True)
        except ClusterError:
            return False
        return True

    def _comes_with(self, member: Member) -> bool:
        """True when the namespace or the kind of an object is among those that would be created before it."""
        if member.live is not None:
            return False
        group = member.item.version.rpartition("/")[0]
        for other in self.members:
            if other.item.kind == "Namespace" and other.place.name == member.place.namespace:
                return True
            if other.item.kind == "CustomResourceDefinition" and other.place.name.endswith(f".{group}"):
                return True
        return False

    def _takes_over(self, member: Member) -> bool:
        """True when kubectl owns fields of the object in the cluster, which it is not to keep."""
        if member.live is None or MERGE in _marks(member, SSA):
            return False
        return taken_over(member.live, member.item.version, MANAGER) is not None

    def _after_take_over(self, member: Member, live: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the object that results when fields of kubectl are taken over, as well as it can be known before."""
        left = without_taken_over(member.would_be, member.item.version)
        if not any(True for _each in json_patch(comparable(live), comparable(left))):
            return left
        metadata = {name: value for name, value in left["metadata"].items() if name != "managedFields"}
        try:
            # kubectl owns what the server had filled in, too: it is filled in again
            return self._api.replace(member.place.path, {**left, "metadata": metadata}, dry_run=True)
        except OciError:
            # the account needs no right to replace objects, but for this
            return left

    def _write(self, member: Member) -> None:
        if member.action == RECREATED:
            member.is_written = True
            self._remove(member)
        elif self._takes_over(member) and member.live is not None:
            take_over(self._api, member.place.path, member.live, member.item.version, MANAGER)
        member.would_be = self._api.apply(member.place.path, member.wanted, MANAGER, force=True)
        member.is_written = True

    def _remove(self, member: Member) -> None:
        """Delete an object and wait until it is gone.

        :raises ReconciliationFailed: when it is still there after a minute.
        """
        self._api.delete(member.place.path, uid=member.uid)
        deadline = time.monotonic() + REMOVAL_TIMEOUT
        while self._api.find(member.place.path) is not None:
            if time.monotonic() > deadline:
                raise ReconciliationFailed(
                    f"The {member.place} was to be created anew, and is not gone after {REMOVAL_TIMEOUT:g} s.",
                    "See its finalizers, and run the task again.",
                )
            time.sleep(_PAUSE)

    # -- many objects

    def _each(self, what: str, members: Sequence[Member], call: Callable[[Member], None]) -> None:
        """Call for each member, several at a time; all are tried, unless the API server cannot be used at all.

        :raises OciError: when one failed; the message names all that did, up to ten.
        """
        failures: list[tuple[Member, OciError]] = []

        def work(member: Member) -> None:
            if failures and isinstance(failures[0][1], (ConnectionFailed, AuthenticationFailed)):
                return
            try:
                call(member)
            except Exception as exc:  # any error: the others are named, too
                failures.append((member, as_error(exc, f"The work on {member.place}")))

        if members:
            with thread_pool(min(PARALLEL, len(members))) as pool:
                list(pool.map(work, members))
        if failures:
            raise self._failed(what, failures)

    def _failed(self, what: str, failures: Sequence[tuple[Member, OciError]]) -> OciError:
        first = failures[0][1]
        words = [f"{member.place}: {self._mask.text(_words(member, error))}" for member, error in failures[:MAX_NAMED]]
        if len(failures) > MAX_NAMED:
            words.append(f"{len(failures) - MAX_NAMED} more objects.")
        error = ReconciliationFailed(
            f"Could not {what} {counted(len(failures))} of the manifests {self._spec.key}. {' '.join(words)}",
            "Nothing was pruned. The next run applies what is missing.",
        )
        if isinstance(first, (Forbidden, ConnectionFailed, AuthenticationFailed)) and not is_ending(first):
            error.reason = first.reason
        error.retryable = all(_is_passing(each) for _member, each in failures)
        return error


def _words(member: Member, error: OciError) -> str:
    if member.item.is_secret and isinstance(error, ClusterError) and error.__class__ is ClusterError:
        # the API server repeats values that it refuses
        return f"The Kubernetes API refused it (status {error.status}). {error.hint}".strip()
    return str(error)


def _is_passing(error: OciError) -> bool:
    # the API server answers 500 for a manifest that does not fit the schema
    return is_ending(error) or (error.retryable and "typed patch object" not in error.message)


def is_ending(error: OciError) -> bool:
    """True when the namespace of an object is being deleted, which ends by itself."""
    return "is being terminated" in error.message


def _is_left_alone(member: Member) -> bool:
    """True for an object that is not applied, by a mark in its manifest or, as in Flux, in the cluster."""
    rule = _mark(member.item, SSA).lower()
    if rule == "ifnotpresent" and member.live is not None:
        return True
    return IGNORED in _marks(member, SSA) or DISABLED in _marks(member, RECONCILE)


def _marks(member: Member, names: Iterable[str]) -> tuple[str, str]:
    """Return the mark in the manifest of an object, and the one in the cluster."""
    return _mark(member.item, names).lower(), _mark(ManifestObject(dict(member.live or {})), names).lower()


def _mark(item: ManifestObject, names: Iterable[str]) -> str:
    return next((item.mark(name) for name in names if item.mark(name)), "")


def _is_applied(live: Mapping[str, Any]) -> bool:
    """True when this collection has applied the object before, so that it owns the fields."""
    entries = (live.get("metadata") or {}).get("managedFields") or ()
    return any((each.get("manager"), each.get("operation")) == (MANAGER, "Apply") for each in entries)


def counted(number: int) -> str:
    """Return a number of objects in words."""
    return f"{number} object" if number == 1 else f"{number} objects"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift: objects that differ from a release's manifest, found by dry runs of server-side apply, and corrected.

Source of the rules: helm-controller, internal/action/diff.go. Object by object, only the fields that differ are
patched; the release gets no new revision. Ignored fields keep their live value, which is part of the
dry run, so that the correction of a list or an atomic map does not change such a field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._errors import AuthenticationFailed, ClusterError, Conflict, ConnectionFailed, NotFound, OciError, ReleaseLocked
from ..._helm import decision as decisions
from ..._helm.apply_method import HELM_MANAGER, is_server_side
from ..._helm.decision import decide
from ..._helm.manifest_text import documents
from ..._helm.values import merge
from ..._kube.crds import await_established
from ..._kube.objects import ObjectLocation, ObjectLocator, UnknownKind, comparable
from ..._kube.patches import hand_over, json_patch, keep_live, with_plain_secret, without_nulls
from ..._manifests.ignored_fields import ignored_fields
from ..._unexpected import as_error
from .context import ReleaseContext
from .plan import ReleasePlan

DETECTED = "DriftDetected"
CORRECTED = "DriftCorrected"
MISSING = "missing"
CHANGED = "changed"

# A field manager that owns nothing, for dry runs; and one that owns corrected fields until they are handed over to
# Helm's.
ASKING_MANAGER = "cloudnative.artifacts-drift"
CORRECTING_MANAGER = "cloudnative.artifacts-drift-correction"
MAX_LISTED = 100
# Failures that are named in a message.
MAX_NAMED = 10
# How often an object is compared again because another client changes it at the same time.
MAX_ROUNDS = 5

# Flux's annotation for objects without drift detection
_EXEMPT = ("helm.toolkit.fluxcd.io/driftDetection", "disabled")
# Metadata that only the API server sets.
_OWN_METADATA = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_CRD = "CustomResourceDefinition"
# Statuses of an overloaded API server, after which no further object is tried.
_BUSY = (429, 503, 504)


@dataclass
class _Drift:
    """An object that differs. ``before`` and ``after`` are its comparable fields, ``version`` is the live object's.

    The place of an object of a kind that the API server does not know (yet) has no path.
    """

    place: ObjectLocation
    change: str
    document: Mapping[str, Any] = field(repr=False)
    operations: list[dict[str, Any]] = field(repr=False, default_factory=list)
    version: str = ""
    before: Mapping[str, Any] = field(repr=False, default_factory=dict)
    after: Mapping[str, Any] = field(repr=False, default_factory=dict)

    def as_result(self) -> dict[str, Any]:
        place = self.place
        return {
            "kind": place.kind,
            "namespace": place.namespace,
            "name": place.name,
            "change": self.change,
            "paths": [str(each["path"]) for each in self.operations[:MAX_LISTED]],
        }


def look_for_drift(context: ReleaseContext, places: ObjectLocator, plan: ReleasePlan) -> None:
    """Find the drift of a release that is deployed as wanted, and put it right if the plan says so.

    All objects are tried, even if one cannot be compared or corrected.

    :raises OciError: when an object failed; the plan still has the drift that was found and corrected.
    """
    if plan.last is not None:
        _DriftCheck(context, places, plan, context.release(plan.last)).run()


class _DriftCheck:
    def __init__(
        self, context: ReleaseContext, places: ObjectLocator, plan: ReleasePlan, release: Mapping[str, Any]
    ) -> None:
        self._context = context
        self._api = context.api_of(plan.key)
        self._places = places
        self._plan = plan
        self._release = release
        self._is_server_side = is_server_side(release)
        self._failures: list[tuple[ObjectLocation, OciError]] = []
        self._has_stopped = False

    def run(self) -> None:
        plan = self._plan
        found = list(self._find())
        plan.drift = [drift.as_result() for drift in found]
        if found:
            plan.reason = DETECTED
        if found and plan.spec.drift == "warn":
            names = ", ".join(f"{drift.place} ({drift.change})" for drift in found[:10])
            plan.warnings.append(f"The release {plan.key} has drifted: {names}.")
        elif found and self._context.check_mode:
            plan.changed, plan.reason = True, CORRECTED
            self._show(found)
        elif found:
            self._correct_all(found)
        if self._failures:
            raise self._failed()

    # -- comparison

    def _find(self) -> Iterator[_Drift]:
        manifest = str(self._release.get("manifest") or "")
        for document in documents(manifest, f"the release {self._plan.key}"):
            place = _named_place(document)
            try:
                if _is_nameless(document):
                    continue
                place = self._place(document)
                drift = self._of_object(document, place)
            except Exception as exc:  # any error: the other objects are still compared
                self._fail(place, exc)
                if self._has_stopped:
                    return
                continue
            if drift is not None:
                yield drift

    def _place(self, document: Mapping[str, Any]) -> ObjectLocation:
        """The place of an object; without a path when the API server does not know its kind."""
        try:
            return self._places.find(document, self._plan.spec.target)
        except UnknownKind:
            return _named_place(document)

    def _of_object(self, document: Mapping[str, Any], place: ObjectLocation) -> _Drift | None:
        """The drift of an object; None when it does not differ from its manifest, or the difference is ignored."""
        wanted = self._wanted(document, place)
        rules = self._plan.spec.drift_ignore
        pointers = list(ignored_fields(rules, place, document, is_secret=_is_secret(place)))
        if () in pointers or _EXEMPT in _marks(wanted):
            return None
        live = self._api.find(place.path) if place.path else None
        if live is None:
            return _Drift(place, MISSING, document, after=_plain(document))
        # a pointer may be to the whole metadata
        asked = _installable(keep_live(wanted, live, pointers))
        would_be = self._api.apply(place.path, asked, ASKING_MANAGER, force=True, dry_run=True)
        before, after = comparable(live), comparable(would_be)
        operations = list(json_patch(before, after))
        if not operations:
            return None
        version = str(live["metadata"].get("resourceVersion") or "")
        return _Drift(place, CHANGED, document, operations, version, before, after)

    def _wanted(self, document: Mapping[str, Any], place: ObjectLocation) -> dict[str, Any]:
        """The manifest in comparable form, with the metadata that Helm adds to each object."""
        wanted: dict[str, Any] = merge(_plain(document), self._helm_metadata(place))
        wanted.pop("status", None)
        return with_plain_secret(wanted) if _is_secret(place) else wanted

    def _helm_metadata(self, place: ObjectLocation) -> dict[str, Any]:
        """The metadata that Helm adds to each object (pkg/action/validate.go, ``setMetadataVisitor``)."""
        name, namespace = self._plan.key.name, self._plan.spec.target
        annotations = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
        metadata: dict[str, Any] = {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": annotations}
        if place.namespace:
            metadata["namespace"] = place.namespace
        return {"metadata": metadata}

    # -- correction

    def _correct_all(self, found: list[_Drift]) -> None:
        plan, corrected = self._plan, []
        for entry in plan.drift:
            entry["corrected"] = False
        with self._context.locked(plan.key):
            for drift, entry in zip(found, plan.drift):
                try:
                    done = self._correct(drift)
                except Exception as exc:  # as above
                    self._fail(drift.place, exc)
                    if self._has_stopped:
                        break
                    continue
                if done is not None:
                    plan.changed = entry["corrected"] = True
                    corrected.append(done)
        self._show(corrected)
        if corrected and not self._failures:
            plan.reason = CORRECTED

    def _correct(self, drift: _Drift) -> _Drift | None:
        """Correct one object; return its drift at that moment, None when it had none any more."""
        current: _Drift | None = drift
        for attempt in range(MAX_ROUNDS):
            self._check_revision()
            if attempt:
                current = self._of_object(drift.document, self._place(drift.document))
            if current is None:
                return None
            try:
                self._write(current)
                return current
            except (Conflict, NotFound):
                # another client changed, created or removed it after the comparison
                if attempt + 1 == MAX_ROUNDS:
                    raise
        return None

    def _write(self, drift: _Drift) -> None:
        """Correct an object with Helm's apply method, so that its next upgrade finds no other field manager.

        :raises Conflict: when it changed after the comparison.
        :raises NotFound: when it was removed, or its namespace does not exist.
        """
        if drift.change == MISSING:
            self._create(drift)
        elif self._is_server_side:
            patched = self._api.patch(drift.place.path, drift.operations, drift.version, CORRECTING_MANAGER)
            self._hand_over(drift.place, patched)
        else:
            self._api.patch(drift.place.path, drift.operations, drift.version, HELM_MANAGER)

    def _create(self, drift: _Drift) -> None:
        place = drift.place if drift.place.path else self._places.find(drift.document, self._plan.spec.target)
        wanted = merge(_installable(drift.document), self._helm_metadata(place))
        if self._is_server_side:
            self._api.apply(place.path, wanted, HELM_MANAGER)
        else:
            self._api.create(place.collection, wanted, HELM_MANAGER)
        if place.kind == _CRD:
            # its objects come later in the manifest
            await_established(self._api, place.path, place.name)

    def _hand_over(self, place: ObjectLocation, patched: Mapping[str, Any]) -> None:
        """Hand corrected fields over to Helm's field manager: otherwise its next upgrade of them is a conflict."""
        live: Mapping[str, Any] | None = patched
        for _round in range(MAX_ROUNDS):
            metadata = (live or {}).get("metadata") or {}
            entries = hand_over(metadata.get("managedFields"), CORRECTING_MANAGER, HELM_MANAGER)
            if entries is None:
                return
            operation = {"op": "replace", "path": "/metadata/managedFields", "value": entries}
            try:
                self._api.patch(place.path, [operation], str(metadata.get("resourceVersion") or ""), CORRECTING_MANAGER)
                return
            except Conflict:
                live = self._api.find(place.path)
            except OciError as exc:
                # the object is corrected all the same
                self._plan.warnings.append(
                    f"{place} of the release {self._plan.key} was corrected, but the next upgrade may need "
                    f"'force_conflicts': {self._words(place, exc)}"
                )
                return

    def _check_revision(self) -> None:
        """Check that the release is still the compared revision.

        :raises ReleaseLocked: when another program has upgraded it, or is doing so.
        """
        plan = self._plan
        last = self._context.last(plan.key)
        chart = plan.chart.digest if plan.chart else ""
        decision = decide(plan.spec.desired_state(chart, plan.values_digest), last)
        if last is None or plan.last is None or last.number != plan.last.number or decision.action != decisions.NONE:
            raise ReleaseLocked(
                f"The release {plan.key} was changed by another program while its drift was being corrected.",
                "Run the task again.",
            )

    # -- messages

    def _show(self, found: list[_Drift]) -> None:
        if not self._context.want_diff or not found:
            return
        headers = {"before_header": f"{self._plan.key} (drifted)", "after_header": f"{self._plan.key} (as deployed)"}
        sides = zip(*((drift.before, drift.after) for drift in found))
        before, after = ("".join(self._context.shown_object(each) for each in side if each) for side in sides)
        self._plan.diff.append({**headers, "before": before, "after": after})

    def _fail(self, place: ObjectLocation, exc: Exception) -> None:
        error = as_error(exc, f"The work on {place}, of the release {self._plan.key},")
        self._failures.append((place, error))
        concerns_all = isinstance(error, (AuthenticationFailed, ConnectionFailed, ReleaseLocked))
        self._has_stopped = concerns_all or (isinstance(error, ClusterError) and error.status in _BUSY)

    def _failed(self) -> OciError:
        """One error for everything that went wrong; its reason is that of the first."""
        plan = self._plan
        is_correction = plan.spec.drift == "correct" and not self._context.check_mode
        words = [f"{place}: {self._words(place, error)}" for place, error in self._failures[:MAX_NAMED]]
        if len(self._failures) > MAX_NAMED:
            words.append(f"{len(self._failures) - MAX_NAMED} more objects.")
        if self._has_stopped:
            words.append("The objects after it were left alone.")
        if is_correction:
            words.append("Other objects were corrected." if plan.changed else "Nothing was changed.")
        what = "corrected" if is_correction else "determined"
        error = OciError(f"The drift of the release {plan.key} could not be {what}. {' '.join(words)}")
        error.reason = self._failures[0][1].reason
        error.retryable = all(each.retryable for _place, each in self._failures)
        return error

    def _words(self, place: ObjectLocation, error: OciError) -> str:
        """The message of an error, with secrets masked."""
        if place.kind == "Secret" and error.__class__ is ClusterError:
            # the API server repeats values that it refuses
            cause = " since a field that differs is immutable" if "field is immutable" in error.message else ""
            return f"The Kubernetes API refused it (status {error.status}){cause}."
        return self._context.masked(str(error))


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = without_nulls(_installable(document))
    return plain


def _installable(document: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without the metadata that only the API server sets."""
    metadata = document.get("metadata")
    own = {name: value for name, value in metadata.items() if name not in _OWN_METADATA} if metadata else {}
    return {**document, "metadata": own}


def _marks(wanted: Mapping[str, Any]) -> list[tuple[str, Any]]:
    metadata = wanted["metadata"]
    return [*metadata["annotations"].items(), *metadata["labels"].items()]


def _is_secret(place: ObjectLocation) -> bool:
    return place.kind == "Secret" and place.collection.startswith("/api/v1/")


def _named_place(document: Mapping[str, Any]) -> ObjectLocation:
    """The place of an object, for messages, when the API server does not know its kind."""
    metadata = document.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    kind, namespace = str(document.get("kind") or "An object"), str(named.get("namespace") or "")
    return ObjectLocation("", "", kind[:100], namespace[:100], str(named.get("name") or "without a name")[:300])


def _is_nameless(document: Mapping[str, Any]) -> bool:
    """True for an object with ``generateName``, which cannot be compared: each creation makes another object."""
    metadata = document.get("metadata")
    return isinstance(metadata, Mapping) and bool(metadata.get("generateName")) and not metadata.get("name")

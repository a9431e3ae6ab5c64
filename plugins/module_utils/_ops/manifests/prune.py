# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes what a set had and has no longer; never what is protected, or belongs to a controller."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._errors import Conflict, NotFound, OciError, ReconciliationFailed
from ..._helm.manifest_text import object_text
from ..._kube.objects import ObjectLocation, comparable
from ..._kube.rest import KubeRest
from ..._manifests.applyset import PART_OF, Contents
from ..._manifests.kinds import Kinds
from ..._manifests.stages import removal_order
from ..._secrets.masking import Mask
from .apply import DISABLED, RECONCILE, counted, entry
from .spec import ManifestsSpec

PRUNED, KEPT = "pruned", "kept"
# Annotations and labels that protect an object: of Flux's kustomize-controller, and ours.
PRUNE = ("kustomize.toolkit.fluxcd.io/prune", "cloudnative.artifacts/prune")
MAX_NAMED = 10


@dataclass(frozen=True)
class Leftover:
    """A member of the set in the cluster that is not among the manifests."""

    kind: str
    place: ObjectLocation
    metadata: Mapping[str, Any] = field(repr=False)

    @property
    def is_protected(self) -> bool:
        """True when an annotation or a label says that it stays."""
        for part in ("annotations", "labels"):
            marks = self.metadata.get(part) or {}
            if any(str(marks.get(name)).lower() == DISABLED for name in (*PRUNE, *RECONCILE)):
                return True
        return False


def find_leftovers(
    api: KubeRest, kinds: Kinds, spec: ManifestsSpec, contents: Contents, kept: Collection[tuple[str, str, str]]
) -> list[Leftover]:
    """Return the members of a set that are not among ``kept``, in the order in which they are to be removed.

    An object with a controller is left out: controllers copy labels to what they make, such as EndpointSlices.

    :param contents: where members may be.
    :param kept: the objects that stay, each as kind (``Kind.group``), namespace and name.
    """
    selector = f"{PART_OF}={spec.parent.id}"
    found: dict[str, Leftover] = {}
    for kind in sorted(contents.kinds):
        short = kind.partition(".")[0]
        for collection, namespace in kinds.collections(kind, contents.namespaces):
            for metadata in api.list_metadata(collection, selector):
                name = str(metadata.get("name"))
                if (kind, namespace, name) in kept or _has_controller(metadata) or metadata.get("deletionTimestamp"):
                    continue
                place = ObjectLocation(f"{collection}/{name}", collection, short, namespace, name)
                found[str(metadata.get("uid") or place.path)] = Leftover(kind, place, metadata)
    return sorted(found.values(), key=lambda each: (removal_order(each.place.kind), str(each.place)))


def prune(
    api: KubeRest, spec: ManifestsSpec, leftovers: Iterable[Leftover], mask: Mask, *, check_mode: bool, want_diff: bool
) -> Iterator[tuple[dict[str, str], str]]:
    """Remove what is not protected; yield an entry of ``objects`` for each object, and its text for the diff.

    :raises ReconciliationFailed: when some are not removed; all were tried.
    """
    failures: list[tuple[ObjectLocation, OciError]] = []
    for each in leftovers:
        if each.is_protected:
            yield entry(each.place, KEPT), ""
            continue
        live = api.find(each.place.path) if want_diff else None
        try:
            api.delete(each.place.path, uid=str(each.metadata.get("uid") or ""), dry_run=check_mode)
        except Conflict:
            # another object of that name has come in its place
            continue
        except OciError as exc:
            failures.append((each.place, exc))
            continue
        yield entry(each.place, PRUNED), object_text(comparable(live), mask) if live is not None else ""
    _check_failures(spec, "that the manifests {} have no longer could not be removed", failures)


def give_up(api: KubeRest, spec: ManifestsSpec, members: Iterable[Leftover]) -> None:
    """Take the label of the set from its members, which stay: another set may take them then.

    :raises ReconciliationFailed: when some keep it; all were tried.
    """
    failures: list[tuple[ObjectLocation, OciError]] = []
    for each in members:
        try:
            api.merge(each.place.path, {"metadata": {"labels": {PART_OF: None}}})
        except NotFound:
            continue
        except OciError as exc:
            failures.append((each.place, exc))
    _check_failures(spec, "of the manifests {} could not be given up", failures)


def _check_failures(spec: ManifestsSpec, what: str, failures: Sequence[tuple[ObjectLocation, OciError]]) -> None:
    if failures:
        words = " ".join(f"{place}: {error}" for place, error in failures[:MAX_NAMED])
        error = ReconciliationFailed(
            f"{counted(len(failures))} {what.format(spec.key)}. {words}", "The next run tries again."
        )
        error.reason = failures[0][1].reason
        error.retryable = all(each.retryable for _place, each in failures)
        raise error


def _has_controller(metadata: Mapping[str, Any]) -> bool:
    owners = metadata.get("ownerReferences")
    return any(isinstance(each, Mapping) and each.get("controller") for each in owners or ())

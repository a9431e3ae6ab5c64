# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task wants of one set of manifests, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..._errors import InvalidOption, OciError
from ..._kube.api import DNS_SUBDOMAIN
from ..._manifests.applyset import ParentRef, parse_parent
from ..._manifests.ignored_fields import DriftRule, parse_drift_rule
from ..._oci.options import parse_duration
from .variables import VariablesReference, parse_references

# To be incremented when other objects are made of the same manifests and options.
RULES = 1
PRESENT, ABSENT = "present", "absent"
IGNORE, WARN, CORRECT = "ignore", "warn", "correct"

SUCCEEDED = "ReconciliationSucceeded"
UNCHANGED = "Unchanged"
SUSPENDED = "Suspended"
NEW_REVISION_PENDING = "NewRevisionPending"
REMOVED = "Removed"
DRIFTED = "DriftDetected"

# The options of which the objects in the cluster are made, beside the artifact.
_SHAPING = (
    "path", "target_namespace", "common_metadata", "images", "patches", "substitute", "prune", "wait", "applyset",
)  # fmt: skip


class SetKey(NamedTuple):
    """The name of a set of manifests."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class FetchedArtifact:
    """An artifact whose layers are in the cache, as the module's value ``fetched`` has it."""

    digest: str
    revision: str
    url: str
    layers: tuple[Mapping[str, Any], ...]
    #: What the artifact itself says: its version, and when it was created (RFC 3339); empty when it does not.
    version: str = ""
    created: str = ""


@dataclass(frozen=True)
class ManifestsSpec:
    """The options of one set of manifests, checked. ``timeout`` is in seconds."""

    key: SetKey
    parent: ParentRef
    artifact: FetchedArtifact | None
    is_present: bool
    options: Mapping[str, Any] = field(repr=False)
    depends_on: tuple[SetKey, ...]
    ignore: tuple[DriftRule, ...]
    timeout: float
    substitute_from: tuple[VariablesReference, ...] = ()

    def fingerprint(self, variables: Sequence[str]) -> str:
        """Return a digest of what the objects are made of.

        :param variables: the versions of the objects in the cluster that variables are from.
        """
        artifact = self.artifact
        layers = [each["digest"] for each in artifact.layers] if artifact else []
        parts = [RULES, artifact.digest if artifact else "", layers, list(variables)]
        text = json.dumps([parts, {name: self.options.get(name) for name in _SHAPING}], sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def parse_spec(option: Mapping[str, Any], artifacts: Mapping[str, FetchedArtifact]) -> ManifestsSpec:
    """Check the options of one set.

    :raises InvalidOption: when one cannot be used, or the source is not known.
    """
    name, namespace = str(option["name"]), str(option["namespace"])
    key = SetKey(namespace, name)
    for label, text in (
        ("name", name),
        ("namespace", namespace),
        ("target_namespace", option["target_namespace"] or None),
    ):
        if text is not None and not DNS_SUBDOMAIN.match(text):
            raise InvalidOption(
                f"'{label}' of the manifests {name[:100]!r} is {text[:100]!r}.",
                "Wanted lower case letters, digits, dots and hyphens.",
            )
    if option["history_max"] < 1:
        raise InvalidOption(f"'history_max' of the manifests {key} is {option['history_max']}: wanted at least 1.")
    is_present = option["state"] == PRESENT
    artifact = artifacts.get(option["source"] or name)
    if is_present and artifact is None and not option["suspend"]:
        raise InvalidOption(
            f"The manifests {key} are of the source {option['source'] or name!r}, which is not one of 'sources'.",
            "Name one of them in 'source'.",
        )
    return ManifestsSpec(
        key=key,
        parent=parse_parent(option["applyset"] or name, namespace),
        artifact=artifact,
        is_present=is_present,
        options=option,
        depends_on=tuple(_need(each, namespace) for each in option["depends_on"] or ()),
        ignore=tuple(parse_drift_rule(each, f"the manifests {key}") for each in option["drift_ignore"] or ()),
        timeout=parse_duration(option["timeout"]),
        substitute_from=parse_references(option["substitute_from"] or (), namespace),
    )


def _need(entry: Any, namespace: str) -> SetKey:
    if isinstance(entry, str) and entry:
        above, slash, name = entry.rpartition("/")
        return SetKey(above if slash else namespace, name)
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
        return SetKey(str(entry.get("namespace") or namespace), entry["name"])
    raise InvalidOption("An entry of 'depends_on' is neither a name nor a mapping with 'name' and 'namespace'.")


@dataclass
class Outcome:
    """What was done for one set of manifests."""

    spec: ManifestsSpec
    changed: bool = False
    reason: str = ""
    objects: list[dict[str, str]] = field(default_factory=list)
    count: int = 0
    history: Sequence[Mapping[str, Any]] = ()
    warnings: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list, repr=False)
    failure: OciError | None = None
    #: Why the set waits for the time at which a policy permits changes; empty when it does not.
    pending: str = ""

    def wait(self, why: str) -> None:
        """Note that the set is left as it is until its time has come."""
        self.pending, self.reason = why, NEW_REVISION_PENDING

    def fail(self, error: OciError) -> None:
        """Note the error that ended the work, or that the set waits."""
        if error.reason == NEW_REVISION_PENDING:
            self.wait(error.message)
            return
        self.failure, self.reason = error, error.reason

    def as_result(self) -> dict[str, Any]:
        """Return the entry of the module's value ``manifests``."""
        artifact = self.spec.artifact
        result: dict[str, Any] = {
            "name": self.spec.key.name,
            "namespace": self.spec.key.namespace,
            "applyset": self.spec.parent.id,
            "changed": self.changed,
            "reason": self.reason,
            "revision": artifact.revision if artifact else "",
            "objects": self.objects,
            "count": self.count,
            "history": [dict(each) for each in self.history],
        }
        if self.pending:
            result["pending"] = {"why": self.pending}
        if self.failure is not None:
            result["error"] = str(self.failure)
        return result

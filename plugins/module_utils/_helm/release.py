# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm's records of releases in the cluster, and the labels that this collection adds to them.

Helm keeps each revision of a release in a Secret of the release's namespace (pkg/storage/driver/secrets.go): labels say
its name, number and status, the content is the gzipped JSON of everything else. Labels beside Helm's own are the
user's, and Helm hands them on from one revision to the next. What was deployed is therefore recorded in labels: whether
a release is up to date shows in the metadata alone, for all releases in one request.

A label has room for 63 characters, a SHA-256 digest for 64: labels hold the first 63 hexadecimal digits. The full
digests are in the description of the revision, which ``helm history`` shows.

Helm before 3.13 knows no labels: it is given them afterwards, and loses them when it writes a revision anew. Of a
revision that was replaced by another one, only the description is left then.

A label also names the revision that it was made for. This shows when a revision has inherited its labels (``helm
upgrade`` and ``helm rollback`` by hand), so was not made by this collection.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidContent, InvalidOption

PREFIX = "cloudnative.artifacts/"
REVISION_LABEL = PREFIX + "release-revision"
CHART_LABEL = PREFIX + "chart-digest"
VALUES_LABEL = PREFIX + "values-digest"
RENDERING_LABEL = PREFIX + "post-renderer-digest"
TEST_LABEL = PREFIX + "test"
# set when the objects are in another namespace than the record
TARGET_LABEL = PREFIX + "target-namespace"

TEST_PASSED = "passed"
TEST_FAILED = "failed"

# helm, pkg/release/status.go
DEPLOYED = "deployed"
FAILED = "failed"
SUPERSEDED = "superseded"
UNINSTALLED = "uninstalled"
UNINSTALLING = "uninstalling"
PENDING = ("pending-install", "pending-upgrade", "pending-rollback")

# The labels that Helm itself sets (driver/util.go, systemLabels).
SYSTEM_LABELS = ("name", "owner", "status", "version", "createdAt", "modifiedAt")

ALL_REVISIONS = "owner=helm"
LAST_REVISIONS = "owner=helm,status!=superseded"
DIGEST_DIGITS = 63

_DIGEST = r"sha\d+:[0-9a-f]+"
_DESCRIPTION = re.compile(rf"(?:Install|Upgrade) complete: .*?(?P<chart>{_DIGEST}), values (?P<values>{_DIGEST})")

# A Secret holds at most 1 MiB; Helm's content compresses well
MAX_RELEASE = 256 * 1024 * 1024


# helm, pkg/action/action.go (``Configuration.Init``); what else it can be told to keep records in
RECORDS_IN_SECRETS = ("", "secret", "secrets")
_OTHER_DRIVERS = {
    "configmap": "in ConfigMaps",
    "configmaps": "in ConfigMaps",
    "sql": "in an SQL database",
    "memory": "in the memory of one run of helm",
}


def check_driver(driver: str) -> None:
    """Check that Helm is to keep the records of releases in Secrets.

    :param driver: the option ``helm_driver``, or ``$HELM_DRIVER``.
    :raises InvalidOption: for every other driver: releases that it keeps would count as not installed.
    """
    if driver in RECORDS_IN_SECRETS:
        return
    where = _OTHER_DRIVERS.get(driver, "in a way that Helm does not know")
    raise InvalidOption(
        f"Helm is told to keep the records of releases {where}: 'helm_driver', or the variable HELM_DRIVER of the "
        f"environment, is {driver[:100]!r}. Only records in Secrets are read: these releases would count as not "
        "installed. Nothing was changed.",
        "Set 'helm_driver' to secret when the releases are kept in Secrets, as Helm does by itself; move records that "
        "are kept elsewhere into Secrets first.",
    )


@dataclass(frozen=True)
class Fingerprint:
    """The inputs of a release that was, or is to be, deployed: digests with algorithm, empty when not known.

    ``target`` is the namespace of its objects, empty when it is that of the record.
    """

    chart: str
    values: str
    rendering: str = ""
    target: str = ""

    def as_labels(self, revision: int) -> dict[str, str]:
        """Return the labels that record the digests for one revision."""
        labels = {
            REVISION_LABEL: str(revision),
            CHART_LABEL: digest_label(self.chart),
            VALUES_LABEL: digest_label(self.values),
        }
        if self.rendering:
            labels[RENDERING_LABEL] = digest_label(self.rendering)
        if self.target:
            labels[TARGET_LABEL] = self.target
        return labels


def revision_description(action: str, origin: str, fingerprint: Fingerprint) -> str:
    """Return the description of a revision for ``helm history``, with full digests of chart and values."""
    return f"{action.capitalize()} complete: {origin}, values {fingerprint.values}"


def parse_description(text: str) -> Fingerprint | None:
    """Return the digests in a text of :func:`revision_description`; None for any other text."""
    found = _DESCRIPTION.fullmatch(text)
    return Fingerprint(found["chart"], found["values"]) if found else None


@dataclass(frozen=True)
class Revision:
    """One revision of a release, as the labels of its Secret describe it."""

    namespace: str
    name: str
    number: int
    status: str
    secret: str
    labels: Mapping[str, str]
    created: str = ""

    @property
    def is_pending(self) -> bool:
        return self.status in PENDING

    @property
    def is_recorded(self) -> bool:
        """Return True when the labels were made for this revision, not inherited."""
        return self.labels.get(REVISION_LABEL) == str(self.number)

    @property
    def test(self) -> str:
        """Return the outcome of its tests, empty when they were not run."""
        return self.labels.get(TEST_LABEL, "") if self.is_recorded else ""

    @property
    def target(self) -> str:
        """Return the namespace of its objects, as the labels say that were made for it."""
        return self.labels.get(TARGET_LABEL) or self.namespace

    def has_chart(self, digest: str) -> bool:
        return self.is_recorded and self.labels.get(CHART_LABEL, "") == digest_label(digest)

    def has_values(self, digest: str) -> bool:
        return self.is_recorded and self.labels.get(VALUES_LABEL, "") == digest_label(digest)

    def has_rendering(self, digest: str) -> bool:
        return self.is_recorded and self.labels.get(RENDERING_LABEL, "") == digest_label(digest)

    def age(self, now: datetime.datetime | None = None) -> float:
        """Return the seconds since the Secret was created, by the clock of this host; 0 when the time is not known."""
        try:
            created = datetime.datetime.strptime(self.created, "%Y-%m-%dT%H:%M:%SZ")
        except ValueError:
            return 0.0
        now = now or datetime.datetime.now(datetime.timezone.utc)
        return max(0.0, (now - created.replace(tzinfo=datetime.timezone.utc)).total_seconds())


def digest_label(digest: str) -> str:
    """Return a digest as the value of a label."""
    return digest.rpartition(":")[2][:DIGEST_DIGITS]


def revisions_path(namespace: str = "") -> str:
    """Return the API path of the Secrets of a namespace, or of all namespaces."""
    return f"/api/v1/namespaces/{namespace}/secrets" if namespace else "/api/v1/secrets"


def parse_revision(metadata: Mapping[str, Any]) -> Revision | None:
    """Return the revision that a Secret's metadata describes; None when the Secret is not one of Helm's."""
    labels = metadata.get("labels")
    if not isinstance(labels, Mapping) or labels.get("owner") != "helm":
        return None
    texts = {str(key): str(value) for key, value in labels.items()}
    number = texts.get("version", "")
    if not (number.isascii() and number.isdigit() and len(number) < 10 and texts.get("name")):
        return None
    return Revision(
        namespace=str(metadata.get("namespace", "")),
        name=texts["name"],
        number=int(number),
        status=texts.get("status", ""),
        secret=str(metadata.get("name", "")),
        labels=texts,
        created=str(metadata.get("creationTimestamp", "")),
    )


def last_revisions(revisions: Iterable[Revision]) -> dict[tuple[str, str], Revision]:
    """Return the revision with the highest number of each release, by namespace and name."""
    last: dict[tuple[str, str], Revision] = {}
    for revision in revisions:
        key = (revision.namespace, revision.name)
        if key not in last or revision.number > last[key].number:
            last[key] = revision
    return last


def decode_release(secret: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the release in the content of a Secret (``decodeRelease`` in driver/util.go).

    :param what: name of the release in messages.
    :raises InvalidContent: when the Secret has no release, or one of more than 256 MiB.
    """
    data = secret.get("data")
    encoded = data.get("release") if isinstance(data, Mapping) else None
    document: Any = None
    if isinstance(encoded, str):
        try:
            # Kubernetes encodes in base64 what Helm has encoded in base64
            packed = base64.b64decode(base64.b64decode(encoded, validate=True), validate=True)
            document = json.loads(_unpacked(packed))
        except (ValueError, binascii.Error, zlib.error, RecursionError):
            document = None
    if not isinstance(document, dict):
        raise InvalidContent(f"The record of {what} in the cluster cannot be read: it is not what Helm writes.")
    return document


def encode_release(release: Mapping[str, Any]) -> str:
    """Return the value of ``data.release`` (``encodeRelease`` in driver/util.go)."""
    packed = gzip.compress(json.dumps(release, separators=(",", ":"), ensure_ascii=False).encode("utf-8"), mtime=0)
    return base64.b64encode(base64.b64encode(packed)).decode("ascii")


def mark_failed(secret: Mapping[str, Any], description: str, what: str) -> dict[str, Any]:
    """Return the Secret of a pending revision, changed as Helm would have written it for a failed revision.

    Its ``resourceVersion`` is kept, so that replacing it fails when it was changed in the meantime.

    :raises InvalidContent: when the Secret has no release.

    Source: helm-controller, internal/action/unlock.go.
    """
    release = decode_release(secret, what)
    info = dict(release.get("info") or {})
    info.update(status=FAILED, description=description)
    release["info"] = info
    metadata = dict(secret.get("metadata") or {})
    metadata["labels"] = {**(metadata.get("labels") or {}), "status": FAILED}
    metadata.pop("managedFields", None)
    return {**secret, "metadata": metadata, "data": {**secret["data"], "release": encode_release(release)}}


def _unpacked(packed: bytes) -> bytes:
    if not packed.startswith(b"\x1f\x8b"):
        return packed
    engine = zlib.decompressobj(31)
    data = engine.decompress(packed, MAX_RELEASE)
    if engine.unconsumed_tail:
        raise ValueError("too large")
    return data

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy reports: what was copied, what was there, what differs, and what was refused and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..._oci.repository import EXISTED, MOUNTED, UPLOADED
from ..many import MAX_DIFF

if TYPE_CHECKING:
    from ..._errors import OciError
    from ..._oci.manifest import Descriptor
    from ..._oci.reference import Reference
    from ..resolve import Resolved
    from .graph import Part

COPIED, UP_TO_DATE = "ArtifactCopied", "ArtifactUpToDate"
# what became of a tag, as a push says it
CREATED, MOVED, UNCHANGED, REFUSED = "created", "moved", "unchanged", "refused"


def as_refused(source: Reference, resolved: Resolved, error: OciError) -> dict[str, Any]:
    """What the report says of an artifact that was not copied; the digest is empty where it is not known."""
    found = {"url": source.url, "tag": resolved.tag, "digest": resolved.digest}
    rule = {"refused_by": error.details["refused_by"]} if "refused_by" in error.details else {}
    return {**found, "reason": error.reason, "msg": str(error), **rule}


def as_drifted(place: Reference, tag: str, source: str, target: str) -> dict[str, Any]:
    """What the report says of a tag that is left at another digest than the source has."""
    return {"to": str(place.at(tag=tag)), "tag": tag, "source": source, "target": target}


def no_change(present: int, tag: str) -> dict[str, Any]:
    """The report on an artifact that is there in full, with ``present`` manifests."""
    return {
        "changed": False,
        "copied": [],
        "present": present,
        "drifted": [],
        "refused": [],
        "blobs": {EXISTED: 0, MOUNTED: 0, UPLOADED: 0},
        "tags": {tag: UNCHANGED} if tag else {},
        "reason": UP_TO_DATE,
        "warnings": [],
        "diff": [],
    }


def total(reports: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return several reports as one, without warnings and reason; what a failure lacks counts as nothing."""
    found = no_change(0, "")
    for report in reports:
        found["changed"] = found["changed"] or report.get("changed", False)
        for name in ("copied", "drifted", "refused", "diff"):
            found[name] += report.get(name, ())
        found["present"] += report.get("present", 0)
        for name, count in report.get("blobs", {}).items():
            found["blobs"][name] = found["blobs"].get(name, 0) + count
        found["tags"].update(report.get("tags", {}))
    del found["warnings"], found["reason"]
    return found


def one_diff(diffs: Sequence[Mapping[str, str]], header: str) -> list[dict[str, str]]:
    """Return the diffs of several artifacts as one, which says no more than that there is one if it is too long."""
    texts = {side: "".join(each.get(side, "") for each in diffs) for side in ("before", "after")}
    if texts["before"] == texts["after"]:
        return []
    if len(texts["before"]) + len(texts["after"]) > MAX_DIFF:
        texts = {"before": "", "after": "(differs)\n"}
    return [{"before_header": header, "after_header": header, **texts}]


def part_record(part: Part) -> dict[str, Any]:
    """What the report says of a manifest; ``size`` is in bytes, with its blobs."""
    found = part.manifest
    return {
        "digest": part.digest,
        "tag": part.tag,
        "media_type": found.descriptor.media_type,
        "artifact_type": found.effective_artifact_type,
        "size": len(found.raw) + sum(blob.size for blob in part.blobs),
    }


def copy_diff(
    place: Reference, parts: Sequence[Part], missing: Sequence[Part], tag: str, held: Descriptor | None, digest: str
) -> list[dict[str, str]]:
    """The tag and the manifests at the target before and after, one per line, for the diff of a task."""
    before = [f"{tag} -> {held.digest}"] if held else []
    after = [f"{tag} -> {digest}"] if tag else []
    absent = {(part.digest, part.tag) for part in missing}
    for part in parts:
        line = f"{part.digest} {part.tag or part.manifest.effective_artifact_type}".rstrip()
        after.append(line)
        if (part.digest, part.tag) not in absent:
            before.append(line)
    texts = ["".join(f"{line}\n" for line in lines) for lines in (before, after)]
    return [{"before_header": place.name, "after_header": place.name, "before": texts[0], "after": texts[1]}]

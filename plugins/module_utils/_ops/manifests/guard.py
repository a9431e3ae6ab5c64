# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a policy for a set of manifests: which artifact it may be made of, when, and that it is no older one.

It is imported where a task has a policy, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..._oci import media
from ..._oci.reference import parse_url
from ..._policy.rules import Artifact, Policy, rules_for
from .spec import ManifestsSpec


def check_set(policy: Policy, spec: ManifestsSpec, history: Sequence[Mapping[str, Any]], *, is_repair: bool) -> None:
    """Check the artifact of a set that is about to be applied. A set that is removed is left alone.

    :param history: the artifacts that were applied, the last one first.
    :param is_repair: this artifact was applied, or begun, with the same options: that is put right at any time.
    :raises OciError: when the policy refuses it.
    """
    artifact = spec.artifact
    rules = None if artifact is None else rules_for(policy, parse_url(artifact.url))
    if artifact is None or rules is None:
        return
    new = _artifact(artifact.digest, artifact.revision, artifact.version, artifact.created)
    rules.check_identity(new.tag, [artifact.digest, *(str(layer["digest"]) for layer in artifact.layers)])
    if is_repair:
        return
    last = history[0] if history else {}
    if last.get("url") == artifact.url and last.get("digest") != artifact.digest:
        texts = [str(last.get(name) or "") for name in ("digest", "revision", "version", "created")]
        rules.check_order(new, _artifact(*texts))
    rules.check_window(f"The manifests {spec.key} are not changed", may_wait=True)


def _artifact(digest: str, revision: str, version: str, created: str) -> Artifact:
    tag, at, _digest = revision.partition("@")
    annotations = {media.ANNOTATION_VERSION: version, media.ANNOTATION_CREATED: created}
    return Artifact(digest, tag if at else "", {name: text for name, text in annotations.items() if text})

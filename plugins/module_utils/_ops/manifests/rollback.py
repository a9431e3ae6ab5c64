# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Earlier artifacts of a set of manifests, by what was noted in the cluster; from the cache where they are there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..._errors import InvalidOption, ObjectNotFound
from ..._kube.api import KubeOptions
from ..._kube.rest import KubeRest
from ..._manifests.applyset import parse_found, parse_parent
from ..charts.sources import SourceOptions, fetch_charts
from ..resolve import ReferenceOptions
from .source import ManifestsFetch

PREVIOUS = "previous"


def fetch_earlier(
    items: Sequence[dict[str, Any]],
    sources: Mapping[str, SourceOptions],
    artifacts: Mapping[str, Any],
    kube: KubeOptions,
    cache_dir: str,
) -> dict[str, Any]:
    """Return the artifacts that entries with ``rollback_to`` mean, and make them the sources of these entries.

    They are verified as the source says.

    :param items: the option ``manifests``; changed in place.
    :param artifacts: what the sources stand for now.
    :raises ObjectNotFound: when the history of a set has no such revision.
    :raises OciError: when one is not to be had, or its signatures do not satisfy the policy.
    """
    api = KubeRest(kube)
    wanted = []
    for item in items:
        if not item["rollback_to"] or item["suspend"] or item["state"] != "present":
            continue
        name = item["source"] or item["name"]
        if name not in sources:
            raise InvalidOption(f"'rollback_to' of the manifests {item['name']}: {name!r} is not one of 'sources'.")
        entry = _entry(api, item, str((artifacts.get(name) or {}).get("digest") or ""))
        if entry.get("url") != (artifacts.get(name) or {}).get("url"):
            raise InvalidOption(
                f"'rollback_to' of the manifests {item['name']} means an artifact of another repository.",
                "Name that repository in the source, with its digest.",
            )
        reference = ReferenceOptions(url=str(entry["url"]), digest=str(entry["digest"]))
        item["source"] = f"{name} (earlier, for {item['namespace']}/{item['name']})"
        wanted.append(dataclasses.replace(sources[name], name=item["source"], reference=reference))
    found: dict[str, Any] = fetch_charts(wanted, cache_dir, ManifestsFetch)["charts"] if wanted else {}
    return found


def _entry(api: KubeRest, item: Mapping[str, Any], current: str) -> Mapping[str, Any]:
    """Return the entry of the history that ``rollback_to`` means."""
    ref = parse_parent(item["applyset"] or item["name"], item["namespace"])
    history = parse_found(ref, api.find(ref.path)).history
    given = str(item["rollback_to"])
    for entry in history:
        digest, revision = str(entry.get("digest")), str(entry.get("revision"))
        if given == PREVIOUS and digest != current:
            return entry
        if given in (digest, revision, revision.partition("@")[0]):
            return entry
    known = ", ".join(str(entry.get("revision")) for entry in history[:10])
    raise ObjectNotFound(
        f"The manifests {item['namespace']}/{item['name']} have no revision {given[:200]!r} in their history: "
        f"{known or 'it is empty'}.",
        "Name one of these in 'rollback_to'.",
    )

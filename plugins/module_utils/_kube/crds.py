# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates and replaces CustomResourceDefinitions in the cluster and waits for them; never removes one."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import ClusterError, Conflict, InvalidContent
from .objects import comparable
from .patches import json_patch
from .rest import KubeRest

ESTABLISHED_TIMEOUT = 60.0
_PAUSE = 0.2
# How often a CRD is compared again because another client changes it at the same time.
MAX_ROUNDS = 5

CREATED = "created"
REPLACED = "replaced"


def apply_crds(
    api: KubeRest, documents: Sequence[Mapping[str, Any]], *, replace: bool, changed: dict[str, str]
) -> None:
    """Make sure that these CRDs are in the cluster and established.

    :param replace: replace existing CRDs with those of the chart, whoever changed them; otherwise they stay.
    :param changed: to which the name of each CRD is added at once, with CREATED or REPLACED, so that it is complete
        also after a failure.
    :raises ClusterError: when the API refuses a CRD, or one is not established within 60 s.
    """
    awaited: list[str] = []
    for document in documents:
        collection = _collection(document)
        name = str(document["metadata"]["name"])
        path = f"{collection}/{name}"
        found = api.find(path)
        if found is None:
            try:
                api.create(collection, document)
                changed[name] = CREATED
            except Conflict:
                # a concurrent run has created it
                found = api.get(path)
            awaited.append(name)
        if found is not None and replace and _replace(api, path, found, document):
            changed.setdefault(name, REPLACED)
            awaited.append(name)
    for document in documents:
        name = str(document["metadata"]["name"])
        if name in awaited:
            await_established(api, f"{_collection(document)}/{name}", name)


def _replace(api: KubeRest, path: str, live: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Give a CRD the labels, the annotations and the spec of the chart; return whether it has others now.

    Server-side apply would keep what another field manager owns, so what the chart dropped would stay. Finalizers and
    owners are not the chart's.

    :raises Conflict: when other clients change it again and again.
    """
    for attempt in range(MAX_ROUNDS):
        before = comparable(live)
        operations = list(json_patch(before, _wanted(document, live)))
        if not operations:
            return False
        try:
            patched = api.patch(path, operations, str(live["metadata"].get("resourceVersion") or ""))
        except Conflict:
            if attempt + 1 == MAX_ROUNDS:
                raise
            live = api.get(path)
        else:
            # the API server has filled in again what it had filled in before
            return comparable(patched) != before
    return False


def _wanted(document: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Return the CRD of the chart in comparable form, with the authorities that were put into the live one.

    Programs such as cert-manager fill in the authority of a conversion webhook. Without it, no object could be read
    until they do it again.
    """
    wanted = copy.deepcopy(comparable(document))
    # a CRD has none, whatever a chart says
    wanted["metadata"].pop("namespace", None)
    given, present = (
        ((((each.get("spec") or {}).get("conversion") or {}).get("webhook") or {}).get("clientConfig") or {})
        for each in (wanted, live)
    )
    if given and not given.get("caBundle") and present.get("caBundle"):
        given["caBundle"] = present["caBundle"]
    return wanted


def missing_crds(api: KubeRest, documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the CRDs that are not in the cluster."""
    names = [(str(document["metadata"]["name"]), _collection(document)) for document in documents]
    return [name for name, collection in names if api.find(f"{collection}/{name}") is None]


def _collection(document: Mapping[str, Any]) -> str:
    version = str(document.get("apiVersion") or "")
    if not version.startswith("apiextensions.k8s.io/"):
        raise InvalidContent(f"A CustomResourceDefinition of the chart has the apiVersion {version[:100]!r}.")
    return f"/apis/{version}/customresourcedefinitions"


def await_established(api: KubeRest, path: str, name: str) -> None:
    """Wait until the API server serves the kind of a CRD.

    :raises ClusterError: when it does not within 60 s, or refuses the names.
    """
    deadline = time.monotonic() + ESTABLISHED_TIMEOUT
    while True:
        conditions = (api.get(path).get("status") or {}).get("conditions") or []
        status = {each.get("type"): each.get("status") for each in conditions}
        if status.get("Established") == "True":
            return
        if status.get("NamesAccepted") == "False" or time.monotonic() > deadline:
            messages = "; ".join(str(each.get("message")) for each in conditions)[:500]
            error = ClusterError(f"The CustomResourceDefinition {name} is not established: {messages or 'no reason'}.")
            error.retryable = status.get("NamesAccepted") != "False"
            raise error
        time.sleep(_PAUSE)

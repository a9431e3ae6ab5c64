# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions of the Helm charts of tags, from their configs alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..._errors import InvalidContent, NotFound, OciError
from ..._files.threads import thread_pool
from ..._oci import media
from ..._oci.manifest import Manifest
from ..._oci.preliminary import is_about_one
from ..._oci.repository import Repository, read_small_blob
from ..artifact_result import artifact_identity
from ..layers import find_chart
from ..resolve import Resolved

PARALLEL_LOOKS = 8
# Characters of a description, and of other texts.
MAX_DESCRIPTION = 1000
MAX_TEXT = 256
_TEXTS = {"name": "name", "version": "version", "app_version": "appVersion", "kube_version": "kubeVersion"}


def list_charts(repository: Repository, tags: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """A description of each tag that is a chart, in the order of the tags, and a warning for each chart that
    is damaged or not given out (a scanner before a registry may block one).

    Takes two requests for a tag (manifest and config); with a cache one, and those for missing content. Tags that are
    not charts, or were removed in the meantime, are left out.

    :raises AuthenticationFailed: when the account may not read any of them.
    :raises OciError: when the registry does not answer.
    """
    if not tags:
        return [], []
    refused: list[OciError] = []

    def look(tag: str) -> dict[str, Any] | str | None:
        try:
            return look_at_chart(repository, tag)
        except OciError as exc:
            if not is_about_one(exc):
                raise
            refused.append(exc)
            return _left_out(repository, tag, exc)

    with thread_pool(min(PARALLEL_LOOKS, len(tags))) as pool:
        found = list(pool.map(look, tags))
    if len(refused) == len(tags):
        raise refused[0]
    return [each for each in found if isinstance(each, dict)], [each for each in found if isinstance(each, str)]


def look_at_chart(repository: Repository, tag: str) -> dict[str, Any] | str | None:
    """The chart of a tag, None when it is not a chart, a warning when it is damaged. Raises as :func:`list_charts`."""
    try:
        manifest = repository.fetch_manifest(tag)
    except NotFound:
        return None
    except InvalidContent as exc:
        return _left_out(repository, tag, exc)
    try:
        chart = find_chart(repository, manifest)
        if chart is None or chart.config is None:
            return None
        return _describe(repository, tag, manifest, chart)
    except (NotFound, InvalidContent) as exc:
        return _left_out(repository, tag, exc)


def _left_out(repository: Repository, tag: str, exc: OciError) -> str:
    return f"{repository.reference.at(tag=tag)} is left out of the charts: {exc.message}"


def _describe(repository: Repository, tag: str, manifest: Manifest, chart: Manifest) -> dict[str, Any]:
    """Return the description of a chart; ``manifest`` is what the tag holds: the chart itself, or an index with it."""
    try:
        config = json.loads(read_small_blob(repository, chart.config)) if chart.config else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, Mapping):
        raise InvalidContent("Its config is not a JSON object with the metadata of a chart.")
    return {
        **artifact_identity(repository.reference, Resolved(manifest.descriptor.digest, tag, manifest.descriptor)),
        **{name: _text(config, key, MAX_TEXT) for name, key in _TEXTS.items()},
        # Helm's default
        "type": _text(config, "type", MAX_TEXT) or "application",
        "description": _text(config, "description", MAX_DESCRIPTION),
        "deprecated": config.get("deprecated") is True,
        "created": chart.annotations.get(media.ANNOTATION_CREATED, "")[:MAX_TEXT],
    }


def _text(config: Mapping[str, Any], key: str, limit: int) -> str:
    value = config.get(key)
    if not isinstance(value, str):
        return ""
    # JSON may escape half a surrogate pair, which cannot be encoded
    return value[:limit].encode("utf-8", "replace").decode("utf-8")

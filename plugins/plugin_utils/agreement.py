# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The revisions that all hosts of one run of ansible-playbook use for a reference (``resolve_once``).

It is kept in the run's temporary directory on the controller, which all forks share and Ansible removes in the end. The
first host that asks for something resolves it while the others wait; what could not be resolved is noted, too, so that
a registry that is down is not waited for by one host after the other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.shared_file import locked_file
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import PATH_SCHEMES
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain

# Seconds for which a host waits for the one that resolves.
PATIENCE = 600.0
FILE_NAME = "cloudnative.artifacts.resolved"
_IDENTITY = ("ref", "url", "tag", "semver", "semver_filter", "filter_tags")
# of results that do not say what the registry has now
_NO_ANSWERS = ("Suspended", "LastGoodKept", "HeldBack", "NewRevisionPending")
# of failures that other hosts would see as well, and that may have taken their time
_SHARED_FAILURES = ("ConnectionFailed", "TLSFailed", "OCIArtifactPullFailed", "VerificationError")


def pinned(
    options: Mapping[str, Any], folder: str, resolve: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
    """The options of a task with the revisions that the run has agreed upon, and the answer of ``resolve`` where the
    single artifact of the task could not be resolved.

    :param folder: the run's temporary directory.
    :param resolve: runs the module with such options in check mode.
    :raises StorageError: when the other host does not end.
    """
    keys = [_key(each, options) for each in _requests(options)]
    if not any(keys):
        return dict(options), None
    with locked_file(os.path.join(folder, FILE_NAME), PATIENCE) as record:
        known: dict[str, str] = json.loads(record.read() or b"{}")
        failure = None
        if any(key and key not in known for key in keys):
            answer = resolve(_with_pins(options, keys, known))
            for key, revision in zip(keys, _revisions(answer, len(keys))):
                if key and revision is not None:
                    known.setdefault(key, revision)
            record.seek(0)
            record.truncate(0)
            record.write(json.dumps(known).encode("utf-8"))
            if answer.get("failed") and not _is_list(options):
                failure = answer
    return _with_pins(options, keys, known), failure


def _is_list(options: Mapping[str, Any]) -> bool:
    return isinstance(options.get("artifacts"), list)


def _requests(options: Mapping[str, Any]) -> list[Any]:
    return list(options["artifacts"]) if _is_list(options) else [options]


def _key(request: Any, options: Mapping[str, Any]) -> str:
    """Return a key for what is asked for; empty where there is nothing to agree upon. Credentials, and the way to the
    registry, are not part of it."""
    if not isinstance(request, Mapping) or request.get("digest") or request.get("pin"):
        return ""
    place = str(request.get("ref") or request.get("url") or "")
    # an image layout is each host's own
    if not place or "@" in place or place.startswith(PATH_SCHEMES):
        return ""
    selector = request.get("layer_selector") or options.get("layer_selector")
    media_type = selector.get("media_type") if isinstance(selector, Mapping) else None
    wanted = [*(plain(request.get(name)) for name in _IDENTITY), plain(media_type)]
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def _with_pins(options: Mapping[str, Any], keys: list[str], known: Mapping[str, str]) -> dict[str, Any]:
    pins = [known.get(key, "") for key in keys]
    if not _is_list(options):
        return {**options, "pin": pins[0]} if pins[0] else dict(options)
    items = [{**item, "pin": pin} if pin else item for item, pin in zip(options["artifacts"], pins)]
    return {**options, "artifacts": items}


def _revisions(answer: Mapping[str, Any], count: int) -> list[str | None]:
    """Return the revision of each artifact; empty if it cannot be known, None if the next host should try."""
    results = answer.get("results")
    found = [_revision(result) for result in (results if isinstance(results, list) else [answer])]
    return [*found, *([None] * count)][:count]


def _revision(result: Mapping[str, Any]) -> str | None:
    reason, artifact = result.get("reason"), result.get("artifact")
    if isinstance(artifact, Mapping) and reason not in _NO_ANSWERS and artifact.get("revision"):
        return str(artifact["revision"])
    return "" if reason in (*_NO_ANSWERS, *_SHARED_FAILURES) else None

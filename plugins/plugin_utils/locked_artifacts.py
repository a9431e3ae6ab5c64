# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks with one artifact, or a list of them in ``artifacts``, that go by a lock file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.module_utils.common.validation import check_type_dict
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.entry import Request, request_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference, parse_url
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.agreement import pinned
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.task_lock import (
    CHECK,
    USE,
    TaskLock,
    found_in,
)

# modules that resolve references, with what they take a revision in: the option "pin", or the reference itself
PINNED = frozenset({"oci_artifact_pull", "oci_artifact_verify", "oci_artifact_tag"})
REWRITTEN = frozenset({"oci_artifact_info", "oci_artifact_copy"})

_IDENTITY = ("ref", "url", "tag", "digest", "pin", "semver", "semver_filter")
_SELECTION = ("semver", "semver_filter", "filter_tags")
# parts of oci_artifact_info that are about a repository, and do not resolve a reference
_OF_REPOSITORY = frozenset({"tags", "charts", "capabilities"})
# parts that are ordered by a selection
_LISTS = frozenset({"tags", "charts", "all"})

Run = Callable[[Mapping[str, Any]], dict[str, Any]]


def run_locked(
    lock: TaskLock, module: str, options: Mapping[str, Any], folder: str, *, run: Run, look: Run
) -> dict[str, Any]:
    """Run a module under a lock file; return its result.

    To update the file the hosts of a run agree upon what each reference stands for, as with ``resolve_once``, so that
    the file says what all of them use.

    :param module: the name of the module without that of the collection.
    :param folder: the run's temporary directory.
    :param run: runs the module with such options.
    :param look: does that in check mode.
    :raises OciError: when the file cannot be used, or does not have what the task asks for.
    """
    requests = _requests(module, options)
    if not any(requests):
        return run(options)
    if lock.mode == USE:
        return run(_delivered(module, _with_pins(options, lock.pins(requests))))
    # what the registry has now is the question
    options = _asking(options)
    if lock.mode == CHECK:
        lock.pins(requests)  # what is not in the file is said before anything is asked
        answer = look(options)
        if answer.get("failed"):
            return {**answer, "changed": False}
        return lock.compare(found_in(requests, _results(answer, options)), answer)
    if options.get("via") is None:  # with it, one machine resolves for all hosts anyway
        options, failure = pinned(options, folder, lambda given: look(_delivered(module, given)))
        if failure:
            return dict(failure)
    answer = run(_delivered(module, options))
    return lock.enter(found_in(requests, _results(answer, options)), answer)


def _asking(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a task without ``interval``."""
    given = {name: value for name, value in options.items() if name != "interval"}
    if _is_list(options):
        given["artifacts"] = [
            {name: value for name, value in item.items() if name != "interval"} if isinstance(item, Mapping) else item
            for item in options["artifacts"]
        ]
    return given


def _is_list(options: Mapping[str, Any]) -> bool:
    return isinstance(options.get("artifacts"), (list, tuple))


def _results(answer: Mapping[str, Any], options: Mapping[str, Any]) -> list[Any]:
    results = answer.get("results")
    return (results if isinstance(results, list) else []) if _is_list(options) else [answer]


def _requests(module: str, options: Mapping[str, Any]) -> list[Request | None]:
    """What each artifact of a task asks for; None where nothing is resolved, or the module will refuse it."""
    if not _is_list(options):
        return [_request(module, options, options)]
    found = []
    for number, item in enumerate(options["artifacts"], 1):
        try:
            found.append(_request(module, item, options))
        except OciError as exc:
            exc.message = f"Item {number} of 'artifacts': {exc.message}"
            raise
    return found


def _request(module: str, item: Any, task: Mapping[str, Any]) -> Request | None:
    if not isinstance(item, Mapping):
        return None
    if boolean(item.get("suspend", task.get("suspend")) or False, strict=False):
        return None
    if module == "oci_artifact_tag" and item.get("state", task.get("state")) == "absent":
        return None
    identity = {name: plain(item.get(name)) for name in _IDENTITY}
    request = request_of({**identity, "filter_tags": _mapping(item.get("filter_tags"))})
    if request is None or (module in REWRITTEN and _is_of_repository(item, request)):
        return None
    if module == "oci_artifact_copy" and item.get("limit", task.get("limit")) is not None:
        raise InvalidOption(
            "'limit' chooses several tags, and a lock file has one revision for each reference.",
            "Leave out 'lock_file' here (lock_file: ''), or name each tag.",
        )
    return request


def _is_of_repository(options: Mapping[str, Any], request: Request) -> bool:
    """True when oci_artifact_info is to look at the repository alone: without a tag or a selection it then resolves
    nothing."""
    parts = _gathered(options)
    explicit = any(options.get(name) for name in ("tag", "semver", "filter_tags"))
    ref = str(plain(options.get("ref")) or "")
    return bool(parts) and parts <= _OF_REPOSITORY and not explicit and not (ref and parse_reference(ref).tag)


def _gathered(options: Mapping[str, Any]) -> frozenset[str]:
    parts = plain(options.get("gather")) or []
    return frozenset(str(part).strip() for part in (parts.split(",") if isinstance(parts, str) else parts))


def _mapping(value: Any) -> Any:
    """An option that is a mapping, in each form in which Ansible takes one."""
    if isinstance(value, str) and value:
        try:
            value = check_type_dict(value)
        except (TypeError, ValueError):
            return None
    return plain(value)


def _with_pins(options: Mapping[str, Any], pins: list[str]) -> Mapping[str, Any]:
    if not _is_list(options):
        return {**options, "pin": pins[0]} if pins[0] else options
    return {
        **options,
        "artifacts": [{**item, "pin": pin} if pin else item for item, pin in zip(options["artifacts"], pins)],
    }


def _delivered(module: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options with pins in the form in which the module takes them."""
    if module not in REWRITTEN:
        return options
    if _is_list(options):
        options = {**options, "artifacts": [_as_reference(item) for item in options["artifacts"]]}
    told: Mapping[str, Any] = _as_reference(options)
    return told


def _as_reference(options: Any) -> Any:
    """Options of one artifact with the revision of its ``pin`` in the reference, in place of tag and selection."""
    if not isinstance(options, Mapping) or not options.get("pin"):
        return options
    ref = str(plain(options.get("ref")) or "")
    place = parse_reference(ref) if ref else parse_url(str(plain(options["url"])))
    version, _at, digest = str(options["pin"]).rpartition("@")
    left_out = {"url", "tag", "digest", "pin"}
    if not _gathered(options) & _LISTS:
        left_out.update(_SELECTION)
    kept = {name: value for name, value in options.items() if name not in left_out}
    return {**kept, "ref": str(place.at(tag=version, digest=digest))}

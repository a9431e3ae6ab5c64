# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit: one report of what lies on many hosts, from which digest, by whose signature, and what is wrong with it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._errors import InvalidOption, OciError
from ..._files.bounded import expanded
from ..._files.names import native, shown
from ..._files.regular_file import storage_error
from ..._files.replaced_file import replace_file
from ..._files.threads import thread_pool
from ..._files.trusted_path import open_trusted
from ..._oci.times import time_text
from ..deployments import CREATED
from ..task import Task
from .gathered import OK, Host, Said, read_host
from .judge import FAILURES, KINDS, Finding, judge, judge_host, signature_of
from .page import page_of, report_json
from .questions import QuestionOptions, Questions

if TYPE_CHECKING:
    from ..deployments import Recorder

FORMAT = 1
MAX_HOSTS = 100_000
PARALLEL = 8
CLEAN, FINDINGS = "AuditClean", "AuditFindings"


@dataclass(frozen=True)
class AuditOptions:
    """The options of the module. ``hosts`` has what each host has answered, ``groups`` the hosts of each group.
    ``json_file`` and ``html_file`` are where the report goes, empty for nowhere."""

    hosts: Mapping[str, Any]
    groups: Mapping[str, Any] = field(default_factory=dict)
    json_file: str = ""
    html_file: str = ""
    title: str = "Artifacts"
    fail_on: Sequence[str] = FAILURES
    questions: QuestionOptions = QuestionOptions()
    recorder: Recorder | None = None


def audit(options: AuditOptions, *, check_mode: bool = False) -> dict[str, Any]:
    """Judge what hosts have answered, write the report, and return the module's result.

    In check mode registries are asked, and nothing is written.

    :raises InvalidOption: when options cannot be used.
    :raises StorageError: when the report cannot be written.
    """
    unknown = [kind for kind in options.fail_on if kind not in KINDS]
    if unknown:
        raise InvalidOption(f"'fail_on' names {unknown[0][:100]!r}: wanted any of {', '.join(KINDS)}.")
    if options.json_file and _is_same(options.json_file, options.html_file):
        raise InvalidOption(f"'json_file' and 'html_file' are both {options.json_file!r}.", "Give each its own file.")
    if len(options.hosts) > MAX_HOSTS:
        raise InvalidOption(f"'hosts' has {len(options.hosts)} entries: wanted at most {MAX_HOSTS}.")
    hosts = [read_host(str(name), answer) for name, answer in sorted(options.hosts.items(), key=str)]
    groups = _groups(options.groups, {host.name for host in hosts})
    with Task(options.questions.cache) as task:
        questions = Questions(options.questions, task)
        _ask_at_once(hosts, questions)
        described = [_described(host, questions, groups) for host in hosts]
        records, warnings = _record(options, hosts, questions, task, check_mode=check_mode)
    report = _report(options, described, groups, records)
    changed = any(record["status"] == CREATED for record in records)
    if not check_mode:
        for path, text in ((options.json_file, report_json), (options.html_file, page_of)):
            if path:
                _write(path, text(report))
                changed = True
    failing = {kind: count for kind, count in report["summary"]["findings"].items() if kind in options.fail_on}
    return {
        "changed": changed,
        "report": report,
        "failing": failing,
        "reason": FINDINGS if failing else CLEAN,
        "warnings": warnings,
    }


def _is_same(path: str, other: str) -> bool:
    return os.path.abspath(native(expanded(path))) == os.path.abspath(native(expanded(other)))


def _groups(given: Mapping[str, Any], hosts: set[str]) -> dict[str, list[str]]:
    """The groups with a host of the audit, but the one of all."""
    found = {
        str(name): [str(host) for host in members if str(host) in hosts]
        for name, members in given.items()
        if name != "all" and isinstance(members, (list, tuple))
    }
    return {name: members for name, members in sorted(found.items()) if members}


def _ask_at_once(hosts: Sequence[Host], questions: Questions) -> None:
    """Ask what will be asked of registries, several at a time, and each question once."""
    different = {
        (said.url, said.tag, said.digest, str(sorted(said.asked.items()))): said
        for host in hosts
        for said in host.destinations
        if questions.may_ask(said.url)
    }
    with thread_pool(PARALLEL) as pool:
        list(pool.map(lambda said: judge(said, questions), different.values()))


def _described(host: Host, questions: Questions, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    destinations = []
    for said in host.destinations:
        signature = signature_of(said, questions)
        destinations.append(
            {
                "path": said.path,
                "user": said.user,
                "state": said.state,
                "asked": dict(said.asked),
                "url": said.url,
                "tag": said.tag,
                "digest": said.digest,
                "placed_at": said.placed_at,
                "signers": list(signature.signers or said.signers),
                # today, by the policy of the audit; else when it was placed
                "verified": signature.problem == "" if signature.problem is not None else said.verified,
                "findings": [_finding(each) for each in judge(said, questions)],
            }
        )
    return {
        "name": host.name,
        "state": host.state,
        "groups": [name for name, members in groups.items() if host.name in members],
        "findings": [_finding(each) for each in judge_host(host)],
        "destinations": destinations,
    }


def _finding(found: Finding) -> dict[str, str]:
    return {"kind": found.kind, "message": found.message}


def _report(
    options: AuditOptions,
    hosts: Sequence[Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    records: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    by_name = {str(host["name"]): host for host in hosts}
    return {
        "format": FORMAT,
        "title": options.title,
        "created": time_text(time.time()),
        "fail_on": list(options.fail_on),
        "summary": _summary(hosts, options.fail_on),
        "groups": [
            {"name": name, **_summary([by_name[each] for each in members], options.fail_on)}
            for name, members in groups.items()
        ],
        "hosts": list(hosts),
        "records": list(records),
    }


def _summary(hosts: Sequence[Mapping[str, Any]], fail_on: Sequence[str]) -> dict[str, Any]:
    counts = dict.fromkeys(KINDS, 0)
    failing = 0
    for host in hosts:
        found = [*host["findings"], *(each for one in host["destinations"] for each in one["findings"])]
        for each in found:
            counts[each["kind"]] += 1
        failing += any(each["kind"] in fail_on for each in found)
    return {
        "hosts": len(hosts),
        "failing_hosts": failing,
        "destinations": sum(len(host["destinations"]) for host in hosts),
        "digests": len({one["digest"] for host in hosts for one in host["destinations"] if one["digest"]}),
        "findings": {kind: count for kind, count in counts.items() if count},
    }


def _record(
    options: AuditOptions, hosts: Sequence[Host], questions: Questions, task: Task, *, check_mode: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Record which digests run, where that was asked for; a failure of one is a warning."""
    if options.recorder is None:
        return [], []
    running: dict[tuple[str, str], list[Said]] = {}
    for host in hosts:
        for said in host.destinations if host.state == OK else ():
            if said.digest and questions.may_ask(said.url):
                running.setdefault((said.url, said.digest), []).append(said)
    found, warnings = [], []
    for (url, digest), places in sorted(running.items()):
        signature = signature_of(places[0], questions)
        since = min((said.placed_at for said in places if said.placed_at), default="")
        try:
            found.append(
                options.recorder.record(
                    url,
                    digest,
                    since,
                    options.questions.auth,
                    options.questions.connection,
                    task.clients,
                    passed=signature.problem == "",
                    check_mode=check_mode,
                )
            )
        except OciError as exc:
            warnings.append(f"That {url}@{digest} runs was not recorded. {exc}")
    return found, warnings


def _write(path: str, text: str) -> None:
    """Replace a file in one step; its directory has to be there.

    :raises StorageError: when that fails, or somebody else may write to the directory.
    """
    full = os.path.abspath(native(expanded(path)))
    directory, name = os.path.split(full)
    try:
        folder = open_trusted(directory)
        try:
            replace_file(folder, name, text.encode("utf-8"), unfinished=f".{name}.{os.getpid()}", mode=0o644)
        finally:
            os.close(folder)
    except OSError as exc:
        raise storage_error("write the report to", shown(full), exc) from None

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with what a host has, by its own word and that of the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .gathered import EMPTY, INTERRUPTED, OK, UNREACHABLE, UNREADABLE, VANISHED, Host, Said
from .questions import DENIED, EXPIRED, INVALID, MISSING, UNKNOWN, Questions, Signature, is_newer, is_version

# The kinds of findings, in the order of reports, with what they are called there.
KINDS = {
    "unreachable": "host not reached",
    "not_gathered": "facts not gathered",
    "unreadable": "record not readable",
    "vanished": "vanished",
    "interrupted": "interrupted run",
    "drift": "drift",
    "denied": "denied by the policy",
    "invalid_signature": "signature refused",
    "expired_signature": "expired signature",
    "missing_signature": "no signature",
    "gone": "not in the registry",
    "moved_tag": "moved tag",
    "newer_version": "newer version",
    "held": "held back",
    "suspended": "suspended",
    "unverified": "not verified",
    "unknown": "not known",
}
# those that an audit fails for, unless it is told otherwise
FAILURES = tuple(KINDS)[: tuple(KINDS).index("moved_tag")]
_OF_SIGNATURES = {
    MISSING: "missing_signature",
    EXPIRED: "expired_signature",
    INVALID: "invalid_signature",
    DENIED: "denied",
    UNKNOWN: "unknown",
}


class Finding(NamedTuple):
    """One thing that is wrong: its kind (a key of ``KINDS``), and a sentence."""

    kind: str
    message: str


def judge_host(host: Host) -> list[Finding]:
    """Return what is wrong with a host as a whole."""
    if host.state == OK and not host.message:
        return []
    return [Finding("unreachable" if host.state == UNREACHABLE else "not_gathered", host.message)]


def judge(said: Said, questions: Questions) -> list[Finding]:
    """Return what is wrong with one destination; asks registries."""
    if said.state == VANISHED:
        return [Finding("vanished", "What pulls have placed there is gone, with its record.")]
    if said.state == UNREADABLE:
        return [Finding("unreadable", said.message)]
    return [*_by_its_word(said), *(_by_the_registry(said, questions) if said.digest and said.state != EMPTY else ())]


def signature_of(said: Said, questions: Questions) -> Signature:
    """Return what the signatures say today; where nobody asks for any, ``problem`` is None."""
    if not said.digest or not questions.may_ask(said.url):
        return Signature()
    return questions.signature(said.url, said.tag, said.digest)


def _by_its_word(said: Said) -> Iterator[Finding]:
    if said.state == INTERRUPTED:
        yield Finding("interrupted", "A run was killed while it placed something; the next one completes it.")
    if said.changed:
        named = ", ".join(said.drift[:5])
        more = f" and {said.changed - 5} more" if said.changed > 5 else ""
        yield Finding("drift", f"Not as it was placed: {named}{more}.")
    for hold in said.held:
        reason = f": {hold['reason']}" if hold.get("reason") else ""
        yield Finding("held", f"{hold.get('revision', '')} is held back by {hold.get('who', '')}{reason}.")
    if said.suspended:
        reason = f": {said.suspended['reason']}" if said.suspended.get("reason") else ""
        since = said.suspended.get("since", "")
        yield Finding("suspended", f"Pulls are suspended since {since} by {said.suspended.get('who', '')}{reason}.")


def _by_the_registry(said: Said, questions: Questions) -> Iterator[Finding]:
    if not questions.may_ask(said.url):
        if not said.verified:
            yield Finding("unverified", "It was placed without a verification.")
        return
    signature = signature_of(said, questions)
    if signature.problem:
        yield Finding(_OF_SIGNATURES[signature.problem], signature.message)
    elif signature.problem is None and not said.verified:
        yield Finding("unverified", "It was placed without a verification, and no policy asks for one.")
    there = questions.digest_of(said.url, said.digest)
    if there.is_gone:
        yield Finding("gone", there.problem)
    elif there.problem:
        # one outage is one finding
        yield Finding("unknown", there.problem)
        return
    if said.tag:
        now = questions.digest_of(said.url, said.tag)
        if now.is_gone:
            yield Finding("moved_tag", f"The tag {said.tag} is not there any more.")
        elif now.problem:
            yield Finding("unknown", now.problem)
        elif now.text != said.digest:
            yield Finding("moved_tag", f"The tag {said.tag} names {now.text} now.")
    yield from _newer(said, questions)


def _newer(said: Said, questions: Questions) -> Iterator[Finding]:
    if said.selects:
        chosen = questions.selected(said)
        if chosen.problem:
            yield Finding("unknown", chosen.problem)
        elif chosen.text != said.tag:
            yield Finding("newer_version", f"The selection of the pull chooses {chosen.text} now.")
    elif is_version(said.tag):
        newest = questions.newest(said.url)
        if newest.problem:
            yield Finding("unknown", newest.problem)
        elif is_newer(newest.text, said.tag):
            yield Finding("newer_version", f"The newest version is {newest.text}.")

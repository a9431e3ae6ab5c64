# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a move of a tag, attached to the artifact as a referrer: who, when, from, to, in which run.

It is attached before the tag is moved, so that there is no move without one. Whoever may push to the repository may
attach one: it tells colleagues what happened, and proves nothing against an attacker, unless it is signed.
"""

from __future__ import annotations

import os
import pwd
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._errors import InvalidOption
from ..._oci import media
from ..._oci.attachment import attach
from ..._oci.manifest import Descriptor, canonical_json
from ..._oci.times import parse_time, time_text

if TYPE_CHECKING:
    from ..._oci.repository import Repository, WritableRepository

ARTIFACT_TYPE = "application/vnd.cloudnative.artifacts.tag-record.v1+json"
_PREFIX = "cloudnative.artifacts/"
TAG, FROM, TO, WHO, RUN = (f"{_PREFIX}{name}" for name in ("tag", "from", "to", "who", "run"))
MAX_TEXT = 1000
# the most records of one artifact that are looked through
_MAX_RECORDS = 1000
# Variables of the environment by which CI systems name a run, the most telling first: GitLab, Jenkins, Azure, AWX.
_RUN_VARIABLES = ("CI_JOB_URL", "BUILD_URL", "BUILD_BUILDURI", "JOB_ID")
_GITHUB = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")


@dataclass(frozen=True)
class RecordOptions:
    """Who moves tags in which run; empty texts are filled in from the system and the environment."""

    who: str = ""
    run: str = ""

    def checked(self) -> RecordOptions:
        """Return the options with what fills in.

        :raises InvalidOption: when one is too long.
        """
        for name, text in (("who", self.who), ("run", self.run)):
            if len(text) > MAX_TEXT:
                raise InvalidOption(f"'{name}' has {len(text)} characters: wanted at most {MAX_TEXT}.")
        return RecordOptions(self.who or _account(), self.run or _run(os.environ))


def attach_record(
    repository: WritableRepository, artifact: Descriptor, tag: str, before: str, after: str, options: RecordOptions
) -> str:
    """Attach the record of one move; return the digest of its manifest.

    :param artifact: what the record is attached to: what the tag is moved to, or for a removal what it was at.
    :param before: the digest that the tag is at, empty for none; ``after`` likewise.
    :raises PushFailed: when the registry refuses it, or can list no referrers.
    """
    now = time_text(time.time())
    facts = {TAG: tag, FROM: before, TO: after, WHO: options.who, RUN: options.run}
    content = canonical_json({**{key[len(_PREFIX) :]: value for key, value in facts.items()}, "when": now})
    return attach(
        repository,
        artifact,
        content,
        artifact_type=ARTIFACT_TYPE,
        media_type=ARTIFACT_TYPE,
        annotations={media.ANNOTATION_CREATED: now, **{key: value for key, value in facts.items() if value}},
    )


def recorded_since(repository: Repository, digest: str, tag: str) -> float | None:
    """When a tag was last moved to a digest, by its newest record; None without one."""
    newest: float | None = None
    for entry in repository.list_referrers(digest, ARTIFACT_TYPE)[:_MAX_RECORDS]:
        # some registries, and older ones, list referrers without their annotations
        annotations = entry.annotations or repository.fetch_manifest(entry.digest).annotations
        if annotations.get(TAG) == tag and annotations.get(TO) == digest:
            when = parse_time(annotations.get(media.ANNOTATION_CREATED, ""))
            newest = when if newest is None or (when is not None and when > newest) else newest
    return newest


def _account() -> str:
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    return f"{name}@{socket.gethostname()}"[:MAX_TEXT]


def _run(environ: Mapping[str, str]) -> str:
    if all(environ.get(name) for name in _GITHUB):
        server, repository, number = (environ[name] for name in _GITHUB)
        return f"{server}/{repository}/actions/runs/{number}"[:MAX_TEXT]
    return next((environ[name] for name in _RUN_VARIABLES if environ.get(name)), "")[:MAX_TEXT]

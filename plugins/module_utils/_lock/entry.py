# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lock file has an entry for (:class:`Request`), and what an entry says of it (:class:`Entry`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._oci.reference import DEFAULT_TAG, parse_reference, parse_url


class Request(NamedTuple):
    """What a task asks for: a tag of a place, or a selection among its tags. Two tasks that ask for the same, in
    whatever form, have equal requests.

    ``url`` is :attr:`~._oci.reference.Reference.url`. ``tag`` is empty with a selection. ``filter_tags`` is JSON text.
    """

    url: str
    tag: str = ""
    semver: str = ""
    semver_filter: str = ""
    filter_tags: str = ""

    def __str__(self) -> str:
        if self.tag:
            return f"{self.url}:{self.tag}"
        names = ("semver", "semver_filter", "filter_tags")
        return f"{self.url} ({', '.join(f'{name}: {getattr(self, name)}' for name in names if getattr(self, name))})"


class Entry(NamedTuple):
    """What a request was resolved to. ``version`` is the tag; it is empty for a manifest of a layout without tags.

    ``signer`` says whose signatures counted; empty where none were asked for. ``locked_at`` is the time (UTC, ISO 8601)
    at which the entry got this content.
    """

    request: Request
    version: str
    digest: str
    signer: str = ""
    locked_at: str = ""

    @property
    def revision(self) -> str:
        return f"{self.version}@{self.digest}" if self.version else self.digest

    def says_the_same(self, other: Entry) -> bool:
        """True when both name one revision, and ``other`` knows no other signer: a task that verifies nothing does not
        take away what one that does has found."""
        return self.revision == other.revision and other.signer in ("", self.signer)


def request_of(options: Mapping[str, Any]) -> Request | None:
    """Return what the options of one artifact ask for; None when they name no artifact, or its digest.

    As for a task, a selection with a policy goes before a tag.

    :raises InvalidReference: when the reference is outside the grammar.
    """
    ref, url = _text(options.get("ref")), _text(options.get("url"))
    if options.get("digest") or options.get("pin") or bool(ref) == bool(url):
        return None
    reference = parse_reference(ref) if ref else parse_url(url)
    if reference.digest:
        return None
    semver, filter_tags = _text(options.get("semver")), options.get("filter_tags")
    if not isinstance(filter_tags, Mapping):
        filter_tags = {}
    if semver or filter_tags.get("policy"):
        return Request(reference.url, "", semver, _text(options.get("semver_filter")), canonical(filter_tags))
    return Request(reference.url, _text(options.get("tag")) or reference.tag or DEFAULT_TAG)


def canonical(filter_tags: Mapping[str, Any]) -> str:
    """The option ``filter_tags`` as JSON text that is the same for the same selection; empty for none."""
    found = _given(filter_tags)
    return json.dumps(found, sort_keys=True, ensure_ascii=False) if found else ""


def _given(value: Any) -> Any:
    """A value without what was not given, which is None where Ansible has checked the options; all else as text."""
    if isinstance(value, Mapping):
        return {str(key): _given(item) for key, item in value.items() if item not in (None, "")}
    return _text(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value)

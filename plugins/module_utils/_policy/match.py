# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repositories that a rule is for: a registry, a path in it, or a pattern.

A rule covers what it names and all below it: ``ghcr.io/org`` covers ``ghcr.io/org/app`` and not ``ghcr.io/organ``.
``*`` and ``?`` stand for characters between two slashes, ``**`` for any number of whole parts, and ``*`` alone for
everything, image layouts included.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from functools import cached_property

from .._errors import InvalidReference
from .._files.bounded import expanded
from .._oci.reference import DOCKER_HUB, DOCKER_HUB_HOSTS, Reference, parse_registry
from .refusals import PolicyInvalid

MAX_LENGTH = 1000
EVERYTHING = ("*", "**")
_SCHEME = "oci://"
_PATHS = ("oci-layout:", "oci-archive:")
_WILD = re.compile(r"[*?]")
_PATTERN = re.compile(r"[A-Za-z0-9._:\[\]*?-]+(?:/[a-z0-9._*?-]+)*\Z", re.ASCII)
_DEFAULT_PORT = re.compile(r":(?:443|80)\Z")


class Match:
    """The repositories that a rule is for; ``text`` is what the policy says.

    :raises PolicyInvalid: when it is neither a registry, nor a path in one, nor a pattern.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = _parts_of_match(text)

    @property
    def key(self) -> tuple[str, ...]:
        """The parts in one spelling: equal for two texts that cover the same."""
        return tuple(self._parts)

    @cached_property
    def rank(self) -> tuple[int, int, int]:
        """How specific it is; the greatest of the rules that cover a repository applies.

        The characters before the first wildcard count first, then all characters but wildcards, then the number of
        wildcards: the fewer, the more specific.
        """
        text = "/".join(self._parts)
        wild = _WILD.findall(text)
        first = _WILD.search(text)
        return (first.start() if first else len(text), len(text) - len(wild), -len(wild))

    def covers(self, reference: Reference) -> bool:
        """True for a repository, a layout or an archive that the rule is for; tag and digest are not looked at."""
        return self._parts == ["**"] or _covers(self._parts, name_parts(reference))


def is_path(name: str) -> bool:
    """True for the name of a layout or an archive."""
    return name.startswith(_PATHS)


def name_parts(reference: Reference) -> list[str]:
    """The name of a repository, layout or archive in parts between slashes, in one spelling.

    Default ports are left out, and paths are absolute: a rule cannot be evaded by another spelling of the same place.
    """
    name = reference.name
    if is_path(name):
        scheme, _colon, path = name.partition(":")
        return _path_parts(scheme, path)
    host, *path_parts = name.split("/")
    return [_DEFAULT_PORT.sub("", host), *path_parts]


def _parts_of_match(text: str) -> list[str]:
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_LENGTH:
        raise PolicyInvalid(
            "A rule of the policy has no 'match'.", "Give a registry, a path in it such as ghcr.io/org, or a pattern."
        )
    place = text.strip()
    if place in EVERYTHING:
        return ["**"]
    if place.startswith(_PATHS):
        scheme, _colon, path = place.partition(":")
        return _path_parts(scheme, path)
    place = (place[len(_SCHEME) :] if place.startswith(_SCHEME) else place).rstrip("/")
    if not _WILD.search(place):
        return _literal_parts(place, text)
    host, *rest = place.split("/")
    if not _PATTERN.match(place) or "@" in place:
        raise _not_a_match(text, "it is outside the grammar of patterns, or has a tag or a digest")
    host = _DEFAULT_PORT.sub("", host.lower())
    return [DOCKER_HUB if host in DOCKER_HUB_HOSTS else host, *rest]


def _literal_parts(place: str, text: str) -> list[str]:
    if "@" in place or ":" in place.partition("/")[2]:
        raise _not_a_match(text, "it has a tag or a digest")
    try:
        found = parse_registry(place)
    except InvalidReference as exc:
        raise _not_a_match(text, exc.message.rstrip(".")) from None
    host = _DEFAULT_PORT.sub("", found.registry)
    return [host, *(found.repository.split("/") if found.repository else ())]


def _not_a_match(text: str, problem: str) -> PolicyInvalid:
    return PolicyInvalid(
        f"The 'match' {text[:200]!r} of a rule cannot be used: {problem}.",
        "Give a registry (ghcr.io), a path in it (ghcr.io/org), a pattern (*.example.com/**/charts), or '*'. "
        "Tags and digests have rules of their own: deny_tags, deny_digests.",
    )


def _path_parts(scheme: str, path: str) -> list[str]:
    # links are followed: another name of a directory is no other place
    whole = os.path.realpath(expanded(path))
    return [f"{scheme}:", *(part for part in whole.split("/") if part)]


def _covers(parts: Sequence[str], name: Sequence[str]) -> bool:
    """True when the parts of a pattern match the first parts of a name; at most one step for each pair of parts."""
    # the numbers of parts of the name that the pattern so far can have used up
    ends = {0}
    for part in parts:
        if part == "**":
            ends = set(range(min(ends), len(name) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(name) and _fits(part, name[end])}
        if not ends:
            # Docker Hub's own images, which are named without their namespace
            return len(parts) == 2 and name[:2] == [DOCKER_HUB, "library"] and _covers(parts, [DOCKER_HUB, *name[2:]])
    return True


def _fits(part: str, text: str) -> bool:
    # brackets are a set of characters there, and part of an IPv6 address here
    return part == text or fnmatch.fnmatchcase(text, part.replace("[", "[[]"))

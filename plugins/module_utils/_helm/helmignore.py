# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of ``.helmignore``, whose syntax resembles ``.gitignore`` but has another meaning.

The first rule that excludes a file counts, and no rule includes it again: ``!pattern`` excludes everything that does
*not* match. Source: helm, pkg/ignore/rules.go, and Go's filepath.Match.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._errors import BuildError
from .archive_files import without_bom

HELMIGNORE = ".helmignore"

BY_FILE, BY_DEFAULT = "file", "default"

_DEFAULTS = ("templates/.?*",)
# Go's bufio.Scanner gives up on longer lines.
_MAX_LINE = 64 * 1024
_HINT = "See https://helm.sh/docs/chart_template_guide/helm_ignore_file/ for what Helm understands."


class HelmIgnore:
    """The rules of a ``.helmignore`` file, and Helm's default rule."""

    def __init__(self, data: bytes, what: str) -> None:
        """Parse the rules.

        :param data: content of the file; empty when there is none.
        :param what: name of the file in messages.
        :raises BuildError: for a rule that Helm refuses.
        """
        self._rules: list[_Rule] = []
        # the same decoding as for file names
        text = without_bom(data).decode("utf-8", "surrogateescape")
        for number, line in enumerate(text.split("\n"), start=1):
            where = f"{what}, line {number}"
            if len(line) >= _MAX_LINE:
                raise BuildError(f"{where} has {len(line)} characters, more than Helm reads.")
            self._add(line.strip(_SPACES), where)
        own = len(self._rules)
        for default in _DEFAULTS:
            self._add(default, "the default rules")
        self._default_rules = self._rules[own:]

    def _add(self, line: str, where: str) -> None:
        if not line or line.startswith("#"):
            return
        if "**" in line:
            raise BuildError(f"{where}: Helm does not support '**'.", _HINT)
        pattern = line
        negated = pattern.startswith("!")
        pattern = pattern[negated:]
        only_directories = pattern.endswith("/")
        pattern = pattern[: len(pattern) - only_directories]
        try:
            # as in Helm, the unmodified line
            _chunks(line)
            chunks = _chunks(pattern.lstrip("/"))
        except ValueError as exc:
            raise BuildError(f"{where}: the pattern {line[:100]!r} is malformed: {exc}.", _HINT) from None
        self._rules.append(_Rule(chunks, "/" in pattern, negated, only_directories))

    def ignores(self, path: str, is_directory: bool) -> str:
        """Return which rules exclude a path: :data:`BY_FILE`, :data:`BY_DEFAULT`, or empty when none does.

        :param path: relative to the chart. A directory is excluded with everything in it.
        """
        name = path.rpartition("/")[2]
        for rule in self._rules:
            if rule.only_directories and not is_directory:
                matched = rule.negated
            else:
                matched = _matches(rule.chunks, path if rule.whole_path else name) != rule.negated
            if matched:
                return BY_DEFAULT if rule in self._default_rules else BY_FILE
        return ""


# The characters that Go's strings.TrimSpace removes.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


@dataclass(frozen=True)
class _Class:
    """A bracket expression."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def matches(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) != self.negated


_ANY = ""


@dataclass(frozen=True)
class _Chunk:
    """The part of a pattern between stars: characters, classes and ``?`` (:data:`_ANY`)."""

    star: bool
    items: tuple[str | _Class, ...]

    def end(self, text: str, at: int) -> int:
        """Return the end of a match that begins at a position, -1 when there is none."""
        if at + len(self.items) > len(text):
            return -1
        for character, item in zip(text[at:], self.items):
            if isinstance(item, _Class):
                if not item.matches(character):
                    return -1
            elif item != character and (item is not _ANY or character == "/"):
                return -1
        return at + len(self.items)


@dataclass(frozen=True)
class _Rule:
    chunks: tuple[_Chunk, ...]
    whole_path: bool
    negated: bool
    only_directories: bool


def _matches(chunks: tuple[_Chunk, ...], text: str) -> bool:
    """Match as filepath.Match does: ``*`` and ``?`` do not match a slash, a class may."""
    at = 0
    for number, chunk in enumerate(chunks, start=1):
        last = number == len(chunks)
        if chunk.star and not chunk.items:
            return "/" not in text[at:]
        end = chunk.end(text, at)
        while end < 0 or (last and end < len(text)):
            if not chunk.star or at >= len(text) or text[at] == "/":
                return False
            at += 1
            end = chunk.end(text, at)
        at = end
    return at == len(text)


def _chunks(pattern: str) -> tuple[_Chunk, ...]:
    """Parse a pattern.

    :raises ValueError: for a pattern that Go calls malformed.
    """
    chunks: list[_Chunk] = []
    at = 0
    while at < len(pattern):
        star = pattern[at] == "*"
        while pattern[at : at + 1] == "*":
            at += 1
        items: list[str | _Class] = []
        while at < len(pattern) and pattern[at] != "*":
            character = pattern[at]
            at += 1
            if character == "[":
                item, at = _class(pattern, at)
                items.append(item)
            elif character == "?":
                items.append(_ANY)
            elif character == "\\":
                if at == len(pattern):
                    raise ValueError("it ends with a backslash")
                items.append(pattern[at])
                at += 1
            else:
                items.append(character)
        chunks.append(_Chunk(star, tuple(items)))
    return tuple(chunks)


def _class(pattern: str, at: int) -> tuple[_Class, int]:
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[tuple[str, str]] = []
    while not ranges or pattern[at : at + 1] != "]":
        low, at = _member(pattern, at)
        high = low
        if pattern[at] == "-":
            high, at = _member(pattern, at + 1)
        ranges.append((low, high))
    return _Class(tuple(ranges), negated), at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    """Read a character of a class; return it and the position after it."""
    if pattern[at : at + 1] in ("", "-", "]"):
        raise ValueError("a bracket expression is incomplete")
    at += pattern[at] == "\\"
    if at + 1 >= len(pattern):
        raise ValueError("a bracket expression is incomplete")
    return pattern[at], at + 1

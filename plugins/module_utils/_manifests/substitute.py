# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts variables into manifests: the rules of Flux's ``postBuild.substitute``, which are those of drone/envsubst.

Source: fluxcd/pkg, ``kustomize/kustomize_varsub.go``; drone/envsubst, ``parse`` and ``funcs.go``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from .._errors import ManifestsInvalid
from .._helm.manifest_text import dump
from .objects import ManifestObject, parse_documents

DISABLED = ("kustomize.toolkit.fluxcd.io/substitute", "cloudnative.artifacts/substitute")
MAX_DEPTH = 20
# Characters of one object after the substitution.
MAX_TEXT = 4 << 20

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_NUMBER = re.compile(r"-?[0-9]+")


def substitute_objects(items: Iterable[ManifestObject], variables: Mapping[str, str]) -> list[ManifestObject]:
    """Return the objects with the variables replaced; an object whose mark says ``disabled`` stays as it is.

    As in Flux, a value is put into the YAML text, so that ``${replicas}`` becomes a number.

    :raises ManifestsInvalid: when an expression cannot be read, or an object is not YAML afterwards.
    """
    for name in variables:
        if not is_variable_name(name):
            raise ManifestsInvalid(
                f"{name[:100]!r} cannot be the name of a variable in 'substitute'.",
                "Wanted letters, digits and underscores, the first of which is not a digit.",
            )
    result: list[ManifestObject] = []
    for item in items:
        if any(item.mark(name).lower() == "disabled" for name in DISABLED):
            result.append(item)
            continue
        text = dump(item.document)
        if "$" not in text:
            result.append(item)
            continue
        try:
            replaced = substitute(text, variables)
        except ValueError as exc:
            # what cannot be read may be a part of a secret
            words = "an expression in it cannot be read" if item.is_secret else str(exc)
            raise ManifestsInvalid(f"The {item} of {item.origin} cannot be substituted: {words}.") from None
        result += parse_documents(replaced.encode("utf-8"), f"{item} after the substitution, of {item.origin},")
    return result


def is_variable_name(text: str) -> bool:
    """True for what can be the name of a variable."""
    return _NAME.fullmatch(text) is not None


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with its expressions replaced.

    ``$$`` before a brace stands for one ``$`` that is left alone; a ``$`` before anything else is text.

    :raises ValueError: when an expression is not closed, nested too deep, or cannot be read.
    """
    return _Reader(text, variables).read()


class _Reader:
    def __init__(self, text: str, variables: Mapping[str, str], depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise ValueError(f"expressions are nested more than {MAX_DEPTH} deep")
        self._text = text
        self._variables = variables
        self._depth = depth

    def read(self) -> str:
        parts: list[str] = []
        at, size, text = 0, 0, self._text
        while True:
            before = len(parts)
            start = text.find("$", at)
            if start < 0:
                parts.append(text[at:])
                break
            parts.append(text[at:start])
            if text.startswith("$${", start):
                # the expression is text, braces in it included
                end = _closing(text, start + 3)
                parts.append(text[start + 1 : end + 1])
                at = end + 1
            elif text.startswith("${", start):
                end = _closing(text, start + 2)
                parts.append(self._expression(text[start + 2 : end]))
                at = end + 1
            else:
                parts.append("$")
                at = start + 1
            size += sum(map(len, parts[before:]))
            if size > MAX_TEXT:
                raise ValueError(f"the result has more than {MAX_TEXT} characters")
        return "".join(parts)

    def _expression(self, inner: str) -> str:
        if inner.startswith("#"):
            return str(len(self._value(_name(inner[1:], inner))))
        match = _NAME.match(inner)
        if match is None:
            raise ValueError(f"'${{{inner[:60]}}}' does not begin with the name of a variable")
        name, rest = match[0], inner[match.end() :]
        value = self._value(name)
        for sign in (":=", ":-", "=", "-"):
            if rest.startswith(sign):
                if sign.startswith(":"):
                    return value or self._inner(rest[2:])
                return value if name in self._variables else self._inner(rest[1:])
        if rest.startswith((":+", "+")):
            return self._inner(rest.partition("+")[2]) if value else ""
        if rest.startswith(":"):
            return _part_of(value, rest[1:], inner)
        if rest[:1] in ("/", "#", "%", "^", ","):
            return _changed(value, rest, inner, self._inner)
        if rest:
            raise ValueError(f"'${{{inner[:60]}}}' is not an expression that is known")
        return value

    def _value(self, name: str) -> str:
        return self._variables.get(name, "")

    def _inner(self, text: str) -> str:
        """Return a default, in which there may be expressions."""
        return _Reader(text, self._variables, self._depth + 1).read() if "$" in text else text


def _closing(text: str, start: int) -> int:
    """Return the position of the brace that closes an expression.

    :raises ValueError: when there is none.
    """
    depth, at = 1, start
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 2
            continue
        if text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise ValueError(f"'${{{text[start : start + 30]}' is not closed")


def _name(text: str, inner: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"'${{{inner[:60]}}}' is not an expression that is known")
    return text


def _part_of(value: str, rest: str, inner: str) -> str:
    """Return ``${name:position}`` or ``${name:position:length}``."""
    position, _colon, length = (part.strip() for part in rest.partition(":"))
    if not _NUMBER.fullmatch(position) or (length and not _NUMBER.fullmatch(length)):
        raise ValueError(f"'${{{inner[:60]}}}' has a position that is not a number")
    start = max(int(position), 0) if int(position) >= 0 else max(len(value) + int(position), 0)
    return value[start : start + max(int(length), 0)] if length else value[start:]


def _changed(value: str, rest: str, inner: str, expand: Callable[[str], str]) -> str:
    """Return a value whose case, beginning, end or parts are changed."""
    if rest in ("^", "^^", ",", ",,"):
        first, others = value[:1], value[1:]
        change = str.upper if rest[0] == "^" else str.lower
        return change(value) if len(rest) == 2 else change(first) + others
    if rest.startswith("/"):
        return _replaced(value, rest, inner, expand)
    sign = rest[:2] if rest[:2] in ("##", "%%") else rest[:1]
    if sign[0] not in "#%":
        raise ValueError(f"'${{{inner[:60]}}}' is not an expression that is known")
    pattern = expand(rest[len(sign) :])
    if sign[0] == "#":
        ends = list(_match_ends(value, pattern))
        return value[_chosen(ends, sign) :]
    ends = list(_match_ends(value[::-1], pattern[::-1]))
    return value[: len(value) - _chosen(ends, sign)]


def _chosen(ends: list[int], sign: str) -> int:
    """Return the length of what is cut off: with one sign the shortest that matches, with two the longest."""
    return 0 if not ends else ends[0] if len(sign) == 1 else ends[-1]


def _replaced(value: str, rest: str, inner: str, expand: Callable[[str], str]) -> str:
    sign = rest[:2] if rest[:2] in ("//", "/#", "/%") else "/"
    old, slash, new = rest[len(sign) :].partition("/")
    if not old:
        raise ValueError(f"'${{{inner[:60]}}}' does not say what is replaced")
    old, new = expand(old), expand(new) if slash else ""
    if sign == "//":
        return value.replace(old, new)
    if sign == "/#":
        return new + value[len(old) :] if value.startswith(old) else value
    if sign == "/%":
        return value[: len(value) - len(old)] + new if value.endswith(old) else value
    return value.replace(old, new, 1)


def _match_ends(text: str, pattern: str) -> Iterator[int]:
    """Yield the lengths of the beginnings of a text that a pattern with ``*`` and ``?`` matches, the shortest first.

    Each character is looked at once, whatever the pattern is.
    """
    states = _with_skipped({0}, pattern)
    for end in range(len(text) + 1):
        if len(pattern) in states:
            yield end
        if end < len(text):
            fitting = [at for at in states if at < len(pattern) and pattern[at] in ("*", "?", text[end])]
            states = _with_skipped({at if pattern[at] == "*" else at + 1 for at in fitting}, pattern)


def _with_skipped(states: set[int], pattern: str) -> set[int]:
    """Return positions in a pattern, with those behind each ``*``, which may stand for nothing."""
    for at in sorted(states):
        while at < len(pattern) and pattern[at] == "*":
            at += 1
            states.add(at)
    return states

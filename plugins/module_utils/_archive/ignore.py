# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths of a tree that are left out: Flux's lists and rule of combination, git's meaning of a pattern.

Sources: fluxcd/pkg ``sourceignore/sourceignore.go`` (lists) and ``artifact/storage/archive.go`` (combination);
gitignore(5); git's ``dir.c`` and ``wildmatch.c``, version 2.39, whose every answer this module gives.

A ``.sourceignore`` may come from a hostile artifact, with path names made to suit it. Each pattern therefore becomes
a regular expression that takes at most a step per byte of path and byte of pattern, and :data:`MAX_WORK` limits
the sum.

Where other readers of ``.gitignore`` and git may differ, this is git's answer:

- A pattern matches one path, not what lies below: ``*`` and then ``!docs`` brings back ``docs`` alone.
- ``a/**`` and ``a/**/`` do not match ``a`` itself, ``a/**/`` matches directories only.
- ``**`` right after literal text, as in ``/foo**/bar``, goes across directories; elsewhere inside a name it is ``*``.
- ``?`` and ``[...]`` match one byte, so that ``?`` is not ``é`` and ``??`` is.
- ``[!x]`` matches no slash; ``[[:alpha:]]`` and a backslash work inside brackets; ``[b-a]`` is an empty range;
  ``[a/b]`` is one bracket, whose slash anchors the pattern.
- A tab at the end stays, a BOM at the start goes, a line ends at a NUL.
- ``!`` alone and a backslash at the end match nothing; they are not errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .._errors import InvalidOption, LayerError, OciError
from .left_out import LeftOut

VCS_PATTERNS = (".git/", ".gitignore", ".gitmodules", ".gitattributes")
EXT_PATTERNS = ("*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip")
CI_PATTERNS = (
    ".github/",
    ".circleci/",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
)
EXTRA_PATTERNS = ("**/.goreleaser.yml", "**/.sops.yaml", "**/.flux.yaml")

# what is left out when nobody says anything: by source-controller, and by "flux push artifact"
PULL_DEFAULTS = VCS_PATTERNS + EXT_PATTERNS + CI_PATTERNS + EXTRA_PATTERNS
PUSH_DEFAULTS = VCS_PATTERNS + EXT_PATTERNS
# of a project with playbooks: what runs leave behind, and files that hold passwords of Ansible Vault by custom
PROJECT_DEFAULTS = (
    *VCS_PATTERNS,
    "__pycache__/",
    "*.pyc",
    "*.retry",
    ".ansible/",
    ".venv/",
    ".vault_pass*",
    ".vault-pass*",
    "vault_password*",
)

# bytes of UTF-8 in the ``ignore`` option, or in one ``.sourceignore``
MAX_IGNORE_FILE = 1024 * 1024
# bytes in a pattern; no path that a file system takes is longer
MAX_PATTERN_LENGTH = 4096
# patterns in the option and all files that are read, together
MAX_PATTERNS = 10_000
# steps of all matching, counted as if every path were the worst one for its pattern: half a minute if they all are,
# and some 30 times what a few dozen patterns take for 50,000 paths
MAX_WORK = 10_000_000_000
# steps that stand for reading a byte, for translating a byte of a pattern, for a path in a level, for a pattern there
_READ = 100
_TRANSLATE = 10_000
_VISIT = 500
_TRY = 50

_BOM = "\ufeff"
_PATTERN_OF_USER = re.compile(r"^(?:[^\s#]|[^\S\n]+\S)", re.MULTILINE)
_SPECIAL = re.compile(rb"[*?[\\]")
# what is between the literal texts of a pattern, and a little more where that is simpler: a slash, a text in brackets
_NOT_LITERAL = re.compile(rb"\[.*\]|\*+/?|\?|\\.", re.DOTALL)
# of a text that a path must contain; "in" is quick as long as it is short
_NEEDLE_LENGTH = 16
_ONE = b"[^/]"
_STAR = b"[^/]*"
_ANYTHING = b".*"
_DIRECTORIES = b"(?:.*/)?"
_LAZY = {_ANYTHING: b".*?", _DIRECTORIES: b"(?:.*?/)??"}
_SLASH = ord("/")
_BACKSLASH = ord("\\")
_CLOSE = ord("]")

_DIGITS = frozenset(b"0123456789")
_UPPER = frozenset(range(ord("A"), ord("Z") + 1))
_LOWER = frozenset(range(ord("a"), ord("z") + 1))
_GRAPH = frozenset(range(0x21, 0x7F))
_CLASSES = {
    b"alnum": _DIGITS | _UPPER | _LOWER,
    b"alpha": _UPPER | _LOWER,
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset(range(0x20)) | {0x7F},
    b"digit": _DIGITS,
    b"graph": _GRAPH,
    b"lower": _LOWER,
    b"print": _GRAPH | {0x20},
    b"punct": _GRAPH - _DIGITS - _UPPER - _LOWER,
    # git's own isspace knows no vertical tab and no form feed
    b"space": frozenset(b" \t\n\r"),
    b"upper": _UPPER,
    b"xdigit": _DIGITS | frozenset(b"abcdefABCDEF"),
}


def has_patterns(text: str) -> bool:
    """True when a line is neither blank nor a comment: what Flux counts as a pattern of the user."""
    return _PATTERN_OF_USER.search(text.removeprefix(_BOM)) is not None


def excluded_paths(
    paths: Mapping[str, bool],
    ignore: str,
    sourceignores: Mapping[str, str],
    defaults: Sequence[str],
    left_out: LeftOut | None = None,
    always: Sequence[str] = VCS_PATTERNS,
) -> set[str]:
    """Every path that is left out, with all that lies below an excluded directory.

    Flux's combination: with a pattern in ``ignore`` or in any ``.sourceignore`` (one inside a ``.git`` directory does
    not count), ``always`` and the user's patterns apply, else ``defaults``. From low to high: ``always`` or
    ``defaults``, the root's ``.sourceignore``, nested ones, deeper over shallower, ``ignore``; in each, the last match
    decides. As in git, and unlike in Flux, nothing below an excluded directory can be brought back, and
    a ``.sourceignore`` there has no effect, except that it counts as a pattern of the user. A ``.sourceignore`` is
    itself left out only when a pattern says so.

    :param paths: relative POSIX paths without trailing slash, each with its parents; True for a directory, which
        a symbolic link is not. Bytes that are not UTF-8 are surrogate escapes, here and in the texts.
    :param ignore: the text of the option, one pattern per line, relative to the root.
    :param sourceignores: the text of each ``.sourceignore`` by its directory, "" being the root.
    :param defaults: :data:`PULL_DEFAULTS` or :data:`PUSH_DEFAULTS`.
    :param left_out: notes each excluded path, but for what lies below an excluded directory.
    :param always: the patterns that those of the user do not replace.
    :raises InvalidOption: when ``ignore`` is longer than :data:`MAX_IGNORE_FILE`, has a pattern longer than
        :data:`MAX_PATTERN_LENGTH` or cannot be encoded, or when the patterns exceed :data:`MAX_PATTERNS` or
        :data:`MAX_WORK` although there is no ``.sourceignore``.
    :raises LayerError: the same for a ``.sourceignore``, or for all patterns together.
    """
    nested = {directory: text for directory, text in sourceignores.items() if ".git" not in directory.split("/")}
    budget = _Budget(LayerError if nested else InvalidOption)
    budget.spend(sum(map(len, nested.values())) * _READ)
    by_user = has_patterns(ignore) or any(map(has_patterns, nested.values()))
    top = _Level(ignore, "", "the option 'ignore'", InvalidOption, budget)
    bottom = _Level("\n".join(always if by_user else defaults), "", "the default patterns", InvalidOption, budget)

    def enter(directory: str, outer: tuple[_Level, ...]) -> tuple[_Level, ...]:
        text = nested.get(directory, "")
        if not has_patterns(text):
            return outer
        name = f"{directory}/.sourceignore".lstrip("/")
        return (_Level(text, directory, f"the file {name[:200]!r}", LayerError, budget), *outer)

    levels = {"": enter("", (bottom,))}
    excluded: set[str] = set()
    # a parent sorts before its children
    for path in sorted(paths):
        parent, _slash, _name = path.rpartition("/")
        if parent in excluded:
            excluded.add(path)
            continue
        is_dir = paths[path]
        encoded = path.encode("utf-8", "surrogateescape")
        level = top
        verdict = top.verdict(encoded, is_dir)
        for level in levels[parent] if verdict is None else ():
            verdict = level.verdict(encoded, is_dir)
            if verdict is not None:
                break
        if verdict:
            excluded.add(path)
            if left_out is not None:
                left_out.add(path, by_default=level is bottom)
        elif is_dir:
            levels[path] = enter(path, levels[parent])
    return excluded


class _Budget:
    """The limit on work that all levels of one call share."""

    def __init__(self, error: type[OciError]) -> None:
        self._error = error
        self._patterns = 0
        self._work = 0

    def add_pattern(self, length: int) -> None:
        self._patterns += 1
        if self._patterns > MAX_PATTERNS:
            raise self._error(f"There are more than the {MAX_PATTERNS} ignore patterns that are allowed.")
        self.spend(length * _TRANSLATE)

    def spend(self, steps: int) -> None:
        self._work += steps
        if self._work > MAX_WORK:
            raise self._error(
                "The ignore patterns have too many wildcards for the number and length of the paths to match.",
                "Use fewer or simpler patterns, or exclude large directories as a whole.",
            )


class _Wildcard(NamedTuple):
    """A pattern with ``*``, ``?``, ``[`` or a backslash: the literal head before that byte, and the tail from it on.

    Without a ``needle``, a literal part of it, a path is not tried. ``regex`` is for the tail; without one, the tail
    is ``*`` and literal text.
    """

    order: int
    anchored: bool
    only_dirs: bool
    head: bytes
    tail: bytes
    needle: bytes
    regex: re.Pattern[bytes] | None


class _Level:
    """The patterns of one source, for the directory that they are relative to."""

    def __init__(self, text: str, directory: str, source: str, error: type[OciError], budget: _Budget) -> None:
        try:
            base = directory.encode("utf-8", "surrogateescape")
            data = text.removeprefix(_BOM).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise error(f"Cannot encode {source}: it holds a lone surrogate, wanted is text.") from None
        if len(data) > MAX_IGNORE_FILE:
            raise error(f"Cannot use {source}: it has {len(data)} bytes, at most {MAX_IGNORE_FILE} are allowed.")
        self._budget = budget
        self._skip = len(base) + 1 if base else 0
        self._negative: list[bool] = []
        self._literals: dict[tuple[bool, bytes, bool], int] = {}
        self._wildcards: list[_Wildcard] = []
        for number, line in enumerate(data.split(b"\n"), start=1):
            if not line or line.startswith(b"#"):
                continue
            if len(line) > MAX_PATTERN_LENGTH:
                wanted = f"at most {MAX_PATTERN_LENGTH} are allowed"
                raise error(f"Cannot use {source}: line {number} has {len(line)} bytes, {wanted}.")
            self._add(_trimmed(line))
        self._wildcards.reverse()

    def _add(self, pattern: bytes) -> None:
        negative = pattern.startswith(b"!")
        pattern = pattern[negative:]
        only_dirs = pattern.endswith(b"/")
        pattern = pattern[: len(pattern) - only_dirs]
        if not pattern:
            return
        anchored = b"/" in pattern
        pattern = pattern[pattern.startswith(b"/") :]
        # means the same, and is found by the name alone
        if pattern.startswith(b"**/") and b"/" not in pattern[3:]:
            pattern, anchored = pattern[3:], False
        order = len(self._negative)
        self._negative.append(negative)
        special = _SPECIAL.search(pattern)
        self._budget.add_pattern(len(pattern) if special else 0)
        if special is None:
            self._literals[anchored, pattern, True] = order
            if not only_dirs:
                self._literals[anchored, pattern, False] = order
            return
        head, tail = pattern[: special.start()], pattern[special.start() :]
        regex = None
        if anchored or tail[:1] != b"*" or _SPECIAL.search(tail, 1):
            tokens = _tokens(tail, anchored)
            if tokens is None:
                return
            regex = re.compile(_expression(tokens), re.DOTALL)
        needle = max(_NOT_LITERAL.split(tail), key=len)[:_NEEDLE_LENGTH]
        self._wildcards.append(_Wildcard(order, anchored, only_dirs, head, tail, needle, regex))

    def verdict(self, path: bytes, is_dir: bool) -> bool | None:
        """True for excluded, False for brought back, None when no pattern matches."""
        path = path[self._skip :]
        name = path[path.rfind(b"/") + 1 :]
        best = max(self._literals.get((True, path, is_dir), -1), self._literals.get((False, name, is_dir), -1))
        tried = 0
        # the hottest loop of the module: a call per pattern would double its time
        for order, anchored, only_dirs, head, tail, needle, regex in self._wildcards:
            if order < best:
                break
            tried += 1
            text = path if anchored else name
            if (only_dirs and not is_dir) or needle not in text or not text.startswith(head):
                continue
            if regex is None:
                matched = text.endswith(tail[1:], len(head))
            else:
                self._budget.spend(len(text) * len(tail))
                matched = regex.fullmatch(text, len(head)) is not None
            if matched:
                best = order
                break
        self._budget.spend(_VISIT + tried * (_TRY + len(path)))
        return None if best < 0 else not self._negative[best]


def _trimmed(line: bytes) -> bytes:
    """A line as git's ``trim_trailing_spaces`` leaves it."""
    line = line[: len(line) - line.endswith(b"\r")].partition(b"\0")[0]
    kept = line.rstrip(b" ")
    # an odd number of backslashes escapes the first of the spaces
    backslashes = len(kept) - len(kept.rstrip(b"\\"))
    return line[: len(kept) + backslashes % 2]


def _tokens(pattern: bytes, anchored: bool) -> list[bytes] | None:
    """The part of a pattern from its first special byte as regular expressions; None when it matches nothing.

    ``anchored`` is git's WM_PATHNAME. As for git, the part is a pattern of its own: ``**`` at its start is at the start
    of a directory, whatever literal text stands before it.
    """
    tokens: list[bytes] = []
    at, end = 0, len(pattern)
    while at < end:
        byte = pattern[at : at + 1]
        if byte == b"*":
            start = at
            while pattern[at : at + 1] == b"*":
                at += 1
            opens = anchored and (start == 0 or pattern[start - 1] == _SLASH)
            if at - start == 1 or not opens:
                tokens.append(_STAR)
            elif pattern[at : at + 1] == b"/":
                tokens.append(_DIRECTORIES)
                at += 1
            elif at == end or pattern[at : at + 2] == b"\\/":
                tokens.append(_ANYTHING)
            else:
                tokens.append(_STAR)
            continue
        if byte == b"?":
            tokens.append(_ONE)
        elif byte == b"[":
            bracket = _bracket(pattern, at + 1)
            if bracket is None:
                return None
            token, at = bracket
            tokens.append(token)
        elif byte == b"\\":
            at += 1
            if at == end:
                return None
            tokens.append(re.escape(pattern[at : at + 1]))
        else:
            tokens.append(re.escape(byte))
        at += 1
    return tokens


def _bracket(pattern: bytes, at: int) -> tuple[bytes, int] | None:
    """A bracket expression that starts before ``at``, and where its closing bracket is; None when it is malformed."""
    chosen: set[int] = set()
    ended = pattern + b"\0\0"
    negated = ended[at] in b"!^"
    at += negated
    byte, before = ended[at], 0
    while True:
        if byte == _BACKSLASH:
            at += 1
            byte = ended[at]
            chosen.add(byte)
        elif byte == ord("-") and before and ended[at + 1] not in b"\0]":
            at += 1
            if ended[at] == _BACKSLASH:
                at += 1
            byte = ended[at]
            chosen.update(range(before, byte + 1))
            # the end of a range does not begin another one
            before = -1
        elif byte == ord("[") and ended[at + 1] == ord(":"):
            close = pattern.find(b"]", at + 2)
            if close < 0:
                return None
            if close > at + 2 and pattern[close - 1] == ord(":"):
                members = _CLASSES.get(pattern[at + 2 : close - 1])
                if members is None:
                    return None
                chosen |= members
                at = close
                before = -1
            else:
                chosen.add(byte)
        else:
            chosen.add(byte)
        if not byte:
            return None
        before = 0 if before < 0 else byte
        at += 1
        byte = ended[at]
        if byte == _CLOSE:
            break
    chosen.add(_SLASH) if negated else chosen.discard(_SLASH)
    if not chosen:
        return b"(?!)", at
    listed = b"".join(b"\\x%02x" % member for member in sorted(chosen))
    return b"[%s%s]" % (b"^" if negated else b"", listed), at


def _expression(tokens: list[bytes]) -> bytes:
    """A regular expression that takes no more steps than a constant times the path's bytes times the tokens.

    All but the last ``*`` can take the shortest stretch that lets the following part match, since a later ``*`` makes
    up for the rest: the earliest end is never worse than a later one. The same holds for the stretch from one ``**`` to
    the next. Each such stretch is committed to; Python before 3.11 has no atomic group, a lookahead does the same.
    """
    stretches: list[tuple[bytes, list[bytes]]] = [(b"", [])]
    for token in tokens:
        if token in _LAZY:
            stretches.append((token, []))
        else:
            stretches[-1][1].append(token)
    groups = 0

    def committed(part: bytes) -> bytes:
        nonlocal groups
        groups += 1
        return b"(?=(?P<g%d>%s))(?P=g%d)" % (groups, part, groups)

    result = b""
    for number, (opening, members) in enumerate(stretches, start=1):
        last = number == len(stretches)
        chunks: list[list[bytes]] = [[]]
        for member in members:
            if member == _STAR:
                chunks.append([])
            else:
                chunks[-1].append(member)
        part = b"".join(chunks[0])
        for index, chunk in enumerate(chunks[1:], start=2):
            if last and index == len(chunks):
                part += _STAR + b"".join(chunk)
            else:
                part += committed(_STAR + b"?" + b"".join(chunk))
        result += committed(_LAZY[opening] + part) if opening and not last else opening + part
    return result

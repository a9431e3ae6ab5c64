# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of this collection as they are carried to hosts: what imports what, and texts without words for people.

Nothing here parses Python: Ansible reads a payload's sources with ``ast`` to find imports, and a second pass would cost
as much again. The sources are formatted by one tool, so that expressions find imports and strings; tests compare the
result with what ``ast`` says, for each source.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from typing import Callable

_PLUGINS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ROOT = "ansible_collections.cloudnative.artifacts.plugins."

_WORDS = re.compile(
    r'(?P<text>"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\')'
    r'|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\''
    r"|(?P<comment>[ \t]*#[^\n]*)"
)
_DOCUMENTATION = re.compile(r'^(?:DOCUMENTATION|EXAMPLES|RETURN) = r?"""[\s\S]*?"""$', re.MULTILINE)
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+[^\n]*\n|\n(?=[ \t]))+", re.MULTILINE)
_FUNCTION = re.compile(r"^[ \t]*(?:async )?def \w+(?=\()", re.MULTILINE)
# what ends or nests within the head of a function; strings are skipped as a whole
_HEAD = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|[()\[\]{},:=]|->')
_IMPORT = re.compile(r"^(?P<indent>[ \t]*)from (?P<module>[\w.]+) import (?P<names>\([^)]*\)|[^\n(]*)", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?: as \w+)?")


def closure(roots: Iterable[str], is_lazy_wanted: Callable[[str], bool]) -> list[str]:
    """The names of the modules that ``roots`` import, with the roots, sorted; without packages, which are empty here.

    :param is_lazy_wanted: whether a module is followed that is imported only inside of a function.
    """
    found: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        eager, lazy = _imports(name)
        todo += [*eager, *(each for each in lazy if is_lazy_wanted(each))]
    return sorted(found)


def core_imports(names: Iterable[str]) -> list[str]:
    """The modules of ``ansible.module_utils`` that these modules import, sorted."""
    return [each for each in _imported(names) if each.startswith("ansible.module_utils.")]


def foreign_imports(names: Iterable[str]) -> list[str]:
    """The modules of other collections that these modules import where they are installed, sorted."""
    return [each for each in _imported(names) if each.startswith("ansible_collections.") and not each.startswith(_ROOT)]


def _imported(names: Iterable[str]) -> list[str]:
    return sorted({each["module"] for name in names for each in _IMPORT.finditer(carried_text(name))})


@functools.cache
def carried_text(name: str) -> str:
    """The source of a module as it is carried: the same program, line by line, without comments, docstrings and
    annotations of functions."""
    with open(_path(name), encoding="utf-8") as stream:
        return compact(stream.read())


def compact(source: str) -> str:
    """Return a source without what does not run; each line keeps its number."""
    source = _DOCUMENTATION.sub(_blank, source)

    def shorten(found: re.Match[str]) -> str:
        if found["comment"] is not None:
            return ""
        if found["text"] is not None and _is_docstring(source, found):
            return '""' + _blank(found)
        return found[0]

    return _without_annotations(_FOR_TYPES.sub(_nothing, _WORDS.sub(shorten, source)))


def _is_docstring(source: str, found: re.Match[str]) -> bool:
    """True for a text that is a statement of its own at the beginning of a module, class or function, or after an
    attribute."""
    line = source.rfind("\n", 0, found.start()) + 1
    if source[line : found.start()].strip() or source[found.end() : found.end() + 1] != "\n":
        return False
    before = source[:line].rstrip()
    return before.endswith(":") or not re.search(r"^[^#\n]", before, re.MULTILINE)


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def _nothing(found: re.Match[str]) -> str:
    return "if TYPE_CHECKING: pass" + _blank(found)


def _without_annotations(source: str) -> str:
    pieces, done = [], 0
    for function in _FUNCTION.finditer(source):
        for start, end in _annotations(source, function.end()):
            pieces += [source[done:start], "\n" * source.count("\n", start, end)]
            done = end
    return "".join([*pieces, source[done:]])


def _annotations(source: str, start: int) -> list[tuple[int, int]]:
    """The places of the annotations in the head of a function, whose parameters begin with the parenthesis at
    ``start``; each with the colon or arrow before it."""
    found: list[tuple[int, int]] = []
    depth, begin, has_default, is_closed = 0, -1, False, False
    for sign in _HEAD.finditer(source, start):
        word = sign[0]
        if word == "->" and depth == 0:
            begin = sign.start()
        elif word == ":" and depth == 0:
            return [*found, (begin, sign.start())] if begin >= 0 else found
        elif word == ":" and depth == 1 and begin < 0 and not has_default:
            begin = sign.start()
        elif word in (",", "=", ")") and depth == 1 and not is_closed:
            if begin >= 0:
                found.append((begin, sign.start()))
            begin, has_default = -1, word == "="
        depth += (word in ("(", "[", "{")) - (word in (")", "]", "}"))
        is_closed = is_closed or depth == 0
    return found


@functools.cache
def _imports(name: str) -> tuple[list[str], list[str]]:
    """What a module of this collection imports from it at once, and what inside of functions."""
    eager: list[str] = []
    lazy: list[str] = []
    for found in _IMPORT.finditer(carried_text(name)):
        module = _absolute(found["module"], name)
        if module is not None:
            names = [module, *(f"{module}.{each}" for each in _NAME.findall(found["names"]))]
            (lazy if found["indent"] else eager).extend(each for each in names if os.path.isfile(_path(each)))
    return eager, lazy


def _absolute(module: str, name: str) -> str | None:
    """The name of what is imported, below plugins; None for what is not of this collection."""
    if module.startswith("."):
        level = len(module) - len(module.lstrip("."))
        return ".".join([*name.split(".")[:-level], *filter(None, [module[level:]])])
    return module[len(_ROOT) :] if module.startswith(_ROOT) else None


@functools.cache
def _path(name: str) -> str:
    return os.path.join(_PLUGINS, *name.split(".")) + ".py"

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a lock file: reading it, and writing it with as few lines changed as possible.

The file is YAML, a list of entries sorted by what they are for. ``url``, ``version`` and ``digest`` are the first three
lines of an entry, which tools that edit text rely on. All values are text, as they are written: ``1.10`` is no number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .._errors import InvalidReference
from .._oci.digest import parse_digest
from .._oci.reference import DEFAULT_TAG, check_tag, parse_url
from .entry import Entry, Request, canonical
from .refusals import LockInvalid
from .yaml_nodes import Node, NotYaml, read_nodes

#: The format that this release writes, and the only one that it reads.
LOCK_VERSION = 1
#: Bytes, and entries.
MAX_LOCK_FILE = 1024 * 1024
MAX_ENTRIES = 5000

VERSION_KEY, LIST_KEY = "lock_version", "artifacts"
_SELECTION = ("semver", "semver_filter", "filter_tags")
_KEYS = ("url", "version", "digest", *_SELECTION, "signer", "locked_at")
# what YAML does not take as it is, and control characters
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_HEADER = (
    "---",
    "# What the references of tasks stood for when they were resolved: a lock file of the Ansible collection",
    "# cloudnative.artifacts. Tasks with 'lock: update' write it, tasks with 'lock: use' go by it.",
    "# Comments above an entry stay.",
)
_DEFAULT_COLUMN = 2


class _Block(NamedTuple):
    """The lines of an entry as they stand in a file, and those of the comments above it."""

    above: list[str]
    lines: list[str]


class LockFile:
    """The content of a lock file. ``entries`` is by request, in the order of the file."""

    def __init__(self, text: str, source: str) -> None:
        """Read a text; an empty one stands for a file that is not there.

        :param source: the path, for messages.
        :raises LockInvalid: when it is not a lock file of this format, or one of its entries makes no sense.
        """
        self._source = source
        self._lines = text.splitlines()
        self._nodes: list[Node] = []
        self.entries: dict[Request, Entry] = {}
        if text:
            self._read(text)

    def with_entries(self, found: Iterable[Entry]) -> str | None:
        """Return the text with these entries, sorted; None when they change nothing.

        Comments at the beginning and the end, and those above entries, are kept; those in an entry that changes are
        not. A file in another layout than this one writes is written anew, with its first comments.

        :raises LockInvalid: when there would be too many.
        """
        entries = dict(self.entries)
        for entry in found:
            known = entries.get(entry.request)
            if known is None or not known.says_the_same(entry):
                entries[entry.request] = entry
        if entries == self.entries:
            return None
        if len(entries) > MAX_ENTRIES:
            raise self._refusal(f"would have {len(entries):,} entries, more than {MAX_ENTRIES:,}.")
        wanted = [entries[request] for request in sorted(entries)]
        text = self._edited(wanted)
        return text if text is not None and _says(text, wanted) else self._rewritten(wanted)

    # -- reading

    def _read(self, text: str) -> None:
        try:
            content = read_nodes(text).value
        except NotYaml as exc:
            raise self._refusal(f"{exc}.") from None
        if not isinstance(content, dict) or VERSION_KEY not in content:
            raise LockInvalid(
                f"{self._source} is not a lock file of this collection: it has no {VERSION_KEY!r}.",
                "Check the path in 'lock_file', or remove the file and run the task with lock: update.",
            )
        version = content[VERSION_KEY].value
        if version != str(LOCK_VERSION):
            raise LockInvalid(
                f"The lock file {self._source} has the format {_shown(version)}: this release reads and writes "
                f"{VERSION_KEY}: {LOCK_VERSION}.",
                "Use the release of the collection that wrote it, or remove the file and run with lock: update.",
            )
        unknown = sorted(set(content) - {VERSION_KEY, LIST_KEY})
        if unknown:
            raise self._refusal(f"has the unknown key {_shown(unknown[0])}.")
        items = content[LIST_KEY].value if LIST_KEY in content else []
        if items == "":
            items = []
        if not isinstance(items, list):
            raise self._refusal(f"has no list in {LIST_KEY!r}.")
        if len(items) > MAX_ENTRIES:
            raise self._refusal(f"has {len(items):,} entries, more than {MAX_ENTRIES:,}.")
        self._nodes = items
        for number, item in enumerate(items, 1):
            entry = self._entry(item, f"has in its entry {number} (line {item.line + 1})")
            if entry.request in self.entries:
                raise self._refusal(f"has two entries for {entry.request}, the second in line {item.line + 1}.")
            self.entries[entry.request] = entry

    def _entry(self, node: Node, where: str) -> Entry:
        if not isinstance(node.value, dict):
            raise self._refusal(f"{where} no mapping of {', '.join(_KEYS[:3])}.")
        unknown = sorted(set(node.value) - set(_KEYS))
        if unknown:
            raise self._refusal(f"{where} the unknown key {_shown(unknown[0])}.")
        texts = {name: part.value for name, part in node.value.items() if name != "filter_tags"}
        wrong = next((name for name, value in texts.items() if not isinstance(value, str)), None)
        if wrong is not None:
            raise self._refusal(f"{where} a {wrong!r} that is not text.")
        given: dict[str, str] = {name: str(value) for name, value in texts.items()}
        try:
            url = parse_url(given.get("url", "")).url
            parse_digest(given.get("digest", ""))
            version = check_tag(given["version"]) if given.get("version") else ""
        except InvalidReference as exc:
            raise self._refusal(f"{where} what cannot be used. {exc.message}") from None
        selection = {name: given.get(name, "") for name in _SELECTION[:2]}
        filter_tags = self._filter_tags(node.value.get("filter_tags"), where)
        is_selection = bool(selection["semver"] or filter_tags)
        if is_selection and not version:
            raise self._refusal(f"{where} a selection without the 'version' that was selected.")
        if selection["semver_filter"] and not is_selection:
            raise self._refusal(f"{where} a 'semver_filter' without 'semver'.")
        tag = "" if is_selection else version or DEFAULT_TAG
        request = Request(url, tag, **selection, filter_tags=filter_tags)
        return Entry(request, version, given["digest"], given.get("signer", ""), given.get("locked_at", ""))

    def _filter_tags(self, node: Node | None, where: str) -> str:
        if node is None or node.value == "":
            return ""
        value = node.plain()
        if not isinstance(value, Mapping):
            raise self._refusal(f"{where} a 'filter_tags' that is not a mapping.")
        return canonical(value)

    def _refusal(self, finding: str) -> LockInvalid:
        return LockInvalid(
            f"The lock file {self._source} {finding}",
            "Correct it, or restore it from version control; lock: update writes what is missing.",
        )

    # -- writing

    def _edited(self, wanted: list[Entry]) -> str | None:
        """The text with the lines of other entries as they are; None when the file has another layout."""
        split = self._blocks()
        if split is None:
            return None
        head, blocks, tail, column = split
        lines = list(head)
        for entry in wanted:
            block = blocks.get(entry.request)
            lines += block.above if block else []
            is_old = block is not None and self.entries[entry.request] == entry
            lines += block.lines if block is not None and is_old else _lines_of(entry, column)
        return "\n".join([*lines, *tail]) + "\n"

    def _blocks(self) -> tuple[list[str], dict[Request, _Block], list[str], int] | None:
        """The lines before the first entry, those of each entry, those after the last one, and the column of dashes;
        None where an entry does not begin on a line of its own, or one begins in another column than the first."""
        if not self._nodes:
            return None
        starts = [node.line for node in self._nodes]
        ends = [node.last for node in self._nodes]
        column = len(self._lines[starts[0]]) - len(self._lines[starts[0]].lstrip(" "))
        dash = " " * column + "- "
        if any(not self._lines[start].startswith(dash) for start in starts):
            return None
        if any(start <= end for start, end in zip(starts[1:], ends)):
            return None
        first = starts[0]
        while first and _is_comment(self._lines[first - 1]):
            first -= 1
        blocks, above = {}, first
        for request, start, end in zip(self.entries, starts, ends):
            blocks[request] = _Block(self._lines[above:start], self._lines[start : end + 1])
            above = end + 1
        return self._lines[:first], blocks, self._lines[above:], column

    def _rewritten(self, wanted: list[Entry]) -> str:
        first = next((number for number, line in enumerate(self._lines) if not _is_comment(line)), len(self._lines))
        if first < len(self._lines) and self._lines[first].strip() == "---":
            rest = self._lines[first + 1 :]
            first += 1 + next((number for number, line in enumerate(rest) if not _is_comment(line)), len(rest))
        head = self._lines[:first] if any("#" in line for line in self._lines[:first]) else _HEADER
        lines = [*head, f"{VERSION_KEY}: {LOCK_VERSION}", f"{LIST_KEY}:"]
        for entry in wanted:
            lines += _lines_of(entry, _DEFAULT_COLUMN)
        return "\n".join(lines) + "\n"


def _says(text: str, wanted: list[Entry]) -> bool:
    """Return whether a text that was put together of old and new lines has these entries."""
    try:
        return list(LockFile(text, "").entries.values()) == wanted
    except LockInvalid:
        return False


def _is_comment(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _lines_of(entry: Entry, column: int) -> list[str]:
    """The lines of an entry; ``column`` is that of its dash."""
    request = entry.request
    values = {
        "url": request.url,
        "version": entry.version,
        "digest": entry.digest,
        "semver": request.semver,
        "semver_filter": request.semver_filter,
        "signer": entry.signer,
        "locked_at": entry.locked_at,
    }
    texts = {name: _quoted(value) for name, value in values.items() if value}
    if request.filter_tags:
        texts["filter_tags"] = _printable(request.filter_tags)
    fields = [f"{name}: {texts[name]}" for name in _KEYS if name in texts]
    return [" " * column + ("  " if number else "- ") + text for number, text in enumerate(fields)]


def _quoted(value: str) -> str:
    """A text in the double quotes that JSON and YAML have in common."""
    return _printable(json.dumps(value, ensure_ascii=False))


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _shown(value: Any) -> str:
    return repr(value)[:100] if isinstance(value, str) else "of another kind"

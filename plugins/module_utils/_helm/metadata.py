# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and checks ``Chart.yaml``, and writes it as JSON, in the same way as Helm.

Source: helm, pkg/chart/metadata.go and dependency.go; Go's encoding/json for the conversion of values.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Union

from .._errors import BuildError, InvalidOption
from .._oci.selection import SemVerRange
from .._oci.semver_range import parse_version
from .go_yaml import Plain, Value, load, scalar_text

MAX_FILE = 1 << 20

_ALIAS = re.compile(r"[a-zA-Z0-9_-]+")
# Values in one file, and in all import-values; the target of an alias is counted each time.
_MAX_VALUES = 100_000


@dataclass(frozen=True)
class _Text:
    """A string. ``omit``: left out of the JSON when empty. ``clean``: sanitised when the chart is checked."""

    omit: bool = True
    clean: bool = True


@dataclass(frozen=True)
class _Flag:
    omit: bool = True


@dataclass(frozen=True)
class _Anything:
    omit: bool = True


@dataclass(frozen=True)
class _Texts:
    """An object of strings."""

    omit: bool = True


@dataclass(frozen=True)
class _List:
    item: _Type
    omit: bool = True


@dataclass(frozen=True)
class _Record:
    """A Go struct. The order of its fields is the order of the JSON."""

    fields: Mapping[str, _Type]
    omit: bool = True


_Type = Union[_Text, _Flag, _Anything, _Texts, _List, _Record]
_RAW = _Text(clean=False)

_MAINTAINER = _Record({"name": _Text(), "email": _Text(), "url": _Text()})
_DEPENDENCY = _Record(
    {
        "name": _Text(omit=False),
        "version": _Text(),
        "repository": _Text(omit=False),
        "condition": _Text(),
        "tags": _List(_Text()),
        "enabled": _Flag(),
        "import-values": _List(_Anything()),
        "alias": _RAW,
    }
)
_METADATA = _Record(
    {
        "name": _Text(),
        "home": _Text(),
        "sources": _List(_Text()),
        "version": _RAW,
        "description": _Text(),
        "keywords": _List(_Text()),
        "maintainers": _List(_MAINTAINER),
        "icon": _Text(),
        "apiVersion": _RAW,
        "condition": _Text(),
        "tags": _Text(),
        "appVersion": _Text(),
        "deprecated": _Flag(),
        "annotations": _Texts(),
        "kubeVersion": _Text(),
        "dependencies": _List(_DEPENDENCY),
        "type": _RAW,
    }
)

_LOCK = _Record({"digest": _RAW, "dependencies": _List(_DEPENDENCY)})


@dataclass
class Metadata:
    """The fields of ``Chart.yaml``, and warnings about them. ``what`` is the name of the file in errors."""

    what: str
    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def read(self, data: bytes, what: str) -> None:
        """Read the fields of a ``Chart.yaml``, or of a ``requirements.yaml`` after it.

        :raises BuildError: when it is not YAML, or has a duplicate key or a field of the wrong type.
        """
        if len(data) > MAX_FILE:
            raise BuildError(f"{what} has {len(data)} bytes, more than the {MAX_FILE} that are allowed.")
        document = load(data, what)
        if document is None:
            return
        if not isinstance(document, dict):
            raise BuildError(f"{what} is {_kind(document)}, wanted is a mapping (key: value).")
        reader = _Reader(what, self.warnings)
        self.values = reader.read(document, _METADATA, "", self.values)

    def text(self, name: str) -> str:
        found = self.values.get(name)
        return found if isinstance(found, str) else ""

    @property
    def dependencies(self) -> list[str]:
        """Return the names of the chart's dependencies."""
        return [item.get("name", "") for item in self.dependency_items]

    @property
    def dependency_items(self) -> list[dict[str, Any]]:
        """Return the entries of the chart's dependencies."""
        return list(self.values.get("dependencies") or [])

    def dependencies_json(self) -> str:
        """Return the dependencies as JSON like Go's, for the digest of a lock file."""
        return _dependencies_json(self.values, self.what)

    def check(self) -> None:
        """Sanitise the texts, and check the fields as Helm does (``Metadata.Validate``) before it loads or installs.

        :raises BuildError: for the first field that is missing or wrong.
        """
        # Helm 2 did not require the field: Helm treats such a chart as v1.
        self.values["apiVersion"] = self.text("apiVersion") or "v1"
        self.values = _sanitised(self.values, _METADATA)
        name, version = self.text("name"), self.text("version")
        if self.text("apiVersion") not in ("v1", "v2"):
            raise self._wrong("apiVersion", self.text("apiVersion"), "v1 or v2")
        if not name:
            raise self._missing("name", "the name of the chart")
        if name in (".", "..") or "/" in name:
            raise self._wrong("name", name, "a name without '/'")
        if not version:
            raise self._missing("version", "a version such as 1.2.3")
        if parse_version(version) is None:
            raise self._wrong("version", version, "a semantic version such as 1.2.3 or 1.2.3-rc.1+build.5")
        if self.text("type") not in ("", "application", "library"):
            raise self._wrong("type", self.text("type"), "application or library")
        if self.text("kubeVersion"):
            try:
                SemVerRange(self.text("kubeVersion"))
            except InvalidOption:
                wanted = "a range of versions such as '>=1.28.0-0'"
                raise self._wrong("kubeVersion", self.text("kubeVersion"), wanted) from None
        if any(maintainer is None for maintainer in self.values.get("maintainers") or []):
            raise BuildError(f"{self.what}: the field 'maintainers' has an empty item, wanted is a mapping.")
        self._check_dependencies()

    def _check_dependencies(self) -> None:
        known: set[str] = set()
        for item in self.values.get("dependencies") or []:
            if item is None:
                raise BuildError(f"{self.what}: the field 'dependencies' has an empty item, wanted is a mapping.")
            alias = item.get("alias", "")
            if alias and _ALIAS.fullmatch(alias) is None:
                raise self._wrong("dependencies", alias, "an alias of letters, digits, '-' and '_'")
            key = alias or item.get("name", "")
            if key in known:
                raise BuildError(
                    f"{self.what}: the field 'dependencies' has two items that are named {key[:100]!r}.",
                    "Give one of them an alias.",
                )
            known.add(key)

    def _missing(self, name: str, wanted: str) -> BuildError:
        return BuildError(f"{self.what}: the field '{name}' is missing or empty, wanted is {wanted}.")

    def _wrong(self, name: str, found: str, wanted: str) -> BuildError:
        return BuildError(f"{self.what}: the field '{name}' is {found[:100]!r}, wanted is {wanted}.")

    def as_json(self) -> bytes:
        """Return the output of Go's ``json.Marshal`` for the fields.

        :raises BuildError: for a number that JSON cannot represent, and for more than ``_MAX_VALUES`` values.
        """
        return _Writer(self.what).write(self.values, _METADATA).encode("utf-8")


class _Reader:
    """Converts YAML values to fields, like Go's conversion to JSON followed by ``json.Unmarshal``."""

    def __init__(self, what: str, warnings: list[str]) -> None:
        self._what = what
        self._warnings = warnings
        self._left = _MAX_VALUES

    def read(self, document: dict[str, Any], record: _Record, path: str, before: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a record; they replace those of an earlier document, ``before``."""
        self._count(document)
        result = dict(before)
        folded = {_folded(name): name for name in record.fields}
        origins: dict[str, str] = {}
        for key in sorted(document):
            # Go reads "appversion" as "appVersion"; unknown fields are not an error.
            name = key if key in record.fields else folded.get(_folded(key))
            if name is None:
                continue
            if name in origins:
                raise BuildError(f"{self._what}: the keys {origins[name]!r} and {key!r} mean the same field.")
            origins[name] = key
            below = f"{path}.{name}" if path else name
            result[name] = self._value(document[key], record.fields[name], below, result.get(name))
        return result

    def _value(self, value: Value, kind: _Type, path: str, before: Any) -> Any:
        if isinstance(kind, _Text):
            return before or "" if value is None else self._text(value, path)
        if isinstance(kind, _Flag):
            if value is None:
                return bool(before)
            if isinstance(value, Plain) and isinstance(value.value, bool):
                return value.value
            raise self._error(path, value, "true or false")
        if isinstance(kind, _Anything):
            return value
        if value is None:
            return None
        if isinstance(kind, _List):
            if not isinstance(value, list):
                raise self._error(path, value, "a list")
            self._count(value)
            # Go reuses existing items.
            old = [*(before or []), *[None] * len(value)]
            return [self._value(item, kind.item, f"{path}[{number}]", old[number]) for number, item in enumerate(value)]
        if not isinstance(value, dict):
            raise self._error(path, value, "a mapping")
        if isinstance(kind, _Texts):
            self._count(value)
            texts = {key: self._value(item, _RAW, f"{path}.{key}", "") for key, item in value.items()}
            return {**(before or {}), **texts}
        return self.read(value, kind, path, before or {})

    def _count(self, values: Collection[Any]) -> None:
        self._left -= len(values)
        if self._left < 0:
            raise BuildError(f"{self._what} has more than {_MAX_VALUES} values, those that aliases repeat included.")

    def _text(self, value: Value, path: str) -> str:
        if isinstance(value, str):
            return value
        if not isinstance(value, Plain):
            raise self._error(path, value, "a text")
        text = scalar_text(value.value)
        if text != value.text:
            self._warnings.append(
                f"{self._what}: the field '{path[:100]}' is {value.text[:100]}, which YAML takes for "
                f"{'a boolean' if isinstance(value.value, bool) else 'a number'} and Helm for the text {text!r}. "
                f'Quote it: "{value.text[:100]}".'
            )
        return text

    def _error(self, path: str, value: Value, wanted: str) -> BuildError:
        return BuildError(f"{self._what}: the field '{path[:100]}' is {_kind(value)}, wanted is {wanted}.")


def read_lock(data: bytes, what: str) -> tuple[str, str] | None:
    """Return the digest in a ``Chart.lock``, and its dependencies as JSON like Go's; None for an empty file.

    :raises BuildError: when it is not YAML, or has a field of the wrong type.
    """
    if len(data) > MAX_FILE:
        raise BuildError(f"{what} has {len(data)} bytes, more than the {MAX_FILE} that are allowed.")
    document = load(data, what, unique=False)
    if document is None:
        return None
    if not isinstance(document, dict):
        raise BuildError(f"{what} is {_kind(document)}, wanted is a mapping (key: value).")
    values = _Reader(what, []).read(document, _LOCK, "", {})
    return values.get("digest", ""), _dependencies_json(values, what)


def _dependencies_json(values: Mapping[str, Any], what: str) -> str:
    items = values.get("dependencies")
    return "null" if items is None else _Writer(what).write(items, _List(_DEPENDENCY))


def _kind(value: Value) -> str:
    if isinstance(value, Plain):
        return f"the {'boolean' if isinstance(value.value, bool) else 'number'} {value.text[:100]}"
    if isinstance(value, str):
        return f"the text {value[:100]!r}"
    return "empty" if value is None else "a list" if isinstance(value, list) else "a mapping"


def _folded(name: str) -> str:
    """Return a name for comparison, as foldName of encoding/json: equal for letters with the same upper case."""
    return name.lower().replace("\u017f", "s")


def _sanitised(value: Any, kind: _Type) -> Any:
    if isinstance(kind, _Text) and kind.clean and value:
        return sanitised(value)
    if isinstance(kind, _List) and value:
        return [_sanitised(item, kind.item) for item in value]
    if isinstance(kind, _Record) and value:
        return {name: _sanitised(item, kind.fields[name]) for name, item in value.items()}
    return value


def sanitised(text: str) -> str:
    """Return text with plain spaces for all white space, without unprintable characters (``sanitizeString``)."""
    return "".join(" " if _is_space(character) else character for character in text if _is_kept(character))


def _is_space(character: str) -> bool:
    """Return Go's unicode.IsSpace; Python's str.isspace also accepts four ASCII separators."""
    return character.isspace() and not "\x1c" <= character <= "\x1f"


def _is_kept(character: str) -> bool:
    """Return Go's unicode.IsPrint, or True for a space. Characters unknown to this Python count as printable."""
    if character.isascii():
        return character.isprintable() or _is_space(character)
    category = unicodedata.category(character)
    return category not in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs") or _is_space(character)


class _Writer:
    """Writes fields like Go's ``json.Marshal``; untyped values are written as Go has read them from JSON."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._left = _MAX_VALUES

    def write(self, value: Any, kind: _Type) -> str:
        if isinstance(kind, _Record):
            members = [
                f"{_quoted(name)}:{self.write(value.get(name), below)}"
                for name, below in kind.fields.items()
                if value.get(name) or not below.omit
            ]
            return f"{{{','.join(members)}}}"
        if isinstance(kind, _List):
            return f"[{','.join(self.write(item, kind.item) for item in value)}]"
        if isinstance(kind, _Texts):
            return f"{{{','.join(f'{_quoted(key)}:{_quoted(value[key])}' for key in sorted(value))}}}"
        if isinstance(kind, _Flag):
            return "true" if value else "false"
        return self._anything(value) if isinstance(kind, _Anything) else _quoted(value or "")

    def _anything(self, value: Value) -> str:
        self._left -= 1
        if self._left < 0:
            raise BuildError(f"{self._what}: 'import-values' have more than {_MAX_VALUES} values.")
        if isinstance(value, dict):
            return f"{{{','.join(f'{_quoted(key)}:{self._anything(value[key])}' for key in sorted(value))}}}"
        if isinstance(value, list):
            return f"[{','.join(map(self._anything, value))}]"
        if value is None:
            return "null"
        if isinstance(value, str):
            return _quoted(value)
        if isinstance(value.value, bool):
            return "true" if value.value else "false"
        number = float(value.value)
        if not math.isfinite(number):
            raise BuildError(f"{self._what}: 'import-values' hold the number {value.text}, which JSON does not know.")
        return _number(number)


def _quoted(text: str) -> str:
    """Return a string as Go writes it to JSON, with the characters of HTML escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        quoted = quoted.replace(character, f"\\u{ord(character):04x}")
    return quoted


def _number(value: float) -> str:
    """Return a float64 as encoding/json writes it."""
    if value and not 1e-6 <= abs(value) < 1e21:
        mantissa, _e, exponent = repr(value).partition("e")
        return f"{mantissa.removesuffix('.0')}e{'-' if exponent[0] == '-' else '+'}{exponent.lstrip('+-0')}"
    text = format(Decimal(repr(value)), "f")
    return text[:-2] if text.endswith(".0") else text

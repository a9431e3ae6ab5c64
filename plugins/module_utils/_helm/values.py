# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of a release: read like Helm, merged like Flux, and identified by a digest.

Source: helm, pkg/cli/values and pkg/chartutil/values.go; fluxcd/pkg, chartutil/values.go.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import BuildError, ValuesError
from .._oci.digest import digest_of
from .go_yaml import Plain, load, scalar
from .set_values import Convert, assign, json_object, set_string, set_value

# The number of values of a YAML document after its aliases are expanded.
MAX_NODES = 1_000_000
# Helm keeps values in a Secret of at most 1 MiB, compressed.
MAX_DOCUMENT = 16 * 1024 * 1024

# Longer texts are not looked at as numbers.
MAX_NUMBER = 400

# go.yaml.in/yaml/v2, readerc.go and is_breakz of yamlprivateh.go
_NOT_IN_YAML = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")

# JSON and Go represent integers exactly up to this limit
_EXACT = 1 << 53


@dataclass(frozen=True)
class PathValue:
    """A text to set at one path of the values (``targetPath`` of Flux's valuesFrom).

    Path and text have the syntax of ``helm --set``. With ``literal`` the text has no special characters.
    """

    path: str
    text: str = field(repr=False)
    literal: bool = False


# The types of assignments, in the order in which Helm makes them whatever the order of its options.
SET_TYPES = ("json", "raw", "string", "file", "literal")


@dataclass(frozen=True)
class SetValue:
    """An assignment in the language of ``helm --set``, which may hold a secret; the type is one of ``SET_TYPES``."""

    text: str = field(repr=False)
    value_type: str = "raw"


def read_values(data: bytes, what: str) -> dict[str, Any]:
    """Return the mapping in a YAML document; empty for an empty document.

    :param what: name of the document in messages.
    :raises ValuesError: when it is not YAML, not a mapping, or too large.
    :raises MissingDependency: without PyYAML.
    """
    if len(data) > MAX_DOCUMENT:
        raise ValuesError(f"{what} has {len(data)} bytes, more than the {MAX_DOCUMENT} that values may have.")
    try:
        document = load(data, what, unique=False, quote=False)
    except BuildError as exc:
        raise ValuesError(exc.message, "Correct the document.") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ValuesError(f"{what} is not a mapping: wanted are lines like 'key: value'.", "Correct the document.")
    plain: dict[str, Any] = _Unfold(what).value(document)
    return plain


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` merged over it: mappings are merged, everything else (lists, null) is replaced.

    The arguments are not changed; the result shares nested objects with them.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def compose(
    base: Mapping[str, Any], sources: Iterable[Mapping[str, Any] | PathValue], inline: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all values of a release: ``base``, then the sources in their order, then ``inline``; later ones win.

    A source that is a PathValue is handled as in Flux's ``ChartValuesFromReferences``: it overrides a nested inline
    value, but not an inline value that is a top-level key itself.

    :raises ValuesError: when a path cannot be set.
    """
    found = list(sources)
    if not any(isinstance(source, PathValue) for source in found):
        result = dict(base)
        for source in found:
            result = merge(result, source)  # type: ignore[arg-type]
        return merge(result, inline)
    # setting a path changes nested objects in place, so shared ones are copied first
    result, inline = copy.deepcopy(dict(base)), copy.deepcopy(dict(inline))
    for source in found:
        if isinstance(source, PathValue):
            result = merge(result, inline)
            set_path(result, source)
        else:
            result = merge(result, copy.deepcopy(dict(source)))
    return merge(result, inline)


def canonical(values: Mapping[str, Any], what: str) -> bytes:
    """Return the values as canonical JSON, which does not depend on the order of keys; Helm gets this text.

    Helm reads it as YAML, so characters that YAML forbids, or takes for the end of a line, are escaped.

    :raises ValuesError: when a value cannot be represented in JSON.
    """
    try:
        text = json.dumps(_normal(values), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        # they can only be in a text or a key: all else is ASCII
        return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode("utf-8")
    except UnicodeEncodeError:
        place = next((place for place, text in texts_in(values) if not _is_unicode(text)), "a key")
        problem = f"{place} has half of a surrogate pair, which stands for no character or for bytes that are not UTF-8"
    except (TypeError, ValueError, RecursionError) as exc:
        problem = str(exc)
    raise ValuesError(f"The values of {what} cannot be handed to Helm: {problem}.", "Correct the values.")


def texts_in(values: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """The texts in values, each with its place, such as ``a.b[0]``."""
    if isinstance(values, str):
        yield above, values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            shown = str(key).encode("utf-8", "backslashreplace").decode("utf-8")
            yield from texts_in(value, f"{above}.{shown}" if above else shown)
    elif isinstance(values, (list, tuple)):
        for number, value in enumerate(values):
            yield from texts_in(value, f"{above}[{number}]")


def ambiguous_texts(values: Mapping[str, Any]) -> list[str]:
    """Return the places of texts that Helm would read as a number, a boolean or null in a values file."""
    return [place for place, text in texts_in(values) if text and _is_unicode(text) and _is_ambiguous(text)]


def _is_ambiguous(text: str) -> bool:
    return len(text) <= MAX_NUMBER and not isinstance(scalar(text, None, True), str)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def set_all(values: Mapping[str, Any], assignments: Iterable[SetValue], read: Convert, what: str) -> dict[str, Any]:
    """Return values with assignments on top: those of one type after another, in the order of Helm's ``MergeValues``.

    :param values: are not changed.
    :param read: returns the text of a file by its path.
    :param what: whose ``set_values`` they are, in messages.
    :raises ValuesError: for a syntax that Helm does not accept; the message repeats nothing of the text.
    """
    result = copy.deepcopy(dict(values))
    numbered = sorted(enumerate(assignments, 1), key=lambda each: SET_TYPES.index(each[1].value_type))
    for number, each in numbered:
        try:
            whole = json_object(each.text) if each.value_type == "json" else None
            if whole is None:
                assign(result, each.text, each.value_type, read)
            else:
                result = merge(result, whole)
        except ValueError as exc:
            problem = f"The entry {number} of 'set_values' of {what}, of the type {each.value_type}, is refused: {exc}."
        else:
            continue
        raise ValuesError(problem, "Correct it: the language is that of 'helm --set'.")
    return result


def values_digest(document: bytes, artifacts: Iterable[str] = ()) -> str:
    """Return the digest of canonical values, and of the artifacts that they are from: a new one counts as a change."""
    return digest_of(b"\n".join([document, *(digest.encode("ascii") for digest in sorted(set(artifacts)))]))


def set_path(values: dict[str, Any], source: PathValue) -> None:
    """Set a text at its path, in place, as ``helm --set`` does.

    :raises ValuesError: for a syntax that Helm does not accept.
    """
    text = source.text
    if source.literal:
        set_string(values, source.path, text, literal=True)
        return
    quoted = any(text.startswith(quote) and text.endswith(quote) for quote in "'\"")
    if quoted and text:
        set_string(values, source.path, text.strip("'\""))
    else:
        set_value(values, source.path, text)


def _normal(value: Any) -> Any:
    """Return a value with keys as text, and whole numbers as int: for Helm, 1 and 1.0 are equal."""
    if isinstance(value, Mapping):
        return {_key(key): _normal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(item) for item in value]
    if isinstance(value, float) and not isinstance(value, bool) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    if key is None or not isinstance(key, (str, int, float)):
        raise ValueError(f"a key is {type(key).__name__}, wanted is text")
    return str(key)


class _Unfold:
    """Converts values of :func:`.go_yaml.load` to plain Python values; aliases are expanded, up to ``MAX_NODES``."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._left = MAX_NODES

    def value(self, node: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValuesError(f"{self._what} unfolds to more than {MAX_NODES} values.", "Use fewer aliases.")
        if isinstance(node, dict):
            return {key: self.value(item) for key, item in node.items()}
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if isinstance(node, Plain):
            if isinstance(node.value, float) and not math.isfinite(node.value):
                raise ValuesError(f"{self._what} holds the number {node.text}, which Helm cannot take.")
            return node.value
        return node

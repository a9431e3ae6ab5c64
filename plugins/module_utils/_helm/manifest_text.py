# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered manifests as text that may be shown.

The values of Secrets, and all values that contain a known secret, are replaced by marks. Another value gives another
mark.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import hmac
import importlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from .._errors import OciError
from .._secrets.masking import Mask
from .go_yaml import Plain, scalar
from .values import read_values

# Marks can be compared within one run only: from a digest alone, a short secret could be guessed.
_KEY = secrets.token_bytes(32)

_SPLIT = re.compile(r"^---(?=[ \t]|$)", re.MULTILINE)
_LINE_BREAK = re.compile("\r\n|[\r\x85\u2028\u2029]")
# A text without any of these contains no Secret, even if YAML quotes, escapes or tags change the spelling of the word.
_SIGNS = ("Secret", "\\", "!!")
_VALUES = ("data", "stringData")
_COPY = "kubectl.kubernetes.io/last-applied-configuration"
# Secret values that are shorter, or are common words, are not searched for elsewhere; nor are shorter lines of a value,
# which are more likely words of a configuration than parts of a key.
_SHORTEST, _SHORTEST_LINE = 3, 16
_COMMON = frozenset(["true", "false", "null", "yes", "off"])
NAME_OF_SECRET = re.compile("pass|pwd|token|secret|key|auth|cred", re.IGNORECASE)


def shown_release(release: Mapping[str, Any], mask: Mask | None = None) -> str:
    """Return the manifests of a release, including hooks, as text for a diff.

    :param mask: as for :func:`masked_manifests`.
    """
    return masked_manifests("\n---\n".join(_manifests(release)), mask)


def masked_manifests(manifest: str, mask: Mask | None = None) -> str:
    """Return the manifests with marks for the values of Secrets and for values in which ``mask`` finds a secret.

    A document that is not YAML is hidden as a whole when it may be a Secret, or when any secret is known.
    """
    parts = []
    for part in _SPLIT.split(_LINE_BREAK.sub("\n", manifest)):
        text = part.strip("\n")
        if text.strip():
            parts.append(masked_document(_without_values(text), mask))
    return "".join(f"---\n{part}\n" for part in parts)


def secrets_of_release(release: Mapping[str, Any]) -> Iterator[str]:
    """Yield the decoded values of the Secrets of a release, except words such as "true"."""
    for manifest in _manifests(release):
        for part in _SPLIT.split(_LINE_BREAK.sub("\n", manifest)):
            if any(sign in part for sign in _SIGNS):
                try:
                    document = read_values(part.encode("utf-8", "surrogateescape"), "A manifest")
                except OciError:
                    continue
                yield from _held(document)


def _manifests(release: Mapping[str, Any]) -> list[str]:
    parts = [str(release.get("manifest") or "")]
    hooks = release.get("hooks")
    for hook in sorted(hooks if isinstance(hooks, list) else [], key=lambda each: str(each.get("path"))):
        parts.append(f"# Source: {hook.get('path')}\n{str(hook.get('manifest') or '').strip()}\n")
    return parts


def documents(manifest: str, what: str) -> list[dict[str, Any]]:
    """Return the objects in rendered manifests; lists are replaced by their items.

    :raises ValuesError: when one of them is not YAML.
    """
    found = []
    for part in _SPLIT.split(manifest):
        document = read_values(part.encode("utf-8", "surrogateescape"), f"A manifest of {what}")
        found += _unlisted(document)
    return found


def _unlisted(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a list document, which may be empty; for any other document, the document itself."""
    items = document.get("items")
    if not str(document.get("kind")).endswith("List") or "items" not in document:
        return [document] if document else []
    return [each for item in items or () if isinstance(item, dict) for each in _unlisted(item)]


def object_text(document: Mapping[str, Any], mask: Mask | None = None) -> str:
    """Return one object as text for a diff."""
    hidden, _changed = hide_secrets(copy.deepcopy(dict(document)))
    return f"---\n{masked_document(dump(hidden), mask)}\n"


def _yaml() -> Any:
    return importlib.import_module("yaml")


def dump(document: Mapping[str, Any]) -> str:
    """Return a document as YAML, with its keys in their order."""
    dumped: str = _yaml().safe_dump(document, default_flow_style=False, sort_keys=False, width=1000)
    return dumped.rstrip("\n")


def _without_values(text: str) -> str:
    """Return a document with the values of Secrets hidden."""
    if not any(sign in text for sign in _SIGNS):
        return text
    comments = "".join(line + "\n" for line in text.splitlines() if line.startswith("# Source:"))
    document = only_document(text)
    if document is None:
        return f"{comments}# a manifest that cannot be read {mark(text)}"
    hidden, changed = hide_secrets(document)
    if not changed:
        return text
    # the value of an alias in a Secret is also in the text elsewhere
    held = Mask()
    for value in _held(document):
        held.add(value)
    return comments + masked_document(dump(hidden), held)


def only_document(text: str) -> dict[str, Any] | None:
    """Return the mapping that a text is; None when it is none, or holds several documents."""
    try:
        document = read_values(text.encode("utf-8", "surrogateescape"), "A manifest")
    except OciError:
        return None
    yaml = _yaml()
    try:
        # of several documents in one, only the first would be checked for Secrets
        return document if _count_documents(text) <= 1 else None
    except yaml.YAMLError:
        return None


def _count_documents(text: str) -> int:
    yaml = _yaml()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return sum(isinstance(event, yaml.DocumentStartEvent) for event in yaml.parse(text, Loader=loader))


def hide_secrets(node: Any, is_secret: bool = False) -> tuple[Any, bool]:
    """Return the node with the values of Secrets in it hidden, and True when it contains a Secret.

    Secrets are also found in a SecretList, whose items have no kind, and in text that is itself a manifest, such as the
    annotation in which kubectl keeps the last applied configuration.
    """
    if isinstance(node, list):
        items = [hide_secrets(item, is_secret) for item in node]
        return [item for item, _changed in items], any(changed for _item, changed in items)
    if isinstance(node, str):
        return (mark(node), True) if _is_manifest_of_secret(node) else (node, False)
    if not isinstance(node, dict):
        return node, False
    kind = node.get("kind")
    if is_secret or kind == "Secret":
        return _hide_secret(node), True
    pairs = {key: hide_secrets(value, kind == "SecretList" and key == "items") for key, value in node.items()}
    return {key: value for key, (value, _changed) in pairs.items()}, any(changed for _value, changed in pairs.values())


def _hide_secret(node: Mapping[str, Any]) -> dict[str, Any]:
    hidden = {key: value if key in _VALUES else hide_secrets(value)[0] for key, value in node.items()}
    for field in _VALUES:
        content = node.get(field)
        if isinstance(content, dict):
            hidden[field] = {key: mark(value) for key, value in content.items()}
        elif content is not None:
            hidden[field] = mark(content)
    metadata = hidden.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict) and _COPY in annotations:
        annotations[_COPY] = mark(annotations[_COPY])
    return hidden


def _is_manifest_of_secret(text: str) -> bool:
    if "kind" not in text or not any(field in text for field in _VALUES) or not any(sign in text for sign in _SIGNS):
        return False
    return any(True for document in documents_in(text) for _value in _held(document, everything=True))


def documents_in(text: str) -> Iterator[Any]:
    """Yield the YAML mappings in a text; what is none is passed over."""
    for part in _SPLIT.split(_LINE_BREAK.sub("\n", text)):
        try:
            yield read_values(part.encode("utf-8", "surrogateescape"), "A manifest")
        except OciError:
            continue


def _held(node: Any, is_secret: bool = False, everything: bool = False) -> Iterator[str]:
    """Yield the values of the Secrets in a node."""
    if isinstance(node, list):
        for item in node:
            yield from _held(item, is_secret, everything)
    elif isinstance(node, str) and _is_text_of_manifest(node):
        for document in documents_in(node):
            yield from _held(document, False, everything)
    elif isinstance(node, dict):
        kind = node.get("kind")
        if is_secret or kind == "Secret":
            for field in _VALUES:
                content = node.get(field)
                for value in content.values() if isinstance(content, dict) else [content]:
                    if isinstance(value, (str, int, float)):
                        text = _decoded(str(value)) if field == "data" else str(value)
                        yield from [text] if everything else _texts(text)
        for key, value in node.items():
            if not (kind == "Secret" and key in _VALUES):
                yield from _held(value, kind == "SecretList" and key == "items", everything)


def _is_text_of_manifest(text: str) -> bool:
    return "kind" in text and "Secret" in text and any(field in text for field in _VALUES)


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("utf-8")
    except (ValueError, binascii.Error):
        return value


def _texts(text: str) -> Iterator[str]:
    """Yield the texts to search for, for one value of a Secret: the value, its long lines, and secrets inside it."""
    lines = [line.strip() for line in text.splitlines()]
    whole = " ".join(text.split())
    if len(whole) >= _SHORTEST and whole.lower() not in _COMMON:
        yield whole
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE)
    if ":" in text or "{" in text:
        for document in documents_in(text):
            yield from named_secrets(document)


def named_secrets(node: Any) -> Iterator[str]:
    """Yield the values in a configuration whose key indicates a secret."""
    if isinstance(node, list):
        for item in node:
            yield from named_secrets(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str) and len(value) >= _SHORTEST and NAME_OF_SECRET.search(str(key)):
                yield value
            else:
                yield from named_secrets(value)


def masked_document(text: str, mask: Mask | None) -> str:
    """Return the document with a mark for each value that contains a secret, and without secrets in comments.

    All other text is unchanged.
    """
    if not mask:
        return text
    yaml = _yaml()
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    parts, at = [], 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if not isinstance(event, yaml.ScalarEvent):
                continue
            begin, end = (starts[place.line] + place.column for place in (event.start_mark, event.end_mark))
            written = text[begin:end]
            if _holds_secret(event, written, mask):
                # the white space after a block belongs to the following text
                written = mark(event.value) + written[len(written.rstrip()) :]
            # the text between two values: comments, names of anchors
            parts += [mask.text(text[at:begin]), written]
            at = end
    except (yaml.YAMLError, IndexError):
        return f"# a manifest that cannot be read {mark(text)}"
    return "".join(parts) + mask.text(text[at:])


def _holds_secret(event: Any, written: str, mask: Mask) -> bool:
    if mask.is_in_value(event.value) or mask.holds(written):
        return True
    try:
        value = scalar(event.value, event.tag, event.implicit[0])
    except ValueError:
        return False
    return isinstance(value, Plain) and mask.is_in_value(value.value)


def mark(value: Any) -> str:
    """Return the mark that stands for a hidden value; within one run, equal values have equal marks."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    digest = hmac.new(_KEY, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
    return f"(hidden, {digest[:8]})"

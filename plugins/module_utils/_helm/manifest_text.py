# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered manifests as text that may be shown: what Secrets hold is replaced by a mark that changes with it."""

from __future__ import annotations

import copy
import hashlib
import hmac
import importlib
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from .._oci.errors import OciError
from .values import read_values

# Marks can be compared within one run only: from a digest alone, a short secret could be guessed.
_KEY = secrets.token_bytes(32)

_SPLIT = re.compile(r"^---[ \t]*(?:#.*)?$", re.MULTILINE)
_SECRET = re.compile(r"""["']?\bkind["']?\s*:\s*["']?Secret\b""")
_COPY = "kubectl.kubernetes.io/last-applied-configuration"


def shown_release(release: Mapping[str, Any]) -> str:
    """What a release deploys, hooks included, as text for a diff."""
    parts = [str(release.get("manifest") or "")]
    hooks = release.get("hooks")
    for hook in sorted(hooks if isinstance(hooks, list) else [], key=lambda each: str(each.get("path"))):
        parts.append(f"# Source: {hook.get('path')}\n{str(hook.get('manifest') or '').strip()}\n")
    return shown("\n---\n".join(parts))


def shown(manifest: str) -> str:
    """The manifests, those of Secrets with marks in place of their values; one that cannot be read is left out."""
    parts = []
    for part in _SPLIT.split(manifest):
        text = part.strip("\n")
        if text.strip():
            parts.append(_without_values(text) if _SECRET.search(text) else text)
    return "".join(f"---\n{part}\n" for part in parts)


def documents(manifest: str, what: str) -> list[dict[str, Any]]:
    """The objects in rendered manifests, those of lists one by one.

    :raises ValuesError: when one of them is not YAML.
    """
    found = []
    for part in _SPLIT.split(manifest):
        document = read_values(part.encode("utf-8", "surrogateescape"), f"A manifest of {what}")
        found += _unlisted(document)
    return found


def _unlisted(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects that a document stands for: those of a list, which may be empty, else the document itself."""
    items = document.get("items")
    if not str(document.get("kind")).endswith("List") or "items" not in document:
        return [document] if document else []
    return [each for item in items or () if isinstance(item, dict) for each in _unlisted(item)]


def as_text(document: Mapping[str, Any]) -> str:
    """One object as text for a diff."""
    own = copy.deepcopy(dict(document))
    _hide(own)
    return f"---\n{_dump(own)}\n"


def _dump(document: Mapping[str, Any]) -> str:
    yaml = importlib.import_module("yaml")
    dumped: str = yaml.safe_dump(document, default_flow_style=False, sort_keys=False, width=1000)
    return dumped.rstrip("\n")


def _without_values(text: str) -> str:
    comments = "".join(line + "\n" for line in text.splitlines() if line.startswith("# Source:"))
    try:
        document = read_values(text.encode("utf-8", "surrogateescape"), "A manifest")
    except OciError:
        return f"{comments}# a Secret that cannot be read {_mark(text)}"
    if not _hide(document):
        return text
    return comments + _dump(document)


def _hide(node: Any) -> bool:
    """Replace the values of every Secret in a document; whether there was one."""
    if isinstance(node, list):
        return sum(map(_hide, node)) > 0
    if not isinstance(node, dict):
        return False
    if node.get("kind") != "Secret":
        return sum(map(_hide, node.values())) > 0
    for field in ("data", "stringData"):
        content = node.get(field)
        if isinstance(content, dict):
            node[field] = {key: _mark(value) for key, value in content.items()}
        elif content is not None:
            node[field] = _mark(content)
    metadata = node.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict) and _COPY in annotations:
        annotations[_COPY] = _mark(annotations[_COPY])
    return True


def _mark(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    digest = hmac.new(_KEY, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
    return f"(hidden, {digest[:8]})"

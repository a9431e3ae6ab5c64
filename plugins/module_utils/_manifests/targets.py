# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets: which objects a rule is for, by group, version, kind, namespace, name, labels and annotations.

Source of the semantics: kustomize, ``api/types/selector.go`` (``SelectorRegex``), which Flux uses for drift, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from .._errors import InvalidOption, InvalidSelection
from .._oci.bounded_regex import BoundedRegex
from .patches import selects

_NAMES = ("group", "version", "kind", "namespace", "name")
_SELECTORS = {"label_selector": "labels", "annotation_selector": "annotations"}
# what is a regular expression that matches itself alone
_LITERAL = re.compile(r"[A-Za-z0-9_/-]+")


class Identity(NamedTuple):
    """What tells an object from others; ``metadata`` has its labels and annotations."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str
    metadata: Mapping[str, Any]


def identity_of(document: Mapping[str, Any], namespace: str) -> Identity:
    """Return the identity of an object in the form of a manifest.

    :param namespace: the one that it is in, which the manifest need not say.
    """
    version, metadata = str(document.get("apiVersion") or ""), document.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    group, _slash, number = version.rpartition("/")
    kind, name = (str(part.get(key) or "") for part, key in ((document, "kind"), (metadata, "name")))
    return Identity(group, number, kind, namespace, name, metadata)


def check_target(target: Mapping[str, Any], what: str) -> dict[str, str]:
    """Return the parts of a target that say something, checked.

    :raises InvalidOption: when an expression or a selector cannot be used; ``what`` is the option.
    """
    found = {name: str(target.get(name) or "") for name in (*_NAMES, *_SELECTORS) if target.get(name)}
    try:
        for name, text in found.items():
            if name in _SELECTORS:
                selects(text, {})
            elif not _LITERAL.fullmatch(text):
                BoundedRegex(f"^(?:{text})$", f"'{name}' of {what}")
    except InvalidSelection as exc:
        raise InvalidOption(exc.message, exc.hint) from None
    except InvalidOption as exc:
        raise InvalidOption(f"{what}: {exc.message}", exc.hint) from None
    return found


def is_target(target: Mapping[str, str], found: Identity) -> bool:
    """Return True when a checked target is for an object: expressions match as a whole, a part that is not given
    everything.

    :raises InvalidOption: when an expression does not finish.
    """
    for name, text in target.items():
        part = _SELECTORS.get(name)
        if part is not None:
            values = found.metadata.get(part)
            if not selects(text, values if isinstance(values, Mapping) else {}):
                return False
        elif not _fits(text, str(getattr(found, name))):
            return False
    return True


@lru_cache(maxsize=4096)
def _fits(expression: str, text: str) -> bool:
    """True when an expression matches a text as a whole; asked once for each, as threads need a process for it."""
    if _LITERAL.fullmatch(expression):
        return expression == text
    try:
        return bool(BoundedRegex(f"^(?:{expression})$", "a target").search_all([text]))
    except InvalidSelection as exc:
        raise InvalidOption(exc.message, exc.hint) from None

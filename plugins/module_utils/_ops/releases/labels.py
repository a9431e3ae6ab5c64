# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The labels of a release: the option, parsed and checked, and what Helm is to set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..._errors import InvalidOption
from ..._helm.release import (
    PREFIX,
    RENDERING_LABEL,
    SYSTEM_LABELS,
    TEST_LABEL,
    UNINSTALLED,
    Fingerprint,
    Revision,
)

_LABEL_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")


def parse_labels(labels: Mapping[str, Any], release: str) -> dict[str, str | None]:
    """The labels of a release, with None for one that is removed.

    :param release: whose they are, in messages.
    :raises InvalidOption: for what Kubernetes does not take, and for labels that Helm or this collection sets.
    """
    found: dict[str, str | None] = {}
    for name, value in labels.items():
        if isinstance(value, bool):
            value = str(value).lower()
        text = None if value is None else str(value)
        if not _LABEL_KEY.match(name) or (text is not None and not _LABEL_VALUE.match(text)):
            raise InvalidOption(f"{name[:300]!r} with its value is not a label (release {release}).")
        if name in SYSTEM_LABELS or name.startswith(PREFIX):
            raise InvalidOption(f"The label {name!r} of the release {release} is reserved.", "Choose another name.")
        found[name] = text
    return found


def next_labels(fingerprint: Fingerprint, wanted: Mapping[str, str | None], last: Revision | None) -> dict[str, str]:
    """The labels that Helm is to give the revision after the last one; ``null`` removes a label.

    :param wanted: the labels of the release, with None for one that is removed.
    :param last: None where there is no revision yet.
    """
    labels = dict(fingerprint.as_labels((last.number if last else 0) + 1))
    if last is not None and last.status != UNINSTALLED:
        # Helm copies labels to the new revision: outdated ones have to be removed
        stale = [name for name in (TEST_LABEL, RENDERING_LABEL) if name in last.labels and name not in labels]
        stale += [name for name, value in wanted.items() if value is None and name in last.labels]
        labels.update(dict.fromkeys(stale, "null"))
    labels.update({name: value for name, value in wanted.items() if value is not None})
    return labels

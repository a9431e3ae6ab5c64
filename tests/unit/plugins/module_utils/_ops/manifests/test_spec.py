# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a set of manifests that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.manifests.spec import parse_spec

OPTION: dict[str, Any] = {
    "name": "app", "namespace": "default", "state": "absent", "source": None, "target_namespace": None,
    "applyset": None, "suspend": False, "depends_on": None, "drift_ignore": None, "timeout": "5m",
    "substitute_from": None, "history_max": 10,
}  # fmt: skip


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"name": "Not/Valid"}, "'name'"),
        ({"namespace": "../kube-system"}, "'namespace'"),
        ({"target_namespace": "a/b"}, "'target_namespace'"),
        ({"history_max": 0}, "'history_max'"),
        ({"applyset": "pods/a"}, "'applyset'"),
        ({"drift_ignore": [{"paths": ["spec"]}]}, "^'drift_ignore' of the manifests default/app.*JSON pointer"),
        (
            {"drift_ignore": [{"paths": [""], "target": {"name": "a("}}]},
            "'target' in 'drift_ignore' of the manifests default/app",
        ),
        ({"depends_on": [1]}, "'depends_on'"),
        ({"timeout": "soon"}, "duration"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named(option: dict[str, Any], words: str) -> None:
    assert str(parse_spec(OPTION, {}).key) == "default/app"
    with pytest.raises(InvalidOption, match=words):
        parse_spec({**OPTION, **option}, {})

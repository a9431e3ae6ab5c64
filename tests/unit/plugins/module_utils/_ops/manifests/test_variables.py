# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of the cluster: which value wins, what is refused, and what is noted of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, ManifestsInvalid
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.manifests.variables import (
    joined,
    parse_references,
    read_variables,
)


class Objects:
    """The part of the API that is asked; test_manifests_inputs.py asks a real one."""

    def __init__(self, objects: Mapping[str, Mapping[str, str]]) -> None:
        self.objects = objects
        self.paths: list[str] = []

    def find(self, path: str) -> dict[str, Any] | None:
        self.paths.append(path)
        data = self.objects.get(path.rpartition("/")[2])
        return None if data is None else {"metadata": {"uid": "u", "resourceVersion": "7"}, "data": dict(data)}


def references(*names: str, optional: bool = False) -> Any:
    given = [{"kind": name.split("/")[0], "name": name.split("/")[1], "optional": optional} for name in names]
    return parse_references(given, "apps")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_later_ones_win_and_those_of_the_task_over_all() -> None:
    api: Any = Objects({"a": {"x": "1", "y": "1"}, "b": {"y": encoded("secret\nvalue"), "z": encoded("2")}})
    found = read_variables(api, references("ConfigMap/a", "Secret/b"))
    assert found.values == {"x": "1", "y": "secretvalue", "z": "2"}
    assert joined(found, {"z": "3\n"}) == {"x": "1", "y": "secretvalue", "z": "3"}
    assert api.paths == ["/api/v1/namespaces/apps/configmaps/a", "/api/v1/namespaces/apps/secrets/b"]
    # nothing that is made of a value is noted in the cluster
    assert found.versions == ["ConfigMap apps/a u 7", "Secret apps/b u 7"]
    assert found.mask.text("it is secretvalue") == "it is (hidden)"
    assert "secret" not in repr(found)


def test_what_is_missing_or_no_variable() -> None:
    api: Any = Objects(
        {"a": {"tls.crt": "x"}, "b": {"x": "not base64!"}, "c": {"x": base64.b64encode(b"\xff").decode()}}
    )
    with pytest.raises(ManifestsInvalid, match=r"ConfigMap apps/none of 'substitute_from' is not in the cluster"):
        read_variables(api, references("ConfigMap/none"))
    missing = read_variables(api, references("Secret/none", optional=True))
    assert (missing.values, missing.versions) == ({}, ["Secret apps/none -"])
    with pytest.raises(ManifestsInvalid, match=r"'tls\.crt'"):
        read_variables(api, references("ConfigMap/a"))
    for name in "bc":
        with pytest.raises(ManifestsInvalid, match=r"The value of x in the Secret apps/. is not UTF-8 text"):
            read_variables(api, references(f"Secret/{name}"))
    with pytest.raises(InvalidOption, match="at most 100"):
        references(*["ConfigMap/a"] * 101)

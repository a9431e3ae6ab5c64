# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests that may be shown."""

from __future__ import annotations

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.manifest_text import (
    documents,
    masked_manifests,
    object_text,
    shown_release,
)

MAP = "# Source: x/templates/map.yaml\nkind: ConfigMap\ndata: {a: b} # as it was written\n"


@pytest.mark.parametrize(
    "secret",
    [
        "kind: Secret\nmetadata: {name: s}\nstringData: {password: hush-hush}\n",
        "kind: 'Secret' # here\ndata:\n  password: hush-hush\n",
        '{"kind":"Secret","data":{"password":"hush-hush"}}\n',
        "kind: List\nitems:\n- {kind: ConfigMap}\n- {kind: Secret, data: {password: hush-hush}}\n",
        "kind: Secret\ndata: [hush-hush]\n",
        "kind: Secret\ndata: {password: hush-hush\n",
        "kind: Secret\nmetadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: hush-hush}}\n",
        "kind: Other\nspec: {template: {kind: Secret, stringData: {password: hush-hush}}}\n",
    ],
)
def test_secrets_are_hidden_and_their_changes_are_not(secret: str) -> None:
    text = masked_manifests(f"---\n{MAP}---\n# Source: x/templates/secret.yaml\n{secret}")
    assert "hush-hush" not in text
    assert MAP.strip() in text and "# Source: x/templates/secret.yaml" in text
    assert (
        masked_manifests(secret) == masked_manifests(secret) != masked_manifests(secret.replace("hush-hush", "other"))
    )


def test_other_kinds_are_left_as_they_are() -> None:
    for text in (MAP, "kind: SecretStore\nspec: {a: b}\n", "data: {text: 'kind: Secret'}\n"):
        assert masked_manifests(text) == f"---\n{text.strip()}\n"


def test_a_release_is_shown_with_its_hooks() -> None:
    release = {
        "manifest": MAP,
        "hooks": [
            {"path": "x/templates/b.yaml", "manifest": "kind: Job"},
            {"path": "x/templates/a.yaml", "manifest": "kind: Secret\ndata: {a: hush-hush}"},
        ],
    }
    text = shown_release(release)
    assert [line for line in text.splitlines() if line.startswith("# Source")] == [
        "# Source: x/templates/map.yaml",
        "# Source: x/templates/a.yaml",
        "# Source: x/templates/b.yaml",
    ]
    assert "hush-hush" not in text
    assert shown_release({}) == ""


def test_objects() -> None:
    listed = "kind: ConfigMapList\nitems: [{kind: ConfigMap, metadata: {name: x}}]\n"
    text = f"---\n{MAP}\n---\n# nothing\n--- \n{listed}"
    assert [each.get("kind") for each in documents(text, "x")] == ["ConfigMap", "ConfigMap"]
    # what templates leave when there is nothing to range over
    nothing = "kind: List\nitems: []\n---\nkind: List\nitems:\n---\nnull\n---\n{}\n---\nkind: List\nitems: [null, {}]\n"
    assert documents(nothing, "x") == []
    nested = "kind: List\nitems: [{kind: List, items: [{kind: A}]}, {kind: B, items: []}]"
    assert documents(nested, "x") == [{"kind": "A"}, {"kind": "B", "items": []}]
    assert documents("kind: AllowList\nspec: {}", "x") == [{"kind": "AllowList", "spec": {}}]
    assert "hush-hush" not in object_text({"kind": "Secret", "data": {"a": "hush-hush"}})

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that are replaced, by the rules of kustomize."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.images import with_images
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.objects import ManifestObject


@pytest.mark.parametrize(
    ("image", "rule", "wanted"),
    [
        ("a/b:1", {"name": "a/b", "new_tag": "2"}, "a/b:2"),
        ("a/b:1", {"name": "a/b", "new_name": "host:5000/c"}, "host:5000/c:1"),
        ("a/b:1", {"name": "a/b", "digest": "sha256:1"}, "a/b@sha256:1"),
        ("host:5000/b", {"name": "host:5000/b", "new_tag": "2"}, "host:5000/b:2"),
        ("a/b@sha256:1", {"name": "a/b", "new_tag": "2"}, "a/b:2"),
        ("a/b:1@sha256:1", {"name": "a/b", "new_name": "c"}, "c:1@sha256:1"),
        ("a/b:1", {"name": "a/b", "new_tag": "2", "digest": "sha256:3"}, "a/b:2@sha256:3"),
        ("a/b:1", {"name": "a/.*", "new_tag": "2"}, "a/b:2"),
        ("a/b:1", {"name": "b", "new_tag": "2"}, "a/b:1"),
    ],
)
def test_images(image: str, rule: dict[str, str], wanted: str) -> None:
    found = ManifestObject(
        {"kind": "Deployment", "spec": {"template": {"spec": {"initContainers": [{"image": image}]}}}}
    )
    with_images([found], [rule])
    assert found.document["spec"]["template"]["spec"]["initContainers"][0]["image"] == wanted


def test_where_images_are() -> None:
    def replaced(kind: str, **spec: Any) -> dict[str, Any]:
        found = ManifestObject({"kind": kind, "spec": spec})
        with_images([found], [{"name": "a", "new_tag": "2"}])
        result: dict[str, Any] = found.document["spec"]
        return result

    volumes = [{"name": "v", "image": {"reference": "a:1"}}]
    assert replaced("Pod", volumes=volumes)["volumes"][0]["image"] == {"reference": "a:2"}
    assert replaced("Odd", deep=[{"containers": [{"image": "a"}, "odd"]}])["deep"][0]["containers"][0] == {
        "image": "a:2"
    }
    assert replaced("Odd", image="a")["image"] == "a"
    assert replaced("CustomResourceDefinition", containers=[{"image": "a"}])["containers"] == [{"image": "a"}]


def test_a_name_that_is_no_expression_is_refused() -> None:
    with pytest.raises(InvalidOption):
        with_images([ManifestObject({"kind": "Pod"})], [{"name": "("}])

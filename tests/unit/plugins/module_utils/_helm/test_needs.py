# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a chart needs beside itself, by its own words and by its rendered manifests."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import BuildError, ValuesError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.needs import (
    Dependency,
    Needs,
    read_needs,
    rendered_images,
)

HEAD = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"


def needs(metadata: str, **files: str) -> Needs:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in {"Chart.yaml": metadata, **files}.items():
            entry = tarfile.TarInfo(f"shop/{name.replace('__', '.')}")
            entry.size = len(content.encode())
            archive.addfile(entry, io.BytesIO(content.encode()))
    return read_needs(io.BytesIO(gzip.compress(target.getvalue())), "the chart")


DEPENDENCIES = """\
dependencies:
- {name: base, version: ">=1.0.0", repository: oci://r.example.com/charts}
- {name: web, version: ^2, repository: https://charts.example.com}
- {name: base, version: 1.x, repository: oci://r.example.com/charts, alias: other}
"""


def test_dependencies_have_the_versions_of_the_lock_file() -> None:
    found = needs(HEAD + DEPENDENCIES).dependencies
    assert [each.version for each in found] == [">=1.0.0", "^2", "1.x"]
    assert found[0] == Dependency("base", "oci://r.example.com/charts", ">=1.0.0")
    lock = """\
digest: sha256:x
dependencies:
- {name: base, version: 1.4.0, repository: oci://r.example.com/charts}
- {name: web, version: 2.0.1, repository: https://elsewhere.example.com}
- {name: base, version: 1.2.0, repository: oci://r.example.com/charts}
"""
    found = needs(HEAD + DEPENDENCIES, Chart__lock=lock).dependencies
    assert [each.version for each in found] == ["1.4.0", "^2", "1.2.0"], "what the lock file is not about is no news"
    old = needs(HEAD.replace("v2", "v1"), requirements__yaml=DEPENDENCIES, requirements__lock=lock)
    assert [each.version for each in old.dependencies] == ["1.4.0", "^2", "1.2.0"]
    assert needs(HEAD).dependencies == () and not needs(HEAD).is_library
    assert needs(HEAD + "type: library\n").is_library


def test_images_that_annotations_list() -> None:
    annotations = """\
annotations:
  artifacthub.io/images: |
    - {name: web, image: r.example.com/web:1}
    - name: no image
    - plain text
  images: |
    - {image: r.example.com/web:1}
    - {image: nginx}
"""
    assert needs(HEAD + annotations).images == ("r.example.com/web:1", "nginx")
    assert needs(HEAD + "annotations: {images: just words}\n").images == ()
    with pytest.raises(BuildError, match="The annotation images of the chart is not YAML") as raised:
        needs(HEAD + "annotations: {images: '[{'}\n")
    assert "'image' in each item" in raised.value.hint


MANIFESTS = """\
---
# Source: shop/templates/all.yaml
kind: CronJob
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers: [{name: a, image: job}, {name: b}]
          initContainers: [{image: r.example.com/init:1}]
          volumes: [{name: model, image: {reference: r.example.com/model:1, pullPolicy: Always}}]
---
kind: List
items:
- kind: Store
  spec: {image: r.example.com/store:2, nested: [{image: r.example.com/inner@sha256:x}], icon: {image: logo.png}}
- kind: Pod
  spec: {containers: [{image: r.example.com/init:1}], ephemeralContainers: [{image: debug}]}
---
kind: ConfigMap
data: {"values.yaml": "image: r.example.com/of-a-text:1\\n"}
"""


def test_images_of_rendered_manifests() -> None:
    assert rendered_images(MANIFESTS, "it") == [
        "job",
        "r.example.com/init:1",
        "r.example.com/model:1",
        "r.example.com/store:2",
        "r.example.com/inner@sha256:x",
        "debug",
    ]
    assert rendered_images("", "it") == []
    with pytest.raises(ValuesError):
        rendered_images("a: [", "it")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers: which are taken, under which names they are kept."""

from __future__ import annotations

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, LayerError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor, Manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import (
    LayerSelector,
    Limits,
    parse_layer_selector,
    parse_platform,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layers import (
    check_sizes,
    file_name,
    layers_of_type,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import parse_inputs


def layer(media_type: str, title: str = "", size: int = 1) -> Descriptor:
    annotations = {media.ANNOTATION_TITLE: title} if title else {}
    return Descriptor(media_type, "sha256:" + "0" * 64, size, annotations=annotations)


def manifest(*layers: Descriptor, **annotations: str) -> Manifest:
    named = {f"org.opencontainers.image.{name}": value for name, value in annotations.items()}
    return Manifest(Descriptor(media.OCI_MANIFEST, "sha256:" + "1" * 64, 1), b"", None, layers, (), "", named, None)


def test_selection_is_exact_and_in_order() -> None:
    layers = [layer("a/b"), layer("a/c"), layer("a/b;x=1"), layer("a/b", "second")]
    found = manifest(*layers)
    assert layers_of_type(found, "", "x") == layers
    assert layers_of_type(found, "a/b", "x") == [layers[0], layers[3]]
    with pytest.raises(LayerError, match="'A/B'.*it has a/b, a/c, a/b;x=1"):
        layers_of_type(found, "A/B", "x")


def test_sizes_are_refused_before_the_transfer() -> None:
    check_sizes([layer("a", size=5), layer("a", size=5)], Limits(10, 1), "x")
    with pytest.raises(LayerError, match="max_size"):
        check_sizes([layer("a", size=5), layer("a", size=6)], Limits(10, 1), "x")


def test_names() -> None:
    chart = manifest(title="demo", version="1.0.0+b")
    assert file_name(layer("text/plain", "dir/notes.txt"), chart, "fallback") == "dir/notes.txt"
    assert file_name(layer(media.HELM_LAYER), chart, "fallback") == "demo-1.0.0+b.tgz"
    assert file_name(layer(media.HELM_PROVENANCE), chart, "fallback") == "demo-1.0.0+b.tgz.prov"
    assert file_name(layer(media.HELM_LAYER), manifest(), "fallback") == "fallback"
    assert file_name(layer("text/plain"), chart, "fallback") == "fallback"


@pytest.mark.parametrize(
    "title",
    [
        *("/etc/passwd", "../up", "a/../b", "a//b", "a/", ".", "new\nline", "\x1b[0m", ".oci-artifact/state"),
        *("x" * 256, "ü" * 128, "a/" * 512 + "a", "ü/" * 341 + "ab"),
    ],
)
def test_titles_that_are_refused(title: str) -> None:
    with pytest.raises(LayerError, match="title"):
        file_name(layer("text/plain", title), manifest(), "")


@pytest.mark.parametrize("title", ["x" * 255, "ü" * 127 + "x", "a/" * 511 + "ab", "ü/" * 341 + "a"])
def test_titles_have_as_many_bytes_as_names_of_files(title: str) -> None:
    assert file_name(layer("text/plain", title), manifest(), "") == title
    assert parse_inputs({"path": "x", "name": title}, "files")[0].name == title


def test_a_chart_whose_name_would_leave_the_directory() -> None:
    with pytest.raises(LayerError, match="title"):
        file_name(layer(media.HELM_LAYER), manifest(title="../up", version="1"), "")


def test_a_platform() -> None:
    assert parse_platform(None) == parse_platform("") == ""
    assert parse_platform("linux/arm64") == "linux/arm64"
    with pytest.raises(InvalidOption):
        parse_platform("linux")


def test_options() -> None:
    assert parse_layer_selector(None, "auto") == LayerSelector()
    assert parse_layer_selector({"operation": None, "media_type": "a/b"}, "all") == LayerSelector(
        "a/b", "extract", "all"
    )
    for option, layers in (({"operation": "move"}, "first"), ({}, "last")):
        with pytest.raises(InvalidOption):
            parse_layer_selector(option, layers)

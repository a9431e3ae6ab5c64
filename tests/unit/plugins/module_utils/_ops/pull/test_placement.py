# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which layers are placed and as what, when the task does not say so: by what the artifact is."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LayerError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor, Manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layers import MAX_LAYERS
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.placement import Placement, placement_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions

TAR, IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar", media.OCI_LAYER_GZIP
UNPACK = {media.ANNOTATION_ORAS_UNPACK: "true"}


def layer(media_type: str, title: str = "", **annotations: str) -> Descriptor:
    found = {media.ANNOTATION_TITLE: title, **annotations} if title else annotations
    return Descriptor(media_type, "sha256:" + "0" * 64, 2, annotations=found)


def manifest(
    *layers: Descriptor, config: str = media.OCI_EMPTY, artifact_type: str = "", config_title: str = ""
) -> Manifest:
    return Manifest(
        Descriptor(media.OCI_MANIFEST, "sha256:" + "1" * 64, 1),
        b"",
        layer(config, config_title),
        layers,
        (),
        artifact_type,
        {},
        None,
    )


A, B = layer("text/a", "a"), layer("text/b", "b")
TAR_1, TAR_2 = layer(TAR), layer(IMAGE_LAYER)
EMPTY = layer(media.OCI_EMPTY)
CHART, PROVENANCE = layer(media.HELM_LAYER), layer(media.HELM_PROVENANCE)
FLUX_LAYER = layer(media.FLUX_LAYER)


@pytest.mark.parametrize(
    ("found", "content", "rule", "wanted"),
    [
        (manifest(A, B), "files", "titled", [A, B]),
        (manifest(A), "files", "titled", [A]),
        # what `oras pull` does: the others are passed over
        (manifest(TAR_1, A), "files", "titled", [A]),
        (manifest(EMPTY, A), "files", "titled", [A]),
        (manifest(A, config_title="config.json"), "files", "titled", [A, layer(media.OCI_EMPTY, "config.json")]),
        (manifest(A, config=media.FLUX_CONFIG), "files", "titled", [A]),
        (manifest(A, config=media.OCI_CONFIG), "files", "titled", [A]),
        (manifest(layer(media.OCI_EMPTY, "e.json")), "files", "titled", [layer(media.OCI_EMPTY, "e.json")]),
        (manifest(layer(media.HELM_LAYER, "c.tgz"), A), "files", "titled", [layer(media.HELM_LAYER, "c.tgz"), A]),
        (manifest(FLUX_LAYER, config=media.FLUX_CONFIG), "flux", "first", [FLUX_LAYER]),
        (manifest(FLUX_LAYER, TAR_1), "flux", "first", [FLUX_LAYER]),
        (manifest(TAR_1, config=media.FLUX_CONFIG), "flux", "first", [TAR_1]),
        (manifest(TAR_1, artifact_type=media.FLUX_CONFIG), "flux", "first", [TAR_1]),
        # a bundle that was pushed with oras for Flux
        (manifest(layer(media.FLUX_LAYER, "m.tgz")), "flux", "first", [layer(media.FLUX_LAYER, "m.tgz")]),
        (manifest(CHART, PROVENANCE, config=media.HELM_CONFIG), "chart", "first", [CHART]),
        (manifest(PROVENANCE, CHART, config=media.HELM_CONFIG), "chart", "first", [CHART]),
        (manifest(CHART), "chart", "first", [CHART]),
        (
            manifest(layer(media.HELM_LAYER, "c.tgz"), artifact_type=media.HELM_CONFIG),
            "chart",
            "first",
            [layer(media.HELM_LAYER, "c.tgz")],
        ),
        (manifest(TAR_1, TAR_2, config=media.OCI_CONFIG), "image", "all", [TAR_1, TAR_2]),
        (manifest(TAR_1, TAR_2, config=media.DOCKER_CONFIG), "image", "all", [TAR_1, TAR_2]),
        (manifest(TAR_1), "archive", "first", [TAR_1]),
        (manifest(TAR_1, CHART), "archive", "first", [TAR_1]),
        (manifest(TAR_1, config=media.HELM_CONFIG), "archive", "first", [TAR_1]),
        (replace(manifest(TAR_1), config=None), "archive", "first", [TAR_1]),
        (replace(manifest(A), config=None), "files", "titled", [A]),
        (manifest(TAR_1, TAR_2), "archive", "first", [TAR_1]),
        (manifest(layer("a/b")), "archive", "first", [layer("a/b")]),
    ],
)
def test_what_an_artifact_is_decides(found: Manifest, content: str, rule: str, wanted: list[Descriptor]) -> None:
    placement = placement_of(found, LayerSelector(), "x")
    assert (placement.content, placement.rule, placement.layers) == (content, rule, wanted)


def test_what_the_task_says_counts_first() -> None:
    found = manifest(TAR_1, A, B)
    assert placement_of(found, LayerSelector(layers="first"), "x").layers == [TAR_1]
    assert placement_of(found, LayerSelector(layers="all"), "x") == Placement([TAR_1, A, B], "files", "all")
    assert placement_of(found, LayerSelector("text/b"), "x") == Placement([B], "files", "titled")
    assert placement_of(found, LayerSelector(TAR), "x") == Placement([TAR_1], "archive", "first")
    titled_config = manifest(A, B, config_title="config.json")
    assert placement_of(titled_config, LayerSelector("text/b"), "x").layers == [B]
    (warning,) = placement_of(found, LayerSelector(), "x").warnings
    assert f"1 layers without a title ({TAR})" in warning and "layers: all" in warning


def test_copies() -> None:
    to_folder, copy = {"is_to_file": False}, LayerSelector(operation="copy")
    assert placement_of(manifest(A, B), copy, "x", **to_folder) == Placement([A, B], "files", "titled")
    (warning,) = placement_of(manifest(A, B), copy, "x", is_to_file=True).warnings
    assert "x has 2 files" in warning and "only 'a' is placed" in warning
    assert placement_of(manifest(A, B), copy, "x", is_to_file=True).layers == [A]
    assert placement_of(manifest(A), copy, "x", is_to_file=True) == Placement([A], "files", "titled")
    assert placement_of(manifest(A, B), copy._replace(layers="first"), "x", is_to_file=True).warnings == ()
    image = manifest(TAR_1, TAR_2, config=media.OCI_CONFIG)
    assert placement_of(image, copy, "x", **to_folder) == Placement([TAR_1], "image", "first")


@pytest.mark.parametrize("layers", ["auto", "first"])
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (manifest(), "its manifest has no layers"),
        (manifest(EMPTY), f"its only layer is the empty one ({media.OCI_EMPTY})"),
    ],
)
def test_no_content_is_said(found: Manifest, said: str, layers: str) -> None:
    with pytest.raises(LayerError) as failure:
        placement_of(found, LayerSelector(layers=layers), "x")
    assert f"x has no content: {said}." in str(failure.value) and "layers: all" in str(failure.value)
    assert "archive" not in str(failure.value)
    every = placement_of(found, LayerSelector(layers="all"), "x")
    assert (every.layers, every.content) == ([], "none")
    assert "x has no content" in every.warnings[0]


def test_the_empty_layer_is_taken_when_it_is_asked_for() -> None:
    asked = LayerSelector(media.OCI_EMPTY, "copy")
    assert placement_of(manifest(EMPTY), asked, "x").layers == [EMPTY]
    with pytest.raises(LayerError, match="no layer of media type 'a/b'"):
        placement_of(manifest(EMPTY), LayerSelector("a/b", layers="all"), "x")


@pytest.mark.parametrize(
    ("layers", "selector"),
    [([A], {}), ([A], {"layers": "all"}), ([TAR_1], {"layers": "all"})],
    ids=["files", "all files", "all"],
)
def test_the_number_of_layers_is_bounded(layers: list[Descriptor], selector: dict[str, str]) -> None:
    placement_of(manifest(*layers * MAX_LAYERS), LayerSelector(**selector), "x")
    with pytest.raises(LayerError, match="1001 layers"):
        placement_of(manifest(*layers * (MAX_LAYERS + 1)), LayerSelector(**selector), "x")
    image = manifest(*[TAR_1] * (MAX_LAYERS + 1), config=media.OCI_CONFIG)
    with pytest.raises(LayerError, match="1001 layers"):
        placement_of(image, LayerSelector(), "x")


# What comes to lie in dest


def archive(files: Mapping[str, str]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as members:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            entry.size = len(content)
            members.addfile(entry, io.BytesIO(content.encode()))
    return gzip.compress(target.getvalue())


class Shop:
    """A layout with one artifact, and a directory to pull it into."""

    def __init__(self, folder: Path) -> None:
        self.layout, self.dest = folder / "layout", folder / "dest"

    def publish(
        self, layers: Sequence[tuple[bytes, str, Mapping[str, str]]], config: str = media.OCI_EMPTY, **fields: Any
    ) -> None:
        store = self.layout / "blobs/sha256"
        store.mkdir(parents=True, exist_ok=True)

        def add(data: bytes, media_type: str) -> dict[str, Any]:
            digest = hashlib.sha256(data).hexdigest()
            (store / digest).write_bytes(data)
            return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

        found = [{**add(data, kind), "annotations": dict(annotations)} for data, kind, annotations in layers]
        document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": add(b"{}", config), "layers": found}
        entry = add(json.dumps({**document, **fields}).encode(), media.OCI_MANIFEST)
        entry["annotations"] = {media.ANNOTATION_REF_NAME: "1"}
        (self.layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        (self.layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def pull(
        self,
        *,
        ignore: str | None = None,
        dest: str = "",
        check_mode: bool = False,
        want_diff: bool = False,
        **selector: str,
    ) -> PullResult:
        reference = ReferenceOptions(ref=f"oci-layout:{self.layout}:1")
        options = PullOptions(
            reference, dest or str(self.dest), LayerSelector(**selector), Limits(1 << 20, 100), ignore=ignore
        )
        return pull(options, check_mode=check_mode, want_diff=want_diff)

    def files(self) -> dict[str, str]:
        found = {str(path.relative_to(self.dest)): path for path in self.dest.rglob("*") if path.is_file()}
        return {name: path.read_text() for name, path in sorted(found.items()) if ".oci-artifact" not in name}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def titled(title: str, text: str = "text", media_type: str = TAR) -> tuple[bytes, str, dict[str, str]]:
    return text.encode(), media_type, {media.ANNOTATION_TITLE: title}


EXCLUDED = {"a.yaml": "a", "x.png": "p", ".github/ci.yml": "c", ".gitignore": "g", "old.tar.gz": "t"}


def placement(result: PullResult) -> tuple[str, ...]:
    return tuple(result.as_result()["placement"].values())


def test_titled_files_and_directories(shop: Shop) -> None:
    directory = (archive({"site/": "", "site/x.png": "p", "site/.wh.a": "w"}), IMAGE_LAYER)
    shop.publish(
        [
            *(titled(name, text) for name, text in EXCLUDED.items()),
            (*directory, {media.ANNOTATION_TITLE: "site", **UNPACK}),
            titled(".sourceignore", "*.yaml"),
        ]
    )
    for changed in (True, False):
        result = shop.pull()
        assert (result.changed, placement(result)) == (changed, ("files", "titled", "none"))
        assert "placement" not in result.as_result()["artifact"] and result.as_result()["ignored"] == []
    site = {"site/x.png": "p", "site/.wh.a": "w"}
    assert shop.files() == dict(sorted({**EXCLUDED, **site, ".sourceignore": "*.yaml"}.items()))
    # the task's own patterns count, and nothing else
    own = shop.pull(ignore="*.png")
    assert own.as_result()["ignored"] == ["site/x.png", "x.png"] and placement(own) == ("files", "titled", "patterns")


@pytest.mark.parametrize(
    ("media_type", "config", "content", "exclusions"),
    [
        (media.FLUX_LAYER, media.FLUX_CONFIG, "flux", "default"),
        (TAR, media.FLUX_CONFIG, "flux", "default"),
        (media.HELM_LAYER, media.HELM_CONFIG, "chart", "none"),
        (IMAGE_LAYER, media.OCI_CONFIG, "image", "none"),
        (TAR, media.OCI_EMPTY, "archive", "none"),
    ],
)
@pytest.mark.parametrize("layers", ["auto", "first", "all"])
def test_only_what_was_made_for_flux_has_default_exclusions(
    shop: Shop, media_type: str, config: str, content: str, exclusions: str, layers: str
) -> None:
    shop.publish([(archive(EXCLUDED), media_type, {})], config)
    predicted = shop.pull(layers=layers, check_mode=True)
    assert predicted.as_result()["placement"]["content"] == content
    assert "exclusions" not in predicted.as_result()["placement"], "nobody has looked at the content"
    result = shop.pull(layers=layers)
    assert (placement(result)[0], placement(result)[2]) == (content, exclusions)
    assert list(shop.files()) == (["a.yaml"] if content == "flux" else sorted(EXCLUDED))


@pytest.mark.parametrize(("config", "content"), [(media.FLUX_CONFIG, "flux"), (media.OCI_EMPTY, "archive")])
def test_patterns_of_the_artifact(shop: Shop, config: str, content: str) -> None:
    shop.publish([(archive({**EXCLUDED, ".sourceignore": "*.yaml"}), TAR, {})], config)
    assert placement(shop.pull()) == (content, "first", "patterns")
    left = {*EXCLUDED, ".sourceignore"} - {"a.yaml"} - ({".gitignore"} if content == "flux" else set())
    assert list(shop.files()) == sorted(left)


def test_an_image_is_one_tree(shop: Shop) -> None:
    lower, upper = {"a": "1", "b": "1", ".sourceignore": "*"}, {"a": "2", ".wh.b": "", "c": "2"}
    shop.publish([(archive(each), IMAGE_LAYER, {}) for each in (lower, upper)], media.OCI_CONFIG)
    assert placement(shop.pull()) == ("image", "all", "none")
    assert shop.files() == {".sourceignore": "*", "a": "2", "c": "2"}


def test_nothing_to_place(shop: Shop) -> None:
    shop.publish([titled("a.txt")])
    shop.pull(layers="all")
    shop.publish([(b"{}", media.OCI_EMPTY, {})])
    with pytest.raises(LayerError, match="has no content"):
        shop.pull()
    assert shop.files() == {"a.txt": "text"}, "a failure changes nothing"
    for changed in (True, False):
        result = shop.pull(layers="all")
        assert (result.changed, result.artifact["size"]) == (changed, 0)
        assert placement(result) == ("none", "all", "none") and "layer" not in result.artifact
    assert shop.files() == {}
    copied = shop.pull(layers="all", operation="copy", dest=f"{shop.dest}-copied")
    assert copied.changed and not copied.changes["added"]


@pytest.mark.parametrize("title", ["../up", "/etc/x", "a/../b", "a\nb", "\x1b[0m", ".oci-artifact/state"])
@pytest.mark.parametrize("annotations", [{}, UNPACK], ids=["file", "directory"])
def test_hostile_titles(shop: Shop, title: str, annotations: dict[str, str]) -> None:
    shop.publish([titled("a"), (archive({"x": "x"}), IMAGE_LAYER, {media.ANNOTATION_TITLE: title, **annotations})])
    with pytest.raises(LayerError, match="title"):
        shop.pull()
    assert not shop.dest.exists()


def test_a_directory_that_was_pushed_as_itself(shop: Shop) -> None:
    shop.publish([(archive({"./": "", "./a": "a"}), IMAGE_LAYER, {media.ANNOTATION_TITLE: ".", **UNPACK})])
    shop.pull()
    assert shop.files() == {"a": "a"}


def test_files_that_come_twice(shop: Shop) -> None:
    """As for oras: the same file twice is one file, two files of one name are an error."""
    directory = (archive({"d/": "", "d/a": "text"}), IMAGE_LAYER, {media.ANNOTATION_TITLE: "d", **UNPACK})
    shop.publish(
        [titled("a"), titled("b"), titled("a"), directory, titled("d/a"), titled("empty", ""), titled("e2", "")]
    )
    shop.pull()
    assert shop.files() == {"a": "text", "b": "text", "d/a": "text", "e2": "", "empty": ""}
    for clash in ([titled("a"), titled("a", "tex2")], [titled("a"), titled("a/b")], [directory, titled("d/a", "tex2")]):
        shop.publish(clash)
        with pytest.raises(LayerError, match="where the artifact has another entry"):
            shop.pull()


def test_hints_name_the_option_that_helps(shop: Shop) -> None:
    shop.publish([titled("notes.txt")])
    with pytest.raises(LayerError) as failure:
        shop.pull(layers="first")
    assert "is not an archive" in str(failure.value) and "'notes.txt', as which layers: all places it" in str(
        failure.value
    )
    shop.pull(layers="all")
    assert shop.files() == {"notes.txt": "text"}
    shop.publish([(b"text" * 200, "text/plain", {})])
    with pytest.raises(LayerError) as failure:
        shop.pull()
    assert "layers:" not in str(failure.value)
    assert "Use layer_selector.operation=copy to keep the bytes as they are" in str(failure.value)

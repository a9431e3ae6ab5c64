# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each type makes of files on disk: manifest, config, layers; and what is refused."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import BuildError, InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.creation_time import EPOCH, creation_time
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import (
    BuildOptions,
    Built,
    Input,
    build,
    parse_inputs,
    with_subject,
)

DIGEST = "sha256:" + "a" * 64


@pytest.fixture(autouse=True)
def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


@pytest.fixture
def workspace(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "deploy"
    (root / "sub").mkdir(parents=True)
    (root / "a.yaml").write_text("a: 1\n")
    (root / "sub/run.sh").write_text("#!/bin/sh\n")
    (root / "sub/run.sh").chmod(0o700)
    (root / "logo.png").write_bytes(b"png")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("secret\n")
    return root


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    root = tmp_path / "demo"
    (root / "templates").mkdir(parents=True)
    (root / "Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 1.2.3+build\n")
    (root / "templates/map.yaml").write_text("kind: ConfigMap\n")
    return root


def content(source: BlobSource) -> bytes:
    with source.open() as stream:
        data = stream.read()
    assert (digest_of(data), len(data)) == (source.descriptor.digest, source.descriptor.size)
    return data


def document(built: Built) -> Any:
    return json.loads(built.manifest.raw)


def members(source: BlobSource) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content(source)), mode="r:gz") as archive:
        return {member.name.rstrip("/"): member for member in archive}


# flux


def test_flux(tree: Path, workspace: str) -> None:
    options = BuildOptions([Input(str(tree))], source="https://git.example.com/x?a=b", revision="main@sha1:1")
    built = build(options, workspace)
    found = document(built)
    assert found["mediaType"] == media.OCI_MANIFEST and found["schemaVersion"] == 2
    assert "artifactType" not in found  # as flux push artifact
    assert found["config"]["mediaType"] == media.FLUX_CONFIG
    assert [layer["mediaType"] for layer in found["layers"]] == [media.FLUX_LAYER]
    assert found["annotations"] == {
        media.ANNOTATION_CREATED: EPOCH,
        media.ANNOTATION_SOURCE: "https://git.example.com/x?a=b",
        media.ANNOTATION_REVISION: "main@sha1:1",
    }
    config = json.loads(content(built.config))
    assert config["rootfs"] == {"type": "layers", "diff_ids": [built.layers[0].diff_id]}
    assert config["created"] == EPOCH
    packed = members(built.layers[0].source)
    assert sorted(packed) == ["a.yaml", "sub", "sub/run.sh"]  # neither version control files nor pictures
    assert [packed[name].mode for name in sorted(packed)] == [0o644, 0o755, 0o755]
    assert built.tag == "" and not built.has_own_time


def test_flux_of_one_file(tree: Path, workspace: str) -> None:
    assert list(members(build(BuildOptions([Input(str(tree / "a.yaml"))]), workspace).layers[0].source)) == ["a.yaml"]


def test_flux_of_an_empty_directory(tmp_path: Path, workspace: str) -> None:
    assert members(build(BuildOptions([Input(str(tmp_path))]), workspace).layers[0].source) == {}


def test_media_types_and_artifact_type_as_given(tree: Path, workspace: str) -> None:
    types = {
        "artifact_type": "application/vnd.example+type",
        "config_media_type": "application/vnd.example.config+json",
        "layer_media_type": "application/vnd.example.layer; charset=utf-8",
    }
    for kind in ("flux", "files"):
        found = document(build(BuildOptions([Input(str(tree))], type=kind, **types), workspace))
        assert found["artifactType"] == types["artifact_type"]
        assert found["config"]["mediaType"] == types["config_media_type"]
        assert found["layers"][0]["mediaType"] == types["layer_media_type"]


@pytest.mark.parametrize("option", ["artifact_type", "config_media_type", "layer_media_type"])
@pytest.mark.parametrize(
    "value", ["text", "text/", "/plain", "text/plain\n", "te xt/plain", "text/plain/x", "a" * 200 + "/b"]
)
def test_media_types_are_checked(option: str, value: str, tree: Path, workspace: str) -> None:
    with pytest.raises(InvalidOption, match=option):
        build(BuildOptions([Input(str(tree))], type="files", **{option: value}), workspace)  # type: ignore[arg-type]


def test_ignore_replaces_the_defaults(tree: Path, workspace: str) -> None:
    built = build(BuildOptions([Input(str(tree))], ignore="*.yaml\n"), workspace)
    assert sorted(members(built.layers[0].source)) == ["logo.png", "sub", "sub/run.sh"]
    everything = build(BuildOptions([Input(str(tree))], ignore="nothing"), workspace)
    assert sorted(members(everything.layers[0].source)) == ["a.yaml", "logo.png", "sub", "sub/run.sh"]


def test_record_of_a_pull_is_not_published(tree: Path, workspace: str) -> None:
    (tree / ".oci-artifact").mkdir()
    (tree / ".oci-artifact/state.json").write_text("{}")
    assert ".oci-artifact" not in members(build(BuildOptions([Input(str(tree))]), workspace).layers[0].source)


# annotations and time


def test_annotations_win(tree: Path, workspace: str) -> None:
    own = {media.ANNOTATION_SOURCE: "mine", "key": "a=b=c", "org.example/ünïcode": "✓\n"}
    built = build(BuildOptions([Input(str(tree))], source="theirs", annotations=own), workspace)
    assert document(built)["annotations"] == {media.ANNOTATION_CREATED: EPOCH, **own}


@pytest.mark.parametrize(
    "annotations",
    [{"key": "\udce4"}, {f"key{number}": "" for number in range(1001)}, {"key": "x" * 5_000_000}],
    ids=["no text", "too many", "too long"],
)
def test_annotations_that_no_registry_takes(annotations: dict[str, str], tree: Path, workspace: str) -> None:
    with pytest.raises(InvalidOption, match="nnotation|manifest"):
        build(BuildOptions([Input(str(tree))], annotations=annotations), workspace)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("2026-11-21T02:00:00Z", None),
        ("2026-11-21T02:00:00.123456789+05:30", None),
        ("2024-02-29T23:59:59-23:59", None),
        ("2026-11-21 02:00:00+00:00", "2026-11-21T02:00:00+00:00"),  # how YAML's own times arrive
        ("2026-11-21t02:00:00z", "2026-11-21T02:00:00Z"),
    ],
)
def test_creation_time_as_given(given: str, wanted: str | None) -> None:
    assert creation_time(given) == (wanted or given)


@pytest.mark.parametrize(
    "given",
    [
        "2026-11-21",
        "now",
        "2026-11-21T02:00:00",
        "2026-13-21T02:00:00Z",
        "2025-02-29T02:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T02:00:60Z",
        "2026-11-21T02:00:00+24:00",
        "2026-11-21T02:00:00Z\n",
        "٢٠٢٦-11-21T02:00:00Z",
        " ",
    ],
)
def test_creation_time_is_checked(given: str) -> None:
    with pytest.raises(InvalidOption, match="RFC 3339"):
        creation_time(given)


def test_source_date_epoch(monkeypatch: pytest.MonkeyPatch, tree: Path, workspace: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert creation_time("") == "2023-11-14T22:13:20Z"
    assert creation_time("2026-11-21T02:00:00Z") == "2026-11-21T02:00:00Z"
    for kind in ("flux", "files"):
        built = build(BuildOptions([Input(str(tree))], type=kind), workspace)
        assert document(built)["annotations"][media.ANNOTATION_CREATED] == "2023-11-14T22:13:20Z"
        assert built.has_own_time


@pytest.mark.parametrize("value", ["-1", "1.5", "soon", "٣", "9" * 12])
def test_source_date_epoch_is_checked(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    with pytest.raises(InvalidOption, match="SOURCE_DATE_EPOCH"):
        creation_time("")


# files


def test_files(tree: Path, workspace: str) -> None:
    inputs = [Input(str(tree / "a.yaml"), "text/yaml", "conf/a.yaml"), Input(str(tree / "logo.png")), Input(f"{tree}/")]
    built = build(BuildOptions(inputs, type="files"), workspace)
    found = document(built)
    assert found["artifactType"] == "application/vnd.unknown.artifact.v1"
    assert found["config"] == {"mediaType": media.OCI_EMPTY, "digest": digest_of(b"{}"), "size": 2}
    assert "annotations" not in found
    assert [layer["mediaType"] for layer in found["layers"]] == ["text/yaml", media.OCTET_STREAM, media.OCI_LAYER_GZIP]
    titles = [layer["annotations"][media.ANNOTATION_TITLE] for layer in found["layers"]]
    assert titles == ["conf/a.yaml", "logo.png", "deploy"]
    assert found["layers"][2]["annotations"] == {
        media.ANNOTATION_TITLE: "deploy",
        media.ANNOTATION_ORAS_UNPACK: "true",
        media.ANNOTATION_ORAS_DIGEST: built.layers[2].diff_id,
    }
    assert content(built.layers[1].source) == b"png"
    # oras packs everything under the directory's name; version control files are left out all the same
    packed = members(built.layers[2].source)
    assert set(packed) - {"deploy"} == {"deploy/a.yaml", "deploy/logo.png", "deploy/sub", "deploy/sub/run.sh"}


def test_config_type_takes_the_place_of_an_artifact_type(tree: Path, workspace: str) -> None:
    options = BuildOptions([Input(str(tree / "a.yaml"))], type="files", config_media_type="application/x.y")
    built = build(options, workspace)
    assert "artifactType" not in document(built) and built.manifest.effective_artifact_type == "application/x.y"


def test_current_directory_has_its_name(tree: Path, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    built = build(BuildOptions([Input(".")], type="files"), workspace)
    assert built.layers[0].source.descriptor.annotations[media.ANNOTATION_TITLE] == "deploy"


def test_two_of_one_name(tree: Path, workspace: str) -> None:
    (tree / "sub/a.yaml").write_text("other")
    inputs = [Input(str(tree / "a.yaml")), Input(str(tree / "sub/a.yaml"))]
    with pytest.raises(InvalidOption, match=r"the name 'a\.yaml'"):
        build(BuildOptions(inputs, type="files"), workspace)


@pytest.mark.parametrize("name", [b"a\nb", b"\xff\xfe", b"a\x1b[31m", b".oci-artifact"])
def test_file_whose_name_no_pull_would_keep(name: bytes, tmp_path: Path, workspace: str) -> None:
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
    Path(path).write_text("x")
    with pytest.raises(BuildError, match="with 'name'"):
        build(BuildOptions([Input(path)], type="files"), workspace)
    built = build(BuildOptions([Input(path, name="plain")], type="files"), workspace)
    assert content(built.layers[0].source) == b"x"


@pytest.mark.parametrize("name", ["x" * 250 + ".yaml", "ü ✓ 'quoted' \"twice\" $HOME", "-rf", "a:b@c", "%20", "~"])
def test_odd_names_are_kept(name: str, tmp_path: Path, workspace: str) -> None:
    (tmp_path / name).write_text("x")
    for kind in ("flux", "files"):
        built = build(BuildOptions([Input(str(tmp_path / name))], type=kind), workspace)
        layer = built.layers[0].source
        found = list(members(layer)) if kind == "flux" else [layer.descriptor.annotations[media.ANNOTATION_TITLE]]
        assert found == [name]


@pytest.mark.parametrize("name", ["a", "a/b.txt", "..a", "a..", "ä"])
def test_titles(name: str) -> None:
    assert parse_inputs({"path": "x", "name": name}, "files")[0].name == name


@pytest.mark.parametrize(
    "name",
    ["/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\n", "\udcff", "ü" * 128, "a/" * 600 + "a", ".oci-artifact"],
)
def test_no_titles(name: str) -> None:
    with pytest.raises(InvalidOption, match="not a plain, printable relative path"):
        parse_inputs({"path": "x", "name": name}, "files")


# path in all its forms


def test_path_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("PLACE", "/place")
    assert parse_inputs("~/x", "flux") == [Input("/home/u/x")]
    assert parse_inputs(["/x"], "helm") == [Input("/x")]
    mixed = ["$PLACE/a", {"path": "/b", "media_type": "text/plain", "name": "c/d"}, {"path": "/e", "name": None}]
    assert parse_inputs(mixed, "files") == [Input("/place/a"), Input("/b", "text/plain", "c/d"), Input("/e")]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (["/a", "/b"], "flux"),
        ([], "flux"),
        (["/a", "/b"], "helm"),
        (None, "files"),
        (1, "files"),
        ([["/a"]], "files"),
        ({"name": "x"}, "files"),
        ({"path": "/a", "mode": 1}, "files"),
        ({"path": "/a", "media_type": "x"}, "files"),
        ({"path": "/a", "name": "../x"}, "files"),
        ({"path": "/a", "name": "/x"}, "files"),
        ("", "flux"),
        ([""], "files"),
    ],
)
def test_path_that_is_none(value: Any, kind: str) -> None:
    with pytest.raises(InvalidOption, match="'path'"):
        parse_inputs(value, kind)


def test_nothing_to_publish(workspace: str) -> None:
    with pytest.raises(InvalidOption, match="names nothing"):
        build(BuildOptions(parse_inputs([], "files"), type="files"), workspace)


@pytest.mark.parametrize("kind", ["flux", "helm", "files"])
def test_missing_path(kind: str, tmp_path: Path, workspace: str) -> None:
    with pytest.raises(BuildError, match="There is no .*/missing"):
        build(BuildOptions([Input(str(tmp_path / "missing"))], type=kind), workspace)


@pytest.mark.parametrize("kind", ["flux", "helm", "files"])
@pytest.mark.parametrize("what", ["socket", "fifo", "dangling"])
def test_what_is_no_file(kind: str, what: str, tmp_path: Path, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        if what == "socket":
            server.bind("it")
        elif what == "fifo":
            os.mkfifo("it")
        else:
            os.symlink("nowhere", "it")
        with pytest.raises(BuildError, match="it"):
            build(BuildOptions([Input("it")], type=kind), workspace)


@pytest.mark.parametrize("kind", ["flux", "files"])
def test_what_is_no_file_in_a_directory(kind: str, tree: Path, workspace: str) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(BuildError, match=r"deploy/pipe.*ignore"):
        build(BuildOptions([Input(str(tree))], type=kind), workspace)
    build(BuildOptions([Input(str(tree))], type=kind, ignore="pipe"), workspace)


def test_symbolic_links(tree: Path, workspace: str, tmp_path: Path) -> None:
    (tree / "sub/inside").symlink_to("../a.yaml")
    (tmp_path / "link").symlink_to(tree)
    packed = members(build(BuildOptions([Input(str(tmp_path / "link"))]), workspace).layers[0].source)
    assert packed["sub/inside"].linkname == "../a.yaml"
    (tree / "outside").symlink_to("../../etc/passwd")
    with pytest.raises(BuildError, match="outside of"):
        build(BuildOptions([Input(str(tree))]), workspace)


@pytest.mark.parametrize("kind", ["flux", "files"])
@pytest.mark.parametrize("path", ["", "a.yaml"])
def test_unreadable(kind: str, path: str, tree: Path, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: Any, *arguments: Any, **keywords: Any) -> int:
        if os.fsdecode(path).endswith("a.yaml"):
            raise PermissionError(errno.EACCES, "Permission denied", path)  # root would read it all the same
        return opened(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BuildError, match=r"a\.yaml cannot be read: Permission denied"):
        build(BuildOptions([Input(str(tree / path))], type=kind), workspace)


def test_file_that_changed_since_it_was_hashed(tree: Path, workspace: str) -> None:
    built = build(BuildOptions([Input(str(tree / "a.yaml"))], type="files"), workspace)
    (tree / "a.yaml").write_text("longer than it was")
    with pytest.raises(BuildError, match="changed while it was published"):
        built.layers[0].source.open()


# helm


def test_chart_directory(chart: Path, workspace: str) -> None:
    built = build(BuildOptions([Input(str(chart))], type="helm", annotations={"key": "a=b"}), workspace)
    found = document(built)
    assert built.tag == "1.2.3_build"
    assert found["config"]["mediaType"] == media.HELM_CONFIG
    assert [layer["mediaType"] for layer in found["layers"]] == [media.HELM_LAYER]
    assert found["annotations"] == {
        media.ANNOTATION_CREATED: EPOCH,
        media.ANNOTATION_TITLE: "demo",
        media.ANNOTATION_VERSION: "1.2.3+build",
        "key": "a=b",
    }
    assert set(members(built.layers[0].source)) == {"demo/Chart.yaml", "demo/templates/map.yaml"}


def provenance_of(data: bytes, name: str = "demo-1.2.3+build.tgz") -> str:
    return (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: demo\n\n...\n"
        f"files:\n  {name}: {digest_of(data)}\n\n-----BEGIN PGP SIGNATURE-----\n\n=\n-----END PGP SIGNATURE-----"
    )


def test_packaged_chart_with_provenance(chart: Path, workspace: str, tmp_path: Path) -> None:
    packed = build(BuildOptions([Input(str(chart))], type="helm"), workspace).layers[0].source
    archive = tmp_path / "demo.tgz"
    archive.write_bytes(content(packed))
    words = provenance_of(archive.read_bytes())
    beside = tmp_path / "demo.tgz.prov"
    beside.write_text(words)
    elsewhere = tmp_path / "elsewhere.prov"
    elsewhere.write_text(provenance_of(archive.read_bytes(), "other.tgz"))
    for path, given, wanted in (
        (archive, None, words),
        (archive, str(elsewhere), elsewhere.read_text()),
        (archive, "", ""),
        # a directory has none, but one may be given for what it is packaged to
        (chart, None, ""),
        (chart, str(beside), words),
    ):
        built = build(BuildOptions([Input(str(path))], type="helm", provenance=given), workspace)
        by_type = {layer.source.descriptor.media_type: content(layer.source) for layer in built.layers}
        assert by_type.pop(media.HELM_LAYER) == archive.read_bytes()
        assert by_type == ({media.HELM_PROVENANCE: wanted.encode()} if wanted else {})
        digests = [layer.source.descriptor.digest for layer in built.layers]
        assert digests == sorted(digests)  # as helm orders them
        assert ["'helm pull --verify'" in text for text in built.warnings] == [True] * (given == str(elsewhere))
        assert built.chart == {"name": "demo", "version": "1.2.3+build", "app_version": ""}
    beside.write_text(provenance_of(b"another"))
    with pytest.raises(BuildError, match="is the provenance of another archive"):
        build(BuildOptions([Input(str(archive))], type="helm"), workspace)
    with pytest.raises(InvalidOption, match="type: flux"):
        build(BuildOptions([Input(str(archive))], type="flux", provenance="x"), workspace)


def test_a_charts_own_time(chart: Path, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def created(given: str = "") -> tuple[str, bool]:
        built = build(BuildOptions([Input(str(chart))], type="helm", created=given), workspace)
        return built.manifest.annotations[media.ANNOTATION_CREATED], built.has_own_time

    assert created() == (EPOCH, False)
    assert created("2026-01-01T00:00:00Z") == ("2026-01-01T00:00:00Z", True)
    with open(chart / "Chart.yaml", "a") as stream:
        stream.write("annotations:\n  org.opencontainers.image.created: '2020-01-01T00:00:00Z'\n")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert created() == ("2020-01-01T00:00:00Z", True)
    assert created("2026-01-01T00:00:00Z") == ("2026-01-01T00:00:00Z", True)


def test_options_without_meaning_for_charts(chart: Path, workspace: str) -> None:
    built = build(BuildOptions([Input(str(chart))], type="helm", ignore="templates/"), workspace)
    assert any("'ignore' has no effect" in warning for warning in built.warnings)
    assert "demo/templates/map.yaml" in members(built.layers[0].source)
    with pytest.raises(InvalidOption, match="Helm's own"):
        build(BuildOptions([Input(str(chart))], type="helm", artifact_type="application/x"), workspace)


def test_no_chart(tree: Path, workspace: str) -> None:
    for path in (tree, tree / "a.yaml"):
        with pytest.raises(BuildError):
            build(BuildOptions([Input(str(path))], type="helm"), workspace)


# referrers


def test_subject(tree: Path, workspace: str) -> None:
    plain = build(BuildOptions([Input(str(tree))]), workspace)
    subject = Descriptor(media.OCI_INDEX, DIGEST, 7, annotations={"not": "wanted"})
    built = with_subject(plain, subject)
    assert document(built)["subject"] == {"mediaType": media.OCI_INDEX, "digest": DIGEST, "size": 7}
    assert built.manifest.descriptor.digest == digest_of(built.manifest.raw) != plain.manifest.descriptor.digest
    assert built.layers == plain.layers


def test_records_of_pulls_are_never_published(tmp_path: Path) -> None:
    source, workspace = tmp_path / "source", tmp_path / "work"
    workspace.mkdir()
    for name in (".oci-artifact", ".oci-artifact.0123456789ab", ".x.tgz.oci-artifact", "charts/.oci-artifact"):
        (source / name).mkdir(parents=True)
        (source / name / "state").write_text("{}")
    (source / "charts" / "x.tgz").write_bytes(b"chart")
    built = build(BuildOptions([Input(str(source))]), str(workspace))
    assert set(built.layers[0].tree or {}) == {"charts", "charts/x.tgz"}

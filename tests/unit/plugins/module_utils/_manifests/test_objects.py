# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of manifests, their order, and the bookkeeping of ApplySets."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    DigestMismatch,
    InvalidOption,
    LayerError,
    ManifestsConflict,
    ManifestsInvalid,
    MissingDependency,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests import objects
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.applyset import (
    OUR_TOOLING,
    Contents,
    contents_of,
    parse_found,
    parse_parent,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.build import build_objects
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.content import read_layers
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.kustomize import kustomize_build
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.objects import ManifestObject
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.stages import staged
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of

OPTIONS: dict[str, Any] = dict.fromkeys(["path", "patches", "images", "common_metadata", "substitute"])


def item(kind: str, name: str = "x", namespace: str = "", version: str = "v1", **more: Any) -> ManifestObject:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return ManifestObject({"apiVersion": version, "kind": kind, "metadata": metadata, **more})


def layer(folder: Path, data: bytes, title: str = "") -> dict[str, Any]:
    path = folder / digest_of(data).replace(":", "-")
    path.write_bytes(data)
    return {"path": str(path), "digest": digest_of(data), "title": title}


def tar(*entries: tuple[str, bytes | None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data or b"")
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info, io.BytesIO(data or b""))
    return out.getvalue()


def test_layers_are_archives_and_files_with_titles(tmp_path: Path) -> None:
    archive = layer(tmp_path, tar(("./a/b.yaml", b"1"), ("link", None)))
    found = read_layers([archive, layer(tmp_path, b"2", "a/c.yaml")], "app")
    assert found == {"a/b.yaml": b"1", "a/c.yaml": b"2"}


@pytest.mark.parametrize("name", ["../a.yaml", "/a.yaml", "a/../../b.yaml"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LayerError, match="does not lie in"):
        read_layers([layer(tmp_path, tar((name, b"1")))], "app")


def test_a_cache_that_others_write_to_is_checked(tmp_path: Path) -> None:
    entry = layer(tmp_path, tar(("a.yaml", b"1")))
    Path(entry["path"]).write_bytes(b"other")
    with pytest.raises(DigestMismatch):
        read_layers([entry], "app")
    Path(entry["path"]).unlink()
    with pytest.raises(StorageError, match="Run the task again"):
        read_layers([entry], "app")


def test_build_reads_what_lies_under_the_path() -> None:
    files = {
        "apps/a.yaml": b"kind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, status: 1}]\n---\n",
        "apps/sub/b.json": b'{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b", "uid": "1"}}',
        "apps/.hidden.yaml": b"{", "apps/README.md": b"{", "other.yaml": b"{",
    }  # fmt: skip
    built = build_objects(files, {**OPTIONS, "path": "./apps/"}, "app")
    assert [str(each) for each in built] == ["ConfigMap a", "Secret b"]
    assert "status" not in built[0].document and "uid" not in built[1].metadata


@pytest.mark.parametrize(
    ("files", "path", "words"),
    [
        ({"a.yaml": b"a: ["}, "", "a.yaml of app"),
        ({"a.yaml": b"\xff"}, "", "UTF-8"),
        ({"a.yaml": b"kind: ConfigMap"}, "", "not an object with a name"),
        ({"a.yaml": b"{apiVersion: v1, kind: Pod, metadata: {generateName: a-}}"}, "", "generateName"),
        ({"a.yaml": b"{apiVersion: v1, kind: Pod, metadata: [name]}"}, "", "not an object with a name"),
        (
            {"a.yaml": b"{apiVersion: v1, kind: Pod, metadata: {name: ../secrets/a}}"},
            "",
            "would lead to",
        ),
        ({"a.yaml": b"{apiVersion: v1, kind: Pod, metadata: {name: ..}}"}, "", "would lead to"),
        ({"a.yaml": b"{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: ../b}}"}, "", "would lead to"),
        ({"a.yaml": b"{apiVersion: a/../v1, kind: Pod, metadata: {name: a}}"}, "", "would lead to"),
        ({"a.yaml": b"{apiVersion: a, kind: b, metadata: {name: 'ENC[data:a/b]'}, sops: {mac: c}}"}, "", "with SOPS"),
        ({"a.yaml": b""}, "none", "no directory 'none'"),
        # it would prune the whole set
        ({"README.md": b"", "a/.hidden.yaml": b""}, "", "has no manifests"),
        ({"a.yaml": b""}, "a/../..", "leads out"),
        ({"kustomization.yaml": b"helmCharts: [{name: a}]"}, "", "helmCharts"),
        ({"kustomization.yaml": b"HelmCharts: [{name: a}]"}, "", "HelmCharts"),
    ],
)
def test_bad_manifests_are_refused(files: dict[str, bytes], path: str, words: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/none/{name}")
    with pytest.raises(ManifestsInvalid, match=words):
        build_objects(files, {**OPTIONS, "path": path}, "app")


def test_kustomizations_below_a_directory_are_built(monkeypatch: Any) -> None:
    files = {
        "apps/a/kustomization.yaml": b"resources: [cm.yaml]", "apps/a/cm.yaml": b"a: 1", "apps/a/deep/patch.yaml": b"{",
        "apps/a/deep/kustomization.yml": b"{}", "apps/b/plain.yaml": b"b: 1", "apps/b/README.md": b"", "c.yaml": b"{",
    }  # fmt: skip
    built: list[tuple[str, Any]] = []

    def build(files: Any, path: str, *_arguments: Any, **_more: Any) -> list[Any]:
        built.append((path, files["apps/kustomization.yaml"]))
        return []

    monkeypatch.setattr(f"{build_objects.__module__.rpartition('.')[0]}.kustomize.kustomize_build", build)
    build_objects(files, {**OPTIONS, "path": "./apps/"}, "app")
    ((path, text),) = built
    assert path == "./apps/" and json.loads(text)["resources"] == ["./a", "./b/plain.yaml"]


def test_names_are_checked_when_variables_have_made_them() -> None:
    files = {"a.yaml": b"{apiVersion: v1, kind: Pod, metadata: {name: '${a/b/c}', namespace: '${d%e}'}}"}
    (item,) = build_objects(files, {**OPTIONS, "substitute": {"a": "ab", "d": "de"}}, "app")
    assert (item.name, item.namespace) == ("ac", "d")
    with pytest.raises(ManifestsInvalid, match="would lead to"):
        build_objects(files, {**OPTIONS, "substitute": {"a": "../secrets/b"}}, "app")


def test_no_variable_is_put_into_common_metadata() -> None:
    """Flux adds it to what was substituted; there, it can neither be changed by a variable nor turn this off."""
    files = {"a.yaml": b"{apiVersion: v1, kind: ConfigMap, metadata: {name: '${a}'}}"}
    common = {"annotations": {"note": "${a}", "cloudnative.artifacts/substitute": "disabled"}}
    (item,) = build_objects(files, {**OPTIONS, "common_metadata": common, "substitute": {"a": "b"}}, "app")
    assert item.name == "b" and item.metadata["annotations"]["note"] == "${a}"


GENERATOR = b"{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: a}, files: [a=https://example.com/a]}"


@pytest.mark.parametrize(
    "files",
    [
        {"": b"resources: ['https://example.com/a']"},
        {"": b"resources: ['git@example.com:a/b']"},
        {"": b"resources: [github.com/a/b]"},
        {"": b"Resources: ['HTTP://example.com/a']"},
        {"": b"openapi: {path: 'https://example.com/a'}"},
        {"": b"patches: [{path: 'https://example.com/a', target: {kind: Pod}}]"},
        {"": b"patchesJson6902: [{path: 'https://example.com/a'}]"},
        {"": b"patchesStrategicMerge: ['https://example.com/a']"},
        {"": b"replacements: [{path: 'https://example.com/a'}]"},
        {"": b"configMapGenerator: [{name: a, files: ['a=https://example.com/a']}]"},
        {"": b"secretGenerator: [{name: a, envs: ['https://example.com/a']}]"},
        {"": b"secretGenerator: [{name: a, Env: 'https://example.com/a'}]"},
        {"": b"generators:\n- |-\n  # inline\n  " + GENERATOR},
        {"": b"generators: [a]", "a": GENERATOR},
        {
            "": b"transformers: [a]",
            "a": b"kind: List\nitems: [" + GENERATOR.replace(b"builtin", b'"bu\\x69ltin"') + b"]",
        },
        {"": b"resources: [sub]", "sub/Kustomization": b"components: ['https://example.com/a']"},
    ],
)
def test_a_kustomization_names_nothing_outside_of_the_artifact(files: dict[str, bytes], monkeypatch: Any) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/none/{name}")
    with pytest.raises(ManifestsInvalid, match="which is not in the artifact"):
        build_objects({name or "kustomization.yaml": data for name, data in files.items()}, OPTIONS, "app")


@pytest.mark.parametrize("name", ["kustomization.yaml", "a.yaml"])
def test_what_kustomize_reads_in_another_way_is_refused(name: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/none/{name}")
    hidden = b"{apiVersion: builtin, kind: ConfigMapGenerator, files: [!!binary aHR0cHM6Ly9leGFtcGxlLmNvbS9h]}"
    with pytest.raises(ManifestsInvalid, match=f"{name} of app cannot be read"):
        build_objects({"kustomization.yaml": b"generators: [a.yaml]", name: hidden, "README": b"a: ["}, OPTIONS, "app")


def test_urls_that_are_text_in_a_kustomization_are_no_names_of_files(monkeypatch: Any) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/none/{name}")
    text = b"""
    configMapGenerator: [{name: a, literals: ['url=https://example.com/a'], files: [a.txt]}]
    commonAnnotations: {home: https://example.com}
    patches: [{patch: '[{op: add, path: /data/url, value: "https://example.com"}]', target: {kind: ConfigMap}}]
    """
    with pytest.raises(MissingDependency, match="cannot be run"):
        build_objects({"kustomization.yaml": text, "a.txt": b"https://example.com"}, OPTIONS, "app")


def test_too_many_objects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MAX_OBJECTS", 2)
    files = {f"{number}.yaml": b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}" for number in range(3)}
    with pytest.raises(ManifestsInvalid, match="more than 2 objects"):
        build_objects(files, OPTIONS, "app")


def test_stages_have_definitions_first_and_webhooks_last() -> None:
    kinds = ["ValidatingWebhookConfiguration", "Widget", "Deployment", "StorageClass", "ConfigMap", "Namespace",
             "CustomResourceDefinition", "ServiceAccount"]  # fmt: skip
    found = [[each.kind for each in stage] for stage in staged([item(kind) for kind in kinds])]
    assert found == [
        ["CustomResourceDefinition", "Namespace"], ["StorageClass"],
        ["ServiceAccount", "ConfigMap", "Deployment", "Widget", "ValidatingWebhookConfiguration"],
    ]  # fmt: skip


def test_a_target_namespace_moves_bindings_and_namespaces_as_well() -> None:
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": "old"} for name in ("own", "default", "foreign")]
    items = [item("ServiceAccount", "own", "old"), item("RoleBinding", subjects=subjects), item("Namespace", "old")]
    objects.with_namespace(items, "new")
    assert [each["namespace"] for each in subjects] == ["new", "new", "old"]
    assert items[0].namespace == "" and items[2].name == "new"


# -- ApplySets


def test_the_id_is_the_one_that_kubectl_makes() -> None:
    # sha256 of "mysecret.my-ns.Secret.", as kubectl's own tests have it
    import base64
    import hashlib

    wanted = base64.urlsafe_b64encode(hashlib.sha256(b"mysecret.my-ns.Secret.").digest()).decode().rstrip("=")
    assert parse_parent("mysecret", "my-ns").id == f"applyset-{wanted}-v1"
    assert parse_parent("configmaps/a", "b").path == "/api/v1/namespaces/b/configmaps/a"
    for text in ("deployments/a", "", "configmaps/", "a/b/c"):
        with pytest.raises(InvalidOption):
            parse_parent(text, "b")


def test_parents_of_others_are_refused() -> None:
    ref = parse_parent("a", "b")
    document = ref.document(contents_of([("apps/v1", "Deployment", "c"), ("v1", "Secret", "b")]))
    found = parse_found(ref, document)
    assert found.contents == Contents(frozenset({"Deployment.apps", "Secret"}), frozenset({"b", "c"}))
    assert document["metadata"]["annotations"]["applyset.kubernetes.io/additional-namespaces"] == "c"
    assert OUR_TOOLING.startswith("kubectl/") and not parse_found(ref, None).exists
    with pytest.raises(ManifestsConflict, match="not the parent"):
        parse_found(ref, {"metadata": {"name": "a"}})
    document["metadata"]["annotations"]["applyset.kubernetes.io/tooling"] = "kpt/v1"
    with pytest.raises(ManifestsConflict, match="kpt"):
        parse_found(ref, document)


def test_what_was_noted_does_not_hold_after_kubectl() -> None:
    ref = parse_parent("a", "b")
    document = ref.document(Contents())
    annotations = document["metadata"]["annotations"]
    annotations["cloudnative.artifacts/manifests"] = '{"ready": true, "history": [{"digest": "x"}, 1]}'
    assert parse_found(ref, document).record["ready"] is True
    annotations["applyset.kubernetes.io/tooling"] = "kubectl/v1.36.1"
    found = parse_found(ref, document)
    assert found.record == {} and found.history == ({"digest": "x"},)
    annotations["cloudnative.artifacts/manifests"] = "[[["
    assert parse_found(ref, document).record == {}


def test_kustomize_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(Exception, match="Install kustomize or kubectl"):
        kustomize_build({"kustomization.yaml": b"resources: []"}, "", {}, "app")

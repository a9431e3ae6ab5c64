# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts between this collection's modules and flux, oras, skopeo and crane: identical bytes, both ways."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

PUSH = "cloudnative.artifacts.oci_artifact_push"
PULL = "cloudnative.artifacts.oci_artifact_pull"
INFO = "cloudnative.artifacts.oci_artifact_info"
SBOM = "application/vnd.example.sbom"


def run(ansible: AnsibleRunner, *tasks: dict[str, Any]) -> list[TaskResult]:
    """Tasks written as {module: options}; every one has to work."""
    for task in tasks:
        ((_module, options),) = task.items()
        options["insecure"] = True
    results = ansible.tasks([{"name": str(number), **task} for number, task in enumerate(tasks)])
    for result in results:
        assert not result.failed, result.get("msg")
    assert len(results) == len(tasks)
    return results


def make_tree(root: Path) -> Path:
    files = {
        "app.yaml": b"kind: ConfigMap\n",
        "bin/start": b"#!/bin/sh\nexec true\n",
        "bin/data.bin": bytes(range(256)) * 300,
        "ünïcode ✓/" + "long" * 30 + ".txt": b"long\n",
        "empty.txt": b"",
    }
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "bin/start").chmod(0o755)
    return root


def tree(root: Path) -> dict[str, tuple[bytes, bool]]:
    """Every file with its bytes and whether it may be executed, but for the record of a pull."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part.startswith(".oci-artifact") for part in path.parts)
    }


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Place:
    """A registry's repository or a layout, as each tool names it."""

    ours: str
    oras: str
    oras_flags: tuple[str, ...]
    skopeo: str
    host: str = ""

    def oras_ref(self, tag: str) -> tuple[str, ...]:
        return (*self.oras_flags, f"{self.oras}:{tag}")


@pytest.fixture(params=["registry", "layout"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "layout":
        path = f"{tmp_path}/layout"
        return Place(f"oci-layout:{path}", path, ("--oci-layout",), f"oci:{path}")
    server: RegistryServer = request.getfixturevalue("registry")
    name = f"{server.host}/interop/{request.node.originalname.replace('_', '-')}"
    return Place(name, name, ("--plain-http",), f"docker://{name}", server.host)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "content")


def skopeo_copy(tools: Tools, source: str, target: str, *flags: str) -> None:
    """Both ends without TLS where they are registries; --preserve-digests is an error where bytes would change."""
    if source.startswith("docker://"):
        flags = (*flags, "--src-tls-verify=false")
    if target.startswith("docker://"):
        flags = (*flags, "--dest-tls-verify=false")
    tools.run("skopeo", "copy", *flags, source, target)


# Flux


def test_flux_pulls_what_we_push(ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, content: Path) -> None:
    repository = f"{registry.host}/interop/for-flux"
    pushed, file = run(
        ansible,
        {PUSH: {"path": str(content), "ref": f"{repository}:dir", "source": "https://x", "revision": "main@sha1:1"}},
        {PUSH: {"path": str(content / "app.yaml"), "ref": f"{repository}:file"}},
    )
    for tag, result in (("dir", pushed), ("file", file)):
        target = content.parent / tag
        target.mkdir()
        said = tools.run("flux-artifact", "pull", f"{repository}:{tag}", target).stdout
        assert result["artifact"]["digest"] in said
    assert tree(content.parent / "dir") == tree(content)
    assert tree(content.parent / "file") == {"app.yaml": (b"kind: ConfigMap\n", False)}


def test_we_pull_what_flux_pushes(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, content: Path
) -> None:
    ref = f"{registry.host}/interop/by-flux:1.0.0"
    said = tools.run("flux-artifact", "-source", "https://x", "-revision", "main@sha1:1", "push", ref, content).stdout
    pulled, unchanged, look = run(
        ansible,
        {PULL: {"ref": ref, "dest": str(content.parent / "dest")}},
        {PULL: {"ref": ref, "dest": str(content.parent / "dest")}},
        {INFO: {"ref": ref, "gather": ["all"]}},
    )
    assert pulled.changed and not unchanged.changed
    assert tree(content.parent / "dest") == tree(content)
    assert pulled["artifact"]["digest"] in said
    assert look["artifact"]["metadata"] == pulled["artifact"]["metadata"] == {
        "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
        "org.opencontainers.image.source": "https://x",
        "org.opencontainers.image.revision": "main@sha1:1",
    }  # fmt: skip
    assert look["layers"][0]["media_type"] == "application/vnd.cncf.flux.content.v1.tar+gzip"
    assert look["config"]["rootfs"]["type"] == "layers"


def test_tools_read_our_flux_artifact(ansible: AnsibleRunner, place: Place, tools: Tools, content: Path) -> None:
    (result,) = run(ansible, {PUSH: {"path": str(content), "ref": f"{place.ours}:1.0.0"}})
    digest, layer = result["artifact"]["digest"], result["artifact"]["layer"]
    manifest = tools.run("oras", "manifest", "fetch", *place.oras_ref("1.0.0")).stdout
    assert digest_of(manifest.encode()) == digest
    blob = content.parent / "blob"
    tools.run("oras", "blob", "fetch", "-o", blob, *place.oras_flags, f"{place.oras}@{layer['digest']}")
    assert digest_of(blob.read_bytes()) == layer["digest"]
    skopeo_copy(tools, f"{place.skopeo}:1.0.0", f"oci:{content.parent}/copy:1.0.0", "--preserve-digests")
    copied = json.loads((content.parent / "copy/index.json").read_text())["manifests"]
    assert [entry["digest"] for entry in copied] == [digest]
    if place.host:
        ref = f"{place.ours}:1.0.0"
        assert tools.run("crane", "digest", "--insecure", ref).stdout.strip() == digest
        tools.run("crane", "validate", "--insecure", "--remote", ref)
        archive = content.parent / "export.tar"
        tools.run("crane", "export", "--insecure", ref, archive)
        with tarfile.open(archive) as exported:
            files = {
                member.name: (exported.extractfile(member).read(), bool(member.mode & 0o100))  # type: ignore[union-attr]
                for member in exported
                if member.isfile()
            }
        assert files == tree(content)


# oras


def test_oras_pulls_our_files(ansible: AnsibleRunner, place: Place, tools: Tools, content: Path) -> None:
    paths = [
        {"path": str(content / "bin/data.bin"), "media_type": "application/x.data", "name": "named/data.bin"},
        str(content / "app.yaml"),
        str(content),
    ]
    run(ansible, {PUSH: {"path": paths, "ref": f"{place.ours}:1", "type": "files", "artifact_type": SBOM}})
    target = content.parent / "pulled"
    tools.run("oras", "pull", "-o", target, *place.oras_ref("1"))
    assert tree(target / "content") == tree(content)
    assert (target / "named/data.bin").read_bytes() == (content / "bin/data.bin").read_bytes()
    assert (target / "app.yaml").read_bytes() == (content / "app.yaml").read_bytes()
    manifest = json.loads(tools.run("oras", "manifest", "fetch", *place.oras_ref("1")).stdout)
    assert manifest["artifactType"] == SBOM and manifest["layers"][0]["mediaType"] == "application/x.data"


def test_we_pull_what_oras_pushes(ansible: AnsibleRunner, place: Place, tools: Tools, content: Path) -> None:
    (content.parent / "notes.txt").write_text("notes\n")
    tools.run(
        "oras", "push", "--artifact-type", SBOM, "--annotation", "key=a=b", *place.oras_ref("1"),
        "content", "notes.txt:text/yaml", cwd=content.parent,
    )  # fmt: skip
    dest = content.parent / "dest"
    pulled, look = run(
        ansible,
        {PULL: {"ref": f"{place.ours}:1", "dest": str(dest), "layers": "all"}},
        {INFO: {"ref": f"{place.ours}:1", "gather": ["layers", "config"]}},
    )
    wanted = {f"content/{name}": entry for name, entry in tree(content).items()}
    assert tree(dest) == {**wanted, "notes.txt": (b"notes\n", False)}
    assert pulled["artifact"]["digest"] == look["artifact"]["digest"]
    assert look["artifact"]["artifact_type"] == SBOM and look["artifact"]["metadata"]["key"] == "a=b"
    assert look["layers"][1]["media_type"] == "text/yaml" and look["config"] == {}


def test_pushing_what_oras_pushed_changes_nothing(
    ansible: AnsibleRunner, place: Place, tools: Tools, content: Path
) -> None:
    """Files of the same names, types and bytes: only the time that oras noted differs."""
    tools.run(
        "oras", "push", "--artifact-type", SBOM, *place.oras_ref("1.0.0"), "app.yaml:text/yaml", "empty.txt:text/plain",
        cwd=content,
    )  # fmt: skip
    paths = [
        {"path": str(content / "app.yaml"), "media_type": "text/yaml"},
        {"path": str(content / "empty.txt"), "media_type": "text/plain"},
    ]
    options = {"path": paths, "ref": f"{place.ours}:1.0.0", "type": "files", "artifact_type": SBOM}
    (result,) = run(ansible, {PUSH: options})
    assert (result.changed, result["tags"]) == (False, {"1.0.0": "unchanged"})


@pytest.mark.parametrize("fixture", ["registry", "oci11_registry"])
def test_referrers_that_oras_attached(
    fixture: str, request: pytest.FixtureRequest, ansible: AnsibleRunner, tools: Tools, content: Path
) -> None:
    server: RegistryServer = request.getfixturevalue(fixture)
    ref = f"{server.host}/interop/attached:1.0.0"
    run(ansible, {PUSH: {"path": str(content), "ref": ref}})
    tools.run("oras", "attach", "--plain-http", "--artifact-type", SBOM, ref, "app.yaml:text/yaml", cwd=content)
    tools.run("oras", "attach", "--plain-http", "--artifact-type", "x/other", ref, "empty.txt:text/plain", cwd=content)
    every, one = run(
        ansible,
        {INFO: {"ref": ref, "gather": ["referrers"]}},
        {INFO: {"ref": ref, "gather": ["referrers"], "artifact_type": SBOM}},
    )
    assert sorted(entry["artifact_type"] for entry in every["referrers"]) == [SBOM, "x/other"]
    (sbom,) = one["referrers"]
    dest = content.parent / "sbom"
    run(
        ansible,
        {
            PULL: {
                "ref": f"{ref.rpartition(':')[0]}@{sbom['digest']}",
                "dest": f"{dest}/",
                "layer_selector": {"operation": "copy"},
            }
        },
    )
    assert tree(dest) == {"app.yaml": tree(content)["app.yaml"]}


# Container images, indexes


def layer_file(path: Path, **files: str) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def test_images_of_crane_and_skopeo(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    """Docker's format, the same turned into OCI's, an image layout of it, and an index of two."""
    name = f"{registry.host}/interop/images"
    first = layer_file(tmp_path / "1.tar", one="1", two="2")
    second = layer_file(tmp_path / "2.tar", three="3", **{".wh.two": ""})
    for platform in ("linux/amd64", "linux/arm64"):
        only = layer_file(tmp_path / "only.tar", platform=platform)
        tag = f"{name}:{platform.rpartition('/')[2]}"
        tools.run("crane", "append", "--insecure", "-f", first, "-f", second, "-f", only, "-t", tag)
        tools.run("crane", "mutate", "--insecure", "--set-platform", platform, tag)
    parts = [argument for tag in ("amd64", "arm64") for argument in ("-m", f"{name}:{tag}")]
    tools.run("crane", "index", "append", "--insecure", *parts, "-t", f"{name}:index")
    skopeo_copy(tools, f"docker://{name}:amd64", f"docker://{name}:oci", "--format", "oci")
    skopeo_copy(tools, f"docker://{name}:amd64", f"oci:{tmp_path}/image:v1")
    refs = {
        "docker": f"{name}:amd64", "oci": f"{name}:oci", "layout": f"oci-layout:{tmp_path}/image:v1",
        "index": f"{name}:index",
    }  # fmt: skip
    pulls = [
        {PULL: {"ref": ref, "dest": str(tmp_path / kind), "layers": "all", "platform": "linux/amd64"}}
        for kind, ref in refs.items()
    ]
    look, arm, *_pulled = run(
        ansible,
        {INFO: {"ref": refs["index"], "gather": ["all"], "platform": "linux/amd64"}},
        {INFO: {"ref": refs["index"], "gather": ["config", "layers"], "platform": "linux/arm64"}},
        *pulls,
    )
    for kind in refs:
        files = {path: data.decode() for path, (data, _executable) in tree(tmp_path / kind).items()}
        assert files == {"one": "1", "three": "3", "platform": "linux/amd64"}, kind
    assert [entry["platform"] for entry in look["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert look["artifact"]["digest"] == tools.run("crane", "digest", "--insecure", refs["index"]).stdout.strip()
    assert len(look["layers"]) == 3 and look["config"]["architecture"] == "amd64"
    assert arm["config"]["architecture"] == "arm64"


def test_skopeo_carries_our_artifacts(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, content: Path
) -> None:
    """From our layout to a registry and back, digests kept; what arrives is unchanged for us."""
    folder = content.parent
    layout, name = f"{folder}/layout", f"{registry.host}/interop/carried"
    options = {"path": str(content), "type": "files"}
    (pushed,) = run(ansible, {PUSH: {**options, "ref": f"oci-layout:{layout}:1.0.0"}})
    skopeo_copy(tools, f"oci:{layout}:1.0.0", f"docker://{name}:1.0.0", "--preserve-digests")
    skopeo_copy(tools, f"docker://{name}:1.0.0", f"oci:{folder}/back:1.0.0", "--preserve-digests")
    at_registry, at_layout, pulled = run(
        ansible,
        {PUSH: {**options, "ref": f"{name}:1.0.0"}},
        {PUSH: {**options, "ref": f"oci-layout:{folder}/back:1.0.0"}},
        {PULL: {"ref": f"oci-layout:{folder}/back:1.0.0", "dest": f"{folder}/dest", "layers": "all"}},
    )
    assert not at_registry.changed and not at_layout.changed
    assert pulled["artifact"]["digest"] == pushed["artifact"]["digest"]
    assert tree(folder / "dest/content") == tree(content)

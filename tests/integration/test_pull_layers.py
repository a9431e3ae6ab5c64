# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_pull and layers: several of them, formats, platforms, what other tools push, the cache."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner
from support.artifacts import LAYER, TITLE, Blob, Publisher, contents, digest_of, special, tar, tgz
from support.hostile_registry import Answer, HostileRegistry, hostile_registry
from support.servers import RegistryServer
from support.tools import Tools

PULL = "cloudnative.artifacts.oci_artifact_pull"
TAR = "application/vnd.oci.image.layer.v1.tar"
UNPACK = "io.deis.oras.content.unpack"


def pull(**options: Any) -> dict[str, Any]:
    return {PULL: {"insecure": True, **options}, "ignore_errors": True}


@pytest.fixture(scope="module")
def server() -> Iterator[HostileRegistry]:
    with hostile_registry() as registry:
        yield registry


@pytest.mark.once
def test_all_layers_become_one_tree(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    lower = {"etc/": "", "etc/a": "a1", "etc/b": "b1", "opaque/": "", "opaque/old": "x", "var/": "", "var/log": "l"}
    upper = {"etc/a": "a2", "etc/.wh.b": "", "opaque/.wh..wh..opq": "", "opaque/new": "y", ".wh.var": "", "dir/": ""}
    place = Publisher(registry.host, "layers/image")
    place.publish("1", [Blob(tgz(lower)), Blob(tar(upper), TAR), Blob(b"text", "text/plain", {TITLE: "dir/notes.txt"})])
    place.publish("2", [Blob(tgz(lower)), Blob(b"text", "text/plain", {TITLE: "etc/a"})])
    flat, first, second, copied, clash = ansible.tasks(
        [
            pull(ref=f"{place.name}:1", dest=str(tmp_path / "flat"), layers="all"),
            pull(ref=f"{place.name}:1", dest=str(tmp_path / "first")),
            pull(ref=f"{place.name}:1", dest=str(tmp_path / "second"), layer_selector={"media_type": TAR}),
            pull(
                ref=f"{place.name}:1",
                dest=str(tmp_path / "copied"),
                layers="all",
                layer_selector={"media_type": "text/plain", "operation": "copy"},
            ),
            pull(ref=f"{place.name}:2", dest=str(tmp_path / "clash"), layers="all"),
        ]
    )
    assert [result["msg"] for result in (flat, first, second, copied) if result.failed] == []
    assert contents(tmp_path / "flat") == {"dir/notes.txt": "text", "etc/a": "a2", "opaque/new": "y"}
    assert not (tmp_path / "flat/var").exists() and (tmp_path / "flat/opaque").is_dir()
    assert contents(tmp_path / "first") == {"etc/a": "a1", "etc/b": "b1", "opaque/old": "x", "var/log": "l"}
    # of a single layer every file is a file
    assert contents(tmp_path / "second")["etc/.wh.b"] == ""
    assert contents(tmp_path / "copied") == {"dir/notes.txt": "text"}
    assert clash.failed and "'etc/a', where the artifact has another entry" in clash["msg"]


def test_formats(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    archive = tar({"a/": "", "a/file": "content\n" * 1000})
    place = Publisher(registry.host, "layers/formats")
    place.publish("zstd", [Blob(zstandard.compress(archive), TAR + "+zstd")])
    place.publish("tar", [Blob(archive, TAR)])
    place.publish("wrongly-named", [Blob(archive, LAYER)])
    tags = ("zstd", "tar", "wrongly-named")
    results = ansible.tasks([pull(ref=f"{place.name}:{tag}", dest=str(tmp_path / tag)) for tag in tags])
    assert [result["msg"] for result in results if result.failed] == []
    for tag in tags:
        assert contents(tmp_path / tag) == {"a/file": "content\n" * 1000}


@pytest.mark.once
def test_what_oras_pushes_arrives_as_oras_pull_leaves_it(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    for name in ("site/index.html", "site/logo.png", "site/.sourceignore", ".github/ci.yml", "x.png", "a.txt", "b.txt"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("same" if name in ("a.txt", "b.txt") else name)
    (source / "site/index.html").chmod(0o755)
    ref = f"{registry.host}/layers/oras"
    pushed = {
        "files": ["a.txt:text/plain", "b.txt", "x.png", ".github/ci.yml", "site/"],
        "lone": ["x.png:image/png"],
        "folder": ["."],
        "empty": ["--artifact-type", "application/x.empty"],
    }
    for tag, given in pushed.items():
        tools.run("oras", "push", "--plain-http", f"{ref}:{tag}", *given, cwd=source)
        tools.run("oras", "pull", "--plain-http", "-o", tmp_path / f"oras-{tag}", f"{ref}:{tag}")
    tools.run("oras", "attach", "--plain-http", "--artifact-type", "x/y", "-a", "a=b", f"{ref}:lone", cwd=source)
    (note,) = json.loads(tools.run("oras", "discover", "--plain-http", "--format", "json", f"{ref}:lone").stdout)[
        "referrers"
    ]
    pulls: dict[str, dict[str, Any]] = {tag: {"ref": f"{ref}:{tag}"} for tag in ("files", "lone", "folder")}
    pulls["all"] = {"ref": f"{ref}:files", "layers": "all"}
    pulls["empty"] = {"ref": f"{ref}:empty", "layers": "all"}
    pulls["attached"] = {"ref": f"{ref}@{note['digest']}", "layers": "all"}
    results = ansible.tasks(
        [
            *(pull(**options, dest=str(tmp_path / name)) for name, options in pulls.items()),
            pull(ref=f"{ref}:files", dest=str(tmp_path / "files")),
            pull(ref=f"{ref}:files", dest=f"{tmp_path}/copied/", layer_selector={"operation": "copy"}),
            pull(ref=f"{ref}:empty", dest=str(tmp_path / "nothing")),
        ]
    )
    assert [result["msg"] for result in results[:-1] if result.failed] == []
    for tag in ("files", "lone", "folder"):
        assert _modes(tmp_path / tag) == _modes(tmp_path / f"oras-{tag}") != {}
    assert contents(tmp_path / "all") == contents(tmp_path / "files")
    assert contents(tmp_path / "empty") == contents(tmp_path / "attached") == {}
    assert not (tmp_path / "oras-empty").exists()
    *_others, again, copied, nothing = results
    assert not again.changed
    for result in (results[0], again):
        assert result["placement"] == {"content": "files", "layers": "titled", "exclusions": "none"}
    assert results[4]["placement"]["content"] == "none"
    assert copied["placement"] == results[0]["placement"]
    assert set(contents(tmp_path / "copied")) == {"a.txt", "b.txt", "x.png", ".github/ci.yml", "site"}
    assert nothing.failed and "has no content: its only layer is the empty one" in nothing["msg"]


@pytest.mark.once
def test_names_in_archives_that_others_pack(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    """The top directory as an entry, and names that are not UTF-8, on a host whose locale knows ASCII alone."""

    def layer(text: str) -> Blob:
        names = {"/": special(tarfile.DIRTYPE, mode=0o700), "./": "", "caf\udce9/": "", "caf\udce9/\udcff": text}
        return Blob(tgz(names))

    place, dest = Publisher(registry.host, "layers/names"), tmp_path / "dest"
    place.publish("1", [layer("one")])
    place.publish("2", [layer("two")])
    place.publish("3", {"a": "a"})
    python = ansible.python_with({"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})
    host = {"vars": {"ansible_python_interpreter": python}}
    placed, again, diff, replaced, removed = ansible.tasks(
        [
            {**pull(ref=f"{place.name}:1", dest=str(dest)), **host},
            {**pull(ref=f"{place.name}:1", dest=str(dest)), **host},
            {**pull(ref=f"{place.name}:2", dest=str(dest)), **host, "check_mode": True, "diff": True},
            {**pull(ref=f"{place.name}:2", dest=str(dest)), **host, "diff": True},
            {**pull(ref=f"{place.name}:3", dest=str(dest)), **host},
        ]
    )
    assert placed["changes"]["added"] == ["caf\\xe9", "caf\\xe9/\\xff"] and not again.changed
    for result in (diff, replaced):
        assert result["changes"]["changed"] == ["caf\\xe9/\\xff"]
        (entry,) = result["diff"]
        assert entry["after_header"] == f"{dest}/caf\\xe9/\\xff" and (entry["before"], entry["after"]) == ("one", "two")
    assert removed["changes"]["removed"] == ["caf\\xe9/\\xff", "caf\\xe9"]
    assert sorted(os.listdir(os.fsencode(dest))) == [b".oci-artifact", b"a"]


def _modes(folder: Path) -> dict[str, tuple[str, int]]:
    """Contents, and whether a file may be executed; the rest of a mode is a matter of the umask to oras."""
    return {name: (text, (folder / name).stat().st_mode & 0o100) for name, text in contents(folder).items()}


@pytest.mark.once
def test_the_platform_is_chosen_from_an_index(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    place = Publisher(registry.host, "layers/index")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    here, other = f"linux/{machine}", "linux/arm/v7"
    digests = {name: place.publish(name.replace("/", "-"), {"platform": name}) for name in (here, other)}
    index = place.publish_index("1", {other: digests[other], here: digests[here]})
    outer = f"{place.name}:outer"
    tools.run("oras", "manifest", "index", "create", "--plain-http", outer, "1")
    by_host, chosen, pinned, nested, missing = ansible.tasks(
        [
            pull(ref=f"{place.name}:1", dest=str(tmp_path / "host")),
            pull(ref=f"{place.name}:1", dest=str(tmp_path / "arm"), platform=other),
            pull(ref=f"{place.name}@{index}", dest=str(tmp_path / "pinned"), platform=other),
            pull(ref=outer, dest=str(tmp_path / "nested"), platform=other),
            pull(ref=f"{place.name}:1", dest=str(tmp_path / "none"), platform="linux/s390x"),
        ]
    )
    assert contents(tmp_path / "host") == {"platform": here}
    assert contents(tmp_path / "arm") == contents(tmp_path / "pinned") == {"platform": other}
    for result in (by_host, chosen, pinned):
        assert (result["artifact"]["digest"], result["artifact"]["media_type"].count("index")) == (index, 1)
    # the inner index is the only entry of the outer one, and without a platform
    assert not nested.failed and contents(tmp_path / "nested") == {"platform": other}
    assert missing.failed and f"it has {', '.join(sorted([here, other]))}." in missing["msg"]


@pytest.mark.once
def test_the_cache_serves_every_dest_and_heals_itself(
    ansible: AnsibleRunner, server: HostileRegistry, tmp_path: Path
) -> None:
    layers = [Blob(tgz({"a": os.urandom(20_000)})), Blob(tgz({"b": "b"})), Blob(tgz({"c": "c"}))]
    server.artifact("cached", layers)
    cache = tmp_path / "cache"

    def task(dest: str) -> dict[str, Any]:
        return pull(ref=f"{server.host}/cached:1", dest=str(tmp_path / dest), cache_dir=str(cache), layers="all")

    assert ansible.tasks([task("one")])[0].changed
    # the layers, and the config, so that the cache holds the whole artifact
    assert (server.count("cached"), server.count("cached", "manifests")) == (4, 2)
    names = {path.name for path in (cache / "blobs/sha256").iterdir()}
    assert {digest_of(layer.data).partition(":")[2] for layer in layers} < names and len(names) == 5
    ansible.tasks([task("two")])
    assert (server.count("cached"), server.count("cached", "manifests")) == (4, 3)
    damaged = cache / "blobs/sha256" / digest_of(layers[0].data).partition(":")[2]
    damaged.write_bytes(b"\0" * len(layers[0].data))
    ansible.tasks([task("three")])
    assert server.count("cached") == 5 and damaged.read_bytes() == layers[0].data
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three") != {}


@pytest.mark.once
def test_a_broken_download_goes_on_where_it_stopped(
    ansible: AnsibleRunner, server: HostileRegistry, tmp_path: Path
) -> None:
    layer = Blob(tgz({"random": os.urandom(500_000)}))
    for name in ("at-once", "next-run"):
        server.artifact(name, [layer])
        answer = Answer(layer.data, breaks=[200_000, 100_000] if name == "at-once" else [200_000])
        server.blob(name, digest_of(layer.data), answer)

    def ranges(name: str) -> list[str]:
        blob = f"/v2/{name}/blobs/{digest_of(layer.data)}"
        return [wanted for _method, path, wanted in server.requests if path == blob]

    task = {"ref": f"{server.host}/next-run:1", "dest": str(tmp_path / "d"), "cache_dir": str(tmp_path / "c")}
    last = len(layer.data) - 1
    at_once, broken, resumed = ansible.tasks(
        [
            pull(ref=f"{server.host}/at-once:1", dest=str(tmp_path / "at-once")),
            pull(**task, retries=0),
            pull(**task, retries=0),
        ]
    )
    assert not at_once.failed
    assert ranges("at-once") == ["", f"bytes=200000-{last}", f"bytes=300000-{last}"]
    assert broken.failed and broken["reason"] == "ConnectionFailed"
    assert not resumed.failed
    assert ranges("next-run") == ["", f"bytes=200000-{last}"]

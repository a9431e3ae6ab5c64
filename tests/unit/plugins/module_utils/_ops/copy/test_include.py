# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is copied beside a chart: to which places, with which credentials, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ChartError,
    InvalidOption,
    MissingDependency,
    NotFound,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import canonical_json
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import Repository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy import copy as copy_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy import include
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.copy import CopyOptions, copy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import FaultServer
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.tls_harness import (
    create_certificate,
)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def publish(
    server: FaultServer, tag: str, layer: bytes, kind: str = "text/plain", config: str = media.OCI_EMPTY
) -> str:
    """An artifact; the server has the same content in each of its repositories."""
    blobs = [
        {"mediaType": name, "digest": server.add_blob(data), "size": len(data)}
        for name, data in ((config, b"{}"), (kind, layer))
    ]
    parts = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": blobs[0], "layers": blobs[1:]}
    return server.add_manifest(canonical_json(parts), tag)


def publish_chart(server: FaultServer, name: str, version: str, *, images: Any = (), **fields: Any) -> str:
    listed = json.dumps([{"image": image} for image in images])
    metadata = {"apiVersion": "v2", "name": name, "version": version, "type": "library", **fields}
    document = json.dumps({**metadata, "annotations": {"images": listed}}).encode()
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo(f"{name}/Chart.yaml")
        entry.size = len(document)
        archive.addfile(entry, io.BytesIO(document))
    data = gzip.compress(target.getvalue(), mtime=0)
    return publish(server, version.replace("+", "_"), data, media.HELM_LAYER, media.HELM_CONFIG)


def run(ref: str, to: str, *wanted: str, **options: Any) -> dict[str, Any]:
    access = ConnectionOptions(insecure=True, retries=0)
    return copy(
        CopyOptions(ReferenceOptions(ref=ref), to, include=wanted, connection=access, to_connection=access, **options)
    )


def test_dependencies_and_theirs(server: FaultServer, tmp_path: Path) -> None:
    charts = f"oci://{server.host}/charts"
    deep = publish_chart(server, "deep", "2.0.0+build.1")
    # the chart is needed by what it needs: it ends all the same
    circle = [{"name": "shop", "version": "3.0.0", "repository": charts}]
    needs = [{"name": "deep", "version": "2.0.0+build.1", "repository": charts}, *circle]
    base = publish_chart(server, "base", "1.5.0", dependencies=needs)
    publish_chart(server, "base", "1.4.0")
    wanted = [
        {"name": "base", "version": "~1.5", "repository": charts},
        {"name": "web", "version": "1", "repository": "https://user:hush@charts.example.com/x?token=hush"},
        {"name": "own", "version": "1", "repository": ""},
    ]
    publish_chart(server, "shop", "3.0.0", dependencies=wanted)
    done = run(f"{server.host}/charts/shop:3.0.0", f"oci-layout:{tmp_path}/{{name}}", "dependencies", "images")
    found = [(each["kind"], each["to"].rpartition("/")[2], each["digest"]) for each in done["included"]]
    assert found == [("dependency", "base:1.5.0", base), ("dependency", "deep:2.0.0_build.1", deep)]
    assert [(each["name"], each["repository"]) for each in done["not_included"]] == [
        ("web", "https://charts.example.com/x"),
        ("own", ""),
    ]
    assert len(done["warnings"]) == 2 and "hush" not in json.dumps(done)
    again = run(f"{server.host}/charts/shop:3.0.0", f"oci-layout:{tmp_path}/{{name}}", "dependencies")
    assert not again["changed"] and again["reason"] == "ArtifactUpToDate"


def test_images_have_places_of_their_own(server: FaultServer, tmp_path: Path) -> None:
    publish(server, "1", b"image")
    publish_chart(server, "shop", "3.0.0", images=[f"{server.host}/a/web:1", f"{server.host}/b/web:1"])
    with pytest.raises(InvalidOption, match="a/web and .*b/web would both be copied to"):
        run(f"{server.host}/shop:3.0.0", f"oci-layout:{tmp_path}/{{name}}", "images")
    assert not list(tmp_path.iterdir()), "nothing is copied before that is known"
    done = run(f"{server.host}/shop:3.0.0", f"oci-layout:{tmp_path}/{{repository}}", "images")
    assert [each["to"] for each in done["included"]] == [f"oci-layout:{tmp_path}/{name}/web:1" for name in "ab"]
    assert done["changed"] and (tmp_path / "shop").is_dir()


def test_what_is_missing_fails_by_name_and_before_the_chart(server: FaultServer, tmp_path: Path) -> None:
    publish_chart(server, "shop", "3.0.0", images=[f"{server.host}/web:9", "Not A Reference"])
    with pytest.raises(NotFound, match=r"shop:3.0.0@sha256:\w+ needs .*/web:9: "):
        run(f"{server.host}/shop:3.0.0", f"oci-layout:{tmp_path}/{{name}}", "images")
    assert not (tmp_path / "shop").exists()
    publish(server, "9", b"image")
    done = run(f"{server.host}/shop:3.0.0", f"oci-layout:{tmp_path}/{{name}}", "images")
    assert [each["name"] for each in done["not_included"]] == ["Not A Reference"]


def test_what_cannot_be_included(server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = f"oci-layout:{tmp_path}/{{name}}"
    publish(server, "1", b"no chart")
    done = run(f"{server.host}/x:1", to, "images", "dependencies")
    assert done["included"] == done["not_included"] == [] and done["changed"]
    with pytest.raises(InvalidOption, match="'include' has 'values'"):
        run(f"{server.host}/x:1", to, "values")
    publish_chart(server, "shop", "1.0.0", type="application")
    with pytest.raises(InvalidOption, match="'to' names the tag edge"):
        run(f"{server.host}/shop:1.0.0", f"{to}:edge", "images")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match="'helm' is not on this host"):
        run(f"{server.host}/shop:1.0.0", to, "images")
    wrong = {"name": "base", "version": "newest!", "repository": f"oci://{server.host}/charts"}
    publish_chart(server, "shop", "2.0.0", dependencies=[wrong])
    with pytest.raises(ChartError, match="depends on 'base', which cannot be found"):
        run(f"{server.host}/shop:2.0.0", to, "dependencies")


def test_there_is_an_end(server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    charts = f"oci://{server.host}/charts"
    for number in range(4):
        below = [{"name": "each", "version": f"1.0.{number + 1}", "repository": charts}] if number < 3 else []
        publish_chart(server, "each", f"1.0.{number}", dependencies=below)
    to = f"oci-layout:{tmp_path}/{{name}}"
    for limit, said in (("MAX_DEPTH", "nested more than 2 deep"), ("MAX_INCLUDED", "more than the 2 artifacts")):
        with monkeypatch.context() as patch:
            patch.setattr(include, limit, 2)
            with pytest.raises(ChartError, match=said):
                run(f"{server.host}/charts/each:1.0.0", to, "dependencies")
    assert len(run(f"{server.host}/charts/each:1.0.0", to, "dependencies")["included"]) == 3


def test_credentials_of_the_chart_go_to_no_other_registry(server: FaultServer, tmp_path: Path) -> None:
    with FaultServer() as other:
        publish(other, "1", b"image")
        publish_chart(server, "shop", "3.0.0", images=[f"{other.host}/web:1"])
        run(
            f"{server.host}/shop:3.0.0", f"oci-layout:{tmp_path}/{{name}}", "images",
            auth=AuthOptions(username="user", password="hush"),
        )  # fmt: skip
        assert other.requests() and not any(seen.authorization for seen in other.requests())


def test_what_is_included_is_written_with_the_access_of_the_registry_that_it_goes_to(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chart moves within its registry, its image comes from another one."""
    opened: dict[str, tuple[str, str, str]] = {}
    open_to_write = copy_module.open_to_write

    def noting(reference: Reference, auth: AuthOptions, connection: ConnectionOptions, **options: Any) -> Repository:
        opened[reference.name] = auth.username, auth.password, connection.client_cert
        return open_to_write(reference, auth, connection, **options)

    monkeypatch.setattr(copy_module, "open_to_write", noting)
    certificate = create_certificate(tmp_path, "client")
    cert, key = str(certificate.cert), str(certificate.key)
    access = ConnectionOptions(insecure=True, retries=0, client_cert=cert, client_key=key)
    own, none = ("user", "hush", cert), ("", "", "")
    with FaultServer() as other:
        publish(other, "1", b"image")
        publish_chart(server, "shop", "3.0.0", images=[f"{other.host}/web:1"])
        for to, wanted in ((server.host, own), ("{registry}", none)):
            reference = ReferenceOptions(ref=f"{server.host}/shop:3.0.0")
            auth = AuthOptions(username="user", password="hush")
            copy(
                CopyOptions(
                    reference, f"{to}/mirror/{{name}}", include=["images"], auth=auth, connection=access,
                    to_connection=access,
                )
            )  # fmt: skip
            place = server.host if to == server.host else other.host
            assert opened == {f"{server.host}/mirror/shop": own, f"{place}/mirror/web": wanted}
            opened.clear()

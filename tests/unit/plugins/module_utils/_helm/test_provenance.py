# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Provenance files, and what Chart.lock and charts/ say about dependencies. Real signatures are for helm to check."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import BuildError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.chart import read_chart
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.provenance import (
    MAX_PROVENANCE,
    check_provenance,
    provenance_beside,
    read_provenance,
)

pytest.importorskip("yaml")

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def provenance(files: str = f"files:\n  demo-1.0.0.tgz: {DIGEST}\n", metadata: str = "name: demo\n") -> str:
    return (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{metadata}\n...\n{files}\n"
        "-----BEGIN PGP SIGNATURE-----\n\nwsBc=\n-----END PGP SIGNATURE-----\n"
    )


def write(folder: Path, text: str) -> str:
    path = folder / "demo.tgz.prov"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return str(path)


def check(folder: Path, text: str, digest: str = DIGEST) -> list[str]:
    return check_provenance(write(folder, text), "demo.tgz", digest, "demo-1.0.0.tgz")


@pytest.mark.parametrize(
    "text",
    [
        provenance(),
        provenance().replace("\n", "\r\n"),
        provenance(metadata="keywords:\n- - x\nname: demo\n"),
        "words before\n" + provenance() + "and behind",
        provenance().rstrip("\n"),
        provenance(f"files:\n  other.tgz: {OTHER}\n  demo-1.0.0.tgz: {DIGEST}\n"),
    ],
)
def test_the_archives_own(tmp_path: Path, text: str) -> None:
    assert check(tmp_path, text) == []


def test_of_the_right_bytes_under_another_name(tmp_path: Path) -> None:
    (warning,) = check(tmp_path, provenance(f"files:\n  renamed.tgz: {DIGEST}\n"))
    assert "renamed.tgz" in warning and "'demo-1.0.0.tgz'" in warning


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            provenance(f"files:\n  demo-1.0.0.tgz: {OTHER}\n"),
            f"demo.tgz has {DIGEST}, it names demo-1.0.0.tgz with {OTHER}",
        ),
        (provenance("files: {}\n"), "it names no file"),
        (provenance("files:\n  demo-1.0.0.tgz: [1]\n"), "it names no file"),
        (provenance("files: x\n"), "has no list of files"),
        (provenance("- x\n"), "has no list of files"),
        (provenance().replace("\n...\n", "\n"), "has no list of files"),
        (provenance("files: {a\n"), "is not YAML"),
        (provenance("a: &a [*a]\n"), "contains itself"),
        ("", "not text with a PGP signature"),
        ("signed\n", "not text with a PGP signature"),
        ("\udcff\udcfe", "not text with a PGP signature"),
        (provenance().replace("-----END PGP SIGNATURE-----", ""), "not text with a PGP signature"),
        (provenance().replace("-----BEGIN PGP SIGNATURE-----", ""), "not text with a PGP signature"),
        ("x" * (MAX_PROVENANCE + 1), "more than 1048576 bytes"),
        # what stands behind the signature is not signed
        (provenance("files: {}\n") + f"\n...\nfiles:\n  demo-1.0.0.tgz: {DIGEST}\n", "it names no file"),
    ],
)  # fmt: skip
def test_of_something_else(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BuildError) as caught:
        check(tmp_path, text)
    assert words in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot be read: No such file"):
        read_provenance(str(tmp_path / "absent"))


def test_beside_the_archive(tmp_path: Path) -> None:
    archive = str(tmp_path / "a.tgz")
    assert provenance_beside(archive) is None
    (tmp_path / "a.tgz.prov").mkdir()
    assert provenance_beside(archive) is None
    (tmp_path / "a.tgz.prov").rmdir()
    (tmp_path / "a.tgz.prov").write_text("x")
    assert provenance_beside(archive) == f"{archive}.prov"


# Source: helm, internal/resolver/resolver_test.go, TestHashReq
HELM_VECTOR = "sha256:fb239e836325c5fa14b29d1540a13b7d3ba13151b67fe719f820e0ef6d66aaaf"
ALPINE = "- {{name: alpine, version: {}, repository: 'http://localhost:8879/charts'}}\n"


def warnings_of(folder: Path, files: dict[str, str], version: str = "v2") -> list[str]:
    (folder / "charts").mkdir(parents=True, exist_ok=True)
    head = f"apiVersion: {version}\nname: demo\nversion: 1.0.0\n"
    for name, text in {"Chart.yaml": "", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + text if name == "Chart.yaml" else text)
    return list(read_chart(str(folder)).warnings)


@pytest.mark.parametrize(
    ("wanted", "locked", "in_sync"),
    [("0.1.0", "0.1.0", True), ("^0.1.0", "0.1.0", False), ("^0.1.0", "0.1.2", False), ("0.1.2", "0.1.2", False)],
)
def test_locks_as_helm_judges_them(tmp_path: Path, wanted: str, locked: str, in_sync: bool) -> None:
    lock = f"dependencies:\n{ALPINE.format(locked)}digest: {HELM_VECTOR}\ngenerated: '2024-01-01T00:00:00Z'\n"
    found = warnings_of(tmp_path, {"Chart.yaml": f"dependencies:\n{ALPINE.format(wanted)}", "Chart.lock": lock})
    assert [text for text in found if "out of sync" not in text] == []
    assert (found == []) == in_sync


# Source: helm, cmd/helm/testdata/testcharts/issue-7233, a lock that Helm 2 made
HELM2_REQUIREMENTS = "dependencies:\n- name: alpine\n  version: 0.1.0\n  repository: file://../alpine\n"
HELM2_DIGEST = "sha256:7b380b1a826e7be1eecb089f66209d6d3df54be4bf879d4a8e6f8a9e871710e5"


@pytest.mark.parametrize(("version", "digest", "in_sync"), [
    ("v1", HELM2_DIGEST, True),
    ("v1", "sha256:00", False),
    ("v2", HELM2_DIGEST, False),
])  # fmt: skip
def test_locks_of_helm_2(tmp_path: Path, version: str, digest: str, in_sync: bool) -> None:
    """Valid in charts of its time only; of two locks, helm takes the one with the old name."""
    lock = f"{HELM2_REQUIREMENTS}digest: {digest}\n"
    files = {"requirements.yaml": HELM2_REQUIREMENTS, "requirements.lock": lock, "Chart.lock": "digest: x\n"}
    found = warnings_of(tmp_path, files, version=version)
    assert (found == []) == in_sync
    assert all("requirements.lock is out of sync" in text for text in found)


@pytest.mark.parametrize(
    "files",
    [
        {"Chart.yaml": "dependencies: [{name: a, repository: '@mine'}]\n", "Chart.lock": "digest: x\n"},
        {"Chart.yaml": "dependencies: [{name: a, repository: 'alias:mine'}]\n", "Chart.lock": "digest: x\n"},
        {"Chart.lock": ""},
        {"Chart.lock": "# nothing\n"},
    ],
)
def test_locks_of_which_nothing_can_be_said(tmp_path: Path, files: dict[str, str]) -> None:
    assert warnings_of(tmp_path, files) == []


@pytest.mark.parametrize("lock", ["- x\n", "digest: [1]\n", "dependencies: x\n", "a: {b\n"])
def test_locks_that_are_none(tmp_path: Path, lock: str) -> None:
    with pytest.raises(BuildError, match=r"Chart\.lock"):
        warnings_of(tmp_path, {"Chart.lock": lock})


@pytest.mark.parametrize(
    ("wanted", "found", "is_right"),
    [
        ("^0.2", "0.2.1", True),
        ("0.2.1", "0.2.1", True),
        ("^0.3", "0.2.1", False),
        (">=0.2", "0.3.0-rc.1", False),
        ("latest", "0.2.1", False),
        ("", "0.2.1", True),
    ],
)
def test_versions_of_dependencies(tmp_path: Path, wanted: str, found: str, is_right: bool) -> None:
    files = {
        "Chart.yaml": f"dependencies: [{{name: lib, version: {wanted!r}}}]\n",
        "charts/lib/Chart.yaml": f"apiVersion: v2\nname: lib\nversion: {found}\n",
    }
    warnings = warnings_of(tmp_path, files)
    assert (warnings == []) == is_right
    assert all(f"{wanted!r}" in text and found in text for text in warnings)

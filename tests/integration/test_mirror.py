# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mirrors of a release that cosign 2, cosign 3 and notation have signed: nothing is lost on any way, by any tool."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import servers
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import contents
from support.cut_off import cut_off
from support.servers import RegistryServer
from support.signed_release import ATTESTED, KEYS, TAG, TAGGED, Belongings, Check, Signers, in_files, in_registry
from support.tools import Tools

pytestmark = pytest.mark.once

COPY, PULL, VERIFY = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("copy", "pull", "verify"))
# index, platforms and SBOM; of the first three .sig, .att, two bundles and one of notation; of the SBOM no attestation
MANIFESTS = 4 + 3 * 5 + 3


def task(module: str, **arguments: Any) -> dict[str, Any]:
    return {"name": module, module: {"insecure": True, **arguments}, "ignore_errors": True}


def copy(source: str, to: str, **more: Any) -> dict[str, Any]:
    return task(COPY, ref=f"{source}:{TAG}", to=to, **more)


def done(results: Sequence[TaskResult], count: int) -> Sequence[TaskResult]:
    assert [result.get("msg") for result in results if result.failed] == [] and len(results) == count
    return results


def failures(checks: dict[str, Check], references: Sequence[str], *, wanted: bool = True) -> list[str]:
    """The checks that do not say what is wanted."""
    cells = [(name, reference) for reference in references for name in checks]
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda cell: checks[cell[0]](cell[1]), cells))
    return [f"{name}: {reference}" for (name, reference), verdict in zip(cells, said) if verdict != wanted]


@pytest.mark.parametrize("kind", ["fallback tag", "referrers API"])
def test_a_mirror_verifies_behind_a_cut_network(
    ansible: AnsibleRunner,
    tools: Tools,
    registry: RegistryServer,
    oci11_registry: RegistryServer,
    tmp_path: Path,
    kind: str,
) -> None:
    """From a registry without or with the referrers API to both kinds of registry, to a layout and to an archive.

    The layout and the archive are carried on to registries behind the cut, by the module.
    """
    for folder in ("origin", "signers", "home"):
        (tmp_path / folder).mkdir()
    signers = Signers(tools, tmp_path / "signers")
    make = servers.oci11 if kind == "referrers API" else servers.distribution
    with make(Path(tools["oci11-registry" if make is servers.oci11 else "registry"]), tmp_path / "origin") as origin:
        source = f"{origin.host}/release"
        index, amd64, arm64, sbom = signers.publish(source)
        wanted = in_registry(origin.host, "release")
        assert len(wanted.manifests) == MANIFESTS and len(wanted.tags) == 7
        name = f"mirror/{kind.replace(' ', '-').lower()}"
        layout, archive = f"oci-layout:{tmp_path}/layout", f"oci-archive:{tmp_path}/archive.tar"
        direct = [f"{server.host}/{name}/direct" for server in (registry, oci11_registry)]
        policy = {"public_keys": [str(KEYS / f"{TAGGED}.pub")], **ATTESTED}
        mirrored = ansible.tasks([copy(source, to, verify=policy) for to in (*direct, layout, archive)])
        for result in done(mirrored, 4):
            assert result.changed and len(result["copied"]) == MANIFESTS and result["verification"]["verified"]
        # each kind of file once to each kind of registry, over both runs of this test
        others = (oci11_registry, registry) if kind == "fallback tag" else (registry, oci11_registry)
        carried = [f"{server.host}/{name}/from-{place}" for server, place in zip(others, ("layout", "archive"))]
        with cut_off([registry.port, oci11_registry.port]) as inside:
            cut = ansible.behind(inside, tmp_path / "home")
            there = tools.behind(inside)
            assert tools.run("crane", "digest", "--insecure", f"{source}:{TAG}").stdout.strip() == index
            refused = there.run("crane", "digest", "--insecure", f"{source}:{TAG}", check=False)
            assert "connection refused" in refused.stderr, "the origin is not to be reached"
            once = [copy(each, to) for each, to in zip((layout, archive), carried)]
            results = done(cut.tasks([*once, *once]), 4)
            assert [result.changed for result in results] == [True, True, False, False]
            assert [len(result["copied"]) for result in results] == [MANIFESTS, MANIFESTS, 0, 0]
            places = [*direct, *carried]
            checks = signers.checks(there)
            assert failures(checks, [f"{place}@{index}" for place in places]) == []
            checks = signers.checks(there, attested=False)
            assert failures(checks, [f"{place}@{digest}" for place in places for digest in (arm64, sbom)]) == []
            assert failures(signers.refusals(there), [f"{carried[0]}@{amd64}"], wanted=False) == []
            local = ("verify", "--oci-layout", "--scope", "local/layout", f"{tmp_path}/layout@{index}")
            experimental = {"XDG_CONFIG_HOME": str(signers.notation.folder), "NOTATION_EXPERIMENTAL": "1"}
            there.run("notation", *local, env=experimental)
            by_tags, by_bundles, by_notation = signers.policies()
            both = {**by_tags, "public_keys": by_tags["public_keys"] + by_bundles["public_keys"], "min_signers": 2}
            rows = [(each, options) for each in (layout, archive) for options in (by_tags, by_bundles, by_notation)]
            rows += [(each, options) for each in carried for options in (both, by_notation)]
            ours = cut.tasks([task(VERIFY, ref=f"{place}:{TAG}", **options) for place, options in rows])
            for result in done(ours, 10):
                assert result["verification"]["verified"] and result["artifact"]["digest"] == index
    for place in places:
        host, _slash, repository = place.partition("/")
        assert in_registry(host, repository) == wanted, place
    assert in_files(tmp_path / "layout") == wanted == in_files(tmp_path / "archive.tar")


def test_mirrors_pass_through_oras_skopeo_and_crane(
    ansible: AnsibleRunner, tools: Tools, registry: RegistryServer, oci11_registry: RegistryServer, tmp_path: Path
) -> None:
    """What they wrote is copied on, and what was copied they read: the same manifests each time."""
    (tmp_path / "signers").mkdir()
    signers, run, host = Signers(tools, tmp_path / "signers"), tools.run, registry.host
    origin = f"{oci11_registry.host}/directions/origin"
    index, *platforms, _sbom = signers.publish(origin)
    wanted = in_registry(oci11_registry.host, "directions/origin")

    def assert_part(found: Belongings, where: str) -> None:
        """The platforms, and the index, which skopeo alone writes in its own words."""
        strange = found.manifests.keys() - wanted.manifests.keys()
        assert found.manifests.keys() >= set(platforms), where
        assert len(strange) == 1 if "skopeo" in where else index in found.manifests and not strange, where

    source = f"docker://{origin}:{TAG}"
    written = {each: tmp_path / each for each in ("oras", "backup.tar", "skopeo", "skopeo.tar", "crane")}
    run("oras", "cp", "-r", "--from-plain-http", "--to-oci-layout", f"{origin}:{TAG}", f"{written['oras']}:{TAG}")
    run("oras", "backup", "--plain-http", "--include-referrers", "--output", written["backup.tar"], f"{origin}:{TAG}")
    as_it_is = ("copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false")
    run("skopeo", *as_it_is, source, f"oci:{written['skopeo']}:{TAG}")
    run("skopeo", *as_it_is, source, f"oci-archive:{written['skopeo.tar']}:{TAG}")
    run("crane", "pull", "--insecure", "--format=oci", "--annotate-ref", f"{origin}:{TAG}", written["crane"])
    kinds = {each: "archive" if path.suffix else "layout" for each, path in written.items()}
    copies = [copy(f"oci-{kinds[each]}:{path}", f"{host}/theirs/{each}") for each, path in written.items()]
    ours = [copy(origin, place) for place in (f"oci-layout:{tmp_path}/ours", f"oci-archive:{tmp_path}/ours.tar")]
    assert all(result.changed for result in done(ansible.tasks([*copies, *ours]), 7))
    counts = {}
    for each, path in written.items():
        found = in_registry(host, f"theirs/{each}")
        assert found == in_files(path), each
        assert_part(found, each)
        counts[each] = len(found.manifests)
    # without what has tags of cosign: nobody else looks for them
    referrers = MANIFESTS - len(set(wanted.tags.values()))
    assert counts == {"oras": referrers, "backup.tar": referrers, "skopeo": 3, "skopeo.tar": 3, "crane": 3}

    plain = ("--to-plain-http", f"{host}/ours/oras:{TAG}")
    run("oras", "cp", "-r", "--from-oci-layout", f"{tmp_path}/ours:{TAG}", *plain)
    run("oras", "restore", "--plain-http", "--input", tmp_path / "ours.tar", f"{host}/ours/restored")
    run("skopeo", *as_it_is, f"oci:{tmp_path}/ours:{TAG}", f"docker://{host}/ours/skopeo:{TAG}")
    run("skopeo", *as_it_is, f"oci-archive:{tmp_path}/ours.tar:{TAG}", f"docker://{host}/ours/skopeo-archive:{TAG}")
    run("crane", "push", "--insecure", "--index", tmp_path / "ours", f"{host}/ours/crane:all")
    assert in_registry(host, "ours/restored") == wanted
    assert len(in_registry(host, "ours/oras").manifests) == referrers
    for each in ("skopeo", "skopeo-archive"):
        assert_part(in_registry(host, f"ours/{each}"), each)
    assert in_registry(host, "ours/crane", "all").manifests.items() >= wanted.manifests.items()
    bundles = {
        name: check for name, check in signers.checks(tools).items() if ".sig" not in name and ".att" not in name
    }
    places = ("theirs/oras", "theirs/backup.tar", "ours/oras", "ours/restored")
    assert failures(bundles, [f"{host}/{each}@{index}" for each in places]) == []


def test_images_in_the_format_of_docker(
    ansible: AnsibleRunner, tools: Tools, registry: RegistryServer, tmp_path: Path
) -> None:
    """As skopeo and podman save, and as crane pulls: pulled from, and copied on to where crane reads them."""
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer/name.txt").write_text("it")
    with tarfile.open(tmp_path / "layer.tar", "w") as tar:
        tar.add(tmp_path / "layer/name.txt", "name.txt")
    image = f"{registry.host}/docker/image"
    tools.run("crane", "append", "--insecure", "--oci-empty-base", "-f", tmp_path / "layer.tar", "-t", f"{image}:{TAG}")
    name = f"docker.io/library/image:{TAG}"
    place = f"docker-archive:{tmp_path}/skopeo.tar:{name}"
    tools.run("skopeo", "copy", "--src-tls-verify=false", f"docker://{image}:{TAG}", place)
    tools.run("crane", "pull", "--insecure", f"{image}:{TAG}", tmp_path / "crane.tar")
    tasks = []
    for saved in ("skopeo", "crane"):
        ref = f"oci-archive:{tmp_path}/{saved}.tar"
        tasks.append(copy(ref, f"{registry.host}/docker/{saved}"))
        tasks.append(task(PULL, ref=f"{ref}:{TAG}", dest=str(tmp_path / f"from-{saved}")))
    results = done(ansible.tasks(tasks), 4)
    for number, saved in enumerate(("skopeo", "crane")):
        copied, pulled = results[2 * number : 2 * number + 2]
        assert copied["artifact"]["digest"] == pulled["artifact"]["digest"]
        assert contents(tmp_path / f"from-{saved}") == {"name.txt": "it"}
        tools.run("crane", "export", "--insecure", copied["to"], tmp_path / f"{saved}-exported.tar")
        with tarfile.open(tmp_path / f"{saved}-exported.tar") as exported:
            assert exported.getnames() == ["name.txt"]
        configs = [tools.run("crane", "config", "--insecure", each).stdout for each in (f"{image}:{TAG}", copied["to"])]
        assert configs[0] == configs[1]

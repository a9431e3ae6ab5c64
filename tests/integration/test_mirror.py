# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mirrors of a release that cosign 2, cosign 3 and notation have signed: nothing is lost on any way, by any tool."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import servers
from support.ansible_runner import AnsibleRunner, TaskResult
from support.cut_off import cut_off
from support.servers import RegistryServer
from support.signed_release import ATTESTED, KEYS, TAG, TAGGED, Check, Signers, in_files, in_registry
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
            for result in done(cut.tasks([copy(each, to) for each, to in zip((layout, archive), carried)]), 2):
                assert result.changed and len(result["copied"]) == MANIFESTS
            places = [*direct, *carried]
            checks = signers.checks(there)
            assert failures(checks, [f"{place}@{digest}" for place in places for digest in (index, arm64)]) == []
            checks = signers.checks(there, attested=False)
            assert failures(checks, [f"{place}@{sbom}" for place in places]) == []
            assert failures(signers.refusals(there), [f"{carried[0]}@{amd64}"], wanted=False) == []
            local = ("verify", "--oci-layout", "--scope", "local/layout", f"{tmp_path}/layout@{index}")
            experimental = {"XDG_CONFIG_HOME": str(signers.notation.folder), "NOTATION_EXPERIMENTAL": "1"}
            there.run("notation", *local, env=experimental)
            ours = [
                task(VERIFY, ref=f"{place}:{TAG}", **policy)
                for place in (*places, layout, archive)
                for policy in signers.policies()
            ]
            for result in done(cut.tasks(ours), 18):
                assert result["verification"]["verified"] and result["artifact"]["digest"] == index
    for place in places:
        host, _slash, repository = place.partition("/")
        assert in_registry(host, repository) == wanted, place
    assert in_files(tmp_path / "layout") == wanted == in_files(tmp_path / "archive.tar")

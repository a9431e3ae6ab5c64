# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of signed artifacts between registries, layouts and archives, judged by cosign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.copy import CopyOptions, copy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy

pytestmark = pytest.mark.once

COPY = "cloudnative.artifacts.oci_artifact_copy"
KEYS = vectors.ROOT / "keys"
KEY = KEYS / "key-a.pub"
OFFLINE = ("--tlog-upload=false", "--allow-http-registry", "--yes", "--key", str(KEYS / "key-a.key"))
CHECK = ("--insecure-ignore-tlog", "--allow-http-registry", "--key", str(KEY))
PASSWORD = {"COSIGN_PASSWORD": "vector-password"}
INSECURE = ConnectionOptions(insecure=True)


def publish(tools: Tools, name: str, folder: Path) -> dict[str, str]:
    """An index and its platforms: signed and attested by cosign 2 (tags) and cosign 3 (bundles); their digests."""
    for platform in ("linux/amd64", "linux/arm64"):
        (folder / "name.txt").write_text(platform)
        command = ("push", "--plain-http", "--artifact-platform", platform, f"{name}:{platform[6:]}", "name.txt")
        tools.run("oras", *command, cwd=folder)
    tools.run("oras", "manifest", "index", "create", "--plain-http", f"{name}:1.0.0", "amd64", "arm64")
    digests = {
        tag: tools.run("crane", "digest", "--insecure", f"{name}:{tag}").stdout.strip() for tag in ("1.0.0", "arm64")
    }
    predicate = folder / "predicate.json"
    predicate.write_text('{"tested": true}')
    about = ("--predicate", predicate, "--type", "custom")
    for digest in digests.values():
        for program, options in (("cosign2", ()), ("cosign", ("--use-signing-config=false",))):
            tools.run(program, "sign", *OFFLINE, *options, f"{name}@{digest}", env=PASSWORD)
            tools.run(program, "attest", *OFFLINE, *options, *about, f"{name}@{digest}", env=PASSWORD)
    return digests


def run(source: str, to: str) -> dict[str, Any]:
    policy = parse_policy({"public_keys": [str(KEY)], "attestations": [{"type": "custom"}]})
    options = CopyOptions(ReferenceOptions(ref=source), to, policy, connection=INSECURE, to_connection=INSECURE)
    return copy(options)


def test_signatures_of_cosign_travel_through_every_kind_of_place(
    tools: Tools, registry: RegistryServer, oci11_registry: RegistryServer, tmp_path: Path
) -> None:
    """From a registry without the referrers API into a layout, one with it, an archive, and back to the first."""
    origin, home = f"{registry.host}/copy/origin", f"{registry.host}/copy/home"
    digests = publish(tools, origin, tmp_path)
    places = [
        f"oci-layout:{tmp_path}/layout",
        f"{oci11_registry.host}/copy/mirror",
        f"oci-archive:{tmp_path}/a.tar",
        home,
    ]
    source, count = origin, 0
    for place in places:
        done = run(f"{source}:1.0.0", place)
        assert done["changed"] and done["verification"]["verified"] and done["present"] == 0, place
        assert done["artifact"]["digest"] == digests["1.0.0"]
        assert count in (0, len(done["copied"])), "the same comes out of each place"
        source, count = place, len(done["copied"])
        again = run(f"{place}:1.0.0", place)
        assert not again["changed"] and again["present"] == count
    # index, two platforms; for the index and one platform .sig, .att and two bundles
    assert count == 3 + 2 * 4
    for program in ("cosign2", "cosign"):
        for place in (home, places[1]):
            for digest in digests.values():
                tools.run(program, "verify", *CHECK, f"{place}@{digest}")
                tools.run(program, "verify-attestation", *CHECK, "--type", "custom", f"{place}@{digest}")
    for place in (home, places[1]):
        raw = tools.run("crane", "manifest", "--insecure", f"{place}:1.0.0").stdout
        assert raw == tools.run("crane", "manifest", "--insecure", f"{origin}:1.0.0").stdout
        assert json.loads(raw)["manifests"]


def test_the_module(ansible: AnsibleRunner, tools: Tools, registry: RegistryServer, tmp_path: Path) -> None:
    origin = f"{registry.host}/copy/module"
    (tmp_path / "name.txt").write_text("it")
    tools.run("oras", "push", "--plain-http", f"{origin}:stable", "name.txt", cwd=tmp_path)
    archive = f"oci-archive:{tmp_path}/out/{{name}}.tar"
    task = {COPY: {"ref": f"{origin}:stable", "to": archive, "insecure": True}, "name": "copy"}
    mirror = {"ref": f"oci-archive:{tmp_path}/out/module.tar:stable", "to": f"{registry.host}/copy/module-mirror"}
    to_registry = {"username": "nobody", "password": "p@ss-of-the-mirror", "insecure": True}
    foreseen, copied, again, mirrored = ansible.tasks(
        [
            {**task, "check_mode": True, "diff": True},
            task,
            task,
            {COPY: {**mirror, "to_registry": to_registry}, "name": "mirror"},
        ]
    )
    assert [result.changed for result in (foreseen, copied, again, mirrored)] == [True, True, False, True], mirrored
    assert foreseen["diff"][0]["after"].startswith("stable -> sha256:")
    assert copied["to"] == f"oci-archive:{tmp_path}/out/module.tar:stable"
    assert mirrored["artifact"]["digest"] == copied["artifact"]["digest"]
    assert (
        tools.run("crane", "digest", "--insecure", f"{registry.host}/copy/module-mirror:stable").stdout.strip()
        == (copied["artifact"]["digest"])
    )

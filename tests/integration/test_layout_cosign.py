# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts that the real cosign wrote (``cosign save``): verified, pulled from, inspected and signed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

PULL, VERIFY, INFO, SIGN = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "verify", "info", "sign"))
KEYS = vectors.ROOT / "keys"
KEY, OTHER = str(KEYS / "key-a.pub"), str(KEYS / "key-b.pub")
PASSWORD = {"COSIGN_PASSWORD": "vector-password"}
OFFLINE = ("--tlog-upload=false", "--allow-http-registry", "--yes", "--key", str(KEYS / "key-a.key"))
# program that signs and saves -> further options for signing; how the signature is stored
PROGRAMS = {"cosign2": ((), "legacy"), "cosign": (("--use-signing-config=false",), "bundle")}
PREDICATE = "https://cosign.sigstore.dev/attestation/v1"


class Shop:
    """Publishes artifacts, signs them with one program, and saves them with the same."""

    def __init__(self, tools: Tools, server: RegistryServer, program: str, home: Path) -> None:
        self._tools = tools
        self._home = home
        self._program = program
        self._name = f"{server.host}/saved/{program}"
        self._options, self.form = PROGRAMS[program]

    def publish(self, tag: str, *options: str) -> str:
        """A reference by digest to an artifact with one file."""
        (self._home / "name.txt").write_text(tag)
        command = ("push", "--plain-http", "--format=json", *options, f"{self._name}:{tag}", "name.txt")
        return f"{self._name}@{json.loads(self._tools.run('oras', *command, cwd=self._home).stdout)['digest']}"

    def publish_index(self, tag: str) -> str:
        for platform in ("linux/amd64", "linux/arm64"):
            self.publish(f"{tag}-{platform[6:]}", "--artifact-platform", platform)
        children = (f"{tag}-amd64", f"{tag}-arm64")
        made = self._tools.run("oras", "manifest", "index", "create", "--plain-http", f"{self._name}:{tag}", *children)
        return f"{self._name}@{made.stdout.split('Digest:')[1].split()[0]}"

    def sign(self, reference: str) -> None:
        self._tools.run(self._program, "sign", *OFFLINE, *self._options, reference, env=PASSWORD)

    def attest(self, reference: str) -> None:
        predicate = self._home / "predicate.json"
        predicate.write_text('{"tested": true}')
        about = ("--predicate", predicate, "--type", "custom")
        self._tools.run(self._program, "attest", *OFFLINE, *self._options, *about, reference, env=PASSWORD)

    def save(self, reference: str, layout: Path) -> None:
        self._tools.run(self._program, "save", "--allow-http-registry", "--dir", layout, reference)


@pytest.fixture(params=PROGRAMS)
def shop(
    request: pytest.FixtureRequest,
    tools: Tools,
    registry: RegistryServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    return Shop(tools, registry, request.param, tmp_path_factory.mktemp("shop"))


def digest_of(reference: str) -> str:
    return reference.partition("@")[2]


def run(ansible: AnsibleRunner, *tasks: dict[str, Any]) -> list[TaskResult]:
    return ansible.tasks([{"name": str(number), **task, "ignore_errors": True} for number, task in enumerate(tasks)])


def verify(layout: str, key: str = KEY, **options: Any) -> dict[str, Any]:
    return {VERIFY: {"ref": f"oci-layout:{layout}", "public_keys": [key], **options}}


def pull(layout: str, dest: Path, key: str = KEY, **options: Any) -> dict[str, Any]:
    arguments = {"ref": f"oci-layout:{layout}", "dest": str(dest), "layers": "all", "verify": {"public_keys": [key]}}
    return {PULL: {**arguments, **options}}


def test_an_artifact_with_signature_and_attestation(ansible: AnsibleRunner, shop: Shop, tmp_path: Path) -> None:
    reference = shop.publish("artifact")
    shop.sign(reference)
    shop.attest(reference)
    layout = tmp_path / "layout"
    shop.save(reference, layout)
    attested = {"attestations": [{"type": "custom"}]}
    verified, demanding, refused, pulled, kept, shown = run(
        ansible,
        verify(str(layout)),
        verify(str(layout), **attested),
        verify(str(layout), OTHER),
        pull(str(layout), tmp_path / "dest"),
        pull(str(layout), tmp_path / "none", OTHER),
        {INFO: {"ref": f"oci-layout:{layout}", "gather": ["manifest", "referrers", "tags"]}},
    )
    for result in (verified, demanding):
        assert not result.failed, result
        assert len({signer["key"] for signer in result["verification"]["signers"]}) == 1
    assert verified["verification"]["signers"][0]["format"] == shop.form
    assert verified["artifact"]["digest"] == digest_of(reference)
    assert refused["reason"] == "VerificationError" and "The signature is not by the key" in refused["msg"]
    assert not pulled.failed, pulled
    assert (tmp_path / "dest/name.txt").read_text() == "artifact"
    assert kept["reason"] == "VerificationError" and not (tmp_path / "none").exists()
    assert (shown["artifact"]["digest"], shown["tags"]) == (digest_of(reference), [])
    # the legacy format has no referrers in a registry either
    kinds = {each["annotations"]["dev.sigstore.bundle.predicateType"] for each in shown["referrers"]}
    assert kinds == ({"https://sigstore.dev/cosign/sign/v1", PREDICATE} if shop.form == "bundle" else set())
    assert not any(result.get("warnings") for result in (verified, pulled, shown))


def test_an_index_with_platforms(ansible: AnsibleRunner, shop: Shop, tmp_path: Path) -> None:
    reference = shop.publish_index("index")
    shop.sign(reference)
    layout = tmp_path / "layout"
    shop.save(reference, layout)
    verified, pulled = run(ansible, verify(str(layout)), pull(str(layout), tmp_path / "dest", platform="linux/arm64"))
    assert not verified.failed, verified
    assert verified["artifact"]["digest"] == digest_of(reference)
    assert not pulled.failed, pulled
    assert (tmp_path / "dest/name.txt").read_text() == "index-arm64"


def test_two_artifacts_that_were_saved_into_one_directory(ansible: AnsibleRunner, shop: Shop, tmp_path: Path) -> None:
    """The second save lists its artifact alone; the first is known by its digest."""
    first, second, unsigned = (shop.publish(tag) for tag in ("first", "second", "unsigned"))
    layout = tmp_path / "layout"
    for reference in (unsigned, first, second):
        if reference != unsigned:
            shop.sign(reference)
        shop.save(reference, layout)
    earlier, latest, nothing = run(
        ansible,
        pull(f"{layout}@{digest_of(first)}", tmp_path / "first"),
        pull(str(layout), tmp_path / "second"),
        verify(f"{layout}@{digest_of(unsigned)}"),
    )
    for name, result in (("first", earlier), ("second", latest)):
        assert not result.failed, result
        assert (tmp_path / name / "name.txt").read_text() == name
    assert nothing["reason"] == "VerificationError", "the signatures of others are beside it"


def test_what_we_sign_in_a_saved_layout_keeps_what_cosign_signed(
    ansible: AnsibleRunner, shop: Shop, tmp_path: Path, tools: Tools
) -> None:
    reference = shop.publish("signed-twice")
    shop.sign(reference)
    layout = tmp_path / "layout"
    shop.save(reference, layout)
    before = tmp_path / "before"
    shutil.copytree(layout, before)
    key = {"ref": f"oci-layout:{layout}", "key": str(KEYS / "key-b.key"), "key_password": "vector-password"}
    unchanged, signed, again, *verified = run(
        ansible,
        {SIGN: {**key, "key": str(KEYS / "key-a.key"), "format": shop.form}},
        {SIGN: key},
        {SIGN: key},
        verify(str(layout), KEY),
        verify(str(layout), OTHER),
        {VERIFY: {"ref": f"oci-layout:{layout}", "public_keys": [KEY, OTHER], "min_signers": 2}},
    )
    assert not unchanged.changed, "cosign's own signature is found"
    assert signed.changed and not again.changed
    assert [result.get("msg") for result in verified if result.failed] == []
    # cosign still reads the layout
    options = ("--insecure-ignore-tlog", "--local-image", "--key", KEY)
    for place in (before, layout):
        tools.run("cosign" if shop.form == "bundle" else "cosign2", "verify", *options, place)


@pytest.mark.parametrize("writer", ["cosign", "cosign2"])
def test_legacy_signatures_that_either_program_saves(
    ansible: AnsibleRunner, tools: Tools, registry: RegistryServer, tmp_path: Path, writer: str
) -> None:
    shop = Shop(tools, registry, "cosign2", tmp_path)
    reference = shop.publish("either")
    shop.sign(reference)
    shop.attest(reference)
    tools.run(writer, "save", "--allow-http-registry", "--dir", tmp_path / "layout", reference)
    layout = str(tmp_path / "layout")
    (result,) = run(ansible, verify(layout, attestations=[{"type": "custom"}]))
    assert not result.failed, result

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real cosign accepts what we sign, we accept what it signs, and neither drops what the other wrote."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from secret_search import new_secret
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Publisher
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

SIGN = "cloudnative.artifacts.oci_artifact_sign"
VERIFY = "cloudnative.artifacts.oci_artifact_verify"
KEYS = vectors.ROOT / "keys"
PASSWORD = "vector-password"
KINDS = ("key-a", "p384", "p521", "rsa2048", "rsa4096", "ed25519")
# what cosign 3.1 signs with other keys, it does not verify itself: another hash, or Ed25519 with prehashing
BOTH_WAYS = ("key-a", "rsa2048")
OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry", "--yes")


@pytest.fixture(scope="module", params=["registry", "oci11_registry"])
def server(request: pytest.FixtureRequest) -> RegistryServer:
    """A registry without and one with the referrers API."""
    found: RegistryServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def has_referrers_api(server: RegistryServer, oci11_registry: RegistryServer) -> bool:
    return server is oci11_registry


def cosign_verify(
    tools: Tools, reference: str, key: str, *options: str, program: str = "cosign"
) -> subprocess.CompletedProcess[str]:
    return tools.run(
        program, "verify", "--key", KEYS / f"{key}.pub", "--insecure-ignore-tlog", "--allow-http-registry",
        *options, reference, check=False,
    )  # fmt: skip


def cosign_sign(tools: Tools, reference: str, key: str, form: str, *options: str) -> None:
    shape = () if form == "bundle" else ("--new-bundle-format=false",)
    environment = {"COSIGN_PASSWORD": PASSWORD}
    tools.run("cosign", "sign", "--key", KEYS / f"{key}.key", *OFFLINE, *shape, *options, reference, env=environment)


def sign(reference: str, signer: str, /, **options: Any) -> dict[str, Any]:
    arguments = {"ref": reference, "key": str(KEYS / f"{signer}.key"), "key_password": PASSWORD, "insecure": True}
    return {"name": f"{reference} {signer}", SIGN: {**arguments, **options}}


def verify(reference: str, *keys: str, **options: Any) -> dict[str, Any]:
    arguments = {"ref": reference, "public_keys": [str(KEYS / f"{key}.pub") for key in keys], "insecure": True}
    return {"name": f"{reference} {keys}", VERIFY: {**arguments, **options}, "ignore_errors": True}


def publish(tools: Tools, server: RegistryServer, repository: str, tag: str = "1.0.0") -> str:
    """A reference to a new artifact, by digest."""
    name = f"{server.host}/sign-interop/{repository}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.txt").write_text(f"{repository} {tag}")
        done = tools.run("oras", "push", "--plain-http", "--format=json", f"{name}:{tag}", "a.txt", cwd=Path(folder))
    return f"{name}@{json.loads(done.stdout)['digest']}"


def run(ansible: AnsibleRunner, tasks: list[dict[str, Any]]) -> list[TaskResult]:
    results = ansible.tasks(tasks)
    assert [result.get("msg") for result in results if result.failed] == [] and len(results) == len(tasks)
    return results


def test_cosign_accepts_what_we_sign(
    ansible: AnsibleRunner, tools: Tools, server: RegistryServer, has_referrers_api: bool
) -> None:
    annotated = {"annotations": {"stage": "<test> & more", "by": "größer"}}
    # the format decides where it is stored, the key how it is signed: not each with each
    wanted = [(key, form) for key in KINDS for form in ("legacy", "bundle")] + [("key-a", "both")]
    if has_referrers_api:
        wanted = [("key-a", "legacy"), ("ed25519", "bundle"), ("p384", "both")]
    cases = [(key, form, publish(tools, server, f"ours/{key}/{form}")) for key, form in wanted]
    results = run(ansible, [sign(reference, key, format=form, **annotated) for key, form, reference in cases])
    assert all(result.changed for result in results)
    refused = []
    for key, form, reference in cases:
        good = cosign_verify(tools, reference, key, "-a", "stage=<test> & more", "-a", "by=größer")
        if good.returncode:
            refused.append(f"{key} {form}: {good.stderr}")
            continue
        digest = reference.partition("@")[2]
        (claim,) = json.loads(good.stdout)
        assert claim["critical"]["image"]["docker-manifest-digest"] == digest
        assert claim["optional"] == annotated["annotations"]
        assert cosign_verify(tools, reference, key, "-a", "stage=production").returncode
    assert refused == []
    assert cosign_verify(tools, cases[0][2], "key-b").returncode


def test_we_accept_what_cosign_signs(ansible: AnsibleRunner, tools: Tools, server: RegistryServer) -> None:
    cases = []
    for key in BOTH_WAYS:
        for form in ("legacy", "bundle"):
            reference = publish(tools, server, f"theirs/{key}/{form}")
            cosign_sign(tools, reference, key, form, "-a", "stage=test")
            cases.append((key, form, reference))
    tasks = []
    for key, form, reference in cases:
        tasks += [verify(reference, key), sign(reference, key, format=form, annotations={"stage": "test"})]
    results = run(ansible, tasks)
    for verified, signed, (key, form, reference) in zip(results[::2], results[1::2], cases):
        (signer,) = verified["verification"]["signers"]
        assert (signer["format"], signer["annotations"]) == (form, {"stage": "test"}), key
        assert not signed.changed, "what cosign signed with the key needs no second signature"
        assert signed["signatures"] == [
            {
                "format": form,
                "digest": signer["found_in"],
                "key": signer["key"],
                "status": "unchanged",
                "artifact": reference.partition("@")[2],
            }
        ]


def test_cosign_2_and_we_accept_each_other(
    ansible: AnsibleRunner, tools: Tools, server: RegistryServer, has_referrers_api: bool
) -> None:
    """Cosign 2 knows the legacy format alone, and Ed25519 and the larger curves as we sign them."""
    ours = [("key-a", "legacy"), ("key-a", "both")]
    if not has_referrers_api:
        ours += [("rsa2048", "legacy"), ("p384", "legacy"), ("ed25519", "legacy")]
    cases = [(key, form, publish(tools, server, f"cosign2/ours/{key}/{form}")) for key, form in ours]
    theirs = {key: publish(tools, server, f"cosign2/theirs/{key}") for key in BOTH_WAYS}
    for key, reference in theirs.items():
        tools.run(
            "cosign2", "sign", "--key", KEYS / f"{key}.key", "--tlog-upload=false", "--allow-http-registry", "--yes",
            reference, env={"COSIGN_PASSWORD": PASSWORD},
        )  # fmt: skip
    results = run(
        ansible,
        [sign(reference, key, format=form) for key, form, reference in cases]
        + [verify(reference, key) for key, reference in theirs.items()],
    )
    assert all(result["verification"]["signers"][0]["format"] == "legacy" for result in results[len(cases) :])
    done = [cosign_verify(tools, reference, key, program="cosign2") for key, _form, reference in cases]
    assert [each.stderr for each in done if each.returncode] == []
    assert cosign_verify(tools, cases[0][2], "key-b", program="cosign2").returncode


@pytest.mark.parametrize("form", ["legacy", "bundle"])
def test_signatures_stand_side_by_side(ansible: AnsibleRunner, tools: Tools, server: RegistryServer, form: str) -> None:
    """Whoever signs after the other keeps what is there: cosign, we, cosign, we."""
    reference = publish(tools, server, f"side-by-side/{form}")
    cosign_sign(tools, reference, "key-a", form)
    run(ansible, [sign(reference, "key-b", format=form)])
    cosign_sign(tools, reference, "rsa2048", form)
    run(ansible, [sign(reference, "ed25519", format=form)])
    everybody = ("key-a", "key-b", "rsa2048", "ed25519")
    for key in everybody:
        done = cosign_verify(tools, reference, key)
        assert done.returncode == 0, f"{key}: {done.stderr}"
    (verified,) = run(ansible, [verify(reference, *everybody, min_signers=4)])
    assert len(verified["verification"]["signers"]) == 4


def test_the_payload_is_that_of_cosign(ansible: AnsibleRunner, tools: Tools, registry: RegistryServer) -> None:
    """The signed bytes are the same, so that the layers of both have one digest."""
    for signed_ones in ({}, {"b": "<&> größer", "a": "1"}):
        reference = publish(tools, registry, f"bytes/{len(signed_ones)}")
        repository, _at, digest = reference.partition("@")
        options = [f"--annotations={name}={value}" for name, value in signed_ones.items()]
        cosign_sign(tools, reference, "key-a", "legacy", *options)
        run(ansible, [sign(reference, "key-b", format="legacy", annotations=signed_ones)])
        tag = f"{repository}:{digest.replace(':', '-')}.sig"
        manifest = json.loads(tools.run("crane", "manifest", "--insecure", tag).stdout)
        theirs, ours = (layer["digest"] for layer in manifest["layers"])
        assert theirs == ours


def test_a_key_that_cosign_made_and_one_that_it_imported(
    ansible: AnsibleRunner, tools: Tools, registry: RegistryServer, tmp_path: Path
) -> None:
    environment = {"COSIGN_PASSWORD": new_secret("correct horse battery staple ")}
    tools.run("cosign", "generate-key-pair", "--output-key-prefix", tmp_path / "made", env=environment)
    plain = KEYS / "rsa2048.raw.pem"
    tools.run(
        "cosign", "import-key-pair", "--key", plain, "--output-key-prefix", tmp_path / "imported", env=environment
    )
    for name in ("made", "imported"):
        reference = publish(tools, registry, f"keys/{name}")
        task = sign(reference, "none", key=str(tmp_path / f"{name}.key"), key_password=None)
        interpreter = {"ansible_python_interpreter": ansible.python_with(environment)}
        (signed,) = run(ansible, [{**task, "vars": interpreter}])
        assert signed.changed
        tools.run(
            "cosign", "verify", "--key", tmp_path / f"{name}.pub", "--insecure-ignore-tlog", "--allow-http-registry",
            reference,
        )  # fmt: skip


def test_openssl_made_the_key(ansible: AnsibleRunner, tools: Tools, registry: RegistryServer, tmp_path: Path) -> None:
    """As the documentation says how to make one."""
    private, public = tmp_path / "sign.key", tmp_path / "sign.pub"
    for command in (
        f"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {private}",
        f"pkey -in {private} -pubout -out {public}",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    reference = publish(tools, registry, "openssl")
    run(ansible, [sign(reference, "none", key=str(private), key_password=None)])
    tools.run("cosign", "verify", "--key", public, "--insecure-ignore-tlog", "--allow-http-registry", reference)


def test_an_index_is_signed_as_such(ansible: AnsibleRunner, tools: Tools, registry: RegistryServer) -> None:
    publisher = Publisher(registry.host, "sign-interop/index")
    child = publisher.publish("amd64", {"a.txt": "a"})
    publisher.publish_index("1.0.0", {"linux/amd64": child})
    run(ansible, [sign(f"{publisher.name}:1.0.0", "key-a")])
    assert cosign_verify(tools, f"{publisher.name}:1.0.0", "key-a").returncode == 0
    assert cosign_verify(tools, f"{publisher.name}@{child}", "key-a").returncode


def test_what_is_tampered_with_is_refused_by_both(
    ansible: AnsibleRunner, tools: Tools, registry: RegistryServer
) -> None:
    """A signature that is put beside another artifact counts for neither."""
    signed, moved = publish(tools, registry, "tampered"), publish(tools, registry, "tampered", "2.0.0")
    run(ansible, [sign(signed, "key-a", format="legacy")])
    old, new = (each.replace("@sha256:", ":sha256-") + ".sig" for each in (signed, moved))
    tools.run("crane", "copy", "--insecure", old, new)
    assert cosign_verify(tools, moved, "key-a").returncode
    refused = ansible.tasks([verify(moved, "key-a")])[0]
    assert refused.failed and refused["reason"] == "VerificationError" and "digest-mismatch" in refused["msg"]
    run(ansible, [sign(moved, "key-a", format="legacy")])
    assert cosign_verify(tools, moved, "key-a").returncode == 0

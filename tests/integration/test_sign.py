# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_sign, and sign of oci_artifact_push, through ansible against real registries and layouts."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from meeting import Meeting
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import INDEX, Publisher
from support.servers import RegistryServer, Request

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.sign import SigningOptions, SignOptions, sign
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import VerifyOptions, verify
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import sign as sign_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy

PUSH, SIGN, VERIFY = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("push", "sign", "verify"))
KEYS = vectors.ROOT / "keys"
PASSWORD = "vector-password"
READING = {"HEAD", "GET"}
CREATED, UNCHANGED = {"legacy": "created", "bundle": "created"}, {"legacy": "unchanged", "bundle": "unchanged"}


def task(module: str, **arguments: Any) -> dict[str, Any]:
    """A task; a failure is a result too."""
    found = [name for name in ("check_mode", "diff", "environment") if name in arguments]
    keywords: dict[str, Any] = {name: arguments.pop(name) for name in found}
    return {"name": module, module: {"insecure": True, **arguments}, "ignore_errors": True, **keywords}


def signing(name: str = "ed25519", **options: Any) -> dict[str, Any]:
    return {"key": str(KEYS / f"{name}.raw.pem"), **options}


def public(*names: str) -> list[str]:
    return [str(KEYS / f"{name}.pub") for name in names]


def run(ansible: AnsibleRunner, *tasks: dict[str, Any], **play: Any) -> list[TaskResult]:
    results = ansible.tasks(tasks, **play)
    assert len(results) == len(tasks)
    assert not any("Traceback" in str(result.get("module_stderr", "")) + str(result.get("msg")) for result in results)
    return results


def statuses(result: TaskResult) -> dict[str, str]:
    assert not result.failed, result
    return {each["format"]: each["status"] for each in result["signatures"]}


def methods(requests: list[Request]) -> set[str]:
    return {request.method for request in requests}


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "a.yaml").write_text("a: 1\n")
    return folder


@pytest.fixture(params=["registry", "oci11_registry"])
def server(request: pytest.FixtureRequest) -> RegistryServer:
    found: RegistryServer = request.getfixturevalue(request.param)
    return found


@pytest.mark.once
def test_sign_again_and_otherwise(ansible: AnsibleRunner, server: RegistryServer, content: Path) -> None:
    """New; unchanged, with reading requests alone; another key; other annotations; what verification then says."""
    ref = f"{server.host}/sign/again:1.0.0"
    pushed, foreseen, signed = run(
        ansible,
        task(PUSH, ref=ref, path=str(content)),
        task(SIGN, ref=ref, **signing(), check_mode=True, diff=True),
        task(SIGN, ref=ref, **signing(), diff=True),
    )
    assert pushed["signatures"] == []
    assert statuses(foreseen) == statuses(signed) == CREATED
    assert foreseen["signatures"] == signed["signatures"] and foreseen["diff"] == signed["diff"]
    assert foreseen.changed and signed.changed and signed["reason"] == "ArtifactSigned"
    assert signed["artifact"]["digest"] == pushed["artifact"]["digest"]
    assert signed["artifact"]["revision"] == f"1.0.0@{pushed['artifact']['digest']}"

    start = server.mark()
    again = run(ansible, task(SIGN, ref=ref, **signing()))[0]
    assert (again.changed, again["reason"], statuses(again)) == (False, "ArtifactUpToDate", UNCHANGED)
    assert again["signatures"] == [{**each, "status": "unchanged"} for each in signed["signatures"]]
    requests = server.requests(start)
    assert methods(requests) <= READING and len(requests) <= 7, requests

    pinned = f"{server.host}/sign/again@{pushed['artifact']['digest']}"
    by_digest, other_key, annotated, verified = run(
        ansible,
        task(SIGN, ref=pinned, **signing()),
        task(SIGN, ref=pinned, **signing("rsa2048")),
        task(SIGN, ref=pinned, **signing("rsa2048", annotations={"stage": "tested", "build": 7})),
        task(VERIFY, ref=ref, public_keys=public("ed25519", "rsa2048"), min_signers=2),
    )
    assert [statuses(each) for each in (by_digest, other_key, annotated)] == [UNCHANGED, CREATED, CREATED]
    assert by_digest["artifact"]["revision"] == pushed["artifact"]["digest"]
    keys = {each["key"] for each in signed["signatures"] + other_key["signatures"]}
    assert {signer["key"] for signer in verified["verification"]["signers"]} == keys and len(keys) == 2


def test_check_mode_sends_nothing(ansible: AnsibleRunner, registry: RegistryServer, content: Path) -> None:
    ref = f"{registry.host}/sign/check:1.0.0"
    layout = content.parent / "layout"
    start = registry.mark()
    new, in_layout = run(
        ansible,
        task(PUSH, ref=ref, path=str(content), sign=signing(), check_mode=True),
        task(PUSH, ref=f"oci-layout:{layout}:1.0.0", path=str(content), sign=signing(), check_mode=True),
    )
    assert statuses(new) == statuses(in_layout) == CREATED
    assert methods(registry.requests(start)) <= READING and not layout.exists()
    run(ansible, task(PUSH, ref=ref, path=str(content)))
    start = registry.mark()
    unsigned = run(
        ansible,
        task(SIGN, ref=ref, **signing(), check_mode=True),
        task(PUSH, ref=ref, path=str(content), sign=signing(), check_mode=True, diff=True),
    )
    assert [(each.changed, each["reason"]) for each in unsigned] == [(True, "ArtifactSigned")] * 2
    assert unsigned[1]["tags"] == {"1.0.0": "unchanged"} and "legacy" in json.dumps(unsigned[1]["diff"])
    assert methods(registry.requests(start)) <= READING


@pytest.mark.once
def test_a_tag_never_leads_to_what_is_not_signed(ansible: AnsibleRunner, server: RegistryServer, content: Path) -> None:
    """The registry's own log: blobs, the artifact by digest, its signatures, and last of all its tags."""
    repository = f"{server.host}/sign/order"
    start = server.mark()
    pushed = run(ansible, task(PUSH, ref=f"{repository}:1.0.0", path=str(content), tags=["stable"], sign=signing()))[0]
    assert statuses(pushed) == CREATED and pushed["reason"] == "ArtifactPushed"
    digest = pushed["artifact"]["digest"]
    requests = server.requests(start)
    manifests = [
        request.path.rpartition("/")[2]
        for request in requests
        if request.method == "PUT" and "/manifests/" in request.path
    ]
    assert manifests[0] == digest and manifests[-2:] == ["1.0.0", "stable"]
    assert f"{digest.replace(':', '-')}.sig" in manifests[1:-2]
    assert pushed["signatures"][1]["digest"] in manifests[1:-2]

    start = server.mark()
    again = run(ansible, task(PUSH, ref=f"{repository}:1.0.0", path=str(content), tags=["stable"], sign=signing()))[0]
    assert (again.changed, again["reason"], statuses(again)) == (False, "ArtifactUpToDate", UNCHANGED)
    assert methods(server.requests(start)) <= READING

    (content / "a.yaml").write_text("a: 2\n")
    start = server.mark()
    wrong = task(PUSH, ref=f"{repository}:main", path=str(content), sign={"key": str(KEYS / "key-a.key")})
    refused = run(ansible, {**wrong, "environment": {"COSIGN_PASSWORD": "no such word"}})[0]
    assert refused.failed and refused["reason"] == "VerificationError" and "password is wrong" in refused["msg"]
    assert server.requests(start) == [], "the key is read before anything is asked or sent"


@pytest.mark.once
def test_signing_that_fails_leaves_no_tag(ansible: AnsibleRunner, registry: RegistryServer, content: Path) -> None:
    """The tag of signatures is taken by something else."""
    repository = f"{registry.host}/sign/fails"
    foreseen = run(ansible, task(PUSH, ref=f"{repository}:1.0.0", path=str(content), check_mode=True))[0]
    tag = foreseen["artifact"]["digest"].replace(":", "-") + ".sig"
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    Publisher(registry.host, "sign/fails").put_manifest(tag, json.dumps(index).encode(), INDEX)
    for check_mode in (True, False):
        failed = run(
            ansible,
            task(PUSH, ref=f"{repository}:1.0.0", path=str(content), sign=signing(), check_mode=check_mode),
        )[0]
        assert failed.failed and failed["reason"] == "OCIArtifactPushFailed"
        assert "is an index" in failed["msg"] and "No tag was written" in failed["msg"]
    absent = run(ansible, task(SIGN, ref=f"{repository}:1.0.0", **signing()))[0]
    assert absent.failed and absent["reason"] == "OCIArtifactPullFailed"
    as_bundle = run(ansible, task(PUSH, ref=f"{repository}:1.0.0", path=str(content), sign=signing(format="bundle")))[0]
    assert statuses(as_bundle) == {"bundle": "created"}


@pytest.mark.once
def test_push_signs_what_was_published_before(ansible: AnsibleRunner, registry: RegistryServer, content: Path) -> None:
    repository = f"{registry.host}/sign/before"
    arguments = {"ref": f"{repository}:1.0.0", "path": str(content)}
    first, signed, referring = run(
        ansible,
        task(PUSH, **arguments),
        task(PUSH, **arguments, sign=signing("rsa2048", annotations={"a": "b"}), diff=True),
        task(PUSH, url=f"oci://{repository}", path=str(content), subject="1.0.0", type="files", sign=signing()),
    )
    assert (signed.changed, signed["reason"]) == (True, "ArtifactSigned")
    assert signed["tags"] == {"1.0.0": "unchanged"} and statuses(signed) == CREATED
    assert signed["artifact"] == first["artifact"] and signed["blobs"] == {"existed": 0, "mounted": 0, "uploaded": 0}
    assert statuses(referring) == CREATED and referring["artifact"]["tag"] == ""
    verified, attached = run(
        ansible,
        task(VERIFY, ref=f"{repository}:1.0.0", public_keys=public("rsa2048")),
        task(VERIFY, ref=f"{repository}@{referring['artifact']['digest']}", public_keys=public("ed25519")),
    )
    assert verified["verification"]["signers"][0]["annotations"] == {"a": "b"}
    assert attached["verification"]["verified"]


@pytest.mark.once
def test_a_layout(ansible: AnsibleRunner, content: Path) -> None:
    """Signed without any server; the same key gives the same bytes wherever it signs."""
    layouts = [content.parent / name for name in ("one", "two")]
    pushed = run(
        ansible,
        *(task(PUSH, ref=f"oci-layout:{each}:1.0.0", path=str(content), sign=signing()) for each in layouts),
        *(task(VERIFY, ref=f"oci-layout:{each}:1.0.0", public_keys=public("ed25519")) for each in layouts),
    )
    assert [each.failed for each in pushed] == [False] * 4
    states = [
        {path.relative_to(each): path.read_bytes() for path in each.rglob("*") if path.is_file()} for each in layouts
    ]
    assert states[0] == states[1]


@pytest.mark.once
def test_source_date_epoch(ansible: AnsibleRunner, content: Path) -> None:
    layout = content.parent / "layout"
    ref = f"oci-layout:{layout}:1.0.0"
    environment = {"SOURCE_DATE_EPOCH": "1700000000"}
    _pushed, signed = run(
        ansible, task(PUSH, ref=ref, path=str(content)), task(SIGN, ref=ref, **signing(), environment=environment)
    )
    bundle = next(each["digest"] for each in signed["signatures"] if each["format"] == "bundle")
    manifest = json.loads((layout / "blobs" / bundle.replace(":", "/")).read_text())
    assert manifest["annotations"]["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
    assert not run(ansible, task(SIGN, ref=ref, **signing()))[0].changed


def test_keys_and_passwords(ansible: AnsibleRunner, content: Path) -> None:
    """Every way to give them, and one sentence for each that does not do."""
    ref = f"oci-layout:{content.parent}/layout:1.0.0"
    encrypted = str(KEYS / "key-a.key")
    results = run(
        ansible,
        task(PUSH, ref=ref, path=str(content)),
        task(SIGN, ref=ref, key=encrypted, key_password=PASSWORD),
        {
            **task(SIGN, ref=ref, key=encrypted),
            "vars": {"ansible_python_interpreter": ansible.python_with({"COSIGN_PASSWORD": PASSWORD})},
        },
        task(SIGN, ref=ref, key=(KEYS / "key-nopass.key").read_text()),
        task(SIGN, ref=ref, key=(KEYS / "p384.raw.pem").read_text()),
        task(SIGN, ref=ref, key=encrypted),
        task(SIGN, ref=ref, key=encrypted, key_password="no such word"),
        task(SIGN, ref=ref, key=str(KEYS / "key-a.pub")),
        task(SIGN, ref=ref, key="/nonexistent/cosign.key"),
        task(SIGN, ref=ref, key=str(content / "a.yaml")),
        task(SIGN, ref=ref, key=encrypted, key_password=PASSWORD, annotations={"list": ["a"]}),
        task(VERIFY, ref=ref, public_keys=public("key-a", "key-nopass", "p384"), min_signers=3),
    )
    assert [each.changed for each in results[:5]] == [True, True, False, True, True]
    assert not results[11].failed and results[11]["verification"]["verified"]
    wanted = (
        "its password is not given",
        "the password is wrong",
        "is a public key",
        "cannot be read: No such file or directory",
        "has no PEM block",
        "is not text",
    )
    for result, words in zip(results[5:11], wanted):
        assert result.failed and words in result["msg"], result
        assert result["reason"] in ("VerificationError", "InvalidOption") and "\n" not in result["msg"]


@pytest.mark.parametrize("works", [True, False])
def test_no_secret_is_shown(ansible: AnsibleRunner, content: Path, tmp_path: Path, works: bool) -> None:
    """Neither the key nor its password is in any output, however verbose."""
    key, password = (KEYS / "p521.key").read_text(), PASSWORD if works else "Quite-Another-Word"
    ref = f"oci-layout:{tmp_path}/layout:1.0.0"
    arguments = {"key": key, "key_password": password}
    playbook = tmp_path / "play.yml"
    tasks = [
        task(PUSH, ref=ref, path=str(content), sign=arguments, diff=True),
        task(PUSH, ref=ref, path=str(content)),
        task(SIGN, ref=ref, **arguments, diff=True),
    ]
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = ansible.playbook(playbook, "-vvvv", environment={"ANSIBLE_LOG_PATH": str(tmp_path / "log")})
    assert done.returncode == 0
    assert ("password is wrong" in done.stdout) != works
    shown = done.stdout + done.stderr + (tmp_path / "log").read_text()
    secrets = [password, *(line for line in key.splitlines() if len(line) == 64)]
    assert len(secrets) > 5
    assert [secret for secret in secrets if secret in shown] == []


@pytest.mark.once
def test_signers_at_once_lose_nothing(
    server: RegistryServer, ansible: AnsibleRunner, content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five keys sign one artifact at the same time, in both formats."""
    names = ["ed25519", "p384", "p521", "rsa2048", "rsa4096"]
    ref = ReferenceOptions(ref=f"{server.host}/sign/at-once:1.0.0")
    connection = ConnectionOptions(insecure=True)
    pushed = run(ansible, task(PUSH, ref=ref.ref, path=str(content)))[0]
    assert not pushed.failed

    def one(name: str) -> bool:
        key = SigningOptions(key=str(KEYS / f"{name}.raw.pem"))
        return bool(sign(SignOptions(ref, key, connection=connection))["changed"])

    # each looks again when the others have written: on a busy machine that takes longer than it would pause
    meeting = Meeting(len(names))
    with monkeypatch.context() as patched, ThreadPoolExecutor(len(names)) as pool:
        patched.setattr(sign_module, "time", meeting)
        assert list(pool.map(meeting.attend, [one] * len(names), names)) == [True] * len(names)
    for types in ([], ["https://sigstore.dev/cosign/sign/v1"]):
        policy = {"public_keys": public(*names), "min_signers": len(names), "predicate_types": types}
        verified = verify(VerifyOptions(ref, parse_policy(policy), connection=connection))
        assert len(verified["verification"]["signers"]) == len(names)
    digest = pushed["artifact"]["digest"]
    for name in names:
        result = sign(SignOptions(ref, SigningOptions(key=str(KEYS / f"{name}.raw.pem")), connection=connection))
        assert (result["changed"], result["artifact"]["digest"]) == (False, digest)

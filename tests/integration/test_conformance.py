# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of sigstore-conformance in a registry: cosign's verdict next to this collection's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.ansible_runner import AnsibleRunner
from support.attached import attach_bundle, open_repository
from support.notation_cli import push_artifact
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, VerificationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import CosignVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._trust.conformance_cases import (
    Case,
    Conformance,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._trust.mini_sigstore import (
    ISSUER,
    SUBJECT,
)

pytestmark = pytest.mark.once

MODULE = "cloudnative.artifacts.oci_artifact_verify"

#: Cases that are younger than this release of cosign, which says the opposite.
OTHERWISE = (
    "dsse-with-hashedrekord-happy-path",
    "dsse-statement-missing-type_fail",
    "dsse-statement-unknown-type_fail",
    "rekor2-multiple-timestamps-one-outside-cert-validity_fail",
)


def cosign_accepts(tools: Tools, case: Case, reference: str, folder: Path) -> tuple[bool, str]:
    root = folder / "root.json"
    root.write_text(json.dumps(case.root))
    options = ["--certificate-identity", SUBJECT, "--certificate-oidc-issuer", ISSUER, "--trusted-root", str(root)]
    if case.key is not None:
        key = folder / "key.pub"
        key.write_bytes(case.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        options = ["--key", str(key), "--insecure-ignore-tlog"]
    if case.uses_timestamps:
        options.append("--use-signed-timestamps")
    done = tools.run("cosign", "verify", *options, "--allow-http-registry", reference, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def accepts(case: Case, repository: Any, digest: str) -> tuple[bool, str]:
    option: dict[str, Any] = {"identities": [{"issuer": f"^{ISSUER}$", "subject": f"^{SUBJECT}$"}]}
    option["trusted_root"] = json.dumps(case.root)
    if case.key is not None:
        key = case.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        option = {"public_keys": [key.decode("ascii")]}
    try:
        return CosignVerifier(parse_policy(option)).verify(repository, digest).verified, ""
    except (VerificationFailed, InvalidPolicy) as exc:
        return False, exc.message


def test_the_verdicts_are_those_of_the_suite_and_of_cosign(
    tools: Tools, oci11_registry: RegistryServer, tmp_path: Path
) -> None:
    repository = open_repository(oci11_registry, "conformance/all")
    artifact = push_artifact(repository).descriptor
    wrong = []
    for number, case in enumerate(Conformance(artifact.digest).cases()):
        own = open_repository(oci11_registry, f"conformance/case-{number}")
        pushed = push_artifact(own).descriptor
        assert pushed.digest == artifact.digest
        raw = case.bundle if isinstance(case.bundle, bytes) else json.dumps(case.bundle).encode("utf-8")
        attach_bundle(own, pushed, raw)
        theirs, said = cosign_accepts(tools, case, f"{own.reference.name}@{pushed.digest}", tmp_path)
        ours, why = accepts(case, own, pushed.digest)
        own.close()
        if ours is not case.is_good or theirs is not (case.is_good is (case.name not in OTHERWISE)):
            wrong.append(f"{case.name}: cosign {theirs}, here {ours}\n{said[-600:]}\n{why}")
    repository.close()
    assert not wrong, "\n\n".join(wrong)


def test_attestations_of_a_private_repository(
    ansible: AnsibleRunner, tools: Tools, oci11_registry: RegistryServer, tmp_path: Path
) -> None:
    """As GitHub makes them: a timestamp and no log entry, for a root in the second line of a file.

    Which root it is decides: with the first, which has a log, the same signature is refused.
    """
    repository = open_repository(oci11_registry, "conformance/private")
    artifact = push_artifact(repository).descriptor
    private, public = Conformance(artifact.digest), Conformance(artifact.digest)
    root = {**private.root, "tlogs": [], "ctlogs": []}
    made = private.made_2()
    del made["verificationMaterial"]["tlogEntries"]
    attach_bundle(repository, artifact, json.dumps(made).encode("utf-8"))
    repository.close()
    reference = f"{repository.reference.name}@{artifact.digest}"
    files = {"both": [public.root, root], "alone": [root], "with-log": [public.root, private.root]}
    for name, roots in files.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in roots))
    lax = ["--use-signed-timestamps", "--insecure-ignore-tlog", "--insecure-ignore-sct", "--allow-http-registry"]
    identity = ["--certificate-identity", SUBJECT, "--certificate-oidc-issuer", ISSUER]
    tools.run("cosign", "verify", *lax, *identity, "--trusted-root", tmp_path / "alone.jsonl", reference)

    option = {"ref": reference, "insecure": True, "identities": [{"issuer": f"^{ISSUER}$", "subject": f"^{SUBJECT}$"}]}
    tasks = [
        {MODULE: {**option, "trusted_root": str(tmp_path / f"{name}.jsonl")}, "ignore_errors": True} for name in files
    ]
    both, alone, with_log = ansible.tasks(tasks)
    for result in (both, alone):
        assert result["verification"]["signers"][0]["signed_at"] == "2025-06-01T12:00:30Z", result.get("msg")
    assert with_log.failed and "(tlog: The bundle has no log entry)" in with_log["msg"]

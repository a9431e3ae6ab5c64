# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures that the real tools made, checked through ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner
from support.artifacts import Blob
from support.hostile_registry import Answer, hostile_registry
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, VerificationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.client import RegistryClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.formats import SIMPLE_SIGNING
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy, parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verifier import PolicyVerifier

MODULE = "cloudnative.artifacts.oci_artifact_verify"
ROOT = str(vectors.ROOT / "trusted_root.json")
KEY_A, KEY_B = str(vectors.ROOT / "keys" / "key-a.pub"), str(vectors.ROOT / "keys" / "key-b.pub")


def outcomes(ansible: AnsibleRunner, rows: list[dict[str, Any]], source: Callable[..., dict[str, Any]]) -> list[str]:
    """What becomes of each vector: those of one task, and a task each for policies that end it before any request."""
    artifacts = [{**source(row), **vectors.options(row)} for row in rows]
    alone = [number for number, row in enumerate(rows) if not is_usable(policy_of(row))]
    together = [number for number in range(len(rows)) if number not in alone]
    tasks = [{MODULE: artifacts[number], "ignore_errors": True} for number in alone]
    tasks.append({MODULE: {"artifacts": [artifacts[number] for number in together]}, "ignore_errors": True})
    *single, last = ansible.tasks(tasks)
    found = dict(zip([*alone, *together], [*single, *last["results"]]))
    assert len(found) == len(rows)
    return [vectors.outcome(found[number]) for number in range(len(rows))]


def policy_of(row: dict[str, Any]) -> VerifyPolicy:
    options = vectors.options(row)
    return parse_policy({**options, "provider": options.pop("signature_provider", None)})


def is_usable(policy: VerifyPolicy) -> bool:
    try:
        PolicyVerifier(policy)
    except InvalidPolicy:
        return False
    return True


def wrong(rows: list[dict[str, Any]], outcomes: list[str]) -> list[str]:
    assert len(outcomes) == len(rows)
    return [
        f"{row['name']}: {found}, wanted {row['expected']}"
        for row, found in zip(rows, outcomes)
        if found != row["expected"]
    ]


def third(number: int) -> list[dict[str, Any]]:
    """Every vector goes through ansible, from one of three places; on the core all are judged from each of them."""
    return vectors.rows()[number::3]


@pytest.mark.once
def test_vectors_from_a_layout_through_ansible(ansible: AnsibleRunner) -> None:
    rows = third(0)
    found = outcomes(ansible, rows, lambda row: {"url": f"oci-layout:{vectors.ROOT / row['path']}", "tag": row["ref"]})
    assert wrong(rows, found) == []


@pytest.mark.once
def test_what_attestations_and_annotations_say(ansible: AnsibleRunner) -> None:
    """Made by cosign 2 and notation; the predicate comes back as it was signed."""

    def task(name: str, layout: str, **policy: Any) -> dict[str, Any]:
        source = {"url": f"oci-layout:{vectors.ROOT / 'layouts' / layout}", "tag": "1.0.0"}
        return {"name": name, MODULE: {**source, **policy}, "ignore_errors": True}

    def provenance(**rule: Any) -> dict[str, Any]:
        identity = {"issuer": "^https://issuer\\.example\\.com$", "subject": "^release@example\\.com$"}
        attestations = [{"type": "slsaprovenance", **rule}]
        return {"trusted_root": ROOT, "identities": [identity], "attestations": attestations}

    uri = {"invocation.configSource.uri": {"pattern": "^git\\+https://github\\.com/example/app@refs/tags/v[0-9.]+$"}}
    material = {"materials[*].digest.sha1": "1" * 40, "metadata.completeness.parameters": True}
    layout = "chart-keyless-att-cosign25-intoto"
    notation = {
        "signature_provider": "notation",
        "trust_policy": str(vectors.ROOT / "notation/strict.json"),
        "trust_store": [str(vectors.ROOT / "keys/notation/ca-good.crt")],
    }
    met, unmet, annotated, other, attested, unannotated = ansible.tasks(
        [
            task("met", layout, **provenance(match={**uri, **material}, predicate=True)),
            task("unmet", layout, **provenance(match={**uri, "metadata.reproducible": True})),
            task("annotated", "chart-notation-metadata", **notation, annotations={"env": "prod"}),
            task("other", "chart-notation-metadata", **notation, annotations={"env": "dev"}),
            task("legacy", "chart-att-cosign25-a", public_keys=[KEY_A], predicate_types=["slsaprovenance"]),
            task("annotations", "chart-legacy-a", public_keys=[KEY_A], annotations={"env": "prod"}),
        ]
    )
    (signer,) = met["verification"]["signers"]
    assert signer["predicate"]["builder"]["id"].endswith("/generator_container_slsa3.yml@refs/tags/v1.9.0")
    assert (signer["subject"], signer["predicate_type"]) == ("release@example.com", "https://slsa.dev/provenance/v0.2")
    assert unmet.failed and "The predicate has false at 'metadata.reproducible', wanted true" in unmet["msg"]
    assert [each["code"] for each in unmet["verification"]["refused"]] == ["predicate"]
    assert not annotated.failed and annotated["verification"]["signers"][0]["annotations"] == {"env": "prod"}
    assert other.failed and "It is signed with 'prod' as the annotation 'env', wanted 'dev'" in other["msg"]
    assert not attested.failed and attested["verification"]["signers"][0]["source"] == KEY_A
    assert unannotated.failed and "It is signed without the annotation 'env'" in unannotated["msg"]


@pytest.fixture(scope="module", params=["registry", "oci11_registry"])
def published(request: pytest.FixtureRequest) -> RegistryServer:
    """A registry without and one with the referrers API, with every vector in it."""
    server: RegistryServer = request.getfixturevalue(request.param)
    for row in {row["path"]: row for row in vectors.rows()}.values():
        vectors.publish(row, server.host)
    return server


@pytest.mark.once
def test_every_vector_from_a_registry(published: RegistryServer) -> None:
    client = RegistryClient(published.host, ConnectionOptions(insecure=True), None)
    found = []
    for row in vectors.rows():
        reference = Reference(registry=published.host, repository=f"vectors/{Path(row['path']).name}")
        try:
            verifier = PolicyVerifier(policy_of(row))
            verdict = verifier.verify(RegistryRepository(reference, client), row["digest"])
            found.append("pass" if verdict.verified else "ignored")
        except (VerificationFailed, InvalidPolicy):
            found.append("fail")
    assert wrong(vectors.rows(), found) == []


@pytest.mark.once
def test_vectors_from_a_registry_through_ansible(
    ansible: AnsibleRunner, published: RegistryServer, oci11_registry: RegistryServer
) -> None:
    rows = third(2 if published is oci11_registry else 1)
    found = outcomes(
        ansible,
        rows,
        lambda row: {"ref": f"{published.host}/vectors/{Path(row['path']).name}:{row['ref']}", "insecure": True},
    )
    assert wrong(rows, found) == []


@pytest.mark.once
def test_a_legacy_signature_costs_two_requests(ansible: AnsibleRunner, registry: RegistryServer) -> None:
    row = next(row for row in vectors.rows() if row["name"] == "chart-legacy-a/key-a")
    name = vectors.publish(row, registry.host)
    mark = registry.mark()
    result = ansible.task(MODULE, ref=f"{registry.host}/{name}:1.0.0", insecure=True, public_keys=[KEY_A])
    assert result["verification"]["signers"][0]["source"] == KEY_A
    methods = [(each.method, each.path.split("/")[-2]) for each in registry.requests(since=mark)]
    assert methods == [("HEAD", "manifests"), ("GET", "manifests"), ("GET", "blobs")]


def test_a_pull_verifies_before_it_fetches(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    row = next(row for row in vectors.rows() if row["name"] == "flux-legacy-a/key-a")
    name = vectors.publish(row, registry.host)
    dest = tmp_path / "dest"
    pull = {"ref": f"{registry.host}/{name}:{row['ref']}", "insecure": True, "dest": str(dest)}
    mark = registry.mark()
    refused = ansible.task("cloudnative.artifacts.oci_artifact_pull", **pull, verify={"public_keys": [KEY_B]})
    assert refused.failed and refused["reason"] == "VerificationError" and not dest.exists()
    assert "bad-signature" in refused["msg"] and "Traceback" not in refused.stdout
    manifest = f"/v2/{name}/manifests/{row['digest']}"
    assert ("GET", manifest) not in [(each.method, each.path) for each in registry.requests(since=mark)]
    mark = registry.mark()
    first = ansible.task("cloudnative.artifacts.oci_artifact_pull", **pull, verify={"public_keys": [KEY_B, KEY_A]})
    assert first.changed and first["verification"]["verified"]
    assert len(registry.requests(since=mark)) == 5
    mark = registry.mark()
    second = ansible.task("cloudnative.artifacts.oci_artifact_pull", **pull, verify={"public_keys": [KEY_B, KEY_A]})
    assert not second.changed and second["verification"]["verified"]
    assert len(registry.requests(since=mark)) == 1
    other = ansible.task("cloudnative.artifacts.oci_artifact_pull", **pull, verify={"public_keys": [KEY_B]})
    assert other.failed and (dest / "configmap.yaml").exists()


def test_a_pull_claims_what_its_task_asked_for(ansible: AnsibleRunner, tmp_path: Path) -> None:
    """And warns on every run, of what a trust policy ignores."""
    place = {"url": f"oci-layout:{vectors.ROOT / 'layouts' / 'chart-legacy-a'}", "tag": "1.0.0"}
    statement = {"name": "off", "registryScopes": ["*"], "signatureVerification": {"level": "skip"}}
    skip = {"provider": "notation", "trust_policy": {"version": "1.0", "trustPolicies": [statement]}}
    signed, ignored = ({**place, "dest": str(tmp_path / name)} for name in ("signed", "ignored"))
    runs = [
        {**signed, "verify": {"public_keys": [KEY_A]}},
        signed,
        {**signed, "verify": {"public_keys": [KEY_A]}},
        {**ignored, "verify": skip},
        {**ignored, "verify": skip},
    ]
    results = ansible.tasks([{"cloudnative.artifacts.oci_artifact_pull": run} for run in runs])
    assert [result.changed for result in results] == [True, False, False, True, False]
    assert ["verification" in result for result in results] == [True, False, True, True, True]
    for result in results[3:]:
        assert result["verification"]["verified"] is False
        assert any("is used without a verified signature" in each for each in result["warnings"])


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"public_keys": []}, "names no signer"),
    ({"public_keys": [str(vectors.ROOT / "keys" / "key-a.key")]}, "is a private key"),
    ({"public_keys": [str(vectors.ROOT / "keys" / "notation" / "ca-good.crt")]}, "is a certificate"),
    ({"public_keys": [str(vectors.ROOT / "README.md")]}, "has no PEM block"),
    ({"identities": [{"issuer": "(", "subject": "x"}], "trusted_root": ROOT}, "issuer"),
    ({"identities": [{"issuer": "x", "subject": "x"}], "trusted_root": KEY_A}, "trusted"),
    ({"signature_provider": "notation"}, "trust_policy"),
    ({"signature_provider": "notation", "public_keys": [KEY_A]}, "has no meaning"),
    ({"public_keys": [KEY_A, Path(KEY_A).read_text()], "min_signers": 2}, "only 1 distinct entry"),
    ({"public_keys": [KEY_A, KEY_B], "any_identity": True, "trusted_root": ROOT, "min_signers": 4}, "3 distinct"),
    ({"public_keys": [KEY_A], "max_signatures": 0}, "wanted 1 to 1000"),
]


def test_policies_that_cannot_be_used(ansible: AnsibleRunner) -> None:
    place = {"url": f"oci-layout:{vectors.ROOT / 'layouts' / 'chart-both-a'}", "tag": "1.0.0"}
    tasks = [{MODULE: {**place, **options}, "ignore_errors": True} for options, _said in UNUSABLE]
    results = ansible.tasks(tasks)
    assert len(results) == len(UNUSABLE)
    for result, (_options, said) in zip(results, UNUSABLE):
        assert result.failed and said in result["msg"]
        assert result["reason"] == "VerificationError" and "Traceback" not in result.stdout


@pytest.mark.once
@pytest.mark.parametrize("name", ["chart-keyless-bundle-good/id", "chart-keyless-legacy-good/id"])
def test_keyless_verification_without_a_network(
    ansible: AnsibleRunner, tools: Tools, tmp_path: Path, name: str
) -> None:
    """In a namespace that has nothing but its own loopback: a registry, and the module."""
    job = {
        "registry": tools["registry"],
        "folder": str(tmp_path),
        "row": next(row for row in vectors.rows() if row["name"] == name),
        "collections": str(ansible.collections),
        "interpreter": ansible.target_python,
    }
    script = Path(vectors.__file__).parent / "isolated.py"
    folders = [ansible.collections, script.parents[1], script.parents[2] / "support"]
    paths = os.pathsep.join(str(folder) for folder in folders)
    done = subprocess.run(
        [sys.executable, str(script)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no way out" in done.stdout and '"verified": true' in done.stdout


@pytest.mark.once
def test_what_a_hostile_registry_serves(ansible: AnsibleRunner) -> None:
    """Web pages for the referrers, and a payload of 1 GiB behind a descriptor that says 200 bytes."""
    task = {"insecure": True, "public_keys": [KEY_A], "retries": 0}
    with hostile_registry() as server:
        digest = server.artifact("app", [Blob(b"content")])
        page = Answer(b"<html><body>Welcome to the registry</body></html>", "text/html")
        server.answers[f"/v2/app/referrers/{digest}"] = page
        web = ansible.task(MODULE, ref=f"{server.host}/app:1", **task)
        server.answers[f"/v2/app/manifests/{digest.replace(':', '-')}"] = page
        both = ansible.task(MODULE, ref=f"{server.host}/app:1", **task)
        payload = Blob(b"{}", SIMPLE_SIGNING, {"dev.cosignproject.cosign/signature": "AAAA"}, {"size": 200})
        server.artifact("app", [payload], tag=digest.replace(":", "-") + ".sig")
        large = Answer(b"x" * 65536, repeat=16384)
        server.blob("app", payload.descriptor["digest"], large)
        huge = ansible.task(MODULE, ref=f"{server.host}/app:1", **task)
        # what was sent and not read fits into the buffers of two sockets
        assert 0 < large.sent < 64 * 1024 * 1024
    for result in (web, both, huge):
        assert result.failed and "Traceback" not in result.stdout + result.stderr, result["msg"]
        assert result["reason"] == "VerificationError"
    assert "has no signature" in web["msg"]
    assert "is not JSON" in both["msg"] and "found HTML" in both["msg"]
    assert "(too-large:" in huge["msg"] or "(malformed:" in huge["msg"]
    print(huge["msg"])

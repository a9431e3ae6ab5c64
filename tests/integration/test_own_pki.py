# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of one's own PKI: what cosign 2 and 3 sign with them, with their verdicts next to this collection's."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.ansible_runner import AnsibleRunner
from support.attached import open_repository, unit_helper
from support.notation_cli import lab, push_artifact
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

mini_tsa = unit_helper("mini_tsa")

TRUSTED_ROOT = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
VERIFY = "cloudnative.artifacts.oci_artifact_verify"
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
ME, OTHER = "release@example.com", "other@example.com"
OFFLINE = ("--tlog-upload=false", "--allow-http-registry", "--yes")
#: What cosign has to be told, and a policy with ca_roots need not say.
LAX = (
    "--insecure-ignore-tlog",
    "--insecure-ignore-sct",
    "--allow-http-registry",
    "--certificate-oidc-issuer-regexp=.*",
)


@dataclass
class Pki:
    """A root, an authority below it, and signers; their files are in the folder."""

    tools: Tools
    folder: Path

    def __post_init__(self) -> None:
        self.root = lab.make_authority("root of a PKI")
        self.middle = lab.make_authority("below the root", self.root)
        self.write("root", self.root.chain[-1])
        self.write("middle", self.middle.chain[0])
        self.write("chain", *self.middle.chain)
        self.write("stranger", lab.make_authority("stranger").chain[-1])
        # as cosign 3 wants authorities for bundles
        for name in ("chain", "stranger"):
            out = self.folder / f"{name}.json"
            self.tools.run(
                "cosign", "trusted-root", "create", "--certificate-chain", self.path(name), "--out", str(out)
            )

    def write(self, name: str, *certificates: x509.Certificate) -> None:
        (self.folder / f"{name}.pem").write_text("".join(lab.pem(each) for each in certificates))

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def signer(self, name: str, **options: Any) -> str:
        """The path of a key for cosign, whose certificate is beside it."""
        names = x509.SubjectAlternativeName([x509.RFC822Name(ME), x509.DNSName("build.example.com")])
        who = lab.make_identity(self.middle, key=lab.key_of("P-256", name), extensions=[(names, False)], **options)
        self.write(name, who.chain[0])
        plain = self.folder / f"{name}.plain"
        plain.write_bytes(who.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        environment = {"COSIGN_PASSWORD": ""}
        prefix = str(self.folder / name)
        self.tools.run("cosign", "import-key-pair", "--key", plain, "--output-key-prefix", prefix, env=environment)
        return f"{prefix}.key"


@dataclass(frozen=True)
class Signed:
    """A signature: the program that makes it, with which options, and with those that verify it."""

    name: str
    program: str
    options: tuple[str, ...] = ()
    chain: bool = True
    bundle: bool = False


SIGNED = (
    Signed("cosign2", "cosign2"),
    Signed("cosign2-alone", "cosign2", chain=False),
    Signed("cosign3-legacy", "cosign", ("--new-bundle-format=false", "--use-signing-config=false"), chain=False),
    Signed("cosign3-bundle", "cosign", ("--use-signing-config=false",), bundle=True),
)


def accepted(tools: Tools, pki: Pki, made: Signed, reference: str, roots: str, name: str) -> bool:
    """The verdict of cosign: bundles are verified by version 3 with a trusted root, all else by both versions."""
    if made.bundle:
        given = ["--trusted-root", str(pki.folder / f"{'chain' if roots == 'root' else roots}.json")]
        programs = {"cosign": given}
    else:
        own = ["--ca-roots", pki.path(roots), "--ca-intermediates", pki.path("middle")]
        # the chain that lies beside the signature is enough
        own = own[:2] if made.chain else own
        programs = {"cosign2": own, "cosign": ["--new-bundle-format=false", *own]}
    verdicts = {
        program: tools.run(
            program, "verify", *options, *LAX, f"--certificate-identity={name}", reference, check=False
        ).returncode
        for program, options in programs.items()
    }
    assert len({bool(verdict) for verdict in verdicts.values()}) == 1, verdicts
    return not any(verdicts.values())


def test_what_cosign_signs_with_a_certificate(
    ansible: AnsibleRunner, tools: Tools, oci11_registry: RegistryServer, tmp_path: Path
) -> None:
    pki = Pki(tools, tmp_path)
    keys = {"good": pki.signer("good"), "expired": pki.signer("expired", ends=NOW - DAY)}
    tasks, wanted = [], []
    for made in SIGNED:
        for who, key in keys.items():
            repository = open_repository(oci11_registry, f"own-pki/{made.name}-{who}")
            artifact = push_artifact(repository, f"{made.name} {who}".encode()).descriptor
            repository.close()
            reference = f"{repository.reference.name}@{artifact.digest}"
            chain = ["--certificate-chain", pki.path("chain")] if made.chain else []
            signing = ["--key", key, "--certificate", pki.path(who), *chain, *made.options, *OFFLINE]
            tools.run(made.program, "sign", *signing, reference, env={"COSIGN_PASSWORD": ""})
            cases = [("root", ME)] if who == "expired" else [("root", ME), ("root", OTHER), ("stranger", ME)]
            for roots, name in cases:
                verdict = accepted(tools, pki, made, reference, roots, name)
                assert verdict is (who == "good" and (roots, name) == ("root", ME)), (made.name, who, roots, name)
                between = [] if made.chain and not made.bundle else [pki.path("middle")]
                option: dict[str, Any] = {
                    "identities": [{"subject": f"^{name.replace('.', '[.]')}$"}],
                    "ca_roots": [pki.path(roots), *between],
                }
                tasks.append(task(f"{made.name} {who} {roots} {name}", reference, option))
                wanted.append(verdict)
                if made.bundle:
                    # the same trusted root as cosign's
                    chosen = "chain" if roots == "root" else roots
                    identity = {"issuer": "^$", "subject": f"^{name}$"}
                    option = {"identities": [identity], "trusted_root": str(tmp_path / f"{chosen}.json")}
                    tasks.append(task(f"{made.name} {who} {chosen}.json {name}", reference, option))
                    wanted.append(verdict)
    results = ansible.tasks(tasks)
    verdicts = [not result.failed and result["verification"]["verified"] for result in results]
    told = [(each["name"], verdict, result.get("msg")) for each, verdict, result in zip(tasks, verdicts, results)]
    assert verdicts == wanted, told
    for result in (each for each in results if not each.failed):
        (signer,) = result["verification"]["signers"]
        assert (signer["issuer"], signer["subject"], signer["signed_at"]) == ("", ME, "")
    assert any("the certificate was valid from" in result.get("msg", "").lower() for result in results if result.failed)


def test_a_timestamp_proves_that_an_expired_certificate_was_valid(
    ansible: AnsibleRunner, tools: Tools, oci11_registry: RegistryServer, tmp_path: Path
) -> None:
    """What cosign signs with a timestamp authority; without one that is trusted, the certificate has expired."""
    pki = Pki(tools, tmp_path)
    key = pki.signer("expired", ends=NOW - DAY)
    tsa, stranger = mini_tsa.MiniTsa(NOW), mini_tsa.MiniTsa(NOW)
    pki.write("tsa", tsa.certificate, tsa.root)
    roots = {"tsa": tsa.authority(), "stranger": stranger.authority()}
    for name, authority in roots.items():
        root = {"mediaType": TRUSTED_ROOT, "timestampAuthorities": [authority]}
        (tmp_path / f"{name}-root.json").write_text(json.dumps(root))
    whole = {**json.loads((tmp_path / "chain.json").read_text()), "timestampAuthorities": [tsa.authority()]}
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    option = {"identities": [{"subject": f"^{ME}$"}], "ca_roots": [pki.path("root"), pki.path("middle")]}
    trusted = [{}, *({"trusted_root": str(tmp_path / f"{name}-root.json")} for name in roots)]
    tasks = []
    for made in SIGNED[1:]:
        repository = open_repository(oci11_registry, f"own-pki/timed-{made.name}")
        artifact = push_artifact(repository, made.name.encode()).descriptor
        repository.close()
        reference = f"{repository.reference.name}@{artifact.digest}"
        with tsa.served(NOW - 2 * DAY) as url:
            signing = ["--key", key, "--certificate", pki.path("expired"), "--timestamp-server-url", url]
            environment = {"COSIGN_PASSWORD": ""}
            tools.run(made.program, "sign", *signing, *made.options, *OFFLINE, reference, env=environment)
        own = ["--trusted-root", str(tmp_path / "whole.json")]
        if not made.bundle:
            own = ["--timestamp-certificate-chain", pki.path("tsa"), "--ca-roots", pki.path("root")]
            own += ["--ca-intermediates", pki.path("middle"), *made.options[:1]]
        tools.run(
            made.program, "verify", "--use-signed-timestamps", *own, *LAX, f"--certificate-identity={ME}", reference
        )
        tasks += [task(f"{made.name} {each}", reference, {**option, **each}) for each in trusted]
    results = ansible.tasks(tasks)
    for alone, right, other in zip(results[::3], results[1::3], results[2::3]):
        assert alone.failed and "(expired-certificate: " in alone["msg"]
        assert other.failed and "(timestamp: " in other["msg"]
        assert not right.failed, right["msg"]
        assert right["verification"]["signers"][0]["signed_at"] == f"{NOW - 2 * DAY:%Y-%m-%dT%H:%M:%SZ}"


def task(name: str, reference: str, option: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, VERIFY: {"ref": reference, "insecure": True, **option}, "ignore_errors": True}

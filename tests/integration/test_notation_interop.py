# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures that notation makes now, and its verdict next to this collection's on right and wrong ones."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from support.ansible_runner import AnsibleRunner
from support.attached import attach_notation, open_repository
from support.notation_cli import Notation, lab, policy_of, push_artifact
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation import NotationVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.provider_notation import verify_notation

pytestmark = pytest.mark.once

MODULE = "cloudnative.artifacts.oci_artifact_verify"
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
SUBJECT = lab.SUBJECT
BOTH = ("jws", "cose")
KINDS = ("P-256", "P-384", "P-521", "RSA-2048", "RSA-3072", "RSA-4096")
DEMAND, PLUGIN = "com.example.demand", "io.cncf.notary.verificationPlugin"


@pytest.fixture
def notation(tools: Tools, tmp_path: Path) -> Notation:
    tools["notation"]
    return Notation(tools, tmp_path / "config")


@pytest.fixture(params=["registry", "oci11_registry"])
def server(request: pytest.FixtureRequest) -> RegistryServer:
    """A registry without and one with the referrers API."""
    found: RegistryServer = request.getfixturevalue(request.param)
    return found


def test_what_notation_signs_is_verified(
    ansible: AnsibleRunner, server: RegistryServer, notation: Notation, tmp_path: Path
) -> None:
    authority = lab.make_authority("live")
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.root_pem)
    tasks = []
    for kind in KINDS:
        notation.add_key(kind, lab.make_identity(authority, key=lab.key_of(kind), subject={**SUBJECT, "CN": kind}))
        for form in ("jws", "cose"):
            repository = open_repository(server, f"notation/{form}-{kind.lower()}")
            artifact = push_artifact(repository)
            reference = f"{repository.reference.name}@{artifact.descriptor.digest}"
            options = ["--signature-format", form, "--expiry", "24h", "-m", f"made={kind}", "--insecure-registry"]
            notation.run("sign", "--key", kind, *options, "--force-referrers-tag=false", reference)
            identity = f"x509.subject:C=US, ST=WA, O=example, CN={kind}"
            policy = policy_of(trustedIdentities=[identity], registryScopes=[repository.reference.name])
            option = {"provider": "notation", "trust_policy": policy, "trust_store": [str(ca)]}
            verdict = verify_notation(NotationVerifier(parse_policy(option)), repository, artifact.descriptor)
            (signer,) = verdict.signers
            assert (signer.format, signer.annotations, signer.source) == (form, {"made": kind}, str(ca))
            assert signer.subject == f"CN={kind},O=example,ST=WA,C=US"
            repository.close()
            values = {"ref": reference, "insecure": True, "trust_policy": policy, "trust_store": [str(ca)]}
            tasks.append(
                {"name": reference, MODULE: {**values, "signature_provider": "notation"}, "ignore_errors": True}
            )
    other = policy_of(trustedIdentities=["x509.subject:C=US, ST=WA, O=else"])
    tasks = [*tasks[-2:], {**tasks[-1], MODULE: {**tasks[-1][MODULE], "trust_policy": other}}]
    *good, bad = ansible.tasks(tasks)
    assert [each["verification"]["signers"][0]["format"] for each in good] == ["jws", "cose"]
    assert all(each["verification"]["verified"] and not each.changed for each in good)
    assert bad.failed and bad["reason"] == "VerificationError" and "(identity: " in bad["msg"]


def test_two_signers_of_notation(server: RegistryServer, notation: Notation) -> None:
    authority = lab.make_authority("live")
    repository = open_repository(server, "notation/two")
    artifact = push_artifact(repository)
    reference = f"{repository.reference.name}@{artifact.descriptor.digest}"
    policy = {
        "provider": "notation",
        "trust_policy": policy_of(),
        "trust_store": [authority.root_pem],
        "min_signers": 2,
    }
    verifier = NotationVerifier(parse_policy(policy))
    for number, kind in enumerate(("P-256", "P-384")):
        notation.add_key(kind, lab.make_identity(authority, key=lab.key_of(kind), subject={**SUBJECT, "CN": kind}))
        for _again in range(2):
            notation.run("sign", "--key", kind, "--force-referrers-tag=false", "--insecure-registry", reference)
        if number == 0:
            with pytest.raises(OciError, match="by 1 of the 2 signers wanted"):
                verify_notation(verifier, repository, artifact.descriptor)
    assert len(verify_notation(verifier, repository, artifact.descriptor).signers) == 2


def test_signatures_by_others_hide_none(
    ansible: AnsibleRunner, server: RegistryServer, notation: Notation, tmp_path: Path
) -> None:
    """Twelve by somebody else, then one by the trusted key: as notation, which tries a hundred."""
    authority, stranger = lab.make_authority("live"), lab.make_authority("stranger")
    repository = open_repository(server, "notation/hidden")
    artifact = push_artifact(repository)
    repository.close()
    reference = f"{repository.reference.name}@{artifact.descriptor.digest}"
    notation.add_key("other", lab.make_identity(stranger, key=lab.key_of("P-384")))
    notation.add_key("good", lab.make_identity(authority))
    for key in ["other"] * 12 + ["good"]:
        notation.run("sign", "--key", key, "--force-referrers-tag=false", "--insecure-registry", reference)
    notation.configure(policy_of(), authority.chain[-1])
    accepted, said = notation.accepts(reference)
    assert accepted, said
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.root_pem)
    task = {"ref": reference, "insecure": True, "signature_provider": "notation", "trust_policy": policy_of()}
    result = ansible.task(MODULE, **task, trust_store=[str(ca)])
    assert result["verification"]["verified"], result["msg"]
    nobody = tmp_path / "nobody.pem"
    nobody.write_text(lab.make_authority("nobody").root_pem)
    short = ansible.task(MODULE, **task, trust_store=[str(nobody)], max_signatures=5)
    assert short.failed and short["reason"] == "VerificationError"
    assert "more signatures than the 5 that are tried ('max_signatures')" in short["msg"]


@dataclass(frozen=True)
class Case:
    """One signature and one policy. ``stricter`` says why notation accepts what is refused here."""

    name: str
    identity: dict[str, Any] = field(default_factory=dict)
    authority: dict[str, Any] | None = None
    envelope: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    forms: tuple[str, ...] = ("jws",)
    accepted: bool = False
    stricter: str = ""
    alone: bool = False


def certificate_cases() -> Iterator[Case]:
    yield Case("good", accepted=True, forms=BOTH)
    yield Case("self-signed", alone=True, accepted=True)
    yield Case("self-signed authority", {"ca": True}, alone=True)
    for options in ({"ca": None}, {"purposes": None}, {"usages": ["digital_signature", "content_commitment"]}):
        yield Case(f"leaf {options}", options, accepted=True)
    critical = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)
    yield Case("leaf with an unknown critical extension", {"extensions": [critical]}, accepted=True)
    yield Case("leaf of an authority", {"ca": True})
    yield Case("leaf without key usage", {"usages": None})
    yield Case("leaf with key usage that is not critical", {"usage_critical": False})
    for usage in ("key_cert_sign", "crl_sign", "key_encipherment", "data_encipherment", "key_agreement"):
        yield Case(f"leaf for {usage}", {"usages": ["digital_signature", usage]})
    yield Case("leaf for nothing", {"usages": ["content_commitment"]})
    for purpose in ("SERVER_AUTH", "CLIENT_AUTH", "EMAIL_PROTECTION", "TIME_STAMPING", "OCSP_SIGNING"):
        purposes = [ExtendedKeyUsageOID.CODE_SIGNING, getattr(ExtendedKeyUsageOID, purpose)]
        yield Case(f"leaf for {purpose}", {"purposes": purposes})
    every = [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
    yield Case("leaf for any purpose", {"purposes": every}, stricter="the specification forbids it")
    yield Case("leaf signed with SHA-224", {"digest": hashes.SHA224()})
    for kind in ("RSA-1024", "RSA-2056", "P-256K"):
        yield Case(f"leaf {kind}", {"key": lab.key_of(kind)})
    for options in ({}, {"path_length": 0}, {"key": lab.key_of("RSA-2048")}):
        yield Case(f"authority {options}", authority=options, accepted=True)
    for options in ({"ca": None}, {"ca": False}, {"usages": None}, {"usages": ["crl_sign"]}, {"usage_critical": False}):
        yield Case(f"authority {options}", authority=options)
    yield Case("authority with P-256K", authority={"key": lab.key_of("P-256K")})
    yield Case("leaf that expired", {"ends": NOW - DAY})
    yield Case("leaf that begins", {"begins": NOW + DAY})
    yield Case("leaf that expired, logged", {"ends": NOW - DAY}, policy={"level": "permissive"}, accepted=True)


def attribute_cases() -> Iterator[Case]:
    for changes in (
        {"cty": "application/json"}, {"cty": lab.ABSENT}, {"crit": lab.ABSENT}, {"crit": []}, {lab.SCHEME: lab.ABSENT},
        {lab.SCHEME: "notary.x510"}, {lab.SCHEME: "notary.x509.signingAuthority"}, {lab.SIGNING_TIME: lab.ABSENT},
        {lab.SIGNING_TIME: "yesterday"}, {"alg": "none"}, {"alg": "ES384"}, {"alg": lab.ABSENT}, {"crit": [DEMAND]},
        {"crit": [lab.SCHEME, DEMAND]},
        {PLUGIN: "com.example.plugin", "crit": [lab.SCHEME, PLUGIN]}, {PLUGIN: "com.example.plugin"},
    ):  # fmt: skip
        yield Case(f"attributes {changes}", envelope={"headers": changes}, forms=BOTH)
    unknown = {"headers": {"crit": [lab.SCHEME, DEMAND], DEMAND: 1}}
    yield Case("unknown critical attribute", envelope=unknown, stricter="the specification forbids it", forms=BOTH)
    twice = {"headers": {"crit": [lab.SCHEME, lab.SCHEME]}}
    yield Case("critical twice", envelope=twice)
    yield Case("further attribute", envelope={"headers": {DEMAND: 1}}, accepted=True)
    yield Case("expired", envelope={"expiry": NOW - DAY}, forms=BOTH)
    yield Case("expired, logged", envelope={"expiry": NOW - DAY}, policy={"level": "permissive"}, accepted=True)
    for name, options, accepted in (
        ("expires", {"expiry": NOW + DAY}, True),
        ("expires, not critical", {"expiry": NOW + DAY, "critical": [lab.SCHEME]}, False),
        ("expires before it was made", {"expiry": lab.BEGINS}, False),
        ("no signature", {"signature": b""}, False),
        ("another's signature", {"sign_with": lab.key_of("P-256", "somebody")}, False),
        ("no chain", {"chain": []}, False),
    ):
        yield Case(name, envelope=options, forms=BOTH, accepted=accepted)
    yield Case(
        "cose in whole", envelope={"unprotected": {"x": [1.5, None, {b"a": -1}]}}, forms=("cose",), accepted=True
    )
    yield Case("payload with padding", envelope={"outer": {"payload": "YQ=="}})


def policy_cases() -> Iterator[Case]:
    for change in ({"digest": "sha256:" + "0" * 64}, {"size": 1}, {"mediaType": "text/plain"}, {"size": lab.ABSENT}):
        yield Case(f"target {change}", target=change, forms=BOTH)
        yield Case(f"target {change}, audit", target=change, policy={"level": "audit"})
    yield Case("target annotations", target={"annotations": {"a": "b"}, "artifactType": "x"}, accepted=True)
    whole = "x509.subject:C=US, ST=WA, O=example"
    for identity, accepted in ((whole, True), (whole + ", CN=signer", True), (whole + ", CN=x", False)):
        yield Case(f"identity {identity}", policy={"trustedIdentities": [identity]}, accepted=accepted)
    yield Case("identity with S", policy={"trustedIdentities": ["x509.subject:C=US, S=WA, O=example"]}, accepted=True)
    for subject in ({"CN": "x"}, [*SUBJECT.items(), ("OU", "a"), ("OU", "b")], [*SUBJECT.items(), ("E", "a@b.c")]):
        yield Case(f"subject {subject}", {"subject": subject}, policy={"trustedIdentities": [whole]})
        yield Case(f"subject {subject}, any identity", {"subject": subject}, accepted=True)
    comma = {"C": "US", "ST": "WA", "O": "a,CN=signer+#"}
    escaped = r"x509.subject:C=US, ST=WA, O=a\,CN\=signer\+#"
    yield Case("escapes", {"subject": comma}, policy={"trustedIdentities": [escaped]}, accepted=True)
    hexadecimal = r"x509.subject:C=US, ST=WA, O=a\2cCN\3dsigner\2b\23"
    yield Case("escapes in hexadecimal", {"subject": comma}, policy={"trustedIdentities": [hexadecimal]}, accepted=True)
    injected = "x509.subject:C=US, ST=WA, O=a, CN=signer"
    yield Case("injected", {"subject": comma}, policy={"trustedIdentities": [injected]})
    yield Case("tsa", policy={"trustStores": ["ca:good", "tsa:time"]})
    later = {"trustStores": ["ca:good", "tsa:time"], "verifyTimestamp": "afterCertExpiry"}
    yield Case("tsa after expiry", policy=later, accepted=True)
    yield Case("tsa logged", policy={"trustStores": ["ca:good", "tsa:time"], "level": "permissive"}, accepted=True)
    yield Case("only other stores", policy={"trustStores": ["signingAuthority:time"]})
    place = x509.UniformResourceIdentifier("http://127.0.0.1:9/")
    ocsp = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)])
    lists = x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)])
    for extension in (ocsp, lists):
        endpoint = {"extensions": [(extension, False)]}
        for changes, accepted in (
            ({}, False), ({"level": "permissive"}, True), ({"override": {"revocation": "skip"}}, True),
        ):  # fmt: skip
            name = f"{type(extension).__name__} {changes}"
            yield Case(name, endpoint, policy=changes, accepted=accepted)
    skip = {"level": "skip", "trustStores": lab.ABSENT, "trustedIdentities": lab.ABSENT}
    yield Case("skip", policy=skip, envelope={"signature": b""}, accepted=True)
    wrong = [
        {"level": "none"}, {"override": {"expiry": "skip"}}, {"override": {"integrity": "log"}}, {"level": "skip"},
        {"trustStores": ["good"]}, {"registryScopes": ["*", "a/b"]},
        {"registryScopes": ["a"]}, {"registryScopes": ["b/x"]},
        {"trustedIdentities": [whole, "*"]}, {"trustedIdentities": [whole, whole + ",CN=x"]},
        {"trustedIdentities": ["x509.subject:C=US"]}, {"trustedIdentities": [whole + ", O=a"]}, {"name": ""},
        {"trustedIdentities": [whole + ", OU=a+CN=b"]}, {"verifyTimestamp": "never"}, {"trustStores": []},
        {"trustedIdentities": ["com.example:x"]}, {"trustedIdentities": ["x509.subject:c=US, st=WA, o=example"]},
    ]  # fmt: skip
    for changes in wrong:
        yield Case(f"policy {changes}", policy=changes)
    yield Case("policy with more", policy={"comment": "x"}, stricter="a misspelled key must not pass for none")


CASES = [*certificate_cases(), *attribute_cases(), *policy_cases()]


def make(case: Case, form: str, artifact: Manifest) -> tuple[bytes, x509.Certificate]:
    """The envelope, and the certificate that is trusted."""
    authority = lab.root() if case.authority is None else lab.make_authority("middle", lab.root(), **case.authority)
    if case.alone:
        key = lab.key_of("P-256", "alone")
        who = lab.Identity(key, (lab.make_certificate(SUBJECT, key, **case.identity),))
    else:
        who = lab.make_identity(authority, **case.identity)
    payload = lab.payload_for(artifact.descriptor, **case.target)
    return lab.make_envelope(form, who, payload=payload, **case.envelope), who.chain[-1]


def test_the_verdicts_are_notations(registry: RegistryServer, notation: Notation) -> None:
    wrong = []
    for number, case in enumerate(CASES):
        for form in case.forms:
            repository = open_repository(registry, f"notation/case-{number}-{form}")
            artifact = push_artifact(repository)
            envelope, trusted = make(case, form, artifact)
            attach_notation(repository, artifact.descriptor, envelope, lab.MEDIA_TYPES[form])
            policy = policy_of(**case.policy)
            notation.configure(policy, trusted)
            theirs, words = notation.accepts(f"{repository.reference.name}@{artifact.descriptor.digest}")
            option = {"provider": "notation", "trust_policy": policy, "trust_store": [lab.pem(trusted)]}
            try:
                verify_notation(NotationVerifier(parse_policy(option)), repository, artifact.descriptor)
                ours = True
            except OciError as exc:
                ours, words = False, f"{words}\n{exc}"
            repository.close()
            if (theirs, ours) != (case.accepted or bool(case.stricter), case.accepted):
                wrong.append(f"{case.name} ({form}): notation {theirs}, here {ours}, wanted {case.accepted}\n{words}")
    assert not wrong, "\n\n".join(wrong)

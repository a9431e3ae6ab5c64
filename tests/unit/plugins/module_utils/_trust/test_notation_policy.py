# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust policies and trust stores of the Notary Project: what is read, what is refused, which statement applies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import notation_chain
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation_policy import (
    PolicyStatement,
    parse_trust_policy,
)

from .notation_lab import (
    ABSENT,
    SUBJECT,
    der,
    key_of,
    make_authority,
    make_certificate,
    make_identity,
    pem,
    root,
    signer,
    statement,
)

ENFORCED = dict.fromkeys(("authenticity", "authenticTimestamp", "expiry", "revocation"), "enforce")
LOGGED = dict.fromkeys(ENFORCED, "log")


def document(*statements: Any, **changes: Any) -> dict[str, Any]:
    return {"version": "1.0", "trustPolicies": list(statements) or [statement(**changes)]}


def parse(*statements: Any, **changes: Any) -> list[PolicyStatement]:
    return list(parse_trust_policy(document(*statements, **changes), [root().root_pem]).statements)


@pytest.mark.parametrize(
    ("level", "override", "wanted"),
    [
        ("strict", {}, ENFORCED),
        ("permissive", {}, {**LOGGED, "authenticity": "enforce"}),
        ("audit", {}, LOGGED),
        ("strict", {"revocation": "skip"}, {**ENFORCED, "revocation": "skip"}),
        ("strict", {"expiry": "log", "authenticTimestamp": "log"},
         {**ENFORCED, "expiry": "log", "authenticTimestamp": "log"}),
        ("audit", {"authenticity": "enforce"}, {**LOGGED, "authenticity": "enforce"}),
        ("permissive", {"authenticity": "log"}, LOGGED),
    ],
)  # fmt: skip
def test_levels(level: str, override: dict[str, str], wanted: dict[str, str]) -> None:
    assert parse(level=level, override=override)[0].actions == wanted


def test_skip() -> None:
    assert parse(level="skip", trustStores=ABSENT, trustedIdentities=ABSENT)[0].skips
    assert parse(level="skip", trustStores=[], trustedIdentities=[])[0].skips


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "never"),
        ({"verifyTimestamp": "always"}, "never"),
        ({"verifyTimestamp": "afterCertExpiry"}, "never"),
        ({"trustStores": ["ca:good", "tsa:time"]}, "always"),
        ({"trustStores": ["ca:good", "tsa:time"], "verifyTimestamp": "always"}, "always"),
        ({"trustStores": ["ca:good", "tsa:time"], "verifyTimestamp": "afterCertExpiry"}, "afterCertExpiry"),
    ],
)
def test_when_a_timestamp_is_demanded(changes: dict[str, Any], wanted: str) -> None:
    assert parse(**changes)[0].timestamps == wanted


def test_the_statement_that_names_the_repository_goes_before_the_one_for_all() -> None:
    policy = parse_trust_policy(
        document(
            statement(),
            statement(name="own", registryScopes=["a.example/x", "localhost:5000/y/z"]),
        ),
        [root().root_pem],
    )
    names = {scope: found.name for scope in ("a.example/x", "localhost:5000/y/z", "a.example/x/y", "other", "*")
             if (found := policy.statement_for(scope))}  # fmt: skip
    assert names == {"a.example/x": "own", "localhost:5000/y/z": "own", "a.example/x/y": "p", "other": "p", "*": "p"}


def test_no_statement_applies() -> None:
    assert (
        parse_trust_policy(document(registryScopes=["a.example/x"]), [root().root_pem]).statement_for("a.example/y")
        is None
    )


@pytest.mark.parametrize(
    "scope", ["ghcr.io/org/app", "localhost:5000/a", "local/layout", "A.Example/a__b/c-d.e", "a/b--c", "10.0.0.1:80/a"]
)
def test_scopes(scope: str) -> None:
    assert parse(registryScopes=[scope])[0].scopes == (scope,)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"registryScopes": ABSENT}, "no 'registryScopes'"),
        ({"registryScopes": []}, "no 'registryScopes'"),
        ({"registryScopes": "ghcr.io/a"}, "not a list of strings"),
        ({"registryScopes": [1]}, "not a list of strings"),
        ({"registryScopes": ["*", "ghcr.io/a"]}, r"scope '\*' beside others"),
        ({"registryScopes": ["ghcr.io/*"]}, "Wildcards"),
        ({"registryScopes": ["ghcr.io"]}, "wanted host/repository"),
        ({"registryScopes": ["/a"]}, "wanted host/repository"),
        ({"registryScopes": ["ghcr.io/"]}, "wanted host/repository"),
        ({"registryScopes": ["ghcr.io/A"]}, "wanted host/repository"),
        ({"registryScopes": ["ghcr.io/a:1"]}, "wanted host/repository"),
        ({"registryScopes": ["ghcr.io/a@sha256:1"]}, "wanted host/repository"),
        ({"registryScopes": ["https://ghcr.io/a"]}, "wanted host/repository"),
        ({"registryScopes": ["ghcr.io/a\n"]}, "wanted host/repository"),
        ({"registryScopes": ["ghcr.io/a", "ghcr.io/a"]}, "for the scope 'ghcr.io/a'"),
        ({"level": ABSENT}, "has the level"),
        ({"level": "Strict"}, "has the level 'Strict': wanted one of strict, permissive, audit, skip"),
        ({"level": ["strict"]}, "has the level"),
        ({"override": {"authenticity": "skip"}}, "only 'revocation' can be skipped"),
        ({"override": {"expiry": "skip"}}, "only 'revocation' can be skipped"),
        ({"override": {"integrity": "log"}}, "always enforced"),
        ({"override": {"trust": "log"}}, "overrides 'trust'"),
        ({"override": {"expiry": "warn"}}, "with 'warn': wanted one of enforce, log, skip"),
        ({"override": {"expiry": ["log"]}}, "wanted one of enforce, log, skip"),
        ({"override": ["log"]}, "'override' that is not an object"),
        ({"verifyTimestamp": "never"}, "'verifyTimestamp' 'never': wanted 'always' or 'afterCertExpiry'"),
        ({"level": "skip"}, "skips verification, but has trust stores"),
        ({"level": "skip", "trustStores": ABSENT}, "skips verification, but has trust stores or trusted identities"),
        ({"level": "skip", "trustedIdentities": ABSENT}, "skips verification, but has trust stores"),
        ({"level": "skip", "override": {"expiry": "log"}}, "cannot be overridden"),
        ({"trustStores": ABSENT}, "no 'trustStores'"),
        ({"trustStores": []}, "no 'trustStores'"),
        ({"trustStores": "ca:good"}, "not a list of strings"),
        ({"trustStores": ["good"]}, "wanted type:name"),
        ({"trustStores": ["ca"]}, "wanted type:name"),
        ({"trustStores": ["CA:good"]}, "wanted type:name, with one of the types ca, signingAuthority, tsa"),
        ({"trustStores": ["ca:"]}, "its name may have"),
        ({"trustStores": ["ca:../good"]}, "its name may have"),
        ({"trustStores": ["ca:good\n"]}, "its name may have"),
        ({"trustedIdentities": ABSENT}, "no 'trustedIdentities'"),
        ({"trustedIdentities": []}, "no 'trustedIdentities'"),
        ({"trustedIdentities": ["*", "x509.subject:C=US,ST=WA,O=a"]}, r"identity '\*' beside others"),
        ({"trustedIdentities": [""]}, r"wanted '\*', or x509.subject:"),
        ({"trustedIdentities": ["C=US,ST=WA,O=a"]}, "wanted"),
        ({"trustedIdentities": ["com.example.plugin:me"]}, "plugins of notation"),
        ({"trustedIdentities": ["x509.subject:"]}, "not a valid name"),
        ({"trustedIdentities": ["x509.subject:C=US,ST=WA"]}, "not a valid name: it has no O"),
        ({"trustedIdentities": ["x509.subject:C=US,ST=WA,O=a", "x509.subject:C=US,S=WA,O=a,CN=b"]}, "includes another"),
        ({"trustedIdentities": ["x509.subject:C=US,ST=WA,O=a"] * 2}, "includes another"),
        ({"name": ABSENT}, "Statement 1 .* not an object with a name"),
        ({"name": ""}, "not an object with a name"),
        ({"name": 3}, "not an object with a name"),
        ({"signatureVerification": ABSENT}, "no 'signatureVerification'"),
        ({"signatureVerification": "strict"}, "no 'signatureVerification'"),
        ({"signatureVerification": {"level": "strict", "overide": {}}}, "unknown key 'overide'"),
        ({"trustedIdentites": ["*"]}, "unknown key 'trustedIdentites'"),
    ],
)
def test_statements_that_are_refused(changes: dict[str, Any], cause: str) -> None:
    with pytest.raises(InvalidPolicy, match=cause):
        parse(**changes)


@pytest.mark.parametrize(
    ("whole", "cause"),
    [
        ({}, "of version None"),
        ({"version": "1.0"}, "no statements"),
        ({"version": "1.0", "trustPolicies": []}, "no statements"),
        ({"version": "1.0", "trustPolicies": {"p": statement()}}, "no statements"),
        ({"version": "1.0", "trustPolicies": ["p"]}, "Statement 1 "),
        ({"version": "1.1", "trustPolicies": [statement()]}, "of version '1.1': wanted the text '1.0'"),
        ({"version": 1.0, "trustPolicies": [statement()]}, "of version 1.0: wanted the text '1.0'"),
        ({"version": "1.0", "trustPolicies": [statement()], "more": 1}, "unknown key 'more'"),
        (document(statement(), statement(registryScopes=["a.example/x"])), "two statements with the name 'p'"),
        (document(statement(), statement(name="q")), r"for the scope '\*'"),
        (document(statement(registryScopes=["a/x"]), statement(name="q", registryScopes=["b/y", "a/x"])),
         "for the scope 'a/x'"),
    ],
)  # fmt: skip
def test_policies_that_are_refused(whole: dict[str, Any], cause: str) -> None:
    with pytest.raises(InvalidPolicy, match=cause):
        parse_trust_policy(whole, [root().root_pem])


def test_a_late_statement_is_checked_although_an_earlier_one_applies() -> None:
    with pytest.raises(InvalidPolicy, match="The statement 'late' .* has the level 'none'"):
        parse(statement(), statement(name="late", registryScopes=["a/b"], level="none"))


@pytest.mark.parametrize("key", ["good", "ca:good", "*"])
def test_a_mapping_names_the_store(key: str) -> None:
    parsed = parse_trust_policy(document(), {key: [root().root_pem]})
    assert [each.encoded for each in parsed.statements[0].trusted] == [der(root().chain[0])]
    assert parsed.statements[0].trusted[0].source == "certificate 1"


@pytest.mark.parametrize("given", [{}, [], {"other": [root().root_pem]}, {"tsa:good": [root().root_pem]}, {"good": []}])
def test_a_store_that_is_not_there(given: Any) -> None:
    with pytest.raises(InvalidPolicy, match="trusts the store 'ca:good', and 'trust_store' has no certificate for it"):
        parse_trust_policy(document(), given)


@pytest.mark.parametrize("name", ["ca:", "a/b", "", "ca:a:b", "cb:good"])
def test_a_name_in_the_mapping_that_is_none(name: str) -> None:
    with pytest.raises(InvalidPolicy, match="invalid name of a store"):
        parse_trust_policy(document(), {"good": [root().root_pem], name: [root().root_pem]})


def test_stores_are_kept_apart() -> None:
    other = make_authority("other")
    parsed = parse_trust_policy(
        document(statement(), statement(name="q", registryScopes=["a/b"], trustStores=["ca:second", "tsa:none"])),
        {"good": [root().root_pem], "second": [other.root_pem]},
    )
    assert [each.encoded for each in parsed.statements[0].trusted] == [der(root().chain[0])]
    assert [each.encoded for each in parsed.statements[1].trusted] == [der(other.chain[0])]


def test_only_stores_of_authorities_make_signers_trusted() -> None:
    parsed = parse(trustStores=["signingAuthority:good", "tsa:good"])[0]
    assert parsed.trusted == ()
    assert [each.encoded for each in (*parsed.signing_authorities, *parsed.time_stampers)] == [der(root().chain[0])] * 2


def test_each_type_of_store_has_its_own_certificates() -> None:
    kinds = ("ca", "signingAuthority", "tsa")
    others = {kind: make_authority(kind) for kind in kinds}
    found = parse_trust_policy(
        document(statement(trustStores=[f"{kind}:good" for kind in kinds])),
        {f"{kind}:good": [others[kind].root_pem] for kind in kinds},
    ).statements[0]
    for kind, certificates in zip(kinds, (found.trusted, found.signing_authorities, found.time_stampers)):
        assert [each.encoded for each in certificates] == [der(others[kind].chain[0])]


def test_a_store_of_signing_authorities_that_is_not_there() -> None:
    """Timestamps may never be asked for: what is missing for them is said when they are."""
    stores = ["ca:good", "signingAuthority:good"]
    with pytest.raises(InvalidPolicy, match="trusts the store 'signingAuthority:good'"):
        parse_trust_policy(document(statement(trustStores=stores)), {"ca:good": [root().root_pem]})
    tsa = parse_trust_policy(document(statement(trustStores=["ca:good", "tsa:x"])), {"good": [root().root_pem]})
    assert tsa.statements[0].time_stampers == ()


def test_files(tmp_path: Path) -> None:
    several, binary = tmp_path / "several.pem", tmp_path / "binary.crt"
    other = make_authority("other")
    several.write_text(f"Two of them:\n{root().root_pem}\n{other.root_pem}", encoding="utf-8")
    binary.write_bytes(der(other.chain[0]))
    parsed = parse_trust_policy(document(), [str(several), str(binary)]).statements[0].trusted
    assert [each.encoded for each in parsed] == [der(root().chain[0]), der(other.chain[0]), der(other.chain[0])]
    assert [each.source for each in parsed] == [str(several), str(several), str(binary)]


def private_pem() -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key_of("P-256").private_bytes(encoding, form, serialization.NoEncryption()).decode()


@pytest.mark.parametrize("ca", [None, False])
def test_a_self_signed_certificate_of_a_signer_is_trusted(ca: bool | None) -> None:
    own = make_certificate(SUBJECT, key_of("P-256"), ca=ca)
    assert parse_trust_policy(document(), [pem(own)]).statements[0].trusted[0].encoded == der(own)


def test_one_text_is_a_list_of_one() -> None:
    assert len(parse_trust_policy(document(), root().root_pem).statements[0].trusted) == 1


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (private_pem(), "a PEM block of the kind PRIVATE KEY"),
        (root().root_pem + private_pem(), "a PEM block of the kind PRIVATE KEY"),
        (root().root_pem[:200], "a PEM block that does not end"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is not a usable certificate"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "is not a usable certificate"),
        (pem(signer().chain[0]), "certificate 1, of .* is neither an authority's certificate nor self-signed"),
        (pem(make_certificate(SUBJECT, key_of("P-256"), signed_by=key_of("P-256", "x"))), "neither an authority's"),
    ],
)
def test_texts_that_are_no_certificates(text: str, cause: str) -> None:
    with pytest.raises(InvalidPolicy, match=cause):
        parse_trust_policy(document(), [text])


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "not a usable certificate"),
        (b"garbage", "not a usable certificate"),
        (b"\x30\x82", "not a usable certificate"),
    ],
)
def test_files_that_are_no_certificates(content: bytes, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pem"
    path.write_bytes(content)
    with pytest.raises(InvalidPolicy, match=f"file.pem is {cause}"):
        parse_trust_policy(document(), [str(path)])


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidPolicy, match="cannot be read: No such file"):
        parse_trust_policy(document(), [str(tmp_path / "none.pem")])
    with pytest.raises(InvalidPolicy, match="cannot be read: Is a directory"):
        parse_trust_policy(document(), [str(tmp_path)])
    with pytest.raises(InvalidPolicy, match="cannot be read: embedded null"):
        parse_trust_policy(document(), ["a\0b"])
    path = tmp_path / "large.pem"
    path.write_text(root().root_pem, encoding="utf-8")
    size = path.stat().st_size
    monkeypatch.setattr(notation_chain, "MAX_CERTIFICATES", size)
    parse_trust_policy(document(), [str(path)])
    monkeypatch.setattr(notation_chain, "MAX_CERTIFICATES", size - 1)
    with pytest.raises(InvalidPolicy, match=f"more than {size - 1} bytes"):
        parse_trust_policy(document(), [str(path)])


def test_the_number_of_certificates_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notation_chain, "MAX_STORE", 2)
    parse_trust_policy(document(), [root().root_pem] * 2)
    with pytest.raises(InvalidPolicy, match="has 3 certificates, more than the 2"):
        parse_trust_policy(document(), [root().root_pem] * 3)


def test_identities_are_read() -> None:
    found = parse(trustedIdentities=["x509.subject: C=US, S=WA, O=example"])[0]
    assert found.identities == ({"C": "US", "ST": "WA", "O": "example"},)
    assert found.trusted_identities({**SUBJECT})
    assert not found.trusted_identities({**SUBJECT, "O": "other"})
    assert parse()[0].identities is None


def test_a_trusted_certificate_may_be_an_intermediate_authoritys_of_any_hash() -> None:
    weak = make_identity(key=key_of("P-256"), ca=True, usages=("key_cert_sign",), digest=hashes.SHA224())
    assert parse_trust_policy(document(), [pem(weak.chain[0])]).statements[0].trusted


def test_a_statement_that_skips_wants_nothing() -> None:
    (found,) = parse(statement(level="skip", trustStores=ABSENT, trustedIdentities=ABSENT))
    assert found.skips and found.timestamps == "never" and not found.trusted


@pytest.mark.parametrize(("scope", "hint"), [("r.example/*", "Wildcards"), ("https://r.example/a", "")])
def test_wildcards_in_a_scope_are_explained(scope: str, hint: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        parse(registryScopes=[scope])
    assert caught.value.hint.startswith(hint) and bool(caught.value.hint) is bool(hint)

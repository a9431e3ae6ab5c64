# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envelopes of the Notary Project and their certificate chains: each rule broken once, and bytes changed at random."""

from __future__ import annotations

import base64
import datetime
import json
import random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import VerificationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cbor import Tag
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation_chain import MAX_CERTIFICATE
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation_envelope import (
    MAX_ENVELOPE,
    check_payload,
    open_envelope,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from .notation_lab import (
    ABSENT,
    ARTIFACT,
    AUTHENTIC_TIME,
    EXPIRY,
    MEDIA_TYPES,
    NOW,
    PAYLOAD_TYPE,
    SCHEME,
    SCOPE,
    SIGNING_TIME,
    SUBJECT,
    UTC,
    YEAR,
    Identity,
    b64u,
    cbor_encode,
    der,
    found,
    key_of,
    make_authority,
    make_certificate,
    make_envelope,
    make_identity,
    name,
    payload_for,
    root,
    sign,
    signer,
    verifier,
)

FORMS = pytest.mark.parametrize("form", ["jws", "cose"])
SECONDS = int(NOW.timestamp())
PLUGIN = "io.cncf.notary.verificationPlugin"
DAY = datetime.timedelta(days=1)
# a fixed number, not a time: a busy machine tries no fewer
TRIES = 2000


def refusal(form: str, raw: bytes) -> Rejected:
    with pytest.raises(Rejected) as caught:
        open_envelope(MEDIA_TYPES[form], raw)
    return caught.value


def code(form: str, *arguments: Any, **options: Any) -> str:
    return refusal(form, make_envelope(form, *arguments, **options)).code


@FORMS
def test_a_good_one(form: str) -> None:
    envelope = open_envelope(MEDIA_TYPES[form], make_envelope(form))
    assert (envelope.format, envelope.payload, envelope.expiry) == (form, payload_for(), None)
    assert [der(each) for each in envelope.chain] == [der(each) for each in signer().chain]
    assert open_envelope(MEDIA_TYPES[form], make_envelope(form, expiry=NOW)).expiry == NOW


@pytest.mark.parametrize("media_type", ["", "application/json", "application/jose+json; x=y", "application/jose"])
def test_other_media_types(media_type: str) -> None:
    with pytest.raises(Rejected, match="The envelope is of type") as caught:
        open_envelope(media_type, make_envelope("jws"))
    assert caught.value.code == "malformed"


@FORMS
def test_size(form: str) -> None:
    assert refusal(form, b" " * (MAX_ENVELOPE + 1)).code == "too-large"
    assert refusal(form, b" " * MAX_ENVELOPE).code == "malformed"


# -- the signature


@FORMS
def test_a_signature_of_another_key(form: str) -> None:
    assert code(form, sign_with=key_of("P-256", "somebody")) == "bad-signature"
    assert code(form, make_identity(key=key_of("RSA-2048")), sign_with=key_of("RSA-2048", "x")) == "bad-signature"


@FORMS
@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\xff" * 64, b"\1" * 63, b"\1" * 65, b"\1" * 4000])
def test_a_signature_that_is_none(form: str, signature: bytes) -> None:
    assert code(form, signature=signature) == "bad-signature"
    assert code(form, make_identity(key=key_of("RSA-2048")), signature=signature) == "bad-signature"


def test_a_signature_has_one_spelling() -> None:
    raw = make_envelope("jws")
    document = json.loads(raw)
    made = base64.urlsafe_b64decode(document["signature"] + "==")
    for longer in (made[:32] + b"\0" + made[32:], b"\0" + made[:32] + b"\0" + made[32:]):
        assert refusal("jws", rebuilt(raw, signature=b64u(longer))).code == "bad-signature"


@FORMS
@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("P-256", "ES384"),
        ("P-384", "ES256"),
        ("P-521", "ES384"),
        ("RSA-2048", "PS384"),
        ("RSA-3072", "PS256"),
        ("RSA-2048", "RS256"),
        ("P-256", "PS256"),
        ("RSA-2048", "ES256"),
        ("P-256", "none"),
        ("P-256", "HS256"),
    ],
)
def test_the_key_decides_the_algorithm(form: str, kind: str, named: str) -> None:
    assert code(form, make_identity(key=key_of(kind)), algorithm=named) == "algorithm"


@FORMS
@pytest.mark.parametrize("value", [None, ABSENT, [], True, 1.5, b"ES256", ["ES256"], {}])
def test_the_algorithm_has_to_be_named(form: str, value: Any) -> None:
    if form == "jws" and isinstance(value, bytes):
        value = 7
    assert code(form, headers={"alg": value}) == "algorithm"


@FORMS
@pytest.mark.parametrize("kind", ["RSA-1024", "RSA-2056", "P-256K"])
def test_keys_of_other_kinds(form: str, kind: str) -> None:
    for named in (None, "ES256", "PS256"):
        error = refusal(form, make_envelope(form, make_identity(key=key_of(kind)), algorithm=named))
        assert error.code == "algorithm"
        assert "is not one of those for signatures: RSA of 2048" in error.message


@FORMS
def test_a_key_that_is_not_for_envelopes(form: str) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    chain = [der(make_certificate(SUBJECT, key, root())), der(root().chain[0])]
    assert code(form, chain=chain) == "algorithm"


def rebuilt(raw: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(raw), **changes}).encode()


def test_jws_that_was_changed() -> None:
    raw = make_envelope("jws")
    document = json.loads(raw)
    header = json.loads(base64.urlsafe_b64decode(document["protected"] + "=="))
    assert refusal("jws", rebuilt(raw, payload=b64u(payload_for(size=510)))).code == "bad-signature"
    assert refusal("jws", rebuilt(raw, protected=b64u(json.dumps({**header, "x": 1}).encode()))).code == "bad-signature"
    assert refusal("jws", rebuilt(raw, header={"x5c": document["header"]["x5c"][1:]})).code in (
        "algorithm",
        "bad-signature",
    )
    open_envelope(MEDIA_TYPES["jws"], rebuilt(raw, header={**document["header"], "x": 1}, more=2))


def test_cose_that_was_changed() -> None:
    who, payload = signer(), payload_for()
    headers = {1: -7, 2: [SCHEME], 3: PAYLOAD_TYPE, SCHEME: "notary.x509", SIGNING_TIME: Tag(1, 1)}
    protected, chain = cbor_encode(headers), {33: [der(each) for each in who.chain]}
    signature = sign(who.key, cbor_encode(["Signature1", protected, b"", payload]))

    def attempt(*parts: Any, tag: int = 18) -> bytes:
        return cbor_encode(Tag(tag, list(parts)))

    open_envelope(MEDIA_TYPES["cose"], attempt(protected, chain, payload, signature))
    longer = cbor_encode({**headers, "x": 1})
    wrong = {
        attempt(protected, chain, payload_for(size=510), signature): "bad-signature",
        attempt(longer, chain, payload, signature): "bad-signature",
        attempt(protected, chain, payload, signature, tag=17): "malformed",
        attempt(protected, chain, payload, signature, tag=98): "malformed",
        attempt(protected, chain, payload): "malformed",
        attempt(protected, chain, payload, signature, b""): "malformed",
        attempt(protected, chain, None, signature): "malformed",
        attempt(protected, chain, payload.decode(), signature): "malformed",
        attempt(protected, [], payload, signature): "malformed",
        attempt(headers, chain, payload, signature): "malformed",
        attempt(b"", chain, payload, signature): "malformed",
        attempt(b"\x80", chain, payload, signature): "malformed",
        attempt(protected + b"\0", chain, payload, signature): "malformed",
        attempt(protected, chain, payload, signature)[1:]: "malformed",
        attempt(protected, chain, payload, signature) + b"\0": "malformed",
        b"\xd2" + attempt(protected, chain, payload, signature): "malformed",
    }
    for raw, wanted in wrong.items():
        assert refusal("cose", raw).code == wanted, raw[:20]
    for context in ("Signature", "CounterSignature"):
        other = sign(who.key, cbor_encode([context, protected, b"", payload]))
        assert refusal("cose", attempt(protected, chain, payload, other)).code == "bad-signature"


@pytest.mark.parametrize(
    "outer",
    [
        {"protected": ABSENT},
        {"protected": 1},
        {"protected": ""},
        {"protected": "é"},
        {"protected": b64u(b"[]")},
        {"protected": b64u(b'{"alg":"ES256","alg":"ES256"}')},
        {"protected": b64u(b"\xff{}")},
        {"protected": b64u(b"[" * 100_000)},
        {"payload": ABSENT},
        {"payload": None},
        {"payload": "a b"},
        {"payload": "YQ=="},
        {"payload": "YR"},
        {"payload": "YQ\n"},
        {"signature": ABSENT},
        {"signature": "+/+/"},
        {"signature": "A"},
        {"signatures": []},
        {"header": ABSENT},
        {"header": []},
        {"header": {"x5c": "MII"}},
        {"header": {}},
        {"header": {"x5c": []}},
        {"header": {"x5c": [1]}},
        {"header": {"x5c": ["!"]}},
        {"header": {"x5c": ["MIIB"]}},
        {"header": {"x5c": [""]}},
    ],
)
def test_jws_of_another_shape(outer: dict[str, Any]) -> None:
    assert refusal("jws", make_envelope("jws", outer=outer)).code == "malformed"


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"{}", b'"x"', b"\xff", b"{" * 100_000, b"[" * 100_000, b"1" * 10_000]
)
def test_no_jws(raw: bytes) -> None:
    assert refusal("jws", raw).code == "malformed"


def test_jws_with_an_unencoded_payload() -> None:
    assert code("jws", headers={"b64": False}) == "malformed"


@pytest.mark.parametrize("chain", [None, b"x", {}, [], ["x"], [1], [b""], [b"\x30\x00"]])
def test_cose_with_no_chain(chain: Any) -> None:
    assert code("cose", unprotected={33: chain}) == "malformed"


def test_cose_with_a_header_in_both_places() -> None:
    assert code("cose", unprotected={1: -7}) == "malformed"
    assert code("cose", unprotected={EXPIRY: Tag(1, 0)}, expiry=NOW) == "malformed"


# -- the signed attributes


@FORMS
@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"cty": "application/json"}, "payload-type"),
        ({"cty": ABSENT}, "payload-type"),
        ({"cty": 1}, "payload-type"),
        ({SCHEME: ABSENT}, "signing-scheme"),
        ({SCHEME: "notary.x510"}, "signing-scheme"),
        ({SCHEME: 1}, "signing-scheme"),
        ({SCHEME: ["notary.x509"]}, "signing-scheme"),
        ({SCHEME: "notary.x509.signingAuthority"}, "malformed"),
        ({SIGNING_TIME: ABSENT}, "malformed"),
        ({SIGNING_TIME: 1700000000}, "malformed"),
        ({SIGNING_TIME: "yesterday"}, "malformed"),
        ({AUTHENTIC_TIME: 1}, "malformed"),
        ({PLUGIN: "com.example.plugin"}, "plugin"),
        ({PLUGIN + "MinVersion": "1.0.0"}, "plugin"),
        ({"crit": ABSENT}, "critical-header"),
        ({"crit": []}, "critical-header"),
        ({"crit": SCHEME}, "critical-header"),
        ({"crit": [[SCHEME]]}, "critical-header"),
        ({"crit": [True]}, "critical-header"),
        ({"crit": [SCHEME, SCHEME]}, "critical-header"),
        ({"crit": [SCHEME, EXPIRY]}, "critical-header"),
        ({"crit": [SCHEME, "com.example.demand"], "com.example.demand": 1}, "critical-header"),
        ({"crit": [SCHEME, "com.example.demand"]}, "critical-header"),
        ({"crit": [SCHEME, 3]}, "critical-header"),
        ({"crit": ["com.example.demand"], "com.example.demand": 1}, "critical-header"),
    ],
)
def test_signed_attributes(form: str, changes: dict[str, Any], wanted: str) -> None:
    assert code(form, headers=changes) == wanted


@FORMS
def test_further_attributes_that_are_not_critical(form: str) -> None:
    open_envelope(MEDIA_TYPES[form], make_envelope(form, headers={"com.example.note": [1, {"a": None}]}))


@FORMS
def test_a_signing_authority_vouches_for_the_time(form: str) -> None:
    made = make_envelope(form, authentic=NOW, expiry=NOW + DAY)
    opened = open_envelope(MEDIA_TYPES[form], made)

    assert (opened.authentic_time, opened.expiry) == (NOW, NOW + DAY)
    assert open_envelope(MEDIA_TYPES[form], make_envelope(form)).authentic_time is None
    assert code(form, authentic=NOW, expiry=NOW) == "malformed"


@FORMS
@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({AUTHENTIC_TIME: ABSENT}, "critical-header"),
        ({"crit": [SCHEME]}, "critical-header"),
        ({"crit": [AUTHENTIC_TIME]}, "critical-header"),
        ({SCHEME: "notary.x509"}, "critical-header"),
        ({AUTHENTIC_TIME: "yesterday"}, "malformed"),
        ({SIGNING_TIME: 1}, "malformed"),
        ({PLUGIN: "com.amazonaws.signer.notation.plugin"}, "plugin"),
    ],
)
def test_attributes_of_a_signing_authority(form: str, changes: dict[str, Any], wanted: str) -> None:
    assert code(form, authentic=NOW, headers=changes) == wanted


@FORMS
def test_plugins_are_refused_by_name(form: str) -> None:
    headers = {PLUGIN: "com.example.plugin", PLUGIN + "MinVersion": "1.0.0"}
    raw = make_envelope(form, headers=headers, critical=[SCHEME, *headers])
    assert "plugin 'com.example.plugin'" in refusal(form, raw).message


@FORMS
def test_expiry_has_to_be_critical_and_after_the_signing_time(form: str) -> None:
    for options, why in (
        ({"expiry": NOW, "critical": [SCHEME]}, "is not marked as critical"),
        ({"critical": [SCHEME, EXPIRY]}, "is critical and absent"),
    ):
        error = refusal(form, make_envelope(form, **options))
        assert (error.code, error.message) == ("critical-header", f"The header {EXPIRY!r} {why}")
    assert code(form, expiry=datetime.datetime(2026, 5, 1, tzinfo=UTC)) == "malformed"
    assert code(form, expiry=datetime.datetime(2026, 4, 30, tzinfo=UTC)) == "malformed"


@pytest.mark.parametrize(
    "text",
    [
        "2026-06-01T12:00:00Z",
        "2026-06-01T12:00:00.000000000Z",
        "2026-06-01T14:00:00+02:00",
        "2026-06-01T06:30:00.0-05:30",
    ],
)
def test_times_of_jws(text: str) -> None:
    raw = make_envelope("jws", headers={EXPIRY: text}, critical=[SCHEME, EXPIRY])
    assert open_envelope(MEDIA_TYPES["jws"], raw).expiry == NOW


def test_fractions_of_seconds() -> None:
    raw = make_envelope("jws", headers={EXPIRY: "2026-06-01T12:00:00.25Z"}, critical=[SCHEME, EXPIRY])
    assert open_envelope(MEDIA_TYPES["jws"], raw).expiry == NOW.replace(microsecond=250_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-06-01",
        "2026-06-01T12:00:00",
        "2026-06-01 12:00:00Z",
        "2026-06-01t12:00:00z",
        "2026-13-01T12:00:00Z",
        "2026-06-01T24:00:00Z",
        "2026-06-01T12:00:00+24:00",
        "2026-06-01T12:00:00+01:60",
        "0000-06-01T12:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-06-01T12:00:00Z\n",
        "٢٠٢٦-06-01T12:00:00Z",
        None,
        1,
    ],
)
def test_times_of_jws_that_are_none(text: Any) -> None:
    assert code("jws", headers={EXPIRY: text}, critical=[SCHEME, EXPIRY]) == "malformed"


@pytest.mark.parametrize(
    "value",
    [SECONDS, Tag(0, "2026-06-01T12:00:00Z"), Tag(1, float(SECONDS)), Tag(1, True), Tag(1, None), Tag(1, 2**63),
     Tag(1, -(2**64)), Tag(2, SECONDS), Tag(1, Tag(1, SECONDS)), "2026-06-01T12:00:00Z", None],
)  # fmt: skip
def test_times_of_cose_that_are_none(value: Any) -> None:
    assert code("cose", headers={EXPIRY: value}, critical=[SCHEME, EXPIRY]) == "malformed"


# -- the payload


def test_the_payload_that_is_right() -> None:
    arguments = (ARTIFACT.media_type, ARTIFACT.digest, ARTIFACT.size)
    assert check_payload(payload_for(), *arguments) == {}
    assert check_payload(payload_for(annotations=None, artifactType="x"), *arguments) == {}
    assert check_payload(payload_for(annotations={"a": "ü"}), *arguments) == {"a": "ü"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"targetArtifact": []}',
        b'{"targetArtifact": {}, "targetArtifact": {}}',
        payload_for(annotations=[]),
        payload_for(annotations={"a": 1}),
        payload_for(annotations={"a": "\ud800"}),
        payload_for().decode().encode("utf-16"),
        b'{"a":' * 100_000,
    ],
)
@FORMS
def test_payloads_that_are_none(form: str, payload: bytes) -> None:
    raw = make_envelope(form, payload=payload)
    with pytest.raises(VerificationFailed) as caught:
        verifier().verify(found(raw), ARTIFACT, SCOPE)
    assert [each["code"] for each in caught.value.details["verification"]["refused"]] == ["malformed"]


# -- the chain


def chained(who: Identity, *chain: x509.Certificate) -> str:
    raw = make_envelope("jws", who, chain=[der(each) for each in chain])
    try:
        open_envelope(MEDIA_TYPES["jws"], raw)
    except Rejected as exc:
        assert exc.code == "chain", exc
        return exc.message
    return ""


def leaf(**options: Any) -> str:
    who = make_identity(**options)
    return chained(who, *who.chain)


@pytest.mark.parametrize(
    "options",
    [
        {"ca": None},
        {"purposes": None},
        {"usages": ["digital_signature", "content_commitment"]},
        {"purposes": [ExtendedKeyUsageOID.CODE_SIGNING, x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.13")]},
        {"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)]},
        {"digest": hashes.SHA512()},
    ],
)
def test_certificates_of_signers(options: dict[str, Any]) -> None:
    assert leaf(**options) == ""


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"ca": True}, "is an authority's"),
        ({"usages": None}, "has no key usage"),
        ({"usage_critical": False}, "is not critical"),
        ({"usages": ["content_commitment"]}, "not just digital signatures"),
        ({"usages": ["digital_signature", "key_cert_sign"]}, "not just digital signatures"),
        ({"usages": ["digital_signature", "crl_sign"]}, "not just digital signatures"),
        ({"usages": ["digital_signature", "key_encipherment"]}, "not just digital signatures"),
        ({"usages": ["digital_signature", "data_encipherment"]}, "not just digital signatures"),
        ({"usages": ["digital_signature", "key_agreement"]}, "not just digital signatures"),
        ({"usages": ["digital_signature", "key_agreement", "encipher_only"]}, "not just digital signatures"),
        *[
            ({"purposes": [ExtendedKeyUsageOID.CODE_SIGNING, purpose]}, "not for code")
            for purpose in (
                ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
                ExtendedKeyUsageOID.SERVER_AUTH,
                ExtendedKeyUsageOID.CLIENT_AUTH,
                ExtendedKeyUsageOID.EMAIL_PROTECTION,
                ExtendedKeyUsageOID.TIME_STAMPING,
                ExtendedKeyUsageOID.OCSP_SIGNING,
            )
        ],
        ({"digest": hashes.SHA224()}, "is signed with sha224"),
        ({"signed_by": key_of("P-256", "somebody")}, "is not issued by the next one"),
        ({"issuer_name": name({"CN": "somebody"})}, "is not issued by the next one"),
    ],
)
def test_certificates_of_signers_that_are_refused(options: dict[str, Any], cause: str) -> None:
    assert cause in leaf(**options)


def authority(**options: Any) -> str:
    who = make_identity(make_authority("middle", root(), **options))
    return chained(who, *who.chain)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({}, ""),
        ({"path_length": 0}, ""),
        ({"key": key_of("RSA-2048")}, ""),
        ({"key": ed25519.Ed25519PrivateKey.generate()}, ""),
        ({"ca": None}, "is not a CA certificate"),
        ({"ca": False}, "is not a CA certificate"),
        ({"usages": None}, "has no key usage"),
        ({"usage_critical": False}, "is not critical"),
        ({"usages": ["crl_sign"]}, "does not allow it to issue others"),
        ({"digest": hashes.SHA224()}, "is signed with sha224"),
        ({"key": key_of("RSA-1024")}, "an RSA key of 1024 bits"),
        ({"key": key_of("P-256K")}, "on the curve secp256k1"),
    ],
)
def test_certificates_of_authorities(options: dict[str, Any], cause: str) -> None:
    message = authority(**options)
    assert cause in message if cause else message == ""


def test_the_root_has_to_be_an_authoritys() -> None:
    for options in ({"ca": False}, {"usages": ["crl_sign"]}, {"usages": None}, {"ca": None}):
        who = make_identity(make_authority("bad root", **options))
        assert chained(who, *who.chain)


def test_the_length_of_the_path_is_bounded_by_every_authority() -> None:
    for allowed, cause in ((1, ""), (0, "allows 0 authorities below it, not 1"), (None, "")):
        who = make_identity(make_authority("middle", make_authority("bounded", path_length=allowed)))
        message = chained(who, *who.chain)
        assert cause in message if cause else message == ""


def test_the_chain_is_whole_and_in_order() -> None:
    middle = make_authority("middle", root())
    who = make_identity(middle)
    first, second, last = who.chain
    other = make_authority("other").chain[0]
    twin = make_authority("root", ends=NOW + 2 * YEAR).chain[0]
    assert chained(who, first, second, last) == ""
    assert "is not a self-signed root" in chained(who, first, second)
    assert "is not a self-signed root" in chained(who, first)
    assert "is not issued by the next one" in chained(who, first, last)
    assert "is not issued by the next one" in chained(who, first, last, second)
    assert "is not issued by the next one" in chained(who, first, second, other)
    assert "goes on behind the self-signed one" in chained(who, first, second, last, last)
    assert "goes on behind the self-signed one" in chained(who, first, second, twin, last)
    assert chained(who, first, second, last, other)


def test_a_certificate_alone() -> None:
    own = make_certificate(SUBJECT, key_of("P-256"))
    assert chained(signer(), own) == ""
    assert "is an authority's" in chained(signer(), make_certificate(SUBJECT, key_of("P-256"), ca=True))
    forged = make_certificate(SUBJECT, key_of("P-256"), signed_by=key_of("P-256", "x"))
    assert "is not a self-signed root" in chained(signer(), forged)
    renamed = make_certificate(SUBJECT, key_of("P-256"), issuer_name=name({"CN": "x"}))
    assert "is not a self-signed root" in chained(signer(), renamed)


def test_the_chain_is_bounded() -> None:
    certificates = [der(each) for each in signer().chain]
    assert code("jws", chain=[certificates[0]] + [certificates[1]] * 9) == "chain"
    assert code("jws", chain=[certificates[0]] + [certificates[1]] * 10) == "malformed"
    assert code("jws", chain=[]) == "malformed"
    assert code("jws", chain=[certificates[0], b"\x30" * (MAX_CERTIFICATE + 1)]) == "too-large"
    assert code("jws", chain=[certificates[0], b"\x30" * MAX_CERTIFICATE]) == "malformed"
    assert code("cose", chain=[certificates[0], certificates[1] + b"\0"]) == "malformed"


def test_a_certificate_with_an_extension_twice_or_broken() -> None:
    good = der(signer().chain[0])
    # key usage (2.5.29.15) becomes a second extended key usage (2.5.29.37), basic constraints lose their length
    for wrong in (good.replace(b"\x55\x1d\x0f", b"\x55\x1d\x25"), good.replace(b"\x55\x1d\x13", b"\x55\x1d\x0f")):
        assert wrong != good
        assert code("jws", chain=[wrong, der(root().chain[0])]) in ("malformed", "chain")


def test_names_of_strangers_cannot_end_a_line() -> None:
    who = make_identity(make_authority("x"), subject={**SUBJECT, "CN": "a\nb\x1b[31m"})
    with pytest.raises(VerificationFailed) as caught:
        verifier().verify(found(make_envelope("jws", who)), ARTIFACT, SCOPE)
    assert "\n" not in caught.value.message and "\x1b" not in caught.value.message


# -- chance

DICTIONARY = [
    b"",
    b"\0",
    b"\xff",
    b"null",
    b"{}",
    b"[]",
    b'"',
    b"\xd2",
    b"\x9f",
    b"\xbb" + b"\xff" * 8,
    b"\\ud800",
    b"1e999",
]


def mutate(source: random.Random, raw: bytes) -> bytes:
    """A few bytes changed, cut, doubled or put in."""
    data = bytearray(raw)
    for _change in range(source.choice((1, 1, 1, 2, 5))):
        at = source.randrange(len(data) + 1)
        length = source.choice((1, 1, 2, 8, 64))
        kind = source.randrange(5)
        if kind == 0 and at < len(data):
            data[at] = source.randrange(256)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length]
        elif kind == 3:
            data[at : at + length] = source.choice(DICTIONARY)
        else:
            data[at : at + length] = bytes(source.randrange(256) for _byte in range(length))
    return bytes(data)


def within(source: random.Random, form: str) -> bytes:
    """An envelope that is well-formed but for one part, rightly signed, so that the change is reached."""
    part = source.randrange(4)
    who = signer()
    if part == 0:
        return make_envelope(form, payload=mutate(source, payload_for(annotations={"a": "b"})))
    if part == 1:
        chain = [der(each) for each in who.chain]
        at = source.randrange(len(chain))
        chain[at] = mutate(source, chain[at])
        return make_envelope(form, chain=chain)
    value = source.choice([None, True, 1, -1, 1.5, "", "x", [], {}, [[]], "\u2028", 2**63])
    key = source.choice(["alg", "crit", "cty", SCHEME, SIGNING_TIME, EXPIRY, PLUGIN, AUTHENTIC_TIME])
    if part == 2:
        return make_envelope(form, headers={key: value})
    return make_envelope(form, headers={key: value}, critical=[SCHEME, source.choice([EXPIRY, key, 1])], expiry=NOW)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_changed_bytes_are_refused_and_nothing_else_happens() -> None:
    seed = random.randrange(2**32)
    source, verify = random.Random(seed), verifier(level="permissive")
    good = {form: make_envelope(form) for form in MEDIA_TYPES}
    accepted = 0
    for _try in range(TRIES):
        form = source.choice(list(MEDIA_TYPES))
        raw = mutate(source, good[form]) if source.random() < 0.5 else within(source, form)
        try:
            verdict = verify.verify([("sha256:0", MEDIA_TYPES[form], raw)], ARTIFACT, SCOPE)
        except VerificationFailed as exc:
            (refused,) = exc.details["verification"]["refused"]
            assert refused["code"] and refused["message"], (seed, raw)
            assert refused["message"].isprintable(), (seed, raw)
        except Exception as exc:
            raise AssertionError(f"seed {seed}: {raw!r}") from exc
        else:
            # what is not signed may change: white space, the order of members, further annotations
            accepted += 1
            assert verdict.signers[0].subject == "CN=signer,O=example,ST=WA,C=US", seed
    assert accepted < TRIES / 2


def test_no_bit_of_a_signed_part_can_change() -> None:
    key = signer().key.public_key()
    for form in MEDIA_TYPES:
        raw = make_envelope(form)
        for at in range(0, len(raw), 3):
            changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
            try:
                envelope = open_envelope(MEDIA_TYPES[form], changed)
            except Rejected:
                continue
            # what is left is the outer spelling of the envelope, or of a certificate's signature
            assert (envelope.payload, envelope.expiry) == (payload_for(), None)
            assert envelope.chain[0].public_key() == key

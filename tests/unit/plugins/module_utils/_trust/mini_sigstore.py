# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Sigstore instance for tests: authorities, a CT log, a Rekor log, and signatures in both layouts.

Everything can be made wrong: pass other keys, times, extensions or log entries where the defaults are right.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.trusted_root import MEDIA_TYPE

NOW = datetime.datetime(2025, 6, 1, 12, 0, 30, tzinfo=datetime.timezone.utc)
MINUTE = datetime.timedelta(minutes=1)
YEAR = datetime.timedelta(days=365)
ISSUER = "https://issuer.example.com"
SUBJECT = "release@example.com"
DIGEST = "sha256:" + "ab" * 32
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")

PrivateKey = Union[ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey]
#: An extension and whether it is critical.
Extension = tuple[x509.ExtensionType, bool]


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def compact(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("utf-8")


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(key: PrivateKey, message: bytes, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    chosen = algorithm or hashes.SHA256()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), chosen)
    return key.sign(message, ec.ECDSA(chosen))


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(encoded)]) + encoded + content


def utf8_string(text: str) -> bytes:
    return der(0x0C, text.encode("utf-8"))


def general_name(name: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(name) if "://" in name else x509.RFC822Name(name)


def key_usage(digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    other = not (digital_signature or key_cert_sign)
    return x509.KeyUsage(digital_signature, other, False, False, False, key_cert_sign, False, False, False)


CERTIFICATE_SIGNING = key_usage(key_cert_sign=True)


@dataclass(frozen=True)
class Authority:
    """A certificate that issues, and its key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True)
class Leaf:
    """What a signer's certificate is to have; ``None`` leaves an extension out."""

    names: Sequence[x509.GeneralName] = (general_name(SUBJECT),)
    issuer: bytes | None = ISSUER.encode("ascii")
    issuer_v2: bytes | None = utf8_string(ISSUER)
    begins: datetime.datetime = NOW - MINUTE / 2
    ends: datetime.datetime = NOW + 9 * MINUTE
    usage: x509.KeyUsage | None = key_usage(digital_signature=True)
    usages: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.CODE_SIGNING,)
    extra: Sequence[Extension] = ()
    scts: Sequence[Mapping[str, Any]] = ({},)
    algorithm: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)


class MiniSigstore:
    def __init__(self) -> None:
        self.root = self.authority("root", path_length=1)
        self.intermediate = self.authority("intermediate", self.root, path_length=0)
        self.ct_key: PrivateKey = new_key()
        self.rekor_key: PrivateKey = new_key()
        self.key: PrivateKey = new_key()

    # -- certificates

    def authority(
        self,
        name: str,
        parent: Authority | None = None,
        *,
        key: PrivateKey | None = None,
        ca: bool = True,
        path_length: int | None = None,
        begins: datetime.datetime = NOW - YEAR,
        ends: datetime.datetime = NOW + YEAR,
        usage: x509.KeyUsage | None = CERTIFICATE_SIGNING,
        usages: Sequence[x509.ObjectIdentifier] | None = None,
        extra: Sequence[Extension] = (),
        algorithm: hashes.HashAlgorithm | None = None,
    ) -> Authority:
        own = key or new_key()
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        extensions: list[Extension] = [*extra]
        if ca or path_length is not None:
            extensions.append((x509.BasicConstraints(ca, path_length), True))
        if usage is not None:
            extensions.append((usage, True))
        if usages is not None:
            extensions.append((x509.ExtendedKeyUsage(usages), False))
        signer = parent.key if parent else own
        issuer = parent.certificate.subject if parent else subject
        certificate = _certificate(subject, issuer, own, begins, ends, extensions, signer, algorithm or hashes.SHA256())
        return Authority(certificate, own)

    def issue(self, leaf: Leaf, key: PrivateKey | None = None, issuer: Authority | None = None) -> x509.Certificate:
        """A signer's certificate, with timestamps of the CT log over its precertificate."""
        by = issuer or self.intermediate
        extensions: list[Extension] = [*leaf.extra]
        if leaf.names:
            extensions.append((x509.SubjectAlternativeName(leaf.names), True))
        for oid, value in (("1.3.6.1.4.1.57264.1.1", leaf.issuer), ("1.3.6.1.4.1.57264.1.8", leaf.issuer_v2)):
            if value is not None:
                extensions.append((x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False))
        if leaf.usage is not None:
            extensions.append((leaf.usage, True))
        if leaf.usages is not None:
            extensions.append((x509.ExtendedKeyUsage(leaf.usages), False))

        def build(all_extensions: Sequence[Extension]) -> x509.Certificate:
            nobody, own = x509.Name([]), key or self.key
            issuer_name = by.certificate.subject
            return _certificate(
                nobody, issuer_name, own, leaf.begins, leaf.ends, all_extensions, by.key, leaf.algorithm
            )

        if not leaf.scts:
            return build(extensions)
        tbs = build(extensions).tbs_certificate_bytes
        # the serial number has to be the same in both
        scts = [self._sct(tbs, by, **each) for each in leaf.scts]
        listed = b"".join(struct.pack(">H", len(sct)) + sct for sct in scts)
        content = der(0x04, struct.pack(">H", len(listed)) + listed)
        return build([*extensions, (x509.UnrecognizedExtension(SCT_LIST, content), False)])

    def _sct(
        self,
        tbs: bytes,
        issuer: Authority,
        *,
        key: PrivateKey | None = None,
        log_id: bytes | None = None,
        time: datetime.datetime = NOW,
        signed_time: datetime.datetime | None = None,
        issuer_spki: bytes | None = None,
        hash_code: int = 4,
        extensions: bytes = b"",
        precertificate: bytes | None = None,
    ) -> bytes:
        own = key or self.ct_key
        content = precertificate if precertificate is not None else tbs
        signed = b"".join(
            (
                struct.pack(">BBQH", 0, 0, int((signed_time or time).timestamp() * 1000), 1),
                hashlib.sha256(issuer_spki or spki(issuer.key)).digest(),
                len(content).to_bytes(3, "big"),
                content,
                struct.pack(">H", len(extensions)),
                extensions,
            )
        )
        signature = sign(own, signed)
        code = 1 if isinstance(own, rsa.RSAPrivateKey) else 3
        return b"".join(
            (
                struct.pack(">B", 0),
                log_id or hashlib.sha256(spki(own)).digest(),
                struct.pack(">QH", int(time.timestamp() * 1000), len(extensions)),
                extensions,
                struct.pack(">BBH", hash_code, code, len(signature)),
                signature,
            )
        )

    # -- the trusted root

    def trusted_root(self, **changes: Any) -> dict[str, Any]:
        """A trusted root; ``chain`` and ``windows`` (of ca, rekor, ct) make it wrong, other names replace fields."""
        windows = {"ca": {}, "rekor": {}, "ct": {}, **changes.pop("windows", {})}
        chain = changes.pop("chain", [self.intermediate.certificate, self.root.certificate])
        return {
            "mediaType": MEDIA_TYPE,
            "tlogs": [self.log(self.rekor_key, windows["rekor"])],
            "certificateAuthorities": [
                {
                    "certChain": {
                        "certificates": [{"rawBytes": b64(each.public_bytes(Encoding.DER))} for each in chain]
                    },
                    "validFor": {"start": "2024-01-01T00:00:00Z", **windows["ca"]},
                }
            ],
            "ctlogs": [self.log(self.ct_key, windows["ct"])],
            **changes,
        }

    @staticmethod
    def log(key: PrivateKey, window: Mapping[str, str]) -> dict[str, Any]:
        return {
            "baseUrl": "https://log.example.com",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": b64(spki(key)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2024-01-01T00:00:00Z", **window},
            },
            "logId": {"keyId": b64(hashlib.sha256(spki(key)).digest())},
        }

    # -- the log

    def promise(self, body: bytes, time: datetime.datetime, index: int, **changes: Any) -> bytes:
        """The signed entry timestamp; ``key`` and the signed fields can be replaced."""
        key = changes.pop("key", self.rekor_key)
        log_id = hashlib.sha256(spki(self.rekor_key)).hexdigest()
        signed = {"body": b64(body), "integratedTime": int(time.timestamp()), "logID": log_id, "logIndex": index}
        return sign(key, compact({**signed, **changes}))

    def entry(self, body: bytes, time: datetime.datetime = NOW, index: int = 1000) -> dict[str, Any]:
        """An entry of a bundle, in a tree of five leaves."""
        document = json.loads(body)
        position = 2
        leaves = [hashlib.sha256(b"\0" + each).digest() for each in (b"a", b"b", body, b"d", b"e")]
        root = tree_hash(leaves)
        return {
            "logIndex": str(index),
            "logId": {"keyId": b64(hashlib.sha256(spki(self.rekor_key)).digest())},
            "kindVersion": {"kind": document["kind"], "version": document["apiVersion"]},
            "integratedTime": str(int(time.timestamp())),
            "canonicalizedBody": b64(body),
            "inclusionPromise": {"signedEntryTimestamp": b64(self.promise(body, time, index))},
            "inclusionProof": {
                "logIndex": str(position),
                "rootHash": b64(root),
                "treeSize": str(len(leaves)),
                "hashes": [b64(each) for each in audit_path(position, leaves)],
                "checkpoint": {"envelope": self.checkpoint(len(leaves), root)},
            },
        }

    def checkpoint(self, size: int, root: bytes, key: PrivateKey | None = None, hint: bytes | None = None) -> str:
        text = f"log.example.com - 42\n{size}\n{b64(root)}\n"
        start = hint if hint is not None else hashlib.sha256(spki(self.rekor_key)).digest()[:4]
        signature = sign(key or self.rekor_key, text.encode("ascii"))
        return f"{text}\n\u2014 log.example.com {b64(start + signature)}\n"

    # -- signatures

    def legacy(
        self,
        certificate: x509.Certificate,
        payload: bytes | None = None,
        *,
        signature: bytes | None = None,
        body: bytes | None = None,
        time: datetime.datetime = NOW,
        log: Mapping[str, Any] | None = None,
    ) -> tuple[Descriptor, bytes]:
        content = claim() if payload is None else payload
        signed = sign(self.key, content) if signature is None else signature
        encoded = certificate.public_bytes(Encoding.PEM)
        recorded = hashedrekord(signed, content, encoded) if body is None else body
        log_id = hashlib.sha256(spki(self.rekor_key)).hexdigest()
        entry = {"body": b64(recorded), "integratedTime": int(time.timestamp()), "logIndex": 7, "logID": log_id}
        bundle = {"SignedEntryTimestamp": b64(self.promise(recorded, time, 7)), "Payload": {**entry, **(log or {})}}
        annotations = {
            formats.ANNOTATION_SIGNATURE: b64(signed),
            formats.ANNOTATION_CERTIFICATE: encoded.decode("ascii"),
            formats.ANNOTATION_BUNDLE: json.dumps(bundle),
        }
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return Descriptor(formats.SIMPLE_SIGNING, digest, len(content), annotations=annotations), content

    def bundle(
        self,
        certificate: x509.Certificate,
        payload: bytes | None = None,
        *,
        payload_type: str = formats.IN_TOTO,
        signature: bytes | None = None,
        body: bytes | None = None,
        time: datetime.datetime = NOW,
    ) -> dict[str, Any]:
        content = statement() if payload is None else payload
        signed = formats.pre_authentication_encoding(payload_type, content)
        made = sign(self.key, signed) if signature is None else signature
        recorded = dsse(made, content, certificate.public_bytes(Encoding.PEM)) if body is None else body
        return {
            "mediaType": formats.BUNDLE_V03,
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [self.entry(recorded, time)],
            },
            "dsseEnvelope": {
                "payload": b64(content),
                "payloadType": payload_type,
                "signatures": [{"sig": b64(made)}],
            },
        }

    def attestation(
        self,
        certificate: x509.Certificate,
        payload: bytes | None = None,
        *,
        kind: str = "dsse",
        signature: bytes | None = None,
        changes: Mapping[str, Any] | None = None,
        payload_type: str = formats.IN_TOTO,
        time: datetime.datetime = NOW,
    ) -> tuple[Descriptor, bytes]:
        """A layer of cosign's tag of attestations, and its content; ``changes`` are those of the log entry."""
        content = statement(predicateType="https://slsa.dev/provenance/v0.2") if payload is None else payload
        made = (
            sign(self.key, formats.pre_authentication_encoding(payload_type, content))
            if signature is None
            else signature
        )
        envelope = {
            "payloadType": payload_type,
            "payload": b64(content),
            "signatures": [{"keyid": "", "sig": b64(made)}],
        }
        raw = json.dumps(envelope).encode("ascii")
        encoded = certificate.public_bytes(Encoding.PEM)
        whole = {"algorithm": "sha256", "value": hashlib.sha256(raw).hexdigest()}
        if kind == "dsse":
            body = dsse(made, content, encoded, **{"envelopeHash": whole, **(changes or {})})
        elif kind == "intoto":
            body = intoto(made, content, encoded, **{"hash": whole, **(changes or {})})
        elif kind == "intoto 0.0.1":
            hashed = {
                "hash": whole,
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()},
            }
            spec = {"content": {**hashed, **(changes or {})}, "publicKey": b64(encoded)}
            spec["content"] = {name: value for name, value in spec["content"].items() if value}
            body = compact({"apiVersion": "0.0.1", "kind": "intoto", "spec": spec})
        else:
            body = hashedrekord(made, raw, encoded)
        log_id = hashlib.sha256(spki(self.rekor_key)).hexdigest()
        entry = {"body": b64(body), "integratedTime": int(time.timestamp()), "logIndex": 7, "logID": log_id}
        bundle = {"SignedEntryTimestamp": b64(self.promise(body, time, 7)), "Payload": entry}
        annotations = {
            formats.ANNOTATION_SIGNATURE: "",
            formats.ANNOTATION_CERTIFICATE: encoded.decode("ascii"),
            formats.ANNOTATION_BUNDLE: json.dumps(bundle),
        }
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        return Descriptor("application/vnd.dsse.envelope.v1+json", digest, len(raw), annotations=annotations), raw


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    begins: datetime.datetime,
    ends: datetime.datetime,
    extensions: Sequence[Extension],
    signer: PrivateKey,
    algorithm: hashes.HashAlgorithm,
) -> x509.Certificate:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), 4711, begins.replace(tzinfo=None))
    builder = builder.not_valid_after(ends)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else algorithm)


def claim(digest: str = DIGEST, **changes: Any) -> bytes:
    """The payload of a legacy signature."""
    critical = {
        "identity": {"docker-reference": "registry.example.com/app"},
        "image": {"docker-manifest-digest": digest},
        "type": formats.COSIGN_PAYLOAD_TYPE,
    }
    return compact({"critical": {**critical, **changes}, "optional": {"team": "a"}})


def statement(digest: str = DIGEST, **changes: Any) -> bytes:
    """The payload of a bundle's envelope."""
    algorithm, _colon, value = digest.partition(":")
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {algorithm: value}, "annotations": {"team": "a"}}],
        "predicateType": formats.COSIGN_SIGN,
        "predicate": {},
    }
    return compact({**document, **changes})


def hashedrekord(signature: bytes, payload: bytes, verifier: bytes, **changes: Any) -> bytes:
    spec = {
        "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}},
        "signature": {"content": b64(signature), "publicKey": {"content": b64(verifier)}},
    }
    return compact({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {**spec, **changes}})


def dsse(signature: bytes, payload: bytes, verifier: bytes, **changes: Any) -> bytes:
    spec = {
        "envelopeHash": {"algorithm": "sha256", "value": "00" * 32},
        "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
        "signatures": [{"signature": b64(signature), "verifier": b64(verifier)}],
    }
    return compact({"apiVersion": "0.0.1", "kind": "dsse", "spec": {**spec, **changes}})


def intoto(signature: bytes, payload: bytes, verifier: bytes, **changes: Any) -> bytes:
    """As Rekor writes it: the signature is the base64 text of the envelope, in base64."""
    content = {
        "envelope": {
            "payloadType": formats.IN_TOTO,
            "signatures": [{"sig": b64(b64(signature).encode("ascii")), "publicKey": b64(verifier)}],
        },
        "hash": {"algorithm": "sha256", "value": "00" * 32},
        "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
    }
    return compact({"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": {**content, **changes}}})


def hashedrekord_v2(signature: bytes, signed: bytes, verifier: bytes, **changes: Any) -> bytes:
    """As Rekor 2 writes it, over the envelope's signed bytes; the certificate is DER."""
    record = {
        "data": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(signed).digest())},
        "signature": {
            "content": b64(signature),
            "verifier": {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": {"rawBytes": b64(verifier)}},
        },
    }
    spec = {"hashedRekordV002": {**record, **changes}}
    return compact({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec})


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return hashlib.sha256(b"\1" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def audit_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1, as it is written there."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*audit_path(index, leaves[:split]), tree_hash(leaves[split:])]
    return [*audit_path(index - split, leaves[split:]), tree_hash(leaves[:split])]


def _split(count: int) -> int:
    return 1 << ((count - 1).bit_length() - 1)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers for untrusted signatures: simple signing payloads, DSSE envelopes, in-toto statements, Sigstore bundles.

Sources: containers/image, docs/containers-signature.5.md with cosign's SIGNATURE_SPEC.md; secure-systems-lab/dsse,
protocol.md and envelope.md; in-toto/attestation, spec/v1/statement.md; sigstore/protobuf-specs, sigstore_bundle.proto.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .verdict import Rejected

# Limits for content from a registry, in bytes unless stated otherwise.
MAX_PAYLOAD = 1024 * 1024
MAX_BUNDLE = 16 * 1024 * 1024
MAX_LEGACY_LAYERS = 1000
MAX_REFERRERS = 1000
MAX_SUBJECTS = 1024
MAX_SUBJECT_DIGESTS = 32
MAX_TLOG_ENTRIES = 32
MAX_TIMESTAMPS = 32
#: Values in an unverified JSON document of more than 1 MiB: each takes about 100 bytes of memory.
MAX_JSON_VALUES = 100_000

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION_SIGNATURE = "dev.cosignproject.cosign/signature"
ANNOTATION_CERTIFICATE = "dev.sigstore.cosign/certificate"
ANNOTATION_BUNDLE = "dev.sigstore.cosign/bundle"
COSIGN_PAYLOAD_TYPE = "cosign container image signature"
BUNDLE_PREFIX = "application/vnd.dev.sigstore.bundle"
BUNDLE_V03 = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_TYPES = (BUNDLE_V03, "application/vnd.dev.sigstore.bundle+json;version=0.3")
IN_TOTO = "application/vnd.in-toto+json"
#: Versions of in-toto statements, whose subjects and predicate types are the same; cosign attest writes the older one.
STATEMENT_TYPES = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1"

_BUNDLE_FIELDS = {"mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope"}
_MATERIAL_FIELDS = {"publicKey", "certificate", "tlogEntries", "timestampVerificationData"}


@dataclass(frozen=True)
class Envelope:
    """A DSSE envelope with its one signature. ``signed`` is the content that the signature is over (the PAE)."""

    payload_type: str
    payload: bytes
    signature: bytes
    key_id: str

    @property
    def signed(self) -> bytes:
        return pre_authentication_encoding(self.payload_type, self.payload)


@dataclass(frozen=True)
class Bundle:
    """A Sigstore bundle v0.3 whose structure was checked. ``material`` and ``raw`` are untrusted input."""

    envelope: Envelope | None
    material: Mapping[str, Any]
    raw: bytes

    @property
    def is_keyed(self) -> bool:
        return "publicKey" in self.material


@dataclass(frozen=True)
class Statement:
    """An in-toto statement that names the artifact's digest."""

    predicate_type: str
    annotations: Mapping[str, Any]


def strict_json(data: bytes | str, what: str, *, is_signed: bool = False) -> Any:
    """Decode JSON without duplicate keys; unless ``is_signed``, a large text has at most ``MAX_JSON_VALUES`` values.

    :param is_signed: True when a signer whom the policy trusts has signed the document.
    :raises Rejected: ``malformed`` or ``too-large``.
    """
    if len(data) > MAX_PAYLOAD and not is_signed and _most_values(data) > MAX_JSON_VALUES:
        raise Rejected("too-large", f"{what} may have more than {MAX_JSON_VALUES} values")
    try:
        return json.loads(data, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as exc:
        raise Rejected("malformed", f"{what} is not JSON: {str(exc)[:100]}") from None


def _most_values(data: bytes | str) -> int:
    """Return an upper bound of the number of values in a JSON text, without parsing it."""
    if isinstance(data, str):
        return 1 + data.count(",") + data.count("[") + data.count("{")
    return 1 + data.count(b",") + data.count(b"[") + data.count(b"{")


def decode_base64(value: Any, what: str, *, any_alphabet: bool = False) -> bytes:
    """Decode strict standard base64; with ``any_alphabet`` also the URL alphabet without padding, as in protojson.

    :raises Rejected: ``malformed``.
    """
    if not isinstance(value, str):
        raise Rejected("malformed", f"{what} is not a string")
    text = value
    if any_alphabet:
        text = text.replace("-", "+").replace("_", "/")
        text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("malformed", f"{what} is not base64") from None


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding (DSSE, protocol.md, "PAE"); lengths are in bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def check_simple_payload(payload: bytes, digest: str) -> dict[str, Any]:
    """Check that a legacy payload names ``digest``; return its ``optional`` annotations.

    ``docker-reference`` is not compared: a mirrored artifact keeps its signatures.

    :raises Rejected: ``malformed``, ``digest-mismatch`` or ``payload-type``.
    """
    document = strict_json(payload, "The payload")
    try:
        critical = document["critical"]
        named, kind = critical["image"]["docker-manifest-digest"], critical.get("type")
    except (KeyError, TypeError, AttributeError):
        raise Rejected("malformed", "The payload is not a simple signing claim") from None
    if kind != COSIGN_PAYLOAD_TYPE:
        raise Rejected("payload-type", f"The payload is of type {str(kind)[:100]!r}, not {COSIGN_PAYLOAD_TYPE!r}")
    if named != digest:
        raise Rejected("digest-mismatch", f"The signature is for {str(named)[:100]}, not for this artifact")
    optional = document.get("optional")
    return optional if isinstance(optional, dict) else {}


def check_statement(envelope: Envelope, digest: str, predicate_types: Sequence[str] = ()) -> Statement:
    """Return the statement of a verified envelope, which has to name ``digest`` and have one of the types.

    :raises Rejected: ``payload-type``, ``malformed``, ``digest-mismatch`` or ``predicate-type``.
    """
    if envelope.payload_type != IN_TOTO:
        raise Rejected("payload-type", f"The envelope holds {envelope.payload_type[:100]!r}, not {IN_TOTO!r}")
    document = strict_json(envelope.payload, "The statement", is_signed=True)
    # another version could mean something else by the same fields
    kind = document.get("_type") if isinstance(document, dict) else None
    if kind not in STATEMENT_TYPES:
        raise Rejected("payload-type", f"The statement is of type {str(kind)[:100]!r}, not {STATEMENT_TYPES[0]!r}")
    subjects = document.get("subject")
    if not isinstance(subjects, list) or not 0 < len(subjects) <= MAX_SUBJECTS:
        raise Rejected("malformed", f"The statement has no list of 1 to {MAX_SUBJECTS} subjects")
    matching = next((subject for subject in subjects if _names(subject, digest)), None)
    if matching is None:
        raise Rejected("digest-mismatch", "No subject of the statement is this artifact")
    predicate_type = document.get("predicateType")
    if not isinstance(predicate_type, str):
        raise Rejected("malformed", "The statement has no predicate type")
    if predicate_types and predicate_type not in predicate_types:
        raise Rejected("predicate-type", f"The statement is of type {predicate_type[:200]!r}, which is not asked for")
    annotations = matching.get("annotations")
    return Statement(predicate_type, annotations if isinstance(annotations, dict) else {})


def parse_bundle(raw: bytes) -> Bundle:
    """Parse a bundle; other versions and unknown fields are refused, as in protojson.

    :raises Rejected: ``malformed``, ``too-large`` or ``bundle-version``.
    """
    if len(raw) > MAX_BUNDLE:
        raise Rejected("too-large", f"The bundle has more than {MAX_BUNDLE} bytes")
    document = strict_json(raw, "The bundle")
    if not isinstance(document, dict) or set(document) - _BUNDLE_FIELDS:
        raise Rejected("malformed", "The bundle has unknown fields")
    if document.get("mediaType") not in BUNDLE_TYPES:
        raise Rejected("bundle-version", f"The bundle is of type {str(document.get('mediaType'))[:100]!r}, not v0.3")
    material = document.get("verificationMaterial")
    if not isinstance(material, dict) or len({"publicKey", "certificate"} & set(material)) != 1:
        raise Rejected("malformed", "The bundle has neither a key nor a certificate, or both")
    if set(material) - _MATERIAL_FIELDS:
        raise Rejected("malformed", "The bundle has unknown verification material")
    _check_material(material)
    if ("dsseEnvelope" in document) == ("messageSignature" in document):
        raise Rejected("malformed", "The bundle has neither an envelope nor a message signature, or both")
    envelope = _parse_envelope(document["dsseEnvelope"]) if "dsseEnvelope" in document else None
    return Bundle(envelope, material, raw)


def parse_envelope(raw: bytes) -> Envelope:
    """Parse a DSSE envelope without a bundle, as in cosign's attestation tag.

    :raises Rejected: ``malformed``.
    """
    return _parse_envelope(strict_json(raw, "The envelope"))


def _check_material(material: Mapping[str, Any]) -> None:
    entries = material.get("tlogEntries") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Rejected("malformed", "The bundle's log entries are malformed")
    if len(entries) > MAX_TLOG_ENTRIES:
        raise Rejected("too-large", f"The bundle has more than {MAX_TLOG_ENTRIES} log entries")
    if entries and not any(entry.get("inclusionProof") for entry in entries):
        raise Rejected("malformed", "The bundle's log entries have no inclusion proof")
    for entry in entries:
        raw = decode_base64(entry.get("canonicalizedBody"), "A log entry's body", any_alphabet=True)
        body, kind = strict_json(raw, "A log entry's body"), entry.get("kindVersion")
        if not isinstance(body, dict) or not isinstance(body.get("spec"), dict) or not isinstance(kind, dict):
            raise Rejected("malformed", "A log entry of the bundle has no body of a known shape")
        if (body.get("kind"), body.get("apiVersion")) != (kind.get("kind"), kind.get("version")):
            raise Rejected("malformed", "A log entry of the bundle has a body of another kind than it says")
    timestamps = material.get("timestampVerificationData") or {}
    if not isinstance(timestamps, dict):
        raise Rejected("malformed", "The bundle's timestamps are malformed")
    stamps = timestamps.get("rfc3161Timestamps") or []
    if not isinstance(stamps, list) or len(stamps) > MAX_TIMESTAMPS:
        raise Rejected("too-large", f"The bundle has more than {MAX_TIMESTAMPS} timestamps")


def _parse_envelope(document: Any) -> Envelope:
    if not isinstance(document, dict) or set(document) - {"payload", "payloadType", "signatures"}:
        raise Rejected("malformed", "The bundle's envelope is malformed")
    signatures = document.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise Rejected("malformed", "The envelope does not have exactly one signature")
    payload_type, key_id = document.get("payloadType"), signatures[0].get("keyid") or ""
    if not isinstance(payload_type, str) or not isinstance(key_id, str):
        raise Rejected("malformed", "The envelope's payload type or key id is not a string")
    return Envelope(
        payload_type,
        decode_base64(document.get("payload"), "The envelope's payload", any_alphabet=True),
        decode_base64(signatures[0].get("sig"), "The envelope's signature", any_alphabet=True),
        key_id,
    )


def _names(subject: Any, digest: str) -> bool:
    digests = subject.get("digest") if isinstance(subject, dict) else None
    if not isinstance(digests, dict) or len(digests) > MAX_SUBJECT_DIGESTS:
        raise Rejected("malformed", "A subject of the statement has no digests, or too many")
    algorithm, _colon, encoded = digest.partition(":")
    value = digests.get(algorithm)
    return isinstance(value, str) and value.lower() == encoded


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key comes twice")
    return result

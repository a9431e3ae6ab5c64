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
import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import json_scan
from .keys import SignedBytes
from .verdict import Rejected

# Limits for content from a registry, in bytes unless stated otherwise.
MAX_PAYLOAD = 1024 * 1024
#: Of a bundle or an attestation, by default: that of cosign (COSIGN_MAX_ATTACHMENT_SIZE).
MAX_ATTESTATION = 128 * 1024 * 1024
MAX_ENVELOPE_SIGNATURES = 32
MAX_LEGACY_LAYERS = 1000
MAX_REFERRERS = 1000
MAX_SUBJECTS = 1024
MAX_SUBJECT_DIGESTS = 32
MAX_SUBJECTS_TEXT = 4 * 1024 * 1024
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
_ENVELOPE_FIELDS = {"payload", "payloadType", "signatures"}
_MATERIAL_FIELDS = {"publicKey", "certificate", "tlogEntries", "timestampVerificationData"}


@dataclass(frozen=True)
class Document:
    """A JSON document: its text, in which ``mark`` stands for a very long string, and the bytes that this one encodes.

    ``sha256`` (hexadecimal) is of the whole document as it was read. See :mod:`.long_json`.
    """

    text: bytes
    sha256: str = ""
    mark: str = ""
    long_value: bytes = field(default=b"", repr=False)

    def parse(self, what: str) -> Any:
        """Return the document as objects, with the mark in place of the long string.

        :raises Rejected: ``malformed`` or ``too-large``.
        """
        return strict_json(self.text, what)

    def decode(self, value: Any, what: str) -> bytes:
        """Return the bytes of a value of the document that is base64, in either alphabet.

        :raises Rejected: ``malformed``.
        """
        if self.mark and value == self.mark:
            return self.long_value
        return decode_base64(value, what, any_alphabet=True)

    def whole_text(self) -> bytes:
        """Return a text of the same content as the document that was read, with the long string in it."""
        if not self.mark:
            return self.text
        return self.text.replace(self.mark.encode("ascii"), base64.b64encode(self.long_value))


@dataclass(frozen=True)
class Envelope:
    """A DSSE envelope with one signature. ``signed`` is the content that the signature is over (the PAE)."""

    payload_type: str
    payload: bytes = field(repr=False)
    signature: bytes
    key_id: str

    @cached_property
    def signed(self) -> SignedBytes:
        return SignedBytes(_encoding_start(self.payload_type, len(self.payload)), self.payload)


@dataclass(frozen=True)
class Bundle:
    """A Sigstore bundle v0.3 whose structure was checked. ``material`` and ``document`` are untrusted input."""

    envelope: Envelope | None
    material: Mapping[str, Any]
    document: Document

    @property
    def is_keyed(self) -> bool:
        return "publicKey" in self.material

    @property
    def raw(self) -> bytes:
        """The bundle as JSON text."""
        return self.document.whole_text()


@dataclass(frozen=True)
class Statement:
    """An in-toto statement that names the artifact's digest.

    ``text`` is the whole statement, and ``predicate`` where its predicate begins and ends there; None without one.
    """

    predicate_type: str
    annotations: Mapping[str, Any]
    text: bytes = field(default=b"", repr=False)
    predicate: tuple[int, int] | None = None


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
    """Decode standard base64; with ``any_alphabet`` also the URL alphabet without padding, as in protojson.

    Line breaks are ignored, as Go's encoding/base64 does: what ``base64`` without ``-w0`` writes has them. Any other
    character that is none of the alphabet is refused.

    :raises Rejected: ``malformed``.
    """
    if not isinstance(value, str):
        raise Rejected("malformed", f"{what} is not a string")
    text = value.replace("\r", "").replace("\n", "")
    if any_alphabet:
        text = text.replace("-", "+").replace("_", "/")
        text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("malformed", f"{what} is not base64") from None


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding (DSSE, protocol.md, "PAE"); lengths are in bytes."""
    return _encoding_start(payload_type, len(payload)) + payload


def _encoding_start(payload_type: str, size: int) -> bytes:
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d " % (len(kind), kind, size)


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
    text = envelope.payload
    found = _read_statement(text)
    # another version could mean something else by the same fields
    start, end = found.get("_type", (0, 0))
    kind = strict_json(text[start:end] or "null", "The statement's type", is_signed=True)
    if kind not in STATEMENT_TYPES:
        raise Rejected("payload-type", f"The statement is of type {str(kind)[:100]!r}, not {STATEMENT_TYPES[0]!r}")
    start, end = found.get("subject", (0, 0))
    if end - start > MAX_SUBJECTS_TEXT:
        raise Rejected("too-large", f"The subjects of the statement have more than {MAX_SUBJECTS_TEXT} bytes")
    subjects = strict_json(text[start:end] or "null", "The list of subjects", is_signed=True)
    if not isinstance(subjects, list) or not 0 < len(subjects) <= MAX_SUBJECTS:
        raise Rejected("malformed", f"The statement has no list of 1 to {MAX_SUBJECTS} subjects")
    matching = next((subject for subject in subjects if _names(subject, digest)), None)
    if matching is None:
        raise Rejected("digest-mismatch", "No subject of the statement is this artifact")
    start, end = found.get("predicateType", (0, 0))
    predicate_type = strict_json(text[start:end] or "null", "The predicate type", is_signed=True)
    if not isinstance(predicate_type, str):
        raise Rejected("malformed", "The statement has no predicate type")
    if predicate_types and predicate_type not in predicate_types:
        raise Rejected("predicate-type", f"The statement is of type {predicate_type[:200]!r}, which is not asked for")
    annotations = matching.get("annotations")
    return Statement(predicate_type, annotations if isinstance(annotations, dict) else {}, text, found.get("predicate"))


def _read_statement(text: bytes) -> dict[str, tuple[int, int]]:
    """Return where each value of a statement begins and ends. The predicate, which may be an SBOM, is not built.

    :raises Rejected: ``malformed``.
    """
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(text), MAX_PAYLOAD):
            decoder.decode(text[start : start + MAX_PAYLOAD])
        decoder.decode(b"", final=True)
        start = json_scan.skip_space(text)
        found: dict[str, tuple[int, int]] = {}
        end = start + 1
        for name, begins, end in json_scan.members(text, start):
            if name in found:
                raise json_scan.NotJson("a key comes twice")
            found[name] = (begins, end)
        # the object's own end was found, and nothing may follow it
        if json_scan.skip_space(text, json_scan.skip_space(text, end) + 1) != len(text):
            raise json_scan.NotJson("something follows it")
    except ValueError as exc:
        raise Rejected("malformed", f"The statement is not a JSON object: {str(exc)[:100]}") from None
    return found


def parse_bundle(raw: bytes | Document) -> Bundle:
    """Parse a bundle; other versions and unknown fields are refused, as in protojson.

    :raises Rejected: ``malformed``, ``too-large`` or ``bundle-version``.
    """
    whole = Document(raw) if isinstance(raw, bytes) else raw
    document = whole.parse("The bundle")
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
    envelope = None
    if "dsseEnvelope" in document:
        envelopes = _parse_envelopes(document["dsseEnvelope"], whole)
        if set(document["dsseEnvelope"]) - _ENVELOPE_FIELDS:
            raise Rejected("malformed", "The bundle's envelope has unknown fields")
        if len(envelopes) != 1:
            raise Rejected("malformed", "The envelope does not have exactly one signature")
        envelope = envelopes[0]
    return Bundle(envelope, material, whole)


def parse_envelopes(whole: Document) -> list[Envelope]:
    """Return a DSSE envelope without a bundle, as in cosign's attestation tag, once for each of its signatures.

    Unknown fields are ignored, as in Go's encoding/json.

    :raises Rejected: ``malformed`` or ``too-large``.
    """
    return _parse_envelopes(whole.parse("The envelope"), whole)


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


def _parse_envelopes(document: Any, whole: Document) -> list[Envelope]:
    if not isinstance(document, dict):
        raise Rejected("malformed", "The envelope is not an object")
    signatures, payload_type = document.get("signatures"), document.get("payloadType")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MAX_ENVELOPE_SIGNATURES:
        raise Rejected("malformed", f"The envelope does not have 1 to {MAX_ENVELOPE_SIGNATURES} signatures")
    if not isinstance(payload_type, str):
        raise Rejected("malformed", "The envelope's payload type is not a string")
    payload = whole.decode(document.get("payload"), "The envelope's payload")
    envelopes = []
    for each in signatures:
        key_id = (each.get("keyid") or "") if isinstance(each, dict) else None
        if not isinstance(key_id, str):
            raise Rejected("malformed", "A signature of the envelope is not an object, or its key id not a string")
        signature = whole.decode(each.get("sig"), "A signature of the envelope")
        envelopes.append(Envelope(payload_type, payload, signature, key_id))
    return envelopes


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

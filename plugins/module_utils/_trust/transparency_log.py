# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies entries of a transparency log (Rekor): inclusion, time, and that they are about the given signature.

Sources: sigstore/rekor, pkg/verify and pkg/types (hashedrekord 0.0.1 and 0.0.2, dsse 0.0.1, intoto 0.0.1 and 0.0.2),
most of which may be about an envelope (sigstore/architecture-docs, client-spec.md; for envelopes that are no bundles
cosign, pkg/cosign/verify.go, VerifyBundle); RFC 6962 section 2.1.1 for inclusion proofs; golang.org/x/mod/sumdb/note
and C2SP tlog-checkpoint for checkpoints; RFC 8785 for what a signed entry timestamp (SET) is over. An entry counts only
when signature, certificate and content are those at hand: anyone can attach an entry about something else
(CVE-2022-36056).
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import formats
from .certificates import is_same_certificate
from .formats import Envelope
from .keys import signature_is_good
from .trusted_root import Log, TrustedRoot
from .verdict import Rejected

#: Characters of a checkpoint with its signatures; witnesses add a line each.
MAX_CHECKPOINT = 16 * 1024
MAX_PROOF_HASHES = 64

_UTC = datetime.timezone.utc
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
# of what was signed, by the names of Rekor 2 and of Rekor 1: P-384 and P-521 keys go with larger ones
_HASHES = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}
_SIGNATURE_LINE = re.compile("\u2014 (\\S+) (\\S+)")
_ENTRY_FIELDS = {
    "logIndex",
    "logId",
    "kindVersion",
    "integratedTime",
    "inclusionPromise",
    "inclusionProof",
    "canonicalizedBody",
}


@dataclass(frozen=True)
class Promise:
    """A signed entry timestamp (SET), and the fields that it signs."""

    body: bytes
    integrated: int
    log_id: bytes
    index: int
    signature: bytes


@dataclass(frozen=True)
class Entry:
    """A log entry of a bundle. ``promise`` is None when its time is not signed. ``proof`` is untrusted input."""

    kind: str
    body: bytes
    log_id: bytes
    index: int
    promise: Promise | None
    proof: Mapping[str, Any]


def read_entry(document: Mapping[str, Any]) -> Entry:
    """Parse a log entry of a bundle (sigstore_rekor.proto, TransparencyLogEntry).

    :raises Rejected: ``malformed``.
    """
    if set(document) - _ENTRY_FIELDS:
        raise Rejected("malformed", "A log entry of the bundle has unknown fields")
    body = formats.decode_base64(document["canonicalizedBody"], "A log entry", any_alphabet=True)
    log_id = formats.decode_base64(document["logId"]["keyId"], "A log entry's log id", any_alphabet=True)
    kind = f"{document['kindVersion']['kind']} {document['kindVersion']['version']}"
    index = number(document.get("logIndex") or 0)
    promise = None
    if document.get("inclusionPromise"):
        encoded = document["inclusionPromise"]["signedEntryTimestamp"]
        signature = formats.decode_base64(encoded, "A log entry's SET", any_alphabet=True)
        promise = Promise(body, number(document.get("integratedTime") or 0), log_id, index, signature)
    return Entry(kind, body, log_id, index, promise, document.get("inclusionProof") or {})


def number(value: Any) -> int:
    """Return a non-negative 64 bit integer, which protojson writes as text.

    :raises Rejected: ``malformed``.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise Rejected("malformed", f"{str(value)[:50]!r} is not a number")
    return value


def logs_with_id(root: TrustedRoot, log_id: bytes) -> list[Log]:
    """Return the logs of the trusted root with this id; there may be several, each with its own period of use.

    :raises Rejected: ``tlog`` when there is none.
    """
    logs = [log for log in root.logs if log.log_id == log_id]
    if not logs:
        raise Rejected("tlog", f"The trusted root does not have the transparency log {log_id.hex()[:64]}")
    return logs


def check_promise(root: TrustedRoot, promise: Promise) -> datetime.datetime:
    """Verify the SET, and return the time in it, at which the log has recorded the entry.

    :raises Rejected: ``tlog``.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    logs = logs_with_id(root, promise.log_id)
    time = datetime.datetime.fromtimestamp(promise.integrated, _UTC)
    in_use = [log for log in logs if log.window.holds(time)]
    if not in_use:
        raise Rejected(
            "tlog", f"The transparency log is trusted {logs[0].window}, it took the signature in on {time:%Y-%m-%d}"
        )
    fields = {
        "body": base64.b64encode(promise.body).decode("ascii"),
        "integratedTime": promise.integrated,
        "logID": promise.log_id.hex(),
        "logIndex": promise.index,
    }
    signed = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")
    for log in in_use:
        if isinstance(log.key, ec.EllipticCurvePublicKey) and signature_is_good(log.key, promise.signature, signed):
            return time
    raise Rejected("tlog", "The signed entry timestamp (SET) is not by the transparency log that it names")


def check_inclusion(root: TrustedRoot, entry: Entry) -> None:
    """Check that the entry is in the tree whose root hash the log has signed.

    :raises Rejected: ``tlog``.
    """
    if not entry.proof:
        raise Rejected("tlog", "The log entry has no inclusion proof")
    logs = logs_with_id(root, entry.log_id)
    proof = entry.proof
    size, index = number(proof.get("treeSize") or 0), number(proof.get("logIndex") or 0)
    wanted = formats.decode_base64(proof["rootHash"], "A proof's root hash", any_alphabet=True)
    hashes = proof.get("hashes") or []
    if len(hashes) > MAX_PROOF_HASHES:
        raise Rejected("tlog", "The inclusion proof is too long")
    path = [formats.decode_base64(each, "A proof's hash", any_alphabet=True) for each in hashes]
    if root_from_proof(entry.body, index, size, path) != wanted:
        raise Rejected("tlog", "The inclusion proof does not lead from the entry to the root hash that it names")
    _check_checkpoint(logs, proof["checkpoint"]["envelope"], size, wanted)


def root_from_proof(body: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root hash of a tree of ``size`` leaves, from one leaf and its audit path (RFC 6962, section 2.1.1).

    :raises Rejected: ``tlog`` when the path does not fit the tree.
    """
    if not 0 <= index < size:
        raise Rejected("tlog", "The inclusion proof is for an entry outside of the tree")
    inner = (index ^ (size - 1)).bit_length()
    border = bin(index >> inner).count("1")
    if len(path) != inner + border:
        raise Rejected("tlog", "The inclusion proof does not have the length that the tree demands")
    result = hashlib.sha256(b"\0" + body).digest()
    for level, sibling in enumerate(path):
        is_left = level < inner and not (index >> level) & 1
        pair = result + sibling if is_left else sibling + result
        result = hashlib.sha256(b"\1" + pair).digest()
    return result


def _check_checkpoint(logs: Sequence[Log], note: Any, size: int, root_hash: bytes) -> None:
    if not isinstance(note, str) or len(note) > MAX_CHECKPOINT:
        raise Rejected("tlog", f"The checkpoint is not text of at most {MAX_CHECKPOINT} characters")
    text, separator, signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not separator or len(lines) < 3:
        raise Rejected("tlog", "The checkpoint is malformed")
    if number(lines[1]) != size or formats.decode_base64(lines[2], "A checkpoint's root hash") != root_hash:
        raise Rejected("tlog", "The checkpoint is of another tree than the inclusion proof")
    signed = f"{text}\n".encode()
    for line in signatures.splitlines():
        match = _SIGNATURE_LINE.fullmatch(line)
        if match is None:
            continue
        raw = formats.decode_base64(match[2], "A checkpoint's signature")
        for log in logs:
            if raw[:4] == log.log_id[:4] and signature_is_good(log.key, raw[4:], signed, curve_hash=True):
                return
    raise Rejected("tlog", "The checkpoint is not signed by the transparency log")


def check_legacy_entry(body: bytes, signature: bytes, certificate: Any, payload: bytes) -> None:
    """Check that the entry is about this signature, by this certificate, over this payload.

    :raises Rejected: ``tlog``; ``malformed`` for what cannot be read.
    """
    kind, spec = _kind_and_spec(body)
    if kind != "hashedrekord 0.0.1":
        raise Rejected("tlog", f"The log entry is of the kind {kind[:100]!r}, which is not supported")
    logged = spec["signature"]
    _compare(
        _decode(logged["content"]) == signature,
        is_same_certificate(_decode(logged["publicKey"]["content"]), certificate),
        spec["data"]["hash"] == _sha256(payload),
    )


def check_envelope_entry(entry: Entry, certificate: Any, envelope: Envelope) -> None:
    """Check that the entry is about the signature in the envelope of a bundle.

    The entry's hash of the whole envelope is not compared: the envelope's JSON is not canonical.

    :raises Rejected: ``tlog``; ``malformed`` for what cannot be read.
    """
    kind, spec = _kind_and_spec(entry.body)
    if kind != entry.kind:
        raise Rejected("tlog", f"The log entry is of the kind {kind[:100]!r}, the bundle says {entry.kind[:100]!r}")
    if kind == "dsse 0.0.1":
        (logged,) = spec["signatures"]
        _compare(
            _decode(logged["signature"]) == envelope.signature,
            is_same_certificate(_decode(logged["verifier"]), certificate),
            spec["payloadHash"] == _sha256(envelope.payload),
        )
    elif kind == "intoto 0.0.2":
        content = spec["content"]
        (logged,) = content["envelope"]["signatures"]
        _compare(
            # the entry holds the text of the envelope's base64, in base64
            _decode(_decode(logged["sig"]).decode("ascii")) == envelope.signature,
            is_same_certificate(_decode(logged["publicKey"]), certificate),
            content["payloadHash"] == _sha256(envelope.payload),
        )
    elif kind == "hashedrekord 0.0.1":
        logged, record = spec["signature"], spec["data"]["hash"]
        name = record["algorithm"]
        _compare(
            _decode(logged["content"]) == envelope.signature,
            is_same_certificate(_decode(logged["publicKey"]["content"]), certificate),
            name in _HASHES.values() and record["value"] == envelope.signed.digest(name).hex(),
        )
    elif kind == "hashedrekord 0.0.2":
        record = spec["hashedRekordV002"]
        logged, name = record["signature"], _HASHES.get(record["data"]["algorithm"])
        _compare(
            _decode(logged["content"]) == envelope.signature,
            is_same_certificate(_decode(logged["verifier"]["x509Certificate"]["rawBytes"]), certificate),
            name is not None and _decode(record["data"]["digest"]) == envelope.signed.digest(name),
        )
    else:
        raise Rejected("tlog", f"The log entry is of the kind {kind[:100]!r}, which is not supported for envelopes")


def check_tagged_entry(body: bytes, certificate: Any, envelope: Envelope, envelope_sha256: str) -> None:
    """Check that the entry is about this envelope, which lies under cosign's tag of attestations.

    As for cosign, the entry has the hash of the whole envelope, as it lies in the registry. Signature and payload are
    compared too where the entry has them: of an entry of intoto 0.0.2 the log has checked nothing else.

    :raises Rejected: ``tlog``; ``malformed`` for what cannot be read.
    """
    kind, spec = _kind_and_spec(body)
    payload = _sha256(envelope.payload)
    if kind == "dsse 0.0.1":
        (logged,) = spec["signatures"]
        signature, verifier = _decode(logged["signature"]), logged["verifier"]
        hashes = (spec["envelopeHash"], spec["payloadHash"])
    elif kind == "intoto 0.0.2":
        content = spec["content"]
        (logged,) = content["envelope"]["signatures"]
        # the entry holds the text of the envelope's base64, in base64
        signature, verifier = _decode(_decode(logged["sig"]).decode("ascii")), logged["publicKey"]
        hashes = (content["hash"], content["payloadHash"])
    elif kind == "intoto 0.0.1":
        # it has no signature of its own, and old ones have no hash of the payload
        content, signature, verifier = spec["content"], envelope.signature, spec["publicKey"]
        hashes = (content["hash"], content.get("payloadHash", payload))
    else:
        raise Rejected("tlog", f"The log entry is of the kind {kind[:100]!r}, which is not supported for attestations")
    _compare(
        signature == envelope.signature,
        is_same_certificate(_decode(verifier), certificate),
        hashes == ({"algorithm": "sha256", "value": envelope_sha256}, payload),
    )


def _compare(signature: bool, certificate: bool, content: bool) -> None:
    compared = {"signature": signature, "certificate": certificate, "content": content}
    for what, equal in compared.items():
        if not equal:
            raise Rejected("tlog", f"The log entry is for another {what}")


def _kind_and_spec(body: bytes) -> tuple[str, Any]:
    document = formats.strict_json(body, "A log entry")
    return f"{document['kind']} {document['apiVersion']}", document["spec"]


def _decode(value: Any) -> bytes:
    return formats.decode_base64(value, "A value in a log entry")


def _sha256(content: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}

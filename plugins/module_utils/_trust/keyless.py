# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of keyless signatures, made with a short-lived certificate and recorded in a transparency log.

Sources: cosign, pkg/cosign/verify.go (legacy signatures); sigstore-go, pkg/verify (bundles). What these check is
checked: the signature by the certificate's key, a log entry about just this signature, the log's own signature on entry
and time, the certificate's validity and chain at that time, its record in a CT log, the identity, and the artifact's
digest in what was signed. Not done: online look-ups of log entries, in which the registry would choose what is asked.

The steps, by the numbers of :mod:`.verifier`. Each raises a ``Rejected`` of its own code:

3. *Check the signature*, by the key of the certificate that lies beside it.
4. *Check who signed*:
   a. the log entry is about just this signature (``tlog``);
   b. the log has signed the entry and its time, which is the time of signing; for a bundle whose time a timestamp
      authority tells, that authority has (``tlog``, ``timestamp``);
   c. for bundles, the entry is included in the log (``tlog``);
   d. at that time the certificate was valid, issued by an authority of the trusted root, and recorded in a CT log
      (``untrusted-certificate``, ``expired-certificate``, ``sct``);
   e. the identity in the certificate is one of the policy (``identity``).
5. *Check what was signed*: it names the digest, and its type is asked for.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .._oci.manifest import Descriptor
from .._packages import KEYLESS_CRYPTOGRAPHY, require_cryptography
from . import formats, transparency_log
from .certificates import check_signing_certificate, read_certificate
from .formats import Bundle, Envelope, Statement
from .identity import ANY_IDENTITY, CompiledIdentities, claimed_identity
from .keys import PublicKey, fingerprint_of, signature_is_good
from .policy import COSIGN, VerifyPolicy
from .sigstore_extra import TimestampVerifier, public_good_root
from .trusted_root import load_trusted_root, parse_errors
from .verdict import BUNDLE, LEGACY, Rejected, Signer

#: Bytes of one annotation of a legacy signature.
MAX_ANNOTATION = 256 * 1024

_UTC = datetime.timezone.utc
_ABOUT_THE_ROOT = ("untrusted-certificate", "sct", "tlog", "timestamp")


class KeylessVerifier:
    """Verifies single signatures against the identities and the trusted root of a policy.

    Without ``trusted_root`` that of the public-good instance is used, which needs the package ``sigstore`` and the
    network; with it, nothing here uses the network. ``now`` is only used for messages about an expired trusted root.

    :raises InvalidPolicy: when identities or trusted root cannot be used.
    :raises MissingDependency: without ``cryptography``; without ``sigstore`` where the policy has no trusted root.
    :raises ConnectionFailed: when the public-good root is not reached.
    """

    def __init__(self, policy: VerifyPolicy, now: datetime.datetime | None = None) -> None:
        require_cryptography("Keyless verification", KEYLESS_CRYPTOGRAPHY)
        self._identities = CompiledIdentities(policy.identities, policy.any_identity)
        self._root = load_trusted_root(policy.trusted_root or public_good_root())
        self._now = now or datetime.datetime.now(_UTC)
        self._timestamps: TimestampVerifier | None = None
        # the matching entries are needed only where several signers are demanded
        self._wants_entries = policy.most_signers > 1

    @property
    def warnings(self) -> list[str]:
        """Return warnings about identities that accept more than they seem to."""
        return list(self._identities.warnings)

    def verify_legacy(self, layer: Descriptor, payload: bytes, digest: str) -> Signer:
        """Check the signature in a layer's annotations over the layer's content; return its signer.

        :raises Rejected: with the code of the check that failed.
        """
        with self._only_rejections():
            return self._legacy(layer, payload, digest)

    def verify_bundle(
        self, bundle: Bundle, digest: str, predicate_types: Sequence[str] = ()
    ) -> tuple[Signer, Statement]:
        """Check the envelope of a bundle; return its signer, whose ``found_in`` the caller sets, and its statement.

        :raises Rejected: with the code of the check that failed.
        """
        with self._only_rejections():
            return self._bundle(bundle, digest, predicate_types)

    @contextmanager
    def _only_rejections(self) -> Iterator[None]:
        """Convert all errors that parsers raise on malformed input to ``Rejected``."""
        try:
            yield
        except Rejected as exc:
            expiry = self._root.expiry(self._now) if exc.code in _ABOUT_THE_ROOT else ""
            raise Rejected(exc.code, f"{exc.message}. {expiry}" if expiry else exc.message) from None
        except parse_errors() as exc:
            problem = f"{type(exc).__name__}: {' '.join(str(exc).split())[:200]}"
            raise Rejected("malformed", f"The signature's material is damaged: {problem}") from None

    def _legacy(self, layer: Descriptor, payload: bytes, digest: str) -> Signer:
        annotations = layer.annotations
        if len(payload) > formats.MAX_PAYLOAD:
            raise Rejected("too-large", f"The payload has more than {formats.MAX_PAYLOAD} bytes")
        for name in (formats.ANNOTATION_SIGNATURE, formats.ANNOTATION_CERTIFICATE, formats.ANNOTATION_BUNDLE):
            if len(annotations.get(name, "")) > MAX_ANNOTATION:
                raise Rejected("too-large", f"The annotation {name} has more than {MAX_ANNOTATION} bytes")
        if not annotations.get(formats.ANNOTATION_SIGNATURE):
            raise Rejected("malformed", "The layer has no signature annotation")
        if not annotations.get(formats.ANNOTATION_CERTIFICATE):
            raise Rejected("no-certificate", "The signature has no certificate: it was made with a key")
        if not annotations.get(formats.ANNOTATION_BUNDLE):
            raise Rejected("tlog", "The signature has no log entry; none is looked up online")
        # 3. Check the signature
        signature = formats.decode_base64(annotations[formats.ANNOTATION_SIGNATURE], "The signature annotation")
        certificate = read_certificate(annotations[formats.ANNOTATION_CERTIFICATE].encode("utf-8"))
        if not signature_is_good(certificate.public_key(), signature, payload):
            raise Rejected("bad-signature", "The signature over the payload is not by the certificate's key")
        # 4. Check who signed: a, b, d, e
        promise = _legacy_promise(annotations[formats.ANNOTATION_BUNDLE])
        transparency_log.check_legacy_entry(promise.body, signature, certificate, payload)
        time = transparency_log.check_promise(self._root, promise)
        check_signing_certificate(self._root, certificate, time)
        signer = self._signer(certificate, time, LEGACY)
        # 5. Check what was signed
        claims = formats.check_simple_payload(payload, digest)
        return replace(signer, predicate_type=formats.COSIGN_SIGN, found_in=layer.digest, annotations=claims)

    def _bundle(self, bundle: Bundle, digest: str, predicate_types: Sequence[str]) -> tuple[Signer, Statement]:
        envelope = bundle.envelope
        if envelope is None:
            raise Rejected("malformed", "The bundle holds a message signature, not an envelope that names the artifact")
        if "certificate" not in bundle.material:
            raise Rejected("no-certificate", "The bundle has no certificate: it was signed with a key")
        # 3. Check the signature
        raw = bundle.material["certificate"]["rawBytes"]
        certificate = read_certificate(formats.decode_base64(raw, "The certificate", any_alphabet=True))
        key = PublicKey(certificate.public_key(), "the certificate", fingerprint_of(certificate.public_key()))
        if not key.is_named(envelope.key_id):
            raise Rejected("bad-signature", "The envelope's signature names another key than the certificate's")
        # clients of the bundle format sign with the curve's own hash, older ones with SHA-256
        if not key.verifies(envelope.signature, envelope.signed, curve_hash=True):
            raise Rejected("bad-signature", "The envelope's signature is not by the certificate's key")
        # 4. Check who signed: a to d in the look for a time, then e
        time = self._trusted_time(bundle, envelope, certificate)
        signer = self._signer(certificate, time, BUNDLE)
        # 5. Check what was signed
        statement = formats.check_statement(envelope, digest, predicate_types)
        signer = replace(signer, predicate_type=statement.predicate_type, annotations=statement.annotations)
        return signer, statement

    def _trusted_time(self, bundle: Bundle, envelope: Envelope, certificate: Any) -> datetime.datetime:
        """Return the time of signing, from a log entry for which log, certificate and authorities pass all checks.

        One such entry is enough, as for cosign; entries of logs that the trusted root does not have are ignored.
        """
        entries = [transparency_log.read_entry(each) for each in bundle.material.get("tlogEntries") or []]
        if not entries:
            raise Rejected("tlog", "The bundle has no log entry")
        if len({(entry.log_id, entry.index) for entry in entries}) < len(entries):
            raise Rejected("tlog", "The bundle has the same log entry twice")
        promised = [(entry, entry.promise) for entry in entries if entry.promise is not None]
        if not promised and (bundle.material.get("timestampVerificationData") or {}).get("rfc3161Timestamps"):
            return self._timestamped(bundle, envelope, certificate, entries)
        refusals = []
        for entry, promise in promised:
            try:
                return self._logged(entry, promise, envelope, certificate)
            except Rejected as exc:
                refusals.append(exc)
        if refusals:
            raise Rejected(refusals[0].code, "; ".join(dict.fromkeys(exc.message for exc in refusals[:3])))
        raise Rejected("tlog", "The log entry has no signed entry timestamp (SET): nothing tells when it was signed")

    def _logged(
        self, entry: transparency_log.Entry, promise: transparency_log.Promise, envelope: Envelope, certificate: Any
    ) -> datetime.datetime:
        # 4. a, b, c, d
        transparency_log.check_envelope_entry(entry, certificate, envelope)
        time = transparency_log.check_promise(self._root, promise)
        transparency_log.check_inclusion(self._root, entry)
        check_signing_certificate(self._root, certificate, time)
        return time

    def _timestamped(
        self, bundle: Bundle, envelope: Envelope, certificate: Any, entries: Sequence[transparency_log.Entry]
    ) -> datetime.datetime:
        """Return the time of signing from a timestamp authority; the package ``sigstore`` verifies the bundle too."""
        if len(entries) != 1:
            raise Rejected("tlog", "The bundle has several log entries without a signed entry timestamp (SET)")
        # 4. a, c, b, d
        transparency_log.check_envelope_entry(entries[0], certificate, envelope)
        transparency_log.check_inclusion(self._root, entries[0])
        if self._timestamps is None:
            self._timestamps = TimestampVerifier(self._root)
        times = self._timestamps.times(bundle, envelope)
        for time in times:
            if not any(log.window.holds(time) for log in transparency_log.logs_with_id(self._root, entries[0].log_id)):
                raise Rejected("tlog", f"The transparency log was not in use on {time:%Y-%m-%d}")
            check_signing_certificate(self._root, certificate, time)
        self._timestamps.check(bundle, envelope)
        return min(times)

    def _signer(self, certificate: Any, time: datetime.datetime, layout: str) -> Signer:
        """Check the identity and return the signer. The signed content is checked only afterwards."""
        claim = claimed_identity(certificate, layout == LEGACY)
        subject = self._identities.matching_subject(claim)
        return Signer(
            COSIGN,
            layout,
            key=fingerprint_of(certificate.public_key()),
            issuer=claim.issuer,
            subject=subject,
            signed_at=f"{time.astimezone(_UTC):%Y-%m-%dT%H:%M:%SZ}",
            entries=self._identities.matching_entries(claim) if self._wants_entries else frozenset([ANY_IDENTITY]),
            # not the key, which is new for each signature
            names=frozenset(claim.aliases),
        )


def _legacy_promise(annotation: str) -> transparency_log.Promise:
    """The annotation ``dev.sigstore.cosign/bundle`` (cosign, pkg/cosign/bundle/rekor.go)."""
    document = formats.strict_json(annotation, "The bundle annotation")
    entry = document["Payload"]
    return transparency_log.Promise(
        formats.decode_base64(entry["body"], "The log entry"),
        transparency_log.number(entry["integratedTime"]),
        bytes.fromhex(entry["logID"]),
        transparency_log.number(entry["logIndex"]),
        formats.decode_base64(document["SignedEntryTimestamp"], "The signed entry timestamp"),
    )

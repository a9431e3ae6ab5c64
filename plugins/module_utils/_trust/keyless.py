# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of signatures that were made with a certificate: keyless ones, and those of one's own PKI.

Sources: cosign, pkg/cosign/verify.go (legacy signatures); sigstore-go, pkg/verify (bundles). What these check is
checked: the signature by the certificate's key, a log entry about just this signature, the log's own signature on entry
and time, the certificate's validity and chain at that time, its record in a CT log, the identity, and the artifact's
digest in what was signed. Not done: online look-ups of log entries, in which the registry would choose what is asked.

The steps, by the numbers of :mod:`.verifier`. Each raises a ``Rejected`` of its own code:

3. *Check the signature*, by the key of the certificate that lies beside it.
4. *Check who signed*, with each trusted root by itself, until one is satisfied as a whole (:mod:`.signing_time`):
   a. a log entry is about just this signature (``tlog``);
   b. the log has signed the entry and its time, which is the time of signing; where a timestamp authority tells it,
      that authority has (``tlog``, ``timestamp``);
   c. for bundles, the entry is included in the log (``tlog``);
   d. at that time the certificate was valid, issued by an authority of the trusted root, and recorded in a CT log
      (``untrusted-certificate``, ``expired-certificate``, ``sct``);
   e. the identity in the certificate is one of the policy (``identity``).
   What a root does not have, a log or a CT log, is not demanded.
5. *Check what was signed*: it names the digest, and its type is asked for.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .._oci.manifest import Descriptor
from .._packages import KEYLESS_CRYPTOGRAPHY, require_cryptography
from . import formats, transparency_log
from .certificates import is_issued_by, read_certificate
from .formats import Bundle, Document, Envelope, Statement
from .identity import ANY_IDENTITY, CompiledIdentities, claimed_identity
from .keys import PublicKey, fingerprint_of, signature_is_good
from .policy import COSIGN, VerifyPolicy
from .signing_time import ANNOTATION_TIMESTAMP, SigningTime, TimeCheck
from .sigstore_extra import public_good_root
from .trusted_root import MAX_CHAIN, TrustedRoot, load_trusted_roots, parse_errors
from .verdict import BUNDLE, LEGACY, Rejected, Signer

#: Bytes of one annotation of a legacy signature.
MAX_ANNOTATION = 256 * 1024
ANNOTATION_CHAIN = "dev.sigstore.cosign/chain"

_READ_ANNOTATIONS = (
    formats.ANNOTATION_SIGNATURE,
    formats.ANNOTATION_CERTIFICATE,
    formats.ANNOTATION_BUNDLE,
    ANNOTATION_CHAIN,
    ANNOTATION_TIMESTAMP,
)
_UTC = datetime.timezone.utc
_ABOUT_THE_ROOT = ("untrusted-certificate", "sct", "tlog", "timestamp")


class KeylessVerifier:
    """Verifies single signatures against the identities and the trusted roots of a policy.

    Without ``trusted_root`` and ``ca_roots`` the root of the public-good instance is used, which needs the package
    ``sigstore`` and the network; with one of them, nothing here uses the network. ``now`` is the time at which
    certificates have to be valid where nothing tells when they were used.

    :raises InvalidPolicy: when identities, trusted root or ``ca_roots`` cannot be used.
    :raises MissingDependency: without ``cryptography``; without ``sigstore`` where the policy has no root of its own.
    :raises ConnectionFailed: when the public-good root is not reached.
    """

    def __init__(self, policy: VerifyPolicy, now: datetime.datetime | None = None) -> None:
        require_cryptography("Keyless verification", KEYLESS_CRYPTOGRAPHY)
        own_pki = bool(policy.ca_roots)
        self._identities = CompiledIdentities(policy.identities, policy.any_identity, needs_issuer=not own_pki)
        if own_pki:
            from .own_pki import own_pki_roots

            instances = load_trusted_roots(policy.trusted_root, False) if policy.trusted_root else []
            self._roots = own_pki_roots(policy.ca_roots, instances)
        else:
            self._roots = load_trusted_roots(policy.trusted_root or public_good_root())
        self._any_name = own_pki
        self._now = now
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

    def verify_attestation(
        self, layer: Descriptor, document: Document, envelopes: Sequence[Envelope], digest: str
    ) -> tuple[Signer, Statement]:
        """Check an envelope under cosign's tag of attestations; return its signer and its statement.

        :param document: the content of the layer.
        :param envelopes: the envelope in it, once for each of its signatures.
        :raises Rejected: with the code of the check that failed.
        """
        with self._only_rejections():
            return self._attestation(layer, document, envelopes, digest)

    @contextmanager
    def _only_rejections(self) -> Iterator[None]:
        """Convert all errors that parsers raise on malformed input to ``Rejected``."""
        try:
            yield
        except parse_errors() as exc:
            problem = f"{type(exc).__name__}: {' '.join(str(exc).split())[:200]}"
            raise Rejected("malformed", f"The signature's material is damaged: {problem}") from None

    def _legacy(self, layer: Descriptor, payload: bytes, digest: str) -> Signer:
        annotations = layer.annotations
        if len(payload) > formats.MAX_PAYLOAD:
            raise Rejected("too-large", f"The payload has more than {formats.MAX_PAYLOAD} bytes")
        _check_annotations(annotations)
        if not annotations.get(formats.ANNOTATION_SIGNATURE):
            raise Rejected("malformed", "The layer has no signature annotation")
        if not annotations.get(formats.ANNOTATION_CERTIFICATE):
            raise Rejected("no-certificate", "The signature has no certificate: it was made with a key")
        # 3. Check the signature
        signature = formats.decode_base64(annotations[formats.ANNOTATION_SIGNATURE], "The signature annotation")
        certificate = read_certificate(annotations[formats.ANNOTATION_CERTIFICATE].encode("utf-8"))
        if not signature_is_good(certificate.public_key(), signature, payload):
            raise Rejected("bad-signature", "The signature over the payload is not by the certificate's key")

        # 4. Check who signed: a, b, d, e
        def check_entry(body: bytes) -> None:
            transparency_log.check_legacy_entry(body, signature, certificate, payload)

        signer = self._annotated_signer(annotations, certificate, signature, check_entry)
        # 5. Check what was signed
        claims = formats.check_simple_payload(payload, digest)
        return replace(signer, predicate_type=formats.COSIGN_SIGN, found_in=layer.digest, annotations=claims)

    def _attestation(
        self, layer: Descriptor, document: Document, envelopes: Sequence[Envelope], digest: str
    ) -> tuple[Signer, Statement]:
        """Source: cosign, pkg/cosign/verify.go, VerifyImageAttestation."""
        annotations = layer.annotations
        _check_annotations(annotations)
        if not annotations.get(formats.ANNOTATION_CERTIFICATE):
            raise Rejected("no-certificate", "The attestation has no certificate: it was made with a key")
        # 3. Check the signature
        certificate = read_certificate(annotations[formats.ANNOTATION_CERTIFICATE].encode("utf-8"))
        key = PublicKey(certificate.public_key(), "the certificate", fingerprint_of(certificate.public_key()))
        matching = (
            each for each in envelopes if key.is_named(each.key_id) and key.verifies(each.signature, each.signed)
        )
        envelope = next(matching, None)
        if envelope is None:
            raise Rejected("bad-signature", "The envelope's signature is not by the certificate's key")

        # 4. Check who signed: a, b, d, e
        def check_entry(body: bytes) -> None:
            transparency_log.check_tagged_entry(body, certificate, envelope, document.sha256)

        # a timestamp is about the whole envelope, not its signature (cosign, VerifyRFC3161Timestamp); of a large one
        # the text is not there any more, and only a log entry counts
        stamped = b"" if document.mark else document.text
        signer = self._annotated_signer(annotations, certificate, stamped, check_entry)
        # 5. Check what was signed
        statement = formats.check_statement(envelope, digest)
        signer = replace(
            signer,
            predicate_type=statement.predicate_type,
            found_in=layer.digest,
            annotations=statement.annotations,
        )
        return signer, statement

    def _annotated_signer(
        self,
        annotations: Mapping[str, str],
        certificate: Any,
        stamped: bytes,
        check_entry: Callable[[bytes], None],
    ) -> Signer:
        """Return the signer of what has certificate, log entry, timestamp and chain in annotations, not in a bundle.

        :param stamped: what a timestamp is about.
        :param check_entry: raises Rejected when a log entry is about something else.
        """
        log_entry = annotations.get(formats.ANNOTATION_BUNDLE)
        promise = _legacy_promise(log_entry) if log_entry else None
        stamp = annotations.get(ANNOTATION_TIMESTAMP, "")
        intermediates = self._intermediates(annotations.get(ANNOTATION_CHAIN, ""))
        time = self._signing_time(
            certificate, stamped, lambda check: check.of_annotations(promise, stamp, check_entry), intermediates
        )
        return self._signer(certificate, time, LEGACY)

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
        time = self._signing_time(certificate, envelope.signature, lambda check: check.of_bundle(bundle, envelope))
        signer = self._signer(certificate, time, BUNDLE)
        # 5. Check what was signed
        statement = formats.check_statement(envelope, digest, predicate_types)
        signer = replace(signer, predicate_type=statement.predicate_type, annotations=statement.annotations)
        return signer, statement

    def _signing_time(
        self,
        certificate: Any,
        signature: bytes,
        find: Callable[[TimeCheck], SigningTime],
        intermediates: Sequence[Any] = (),
    ) -> SigningTime:
        """Return the time of signing from the first trusted root that is satisfied as a whole; roots are never mixed.

        :raises Rejected: with what the root says whose authority issued the certificate, else the first.
        """
        now = self._now or datetime.datetime.now(_UTC)
        # no exceptions, whose tracebacks would keep a large attestation in memory
        refusals: list[tuple[TrustedRoot, str, str]] = []
        for root in self._roots:
            try:
                return find(TimeCheck(root, certificate, signature, now, intermediates))
            except Rejected as exc:
                refusals.append((root, exc.code, exc.message))
        root, code, message = next((each for each in refusals if _has_issued(each[0], certificate)), refusals[0])
        expiry = root.expiry(now) if code in _ABOUT_THE_ROOT else ""
        raise Rejected(code, f"{message}. {expiry}" if expiry else message)

    def _intermediates(self, chain: str) -> list[Any]:
        """Return the certificates of the chain annotation, which are only needed for one's own PKI."""
        if not self._any_name or not chain:
            return []
        from .own_pki import read_pem_chain

        return read_pem_chain(chain, MAX_CHAIN)

    def _signer(self, certificate: Any, time: SigningTime, layout: str) -> Signer:
        """Check the identity and return the signer. The signed content is checked only afterwards."""
        claim = claimed_identity(certificate, layout == LEGACY, any_name=self._any_name)
        subject = self._identities.matching_subject(claim)
        return Signer(
            COSIGN,
            layout,
            key=fingerprint_of(certificate.public_key()),
            issuer=claim.issuer,
            subject=subject,
            signed_at=f"{time.time.astimezone(_UTC):%Y-%m-%dT%H:%M:%SZ}" if time.is_proven else "",
            entries=self._identities.matching_entries(claim) if self._wants_entries else frozenset([ANY_IDENTITY]),
            # not the key, which is new for each signature
            names=frozenset(claim.aliases),
            valid_until=time.valid_until,
        )


def _has_issued(root: TrustedRoot, certificate: Any) -> bool:
    return any(is_issued_by(certificate, each) for authority in root.authorities for each in authority.chain)


def _check_annotations(annotations: Mapping[str, str]) -> None:
    for name in _READ_ANNOTATIONS:
        if len(annotations.get(name, "")) > MAX_ANNOTATION:
            raise Rejected("too-large", f"The annotation {name} has more than {MAX_ANNOTATION} bytes")


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

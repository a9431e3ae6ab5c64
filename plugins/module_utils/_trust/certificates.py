# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads certificates of signers, and verifies their chain to the trusted root and their CT log timestamps.

Sources: RFC 5280 section 6 as Go's crypto/x509 applies it; RFC 6962 section 3 for signed certificate timestamps (SCT);
sigstore/fulcio, docs/certificate-specification.md for the fields of a signer's certificate. A chain is checked at the
trusted time of the signature, never at the present time: the certificates are valid for minutes.
"""

from __future__ import annotations

import datetime
import hashlib
import struct
from collections.abc import Sequence
from typing import Any

from .._errors import InvalidPolicy
from .issuance import verify_issued_by
from .keys import check_kind, signature_is_good, spki_of
from .trusted_root import Authority, Log, TrustedRoot
from .verdict import Rejected

#: Bytes of one certificate, PEM or DER.
MAX_CERTIFICATE = 64 * 1024
MAX_SCTS = 32

_UTC = datetime.timezone.utc
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=_UTC)
#: Extensions that are evaluated; a certificate with any other critical extension is refused.
_KNOWN_EXTENSIONS = (
    "2.5.29.15",  # key usage
    "2.5.29.17",  # subject alternative name
    "2.5.29.19",  # basic constraints
    "2.5.29.37",  # extended key usage
)
_NAME_CONSTRAINTS = "2.5.29.30"
#: Extended key usages.
CODE_SIGNING, TIME_STAMPING, ANY_PURPOSE = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8", "2.5.29.37.0"


def read_certificate(encoded: bytes) -> Any:
    """Return the certificate in PEM (the first block) or DER, with a key of an accepted kind.

    :raises Rejected: ``too-large``, ``malformed``, or ``untrusted-certificate`` for a key of another kind.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    if len(encoded) > MAX_CERTIFICATE:
        raise Rejected("too-large", f"The certificate has more than {MAX_CERTIFICATE} bytes")
    pem = b"-----BEGIN" in encoded
    try:
        certificate = x509.load_pem_x509_certificate(encoded) if pem else x509.load_der_x509_certificate(encoded)
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
        raise Rejected("malformed", f"The certificate cannot be read: {str(exc)[:100]}") from None
    try:
        check_kind(key, "The certificate's key")
    except InvalidPolicy as exc:
        raise Rejected("untrusted-certificate", exc.message.rstrip(".")) from None
    return certificate


def is_same_certificate(encoded: bytes, certificate: Any) -> bool:
    """Return True when the encoded certificate equals this one, byte for byte."""
    try:
        other = read_certificate(encoded)
    except Rejected:
        return False
    return der_of(other) == der_of(certificate)


def der_of(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    result: bytes = certificate.public_bytes(Encoding.DER)
    return result


def check_signing_certificate(
    root: TrustedRoot, leaf: Any, time: datetime.datetime, intermediates: Sequence[Any] = ()
) -> list[Any]:
    """Check that a certificate is for code signing, was valid at ``time``, is issued by an authority of the trusted
    root, and recorded in a CT log, if the root has one. Return the chain above it, issuer first.

    :param intermediates: certificates that came with the signature; they may lead to an authority of one's own PKI.
    :raises Rejected: ``expired-certificate``, ``untrusted-certificate`` or ``sct``.
    """
    _check_leaf(leaf, time, root.is_own_pki)
    chain = _chain_at(root, leaf, time, intermediates if root.is_own_pki else ())
    if root.certificate_logs:
        _check_scts(root, leaf, chain[0])
    return chain


def _check_leaf(leaf: Any, time: datetime.datetime, is_own_pki: bool) -> None:
    """Check what the certificate is for. One's own PKI need not say: what it leaves out is not restricted."""
    from cryptography import x509

    begins, ends = validity(leaf)
    if not begins <= time <= ends:
        raise Rejected(
            "expired-certificate",
            f"The certificate was valid from {begins:%Y-%m-%d %H:%M:%S} until {ends:%Y-%m-%d %H:%M:%S} UTC, "
            f"the signature was made at {time:%Y-%m-%d %H:%M:%S}",
        )
    usages = _value(leaf, x509.ExtendedKeyUsage)
    purposes = None if usages is None else [each.dotted_string for each in usages]
    allowed = (CODE_SIGNING, ANY_PURPOSE) if is_own_pki else (CODE_SIGNING,)
    if not (is_own_pki if purposes is None else any(each in purposes for each in allowed)):
        raise Rejected("untrusted-certificate", "The certificate is not for code signing (extended key usage)")
    usage = _value(leaf, x509.KeyUsage)
    if not (is_own_pki if usage is None else usage.digital_signature):
        raise Rejected("untrusted-certificate", "The certificate is not for digital signatures (key usage)")
    constraints = _value(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise Rejected("untrusted-certificate", "The certificate is an authority's own")
    if has_unknown_demand(leaf):
        raise Rejected("untrusted-certificate", "The certificate has a critical extension that is not known")


def _chain_at(root: TrustedRoot, leaf: Any, time: datetime.datetime, intermediates: Sequence[Any]) -> list[Any]:
    """Return the chain above the leaf, issuer first, from one authority that was in use at the time."""

    def path(authority: Authority) -> list[Any]:
        pool = [*authority.chain[:-1], *intermediates]
        return find_path(leaf, pool, authority.chain[-1:], time, (CODE_SIGNING, ANY_PURPOSE))

    for authority in root.authorities:
        if authority.window.holds(time):
            chain = path(authority)
            if chain:
                return chain
    for authority in root.authorities:
        if not authority.window.holds(time) and path(authority):
            raise Rejected(
                "untrusted-certificate",
                f"The authority that issued the certificate is trusted {authority.window}, "
                f"the signature was made on {time:%Y-%m-%d}",
            )
    if root.is_own_pki:
        raise Rejected("untrusted-certificate", "The certificate does not lead to any of 'ca_roots'")
    raise Rejected("untrusted-certificate", "No certificate authority of the trusted root issued the certificate")


def is_authority(certificate: Any) -> bool:
    """Return True for a certificate that may issue others."""
    from cryptography import x509

    constraints = _value(certificate, x509.BasicConstraints)
    return constraints is not None and bool(constraints.ca)


def is_self_issued(certificate: Any) -> bool:
    """Return True for a certificate that its own key has signed."""
    return bool(certificate.subject == certificate.issuer) and is_issued_by(certificate, certificate)


def find_path(
    leaf: Any, pool: Sequence[Any], anchors: Sequence[Any], time: datetime.datetime, purposes: Sequence[str]
) -> list[Any]:
    """Return the certificates from the leaf's issuer to one of the trusted anchors; empty when there is no such path.

    Each may issue, was valid at ``time``, and is for one of the purposes unless it names none. The pool's certificates
    need not be trusted, and each is followed once, so that a hostile pool costs little.
    """
    followed: set[int] = set()

    def search(child: Any, below: int) -> list[Any]:
        candidates = [(each, True) for each in anchors] + [(each, False) for each in pool]
        for number, (each, is_anchor) in enumerate(candidates):
            if number in followed or each.subject != child.issuer:
                continue
            if _may_issue(each, below, time, purposes) and is_issued_by(child, each):
                followed.add(number)
                above = [] if is_anchor else search(each, below + 1)
                if is_anchor or above:
                    return [each, *above]
        return []

    return search(leaf, 0)


def _may_issue(certificate: Any, below: int, time: datetime.datetime, purposes: Sequence[str]) -> bool:
    """Return True for a CA certificate, valid at the time, that may have ``below`` CA certificates below it."""
    from cryptography import x509

    begins, ends = validity(certificate)
    constraints = _value(certificate, x509.BasicConstraints)
    usage = _value(certificate, x509.KeyUsage)
    usages = _value(certificate, x509.ExtendedKeyUsage)
    return (
        begins <= time <= ends
        and constraints is not None
        and constraints.ca
        and (constraints.path_length is None or below <= constraints.path_length)
        and (usage is None or usage.key_cert_sign)
        and (usages is None or any(each.dotted_string in purposes for each in usages))
        and not has_unknown_demand(certificate)
    )


def is_issued_by(child: Any, issuer: Any) -> bool:
    """Return True when names and signature match; signatures over MD5 and SHA-1 are refused."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        verify_issued_by(child, issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def has_unknown_demand(certificate: Any) -> bool:
    """Return True for an unknown critical extension, or name constraints, which are not evaluated here."""
    return any(
        (extension.critical and extension.oid.dotted_string not in _KNOWN_EXTENSIONS)
        or extension.oid.dotted_string == _NAME_CONSTRAINTS
        for extension in certificate.extensions
    )


def _check_scts(root: TrustedRoot, leaf: Any, issuer: Any) -> None:
    """Check that there is one timestamp of a CT log that was in use at that time, which is enough, as for cosign."""
    from cryptography import x509

    scts = _value(leaf, x509.PrecertificateSignedCertificateTimestamps)
    if not scts:
        raise Rejected("sct", "The certificate has no signed certificate timestamp: it was not recorded in a CT log")
    if len(scts) > MAX_SCTS:
        raise Rejected("too-large", f"The certificate has more than {MAX_SCTS} signed certificate timestamps")
    known = [(sct, log) for sct in scts for log in root.certificate_logs if log.log_id == sct.log_id]
    if not known:
        raise Rejected("sct", "The certificate was recorded in CT logs that the trusted root does not have")
    in_use = [(sct, log) for sct, log in known if log.window.holds(sct.timestamp.replace(tzinfo=_UTC))]
    if not in_use:
        raise Rejected("sct", f"The certificate was recorded in a CT log that is trusted {known[0][1].window}")
    if not any(_sct_is_good(sct, log, leaf, issuer) for sct, log in in_use):
        raise Rejected("sct", "The signature of the certificate's timestamp is not by the CT log that it names")


def _sct_is_good(sct: Any, log: Log, leaf: Any, issuer: Any) -> bool:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    # RFC 6962 section 2.1.4 defines these two; the key decides, and the algorithm in the timestamp must match it
    known = isinstance(log.key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey))
    if not known or not isinstance(sct.signature_hash_algorithm, hashes.SHA256):
        return False
    precertificate: bytes = leaf.tbs_precertificate_bytes
    milliseconds = (sct.timestamp.replace(tzinfo=_UTC) - _EPOCH) // datetime.timedelta(milliseconds=1)
    extensions: bytes = sct.extension_bytes
    signed = b"".join(
        (
            struct.pack(">BBQH", 0, 0, milliseconds, 1),  # v1, certificate_timestamp, time, precert_entry
            hashlib.sha256(spki_of(issuer.public_key())).digest(),
            len(precertificate).to_bytes(3, "big"),
            precertificate,
            struct.pack(">H", len(extensions)),
            extensions,
        )
    )
    return signature_is_good(log.key, sct.signature, signed)


def _value(certificate: Any, kind: Any) -> Any:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def validity(certificate: Any) -> tuple[datetime.datetime, datetime.datetime]:
    """Return the first and the last time at which a certificate is valid, in UTC."""
    if hasattr(certificate, "not_valid_before_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    # cryptography before 42 only has naive times, in UTC
    return certificate.not_valid_before.replace(tzinfo=_UTC), certificate.not_valid_after.replace(tzinfo=_UTC)

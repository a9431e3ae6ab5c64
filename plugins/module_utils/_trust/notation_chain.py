# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of Notary Project signatures: untrusted chains, and trust stores.

Source: Notary Project, signature-specification.md, "Certificate Requirements", as notation-core-go applies them
(x509/codesigning_cert_validations.go): the chain comes whole and in order, from the signer's certificate to
a self-signed root; only basic constraints, key usage and extended key usage are honoured, as the specification demands.
Nothing is looked up anywhere: whether a certificate was revoked is not known here.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidPolicy
from .._files.bounded import MAX_CERTIFICATES, FileRefused, is_pem, read_file
from .._packages import require_cryptography
from .certificates import validity
from .issuance import verify_issued_by
from .key_uris import refuse_uri
from .keys import check_kind
from .verdict import Rejected

MAX_CHAIN = 10
MAX_CERTIFICATE = 64 * 1024
MAX_STORE = 1000

_HASHES = ("sha256", "sha384", "sha512")
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
# signature-specification.md, "Leaf Certificates"; OCSP signing is refused by notation-core-go
_FOREIGN_USAGES = {
    "2.5.29.37.0": "any",
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
}


@dataclass(frozen=True)
class TrustedCertificate:
    """A certificate of a trust store. ``source`` is its path, or ``certificate N`` of the option."""

    encoded: bytes = field(repr=False)
    source: str


def read_chain(encoded: Sequence[bytes]) -> list[Any]:
    """Return the certificates of an envelope as objects of ``cryptography``, without checking them.

    :raises Rejected: ``malformed`` or ``too-large``.
    """
    from cryptography import x509

    if not 0 < len(encoded) <= MAX_CHAIN:
        raise Rejected("malformed", f"The envelope has {len(encoded)} certificates, wanted 1 to {MAX_CHAIN}")
    if any(len(each) > MAX_CERTIFICATE for each in encoded):
        raise Rejected("too-large", f"A certificate has more than {MAX_CERTIFICATE} bytes")
    with reading("A certificate of the envelope"):
        return [x509.load_der_x509_certificate(each) for each in encoded]


def check_chain(chain: Sequence[Any]) -> None:
    """Check that a chain has the form that the specification demands, but not that its root is trusted.

    :raises Rejected: ``chain``.
    """
    _check_chain(chain, _check_notation_leaf, True)


def check_time_stamping_chain(chain: Sequence[Any]) -> None:
    """Check the same of the chain of a timestamp authority; its extended key usage was checked before.

    A chain of one certificate is trusted as it is. Source: notation-core-go, x509/timestamp_cert_validations.go.

    :raises Rejected: ``timestamp``.
    """
    try:
        _check_chain(chain, _check_time_stamping_leaf, False)
    except Rejected as exc:
        raise Rejected("timestamp", f"Of the timestamp authority: {exc.message}") from None


def _check_chain(chain: Sequence[Any], check_leaf: Callable[[Any], None], usage_is_critical: bool) -> None:
    with reading("A certificate of the envelope"):
        for number, certificate in enumerate(chain):
            self_signed = _is_issued_by(certificate, certificate)
            if number + 1 == len(chain):
                if not self_signed:
                    raise Rejected(
                        "chain", f"The last certificate, of {name_of(certificate)}, is not a self-signed root"
                    )
            elif self_signed:
                raise Rejected("chain", f"The chain goes on behind the self-signed one of {name_of(certificate)}")
            elif not _is_issued_by(certificate, chain[number + 1]):
                names = f"of {name_of(certificate)} is not issued by the next one, of {name_of(chain[number + 1])}"
                raise Rejected("chain", f"The certificate {names}")
            if number == 0:
                check_leaf(certificate)
            else:
                _check_authority(certificate, number - 1, usage_is_critical)


def why_not_valid(chain: Sequence[Any], now: datetime.datetime) -> str:
    """Return a clause about the first certificate that is not valid at the time; empty when all are valid."""
    with reading("A certificate of the envelope"):
        for certificate in chain:
            begins, ends = validity(certificate)
            if now < begins:
                return f"the certificate of {name_of(certificate)} is valid from {begins:%Y-%m-%d %H:%M:%S} UTC on"
            if now > ends:
                return f"the certificate of {name_of(certificate)} expired at {ends:%Y-%m-%d %H:%M:%S} UTC"
    return ""


def ends_of(chain: Sequence[Any]) -> list[datetime.datetime]:
    """Return the time at which each certificate expires."""
    with reading("A certificate of the envelope"):
        return [validity(certificate)[1] for certificate in chain]


def revocable(chain: Sequence[Any]) -> list[str]:
    """Return the names of the certificates with an OCSP responder or a revocation list; never a root."""
    from cryptography import x509

    with reading("A certificate of the envelope"):
        return [name_of(each) for each in chain[:-1] if _names_ocsp(each) or _value(each, x509.CRLDistributionPoints)]


def name_of(certificate: Any) -> str:
    """Return the subject for messages: at most 200 characters, quoted, since untrusted text may contain line ends."""
    with reading("The name in a certificate"):
        return repr(certificate.subject.rfc4514_string()[:200])


def read_trusted(certificates: Sequence[TrustedCertificate]) -> list[Any]:
    """Return certificates of a trust store as objects of ``cryptography``."""
    from cryptography import x509

    return [x509.load_der_x509_certificate(each.encoded) for each in certificates]


def encode(certificate: Any) -> bytes:
    """Return the certificate as DER."""
    from cryptography.hazmat.primitives.serialization import Encoding

    result: bytes = certificate.public_bytes(Encoding.DER)
    return result


def read_trust_store(sources: Sequence[str]) -> list[TrustedCertificate]:
    """Read certificates given as PEM text or as paths of PEM or DER files; a file may hold several.

    :raises InvalidPolicy: for anything else, and for certificates that are neither authorities' nor self-signed.
    """
    require_cryptography("Verifying Notary Project signatures")
    found = [each for number, source in enumerate(sources, 1) for each in _read_source(source, number)]
    if len(found) > MAX_STORE:
        raise InvalidPolicy(f"The trust store has {len(found)} certificates, more than the {MAX_STORE} allowed.")
    return found


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Convert errors of ``cryptography`` on malformed input to ``Rejected`` with the code ``malformed``."""
    from cryptography import x509
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm

    try:
        yield
    except (
        ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm, InternalError, x509.InvalidVersion,
        x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
    ) as exc:  # fmt: skip
        raise Rejected("malformed", f"{what} cannot be read: {str(exc)[:100]!r}") from None


def _check_notation_leaf(certificate: Any) -> None:
    from cryptography import x509

    name = name_of(certificate)
    _check_leaf_usage(certificate, _key_usage(certificate, True))
    purposes = [each.dotted_string for each in _value(certificate, x509.ExtendedKeyUsage) or ()]
    others = [_FOREIGN_USAGES[each] for each in purposes if each in _FOREIGN_USAGES]
    if others:
        raise Rejected("chain", f"The signer's certificate, of {name}, is for {', '.join(others)}, not for code")


def _check_time_stamping_leaf(certificate: Any) -> None:
    _check_leaf_usage(certificate, _key_usage(certificate, False))


def _check_leaf_usage(certificate: Any, usage: Any) -> None:
    from cryptography import x509

    name = name_of(certificate)
    constraints = _value(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise Rejected("chain", f"The signer's certificate, of {name}, is an authority's")
    foreign = usage.key_encipherment or usage.data_encipherment or usage.key_agreement
    if not usage.digital_signature or foreign or usage.key_cert_sign or usage.crl_sign:
        raise Rejected("chain", f"The key usage of the signer's certificate, of {name}, is not just digital signatures")


def _check_authority(certificate: Any, below: int, usage_is_critical: bool) -> None:
    from cryptography import x509

    name = name_of(certificate)
    constraints = _value(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Rejected("chain", f"The certificate of {name} is not a CA certificate and issued another")
    if constraints.path_length is not None and constraints.path_length < below:
        message = f"The certificate of {name} allows {constraints.path_length} authorities below it, not {below}"
        raise Rejected("chain", message)
    if not _key_usage(certificate, usage_is_critical).key_cert_sign:
        raise Rejected("chain", f"The key usage of the certificate of {name} does not allow it to issue others")


def _key_usage(certificate: Any, is_critical: bool) -> Any:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        raise Rejected("chain", f"The certificate of {name_of(certificate)} has no key usage") from None
    if is_critical and not extension.critical:
        raise Rejected("chain", f"The key usage of the certificate of {name_of(certificate)} is not critical")
    return extension.value


def _is_issued_by(certificate: Any, issuer: Any) -> bool:
    """Return True when name and signature match, the latter with SHA-2 or Ed25519 by a key of an accepted kind."""
    from cryptography.exceptions import InvalidSignature

    if certificate.issuer != issuer.subject:
        return False
    algorithm = certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name not in _HASHES:
        raise Rejected("chain", f"The certificate of {name_of(certificate)} is signed with {algorithm.name}")
    try:
        check_kind(issuer.public_key(), f"The key of the certificate of {name_of(issuer)}")
    except InvalidPolicy as exc:
        raise Rejected("chain", exc.message.rstrip(".")) from None
    try:
        verify_issued_by(certificate, issuer)
    except InvalidSignature:
        return False
    return True


def _names_ocsp(certificate: Any) -> bool:
    from cryptography import x509

    places = _value(certificate, x509.AuthorityInformationAccess) or ()
    return any(each.access_method == x509.oid.AuthorityInformationAccessOID.OCSP for each in places)


def _value(certificate: Any, kind: Any) -> Any:
    """Return the extension of a class of ``cryptography.x509``, or None."""
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _read_source(source: str, number: int) -> Iterator[TrustedCertificate]:
    from cryptography import x509

    name, content = f"certificate {number}", source.encode("utf-8", "surrogateescape")
    if not is_pem(source):
        refuse_uri(source, "trust_store", "trust_store")
        name, content = source, _read_file(source)
    text = content.decode("utf-8", "replace")
    blocks = list(_PEM_BLOCK.finditer(text))
    wrong = next((block[1] for block in blocks if block[1] != "CERTIFICATE"), "")
    if wrong or ("-----BEGIN" in text and not blocks):
        what = f"a PEM block of the kind {wrong}" if wrong else "a PEM block that does not end"
        raise InvalidPolicy(f"The trust store's {name} has {what}.", "Wanted CERTIFICATE blocks, and no private keys.")
    try:
        with reading("It"):
            if blocks:
                certificates = [x509.load_pem_x509_certificate(block[0].encode("utf-8")) for block in blocks]
            else:
                certificates = [x509.load_der_x509_certificate(content)]
            for certificate in certificates:
                constraints = _value(certificate, x509.BasicConstraints)
                if not (constraints is not None and constraints.ca) and not _is_issued_by(certificate, certificate):
                    raise InvalidPolicy(
                        f"The trust store's {name}, of {name_of(certificate)}, is neither an authority's certificate "
                        "nor self-signed.",
                        "Give the certificate of the authority that issued it.",
                    )
    except Rejected as exc:
        raise InvalidPolicy(f"The trust store's {name} is not a usable certificate: {exc.message}.") from None
    for certificate in certificates:
        yield TrustedCertificate(encode(certificate), name)


def _read_file(path: str) -> bytes:
    try:
        return read_file(path, MAX_CERTIFICATES)
    except FileRefused as exc:
        raise InvalidPolicy(
            f"The trust store's certificate {path[:200]!r} {exc}.",
            "Give the path of a PEM file on the host that runs the module, or the PEM text itself.",
        ) from None

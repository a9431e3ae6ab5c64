# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyless attestations under cosign's tag: an envelope, with certificate and log entry in the annotations of its layer.

Source: cosign, pkg/cosign/verify.go, VerifyImageAttestation. The log entry is checked in :mod:`.transparency_log`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import formats
from .certificates import read_certificate
from .formats import Envelope
from .keys import PublicKey, fingerprint_of
from .verdict import Rejected

#: Characters of one annotation.
MAX_ANNOTATION = 256 * 1024


def check_annotations(annotations: Mapping[str, str]) -> None:
    """Check that certificate and log entry are there, and not too long.

    :raises Rejected: ``too-large``, ``no-certificate`` or ``tlog``.
    """
    for name in (formats.ANNOTATION_CERTIFICATE, formats.ANNOTATION_BUNDLE):
        if len(annotations.get(name, "")) > MAX_ANNOTATION:
            raise Rejected("too-large", f"The annotation {name} has more than {MAX_ANNOTATION} bytes")
    if not annotations.get(formats.ANNOTATION_CERTIFICATE):
        raise Rejected("no-certificate", "The attestation has no certificate: it was made with a key")
    if not annotations.get(formats.ANNOTATION_BUNDLE):
        raise Rejected("tlog", "The attestation has no log entry; none is looked up online")


def signed_envelope(envelopes: Sequence[Envelope], certificate: Any) -> Envelope:
    """Return the envelope with the signature by the certificate's key.

    :raises Rejected: ``bad-signature``.
    """
    key = PublicKey(certificate.public_key(), "the certificate", fingerprint_of(certificate.public_key()))
    for envelope in envelopes:
        if key.is_named(envelope.key_id) and key.verifies(envelope.signature, envelope.signed):
            return envelope
    raise Rejected("bad-signature", "The envelope's signature is not by the certificate's key")


def certificate_of(annotations: Mapping[str, str]) -> Any:
    """Return the certificate in the annotations, unchecked."""
    return read_certificate(annotations[formats.ANNOTATION_CERTIFICATE].encode("utf-8"))

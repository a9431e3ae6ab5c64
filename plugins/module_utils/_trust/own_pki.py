# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate authorities of one's own PKI, in place of Fulcio's: ``ca_roots`` of a policy.

Source: cosign, pkg/cosign/verify.go (``--ca-roots``), and containers/image, docs/containers-policy.json.5.md (``pki``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .._errors import InvalidPolicy
from .._files.bounded import MAX_CERTIFICATES, FileRefused, is_pem, read_file
from .certificates import is_authority, is_self_issued, read_certificate
from .key_uris import refuse_uri
from .trusted_root import Authority, TrustedRoot, Window, parse_errors
from .verdict import Rejected

MAX_CA_ROOTS = 100

_ALWAYS = Window(None, None)
_HINT = "Give the certificates of authorities in PEM, as paths on the host that runs the module, or as text."
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def own_pki_roots(sources: Sequence[str], instances: Sequence[TrustedRoot]) -> list[TrustedRoot]:
    """Return trusted roots with the authorities of ``ca_roots``; logs and timestamp authorities are the instances'.

    Self-signed certificates are trusted. Others are not: they may lie between a signer's certificate and those.

    :param instances: what tells the time of signing; without any, certificates have to be valid now.
    :raises InvalidPolicy: when a certificate cannot be read, is no authority's, or none is self-signed.
    """
    certificates = [each for number, source in enumerate(sources, 1) for each in _read(source, number)]
    if len(certificates) > MAX_CA_ROOTS:
        raise InvalidPolicy(f"'ca_roots' has {len(certificates)} certificates: at most {MAX_CA_ROOTS} are tried.")
    anchors = [each for each in certificates if is_self_issued(each)]
    if not anchors:
        raise InvalidPolicy(
            "'ca_roots' has no self-signed certificate: nothing is trusted with it.",
            "Give the root of the PKI too; intermediates are only trusted because they lead to it.",
        )
    authorities = [Authority([*certificates, anchor], _ALWAYS) for anchor in anchors]
    # Fulcio's certificates are recorded in CT logs, those of one's own PKI are not
    given = instances or [TrustedRoot(())]
    return [replace(each, authorities=authorities, certificate_logs=(), is_own_pki=True) for each in given]


def read_pem_chain(text: str, most: int) -> list[Any]:
    """Return the certificates in PEM text; other text between them is ignored.

    :raises Rejected: ``too-large``, ``malformed``, or ``untrusted-certificate`` for a key of another kind.
    """
    blocks = [match[0] for match in _PEM_BLOCK.finditer(text)]
    if len(blocks) > most:
        raise Rejected("too-large", f"There are more than {most} certificates")
    return [read_certificate(block.encode("utf-8")) for block in blocks]


def _read(source: str, number: int) -> list[Any]:
    name, text = f"Certificate {number} of 'ca_roots'", source
    if not is_pem(source):
        refuse_uri(source, "ca_roots", "trust_store")
        name = f"The certificate {source[:200]!r} of 'ca_roots'"
        try:
            text = read_file(source, MAX_CERTIFICATES).decode("utf-8", "replace")
        except FileRefused as exc:
            raise InvalidPolicy(f"{name} {exc}.", _HINT) from None
    kinds = [match[1] for match in _PEM_BLOCK.finditer(text)]
    wrong = next((kind for kind in kinds if kind != "CERTIFICATE"), "")
    if wrong or not kinds:
        what = f"a PEM block of the kind {wrong}" if wrong else "no PEM block"
        raise InvalidPolicy(f"{name} has {what}.", _HINT)
    try:
        certificates = read_pem_chain(text, MAX_CA_ROOTS)
        strangers = [each for each in certificates if not is_authority(each)]
    except Rejected as exc:
        raise InvalidPolicy(f"{name} cannot be used: {exc.message}.", _HINT) from None
    except parse_errors() as exc:
        raise InvalidPolicy(f"{name} cannot be read: {str(exc)[:100]}.", _HINT) from None
    if strangers:
        subject = strangers[0].subject.rfc4514_string()[:200]
        raise InvalidPolicy(f"{name}, of {subject!r}, is not an authority's: it may not issue others.", _HINT)
    return certificates

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the trusted roots of Sigstore instances: their certificate authorities, logs and timestamp authorities.

Sources: sigstore/protobuf-specs, sigstore_trustroot.proto; the requirements are those of sigstore-go, pkg/root. What
``gh attestation trusted-root`` writes are several roots, one in each line.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidPolicy
from .._files.bounded import MAX_POLICY_FILE, FileRefused, read_file
from .._packages import KEYLESS_CRYPTOGRAPHY, require_cryptography
from . import formats
from .key_uris import refuse_uri
from .keys import check_kind
from .verdict import Rejected

MEDIA_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
MAX_INSTANCES = 100
MAX_CHAIN = 10
#: Roots in one file, a line each.
MAX_ROOTS = 20

_HINT = (
    "Give the path or the text of a trusted_root.json, as 'cosign trusted-root create' or 'gh attestation "
    "trusted-root' writes it."
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Window:
    """The period in which something was in use; both ends are included, and an open end is None."""

    start: datetime.datetime | None
    end: datetime.datetime | None

    def holds(self, time: datetime.datetime) -> bool:
        return (self.start is None or self.start <= time) and (self.end is None or time <= self.end)

    def __str__(self) -> str:
        start = f"from {self.start:%Y-%m-%d}" if self.start else ""
        end = f"until {self.end:%Y-%m-%d}" if self.end else ""
        return f"{start} {end}".strip() or "always"


@dataclass(frozen=True)
class Log:
    """A transparency log or certificate transparency log: its id, its key, and the period of use of the key."""

    log_id: bytes
    key: Any = field(repr=False)
    window: Window


@dataclass(frozen=True)
class Authority:
    """An authority: intermediates in any order, then its root. A timestamp authority's own certificate may be first."""

    chain: Sequence[Any] = field(repr=False)
    window: Window


@dataclass(frozen=True)
class TrustedRoot:
    """The authorities and logs that signatures with certificates are checked against.

    What a root does not have is not demanded: without ``certificate_logs`` a certificate need not be recorded in one,
    without ``logs`` a signature needs no log entry. Something has to tell the time of signing: a log, else one of the
    ``timestamp_authorities``; where the root has neither, the certificate has to be valid now.

    ``is_own_pki`` is set where the authorities are not Fulcio's, see :mod:`.own_pki`.
    """

    authorities: Sequence[Authority]
    logs: Sequence[Log] = ()
    certificate_logs: Sequence[Log] = ()
    timestamp_authorities: Sequence[Authority] = ()
    is_own_pki: bool = False

    def expiry(self, now: datetime.datetime) -> str:
        """Return a sentence when no signature made after ``now`` could be verified; empty otherwise."""
        kinds = {
            "certificate authority": [authority.window for authority in self.authorities],
            "transparency log": [log.window for log in self.logs],
            "certificate transparency log": [log.window for log in self.certificate_logs],
            "timestamp authority": [] if self.logs else [each.window for each in self.timestamp_authorities],
        }
        for kind, windows in kinds.items():
            ends = [window.end for window in windows if window.end is not None and window.end < now]
            if ends and len(ends) == len(windows):
                return f"The trusted root has expired: the last {kind} in it was in use until {max(ends):%Y-%m-%d}"
        return ""


def load_trusted_roots(source: str, needs_authorities: bool = True) -> list[TrustedRoot]:
    """Read the trusted roots in a path or a JSON text: one, or one in each line. A signature has to satisfy one.

    :param needs_authorities: False where only logs and timestamp authorities are used.
    :raises InvalidPolicy: when it cannot be read, is larger than 1 MiB, is not a trusted root, or has no certificate
        authority, so that nothing could be verified with it.
    """
    require_cryptography("Keyless verification", KEYLESS_CRYPTOGRAPHY)
    name, text = _read_root(source)
    lines = [line for line in text.splitlines() if line.strip()]
    # a single document in several lines has lines that begin otherwise
    is_one = len(lines) == 1 or not all(line.lstrip().startswith("{") for line in lines)
    if is_one:
        return [_load_root(name, text, needs_authorities)]
    if len(lines) > MAX_ROOTS:
        raise InvalidPolicy(f"{name} has {len(lines)} roots: at most {MAX_ROOTS} are tried.", _HINT)
    numbered = enumerate(lines, 1)
    return [_load_root(f"{name}, root {number},", line, needs_authorities) for number, line in numbered]


def _load_root(name: str, text: str, needs_authorities: bool) -> TrustedRoot:
    try:
        return _parse_root(formats.strict_json(text, name), needs_authorities)
    except Rejected as exc:
        raise InvalidPolicy(f"{name} cannot be used: {exc.message}.", _HINT) from None
    except InvalidPolicy as exc:
        raise InvalidPolicy(f"{name} cannot be used: {exc.message}", _HINT) from None
    except parse_errors() as exc:
        raise InvalidPolicy(f"{name} is damaged: {type(exc).__name__}: {str(exc)[:200]}.", _HINT) from None


def _read_root(source: str) -> tuple[str, str]:
    if source.lstrip()[:1] in ("{", "["):
        name, raw = "The trusted root", source.encode("utf-8", "replace")
    else:
        refuse_uri(source, "trusted_root", "trusted_root")
        name = f"The trusted root {source[:200]!r}"
        try:
            raw = read_file(source, MAX_POLICY_FILE)
        except FileRefused as exc:
            raise InvalidPolicy(f"{name} {exc}.", _HINT) from None
    if len(raw) > MAX_POLICY_FILE:
        raise InvalidPolicy(f"{name} has more than {MAX_POLICY_FILE} bytes.", _HINT)
    return name, raw.decode("utf-8", "replace")


def _parse_root(document: Any, needs_authorities: bool) -> TrustedRoot:
    media_type = document.get("mediaType") if isinstance(document, dict) else None
    if media_type != MEDIA_TYPE:
        raise Rejected("malformed", f"it is of the type {str(media_type)[:100]!r}, not {MEDIA_TYPE!r}")
    root = TrustedRoot(
        [_authority(each, "certificate") for each in _instances(document, "certificateAuthorities")],
        [_log(each) for each in _instances(document, "tlogs")],
        [_log(each) for each in _instances(document, "ctlogs")],
        [_authority(each, "timestamp") for each in _instances(document, "timestampAuthorities")],
    )
    if needs_authorities and not root.authorities:
        raise Rejected("malformed", "it has no certificate authorities")
    return root


def _instances(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    instances = document.get(name) or []
    if not isinstance(instances, list) or not all(isinstance(each, dict) for each in instances):
        raise Rejected("malformed", f"its {name!r} is not a list of objects")
    if len(instances) > MAX_INSTANCES:
        raise Rejected("too-large", f"its {name!r} has more than {MAX_INSTANCES} entries")
    return instances


def _authority(document: Mapping[str, Any], kind: str) -> Authority:
    certificates = document["certChain"]["certificates"]
    if not isinstance(certificates, list) or not 0 < len(certificates) <= MAX_CHAIN:
        raise Rejected("malformed", f"a {kind} authority does not have 1 to {MAX_CHAIN} certificates")
    return Authority(_load_chain(certificates), _window(document.get("validFor")))


def _load_chain(certificates: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the certificates of a ``certChain``; errors of ``cryptography`` are not converted."""
    from cryptography.x509 import load_der_x509_certificate

    chain = [load_der_x509_certificate(_bytes(each["rawBytes"], "a certificate")) for each in certificates]
    for certificate in chain:
        # cryptography parses both lazily: damaged ones are to be found here, not while a signature is verified
        certificate.public_key()
        list(certificate.extensions)
    return chain


def _log(document: Mapping[str, Any]) -> Log:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    if document.get("hashAlgorithm") != "SHA2_256":
        raise Rejected("malformed", f"a log hashes with {str(document.get('hashAlgorithm'))[:100]!r}, not SHA2_256")
    key = load_der_public_key(_bytes(document["publicKey"]["rawBytes"], "a log's key"))
    check_kind(key, "A log's key")
    window = _window(document["publicKey"].get("validFor"))
    if window.start is None:
        raise Rejected("malformed", "a log's key does not say from when on it was in use")
    log_id = _bytes(document["logId"]["keyId"], "a log's id")
    if len(log_id) < 4:
        raise Rejected("malformed", "a log's id is too short")
    return Log(log_id, key, window)


def _bytes(value: Any, what: str) -> bytes:
    return formats.decode_base64(value, what, any_alphabet=True)


def _window(document: Any) -> Window:
    times = document if document is not None else {}
    return Window(parse_time(times.get("start")), parse_time(times.get("end")))


def parse_time(value: Any) -> datetime.datetime | None:
    """Return a time that protojson has written (RFC 3339, up to nanoseconds); None for None.

    :raises Rejected: ``malformed``.
    """
    if value is None:
        return None
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Rejected("malformed", f"{str(value)[:100]!r} is not a time")
    fraction = (match[2] or "")[:6].ljust(6, "0")
    offset = "+00:00" if match[3] == "Z" else match[3]
    return datetime.datetime.fromisoformat(f"{match[1]}.{fraction}{offset}")


def parse_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions for damaged JSON, base64, DER and times; the last four are not ValueErrors."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    return (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        IndexError,
        OverflowError,
        OSError,
        RecursionError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    )

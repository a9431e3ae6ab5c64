# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the time at which a signature with a certificate was made, and checks the certificate at that time.

Sources: sigstore/architecture-docs, client-spec.md, "Verification"; sigstore-go, pkg/verify; cosign,
pkg/cosign/verify.go; gh, pkg/cmd/attestation/verification, which decides by what a trusted root has. A root with
a transparency log demands an entry of it, whose time is the one that the log has signed, or else that of a timestamp
authority. A root without a log demands a timestamp. With a root that has neither, as of one's own PKI, the certificate
has to be valid now.

A certificate has to be valid at all times that are proven: at that of the log, and at that of each timestamp that is by
an authority of the root. Timestamps of anybody else prove nothing and are ignored.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import formats, transparency_log
from .certificates import check_signing_certificate, is_authority, validity
from .formats import Bundle, Envelope
from .transparency_log import Entry, Promise
from .trusted_root import Authority, TrustedRoot
from .verdict import Rejected

ANNOTATION_TIMESTAMP = "dev.sigstore.cosign/rfc3161timestamp"


@dataclass(frozen=True)
class SigningTime:
    """When a signature was made. ``is_proven`` is False where nothing told it: then it is the present time, and the
    certificate is valid until ``valid_until`` (seconds since 1970)."""

    time: datetime.datetime
    is_proven: bool = True
    valid_until: float = math.inf


class TimeCheck:
    """Checks one certificate and its signature against one trusted root.

    :param intermediates: untrusted certificates that came with the signature.
    :param now: the present time, with a zone.
    """

    def __init__(
        self,
        root: TrustedRoot,
        certificate: Any,
        signature: bytes,
        now: datetime.datetime,
        intermediates: Sequence[Any] = (),
    ) -> None:
        self._root = root
        self._certificate = certificate
        self._signature = signature
        self._now = now
        self._intermediates = intermediates

    def of_bundle(self, bundle: Bundle, envelope: Envelope) -> SigningTime:
        """Return the time of a bundle's signature.

        One log entry for which all checks pass is enough, as for cosign.

        :raises Rejected: ``tlog``, ``timestamp``, ``untrusted-certificate``, ``expired-certificate``, ``sct`` or
            ``malformed``.
        """
        stamps = (bundle.material.get("timestampVerificationData") or {}).get("rfc3161Timestamps") or []
        stamped = _Timestamps(self._root, stamps, self._signature)
        if not self._root.logs:
            return self._without_log(stamped)
        entries = [transparency_log.read_entry(each) for each in bundle.material.get("tlogEntries") or []]
        if not entries:
            raise Rejected("tlog", "The bundle has no log entry")
        if len({(entry.log_id, entry.index) for entry in entries}) < len(entries):
            raise Rejected("tlog", "The bundle has the same log entry twice")
        refusals = []
        for entry in entries:
            try:
                transparency_log.check_envelope_entry(entry, self._certificate, envelope)
                return self._of_entry(entry, stamped)
            except Rejected as exc:
                # not the exception, whose traceback would keep a large bundle in memory
                refusals.append((exc.code, exc.message))
        raise Rejected(refusals[0][0], "; ".join(dict.fromkeys(message for _code, message in refusals[:3])))

    def of_annotations(
        self, promise: Promise | None, timestamp: str, check_entry: Callable[[bytes], None]
    ) -> SigningTime:
        """Return the time of a signature that is not in a bundle, from what its annotations hold.

        :param promise: the log's promise; None when there is none.
        :param timestamp: the annotation of cosign with a timestamp; empty when there is none.
        :param check_entry: called with the log entry, raises Rejected when it is about something else.
        :raises Rejected: as :meth:`of_bundle`.
        """
        stamps = []
        if timestamp and self._root.timestamp_authorities:
            document = formats.strict_json(timestamp, "The timestamp annotation")
            stamps = [{"signedTimestamp": document["SignedRFC3161Timestamp"]}]
        stamped = _Timestamps(self._root, stamps, self._signature)
        if not self._root.logs:
            return self._without_log(stamped)
        if promise is None:
            raise Rejected("tlog", "The signature has no log entry; none is looked up online")
        check_entry(promise.body)
        time = transparency_log.check_promise(self._root, promise)
        return self._proven([time, *stamped.times], time)

    def _of_entry(self, entry: Entry, stamped: _Timestamps) -> SigningTime:
        if entry.promise is not None:
            time = transparency_log.check_promise(self._root, entry.promise)
            transparency_log.check_inclusion(self._root, entry)
            return self._proven([time, *stamped.times], time)
        transparency_log.check_inclusion(self._root, entry)
        if not stamped.were_given:
            message = "The log entry has no signed entry timestamp (SET), and the bundle no timestamp"
            raise Rejected("tlog", f"{message}: nothing tells when it was signed")
        times = stamped.demanded()
        logs = transparency_log.logs_with_id(self._root, entry.log_id)
        for time in times:
            if not any(log.window.holds(time) for log in logs):
                raise Rejected("tlog", f"The transparency log was not in use on {time:%Y-%m-%d}")
        return self._proven(times, min(times))

    def _without_log(self, stamped: _Timestamps) -> SigningTime:
        if self._root.timestamp_authorities:
            times = stamped.demanded()
            return self._proven(times, min(times))
        try:
            chain = self._check(self._now)
        except Rejected as exc:
            if exc.code != "expired-certificate":
                raise
            begins, ends = validity(self._certificate)
            words = f"The certificate was valid from {begins:%Y-%m-%d %H:%M:%S} until {ends:%Y-%m-%d %H:%M:%S} UTC"
            raise Rejected(exc.code, f"{words}, and no log or timestamp authority tells when it was used") from None
        ends_at = min(validity(each)[1].timestamp() for each in (self._certificate, *chain))
        return SigningTime(self._now, False, ends_at)

    def _proven(self, times: Sequence[datetime.datetime], chosen: datetime.datetime) -> SigningTime:
        for time in times:
            self._check(time)
        return SigningTime(chosen)

    def _check(self, time: datetime.datetime) -> list[Any]:
        return check_signing_certificate(self._root, self._certificate, time, self._intermediates)


class _Timestamps:
    """The times in those timestamps that are by an authority of the root, in use at that time, about the signature.

    :param given: as in a bundle (sigstore_bundle.proto, RFC3161SignedTimestamp); not read where none could count.
    """

    def __init__(self, root: TrustedRoot, given: Sequence[Any], signature: bytes) -> None:
        self._root = root
        self.were_given = bool(given)
        self.times: list[datetime.datetime] = []
        self._reasons: list[str] = []
        for each in given if root.timestamp_authorities else ():
            self._read(formats.decode_base64(each["signedTimestamp"], "A timestamp", any_alphabet=True), signature)

    def demanded(self) -> list[datetime.datetime]:
        """Return the times, at least one.

        :raises Rejected: ``timestamp``.
        """
        if not self._root.timestamp_authorities:
            raise Rejected("timestamp", "The trusted root has no timestamp authority, and nothing else tells the time")
        if not self.were_given:
            message = "The trusted root has no transparency log, and the signature no timestamp"
            raise Rejected("timestamp", f"{message}: nothing tells when it was signed")
        if not self.times:
            message = "No timestamp is by a timestamp authority of the trusted root"
            raise Rejected("timestamp", f"{message}: {self._reasons[0]}")
        return self.times

    def _read(self, encoded: bytes, signature: bytes) -> None:
        # few signatures have timestamps
        from .timestamp import read_response

        try:
            token = read_response(encoded)
            if not token.is_about(signature):
                raise Rejected("timestamp", "The timestamp is about something else than this signature")
        except Rejected as exc:
            self._reasons.append(exc.message)
            return
        for authority in self._root.timestamp_authorities:
            try:
                _check_stamp(token, authority)
            except Rejected as exc:
                self._reasons.append(exc.message)
            else:
                self.times.append(token.time)
                return


def _check_stamp(token: Any, authority: Authority) -> None:
    from .timestamp import check_authority

    *below, anchor = authority.chain
    own = authority.chain[0]
    # a certificate that issues others is not the one that signs: then that comes with the timestamp
    if not is_authority(own) and token.signer_among([own]) is None:
        raise Rejected("timestamp", "The timestamp is signed by another certificate than the authority's")
    check_authority(token, below, [anchor])
    if not authority.window.holds(token.time):
        message = f"The timestamp authority is trusted {authority.window}, the timestamp is of {token.time:%Y-%m-%d}"
        raise Rejected("timestamp", message)

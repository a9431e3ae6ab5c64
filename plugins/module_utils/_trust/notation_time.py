# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a Notary Project signature was made, and whether its certificates were valid then (authentic timestamp).

Source: Notary Project, trust-store-trust-policy.md, "Signature Verification", as notation-go applies it
(verifier/verifier.go, verifyAuthenticTimestamp):

* a signing authority vouches for the time in the envelope: the certificates have to be valid then;
* otherwise, where the trust policy names a store of the type ``tsa``, a timestamp is demanded: always, or once
  a certificate of the chain has expired (``verifyTimestamp``). The certificates have to be valid at its time, however
  inaccurate it is;
* otherwise the certificates have to be valid now.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from .notation_chain import check_time_stamping_chain, ends_of, read_trusted, why_not_valid
from .notation_envelope import SignedEnvelope
from .notation_policy import AFTER_EXPIRY, NEVER, PolicyStatement
from .verdict import Rejected


def check_time(
    envelope: SignedEnvelope, statement: PolicyStatement, now: datetime.datetime
) -> tuple[datetime.datetime | None, Sequence[Any]]:
    """Check that the certificates were valid when the signature was made.

    :return: the time of signing, where one is proven, and the certificates of the authority that has proven it.
    :raises Rejected: ``timestamp`` or ``expired-certificate``.
    """
    if envelope.authentic_time is not None:
        why = why_not_valid(envelope.chain, envelope.authentic_time)
        if why:
            at = f"{envelope.authentic_time:%Y-%m-%d %H:%M:%S} UTC"
            raise Rejected("expired-certificate", f"The signature was made at {at}, and {why}")
        return envelope.authentic_time, ()
    wanted = statement.timestamps
    if wanted == NEVER or (wanted == AFTER_EXPIRY and all(now <= ends for ends in ends_of(envelope.chain))):
        why = why_not_valid(envelope.chain, now)
        if why:
            raise Rejected("expired-certificate", f"{why[0].upper()}{why[1:]}")
        return None, ()
    return _check_timestamp(envelope, statement)


def _check_timestamp(envelope: SignedEnvelope, statement: PolicyStatement) -> tuple[datetime.datetime, Sequence[Any]]:
    # few policies want them
    from .timestamp import check_authority, read_token

    if not envelope.timestamp:
        raise Rejected("timestamp", "The trust policy demands a timestamp (tsa), and the signature has none")
    if not isinstance(envelope.timestamp, bytes):
        raise Rejected("timestamp", "The signature's timestamp cannot be read")
    if not statement.time_stampers:
        raise Rejected("timestamp", "The trust store has no certificate of a timestamp authority (tsa)")
    token = read_token(envelope.timestamp)
    if not token.is_about(envelope.signature):
        raise Rejected("timestamp", "The timestamp is about another signature")
    anchors = read_trusted(statement.time_stampers)
    chain = check_authority(token, (), anchors, must_name_it=True)
    check_time_stamping_chain(chain)
    for time in (token.time - token.accuracy, token.time + token.accuracy):
        why = why_not_valid(envelope.chain, time)
        if why:
            at = f"{time:%Y-%m-%d %H:%M:%S} UTC"
            raise Rejected("expired-certificate", f"By its timestamp it may have been made at {at}, and {why}")
    return token.time, chain

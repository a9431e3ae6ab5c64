# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uses of the optional package ``sigstore``: the trusted root of the public-good instance, and bundles whose time comes
from a timestamp authority (RFC 3161), as with Rekor 2.

All other checks are made here, among them when a log or an authority was in use, the payload type and the subject. Any
error that the package raises refuses the signature.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Sequence
from typing import Any

from .._errors import ConnectionFailed, MissingDependency, VerificationFailed
from .._files.threads import OutOfTime, run_within
from .._packages import require
from . import formats
from .formats import Bundle, Envelope
from .trusted_root import TrustedRoot, Window, load_chain, parse_time
from .verdict import Rejected

# seconds for a few small files; the package itself only limits the wait for each byte
MAX_UPDATE = 60.0


def public_good_root() -> str:
    """Return the trusted root of sigstore.dev as JSON, updated from its TUF repository; ``sigstore`` caches it.

    :raises MissingDependency: when the package is not installed, or too old.
    :raises ConnectionFailed: when the TUF repository is not reached.
    :raises VerificationFailed: when the content of the TUF repository is not valid.
    """
    hint = "Or give 'trusted_root', the trusted_root.json of the instance: then no network is needed."
    models = require("sigstore", "Keyless verification without 'trusted_root'", "models", hint)
    production = models.ClientTrustConfig.production

    def current_root() -> str:
        text: str = production().trusted_root._inner.to_json()
        return text

    try:
        text = run_within(MAX_UPDATE, current_root)
    except OutOfTime:
        raise ConnectionFailed(
            f"The trusted root of sigstore.dev was not brought up to date within {MAX_UPDATE:g} s.", hint
        ) from None
    except Exception as exc:
        message = f"The trusted root of sigstore.dev was not brought up to date: {_describe(exc)}."
        if _is_network_failure(exc):
            raise ConnectionFailed(message, hint) from None
        raise VerificationFailed(message, hint) from None
    return text


class _AnyCertificate:
    """A policy for ``sigstore`` that accepts every identity; :mod:`.identity` compares identities afterwards."""

    def verify(self, cert: Any) -> None:
        """Accept."""


class TimestampVerifier:
    """Verifies bundles whose only trusted time is that of a timestamp authority.

    :raises Rejected: ``missing-dependency`` when the package is not installed, or too old.
    """

    def __init__(self, root: TrustedRoot) -> None:
        doing = "The signature's time comes from a timestamp authority (as with Rekor 2), and checking it"
        try:
            self._models, self._verify = (require("sigstore", doing, part) for part in ("models", "verify"))
            self._rfc3161 = require("rfc3161-client", doing)
        except MissingDependency as exc:
            raise Rejected("missing-dependency", str(exc).rstrip(".")) from None
        self._root = root
        self._verifier: Any = None

    def times(self, bundle: Bundle, envelope: Envelope) -> list[datetime.datetime]:
        """Return the verified times of timestamp authorities that were in use at that time; at least one.

        :raises Rejected: ``timestamp``.
        """
        if not self._root.timestamp_authorities:
            raise Rejected("timestamp", "The trusted root has no timestamp authority, and nothing else tells the time")
        times = []
        reasons = []
        for stamp in bundle.material["timestampVerificationData"]["rfc3161Timestamps"]:
            encoded = formats.decode_base64(stamp["signedTimestamp"], "A timestamp", any_alphabet=True)
            for authority in self._root.timestamp_authorities:
                try:
                    times.append(self._time(encoded, authority, envelope.signature))
                    break
                except Exception as exc:
                    reasons.append(_describe(exc))
        if not times:
            raise Rejected("timestamp", f"No timestamp is by a timestamp authority of the trusted root: {reasons[-1]}")
        return times

    def check(self, bundle: Bundle, envelope: Envelope) -> None:
        """Let the package verify the whole bundle.

        :raises Rejected: ``sigstore``.
        """
        try:
            if self._verifier is None:
                self._verifier = self._verify.Verifier(trusted_root=self._load_root())
            parsed = self._models.Bundle.from_json(bundle.raw)
            payload_type, payload = self._verifier.verify_dsse(parsed, _AnyCertificate())
        except Exception as exc:
            raise Rejected("sigstore", f"sigstore refuses the bundle: {_describe(exc)}") from None
        if (payload_type, payload) != (envelope.payload_type, envelope.payload):
            raise Rejected("sigstore", "sigstore reads another payload in the bundle")

    def _time(self, encoded: bytes, authority: Any, signature: bytes) -> datetime.datetime:
        chain = load_chain(authority["certChain"]["certificates"])
        builder = self._rfc3161.VerifierBuilder(tsa_certificate=chain[0], intermediates=chain[1:-1], roots=[chain[-1]])
        response = self._rfc3161.decode_timestamp_response(encoded)
        builder.build().verify_message(response, signature)
        time: datetime.datetime = response.tst_info.gen_time
        valid_for = authority.get("validFor") or {}
        window = Window(parse_time(valid_for.get("start")), parse_time(valid_for.get("end")))
        if not window.holds(time):
            raise ValueError(f"the timestamp authority is trusted {window}, the timestamp is of {time:%Y-%m-%d}")
        return time

    def _load_root(self) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trusted_root.json")
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(self._root.text)
            return self._models.TrustedRoot.from_file(path)


def _describe(exc: BaseException) -> str:
    causes: Sequence[BaseException] = [each for each in (exc, exc.__cause__) if each is not None]
    return ": ".join(f"{type(each).__name__}: {' '.join(str(each).split())[:200]}" for each in causes)


def _is_network_failure(exc: BaseException | None) -> bool:
    """Return True when the chain of causes contains TUF's download error or an OSError."""
    seen = 0
    while exc is not None and seen < 10:
        if type(exc).__name__ in ("DownloadError", "DownloadHTTPError", "SlowRetrievalError", "NetworkError"):
            return True
        if isinstance(exc, (ConnectionError, TimeoutError)) or type(exc).__module__.startswith(("urllib3", "requests")):
            return True
        exc, seen = exc.__cause__ or exc.__context__, seen + 1
    return False

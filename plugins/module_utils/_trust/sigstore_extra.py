# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The use of the optional package ``sigstore``: the trusted root of the public-good instance."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import ConnectionFailed, VerificationFailed
from .._files.threads import OutOfTime, run_within
from .._packages import require

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

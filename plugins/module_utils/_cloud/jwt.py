# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON web tokens (RFC 7519): signing assertions with an RSA key, and reading when a token expires."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from typing import Any

from .._errors import AuthenticationFailed
from .._packages import require_cryptography

MINIMUM_KEY_BITS = 2048


def signed_jwt(header: Mapping[str, Any], claims: Mapping[str, Any], key: Any) -> str:
    """Return a compact token (RFC 7515) with ``claims``, signed with an RSA key.

    :param header: its ``alg`` selects RS256 or PS256 (RFC 7518, section 3).
    :param key: a private key of ``cryptography``.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    sha256 = hashes.SHA256()
    if header["alg"] == "PS256":
        scheme: Any = padding.PSS(padding.MGF1(sha256), sha256.digest_size)
    else:
        scheme = padding.PKCS1v15()
    signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode("ascii")) for part in (header, claims))
    return f"{signed}.{base64url(key.sign(signed.encode('ascii'), scheme, sha256))}"


def rsa_key(pem: bytes, origin: str, password: bytes | None = None) -> Any:
    """Return the RSA private key in PEM text.

    :raises AuthenticationFailed: when it is not an RSA key of 2048 bits or more, or the password is wrong.
    :raises MissingDependency: without ``cryptography``.
    """
    require_cryptography("Logging in with a private key")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # the parser's text is left out: it may quote the key
        raise AuthenticationFailed(
            f"The private key in {origin} cannot be read.", "Wanted an RSA key in PEM form, with its password."
        ) from None
    return check_rsa(key, origin)


def check_rsa(key: Any, origin: str) -> Any:
    """Return the key, checked to be one that can sign.

    :raises AuthenticationFailed: when it is not an RSA key of 2048 bits or more.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if not isinstance(key, RSAPrivateKey) or key.key_size < MINIMUM_KEY_BITS:
        raise AuthenticationFailed(f"The private key in {origin} is not an RSA key of {MINIMUM_KEY_BITS} bits or more.")
    return key


def seconds_left(token: str, otherwise: float) -> float:
    """Return the seconds until a token expires by its ``exp`` claim, ``otherwise`` when it has none.

    The signature is not verified: that is up to the server which gets the token.
    """
    parts = token.split(".")
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(payload["exp"]) - time.time()
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, binascii.Error):
        return otherwise


def base64url(data: bytes) -> str:
    """Return data as URL-safe base64 without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")

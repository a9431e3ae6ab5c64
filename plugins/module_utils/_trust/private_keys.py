# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads private keys, and signs with them.

Sources: cosign, pkg/cosign/keys.go; go-securesystemslib, encrypted/encrypted.go, for keys that cosign encrypted.
Messages never contain a part of a key, or the path, which may be a key that was given by mistake.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidPolicy
from .._files.bounded import MAX_KEY_FILE, FileRefused, read_pem
from .._packages import require, require_cryptography
from .key_uris import is_uri, read_private_key
from .keys import PublicKey, check_kind, fingerprint_of

PASSWORD_VARIABLE = "COSIGN_PASSWORD"
COSIGN_LABELS = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
PEM_LABELS = ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY")
# go-securesystemslib, encrypted.go, CheckParams: a file must not choose how much memory it takes to read it
SCRYPT_PARAMETERS = ((32768, 8, 1), (65536, 8, 1), (131072, 8, 1))
MAX_SALT = 1024

_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_NAME = "The signing key"
_HOW_TO_MAKE = (
    "Make one with: cosign generate-key-pair, or openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256."
)


@dataclass(frozen=True)
class PrivateKey:
    """A signing key. ``public`` is its public half."""

    key: Any = field(repr=False)
    public: PublicKey

    @property
    def is_deterministic(self) -> bool:
        """Return True when the same message always gets the same signature."""
        from cryptography.hazmat.primitives.asymmetric import ec

        return not isinstance(self.key, ec.EllipticCurvePrivateKey) or _ecdsa()[1]

    def sign(self, message: bytes) -> bytes:
        """Return a signature for cosign and Flux: SHA-256 whatever the curve, PKCS#1 v1.5 for RSA, Ed25519 pure."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

        signature: bytes
        if isinstance(self.key, rsa.RSAPrivateKey):
            signature = self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(self.key, ec.EllipticCurvePrivateKey):
            signature = self.key.sign(message, _ecdsa()[0])
        else:
            signature = self.key.sign(message)
        return signature


def load_private_key(source: str, password: str | None = None) -> PrivateKey:
    """Read a private key given as PEM text, as a path or as ``env://NAME``.

    Supported are PEM (PKCS#8, SEC 1, PKCS#1), encrypted or not, and cosign's own format.

    :param password: by default that of the environment variable COSIGN_PASSWORD, or else the empty password, which
        cosign supports too. It is ignored for a key that is not encrypted.
    :raises InvalidPolicy: when the key cannot be read, the password is wrong, or its kind is not accepted.
    :raises MissingDependency: without ``cryptography``; without ``PyNaCl`` for a key that cosign encrypted, whose
        cipher (NaCl's secretbox: XSalsa20 with Poly1305) ``cryptography`` does not have.
    """
    require_cryptography("Signing")
    label, block = _the_private_block(_read_private_key(source))
    is_known = password is not None or PASSWORD_VARIABLE in os.environ
    chosen = password if password is not None else os.environ.get(PASSWORD_VARIABLE, "")
    secret = chosen.encode("utf-8", "surrogateescape")
    key = _load_cosign(block, secret, is_known) if label in COSIGN_LABELS else _load_pem(label, block, secret, is_known)
    if not hasattr(key, "public_key"):
        raise InvalidPolicy(f"{_NAME} is of the kind {type(key).__name__}: wanted ECDSA, RSA or Ed25519.")
    public = key.public_key()
    check_kind(public, _NAME)
    return PrivateKey(key, PublicKey(public, _NAME, fingerprint_of(public)))


def _ecdsa() -> tuple[Any, bool]:
    """Return ECDSA with SHA-256, and True with nonces of RFC 6979 (from cryptography 43 with OpenSSL 3.2)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        return ec.ECDSA(hashes.SHA256(), deterministic_signing=True), True
    except (TypeError, UnsupportedAlgorithm):
        return ec.ECDSA(hashes.SHA256()), False


def _read_private_key(source: str) -> str:
    if is_uri(source):
        return read_private_key(source)
    try:
        return read_pem(source, MAX_KEY_FILE).decode("utf-8", "replace")
    except FileRefused as exc:
        raise InvalidPolicy(
            f"{_NAME} {exc}.",
            "'key' is the path of a PEM file on the host that runs the module, or the PEM text itself.",
        ) from None


def _the_private_block(text: str) -> tuple[str, str]:
    """Return label and PEM block of the only private key; other blocks, such as EC PARAMETERS, are ignored."""
    blocks = [(match[1], match[0]) for match in _PEM_BLOCK.finditer(text)]
    private = [found for found in blocks if "PRIVATE" in found[0]]
    if len(private) > 1:
        raise InvalidPolicy(f"{_NAME} is {len(private)} private keys.", "Give one of them.")
    if private:
        label, block = private[0]
        if label not in COSIGN_LABELS + PEM_LABELS:
            hint = "Convert it with: ssh-keygen -p -m pkcs8 -f <file>." if "OPENSSH" in label else _HOW_TO_MAKE
            raise InvalidPolicy(f"{_NAME} is in a format that is not supported, {label!r}.", hint)
        return label, "\n".join(line.strip() for line in block.splitlines()) + "\n"
    labels = " ".join(label for label, _block in blocks)
    if "PUBLIC" in labels:
        raise InvalidPolicy(f"{_NAME} is a public key.", "Give the private key that belongs to it.")
    if "CERTIFICATE" in labels:
        raise InvalidPolicy(f"{_NAME} is a certificate.", "Give the private key that belongs to it.")
    if "-----BEGIN" in text:
        raise InvalidPolicy(f"{_NAME} is damaged: it has no complete PEM block of a private key.", _HOW_TO_MAKE)
    raise InvalidPolicy(f"{_NAME} is not a private key: it has no PEM block.", _HOW_TO_MAKE)


def _load_pem(label: str, block: str, password: bytes, is_known: bool) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    is_encrypted = label.startswith("ENCRYPTED") or "Proc-Type: 4,ENCRYPTED" in block
    try:
        return load_pem_private_key(block.encode("utf-8"), password if is_encrypted else None)
    except UnsupportedAlgorithm:
        raise InvalidPolicy(f"{_NAME} uses an algorithm or a curve that is not supported.", _HOW_TO_MAKE) from None
    except (ValueError, TypeError):
        if is_encrypted:
            raise _not_decrypted(is_known) from None
        raise _damaged() from None


def _load_cosign(block: str, password: bytes, is_known: bool) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    salt, cost, nonce, box = _cosign_fields(block)
    hint = "Or give the key as PKCS#8, which needs no more than cryptography."
    secret_box, exceptions = (
        require("PyNaCl", "A signing key that cosign encrypted", part, hint) for part in ("secret", "exceptions")
    )
    try:
        secret = Scrypt(salt=salt, length=32, n=cost[0], r=cost[1], p=cost[2]).derive(password)
        content = secret_box.SecretBox(secret).decrypt(box, nonce)
    except MemoryError:
        needed = cost[0] * cost[1] // 8192
        raise InvalidPolicy(f"{_NAME} takes {needed} MiB of memory to decrypt: too much on this host.") from None
    except UnsupportedAlgorithm:
        raise InvalidPolicy(
            f"{_NAME} cannot be decrypted on this host, whose OpenSSL lacks scrypt.",
            "Give it as PKCS#8, as in: openssl pkcs8 -topk8.",
        ) from None
    except exceptions.CryptoError:
        raise _not_decrypted(is_known) from None
    try:
        return load_der_private_key(content, None)
    except UnsupportedAlgorithm:
        raise InvalidPolicy(f"{_NAME} uses an algorithm or a curve that is not supported.", _HOW_TO_MAKE) from None
    except (ValueError, TypeError):
        raise _damaged() from None


def _cosign_fields(block: str) -> tuple[bytes, tuple[int, int, int], bytes, bytes]:
    """Return salt, scrypt parameters, nonce and box."""
    body = "".join(block.splitlines()[1:-1])
    try:
        document = json.loads(base64.b64decode(body, validate=True))
        derivation, cipher = document["kdf"], document["cipher"]
        names = (derivation["name"], cipher["name"])
        given = derivation["params"]
        cost = (given["N"], given["r"], given["p"])
        salt, nonce, box = (
            base64.b64decode(value, validate=True)
            for value in (derivation["salt"], cipher["nonce"], document["ciphertext"])
        )
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise _damaged() from None
    if names != ("scrypt", "nacl/secretbox"):
        raise InvalidPolicy(f"{_NAME} is encrypted in a way that cosign does not use.", _HOW_TO_MAKE)
    if cost not in SCRYPT_PARAMETERS or not all(isinstance(each, int) and each is not True for each in cost):
        raise InvalidPolicy(
            f"{_NAME} is encrypted with scrypt parameters that cosign does not use.",
            "Make it again with a current cosign, or give it as PKCS#8.",
        )
    if not 0 < len(salt) <= MAX_SALT or len(nonce) != 24:
        raise _damaged()
    return salt, cost, nonce, box


def _not_decrypted(is_known: bool) -> InvalidPolicy:
    where = f"'key_password' or in the environment variable {PASSWORD_VARIABLE}"
    if is_known:
        return InvalidPolicy(
            f"{_NAME} cannot be decrypted: the password is wrong, or the key is damaged.",
            f"Check the password in {where}.",
        )
    return InvalidPolicy(f"{_NAME} is encrypted, and its password is not given.", f"Give it in {where}.")


def _damaged() -> InvalidPolicy:
    return InvalidPolicy(f"{_NAME} is damaged: its PEM block holds no private key that can be read.", _HOW_TO_MAKE)

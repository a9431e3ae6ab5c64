# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys, trusted roots and trust policies in Secrets.

Source: source-controller, ``verify.secretRef`` and ``verify.trustedRootSecretRef`` of OCIRepository
(internal/controller/ocirepository_controller.go, internal/oci/notation/notation.go); cosign's ``k8s://`` keys
(pkg/cosign/kubernetes/secret.go), which are under ``cosign.pub``. A value that cannot be what its key says is an error:
a policy with a part left out would trust somebody else than was meant.
"""

from __future__ import annotations

import base64
import json
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from .._errors import AuthenticationFailed, InvalidPolicy
from .api import KubeApi, Secret
from .secrets import keys_of, text_of

COSIGN, NOTATION = "cosign", "notation"
KEY_SUFFIX = ".pub"
TRUSTED_ROOT = "trusted_root.json"
TRUST_POLICY = "trustpolicy.json"
CERTIFICATE_SUFFIXES = (".crt", ".pem")

_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def read_verification(api: KubeApi, namespace: str, secret: str, provider: str = "") -> dict[str, Any]:
    """Return what a Secret says about verification, see :func:`verification`."""
    return verification(api.secret(namespace, secret), provider)


def verification(secret: Secret, provider: str = "") -> dict[str, Any]:
    """Return the suboptions ``provider``, ``public_keys``, ``trusted_root``, ``trust_policy`` and ``trust_store`` of
    ``verify``, empty where the Secret does not have them.

    :param provider: by default Notation for a Secret with a ``trustpolicy.json``, and Cosign for any other.
    :raises InvalidPolicy: when it has nothing for the provider, or a value cannot be used. No value is repeated.
    """
    chosen = provider or (NOTATION if TRUST_POLICY in secret.data else COSIGN)
    found: dict[str, Any] = {"provider": chosen, "public_keys": [], "trusted_root": ""}
    found.update(trust_policy={}, trust_store=[])
    if chosen == NOTATION:
        found.update(trust_policy=_trust_policy(secret), trust_store=_certificates(secret))
        return found
    found["public_keys"] = [_public_key(secret, key) for key in sorted(secret.data) if key.endswith(KEY_SUFFIX)]
    if TRUSTED_ROOT in secret.data:
        found["trusted_root"] = _trusted_root(secret)
    if not found["public_keys"] and not found["trusted_root"]:
        raise InvalidPolicy(
            f"{secret.origin} holds neither a public key nor a trusted root: its keys are {keys_of(secret)}.",
            f"Wanted keys that end with {KEY_SUFFIX}, such as cosign.pub, or {TRUSTED_ROOT}.",
        )
    return found


def _public_key(secret: Secret, key: str) -> str:
    text = _text(secret, key)
    labels = [match[1] for match in _PEM_BLOCK.finditer(text)]
    if any("PRIVATE" in label for label in labels):
        raise InvalidPolicy(
            f"The key {key} of {secret.origin} holds a private key.", "Put the public half there: cosign public-key."
        )
    if not labels:
        raise InvalidPolicy(f"The key {key} of {secret.origin} holds no PEM text of a public key.")
    return text


def _trusted_root(secret: Secret) -> str:
    text = _text(secret, TRUSTED_ROOT)
    if not text.lstrip().startswith("{"):
        raise InvalidPolicy(
            f"The key {TRUSTED_ROOT} of {secret.origin} is not a JSON object.",
            "cosign trusted-root create makes such a document.",
        )
    # ansible-core before 2.19 turns a text that begins with a brace into a mapping where a template ends with it
    return " " + text.lstrip()


def _trust_policy(secret: Secret) -> Mapping[str, Any]:
    try:
        document = json.loads(_text(secret, TRUST_POLICY))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidPolicy(
            f"The key {TRUST_POLICY} of {secret.origin} is not a JSON object.",
            "Wanted the format of notation's trustpolicy.json.",
        )
    return document


def _certificates(secret: Secret) -> list[str]:
    found = [_certificate(secret, key) for key in sorted(secret.data) if key.endswith(CERTIFICATE_SUFFIXES)]
    if not found:
        raise InvalidPolicy(
            f"{secret.origin} holds no certificate: its keys are {keys_of(secret)}.",
            f"Wanted keys that end with {' or '.join(CERTIFICATE_SUFFIXES)}.",
        )
    return found


def _certificate(secret: Secret, key: str) -> str:
    """Return the certificate under a key as PEM text. As in Flux, it is the first block of PEM text, or DER."""
    value = secret.data[key]
    if b"-----BEGIN " in value:
        block = _PEM_BLOCK.search(value.decode("utf-8", "replace"))
        if block is not None and block[1] == "CERTIFICATE":
            return block[0] + "\n"
    elif value[:1] == b"\x30":  # a sequence of ASN.1, as a certificate is one
        lines = textwrap.wrap(base64.b64encode(value).decode("ascii"), 64)
        return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
    raise InvalidPolicy(
        f"The key {key} of {secret.origin} does not begin with a certificate.",
        "Wanted one certificate, in PEM or DER form, under each key.",
    )


def _text(secret: Secret, key: str) -> str:
    try:
        return text_of(secret, key)
    except AuthenticationFailed as exc:
        raise InvalidPolicy(exc.message, exc.hint) from None

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URIs in the place of keys: ``env://`` is read, for all others it is said how the key can be given.

Source: cosign, pkg/signature/keys.go and pkg/blob/load.go; sigstore, pkg/signature/kms. No service is ever asked: a
verification needs no network but the registry's, and no identity with rights on a key.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from .._errors import InvalidPolicy
from .._files.bounded import MAX_KEY_FILE, is_pem

VARIABLE = "env"

# a scheme with an authority, and two that have none: RFC 7512, and the names of keys in AWS
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(pkcs11|arn):", re.IGNORECASE)
_SECRET_URI = re.compile(r"k8s://([a-z0-9.-]{1,253})/([a-z0-9.-]{1,253})\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}\Z")
# what needs no quotes in a shell, and cannot hold a password or the PIN of a token
_PLAIN = re.compile(r"[A-Za-z0-9:/_.+,-]{1,200}\Z")
_SECRET = "lookup('cloudnative.artifacts.kubernetes_verify_secret', namespace='{namespace}', secret='{name}')"


class _Place(NamedTuple):
    """Where keys of a scheme are, and how a public key is taken from there without cosign; empty if there is no way."""

    place: str
    export: str = ""


_TRANSIT = _Place(
    "a transit engine of Vault or OpenBao",
    "vault read -format=json transit/keys/KEY | jq -r '.data.keys[\"1\"].public_key' > cosign.pub",
)
_AWS = _Place(
    "AWS KMS",
    "aws kms get-public-key --key-id KEY --query PublicKey --output text | base64 -d | "
    "openssl pkey -pubin -inform DER -out cosign.pub",
)
# those that `cosign public-key --key` reads
_SERVICES = {
    "awskms": _AWS,
    "gcpkms": _Place(
        "Google Cloud KMS",
        "gcloud kms keys versions get-public-key VERSION --key KEY --keyring RING --location LOCATION "
        "--output-file cosign.pub",
    ),
    "azurekms": _Place(
        "Azure Key Vault",
        "az keyvault key download --vault-name VAULT --name KEY --encoding PEM --file cosign.pub",
    ),
    "hashivault": _TRANSIT,
    "openbao": _TRANSIT,
    "pkcs11": _Place(
        "a PKCS#11 token",
        "pkcs11-tool --read-object --type pubkey --label LABEL | openssl pkey -pubin -inform DER -out cosign.pub",
    ),
    "gitlab": _Place("a variable of a GitLab project", "glab variable get COSIGN_PUBLIC_KEY > cosign.pub"),
}


def is_uri(source: str) -> bool:
    """Return True when a key is given by a URI, and not as a path or as PEM text."""
    return bool(_scheme(source)) and not is_pem(source)


def content_of_uri(source: str) -> str | None:
    """Return what a verification by a URI depends on: the variable of ``env://NAME``, nothing of others. None for a key
    that is not given by a URI."""
    if not is_uri(source):
        return None
    return os.environ.get(source.partition("://")[2], "") if _scheme(source) == VARIABLE else ""


def read_public_key(uri: str) -> str:
    """Return the text that ``env://NAME`` stands for.

    :raises InvalidPolicy: for any other URI, with the way to give that key; when the variable is not set, or too long.
    """
    scheme = _scheme(uri)
    if scheme == VARIABLE:
        return _read_variable(uri, "public key", "public_keys: [\"{{ lookup('ansible.builtin.env', 'NAME') }}\"]")
    raise InvalidPolicy(*_about_public(scheme, uri))


def refuse_uri(source: str, option: str, field: str) -> None:
    """Do nothing for a path or PEM text; trusted roots and certificates are given by nothing else.

    :param option: the suboption of the policy.
    :param field: what the lookup of a Secret calls it.
    :raises InvalidPolicy: for a URI, with the way to give what is there.
    """
    if not is_uri(source):
        return
    scheme = _scheme(source)
    shown = source if _PLAIN.match(source) else f"{scheme}:…"
    hint = "Give the path of a file on the host that runs the module, or the text itself."
    if scheme == "k8s":
        named = _SECRET_URI.match(source)
        way = _SECRET.format(namespace=named[1] if named else "…", name=named[2] if named else "…")
        hint = f'Have the Secret read on the controller: {option}: "{{{{ {way}.{field} }}}}".'
    elif scheme == VARIABLE:
        hint = f"Write {option}: \"{{{{ lookup('ansible.builtin.env', 'NAME') }}}}\" for a variable of the controller."
    elif scheme in ("http", "https"):
        hint = "Fetch it once with ansible.builtin.get_url and its checksum, and give the path of the file."
    elif scheme == "file":
        hint = "Give the path itself, as in /etc/keys/trusted_root.json."
    raise InvalidPolicy(f"{option!r} is given by the URI {shown}, which is not read: wanted a path or the text.", hint)


def read_private_key(uri: str) -> str:
    """Return the text that ``env://NAME`` stands for, as :func:`read_public_key`. No message repeats a URI."""
    scheme = _scheme(uri)
    if scheme == VARIABLE:
        return _read_variable(uri, "signing key", "key: \"{{ lookup('ansible.builtin.env', 'NAME') }}\"")
    raise InvalidPolicy(*_about_private(scheme))


def _scheme(uri: str) -> str:
    match = _URI.match(uri)
    return (match[1] or match[2]).lower() if match else ""


def _read_variable(uri: str, what: str, way: str) -> str:
    name = uri.partition("://")[2]
    if not _NAME.match(name):
        raise InvalidPolicy(
            f"The {what} is given by env://, without the name of an environment variable.", "Wanted env://NAME."
        )
    value = os.environ.get(name)
    if not value:
        raise InvalidPolicy(
            f"The {what} should be in the environment variable {name}, which is not set where the module runs.",
            f"For a variable of the Ansible controller, write {way.replace('NAME', name)}.",
        )
    if len(value) > MAX_KEY_FILE:
        raise InvalidPolicy(f"The {what} in the environment variable {name} has more than {MAX_KEY_FILE} bytes.")
    return value


def _about_public(scheme: str, uri: str) -> tuple[str, str]:
    """Return a sentence about a public key at a URI, and a hint."""
    shown = uri if _PLAIN.match(uri) else f"{scheme}:…"
    if scheme == "k8s":
        named = _SECRET_URI.match(uri)
        way = _SECRET.format(namespace=named[1] if named else "…", name=named[2] if named else "…")
        return (
            f"The public key {shown} is in a Secret of Kubernetes, which a module does not read.",
            f'Have it read on the controller: public_keys: "{{{{ {way}.public_keys }}}}".',
        )
    if scheme in ("http", "https"):
        return (
            "The public key is at a web address, which is not fetched: whoever answers there would be trusted.",
            "Fetch it once with ansible.builtin.get_url and its checksum, and give the path of the file.",
        )
    if scheme == "file":
        return f"The public key {shown} is a file URI.", "Give the path itself, as in /etc/keys/release.pub."
    if scheme == "github":
        return (
            f"The public key {shown} is a secret of a GitHub repository, which nobody can read.",
            "Give the file cosign.pub that cosign generate-key-pair wrote beside it.",
        )
    service = _AWS if scheme == "arn" else _SERVICES.get(scheme)
    if service is None:
        return (
            f"The public key {shown} is a URI of the scheme {scheme!r}, which is not supported.",
            "Give the path of a PEM file on the host that runs the module, the PEM text itself, or env://NAME. "
            "cosign public-key --key URI > cosign.pub writes such a file, where cosign knows the scheme.",
        )
    # what cosign calls a key that is given by its name in AWS
    reference = f"awskms:///{uri}" if scheme == "arn" else uri
    command = f"cosign public-key --key {reference if shown == uri else _quoted(scheme)} > cosign.pub"
    return (
        f"The public key {shown} is in {service.place}, which is never asked: "
        "verification takes public keys as PEM files or PEM text.",
        f"Export it once: {command}, or {service.export}. Then give cosign.pub.",
    )


def _about_private(scheme: str) -> tuple[str, str]:
    """Return a sentence about a signing key at a URI, and a hint."""
    if scheme == "k8s":
        return (
            "The signing key is in a Secret of Kubernetes (k8s://), which a module does not read.",
            "Have kubernetes.core.k8s_info read the Secret: 'key' is its cosign.key and 'key_password' its "
            "cosign.password, both through the filter b64decode.",
        )
    if scheme in ("http", "https"):
        return (
            f"The signing key is at a web address ({scheme}://), which is not fetched.",
            "Give the path of a PEM file on the host that runs the module, or the PEM text itself.",
        )
    if scheme == "file":
        return "The signing key is a file URI (file://).", "Give the path itself, as in /etc/keys/release.key."
    service = _AWS if scheme == "arn" else _SERVICES.get(scheme)
    if service is None and scheme != "github":
        return (
            # not the scheme: it may be a part of a key that was given by mistake
            "The signing key is a URI of a scheme that is not supported.",
            "Give the path of a PEM file on the host that runs the module, the PEM text itself, or env://NAME.",
        )
    place = service.place if service is not None else "a secret of a GitHub repository"
    return (
        f"The signing key is in {place} ({scheme}:), which is never asked: "
        "signing takes a private key as a PEM file or PEM text.",
        "Sign with cosign sign --key and that URI, after the push; cosign public-key gives the public key that "
        "verification takes.",
    )


def _quoted(scheme: str) -> str:
    return f"'{scheme}:…'"

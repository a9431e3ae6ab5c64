# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registry credentials in Secrets: pull secrets, client certificates, certificate authorities and proxies.

Types and keys are those of Kubernetes (kubernetes.io/docs/concepts/configuration/secret) and of Flux's ``secretRef``,
``certSecretRef`` and ``proxySecretRef``. Any other Secret is an error: ignoring it would turn a request that was meant
to have credentials into an anonymous one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from .._errors import AuthenticationFailed
from .._login.docker_config import decode_entry, load_auth_config, split_key
from .api import KubeApi, Secret

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKER_CFG = "kubernetes.io/dockercfg"
# option of a module -> the key in the Secret, and its older name
TLS_KEYS = {
    "client_cert": ("tls.crt", "certFile"),
    "client_key": ("tls.key", "keyFile"),
    "ca_cert": ("ca.crt", "caFile"),
}
# fluxcd/pkg, runtime/secrets/converter.go: the scheme in a Secret -> that of the option 'proxy'. Go lets the proxy look
# names up for either of the two spellings of SOCKS5
PROXY_SCHEMES = {"http": "http", "https": "https", "socks5": "socks5h", "socks5h": "socks5h"}
MAX_PROXY_ADDRESS = 2048


def read_auth_config(api: KubeApi, namespace: str, secret: str = "", service_account: str = "") -> dict[str, Any]:
    """Return one docker ``config.json`` made from a Secret and a service account's ``imagePullSecrets``, in this order.

    :raises OciError: when a Secret does not exist or is not a pull secret, or when none of them has a credential.
    """
    names = [secret] if secret else []
    if service_account:
        own = api.pull_secret_names(namespace, service_account)
        if not own:
            raise AuthenticationFailed(
                f"The ServiceAccount {namespace}/{service_account} has no imagePullSecrets.",
                'Add one: kubectl patch serviceaccount NAME -p \'{"imagePullSecrets": [{"name": "SECRET"}]}\'.',
            )
        names += [name for name in own if name not in names]
    return merge_pull_secrets(api.secret(namespace, name) for name in names)


def merge_pull_secrets(secrets: Iterable[Secret]) -> dict[str, Any]:
    """Return the ``auths`` of pull secrets as one document.

    For each registry and path the first Secret counts, as in Flux. Left out are empty entries, and ``credsStore`` and
    ``credHelpers``, which the kubelet ignores.
    """
    auths: dict[str, Any] = {}
    places: set[tuple[str, str]] = set()
    empty = []
    for secret in secrets:
        entries = _auths(secret).items()
        own = {key: entry for key, entry in entries if decode_entry(entry, secret.origin, key) is not None}
        auths.update((key, entry) for key, entry in own.items() if split_key(key) not in places)
        places.update(map(split_key, own))
        if not own:
            empty.append(f"{secret.namespace}/{secret.name}")
    if not auths:
        raise AuthenticationFailed(
            f"There is no credential in the pull secret {', '.join(empty)}.",
            "A docker config.json that uses a credentials store has no secrets in its 'auths': "
            "create the Secret with kubectl create secret docker-registry.",
        )
    return {"auths": auths}


def read_tls_options(api: KubeApi, namespace: str, secret: str) -> dict[str, str]:
    """Return ``client_cert``, ``client_key`` and ``ca_cert`` (PEM text, empty when absent) of a Secret."""
    return tls_options(api.secret(namespace, secret))


def tls_options(secret: Secret) -> dict[str, str]:
    """Return the TLS options in a Secret; when a key is there under both of its names, the newer name counts.

    :raises AuthenticationFailed: when a key has no certificate or the reverse, when the Secret has none of the keys, or
        a value is not PEM.
    """
    found = {}
    for option, names in TLS_KEYS.items():
        name = next((name for name in names if secret.data.get(name)), "")
        found[option] = _pem(secret, name) if name else ""
    if bool(found["client_cert"]) != bool(found["client_key"]):
        given, lacking = ("client_cert", "client_key") if found["client_cert"] else ("client_key", "client_cert")
        raise AuthenticationFailed(
            f"{secret.origin} has a {_spelt(given)} but no {_spelt(lacking)}.", "Wanted both or neither."
        )
    if not any(found.values()):
        raise AuthenticationFailed(
            f"{secret.origin} holds no certificate: its keys are {keys_of(secret)}.",
            "Wanted ca.crt, or tls.crt with tls.key (or the older caFile, certFile, keyFile).",
        )
    return found


def read_proxy_url(api: KubeApi, namespace: str, secret: str) -> str:
    """Return the URL of the proxy in a Secret, with its credentials, as the option ``proxy`` takes it."""
    return proxy_url(api.secret(namespace, secret))


def proxy_url(secret: Secret) -> str:
    """Return the URL made of the keys ``address``, ``username`` and ``password``.

    As in Flux, credentials in the keys replace those in the address, and a password without a user name has no effect.

    :raises AuthenticationFailed: when there is no address, or a value cannot be used. No value is repeated.
    """
    address = text_of(secret, "address").strip()
    try:
        parts = urlsplit(address)
        scheme, is_usable = PROXY_SCHEMES.get(parts.scheme.lower(), ""), bool(parts.hostname) and parts.port != 0
    except ValueError:
        scheme, is_usable = "", False
    if not scheme or not is_usable or len(address) > MAX_PROXY_ADDRESS or not address.isprintable() or " " in address:
        raise AuthenticationFailed(
            f"The key address of {secret.origin} is not the URL of a proxy.",
            "Wanted http://host:port, or https:// or socks5://, of at most 2048 characters.",
        )
    user, _at, host = parts.netloc.rpartition("@")
    if secret.data.get("username"):
        user = quote(text_of(secret, "username"), safe="")
        if secret.data.get("password"):
            user += ":" + quote(text_of(secret, "password"), safe="")
    return f"{scheme}://{user}@{host}" if user else f"{scheme}://{host}"


def _auths(secret: Secret) -> Mapping[str, Any]:
    if secret.type == DOCKER_CONFIG_JSON:
        return load_auth_config(text_of(secret, ".dockerconfigjson"), secret.origin).get("auths") or {}
    if secret.type == DOCKER_CFG:
        # the older format has the content of 'auths' alone
        return load_auth_config(text_of(secret, ".dockercfg"), secret.origin)
    raise AuthenticationFailed(
        f"{secret.origin} is of type {secret.type[:200]}, wanted {DOCKER_CONFIG_JSON} or {DOCKER_CFG}.",
        "Create it with kubectl create secret docker-registry.",
    )


def text_of(secret: Secret, key: str) -> str:
    """Return the text under a key.

    :raises AuthenticationFailed: when there is no such key, or it holds other bytes than UTF-8.
    """
    if key not in secret.data:
        raise AuthenticationFailed(f"{secret.origin} has no key {key}: its keys are {keys_of(secret)}.")
    try:
        return secret.data[key].decode("utf-8")
    except UnicodeDecodeError:
        raise AuthenticationFailed(f"The key {key} of {secret.origin} is not UTF-8 text.") from None


def _pem(secret: Secret, key: str) -> str:
    text = text_of(secret, key)
    # modules interpret text without this marker as the path of a file
    if "-----BEGIN " not in text:
        raise AuthenticationFailed(f"The key {key} of {secret.origin} holds no PEM text.")
    return text


def _spelt(option: str) -> str:
    return " or ".join(TLS_KEYS[option])


def keys_of(secret: Secret) -> str:
    """Return the names of the keys of a Secret, for messages."""
    return ", ".join(sorted(secret.data)[:20]) or "none"

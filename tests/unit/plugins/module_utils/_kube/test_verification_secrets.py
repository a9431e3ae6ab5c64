# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys, trusted roots, trust policies and proxies in Secrets, as Flux and cosign keep them."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed, InvalidPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http.proxy import proxy_for
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import Secret
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.secrets import proxy_url
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.verification_secrets import verification
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy

HUSH = "hush-hush"
PUBLIC = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"
PRIVATE = f"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n{HUSH}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"
SECOND = "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n"
POLICY = {"version": "1.0", "trustPolicies": []}
ROOT = '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'


def secret(data: dict[str, Any]) -> Secret:
    values = {
        key: value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
        for key, value in data.items()
    }
    return Secret("ns", "x", "Opaque", values)


# -- cosign


def test_all_public_keys_of_a_secret_in_the_order_of_their_names() -> None:
    found = verification(secret({"b.pub": PUBLIC + "b", "a.pub": PUBLIC, "note.txt": HUSH, "a.pub.bak": HUSH}))
    assert found == {
        "provider": "cosign",
        "public_keys": [PUBLIC, PUBLIC + "b"],
        "trusted_root": "",
        "trust_policy": {},
        "trust_store": [],
    }


def test_the_secret_of_cosign_shows_its_public_half_alone() -> None:
    found = verification(secret({"cosign.key": PRIVATE, "cosign.password": HUSH, "cosign.pub": PUBLIC}))
    assert found["public_keys"] == [PUBLIC]
    assert HUSH not in str(found)


@pytest.mark.parametrize("text", [ROOT, "\n" + ROOT])
def test_a_trusted_root_stays_a_text(text: str) -> None:
    found = verification(secret({"trusted_root.json": text, "a.pub": PUBLIC}))
    # a brace at the beginning would make a mapping of it, where ansible-core ends a template with it
    assert found["trusted_root"] == " " + ROOT
    assert found["public_keys"] == [PUBLIC]
    alone = verification(secret({"trusted_root.json": text}))
    assert (alone["trusted_root"], alone["public_keys"]) == (" " + ROOT, [])


def test_a_word_in_a_public_key_does_not_make_it_private() -> None:
    key = PUBLIC.replace("MIIB", "PRIVATE")
    assert verification(secret({"a.pub": key}))["public_keys"] == [key]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "holds neither a public key nor a trusted root: its keys are none"),
        ({"cosign.key": PRIVATE}, "its keys are cosign.key"),
        ({"trustpolicy": POLICY, "ca.crt": CERTIFICATE}, "its keys are ca.crt, trustpolicy"),
        ({"a.pub": PUBLIC, "b.pub": HUSH}, "The key b.pub of Secret ns/x holds no PEM text"),
        ({"a.pub": ""}, "The key a.pub of Secret ns/x holds no PEM text"),
        ({"a.pub": "-----BEGIN PUBLIC KEY-----\n"}, "holds no PEM text"),
        ({"a.pub": PRIVATE}, "holds a private key"),
        ({"a.pub": PUBLIC + PRIVATE}, "holds a private key"),
        ({"a.pub": b"\xff"}, "The key a.pub of Secret ns/x is not UTF-8 text"),
        ({"trusted_root.json": "/etc/sigstore/" + HUSH}, "trusted_root.json of Secret ns/x is not a JSON object"),
        ({"trusted_root.json": "[]"}, "is not a JSON object"),
        ({"trusted_root.json": b"\xff"}, "is not UTF-8 text"),
    ],
)
def test_a_secret_that_is_of_no_use_to_cosign(data: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidPolicy, match=words) as caught:
        verification(secret(data))
    assert HUSH not in str(caught.value)


# -- notation


def test_a_trust_policy_and_certificates() -> None:
    data = {"trustpolicy.json": POLICY, "b.pem": CERTIFICATE, "a.crt": SECOND, "tls.key": PRIVATE, "x.pub": HUSH}
    found = verification(secret(data))
    assert found == {
        "provider": "notation",
        "public_keys": [],
        "trusted_root": "",
        "trust_policy": POLICY,
        "trust_store": [SECOND, CERTIFICATE],
    }
    assert parse_policy(found).provider == "notation"


def test_of_each_certificate_the_first_block_counts_as_for_flux() -> None:
    der = ssl.PEM_cert_to_DER_cert(CERTIFICATE) or b""
    long = b"\x30" + bytes(range(256))
    data = {"trustpolicy.json": POLICY, "a.crt": "text\n" + CERTIFICATE + SECOND, "b.crt": der, "c.pem": long}
    first, second, third = verification(secret(data))["trust_store"]
    assert first == second == CERTIFICATE
    assert ssl.PEM_cert_to_DER_cert(third) == long
    assert max(map(len, third.splitlines())) == 64


def test_who_signed_can_be_said() -> None:
    data = {"trustpolicy.json": POLICY, "ca.crt": CERTIFICATE, "a.pub": PUBLIC}
    assert verification(secret(data), "cosign")["public_keys"] == [PUBLIC]
    assert verification(secret(data), "cosign")["trust_store"] == []
    assert verification(secret(data), "notation")["public_keys"] == []
    with pytest.raises(InvalidPolicy, match=r"Secret ns/x has no key trustpolicy\.json: its keys are a\.pub"):
        verification(secret({"a.pub": PUBLIC}), "notation")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"trustpolicy.json": POLICY}, "holds no certificate: its keys are trustpolicy.json"),
        (
            {"trustpolicy.json": "[]", "a.crt": CERTIFICATE},
            "The key trustpolicy.json of Secret ns/x is not a JSON object",
        ),
        ({"trustpolicy.json": HUSH, "a.crt": CERTIFICATE}, "is not a JSON object"),
        ({"trustpolicy.json": "[" * 100_000, "a.crt": CERTIFICATE}, "is not a JSON object"),
        ({"trustpolicy.json": POLICY, "a.crt": HUSH}, "The key a.crt of Secret ns/x does not begin with a certificate"),
        ({"trustpolicy.json": POLICY, "a.crt": ""}, "does not begin with a certificate"),
        ({"trustpolicy.json": POLICY, "a.pem": PRIVATE + CERTIFICATE}, "does not begin with a certificate"),
        ({"trustpolicy.json": POLICY, "a.pem": "-----BEGIN CERTIFICATE-----\n0"}, "does not begin with a certificate"),
    ],
)
def test_a_secret_that_is_of_no_use_to_notation(data: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidPolicy, match=words) as caught:
        verification(secret(data))
    assert HUSH not in str(caught.value)


# -- proxies


@pytest.mark.parametrize(
    ("data", "url"),
    [
        ({"address": "http://proxy:3128"}, "http://proxy:3128"),
        ({"address": "https://proxy.example.com\n"}, "https://proxy.example.com"),
        ({"address": "HTTP://[::1]:3128/"}, "http://[::1]:3128"),
        ({"address": "socks5://proxy:1080"}, "socks5h://proxy:1080"),
        ({"address": "socks5h://proxy:1080"}, "socks5h://proxy:1080"),
        ({"address": "http://proxy", "username": "me"}, "http://me@proxy"),
        (
            {"address": "http://proxy", "username": "m@e", "password": "p@ss/word:1%"},
            "http://m%40e:p%40ss%2Fword%3A1%25@proxy",
        ),
        ({"address": "http://proxy", "password": HUSH}, "http://proxy"),
        ({"address": "http://proxy", "username": "", "password": HUSH}, "http://proxy"),
        ({"address": "http://old:one@proxy"}, "http://old:one@proxy"),
        ({"address": "http://old:one@proxy", "username": "new"}, "http://new@proxy"),
        ({"address": "http://proxy", "username": "me", "password": "größe\n"}, "http://me:gr%C3%B6%C3%9Fe%0A@proxy"),
    ],
)
def test_the_url_of_a_proxy(data: dict[str, str], url: str) -> None:
    assert proxy_url(secret(data)) == url
    if not url.startswith("socks"):
        assert proxy_for("https://registry.example.com/", ConnectionOptions(proxy=url)) == url


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"username": "me"}, "Secret ns/x has no key address: its keys are username"),
        ({"address": ""}, "not the URL of a proxy"),
        ({"address": f"proxy:{HUSH}"}, "not the URL of a proxy"),
        ({"address": f"ftp://me:{HUSH}@proxy"}, "not the URL of a proxy"),
        ({"address": f"http://me:{HUSH}@"}, "not the URL of a proxy"),
        ({"address": f"http://me:{HUSH}@proxy:0"}, "not the URL of a proxy"),
        ({"address": f"http://me:{HUSH}@proxy:99999"}, "not the URL of a proxy"),
        ({"address": f"http://[{HUSH}"}, "not the URL of a proxy"),
        ({"address": f"http://me:{HUSH}@pro xy"}, "not the URL of a proxy"),
        ({"address": f"http://me:{HUSH}@pro\nxy"}, "not the URL of a proxy"),
        ({"address": "http://proxy/" + "x" * 2048}, "not the URL of a proxy"),
        ({"address": "http://proxy", "username": b"\xff"}, "The key username of Secret ns/x is not UTF-8 text"),
        (
            {"address": "http://proxy", "username": "me", "password": b"\xff"},
            "The key password of Secret ns/x is not UTF",
        ),
    ],
)
def test_a_secret_that_is_no_proxy(data: dict[str, Any], words: str) -> None:
    with pytest.raises(AuthenticationFailed, match=words) as caught:
        proxy_url(secret(data))
    assert HUSH not in str(caught.value)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the content of Secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    InvalidContent,
    NotFound,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import Secret, parse_secret
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.secrets import (
    merge_pull_secrets,
    read_auth_config,
    tls_options,
)

PASSWORD = "hush-hush"
CERT = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIC\n-----END PRIVATE KEY-----\n"


def auth(username: str, password: str = PASSWORD) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def pull_secret(name: str, document: Any, kind: str = "dockerconfigjson") -> Secret:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Secret("ns", name, f"kubernetes.io/{kind}", {f".{kind}": text})


def merged(*secrets: Secret) -> dict[str, Any]:
    auths = merge_pull_secrets(secrets)["auths"]
    assert isinstance(auths, dict)
    return auths


def test_both_types_give_one_document() -> None:
    new = pull_secret("new", {"auths": {"ghcr.io": auth("new")}, "credsStore": "desktop", "HttpHeaders": {}})
    old = pull_secret("old", {"https://quay.io/v1/": auth("old")}, "dockercfg")
    assert merge_pull_secrets([new, old]) == {"auths": {"ghcr.io": auth("new"), "https://quay.io/v1/": auth("old")}}


@pytest.mark.parametrize("key", ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v2/"])
def test_the_first_secret_wins_however_the_key_is_spelt(key: str) -> None:
    first = pull_secret("first", {"auths": {"ghcr.io": auth("first")}})
    second = pull_secret("second", {"auths": {key: auth("second"), "ghcr.io/team": auth("team")}})
    assert merged(first, second) == {"ghcr.io": auth("first"), "ghcr.io/team": auth("team")}
    assert merged(second, first) == {key: auth("second"), "ghcr.io/team": auth("team")}


def test_an_empty_entry_hides_nothing() -> None:
    empty = pull_secret("empty", {"auths": {"ghcr.io": {}, "quay.io": {"auth": ""}}, "credsStore": "desktop"})
    full = pull_secret("full", {"auths": {"ghcr.io": auth("full")}})
    assert merged(empty, full) == {"ghcr.io": auth("full")}
    with pytest.raises(AuthenticationFailed, match=r"no credential in the pull secret ns/empty\. .*credentials store"):
        merged(empty)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (
            Secret("ns", "x", "Opaque", {".dockerconfigjson": b"{}"}),
            "ns/x is of type Opaque, wanted kube",
        ),
        (
            Secret("ns", "x", "kubernetes.io/dockerconfigjson", {"other": b""}),
            "no key .dockerconfigjson.*are other",
        ),
        (Secret("ns", "x", "kubernetes.io/dockercfg", {}), "has no key .dockercfg: its keys are none"),
        (pull_secret("x", b"{" + PASSWORD.encode()), "Secret ns/x is not JSON"),
        (pull_secret("x", b"\xff" + PASSWORD.encode()), "of Secret ns/x is not UTF-8"),
        (pull_secret("x", b"[" * 100_000), "is not JSON"),
        (pull_secret("x", ["auths"]), "is not a JSON object"),
        (pull_secret("x", {"auths": [PASSWORD]}), "'auths' of the wrong type"),
        (pull_secret("x", {"auths": {"ghcr.io": PASSWORD}}), "entry 'ghcr.io' of Secret ns/x is not an object"),
        (
            pull_secret("x", {"auths": {"ghcr.io": {"auth": PASSWORD}}}),
            "'ghcr.io' of Secret ns/x is not the base64",
        ),
        (pull_secret("x", {"auths": {"ghcr.io": {"password": PASSWORD}}}), "only one of user name and password"),
        (pull_secret("x", {"ghcr.io": PASSWORD}, "dockercfg"), "entry 'ghcr.io' of Secret ns/x is not an object"),
        (pull_secret("x", {"auths": {}}), "no credential in the pull secret ns/x"),
        (pull_secret("x", {}), "no credential in the pull secret ns/x"),
    ],
)
def test_a_secret_of_another_shape_is_an_error(secret: Secret, words: str) -> None:
    with pytest.raises(AuthenticationFailed, match=words) as caught:
        merge_pull_secrets([pull_secret("good", {"auths": {"quay.io": auth("good")}}), secret][1:])
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in repr(secret)


class Api:
    """What the API holds; the real one is asked in the integration tests."""

    def __init__(self, secrets: dict[str, Secret], accounts: dict[str, list[str]]) -> None:
        self._secrets, self._accounts = secrets, accounts

    def secret(self, namespace: str, name: str) -> Secret:
        assert namespace == "ns"
        if name not in self._secrets:
            raise NotFound(f"The Secret {namespace}/{name} does not exist.")
        return self._secrets[name]

    def pull_secret_names(self, namespace: str, service_account: str) -> list[str]:
        assert namespace == "ns"
        return self._accounts[service_account]


def test_the_named_secret_comes_before_those_of_the_service_account() -> None:
    secrets = {name: pull_secret(name, {"auths": {"ghcr.io": auth(name), f"{name}.io": auth(name)}}) for name in "abc"}
    api: Any = Api(secrets, {"one": ["b", "a", "c"], "none": [], "broken": ["a", "gone"]})
    assert read_auth_config(api, "ns", service_account="one")["auths"]["ghcr.io"] == auth("b")
    both = read_auth_config(api, "ns", "c", "one")["auths"]
    assert both == {"ghcr.io": auth("c"), "c.io": auth("c"), "b.io": auth("b"), "a.io": auth("a")}
    with pytest.raises(AuthenticationFailed, match="ns/none has no imagePullSecrets"):
        read_auth_config(api, "ns", "a", "none")
    with pytest.raises(NotFound, match="ns/gone does not exist"):
        read_auth_config(api, "ns", service_account="broken")


def tls_secret(**data: str) -> Secret:
    names = {name.replace("_", "."): text.encode() for name, text in data.items()}
    return Secret("ns", "tls", "Opaque", names)


@pytest.mark.parametrize(
    ("secret", "wanted"),
    [
        (tls_secret(tls_crt=CERT, tls_key=KEY, ca_crt=CERT + CERT), (CERT, KEY, CERT + CERT)),
        (tls_secret(certFile=CERT, keyFile=KEY, caFile=CERT), (CERT, KEY, CERT)),
        (tls_secret(ca_crt=CERT), ("", "", CERT)),
        (tls_secret(caFile=CERT, tls_crt=CERT, keyFile=KEY), (CERT, KEY, CERT)),
        (tls_secret(ca_crt=CERT, caFile="older", tls_crt=CERT, tls_key=KEY, certFile="older"), (CERT, KEY, CERT)),
        (tls_secret(tls_crt=CERT, tls_key=KEY, ca_crt=""), (CERT, KEY, "")),
    ],
)
def test_tls_options(secret: Secret, wanted: tuple[str, str, str]) -> None:
    assert tls_options(secret) == dict(zip(("client_cert", "client_key", "ca_cert"), wanted))


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (tls_secret(tls_crt=CERT), "has a tls.crt or certFile but no tls.key or keyFile"),
        (tls_secret(keyFile=KEY, ca_crt=CERT), "has a tls.key or keyFile but no tls.crt or certFile"),
        (tls_secret(password=PASSWORD), "holds no certificate: its keys are password"),
        (tls_secret(), "holds no certificate: its keys are none"),
        (tls_secret(ca_crt="/etc/passwd"), "key ca.crt of Secret ns/tls holds no PEM"),
        (tls_secret(tls_crt=CERT, tls_key=PASSWORD), "key tls.key of Secret ns/tls holds no PEM"),
    ],
)
def test_what_is_no_tls_secret(secret: Secret, words: str) -> None:
    with pytest.raises(AuthenticationFailed, match=words) as caught:
        tls_options(secret)
    assert PASSWORD not in str(caught.value)


def test_parse_secret() -> None:
    assert parse_secret({"data": {"a": "Yg=="}, "type": "t"}, "ns", "n") == Secret("ns", "n", "t", {"a": b"b"})
    assert parse_secret({"data": None}, "ns", "n") == Secret("ns", "n", "Opaque", {})


@pytest.mark.parametrize("data", [{"a": "&"}, {"a": 5}, ["a"], "text", {"a": None}])
def test_parse_secret_of_another_shape(data: Any) -> None:
    with pytest.raises(InvalidContent, match="ns/n with data that is not base64"):
        parse_secret({"data": data}, "ns", "n")

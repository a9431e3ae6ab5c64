# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of docker and podman: entries, keys and their precedence, and what is an error."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import AuthenticationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login import helper as credential_helper
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.docker_config import (
    DOCKER_HUB_KEY,
    HelperAnswers,
    decode_entry,
    encode_entry,
    find_in_document,
    load_auth_config,
    matching_keys,
    named_helper,
    split_key,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.find import find_credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference


def encoded(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def find(config: Any, registry: str = "r.example", repository: str = "org/app") -> Credential | None:
    return find_credential(AuthOptions(auth_config=config), registry, repository)


def user_of(config: Any, registry: str = "r.example", repository: str = "org/app") -> str | None:
    found = find(config, registry, repository)
    return found.username if found else None


# Entries


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (encoded("u", "p:w"), Credential("u", "p:w")),
        ({"username": "u", "password": "p"}, Credential("u", "p")),
        ({**encoded("u", "p"), "username": "x", "password": "y"}, Credential("u", "p")),
        ({**encoded("0000", ""), "identitytoken": "i"}, Credential("0000", "", "i")),
        ({"registrytoken": "r"}, Credential(registry_token="r")),
        ({"auth": base64.b64encode(b"u:p\0").decode()}, Credential("u", "p")),
        # as base64(1) breaks a long line
        ({"auth": base64.encodebytes(b"u:" + b"p" * 200).decode()}, Credential("u", "p" * 200)),
        ({}, None),
        ({"email": "x@y"}, None),
    ],
)
def test_entries(entry: dict[str, str], found: Credential | None) -> None:
    assert find({"auths": {"r.example": entry}}) == found


@pytest.mark.parametrize(
    "entry",
    [
        "text",
        [],
        7,
        None,
        {"auth": 7},
        {"auth": "not base64!"},
        {"auth": "\u00e4"},
        {"auth": base64.b64encode(b"no colon").decode()},
        {"auth": base64.b64encode(b"\xff:\xff").decode()},
        {"username": "s3cret"},
        {"password": "s3cret"},
        {"registrytoken": "s3cret\nX: y"},
        {"registrytoken": "s3cret\u00e4"},
        {"identitytoken": ["s3cret"]},
    ],
)
def test_entries_of_the_wrong_shape(entry: Any) -> None:
    with pytest.raises(AuthenticationFailed, match="r.example") as failure:
        find({"auths": {"r.example": entry}})
    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize(
    "document",
    [
        [],
        "x",
        {},
        {"auth": {}},
        {"data": {".dockerconfigjson": "e30="}},
        {"r.example": {"auth": "eDp5"}},
        {"auths": []},
        {"auths": "x"},
        {"auths": {}, "credHelpers": []},
        {"auths": {}, "credsStore": 7},
    ],
)
def test_documents_of_the_wrong_shape(document: Any, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed):
        find(document)
    path = tmp_path / "given.json"
    path.write_text(json.dumps(document))
    with pytest.raises(AuthenticationFailed, match="given.json"):
        find_credential(AuthOptions(auth_file=str(path)), "r.example", "a")


@pytest.mark.parametrize("document", [{"auths": None}, {"auths": {}}, {"credsStore": ""}, {"auths": {"other": {}}}])
def test_documents_without_an_entry(document: Any) -> None:
    assert find(document) is None


@pytest.mark.parametrize("text", ["", "s3cret", "[" * 100_000, '{"auths": s3cret', "\0"])
def test_text_that_is_no_json(text: str) -> None:
    with pytest.raises(AuthenticationFailed, match="auth_config is not JSON") as failure:
        load_auth_config(text, "auth_config")
    assert "s3cret" not in str(failure.value)


# Keys


KEYS = {
    "r.example": "host",
    "r.example/org": "organisation",
    "r.example/org/app": "repository",
    "https://legacy.example/v1/": "v1",
    "https://legacy2.example/v2/": "v2",
    "r.example:5000": "port",
    "*.glob.example": "glob",
    "exact.glob.example": "exact",
    "*.glob.example:5000": "glob with port",
    "a?.glob.example/deep": "deep glob",
    "host.glob2.example": "host of a deeper glob",
    "*.glob2.example/deep": "deeper glob",
    DOCKER_HUB_KEY: "hub",
    "UPPER.example": "upper",
    "[::1]:5000": "six",
}


@pytest.mark.parametrize(
    ("registry", "repository", "user"),
    [
        ("r.example", "org/app", "repository"),
        ("r.example", "org/app/deeper", "repository"),
        ("r.example", "org/application", "organisation"),
        ("r.example", "organ", "host"),
        ("r.example:5000", "org/app", "port"),
        ("r.example:5001", "org/app", None),
        ("legacy.example", "x", "v1"),
        ("legacy2.example", "x", "v2"),
        ("x.glob.example", "x", "glob"),
        ("exact.glob.example", "x", "exact"),
        ("x.glob.example:5000", "x", "glob with port"),
        ("x.glob.example:5001", "x", None),
        ("x.y.glob.example", "x", None),
        ("ab.glob.example", "deep/x", "deep glob"),
        ("exact.glob.example", "deep/x", "exact"),
        ("ax.glob.example", "deep/x", "deep glob"),
        ("host.glob2.example", "deep/x", "deeper glob"),
        ("glob.example", "x", None),
        ("docker.io", "library/alpine", "hub"),
        ("upper.example", "x", "upper"),
        ("[::1]:5000", "x", "six"),
        ("example", "x", None),
        ("r.example.evil.example", "org/app", None),
    ],
)
def test_the_longest_key_wins(registry: str, repository: str, user: str | None) -> None:
    config = {"auths": {key: encoded(name, "p") for key, name in KEYS.items()}}
    assert user_of(config, registry, repository) == user
    config = {"auths": dict(reversed(list(config["auths"].items())))}
    assert user_of(config, registry, repository) == user


@pytest.mark.parametrize(
    "key", ["docker.io", "index.docker.io", "registry-1.docker.io", DOCKER_HUB_KEY, "docker.io/library"]
)
def test_docker_hub_has_many_names(key: str) -> None:
    assert user_of({"auths": {key: encoded("u", "p")}}, "docker.io", "library/alpine") == "u"


@given(st.dictionaries(st.text(max_size=30), st.just({"auth": "dTpw"}), max_size=5))
def test_any_key_is_read(auths: dict[str, Any]) -> None:
    assert user_of({"auths": auths}, "r.example", "org/app") in ("u", None)


# Flux's table: go-containerregistry, pkg/authn/kubernetes/keychain_test.go, which Flux's controllers read pull secrets
# with. Keys in their order, what is asked for, the key that is used.
FLUX = [
    (["fake.registry.io"], "fake.registry.io/repo", "fake.registry.io"),
    (["fake.registry.io/repo"], "fake.registry.io/repo", "fake.registry.io/repo"),
    (["https://fake.registry.io"], "fake.registry.io/repo", "https://fake.registry.io"),
    (["fake.registry.io:5000"], "fake.registry.io:5000/repo", "fake.registry.io:5000"),
    (["fake.registry.io:5000"], "fake.registry.io:1000/repo", None),
    (["fake.registry.io:5000"], "fake.registry.io/repo", None),
    (["fake.registry.io", "fake.registry.io/more/specific"], "fake.registry.io/other", "fake.registry.io"),
    (
        ["fake.registry.io", "fake.registry.io/more/specific"],
        "fake.registry.io/more/specific",
        "fake.registry.io/more/specific",
    ),
    (["fake.registry.io", "1.fake.registry.io"], "fake.registry.io/repo", "fake.registry.io"),
    (["fake.registry.io", "1.fake.registry.io"], "1.fake.registry.io/repo", "1.fake.registry.io"),
    (["fake.registry.io", "1.fake.registry.io"], "2.fake.registry.io/repo", None),
    (["https://fake.registry.io/v1/"], "fake.registry.io/repo", "https://fake.registry.io/v1/"),
    (["https://fake.registry.io/v2/"], "fake.registry.io/repo", "https://fake.registry.io/v2/"),
    (["https://ghcr.io/v2/org"], "ghcr.io/org/app", "https://ghcr.io/v2/org"),
    (["https://ghcr.io/v2/org"], "ghcr.io/other/app", None),
    (["index.docker.io"], "docker.io/ubuntu", "index.docker.io"),
    (["index.docker.io"], "docker.io/knative/serving", "index.docker.io"),
    (["https://index.docker.io/v1/"], "docker.io/ubuntu", "https://index.docker.io/v1/"),
    (["*.registry.io"], "fake.registry.io/repo", "*.registry.io"),
    (["*.registry.io"], "blah.registry.io/repo", "*.registry.io"),
    (["*.registry.io"], "registry.io/repo", None),
    (["*.registry.io"], "a.b.registry.io/repo", None),
    (["*.dkr.ecr.*.amazonaws.com"], "1.dkr.ecr.eu-west-1.amazonaws.com/a", "*.dkr.ecr.*.amazonaws.com"),
    *[
        ([scheme + name + path], f"{name}/dave/test/nginx", scheme + name + path)
        for scheme in ("", "http://", "https://")
        for name in ("registry.gitlab.com", "dtestcontainer.azurecr.io")
        for path in ("", "/dave", "/dave/test", "/dave/test/nginx")
    ],
]

NESTED = ["fake.registry.io", "fake.registry.io/nested", "fake.registry.io/nested/repo", "fake.registry.io/par"]
FLUX += [
    (NESTED, "fake.registry.io/nested", "fake.registry.io/nested"),
    (NESTED, "fake.registry.io/nested/repo", "fake.registry.io/nested/repo"),
    (NESTED, "fake.registry.io/nested/repo/dirt", "fake.registry.io/nested/repo"),
]

# beyond that table, or in place of it
STRICTER = [
    # a part of a path is no path
    (NESTED, "fake.registry.io/partial", "fake.registry.io"),
    (["ghcr.io/org/ap"], "ghcr.io/org/app", None),
    # the longest path, also where another key is later in the alphabet
    (["*.registry.io/org", "fake.registry.io"], "fake.registry.io/org/app", "*.registry.io/org"),
    # an end without a slash, and Docker Hub's own name
    (["https://fake.registry.io/v1"], "fake.registry.io/repo", "https://fake.registry.io/v1"),
    (["docker.io"], "docker.io/ubuntu", "docker.io"),
    # without a scheme it may be a namespace
    (["fake.registry.io/v1"], "fake.registry.io/repo", None),
    (["fake.registry.io/v1"], "fake.registry.io/v1/repo", "fake.registry.io/v1"),
    (["fake.registry.io/v2/org"], "fake.registry.io/org/app", None),
    (["fake.registry.io/v1/"], "fake.registry.io/repo", "fake.registry.io/v1/"),
    (["index.docker.io/v1"], "docker.io/ubuntu", "index.docker.io/v1"),
    # a bracket is no pattern
    (["*.[ab].example"], "x.a.example/repo", None),
    # the spelling that docker writes comes first
    (["https://r.example", "r.example", "http://r.example/v2/"], "r.example/a", "r.example"),
    (["https://a.example/org", "a.example/org", "http://a.example/org"], "a.example/org/app", "a.example/org"),
    (["index.docker.io", DOCKER_HUB_KEY, "docker.io"], "docker.io/ubuntu", DOCKER_HUB_KEY),
]


@pytest.mark.parametrize(("keys", "target", "used"), [*FLUX, *STRICTER])
def test_matching_keys(keys: list[str], target: str, used: str | None) -> None:
    reference = parse_reference(target)
    for ordered in (keys, keys[::-1]):
        found = matching_keys(dict.fromkeys(ordered, {}), reference.registry, reference.repository)
        assert (found[0] if found else None) == used


@given(st.text(max_size=60))
def test_any_key_is_split(key: str) -> None:
    host, path = split_key(key)
    assert host == host.lower()
    assert not path.startswith("/")
    assert not path.endswith("/")


def test_an_entry_without_a_secret_leaves_it_to_a_shorter_key() -> None:
    auths = {"r.example": encoded("host", "p"), "r.example/org": {}}
    assert user_of({"auths": auths}) == "host"
    # but one of the wrong shape is not passed over
    with pytest.raises(AuthenticationFailed, match="'r.example/org'"):
        find({"auths": {**auths, "r.example/org": {"auth": "?"}}})


# Writing


@pytest.mark.parametrize(
    ("before", "credential", "after"),
    [
        (None, Credential("u", "p"), {"auth": "dTpw"}),
        ({"auth": "eDp5", "email": "a@b"}, Credential("u", "p"), {"email": "a@b", "auth": "dTpw"}),
        ({"username": "u", "password": "p", "registrytoken": "r"}, Credential("u", "p"), {"auth": "dTpw"}),
        (None, Credential(identity_token="i"), {"identitytoken": "i"}),
        ({"auth": "eDp5"}, Credential("u", identity_token="i"), {"auth": "dTo=", "identitytoken": "i"}),
    ],
)
def test_encoded_entries(before: Any, credential: Credential, after: dict[str, str]) -> None:
    entry = encode_entry(before, credential)
    assert entry == after
    assert decode_entry(entry, "x", "y") == credential


# docker, too, takes NULs at the end for padding
@given(
    st.text(min_size=1).filter(lambda text: ":" not in text),
    st.text(min_size=1).filter(lambda text: not text.endswith("\0")),
)
def test_what_is_written_is_read(username: str, password: str) -> None:
    try:
        entry = encode_entry(None, Credential(username, password))
    except UnicodeEncodeError:
        return  # a lone surrogate is no text
    assert decode_entry(entry, "x", "y") == Credential(username, password)


# Helpers


def test_the_helper_that_a_document_names() -> None:
    assert named_helper({"credHelpers": {"r.example": "x"}}, "r.example") == "x"
    assert named_helper({"credHelpers": {"r.example": "x"}}, "other.example") is None
    assert named_helper({"credHelpers": {"r.example": None}}, "r.example") == ""
    for key in (DOCKER_HUB_KEY, "index.docker.io", "docker.io"):
        assert named_helper({"credHelpers": {key: "x"}}, "docker.io") == "x"
        assert named_helper({"credHelpers": {key: "x"}}, "r.example") is None


@pytest.mark.parametrize("answer", [Credential("me", "pw"), None])
def test_a_helper_is_asked_once(monkeypatch: pytest.MonkeyPatch, answer: Credential | None) -> None:
    asked: list[tuple[str, str]] = []

    class Helper:
        def __init__(self, program: str, _origin: str) -> None:
            self._program = program

        def get(self, address: str) -> Credential | None:
            asked.append((self._program, address))
            return answer

    monkeypatch.setattr(credential_helper, "CredentialHelper", Helper)
    document = {"credHelpers": {"r.example": "x", "s.example": "x", "docker.io": "y"}}
    known: HelperAnswers = {}

    def ask_for(registry: str, answers: HelperAnswers | None) -> Credential | None:
        return find_in_document(document, "a file", registry, "org/app", answers)

    for _time in range(2):
        assert [ask_for(each, known) for each in ("r.example", "s.example", "docker.io")] == [answer] * 3
    assert asked == [("x", "r.example"), ("x", "s.example"), ("y", DOCKER_HUB_KEY)]
    assert ask_for("r.example", None) == answer and len(asked) == 4


def test_base64_with_other_characters_is_refused() -> None:
    with pytest.raises(AuthenticationFailed):
        decode_entry({"auth": "bWU6!cHc="}, "a file", "r.example")

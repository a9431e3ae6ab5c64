# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URIs in the place of public keys and of the signing key: what is read, and what is said about all others."""

from __future__ import annotations

import builtins
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verdicts import policy_fingerprint
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.key_uris import (
    MAX_KEY_FILE,
    content_of_uri,
    is_uri,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keys import load_public_keys
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation_chain import read_trust_store
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.own_pki import own_pki_roots
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.private_keys import load_private_key
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.trusted_root import load_trusted_roots

from . import vectors

KEYS = vectors.ROOT / "keys"
PUBLIC = (KEYS / "key-a.pub").read_text()
SECRET = "hush-hush"
# URI -> where the key is; how it is exported
SERVICES = {
    "awskms:///alias/release": ("AWS KMS", "aws kms get-public-key"),
    "AWSKMS://endpoint/1234abcd": ("AWS KMS", "aws kms get-public-key"),
    "arn:aws:kms:eu-west-1:111122223333:key/1234abcd": ("AWS KMS", "aws kms get-public-key"),
    "gcpkms://projects/p/locations/global/keyRings/r/cryptoKeys/k/versions/1": ("Google Cloud KMS", "gcloud kms keys"),
    "azurekms://vault.vault.azure.net/release": ("Azure Key Vault", "az keyvault key download"),
    "hashivault://release": ("a transit engine of Vault", "vault read -format=json transit/keys/KEY"),
    "openbao://release": ("OpenBao", "vault read -format=json transit/keys/KEY"),
    f"pkcs11:token=hsm;object=release?pin-value={SECRET}": ("a PKCS#11 token", "pkcs11-tool --read-object"),
    "gitlab://group/project": ("a GitLab project", "glab variable get COSIGN_PUBLIC_KEY"),
}
OTHERS = {
    "k8s://flux-system/cosign-keys": (
        "a Secret of Kubernetes",
        "kubernetes_verify_secret', namespace='flux-system', secret='cosign-keys').public_keys }}",
    ),
    f"https://someone:{SECRET}@example.com/cosign.pub": ("is not fetched", "ansible.builtin.get_url"),
    "http://example.com/cosign.pub": ("is not fetched", "ansible.builtin.get_url"),
    "file:///etc/keys/release.pub": ("is a file URI", "Give the path itself"),
    "github://owner/repository": ("which nobody can read", "cosign generate-key-pair"),
    "tpm2://0x81000001": ("'tpm2', which is not supported", "cosign public-key --key URI"),
    "s3+ssl://bucket/key": ("'s3+ssl', which is not supported", "env://NAME"),
}


@pytest.fixture(autouse=True)
def _nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection, no program, no file whose name holds a URI."""

    def refuse(*arguments: Any, **_options: Any) -> None:
        raise AssertionError(arguments)

    original = builtins.open

    def open_file(path: Any, *arguments: Any, **options: Any) -> Any:
        assert not re.match(r"[\w+]+:", str(path)), path
        return original(path, *arguments, **options)

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(builtins, "open", open_file)


def refused_public(uri: str) -> InvalidPolicy:
    with pytest.raises(InvalidPolicy) as refused:
        load_public_keys([PUBLIC, uri])
    return refused.value


def refused_private(uri: str) -> InvalidPolicy:
    with pytest.raises(InvalidPolicy) as refused:
        load_private_key(uri)
    return refused.value


@pytest.mark.parametrize("uri", SERVICES)
def test_a_public_key_in_a_service_has_to_be_exported(uri: str) -> None:
    place, export = SERVICES[uri]
    error = refused_public(uri)
    assert place in error.message and "which is never asked" in error.message
    assert "Export it once: cosign public-key --key " in error.hint
    assert export in error.hint and "cosign.pub" in error.hint
    assert SECRET not in str(error)


@pytest.mark.parametrize("uri", OTHERS)
def test_other_places_of_public_keys(uri: str) -> None:
    words, way = OTHERS[uri]
    error = refused_public(uri)
    assert words in error.message
    assert way in error.hint
    assert SECRET not in str(error)


def test_the_command_names_the_key_where_it_can_be_repeated() -> None:
    assert (
        "cosign public-key --key awskms:///alias/release > cosign.pub" in refused_public("awskms:///alias/release").hint
    )
    arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
    assert f"cosign public-key --key awskms:///{arn} > cosign.pub" in refused_public(arn).hint
    for uri in ("awskms:///$(reboot)", "awskms:///x y", "awskms:///x\n"):
        error = refused_public(uri)
        assert "cosign public-key --key 'awskms:…' > cosign.pub" in error.hint
        assert "The public key awskms:… is in AWS KMS" in error.message


@pytest.mark.parametrize("uri", ["k8s://", "k8s://only-a-name", "k8s://ns/it's", "k8s://ns/name/more"])
def test_a_secret_whose_name_cannot_be_read(uri: str) -> None:
    assert "namespace='…', secret='…'" in refused_public(uri).hint


@pytest.mark.parametrize("uri", [*SERVICES, *OTHERS])
def test_a_signing_key_is_not_asked_for_either(uri: str) -> None:
    error = refused_private(uri)
    assert error.message.startswith("The signing key is ")
    assert uri not in str(error) and SECRET not in str(error)
    if uri in SERVICES:
        assert SERVICES[uri][0] in error.message and "cosign sign --key" in error.hint


@pytest.mark.parametrize(
    ("uri", "words", "way"),
    [
        ("k8s://ns/name", "a Secret of Kubernetes", "cosign.password"),
        ("http://h/k", "(http://), which is not fetched", "PEM text"),
        ("file:///k", "a file URI", "Give the path itself"),
        ("github://o/r", "a secret of a GitHub repository", "cosign sign --key"),
        ("x-thing://k", "a scheme that is not supported", "env://NAME"),
    ],
)
def test_other_places_of_signing_keys(uri: str, words: str, way: str) -> None:
    error = refused_private(uri)
    assert words in error.message and way in error.hint


def test_keys_in_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE_KEY", PUBLIC)
    (key,) = load_public_keys(["env://RELEASE_KEY"])
    assert key.source == "env://RELEASE_KEY"
    assert key.fingerprint == load_public_keys([PUBLIC])[0].fingerprint
    monkeypatch.setenv("COSIGN_PRIVATE_KEY", (KEYS / "key-a.key").read_text())
    assert load_private_key("env://COSIGN_PRIVATE_KEY", "vector-password").public.fingerprint == key.fingerprint


def test_a_variable_that_holds_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("LONG", "x" * (MAX_KEY_FILE + 1))
    monkeypatch.setenv("LONGEST", "x" * MAX_KEY_FILE)
    monkeypatch.setenv("PASSWORD", SECRET)
    monkeypatch.setenv("PRIVATE", (KEYS / "ed25519.raw.pem").read_text())
    for refused, what in ((refused_public, "public key"), (refused_private, "signing key")):
        for name in ("NOT_SET", "EMPTY"):
            error = refused(f"env://{name}")
            assert f"The {what} should be in the environment variable {name}, which is not set" in error.message
            assert f"lookup('ansible.builtin.env', '{name}')" in error.hint
        assert f"has more than {MAX_KEY_FILE} bytes" in refused("env://LONG").message
        assert "has no PEM block" in refused("env://LONGEST").message or "no PEM block" in str(refused("env://LONGEST"))
        assert SECRET not in str(refused("env://PASSWORD"))
        for name in ("", "A-B", "1A", "A B", "A=B", "A\n"):
            assert "without the name of an environment variable" in refused(f"env://{name}").message
    assert "env://PRIVATE is a private key" in refused_public("env://PRIVATE").message


def test_what_is_remembered_of_a_policy_depends_on_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict that is remembered for one key must not count for another."""
    policy = VerifyPolicy(public_keys=("env://RELEASE_KEY",))
    found = set()
    for value in (PUBLIC, (KEYS / "key-b.pub").read_text()):
        monkeypatch.setenv("RELEASE_KEY", value)
        found.add(policy_fingerprint(policy))
    monkeypatch.delenv("RELEASE_KEY")
    found.add(policy_fingerprint(policy))
    assert len(found) == 3
    # a policy that is refused later is not looked for among the files either
    assert policy_fingerprint(VerifyPolicy(public_keys=("awskms:///alias/release",)))
    monkeypatch.setenv("RELEASE_KEY", "it")
    assert [content_of_uri(uri) for uri in ("env://RELEASE_KEY", "k8s://RELEASE_KEY", "env://NOT", "RELEASE_KEY")] == [
        "it", "", "", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "source", ["/etc/keys/a.pub", "keys:a.pub", "a.pub", "~/a:b", "C:\\a", "1a://b", "://x", f"https://x\n{PUBLIC}", ""]
)
def test_paths_and_texts_are_no_uris(source: str) -> None:
    assert not is_uri(source)


def test_a_path_with_a_colon_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a:b.pub").write_text(PUBLIC)
    monkeypatch.chdir(tmp_path)
    assert [key.source for key in load_public_keys(["./a:b.pub"])] == ["./a:b.pub"]


@pytest.mark.parametrize(
    ("option", "read"),
    [
        ("trusted_root", load_trusted_roots),
        ("ca_roots", lambda source: own_pki_roots([source], [])),
        ("trust_store", lambda source: read_trust_store([source])),
    ],
)
def test_certificates_and_roots_are_not_read_from_uris(option: str, read: Any) -> None:
    for uri, way in (
        ("k8s://flux-system/trust", "namespace='flux-system', secret='trust'"),
        ("env://ROOT", "lookup('ansible.builtin.env', 'NAME')"),
        ("https://pki.example.com/root.pem", "ansible.builtin.get_url"),
        ("file:///etc/root.pem", "Give the path itself"),
        ("gs://bucket/root.pem", "path of a file on the host"),
    ):
        with pytest.raises(InvalidPolicy) as caught:
            read(uri)
        assert f"'{option}' is given by the URI {uri}, which is not read" in caught.value.message
        assert way in (caught.value.hint or "")
    with pytest.raises(InvalidPolicy) as caught:
        read(f"https://user:{SECRET}@pki.example.com/?{SECRET}")
    assert SECRET not in str(caught.value) + (caught.value.hint or "")

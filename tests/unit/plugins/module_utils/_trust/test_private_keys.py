# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading private keys: every form that tools write, and one clear sentence for everything else."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keys import load_public_keys
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.private_keys import (
    COSIGN_LABELS,
    PrivateKey,
    load_private_key,
)

from . import vectors

KEYS = vectors.ROOT / "keys"
PASSWORD = "vector-password"
ENCRYPTED = sorted(KEYS.glob("*.key"))
PLAIN = sorted(KEYS.glob("*.raw.pem"))
MESSAGE = b"a message"


@pytest.fixture(autouse=True)
def _no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)


def pem(key: Any, form: PrivateFormat, password: str = "") -> str:
    encryption: KeySerializationEncryption = NoEncryption()
    if password:
        encryption = BestAvailableEncryption(password.encode())
    text: bytes = key.private_bytes(Encoding.PEM, form, encryption)
    return text.decode()


def check(loaded: PrivateKey, public: Path) -> None:
    (wanted,) = load_public_keys([str(public)])
    assert loaded.public.fingerprint == wanted.fingerprint
    assert wanted.verifies(loaded.sign(MESSAGE), MESSAGE)
    assert not wanted.verifies(loaded.sign(MESSAGE), MESSAGE + b"!")


def refusal(source: str, password: str | None = None) -> str:
    with pytest.raises(InvalidPolicy) as caught:
        load_private_key(source, password)
    message = str(caught.value)
    assert caught.value.message.startswith("The signing key ") and "\n" not in message
    assert caught.value.message.count(". ") == 0 and caught.value.message.endswith(".")
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert "MII" not in message and (not password or password not in message)
    return message


@pytest.mark.parametrize("path", ENCRYPTED, ids=lambda path: path.stem)
def test_keys_that_cosign_encrypted(path: Path) -> None:
    loaded = load_private_key(str(path), "" if path.stem == "key-nopass" else PASSWORD)
    check(loaded, path.with_suffix(".pub"))


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.name.split(".")[0])
def test_keys_that_openssl_wrote(path: Path) -> None:
    public = KEYS / f"{path.name.split('.')[0]}.pub"
    check(load_private_key(str(path)), public)
    check(load_private_key(path.read_text(), "an unneeded password"), public)


def test_there_are_keys_of_all_kinds() -> None:
    names = {path.name for path in ENCRYPTED + PLAIN}
    assert {"key-a.key", "p384.key", "p521.key", "rsa2048.key", "rsa4096.key", "ed25519.key"} <= names
    assert {"ed25519.raw.pem", "p384.raw.pem", "rsa2048.raw.pem"} <= names


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_encrypted_pem(form: PrivateFormat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = pem(key, form, "correct horse")
    assert "ENCRYPTED" in text
    path = tmp_path / "sign.key"
    path.write_text(text)
    for source in (text, str(path), text.replace("\n", "\r\n"), "".join(f"    {line}\n" for line in text.splitlines())):
        assert load_private_key(source, "correct horse").key.private_numbers() == key.private_numbers()
    assert "password is wrong" in refusal(text, "wrong horse")
    assert "password is not given" in refusal(text)
    monkeypatch.setenv("COSIGN_PASSWORD", "correct horse")
    load_private_key(text)
    assert "password is wrong" in refusal(text, "wrong horse"), "the option outranks the environment"


def test_the_password_of_a_cosign_key(monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(KEYS / "key-a.key")
    assert "password is wrong" in refusal(path, "w0rd")
    assert "password is wrong" in refusal(path, "")
    assert "password is not given" in refusal(path)
    assert "COSIGN_PASSWORD" in refusal(path)
    monkeypatch.setenv("COSIGN_PASSWORD", "w0rd")
    assert "password is wrong" in refusal(path)
    monkeypatch.setenv("COSIGN_PASSWORD", PASSWORD)
    check(load_private_key(path), KEYS / "key-a.pub")
    monkeypatch.delenv("COSIGN_PASSWORD")
    check(load_private_key(str(KEYS / "key-nopass.key")), KEYS / "key-nopass.pub")


def test_the_older_label() -> None:
    text = (KEYS / "key-a.key").read_text()
    assert COSIGN_LABELS[0] in text
    check(load_private_key(text.replace(*COSIGN_LABELS), PASSWORD), KEYS / "key-a.pub")


def test_blocks_beside_the_key() -> None:
    text = pem(ec.generate_private_key(ec.SECP384R1()), PrivateFormat.TraditionalOpenSSL)
    parameters = "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"
    load_private_key(parameters + text)
    load_private_key(text + (KEYS / "key-a.pub").read_text())
    assert "2 private keys" in refusal(text + text)


def cosign_key(**changes: Any) -> str:
    """key-a with other fields; a path of two names is written with two underscores."""
    block = (KEYS / "key-a.key").read_text().splitlines()
    document = json.loads(base64.b64decode("".join(block[1:-1])))
    for name, value in changes.items():
        *folders, last = name.split("__")
        place = document
        for folder in folders:
            place = place[folder]
        place[last] = value
    body = base64.b64encode(json.dumps(document).encode()).decode()
    return f"{block[0]}\n{body}\n{block[-1]}\n"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kdf__params__N": 1 << 30}, "scrypt parameters"),
        ({"kdf__params__N": 2}, "scrypt parameters"),
        ({"kdf__params__N": 65536.0}, "scrypt parameters"),
        ({"kdf__params__p": True}, "scrypt parameters"),
        ({"kdf__params__r": 1 << 20}, "scrypt parameters"),
        ({"kdf__params__p": [1]}, "scrypt parameters"),
        ({"kdf__params": None}, "damaged"),
        ({"kdf__name": "argon2"}, "in a way that cosign does not use"),
        ({"cipher__name": "aes"}, "in a way that cosign does not use"),
        ({"cipher__name": ["nacl/secretbox"]}, "in a way that cosign does not use"),
        ({"cipher__nonce": "AAAA"}, "damaged"),
        ({"cipher__nonce": 1}, "damaged"),
        ({"kdf__salt": ""}, "damaged"),
        ({"kdf__salt": "!"}, "damaged"),
        ({"kdf__salt": "AAAA"}, "password is wrong, or the key is damaged"),
        ({"ciphertext": "AAAA"}, "password is wrong, or the key is damaged"),
        ({"ciphertext": ""}, "password is wrong, or the key is damaged"),
        ({"kdf": "scrypt"}, "damaged"),
    ],
)
def test_altered_cosign_keys(changes: dict[str, Any], words: str) -> None:
    started = time.process_time()
    assert words in refusal(cosign_key(**changes), PASSWORD)
    # the costliest numbers that are allowed take a second; what a key may ask for would take hours
    assert time.process_time() - started < 60
    check(load_private_key(cosign_key(), PASSWORD), KEYS / "key-a.pub")


def test_only_what_cosign_encrypted_needs_pynacl(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nacl", "nacl.secret", "nacl.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match="cosign encrypted needs the Python package PyNaCl") as caught:
        load_private_key(str(KEYS / "key-a.key"), PASSWORD)
    assert "pip install 'PyNaCl>=" in caught.value.hint and "PKCS#8" in caught.value.hint
    assert caught.value.reason == "MissingDependency"
    check(load_private_key(str(KEYS / "p384.raw.pem")), KEYS / "p384.pub")
    encrypted = pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8, PASSWORD)
    load_private_key(encrypted, PASSWORD)


@pytest.mark.parametrize("body", ["", "!!!!", "e30=", "W10=", "bnVsbA==", base64.b64encode(b"[" * 20000).decode()])
def test_cosign_keys_of_another_shape(body: str) -> None:
    text = f"-----BEGIN {COSIGN_LABELS[0]}-----\n{body}\n-----END {COSIGN_LABELS[0]}-----\n"
    assert "damaged" in refusal(text, PASSWORD)


def test_keys_of_other_kinds() -> None:
    pkcs8 = PrivateFormat.PKCS8
    small = rsa.generate_private_key(65537, 1024)
    assert "RSA key of 1024 bits" in refusal(pem(small, pkcs8))
    assert "secp256k1" in refusal(pem(ec.generate_private_key(ec.SECP256K1()), pkcs8))
    assert "Ed448" in refusal(pem(ed448.Ed448PrivateKey.generate(), pkcs8))
    assert "X25519" in refusal(pem(x25519.X25519PrivateKey.generate(), pkcs8))
    assert "DSA" in refusal(pem(dsa.generate_private_key(2048), pkcs8))
    ssh = pem(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.OpenSSH)
    assert "'OPENSSH PRIVATE KEY'" in refusal(ssh) and "ssh-keygen" in refusal(ssh)


def test_what_is_no_private_key(tmp_path: Path) -> None:
    assert "is a public key" in refusal(str(KEYS / "key-a.pub"))
    old = rsa.generate_private_key(65537, 2048).public_key()
    assert "is a public key" in refusal(old.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode())
    certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert "is a certificate" in refusal(certificate)
    garbage = tmp_path / "garbage"
    garbage.write_bytes(bytes(range(256)))
    assert "has no PEM block" in refusal(str(garbage))
    garbage.write_bytes(b"")
    assert "has no PEM block" in refusal(str(garbage))
    large = tmp_path / "large"
    large.write_bytes(b"x" * (1 << 20))
    assert "more than 65536 bytes" in refusal(str(large))


def test_a_damaged_pem() -> None:
    whole = pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8)
    lines = whole.splitlines(keepends=True)
    for text in (
        "".join(lines[:-1]),
        lines[0] + lines[-1],
        lines[0] + "AAAA\n" + lines[-1],
        lines[0] + "no base64 at all\n" + lines[-1],
        whole.replace("PRIVATE", "RSA PRIVATE", 1),
        "-----BEGIN PRIVATE KEY-----",
    ):
        assert "damaged" in refusal(text)
    label = "ENCRYPTED PRIVATE KEY"
    assert "damaged" in refusal(f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n", "secret-word")


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    """It may be the key itself, given by mistake without its first line: it is not repeated."""
    secret = "MC4CAQAwBQYDK2VwBCIEIA"
    for source in (secret, secret + "/" + secret, f"{tmp_path}/{secret}", "a\0b", "x" * 10000):
        message = refusal(source)
        assert "cannot be read" in message and "secret" not in message
    assert "Is a directory" in refusal(str(tmp_path))


def test_a_path_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sign.key").write_text(pem(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.PKCS8))
    load_private_key("~/sign.key")


def test_nothing_of_a_key_is_shown() -> None:
    text = pem(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.PKCS8)
    loaded = load_private_key(text)
    assert text.splitlines()[1] not in repr(loaded) and "Ed25519PrivateKey" not in repr(loaded)


@pytest.mark.parametrize("path", [KEYS / "ed25519.raw.pem", KEYS / "rsa2048.raw.pem", KEYS / "p521.raw.pem"])
def test_signatures_are_deterministic_where_it_is_said(path: Path) -> None:
    key = load_private_key(str(path))
    distinct = {key.sign(MESSAGE) for _time in range(5)}
    assert len(distinct) == (1 if key.is_deterministic else 5)


def test_random_nonces_where_the_library_knows_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Older(ec.ECDSA):
        def __init__(self, algorithm: Any) -> None:
            super().__init__(algorithm)

    monkeypatch.setattr(ec, "ECDSA", Older)
    key = load_private_key(pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8))
    assert not key.is_deterministic
    first, second = key.sign(MESSAGE), key.sign(MESSAGE)
    assert first != second
    assert key.public.verifies(first, MESSAGE) and key.public.verifies(second, MESSAGE)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles of Rekor 2, for which no package is needed, and what the optional package sigstore is used for."""

from __future__ import annotations

import copy
import json
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    InvalidPolicy,
    MissingDependency,
    OciError,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats, keyless, sigstore_extra
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keyless import KeylessVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import Identity, VerifyPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from . import vectors
from .test_keyless import A_TXT, BEACON, CONFORMANCE

HAPPY = CONFORMANCE / "rekor2-dsse-happy-path"
ROOT: dict[str, Any] = json.loads((HAPPY / "trusted_root.json").read_bytes())
BUNDLE: dict[str, Any] = json.loads((HAPPY / "bundle.sigstore.json").read_bytes())
#: The timestamp and the signature are of 2026-05-13.
BEFORE, AFTER = "2026-05-13T00:00:00Z", "2026-05-14T00:00:00Z"
STATEMENT_TYPE = "https://slsa.dev/provenance/v1"


@pytest.fixture(name="no_sigstore")
def _no_sigstore(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sigstore", "sigstore.models", "sigstore.verify", "rfc3161_client"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture(name="no_network")
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def judge(
    change_root: Callable[[dict[str, Any]], Any] | None = None,
    change_bundle: Callable[[dict[str, Any]], Any] | None = None,
    identity: Identity = BEACON,
    digest: str = A_TXT,
    predicate_types: tuple[str, ...] = (),
) -> str:
    """The code for the good Rekor 2 bundle, or for what was made of it; empty when it is accepted."""
    root, bundle = copy.deepcopy(ROOT), copy.deepcopy(BUNDLE)
    if change_root:
        change_root(root)
    if change_bundle:
        change_bundle(bundle)
    try:
        checks = KeylessVerifier(VerifyPolicy(identities=[identity], trusted_root=json.dumps(root)))
        checks.verify_bundle(formats.parse_bundle(json.dumps(bundle).encode("utf-8")), digest, predicate_types)
    except Rejected as exc:
        return exc.code
    except InvalidPolicy:
        return "policy"
    return ""


def stamps(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    return found


def entry(bundle: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bundle["verificationMaterial"]["tlogEntries"][0]
    return found


# -- bundles of Rekor 2


@pytest.mark.usefixtures("no_sigstore", "no_network")
def test_a_rekor_2_bundle_is_verified_without_the_network(capfd: pytest.CaptureFixture[str]) -> None:
    checks = KeylessVerifier(VerifyPolicy(identities=[BEACON], trusted_root=str(HAPPY / "trusted_root.json")))

    signer, statement = checks.verify_bundle(formats.parse_bundle((HAPPY / "bundle.sigstore.json").read_bytes()), A_TXT)

    assert signer.signed_at == "2026-05-13T19:23:33Z"
    assert signer.predicate_type == statement.predicate_type == STATEMENT_TYPE
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("rekor2-dsse-invalid-sig_fail", "bad-signature"),
        ("rekor2-dsse-mismatch-envelope_fail", "tlog"),
        ("rekor2-dsse-mismatch-sig_fail", "tlog"),
    ],
)
def test_a_rekor_2_bundle_of_sigstore_conformance(name: str, code: str) -> None:
    bundle = json.loads((CONFORMANCE / name / "bundle.sigstore.json").read_bytes())

    assert judge(change_bundle=lambda good: good.update(bundle)) == code


@pytest.mark.usefixtures("no_sigstore", "no_network")
def test_the_package_is_needed_for_the_public_root_only() -> None:
    root = str(CONFORMANCE / "trusted_root_public_good.json")
    bundle = (CONFORMANCE / "happy-path-intoto-in-dsse-v3" / "bundle.sigstore.json").read_bytes()
    checks = KeylessVerifier(VerifyPolicy(identities=[BEACON], trusted_root=root))

    checks.verify_bundle(formats.parse_bundle(bundle), A_TXT)


# most of these sigstore-python accepts


def test_payload_and_identity_are_compared() -> None:
    assert judge(digest="sha256:" + "ab" * 32) == "digest-mismatch"
    assert judge(identity=Identity(".*", "^nobody$")) == "identity"
    assert judge(predicate_types=(STATEMENT_TYPE,)) == ""
    assert judge(predicate_types=("https://spdx.dev/Document",)) == "predicate-type"


@pytest.mark.parametrize(
    ("kind", "code"),
    [("certificateAuthorities", "untrusted-certificate"), ("tlogs", "tlog"), ("timestampAuthorities", "timestamp")],
)
@pytest.mark.parametrize("window", [{"end": BEFORE}, {"start": AFTER}], ids=["ended", "not begun"])
def test_windows_are_compared_with_the_timestamp(kind: str, code: str, window: dict[str, str]) -> None:
    def change(root: dict[str, Any]) -> None:
        for each in root[kind]:
            where = each.get("publicKey", each)
            where["validFor"] = {"start": "2020-01-01T00:00:00Z", **window}

    assert judge(change) == code


def test_the_window_of_the_ct_log_is_compared() -> None:
    def change(root: dict[str, Any]) -> None:
        for each in root["ctlogs"]:
            each["publicKey"]["validFor"] = {"start": "2020-01-01T00:00:00Z", "end": BEFORE}

    assert judge(change) == "sct"


def test_a_root_without_timestamp_authority_does_not_tell_the_time() -> None:
    assert judge(lambda root: root.pop("timestampAuthorities")) == "timestamp"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda bundle: stamps(bundle).clear(), "tlog"),
        (lambda bundle: stamps(bundle)[0].update(signedTimestamp="AAAA"), "timestamp"),
        (lambda bundle: stamps(bundle)[0].update(signedTimestamp="?"), "malformed"),
        (lambda bundle: stamps(bundle)[0].pop("signedTimestamp"), "malformed"),
        (lambda bundle: entry(bundle)["inclusionProof"].update(treeSize="4026480"), "tlog"),
        (lambda bundle: entry(bundle)["inclusionProof"]["hashes"].reverse(), "tlog"),
        (lambda bundle: entry(bundle).update(canonicalizedBody="e30="), "malformed"),
        (lambda bundle: entry(bundle)["logId"].update(keyId="AAAA"), "tlog"),
        (lambda bundle: bundle["verificationMaterial"]["tlogEntries"].clear(), "tlog"),
        (
            lambda bundle: bundle["verificationMaterial"]["tlogEntries"].append({**entry(bundle)}),
            "tlog",
        ),
    ],
)
def test_a_rekor_2_bundle_that_was_changed_is_refused(change: Callable[[dict[str, Any]], Any], code: str) -> None:
    assert judge(change_bundle=change) == code


def test_a_timestamp_of_another_signature_is_refused() -> None:
    other = json.loads((CONFORMANCE / "rekor2-dsse-mismatch-sig_fail" / "bundle.sigstore.json").read_bytes())

    assert stamps(other) != stamps(BUNDLE)
    assert judge(change_bundle=lambda bundle: stamps(bundle).__setitem__(0, stamps(other)[0])) == "timestamp"


def test_a_checkpoint_of_another_size_is_refused() -> None:
    """sigstore-python compares the root hashes only."""

    def change(bundle: dict[str, Any]) -> None:
        checkpoint = entry(bundle)["inclusionProof"]["checkpoint"]
        checkpoint["envelope"] = checkpoint["envelope"].replace("4026479", "4026478", 1)

    assert judge(change_bundle=change) == "tlog"


# -- the public-good root


class _Root:
    def __init__(self, text: str) -> None:
        self.trusted_root = self
        self._inner = self
        self._text = text

    def to_json(self) -> str:
        return self._text


def production(monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> None:
    models = pytest.importorskip("sigstore.models")
    monkeypatch.setattr(models.ClientTrustConfig, "production", action)


def test_without_trusted_root_it_is_that_of_sigstore_dev(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (CONFORMANCE / "trusted_root_public_good.json").read_text(encoding="utf-8")
    production(monkeypatch, lambda: _Root(text))
    bundle = (CONFORMANCE / "happy-path-intoto-in-dsse-v3" / "bundle.sigstore.json").read_bytes()

    signer, _statement = KeylessVerifier(VerifyPolicy(identities=[BEACON])).verify_bundle(
        formats.parse_bundle(bundle), A_TXT
    )

    assert signer.signed_at == "2024-12-16T18:42:56Z"


def test_the_package_writes_a_root_that_is_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy that comes with the package, so that no network is needed."""
    models = pytest.importorskip("sigstore.models")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    original = models.ClientTrustConfig.production
    monkeypatch.setattr(models.ClientTrustConfig, "production", lambda: original(offline=True))

    KeylessVerifier(VerifyPolicy(identities=[BEACON]))


@pytest.mark.usefixtures("no_sigstore")
def test_without_trusted_root_and_package_both_are_named() -> None:
    with pytest.raises(MissingDependency) as caught:
        KeylessVerifier(VerifyPolicy(identities=[BEACON]))
    assert "pip install 'sigstore>=4,<5'" in caught.value.hint
    assert "'trusted_root'" in caught.value.hint


def test_identities_are_looked_at_before_the_network_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyless, "public_good_root", lambda: pytest.fail("the root was fetched"))

    with pytest.raises(InvalidPolicy):
        KeylessVerifier(VerifyPolicy(identities=[Identity("(", "a")]))


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class DownloadError(Exception):
    """Named as TUF's."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (chained(RuntimeError("Failed to refresh TUF metadata"), DownloadError("no route")), ConnectionFailed),
        (ConnectionRefusedError("refused"), ConnectionFailed),
        (TimeoutError("late"), ConnectionFailed),
        (chained(RuntimeError("Failed to refresh"), ValueError("expired metadata")), VerificationFailed),
        (AttributeError("trusted_root"), VerificationFailed),
    ],
    ids=repr,
)
def test_a_root_that_is_not_brought_up_to_date(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[OciError]
) -> None:
    def fail() -> None:
        raise error

    production(monkeypatch, fail)

    with pytest.raises(expected, match="sigstore.dev was not brought up to date") as caught:
        sigstore_extra.public_good_root()
    assert "trusted_root" in caught.value.hint  # type: ignore[attr-defined]


def test_a_root_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(sigstore_extra, "MAX_UPDATE", 0.2)
    production(monkeypatch, lambda: over.wait(60))
    with pytest.raises(ConnectionFailed, match=r"not brought up to date within 0\.2 s"):
        sigstore_extra.public_good_root()
    over.set()


def test_what_the_package_returns_is_checked_like_any_root(monkeypatch: pytest.MonkeyPatch) -> None:
    production(monkeypatch, lambda: _Root('{"mediaType": "another"}'))

    with pytest.raises(InvalidPolicy):
        KeylessVerifier(VerifyPolicy(identities=[BEACON]))


def test_the_vectors_of_rekor_2_are_there() -> None:
    assert vectors.ROOT.joinpath("conformance", "rekor2-dsse-happy-path").is_dir()


# -- how windows, timestamps and failures are read


def test_an_authority_without_a_window_is_always_in_use() -> None:
    assert judge(lambda root: [each.pop("validFor") for each in root["timestampAuthorities"]]) == ""


def test_a_timestamp_may_have_either_alphabet() -> None:
    """Also where the root lists its authority twice."""

    def change(bundle: dict[str, Any]) -> None:
        (stamp,) = stamps(bundle)
        assert set("+/") & set(stamp["signedTimestamp"])
        stamp["signedTimestamp"] = stamp["signedTimestamp"].replace("+", "-").replace("/", "_")

    assert judge(lambda root: root.update(timestampAuthorities=root["timestampAuthorities"] * 2), change) == ""


def caused_by(depth: int, error: Exception) -> Exception:
    for _level in range(depth):
        outer = RuntimeError("outer")
        outer.__cause__ = error
        error = outer
    return error


def test_what_is_a_failure_of_the_network() -> None:
    class FromRequests(Exception):
        __module__ = "requests.exceptions"

    class DownloadError(Exception):
        pass

    for error in (ConnectionResetError(), TimeoutError(), FromRequests(), DownloadError()):
        assert sigstore_extra._is_network_failure(error)
        assert sigstore_extra._is_network_failure(caused_by(9, error))
        assert not sigstore_extra._is_network_failure(caused_by(10, error)), "a chain may be a circle"
    assert not sigstore_extra._is_network_failure(ValueError())
    while_handled = RuntimeError("outer")
    while_handled.__context__ = ConnectionResetError()
    assert sigstore_extra._is_network_failure(while_handled)


def test_an_error_is_described_with_its_cause() -> None:
    assert sigstore_extra._describe(ValueError("a\n b")) == "ValueError: a b"
    assert sigstore_extra._describe(caused_by(1, ValueError("a"))) == "RuntimeError: outer: ValueError: a"

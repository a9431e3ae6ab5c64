# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trusted roots: what is read, and what is refused before anything is verified."""

from __future__ import annotations

import base64
import copy
import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import trusted_root
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.trusted_root import (
    TrustedRoot,
    Window,
    load_trusted_roots,
    parse_time,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from . import vectors

UTC = datetime.timezone.utc
GOOD: dict[str, Any] = json.loads((vectors.ROOT / "trusted_root.json").read_bytes())
PUBLIC_GOOD = vectors.ROOT / "conformance" / "trusted_root_public_good.json"


def only_root(source: str) -> TrustedRoot:
    (root,) = load_trusted_roots(source)
    return root


def changed(change: Callable[[dict[str, Any]], Any]) -> str:
    document = copy.deepcopy(GOOD)
    change(document)
    return json.dumps(document)


def test_a_root_is_read_from_a_path_or_from_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root.json").write_text(json.dumps(GOOD), encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))

    roots = [only_root(each) for each in (json.dumps(GOOD), f"\n {json.dumps(GOOD)}", "~/root.json")]

    assert all(len(root.authorities) == len(root.logs) == len(root.certificate_logs) == 1 for root in roots)


def test_the_public_good_root_is_read() -> None:
    root = only_root(str(PUBLIC_GOOD))

    assert [len(authority.chain) for authority in root.authorities] == [1, 2]
    assert root.authorities[0].window.end == datetime.datetime(2022, 12, 31, 23, 59, 59, 999000, UTC)
    assert (len(root.logs), len(root.certificate_logs), len(root.timestamp_authorities)) == (2, 2, 1)


@pytest.mark.parametrize("name", ["", "_both", "_ca_ended", "_cosign_created", "_rogue"])
def test_the_roots_of_the_vectors_are_read(name: str) -> None:
    only_root(str(vectors.ROOT / f"trusted_root{name}.json"))


def test_unknown_fields_do_not_matter() -> None:
    only_root(changed(lambda root: root.update(futureField={"a": 1})))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/nowhere/trusted_root.json", "cannot be read: No such file"),
        ("/", "cannot be read: Is a directory"),
        ("trusted\0root", "cannot be read"),
        ("", "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "is of the type 'None'"),
        ("{}", "is of the type 'None'"),
        ("{" + '"a":{' * 100_000, "is not JSON"),
        ('{"a": 1, "a": 2}', "a key comes twice"),
        ("{" + " " * trusted_root.MAX_POLICY_FILE, "has more than 1048576 bytes"),
        (changed(lambda root: root.update(mediaType="application/json")), "not 'application/vnd.dev.sigstore.trusted"),
        (changed(lambda root: root.update(certificateAuthorities=None)), "it has no certificate authorities"),
        (changed(lambda root: root.update(tlogs={"a": 1})), "not a list of objects"),
        (changed(lambda root: root.update(tlogs=[1])), "not a list of objects"),
        (changed(lambda root: root.update(timestampAuthorities=[None])), "not a list of objects"),
        (changed(lambda root: root.update(tlogs=root["tlogs"] * 101)), "more than 100 entries"),
        (changed(lambda root: root["certificateAuthorities"][0].pop("certChain")), "is damaged"),
        (changed(lambda root: root["certificateAuthorities"][0]["certChain"].update(certificates=[])), "1 to 10"),
        (
            changed(
                lambda root: root["certificateAuthorities"][0]["certChain"].update(
                    certificates=root["certificateAuthorities"][0]["certChain"]["certificates"] * 6
                )
            ),
            "1 to 10",
        ),
        (
            changed(
                lambda root: root["certificateAuthorities"][0]["certChain"]["certificates"][0].update(rawBytes="AAAA")
            ),
            "is damaged",
        ),
        (changed(lambda root: root["tlogs"][0]["publicKey"].update(rawBytes="AAAA")), "is damaged"),
        (changed(lambda root: root["tlogs"][0]["publicKey"].update(rawBytes="?")), "is not base64"),
        (changed(lambda root: root["tlogs"][0]["publicKey"].pop("validFor")), "from when on"),
        (changed(lambda root: root["tlogs"][0]["publicKey"]["validFor"].update(start="yesterday")), "is not a time"),
        (changed(lambda root: root["tlogs"][0]["publicKey"]["validFor"].update(start=[])), "is not a time"),
        (changed(lambda root: root["tlogs"][0]["publicKey"].update(validFor=[1])), "is damaged"),
        (changed(lambda root: root["tlogs"][0].update(hashAlgorithm="SHA2_512")), "not SHA2_256"),
        (changed(lambda root: root["tlogs"][0]["logId"].update(keyId="AAA=")), "too short"),
        (changed(lambda root: root["ctlogs"][0].pop("logId")), "is damaged"),
        (
            # a key of a kind that does not verify here: X25519
            changed(
                lambda root: root["ctlogs"][0]["publicKey"].update(
                    rawBytes="MCowBQYDK2VuAyEAmAlpAGtsKAsXLCtBpMyBl3TTh0+UCRQt0d9TzZyLhD8="
                )
            ),
            "A log's key is a key of the kind",
        ),
    ],
)
def test_what_is_no_trusted_root_is_refused(source: str, reason: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        only_root(source)
    assert reason in caught.value.message
    assert "trusted_root.json" in caught.value.hint
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-06-01T12:00:30Z", datetime.datetime(2025, 6, 1, 12, 0, 30, 0, UTC)),
        ("2025-06-01T12:00:30.5Z", datetime.datetime(2025, 6, 1, 12, 0, 30, 500000, UTC)),
        ("2025-06-01T12:00:30.123456789Z", datetime.datetime(2025, 6, 1, 12, 0, 30, 123456, UTC)),
        ("2025-06-01T14:00:30+02:00", datetime.datetime(2025, 6, 1, 12, 0, 30, 0, UTC)),
        (None, None),
    ],
)
def test_times_are_read(text: Any, expected: Any) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", ["", "2025-06-01", "2025-06-01T12:00:30", "2025-06-01 12:00:30Z", 1, "\u0662025"])
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(Rejected):
        parse_time(text)


def test_a_time_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidPolicy):
        only_root(changed(lambda root: root["tlogs"][0]["publicKey"]["validFor"].update(start="2025-02-30T00:00:00Z")))


def test_a_root_expires_when_the_last_of_a_kind_has_ended() -> None:
    public_good = only_root(str(PUBLIC_GOOD))
    ended = only_root(str(vectors.ROOT / "trusted_root_ca_ended.json"))
    end = datetime.datetime(2025, 5, 1, tzinfo=UTC)

    assert public_good.expiry(datetime.datetime(2099, 1, 1, tzinfo=UTC)) == ""
    assert ended.expiry(end) == ""
    assert "expired" in ended.expiry(end + datetime.timedelta(seconds=1))


def test_windows_are_shown() -> None:
    start, end = datetime.datetime(2025, 1, 1, tzinfo=UTC), datetime.datetime(2025, 6, 1, tzinfo=UTC)
    shown = [str(Window(*each)) for each in ((start, end), (start, None), (None, end), (None, None))]

    assert shown == ["from 2025-01-01 until 2025-06-01", "from 2025-01-01", "until 2025-06-01", "always"]


# -- windows, bounds, and what is damaged


def test_an_open_end_is_no_bound() -> None:
    moment = datetime.datetime(2025, 1, 1, tzinfo=UTC)
    second = datetime.timedelta(seconds=1)
    assert Window(None, None).holds(moment)
    assert Window(None, moment).holds(moment) and not Window(None, moment).holds(moment + second)
    assert Window(moment, None).holds(moment) and not Window(moment, None).holds(moment - second)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDependency, match="Keyless verification needs"):
        only_root(json.dumps(GOOD))


def test_how_large_a_root_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "root.json"
    path.write_text(json.dumps(GOOD), encoding="utf-8")
    size = path.stat().st_size
    for source in (str(path), json.dumps(GOOD)):
        monkeypatch.setattr(trusted_root, "MAX_POLICY_FILE", size)
        assert only_root(source)
        monkeypatch.setattr(trusted_root, "MAX_POLICY_FILE", size - 1)
        with pytest.raises(InvalidPolicy, match="has more than"):
            only_root(source)


def test_how_many_entries_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def several(count: int) -> str:
        return changed(lambda root: root.update(tlogs=root["tlogs"] * count))

    monkeypatch.setattr(trusted_root, "MAX_INSTANCES", 3)
    assert len(only_root(several(3)).logs) == 3
    with pytest.raises(InvalidPolicy, match="more than 3 entries"):
        only_root(several(4))


def test_how_long_a_chain_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def chain_of(count: int) -> str:
        def change(root: dict[str, Any]) -> None:
            chain = root["certificateAuthorities"][0]["certChain"]
            chain["certificates"] = (chain["certificates"] * count)[:count]

        return changed(change)

    monkeypatch.setattr(trusted_root, "MAX_CHAIN", 3)
    assert len(only_root(chain_of(3)).authorities[0].chain) == 3
    for count in (0, 4):
        with pytest.raises(InvalidPolicy, match="does not have 1 to 3 certificates"):
            only_root(chain_of(count))


@pytest.mark.parametrize("value", [{"0": {}}, "text", 1])
def test_lists_are_lists(value: Any) -> None:
    with pytest.raises(InvalidPolicy, match="is not a list of objects"):
        only_root(changed(lambda root: root.update(tlogs=value)))
    with pytest.raises(InvalidPolicy, match="does not have 1 to"):
        only_root(changed(lambda root: root["certificateAuthorities"][0]["certChain"].update(certificates=value)))


@pytest.mark.parametrize(("size", "is_good"), [(3, False), (4, True), (32, True)])
def test_how_short_the_id_of_a_log_may_be(size: int, is_good: bool) -> None:
    """A checkpoint names a log by four bytes."""
    encoded = base64.b64encode(b"x" * size).decode("ascii")
    source = changed(lambda root: root["tlogs"][0].update(logId={"keyId": encoded}))
    if is_good:
        assert only_root(source).logs[0].log_id == b"x" * size
    else:
        with pytest.raises(InvalidPolicy, match="id is too short"):
            only_root(source)


def test_base64_may_have_either_alphabet() -> None:
    text = json.dumps(GOOD)
    key = GOOD["tlogs"][0]["publicKey"]["rawBytes"]
    certificates = GOOD["certificateAuthorities"][0]["certChain"]["certificates"]
    for encoded in (key, *(each["rawBytes"] for each in certificates)):
        text = text.replace(encoded, encoded.replace("+", "-").replace("/", "_"))
    assert text != json.dumps(GOOD)
    assert only_root(text).authorities[0].chain == only_root(json.dumps(GOOD)).authorities[0].chain


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x06\x05\x2b\x81\x04\x00\x22", b"\x06\x05\x2b\x81\x04\x00\x63"),
        (b"\x06\x03\x55\x1d\x13", b"\x06\x03\x55\x1d\x0f"),
    ],
    ids=["key on an unknown curve", "two extensions of a kind"],
)
def test_a_damaged_certificate_is_found_at_once(old: bytes, new: bytes) -> None:
    damaged: list[bytes] = []

    def change(root: dict[str, Any]) -> None:
        for each in root["certificateAuthorities"][0]["certChain"]["certificates"]:
            der = base64.b64decode(each["rawBytes"])
            if old in der:
                damaged.append(der)
            each["rawBytes"] = base64.b64encode(der.replace(old, new)).decode("ascii")

    changed(change)
    assert damaged
    with pytest.raises(InvalidPolicy):
        only_root(changed(change))


@pytest.mark.parametrize(
    ("fraction", "microseconds"), [("", 0), (".1", 100000), (".123456", 123456), (".1234567", 123456), (".000001", 1)]
)
def test_parts_of_a_second(fraction: str, microseconds: int) -> None:
    assert parse_time(f"2025-06-01T12:00:30{fraction}Z") == datetime.datetime(2025, 6, 1, 12, 0, 30, microseconds, UTC)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Version ranges against Masterminds/semver, and their order against the reference library of SemVer 2."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import semver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidSelection
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.selection import SemVerRange
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.semver_range import parse_version

# a busy machine must not fail a test
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIXTURES = Path(__file__).parent / "fixtures" / "semver"
CASES: dict[str, Any] = json.loads((FIXTURES / "cases.json").read_text("utf-8"))
ORACLE: dict[str, Any] = json.loads((FIXTURES / "masterminds.json").read_text("utf-8"))
VERSIONS: list[str] = ORACLE["versions"]

NUMBERS = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))
IDENTIFIERS = st.one_of(
    NUMBERS.map(str),
    st.from_regex(r"[0-9A-Za-z-]{0,3}[A-Za-z-][0-9A-Za-z-]{0,3}", fullmatch=True),
    st.sampled_from(["alpha", "beta", "rc", "0", "1a", "-1"]),
)
STRICT = st.builds(
    lambda core, pre, build: (
        ".".join(map(str, core)) + (f"-{'.'.join(pre)}" if pre else "") + (f"+{'.'.join(build)}" if build else "")
    ),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.lists(IDENTIFIERS, max_size=3),
    st.lists(IDENTIFIERS, max_size=2),
)


def accepted(bits: str) -> list[str]:
    """The versions that a row of the oracle marks."""
    binary = "".join(format(int(digit, 16), "04b") for digit in bits)
    return [version for version, bit in zip(VERSIONS, binary) if bit == "1"]


def precedence(text: str) -> Any:
    parsed = parse_version(text)
    assert parsed is not None, text
    return parsed[0]


def test_fixture_is_large_enough_to_mean_something() -> None:
    assert len(ORACLE["ranges"]) > 1500
    assert len(ORACLE["not_ranges"]) > 800
    assert ORACLE["library"] == "github.com/Masterminds/semver/v3 v3.5.0"
    marked = sum(len(accepted(bits)) for _text, bits in ORACLE["ranges"])
    assert 0.1 < marked / len(ORACLE["ranges"]) / len(VERSIONS) < 0.9


@pytest.mark.parametrize("row", CASES["check"], ids=lambda row: f"{row['constraint']} {row['version']}")
def test_known_rows(row: dict[str, Any]) -> None:
    assert SemVerRange(row["constraint"]).matches(row["version"]) is row["expect"]


@pytest.mark.parametrize("text", CASES["invalid_constraints"])
def test_known_invalid_ranges(text: str) -> None:
    with pytest.raises(InvalidSelection):
        SemVerRange(text)


@pytest.mark.parametrize("text", CASES["valid_constraints"])
def test_known_valid_ranges(text: str) -> None:
    assert SemVerRange(text).matches("no version") is False


def test_every_range_of_the_library_accepts_the_same_versions() -> None:
    wrong = []
    for text, bits in ORACLE["ranges"]:
        wanted = accepted(bits)
        compiled = SemVerRange(text)
        found = [version for version in VERSIONS if compiled.matches(version)]
        if found != wanted:
            wrong.append((text, sorted(set(found) ^ set(wanted))))
    assert wrong == []


def test_what_the_library_refuses_is_no_range() -> None:
    wrong = []
    for text in ORACLE["not_ranges"]:
        try:
            SemVerRange(text)
        except InvalidSelection:
            continue
        wrong.append(text)
    assert wrong == [""]  # the one addition: no text means any release


def test_empty_range_is_the_wildcard() -> None:
    for version in VERSIONS:
        assert SemVerRange("").matches(version) is SemVerRange("*").matches(version)
    for text in (" ", "1 ||", "|| 1", "||"):
        with pytest.raises(InvalidSelection):
            SemVerRange(text)


@pytest.mark.parametrize("text", ORACLE["not_versions"])
def test_what_the_library_refuses_is_no_version(text: str) -> None:
    assert parse_version(text) is None
    assert SemVerRange("*-0 || !=0.0.1-0").matches(text) is False


def test_order_is_the_library_s() -> None:
    keys = [precedence(version) for version in VERSIONS]
    for key, rank in zip(keys, ORACLE["ranks"]):
        assert len({other for other in keys if other < key}) == rank


@RELAXED
@given(STRICT, STRICT)
def test_order_agrees_with_semver_2(first: str, second: str) -> None:
    one, two = precedence(first), precedence(second)
    compared = semver.Version.parse(first).compare(second)
    assert (one > two) - (one < two) == compared


@RELAXED
@given(STRICT)
def test_a_version_is_in_the_range_that_names_it(version: str) -> None:
    key = precedence(version)
    for text in (f"={version}", f">={version}", f"<={version}", f"~{version}", f"^{version}", f"{version} - {version}"):
        assert SemVerRange(text).matches_parsed(key)
    for text in (f"!={version}", f">{version}", f"<{version}"):
        assert not SemVerRange(text).matches_parsed(key)


@RELAXED
@given(STRICT, STRICT)
def test_prereleases_need_a_range_that_names_one(bound: str, version: str) -> None:
    release = f"{semver.Version.parse(bound).finalize_version()}"
    if semver.Version.parse(version).prerelease:
        assert not SemVerRange(f">={release} || <={release} || !={release}").matches(version)


@RELAXED
@given(st.text(max_size=40))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    try:
        SemVerRange(text)
    except InvalidSelection as exc:
        assert exc.message.endswith(".")


@pytest.mark.parametrize("value", [None, 1, 1.2, b"1.2.3", ["1"]])
def test_a_range_is_text(value: Any) -> None:
    with pytest.raises(InvalidSelection):
        SemVerRange(value)


@pytest.mark.parametrize("text", ["1.2.3 £ 2", "£", "≥1.2", "1.2.3\udc80"])
def test_text_outside_ascii_is_refused(text: str) -> None:
    with pytest.raises(InvalidSelection):
        SemVerRange(text)


def test_message_says_what_is_wrong_and_what_to_write() -> None:
    with pytest.raises(InvalidSelection) as caught:
        SemVerRange(">=1.2 <banana")
    assert "'>=1.2 <banana' is not a version range" in str(caught.value)
    assert "'<banana'" in str(caught.value)
    assert ">=1.2.0 <2.0.0" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "1   " * 127 + "!",
        " " * 511 + "!",
        "1" * 511 + "!",
        "1-" + "-" * 500 + "!",
        "1.1.1-" + "a." * 250 + "!",
        "1 - " * 127 + "!",
        "1,  " * 127 + "!",
        "v" * 512,
        "1 -" + " " * 500 + "!",
    ],
)
def test_hostile_ranges_are_refused_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidSelection):
        SemVerRange(text)
    assert time.process_time() - started < 1

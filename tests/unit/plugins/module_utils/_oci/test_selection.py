# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selection of tags: Flux's OCIRepository and ImagePolicy, ties, hostile names, speed."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidSelection, NoMatch
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.selection import (
    FilterTags,
    Selection,
    TagSelector,
    rank_all,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.tag_ranking import parse_number, parse_tag

# a busy machine must not fail a test
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIXTURES = Path(__file__).parent / "fixtures" / "semver"
CASES: dict[str, Any] = json.loads((FIXTURES / "cases.json").read_text("utf-8"))
ORACLE: dict[str, Any] = json.loads((FIXTURES / "masterminds.json").read_text("utf-8"))
HELM_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
DIGEST = "sha256-" + "0a" * 32

TAGS = st.lists(
    st.one_of(
        st.sampled_from(
            ["latest", "1.2", "1.2.3", "v1.2.3", "1.2.3_a", "1.2.3_b.1", "1.2.3_b.02", "1.2.3-rc.1", "9", "009"]
        ),
        st.from_regex(r"v?[0-2]\.[0-2]\.[0-2](-(rc|0|1)(\.[0-2])?)?(_[a-b0-1](\.[0-1])?)?", fullmatch=True),
        st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,5}", fullmatch=True),
    ),
    max_size=12,
)
SELECTIONS = st.sampled_from(
    [
        Selection(),
        Selection(semver="*"),
        Selection(semver=">=0.0.0-0"),
        Selection(semver="1.x || ^2.0.1-0", semver_filter="[12]"),
        Selection(filter_tags=FilterTags(pattern="([0-9]+)", extract="$1", policy="numerical")),
        Selection(filter_tags=FilterTags(pattern="([0-9]+)", extract="$1", policy="numerical", order="desc")),
        Selection(filter_tags=FilterTags(policy="alphabetical")),
        Selection(filter_tags=FilterTags(pattern="^(.)", extract="$1", policy="alphabetical", order="desc")),
        Selection(filter_tags=FilterTags(policy="semver", range="*-0")),
    ]
)


def rank(tags: list[str], *, chart_tags: bool = False, limit: int | None = None, **options: Any) -> list[str]:
    filter_tags = options.pop("filter_tags", None)
    selection = Selection(filter_tags=FilterTags.from_options(filter_tags) if filter_tags else None, **options)
    return TagSelector(selection, chart_tags=chart_tags).rank(tags, limit)


# -- Flux's OCIRepository


@pytest.mark.parametrize("row", CASES["select_tag"], ids=lambda row: f"{row['semver']} {row['semverFilter']}")
def test_known_selections(row: dict[str, Any]) -> None:
    charts = row["layerMediaType"] == HELM_LAYER
    selection = Selection(semver=row["semver"], semver_filter=row["semverFilter"])
    if "error" in row:
        wanted = NoMatch if row["error"].startswith("no match") else InvalidSelection
        with pytest.raises(wanted):
            TagSelector(selection, chart_tags=charts).select(row["tags"])
        return
    found = TagSelector(selection, chart_tags=charts).select(row["tags"])
    if found != row["selected"]:
        # build metadata and spelling do not count in the precedence: there Flux takes the one that is listed first
        one, two = parse_tag(found, charts), parse_tag(row["selected"], charts)
        assert one is not None and two is not None and one[0] == two[0]


def test_ties_go_to_the_greatest_build_and_then_to_the_greatest_name() -> None:
    tags = ["1.0.0", "v1.0.0", "1.0.0_1", "1.0.0_01", "1.0.0_2", "1.0.0_10", "1.0.0_a", "1.0.0_a.1", "v1.0.0_a"]
    wanted = ["1.0.0_a.1", "v1.0.0_a", "1.0.0_a", "1.0.0_10", "1.0.0_2", "1.0.0_1", "1.0.0_01", "v1.0.0", "1.0.0"]
    assert rank(tags, semver="*", chart_tags=True) == wanted


@pytest.mark.parametrize(
    "tag", ["1", "1.2", "v1.2", "V1.2.3", "1.2.3.4", "1.2.3_a", " 1.2.3", "1.2.3\n", "1.2.3-01", "latest"]
)
def test_tags_that_are_no_versions_of_three_parts(tag: str) -> None:
    assert parse_tag(tag) is None
    assert rank([tag], semver="*-0") == []


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2.3", "01.02.03", "1.2-beta.5", "1-alpha.1.2", "v2025.02.03-rc.1"])
def test_tags_that_are_versions(tag: str) -> None:
    assert rank([tag], semver="*-0") == [tag]


def test_underscore_is_plus_for_charts_only() -> None:
    assert rank(["1.2.3_b"], semver="1.2.3", chart_tags=True) == ["1.2.3_b"]
    assert rank(["1.2.3_b"], semver="1.2.3") == []
    assert rank(["1.2.3_b_c"], semver="1.2.3", chart_tags=True) == []


def test_names_that_are_no_tags_are_never_selected() -> None:
    hostile = [
        "1.2.3+a",
        "1.2.3-" + "a" * 130,
        "1.2.3\n",
        "../1.2.3",
        "１.2.3",
        "",
        "-1.2.3",
        "a b",
        "a/b",
        "x\x1b[31m",
    ]
    choices: list[dict[str, Any]] = [{"semver": "*-0"}, {"filter_tags": {"policy": {"alphabetical": {}}}}, {}]
    for options in choices:
        assert rank([*hostile, "1.0.0"], chart_tags=True, **options) == ["1.0.0"]
    assert rank_all(hostile) == []


def test_semver_filter_is_unanchored_and_sees_the_raw_tag() -> None:
    tags = ["v1.0.0", "1.9.0", "1.2.0_build", "1.3.0-rc.1"]
    assert rank(tags, semver="*", semver_filter="^v") == ["v1.0.0"]
    assert rank(tags, semver="*", semver_filter="9") == ["1.9.0"]
    assert rank(tags, semver="*", semver_filter="_build", chart_tags=True) == ["1.2.0_build"]
    assert rank(tags, semver="*", semver_filter=r"\+build", chart_tags=True) == []


# -- Flux's ImagePolicy


def test_numerical() -> None:
    tags = ["main-a1-9", "main-b2-10", "main-c3-2", "dev-d4-99", "main-e5-x"]
    options: dict[str, Any] = {"pattern": "^main-[a-f0-9]+-(?P<ts>[0-9x]+)$", "extract": "$ts"}
    up = {**options, "policy": {"numerical": {"order": "asc"}}}
    down = {**options, "policy": {"numerical": {"order": "desc"}}}
    assert rank(tags, filter_tags=up) == ["main-b2-10", "main-a1-9", "main-c3-2"]
    assert rank(tags, filter_tags=down) == ["main-c3-2", "main-a1-9", "main-b2-10"]


def test_numbers_are_compared_exactly() -> None:
    tags = [
        "9007199254740992",
        "9007199254740993",
        "9007199254740991",
        "1.5",
        "1e3",
        "007",
        "-1",
        "12345678901234567890",
    ]
    numerical: dict[str, Any] = {"policy": {"numerical": {}}}
    assert rank(tags, filter_tags=numerical)[:4] == [
        "12345678901234567890",
        "9007199254740993",
        "9007199254740992",
        "9007199254740991",
    ]
    assert rank(tags, filter_tags=numerical)[4:] == ["1e3", "007", "1.5"]  # "-1" is no tag

    exact = {"pattern": "-(.*)", "extract": "$1", "policy": {"numerical": {}}}
    assert rank(["z-9007199254740992", "a-9007199254740993"], filter_tags=exact)[0] == "a-9007199254740993"


@pytest.mark.parametrize("row", ORACLE["numbers"], ids=lambda row: row[0][:20])
def test_numbers_are_those_of_go(row: list[str]) -> None:
    text, formatted = row
    number = parse_number(text)
    assert (number is None) == (not formatted)
    assert number is None or float(number) == float(formatted)


@pytest.mark.parametrize("text", ["0x1p4", "inf", "Infinity", "nan", "9" * 100_000, "1" + "_1" * 60_000])
def test_what_is_no_number_here(text: str) -> None:
    assert parse_number(text) is None


def test_alphabetical() -> None:
    tags = ["alpha", "beta", "Zeta", "10", "9", DIGEST, DIGEST + ".sig"]
    assert rank(tags, filter_tags={"policy": {"alphabetical": {}}}) == ["beta", "alpha", "Zeta", "9", "10"]
    assert rank(tags, filter_tags={"policy": {"alphabetical": {"order": "desc"}}}) == [
        "10",
        "9",
        "Zeta",
        "alpha",
        "beta",
    ]


def test_equal_values_go_to_the_greatest_tag_in_either_order() -> None:
    tags = ["a-1", "c-1", "b-1", "a-2"]
    for name in ("numerical", "alphabetical"):
        options: dict[str, Any] = {"pattern": "([0-9])$", "extract": "$1", "policy": {name: {"order": "asc"}}}
        assert rank(tags, filter_tags=options) == ["a-2", "c-1", "b-1", "a-1"]
        options["policy"] = {name: {"order": "desc"}}
        assert rank(tags, filter_tags=options) == ["c-1", "b-1", "a-1", "a-2"]


def test_semver_policy_ranks_the_extracted_value() -> None:
    tags = ["app-1.9.0", "app-1.10.0", "app-2.0.0-rc.1", "lib-3.0.0", "app-1.10", "app-x"]
    options: dict[str, Any] = {"pattern": "^app-(?P<v>.*)", "extract": "${v}"}
    assert rank(tags, filter_tags={**options, "policy": {"semver": {"range": "*"}}}) == ["app-1.10.0", "app-1.9.0"]
    assert rank(tags, semver=">=2.0.0-0", filter_tags=options) == ["app-2.0.0-rc.1"]
    assert rank(tags, semver="1.9.x", semver_filter="app", filter_tags=options) == ["app-1.9.0"]


def test_whole_tag_is_the_value_without_a_template() -> None:
    assert rank(["v1.0.0", "1.1.0"], filter_tags={"pattern": "^v", "policy": {"semver": {"range": "*"}}}) == ["v1.0.0"]


def test_empty_values_are_skipped() -> None:
    for name in ("numerical", "alphabetical"):
        assert rank(["a", "b"], filter_tags={"pattern": ".", "extract": "$none", "policy": {name: {}}}) == []


# -- options


def test_options_are_read_as_argument_specs_give_them() -> None:
    given = {
        "pattern": None,
        "extract": None,
        "policy": {"semver": None, "numerical": {"order": None}, "alphabetical": None},
    }
    assert FilterTags.from_options(given) == FilterTags(policy="numerical", order="asc")
    assert FilterTags.from_options({"pattern": "^v", "policy": {"semver": {"range": "1.x"}}}) == FilterTags(
        pattern="^v", policy="semver", range="1.x"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"policy": {"semver": {"range": "*"}, "numerical": {}}},
        {"policy": {}},
        {"policy": {"semver": {}}},
        {"policy": {"semver": {"range": 1.2}}},
        {"policy": {"semver": {"range": "*", "order": "asc"}}},
        {"policy": {"numerical": {"order": "up"}}},
        {"policy": {"numerical": {"order": "ASC"}}},
        {"policy": {"alphabetical": {"order": ["asc"]}}},
        {"policy": {"natural": {}}},
        {"policy": "numerical"},
        {"policy": {"numerical": "asc"}},
        {"patern": "x", "policy": {"numerical": {}}},
        {"pattern": 1, "policy": {"numerical": {}}},
        "numerical",
    ],
    ids=str,
)
def test_options_that_are_refused(options: Any) -> None:
    with pytest.raises(InvalidSelection):
        FilterTags.from_options(options)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(semver="banana"),
        Selection(semver="*", semver_filter="("),
        Selection(semver="*", semver_filter="a" * 1001),
        Selection(semver="*", filter_tags=FilterTags(policy="numerical")),
        Selection(semver="*", filter_tags=FilterTags(pattern="[")),
        Selection(filter_tags=FilterTags(pattern="x")),
        Selection(filter_tags=FilterTags(policy="semver", range="banana")),
        Selection(filter_tags=FilterTags(policy="natural")),
        Selection(filter_tags=FilterTags(policy="numerical", order="up")),
        Selection(filter_tags=FilterTags(policy="numerical", extract="$1" * 501)),
    ],
    ids=str,
)
def test_unusable_selections_fail_before_there_are_tags(selection: Selection) -> None:
    with pytest.raises(InvalidSelection) as caught:
        TagSelector(selection)
    assert caught.value.reason == "ReadOperationFailed"


def test_nothing_can_be_selected_without_a_policy() -> None:
    selector = TagSelector(Selection(semver_filter="^v"))
    assert not selector.selection.has_policy
    assert selector.rank(["v1", "v2.0.0", "w"]) == ["v2.0.0", "v1"]
    with pytest.raises(InvalidSelection):
        selector.select(["v1"])


# -- listing


def test_listing_without_a_policy() -> None:
    tags = [
        "latest",
        "1.0.0",
        "1.0.0-rc.1",
        "2.0.0-rc.1",
        "v1.10.0",
        "1.9.0",
        "edge",
        "1.2",
        DIGEST,
        "no+tag",
        "latest",
    ]
    tags += [DIGEST + suffix for suffix in (".sig", ".att", ".sbom")]
    wanted = ["2.0.0-rc.1", "v1.10.0", "1.9.0", "1.0.0", "1.0.0-rc.1", "latest", "edge", "1.2"]
    assert rank_all(tags) == rank(tags) == wanted
    for limit in range(len(wanted) + 2):
        assert rank_all(tags, limit=limit) == wanted[:limit]
    assert rank_all(["a", "1.0.0_a", "1.0.0"], chart_tags=True) == ["1.0.0_a", "1.0.0", "a"]


def test_limit_keeps_the_best() -> None:
    tags = [f"1.{number}.0" for number in range(200)]
    random.Random(1).shuffle(tags)
    for limit in (0, 1, 3, 100, 1000):
        assert rank(tags, semver="*", limit=limit) == rank(tags, semver="*")[:limit]
        assert (
            rank(tags, limit=limit, filter_tags={"policy": {"alphabetical": {}}}) == sorted(tags, reverse=True)[:limit]
        )


@RELAXED
@given(TAGS, SELECTIONS, st.booleans(), st.randoms(use_true_random=False))
def test_order_of_the_registry_does_not_count(
    tags: list[str], selection: Selection, charts: bool, shuffler: random.Random
) -> None:
    selector = TagSelector(selection, chart_tags=charts)
    ranked = selector.rank(tags)
    assert len(ranked) == len(set(ranked)) and set(ranked) <= set(tags)
    shuffled = tags + tags[:3]
    shuffler.shuffle(shuffled)
    assert selector.rank(shuffled) == ranked
    assert selector.rank(iter(shuffled), 2) == ranked[:2]
    if ranked and selection.has_policy:
        assert selector.select(shuffled) == ranked[0]


# -- speed: far above what is measured (0.3 s), far below what a slow algorithm needs


def hundred_thousand() -> list[str]:
    source = random.Random(7)
    tags = []
    for number in range(100_000):
        core = f"{source.randrange(50)}.{source.randrange(60)}.{source.randrange(100)}"
        tags.append(
            (f"v{core}", f"{core}-rc.{number % 20}", f"{core}-{number}", f"main-{number:08x}-{number}")[number % 4]
        )
    return tags


@pytest.mark.parametrize(
    "selection",
    [
        Selection(semver="*"),
        Selection(semver=">=1.0.0-0 <40 || ^41.2"),
        Selection(semver="*", semver_filter="^v?[0-9.]+$"),
        Selection(filter_tags=FilterTags("^main-[a-f0-9]+-(?P<ts>[0-9]+)$", "$ts", "numerical")),
        Selection(),
    ],
    ids=str,
)
def test_a_hundred_thousand_tags_are_ranked_in_moments(selection: Selection) -> None:
    tags = hundred_thousand()
    selector = TagSelector(selection)
    started = time.process_time()
    ranked = selector.rank(tags)
    assert time.process_time() - started < 30
    assert len(ranked) > 10_000

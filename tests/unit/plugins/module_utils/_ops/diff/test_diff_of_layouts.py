# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of artifacts in image layouts: bounds, and what is not text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.diff import plain_text
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LayerError, OciError, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.diff import diff as verb
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.diff import texts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.diff.options import (
    DiffOptions,
    Side,
    is_path,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.small_artifacts import (
    digest_of,
    packed,
    publish,
    publish_layers,
)

LIMITS = Limits(1 << 20, 1000)


def side(layout: Path, tag: str, limits: Limits = LIMITS) -> Side:
    return Side(ReferenceOptions(ref=f"oci-layout:{layout}:{tag}"), LayerSelector(), limits)


def compared(layout: Path, before: dict[str, str], after: dict[str, str], limits: Limits = LIMITS) -> dict[str, Any]:
    publish(layout, "1", before)
    publish(layout, "2", after)
    options = DiffOptions(side(layout, "1", limits), side(layout, "2", limits), helm="/none")
    return verb.diff(options, want_diff=True)


def test_what_is_too_much_to_show_is_said(tmp_path: Path) -> None:
    lines = [f"{number}\n" for number in range(4000)]
    before = {"lines": "".join(lines), "long": "a" * 70_000, "escape": "a\x1b[31m", "gone/x": "x"}
    after = {"lines": "".join(reversed(lines)), "long": "b" * 70_000, "escape": "b\x1b[31m", "new\x1b/x": "x"}
    found = compared(tmp_path, before, after)
    notes = {each["path"]: each.get("note") for each in found["files"]}
    assert notes["lines"] == "too many lines differ"
    assert notes["long"] == "more than 65536 bytes" and notes["escape"] == "binary"
    shown = "".join(text for each in found["diff"] for text in each.values())
    assert "\x1b" not in shown and "a" * 100 not in shown


@pytest.mark.parametrize("raw", [b"a\x1b[31m", "a\x9b31m".encode(), b"a\0", b"a\xff"])
def test_what_a_terminal_would_interpret_is_no_text(raw: bytes) -> None:
    assert plain_text(raw) is None
    assert plain_text("a\tü\n".encode()) == "a\tü\n"


def test_all_texts_together_are_bounded(tmp_path: Path) -> None:
    names = [f"{number:03}" for number in range(40)]
    limits = Limits(16 << 20, 1000)
    found = compared(
        tmp_path / "lines", dict.fromkeys(names, "a\n" * 20_000), dict.fromkeys(names, "b\n" * 20_000), limits
    )
    notes = [each.get("note") for each in found["files"]]
    # what is looked at counts, whether it is shown or not
    assert notes[0] == "too many lines differ" and notes[-1].startswith("there is more to show")
    words = {name: f"{name} {'word ' * 10_000}" for name in names}
    found = compared(tmp_path / "words", words, {name: f"{text}." for name, text in words.items()}, limits)
    assert found["files"][0]["text"] and found["files"][-1]["note"].startswith("there is more to show")
    assert sum(len(each["text"]) for each in found["files"]) <= 2 * texts.MAX_TOTAL


def test_the_limits_count_for_each_side(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="'to': .*max_files"):
        compared(tmp_path, {"a": "a"}, {name: name for name in "abcdef"}, Limits(1 << 20, 3))


def test_a_directory_that_somebody_else_could_replace_is_refused(tmp_path: Path) -> None:
    publish(tmp_path / "layout", "1", {"a": "a"})
    (tmp_path / "open/dest").mkdir(parents=True)
    (tmp_path / "open").chmod(0o777)
    there = Side(ReferenceOptions(), LayerSelector(), LIMITS, path=str(tmp_path / "open/dest"))
    with pytest.raises(StorageError, match="'from': "):
        verb.diff(DiffOptions(there, side(tmp_path / "layout", "1")))


def test_layers_that_need_those_below_them_are_compared_with_these(tmp_path: Path) -> None:
    """A hard link into a layer that both sides have: that layer is fetched as well, and nothing is reported twice."""
    image = "application/vnd.oci.image.config.v1+json"
    base, first = packed({"a": "a\n", "b": "b\n"}), packed({"c": "1\n"})
    for name, top in (("plain", packed({"c": "2\n"})), ("linked", packed({"c": "2\n"}, {"d": "a"}))):
        layout = tmp_path / name
        publish_layers(layout, "1", [base, first], config_type=image)
        publish_layers(layout, "2", [base, top], config_type=image)
        found = verb.diff(DiffOptions(side(layout, "1"), side(layout, "2")), want_diff=True)
        added = ["d"] if name == "linked" else []
        assert found["changes"] == {"added": added, "removed": [], "changed": ["c"], "modes": []}
        # the shared layer was left out where it could be, which is said
        assert bool(found["warnings"]) == (name == "plain")
    broken = packed({"c": "2\n"}, {"d": "nowhere"})
    publish_layers(tmp_path / "linked", "3", [base, broken], config_type=image)
    with pytest.raises(LayerError, match="'to': .*nowhere"):
        verb.diff(DiffOptions(side(tmp_path / "linked", "1"), side(tmp_path / "linked", "3")))


def test_a_policy_says_what_may_be_compared(tmp_path: Path) -> None:
    """What is denied, and signatures; age and window are about changes, and there are none."""
    layout = tmp_path / "layout"
    publish(layout, "1", {"a": "a"})
    publish(layout, "2", {"a": "b"})
    sides = side(layout, "1"), side(layout, "2")

    def under(**rule: Any) -> DiffOptions:
        return DiffOptions(*sides, policy=rules_of([{"match": f"oci-layout:{layout}", **rule}]))

    assert verb.diff(under(window="Mon 01:00-01:01", min_age="7d", never_downgrade=True))["differs"]
    layer = digest_of(packed({"a": "b"}))
    keys = Path(__file__).resolve().parents[5] / "vectors/keys"
    for rule, reason in (
        ({"deny_tags": ["2"]}, "TagDenied"),
        ({"deny_digests": [layer]}, "DigestDenied"),
        ({"verify": {"public_keys": [str(keys / "ed25519.pub")]}}, "VerificationError"),
    ):
        with pytest.raises(OciError, match="'(from|to)': ") as refused:
            verb.diff(under(**rule))
        assert refused.value.reason == reason


@pytest.mark.parametrize("text", ["/srv/a", "./a", "../a", "~/a", "$HOME/a", ".", ".."])
def test_paths_are_told_from_references(text: str) -> None:
    assert is_path(text)
    for reference in ("registry.example.com/a:1", "oci://r.example/a", "oci-layout:/srv/a:1", "[::1]:5000/a"):
        assert not is_path(reference)

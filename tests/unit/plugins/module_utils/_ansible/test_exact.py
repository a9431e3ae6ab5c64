# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers and truth values where text says which version is meant, and texts where mappings are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.exact import EXACT_OPTIONS, refuse_numbers
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.items import (
    ARTIFACTS_SPEC,
    IDENTITY_SPEC,
    with_entries,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.run import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import (
    REFERENCE_SPEC,
    SELECTION_SPEC,
    VERIFY_SPEC,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption

SPEC: dict[str, Any] = {
    **IDENTITY_SPEC,
    "tags": {"type": "list", "elements": "str"},
    "pins": {"type": "dict"},
    "annotations": {"type": "dict"},
    "timeout": {"type": "str"},
    **with_entries({**IDENTITY_SPEC, **ARTIFACTS_SPEC}),
}


@pytest.mark.parametrize(
    ("given", "where", "quoted"),
    [
        ({"tag": 1.1}, "'tag' is the number 1.1", 'tag: "1.1"'),
        ({"tag": 8}, "'tag' is the number 8", 'tag: "8"'),
        ({"tag": 0}, "'tag' is the number 0", 'tag: "0"'),
        ({"tag": True}, "'tag' is the truth value true", 'tag: "true"'),
        ({"tag": float("inf")}, "'tag' is the number inf", 'tag: "inf"'),
        ({"tags": [1.1]}, "'tags' is the number 1.1", 'tags: ["1.1"]'),
        ({"tags": ["a", 7]}, "'tags' is the number 7", 'tags: ["7"]'),
        ({"tags": 1.1}, "'tags' is the number 1.1", 'tags: "1.1"'),
        ({"pins": {"a": 1.5}}, "'pins' is the number 1.5", 'pins: "1.5"'),
        ({"filter_tags": {"pattern": 1}}, "'filter_tags.pattern'", 'pattern: "1"'),
        ({"filter_tags": {"policy": {"semver": {"range": 1.2}}}}, "'filter_tags.policy.semver.range'", 'range: "1.2"'),
        ({"filter_tags": '{"policy": {"semver": {"range": 1.2}}}'}, "'filter_tags.policy.semver.range'", '"1.2"'),
        ({"artifacts": [{"tag": "a"}, {"tag": 1.1}]}, "'item 2 of artifacts.tag'", 'tag: "1.1"'),
        ({"artifacts": ['{"tag": 1.1}']}, "'item 1 of artifacts.tag'", 'tag: "1.1"'),
    ],
)
def test_they_are_refused(given: dict[str, Any], where: str, quoted: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        refuse_numbers(SPEC, given)
    assert caught.value.message.startswith(where)
    assert quoted in caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"tag": "1.10", "tags": ["1.10", "7"], "digest": None, "filter_tags": None, "artifacts": None},
        {"timeout": 60, "annotations": {"tag": 1.1}, "parallel": 4},
        {"filter_tags": "no mapping at all {", "artifacts": "text"},
        {"artifacts": [{"timeout": 60}, "text", 5, None]},
        {"tag_of_another_kind": 1.1},
    ],
)
def test_everything_else_passes(given: dict[str, Any]) -> None:
    refuse_numbers(SPEC, given)


def test_all_options_of_references_and_selections_are_exact() -> None:
    def texts(spec: dict[str, Any]) -> set[str]:
        found = set()
        for name, option in spec.items():
            found |= texts(option["options"]) if "options" in option else {name} if "choices" not in option else set()
        return found

    assert texts({**REFERENCE_SPEC, **SELECTION_SPEC, **IDENTITY_SPEC}) <= EXACT_OPTIONS


@pytest.mark.parametrize(
    ("given", "option", "wanted"),
    [
        ({"verify": "cosign"}, "verify", "a mapping"),
        ({"verify": {"identities": ["me@example.com"]}}, "verify.identities", "a mapping"),
        ({"filter_tags": {"policy": "semver"}}, "filter_tags.policy", "a mapping"),
        ({"filter_tags": '{"policy": "semver"}'}, "filter_tags.policy", "a mapping"),
        ({"artifacts": "app.yml"}, "artifacts", "a list of mappings"),
        ({"artifacts": "[]"}, "artifacts", "a list of mappings"),
        ({"artifacts": [{"ref": "a.test/b:1"}, "a.test/b:2"]}, "artifacts", "a mapping"),
    ],
)
def test_an_option_that_is_no_mapping_is_named(
    given: dict[str, Any],
    option: str,
    wanted: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda *_words, **_more: None)
    with pytest.raises(SystemExit):
        run_module(with_entries({**IDENTITY_SPEC, **VERIFY_SPEC, **ARTIFACTS_SPEC}), lambda _module: {})
    result = json.loads(capsys.readouterr().out)
    assert result["reason"] == "InvalidOption"
    each = "Each of them" if wanted == "a list of mappings" else "It"
    assert f"'{option}' is a text, and {wanted} is wanted. {each} has the options " in result["msg"]
    assert ("-a '{" in result["msg"]) is (wanted == "a list of mappings")

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy as it is written in options and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidPolicy,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import policy as policy_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import (
    AttestationRule,
    Identity,
    VerifyPolicy,
    parse_policy,
)

DOCUMENT = {"version": "1.0", "trustPolicies": []}


def test_what_is_not_given_demands_nothing_more() -> None:
    assert parse_policy({"public_keys": ["k"]}) == VerifyPolicy(public_keys=("k",))
    unset: dict[str, Any] = dict.fromkeys(
        "provider public_keys identities any_identity trusted_root min_signers predicate_types curve_hash attestations "
        "trust_policy trust_store".split()
    )
    assert parse_policy(unset) == VerifyPolicy()


def test_every_option_counts() -> None:
    policy = parse_policy(
        {
            "provider": "cosign",
            "public_keys": ["one", "two"],
            "identities": [{"issuer": "^i$", "subject": "^s$"}, {}],
            "any_identity": True,
            "trusted_root": "root.json",
            "ca_roots": ["ca.pem"],
            "min_signers": 2,
            "predicate_types": ["p"],
            "curve_hash": True,
            "attestations": [{"type": "spdx", "min_signers": None}, {"type": "vuln", "min_signers": 3}],
        }
    )
    assert policy == VerifyPolicy(
        "cosign",
        ("one", "two"),
        (Identity("^i$", "^s$"), Identity("", "")),
        True,
        "root.json",
        2,
        predicate_types=("p",),
        curve_hash=True,
        attestations=(AttestationRule("spdx", 1), AttestationRule("vuln", 3)),
        ca_roots=("ca.pem",),
    )


def test_a_number_of_signers_that_is_zero_is_not_one() -> None:
    assert parse_policy({"min_signers": 0}).min_signers == 0
    for entry in ({"type": "spdx", "min_signers": 0}, {"type": "spdx", "min_signers": -1}, {"type": ""}, {}):
        with pytest.raises(InvalidPolicy, match="'attestations' needs a 'type', and 1 or more"):
            parse_policy({"attestations": [entry]})
    assert parse_policy({"attestations": [{"type": "spdx", "min_signers": 1}]}).attestations[0].min_signers == 1


@pytest.mark.parametrize(
    ("provider", "name", "value"),
    [
        ("cosign", "trust_policy", DOCUMENT),
        ("cosign", "trust_store", ["c"]),
        (None, "trust_store", ["c"]),
        ("notation", "public_keys", ["k"]),
        ("notation", "identities", [{}]),
        ("notation", "any_identity", True),
        ("notation", "trusted_root", "r"),
        ("notation", "predicate_types", ["p"]),
        ("notation", "curve_hash", True),
        ("notation", "ca_roots", ["ca.pem"]),
        ("notation", "attestations", [{"type": "spdx"}]),
    ],
)
def test_options_of_the_other_provider_are_refused(provider: str | None, name: str, value: Any) -> None:
    with pytest.raises(InvalidPolicy, match=f"'{name}' has no meaning for the provider {provider or 'cosign'}"):
        parse_policy({"provider": provider, "trust_policy": DOCUMENT if provider == "notation" else None, name: value})


def notation(**options: Any) -> VerifyPolicy:
    return parse_policy({"provider": "notation", **options})


def test_a_trust_policy_as_mapping_text_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(DOCUMENT)
    (tmp_path / "trustpolicy.json").write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in (DOCUMENT, text, f"\n {text}", str(tmp_path / "trustpolicy.json"), "~/trustpolicy.json"):
        assert notation(trust_policy=value).trust_policy == DOCUMENT
    with pytest.raises(InvalidPolicy, match=r"none\.json' cannot be read: No such file or directory\.$"):
        notation(trust_policy=str(tmp_path / "none.json"))
    with pytest.raises(InvalidPolicy, match="cannot be read: embedded null"):
        notation(trust_policy="policy\0.json")
    for nothing in (None, ""):
        with pytest.raises(InvalidPolicy, match="needs a 'trust_policy'"):
            notation(trust_policy=nothing)


@pytest.mark.parametrize("content", ["[]", "[" * 100000, "x", '"text"', "null"])
def test_a_trust_policy_that_is_no_object(tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_text(content)
    with pytest.raises(InvalidPolicy, match="is not a JSON object"):
        notation(trust_policy=str(tmp_path / "file"))
    with pytest.raises(InvalidPolicy, match="is not a JSON object"):
        notation(trust_policy="{" + content)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {}),
        ([], {"*": ()}),
        ("a.crt", {"*": ("a.crt",)}),
        (["a.crt", "b.crt"], {"*": ("a.crt", "b.crt")}),
        (
            {"ca:x": "a.crt", "ca:y": ["b.crt", "c.crt"], "ca:z": None},
            {"ca:x": ("a.crt",), "ca:y": ("b.crt", "c.crt"), "ca:z": ()},
        ),
    ],
)
def test_a_trust_store(value: Any, expected: Any) -> None:
    assert notation(trust_policy=DOCUMENT, trust_store=value).trust_store == expected


@pytest.mark.parametrize("value", [[1], ["a.crt", 1], {"ca:x": [1]}, {"ca:x": ["a.crt", None]}, 1])
def test_what_is_no_trust_store(value: Any) -> None:
    with pytest.raises(InvalidPolicy, match="'trust_store' is neither a list"):
        notation(trust_policy=DOCUMENT, trust_store=value)


def test_reading_a_policy_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "MAX_POLICY_FILE", 10)
    (tmp_path / "file").write_text(json.dumps(DOCUMENT))
    with pytest.raises(InvalidPolicy):
        notation(trust_policy=str(tmp_path / "file"))


def test_roots_of_ones_own_need_an_identity() -> None:
    with pytest.raises(InvalidPolicy, match="whose are accepted"):
        parse_policy({"public_keys": ["a"], "ca_roots": ["ca.pem"]})
    assert parse_policy({"any_identity": True, "ca_roots": ["ca.pem"]}).ca_roots == ("ca.pem",)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy says about the content of attestations and signatures: conditions, annotations, predicates, sizes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, VerificationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import canonical_json
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats, predicate
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import DSSE_ENVELOPE, CosignVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.formats import Statement
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import Condition, parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.predicate_path import EACH, parse_path
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected, as_result

from . import vectors
from .test_budget import MIB, Place, bundle, check, envelope, refusal
from .test_cosign_policy import check as check_layout

SLSA = "https://slsa.dev/provenance/v0.2"
KEY_A = str(vectors.ROOT / "keys/key-a.pub")


@pytest.fixture
def place() -> Any:
    return Place()


@pytest.fixture(scope="module")
def key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


def statement_with(text: str | None) -> Statement:
    """A verified statement with this JSON as its predicate."""
    raw = (text or "").encode("utf-8")
    return Statement("x", {}, b"x" + raw, None if text is None else (1, 1 + len(raw)))


def problem(text: str | None, path: str, value: Any, is_pattern: bool = False) -> str:
    """Why a predicate does not meet a condition; empty when it does."""
    rule = parse_policy({"attestations": [{"type": "x", "match": {path: {"pattern": value} if is_pattern else value}}]})
    conditions = predicate.Conditions(rule.attestations[0])
    try:
        conditions.check(statement_with(text))
    except Rejected as exc:
        assert exc.code in ("predicate", "malformed")
        return exc.message
    return ""


# Paths


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("builder", ["builder"]),
        ("builder.id", ["builder", "id"]),
        ("a[0].b", ["a", 0, "b"]),
        ("a[*].b[12]", ["a", EACH, "b", 12]),
        ("[0]", [0]),
        ('["a.b"]', ["a.b"]),
        ("a['b c'].d", ["a", "b c", "d"]),
        ('a["\\u00e9\\"]"]', ["a", 'é"]']),
        ("äöü.x-y_z/1:2", ["äöü", "x-y_z/1:2"]),
        ("0.1", ["0", "1"]),
    ],
)
def test_paths(path: str, steps: list[Any]) -> None:
    assert parse_path(path) == steps


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        ".a",
        "a.",
        "a..b",
        "a b",
        "a[",
        "a]",
        "a[]",
        "a[-1]",
        "a[x]",
        "a[1",
        "a[0]b",
        '["a]',
        '["\\x"]',
        "a.[0]",
        "a*",
        "$.a[",
        "x" * 501,
        "a[0:2]",
        "a[12345678901]",
    ],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(InvalidPolicy, match="is not a path into a predicate"):
        parse_policy({"attestations": [{"type": "x", "match": {path: 1}}]})


def test_how_long_a_path_may_be() -> None:
    assert parse_path("x" * 500) == ["x" * 500]


# Conditions

PREDICATE = json.dumps(
    {
        "builder": {"id": "https://example.com/builder@refs/tags/v1.2.3"},
        "materials": [{"uri": "git+https://a", "digest": {"sha1": "11"}}, {"uri": "git+https://b"}, "text", 7],
        "count": 3,
        "ratio": 0.5,
        "ok": True,
        "no": None,
        "a.b": "dotted",
        "empty": [],
        "é": "ü",
        "large": "x" * 4095,
        "larger": "x" * 4095 + "xx",
        "lines": "a\nb",
    },
    ensure_ascii=False,
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("builder.id", "https://example.com/builder@refs/tags/v1.2.3"),
        ("materials[0].uri", "git+https://a"),
        ("materials[1].uri", "git+https://b"),
        ("materials[*].uri", "git+https://b"),
        ("materials[*].digest.sha1", "11"),
        ("materials[*]", 7),
        ("count", 3),
        ("count", 3.0),
        ("ratio", 0.5),
        ("ok", True),
        ("no", None),
        ('["a.b"]', "dotted"),
        ("é", "ü"),
        ("lines", "a\nb"),
    ],
)
def test_values_that_are_there(path: str, value: Any) -> None:
    assert problem(PREDICATE, path, value) == ""


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "builder.id",
            "https://example.com",
            'has "https://example.com/builder@refs/tags/v1.2.3" at \'builder.id\', wanted "https',
        ),
        ("materials[*].uri", "git", 'has "git+https://a", "git+https://b" at \'materials[*].uri\', wanted "git"'),
        (
            "materials[*]",
            "x",
            'has an object, a list or a long text, an object, a list or a long text, "text" and 1 more at',
        ),
        ("count", "3", "has 3 at 'count', wanted \"3\""),
        ("count", True, "has 3 at 'count', wanted true"),
        ("ok", 1, "has true at 'ok', wanted 1"),
        ("ok", "true", 'wanted "true"'),
        ("no", "", "has null"),
        ("no", False, "has null"),
        ("builder", None, "an object"),
        ("empty", None, "an object, a list"),
        ("empty[*]", 1, "has nothing"),
        ("nowhere.id", 1, "has nothing at 'nowhere.id'"),
        ("materials.uri", 1, "nothing"),
        ("builder[0]", 1, "nothing"),
        ("materials[9]", 1, "nothing"),
        ("count.x", 1, "nothing"),
        ("larger", "x" * 4097, "a long text"),
        ("é", "u", '"\\u00fc"'),
    ],
)
def test_values_that_are_not_there(path: str, value: Any, said: str) -> None:
    message = problem(PREDICATE, path, value)
    assert said in message and message.isascii() == path.isascii()


def test_what_a_message_shows_is_bounded() -> None:
    text = json.dumps({"a": ["\u0416" * 600] * 50})
    message = problem(text, "a[*]", "y" * 5000)
    assert "and 47 more" in message and len(message) < 1000


def test_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem(PREDICATE, "builder.id", r"^https://example\.com/builder@refs/tags/v[0-9.]+$", True) == ""
    assert problem(PREDICATE, "builder.id", "example", True) == ""
    assert problem(PREDICATE, "materials[*].uri", r"^git\+https://b\z", True) == ""
    said = problem(PREDICATE, "builder.id", "^example", True)
    assert said.endswith("wanted text that matches '^example'")
    # text only, and one line of it: $ has one meaning then
    for path, pattern in (
        ("count", "3"),
        ("ok", "true"),
        ("no", ".*"),
        ("builder", ".*"),
        ("lines", "^a"),
        ("larger", "x"),
    ):
        assert problem(PREDICATE, path, pattern, True)
    monkeypatch.setattr(predicate, "SECONDS_PER_MATCH", 0.1)
    slow = problem(json.dumps({"a": "a" * 40 + "b"}), "a", "^(a+)+$", True)
    assert "takes too long on this predicate" in slow


def test_predicates_that_cannot_be_searched() -> None:
    assert problem(None, "a", 1) == "The predicate has nothing at 'a', wanted 1"
    assert "the name 'a' comes twice" in problem('{"a": 1, "b": {}, "a": 1}', "a", 1)
    # elsewhere it changes nothing that is asked for
    assert problem('{"a": 1, "b": 1, "b": 2}', "a", 1) == ""
    for text in ("7", "[]", '"a"'):
        assert "has nothing" in problem(text, "a", 1)


def test_how_many_values_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicate, "MAX_VALUES", 3)
    assert problem("[1, 2, 3]", "[*]", 3) == ""
    assert "more than 3 values at '[*]'" in problem("[1, 2, 3, 3]", "[*]", 3)


@pytest.mark.parametrize("value", [[1], {"a": 1}, {"pattern": 1}, {"pattern": "x", "more": 1}, {}])
def test_what_no_value_can_be(value: Any) -> None:
    with pytest.raises(InvalidPolicy, match="neither a value nor a pattern at 'a.b'"):
        parse_policy({"attestations": [{"type": "x", "match": {"a.b": value}}]})


def test_policies_with_conditions() -> None:
    policy = parse_policy(
        {"attestations": [{"type": "x", "match": {"a": 1, "b": {"pattern": "y"}}, "predicate": True}]}
    )
    (rule,) = policy.attestations
    assert rule.match == (Condition("a", 1), Condition("b", "y", True)) and rule.predicate
    for match in ("a", ["a"], {str(number): 1 for number in range(101)}):
        with pytest.raises(InvalidPolicy, match="is not a mapping of at most 100 paths"):
            parse_policy({"attestations": [{"type": "x", "match": match}]})
    assert (
        len(parse_policy({"attestations": [{"type": "x", "match": {f"a{n}": n for n in range(100)}}]}).attestations)
        == 1
    )
    keys = {"public_keys": [KEY_A]}
    with pytest.raises(InvalidPolicy, match="does not parse"):
        CosignVerifier(parse_policy({**keys, "attestations": [{"type": "x", "match": {"a": {"pattern": "("}}}]}))
    loose = {"type": "x", "match": {"a": {"pattern": "y"}, "b": {"pattern": "^y$"}}}
    (warning,) = CosignVerifier(parse_policy({**keys, "attestations": [loose]})).warnings
    assert "'y' in 'match' for 'a' is not anchored" in warning


@pytest.mark.parametrize("where", ["bundle", ".att"])
def test_conditions_on_attestations(place: Any, key: Any, where: str) -> None:
    def put(**content: Any) -> None:
        if where == "bundle":
            place.attach(place.blob(bundle(key, place.digest, **content), formats.BUNDLE_V03))
        else:
            layers.append(place.blob(canonical_json(envelope(key, place.digest, **content)), DSSE_ENVELOPE))
            place.tag(".att", layers)

    layers: list[dict[str, Any]] = []
    rule = {"type": "spdxjson", "match": {"env": "prod", "tested": True}}
    put(env="dev", tested=True)
    put(env="prod")
    error = refusal(place, key, attestations=[rule])
    codes = [each["code"] for each in error.details["verification"]["refused"]]
    assert codes == ["predicate", "predicate"]
    assert 'The predicate has "dev" at \'env\', wanted "prod"' in error.message
    assert "The predicate has nothing at 'tested', wanted true" in error.message
    # one under the tag counts as a signature only where it is what the policy asks for
    start = (
        "is signed, but lacks valid attestations of type spdxjson" if where == "bundle" else "has no valid signatures"
    )
    assert start in error.message
    put(env="prod", tested=True, more=1)
    verdict = check(place, key, attestations=[rule])
    assert {each.predicate_type for each in verdict.signers} == {"https://spdx.dev/Document"}
    assert [each.code for each in verdict.refusals] == ["predicate", "predicate"]
    # two entries of one type, each satisfied by another attestation
    both = [{"type": "spdxjson", "match": {"env": "dev"}}, {"type": "spdxjson", "match": {"more": 1}}]
    assert {each.found_in for each in check(place, key, attestations=both).signers}.issuperset(
        each.found_in for each in verdict.signers
    )


# The predicate in the result


def test_the_predicate_is_returned_when_asked_for(place: Any, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"builder": {"id": "x"}, "list": [1, None, "é"]}
    place.tag(".att", [place.blob(canonical_json(envelope(key, place.digest, **content)), DSSE_ENVELOPE)])
    rule = {"type": "spdxjson"}
    (signer,) = as_result(check(place, key, attestations=[rule]))["signers"]
    assert "predicate" not in signer and "has_predicate" not in signer
    verdict = check(place, key, attestations=[rule, {**rule, "predicate": True}])
    (signer,) = as_result(verdict)["signers"]
    assert signer["predicate"] == content and not verdict.warnings
    size = len(json.dumps(content))
    monkeypatch.setattr(predicate, "MAX_RETURNED", size)
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import attestations

    monkeypatch.setattr(attestations, "MAX_RETURNED", size)
    assert (
        as_result(check(place, key, attestations=[{**rule, "predicate": True}]))["signers"][0]["predicate"] == content
    )
    # twice that much is asked for
    verdict = check(place, key, attestations=[{**rule, "predicate": True}] * 2)
    assert [each.has_predicate for each in verdict.signers] == [True]
    (warning,) = verdict.warnings
    assert f"The predicate has {size} bytes, and 0 are left for the result" in warning


def test_a_statement_without_a_predicate(place: Any, key: Any) -> None:
    assert predicate.read_predicate(statement_with(None), 1) is None
    assert predicate.read_predicate(statement_with("{}"), 2) == {}
    with pytest.raises(Rejected, match="has 2 bytes, and 1 are left"):
        predicate.read_predicate(statement_with("{}"), 1)
    assert predicate.read_predicate(statement_with("[" * 100 + "]" * 100), 200)
    # whatever Python's own limit is
    for depth in (101, 900, 9000):
        with pytest.raises(Rejected, match="cannot be returned"):
            predicate.read_predicate(statement_with("[" * depth + "]" * depth), 20_000)


# Annotations


def test_annotations_of_real_signatures() -> None:
    """Made with cosign sign -a, in both layouts."""
    for layout in ("chart-legacy-a-annot", "chart-bundle-a-annot"):
        (signer,) = check_layout(layout, public_keys=[KEY_A]).signers
        assert signer.annotations
        name, value = next(iter(signer.annotations.items()))
        assert check_layout(layout, public_keys=[KEY_A], annotations={name: value}).verified
        assert check_layout(layout, public_keys=[KEY_A], annotations=dict(signer.annotations)).verified
        for wanted, said in (
            ({name: "other"}, f"(annotations: It is signed with {value!r} as the annotation {name!r}, wanted 'other')"),
            ({"missing": "x"}, "(annotations: It is signed without the annotation 'missing')"),
            ({name: value, "missing": "x"}, "without the annotation 'missing'"),
        ):
            with pytest.raises(VerificationFailed) as caught:
                check_layout(layout, public_keys=[KEY_A], annotations=wanted)
            assert said in caught.value.message


def test_attestations_need_annotations_only_as_signatures(place: Any, key: Any) -> None:
    place.attach(place.blob(bundle(key, place.digest), formats.BUNDLE_V03))
    policy: dict[str, Any] = {"attestations": [{"type": "spdxjson"}], "annotations": {"env": "prod"}}
    assert "has no valid signatures of the 1 wanted" in refusal(place, key, **policy).message
    payload = json.dumps(
        {
            "critical": {
                "identity": {"docker-reference": "x"},
                "image": {"docker-manifest-digest": place.digest},
                "type": formats.COSIGN_PAYLOAD_TYPE,
            },
            "optional": {"env": "prod"},
        }
    ).encode("ascii")
    signature = base64.b64encode(key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode("ascii")
    layer = {**place.blob(payload), "annotations": {formats.ANNOTATION_SIGNATURE: signature}}
    place.tag(".sig", [layer])
    verdict = check(place, key, **policy)
    assert [each.predicate_type for each in verdict.signers] == [formats.COSIGN_SIGN, "https://spdx.dev/Document"]
    # those of the layer are not signed
    lying = {**layer, "annotations": {**layer["annotations"], "env": "staging", "more": "x"}}
    place.tag(".sig", [lying])
    assert "without the annotation 'more'" in refusal(place, key, annotations={"more": "x"}).message


def test_policies_with_annotations() -> None:
    policy = parse_policy({"annotations": {"b": 7, "a": "x", "c": True, "d": 1.5}})
    assert policy.annotations == {"a": "x", "b": "7", "c": "true", "d": "1.5"} and list(policy.annotations) == [
        "a",
        "b",
        "c",
        "d",
    ]
    assert parse_policy({}).annotations == parse_policy({"annotations": None}).annotations == {}
    for wrong in ({"a": []}, {"a": None}, {"a": {}}, {"": "x"}, ["a"], {str(number): "x" for number in range(101)}):
        with pytest.raises(InvalidPolicy, match="in 'annotations' is not text|'annotations' is not a mapping"):
            parse_policy({"annotations": wrong})


# Sizes


@pytest.mark.parametrize(
    ("value", "size"), [("1", 1), ("16MiB", 16 * MIB), ("500M", 500 * MIB), ("4GiB", 4 << 30), (1024, 1024), (None, 0)]
)
def test_how_large_attestations_may_be(value: Any, size: int) -> None:
    assert parse_policy({"max_attestation_size": value}).max_attestation_size == size


@pytest.mark.parametrize("value", ["0", "5GiB", "4294967297", "x", "-1", ""])
def test_sizes_that_cannot_be(value: str) -> None:
    with pytest.raises(InvalidPolicy, match="max_attestation_size"):
        parse_policy({"max_attestation_size": value})
    with pytest.raises(InvalidPolicy, match="'max_attestation_size' has no meaning for the provider notation"):
        parse_policy({"provider": "notation", "trust_policy": {}, "max_attestation_size": "1"})

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged signatures, bundles and trusted roots: refused, or judged exactly as before; never another exception."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keyless import KeylessVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from .mini_sigstore import DIGEST, Leaf, MiniSigstore, b64
from .test_keyless import A_TXT, BEACON, CONFORMANCE, WANTED

pytestmark = pytest.mark.once

#: Under a second each.
ROUNDS = 600
JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    2**200,
    1.5,
    float("inf"),
    "",
    "A",
    "AAAA",
    "\ud800",
    "\u0661",
    "x" * 70_000,
    [],
    [None],
    [[]],
    {},
    {"": None},
    {"keyId": "AAAA"},
]

Judge = Callable[[Any], Any]


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a document with each of its keys."""
    keys: Any = (
        list(document) if isinstance(document, dict) else range(len(document) if isinstance(document, list) else 0)
    )
    for key in keys:
        yield document, key
        yield from places(document[key])


def damaged(document: Any, chance: random.Random) -> Any:
    """A copy with one to three changes at random places."""
    result = copy.deepcopy(document)
    for _change in range(chance.choice((1, 1, 1, 2, 3))):
        found = list(places(result))
        if not found:
            break
        container, key = chance.choice(found)
        _change_one(container, key, found, chance)
    return result


def _change_one(container: Any, key: Any, found: list[tuple[Any, Any]], chance: random.Random) -> None:
    value = container[key]
    how = chance.randrange(8)
    if how == 0:
        container[key] = copy.deepcopy(chance.choice(JUNK))
    elif how == 1:
        del container[key]
    elif how == 2 and isinstance(container, list):
        container.extend(copy.deepcopy(container) * chance.choice((1, 1, 40)))
    elif how == 3:
        other, name = chance.choice(found)
        container[key] = copy.deepcopy(other[name]) if name in other or isinstance(other, list) else None
    elif how == 4 and isinstance(container, dict):
        container[f"{key}x"] = container.pop(key)
    elif isinstance(value, str):
        container[key] = _damaged_text(value, chance)
    else:
        container[key] = copy.deepcopy(chance.choice(JUNK))


def _damaged_text(text: str, chance: random.Random) -> str:
    """Often what the base64 stands for is damaged, so that the change is found late."""
    try:
        raw = bytearray(base64.b64decode(text, validate=True))
    except ValueError:
        raw = bytearray()
    if raw and chance.random() < 0.8:
        return b64(bytes(_damaged_bytes(raw, chance)))
    return bytes(_damaged_bytes(bytearray(text.encode("utf-8", "surrogatepass")), chance)).decode("utf-8", "replace")


def _damaged_bytes(raw: bytearray, chance: random.Random) -> bytearray:
    if not raw:
        return bytearray(b"\0")
    at = chance.randrange(len(raw))
    how = chance.randrange(5)
    if how == 0:
        return raw[:at]
    if how == 1:
        return raw[:at] + raw[at:] * 2
    if how == 2:
        return raw[:at] + bytes([chance.randrange(256)]) + raw[at:]
    raw[at] ^= 1 << chance.randrange(8)
    return raw


def hammer(document: Any, judge: Judge, seed: int) -> None:
    """Judge the document and many damaged ones: each is refused, or gets the same verdict."""
    chance = random.Random(seed)
    wanted = judge(document)
    refused = 0
    for _round in range(ROUNDS):
        candidate = damaged(document, chance)
        try:
            assert judge(candidate) == wanted, candidate
        except (Rejected, InvalidPolicy) as exc:
            assert len(exc.message) < 5000
            refused += 1
    assert refused > ROUNDS / 4


@pytest.fixture(name="mini", scope="module")
def _mini() -> MiniSigstore:
    return MiniSigstore()


@pytest.fixture(name="checks", scope="module")
def _checks(mini: MiniSigstore) -> KeylessVerifier:
    return KeylessVerifier(VerifyPolicy(identities=[WANTED], trusted_root=json.dumps(mini.trusted_root())))


def as_bytes(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("seed", range(2))
def test_damaged_bundles(mini: MiniSigstore, checks: KeylessVerifier, seed: int) -> None:
    def judge(document: Any) -> Any:
        signer, statement = checks.verify_bundle(formats.parse_bundle(as_bytes(document)), DIGEST)
        return signer, statement

    hammer(mini.bundle(mini.issue(Leaf())), judge, seed)


def test_a_damaged_bundle_of_the_public_instance() -> None:
    root = str(CONFORMANCE / "trusted_root_public_good.json")
    checks = KeylessVerifier(VerifyPolicy(identities=[BEACON], trusted_root=root))
    document = json.loads((CONFORMANCE / "happy-path-intoto-in-dsse-v3" / "bundle.sigstore.json").read_bytes())

    hammer(document, lambda each: checks.verify_bundle(formats.parse_bundle(as_bytes(each)), A_TXT), 3)


def test_a_damaged_bundle_of_rekor_2() -> None:
    pytest.importorskip("sigstore.verify")
    folder = CONFORMANCE / "rekor2-dsse-happy-path"
    checks = KeylessVerifier(VerifyPolicy(identities=[BEACON], trusted_root=str(folder / "trusted_root.json")))
    document = json.loads((folder / "bundle.sigstore.json").read_bytes())

    hammer(document, lambda each: checks.verify_bundle(formats.parse_bundle(as_bytes(each)), A_TXT), 4)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_annotations(mini: MiniSigstore, checks: KeylessVerifier, seed: int) -> None:
    layer, payload = mini.legacy(mini.issue(Leaf()))
    annotations = dict(layer.annotations)
    entry = json.loads(annotations.pop(formats.ANNOTATION_BUNDLE))
    entry["Payload"]["body"] = json.loads(base64.b64decode(entry["Payload"]["body"]))
    document = {"annotations": annotations, "entry": entry, "payload": b64(payload)}

    def judge(each: Any) -> Any:
        texts = each.get("annotations")
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise Rejected("malformed", "a manifest's annotations are texts")
        part = each.get("entry")
        if isinstance(part, dict) and isinstance(part.get("Payload"), dict):
            body = json.dumps(part["Payload"].get("body"), sort_keys=True, separators=(",", ":"))
            part = {**part, "Payload": {**part["Payload"], "body": b64(body.encode("utf-8", "surrogatepass"))}}
        texts = {**texts, formats.ANNOTATION_BUNDLE: json.dumps(part)}
        content = each.get("payload")
        raw = formats.decode_base64(content, "the payload")
        return checks.verify_legacy(replace(layer, annotations=texts), raw, DIGEST)

    hammer(document, judge, seed)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_roots(mini: MiniSigstore, seed: int) -> None:
    """A damaged root is refused, or vouches for the signature as before: what was changed did not matter."""
    bundle = formats.parse_bundle(as_bytes(mini.bundle(mini.issue(Leaf()))))

    def judge(document: Any) -> Any:
        checks = KeylessVerifier(VerifyPolicy(identities=[WANTED], trusted_root=json.dumps(document)))
        return checks.verify_bundle(bundle, DIGEST)

    hammer(mini.trusted_root(), judge, seed)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_json(mini: MiniSigstore, checks: KeylessVerifier, seed: int) -> None:
    """Damage that the JSON itself takes: flipped bits, cut ends, doubled parts."""
    chance = random.Random(seed)
    good = as_bytes(mini.bundle(mini.issue(Leaf())))
    wanted = checks.verify_bundle(formats.parse_bundle(good), DIGEST)
    for _round in range(ROUNDS):
        raw = bytes(_damaged_bytes(bytearray(good), chance))
        try:
            assert checks.verify_bundle(formats.parse_bundle(raw), DIGEST) == wanted
        except Rejected as exc:
            assert len(exc.message) < 5000

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transparency logs: promises, inclusion proofs and checkpoints."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import transparency_log
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.transparency_log import (
    check_inclusion,
    check_promise,
    number,
    read_entry,
    root_from_proof,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.trusted_root import (
    TrustedRoot,
    load_trusted_roots,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from .mini_sigstore import NOW, MiniSigstore, audit_path, b64, compact, new_key, sign, spki, tree_hash

BODY = compact({"kind": "dsse", "apiVersion": "0.0.1", "spec": {}})


@pytest.fixture(name="mini", scope="module")
def _mini() -> MiniSigstore:
    return MiniSigstore()


@pytest.fixture(name="root", scope="module")
def _root(mini: MiniSigstore) -> TrustedRoot:
    return root_of(mini)


def root_of(mini: MiniSigstore) -> TrustedRoot:
    return load_trusted_roots(compact(mini.trusted_root()).decode("ascii"))[0]


def with_rekor(key: Any) -> MiniSigstore:
    mini = MiniSigstore()
    mini.rekor_key = key
    return mini


def refusal(root: TrustedRoot, entry: dict[str, Any]) -> str:
    """What inclusion is refused for; empty when it is not."""
    try:
        check_inclusion(root, read_entry(entry))
    except Rejected as exc:
        assert exc.code == "tlog"
        return exc.message
    return ""


# -- promises


def test_a_promise_tells_the_time(mini: MiniSigstore, root: TrustedRoot) -> None:
    entry = read_entry(mini.entry(BODY))

    assert entry.promise is not None
    assert check_promise(root, entry.promise) == NOW


@pytest.mark.parametrize(
    "change",
    [
        {"logIndex": "1001"},
        {"integratedTime": "1748779231"},
        {"canonicalizedBody": b64(BODY + b" ")},
        {"logId": {"keyId": b64(b"x" * 32)}},
        {"inclusionPromise": {"signedEntryTimestamp": b64(b"nothing")}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_promise_of_anything_else_is_refused(mini: MiniSigstore, root: TrustedRoot, change: dict[str, Any]) -> None:
    entry = read_entry({**mini.entry(BODY), **change})

    assert entry.promise is not None
    with pytest.raises(Rejected) as caught:
        check_promise(root, entry.promise)
    assert caught.value.code == "tlog"


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_promise_needs_a_log_with_an_ecdsa_key(kind: str) -> None:
    key: Any = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    mini = with_rekor(key)
    entry = read_entry(mini.entry(BODY))

    assert entry.promise is not None
    with pytest.raises(Rejected, match="SET"):
        check_promise(root_of(mini), entry.promise)
    assert refusal(root_of(mini), mini.entry(BODY)) == ""


# -- inclusion


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_proofs_lead_to_the_root_and_only_from_their_place(place: tuple[int, int]) -> None:
    size, index = place
    bodies = [b"%d" % each for each in range(size)]
    leaves = [hashlib.sha256(b"\0" + body).digest() for body in bodies]
    path, wanted = audit_path(index, leaves), tree_hash(leaves)

    assert root_from_proof(bodies[index], index, size, path) == wanted
    assert root_from_proof(b"another", index, size, path) != wanted
    for other in range(size):
        if other == index:
            continue
        with contextlib.suppress(Rejected):
            assert root_from_proof(bodies[index], other, size, path) != wanted
    for damaged in (path[:-1], [*path, b"\0" * 32]):
        if damaged != path:
            with pytest.raises(Rejected):
                root_from_proof(bodies[index], index, size, damaged)


@pytest.mark.parametrize("place", [(0, 0), (1, 1), (5, 4)])
def test_an_entry_outside_of_the_tree_is_refused(place: tuple[int, int]) -> None:
    with pytest.raises(Rejected):
        root_from_proof(b"a", *place, [])


def test_an_entry_in_the_tree_passes(mini: MiniSigstore, root: TrustedRoot) -> None:
    assert refusal(root, mini.entry(BODY)) == ""


def test_a_proof_that_does_not_hold_is_refused(mini: MiniSigstore, root: TrustedRoot) -> None:
    entry = mini.entry(BODY)
    proof = entry["inclusionProof"]
    tree = tree_hash([hashlib.sha256(b"\0" + each).digest() for each in (b"a", b"b", BODY, b"d", b"e")])
    for change, reason in (
        ({"logIndex": "1"}, "does not lead"),
        ({"treeSize": "6"}, "does not lead|another tree"),
        ({"treeSize": "2"}, "outside"),
        ({"treeSize": "0"}, "outside"),
        ({"rootHash": b64(b"x" * 32)}, "does not lead"),
        ({"hashes": proof["hashes"][:-1]}, "length"),
        ({"hashes": []}, "length"),
        ({"hashes": [b64(b"x" * 32), *proof["hashes"][1:]]}, "does not lead"),
        ({"hashes": proof["hashes"] * 50}, "too long"),
        ({"checkpoint": {"envelope": mini.checkpoint(6, tree)}}, "another tree"),
        ({"checkpoint": {"envelope": mini.checkpoint(5, b"x" * 32)}}, "another tree"),
        ({"checkpoint": {"envelope": mini.checkpoint(5, tree, key=new_key())}}, "not signed"),
        ({"checkpoint": {"envelope": mini.checkpoint(5, tree, hint=b"abcd")}}, "not signed"),
        ({"checkpoint": {"envelope": ""}}, "malformed"),
        ({"checkpoint": {"envelope": "a\n\nb"}}, "malformed"),
        ({"checkpoint": {"envelope": 1}}, "not text"),
        ({"checkpoint": {"envelope": "a" * (transparency_log.MAX_CHECKPOINT + 1)}}, "not text"),
    ):
        message = refusal(root, {**entry, "inclusionProof": {**proof, **change}})
        assert any(each in message for each in reason.split("|")) and message, (change, message)
    assert "no inclusion proof" in refusal(root, {**entry, "inclusionProof": {}})
    assert "does not have" in refusal(root, {**entry, "logId": {"keyId": b64(b"x" * 32)}})


def test_a_checkpoint_of_several_signatures_needs_that_of_the_log(mini: MiniSigstore, root: TrustedRoot) -> None:
    entry = mini.entry(BODY)
    checkpoint = entry["inclusionProof"]["checkpoint"]
    text, _separator, own = checkpoint["envelope"].rpartition("\n\n")
    witness = f"\u2014 witness.example.com {b64(b'abcd' + sign(new_key(), text.encode('ascii')))}\n"

    for signatures, accepted in (
        (witness + own, True),
        (own + witness, True),
        (f"# a note\n{own}", True),
        (witness, False),
    ):
        checkpoint["envelope"] = f"{text}\n\n{signatures}"
        assert (refusal(root, entry) == "") == accepted


def test_a_signature_covers_the_whole_text_of_a_checkpoint(mini: MiniSigstore, root: TrustedRoot) -> None:
    entry = mini.entry(BODY)
    checkpoint = entry["inclusionProof"]["checkpoint"]
    original = checkpoint["envelope"]

    for change in (("log.example.com - 42\n", "log.example.com - 43\n"), ("\n\n", "\nmore\n\n"), ("\n\n", "\n\n\n")):
        checkpoint["envelope"] = original.replace(*change, 1)
        assert refusal(root, entry)


@pytest.mark.parametrize("own_hash", [False, True])
def test_a_log_may_be_on_another_curve(own_hash: bool) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    mini = with_rekor(key)
    entry = mini.entry(BODY)
    if own_hash:
        checkpoint = entry["inclusionProof"]["checkpoint"]
        text = checkpoint["envelope"].partition("\n\n")[0] + "\n"
        signature = sign(key, text.encode("ascii"), hashes.SHA384())
        hint = hashlib.sha256(spki(key)).digest()[:4]
        checkpoint["envelope"] = f"{text}\n\u2014 log.example.com {b64(hint + signature)}\n"

    assert refusal(root_of(mini), entry) == ""


# -- what is read


@pytest.mark.parametrize(("value", "expected"), [("0", 0), ("42", 42), (42, 42), (str(2**63 - 1), 2**63 - 1)])
def test_numbers_are_read(value: Any, expected: int) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", " 1", "1_0", "1.0", "\u0661", "9" * 5000, str(2**63), 2**63, -1, 1.0, True, None, [], {}]
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(Rejected):
        number(value)


def test_an_entry_with_unknown_fields_is_refused(mini: MiniSigstore) -> None:
    with pytest.raises(Rejected, match="unknown fields"):
        read_entry({**mini.entry(BODY), "log_index": "1"})


def test_an_entry_of_another_kind_than_the_bundle_says_is_refused(mini: MiniSigstore) -> None:
    entry = copy.deepcopy(mini.entry(BODY))
    entry["kindVersion"]["kind"] = "intoto"

    with pytest.raises(Rejected, match="the bundle says"):
        transparency_log.check_envelope_entry(read_entry(entry), None, None)  # type: ignore[arg-type]


# -- what JSON may leave out, and how it may spell it


def single(mini: MiniSigstore, index: int = 0) -> dict[str, Any]:
    """The only entry of a tree: protojson leaves out what is zero or empty."""
    entry = mini.entry(BODY, index=index)
    leaf = tree_hash([hashlib.sha256(b"\0" + BODY).digest()])
    checkpoint = {"envelope": mini.checkpoint(1, leaf)}
    return {**entry, "inclusionProof": {"rootHash": b64(leaf), "treeSize": "1", "checkpoint": checkpoint}}


def test_zero_and_nothing_may_be_left_out(mini: MiniSigstore, root: TrustedRoot) -> None:
    document = single(mini)
    del document["logIndex"]
    entry = read_entry(document)
    assert entry.index == 0 and entry.promise is not None
    assert check_promise(root, entry.promise) == NOW
    assert refusal(root, document) == ""
    del document["integratedTime"]
    promise = read_entry(document).promise
    assert promise is not None and promise.integrated == 0
    del document["inclusionProof"]["treeSize"]
    assert "outside of the tree" in refusal(root, document)
    document["inclusionProof"]["logIndex"] = "1"
    assert "outside of the tree" in refusal(root, document)


def test_base64_may_have_either_alphabet() -> None:
    body = compact({"kind": "dsse", "apiVersion": "0.0.1", "spec": {"text": "???>>>"}})
    for _attempt in range(1000):
        mini = MiniSigstore()
        entry = mini.entry(body)
        proof = entry["inclusionProof"]
        texts = [entry["logId"]["keyId"], entry["inclusionPromise"]["signedEntryTimestamp"], proof["rootHash"]]
        if all(set("+/") & set(text) for text in (*texts, entry["canonicalizedBody"], "".join(proof["hashes"]))):
            break

    def respelled(text: str) -> str:
        return text.replace("+", "-").replace("/", "_")

    changed = copy.deepcopy(entry)
    changed["canonicalizedBody"] = respelled(entry["canonicalizedBody"])
    changed["logId"]["keyId"] = respelled(entry["logId"]["keyId"])
    signature = entry["inclusionPromise"]["signedEntryTimestamp"]
    changed["inclusionPromise"]["signedEntryTimestamp"] = respelled(signature)
    changed["inclusionProof"]["rootHash"] = respelled(proof["rootHash"])
    changed["inclusionProof"]["hashes"] = [respelled(each) for each in proof["hashes"]]
    assert changed != entry and read_entry(changed).promise == read_entry(entry).promise
    assert refusal(root_of(mini), changed) == ""


def test_the_window_of_a_log_is_named(mini: MiniSigstore) -> None:
    ended = mini.trusted_root(windows={"rekor": {"end": "2025-05-01T00:00:00Z"}})
    promise = read_entry(mini.entry(BODY)).promise
    assert promise is not None
    with pytest.raises(Rejected, match="is trusted from 2024-01-01 until 2025-05-01"):
        check_promise(load_trusted_roots(compact(ended).decode("ascii"))[0], promise)


def test_lengths_that_are_just_allowed(mini: MiniSigstore, root: TrustedRoot) -> None:
    entry = mini.entry(BODY)
    proof = entry["inclusionProof"]
    hashes_of_zero = [b64(b"\0" * 32)] * transparency_log.MAX_PROOF_HASHES
    text = "a" * transparency_log.MAX_CHECKPOINT
    for change, reason in (
        ({"hashes": hashes_of_zero}, "does not have the length"),
        ({"hashes": [*hashes_of_zero, b64(b"")]}, "too long"),
        ({"checkpoint": {"envelope": text}}, "malformed"),
        ({"checkpoint": {"envelope": "a\n5\n\nb"}}, "malformed"),
    ):
        assert reason in refusal(root, {**entry, "inclusionProof": {**proof, **change}})


def test_no_entry_is_before_the_first() -> None:
    for size in (1, 2, 5):
        with pytest.raises(Rejected, match="outside of the tree"):
            root_from_proof(b"a", -1, size, [])

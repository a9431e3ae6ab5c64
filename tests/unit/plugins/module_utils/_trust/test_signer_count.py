# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``min_signers`` counts: entries of the policy, each satisfied by a signer of its own."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, VerificationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import canonical_json
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import CosignVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.counting import SignerCount
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.keys import fingerprint_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import (
    VERIFIED,
    Signer,
    Verdict,
    as_result,
)

from . import mini_sigstore
from .mini_sigstore import Leaf, MiniSigstore, general_name
from .test_cosign_keyed import add_blob, add_legacy, add_manifest, attach, public_pem, signed_layer, simple_payload

CI = "https://example.com/org/app/release@refs/heads/"
SECURITY = "security@example.com"
CI_ENTRY = {"issuer": "^https://issuer.example.com$", "subject": f"^{CI}.*$"}
SECURITY_ENTRY = {"issuer": "^https://issuer.example.com$", "subject": f"^{SECURITY}$"}


def test_the_number_is_that_of_the_best_assignment() -> None:
    """Compared with all assignments, for random signers and entries."""
    rng = random.Random(3)
    for _round in range(300):
        signers = [frozenset(rng.sample("abcde", rng.randrange(1, 4))) for _signer in range(rng.randrange(6))]
        count = SignerCount()
        for number, entries in enumerate(signers):
            count.add([str(number)], entries)
        best = max(
            sum(entry in mine for mine, entry in zip(signers, chosen))
            for chosen in itertools.permutations([*"abcde", *"-----"], len(signers))
        )
        assert count.number == best, signers


def test_signatures_that_share_a_name_are_by_one_signer() -> None:
    count = SignerCount()
    count.add("x", "1")
    count.add("y", "2")
    assert count.number == 2
    count.add("xy", "3")
    assert count.number == 1


@pytest.mark.parametrize(
    ("signatures", "number"),
    [
        ([("ab", "1"), ("bc", "2"), ("a", "3")], 1),
        ([("ab", "1"), ("b", "2"), ("z", "2")], 2),
        ([("ab", "1"), ("b", "1"), ("z", "1")], 1),
    ],
    ids=["the names of all", "the entries of all", "no more entries"],
)
def test_a_signer_has_the_names_and_entries_of_all_its_signatures(
    signatures: list[tuple[str, str]], number: int
) -> None:
    count = SignerCount()
    for names, entries in signatures:
        count.add(names, entries)
    assert count.number == number


def test_who_a_signer_is() -> None:
    """A key where there is no certificate, and else whom the certificate names, by whatever key."""
    key = partial(Signer, "cosign", "bundle")
    people = [
        key("k"),
        key("k", issuer="i"),
        key("k", subject="s"),
        key("k", issuer="i", subject="s"),
        key("l", issuer="i", subject="other"),
    ]
    assert len({each.who for each in people}) == len(people)
    assert key("other", issuer="i", subject="s").who == people[3].who
    assert key("k", source="elsewhere").who == people[0].who


def test_a_result_names_signers_and_not_what_they_are_counted_by() -> None:
    signer = Signer("cosign", "bundle", "k", subject="s", entries=frozenset("e"), names=frozenset("n"))
    (shown,) = as_result(Verdict(VERIFIED, "cosign", [signer]))["signers"]
    assert (shown["key"], shown["subject"], shown["provider"]) == ("k", "s", "cosign")
    assert not {"entries", "names", "valid_until"} & set(shown)


class Lab:
    """An artifact in a layout, signed by whoever is named."""

    def __init__(self, folder: Path) -> None:
        self.repository = LayoutRepository(Reference(layout=str(folder)))
        self.digest = add_manifest(self.repository, "1", [add_blob(self.repository, b"content")])
        self.mini = MiniSigstore()
        self.root = json.dumps(self.mini.trusted_root())
        self._layers: list[dict[str, Any]] = []

    def legacy(self, *names: str) -> None:
        certificate = self._issue(names)
        described, payload = self.mini.legacy(certificate, mini_sigstore.claim(self.digest))
        layer = add_blob(self.repository, payload, formats.SIMPLE_SIGNING)
        self._layers.append({**layer, "annotations": dict(described.annotations)})
        add_legacy(self.repository, self.digest, self._layers)

    def bundle(self, *names: str) -> None:
        bundle = self.mini.bundle(self._issue(names), mini_sigstore.statement(self.digest))
        layer = add_blob(self.repository, canonical_json(bundle), formats.BUNDLE_V03)
        subject = self.repository.resolve(self.digest).as_json()
        add_manifest(self.repository, "", [layer], subject=subject, artifactType=formats.BUNDLE_V03)

    def keyed(self, key: Any) -> None:
        self._layers.append(signed_layer(self.repository, simple_payload(self.digest), key))
        add_legacy(self.repository, self.digest, self._layers)

    def _issue(self, names: tuple[str, ...]) -> Any:
        self.mini.key = mini_sigstore.new_key()
        return self.mini.issue(replace(Leaf(), names=[general_name(each) for each in names]))

    def passes(self, *identities: dict[str, str], **policy: Any) -> bool:
        options = {"identities": list(identities), "min_signers": 2, **policy}
        if identities or policy.get("any_identity"):
            options["trusted_root"] = self.root
        try:
            return bool(CosignVerifier(parse_policy(options)).verify(self.repository, self.digest).verified)
        except VerificationFailed as exc:
            assert "1 valid signature of the 2 wanted" in exc.message, exc.message
            return False


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield Lab(tmp_path / "layout")


@pytest.mark.parametrize("form", ["legacy", "bundle"])
def test_branches_of_one_workflow_are_one_identity(lab: Lab, form: str) -> None:
    sign = getattr(lab, form)
    sign(CI + "main")
    sign(CI + "dev")
    assert not lab.passes(CI_ENTRY, SECURITY_ENTRY)
    sign(SECURITY)
    assert lab.passes(CI_ENTRY, SECURITY_ENTRY)


def test_the_error_says_who_counts_once(lab: Lab) -> None:
    lab.legacy(CI + "main")
    lab.legacy(CI + "dev")
    options = {"identities": [CI_ENTRY, SECURITY_ENTRY], "min_signers": 2, "trusted_root": lab.root}
    with pytest.raises(VerificationFailed, match="each by another key or identity of the policy") as caught:
        CosignVerifier(parse_policy(options)).verify(lab.repository, lab.digest)
    assert CI + "main" in caught.value.message and CI + "dev" in caught.value.message
    # nothing was left out that others attached
    assert caught.value.hint == "Check the keys or identities of the policy, and who signed this digest."


def test_a_long_subject_is_cut_in_the_error(lab: Lab) -> None:
    long = CI + "x" * 100
    lab.legacy(long)
    lab.legacy(CI + "dev")
    options = {"identities": [CI_ENTRY, SECURITY_ENTRY], "min_signers": 2, "trusted_root": lab.root}
    with pytest.raises(VerificationFailed) as caught:
        CosignVerifier(parse_policy(options)).verify(lab.repository, lab.digest)
    assert repr(long[:100]) in caught.value.message


@pytest.mark.parametrize(("branches", "end"), [(4, ""), (5, " and others")])
def test_the_error_names_keys_and_only_some(lab: Lab, branches: int, end: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    lab.keyed(key)
    for number in range(branches):
        lab.legacy(f"{CI}{number}")
    policy = {"identities": [CI_ENTRY, SECURITY_ENTRY], "public_keys": [public_pem(key)], "min_signers": 3}
    with pytest.raises(VerificationFailed, match="has 2 valid signatures of the 3 wanted") as caught:
        CosignVerifier(parse_policy({**policy, "trusted_root": lab.root})).verify(lab.repository, lab.digest)
    shown = [repr(fingerprint_of(key.public_key())), *(repr(f"{CI}{number}") for number in range(4))]
    assert f"({', '.join(shown)}{end} count once)" in caught.value.message


def test_one_signer_does_not_stand_for_two_entries(lab: Lab) -> None:
    anybody = {"issuer": ".*", "subject": ".*"}
    lab.legacy(SECURITY)
    lab.bundle(SECURITY)
    assert not lab.passes(anybody, SECURITY_ENTRY)
    # the wide entry is left to whoever has no other
    lab.legacy(CI + "main")
    assert lab.passes(SECURITY_ENTRY, anybody)
    assert lab.passes(anybody, SECURITY_ENTRY)


def test_a_certificate_with_two_names_is_one_signer_in_both_layouts(lab: Lab) -> None:
    """Of a bundle only the first name is compared, of a legacy signature all are."""
    lab.legacy(CI + "main", SECURITY)
    lab.bundle(CI + "main", SECURITY)
    assert not lab.passes(CI_ENTRY, SECURITY_ENTRY)


def test_a_key_and_an_identity_are_two_entries(lab: Lab) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    lab.keyed(key)
    lab.keyed(key)
    assert not lab.passes(CI_ENTRY, public_keys=[public_pem(key)])
    lab.bundle(CI + "main")
    assert lab.passes(CI_ENTRY, public_keys=[public_pem(key)])


def test_any_identity_is_one_entry(lab: Lab) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    lab.legacy(CI + "main")
    lab.legacy(SECURITY)
    assert not lab.passes(any_identity=True, public_keys=[public_pem(key)])
    lab.keyed(key)
    assert lab.passes(any_identity=True, public_keys=[public_pem(key)])


def refusal(**policy: Any) -> str:
    with pytest.raises(InvalidPolicy) as caught:
        CosignVerifier(parse_policy(policy))
    return caught.value.message


def test_more_signers_than_entries_are_refused_with_the_policy(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    form = serialization.PublicFormat.PKCS1
    other_spelling = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode("ascii")
    path = tmp_path / "key.pub"
    path.write_text(public_pem(key))
    text = "'min_signers' is 2, but the policy has only 1 distinct entry: 1 of 'public_keys', 0 of 'identities'."
    assert refusal(public_keys=[public_pem(key), str(path), other_spelling], min_signers=2) == text
    # of a trusted root that is never read: identities come first
    keyless = {"min_signers": 2, "trusted_root": str(tmp_path / "absent")}
    assert "0 of 'public_keys', 1 of 'identities'" in refusal(identities=[CI_ENTRY, CI_ENTRY], **keyless)
    assert "0 of 'public_keys', 1 of 'identities'" in refusal(any_identity=True, **keyless)
    rule = {"type": "spdxjson", "min_signers": 2}
    assert "'min_signers' of an entry of 'attestations' is 2" in refusal(
        public_keys=[public_pem(key)], attestations=[rule]
    )


def test_attestations_count_entries_too(lab: Lab) -> None:
    one, two = (ec.generate_private_key(ec.SECP256R1()) for _key in range(2))
    rule = {"type": "spdxjson", "min_signers": 2}
    options = {"public_keys": [public_pem(one), public_pem(two)], "attestations": [rule]}
    verifier = CosignVerifier(parse_policy(options))
    for number, key in enumerate([one, one, two], 1):
        attach(lab.repository, lab.digest, key, "https://spdx.dev/Document")
        if number < 3:
            with pytest.raises(VerificationFailed, match="lacks valid attestations of type spdxjson"):
                verifier.verify(lab.repository, lab.digest)
    assert verifier.verify(lab.repository, lab.digest).verified

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities: expressions on issuer and subject, and what a certificate says of them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, InvalidSelection
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.bounded_regex import BoundedRegex
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import identity
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.identity import (
    Claim,
    CompiledIdentities,
    claimed_identity,
    is_anchored,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import Identity
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from .mini_sigstore import ISSUER, SUBJECT, Leaf, MiniSigstore, der, utf8_string

FULCIO_NAME = x509.ObjectIdentifier(identity.OTHER_NAME)


@pytest.fixture(name="mini", scope="module")
def _mini() -> MiniSigstore:
    return MiniSigstore()


def match(claim: Claim, *identities: tuple[str, str]) -> str:
    """The subject that matched; empty when none did."""
    try:
        return CompiledIdentities([Identity(*each) for each in identities]).matching_subject(claim)
    except Rejected as exc:
        assert exc.code == "identity"
        return ""


# -- matching


def test_issuer_and_subject_of_one_entry_have_to_match() -> None:
    claim = Claim(ISSUER, [SUBJECT])
    good, other = ("issuer", "release"), "nobody"

    assert match(claim, good) == SUBJECT
    assert match(claim, (other, "release")) == match(claim, ("issuer", other)) == ""
    assert match(claim, ("issuer", other), (other, "release")) == ""
    assert match(claim, ("issuer", other), good) == match(claim, good, (other, other)) == SUBJECT


def test_any_of_several_names_may_match() -> None:
    claim = Claim(ISSUER, ["https://ci.example.com/x", SUBJECT])

    assert match(claim, (".*", "^release@")) == SUBJECT
    assert match(claim, (".*", "^https:")) == "https://ci.example.com/x"


@pytest.mark.parametrize("end", ["$", r"\z"])
def test_the_end_of_an_expression_is_the_end_of_the_text(end: str) -> None:
    """Python's own $ also matches before a line feed at the end."""
    pattern = f"^release@example\\.com{end}"

    assert match(Claim(ISSUER, [SUBJECT]), (".*", pattern)) == SUBJECT
    for longer in (f"{SUBJECT}\n", f"{SUBJECT}\nattacker@evil.example", f"attacker\n{SUBJECT}", f"{SUBJECT}\0"):
        assert match(Claim(ISSUER, [longer]), (".*", pattern)) == ""
    for longer in (f"{ISSUER}\n", f"{ISSUER}\nx"):
        assert match(Claim(longer, [SUBJECT]), (f"^https://issuer\\.example\\.com{end}", ".*")) == ""


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("RELEASE", SUBJECT, False),
        ("(?i)RELEASE", SUBJECT, True),
        (r"^\d+$", "\u0661", False),
        (r"\Qa+b\E", "a+b", True),
        ("[[:alpha:]]+@", SUBJECT, True),
        ("^(a|b)$", "b", True),
    ],
)
def test_expressions_are_gos(pattern: str, text: str, found: bool) -> None:
    assert bool(match(Claim(ISSUER, [text]), (".*", pattern))) == found


def test_an_expression_that_takes_too_long_refuses_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "SECONDS_PER_MATCH", 0.1)
    identities = CompiledIdentities([Identity(".*", "^(a+)+$"), Identity(".*", "^b$")])
    evil = Claim(ISSUER, ["a" * 60 + "!"])
    begun = time.process_time()

    for _signature in range(100):
        with pytest.raises(Rejected, match="takes too long") as caught:
            identities.matching_subject(evil)
        assert caught.value.code == "identity"
    assert time.process_time() - begun < 3
    assert identities.matching_subject(Claim(ISSUER, ["b"])) == "b"


def test_how_often_an_expression_may_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    identities = CompiledIdentities([Identity("^i$", "^s$")])
    asked: list[object] = []

    def give_up(_regex: object, texts: object) -> None:
        asked.append(texts)
        raise InvalidSelection("It takes too long.", "")

    monkeypatch.setattr(BoundedRegex, "search_all", give_up)
    for _signature in range(identity.MAX_TIMEOUTS + 2):
        with pytest.raises(Rejected):
            identities.matching_subject(Claim("i", ["s"]))
    assert len(asked) == identity.MAX_TIMEOUTS


def test_the_first_name_that_matches_is_the_signers() -> None:
    claim = Claim(ISSUER, ["first@example.com", "second@example.com"])
    assert match(claim, (".*", "@example")) == "first@example.com"
    assert CompiledIdentities([], any_identity=True).matching_subject(claim) == "first@example.com"


def test_names_are_bounded() -> None:
    everything = (".*", ".*")
    longest = "a" * identity.MAX_NAME

    assert match(Claim(ISSUER, [longest]), everything) == longest
    assert match(Claim(ISSUER, [longest + "a"]), everything) == ""
    assert match(Claim(ISSUER, [SUBJECT, longest + "a"]), everything) == ""
    assert match(Claim(longest + "a", [SUBJECT]), everything) == ""
    assert match(Claim(ISSUER, [SUBJECT] * identity.MAX_NAMES), everything) == SUBJECT
    assert match(Claim(ISSUER, [SUBJECT] * (identity.MAX_NAMES + 1)), everything) == ""
    with pytest.raises(Rejected) as caught:
        CompiledIdentities([], any_identity=True).matching_subject(Claim(ISSUER, [longest + "a"]))
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x1b", "\x7f", "\u202e"])
def test_names_with_control_characters_are_refused(character: str) -> None:
    assert match(Claim(ISSUER, [f"{SUBJECT}{character}"]), (".*", ".*")) == ""
    assert match(Claim(f"{ISSUER}{character}", [SUBJECT]), (".*", ".*")) == ""
    assert match(Claim(ISSUER, ["J\u00fcrgen M\u00fcller <j@example.com>"]), (".*", ".*"))


def test_a_certificate_without_a_name_is_nobodys() -> None:
    assert match(Claim(ISSUER, []), (".*", ".*")) == ""
    with pytest.raises(Rejected):
        CompiledIdentities([], any_identity=True).matching_subject(Claim(ISSUER, []))


def test_a_refusal_shows_who_signed() -> None:
    with pytest.raises(Rejected) as caught:
        CompiledIdentities([Identity("x", "y")]).matching_subject(Claim("i" * 2000, ["s" * 2000] * 60))
    assert "iii" in caught.value.message and "sss" in caught.value.message
    assert len(caught.value.message) < 1500 and "takes too long" not in caught.value.message


# -- policies


def test_no_identity_has_to_be_written_out() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        CompiledIdentities([])
    assert "any_identity: true" in caught.value.hint

    assert CompiledIdentities([], any_identity=True).matching_subject(Claim("", [SUBJECT])) == SUBJECT


def test_identities_and_any_identity_contradict_each_other() -> None:
    with pytest.raises(InvalidPolicy):
        CompiledIdentities([Identity("a", "b")], any_identity=True)


@pytest.mark.parametrize(
    ("issuer", "subject", "reason"),
    [
        ("", "a", "'issuer' of identity 2 is empty"),
        ("a", "", "'subject' of identity 2 is empty"),
        ("(", "a", "'(' in 'issuer' of identity 2 does not parse"),
        ("a", "[b", "'[b' in 'subject' of identity 2 does not parse"),
        ("a", "b" * 1001, "'subject' of identity 2 is longer than 1000"),
        ("a", "*", "'subject' of identity 2 does not parse"),
    ],
)
def test_an_expression_that_cannot_be_used_is_named(issuer: str, subject: str, reason: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        CompiledIdentities([Identity("a", "b"), Identity(issuer, subject)])
    assert reason in caught.value.message


def test_identities_are_bounded() -> None:
    CompiledIdentities([Identity("a", "b")] * identity.MAX_IDENTITIES)
    with pytest.raises(InvalidPolicy):
        CompiledIdentities([Identity("a", "b")] * (identity.MAX_IDENTITIES + 1))


# -- anchors


@pytest.mark.parametrize(
    ("pattern", "anchored"),
    [
        ("^a$", True),
        (r"\Aa\z", True),
        (r"^a\z", True),
        ("^(a|b)$", True),
        ("^(?:a|b)$", True),
        ("^(abc)$", True),
        (r"^a\.$", True),
        (r"^a$|^b\z", True),
        ("^a$|^b$", True),
        ("(?i)^a$", True),
        ("^[]$|]$", True),
        (r"^a\|b$", True),
        ("^$", True),
        ("a", False),
        ("^a", False),
        ("a$", False),
        (r"^a\$", False),
        (r"\^a$", False),
        ("^a|b$", False),
        ("^a$|b", False),
        ("(?m)^a$", False),
        ("(?im)^a$", False),
        ("^a[$]", False),
        ("^a[$", False),
        (r"^a\\z", False),
        ("(?:x)^a$", False),
        ("(?i", False),
        (".*", False),
        ("", False),
    ],
)
def test_anchors_are_seen(pattern: str, anchored: bool) -> None:
    assert is_anchored(pattern) == anchored


def test_expressions_without_anchors_are_warned_of() -> None:
    identities = CompiledIdentities([Identity("^a$", "^b$"), Identity("^a$", "@example.com")])

    (warning,) = identities.warnings
    assert "'@example.com' in 'subject' of identity 2 is not anchored" in warning


def test_an_entry_that_is_listed_twice_is_one() -> None:
    loose = Identity("^a$", "@example.com")
    twice = CompiledIdentities([loose, loose])

    assert len(twice.warnings) == 1
    assert len(twice.matching_entries(Claim("a", ["release@example.com"]))) == 1


def test_entries_are_satisfied_by_issuer_and_subject() -> None:
    claim = Claim(ISSUER, [SUBJECT])
    good, other_issuer, other_subject = ("issuer", "release"), ("nobody", "release"), ("issuer", "nobody")

    for pairs, count in (
        ([good], 1),
        ([other_issuer], 0),
        ([other_subject], 0),
        ([good, other_issuer, other_subject], 1),
        ([good, ("issuer", "."), other_issuer], 2),
    ):
        identities = CompiledIdentities([Identity(*each) for each in pairs])
        assert len(identities.matching_entries(claim)) == count
    assert len(CompiledIdentities([], any_identity=True).matching_entries(claim)) == 1


# -- what certificates say


def claim_of(mini: MiniSigstore, legacy: bool, **fields: Any) -> Claim:
    return claimed_identity(mini.issue(Leaf(**fields)), legacy)


def test_the_issuer_may_be_in_either_extension(mini: MiniSigstore) -> None:
    assert claim_of(mini, True).issuer == claim_of(mini, False).issuer == ISSUER
    assert claim_of(mini, True, issuer_v2=None).issuer == claim_of(mini, False, issuer_v2=None).issuer == ISSUER
    assert (claim_of(mini, True, issuer=None).issuer, claim_of(mini, False, issuer=None).issuer) == ("", ISSUER)
    assert claim_of(mini, False, issuer=None, issuer_v2=None).issuer == ""


@pytest.mark.parametrize("legacy", [True, False])
def test_two_issuers_that_differ_are_refused(mini: MiniSigstore, legacy: bool) -> None:
    with pytest.raises(Rejected) as caught:
        claim_of(mini, legacy, issuer_v2=utf8_string("https://other.example.com"))
    assert caught.value.code == "identity"


@pytest.mark.parametrize("length", [1, 127, 128, 255, 256, 2000])
def test_an_issuer_of_any_length_is_read(mini: MiniSigstore, length: int) -> None:
    text = "i" * length

    assert claim_of(mini, False, issuer=None, issuer_v2=utf8_string(text)).issuer == text
    assert claim_of(mini, False, issuer=None, issuer_v2=b"\x0c\x00").issuer == ""


@pytest.mark.parametrize(
    "value",
    [b"", b"\x0c", b"\x0c\x05ab", b"\x0c\x01ab", b"\x16\x02ab", b"\x0c\x81", b"\x0c\x80", b"\x0c\x01\xff", b"ab"],
)
def test_an_issuer_that_is_no_utf8_string_is_refused(mini: MiniSigstore, value: bytes) -> None:
    with pytest.raises((Rejected, ValueError)):
        claim_of(mini, False, issuer=None, issuer_v2=value)


@pytest.mark.parametrize("legacy", [True, False])
def test_whose_name_it_is_depends_on_the_issuer(mini: MiniSigstore, legacy: bool) -> None:
    """The same name of another issuer is somebody else; where no issuer is named, the name alone says who it is."""

    def names(**fields: Any) -> set[str]:
        return set(claim_of(mini, legacy, **fields).aliases)

    other = "https://other.example.com"
    whole = names()
    assert whole and whole == names(issuer=None) == names(issuer_v2=None)
    nobodys = names(issuer=None, issuer_v2=None)
    assert nobodys and nobodys == names(issuer=None, issuer_v2=None)
    assert not whole & nobodys
    assert not whole & names(issuer=None, issuer_v2=utf8_string(other))


def test_which_names_count(mini: MiniSigstore) -> None:
    uri, other_uri = (
        x509.UniformResourceIdentifier("https://ci.example.com/x"),
        x509.UniformResourceIdentifier("https://y"),
    )
    email, dns = x509.RFC822Name(SUBJECT), x509.DNSName("release.example.com")
    fulcio = x509.OtherName(FULCIO_NAME, utf8_string("someone!example.com"))
    foreign = x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), der(0x0C, b"foreign"))
    folder = x509.DirectoryName(x509.Name([]))

    for names, legacy, bundle in (
        ([email], [SUBJECT], [SUBJECT]),
        ([email, uri, other_uri], [uri.value, "https://y", SUBJECT], [uri.value]),
        ([fulcio, email], [SUBJECT, "someone!example.com"], [SUBJECT]),
        ([fulcio], ["someone!example.com"], ["someone!example.com"]),
        ([dns], [dns.value], []),
        ([foreign, folder], [], []),
        ([], [], []),
    ):
        assert list(claim_of(mini, True, names=names).subjects) == legacy
        assert list(claim_of(mini, False, names=names).subjects) == bundle

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timestamps and signing authorities: notation's verdict next to this collection's."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.attached import attach_notation, open_repository, unit_helper
from support.notation_cli import Notation, lab, policy_of, push_artifact
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.notation import NotationVerifier
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.provider_notation import verify_notation

pytestmark = pytest.mark.once

mini_tsa = unit_helper("mini_tsa")

DAY, HOUR = datetime.timedelta(days=1), datetime.timedelta(hours=1)
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
BOTH = ("jws", "cose")
ALWAYS = {"trustStores": ["ca:good", "tsa:time"]}
AFTER = {**ALWAYS, "verifyTimestamp": "afterCertExpiry"}
AUTHORITY = {"trustStores": ["signingAuthority:vouching"]}
EXPIRED = {"begins": NOW - 30 * DAY, "ends": NOW - DAY}


@pytest.fixture
def notation(tools: Tools, tmp_path: Path) -> Notation:
    tools["notation"]
    return Notation(tools, tmp_path / "config")


@pytest.fixture(name="tsa", scope="module")
def _tsa() -> Any:
    return mini_tsa.MiniTsa(NOW)


def judge(policy: dict[str, Any], stores: dict[str, Any], repository: RegistryRepository, artifact: Descriptor) -> Any:
    store = {name: [lab.pem(each) for each in certificates] for name, certificates in stores.items()}
    option = {"provider": "notation", "trust_policy": policy, "trust_store": store}
    return verify_notation(NotationVerifier(parse_policy(option)), repository, artifact)


@pytest.mark.parametrize("form", BOTH)
def test_what_notation_signs_with_a_timestamp(
    oci11_registry: RegistryServer, notation: Notation, tsa: Any, tmp_path: Path, form: str
) -> None:
    """The authority's answers have to satisfy notation when it signs, too."""
    repository = open_repository(oci11_registry, f"notation/timed-{form}")
    artifact = push_artifact(repository).descriptor
    reference = f"{repository.reference.name}@{artifact.digest}"
    stores = {"ca:good": [lab.root().chain[0]], "tsa:time": [tsa.root]}
    policy = policy_of(**ALWAYS)
    notation.trust(policy, stores)
    notation.add_key("key", lab.make_identity())
    root = tmp_path / "tsa.pem"
    root.write_text(lab.pem(tsa.root))
    with tsa.served(NOW - HOUR) as url:
        options = [
            "--key",
            "key",
            "--signature-format",
            form,
            "--timestamp-url",
            url,
            "--timestamp-root-cert",
            str(root),
        ]
        notation.run("sign", *options, "--force-referrers-tag=false", "--insecure-registry", reference)
    accepted, said = notation.accepts(reference)
    assert accepted, said

    (signer,) = judge(policy, stores, repository, artifact).signers
    assert signer.signed_at == f"{NOW - HOUR:%Y-%m-%dT%H:%M:%SZ}"
    repository.close()


@dataclass(frozen=True)
class Case:
    """One signature and one policy. ``stamp`` are the options of its timestamp; without any it has none."""

    name: str
    identity: dict[str, Any] = field(default_factory=dict)
    stamp: dict[str, Any] | None = None
    authentic: datetime.datetime | None = None
    policy: dict[str, Any] = field(default_factory=dict)
    tsa: dict[str, Any] | None = None
    accepted: bool = False


def cases() -> Iterator[Case]:
    week = {"time": NOW - 7 * DAY}
    for name, policy in (("always", ALWAYS), ("after expiry", AFTER)):
        yield Case(f"expired, {name}", EXPIRED, week, policy=policy, accepted=True)
        yield Case(f"expired and not stamped, {name}", EXPIRED, policy=policy)
        yield Case(f"not stamped, {name}", policy=policy, accepted=name != "always")
        yield Case(f"stamped late, {name}", EXPIRED, {"time": NOW - HOUR}, policy=policy)
        yield Case(f"stamped early, {name}", EXPIRED, {"time": NOW - 40 * DAY}, policy=policy)
    yield Case("permissive", EXPIRED, {"time": NOW - HOUR}, policy={**ALWAYS, "level": "permissive"}, accepted=True)
    at_the_end = {"time": NOW - DAY}
    for name, changes, accepted in (
        ("of SHA-512", {"hash_name": "sha512", "signed_hash": "sha512"}, True),
        ("of something else", {"imprint": b"x" * 32}, False), ("changed", {"tampered": True}, False),
        ("without a name of its signer", {"names_signer": False}, False),
        ("without certificates", {"certificates": []}, False), ("of SHA-1", {"hash_name": "sha1"}, False),
        ("of version 2", {"version": 2}, False), ("of data", {"content_type": "1.2.840.113549.1.7.1"}, False),
        ("by a policy", {"policy": "0.4.0.2023.1.1"}, True), ("at the end", at_the_end, True),
        ("at the end, by a policy", {**at_the_end, "policy": "0.4.0.2023.1.1"}, False),
        ("at the end, inexact", {**at_the_end, "accuracy": mini_tsa.sequence(mini_tsa.integer(1))}, False),
    ):  # fmt: skip
        yield Case(f"timestamp {name}", EXPIRED, {**week, **changes}, policy=ALWAYS, accepted=accepted)
    usages = mini_tsa.ExtendedKeyUsageOID
    for name, options, accepted in (
        ("of two usages", {"usages": [usages.TIME_STAMPING, usages.CODE_SIGNING]}, False),
        ("of a usage that is not critical", {"critical": False}, False),
        ("expired before", {"ends": NOW - 8 * DAY}, False), ("expired since", {"ends": NOW - 6 * DAY}, True),
        ("of an expired root", {"root_ends": NOW - 8 * DAY}, False),
    ):  # fmt: skip
        yield Case(f"authority {name}", EXPIRED, week, policy=ALWAYS, tsa=options, accepted=accepted)
    for name, time, accepted in (
        ("in time", NOW - 7 * DAY, True), ("late", NOW, False), ("early", NOW - 40 * DAY, False),
    ):  # fmt: skip
        yield Case(f"signing authority, {name}", EXPIRED, authentic=time, policy=AUTHORITY, accepted=accepted)
    yield Case("signing authority, other store", authentic=NOW)
    yield Case("other scheme", policy=AUTHORITY)


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_the_same_verdict(oci11_registry: RegistryServer, notation: Notation, tsa: Any, case: Case) -> None:
    repository = open_repository(oci11_registry, "notation/time")
    authority = tsa if case.tsa is None else mini_tsa.MiniTsa(NOW, **case.tsa)
    stores = {
        "ca:good": [lab.root().chain[0]],
        "signingAuthority:vouching": [lab.root().chain[0]],
        "tsa:time": [authority.root],
    }
    policy = policy_of(**case.policy)
    notation.trust(policy, stores)

    def stamp(signature: bytes) -> Any:
        options = dict(case.stamp or {})
        return authority.token(signature, options.pop("time"), **options)

    for form in BOTH:
        own = push_artifact(repository, f"{case.name} {form}".encode()).descriptor
        made = lab.make_envelope(
            form,
            lab.make_identity(**case.identity),
            payload=lab.payload_for(own),
            authentic=case.authentic,
            stamp=stamp if case.stamp else None,
        )
        attach_notation(repository, own, made, lab.MEDIA_TYPES[form])
        accepted, said = notation.accepts(f"{repository.reference.name}@{own.digest}")
        try:
            here = judge(policy, stores, repository, own).verified
        except OciError as exc:
            here, said = False, f"{said}\n{exc}"
        assert (accepted, here) == (case.accepted, case.accepted), said
    repository.close()

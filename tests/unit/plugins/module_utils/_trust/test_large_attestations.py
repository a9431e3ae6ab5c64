# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory that the attestation of a large SBOM takes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cosign import DSSE_ENVELOPE

from .test_budget import MIB, Place, check, peak, refusal

pytestmark = pytest.mark.once


@pytest.fixture
def place() -> Any:
    return Place()


@pytest.fixture(scope="module")
def key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


def sbom(size: int) -> Iterator[bytes]:
    """About ``size`` bytes of packages as in SPDX, in pieces."""
    package = {
        "SPDXID": "SPDXRef-Package-%09d",
        "name": "libexample%09d",
        "versionInfo": "1.2.3-4",
        "downloadLocation": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": "b" * 64}],
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:deb/x@1"}
        ],
        "licenseDeclared": "GPL-2.0-or-later AND \u00e9",
        "filesAnalyzed": False,
        "copyrightText": "line\none",
    }
    text = json.dumps(package, ensure_ascii=False).encode("utf-8")
    yield b'{"spdxVersion":"SPDX-2.3","packages":['
    for number in range(size // len(text)):
        yield text.replace(b"%09d", b"%09d" % number) + b","
    yield b"{}]}"


def large_attestation(place: Any, key: Any, where: str, size: int) -> None:
    digest = place.digest.partition(":")[2].encode("ascii")
    start = (
        b'{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"digest":{"sha256":"' + digest + b'"}}],'
        b'"predicateType":"https://spdx.dev/Document","predicate":'
    )
    payload = b"".join([start, *sbom(size), b"}"])
    signed = formats.pre_authentication_encoding(formats.IN_TOTO, payload)
    signature = base64.b64encode(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    envelope = b'{"payloadType":"application/vnd.in-toto+json","payload":"%s","signatures":[{"sig":"%s"}]}'
    envelope %= (base64.b64encode(payload), signature)
    if where == ".att":
        place.tag(".att", [place.blob(envelope, DSSE_ENVELOPE)])
        return
    material = b'{"mediaType":"%s","verificationMaterial":{"publicKey":{"hint":""}},"dsseEnvelope":%s}'
    place.attach(place.blob(material % (formats.BUNDLE_V03.encode("ascii"), envelope), formats.BUNDLE_V03))


@pytest.mark.parametrize(("where", "size"), [("bundle", 20), (".att", 20), (".att", 100)])
def test_the_memory_that_a_large_sbom_takes(place: Any, key: Any, where: str, size: int) -> None:
    """One copy of the statement; a quarter of it for the buffer that grows while it arrives."""
    large_attestation(place, key, where, size * MIB)
    # to look for a condition takes as long as to skip all of it
    rule = {"type": "spdxjson", **({"match": {"spdxVersion": "SPDX-2.3"}} if size == 20 else {})}
    verdicts = []
    policy: dict[str, Any] = {"attestations": [rule], "max_attestation_size": "200MiB"}
    assert peak(lambda: verdicts.append(check(place, key, **policy))) < size * MIB * 1.3 + 16 * MIB
    assert verdicts[0].verified
    if size == 20:
        assert check(place, key, attestations=[rule]).verified, "by default"
        message = refusal(place, key, attestations=[rule], max_attestation_size="16MiB").message
        assert "too-large: " in message
        assert f"more than the {16 * MIB} that are read ('max_attestation_size')" in message

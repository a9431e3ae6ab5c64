# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of deployments: signed statements, attached to a digest, that say which fleet runs it, and since when.

A record is an in-toto statement with the predicate of a SLSA verification summary (VSA, version 1), in a DSSE envelope.
It is a referrer of a type of its own: a Sigstore bundle would count as a signature of the artifact, and make clients
pass over the legacy signatures beside it.

Whoever may push to the repository may attach a record. Retention takes each for what it says, which keeps an artifact
and removes none; everything else believes those alone that the key at hand has signed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from .._errors import InvalidContent, InvalidOption, NotFound
from .._oci import media
from .._oci.attachment import attach
from .._oci.manifest import Descriptor, canonical_json
from .._oci.reference import parse_url
from .._oci.repository import read_small_blob
from .._oci.times import parse_time, time_text
from .connect_to_write import open_to_write

if TYPE_CHECKING:
    from .._oci.options import AuthOptions, ConnectionOptions
    from .._oci.repository import Repository, WritableRepository
    from .._trust.private_keys import PrivateKey
    from .clients import Clients

ARTIFACT_TYPE = "application/vnd.cloudnative.artifacts.deployment.v1+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
# https://slsa.dev/spec/v1.0/verification_summary
PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
# in the predicate, beside the fields of a verification summary
EXTENSION = "urn:cloudnative.artifacts:deployment:v1"
_PREFIX = "cloudnative.artifacts/"
FLEET, SINCE, SEEN = (f"{_PREFIX}{name}" for name in ("fleet", "since", "seen"))
PASSED, FAILED = "PASSED", "FAILED"
CREATED, UNCHANGED = "created", "unchanged"
# seconds after which a record is made anew
RENEWAL = 7 * 86400.0
MAX_FLEET = 200
# the most records of one artifact that are looked through
MAX_RECORDS = 1000


class Deployment(NamedTuple):
    """What a record says that the key has signed: the fleet, since when and until when it is known to run the digest,
    and whether its signatures satisfied the policy then. ``digest`` is that of the record."""

    fleet: str
    since: str
    seen: str
    result: str
    digest: str


@dataclass(frozen=True)
class Recorder:
    """Attaches records of one fleet. ``policy`` identifies what signatures are checked by."""

    fleet: str
    key: PrivateKey = field(repr=False)
    policy: str = ""

    def check(self) -> None:
        """:raises InvalidOption: when the name of the fleet cannot be used."""
        if not 0 < len(self.fleet) <= MAX_FLEET or not self.fleet.isprintable():
            raise InvalidOption(f"'fleet' is no name of 1 to {MAX_FLEET} characters that can be printed.")

    def record(
        self,
        url: str,
        digest: str,
        since: str,
        auth: AuthOptions,
        connection: ConnectionOptions,
        clients: Clients,
        *,
        passed: bool,
        check_mode: bool = False,
    ) -> dict[str, Any]:
        """Make sure that a record of this fleet is attached to a digest that is not older than a week; return what it
        says. In check mode nothing is attached.

        :param since: since when the fleet runs it (RFC 3339); an earlier record of it may know better.
        :param passed: its signatures satisfy the policy.
        :raises OciError: when the registry refuses it, or can list no referrers.
        """
        result = PASSED if passed else FAILED
        repository = open_to_write(parse_url(url), auth, connection, check_mode=check_mode, clients=clients)
        try:
            artifact = repository.resolve(digest)
            own = [each for each in self._own(repository, digest) if each.fleet == self.fleet]
            newest = max(own, key=lambda each: each.seen, default=None)
            times = [text for text in (since, *(each.since for each in own)) if parse_time(text) is not None]
            since = min(times, default=time_text(time.time()))
            seen = parse_time(newest.seen) if newest is not None else None
            if newest is not None and newest.result == result and seen is not None and time.time() - seen < RENEWAL:
                return {**self._said(url, digest, newest.since, result), "status": UNCHANGED, "digest": newest.digest}
            made = ""
            if not check_mode:
                repository.check_attachable(digest)
                made = self._attach(repository, artifact, self._statement(url, digest, since, result), since)
        finally:
            repository.close()
        return {**self._said(url, digest, since, result), "status": CREATED, "digest": made}

    def _said(self, url: str, digest: str, since: str, result: str) -> dict[str, Any]:
        return {"fleet": self.fleet, "url": url, "artifact": digest, "since": since, "result": result}

    def _own(self, repository: Repository, digest: str) -> Iterator[Deployment]:
        """The records of an artifact that this key has signed."""
        from .._trust.formats import IN_TOTO, Document, check_statement, parse_envelopes, strict_json
        from .._trust.verdict import Rejected

        for entry in repository.list_referrers(digest, ARTIFACT_TYPE)[:MAX_RECORDS]:
            try:
                manifest = repository.fetch_manifest(entry.digest)
                if len(manifest.layers) != 1 or manifest.layers[0].media_type != ENVELOPE_TYPE:
                    continue
                raw = read_small_blob(repository, manifest.layers[0])
                (envelope,) = parse_envelopes(Document(raw))
                if envelope.payload_type != IN_TOTO or not self.key.public.verifies(
                    envelope.signature, envelope.signed
                ):
                    continue
                check_statement(envelope, digest, (PREDICATE_TYPE,))
                predicate = strict_json(envelope.payload, "The record", is_signed=True)["predicate"]
                more = predicate[EXTENSION]
                yield Deployment(
                    str(more["fleet"]),
                    str(more["since"]),
                    str(predicate["timeVerified"]),
                    str(predicate["verificationResult"]),
                    entry.digest,
                )
            except (Rejected, NotFound, InvalidContent, LookupError, TypeError, ValueError):
                continue

    def _statement(self, url: str, digest: str, since: str, result: str) -> bytes:
        algorithm, _colon, encoded = digest.partition(":")
        predicate = {
            "verifier": {"id": f"urn:cloudnative.artifacts:fleet:{quote(self.fleet, safe='')}"},
            "timeVerified": time_text(time.time()),
            "resourceUri": f"{url}@{digest}",
            "policy": {
                "uri": "urn:cloudnative.artifacts:policy",
                "digest": {"sha256": hashlib.sha256(self.policy.encode("utf-8")).hexdigest()},
            },
            "verificationResult": result,
            # which build made it was not looked at
            "verifiedLevels": ["SLSA_BUILD_LEVEL_UNEVALUATED"] if result == PASSED else [],
            "slsaVersion": "1.0",
            EXTENSION: {"fleet": self.fleet, "since": since},
        }
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": url, "digest": {algorithm: encoded}}],
                "predicateType": PREDICATE_TYPE,
                "predicate": predicate,
            }
        )

    def _attach(self, repository: WritableRepository, artifact: Descriptor, statement: bytes, since: str) -> str:
        from .._trust.formats import IN_TOTO, pre_authentication_encoding

        signature = self.key.sign(pre_authentication_encoding(IN_TOTO, statement))
        envelope = json.dumps(
            {
                "payloadType": IN_TOTO,
                "payload": base64.b64encode(statement).decode("ascii"),
                "signatures": [{"sig": base64.b64encode(signature).decode("ascii")}],
            }
        ).encode("ascii")
        now = time_text(time.time())
        return attach(
            repository,
            artifact,
            envelope,
            artifact_type=ARTIFACT_TYPE,
            media_type=ENVELOPE_TYPE,
            annotations={media.ANNOTATION_CREATED: now, FLEET: self.fleet, SINCE: since, SEEN: now},
        )


def recorder(fleet: str, key: str, key_password: str | None, policy: Mapping[str, Any]) -> Recorder:
    """Return what attaches the records of a fleet.

    :param key: PEM text or a path; ``policy`` are the options that signatures are checked by.
    :raises InvalidPolicy: when the key cannot be used.
    :raises InvalidOption: when the name of the fleet cannot.
    """
    from .._trust.private_keys import load_private_key

    made = Recorder(fleet, load_private_key(key, key_password), json.dumps(policy, sort_keys=True, default=str))
    made.check()
    return made


def last_deployed(repository: Repository, digest: str) -> float | None:
    """When any fleet last said that it runs a digest (seconds since 1970), by records that are not verified; None when
    none has. One without a time that can be understood, or with one to come, counts as of now."""
    found: list[float] = []
    for entry in repository.list_referrers(digest, ARTIFACT_TYPE)[:MAX_RECORDS]:
        # some registries, and older ones, list referrers without their annotations
        annotations = entry.annotations or repository.fetch_manifest(entry.digest).annotations
        seen = parse_time(annotations.get(SEEN, ""))
        found.append(time.time() if seen is None else seen)
    return max(found, default=None)

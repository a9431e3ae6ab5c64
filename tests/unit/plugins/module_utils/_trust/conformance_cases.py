# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of sigstore-conformance that apply to attested artifacts in registries, made with a Sigstore for tests.

Names are those of the suite (test/assets/bundle-verify): what ends in ``_fail`` has to be refused. Cases of its that
have no counterpart here, and why, are in ``LEFT_OUT``. Where the suite signs a file (messageSignature), an envelope is
signed.
"""

from __future__ import annotations

import base64
import copy
import datetime
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats

from .mini_sigstore import (
    DIGEST,
    MINUTE,
    NOW,
    YEAR,
    Leaf,
    MiniSigstore,
    b64,
    compact,
    dsse,
    hashedrekord,
    hashedrekord_v2,
    intoto,
    new_key,
    sign,
    spki,
    statement,
)
from .mini_tsa import MiniTsa

ORIGIN = "log.example.com"
OTHER_STATEMENT = "https://in-toto.io/Statement/v2"
LEFT_OUT = {
    "happy-path-v0.1": "bundles of older versions are not read from registries, by cosign either",
    "happy-path-v0.2": "as above",
    "managed-key-and-client-identity_fail": "about options of a command line",
    "managed-key-no-key_fail": "about options of a command line",
}


@dataclass
class Case:
    """A bundle, the trusted root that it is checked against, and whether a key is trusted in place of an identity."""

    name: str
    bundle: Any
    root: dict[str, Any]
    key: Any = None
    uses_timestamps: bool = False

    @property
    def is_good(self) -> bool:
        return not self.name.endswith("_fail")


@dataclass
class Conformance:
    """Makes the cases for one artifact."""

    digest: str = DIGEST
    now: datetime.datetime = NOW
    mini: MiniSigstore = field(default_factory=MiniSigstore)

    def __post_init__(self) -> None:
        self.tsa = MiniTsa(self.now)
        self.payload = statement(self.digest)
        self.signed = formats.pre_authentication_encoding(formats.IN_TOTO, self.payload)
        self.certificate = self.mini.issue(self.leaf())
        self.root = self.mini.trusted_root(timestampAuthorities=[self.tsa.authority()])
        # Rekor 2 signs checkpoints with Ed25519, and is named as in a signed note
        self.log_2 = ed25519.Ed25519PrivateKey.generate()
        raw = self.log_2.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id_2 = hashlib.sha256(ORIGIN.encode("ascii") + b"\n\x01" + raw).digest()
        log = self.mini.log(self.log_2, {})
        log["publicKey"]["keyDetails"] = "PKIX_ED25519"
        log["logId"] = {"keyId": b64(self.id_2)}
        self.root_2 = {**self.root, "tlogs": [log]}

    def leaf(self, **changes: Any) -> Leaf:
        return Leaf(
            **{"begins": self.now - MINUTE / 2, "ends": self.now + 9 * MINUTE, "scts": ({"time": self.now},), **changes}
        )

    def window(self, seconds: int = 0) -> str:
        return f"{self.now + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"

    # -- bundles

    def made(
        self, kind: Callable[..., bytes] = dsse, *, payload: bytes | None = None, **changes: Any
    ) -> dict[str, Any]:
        """A bundle of Rekor 1, recorded as this kind of entry."""
        content = self.payload if payload is None else payload
        certificate = changes.pop("certificate", self.certificate)
        time = changes.pop("time", self.now)
        signed = formats.pre_authentication_encoding(formats.IN_TOTO, content)
        signature = changes.pop("signature", None) or sign(self.mini.key, signed)
        recorded = {"signature": signature, "payload": signed if kind is hashedrekord else content}
        recorded.update(changes)
        body = kind(recorded["signature"], recorded["payload"], certificate.public_bytes(Encoding.PEM))
        return self.mini.bundle(certificate, content, signature=signature, body=body, time=time)

    def made_2(self, *stamps: dict[str, str] | None, lines: Callable[[list[str], list[str]], str] | None = None) -> Any:
        """A bundle of Rekor 2, with a timestamp of its signature unless told otherwise."""
        signature = sign(self.mini.key, self.signed)
        body = hashedrekord_v2(signature, self.signed, self.certificate.public_bytes(Encoding.DER))
        made = self.mini.bundle(self.certificate, self.payload, signature=signature, body=body)
        (entry,) = made["verificationMaterial"]["tlogEntries"]
        del entry["inclusionPromise"], entry["integratedTime"]
        proof = entry["inclusionProof"]
        # there is one index, that in the tree
        entry.update(logId={"keyId": b64(self.id_2)}, logIndex=proof["logIndex"])
        text = [ORIGIN, proof["treeSize"], proof["rootHash"]]
        note = "".join(f"{line}\n" for line in text)
        own = self.note_line(self.log_2, self.id_2, ORIGIN, note)
        proof["checkpoint"]["envelope"] = lines(text, [own]) if lines else f"{note}\n{own}\n"
        given = [self.tsa.stamp(signature, self.now)] if not stamps else [each for each in stamps if each]
        made["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": given}
        return made

    @staticmethod
    def note_line(key: Any, key_id: bytes, name: str, note: str) -> str:
        return f"\u2014 {name} {b64(key_id[:4] + key.sign(note.encode('utf-8')))}"

    def stamped_2(self, make: Callable[[bytes], dict[str, str]], *, also_good: bool = False) -> Any:
        """A bundle of Rekor 2 with a timestamp that is made of its signature."""
        made = self.made_2()
        signature = base64.b64decode(made["dsseEnvelope"]["signatures"][0]["sig"])
        good = made["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
        made["verificationMaterial"]["timestampVerificationData"] = {
            "rfc3161Timestamps": [*(good if also_good else []), make(signature)]
        }
        return made

    # -- cases

    def cases(self) -> list[Case]:
        of_logs = (*self.of_entries(), *self.of_rekor_2(), *self.of_timestamps())
        return [*self.of_bundles(), *of_logs, *self.of_keys(), *self.of_roots()]

    def of_bundles(self) -> list[Case]:
        def case(name: str, change: Callable[[dict[str, Any]], Any], root: Any = None) -> Case:
            made = self.made()
            changed = change(made)
            return Case(name, changed if isinstance(changed, bytes) else made, root or self.root)

        def chain(*certificates: Any) -> Callable[[dict[str, Any]], Any]:
            encoded = [{"rawBytes": b64(each.public_bytes(Encoding.DER))} for each in certificates]

            def change(made: dict[str, Any]) -> None:
                del made["verificationMaterial"]["certificate"]
                made["verificationMaterial"]["x509CertificateChain"] = {"certificates": encoded}

            return change

        return [
            case("happy-path-v0.3", lambda made: None),
            case(
                "happy-path-v0.3-new-mediaType",
                lambda made: made.update(mediaType="application/vnd.dev.sigstore.bundle.v0.3+json"),
            ),
            case("happy-path-intoto-in-dsse-v3", lambda made: None),
            case("bundle-malformed-json_fail", lambda made: json.dumps(made).encode()[:-1]),
            case(
                "bundle-unknown-version_fail", lambda made: made.update(mediaType=f"{formats.BUNDLE_V03[:-8]}99+json")
            ),
            case("bundle-empty-certificate-chain_fail", chain()),
            case(
                "bundle-with-root-cert_fail",
                chain(self.certificate, self.mini.intermediate.certificate, self.mini.root.certificate),
            ),
            case("bundle-invalid-base64-signature_fail", lambda made: signatures(made)[0].update(sig="?")),
            case("bundle-negative-log-index_fail", lambda made: entry(made).update(logIndex="-1")),
            case("bundle-from-wrong-instance_fail", lambda made: None, MiniSigstore().trusted_root()),
            Case(
                "bundle-with-sct-with-extensions", self.made(certificate=self.recorded(extensions=b"more")), self.root
            ),
            Case(
                "invalid-ct-key_fail",
                self.made(certificate=self.recorded(key=new_key(), log_id=self.ct_id())),
                self.root,
            ),
            Case("wrong-material_fail", self.made(certificate=self.mini.issue(self.leaf(), key=new_key())), self.root),
            Case("message-digest-mismatch_fail", self.made(payload=statement("sha256:" + "00" * 32)), self.root),
            Case("dsse-statement-missing-type_fail", self.made(payload=self.typed(None)), self.root),
            Case("dsse-statement-unknown-type_fail", self.made(payload=self.typed(OTHER_STATEMENT)), self.root),
        ]

    def recorded(self, **sct: Any) -> Any:
        return self.mini.issue(self.leaf(scts=({"time": self.now, **sct},)))

    def ct_id(self) -> bytes:
        return hashlib.sha256(spki(self.mini.ct_key)).digest()

    def typed(self, kind: str | None) -> bytes:
        document = {**json.loads(self.payload), "_type": kind}
        return compact({key: value for key, value in document.items() if value is not None})

    def of_entries(self) -> list[Case]:
        other = sign(self.mini.key, self.signed)
        wrong = sign(self.mini.key, b"something else")

        def proof(change: Callable[[dict[str, Any]], Any], made: Any = None) -> Any:
            made = made or self.made()
            change(entry(made)["inclusionProof"])
            return made

        def promised(**changes: Any) -> Any:
            made = self.made()
            body = base64.b64decode(entry(made)["canonicalizedBody"])
            promise = self.mini.promise(body, self.now, int(entry(made)["logIndex"]), **changes)
            entry(made)["inclusionPromise"] = {"signedEntryTimestamp": b64(promise)}
            return made

        swapped = self.made()
        entry(swapped).update(entry(self.made(payload=self.typed("https://in-toto.io/Statement/v0.1"))))
        elsewhere = b64(hashlib.sha256(b"another tree").digest())
        stranger = new_key()
        cases = {
            "dsse-invalid-sig_fail": self.made(signature=wrong),
            "dsse-mismatch-sig_fail": mismatched(self.made(), other),
            "dsse-mismatch-envelope_fail": self.other_payload(dsse),
            "dsse-with-hashedrekord-happy-path": self.made(hashedrekord),
            "dsse-with-hashedrekord-invalid-sig_fail": self.made(hashedrekord, signature=wrong),
            "dsse-with-hashedrekord-mismatch-sig_fail": mismatched(self.made(hashedrekord), other),
            "dsse-with-hashedrekord-mismatch-envelope_fail": self.other_payload(hashedrekord),
            "signature-mismatch_fail": mismatched(self.made(), wrong),
            "wrong-hashedrekord-artifact_fail": self.other_payload(hashedrekord),
            "wrong-hashedrekord-entry_fail": mismatched(self.made(hashedrekord), other),
            "wrong-hashedrekord-cert-and-sig_fail": self.other_certificate(hashedrekord, other),
            "incorrect-public-key_fail": self.other_certificate(dsse, None),
            "cve-2022-36056-swapped-tlog-entry_fail": swapped,
            "intoto-with-custom-trust-root": self.made(intoto),
            "intoto-canonical-log-entry": self.made(intoto),
            "intoto-log-entry-mismatch_fail": self.other_payload(intoto),
            "intoto-missing-inclusion-proof_fail": without_proof(self.made(intoto)),
            "intoto-expired-certificate_fail": self.made(
                intoto, certificate=self.mini.issue(self.leaf(begins=self.now - 9 * MINUTE, ends=self.now - MINUTE))
            ),
            "intoto-set-outside-signing-cert-validity_fail": self.made(intoto, time=self.now + 20 * MINUTE),
            "integrated-time-in-future_fail": self.made(time=self.now + 10 * YEAR),
            "set-invalid-signature_fail": promised(key=stranger),
            "inclusion-proof-corrupted-hash_fail": proof(lambda found: found["hashes"].__setitem__(0, elsewhere)),
            "invalid-inclusion-proof_fail": proof(lambda found: found.update(hashes=found["hashes"][:-1])),
            "checkpoint-wrong-roothash_fail": proof(
                lambda found: found["checkpoint"].update(envelope=self.mini.checkpoint(5, b"\0" * 32))
            ),
            "checkpoint-bad-keyhint_fail": proof(
                lambda found: found["checkpoint"].update(
                    envelope=self.mini.checkpoint(5, base64.b64decode(found["rootHash"]), hint=b"abcd")
                )
            ),
            "invalid-checkpoint-signature_fail": proof(
                lambda found: found["checkpoint"].update(
                    envelope=self.mini.checkpoint(5, base64.b64decode(found["rootHash"]), key=stranger)
                )
            ),
        }
        return [Case(name, made, self.root) for name, made in cases.items()]

    def other_payload(self, kind: Callable[..., bytes]) -> Any:
        """An entry about another payload than that of the envelope."""
        content = self.typed("https://in-toto.io/Statement/v0.1")
        signed = formats.pre_authentication_encoding(formats.IN_TOTO, content)
        signature = sign(self.mini.key, self.signed)
        pem = self.certificate.public_bytes(Encoding.PEM)
        body = kind(signature, signed if kind is hashedrekord else content, pem)
        return self.mini.bundle(self.certificate, self.payload, signature=signature, body=body, time=self.now)

    def other_certificate(self, kind: Callable[..., bytes], recorded: bytes | None) -> Any:
        """An entry with another certificate, and another signature if one is given."""
        signature = sign(self.mini.key, self.signed)
        pem = self.mini.issue(self.leaf()).public_bytes(Encoding.PEM)
        content = self.signed if kind is hashedrekord else self.payload
        body = kind(recorded or signature, content, pem)
        return self.mini.bundle(self.certificate, self.payload, signature=signature, body=body, time=self.now)

    def of_keys(self) -> list[Case]:
        def keyed(key: Any, payload: bytes | None = None) -> dict[str, Any]:
            content = self.payload if payload is None else payload
            signature = sign(key, formats.pre_authentication_encoding(formats.IN_TOTO, content))
            return {
                "mediaType": formats.BUNDLE_V03,
                "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": []},
                "dsseEnvelope": {
                    "payload": b64(content),
                    "payloadType": formats.IN_TOTO,
                    "signatures": [{"sig": b64(signature)}],
                },
            }

        key, other = new_key(), new_key()
        return [
            Case("managed-key-happy-path", keyed(key), self.root, key),
            Case("managed-key-and-trusted-root", keyed(key), self.root, key),
            Case("managed-key-wrong-key_fail", keyed(key), self.root, other),
        ]

    def of_rekor_2(self) -> list[Case]:
        witness = ed25519.Ed25519PrivateKey.generate()

        def cosigned(text: str) -> str:
            return self.note_line(witness, b"\1\2\3\4", "witness.example.com", text)

        def note(*, drop: int | None = None, witnesses: int = 0, own: int = 1, first: bool = True) -> Any:
            def lines(text: list[str], signed: list[str]) -> str:
                kept = [line for number, line in enumerate(text) if number != drop]
                body = "".join(f"{line}\n" for line in kept)
                mine = signed if drop is None else [self.note_line(self.log_2, self.id_2, ORIGIN, body)]
                others = [cosigned(body) for _each in range(witnesses)]
                every = [*mine * own, *others] if first else [*others, *mine * own]
                return body + "\n" + "".join(f"{line}\n" for line in every)

            return self.made_2(lines=lines)

        no_proof = self.made_2()
        del entry(no_proof)["inclusionProof"]
        signature = sign(self.mini.key, self.signed)
        cases = {
            "rekor2-happy-path": self.made_2(),
            "rekor2-dsse-happy-path": self.made_2(),
            "rekor2-dsse-invalid-sig_fail": mismatched(self.made_2(), sign(self.mini.key, b"something else")),
            "rekor2-dsse-mismatch-sig_fail": mismatched(self.made_2(), signature),
            "rekor2-dsse-mismatch-envelope_fail": self.replaced(self.typed("https://in-toto.io/Statement/v0.1")),
            "rekor2-no-inclusion-proof_fail": no_proof,
            "rekor2-no-timestamp_fail": self.made_2(None),
            "rekor2-checkpoint-cosigned": note(witnesses=1),
            "rekor2-checkpoint-multiple-cosigs": note(witnesses=3),
            "rekor2-checkpoint-origin-not-first": note(witnesses=1, first=False),
            "rekor2-checkpoint-two-sigs-from-origin": note(own=2),
            "rekor2-checkpoint-two-sigs-cosigned": note(own=2, witnesses=1),
            "rekor2-checkpoint-missing-origin_fail": note(drop=0),
            "rekor2-checkpoint-missing-size_fail": note(drop=1),
            "rekor2-checkpoint-missing-root-hash_fail": note(drop=2),
            "rekor2-checkpoint-missing-log-signature_fail": note(own=0),
            "rekor2-checkpoint-no-matching-signature_fail": note(own=0, witnesses=1),
        }
        return [Case(name, made, self.root_2, uses_timestamps=True) for name, made in cases.items()]

    def replaced(self, payload: bytes) -> Any:
        """A bundle of Rekor 2 whose envelope holds another payload, rightly signed."""
        made = self.made_2()
        signature = sign(self.mini.key, formats.pre_authentication_encoding(formats.IN_TOTO, payload))
        made["dsseEnvelope"].update(payload=b64(payload), signatures=[{"sig": b64(signature)}])
        stamps = [self.tsa.stamp(signature, self.now)]
        made["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
        return made

    def of_timestamps(self) -> list[Case]:
        stranger = MiniTsa(self.now, name="stranger")
        short = MiniTsa(self.now, ends=self.now - MINUTE)
        expired = MiniTsa(self.now, ends=self.now + MINUTE, root_ends=self.now + MINUTE)
        late = self.now + 20 * MINUTE

        def root(*authorities: Any) -> dict[str, Any]:
            return {**self.root_2, "timestampAuthorities": list(authorities)}

        def stamped(
            name: str, make: Callable[[bytes], dict[str, str]], *authorities: Any, also_good: bool = False
        ) -> Case:
            given = root(*authorities) if authorities else self.root_2
            return Case(name, self.stamped_2(make, also_good=also_good), given, uses_timestamps=True)

        tsa, now = self.tsa, self.now
        empty = {**tsa.authority(), "certChain": {"certificates": []}}
        ended = tsa.authority(end=self.window(-1))
        both = self.made()
        signature = base64.b64decode(signatures(both)[0]["sig"])
        both["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": [tsa.stamp(signature, late)]}
        return [
            stamped("rekor2-timestamp-with-embedded-cert", lambda each: tsa.stamp(each, now)),
            stamped("rekor2-timestamp-without-embedded-cert", lambda each: tsa.stamp(each, now, certificates=[])),
            stamped(
                "rekor2-timestamp-with-expired-cert-chain", lambda each: expired.stamp(each, now), expired.authority()
            ),
            stamped("rekor2-timestamp-outside-trust-root-tsa-validity_fail", lambda each: tsa.stamp(each, now), ended),
            stamped(
                "rekor2-timestamp-outside-tsa-cert-validity_fail",
                lambda each: short.stamp(each, now),
                short.authority(),
            ),
            stamped("rekor2-timestamp-payload-mismatch_fail", lambda each: tsa.stamp(each + b"x", now)),
            stamped("rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail", lambda each: stranger.stamp(each, now)),
            stamped(
                "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail",
                lambda each: stranger.stamp(each, now, certificates=[]),
            ),
            stamped("rekor2-timestamp-with-incorrect-time_fail", lambda each: tsa.stamp(each, late)),
            stamped("rekor2-timestamp-wrong-tsa-validity-borrow_fail", lambda each: tsa.stamp(each, now), ended, empty),
            stamped(
                "rekor2-multiple-timestamps-one-outside-cert-validity_fail",
                lambda each: tsa.stamp(each, late),
                also_good=True,
            ),
            Case("intoto-tsa-timestamp-outside-cert-validity_fail", both, self.root, uses_timestamps=True),
        ]

    def of_roots(self) -> list[Case]:
        begun = copy.deepcopy(self.root)
        del begun["tlogs"][0]["publicKey"]["validFor"]["start"]
        ended = copy.deepcopy(self.root)
        ended["tlogs"][0]["publicKey"]["validFor"]["end"] = self.window()
        tsa_ended = {**self.root_2, "timestampAuthorities": [self.tsa.authority(end=self.window())]}
        decoy = MiniSigstore().trusted_root()["certificateAuthorities"]
        doubled = {**self.root, "certificateAuthorities": [*decoy, *self.root["certificateAuthorities"]]}
        return [
            Case("trust-root-tlog-missing-validity-start_fail", self.made(), begun),
            Case("trust-root-tlog-validity-end-inclusive", self.made(), ended),
            Case("trust-root-tsa-validity-end-inclusive", self.made_2(), tsa_ended, uses_timestamps=True),
            Case("sct-duplicate-intermediate-name", self.made(), doubled),
        ]


def entry(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["verificationMaterial"]["tlogEntries"][0]
    return found


def signatures(made: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made["dsseEnvelope"]["signatures"]
    return found


def mismatched(made: dict[str, Any], signature: bytes) -> dict[str, Any]:
    """The bundle with another signature than the one that was recorded."""
    signatures(made)[0]["sig"] = b64(signature)
    return made


def without_proof(made: dict[str, Any]) -> dict[str, Any]:
    del entry(made)["inclusionProof"]
    return made

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release that the real tools have signed in every way, and what belongs to it, found without the code under test."""

from __future__ import annotations

import hashlib
import json
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import vectors
from .artifacts import INDEX, MANIFEST
from .notation_cli import Notation, lab, policy_of
from .tools import Tools

KEYS = vectors.ROOT / "keys"
# who signs for tags of cosign, and who in bundles
TAGGED, BUNDLED = "key-a", "key-b"
TAG = "1.0.0"
ATTESTED = {"attestations": [{"type": "custom"}]}
_OFFLINE = ("--tlog-upload=false", "--allow-http-registry", "--yes")
_CHECK = ("--insecure-ignore-tlog", "--allow-http-registry")
_PASSWORD = {"COSIGN_PASSWORD": "vector-password"}
_OLD = ("--new-bundle-format=false",)


Check = Callable[[str], bool]


class Signers:
    """cosign 2 for tags, cosign 3 for bundles, and notation, with a key each."""

    def __init__(self, tools: Tools, folder: Path) -> None:
        self._tools = tools
        self._folder = folder
        self.notation = Notation(tools, folder / "notation")
        self._authority = lab.make_authority("live")
        self.ca = folder / "ca.pem"
        self.ca.write_text(self._authority.root_pem)
        self.policy = policy_of()
        self.notation.add_key("good", lab.make_identity(self._authority))
        self.notation.configure(self.policy, self._authority.chain[-1])
        (folder / "predicate.json").write_text('{"tested": true}')

    def publish(self, name: str) -> list[str]:
        """Publish an index of two platforms, and an SBOM of it, all signed; return the digests in this order."""
        run, options = self._tools.run, "--plain-http"
        for platform in ("linux/amd64", "linux/arm64"):
            (self._folder / "name.txt").write_text(platform)
            pushed = ("push", options, "--artifact-platform", platform, f"{name}:{platform[6:]}", "name.txt:text/plain")
            run("oras", *pushed, cwd=self._folder)
        run("oras", "manifest", "index", "create", options, f"{name}:{TAG}", "amd64", "arm64")
        digests = [run("oras", "resolve", options, f"{name}:{tag}").stdout.strip() for tag in (TAG, "amd64", "arm64")]
        (self._folder / "sbom.json").write_text("{}")
        attach = ("attach", options, "--artifact-type", "application/spdx+json", "--format", "json")
        done = run("oras", *attach, f"{name}@{digests[0]}", "sbom.json:text/plain", cwd=self._folder)
        digests.append(json.loads(done.stdout)["digest"])
        for digest in digests:
            self._sign(f"{name}@{digest}", attested=digest != digests[3])
        return digests

    def _sign(self, reference: str, *, attested: bool) -> None:
        about = ("--predicate", self._folder / "predicate.json", "--type", "custom")
        for program, key, more in (("cosign2", TAGGED, ()), ("cosign", BUNDLED, ("--use-signing-config=false",))):
            options = ("--key", KEYS / f"{key}.key", *_OFFLINE, *more)
            self._tools.run(program, "sign", *options, reference, env=_PASSWORD)
            if attested:
                self._tools.run(program, "attest", *options, *about, reference, env=_PASSWORD)
        self.notation.run("sign", "--key", "good", "--insecure-registry", "--force-referrers-tag=false", reference)

    def checks(self, tools: Tools, *, attested: bool = True) -> dict[str, Check]:
        """What each tool says of a reference, by what it looks at."""
        about = ("verify-attestation", "--type", "custom")
        attestations = {
            "cosign 2: .att": _cosign(tools, "cosign2", TAGGED, *about),
            "cosign 3: .att": _cosign(tools, "cosign", TAGGED, *about, *_OLD),
            "cosign 3: attestation bundle": _cosign(tools, "cosign", BUNDLED, *about),
        }
        return {
            "cosign 2: .sig": _cosign(tools, "cosign2", TAGGED, "verify"),
            "cosign 3: .sig": _cosign(tools, "cosign", TAGGED, "verify", *_OLD),
            "cosign 3: bundle": _cosign(tools, "cosign", BUNDLED, "verify"),
            "notation": Notation(tools, self.notation.folder).is_accepted,
            **(attestations if attested else {}),
        }

    @staticmethod
    def refusals(tools: Tools) -> dict[str, Check]:
        """The same by the key that signs in the other way."""
        return {
            "cosign 2: .sig": _cosign(tools, "cosign2", BUNDLED, "verify"),
            "cosign 3: .sig": _cosign(tools, "cosign", BUNDLED, "verify", *_OLD),
            "cosign 3: bundle": _cosign(tools, "cosign", TAGGED, "verify"),
        }

    def policies(self) -> list[dict[str, Any]]:
        """As options of oci_artifact_verify: what the tags hold, what the bundles hold, what notation signed."""
        notation = {"signature_provider": "notation", "trust_policy": self.policy, "trust_store": [str(self.ca)]}
        cosign = [{"public_keys": [str(KEYS / f"{key}.pub")], **ATTESTED} for key in (TAGGED, BUNDLED)]
        return [*cosign, notation]


def _cosign(tools: Tools, program: str, key: str, command: str, *more: str) -> Check:
    options = (command, "--key", KEYS / f"{key}.pub", *_CHECK, *more)
    return lambda reference: tools.run(program, *options, reference, check=False).returncode == 0


# -- what is there


@dataclass
class Belongings:
    """The manifests of a release by digest, what refers to each, and the tags of cosign."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    referrers: dict[str, frozenset[str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def blobs(self) -> set[str]:
        """The digests of what the manifests name, beside other manifests."""
        documents = [json.loads(raw) for raw in self.manifests.values()]
        parts = [part for each in documents for part in [*each.get("layers", []), each.get("config")] if part]
        return {part["digest"] for part in parts}


def in_registry(host: str, name: str, tag: str = TAG) -> Belongings:
    """What a registry has, by plain requests."""
    api, found = f"http://{host}/v2/{name}", Belongings()

    def look_at(raw: bytes) -> None:
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        if digest in found.manifests:
            return
        found.manifests[digest] = raw
        fallback = digest.replace(":", "-")
        listed = get(f"{api}/referrers/{digest}") or get(f"{api}/manifests/{fallback}") or b'{"manifests": []}'
        found.referrers[digest] = frozenset(each["digest"] for each in json.loads(listed)["manifests"])
        for child in [*(each["digest"] for each in json.loads(raw).get("manifests", [])), *found.referrers[digest]]:
            look_at(get(f"{api}/manifests/{child}") or b"it is missing")
        for suffix in (".sig", ".att"):
            tagged = get(f"{api}/manifests/{fallback}{suffix}")
            if tagged is not None:
                found.tags[fallback + suffix] = f"sha256:{hashlib.sha256(tagged).hexdigest()}"
                look_at(tagged)

    look_at(get(f"{api}/manifests/{tag}") or b"it is missing")
    return found


def get(url: str) -> bytes | None:
    """The body of an answer; None where nothing is there."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={"Accept": f"{MANIFEST}, {INDEX}"})
        ) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None


def in_files(path: Path, tag: str = TAG) -> Belongings:
    """What a layout or an archive has; all of its blobs are compared with their digests, and each is needed."""
    entries, names, blobs = sound_files(path)
    named = {name: digest for name, digest in names.items() if name.startswith("sha256-")}
    found = Belongings(tags=named)
    pending = [each["digest"] for each in entries]
    assert names[tag] in pending
    while pending:
        digest = pending.pop()
        found.manifests[digest] = blobs[digest]
        pending += [each["digest"] for each in json.loads(blobs[digest]).get("manifests", [])]
    subjects = {digest: json.loads(raw).get("subject", {}).get("digest") for digest, raw in found.manifests.items()}
    for digest in found.manifests:
        found.referrers[digest] = frozenset(each for each, subject in subjects.items() if subject == digest)
    assert blobs.keys() == found.manifests.keys() | found.blobs, "nothing is missing, and nothing is there besides"
    return found


def sound_files(path: Path) -> tuple[list[dict[str, Any]], dict[str, str], dict[str, bytes]]:
    """The entries of ``index.json``, the digests of its names, and the blobs, none of which is another than it says."""
    files = _files_of(path)
    blobs = {f"sha256:{name[13:]}": data for name, data in files.items() if name.startswith("blobs/sha256/")}
    assert all(f"sha256:{hashlib.sha256(data).hexdigest()}" == digest for digest, data in blobs.items())
    entries = json.loads(files["index.json"])["manifests"] if "index.json" in files else []
    names = {_name_of(each).rpartition(":")[2]: each["digest"] for each in entries}
    return entries, names, blobs


def _name_of(entry: dict[str, Any]) -> str:
    """The name of an entry: a tag, or a whole reference, as crane writes it."""
    return str(entry.get("annotations", {}).get("org.opencontainers.image.ref.name", ""))


def _files_of(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}
    with tarfile.open(path) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]

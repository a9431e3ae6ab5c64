# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign: make sure that a digest has a Cosign signature by a key.

A reference is resolved once, and what is signed is that digest, whatever its tag does meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .._errors import InvalidOption
from .._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from .._trust.verdict import BUNDLE, LEGACY
from .artifact_result import artifact_identity
from .connect import cache_warnings, open_cache, open_repository
from .creation_time import creation_time
from .resolve import ReferenceOptions, parse_target, resolve

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor
    from .._oci.repository import Repository
    from .._trust.sign import Signature, Signed

BOTH = "both"
FORMATS = {BOTH: (LEGACY, BUNDLE), LEGACY: (LEGACY,), BUNDLE: (BUNDLE,)}
SIGNED, UP_TO_DATE = "ArtifactSigned", "ArtifactUpToDate"


@dataclass(frozen=True)
class SigningOptions:
    """How to sign. ``key`` is PEM text or a path; ``key_password`` None means that of the environment, or none."""

    key: str = field(repr=False)
    key_password: str | None = field(default=None, repr=False)
    format: str = BOTH
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SignOptions:
    """Everything that a task that signs is told."""

    reference: ReferenceOptions
    signing: SigningOptions
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)


class KeySigner:
    """A key that was read, ready for any number of digests. Reading an encrypted key takes up to a second.

    :raises InvalidPolicy: when it cannot be used.
    :raises InvalidOption: when the format is unknown, or an annotation cannot be signed.
    """

    def __init__(self, options: SigningOptions) -> None:
        if options.format not in FORMATS:
            raise InvalidOption(f"{options.format[:100]!r} is no format of signatures: wanted {', '.join(FORMATS)}.")
        from .._trust.private_keys import load_private_key
        from .._trust.sign import CosignSigner

        key = load_private_key(options.key, options.key_password)
        self._signer = CosignSigner(key, FORMATS[options.format], options.annotations, creation_time(""))

    def sign(self, repository: Repository, artifact: Descriptor, *, check_mode: bool = False) -> Signed:
        """Add the signatures that are missing; with ``check_mode`` only say which."""
        return self._signer.sign(repository, artifact, check_mode=check_mode)


def sign(options: SignOptions, *, check_mode: bool = False, want_diff: bool = False) -> dict[str, Any]:
    """Resolve once, sign that digest; return what the module returns. What is signed already is left alone.

    :raises InvalidPolicy: when the key cannot be used.
    :raises OciError: for everything else that cannot be done.
    """
    target = parse_target(options.reference)
    signer = KeySigner(options.signing)
    cache = open_cache(options.cache)
    repository = open_repository(
        target.reference, options.auth, options.connection, push=not check_mode, mirrored=False, cache=cache
    )
    try:
        resolved = resolve(repository, target)
        artifact = resolved.descriptor or repository.resolve(resolved.digest)
        signed = signer.sign(repository, artifact, check_mode=check_mode)
    finally:
        repository.close()
    result: dict[str, Any] = {
        "changed": signed.changed,
        "artifact": artifact_identity(repository.reference, resolved),
        "signatures": as_results(signed.signatures),
        "reason": SIGNED if signed.changed else UP_TO_DATE,
        "warnings": [*target.warnings, *signed.warnings, *cache_warnings(cache)],
    }
    if want_diff and signed.changed:
        result["diff"] = signatures_diff(signed.signatures)
    return result


def as_results(signatures: Sequence[Signature]) -> list[dict[str, str]]:
    """The value that modules return as ``signatures``."""
    return [asdict(signature) for signature in signatures]


def signatures_diff(signatures: Sequence[Signature]) -> list[dict[str, str]]:
    """The signatures by the key before and after, one per line, for the diff of a task."""
    lines = {each: f"{each.format} {each.artifact} {each.key}\n" for each in signatures}
    before = "".join(line for each, line in lines.items() if each.status == "unchanged")
    after = "".join(lines.values())
    return [{"before_header": "signatures", "after_header": "signatures", "before": before, "after": after}]


def parse_signing(option: Mapping[str, Any], annotations: Mapping[str, str]) -> SigningOptions:
    """The options of the documentation fragment ``sign``, given as one mapping; the annotations are text already."""
    return SigningOptions(
        key=option["key"],
        key_password=option.get("key_password"),
        format=option.get("format") or BOTH,
        annotations=annotations,
    )

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign: add a Cosign signature by a key to a digest, unless it has one.

A reference is resolved once, and that digest is signed, even if the tag moves meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .._errors import InvalidOption
from .._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from .._trust.verdict import BUNDLE, LEGACY
from .artifact_result import artifact_identity
from .connect import cache_warnings, open_cache
from .connect_to_write import open_to_write
from .creation_time import creation_time
from .moved_tag import warnings_of_moved_tag
from .resolve import ReferenceOptions, parse_target, resolve

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor
    from .._oci.repository import WritableRepository
    from .._policy.rules import Policy
    from .._trust.sign import Signature, Signed
    from .guard import Guard

BOTH = "both"
FORMATS = {BOTH: (LEGACY, BUNDLE), LEGACY: (LEGACY,), BUNDLE: (BUNDLE,)}
SIGNED, UP_TO_DATE = "ArtifactSigned", "ArtifactUpToDate"


@dataclass(frozen=True)
class SigningOptions:
    """The options of signatures. ``key`` is PEM text or a path; without ``key_password`` the environment's is used."""

    key: str = field(repr=False)
    key_password: str | None = field(default=None, repr=False)
    format: str = BOTH
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SignOptions:
    """The options of the module."""

    reference: ReferenceOptions
    signing: SigningOptions
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    policy: Policy | None = None


class KeySigner:
    """A loaded key, for any number of digests. Loading an encrypted key takes up to a second.

    :raises InvalidPolicy: when it cannot be used.
    :raises InvalidOption: when the format is unknown, or an annotation cannot be signed.
    """

    def __init__(self, options: SigningOptions) -> None:
        if options.format not in FORMATS:
            raise InvalidOption(f"{options.format[:100]!r} is not a signature format: wanted {', '.join(FORMATS)}.")
        from .._trust.private_keys import load_private_key
        from .._trust.sign import CosignSigner

        key = load_private_key(options.key, options.key_password)
        self._signer = CosignSigner(key, FORMATS[options.format], options.annotations, creation_time(""))

    def sign(self, repository: WritableRepository, artifact: Descriptor, *, check_mode: bool = False) -> Signed:
        """Add the missing signatures; with ``check_mode`` only report them."""
        return self._signer.sign(repository, artifact, check_mode=check_mode)


def sign(options: SignOptions, *, check_mode: bool = False, want_diff: bool = False) -> dict[str, Any]:
    """Resolve the reference once and sign that digest, unless it is signed already; return the module's result.

    :raises InvalidPolicy: when the key cannot be used.
    :raises OciError: for every other failure.
    """
    guard: Guard | None = None
    if options.policy is None:
        target = parse_target(options.reference)
    else:
        from .guard import guarded_target

        target, guard = guarded_target(options.reference, options.policy)
    signer = KeySigner(options.signing)
    cache = open_cache(options.cache)
    repository = open_to_write(target.reference, options.auth, options.connection, check_mode=check_mode, cache=cache)
    try:
        resolved = resolve(repository, target)
        if guard is not None:
            guard.check_resolved(resolved)
        moved = warnings_of_moved_tag(repository, target)
        artifact = resolved.descriptor or repository.resolve(resolved.digest)
        with repository.batch():
            signed = signer.sign(repository, artifact, check_mode=check_mode)
    finally:
        repository.close()
    result: dict[str, Any] = {
        "changed": signed.changed,
        "artifact": artifact_identity(repository.reference, resolved),
        "signatures": as_results(signed.signatures),
        "reason": SIGNED if signed.changed else UP_TO_DATE,
        "warnings": [*target.warnings, *moved, *signed.warnings, *cache_warnings(cache)],
    }
    if want_diff and signed.changed:
        result["diff"] = signatures_diff(signed.signatures)
    return result


def as_results(signatures: Sequence[Signature]) -> list[dict[str, str]]:
    """The modules' value ``signatures``."""
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

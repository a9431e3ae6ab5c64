# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of the OCI image specification, and the check of bytes against them.

Source: image-spec, descriptor.md, "Digests": ``sha256`` is registered and mandatory, ``sha512`` registered.
"""

from __future__ import annotations

import hashlib
import re

from .._errors import DigestMismatch, InvalidReference

_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")


def is_digest(text: object) -> bool:
    """True for a well-formed digest of a registered algorithm, in lower case."""
    return isinstance(text, str) and _DIGEST.match(text) is not None


def parse_digest(text: str) -> tuple[str, str]:
    """Split ``algorithm:hex``.

    :raises InvalidReference: when the text is not a digest of a registered algorithm.
    """
    if not is_digest(text):
        wanted = "sha256:<64 hex digits> or sha512:<128 hex digits>, in lower case"
        raise InvalidReference(f"{str(text)[:200]!r} is not a digest: wanted {wanted}.")
    algorithm, _colon, encoded = text.partition(":")
    return algorithm, encoded


def fallback_tag(digest: str) -> str:
    """The tag under which the referrers of a digest are listed where there is no API (distribution-spec, "Referrers Tag
    Schema"): at most 64 characters of the digest, so a sha512 is cut.

    :raises InvalidReference: when the text is not a digest of a registered algorithm.
    """
    algorithm, encoded = parse_digest(digest)
    return f"{algorithm}-{encoded[:64]}"


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """The digest of bytes that are already in memory."""
    return digest_of_hash(hashlib.new(algorithm, data))


def digest_of_hash(content: hashlib._Hash) -> str:
    """The digest of the bytes that a :mod:`hashlib` object was given so far."""
    return f"{content.name}:{content.hexdigest()}"


class Verifier:
    """Checks a stream of bytes against a digest and, when it is known, a size.

    The size is enforced while the bytes arrive: a peer that sends too much is cut off at the first byte beyond it.
    No byte may be used before :meth:`finish` has returned.
    """

    def __init__(self, digest: str, size: int | None, what: str) -> None:
        algorithm, self._wanted = parse_digest(digest)
        self._hash = hashlib.new(algorithm)
        self._digest = digest
        self._size = size
        self._what = what
        self.count = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add the next bytes.

        :raises DigestMismatch: when there are more bytes than the descriptor says.
        """
        self.count += len(data)
        if self._size is not None and self.count > self._size:
            raise DigestMismatch(
                f"{self._what} is longer than its descriptor says: "
                f"got more than the {self._size} bytes of {self._digest}."
            )
        self._hash.update(data)

    def finish(self) -> None:
        """Declare the end of the stream.

        :raises DigestMismatch: when size or digest differ.
        """
        if self._size is not None and self.count != self._size:
            raise DigestMismatch(
                f"{self._what} is shorter than its descriptor says: "
                f"got {self.count} of the {self._size} bytes of {self._digest}."
            )
        found = self._hash.hexdigest()
        if found != self._wanted:
            raise DigestMismatch(
                f"{self._what} does not match its digest: got {self._hash.name}:{found}, wanted {self._digest}.",
                "Nothing of it was used. The registry, a proxy or a cache on the way altered it; pull again or report "
                "it to the registry's operator.",
            )


def verify_bytes(data: bytes, digest: str, size: int | None, what: str) -> None:
    """Check bytes in memory against a digest and, unless None, a size.

    :raises DigestMismatch: when they differ.
    """
    verifier = Verifier(digest, size, what)
    verifier.update(data)
    verifier.finish()

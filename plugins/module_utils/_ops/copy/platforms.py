# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the manifests of an index are copied. The index itself stays as it is, byte for byte: it still lists all.

Source: image-spec, image-index.md, "platform"; BuildKit, docs/attestations/attestation-storage.md, for what an index
says about one of its manifests.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..._errors import InvalidContent, NotFound, PushFailed
from ..._oci import platforms
from ..._oci.manifest import Descriptor

# BuildKit lists provenance and SBOM of an image beside it, with the digest of the image in this annotation
ABOUT = "vnd.docker.reference.digest"
_SHOWN = 10


class ChosenPlatforms:
    """The platforms that are copied; all of them when ``wanted`` is empty.

    ``left_out`` has the digests of the manifests that were passed over so far, ``warnings`` what is not to be had.

    :raises InvalidOption: when one of them is malformed.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = [platforms.check(text) for text in dict.fromkeys(wanted)]
        self.left_out: set[str] = set()
        self.warnings: list[str] = []

    def of(self, listed: Sequence[Descriptor], what: str) -> Sequence[Descriptor]:
        """Return those of the manifests of an index that are copied, in its order: for the chosen platforms, about
        these, and those that are for no platform in particular.

        :param what: the index in messages.
        :raises InvalidContent: when it lists manifests for platforms, and none for a chosen one.
        """
        if not self.wanted:
            return listed
        about = {each.digest: each.annotations.get(ABOUT, "") for each in listed}
        for_platforms = [each for each in listed if each.platform and not about[each.digest]]
        chosen = {each.digest for each in for_platforms if any(platforms.is_for(each, name) for name in self.wanted)}
        if for_platforms:
            self._check(for_platforms, chosen, what)
        passed = {each.digest for each in for_platforms} - chosen
        # what is about a manifest goes with it
        kept = {digest for digest, subject in about.items() if not subject} - passed
        passed |= {digest for digest, subject in about.items() if subject and subject not in kept}
        self.left_out |= passed
        return [each for each in listed if each.digest not in passed]

    def _check(self, listed: Sequence[Descriptor], chosen: set[str], what: str) -> None:
        offered = ", ".join(sorted({platforms.platform_text(each.platform) for each in listed})[:_SHOWN])
        if not chosen:
            raise InvalidContent(
                f"{what} has no manifest for {', '.join(self.wanted)}: it has {offered}.",
                "Choose from these in 'platforms'.",
            )
        missing = [name for name in self.wanted if not any(platforms.is_for(each, name) for each in listed)]
        if missing:
            self.warnings.append(f"{what} has no manifest for {', '.join(missing)}: it has {offered}.")


def missing_at_source(error: NotFound, place: str) -> NotFound:
    """Return the error for a listed manifest that the source lacks."""
    return NotFound(
        f"{error.message} It belongs to what is copied from {place}.",
        "If only some platforms were copied there, name them in 'platforms'; otherwise publish the artifact again.",
    )


def refused_index(error: PushFailed, count: int) -> PushFailed:
    """Return the error for an index that was pushed without ``count`` of its manifests."""
    if error.retryable:
        return error
    return PushFailed(
        f"{error.message} Of the manifests that the index lists, {count} were not copied, since 'platforms' leaves "
        "them out.",
        "This registry may want all of them: copy without 'platforms', or copy the manifest of one platform by its "
        "digest, as in ref: host/repository@sha256:…. Layouts and archives take an index without some platforms.",
    )

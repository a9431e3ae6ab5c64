# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is handed of an artifact that another machine resolved, verified and fetched for it (``via``).

A delivery says which digest the reference stands for, and which blobs belong to it. The blobs come in the delivery
itself, or in an archive: all that the host lacks, one after the other in the order of a list, cut into parts of
:data:`PART_SIZE`. Nothing in a delivery is trusted for what a digest can tell: every blob is hashed where it is used.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..._errors import InvalidOption
from ..._oci.digest import is_digest

# Bytes of blobs up to which they travel in the arguments of the module.
MAX_INLINE = 256 * 1024
# Bytes of one file that is sent to a host.
PART_SIZE = 32 * 1024 * 1024
# Keys of a module's answer: which blobs it lacks, and that files of a delivery were used.
WANTS, DELIVERED = "oci_artifact_wants_content", "via"


class Delivery(NamedTuple):
    """One artifact; as JSON it is the mapping of these fields.

    ``revision`` is empty where the reference could not be resolved. ``blobs`` are the sizes of the layers by digest.
    ``inline`` has bytes by digest: manifests, signatures, and small layers. ``listing`` is the ``index.json`` of a
    layout with them. ``verified`` is the fingerprint of the policies that signatures satisfied, ``verdict`` and
    ``verdict_warnings`` the outcome, and ``verify`` the policies themselves, for a host that can verify again.
    ``rules`` are those of a policy that need the record of the host, ``policy`` is its path. ``failure`` is why
    nothing can be placed; ``is_outage`` says that the registry was out of reach. ``needs`` are names of what
    reading the layers takes. ``wants_platform`` stands for an index of which the host has to say which platform it
    is. ``is_fetched`` says that the layers are there to be sent, and signatures were checked. ``confirmed_at`` is
    when the registry answered, with an ``interval``.
    """

    revision: str = ""
    blobs: Mapping[str, int] = {}
    listing: Mapping[str, Any] = {}
    inline: Mapping[str, bytes] = {}
    verified: str = ""
    verdict: Mapping[str, Any] = {}
    verdict_warnings: Sequence[str] = ()
    verify: Sequence[Mapping[str, Any]] = ()
    rules: Sequence[Mapping[str, Any]] = ()
    failure: Mapping[str, Any] = {}
    is_outage: bool = False
    needs: Sequence[str] = ()
    wants_platform: bool = False
    is_fetched: bool = False
    confirmed_at: str = ""
    served_by: Sequence[str] = ()
    warnings: Sequence[str] = ()
    policy: str = ""

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(self.blobs.values())

    def as_document(self) -> dict[str, Any]:
        """The delivery as it is written to JSON."""
        inline = {digest: base64.b64encode(data).decode("ascii") for digest, data in self.inline.items()}
        return {name: value for name, value in {**self._asdict(), "inline": inline}.items() if value}


class Parcel(NamedTuple):
    """All that a run of the module on a host is handed.

    ``place`` is who made it. ``items`` are the deliveries, one for each artifact of the task. ``store`` is the path
    of a directory with all blobs, where the host can read that of the one who made it. ``arrived`` is the path of a
    part of the archive that was sent to another directory than the host's own, and ``offset`` where it belongs.
    ``is_sent`` says that content was sent already.
    """

    place: str
    items: Sequence[Delivery]
    store: str = ""
    arrived: str = ""
    offset: int = 0
    is_sent: bool = False

    def as_text(self) -> str:
        """The parcel as one JSON text."""
        items = [item.as_document() for item in self.items]
        return json.dumps({**self._asdict(), "items": items}, ensure_ascii=False)


def parse_delivery(document: Mapping[str, Any]) -> Delivery:
    """Read a delivery from its mapping.

    :raises InvalidOption: when it is malformed.
    """
    try:
        inline = {str(name): base64.b64decode(text) for name, text in (document.get("inline") or {}).items()}
        delivery = Delivery(**{**document, "inline": inline})
        for digest, size in delivery.blobs.items():
            if not is_digest(digest) or not isinstance(size, int) or size < 0:
                raise ValueError(f"{digest!r} of {size!r} bytes is no blob")
    except (TypeError, ValueError, AttributeError) as exc:
        raise InvalidOption(f"What was handed over for 'via' is malformed: {exc}.") from None
    return delivery


def parse_parcel(text: Any) -> Parcel:
    """Read a parcel from its JSON text.

    :raises InvalidOption: when it is none: as when the module was run without its action plugin.
    """
    try:
        document = json.loads(text)
        items = [parse_delivery(item) for item in document["items"]]
        return Parcel(**{**document, "items": items})
    except (TypeError, ValueError, LookupError):
        raise InvalidOption(
            "'via' works through the action plugin of this module, which runs on the controller, and was passed over.",
            "Call the module by its full name, cloudnative.artifacts.oci_artifact_pull, in a task.",
        ) from None


class Archive:
    """The blobs of ``order`` (digest and size of each), one after the other, as files of at most :data:`PART_SIZE`."""

    def __init__(self, order: Sequence[tuple[str, int]]) -> None:
        self.order = [(str(digest), int(size)) for digest, size in order]
        text = "".join(f"{digest} {size}\n" for digest, size in self.order)
        self.name = hashlib.sha256(text.encode("ascii", "replace")).hexdigest()
        self.size = sum(size for _digest, size in self.order)

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        """Offset and size of each part, by the name of its file."""
        return {
            f"sha256-{self.name}-{offset}": (offset, min(PART_SIZE, self.size - offset))
            for offset in range(0, self.size, PART_SIZE)
        }

    def start_of(self, wanted: str) -> int | None:
        """Where a blob begins; None when it is not in the archive."""
        start = 0
        for digest, size in self.order:
            if digest == wanted:
                return start
            start += size
        return None

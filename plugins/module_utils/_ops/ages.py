# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How old an artifact is, as far as that is known.

The sources differ in whom they trust: the time of a signature comes from a transparency log or a timestamp authority,
the time of the first look from this host, and the time of creation from whoever published the artifact.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._errors import OciError
from .._oci import media
from .._oci.options import parse_duration

if TYPE_CHECKING:
    from .._cache.artifact_cache import ArtifactCache
    from .._oci.manifest import Manifest
    from .._oci.repository import Repository

SIGNATURE, FIRST_SEEN, CREATED = "signature", "first_seen", "created"
SOURCES = (SIGNATURE, FIRST_SEEN, CREATED)
# not what the publisher says
DEFAULT_SOURCES = (SIGNATURE, FIRST_SEEN)
# Earlier times are no times: reproducible builds write 1970, archives of DOS 1980.
_FIRST_TIME = calendar.timegm((1990, 1, 1, 0, 0, 0))
# Seconds that clocks may differ.
_SKEW = 300.0
_NOTE = "seen"
_DAYS = re.compile(r"(\d{1,5})([dw])\Z", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))\Z", re.ASCII
)


def age_seconds(text: str) -> float:
    """Seconds from a whole number of days or weeks (``30d``, ``4w``), or from what
    :func:`~._oci.options.parse_duration` reads.

    :raises InvalidOption: when the text is neither, or not positive.
    """
    match = _DAYS.match(text.strip())
    if match and int(match[1]):
        return float(int(match[1]) * (86400 if match[2] == "d" else 604800))
    return parse_duration(text)


def parse_time(text: str) -> float | None:
    """Seconds since 1970 from an RFC 3339 time; None for other text, for times that stand for none, as 1970 does, and
    for those in the future."""
    match = _TIME.match(text) if len(text) < 60 else None
    if match is None:
        return None
    try:
        seconds = float(calendar.timegm(time.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S")))
    except ValueError:
        return None
    if match[3]:
        offset = int(match[4]) * 3600 + int(match[5]) * 60
        seconds += -offset if match[3] == "+" else offset
    return seconds if _FIRST_TIME <= seconds <= time.time() + _SKEW else None


def time_text(seconds: float) -> str:
    """A time as RFC 3339, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def signed_at(verification: Mapping[str, Any]) -> float | None:
    """The earliest time of signing that something trusted vouches for, from the value ``verification``."""
    times = [parse_time(str(signer.get("signed_at") or "")) for signer in verification.get("signers") or ()]
    return min((each for each in times if each is not None), default=None)


def first_seen(cache: ArtifactCache | None, digest: str, what: str) -> float | None:
    """When this user first saw a digest at a place on this host, by the notes of the cache; the first time is noted,
    and is now. None without a cache.

    :param what: the repository, or the reference with a tag.
    """
    if cache is None:
        return None
    notes = cache.notes()
    now = time.time()
    with notes.alone(digest):
        known = notes.load(digest).get(_NOTE)
        known = dict(known) if isinstance(known, Mapping) else {}
        found = known.get(what)
        # a time from the future was noted by a wrong clock
        if isinstance(found, (int, float)) and not isinstance(found, bool) and _FIRST_TIME <= found <= now + _SKEW:
            return float(found)
        notes.update(digest, _NOTE, {**known, what: now})
    return now


def created_at(repository: Repository, manifest: Manifest) -> float | None:
    """When an artifact was made, as its publisher says: in the annotation ``org.opencontainers.image.created``, or in
    the config of an image (one request); of an index the same of its first manifest. None where nothing says it.
    """
    found = parse_time(manifest.annotations.get(media.ANNOTATION_CREATED, ""))
    if found is not None:
        return found
    try:
        if manifest.is_index:
            child = next((each for each in manifest.manifests if each.media_type in media.MANIFEST_TYPES), None)
            return None if child is None else created_at(repository, repository.fetch_manifest(child.digest))
        config = manifest.config
        if config is None or config.media_type not in (media.OCI_CONFIG, media.DOCKER_CONFIG):
            return None
        from .._oci.manifest import load_json_object
        from .._oci.repository import read_small_blob

        document = load_json_object(read_small_blob(repository, config), f"The config {config.digest}")
    except OciError as exc:
        if exc.retryable:
            raise
        return None
    return parse_time(str(document.get("created") or ""))

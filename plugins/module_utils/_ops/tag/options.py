# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a task that moves or removes tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ..._errors import InvalidOption
from ..._oci.digest import parse_digest
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..._oci.reference import check_tag
from ..._oci.times import AGE_SOURCES, DEFAULT_AGE_SOURCES
from ..many import about
from ..resolve import ReferenceOptions

if TYPE_CHECKING:
    from ..._policy.rules import Policy
    from ..._trust.policy import VerifyPolicy
    from .record import RecordOptions

PRESENT, ABSENT = "present", "absent"


@dataclass(frozen=True)
class Requirements:
    """What an artifact has to satisfy before a tag is moved to it. ``min_age`` is in seconds, ``age_from`` are the
    sources that may tell the age; the first that knows it counts. ``soaked_in`` is a tag."""

    verify: VerifyPolicy | None = None
    min_age: float | None = None
    age_from: Sequence[str] = DEFAULT_AGE_SOURCES
    soaked_in: str = ""
    never_downgrade: bool = False

    def check(self) -> None:
        """Check the options themselves.

        :raises InvalidOption: when one cannot be used.
        """
        if self.soaked_in:
            check_tag(self.soaked_in)
        if not self.age_from:
            raise InvalidOption(
                "'age_from' is empty: nothing could tell an age.", f"Give some of {', '.join(AGE_SOURCES)}."
            )


@dataclass(frozen=True)
class TagOptions:
    """The options of the module. ``expect`` has a revision, a digest or nothing for each tag; ``record`` None means no
    record. The rules of ``policy`` apply whatever ``force`` says."""

    reference: ReferenceOptions
    tags: Sequence[str] = ()
    state: str = PRESENT
    expect: Mapping[str, str | None] = field(default_factory=dict)
    require: Requirements = field(default_factory=Requirements)
    force: bool = False
    record: RecordOptions | None = None
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    policy: Policy | None = None


def expected_digests(expect: Mapping[str, str | None]) -> dict[str, str]:
    """Read the option ``expect``: for each tag a digest, or empty where there is to be no such tag.

    A value is a revision (``tag@digest``), a digest, or empty.

    :raises InvalidReference: when one is neither.
    :raises InvalidOption: when one is no text.
    """
    found = {}
    for tag, text in expect.items():
        if not isinstance(text, (str, type(None))):
            raise InvalidOption(
                f"The value of {str(tag)[:200]!r} in 'expect' is not text: wanted a revision or nothing."
            )
        digest = (text or "").strip().rpartition("@")[2]
        name = check_tag(str(tag))
        if digest:
            about(f"The value of {name!r} in 'expect' is no revision", partial(parse_digest, digest))
        found[name] = digest
    return found

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``to``: where an artifact is copied to, by the name of where it comes from."""

from __future__ import annotations

import re

from ..._errors import InvalidOption
from ..._oci.reference import Reference, parse_reference

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def target_of(text: str, source: Reference, tag: str) -> Reference:
    """Return the repository and the tag to copy to; the tag is that of the source unless ``text`` has one, and may be
    empty.

    ``{registry}``, ``{repository}`` and ``{name}`` (the last part of the repository) stand for those of the source.

    :raises InvalidOption: when it names a digest, or something that the source does not have.
    :raises InvalidReference: when it is not a reference.
    """
    names = {
        "registry": source.registry,
        "repository": source.repository,
        "name": source.repository.rpartition("/")[2],
    }

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in names:
            raise InvalidOption(
                f"'to' has the placeholder {match[0][:100]!r}: wanted {', '.join(f'{{{name}}}' for name in names)}."
            )
        if not names[match[1]]:
            raise InvalidOption(
                f"'to' has the placeholder {match[0]}, and {source.name} is not in a registry.",
                "Write the name out: a layout does not say what its artifacts are called.",
            )
        return names[match[1]]

    found = parse_reference(_PLACEHOLDER.sub(value_of, text))
    if found.digest:
        raise InvalidOption(
            f"'to' names the digest {found.digest}, which follows from what is copied.", "Leave it out."
        )
    return found if found.tag else found.at(tag=tag)

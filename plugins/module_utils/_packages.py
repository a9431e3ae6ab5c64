# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door to the package ``cryptography``, which is imported when something is verified or signed, never
before."""

from __future__ import annotations

from typing import Any

from ._errors import MissingDependency

MINIMUM = "41"


def require_cryptography(doing: str) -> Any:
    """The package.

    :raises MissingDependency: when it is not installed; ``doing`` begins the message, as in "Verifying signatures".
    """
    try:
        import cryptography
    except ImportError:
        raise MissingDependency(
            f"{doing} needs the Python package cryptography, which is not installed here.",
            f"Install it for the Python that runs the module: pip install 'cryptography>={MINIMUM}'.",
        ) from None
    return cryptography

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..layer_selector import LayerSelector, Limits
from ..resolve import ReferenceOptions

if TYPE_CHECKING:
    from ..._policy.rules import Policy
    from ..._trust.policy import VerifyPolicy

# The beginnings of a path. No reference begins so.
_PATHS = ("/", "./", "../", "~", "$")


class Side(NamedTuple):
    """One side of a comparison: an artifact, or the directory ``path``. The other options are those of a pull."""

    reference: ReferenceOptions
    selector: LayerSelector
    limits: Limits
    path: str = ""
    platform: str = ""
    ignore: str = ""
    verify: VerifyPolicy | None = None
    auth: AuthOptions = AuthOptions()
    connection: ConnectionOptions = ConnectionOptions()


@dataclass(frozen=True)
class DiffOptions:
    """The options of the module. ``helm`` is the program that renders charts, a path or a name in PATH. Of the rules of
    ``policy`` those count that say what may be used at all: what is denied, and which signatures are wanted."""

    before: Side
    after: Side
    helm: str = "helm"
    cache: CacheOptions = CacheOptions()
    policy: Policy | None = None


def is_path(text: str) -> bool:
    """Return True for text that is the path of a directory, and no reference: it begins with ``/``, ``./``, ``../``,
    ``~`` or ``$``, or is ``.`` or ``..``."""
    return text in (".", "..") or text.startswith(_PATHS)

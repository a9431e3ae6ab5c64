# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selection of the manifest of an index for a platform.

Source: image-spec, image-index.md, "platform" (values of GOOS, GOARCH and variant).
"""

from __future__ import annotations

import platform as host_platform
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import InvalidContent, InvalidOption
from .manifest import Descriptor

_PLATFORM = re.compile(r"[a-z0-9_.-]+/[a-z0-9_.-]+(?:/[a-z0-9_.-]+)?\Z")
_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm/v7",
    "armv6l": "arm/v6",
    "i386": "386",
    "i686": "386",
    "loongarch64": "loong64",
}


def host() -> str:
    """The platform of this host, as in ``linux/amd64`` or ``linux/arm/v7``."""
    machine = host_platform.machine().lower()
    return f"{host_platform.system().lower()}/{_ARCHITECTURES.get(machine, machine)}"


def check(text: str) -> str:
    """Return a platform given as ``os/architecture[/variant]``.

    :raises InvalidOption: when it is malformed.
    """
    if not _PLATFORM.match(text):
        raise InvalidOption(f"{text!r} is not a platform: wanted os/architecture[/variant], as in linux/arm64.")
    return text


def platform_text(platform: Mapping[str, Any]) -> str:
    """``os/architecture[/variant]`` of a descriptor's platform, empty when it has none."""
    parts = [str(platform.get(key) or "") for key in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if part)


def select(manifests: Sequence[Descriptor], wanted: str, what: str) -> Descriptor:
    """The first manifest for the platform; the only manifest of an index, when it names no platform, fits every one.

    ``linux/arm64`` and ``linux/arm64/v8`` are the same, as in containerd's normalisation.

    :raises InvalidContent: when there is none.
    """
    for descriptor in manifests:
        if is_for(descriptor, wanted):
            return descriptor
    without = [descriptor for descriptor in manifests if not descriptor.platform]
    if len(without) == 1 and len(manifests) == 1:
        return without[0]
    offered = sorted({platform_text(descriptor.platform) or "none given" for descriptor in manifests})
    raise InvalidContent(
        f"{what} is an index without a manifest for {wanted}: it has {', '.join(offered[:10]) or 'none at all'}.",
        "Choose one with 'platform'.",
    )


def is_for(descriptor: Descriptor, wanted: str) -> bool:
    """True for a manifest that an index lists for the platform ``wanted``; see :func:`select`."""
    return _normal(platform_text(descriptor.platform)) == _normal(wanted)


def _normal(platform: str) -> str:
    return {"linux/arm64/v8": "linux/arm64", "linux/arm": "linux/arm/v7"}.get(platform, platform)

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be rendered, and where to; parsed and checked from the module's options."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._dest.destination import Destination
from ..._dest.permissions import Permissions
from ..._errors import InvalidOption
from ..._files.names import CONTROL_NAME
from ..._helm.template_files import TemplateFlags
from ..._kube.api import KubeOptions
from ..releases.artifacts import FetchedFiles
from ..releases.parse import parse_releases
from ..releases.spec import FetchedChart, ReleaseKey, ReleaseSpec
from .local_chart import local_chart

if TYPE_CHECKING:
    from ..._policy.rules import Policy

# Raised when the same chart and values give other files than before.
RULES = 1


@dataclass(frozen=True)
class RenderOptions:
    """The options of the module. ``dest`` is the directory for releases that name none of their own.

    ``releases`` are those of :func:`~._ops.releases.parse.parse_releases`, each with ``chart`` (the path of a packaged
    chart or of a directory, in place of ``source``) and ``dest``.
    """

    releases: Sequence[Mapping[str, Any]]
    sources: Mapping[str, FetchedChart]
    artifacts: Mapping[str, FetchedFiles] = field(default_factory=dict)
    documents: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    kube: KubeOptions = field(default_factory=KubeOptions)
    helm: str = "helm"
    dest: str = ""
    single_file: bool = False
    permissions: Permissions = field(default_factory=Permissions)
    force: bool = False
    flags: TemplateFlags = field(default_factory=TemplateFlags)
    policy: Policy | None = None


@dataclass(frozen=True)
class Rendering:
    """One release that is to be rendered into a directory, or into the file ``file_name`` of one."""

    spec: ReleaseSpec
    chart: FetchedChart | None
    directory: str
    file_name: str
    flags: TemplateFlags

    @property
    def place(self) -> str:
        """The path of the directory or file."""
        return os.path.join(self.directory, self.file_name) if self.file_name else self.directory

    def destination(self, permissions: Permissions) -> Destination:
        """Return the directory with the record of what was rendered into it."""
        if not self.file_name:
            return Destination(self.directory, permissions)
        return Destination(self.directory, permissions, f".{self.file_name}{CONTROL_NAME}", is_parent=True)

    def key(self, values_digest: str) -> dict[str, Any]:
        """Return what decides about the content of the files, for the record; Helm's version does not."""
        spec, chart = self.spec, self.chart
        if chart is None:
            return {"rendering": RULES, "absent": True}
        flags = [self.flags.words, spec.flags.disable_hooks, spec.rendering_digest, bool(self.file_name)]
        shape = hashlib.sha256(json.dumps(flags).encode("utf-8", "surrogateescape")).hexdigest()
        return {
            "rendering": RULES,
            "release": f"{spec.target}/{spec.key.name}",
            "chart": chart.layer,
            "values": values_digest,
            "shape": f"sha256:{shape}",
        }


def parse_renderings(options: RenderOptions, scratch: str) -> list[Rendering]:
    """The releases of the option ``releases``, with their charts and the places of their files.

    :param scratch: a private directory, for charts that are directories.
    :raises InvalidOption: as :func:`~._ops.releases.parse.parse_releases`, for a release without a place, and for two
        in one place.
    :raises OciError: when a chart of this host cannot be read.
    """
    sources = dict(options.sources)
    items = []
    for number, item in enumerate(options.releases):
        item = dict(item)
        path = item.pop("chart", None)
        if not path and not item["source"] and item["state"] == "present":
            raise InvalidOption(f"The release {item['name'][:100]!r} has no chart.", "Give a 'source' or a 'chart'.")
        if path and item["state"] == "present":
            if item["source"]:
                raise InvalidOption(
                    f"The release {item['name'][:100]!r} has a 'source' and a 'chart'.", "Give one of the two."
                )
            # no name of a source holds a NUL
            item["source"] = f"chart\0{number}"
            sources[item["source"]] = local_chart(path, os.path.join(scratch, f"local-{number}.tgz"))
        items.append(item)
    specs = parse_releases(items, sources, options.artifacts)
    found = []
    for spec, item in zip(specs, items):
        directory, file_name = _place(spec, item.get("dest") or "", options)
        chart = sources[spec.source] if spec.present else None
        found.append(Rendering(spec, chart, directory, file_name, options.flags))
    _check_places(found)
    return found


def _place(spec: ReleaseSpec, own: str, options: RenderOptions) -> tuple[str, str]:
    suffix, key = ".yaml" if options.single_file else "", spec.key
    # where the record of a release would be says nothing about its files
    base = os.path.join(options.dest, spec.namespace, f"{key.name}{suffix}") if options.dest else ""
    path = own or base
    if not path:
        raise InvalidOption(
            f"The release {key} has no 'dest'.", "Name a directory or file for it, or a 'dest' for all releases."
        )
    if own and own.endswith("/") and options.single_file:
        raise InvalidOption(f"'dest' of the release {key} is a directory: wanted is a file.", "See 'single_file'.")
    path = os.path.abspath(path)
    return os.path.split(path) if options.single_file else (path, "")


def _check_places(renderings: Sequence[Rendering]) -> None:
    taken: dict[str, ReleaseKey] = {}
    for each in renderings:
        other = taken.setdefault(each.place, each.spec.key)
        if other != each.spec.key:
            raise InvalidOption(
                f"The releases {other} and {each.spec.key} are both to be rendered into {each.place}.",
                "Give each a 'dest' of its own.",
            )

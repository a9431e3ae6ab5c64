# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of ``helm template``, and its output as the files that ``helm template --output-dir`` would write.

Source: helm, cmd/helm/template.go and pkg/action/action.go (``writeToFile``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import ChartError
from .._files.names import is_reserved, split_path

# The file for manifests of which a post-renderer has removed the line that says where they are from.
UNNAMED = "manifest.yaml"
MAX_FILES = 2000

_DOCUMENT = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_SOURCE = re.compile(r"---[ \t]*\r?\n# Source: (\S[^\r\n]*)")


@dataclass(frozen=True)
class TemplateFlags:
    """Options of ``helm template``: what the cluster is taken to be, and what of the chart is rendered."""

    kube_version: str = ""
    api_versions: Sequence[str] = ()
    include_crds: bool = False
    skip_tests: bool = False
    show_only: Sequence[str] = ()

    @property
    def words(self) -> list[str]:
        """The arguments of Helm."""
        words = [f"--kube-version={self.kube_version}"] if self.kube_version else []
        words += [f"--api-versions={each}" for each in self.api_versions]
        words += [f"--show-only={each}" for each in self.show_only]
        if self.include_crds:
            words.append("--include-crds")
        if self.skip_tests:
            words.append("--skip-tests")
        return words


def template_files(rendered: str, chart: str) -> dict[str, str]:
    """Return rendered manifests by the path of the template that each comes from, such as ``web/templates/web.yaml``.

    A document that does not say it is put to the one before, or into ``manifest.yaml``.

    :param chart: its name.
    :raises ChartError: when there are too many.
    """
    found: dict[str, list[str]] = {}
    name = UNNAMED
    starts = [match.start() for match in _DOCUMENT.finditer(rendered)]
    parts = [rendered[start:end] for start, end in zip([0, *starts], [*starts, len(rendered)])]
    for part in parts:
        if not part.strip():
            continue
        source = _SOURCE.match(part)
        if source is not None:
            name = _file_name(source[1], chart, found)
        found.setdefault(name, []).append(part)
        if len(found) > MAX_FILES:
            raise ChartError(f"It renders more than {MAX_FILES} files.", "Render it into a single file.")
    return {name: "".join(texts) for name, texts in found.items()}


def _file_name(source: str, chart: str, others: dict[str, list[str]]) -> str:
    """Return a path below the directory; templates write the line with the path, too, and may write anything there."""
    try:
        parts = split_path(source.strip())
    except ValueError:
        return UNNAMED
    if parts[:1] == ["crds"]:
        # of Helm before 3.13, for the one kind of files that is not rendered
        parts.insert(0, chart)
    name = "/".join(parts)
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    is_taken = any(each in others for each in above) or any(each.startswith(f"{name}/") for each in others)
    return UNNAMED if not name or is_taken or is_reserved(name) or UNNAMED in (name, *above) else name

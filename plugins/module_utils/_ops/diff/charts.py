# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts of a comparison: read, rendered by Helm, and compared.

What is missing for a part of it, such as Helm, is said, and the rest is shown.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from ..._errors import OciError
from ..._files.bounded import MAX_CHART
from ..._files.names import native
from ..._files.tree import FILE
from ..._helm.archive_files import MAX_FILE
from ..._helm.chart_diff import ObjectDiff, compare_objects, compare_values
from ..._helm.file_text import FileTexts
from ..._helm.helm_binary import MAX_WORDS, Helm, HelmAccess
from ..._helm.values import read_values
from .content import CHART_FILE, Content
from .texts import printable

VALUES_FILE = "values.yaml"


class ChartDiff:
    """The differences of two charts. ``notes`` say what could not be compared, and why.

    The secrets in what they render are known to ``texts`` when this is made; the comparison waits for :meth:`compare`,
    so that all secrets are known by then.
    """

    def __init__(self, before: Content, after: Content, helm: str, texts: FileTexts) -> None:
        self.notes: list[str] = []
        self._sides = (before, after)
        self._texts = texts
        self._rendered: list[str] = []
        self._render(helm)

    def compare(self) -> tuple[dict[str, Any], list[ObjectDiff]]:
        """Return the value ``chart`` of the result, without ``manifests``, and the rendered objects that differ."""
        result: dict[str, Any] = {
            "metadata": self._compare_file(CHART_FILE, named=False),
            "values": self._compare_file(VALUES_FILE, named=True),
        }
        objects: list[ObjectDiff] = []
        is_rendered = len(self._rendered) == len(self._sides)
        if is_rendered:
            before, after = self._rendered
            try:
                objects = compare_objects(before, after, self._texts.mask)
            except OciError as exc:
                is_rendered = False
                self._note(f"The rendered manifests cannot be compared: {exc}")
        result["rendered"] = is_rendered
        return result, objects

    def _render(self, program: str) -> None:
        with tempfile.TemporaryDirectory(prefix="oci-artifact-") as scratch:
            try:
                helm = Helm(program, HelmAccess(), scratch)
            except OciError as exc:
                self._note(f"The rendered manifests are not compared: {exc}")
                return
            for number, content in enumerate(self._sides):
                folder = os.path.join(scratch, str(number))
                try:
                    is_copied = _copy_chart(content, folder)
                except OSError as exc:
                    self._note(f"The chart {content.name} is not rendered: it cannot be copied: {exc.strerror or exc}.")
                    return
                if not is_copied:
                    self._note(f"The chart {content.name} is not rendered: it is larger than Helm accepts.")
                    return
                outcome = helm.template(folder)
                if not outcome.ok:
                    self._note(f"The chart {content.name} cannot be rendered with its own values: {outcome.words}")
                    return
                text = outcome.output.decode("utf-8", "replace")
                self._texts.learn(text)
                self._rendered.append(text)

    def _compare_file(self, name: str, *, named: bool) -> list[dict[str, Any]]:
        try:
            before, after = (self._read(content, name) for content in self._sides)
        except OciError as exc:
            self._note(f"{name} is compared as text only: {exc}")
            return []
        return compare_values(before, after, self._texts.mask, named=named)

    def _read(self, content: Content, name: str) -> dict[str, Any]:
        entry = content.tree.get(name)
        if entry is None or entry.kind != FILE:
            return {}
        return read_values(content.read(name, MAX_FILE), f"{name} of {content.name}")

    def _note(self, text: str) -> None:
        # the words of Helm repeat what the chart says; secrets are hidden before anything is cut off
        shown = printable(self._texts.mask.text(text))[:MAX_WORDS]
        if shown not in self.notes:
            self.notes.append(shown)


def _copy_chart(content: Content, folder: str) -> bool:
    """Write the files of a chart for Helm; links are left out, which Helm would follow. Return False for a chart that
    is larger than Helm accepts."""
    files = [path for path, entry in content.tree.items() if entry.kind == FILE]
    sizes = [content.tree[path].size for path in files]
    if sum(sizes) > MAX_CHART or max(sizes, default=0) > MAX_FILE:
        return False
    os.mkdir(folder, 0o700)
    for path in files:
        target = os.path.join(folder, native(path))
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with open(target, "xb") as stream:
            stream.write(content.read(path, MAX_FILE))
    return True

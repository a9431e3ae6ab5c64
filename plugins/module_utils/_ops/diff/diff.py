# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Diff: what differs between two artifacts, or between an artifact and a directory. Nothing is changed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Callable, TypeVar

from ..._dest.diff import MAX_FILES, MAX_TEXT, MAX_TOTAL
from ..._errors import InvalidOption, LayerError
from ..._files.names import escaped
from ..._files.regular_file import storage_error
from ..._files.tree import FILE
from ..._helm.chart_diff import ObjectDiff
from ..._helm.file_text import FileTexts as Secrets
from ..._oci.manifest import Manifest
from ..._secrets.known import without_secrets_in
from ..._secrets.masking import Mask
from ..layer_selector import COPY
from ..many import about
from ..placement import CHART, title_of
from ..task import Task
from .artifact import Artifact, ChosenLayers, ResolvedArtifact
from .charts import ChartDiff
from .compare import CHANGED, KINDS, MODE, Difference, compare
from .content import Content, open_directory
from .options import DiffOptions, Side
from .texts import ABSENT, REMOVED, FileTexts, TextBudget, printable

IDENTICAL, DIFFERENT = "Identical", "Different"
MAX_LAYERS_SHOWN = 1000
# bytes of all files in which Secrets are looked for; a larger file than one that is shown is not
MAX_SEARCHED = 8 * MAX_TOTAL

Result = TypeVar("Result")


def diff(options: DiffOptions, *, want_diff: bool = False) -> dict[str, Any]:
    """Compare two sides; return the module's result.

    Two artifacts of one digest are equal without further requests. Of others the manifests are fetched, and the layers
    of which the other side has no equal.

    :raises VerificationFailed: when a side does not satisfy its policy.
    :raises OciError: for every other failure.
    """
    if options.before.path and options.after.path:
        raise InvalidOption(
            "'from' and 'to' are both directories.", "Name an artifact in one of them; diff(1) compares directories."
        )
    with Task(options.cache) as task, ExitStack() as stack:
        return _Comparison(options, task, stack, want_diff).run()


class _Comparison:
    def __init__(self, options: DiffOptions, task: Task, stack: ExitStack, want_diff: bool) -> None:
        self._options = options
        self._stack = stack
        self._want_diff = want_diff
        self._secrets = Secrets()
        self._artifacts = [
            None if side.path else named(name, partial(Artifact, side, task, options.policy))
            for name, side in self._sides()
        ]
        self._opened: list[ResolvedArtifact] = []
        self._warnings: list[str] = []

    def _sides(self) -> list[tuple[str, Side]]:
        return [("from", self._options.before), ("to", self._options.after)]

    def run(self) -> dict[str, Any]:
        found: list[ResolvedArtifact | None] = []
        for (name, _side), artifact in zip(self._sides(), self._artifacts):
            resolved = None if artifact is None else named(name, artifact.resolve)
            if resolved is not None:
                self._stack.enter_context(closing(resolved))
                self._opened.append(resolved)
            found.append(resolved)
        before, after = found
        if before is not None and after is not None and self._is_same(before, after):
            return self._result([before.as_result(), after.as_result()], _Found())
        chosen = [
            None if each is None else named(name, each.choose) for (name, _side), each in zip(self._sides(), found)
        ]
        shown = [
            {"path": side.path} if each is None else each.as_result()
            for (_name, side), each in zip(self._sides(), chosen)
        ]
        return self._result(shown, self._compare(chosen))

    @staticmethod
    def _is_same(before: ResolvedArtifact, after: ResolvedArtifact) -> bool:
        """True when both are one artifact, of which the same content is looked at."""
        if before.resolved.digest != after.resolved.digest:
            return False
        ours, theirs = before.side, after.side
        return (ours.selector, ours.platform, ours.ignore) == (theirs.selector, theirs.platform, theirs.ignore)

    def _compare(self, chosen: Sequence[ChosenLayers | None]) -> _Found:
        before, after = chosen
        shared: frozenset[str] = frozenset()
        found = _Found()
        if before is not None and after is not None:
            shared = _shared_layers(before, after)
        try:
            contents = self._contents(chosen, shared)
        except LayerError:
            if not shared:
                raise
            # a layer may need one that both sides have: a hard link in it may lead there
            shared = frozenset()
            contents = self._contents(chosen, shared)
        self._compare_content(contents[0], contents[1], chosen, found, bool(shared))
        if before is not None and after is not None:
            if _is_stacked_on(before, after, shared):
                self._warnings.append(
                    f"{len(shared)} layers are on both sides, and were not fetched: a file of theirs that a layer of "
                    "one side replaces is listed as added or removed, and one that it only removes is not listed."
                )
            # at last, when all secrets are known
            found.add_manifests(before, after, self._secrets.mask)
        return found

    def _contents(self, chosen: Sequence[ChosenLayers | None], shared: frozenset[str]) -> list[Content]:
        try:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="oci-artifact-"))
        except OSError as exc:
            raise storage_error("make", "a temporary directory for what is compared", exc) from None
        return [
            named(name, partial(self._content, each, side, name, folder, shared, chosen))
            for (name, side), each in zip(self._sides(), chosen)
        ]

    def _content(
        self,
        each: ChosenLayers | None,
        side: Side,
        name: str,
        folder: str,
        shared: frozenset[str],
        chosen: Sequence[ChosenLayers | None],
    ) -> Content:
        if each is not None:
            own = os.path.join(folder, name)
            os.mkdir(own, 0o700)
            return self._stack.enter_context(each.fetched(own, shared))
        kind = next((other.placement.content for other in chosen if other is not None), "")
        other_side = next(other.artifact.side for other in chosen if other is not None)
        is_copy = other_side.selector.operation == COPY
        handles, content = open_directory(
            side.path, side.limits, "" if is_copy else side.ignore, "" if is_copy else kind
        )
        self._stack.callback(handles.close)
        return content

    def _compare_content(
        self, before: Content, after: Content, chosen: Sequence[ChosenLayers | None], found: _Found, is_partial: bool
    ) -> None:
        artifacts = [each for each in chosen if each is not None]
        is_chart = all(
            each.placement.content == CHART and each.artifact.side.selector.operation != COPY for each in artifacts
        )
        is_chart = is_chart and _align_charts(before, after)
        # Helm packages files with whatever mode they had, and reads them without it
        modes = not (is_chart and len(artifacts) == 1)
        differences = compare(before, after, modes=modes, directory_modes=not is_partial)
        found.differences = differences
        self._learn(before, after, differences)
        chart = ChartDiff(before, after, self._options.helm, self._secrets) if is_chart and differences else None
        files, shown = FileTexts(before, after, self._secrets.shown).entries(differences)
        found.files = files
        found.diff += shown
        if chart is not None:
            found.chart, objects = chart.compare()
            found.add_objects(objects, before.name, after.name)
            found.chart["notes"] = chart.notes
            self._warnings += chart.notes

    def _learn(self, before: Content, after: Content, differences: Sequence[Difference]) -> None:
        """Take in the values of the Secrets that differ, so that they are shown nowhere else."""
        left = MAX_SEARCHED
        for each in differences[:MAX_FILES]:
            for content, entry in ((before, each.before), (after, each.after)):
                if entry is None or entry.kind != FILE or entry.size > MAX_TEXT or not content.has_bytes(each.path):
                    continue
                raw = content.read(each.path, MAX_TEXT)
                if len(raw) <= left and any(sign in raw for sign in (b"Secret", b"\\", b"!!")):
                    left -= len(raw)
                    self._secrets.learn(raw.decode("utf-8", "replace"))

    def _result(self, sides: Sequence[dict[str, Any]], found: _Found) -> dict[str, Any]:
        differs = found.differs
        served = dict.fromkeys(host for each in self._opened for host in each.repository.served_by)
        warnings = [
            warning for each in self._opened for warning in (*each.warnings, *each.repository.warnings)
        ] + self._warnings
        result = {
            "changed": False,
            "differs": differs,
            "reason": DIFFERENT if differs else IDENTICAL,
            "from": sides[0],
            "to": sides[1],
            **found.as_result(),
            "served_by": list(served),
            "warnings": list(dict.fromkeys(warnings)),
        }
        if self._want_diff:
            result["diff"] = found.diff
        return result


class _Found:
    """All that differs."""

    def __init__(self) -> None:
        self.differences: Sequence[Difference] = ()
        self.files: list[dict[str, Any]] = []
        self.annotations: dict[str, Any] = {"added": {}, "removed": {}, "changed": {}}
        self.layers: dict[str, Any] = {"added": [], "removed": []}
        self.chart: dict[str, Any] = {}
        self.diff: list[dict[str, str]] = []
        self._manifests_differ = False

    @property
    def differs(self) -> bool:
        return bool(self.differences or self._manifests_differ)

    def add_manifests(self, before: ChosenLayers, after: ChosenLayers, mask: Mask) -> None:
        old, new = _annotations(before, mask), _annotations(after, mask)
        common = old.keys() & new.keys()
        self.annotations = {
            "added": {key: new[key] for key in sorted(new.keys() - old.keys())},
            "removed": {key: old[key] for key in sorted(old.keys() - new.keys())},
            "changed": {key: {"from": old[key], "to": new[key]} for key in sorted(common) if old[key] != new[key]},
        }
        ours, theirs = ([layer.as_result() for layer in each.manifest.layers] for each in (before, after))
        self.layers = {
            "added": [layer for layer in theirs if layer not in ours][:MAX_LAYERS_SHOWN],
            "removed": [layer for layer in ours if layer not in theirs][:MAX_LAYERS_SHOWN],
        }
        texts = _manifest_text(before.manifest, old), _manifest_text(after.manifest, new)
        self._manifests_differ = texts[0] != texts[1]
        if self._manifests_differ:
            names = before.artifact.name, after.artifact.name
            headers = {"before_header": f"{names[0]} (manifest)", "after_header": f"{names[1]} (manifest)"}
            self.diff.insert(0, {**headers, "before": texts[0], "after": texts[1]})

    def add_objects(self, objects: Sequence[ObjectDiff], before: str, after: str) -> None:
        budget = TextBudget()
        listed = []
        for each in objects[:MAX_FILES]:
            title = printable(each.title)
            text, note = "", budget.take(each.before, each.after)
            if not note:
                text, note = budget.unified(each.before, each.after, (f"a/{title}", f"b/{title}"))
            change = CHANGED if each.before and each.after else "added" if each.after else "removed"
            entry = {"kind": each.kind, "namespace": each.namespace, "name": each.name, "change": change, "text": text}
            listed.append({**entry, "note": note} if note else entry)
            self.diff.append(
                {
                    "before_header": f"{before} {title} (rendered)" if each.before else ABSENT,
                    "after_header": f"{after} {title} (rendered)" if each.after else REMOVED,
                    "before": f"({note})\n" if note and each.before else each.before,
                    "after": f"({note})\n" if note and each.after else each.after,
                }
            )
        self.chart["manifests"] = listed

    def as_result(self) -> dict[str, Any]:
        paths: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for each in self.differences:
            paths[each.change].append(escaped(each.path))
            if each.change == CHANGED and each.changes_mode:
                paths[MODE].append(escaped(each.path))
        result: dict[str, Any] = {
            "changes": {("modes" if kind == MODE else kind): found[:MAX_FILES] for kind, found in paths.items()},
            "counts": {("modes" if kind == MODE else kind): len(found) for kind, found in paths.items()},
            "files": self.files,
            "annotations": self.annotations,
            "layers": self.layers,
        }
        return {**result, "chart": self.chart} if self.chart else result


def _shared_layers(before: ChosenLayers, after: ChosenLayers) -> frozenset[str]:
    """The digests of layers that both have, and that mean the same for both."""
    if not before.is_placed_as(after):
        return frozenset()
    ours, theirs = ({layer.digest for layer in each.placement.layers} for each in (before, after))
    return frozenset(ours & theirs)


def _is_stacked_on(before: ChosenLayers, after: ChosenLayers, shared: frozenset[str]) -> bool:
    """Return True when layers that were fetched may replace what is in shared ones, as those of images do."""
    layers = [*before.placement.layers, *after.placement.layers]
    is_stack = before.placement.is_one_tree and any(layer.digest in shared and not title_of(layer) for layer in layers)
    return is_stack and any(layer.digest not in shared for layer in layers)


def named(name: str, call: Callable[[], Result]) -> Result:
    """Return the result of ``call``; its errors say which side they are about.

    :raises OciError: those of ``call``.
    """
    return about(f"'{name}'", call)


def _annotations(chosen: ChosenLayers, mask: Mask) -> dict[str, str]:
    """The annotations of the manifest, and of the index that led to it, without secrets."""
    found = without_secrets_in({**chosen.top.annotations, **chosen.manifest.annotations})
    return {mask.text(key): mask.text(value) for key, value in found.items()}


def _manifest_text(manifest: Manifest, annotations: dict[str, str]) -> str:
    document: dict[str, Any] = {
        "artifact_type": manifest.effective_artifact_type,
        "annotations": annotations,
        "config": manifest.config.as_result() if manifest.config is not None else None,
        "layers": [layer.as_result() for layer in manifest.layers],
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _align_charts(before: Content, after: Content) -> bool:
    """Make the paths of two charts relative to their directories; return False when one of them is no chart."""
    tops = before.chart_directory, after.chart_directory
    if tops[0] is None or tops[1] is None:
        return False
    for content, top in ((before, tops[0]), (after, tops[1])):
        if top:
            content.below(top)
    return True

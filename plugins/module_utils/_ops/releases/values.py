# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of releases: gathered from the chart, the cluster, the controller and the playbook.

What several releases share is read once.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._errors import NotFound, OciError, ValuesError
from ..._helm.values import PathValue, ambiguous_texts, canonical, compose, merge, read_values, set_all, set_path
from ..._kube.rest import KubeRest
from ..._secrets.masking import Mask
from .artifacts import ArtifactFiles
from .references import ARTIFACT, KINDS, FileName, ValuesReference
from .spec import FetchedChart, ReleaseKey, ReleaseSpec

# Places of values that a warning names, and the characters of their names.
SHOWN_PLACES, MAX_PLACES = 5, 500

if TYPE_CHECKING:
    from .foresight import Foresight

# names of keys in a message
MAX_NAMES = 20

# The keys on the path to a value; a list is one value.
ValuePath = tuple[str, ...]


class Origins(NamedTuple):
    """The paths of a release's values that are from Secrets, and of those that are not."""

    public: AbstractSet[ValuePath] = frozenset()
    secret: AbstractSet[ValuePath] = frozenset()


class ValuesGatherer:
    """Gathers the values of releases that are deployed by one task.

    ``documents`` has the text of the controller's files by path, None for a missing one. ``mask`` hides values from
    Secrets. ``origins`` has, for each release, the paths of its values by their origin. ``foresight`` knows the objects
    that will be there, in check mode.
    """

    def __init__(
        self,
        api: KubeRest,
        documents: Mapping[str, str | None],
        artifacts: ArtifactFiles,
        foresight: Foresight | None = None,
    ) -> None:
        self._api = api
        self._foresight = foresight
        self._documents = documents
        self._artifacts = artifacts
        self._parsed: dict[str, dict[str, Any]] = {}
        self._chart_files: dict[str, Mapping[str, bytes | None]] = {}
        self._objects: dict[tuple[str, str, str, str], Mapping[str, Any] | None] = {}
        self.mask = Mask()
        self.origins: dict[ReleaseKey, Origins] = {}

    def gather(self, spec: ReleaseSpec, chart: FetchedChart) -> bytes:
        """The values of a release as the document that Helm is given.

        Later sources win: files of the chart, ``values_from``, files of the controller, inline values, ``set_values``.

        :raises ValuesError: when a source is missing, or its content is not valid.
        :raises OciError: when the cluster or the chart cannot be read.
        """
        base: dict[str, Any] = {}
        for file in spec.chart_values_files:
            base = merge(base, self._of_chart(file, chart))
        references, secret = [], set()
        for reference in spec.values_from:
            found = self._of_reference(reference)
            if found is not None:
                references.append(found)
                if reference.kind == "Secret":
                    secret |= _places(_values_of(found))
        inline: dict[str, Any] = {}
        for file in spec.values_files:
            inline = merge(inline, self._of_controller(file))
        inline = merge(inline, spec.values)
        composed = compose(base, references, inline)
        if spec.set_values:
            composed = set_all(composed, spec.set_values, self._set_file, f"the release {spec.key}")
        self.origins[spec.key] = Origins(_places(composed) - secret, secret)
        return canonical(composed, f"the release {spec.key}")

    def note_public(self, spec: ReleaseSpec) -> None:
        """Record the paths of a release's values that are not secret, without the cluster and the chart.

        For a release whose values are not needed, since it is removed or rolled back.
        """
        inline: dict[str, Any] = {}
        for file in spec.values_files:
            try:
                inline = merge(inline, self._of_controller(file))
            except OciError:
                continue
        self.origins.setdefault(spec.key, Origins(_places(merge(inline, spec.values)), frozenset()))

    def _of_controller(self, file: FileName) -> dict[str, Any]:
        text = self._documents.get(file.path)
        if text is None:
            if file.ignore_missing:
                return {}
            raise ValuesError(
                f"The values file {file.path} is not on the controller.",
                "Correct 'values_files', or set 'ignore_missing' for it.",
            )
        what = f"The values file {file.path}"
        if file.path not in self._parsed:
            self._parsed[file.path] = read_values(text.encode("utf-8", "surrogateescape"), what)
        return self._parsed[file.path]

    def _set_file(self, path: str) -> str:
        text = self._documents.get(path)
        if text is None:
            raise ValuesError(f"The file {path} is not on the controller.", "Correct 'set_values'.")
        return text

    def _of_chart(self, file: FileName, chart: FetchedChart) -> dict[str, Any]:
        key = f"{chart.path}\0{file.path}"
        if key in self._parsed:
            return self._parsed[key]
        if chart.path not in self._chart_files:
            from ..._helm.chart import read_chart_files

            self._chart_files[chart.path] = read_chart_files(chart.path, chart.layer)
        data = self._chart_files[chart.path].get(file.path)
        if data is None:
            if file.ignore_missing:
                return {}
            raise ValuesError(
                f"The chart {chart.origin} has no file {file.path}.",
                "Correct 'chart_values_files', or set 'ignore_missing' for it.",
            )
        self._parsed[key] = read_values(data, f"The file {file.path} of the chart {chart.origin}")
        return self._parsed[key]

    def _of_reference(self, reference: ValuesReference) -> dict[str, Any] | PathValue | None:
        """The values of a reference; None when it is optional and missing."""
        data = (
            self._artifacts.file(reference.name, reference.key) if reference.kind == ARTIFACT else self._data(reference)
        )
        if data is None:
            if reference.optional:
                return None
            raise self._missing(reference)
        if reference.target_path:
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                raise ValuesError(f"The value of {reference} is not UTF-8 text.") from None
            value = PathValue(reference.target_path, text, reference.literal)
            if reference.kind == "Secret":
                self.mask.add(text)
                # its parsed form, such as the entries of a list
                self.mask.add_value(_values_of(value))
            return value
        return self._mapping(reference, data)

    def _missing(self, reference: ValuesReference) -> ValuesError:
        """The error for an object, or a key or file in it, that is not there. It names the keys that are."""
        hint = "Correct 'values_from', or set 'optional' for it."
        if reference.kind == ARTIFACT:
            origin = self._artifacts.artifact(reference.name).origin
            return ValuesError(f"There is no {str(reference)[4:]}, {origin}.", hint)
        place = (reference.user, *reference.place)
        found = self._objects[place]
        if found is None:
            return ValuesError(f"There is no {reference.owner}, which 'values_from' names.", hint)
        content = found.get("data")
        names = sorted(map(str, content)) if isinstance(content, Mapping) else []
        kept = f"its keys are {', '.join(names[:MAX_NAMES])}" if names else "it is empty"
        return ValuesError(f"There is no key {reference.key!r} in the {reference.owner}: {kept}.", hint)

    def _mapping(self, reference: ValuesReference, data: bytes) -> dict[str, Any]:
        if reference.kind != "Secret":
            return read_values(data, f"The value of {reference}")
        try:
            values = read_values(data, f"The value of {reference}")
        except ValuesError:
            values = None
        if values is None:
            # without the parser's message, which could repeat parts of the Secret
            raise ValuesError(
                f"The value of {reference} is not a mapping in YAML.",
                "Look at it with kubectl, or set 'target_path' to take it as one text.",
            )
        self.mask.add_value(values)
        return values

    def _data(self, reference: ValuesReference) -> bytes | None:
        place = reference.place
        seen = (reference.user, *place)
        if seen not in self._objects:
            path = f"/api/v1/namespaces/{reference.namespace}/{KINDS[reference.kind]}/{reference.name}"
            try:
                found: Mapping[str, Any] | None = self._api.acting_as(reference.user).get(path)
            except NotFound:
                found = None
            self._objects[seen] = found if self._foresight is None else self._foresight.as_planned(place, found)
        found = self._objects[seen]
        content = found.get("data") if found else None
        value = content.get(reference.key) if isinstance(content, Mapping) else None
        if not isinstance(value, str):
            return None
        if reference.kind != "Secret":
            return value.encode("utf-8", "surrogateescape")
        try:
            return base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            raise ValuesError(f"The value of {reference} is not base64.") from None


def ambiguous_values(spec: ReleaseSpec) -> list[str]:
    """A warning about inline values that are text here and would not be in a values file, or none."""
    places = ambiguous_texts(spec.values)
    if not places:
        return []
    shown = ", ".join(places[:SHOWN_PLACES])[:MAX_PLACES]
    more = f" and {len(places) - SHOWN_PLACES} more" if len(places) > SHOWN_PLACES else ""
    return [
        f"Inline values of the release {spec.key} are texts, which Helm would read as a number, a boolean or null in a "
        f"values file: {shown}{more}. Helm is given texts. If another type is meant, set it in a values file or in "
        "'set_values' (before ansible-core 2.19 a templated number is text); if text is meant, 'set_values' with the "
        "type string says so."
    ]


def _values_of(found: Mapping[str, Any] | PathValue) -> Mapping[str, Any]:
    """The values that a reference sets, as a mapping."""
    if not isinstance(found, PathValue):
        return found
    values: dict[str, Any] = {}
    set_path(values, found)
    return values


def _places(values: Any) -> set[ValuePath]:
    """The paths of the values in a mapping."""
    return {place for place, _value in values_at(values)}


def values_at(values: Any, above: ValuePath = ()) -> Iterator[tuple[ValuePath, Any]]:
    """The values in a mapping with their paths."""
    if not isinstance(values, Mapping):
        yield above, values
        return
    for key, value in values.items():
        yield from values_at(value, (*above, str(key)))


def masked_values(values: Any, mask: Mask, secret: AbstractSet[ValuePath], above: ValuePath = ()) -> Any:
    """Return values with a mark for each that may not be shown.

    :param secret: the paths of those that came from Secrets.
    """
    from ..._helm.manifest_text import NAME_OF_SECRET, mark

    if above in secret and values is not None:
        return mark(values)
    if isinstance(values, Mapping):
        return {
            mask.text(str(key)): masked_values(value, mask, secret, (*above, str(key))) for key, value in values.items()
        }
    if isinstance(values, (list, tuple)):
        # no path leads into a list
        return [masked_values(value, mask, frozenset(), above) for value in values]
    if isinstance(values, str) and values and above and NAME_OF_SECRET.search(above[-1]):
        return mark(values)
    return mark(values) if isinstance(values, (str, int, float)) and mask.is_in_value(values) else values

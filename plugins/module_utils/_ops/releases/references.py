# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the values of a release come from: its options, parsed and checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..._errors import ChartError, InvalidOption
from ..._helm.values import SET_TYPES, SetValue
from .artifacts import file_path

KINDS = {"ConfigMap": "configmaps", "Secret": "secrets"}
ARTIFACT = "OCIArtifact"
# of objects and namespaces, as the API server has them
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")


@dataclass(frozen=True)
class ValuesReference:
    """One entry of ``values_from``; of an artifact ``name`` is the source, and ``key`` the path of a file in it.

    ``user`` reads an object; empty for the account of the connection.
    """

    kind: str
    namespace: str
    name: str
    key: str = "values.yaml"
    target_path: str = ""
    optional: bool = False
    literal: bool = False
    user: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """Kind, namespace and name of the object."""
        return self.kind, self.namespace, self.name

    @property
    def owner(self) -> str:
        """The object, for messages."""
        if self.kind == ARTIFACT:
            return f"artifact of the source {self.name!r}"
        return f"{self.kind} {self.namespace}/{self.name}"

    def __str__(self) -> str:
        if self.kind == ARTIFACT:
            return f"the file {self.key!r} in the {self.owner}"
        return f"the key {self.key!r} of the {self.owner}"


@dataclass(frozen=True)
class FileName:
    """A values file; with ``ignore_missing`` it may be missing."""

    path: str
    ignore_missing: bool = False


def parse_files(entries: Sequence[Any] | None, release: str, option: str) -> list[FileName]:
    """Parse an option with values files, each a path or a mapping.

    :param release: whose they are, in messages.
    :raises InvalidOption: when an entry is neither.
    """
    files = []
    for entry in entries or ():
        if isinstance(entry, str) and entry:
            files.append(FileName(entry))
        elif _is_file(entry):
            files.append(FileName(entry["path"], bool(entry.get("ignore_missing"))))
        else:
            raise InvalidOption(
                f"An entry of '{option}' of the release {release} is neither a path nor a mapping with 'path'."
            )
    return files


def _is_file(entry: Any) -> bool:
    if not isinstance(entry, Mapping):
        return False
    return isinstance(entry.get("path"), str) and set(entry) <= {"path", "ignore_missing"}


def parse_set_values(entries: Any, release: str) -> list[SetValue]:
    """Parse the option ``set_values``; its texts may be secrets, so no message repeats them.

    :param release: whose they are, in messages.
    :raises InvalidOption: when it is not a list of mappings with a text and a known type.
    """
    if not isinstance(entries, (list, tuple, type(None))):
        raise InvalidOption(f"'set_values' of the release {release} is not a list.")
    found = []
    for number, entry in enumerate(entries or (), 1):
        kind = (entry.get("value_type") or "raw") if isinstance(entry, Mapping) else ""
        if not isinstance(entry, Mapping) or not set(entry) <= {"value", "value_type"} or kind not in SET_TYPES:
            raise InvalidOption(
                f"The entry {number} of 'set_values' of the release {release} is not a mapping of 'value' and "
                "'value_type'.",
                f"Wanted is a value such as a.b=1, and one of the types {', '.join(SET_TYPES)}.",
            )
        if not isinstance(entry.get("value"), str):
            raise InvalidOption(
                f"The 'value' of the entry {number} of 'set_values' of the release {release} is not text."
            )
        found.append(SetValue(entry["value"], kind))
    return found


def parse_reference(entry: Mapping[str, Any], release: str, namespace: str, user: str) -> ValuesReference:
    is_artifact = entry["kind"] == ARTIFACT
    for option in ("name", "namespace") if is_artifact else ("source", "path"):
        if entry.get(option):
            raise InvalidOption(
                f"An entry of 'values_from' of the release {release} has the option {option!r}, which the kind "
                f"{entry['kind']} does not have."
            )
    for option in ("name", "namespace"):
        # it becomes a part of a path, which must not lead to an object of another kind
        if not is_artifact and entry.get(option) and not _OBJECT_NAME.match(entry[option]):
            raise InvalidOption(
                f"An entry of 'values_from' of the release {release} has the {option} {entry[option][:100]!r}, which "
                f"no {entry['kind']} can have."
            )
    if is_artifact:
        path = file_path(entry.get("path") or "values.yaml", f"'values_from' of the release {release}")
        entry = {**entry, "name": entry["source"], "values_key": path}
    return ValuesReference(
        kind=entry["kind"],
        namespace=entry.get("namespace") or namespace,
        name=entry["name"],
        key=entry.get("values_key") or "values.yaml",
        target_path=entry.get("target_path") or "",
        optional=bool(entry.get("optional")),
        literal=bool(entry.get("literal")),
        user=user,
    )


def check_source(source: str, release: str, charts: Collection[str], artifacts: Collection[str]) -> None:
    """Check that the source of a release is one of the charts.

    :param artifacts: the names of all sources.
    :raises ChartError: when it is an artifact without a chart.
    :raises InvalidOption: when there is no such source.
    """
    if source in charts:
        return
    if source and source in artifacts:
        raise ChartError(f"The source {source!r} of the release {release} is not a Helm chart.", "Name its chart.")
    wanted = f"the source {source!r}, which is not" if source else "no source, which has to be"
    raise InvalidOption(f"The release {release} names {wanted} among the sources ({_listed(charts)}).")


def check_references(references: Iterable[ValuesReference], release: str, artifacts: Collection[str]) -> None:
    """Check that the artifacts among the references are sources.

    :raises InvalidOption: when one is not.
    """
    for reference in references:
        if reference.kind == ARTIFACT and reference.name not in artifacts:
            raise InvalidOption(
                f"'values_from' of the release {release} names the source {reference.name!r}, which is not among the "
                f"sources ({_listed(artifacts)})."
            )


def _listed(names: Collection[str]) -> str:
    # a chart that is no source has a NUL in its name
    return ", ".join(sorted(name for name in names if "\0" not in name)[:20]) or "none is given"

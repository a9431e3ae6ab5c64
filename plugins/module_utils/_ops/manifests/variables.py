# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of ConfigMaps and Secrets in the cluster: the rules of Flux's ``postBuild.substituteFrom``.

Source: fluxcd/pkg, ``kustomize/kustomize_varsub.go``, ``LoadVariables``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._errors import InvalidOption, ManifestsInvalid
from ..._kube.rest import KubeRest
from ..._manifests.substitute import is_variable_name
from ..._secrets.masking import Mask

PLURALS = {"ConfigMap": "configmaps", "Secret": "secrets"}
MAX_REFERENCES = 100


@dataclass(frozen=True)
class VariablesReference:
    """A ConfigMap or Secret that holds variables."""

    kind: str
    namespace: str
    name: str
    is_optional: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """The path of the object in the API."""
        return f"/api/v1/namespaces/{self.namespace}/{PLURALS[self.kind]}/{self.name}"


@dataclass
class Variables:
    """Variables as they are in the cluster; ``mask`` hides those of Secrets.

    ``versions`` tells whether an object was changed. Nothing in it is made of a value: it is
    noted in the cluster.
    """

    values: dict[str, str] = field(default_factory=dict, repr=False)
    versions: list[str] = field(default_factory=list)
    mask: Mask = field(default_factory=Mask, repr=False)


def parse_references(option: Sequence[Mapping[str, Any]], namespace: str) -> tuple[VariablesReference, ...]:
    """Check the option ``substitute_from``.

    :raises InvalidOption: when there are too many.
    """
    if len(option) > MAX_REFERENCES:
        raise InvalidOption(f"'substitute_from' has {len(option)} entries: wanted at most {MAX_REFERENCES}.")
    return tuple(
        VariablesReference(each["kind"], str(each.get("namespace") or namespace), each["name"], bool(each["optional"]))
        for each in option
    )


def read_variables(api: KubeRest, references: Sequence[VariablesReference]) -> Variables:
    """Read the variables, one request for each object. A later object wins over an earlier one.

    As in Flux, line breaks in values are left out, and each key in the data is a variable.

    :raises ManifestsInvalid: when an object is missing that is not optional, or a key or value cannot be used.
    :raises OciError: when the cluster cannot be read.
    """
    found = Variables()
    for reference in references:
        document = api.find(reference.path)
        if document is None:
            if not reference.is_optional:
                raise ManifestsInvalid(
                    f"The {reference} of 'substitute_from' is not in the cluster.",
                    "Create it, or set 'optional' for it.",
                )
            found.versions.append(f"{reference} -")
            continue
        metadata = document.get("metadata") or {}
        found.versions.append(f"{reference} {metadata.get('uid')} {metadata.get('resourceVersion')}")
        values = _values(reference, document.get("data"))
        found.values.update(values)
        if reference.kind == "Secret":
            found.mask.add_value(values)
    return found


def joined(variables: Variables, own: Mapping[str, str] | None) -> dict[str, str]:
    """Return all variables; those of the task win."""
    return {**variables.values, **{name: _one_line(text) for name, text in (own or {}).items()}}


def _values(reference: VariablesReference, data: Any) -> dict[str, str]:
    values = {}
    for key, text in data.items() if isinstance(data, Mapping) else ():
        if not is_variable_name(key):
            raise ManifestsInvalid(
                f"The key {key[:100]!r} of the {reference} cannot be the name of a variable.",
                "Wanted letters, digits and underscores, the first of which is not a digit.",
            )
        values[key] = _one_line(_decoded(reference, key, text) if reference.kind == "Secret" else str(text))
    return values


def _decoded(reference: VariablesReference, key: str, text: Any) -> str:
    try:
        return base64.b64decode(str(text), validate=True).decode("utf-8")
    except (ValueError, binascii.Error):
        # without the value
        raise ManifestsInvalid(f"The value of {key} in the {reference} is not UTF-8 text.") from None


def _one_line(text: str) -> str:
    return text.replace("\n", "")

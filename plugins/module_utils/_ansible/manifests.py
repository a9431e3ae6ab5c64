# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module oci_manifests as dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import InvalidOption
from .._files.bounded import expanded
from .._ops.manifests.spec import FetchedArtifact
from .post_rendering import RENDERING_SPEC, rendering_options
from .releases import KUBE_SPEC
from .sealed import mapping
from .specs import RULES_SPEC, string_values
from .targets import DRIFT_IGNORE_SPEC

MANIFESTS_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "source": {"type": "str"},
    "path": {"type": "str", "default": "./"},
    "prune": {"type": "bool", "default": True},
    "target_namespace": {"type": "str"},
    **RENDERING_SPEC,
    # the action plugin hands it over as one text: texts in it are neither logged nor blanked out elsewhere
    "substitute": {"type": "raw", "no_log": True},
    "substitute_from": {
        "type": "list",
        "elements": "dict",
        "options": {
            "kind": {"type": "str", "choices": ["ConfigMap", "Secret"], "required": True},
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str"},
            "optional": {"type": "bool", "default": False},
        },
    },
    "decryption": {
        "type": "dict",
        "options": {
            "provider": {"type": "str", "choices": ["sops"], "default": "sops"},
            # a name, and a path
            "secret_ref": {"type": "str", "no_log": False},
            "age_keyfile": {"type": "path", "no_log": False},
            "sops_binary": {"type": "path"},
        },
    },
    "force": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": False},
    "timeout": {"type": "str", "default": "5m"},
    "depends_on": {"type": "list", "elements": "raw"},
    "suspend": {"type": "bool", "default": False},
    "drift": {"type": "str", "choices": ["ignore", "warn", "correct"], "default": "ignore"},
    "drift_ignore": DRIFT_IGNORE_SPEC,
    "rollback_to": {"type": "str"},
    "history_max": {"type": "int", "default": 10},
    "applyset": {"type": "str"},
}

MANIFESTS_SPEC: dict[str, Any] = {
    "manifests": {"type": "list", "elements": "dict", "options": MANIFESTS_OPTIONS, "required": True},
    # merged into each entry by the action plugin
    "defaults": {"type": "dict", "default": {}},
    "fetched": {"type": "dict", "default": {}},
    # the action plugin hands both over as one text each, so that no credential in them is logged
    "sources": {"type": "raw", "no_log": True},
    # on their own, since options of the same names are those of the connection to the Kubernetes API
    "source_defaults": {"type": "raw", "no_log": True},
    "pins": {"type": "dict", "default": {}},
    "cache_dir": {"type": "path"},
    **RULES_SPEC,
    "kustomize": {"type": "str"},
    "parallel": {"type": "int", "default": 4},
    "lock_timeout": {"type": "str", "default": "5m"},
    **KUBE_SPEC,
}


def manifests_items(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The option ``manifests``, with all values of the types that the core takes.

    :raises InvalidOption: when one is of the wrong type.
    """
    return [_item(each, params["kustomize"] or "") for each in params["manifests"]]


def _item(given: Mapping[str, Any], kustomize: str) -> dict[str, Any]:
    name = given["name"]
    substitute = given["substitute"]
    if substitute is not None:
        found = mapping(substitute, f"variables in 'substitute' of the manifests {name}")
        substitute = string_values(found, "substitute")
    return {
        **given,
        **rendering_options(given),
        "substitute": substitute,
        "kustomize": expanded(kustomize),
    }


def fetched_artifacts(found: Mapping[str, Any]) -> dict[str, FetchedArtifact]:
    """What the module returns as ``fetched``, as its option of that name has it.

    :raises InvalidOption: when an entry is not what the module returns.
    """
    artifacts = {}
    for name, each in found.items():
        try:
            layers = tuple(
                {"path": expanded(layer["path"]), "digest": layer["digest"], "title": layer["title"]}
                for layer in each["layers"]
            )
            said = [str(each.get(key) or "") for key in ("version", "created")]
            artifacts[str(name)] = FetchedArtifact(each["digest"], each["revision"], each["url"], layers, *said)
        except (KeyError, TypeError, AttributeError):
            raise InvalidOption(
                f"The entry {name!r} of 'fetched' is not what oci_manifests returns.",
                "Hand over its return value 'fetched'.",
            ) from None
    return artifacts

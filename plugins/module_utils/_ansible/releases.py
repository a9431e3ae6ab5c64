# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module helm_releases as dataclasses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.parameters import env_fallback

from .._errors import InvalidOption
from .._files.bounded import expanded
from .._kube.api import KubeOptions, check_kubeconfig
from .._oci.options import parse_duration
from .._ops.releases.artifacts import FetchedFiles
from .._ops.releases.spec import FetchedChart
from .post_rendering import RENDERING_SPEC, rendering_options
from .sealed import mapping
from .specs import RULES_SPEC
from .targets import DRIFT_IGNORE_SPEC


def _env(*names: str, **spec: Any) -> dict[str, Any]:
    return {**spec, "fallback": (env_fallback, list(names))}


KUBE_SPEC: dict[str, Any] = {
    "kubeconfig": _env("K8S_AUTH_KUBECONFIG", type="raw", no_log=True),
    "context": _env("K8S_AUTH_CONTEXT", type="str"),
    "host": _env("K8S_AUTH_HOST", type="str"),
    "api_key": _env("K8S_AUTH_API_KEY", type="str", no_log=True),
    "client_cert": _env("K8S_AUTH_CERT_FILE", type="path", aliases=["cert_file"]),
    "client_key": _env("K8S_AUTH_KEY_FILE", type="path", aliases=["key_file"], no_log=False),
    "ca_cert": _env("K8S_AUTH_SSL_CA_CERT", type="path", aliases=["ssl_ca_cert"]),
    "validate_certs": _env("K8S_AUTH_VERIFY_SSL", type="bool", aliases=["verify_ssl"]),
    "proxy": _env("K8S_AUTH_PROXY", type="str", no_log=True),
    "api_timeout": {"type": "str", "default": "30s"},
}

_REMEDY = {
    "remediation": {"type": "str", "choices": ["none", "uninstall"], "default": "none"},
    "retries": {"type": "int", "default": 0},
}

_WAIT_STRATEGY = {"type": "str", "choices": ["watcher", "legacy", "hookOnly"]}
_PROPAGATION = {"type": "str", "choices": ["background", "foreground", "orphan"]}

RELEASE_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "target_namespace": {"type": "str"},
    "storage_namespace": {"type": "str"},
    "service_account": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "source": {"type": "str"},
    # the action plugin hands them over as one text: texts in them are neither logged nor blanked out elsewhere
    "values": {"type": "raw", "no_log": True},
    "values_files": {"type": "list", "elements": "raw"},
    "chart_values_files": {"type": "list", "elements": "raw"},
    "values_from": {
        "type": "list",
        "elements": "dict",
        "options": {
            "kind": {"type": "str", "choices": ["ConfigMap", "Secret", "OCIArtifact"], "required": True},
            "name": {"type": "str"},
            "source": {"type": "str"},
            "path": {"type": "str"},
            "namespace": {"type": "str"},
            "values_key": {"type": "str", "default": "values.yaml", "no_log": False},
            "target_path": {"type": "str"},
            "optional": {"type": "bool", "default": False},
            "literal": {"type": "bool", "default": False},
        },
        "required_if": [
            ("kind", "ConfigMap", ("name",)),
            ("kind", "Secret", ("name",)),
            ("kind", "OCIArtifact", ("source",)),
        ],
    },
    # a list; like values, the action plugin hands it over as one text
    "set_values": {"type": "raw", "no_log": True},
    "preserve_values": {"type": "bool", "default": False},
    "depends_on": {"type": "list", "elements": "raw"},
    "suspend": {"type": "bool", "default": False},
    "labels": {"type": "dict"},
    "create_namespace": {"type": "bool", "default": False},
    "crds": {"type": "str", "choices": ["Skip", "Create", "CreateReplace"], "default": "Create"},
    "post_renderer": {
        "type": "dict",
        "options": {"command": {"type": "str", "required": True}, "args": {"type": "list", "elements": "str"}},
    },
    **RENDERING_SPEC,
    "post_render_strategy": {"type": "str", "choices": ["nohooks", "combined", "separate"]},
    "wait": {"type": "bool", "default": True},
    "wait_for_jobs": {"type": "bool", "default": True},
    "wait_strategy": _WAIT_STRATEGY,
    "timeout": {"type": "str", "default": "5m"},
    "history_max": {"type": "int", "default": 10},
    "install": {"type": "dict", "options": _REMEDY},
    "upgrade": {
        "type": "dict",
        "options": {
            **_REMEDY,
            "remediation": {"type": "str", "choices": ["rollback", "uninstall", "none"], "default": "rollback"},
        },
    },
    # for what they do not say, the options of the release count
    "rollback": {
        "type": "dict",
        "options": {
            "timeout": {"type": "str"},
            "wait": {"type": "bool"},
            "wait_for_jobs": {"type": "bool"},
            "wait_strategy": _WAIT_STRATEGY,
            "disable_hooks": {"type": "bool"},
            "force": {"type": "bool"},
            "cleanup_on_fail": {"type": "bool"},
            "recreate": {"type": "bool"},
        },
    },
    "uninstall": {
        "type": "dict",
        "options": {
            "timeout": {"type": "str"},
            "wait": {"type": "bool"},
            "wait_strategy": _WAIT_STRATEGY,
            "disable_hooks": {"type": "bool"},
            "keep_history": {"type": "bool"},
            "deletion_propagation": _PROPAGATION,
        },
    },
    "remediate_last_failure": {"type": "bool", "default": True},
    "test": {
        "type": "dict",
        "options": {
            "enable": {"type": "bool", "default": True},
            "timeout": {"type": "str"},
            "ignore_failures": {"type": "bool", "default": False},
            "filters": {
                "type": "list",
                "elements": "dict",
                "options": {"name": {"type": "str", "required": True}, "exclude": {"type": "bool", "default": False}},
            },
        },
    },
    "pending": {"type": "str", "choices": ["unlock", "rollback", "uninstall", "fail"], "default": "unlock"},
    "drift": {"type": "str", "choices": ["ignore", "warn", "correct"], "default": "ignore"},
    "drift_ignore": DRIFT_IGNORE_SPEC,
    "window": {
        "type": "dict",
        "options": {
            # a text would be cut at the commas between its days
            "allow": {"type": "raw"},
            "deny": {"type": "raw"},
            "outside": {"type": "str", "choices": ["pending", "fail"]},
        },
    },
    "rollback_to": {"type": "str"},
    "keep_history": {"type": "bool", "default": False},
    "deletion_propagation": _PROPAGATION,
    "disable_hooks": {"type": "bool", "default": False},
    "disable_openapi_validation": {"type": "bool", "default": False},
    "skip_schema_validation": {"type": "bool", "default": False},
    "take_ownership": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "force_conflicts": {"type": "bool", "default": False},
    "server_side": {"type": "str", "choices": ["true", "false", "auto"]},
    "cleanup_on_fail": {"type": "bool", "default": False},
}

# where the charts and values of a list of releases come from, whether they are deployed or rendered
CHARTS_OF_RELEASES_SPEC: dict[str, Any] = {
    # merged into each release by the action plugin
    "defaults": {"type": "dict", "default": {}, "no_log": True},
    "charts": {"type": "dict", "default": {}},
    # the action plugin hands both over as one text each, so that no credential in them is logged
    "sources": {"type": "raw", "no_log": True},
    # on their own, since options of the same names are those of the connection to the Kubernetes API
    "source_defaults": {"type": "raw", "no_log": True},
    "pins": {"type": "dict", "default": {}},
    "cache_dir": {"type": "path"},
    **RULES_SPEC,
    "values_documents": {"type": "dict", "no_log": True},
}

RELEASES_SPEC: dict[str, Any] = {
    "releases": {"type": "list", "elements": "dict", "options": RELEASE_SPEC, "required": True},
    **CHARTS_OF_RELEASES_SPEC,
    # the action plugin hands them over as one text: they may be Secrets
    "planned_objects": {"type": "raw", "no_log": True},
    "helm": {"type": "str", "default": "helm"},
    "helm_driver": _env("HELM_DRIVER", type="str"),
    "parallel": {"type": "int", "default": 4},
    "lock_timeout": {"type": "str", "default": "5m"},
    "show": {"type": "list", "elements": "str", "choices": ["manifest", "notes", "values", "command"], "default": []},
    **KUBE_SPEC,
}


def kube_options(params: Mapping[str, Any]) -> KubeOptions:
    """The options of the documentation fragment ``cluster``.

    :raises InvalidOption: when the kubeconfig is neither a path nor a mapping; its text is not repeated.
    """
    kubeconfig = params["kubeconfig"] or ""
    if isinstance(kubeconfig, str) and kubeconfig.lstrip().startswith("{"):
        # as the action plugin hands it over
        kubeconfig = mapping(kubeconfig, "kubeconfig")
    return KubeOptions(
        kubeconfig=check_kubeconfig(kubeconfig),
        context=params["context"] or "",
        host=params["host"] or "",
        api_key=params["api_key"] or "",
        client_cert=params["client_cert"] or "",
        client_key=params["client_key"] or "",
        ca_cert=params["ca_cert"] or "",
        validate_certs=params["validate_certs"],
        proxy=params["proxy"] or "",
        timeout=parse_duration(params["api_timeout"], "api_timeout"),
    )


def release_items(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The option ``releases``, with values as mappings.

    :raises InvalidOption: when the values of a release are not a mapping.
    """
    items = []
    for item in params["releases"]:
        values = item["values"]
        found = mapping(values, f"values of the release {item['name']}") if values else {}
        assigned = _listed(item["set_values"])
        items.append({**item, **rendering_options(item), "values": found, "set_values": assigned})
    return items


def _listed(value: Any) -> Any:
    """A list as the action plugin hands it over; anything else as it is."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def fetched_files(found: Mapping[str, Any]) -> dict[str, FetchedFiles]:
    """All sources in the option ``charts`` as artifacts with files; a chart is one, too.

    :raises InvalidOption: when an entry is not what helm_chart_sources returns.
    """
    artifacts = {}
    for name, each in found.items():
        try:
            layers = each["layers"] if "layers" in each else [{**each["layer"], "path": each["path"], "title": ""}]
            artifacts[str(name)] = FetchedFiles(
                each["digest"],
                each["revision"],
                each["url"],
                [{**layer, "path": expanded(layer["path"]), "digest": str(layer["digest"])} for layer in layers],
            )
        except (KeyError, TypeError, AttributeError):
            raise _not_returned(name) from None
    return artifacts


def planned_objects(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The option ``planned_objects``.

    :raises InvalidOption: when it is not a list of mappings; what it is, is not repeated.
    """
    given = params["planned_objects"]
    if isinstance(given, str):
        given = mapping(given, "planned_objects").get("items")
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        raise InvalidOption("'planned_objects' is not a list of Kubernetes objects.", "Give each as a mapping.")
    return given


def fetched_charts(found: Mapping[str, Any]) -> dict[str, Any]:
    """The charts that helm_chart_sources returns, as the option ``charts`` has them, without artifacts of other kinds.

    :raises InvalidOption: when an entry is not what that module returns.
    """
    charts = {}
    for name, each in found.items():
        if isinstance(each, Mapping) and "layers" in each:
            continue
        try:
            charts[str(name)] = FetchedChart(
                path=expanded(each["path"]),
                layer=each["layer"]["digest"],
                digest=each["digest"],
                revision=each["revision"],
                url=each["url"],
                name=each.get("name") or "",
                version=each.get("version") or "",
                app_version=each.get("app_version") or "",
            )
        except (KeyError, TypeError, AttributeError):
            raise _not_returned(name) from None
    return charts


def _not_returned(name: object) -> InvalidOption:
    return InvalidOption(
        f"The entry {name!r} of 'charts' is not what helm_chart_sources returns.",
        "Hand over its return value 'charts'.",
    )

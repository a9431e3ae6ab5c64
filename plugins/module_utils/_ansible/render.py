# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module helm_chart_render as dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._dest.permissions import parse_permissions
from .._files.bounded import expanded
from .._helm.template_files import TemplateFlags
from .._ops.render.spec import RenderOptions
from .releases import (
    CHARTS_OF_RELEASES_SPEC,
    KUBE_SPEC,
    RELEASE_SPEC,
    fetched_charts,
    fetched_files,
    kube_options,
    release_items,
)
from .specs import rules_of

# The options of a release that decide what is rendered. The others of helm_releases are left out by the action plugin,
# so that one list of releases serves both modules.
RENDERING = (
    "name",
    "namespace",
    "state",
    "source",
    "values",
    "values_files",
    "chart_values_files",
    "values_from",
    "set_values",
    "post_renderer",
    "target_namespace",
    # which tells releases of a name apart
    "storage_namespace",
    # which reads what values_from names
    "service_account",
    "patches",
    "images",
    "common_metadata",
    "post_render_strategy",
    "disable_hooks",
    "skip_schema_validation",
)

RENDERED_RELEASE_SPEC: dict[str, Any] = {
    **{name: RELEASE_SPEC[name] for name in RENDERING},
    "chart": {"type": "path"},
    "dest": {"type": "path"},
}

RENDER_SPEC: dict[str, Any] = {
    "releases": {"type": "list", "elements": "dict", "options": RENDERED_RELEASE_SPEC, "required": True},
    **CHARTS_OF_RELEASES_SPEC,
    "dest": {"type": "path"},
    "single_file": {"type": "bool", "default": False},
    "mode": {"type": "raw"},
    "force": {"type": "bool", "default": False},
    "kube_version": {"type": "str"},
    "api_versions": {"type": "list", "elements": "str", "default": []},
    "include_crds": {"type": "bool", "default": False},
    "skip_tests": {"type": "bool", "default": False},
    "show_only": {"type": "list", "elements": "str", "default": []},
    "helm": {"type": "str", "default": "helm"},
    **KUBE_SPEC,
}


def render_options(params: Mapping[str, Any], charts: Mapping[str, Any]) -> RenderOptions:
    """The options of the module.

    :param charts: what helm_chart_sources returns.
    :raises InvalidOption: when one is of the wrong type, or cannot be used.
    """
    unused = {name: spec.get("default") for name, spec in RELEASE_SPEC.items() if name not in RENDERING}
    return RenderOptions(
        releases=[{**unused, **item} for item in release_items(params)],
        sources=fetched_charts(charts),
        artifacts=fetched_files(charts),
        documents=params["values_documents"] or {},
        kube=kube_options(params),
        helm=params["helm"],
        dest=expanded(params["dest"] or ""),
        single_file=params["single_file"],
        permissions=parse_permissions(params["mode"], "", ""),
        force=params["force"],
        flags=TemplateFlags(
            kube_version=params["kube_version"] or "",
            api_versions=tuple(params["api_versions"]),
            include_crds=params["include_crds"],
            skip_tests=params["skip_tests"],
            show_only=tuple(params["show_only"]),
        ),
        policy=rules_of(params["policy"]),
    )

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page "Moving Helm releases over": each option of kubernetes.core.helm and each field of a HelmRelease has a row,
and what a row names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/docsite/rst/guide_migrate_helm.rst").read_text()
ROW = re.compile(r"^   \* - (?P<field>``.+)\n     - (?P<here>.*(?:\n       .+)*)", re.MULTILINE)
NOTHING = ("Not applicable: ", "Not needed: ", "Not there: ")

# kubernetes.core 6.6, plugins/modules/helm.py and doc_fragments/helm_common_options.py, with aliases; the integration
# tests compare this list with the collection as it is installed
OPTIONS = """
    chart_ref chart_repo_url chart_version dependency_update dep_up release_name name release_namespace namespace
    release_state state release_values values values_files update_repo_cache set_values[].value
    set_values[].value_type reuse_values
    reset_values reset_then_reuse_values disable_hook force purge wait wait_for_jobs wait_timeout timeout atomic
    cleanup_on_fail server_side force_conflicts create_namespace post_renderer replace skip_crds history_max
    insecure_skip_tls_verify skip_tls_certs_check plain_http take_ownership skip_schema_validation binary_path context
    kube_context kubeconfig kubeconfig_path host api_key validate_certs verify_ssl ca_cert ssl_ca_cert
"""
_ACTION = "timeout disableWait disableWaitForJobs disableHooks serverSideApply"
_DEPLOY = f"""
    {_ACTION} strategy.name strategy.retryInterval remediation.retries remediation.ignoreTestFailures
    remediation.remediateLastFailure disableTakeOwnership disableOpenAPIValidation disableSchemaValidation crds
"""
_TARGET = "group version kind namespace name labelSelector annotationSelector"
# helm-controller, api/v2 (helmrelease_types.go, reference_types.go), and what of fluxcd/pkg is in it
FIELDS = {
    "": """
        interval suspend releaseName targetNamespace storageNamespace timeout maxHistory serviceAccountName
        persistentClient values postRenderStrategy
    """,
    "chartRef": "apiVersion kind name namespace",
    "chart.metadata": "labels annotations",
    "chart.spec": "chart version interval reconcileStrategy valuesFiles ignoreMissingValuesFiles",
    "chart.spec.sourceRef": "apiVersion kind name namespace",
    "chart.spec.verify": "provider secretRef.name",
    "kubeConfig": "secretRef.name secretRef.key configMapRef.name",
    "dependsOn[]": "name namespace readyExpr",
    "driftDetection": "mode ignore[].paths",
    "driftDetection.ignore[].target": _TARGET,
    "install": f"{_DEPLOY} replace skipCRDs createNamespace",
    "upgrade": f"{_DEPLOY} remediation.strategy force preserveValues cleanupOnFail chartNameChangeStrategy",
    "rollback": f"{_ACTION} recreate force cleanupOnFail",
    "uninstall": "timeout disableHooks keepHistory disableWait deletionPropagation",
    "test": "enable timeout ignoreFailures filters[].name filters[].exclude",
    "valuesFrom[]": "kind name valuesKey targetPath optional literal",
    "commonMetadata": "labels annotations",
    "postRenderers[].kustomize": "patches[].patch images[].name images[].newName images[].newTag images[].digest",
    "postRenderers[].kustomize.patches[].target": _TARGET,
    "waitStrategy": "name",
    "healthCheckExprs[]": "apiVersion kind current inProgress failed",
}

pytestmark = pytest.mark.once


def rows(title: str) -> dict[str, str]:
    """What each option or field is here, from the section of the page."""
    section = PAGE.partition(f"\n{title}\n{'-' * len(title)}\n")[2]
    section = re.split(r"\n[^\n]+\n-+\n", section)[0]
    found: dict[str, str] = {}
    for row in ROW.finditer(section):
        for field in re.findall(r"``(\S+)``", row["field"]):
            assert field not in found, field
            found[field] = " ".join(row["here"].split())
    return found


def documented() -> dict[str, Any]:
    """The options of helm_releases and, below ``releases``, those of a release."""
    for node in ast.parse((ROOT / "plugins/modules/helm_releases.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            options: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))["options"]
            return options
    raise AssertionError("no documentation")


def test_each_option_of_kubernetes_core_helm_has_a_row() -> None:
    assert sorted(rows("From kubernetes.core.helm")) == sorted(OPTIONS.split())


def test_each_field_of_a_helmrelease_has_a_row() -> None:
    wanted = {f"spec.{above}{'.' if above else ''}{name}" for above, names in FIELDS.items() for name in names.split()}
    assert sorted(rows("From HelmRelease")) == sorted(wanted)


@pytest.mark.parametrize("title", ["From kubernetes.core.helm", "From HelmRelease"])
def test_a_row_names_options_that_are_there_or_a_reason(title: str) -> None:
    options = documented()
    below = options["releases"]["suboptions"]
    # of the connection, in the documentation fragment
    known = {*options, *below, "kubeconfig", "context", "host", "api_key", "validate_certs", "ca_cert"}
    for field, here in rows(title).items():
        if here.startswith(NOTHING):
            assert here.endswith(".") and len(here) > 30, field
            continue
        named = re.match(r"``\w+``(?:, ``\w+``)*(?=\. |$)", here)
        assert named, f"{field}: {here}"
        names = re.findall(r"``(\w+)``", named[0])
        assert set(names) <= known, f"{field}: {names}"
        # what is said first of a mapping is an option in it
        said = re.match(r"\. ``(\w+)``(?:\.|, )", here[named.end() :])
        inner = [name for each in names for name in (below.get(each) or {}).get("suboptions") or {}]
        assert not (said and inner) or said[1] in inner, f"{field}: {here}"

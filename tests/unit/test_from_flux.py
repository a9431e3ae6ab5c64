# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page "Coming from Flux": each field of the three objects has what does it here, and what it names is there."""

from __future__ import annotations

import ast
import functools
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/docsite/rst/guide_from_flux.rst").read_text()
ROW = re.compile(r"^   \* - (?P<field>.+)\n     - (?P<here>.+(?:\n       .+)*)\n     - (?P<since>.+)$", re.MULTILINE)
# what is not there, and what other parts of Ansible do
REASON = re.compile(r"Not (?:applicable|there|needed)|The schedule of the play|``helm`` waits, by its own rules")
# the fields of spec, at the depth at which one is told from another; fluxcd, api/v1 of source-controller and
# kustomize-controller, api/v2 of helm-controller
FIELDS = {
    "OCIRepository": """
        url ref.tag ref.digest ref.semver ref.semverFilter layerSelector.mediaType layerSelector.operation provider
        secretRef verify.provider verify.secretRef verify.matchOIDCIdentity verify.trustedRootSecretRef
        serviceAccountName certSecretRef proxySecretRef interval timeout ignore insecure suspend
    """,
    "HelmRelease": """
        chart.spec.chart chart.spec.version chart.spec.sourceRef chart.spec.interval chart.spec.reconcileStrategy
        chart.spec.valuesFiles chart.spec.ignoreMissingValuesFiles chart.spec.verify chartRef interval kubeConfig
        suspend releaseName targetNamespace storageNamespace dependsOn dependsOn[].readyExpr timeout maxHistory
        serviceAccountName
        persistentClient driftDetection.mode driftDetection.ignore install.timeout install.remediation install.strategy
        install.disableTakeOwnership install.disableWait install.disableWaitForJobs install.disableHooks
        install.disableOpenAPIValidation install.disableSchemaValidation install.replace install.skipCRDs install.crds
        install.createNamespace install.serverSideApply upgrade.timeout upgrade.remediation upgrade.strategy
        upgrade.disableTakeOwnership upgrade.disableWait upgrade.disableWaitForJobs upgrade.disableHooks
        upgrade.disableOpenAPIValidation upgrade.disableSchemaValidation upgrade.force upgrade.preserveValues
        upgrade.cleanupOnFail upgrade.crds upgrade.serverSideApply upgrade.chartNameChangeStrategy test.enable
        test.timeout test.ignoreFailures test.filters rollback.timeout rollback.disableWait rollback.disableWaitForJobs
        rollback.disableHooks rollback.recreate rollback.force rollback.cleanupOnFail rollback.serverSideApply
        uninstall.timeout uninstall.disableHooks uninstall.keepHistory uninstall.disableWait
        uninstall.deletionPropagation valuesFrom values commonMetadata postRenderers postRenderStrategy waitStrategy
        healthCheckExprs
    """,
    "Kustomization": """
        commonMetadata.labels commonMetadata.annotations dependsOn decryption.provider decryption.serviceAccountName
        decryption.secretRef interval retryInterval kubeConfig path postBuild.substitute postBuild.substituteFrom prune
        deletionPolicy healthChecks namePrefix nameSuffix patches images serviceAccountName sourceRef suspend
        targetNamespace timeout force wait components ignoreMissingComponents healthCheckExprs driftIgnoreRules
    """,
}
STATUS = {
    "OCIRepository": """
        observedGeneration conditions.Ready conditions.Reconciling conditions.Stalled conditions.FetchFailed
        conditions.SourceVerified conditions.ArtifactInStorage conditions.ArtifactOutdated
        conditions.StorageOperationFailed url artifact.digest artifact.path artifact.url artifact.revision
        artifact.lastUpdateTime artifact.size artifact.metadata observedIgnore observedLayerSelector
        lastHandledReconcileAt
    """,
    "HelmRelease": """
        observedGeneration conditions.Ready conditions.Released conditions.TestSuccess conditions.Remediated
        conditions.Drifted history failures installFailures upgradeFailures lastAttemptedRevision
        lastAttemptedConfigDigest
    """,
    "Kustomization": """
        observedGeneration conditions.Ready conditions.Healthy conditions.Reconciling lastAppliedRevision
        lastAppliedOriginRevision lastAttemptedRevision inventory history lastHandledReconcileAt
    """,
}

pytestmark = pytest.mark.once


def rows_of(title: str) -> dict[str, str]:
    """What does each field of an object here, from the section of the page about it."""
    section = PAGE.partition(f"\n{title}\n{'-' * len(title)}\n")[2]
    section = re.split(r"\n[^\n]+\n-+\n", section)[0]
    found: dict[str, str] = {}
    for row in ROW.finditer(section):
        for field in re.findall(r"``(\S+)``", row["field"]):
            assert field not in found, field
            found[field] = " ".join(row["here"].split())
        if row["since"] == "Since":
            continue
        # a version, or the reason why there is none
        assert re.fullmatch(r"\d+\.\d+\.\d+", row["since"]) or row["since"] == "–", row["field"]
        assert (row["since"] == "–") == bool(REASON.match(row["here"])), row["field"]
    return found


@pytest.mark.parametrize("title", sorted(FIELDS))
def test_each_field_has_what_does_it_here_or_a_reason(title: str) -> None:
    rows = rows_of(title)
    wanted = {f"spec.{name}" for name in FIELDS[title].split()} | {f"status.{name}" for name in STATUS[title].split()}
    assert wanted - set(rows) == set()
    assert {name for name in rows if not name.startswith("metadata.annotations.")} == wanted
    for field, here in rows.items():
        # an option, a value or a module, or a sentence
        assert ":ans" in here or len(here) > 20, field


@functools.cache
def documented(name: str, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a plugin, those of its fragments included, and its return values."""
    folder = "modules" if kind == "module" else kind
    texts = constants(ROOT / f"plugins/{folder}/{name}.py")
    document = yaml.safe_load(texts["DOCUMENTATION"])
    options = dict(document.get("options") or {})
    for fragment in document.get("extends_documentation_fragment") or ():
        _namespace, _collection, file, *part = fragment.split(".")
        loaded = runpy.run_path(str(ROOT / f"plugins/doc_fragments/{file}.py"))["ModuleDocFragment"]
        text = getattr(loaded, (part[0] if part else "documentation").upper())
        for option, value in (yaml.safe_load(text).get("options") or {}).items():
            options.setdefault(option, value)
    return options, yaml.safe_load(texts["RETURN"])


def constants(path: Path) -> dict[str, str]:
    """The texts that a file, or a class in it, has as constants."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found[getattr(node.targets[0], "id", "")] = node.value.value
    return found


def test_what_the_page_names_is_there() -> None:
    named = re.findall(r":ans(opt|retval):`cloudnative\.artifacts\.(\w+)#(\w+):([^`=]+)(?:=[^`]*)?`", PAGE)
    assert len(named) > 100
    for role, plugin, kind, path in named:
        options, values = documented(plugin, kind)
        level, below = (options, "suboptions") if role == "opt" else (values, "contains")
        for part in path.replace("[]", "").split("."):
            assert part in level, f"{plugin}: {path}"
            level = level[part].get(below) or {}
    for plugin, kind in re.findall(r":ansplugin:`cloudnative\.artifacts\.(\w+)#(\w+)`", PAGE):
        assert (ROOT / f"plugins/{'modules' if kind == 'module' else kind}/{plugin}.py").exists()

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else works on the objects of a release at the very moment at which their drift is put right."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, edition, publish_chart
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import Conflict, ConnectionFailed, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.objects import ObjectLocator
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.rest import KubeRest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.ignored_fields import DriftRule
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.context import ReleaseContext
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.drift import look_for_drift
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.plan import ReleasePlan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.spec import (
    ReleaseKey,
    ReleaseSpec,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets.masking import Mask

pytestmark = pytest.mark.once

MORE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-more"}
data: {edition: first, size: "1"}
"""


class RacingApi(KubeRest):
    """An API client before whose corrections, or else before whose changes of managers, something else happens."""

    def __init__(self, kubeconfig: Path, interferences: Sequence[Callable[[], object]], late: bool) -> None:
        super().__init__(KubeOptions(kubeconfig=str(kubeconfig)))
        self._interferences = list(interferences)
        self._late = late
        self.patches = 0

    def patch(
        self, path: str, operations: Sequence[Mapping[str, Any]], resource_version: str, manager: str = "x"
    ) -> dict[str, Any]:
        is_late = str(operations[0]["path"]) == "/metadata/managedFields"
        self.patches += not is_late
        if self._interferences and is_late is self._late:
            self._interferences.pop(0)()
        return super().patch(path, operations, resource_version, manager)


class Scene:
    """A release of two ConfigMaps, of which the second has drifted: its size may, its edition may not."""

    def __init__(self, role: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path) -> None:
        self.cluster, self.namespace, self.helm = role.cluster, namespace, role.helm
        self._folder = tmp_path
        self._digest = publish_chart(publisher, "1.0.0", chart(**{"templates__more.yaml": MORE}))
        source = {"ref": f"{publisher.name}:1.0.0", "insecure": True}
        run = role({"demo": source}, [{"name": "one", "namespace": namespace, "source": "demo"}])
        assert not run.failed, run.message
        self.edit(edition="edited")

    def edit(self, **data: str) -> None:
        patch = json.dumps({"data": data})
        self.cluster.kubectl("patch", "configmap", "one-more", "-n", self.namespace, "--type=merge", "-p", patch)

    def correct(self, *interferences: Callable[[], object], late: bool = False) -> tuple[ReleasePlan, RacingApi]:
        api = RacingApi(self.cluster.kubeconfig, interferences, late)
        context = ReleaseContext(
            api,
            "helm",
            KubeOptions(kubeconfig=str(self.cluster.kubeconfig)),
            str(self._folder),
            lock_timeout=10.0,
            check_mode=False,
            want_diff=True,
            mask=Mask(),
            origins={},
        )
        key = ReleaseKey(self.namespace, "one")
        rules = [DriftRule(("/data/size",))]
        spec = ReleaseSpec(key, drift="correct", drift_ignore=rules, rollback_to=self._digest)
        plan = ReleasePlan(spec, last=context.last(key))
        try:
            look_for_drift(context, ObjectLocator(api), plan)
        except OciError as exc:
            plan.fail(exc)
        return plan, api

    @property
    def data(self) -> dict[str, str]:
        found = self.cluster.get("configmap", "one-more", self.namespace)
        assert found is not None
        data: dict[str, str] = found["data"]
        return data


@pytest.fixture(params=["helm", "helm4"])
def scene(
    request: pytest.FixtureRequest,
    role: RoleRunner,
    namespace: str,
    publisher: Publisher,
    tools: Tools,
    tmp_path: Path,
) -> Scene:
    return Scene(dataclasses.replace(role, helm=tools[request.param]), namespace, publisher, tmp_path)


def test_what_changes_in_between_is_compared_again(scene: Scene) -> None:
    """What is ignored and what somebody adds stay, whenever they come."""
    plan, api = scene.correct(lambda: scene.edit(size="5"), lambda: scene.edit(size="6", added="later"))
    assert plan.failure is None and plan.changed and plan.reason == "DriftCorrected"
    assert api.patches == 3
    assert scene.data == {"edition": "first", "size": "6", "added": "later"}
    assert "-size" not in str(plan.drift) and "edited" in plan.diff[0]["before"]


def test_what_is_put_right_in_between_is_not_our_change(scene: Scene) -> None:
    plan, api = scene.correct(lambda: scene.edit(edition="first"))
    assert plan.failure is None and not plan.changed and plan.diff == []
    assert api.patches == 1 and [each["corrected"] for each in plan.drift] == [False]


def test_what_is_removed_in_between_is_made_again(scene: Scene) -> None:
    delete = ("delete", "configmap", "one-more", "-n", scene.namespace)
    plan, _api = scene.correct(lambda: scene.cluster.kubectl(*delete))
    assert plan.failure is None and plan.changed
    assert scene.data == {"edition": "first", "size": "1"}


def test_somebody_who_never_stops(scene: Scene) -> None:
    edits = [lambda number=number: scene.edit(edition=f"edited-{number}") for number in range(20)]
    plan, api = scene.correct(*edits)
    assert plan.failure is not None and plan.failure.reason == Conflict.reason and not plan.changed
    assert "one-more" in str(plan.failure) and "Nothing was changed." in str(plan.failure)
    assert scene.data["edition"] == f"edited-{api.patches - 1}"


def test_helm_owns_what_was_put_right(scene: Scene, tools: Tools) -> None:
    """Also when somebody changes the object between the correction and the change of its managers."""
    plan, _api = scene.correct(lambda: scene.edit(size="7"), lambda: scene.edit(added="later"), late=True)
    assert plan.failure is None and plan.changed and plan.warnings == []
    assert scene.data["edition"] == "first"
    shown = scene.cluster.kubectl(
        "get", "configmap", "one-more", "-n", scene.namespace, "-o", "json", "--show-managed-fields"
    )
    entries = json.loads(shown)["metadata"]["managedFields"]
    owners = [each["manager"] for each in entries if "f:edition" in each["fieldsV1"].get("f:data", {})]
    assert owners == ["helm"]
    operation = "Apply" if scene.helm == tools["helm4"] else "Update"
    assert operation in {each["operation"] for each in entries if each["manager"] == "helm"}


def test_an_upgrade_in_between_is_not_undone(scene: Scene, tools: Tools, tmp_path: Path) -> None:
    archive = tmp_path / "chart.tgz"
    archive.write_bytes(chart(edition="second", **{"templates__more.yaml": MORE.replace("first", "second")}))
    common = ["--kubeconfig", scene.cluster.kubeconfig, "--namespace", scene.namespace]
    helm = "helm4" if scene.helm == tools["helm4"] else "helm"
    # the edit made kubectl the manager of the field
    force = ["--force-conflicts"] if helm == "helm4" else []
    plan, _api = scene.correct(lambda: tools.run(helm, "upgrade", "one", archive, *force, *common))
    assert plan.failure is not None and plan.failure.reason == "ReleaseLocked" and not plan.changed
    assert scene.data["edition"] == "second" == edition(scene.cluster, scene.namespace, "one")


def test_an_api_that_goes_away(scene: Scene) -> None:
    """What was corrected before is said, and the rest is not tried against a server that does not answer."""

    def vanish() -> None:
        raise ConnectionFailed("It is away.")

    first = ("patch", "configmap", "one", "-n", scene.namespace, "-p", '{"data": {"edition": "edited"}}')
    scene.cluster.kubectl(*first)
    plan, api = scene.correct(lambda: None, vanish)
    assert plan.failure is not None and plan.failure.reason == "ConnectionFailed" and plan.changed
    assert [each["corrected"] for each in plan.drift] == [True, False] and api.patches == 2
    assert "Other objects were corrected." in str(plan.failure)
    plan, api = scene.correct(vanish)
    assert plan.failure is not None and not plan.changed and "Nothing was changed." in str(plan.failure)

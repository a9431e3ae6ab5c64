# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run makes by itself: objects as they will be, and which releases work, fail or are warned about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.releases import RELEASE_SPEC
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import Forbidden, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.decision import Decision
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases import deploy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.foresight import (
    LAST_APPLIED,
    Foresight,
    settle,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.plan import ReleasePlan, Unmet
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.spec import (
    FetchedChart,
    ReleaseKey,
    ReleaseSpec,
)

DEMO = {"demo": FetchedChart("/x.tgz", f"sha256:{'1' * 64}", f"sha256:{'2' * 64}", "1.0", "oci://host/demo")}
NEW = ("", "new")
WIDGET = ("example.com/v1", "Widget")


def filled(**options: Any) -> dict[str, Any]:
    checked = ArgumentSpecValidator(RELEASE_SPEC).validate({"name": "one", "source": "demo", **options})
    parameters: dict[str, Any] = checked.validated_parameters
    return parameters


def config_map(data: Any, kind: str = "ConfigMap", **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "a", "namespace": "b", **metadata}, **data}


@pytest.mark.parametrize(
    ("planned", "found", "data"),
    [
        ([], None, None),
        ([], {"data": {"x": "1"}}, {"x": "1"}),
        ([config_map({"data": {"x": "1"}})], None, {"x": "1"}),
        ([config_map({"data": {"x": "1"}})], {"data": {"x": "0", "y": "2"}}, {"x": "1", "y": "2"}),
        ([{"kind": "List", "items": [config_map({"data": {"x": "1"}}), None]}], None, {"x": "1"}),
        (
            [{"kind": "ConfigMapList", "items": [{"metadata": {"name": "a", "namespace": "b"}, "data": {"x": "1"}}]}],
            None,
            {"x": "1"},
        ),
        # a key that was applied and is no more
        (
            [config_map({"data": {"x": "1"}})],
            {
                "data": {"x": "0", "y": "2", "z": "3"},
                "metadata": {"annotations": {LAST_APPLIED: json.dumps({"data": {"x": "0", "y": "2"}})}},
            },
            {"x": "1", "z": "3"},
        ),
        (
            [config_map({"data": {}})],
            {"data": {"x": "0"}, "metadata": {"annotations": {LAST_APPLIED: "{"}}},
            {"x": "0"},
        ),
        # of another name, namespace, kind
        ([config_map({"data": {"x": "1"}}, name="other")], None, None),
        ([config_map({"data": {"x": "1"}}, namespace="other")], None, None),
        ([config_map({"data": {"x": "1"}}, "Secret")], None, None),
        ([{"kind": "ConfigMap"}, {"kind": "ConfigMap", "metadata": []}, {}], None, None),
    ],
)
def test_objects_as_they_will_be(planned: list[Any], found: Any, data: Any) -> None:
    made = Foresight(planned).as_planned(("ConfigMap", "b", "a"), found)
    assert (made if made is None else made["data"]) == data


def test_texts_of_secrets_and_the_default_namespace() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "a"}, "data": {"x": "eA=="}, "stringData": {"y": "yes", "x": "z"}}
    made = Foresight([secret]).as_planned(("Secret", "default", "a"), None)
    assert made is not None and made["data"] == {"x": "eg==", "y": "eWVz"}


def crd(**version: Any) -> dict[str, Any]:
    names = {"kind": "Widget"}
    spec = {"group": "example.com", "names": names, "versions": [{"name": "v1", "served": True, **version}]}
    return {"kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"}, "spec": spec}


def test_what_is_made() -> None:
    foresight, key = Foresight([crd()]), ReleaseKey("ns", "one")
    foresight.add([crd(served=False), {"kind": "Namespace", "metadata": {"name": "new"}}, {"kind": "Other"}], key)
    foresight.add([{"kind": "CustomResourceDefinition"}, {"kind": "Namespace"}, {}], key)
    assert foresight.makers(WIDGET) == {None}
    assert foresight.makers(NEW) == {key}
    assert foresight.makers(("example.com/v2", "Widget")) == set()


@pytest.mark.parametrize(
    ("needs", "makers", "failing", "words"),
    [
        # by name, which other releases each needs; who makes what "user" lacks; who fails by itself
        ({"user": ["maker"], "maker": []}, ["maker"], [], "which the release ns/maker makes"),
        ({"user": ["middle"], "middle": ["maker"], "maker": []}, ["maker"], [], "which the release ns/maker makes"),
        ({"user": [], "maker": []}, ["maker"], [], "name it in 'depends_on' of ns/user"),
        ({"user": []}, [None], [], "is there."),
        ({"user": []}, [], [], None),
        ({"user": [], "maker": ["user"]}, ["maker"], [], None),
        ({"user": [], "maker": ["middle"], "middle": ["user"]}, ["maker"], [], None),
        ({"user": [], "maker": []}, ["maker"], ["maker"], None),
        # what fails for lack of something makes nothing either
        ({"user": [], "maker": ["low"], "low": []}, ["maker"], ["low"], None),
    ],
)
def test_who_fails(needs: dict[str, list[str]], makers: list[Any], failing: list[str], words: str | None) -> None:
    keys = {name: ReleaseKey("ns", name) for name in needs}
    plans = {
        keys[name]: ReleasePlan(
            ReleaseSpec(keys[name], depends_on=[keys[need] for need in own]), decision=Decision("install", "x")
        )
        for name, own in needs.items()
    }
    foresight = Foresight()
    for maker in makers:
        foresight.add([crd()], keys[maker] if maker else None)
    user = plans[keys["user"]]
    user.unmet.append(Unmet(WIDGET, OciError("no matches")))
    for name in failing:
        plans[keys[name]].fail(OciError("by itself"))
    settle(foresight, plans)
    assert (user.failure is None) == (words is not None)
    if words is None:
        assert user.failure is not None and user.failure.message == "no matches" and not user.warnings
    else:
        (warning,) = user.warnings
        assert words in warning and "the kind Widget of example.com/v1" in warning
    # dependents of what fails do not work either
    for plan in plans.values():
        broken = any(plans[need].failure is not None for need in plan.spec.depends_on)
        assert not broken or plan.failure is not None


def test_a_release_without_work_is_left_alone() -> None:
    low, high = ReleaseKey("ns", "low"), ReleaseKey("ns", "high")
    plans = {low: ReleasePlan(ReleaseSpec(low)), high: ReleasePlan(ReleaseSpec(high, depends_on=[low]))}
    plans[low].fail(OciError("by itself"))
    settle(Foresight(), plans)
    assert plans[high].failure is None
    assert str(Unmet(NEW, OciError("x"))) == "the namespace new"


@pytest.mark.parametrize(
    ("kind", "subject", "wanted"),
    [
        ("RoleBinding", {"kind": "ServiceAccount", "name": "deployer", "namespace": "apps"}, True),
        ("ClusterRoleBinding", {"kind": "User", "name": "system:serviceaccount:apps:deployer"}, True),
        ("ClusterRoleBinding", {"kind": "Group", "name": "system:serviceaccounts:apps"}, True),
        ("RoleBinding", {"kind": "ServiceAccount", "name": "deployer", "namespace": "other"}, False),
        ("Role", {"kind": "ServiceAccount", "name": "deployer", "namespace": "apps"}, False),
    ],
)
def test_rights_that_are_to_be_given(
    monkeypatch: pytest.MonkeyPatch, kind: str, subject: dict[str, str], wanted: bool
) -> None:
    planned = [{"kind": kind, "metadata": {"name": "a", "namespace": "apps"}, "subjects": [subject]}]
    user = "system:serviceaccount:apps:deployer"
    assert Foresight(planned).may_grant(user) == wanted and not Foresight(planned).may_grant("")

    words = "the API does not allow it"

    class Api:
        requests = 0

        def __init__(self, _options: Any) -> None:
            pass

        def acting_as(self, _user: str) -> Any:
            return self

        def list_metadata(self, *_arguments: Any) -> Any:
            raise Forbidden(words)

    monkeypatch.setattr(deploy, "KubeRest", Api)
    release = filled(namespace="apps", service_account="deployer")
    options = deploy.ReleasesOptions([release], DEMO, planned_objects=planned)
    predicted = deploy.deploy_releases(options, check_mode=True)
    assert bool(predicted.get("failed")) != wanted and predicted["changed"] == wanted
    assert bool(predicted["warnings"]) == wanted and predicted["releases"][0]["action"] == (
        "install" if wanted else "none"
    )
    # without the right to impersonate, the account's own are of no use
    words = 'users "x" is forbidden: User "y" cannot impersonate resource "users"'
    assert deploy.deploy_releases(options, check_mode=True)["failed"]
    words = "the API does not allow it"
    assert deploy.deploy_releases(options)["failed"]

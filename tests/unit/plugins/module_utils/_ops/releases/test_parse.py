# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of releases, in the module and in the role."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.releases import RELEASE_SPEC
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ChartError,
    InvalidOption,
    InvalidReference,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.flags import UninstallFlags
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.parse import parse_releases
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.spec import (
    FetchedChart,
    FileName,
    ReleaseKey,
    ReleaseSpec,
    Remedy,
)

COLLECTION = Path(__file__).resolve().parents[6]
DEMO = {"demo": FetchedChart("/x.tgz", f"sha256:{'1' * 64}", f"sha256:{'2' * 64}", "1.0", "oci://host/demo")}


def filled(**options: Any) -> dict[str, Any]:
    checked = ArgumentSpecValidator(RELEASE_SPEC).validate({"name": "one", "source": "demo", **options})
    assert not checked.error_messages, checked.error_messages
    parameters: dict[str, Any] = checked.validated_parameters
    return parameters


def parsed(**options: Any) -> ReleaseSpec:
    return parse_releases([filled(**options)], DEMO, DEMO)[0]


def test_defaults_are_those_that_flux_has() -> None:
    spec = parsed()
    assert spec.key == ReleaseKey("default", "one")
    assert spec.present and not spec.suspend and not spec.create_namespace
    assert (spec.flags.wait, spec.flags.wait_for_jobs, spec.flags.timeout) == (True, True, 300.0)
    assert (spec.crds, spec.pending, spec.drift) == ("Create", "unlock", "ignore")
    assert spec.install_remedy == Remedy("none", 0) and spec.upgrade_remedy == Remedy("rollback", 0)
    assert spec.test.accepted == () and spec.rendering_digest == ""


def test_options() -> None:
    spec = parsed(
        namespace="ns",
        depends_on=["a", "other/b", {"name": "c"}, {"name": "d", "namespace": "other"}],
        values_files=["one.yaml", {"path": "two.yaml", "ignore_missing": True}],
        values_from=[{"kind": "Secret", "name": "s", "target_path": "a.b"}],
        labels={"team": "blue", "on": True, "number": 1, "gone": None},
        test={"filters": [{"name": "a"}, {"name": "b", "exclude": True}]},
        post_renderer={"command": "sed", "args": ["s/a/b/"]},
        upgrade={"retries": 2},
        timeout="1m30s",
    )
    assert list(map(str, spec.depends_on)) == ["ns/a", "other/b", "ns/c", "other/d"]
    assert spec.values_files == [FileName("one.yaml"), FileName("two.yaml", True)]
    assert str(spec.values_from[0]) == "the key 'values.yaml' of the Secret ns/s"
    assert spec.labels == {"team": "blue", "on": "true", "number": "1", "gone": None}
    assert spec.test.accepted == ("passed",) and list(spec.test.filters) == ["name=a", "!name=b"]
    assert spec.upgrade_remedy == Remedy("rollback", 2)
    assert spec.test.timeout == spec.flags.timeout == 90
    assert spec.rendering_digest != parsed(post_renderer={"command": "sed"}).rendering_digest != ""


def test_settings_of_rollbacks_and_removals() -> None:
    plain = parsed(timeout="1m", wait=False, disable_hooks=True, keep_history=True, deletion_propagation="orphan")
    assert plain.rollback_flags == plain.flags
    assert plain.uninstall_flags == UninstallFlags(60, False, "", True, True, "orphan")
    spec = parsed(
        timeout="1m",
        force=True,
        wait_strategy="legacy",
        rollback={"timeout": "10m", "wait": False, "force": False, "recreate": True, "cleanup_on_fail": True},
        uninstall={"timeout": "20s", "wait_strategy": "hookOnly", "keep_history": True},
    )
    assert (spec.flags.timeout, spec.flags.wait, spec.flags.force, spec.flags.recreate) == (60, True, True, False)
    own = spec.rollback_flags
    assert (own.timeout, own.wait, own.force, own.recreate, own.cleanup_on_fail) == (600, False, False, True, True)
    assert own.wait_strategy == "legacy"
    assert spec.uninstall_flags == UninstallFlags(20, True, "hookOnly", True)


def test_when_dependencies_are_ready() -> None:
    spec = parsed(
        depends_on=["a", {"name": "b", "ready_when": " dep.revision > 1 "}, {"name": "c", "ready_when": None}],
        window={"allow": ["Mon"]},
    )
    assert list(map(str, spec.depends_on)) == ["default/a", "default/b", "default/c"]
    assert spec.ready_when == {ReleaseKey("default", "b"): "dep.revision > 1"}
    assert spec.window is not None and parsed(window=None).window is None
    one = parsed(window={"allow": "Sat,Sun 22:00-04:00 Europe/Berlin"}).window
    assert one is not None and [each.text for each in one.allow] == ["Sat,Sun 22:00-04:00 Europe/Berlin"]


def test_values_are_no_part_of_what_is_printed() -> None:
    assert "hush-hush" not in repr(parsed(values={"password": "hush-hush"}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "Upper"}, "'Upper' cannot be the name of a release"),
        ({"name": "a" * 54}, "cannot be the name of a release"),
        ({"name": "a.b-", "namespace": "x"}, "cannot be the name of a release"),
        ({"namespace": "a.b"}, "cannot be the name of a namespace"),
        ({"namespace": "a/b"}, "cannot be the name of a namespace"),
        ({"source": None}, "names no source, which has to be among the sources"),
        ({"labels": {"a b": "c"}}, "is not a label"),
        ({"labels": {"a": "b c"}}, "is not a label"),
        ({"labels": {"owner": "me"}}, "The label 'owner' .* is reserved"),
        ({"timeout": "-1s"}, "is not a duration"),
        ({"test": {"timeout": "soon"}}, "'soon' is not a duration"),
        ({"depends_on": ["a/"]}, "is not a name"),
        ({"depends_on": [{"namespace": "x"}]}, "is not a name"),
        ({"depends_on": [{"name": "x", "ready_expr": "true"}]}, "unknown key 'ready_expr'"),
        ({"depends_on": [{"name": "x", "ready_when": True}]}, "'True', which is not a text"),
        ({"depends_on": [{"name": "x", "ready_when": " "}]}, "which is not a text"),
        ({"drift_ignore": [{"paths": [""], "target": {"name": "a("}}]}, "'target' in 'drift_ignore' of the release"),
        ({"window": {"allow": []}}, "^'allow' of 'window' of the release default/one is an empty list"),
        (
            {"window": {"allow": [], "deny": ["Sat"]}},
            "^'allow' of 'window' of the release default/one is an empty list",
        ),
        ({"window": {"outside": "fail"}}, "^'window' of the release default/one has neither 'allow' nor 'deny'"),
        *(
            ({"window": empty}, "^'window' of the release default/one has neither 'allow' nor 'deny'")
            for empty in ({}, {"deny": []}, {"allow": None, "deny": None})
        ),
        ({"window": {"deny": ["Mondays"]}}, "^'window' of the release default/one: 'Mondays' is not a window"),
        ({"timeout": "soon"}, "'timeout': 'soon' is not a duration"),
        ({"rollback": {"timeout": "soon"}}, "'rollback.timeout': 'soon' is not a duration"),
        ({"uninstall": {"timeout": "soon"}}, "'uninstall.timeout': 'soon' is not a duration"),
        ({"rollback": {"force": True}, "force_conflicts": True}, "has both 'force', .* 'force_conflicts'"),
        ({"uninstall": {"timeout": "soon"}}, "'soon' is not a duration"),
        ({"values_files": [{"file": "x"}]}, "neither a path nor a mapping with 'path'"),
        ({"chart_values_files": [7]}, "neither a path nor a mapping with 'path'"),
        ({"upgrade": {"retries": 101}}, "'retries' is 101: wanted 0 to 100"),
        ({"rollback_to": "1.0.0"}, "is not a digest"),
        (
            {"values_from": [{"kind": "OCIArtifact", "source": "env"}]},
            r"names the source 'env', which is not .* \(demo\)",
        ),
        (
            {"values_from": [{"kind": "OCIArtifact", "source": "demo", "name": "x"}]},
            "'name', which the kind OCIArtifact",
        ),
        (
            {"values_from": [{"kind": "Secret", "name": "x", "path": "x"}]},
            "'path', which the kind Secret does not have",
        ),
        (
            {"values_from": [{"kind": "OCIArtifact", "source": "demo", "path": "../x"}]},
            "'../x', which is not one of a file",
        ),
        (
            {"values_from": [{"kind": "ConfigMap", "name": "../secrets/x"}]},
            "the name '../secrets/x', which no ConfigMap can have",
        ),
        (
            {"values_from": [{"kind": "Secret", "name": "x", "namespace": "a/b"}]},
            "the namespace 'a/b', which no Secret can have",
        ),
        (
            {"values_from": [{"kind": "OCIArtifact", "source": "demo", "path": "/x"}]},
            "'/x', which is not one of a file",
        ),
        ({"set_values": "a=hush"}, "'set_values' of the release default/one is not a list"),
        ({"set_values": ["a=hush"]}, "entry 1 of 'set_values' .* is not a mapping of 'value' and 'value_type'"),
        ({"set_values": [{"value": "a=1"}, {"value": "a=hush", "value_type": "yaml"}]}, "entry 2 of 'set_values'"),
        ({"set_values": [{"value": 1}]}, "'value' of the entry 1 of 'set_values' .* is not text"),
        ({"depends_on": ["one"]}, "in a circle: default/one needs default/one"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises((InvalidOption, InvalidReference), match=words) as caught:
        parsed(**options)
    assert "hush" not in str(caught.value)


def test_an_artifact_without_a_chart_is_for_values_alone() -> None:
    reference = {"kind": "OCIArtifact", "source": "env", "path": "./prod//a.yaml"}
    spec = parse_releases([filled(values_from=[reference])], DEMO, ["demo", "env"])[0]
    assert str(spec.values_from[0]) == "the file 'prod/a.yaml' in the artifact of the source 'env'"
    with pytest.raises(ChartError, match="source 'env' of the release default/one is not a Helm chart"):
        parse_releases([filled(source="env")], DEMO, ["demo", "env"])


def test_each_kind_of_values_names_its_place() -> None:
    for entry in ({"kind": "OCIArtifact"}, {"kind": "Secret"}, {"kind": "ConfigMap", "source": "env"}):
        checked = ArgumentSpecValidator(RELEASE_SPEC).validate({"name": "one", "values_from": [entry]})
        assert any("but all of the following are missing" in each for each in checked.error_messages), entry


def test_releases_are_told_apart_by_their_namespace() -> None:
    assert len(parse_releases([filled(namespace="a"), filled(namespace="b")], DEMO)) == 2
    with pytest.raises(InvalidOption, match="default/one is given twice"):
        parse_releases([filled(), filled()], DEMO)
    assert parse_releases([filled(source=None, state="absent")], {})[0].present is False


def documentation() -> dict[str, Any]:
    source = (COLLECTION / "plugins/modules/helm_releases.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            document: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return document
    raise AssertionError("no documentation")


def as_role_option(option: dict[str, Any]) -> dict[str, Any]:
    """An option of the module as the role's argument specs have it."""
    own = {key: value for key, value in option.items() if key not in ("suboptions", "description")}
    description = option["description"]
    texts = [description] if isinstance(description, str) else description
    texts = [text.replace("O(releases[]", "O(helm_release_releases[]") for text in texts]
    own["description"] = [re.sub(r"O\(sources\)( or O\(charts\))?", "O(helm_release_sources)", text) for text in texts]
    if "suboptions" in option:
        own["options"] = {name: as_role_option(each) for name, each in option["suboptions"].items()}
    return own


def test_the_role_takes_what_the_module_takes() -> None:
    specs = yaml.safe_load((COLLECTION / "roles/helm_release/meta/argument_specs.yml").read_text())
    found = specs["argument_specs"]["main"]["options"]["helm_release_releases"]["options"]
    wanted = documentation()["options"]["releases"]["suboptions"]
    assert found == {name: as_role_option(option) for name, option in wanted.items()}
    defaults = yaml.safe_load((COLLECTION / "roles/helm_release/defaults/main.yml").read_text())
    options = specs["argument_specs"]["main"]["options"]
    assert {name: each["default"] for name, each in options.items() if "default" in each} == defaults


def test_namespaces() -> None:
    spec = parsed(namespace="apps")
    assert (spec.key, spec.namespace, spec.target) == (ReleaseKey("apps", "one"), "apps", "apps")
    assert spec.fingerprint("", "").target == ""
    spec = parsed(
        namespace="apps",
        storage_namespace="records",
        target_namespace="objects",
        depends_on=["two"],
        values_from=[{"kind": "Secret", "name": "x"}],
    )
    assert (spec.key, spec.namespace, spec.target) == (ReleaseKey("records", "one"), "apps", "objects")
    assert spec.fingerprint("", "").target == "objects"
    # names that are not complete are those of the release's own namespace, not of that of its record
    assert spec.depends_on == [ReleaseKey("apps", "two")]
    assert spec.values_from[0].namespace == "apps"
    # the objects beside the record, and both away from where the rest is
    spec = parsed(namespace="apps", storage_namespace="other", target_namespace="other")
    assert spec.fingerprint("", "").target == ""
    for option in ("namespace", "storage_namespace", "target_namespace"):
        with pytest.raises(InvalidOption, match="'No' .*cannot be the name of a namespace|'No', of the release one"):
            parsed(**{option: "No"})


def test_a_service_account() -> None:
    assert parsed().user == ""
    spec = parsed(
        namespace="apps",
        storage_namespace="records",
        service_account="deployer.x",
        values_from=[{"kind": "Secret", "name": "x", "namespace": "other"}],
    )
    assert spec.user == "system:serviceaccount:apps:deployer.x"
    assert spec.values_from[0].user == spec.user
    for name in ("apps:deployer", "apps/deployer", "a\r\nImpersonate-Group: system:masters", "Deployer", "x" * 254):
        with pytest.raises(InvalidOption, match="'service_account' of the release"):
            parsed(service_account=name)


def test_dependencies_whose_records_are_elsewhere() -> None:
    """They are named by their own namespace, also where that of the record differs."""
    items = [
        filled(name="a", namespace="apps", storage_namespace="records"),
        filled(name="b", namespace="apps", depends_on=["a", "apps/a", {"name": "a"}, "outside/a"]),
        filled(name="c", namespace="apps", storage_namespace="records", depends_on=["b"]),
        filled(name="d", namespace="other", depends_on=["records/a"]),
    ]
    specs = {spec.key.name: spec for spec in parse_releases(items, DEMO)}
    record = ReleaseKey("records", "a")
    assert specs["b"].depends_on == [record, record, record, ReleaseKey("outside", "a")]
    assert specs["c"].depends_on == [ReleaseKey("apps", "b")]
    assert specs["d"].depends_on == [record]
    with pytest.raises(InvalidOption, match="apps/a .*needs|needs .*apps/b"):
        parse_releases([{**items[0], "depends_on": ["b"]}, items[1]], DEMO)
    twice = filled(name="a", namespace="apps", storage_namespace="more")
    with pytest.raises(InvalidOption, match="apps/a, which are 2 releases with records in more, records"):
        parse_releases([items[0], twice, items[1]], DEMO)
    with pytest.raises(InvalidOption, match="records/a is given twice"):
        parse_releases([items[0], filled(name="a", namespace="records")], DEMO)


@pytest.mark.parametrize(("option", "value"), [("force_conflicts", True), ("server_side", "true")])
def test_options_that_exclude_each_other(option: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=rf"default/one has both 'force'.*'{option}") as caught:
        parsed(force=True, **{option: value})
    assert "defaults" in caught.value.hint
    assert parsed(force=False, **{option: value}) and parsed(force=True, server_side="auto")

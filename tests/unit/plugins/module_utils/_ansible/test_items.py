# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an entry of ``artifacts``: those that the documentation promises, checked before the module runs."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.items import (
    ARTIFACTS_SPEC,
    OF_THE_TASK,
    ItemsModule,
    with_entries,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.run import run_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import CACHE_SPEC
from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_pull, oci_artifact_verify

both = pytest.mark.parametrize("module", [oci_artifact_pull, oci_artifact_verify], ids=["pull", "verify"])


def declared(module: ModuleType) -> dict[str, Any]:
    return {**module.OWN_SPEC, **CACHE_SPEC, **ARTIFACTS_SPEC}


@both
def test_an_entry_has_all_options_but_those_that_the_documentation_names(module: ModuleType) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]["artifacts"]
    (sentence,) = [text for text in documented["description"] if "Each entry is a mapping" in text]
    without = sentence.partition("without")[2].partition("which are for")[0]
    assert set(re.findall(r"O\((\w+)\)", without)) == OF_THE_TASK
    assert with_entries(declared(module))["artifacts"]["options"].keys() == module.OWN_SPEC.keys()


@both
def test_an_entry_has_no_defaults_of_its_own(module: ModuleType) -> None:
    for name, option in with_entries(declared(module))["artifacts"]["options"].items():
        assert not option.keys() & {"default", "required"}, name
        assert option.get("no_log") == module.OWN_SPEC[name].get("no_log"), name


def run(entries: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The result of a module that returns its entries as Ansible checked them."""
    arguments = {"ANSIBLE_MODULE_ARGS": {"artifacts": entries}}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda *_words, **_more: None)
    with pytest.raises(SystemExit):
        run_module(
            declared(oci_artifact_pull), lambda module: {"entries": module.params["artifacts"]}, kind=ItemsModule
        )
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"forse": True},
            "Item 2 of 'artifacts': unsupported parameters: forse. Supported parameters include: auth_config, ",
        ),
        (
            {"cache_dir": "/x"},
            "Item 2 of 'artifacts': unsupported parameters: cache_dir. Supported parameters include: ",
        ),
        ({"force": "perhaps"}, "Item 2 of 'artifacts': argument 'force' is of type "),
        ({"layers": "some"}, "Item 2 of 'artifacts': value of layers must be one of: auto, first, all, got: some"),
        ({"tag": 1.1}, "'item 2 of artifacts.tag' is the number 1.1"),
    ],
)
def test_an_entry_that_cannot_be_used(
    entry: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run([{"ref": "a/b:1"}, entry], monkeypatch, capsys)
    assert result["failed"] and result["msg"].startswith(message), result["msg"]
    assert result["reason"] == "InvalidOption"


def test_what_an_entry_says_is_converted_and_what_it_does_not_say_is_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run([{"ref": "a/b:1", "force": "yes", "retries": "7"}], monkeypatch, capsys)
    (entry,) = result["entries"]
    assert {name: value for name, value in entry.items() if value is not None} == {
        "ref": "a/b:1", "force": True, "retries": 7,
    }  # fmt: skip

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of the modules in the words of the role."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.role_words import (
    _OF_RELEASES,
    PREFIX,
    ROLE,
    in_words_of_role,
)

IN_ROLE = {"ansible_role_name": ROLE}
ROLE_FOLDER = Path(__file__).resolve().parents[4] / "roles/helm_release"


@pytest.mark.parametrize(
    ("said", "in_role"),
    [
        ("'lock_timeout': 'soon' is not", "'helm_release_lock_timeout': 'soon' is not"),
        ("Give 'kubeconfig', or 'host'.", "Give 'helm_release_kubeconfig', or 'helm_release_api_host'."),
        ("'item 2 of releases.rollback_to' is", "'item 2 of helm_release_releases.rollback_to' is"),
        ("missing required arguments: name found in releases", None),
        ("Unsupported parameters for (x) module: releases.chart. Supported", None),
        # what a user named like an option
        ("The program 'helm' is not there", "The program 'helm' is not there"),
        ("The source 'releases' is", "The source 'releases' is"),
        ("names the source 'helm', which is not", "names the source 'helm', which is not"),
        # options of a release
        ("Correct 'values_from', or set 'optional' for it.", "Correct 'values_from', or set 'optional' for it."),
    ],
)
def test_messages(said: str, in_role: str | None) -> None:
    expected = in_role or said.replace("releases", f"{PREFIX}releases")
    answer = {"failed": True, "msg": said, "warnings": [said], "releases": [{"msg": said}, {"changed": True}]}
    changed = in_words_of_role(answer, IN_ROLE)
    assert changed["msg"] == changed["warnings"][0] == changed["releases"][0]["msg"] == expected
    assert changed["failed"] and changed["releases"][1] == {"changed": True}
    # everywhere else they stay as they are
    for names in ({}, {"ansible_role_name": "somebody.elses.role"}):
        assert in_words_of_role(answer, names) == answer


def test_what_is_said_of_a_source_names_its_own_options() -> None:
    said = "The source 'demo': give the authority in 'ca_cert', or correct 'sources'."
    answer: dict[str, Any] = {"msg": said, "failed_sources": {"demo": {}}}
    assert in_words_of_role(answer, IN_ROLE)["msg"] == said.replace("'sources'", "'helm_release_sources'")


def test_each_option_that_the_role_sets_has_its_name() -> None:
    tasks = yaml.safe_load((ROLE_FOLDER / "tasks/main.yml").read_text())
    arguments = tasks[-1]["cloudnative.artifacts.helm_releases"]
    del arguments["planned_objects"]
    assert {name: value.split()[1] for name, value in arguments.items()} == {
        name: f"{PREFIX}{variable}" for name, variable in _OF_RELEASES.items()
    }

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of ``helm template`` as files, whatever templates write into it."""

from __future__ import annotations

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ChartError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.template_files import (
    MAX_FILES,
    UNNAMED,
    TemplateFlags,
    template_files,
)

pytestmark = pytest.mark.once


def part(source: str, body: str = "kind: A") -> str:
    return f"---\n# Source: {source}\n{body}\n"


def test_documents_go_to_the_file_of_their_template() -> None:
    first, second, third = (part("web/templates/a.yaml", f"n: {n}") for n in (1, 2, 3))
    other = part("web/charts/sub/templates/b.yaml")
    found = template_files(f"{first}{other}{second}---\nn: more\n{third}", "web")
    assert found == {
        "web/templates/a.yaml": f"{first}{second}---\nn: more\n{third}",
        "web/charts/sub/templates/b.yaml": other,
    }
    # old versions name them without the chart
    assert list(template_files(part("crds/c.yaml"), "web")) == ["web/crds/c.yaml"]
    assert template_files("\n", "web") == {}
    # a line in a text is not the beginning of a document
    text = part("web/templates/a.yaml", "data: |\n  ---\n  # Source: other.yaml\n  ----\n---x: y")
    assert template_files(text, "web") == {"web/templates/a.yaml": text}


def test_what_says_no_template_has_a_file_of_its_own() -> None:
    assert template_files("kind: A\n---\nkind: B\n", "web") == {UNNAMED: "kind: A\n---\nkind: B\n"}


@pytest.mark.parametrize(
    "source",
    [
        "../a.yaml",
        "/etc/a.yaml",
        "a/../../b",
        ".oci-artifact/state",
        "web/.a.oci-artifact/x",
        ".",
        "a\0b",
        UNNAMED,
        "x" * 300,
    ],
)
def test_a_name_never_leads_elsewhere(source: str) -> None:
    assert list(template_files(part(source), "web")) == [UNNAMED]


def test_a_file_is_not_a_directory_as_well() -> None:
    texts = [part("a/b"), part("a/b/c"), part("d/e/f"), part("d/e"), part(f"{UNNAMED}/x")]
    assert list(template_files("".join(texts), "web")) == ["a/b", UNNAMED, "d/e/f"]


def test_there_are_limits() -> None:
    with pytest.raises(ChartError, match="more than 2000 files"):
        template_files("".join(part(f"a/{number}.yaml") for number in range(MAX_FILES + 1)), "web")


def test_flags_are_the_arguments_of_helm() -> None:
    assert TemplateFlags().words == []
    flags = TemplateFlags("1.31", ["a/v1", "b/v2"], True, True, ["templates/x.yaml"])
    assert flags.words == [
        "--kube-version=1.31",
        "--api-versions=a/v1",
        "--api-versions=b/v2",
        "--show-only=templates/x.yaml",
        "--include-crds",
        "--skip-tests",
    ]

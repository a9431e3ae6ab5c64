# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils import _errors

GUIDE = (Path(__file__).resolve().parents[4] / "docs/docsite/rst/guide_errors.rst").read_text()
# they stand for several codes: each error that is raised has a more precise one
BASES = {_errors.OciError, _errors.HelmFailed}
REASONS = {
    each.reason
    for each in vars(_errors).values()
    if isinstance(each, type) and issubclass(each, _errors.OciError) and each not in BASES
}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_the_guide_to_errors_explains_each_reason_code(reason: str) -> None:
    table, _heading, _rest = GUIDE.partition("\nAbsence that is")
    rows = [line for line in table.splitlines() if line.startswith("   * - ")]

    assert any(f"``{reason}``" in row for row in rows)

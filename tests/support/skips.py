# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No test is skipped in CI: a tool, a package or a right that is missing there is a failure.

A conftest calls :func:`refuse_skips` when pytest is configured. Only what the machine itself cannot do may be
skipped; the reason begins with :data:`OF_THE_MACHINE`. What one of several ansible-core releases runs is selected by
markers, not skipped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import Any

import pytest

OF_THE_MACHINE = "this machine"


def refuse_skips(config: pytest.Config) -> None:
    """Have pytest use the two hooks of this module; a second call changes nothing."""
    if not config.pluginmanager.has_plugin(__name__):
        config.pluginmanager.register(sys.modules[__name__], __name__)


def _fail_if_skipped(report: Any) -> None:
    in_ci = os.environ.get("CI") or os.environ.get("REQUIRE_TOOLS")
    if not in_ci or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(OF_THE_MACHINE):
        report.outcome = "failed"
        report.longrepr = f"skipped, where CI or REQUIRE_TOOLS is set: {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, None]:
    """Turn the skip of a test into a failure."""
    outcome = yield
    _fail_if_skipped(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, None]:
    """Turn the skip of a whole file into a failure."""
    outcome = yield
    _fail_if_skipped(outcome.get_result())

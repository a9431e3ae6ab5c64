# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of all unit tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from skips import refuse_skips

from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets import known

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("collection", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("collection")


def pytest_configure(config: pytest.Config) -> None:
    refuse_skips(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With FEWER_EXAMPLES each property is tried with so many times fewer examples, but with ten at least."""
    divisor = int(os.environ.get("FEWER_EXAMPLES", "1"))
    for item in items:
        test = getattr(getattr(item, "function", None), "__func__", getattr(item, "function", None))
        if divisor > 1 and getattr(test, "is_hypothesis_test", False):
            own = test._hypothesis_internal_use_settings or settings.default
            fewer = min(own.max_examples, max(10, own.max_examples // divisor))
            test._hypothesis_internal_use_settings = settings(own, max_examples=fewer)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case by the length of its bytes: archives hold times, and all workers have to find the same cases."""
    return f"{argname}-{len(val)}-bytes" if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests pull stays out of the index of the user that runs them."""
    monkeypatch.setenv("OCI_ARTIFACT_INDEX", "")


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> Iterator[None]:
    """A process of a module runs one task, and hides what that one knows; here many tests share a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "_noted", {})
        patch.setattr(known, "_mask", None)
        yield

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib

import pytest


@pytest.fixture(autouse=True)
def _no_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have modules collect their warnings as on a host, also where other tests have loaded parts of the controller."""
    with contextlib.suppress(ImportError):
        from ansible.module_utils import _internal  # from 2.19 on

        monkeypatch.setattr(_internal, "is_controller", False)

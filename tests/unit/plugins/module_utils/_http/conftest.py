# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers with and without TLS, in an environment that names no proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import FaultServer
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.tls_harness import (
    ENVIRONMENT,
    Certificate,
    create_certificate,
    serve,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("certificates"), "server")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def tls_server(certificate: Certificate) -> Iterator[FaultServer]:
    with serve(certificate) as server:
        yield server


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serve() as server:
        yield server

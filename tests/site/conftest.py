# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests of the documentation site, as docs/build.sh builds it and a browser shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from skips import refuse_skips
from support.tools import Tools

CHECKOUT = Path(__file__).resolve().parents[2]
# milliseconds; a page is there at once, but for a machine that is busy
PATIENCE = 300_000
expect.set_options(timeout=PATIENCE)


def pytest_configure(config: pytest.Config) -> None:
    refuse_skips(config)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site: the one that SITE names, else one that is built for this run."""
    ready = os.environ.get("SITE")
    if ready:
        return Path(ready)
    folder = tmp_path_factory.mktemp("site")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    subprocess.run(["bash", str(CHECKOUT / "docs/build.sh"), str(folder)], check=True, env=environment)
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> list[Path]:
    """All pages but the one of the search, which has no content of its own."""
    found = sorted(path for path in site.rglob("*.html") if path.name != "search.html")
    assert len(found) > 30
    return found


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium; where there is none, a skip, which is a failure in CI."""
    program = Tools(home=tmp_path_factory.mktemp("home"))["chromium"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, timeout=PATIENCE)
        yield running
        running.close()

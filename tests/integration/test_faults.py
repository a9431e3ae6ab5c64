# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault in every operation: either the right bytes or a clear error, with dest and tags untouched.

The outcome of each is the table in docs/docsite/rst/guide_faults.rst. After a change that is meant, write it anew with

    UPDATE_FAULT_TABLE=1 python -m pytest tests/integration/test_faults.py -k table
"""

from __future__ import annotations

import csv
import os
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy
from support.ansible_runner import COLLECTION, AnsibleRunner
from support.fault_cells import OPERATIONS, Cell, Clock, Ground, Operation
from support.fault_rows import IMPATIENT, Row, Scene, rows
from support.servers import RegistryServer

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import client as registry_client

GUIDE = Path(__file__).resolve().parents[2] / "docs/docsite/rst/guide_faults.rst"
BEGIN, END = ".. The table is generated; see tests/integration/test_faults.py", ".. End of the table"


@pytest.fixture(scope="module")
def ground(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(registry, tmp_path_factory.mktemp("faults"))


@dataclass(frozen=True)
class Outcome:
    """A cell of the table; ``problem`` is what makes it a bad one."""

    text: str
    requests: int
    seconds: float = 0.0
    timeouts: int = 0
    problem: str = ""

    def __str__(self) -> str:
        waited = f"{self.seconds:g} s" + (f" + {self.timeouts} t" if self.timeouts else "")
        return f"{self.text}, {self.requests}, {waited}"


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Clock]]:
    """Clocks by the registry whose client they drive; pauses take their longest, and no time."""
    found: dict[str, Clock] = {}
    real = registry_client.RegistryClient

    def client(registry: str, connection: ConnectionOptions, credential: Any) -> Any:
        clock = found.get(registry)
        if clock is None:
            return real(registry, connection, credential)
        return real(registry, connection, credential, sleep=clock.sleep, clock=clock.read)

    monkeypatch.setattr(registry_client, "RegistryClient", client)
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    yield found


def run_row(
    kind: type[Operation], ground: Ground, number: int, row: Row, clocks: dict[str, Clock], known: str | None
) -> Outcome:
    """A cell. One that waits for time-outs is run anew, with more patience, when it differs from the one that is known:
    on a busy machine a request may have timed out that was not to.
    """
    for attempt in range(4 if row.timeout == IMPATIENT else 1):
        outcome = run_cell(kind(Cell(ground, f"{number}-{attempt}")), row, row.timeout * 2**attempt, clocks)
        if str(outcome) == known:
            break
    return outcome


def run_cell(operation: Operation, row: Row, timeout: float, clocks: dict[str, Clock]) -> Outcome:
    ground, cell, clock = operation.ground, operation.cell, Clock()
    problem = ""
    with FaultProxy(ground.registry.host) as proxy, FaultProxy(ground.registry.host) as other:
        scene, strike = Scene(proxy, other), operation.strike()
        row.install(scene, strike)
        clock.on_pause = scene.on_pause
        clocks[proxy.host] = clock
        text = "ok"
        try:
            cell.result = operation.call(proxy.host, ConnectionOptions(insecure=True, timeout=timeout))
        except OciError as exc:
            cell.failed, text = True, exc.reason
            problem = _unclear(exc, proxy)
        if any(seen.authorization for seen in other.seen):
            problem = "a credential went to another host"
        if text == "ok" and not proxy.requests(strike.method, strike.pattern):
            problem = "nothing was there to be spoiled"
        requests = len(proxy.seen) + len(other.seen)
    problem = problem or operation.wrong()
    return Outcome(text, requests, round(clock.now, 1), proxy.stalls, problem)


def _unclear(error: OciError, proxy: FaultProxy) -> str:
    """What keeps an error from being clear; empty when it says where it was, what it found and what to do."""
    words = str(error)
    if not re.search(r"127\.0\.0\.1|faults/", words) or not words.endswith((".", ")")) or "Traceback" in words:
        return f"unclear: {words}"
    return "a token is shown" if any(token in words for token in proxy.issued) else ""


@pytest.mark.once
def test_table(ground: Ground, clocks: dict[str, Clock]) -> None:
    wanted = rows()
    # those that wait for a timeout first, while the others are run
    cells = [(row, kind) for row in sorted(wanted, key=lambda row: row.timeout != IMPATIENT) for kind in OPERATIONS]
    known = _committed()
    with ThreadPoolExecutor(64) as pool:
        begun = {
            (row.name, kind.name): pool.submit(
                run_row, kind, ground, number, row, clocks, known.get((row.name, kind.name))
            )
            for number, (row, kind) in enumerate(cells)
        }
        outcomes = {name: each.result() for name, each in begun.items()}
    bad = [f"{name}: {outcome}: {outcome.problem}" for name, outcome in outcomes.items() if outcome.problem]
    assert bad == []
    table = _table(wanted, outcomes)
    before, committed, after = _guide()
    if os.environ.get("UPDATE_FAULT_TABLE"):
        GUIDE.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{after}", encoding="utf-8")
    else:
        found = {name: str(each) for name, each in outcomes.items()}
        differing = {name: (each, known.get(name)) for name, each in found.items() if each != known.get(name)}
        assert differing == {}, "what was found, and what the guide says"
        assert committed.strip() == table.strip()


# every operation, and most kinds of faults; what waits for long is left to the table
THROUGH_ANSIBLE = [
    ("closed without an answer, twice", "verify"),
    ("reset at byte N, always", "pull"),
    ("wrong bytes, always", "verify"),
    ("wrong bytes, always", "push (blob)"),
    ("length says less, once", "pull"),
    ("chunked, always", "list"),
    ("HTML page, status 200, always", "push (tag)"),
    ("lying Docker-Content-Digest, always", "push (tag)"),
    ("status 503, twice", "resolve"),
    ("status 429, Retry-After: 3600", "sign"),
    ("status 401 in the middle, once", "push (blob)"),
    ("redirect to another host", "pull"),
    ("redirect loop", "list"),
    ("reset at byte N, all ranges get 416", "pull"),
]


@pytest.mark.once
def test_faults_through_ansible(ansible: AnsibleRunner, ground: Ground) -> None:
    known, kinds = {row.name: row for row in rows()}, {kind.name: kind for kind in OPERATIONS}
    with ExitStack() as stack:
        cells, tasks = [], []
        for number, (fault, name) in enumerate(THROUGH_ANSIBLE):
            operation = kinds[name](Cell(ground, f"ansible-{number}"))
            proxy, other = (stack.enter_context(FaultProxy(ground.registry.host)) for _host in range(2))
            known[fault].install(Scene(proxy, other), operation.strike())
            cells.append((operation, proxy, other))
            options = {**operation.options(proxy.host), "insecure": True, "timeout": f"{known[fault].timeout}s"}
            task = {"name": f"{fault}: {name}", f"{COLLECTION}.{operation.module}": options, "ignore_errors": True}
            tasks.append(task)
        results = ansible.tasks(tasks)
        found, bad = [], []
        for (operation, proxy, other), result in zip(cells, results):
            operation.cell.result, operation.cell.failed = result, result.failed
            found.append(f"{result['reason'] if result.failed else 'ok'}, {len(proxy.seen) + len(other.seen)}")
            shown = result.stdout + result.stderr
            if operation.wrong() or "Traceback" in shown or any(token in shown for token in proxy.issued):
                bad.append(f"{result.task}: {operation.wrong()} {result.get('msg')}")
            if any(seen.authorization for seen in other.seen):
                bad.append(f"{result.task}: a credential went to another host")
    assert bad == []
    committed = _committed()
    assert found == [committed[names].rpartition(",")[0] for names in THROUGH_ANSIBLE]


def _guide() -> tuple[str, str, str]:
    before, _begin, rest = GUIDE.read_text(encoding="utf-8").partition(BEGIN)
    committed, end, after = rest.partition(END)
    assert end, f"{GUIDE} has no place for the table"
    return before, committed, after


def _committed() -> dict[tuple[str, str], str]:
    """The cells of the table in the guide."""
    lines = [line.strip() for line in _guide()[1].splitlines() if line.strip().startswith('"')]
    names, *found = csv.reader(lines or ['"Fault"'], skipinitialspace=True)
    return {(row[0], name): cell for row in found for name, cell in zip(names[1:], row[1:])}


def _table(wanted: Any, outcomes: dict[tuple[str, str], Outcome]) -> str:
    names = [kind.name for kind in OPERATIONS]
    lines = [".. csv-table::", "   :header-rows: 1", ""]
    lines.append("   " + ", ".join(f'"{name}"' for name in ["Fault", *names]))
    for row in wanted:
        found = [row.name, *(str(outcomes[row.name, name]) for name in names)]
        lines.append("   " + ", ".join(f'"{each}"' for each in found))
    return "\n".join(lines) + "\n"

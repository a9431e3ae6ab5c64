# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the workloads run on: registries with the data, the tools that are there, the modules."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data import Scale, Seeder
from goals import PING
from measure import FLOOR, Launcher, Peer
from payload import Ansible
from support import servers
from support.servers import RegistryServer

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PULL = "cloudnative.artifacts.oci_artifact_pull"
PUSH = "cloudnative.artifacts.oci_artifact_push"
INFO = "cloudnative.artifacts.oci_artifact_info"
COPY = "cloudnative.artifacts.oci_artifact_copy"


def _load_fetch() -> Any:
    spec = importlib.util.spec_from_file_location("cloudnative_artifacts_fetch", CHECKOUT / "tests/tools/fetch.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def find_tools() -> dict[str, str]:
    """The tools that are there, by name: those of the tests, and the system's. `helm` is the newest Helm."""
    fetch = _load_fetch()
    found = {name: fetch.locate(name) for name in ("registry", "oras", "crane", "skopeo")}
    found["helm3"] = fetch.locate("helm")
    found["helm"] = fetch.locate("helm4") or found["helm3"]
    found.update({name: shutil.which(name) for name in ("bash", "curl", "tar", "sha256sum")})
    return {name: str(path) for name, path in found.items() if path}


@dataclass
class Stage:
    """Everything that a workload needs to be set up."""

    scale: Scale
    data: Path
    scratch: Path
    tools: Mapping[str, str]
    ansible: Ansible
    start: Launcher
    stack: ExitStack
    parent: Stage | None = None
    _registries: dict[str, RegistryServer] = field(default_factory=dict)
    _floor: list[Peer] = field(default_factory=list)

    def with_stack(self, stack: ExitStack) -> Stage:
        """The same stage for one workload, whose own servers end with ``stack``; registries stay."""
        return replace(self, stack=stack, parent=self)

    def registry(self, name: str = "read") -> RegistryServer:
        """A registry of this name; what was pushed to it stays for the next run of the benchmark."""
        if self.parent:
            return self.parent.registry(name)
        if name not in self._registries:
            folder = self.data / name
            folder.mkdir(parents=True, exist_ok=True)
            context = servers.distribution(Path(self.tools["registry"]), folder)
            self._registries[name] = self.stack.enter_context(context)
        return self._registries[name]

    def seeded(self, repository: str, fill: Callable[[Seeder, Path], None]) -> str:
        """The reference of a repository that ``fill`` has filled, in this run or an earlier one."""
        registry, mark = self.registry(), self.data / f"{repository.replace('/', '_')}.done"
        if not mark.exists():
            folder = self.scratch / "seed"
            folder.mkdir(parents=True, exist_ok=True)
            seeder = Seeder(registry.host, repository)
            fill(seeder, folder)
            seeder.close()
            shutil.rmtree(folder)
            mark.touch()
        return f"{registry.host}/{repository}"

    def storage(self, name: str) -> Path:
        """Where a registry keeps what was pushed to it."""
        return self.data / name / "storage"

    def server(self, script: str, *arguments: object) -> str:
        """Start a script that prints where it listens; its host and port."""
        return self.stack.enter_context(_listening([sys.executable, str(HERE / script), *map(str, arguments)]))

    def ping(self) -> Peer:
        """A task that does nothing, as a process on a host."""
        if not self._floor:
            self._floor.append(Peer(PING, self.ansible.ping(), kind=FLOOR))
        return self._floor[0]

    def folder(self, name: str) -> Path:
        """An empty folder for this run."""
        path = self.scratch / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def without(self, *packages: str) -> Path:
        """A folder that hides optional packages of this environment: they cannot be imported out of it."""
        target = self.folder("without")
        for name in packages:
            (target / f"{name}.py").write_text(f'raise ImportError("{name} is left out here")\n')
        return target

    def accelerator(self, package: str) -> str | None:
        """A folder with an optional package, from the package index; None when it cannot be had."""
        target = self.data / package
        if not target.exists():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), package]
            if subprocess.run(command, check=False, capture_output=True).returncode:
                shutil.rmtree(target, ignore_errors=True)
                return None
        return str(target)


@contextmanager
def _listening(command: list[str]) -> Iterator[str]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=servers.end_with_parent
    )
    try:
        assert process.stdout
        match = re.search(r"listening on (\S+)", process.stdout.readline())
        if not match:
            raise RuntimeError(f"{command[1]} did not start")
        yield match[1]
    finally:
        process.terminate()
        process.wait(timeout=10)

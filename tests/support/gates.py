# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates: style, imports, licences, types, Ansible's sanity tests, lint, documentation, Galaxy's importer."""

from __future__ import annotations

import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from kubernetes_core import place_kubernetes_core
from pythons import CORES, Core, Python
from steps import StepFailed, Steps, call
from venvs import child_environment

SUPPORT = Path(__file__).resolve().parent
SHIPPED = ("README.md", "LICENSE", "meta/runtime.yml", "CHANGELOG.md")
SHIPPED += ("roles/helm_release/README.md", "roles/manifests/README.md", "roles/prepare_host/README.md")
SHIPPED += ("roles/reconcile/README.md",)
TYPED = ("action", "doc_fragments", "lookup", "module_utils", "modules", "plugin_utils")
# plugins of Event-Driven Ansible
TYPED_EVENTS = ("event_filter", "event_source")
# the top of the package; what is new there is either for users, and belongs here, or into build_ignore of galaxy.yml
SHIPPED_TOP = frozenset(
    "CHANGELOG.md FILES.json LICENSE MANIFEST.json README.md SECURITY.md bindep.txt requirements.txt"
    " changelogs docs extensions meta playbooks plugins roles".split()
)
# what is for contributors wherever it lies
_DEVELOPMENT = re.compile(
    r"(^|/)(\.[^/]*|__pycache__|tests?|vectors|fragments|conftest\.py|test_[^/]*\.py)(/|$)|^docs/(?!docsite(/|$)|speed\.svg$)"
)
# what pip says while ansible-test fills its environments
_PIP_NOISE = re.compile(
    r"\s*(Collecting|Downloading|Installing|Using cached|Attempting|Found existing|Uninstalling|Successfully|━)"
)

_PIP_VERSION = """
import sys
from types import SimpleNamespace
from ansible_test._internal.python_requirements import get_venv_packages
print(get_venv_packages(SimpleNamespace(version=sys.argv[1]))["pip"])
"""


@dataclass(frozen=True)
class Gates:
    """Runs the gates on one tree, with a home folder of their own."""

    steps: Steps
    bin: Path
    core: Core
    pythons: dict[int, Python]
    tree: Path
    collection: Path
    home: Path
    scratch: Path

    def run(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.steps.check("kubernetes.core", lambda: place_kubernetes_core(self.tree, self.bin / "python"))
        self._style_and_types()
        self._sanity()
        self._linters()
        self._site()
        self._package()

    def _environment(self) -> dict[str, str]:
        # a PATH of our own: ansible-test takes pyenv's launchers for interpreters and stumbles over them
        path = [str(self.bin), str(self._pythons_folder()), "/usr/bin", "/bin"]
        return child_environment(
            HOME=str(self.home),
            PATH=":".join(path),
            LC_ALL="C.UTF-8",
            NO_COLOR="1",
            ANSIBLE_COLLECTIONS_PATH=str(self.tree),
        )

    def _pythons_folder(self) -> Path:
        """Links to the interpreters for ansible-test: the oldest Python of the modules, and those of the cores."""
        folder = self.home / "pythons"
        folder.mkdir(exist_ok=True)
        for minor, python in self.pythons.items():
            link = folder / f"python3.{minor}"
            if not link.exists():
                link.symlink_to(python.path)
        return folder

    def _style_and_types(self) -> None:
        env = self._environment()
        ruff = self.bin / "ruff"
        self.steps.run("ruff check", [ruff, "check", "--no-cache", "."], cwd=self.collection, env=env)
        self.steps.run("ruff format", [ruff, "format", "--no-cache", "--check", "."], cwd=self.collection, env=env)
        # the collection is importable in its tree alone
        contracts = [self.bin / "lint-imports", "pyproject.toml", "--no-cache", "--no-logo"]
        own = {**env, "PYTHONPATH": str(self.tree)}
        self.steps.run("lint-imports", contracts, cwd=self.collection, env=own)
        self.steps.run("reuse lint", [self.bin / "reuse", "lint", "--lines"], cwd=self.collection, env=env)
        # from the root of the tree, where each file has its real package
        mypy = [self.bin / "mypy", "--config-file", self.collection / "pyproject.toml"]
        mypy += ["--cache-dir", self.home / "mypy"]
        mypy += [self.collection.relative_to(self.tree) / "plugins" / room for room in TYPED]
        mypy += [self.collection.relative_to(self.tree) / "extensions/eda/plugins" / room for room in TYPED_EVENTS]
        self.steps.run("mypy --strict", mypy, cwd=self.tree, env=env)

    def _sanity(self) -> None:
        env = self._environment()
        with self.steps.step("ansible-test sanity"):
            self._refuse_an_empty_look()
            self._place_get_pip(env)
            command = [self.bin / "ansible-test", "sanity", "--color", "no"]
            skipped = [word for test in ("shellcheck", "pslint", "import") for word in ("--skip-test", test)]
            call([*command, *skipped], cwd=self.collection, env=env, hide=_PIP_NOISE)
            # an environment for each Python: what imports on the oldest and on the newest does on those between them
            known = [minor for minor in self.pythons if minor <= CORES[self.core.release][1]]
            for minor in sorted({min(known), max(known)}):
                chosen = ["--test", "import", "--python", f"3.{minor}"]
                call([*command, *chosen], cwd=self.collection, env=env, hide=_PIP_NOISE)

    def _refuse_an_empty_look(self) -> None:
        """ansible-test passes when it sees no file; it sees what git lists in the tree."""
        listing = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "plugins"],
            check=True,
            cwd=self.collection,
            capture_output=True,
            text=True,
        ).stdout
        if not any(name.startswith("plugins/modules/") for name in listing.splitlines()):
            raise StepFailed("ansible-test would not see a single module")

    def _place_get_pip(self, env: dict[str, str]) -> None:
        cache = self.home / ".ansible/test/cache"
        cache.mkdir(parents=True, exist_ok=True)
        for minor in self.pythons:
            question = [str(self.bin / "python"), "-c", _PIP_VERSION, f"3.{minor}"]
            version = subprocess.run(question, check=True, capture_output=True, text=True, env=env).stdout.strip()
            target = cache / f"get_pip_{version.replace('.', '_')}.py"
            target.write_text((SUPPORT / "get_pip.py").read_text())

    def _linters(self) -> None:
        env, cwd = self._environment(), self.collection
        ansible_lint = [self.bin / "ansible-lint", "--offline", "--profile", "production"]
        self.steps.run("ansible-lint", ansible_lint, cwd=cwd, env=env)
        docs = ["lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "--validate-collection-refs=all", "."]
        self.steps.run("antsibull-docs", [self.bin / "antsibull-docs", *docs], cwd=cwd, env=env)
        self.steps.run("antsibull-changelog", [self.bin / "antsibull-changelog", "lint"], cwd=cwd, env=env)
        self.steps.run("changelog", [self.bin / "python", SUPPORT / "changelog.py"], cwd=cwd, env=env)

    def _site(self) -> None:
        """The documentation site: built without a warning, no dead link, found and read in a browser."""
        site = self.scratch / "site"
        env = {**self._environment(), "SITE": str(site)}
        self.steps.run("documentation site", ["bash", "docs/build.sh", site], cwd=self.collection, env=env)
        with self.steps.step("documentation site in a browser"):
            # where there is no browser, its tests say so: as skips, or as failures in CI
            fetch = [str(self.bin / "python"), "tests/tools/fetch.py", "chromium"]
            subprocess.run(fetch, check=False, cwd=self.collection, env=env)
            pytest = [self.bin / "python", "-m", "pytest", "-p", "no:cacheprovider", "--quiet", "tests/site"]
            call(pytest, cwd=self.collection, env=env)

    def _package(self) -> None:
        env = self._environment()
        dist, installed = self.scratch / "dist", self.scratch / "installed"
        galaxy = [self.bin / "ansible-galaxy", "collection"]
        with self.steps.step("build"):
            call([*galaxy, "build", "--force", "--output-path", dist], cwd=self.collection, env=env)
            _check_contents(_only_tarball(dist))
        with self.steps.step("galaxy-importer"):
            importer = self.scratch / "importer"
            importer.mkdir(exist_ok=True)
            config = {"GALAXY_IMPORTER_CONFIG": str(SUPPORT / "galaxy-importer.cfg")}
            command = [self.bin / "python", "-m", "galaxy_importer.main", _only_tarball(dist)]
            call(command, cwd=importer, env={**env, **config})
        with self.steps.step("install and run the quick start"):
            # no other collection is there, and Galaxy is out of reach: nothing listens on port 9
            env |= {"ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:9"}
            install = [*galaxy, "install", "--force", "-p", installed]
            call([*install, _only_tarball(dist)], cwd=self.scratch, env=env)
            play = [self.bin / "ansible-playbook", "cloudnative.artifacts.quickstart"]
            call(play, cwd=self.scratch, env=env)


def _only_tarball(dist: Path) -> Path:
    found = sorted(dist.glob("*.tar.gz"))
    if len(found) != 1:
        raise StepFailed(f"{dist} holds {len(found)} tarballs")
    return found[0]


def _check_contents(tarball: Path) -> None:
    """Raise StepFailed unless the tarball holds what users need, and no tests, caches or files for contributors."""
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    lacking = [name for name in SHIPPED if name not in names]
    extra = [name for name in names if name.split("/")[0] not in SHIPPED_TOP or _DEVELOPMENT.search(name)]
    if lacking or extra:
        more = f" and {len(extra) - 10} more" if len(extra) > 10 else ""
        raise StepFailed(f"the tarball lacks {lacking}, and should not hold {extra[:10]}{more}")
    print(f"{tarball.name}: {len(names)} files")

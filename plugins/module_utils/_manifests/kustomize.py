# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds directories with a ``kustomization.yaml`` by the program kustomize, or by the one in kubectl.

The files of an artifact are hostile: the program gets a directory of its own with nothing but them, and no remote
resources, plugins or files outside of it (its own ``LoadRestrictionsRootOnly`` is kustomize's default).
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from .._errors import ManifestsInvalid, MissingDependency
from .._helm.values import read_values
from .objects import KUSTOMIZATIONS, ManifestObject, parse_documents

# Seconds that a build may take, and bytes that it may print.
TIMEOUT = 120.0
MAX_OUTPUT = 64 << 20
MAX_WORDS = 2000

# Fields of a kustomization that name files, directories or URLs.
_FILES = ("resources", "bases", "components", "crds", "configurations", "transformers", "generators", "validators")
_FORBIDDEN = ("helmCharts", "helmChartInflationGenerator")
_REMOTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://|[^/]+@[^/]+:|git::|(www\.)?(github|gitlab|bitbucket)\.[a-z]+[/:]")


def kustomize_build(
    files: Mapping[str, bytes], path: str, options: Mapping[str, Any], what: str
) -> list[ManifestObject]:
    """Return the objects that kustomize makes of a directory of an artifact.

    :param files: all files of the artifact: a kustomization may use what lies beside its directory.
    :raises ManifestsInvalid: when kustomize refuses it, or a kustomization names something outside of the artifact.
    :raises MissingDependency: when there is neither kustomize nor kubectl.
    """
    program = _program(str(options.get("kustomize") or ""))
    for name in files:
        if posixpath.basename(name) in KUSTOMIZATIONS:
            _check(files[name], f"{name} of {what}")
    with tempfile.TemporaryDirectory(prefix="oci-manifests-") as folder:
        root = os.path.join(folder, "artifact")
        _write(files, root)
        directory = os.path.normpath(os.path.join(root, path.lstrip("/") or "."))
        output = _run([*program, directory], folder, what)
    return parse_documents(output, f"what kustomize made of {what}")


def _program(given: str) -> list[str]:
    """Return the command that builds a directory.

    :raises MissingDependency: when the program is not there.
    """
    for name in [given] if given else ["kustomize", "kubectl"]:
        found = shutil.which(name)
        if found is not None:
            verb = "kustomize" if os.path.basename(found).startswith("kubectl") else "build"
            return [found, verb]
    raise MissingDependency(
        f"The manifests have a kustomization.yaml, and the program {given or 'kustomize'} is not on this host.",
        "Install kustomize or kubectl there, or name it in 'kustomize'. Plain YAML needs none.",
    )


def _check(data: bytes, what: str) -> None:
    """Check that a kustomization names nothing outside of the artifact.

    :raises ManifestsInvalid: when it does, or is not YAML.
    """
    try:
        document = read_values(data, what)
    except Exception as exc:  # of the YAML reader; the message does not repeat the file
        raise ManifestsInvalid(f"{what} cannot be read: {exc}") from None
    for name in _FORBIDDEN:
        if document.get(name):
            raise ManifestsInvalid(f"{what} uses {name}, which fetches charts.", "Deploy charts with helm_releases.")
    for entry in _entries(document):
        if _REMOTE.match(entry):
            raise ManifestsInvalid(
                f"{what} names {entry[:200]!r}, which is not in the artifact.",
                "Put it into the artifact, so that what is verified is what is applied.",
            )


def _entries(document: Mapping[str, Any]) -> Iterator[str]:
    for name in _FILES:
        found = document.get(name)
        yield from (each for each in found or () if isinstance(each, str)) if isinstance(found, list) else ()
    openapi = document.get("openapi")
    if isinstance(openapi, Mapping) and isinstance(openapi.get("path"), str):
        yield openapi["path"]


def _write(files: Mapping[str, bytes], root: str) -> None:
    os.mkdir(root, 0o700)
    for name, data in files.items():
        target = os.path.join(root, name)
        try:
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            with open(target, "xb") as stream:
                stream.write(data)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise ManifestsInvalid(f"The artifact has both a file and a directory named {name[:200]!r}.") from None


def _run(command: list[str], folder: str, what: str) -> bytes:
    # no credentials and no configuration of the user reach what is built
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "TMPDIR": folder}
    with tempfile.TemporaryFile(dir=folder) as out, tempfile.TemporaryFile(dir=folder) as err:
        try:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=environment,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise ManifestsInvalid(f"kustomize has not built {what} after {TIMEOUT:g} s.") from None
        except OSError as exc:
            raise MissingDependency(f"{command[0]} cannot be run: {exc.strerror or exc}.") from None
        out.seek(0)
        err.seek(0)
        output, words = out.read(MAX_OUTPUT + 1), err.read(MAX_WORDS * 4).decode("utf-8", "replace")
    if done.returncode:
        shown = " ".join(words.replace(f"{folder}/artifact", "").split())[:MAX_WORDS]
        raise ManifestsInvalid(f"kustomize cannot build {what}: {shown or f'exit code {done.returncode}'}")
    if len(output) > MAX_OUTPUT:
        raise ManifestsInvalid(f"kustomize makes more than {MAX_OUTPUT} bytes of {what}.")
    return output

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

from .._errors import BuildTimedOut, ManifestsInvalid, MissingDependency, OciError
from .._files.parent_death import die_with_parent
from .._files.run_program import OutputTooLong, run_program
from .._helm.manifest_text import documents
from .._helm.values import read_values
from .objects import KUSTOMIZATIONS, SUFFIXES, ManifestObject, parse_documents

# Seconds that a build may take, and bytes that it may print.
TIMEOUT = 120.0
MAX_OUTPUT = 64 << 20
MAX_WORDS = 2000

# Fields of a kustomization and of its plugins, in lower case: those that name files, directories or URLs.
_PLUGINS = ("transformers", "generators", "validators")
_FILES = (
    *_PLUGINS, "resources", "bases", "components", "crds", "configurations", "patchesstrategicmerge", "path", "paths",
    "files", "env", "envs",
)  # fmt: skip
_FORBIDDEN = ("helmcharts", "helmchartinflationgenerator")
# If a name of something remote is found nowhere, it is still not fetched: there is no such proxy.
_NO_NETWORK = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:1"),
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_CONFIG_NOSYSTEM": "1",
}
_REMOTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://|[^/]+@[^/]+:|git::|(www\.)?(github|gitlab|bitbucket)\.[a-z]+[/:]")


def kustomize_build(
    files: Mapping[str, bytes], path: str, options: Mapping[str, Any], what: str, *, is_quiet: bool = False
) -> list[ManifestObject]:
    """Return the objects that kustomize makes of a directory of an artifact.

    :param files: all files of the artifact: a kustomization may use what lies beside its directory.
    :param is_quiet: what kustomize says is not repeated, since it quotes files and these were encrypted.
    :raises ManifestsInvalid: when kustomize refuses it, or a kustomization names something outside of the artifact.
    :raises BuildTimedOut: when it is not built after ``TIMEOUT`` seconds.
    :raises MissingDependency: when there is neither kustomize nor kubectl.
    """
    program = _program(str(options.get("kustomize") or ""))
    _check(files, what)
    with tempfile.TemporaryDirectory(prefix="oci-manifests-") as folder:
        root = os.path.join(folder, "artifact")
        _write(files, root)
        directory = os.path.normpath(os.path.join(root, path.lstrip("/") or "."))
        output = _run([*program, directory], folder, what, is_quiet=is_quiet)
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


def _check(files: Mapping[str, bytes], what: str) -> None:
    """Check that nothing in an artifact makes kustomize read what lies outside of it.

    :raises ManifestsInvalid: when a kustomization does, or is not YAML.
    """
    has_plugins = False
    for name, data in files.items():
        if posixpath.basename(name) in KUSTOMIZATIONS:
            has_plugins = _check_kustomization(data, f"{name} of {what}") or has_plugins
    for name, data in files.items() if has_plugins else ():
        _check_plugins(data, f"{name} of {what}", is_yaml=name.endswith(SUFFIXES))


def _check_kustomization(data: bytes, what: str) -> bool:
    """Check a kustomization; return True when it has the built-in plugins of kustomize configured by files."""
    try:
        document = read_values(data, what)
    except Exception as exc:  # of the YAML reader; the message does not repeat the file
        raise ManifestsInvalid(f"{what} cannot be read: {exc}") from None
    has_plugins = False
    for key, value in document.items():
        name = str(key).lower()
        if name in _FORBIDDEN and value:
            raise ManifestsInvalid(f"{what} uses {key}, which fetches charts.", "Deploy charts with helm_releases.")
        for entry in value if name in _PLUGINS and isinstance(value, list) else ():
            has_plugins = True
            # the configuration itself, in place of the name of a file
            if isinstance(entry, str) and "\n" in entry:
                _check_plugins(entry.encode("utf-8", "surrogateescape"), what, is_yaml=True)
    _check_names(document, what)
    return has_plugins


def _check_plugins(data: bytes, what: str, *, is_yaml: bool) -> None:
    """Check a file that may configure plugins; what is not YAML does not, unless it should be YAML."""
    try:
        found = documents(data.decode("utf-8"), what)
    except (OciError, UnicodeDecodeError) as exc:
        if is_yaml:
            raise ManifestsInvalid(f"{what} cannot be read: {exc}") from None
        return
    for document in found:
        if document.get("apiVersion") == "builtin":
            _check_names(document, what)


def _check_names(document: Mapping[str, Any], what: str) -> None:
    for entry in _names(document):
        if "://" in entry or _REMOTE.match(entry):
            raise ManifestsInvalid(
                f"{what} names {entry[:200]!r}, which is not in the artifact.",
                "Put it into the artifact, so that what is verified is what is applied.",
            )


def _names(node: Any, is_file: bool = False) -> Iterator[str]:
    """Yield the names of files and directories in a kustomization, at any depth; kustomize takes URLs for each."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            # kustomize does not mind the case of keys
            yield from _names(value, str(key).lower() in _FILES)
    elif isinstance(node, list):
        for each in node:
            yield from _names(each, is_file)
    elif is_file and isinstance(node, str) and "\n" not in node:
        yield node


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


def _run(command: list[str], folder: str, what: str, *, is_quiet: bool) -> bytes:
    # no credentials and no configuration of the user reach what is built
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "TMPDIR": folder, **_NO_NETWORK}
    try:
        status, output, errors = run_program(
            command,
            timeout=TIMEOUT,
            most=MAX_OUTPUT,
            cut_errors=True,
            cwd=folder,
            env=environment,
            prepare=die_with_parent,
        )
    except subprocess.TimeoutExpired:
        raise BuildTimedOut(
            f"{command[0]} has not built {what} after {TIMEOUT:g} s, and was ended.", "Build it by hand to see why."
        ) from None
    except OutputTooLong:
        raise ManifestsInvalid(f"kustomize makes more than {MAX_OUTPUT} bytes of {what}.") from None
    except OSError as exc:
        raise MissingDependency(f"{command[0]} cannot be run: {exc.strerror or exc}.") from None
    if status and is_quiet:
        raise ManifestsInvalid(
            f"kustomize cannot build {what}: exit code {status}. What it said may quote decrypted files.",
            "Decrypt them and build by hand to see it.",
        )
    if status:
        words = errors[: MAX_WORDS * 4].decode("utf-8", "replace")
        shown = " ".join(words.replace(f"{folder}/artifact", "").split())[:MAX_WORDS]
        raise ManifestsInvalid(f"kustomize cannot build {what}: {shown or f'exit code {status}'}")
    return output

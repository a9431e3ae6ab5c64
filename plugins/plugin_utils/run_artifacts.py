# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifacts that one run of ansible-playbook uses on the controller: each is resolved, verified and unpacked once.

What is known of an artifact, and its content, is kept in the run's temporary directory, which only this user can read,
all forks share, and Ansible removes in the end. The first process that asks for an artifact does the work while the
others wait. Failures are not kept: a registry may be back for the next one that asks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.names import CONTROL_NAME
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.shared_file import locked_file
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.agreement import pinned
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain

# Seconds that a process waits for another one that works on the same artifact.
PATIENCE = 3600.0
FILE_NAME = "cloudnative.artifacts.on_controller"

# Degrees of what is known of an artifact; each has all that the ones before it have.
IDENTITY, CHECKED, CONTENT = 1, 2, 3
# Credentials and the way to the registry do not tell two artifacts apart.
WAY = frozenset(
    "username password auth_file auth_config provider provider_registry insecure validate_certs ca_cert client_cert "
    "client_key client_key_password proxy no_proxy mirrors timeout retries cache_dir parallel resolve_once".split()
)
# options that say nothing about which artifact it is
_OF_CONTENT = ("layer_selector", "layers", "platform", "ignore", "max_size", "max_files")
# options that a digest takes the place of
_SELECTION = ("tag", "semver", "semver_filter", "filter_tags", "tag_moved")


def key_of(options: Mapping[str, Any]) -> str:
    """A key for an artifact and what is made of it: the same for all tasks, lookups and hosts that want the same."""
    wanted = {name: plain(value) for name, value in options.items() if name not in WAY and value is not None}
    text = json.dumps(wanted, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def run_artifact(options: Mapping[str, Any], degree: int, folder: str, directory: str) -> dict[str, Any]:
    """The result of the module that found an artifact out; with ``failed`` where it could not.

    :param options: those of one artifact of oci_artifact_pull, without ``dest``.
    :param degree: what has to be known. IDENTITY is the tag and digest, CHECKED also the manifest, with signatures and
        policy satisfied. With CONTENT it is unpacked, and ``artifact.path`` is where.
    :param folder: the run's temporary directory.
    :param directory: what relative paths in options start from.
    :raises OciError: when another process does not end, or the module ends without a result.
    """
    key = key_of(options)
    with locked_file(os.path.join(folder, f"{FILE_NAME}.{key}"), PATIENCE) as record:
        known: dict[str, Any] = json.loads(record.read() or b"{}")
        if known and known["degree"] >= degree:
            found: dict[str, Any] = known["result"]
            return found
        seen: list[dict[str, Any]] = []

        def ask(asked: Mapping[str, Any]) -> Mapping[str, Any]:
            seen.append(_ask(asked, degree, os.path.join(folder, f"{FILE_NAME}.content", key), directory))
            return seen[-1]

        # what other tasks of the run agreed upon
        agreed, _failure = pinned(options, folder, ask)
        result = seen[-1] if seen else dict(ask(agreed))
        if not result.get("failed"):
            if agreed.get("pin") and result["artifact"]["revision"] != agreed["pin"]:
                # another process was faster, and has found a tag that moved meanwhile
                result = dict(ask(agreed))
            record.seek(0)
            record.truncate(0)
            record.write(json.dumps({"degree": degree, "result": result}).encode("utf-8"))
        return result


def _ask(options: Mapping[str, Any], degree: int, dest: str, directory: str) -> dict[str, Any]:
    pin, is_free = options.get("pin"), options.get("verify") is None and options.get("policy") is None
    if pin and degree == IDENTITY and is_free:
        return {"artifact": _identity(pin)}
    from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_environment import carried_options
    from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_module import run_on_controller

    options = {**options, **carried_options(options, os.environ, {})}
    if degree < CONTENT and is_free:
        from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_info

        asked = {name: value for name, value in options.items() if name not in (*_OF_CONTENT, "pin")}
        if pin:
            asked = {name: value for name, value in asked.items() if name not in _SELECTION}
            asked["digest"] = _identity(pin)["digest"]
        gather = [] if degree == IDENTITY else ["manifest"]
        result = run_on_controller(oci_artifact_info, {**asked, "gather": gather}, directory)
        if pin and not result.get("failed"):
            result["artifact"].update(_identity(pin))
        return result
    from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_pull

    os.makedirs(os.path.dirname(dest), mode=0o700, exist_ok=True)
    _remove(dest)  # of a process that was killed
    # a copy goes into it, under the name that the layer has
    options = {**options, "dest": f"{dest}/"}
    result = run_on_controller(oci_artifact_pull, options, directory, check_mode=degree < CONTENT)
    if degree == CONTENT and not result.get("failed"):
        # nothing updates this directory, and who copies it wants the content alone
        for name in os.listdir(dest):
            if name.startswith(CONTROL_NAME):
                _remove(os.path.join(dest, name))
    return result


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def _identity(revision: str) -> dict[str, str]:
    tag, _at, digest = revision.rpartition("@")
    return {"revision": revision, "tag": tag, "digest": digest}

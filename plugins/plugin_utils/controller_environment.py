# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that the environment of the Ansible controller adds to a task, on whatever host its module runs.

A module sees the environment of its own host only. Where credentials are injected into the controller, as AWX does,
they have to travel with the task: as options, which Ansible keeps off command lines and this collection off results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.common.validation import check_type_dict

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    InvalidOption,
    InvalidReference,
    TlsFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.bounded import (
    MAX_CERTIFICATES,
    FileRefused,
    expanded,
    is_pem,
    read_file,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.config_part import part_for
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.find import read_config_file
from ansible_collections.cloudnative.artifacts.plugins.module_utils._mirrors.rules import parse_mirrors
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import (
    parse_reference,
    parse_registry,
    parse_url,
)
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain

USERNAME, PASSWORD = "OCI_ARTIFACT_USERNAME", "OCI_ARTIFACT_PASSWORD"
AUTH_FILE, CA_CERT = "OCI_ARTIFACT_AUTH_FILE", "OCI_ARTIFACT_CA_CERT"

_AUTH_OPTIONS = ("username", "password", "auth_file", "auth_config")
_REFERENCES = {"ref": parse_reference, "url": parse_url, "registry": parse_registry}


def carried_options(
    options: Mapping[str, Any], environ: Mapping[str, str], task_environment: Mapping[str, Any]
) -> dict[str, Any]:
    """The options that ``environ``, the controller's, adds to those of the task.

    Credentials of the task win over the environment as a whole. So do those variables that the playbook sets for the
    task (``task_environment``): they are closer to it. Of the file of credentials only what concerns the registries of
    the task is taken. Where it does not know them, nothing is: the environment and the files of the target are asked.

    :raises OciError: when a file that the environment names cannot be used.
    """
    return {
        **_credentials(options, environ, task_environment),
        **_authorities(options, environ, task_environment),
    }


def _credentials(
    options: Mapping[str, Any], environ: Mapping[str, str], task_environment: Mapping[str, Any]
) -> dict[str, Any]:
    given = any(options.get(name) for name in _AUTH_OPTIONS) or options.get("auth_config") is not None
    if given or any(name in task_environment for name in (USERNAME, PASSWORD, AUTH_FILE)):
        return {}
    login = {"username": environ.get(USERNAME, ""), "password": environ.get(PASSWORD, "")}
    if any(login.values()):
        return {name: value for name, value in login.items() if value}
    if not environ.get(AUTH_FILE):
        return {}
    path = expanded(environ[AUTH_FILE])
    origin = f"{path} ({AUTH_FILE} of the controller)"
    try:
        part = part_for(read_config_file(path), origin, dict.fromkeys(_registries(options)))
    except AuthenticationFailed as exc:
        where = "" if origin in exc.message else f"It is {AUTH_FILE} of the Ansible controller."
        raise AuthenticationFailed(exc.message, f"{where} {exc.hint}".strip()) from None
    return {"auth_config": part} if part else {}


def _authorities(
    options: Mapping[str, Any], environ: Mapping[str, str], task_environment: Mapping[str, Any]
) -> dict[str, Any]:
    if options.get("ca_cert") or not environ.get(CA_CERT) or CA_CERT in task_environment:
        return {}
    path = expanded(environ[CA_CERT])
    try:
        text = read_file(path, MAX_CERTIFICATES).decode("utf-8")
    except FileRefused as exc:
        raise TlsFailed(f"{path} ({CA_CERT} of the controller) {exc}.") from None
    except UnicodeDecodeError:
        text = ""
    if not is_pem(text):
        raise TlsFailed(f"{path} ({CA_CERT} of the controller) holds no PEM text.")
    return {"ca_cert": text}


def _registries(options: Mapping[str, Any]) -> Iterator[str]:
    """The registries that the task may talk to; what is invalid is left to the module to report."""
    sources, artifacts = _mapping(options.get("sources")), options.get("artifacts")
    for entry in [*sources.values(), *(artifacts if isinstance(artifacts, (list, tuple)) else ())]:
        yield from _registries(_mapping(entry))
    for side in (options[name] for name in ("from", "to") if options.get(name)):
        # the short form is a reference, or the path of a directory, which is no registry
        is_mapping = not isinstance(side, str) or "=" in side or side.lstrip().startswith("{")
        yield from _registries(_mapping(side) if is_mapping else {"ref": side})
    for name, parse in _REFERENCES.items():
        value = options.get(name)
        if not isinstance(value, str) or not value:
            continue
        try:
            registry = parse(value).registry
        except InvalidReference:
            continue
        if registry:
            yield registry
    try:
        rules = parse_mirrors(_mapping(options.get("mirrors")))
    except InvalidOption:
        return
    for rule in rules:
        for mirror in rule.mirrors:
            yield mirror.host


def _mapping(value: Any) -> Mapping[str, Any]:
    """An option that is a mapping, in each form in which Ansible takes one: also as JSON, or as ``key=value``."""
    if isinstance(value, str) and value:
        try:
            value = check_type_dict(value)
        except (TypeError, ValueError):
            return {}
    return plain(value) if isinstance(value, Mapping) else {}

# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Add or remove a login in a docker ``config.json``, or in the credential helper that it names.

The place is chosen as by ``docker login`` and ``docker logout`` (docker/cli, cli/config/credentials).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import AuthenticationFailed, InvalidOption, InvalidReference
from .._login.config_file import ConfigFile, default_path
from .._login.credential import Credential
from .._login.docker_config import decode_entry, encode_entry, helper_keys, named_helper, server_address, split_key
from .._login.find import check_login
from .._login.helper import CredentialHelper
from .._oci.options import ConnectionOptions
from .._oci.reference import parse_place

STORED, UP_TO_DATE, REMOVED = "LoginStored", "LoginUpToDate", "LoginRemoved"
FILE = "file"

_NOTHING = Credential()
_HIDDEN, _HIDDEN_AND_NEW = "(hidden)", "(hidden, another)"


@dataclass(frozen=True)
class LoginOptions:
    """The options of the module; an empty ``config_file`` means docker's own."""

    registry: str
    present: bool = True
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    credential_helper: str = ""
    config_file: str = ""
    validate: bool = True
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)


@dataclass(frozen=True)
class _Login:
    """The scope of a login: a host, or a path in it, and docker's key for it."""

    registry: str
    path: str

    @property
    def key(self) -> str:
        return f"{self.registry}/{self.path}" if self.path else server_address(self.registry)

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}" if self.path else self.registry


@dataclass
class _Plan:
    """The wanted document, and the current and wanted content of the helper."""

    document: dict[str, Any]
    helper: CredentialHelper | None = None
    held: Credential | None = None
    wanted: Credential | None = None

    def changes_helper(self) -> bool:
        return self.helper is not None and not _is_same(self.held, self.wanted)

    @property
    def store(self) -> str:
        return self.helper.program if self.helper else FILE


def login(options: LoginOptions, *, check_mode: bool = False, want_diff: bool = False) -> dict[str, Any]:
    """Bring the login to the wanted state; with ``check_mode`` only report the changes.

    :raises InvalidReference: when ``registry`` is outside the grammar.
    :raises InvalidOption: when options contradict each other, or the file.
    :raises AuthenticationFailed: when the registry refuses the credentials, the file is not a docker
        ``config.json``, or a helper program fails.
    :raises ConnectionFailed: when the registry cannot be reached to check the credentials.
    :raises StorageError: when the file cannot be read, locked or written.
    """
    target = _parse_registry(options.registry)
    credential = _given(options, target)
    file = ConfigFile(options.config_file or default_path())
    warnings: list[str] = []
    before = file.read()
    plan = _plan(options, target, credential, before, file.path)
    validated = options.present and options.validate and _validate(options, target, credential, plan, warnings)
    changed = plan.document != before or plan.changes_helper()
    if changed and not check_mode:
        with file.locked():
            before = file.read()
            plan = _plan(options, target, credential, before, file.path)
            changed = plan.document != before or plan.changes_helper()
            _apply(plan, target, file, before)
    mode = file.mode()
    holds_secrets = any((before.get("auths") or {}).values())
    if plan.document == before and holds_secrets and mode is not None and mode & 0o077:
        warnings.append(f"{file.path} holds logins, and is open to other users (mode {mode:04o}).")
    result = {
        "changed": changed,
        "registry": str(target),
        "key": target.key,
        "config_file": file.path,
        "store": plan.store,
        "validated": validated,
        "reason": (STORED if options.present else REMOVED) if changed else UP_TO_DATE,
        "warnings": warnings,
    }
    if want_diff and changed:
        result["diff"] = [_diff(target, before, plan, file.path)]
    return result


def _parse_registry(text: str) -> _Login:
    if "@" in text:
        # the text is not repeated: what stands before the host is a user name and often a password
        raise InvalidReference(
            "The 'registry' carries something before its host, as in user@host.", "Give 'username' and 'password'."
        )
    return _Login(*parse_place(*split_key(text.strip())))


def _given(options: LoginOptions, target: _Login) -> Credential | None:
    """The credential in the options, None when only a helper is named.

    :raises InvalidOption: when options contradict each other.
    """
    if options.credential_helper and target.path:
        raise InvalidOption(
            f"A credential helper is for a whole host, and {target} is a part of one.", f"Give {target.registry}."
        )
    if not options.present:
        return None
    if options.identity_token and options.password:
        raise InvalidOption("Both 'password' and 'identity_token' are given.", "Give one of them.")
    if options.identity_token:
        # beside a token the user name is for show, but it is kept in the same place
        username = check_login(options.username or "-", options.identity_token, str(target)).username
        return Credential(username if options.username else "", identity_token=options.identity_token)
    if options.username or options.password:
        return check_login(options.username, options.password, str(target))
    if not options.credential_helper:
        raise InvalidOption(
            f"Nothing is given to log in to {target} with.",
            "Give 'username' and 'password', 'identity_token', or 'credential_helper'.",
        )
    return None


def _validate(
    options: LoginOptions, target: _Login, credential: Credential | None, plan: _Plan, warnings: list[str]
) -> bool:
    """Check the credentials; return True when the registry required and accepted them."""
    from .._registry.client import RegistryClient

    if credential is None:
        credential = plan.held
    if credential is None:
        raise AuthenticationFailed(
            f"The credential helper {plan.store} has no credentials for {target.registry}.",
            "Log in with it, or set validate: false to enter it all the same.",
        )
    client = RegistryClient(target.registry, options.connection, credential)
    try:
        is_asked = client.check_login()
    finally:
        client.session.close()
    if not is_asked:
        warnings.append(f"The registry {target.registry} asks for no credentials, so they could not be checked.")
    return is_asked


def _plan(
    options: LoginOptions, target: _Login, credential: Credential | None, before: Mapping[str, Any], path: str
) -> _Plan:
    document = copy.deepcopy(dict(before))
    if options.present:
        return _plan_present(options, target, credential, document, path)
    return _plan_absent(options, target, document, path)


def _plan_present(
    options: LoginOptions, target: _Login, credential: Credential | None, document: dict[str, Any], path: str
) -> _Plan:
    if options.credential_helper:
        _member(document, "credHelpers")[target.key] = options.credential_helper
    helper = _helper(document, target, path)
    if helper and target.path:
        raise InvalidOption(
            f"{path} names {helper.program} for {target.registry}, which is asked for every repository of it: an entry "
            f"for {target} would never be used.",
            f"Remove the helper (state: absent with 'credential_helper'), or log in to {target.registry}.",
        )
    plan = _Plan(document, helper)
    if helper and (credential or options.validate):
        plan.held = helper.get(target.key)
        plan.wanted = credential or plan.held
    if credential:
        auths = _member(document, "auths")
        # docker, too, writes an empty entry for a login in a helper
        wanted = _NOTHING if helper else credential
        if not _is_same(_decoded(auths, target.key), wanted):
            auths[target.key] = encode_entry(auths.get(target.key), wanted)
    return plan


def _plan_absent(options: LoginOptions, target: _Login, document: dict[str, Any], path: str) -> _Plan:
    if options.credential_helper:
        helpers = document.get("credHelpers") or {}
        for name in helper_keys(target.registry):
            if helpers.get(name) == options.credential_helper:
                del helpers[name]
        return _Plan(document)
    plan = _Plan(document, _helper(document, target, path) if not target.path else None)
    if plan.helper:
        plan.held = plan.helper.get(target.key)
    auths = document.get("auths") or {}
    for key in [key for key in auths if split_key(key) == (target.registry, target.path)]:
        del auths[key]
    return plan


def _helper(document: Mapping[str, Any], target: _Login, path: str) -> CredentialHelper | None:
    """The helper that docker would use for the host. ``credsStore`` has logins of hosts, not of paths in them."""
    name = named_helper(document, target.registry)
    if name is None and not target.path:
        name = str(document.get("credsStore") or "")
    return CredentialHelper(name, path) if name else None


def _member(document: dict[str, Any], name: str) -> dict[str, Any]:
    if document.get(name) is None:
        document[name] = {}
    member: dict[str, Any] = document[name]
    return member


def _decoded(auths: Mapping[str, Any], key: str) -> Credential | None:
    """The credential of an entry: an empty one when the entry is empty, None without a usable entry."""
    if key not in auths:
        return None
    try:
        return decode_entry(auths[key], "", key) or _NOTHING
    except AuthenticationFailed:
        return None


def _is_same(held: Credential | None, wanted: Credential | None) -> bool:
    if held is None or wanted is None or not (held.identity_token and wanted.identity_token):
        return held == wanted
    # helpers know no user name beside a token, and docker needs none
    is_same_user = not (held.username and wanted.username) or held.username == wanted.username
    return is_same_user and held.identity_token == wanted.identity_token and not held.registry_token


def _apply(plan: _Plan, target: _Login, file: ConfigFile, before: Mapping[str, Any]) -> None:
    if plan.helper and plan.changes_helper():
        if plan.wanted:
            plan.helper.store(target.key, plan.wanted)
        else:
            plan.helper.erase(target.key)
    if plan.document != before:
        file.replace(plan.document)


def _diff(target: _Login, before: Mapping[str, Any], plan: _Plan, path: str) -> dict[str, str]:
    """The diff of this login alone, without secrets."""
    shown_before, shown_after = _shown(target, before, None), _shown(target, plan.document, before)
    if plan.helper and plan.changes_helper():
        program = plan.helper.program
        shown_before[program] = {target.key: _without_secret(plan.held, None)} if plan.held else {}
        shown_after[program] = {target.key: _without_secret(plan.wanted, plan.held)} if plan.wanted else {}
    return {
        "before_header": path,
        "after_header": path,
        "before": json.dumps(shown_before, indent=2, sort_keys=True) + "\n",
        "after": json.dumps(shown_after, indent=2, sort_keys=True) + "\n",
    }


def _shown(target: _Login, document: Mapping[str, Any], other: Mapping[str, Any] | None) -> dict[str, Any]:
    auths, helpers = document.get("auths") or {}, document.get("credHelpers") or {}
    others = ((other or {}).get("auths") or {}) if other is not None else auths
    shown: dict[str, Any] = {
        "auths": {
            key: _without_secret(_decoded(auths, key), _decoded(others, key))
            for key in auths
            if split_key(key) == (target.registry, target.path)
        }
    }
    named = {name: helpers[name] for name in helper_keys(target.registry) if name in helpers}
    return {**shown, "credHelpers": named} if named else shown


def _without_secret(credential: Credential | None, other: Credential | None) -> dict[str, str]:
    """The fields of a credential; of a secret, only that it differs from the other one."""
    if credential is None:
        return {"auth": _HIDDEN}
    shown = {"username": credential.username} if credential.username else {}
    for name in ("password", "identity_token", "registry_token"):
        secret = getattr(credential, name)
        if secret:
            is_new = other is not None and secret != getattr(other, name)
            shown[name] = _HIDDEN_AND_NEW if is_new else _HIDDEN
    return shown

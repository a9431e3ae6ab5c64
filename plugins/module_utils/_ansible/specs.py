# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs, and the conversion of options to dataclasses. Only this package uses AnsibleModule."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .._errors import AuthenticationFailed, InvalidOption
from .._oci.options import GENERIC, PROVIDERS, AuthOptions, CacheOptions, ConnectionOptions, parse_duration
from .._ops.resolve import IGNORE, ReferenceOptions
from .run import run_module

if TYPE_CHECKING:
    from .._oci.options import MirrorRule
    from .._policy.rules import Policy
    from .._trust.policy import VerifyPolicy

_ORDER_SPEC = {
    "type": "dict",
    "options": {"order": {"type": "str", "choices": ["asc", "desc"], "default": "asc"}},
}

_POLICY_SPEC = {
    "type": "dict",
    "options": {
        "semver": {"type": "dict", "options": {"range": {"type": "str", "required": True}}},
        "numerical": _ORDER_SPEC,
        "alphabetical": _ORDER_SPEC,
    },
}

SELECTION_SPEC: dict[str, Any] = {
    "digest": {"type": "str"},
    "semver": {"type": "str"},
    "semver_filter": {"type": "str"},
    "filter_tags": {
        "type": "dict",
        "options": {"pattern": {"type": "str"}, "extract": {"type": "str"}, "policy": _POLICY_SPEC},
    },
}

# Apart from the selection, which names an artifact and cannot stand beside a list of them.
TAG_MOVED_SPEC: dict[str, Any] = {
    "tag_moved": {"type": "str", "choices": ["ignore", "warn", "fail"], "default": "ignore"}
}

REFERENCE_SPEC: dict[str, Any] = {
    "ref": {"type": "str"},
    "url": {"type": "str"},
    "tag": {"type": "str"},
}

AUTH_SPEC: dict[str, Any] = {
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "auth_file": {"type": "path"},
    "auth_config": {"type": "raw", "no_log": True},
    "provider": {"type": "str", "choices": list(PROVIDERS), "default": GENERIC},
    "provider_registry": {"type": "str"},
}

CONNECTION_SPEC: dict[str, Any] = {
    "insecure": {"type": "bool", "default": False},
    "validate_certs": {"type": "bool", "default": True},
    "ca_cert": {"type": "str"},
    "client_cert": {"type": "str"},
    "client_key": {"type": "str", "no_log": True},
    "client_key_password": {"type": "str", "no_log": True},
    "proxy": {"type": "str", "no_log": True},
    "no_proxy": {"type": "list", "elements": "str"},
    "mirrors": {"type": "dict"},
    "timeout": {"type": "str", "default": "60s"},
    "retries": {"type": "int", "default": 3},
}

CACHE_SPEC: dict[str, Any] = {"cache_dir": {"type": "path"}}

# about a file on the controller: action plugins take both out, and no module is given a value
LOCK_SPEC: dict[str, Any] = {
    "lock_file": {"type": "str"},
    "lock": {"type": "str", "choices": ["use", "update", "check"], "default": "use"},
}

# of the task as a whole: no entry of a list can replace it
RULES_SPEC: dict[str, Any] = {"policy": {"type": "raw"}, **LOCK_SPEC}

# Without the provider, which is called signature_provider where these stand beside the registry's options.
POLICY_SPEC: dict[str, Any] = {
    "public_keys": {"type": "list", "elements": "str", "no_log": False},
    "identities": {
        "type": "list",
        "elements": "dict",
        "options": {
            "issuer": {"type": "str"},
            "subject": {"type": "str", "required": True},
        },
    },
    "any_identity": {"type": "bool", "default": False},
    "trusted_root": {"type": "str"},
    "ca_roots": {"type": "list", "elements": "str", "no_log": False},
    "min_signers": {"type": "int", "default": 1},
    "max_signatures": {"type": "int"},
    "max_attestation_size": {"type": "str"},
    "annotations": {"type": "dict"},
    "predicate_types": {"type": "list", "elements": "str"},
    "curve_hash": {"type": "bool", "default": False},
    "attestations": {
        "type": "list",
        "elements": "dict",
        "options": {
            "type": {"type": "str", "required": True},
            "min_signers": {"type": "int", "default": 1},
            "match": {"type": "dict"},
            "predicate": {"type": "bool", "default": False},
        },
    },
    "trust_policy": {"type": "raw"},
    "trust_store": {"type": "raw"},
}

SIGNATURE_PROVIDER: dict[str, Any] = {"type": "str", "choices": ["cosign", "notation"], "default": "cosign"}

VERIFY_SPEC: dict[str, Any] = {"verify": {"type": "dict", "options": {"provider": SIGNATURE_PROVIDER, **POLICY_SPEC}}}

MAX_RETRIES = 100


def run_registry_module(
    argument_spec: dict[str, Any], call: Callable[[AnsibleModule], dict[str, Any]], **rules: Any
) -> None:
    """Run a module that speaks to registries: ``call`` turns its parameters into the result."""

    def call_with_secrets(module: AnsibleModule) -> dict[str, Any]:
        if module.params.get("mirrors"):
            from .._mirrors.rules import secrets_of_mirrors

            # a dictionary with keys of the user's own has no suboptions that could be marked
            module.no_log_values.update(secrets_of_mirrors(module.params["mirrors"]))
        return call(module)

    run_module(argument_spec, call_with_secrets, **rules)


def reference_options(params: Mapping[str, Any]) -> ReferenceOptions:
    """The options of the documentation fragment ``reference``."""
    filter_tags = params.get("filter_tags")
    return ReferenceOptions(
        ref=params.get("ref") or "",
        url=params.get("url") or "",
        tag=params.get("tag") or "",
        digest=params.get("digest") or "",
        semver=params.get("semver") or "",
        semver_filter=params.get("semver_filter") or "",
        filter_tags=without_none(filter_tags) if filter_tags else None,
        pin=params.get("pin") or "",
        tag_moved=params.get("tag_moved") or IGNORE,
    )


def auth_options(module: AnsibleModule) -> AuthOptions:
    """The options of the documentation fragment ``auth``, completed from the environment.

    What the task says wins over the environment as a whole: a password in the environment never joins, nor outranks, an
    ``auth_file`` of the task.
    """
    params = module.params
    provider = {"provider": params["provider"], "provider_registry": params["provider_registry"] or ""}
    if params["username"] or params["password"] or params["auth_file"] or params["auth_config"] is not None:
        return AuthOptions(
            username=params["username"] or "",
            password=params["password"] or "",
            auth_file=params["auth_file"] or "",
            auth_config=_auth_config(params["auth_config"]),
            **provider,
        )
    environ = os.environ
    password = environ.get("OCI_ARTIFACT_PASSWORD", "")
    if password:
        module.no_log_values.add(password)
    return AuthOptions(
        username=environ.get("OCI_ARTIFACT_USERNAME", ""),
        password=password,
        auth_file=_expanded(environ.get("OCI_ARTIFACT_AUTH_FILE", "")),
        **provider,
    )


def connection_options(params: Mapping[str, Any]) -> ConnectionOptions:
    """The options of the documentation fragment ``connection``."""
    if not 0 <= params["retries"] <= MAX_RETRIES:
        raise InvalidOption(f"'retries' is {params['retries']}: wanted 0 to {MAX_RETRIES}.")
    return ConnectionOptions(
        insecure=params["insecure"],
        validate_certs=params["validate_certs"],
        ca_cert=_path_or_pem(params["ca_cert"]),
        client_cert=_path_or_pem(params["client_cert"]),
        client_key=_path_or_pem(params["client_key"]),
        client_key_password=params["client_key_password"] or "",
        proxy=params["proxy"] or "",
        no_proxy=None if params["no_proxy"] is None else tuple(params["no_proxy"]),
        timeout=parse_duration(params["timeout"], "timeout"),
        retries=params["retries"],
        mirrors=_mirrors(params["mirrors"]),
    )


def cache_options(module: AnsibleModule) -> CacheOptions:
    """The options of the documentation fragment ``cache``; check mode does not write to a cache.

    Without the option the environment says where it is; an empty option means none, whatever the environment says.
    """
    given = module.params["cache_dir"]
    root = _expanded(os.environ.get("OCI_ARTIFACT_CACHE_DIR", "")) if given is None else given
    return CacheOptions(root=root, read_only=module.check_mode)


def _mirrors(value: Mapping[str, Any] | None) -> tuple[MirrorRule, ...]:
    if not value:
        return ()
    from .._mirrors.rules import parse_mirrors

    return parse_mirrors(value, _path_or_pem)


def verify_policy(value: Mapping[str, Any] | None) -> VerifyPolicy | None:
    """The option ``verify``; None when it is not given.

    :raises InvalidPolicy: when its parts do not fit together.
    """
    if value is None:
        return None
    from .._trust.policy import parse_policy

    return parse_policy(value)


def rules_of(option: Any) -> Policy | None:
    """The rules of the option ``policy``; None when it is not given. An empty one is refused: it would permit all.

    :raises PolicyInvalid: when it cannot be used.
    """
    if option is None:
        return None
    from .policy import read_rules

    return read_rules(option, VERIFY_SPEC)


def text_lines(value: Any, name: str) -> str | None:
    """Text that is given as text or as a list of lines; None when it is not given.

    :raises InvalidOption: when it is anything else.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    raise InvalidOption(f"'{name}' is neither text nor a list of lines.")


def string_values(value: Mapping[str, Any], name: str) -> dict[str, str]:
    """A mapping of strings; numbers and booleans, which YAML makes of unquoted values, become their text.

    :raises InvalidOption: when a value is a list or a mapping.
    """
    result = {}
    for key, item in value.items():
        if isinstance(item, bool):
            item = str(item).lower()
        if not isinstance(item, (str, int, float)):
            raise InvalidOption(f"The value of {key!r} in '{name}' is not text.")
        result[str(key)] = str(item)
    return result


def _auth_config(value: Any) -> Mapping[str, Any] | None:
    if value is None or isinstance(value, Mapping):
        return value
    if isinstance(value, (str, bytes)):
        from .._login.find import load_auth_config

        return load_auth_config(value if isinstance(value, str) else value.decode("utf-8", "replace"), "auth_config")
    raise AuthenticationFailed(
        "auth_config is neither a mapping nor JSON text.", "Give the content of a docker config.json."
    )


def _path_or_pem(value: str | None) -> str:
    if not value:
        return ""
    return value if "-----BEGIN" in value else _expanded(value)


def _expanded(path: str) -> str:
    if not path:
        return ""
    from .._files.bounded import expanded

    return expanded(path)


def without_none(value: Any) -> Any:
    """Return a value without the suboptions that are None, which is how Ansible fills those that are not given."""
    if isinstance(value, Mapping):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return value

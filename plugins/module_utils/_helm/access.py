# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables that connect Helm to the same cluster as the Kubernetes client."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from .._errors import InvalidOption
from .._files.bounded import expanded
from .._kube.api import KubeOptions
from .helm_binary import HelmAccess


def helm_environment(options: KubeOptions, scratch: str) -> dict[str, str]:
    """Return environment variables for ``helm``; no token is in its arguments.

    A configuration that is not a file is written to one (mode 0600).

    :param scratch: a private directory of the caller, for that file.

    :raises InvalidOption: for a client certificate on top of a kubeconfig, which Helm does not take.
    """
    environment = {"HTTPS_PROXY": options.proxy} if options.proxy else {}
    if options.host and (options.api_key or options.client_cert):
        return {**environment, "KUBECONFIG": _write(_own_config(options), scratch)}
    if options.client_cert:
        raise InvalidOption("'client_cert' needs 'host'.", "Put the certificate into the kubeconfig, or give 'host'.")
    if isinstance(options.kubeconfig, Mapping):
        environment["KUBECONFIG"] = _write(options.kubeconfig, scratch)
    elif options.kubeconfig or os.environ.get("KUBECONFIG"):
        environment["KUBECONFIG"] = expanded(options.kubeconfig or os.environ["KUBECONFIG"])
    for name, value in (
        ("HELM_KUBECONTEXT", options.context),
        ("HELM_KUBEAPISERVER", options.host),
        ("HELM_KUBETOKEN", options.api_key),
        ("HELM_KUBECAFILE", expanded(options.ca_cert)),
        ("HELM_KUBEINSECURE_SKIP_TLS_VERIFY", "true" if options.validate_certs is False else ""),
    ):
        if value:
            environment[name] = value
    return environment


def as_user(access: HelmAccess, user: str) -> HelmAccess:
    """Return the same connection, on which Helm acts as another user."""
    return HelmAccess({**access.environment, "HELM_KUBEASUSER": user})


def _own_config(options: KubeOptions) -> dict[str, Any]:
    cluster: dict[str, Any] = {"server": options.host}
    if options.validate_certs is False:
        cluster["insecure-skip-tls-verify"] = True
    elif options.ca_cert:
        cluster["certificate-authority"] = expanded(options.ca_cert)
    user: dict[str, Any] = {"token": options.api_key} if options.api_key else {}
    if options.client_cert:
        user["client-certificate"] = expanded(options.client_cert)
        user["client-key"] = expanded(options.client_key)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "given", "cluster": cluster}],
        "users": [{"name": "given", "user": user}],
        "contexts": [{"name": "given", "context": {"cluster": "given", "user": "given"}}],
        "current-context": "given",
    }


def _write(config: Mapping[str, Any], scratch: str) -> str:
    path = os.path.join(scratch, "kubeconfig")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump(dict(config), stream)  # JSON is YAML
    return path

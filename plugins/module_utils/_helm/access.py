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
from .._kube.kubeconfig import cluster_entry, kubeconfig_paths
from .._kube.proxy import api_proxy
from .helm_binary import HelmAccess

# the name of a cluster, and of its context, to which a proxy was added
_PROXIED = "cloudnative.artifacts.proxied"
# where Kubernetes puts the credentials of a Pod
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def helm_environment(options: KubeOptions, scratch: str) -> dict[str, str]:
    """Return environment variables for ``helm``; no token is in its arguments.

    A configuration that is not a file is written to one (mode 0600). So is a proxy, for which Helm has no option.
    Without a proxy in the options, Helm itself finds one where :mod:`.._kube.proxy` does.

    :param scratch: a private directory of the caller, for that file.

    :raises InvalidOption: for a client certificate on top of a kubeconfig, or a proxy, that Helm does not take.
    """
    environment: dict[str, str] = {}
    proxy = _proxy_of_helm(options)
    if options.host and (options.api_key or options.client_cert):
        return {"KUBECONFIG": _write(_own_config(options, proxy), scratch)}
    if options.client_cert:
        raise InvalidOption("'client_cert' needs 'host'.", "Put the certificate into the kubeconfig, or give 'host'.")
    if proxy:
        environment.update(_with_proxy(options, proxy, scratch))
    elif isinstance(options.kubeconfig, Mapping):
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
            environment.setdefault(name, value)
    return environment


def as_user(access: HelmAccess, user: str) -> HelmAccess:
    """Return the same connection, on which Helm acts as another user."""
    return HelmAccess({**access.environment, "HELM_KUBEASUSER": user})


def _proxy_of_helm(options: KubeOptions) -> str:
    """The option as ``proxy-url``, in which Go knows three kinds of proxies; empty without the option."""
    proxy = api_proxy(options.host, options.proxy) if options.proxy else ""
    scheme, colon, rest = proxy.partition(":")
    if scheme in ("socks4", "socks4a"):
        raise InvalidOption(
            "'proxy' is a SOCKS proxy of version 4, which Helm cannot use.", "Give one of version 5, or an HTTP proxy."
        )
    return f"{'socks5' if scheme == 'socks5h' else scheme}{colon}{rest}"


def _with_proxy(options: KubeOptions, proxy: str, scratch: str) -> dict[str, str]:
    """Variables for a kubeconfig with a proxy: its cluster and context under a name of their own.

    Which of two entries with one name counts is not the same in all releases of Helm.
    """
    found = cluster_entry(options.kubeconfig, options.context)
    if found is None:
        is_in_pod = not options.host and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
        return {"KUBECONFIG": _write(_pod_config(proxy) if is_in_pod else _own_config(options, proxy), scratch)}
    clusters = [{"name": _PROXIED, "cluster": {**found.entry, "proxy-url": proxy}}]
    contexts = [{"name": _PROXIED, "context": {**found.context, "cluster": _PROXIED}}]
    if isinstance(options.kubeconfig, Mapping):
        given = options.kubeconfig
        own = {**given, "clusters": clusters, "contexts": contexts, "current-context": _PROXIED}
        return {"KUBECONFIG": _write(own, scratch), "HELM_KUBECONTEXT": _PROXIED}
    own = {"apiVersion": "v1", "kind": "Config", "clusters": clusters, "contexts": contexts}
    paths = [_write(own, scratch), *kubeconfig_paths(options.kubeconfig)]
    return {"KUBECONFIG": os.pathsep.join(paths), "HELM_KUBECONTEXT": _PROXIED}


def _pod_config(proxy: str) -> dict[str, Any]:
    """What client-go makes of a Pod's service account (``rest.InClusterConfig``), with a proxy."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    cluster = {"server": server, "certificate-authority": f"{SERVICE_ACCOUNT}/ca.crt", "proxy-url": proxy}
    return _config(cluster, {"tokenFile": f"{SERVICE_ACCOUNT}/token"})


def _own_config(options: KubeOptions, proxy: str) -> dict[str, Any]:
    cluster: dict[str, Any] = {"server": options.host}
    if proxy:
        cluster["proxy-url"] = proxy
    if options.validate_certs is False:
        cluster["insecure-skip-tls-verify"] = True
    elif options.ca_cert:
        cluster["certificate-authority"] = expanded(options.ca_cert)
    user: dict[str, Any] = {"token": options.api_key} if options.api_key else {}
    if options.client_cert:
        user["client-certificate"] = expanded(options.client_cert)
        user["client-key"] = expanded(options.client_key)
    return _config(cluster, user)


def _config(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> dict[str, Any]:
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

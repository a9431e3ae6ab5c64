# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the documentation fragment ``kubernetes`` as the core wants them."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import (
    KubeApi,
    KubeOptions,
    check_kubeconfig,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import parse_duration


def kube_api(option: Callable[[str], Any]) -> KubeApi:
    """The API that a plugin's options (``option`` is its ``get_option``) lead to."""
    return KubeApi(
        KubeOptions(
            kubeconfig=check_kubeconfig(option("kubeconfig") or ""),
            context=option("context") or "",
            host=option("host") or "",
            api_key=option("api_key") or "",
            client_cert=option("client_cert") or "",
            client_key=option("client_key") or "",
            ca_cert=option("ca_cert") or "",
            validate_certs=option("validate_certs"),
            proxy=option("proxy") or "",
            timeout=parse_duration(option("timeout")),
        )
    )


def refuse_terms(terms: Any, example: str) -> None:
    """Refuse positional arguments: the lookups take options only."""
    if terms:
        raise InvalidOption("This lookup takes no terms, only options.", f"Write {example}.")
